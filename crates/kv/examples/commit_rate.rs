//! How fast the durable engine commits on this disk, and what a commit costs.
//!
//! `cargo run --release -p kv --example commit_rate [FOLDER]`

use std::{fs, path::PathBuf, sync::Arc, time::Duration};

use bytes::Bytes;
use kv::{
    Batch, BatchId, Engine, HomeserverId, Op, Precondition, Profile, RocksEngine, RocksOptions,
    Store, Table,
};
use tokio::{task::JoinSet, time::Instant};

const LOG: Table = Table { name: "log", profile: Profile::Ordered };
const STREAM: Table = Table { name: "stream", profile: Profile::Ordered };
const STATE: Table = Table { name: "state", profile: Profile::Random };
const TICKETS: Table = Table { name: "tickets", profile: Profile::Expiring { ttl_s: 86_400 } };
const TABLES: [Table; 4] = [LOG, STREAM, STATE, TICKETS];

/// How long each measurement takes.
const LENGTH: Duration = Duration::from_secs(4);
/// Ticks of the kernel's accounting of CPU time.
const TICKS_PER_SECOND: f64 = 100.0;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let scratch = tempfile::tempdir()?;
    let folder = std::env::args_os().nth(1).map_or(scratch.path().to_owned(), PathBuf::from);
    println!("writers  commits/s  mean ms  p99 ms  CPU µs/commit  of these: committer");
    let mut commits = 0;
    for writers in [1, 8, 64, 512] {
        commits += measure(&folder.join(writers.to_string()), writers).await?;
    }
    println!("{} bytes on disk per commit", bytes_in(&folder)? / commits.max(1));
    Ok(())
}

async fn measure(
    folder: &std::path::Path,
    writers: u32,
) -> Result<u64, Box<dyn std::error::Error>> {
    let options = RocksOptions::new(Arc::new(|| 1_800_000_000));
    let engine: Arc<dyn Engine> = Arc::new(RocksEngine::open(folder, &TABLES, options)?);
    let begin = Instant::now();
    let before = (cpu_seconds("self")?, committer_seconds()?);
    let mut tasks = JoinSet::new();
    for writer in 0..writers {
        let store = Store::new(engine.clone(), HomeserverId(writer % 10));
        tasks.spawn(async move {
            let mut latencies = Vec::new();
            for n in 0.. {
                let start = Instant::now();
                if start.duration_since(begin) > LENGTH {
                    break;
                }
                store.commit(message(writer, n)).await?;
                latencies.push(start.elapsed());
            }
            Ok::<_, kv::CommitError>(latencies)
        });
    }
    let mut latencies = Vec::new();
    while let Some(task) = tasks.join_next().await {
        latencies.extend(task??);
    }
    let seconds = begin.elapsed().as_secs_f64();
    let count = latencies.len() as f64;
    latencies.sort_unstable();
    let mean = latencies.iter().sum::<Duration>().as_secs_f64() * 1e3 / count;
    let p99 = latencies[latencies.len() * 99 / 100].as_secs_f64() * 1e3;
    let cpu = (cpu_seconds("self")? - before.0) * 1e6 / count;
    let committer = (committer_seconds()? - before.1) * 1e6 / count;
    println!(
        "{writers:7}  {:9.0}  {mean:7.2}  {p99:6.2}  {cpu:13.1}  {committer:19.1}",
        count / seconds
    );
    Ok(latencies.len() as u64)
}

/// About what a chat message writes.
fn message(writer: u32, n: u64) -> Batch {
    let id = (u128::from(writer) << 64) | u128::from(n);
    let name = id.wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835).to_be_bytes().to_vec();
    let body = format!(
        r#"{{"type":"message","sender":"@user{writer}:acme.example","channel":"!channel{}:acme.example",
        "content":{{"msgtype":"text","body":"Message number {n} of the writer {writer}, as long as messages are."}},
        "origin_server_ts":{},"depth":{n},"before":["${name:x?}"],"allowed_by":["$a","$b","$c"],
        "hashes":{{"sha256":"{name:x?}"}},"signatures":{{"acme.example":{{"ed25519:1":"{name:x?}"}}}}}}"#,
        writer % 50,
        1_800_000_000_000u64 + n
    );
    let channel = Bytes::copy_from_slice(&(writer % 50).to_be_bytes());
    let mut batch = Batch::new(BatchId(id));
    batch.require(Precondition::Absent(STATE, name.clone().into()));
    batch.put(STATE, name.clone(), n.to_be_bytes().to_vec());
    batch.put_at_version(LOG, channel.clone(), "", body);
    batch.put_at_version(STREAM, "all", "", channel.clone());
    batch.put_at_version(STREAM, "inbox", "", channel.clone());
    batch.put(STATE, [&channel[..], b"tips"].concat(), name.clone());
    batch.ops.push(Op::Add(STATE, [&channel[..], b"count"].concat().into(), 1));
    batch.put(TICKETS, name.clone(), name);
    batch
}

/// User and system time of a process or thread.
fn cpu_seconds(of: &str) -> std::io::Result<f64> {
    let stat = fs::read_to_string(format!("/proc/{of}/stat"))?;
    let after_name = stat.rsplit(')').next().unwrap_or_default();
    let fields: Vec<&str> = after_name.split_whitespace().collect();
    let ticks = |index: usize| fields.get(index).and_then(|field| field.parse::<f64>().ok());
    Ok((ticks(11).unwrap_or(0.0) + ticks(12).unwrap_or(0.0)) / TICKS_PER_SECOND)
}

fn committer_seconds() -> std::io::Result<f64> {
    for task in fs::read_dir("/proc/self/task")? {
        let task = task?.file_name().to_string_lossy().into_owned();
        let name = fs::read_to_string(format!("/proc/self/task/{task}/comm"))?;
        if name.trim() == "kv-committer" {
            return cpu_seconds(&format!("self/task/{task}"));
        }
    }
    Ok(0.0)
}

fn bytes_in(folder: &std::path::Path) -> std::io::Result<u64> {
    let mut bytes = 0;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let metadata = entry.metadata()?;
        bytes += if metadata.is_dir() { bytes_in(&entry.path())? } else { metadata.len() };
    }
    Ok(bytes)
}
