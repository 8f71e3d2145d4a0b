//! One group of commits in the making: jobs in, one write batch and the answers out.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use bytes::Bytes;

use crate::{
    Batch, Change, CommitError, Committed, Epoch, HomeserverId, Op, StoreError, Table,
    group::{Group, Position},
    rocks::{
        database::{Database, META, OUTCOMES, Writer, outcome_key},
        queue::{Job, Reply},
    },
    store::after_prefix,
};

/// Ranges with at most so many rows are deleted row by row.
const FEW_ROWS: usize = 48;

pub(super) struct Draft<'c> {
    database: &'c Database,
    /// As of the jobs added so far.
    positions: &'c mut HashMap<HomeserverId, Position>,
    group: Group,
    writer: Writer<'c>,
    /// What the group changes in `positions`.
    moved: Moved,
    /// The keys that the group has put so far; only kept when it also deletes ranges.
    written: Option<BTreeSet<(&'static str, Bytes)>>,
    erases: bool,
    answers: Vec<Answer>,
    /// Something that a checked batch cannot ask for: the group must not be written.
    broken: Option<StoreError>,
}

/// The new positions of the homeservers that a group touched; none of one that it erased.
pub(in crate::rocks) type Moved = HashMap<HomeserverId, Option<Position>>;

/// A group that is durable.
pub(super) struct Done {
    pub moved: Moved,
    pub answers: Vec<Answer>,
}

/// A group of which nobody knows whether it is durable.
pub(super) struct Failed {
    pub error: Arc<str>,
    pub answers: Vec<Answer>,
}

/// What a caller hears when the group is durable.
pub(super) enum Answer {
    Commit(Reply<Committed>, Result<Committed, CommitError>),
    Fence(Reply<Epoch>, Result<Epoch, CommitError>),
    Erase(Reply<()>, Result<(), CommitError>),
}

impl<'c> Draft<'c> {
    pub fn new(
        database: &'c Database,
        positions: &'c mut HashMap<HomeserverId, Position>,
        now_s: u64,
    ) -> Self {
        Self {
            database,
            positions,
            group: Group::default(),
            writer: Writer::new(database, now_s),
            moved: Moved::new(),
            written: None,
            erases: false,
            answers: Vec::new(),
            broken: None,
        }
    }

    /// Must be called for every job of the group before the first is added.
    pub fn watch(&mut self, job: &Job) {
        let deletes_ranges = match job {
            Job::Commit { batch, .. } => {
                self.group.watch(batch);
                batch.ops.iter().any(|op| matches!(op, Op::DeleteRange(..)))
            }
            Job::Erase { .. } => true,
            Job::Fence { .. } | Job::Raise { .. } => false,
        };
        if deletes_ranges {
            self.written.get_or_insert_default();
        }
    }

    pub fn add(&mut self, job: Job) {
        let answer = match job {
            Job::Commit { homeserver, batch, reply } => {
                Answer::Commit(reply, self.commit(homeserver, batch))
            }
            Job::Fence { homeserver, reply } => Answer::Fence(reply, self.fence(homeserver)),
            Job::Erase { homeserver, reply } => Answer::Erase(reply, self.erase(homeserver)),
            Job::Raise { homeserver, least, reply } => {
                let raised = self.position(homeserver).map(|position| {
                    let version = position.version.max(least);
                    self.moves(homeserver, Position { version, ..position });
                    Committed { version }
                });
                Answer::Commit(reply, raised)
            }
        };
        self.answers.push(answer);
    }

    /// One write, one sync. Without anything to write there is none.
    pub fn write(mut self) -> Result<Done, Failed> {
        let positions = self.moved.iter().filter_map(|(id, position)| Some((*id, (*position)?)));
        for (homeserver, position) in positions {
            let put = self.writer.put_position(homeserver, position);
            self.broken = self.broken.or(put.err());
        }
        let answers = self.answers;
        if let Some(error) = self.broken {
            return Err(Failed { error: error.to_string().into(), answers });
        }
        if self.writer.batch.is_empty() {
            return Ok(Done { moved: self.moved, answers });
        }
        match self.database.write(self.writer.batch) {
            Ok(()) => {
                if self.erases {
                    self.database.reclaim();
                }
                Ok(Done { moved: self.moved, answers })
            }
            Err(error) => Err(Failed { error: error.to_string().into(), answers }),
        }
    }
}

