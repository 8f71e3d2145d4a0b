//! Gathering one answer from one snapshot.
//!
//! An answer ends at a position that the log has published. The snapshot may show more; what came
//! later is told by the next answer, so nothing is lost and nothing is told that followers of the
//! log (unread counts, inboxes) do not know yet.

use std::collections::{HashMap, HashSet};

use kv::{Snapshot, StoreError};
use model::{RoomNumber, membership::Membership};
use ruma::OwnedUserId;
use store::{
    account_data::{self, Item},
    memberships::{self, Kind},
    rooms::RoomHead,
    to_device,
};

use super::{
    SyncQuery, Syncs,
    answer::{Events, InvitedRoom, KnockedRoom, SyncAnswer},
    beside,
    encryption::Company,
    lazy::SentMembers,
    stripped,
    token::SyncToken,
};
use crate::{
    client_event::{ClientEvent, EventFormat, EventView},
    filter::Format,
    inbox::Changes,
    push_rules,
    reader::{Reader, RoomView, ignored_users},
};

pub(super) struct Gather<'a> {
    syncs: &'a Syncs,
    pub(super) rows: &'a Snapshot,
    pub(super) reader: &'a Reader,
    pub(super) query: &'a SyncQuery,
    since: Option<SyncToken>,
    end: SyncToken,
    pub(super) until: u64,
    pub(super) format: EventFormat,
    ignored: HashSet<OwnedUserId>,
    /// What changed of the user's account data; `None` when everything is told.
    account_data: Option<HashMap<Option<RoomNumber>, Vec<Item>>>,
    pub(super) company: Company,
}

/// What a user is to a room when the answer ends.
struct Relation {
    kind: Kind,
    membership: memberships::Membership,
    /// His member event.
    event: Option<ClientEvent>,
}

impl<'a> Gather<'a> {
    pub fn new(
        syncs: &'a Syncs,
        rows: &'a Snapshot,
        reader: &'a Reader,
        query: &'a SyncQuery,
        (since, end): (Option<SyncToken>, SyncToken),
    ) -> Result<Self, StoreError> {
        let account_data = match &since {
            Some(since) => {
                let localpart = reader.user.localpart();
                let mut changed: HashMap<_, Vec<Item>> = HashMap::new();
                let changes = account_data::changed_since(rows, localpart, since.log)?.into_iter();
                for item in changes.filter(|item| item.since <= end.log) {
                    changed.entry(item.room).or_default().push(item);
                }
                Some(changed)
            }
            None => {
                syncs.sent_members.forget(reader);
                None
            }
        };
        Ok(Self {
            syncs,
            rows,
            reader,
            query,
            since,
            end,
            until: end.log,
            format: match query.filter.event_format {
                Format::Client => EventFormat::Sync,
                Format::Federation => EventFormat::Federation,
            },
            ignored: ignored_users(rows, reader)?,
            account_data,
            company: Company::default(),
        })
    }

    pub(super) fn since(&self) -> Option<u64> {
        self.since.as_ref().map(|since| since.log.min(self.until))
    }

    /// After which serial number the client needs typing notices.
    pub(super) fn since_typing(&self) -> u64 {
        // After a restart serial numbers may begin anew: then what is now is told again.
        let since = self.since.map_or(0, |since| since.typing);
        if since > self.end.typing { 0 } else { since }
    }

    /// Who is there, of those with whom the user shares a room, and what changed of that.
    fn presence(&self) -> Result<Events, StoreError> {
        let filter = &self.query.filter.presence;
        if !filter.wants_type("m.presence") {
            return Ok(Events::default());
        }
        let (presences, localpart) = (&self.syncs.presences, self.reader.user.localpart());
        // After a restart serial numbers may begin anew: then what is now is told again.
        let since = self.since.map(|since| since.presence);
        let since = since.filter(|since| *since <= self.end.presence);
        let Some(since) = since else {
            let mut known = Vec::new();
            for user in presences.there() {
                if self.knows(user.as_str())? {
                    known.push(user);
                }
            }
            return Ok(Events {
                events: presences.events_of(known.iter().map(|user| user.as_str())),
            });
        };
        let mut events = presences.events(localpart, since);
        let told: HashSet<String> = events.iter().map(|event| event.get().to_owned()).collect();
        let new = self.company.joined();
        let new = presences.events_of(new.iter().map(String::as_str)).into_iter();
        events.extend(new.filter(|event| !told.contains(event.get())));
        Ok(Events { events })
    }

