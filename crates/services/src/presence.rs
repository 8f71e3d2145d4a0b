//! Who is there. Kept in memory only: after a start everybody is away until he shows himself.
//!
//! A local user is there while one of his devices syncs, as the device says, and for a little while
//! after. Others see it who share a room with him; who that is, is found out when his presence
//! changes, so that a waiting /sync need not ask. Each change takes a serial number as changes of
//! typing do.
//!
//! <https://spec.matrix.org/v1.19/client-server-api/#presence>

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use kv::StoreError;
use parking_lot::Mutex;
use ruma::{OwnedServerName, OwnedUserId, ServerName, UserId, presence::PresenceState};
use serde::Serialize;
use serde_json::value::RawValue;
use tokio::sync::{broadcast, watch};

use self::audience::Audience;
use crate::{Context, client_event::raw};

mod audience;

#[cfg(test)]
mod tests;

/// How long a user is there after a device of his was last heard of.
const ONLINE_MS: u64 = 30 * 1000;
/// The longest that a /sync is believed to wait.
const WAIT_MS_MAX: u64 = 120 * 1000;
/// How long another server's word on a user of its own is believed.
const REMOTE_MS: u64 = 60 * 60 * 1000;
/// How long after his last sign a user counts as just active.
const ACTIVE_MS: u64 = 60 * 1000;
/// Users whose presence is kept.
const USERS_MAX: usize = 100_000;
/// Bytes of a status message.
pub const STATUS_BYTES_MAX: usize = 2_048;
/// Changes that wait for the federation sender; a change that is lost is overtaken by the next.
const OUTBOUND_MAX: usize = 256;

/// How a user is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Presence {
    pub state: PresenceState,
    pub status_msg: Option<String>,
    /// When he last did something.
    pub last_active_ms: u64,
}

/// A local user's presence changed: these servers are to be told.
#[derive(Clone, Debug)]
pub struct PresenceChange {
    pub user: OwnedUserId,
    pub presence: Presence,
    pub servers: Vec<OwnedServerName>,
}

/// Who is there, as far as one homeserver knows. Cheap to clone.
#[derive(Clone)]
pub struct Presences(Arc<Inner>);

struct Inner {
    context: Context,
    known: Mutex<Known>,
    /// The newest serial number.
    serial: watch::Sender<u64>,
    outbound: broadcast::Sender<PresenceChange>,
}

struct Known {
    users: HashMap<OwnedUserId, Person>,
    serial: u64,
}

struct Person {
    presence: Presence,
    /// What each device last said, and until when that holds. A server stands for the devices of
    /// its users.
    devices: BTreeMap<String, (PresenceState, u64)>,
    /// Of the last change.
    serial: u64,
    audience: Arc<Audience>,
}

/// What a user is to be shown as, before anybody is told.
struct News {
    user: OwnedUserId,
    presence: Presence,
}

impl Presences {
    pub fn new(context: Context) -> Self {
        let serial = context.clock.now_ms();
        let known = Mutex::new(Known { users: HashMap::new(), serial });
        let (serial, outbound) = (watch::Sender::new(serial), broadcast::Sender::new(OUTBOUND_MAX));
        Self(Arc::new(Inner { context, known, serial, outbound }))
    }

    /// A user says how he is there, and why.
    pub async fn set(
        &self,
        user: &UserId,
        device: &str,
        state: PresenceState,
        status_msg: Option<String>,
    ) -> Result<(), StoreError> {
        self.heard_of(user, device, (state, ONLINE_MS), Some(status_msg)).await
    }

    /// A device of a local user asks for news and will wait for so long. One that says it is
    /// offline leaves him as he is.
    pub async fn syncs(
        &self,
        user: &UserId,
        device: &str,
        state: PresenceState,
        waits_ms: u64,
    ) -> Result<(), StoreError> {
        if state == PresenceState::Offline {
            return Ok(());
        }
        self.heard_of(user, device, (state, waits_ms.min(WAIT_MS_MAX) + ONLINE_MS), None).await
    }

