//! What one homeserver has of one room, read from its store when everything is quiet.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use kv::StoreError;
use model::{
    EventNumber,
    state_tree::{NodeId, StateTree},
};
use ruma::{OwnedEventId, OwnedRoomId};
use services::{room_rows::RoomRows, rooms::Rooms};
use store::{
    events::{Order, Place, Standing},
    memberships::{self, Kind},
};

/// An event, as a homeserver has it.
#[derive(Clone, Debug)]
pub struct Kept {
    pub standing: Standing,
    pub what: String,
    pub sender: String,
    pub prev: Vec<OwnedEventId>,
    pub depth: u64,
    /// The redactions of it that count here.
    pub redactions: BTreeSet<OwnedEventId>,
    /// Its content as it is stored.
    pub content: String,
    pub order: Option<Order>,
    pub before: Option<NodeId>,
    pub after: Option<NodeId>,
}

/// A state of the room: which event stands where.
pub type State = BTreeMap<(String, String), OwnedEventId>;

/// What a homeserver has of a room.
#[derive(Default)]
pub struct Book {
    pub events: BTreeMap<OwnedEventId, Kept>,
    /// The present state.
    pub state: State,
    /// Every state that an event stands before or after, or that the room had.
    pub states: HashMap<NodeId, State>,
    /// The state that the room had when each place of the timeline was its end.
    pub lived: BTreeMap<Order, NodeId>,
    pub extremities: Vec<String>,
    /// Servers, and how many of their users are joined, as it counts them.
    pub servers: BTreeMap<String, u64>,
    /// The event with which each server came into the room the last time, as this one saw it.
    pub since: BTreeMap<String, OwnedEventId>,
    /// Local users who are joined, as their lists of rooms say.
    pub joined_here: BTreeSet<String>,
}

impl Book {
    pub async fn read(rooms: &Rooms, room_id: &OwnedRoomId) -> Option<Self> {
        let room = rooms.find(room_id).await.expect("readable")?;
        let us = rooms.context().server_name.to_string();
        let read = rooms.read(room.number, move |rows| read(rows, &us));
        read.await.expect("readable")
    }

    /// Whether this homeserver thinks that it is in the room.
    pub fn is_resident(&self, server: &str) -> bool {
        self.servers.get(server).is_some_and(|joined| *joined > 0)
    }

    /// A user's membership in a state.
    pub fn membership(&self, state: &State, user: &str) -> String {
        let place = ("m.room.member".to_owned(), user.to_owned());
        self.text(state.get(&place), "membership").unwrap_or_else(|| "leave".to_owned())
    }

    pub fn visibility(&self, state: &State) -> String {
        let place = ("m.room.history_visibility".to_owned(), String::new());
        self.text(state.get(&place), "history_visibility").unwrap_or_else(|| "shared".to_owned())
    }

    fn text(&self, event: Option<&OwnedEventId>, field: &str) -> Option<String> {
        let content = &self.events.get(event?)?.content;
        let content: serde_json::Value = serde_json::from_str(content).ok()?;
        content[field].as_str().map(ToOwned::to_owned)
    }

    /// How many users of each server are joined in a state.
    pub fn joined_servers(&self, state: &State) -> BTreeMap<String, u64> {
        let mut servers = BTreeMap::new();
        for (event_type, user) in state.keys() {
            if event_type == "m.room.member"
                && self.membership(state, user) == "join"
                && let Some((_, server)) = user.split_once(':')
            {
                *servers.entry(server.to_owned()).or_default() += 1;
            }
        }
        servers
    }

    /// The state before an event that has a place in the room's graph here.
    pub fn before(&self, event: &OwnedEventId) -> Option<&State> {
        self.states.get(&self.events.get(event)?.before?)
    }
}

fn read(rows: RoomRows<'_>, us: &str) -> Result<Option<Book>, StoreError> {
    let Some(head) = store::rooms::head(rows.snapshot, rows.room)? else { return Ok(None) };
    let mut book = Book::default();
    let mut ids: HashMap<EventNumber, OwnedEventId> = HashMap::new();
    let mut redactions = Vec::new();
    for number in 1..head.next_event {
        let Some(event) = rows.event(EventNumber(number))? else { continue };
        let (record, pdu) = (&event.record, &event.pdu);
        ids.insert(event.number, pdu.event_id.clone());
        let kept = Kept {
            standing: record.standing,
            what: format!("{} {:?}", pdu.event_type, pdu.state_key),
            sender: pdu.sender.to_string(),
            prev: pdu.prev_events.clone(),
            depth: pdu.depth,
            redactions: BTreeSet::new(),
            content: pdu.content().get().to_owned(),
            order: match record.place {
                Place::At(order) => Some(order),
                Place::Nowhere | Place::Live(_) => None,
            },
            before: record.state_before,
            after: record.state_after,
        };
        if let Some(target) = pdu.redacts.clone().filter(|_| record.standing == Standing::Accepted)
        {
            redactions.push((target, pdu.event_id.clone()));
        }
        book.events.insert(pdu.event_id.clone(), kept);
    }
    for (target, redaction) in redactions {
        if let Some(kept) = book.events.get_mut(&target) {
            kept.redactions.insert(redaction);
        }
    }
    for order in book.events.values().filter_map(|kept| kept.order) {
        let Ok(position) = u64::try_from(order.0) else { continue };
        if let Some(root) = store::room_states::at(rows.snapshot, rows.room, position)? {
            book.lived.insert(order, root);
        }
    }
    let mut roots: BTreeSet<NodeId> = book.lived.values().copied().collect();
    roots.extend(book.events.values().flat_map(|kept| [kept.before, kept.after]).flatten());
    for root in roots {
        book.states.insert(root, state(rows, root, &ids)?);
    }
    book.state = state(rows, head.state, &ids)?;
    book.extremities = head.extremities.iter().map(|end| end.event_id.clone()).collect();
    for (server, presence) in memberships::servers(rows.snapshot, rows.room)? {
        if let Some(since) = ids.get(&presence.since) {
            book.since.insert(server.clone(), since.clone());
        }
        book.servers.insert(server, presence.joined);
    }
    let local = |user: &String| user.ends_with(&format!(":{us}"));
    let members = book.state.keys().filter(|(event_type, _)| event_type == "m.room.member");
    for user in members.map(|(_, user)| user).filter(|user| local(user)) {
        let localpart = user.trim_start_matches('@').split(':').next().unwrap_or_default();
        let row = memberships::get(rows.snapshot, localpart, rows.room)?;
        if row.is_some_and(|row| row.kind == Kind::Join) {
            book.joined_here.insert(user.clone());
        }
    }
    Ok(Some(book))
}

fn state(
    rows: RoomRows<'_>,
    root: NodeId,
    ids: &HashMap<EventNumber, OwnedEventId>,
) -> Result<State, StoreError> {
    let mut state = State::new();
    for item in StateTree::new(rows.salt).entries(&rows, root) {
        let item = item?;
        let event = ids.get(&item.entry.event).expect("a state's events are stored");
        state.insert((item.event_type.to_string(), item.state_key.to_string()), event.clone());
    }
    Ok(state)
}
