//! Spaces: the tree of rooms below a room, and what is shown of a room to who may come in.
//!
//! A walk visits every room once, depth first. What this homeserver is not in, it asks for at other
//! servers, and keeps their answers for a while, so that the pages of a walk are one walk.
//! Specification: <https://spec.matrix.org/v1.19/client-server-api/#querying-the-rooms-within-a-space>.

use std::{
    collections::{HashMap, HashSet},
    num::NonZeroUsize,
    sync::Arc,
};

use kv::StoreError;
use lru::LruCache;
use model::membership::Membership;
use parking_lot::Mutex;
use ruma::{OwnedRoomId, OwnedServerName, RoomId, ServerName, UserId};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use self::look::Visitor;
use super::{Rooms, WriteError};

mod look;

#[cfg(test)]
mod tests;

/// What is shown of a room to those who may come in.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Summary {
    pub room_id: OwnedRoomId,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub canonical_alias: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub topic: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub avatar_url: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub room_type: Option<String>,
    #[serde(default = "public", skip_serializing_if = "Option::is_none")]
    pub join_rule: Option<String>,
    /// The rooms whose members may join, where the join rule is about such.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub allowed_room_ids: Vec<OwnedRoomId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub encryption: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub room_version: Option<String>,
    pub num_joined_members: u64,
    pub world_readable: bool,
    pub guest_can_join: bool,
}

/// "When not present, the room is assumed to be public."
fn public() -> Option<String> {
    Some("public".to_owned())
}

/// A room of a tree.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct SpaceRoom {
    #[serde(flatten)]
    pub summary: Summary,
    /// Its links to other rooms if it is a space: stripped `m.space.child` events, in their order.
    pub children_state: Vec<Value>,
}

/// A room and the rooms right below it, as one server tells another.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Level {
    pub room: SpaceRoom,
    pub children: Vec<Summary>,
    pub inaccessible_children: Vec<OwnedRoomId>,
}

#[derive(Clone, Debug)]
pub struct HierarchyQuery {
    pub room_id: OwnedRoomId,
    pub suggested_only: bool,
    pub max_depth: usize,
    pub limit: usize,
    /// How many rooms earlier pages had.
    pub skip: usize,
}

/// A page of a tree.
#[derive(Clone, Debug)]
pub struct Hierarchy {
    pub rooms: Vec<SpaceRoom>,
    /// There are more.
    pub more: bool,
}

/// Why a tree or a summary is not shown.
#[derive(Debug, thiserror::Error)]
pub enum SpaceError {
    /// The user may not see the room, or no server that was asked knows it.
    #[error("the room is not known, or not open to the user")]
    NotShown,
    #[error(transparent)]
    Write(#[from] WriteError),
}

impl From<StoreError> for SpaceError {
    fn from(error: StoreError) -> Self {
        Self::Write(error.into())
    }
}

/// Rooms that one walk visits, however it is paged.
const VISITED_MAX: usize = 2_000;
/// Questions to other servers in one walk.
const ASKED_MAX: usize = 30;
/// Servers that are asked for one room.
const SERVERS_MAX: usize = 3;
/// Answers of other servers that are kept, and for how long.
const KEPT_MAX: NonZeroUsize = NonZeroUsize::new(256).expect("not zero");
const KEPT_MS: u64 = 60 * 1000;

/// What other servers told of rooms, with the time.
pub(super) struct Levels(Mutex<LruCache<OwnedRoomId, (u64, Arc<Level>)>>);

impl Default for Levels {
    fn default() -> Self {
        Self(Mutex::new(LruCache::new(KEPT_MAX)))
    }
}

/// A link that a walk has yet to follow.
struct Link {
    room_id: OwnedRoomId,
    via: Vec<OwnedServerName>,
    depth: usize,
}

/// One walk through a tree.
struct Walk<'a> {
    rooms: &'a Rooms,
    user: &'a UserId,
    query: &'a HierarchyQuery,
    /// What the answers of other servers told of rooms without links of their own.
    told: HashMap<OwnedRoomId, Summary>,
    asked: usize,
}

impl Rooms {
    /// A page of the tree below a room, as far as the user may see it.
    pub async fn hierarchy(
        &self,
        user: &UserId,
        query: &HierarchyQuery,
    ) -> Result<Hierarchy, SpaceError> {
        let mut walk = Walk { rooms: self, user, query, told: HashMap::new(), asked: 0 };
        let top = Link { room_id: query.room_id.clone(), via: Vec::new(), depth: 0 };
        let (mut links, mut seen) = (vec![top], HashSet::new());
        let (mut found, mut page) = (0, Vec::new());
        while let Some(link) = links.pop() {
            if seen.len() >= VISITED_MAX || !seen.insert(link.room_id.clone()) {
                continue;
            }
            let Some(mut room) = walk.look(&link).await? else {
                if link.depth == 0 {
                    return Err(SpaceError::NotShown);
                }
                continue;
            };
            if query.suggested_only {
                room.children_state.retain(is_suggested);
            }
            if link.depth < query.max_depth {
                let below = room.children_state.iter().rev();
                links.extend(below.filter_map(|child| Link::of(child, link.depth + 1)));
            }
            if page.len() == query.limit {
                return Ok(Hierarchy { rooms: page, more: true });
            }
            if found >= query.skip {
                page.push(room);
            }
            found += 1;
        }
        Ok(Hierarchy { rooms: page, more: false })
    }

