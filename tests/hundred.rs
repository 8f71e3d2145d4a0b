//! A hundred companies in one process, created while it runs.
//!
//! What each costs in memory and how long the start takes is printed, not asserted.

use harness::{Authority, Kind, Options, Server, View, eventually};
use reqwest::Method;
use serde_json::{Value, json};
use std::{collections::BTreeSet, sync::Arc};
use tokio::time::Instant;

const HOMESERVERS: u8 = 100;

#[tokio::test]
async fn a_hundred_homeservers_are_created_in_a_running_process() {
    let authority = Arc::new(Authority::new());
    let kind = Kind::Kontor(env!("CARGO_BIN_EXE_kontor").into());
    let mut server = Server::started(kind, &authority, Options::default()).await;
    let mut keys = BTreeSet::from([key(&server, server.name()).await]);
    let before = server.process().memory();

    let created = Instant::now();
    let names = (1..HOMESERVERS).map(|number| server.new_name(number)).collect::<Vec<_>>();
    for name in &names {
        server.kontor(&["homeserver", "create", name]);
        assert!(keys.insert(key(&server, name).await), "{name} has the key of another");
    }
    let after = server.process().memory();
    println!("99 homeservers created in {:?}", created.elapsed());
    println!("memory with one homeserver: {} KiB", before / 1024);
    println!("memory of each further one: {} KiB", (after.saturating_sub(before)) / 1024 / 99);

    let listed = server.kontor(&["homeserver", "list"]);
    for name in names.iter().map(String::as_str).chain([server.name()]) {
        assert!(listed.lines().any(|line| line.contains(name)), "{name} is not in\n{listed}");
    }

    assert!(server.stop().await.success());
    let started = Instant::now();
    server.start().await;
    println!("start with a hundred homeservers: {:?}", started.elapsed());
    let mut kept = BTreeSet::from([key(&server, server.name()).await]);
    for name in &names {
        kept.insert(key(&server, name).await);
    }
    assert_eq!(kept, keys);
    talk(&server, &names[0], &names[98]).await;
    println!("memory after the restart: {} KiB", server.process().memory() / 1024);
}

/// The key with which a homeserver signs, from its own mouth.
async fn key(server: &Server, name: &str) -> String {
    let keys: Value =
        server.call_at(name, Method::GET, &["_matrix", "key", "v2", "server"]).ok().await;
    assert_eq!(keys["server_name"], name, "{keys}");
    let verify = keys["verify_keys"].as_object().expect("keys");
    let mut found = verify.values().filter_map(|key| key["key"].as_str());
    found.next().expect("a key").to_owned()
}

/// Two of the new companies talk to each other.
async fn talk(server: &Server, one: &str, other: &str) {
    let alice = server.register_at(one, "alice").await;
    let bob = server.register_at(other, "bob").await;
    let room = alice.create_room(&json!({ "preset": "private_chat" })).await;
    alice.invite(&room, &bob.user_id).await;
    bob.join(&room, &[]).await;
    let sent = alice.say(&room, "good morning").await;
    bob.until_event(&mut View::default(), &room, &sent).await;
    let answer = bob.say(&room, "good morning to you").await;
    eventually("the answer", async || alice.event(&room, &answer).await).await;
}
