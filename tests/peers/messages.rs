//! Messages, redactions and files between the two.

use crate::world::{Pair, ROOM_VERSIONS, World};
use harness::{Account, View, eventually, same_state, text_of};
use serde_json::json;

#[tokio::test]
async fn people_of_both_servers_talk_in_rooms_of_either() {
    let world = World::shared().await;
    for pair in world.pairs().await {
        for version in ROOM_VERSIONS {
            println!("room version {version}, host {}", pair.host.user_id);
            let room = invited_by_sync(&pair, version).await;
            let (mut host_view, mut guest_view) = (View::default(), View::default());
            for n in 0..3 {
                talk(&room, (&pair.host, &pair.guest), &mut guest_view, n).await;
                talk(&room, (&pair.guest, &pair.host), &mut host_view, n).await;
            }
            same_state(&room, &pair.host, &pair.guest).await;
        }
    }
}

/// The guest learns of the invitation from /sync, with the stripped state that shows what it is.
async fn invited_by_sync(pair: &Pair, version: &str) -> String {
    let options = json!({ "preset": "private_chat", "room_version": version, "name": "Order 17" });
    let room = pair.host.create_room(&options).await;
    pair.host.invite(&room, &pair.guest.user_id).await;
    let mut view = View::default();
    let shown = |view: &View| view.invited.get(&room).cloned();
    let stripped = pair.guest.until(&mut view, "the invitation", shown).await;
    let name = stripped.get(&("m.room.name".to_owned(), String::new()));
    assert_eq!(name.map(|event| &event["content"]["name"]), Some(&json!("Order 17")));
    pair.guest.join(&room, &[]).await;
    room
}

async fn talk(room: &str, (from, to): (&Account, &Account), view: &mut View, number: usize) {
    let text = format!("number {number} of {}", from.user_id);
    let sent = from.say(room, &text).await;
    let event = to.until_event(view, room, &sent).await;
    assert_eq!((text_of(&event), event["sender"].as_str()), (&*text, Some(&*from.user_id)));
}

#[tokio::test]
async fn a_redaction_removes_the_words_on_both_servers() {
    let world = World::shared().await;
    for pair in world.pairs().await {
        for version in ROOM_VERSIONS {
            println!("room version {version}, host {}", pair.host.user_id);
            let room = pair.room(version).await;
            for author in [&pair.host, &pair.guest] {
                let slip = author.say(&room, "the password is 1234").await;
                for reader in [&pair.host, &pair.guest] {
                    eventually("the message", async || reader.event(&room, &slip).await).await;
                }
                // The author redacts the own words; the host, as a moderator, those of the guest.
                pair.host.redact(&room, &slip).await;
                for reader in [&pair.host, &pair.guest] {
                    eventually("the redacted message", async || {
                        let event = reader.event(&room, &slip).await?;
                        (event["content"] == json!({})).then_some(())
                    })
                    .await;
                }
            }
        }
    }
}

#[tokio::test]
async fn a_guest_redacts_the_own_words_but_not_those_of_the_host() {
    let world = World::shared().await;
    for pair in world.pairs().await {
        let room = pair.room("12").await;
        let own = pair.guest.say(&room, "oops").await;
        pair.guest.redact(&room, &own).await;
        eventually("the redaction at the host", async || {
            let event = pair.host.event(&room, &own).await?;
            (event["content"] == json!({})).then_some(())
        })
        .await;

        let foreign = pair.host.say(&room, "a promise").await;
        eventually("the promise", async || pair.guest.event(&room, &foreign).await).await;
        let path = ["rooms", &room, "redact", &foreign, "r1"];
        pair.guest.put(&path, &json!({})).answer().await.refused(403, "M_FORBIDDEN");
    }
}

#[tokio::test]
async fn a_file_is_downloaded_from_the_other_server_byte_by_byte() {
    let world = World::shared().await;
    for pair in world.pairs().await {
        let room = pair.room("12").await;
        let content = (0..300_000_u32).map(|n| (n % 251) as u8).collect::<Vec<_>>();
        let uri = pair.host.upload("offer.pdf", "application/pdf", content.clone()).await;
        let event = json!({ "msgtype": "m.file", "body": "offer.pdf", "url": uri });
        let sent = pair.host.send(&room, "m.room.message", &event).await;
        let seen = pair.guest.until_event(&mut View::default(), &room, &sent).await;
        let uri = seen["content"]["url"].as_str().expect("the file's URI");
        let answer = pair.guest.download(uri).await;
        assert_eq!(answer.status, 200, "{}: {}", pair.guest.user_id, answer.errcode());
        assert!(answer.bytes == content, "{} of {}", answer.bytes.len(), content.len());
        let kind = answer.headers.get("content-type").map(String::as_str);
        assert_eq!(kind, Some("application/pdf"));
    }
}
