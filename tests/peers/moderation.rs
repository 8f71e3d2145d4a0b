//! Power: kicks, bans, power levels and state.

use crate::world::{Pair, ROOM_VERSIONS, World};
use harness::{Account, eventually, same_state};
use serde_json::json;

/// Waits until a member's membership is this, as `observer` sees it.
async fn membership(room: &str, observer: &Account, user: &str, is: &str) {
    eventually(&format!("{user} is {is} for {}", observer.user_id), async || {
        let content = observer.state_content(room, "m.room.member", user).await;
        // Whoever is out of the room may not look any more; the host always may.
        (content?["membership"] == is).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_kicked_guest_may_come_back_but_a_banned_one_may_not() {
    let world = World::shared().await;
    for Pair { host, guest, host_server } in world.pairs().await {
        for version in ROOM_VERSIONS {
            println!("room version {version}, host {}", host.user_id);
            let options = json!({ "preset": "public_chat", "room_version": version });
            let room = host.create_room(&options).await;
            let via: &[&str] = &[&host_server];
            guest.join(&room, via).await;
            membership(&room, &host, &guest.user_id, "join").await;

            host.moderate(&room, "kick", &guest.user_id).await.ok();
            membership(&room, &host, &guest.user_id, "leave").await;
            refused_to_speak(&room, &guest).await;
            guest.join(&room, via).await;
            membership(&room, &host, &guest.user_id, "join").await;

            host.moderate(&room, "ban", &guest.user_id).await.ok();
            refused_to_speak(&room, &guest).await;
            let join = guest.post(&["join", &room], &json!({})).query(&[("via", via[0])]);
            let join = join.answer().await;
            assert_eq!(join.status, 403, "{join}");

            host.moderate(&room, "unban", &guest.user_id).await.ok();
            guest.join(&room, via).await;
            membership(&room, &host, &guest.user_id, "join").await;
            same_state(&room, &host, &guest).await;
        }
    }
}

async fn refused_to_speak(room: &str, guest: &Account) {
    eventually("the guest's own server knows that the guest is out", async || {
        let transaction = guest.next_transaction();
        let path = ["rooms", room, "send", "org.example.probe", &transaction];
        let answer = guest.put(&path, &json!({})).answer().await;
        (answer.status == 403).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_guest_with_power_moderates_and_one_without_does_not() {
    let world = World::shared().await;
    for pair in world.pairs().await {
        for version in ROOM_VERSIONS {
            println!("room version {version}, host {}", pair.host.user_id);
            let room = pair.room(version).await;
            let topic = json!({ "topic": "prices" });
            let answer = pair.guest.try_set_state(&room, "m.room.topic", "", &topic).await;
            answer.refused(403, "M_FORBIDDEN");

            empower(&room, &pair, 50).await;
            eventually("the guest may set the topic", async || {
                let answer = pair.guest.try_set_state(&room, "m.room.topic", "", &topic).await;
                answer.status.is_success().then_some(())
            })
            .await;
            let above = json!({ "users": { pair.guest.user_id.as_str(): 100 } });
            let answer = pair.guest.try_set_state(&room, "m.room.power_levels", "", &above).await;
            answer.refused(403, "M_FORBIDDEN");

            let agreed = same_state(&room, &pair.host, &pair.guest).await;
            assert!(agreed.0.contains_key(&("m.room.topic".into(), String::new())));
            let seen = pair.host.state_content(&room, "m.room.topic", "").await;
            assert_eq!(seen.expect("a topic")["topic"], "prices");

            empower(&room, &pair, 0).await;
            eventually("the guest has no power any more", async || {
                let name = json!({ "name": "mine" });
                let answer = pair.guest.try_set_state(&room, "m.room.name", "", &name).await;
                (answer.status == 403).then_some(())
            })
            .await;
            same_state(&room, &pair.host, &pair.guest).await;
        }
    }
}

/// The host gives the guest a power level.
async fn empower(room: &str, pair: &Pair, level: i64) {
    let content = pair.host.state_content(room, "m.room.power_levels", "").await;
    let mut content = content.expect("power levels");
    content["users"][&pair.guest.user_id] = json!(level);
    pair.host.set_state(room, "m.room.power_levels", "", &content).await;
}

#[tokio::test]
async fn a_moderating_guest_kicks_and_bans_people_of_the_hosts_server() {
    let world = World::shared().await;
    for pair in world.pairs().await {
        let server =
            if pair.host_server == world.kontor.name() { &world.kontor } else { &world.synapse };
        let third = server.register(&world.new_name("third")).await;
        let room = pair.room("12").await;
        pair.host.invite(&room, &third.user_id).await;
        third.join(&room, &[]).await;
        membership(&room, &pair.guest, &third.user_id, "join").await;
        empower(&room, &pair, 50).await;
        eventually("the guest bans the third", async || {
            let answer = pair.guest.moderate(&room, "ban", &third.user_id).await;
            answer.status.is_success().then_some(())
        })
        .await;
        membership(&room, &pair.host, &third.user_id, "ban").await;
        let join = third.post(&["join", &room], &json!({})).answer().await;
        assert_eq!(join.status, 403, "{join}");
        same_state(&room, &pair.host, &pair.guest).await;
    }
}

#[tokio::test]
async fn state_of_every_kind_reaches_the_other_server() {
    let world = World::shared().await;
    for pair in world.pairs().await {
        let room = pair.room("12").await;
        let host = &pair.host;
        host.set_state(&room, "m.room.name", "", &json!({ "name": "Заказ № 17" })).await;
        host.set_state(&room, "m.room.avatar", "", &json!({ "url": "mxc://example.org/a" })).await;
        for key in ["a", "b", "c.d|e/f"] {
            let content = json!({ "price": 12, "nested": { "list": [1, null, "x"] } });
            host.set_state(&room, "org.example.offer", key, &content).await;
        }
        let rules = json!({ "join_rule": "public" });
        host.set_state(&room, "m.room.join_rules", "", &rules).await;
        let visibility = json!({ "history_visibility": "joined" });
        host.set_state(&room, "m.room.history_visibility", "", &visibility).await;
        let last = host.set_state(&room, "m.room.topic", "", &json!({ "topic": "the last" })).await;
        eventually("the last change", async || pair.guest.event(&room, &last).await).await;
        same_state(&room, host, &pair.guest).await;
        let offer = pair.guest.state_content(&room, "org.example.offer", "c.d|e/f").await;
        assert_eq!(offer.expect("the offer")["nested"]["list"], json!([1, null, "x"]));
    }
}
