//! State resolution: what the state of a room is where several states meet.
//! Specification: <https://spec.matrix.org/v1.19/rooms/v2/#state-resolution> (versions 6 to 11) and
//! <https://spec.matrix.org/v1.19/rooms/v12/#state-resolution> (2.1). The algorithm is ruma's; here
//! it gets only the part of the states that it can look at, so that resolving costs what the states
//! differ in, not what they hold.

use std::{
    cell::{Cell, RefCell},
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    sync::Arc,
};

use ruma::{
    EventId, OwnedEventId,
    events::StateEventType,
    state_res::{self, StateMap, utils::event_id_set::EventIdSet},
};

use crate::{
    EventNumber,
    auth_chain::{self, AuthEvents, ChainError, Common, EVENTS_MAX},
    event_auth::{self, Place},
    pdu::{self, Pdu},
    room_version::RoomVersion,
    state_tree::{Entry, NodeId, NodeReader, Nodes, StateTree},
};

#[cfg(test)]
mod tests;

/// A stored event, as state resolution needs it.
#[derive(Clone, Debug)]
pub struct RoomEvent {
    pub number: EventNumber,
    /// With [`Pdu::rejected`] set if it was rejected.
    pub pdu: Arc<Pdu>,
    /// The numbers of `pdu.auth_events`, in the same order.
    pub auth: Vec<EventNumber>,
}

/// Where a room's events and state nodes are read.
pub trait RoomEvents: NodeReader {
    /// A stored event of the room. One that is not there is an error.
    fn room_event(&self, number: EventNumber) -> Result<RoomEvent, Self::Error>;
}

/// The state that several states resolve to.
#[derive(Clone, Debug)]
pub struct Resolved {
    pub root: NodeId,
    /// Nodes to be stored before the root is used.
    pub nodes: Nodes,
}

/// Why states cannot be resolved.
#[derive(Debug, thiserror::Error)]
pub enum ResolveError<E> {
    /// Events or nodes could not be read.
    #[error(transparent)]
    Source(E),
    /// The states differ in more than this homeserver is willing to look at.
    #[error("the states differ too much to be resolved")]
    TooLarge,
    /// An event is not what the algorithm can work with: its auth events are no state events.
    #[error("the states cannot be resolved: {0}")]
    Unresolvable(#[from] state_res::Error),
}

impl<E> From<ChainError<E>> for ResolveError<E> {
    fn from(error: ChainError<E>) -> Self {
        match error {
            ChainError::Source(error) => Self::Source(error),
            ChainError::TooLarge => Self::TooLarge,
        }
    }
}

/// Resolves the states with these roots. The result does not depend on their order.
pub fn resolve<S: RoomEvents>(
    version: RoomVersion,
    tree: &StateTree,
    roots: &[NodeId],
    source: &S,
) -> Result<Resolved, ResolveError<S::Error>> {
    let first = roots.first().copied().unwrap_or(StateTree::EMPTY);
    let conflict = Conflict::between(tree, roots, source).map_err(ResolveError::Source)?;
    if conflict.places.is_empty() {
        return Ok(Resolved { root: first, nodes: Nodes::new() });
    }
    let room = Room::new(source, tree, first, &conflict);
    let resolution = Resolution { version, room, conflict: &conflict };
    let outcome = resolution.run();
    // An error of the source explains whatever failed because of it.
    if let Some(error) = resolution.room.error.take() {
        return Err(ResolveError::Source(error));
    }
    if resolution.room.too_large.get() {
        return Err(ResolveError::TooLarge);
    }
    let changes = outcome?;
    let (root, nodes) = tree.apply(source, first, changes).map_err(ResolveError::Source)?;
    Ok(Resolved { root, nodes })
}

/// Where the states differ, and what each holds there.
struct Conflict {
    /// For each place one entry per state.
    places: BTreeMap<Place, Vec<Option<Entry>>>,
}

impl Conflict {
    fn between<R: NodeReader>(
        tree: &StateTree,
        roots: &[NodeId],
        reader: &R,
    ) -> Result<Self, R::Error> {
        let mut places: BTreeMap<Place, Vec<Option<Entry>>> = BTreeMap::new();
        let Some((first, others)) = roots.split_first() else { return Ok(Self { places }) };
        for (index, root) in others.iter().enumerate() {
            for difference in tree.diff(reader, *first, *root)? {
                // The states without a difference here hold what the first one holds.
                let entries = places
                    .entry((difference.event_type, difference.state_key))
                    .or_insert_with(|| vec![difference.before; roots.len()]);
                entries[index + 1] = difference.after;
            }
        }
        Ok(Self { places })
    }

