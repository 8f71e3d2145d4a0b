//! What others are sent: our events to every server in their rooms, and what waits for a server
//! besides.
//!
//! The sender follows the log. It keeps a cursor per server and nothing per event; a server that
//! was away is brought up to date from the timelines of its rooms. A server costs something only
//! while there is something for it: then it has a *lane*, worked off by one task, so that a slow
//! or dead server delays nobody else.
//!
//! The invariant that makes a cursor honest: when a lane takes its hints, every room that got
//! something for its server up to `dispatched` is among them.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use model::{EventNumber, RoomNumber};
use parking_lot::Mutex;
use ruma::{OwnedServerName, OwnedUserId, ServerName};
use serde_json::{
    json,
    value::{RawValue, to_raw_value},
};
use services::{
    Context,
    destinations::{Destinations, DestinationsError},
    log::{Change, Follower},
    presence::{PresenceChange, Presences},
    typing::{Typing, TypingChange},
};
use tokio::sync::{Notify, Semaphore, broadcast};

use crate::{client::FederationClient, destinations::Contacts};

mod lane;
#[cfg(test)]
mod tests;
mod transaction;

/// Servers that are sent to at once.
const SENDING_MAX: usize = 128;
/// Servers that failed lately and are tried at once; apart, so that they hold up nobody.
const PROBING_MAX: usize = 16;
/// Stands for what is about no room: no room has this number.
const NO_ROOM: RoomNumber = RoomNumber(0);
/// What a server may be sent twice when the process dies.
const CURSORS_KEPT_AFTER: Duration = Duration::from_secs(1);
/// How often servers whose pause is over are looked for.
const TICK: Duration = Duration::from_secs(1);

/// Sends what one homeserver has for others. Cheap to clone.
#[derive(Clone)]
pub struct Sender {
    inner: Arc<Inner>,
}

struct Inner {
    context: Context,
    client: FederationClient,
    contacts: Arc<Contacts>,
    destinations: Destinations,
    typing: Typing,
    presences: Presences,
    state: Mutex<State>,
    /// Something was added to `State::fresh`.
    news: Notify,
    sending: Semaphore,
    probing: Semaphore,
}

#[derive(Default)]
struct State {
    /// What the log told and no lane knows yet, in the log's order.
    fresh: Fresh,
    /// Every lane was told of everything up to this position of the log.
    dispatched: u64,
    /// What was fresh is on its way to the lanes.
    dispatching: bool,
    /// The servers that lacked something at the start have their lanes.
    ready: bool,
    lanes: BTreeMap<OwnedServerName, Lane>,
}

#[derive(Default)]
struct Fresh {
    position: u64,
    events: BTreeMap<RoomNumber, Vec<EventNumber>>,
    /// Rooms in which a user of ours has read on.
    read: BTreeSet<RoomNumber>,
    /// Local users whose devices or keys changed.
    devices: BTreeSet<String>,
    servers: BTreeSet<String>,
}

impl Fresh {
    fn is_empty(&self) -> bool {
        self.events.is_empty()
            && self.read.is_empty()
            && self.devices.is_empty()
            && self.servers.is_empty()
    }
}

/// A server that got something, in a room or (`None`) in its outbox.
type Hint = (OwnedServerName, Option<RoomNumber>);

/// What is known to be pending for a server.
#[derive(Default)]
struct Lane {
    /// Rooms that got something for it, and at which position the newest.
    rooms: BTreeMap<RoomNumber, u64>,
    /// Any of its rooms may have something: it was not followed so far.
    everything: bool,
    /// Something may wait in its outbox.
    outbox: bool,
    /// Who types where, to be told once and forgotten.
    ephemeral: BTreeMap<(RoomNumber, OwnedUserId), Box<RawValue>>,
    /// A task works it off.
    running: bool,
}

impl Lane {
    fn has_work(&self) -> bool {
        self.everything || self.outbox || !self.rooms.is_empty() || !self.ephemeral.is_empty()
    }
}

impl Sender {
    pub fn new(
        destinations: Destinations,
        client: FederationClient,
        contacts: Arc<Contacts>,
        (typing, presences): (Typing, Presences),
    ) -> Self {
        let inner = Inner {
            typing,
            presences,
            destinations,
            context: client.context().clone(),
            client,
            contacts,
            state: Mutex::default(),
            news: Notify::new(),
            sending: Semaphore::new(SENDING_MAX),
            probing: Semaphore::new(PROBING_MAX),
        };
        Self { inner: Arc::new(inner) }
    }

    /// Follows the log and sends, until the future is dropped. Servers that lack something from
    /// before are found first.
    pub async fn run(&self) {
        tokio::join!(self.follow(), self.keep_cursors());
    }

