//! Coming, going and coming back.

use crate::world::{ROOM_VERSIONS, World};
use harness::{View, eventually, same_state};
use serde_json::json;

#[tokio::test]
async fn whoever_left_comes_back_by_a_new_invitation_and_sees_what_is_said() {
    let world = World::shared().await;
    for pair in world.pairs().await {
        for version in ROOM_VERSIONS {
            println!("room version {version}, host {}", pair.host.user_id);
            let room = pair.room(version).await;
            pair.guest.leave(&room).await;
            let member = async || {
                let content = pair.host.state_content(&room, "m.room.member", &pair.guest.user_id);
                content.await.map(|content| content["membership"].clone())
            };
            let gone = async || (member().await? == "leave").then_some(());
            eventually("the guest has left", gone).await;
            pair.host.say(&room, "while you were away").await;
            // Which error it is, is the server's taste: it may not even know whom to ask any more.
            let uninvited = pair.guest.post(&["join", &room], &json!({})).answer().await;
            assert!(uninvited.status.is_client_error(), "{uninvited}");

            pair.host.invite(&room, &pair.guest.user_id).await;
            pair.guest.join(&room, &[]).await;
            let sent = pair.host.say(&room, "welcome back").await;
            pair.guest.until_event(&mut View::default(), &room, &sent).await;
            same_state(&room, &pair.host, &pair.guest).await;
        }
    }
}

#[tokio::test]
async fn an_invitation_can_be_turned_down() {
    let world = World::shared().await;
    for pair in world.pairs().await {
        let options = json!({ "preset": "private_chat", "invite": [pair.guest.user_id] });
        let room = pair.host.create_room(&options).await;
        let mut view = View::default();
        let invited = |view: &View| view.invited.contains_key(&room).then_some(());
        pair.guest.until(&mut view, "the invitation", invited).await;
        pair.guest.leave(&room).await;
        let gone = |view: &View| (!view.invited.contains_key(&room)).then_some(());
        pair.guest.until(&mut view, "no invitation any more", gone).await;
        eventually("the host knows", async || {
            let content = pair.host.state_content(&room, "m.room.member", &pair.guest.user_id);
            (content.await?["membership"] == "leave").then_some(())
        })
        .await;
    }
}

#[tokio::test]
async fn somebody_knocks_and_is_let_in() {
    let world = World::shared().await;
    for pair in world.pairs().await {
        let rule = json!({
            "type": "m.room.join_rules",
            "state_key": "",
            "content": { "join_rule": "knock" },
        });
        let room = pair.host.create_room(&json!({ "initial_state": [rule] })).await;
        let body = json!({ "reason": "I bring the contract" });
        let knock = pair.guest.post(&["knock", &room], &body);
        knock.query(&[("via", &pair.host_server)]).ok().await;
        eventually("the knock", async || {
            let content = pair.host.state_content(&room, "m.room.member", &pair.guest.user_id);
            (content.await?["membership"] == "knock").then_some(())
        })
        .await;
        pair.host.invite(&room, &pair.guest.user_id).await;
        let invited = |view: &View| view.invited.contains_key(&room).then_some(());
        pair.guest.until(&mut View::default(), "the invitation", invited).await;
        pair.guest.join(&room, &[&pair.host_server]).await;
        same_state(&room, &pair.host, &pair.guest).await;
    }
}

#[tokio::test]
async fn the_other_server_shows_profiles_and_their_changes() {
    let world = World::shared().await;
    for pair in world.pairs().await {
        let room = pair.room("12").await;
        let path = ["profile", &pair.host.user_id, "displayname"];
        pair.host.put(&path, &json!({ "displayname": "Hanse, Anna" })).ok().await;
        let profile = pair.guest.get(&path).ok().await;
        assert_eq!(profile["displayname"], "Hanse, Anna");
        eventually("the new name in the room", async || {
            let content = pair.guest.state_content(&room, "m.room.member", &pair.host.user_id);
            (content.await?["displayname"] == "Hanse, Anna").then_some(())
        })
        .await;
    }
}
