use http::StatusCode;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::testing::TestHomeserver;

const REGISTRATION: &str = r##"
id: irc
url: null
as_token: as-secret
hs_token: hs-secret
sender_localpart: irc_bot
namespaces:
  users: [{ exclusive: true, regex: "@_irc_" }]
  aliases: [{ exclusive: true, regex: "#_irc_" }]
"##;

const AS: &str = "as-secret";
const REGISTER: &str = "/_matrix/client/v3/register";
const WHOAMI: &str = "/_matrix/client/v3/account/whoami";

async fn server() -> (TestHomeserver, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("irc.yaml"), REGISTRATION).unwrap();
    let directory = folder.path().to_str().unwrap();
    let config =
        format!("[registration]\nenabled = true\n[appservices]\ndirectory = {directory:?}\n");
    (TestHomeserver::with_config(&config).await, folder)
}

impl TestHomeserver {
    async fn registers(&self, token: &str, username: &str) -> (StatusCode, Value) {
        let body = json!({ "type": "m.login.application_service", "username": username });
        self.ask("POST", REGISTER, token, body).await
    }
}

#[tokio::test]
async fn an_appservice_makes_users_and_acts_for_them() {
    let (server, _folder) = server().await;
    let (_, me) = server.get(WHOAMI, AS).await;
    assert_eq!(me["user_id"], "@irc_bot:acme.example");
    let bob = format!("{WHOAMI}?user_id=@_irc_bob:acme.example");
    let (status, body) = server.get(&bob, AS).await;
    assert_eq!((status, &body["errcode"]), (StatusCode::FORBIDDEN, &json!("M_FORBIDDEN")));
    let (status, body) = server.registers(AS, "_irc_bob").await;
    assert_eq!(status, StatusCode::OK, "{body}");
    let device = body["device_id"].as_str().unwrap();
    assert_eq!(server.get(&bob, AS).await.1["user_id"], "@_irc_bob:acme.example");
    let (_, me) = server.get(&format!("{bob}&device_id={device}"), AS).await;
    assert_eq!(me["device_id"], device);
    let (status, body) = server.get(&format!("{bob}&device_id=NONE"), AS).await;
    assert_eq!((status, &body["errcode"]), (StatusCode::BAD_REQUEST, &json!("M_UNKNOWN_DEVICE")));
    let (status, _) = server.get(&format!("{WHOAMI}?user_id=bob"), AS).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn nobody_else_acts_for_others() {
    let (server, _folder) = server().await;
    let alice = server.register("alice").await;
    server.registers(AS, "_irc_bob").await;
    let (_, me) = server.get(&format!("{WHOAMI}?user_id=@_irc_bob:acme.example"), &alice).await;
    assert_eq!(me["user_id"], "@alice:acme.example");
    let (status, _) = server.get(&format!("{WHOAMI}?user_id=@alice:acme.example"), AS).await;
    assert_eq!(status, StatusCode::FORBIDDEN);
    for (token, code) in [("", "M_MISSING_TOKEN"), (&*alice, "M_UNKNOWN_TOKEN")] {
        let (status, body) = server.registers(token, "_irc_eve").await;
        assert_eq!((status, &body["errcode"]), (StatusCode::UNAUTHORIZED, &json!(code)));
    }
    let (_, body) = server.registers(AS, "eve").await;
    assert_eq!(body["errcode"], "M_EXCLUSIVE");
    let (_, body) = server.get(&format!("{REGISTER}/available?username=_irc_eve"), "").await;
    assert_eq!(body["errcode"], "M_EXCLUSIVE");
}

#[tokio::test]
async fn an_appservice_logs_its_users_in_and_needs_no_password() {
    let (server, _folder) = server().await;
    server.registers(AS, "_irc_bob").await;
    let login = "/_matrix/client/v3/login";
    let body = |user: &str| {
        let identifier = json!({ "type": "m.id.user", "user": user });
        json!({ "type": "m.login.application_service", "identifier": identifier })
    };
    let (status, session) = server.ask("POST", login, AS, body("_irc_bob")).await;
    assert_eq!(status, StatusCode::OK, "{session}");
    let (status, _) = server.ask("POST", login, AS, body("alice")).await;
    assert_eq!(status, StatusCode::FORBIDDEN);
    let (status, _) = server.ask("POST", login, "", body("_irc_bob")).await;
    assert_eq!(status, StatusCode::UNAUTHORIZED);
    let device = session["device_id"].as_str().unwrap();
    let path = format!("/_matrix/client/v3/devices/{device}");
    let own = session["access_token"].as_str().unwrap();
    let (status, _) = server.ask("DELETE", &path, own, json!({})).await;
    assert_eq!(status, StatusCode::UNAUTHORIZED);
    let path = format!("{path}?user_id=@_irc_bob:acme.example");
    let (status, _) = server.ask("DELETE", &path, AS, json!({})).await;
    assert_eq!(status, StatusCode::OK);
}

#[tokio::test]
async fn only_appservices_choose_the_time_of_events() {
    let (server, _folder) = server().await;
    let alice = server.register("alice").await;
    let create = "/_matrix/client/v3/createRoom";
    let (_, room) = server.ask("POST", create, &alice, json!({ "preset": "public_chat" })).await;
    let room = room["room_id"].as_str().unwrap();
    let (status, _) =
        server.ask("POST", &format!("/_matrix/client/v3/join/{room}"), AS, json!({})).await;
    assert_eq!(status, StatusCode::OK);
    for (token, chosen) in [(AS, true), (&*alice, false)] {
        let path =
            format!("/_matrix/client/v3/rooms/{room}/send/m.room.message/1?ts=1641168000000");
        let text = json!({ "msgtype": "m.text", "body": "an old one" });
        let (_, sent) = server.ask("PUT", &path, token, text).await;
        let sent = sent["event_id"].as_str().unwrap();
        let path = format!("/_matrix/client/v3/rooms/{room}/event/{sent}");
        let (_, event) = server.get(&path, &alice).await;
        assert_eq!(event["origin_server_ts"] == 1_641_168_000_000_u64, chosen);
    }
    let path = format!("/_matrix/client/v3/rooms/{room}/send/m.room.message/2?ts=soon");
    let (status, _) = server.ask("PUT", &path, AS, json!({})).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn an_alias_in_an_exclusive_namespace_is_the_appservices() {
    let (server, _folder) = server().await;
    let alice = server.register("alice").await;
    let create = "/_matrix/client/v3/createRoom";
    for (token, name, status) in [
        (&*alice, "_irc_rust", StatusCode::BAD_REQUEST),
        (AS, "rust", StatusCode::BAD_REQUEST),
        (&*alice, "rust", StatusCode::OK),
        (AS, "_irc_rust", StatusCode::OK),
    ] {
        let body = json!({ "room_alias_name": name });
        let (answered, body) = server.ask("POST", create, token, body).await;
        assert_eq!(answered, status, "{name} {body}");
        let path = format!("/_matrix/client/v3/directory/room/%23{name}_2:acme.example");
        let room = json!({ "room_id": body["room_id"] });
        let (answered, _) = server.ask("PUT", &path, token, room).await;
        if status == StatusCode::BAD_REQUEST {
            assert_eq!(body["errcode"], "M_EXCLUSIVE");
        } else {
            assert_eq!(answered, status, "{name}");
        }
    }
}
