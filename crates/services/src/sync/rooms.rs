//! One room's part of an answer.

use kv::StoreError;
use model::{
    membership::Membership,
    state_tree::{NodeId, StateTree},
};
use store::{events::Order, memberships};

use super::{
    answer::{Events, JoinedRoom, LeftRoom, State, Timeline},
    gather::Gather,
    state::{self, Span},
    summary,
};
use crate::{
    client_event::{ClientEvent, EventView},
    reader::RoomView,
    room_rows::Event,
    timeline::token,
};

/// Events of a room's timeline when the filter does not say how many.
const LIMIT_DEFAULT: u64 = 10;
const LIMIT_MAX: u64 = 100;

/// A part of a room's life.
struct Stretch {
    /// What the client has; `None`: nothing of this room.
    since: Option<u64>,
    /// The state that the client has.
    known: NodeId,
    /// Where the answer ends.
    end: Order,
    /// The state at the end.
    root: NodeId,
    /// The client has older events, but not all up to the new ones.
    torn: bool,
}

impl Gather<'_> {
    /// A room that the user is joined to; `None` if nothing of it changed.
    pub(super) fn joined(
        &self,
        room: &RoomView<'_>,
        membership: &memberships::Membership,
    ) -> Result<Option<JoinedRoom>, StoreError> {
        let root = room.state_at(self.until)?;
        let since = self.since_in(room, membership, (self.since(), root))?;
        let known = match since {
            Some(since) => room.state_at(since)?,
            None => StateTree::EMPTY,
        };
        let stretch = Stretch {
            since,
            known,
            end: token::after_position(self.until),
            root,
            torn: since.is_none() && self.since().is_some(),
        };
        if stretch.torn {
            self.sent_members().forget_room(self.reader, room.rows.room);
        }
        if self.since().is_some() {
            self.company.note(room, known, root)?;
        }
        let told = if self.query.full_state { StateTree::EMPTY } else { known };
        let summary = summary::summary(room, told, root)?;
        let heroes = summary.heroes.as_deref().unwrap_or_default();
        let (timeline, state) = self.stretch(room, &stretch, heroes)?;
        let beside = self.beside(room, since)?;
        let changed = since.is_none()
            || self.query.full_state
            || !timeline.events.is_empty()
            || timeline.limited
            || !state.events().is_empty()
            || beside.changed;
        if !changed {
            return Ok(None);
        }
        let (unread_notifications, unread_thread_notifications) = self.unread(room)?;
        Ok(Some(JoinedRoom {
            summary,
            state,
            timeline,
            ephemeral: beside.ephemeral,
            account_data: beside.account_data,
            unread_notifications,
            unread_thread_notifications,
        }))
    }

    /// A room that the user has left or was thrown out of, up to then.
    pub(super) fn left(
        &self,
        room: &RoomView<'_>,
        leave: Option<&ClientEvent>,
        membership: &memberships::Membership,
    ) -> Result<Option<LeftRoom>, StoreError> {
        let Some((leave, end)) = leave.and_then(|leave| Some((leave, leave.order()?))) else {
            // An invitation to a room of other servers was declined or taken back.
            let mut left = LeftRoom { state: self.state(Vec::new()), ..LeftRoom::default() };
            let ending = membership.stripped_state.as_deref().unwrap_or("[]");
            left.timeline.events = serde_json::from_str(ending).unwrap_or_default();
            left.timeline.prev_batch = token::format(token::after_position(self.until));
            return Ok(Some(left));
        };
        let root = leave.record.state_after.unwrap_or(StateTree::EMPTY);
        let before = leave.record.state_before.unwrap_or(StateTree::EMPTY);
        let was_joined = room.oracle.moment(&before)?.membership == Membership::Join;
        let since = match self.since() {
            Some(since) => {
                let known = room.state_at(since)?;
                let was_in = room.oracle.moment(&known)?.membership == Membership::Join;
                was_in.then_some((since, known))
            }
            None => None,
        };
        if since.is_some() {
            self.company.note_left(room, before)?;
        }
        let stretch = Stretch {
            // An invitation or a knock that is over was told when it began.
            since: since.map(|(since, _)| since).or(self.since().filter(|_| !was_joined)),
            // Who was never in the room is not told of its state.
            known: since
                .map_or(if was_joined { StateTree::EMPTY } else { root }, |(_, known)| known),
            end: token::after(end),
            root,
            torn: false,
        };
        let (timeline, state) = self.stretch(room, &stretch, &[])?;
        Ok(Some(LeftRoom { state, timeline, account_data: Events::default() }))
    }

    /// The position after which the client needs the room's events; `None` if it must begin anew,
    /// because the user was not in the room all the time.
    pub(super) fn since_in(
        &self,
        room: &RoomView<'_>,
        membership: &memberships::Membership,
        (since, root): (Option<u64>, NodeId),
    ) -> Result<Option<u64>, StoreError> {
        let Some(since) = since else { return Ok(None) };
        let known = room.state_at(since)?;
        if room.oracle.moment(&known)?.membership != Membership::Join {
            return Ok(None);
        }
        if membership.since <= since {
            return Ok(Some(since));
        }
        let boundary = token::after_position(since);
        let user = room.reader.user.as_str();
        let mut root = root;
        // Back through his own member events, to what the client knows.
        while let Some(entry) = room.rows.state(root).entry("m.room.member", user)? {
            let Some(event) = room.stored(entry.event)? else { return Ok(None) };
            if event.order().is_none_or(|order| order < boundary) {
                break;
            }
            let Some(before) = event.record.state_before else { return Ok(None) };
            if room.oracle.moment(&before)?.membership != Membership::Join {
                return Ok(None);
            }
            root = before;
        }
        Ok(Some(since))
    }

    fn stretch(
        &self,
        room: &RoomView<'_>,
        stretch: &Stretch,
        heroes: &[ruma::OwnedUserId],
    ) -> Result<(Timeline, State), StoreError> {
        let filter = &self.query.filter.room;
        let from = stretch.since.map_or(Order::MIN, token::after_position);
        let limit = filter.timeline.limit.unwrap_or(LIMIT_DEFAULT).min(LIMIT_MAX);
        let limit = usize::try_from(limit).unwrap_or_default();
        let mut page = room.page((from, stretch.end), true, limit, &filter.timeline)?;
        page.events.reverse();
        let gap = self.newest_gap(room, &page.events)?;
        page.events.drain(..gap.unwrap_or(0));
        let gap = gap.is_some_and(|index| index > 0 || stretch.since.is_some());
        let first = page.events.first();
        let edge = first.and_then(|event| event.order()).or(page.next).unwrap_or(stretch.end);
        let views = page.events.iter().map(EventView::read).collect::<Result<Vec<_>, _>>()?;
        let span = Span {
            known: if self.query.full_state { StateTree::EMPTY } else { stretch.known },
            start: first.and_then(|event| event.record.state_before).unwrap_or(stretch.root),
            end: stretch.root,
            timeline: &views,
            to_the_end: self.query.use_state_after,
            heroes,
            since: stretch.since,
            until: self.until,
        };
        let events = state::events(room, &span, &filter.state, self.sent_members())?;
        let timeline = Timeline {
            events: room.render(&page.events, self.format)?,
            limited: page.next.is_some() || stretch.torn || gap,
            prev_batch: token::format(edge),
        };
        Ok((timeline, self.state(room.render_state(&events, self.format)?)))
    }

    /// The newest of the events that follows something which is not here: what was before it on its
    /// server is not known, so a client must not take it for the next one after those it has.
    fn newest_gap(
        &self,
        room: &RoomView<'_>,
        events: &[ClientEvent],
    ) -> Result<Option<usize>, StoreError> {
        for (index, event) in events.iter().enumerate().rev() {
            let view = EventView::read(event)?;
            if view.sender_is_of(&self.syncs().context.server_name) {
                continue;
            }
            let event = Event::read((**event).clone())?;
            for previous in &event.pdu.prev_events {
                let previous = room.rows.event_by_id(previous)?;
                if previous.is_none_or(|previous| previous.record.state_after.is_none()) {
                    return Ok(Some(index));
                }
            }
        }
        Ok(None)
    }

    fn state(&self, events: Vec<Box<serde_json::value::RawValue>>) -> State {
        let events = Events { events };
        if self.query.use_state_after { State::After(events) } else { State::Before(events) }
    }
}
