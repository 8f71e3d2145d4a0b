//! What we ship with: licences and crates that we allow, as `deny.toml` says.
//!
//! `cargo deny` reads the same file and checks more: known vulnerabilities among it, for which it
//! must fetch the advisory database. This check needs no network.

use std::{collections::BTreeSet, process::Command};

use serde_json::Value;
use toml_edit::Document;

use super::{no_complaints, root};

fn allowed(list: &str, section: &str) -> BTreeSet<String> {
    let text = std::fs::read_to_string(root().join("deny.toml")).unwrap();
    let document = Document::parse(text.as_str()).unwrap();
    let array = document.get(section).unwrap()[list].as_array().unwrap().clone();
    array.iter().map(|item| item.as_str().unwrap().to_owned()).collect()
}

/// Everything that is compiled into the server on Linux.
fn packages() -> Vec<Value> {
    let cargo = option_env!("CARGO").unwrap_or("cargo");
    let output = Command::new(cargo)
        .args(["metadata", "--format-version=1", "--locked", "--offline"])
        .args(["--filter-platform=x86_64-unknown-linux-gnu"])
        .current_dir(root())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let nodes = metadata["resolve"]["nodes"].as_array().unwrap();
    let used: BTreeSet<&str> = nodes.iter().map(|node| node["id"].as_str().unwrap()).collect();
    let all = metadata["packages"].as_array().unwrap().iter();
    all.filter(|package| used.contains(package["id"].as_str().unwrap())).cloned().collect()
}

/// Whether one can choose allowed licences that satisfy the expression. It is read from the left,
/// without precedence: licences of crates are that simple.
fn is_satisfied(expression: &str, allowed: &BTreeSet<String>) -> bool {
    let plain = expression.replace(['(', ')'], " ").replace('/', " OR ");
    plain.split(" AND ").all(|part| {
        part.split(" OR ").any(|licence| {
            let licence = licence.trim();
            allowed.contains(licence) || allowed.contains(licence.split(" WITH ").next().unwrap())
        })
    })
}

#[test]
fn every_licence_is_one_that_we_allow() {
    let allowed = allowed("allow", "licenses");
    let mut complaints = Vec::new();
    for package in packages() {
        let licence = package["license"].as_str().unwrap_or("none");
        if !is_satisfied(licence, &allowed) {
            complaints.push(format!("{}: {licence}", package["name"]));
        }
    }
    no_complaints(&complaints);
}

#[test]
fn no_banned_crate_is_in_the_tree() {
    let text = std::fs::read_to_string(root().join("deny.toml")).unwrap();
    let document = Document::parse(text.as_str()).unwrap();
    let banned = document.get("bans").unwrap()["deny"].as_array().unwrap().clone();
    let banned: BTreeSet<String> = banned
        .iter()
        .map(|ban| ban.as_inline_table().unwrap()["crate"].as_str().unwrap().to_owned())
        .collect();
    assert!(banned.contains("openssl-sys"));
    let names = packages().into_iter().map(|package| package["name"].as_str().unwrap().to_owned());
    let found: Vec<String> = names.filter(|name| banned.contains(name)).collect();
    no_complaints(&found);
}