    /// Makes durable how far other servers have everything, some time after it has moved. To be
    /// called, too, when the homeserver stops: what is not kept is sent again after a restart.
    pub async fn keep(&self) {
        if let Err(error) = self.inner.destinations.keep().await {
            tracing::error!(%error, "how far other servers have everything cannot be kept");
        }
    }

    async fn keep_cursors(&self) {
        loop {
            self.inner.destinations.moved().await;
            tokio::time::sleep(CURSORS_KEPT_AFTER).await;
            self.keep().await;
        }
    }

    async fn follow(&self) {
        let inner = &self.inner;
        // A weak one: the log outlives us, and we hold it.
        let follower = Arc::new(Following(Arc::downgrade(inner)));
        let position = inner.context.log.follow(follower);
        {
            let mut state = inner.state.lock();
            state.dispatched = state.dispatched.max(position);
        }
        let weak = Arc::downgrade(inner);
        inner.contacts.on_recovery(move |server| {
            if let Some(inner) = weak.upgrade() {
                inner.wake(server);
            }
        });
        while let Err(error) = self.find_work().await {
            tracing::error!(%error, "what other servers lack cannot be read");
            tokio::time::sleep(TICK).await;
        }
        let mut typing = inner.typing.outbound();
        let mut presences = inner.presences.outbound();
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                // In this order, so that a simulation can be repeated: what is rare comes first.
                biased;
                _ = tick.tick(), if inner.has_waiting_lanes() => inner.start_lanes(),
                change = typing.recv() => match change {
                    Ok(change) => inner.tell_typing(&change).await,
                    // What was missed is no longer true.
                    Err(broadcast::error::RecvError::Lagged(_)) => {}
                    // The sender lives in `inner`.
                    Err(broadcast::error::RecvError::Closed) => return,
                },
                change = presences.recv() => match change {
                    Ok(change) => inner.tell_presence(&change),
                    Err(broadcast::error::RecvError::Lagged(_)) => {}
                    Err(broadcast::error::RecvError::Closed) => return,
                },
                () = inner.news.notified() => inner.dispatch().await,
            }
        }
    }

    /// What waits for other servers.
    pub fn destinations(&self) -> &Destinations {
        &self.inner.destinations
    }

    /// Whether nothing is left that other servers are to be sent, not even later.
    pub fn is_idle(&self) -> bool {
        let state = self.inner.state.lock();
        state.lanes.is_empty() && state.fresh.is_empty() && !state.dispatching
    }

    /// Tries again what may be tried again by now. Called by a timer; tests that turn the clock
    /// call it themselves.
    pub fn tick(&self) {
        self.inner.start_lanes();
    }

    /// Opens a lane for every server that may lack something.
    async fn find_work(&self) -> Result<(), DestinationsError> {
        self.inner.contacts.load().await?;
        let known = self.inner.destinations.known().await?;
        {
            let mut state = self.inner.state.lock();
            for server in known {
                let lane = state.lanes.entry(server).or_default();
                lane.everything = true;
                lane.outbox = true;
            }
            state.ready = true;
        }
        self.inner.start_lanes();
        Ok(())
    }
}

/// What the log tells.
struct Following(std::sync::Weak<Inner>);

impl Follower for Following {
    fn changed(&self, position: u64, entry: &[Change]) {
        let Some(inner) = self.0.upgrade() else { return };
        let mut state = inner.state.lock();
        let fresh = &mut state.fresh;
        fresh.position = position;
        let mut any = false;
        for change in entry {
            match change {
                Change::Events { room, events } => {
                    fresh.events.entry(*room).or_default().extend(events);
                    any = true;
                }
                Change::Receipt { room, user } if inner.is_ours(user) => {
                    fresh.read.insert(*room);
                    any = true;
                }
                Change::DeviceList { user } if inner.is_ours(user) => {
                    fresh.devices.insert(user.clone());
                    any = true;
                }
                Change::Outbound { server } => {
                    fresh.servers.insert(server.clone());
                    any = true;
                }
                _ => {}
            }
        }
        if any {
            inner.news.notify_one();
        } else if fresh.is_empty() && !state.dispatching {
            // Nothing is on its way to a lane, so nothing of this is missing in one.
            state.dispatched = state.dispatched.max(position);
        }
    }
}

impl Inner {
    /// Tells the lanes what the log told.
    async fn dispatch(self: &Arc<Self>) {
        let fresh = {
            let mut state = self.state.lock();
            state.dispatching = true;
            let position = state.fresh.position;
            std::mem::replace(&mut state.fresh, Fresh { position, ..Fresh::default() })
        };
        match self.hints(&fresh).await {
            Ok(hints) => self.hint(hints, fresh.position),
            Err(error) => {
                tracing::error!(%error, "whom events are for cannot be read");
                self.put_back(fresh);
                tokio::time::sleep(TICK).await;
                self.news.notify_one();
            }
        }
        self.start_lanes();
    }

