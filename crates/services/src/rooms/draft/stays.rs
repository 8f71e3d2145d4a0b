//! Which servers are in the room, and what a fork that ends means for them.

use model::{
    EventNumber,
    membership::Membership,
    pdu::Pdu,
    state_tree::{Difference, Entry, StateTree},
};
use ruma::{UserId, events::room::member::MembershipState};
use store::{
    destinations::{self, Waiting},
    log::Change,
    memberships::{self, ServerInRoom},
};

use super::{Draft, WriteError};
use crate::room_rows::Event;

/// How many of a user's membership changes are followed back from a join that was lost.
const CHANGES_MAX: usize = 32;

impl Draft<'_> {
    /// Keeps the number of joined users of a server, from which event on it is in the room, and
    /// with which event it left. `member` is the user's member event from now on, `cause` the event
    /// that made it so.
    pub(super) fn count_server(
        &mut self,
        user: &UserId,
        (old, new): (Option<&MembershipState>, Option<&MembershipState>),
        member: EventNumber,
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
                // We ourselves took nothing in while we were away.
                let is_us = server == self.drafted.context.server_name;
                if is_us || !self.is_resumed(server, &presence, member)? {
                    presence.since = cause;
                }
                presence.until = None;
            }
            presence.joined += 1;
        } else {
            presence.joined = presence.joined.saturating_sub(1);
            if presence.joined == 0 {
                presence.until = Some(cause);
            }
        }
        self.put_server(server, presence);
        Ok(())
    }

    /// A server's presence in the room, as the draft leaves it.
    pub fn server(&mut self, server: &str) -> Result<Option<ServerInRoom>, WriteError> {
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

    /// Whether a server comes back with a member event that knows nothing of its leave: by that end of
    /// a fork it has been in the room all the time, and lacks what was said meanwhile.
    fn is_resumed(
        &self,
        server: &str,
        presence: &ServerInRoom,
        member: EventNumber,
    ) -> Result<bool, WriteError> {
        let Some(until) = presence.until else { return Ok(false) };
        if member < until {
            return Ok(true);
        }
        let Some(now) = self.drafted.known.head.as_ref().map(|head| head.state) else {
            return Ok(false);
        };
        let Some(then) = self.event(member)?.record.state_before else { return Ok(false) };
        // Nobody of the server is joined now; so whoever was then is among the differences.
        let tree = StateTree::new(self.drafted.context.state_salt);
        let differences = tree.diff(self, then, now)?;
        Ok(differences.iter().any(|Difference { event_type, state_key, before, .. }| {
            event_type == "m.room.member"
                && state_key.split_once(':').is_some_and(|(_, of)| of == server)
                && before.is_some_and(|entry| entry.membership == Some(Membership::Join))
        }))
    }

    fn put_server(&mut self, server: &str, presence: ServerInRoom) {
        let room = self.drafted.room;
        memberships::put_server(&mut self.drafted.batch, server, room, &presence);
        self.drafted.servers.insert(server.to_owned(), Some(presence));
    }

    /// The event ends a fork. A join that was made on one side of it may not hold against a rule
    /// that was made on the other. Nobody says so to the one who joined: no event puts him out. His
    /// server finds out by itself as soon as it has both sides, so the event that joins them is the
    /// last that is for that server, and every server in the room sees to it that it gets there.
    pub(super) fn end_lost_stays(&mut self, merge: &Event) -> Result<(), WriteError> {
        let Some(resolved) = merge.record.state_before else { return Ok(()) };
        let tree = StateTree::new(self.drafted.context.state_salt);
        for side in &merge.pdu.prev_events {
            let side = self.event_by_id(side)?.and_then(|event| event.record.state_after);
            let Some(side) = side.filter(|side| *side != resolved) else { continue };
            for difference in tree.diff(&*self, side, resolved)? {
                if self.is_lost_join(&difference)?
                    && let Ok(user) = UserId::parse(difference.state_key.as_str())
                {
                    self.end_lost_stay(user.server_name().as_str(), merge)?;
                }
            }
        }
        Ok(())
    }

    /// Whether a user's join gave way to what was there before it, not to an event that ended it.
    fn is_lost_join(&self, difference: &Difference) -> Result<bool, WriteError> {
        let Difference { event_type, state_key, before, after } = difference;
        let joined = |entry: &Entry| entry.membership == Some(Membership::Join);
        let Some(lost) = before.as_ref().filter(|entry| joined(entry)) else { return Ok(false) };
        if event_type != "m.room.member" || after.as_ref().is_some_and(joined) {
            return Ok(false);
        }
        let Some(after) = after else { return Ok(true) };
        // Nobody is invited, or knocks, who is joined: that is of the other side.
        if matches!(after.membership, Some(Membership::Invite | Membership::Knock)) {
            return Ok(true);
        }
        let mut earlier = lost.event;
        for _ in 0..CHANGES_MAX {
            let auth = self.event(earlier)?.record.auth;
            let auth = auth.into_iter().map(|number| self.event(number));
            let auth = auth.collect::<Result<Vec<Event>, _>>()?;
            let his = auth.into_iter().find(|event| event.pdu.is_at("m.room.member", state_key));
            match his.map(|event| event.number) {
                Some(number) if number == after.event => return Ok(true),
                Some(number) => earlier = number,
                None => return Ok(false),
            }
        }
        Ok(false)
    }

    fn end_lost_stay(&mut self, server: &str, merge: &Event) -> Result<(), WriteError> {
        let Some(presence) = self.server(server)?.filter(|presence| presence.joined == 0) else {
            return Ok(());
        };
        if presence.until == Some(merge.number) || server == self.drafted.context.server_name {
            return Ok(());
        }
        self.put_server(server, ServerInRoom { until: Some(merge.number), ..presence });
        // What is ours is sent to all for whom it is. Of the others' we only know that their server
        // may not have known of this one.
        if merge.pdu.sender.server_name() != self.drafted.context.server_name {
            self.enqueue_for(server, merge.number);
        }
        Ok(())
    }

    /// An event of ours that puts a user of another server out of the room before he was in it ends
    /// an invitation or a knock. His server may not be in the room, and is to know all the same.
    pub(super) fn tell_retraction(
        &mut self,
        number: EventNumber,
        pdu: &Pdu,
    ) -> Result<(), WriteError> {
        if !matches!(pdu.membership(), Some(MembershipState::Leave | MembershipState::Ban)) {
            return Ok(());
        }
        let target = pdu.state_key.as_deref().and_then(|key| UserId::parse(key).ok());
        let Some(target) = target.filter(|target| !self.drafted.context.is_local(target)) else {
            return Ok(());
        };
        let server = target.server_name().as_str();
        let presence = self.server(server)?;
        if presence.is_none_or(|presence| presence.until.is_some_and(|until| until < number)) {
            self.enqueue_for(server, number);
        }
        Ok(())
    }

    /// Lets an event of this draft wait for a server for which it does not follow from the room.
    fn enqueue_for(&mut self, server: &str, event: EventNumber) {
        let waiting = Waiting::Event { room: self.drafted.room, event };
        let outbound = Change::Outbound { server: server.to_owned() };
        let index = self.drafted.changes.iter().filter(|change| **change == outbound).count();
        let index = u16::try_from(index).unwrap_or(u16::MAX);
        destinations::enqueue(&mut self.drafted.batch, server, index, &waiting);
        self.drafted.changes.push(outbound);
    }
}
