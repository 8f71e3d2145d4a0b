//! What an event that entered the room changes besides the room's graph: who is where, what is
//! redacted, what relates to what.

use std::sync::Arc;

use model::{
    EventNumber, event_auth,
    pdu::Pdu,
    redact,
    state_tree::{Entry, NodeId, StateTree},
};
use ruma::{OwnedUserId, UserId, events::room::member::MembershipState};
use store::{
    events::{Place, Standing},
    log::Change,
    memberships::{self, Invitation, Kind, Membership},
    relations,
    value::corrupt,
};

use super::{Draft, Drafted, WriteError};
use crate::room_rows::Event;

impl Draft<'_> {
    /// The current state went from one root to another, because of `cause`.
    pub(super) fn follow_state(
        &mut self,
        before: NodeId,
        after: NodeId,
        cause: &Event,
    ) -> Result<(), WriteError> {
        // The one change of a room without forks is known; only others are looked for.
        let linear = self.drafted.head.extremities.len() == 1
            && cause.record.state_before == Some(before)
            && cause.record.state_after == Some(after);
        if linear {
            let place = cause.pdu.type_and_key().ok_or_else(|| corrupt("state event"))?;
            let place = (place.0.to_owned(), place.1.to_owned());
            return self.replace(place, Some(cause.clone()), cause.number);
        }
        self.drafted.changes.push(Change::RoomState { room: self.drafted.room });
        let tree = StateTree::new(self.drafted.context.state_salt);
        for difference in tree.diff(&*self, before, after)? {
            let event = match difference.after {
                Some(Entry { event, .. }) => Some(self.event(event)?),
                None => None,
            };
            let place = (difference.event_type.to_string(), difference.state_key.to_string());
            self.replace(place, event, cause.number)?;
        }
        Ok(())
    }

    /// An event by its number, also one that this draft stores.
    pub(super) fn event(&self, number: EventNumber) -> Result<Event, WriteError> {
        if let Some(event) = self.drafted.stored.get(&number) {
            return Ok(event.clone());
        }
        let event = self.rows()?.event(number)?;
        Ok(event.ok_or_else(|| corrupt("event number"))?)
    }

    /// One place of the current state holds another event now.
    fn replace(
        &mut self,
        place: (String, String),
        event: Option<Event>,
        cause: EventNumber,
    ) -> Result<(), WriteError> {
        let is_member = place.0 == "m.room.member";
        let before = if is_member { self.state(&place.0, &place.1)? } else { None };
        if is_member && let Ok(user) = UserId::parse(place.1.as_str()) {
            let membership = |event: &Option<Event>| event.as_ref()?.pdu.membership();
            let (old, new) = (membership(&before), membership(&event));
            let member = event.as_ref().map_or(cause, |event| event.number);
            self.count_server(&user, (old.as_ref(), new.as_ref()), member, cause)?;
            if self.drafted.context.is_local(&user) {
                self.put_membership(&user, new, event.as_ref())?;
            }
        }
        self.drafted.state.insert(place, event);
        Ok(())
    }

    fn put_membership(
        &mut self,
        user: &OwnedUserId,
        membership: Option<MembershipState>,
        event: Option<&Event>,
    ) -> Result<(), WriteError> {
        let kind = match membership {
            Some(MembershipState::Join) => Kind::Join,
            Some(MembershipState::Invite) => Kind::Invite,
            Some(MembershipState::Knock) => Kind::Knock,
            Some(MembershipState::Ban) => Kind::Ban,
            _ => Kind::Leave,
        };
        let mut membership = Membership {
            kind,
            event: event.map(|event| event.number),
            opened_by: None,
            since: 0,
            stripped_state: None,
            forgotten: false,
            overtaking: None,
        };
        let room = self.drafted.room;
        if let Some(event) = event
            && matches!(kind, Kind::Leave | Kind::Ban)
            && event.pdu.sender != *user
            && let Some(invitation) = self.overtaking(user, event.pdu.depth)?
        {
            membership = Membership {
                kind: Kind::Invite,
                event: None,
                opened_by: Some(invitation.event_id),
                stripped_state: invitation.stripped_state,
                ..membership
            };
        }
        let user = user.localpart();
        memberships::put(&mut self.drafted.batch, user, room, &membership);
        self.drafted.changes.push(Change::Membership { user: user.to_owned(), room });
        Ok(())
    }

    /// The invitation that came before the end of the user's stay did, and is newer than that.
    fn overtaking(&self, user: &UserId, depth: u64) -> Result<Option<Invitation>, WriteError> {
        if self.drafted.known.head.is_none() {
            return Ok(None);
        }
        let rows = self.rows()?;
        let known = memberships::get(rows.snapshot, user.localpart(), rows.room)?;
        let invitation = known.and_then(|known| known.overtaking);
        Ok(invitation.filter(|invitation| invitation.depth > depth))
    }

    /// The redaction by an accepted event, as it was when it came: it may have been redacted itself
    /// since. If what it redacts is not in the room's graph yet, it waits for it.
    pub(super) fn take_effect(
        &mut self,
        number: EventNumber,
        pdu: &Arc<Pdu>,
    ) -> Result<(), WriteError> {
        let Some(target) = &pdu.redacts else { return Ok(()) };
        let redaction = Event { pdu: Arc::clone(pdu), ..self.event(number)? };
        let stored = self.event_by_id(target)?;
        if stored.as_ref().is_none_or(|stored| stored.record.standing != Standing::Accepted) {
            let Drafted { batch, room, redactions, .. } = &mut self.drafted;
            relations::put_redaction(batch, *room, target, number);
            redactions.push((target.clone(), number));
        }
        match stored {
            Some(target) => self.redact(target, &redaction),
            None => Ok(()),
        }
    }

    /// The redaction that came before the event that it redacts, if one did.
    pub(super) fn waiting_redaction(&self, target: &Pdu) -> Result<Option<Event>, WriteError> {
        let rows = self.rows()?;
        let waiting = relations::redactions_of(rows.snapshot, rows.room, &target.event_id)?;
        let drafted = self.drafted.redactions.iter();
        let drafted = drafted.filter(|(of, _)| *of == target.event_id).map(|(_, number)| *number);
        for number in waiting.into_iter().chain(drafted) {
            let redaction = self.event(number)?;
            if self.is_redaction_of(&redaction, target)? {
                return Ok(Some(redaction));
            }
        }
        Ok(None)
    }

    pub fn event_by_id(&self, event_id: &ruma::EventId) -> Result<Option<Event>, WriteError> {
        if let Some(number) = self.drafted.stored_ids.get(event_id) {
            return Ok(self.drafted.stored.get(number).cloned());
        }
        if self.drafted.known.head.is_none() {
            return Ok(None);
        }
        Ok(self.rows()?.event_by_id(event_id)?)
    }

    fn redact(&mut self, target: Event, redaction: &Event) -> Result<(), WriteError> {
        let wanted = target.record.redacted_by.is_none()
            && target.record.standing != Standing::Rejected
            && self.is_redaction_of(redaction, &target.pdu)?;
        if !wanted {
            return Ok(());
        }
        if let Place::At(order) = target.record.place {
            let Drafted { batch, room, .. } = &mut self.drafted;
            relations::remove(batch, *room, order, &target.pdu);
        }
        let redacted = redact::redact(&target.pdu).map_err(|_| corrupt("redacted event"))?;
        let mut record = target.record.clone();
        record.redacted_by = Some(redaction.number);
        let target = self.store_event(Event { record, pdu: redacted.into(), ..target });
        if let Some((event_type, key)) = target.pdu.type_and_key() {
            // What the writer remembers of the state must be the redacted event too.
            let place = (event_type.to_owned(), key.to_owned());
            let current = self.state(&place.0, &place.1)?;
            if current.is_some_and(|current| current.number == target.number) {
                self.drafted.state.insert(place, Some(target.clone()));
            }
        }
        Ok(())
    }

    /// Whether a redaction takes effect on `target`: by its sender's power, or because both senders
    /// are of the same server ("Redactions", client-server API; room versions 3 and later). What
    /// counts is the power before the redaction: that is the same on every server, whatever else
    /// has reached it meanwhile.
    fn is_redaction_of(&self, redaction: &Event, target: &Pdu) -> Result<bool, WriteError> {
        if target.is_at("m.room.create", "") {
            return Ok(false);
        }
        if target.sender.server_name() == redaction.pdu.sender.server_name() {
            return Ok(true);
        }
        let Some(root) = redaction.record.state_before else { return Ok(false) };
        let Some(create) = self.state_at(root, "m.room.create")? else { return Ok(false) };
        let power_levels = self.state_at(root, "m.room.power_levels")?;
        let sender = &redaction.pdu.sender;
        Ok(event_auth::may_redact(
            sender,
            &create.pdu,
            power_levels.as_ref().map(|event| &*event.pdu),
        ))
    }

    fn state_at(&self, root: NodeId, event_type: &str) -> Result<Option<Event>, WriteError> {
        let tree = StateTree::new(self.drafted.context.state_salt);
        let entry = tree.get(self, root, event_type, "")?;
        entry.map(|entry| self.event(entry.event)).transpose()
    }
}
