//! What a server says of itself, and how it refuses what it does not know.

use crate::{
    case::{Case, case},
    stage::Stage,
    words::{list, text},
};
use reqwest::Method;
use serde_json::Value;

pub fn cases() -> Vec<Case> {
    vec![
        case("TestVersionStructure", version_structure),
        case("TestServerCapabilities", server_capabilities),
        case("TestRequestEncodingFails", request_encoding_fails),
        case("TestUnknownEndpoints", unknown_endpoints),
    ]
}

async fn version_structure(stage: Stage) {
    let company = stage.company().await;
    let versions = company.call(Method::GET, &["_matrix", "client", "versions"]).ok().await;
    let named = list(&versions, "/versions");
    assert!(!named.is_empty(), "{versions}");
    for version in named {
        let version = version.as_str().expect("a string");
        assert!(version.starts_with(['v', 'r']), "{version} is no version of the specification");
    }
    let features = versions["unstable_features"].as_object();
    assert!(features.is_none_or(|features| features.values().all(Value::is_boolean)), "{versions}");
}

async fn server_capabilities(stage: Stage) {
    let company = stage.company().await;
    company.get(&["capabilities"]).answer().await.refused(401, "M_MISSING_TOKEN");
    let alice = company.person("alice").await;
    let capabilities = alice.get(&["capabilities"]).ok().await;
    assert!(capabilities["capabilities"]["m.change_password"]["enabled"].is_boolean());
    let rooms = &capabilities["capabilities"]["m.room_versions"];
    let available = rooms["available"].as_object().expect("room versions");
    assert!(available.contains_key(&text(rooms, "/default")), "{rooms}");
    assert!(available.values().all(|it| it == "stable" || it == "unstable"), "{rooms}");
}

async fn request_encoding_fails(stage: Stage) {
    let company = stage.company().await;
    let rows: [(&str, &[u8], &str); 2] = [
        ("POST rejects invalid utf-8 in JSON", b"{\"username\": \"a\xff\"}", "M_NOT_JSON"),
        ("what is no JSON is rejected", b"{\"username\": ", "M_NOT_JSON"),
    ];
    for (row, body, errcode) in rows {
        stage
            .row(row, async {
                let call = company.call(Method::POST, &["_matrix", "client", "v3", "register"]);
                let answer = call.bytes("application/json", body.to_vec()).answer().await;
                answer.refused(400, errcode);
            })
            .await;
    }
}

async fn unknown_endpoints(stage: Stage) {
    let alice = stage.person().await;
    let rows = [
        ("Unknown prefix", Method::GET, "/_matrix/unknown", 404),
        ("Client-server endpoints", Method::GET, "/_matrix/client/v3/unknown", 404),
        ("Client-server endpoints, method", Method::PATCH, "/_matrix/client/v3/login", 405),
        ("Server-server endpoints", Method::GET, "/_matrix/federation/v1/unknown", 404),
        ("Server-server endpoints, method", Method::PATCH, "/_matrix/federation/v1/version", 405),
        ("Key endpoints", Method::GET, "/_matrix/key/v2/unknown", 404),
        ("Key endpoints, method", Method::PATCH, "/_matrix/key/v2/query", 405),
        ("Media endpoints", Method::GET, "/_matrix/media/v3/unknown", 404),
        ("Media endpoints, method", Method::PATCH, "/_matrix/media/v3/upload", 405),
    ];
    for (row, method, path, status) in rows {
        stage
            .row(row, async {
                let path = path.split('/').skip(1).collect::<Vec<_>>();
                alice.call_at(method, &path).answer().await.refused(status, "M_UNRECOGNIZED");
            })
            .await;
    }
}
