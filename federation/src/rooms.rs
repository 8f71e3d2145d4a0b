//! Other servers, as `services::rooms` asks them: the port that it defines, over the wire.
//!
//! Nothing of an answer is believed here but its shape. Events are verified by
//! [`RemoteRooms::verify`] before they are used; templates are only read for the event's place.

use std::{sync::Arc, time::Duration};

use futures_util::future::BoxFuture;
use model::{pdu::Pdu, room_version::RoomVersion};
use ruma::{
    CanonicalJsonObject, EventId, MilliSecondsSinceUnixEpoch, OwnedEventId, OwnedRoomId,
    OwnedServerName, RoomAliasId, RoomId, RoomVersionId, ServerName, UInt, UserId,
    api::federation::{
        authorization::get_event_authorization,
        backfill::get_backfill,
        directory::get_public_rooms_filtered,
        event::{
            get_event, get_event_by_timestamp, get_missing_events, get_room_state,
            get_room_state_ids,
        },
        membership::{
            RawStrippedState, create_invite, create_join_event, create_knock_event,
            create_leave_event, prepare_join_event, prepare_knock_event, prepare_leave_event,
        },
        query::get_room_information,
        space::get_hierarchy,
    },
    api::{Direction, error::ErrorBody},
    directory::{Filter, RoomNetwork},
};
use serde_json::value::RawValue;
use services::rooms::{
    public::{PublicRooms, Wanted},
    remote::{
        JOIN_TIMEOUT, JoinAnswer, Proposal, RawState, RemoteError, RemoteRooms, StateIds, Template,
        Verified, template_of,
    },
    spaces::Level,
};

use crate::{
    client::{FederationClient, RequestError},
    keys::Keys,
};

mod authenticity;

/// How long a question may take whose answer is one event, or a list of ids.
const QUESTION_TIME_MAX: Duration = Duration::from_secs(20);
/// How long an answer with many events may take.
const HISTORY_TIME_MAX: Duration = Duration::from_secs(60);
/// How long an invited user's server may take to sign.
const INVITE_TIME_MAX: Duration = Duration::from_secs(20);

/// Asks other servers about rooms.
pub struct RemoteServers {
    client: FederationClient,
    keys: Arc<Keys>,
}

impl RemoteServers {
    pub fn new(client: FederationClient, keys: Arc<Keys>) -> Arc<Self> {
        Arc::new(Self { client, keys })
    }
}

type Asked<'a, T> = BoxFuture<'a, Result<T, RemoteError>>;

impl RemoteRooms for RemoteServers {
    fn verify<'a>(&'a self, event: &'a RawValue, version: RoomVersion) -> Asked<'a, Pdu> {
        Box::pin(self.verify_event(event.get().as_bytes(), version))
    }

