//! Signing keys: ours, published; other servers', fetched from themselves, kept, and believed only
//! within their time.
//!
//! <https://spec.matrix.org/v1.19/server-server-api/#retrieving-server-keys>

use std::{
    collections::{BTreeMap, HashMap},
    num::NonZeroUsize,
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use lru::LruCache;
use parking_lot::Mutex;
use ruma::{
    OwnedServerName, ServerName,
    api::federation::discovery::{get_remote_server_keys_batch, get_server_keys},
    serde::Base64,
    signatures::PublicKeyMap,
};
use services::{
    Context,
    identity::{IdentityError, OldKey},
    server_keys::{self, Kept, KnownKey, ServerKeys, ServerKeysError},
};

use crate::{
    client::{FederationClient, RequestError},
    flights::Flights,
};

pub mod document;
#[cfg(test)]
mod tests;

use document::{DocumentError, Stated};

/// Servers whose keys are held in memory; the others' are in the store.
const SERVERS_MAX: NonZeroUsize = NonZeroUsize::new(2_048).unwrap();
/// Keys that are remembered of one server; the oldest are forgotten.
const KEYS_MAX: usize = 64;
const FETCH_TIME_MAX: Duration = Duration::from_secs(20);
/// Servers that are asked for their keys at once, for one batch of events.
const FETCHES_AT_ONCE: usize = 16;
/// How long a server is not asked again that did not have the key that was looked for.
const REFETCH_PAUSE_MS: u64 = 60_000;
/// How long a server is not asked that did not answer: doubled with each failure.
const FAILURE_PAUSE_MS: u64 = 1_000;
const FAILURE_PAUSE_MS_MAX: u64 = 5 * 60_000;
/// A notary that has not answered for so long is not waited for: in a closed network, the one that
/// is configured by default is never reached.
const NOTARY_AWAY_MS_MAX: u64 = 15 * 60_000;
/// How long our own document holds.
const OWN_VALID_MS: u64 = 24 * 60 * 60 * 1_000;
/// A document may hold for a week at most, whatever it says.
const VALID_MS_MAX: u64 = 7 * 24 * 60 * 60 * 1_000;

/// At which moment a key has to have been in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// Now: a request, or another server's document.
    Now,
    /// When an event claims to have been sent.
    At(u64),
}

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    #[error("the server has no such key that was in use at the time")]
    NoSuchKey,
    #[error("the server's keys could not be fetched lately")]
    NotNow,
    #[error("the server's keys cannot be fetched")]
    Fetch(#[from] RequestError),
    #[error("neither the server nor a notary that may have its keys answers")]
    NotaryAway,
    #[error("the server's key document is not valid")]
    Document(#[from] DocumentError),
    #[error(transparent)]
    Kept(#[from] ServerKeysError),
    #[error(transparent)]
    Identity(#[from] IdentityError),
}

/// The keys that may verify an event.
#[derive(Debug)]
pub struct EventKeys {
    pub keys: PublicKeyMap,
    /// Others could not be had now, and may exist.
    pub some_may_come: bool,
    /// Some of them a notary may have, which does not answer now.
    pub notary_is_away: bool,
}

/// The keys that one homeserver knows.
pub struct Keys {
    context: Context,
    client: FederationClient,
    /// Servers that are asked for keys of servers that do not answer.
    notaries: Vec<OwnedServerName>,
    /// Since when notaries do not answer.
    silent_since_ms: Mutex<HashMap<OwnedServerName, u64>>,
    known: Mutex<LruCache<OwnedServerName, Known>>,
    flights: Flights<OwnedServerName>,
}

#[derive(Clone, Default)]
struct Known {
    kept: Option<Kept>,
    /// Not to be asked again before.
    next_fetch_ms: u64,
    failures: u32,
    /// The last time, a notary that may have the keys did not answer either.
    notary_was_away: bool,
}

impl Keys {
    pub fn new(
        context: Context,
        client: FederationClient,
        notaries: Vec<OwnedServerName>,
    ) -> Arc<Self> {
        let known = Mutex::new(LruCache::new(SERVERS_MAX));
        let (silent_since_ms, flights) = (Mutex::default(), Flights::new());
        Arc::new(Self { context, client, notaries, silent_since_ms, known, flights })
    }

    /// One key of a server, if it was in use at that moment.
    pub async fn key(
        &self,
        server: &ServerName,
        key_id: &str,
        when: When,
    ) -> Result<[u8; 32], KeyError> {
        if server == self.context.server_name {
            return self.own_key(key_id, when).await;
        }
        let find = |known: &Known| self.find(known, key_id, when);
        if let Some(key) = find(&self.known(server).await?) {
            return Ok(key);
        }
        let known = self.fetch_unless(server, |known| find(known).is_some()).await?;
        find(&known).ok_or(KeyError::NoSuchKey)
    }

    /// [`key`](Self::key), if it is in memory.
    pub fn key_at_hand(&self, server: &ServerName, key_id: &str, when: When) -> Option<[u8; 32]> {
        if server == self.context.server_name {
            let current = self.context.signing_key.current();
            return (key_id == current.key_id().as_str()).then(|| current.public_key());
        }
        let mut known = self.known.lock();
        known.get(server).and_then(|known| self.find(known, key_id, when))
    }

    /// The keys that verify an event: those of each of these (server, key id) that were in use
    /// when the event claims to have been sent.
    pub async fn of_events(
        &self,
        wanted: impl IntoIterator<Item = (OwnedServerName, String, u64)>,
    ) -> EventKeys {
        let mut keys = PublicKeyMap::new();
        let (mut some_may_come, mut notary_is_away) = (false, false);
        let mut fetched = stream::iter(wanted)
            .map(async |(server, key_id, sent_ms)| {
                let key = self.key(&server, &key_id, When::At(sent_ms)).await;
                (server, key_id, key)
            })
            .buffer_unordered(FETCHES_AT_ONCE);
        while let Some((server, key_id, key)) = fetched.next().await {
            match key {
                Ok(key) => {
                    let of_server: &mut BTreeMap<_, _> = keys.entry(server.into()).or_default();
                    of_server.insert(key_id, Base64::new(key.to_vec()));
                }
                Err(error) => {
                    some_may_come |= !matches!(error, KeyError::NoSuchKey);
                    notary_is_away |= matches!(error, KeyError::NotaryAway);
                    tracing::debug!(%server, key_id, error = &error as &dyn std::error::Error, "no key");
                }
            }
        }
        EventKeys { keys, some_may_come, notary_is_away }
    }

    /// Our own key document, signed now.
    pub async fn own_document(&self) -> Result<Bytes, KeyError> {
        let old = services::identity::old_keys(&self.context).await?;
        let valid_until_ms = self.context.clock.now_ms() + OWN_VALID_MS;
        Ok(document::write(&self.context, &old, valid_until_ms)?)
    }

    /// Another server's newest document, for whoever asks us as a notary: fetched if the one that
    /// we have does not hold until `minimum_ms`. `None` when it cannot be had.
    pub async fn document_of(
        &self,
        server: &ServerName,
        minimum_ms: u64,
    ) -> Result<Option<Bytes>, KeyError> {
        if server == self.context.server_name {
            return self.own_document().await.map(Some);
        }
        let holds = |known: &Known| {
            known.kept.as_ref().is_some_and(|kept| kept.keys.valid_until_ms >= minimum_ms)
        };
        let known = self.known(server).await?;
        let newest = if holds(&known) {
            known
        } else {
            match self.fetch_unless(server, holds).await {
                Ok(fetched) => fetched,
                Err(error) => {
                    tracing::debug!(%server, error = &error as &dyn std::error::Error, "no keys");
                    // What is out of date still verifies old events.
                    known
                }
            }
        };
        let Some(kept) = newest.kept else { return Ok(None) };
        Ok(Some(document::countersign(&self.context, &kept.document)?))
    }

    async fn own_key(&self, key_id: &str, when: When) -> Result<[u8; 32], KeyError> {
        if key_id == self.context.signing_key.current().key_id().as_str() {
            return Ok(self.context.signing_key.current().public_key());
        }
        let old = services::identity::old_keys(&self.context).await?;
        let fits = |key: &&OldKey| {
            key_id.strip_prefix("ed25519:") == Some(key.version.as_str())
                && matches!(when, When::At(sent_ms) if sent_ms <= key.expired_ms)
        };
        old.iter().find(fits).map(|key| key.public).ok_or(KeyError::NoSuchKey)
    }

    fn find(&self, known: &Known, key_id: &str, when: When) -> Option<[u8; 32]> {
        let keys = &known.kept.as_ref()?.keys.keys;
        let key = keys.iter().find(|key| key.id == key_id)?;
        let in_use = match when {
            When::Now => !key.old && key.until_ms >= self.context.clock.now_ms(),
            When::At(sent_ms) => key.until_ms >= sent_ms,
        };
        in_use.then_some(key.public)
    }

    /// What is known without asking anybody.
    async fn known(&self, server: &ServerName) -> Result<Known, KeyError> {
        if let Some(known) = self.known.lock().get(server) {
            return Ok(known.clone());
        }
        let kept = server_keys::get(&self.context, server.as_str()).await?;
        let mut all = self.known.lock();
        let known = all.get_or_insert_mut(server.to_owned(), || Known { kept, ..Known::default() });
        Ok(known.clone())
    }

    /// Asks for the server's keys, unless someone has just asked and found what is looked for.
    async fn fetch_unless(
        &self,
        server: &ServerName,
        found: impl Fn(&Known) -> bool,
    ) -> Result<Known, KeyError> {
        let _flight = self.flights.board(server.to_owned()).await;
        let mut known = self.known(server).await?;
        if found(&known) {
            return Ok(known);
        }
        let now_ms = self.context.clock.now_ms();
        if now_ms < known.next_fetch_ms {
            return Err(match known.failures {
                0 => KeyError::NoSuchKey,
                _ if known.notary_was_away => KeyError::NotaryAway,
                _ => KeyError::NotNow,
            });
        }
        let fetched = self.fetch(server).await;
        let now_ms = self.context.clock.now_ms();
        let result = match fetched {
            Ok((stated, document)) => {
                let kept = merge(known.kept.take(), stated, document, now_ms);
                server_keys::keep(&self.context, server.as_str(), &kept).await?;
                known = Known { kept: Some(kept), ..Known::default() };
                // Only who was asked in vain is left alone: the next key may be as new as this one.
                if !found(&known) {
                    known.next_fetch_ms = now_ms + REFETCH_PAUSE_MS;
                }
                Ok(known.clone())
            }
            Err(error) => {
                known.failures = known.failures.saturating_add(1);
                let doublings = (known.failures - 1).min(16);
                let pause_ms = (FAILURE_PAUSE_MS << doublings).min(FAILURE_PAUSE_MS_MAX);
                known.next_fetch_ms = now_ms + pause_ms;
                known.notary_was_away = matches!(error, KeyError::NotaryAway);
                Err(error)
            }
        };
        self.known.lock().put(server.to_owned(), known);
        result
    }

    /// From the server itself, or else from a notary.
    async fn fetch(&self, server: &ServerName) -> Result<(Stated, Bytes), KeyError> {
        let direct = self.fetch_directly(server).await;
        let Err(error) = direct else { return direct };
        let mut is_away = false;
        for notary in &self.notaries {
            if notary == server || *notary == self.context.server_name {
                continue;
            }
            let fetched = self.fetch_from_notary(notary, server).await;
            let is_silent = matches!(fetched, Err(KeyError::Fetch(_)));
            is_away |= self.is_away(notary, is_silent);
            match fetched {
                Ok(found) => return Ok(found),
                Err(error) => {
                    let error = &error as &dyn std::error::Error;
                    tracing::debug!(%notary, %server, error, "the notary does not help");
                }
            }
        }
        Err(if is_away { KeyError::NotaryAway } else { error })
    }

    /// Whether a notary that was asked just now will answer later.
    fn is_away(&self, notary: &ServerName, is_silent: bool) -> bool {
        let now_ms = self.context.clock.now_ms();
        let mut silent_since_ms = self.silent_since_ms.lock();
        if !is_silent {
            silent_since_ms.remove(notary);
            return false;
        }
        let since_ms = *silent_since_ms.entry(notary.to_owned()).or_insert(now_ms);
        now_ms < since_ms + NOTARY_AWAY_MS_MAX
    }

    async fn fetch_directly(&self, server: &ServerName) -> Result<(Stated, Bytes), KeyError> {
        let request = get_server_keys::v2::Request::new();
        let answer = self.client.send_unsigned(server, request, FETCH_TIME_MAX).await?;
        Ok(document::read(server, answer.server_key.json().get().as_bytes())?)
    }

    /// The newest document of the server that the notary has and has signed.
    async fn fetch_from_notary(
        &self,
        notary: &ServerName,
        server: &ServerName,
    ) -> Result<(Stated, Bytes), KeyError> {
        let (notary_keys, _) = self.fetch_directly(notary).await?;
        let wanted = BTreeMap::from([(server.to_owned(), BTreeMap::new())]);
        let request = get_remote_server_keys_batch::v2::Request::new(wanted);
        let answer = self.client.send_unsigned(notary, request, FETCH_TIME_MAX).await?;
        let mut newest: Option<(Stated, Bytes)> = None;
        for raw in &answer.server_keys {
            let json = raw.json().get().as_bytes();
            // Its own server's signature is checked all the same: a notary can only repeat.
            let Ok((stated, document)) = document::read(server, json) else { continue };
            document::check_notary(notary, &notary_keys, json)?;
            if newest.as_ref().is_none_or(|(known, _)| known.valid_until_ms < stated.valid_until_ms)
            {
                newest = Some((stated, document));
            }
        }
        newest.ok_or(KeyError::NoSuchKey)
    }
}

/// What is known after a new document. A key that it no longer names stays known until the time
/// to which earlier documents vouched for it.
fn merge(before: Option<Kept>, stated: Stated, document: Bytes, now_ms: u64) -> Kept {
    let valid_until_ms = stated.valid_until_ms.min(now_ms + VALID_MS_MAX);
    let mut keys: Vec<KnownKey> = Vec::new();
    for (id, public) in stated.current {
        keys.push(KnownKey { id, public, until_ms: valid_until_ms, old: false });
    }
    for (id, public, expired_ms) in stated.old {
        if keys.iter().all(|key| key.id != id) {
            keys.push(KnownKey { id, public, until_ms: expired_ms.min(now_ms), old: true });
        }
    }
    for key in before.into_iter().flat_map(|kept| kept.keys.keys) {
        if keys.iter().all(|known| known.id != key.id) {
            keys.push(KnownKey { old: true, until_ms: key.until_ms.min(now_ms), ..key });
        }
    }
    keys.truncate(KEYS_MAX);
    Kept { keys: ServerKeys { keys, fetched_ms: now_ms, valid_until_ms }, document }
}
