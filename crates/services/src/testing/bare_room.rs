//! A room written row by row, for the tests of services that read rooms but do not write them.

use std::sync::atomic::{AtomicU64, Ordering};

use model::{
    EventNumber, RoomNumber,
    pdu::Pdu,
    room_version::RoomVersion,
    state_tree::{Entry, StateTree},
};
use ruma::{OwnedEventId, OwnedRoomId, UserId};
use serde_json::{Value, json};
use store::{
    events::{self, EventRecord, Place, Standing},
    log::Change,
    memberships::{self, Kind, Membership, ServerInRoom},
    rooms::{self, RoomHead},
};

use crate::{Context, room_rows::RoomRows};

/// A room of version 11 in which everything is allowed, because nobody asks.
pub struct BareRoom {
    pub context: Context,
    pub id: OwnedRoomId,
    pub number: RoomNumber,
    next: AtomicU64,
}

impl BareRoom {
    pub async fn new(context: &Context) -> Self {
        Self::numbered(context, 1).await
    }

    pub async fn numbered(context: &Context, number: u64) -> Self {
        let id = OwnedRoomId::try_from(format!("!room{number}:acme.example")).unwrap();
        let number = RoomNumber(number);
        let head = RoomHead {
            room_id: id.to_string(),
            room_version: "11".to_owned(),
            extremities: Vec::new(),
            state: StateTree::EMPTY,
            depth: 0,
            next_event: 1,
            next_backfill: -1,
            blocked: false,
        };
        let mut batch = context.batch();
        rooms::put_number(&mut batch, &id, number);
        rooms::put_head(&mut batch, number, &head);
        context.log.commit(batch, vec![Change::Nothing]).await.unwrap();
        Self { context: context.clone(), id, number, next: AtomicU64::new(1) }
    }

    /// The user joins; a local one finds the room in his list.
    pub async fn join(&self, user: &str) -> OwnedEventId {
        let content = json!({ "membership": "join", "displayname": user });
        self.write(user, "m.room.member", Some(user), content, Some(Kind::Join)).await
    }

    pub async fn leave(&self, user: &str) -> OwnedEventId {
        let content = json!({ "membership": "leave" });
        self.write(user, "m.room.member", Some(user), content, Some(Kind::Leave)).await
    }

    pub async fn send(&self, sender: &str, event_type: &str, content: Value) -> OwnedEventId {
        self.write(sender, event_type, None, content, None).await
    }

    pub async fn say(&self, sender: &str, body: &str) -> OwnedEventId {
        let content = json!({ "msgtype": "m.text", "body": body });
        self.send(sender, "m.room.message", content).await
    }

    pub async fn say_in_thread(
        &self,
        sender: &str,
        root: &OwnedEventId,
        body: &str,
    ) -> OwnedEventId {
        let relates_to = json!({ "rel_type": "m.thread", "event_id": root });
        let content = json!({ "msgtype": "m.text", "body": body, "m.relates_to": relates_to });
        self.send(sender, "m.room.message", content).await
    }

    /// Puts a state event.
    pub async fn put(&self, sender: &str, event_type: &str, key: &str, content: Value) {
        self.write(sender, event_type, Some(key), content, None).await;
    }

    /// Marks an event as redacted, as a redaction that takes effect does, and puts the redaction.
    pub async fn redact(&self, sender: &str, event_id: &OwnedEventId) {
        let redaction = self.send(sender, "m.room.redaction", json!({ "redacts": event_id })).await;
        let snapshot = self.context.store.snapshot();
        let (room, by) = events::number(&snapshot, &redaction).unwrap().unwrap();
        let (_, number) = events::number(&snapshot, event_id).unwrap().unwrap();
        let stored = events::get(&snapshot, room, number).unwrap().unwrap();
        let record = EventRecord { redacted_by: Some(by), ..stored.record.clone() };
        let mut batch = self.context.batch();
        events::put(&mut batch, room, number, &record, &stored.pdu);
        let event_id = event_id.to_string();
        let altered = Change::EventAltered { room, event_id };
        self.context.log.commit(batch, vec![altered]).await.unwrap();
    }

