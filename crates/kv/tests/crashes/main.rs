//! A process that commits is ended again and again: nothing that it acknowledged may be missing,
//! and versions stay dense.

mod kill;
mod power_cut;
mod witness;

use std::{io::Write, path::Path, sync::Arc};

use bytes::Bytes;
use kv::{
    Batch, BatchId, Engine, HomeserverId, Op, Profile, RocksEngine, RocksOptions, Store, Table,
};

const ROWS: Table = Table { name: "rows", profile: Profile::Random };
const LOG: Table = Table { name: "log", profile: Profile::Ordered };
const FOLDER: &str = "KV_TEST_CRASH_FOLDER";
const ROUND: &str = "KV_TEST_CRASH_ROUND";
const WRITERS: u64 = 6;
const HOMESERVERS: u32 = 2;

fn open(folder: &Path) -> Arc<RocksEngine> {
    // Small buffers, so that tables are written and logs are dropped between two crashes, too.
    let mut options = RocksOptions::new(Arc::new(|| 1_800_000_000));
    options.write_buffer_bytes = 256 << 10;
    Arc::new(RocksEngine::open(folder, &[ROWS, LOG], options).expect("a store"))
}

/// Only does something when another test has started it: commits until it is ended.
#[test]
fn the_process_that_is_ended() {
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

fn number(bytes: &[u8]) -> u64 {
    u64::from_be_bytes(bytes.try_into().expect("eight bytes"))
}
