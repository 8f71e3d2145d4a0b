//! The images: how a container's folder becomes a running homeserver that keeps Complement's contract
//! (ports 8008 and 8448, a certificate of Complement's authority, no limits).

use std::{
    fs::{self, File},
    io,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    process::Stdio,
};

use tokio::process::{Child, Command};

use crate::{certificate, error::Error, kontor, synapse, world::Ports};

pub(crate) const AUTHORITY_CERTIFICATE: &str = "complement/ca/ca.crt";
const AUTHORITY_KEY: &str = "complement/ca/ca.key";
pub(crate) const APPSERVICES: &str = "complement/appservice";
pub(crate) const CERTIFICATE: &str = "server.crt";
pub(crate) const PRIVATE_KEY: &str = "server.key";
/// What Complement registers administrators with.
pub(crate) const SHARED_SECRET: &str = "complement";
/// Where both streams of the process go.
pub(crate) const LOG: &str = "log";

/// Whose homeserver it is.
#[derive(Clone, Debug)]
pub(crate) enum Software {
    /// Ours: the finished binary.
    Kontor { program: PathBuf },
    /// Synapse, by the Python that has it.
    Synapse { python: PathBuf },
}

/// What the homeserver is told of its surroundings.
pub(crate) struct Surroundings<'a> {
    pub(crate) folder: &'a Path,
    pub(crate) server_name: &'a str,
    pub(crate) address: Ipv4Addr,
    pub(crate) ports: Ports,
    pub(crate) name_server: SocketAddr,
}

/// Starts a homeserver in the container's folder, with exactly this environment.
pub(crate) fn start(
    software: &Software,
    surroundings: &Surroundings<'_>,
    environment: &[(String, String)],
) -> Result<Child, Error> {
    let folder = surroundings.folder;
    let authority = fs::read_to_string(folder.join(AUTHORITY_CERTIFICATE))?;
    let authority_key = fs::read(folder.join(AUTHORITY_KEY))?;
    let signed = certificate::sign(&authority, &authority_key, &[surroundings.server_name])?;
    fs::write(folder.join(CERTIFICATE), signed.certificate)?;
    fs::write(folder.join(PRIVATE_KEY), signed.private_key)?;
    fs::create_dir_all(folder.join(APPSERVICES))?;
    let mut command: Command = match software {
        Software::Kontor { program } => kontor::command(program, surroundings)?,
        Software::Synapse { python } => synapse::command(python, surroundings)?,
    };
    let log = File::options().create(true).append(true).open(folder.join(LOG))?;
    let spawned = command
        .current_dir(folder)
        .env_clear()
        .envs(environment.iter().map(|(key, value)| (key, value)))
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .process_group(0)
        .kill_on_drop(true)
        .spawn();
    let program = command.as_std().get_program().to_string_lossy().into_owned();
    Ok(spawned.map_err(|error| io::Error::new(error.kind(), format!("{program}: {error}")))?)
}