impl Draft<'_> {
    fn commit(&mut self, homeserver: HomeserverId, batch: Batch) -> Result<Committed, CommitError> {
        let position = self.position(homeserver)?;
        let id = batch.id;
        let changes = self.group.admit(batch, position, self.database)?;
        let version = position.version + 1;
        for change in &changes {
            self.apply(change);
        }
        let outcome =
            self.writer.put(OUTCOMES, &outcome_key(homeserver, id), &version.to_be_bytes());
        self.broken = self.broken.take().or(outcome.err());
        self.moves(homeserver, Position { version, ..position });
        Ok(Committed { version })
    }

    fn fence(&mut self, homeserver: HomeserverId) -> Result<Epoch, CommitError> {
        let position = self.position(homeserver)?;
        let epoch = position.epoch + 1;
        self.moves(homeserver, Position { epoch, ..position });
        Ok(epoch)
    }

    fn erase(&mut self, homeserver: HomeserverId) -> Result<(), CommitError> {
        let from = homeserver.0.to_be_bytes();
        let to = after_prefix(&from);
        for table in self.database.tables().iter().filter(|table| **table != META) {
            let from = from.to_vec().into();
            self.apply(&Change::DeleteRange(*table, from, to.clone()));
        }
        self.group.forget(|key| key.starts_with(&from));
        self.positions.insert(homeserver, Position::default());
        self.moved.insert(homeserver, None);
        self.erases = true;
        Ok(())
    }

    fn apply(&mut self, change: &Change) {
        let applied = match change {
            Change::DeleteRange(table, from, to) => self.delete_range(*table, from, to),
            Change::Put(table, key, _) => {
                if let Some(written) = &mut self.written {
                    written.insert((table.name, key.clone()));
                }
                self.writer.apply(change)
            }
            Change::Delete(..) => self.writer.apply(change),
        };
        self.broken = self.broken.take().or(applied.err());
    }

    /// A deleted range costs every later read of its table a look; a few deleted rows do not.
    fn delete_range(&mut self, table: Table, from: &Bytes, to: &Bytes) -> Result<(), StoreError> {
        if from >= to {
            return Ok(());
        }
        let mut keys = self.database.keys(table, from, to, FEW_ROWS + 1)?;
        let range = (table.name, from.clone())..(table.name, to.clone());
        let written = self.written.iter().flat_map(|written| written.range(range.clone()));
        keys.extend(written.map(|(_, key)| key.clone()).take(FEW_ROWS + 1));
        if keys.len() > FEW_ROWS {
            return self.writer.apply(&Change::DeleteRange(table, from.clone(), to.clone()));
        }
        keys.into_iter().try_for_each(|key| self.writer.apply(&Change::Delete(table, key)))
    }

    fn position(&mut self, homeserver: HomeserverId) -> Result<Position, CommitError> {
        if let Some(position) = self.positions.get(&homeserver) {
            return Ok(*position);
        }
        let position = self
            .database
            .position(homeserver)
            .map_err(|error| CommitError::Unavailable { why: error.to_string().into() })?;
        self.positions.insert(homeserver, position);
        Ok(position)
    }

    fn moves(&mut self, homeserver: HomeserverId, position: Position) {
        self.positions.insert(homeserver, position);
        self.moved.insert(homeserver, Some(position));
    }
}

impl Answer {
    /// A caller that no longer listens is not told; that is its right.
    pub fn send(self) {
        match self {
            Self::Commit(reply, result) => drop(reply.send(result)),
            Self::Fence(reply, result) => drop(reply.send(result)),
            Self::Erase(reply, result) => drop(reply.send(result)),
        }
    }

    /// The write failed: what was refused may have been refused because of what is now lost.
    pub fn send_unknown(self) {
        match self {
            Self::Commit(reply, Ok(_)) => drop(reply.send(Err(CommitError::Unknown))),
            Self::Fence(reply, Ok(_)) => drop(reply.send(Err(CommitError::Unknown))),
            Self::Erase(reply, Ok(())) => drop(reply.send(Err(CommitError::Unknown))),
            Self::Commit(reply, Err(_)) => drop(reply.send(Err(unwritten()))),
            Self::Fence(reply, Err(_)) => drop(reply.send(Err(unwritten()))),
            Self::Erase(reply, Err(_)) => drop(reply.send(Err(unwritten()))),
        }
    }
}

fn unwritten() -> CommitError {
    CommitError::Unavailable { why: "a write failed at the same time".into() }
}