    /// Another server tells of a user of its own. Passed over if he is not its own, or shares no
    /// room with a user of ours.
    pub async fn set_remote(
        &self,
        origin: &ServerName,
        user: &UserId,
        presence: Presence,
    ) -> Result<(), StoreError> {
        let is_worth_it = self.is_known(user) || self.audience_of(user).await?.is_somebody();
        if user.server_name() != origin || !is_worth_it {
            return Ok(());
        }
        let Presence { state, status_msg, last_active_ms } = presence;
        let status = status_msg.filter(|status| status.len() <= STATUS_BYTES_MAX);
        self.heard_of(user, origin.as_str(), (state, REMOTE_MS), Some(status)).await?;
        if let Some(person) = self.0.known.lock().users.get_mut(user) {
            person.presence.last_active_ms = last_active_ms;
        }
        Ok(())
    }

    /// How the user is there, if `reader` may know it: he is that user, or shares a room with him.
    pub async fn get(
        &self,
        reader: &UserId,
        user: &UserId,
    ) -> Result<Option<Presence>, StoreError> {
        if reader != user && !self.audience_of(user).await?.has(reader.localpart()) {
            return Ok(None);
        }
        let known = self.0.known.lock();
        let presence = known.users.get(user).map(|person| person.presence.clone());
        Ok(Some(presence.unwrap_or_else(away)))
    }

    /// Everybody who is there.
    pub fn there(&self) -> Vec<OwnedUserId> {
        let known = self.0.known.lock();
        let there = known.users.iter();
        let there = there.filter(|(_, person)| person.presence.state != PresenceState::Offline);
        there.map(|(user, _)| user.clone()).collect()
    }

    /// Everybody whose presence changed after the serial number, as events for a local user.
    pub fn events(&self, localpart: &str, serial: u64) -> Vec<Box<RawValue>> {
        let known = self.0.known.lock();
        if known.serial <= serial {
            return Vec::new();
        }
        let news = known.users.iter().filter(|(_, person)| person.serial > serial);
        let news = news.filter(|(user, person)| {
            person.audience.has(localpart) || self.0.is_local_user(user, localpart)
        });
        news.map(|(user, person)| self.event(user, &person.presence)).collect()
    }

    /// The presence of those among these users who are there, for somebody who has just come to
    /// share a room with them.
    pub fn events_of<'u>(&self, users: impl Iterator<Item = &'u str>) -> Vec<Box<RawValue>> {
        let known = self.0.known.lock();
        let there = users.filter_map(|user| {
            let (user, person) = known.users.get_key_value(<&UserId>::try_from(user).ok()?)?;
            let is_there = person.presence.state != PresenceState::Offline;
            is_there.then(|| self.event(user, &person.presence))
        });
        there.collect()
    }

    /// Whether the presence of somebody changed after the serial number whom the local user sees.
    pub fn has_news(&self, localpart: &str, serial: u64) -> bool {
        let known = self.0.known.lock();
        let mut news = known.users.values().filter(|person| person.serial > serial);
        known.serial > serial && news.any(|person| person.audience.has(localpart))
    }

    /// Changes with the serial number, to wake whoever waits.
    pub fn watch(&self) -> watch::Receiver<u64> {
        self.0.serial.subscribe()
    }

    /// Changes of local users, for the federation sender.
    pub fn outbound(&self) -> broadcast::Receiver<PresenceChange> {
        self.0.outbound.subscribe()
    }

    /// Lets those be away who were not heard of for too long. To be called now and then.
    pub async fn expire(&self) -> Result<(), StoreError> {
        let now_ms = self.0.context.clock.now_ms();
        let news: Vec<News> = {
            let mut known = self.0.known.lock();
            // Who was away for long is as good as unknown: everybody was told.
            known.users.retain(|_, person| {
                !person.devices.is_empty()
                    || now_ms < person.presence.last_active_ms.saturating_add(REMOTE_MS)
            });
            let people = known.users.iter_mut();
            people.filter_map(|(user, person)| person.without_the_gone(user, now_ms)).collect()
        };
        for news in news {
            self.tell(news).await?;
        }
        Ok(())
    }

    fn is_known(&self, user: &UserId) -> bool {
        self.0.known.lock().users.contains_key(user)
    }

    async fn heard_of(
        &self,
        user: &UserId,
        device: &str,
        (state, lasts_ms): (PresenceState, u64),
        status: Option<Option<String>>,
    ) -> Result<(), StoreError> {
        let now_ms = self.0.context.clock.now_ms();
        let news = {
            let mut known = self.0.known.lock();
            if known.users.len() >= USERS_MAX && !known.users.contains_key(user) {
                return Ok(());
            }
            let person = known.users.entry(user.to_owned()).or_insert_with(Person::unheard_of);
            let until_ms = now_ms.saturating_add(lasts_ms);
            person.devices.retain(|_, (_, until_ms)| *until_ms > now_ms);
            if state == PresenceState::Offline {
                person.devices.remove(device);
            } else {
                person.devices.insert(device.to_owned(), (state, until_ms));
            }
            let presence = person.now(status.as_ref());
            let changed = presence.state != person.presence.state
                || presence.status_msg != person.presence.status_msg;
            changed.then_some(presence)
        };
        let Some(presence) = news else { return Ok(()) };
        let presence = Presence { last_active_ms: now_ms, ..presence };
        self.tell(News { user: user.to_owned(), presence }).await
    }

    /// Notes a change, finds out whom it is for, and lets them know.
    async fn tell(&self, News { user, presence }: News) -> Result<(), StoreError> {
        let audience = Arc::new(self.audience_of(&user).await?);
        {
            let mut known = self.0.known.lock();
            let serial = known.serial + 1;
            let Some(person) = known.users.get_mut(&user) else { return Ok(()) };
            person.presence = presence.clone();
            person.serial = serial;
            person.audience = Arc::clone(&audience);
            known.serial = serial;
            // While locked, so that numbers are told in order.
            self.0.serial.send_replace(serial);
        }
        if self.0.context.is_local(&user) && !audience.servers.is_empty() {
            let servers = audience.servers.clone();
            // Nobody listens where the federation is off.
            let _ = self.0.outbound.send(PresenceChange { user, presence, servers });
        }
        Ok(())
    }

    async fn audience_of(&self, user: &UserId) -> Result<Audience, StoreError> {
        let (context, user) = (self.0.context.clone(), user.to_owned());
        self.0.context.store.read(move |rows| audience::of(&context, rows, &user)).await
    }

    fn event(&self, user: &UserId, presence: &Presence) -> Box<RawValue> {
        #[derive(Serialize)]
        struct Event<'a> {
            r#type: &'static str,
            sender: &'a UserId,
            content: Content<'a>,
        }
        #[derive(Serialize)]
        struct Content<'a> {
            presence: &'a str,
            #[serde(skip_serializing_if = "Option::is_none")]
            status_msg: Option<&'a str>,
            last_active_ago: u64,
            currently_active: bool,
        }
        let now_ms = self.0.context.clock.now_ms();
        let content = Content {
            presence: presence.state.as_str(),
            status_msg: presence.status_msg.as_deref(),
            last_active_ago: presence.last_active_ago_ms(now_ms),
            currently_active: presence.is_active(now_ms),
        };
        raw(&Event { r#type: "m.presence", sender: user, content })
    }
}

