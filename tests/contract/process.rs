//! Starting and stopping.

use crate::started;
use harness::{Options, Port, View, run};
use serde_json::json;
use std::process::Command;

#[tokio::test]
async fn a_second_process_on_the_same_folder_refuses_to_start_and_says_why() {
    let server = started(Options::default()).await;
    // Ports of its own, so that the folder is the only thing to quarrel about.
    let (plain, tls) = (Port::lease(), Port::lease());
    let text = std::fs::read_to_string(server.config_file()).expect("the configuration");
    let text = text
        .replace(&format!(":{}\"]", server.plain_port()), &format!(":{}\"]", plain.number()))
        .replace(&format!("0.0.0.0:{}", server.tls_port()), &format!("0.0.0.0:{}", tls.number()));
    let second = server.folder().join("second");
    std::fs::write(&second, text).expect("a second configuration");

    let mut command = Command::new(env!("CARGO_BIN_EXE_kontor"));
    command.arg("serve").arg("--config").arg(&second).current_dir(server.folder());
    let output = tokio::task::spawn_blocking(move || run(command)).await.expect("it ends");
    let complaint = String::from_utf8_lossy(&output.stderr).to_lowercase();
    assert!(!output.status.success(), "{complaint}");
    let reasons = ["in use", "lock", "another process", "already"];
    assert!(reasons.iter().any(|reason| complaint.contains(reason)), "{complaint}");
    assert!(complaint.contains("data"), "which folder? {complaint}");
}

#[tokio::test]
async fn sigterm_ends_it_cleanly_within_ten_seconds_even_while_clients_wait() {
    let mut server = started(Options::default()).await;
    let alice = server.register("alice").await;
    let room = alice.create_room(&json!({})).await;
    let mut view = View::default();
    alice.sync(&mut view, false).await;
    let waiting = {
        let (alice, since) = (alice.clone(), view.since().expect("a token").to_owned());
        tokio::spawn(async move {
            let query = [("since", since.as_str()), ("timeout", "60000")];
            alice.get(&["sync"]).query(&query).attempt().await
        })
    };
    let last = alice.say(&room, "good night").await;
    let status = server.stop().await;
    assert!(status.success(), "{status}");
    // Answered or hung up on, but not left alone.
    let _ = waiting.await.expect("the waiting client does not panic");

    server.start().await;
    assert!(alice.event(&room, &last).await.is_some());
}

#[tokio::test]
async fn it_answers_again_on_the_same_folder_after_a_kill() {
    let mut server = started(Options::default()).await;
    let alice = server.register("alice").await;
    let room = alice.create_room(&json!({})).await;
    for number in 0..3 {
        let sent = alice.say(&room, &format!("number {number}")).await;
        server.kill();
        server.start().await;
        assert!(alice.event(&room, &sent).await.is_some(), "message {number}");
    }
}
