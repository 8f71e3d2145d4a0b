//! Rows that remember their past for as long as a snapshot can see it.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    ops::Bound,
};

use bytes::Bytes;

use crate::{
    HomeserverId, StoreError, Table,
    group::{Change, Rows},
    store::after_prefix,
};

#[derive(Default)]
pub(super) struct VersionedRows {
    tables: HashMap<&'static str, BTreeMap<Bytes, Past>>,
    /// Counts applied batches.
    sequence: u64,
    /// How many snapshots look at which sequence.
    snapshots: BTreeMap<u64, usize>,
    /// Rows with a past to forget, by the sequence that made it past.
    stale: VecDeque<(u64, &'static str, Bytes)>,
}

/// A row's values, oldest first, each with the sequence from which it holds; `None` is absence.
type Past = Vec<(u64, Option<Bytes>)>;

impl VersionedRows {
    pub fn open_snapshot(&mut self) -> u64 {
        *self.snapshots.entry(self.sequence).or_default() += 1;
        self.sequence
    }

    pub fn close_snapshot(&mut self, sequence: u64) {
        if let Some(count) = self.snapshots.get_mut(&sequence) {
            *count -= 1;
            if *count == 0 {
                self.snapshots.remove(&sequence);
            }
        }
        self.forget_stale();
    }

    pub fn get(&self, table: Table, key: &[u8], sequence: u64) -> Option<Bytes> {
        as_of(self.tables.get(table.name)?.get(key)?, sequence)
    }

    pub fn range(
        &self,
        table: Table,
        from: &[u8],
        to: &[u8],
        sequence: u64,
    ) -> impl DoubleEndedIterator<Item = (Bytes, Bytes)> {
        let rows = if from < to { self.tables.get(table.name) } else { None };
        let bounds = (Bound::Included(from.to_vec()), Bound::Excluded(to.to_vec()));
        let bounds = (bounds.0.map(Bytes::from), bounds.1.map(Bytes::from));
        rows.map(|rows| rows.range(bounds))
            .into_iter()
            .flatten()
            .filter_map(move |(key, past)| Some((key.clone(), as_of(past, sequence)?)))
    }

    pub fn apply(&mut self, changes: Vec<Change>) {
        self.sequence += 1;
        for change in changes {
            match change {
                Change::Put(table, key, value) => self.set(table.name, key, Some(value)),
                Change::Delete(table, key) => self.set(table.name, key, None),
                Change::DeleteRange(table, from, to) => self.delete_range(table.name, &from, &to),
            }
        }
        self.forget_stale();
    }

    pub fn erase(&mut self, homeserver: HomeserverId) {
        self.sequence += 1;
        let from = homeserver.0.to_be_bytes();
        let to = after_prefix(&from);
        let names: Vec<&'static str> = self.tables.keys().copied().collect();
        for name in names {
            self.delete_range(name, &from, &to);
        }
        self.forget_stale();
    }

    /// How many values are kept, past ones included.
    #[cfg(test)]
    pub fn values(&self) -> usize {
        self.tables.values().flat_map(BTreeMap::values).map(Vec::len).sum()
    }

    fn delete_range(&mut self, name: &'static str, from: &[u8], to: &[u8]) {
        let Some(rows) = self.tables.get(name).filter(|_| from < to) else { return };
        let doomed: Vec<Bytes> = rows
            .range::<[u8], _>((Bound::Included(from), Bound::Excluded(to)))
            .map(|(key, _)| key.clone())
            .collect();
        for key in doomed {
            self.set(name, key, None);
        }
    }

    fn set(&mut self, name: &'static str, key: Bytes, value: Option<Bytes>) {
        let past = self.tables.entry(name).or_default().entry(key.clone()).or_default();
        let deletes = value.is_none();
        past.push((self.sequence, value));
        if past.len() > 1 || deletes {
            self.stale.push_back((self.sequence, name, key));
        }
    }

    /// Drops what no snapshot, and nobody who reads the newest, can see any more.
    fn forget_stale(&mut self) {
        let oldest = self.snapshots.keys().next().copied().unwrap_or(self.sequence);
        while let Some((sequence, _, _)) = self.stale.front()
            && *sequence <= oldest
        {
            let Some((_, name, key)) = self.stale.pop_front() else { return };
            let Some(rows) = self.tables.get_mut(name) else { continue };
            let Some(past) = rows.get_mut(&key) else { continue };
            let seen = past.partition_point(|(since, _)| *since <= oldest);
            past.drain(..seen.saturating_sub(1));
            if let [(since, None)] = past.as_slice()
                && *since <= oldest
            {
                rows.remove(&key);
            }
        }
    }
}

impl Rows for VersionedRows {
    fn row(&self, table: Table, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        Ok(self.get(table, key, self.sequence))
    }
}

fn as_of(past: &Past, sequence: u64) -> Option<Bytes> {
    past.iter().rev().find(|(since, _)| *since <= sequence)?.1.clone()
}
