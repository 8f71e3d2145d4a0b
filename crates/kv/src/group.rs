//! Decides a group of batches in their order, each against the store as the ones before it leave
//! it. Pure but for the reads: the engines apply what comes out.

use std::collections::{HashMap, hash_map::Entry};

use bytes::{BufMut, Bytes, BytesMut};

use crate::{Batch, CommitError, Epoch, Op, Precondition, StoreError, Table, Version};

/// The committed rows, as they were before the group.
pub(crate) trait Rows {
    fn row(&self, table: Table, key: &[u8]) -> Result<Option<Bytes>, StoreError>;
}

/// Where a homeserver stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Position {
    pub version: Version,
    pub epoch: Epoch,
}

/// A change of one table with everything resolved; keys are whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    Put(Table, Bytes, Bytes),
    Delete(Table, Bytes),
    DeleteRange(Table, Bytes, Bytes),
}

/// The rows that some batch of the group asks about. Only these are kept in step with the group's
/// own writes, so a group that asks nothing costs nothing here.
#[derive(Default)]
pub(crate) struct Group {
    watched: HashMap<(Table, Bytes), Seen>,
}

#[derive(Clone, Debug)]
enum Seen {
    /// As committed before the group; not read yet.
    AsCommitted,
    Row(Option<Bytes>),
}

/// What to put back when a batch turns out to be refused half-way.
type Undo = Vec<((Table, Bytes), Seen)>;

impl Group {
    /// Must be called for every batch of the group before the first is admitted.
    pub fn watch(&mut self, batch: &Batch) {
        for precondition in &batch.preconditions {
            match precondition {
                Precondition::Absent(table, key)
                | Precondition::Present(table, key)
                | Precondition::Equals(table, key, _) => self.watch_row(*table, key),
                Precondition::VersionIs(_) => {}
            }
        }
        for op in &batch.ops {
            if let Op::Add(table, key, _) | Op::Max(table, key, _) = op {
                self.watch_row(*table, key);
            }
        }
    }

    fn watch_row(&mut self, table: Table, key: &Bytes) {
        self.watched.entry((table, key.clone())).or_insert(Seen::AsCommitted);
    }

    /// The changes of the batch, which gets the version after `position`; or why it is refused,
    /// and then the group goes on as if it had never been there.
    pub fn admit(
        &mut self,
        batch: Batch,
        position: Position,
        rows: &impl Rows,
    ) -> Result<Vec<Change>, CommitError> {
        if batch.epoch.is_some_and(|epoch| epoch != position.epoch) {
            return Err(CommitError::Fenced { now: position.epoch });
        }
        for (index, precondition) in batch.preconditions.iter().enumerate() {
            if !self.holds(precondition, position, rows)? {
                return Err(CommitError::Precondition(index));
            }
        }
        let version = position.version + 1;
        let mut undo = Undo::new();
        let mut changes = Vec::with_capacity(batch.ops.len());
        for op in batch.ops {
            match self.resolve(op, version, rows) {
                Ok(change) => {
                    self.note(&change, &mut undo);
                    changes.push(change);
                }
                Err(refusal) => {
                    self.watched.extend(undo.into_iter().rev());
                    return Err(refusal);
                }
            }
        }
        Ok(changes)
    }

    /// The group as it goes on after every row was forgotten that `erased` picks.
    pub fn forget(&mut self, erased: impl Fn(&[u8]) -> bool) {
        for ((_, key), seen) in &mut self.watched {
            if erased(key) {
                *seen = Seen::Row(None);
            }
        }
    }

    fn holds(
        &mut self,
        precondition: &Precondition,
        position: Position,
        rows: &impl Rows,
    ) -> Result<bool, CommitError> {
        Ok(match precondition {
            Precondition::Absent(table, key) => self.current(*table, key, rows)?.is_none(),
            Precondition::Present(table, key) => self.current(*table, key, rows)?.is_some(),
            Precondition::Equals(table, key, value) => {
                self.current(*table, key, rows)?.as_ref() == Some(value)
            }
            Precondition::VersionIs(version) => *version == position.version,
        })
    }

    fn resolve(
        &mut self,
        op: Op,
        version: Version,
        rows: &impl Rows,
    ) -> Result<Change, CommitError> {
        Ok(match op {
            Op::Put(table, key, value) => Change::Put(table, key, value),
            Op::PutAtVersion { table, prefix, suffix, value } => {
                Change::Put(table, with_version(&prefix, version, &suffix), value)
            }
            Op::PutStamped(table, key, value) => {
                Change::Put(table, key, with_version(&[], version, &value))
            }
            Op::Delete(table, key) => Change::Delete(table, key),
            Op::DeleteRange(table, from, to) => Change::DeleteRange(table, from, to),
            Op::Add(table, key, amount) => {
                let sum =
                    i64::from_be_bytes(self.number(table, &key, rows)?).saturating_add(amount);
                Change::Put(table, key, Bytes::copy_from_slice(&sum.to_be_bytes()))
            }
            Op::Max(table, key, least) => {
                let max = u64::from_be_bytes(self.number(table, &key, rows)?).max(least);
                Change::Put(table, key, Bytes::copy_from_slice(&max.to_be_bytes()))
            }
        })
    }

    fn number(
        &mut self,
        table: Table,
        key: &Bytes,
        rows: &impl Rows,
    ) -> Result<[u8; 8], CommitError> {
        let Some(row) = self.current(table, key, rows)? else { return Ok([0; 8]) };
        row.as_ref().try_into().map_err(|_| CommitError::Unavailable {
            why: format!("a row of table {} that should be a number is not", table.name).into(),
        })
    }

    fn current(
        &mut self,
        table: Table,
        key: &Bytes,
        rows: &impl Rows,
    ) -> Result<Option<Bytes>, CommitError> {
        let entry = self.watched.entry((table, key.clone()));
        if let Entry::Occupied(entry) = &entry
            && let Seen::Row(row) = entry.get()
        {
            return Ok(row.clone());
        }
        let row = rows
            .row(table, key)
            .map_err(|error| CommitError::Unavailable { why: error.to_string().into() })?;
        entry.insert_entry(Seen::Row(row.clone()));
        Ok(row)
    }

    fn note(&mut self, change: &Change, undo: &mut Undo) {
        if self.watched.is_empty() {
            return;
        }
        match change {
            Change::Put(table, key, value) => {
                self.note_row(*table, key, Some(value.clone()), undo);
            }
            Change::Delete(table, key) => self.note_row(*table, key, None, undo),
            Change::DeleteRange(table, from, to) => {
                for (watched, seen) in &mut self.watched {
                    if watched.0 == *table && (from..to).contains(&&watched.1) {
                        undo.push((watched.clone(), seen.clone()));
                        *seen = Seen::Row(None);
                    }
                }
            }
        }
    }

    fn note_row(&mut self, table: Table, key: &Bytes, row: Option<Bytes>, undo: &mut Undo) {
        if let Entry::Occupied(mut entry) = self.watched.entry((table, key.clone())) {
            let before = entry.insert(Seen::Row(row));
            undo.push((entry.key().clone(), before));
        }
    }
}

fn with_version(before: &[u8], version: Version, after: &[u8]) -> Bytes {
    let mut whole = BytesMut::with_capacity(before.len() + 8 + after.len());
    whole.put_slice(before);
    whole.put_u64(version);
    whole.put_slice(after);
    whole.freeze()
}
