//! What rooms ask of other homeservers. `federation` implements it; here is only the contract.

use std::time::Duration;

use futures_util::future::BoxFuture;
use model::{build::Place, pdu::Pdu, room_version::RoomVersion};
use ruma::{
    CanonicalJsonObject, EventId, OwnedEventId, OwnedServerName, RoomAliasId, RoomId, ServerName,
    UserId,
};
use serde_json::value::RawValue;

use super::{
    public::{PublicRooms, Wanted},
    spaces::Level,
};

/// Why another homeserver was of no help.
#[derive(Debug, thiserror::Error)]
pub enum RemoteError {
    #[error("the server could not be reached")]
    Unreachable,
    /// It answered with a Matrix error: status, `errcode`, `error`, and the whole body.
    #[error("the server refused: {errcode}: {message}")]
    Refused { status: u16, errcode: String, message: String, body: Option<Box<RawValue>> },
    #[error("the server's answer is not valid: {0}")]
    BadAnswer(&'static str),
    /// Whether an event is authentic cannot be said now.
    #[error("the keys that would verify the event cannot be had now")]
    NoKeys,
}

impl RemoteError {
    /// Whether the same may succeed later.
    pub fn may_pass(&self) -> bool {
        match self {
            Self::Unreachable | Self::NoKeys => true,
            Self::Refused { status, .. } => *status == 429 || *status >= 500,
            Self::BadAnswer(_) => false,
        }
    }
}

/// The memberships that a user of ours can propose through another homeserver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proposal {
    Join,
    Knock,
    Leave,
}

/// What a resident server says of the place of a membership event of ours. The event itself is
/// ours to write: of its template only this is taken (security: a template is never signed).
#[derive(Clone, Debug)]
pub struct Template {
    pub version: RoomVersion,
    pub place: Place,
    /// A user of a resident server who vouches for a restricted join.
    pub authorised_via: Option<String>,
}

/// Answer to a join: raw, unverified events.
#[derive(Debug)]
pub struct JoinAnswer {
    /// Our event with the resident server's signature, when the join was restricted.
    pub event: Option<Box<RawValue>>,
    /// The room's state before the join.
    pub state: Vec<Box<RawValue>>,
    pub auth_chain: Vec<Box<RawValue>>,
}

/// The state before an event, whole: raw, unverified events.
#[derive(Debug, Default)]
pub struct RawState {
    pub state: Vec<Box<RawValue>>,
    pub auth_chain: Vec<Box<RawValue>>,
}

/// The state before an event, by ids.
#[derive(Clone, Debug, Default)]
pub struct StateIds {
    pub state: Vec<OwnedEventId>,
    pub auth_chain: Vec<OwnedEventId>,
}

/// Those of many events that are authentic.
#[derive(Debug, Default)]
pub struct Verified {
    pub events: Vec<Pdu>,
    /// For others the keys could not be had: they may be authentic all the same.
    pub some_lack_keys: bool,
    /// Somebody may vouch for keys among them who does not answer now.
    pub notary_is_away: bool,
}

pub type Asked<'a, T> = BoxFuture<'a, Result<T, RemoteError>>;

/// Another homeserver, asked on behalf of ours. Raw events that it answers are not verified yet:
/// [`verify`](Self::verify) each before use.
pub trait RemoteRooms: Send + Sync {
    /// Checks signatures and hash of an event from anywhere, fetching keys as needed. A wrong hash
    /// gives the redacted event.
    fn verify<'a>(&'a self, event: &'a RawValue, version: RoomVersion) -> Asked<'a, Pdu>;

