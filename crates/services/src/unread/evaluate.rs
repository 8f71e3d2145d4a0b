//! What a user's push rules make of an event.

use std::{num::NonZeroUsize, sync::Arc};

use futures_util::FutureExt;
use kv::{Snapshot, StoreError};
use lru::LruCache;
use model::{EventNumber, RoomNumber, pdu::Pdu, powers::Powers};
use parking_lot::Mutex;
use ruma::{
    OwnedRoomId, OwnedUserId, RoomId, UInt, UserId,
    events::room::power_levels::{
        RoomPowerLevels, RoomPowerLevelsEventContent, RoomPowerLevelsSource,
    },
    push::{
        AnyPushRuleRef, FlattenedJson, PushConditionPowerLevelsCtx, PushConditionRoomCtx, Ruleset,
    },
    serde::Raw,
};
use serde::Deserialize;
use store::{account_data, memberships, rooms, value::corrupt};

use crate::{
    Context, push_rules,
    room_rows::{Event, RoomRows},
};

/// What becomes of an event for one user.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    pub notifies: bool,
    pub highlights: bool,
}

/// A user's rules, and the position at which they were written (0: they are the server's).
pub(super) struct Rules {
    pub since: u64,
    pub ruleset: Ruleset,
}

/// Applies rules, and remembers what many users or many events have in common. Cheap parts of it
/// are shared by all users of a homeserver: an event is taken apart once, not once per member.
pub(super) struct Evaluator {
    state_salt: [u8; 16],
    rules: Mutex<LruCache<OwnedUserId, Arc<Rules>>>,
    events: Mutex<LruCache<(RoomNumber, EventNumber), Arc<FlattenedJson>>>,
    rooms: Mutex<LruCache<RoomNumber, Arc<RoomFacts>>>,
}

/// What conditions ask of a room, whoever the user is.
struct RoomFacts {
    /// The state in which they hold.
    state: [u8; 16],
    room_id: OwnedRoomId,
    member_count: u64,
    power_levels: Option<PushConditionPowerLevelsCtx>,
}

const USERS_MAX: NonZeroUsize = NonZeroUsize::new(5_000).unwrap();
const EVENTS_MAX: NonZeroUsize = NonZeroUsize::new(2_000).unwrap();
const ROOMS_MAX: NonZeroUsize = NonZeroUsize::new(2_000).unwrap();

impl Evaluator {
    pub fn new(context: &Context) -> Self {
        Self {
            state_salt: context.state_salt,
            rules: Mutex::new(LruCache::new(USERS_MAX)),
            events: Mutex::new(LruCache::new(EVENTS_MAX)),
            rooms: Mutex::new(LruCache::new(ROOMS_MAX)),
        }
    }

    pub fn rules(&self, snapshot: &Snapshot, user: &UserId) -> Result<Arc<Rules>, StoreError> {
        let item = account_data::get(snapshot, user.localpart(), None, push_rules::KIND)?;
        let since = item.as_ref().map_or(0, |item| item.since);
        if let Some(rules) = self.rules.lock().get(user).filter(|rules| rules.since == since) {
            return Ok(Arc::clone(rules));
        }
        let content = item.as_ref().map(|item| &*item.content);
        let ruleset = push_rules::read(user, content).map_err(|_| corrupt("push rules"))?;
        let rules = Arc::new(Rules { since, ruleset });
        self.rules.lock().put(user.to_owned(), Arc::clone(&rules));
        Ok(rules)
    }

    /// What the rules say of the event. `room` keeps what they ask of the room between events.
    pub fn verdict(
        &self,
        rows: &RoomRows<'_>,
        user: &UserId,
        rules: &Rules,
        event: &Event,
        room: &mut Option<PushConditionRoomCtx>,
    ) -> Result<Verdict, StoreError> {
        // The server's rules are silent on other users' joins and leaves, which are many.
        let of_another = event.pdu.is_state()
            && &*event.pdu.event_type == "m.room.member"
            && event.pdu.state_key.as_deref() != Some(user.as_str());
        if rules.since == 0 && of_another {
            return Ok(Verdict::default());
        }
        let rule = self.rule(rows, user, rules, event, room)?;
        Ok(rule.map_or(Verdict::default(), |rule| Verdict {
            notifies: rule.triggers_notification(),
            highlights: rule.triggers_highlight(),
        }))
    }

