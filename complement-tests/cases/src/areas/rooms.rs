//! Making rooms, and what is in them then.

use crate::{
    case::{Case, case},
    stage::Stage,
    words::{list, public_room, set, sync, text},
};
use harness::{Account, View};
use serde_json::{Value, json};

pub fn cases() -> Vec<Case> {
    vec![
        case("TestRoomCreate", room_create),
        case("TestRoomCreate: versions", room_create_versions),
        case("TestRoomCreate: invitations", room_create_invites),
        case("TestRoomCreationReportsEventsToMyself", reports_to_myself),
        case("TestRoomState", room_state),
        case("TestRoomState: name and topic", name_and_topic),
    ]
}

async fn state(who: &Account, room: &str, kind: &str) -> Value {
    who.state_content(room, kind, "").await.unwrap_or_default()
}

/// Row, options of /createRoom, and a field of a state event that must come of them.
type Creation = (&'static str, Value, &'static str, &'static str, &'static str);

fn creations() -> [Creation; 8] {
    let topic_of_state = json!({
        "type": "m.room.topic", "state_key": "", "content": { "topic": "of the list" },
    });
    [
        (
            "POST /createRoom makes a public room",
            json!({ "preset": "public_chat" }),
            "m.room.join_rules",
            "/join_rule",
            "public",
        ),
        (
            "POST /createRoom makes a private room",
            json!({ "preset": "private_chat" }),
            "m.room.join_rules",
            "/join_rule",
            "invite",
        ),
        (
            "POST /createRoom makes a room with a topic",
            json!({ "topic": "Trade" }),
            "m.room.topic",
            "/topic",
            "Trade",
        ),
        (
            "POST /createRoom makes a room with a topic and writes rich topic representation",
            json!({ "topic": "Trade" }),
            "m.room.topic",
            "/m.topic/m.text/0/body",
            "Trade",
        ),
        (
            "POST /createRoom makes a room with a topic via initial_state",
            json!({ "initial_state": [topic_of_state] }),
            "m.room.topic",
            "/topic",
            "of the list",
        ),
        (
            "POST /createRoom makes a room with a topic via initial_state overwritten by topic",
            json!({ "topic": "Trade", "initial_state": [topic_of_state] }),
            "m.room.topic",
            "/topic",
            "Trade",
        ),
        (
            "POST /createRoom makes a room with a name",
            json!({ "name": "The exchange" }),
            "m.room.name",
            "/name",
            "The exchange",
        ),
        (
            "PUT /createRoom with creation content",
            json!({ "creation_content": { "m.federate": true, "type": "org.example.ledger" } }),
            "m.room.create",
            "/type",
            "org.example.ledger",
        ),
    ]
}

async fn room_create(stage: Stage) {
    let alice = stage.person().await;
    for (row, options, kind, pointer, wanted) in creations() {
        stage
            .row(row, async {
                let room = alice.create_room(&options).await;
                assert_eq!(text(&state(&alice, &room, kind).await, pointer), wanted);
            })
            .await;
    }
    stage
        .row("Can /sync newly created room", async {
            let room = alice.create_room(&json!({})).await;
            let mut view = View::default();
            alice.until(&mut view, "the room", |v| v.rooms.contains_key(&room).then_some(())).await;
        })
        .await;
}

async fn room_create_versions(stage: Stage) {
    let alice = stage.person().await;
    for version in ["6", "7", "8", "9", "10", "11", "12"] {
        stage
            .row(&format!("POST /createRoom creates a room with version {version}"), async {
                let room = alice.create_room(&json!({ "room_version": version })).await;
                assert_eq!(state(&alice, &room, "m.room.create").await["room_version"], version);
                // From version 12 on, a room's id names no server.
                assert_eq!(room.contains(':'), version != "12", "{room}");
            })
            .await;
    }
    stage
        .row("the version of creation_content is ignored", async {
            let options = json!({ "creation_content": { "room_version": "odd" } });
            let room = alice.create_room(&options).await;
            assert_ne!(state(&alice, &room, "m.room.create").await["room_version"], "odd");
        })
        .await;
    for (row, version, errcode) in [
        (
            "POST /createRoom rejects attempts to create rooms with numeric versions",
            json!(10),
            "M_BAD_JSON",
        ),
        (
            "POST /createRoom rejects attempts to create rooms with unknown versions",
            json!("org.example.odd"),
            "M_UNSUPPORTED_ROOM_VERSION",
        ),
    ] {
        stage
            .row(row, async {
                let options = json!({ "room_version": version });
                alice.post(&["createRoom"], &options).answer().await.refused(400, errcode);
            })
            .await;
    }
}

async fn room_create_invites(stage: Stage) {
    let company = stage.company().await;
    let (alice, bob) = (company.person("alice").await, company.person("bob").await);
    let options = json!({ "preset": "private_chat", "name": "For two", "invite": [bob.user_id] });
    let room = alice.create_room(&options).await;
    let mut view = View::default();
    let invited = |view: &View| view.invited.get(&room).cloned();
    let stripped = bob.until(&mut view, "the invitation", invited).await;
    let field = |kind: &str, pointer: &str| {
        let event = stripped.get(&(kind.to_owned(), String::new()));
        event.and_then(|event| event["content"][pointer].as_str()).map(str::to_owned)
    };
    assert_eq!(field("m.room.name", "name").as_deref(), Some("For two"));
    assert_eq!(field("m.room.join_rules", "join_rule").as_deref(), Some("invite"));
    bob.join(&room, &[]).await;
    let joined = alice.get(&["rooms", &room, "joined_members"]).ok().await;
    assert!(joined["joined"].get(&bob.user_id).is_some(), "{joined}");
}

