//! What people do: through the services that answer their clients' requests.

use model::room_version::RoomVersion;
use ruma::{
    OwnedEventId, OwnedRoomId, OwnedServerName, OwnedUserId, events::room::member::MembershipState,
};
use serde_json::{Map, Value, json, value::to_raw_value};
use services::rooms::{
    join::Joining,
    membership::NewMembership,
    send::{NewEvent, Transaction},
};

use crate::{
    home::Running,
    ledger::{Acknowledged, Ledger},
};

#[derive(Clone, Debug)]
pub struct Room {
    pub id: OwnedRoomId,
    pub version: RoomVersion,
    pub creator: OwnedUserId,
}

/// Somebody does something.
#[derive(Clone, Debug)]
pub struct Act {
    pub home: usize,
    pub user: OwnedUserId,
    pub room: Room,
    pub deed: Deed,
}

#[derive(Clone, Debug)]
pub enum Deed {
    /// Each message has a number of its own, and keeps it when it is sent again.
    Say(u64),
    /// (type, state key, content)
    Set(&'static str, String, Value),
    Power(OwnedUserId, i64),
    Redact(OwnedEventId),
    Join(Vec<OwnedServerName>),
    Knock(Vec<OwnedServerName>),
    Leave,
    Invite(OwnedUserId),
    Kick(OwnedUserId),
    Ban(OwnedUserId),
    Unban(OwnedUserId),
}

impl Act {
    /// Does it, and keeps what was answered.
    pub async fn perform(&self, running: &Running, ledger: &Ledger) -> Result<String, String> {
        let event = match &self.deed {
            Deed::Say(number) => Some(self.say(running, ledger, *number).await?),
            Deed::Set(event_type, key, content) => {
                Some(self.set(running, event_type, key, content).await?)
            }
            Deed::Power(user, level) => Some(self.power(running, user, *level).await?),
            Deed::Redact(event) => Some(self.redact(running, event).await?),
            _ => self.change_membership(running).await?,
        };
        let Some(event) = event else { return Ok("done".to_owned()) };
        ledger.acknowledge(Acknowledged {
            room: self.room.id.clone(),
            event: event.clone(),
            home: self.home,
            what: format!("{} {:?}", self.user, self.deed),
        });
        Ok(event.to_string())
    }

    async fn say(
        &self,
        running: &Running,
        ledger: &Ledger,
        number: u64,
    ) -> Result<OwnedEventId, String> {
        let mut new = self.event(
            "m.room.message",
            None,
            &json!({ "msgtype": "m.text", "body": number.to_string() }),
        );
        new.transaction = Some(Transaction {
            localpart: self.user.localpart().to_owned(),
            device_id: "PHONE".to_owned(),
            path: format!("send/{}/m.room.message", self.room.id),
            id: number.to_string(),
        });
        let sent = running.federation.services.rooms.send(&self.room.id, new).await;
        let event = sent.map_err(explain)?;
        ledger.answered(number, &event);
        Ok(event)
    }

    async fn set(
        &self,
        running: &Running,
        event_type: &str,
        key: &str,
        content: &Value,
    ) -> Result<OwnedEventId, String> {
        let new = self.event(event_type, Some(key.to_owned()), content);
        running.federation.services.rooms.send(&self.room.id, new).await.map_err(explain)
    }

    /// Gives somebody a power level, leaving the others' as they are here.
    async fn power(
        &self,
        running: &Running,
        user: &OwnedUserId,
        level: i64,
    ) -> Result<OwnedEventId, String> {
        let current = state_event(running, &self.room.id, "m.room.power_levels", "").await?;
        let mut content = match current {
            Some((_, content)) => content,
            None => json!({}),
        };
        content["users"][user.as_str()] = level.into();
        self.set(running, "m.room.power_levels", "", &content).await
    }

