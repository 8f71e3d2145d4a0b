//! What the durable engine takes when nobody uses it: memory, time to open, bytes per message.
//!
//! `cargo run --release -p kv --example footprint`

use std::{fs, path::Path, sync::Arc};

use kv::{Batch, BatchId, Engine, HomeserverId, Profile, RocksEngine, RocksOptions, Store, Table};
use tokio::time::Instant;

const MESSAGES: u64 = 200_000;
const WAITING: usize = 256;

/// As many tables as a homeserver has; the first three are written to by messages.
const NAMES: [&str; 30] = [
    "a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l", "m", "n", "o", "p", "q", "r", "s",
    "t", "u", "v", "w", "x", "y", "z", "aa", "ab", "ac", "ad",
];

fn tables() -> Vec<Table> {
    let profile = |index| if index % 2 == 0 { Profile::Ordered } else { Profile::Random };
    let table = |(index, name): (usize, &&'static str)| Table { name, profile: profile(index) };
    NAMES.iter().enumerate().map(table).collect()
}

fn open(folder: &Path, tables: &[Table]) -> Result<Arc<dyn Engine>, kv::StoreError> {
    let begin = Instant::now();
    let options = RocksOptions::new(Arc::new(|| 1_800_000_000));
    let engine = Arc::new(RocksEngine::open(folder, tables, options)?);
    println!("opened in {:.0} ms", begin.elapsed().as_secs_f64() * 1e3);
    Ok(engine)
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = tempfile::tempdir()?;
    let tables = tables();
    report("before the store is opened", folder.path())?;
    let engine = open(folder.path(), &tables)?;
    report("empty", folder.path())?;
    let store = Store::new(engine.clone(), HomeserverId(1));
    let mut commits = std::collections::VecDeque::new();
    for n in 0..MESSAGES {
        commits.push_back(store.submit(message(&tables, n)));
        if commits.len() >= WAITING
            && let Some(commit) = commits.pop_front()
        {
            commit.await?;
        }
    }
    for commit in commits {
        commit.await?;
    }
    report("after the messages", folder.path())?;
    drop((store, engine));
    report("closed", folder.path())?;
    let engine = open(folder.path(), &tables)?;
    report("opened again", folder.path())?;
    println!("{:.0} bytes per message on disk", bytes_in(folder.path())? as f64 / MESSAGES as f64);
    drop(engine);
    let engine = open(folder.path(), &tables)?;
    report("opened once more", folder.path())?;
    drop(engine);
    Ok(())
}

/// What differs from message to message cannot be compressed: names, hashes, signature.
fn message(tables: &[Table], n: u64) -> Batch {
    let random = |salt: u128| {
        let mut word = (u128::from(n) << 8) | salt;
        (0..4).map(move |_| {
            word = (word ^ (word >> 59)).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
            format!("{:016x}", (word >> 64) as u64)
        })
    };
    let text = |salt| random(salt).collect::<String>();
    let words = ["the", "order", "of", "today", "is", "ready", "please", "call", "me", "back"];
    let body: Vec<&str> = random(1)
        .flat_map(|word| word.bytes().map(|byte| words[usize::from(byte) % 10]).collect::<Vec<_>>())
        .take(20)
        .collect();
    let record = format!(
        r#"{{"allowed_by":["${}","$b","$c"],"content":{{"body":"{}","msgtype":"text"}},"depth":{n},
        "hashes":{{"sha256":"{}"}},"origin_server_ts":{},"before":["${}"],
        "channel":"!channel{}:acme.example","sender":"@user{}:acme.example",
        "signatures":{{"acme.example":{{"ed25519:1":"{}{}"}}}},"type":"message"}}"#,
        &text(9)[..43],
        body.join(" "),
        &text(3)[..43],
        1_800_000_000_000 + n * 977,
        &text(4)[..43],
        n % 50,
        n % 20,
        text(5),
        &text(6)[..22],
    );
    let mut batch = Batch::new(BatchId(n.into()));
    batch.put(tables[1], text(7).into_bytes()[..32].to_vec(), n.to_be_bytes().to_vec());
    batch.put(tables[0], n.to_be_bytes().to_vec(), record);
    batch.put_at_version(tables[2], (n % 50).to_be_bytes().to_vec(), "", n.to_be_bytes().to_vec());
    batch
}

fn report(when: &str, folder: &Path) -> std::io::Result<()> {
    let status = fs::read_to_string("/proc/self/status")?;
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    println!(
        "{when}: resident {}, on disk {} KiB",
        resident.unwrap_or("unknown").trim(),
        bytes_in(folder)? >> 10
    );
    Ok(())
}

fn bytes_in(folder: &Path) -> std::io::Result<u64> {
    fs::read_dir(folder)?.map(|entry| Ok(entry?.metadata()?.len())).sum()
}