async fn reports_to_myself(stage: Stage) {
    let alice = stage.person().await;
    let room = alice.create_room(&json!({})).await;
    let mut view = View::default();
    alice.sync(&mut view, false).await;
    for (row, kind, key) in [
        ("Room creation reports m.room.create to myself", "m.room.create", ""),
        ("Room creation reports m.room.member to myself", "m.room.member", alice.user_id.as_str()),
    ] {
        stage
            .row(row, async {
                let event = &view.rooms[&room].state[&(kind.to_owned(), key.to_owned())];
                assert_eq!(event["sender"], alice.user_id);
            })
            .await;
    }
    let mut view = view.clone();
    let topic = json!({ "topic": "Testing topic for the new room" });
    let set = alice.set_state(&room, "m.room.topic", "", &topic).await;
    stage
        .row("Setting room topic reports m.room.topic to myself", async {
            let event = alice.until_event(&mut view, &room, &set).await;
            assert_eq!(event["content"]["topic"], topic["topic"]);
        })
        .await;
    stage
        .row("Setting state twice is idempotent", async {
            assert_eq!(alice.set_state(&room, "m.room.topic", "", &topic).await, set);
        })
        .await;
    stage
        .row("Joining room twice is idempotent", async {
            let before = alice.state(&room).await;
            alice.join(&room, &[]).await;
            alice.post(&["rooms", &room, "join"], &json!({})).ok().await;
            assert!(!before.0.is_empty());
            assert_eq!(alice.state(&room).await, before);
        })
        .await;
}

async fn room_state(stage: Stage) {
    let (alice, bob) = stage.colleagues().await;
    let room = alice.create_room(&json!({ "preset": "public_chat", "name": "The hall" })).await;
    let member = ["rooms", room.as_str(), "state", "m.room.member", alice.user_id.as_str()];
    stage
        .row("GET /rooms/:room_id/state/m.room.member/:user_id fetches my membership", async {
            assert_eq!(alice.get(&member).ok().await["membership"], "join");
        })
        .await;
    stage
        .row("GET /rooms/:room_id/state/m.room.member/:user_id?format=event fetches my membership event", async {
            let event = alice.get(&member).query(&[("format", "event")]).ok().await;
            assert_eq!((&event["sender"], &event["type"]), (&json!(alice.user_id), &json!("m.room.member")));
            assert_eq!((&event["room_id"], &event["content"]["membership"]), (&json!(room), &json!("join")));
        })
        .await;
    stage
        .row("GET /rooms/:room_id/state/m.room.power_levels fetches powerlevels", async {
            let levels = state(&alice, &room, "m.room.power_levels").await;
            for level in
                ["ban", "kick", "redact", "users_default", "state_default", "events_default"]
            {
                assert!(levels[level].is_i64(), "no {level} in {levels}");
            }
        })
        .await;
    stage
        .row("GET /rooms/:room_id/state fetches entire room state", async {
            let all = alice.get(&["rooms", &room, "state"]).ok().await;
            let kinds = set(list(&all, ""), "type");
            for kind in
                ["m.room.create", "m.room.member", "m.room.join_rules", "m.room.power_levels"]
            {
                assert!(kinds.contains(kind), "no {kind} in {kinds:?}");
            }
        })
        .await;
    stage
        .row("GET /joined_rooms lists newly-created room", async {
            let rooms = alice.get(&["joined_rooms"]).ok().await;
            assert!(list(&rooms, "/joined_rooms").contains(&json!(room)), "{rooms}");
        })
        .await;
    stage
        .row("GET /rooms/:room_id/joined_members fetches my membership", async {
            let members = alice.get(&["rooms", &room, "joined_members"]).ok().await;
            let me = &members["joined"][&alice.user_id];
            assert!(me.is_object(), "{members}");
        })
        .await;
    stage
        .row("GET /rooms/:room_id/joined_members is forbidden after leaving room", async {
            bob.join(&room, &[]).await;
            bob.get(&["rooms", &room, "joined_members"]).ok().await;
            bob.leave(&room).await;
            let answer = bob.get(&["rooms", &room, "joined_members"]).answer().await;
            answer.refused(403, "M_FORBIDDEN");
        })
        .await;
}

async fn name_and_topic(stage: Stage) {
    let alice = stage.person().await;
    let room = public_room(&alice).await;
    for (row, kind, field) in [
        ("GET /rooms/:room_id/state/m.room.name gets name", "m.room.name", "name"),
        ("GET /rooms/:room_id/state/m.room.topic gets topic", "m.room.topic", "topic"),
    ] {
        stage
            .row(row, async {
                let path = ["rooms", &room, "state", kind];
                alice.get(&path).answer().await.refused(404, "M_NOT_FOUND");
                // With the state key spelled out as nothing, and without it.
                alice.put(&[&path[..], &[""]].concat(), &json!({ field: "first" })).ok().await;
                assert_eq!(alice.get(&path).ok().await[field], "first");
                alice.put(&path, &json!({ field: "second" })).ok().await;
                assert_eq!(alice.get(&path).ok().await[field], "second");
                let synced = sync(&alice, &[]).await;
                let joined = &synced["rooms"]["join"][&room];
                let events = [list(joined, "/state/events"), list(joined, "/timeline/events")];
                let told = events.concat().into_iter().rfind(|event| event["type"] == kind);
                assert_eq!(told.expect("it is told")["content"][field], "second");
            })
            .await;
    }
}
