//! Finding people: a search over the homeserver's own users, or those of them that one has to do
//! with, and over the people of other servers with whom one shares a room.
//!
//! <https://spec.matrix.org/v1.19/client-server-api/#user-directory>

use std::collections::{BTreeMap, BTreeSet};

use kv::{Snapshot, StoreError};
use model::{RoomNumber, membership::Membership, state_tree::StateTree};
use ruma::{OwnedUserId, UserId};
use store::{
    accounts::{self, Profile},
    memberships::{self, Kind},
};

use crate::{
    Context,
    profile::{AVATAR_URL, DISPLAY_NAME},
    room_rows::RoomRows,
    sessions::Caller,
};

#[cfg(test)]
mod tests;

/// Accounts that one search looks at.
const ACCOUNTS_SEARCHED_MAX: usize = 50_000;
/// People that one answer names.
const RESULTS_MAX: usize = 100;
/// Members of rooms that one search looks at.
const MEMBERS_SEARCHED_MAX: usize = 20_000;
const MEMBER: &str = "m.room.member";

/// Somebody who was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Person {
    pub user_id: OwnedUserId,
    pub display_name: Option<String>,
    pub avatar_url: Option<String>,
}

/// Which users of this homeserver are found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    Everybody,
    /// Those who share a room with the searcher, and those in published rooms.
    Acquaintances,
}

pub struct UserDirectory {
    context: Context,
    scope: Scope,
}

impl UserDirectory {
    pub fn new(context: Context, scope: Scope) -> Self {
        Self { context, scope }
    }

    /// The people whose name or id has the term in it, each once, the best matches first; and whether there
    /// are more than `limit`.
    pub async fn search(
        &self,
        caller: &Caller,
        term: &str,
        limit: usize,
    ) -> Result<(Vec<Person>, bool), StoreError> {
        let (context, searcher) = (self.context.clone(), caller.localpart().to_owned());
        let term = term.trim().trim_start_matches('@').to_lowercase();
        let scope = self.scope;
        let found = self.context.store.read(move |rows| {
            let mut found = acquaintances(&context, rows, &searcher, (scope, &term))?;
            if scope == Scope::Everybody {
                found.extend(find(&context, rows, &term)?);
            }
            Ok::<_, StoreError>((found, searcher))
        });
        let (mut found, searcher) = found.await?;
        found.retain(|(_, person)| person.user_id.localpart() != searcher);
        found.sort_by(|(rank, person), (other_rank, other)| {
            (rank, &person.user_id).cmp(&(other_rank, &other.user_id))
        });
        let limit = limit.min(RESULTS_MAX);
        let limited = found.len() > limit;
        Ok((found.into_iter().take(limit).map(|(_, person)| person).collect(), limited))
    }
}

