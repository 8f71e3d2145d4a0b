//! Requests as Complement's client writes them, against a program that stands for the homeserver.

use std::{fs, os::unix::fs::PermissionsExt, sync::Arc};

use axum::{
    Router,
    body::Body,
    http::{Request, StatusCode},
};
use http_body_util::BodyExt;
use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair};
use serde_json::{Value, json};
use tempfile::TempDir;
use tower::ServiceExt;

use super::router;
use crate::{engine::Engine, homeserver::Software};

/// Tells its name, keeps a file, and goes on until it is ended.
const PROGRAM: &str = "#!/bin/sh\necho \"I am $SERVER_NAME\"\n/bin/mkdir -p data\necho >> data/starts\nexec /bin/sleep 600\n";

struct Docker {
    router: Router,
    engine: Arc<Engine>,
    folder: TempDir,
}

impl Docker {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("program");
        fs::write(&program, PROGRAM).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        let engine = Arc::new(
            Engine::new(folder.path(), vec![("kontor", Software::Kontor { program })], None)
                .unwrap(),
        );
        Self { router: router(engine.clone()), engine, folder }
    }

    async fn send(&self, method: &str, path: &str, body: impl Into<Body>) -> (StatusCode, Vec<u8>) {
        let request = Request::builder().method(method).uri(format!("/v1.44{path}"));
        let request = request.header("content-type", "application/json").body(body.into()).unwrap();
        let answer = self.router.clone().oneshot(request).await.unwrap();
        let status = answer.status();
        (status, answer.into_body().collect().await.unwrap().to_bytes().to_vec())
    }

    async fn post(&self, path: &str, body: &Value) -> (StatusCode, Value) {
        let (status, answer) = self.send("POST", path, body.to_string()).await;
        (status, serde_json::from_slice(&answer).unwrap_or_default())
    }

    async fn get(&self, path: &str) -> Value {
        let (status, answer) = self.send("GET", path, "").await;
        assert!(status.is_success(), "{status} {}", String::from_utf8_lossy(&answer));
        serde_json::from_slice(&answer).unwrap()
    }

    /// A container hs1 of an image, with Complement's authority in it.
    async fn create(&self, name: &str, image: &str) -> String {
        let new = json!({
            "Image": image,
            "Env": ["SERVER_NAME=hs1"],
            "Labels": { "complement_hs_name": "hs1" },
            "HostConfig": { "ExtraHosts": ["host.docker.internal:host-gateway"], "NanoCpus": 0 },
            "NetworkingConfig": { "EndpointsConfig": { "net": { "Aliases": ["hs1"] } } },
        });
        let (status, answer) = self.post(&format!("/containers/create?name={name}"), &new).await;
        assert_eq!(status, StatusCode::CREATED, "{answer}");
        let id = answer["Id"].as_str().unwrap().to_owned();
        let (status, _) =
            self.send("PUT", &format!("/containers/{id}/archive?path=%2F"), authority()).await;
        assert_eq!(status, StatusCode::OK);
        id
    }

    async fn act(&self, id: &str, act: &str) -> StatusCode {
        self.send("POST", &format!("/containers/{id}/{act}"), "").await.0
    }

    async fn state(&self, id: &str) -> String {
        let container = self.get(&format!("/containers/{id}/json")).await;
        container["State"]["Status"].as_str().unwrap().to_owned()
    }
}

fn authority() -> Vec<u8> {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new([]).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let certificate = params.self_signed(&key).unwrap().pem();
    let mut archive = tar::Builder::new(Vec::new());
    for (name, text) in [("ca.crt", certificate), ("ca.key", key.serialize_pem())] {
        let mut header = tar::Header::new_gnu();
        // With the slash before it, as Complement writes it.
        let path = format!("/complement/ca/{name}");
        header.as_gnu_mut().unwrap().name[..path.len()].copy_from_slice(path.as_bytes());
        header.set_size(text.len() as u64);
        header.set_mode(0o777);
        header.set_cksum();
        archive.append(&header, text.as_bytes()).unwrap();
    }
    archive.into_inner().unwrap()
}

async fn docker() -> Docker {
    let docker = Docker::new();
    let labels = json!({ "complement_pkg": "fed" });
    let (status, _) =
        docker.post("/networks/create", &json!({ "Name": "net", "Labels": labels })).await;
    assert_eq!(status, StatusCode::CREATED);
    docker
}

#[tokio::test]
async fn the_version_is_negotiated() {
    let docker = Docker::new();
    let request = Request::builder().method("HEAD").uri("/_ping").body(Body::empty()).unwrap();
    let answer = docker.router.oneshot(request).await.unwrap();
    assert_eq!(answer.headers()["api-version"], "1.44");
}

