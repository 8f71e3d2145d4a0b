//! One transaction: made, sent, and, where a server cannot bear it, taken apart.
//!
//! <https://spec.matrix.org/v1.19/server-server-api/#transactions>

use std::time::Duration;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use js_int::UInt;
use ruma::{
    MilliSecondsSinceUnixEpoch, OwnedEventId, OwnedTransactionId, ServerName,
    api::federation::transactions::send_transaction_message::v1::{Request, Response},
    serde::Raw,
};
use serde_json::value::RawValue;
use services::destinations::Order;
use sha2::{Digest, Sha256};

use super::Inner;
use crate::client::{RequestError, is_about_content};

const TIME_MAX: Duration = Duration::from_secs(60);
/// Bytes of the hash that names a transaction.
const ID_BYTES: usize = 18;

/// What goes into one transaction.
pub(super) struct Parcel {
    /// Where the cursor stood.
    pub(super) from: Order,
    pub(super) pdus: Vec<(OwnedEventId, Box<RawValue>)>,
    pub(super) edus: Vec<Box<RawValue>>,
    /// Some of the EDUs may be equal to earlier ones and mean something new.
    pub(super) has_ephemeral: bool,
}

/// What became of a parcel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It arrived, or it never will and was set aside.
    Done,
    /// The server is to be tried again later.
    Failed,
}

impl Inner {
    /// Sends the parcel. What the server refuses as a whole is sent in halves, so that one item
    /// that it cannot bear holds up no other.
    pub(super) async fn deliver(&self, server: &ServerName, parcel: Parcel) -> Outcome {
        let mut parcels = vec![parcel];
        while let Some(parcel) = parcels.pop() {
            match self.send_transaction(server, &parcel).await {
                Ok(response) => log_refusals(server, &response),
                Err(error) if error.status().is_some_and(is_about_content) => match parcel.halves()
                {
                    Some((first, second)) => parcels.extend([second, first]),
                    None => parcel.set_aside(server, &error),
                },
                Err(error) => {
                    tracing::debug!(%server, error = &error as &dyn std::error::Error, "not sent");
                    // What is no transaction's answer comes from no homeserver.
                    if let RequestError::BadAnswer(_) = error {
                        self.contacts.failed(server, self.context.clock.now_ms()).await;
                    }
                    return Outcome::Failed;
                }
            }
        }
        Outcome::Done
    }

    async fn send_transaction(
        &self,
        server: &ServerName,
        parcel: &Parcel,
    ) -> Result<Response, RequestError> {
        let now_ms = self.context.clock.now_ms();
        let now = MilliSecondsSinceUnixEpoch(UInt::new_saturating(now_ms));
        let origin = self.context.server_name.clone();
        let request = Request {
            pdus: parcel.pdus.iter().map(|(_, pdu)| pdu.clone()).collect(),
            edus: parcel.edus.iter().map(|edu| Raw::from_json(edu.clone())).collect(),
            ..Request::new(parcel.id(now_ms), origin, now)
        };
        self.client.deliver(server, request, TIME_MAX).await
    }
}

impl Parcel {
    /// The same for the same content after the same cursor, so that a server which has it already
    /// (we did not hear its answer, or were restarted) knows it again.
    fn id(&self, now_ms: u64) -> OwnedTransactionId {
        let mut hash = Sha256::new();
        hash.update(self.from.0.to_be_bytes());
        hash.update(self.from.1.to_be_bytes());
        if self.has_ephemeral {
            hash.update(now_ms.to_be_bytes());
        }
        for json in self.pdus.iter().map(|(_, pdu)| pdu).chain(&self.edus) {
            hash.update(json.get().len().to_be_bytes());
            hash.update(json.get());
        }
        URL_SAFE_NO_PAD.encode(&hash.finalize()[..ID_BYTES]).into()
    }

    fn halves(&self) -> Option<(Self, Self)> {
        if self.pdus.len() + self.edus.len() < 2 {
            return None;
        }
        let part = |pdus: &[(OwnedEventId, Box<RawValue>)], edus: &[Box<RawValue>]| Self {
            from: self.from,
            pdus: pdus.to_vec(),
            edus: edus.to_vec(),
            has_ephemeral: self.has_ephemeral,
        };
        if self.pdus.is_empty() {
            let (first, second) = self.edus.split_at(self.edus.len() / 2);
            Some((part(&[], first), part(&[], second)))
        } else if self.edus.is_empty() {
            let (first, second) = self.pdus.split_at(self.pdus.len() / 2);
            Some((part(first, &[]), part(second, &[])))
        } else {
            Some((part(&self.pdus, &[]), part(&[], &self.edus)))
        }
    }

    fn set_aside(&self, server: &ServerName, error: &RequestError) {
        let event = self.pdus.first().map(|(event_id, _)| event_id.as_str()).unwrap_or("an EDU");
        tracing::warn!(%server, event, %error, "the server cannot bear this; it is not sent again");
    }
}

fn log_refusals(server: &ServerName, response: &Response) {
    for (event_id, result) in &response.pdus {
        if let Err(reason) = result {
            tracing::info!(%server, %event_id, reason, "the server refuses an event");
        }
    }
}
