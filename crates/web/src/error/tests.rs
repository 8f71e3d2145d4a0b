//! How errors look on the wire.

use std::time::Duration;

use axum::response::IntoResponse;
use http::StatusCode;
use ruma::api::error::ErrorKind;
use serde_json::json;

use super::Error;

#[test]
fn a_standard_error_has_a_code_and_a_message() {
    let error = Error::forbidden("You are not in this room");
    assert_eq!(error.status, StatusCode::FORBIDDEN);
    assert_eq!(
        error.body(),
        json!({"errcode": "M_FORBIDDEN", "error": "You are not in this room"})
    );
}

#[test]
fn a_limit_tells_when_to_come_back_in_both_places_and_rounds_up() {
    let error = Error::limit_exceeded(Duration::from_millis(1_200));
    assert_eq!(error.body()["retry_after_ms"], 1_200);
    let response = error.into_response();
    assert_eq!(response.status(), StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(response.headers()["retry-after"], "2");
}

#[test]
fn an_unknown_token_says_whether_the_logout_was_soft() {
    assert_eq!(Error::unknown_token(true).body()["soft_logout"], true);
    assert_eq!(Error::unknown_token(false).body()["errcode"], "M_UNKNOWN_TOKEN");
}

#[test]
fn a_challenge_is_sent_as_it_is() {
    let body = json!({"flows": [{"stages": ["m.login.password"]}], "session": "s"});
    let error = Error::challenge(body.as_object().unwrap().clone());
    assert_eq!((error.status, error.body()), (StatusCode::UNAUTHORIZED, body));
}

#[test]
fn extra_fields_are_sent_and_the_cause_is_not() {
    let error = Error::bad_request(ErrorKind::Unknown, "No")
        .with("room_version", "99")
        .caused_by("the password was hunter2");
    assert_eq!(error.body(), json!({"errcode": "M_UNKNOWN", "error": "No", "room_version": "99"}));
}
