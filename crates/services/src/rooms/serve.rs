//! What other servers ask of our rooms. Who may ask is checked by `federation`, before.

use std::{
    collections::{BTreeSet, HashSet, VecDeque},
    sync::Arc,
};

use kv::StoreError;
use model::{
    EventNumber,
    build::{self, EventTemplate},
    pdu::Pdu,
    state_tree::{NodeId, StateTree},
};
use ruma::{
    CanonicalJsonObject, EventId, OwnedEventId, OwnedUserId, UserId,
    events::room::member::MembershipState,
};
use serde_json::{Map, value::RawValue};
use store::events::Standing;

use super::{
    Arrival, Room, Rooms, WriteError, membership::NewMembership, receive::ReceiveError,
    remote::StateIds,
};
use crate::room_rows::{Event, RoomRows};

/// The state before an event, and the auth chain of that state.
#[derive(Clone, Debug, Default)]
pub struct StateAndChain {
    pub state: Vec<Arc<Pdu>>,
    pub auth_chain: Vec<Arc<Pdu>>,
}

/// What the joining server is answered.
#[derive(Clone, Debug)]
pub struct Joined {
    /// With our signature, if we vouch for it.
    pub event: Arc<Pdu>,
    pub before: StateAndChain,
    /// Servers in the room before the join.
    pub servers: Vec<String>,
}

/// Events that a chain or a walk through the graph may visit.
const VISITED_MAX: usize = 200_000;

impl Rooms {
    /// The member event that a user of another server may send, if the room's rules allow it: not
    /// signed, to be completed by that server.
    pub async fn propose(
        &self,
        room: &Arc<Room>,
        user: &UserId,
        membership: MembershipState,
    ) -> Result<CanonicalJsonObject, WriteError> {
        let new = NewMembership {
            sender: user.to_owned(),
            target: user.to_owned(),
            membership,
            content: Map::new(),
        };
        let proposing = self.write(room, move |draft| {
            let template: EventTemplate = draft.membership_template(&new)?;
            let (place, _) = draft.place_at_end(&template)?;
            // Built only to be judged; what leaves is the proposal, without our signature.
            draft.build(&template)?;
            Ok(build::proposal(&template, &place, draft.drafted.version)?)
        });
        Ok(proposing.await?.value)
    }

    /// Takes in a member event (join, leave, knock) that a user of another server completed. Fails
    /// if the room's rules do not allow it.
    pub async fn accept_member(
        &self,
        room: &Arc<Room>,
        event: Pdu,
    ) -> Result<Arc<Pdu>, ReceiveError> {
        let event = Arc::new(self.vouch_for(event)?);
        let accepting = self.write(room, move |draft| {
            if draft.is_known(&event.event_id)? {
                return Ok(Arc::clone(&event));
            }
            let before = draft.state_after_all(&event.prev_events)?;
            let before = before.ok_or(WriteError::Refused("a previous event is not known here"))?;
            draft.require_allowed(&event, before)?;
            draft.check_against_current(&event)?;
            match draft.accept(&event, before, Arrival::New)? {
                Standing::Accepted => Ok(Arc::clone(&event)),
                _ => Err(WriteError::Refused("the room's rules do not allow it")),
            }
        });
        Ok(accepting.await?.value)
    }

    /// What a server is answered whose user's join was just accepted.
    pub async fn joined(&self, room: &Room, event: Arc<Pdu>) -> Result<Joined, WriteError> {
        let joined = self.read(room.number, move |rows| {
            let before = state_before(rows, &event.event_id)?.unwrap_or_default();
            let servers = store::memberships::servers(rows.snapshot, rows.room)?.into_iter();
            let servers = servers.filter(|(_, presence)| presence.joined > 0);
            let servers = servers.map(|(server, _)| server).collect();
            Ok(Joined { event, before, servers })
        });
        Ok(joined.await?)
    }

    /// The current stripped state, as whole events.
    pub async fn stripped_state(&self, room: &Arc<Room>) -> Result<Vec<Box<RawValue>>, WriteError> {
        Ok(self.write(room, |draft| draft.stripped_state()).await?.value)
    }

    /// A restricted join names a user who vouches for it: if he is ours, our signature is needed.
    fn vouch_for(&self, event: Pdu) -> Result<Pdu, WriteError> {
        let context = self.context();
        let via: Option<OwnedUserId> = event.join_authorised_via();
        match via {
            Some(via) if context.is_local(&via) => Ok(build::countersign(
                &event,
                &context.server_name,
                &context.signing_key.current(),
            )?),
            _ => Ok(event),
        }
    }
}

