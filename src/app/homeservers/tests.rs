//! Many homeservers in one process.

use std::{fs, sync::Arc};

use kv::{Engine, HomeserverId, MemoryEngine, Store, StoreError};
use ruma::{OwnedServerName, owned_server_name, server_name};
use store::directory::{self, DIRECTORY, Entry, Standing};

use super::{CreateError, DeleteError, ExportError};
use crate::{
    app::App,
    testing::{ACME, TestHomeserver},
};

const TWO: &str =
    "[[homeserver]]\nserver_name = \"acme.example\"\nhosts = [\"matrix.acme.example\"]
[[homeserver]]\nserver_name = \"globex.example:8448\"\n";

fn engine() -> Arc<dyn Engine> {
    Arc::new(MemoryEngine::new(store::TABLES))
}

fn id_of(app: &App) -> HomeserverId {
    app.services.context.store.homeserver()
}

fn names(server: &TestHomeserver) -> Vec<String> {
    server.homeservers.names().iter().map(ToString::to_string).collect()
}

#[tokio::test]
async fn the_configured_homeservers_are_created_once() {
    let engine = engine();
    let first = TestHomeserver::start(TWO, engine.clone()).await;
    let key = first.app().await.services.context.signing_key.current().public_key();
    let second = TestHomeserver::start(TWO, engine).await;
    assert_eq!(names(&second), ["acme.example", "globex.example:8448"]);
    assert_eq!(second.app().await.services.context.signing_key.current().public_key(), key);
}

#[tokio::test]
async fn a_host_finds_its_homeserver() {
    let server = TestHomeserver::start(TWO, engine()).await;
    for (host, name) in [
        ("acme.example", Some("acme.example")),
        ("acme.example:443", Some("acme.example")),
        ("matrix.acme.example", Some("acme.example")),
        ("matrix.acme.example:8448", Some("acme.example")),
        ("globex.example:8448", Some("globex.example:8448")),
        ("globex.example", Some("globex.example:8448")),
        ("globex.example:443", Some("globex.example:8448")),
        ("stranger.example", None),
        ("", None),
        (":8448", None),
        ("[::1]:8448", None),
    ] {
        let found = server.homeservers.named(host);
        assert_eq!(found.as_ref().map(|name| name.as_str()), name, "{host}");
    }
    assert_eq!(server.homeservers.only(), None);
}

#[tokio::test]
async fn homeservers_come_and_go_while_the_process_runs() {
    let engine = engine();
    let server = TestHomeserver::start("", engine.clone()).await;
    let name = owned_server_name!("new.example");
    server.homeservers.create(&name).await.unwrap();
    assert!(matches!(server.homeservers.create(&name).await, Err(CreateError::Exists)));
    assert_eq!(server.homeservers.only(), Some(name.clone()));
    let app = server.homeservers.get(&name).await.unwrap().unwrap();

    server.homeservers.delete(&name).await.unwrap();
    assert!(app.drain.is_cancelled(), "whoever waits on it is let go");
    assert!(server.homeservers.get(&name).await.unwrap().is_none());
    assert!(matches!(server.homeservers.delete(&name).await, Err(DeleteError::Unknown)));
    let mut rows = 0;
    let mut count = |_, _: &[u8], _: &[u8]| -> Result<(), StoreError> {
        rows += 1;
        Ok(())
    };
    engine.export(id_of(&app), &mut count).unwrap();
    assert_eq!(rows, 0, "nothing is left");

    server.homeservers.create(&name).await.unwrap();
    let again = server.homeservers.get(&name).await.unwrap().unwrap();
    assert_ne!(id_of(&again), id_of(&app), "ids are not given out twice");
}

#[tokio::test]
async fn what_a_crash_left_half_made_is_removed_at_the_start() {
    let engine = engine();
    let store = Store::new(engine.clone(), DIRECTORY);
    let mut batch = kv::Batch::new(kv::BatchId(7));
    directory::add(&mut batch, ACME, Entry { id: 1, standing: Standing::Partial });
    store.commit(batch).await.unwrap();
    let server = TestHomeserver::start("", engine.clone()).await;
    assert!(names(&server).is_empty());
    let server = TestHomeserver::start(TWO, engine).await;
    assert_eq!(id_of(&server.app().await), HomeserverId(2));
}

#[tokio::test]
async fn an_export_can_be_imported_elsewhere() {
    let here = TestHomeserver::new().await;
    let app = here.app().await;
    let media = here.homeservers.shared().media_folder(id_of(&app)).join("ab");
    fs::create_dir_all(&media).unwrap();
    fs::write(media.join("cdef"), "picture").unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("acme.kontor");
    here.homeservers.export(server_name!("acme.example"), &file).await.unwrap();

    let there = TestHomeserver::start("", engine()).await;
    let name = there.homeservers.import(&file).await.unwrap();
    assert_eq!(name, ACME);
    let moved = there.app().await;
    let (old, new) = (&app.services.context, &moved.services.context);
    assert_eq!(new.signing_key.current().seed(), old.signing_key.current().seed());
    assert_eq!(new.state_salt, old.state_salt);
    assert!(new.store.version().unwrap() >= old.store.version().unwrap());
    let moved_file = there.homeservers.shared().media_folder(id_of(&moved)).join("ab/cdef");
    assert_eq!(fs::read(moved_file).unwrap(), b"picture");

    assert!(here.homeservers.import(&file).await.is_err(), "the name is taken");
    let unknown = here.homeservers.export(server_name!("x.example"), &file).await;
    assert!(matches!(unknown, Err(ExportError::Unknown)));
}

#[tokio::test]
async fn a_damaged_export_changes_nothing() {
    let here = TestHomeserver::new().await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("acme.kontor");
    here.homeservers.export(server_name!("acme.example"), &file).await.unwrap();
    let whole = fs::read(&file).unwrap();
    let there = TestHomeserver::start("", engine()).await;
    let mut flipped = whole.clone();
    flipped[whole.len() / 2] ^= 1;
    for (damage, bytes) in [
        ("cut", &whole[..whole.len() - 1]),
        ("flipped", &flipped[..]),
        ("empty", &[]),
        ("foreign", b"PK rubbish that is long enough to be read"),
    ] {
        fs::write(&file, bytes).unwrap();
        assert!(there.homeservers.import(&file).await.is_err(), "{damage}");
        assert!(there.homeservers.names().is_empty());
    }
    assert_eq!(OwnedServerName::try_from(ACME).unwrap(), here.homeservers.names()[0]);
}