#[tokio::test]
async fn a_container_lives_from_creation_to_removal() {
    let docker = docker().await;
    let id = docker.create("one", "kontor").await;
    assert_eq!(docker.state(&id).await, "created");
    assert_eq!(docker.act(&id, "start").await, StatusCode::NO_CONTENT);
    let container = docker.get(&format!("/containers/{id}/json")).await;
    assert_eq!(container["State"]["Running"], true);
    for port in ["8008/tcp", "8448/tcp"] {
        assert_eq!(container["NetworkSettings"]["Ports"][port][0]["HostIp"], "127.0.0.1");
    }
    assert_eq!(docker.act(&id, "pause").await, StatusCode::NO_CONTENT);
    assert_eq!(docker.state(&id).await, "paused");
    assert_eq!(docker.act(&id, "pause").await, StatusCode::CONFLICT);
    assert_eq!(docker.act(&id, "unpause").await, StatusCode::NO_CONTENT);
    assert_eq!(docker.act(&id, "stop?t=5").await, StatusCode::NO_CONTENT);
    assert_eq!(docker.state(&id).await, "exited");
    assert_eq!(docker.act(&id, "start").await, StatusCode::NO_CONTENT);
    assert_eq!(docker.act(&id, "kill?signal=KILL").await, StatusCode::NO_CONTENT);
    assert_eq!(docker.state(&id).await, "exited");
    let path = format!("/containers/{id}?force=1");
    assert_eq!(docker.send("DELETE", &path, "").await.0, StatusCode::NO_CONTENT);
    assert_eq!(docker.send("DELETE", &path, "").await.0, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_process_that_ends_by_itself_is_noticed() {
    let docker = docker().await;
    fs::write(docker.folder.path().join("program"), "#!/bin/sh\necho no\n").unwrap();
    let id = docker.create("one", "kontor").await;
    assert_eq!(docker.act(&id, "start").await, StatusCode::NO_CONTENT);
    while docker.state(&id).await == "running" {
        tokio::task::yield_now().await;
    }
    let (_, log) = docker.send("GET", &format!("/containers/{id}/logs?stdout=1"), "").await;
    assert_eq!(log, b"\x02\0\0\0\0\0\0\x03no\n");
}

#[tokio::test]
async fn a_commit_keeps_the_data_and_adds_labels() {
    let docker = docker().await;
    let id = docker.create("one", "kontor").await;
    docker.act(&id, "start").await;
    let starts = docker.folder.path().join("containers").join(&id).join("data/starts");
    while !starts.exists() {
        tokio::task::yield_now().await;
    }
    docker.act(&id, "stop").await;
    let changes = "changes=LABEL+%22a%22%3D%22b%22&changes=LABEL+%22c%22%3D%22d%22";
    let path = format!("/commit?container={id}&repo=localhost%2Fcomplement&tag=fed.hs1&{changes}");
    let (status, answer) = docker.post(&path, &json!({})).await;
    assert_eq!(status, StatusCode::CREATED, "{answer}");
    let filters = "filters=%7B%22label%22%3A%7B%22a%3Db%22%3Atrue%7D%7D";
    let images = docker.get(&format!("/images/json?{filters}")).await;
    assert_eq!(images[0]["RepoTags"][0], "localhost/complement:fed.hs1");
    assert_eq!(images[0]["Labels"]["complement_hs_name"], "hs1");
    assert_eq!(images[0]["Labels"]["c"], "d");

    let second = docker.create("two", images[0]["Id"].as_str().unwrap()).await;
    assert!(docker.folder.path().join("containers").join(&second).join("data/starts").exists());
    let container = docker.get(&format!("/containers/{second}/json")).await;
    assert_eq!(container["Config"]["Labels"]["a"], "b");
    let path = format!("/images/{}?force=1", images[0]["Id"].as_str().unwrap());
    assert_eq!(docker.send("DELETE", &path, "").await.0, StatusCode::OK);
    assert_eq!(docker.get(&format!("/images/json?{filters}")).await, json!([]));
}

#[tokio::test]
async fn lists_take_what_has_the_labels() {
    let docker = docker().await;
    docker.create("one", "kontor").await;
    let filters = "filters=%7B%22label%22%3A%7B%22complement_hs_name%22%3Atrue%7D%7D";
    let running = docker.get(&format!("/containers/json?{filters}")).await;
    assert_eq!(running, json!([]));
    let all = docker.get(&format!("/containers/json?all=1&{filters}")).await;
    assert_eq!(all[0]["Names"][0], "/one");
    let networks = docker.get(&format!("/networks?{filters}")).await;
    assert_eq!(networks, json!([]));
    assert_eq!(docker.get("/networks").await[0]["Name"], "net");
}

#[tokio::test]
async fn nothing_is_left_after_the_end() {
    let docker = docker().await;
    let id = docker.create("one", "kontor").await;
    docker.act(&id, "start").await;
    docker.engine.clear().await;
    assert_eq!(docker.get("/containers/json?all=1").await, json!([]));
    assert!(!docker.folder.path().join("containers").join(&id).exists());
}

#[tokio::test]
async fn what_is_not_here_is_refused() {
    let docker = docker().await;
    let (status, answer) = docker.post("/containers/create?name=a", &json!({ "Image": "x" })).await;
    assert_eq!(status, StatusCode::BAD_REQUEST, "{answer}");
    let (status, answer) = docker.send("POST", "/exec/1/start", "").await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    let answer: Value = serde_json::from_slice(&answer).unwrap();
    assert!(answer["message"].as_str().unwrap().contains("Docker"));
}