    pub(super) fn since_to_device(&self) -> u64 {
        self.since.map_or(0, |since| since.to_device)
    }

    /// Up to where the device has shown to have messages that are still kept for it.
    pub fn acknowledged(&self) -> Result<Option<u64>, StoreError> {
        let (Some(device), position) = (&self.reader.device, self.since_to_device()) else {
            return Ok(None);
        };
        let owner = (self.reader.user.localpart(), device.as_str());
        let kept = to_device::pending(self.rows, owner, (0, position), 1)?;
        Ok((!kept.is_empty()).then_some(position))
    }

    pub(super) fn ignored(&self) -> &HashSet<OwnedUserId> {
        &self.ignored
    }

    /// The rooms, of any users, in which somebody began or stopped typing since.
    pub(super) fn typing_changed(&self) -> Vec<RoomNumber> {
        self.syncs.typing.changed_since(self.since_typing())
    }

    pub(super) fn syncs(&self) -> &Syncs {
        self.syncs
    }

    pub(super) fn sent_members(&self) -> &SentMembers {
        &self.syncs.sent_members
    }

    pub fn answer(&self) -> Result<SyncAnswer, StoreError> {
        let mut answer = SyncAnswer { next_batch: self.end.to_string(), ..SyncAnswer::default() };
        let memberships = self.memberships()?;
        let numbers: Vec<RoomNumber> = memberships.iter().map(|(room, _)| *room).collect();
        let heads = store::rooms::heads(self.rows, &numbers)?;
        for ((room, membership), head) in memberships.into_iter().zip(heads) {
            if let Some(head) = head.filter(|head| !head.blocked) {
                self.room(&mut answer, (room, head), membership)?;
            }
        }
        answer.account_data = self.global_account_data()?;
        answer.presence = self.presence()?;
        let to_device = self.for_device(&mut answer, &self.company, self.since_to_device())?;
        answer.next_batch = SyncToken { to_device, ..self.end }.to_string();
        Ok(answer)
    }

    /// The user's relations to the rooms that the answer may be about.
    fn memberships(&self) -> Result<Vec<(RoomNumber, memberships::Membership)>, StoreError> {
        let localpart = self.reader.user.localpart();
        let changes = match self.since() {
            Some(since) if !self.query.full_state => {
                self.syncs.inboxes.changes(localpart, since)?
            }
            Some(_) | None => Changes::Any,
        };
        let Changes::Some { mut rooms, .. } = changes else {
            return memberships::of_user(self.rows, localpart);
        };
        rooms.extend(self.typing_changed());
        rooms.sort_unstable();
        rooms.dedup();
        let mut memberships = Vec::with_capacity(rooms.len());
        for room in rooms {
            let membership = memberships::get(self.rows, localpart, room)?;
            memberships.extend(membership.map(|membership| (room, membership)));
        }
        Ok(memberships)
    }

    fn room(
        &self,
        answer: &mut SyncAnswer,
        (number, head): (RoomNumber, RoomHead),
        membership: memberships::Membership,
    ) -> Result<(), StoreError> {
        // Nothing more is to be told of a room that was left before.
        let over = matches!(membership.kind, Kind::Leave | Kind::Ban)
            && self.since().is_some_and(|since| membership.since <= since);
        if over && !self.query.filter.room.include_leave {
            return Ok(());
        }
        let context = &self.syncs.context;
        let ignored = self.ignored.clone();
        let room = RoomView::new(context, self.rows, self.reader, (number, head), ignored)?;
        if !self.query.filter.room.wants_room(&room.room_id) {
            return Ok(());
        }
        let Some(relation) = self.relation(&room, membership)? else { return Ok(()) };
        let rooms = &mut answer.rooms;
        match relation.kind {
            Kind::Join => {
                if let Some(joined) = self.joined(&room, &relation.membership)? {
                    rooms.join.insert(room.room_id, joined);
                }
            }
            Kind::Invite => {
                if self.is_new(&relation) && !self.is_ignored(&relation)? {
                    let events = stripped::state(&room, &relation.membership)?;
                    let invite_state = Events { events };
                    rooms.invite.insert(room.room_id, InvitedRoom { invite_state });
                }
            }
            Kind::Knock => {
                if self.is_new(&relation) {
                    let events = stripped::state(&room, &relation.membership)?;
                    let knock_state = Events { events };
                    rooms.knock.insert(room.room_id, KnockedRoom { knock_state });
                }
            }
            Kind::Leave | Kind::Ban => {
                if self.wants_left(&relation)?
                    && let Some(left) =
                        self.left(&room, relation.event.as_ref(), &relation.membership)?
                {
                    rooms.leave.insert(room.room_id, left);
                }
            }
        }
        Ok(())
    }