    /// [`verify`](Self::verify) of many; the bad ones are left out.
    fn verify_all<'a>(
        &'a self,
        events: Vec<Box<RawValue>>,
        version: RoomVersion,
    ) -> Asked<'a, Verified>;

    fn make<'a>(
        &'a self,
        server: &'a ServerName,
        proposal: Proposal,
        room_id: &'a RoomId,
        user: &'a UserId,
    ) -> Asked<'a, Template>;

    fn send_join<'a>(&'a self, server: &'a ServerName, event: &'a Pdu) -> Asked<'a, JoinAnswer>;

    fn send_leave<'a>(&'a self, server: &'a ServerName, event: &'a Pdu) -> Asked<'a, ()>;

    /// Answers the room's stripped state.
    fn send_knock<'a>(
        &'a self,
        server: &'a ServerName,
        event: &'a Pdu,
    ) -> Asked<'a, Vec<Box<RawValue>>>;

    /// Shows an invitation to the invited user's server, which signs it. `stripped` is the room's
    /// stripped state; `via` are servers that the invited user can join through.
    fn invite<'a>(
        &'a self,
        server: &'a ServerName,
        event: &'a Pdu,
        stripped: Vec<Box<RawValue>>,
        via: Vec<OwnedServerName>,
    ) -> Asked<'a, Box<RawValue>>;

    /// Events between `latest` (exclusive) and `earliest` (exclusive), oldest first.
    fn missing_events<'a>(
        &'a self,
        server: &'a ServerName,
        room_id: &'a RoomId,
        latest: &'a [OwnedEventId],
        earliest: &'a [OwnedEventId],
        limit: u32,
    ) -> Asked<'a, Vec<Box<RawValue>>>;

    fn backfill<'a>(
        &'a self,
        server: &'a ServerName,
        room_id: &'a RoomId,
        from: &'a [OwnedEventId],
        limit: u32,
    ) -> Asked<'a, Vec<Box<RawValue>>>;

    fn state_ids<'a>(
        &'a self,
        server: &'a ServerName,
        room_id: &'a RoomId,
        event_id: &'a EventId,
    ) -> Asked<'a, StateIds>;

    /// State and auth chain before an event, whole.
    fn state<'a>(
        &'a self,
        server: &'a ServerName,
        room_id: &'a RoomId,
        event_id: &'a EventId,
    ) -> Asked<'a, RawState>;

    fn event<'a>(
        &'a self,
        server: &'a ServerName,
        event_id: &'a EventId,
    ) -> Asked<'a, Box<RawValue>>;

    fn event_auth<'a>(
        &'a self,
        server: &'a ServerName,
        room_id: &'a RoomId,
        event_id: &'a EventId,
    ) -> Asked<'a, Vec<Box<RawValue>>>;

    /// The room and those right below it, as far as the server lets us see them.
    fn hierarchy<'a>(&'a self, server: &'a ServerName, room_id: &'a RoomId) -> Asked<'a, Level>;

    /// The event that the server knows in the room nearest to a time, and when it was sent.
    fn event_at_time<'a>(
        &'a self,
        server: &'a ServerName,
        room_id: &'a RoomId,
        time_ms: u64,
        forward: bool,
    ) -> Asked<'a, (OwnedEventId, u64)>;

    /// A page of the server's list of published rooms.
    fn public_rooms<'a>(&'a self, server: &'a ServerName, wanted: Wanted)
    -> Asked<'a, PublicRooms>;

    /// The room that an alias of another server points to, and servers that are in it.
    fn alias<'a>(
        &'a self,
        alias: &'a RoomAliasId,
    ) -> Asked<'a, Option<(ruma::OwnedRoomId, Vec<OwnedServerName>)>>;
}

/// What an event object that a peer proposed may decide: its place.
pub fn template_of(event: &CanonicalJsonObject, version: RoomVersion) -> Option<Template> {
    let ids = |field: &str| -> Option<Vec<OwnedEventId>> {
        let ids = event.get(field)?.as_array()?.iter();
        ids.map(|id| EventId::parse(id.as_str()?).ok()).collect()
    };
    let depth = u64::try_from(i64::from(event.get("depth")?.as_integer()?)).ok()?;
    let content = event.get("content")?.as_object()?;
    let authorised_via = content.get("join_authorised_via_users_server");
    Some(Template {
        version,
        place: Place { prev_events: ids("prev_events")?, auth_events: ids("auth_events")?, depth },
        authorised_via: authorised_via.and_then(|via| via.as_str()).map(str::to_owned),
    })
}

/// How long one attempt to join through a server may take: the answer holds the whole state.
pub const JOIN_TIMEOUT: Duration = Duration::from_secs(60);
