//! Backups of room keys, and the keys with which users sign each other.

use crate::{
    case::{Case, case},
    stage::Stage,
    words::{confirmed, text},
};
use harness::PASSWORD;
use serde_json::json;

pub fn cases() -> Vec<Case> {
    vec![
        case("TestE2EKeyBackupReplaceRoomKeyRules", key_backup),
        case("TestMSC3967", first_cross_signing_keys),
    ]
}

/// Of two keys for a session the verified, then the older, then the less forwarded one is better.
async fn key_backup(stage: Stage) {
    let alice = stage.person().await;
    let version = json!({ "algorithm": "m.megolm_backup.v1.curve25519-aes-sha2", "auth_data": { "public_key": "x" } });
    let made = alice.post(&["room_keys", "version"], &version).ok().await;
    let version = text(&made, "/version");
    let key = |verified: bool, first: u64, forwarded: u64| {
        json!({
            "is_verified": verified, "first_message_index": first, "forwarded_count": forwarded,
            "session_data": { "of": format!("{verified} {first} {forwarded}") },
        })
    };
    for (row, kept, offered) in [
        ("verified", key(true, 10, 5), [key(false, 1, 1), key(true, 11, 5), key(true, 10, 6)]),
        (
            "first index",
            key(false, 10, 5),
            [key(false, 11, 1), key(false, 10, 6), key(false, 12, 0)],
        ),
    ] {
        let path = ["room_keys", "keys", "!room:example.org", row];
        let query = [("version", version.as_str())];
        stage
            .row(row, async {
                for worse in &offered {
                    alice.put(&path, worse).query(&query).ok().await;
                    alice.put(&path, &kept).query(&query).ok().await;
                    alice.put(&path, worse).query(&query).ok().await;
                    assert_eq!(alice.get(&path).query(&query).ok().await, kept, "against {worse}");
                }
            })
            .await;
    }
}

async fn first_cross_signing_keys(stage: Stage) {
    let alice = stage.person().await;
    let key = |usage: &str, public: &str| {
        json!({
            "user_id": alice.user_id, "usage": [usage], "keys": { format!("ed25519:{public}"): public },
        })
    };
    let first =
        json!({ "master_key": key("master", "Zmlyc3RmaXJzdGZpcnN0Zmlyc3RmaXJzdGZpcnN0Zmk") });
    let second =
        json!({ "master_key": key("master", "b3RoZXJvdGhlcm90aGVyb3RoZXJvdGhlcm90aGVyb3Q") });
    let path = ["keys", "device_signing", "upload"];
    stage
        .row("the first keys need no password", async {
            alice.post(&path, &first).ok().await;
        })
        .await;
    stage
        .row("the same keys again need none either", async {
            alice.post(&path, &first).ok().await;
        })
        .await;
    stage
        .row("others do", async {
            let asked = alice.post(&path, &second).answer().await;
            assert_eq!(asked.status, 401, "{asked}");
            let body = confirmed(second.clone(), &alice, PASSWORD, &asked.json()["session"]);
            alice.post(&path, &body).ok().await;
        })
        .await;
}
