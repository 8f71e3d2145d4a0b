//! A process that commits is killed again and again: nothing that it acknowledged may be missing,
//! and versions stay dense.

use std::{
    collections::HashMap,
    hash::{BuildHasher, RandomState},
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Child, Command, Stdio},
    sync::Arc,
};

use bytes::Bytes;
use kv::{
    Batch, BatchId, Engine, HomeserverId, Op, Outcome, Profile, RocksEngine, RocksOptions, Store,
    StoreError, Table,
};

const ROWS: Table = Table { name: "rows", profile: Profile::Random };
const LOG: Table = Table { name: "log", profile: Profile::Ordered };
const FOLDER: &str = "KV_TEST_CRASH_FOLDER";
const ROUND: &str = "KV_TEST_CRASH_ROUND";
const ROUNDS: u64 = 20;
/// A round is killed after at most so many acknowledgements.
const ACKNOWLEDGED_MAX: u64 = 400;
const WRITERS: u64 = 6;
const HOMESERVERS: u32 = 2;

fn open(folder: &Path) -> Arc<RocksEngine> {
    // Small buffers, so that tables are written and logs are dropped between two kills, too.
    let mut options = RocksOptions::new(Arc::new(|| 1_800_000_000));
    options.write_buffer_bytes = 256 << 10;
    Arc::new(RocksEngine::open(folder, &[ROWS, LOG], options).expect("a store"))
}

#[test]
fn a_second_process_is_refused_and_killed_ones_lose_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut acknowledged = HashMap::new();
    for round in 0..ROUNDS {
        let mut child = start(folder.path(), round);
        // Different on every run; any number will do.
        let kill_after = 1 + RandomState::new().hash_one(round) % ACKNOWLEDGED_MAX;
        let mut lines = BufReader::new(child.stdout.take().expect("its output")).lines();
        let mut told = lines.by_ref().map(|line| line.expect("a line")).filter_map(parse);
        for _ in 0..kill_after {
            let (name, version) = told.next().expect("the process commits until it is killed");
            acknowledged.insert(name, version);
        }
        if round == 0 {
            refuses_a_second_process(folder.path());
        }
        child.kill().expect("a kill");
        child.wait().expect("an end");
        // What it said before it died counts as well.
        acknowledged.extend(lines.map_while(Result::ok).filter_map(parse));
        check(folder.path(), &acknowledged);
    }
}

/// Homeserver and number of a commit.
type Name = (u32, u64);

fn parse(line: String) -> Option<(Name, u64)> {
    let mut numbers = line.strip_prefix("acknowledged ")?.split(' ');
    let homeserver = numbers.next()?.parse().ok()?;
    let n = numbers.next()?.parse().ok()?;
    // A line that the kill cut short was not said.
    let version = numbers.next()?.strip_suffix('.')?.parse().ok()?;
    Some(((homeserver, n), version))
}

fn start(folder: &Path, round: u64) -> Child {
    Command::new(std::env::current_exe().expect("this program"))
        .args(["the_process_that_is_killed", "--exact", "--nocapture"])
        .env(FOLDER, folder)
        .env(ROUND, round.to_string())
        .stdout(Stdio::piped())
        .spawn()
        .expect("a process")
}

fn refuses_a_second_process(folder: &Path) {
    let options = RocksOptions::new(Arc::new(|| 1_800_000_000));
    match RocksEngine::open(folder, &[ROWS, LOG], options) {
        Err(StoreError::Open(why)) => assert!(why.contains("in use by another process"), "{why}"),
        Err(error) => panic!("{error}"),
        Ok(_) => panic!("two processes have one store"),
    }
}

/// Only does something when the test above has started it.
#[test]
fn the_process_that_is_killed() {
    let (Some(folder), Some(round)) = (std::env::var_os(FOLDER), std::env::var_os(ROUND)) else {
        return;
    };
    let round: u64 = round.to_str().and_then(|round| round.parse().ok()).expect("a number");
    let engine: Arc<dyn Engine> = open(folder.as_ref());
    let writers: Vec<_> = (0..WRITERS)
        .map(|writer| {
            let homeserver = HomeserverId(writer as u32 % HOMESERVERS);
            let store = Store::new(engine.clone(), homeserver);
            std::thread::spawn(move || {
                for n in 0.. {
                    commit(&store, round * 10_000_000 + n * WRITERS + writer);
                }
            })
        })
        .collect();
    for writer in writers {
        writer.join().expect("a writer");
    }
}

fn commit(store: &Store, n: u64) {
    let mut batch = Batch::new(BatchId(n.into()));
    batch.put(ROWS, n.to_be_bytes().to_vec(), vec![b'x'; 500 + (n as usize % 1_000)]);
    batch.put_at_version(LOG, "", "", n.to_be_bytes().to_vec());
    batch.ops.push(Op::Add(ROWS, Bytes::from_static(b"count"), 1));
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let version = runtime.block_on(store.commit(batch)).expect("a commit").version;
    let line = format!("acknowledged {} {n} {version}.\n", store.homeserver().0);
    std::io::stdout().write_all(line.as_bytes()).expect("a line");
}

fn check(folder: &Path, acknowledged: &HashMap<Name, u64>) {
    let engine = open(folder);
    for homeserver in 0..HOMESERVERS {
        let store = Store::new(engine.clone(), HomeserverId(homeserver));
        let snapshot = store.snapshot();
        let mut log = Vec::new();
        let scanned = snapshot.scan_prefix(LOG, b"", |key, value| {
            log.push((number(key), number(&value)));
            Ok(())
        });
        scanned.expect("a scan");
        let version = store.version().expect("a version");
        assert_eq!(log.len() as u64, version);
        assert!(log.iter().zip(1..).all(|((found, _), expected)| *found == expected));
        let count = snapshot.get(ROWS, b"count").expect("a read").map_or(0, |row| number(&row));
        assert_eq!(count, version, "each commit counted itself once");
        for ((_, n), version) in acknowledged.iter().filter(|(name, _)| name.0 == homeserver) {
            assert_eq!(log.get(*version as usize - 1), Some(&(*version, *n)));
            assert!(snapshot.get(ROWS, &n.to_be_bytes()).expect("a read").is_some());
            let outcome = store.outcome(BatchId((*n).into())).expect("an outcome");
            assert_eq!(outcome, Outcome::Committed(*version));
        }
    }
}

fn number(bytes: &[u8]) -> u64 {
    u64::from_be_bytes(bytes.try_into().expect("eight bytes"))
}
