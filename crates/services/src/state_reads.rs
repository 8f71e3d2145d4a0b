//! Reading a room's state and its members: the present ones, those at a point of the timeline, and
//! those that a user saw last.
//!
//! Specification: <https://spec.matrix.org/v1.19/client-server-api/#getting-events-for-a-room>.

use std::collections::BTreeMap;

use kv::StoreError;
use model::{
    EventNumber,
    membership::Membership,
    state_tree::{Entry, NodeId, StateTree},
};
use ruma::OwnedRoomId;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use store::memberships::{self, Kind};

use crate::{
    Context,
    client_event::{EventFormat, EventView},
    reader::{Reader, RoomView},
    sync::token::SyncToken,
    timeline::{ReadError, open, token},
};

#[cfg(test)]
mod tests;

/// Reads the states of one homeserver's rooms. Cheap to clone.
#[derive(Clone)]
pub struct StateReads {
    context: Context,
}

#[derive(Clone, Debug)]
pub struct MembersQuery {
    pub room_id: OwnedRoomId,
    /// A token of the timeline; `None`: now.
    pub at: Option<String>,
    pub membership: Option<Membership>,
    pub not_membership: Option<Membership>,
}

/// How a joined user shows himself in the room. Clients rely on the keys being there, if only with
/// `null`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Face {
    pub avatar_url: Option<String>,
    pub display_name: Option<String>,
}

/// Which part of a state event is asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StateFormat {
    #[default]
    Content,
    Event,
}

impl StateReads {
    pub fn new(context: Context) -> Self {
        Self { context }
    }

    /// All state events that the reader may see.
    pub async fn state(
        &self,
        reader: Reader,
        room_id: OwnedRoomId,
    ) -> Result<Vec<Box<RawValue>>, ReadError> {
        self.read(reader, room_id, |room, root| {
            let entries = StateTree::new(room.rows.salt).entries(&room.rows, root);
            let numbers = entries.map(|item| Ok(item?.entry.event));
            let numbers = numbers.collect::<Result<Vec<_>, StoreError>>()?;
            Ok(render(room, numbers)?)
        })
        .await
    }

    /// One state event, or its content; `None` if the state has none there.
    pub async fn state_event(
        &self,
        reader: Reader,
        room_id: OwnedRoomId,
        (event_type, state_key): (String, String),
        format: StateFormat,
    ) -> Result<Option<Box<RawValue>>, ReadError> {
        self.read(reader, room_id, move |room, root| {
            let entry = room.rows.state(root).entry(&event_type, &state_key)?;
            let Some(event) = entry.map(|entry| room.stored(entry.event)).transpose()?.flatten()
            else {
                return Ok(None);
            };
            Ok(Some(match format {
                StateFormat::Content => EventView::read(&event)?.content.to_raw(),
                StateFormat::Event => room.render_state(&[event], EventFormat::Full)?.remove(0),
            }))
        })
        .await
    }

    /// The member events of a room.
    pub async fn members(
        &self,
        reader: Reader,
        query: MembersQuery,
    ) -> Result<Vec<Box<RawValue>>, ReadError> {
        let room_id = query.room_id.clone();
        self.read(reader, room_id, move |room, root| {
            let root = match query.at.as_deref() {
                Some(at) => state_at_token(room, root, at)?,
                None => root,
            };
            let members = member_entries(room, root)?.into_iter();
            let wanted = members.filter(|(_, entry)| query.wants(entry));
            Ok(render(room, wanted.map(|(_, entry)| entry.event).collect())?)
        })
        .await
    }

    /// The joined members and how they show themselves, for somebody who is joined too.
    pub async fn joined_members(
        &self,
        reader: Reader,
        room_id: OwnedRoomId,
    ) -> Result<BTreeMap<String, Face>, ReadError> {
        self.read(reader, room_id, |room, root| {
            if !room.oracle.is_joined()? {
                return Err(ReadError::NotAllowed);
            }
            let joined = member_entries(room, root)?.into_iter();
            let joined = joined.filter(|(_, entry)| entry.membership == Some(Membership::Join));
            let numbers: Vec<EventNumber> = joined.map(|(_, entry)| entry.event).collect();
            let mut faces = BTreeMap::new();
            for chunk in numbers.chunks(CHUNK) {
                for event in room.stored_all(chunk)? {
                    let view = EventView::read(&event)?;
                    let Some(user) = &view.state_key else { continue };
                    faces.insert(user.to_string(), Face::of(&view));
                }
            }
            Ok(faces)
        })
        .await
    }

