//! Random histories: every engine agrees with a model that is too simple to be wrong.

mod model;

use std::sync::Arc;

use bytes::Bytes;
use proptest::{collection::vec, prelude::*, sample::select};

use self::model::Model;
use crate::{
    Batch, BatchId, CommitError, Engine, Epoch, HomeserverId, MemoryEngine, Op, Outcome,
    Precondition, RocksEngine, RocksOptions, Snapshot, Store, Table, Version, conformance::TABLES,
};

/// What happens to an engine.
#[derive(Clone, Debug)]
enum Step {
    /// Batches that are all submitted before the first is waited for.
    Group(Vec<(usize, Draft)>),
    Fence(usize),
    Erase(usize),
    Raise(usize, Version),
    Snapshot(usize),
    DropSnapshot,
    Scan(usize, Table, Bytes, Bytes, bool, usize),
    Reopen,
}

/// A batch whose epoch is told relative to the newest one.
#[derive(Clone, Debug)]
struct Draft {
    epoch: Option<i64>,
    preconditions: Vec<Precondition>,
    ops: Vec<Op>,
}

const HOMESERVERS: [HomeserverId; 2] = [HomeserverId(3), HomeserverId(u32::MAX)];

fn table() -> impl Strategy<Value = Table> {
    select(&TABLES[..])
}

/// Few keys, so that ops meet; the bytes at both ends of the order among them.
fn key() -> impl Strategy<Value = Bytes> {
    vec(select(vec![0, 1, b'a', 0xff]), 0..3).prop_map(Bytes::from)
}

fn value() -> impl Strategy<Value = Bytes> {
    prop_oneof![
        vec(any::<u8>(), 0..4).prop_map(Bytes::from),
        any::<i64>().prop_map(|number| Bytes::copy_from_slice(&number.to_be_bytes())),
    ]
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        4 => (table(), key(), value()).prop_map(|(table, key, value)| Op::Put(table, key, value)),
        2 => (table(), key(), key(), value()).prop_map(|(table, prefix, suffix, value)| {
            Op::PutAtVersion { table, prefix, suffix, value }
        }),
        1 => (table(), key(), value())
            .prop_map(|(table, key, value)| Op::PutStamped(table, key, value)),
        2 => (table(), key()).prop_map(|(table, key)| Op::Delete(table, key)),
        1 => (table(), key(), key()).prop_map(|(table, from, to)| Op::DeleteRange(table, from, to)),
        2 => (table(), key(), any::<i64>()).prop_map(|(table, key, n)| Op::Add(table, key, n)),
        2 => (table(), key(), any::<u64>()).prop_map(|(table, key, n)| Op::Max(table, key, n)),
    ]
}

fn precondition() -> impl Strategy<Value = Precondition> {
    prop_oneof![
        (table(), key()).prop_map(|(table, key)| Precondition::Absent(table, key)),
        (table(), key()).prop_map(|(table, key)| Precondition::Present(table, key)),
        (table(), key(), value())
            .prop_map(|(table, key, value)| Precondition::Equals(table, key, value)),
        (0..20u64).prop_map(Precondition::VersionIs),
    ]
}

fn draft() -> impl Strategy<Value = Draft> {
    let epoch = prop_oneof![3 => Just(None), 2 => Just(Some(0)), 1 => (-2..2i64).prop_map(Some)];
    (epoch, vec(precondition(), 0..2), vec(op(), 0..6))
        .prop_map(|(epoch, preconditions, ops)| Draft { epoch, preconditions, ops })
}

fn step() -> impl Strategy<Value = Step> {
    let homeserver = || 0..HOMESERVERS.len();
    prop_oneof![
        12 => vec((homeserver(), draft()), 1..6).prop_map(Step::Group),
        2 => homeserver().prop_map(Step::Fence),
        1 => homeserver().prop_map(Step::Erase),
        1 => (homeserver(), 0..30u64).prop_map(|(who, least)| Step::Raise(who, least)),
        2 => homeserver().prop_map(Step::Snapshot),
        1 => Just(Step::DropSnapshot),
        6 => (homeserver(), table(), key(), key(), any::<bool>(), 0..5usize)
            .prop_map(|(who, table, from, to, reverse, limit)| {
                Step::Scan(who, table, from, to, reverse, limit)
            }),
        1 => Just(Step::Reopen),
    ]
}

/// An engine under test, and how to start it again.
struct Subject {
    engine: Option<Arc<dyn Engine>>,
    reopen: Reopen,
}

/// Takes the old engine, so that it can be gone before the new one comes.
type Reopen = Box<dyn Fn(Option<Arc<dyn Engine>>) -> Arc<dyn Engine>>;