    fn events(&self) -> impl Iterator<Item = EventNumber> {
        self.places.values().flatten().flatten().map(|entry| entry.event)
    }
}

/// The events of the room, read once each, by number and by id.
struct Room<'a, S: RoomEvents> {
    source: &'a S,
    tree: &'a StateTree,
    /// The first state: where there is no conflict, it speaks for all.
    first: NodeId,
    conflict: &'a Conflict,
    read: RefCell<HashMap<EventNumber, RoomEvent>>,
    numbers: RefCell<HashMap<OwnedEventId, EventNumber>>,
    error: Cell<Option<S::Error>>,
    too_large: Cell<bool>,
}

impl<'a, S: RoomEvents> Room<'a, S> {
    fn new(source: &'a S, tree: &'a StateTree, first: NodeId, conflict: &'a Conflict) -> Self {
        Self {
            source,
            tree,
            first,
            conflict,
            read: RefCell::default(),
            numbers: RefCell::default(),
            error: Cell::new(None),
            too_large: Cell::new(false),
        }
    }

    fn event(&self, number: EventNumber) -> Result<RoomEvent, S::Error> {
        if let Some(event) = self.read.borrow().get(&number) {
            return Ok(event.clone());
        }
        let mut event = self.source.room_event(number)?;
        let mut numbers = self.numbers.borrow_mut();
        numbers.insert(event.pdu.event_id.clone(), number);
        for (id, auth) in event.pdu.auth_events.iter().zip(&event.auth) {
            numbers.insert(id.clone(), *auth);
        }
        event.pdu = event.pdu.with_implied_join_rules();
        self.read.borrow_mut().insert(number, event.clone());
        Ok(event)
    }

    /// The event with this id, for ruma, which asks only for events that a known one names.
    fn by_id(&self, id: &EventId) -> Option<Arc<Pdu>> {
        if id == pdu::join_rules_id() {
            // It is the same for all events of the room, but for fields that nobody reads.
            let of_any = self.read.borrow().values().next()?.pdu.implied_join_rules();
            return Some(Arc::new(of_any));
        }
        let number = self.numbers.borrow().get(id).copied()?;
        if self.read.borrow().len() > EVENTS_MAX {
            self.too_large.set(true);
            return None;
        }
        match self.event(number) {
            Ok(event) => (event.pdu.event_id == *id).then_some(event.pdu),
            Err(error) => {
                self.error.set(Some(error));
                None
            }
        }
    }

    /// What all states hold at a place, if they agree.
    fn agreed(&self, (event_type, key): &Place) -> Result<Option<Entry>, S::Error> {
        if self.conflict.places.contains_key(&(event_type.clone(), key.clone())) {
            return Ok(None);
        }
        self.tree.get(self.source, self.first, event_type, key)
    }
}

impl<S: RoomEvents> AuthEvents for Room<'_, S> {
    type Error = S::Error;

    fn auth_events(&self, event: EventNumber) -> Result<Vec<EventNumber>, S::Error> {
        Ok(self.event(event)?.auth)
    }
}

impl<S: RoomEvents> Common for Room<'_, S> {
    fn is_common(&self, event: EventNumber) -> Result<bool, S::Error> {
        let pdu = self.event(event)?.pdu;
        let Some((event_type, key)) = pdu.type_and_key() else { return Ok(false) };
        let agreed = self.agreed(&(event_type.to_owned(), key.to_owned()))?;
        Ok(agreed.is_some_and(|entry| entry.event == event))
    }

    fn common_newer_than(&self, event: EventNumber) -> Result<Vec<EventNumber>, S::Error> {
        let mut common = Vec::new();
        for item in self.tree.entries_newer_than(self.source, self.first, event) {
            let item = item?;
            if !self.conflict.places.contains_key(&(item.event_type, item.state_key)) {
                common.push(item.entry.event);
            }
        }
        Ok(common)
    }
}

/// One run of the algorithm.
struct Resolution<'a, S: RoomEvents> {
    version: RoomVersion,
    room: Room<'a, S>,
    conflict: &'a Conflict,
}

/// Entries to put into the first state, or to remove from it.
type Changes = Vec<(String, String, Option<Entry>)>;

