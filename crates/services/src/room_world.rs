//! Rooms for the tests of what reads them: events go straight into the store, one commit each, with
//! the rows that a room's writer keeps. Nothing is authorised here.

use std::{cell::Cell, sync::Arc};

use kv::{HomeserverId, MemoryEngine, Store};
use model::{
    EventNumber, RoomNumber,
    build::{self, EventTemplate, Place},
    clock::ManualClock,
    ids::SeededIds,
    room_version::RoomVersion,
    signing_key::SigningKey,
    state_tree::{Entry, StateTree},
};
use ruma::{OwnedEventId, OwnedRoomId, OwnedUserId};
use serde_json::{Value, json, value::to_raw_value};
use store::{
    events::{self, EventRecord, SentBy, Standing},
    log::Change,
    memberships::{self, Kind, Membership},
    relations, room_states,
    rooms::RoomHead,
};

use crate::{
    Context, identity::CurrentKey, log::Log, reader::Reader, recent::RecentEvents,
    room_rows::RoomRows, turns::Writers,
};

/// A homeserver `acme.example` in memory.
pub struct World {
    pub context: Context,
    pub clock: ManualClock,
    next_room: Cell<u64>,
}

/// One of its rooms.
#[derive(Clone)]
pub struct Room {
    pub id: OwnedRoomId,
    pub number: RoomNumber,
}

/// An event to be put into a room.
pub struct New<'a> {
    pub sender: &'a str,
    pub event_type: &'a str,
    pub state_key: Option<&'a str>,
    pub content: Value,
}

const VERSION: RoomVersion = RoomVersion::V11;

impl World {
    pub fn new() -> Self {
        let engine = MemoryEngine::new(store::TABLES);
        let store = Store::new(Arc::new(engine), HomeserverId(1));
        let clock = ManualClock::default();
        let log = Arc::new(Log::open(store.clone()).unwrap());
        let context = Context {
            server_name: "acme.example".try_into().unwrap(),
            signing_key: CurrentKey::new(SigningKey::generate([1; 32]).unwrap()),
            state_salt: [2; 16],
            turns: Writers::default().turns(store.homeserver()),
            recent: RecentEvents::following(&log),
            log,
            store,
            clock: Arc::new(clock.clone()),
            ids: Arc::new(SeededIds::new(7)),
        };
        Self { context, clock, next_room: Cell::new(1) }
    }

    /// A room that the user created and is joined to.
    pub async fn room(&self, creator: &str, history_visibility: &str) -> Room {
        let id = self.context.ids.room_id(&self.context.server_name);
        let room =
            Room { id, number: RoomNumber(self.next_room.replace(self.next_room.get() + 1)) };
        let create = json!({ "room_version": "11" });
        self.state(&room, creator, "m.room.create", "", create).await;
        self.member(&room, creator, "join").await;
        let visibility = json!({ "history_visibility": history_visibility });
        self.state(&room, creator, "m.room.history_visibility", "", visibility).await;
        room
    }

    pub async fn member(&self, room: &Room, user: &str, membership: &str) -> OwnedEventId {
        let content = json!({ "membership": membership });
        self.state(room, user, "m.room.member", user_id(user).as_str(), content).await
    }

    pub async fn message(&self, room: &Room, sender: &str, body: &str) -> OwnedEventId {
        let content = json!({ "msgtype": "m.text", "body": body });
        self.event(room, sender, "m.room.message", content).await
    }

    pub async fn event(
        &self,
        room: &Room,
        sender: &str,
        event_type: &str,
        content: Value,
    ) -> OwnedEventId {
        self.put(room, New { sender, event_type, state_key: None, content }).await
    }

    pub async fn state(
        &self,
        room: &Room,
        sender: &str,
        event_type: &str,
        state_key: &str,
        content: Value,
    ) -> OwnedEventId {
        self.put(room, New { sender, event_type, state_key: Some(state_key), content }).await
    }

