//! A user's devices.

use crate::{
    case::{Case, case},
    stage::Stage,
    words::{confirm, confirmed, list, set},
};
use harness::PASSWORD;
use reqwest::Method;
use serde_json::json;

pub fn cases() -> Vec<Case> {
    vec![
        case("TestDeviceManagement", device_management),
        case("TestDeviceManagement: deletion", device_deletion),
    ]
}

async fn device_management(stage: Stage) {
    let alice = stage.person().await;
    let phone = alice.log_in_again().await;
    let path = ["devices", phone.device_id.as_str()];
    stage
        .row("PUT /device/{deviceId} updates device fields", async {
            alice.put(&path, &json!({ "display_name": "The phone" })).ok().await;
        })
        .await;
    stage
        .row("GET /device/{deviceId}", async {
            let device = alice.get(&path).ok().await;
            assert_eq!(device["device_id"], phone.device_id);
            assert_eq!(device["display_name"], "The phone");
        })
        .await;
    stage
        .row("GET /devices", async {
            let devices = alice.get(&["devices"]).ok().await;
            let ids = set(list(&devices, "/devices"), "device_id");
            assert_eq!(ids, [alice.device_id.clone(), phone.device_id.clone()].into());
            let names = set(list(&devices, "/devices"), "display_name");
            assert_eq!(names, ["The phone".to_owned()].into());
        })
        .await;
    stage
        .row("GET /device/{deviceId} gives a 404 for unknown devices", async {
            alice.get(&["devices", "UNKNOWN"]).answer().await.refused(404, "M_NOT_FOUND");
        })
        .await;
    stage
        .row("PUT /device/{deviceId} gives a 404 for unknown devices", async {
            let call = alice.put(&["devices", "UNKNOWN"], &json!({ "display_name": "A ghost" }));
            call.answer().await.refused(404, "M_NOT_FOUND");
        })
        .await;
}

async fn device_deletion(stage: Stage) {
    let company = stage.company().await;
    let (alice, bob) = (company.person("alice").await, company.person("bob").await);
    let phone = alice.log_in_again().await;
    let path = ["devices", phone.device_id.as_str()];
    stage
        .row("DELETE /device/{deviceId} requires UI auth user to match device owner", async {
            let asked = alice.call(Method::DELETE, &path).json(&json!({})).answer().await;
            assert_eq!(asked.status, 401, "{asked}");
            let session = asked.json()["session"].clone();
            let by_bob = confirmed(json!({}), &bob, PASSWORD, &session);
            let answer = alice.call(Method::DELETE, &path).json(&by_bob).answer().await;
            assert!(matches!(answer.status.as_u16(), 401 | 403), "{answer}");
            phone.get(&["account", "whoami"]).ok().await;
        })
        .await;
    stage
        .row("DELETE /device/{deviceId}", async {
            confirm(&alice, Method::DELETE, &path, json!({})).await.ok();
            alice.get(&path).answer().await.refused(404, "M_NOT_FOUND");
            let after = phone.get(&["account", "whoami"]).answer().await;
            after.refused(401, "M_UNKNOWN_TOKEN");
        })
        .await;
}
