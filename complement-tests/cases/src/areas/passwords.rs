//! A new password, and the end of an account.

use crate::{
    case::{Case, case},
    stage::Stage,
    words::{confirm, confirmed, list, password_login, set},
};
use harness::{Account, PASSWORD};
use reqwest::Method;
use serde_json::{Value, json};

const NEW: &str = "a staple in the battery of the horse";

pub fn cases() -> Vec<Case> {
    vec![
        case("TestChangePassword", change_password),
        case("TestChangePassword: sessions kept", sessions_kept),
        case("TestChangePasswordPushers", pushers),
        case("TestDeactivateAccount", deactivate),
    ]
}

async fn change_password(stage: Stage) {
    let company = stage.company().await;
    let alice = company.person("alice").await;
    let other = alice.log_in_again().await;
    let path = ["account", "password"];
    let body = json!({ "new_password": NEW });
    confirm(&alice, Method::POST, &path, body).await.ok();
    stage
        .row("After changing password, can't log in with old password", async {
            let login = password_login(&alice.user_id, PASSWORD);
            company.post(&["login"], &login).answer().await.refused(403, "M_FORBIDDEN");
        })
        .await;
    stage
        .row("After changing password, can log in with new password", async {
            company.post(&["login"], &password_login(&alice.user_id, NEW)).ok().await;
        })
        .await;
    stage
        .row("After changing password, existing session still works", async {
            alice.get(&["account", "whoami"]).ok().await;
        })
        .await;
    stage
        .row("After changing password, a different session no longer works by default", async {
            let answer = other.get(&["account", "whoami"]).answer().await;
            answer.refused(401, "M_UNKNOWN_TOKEN");
        })
        .await;
}

async fn sessions_kept(stage: Stage) {
    let company = stage.company().await;
    let alice = company.person("alice").await;
    let other = alice.log_in_again().await;
    let body = json!({ "new_password": NEW, "logout_devices": false });
    confirm(&alice, Method::POST, &["account", "password"], body).await.ok();
    company.post(&["login"], &password_login(&alice.user_id, NEW)).ok().await;
    for session in [&alice, &other] {
        session.get(&["account", "whoami"]).ok().await;
    }
}

async fn set_pusher(of: &Account, key: &str) {
    let pusher = json!({
        "app_display_name": "Messages", "app_id": "org.example.messages", "data": {
            "url": "https://push.example.org/_matrix/push/v1/notify"
        },
        "device_display_name": "Phone", "kind": "http", "lang": "en", "profile_tag": "",
        "pushkey": key,
    });
    of.post(&["pushers", "set"], &pusher).ok().await;
}

async fn pushers(stage: Stage) {
    let alice = stage.person().await;
    let other = alice.log_in_again().await;
    set_pusher(&alice, "of this session").await;
    set_pusher(&other, "of the other session").await;
    let body = json!({ "new_password": NEW });
    confirm(&alice, Method::POST, &["account", "password"], body).await.ok();
    let left = alice.get(&["pushers"]).ok().await;
    assert_eq!(set(list(&left, "/pushers"), "pushkey"), ["of this session".to_owned()].into());
}

async fn deactivate(stage: Stage) {
    let company = stage.company().await;
    let alice = company.person("alice").await;
    let ask = async |body: Value| alice.post(&["account", "deactivate"], &body).answer().await;
    let asked = ask(json!({})).await;
    let session = asked.json()["session"].clone();
    stage
        .row("Password flow is available", async {
            assert_eq!(asked.status, 401, "{asked}");
            let flows = asked.json();
            let by_password = |flow: &Value| flow["stages"] == json!(["m.login.password"]);
            assert!(list(&flows, "/flows").iter().any(by_password), "{flows}");
        })
        .await;
    stage
        .row("Can't deactivate account with wrong password", async {
            let answer = ask(confirmed(json!({}), &alice, "wrong", &session)).await;
            answer.refused(401, "M_FORBIDDEN");
            alice.get(&["account", "whoami"]).ok().await;
        })
        .await;
    stage
        .row("Can deactivate account", async {
            let answer = ask(confirmed(json!({}), &alice, PASSWORD, &session)).await.ok();
            assert!(answer["id_server_unbind_result"].is_string(), "{answer}");
            let after = alice.get(&["account", "whoami"]).answer().await;
            after.refused(401, "M_UNKNOWN_TOKEN");
        })
        .await;
    stage
        .row("After deactivating account, can't log in with password", async {
            let login = password_login(&alice.user_id, PASSWORD);
            let answer = company.post(&["login"], &login).answer().await;
            assert_eq!(answer.status, 403, "{answer}");
        })
        .await;
}