    async fn hints(&self, fresh: &Fresh) -> Result<Vec<Hint>, DestinationsError> {
        let named = fresh.servers.iter().filter_map(|name| name.as_str().try_into().ok());
        let mut hints: Vec<Hint> = named.map(|server| (server, None)).collect();
        if !fresh.events.is_empty() {
            let events = fresh.events.iter().map(|(room, events)| (*room, events.clone()));
            for found in self.destinations.of_events(events.collect()).await? {
                let to_server = |server| (server, Some(found.room));
                hints.extend(found.servers.into_iter().map(to_server));
            }
        }
        for room in &fresh.read {
            let servers = self.destinations.in_room(*room).await?;
            hints.extend(servers.into_iter().map(|server| (server, Some(*room))));
        }
        for user in &fresh.devices {
            let localpart = user.trim_start_matches('@').split(':').next().unwrap_or_default();
            let servers = self.destinations.of_user(localpart).await?;
            hints.extend(servers.into_iter().map(|server| (server, None)));
        }
        Ok(hints)
    }

    fn is_ours(&self, user: &str) -> bool {
        let server = user.split_once(':').map(|(_, server)| server);
        server == Some(self.context.server_name.as_str())
    }

    fn hint(&self, hints: Vec<Hint>, position: u64) {
        let mut state = self.state.lock();
        for (server, room) in hints {
            let lane = state.lanes.entry(server).or_default();
            match room {
                Some(room) => {
                    lane.rooms.insert(room, position);
                }
                None => lane.outbox = true,
            }
        }
        state.dispatched = state.dispatched.max(position);
        state.dispatching = false;
    }

    fn put_back(&self, fresh: Fresh) {
        let mut state = self.state.lock();
        for (room, events) in fresh.events {
            state.fresh.events.entry(room).or_default().extend(events);
        }
        state.fresh.read.extend(fresh.read);
        state.fresh.devices.extend(fresh.devices);
        state.fresh.servers.extend(fresh.servers);
        state.dispatching = false;
    }

    /// Tells the servers of a room that a user of ours types, or no longer does. Not kept: who is
    /// not reachable now need not know.
    async fn tell_typing(self: &Arc<Self>, change: &TypingChange) {
        let TypingChange { room_id, room, user, typing } = change;
        let servers = match self.destinations.in_room(*room).await {
            Ok(servers) => servers,
            Err(error) => {
                tracing::error!(%error, "whom typing is for cannot be read");
                return;
            }
        };
        let content = json!({ "room_id": room_id, "user_id": user, "typing": typing });
        let edu = to_raw_value(&json!({ "edu_type": "m.typing", "content": content }));
        let Ok(edu) = edu else { return };
        {
            let mut state = self.state.lock();
            for server in servers {
                if !self.contacts.is_failing(&server) {
                    let lane = state.lanes.entry(server).or_default();
                    lane.ephemeral.insert((*room, user.clone()), edu.clone());
                }
            }
        }
        self.start_lanes();
    }

    /// Tells other servers how a user of ours is there. Not kept either.
    fn tell_presence(self: &Arc<Self>, change: &PresenceChange) {
        let PresenceChange { user, presence, servers } = change;
        let now_ms = self.context.clock.now_ms();
        let update = json!({
            "user_id": user,
            "presence": presence.state,
            "status_msg": presence.status_msg,
            "last_active_ago": presence.last_active_ago_ms(now_ms),
            "currently_active": presence.is_active(now_ms),
        });
        let edu = json!({ "edu_type": "m.presence", "content": { "push": [update] } });
        let Ok(edu) = to_raw_value(&edu) else { return };
        {
            let mut state = self.state.lock();
            for server in servers {
                if !self.contacts.is_failing(server) {
                    let lane = state.lanes.entry(server.clone()).or_default();
                    lane.ephemeral.insert((NO_ROOM, user.clone()), edu.clone());
                }
            }
        }
        self.start_lanes();
    }

    /// Lets a server be brought up to date.
    fn wake(self: &Arc<Self>, server: &ServerName) {
        {
            let mut state = self.state.lock();
            let lane = state.lanes.entry(server.to_owned()).or_default();
            lane.everything = true;
            lane.outbox = true;
        }
        self.start_lanes();
    }

    fn has_waiting_lanes(&self) -> bool {
        self.state.lock().lanes.values().any(|lane| !lane.running)
    }

    /// Starts a task for each lane that has work and none, unless its server is left alone.
    fn start_lanes(self: &Arc<Self>) {
        let mut state = self.state.lock();
        for (server, lane) in &mut state.lanes {
            if lane.running || !lane.has_work() || self.contacts.paused_until(server).is_some() {
                continue;
            }
            lane.running = true;
            let (inner, server) = (Arc::clone(self), server.clone());
            tokio::spawn(async move { inner.work(&server).await });
        }
    }
}
