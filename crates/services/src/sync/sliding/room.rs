//! One room's part of an answer.

use std::collections::{BTreeSet, HashMap};

use kv::StoreError;
use model::{
    EventNumber, RoomNumber,
    state_tree::{NodeId, StateTree},
};
use ruma::{OwnedRoomId, OwnedUserId};
use serde::Deserialize;
use store::{
    events::Order,
    memberships::{self, Kind},
};

use super::{
    answer::{Hero, Room},
    connections::ToldRoom,
    list::Listed,
    request::{Details, TIMELINE_MAX},
    window::Window,
};
use crate::{
    client_event::{ClientEvent, EventFormat, EventView},
    filter::EventFilter,
    reader::RoomView,
    sync::{stripped, summary},
    timeline::token,
};

const MEMBER: &str = "m.room.member";

impl Window<'_> {
    /// A room in a window or subscribed to; `None` if the device knows all of it.
    pub(super) fn room(
        &self,
        room: &RoomView<'_>,
        listed: &Listed,
        (before, details): (Option<&ToldRoom>, &Details),
    ) -> Result<Option<Room>, StoreError> {
        let expands = before.is_some_and(|before| before.details != *details)
            && before.is_some_and(|before| {
                details.timeline_limit > before.details.timeline_limit
                    || !details.required_state.is_subset(&before.details.required_state)
            });
        if before.is_some_and(|before| listed.changed <= before.until) && !expands {
            return Ok(None);
        }
        if listed.kind != Kind::Join {
            return self.invited(room, listed, before);
        }
        let until = self.end.log;
        // Who joined since begins anew.
        let since = match before {
            Some(before) => self.since_in(room, before.until)?,
            None => None,
        };
        let root = room.state_at(until)?;
        let known = match since {
            Some(since) => room.state_at(since)?,
            None => StateTree::EMPTY,
        };
        let more = before
            .filter(|_| since.is_some())
            .is_some_and(|before| details.timeline_limit > before.details.timeline_limit);
        let from = since.filter(|_| !more).map_or(Order::MIN, token::after_position);
        let range = (from, token::after_position(until));
        let limit = details.timeline_limit.min(TIMELINE_MAX);
        let mut page = room.page(range, true, limit, &EventFilter::default())?;
        page.events.reverse();
        let new_types = before.filter(|_| since.is_some()).map(|before| &before.details);
        let state = self.required(room, (known, root), &page.events, (details, new_types))?;
        if since.is_some() && !more && page.events.is_empty() && state.is_empty() && !expands {
            // What changed (a receipt, account data) is told by the extensions.
            return Ok(None);
        }
        let edge = page.events.first().and_then(|event| event.order()).or(page.next);
        let mut shown = Room {
            initial: since.is_none(),
            unstable_expanded_timeline: more,
            timeline: room.render(&page.events, EventFormat::Sync)?,
            required_state: room.render_state(&state, EventFormat::Sync)?,
            prev_batch: Some(token::format(edge.unwrap_or(range.1))),
            limited: page.next.is_some(),
            num_live: self.live(&page.events),
            bump_stamp: listed.bump,
            is_dm: self.is_direct(room),
            ..Room::default()
        };
        self.describe(room, (known, root), details, &mut shown)?;
        Ok(Some(shown))
    }

    /// A room that the user was told of and has left or was thrown out of since: up to then.
    pub(super) fn gone(
        &self,
        number: RoomNumber,
        listed: &HashMap<RoomNumber, Listed>,
    ) -> Result<Option<(OwnedRoomId, Room)>, StoreError> {
        let Some(before) = self.told.rooms.get(&number) else { return Ok(None) };
        if listed.get(&number).is_some_and(Listed::is_current) {
            return Ok(None);
        }
        let Some(room) = self.open(number)? else { return Ok(None) };
        let membership = memberships::get(self.rows, self.reader.user.localpart(), number)?;
        let leave = membership.and_then(|membership| membership.event);
        let leave = leave.map(|number| room.stored(number)).transpose()?.flatten();
        let end = leave.as_ref().and_then(|event| event.order()).map(token::after);
        let range = (token::after_position(before.until), end.unwrap_or(Order::MIN));
        let limit = before.details.timeline_limit.clamp(1, TIMELINE_MAX);
        let mut page = room.page(range, true, limit, &EventFilter::default())?;
        page.events.reverse();
        let events: Vec<ClientEvent> = leave.into_iter().collect();
        let shown = Room {
            timeline: room.render(&page.events, EventFormat::Sync)?,
            required_state: room.render_state(&events, EventFormat::Sync)?,
            limited: page.next.is_some(),
            bump_stamp: before.until,
            ..Room::default()
        };
        Ok(Some((room.room_id, shown)))
    }

    fn invited(
        &self,
        room: &RoomView<'_>,
        listed: &Listed,
        before: Option<&ToldRoom>,
    ) -> Result<Option<Room>, StoreError> {
        let localpart = self.reader.user.localpart();
        let membership = memberships::get(self.rows, localpart, room.rows.room)?;
        let Some(membership) = membership else { return Ok(None) };
        if before.is_some_and(|before| membership.since <= before.until) {
            return Ok(None);
        }
        Ok(Some(Room {
            initial: true,
            is_dm: self.is_direct(room),
            invite_state: Some(stripped::state(room, &membership)?),
            bump_stamp: listed.bump,
            ..Room::default()
        }))
    }

    /// The position after which the device needs the room's events, if it may go on from there.
    fn since_in(&self, room: &RoomView<'_>, since: u64) -> Result<Option<u64>, StoreError> {
        let membership = room.oracle.membership()?.cloned();
        let Some(membership) = membership else { return Ok(None) };
        let root = room.state_at(self.end.log)?;
        self.gather.since_in(room, &membership, (Some(since), root))
    }

    /// The state that is required: what changed, and what was not required before.
    fn required(
        &self,
        room: &RoomView<'_>,
        (known, root): (NodeId, NodeId),
        timeline: &[ClientEvent],
        (details, before): (&Details, Option<&Details>),
    ) -> Result<Vec<ClientEvent>, StoreError> {
        let mut numbers: BTreeSet<EventNumber> = BTreeSet::new();
        let me = self.reader.user.as_str();
        let is_required = |required: &BTreeSet<(String, String)>, event_type: &str, key: &str| {
            required.iter().any(|(wanted_type, wanted_key)| {
                let same_key = match wanted_key.as_str() {
                    "*" => true,
                    "$ME" => key == me,
                    "$LAZY" => false,
                    wanted_key => wanted_key == key,
                };
                same_key && (wanted_type == "*" || wanted_type == event_type)
            })
        };
        let tree = StateTree::new(room.rows.salt);
        for change in tree.diff(&room.rows, known, root)? {
            let required =
                is_required(&details.required_state, &change.event_type, &change.state_key);
            numbers.extend(change.after.filter(|_| required).map(|entry| entry.event));
        }
        if let Some(before) = before {
            let added: BTreeSet<(String, String)> =
                details.required_state.difference(&before.required_state).cloned().collect();
            if !added.is_empty() {
                for item in tree.entries(&room.rows, root) {
                    let item = item?;
                    if is_required(&added, &item.event_type, &item.state_key) {
                        numbers.insert(item.entry.event);
                    }
                }
            }
        }
        if details.required_state.contains(&(MEMBER.to_owned(), "$LAZY".to_owned())) {
            for event in timeline {
                let view = EventView::read(event)?;
                let target = view.state_key.as_deref().filter(|_| view.event_type == MEMBER);
                for user in [Some(&*view.sender), target].into_iter().flatten() {
                    let entry = room.rows.state(root).entry(MEMBER, user)?;
                    numbers.extend(entry.map(|entry| entry.event));
                }
            }
        }
        let numbers: Vec<EventNumber> = numbers.into_iter().collect();
        room.stored_all(&numbers)
    }

    /// How many events are new to everybody, and not part of a past that the device now sees.
    fn live(&self, events: &[ClientEvent]) -> usize {
        let Some(since) = self.told.since else { return 0 };
        let boundary = token::after_position(since.log);
        events.iter().filter(|event| event.order().is_some_and(|order| order >= boundary)).count()
    }

    /// What a room list shows of the room.
    fn describe(
        &self,
        room: &RoomView<'_>,
        (known, root): (NodeId, NodeId),
        details: &Details,
        shown: &mut Room,
    ) -> Result<(), StoreError> {
        let summary = summary::summary(room, known, root)?;
        shown.joined_count = summary.joined;
        shown.invited_count = summary.invited;
        shown.name = content_field(room, root, ("m.room.name", ""), "name")?;
        shown.avatar = content_field(room, root, ("m.room.avatar", ""), "url")?;
        if let Some(heroes) =
            summary.heroes.filter(|_| details.include_heroes || shown.name.is_none())
        {
            shown.heroes = Some(self.heroes(room, root, heroes)?);
        }
        let (unread, _) = self.gather.unread(room)?;
        shown.notification_count = unread.notification_count;
        shown.highlight_count = unread.highlight_count;
        Ok(())
    }

    fn heroes(
        &self,
        room: &RoomView<'_>,
        root: NodeId,
        heroes: Vec<OwnedUserId>,
    ) -> Result<Vec<Hero>, StoreError> {
        let hero = |user_id: OwnedUserId| {
            let place = (MEMBER, user_id.as_str());
            let displayname = content_field(room, root, place, "displayname")?;
            let avatar_url = content_field(room, root, place, "avatar_url")?;
            Ok(Hero { user_id, displayname, avatar_url })
        };
        heroes.into_iter().map(hero).collect()
    }
}

/// A text in the content of a state event.
fn content_field(
    room: &RoomView<'_>,
    root: NodeId,
    (event_type, state_key): (&str, &str),
    field: &str,
) -> Result<Option<String>, StoreError> {
    #[derive(Deserialize)]
    struct Content(serde_json::Map<String, serde_json::Value>);
    let entry = room.rows.state(root).entry(event_type, state_key)?;
    let Some(event) = entry.map(|entry| room.stored(entry.event)).transpose()?.flatten() else {
        return Ok(None);
    };
    let content = EventView::read(&event)?.content;
    let Ok(Content(content)) = serde_json::from_str(content.get()) else { return Ok(None) };
    Ok(content.get(field).and_then(|text| text.as_str()).map(str::to_owned))
}
