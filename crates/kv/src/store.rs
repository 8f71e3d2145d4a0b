//! One homeserver's view of an engine.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use bytes::{BufMut, Bytes, BytesMut};
use tokio::sync::broadcast;

use crate::{
    Batch, BatchId, CommitError, Committed, Engine, Epoch, Health, HomeserverId, Op, Outcome, Page,
    Precondition, Reader, StoreError, Table, Version,
};

/// One homeserver's tables. Cheap to clone.
#[derive(Clone)]
pub struct Store {
    engine: Arc<dyn Engine>,
    homeserver: HomeserverId,
}

/// The future of a submitted batch: resolves when it is durable or refused.
pub type Commit = crate::PendingCommit;

impl Store {
    pub fn new(engine: Arc<dyn Engine>, homeserver: HomeserverId) -> Self {
        Self { engine, homeserver }
    }

    pub fn homeserver(&self) -> HomeserverId {
        self.homeserver
    }

    /// Runs `gather` over one consistent snapshot. While it finds all that it asks for in memory,
    /// and does not ask for much, it runs at once where it is called; otherwise it is begun anew on
    /// a thread that may wait for the disk. To change threads costs more than a short read.
    pub async fn read<T, E>(
        &self,
        gather: impl FnOnce(&Snapshot) -> Result<T, E> + Clone + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        if let Some(done) = self.read_in_memory(gather.clone()) {
            return done;
        }
        self.read_aside(gather).await
    }

    /// [`read`](Self::read), for what is known to take long.
    pub async fn read_aside<T, E>(
        &self,
        gather: impl FnOnce(&Snapshot) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        let store = self.clone();
        let gathered = self.aside(move || gather(&store.snapshot())).await;
        gathered.unwrap_or_else(|| Err(StoreError::Read("the server is stopping".into()).into()))
    }

    /// What `gather` comes to, if it needs no more than memory and a short while.
    fn read_in_memory<T>(&self, gather: impl FnOnce(&Snapshot) -> T) -> Option<T> {
        let version = self.shown();
        let reader = self.engine.snapshot_in_memory()?;
        let patience = Some(Patience(AtomicUsize::new(ROWS_IN_PLACE_MAX)));
        let snapshot = Snapshot { reader, homeserver: self.homeserver, version, patience };
        let gathered = gather(&snapshot);
        // Whatever it made of an answer that it did not get.
        snapshot.patience.is_some_and(|patience| !patience.is_over()).then_some(gathered)
    }

    /// Does work that may wait for the disk, or that takes long, where it holds up nobody else.
    /// `None` when the process is stopping.
    pub async fn aside<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Option<T> {
        if !self.engine.has_threads() {
            return Some(work());
        }
        match tokio::task::spawn_blocking(work).await {
            Ok(result) => Some(result),
            Err(panicked) if panicked.is_panic() => {
                std::panic::resume_unwind(panicked.into_panic())
            }
            Err(_) => None,
        }
    }

    /// A consistent snapshot for code that already runs where it may wait for the disk.
    pub fn snapshot(&self) -> Snapshot {
        let version = self.shown();
        let reader = self.engine.snapshot();
        Snapshot { reader, homeserver: self.homeserver, version, patience: None }
    }

    /// A version that a snapshot taken from now on shows.
    fn shown(&self) -> Version {
        self.version().unwrap_or_default()
    }

    /// Queues the batch now, in the order of the calls; the future resolves when it is durable or
    /// refused. Dropping the future takes nothing back.
    pub fn submit(&self, mut batch: Batch) -> Commit {
        prefix(self.homeserver, &mut batch);
        self.engine.submit(self.homeserver, batch)
    }

    /// [`submit`](Self::submit), and waits.
    pub async fn commit(&self, batch: Batch) -> Result<Committed, CommitError> {
        self.submit(batch).await
    }

    pub fn outcome(&self, id: BatchId) -> Result<Outcome, StoreError> {
        self.engine.outcome(self.homeserver, id)
    }

    /// The newest version that a snapshot taken now would show, or an older one.
    pub fn version(&self) -> Result<Version, StoreError> {
        self.engine.version(self.homeserver)
    }

    pub async fn fence(&self) -> Result<Epoch, CommitError> {
        self.engine.fence(self.homeserver).await
    }

    pub fn subscribe(&self) -> broadcast::Receiver<(HomeserverId, Version)> {
        self.engine.subscribe()
    }

    pub fn health(&self) -> Health {
        self.engine.health()
    }
}

/// A consistent view of one homeserver's tables. Keys are without the homeserver's prefix.
pub struct Snapshot {
    reader: Box<dyn Reader>,
    homeserver: HomeserverId,
    version: Version,
    /// `None`: it may wait for the disk, and take long.
    patience: Option<Patience>,
}

/// How many rows may still be looked at by a read that holds up the thread of its caller.
struct Patience(AtomicUsize);

/// About half a millisecond.
const ROWS_IN_PLACE_MAX: usize = 768;

