//! A client's life with its account, on the wire.

use http::StatusCode;
use serde_json::{Value, json};

use crate::testing::TestHomeserver;

const OPEN: &str = "[registration]\nenabled = true";
const REGISTER: &str = "/_matrix/client/v3/register";
const LOGIN: &str = "/_matrix/client/v3/login";
const PASSWORD: &str = "correct horse battery";

impl TestHomeserver {
    /// Registers the user through the open registration; gives the access token.
    pub(crate) async fn register(&self, username: &str) -> String {
        let auth = json!({ "type": "m.login.dummy" });
        let body = json!({ "username": username, "password": PASSWORD, "auth": auth });
        let (status, body) = self.ask("POST", REGISTER, "", body).await;
        assert_eq!(status, StatusCode::OK, "{body}");
        body["access_token"].as_str().unwrap().to_owned()
    }

    async fn log_in(&self, user: &str, password: &str) -> (StatusCode, Value) {
        let identifier = json!({ "type": "m.id.user", "user": user });
        let body =
            json!({ "type": "m.login.password", "identifier": identifier, "password": password });
        self.ask("POST", LOGIN, "", body).await
    }

    /// Asks; answers the challenge with the password.
    async fn ask_proving(&self, method: &str, path: &str, token: &str, body: Value) -> StatusCode {
        let (status, challenge) = self.ask(method, path, token, body.clone()).await;
        assert_eq!(status, StatusCode::UNAUTHORIZED, "{challenge}");
        assert_eq!(challenge["flows"], json!([{ "stages": ["m.login.password"] }]));
        let user = self.get("/_matrix/client/v3/account/whoami", token).await.1["user_id"].clone();
        let mut body = body;
        body["auth"] = json!({
            "type": "m.login.password",
            "session": challenge["session"],
            "identifier": { "type": "m.id.user", "user": user },
            "password": PASSWORD,
        });
        self.ask(method, path, token, body).await.0
    }
}

fn code(answer: &(StatusCode, Value)) -> (u16, &str) {
    (answer.0.as_u16(), answer.1["errcode"].as_str().unwrap_or_default())
}

/// S37.
#[tokio::test]
async fn registration_is_closed_unless_it_was_opened() {
    let server = TestHomeserver::new().await;
    let body = json!({ "username": "alice", "password": PASSWORD });
    let answer = server.ask("POST", REGISTER, "", body).await;
    assert_eq!(code(&answer), (403, "M_FORBIDDEN"));
}

#[tokio::test]
async fn registering_says_who_one_is_and_refuses_bad_names() {
    let server = TestHomeserver::with_config(OPEN).await;
    let (status, challenge) = server.ask("POST", REGISTER, "", json!({})).await;
    assert_eq!(status, StatusCode::UNAUTHORIZED);
    assert_eq!(challenge["flows"], json!([{ "stages": ["m.login.dummy"] }]));
    let auth = json!({ "type": "m.login.dummy", "session": challenge["session"] });
    let body = json!({
        "username": "Alice", "password": PASSWORD, "device_id": "PHONE", "auth": auth,
    });
    let (status, answer) = server.ask("POST", REGISTER, "", body).await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    assert_eq!(answer["user_id"], "@alice:acme.example");
    assert_eq!(answer["device_id"], "PHONE");
    let token = answer["access_token"].as_str().unwrap();
    let (_, whoami) = server.get("/_matrix/client/v3/account/whoami", token).await;
    let expected =
        json!({ "user_id": "@alice:acme.example", "device_id": "PHONE", "is_guest": false });
    assert_eq!(whoami, expected);

    let available = |name: &str| format!("{REGISTER}/available?username={name}");
    let refused = [("alice", "M_USER_IN_USE"), ("a%20b", "M_INVALID_USERNAME")];
    for (name, expected) in refused {
        assert_eq!(code(&server.get(&available(name), "").await), (400, expected));
    }
    assert_eq!(server.get(&available("bob"), "").await.1, json!({ "available": true }));
    let weak = json!({ "username": "bob", "password": "1", "auth": { "type": "m.login.dummy" } });
    assert_eq!(code(&server.ask("POST", REGISTER, "", weak).await), (400, "M_WEAK_PASSWORD"));
    let guest = server.ask("POST", &format!("{REGISTER}?kind=guest"), "", json!({})).await;
    assert_eq!(code(&guest), (403, "M_GUEST_ACCESS_FORBIDDEN"));
}

