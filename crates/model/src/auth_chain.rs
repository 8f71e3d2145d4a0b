//! Auth chains: which events an event's permission rests on, and in what the chains of several
//! states differ.
//!
//! An event's auth events are stored before it, so their numbers are smaller. All walks go down the
//! numbers and stop where there is nothing left to learn: they cost what differs, not what is there.
//! Every walk ends after [`EVENTS_MAX`] events at the latest, with an error.

use std::{
    cell::Cell,
    collections::{BTreeMap, BTreeSet},
};

use roaring::RoaringTreemap;

use crate::EventNumber;

#[cfg(test)]
mod tests;

/// The most events that one question may look at.
pub const EVENTS_MAX: usize = 100_000;
/// The most states that can be compared at once.
pub const STATES_MAX: usize = 128;

/// Where auth events are read.
pub trait AuthEvents {
    /// Why they cannot be read.
    type Error;

    /// The numbers of an event's auth events. The create event need not be among them where it is
    /// implied (room version 12).
    fn auth_events(&self, event: EventNumber) -> Result<Vec<EventNumber>, Self::Error>;
}

/// Why a question about auth chains has no answer.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChainError<E> {
    /// Auth events could not be read.
    #[error(transparent)]
    Source(E),
    /// More than [`EVENTS_MAX`] events would have to be looked at, or more than [`STATES_MAX`] states
    /// compared.
    #[error("the auth chains are too large")]
    TooLarge,
}

impl<E> From<E> for ChainError<E> {
    fn from(error: E) -> Self {
        Self::Source(error)
    }
}

/// The work that is left to a question.
struct Budget(Cell<usize>);

impl Budget {
    fn new() -> Self {
        Self(Cell::new(EVENTS_MAX))
    }

    fn auth_events<S: AuthEvents>(
        &self,
        source: &S,
        event: EventNumber,
    ) -> Result<Vec<EventNumber>, ChainError<S::Error>> {
        self.0.set(self.0.get().checked_sub(1).ok_or(ChainError::TooLarge)?);
        Ok(source.auth_events(event)?)
    }
}

/// Everything that the permission of these events rests on: their auth events, the auth events of
/// those, and so on. The events themselves are only part of it if one rests on another.
pub fn chain<S: AuthEvents>(
    source: &S,
    events: impl IntoIterator<Item = EventNumber>,
) -> Result<RoaringTreemap, ChainError<S::Error>> {
    let budget = Budget::new();
    let mut chain = RoaringTreemap::new();
    let mut left: Vec<EventNumber> = events.into_iter().collect();
    while let Some(event) = left.pop() {
        for auth in budget.auth_events(source, event)? {
            if chain.insert(auth.0) {
                left.push(auth);
            }
        }
    }
    Ok(chain)
}

/// What all the states have in common, for [`difference`].
pub trait Common: AuthEvents {
    /// Whether every state holds this event.
    fn is_common(&self, event: EventNumber) -> Result<bool, Self::Error>;

    /// The events newer than `event` that every state holds.
    fn common_newer_than(&self, event: EventNumber) -> Result<Vec<EventNumber>, Self::Error>;
}

/// The auth difference of several states: the events that are in the auth chain of some state, but
/// not in that of every state. A state's own events count as part of its chain, as all servers do it.
///
/// `states` are the events that each state does not share with all others; what they share comes
/// from [`Common`].
pub fn difference<S: Common>(
    source: &S,
    states: &[Vec<EventNumber>],
) -> Result<BTreeSet<EventNumber>, ChainError<S::Error>> {
    if states.len() > STATES_MAX {
        return Err(ChainError::TooLarge);
    }
    let budget = Budget::new();
    let mut candidates = candidates(source, states, &budget)?;
    remove_reached_from_common(source, &mut candidates, &budget)?;
    Ok(candidates)
}

/// The events that the unshared parts of some, but not of all states reach.
fn candidates<S: Common>(
    source: &S,
    states: &[Vec<EventNumber>],
    budget: &Budget,
) -> Result<BTreeSet<EventNumber>, ChainError<S::Error>> {
    let all = u128::MAX >> (128 - states.len().max(1));
    // The states that reach an event, one bit each.
    let mut reached: BTreeMap<EventNumber, u128> = BTreeMap::new();
    for (index, events) in states.iter().enumerate() {
        for event in events {
            *reached.entry(*event).or_default() |= 1 << index;
        }
    }
    let mut found = BTreeSet::new();
    // Events that not all states are known to reach; without one, nothing below can matter.
    let mut partial = reached.values().filter(|by| **by != all).count();
    while partial > 0 {
        let Some((event, mut by)) = reached.pop_last() else { break };
        if by != all {
            partial -= 1;
            if source.is_common(event)? {
                by = all;
            } else {
                found.insert(event);
            }
        }
        for auth in budget.auth_events(source, event)? {
            let slot = reached.entry(auth).or_default();
            let before = *slot;
            *slot |= by;
            partial += usize::from(*slot != all);
            partial -= usize::from(before != 0 && before != all);
        }
    }
    Ok(found)
}

/// Takes away what the shared part of the states reaches, and so every state does.
fn remove_reached_from_common<S: Common>(
    source: &S,
    candidates: &mut BTreeSet<EventNumber>,
    budget: &Budget,
) -> Result<(), ChainError<S::Error>> {
    let Some(oldest) = candidates.first().copied() else { return Ok(()) };
    let mut left: BTreeSet<EventNumber> = source.common_newer_than(oldest)?.into_iter().collect();
    let mut unreached = candidates.clone();
    while let (Some(oldest), Some(event)) = (unreached.first().copied(), left.pop_last()) {
        if event < oldest {
            break;
        }
        if unreached.remove(&event) {
            candidates.remove(&event);
        }
        if event > oldest {
            let auth_events = budget.auth_events(source, event)?;
            left.extend(auth_events.into_iter().filter(|auth| *auth >= oldest));
        }
    }
    Ok(())
}

/// The conflicted state subgraph (state resolution 2.1): every event on a way along auth events from
/// one conflicted event to another, with both ends.
pub fn subgraph<S: AuthEvents>(
    source: &S,
    conflicted: &BTreeSet<EventNumber>,
) -> Result<BTreeSet<EventNumber>, ChainError<S::Error>> {
    let Some(oldest) = conflicted.first().copied() else { return Ok(BTreeSet::new()) };
    let budget = Budget::new();
    let mut below: BTreeMap<EventNumber, Vec<EventNumber>> = BTreeMap::new();
    let mut left = conflicted.clone();
    while let Some(event) = left.pop_last() {
        let mut auth_events = match event == oldest {
            true => Vec::new(),
            false => budget.auth_events(source, event)?,
        };
        auth_events.retain(|auth| *auth >= oldest);
        left.extend(&auth_events);
        below.insert(event, auth_events);
    }
    // Everything in `below` is reached from a conflicted event; keep what reaches one, oldest first.
    let mut kept = BTreeSet::new();
    for (event, auth_events) in below {
        if conflicted.contains(&event) || auth_events.iter().any(|auth| kept.contains(auth)) {
            kept.insert(event);
        }
    }
    Ok(kept)
}
