//! Commands through a socket.

use std::{fs, os::unix::fs::PermissionsExt, path::Path};

use tokio_util::sync::CancellationToken;

use super::{AdminSocket, Command, send};
use crate::testing::TestHomeserver;

async fn commands_arrive(path: &Path) {
    assert!(send(path, &Command::ListHomeservers).await.unwrap().is_none(), "nobody is there yet");
    let server = TestHomeserver::new().await;
    let drain = CancellationToken::new();
    let socket = AdminSocket::bind(path).unwrap();
    assert_eq!(fs::metadata(path).unwrap().permissions().mode() & 0o777, 0o600);
    let task = tokio::spawn(socket.serve(server.homeservers.clone(), drain.clone()));

    let order = async |command: Command| send(path, &command).await.unwrap().unwrap();
    assert_eq!(order(Command::ListHomeservers).await.unwrap(), ["acme.example"]);
    let create = Command::CreateHomeserver { name: "globex.example".try_into().unwrap() };
    assert_eq!(order(create.clone()).await.unwrap(), ["globex.example: created"]);
    let refused = order(create).await.unwrap_err();
    assert_eq!(refused, "globex.example: there is a homeserver of this name already");

    drain.cancel();
    task.await.unwrap();
    assert!(!path.exists());
}

#[tokio::test]
async fn commands_reach_the_running_process() {
    let folder = tempfile::tempdir().unwrap();
    commands_arrive(&folder.path().join("admin.sock")).await;
}

#[tokio::test]
async fn a_path_that_is_too_long_for_a_socket_is_none_the_less_good() {
    let folder = tempfile::tempdir().unwrap();
    let deep = folder.path().join("x".repeat(150));
    fs::create_dir(&deep).unwrap();
    commands_arrive(&deep.join("admin.sock")).await;
}

#[tokio::test]
async fn what_a_dead_process_left_is_in_nobodys_way() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("admin.sock");
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    assert!(send(&path, &Command::ListHomeservers).await.unwrap().is_none());
    AdminSocket::bind(&path).unwrap();
}
