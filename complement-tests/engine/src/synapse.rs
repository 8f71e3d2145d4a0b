//! The image of Synapse, for networks of different homeservers.
//!
//! It looks names up by the system's resolver, and by one that reads `/etc/resolv.conf`. So its process
//! has that file for itself, in a mount namespace of its own; making one needs the rights of root.

use std::{fs, io, net::Ipv4Addr, path::Path};

use serde_json::{Value, json};
use tokio::process::Command;

use crate::{
    error::Error,
    homeserver::{
        APPSERVICES, AUTHORITY_CERTIFICATE, CERTIFICATE, PRIVATE_KEY, SHARED_SECRET, Surroundings,
    },
    names::SYSTEM_PORT,
};

#[cfg(test)]
mod tests;

/// JSON, which is YAML.
const CONFIGURATION: &str = "homeserver.yaml";
const LOG_CONFIGURATION: &str = "log.yaml";
const NAME_SERVERS: &str = "resolv.conf";
/// The rest of the arguments is the command; it takes the place of the shell, and its process id.
const IN_PLACE: &str = "mount --bind resolv.conf /etc/resolv.conf && exec \"$@\"";

/// Writes the configuration; what serves it.
pub(crate) fn command(python: &Path, surroundings: &Surroundings<'_>) -> Result<Command, Error> {
    let Surroundings { folder, name_server, .. } = surroundings;
    if name_server.port() != SYSTEM_PORT {
        let what = "the system's resolver asks port 53 only, and who is not root may not have it";
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, what).into());
    }
    fs::write(folder.join(NAME_SERVERS), format!("nameserver {}\n", name_server.ip()))?;
    fs::write(
        folder.join(CONFIGURATION),
        configuration(surroundings, &appservices(folder)?).to_string(),
    )?;
    fs::write(folder.join(LOG_CONFIGURATION), log().to_string())?;
    let mut command = Command::new("/usr/bin/unshare");
    command.args(["--mount", "/bin/sh", "-c", IN_PLACE, "sh"]).arg(python);
    // It draws a signing key if it has none yet.
    command.args(["-c", SERVE]).args(["--config-path", CONFIGURATION]);
    Ok(command)
}

/// Draws what is missing, and serves, in one process.
const SERVE: &str = "\
import sys
from synapse.config.homeserver import HomeServerConfig
from synapse.app.homeserver import main
HomeServerConfig.load_or_generate_config('', sys.argv[1:] + ['--generate-keys'])
main()
";

fn appservices(folder: &Path) -> io::Result<Vec<String>> {
    let entries = fs::read_dir(folder.join(APPSERVICES))?;
    let name = |entry: io::Result<fs::DirEntry>| {
        Ok(format!("{APPSERVICES}/{}", entry?.file_name().to_string_lossy()))
    };
    entries.map(name).collect()
}

fn configuration(surroundings: &Surroundings<'_>, appservices: &[String]) -> Value {
    let Surroundings { server_name, address, ports, .. } = surroundings;
    let host = Ipv4Addr::LOCALHOST;
    let free = json!({ "per_second": 10_000, "burst_count": 10_000 });
    json!({
        "server_name": server_name,
        "report_stats": false,
        "pid_file": "pid",
        "signing_key_path": "signing.key",
        "media_store_path": "media",
        "log_config": LOG_CONFIGURATION,
        "database": { "name": "sqlite3", "args": { "database": "homeserver.db" } },
        "listeners": [
            listener(*address, 8008, false),
            listener(host, ports.clients, false),
            listener(*address, 8448, true),
            listener(host, ports.federation, true),
        ],
        "tls_certificate_path": CERTIFICATE,
        "tls_private_key_path": PRIVATE_KEY,
        "federation_custom_ca_list": [AUTHORITY_CERTIFICATE],
        "trusted_key_servers": [],
        "suppress_key_server_warning": true,
        "ip_range_blacklist": [],
        "federation_ip_range_blacklist": [],
        "enable_registration": true,
        "enable_registration_without_verification": true,
        "registration_shared_secret": SHARED_SECRET,
        "macaroon_secret_key": "complement",
        "form_secret": "complement",
        "bcrypt_rounds": 4,
        "default_room_version": "10",
        "allow_public_rooms_over_federation": true,
        "room_list_publication_rules": [{ "action": "allow" }],
        "app_service_config_files": appservices,
        // It answers the same question with the same answer for two minutes otherwise.
        "caches": { "sync_response_cache_duration": "0s" },
        "rc_message": free,
        "rc_registration": free,
        "rc_login": { "address": free, "account": free, "failed_attempts": free },
        "rc_joins": { "local": free, "remote": free },
        "rc_joins_per_room": free,
        "rc_invites": { "per_room": free, "per_user": free, "per_issuer": free },
        "rc_federation": { "sleep_limit": 10_000, "reject_limit": 10_000, "concurrent": 50 },
        "federation": {
            "destination_min_retry_interval": "1s",
            "destination_max_retry_interval": "2s",
            "destination_retry_multiplier": 1,
        },
    })
}

fn listener(address: Ipv4Addr, port: u16, tls: bool) -> Value {
    json!({
        "port": port,
        "type": "http",
        "tls": tls,
        "bind_addresses": [address],
        "resources": [{ "names": ["client", "federation"] }],
    })
}

fn log() -> Value {
    json!({
        "version": 1,
        "formatters": { "line": { "format": "%(asctime)s %(levelname)s %(name)s %(message)s" } },
        "handlers": { "stderr": { "class": "logging.StreamHandler", "formatter": "line" } },
        "root": { "level": "WARNING", "handlers": ["stderr"] },
        "disable_existing_loggers": false,
    })
}