    /// The relation when the answer ends, if there was one. Rows may be newer: then the room's state
    /// of that time tells.
    fn relation(
        &self,
        room: &RoomView<'_>,
        mut membership: memberships::Membership,
    ) -> Result<Option<Relation>, StoreError> {
        if membership.since > self.until {
            let state = room.rows.state(room.state_at(self.until)?);
            let entry = state.entry("m.room.member", self.reader.user.as_str())?;
            let Some(entry) = entry else { return Ok(None) };
            membership.kind = kind(entry.membership.unwrap_or(Membership::Leave));
            membership.event = Some(entry.event);
            membership.forgotten = false;
        }
        let event = membership.event.map(|number| room.stored(number)).transpose()?.flatten();
        Ok(Some(Relation { kind: membership.kind, membership, event }))
    }

    /// The position at which it became so.
    fn became(&self, relation: &Relation) -> u64 {
        // Forgetting a room writes the row again, but the user left it when he left it.
        let order = relation.event.as_ref().and_then(|event| event.order());
        let position = order.and_then(|order| u64::try_from(order.0).ok());
        position.unwrap_or(relation.membership.since)
    }

    fn is_new(&self, relation: &Relation) -> bool {
        self.query.full_state || self.since().is_none_or(|since| self.became(relation) > since)
    }

    /// "Servers must not send room invites from ignored users to clients."
    fn is_ignored(&self, relation: &Relation) -> Result<bool, StoreError> {
        let Some(event) = relation.event.as_ref().filter(|_| !self.ignored.is_empty()) else {
            return Ok(stripped::inviter(&relation.membership, &self.reader.user)
                .is_some_and(|inviter| self.ignored.contains(&inviter)));
        };
        let view = EventView::read(event)?;
        Ok(self.ignored.iter().any(|user| *user == *view.sender))
    }

    fn wants_left(&self, relation: &Relation) -> Result<bool, StoreError> {
        let include_leave = self.query.filter.room.include_leave;
        let forgotten = relation.membership.forgotten;
        Ok(match self.since() {
            // A room that was left and forgotten since is told as left once.
            Some(since) if self.became(relation) > since => !forgotten || relation.event.is_some(),
            Some(_) => self.query.full_state && include_leave && !forgotten,
            // Who was thrown out is told so, even if he does not ask for rooms that he left.
            None => !forgotten && (include_leave || self.thrown_out(relation)?),
        })
    }

    fn thrown_out(&self, relation: &Relation) -> Result<bool, StoreError> {
        let Some(event) = &relation.event else { return Ok(false) };
        Ok(self.reader.user != *EventView::read(event)?.sender)
    }

    /// The user's account data in a room, as far as it is to be told.
    pub(super) fn room_account_data(
        &self,
        room: RoomNumber,
        begins: bool,
    ) -> Result<Events, StoreError> {
        let items = match &self.account_data {
            Some(changed) if !begins => changed.get(&Some(room)).cloned().unwrap_or_default(),
            _ => account_data::of(self.rows, self.reader.user.localpart(), Some(room))?,
        };
        Ok(beside::account_data(&items, &self.query.filter.room.account_data))
    }

    pub(super) fn global_account_data(&self) -> Result<Events, StoreError> {
        let items = match &self.account_data {
            Some(changed) => changed.get(&None).cloned().unwrap_or_default(),
            None => {
                let user = &self.reader.user;
                let mut items = account_data::of(self.rows, user.localpart(), None)?;
                // Who changed none of them has the server's push rules.
                if !items.iter().any(|item| item.kind == push_rules::KIND)
                    && let Ok(rules) = push_rules::read(user, None)
                {
                    let content = push_rules::content(&rules).into();
                    let kind = push_rules::KIND.to_owned();
                    items.push(Item { room: None, kind, content, since: 0 });
                }
                items
            }
        };
        Ok(beside::account_data(&items, &self.query.filter.account_data))
    }
}

fn kind(membership: Membership) -> Kind {
    match membership {
        Membership::Join => Kind::Join,
        Membership::Invite => Kind::Invite,
        Membership::Knock => Kind::Knock,
        Membership::Leave => Kind::Leave,
        Membership::Ban => Kind::Ban,
    }
}