#[tokio::test]
async fn logging_in_is_refused_in_the_words_of_the_specification() {
    let server = TestHomeserver::with_config(OPEN).await;
    let token = server.register("alice").await;
    assert_eq!(server.log_in("alice", PASSWORD).await.0, StatusCode::OK);
    assert_eq!(code(&server.log_in("alice", "wrong").await), (403, "M_FORBIDDEN"));
    assert_eq!(code(&server.log_in("nobody", PASSWORD).await), (403, "M_FORBIDDEN"));
    let bad = [
        (json!({}), "M_MISSING_PARAM"),
        (json!({ "type": "m.login.password", "user": "alice" }), "M_MISSING_PARAM"),
        (json!({ "type": "m.login.magic" }), "M_UNKNOWN"),
        (json!({ "type": 1 }), "M_BAD_JSON"),
    ];
    for (body, expected) in bad {
        assert_eq!(code(&server.ask("POST", LOGIN, "", body).await), (400, expected));
    }
    let deactivate = "/_matrix/client/v3/account/deactivate";
    assert_eq!(server.ask_proving("POST", deactivate, &token, json!({})).await, StatusCode::OK);
    assert_eq!(code(&server.log_in("alice", PASSWORD).await), (403, "M_USER_DEACTIVATED"));
    let whoami = server.get("/_matrix/client/v3/account/whoami", &token).await;
    assert_eq!(code(&whoami), (401, "M_UNKNOWN_TOKEN"));
}

#[tokio::test]
async fn a_device_is_deleted_with_the_password() {
    let server = TestHomeserver::with_config(OPEN).await;
    let token = server.register("alice").await;
    let (_, phone) = server.log_in("alice", PASSWORD).await;
    let path = format!("/_matrix/client/v3/devices/{}", phone["device_id"].as_str().unwrap());
    let name = json!({ "display_name": "Phone" });
    assert_eq!(server.ask("PUT", &path, &token, name).await.0, StatusCode::OK);
    assert_eq!(server.get(&path, &token).await.1["display_name"], "Phone");
    assert_eq!(server.ask_proving("DELETE", &path, &token, json!({})).await, StatusCode::OK);
    assert_eq!(code(&server.get(&path, &token).await), (404, "M_NOT_FOUND"));
    let phone_token = phone["access_token"].as_str().unwrap();
    let answer = server.get("/_matrix/client/v3/devices", phone_token).await;
    assert_eq!(code(&answer), (401, "M_UNKNOWN_TOKEN"));
}

#[tokio::test]
async fn an_expired_token_is_a_soft_logout_and_can_be_refreshed() {
    let server = TestHomeserver::with_config(OPEN).await;
    server.register("alice").await;
    let body = json!({
        "type": "m.login.password", "user": "alice", "password": PASSWORD, "refresh_token": true,
    });
    let (_, session) = server.ask("POST", LOGIN, "", body).await;
    let lifetime = session["expires_in_ms"].as_u64().unwrap();
    server.clock.advance(std::time::Duration::from_millis(lifetime));
    let token = session["access_token"].as_str().unwrap();
    let (status, body) = server.get("/_matrix/client/v3/account/whoami", token).await;
    assert_eq!(status, StatusCode::UNAUTHORIZED);
    assert_eq!((&body["errcode"], &body["soft_logout"]), (&json!("M_UNKNOWN_TOKEN"), &json!(true)));
    let refresh = json!({ "refresh_token": session["refresh_token"] });
    let path = "/_matrix/client/v3/refresh";
    let (status, fresh) = server.ask("POST", path, "", refresh).await;
    assert_eq!(status, StatusCode::OK, "{fresh}");
    let token = fresh["access_token"].as_str().unwrap();
    let (status, _) = server.get("/_matrix/client/v3/account/whoami", token).await;
    assert_eq!(status, StatusCode::OK);
    let wrong = server.ask("POST", path, "", json!({ "refresh_token": "x" })).await;
    assert_eq!(code(&wrong), (401, "M_UNKNOWN_TOKEN"));
}