    /// The rooms that the user is joined to.
    pub async fn joined_rooms(&self, localpart: &str) -> Result<Vec<String>, StoreError> {
        let localpart = localpart.to_owned();
        self.context
            .store
            .read(move |rows| {
                let memberships = memberships::of_user(rows, &localpart)?.into_iter();
                let joined = memberships.filter(|(_, membership)| membership.kind == Kind::Join);
                let rooms: Vec<_> = joined.map(|(room, _)| room).collect();
                let heads = store::rooms::heads(rows, &rooms)?;
                Ok(heads.into_iter().flatten().map(|head| head.room_id).collect())
            })
            .await
    }

    /// Asks something of the state that the reader may see.
    async fn read<T: Send + 'static>(
        &self,
        reader: Reader,
        room_id: OwnedRoomId,
        question: impl FnOnce(&RoomView<'_>, NodeId) -> Result<T, ReadError> + Clone + Send + 'static,
    ) -> Result<T, ReadError> {
        let context = self.context.clone();
        self.context
            .store
            .read(move |rows| {
                let room = open(&context, rows, &reader, &room_id)?;
                let root = room.state_root()?.ok_or(ReadError::NotAllowed)?;
                question(&room, root)
            })
            .await
    }
}

/// Events that are read and shown at a time.
const CHUNK: usize = 1_000;

fn render(
    room: &RoomView<'_>,
    mut numbers: Vec<EventNumber>,
) -> Result<Vec<Box<RawValue>>, StoreError> {
    numbers.sort_unstable();
    let mut shown = Vec::with_capacity(numbers.len());
    for chunk in numbers.chunks(CHUNK) {
        shown.extend(room.render_state(&room.stored_all(chunk)?, EventFormat::Full)?);
    }
    Ok(shown)
}

/// The state at the point of a token, for who sees the room's state up to `root`. A token of /sync
/// means the state that was told with it; one of a timeline, the state of the commit that it points
/// into, so that the beginning of a room's timeline has the members that the room began with.
fn state_at_token(room: &RoomView<'_>, root: NodeId, at: &str) -> Result<NodeId, ReadError> {
    let order = token::parse(at).ok_or(ReadError::BadToken)?;
    let is_over = room.oracle.joined_until()?.is_none_or(|until| order > until);
    if is_over {
        return Ok(root);
    }
    let position = match at.parse::<SyncToken>() {
        Ok(token) => Some(token.log),
        Err(_) => u64::try_from(order.0).ok(),
    };
    Ok(match position {
        Some(position) => room.state_at(position)?,
        // In what was fetched from before this homeserver came.
        None => room.state_before(token::after(order))?.unwrap_or(root),
    })
}

/// Every user that the state has a member event of.
pub(crate) fn member_entries(
    room: &RoomView<'_>,
    root: NodeId,
) -> Result<Vec<(String, Entry)>, StoreError> {
    let tree = StateTree::new(room.rows.salt);
    let members = tree.entries_of_type(&room.rows, root, "m.room.member");
    members.map(|item| item.map(|item| (item.state_key, item.entry))).collect()
}

impl MembersQuery {
    /// "When specified alongside `not_membership`, the two parameters create an 'or' condition."
    fn wants(&self, entry: &Entry) -> bool {
        let is = |membership: Membership| entry.membership == Some(membership);
        match (self.membership, self.not_membership) {
            (None, None) => true,
            (Some(wanted), None) => is(wanted),
            (None, Some(unwanted)) => !is(unwanted),
            (Some(wanted), Some(unwanted)) => is(wanted) || !is(unwanted),
        }
    }
}

impl Face {
    fn of(member: &EventView<'_>) -> Self {
        #[derive(Default, Deserialize)]
        struct Content {
            avatar_url: Option<String>,
            displayname: Option<String>,
        }
        let content = serde_json::from_str(member.content.get());
        let Content { avatar_url, displayname } = content.unwrap_or_default();
        Self { avatar_url, display_name: displayname }
    }
}
