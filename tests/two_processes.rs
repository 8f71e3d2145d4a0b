//! Kontor and Kontor over TLS: one of them is down, dead or restarted, and nothing is lost.
//!
//! `TARGET=synapse` runs it between Synapse processes, a control of the suite. Two tests are beyond
//! it: after its own restart Synapse leaves what it had queued alone for minutes.

use harness::{
    Account, Authority, Kind, Options, Server, View, eventually, same_state, text_of, within,
};
use serde_json::json;
use std::{sync::Arc, time::Duration};

/// A queue may be longer than one transaction between servers, which holds 50 events.
const MESSAGES: usize = 120;
/// Whoever was found dead is asked again after a while only.
const CATCH_UP_PATIENCE: Duration = Duration::from_secs(120);

fn kind() -> Kind {
    Kind::under_test(env!("CARGO_BIN_EXE_kontor"))
}

async fn two_servers() -> (Server, Server) {
    let authority = Arc::new(Authority::new());
    let options = Options { linked: true, ..Options::default() };
    tokio::join!(
        Server::started(kind(), &authority, options.clone()),
        Server::started(kind(), &authority, options),
    )
}

/// A room of Alice in which Bob is.
async fn common_room(alice: &Account, others: &[&Account]) -> String {
    let room = alice.create_room(&json!({ "preset": "private_chat" })).await;
    for other in others {
        alice.invite(&room, &other.user_id).await;
        other.join(&room, &[]).await;
    }
    room
}

/// What was said in the room, oldest first, as this person sees it.
async fn texts(reader: &Account, room: &str) -> Vec<String> {
    let mut texts = reader.history(room).await;
    texts.retain(|event| event["type"] == "m.room.message");
    texts.iter().rev().map(|event| text_of(event).to_owned()).collect()
}

async fn say_many(alice: &Account, room: &str, word: &str, count: usize) -> Vec<String> {
    let lines = (0..count).map(|number| format!("{word} {number}")).collect::<Vec<_>>();
    for line in &lines {
        alice.say(room, line).await;
    }
    lines
}

/// Waits until the reader has all lines, each once and in their order.
async fn reads(reader: &Account, room: &str, lines: &[String]) {
    let what = format!("{} reads all {} messages", reader.user_id, lines.len());
    within(CATCH_UP_PATIENCE, &what, async || {
        (texts(reader, room).await.len() >= lines.len()).then_some(())
    })
    .await;
    assert_eq!(texts(reader, room).await, lines);
}

#[tokio::test]
async fn a_server_that_was_down_gets_everything_when_it_comes_back() {
    let (here, mut there) = two_servers().await;
    let (alice, bob) = (here.register("alice").await, there.register("bob").await);
    let room = common_room(&alice, &[&bob]).await;
    same_state(&room, &alice, &bob).await;
    there.kill();

    let lines = say_many(&alice, &room, "while Bob was down", MESSAGES).await;
    for number in 0..10 {
        let content = json!({ "topic": format!("topic {number}") });
        alice.set_state(&room, "m.room.topic", "", &content).await;
        let key = format!("row {number}");
        alice.set_state(&room, "org.example.row", &key, &json!({ "number": number })).await;
    }
    let note = json!({ "messages": { bob.user_id.as_str(): { "*": { "key": "of a room" } } } });
    alice.put(&["sendToDevice", "org.example.key", "1"], &note).ok().await;

    there.start().await;
    reads(&bob, &room, &lines).await;
    same_state(&room, &alice, &bob).await;
    let came = |view: &View| (!view.to_device.is_empty()).then(|| view.to_device.clone());
    let notes = bob.until(&mut View::default(), "the to-device message", came).await;
    assert_eq!((notes.len(), &notes[0]["content"]["key"]), (1, &json!("of a room")));
}

#[tokio::test]
async fn what_was_queued_is_sent_after_the_sender_was_killed() {
    let (mut here, there) = two_servers().await;
    let (alice, bob) = (here.register("alice").await, there.register("bob").await);
    let room = common_room(&alice, &[&bob]).await;
    same_state(&room, &alice, &bob).await;
    there.link().cut();
    let lines = say_many(&alice, &room, "before the crash", MESSAGES / 2).await;
    here.kill();
    there.link().mend();
    // Nobody says anything more: what was queued must be found by the sender itself.
    here.start().await;
    reads(&bob, &room, &lines).await;
    same_state(&room, &alice, &bob).await;
}

#[tokio::test]
async fn a_dead_server_does_not_delay_another() {
    let authority = Arc::new(Authority::new());
    let options = Options { linked: true, ..Options::default() };
    let (here, there, dead) = tokio::join!(
        Server::started(kind(), &authority, options.clone()),
        Server::started(kind(), &authority, options.clone()),
        Server::started(kind(), &authority, options),
    );
    let alice = here.register("alice").await;
    let (bob, dora) = (there.register("bob").await, dead.register("dora").await);
    let room = common_room(&alice, &[&bob, &dora]).await;
    same_state(&room, &alice, &bob).await;
    same_state(&room, &alice, &dora).await;
    // It takes every call and never answers: the worst kind of dead.
    dead.link().silence();
    let mut view = View::default();
    for number in 0..20 {
        let sent = alice.say(&room, &format!("number {number}")).await;
        // Would the dead server be waited for, these would take longer than anybody's patience.
        bob.until_event(&mut view, &room, &sent).await;
    }
    dead.link().mend();
    let lines = (0..20).map(|number| format!("number {number}")).collect::<Vec<_>>();
    reads(&dora, &room, &lines).await;
}

#[tokio::test]
async fn people_talk_on_while_their_servers_restart_in_turn() {
    let (mut here, mut there) = two_servers().await;
    let (alice, bob) = (here.register("alice").await, there.register("bob").await);
    let room = common_room(&alice, &[&bob]).await;
    let mut all = Vec::new();
    for turn in 0..3 {
        all.push(format!("Alice {turn}"));
        alice.say(&room, &all[all.len() - 1]).await;
        here.kill();
        all.push(format!("Bob {turn}"));
        bob.say(&room, &all[all.len() - 1]).await;
        there.kill();
        tokio::join!(here.start(), there.start());
    }
    for reader in [&alice, &bob] {
        eventually("everything that was said", async || {
            let texts = texts(reader, &room).await;
            all.iter().all(|line| texts.contains(line)).then_some(())
        })
        .await;
        assert_eq!(texts(reader, &room).await.len(), all.len());
    }
    same_state(&room, &alice, &bob).await;
}
