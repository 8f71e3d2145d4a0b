//! Joining, inviting, leaving, kicking, banning and knocking, of and by our own users.

use std::sync::Arc;

use kv::StoreError;
use model::{build::EventTemplate, event_auth, pdu::Pdu};
use ruma::{OwnedUserId, RoomId, UserId, events::room::member::MembershipState};
use serde_json::{Map, Value};
use store::memberships::{self, Kind};

use super::{Draft, Room, Rooms, WriteError, create::raw};

/// A change of somebody's membership that a local user makes by himself, without another server.
#[derive(Clone, Debug)]
pub struct NewMembership {
    pub sender: OwnedUserId,
    pub target: OwnedUserId,
    pub membership: MembershipState,
    /// What the content says besides the membership: reason, is_direct, display name, …
    pub content: Map<String, Value>,
}

/// Whether this homeserver can act in a room by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Residence {
    /// A local user is joined: the room's state is kept current here.
    Resident,
    /// Other servers have to be asked.
    Away,
}

impl Rooms {
    /// Whether a local user is joined to the room.
    pub async fn residence(&self, room: &Room) -> Result<Residence, WriteError> {
        let server = self.context().server_name.clone();
        let presence = self.read(room.number, move |rows| {
            memberships::server_in_room(rows.snapshot, server.as_str(), rows.room)
        });
        Ok(match presence.await? {
            Some(presence) if presence.joined > 0 => Residence::Resident,
            _ => Residence::Away,
        })
    }

    /// Changes a membership in a room in which this homeserver is resident. An invitation of
    /// another server's user is not for this way: see [`Rooms::invite`].
    pub async fn change_membership(
        &self,
        room: &Arc<Room>,
        new: NewMembership,
    ) -> Result<Option<Arc<Pdu>>, WriteError> {
        Ok(self.write(room, move |draft| draft.change_membership(&new)).await?.value)
    }

    /// Changes somebody's membership in a room that the sender is joined to.
    pub async fn set_membership(
        &self,
        room_id: &RoomId,
        new: NewMembership,
    ) -> Result<(), WriteError> {
        let room = self.get(room_id).await?;
        let changing = self.write(&room, move |draft| {
            draft.require_joined(&new.sender)?;
            draft.change_membership(&new)
        });
        changing.await.map(drop)
    }

    /// Removes a user who is joined, invited or knocking.
    pub async fn kick(&self, room_id: &RoomId, new: NewMembership) -> Result<(), WriteError> {
        use MembershipState::{Invite, Join, Knock};
        self.set_membership_of(room_id, new, &[Join, Invite, Knock], "the user is not in the room")
            .await
    }

    /// Lets a banned user come again.
    pub async fn unban(&self, room_id: &RoomId, new: NewMembership) -> Result<(), WriteError> {
        let banned = [MembershipState::Ban];
        self.set_membership_of(room_id, new, &banned, "the user is not banned").await
    }

    async fn set_membership_of(
        &self,
        room_id: &RoomId,
        new: NewMembership,
        now: &[MembershipState],
        otherwise: &'static str,
    ) -> Result<(), WriteError> {
        let room = self.get(room_id).await?;
        let now = now.to_vec();
        let changing = self.write(&room, move |draft| {
            draft.require_joined(&new.sender)?;
            let member = draft.state("m.room.member", new.target.as_str())?;
            let membership = member.and_then(|member| member.pdu.membership());
            if !membership.is_some_and(|membership| now.contains(&membership)) {
                return Err(WriteError::Refused(otherwise));
            }
            draft.change_membership(&new)
        });
        changing.await.map(drop)
    }

    /// Takes the room out of a user's lists, once he has left it.
    pub async fn forget(&self, room_id: &RoomId, user: &UserId) -> Result<(), WriteError> {
        let room = self.get(room_id).await?;
        let (user, number) = (user.localpart().to_owned(), room.number);
        let forgetting = self.write(&room, move |draft| {
            let membership = memberships::get(draft.rows()?.snapshot, &user, number)?;
            let membership = membership.ok_or(WriteError::NotJoined)?;
            match membership.kind {
                Kind::Join | Kind::Invite | Kind::Knock => return Err(WriteError::StillInRoom),
                Kind::Leave | Kind::Ban if membership.forgotten => return Ok(()),
                Kind::Leave | Kind::Ban => {}
            }
            let forgotten = memberships::Membership { forgotten: true, ..membership };
            memberships::put(&mut draft.drafted.batch, &user, number, &forgotten);
            draft
                .drafted
                .changes
                .push(store::log::Change::Membership { user: user.clone(), room: number });
            Ok(())
        });
        forgetting.await.map(drop)
    }

