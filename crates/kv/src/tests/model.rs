//! One homeserver as a map, changed one batch at a time.

use std::collections::{BTreeMap, HashMap};

use bytes::Bytes;

use crate::{
    Batch, Epoch, Op, Precondition, Snapshot, Table, Version, after_prefix, conformance::TABLES,
};

#[derive(Clone, Debug, Default)]
pub(super) struct Model {
    rows: BTreeMap<(&'static str, Bytes), Bytes>,
    pub version: Version,
    pub epoch: Epoch,
    pub outcomes: HashMap<u128, Version>,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    Precondition(usize),
    Fenced(Epoch),
    /// Add or Max met a row that is no number.
    NoNumber,
}

impl Model {
    pub fn commit(&mut self, batch: &Batch) -> Result<Version, Refusal> {
        if batch.epoch.is_some_and(|epoch| epoch != self.epoch) {
            return Err(Refusal::Fenced(self.epoch));
        }
        if let Some(failed) = batch.preconditions.iter().position(|it| !self.holds(it)) {
            return Err(Refusal::Precondition(failed));
        }
        let mut after = self.clone();
        after.version += 1;
        for op in &batch.ops {
            after.apply(op)?;
        }
        after.outcomes.insert(batch.id.0, after.version);
        *self = after;
        Ok(self.version)
    }

    fn row(&self, table: Table, key: &Bytes) -> Option<&Bytes> {
        self.rows.get(&(table.name, key.clone()))
    }

    fn holds(&self, precondition: &Precondition) -> bool {
        match precondition {
            Precondition::Absent(table, key) => self.row(*table, key).is_none(),
            Precondition::Present(table, key) => self.row(*table, key).is_some(),
            Precondition::Equals(table, key, value) => self.row(*table, key) == Some(value),
            Precondition::VersionIs(version) => self.version == *version,
        }
    }

    fn apply(&mut self, op: &Op) -> Result<(), Refusal> {
        match op {
            Op::Put(table, key, value) => self.put(*table, key.to_vec(), value.to_vec()),
            Op::PutAtVersion { table, prefix, suffix, value } => {
                let key = [prefix, self.version.to_be_bytes().as_slice(), suffix].concat();
                self.put(*table, key, value.to_vec());
            }
            Op::PutStamped(table, key, value) => {
                let value = [self.version.to_be_bytes().as_slice(), value].concat();
                self.put(*table, key.to_vec(), value);
            }
            Op::Delete(table, key) => drop(self.rows.remove(&(table.name, key.clone()))),
            Op::DeleteRange(table, from, to) => {
                self.rows.retain(|(of, key), _| *of != table.name || key < from || key >= to);
            }
            Op::Add(table, key, amount) => {
                let sum = i64::from_be_bytes(self.number(*table, key)?).saturating_add(*amount);
                self.put(*table, key.to_vec(), sum.to_be_bytes().to_vec());
            }
            Op::Max(table, key, least) => {
                let max = u64::from_be_bytes(self.number(*table, key)?).max(*least);
                self.put(*table, key.to_vec(), max.to_be_bytes().to_vec());
            }
        }
        Ok(())
    }

    fn put(&mut self, table: Table, key: Vec<u8>, value: Vec<u8>) {
        self.rows.insert((table.name, key.into()), value.into());
    }

    fn number(&self, table: Table, key: &Bytes) -> Result<[u8; 8], Refusal> {
        match self.row(table, key) {
            None => Ok([0; 8]),
            Some(row) => row.as_ref().try_into().map_err(|_| Refusal::NoNumber),
        }
    }

    fn in_range(&self, table: Table, from: &[u8], to: &[u8]) -> Vec<(Bytes, Bytes)> {
        self.rows
            .iter()
            .filter(|((of, key), _)| *of == table.name && *from <= **key && **key < *to)
            .map(|((_, key), value)| (key.clone(), value.clone()))
            .collect()
    }

    pub fn scan(
        &self,
        table: Table,
        from: &[u8],
        to: &[u8],
        reverse: bool,
        limit: usize,
    ) -> (Vec<(Bytes, Bytes)>, bool) {
        let mut rows = self.in_range(table, from, to);
        if reverse {
            rows.reverse();
        }
        let more = rows.len() > limit;
        rows.truncate(limit);
        (rows, more)
    }

    /// The snapshot shows exactly these rows.
    pub fn assert_is(&self, snapshot: &Snapshot) {
        for table in TABLES {
            let mut found = Vec::new();
            let scanned = snapshot.scan_prefix(table, b"", |key, value| {
                found.push((Bytes::copy_from_slice(key), value));
                Ok(())
            });
            scanned.expect("a scan");
            let expected = self.in_range(table, b"", &after_prefix(b""));
            assert_eq!(found, expected);
            let keys: Vec<Bytes> = expected.iter().map(|(key, _)| key.clone()).collect();
            let values = snapshot.multi_get(table, &keys).expect("a read");
            assert_eq!(values, expected.into_iter().map(|row| Some(row.1)).collect::<Vec<_>>());
        }
    }
}
