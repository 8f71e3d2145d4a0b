//! Who may import whom.

use std::path::Path;

use toml_edit::{Document, Item};

use super::{no_complaints, sources};

/// Each crate of ours, and which of ours it may import. A new edge is a commit of its own, with
/// its reason.
const EDGES: &[(&str, &[&str])] = &[
    ("model", &[]),
    ("kv", &[]),
    ("web", &[]),
    ("store", &["kv", "model"]),
    ("services", &["store", "model", "kv"]),
    ("federation", &["services", "model", "web"]),
    ("kontor", &["federation", "services", "store", "model", "kv", "web"]),
];

/// Tools for tests stand outside of the house: nothing imports them but tests.
const TOOLS: [&str; 3] = ["tests", "complement-tests", "crates/bench"];

/// What a crate must not contain, so that it stays what it is.
const FORBIDDEN: &[(&str, &[&str])] = &[
    ("crates/model/src", &["async fn", "std::fs", "std::net", "tokio::", "axum::"]),
    ("crates/services/src", &["axum::", "StatusCode", "reqwest::"]),
    ("crates/store/src", &["axum::", "tokio::"]),
    ("federation/src", &["store::"]),
];

#[test]
fn dependencies_run_downward_only() {
    let known: Vec<&str> = EDGES.iter().map(|(name, _)| *name).collect();
    let mut complaints = Vec::new();
    for (path, text) in sources("toml") {
        let is_tool = TOOLS.iter().any(|folder| path.starts_with(folder));
        if is_tool || !path.ends_with("Cargo.toml") {
            continue;
        }
        let manifest = Document::parse(text.as_str()).unwrap();
        let Some(name) = manifest.get("package").and_then(|package| package["name"].as_str())
        else {
            continue;
        };
        let Some((_, allowed)) = EDGES.iter().find(|(known, _)| *known == name) else {
            complaints.push(format!("{}: {name} is not in the table", path.display()));
            continue;
        };
        let imports = manifest.get("dependencies").and_then(Item::as_table_like);
        for (import, _) in imports.into_iter().flat_map(|imports| imports.iter()) {
            if known.contains(&import) && !allowed.contains(&import) {
                complaints.push(format!("{name} imports {import}"));
            }
        }
    }
    no_complaints(&complaints);
}

#[test]
fn crates_stay_what_they_are() {
    let mut complaints = Vec::new();
    for (path, text) in sources("rs") {
        let worlds = ["tests", "tests.rs", "testing.rs", "worlds.rs"];
        if path.iter().any(|part| worlds.contains(&&*part.to_string_lossy())) {
            continue;
        }
        for (folder, words) in FORBIDDEN {
            if !path.starts_with(folder) {
                continue;
            }
            for word in *words {
                let found = code(&text).find(|line| contains_word(line, word));
                complaints.extend(found.map(|line| format!("{}: {line}", path.display())));
            }
        }
    }
    no_complaints(&complaints);
}

#[test]
fn only_the_wiring_reads_the_store() {
    let mut complaints = Vec::new();
    for (path, text) in sources("rs") {
        let is_surface = path.starts_with("src/client") || path.starts_with(Path::new("src/http"));
        if is_surface && !path.ends_with("tests.rs") {
            let reads =
                code(&text).find(|line| line.contains("Snapshot") || line.contains(".store."));
            complaints.extend(reads.map(|line| format!("{}: {line}", path.display())));
        }
    }
    no_complaints(&complaints);
}

fn code(text: &str) -> impl Iterator<Item = &str> {
    text.lines().map(str::trim).filter(|line| !line.starts_with("//"))
}

/// Whether `word` stands in the line, not as the end of a longer word.
fn contains_word(line: &str, word: &str) -> bool {
    line.match_indices(word).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        before.is_none_or(|before| !before.is_alphanumeric() && before != '_' && before != ':')
    })
}
