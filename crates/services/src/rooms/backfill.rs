//! Fetching a room's history from before this homeserver came to it.

use std::sync::Arc;

use model::pdu::Pdu;
use ruma::{OwnedEventId, OwnedServerName, ServerName};
use store::events::{self, Order};

use super::{
    Arrival, Room, Rooms, WriteError,
    receive::{Patience, ReceiveError, of_room},
};

/// Events asked for at once.
const EVENTS_ASKED: u32 = 100;
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
                for prev in &event.pdu.prev_events {
                    let here = rows.event_by_id(prev)?;
                    if here.is_none_or(|event| event.record.state_after.is_none()) {
                        gap.push(prev.clone());
                    }
                }
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
