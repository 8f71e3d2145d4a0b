//! History from before somebody came.

use crate::world::{ROOM_VERSIONS, World};
use harness::{eventually, text_of};
use serde_json::json;
use std::collections::BTreeSet;

/// More than one /sync shows, so that the guest's server must ask for the rest.
const MESSAGES: usize = 60;

#[tokio::test]
async fn a_guest_reads_what_was_said_before_coming() {
    let world = World::shared().await;
    for pair in world.pairs().await {
        for version in ROOM_VERSIONS {
            println!("room version {version}, host {}", pair.host.user_id);
            let options = json!({ "preset": "public_chat", "room_version": version });
            let room = pair.host.create_room(&options).await;
            let said = (0..MESSAGES).map(|n| format!("old news {n}")).collect::<BTreeSet<_>>();
            for text in &said {
                pair.host.say(&room, text).await;
            }
            pair.guest.join(&room, &[&pair.host_server]).await;
            // A server may answer with what it has and fetch the rest meanwhile.
            eventually("the whole history", async || {
                let history = pair.guest.history(&room).await;
                let read = history.iter().map(text_of).filter(|text| said.contains(*text));
                (read.collect::<BTreeSet<_>>().len() == said.len()).then_some(())
            })
            .await;
        }
    }
}