    /// What a local user's profile puts into his member events.
    pub async fn profile_of(&self, user: &UserId) -> Result<Map<String, Value>, StoreError> {
        let user = user.localpart().to_owned();
        let store = &self.context().store;
        store
            .read(move |rows| {
                let mut content = Map::new();
                add_profile(rows, &user, &mut content)?;
                Ok(content)
            })
            .await
    }

    /// Brings a local user's member events up to date after he changed his profile. A room that
    /// does not take it (he was banned meanwhile) does not keep the others from taking it.
    pub async fn spread_profile(&self, user: &UserId) -> Result<(), StoreError> {
        let localpart = user.localpart().to_owned();
        let rooms = self.context().store.read(move |rows| {
            let joined = memberships::of_user(rows, &localpart)?.into_iter();
            let joined = joined.filter(|(_, membership)| membership.kind == Kind::Join);
            let heads = joined.map(|(room, _)| store::rooms::head(rows, room));
            let ids = heads.filter_map(|head| head.transpose()).map(|head| {
                RoomId::parse(head?.room_id).map_err(|_| store::value::corrupt("room id"))
            });
            ids.collect::<Result<Vec<_>, _>>()
        });
        for room_id in rooms.await? {
            let new = NewMembership {
                sender: user.to_owned(),
                target: user.to_owned(),
                membership: MembershipState::Join,
                content: Map::new(),
            };
            if let Err(error) = self.set_membership(&room_id, new).await {
                tracing::info!(%room_id, %error, "a room did not take a user's new profile");
            }
        }
        Ok(())
    }

    /// A local user's relation to a room.
    pub async fn membership(
        &self,
        room: &Room,
        user: &UserId,
    ) -> Result<Option<memberships::Membership>, WriteError> {
        let user = user.localpart().to_owned();
        let membership =
            self.read(room.number, move |rows| memberships::get(rows.snapshot, &user, rows.room));
        Ok(membership.await?)
    }
}

