//! The image of Kontor.

use std::{fs, net::Ipv4Addr, path::Path};

use serde_json::{Value, json};
use tokio::process::Command;

use crate::{
    error::Error,
    homeserver::{
        APPSERVICES, AUTHORITY_CERTIFICATE, CERTIFICATE, PRIVATE_KEY, SHARED_SECRET, Surroundings,
    },
};

#[cfg(test)]
mod tests;

const CONFIGURATION: &str = "kontor.toml";

/// Writes the configuration; what serves it.
pub(crate) fn command(program: &Path, surroundings: &Surroundings<'_>) -> Result<Command, Error> {
    let configuration = toml::to_string(&configuration(surroundings))?;
    fs::write(surroundings.folder.join(CONFIGURATION), configuration)?;
    let mut command = Command::new(program);
    command.args(["serve", "--config", CONFIGURATION]);
    Ok(command)
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
        "registration": { "enabled": true, "shared_secret": SHARED_SECRET },
        "rate_limits": { "enabled": false },
        "rooms": { "default_version": "10" },
        "user_directory": { "search_all_users": false },
        "appservices": { "directory": APPSERVICES },
    })
}