/// The matches among those in the searcher's rooms and in published ones, each with how good it is.
/// If everybody of this homeserver is found anyway, only those of other servers.
fn acquaintances(
    context: &Context,
    rows: &Snapshot,
    searcher: &str,
    (scope, term): (Scope, &str),
) -> Result<Vec<(u8, Person)>, StoreError> {
    let own = memberships::of_user(rows, searcher)?.into_iter();
    let own = own.filter(|(_, row)| row.kind == Kind::Join).map(|(room, _)| room);
    let mut rooms: BTreeSet<RoomNumber> = own.collect();
    rooms.extend(store::aliases::published(rows)?);
    let (mut local, mut found) = (BTreeSet::new(), BTreeMap::new());
    let mut left = MEMBERS_SEARCHED_MAX;
    for room in rooms {
        if scope == Scope::Acquaintances {
            local.extend(memberships::joined_locally(rows, room)?);
        }
        let Some(head) = store::rooms::head(rows, room)? else { continue };
        let room = RoomRows { snapshot: rows, room, salt: context.state_salt };
        let members = StateTree::new(room.salt).entries_of_type(&room, head.state, MEMBER);
        let mut numbers = Vec::new();
        for member in members.take(left) {
            let member = member?;
            left -= 1;
            let joined = member.entry.membership == Some(Membership::Join);
            let user = <&UserId>::try_from(member.state_key.as_str());
            if joined && user.is_ok_and(|user| !context.is_local(user)) {
                numbers.push(member.entry.event);
            }
        }
        for event in room.events(&numbers)? {
            let person = event.pdu.state_key.as_deref().and_then(|key| UserId::parse(key).ok());
            let Some(user_id) = person else { continue };
            let face: Face = event.pdu.content_as().unwrap_or_default();
            let id = format!("{}:{}", user_id.localpart(), user_id.server_name());
            if let Some(rank) = rank(user_id.localpart(), &id, face.displayname.as_deref(), term) {
                let (display_name, avatar_url) = (face.displayname, face.avatar_url);
                let person = Person { user_id: user_id.clone(), display_name, avatar_url };
                found.insert(user_id, (rank, person));
            }
        }
    }
    let mut found: Vec<(u8, Person)> = found.into_values().collect();
    let local: Vec<String> = local.into_iter().collect();
    for chunk in local.chunks(kv::PAGE_ROWS_MAX) {
        let mut active = Vec::with_capacity(chunk.len());
        for localpart in chunk {
            let account = accounts::get(rows, localpart)?;
            active.extend(account.filter(|a| !a.deactivated).map(|_| localpart.clone()));
        }
        found.extend(matches(context, rows, &active, term)?);
    }
    Ok(found)
}

/// How a member shows himself in a room.
#[derive(Default, serde::Deserialize)]
struct Face {
    displayname: Option<String>,
    avatar_url: Option<String>,
}

/// All matches, each with how good it is (less is better).
fn find(context: &Context, rows: &Snapshot, term: &str) -> Result<Vec<(u8, Person)>, StoreError> {
    let mut found = Vec::new();
    let mut after: Option<String> = None;
    for _ in 0..ACCOUNTS_SEARCHED_MAX / kv::PAGE_ROWS_MAX {
        let accounts = accounts::page(rows, "", after.as_deref(), kv::PAGE_ROWS_MAX)?;
        let Some((last, _)) = accounts.last() else { break };
        after = Some(last.clone());
        let active = accounts.into_iter().filter(|(_, account)| !account.deactivated);
        let localparts: Vec<String> = active.map(|(localpart, _)| localpart).collect();
        found.extend(matches(context, rows, &localparts, term)?);
    }
    Ok(found)
}

/// The matches among these local users.
fn matches(
    context: &Context,
    rows: &Snapshot,
    localparts: &[String],
    term: &str,
) -> Result<Vec<(u8, Person)>, StoreError> {
    let mut found = Vec::new();
    for (localpart, profile) in localparts.iter().zip(accounts::profiles(rows, localparts)?) {
        let display_name = text(&profile, DISPLAY_NAME);
        let id = format!("{localpart}:{}", context.server_name);
        if let Some(rank) = rank(localpart, &id, display_name.as_deref(), term) {
            let avatar_url = text(&profile, AVATAR_URL);
            let user_id = context.user_id(localpart);
            found.push((rank, Person { user_id, display_name, avatar_url }));
        }
    }
    Ok(found)
}

/// How well the term fits; `id` is the user's id without its sigil.
fn rank(localpart: &str, id: &str, display_name: Option<&str>, term: &str) -> Option<u8> {
    let name = display_name.unwrap_or_default().to_lowercase();
    let starts_a_word = || name.split_whitespace().any(|word| word.starts_with(term));
    match () {
        () if localpart == term || name == term => Some(0),
        () if localpart.starts_with(term) || name.starts_with(term) => Some(1),
        () if starts_a_word() => Some(2),
        () if name.contains(term) => Some(3),
        () if id.contains(term) => Some(4),
        () => None,
    }
}

fn text(profile: &Profile, field: &str) -> Option<String> {
    serde_json::from_str(profile.fields.get(field)?).ok()
}
