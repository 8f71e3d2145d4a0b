//! What other servers told a peer.

use harness::eventually;
use serde_json::Value;
use std::sync::{Mutex, PoisonError};

/// Everything in the order in which it came.
#[derive(Debug, Default)]
pub struct Heard {
    pdus: Mutex<Vec<Value>>,
    edus: Mutex<Vec<Value>>,
    invitations: Mutex<Vec<Value>>,
    requests: Mutex<Vec<String>>,
}

fn add<T>(to: &Mutex<Vec<T>>, items: impl IntoIterator<Item = T>) {
    to.lock().unwrap_or_else(PoisonError::into_inner).extend(items);
}

fn all<T: Clone>(of: &Mutex<Vec<T>>) -> Vec<T> {
    of.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

impl Heard {
    /// Notes a transaction.
    pub(super) fn transaction(&self, body: &Value) {
        let items = |name: &str| body[name].as_array().cloned().unwrap_or_default();
        add(&self.pdus, items("pdus"));
        add(&self.edus, items("edus"));
    }

    /// Notes an event that came by another way.
    pub(super) fn pdu(&self, pdu: &Value) {
        add(&self.pdus, [pdu.clone()]);
    }

    /// Notes an invitation, the whole body.
    pub(super) fn invitation(&self, body: &Value) {
        add(&self.invitations, [body.clone()]);
    }

    /// Notes that somebody asked.
    pub(super) fn request(&self, what: &str) {
        add(&self.requests, [what.to_owned()]);
    }

    /// The events so far.
    pub fn pdus(&self) -> Vec<Value> {
        all(&self.pdus)
    }

    /// Method and path of every request so far.
    pub fn requests(&self) -> Vec<String> {
        all(&self.requests)
    }

    /// How many requests had this in their path.
    pub fn times_asked(&self, part: &str) -> usize {
        self.requests().iter().filter(|what| what.contains(part)).count()
    }

    /// Waits for an event.
    pub async fn until_pdu(&self, what: &str, mut is_it: impl FnMut(&Value) -> bool) -> Value {
        eventually(&format!("the peer is told {what}"), async || {
            self.pdus().into_iter().find(|pdu| is_it(pdu))
        })
        .await
    }

    /// Waits for the content of an ephemeral data unit of some type.
    pub async fn until_edu(&self, kind: &str, mut is_it: impl FnMut(&Value) -> bool) -> Value {
        eventually(&format!("the peer is told {kind}"), async || {
            let edus = all(&self.edus).into_iter().filter(|edu| edu["edu_type"] == kind);
            edus.map(|edu| edu["content"].clone()).find(|content| is_it(content))
        })
        .await
    }

    /// Waits for an invitation, the whole body of the request.
    pub async fn until_invitation(&self) -> Value {
        eventually("the peer is invited", async || all(&self.invitations).into_iter().next()).await
    }

    /// Waits for a request whose path holds `part`.
    pub async fn until_asked(&self, part: &str) {
        eventually(&format!("the peer is asked for {part}"), async || {
            (self.times_asked(part) > 0).then_some(())
        })
        .await;
    }
}
