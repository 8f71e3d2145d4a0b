//! Gathering one answer of a sliding sync from one snapshot.

use std::collections::{BTreeMap, HashMap, HashSet};

use kv::{Snapshot, StoreError};
use model::RoomNumber;
use ruma::{OwnedRoomId, OwnedUserId};
use serde::Deserialize;
use store::{
    account_data,
    memberships::{self, Membership},
};

use super::{
    answer::{List, SlidingAnswer},
    connections::{Told, ToldRoom},
    list::{self, Listed},
    request::{Details, SlidingRequest, WINDOW_MAX},
};
use crate::{
    inbox::Changes,
    reader::{Reader, RoomView},
    sync::{SyncQuery, Syncs, gather::Gather, token::SyncToken},
};

pub(super) struct Window<'a> {
    pub gather: Gather<'a>,
    pub rows: &'a Snapshot,
    pub reader: &'a Reader,
    pub request: &'a SlidingRequest,
    pub told: &'a Told,
    pub end: SyncToken,
    syncs: &'a Syncs,
    /// Rooms that the user says are conversations with one other user.
    direct: HashSet<OwnedRoomId>,
}

impl<'a> Window<'a> {
    pub fn new(
        syncs: &'a Syncs,
        rows: &'a Snapshot,
        (reader, query): (&'a Reader, &'a SyncQuery),
        (request, told): (&'a SlidingRequest, &'a Told),
        end: SyncToken,
    ) -> Result<Self, StoreError> {
        Ok(Self {
            gather: Gather::new(syncs, rows, reader, query, (told.since, end))?,
            rows,
            reader,
            request,
            told,
            end,
            syncs,
            direct: direct_rooms(rows, reader)?,
        })
    }

    /// The answer, and what the device was told once it has it.
    pub fn answer(&self) -> Result<(SlidingAnswer, Told), StoreError> {
        let mut answer =
            SlidingAnswer { txn_id: self.request.txn_id.clone(), ..SlidingAnswer::default() };
        let (listed, changed) = self.listed()?;
        let wanted = self.wanted(&listed, &mut answer)?;
        let mut rooms = self.told.rooms.clone();
        for (number, details) in wanted {
            let Some(room) = self.open(number)? else { continue };
            let Some(known) = listed.get(&number) else { continue };
            let before = self.told.rooms.get(&number);
            if let Some(shown) = self.room(&room, known, (before, &details))? {
                answer.rooms.insert(room.room_id.clone(), shown);
            }
            rooms.insert(number, ToldRoom { until: self.end.log, details });
        }
        for number in &changed {
            if let Some(shown) = self.gone(*number, &listed)? {
                answer.rooms.insert(shown.0, shown.1);
                rooms.remove(number);
            }
        }
        self.extensions(&mut answer, &rooms, &changed)?;
        let told = Told::new(rooms, listed, self.end);
        Ok((answer, told))
    }

    /// All rooms of the user, and those that changed since he was last answered.
    fn listed(&self) -> Result<(HashMap<RoomNumber, Listed>, Vec<RoomNumber>), StoreError> {
        let localpart = self.reader.user.localpart();
        let changes = match self.told.since {
            Some(since) => self.syncs.inboxes.changes(localpart, since.log)?,
            None => Changes::Any,
        };
        let mut listed = HashMap::clone(&self.told.listed);
        let memberships: Vec<(RoomNumber, Membership)> = match changes {
            Changes::Any => memberships::of_user(self.rows, localpart)?,
            Changes::Some { rooms, .. } => {
                let mut memberships = Vec::with_capacity(rooms.len());
                for room in rooms {
                    let membership = memberships::get(self.rows, localpart, room)?;
                    memberships.extend(membership.map(|membership| (room, membership)));
                }
                memberships
            }
        };
        let mut changed = Vec::with_capacity(memberships.len());
        for (number, membership) in memberships {
            let Some(room) = self.open(number)? else { continue };
            listed.insert(number, Listed::read(&room, &membership, self.end.log)?);
            changed.push(number);
        }
        Ok((listed, changed))
    }

    pub(super) fn open(&self, number: RoomNumber) -> Result<Option<RoomView<'a>>, StoreError> {
        let head = store::rooms::head(self.rows, number)?.filter(|head| !head.blocked);
        let Some(head) = head else { return Ok(None) };
        let ignored = self.gather.ignored().clone();
        let room = (number, head);
        RoomView::new(&self.syncs.context, self.rows, self.reader, room, ignored).map(Some)
    }

    pub(super) fn is_direct(&self, room: &RoomView<'_>) -> bool {
        self.direct.contains(&room.room_id)
    }

    /// The rooms in the windows and the ones subscribed to, with what is wanted of each.
    fn wanted(
        &self,
        listed: &HashMap<RoomNumber, Listed>,
        answer: &mut SlidingAnswer,
    ) -> Result<BTreeMap<RoomNumber, Details>, StoreError> {
        let mut wanted: BTreeMap<RoomNumber, Details> = BTreeMap::new();
        let mut direct = HashSet::new();
        for room_id in &self.direct {
            direct.extend(store::rooms::number(self.rows, room_id)?);
        }
        for (name, list) in &self.request.lists {
            let filters = list.filters.as_ref();
            let passing = listed.iter().filter(|(number, room)| {
                room.is_current() && room.passes(filters, direct.contains(number))
            });
            let mut rooms: Vec<(RoomNumber, u64)> =
                passing.map(|(number, room)| (*number, room.bump)).collect();
            list::sort(&mut rooms);
            answer.lists.insert(name.clone(), List { count: rooms.len() });
            for (first, last) in &list.ranges {
                let count = last.saturating_add(1).saturating_sub(*first).min(WINDOW_MAX);
                for (number, _) in rooms.iter().skip(*first).take(count) {
                    wanted.entry(*number).or_default().merge(&list.details);
                }
            }
        }
        for (room_id, details) in self.request.room_subscriptions.iter().take(WINDOW_MAX) {
            let Some(number) = store::rooms::number(self.rows, room_id)? else { continue };
            if listed.get(&number).is_some_and(Listed::is_current) {
                wanted.entry(number).or_default().merge(details);
            }
        }
        Ok(wanted)
    }
}

fn direct_rooms(rows: &Snapshot, reader: &Reader) -> Result<HashSet<OwnedRoomId>, StoreError> {
    #[derive(Default, Deserialize)]
    struct Direct(BTreeMap<OwnedUserId, Vec<OwnedRoomId>>);
    let item = account_data::get(rows, reader.user.localpart(), None, "m.direct")?;
    let direct = item.and_then(|item| serde_json::from_slice::<Direct>(&item.content).ok());
    Ok(direct.unwrap_or_default().0.into_values().flatten().collect())
}