/// S51.
#[tokio::test]
async fn what_belongs_to_another_user_is_forbidden() {
    let server = TestHomeserver::with_config(OPEN).await;
    let token = server.register("mallory").await;
    server.register("alice").await;
    let alice = "/_matrix/client/v3/user/@alice:acme.example";
    let room = "rooms/!r:acme.example";
    let requests = [
        ("GET", format!("{alice}/account_data/a.b")),
        ("PUT", format!("{alice}/account_data/a.b")),
        ("GET", format!("{alice}/{room}/account_data/a.b")),
        ("PUT", format!("{alice}/{room}/account_data/a.b")),
        ("GET", format!("{alice}/{room}/tags")),
        ("PUT", format!("{alice}/{room}/tags/u.x")),
        ("DELETE", format!("{alice}/{room}/tags/u.x")),
        ("POST", format!("{alice}/filter")),
        ("GET", format!("{alice}/filter/x")),
        ("POST", format!("{alice}/openid/request_token")),
        ("PUT", "/_matrix/client/v3/profile/@alice:acme.example/displayname".to_owned()),
        ("GET", "/_matrix/client/v3/admin/whois/@alice:acme.example".to_owned()),
        ("PUT", "/_matrix/client/v1/admin/lock/@alice:acme.example".to_owned()),
    ];
    for (method, path) in requests {
        let body = if method == "GET" { Value::Null } else { json!({ "locked": true }) };
        let answer = server.ask(method, &path, &token, body).await;
        assert_eq!(code(&answer), (403, "M_FORBIDDEN"), "{method} {path}");
    }
}

#[tokio::test]
async fn account_data_filters_and_push_rules_are_kept() {
    let server = TestHomeserver::with_config(OPEN).await;
    let token = server.register("alice").await;
    let user = "/_matrix/client/v3/user/@alice:acme.example";
    let data = format!("{user}/account_data/example.data");
    assert_eq!(code(&server.get(&data, &token).await), (404, "M_NOT_FOUND"));
    let content = json!({ "float": 1.5, "deep": { "er": [null] } });
    assert_eq!(server.ask("PUT", &data, &token, content.clone()).await.0, StatusCode::OK);
    assert_eq!(server.get(&data, &token).await.1, content);
    let controlled = format!("{user}/account_data/m.push_rules");
    assert_eq!(code(&server.ask("PUT", &controlled, &token, json!({})).await), (405, "M_BAD_JSON"));

    let filter = json!({ "room": { "timeline": { "limit": 3 } }, "org.example": 1 });
    let (_, made) = server.ask("POST", &format!("{user}/filter"), &token, filter.clone()).await;
    let path = format!("{user}/filter/{}", made["filter_id"].as_str().unwrap());
    assert_eq!(server.get(&path, &token).await.1, filter);

    let rule = "/_matrix/client/v3/pushrules/global/content/cake";
    let new = json!({ "pattern": "cake*", "actions": ["notify"] });
    assert_eq!(server.ask("PUT", rule, &token, new).await.0, StatusCode::OK);
    assert_eq!(server.get(rule, &token).await.1["pattern"], "cake*");
    let off = json!({ "enabled": false });
    assert_eq!(server.ask("PUT", &format!("{rule}/enabled"), &token, off.clone()).await.0, 200);
    assert_eq!(server.get(&format!("{rule}/enabled"), &token).await.1, off);
    assert_eq!(server.ask("DELETE", rule, &token, Value::Null).await.0, StatusCode::OK);
    assert_eq!(code(&server.get(rule, &token).await), (404, "M_NOT_FOUND"));
    let (_, all) = server.get("/_matrix/client/v3/pushrules/", &token).await;
    assert_eq!(all["global"]["sender"], json!([]));
}

