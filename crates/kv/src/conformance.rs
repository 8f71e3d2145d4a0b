//! What every engine must do, as a table of cases. An engine passes when each case runs on it
//! without a panic.

mod counters;
mod limits;
mod preconditions;
mod reads;
mod snapshots;
mod versions;
mod whole;
mod writes;

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;

use crate::{
    Batch, BatchId, CommitError, Committed, Engine, HomeserverId, Op, Page, Precondition, Profile,
    Snapshot, Store, StoreError, Table, Version,
};

/// The tables that an engine must be opened with to be examined.
pub const TABLES: [Table; 3] = [LOOSE, LOG, TICKETS];

pub const LOOSE: Table = Table { name: "loose", profile: Profile::Random };
pub const LOG: Table = Table { name: "log", profile: Profile::Ordered };
pub const TICKETS: Table =
    Table { name: "tickets", profile: Profile::Expiring { ttl_s: 1_000_000_000 } };

/// A case: what it is about, and the code that panics when it is not so.
pub struct Case {
    pub name: &'static str,
    pub run: fn(&World),
}

/// Every case.
pub fn cases() -> impl Iterator<Item = &'static Case> {
    [
        writes::CASES,
        versions::CASES,
        preconditions::CASES,
        counters::CASES,
        reads::CASES,
        snapshots::CASES,
        limits::CASES,
        whole::CASES,
    ]
    .into_iter()
    .flatten()
}

/// Runs every case, each on homeservers of its own; the names of those that failed.
pub fn examine(engine: Arc<dyn Engine>) -> Vec<&'static str> {
    let homeservers = Arc::new(AtomicU32::new(1));
    cases()
        .filter(|case| {
            let world = World::new(engine.clone(), homeservers.clone());
            let run = std::panic::AssertUnwindSafe(|| (case.run)(&world));
            std::panic::catch_unwind(run).is_err()
        })
        .map(|case| case.name)
        .collect()
}

/// Two homeservers that nobody else uses, and short ways to use them.
pub struct World {
    pub engine: Arc<dyn Engine>,
    pub acme: Store,
    pub globex: Store,
    batches: AtomicU64,
    runtime: tokio::runtime::Runtime,
}

/// No future of a working engine takes this long.
const PATIENCE: Duration = Duration::from_secs(60);

impl World {
    fn new(engine: Arc<dyn Engine>, homeservers: Arc<AtomicU32>) -> Self {
        let first = homeservers.fetch_add(2, Ordering::Relaxed);
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
        Self {
            acme: Store::new(engine.clone(), HomeserverId(first)),
            globex: Store::new(engine.clone(), HomeserverId(first + 1)),
            engine,
            batches: AtomicU64::new(0),
            runtime,
        }
    }

    /// An empty batch with an id of its own.
    fn batch(&self) -> Batch {
        Batch::new(BatchId(self.batches.fetch_add(1, Ordering::Relaxed).into()))
    }

    /// A batch that does nothing but require.
    fn requiring(&self, precondition: Precondition) -> Batch {
        let mut batch = self.batch();
        batch.require(precondition);
        batch
    }

    fn of(&self, ops: impl IntoIterator<Item = Op>) -> Batch {
        let mut batch = self.batch();
        batch.ops.extend(ops);
        batch
    }

    fn wait<T>(&self, future: impl Future<Output = T>) -> T {
        self.runtime.block_on(async {
            tokio::time::timeout(PATIENCE, future).await.expect("the engine answers")
        })
    }

    fn commit(&self, batch: Batch) -> Result<Committed, CommitError> {
        self.wait(self.acme.commit(batch))
    }

    /// Commits a batch that must succeed.
    fn done(&self, batch: Batch) -> Version {
        self.commit(batch).expect("a commit").version
    }

    fn do_ops(&self, ops: impl IntoIterator<Item = Op>) -> Version {
        self.done(self.of(ops))
    }

    fn refusal(&self, batch: Batch) -> CommitError {
        self.commit(batch).expect_err("a refusal")
    }

    fn get(&self, table: Table, key: &str) -> Option<String> {
        read(&self.acme.snapshot(), table, key)
    }

    fn keys(&self, table: Table) -> Vec<String> {
        keys(&self.acme.snapshot(), table)
    }
}

fn put(table: Table, key: &str, value: &str) -> Op {
    Op::Put(table, bytes(key), bytes(value))
}

fn delete(table: Table, key: &str) -> Op {
    Op::Delete(table, bytes(key))
}

fn delete_range(table: Table, from: &str, to: &str) -> Op {
    Op::DeleteRange(table, bytes(from), bytes(to))
}

fn bytes(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("text")
}

fn read(snapshot: &Snapshot, table: Table, key: &str) -> Option<String> {
    snapshot.get(table, key.as_bytes()).expect("a read").map(|value| text(&value))
}

fn keys(snapshot: &Snapshot, table: Table) -> Vec<String> {
    let mut keys = Vec::new();
    let found: Result<(), StoreError> = snapshot.scan_prefix(table, b"", |key, _| {
        keys.push(text(key));
        Ok(())
    });
    found.expect("a scan");
    keys
}

fn page_keys(page: &Page) -> Vec<String> {
    page.rows.iter().map(|(key, _)| text(key)).collect()
}