    /// What is shown of one room, and the user's membership.
    pub async fn room_summary(
        &self,
        user: &UserId,
        room_id: &RoomId,
        via: Vec<OwnedServerName>,
    ) -> Result<(Summary, Membership), SpaceError> {
        let query = HierarchyQuery {
            room_id: room_id.to_owned(),
            suggested_only: false,
            max_depth: 0,
            limit: 1,
            skip: 0,
        };
        let mut walk = Walk { rooms: self, user, query: &query, told: HashMap::new(), asked: 0 };
        let link = Link { room_id: room_id.to_owned(), via, depth: 0 };
        let room = walk.look(&link).await?.ok_or(SpaceError::NotShown)?;
        let membership = match self.find(room_id).await? {
            Some(room) => self.membership(&room, user).await?,
            None => None,
        };
        let membership = membership.map_or(Membership::Leave, |row| look::membership(row.kind));
        Ok((room.summary, membership))
    }

    /// A room and those right below it, as far as a server may let its users see them; `None` if it
    /// may not see the room.
    pub async fn level_for(
        &self,
        server: &ServerName,
        room_id: &RoomId,
        suggested_only: bool,
    ) -> Result<Option<Level>, StoreError> {
        let (us, salt) = (self.context().server_name.clone(), self.context().state_salt);
        let (server, room_id) = (server.to_owned(), room_id.to_owned());
        let store = &self.context().store;
        store
            .read(move |snapshot| {
                let visitor = Visitor::Server(&server);
                let Some(rows) = look::resident(snapshot, salt, &us, &room_id)? else {
                    return Ok(None);
                };
                let Some(mut room) = look::room(rows, visitor)? else { return Ok(None) };
                if suggested_only {
                    room.children_state.retain(is_suggested);
                }
                let (mut children, mut inaccessible) = (Vec::new(), Vec::new());
                for link in room.children_state.iter().filter_map(|child| Link::of(child, 1)) {
                    let Some(rows) = look::resident(snapshot, salt, &us, &link.room_id)? else {
                        continue;
                    };
                    match look::room(rows, visitor)? {
                        Some(child) => children.push(child.summary),
                        None => inaccessible.push(link.room_id),
                    }
                }
                Ok(Some(Level { room, children, inaccessible_children: inaccessible }))
            })
            .await
    }

    async fn ask_level(&self, servers: &[OwnedServerName], room_id: &RoomId) -> Option<Arc<Level>> {
        let now_ms = self.context().clock.now_ms();
        let kept = self.inner.levels.0.lock().get(room_id).cloned();
        if let Some((since_ms, level)) = kept
            && now_ms < since_ms + KEPT_MS
        {
            return Some(level);
        }
        let remote = self.remote().ok()?;
        for server in servers.iter().take(SERVERS_MAX) {
            match remote.hierarchy(server, room_id).await {
                Ok(level) if level.room.summary.room_id == room_id => {
                    let level = Arc::new(level);
                    let kept = (now_ms, Arc::clone(&level));
                    self.inner.levels.0.lock().put(room_id.to_owned(), kept);
                    return Some(level);
                }
                Ok(_) => tracing::info!(%server, %room_id, "another room than was asked for"),
                Err(error) => tracing::debug!(%server, %room_id, %error, "no view of a room"),
            }
        }
        None
    }
}

impl Walk<'_> {
    /// The room that the link leads to, if the user may see it.
    async fn look(&mut self, link: &Link) -> Result<Option<SpaceRoom>, SpaceError> {
        let context = self.rooms.context();
        let (us, salt) = (context.server_name.clone(), context.state_salt);
        let (user, room_id) = (self.user.to_owned(), link.room_id.clone());
        let here = context.store.read(move |snapshot| {
            let Some(rows) = look::resident(snapshot, salt, &us, &room_id)? else {
                return Ok::<_, StoreError>(None);
            };
            look::room(rows, Visitor::User(&user)).map(Some)
        });
        if let Some(here) = here.await? {
            return Ok(here);
        }
        let Some(room) = self.look_elsewhere(link).await? else { return Ok(None) };
        let (user, summary) = (self.user.to_owned(), room.summary.clone());
        let open = context
            .store
            .read(move |snapshot| look::is_open(snapshot, salt, &summary, Visitor::User(&user)));
        Ok(open.await?.then_some(room))
    }

    async fn look_elsewhere(&mut self, link: &Link) -> Result<Option<SpaceRoom>, SpaceError> {
        let is_leaf = |summary: &Summary| {
            link.depth >= self.query.max_depth || summary.room_type.as_deref() != Some(SPACE)
        };
        if let Some(summary) = self.told.get(&link.room_id).filter(|summary| is_leaf(summary)) {
            return Ok(Some(SpaceRoom { summary: summary.clone(), children_state: Vec::new() }));
        }
        if self.asked >= ASKED_MAX {
            return Ok(None);
        }
        self.asked += 1;
        let room = self.rooms.find(&link.room_id).await?;
        let (room, via) = (room.as_deref(), &link.via);
        let servers = self.rooms.servers_to_ask(room, &link.room_id, self.user, via).await?;
        let Some(level) = self.rooms.ask_level(&servers, &link.room_id).await else {
            return Ok(None);
        };
        for child in &level.children {
            self.told.insert(child.room_id.clone(), child.clone());
        }
        Ok(Some(level.room.clone()))
    }
}

/// The type of rooms that are spaces.
const SPACE: &str = "m.space";

impl Link {
    fn of(child: &Value, depth: usize) -> Option<Self> {
        let via = child["content"]["via"].as_array()?.iter();
        let via = via.filter_map(|server| ServerName::parse(server.as_str()?).ok()).collect();
        Some(Self { room_id: RoomId::parse(child["state_key"].as_str()?).ok()?, via, depth })
    }
}

fn is_suggested(child: &Value) -> bool {
    child["content"]["suggested"] == true
}
