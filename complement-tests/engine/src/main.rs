//! Runs any checkout of Complement against Kontor, without a container engine.
//!
//! Complement starts homeservers as containers. This program answers it in Docker's stead, and makes
//! of each container a Kontor process with its own loopback address:
//!
//! ```text
//! complement-engine run -- go test ./tests/...
//! ```
//!
//! With `--synapse PYTHON` there is a second image, `synapse`, that Complement may be told to take for
//! some homeserver: `COMPLEMENT_BASE_IMAGE_hs2=synapse`.

mod api;
mod certificate;
mod engine;
mod error;
mod homeserver;
mod kontor;
mod labels;
mod loopback;
mod names;
mod synapse;
mod world;

use std::{
    env, io,
    path::{Path, PathBuf},
    process::{ExitCode, ExitStatus},
    sync::Arc,
};

use clap::{Parser, Subcommand};
use tokio::{
    net::UnixListener,
    process::Command,
    signal::unix::{SignalKind, signal},
};

use crate::{
    engine::{BASE_IMAGE, Engine},
    homeserver::Software,
};

#[derive(Parser)]
#[command(version, about)]
struct Arguments {
    #[command(subcommand)]
    act: Act,
}

#[derive(Subcommand)]
enum Act {
    /// Runs a command that finds its container engine here, and cleans up after it.
    Run {
        /// The homeserver's binary [default: `kontor` beside this program].
        #[arg(long)]
        kontor: Option<PathBuf>,
        /// The Python that has Synapse: there is an image `synapse` then. Needs the rights of root.
        #[arg(long)]
        synapse: Option<PathBuf>,
        /// Keep the homeservers' logs in this folder.
        #[arg(long)]
        logs: Option<PathBuf>,
        #[arg(last = true, required = true)]
        command: Vec<String>,
    },
}

#[tokio::main]
async fn main() -> ExitCode {
    let Arguments { act: Act::Run { kontor, synapse, logs, command } } = Arguments::parse();
    match run((kontor, synapse), logs, &command).await {
        Ok(status) => status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1).into(),
        Err(error) => {
            eprintln!("complement-engine: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(
    (kontor, synapse): (Option<PathBuf>, Option<PathBuf>),
    logs: Option<PathBuf>,
    command: &[String],
) -> io::Result<ExitStatus> {
    let kontor = match kontor {
        Some(path) => path.canonicalize()?,
        None => env::current_exe()?.with_file_name("kontor"),
    };
    let folder = tempfile::Builder::new().prefix("complement-engine-").tempdir()?;
    let mut images = vec![(BASE_IMAGE, Software::Kontor { program: kontor })];
    // Not its real path: a Python knows its packages by the path under which it was started.
    images.extend(synapse.map(|python| ("synapse", Software::Synapse { python })));
    let engine = Arc::new(Engine::new(folder.path(), images, logs)?);
    let socket = folder.path().join("docker.sock");
    let listener = UnixListener::bind(&socket)?;
    let server = tokio::spawn(axum::serve(listener, api::router(engine.clone())).into_future());
    let status = follow(&socket, command).await;
    server.abort();
    engine.clear().await;
    folder.close()?;
    status
}

/// Waits for the command. Whoever ends this program ends the command, and then what it started.
async fn follow(socket: &Path, command: &[String]) -> io::Result<ExitStatus> {
    let (mut terminate, mut interrupt) =
        (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let (program, arguments) =
        command.split_first().ok_or_else(|| io::Error::other("no command is given"))?;
    let mut child = Command::new(program)
        .args(arguments)
        .env("DOCKER_HOST", format!("unix://{}", socket.display()))
        .env("COMPLEMENT_BASE_IMAGE", BASE_IMAGE)
        .kill_on_drop(true)
        .spawn()?;
    tokio::select! {
        status = child.wait() => return status,
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    child.kill().await?;
    child.wait().await
}
