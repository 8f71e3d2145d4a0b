//! What a commit asks for.

use bytes::Bytes;

use crate::{Epoch, Table};

/// Names a commit, so that an unknown outcome can be asked for later.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct BatchId(pub u128);

/// Changes that happen together or not at all. Keys are without the homeserver's prefix; the
/// [`Store`](crate::Store) adds it.
#[derive(Clone, Debug)]
pub struct Batch {
    pub id: BatchId,
    /// The epoch that the writer believes to hold; `None` for writers that hold no lease.
    pub epoch: Option<Epoch>,
    pub preconditions: Vec<Precondition>,
    pub ops: Vec<Op>,
}

/// What must be true of the store just before the batch is applied.
#[derive(Clone, Debug)]
pub enum Precondition {
    Absent(Table, Bytes),
    Present(Table, Bytes),
    Equals(Table, Bytes, Bytes),
    /// The homeserver's version is exactly this one.
    VersionIs(u64),
}

/// One change. Later ops of a batch win over earlier ones on the same key.
#[derive(Clone, Debug)]
pub enum Op {
    Put(Table, Bytes, Bytes),
    /// Puts at the key `prefix ‖ version (u64, big-endian) ‖ suffix`, where version is the one
    /// that this commit gets.
    PutAtVersion {
        table: Table,
        prefix: Bytes,
        suffix: Bytes,
        value: Bytes,
    },
    /// Puts the value with the version that this commit gets (u64, big-endian) in front of it.
    PutStamped(Table, Bytes, Bytes),
    Delete(Table, Bytes),
    /// Deletes the keys in `from..to`.
    DeleteRange(Table, Bytes, Bytes),
    /// Adds to a counter (i64, big-endian; absent is 0).
    Add(Table, Bytes, i64),
    /// Raises a number (u64, big-endian; absent is 0) to at least this.
    Max(Table, Bytes, u64),
}

impl Batch {
    pub fn new(id: BatchId) -> Self {
        Self { id, epoch: None, preconditions: Vec::new(), ops: Vec::new() }
    }

    pub fn put(&mut self, table: Table, key: impl Into<Bytes>, value: impl Into<Bytes>) {
        self.ops.push(Op::Put(table, key.into(), value.into()));
    }

    /// See [`Op::PutAtVersion`].
    pub fn put_at_version(
        &mut self,
        table: Table,
        prefix: impl Into<Bytes>,
        suffix: impl Into<Bytes>,
        value: impl Into<Bytes>,
    ) {
        self.ops.push(Op::PutAtVersion {
            table,
            prefix: prefix.into(),
            suffix: suffix.into(),
            value: value.into(),
        });
    }

    /// See [`Op::PutStamped`].
    pub fn put_stamped(&mut self, table: Table, key: impl Into<Bytes>, value: impl Into<Bytes>) {
        self.ops.push(Op::PutStamped(table, key.into(), value.into()));
    }

    pub fn delete(&mut self, table: Table, key: impl Into<Bytes>) {
        self.ops.push(Op::Delete(table, key.into()));
    }

    pub fn require(&mut self, precondition: Precondition) {
        self.preconditions.push(precondition);
    }
}
