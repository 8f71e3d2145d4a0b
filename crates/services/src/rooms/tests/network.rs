//! Several homeservers in memory that ask each other directly: no HTTP, but real signatures.

use std::{collections::HashMap, sync::Arc};

use kv::{HomeserverId, MemoryEngine, Store};
use model::{
    clock::ManualClock, ids::SeededIds, pdu::Pdu, room_version::RoomVersion,
    signing_key::SigningKey, verify,
};
use parking_lot::Mutex;
use ruma::{
    EventId, OwnedEventId, OwnedRoomId, OwnedServerName, RoomAliasId, RoomId, ServerName, UserId,
    events::room::member::MembershipState, serde::Base64, signatures::PublicKeyMap,
};
use serde_json::value::RawValue;
use tokio::sync::Notify;

use crate::{
    Context,
    identity::CurrentKey,
    log::Log,
    recent::RecentEvents,
    rooms::{
        Rooms,
        public::{PublicRooms, Wanted},
        receive::{Patience, ReceiveError, Received},
        remote::{
            JoinAnswer, Proposal, RawState, RemoteError, RemoteRooms, StateIds, Template, Verified,
            template_of,
        },
        serve,
        spaces::Level,
    },
    turns::Writers,
};

/// Everybody's rooms and keys. A server that is not in `up` cannot be asked.
#[derive(Default)]
pub struct Network {
    servers: Mutex<HashMap<OwnedServerName, Rooms>>,
    keys: Mutex<PublicKeyMap>,
    /// Told when somebody is refused what he wants to become.
    pub refused: Notify,
}

/// One server's way into the network.
struct Port {
    network: Arc<Network>,
    us: OwnedServerName,
}

impl Network {
    /// A new homeserver of this name.
    pub fn add(self: &Arc<Self>, name: &str) -> Rooms {
        let server_name: OwnedServerName = name.try_into().unwrap();
        let number = u8::try_from(self.servers.lock().len() + 1).unwrap();
        let engine = MemoryEngine::new(store::TABLES);
        let store = Store::new(Arc::new(engine), HomeserverId(u32::from(number)));
        let signing_key = SigningKey::generate([number; 32]).unwrap();
        self.keys.lock().entry(name.to_owned()).or_default().insert(
            signing_key.key_id().to_string(),
            Base64::new(signing_key.public_key().to_vec()),
        );
        let log = Arc::new(Log::open(store.clone()).unwrap());
        let rooms = Rooms::new(Context {
            server_name: server_name.clone(),
            signing_key: CurrentKey::new(signing_key),
            state_salt: [number; 16],
            turns: Writers::default().turns(store.homeserver()),
            recent: RecentEvents::following(&log),
            log,
            store,
            clock: Arc::new(ManualClock::default()),
            ids: Arc::new(SeededIds::new(u64::from(number))),
        });
        rooms.connect(Arc::new(Port { network: Arc::clone(self), us: server_name.clone() }));
        self.servers.lock().insert(server_name, rooms.clone());
        rooms
    }

    fn server(&self, name: &ServerName) -> Result<Rooms, RemoteError> {
        self.servers.lock().get(name).cloned().ok_or(RemoteError::Unreachable)
    }

    fn check(&self, event: &RawValue, version: RoomVersion) -> Result<Pdu, RemoteError> {
        let verified = verify::verify(event.get().as_bytes(), &self.keys.lock(), version);
        let verified = verified.map_err(|_| RemoteError::BadAnswer("not authentic"))?;
        Ok(verified.into_pdu())
    }

    /// Sends every event of its own that `from` has in the room to `to`, oldest first.
    pub async fn deliver(&self, from: &Rooms, to: &Rooms, room_id: &RoomId) {
        for event in own_events(from, room_id).await {
            self.deliver_event(from, to, &event).await.unwrap();
        }
    }

