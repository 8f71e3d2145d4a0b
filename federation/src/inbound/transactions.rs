//! Transactions: what other servers push to us.
//!
//! They are acknowledged once their events are durable: in their room, if those can be judged at
//! once, or waiting for their room's worker ([`crate::intake`]).

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use axum::Extension;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::{HeaderValue, StatusCode, header::CONTENT_TYPE};
use model::pdu::Pdu;
use ruma::{
    OwnedEventId, OwnedRoomId, RoomId, TransactionId,
    api::{error::ErrorKind, federation::transactions::send_transaction_message::v1},
};
use serde::Deserialize;
use serde_json::{json, value::RawValue};
use services::{
    rooms::Room,
    staged::{self, Arrived, Staged},
};
use web::{Error, Matrix};

use crate::{
    Federation,
    authorization::RemoteServer,
    inbound::{edus, errors},
};

/// <https://spec.matrix.org/v1.19/server-server-api/#transactions>
const PDUS_MAX: usize = 50;
const EDUS_MAX: usize = 100;
/// Bytes of an event that may wait. Longer than an event may be, because `unsigned` does not count.
const WAITING_BYTES_MAX: usize = 80_000;

/// `PUT /_matrix/federation/v1/send/{txnId}`
pub(crate) async fn send_transaction_message(
    Extension(federation): Extension<Federation>,
    remote: RemoteServer,
    Matrix(request): Matrix<v1::Request>,
) -> Result<Response, Error> {
    if request.origin != remote.name() {
        return Err(Error::forbidden("The transaction is another server's"));
    }
    if request.pdus.len() > PDUS_MAX || request.edus.len() > EDUS_MAX {
        return Err(Error::invalid_param("The transaction holds too much"));
    }
    // A server that hangs up ends its request, not this: what was made durable is to be taken in,
    // and those who wait for it are to be told.
    let taking = tokio::spawn(async move { take_in(&federation, &remote, request).await });
    let answer = taking.await.map_err(Error::internal)??;
    Ok(([(CONTENT_TYPE, HeaderValue::from_static("application/json"))], answer).into_response())
}

/// Keeps what the transaction brings; says what is answered.
async fn take_in(
    federation: &Federation,
    remote: &RemoteServer,
    request: v1::Request,
) -> Result<Bytes, Error> {
    let (context, id) = (federation.context(), &request.transaction_id);
    // Events are known again by themselves.
    if !request.edus.is_empty() {
        let known = staged::answer_of(context, remote.name(), id).await;
        if let Some(answer) = known.map_err(Error::internal)? {
            return Ok(answer);
        }
    }
    for edu in &request.edus {
        edus::take_in(federation, remote, edu.json()).await;
    }
    if let Some(answer) = take_at_once(federation, remote, id, &request.pdus).await? {
        return Ok(answer);
    }
    let (arrived, results) = sort(federation, remote, request.pdus).await?;
    let answer = Bytes::from(json!({ "pdus": results }).to_string());
    let rooms: Vec<_> = arrived.iter().map(|event| event.room).collect();
    staged::stage(context, remote.name(), id, arrived, &answer).await.map_err(Error::internal)?;
    federation.intake.wake(rooms);
    Ok(answer)
}

/// Takes in events that are of one room and need nobody else; `None` when they have to wait.
async fn take_at_once(
    federation: &Federation,
    remote: &RemoteServer,
    id: &TransactionId,
    pdus: &[Box<RawValue>],
) -> Result<Option<Bytes>, Error> {
    let Some(room_id) = pdus.first().and_then(|json| room_of(json)) else { return Ok(None) };
    let waits = |json: &RawValue| {
        json.get().len() > WAITING_BYTES_MAX || room_of(json).as_ref() != Some(&room_id)
    };
    if pdus.iter().any(|json| waits(json)) {
        return Ok(None);
    }
    let Some(room) = federation.services.rooms.find(&room_id).await.map_err(errors::write)? else {
        return Ok(None);
    };
    let row = |json: &RawValue| Staged {
        origin: remote.name().to_string(),
        room_id: room_id.to_string(),
        json: json.get().to_owned(),
    };
    let rows = pdus.iter().map(|json| row(json)).collect();
    Ok(federation.intake.take_at_once(&room, remote.name(), id, rows).await)
}