impl<S: RoomEvents> Resolution<'_, S> {
    fn run(&self) -> Result<Changes, ResolveError<S::Error>> {
        let states = self.conflicting_events()?;
        let mut full = auth_chain::difference(&self.room, &states)?;
        let conflicted: BTreeSet<EventNumber> = states.iter().flatten().copied().collect();
        let rules = self.version.state_resolution();
        let subgraph = match rules.consider_conflicted_state_subgraph {
            true => auth_chain::subgraph(&self.room, &conflicted)?,
            false => BTreeSet::new(),
        };
        full.extend(&subgraph);
        full.extend(&conflicted);
        let maps = self.state_maps(&full)?;
        let resolved = state_res::resolve(
            &self.version.rules().authorization,
            &rules,
            &maps,
            self.auth_chains(&full, maps.len())?,
            |id| self.room.by_id(id),
            |_| self.ids(&subgraph).ok(),
        )?;
        self.changes(&resolved)
    }

    /// What each state holds where there is a conflict. Rejected events never enter.
    fn conflicting_events(&self) -> Result<Vec<Vec<EventNumber>>, ResolveError<S::Error>> {
        let mut rejected = HashSet::new();
        for number in self.conflict.events() {
            if self.room.event(number).map_err(ResolveError::Source)?.pdu.rejected {
                rejected.insert(number);
            }
        }
        let count = self.conflict.places.values().next().map_or(0, Vec::len);
        let state = |index: usize| {
            let entries = self.conflict.places.values().filter_map(move |entries| entries[index]);
            entries.map(|entry| entry.event).filter(|event| !rejected.contains(event)).collect()
        };
        Ok((0..count).map(state).collect())
    }

    /// The states as ruma wants them: each with what it holds where there is a conflict, and all with
    /// what they agree on at the places that some event of the full conflicted set is judged by. At
    /// no other place does the algorithm look.
    fn state_maps(
        &self,
        full: &BTreeSet<EventNumber>,
    ) -> Result<Vec<StateMap<OwnedEventId>>, ResolveError<S::Error>> {
        let mut places: BTreeSet<Place> = BTreeSet::new();
        for event in [("m.room.create", ""), ("m.room.power_levels", "")] {
            places.insert((event.0.to_owned(), event.1.to_owned()));
        }
        for number in full {
            let event = self.room.event(*number).map_err(ResolveError::Source)?;
            // An event that cannot be read has no such places; it will fail its checks.
            places.extend(event_auth::auth_types_of(&event.pdu).unwrap_or_default());
        }
        let mut shared = StateMap::new();
        for place in places {
            if let Some(entry) = self.room.agreed(&place).map_err(ResolveError::Source)? {
                self.insert(&mut shared, entry.event)?;
            }
        }
        let states = self.conflicting_events()?;
        let mut maps = vec![shared; states.len()];
        for (map, events) in maps.iter_mut().zip(states) {
            for event in events {
                self.insert(map, event)?;
            }
        }
        Ok(maps)
    }

    fn insert(
        &self,
        map: &mut StateMap<OwnedEventId>,
        number: EventNumber,
    ) -> Result<(), ResolveError<S::Error>> {
        let event = self.room.event(number).map_err(ResolveError::Source)?;
        if let Some(key) = &event.pdu.state_key {
            let kind = StateEventType::from(event.pdu.kind.to_string());
            map.insert((kind, key.to_string()), event.pdu.event_id.clone());
        }
        Ok(())
    }

    /// Auth chains that differ in exactly the full conflicted set (the conflicted events are in it
    /// anyway): the first state's chain has it all, the others' have nothing of it.
    fn auth_chains(
        &self,
        full: &BTreeSet<EventNumber>,
        states: usize,
    ) -> Result<Vec<EventIdSet<OwnedEventId>>, ResolveError<S::Error>> {
        let mut chains = vec![EventIdSet::new(); states];
        if let Some(first) = chains.first_mut() {
            *first = self.ids(full).map_err(ResolveError::Source)?;
        }
        Ok(chains)
    }

    fn ids(&self, events: &BTreeSet<EventNumber>) -> Result<EventIdSet<OwnedEventId>, S::Error> {
        let mut ids = EventIdSet::with_capacity(events.len());
        for number in events {
            let pdu = self.room.event(*number)?.pdu;
            if !pdu.rejected && pdu.is_state() {
                ids.insert(pdu.event_id.clone());
            }
        }
        Ok(ids)
    }

    /// What the resolved state changes in the first one.
    fn changes(
        &self,
        resolved: &StateMap<OwnedEventId>,
    ) -> Result<Changes, ResolveError<S::Error>> {
        let mut changes: BTreeMap<Place, Option<Entry>> =
            self.conflict.places.keys().map(|place| (place.clone(), None)).collect();
        for id in resolved.values() {
            let number = self.room.numbers.borrow().get(id).copied();
            let Some(number) = number else { continue };
            let pdu = self.room.event(number).map_err(ResolveError::Source)?.pdu;
            let Some((event_type, key)) = pdu.type_and_key() else { continue };
            let place = (event_type.to_owned(), key.to_owned());
            // 5. Where the states agree, they keep what they agree on.
            if self.room.agreed(&place).map_err(ResolveError::Source)?.is_none() {
                changes.insert(place, Some(Entry::of(number, &pdu)));
            }
        }
        Ok(changes.into_iter().map(|((event_type, key), entry)| (event_type, key, entry)).collect())
    }
}