impl Patience {
    fn is_over(&self) -> bool {
        self.0.load(Ordering::Relaxed) == 0
    }

    fn spend(&self, rows: usize) {
        let left = self.0.load(Ordering::Relaxed);
        self.0.store(left.saturating_sub(rows), Ordering::Relaxed);
    }
}

impl Snapshot {
    /// A version that it shows. It may show more.
    pub fn version(&self) -> Version {
        self.version
    }

    pub fn get(&self, table: Table, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        let key = prefixed(self.homeserver, key);
        self.look(|reader| reader.get(table, &key), |_| 1)
    }

    pub fn multi_get(
        &self,
        table: Table,
        keys: &[Bytes],
    ) -> Result<Vec<Option<Bytes>>, StoreError> {
        let keys: Vec<Bytes> = keys.iter().map(|key| prefixed(self.homeserver, key)).collect();
        self.look(|reader| reader.multi_get(table, &keys), Vec::len)
    }

    /// One page of the rows with keys in `from..to`; see [`Reader::scan`].
    pub fn scan(
        &self,
        table: Table,
        from: &[u8],
        to: &[u8],
        reverse: bool,
        limit: usize,
    ) -> Result<Page, StoreError> {
        let from = prefixed(self.homeserver, from);
        let to = prefixed(self.homeserver, to);
        let scan = |reader: &dyn Reader| reader.scan(table, &from, &to, reverse, limit);
        let mut page = self.look(scan, |page| 1 + page.rows.len())?;
        for (key, _) in &mut page.rows {
            *key = key.slice(PREFIX_BYTES..);
        }
        Ok(page)
    }

    /// All rows whose keys start with `prefix`, page by page, in order.
    pub fn scan_prefix(
        &self,
        table: Table,
        prefix: &[u8],
        row: impl FnMut(&[u8], Bytes) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        self.scan_range(table, prefix, &after_prefix(prefix), row)
    }

    /// All rows with keys in `from..to`, page by page, in order.
    pub fn scan_range(
        &self,
        table: Table,
        from: &[u8],
        to: &[u8],
        mut row: impl FnMut(&[u8], Bytes) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let mut from = Bytes::copy_from_slice(from);
        loop {
            let page = self.scan(table, &from, to, false, usize::MAX)?;
            let Some((last, _)) = page.rows.last() else { return Ok(()) };
            from = after_key(last);
            for (key, value) in page.rows {
                row(&key, value)?;
            }
            if !page.more {
                return Ok(());
            }
        }
    }
}

impl Snapshot {
    fn look<T>(
        &self,
        read: impl FnOnce(&dyn Reader) -> Result<T, StoreError>,
        rows: impl FnOnce(&T) -> usize,
    ) -> Result<T, StoreError> {
        let Some(patience) = &self.patience else { return read(&*self.reader) };
        if patience.is_over() {
            return Err(StoreError::NotInMemory);
        }
        let found = read(&*self.reader);
        match &found {
            Ok(found) => patience.spend(rows(found)),
            Err(StoreError::NotInMemory) => patience.spend(usize::MAX),
            Err(_) => {}
        }
        found
    }
}

const PREFIX_BYTES: usize = 4;

/// The smallest key above every key that starts with `prefix`.
pub fn after_prefix(prefix: &[u8]) -> Bytes {
    let mut end = prefix.to_vec();
    while let Some(last) = end.last_mut() {
        if *last < u8::MAX {
            *last += 1;
            return end.into();
        }
        end.pop();
    }
    // Only an empty prefix, or one of 0xff bytes, gets here. No key is as long as this one.
    vec![u8::MAX; crate::KEY_BYTES_MAX].into()
}

/// The smallest key above `key`.
pub(crate) fn after_key(key: &[u8]) -> Bytes {
    let mut next = BytesMut::with_capacity(key.len() + 1);
    next.put_slice(key);
    next.put_u8(0);
    next.freeze()
}

fn prefixed(homeserver: HomeserverId, key: &[u8]) -> Bytes {
    let mut whole = BytesMut::with_capacity(PREFIX_BYTES + key.len());
    whole.put_u32(homeserver.0);
    whole.put_slice(key);
    whole.freeze()
}

pub(crate) fn prefix(homeserver: HomeserverId, batch: &mut Batch) {
    let add = |key: &mut Bytes| *key = prefixed(homeserver, key);
    for precondition in &mut batch.preconditions {
        match precondition {
            Precondition::Absent(_, key)
            | Precondition::Present(_, key)
            | Precondition::Equals(_, key, _) => add(key),
            Precondition::VersionIs(_) => {}
        }
    }
    for op in &mut batch.ops {
        match op {
            Op::Put(_, key, _)
            | Op::PutAtVersion { prefix: key, .. }
            | Op::PutStamped(_, key, _)
            | Op::Delete(_, key)
            | Op::Add(_, key, _)
            | Op::Max(_, key, _) => add(key),
            Op::DeleteRange(_, from, to) => {
                add(from);
                add(to);
            }
        }
    }
}
