//! Synapse as a peer: SQLite, TLS from the test's authority, no rate limits.

use crate::{
    python::python,
    server::{SHARED_SECRET, Server},
};
use base64::{Engine, engine::general_purpose::STANDARD_NO_PAD};
use serde_json::{Value, json};
use std::{path::Path, process::Command};

/// `KONTOR_SYNAPSE_LOG=INFO` shows more of what Synapse does.
const LOG_LEVEL: &str = "KONTOR_SYNAPSE_LOG";

/// The command that serves.
pub(crate) fn command(server: &Server) -> Command {
    let mut command = Command::new(python());
    command.args(["-m", "synapse.app.homeserver", "--config-path"]).arg(server.config_file());
    command.current_dir(server.folder());
    command
}

/// Writes the configuration, the signing key and the log's configuration.
pub(crate) fn configure(server: &Server) {
    assert_eq!(server.names().len(), 1, "a Synapse process is one homeserver");
    let folder = server.folder();
    let mut config = json!({
        "server_name": server.name(),
        "report_stats": false,
        "pid_file": folder.join("pid"),
        "signing_key_path": folder.join("signing.key"),
        "media_store_path": folder.join("media"),
        "log_config": folder.join("log.config"),
        "database": { "name": "sqlite3", "args": { "database": folder.join("homeserver.db") } },
        "listeners": [
            listener(server.plain_port(), false),
            listener(server.tls_port(), true),
        ],
        "tls_certificate_path": server.authority().certificate_file(),
        "tls_private_key_path": server.authority().key_file(),
        "federation_custom_ca_list": [server.authority().ca_file()],
        "trusted_key_servers": [],
        "suppress_key_server_warning": true,
        "ip_range_blacklist": [],
        "federation_ip_range_blacklist": [],
        "enable_registration": true,
        "enable_registration_without_verification": true,
        "registration_shared_secret": SHARED_SECRET,
        "macaroon_secret_key": "m",
        "form_secret": "f",
        "presence": { "enabled": true },
        // Passwords of tests need no protection, and thousands of users are registered.
        "bcrypt_rounds": 4,
        "allow_public_rooms_over_federation": true,
        "room_list_publication_rules": [{ "action": "allow" }],
        // It answers the same question with the same answer for two minutes otherwise.
        "caches": { "sync_response_cache_duration": "0s" },
        "experimental_features": { "msc3874_enabled": true },
        // A test does not wait minutes for the next try.
        "federation": {
            "destination_min_retry_interval": "1s",
            "destination_max_retry_interval": "2s",
            "destination_retry_multiplier": 1,
        },
    });
    merge(&mut config, &without_limits());
    if server.has_appservice() {
        config["app_service_config_files"] = json!([server.appservice_file()]);
    }
    write(&server.config_file(), &config.to_string());
    write(&folder.join("log.config"), &log_config().to_string());
    let seed = STANDARD_NO_PAD.encode(rand::random::<[u8; 32]>());
    write(&folder.join("signing.key"), &format!("ed25519 a_test {seed}\n"));
}

fn listener(port: u16, tls: bool) -> Value {
    json!({
        "port": port,
        "type": "http",
        "tls": tls,
        "bind_addresses": ["0.0.0.0"],
        "resources": [{ "names": ["client", "federation"] }],
    })
}

fn without_limits() -> Value {
    let free = json!({ "per_second": 100_000, "burst_count": 100_000 });
    json!({
        "rc_message": free,
        "rc_registration": free,
        "rc_admin_redaction": free,
        "rc_room_creation": free,
        "rc_joins_per_room": free,
        "rc_media_create": free,
        "rc_presence": { "per_user": free },
        "rc_login": { "address": free, "account": free, "failed_attempts": free },
        "rc_joins": { "local": free, "remote": free },
        "rc_invites": { "per_room": free, "per_user": free, "per_issuer": free },
        "rc_federation": { "sleep_limit": 10_000, "reject_limit": 10_000, "concurrent": 50 },
    })
}

fn log_config() -> Value {
    let level = crate::settings::variable(LOG_LEVEL).unwrap_or_else(|| "WARNING".into());
    json!({
        "version": 1,
        "formatters": { "line": { "format": "%(asctime)s %(levelname)s %(name)s %(message)s" } },
        "handlers": { "stderr": { "class": "logging.StreamHandler", "formatter": "line" } },
        "root": { "level": level, "handlers": ["stderr"] },
        "disable_existing_loggers": false,
    })
}

fn merge(into: &mut Value, from: &Value) {
    let (Some(into), Some(from)) = (into.as_object_mut(), from.as_object()) else { return };
    into.extend(from.iter().map(|(key, value)| (key.clone(), value.clone())));
}

fn write(path: &Path, text: &str) {
    std::fs::write(path, text).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
}