impl Inner {
    fn is_local_user(&self, user: &UserId, localpart: &str) -> bool {
        self.context.is_local(user) && user.localpart() == localpart
    }
}

impl Presence {
    pub fn last_active_ago_ms(&self, now_ms: u64) -> u64 {
        now_ms.saturating_sub(self.last_active_ms)
    }

    /// Whether he did something just now.
    pub fn is_active(&self, now_ms: u64) -> bool {
        self.state == PresenceState::Online && self.last_active_ago_ms(now_ms) < ACTIVE_MS
    }
}

impl Person {
    fn unheard_of() -> Self {
        Self { presence: away(), devices: BTreeMap::new(), serial: 0, audience: Arc::default() }
    }

    /// What his devices say together: he is as much there as the one that says it most.
    fn now(&self, status: Option<&Option<String>>) -> Presence {
        let states = self.devices.values().map(|(state, _)| state);
        let state = states.max_by_key(|state| rank(state)).cloned();
        Presence {
            state: state.unwrap_or(PresenceState::Offline),
            status_msg: status.cloned().unwrap_or_else(|| self.presence.status_msg.clone()),
            last_active_ms: self.presence.last_active_ms,
        }
    }

    /// What changes once the devices are left out that were not heard of for too long.
    fn without_the_gone(&mut self, user: &UserId, now_ms: u64) -> Option<News> {
        self.devices.retain(|_, (_, until_ms)| *until_ms > now_ms);
        let presence = self.now(None);
        let changed = presence.state != self.presence.state;
        changed.then(|| News { user: user.to_owned(), presence })
    }
}

fn away() -> Presence {
    Presence { state: PresenceState::Offline, status_msg: None, last_active_ms: 0 }
}

fn rank(state: &PresenceState) -> u8 {
    match state {
        PresenceState::Online => 2,
        PresenceState::Unavailable => 1,
        _ => 0,
    }
}
