//! Who finds events in memory is told the same as who finds none there.

use std::sync::Arc;

use model::room_version::RoomVersion;
use proptest::{collection::vec, prelude::*};
use ruma::{OwnedEventId, OwnedRoomId, OwnedUserId};
use serde_json::{Value, json, value::to_raw_value};

use super::RecentEvents;
use crate::{
    Context,
    filter::EventFilter,
    reader::Reader,
    rooms::{
        Rooms,
        create::{NewRoom, Preset},
        send::NewEvent,
    },
    testing::World,
    timeline::{Direction, Messages, MessagesQuery, Timelines},
};

#[derive(Clone, Debug)]
enum Step {
    Say,
    /// Of the events that were sent, the one so many before the newest.
    Redact(usize),
    Relate(usize, &'static str),
    React(usize),
    Topic,
    /// A page of so many; how many pages one goes on.
    Read(u64, usize),
}

fn step() -> impl Strategy<Value = Step> {
    let kind = prop_oneof![Just("m.thread"), Just("m.replace"), Just("m.reference")];
    prop_oneof![
        6 => Just(Step::Say),
        2 => (0..12_usize).prop_map(Step::Redact),
        2 => (0..12_usize, kind).prop_map(|(back, kind)| Step::Relate(back, kind)),
        1 => (0..12_usize).prop_map(Step::React),
        1 => Just(Step::Topic),
        4 => (1..9_u64, 1..4_usize).prop_map(|(limit, pages)| Step::Read(limit, pages)),
    ]
}

struct Case {
    _world: World,
    context: Context,
    rooms: Rooms,
    room: OwnedRoomId,
    sent: Vec<OwnedEventId>,
}

fn alice() -> OwnedUserId {
    "@alice:acme.example".try_into().unwrap()
}

impl Case {
    async fn new() -> Self {
        let world = World::new();
        let context = world.services.context.clone();
        let rooms = Rooms::new(context.clone());
        let new = NewRoom::new(alice(), RoomVersion::V11, Preset::PrivateChat);
        let room = rooms.create(new).await.unwrap();
        Self { _world: world, context, rooms, room, sent: Vec::new() }
    }

    async fn send(&mut self, event_type: &str, content: Value, redacts: Option<OwnedEventId>) {
        let new = NewEvent {
            sender: alice(),
            event_type: event_type.to_owned(),
            state_key: (event_type == "m.room.topic").then(String::new),
            content: to_raw_value(&content).unwrap(),
            redacts,
            timestamp_ms: None,
            transaction: None,
        };
        self.sent.push(self.rooms.send(&self.room, new).await.unwrap());
    }

    fn back(&self, back: usize) -> Option<OwnedEventId> {
        Some(self.sent[self.sent.len().checked_sub(back + 1)?].clone())
    }

    async fn take(&mut self, step: &Step) {
        match step {
            Step::Say => self.send("m.room.message", json!({ "body": "hello" }), None).await,
            Step::Topic => {
                let topic = self.sent.len().to_string();
                self.send("m.room.topic", json!({ "topic": topic }), None).await;
            }
            Step::Redact(back) => {
                if let Some(target) = self.back(*back) {
                    let content = json!({ "redacts": target });
                    self.send("m.room.redaction", content, Some(target)).await;
                }
            }
            Step::Relate(back, kind) => {
                if let Some(parent) = self.back(*back) {
                    let relates_to = json!({ "rel_type": kind, "event_id": parent });
                    let content = json!({ "body": "more", "m.relates_to": relates_to });
                    self.send("m.room.message", content, None).await;
                }
            }
            Step::React(back) => {
                if let Some(parent) = self.back(*back) {
                    let relates_to =
                        json!({ "rel_type": "m.annotation", "event_id": parent, "key": "+" });
                    self.send("m.reaction", json!({ "m.relates_to": relates_to }), None).await;
                }
            }
            Step::Read(limit, pages) => {
                let mut from = None;
                for _ in 0..*pages {
                    let (known, fresh) = self.read(from.take(), *limit).await;
                    assert_eq!(told(&known), told(&fresh));
                    from = known.end;
                    if from.is_none() {
                        break;
                    }
                }
            }
        }
    }

    /// A page as it is told by who remembers, and by who does not.
    async fn read(&self, from: Option<String>, limit: u64) -> (Messages, Messages) {
        let forgetful =
            Context { recent: RecentEvents::following(&self.context.log), ..self.context.clone() };
        let reader = Reader { user: alice(), device: None };
        let query = MessagesQuery {
            room_id: self.room.clone(),
            from,
            to: None,
            direction: Direction::Backward,
            limit: Some(limit),
            filter: EventFilter::default(),
        };
        let known = Timelines::new(self.context.clone());
        let known = known.messages(reader.clone(), query.clone()).await.unwrap();
        let fresh = Timelines::new(forgetful).messages(reader, query).await.unwrap();
        (known, fresh)
    }
}

fn told(page: &Messages) -> (Vec<Value>, &str, Option<&str>) {
    (serde_json::from_str(page.chunk.get()).unwrap(), &page.start, page.end.as_deref())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn events_in_memory_are_those_of_the_store(steps in vec(step(), 1..60)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut case = Case::new().await;
            for step in &steps {
                case.take(step).await;
            }
        });
    }
}

#[tokio::test]
async fn what_was_read_twice_is_read_from_memory_the_second_time() {
    let mut case = Case::new().await;
    for _ in 0..20 {
        case.take(&Step::Say).await;
    }
    let (first, _) = case.read(None, 10).await;
    let kept = case.context.recent.0.lock().bytes;
    assert!(kept > 0);
    let (second, _) = case.read(None, 10).await;
    assert_eq!(told(&first), told(&second));
    assert_eq!(case.context.recent.0.lock().bytes, kept);
}

#[tokio::test]
async fn what_is_kept_stays_within_its_bounds() {
    let mut case = Case::new().await;
    for _ in 0..super::EVENTS_MAX + 100 {
        case.take(&Step::Say).await;
    }
    let mut from = None;
    loop {
        let (page, _) = case.read(from.take(), 100).await;
        from = page.end;
        if from.is_none() {
            break;
        }
    }
    let state = Arc::clone(&case.context.recent.0);
    let state = state.lock();
    let (_, window) = state.windows.iter().next().unwrap();
    assert_eq!(window.events.len(), super::EVENTS_MAX);
    assert_eq!(state.bytes, window.bytes());
}
