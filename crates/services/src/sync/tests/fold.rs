//! The law: what a client knows after any incremental syncs is what a fresh initial sync tells.

use super::*;
use crate::{
    room_world::user_id,
    rooms::{
        create::{NewRoom, Preset},
        membership::NewMembership,
        send::NewEvent,
    },
};

const USERS: [&str; 3] = ["alice", "bob", "carol"];
const ROOMS: usize = 3;

#[derive(Clone, Debug)]
enum Step {
    Message { room: usize, user: usize },
    State { room: usize, key: u8 },
    Member { room: usize, user: usize, membership: &'static str },
    Sync,
}

fn step() -> impl Strategy<Value = Step> {
    let membership = prop_oneof![Just("join"), Just("leave"), Just("invite"), Just("ban")];
    let (room, user) = (0..ROOMS, 0..USERS.len());
    prop_oneof![
        3 => (room.clone(), user.clone()).prop_map(|(room, user)| Step::Message { room, user }),
        2 => (room.clone(), 0..3_u8).prop_map(|(room, key)| Step::State { room, key }),
        2 => (room, user, membership)
            .prop_map(|(room, user, membership)| Step::Member { room, user, membership }),
        2 => Just(Step::Sync),
    ]
}

/// What a client knows.
#[derive(Debug, Default, PartialEq, Eq)]
struct Client {
    joined: BTreeMap<String, Known>,
    invited: BTreeSet<String>,
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Known {
    /// (type, state key) → event
    state: BTreeMap<(String, String), String>,
    timeline: Vec<String>,
}

impl Client {
    fn fold(&mut self, answer: &Value) {
        let sections = &answer["rooms"];
        for id in room_ids(&sections["invite"]) {
            self.joined.remove(&id);
            self.invited.insert(id);
        }
        for id in room_ids(&sections["leave"]) {
            self.joined.remove(&id);
            self.invited.remove(&id);
        }
        for (id, room) in sections["join"].as_object().unwrap() {
            self.invited.remove(id);
            self.joined.entry(id.clone()).or_default().fold(room);
        }
    }
}

impl Client {
    /// An initial sync shows only the end of what the client has.
    fn forget_what_is_long_past(&mut self, fresh: &mut Self) {
        for (id, known) in &mut self.joined {
            let Some(fresh) = fresh.joined.get_mut(id) else { continue };
            let shared = known.timeline.len().min(fresh.timeline.len());
            known.timeline.drain(..known.timeline.len() - shared);
            fresh.timeline.drain(..fresh.timeline.len() - shared);
        }
    }
}

impl Known {
    fn fold(&mut self, room: &Value) {
        let timeline = room["timeline"]["events"].as_array().unwrap();
        if room["timeline"]["limited"] == true {
            self.timeline.clear();
        }
        let id = |event: &Value| event["event_id"].as_str().unwrap().to_owned();
        self.timeline.extend(timeline.iter().map(id));
        let after = room.get("state_after");
        let state = after.unwrap_or(&room["state"])["events"].as_array().unwrap();
        let shown = timeline.iter().filter(|_| after.is_none());
        for event in state.iter().chain(shown) {
            let Some(key) = event["state_key"].as_str() else { continue };
            let place = (event["type"].as_str().unwrap().to_owned(), key.to_owned());
            self.state.insert(place, id(event));
        }
    }
}

async fn take(case: &Case, rooms: &[Room], step: &Step) {
    let world = &case.world;
    match step {
        Step::Message { room, user } => {
            world.message(&rooms[*room], USERS[*user], "hello").await;
        }
        Step::State { room, key } => {
            let content = json!({ "key": key });
            let key = key.to_string();
            world.state(&rooms[*room], "alice", "org.example.state", &key, content).await;
        }
        Step::Member { room, user, membership } => {
            world.member(&rooms[*room], USERS[*user], membership).await;
        }
        Step::Sync => {}
    }
}

async fn check(steps: &[Step], query: &SyncQuery) {
    let case = Case::new();
    let mut rooms = Vec::new();
    for _ in 0..ROOMS {
        let room = case.world.room("alice", "shared").await;
        case.world.member(&room, "bob", "join").await;
        rooms.push(room);
    }
    let mut answer = case.sync("bob", None, query.clone()).await;
    let mut client = Client::default();
    client.fold(&answer);
    for step in steps.iter().chain([&Step::Sync]) {
        take(&case, &rooms, step).await;
        if matches!(step, Step::Sync) {
            answer = case.sync("bob", Some(&answer), query.clone()).await;
            client.fold(&answer);
        }
    }
    let mut fresh = Client::default();
    fresh.fold(&case.sync("bob", None, query.clone()).await);
    client.forget_what_is_long_past(&mut fresh);
    assert_eq!(client, fresh);
}

/// The same with rooms as their writer writes them: what the rooms' rules forbid does not happen.
async fn check_with_rules(steps: &[Step], query: &SyncQuery) {
    let world = crate::testing::World::new();
    let rooms = &world.services.rooms;
    let mut ids = Vec::new();
    for _ in 0..ROOMS {
        // Since version 12 a room's id is drawn from when and how it was created.
        world.clock.advance(Duration::from_millis(1));
        ids.push(rooms.create(public_room()).await.unwrap());
    }
    let sync = async |since: Option<&Value>| {
        let since = since.map(|answer| answer["next_batch"].as_str().unwrap().to_owned());
        let query = SyncQuery { since, ..query.clone() };
        let (answer, _) = world
            .services
            .syncs
            .sync(reader("bob"), query.into(), std::future::pending())
            .await
            .unwrap();
        serde_json::to_value(&answer).unwrap()
    };
    let mut answer = sync(None).await;
    let mut client = Client::default();
    client.fold(&answer);
    for step in steps.iter().chain([&Step::Sync]) {
        match step {
            Step::Message { room, user } => {
                let event = new_event(USERS[*user], "m.room.message", None);
                let _ = rooms.send(&ids[*room], event).await;
            }
            Step::State { room, key } => {
                let event = new_event("alice", "org.example.state", Some(key.to_string()));
                let _ = rooms.send(&ids[*room], event).await;
            }
            Step::Member { room, user, membership } => {
                let target = user_id(USERS[*user]);
                let own = matches!(*membership, "join" | "leave");
                let sender = if own { target.clone() } else { user_id("alice") };
                let content = serde_json::Map::new();
                let membership = (*membership).into();
                let new = NewMembership { sender, target, membership, content };
                let room = rooms.get(&ids[*room]).await.unwrap();
                let _ = rooms.change_membership(&room, new).await;
            }
            Step::Sync => {
                answer = sync(Some(&answer)).await;
                client.fold(&answer);
            }
        }
    }
    let mut fresh = Client::default();
    fresh.fold(&sync(None).await);
    client.forget_what_is_long_past(&mut fresh);
    assert_eq!(client, fresh);
}

fn public_room() -> NewRoom {
    NewRoom::new(user_id("alice"), model::room_version::RoomVersion::DEFAULT, Preset::PublicChat)
}

fn new_event(sender: &str, event_type: &str, state_key: Option<String>) -> NewEvent {
    NewEvent {
        sender: user_id(sender),
        event_type: event_type.to_owned(),
        state_key,
        content: serde_json::value::to_raw_value(&json!({ "body": "hello" })).unwrap(),
        redacts: None,
        timestamp_ms: None,
        transaction: None,
    }
}

fn run(steps: &[Step], query: &SyncQuery) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(check(steps, query));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, ..ProptestConfig::default() })]

    #[test]
    fn folding_incremental_syncs_gives_what_an_initial_sync_gives(
        steps in prop::collection::vec(step(), 1..40),
        limit in 1..6_u64,
        use_state_after: bool,
    ) {
        let query = filter(json!({ "room": { "timeline": { "limit": limit } } }));
        run(&steps, &SyncQuery { use_state_after, ..query });
    }

    #[test]
    fn it_does_so_in_rooms_with_rules(
        steps in prop::collection::vec(step(), 1..30),
        limit in 1..6_u64,
        use_state_after: bool,
    ) {
        let query = filter(json!({ "room": { "timeline": { "limit": limit } } }));
        let query = SyncQuery { use_state_after, ..query };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(check_with_rules(&steps, &query));
    }
}

#[test]
fn a_client_that_leaves_and_comes_back_between_two_syncs_misses_nothing() {
    let member = |membership| Step::Member { room: 0, user: 1, membership };
    let steps = [
        Step::Message { room: 0, user: 0 },
        member("leave"),
        Step::State { room: 0, key: 1 },
        member("join"),
        Step::Sync,
        member("ban"),
        Step::Sync,
        Step::State { room: 0, key: 2 },
        member("invite"),
        Step::Sync,
        member("join"),
    ];
    let query = filter(json!({ "room": { "timeline": { "limit": 2 } } }));
    run(&steps, &query);
}
