//! What a peer answers if the case does not: what a good server would, for the rooms that it has.

use super::{
    room::{Event, Room, event_id, strings},
    server::{Asked, Reply, Shared},
};
use reqwest::Method;
use serde_json::{Value, json};

/// Events of one answer, unless it says otherwise.
const LIMIT: usize = 10;

pub(super) fn answer(shared: &Shared, asked: &Asked) -> Reply {
    let path = asked.path.iter().map(String::as_str).collect::<Vec<_>>();
    let found = match (&asked.method, path.as_slice()) {
        (_, ["key", "v2", "server", ..]) => Some((200, shared.key.document())),
        (_, ["key", "v2", "query", ..]) => Some((200, json!({ "server_keys": [] }))),
        (&Method::PUT, ["federation", _, "send", _]) => Some(transaction(shared, &asked.body)),
        (&Method::PUT, ["federation", "v2", "invite", ..]) => invite(shared, &asked.body),
        (_, ["federation", _, "query", "profile"]) => Some((200, json!({}))),
        (_, ["federation", _, "user", "devices", user]) => {
            Some((200, json!({ "user_id": user, "stream_id": 1, "devices": [] })))
        }
        (_, ["federation", _, "user", "keys", "query"]) => {
            Some((200, json!({ "device_keys": {} })))
        }
        (&Method::GET, ["federation", _, "event", id]) => {
            shared.rooms().values().find_map(|room| room.event(id)).map(|event| {
                (200, json!({ "origin": shared.key.server, "origin_server_ts": 1, "pdus": [event.pdu] }))
            })
        }
        (_, ["federation", version, what, room, rest @ ..]) => {
            let mut rooms = shared.rooms();
            let room = rooms.get_mut(*room);
            room.and_then(|room| of_room(shared, room, asked, (version, what, rest)))
        }
        _ => None,
    };
    found.unwrap_or_else(|| (404, json!({ "errcode": "M_NOT_FOUND", "error": "not here" })))
}

fn of_room(
    shared: &Shared,
    room: &mut Room,
    asked: &Asked,
    path: (&str, &str, &[&str]),
) -> Option<Reply> {
    let at = || asked.query("event_id").first().map(|id| room.state_before(id)).unwrap_or_default();
    let body = match path {
        (_, "make_join", [user]) => template(room, user, "join"),
        (_, "make_leave", [user]) => template(room, user, "leave"),
        (_, "make_knock", [user]) => template(room, user, "knock"),
        (version, "send_join", [_]) => {
            let state = room.current_state();
            let chain = room.auth_chain(&state);
            take(shared, room, &asked.body);
            let body = json!({
                "origin": shared.key.server, "state": pdus(&state), "auth_chain": pdus(&chain),
                "event": asked.body, "members_omitted": false,
            });
            return Some((200, if version == "v1" { json!([200, body]) } else { body }));
        }
        (_, "send_leave", [_]) => {
            take(shared, room, &asked.body);
            json!({})
        }
        (_, "send_knock", [_]) => {
            take(shared, room, &asked.body);
            json!({ "knock_room_state": room.current_state().iter().map(stripped).collect::<Vec<_>>() })
        }
        (_, "state", []) => {
            let state = at();
            json!({ "pdus": pdus(&state), "auth_chain": pdus(&room.auth_chain(&state)) })
        }
        (_, "state_ids", []) => {
            let state = at();
            json!({ "pdu_ids": ids(&state), "auth_chain_ids": ids(&room.auth_chain(&state)) })
        }
        (_, "event_auth", [id]) => {
            let event = room.event(id)?.clone();
            json!({ "auth_chain": pdus(&room.auth_chain(&[event])) })
        }
        (_, "backfill", []) => {
            let from = asked.query("v");
            let limit = asked.query("limit").first().and_then(|n| n.parse().ok()).unwrap_or(LIMIT);
            let own = from.iter().filter_map(|id| room.event(id)).cloned().collect::<Vec<_>>();
            let events = [own, room.before(&from, &[], limit)].concat();
            json!({ "origin": shared.key.server, "origin_server_ts": 1, "pdus": pdus(&events) })
        }
        (_, "get_missing_events", []) => {
            let limit =
                asked.body["limit"].as_u64().and_then(|n| n.try_into().ok()).unwrap_or(LIMIT);
            let (latest, earliest) =
                (strings(&asked.body["latest_events"]), strings(&asked.body["earliest_events"]));
            let mut events = room.before(&latest, &earliest, limit);
            events.reverse();
            json!({ "events": pdus(&events) })
        }
        _ => return None,
    };
    Some((200, body))
}

fn template(room: &Room, user: &str, membership: &str) -> Value {
    let content = json!({ "membership": membership });
    let event = room.draft(user, "m.room.member", Some(user), content);
    json!({ "room_version": room.version, "event": event })
}

/// Believes an event of another server.
fn take(shared: &Shared, room: &mut Room, pdu: &Value) {
    shared.heard.pdu(pdu);
    room.add(Event { id: event_id(pdu, &room.version), pdu: pdu.clone() });
}

fn transaction(shared: &Shared, body: &Value) -> Reply {
    shared.heard.transaction(body);
    let mut rooms = shared.rooms();
    for pdu in body["pdus"].as_array().into_iter().flatten() {
        if let Some(room) = pdu["room_id"].as_str().and_then(|id| rooms.get_mut(id)) {
            room.add(Event { id: event_id(pdu, &room.version), pdu: pdu.clone() });
        }
    }
    (200, json!({ "pdus": {} }))
}

fn invite(shared: &Shared, body: &Value) -> Option<Reply> {
    shared.heard.invitation(body);
    let (_, event) = shared.key.signed_event(&body["event"], body["room_version"].as_str()?);
    Some((200, json!({ "event": event })))
}

fn stripped(event: &Event) -> Value {
    let pdu = &event.pdu;
    json!({
        "type": pdu["type"], "state_key": pdu["state_key"], "sender": pdu["sender"], "content": pdu["content"],
    })
}

fn pdus(events: &[Event]) -> Vec<&Value> {
    events.iter().map(|event| &event.pdu).collect()
}

fn ids(events: &[Event]) -> Vec<&String> {
    events.iter().map(|event| &event.id).collect()
}
