//! What an answer has besides rooms: messages to the device, keys, account data, receipts, typing.

use std::collections::HashMap;

use kv::StoreError;
use model::RoomNumber;

use super::{
    answer::{AccountData, Encryption, Ephemeral, SlidingAnswer, ToDevice},
    connections::ToldRoom,
    window::Window,
};
use crate::{reader::RoomView, sync::answer::SyncAnswer};

impl Window<'_> {
    /// `rooms`: of which the device knows once it has this answer; `changed`: in which something
    /// happened since it was last answered.
    pub(super) fn extensions(
        &self,
        answer: &mut SlidingAnswer,
        rooms: &HashMap<RoomNumber, ToldRoom>,
        changed: &[RoomNumber],
    ) -> Result<(), StoreError> {
        self.for_device(answer, changed)?;
        if self.request.extensions.account_data.enabled {
            let global = self.gather.global_account_data()?.events;
            answer.extensions.account_data = Some(AccountData { global, ..AccountData::default() });
        }
        if self.request.extensions.receipts.enabled {
            answer.extensions.receipts = Some(Ephemeral::default());
        }
        if self.request.extensions.typing.enabled {
            answer.extensions.typing = Some(Ephemeral::default());
        }
        let typing = self.gather.typing_changed();
        for number in rooms.keys() {
            let begins = !self.told.rooms.contains_key(number);
            if begins || changed.contains(number) || typing.contains(number) {
                let Some(room) = self.open(*number)? else { continue };
                self.of_room(answer, &room, begins)?;
            }
        }
        Ok(())
    }

    fn of_room(
        &self,
        answer: &mut SlidingAnswer,
        room: &RoomView<'_>,
        begins: bool,
    ) -> Result<(), StoreError> {
        if !room.oracle.is_joined()? {
            return Ok(());
        }
        let since = self.told.since.filter(|_| !begins).map(|since| since.log);
        let room_id = &room.room_id;
        if let Some(account_data) = &mut answer.extensions.account_data {
            let events = self.gather.room_account_data(room.rows.room, begins)?.events;
            if !events.is_empty() {
                account_data.rooms.insert(room_id.clone(), events);
            }
        }
        if let Some(receipts) = &mut answer.extensions.receipts
            && let Some(event) = self.gather.receipts(room, since)?
        {
            receipts.rooms.insert(room_id.clone(), event);
        }
        if let Some(typing) = &mut answer.extensions.typing
            && let Some(event) = self.gather.typing(room, begins)
        {
            typing.rooms.insert(room_id.clone(), event);
        }
        Ok(())
    }

    fn for_device(
        &self,
        answer: &mut SlidingAnswer,
        changed: &[RoomNumber],
    ) -> Result<(), StoreError> {
        let extensions = &self.request.extensions;
        if !extensions.to_device.enabled && !extensions.e2ee.enabled {
            return Ok(());
        }
        if let Some(since) = self.told.since {
            for number in changed {
                let Some(room) = self.open(*number)? else { continue };
                let root = room.state_at(self.end.log)?;
                let known = room.state_at(since.log)?;
                if room.oracle.is_joined()? {
                    self.gather.company.note(&room, known, root)?;
                } else {
                    self.gather.company.note_left(&room, known)?;
                }
            }
        }
        let mut shown = SyncAnswer::default();
        let received = self.request.received_messages().unwrap_or_default();
        let told_up_to = self.gather.for_device(&mut shown, &self.gather.company, received)?;
        if extensions.to_device.enabled {
            let events = shown.to_device.events;
            answer.extensions.to_device =
                Some(ToDevice { next_batch: told_up_to.to_string(), events });
        }
        if extensions.e2ee.enabled {
            answer.extensions.e2ee = Some(Encryption {
                device_lists: shown.device_lists,
                device_one_time_keys_count: shown.device_one_time_keys_count,
                device_unused_fallback_key_types: shown.device_unused_fallback_key_types,
            });
        }
        Ok(())
    }
}
