//! The limits of a batch, the same for every engine whatever it could hold itself.

use bytes::Bytes;

use crate::{
    BATCH_BYTES_MAX, Batch, CommitError, KEY_BYTES_MAX, Op, Precondition, Table, VALUE_BYTES_MAX,
};

/// What an op or a precondition costs besides its key and value: it keeps a batch of very many
/// tiny ops from being free.
const ITEM_BYTES: usize = 16;
/// The end of a range may be one prefix longer than a key: [`after_prefix`](crate::after_prefix)
/// answers a bound above every key.
const BOUND_BYTES_MAX: usize = KEY_BYTES_MAX + 4;
const VERSION_BYTES: usize = 8;

/// The bytes of the batch, or why no engine with these tables would take it.
pub(crate) fn check(batch: &Batch, tables: &[Table]) -> Result<usize, CommitError> {
    if let Some(table) = unknown_table(batch, tables) {
        return Err(CommitError::Unavailable {
            why: format!("there is no table {}", table.name).into(),
        });
    }
    measure(batch)
}

fn measure(batch: &Batch) -> Result<usize, CommitError> {
    let mut bytes = 0;
    for precondition in &batch.preconditions {
        bytes += ITEM_BYTES
            + match precondition {
                Precondition::Absent(_, key) | Precondition::Present(_, key) => measure_key(key)?,
                Precondition::Equals(_, key, value) => measure_key(key)? + measure_value(value)?,
                Precondition::VersionIs(_) => 0,
            };
    }
    for op in &batch.ops {
        bytes += ITEM_BYTES
            + match op {
                Op::Put(_, key, value) => measure_key(key)? + measure_value(value)?,
                Op::PutStamped(_, key, value) => {
                    let value = value.len() + VERSION_BYTES;
                    measure_key(key)? + within(value, VALUE_BYTES_MAX, VALUE)?
                }
                Op::PutAtVersion { prefix, suffix, value, .. } => {
                    let key = prefix.len() + VERSION_BYTES + suffix.len();
                    within(key, KEY_BYTES_MAX, KEY)? + measure_value(value)?
                }
                Op::Delete(_, key) => measure_key(key)?,
                Op::DeleteRange(_, from, to) => {
                    within(from.len(), BOUND_BYTES_MAX, KEY)?
                        + within(to.len(), BOUND_BYTES_MAX, KEY)?
                }
                Op::Add(_, key, _) | Op::Max(_, key, _) => measure_key(key)? + VERSION_BYTES,
            };
    }
    within(bytes, BATCH_BYTES_MAX, "a batch has at most 8,000,000 bytes")
}

/// The first table of the batch that is not one of `tables`.
fn unknown_table(batch: &Batch, tables: &[Table]) -> Option<Table> {
    let of_preconditions =
        batch.preconditions.iter().filter_map(|precondition| match precondition {
            Precondition::Absent(table, _)
            | Precondition::Present(table, _)
            | Precondition::Equals(table, _, _) => Some(*table),
            Precondition::VersionIs(_) => None,
        });
    let of_ops = batch.ops.iter().map(|op| match op {
        Op::Put(table, _, _)
        | Op::PutStamped(table, _, _)
        | Op::PutAtVersion { table, .. }
        | Op::Delete(table, _)
        | Op::DeleteRange(table, _, _)
        | Op::Add(table, _, _)
        | Op::Max(table, _, _) => *table,
    });
    of_preconditions.chain(of_ops).find(|table| !tables.contains(table))
}

const KEY: &str = "a key has at most 1,024 bytes";
const VALUE: &str = "a value has at most 90,000 bytes";

fn measure_key(key: &Bytes) -> Result<usize, CommitError> {
    within(key.len(), KEY_BYTES_MAX, KEY)
}

fn measure_value(value: &Bytes) -> Result<usize, CommitError> {
    within(value.len(), VALUE_BYTES_MAX, VALUE)
}

fn within(bytes: usize, max: usize, limit: &'static str) -> Result<usize, CommitError> {
    if bytes <= max { Ok(bytes) } else { Err(CommitError::TooLarge(limit)) }
}
