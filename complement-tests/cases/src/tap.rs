//! Who sits on the wire between a case and its homeservers.
//!
//! Usually he only writes down what passes. To see whether a case deserves trust, he spoils the
//! answers of one endpoint, as a broken server would (see `distrust.rs`).

use harness::{Answer, Tap};
use reqwest::StatusCode;
use std::{
    collections::BTreeSet,
    sync::{Mutex, PoisonError},
};

/// How a server may be broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// It answers 200 with nothing in it.
    Empty,
    /// It says `{}` and does nothing.
    Idle,
    /// It allows what it should refuse.
    Lax,
    /// It never tells the peer.
    Mute,
}

/// A fault of one endpoint.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Spoilt {
    /// Method and path, with `*` for what varies.
    pub endpoint: String,
    pub fault: Fault,
}

/// The wire of one case.
#[derive(Debug, Default)]
pub struct Wire {
    spoilt: Option<Spoilt>,
    seen: Mutex<BTreeSet<Spoilt>>,
}

impl Wire {
    /// A wire on which one endpoint is broken.
    pub fn spoiling(spoilt: Spoilt) -> Self {
        Self { spoilt: Some(spoilt), ..Self::default() }
    }

    /// The faults that could have been made on this wire.
    pub fn possible_faults(&self) -> BTreeSet<Spoilt> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Does a request to a peer of the case get through?
    pub fn reaches_peer(&self, what: &str) -> bool {
        let endpoint = format!("to peer {}", endpoint_of(what));
        self.note(&endpoint, Fault::Mute);
        !self.is(&endpoint, Fault::Mute)
    }

    fn note(&self, endpoint: &str, fault: Fault) {
        let possible = Spoilt { endpoint: endpoint.into(), fault };
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).insert(possible);
    }

    fn is(&self, endpoint: &str, fault: Fault) -> bool {
        self.spoilt.as_ref().is_some_and(|it| it.fault == fault && it.endpoint == endpoint)
    }
}

impl Tap for Wire {
    fn instead(&self, what: &str) -> Option<(StatusCode, Vec<u8>)> {
        self.is(&endpoint_of(what), Fault::Idle).then(|| (StatusCode::OK, b"{}".to_vec()))
    }

    fn pass(&self, what: &str, answer: &mut Answer) {
        let endpoint = endpoint_of(what);
        let says_nothing = matches!(answer.bytes.trim_ascii(), b"{}" | b"");
        let possible = match (answer.status.is_success(), says_nothing) {
            (true, false) => Fault::Empty,
            (true, true) if what.starts_with("GET ") => return,
            (true, true) => Fault::Idle,
            (false, _) => Fault::Lax,
        };
        self.note(&endpoint, possible);
        if self.is(&endpoint, possible) && possible != Fault::Idle {
            answer.status = StatusCode::OK;
            let is_list = answer.bytes.first() == Some(&b'[');
            answer.bytes = if is_list { b"[]".to_vec() } else { b"{}".to_vec() };
        }
    }
}

/// `GET /_matrix/client/v3/rooms/!x:y/state` → `GET /_matrix/client/v3/rooms/*/state`.
fn endpoint_of(what: &str) -> String {
    let (method, path) = what.split_once(' ').unwrap_or(("", what));
    let parts = path.split('/').map(|part| if is_word(part) { part } else { "*" });
    format!("{method} {}", parts.collect::<Vec<_>>().join("/"))
}

/// Longer parts with capitals are ids: words in paths such as `sendToDevice` are shorter.
const WORD_MAX: usize = 15;

/// Words of the specification have no digits, versions and names of event types apart.
fn is_word(part: &str) -> bool {
    let version = part.strip_prefix('v').is_some_and(|n| n.parse::<u8>().is_ok());
    let in_word = |c: char| c.is_ascii_alphabetic() || "_-.".contains(c);
    let begins_small = part.chars().next().is_none_or(|c| !c.is_ascii_uppercase());
    let is_random = part.len() > WORD_MAX && part.chars().any(|c| c.is_ascii_uppercase());
    version || (begins_small && !is_random && part.chars().all(in_word))
}