    fn verify_all<'a>(
        &'a self,
        events: Vec<Box<RawValue>>,
        version: RoomVersion,
    ) -> Asked<'a, Verified> {
        Box::pin(async move { Ok(self.verify_events(events, version).await) })
    }

    fn make<'a>(
        &'a self,
        server: &'a ServerName,
        proposal: Proposal,
        room_id: &'a RoomId,
        user: &'a UserId,
    ) -> Asked<'a, Template> {
        Box::pin(async move {
            let (room_id, user_id) = (room_id.to_owned(), user.to_owned());
            let ver: Vec<RoomVersionId> =
                RoomVersion::ALL.iter().map(|version| version.id()).collect();
            let time_max = QUESTION_TIME_MAX;
            let (version, event) = match proposal {
                Proposal::Join => {
                    let request = prepare_join_event::v1::Request { room_id, user_id, ver };
                    let answer = self.client.insist(server, request, time_max).await;
                    let answer = answer.map_err(explain)?;
                    (answer.room_version, answer.event)
                }
                Proposal::Knock => {
                    let request = prepare_knock_event::v1::Request { room_id, user_id, ver };
                    let answer = self.client.insist(server, request, time_max).await;
                    let answer = answer.map_err(explain)?;
                    (Some(answer.room_version), answer.event)
                }
                Proposal::Leave => {
                    let request = prepare_leave_event::v1::Request { room_id, user_id };
                    let answer = self.client.insist(server, request, time_max).await;
                    let answer = answer.map_err(explain)?;
                    (answer.room_version, answer.event)
                }
            };
            let version = version.as_ref().map_or("1", RoomVersionId::as_str).parse();
            let version =
                version.map_err(|_| RemoteError::BadAnswer("an unsupported room version"))?;
            let event: CanonicalJsonObject = serde_json::from_str(event.get())
                .map_err(|_| RemoteError::BadAnswer("a template that is no event"))?;
            template_of(&event, version)
                .ok_or(RemoteError::BadAnswer("a template without a place in the room"))
        })
    }

    fn send_join<'a>(&'a self, server: &'a ServerName, event: &'a Pdu) -> Asked<'a, JoinAnswer> {
        Box::pin(async move {
            let request = create_join_event::v2::Request {
                room_id: event.room_id.clone(),
                event_id: event.event_id.clone(),
                pdu: event.to_wire(),
                omit_members: false,
            };
            let answer = self.client.insist(server, request, JOIN_TIMEOUT).await;
            let state = answer.map_err(explain)?.room_state;
            Ok(JoinAnswer { event: state.event, state: state.state, auth_chain: state.auth_chain })
        })
    }

    fn send_leave<'a>(&'a self, server: &'a ServerName, event: &'a Pdu) -> Asked<'a, ()> {
        Box::pin(async move {
            let request = create_leave_event::v2::Request {
                room_id: event.room_id.clone(),
                event_id: event.event_id.clone(),
                pdu: event.to_wire(),
            };
            let answer = self.client.insist(server, request, QUESTION_TIME_MAX).await;
            answer.map(drop).map_err(explain)
        })
    }

    fn send_knock<'a>(
        &'a self,
        server: &'a ServerName,
        event: &'a Pdu,
    ) -> Asked<'a, Vec<Box<RawValue>>> {
        Box::pin(async move {
            let request = create_knock_event::v1::Request {
                room_id: event.room_id.clone(),
                event_id: event.event_id.clone(),
                pdu: event.to_wire(),
            };
            let answer = self.client.insist(server, request, QUESTION_TIME_MAX).await;
            Ok(answer.map_err(explain)?.knock_room_state.into_iter().filter_map(raw).collect())
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
            let request = create_invite::v2::Request {
                room_id: event.room_id.clone(),
                event_id: event.event_id.clone(),
                room_version: event.room_version.id(),
                event: event.to_wire(),
                invite_room_state: stripped.into_iter().map(RawStrippedState::Pdu).collect(),
            };
            let answer = self.client.insist(server, request, INVITE_TIME_MAX).await;
            Ok(answer.map_err(explain)?.event)
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
            let request = get_missing_events::v1::Request {
                room_id: room_id.to_owned(),
                limit: limit.into(),
                min_depth: UInt::MIN,
                earliest_events: earliest.to_vec(),
                latest_events: latest.to_vec(),
            };
            let answer = self.client.send(server, request, HISTORY_TIME_MAX).await;
            Ok(answer.map_err(explain)?.events)
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
            let request = get_backfill::v1::Request {
                room_id: room_id.to_owned(),
                v: from.to_vec(),
                limit: limit.into(),
            };
            let answer = self.client.send(server, request, HISTORY_TIME_MAX).await;
            Ok(answer.map_err(explain)?.pdus)
        })
    }

    fn state_ids<'a>(
        &'a self,
        server: &'a ServerName,
        room_id: &'a RoomId,
        event_id: &'a EventId,
    ) -> Asked<'a, StateIds> {
        Box::pin(async move {
            let request = get_room_state_ids::v1::Request {
                room_id: room_id.to_owned(),
                event_id: event_id.to_owned(),
            };
            let answer = self.client.send(server, request, HISTORY_TIME_MAX).await;
            let answer = answer.map_err(explain)?;
            Ok(StateIds { state: answer.pdu_ids, auth_chain: answer.auth_chain_ids })
        })
    }

    fn state<'a>(
        &'a self,
        server: &'a ServerName,
        room_id: &'a RoomId,
        event_id: &'a EventId,
    ) -> Asked<'a, RawState> {
        Box::pin(async move {
            let request = get_room_state::v1::Request {
                room_id: room_id.to_owned(),
                event_id: event_id.to_owned(),
            };
            let answer = self.client.send(server, request, HISTORY_TIME_MAX).await;
            let answer = answer.map_err(explain)?;
            Ok(RawState { state: answer.pdus, auth_chain: answer.auth_chain })
        })
    }

    fn event<'a>(
        &'a self,
        server: &'a ServerName,
        event_id: &'a EventId,
    ) -> Asked<'a, Box<RawValue>> {
        Box::pin(async move {
            let request = get_event::v1::Request { event_id: event_id.to_owned() };
            let answer = self.client.send(server, request, QUESTION_TIME_MAX).await;
            Ok(answer.map_err(explain)?.pdu)
        })
    }

    fn event_auth<'a>(
        &'a self,
        server: &'a ServerName,
        room_id: &'a RoomId,
        event_id: &'a EventId,
    ) -> Asked<'a, Vec<Box<RawValue>>> {
        Box::pin(async move {
            let request = get_event_authorization::v1::Request {
                room_id: room_id.to_owned(),
                event_id: event_id.to_owned(),
            };
            let answer = self.client.send(server, request, HISTORY_TIME_MAX).await;
            Ok(answer.map_err(explain)?.auth_chain)
        })
    }

    fn hierarchy<'a>(&'a self, server: &'a ServerName, room_id: &'a RoomId) -> Asked<'a, Level> {
        Box::pin(async move {
            let request =
                get_hierarchy::v1::Request { room_id: room_id.to_owned(), suggested_only: false };
            let answer = self.client.send(server, request, QUESTION_TIME_MAX).await;
            let answer = answer.map_err(explain)?;
            let (room, children) =
                (serde_json::to_value(&answer.room), serde_json::to_value(&answer.children));
            let parts =
                (room.and_then(serde_json::from_value), children.and_then(serde_json::from_value));
            let (Ok(room), Ok(children)) = parts else {
                return Err(RemoteError::BadAnswer("not a view of rooms"));
            };
            let inaccessible_children = answer.inaccessible_children;
            Ok(Level { room, children, inaccessible_children })
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
            let request = get_event_by_timestamp::v1::Request {
                room_id: room_id.to_owned(),
                ts: MilliSecondsSinceUnixEpoch(UInt::new_saturating(time_ms)),
                dir: if forward { Direction::Forward } else { Direction::Backward },
            };
            let answer = self.client.send(server, request, QUESTION_TIME_MAX).await;
            let answer = answer.map_err(explain)?;
            Ok((answer.event_id, answer.origin_server_ts.0.into()))
        })
    }

    fn public_rooms<'a>(
        &'a self,
        server: &'a ServerName,
        wanted: Wanted,
    ) -> Asked<'a, PublicRooms> {
        Box::pin(async move {
            let filter =
                Filter { generic_search_term: wanted.search, room_types: wanted.room_types };
            let request = get_public_rooms_filtered::v1::Request {
                limit: UInt::try_from(wanted.limit).ok(),
                since: wanted.since,
                filter,
                room_network: RoomNetwork::Matrix,
            };
            let answer = self.client.insist(server, request, QUESTION_TIME_MAX).await;
            let answer = answer.map_err(explain)?;
            Ok(PublicRooms {
                chunk: answer.chunk,
                next_batch: answer.next_batch,
                prev_batch: answer.prev_batch,
                total: answer.total_room_count_estimate,
            })
        })
    }

    fn alias<'a>(
        &'a self,
        alias: &'a RoomAliasId,
    ) -> Asked<'a, Option<(OwnedRoomId, Vec<OwnedServerName>)>> {
        Box::pin(async move {
            let request = get_room_information::v1::Request { room_alias: alias.to_owned() };
            let server = alias.server_name();
            match self.client.insist(server, request, QUESTION_TIME_MAX).await.map_err(explain) {
                Ok(answer) => Ok(Some((answer.room_id, answer.servers))),
                Err(RemoteError::Refused { status: 404, .. }) => Ok(None),
                Err(error) => Err(error),
            }
        })
    }
}

pub(crate) fn raw(stripped: RawStrippedState) -> Option<Box<RawValue>> {
    serde_json::value::to_raw_value(&stripped).ok()
}

pub(crate) fn explain(error: RequestError) -> RemoteError {
    match error {
        RequestError::Refused(error) => {
            let body = match &error.body {
                ErrorBody::Standard(body) => serde_json::to_value(body).unwrap_or_default(),
                ErrorBody::Json(body) => body.clone(),
                ErrorBody::NotJson { .. } => serde_json::Value::Null,
            };
            let field = |name| body.get(name).and_then(|value| value.as_str()).unwrap_or_default();
            RemoteError::Refused {
                status: error.status_code.as_u16(),
                errcode: field("errcode").to_owned(),
                message: field("error").to_owned(),
                body: serde_json::value::to_raw_value(&body).ok(),
            }
        }
        RequestError::BadAnswer(_) => RemoteError::BadAnswer("not an answer to the question"),
        RequestError::Ourselves
        | RequestError::Encode(_)
        | RequestError::BackingOff { .. }
        | RequestError::Unreachable(_)
        | RequestError::TimedOut => RemoteError::Unreachable,
    }
}
