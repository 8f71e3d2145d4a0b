//! What people do in a room: come and go, put each other out, and quarrel about power.

use model::{pdu::Pdu, room_version::RoomVersion, state_tree::NodeId};
use rand::{RngExt, rngs::StdRng, seq::IndexedRandom};
use ruma::OwnedUserId;
use serde_json::{Value, json};

use crate::judge::Room;

/// The first one creates the room.
const PEOPLE: [&str; 6] = [
    "@alice:one.example",
    "@bob:one.example",
    "@carol:two.example",
    "@dave:two.example",
    "@erin:three.example",
    "@frank:three.example",
];
const LEVELS: [i64; 7] = [-1, 0, 25, 50, 75, 100, 101];
const DEFAULTS: [&str; 7] =
    ["users_default", "events_default", "state_default", "ban", "kick", "invite", "redact"];
const TYPES: [&str; 5] = [
    "m.room.topic",
    "m.room.power_levels",
    "m.room.join_rules",
    "org.example.note",
    "m.room.member",
];

/// An event before it has a place.
pub struct Deed {
    pub sender: OwnedUserId,
    pub event_type: &'static str,
    pub state_key: Option<String>,
    pub content: Value,
}

impl Deed {
    fn state(sender: &str, event_type: &'static str, key: &str, content: Value) -> Self {
        let sender = sender.try_into().expect("a user id");
        Self { sender, event_type, state_key: Some(key.to_owned()), content }
    }

    fn member(sender: &str, target: &str, membership: &str) -> Self {
        Self::state(sender, "m.room.member", target, json!({ "membership": membership }))
    }
}

/// How a room begins.
pub fn foundation(rng: &mut StdRng, version: RoomVersion) -> Vec<Deed> {
    let alice = PEOPLE[0];
    let mut create = json!({"room_version": version, "creator": alice});
    if rng.random_bool(0.08) {
        create["m.federate"] = json!(false);
    }
    if version == RoomVersion::V12 && rng.random_bool(0.3) {
        create["additional_creators"] = json!([PEOPLE[2]]);
    }
    let has_creators = create.get("additional_creators").is_some();
    let mut deeds =
        vec![Deed::state(alice, "m.room.create", "", create), Deed::member(alice, alice, "join")];
    if rng.random_bool(0.9) {
        let mut levels = json!({"users": { alice: 100, PEOPLE[1]: 50, PEOPLE[2]: 100 }});
        let users = levels["users"].as_object_mut().expect("an object");
        if version == RoomVersion::V12 {
            users.remove(alice);
        }
        if has_creators || rng.random_bool(0.5) {
            users.remove(PEOPLE[2]);
        }
        if rng.random_bool(0.5) {
            for name in DEFAULTS {
                levels[name] = json!(if name == "users_default" { 0 } else { 50 });
            }
            levels["invite"] = json!(0);
            levels["events_default"] = json!(0);
        }
        deeds.push(Deed::state(alice, "m.room.power_levels", "", levels));
    }
    let rule = *["public", "public", "public", "invite", "knock"].choose(rng).expect("a rule");
    deeds.push(Deed::state(alice, "m.room.join_rules", "", json!({ "join_rule": rule })));
    let federated = deeds[0].content.get("m.federate").is_none();
    for user in PEOPLE[1..4].iter().filter(|user| federated || server(user) == server(alice)) {
        if rule != "public" {
            deeds.push(Deed::member(alice, user, "invite"));
        }
        deeds.push(Deed::member(user, user, "join"));
    }
    deeds
}

/// Something that somebody may try where the room's state is `before`.
pub fn random(rng: &mut StdRng, room: &Room, before: NodeId) -> Deed {
    let me = *PEOPLE.choose(rng).expect("people");
    let them = target(rng, room, before, me);
    match rng.random_range(0..100) {
        0..20 => join(rng, room.version, me),
        20..24 => Deed::member(me, me, "leave"),
        24..30 => Deed::member(me, them, "invite"),
        30..38 => Deed::member(me, them, "leave"),
        38..47 => Deed::member(me, them, "ban"),
        47..50 => Deed::member(me, me, "knock"),
        50..58 => Deed::state(me, "m.room.join_rules", "", join_rules(rng, room.version)),
        58..78 => {
            let now = room.at(before, "m.room.power_levels", "");
            let levels = levels(rng, room.version, now.as_deref());
            Deed::state(me, "m.room.power_levels", "", levels)
        }
        78..84 => {
            let topic = json!({ "topic": rng.random_range(0..1000) });
            Deed::state(me, "m.room.topic", "", topic)
        }
        84..92 => {
            let key = *["", "a", me, them].choose(rng).expect("a key");
            let note = json!({ "note": rng.random_range(0..1000) });
            Deed::state(me, "org.example.note", key, note)
        }
        92..96 => {
            let content = json!({ "body": "Good morning", "msgtype": "m.text" });
            Deed { state_key: None, ..Deed::state(me, "m.room.message", "", content) }
        }
        _ => odd(rng, room.version, me, them),
    }
}