/// The state before an event of the room, with its auth chain; `None` if the event has no place in
/// the room's graph here.
pub fn state_before(
    rows: RoomRows<'_>,
    event_id: &EventId,
) -> Result<Option<StateAndChain>, StoreError> {
    let Some(root) = rows.event_by_id(event_id)?.and_then(|event| event.record.state_before) else {
        return Ok(None);
    };
    let numbers = state_numbers(rows, root)?;
    let state = rows.events(&numbers)?;
    let chain = auth_chain(rows, state.iter())?;
    let pdus = |events: Vec<Event>| events.into_iter().map(|event| event.pdu).collect();
    Ok(Some(StateAndChain { state: pdus(state), auth_chain: pdus(chain) }))
}

/// The ids of [`state_before`].
pub fn state_ids_before(
    rows: RoomRows<'_>,
    event_id: &EventId,
) -> Result<Option<StateIds>, StoreError> {
    let ids = |pdus: Vec<Arc<Pdu>>| pdus.iter().map(|pdu| pdu.event_id.clone()).collect();
    let before = state_before(rows, event_id)?;
    Ok(before
        .map(|before| StateIds { state: ids(before.state), auth_chain: ids(before.auth_chain) }))
}

/// The numbers of all events of a state.
pub fn state_numbers(rows: RoomRows<'_>, root: NodeId) -> Result<Vec<EventNumber>, StoreError> {
    let mut numbers = Vec::new();
    for item in StateTree::new(rows.salt).entries(&rows, root) {
        numbers.push(item?.entry.event);
    }
    Ok(numbers)
}

/// Everything that the events are authorised by, directly or not; without the events themselves
/// unless one authorises another.
pub fn auth_chain<'e>(
    rows: RoomRows<'_>,
    events: impl Iterator<Item = &'e Event>,
) -> Result<Vec<Event>, StoreError> {
    let mut seen: BTreeSet<EventNumber> = BTreeSet::new();
    let mut wave: Vec<EventNumber> = events.flat_map(|event| event.record.auth.clone()).collect();
    let mut chain = Vec::new();
    while !wave.is_empty() {
        wave.retain(|number| seen.insert(*number));
        wave.sort_unstable();
        wave.dedup();
        if seen.len() > VISITED_MAX {
            return Err(StoreError::Read("the auth chain is longer than the limit".into()));
        }
        let events = rows.events(&wave)?;
        wave = events.iter().flat_map(|event| event.record.auth.clone()).collect();
        chain.extend(events);
    }
    Ok(chain)
}

/// Events on the ways from `latest` (exclusive) back to `earliest` (exclusive), oldest first: at
/// most `limit`, those nearest to `latest`.
pub fn missing_events(
    rows: RoomRows<'_>,
    latest: &[OwnedEventId],
    earliest: &[OwnedEventId],
    limit: usize,
) -> Result<Vec<Event>, StoreError> {
    let mut seen: HashSet<OwnedEventId> = earliest.iter().cloned().collect();
    let mut queue = VecDeque::new();
    for event_id in latest {
        if let Some(event) = rows.event_by_id(event_id)? {
            queue.extend(event.pdu.prev_events.iter().cloned());
        }
    }
    let mut found = walk_back(rows, queue, &mut seen, limit)?;
    found.reverse();
    Ok(found)
}

/// The events named and those before them, newest first: at most `limit`.
pub fn events_before(
    rows: RoomRows<'_>,
    from: &[OwnedEventId],
    limit: usize,
) -> Result<Vec<Event>, StoreError> {
    walk_back(rows, from.iter().cloned().collect(), &mut HashSet::new(), limit)
}

fn walk_back(
    rows: RoomRows<'_>,
    mut queue: VecDeque<OwnedEventId>,
    seen: &mut HashSet<OwnedEventId>,
    limit: usize,
) -> Result<Vec<Event>, StoreError> {
    let mut found = Vec::new();
    while found.len() < limit
        && let Some(event_id) = queue.pop_front()
    {
        if !seen.insert(event_id.clone()) {
            continue;
        }
        let Some(event) = rows.event_by_id(&event_id)? else { continue };
        if matches!(event.record.standing, Standing::Outlier | Standing::Rejected) {
            continue;
        }
        queue.extend(event.pdu.prev_events.iter().cloned());
        found.push(event);
    }
    Ok(found)
}
