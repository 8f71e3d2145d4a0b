//! Whether the specification's operations are all in the route table.

use std::collections::BTreeSet;

use serde_json::Value;

use super::no_complaints;
use crate::testing::TestHomeserver;

/// `METHOD path`, as the specification lists them.
const OPERATIONS: &str = include_str!("operations.txt");

/// Operations that are not served. May only become shorter.
const ABSENT: &str = include_str!("absent.txt");

#[tokio::test]
async fn every_operation_of_the_specification_is_served() {
    let server = TestHomeserver::new().await;
    let absent: BTreeSet<&str> = ABSENT.lines().collect();
    let mut complaints = Vec::new();
    for operation in OPERATIONS.lines().filter(|line| !line.starts_with('#')) {
        let (method, path) = operation.split_once(' ').unwrap();
        let (_, body) = server.ask(method, &filled(path), "", Value::Null).await;
        let unserved = body["errcode"] == "M_UNRECOGNIZED";
        if unserved && !absent.contains(operation) {
            complaints.push(format!("{operation} is not in the route table"));
        }
    }
    no_complaints(&complaints);
}

/// The path with a word for every variable.
fn filled(path: &str) -> String {
    let part = |part: &str| if part.starts_with('{') { "x".to_owned() } else { part.to_owned() };
    path.split('/').map(part).collect::<Vec<_>>().join("/")
}
