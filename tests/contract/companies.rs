//! Homeservers come, move and go while the process runs.

use crate::{kontor, started};
use harness::{Account, Authority, Options, Server, View, eventually};
use reqwest::Method;
use serde_json::json;
use std::sync::Arc;

const KEYS: [&str; 4] = ["_matrix", "key", "v2", "server"];

/// What a company had before it moved.
struct Belongings {
    name: String,
    alice: Account,
    room: String,
    event: String,
    file: String,
    key: serde_json::Value,
}

async fn furnish(server: &Server, name: &str) -> Belongings {
    let alice = server.register_at(name, "alice").await;
    let room = alice.create_room(&json!({ "name": "The office" })).await;
    let event = alice.say(&room, "we are going to move").await;
    let file = alice.upload("plan.txt", "text/plain", b"left, then right".to_vec()).await;
    let key = server.call_at(name, Method::GET, &KEYS).ok().await["verify_keys"].clone();
    Belongings { name: name.into(), alice, room, event, file, key }
}

/// All is there, for the old access token, and work goes on.
async fn all_there(server: &Server, had: &Belongings, alice: &Account) {
    let key = server.call_at(&had.name, Method::GET, &KEYS).ok().await["verify_keys"].clone();
    assert_eq!(key, had.key);
    assert!(alice.event(&had.room, &had.event).await.is_some());
    assert_eq!(alice.download(&had.file).await.ok_bytes(), b"left, then right");
    let mut view = View::default();
    let sent = alice.say(&had.room, "here we are").await;
    alice.until_event(&mut view, &had.room, &sent).await;
}

#[tokio::test]
async fn a_homeserver_is_exported_deleted_and_imported_while_the_others_run() {
    let server = started(Options::default()).await;
    let neighbour = furnish(&server, server.name()).await;
    let name = server.new_name(1);
    server.kontor(&["homeserver", "create", &name]);
    let had = furnish(&server, &name).await;

    let file = server.folder().join("export");
    let file = file.to_str().expect("a path in ASCII");
    server.kontor(&["homeserver", "export", &name, file]);
    server.kontor(&["homeserver", "delete", &name]);
    let answer = server.call_at(&name, Method::GET, &KEYS).answer().await;
    assert!(answer.status.is_client_error(), "{answer}");
    assert!(!server.kontor(&["homeserver", "list"]).contains(&name));
    all_there(&server, &neighbour, &neighbour.alice).await;

    server.kontor(&["homeserver", "import", file]);
    all_there(&server, &had, &had.alice).await;
    all_there(&server, &neighbour, &neighbour.alice).await;
}

#[tokio::test]
async fn a_homeserver_moves_to_another_process_and_survives_its_restart() {
    let authority = Arc::new(Authority::new());
    let old = Server::started(kontor(), &authority, Options::default()).await;
    let mut new = Server::started(kontor(), &authority, Options::default()).await;
    let name = old.new_name(1);
    old.kontor(&["homeserver", "create", &name]);
    let had = furnish(&old, &name).await;
    let file = old.folder().join("export");
    let file = file.to_str().expect("a path in ASCII");
    old.kontor(&["homeserver", "export", &name, file]);
    old.kontor(&["homeserver", "delete", &name]);
    new.kontor(&["homeserver", "import", file]);
    let alice = had.alice.moved_to(&new);
    all_there(&new, &had, &alice).await;
    new.kill();
    new.start().await;
    all_there(&new, &had, &alice).await;
}

#[tokio::test]
async fn commands_work_on_a_stopped_process_too() {
    let mut server = started(Options::default()).await;
    assert!(server.stop().await.success());
    let name = server.new_name(1);
    server.kontor(&["homeserver", "create", &name]);
    let listed = server.kontor(&["homeserver", "list"]);
    assert!(listed.contains(&name) && listed.contains(server.name()), "{listed}");
    server.start().await;
    server.register_at(&name, "alice").await;
}

#[tokio::test]
async fn a_homeserver_is_created_once() {
    let server = started(Options::default()).await;
    let output = harness::run(server.kontor_command(&["homeserver", "create", server.name()]));
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && complaint.contains(server.name()), "{complaint}");
}

/// The names of a homeserver's keys: those that sign, and those that signed.
async fn key_ids(server: &Server, name: &str) -> [Vec<String>; 2] {
    let keys = server.call_at(name, Method::GET, &KEYS).ok().await;
    ["verify_keys", "old_verify_keys"].map(|kind| {
        let ids = keys[kind].as_object().into_iter().flat_map(|keys| keys.keys());
        ids.cloned().collect()
    })
}

#[tokio::test]
async fn a_homeserver_gets_a_new_key_in_the_middle_of_a_conversation() {
    let authority = Arc::new(Authority::new());
    let one = Server::started(kontor(), &authority, Options::default()).await;
    let mut other = Server::started(kontor(), &authority, Options::default()).await;
    let (alice, bob) = (one.register("alice").await, other.register("bob").await);
    let room = alice.create_room(&json!({ "preset": "public_chat" })).await;
    let before = alice.say(&room, "signed with the old key").await;
    bob.join(&room, &[one.name()]).await;

    let [old, _] = key_ids(&one, one.name()).await;
    one.kontor(&["homeserver", "rotate-key", one.name()]);
    let [new, replaced] = key_ids(&one, one.name()).await;
    assert!(new.len() == 1 && new != old && replaced == old, "{old:?} {new:?} {replaced:?}");
    let after = alice.say(&room, "signed with the new key").await;
    bob.until_event(&mut View::default(), &room, &after).await;

    // Who comes later verifies what either key signed.
    let third = Server::started(kontor(), &authority, Options::default()).await;
    let carol = third.register("carol").await;
    carol.join(&room, &[one.name()]).await;
    eventually("what was said before she came", async || {
        let history = carol.history(&room).await;
        let told = |event: &str| history.iter().any(|told| told["event_id"] == event);
        (told(&before) && told(&after)).then_some(())
    })
    .await;

    // A stopped process can be given a new key as well.
    assert!(other.stop().await.success());
    other.kontor(&["homeserver", "rotate-key", other.name()]);
    other.start().await;
    let back = bob.say(&room, "and mine").await;
    alice.until_event(&mut View::default(), &room, &back).await;
}
