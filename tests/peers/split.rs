//! The wire between the two is cut while both go on, and is mended.

use crate::world::{Pair, World};
use harness::{Account, eventually, same_state, text_of};
use serde_json::json;
use std::collections::BTreeSet;

const MESSAGES: usize = 15;

#[tokio::test]
async fn after_a_cut_wire_is_mended_both_hold_all_messages_and_one_state() {
    let world = World::new().await;
    let pairs = world.pairs().await;
    let mut rooms = Vec::new();
    for (pair, version) in pairs.iter().zip(["11", "12"]) {
        let room = pair.room(version).await;
        empower_guest(&room, pair).await;
        same_state(&room, &pair.host, &pair.guest).await;
        rooms.push(room);
    }
    world.kontor.link().cut();
    world.synapse.link().cut();
    for (pair, room) in pairs.iter().zip(&rooms) {
        for person in [&pair.host, &pair.guest] {
            go_on(room, person).await;
        }
    }
    // Power decides what a conflict of state becomes: the host takes the guest's away.
    for (pair, room) in pairs.iter().zip(&rooms) {
        let content = pair.host.state_content(room, "m.room.power_levels", "").await;
        let mut content = content.expect("power levels");
        content["users"][&pair.guest.user_id] = json!(0);
        pair.host.set_state(room, "m.room.power_levels", "", &content).await;
    }
    world.kontor.link().mend();
    world.synapse.link().mend();
    for (pair, room) in pairs.iter().zip(&rooms) {
        let expected = expected(pair);
        for reader in [&pair.host, &pair.guest] {
            eventually(&format!("{} has all messages", reader.user_id), async || {
                let history = reader.history(room).await;
                let texts = history.iter().map(|e| text_of(e).to_owned()).collect::<BTreeSet<_>>();
                texts.is_superset(&expected).then_some(())
            })
            .await;
        }
        same_state(room, &pair.host, &pair.guest).await;
        talk_again(room, pair).await;
        same_state(room, &pair.host, &pair.guest).await;
    }
}

async fn empower_guest(room: &str, pair: &Pair) {
    let content = pair.host.state_content(room, "m.room.power_levels", "").await;
    let mut content = content.expect("power levels");
    content["users"][&pair.guest.user_id] = json!(50);
    pair.host.set_state(room, "m.room.power_levels", "", &content).await;
}

/// One side goes on by itself: messages, and state that the other side changes too.
async fn go_on(room: &str, person: &Account) {
    for number in 0..MESSAGES {
        person.say(room, &line(person, number)).await;
    }
    let topic = json!({ "topic": format!("as {} sees it", person.user_id) });
    person.set_state(room, "m.room.topic", "", &topic).await;
    let own = json!({ "by": person.user_id });
    person.set_state(room, "org.example.note", &format!("note of {}", person.user_id), &own).await;
}

fn line(person: &Account, number: usize) -> String {
    format!("{number}, alone: {}", person.user_id)
}

fn expected(pair: &Pair) -> BTreeSet<String> {
    let by = |person| (0..MESSAGES).map(move |number| line(person, number));
    by(&pair.host).chain(by(&pair.guest)).collect()
}

async fn talk_again(room: &str, pair: &Pair) {
    for (from, to) in [(&pair.host, &pair.guest), (&pair.guest, &pair.host)] {
        let sent = from.say(room, "we can hear each other").await;
        eventually("the first words after the cut", async || to.event(room, &sent).await).await;
    }
}