    pub async fn put(&self, room: &Room, new: New<'_>) -> OwnedEventId {
        let (context, snapshot) = (&self.context, self.context.store.snapshot());
        let before = store::rooms::head(&snapshot, room.number).unwrap();
        let mut head = before.clone().unwrap_or_else(|| RoomHead {
            room_id: room.id.to_string(),
            room_version: VERSION.as_str().to_owned(),
            extremities: Vec::new(),
            state: StateTree::EMPTY,
            depth: 0,
            next_event: 1,
            next_backfill: -1,
            blocked: false,
        });
        let template = EventTemplate {
            room_id: Some(room.id.clone()),
            sender: user_id(new.sender),
            event_type: new.event_type.to_owned(),
            state_key: new.state_key.map(str::to_owned),
            content: to_raw_value(&new.content).unwrap(),
            redacts: None,
            origin_server_ts: context.clock.now_ms(),
        };
        head.depth += 1;
        let place = Place { depth: head.depth, ..Place::default() };
        let (server, key) = (&context.server_name, &context.signing_key.current());
        let pdu = build::build_and_sign(&template, &place, VERSION, server, key).unwrap();
        let number = EventNumber(head.next_event);
        head.next_event += 1;

        let mut batch = context.batch();
        let mut entry = vec![Change::Events { room: room.number, events: vec![number] }];
        let state_before = head.state;
        if let Some((event_type, state_key)) = pdu.type_and_key() {
            let rows =
                RoomRows { snapshot: &snapshot, room: room.number, salt: context.state_salt };
            let tree = StateTree::new(context.state_salt);
            let set = tree.set(&rows, head.state, event_type, state_key, Entry::of(number, &pdu));
            let (root, nodes) = set.unwrap();
            for (id, node) in nodes {
                store::state::put_node(&mut batch, room.number, &id, node);
            }
            head.state = root;
            room_states::put(&mut batch, room.number, &root);
            if let Some(membership) = pdu.membership() {
                let localpart = state_key.trim_start_matches('@').split(':').next().unwrap();
                let row = membership_row(&membership, number);
                memberships::put(&mut batch, localpart, room.number, &row);
                entry.push(Change::Membership { user: localpart.to_owned(), room: room.number });
            }
        }
        let record = EventRecord {
            event_id: pdu.event_id.to_string(),
            standing: Standing::Accepted,
            state_before: Some(state_before),
            state_after: Some(head.state),
            auth: Vec::new(),
            place: events::Place::Live(0),
            redacted_by: None,
            sent_by: Some(SentBy {
                device_id: "PHONE".to_owned(),
                transaction_id: format!("t{}", number.0),
            }),
        };
        events::put(&mut batch, room.number, number, &record, pdu.record());
        events::append_to_timeline(&mut batch, room.number, 0, number);
        relations::put(&mut batch, room.number, number, events::Place::Live(0), &pdu);
        store::rooms::put_number(&mut batch, &room.id, room.number);
        store::rooms::put_head(&mut batch, room.number, &head);
        context.log.commit(batch, entry).await.unwrap();
        pdu.event_id
    }
}

fn membership_row(
    membership: &ruma::events::room::member::MembershipState,
    event: EventNumber,
) -> Membership {
    let kind = match membership.as_str() {
        "join" => Kind::Join,
        "invite" => Kind::Invite,
        "knock" => Kind::Knock,
        "ban" => Kind::Ban,
        _ => Kind::Leave,
    };
    Membership {
        kind,
        event: Some(event),
        opened_by: None,
        since: 0,
        stripped_state: None,
        forgotten: false,
        overtaking: None,
    }
}

pub fn user_id(localpart: &str) -> OwnedUserId {
    format!("@{localpart}:acme.example").try_into().unwrap()
}

/// The user, with his phone.
pub fn reader(localpart: &str) -> Reader {
    Reader { user: user_id(localpart), device: Some("PHONE".into()) }
}