    async fn write(
        &self,
        sender: &str,
        event_type: &str,
        state_key: Option<&str>,
        content: Value,
        membership: Option<Kind>,
    ) -> OwnedEventId {
        let event = EventNumber(self.next.fetch_add(1, Ordering::SeqCst));
        let pdu = self.pdu(event, (sender, event_type, state_key), content);
        let (snapshot, room) = (self.context.store.snapshot(), self.number);
        let mut batch = self.context.batch();
        let mut head = rooms::head(&snapshot, room).unwrap().unwrap();
        let before = head.state;
        if let Some(state_key) = state_key {
            let tree = StateTree::new(self.context.state_salt);
            let rows = RoomRows { snapshot: &snapshot, room, salt: self.context.state_salt };
            let entry = Entry::of(event, &pdu);
            let (root, nodes) = tree.set(&rows, before, event_type, state_key, entry).unwrap();
            for (id, node) in nodes {
                store::state::put_node(&mut batch, room, &id, node);
            }
            head.state = root;
            rooms::put_head(&mut batch, room, &head);
        }
        let record = EventRecord {
            event_id: pdu.event_id.to_string(),
            standing: Standing::Accepted,
            state_before: Some(before),
            state_after: Some(head.state),
            auth: Vec::new(),
            place: Place::Live(0),
            redacted_by: None,
            sent_by: None,
        };
        events::put(&mut batch, room, event, &record, pdu.record());
        events::append_to_timeline(&mut batch, room, 0, event);
        if let Some(kind) = membership {
            put_membership(&mut batch, room, event, state_key.unwrap_or(sender), kind);
            let server = <&UserId>::try_from(sender).unwrap().server_name();
            put_server(&snapshot, &mut batch, room, server.as_str(), kind);
        }
        let changes = vec![Change::Events { room, events: vec![event] }];
        self.context.log.commit(batch, changes).await.unwrap();
        pdu.event_id.clone()
    }

    fn pdu(
        &self,
        event: EventNumber,
        (sender, event_type, state_key): (&str, &str, Option<&str>),
        content: Value,
    ) -> Pdu {
        let mut json = json!({
            "room_id": self.id,
            "sender": sender,
            "type": event_type,
            "content": content,
            "origin_server_ts": event.0,
            "depth": event.0,
            "prev_events": [],
            "auth_events": [],
            "hashes": { "sha256": "unchecked" },
            "signatures": {},
        });
        if let Some(state_key) = state_key {
            json["state_key"] = state_key.into();
        }
        Pdu::from_wire(json.to_string().as_bytes(), RoomVersion::V11).unwrap()
    }
}

fn put_server(
    snapshot: &kv::Snapshot,
    batch: &mut kv::Batch,
    room: RoomNumber,
    server: &str,
    kind: Kind,
) {
    let known = memberships::server_in_room(snapshot, server, room).unwrap();
    let joined = known.map_or(0, |known| known.joined);
    let joined = if kind == Kind::Join { joined + 1 } else { joined - 1 };
    let presence = ServerInRoom { joined, since: EventNumber(0), until: None };
    memberships::put_server(batch, server, room, &presence);
}

fn put_membership(
    batch: &mut kv::Batch,
    room: RoomNumber,
    event: EventNumber,
    user: &str,
    kind: Kind,
) {
    let user = <&UserId>::try_from(user).unwrap();
    if user.server_name() == "acme.example" {
        let membership = Membership {
            kind,
            event: Some(event),
            since: 0,
            opened_by: None,
            stripped_state: None,
            forgotten: false,
            overtaking: None,
        };
        memberships::put(batch, user.localpart(), room, &membership);
    }
}
