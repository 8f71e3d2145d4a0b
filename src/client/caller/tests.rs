use http::StatusCode;
use serde_json::{Value, json};

use crate::testing::TestHomeserver;

const OPEN: &str = "[registration]\nenabled = true";

async fn alice() -> (TestHomeserver, String) {
    let server = TestHomeserver::with_config(OPEN).await;
    let token = server.register("alice").await;
    (server, token)
}

/// S31.
#[tokio::test]
async fn a_missing_token_is_told_from_an_unknown_one() {
    let (server, token) = alice().await;
    let whoami = "/_matrix/client/v3/account/whoami";
    let codes = [
        (whoami.to_owned(), "", "M_MISSING_TOKEN"),
        (format!("{whoami}?access_token="), "", "M_MISSING_TOKEN"),
        (whoami.to_owned(), " ", "M_MISSING_TOKEN"),
        (whoami.to_owned(), "null", "M_UNKNOWN_TOKEN"),
        (format!("{whoami}?access_token=x"), "", "M_UNKNOWN_TOKEN"),
        (format!("{whoami}?access_token={token}"), "x", "M_UNKNOWN_TOKEN"),
    ];
    for (path, token, code) in codes {
        let (status, body) = server.get(&path, token).await;
        assert_eq!((status, &body["errcode"]), (StatusCode::UNAUTHORIZED, &json!(code)), "{path}");
    }
    let (status, body) = server.get(&format!("{whoami}?access_token={token}"), "").await;
    assert_eq!((status, &body["user_id"]), (StatusCode::OK, &json!("@alice:acme.example")));
}

/// S33.
#[tokio::test]
async fn a_locked_user_can_only_log_out() {
    let (server, token) = alice().await;
    let app = server.app().await;
    let user = "@alice:acme.example".try_into().unwrap();
    app.services.accounts.set_locked(user, true).await.unwrap();
    let (status, body) = server.get("/_matrix/client/v3/devices", &token).await;
    assert_eq!(status, StatusCode::UNAUTHORIZED);
    assert_eq!(body["errcode"], "M_USER_LOCKED");
    assert_eq!(body["soft_logout"], true);
    let logout = "/_matrix/client/v3/logout";
    let (status, _) = server.ask("POST", logout, &token, json!({})).await;
    assert_eq!(status, StatusCode::OK);
    let (_, body) = server.get("/_matrix/client/v3/devices", &token).await;
    assert_eq!(body["errcode"], "M_UNKNOWN_TOKEN");
    assert_eq!(body.get("soft_logout"), None::<&Value>);
}
