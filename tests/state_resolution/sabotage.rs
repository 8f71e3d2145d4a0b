//! Resolvers with a mistake: a comparison that finds nothing must be known to find these.

use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;
use model::{
    EventNumber,
    pdu::Pdu,
    room_version::RoomVersion,
    state_res::{self, RoomEvent, RoomEvents},
    state_tree::{NodeId, NodeReader, Nodes},
};

use crate::{
    compare,
    history::History,
    judge::{self, RESOLVABLE, Resolver, Room, State, TREE},
    oracle::Oracle,
};

/// In how many rooms of each version a mistake may hide.
const ROOMS: u64 = 10;

/// Wherever the states differ the newest event wins, whatever power its sender has.
pub fn newest_wins(room: &Room, roots: &[NodeId]) -> (NodeId, Nodes) {
    let mut newest: BTreeMap<_, (u64, _)> = BTreeMap::new();
    for (place, id) in roots.iter().flat_map(|root| room.state(*root)) {
        let event = (room.event(&id).origin_server_ts, id);
        let known = newest.entry(place).or_insert_with(|| event.clone());
        *known = event.max(known.clone());
    }
    let state: State = newest.into_iter().map(|(place, (_, id))| (place, id)).collect();
    room.build(&state)
}

/// Of two events whose senders have the same power, the later one is taken for the earlier one.
fn later_comes_first(room: &Room, roots: &[NodeId]) -> (NodeId, Nodes) {
    let resolved =
        state_res::resolve(room.version, &TREE, roots, &Backwards(room)).expect(RESOLVABLE);
    (resolved.root, resolved.nodes)
}

/// A room whose clocks run backwards.
struct Backwards<'a>(&'a Room);

impl NodeReader for Backwards<'_> {
    type Error = String;

    fn node(&self, id: &NodeId) -> Result<Bytes, String> {
        self.0.node(id)
    }

    fn damaged(&self, id: &NodeId) -> String {
        self.0.damaged(id)
    }
}

impl RoomEvents for Backwards<'_> {
    fn room_event(&self, number: EventNumber) -> Result<RoomEvent, String> {
        let event = self.0.room_event(number)?;
        let mut pdu = Pdu::clone(&event.pdu);
        pdu.origin_server_ts = (1 << 53) - pdu.origin_server_ts;
        Ok(RoomEvent { pdu: Arc::new(pdu), ..event })
    }
}

/// The first room of each version in which Synapse contradicts the resolver.
fn caught(resolver: Resolver) -> Vec<Option<u64>> {
    let mut oracle = Oracle::start();
    let mut first = |version: RoomVersion| {
        (1..=ROOMS).find(|seed| {
            let history = History::of(version, *seed);
            let ours = judge::judge(&history, resolver);
            !compare::differences(&ours, &oracle.judge(&history).judgement).is_empty()
        })
    };
    RoomVersion::ALL.into_iter().map(&mut first).collect()
}

#[test]
fn a_resolver_that_ignores_power_is_caught_in_every_version() {
    let caught = caught(newest_wins);
    assert!(caught.iter().all(Option::is_some), "{caught:?}");
}

#[test]
fn a_resolver_that_takes_the_later_for_the_earlier_is_caught_in_every_version() {
    let caught = caught(later_comes_first);
    assert!(caught.iter().all(Option::is_some), "{caught:?}");
}
