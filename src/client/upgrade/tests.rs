use http::StatusCode;
use serde_json::{Value, json};

use crate::testing::TestHomeserver;

const OPEN: &str = "[registration]\nenabled = true";

async fn done(
    server: &TestHomeserver,
    token: &str,
    (method, path): (&str, &str),
    body: Value,
) -> Value {
    let path = format!("/_matrix/client/v3/{path}");
    let (status, body) = server.ask(method, &path, token, body).await;
    assert_eq!(status, StatusCode::OK, "{method} {path}: {body}");
    body
}

#[tokio::test]
async fn a_replaced_room_leads_to_the_one_that_has_its_state_and_names() {
    let server = TestHomeserver::with_config(OPEN).await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let new = json!({
        "preset": "public_chat", "room_version": "11", "name": "Ledger", "visibility": "public",
        "room_alias_name": "ledger", "creation_content": { "type": "m.space" },
        "power_level_content_override":
            { "users": { "@alice:acme.example": 100, "@bob:acme.example": 60 } },
    });
    let old = done(&server, &alice, ("POST", "createRoom"), new).await;
    let old = old["room_id"].as_str().unwrap();
    done(&server, &bob, ("POST", &format!("rooms/{old}/join")), json!({})).await;
    let ban = json!({ "user_id": "@eve:acme.example" });
    done(&server, &alice, ("POST", &format!("rooms/{old}/ban")), ban).await;
    for (kind, content) in [
        (format!("pushrules/global/room/{old}"), json!({ "actions": [] })),
        (format!("user/@bob:acme.example/rooms/{old}/tags/m.favourite"), json!({ "order": 0.5 })),
        (
            "user/@bob:acme.example/account_data/m.direct".to_owned(),
            json!({ "@alice:acme.example": [old] }),
        ),
    ] {
        done(&server, &bob, ("PUT", &kind), content).await;
    }

    let upgrade = format!("rooms/{old}/upgrade");
    let (status, _) = server
        .ask("POST", &format!("/_matrix/client/v3/{upgrade}"), &bob, json!({ "new_version": "12" }))
        .await;
    assert_eq!(status, StatusCode::FORBIDDEN);
    let answer = done(&server, &alice, ("POST", &upgrade), json!({ "new_version": "12" })).await;
    let replacement = answer["replacement_room"].as_str().unwrap();

    let state = async |room: &str, place: &str| {
        done(&server, &alice, ("GET", &format!("rooms/{room}/state/{place}")), Value::Null).await
    };
    assert_eq!(state(old, "m.room.tombstone/").await["replacement_room"], json!(replacement));
    assert_eq!(state(old, "m.room.power_levels/").await["events_default"], json!(50));
    let create = state(replacement, "m.room.create/").await;
    assert_eq!(create["predecessor"], json!({ "room_id": old }));
    assert_eq!((&create["type"], &create["room_version"]), (&json!("m.space"), &json!("12")));
    assert_eq!(state(replacement, "m.room.name/").await["name"], json!("Ledger"));
    assert_eq!(state(replacement, "m.room.join_rules/").await["join_rule"], json!("public"));
    let banned = state(replacement, "m.room.member/@eve:acme.example").await;
    assert_eq!(banned["membership"], json!("ban"));
    let levels = state(replacement, "m.room.power_levels/").await;
    assert_eq!(levels["users"], json!({ "@bob:acme.example": 60 }));
    let alias =
        done(&server, &alice, ("GET", "directory/room/%23ledger:acme.example"), Value::Null);
    assert_eq!(alias.await["room_id"], json!(replacement));
    let canonical = state(replacement, "m.room.canonical_alias/").await;
    assert_eq!(canonical["alias"], json!("#ledger:acme.example"));
    let listed = done(&server, &alice, ("GET", "publicRooms"), Value::Null).await;
    let listed: Vec<_> =
        listed["chunk"].as_array().unwrap().iter().map(|r| &r["room_id"]).collect();
    assert_eq!(listed, [&json!(replacement)]);

    done(&server, &bob, ("POST", &format!("rooms/{replacement}/join")), json!({})).await;
    let rule = format!("pushrules/global/room/{replacement}");
    assert_eq!(done(&server, &bob, ("GET", &rule), Value::Null).await["actions"], json!([]));
    let tags = format!("user/@bob:acme.example/rooms/{replacement}/tags");
    let tags = done(&server, &bob, ("GET", &tags), Value::Null).await;
    assert_eq!(tags["tags"]["m.favourite"]["order"], json!(0.5));
    let direct = "user/@bob:acme.example/account_data/m.direct";
    let direct = done(&server, &bob, ("GET", direct), Value::Null).await;
    assert_eq!(direct["@alice:acme.example"], json!([old, replacement]));
}
