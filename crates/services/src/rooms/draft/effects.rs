//! What an event that entered the room changes besides the room's graph: who is where, what is
//! redacted, what relates to what.

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
    memberships::{self, Kind, Membership, ServerInRoom},
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
            self.count_server(&user, old.as_ref(), new.as_ref(), cause)?;
            if self.drafted.context.is_local(&user) {
                self.put_membership(&user, new, event.as_ref().map(|event| event.number));
            }
        }
        self.drafted.state.insert(place, event);
        Ok(())
    }

    fn put_membership(
        &mut self,
        user: &OwnedUserId,
        membership: Option<MembershipState>,
        event: Option<EventNumber>,
    ) {
        let kind = match membership {
            Some(MembershipState::Join) => Kind::Join,
            Some(MembershipState::Invite) => Kind::Invite,
            Some(MembershipState::Knock) => Kind::Knock,
            Some(MembershipState::Ban) => Kind::Ban,
            _ => Kind::Leave,
        };
        let membership =
            Membership { kind, event, since: 0, stripped_state: None, forgotten: false };
        let user = user.localpart();
        let room = self.drafted.room;
        memberships::put(&mut self.drafted.batch, user, room, &membership);
        self.drafted.changes.push(Change::Membership { user: user.to_owned(), room });
    }

    /// Keeps the number of joined users of a server, from which event on it is in the room, and
    /// with which event it left.
    fn count_server(
        &mut self,
        user: &UserId,
        old: Option<&MembershipState>,
        new: Option<&MembershipState>,
        cause: EventNumber,
    ) -> Result<(), WriteError> {
        let joined = |membership| membership == Some(&MembershipState::Join);
        let (was, is) = (joined(old), joined(new));
        if was == is {
            return Ok(());
        }
        let server = user.server_name().as_str();
        let known = self.server(server)?;
        let mut presence =
            known.unwrap_or(ServerInRoom { joined: 0, since: cause, until: Some(cause) });
        if is {
            if presence.joined == 0 {
                presence.since = cause;
                presence.until = None;
            }
            presence.joined += 1;
        } else {
            presence.joined = presence.joined.saturating_sub(1);
            if presence.joined == 0 {
                presence.until = Some(cause);
            }
        }
        let room = self.drafted.room;
        memberships::put_server(&mut self.drafted.batch, server, room, &presence);
        self.drafted.servers.insert(server.to_owned(), Some(presence));
        Ok(())
    }

    fn server(&mut self, server: &str) -> Result<Option<ServerInRoom>, WriteError> {
        let drafted = &self.drafted;
        if let Some(known) = drafted.servers.get(server).or(drafted.known.servers.get(server)) {
            return Ok(known.clone());
        }
        if drafted.known.head.is_none() {
            return Ok(None);
        }
        let presence = memberships::server_in_room(self.rows()?.snapshot, server, drafted.room)?;
        self.drafted.known.servers.insert(server.to_owned(), presence.clone());
        Ok(presence)
    }

    /// Redactions and relations of an accepted event.
    pub(super) fn take_effect(&mut self, event: &Event) -> Result<(), WriteError> {
        if let Some(target) = &event.pdu.redacts
            && let Some(target) = self.event_by_id(target)?
        {
            self.redact(target, event)?;
        }
        Ok(())
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

    /// Redacts `target`, if the sender of the redaction may: by power, or because both senders are
    /// of the same server ("Redactions", client-server API; room versions 3 and later).
    fn redact(&mut self, target: Event, redaction: &Event) -> Result<(), WriteError> {
        let by_origin = target.pdu.sender.server_name() == redaction.pdu.sender.server_name();
        let allowed = by_origin || self.may_redact(&redaction.pdu)?;
        let wanted = target.record.redacted_by.is_none()
            && target.record.standing == Standing::Accepted
            && !target.pdu.is_at("m.room.create", "");
        if !allowed || !wanted {
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

    fn may_redact(&mut self, redaction: &Pdu) -> Result<bool, WriteError> {
        let (create, power_levels) = self.powers()?;
        Ok(event_auth::may_redact(&redaction.sender, &create, power_levels.as_deref()))
    }
}
