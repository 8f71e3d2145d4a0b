//! Ephemeral data units: what is true for a while, told by the server whose users it is about.
//!
//! A bad one is dropped and holds up no other: nobody would send it better the next time.

use ruma::{
    RoomId, UserId,
    api::federation::transactions::edu::{
        DirectDeviceContent, Edu, PresenceContent, ReceiptContent, ReceiptMap, TypingContent,
    },
    events::receipt::ReceiptThread,
};
use serde_json::value::RawValue;
use services::{
    presence::Presence,
    receipts::{ReceiptError, RemoteReceipt, Thread},
};

use crate::{Federation, authorization::RemoteServer, grants::RoomReadGrant};

/// Rooms that one receipt EDU may be about.
const ROOMS_MAX: usize = 100;
/// Users that one presence EDU may be about.
const PRESENCES_MAX: usize = 100;

/// Takes one in.
pub(crate) async fn take_in(federation: &Federation, remote: &RemoteServer, json: &RawValue) {
    let taken = match serde_json::from_str::<Edu>(json.get()) {
        Ok(Edu::Typing(typing)) => take_typing(federation, remote, typing).await,
        Ok(Edu::Receipt(receipts)) => take_receipts(federation, remote, receipts).await,
        Ok(Edu::DirectToDevice(message)) => {
            take_to_device(federation, remote, message).await;
            Ok(())
        }
        Ok(Edu::DeviceListUpdate(update)) => {
            note_devices(federation, remote, &update.user_id).await;
            Ok(())
        }
        Ok(Edu::SigningKeyUpdate(update)) => {
            note_devices(federation, remote, &update.user_id).await;
            Ok(())
        }
        Ok(Edu::Presence(presence)) => {
            take_presence(federation, remote, presence).await;
            Ok(())
        }
        Ok(_) => Ok(()),
        Err(error) => {
            tracing::debug!(server = %remote.name(), %error, "an EDU cannot be read");
            Ok(())
        }
    };
    if let Err(error) = taken {
        tracing::debug!(server = %remote.name(), %error, "an EDU is not taken in");
    }
}

async fn take_typing(
    federation: &Federation,
    remote: &RemoteServer,
    TypingContent { room_id, user_id, typing }: TypingContent,
) -> Result<(), ReceiptError> {
    if !may_tell(federation, remote, &room_id).await {
        return Ok(());
    }
    federation.services.typing.set_remote(remote.name(), &room_id, &user_id, typing).await
}

async fn take_to_device(
    federation: &Federation,
    remote: &RemoteServer,
    DirectDeviceContent { sender, ev_type, message_id, messages }: DirectDeviceContent,
) {
    if sender.server_name() != remote.name() {
        return;
    }
    let messages = messages.into_iter().map(|(user, of_devices)| {
        let of_devices = of_devices.into_iter().filter_map(|(device, content)| {
            Some((device.to_string(), serde_json::from_str(content.json().get()).ok()?))
        });
        (user, of_devices.collect())
    });
    let (messages, kind) = (messages.collect(), ev_type.to_string());
    let to_device = &federation.services.to_device;
    if let Err(error) = to_device.receive(&sender, &kind, message_id.as_str(), messages).await {
        tracing::info!(server = %remote.name(), %error, "messages to devices are not taken in");
    }
}

async fn note_devices(federation: &Federation, remote: &RemoteServer, user: &UserId) {
    if user.server_name() != remote.name() {
        return;
    }
    if let Err(error) = federation.services.keys.changed_remotely(user).await {
        tracing::error!(%error, "that devices changed could not be kept");
    }
}

async fn take_presence(
    federation: &Federation,
    remote: &RemoteServer,
    PresenceContent { push, .. }: PresenceContent,
) {
    let now_ms = federation.context().clock.now_ms();
    for update in push.into_iter().take(PRESENCES_MAX) {
        let presence = Presence {
            state: update.presence,
            status_msg: update.status_msg,
            last_active_ms: now_ms.saturating_sub(update.last_active_ago.into()),
        };
        let presences = &federation.services.presences;
        let taken = presences.set_remote(remote.name(), &update.user_id, presence).await;
        if let Err(error) = taken {
            tracing::error!(%error, "whom a presence is for cannot be read");
        }
    }
}

async fn take_receipts(
    federation: &Federation,
    remote: &RemoteServer,
    ReceiptContent { receipts }: ReceiptContent,
) -> Result<(), ReceiptError> {
    for (room_id, of_room) in receipts.into_iter().take(ROOMS_MAX) {
        if may_tell(federation, remote, &room_id).await {
            let told = told(of_room);
            federation.services.receipts.set_remote(remote.name(), &room_id, told).await?;
        }
    }
    Ok(())
}

/// Only who is in a room, and not kept out of it, may tell something of it.
async fn may_tell(federation: &Federation, remote: &RemoteServer, room_id: &RoomId) -> bool {
    let grant = RoomReadGrant::check(federation, remote, room_id).await;
    grant.is_ok_and(|grant| grant.we_are_resident())
}

fn told(ReceiptMap { read }: ReceiptMap) -> Vec<RemoteReceipt> {
    let receipts = read.into_iter().filter_map(|(user, receipt)| {
        Some(RemoteReceipt {
            user,
            thread: match receipt.data.thread {
                ReceiptThread::Unthreaded => Thread::Unthreaded,
                ReceiptThread::Main => Thread::Main,
                ReceiptThread::Thread(root) => Thread::Root(root),
                _ => return None,
            },
            event_id: receipt.event_ids.into_iter().next()?,
            ts_ms: receipt.data.ts.map_or(0, |ts| ts.get().into()),
        })
    });
    receipts.collect()
}
