//! Files.

use crate::{
    case::{Case, case},
    stage::Stage,
    words::{public_room, text},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use harness::{Account, Answer, View, eventually};
use reqwest::Method;
use serde_json::{Value, json};

/// A red square of eight by eight pixels.
const SQUARE: &str = "iVBORw0KGgoAAAANSUhEUgAAAAgAAAAICAIAAABLbSncAAAAEUlEQVR4nGM4ICCAFTEMLQkADhI4AUBogbAAAAAASUVORK5CYII=";

pub fn cases() -> Vec<Case> {
    vec![
        case("TestMediaConfig", config),
        case("TestContentCSAPIMediaV1", |stage| content(stage, false)),
        case("TestContentMediaV1", |stage| content(stage, true)),
        case("TestMediaFilenames", file_names),
        case("TestMediaWithoutFileNameCSMediaV1", without_name),
        case("TestRoomImageRoundtrip", image_in_room),
        case("TestAsyncUpload", async_upload),
        case("TestLocalPngThumbnail", |stage| thumbnail(stage, false)),
        case("TestRemotePngThumbnail", |stage| thumbnail(stage, true)),
    ]
}

fn png() -> Vec<u8> {
    STANDARD.decode(SQUARE).expect("base64")
}

/// Server and id of an `mxc:` URI.
fn parts(uri: &str) -> (&str, &str) {
    uri.strip_prefix("mxc://").and_then(|rest| rest.split_once('/')).expect("an mxc URI")
}

async fn fetch(who: &Account, what: &str, uri: &str, more: &[&str]) -> Answer {
    let (server, id) = parts(uri);
    let path = [&["_matrix", "client", "v1", "media", what, server, id], more].concat();
    let query: &[(&str, &str)] = if what == "thumbnail" {
        &[("width", "4"), ("height", "4"), ("method", "scale")]
    } else {
        &[]
    };
    who.call_at(Method::GET, &path).query(query).answer().await
}

async fn config(stage: Stage) {
    let company = stage.company().await;
    let alice = company.person("alice").await;
    let path = ["_matrix", "client", "v1", "media", "config"];
    let config = alice.call_at(Method::GET, &path).ok().await;
    assert!(config["m.upload.size"].as_u64().is_some_and(|bytes| bytes > 0), "{config}");
    company.call(Method::GET, &path).answer().await.refused(401, "M_MISSING_TOKEN");
}

/// Somebody uploads, and somebody (maybe of another company) downloads.
async fn people(stage: &Stage, remote: bool) -> (Account, Account) {
    if remote { stage.partners().await } else { stage.colleagues().await }
}

async fn content(stage: Stage, remote: bool) {
    let (alice, bob) = people(&stage, remote).await;
    let uri = alice.upload("contract.txt", "text/plain", b"signed and sealed".to_vec()).await;
    let answer = fetch(&bob, "download", &uri, &[]).await;
    assert!(answer.headers["content-type"].starts_with("text/plain"));
    assert_eq!(answer.ok_bytes(), b"signed and sealed");
    let (server, _) = parts(&uri);
    let unknown = format!("mxc://{server}/NOBODYKNOWSTHIS");
    fetch(&bob, "download", &unknown, &[]).await.refused(404, "M_NOT_FOUND");
}

async fn file_names(stage: Stage) {
    let (alice, bob) = stage.partners().await;
    for (row, name, encoded) in [
        ("ASCII", "contract.txt", "contract.txt"),
        ("ASCII with a space", "my contract.txt", "my%20contract.txt"),
        ("Unicode", "\u{1f415}.txt", "%f0%9f%90%95.txt"),
    ] {
        for (place, who) in [("locally", &alice), ("over federation", &bob)] {
            stage
                .row(&format!("{row}, {place}"), async {
                    let uri = alice.upload(name, "text/plain", b"words".to_vec()).await;
                    let header = plain(&fetch(who, "download", &uri, &[]).await);
                    // A name of ASCII may be written in both ways (RFC 6266).
                    let as_it_is = name.is_ascii() && header.contains(&format!("filename={name}"));
                    let in_code = header.contains(&format!("filename*=utf-8''{encoded}"));
                    assert!(as_it_is || in_code, "{header}");
                })
                .await;
        }
    }
    stage
        .row("Can download specifying a different file name", async {
            let uri = alice.upload("contract.txt", "text/plain", b"words".to_vec()).await;
            let answer = fetch(&alice, "download", &uri, &["other.txt"]).await;
            assert!(plain(&answer).contains("filename=other.txt"), "{}", plain(&answer));
        })
        .await;
    for (row, kind, disposition) in [
        ("Will serve safe media types as inline", "image/png", "inline"),
        (
            "Will serve safe media types with parameters as inline",
            "text/plain; charset=utf-8",
            "inline",
        ),
        ("Will serve unsafe media types as attachments", "text/html", "attachment"),
    ] {
        stage
            .row(row, async {
                let uri = alice.upload("file", kind, b"words".to_vec()).await;
                let answer = fetch(&alice, "download", &uri, &[]).await;
                assert!(plain(&answer).starts_with(disposition), "{}", plain(&answer));
            })
            .await;
    }
}

/// How the file is to be shown, whatever is quoted and in whatever case.
fn plain(answer: &Answer) -> String {
    let header = answer.headers.get("content-disposition").cloned().unwrap_or_default();
    header.replace('"', "").to_lowercase()
}

async fn without_name(stage: Stage) {
    let (alice, bob) = stage.partners().await;
    let path = ["_matrix", "media", "v3", "upload"];
    let upload = alice.call_at(Method::POST, &path).bytes("text/plain", b"nameless".to_vec());
    let uri = text(&upload.ok().await, "/content_uri");
    for (row, who) in [
        ("Can download without a file name locally", &alice),
        ("Can download without a file name over federation", &bob),
    ] {
        stage
            .row(row, async {
                let answer = fetch(who, "download", &uri, &[]).await;
                assert!(!plain(&answer).contains("filename"), "{}", plain(&answer));
                assert_eq!(answer.ok_bytes(), b"nameless");
            })
            .await;
    }
}

async fn image_in_room(stage: Stage) {
    let (alice, bob) = stage.colleagues().await;
    let room = public_room(&alice).await;
    bob.join(&room, &[]).await;
    let uri = alice.upload("square.png", "image/png", png()).await;
    let content = json!({ "msgtype": "m.image", "body": "square.png", "url": uri });
    let sent = alice.send(&room, "m.room.message", &content).await;
    let told = bob.until_event(&mut View::default(), &room, &sent).await;
    let answer = fetch(&bob, "download", &text(&told, "/content/url"), &[]).await;
    assert_eq!(answer.headers["content-type"], "image/png");
    assert_eq!(answer.ok_bytes(), png());
}

async fn async_upload(stage: Stage) {
    let (alice, bob) = stage.colleagues().await;
    let made: Value = alice.call_at(Method::POST, &["_matrix", "media", "v1", "create"]).ok().await;
    let uri = text(&made, "/content_uri");
    let (server, id) = parts(&uri);
    let path = ["_matrix", "media", "v3", "upload", server, id];
    let upload = async |who: &Account| {
        who.call_at(Method::PUT, &path).bytes("image/png", png()).answer().await
    };
    stage
        .row("Not yet uploaded", async {
            let download = ["_matrix", "client", "v1", "media", "download", server, id];
            let call = alice.call_at(Method::GET, &download).query(&[("timeout_ms", "1")]);
            call.answer().await.refused(504, "M_NOT_YET_UPLOADED");
        })
        .await;
    stage
        .row("nobody else can upload there", async {
            upload(&bob).await.refused(403, "M_FORBIDDEN");
        })
        .await;
    stage
        .row("Upload media", async {
            upload(&alice).await.ok();
        })
        .await;
    stage
        .row("Cannot upload to a media ID that has already been uploaded to", async {
            upload(&alice).await.refused(409, "M_CANNOT_OVERWRITE_MEDIA");
        })
        .await;
    stage
        .row("Download media over _matrix/client/v1/media/download", async {
            assert_eq!(fetch(&bob, "download", &uri, &[]).await.ok_bytes(), png());
        })
        .await;
}

async fn thumbnail(stage: Stage, remote: bool) {
    let (alice, bob) = people(&stage, remote).await;
    let uri = alice.upload("square.png", "image/png", png()).await;
    eventually("there is a thumbnail", async || {
        let answer = fetch(&bob, "thumbnail", &uri, &[]).await;
        let kind = answer.headers.get("content-type").cloned().unwrap_or_default();
        (answer.status.is_success() && kind.starts_with("image/") && !answer.bytes.is_empty())
            .then_some(())
    })
    .await;
}
