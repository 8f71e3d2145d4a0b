//! A disk that is full or broken under a running server: changes are refused and said to be, what
//! was acknowledged is read and synced as before, and nothing of it is lost.

use harness::{Account, Answer, Authority, Disk, Kind, Options, Server, View, eventually, text_of};
use reqwest::StatusCode;
use serde_json::json;
use std::{
    fs::{self, File},
    io::{ErrorKind, Write},
    sync::Arc,
};

/// What is appended to the file that fills the disk.
const CHUNK_BYTES: usize = 64 << 10;
/// More than the disk could hold.
const SAID_MAX: usize = 10_000;

/// A server with its data on a small disk, and somebody who works there.
struct Scene {
    server: Server,
    disk: Disk,
    alice: Account,
    view: View,
    room: String,
    /// What was acknowledged.
    said: Vec<String>,
}

impl Scene {
    /// `None` without the right to mount.
    async fn begin() -> Option<Self> {
        let disk = Disk::format()?;
        let data = disk.root().join("data").display().to_string();
        let environment = vec![("KONTOR__DATA_DIR".into(), data)];
        let kind = Kind::Kontor(env!("CARGO_BIN_EXE_kontor").into());
        let options = Options { environment, ..Options::default() };
        let server = Server::started(kind, &Arc::new(Authority::new()), options).await;
        let alice = server.register("alice").await;
        let room = alice.create_room(&json!({})).await;
        let mut scene = Self { server, disk, alice, view: View::default(), room, said: Vec::new() };
        for number in 0..20 {
            scene.say(&format!("in good times {number}")).await.expect("a disk with space");
        }
        scene.alice.sync(&mut scene.view, false).await;
        Some(scene)
    }

    /// Says something; if it is refused, the refusal.
    async fn say(&mut self, text: &str) -> Result<(), Answer> {
        let transaction = self.alice.next_transaction();
        let path = ["rooms", &self.room, "send", "m.room.message", &transaction];
        let content = json!({ "msgtype": "m.text", "body": text });
        let answer = self.alice.put(&path, &content).answer().await;
        if !answer.status.is_success() {
            return Err(answer);
        }
        self.said.push(text.to_owned());
        Ok(())
    }

    /// Says things until one is refused: the space that the store took beforehand has to be used up.
    async fn say_until_refused(&mut self) -> Answer {
        let long = "x".repeat(50_000);
        for number in 0..SAID_MAX {
            if let Err(refusal) = self.say(&format!("in bad times {number} {long}")).await {
                return refusal;
            }
        }
        panic!("{SAID_MAX} messages were acknowledged");
    }

    /// What was acknowledged is there, and nothing else but what was of unknown fate.
    async fn check(&mut self) {
        let mut found = self.alice.history(&self.room).await;
        found.retain(|event| event["type"] == "m.room.message");
        let found: Vec<_> = found.iter().rev().map(|event| text_of(event).to_owned()).collect();
        let mut unknown = found.clone();
        unknown.retain(|text| !self.said.contains(text));
        assert!(unknown.len() <= 1, "{} that nobody acknowledged", unknown.len());
        let known = found.iter().filter(|text| self.said.contains(text));
        assert!(known.eq(&self.said), "{} instead of {}", found.len(), self.said.len());
    }
}

/// Fills what is left of the disk.
fn fill(disk: &Disk) {
    let mut filler = File::create(disk.root().join("filler")).expect("a file");
    let mut bytes = CHUNK_BYTES;
    while bytes > 0 {
        match filler.write_all(&vec![0; bytes]) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::StorageFull => bytes /= 2,
            Err(error) => panic!("{error}"),
        }
    }
    // Without an answer: a full disk may say so again.
    let _ = filler.sync_all();
}

fn is_refusal(answer: &Answer) {
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{answer}");
    assert!(answer.json()["errcode"].is_string(), "{answer}");
}

#[tokio::test]
async fn a_full_disk_refuses_changes_and_takes_them_again_when_there_is_space() {
    let Some(mut scene) = Scene::begin().await else { return };
    fill(&scene.disk);
    scene.say_until_refused().await;
    let refusal = scene.say("now that it is known").await.expect_err("the disk is full");
    is_refusal(&refusal);
    // Reads and /sync go on.
    scene.check().await;
    let mut view = scene.view.clone();
    scene.alice.sync(&mut view, false).await;
    scene.alice.sync(&mut View::default(), false).await;

    fs::remove_file(scene.disk.root().join("filler")).expect("the file that filled it");
    eventually("it takes changes again", async || scene.say("better times").await.ok()).await;
    scene.check().await;
    scene.server.kill();
    scene.server.start().await;
    scene.check().await;
    scene.alice.sync(&mut scene.view, false).await;
    let told = scene.view.timeline(&scene.room).last().expect("events").clone();
    assert_eq!(text_of(&told), "better times");
}

#[tokio::test]
async fn a_broken_disk_refuses_changes_until_the_server_is_started_on_a_good_one() {
    let Some(mut scene) = Scene::begin().await else { return };
    scene.disk.cut_power();
    scene.say_until_refused().await;
    let refusal = scene.say("now that it is known").await.expect_err("the disk is broken");
    is_refusal(&refusal);
    scene.alice.sync(&mut scene.view, false).await;
    scene.server.kill();
    scene.disk.restore_power();
    scene.server.start().await;
    scene.check().await;
    scene.say("better times").await.expect("a good disk");
}
