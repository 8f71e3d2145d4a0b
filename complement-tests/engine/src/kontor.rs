//! The image: how a container's folder becomes a running Kontor that keeps Complement's contract
//! (ports 8008 and 8448, a certificate of Complement's authority, no limits).

use std::{
    fs::{self, File},
    io,
    net::{Ipv4Addr, SocketAddr},
    path::Path,
    process::Stdio,
};

use serde_json::{Value, json};
use tokio::process::{Child, Command};

use crate::{certificate, error::Error, world::Ports};

#[cfg(test)]
mod tests;

const AUTHORITY_CERTIFICATE: &str = "complement/ca/ca.crt";
const AUTHORITY_KEY: &str = "complement/ca/ca.key";
const APPSERVICES: &str = "complement/appservice";
const CONFIGURATION: &str = "kontor.toml";
const CERTIFICATE: &str = "server.crt";
const PRIVATE_KEY: &str = "server.key";
/// Where both streams of the process go.
pub(crate) const LOG: &str = "log";

/// What the homeserver is told of its surroundings.
pub(crate) struct Surroundings<'a> {
    pub(crate) folder: &'a Path,
    pub(crate) server_name: &'a str,
    pub(crate) address: Ipv4Addr,
    pub(crate) ports: Ports,
    pub(crate) name_server: SocketAddr,
}

/// Starts `program` in the container's folder, with exactly this environment.
pub(crate) fn start(
    program: &Path,
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
    let configuration = toml::to_string(&configuration(surroundings))?;
    fs::write(folder.join(CONFIGURATION), configuration)?;
    let log = File::options().create(true).append(true).open(folder.join(LOG))?;
    Ok(Command::new(program)
        .args(["serve", "--config", CONFIGURATION])
        .current_dir(folder)
        .env_clear()
        .envs(environment.iter().map(|(key, value)| (key, value)))
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", program.display())))?)
}

/// `config/kontor.toml` explains the keys. Paths are relative to the container's folder.
fn configuration(surroundings: &Surroundings<'_>) -> Value {
    let Surroundings { server_name, address, ports, name_server, .. } = surroundings;
    let host = Ipv4Addr::LOCALHOST;
    json!({
        "data_dir": "data",
        "homeserver": [{ "server_name": server_name }],
        "http": {
            "listen": [format!("{address}:8008"), format!("{host}:{}", ports.clients)],
            "listen_tls": [format!("{address}:8448"), format!("{host}:{}", ports.federation)],
            "tls_certificate": [CERTIFICATE],
            "tls_private_key": [PRIVATE_KEY],
        },
        "federation": { "extra_ca_file": AUTHORITY_CERTIFICATE },
        "outbound": { "allow_private_addresses": true, "name_server": name_server.to_string() },
        "registration": { "enabled": true, "shared_secret": "complement" },
        "rate_limits": { "enabled": false },
        "rooms": { "default_version": "10" },
        "user_directory": { "search_all_users": false },
        "appservices": { "directory": APPSERVICES },
    })
}
