//! Invitations across servers, and rooms that a user is only invited to or knocking at.

use std::sync::Arc;

use model::{build, pdu::Pdu};
use ruma::{
    OwnedEventId, OwnedServerName, OwnedUserId, RoomId, UserId,
    events::room::member::MembershipState,
};
use serde::Deserialize;
use serde_json::value::RawValue;
use store::{
    log::Change,
    memberships::{self, Invitation, Kind, Membership},
};

use super::{
    Draft, Room, Rooms, WriteError, join::JoinError, membership::NewMembership, receive::Received,
    remote::RemoteError,
};

/// State that is shown to those who are not in the room ("Stripped state", client-server API).
pub const STRIPPED_TYPES: [&str; 8] = [
    "m.room.create",
    "m.room.name",
    "m.room.avatar",
    "m.room.topic",
    "m.room.join_rules",
    "m.room.canonical_alias",
    "m.room.encryption",
    "m.room.history_visibility",
];

/// A local user's relation to a room that this homeserver is not in, and the event that began it.
pub(super) enum Away {
    Invited {
        event_id: OwnedEventId,
        depth: u64,
    },
    Knocked(OwnedEventId),
    /// An invitation or a knock is over.
    Over,
}

impl Rooms {
    /// Invites a user, of this or of another server. The other server sees the invitation first
    /// and signs it.
    pub async fn invite(&self, room_id: &RoomId, new: NewMembership) -> Result<(), JoinError> {
        let room = self.get(room_id).await?;
        if self.context().is_local(&new.target) {
            self.change_membership(&room, new).await?;
            return Ok(());
        }
        let (target, sender) = (new.target.clone(), new.sender.clone());
        let building = self.write(&room, move |draft| {
            draft.require_joined(&new.sender)?;
            let template = draft.membership_template(&new)?;
            let (event, _) = draft.build(&template)?;
            let mut stripped = draft.stripped_state()?;
            stripped.extend(draft.stripped("m.room.member", new.sender.as_str())?);
            Ok((event, stripped))
        });
        let (event, stripped) = building.await?.value;
        let remote = self.remote()?;
        let server = target.server_name();
        let via = vec![self.context().server_name.clone()];
        let signed = remote.invite(server, &event, stripped, via).await?;
        let signed = remote.verify(&signed, room.version).await?;
        if signed.event_id != event.event_id {
            return Err(RemoteError::BadAnswer("another event than the invitation").into());
        }
        tracing::debug!(room_id = %room.id, %sender, "invitation was signed");
        let signed = Arc::new(signed);
        // The room may have gone on meanwhile; then this is a fork like any other.
        let arrival = (super::Arrival::New, super::receive::Patience::Strict);
        match self.receive_one(&room, server, &signed, arrival).await? {
            Received::Accepted | Received::Known => Ok(()),
            Received::NotShown => Err(WriteError::Refused(super::join::OVERTAKEN).into()),
        }
    }

    /// Another server invites a local user. Answers the event with our signature.
    pub async fn receive_invite(
        &self,
        event: Pdu,
        stripped: Vec<Box<RawValue>>,
    ) -> Result<Pdu, JoinError> {
        let context = self.context();
        let signed =
            build::countersign(&event, &context.server_name, &context.signing_key.current())
                .map_err(WriteError::from)?;
        let target = event.state_key.as_deref().and_then(|key| UserId::parse(key).ok());
        let target = target.ok_or(RemoteError::BadAnswer("an invitation of nobody"))?;
        let room = self.room_to_enter(&event.room_id, event.room_version).await?;
        let mut stripped = stripped;
        stripped.push(strip(&event));
        let stripped = Some(stripped_json(&stripped));
        let invited = Away::Invited { event_id: event.event_id.clone(), depth: event.depth };
        self.put_away(&room, &target, invited, stripped).await?;
        Ok(signed)
    }

    /// Notes a local user's relation to a room that this homeserver is not in. If it is in the room,
    /// the room's state says it better; but an invitation of somebody who is joined is kept until
    /// that state tells how his stay ended.
    pub(super) async fn put_away(
        &self,
        room: &Arc<Room>,
        user: &UserId,
        away: Away,
        stripped_state: Option<String>,
    ) -> Result<(), WriteError> {
        let (kind, opened_by, depth) = match away {
            Away::Invited { event_id, depth } => (Kind::Invite, Some(event_id.to_string()), depth),
            Away::Knocked(event_id) => (Kind::Knock, Some(event_id.to_string()), 0),
            Away::Over => (Kind::Leave, None, 0),
        };
        let user = user.localpart().to_owned();
        let number = room.number;
        let us = self.context().server_name.clone();
        let putting = self.write(room, move |draft| {
            if draft.server(us.as_str())?.is_some_and(|presence| presence.joined > 0) {
                if let (Kind::Invite, Some(event_id)) = (kind, opened_by.clone()) {
                    let stripped_state = stripped_state.clone();
                    draft.keep_overtaking(&user, Invitation { event_id, depth, stripped_state })?;
                }
                return Ok(());
            }
            let membership = Membership {
                kind,
                event: None,
                opened_by: opened_by.clone(),
                since: 0,
                stripped_state: stripped_state.clone(),
                forgotten: false,
                overtaking: None,
            };
            draft.drafted.note_room();
            memberships::put(&mut draft.drafted.batch, &user, number, &membership);
            draft.drafted.changes.push(Change::Membership { user: user.clone(), room: number });
            Ok(())
        });
        putting.await.map(drop)
    }
}

