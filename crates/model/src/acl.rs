//! Server access control lists: which servers may take part in a room.
//! Specification: <https://spec.matrix.org/v1.19/client-server-api/#server-access-control-lists-acls-for-rooms>.

use ruma::ServerName;
use serde::Deserialize;
use serde_json::Value;

use crate::pdu::Pdu;

#[cfg(test)]
mod tests;

/// The access rules of a room that has an `m.room.server_acl` event.
#[derive(Clone, Debug)]
pub struct ServerAcl {
    allow: Vec<String>,
    deny: Vec<String>,
    allow_ip_literals: bool,
}

impl ServerAcl {
    /// Reads the rules from an event. What has the wrong type counts as absent, so that a malformed
    /// list denies every server, as it does for other homeservers.
    pub fn of(pdu: &Pdu) -> Self {
        #[derive(Deserialize, Default)]
        struct Content {
            #[serde(default)]
            allow: Value,
            #[serde(default)]
            deny: Value,
            #[serde(default)]
            allow_ip_literals: Value,
        }
        let content: Content = pdu.content_as().unwrap_or_default();
        Self {
            allow: patterns(&content.allow),
            deny: patterns(&content.deny),
            allow_ip_literals: content.allow_ip_literals.as_bool().unwrap_or(true),
        }
    }

    /// Whether the server may take part. Its port does not matter.
    pub fn allows(&self, server: &ServerName) -> bool {
        let host = server.host().to_ascii_lowercase();
        let any = |patterns: &[String]| patterns.iter().any(|pattern| matches(pattern, &host));
        // "If the server name is an IP address (v4 or v6) literal, and allow_ip_literals is present
        // and false, deny."
        if server.is_ip_literal() && !self.allow_ip_literals {
            return false;
        }
        // "If the server name matches an entry in the deny list, deny. If the server name matches an
        // entry in the allow list, allow. Otherwise, deny."
        !any(&self.deny) && any(&self.allow)
    }
}

fn patterns(list: &Value) -> Vec<String> {
    let patterns = list.as_array().into_iter().flatten().filter_map(Value::as_str);
    patterns.map(str::to_ascii_lowercase).collect()
}

/// Whether a text matches a pattern of `*` (any number of characters) and `?` (exactly one). Takes at
/// most pattern times text steps: on a mismatch only the last `*` is tried again.
fn matches(pattern: &str, text: &str) -> bool {
    let (pattern, text) = (pattern.as_bytes(), text.as_bytes());
    let (mut p, mut t) = (0, 0);
    let mut last_star: Option<(usize, usize)> = None;
    while t < text.len() {
        match pattern.get(p) {
            Some(b'*') => {
                last_star = Some((p, t));
                p += 1;
            }
            Some(byte) if *byte == b'?' || *byte == text[t] => {
                p += 1;
                t += 1;
            }
            _ => {
                let Some((star, from)) = last_star else { return false };
                last_star = Some((star, from + 1));
                p = star + 1;
                t = from + 1;
            }
        }
    }
    pattern[p..].iter().all(|byte| *byte == b'*')
}