type Results = BTreeMap<OwnedEventId, serde_json::Value>;

/// Which of the events may wait for which room, and what is answered of each.
async fn sort(
    federation: &Federation,
    remote: &RemoteServer,
    pdus: Vec<Box<RawValue>>,
) -> Result<(Vec<Arrived>, Results), Error> {
    let mut doors: HashMap<OwnedRoomId, Door> = HashMap::new();
    let (mut arrived, mut results) = (Vec::new(), Results::new());
    for json in pdus {
        let Some(room_id) = room_of(&json) else { continue };
        if !doors.contains_key(&room_id) {
            let door = door(federation, remote, &room_id).await?;
            let is_closed = matches!(door, Door::Unknown | Door::Away(_));
            if is_closed && federation.services.rooms.is_being_entered(&room_id) {
                // Who let us in sends events before we have heard that we are in.
                return Err(come_back_later());
            }
            doors.insert(room_id.clone(), door);
        }
        let (room, refusal) = match &doors[&room_id] {
            // Its version is not known, so its events have no ids to answer for.
            Door::Unknown => continue,
            Door::Away(room) => {
                take_retraction(federation, room, &json).await;
                (room, Some("This server is not in the room"))
            }
            Door::Closed(room, why) => (room, Some(*why)),
            Door::Open(room) => (room, None),
        };
        // An event without a valid format has no id either.
        let Ok(event) = Pdu::from_wire(json.get().as_bytes(), room.version) else { continue };
        let too_long = (json.get().len() > WAITING_BYTES_MAX).then_some("The event is too long");
        match refusal.or(too_long) {
            Some(why) => {
                results.insert(event.event_id.clone(), json!({ "error": why }));
            }
            None => {
                results.insert(event.event_id.clone(), json!({}));
                arrived.push(Arrived { room: room.number, room_id, json });
            }
        }
    }
    Ok((arrived, results))
}

fn come_back_later() -> Error {
    let message = "A user of this server is just joining the room";
    Error::new(StatusCode::SERVICE_UNAVAILABLE, ErrorKind::Unknown, message)
}

/// Whether a room takes events of a server.
enum Door {
    Unknown,
    /// We are not in it; but a user of ours may be invited to it.
    Away(Arc<Room>),
    Closed(Arc<Room>, &'static str),
    Open(Arc<Room>),
}

async fn door(
    federation: &Federation,
    remote: &RemoteServer,
    room_id: &RoomId,
) -> Result<Door, Error> {
    let rooms = &federation.services.rooms;
    let Some(room) = rooms.find(room_id).await.map_err(errors::write)? else {
        return Ok(Door::Unknown);
    };
    let visitor = rooms.visitor(&room, remote.name()).await.map_err(errors::write)?;
    Ok(if !visitor.we_are_resident {
        Door::Away(room)
    } else if visitor.is_allowed {
        Door::Open(room)
    } else {
        Door::Closed(room, "The room's access control list denies your server")
    })
}

/// The end of an invitation to a room that we are not in.
async fn take_retraction(federation: &Federation, room: &Arc<Room>, json: &RawValue) {
    let verified = federation.remote.verify_event(json.get().as_bytes(), room.version).await;
    let Ok(event) = verified else { return };
    if event.room_id != room.id {
        return;
    }
    if let Err(error) = federation.services.rooms.receive_retraction(room, &event).await {
        tracing::error!(%error, "the end of an invitation could not be kept");
    }
}

fn room_of(json: &RawValue) -> Option<OwnedRoomId> {
    #[derive(Deserialize)]
    struct Located {
        room_id: OwnedRoomId,
    }
    serde_json::from_str::<Located>(json.get()).ok().map(|located| located.room_id)
}
