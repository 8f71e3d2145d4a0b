//! Taking in events of other servers whose whole past is here: many in one commit, together with
//! what the commit makes of their rows in `STAGED` and of their transaction.
//!
//! An event is in the room, or waits, or was dropped: the commit after which it no longer waits is
//! the one that took it in.

use std::sync::Arc;

use bytes::Bytes;
use model::{acl::ServerAcl, pdu::Pdu};
use ruma::{OwnedServerName, ServerName};
use store::{
    staged::{self, Staged, StagedKey},
    transactions::{self, Transaction},
};

use super::super::{Arrival, Draft, Room, Rooms, WriteError};

/// An event that another server sent, and how it waits if it has to.
#[derive(Clone, Debug)]
pub struct Newcomer {
    pub checked: Checked,
    pub waiting: Waiting,
}

/// What is known of an event without asking anybody.
#[derive(Clone, Debug)]
pub enum Checked {
    Authentic(Arc<Pdu>),
    /// It is not what it says, and is dropped.
    Bad,
    /// That takes keys which are not here.
    Unknown,
}

/// How an event waits.
#[derive(Clone, Debug)]
pub enum Waiting {
    /// In this row.
    Already(StagedKey),
    /// Not yet: nobody was told that it has arrived.
    IfItMust(Staged),
}

/// A transaction that is answered once its events are durable.
#[derive(Clone, Debug)]
pub struct Answered {
    pub transaction: Transaction,
    pub answer: Bytes,
}

/// What became of events that came together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Taken {
    /// Which of them were decided, in their order; the others wait.
    Decided(Vec<bool>),
    /// Their transaction came before; nothing was done.
    Before(Bytes),
    /// The room takes no events of their server now; nothing was done.
    Closed,
}

impl Taken {
    /// Whether something waits.
    pub fn leaves_any(&self) -> bool {
        matches!(self, Self::Decided(decided) if decided.contains(&false))
    }
}

/// Events that are taken in by one commit.
struct Run {
    events: Vec<Newcomer>,
    /// The server that must be let in.
    visitor: Option<OwnedServerName>,
    answered: Option<Answered>,
}

impl Rooms {
    /// Takes in what waits of these events, as far as nothing has to be fetched for it.
    pub async fn receive_waiting(
        &self,
        room: &Arc<Room>,
        events: Vec<Newcomer>,
    ) -> Result<Vec<bool>, WriteError> {
        let mut decided = Vec::with_capacity(events.len());
        for events in runs(events) {
            let run = Run { events, visitor: None, answered: None };
            if let Taken::Decided(some) = self.receive_run(room, run).await? {
                decided.extend(some);
            }
        }
        Ok(decided)
    }

    /// Takes in the events of a transaction while its server waits for the answer. What needs
    /// something to be fetched waits from then on. After an error, some may be in the room already.
    pub async fn receive_transaction(
        &self,
        room: &Arc<Room>,
        origin: &ServerName,
        events: Vec<Newcomer>,
        answered: Answered,
    ) -> Result<Taken, WriteError> {
        let mut runs = runs(events);
        let last = runs.pop().unwrap_or_default();
        let (mut all, mut visitor) = (Vec::new(), Some(origin.to_owned()));
        for events in runs {
            let run = Run { events, visitor: visitor.take(), answered: None };
            match self.receive_run(room, run).await? {
                Taken::Decided(some) => all.extend(some),
                other => return Ok(other),
            }
        }
        // With the last of them, so that the answer is there only if all of them are.
        let run = Run { events: last, visitor, answered: Some(answered) };
        match self.receive_run(room, run).await? {
            Taken::Decided(some) => {
                all.extend(some);
                Ok(Taken::Decided(all))
            }
            other => Ok(other),
        }
    }

    async fn receive_run(&self, room: &Arc<Room>, run: Run) -> Result<Taken, WriteError> {
        Ok(self.write(room, move |draft| draft.take_run(&run)).await?.value)
    }
}

/// The events in runs that one commit can hold. An event of state has a commit of its own: what a
/// room was like is kept for each position of the log, and whoever reads on decides by that what is
/// before it and what is after.
fn runs(events: Vec<Newcomer>) -> Vec<Vec<Newcomer>> {
    let is_state = |event: &Newcomer| match &event.checked {
        Checked::Authentic(pdu) => pdu.is_state(),
        Checked::Bad | Checked::Unknown => false,
    };
    let mut runs: Vec<Vec<Newcomer>> = Vec::new();
    for event in events {
        match runs.last_mut() {
            Some(run) if !is_state(&event) && !run.last().is_some_and(is_state) => run.push(event),
            _ => runs.push(vec![event]),
        }
    }
    runs
}

impl Draft<'_> {
    fn take_run(&mut self, run: &Run) -> Result<Taken, WriteError> {
        if let Some(answered) = run.answered.as_ref().filter(|_| self.is_repeated) {
            let rows = self.rows()?.snapshot;
            if let Some(answer) = transactions::answer_of(rows, &answered.transaction)? {
                return Ok(Taken::Before(answer));
            }
        }
        if let Some(visitor) = &run.visitor
            && !self.lets_in(visitor)?
        {
            return Ok(Taken::Closed);
        }
        // The batch requires that there is no answer yet.
        if let Some(Answered { transaction, answer }) = &run.answered {
            transactions::put(&mut self.drafted.batch, transaction, answer);
        }
        let mut decided = Vec::with_capacity(run.events.len());
        for (index, Newcomer { checked, waiting }) in (0..).zip(&run.events) {
            let is_decided = match checked {
                Checked::Authentic(pdu) => self.take_present(pdu)?,
                Checked::Bad => true,
                Checked::Unknown => false,
            };
            let Draft { drafted, .. } = self;
            match waiting {
                Waiting::Already(key) if is_decided => {
                    staged::remove(&mut drafted.batch, key.clone());
                }
                Waiting::IfItMust(row) if !is_decided => {
                    staged::put(&mut drafted.batch, drafted.room, index, row);
                }
                Waiting::Already(_) | Waiting::IfItMust(_) => {}
            }
            decided.push(is_decided);
        }
        Ok(Taken::Decided(decided))
    }

    /// Takes the event in, if what it stands on is here; says whether it is decided.
    fn take_present(&mut self, pdu: &Arc<Pdu>) -> Result<bool, WriteError> {
        if self.is_known(&pdu.event_id)? {
            return Ok(true);
        }
        let Some(before) = self.state_after_all(&pdu.prev_events)? else { return Ok(false) };
        match self.accept(pdu, before, Arrival::New) {
            Ok(standing) => {
                tracing::debug!(event_id = %pdu.event_id, ?standing, "event");
                Ok(true)
            }
            // Nothing was drafted of it.
            Err(WriteError::MissingAuthEvent) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Whether we are in the room and it takes events of the server.
    fn lets_in(&mut self, visitor: &ServerName) -> Result<bool, WriteError> {
        let us = self.drafted.context.server_name.to_string();
        if self.server(&us)?.is_none_or(|presence| presence.joined == 0) {
            return Ok(false);
        }
        let acl = self.state("m.room.server_acl", "")?;
        Ok(acl.is_none_or(|acl| ServerAcl::of(&acl.pdu).allows(visitor)))
    }
}