impl Draft<'_> {
    fn keep_overtaking(&mut self, user: &str, invitation: Invitation) -> Result<(), WriteError> {
        let rows = self.rows()?;
        let known = memberships::get(rows.snapshot, user, rows.room)?;
        let Some(joined) = known.filter(|known| known.kind == Kind::Join) else { return Ok(()) };
        let membership = Membership { overtaking: Some(invitation), ..joined };
        memberships::put(&mut self.drafted.batch, user, rows.room, &membership);
        self.drafted.changes.push(Change::Nothing);
        Ok(())
    }

    /// The room's stripped state.
    pub fn stripped_state(&mut self) -> Result<Vec<Box<RawValue>>, WriteError> {
        let mut stripped = Vec::new();
        for event_type in STRIPPED_TYPES {
            stripped.extend(self.stripped(event_type, "")?);
        }
        Ok(stripped)
    }

    fn stripped(
        &mut self,
        event_type: &str,
        key: &str,
    ) -> Result<Option<Box<RawValue>>, WriteError> {
        // Since v1.16 servers are shown the whole event, so that they can check it.
        Ok(self.state(event_type, key)?.map(|event| event.pdu.to_wire()))
    }
}

/// An event as those see it who are not in the room.
pub fn strip(event: &Pdu) -> Box<RawValue> {
    #[derive(serde::Serialize)]
    struct Stripped<'a> {
        r#type: &'a str,
        state_key: &'a str,
        sender: &'a UserId,
        content: &'a RawValue,
    }
    let stripped = Stripped {
        r#type: &event.event_type,
        state_key: event.state_key.as_deref().unwrap_or_default(),
        sender: &event.sender,
        content: event.content(),
    };
    serde_json::value::to_raw_value(&stripped).expect("plain data is always JSON")
}

/// The member event that ended an invitation or a knock, as it is stored for who was put out by it:
/// a JSON array of one event as clients see it.
pub(super) fn ending_json(event: &Pdu) -> String {
    #[derive(serde::Serialize)]
    struct Ending<'a> {
        r#type: &'a str,
        state_key: &'a str,
        sender: &'a UserId,
        content: &'a RawValue,
        event_id: &'a ruma::EventId,
        origin_server_ts: u64,
    }
    let ending = Ending {
        r#type: &event.event_type,
        state_key: event.state_key.as_deref().unwrap_or_default(),
        sender: &event.sender,
        content: event.content(),
        event_id: &event.event_id,
        origin_server_ts: event.origin_server_ts,
    };
    serde_json::to_string(&[ending]).unwrap_or_default()
}

/// Stripped state as it is stored: a JSON array of `{type, state_key, sender, content}`. What is
/// not of that shape is left out, so that no invitation can break its receiver's /sync.
pub fn stripped_json(events: &[Box<RawValue>]) -> String {
    #[derive(Deserialize, serde::Serialize)]
    struct Stripped {
        r#type: String,
        state_key: String,
        sender: ruma::OwnedUserId,
        content: serde_json::Map<String, serde_json::Value>,
        /// Of create events (MSC4311).
        #[serde(skip_serializing_if = "Option::is_none")]
        origin_server_ts: Option<u64>,
    }
    let events: Vec<Stripped> = events
        .iter()
        .filter(|event| event.get().len() <= STRIPPED_EVENT_BYTES_MAX)
        .filter_map(|event| serde_json::from_str::<Stripped>(event.get()).ok())
        .map(|event| Stripped {
            origin_server_ts: event.origin_server_ts.filter(|_| event.r#type == "m.room.create"),
            ..event
        })
        .take(STRIPPED_EVENTS_MAX)
        .collect();
    let json = serde_json::to_string(&events).unwrap_or_default();
    if json.len() > STRIPPED_BYTES_MAX { "[]".to_owned() } else { json }
}

const STRIPPED_EVENTS_MAX: usize = 32;
const STRIPPED_EVENT_BYTES_MAX: usize = 16_384;
const STRIPPED_BYTES_MAX: usize = 80_000;

/// The server of whoever invited the user, from the stored stripped state.
pub(super) fn inviting_server(membership: &Membership) -> Option<OwnedServerName> {
    inviting_user(membership).map(|user| user.server_name().to_owned())
}

/// Whoever invited the user, from the stored stripped state.
pub(super) fn inviting_user(membership: &Membership) -> Option<OwnedUserId> {
    #[derive(Deserialize)]
    struct Stripped<'a> {
        r#type: &'a str,
        sender: ruma::OwnedUserId,
        #[serde(borrow)]
        content: Content<'a>,
    }
    #[derive(Deserialize)]
    struct Content<'a> {
        membership: Option<&'a str>,
    }
    let stripped = membership.stripped_state.as_deref()?;
    let events: Vec<&RawValue> = serde_json::from_str(stripped).ok()?;
    let events = events.into_iter().filter_map(|event| serde_json::from_str(event.get()).ok());
    let invite = |event: &Stripped<'_>| {
        event.r#type == "m.room.member"
            && event.content.membership == Some(MembershipState::Invite.as_str())
    };
    let mut invites = events.filter(invite);
    invites.next_back().map(|event: Stripped<'_>| event.sender)
}
