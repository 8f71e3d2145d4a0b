//! The configuration of a Kontor that serves a test.

use crate::server::{SHARED_SECRET, Server};
use std::fmt::Write;

/// Writes the configuration file.
pub(crate) fn configure(server: &Server) {
    let mut text = String::from("data_dir = \"data\"\n");
    for name in server.names() {
        write!(text, "\n[[homeserver]]\nserver_name = \"{name}\"\n").expect("a string takes text");
    }
    write!(
        text,
        r#"
[http]
listen = ["127.0.0.1:{plain}"]
listen_tls = ["0.0.0.0:{tls}"]
tls_certificate = "{certificate}"
tls_private_key = "{key}"

[federation]
extra_ca_file = "{ca}"

[outbound]
allow_private_addresses = true

[registration]
enabled = true
shared_secret = "{SHARED_SECRET}"

[rate_limits]
enabled = false
"#,
        plain = server.plain_port(),
        tls = server.tls_port(),
        certificate = server.authority().certificate_file().display(),
        key = server.authority().key_file().display(),
        ca = server.authority().ca_file().display(),
    )
    .expect("a string takes text");
    if server.has_appservice() {
        text += "\n[appservices]\ndirectory = \"appservices\"\n";
    }
    let path = server.config_file();
    std::fs::write(&path, text).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
}
