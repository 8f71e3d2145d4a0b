//! Messages from device to device: how devices agree on keys.
//!
//! A message waits until its device has synced past it. For users of other servers it waits in the
//! outbox of their server, in the same batch.
//!
//! <https://spec.matrix.org/v1.19/client-server-api/#send-to-device-messaging>

use std::collections::{BTreeMap, BTreeSet};

use kv::{Batch, CommitError, Snapshot, StoreError};
use ruma::{OwnedServerName, OwnedUserId, ServerName, UserId};
use serde_json::{Map, Value, json};
use store::{
    devices,
    log::{Change, LogEntry},
    to_device,
    transactions::{self, Transaction},
};

use crate::{Context, sessions::Caller};

#[cfg(test)]
mod tests;

/// Bytes of a message's content as JSON.
const CONTENT_BYTES_MAX: usize = 64 * 1024;
/// Devices that one request reaches.
const DEVICES_MAX: usize = 10_000;
/// Stands for all devices of a user.
const ALL_DEVICES: &str = "*";

/// user → device (or `*`) → content
pub type Messages = BTreeMap<OwnedUserId, BTreeMap<String, Value>>;

#[derive(Clone, Debug, thiserror::Error)]
pub enum ToDeviceError {
    #[error("a message is too large")]
    TooLarge,
    #[error("the request is for too many devices")]
    TooMany,
    #[error(transparent)]
    Read(#[from] StoreError),
    #[error(transparent)]
    Commit(#[from] CommitError),
}

pub struct ToDevice {
    context: Context,
}

impl ToDevice {
    pub fn new(context: Context) -> Self {
        Self { context }
    }

    /// Sends the messages, once for each transaction id of the caller's device.
    pub async fn send(
        &self,
        caller: &Caller,
        kind: &str,
        transaction_id: &str,
        messages: Messages,
    ) -> Result<(), ToDeviceError> {
        check(&messages)?;
        let transaction = Transaction {
            localpart: caller.localpart().to_owned(),
            device_id: caller.device().to_owned(),
            path: format!("sendToDevice/{kind}"),
            id: transaction_id.to_owned(),
        };
        let (local, remote): (Messages, Messages) =
            messages.into_iter().partition(|(user, _)| self.context.is_local(user));
        let mail = Mail { sender: caller.user_id.clone(), kind: kind.to_owned(), messages: local };
        let outbound = outbound(&mail, remote, || self.context.ids.opaque_id());
        self.context
            .change(move |rows, batch| {
                if transactions::answer_of(rows, &transaction)?.is_some() {
                    return Ok(((), LogEntry::new()));
                }
                transactions::put(batch, &transaction, b"{}");
                let mut changes = mail.deliver(rows, batch)?;
                for (index, (server, content)) in (0..).zip(&outbound) {
                    to_device::put_outbound(batch, server.as_str(), index, content.as_bytes());
                    changes.push(Change::Outbound { server: server.to_string() });
                }
                Ok(((), changes))
            })
            .await
    }

    /// Delivers messages that another server sent for local users. `sender` is a user of that
    /// server; `message_id` is delivered once.
    pub async fn receive(
        &self,
        sender: &UserId,
        kind: &str,
        message_id: &str,
        mut messages: Messages,
    ) -> Result<(), ToDeviceError> {
        check(&messages)?;
        messages.retain(|user, _| self.context.is_local(user));
        let received = Transaction {
            localpart: sender.to_string(),
            device_id: String::new(),
            path: "m.direct_to_device".to_owned(),
            id: message_id.to_owned(),
        };
        let mail = Mail { sender: sender.to_owned(), kind: kind.to_owned(), messages };
        self.context
            .change(move |rows, batch| {
                if transactions::answer_of(rows, &received)?.is_some() {
                    return Ok(((), LogEntry::new()));
                }
                transactions::put(batch, &received, b"");
                Ok(((), mail.deliver(rows, batch)?))
            })
            .await
    }

    /// The device has received everything up to the position: it is forgotten.
    pub async fn acknowledge(&self, caller: &Caller, position: u64) -> Result<(), ToDeviceError> {
        let (localpart, device) = (caller.localpart().to_owned(), caller.device().to_owned());
        self.context
            .change(move |rows, batch| {
                let waiting = to_device::pending(rows, (&localpart, &device), (0, position), 1)?;
                if !waiting.is_empty() {
                    to_device::delete_up_to(batch, &localpart, &device, position);
                }
                Ok(((), vec![Change::Nothing]))
            })
            .await
    }
}

/// Messages of one sender for local users.
struct Mail {
    sender: OwnedUserId,
    kind: String,
    messages: Messages,
}

impl Mail {
    /// Puts the messages into the queues of the devices that exist.
    fn deliver(&self, rows: &Snapshot, batch: &mut Batch) -> Result<LogEntry, StoreError> {
        let mut changes = LogEntry::new();
        for (user, messages) in &self.messages {
            let user = user.localpart();
            let known = devices::of_user(rows, user)?;
            let known: BTreeSet<&str> = known.iter().map(|(id, _)| id.as_str()).collect();
            for (index, (device, content)) in (0..).zip(messages) {
                let event = json!({ "sender": self.sender, "type": self.kind, "content": content });
                let event = event.to_string();
                let all = device == ALL_DEVICES;
                for device in known.iter().filter(|known| all || **known == device) {
                    to_device::put(batch, user, device, index, event.as_bytes());
                    let (user, device) = (user.to_owned(), (*device).to_owned());
                    changes.push(Change::ToDevice { user, device });
                }
            }
        }
        Ok(changes)
    }
}

/// The contents of the EDUs that carry the messages to other servers, none of them too large.
fn outbound(
    mail: &Mail,
    messages: Messages,
    message_id: impl Fn() -> String,
) -> Vec<(OwnedServerName, String)> {
    let mut contents = Vec::new();
    let mut finish = |server: &ServerName, messages: Map<String, Value>| {
        let content = json!({
            "sender": mail.sender,
            "type": mail.kind,
            "message_id": message_id(),
            "messages": messages,
        });
        contents.push((server.to_owned(), content.to_string()));
    };
    let mut by_server: BTreeMap<OwnedServerName, (Map<String, Value>, usize)> = BTreeMap::new();
    for (user, messages) in messages {
        let (parts, bytes) = by_server.entry(user.server_name().to_owned()).or_default();
        for (device, content) in messages {
            let more = content.to_string().len() + device.len() + user.as_str().len();
            if *bytes > 0 && *bytes + more > CONTENT_BYTES_MAX {
                finish(user.server_name(), std::mem::take(parts));
                *bytes = 0;
            }
            *bytes += more;
            let of_user = parts.entry(user.to_string()).or_insert_with(|| json!({}));
            of_user[device] = content;
        }
    }
    for (server, (parts, _)) in by_server {
        finish(&server, parts);
    }
    contents
}

fn check(messages: &Messages) -> Result<(), ToDeviceError> {
    if messages.values().map(BTreeMap::len).sum::<usize>() > DEVICES_MAX {
        return Err(ToDeviceError::TooMany);
    }
    let too_large = |content: &Value| content.to_string().len() > CONTENT_BYTES_MAX;
    if messages.values().flat_map(BTreeMap::values).any(too_large) {
        return Err(ToDeviceError::TooLarge);
    }
    Ok(())
}
