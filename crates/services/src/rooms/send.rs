//! Sending events of our own users.

use std::collections::BTreeMap;

use model::{build::EventTemplate, event_auth};
use ruma::{EventId, OwnedEventId, OwnedUserId, RoomId};
use serde_json::value::RawValue;
use store::{events::SentBy, transactions, value::corrupt};

use super::{Draft, Rooms, WriteError};

pub use store::transactions::Transaction;

/// An event that a local user wants in a room.
#[derive(Clone, Debug)]
pub struct NewEvent {
    pub sender: OwnedUserId,
    pub event_type: String,
    pub state_key: Option<String>,
    /// A JSON object.
    pub content: Box<RawValue>,
    pub redacts: Option<OwnedEventId>,
    /// Milliseconds since the Unix epoch; `None`: now. Only appservices may choose it.
    pub timestamp_ms: Option<u64>,
    /// What makes a repetition of the request the same request.
    pub transaction: Option<Transaction>,
}

#[derive(Default, serde::Deserialize)]
struct PowerLevels {
    #[serde(default)]
    users: BTreeMap<OwnedUserId, serde::de::IgnoredAny>,
}

impl Rooms {
    /// Sends an event into a room, once per transaction. State that is already so is not sent
    /// again: the answer is the event that made it so.
    pub async fn send(&self, room_id: &RoomId, new: NewEvent) -> Result<OwnedEventId, WriteError> {
        let room = self.get(room_id).await?;
        Ok(self.write(&room, move |draft| draft.send(&new)).await?.value)
    }
}

impl Draft<'_> {
    /// See [`Rooms::send`].
    pub fn send(&mut self, new: &NewEvent) -> Result<OwnedEventId, WriteError> {
        if let Some(event_id) = self.already_sent(new.transaction.as_ref())? {
            return Ok(event_id);
        }
        self.require_joined(&new.sender)?;
        if let Some(event_id) = self.already_so(new)? {
            return Ok(event_id);
        }
        self.require_sensible(new)?;
        self.require_may_redact(new)?;
        let template = EventTemplate {
            room_id: Some(self.drafted.room_id.clone()),
            sender: new.sender.clone(),
            event_type: new.event_type.clone(),
            state_key: new.state_key.clone(),
            content: new.content.clone(),
            redacts: new.redacts.clone(),
            origin_server_ts: new
                .timestamp_ms
                .unwrap_or_else(|| self.drafted.context.clock.now_ms()),
        };
        let sent_by = new.transaction.as_ref().map(|transaction| SentBy {
            device_id: transaction.device_id.clone(),
            transaction_id: transaction.id.clone(),
        });
        let event_id = self.append(template, sent_by)?.event_id.clone();
        if let Some(transaction) = &new.transaction {
            transactions::put(&mut self.drafted.batch, transaction, event_id.as_bytes());
        }
        Ok(event_id)
    }

    /// What the transaction was answered, if it was. Looked up only when its batch was refused: the
    /// batch itself requires that there is no answer yet.
    fn already_sent(
        &self,
        transaction: Option<&Transaction>,
    ) -> Result<Option<OwnedEventId>, WriteError> {
        let Some(transaction) = transaction.filter(|_| self.is_repeated) else { return Ok(None) };
        let answer = transactions::answer_of(self.rows()?.snapshot, transaction)?;
        let event_id = |answer: bytes::Bytes| {
            let id = std::str::from_utf8(&answer).ok().and_then(|id| EventId::parse(id).ok());
            id.ok_or_else(|| corrupt("answer of a transaction"))
        };
        Ok(answer.map(event_id).transpose()?)
    }

    /// What the auth rules would refuse whoever sends it.
    fn require_sensible(&mut self, new: &NewEvent) -> Result<(), WriteError> {
        if new.state_key.is_none() {
            return Ok(());
        }
        if new.event_type == "m.room.create" {
            return Err(WriteError::BadContent("a room is created once"));
        }
        if new.event_type != "m.room.power_levels" || !self.drafted.version.room_id_is_create_hash()
        {
            return Ok(());
        }
        // Since v12: "users" must not name those who have infinite power anyway.
        let (create, _) = self.powers()?;
        let content = serde_json::from_str::<PowerLevels>(new.content.get());
        let named = content.map(|content| content.users).unwrap_or_default();
        if event_auth::creators(&create).iter().any(|creator| named.contains_key(creator)) {
            return Err(WriteError::BadContent("creators must not be named in the power levels"));
        }
        Ok(())
    }

    /// The auth rules let anybody send a redaction, which then has no effect; who may not redact is
    /// told so instead.
    fn require_may_redact(&mut self, new: &NewEvent) -> Result<(), WriteError> {
        let Some(target) = &new.redacts else { return Ok(()) };
        let Some(target) = self.event_by_id(target)? else { return Ok(()) };
        let (create, power_levels) = self.powers()?;
        let own = target.pdu.sender == new.sender;
        if own || event_auth::may_redact(&new.sender, &create, power_levels.as_deref()) {
            return Ok(());
        }
        Err(WriteError::Refused("you may only redact your own events"))
    }

    /// The current state event that says just what `new` says, sent by the same user.
    fn already_so(&mut self, new: &NewEvent) -> Result<Option<OwnedEventId>, WriteError> {
        let Some(state_key) = &new.state_key else { return Ok(None) };
        let Some(current) = self.state(&new.event_type, state_key)? else { return Ok(None) };
        let same = current.pdu.sender == new.sender
            && serde_json::from_str::<serde_json::Value>(current.pdu.content().get()).ok()
                == serde_json::from_str(new.content.get()).ok();
        Ok(same.then(|| current.pdu.event_id.clone()))
    }

    /// Fails unless the user is joined.
    pub fn require_joined(&mut self, user: &ruma::UserId) -> Result<(), WriteError> {
        let member = self.state("m.room.member", user.as_str())?;
        let membership = member.and_then(|member| member.pdu.membership());
        match membership {
            Some(ruma::events::room::member::MembershipState::Join) => Ok(()),
            _ => Err(WriteError::NotJoined),
        }
    }
}
