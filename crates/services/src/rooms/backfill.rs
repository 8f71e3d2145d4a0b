//! Fetching a room's history from before this homeserver came to it.

use std::sync::Arc;

use model::pdu::Pdu;
use ruma::{EventId, OwnedEventId, OwnedServerName, RoomId, ServerName};
use store::events::{self, Order};

use super::{
    Arrival, Room, Rooms, WriteError,
    gap::not_placed,
    receive::{Patience, ReceiveError, of_room},
};
use crate::timeline::Direction;

/// Events asked for at once.
const EVENTS_ASKED: u32 = 100;
/// Pages of history that are fetched to come to an event of long ago.
const STEPS_TO_TIME_MAX: usize = 20;
/// Servers asked until one answers.
const SERVERS_ASKED_MAX: usize = 5;

impl Rooms {
    /// Fetches history from before the oldest event of the timeline. Answers how many events were
    /// added: none when the beginning is reached, or nobody has more.
    pub async fn backfill(&self, room: &Arc<Room>) -> Result<usize, ReceiveError> {
        let (gap, next) = self.oldest_gap(room).await?;
        if gap.is_empty() {
            return Ok(0);
        }
        let remote = self.remote()?;
        for server in self.servers_with_history(room).await? {
            let asked = remote.backfill(&server, &room.id, &gap, EVENTS_ASKED).await;
            let events = match asked {
                Ok(events) => {
                    let verified = remote.verify_all(events, room.version).await;
                    of_room(room, verified.map_err(ReceiveError::from)?.events).collect()
                }
                Err(error) => {
                    tracing::info!(%server, room_id = %room.id, %error, "no history given");
                    continue;
                }
            };
            let added = self.prepend(room, &server, events, next).await?;
            if added > 0 {
                return Ok(added);
            }
        }
        Ok(0)
    }

    /// Fetches history until it holds the event that other servers know nearest to a time. Says
    /// whether any was added.
    pub async fn backfill_to(
        &self,
        room_id: &RoomId,
        time_ms: u64,
        direction: Direction,
    ) -> Result<bool, ReceiveError> {
        let Some(room) = self.find(room_id).await? else { return Ok(false) };
        let (gap, _) = self.oldest_gap(&room).await?;
        if gap.is_empty() {
            return Ok(false);
        }
        let (remote, forward) = (self.remote()?, direction == Direction::Forward);
        for server in self.servers_with_history(&room).await? {
            let asked = remote.event_at_time(&server, room_id, time_ms, forward).await;
            let Ok((event_id, _)) = asked else { continue };
            let mut added = false;
            for _ in 0..STEPS_TO_TIME_MAX {
                if self.is_placed(&room, &event_id).await? || self.backfill(&room).await? == 0 {
                    break;
                }
                added = true;
            }
            return Ok(added);
        }
        Ok(false)
    }

    /// Whether the event is here and has its place among the room's others.
    async fn is_placed(&self, room: &Room, event_id: &EventId) -> Result<bool, WriteError> {
        let event_id = event_id.to_owned();
        let event = self.read(room.number, move |rows| rows.event_by_id(&event_id));
        Ok(event.await?.is_some_and(|event| event.record.state_after.is_some()))
    }

    async fn prepend(
        &self,
        room: &Arc<Room>,
        server: &ServerName,
        mut events: Vec<Arc<Pdu>>,
        next: i64,
    ) -> Result<usize, ReceiveError> {
        // The newest gets the greatest order; the oldest is taken in first, because the state
        // before each event follows from the one before it.
        events.sort_by_key(|event| event.depth);
        let oldest = next - i64::try_from(events.len()).unwrap_or(i64::MAX) + 1;
        let mut added = 0;
        for (event, order) in events.iter().zip(oldest..) {
            let arrival = (Arrival::Backfilled(order), Patience::AtLast);
            match self.receive_one(room, server, event, arrival).await {
                Ok(super::receive::Received::Known) => {}
                Ok(_) => added += 1,
                Err(error) => {
                    tracing::info!(%server, event_id = %event.event_id, %error, "history event not taken in");
                }
            }
        }
        Ok(added)
    }

    /// The previous events of the timeline's oldest event that are not here, and the next order.
    pub(super) async fn oldest_gap(
        &self,
        room: &Room,
    ) -> Result<(Vec<OwnedEventId>, i64), WriteError> {
        let gap = self.read(room.number, |rows| {
            let head = store::rooms::head(rows.snapshot, rows.room)?;
            let next = head.map_or(-1, |head| head.next_backfill);
            let all = (Order::MIN, Order::MAX);
            let oldest = events::timeline(rows.snapshot, rows.room, all, false, OLDEST_LOOKED_AT)?;
            let numbers: Vec<_> = oldest.into_iter().map(|(_, number)| number).collect();
            let mut gap = Vec::new();
            for event in rows.events(&numbers)? {
                gap.extend(not_placed(rows, event.pdu.prev_events.clone())?);
            }
            gap.sort();
            gap.dedup();
            gap.truncate(model::pdu::PREV_EVENTS_MAX);
            Ok((gap, next))
        });
        Ok(gap.await?)
    }

    /// Other servers in the room.
    pub(super) async fn servers_with_history(
        &self,
        room: &Room,
    ) -> Result<Vec<OwnedServerName>, WriteError> {
        let ours = self.context().server_name.clone();
        let servers =
            self.read(room.number, |rows| store::memberships::servers(rows.snapshot, rows.room));
        let servers = servers.await?.into_iter();
        let servers =
            servers.filter(|(name, presence)| presence.joined > 0 && name != ours.as_str());
        let servers = servers.filter_map(|(name, _)| ServerName::parse(name).ok());
        Ok(servers.take(SERVERS_ASKED_MAX).collect())
    }
}

/// Events at the beginning of the timeline whose past is looked for.
const OLDEST_LOOKED_AT: usize = 20;