impl Subject {
    fn store(&self, homeserver: usize) -> Store {
        Store::new(self.engine.clone().expect("open"), HOMESERVERS[homeserver])
    }
}

fn wait<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().expect("a runtime").block_on(future)
}

fn agrees(mut subject: Subject, steps: Vec<Step>) {
    let mut models: Vec<Model> = HOMESERVERS.iter().map(|_| Model::default()).collect();
    let mut snapshots: Vec<(Snapshot, Model)> = Vec::new();
    let mut ids = 0;
    for step in steps {
        match step {
            Step::Group(drafts) => run_group(&subject, &mut models, drafts, &mut ids),
            Step::Fence(who) => {
                models[who].epoch += 1;
                let epoch: Epoch = wait(subject.store(who).fence()).expect("an epoch");
                assert_eq!(epoch, models[who].epoch);
            }
            Step::Erase(who) => {
                models[who] = Model::default();
                let engine = subject.engine.clone().expect("open");
                wait(engine.erase(HOMESERVERS[who])).expect("an erasure");
            }
            Step::Raise(who, least) => {
                models[who].version = models[who].version.max(least);
                let engine = subject.engine.clone().expect("open");
                let raised = wait(engine.raise_version(HOMESERVERS[who], least));
                assert_eq!(raised.expect("a version").version, models[who].version);
            }
            Step::Snapshot(who) => {
                snapshots.push((subject.store(who).snapshot(), models[who].clone()));
            }
            Step::DropSnapshot => drop(snapshots.pop()),
            Step::Scan(who, table, from, to, reverse, limit) => {
                let page = subject.store(who).snapshot().scan(table, &from, &to, reverse, limit);
                let page = page.expect("a scan");
                let expected = models[who].scan(table, &from, &to, reverse, limit);
                assert_eq!((page.rows, page.more), expected);
            }
            Step::Reopen => {
                snapshots.drain(..).for_each(|(snapshot, model)| model.assert_is(&snapshot));
                subject.engine = Some((subject.reopen)(subject.engine.take()));
            }
        }
    }
    snapshots.iter().for_each(|(snapshot, model)| model.assert_is(snapshot));
    for (who, model) in models.iter().enumerate() {
        let store = subject.store(who);
        model.assert_is(&store.snapshot());
        assert_eq!(store.version().expect("a version"), model.version);
        for id in 0..ids {
            let outcome = match model.outcomes.get(&id) {
                Some(version) => Outcome::Committed(*version),
                None => Outcome::NotCommitted,
            };
            assert_eq!(store.outcome(BatchId(id)).expect("an outcome"), outcome);
        }
    }
}

fn run_group(subject: &Subject, models: &mut [Model], drafts: Vec<(usize, Draft)>, ids: &mut u128) {
    let mut commits = Vec::new();
    for (who, draft) in drafts {
        let epoch = draft.epoch.map(|offset| models[who].epoch.saturating_add_signed(offset));
        let batch =
            Batch { id: BatchId(*ids), epoch, preconditions: draft.preconditions, ops: draft.ops };
        *ids += 1;
        let expected = models[who].commit(&batch);
        commits.push((subject.store(who).submit(batch), expected));
    }
    for (commit, expected) in commits {
        let told = match wait(commit) {
            Ok(committed) => Ok(committed.version),
            Err(CommitError::Precondition(index)) => Err(model::Refusal::Precondition(index)),
            Err(CommitError::Fenced { now }) => Err(model::Refusal::Fenced(now)),
            Err(CommitError::Unavailable { .. }) => Err(model::Refusal::NoNumber),
            Err(error) => panic!("{error}"),
        };
        assert_eq!(told, expected);
    }
}

fn open_rocks(folder: &std::path::Path) -> Arc<dyn Engine> {
    let options = RocksOptions::new(Arc::new(|| 1_800_000_000));
    Arc::new(RocksEngine::open(folder, &TABLES, options).expect("a store"))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_memory_engine_agrees_with_the_model(steps in vec(step(), 1..40)) {
        let engine = MemoryEngine::new(&TABLES);
        let restart = engine.clone();
        agrees(
            Subject {
                engine: Some(Arc::new(engine)),
                reopen: Box::new(move |_| {
                    restart.power_cut();
                    Arc::new(restart.clone())
                }),
            },
            steps,
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_rocksdb_engine_agrees_with_the_model(steps in vec(step(), 1..40)) {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().to_owned();
        let engine = open_rocks(&path);
        agrees(
            Subject {
                engine: Some(engine),
                reopen: Box::new(move |old| {
                    drop(old);
                    open_rocks(&path)
                }),
            },
            steps,
        );
    }
}
