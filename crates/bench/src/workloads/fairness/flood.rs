//! A peer that sends nothing but bad events into a room.

use super::disturber::Going;
use crate::{
    person::{Door, Person},
    room::people,
};
use complement_cases::{Company, Event, Peer, Wire};
use harness::{Authority, Http};
use serde_json::{Value, json};
use std::{net::SocketAddr, sync::Arc, time::Duration};
use tokio::time::{Instant, sleep_until};

/// Events of a transaction: as many as one may have.
const AT_ONCE: usize = 50;
/// Between two transactions.
const PACE: Duration = Duration::from_millis(100);

/// Joins a room of the company, and floods it, with so many different events, until it may not go on.
/// How many were sent.
pub(super) async fn flood(
    base: String,
    name: String,
    authority: Arc<Authority>,
    count: u64,
    going: Arc<Going>,
) -> u64 {
    let http = Http::new(&base, &name);
    let company = Company::at(&name, http.clone());
    let address: SocketAddr = base.trim_start_matches("http://").parse().expect("an address");
    let mut host: Person = people(&Door { address, name }, "flooded", 1).await.remove(0);
    let room = host.create_room().await;
    let peer = Peer::start(http, &authority, Arc::new(Wire::default())).await;
    peer.join(&company, &room, "mallory").await;
    let events: Vec<Event> = (0..count).map(|nth| bad(&peer, &room, nth)).collect();
    going.begin();
    let (mut sent, mut next) = (0, Instant::now());
    for transaction in events.chunks(AT_ONCE).cycle() {
        if !going.on() {
            break;
        }
        peer.send(&company, &transaction.iter().collect::<Vec<_>>()).await;
        sent += transaction.len() as u64;
        next += PACE;
        sleep_until(next).await;
    }
    sent
}

/// By turns an event with a signature that is another's, one of somebody who is not in the room, and
/// one after an event that nobody has.
fn bad(peer: &Peer, room: &str, nth: u64) -> Event {
    let by = peer.user(if nth % 3 == 1 { "stranger" } else { "mallory" });
    let content = json!({ "msgtype": "m.text", "body": format!("{nth}") });
    let mut draft: Value = peer.room(room, |room| room.draft(&by, "m.room.message", None, content));
    if nth % 3 == 2 {
        draft["prev_events"] = json!([format!("${nth:0>43}")]);
    }
    let mut event = peer.sign(room, draft.clone());
    if nth.is_multiple_of(3) {
        draft["depth"] = json!(nth + 1_000);
        event.pdu["signatures"] = peer.sign(room, draft).pdu["signatures"].take();
    }
    event
}
