//! What the callers of the engine and its committer share.

use std::{collections::HashMap, path::Path, sync::Arc};

use parking_lot::RwLock;
use rocksdb::ReadTier;
use tokio::sync::broadcast;

use super::{
    committer::Moved,
    database::{Access, Database, OUTCOMES, outcome_key},
    folder::Folder,
    options::RocksOptions,
    queue::{Job, Queue},
    reader::{ClosedReader, RocksReader},
    schema,
};
use crate::{
    BatchId, CommitError, Health, HomeserverId, Outcome, Reader, StoreError, Table, Version,
    group::Rows,
};

/// Hints that a slow subscriber may lag behind before it loses some.
const HINTS_MAX: usize = 1_024;

pub(super) struct Shared {
    pub tables: Vec<Table>,
    pub options: RocksOptions,
    pub folder: Arc<Folder>,
    pub queue: Queue,
    pub hints: broadcast::Sender<(HomeserverId, Version)>,
    pub health: RwLock<Health>,
    /// The open database; none, and why, when it could not be opened again after an error.
    pub database: RwLock<Result<Arc<Database>, Arc<str>>>,
    /// The newest version of each homeserver that has committed since the start.
    pub versions: RwLock<HashMap<HomeserverId, Version>>,
}

impl Shared {
    pub fn open(path: &Path, tables: &[Table], options: RocksOptions) -> Result<Self, StoreError> {
        schema::check_names(tables)?;
        let folder = Arc::new(Folder::lock(path)?);
        let database = Database::open(folder.clone(), tables, &options, Access::ReadWrite)?;
        let database = Arc::new(database);
        schema::check(&database, &options)?;
        Ok(Self {
            tables: tables.to_vec(),
            queue: Queue::new(options.queue_bytes_max),
            options,
            folder,
            hints: broadcast::Sender::new(HINTS_MAX),
            health: RwLock::new(Health::ReadWrite),
            database: RwLock::new(Ok(database)),
            versions: RwLock::default(),
        })
    }

    pub fn enqueue(&self, job: Job, bytes: usize) {
        match self.health() {
            Health::ReadWrite => self.queue.push(job, bytes),
            Health::ReadOnly { why } => job.refuse(CommitError::Unavailable { why }),
        }
    }

    pub fn database(&self) -> Result<Arc<Database>, Arc<str>> {
        self.database.read().clone()
    }

    pub fn snapshot(&self) -> Box<dyn Reader> {
        match self.database() {
            Ok(database) => Box::new(RocksReader::new(database, ReadTier::All)),
            Err(why) => Box::new(ClosedReader { why }),
        }
    }

    pub fn snapshot_in_memory(&self) -> Option<Box<dyn Reader>> {
        let database = self.database().ok()?;
        Some(Box::new(RocksReader::new(database, ReadTier::BlockCache)))
    }

    pub fn outcome(&self, homeserver: HomeserverId, id: BatchId) -> Result<Outcome, StoreError> {
        // First: once it is decided, its row is there or never will be.
        if self.queue.is_undecided(homeserver, id) {
            return Err(StoreError::Undecided);
        }
        let database = self.database().map_err(StoreError::Read)?;
        match database.row(OUTCOMES, &outcome_key(homeserver, id))? {
            None => Ok(Outcome::NotCommitted),
            Some(row) => match row.first_chunk::<8>() {
                Some(version) => Ok(Outcome::Committed(u64::from_be_bytes(*version))),
                None => Err(StoreError::Corrupt("the outcome of a batch".into())),
            },
        }
    }

    pub fn version(&self, homeserver: HomeserverId) -> Result<Version, StoreError> {
        if let Some(version) = self.versions.read().get(&homeserver) {
            return Ok(*version);
        }
        let database = self.database().map_err(StoreError::Read)?;
        Ok(database.position(homeserver)?.version)
    }

    /// Tells readers and subscribers of a group that is durable.
    pub fn publish(&self, moved: &Moved) {
        let mut versions = self.versions.write();
        for (homeserver, position) in moved {
            match position {
                Some(position) => versions.insert(*homeserver, position.version),
                None => versions.remove(homeserver),
            };
        }
        drop(versions);
        for (homeserver, position) in moved {
            if let Some(position) = position {
                // No subscriber is no error: hints may be lost.
                drop(self.hints.send((*homeserver, position.version)));
            }
        }
    }

    pub fn health(&self) -> Health {
        self.health.read().clone()
    }
}
