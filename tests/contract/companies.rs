//! Homeservers come, move and go while the process runs.

use crate::{kontor, started};
use harness::{Account, Authority, Options, Server, View};
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
