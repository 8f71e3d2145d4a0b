//! Walks over small graphs, against the definitions taken literally.

use std::collections::HashMap;

use proptest::{collection::vec, prelude::*};

use super::*;

/// A graph: which events each event rests on.
#[derive(Debug)]
struct Graph {
    auth: HashMap<u64, Vec<EventNumber>>,
    common: BTreeSet<EventNumber>,
}

impl AuthEvents for Graph {
    type Error = String;

    fn auth_events(&self, event: EventNumber) -> Result<Vec<EventNumber>, String> {
        self.auth.get(&event.0).cloned().ok_or_else(|| format!("no event {}", event.0))
    }
}

impl Common for Graph {
    fn is_common(&self, event: EventNumber) -> Result<bool, String> {
        Ok(self.common.contains(&event))
    }

    fn common_newer_than(&self, event: EventNumber) -> Result<Vec<EventNumber>, String> {
        Ok(self.common.iter().copied().filter(|common| *common > event).collect())
    }
}

impl Graph {
    fn reachable(&self, events: impl IntoIterator<Item = EventNumber>) -> BTreeSet<EventNumber> {
        let mut found = BTreeSet::new();
        let mut left: Vec<EventNumber> = events.into_iter().collect();
        while let Some(event) = left.pop() {
            if found.insert(event) {
                left.extend(&self.auth[&event.0]);
            }
        }
        found
    }
}

fn numbers(events: &[u64]) -> Vec<EventNumber> {
    events.iter().copied().map(EventNumber).collect()
}

/// Up to 40 events, each resting on up to four older ones; some of them shared by all states, and up
/// to four states with events of their own.
fn graphs() -> impl Strategy<Value = (Graph, Vec<Vec<EventNumber>>)> {
    let edges = vec(vec(any::<prop::sample::Index>(), 0..4), 2..40);
    let events = |most| vec(any::<prop::sample::Index>(), 0..most);
    (edges, events(6), vec(events(5), 2..5)).prop_map(|(edges, common, states)| {
        let count = edges.len();
        let auth = edges.into_iter().enumerate().map(|(event, edges)| {
            let older = edges.iter().filter(|_| event > 0).map(|edge| edge.index(event.max(1)));
            (event as u64, older.map(|older| EventNumber(older as u64)).collect())
        });
        let event = |index: prop::sample::Index| EventNumber(index.index(count) as u64);
        let common: BTreeSet<EventNumber> = common.into_iter().map(event).collect();
        let own = |state: Vec<prop::sample::Index>| {
            state.into_iter().map(event).filter(|event| !common.contains(event)).collect()
        };
        let states = states.into_iter().map(own).collect();
        (Graph { auth: auth.collect(), common }, states)
    })
}

proptest! {
    #[test]
    fn the_difference_is_the_union_without_the_intersection((graph, states) in graphs()) {
        let chains: Vec<BTreeSet<EventNumber>> = states
            .iter()
            .map(|state| graph.reachable(state.iter().chain(&graph.common).copied()))
            .collect();
        let union: BTreeSet<EventNumber> = chains.iter().flatten().copied().collect();
        let expected = union
            .into_iter()
            .filter(|event| !chains.iter().all(|chain| chain.contains(event)))
            .collect();
        prop_assert_eq!(difference(&graph, &states), Ok(expected));
    }

    #[test]
    fn the_subgraph_has_what_lies_between_conflicted_events((graph, states) in graphs()) {
        let conflicted: BTreeSet<EventNumber> = states.iter().flatten().copied().collect();
        let expected = graph
            .reachable(conflicted.iter().copied())
            .into_iter()
            .filter(|event| !graph.reachable([*event]).is_disjoint(&conflicted))
            .collect();
        prop_assert_eq!(subgraph(&graph, &conflicted), Ok(expected));
    }

    #[test]
    fn the_chain_is_what_events_rest_on((graph, states) in graphs()) {
        let events = &states[0];
        let expected: BTreeSet<u64> = graph
            .reachable(events.iter().flat_map(|event| graph.auth[&event.0].clone()))
            .into_iter()
            .map(|event| event.0)
            .collect();
        let chain = chain(&graph, events.iter().copied()).unwrap();
        prop_assert_eq!(chain.into_iter().collect::<BTreeSet<u64>>(), expected);
    }
}

#[test]
fn a_walk_that_is_too_long_is_an_error() {
    let line = EVENTS_MAX as u64 + 10;
    let auth = (0..line).map(|event| (event, numbers(&[event.saturating_sub(1)])));
    let graph = Graph { auth: auth.collect(), common: BTreeSet::new() };
    let top = EventNumber(line - 1);
    assert_eq!(chain(&graph, [top]).unwrap_err(), ChainError::TooLarge);
    let states = [numbers(&[line - 1]), vec![]];
    assert_eq!(difference(&graph, &states), Err(ChainError::TooLarge));
    let conflicted = BTreeSet::from([EventNumber(0), top]);
    assert_eq!(subgraph(&graph, &conflicted), Err(ChainError::TooLarge));
    let crowd = vec![numbers(&[1]); STATES_MAX + 1];
    assert_eq!(difference(&graph, &crowd), Err(ChainError::TooLarge));
}

#[test]
fn what_cannot_be_read_is_told() {
    let graph = Graph { auth: HashMap::new(), common: BTreeSet::new() };
    let error = chain(&graph, [EventNumber(7)]).unwrap_err();
    assert_eq!(error, ChainError::Source("no event 7".to_owned()));
}
