//! Logging in and out.

use crate::{
    case::{Case, case},
    stage::Stage,
    words::{each, list, password_login, text},
};
use harness::PASSWORD;
use serde_json::json;

pub fn cases() -> Vec<Case> {
    vec![
        case("TestLogin", login),
        case("TestLogin: refused", login_refused),
        case("TestLogout", logout),
        case("TestLogout: refused", logout_refused),
    ]
}

async fn login(stage: Stage) {
    let company = stage.company().await;
    let alice = company.person("alice").await;
    let localpart = company.localpart("alice");
    stage
        .row("GET /login yields a set of flows", async {
            let flows = company.get(&["login"]).ok().await;
            assert!(each(list(&flows, "/flows"), "type").contains(&"m.login.password".into()));
        })
        .await;
    for (row, user) in [
        ("POST /login can login as user", alice.user_id.clone()),
        ("POST /login can log in as a user with just the local part of the id", localpart.clone()),
        ("Login with uppercase username works", localpart.to_uppercase()),
    ] {
        stage
            .row(row, async {
                let login = company.post(&["login"], &password_login(&user, PASSWORD)).ok().await;
                assert_eq!(login["user_id"], alice.user_id);
                let who = company.logged_in(&login).get(&["account", "whoami"]).ok().await;
                assert_eq!(
                    (&who["user_id"], &who["device_id"]),
                    (&login["user_id"], &login["device_id"])
                );
                assert_ne!(login["device_id"], alice.device_id);
            })
            .await;
    }
    stage
        .row("POST /login returns the same device_id as that in the request", async {
            let mut body = password_login(&localpart, PASSWORD);
            body["device_id"] = json!("DESK");
            let first = company.post(&["login"], &body).ok().await;
            assert_eq!(first["device_id"], "DESK");
            let second = company.post(&["login"], &body).ok().await;
            assert_ne!(first["access_token"], second["access_token"]);
            let old = company.logged_in(&first).get(&["account", "whoami"]).answer().await;
            old.refused(401, "M_UNKNOWN_TOKEN");
        })
        .await;
}

async fn login_refused(stage: Stage) {
    let company = stage.company().await;
    company.person("alice").await;
    for (row, name, password) in [
        ("POST /login as non-existing user is rejected", "nobody", PASSWORD),
        ("POST /login wrong password is rejected", "alice", "wrong"),
    ] {
        stage
            .row(row, async {
                let login = password_login(&company.localpart(name), password);
                company.post(&["login"], &login).answer().await.refused(403, "M_FORBIDDEN");
            })
            .await;
    }
    stage
        .row("an unknown type of login is rejected", async {
            let login = json!({ "type": "org.example.handshake" });
            let answer = company.post(&["login"], &login).answer().await;
            assert_eq!(answer.status, 400, "{answer}");
        })
        .await;
}

async fn logout(stage: Stage) {
    let alice = stage.person().await;
    let mut devices = vec![alice.log_in_again().await, alice.log_in_again().await, alice];
    stage
        .row("Can logout current device", async {
            let current = devices.remove(0);
            current.post(&["logout"], &json!({})).ok().await;
            let after = current.get(&["account", "whoami"]).answer().await;
            after.refused(401, "M_UNKNOWN_TOKEN");
            let left = devices[0].get(&["devices"]).ok().await;
            let mut left = each(list(&left, "/devices"), "device_id");
            let mut expected =
                devices.iter().map(|device| device.device_id.clone()).collect::<Vec<_>>();
            left.sort();
            expected.sort();
            assert_eq!(left, expected);
        })
        .await;
    stage
        .row("Can logout all devices", async {
            devices[0].post(&["logout", "all"], &json!({})).ok().await;
            for device in &devices {
                let after = device.get(&["account", "whoami"]).answer().await;
                after.refused(401, "M_UNKNOWN_TOKEN");
            }
            // A new login finds no trace of the old ones.
            let again = devices[0].log_in_again().await;
            let left = again.get(&["devices"]).ok().await;
            assert_eq!(each(list(&left, "/devices"), "device_id"), [again.device_id.as_str()]);
        })
        .await;
}

async fn logout_refused(stage: Stage) {
    let company = stage.company().await;
    stage
        .row("Request to logout with invalid an access token is rejected", async {
            let call = company.post(&["logout"], &json!({})).token("made-up");
            let answer = call.answer().await;
            answer.refused(401, "M_UNKNOWN_TOKEN");
            text(&answer.json(), "/error");
        })
        .await;
    stage
        .row("Request to logout without an access token is rejected", async {
            let answer = company.post(&["logout"], &json!({})).answer().await;
            answer.refused(401, "M_MISSING_TOKEN");
        })
        .await;
}