    async fn redact(
        &self,
        running: &Running,
        event: &OwnedEventId,
    ) -> Result<OwnedEventId, String> {
        let mut content = Map::new();
        // Since version 11 the redacted event is named in the content.
        if self.room.version >= RoomVersion::V11 {
            content.insert("redacts".to_owned(), event.as_str().into());
        }
        let mut new = self.event("m.room.redaction", None, &Value::Object(content));
        new.redacts = Some(event.clone());
        running.federation.services.rooms.send(&self.room.id, new).await.map_err(explain)
    }

    /// Answers the member event that it led to, as far as this homeserver has one.
    async fn change_membership(&self, running: &Running) -> Result<Option<OwnedEventId>, String> {
        use MembershipState::{Ban, Invite, Join, Knock, Leave};
        let rooms = &running.federation.services.rooms;
        let id = &self.room.id;
        let (target, membership) = match &self.deed {
            Deed::Join(via) => {
                rooms.join(self.joining(via)).await.map_err(explain)?;
                (&self.user, Join)
            }
            Deed::Knock(via) => {
                rooms.knock(self.joining(via)).await.map_err(explain)?;
                (&self.user, Knock)
            }
            Deed::Leave => {
                rooms.leave(self.joining(&[])).await.map_err(explain)?;
                (&self.user, Leave)
            }
            Deed::Invite(user) => {
                rooms.invite(id, self.membership(user, Invite)).await.map_err(explain)?;
                (user, Invite)
            }
            Deed::Kick(user) => {
                rooms.kick(id, self.membership(user, Leave)).await.map_err(explain)?;
                (user, Leave)
            }
            Deed::Ban(user) => {
                rooms.set_membership(id, self.membership(user, Ban)).await.map_err(explain)?;
                (user, Ban)
            }
            Deed::Unban(user) => {
                rooms.unban(id, self.membership(user, Leave)).await.map_err(explain)?;
                (user, Leave)
            }
            Deed::Say(_) | Deed::Set(..) | Deed::Power(..) | Deed::Redact(_) => return Ok(None),
        };
        let found = state_event(running, id, "m.room.member", target.as_str()).await?;
        let said = |content: &Value| content["membership"] == membership.as_str();
        Ok(found.filter(|(_, content)| said(content)).map(|(event, _)| event))
    }

    fn joining(&self, via: &[OwnedServerName]) -> Joining {
        Joining {
            user: self.user.clone(),
            room_id: self.room.id.clone(),
            via: via.to_vec(),
            content: Map::new(),
        }
    }

    fn membership(&self, target: &OwnedUserId, membership: MembershipState) -> NewMembership {
        NewMembership {
            sender: self.user.clone(),
            target: target.clone(),
            membership,
            content: Map::new(),
        }
    }

    fn event(&self, event_type: &str, state_key: Option<String>, content: &Value) -> NewEvent {
        NewEvent {
            sender: self.user.clone(),
            event_type: event_type.to_owned(),
            state_key,
            content: to_raw_value(content).expect("JSON"),
            redacts: None,
            timestamp_ms: None,
            transaction: None,
        }
    }
}

/// An event of the current state of a room, as a homeserver has it.
async fn state_event(
    running: &Running,
    room_id: &OwnedRoomId,
    event_type: &'static str,
    key: &str,
) -> Result<Option<(OwnedEventId, Value)>, String> {
    let rooms = &running.federation.services.rooms;
    let Some(room) = rooms.find(room_id).await.map_err(explain)? else { return Ok(None) };
    let key = key.to_owned();
    let found = rooms.read(room.number, move |rows| {
        let Some(head) = store::rooms::head(rows.snapshot, rows.room)? else { return Ok(None) };
        rows.state(head.state).event(event_type, &key)
    });
    let found = found.await.map_err(explain)?;
    Ok(found.map(|event| {
        let content = serde_json::from_str(event.pdu.content().get()).expect("JSON");
        (event.pdu.event_id.clone(), content)
    }))
}

fn explain(error: impl std::fmt::Display) -> String {
    format!("refused: {error}")
}
