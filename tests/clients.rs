//! A client library that nobody here wrote, matrix-nio, drives two people of two companies.
//!
//! What they do and check is in `clients/two_companies.py`.

use harness::{Authority, Kind, Options, SHARED_SECRET, Server, python, target_is_synapse};
use std::{path::Path, process::Command, sync::Arc};

#[tokio::test]
async fn people_of_two_companies_in_one_process_do_business() {
    if target_is_synapse() {
        println!("a Synapse process is one company; the test in two processes is the control");
        return;
    }
    let authority = Arc::new(Authority::new());
    let kind = Kind::under_test(env!("CARGO_BIN_EXE_kontor"));
    let options = Options { homeservers: 2, ..Options::default() };
    let server = Server::started(kind, &authority, options).await;
    do_business(&server.names()[0], &server.names()[1], &authority).await;
}

#[tokio::test]
async fn people_of_two_companies_in_two_processes_do_business() {
    let authority = Arc::new(Authority::new());
    let kind = Kind::under_test(env!("CARGO_BIN_EXE_kontor"));
    let (one, other) = tokio::join!(
        Server::started(kind.clone(), &authority, Options::default()),
        Server::started(kind, &authority, Options::default()),
    );
    do_business(one.name(), other.name(), &authority).await;
}

async fn do_business(one: &str, other: &str, authority: &Authority) {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients/two_companies.py");
    let mut command = Command::new(python());
    // Python puts what it compiled beside its sources otherwise.
    command.arg("-B").arg(script).args([one, other]).arg(authority.ca_file()).arg(SHARED_SECRET);
    let run = tokio::task::spawn_blocking(move || harness::run(command));
    let output = run.await.expect("the script can be waited for");
    let (said, complaint) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{}\n{said}\n{complaint}", output.status);
}
