//! Users who come and go by order.

use serde_json::json;

use super::{UserAct, UserCommand, execute};
use crate::testing::{ACME, TestHomeserver};

async fn order(server: &TestHomeserver, localpart: &str, act: UserAct) -> super::Answer {
    let homeserver = ACME.try_into().unwrap();
    let command = UserCommand { homeserver, localpart: localpart.to_owned(), act };
    execute(&server.homeservers, command).await
}

async fn can_log_in(server: &TestHomeserver, password: &str) -> bool {
    let body = json!({
        "type": "m.login.password",
        "identifier": { "type": "m.id.user", "user": "alice" },
        "password": password,
    });
    server.ask("POST", "/_matrix/client/v3/login", "", body).await.0.is_success()
}

#[tokio::test]
async fn a_user_is_created_gets_a_new_password_and_is_deactivated() {
    let server = TestHomeserver::new().await;
    let create = UserAct::Create { password: None, admin: true };
    let lines = order(&server, "alice", create.clone()).await.unwrap();
    assert_eq!(lines[0], "@alice:acme.example: created");
    let password = lines[1].strip_prefix("password: ").unwrap();
    assert!(can_log_in(&server, password).await);
    assert!(order(&server, "alice", create).await.unwrap_err().starts_with("alice: "));

    let given = Some("correct horse battery".to_owned());
    let lines = order(&server, "alice", UserAct::ResetPassword { password: given }).await.unwrap();
    assert_eq!(lines, ["@alice:acme.example: new password set, all sessions ended"]);
    assert!(!can_log_in(&server, password).await);
    assert!(can_log_in(&server, "correct horse battery").await);

    let lines = order(&server, "alice", UserAct::Deactivate { erase: true }).await.unwrap();
    assert_eq!(lines, ["@alice:acme.example: deactivated"]);
    assert!(!can_log_in(&server, "correct horse battery").await);
}

#[tokio::test]
async fn strangers_are_not_found() {
    let server = TestHomeserver::new().await;
    let deactivate = UserAct::Deactivate { erase: false };
    assert!(order(&server, "nobody", deactivate.clone()).await.is_err());
    assert!(order(&server, "no body", deactivate.clone()).await.is_err());
    let homeserver = "x.example".try_into().unwrap();
    let elsewhere = UserCommand { homeserver, localpart: "alice".to_owned(), act: deactivate };
    assert!(execute(&server.homeservers, elsewhere).await.unwrap_err().contains("x.example"));
}