#[tokio::test]
async fn a_profile_is_seen_by_everybody() {
    let server = TestHomeserver::with_config(OPEN).await;
    let token = server.register("alice").await;
    let profile = "/_matrix/client/v3/profile/@alice:acme.example";
    let name = format!("{profile}/displayname");
    assert_eq!(code(&server.get(&name, "").await), (404, "M_NOT_FOUND"));
    let body = json!({ "displayname": "Alice" });
    assert_eq!(server.ask("PUT", &name, &token, body.clone()).await.0, StatusCode::OK);
    assert_eq!(server.get(&name, "").await.1, body);
    assert_eq!(server.get(profile, "").await.1, body);
    let long = format!("{profile}/{}", "k".repeat(256));
    let value = json!({ "k".repeat(256): 1 });
    assert_eq!(code(&server.ask("PUT", &long, &token, value).await), (400, "M_KEY_TOO_LARGE"));
    let nobody = server.get("/_matrix/client/v3/profile/@bob:acme.example", "").await;
    assert_eq!(code(&nobody), (404, "M_NOT_FOUND"));
}

#[tokio::test]
async fn a_client_publishes_its_keys_after_the_login() {
    let server = TestHomeserver::with_config(OPEN).await;
    let token = server.register("alice").await;
    let (_, whoami) = server.get("/_matrix/client/v3/account/whoami", &token).await;
    let (user, device) = (&whoami["user_id"], whoami["device_id"].as_str().unwrap());
    let device_keys = json!({
        "user_id": user, "device_id": device, "algorithms": [], "signatures": {},
        "keys": { format!("ed25519:{device}"): "key" },
    });
    let upload = json!({ "device_keys": device_keys, "one_time_keys": { "a:1": { "key": "k" } } });
    let keys = "/_matrix/client/v3/keys";
    let (status, answer) = server.ask("POST", &format!("{keys}/upload"), &token, upload).await;
    assert_eq!((status, answer), (StatusCode::OK, json!({ "one_time_key_counts": { "a": 1 } })));
    let query = json!({ "device_keys": { "@alice:acme.example": [] } });
    let (_, found) = server.ask("POST", &format!("{keys}/query"), &token, query).await;
    assert_eq!(found["device_keys"]["@alice:acme.example"][device], device_keys);
    let claim = json!({ "one_time_keys": { "@alice:acme.example": { device: "a" } } });
    let (_, claimed) = server.ask("POST", &format!("{keys}/claim"), &token, claim).await;
    let key = &claimed["one_time_keys"]["@alice:acme.example"][device];
    assert_eq!(*key, json!({ "a:1": { "key": "k" } }));

    let signing = format!("{keys}/device_signing/upload");
    let master = |public: &str| {
        let keys = json!({ format!("ed25519:{public}"): public });
        json!({ "master_key": { "user_id": user, "usage": ["master"], "keys": keys } })
    };
    assert_eq!(server.ask("POST", &signing, &token, master("one")).await.0, StatusCode::OK);
    assert_eq!(server.ask("POST", &signing, &token, master("one")).await.0, StatusCode::OK);
    let replaced = server.ask_proving("POST", &signing, &token, master("two")).await;
    assert_eq!(replaced, StatusCode::OK);
    let mut unsigned = master("three");
    unsigned["self_signing_key"] = json!({
        "user_id": user, "usage": ["self_signing"], "keys": { "ed25519:s": "s" },
    });
    unsigned.as_object_mut().unwrap().remove("master_key");
    let answer = server.ask("POST", &signing, &token, unsigned).await;
    assert_eq!(answer.0, StatusCode::UNAUTHORIZED, "a new key needs a proof");
}

