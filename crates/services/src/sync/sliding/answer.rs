//! The shape of a sliding sync's answer.

use std::collections::BTreeMap;

use ruma::{OwnedRoomId, OwnedUserId};
use serde::Serialize;
use serde_json::value::RawValue;

use crate::sync::answer::DeviceLists;

#[derive(Debug, Default, Serialize)]
pub struct SlidingAnswer {
    pub pos: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub txn_id: Option<String>,
    pub lists: BTreeMap<String, List>,
    pub rooms: BTreeMap<OwnedRoomId, Room>,
    pub extensions: Extensions,
}

#[derive(Debug, Default, Serialize)]
pub struct List {
    /// Rooms in the whole list.
    pub count: usize,
}

#[derive(Debug, Default, Serialize)]
pub struct Room {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub avatar: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub heroes: Option<Vec<Hero>>,
    /// The device was told nothing of the room yet.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub initial: bool,
    /// More of the past than the device was told before.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub unstable_expanded_timeline: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub is_dm: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub invite_state: Option<Vec<Box<RawValue>>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub required_state: Vec<Box<RawValue>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub timeline: Vec<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prev_batch: Option<String>,
    pub limited: bool,
    /// Events of the timeline that are new, and not only new to the device.
    pub num_live: usize,
    pub notification_count: u64,
    pub highlight_count: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub joined_count: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub invited_count: Option<u64>,
    pub bump_stamp: u64,
}

#[derive(Debug, Serialize)]
pub struct Hero {
    pub user_id: OwnedUserId,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub displayname: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub avatar_url: Option<String>,
}

#[derive(Debug, Default, Serialize)]
pub struct Extensions {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to_device: Option<ToDevice>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub e2ee: Option<Encryption>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub account_data: Option<AccountData>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub receipts: Option<Ephemeral>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub typing: Option<Ephemeral>,
}

#[derive(Debug, Default, Serialize)]
pub struct ToDevice {
    pub next_batch: String,
    pub events: Vec<Box<RawValue>>,
}

#[derive(Debug, Default, Serialize)]
pub struct Encryption {
    #[serde(skip_serializing_if = "DeviceLists::is_empty")]
    pub device_lists: DeviceLists,
    pub device_one_time_keys_count: BTreeMap<String, u64>,
    pub device_unused_fallback_key_types: Vec<String>,
}

#[derive(Debug, Default, Serialize)]
pub struct AccountData {
    pub global: Vec<Box<RawValue>>,
    pub rooms: BTreeMap<OwnedRoomId, Vec<Box<RawValue>>>,
}

/// One event for each room.
#[derive(Debug, Default, Serialize)]
pub struct Ephemeral {
    pub rooms: BTreeMap<OwnedRoomId, Box<RawValue>>,
}

impl SlidingAnswer {
    /// Whether there is nothing that a device waits for.
    pub fn is_empty(&self) -> bool {
        let Extensions { to_device, e2ee, account_data, receipts, typing } = &self.extensions;
        self.rooms.is_empty()
            && to_device.as_ref().is_none_or(|messages| messages.events.is_empty())
            && e2ee.as_ref().is_none_or(|keys| keys.device_lists.is_empty())
            && account_data
                .as_ref()
                .is_none_or(|data| data.global.is_empty() && data.rooms.is_empty())
            && receipts.as_ref().is_none_or(|receipts| receipts.rooms.is_empty())
            && typing.as_ref().is_none_or(|typing| typing.rooms.is_empty())
    }
}
