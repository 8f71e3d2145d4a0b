//! What clients were told, to be held against what is there in the end. Cheap to clone.

use std::{collections::BTreeMap, sync::Arc};

use parking_lot::Mutex;
use ruma::{OwnedEventId, OwnedRoomId};

use crate::acts::Act;

/// An event of which a client was told that it happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Acknowledged {
    pub room: OwnedRoomId,
    pub event: OwnedEventId,
    /// The homeserver that said so.
    pub home: usize,
    pub what: String,
}

#[derive(Clone, Default)]
pub struct Ledger(Arc<Mutex<Pages>>);

#[derive(Default)]
struct Pages {
    acknowledged: Vec<Acknowledged>,
    /// The answer to each message, by its number: however often it was sent.
    messages: BTreeMap<u64, OwnedEventId>,
    /// Messages that got no answer, to be sent again.
    unanswered: Vec<Act>,
    contradictions: Vec<String>,
}

impl Ledger {
    pub fn acknowledge(&self, entry: Acknowledged) {
        self.0.lock().acknowledged.push(entry);
    }

    /// A message was answered with this event.
    pub fn answered(&self, message: u64, event: &OwnedEventId) {
        let pages = &mut *self.0.lock();
        let before = pages.messages.entry(message).or_insert_with(|| event.clone());
        if before != event {
            pages.contradictions.push(format!("message {message} became {before} and {event}"));
        }
    }

    pub fn was_answered(&self, message: u64) -> bool {
        self.0.lock().messages.contains_key(&message)
    }

    pub fn unanswered(&self, act: Act) {
        self.0.lock().unanswered.push(act);
    }

    /// A message to be sent again by this homeserver.
    pub fn to_repeat(&self, home: usize) -> Option<Act> {
        let unanswered = &mut self.0.lock().unanswered;
        let index = unanswered.iter().position(|act| act.home == home)?;
        Some(unanswered.remove(index))
    }

    pub fn entries(&self) -> Vec<Acknowledged> {
        self.0.lock().acknowledged.clone()
    }

    pub fn contradictions(&self) -> Vec<String> {
        self.0.lock().contradictions.clone()
    }

    /// Something that everybody may want to redact.
    pub fn messages_in(&self, room: &OwnedRoomId) -> Vec<OwnedEventId> {
        let pages = self.0.lock();
        let of_room = pages.acknowledged.iter().filter(|entry| entry.room == *room);
        of_room.map(|entry| entry.event.clone()).collect()
    }
}
