//! Finding colleagues: a search over the homeserver's own users.
//!
//! <https://spec.matrix.org/v1.19/client-server-api/#user-directory>

use kv::{Snapshot, StoreError};
use ruma::OwnedUserId;
use store::accounts::{self, Profile};

use crate::{
    Context,
    profile::{AVATAR_URL, DISPLAY_NAME},
    sessions::Caller,
};

#[cfg(test)]
mod tests;

/// Accounts that one search looks at.
const ACCOUNTS_SEARCHED_MAX: usize = 50_000;
/// People that one answer names.
const RESULTS_MAX: usize = 100;

/// Somebody who was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Person {
    pub user_id: OwnedUserId,
    pub display_name: Option<String>,
    pub avatar_url: Option<String>,
}

pub struct UserDirectory {
    context: Context,
}

impl UserDirectory {
    pub fn new(context: Context) -> Self {
        Self { context }
    }

    /// The people whose name or id has the term in it, the best matches first; and whether there
    /// are more than `limit`.
    pub async fn search(
        &self,
        caller: &Caller,
        term: &str,
        limit: usize,
    ) -> Result<(Vec<Person>, bool), StoreError> {
        let (context, searcher) = (self.context.clone(), caller.localpart().to_owned());
        let term = term.trim().trim_start_matches('@').to_lowercase();
        let mut found = self.context.store.read(move |rows| find(&context, rows, &term)).await?;
        found.retain(|(_, person)| person.user_id.localpart() != searcher);
        found.sort_by(|(rank, person), (other_rank, other)| {
            (rank, &person.user_id).cmp(&(other_rank, &other.user_id))
        });
        let limit = limit.min(RESULTS_MAX);
        let limited = found.len() > limit;
        Ok((found.into_iter().take(limit).map(|(_, person)| person).collect(), limited))
    }
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
        let profiles = accounts::profiles(rows, &localparts)?;
        for (localpart, profile) in localparts.iter().zip(profiles) {
            let display_name = text(&profile, DISPLAY_NAME);
            if let Some(rank) = rank(context, localpart, display_name.as_deref(), term) {
                let avatar_url = text(&profile, AVATAR_URL);
                let user_id = context.user_id(localpart);
                found.push((rank, Person { user_id, display_name, avatar_url }));
            }
        }
    }
    Ok(found)
}

fn rank(context: &Context, localpart: &str, display_name: Option<&str>, term: &str) -> Option<u8> {
    let name = display_name.unwrap_or_default().to_lowercase();
    let starts_a_word = || name.split_whitespace().any(|word| word.starts_with(term));
    match () {
        () if localpart == term || name == term => Some(0),
        () if localpart.starts_with(term) || name.starts_with(term) => Some(1),
        () if starts_a_word() => Some(2),
        () if name.contains(term) => Some(3),
        () if format!("{localpart}:{}", context.server_name).contains(term) => Some(4),
        () => None,
    }
}

fn text(profile: &Profile, field: &str) -> Option<String> {
    serde_json::from_str(profile.fields.get(field)?).ok()
}