#[tokio::test]
async fn room_keys_are_backed_up() {
    let server = TestHomeserver::with_config(OPEN).await;
    let token = server.register("alice").await;
    let backups = "/_matrix/client/v3/room_keys";
    let version = format!("{backups}/version");
    assert_eq!(code(&server.get(&version, &token).await), (404, "M_NOT_FOUND"));
    let backup = json!({ "algorithm": "m.megolm_backup.v1", "auth_data": { "x": 1.5 } });
    let (_, made) = server.ask("POST", &version, &token, backup).await;
    assert_eq!(made, json!({ "version": "1" }));
    let key = json!({
        "first_message_index": 0, "forwarded_count": 0, "is_verified": true, "session_data": {},
    });
    let path = format!("{backups}/keys/!r:acme.example/session?version=");
    let (status, stored) = server.ask("PUT", &format!("{path}1"), &token, key.clone()).await;
    assert_eq!((status, stored), (StatusCode::OK, json!({ "count": 1, "etag": "1" })));
    assert_eq!(server.get(&format!("{path}1"), &token).await.1, key);
    let wrong = server.ask("PUT", &format!("{path}2"), &token, key.clone()).await;
    assert_eq!(code(&wrong), (403, "M_WRONG_ROOM_KEYS_VERSION"));
    assert_eq!(wrong.1["current_version"], "1");
    let (_, all) = server.get(&format!("{backups}/keys?version=1"), &token).await;
    let sessions = json!({ "sessions": { "session": key } });
    assert_eq!(all, json!({ "rooms": { "!r:acme.example": sessions } }));
    let (_, info) = server.get(&version, &token).await;
    assert_eq!((&info["count"], &info["auth_data"]), (&json!(1), &json!({ "x": 1.5 })));
    let missing = server.get(&format!("{backups}/keys"), &token).await;
    assert_eq!(code(&missing), (400, "M_MISSING_PARAM"));
}

#[tokio::test]
async fn a_suspended_user_reads_but_does_not_write() {
    let server = TestHomeserver::with_config(OPEN).await;
    let token = server.register("alice").await;
    let create = "/_matrix/client/v3/createRoom";
    let (_, made) = server.ask("POST", create, &token, json!({})).await;
    let room = format!("/_matrix/client/v3/rooms/{}", made["room_id"].as_str().unwrap());
    let user = "@alice:acme.example".try_into().unwrap();
    server.app().await.services.accounts.set_suspended(user, true).await.unwrap();
    let writes = [
        ("POST", create.to_owned()),
        ("PUT", format!("{room}/send/m.room.message/1")),
        ("PUT", format!("{room}/state/m.room.topic/")),
        ("POST", "/_matrix/client/v3/join/!other:acme.example".to_owned()),
        ("PUT", "/_matrix/client/v3/profile/@alice:acme.example/displayname".to_owned()),
    ];
    for (method, path) in writes {
        let answer = server.ask(method, &path, &token, json!({ "displayname": "A" })).await;
        assert_eq!(code(&answer), (403, "M_USER_SUSPENDED"), "{method} {path}");
    }
    let invite = json!({ "user_id": "@bob:acme.example" });
    let answer = server.ask("POST", &format!("{room}/invite"), &token, invite).await;
    assert_eq!(code(&answer), (403, "M_USER_SUSPENDED"));
    assert_eq!(server.get("/_matrix/client/v3/sync", &token).await.0, StatusCode::OK);
    let (status, _) = server.ask("POST", &format!("{room}/leave"), &token, json!({})).await;
    assert_eq!(status, StatusCode::OK, "he may leave");
}
