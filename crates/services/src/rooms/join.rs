//! Joining: in a room where this homeserver is resident, or through one that is.

use std::{collections::HashSet, sync::Arc, time::Duration};

use model::{
    build::{self, EventTemplate, Place},
    pdu::Pdu,
    room_version::RoomVersion,
};
use ruma::{
    OwnedEventId, OwnedRoomId, OwnedServerName, OwnedUserId, RoomId, ServerName,
    events::room::member::MembershipState,
};
use serde_json::{Map, Value};
use store::memberships::Kind;
use tokio::sync::OwnedMutexGuard;

use super::{
    Arrival, Room, Rooms, WriteError,
    create::raw,
    invite::Away,
    membership::{NewMembership, Residence},
    receive::{Patience, ReceiveError, Received, by_auth},
    remote::{JoinAnswer, Proposal, RemoteError, RemoteRooms, Template},
};
use crate::room_rows::Event;

mod entry;

/// Why a user could not join, leave or knock.
#[derive(Debug, thiserror::Error)]
pub enum JoinError {
    /// No server that could be asked knows the room.
    #[error("no known server is in the room")]
    NoServers,
    #[error(transparent)]
    Remote(#[from] RemoteError),
    #[error(transparent)]
    Receive(#[from] ReceiveError),
    #[error(transparent)]
    Write(#[from] WriteError),
}

/// A local user who wants into a room.
#[derive(Clone, Debug)]
pub struct Joining {
    pub user: OwnedUserId,
    pub room_id: OwnedRoomId,
    /// Servers to ask, in this order, if this one is not resident.
    pub via: Vec<OwnedServerName>,
    /// What the member event says besides the membership.
    pub content: Map<String, Value>,
}

/// What servers answered that were asked to let a user in, one after the other.
struct Refusals<'a> {
    /// Whom the user named.
    via: &'a [OwnedServerName],
    last: JoinError,
    /// Whether one of them has answered what the room's rules say.
    by_the_rules: bool,
}

impl<'a> Refusals<'a> {
    fn new(via: &'a [OwnedServerName]) -> Self {
        Self { via, last: JoinError::NoServers, by_the_rules: false }
    }

    /// What one server refuses by the room's rules, another would refuse too, but for restricted
    /// rooms; what it does not know, another may.
    fn add(&mut self, error: JoinError) {
        self.by_the_rules |=
            matches!(&error, JoinError::Remote(RemoteError::Refused { status: 400 | 403, .. }));
        self.last = error;
    }

    /// Whom the user did not name is asked only if nobody whom he did gave an answer.
    fn are_enough_for(&self, server: &OwnedServerName) -> bool {
        self.by_the_rules && !self.via.contains(server)
    }
}

impl Rooms {
    /// Whether somebody is just coming into the room through another server: soon this homeserver
    /// may be in it.
    pub fn is_being_entered(&self, room_id: &RoomId) -> bool {
        self.inner.entrances.is_occupied(room_id)
    }

    /// The way out through other servers, if this homeserver is not in the room.
    async fn entrance_of(&self, room: &Room) -> Result<Option<OwnedMutexGuard<()>>, WriteError> {
        Ok(match self.residence(room).await? {
            Residence::Resident => None,
            Residence::Away => Some(self.inner.entrances.enter(&room.id).await),
        })
    }

    async fn join_remotely(&self, room: Option<&Room>, joining: &Joining) -> Result<(), JoinError> {
        let servers =
            self.servers_to_ask(room, &joining.room_id, &joining.user, &joining.via).await?;
        let mut refusals = Refusals::new(&joining.via);
        for server in servers {
            if refusals.are_enough_for(&server) {
                break;
            }
            match self.join_through(&server, joining).await {
                Ok(()) => return Ok(()),
                Err(error) => {
                    tracing::info!(%server, room_id = %joining.room_id, %error, "could not join");
                    refusals.add(error);
                }
            }
        }
        Err(refusals.last)
    }

    async fn join_through(&self, server: &ServerName, joining: &Joining) -> Result<(), JoinError> {
        let remote = self.remote()?;
        let Joining { user, room_id, content, .. } = joining;
        let template = self.current_template(server, room_id, user).await?;
        let event = self.member_event(&template, joining, "join", content)?;
        let answer = remote.send_join(server, &event).await?;
        self.enter(server, template.version, event, answer).await
    }

    /// What the server proposes for a join, once it has heard of all that we have of the user. On a
    /// proposal that does not know that he had left, the join would be at odds with his leave, and
    /// the leave may win in the end.
    async fn current_template(
        &self,
        server: &ServerName,
        room_id: &RoomId,
        user: &ruma::UserId,
    ) -> Result<Template, JoinError> {
        let remote = self.remote()?;
        let mut pauses = BEHIND_PAUSES.into_iter();
        loop {
            let template = remote.make(server, Proposal::Join, room_id, user).await?;
            if !self.is_behind(room_id, user, &template).await? {
                return Ok(template);
            }
            let Some(pause) = pauses.next() else {
                let behind = "it has not yet heard that the user had left";
                return Err(RemoteError::BadAnswer(behind).into());
            };
            tokio::time::sleep(pause).await;
        }
    }

    /// Whether a proposal stands on a member event of the user that another one has replaced here.
    async fn is_behind(
        &self,
        room_id: &RoomId,
        user: &ruma::UserId,
        template: &Template,
    ) -> Result<bool, WriteError> {
        let Some(room) = self.find(room_id).await? else { return Ok(false) };
        let (user, auth_events) = (user.to_string(), template.place.auth_events.clone());
        let behind = self.read(room.number, move |rows| {
            let Some(head) = store::rooms::head(rows.snapshot, rows.room)? else {
                return Ok(false);
            };
            let current = rows.state(head.state).event("m.room.member", &user)?;
            let Some(current) = current else { return Ok(false) };
            for event_id in &auth_events {
                let event = rows.event_by_id(event_id)?;
                let is_his = |event: &Event| event.pdu.is_at("m.room.member", &user);
                if event.is_some_and(|event| is_his(&event) && event.number != current.number) {
                    return Ok(true);
                }
            }
            Ok(false)
        });
        Ok(behind.await?)
    }

    /// Our own member event, at the place that a resident server proposed. Nothing else of its
    /// proposal is used.
    fn member_event(
        &self,
        template: &Template,
        joining: &Joining,
        membership: &str,
        content: &Map<String, Value>,
    ) -> Result<Pdu, JoinError> {
        let mut content = content.clone();
        content.insert("membership".to_owned(), membership.into());
        if membership == "join"
            && let Some(via) = &template.authorised_via
        {
            content.insert("join_authorised_via_users_server".to_owned(), via.as_str().into());
        }
        let context = self.context();
        let event = EventTemplate {
            room_id: Some(joining.room_id.clone()),
            sender: joining.user.clone(),
            event_type: "m.room.member".to_owned(),
            state_key: Some(joining.user.to_string()),
            content: raw(&Value::Object(content)),
            redacts: None,
            origin_server_ts: context.clock.now_ms(),
        };
        let (server, key) = (&context.server_name, &context.signing_key.current());
        let event = build::build_and_sign(&event, &template.place, template.version, server, key);
        Ok(event.map_err(WriteError::from)?)
    }

    /// Takes the room in as a resident server told it, with our join as its newest event.
    async fn enter(
        &self,
        server: &ServerName,
        version: RoomVersion,
        event: Pdu,
        answer: JoinAnswer,
    ) -> Result<(), JoinError> {
        let remote = self.remote()?;
        let event = match answer.event {
            Some(signed) => co_signed(remote, &event, &signed, version).await?,
            None => event,
        };
        let event = Arc::new(event);
        let state_ids = self.verify_state(remote, &event, version, answer.state).await?;
        let chain = remote.verify_all(answer.auth_chain, version).await?;
        if chain.notary_is_away {
            return Err(RemoteError::NoKeys.into());
        }
        let chain =
            chain.events.into_iter().filter(|pdu| pdu.room_id == event.room_id).map(Arc::new);
        let mut all: Vec<Arc<Pdu>> = state_ids.iter().cloned().chain(chain).collect();
        let mut seen = HashSet::new();
        all.retain(|pdu| seen.insert(pdu.event_id.clone()));
        let room = self.room_to_enter(&event.room_id, version).await?;
        self.put_outliers(&room, by_auth(all)).await?;
        if self.residence(&room).await? == Residence::Resident {
            // A restricted join for which another server vouched: the room goes on as it was.
            let arrival = (Arrival::New, Patience::Strict);
            return match self.receive_one(&room, server, &event, arrival).await? {
                Received::Accepted | Received::Known => Ok(()),
                Received::NotShown => Err(WriteError::Refused(OVERTAKEN).into()),
            };
        }
        let state_ids: Vec<OwnedEventId> =
            state_ids.iter().map(|pdu| pdu.event_id.clone()).collect();
        let entering = self.write(&room, move |draft| {
            let before = draft.build_state_of(&state_ids)?;
            draft.require_allowed(&event, before)?;
            draft.restart_at(&event, before)
        });
        entering.await?;
        tracing::info!(room_id = %room.id, %server, "joined");
        Ok(())
    }

    async fn verify_state(
        &self,
        remote: &Arc<dyn RemoteRooms>,
        event: &Pdu,
        version: RoomVersion,
        state: Vec<Box<serde_json::value::RawValue>>,
    ) -> Result<Vec<Arc<Pdu>>, JoinError> {
        let state = remote.verify_all(state, version).await?;
        // A state with holes judges wrongly, and for good. Where nobody can vouch for the keys of
        // servers that are away there is no other: they may be away for good, too.
        if state.notary_is_away {
            return Err(RemoteError::NoKeys.into());
        }
        let state: Vec<Arc<Pdu>> = state.events.into_iter().map(Arc::new).collect();
        if state.iter().any(|pdu| pdu.room_id != event.room_id || !pdu.is_state()) {
            return Err(RemoteError::BadAnswer("state of another room").into());
        }
        let mut creates = state.iter().filter(|pdu| pdu.is_at("m.room.create", ""));
        match (creates.next(), creates.next()) {
            (Some(create), None) if declares(create, version) => Ok(state),
            _ => Err(RemoteError::BadAnswer("no create event of the room's version").into()),
        }
    }

    pub(super) async fn room_to_enter(
        &self,
        room_id: &RoomId,
        version: RoomVersion,
    ) -> Result<Arc<Room>, JoinError> {
        if let Some(room) = self.find(room_id).await? {
            return Ok(room);
        }
        let number = self.new_number().await.map_err(WriteError::from)?;
        Ok(self.opened(Room::new(number, room_id.to_owned(), version)))
    }

    /// Leaves a room, also one that this homeserver is not in: then the invitation or knock is
    /// withdrawn through a resident server. Whatever that one says, the user is out for us.
    pub async fn leave(&self, leaving: Joining) -> Result<(), JoinError> {
        let room = self.get(&leaving.room_id).await?;
        let _entrance = self.entrance_of(&room).await?;
        if self.residence(&room).await? == Residence::Resident {
            self.change_membership(&room, leave_of(&leaving)).await?;
            return Ok(());
        }
        let membership = self.membership(&room, &leaving.user).await?;
        let out = |kind: Kind| matches!(kind, Kind::Leave | Kind::Ban);
        if membership.as_ref().is_none_or(|membership| out(membership.kind)) {
            return Err(WriteError::NotJoined.into());
        }
        let servers =
            self.servers_to_ask(Some(&room), &leaving.room_id, &leaving.user, &leaving.via).await?;
        for server in servers {
            match self.leave_through(&server, &leaving).await {
                Ok(event) => return self.end(&room, &leaving, &event).await,
                Err(error) => {
                    tracing::info!(%server, room_id = %leaving.room_id, %error, "could not say that a user left");
                }
            }
        }
        if membership.is_some_and(|membership| membership.event.is_some()) {
            // We were in the room when it happened, and have its state to go on from.
            self.change_membership(&room, leave_of(&leaving)).await?;
            return Ok(());
        }
        let nowhere = Place { depth: 1, ..Place::default() };
        let template = Template { version: room.version, place: nowhere, authorised_via: None };
        let event = self.member_event(&template, &leaving, "leave", &leaving.content)?;
        self.end(&room, &leaving, &event).await
    }

    /// The user's invitation or knock is over, and this is the event that says so.
    async fn end(&self, room: &Arc<Room>, leaving: &Joining, event: &Pdu) -> Result<(), JoinError> {
        let ending = Some(super::invite::ending_json(event));
        self.put_away(room, &leaving.user, Away::Over, ending).await?;
        Ok(())
    }

    async fn leave_through(
        &self,
        server: &ServerName,
        leaving: &Joining,
    ) -> Result<Pdu, JoinError> {
        let remote = self.remote()?;
        let template =
            remote.make(server, Proposal::Leave, &leaving.room_id, &leaving.user).await?;
        let event = self.member_event(&template, leaving, "leave", &leaving.content)?;
        remote.send_leave(server, &event).await?;
        Ok(event)
    }

    /// Knocks at a room.
    pub async fn knock(&self, knocking: Joining) -> Result<(), JoinError> {
        let _entrance = self.inner.entrances.enter(&knocking.room_id).await;
        let room = self.find(&knocking.room_id).await?;
        if let Some(room) = &room
            && self.residence(room).await? == Residence::Resident
        {
            let new = NewMembership {
                sender: knocking.user.clone(),
                target: knocking.user.clone(),
                membership: MembershipState::Knock,
                content: knocking.content.clone(),
            };
            self.change_membership(room, new).await?;
            return Ok(());
        }
        let servers = self
            .servers_to_ask(room.as_deref(), &knocking.room_id, &knocking.user, &knocking.via)
            .await?;
        let mut refusals = Refusals::new(&knocking.via);
        for server in servers {
            if refusals.are_enough_for(&server) {
                break;
            }
            match self.knock_through(&server, &knocking).await {
                Ok(()) => return Ok(()),
                Err(error) => refusals.add(error),
            }
        }
        Err(refusals.last)
    }

    async fn knock_through(
        &self,
        server: &ServerName,
        knocking: &Joining,
    ) -> Result<(), JoinError> {
        let remote = self.remote()?;
        let template =
            remote.make(server, Proposal::Knock, &knocking.room_id, &knocking.user).await?;
        let event = self.member_event(&template, knocking, "knock", &knocking.content)?;
        let mut stripped = remote.send_knock(server, &event).await?;
        // The knock itself goes with it, as an invitation does.
        stripped.push(super::invite::strip(&event));
        let room = self.room_to_enter(&knocking.room_id, template.version).await?;
        let stripped = Some(super::invite::stripped_json(&stripped));
        let away = Away::Knocked(event.event_id.clone());
        self.put_away(&room, &knocking.user, away, stripped).await?;
        Ok(())
    }

    /// Servers that may help into the room: those that the caller named, the one that invited the
    /// user, those that were in the room when we were, and without any of them the room id's own.
    pub(super) async fn servers_to_ask(
        &self,
        room: Option<&Room>,
        room_id: &RoomId,
        user: &ruma::UserId,
        via: &[OwnedServerName],
    ) -> Result<Vec<OwnedServerName>, WriteError> {
        let mut servers = via.to_vec();
        if let Some(room) = room {
            if let Some(membership) = self.membership(room, user).await? {
                servers.extend(super::invite::inviting_server(&membership));
            }
            let known = self
                .read(room.number, |rows| store::memberships::servers(rows.snapshot, rows.room));
            let known = known.await?.into_iter().filter(|(_, presence)| presence.joined > 0);
            servers.extend(known.filter_map(|(name, _)| ServerName::parse(name).ok()));
        }
        // A room's id is no address; the name in it is asked only for want of a better one.
        if servers.is_empty() {
            servers.extend(room_id.server_name().map(ToOwned::to_owned));
        }
        let mut seen = HashSet::new();
        servers
            .retain(|server| *server != self.context().server_name && seen.insert(server.clone()));
        servers.truncate(SERVERS_ASKED_MAX);
        Ok(servers)
    }
}

fn leave_of(leaving: &Joining) -> NewMembership {
    NewMembership {
        sender: leaving.user.clone(),
        target: leaving.user.clone(),
        membership: MembershipState::Leave,
        content: leaving.content.clone(),
    }
}

/// How long a join waits for a server that has not yet heard of what the user did before, each time
/// that it is asked.
const BEHIND_PAUSES: [Duration; 4] = [
    Duration::from_millis(100),
    Duration::from_millis(400),
    Duration::from_secs(1),
    Duration::from_secs(3),
];
/// Why what other servers signed has no effect here.
pub(super) const OVERTAKEN: &str = "the room has changed meanwhile";
/// Servers that one join asks, at most.
const SERVERS_ASKED_MAX: usize = 10;

fn declares(create: &Pdu, version: RoomVersion) -> bool {
    #[derive(serde::Deserialize)]
    struct Create {
        room_version: Option<String>,
    }
    let declared = create.content_as::<Create>().and_then(|create| create.room_version);
    declared.as_deref().unwrap_or("1") == version.as_str()
}

/// Our event as the resident server signed it too: the same event, with one more signature.
async fn co_signed(
    remote: &Arc<dyn RemoteRooms>,
    ours: &Pdu,
    signed: &serde_json::value::RawValue,
    version: RoomVersion,
) -> Result<Pdu, JoinError> {
    let signed = remote.verify(signed, version).await?;
    if signed.event_id != ours.event_id {
        return Err(RemoteError::BadAnswer("another event than the join").into());
    }
    Ok(signed)
}