/// Whom a deed is about. In a room that is not federated nobody of another server: Synapse rejects
/// that, the specification only looks at senders. (No other server is there to see a difference.)
fn target(rng: &mut StdRng, room: &Room, before: NodeId, me: &str) -> &'static str {
    #[derive(serde::Deserialize)]
    struct Content {
        #[serde(rename = "m.federate", default = "yes")]
        federate: bool,
    }
    fn yes() -> bool {
        true
    }
    let create = room.at(before, "m.room.create", "").expect("a room was created");
    let content: Content = create.content_as().expect("an object");
    let all: Vec<&str> =
        PEOPLE.into_iter().filter(|user| content.federate || server(user) == server(me)).collect();
    all.choose(rng).expect("people")
}

fn server(user: &str) -> &str {
    user.split_once(':').map_or("", |(_, server)| server)
}

fn join(rng: &mut StdRng, version: RoomVersion, me: &str) -> Deed {
    let mut deed = Deed::member(me, me, "join");
    if version >= RoomVersion::V8 && rng.random_bool(0.3) {
        let by = PEOPLE.choose(rng).expect("people");
        deed.content["join_authorised_via_users_server"] = json!(by);
    }
    deed
}

fn join_rules(rng: &mut StdRng, version: RoomVersion) -> Value {
    let allow = json!([{"type": "m.room_membership", "room_id": "!other:one.example"}]);
    match rng.random_range(0..8) {
        0..3 => json!({"join_rule": "public"}),
        3..5 => json!({"join_rule": "invite"}),
        5 => json!({"join_rule": "knock"}),
        6 if version >= RoomVersion::V10 && rng.random_bool(0.5) => {
            json!({"join_rule": "knock_restricted", "allow": allow})
        }
        6 => json!({"join_rule": "restricted", "allow": allow}),
        _ => [
            json!({"join_rule": "org.example.whoever"}),
            json!({"join_rule": null}),
            json!({"join_rule": 1}),
            json!({}),
        ]
        .choose(rng)
        .expect("a rule")
        .clone(),
    }
}

/// The present power levels with something changed.
fn levels(rng: &mut StdRng, version: RoomVersion, now: Option<&Pdu>) -> Value {
    let mut levels: Value = now.and_then(Pdu::content_as).unwrap_or_else(|| json!({}));
    let complete = is_complete(&levels);
    for _ in 0..rng.random_range(1..3) {
        let level = level(rng, version);
        match rng.random_range(0..12) {
            0..6 => levels["users"][named(rng)] = level,
            6 => {
                let user = *PEOPLE.choose(rng).expect("people");
                let users = levels.get_mut("users").and_then(Value::as_object_mut);
                users.and_then(|users| users.remove(user));
            }
            7..9 => {
                let name = *DEFAULTS.choose(rng).expect("a level");
                match (complete, name) {
                    (false, "redact") => {}
                    (false, "state_default") => levels[name] = high(rng),
                    _ => levels[name] = level,
                }
            }
            9..11 => {
                let name = *TYPES.choose(rng).expect("a type");
                let unsafe_type = !complete && name == "m.room.power_levels";
                levels["events"][name] = if unsafe_type { high(rng) } else { level };
            }
            _ => levels["notifications"]["room"] = level,
        }
    }
    levels
}

/// Whether every level is there, as it stays. In other rooms one needs 50 to change levels: whoever has
/// less and adds or removes a level is judged by its default by ruma (and Dendrite), and not at all by
/// Synapse, and the specification can be read either way.
fn is_complete(levels: &Value) -> bool {
    levels.get("redact").is_some()
}

fn high(rng: &mut StdRng) -> Value {
    json!(*[50, 75, 100].choose(rng).expect("a level"))
}

/// Somebody, and sometimes a name that is no user id, or is one to Synapse only.
fn named(rng: &mut StdRng) -> &'static str {
    let odd = ["bob", "@bob", "@bob:", "@b b:one.example", "@:one.example", "@bob:one:example:1"];
    match rng.random_bool(0.01) {
        true => odd.choose(rng).expect("a name"),
        false => PEOPLE.choose(rng).expect("people"),
    }
}

fn level(rng: &mut StdRng, version: RoomVersion) -> Value {
    let level = *LEVELS.choose(rng).expect("a level");
    // Until version 9 levels could be strings; since then such an event is rejected.
    let odds = if version < RoomVersion::V10 { 0.15 } else { 0.03 };
    match rng.random_bool(odds) {
        true if rng.random_bool(0.5) => json!(format!(" {level} ")),
        true => json!(level.to_string()),
        false => json!(level),
    }
}

/// What nobody should do.
fn odd(rng: &mut StdRng, version: RoomVersion, me: &str, them: &str) -> Deed {
    match rng.random_range(0..4) {
        0 => Deed::member(me, them, "frolic"),
        1 => Deed::member(me, them, "join"),
        2 if version != RoomVersion::V12 => {
            Deed::state(me, "m.room.create", "", json!({"creator": me, "room_version": version}))
        }
        _ => Deed::state(me, "m.room.third_party_invite", "token", json!({"display_name": "eve"})),
    }
}
