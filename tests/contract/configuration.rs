//! `kontor check`, and overrides from the environment.

use crate::{kontor, started};
use harness::{Authority, Options, Server, run};
use serde_json::json;
use std::sync::Arc;

/// Runs `kontor check` after replacing parts of a good configuration; the answer is whether it is
/// content, all that it says, and on which lines the replacements stand.
fn check(changes: &[(&str, &str)]) -> (bool, String, Vec<usize>) {
    let server = Server::new(kontor(), &Arc::new(Authority::new()), Options::default());
    let path = server.config_file();
    let mut text = std::fs::read_to_string(&path).expect("the configuration");
    for (old, new) in changes {
        assert!(text.contains(old), "{old} is not in\n{text}");
        text = text.replacen(old, new, 1);
    }
    let line_of = |part: &str| text[..text.find(part).expect("it is there")].lines().count();
    let lines = changes.iter().map(|(_, new)| line_of(new) + 1).collect();
    std::fs::write(&path, &text).expect("the changed configuration");
    let output = run(server.kontor_command(&["check"]));
    let said = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&said).into(), lines)
}

#[test]
fn check_is_content_with_a_good_configuration() {
    let (content, said, _) = check(&[]);
    assert!(content, "{said}");
}

#[test]
fn check_names_every_mistake_with_its_key_and_its_line() {
    let changes = [
        ("allow_private_addresses = true", "allow_private_addresses = \"perhaps\""),
        ("extra_ca_file =", "extra_ca_fiel ="),
        ("listen = [", "listen = [\"nowhere\", "),
    ];
    let (content, said, lines) = check(&changes);
    assert!(!content, "{said}");
    for key in ["allow_private_addresses", "extra_ca_fiel", "listen"] {
        assert!(said.contains(key), "{key} is not named: {said}");
    }
    for line in lines {
        assert!(said.contains(&line.to_string()), "line {line} is not named: {said}");
    }
}

#[test]
fn a_server_with_mistakes_in_its_configuration_does_not_start() {
    let server = Server::new(kontor(), &Arc::new(Authority::new()), Options::default());
    std::fs::write(server.config_file(), "data_dir = 7\n").expect("a bad configuration");
    let output = run(server.serve_command());
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && complaint.contains("data_dir"), "{complaint}");
}

#[tokio::test]
async fn the_environment_overrides_a_key() {
    let environment = vec![("KONTOR__ROOMS__DEFAULT_VERSION".into(), "11".into())];
    let server = started(Options { environment, ..Options::default() }).await;
    let alice = server.register("alice").await;
    let room = alice.create_room(&json!({})).await;
    let create = alice.state_content(&room, "m.room.create", "").await;
    assert_eq!(create.expect("the create event")["room_version"], "11");
}