    /// The first rule that applies to the event.
    pub fn rule<'a>(
        &self,
        rows: &RoomRows<'_>,
        user: &UserId,
        rules: &'a Rules,
        event: &Event,
        room: &mut Option<PushConditionRoomCtx>,
    ) -> Result<Option<AnyPushRuleRef<'a>>, StoreError> {
        let room = match room {
            Some(room) => room,
            None => room.insert(self.room(rows, user)?),
        };
        let json = self.flattened(rows.room, event);
        // The future waits for nothing: no condition asks anybody else.
        let applies =
            |rule: &AnyPushRuleRef<'_>| rule.applies(&json, room).now_or_never().unwrap_or(false);
        Ok(rules.ruleset.iter().find(applies))
    }

    fn flattened(&self, room: RoomNumber, event: &Event) -> Arc<FlattenedJson> {
        let key = (room, event.number);
        if let Some(json) = self.events.lock().get(&key) {
            return Arc::clone(json);
        }
        let raw: Raw<serde::de::IgnoredAny> = Raw::from_json(event.pdu.to_wire());
        let json = Arc::new(FlattenedJson::from_raw(&raw));
        self.events.lock().put(key, Arc::clone(&json));
        json
    }

    fn room(&self, rows: &RoomRows<'_>, user: &UserId) -> Result<PushConditionRoomCtx, StoreError> {
        #[derive(Deserialize)]
        struct Member {
            displayname: Option<String>,
        }
        let facts = self.facts(rows)?;
        let member = rows.state(facts.state).event("m.room.member", user.as_str())?;
        let member = member.and_then(|event| event.pdu.content_as::<Member>());
        let name = member.and_then(|member| member.displayname).unwrap_or_default();
        let count = UInt::new_saturating(facts.member_count);
        let mut room =
            PushConditionRoomCtx::new(facts.room_id.clone(), count, user.to_owned(), name);
        room.power_levels = facts.power_levels.clone();
        Ok(room)
    }

    fn facts(&self, rows: &RoomRows<'_>) -> Result<Arc<RoomFacts>, StoreError> {
        let head = rooms::head(rows.snapshot, rows.room)?.ok_or_else(|| corrupt("room"))?;
        if let Some(facts) = self.rooms.lock().get(&rows.room)
            && facts.state == head.state
        {
            return Ok(Arc::clone(facts));
        }
        let servers = memberships::servers(rows.snapshot, rows.room)?;
        let state = RoomRows { salt: self.state_salt, ..*rows }.state(head.state);
        let create = state.event("m.room.create", "")?;
        let power_levels = state.event("m.room.power_levels", "")?;
        let facts = Arc::new(RoomFacts {
            state: head.state,
            room_id: RoomId::parse(&head.room_id).map_err(|_| corrupt("room id"))?.to_owned(),
            member_count: servers.iter().map(|(_, presence)| presence.joined).sum(),
            power_levels: create.and_then(|create| {
                read_power_levels(&create.pdu, power_levels.as_ref().map(|event| &*event.pdu))
            }),
        });
        self.rooms.lock().put(rows.room, Arc::clone(&facts));
        Ok(facts)
    }
}

/// `None` if the room's power levels cannot be read: then nobody may notify the whole room.
fn read_power_levels(create: &Pdu, levels: Option<&Pdu>) -> Option<PushConditionPowerLevelsCtx> {
    let source = match levels {
        None => RoomPowerLevelsSource::None,
        Some(levels) => {
            let content = levels.content_as::<RoomPowerLevelsEventContent>()?;
            RoomPowerLevelsSource::Original(content)
        }
    };
    let creators = Powers::new(create, levels).creators().clone();
    let rules = &create.room_version.rules().authorization;
    Some(RoomPowerLevels::new(source, rules, creators).into())
}
