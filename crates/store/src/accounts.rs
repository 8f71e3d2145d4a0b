//! Local accounts and their profiles, by localpart.

use std::collections::BTreeMap;

use bytes::Bytes;
use kv::{Batch, KeyWriter, Precondition, Snapshot, StoreError};
use serde::{Deserialize, Serialize};

use crate::{ACCOUNT, value};

/// A local user. The row stays when the account is deactivated, so that nobody takes its name.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    pub created_ms: u64,
    /// The password as an argon2id PHC string; `None` when one cannot log in with a password.
    pub password: Option<String>,
    /// May use the administrators' endpoints.
    pub admin: bool,
    /// May log in, but not write to others.
    pub suspended: bool,
    /// May do nothing but log out; the sessions are kept for when the lock is lifted.
    pub locked: bool,
    pub deactivated: bool,
}

/// What a user shows of himself: the JSON text of each field by its name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Profile {
    pub fields: BTreeMap<String, String>,
}

/// First byte of a key: an account, a profile, or that rooms have to follow one of them.
const ACCOUNT_ROW: u8 = b'a';
const PROFILE_ROW: u8 = b'p';
const UNFINISHED_ROW: u8 = b'u';

pub fn get(snapshot: &Snapshot, localpart: &str) -> Result<Option<Account>, StoreError> {
    let row = snapshot.get(ACCOUNT, &account_key(localpart))?;
    row.map(|row| value::decode(&row)).transpose()
}

/// Up to `limit` accounts whose localparts start with `prefix` and come after `after`, in order.
pub fn page(
    snapshot: &Snapshot,
    prefix: &str,
    after: Option<&str>,
    limit: usize,
) -> Result<Vec<(String, Account)>, StoreError> {
    let end = kv::after_prefix(&account_key(prefix));
    let from = match after {
        Some(after) => KeyWriter::new().rest(account_key(after)).u8(0).finish(),
        None => account_key(prefix),
    };
    let page = snapshot.scan(ACCOUNT, &from, &end, false, limit)?;
    let account = |(key, row): (Bytes, Bytes)| {
        let localpart = std::str::from_utf8(&key[1..]);
        let localpart = localpart.map_err(|_| value::corrupt("localpart"))?.to_owned();
        Ok((localpart, value::decode(&row)?))
    };
    page.rows.into_iter().map(account).collect()
}

pub fn put(batch: &mut Batch, localpart: &str, account: &Account) {
    batch.put(ACCOUNT, account_key(localpart), value::encode(account));
}

/// Lets the batch fail unless the account still is as it was read (`None`: does not exist yet).
pub fn require(batch: &mut Batch, localpart: &str, account: Option<&Account>) {
    let key = account_key(localpart);
    batch.require(match account {
        Some(account) => Precondition::Equals(ACCOUNT, key, value::encode(account)),
        None => Precondition::Absent(ACCOUNT, key),
    });
}

pub fn profile(snapshot: &Snapshot, localpart: &str) -> Result<Profile, StoreError> {
    let row = snapshot.get(ACCOUNT, &profile_key(localpart))?;
    row.map_or_else(|| Ok(Profile::default()), |row| value::decode(&row))
}

/// The profiles of several users, in their order; one round trip.
pub fn profiles(snapshot: &Snapshot, localparts: &[String]) -> Result<Vec<Profile>, StoreError> {
    let keys: Vec<Bytes> = localparts.iter().map(|localpart| profile_key(localpart)).collect();
    let rows = snapshot.multi_get(ACCOUNT, &keys)?.into_iter();
    rows.map(|row| row.map_or_else(|| Ok(Profile::default()), |row| value::decode(&row))).collect()
}

/// Replaces the profile; lets the batch fail unless it still is `replaced`.
pub fn put_profile(batch: &mut Batch, localpart: &str, profile: &Profile, replaced: &Profile) {
    let key = profile_key(localpart);
    batch.require(match replaced.fields.is_empty() {
        true => Precondition::Absent(ACCOUNT, key.clone()),
        false => Precondition::Equals(ACCOUNT, key.clone(), value::encode(replaced)),
    });
    if profile.fields.is_empty() {
        batch.delete(ACCOUNT, key);
    } else {
        batch.put(ACCOUNT, key, value::encode(profile));
    }
}

/// Notes that the user's member events have to follow what the batch changes, until
/// [`finish`] is committed.
pub fn put_unfinished(batch: &mut Batch, localpart: &str) {
    batch.put_stamped(ACCOUNT, unfinished_key(localpart), value::encode(&()));
}

/// The users whose member events have to follow, each with the position of the change.
pub fn unfinished(snapshot: &Snapshot) -> Result<Vec<(String, u64)>, StoreError> {
    let mut users = Vec::new();
    snapshot.scan_prefix(ACCOUNT, &[UNFINISHED_ROW], |key, row| {
        let localpart = std::str::from_utf8(&key[1..]);
        let localpart = localpart.map_err(|_| value::corrupt("localpart"))?;
        users.push((localpart.to_owned(), value::unstamp(&row)?.0));
        Ok(())
    })?;
    Ok(users)
}

/// When the user changed what his member events have to follow.
pub fn unfinished_of(snapshot: &Snapshot, localpart: &str) -> Result<Option<u64>, StoreError> {
    let row = snapshot.get(ACCOUNT, &unfinished_key(localpart))?;
    row.map(|row| Ok(value::unstamp(&row)?.0)).transpose()
}

/// The user's member events have followed what was changed at the position. The batch fails if
/// there was a later change.
pub fn finish(batch: &mut Batch, localpart: &str, position: u64) {
    let key = unfinished_key(localpart);
    let row = KeyWriter::new().u64(position).rest(value::encode(&())).finish();
    batch.require(Precondition::Equals(ACCOUNT, key.clone(), row));
    batch.delete(ACCOUNT, key);
}

fn unfinished_key(localpart: &str) -> Bytes {
    KeyWriter::new().u8(UNFINISHED_ROW).rest(localpart).finish()
}

fn account_key(localpart: &str) -> Bytes {
    KeyWriter::new().u8(ACCOUNT_ROW).rest(localpart).finish()
}

fn profile_key(localpart: &str) -> Bytes {
    KeyWriter::new().u8(PROFILE_ROW).rest(localpart).finish()
}