impl Draft<'_> {
    /// See [`Rooms::change_membership`]. `None` when it is so already.
    pub fn change_membership(
        &mut self,
        new: &NewMembership,
    ) -> Result<Option<Arc<Pdu>>, WriteError> {
        let template = self.membership_template(new)?;
        if self.says_already(&template)? {
            return Ok(None);
        }
        self.append(template, None).map(Some)
    }

    /// The member event that makes it so.
    pub fn membership_template(
        &mut self,
        new: &NewMembership,
    ) -> Result<EventTemplate, WriteError> {
        let mut content = new.content.clone();
        content.insert("membership".to_owned(), new.membership.as_str().into());
        use MembershipState::{Invite, Join, Knock};
        let shows_profile = matches!(new.membership, Join | Invite | Knock);
        if shows_profile && self.drafted.context.is_local(&new.target) {
            let rows = self.rows()?;
            add_profile(rows.snapshot, new.target.localpart(), &mut content)?;
        }
        let current = self.state("m.room.member", new.target.as_str())?;
        let was = current.as_ref().and_then(|current| current.pdu.membership());
        if new.membership == MembershipState::Join
            && was != Some(MembershipState::Join)
            && let Some(via) = self.authorising_user(&new.target, was.as_ref())?
        {
            content.insert("join_authorised_via_users_server".to_owned(), via.as_str().into());
        }
        Ok(EventTemplate {
            room_id: Some(self.drafted.room_id.clone()),
            sender: new.sender.clone(),
            event_type: "m.room.member".to_owned(),
            state_key: Some(new.target.to_string()),
            content: raw(&Value::Object(content)),
            redacts: None,
            origin_server_ts: self.drafted.context.clock.now_ms(),
        })
    }

    fn says_already(&mut self, template: &EventTemplate) -> Result<bool, WriteError> {
        let key = template.state_key.as_deref().unwrap_or_default();
        let Some(current) = self.state("m.room.member", key)? else { return Ok(false) };
        let content = |json: &str| serde_json::from_str::<Value>(json).ok();
        Ok(current.pdu.sender == template.sender
            && content(current.pdu.content().get()) == content(template.content.get()))
    }

    /// For a join to a restricted room: a joined user of this server who may invite, when the one
    /// who joins meets a condition of the room. `None` when no such user is needed or there is none
    /// (then the auth rules say no).
    pub fn authorising_user(
        &mut self,
        joining: &UserId,
        was: Option<&MembershipState>,
    ) -> Result<Option<OwnedUserId>, WriteError> {
        if was == Some(&MembershipState::Invite) {
            return Ok(None);
        }
        let Some(join_rules) = self.state("m.room.join_rules", "")? else { return Ok(None) };
        let Some(allowed) = event_auth::rooms_that_allow(&join_rules.pdu) else { return Ok(None) };
        match self.is_member_of_any(joining, &allowed)? {
            Some(true) => {}
            Some(false) => return Err(WriteError::Refused("you meet no condition of the room")),
            None => return Err(WriteError::CannotAuthorise),
        }
        let rows = self.rows()?;
        for localpart in memberships::joined_locally(rows.snapshot, self.drafted.room)? {
            let user = self.drafted.context.user_id(&localpart);
            if self.may_invite(&user)? {
                return Ok(Some(user));
            }
        }
        Err(WriteError::CannotAuthorise)
    }

    /// `None` if this server is not in all of the rooms, and so cannot tell: what it may know of one
    /// that it has left is of the past.
    fn is_member_of_any(
        &self,
        user: &UserId,
        rooms: &[ruma::OwnedRoomId],
    ) -> Result<Option<bool>, WriteError> {
        let (rows, us) = (self.rows()?, &self.drafted.context.server_name);
        let mut sees_all = true;
        for room_id in rooms {
            let room = store::rooms::number(rows.snapshot, room_id)?;
            let head = room.map(|room| store::rooms::head(rows.snapshot, room)).transpose()?;
            let (Some(room), Some(head)) = (room, head.flatten()) else {
                sees_all = false;
                continue;
            };
            let here = memberships::server_in_room(rows.snapshot, us.as_str(), room)?;
            if here.is_none_or(|here| here.joined == 0) {
                sees_all = false;
                continue;
            }
            let other = crate::room_rows::RoomRows { room, ..rows };
            if other.state(head.state).membership(user)? == MembershipState::Join {
                return Ok(Some(true));
            }
        }
        Ok(sees_all.then_some(false))
    }

    pub fn may_invite(&mut self, user: &UserId) -> Result<bool, WriteError> {
        let (create, power_levels) = self.powers()?;
        Ok(event_auth::may_invite(user, &create, power_levels.as_deref()))
    }

    pub fn may_send_state(&mut self, user: &UserId, event_type: &str) -> Result<bool, WriteError> {
        let (create, power_levels) = self.powers()?;
        Ok(event_auth::may_send_state(user, event_type, &create, power_levels.as_deref()))
    }

    /// The create event and the power levels.
    pub fn powers(&mut self) -> Result<(Arc<Pdu>, Option<Arc<Pdu>>), WriteError> {
        let create = self.state("m.room.create", "")?.ok_or(WriteError::UnknownRoom)?;
        let power_levels = self.state("m.room.power_levels", "")?;
        Ok((create.pdu, power_levels.map(|event| event.pdu)))
    }
}

/// Adds display name and avatar, where the user has them and the content does not say otherwise.
fn add_profile(
    snapshot: &kv::Snapshot,
    localpart: &str,
    content: &mut Map<String, Value>,
) -> Result<(), StoreError> {
    let profile = store::accounts::profile(snapshot, localpart)?;
    for field in ["displayname", "avatar_url"] {
        let value = profile.fields.get(field).and_then(|json| serde_json::from_str(json).ok());
        if let Some(value) = value.filter(|value: &Value| !value.is_null()) {
            content.entry(field).or_insert(value);
        }
    }
    Ok(())
}