    pub async fn deliver_event(
        &self,
        from: &Rooms,
        to: &Rooms,
        event: &Pdu,
    ) -> Result<Received, ReceiveError> {
        let room = to.get(&event.room_id).await.unwrap();
        let event = self.check(&event.to_wire(), room.version).unwrap();
        to.receive(&room, &from.context().server_name, event, Patience::Strict).await
    }
}

/// The events of a room that were sent by users of this server, oldest first.
pub async fn own_events(rooms: &Rooms, room_id: &RoomId) -> Vec<Arc<Pdu>> {
    let us = rooms.context().server_name.clone();
    let events = timeline(rooms, room_id).await;
    events.into_iter().filter(|event| event.sender.server_name() == us).collect()
}

pub async fn timeline(rooms: &Rooms, room_id: &RoomId) -> Vec<Arc<Pdu>> {
    let room = rooms.get(room_id).await.unwrap();
    let all = (store::events::Order::MIN, store::events::Order::MAX);
    let events = rooms.read(room.number, move |rows| {
        let timeline = store::events::timeline(rows.snapshot, rows.room, all, false, 1000)?;
        rows.events(&timeline.into_iter().map(|(_, number)| number).collect::<Vec<_>>())
    });
    events.await.unwrap().into_iter().map(|event| event.pdu).collect()
}

/// The current state: ids of its events by type and key.
pub async fn state(rooms: &Rooms, room_id: &RoomId) -> Vec<(String, String, OwnedEventId)> {
    let room = rooms.get(room_id).await.unwrap();
    let state = rooms.read(room.number, |rows| {
        let head = store::rooms::head(rows.snapshot, rows.room)?.unwrap();
        rows.events(&serve::state_numbers(rows, head.state)?)
    });
    let entry = |pdu: &Pdu| {
        let (event_type, key) = pdu.type_and_key().unwrap();
        (event_type.to_owned(), key.to_owned(), pdu.event_id.clone())
    };
    let mut state: Vec<_> = state.await.unwrap().iter().map(|event| entry(&event.pdu)).collect();
    state.sort();
    state
}

fn wire(events: &[Arc<Pdu>]) -> Vec<Box<RawValue>> {
    events.iter().map(|event| event.to_wire()).collect()
}

fn refused(error: impl std::fmt::Display) -> RemoteError {
    RemoteError::Refused {
        status: 403,
        errcode: "M_FORBIDDEN".to_owned(),
        message: error.to_string(),
        body: None,
    }
}

type Asked<'a, T> = futures_util::future::BoxFuture<'a, Result<T, RemoteError>>;

impl RemoteRooms for Port {
    fn verify<'a>(&'a self, event: &'a RawValue, version: RoomVersion) -> Asked<'a, Pdu> {
        Box::pin(async move { self.network.check(event, version) })
    }

