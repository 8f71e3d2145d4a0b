//! Making an account.

use crate::{
    case::{Case, case},
    stage::{Company, Stage},
    words::{list, password_login, text},
};
use harness::{Answer, PASSWORD, SHARED_SECRET};
use hmac::{Hmac, KeyInit, Mac};
use reqwest::Method;
use serde_json::{Value, json};
use sha1::Sha1;

pub fn cases() -> Vec<Case> {
    vec![
        case("TestRegistration", registration),
        case("TestRegistration: names", names),
        case("TestRegistration: availability", availability),
        case("TestCanRegisterAdmin", shared_secret),
    ]
}

async fn register(company: &Company, username: &str, more: Value) -> Answer {
    let mut body = json!({
        "username": username, "password": PASSWORD, "auth": { "type": "m.login.dummy" },
    });
    for (key, value) in more.as_object().into_iter().flatten() {
        body[key] = value.clone();
    }
    company.post(&["register"], &body).answer().await
}

async fn registration(stage: Stage) {
    let company = stage.company().await;
    stage
        .row("POST {} returns a set of flows", async {
            let answer = company.post(&["register"], &json!({})).answer().await;
            assert_eq!(answer.status, 401, "{answer}");
            let flows = answer.json();
            let first = list(&flows, "/flows").first().expect("a flow");
            assert!(!list(first, "/stages").is_empty(), "{flows}");
            text(&flows, "/session");
        })
        .await;
    stage
        .row("POST /register can create a user", async {
            let localpart = company.localpart("clerk");
            let made = register(&company, &localpart, json!({})).await.ok();
            assert_eq!(made["user_id"], company.user_id(&localpart));
            let clerk = company.logged_in(&made);
            assert_eq!(clerk.get(&["account", "whoami"]).ok().await["user_id"], made["user_id"]);
        })
        .await;
    stage
        .row("POST /register returns the same device_id as that in the request", async {
            let more = json!({ "device_id": "DESK", "initial_device_display_name": "The desk" });
            let made = register(&company, &company.localpart("desk"), more).await.ok();
            assert_eq!(made["device_id"], "DESK");
            let device = company.logged_in(&made).get(&["devices", "DESK"]).ok().await;
            assert_eq!(device["display_name"], "The desk");
        })
        .await;
    stage
        .row("an account can be made without a login", async {
            let localpart = company.localpart("later");
            let made = register(&company, &localpart, json!({ "inhibit_login": true })).await.ok();
            assert_eq!(made["user_id"], company.user_id(&localpart));
            assert!(made.get("access_token").is_none(), "{made}");
        })
        .await;
    stage
        .row("Registration accepts non-ascii passwords", async {
            let (localpart, password) = (company.localpart("poet"), "übergrößenträger");
            register(&company, &localpart, json!({ "password": password })).await.ok();
            company.post(&["login"], &password_login(&localpart, password)).ok().await;
        })
        .await;
}

async fn names(stage: Stage) {
    let company = stage.company().await;
    stage
        .row("POST /register downcases capitals in usernames", async {
            let localpart = company.localpart("Clerk");
            let made = register(&company, &localpart, json!({})).await.ok();
            assert_eq!(made["user_id"], company.user_id(&localpart.to_lowercase()));
        })
        .await;
    stage
        .row("POST /register rejects if user already exists", async {
            let localpart = company.localpart("twice");
            register(&company, &localpart, json!({})).await.ok();
            register(&company, &localpart, json!({})).await.refused(400, "M_USER_IN_USE");
        })
        .await;
    for good in ["q", "3", ".", "_", "=", "-", "/"] {
        stage
            .row(&format!("a username may contain {good}"), async {
                let localpart = company.localpart(&format!("w{good}rd"));
                let made = register(&company, &localpart, json!({})).await.ok();
                assert_eq!(made["user_id"], company.user_id(&localpart));
            })
            .await;
    }
    for bad in ['!', '"', ':', '?', '\\', '@', '[', ']', '{', '|', '}', '£', 'é', '\n', '\''] {
        stage
            .row(&format!("a username may not contain {bad:?}"), async {
                let localpart = company.localpart(&format!("w{bad}rd"));
                register(&company, &localpart, json!({})).await.refused(400, "M_INVALID_USERNAME");
            })
            .await;
    }
}

async fn availability(stage: Stage) {
    let company = stage.company().await;
    let taken = company.localpart("taken");
    register(&company, &taken, json!({})).await.ok();
    let ask = async |name: &str| {
        company.get(&["register", "available"]).query(&[("username", name)]).answer().await
    };
    stage
        .row("GET /register/available returns available for unregistered user name", async {
            assert_eq!(ask(&company.localpart("free")).await.ok()["available"], true);
        })
        .await;
    stage
        .row("GET /register/available returns M_USER_IN_USE for registered user name", async {
            ask(&taken).await.refused(400, "M_USER_IN_USE");
        })
        .await;
    stage
        .row("GET /register/available returns M_INVALID_USERNAME for invalid user name", async {
            ask("no spaces, please").await.refused(400, "M_INVALID_USERNAME");
        })
        .await;
}

const SYNAPSE_REGISTER: [&str; 4] = ["_synapse", "admin", "v1", "register"];

/// Asks for a nonce and registers with the secret that administrators share with the server.
async fn register_by_secret(company: &Company, secret: &str, name: &str, admin: bool) -> Answer {
    let nonce = company.call(Method::GET, &SYNAPSE_REGISTER).ok().await;
    let nonce = text(&nonce, "/nonce");
    let word = if admin { "admin" } else { "notadmin" };
    let mut mac = Hmac::<Sha1>::new_from_slice(secret.as_bytes()).expect("any length is good");
    mac.update([nonce.as_str(), name, PASSWORD, word].join("\0").as_bytes());
    let mac = mac.finalize().into_bytes().iter().map(|b| format!("{b:02x}")).collect::<String>();
    let body = json!({
        "nonce": nonce, "username": name, "password": PASSWORD, "admin": admin, "mac": mac,
    });
    company.call(Method::POST, &SYNAPSE_REGISTER).json(&body).answer().await
}

async fn shared_secret(stage: Stage) {
    let company = stage.company().await;
    for (row, name, admin) in [
        ("POST /_synapse/admin/v1/register with shared secret", "clerk", false),
        ("POST /_synapse/admin/v1/register admin with shared secret", "chief", true),
    ] {
        stage
            .row(row, async {
                let localpart = company.localpart(name);
                let made = register_by_secret(&company, SHARED_SECRET, &localpart, admin).await;
                let made = made.ok();
                assert_eq!(made["user_id"], company.user_id(&localpart));
                company.logged_in(&made).get(&["account", "whoami"]).ok().await;
            })
            .await;
    }
    stage
        .row("POST /_synapse/admin/v1/register with shared secret downcases capitals", async {
            let localpart = company.localpart("Capital");
            let made = register_by_secret(&company, SHARED_SECRET, &localpart, false).await.ok();
            assert_eq!(made["user_id"], company.user_id(&localpart.to_lowercase()));
        })
        .await;
    stage
        .row("POST /_synapse/admin/v1/register with shared secret disallows symbols", async {
            let localpart = company.localpart("w:rd");
            let answer = register_by_secret(&company, SHARED_SECRET, &localpart, false).await;
            answer.refused(400, "M_INVALID_USERNAME");
        })
        .await;
    stage
        .row("another secret does not help", async {
            let localpart = company.localpart("thief");
            let answer = register_by_secret(&company, "guessed", &localpart, true).await;
            assert_eq!(answer.status, 403, "{answer}");
        })
        .await;
}