    fn verify_all<'a>(
        &'a self,
        events: Vec<Box<RawValue>>,
        version: RoomVersion,
    ) -> Asked<'a, Verified> {
        Box::pin(async move {
            let events = events.iter().filter_map(|event| self.network.check(event, version).ok());
            Ok(Verified { events: events.collect(), ..Verified::default() })
        })
    }

    fn make<'a>(
        &'a self,
        server: &'a ServerName,
        proposal: Proposal,
        room_id: &'a RoomId,
        user: &'a UserId,
    ) -> Asked<'a, Template> {
        Box::pin(async move {
            let rooms = self.network.server(server)?;
            let room = rooms.get(room_id).await.map_err(refused)?;
            let membership = match proposal {
                Proposal::Join => MembershipState::Join,
                Proposal::Knock => MembershipState::Knock,
                Proposal::Leave => MembershipState::Leave,
            };
            let proposed = rooms.propose(&room, user, membership).await;
            let event = proposed.inspect_err(|_| self.network.refused.notify_one());
            let event = event.map_err(refused)?;
            Ok(template_of(&event, room.version).unwrap())
        })
    }

    fn send_join<'a>(&'a self, server: &'a ServerName, event: &'a Pdu) -> Asked<'a, JoinAnswer> {
        Box::pin(async move {
            let rooms = self.network.server(server)?;
            let room = rooms.get(&event.room_id).await.map_err(refused)?;
            let event = rooms.accept_member(&room, event.clone()).await.map_err(refused)?;
            let joined = rooms.joined(&room, event).await.map_err(refused)?;
            Ok(JoinAnswer {
                event: Some(joined.event.to_wire()),
                state: wire(&joined.before.state),
                auth_chain: wire(&joined.before.auth_chain),
            })
        })
    }

    fn send_leave<'a>(&'a self, server: &'a ServerName, event: &'a Pdu) -> Asked<'a, ()> {
        Box::pin(async move {
            let rooms = self.network.server(server)?;
            let room = rooms.get(&event.room_id).await.map_err(refused)?;
            rooms.accept_member(&room, event.clone()).await.map(drop).map_err(refused)
        })
    }

    fn send_knock<'a>(
        &'a self,
        server: &'a ServerName,
        event: &'a Pdu,
    ) -> Asked<'a, Vec<Box<RawValue>>> {
        Box::pin(async move {
            let rooms = self.network.server(server)?;
            let room = rooms.get(&event.room_id).await.map_err(refused)?;
            rooms.accept_member(&room, event.clone()).await.map_err(refused)?;
            rooms.stripped_state(&room).await.map_err(refused)
        })
    }

    fn invite<'a>(
        &'a self,
        server: &'a ServerName,
        event: &'a Pdu,
        stripped: Vec<Box<RawValue>>,
        _via: Vec<OwnedServerName>,
    ) -> Asked<'a, Box<RawValue>> {
        Box::pin(async move {
            let rooms = self.network.server(server)?;
            let signed = rooms.receive_invite(event.clone(), stripped).await.map_err(refused)?;
            Ok(signed.to_wire())
        })
    }

    fn missing_events<'a>(
        &'a self,
        server: &'a ServerName,
        room_id: &'a RoomId,
        latest: &'a [OwnedEventId],
        earliest: &'a [OwnedEventId],
        limit: u32,
    ) -> Asked<'a, Vec<Box<RawValue>>> {
        Box::pin(async move {
            let rooms = self.network.server(server)?;
            let room = rooms.get(room_id).await.map_err(refused)?;
            let (latest, earliest) = (latest.to_vec(), earliest.to_vec());
            let events = rooms.read(room.number, move |rows| {
                serve::missing_events(rows, &latest, &earliest, limit as usize)
            });
            let events = events.await.map_err(refused)?;
            Ok(events.iter().map(|event| event.pdu.to_wire()).collect())
        })
    }

    fn backfill<'a>(
        &'a self,
        server: &'a ServerName,
        room_id: &'a RoomId,
        from: &'a [OwnedEventId],
        limit: u32,
    ) -> Asked<'a, Vec<Box<RawValue>>> {
        Box::pin(async move {
            let rooms = self.network.server(server)?;
            let room = rooms.get(room_id).await.map_err(refused)?;
            let from = from.to_vec();
            let events = rooms
                .read(room.number, move |rows| serve::events_before(rows, &from, limit as usize));
            let events = events.await.map_err(refused)?;
            Ok(events.iter().map(|event| event.pdu.to_wire()).collect())
        })
    }

    fn state_ids<'a>(
        &'a self,
        server: &'a ServerName,
        room_id: &'a RoomId,
        event_id: &'a EventId,
    ) -> Asked<'a, StateIds> {
        Box::pin(async move {
            let rooms = self.network.server(server)?;
            let room = rooms.get(room_id).await.map_err(refused)?;
            let event_id = event_id.to_owned();
            let ids = rooms.read(room.number, move |rows| serve::state_ids_before(rows, &event_id));
            ids.await.map_err(refused)?.ok_or_else(|| refused("unknown event"))
        })
    }

    fn state<'a>(
        &'a self,
        server: &'a ServerName,
        room_id: &'a RoomId,
        event_id: &'a EventId,
    ) -> Asked<'a, RawState> {
        Box::pin(async move {
            let rooms = self.network.server(server)?;
            let room = rooms.get(room_id).await.map_err(refused)?;
            let event_id = event_id.to_owned();
            let state = rooms.read(room.number, move |rows| serve::state_before(rows, &event_id));
            let state = state.await.map_err(refused)?.ok_or_else(|| refused("unknown event"))?;
            Ok(RawState { state: wire(&state.state), auth_chain: wire(&state.auth_chain) })
        })
    }

    fn event<'a>(
        &'a self,
        server: &'a ServerName,
        event_id: &'a EventId,
    ) -> Asked<'a, Box<RawValue>> {
        Box::pin(async move {
            let rooms = self.network.server(server)?;
            let id = event_id.to_owned();
            let store = rooms.context().store.clone();
            let found = store.read(move |snapshot| {
                let Some((room, number)) = store::events::number(snapshot, &id)? else {
                    return Ok(None);
                };
                let rows = crate::room_rows::RoomRows { snapshot, room, salt: [0; 16] };
                rows.event(number) as Result<_, kv::StoreError>
            });
            let found: Option<crate::room_rows::Event> = found.await.map_err(refused)?;
            Ok(found.ok_or_else(|| refused("unknown event"))?.pdu.to_wire())
        })
    }

    fn event_auth<'a>(
        &'a self,
        server: &'a ServerName,
        room_id: &'a RoomId,
        event_id: &'a EventId,
    ) -> Asked<'a, Vec<Box<RawValue>>> {
        Box::pin(async move {
            let rooms = self.network.server(server)?;
            let room = rooms.get(room_id).await.map_err(refused)?;
            let event_id = event_id.to_owned();
            let chain = rooms.read(room.number, move |rows| {
                serve::auth_chain(rows, rows.event_by_id(&event_id)?.iter())
            });
            let chain = chain.await.map_err(refused)?;
            Ok(chain.iter().map(|event| event.pdu.to_wire()).collect())
        })
    }

    fn hierarchy<'a>(&'a self, server: &'a ServerName, room_id: &'a RoomId) -> Asked<'a, Level> {
        Box::pin(async move {
            let rooms = self.network.server(server)?;
            let level = rooms.level_for(&self.us, room_id, false).await.map_err(refused)?;
            level.ok_or_else(|| refused("not shown"))
        })
    }

    fn event_at_time<'a>(
        &'a self,
        server: &'a ServerName,
        room_id: &'a RoomId,
        time_ms: u64,
        forward: bool,
    ) -> Asked<'a, (OwnedEventId, u64)> {
        Box::pin(async move {
            let rooms = self.network.server(server)?;
            let mut events = timeline(&rooms, room_id).await;
            if !forward {
                events.reverse();
            }
            let fits = |event: &&Arc<Pdu>| match forward {
                true => event.origin_server_ts >= time_ms,
                false => event.origin_server_ts <= time_ms,
            };
            let event = events.iter().find(fits).ok_or_else(|| refused("no event"))?;
            Ok((event.event_id.clone(), event.origin_server_ts))
        })
    }

    fn public_rooms<'a>(
        &'a self,
        server: &'a ServerName,
        wanted: Wanted,
    ) -> Asked<'a, PublicRooms> {
        Box::pin(async move {
            let rooms = self.network.server(server)?;
            rooms.public_rooms(wanted).await.map_err(refused)
        })
    }

    fn alias<'a>(
        &'a self,
        alias: &'a RoomAliasId,
    ) -> Asked<'a, Option<(OwnedRoomId, Vec<OwnedServerName>)>> {
        Box::pin(async move {
            debug_assert_ne!(alias.server_name(), self.us);
            self.network.server(alias.server_name())?.resolve_alias(alias).await
        })
    }
}
