//! How files look.

use std::path::Path;

use super::{no_complaints, sources};

/// Lines of a file without a question. Tests are lists, and may be longer.
const LINES_MAX: usize = 500;

/// Files that are longer, each with the length that it may not grow past.
const LONG_FILES: &[(&str, usize)] = &[];

/// Words that say nothing about what is inside.
const EMPTY_NAMES: [&str; 6] = ["util", "utils", "helper", "helpers", "common", "manager"];

/// Written in two halves, so that this file does not find itself.
const NEVER: [(&str, &str); 5] =
    [("todo", "!("), ("unimplemented", "!("), ("dbg", "!("), ("#[", "ignore"), ("fn ", "test_")];

#[test]
fn every_file_says_at_its_top_what_lives_here() {
    let silent = |(path, text): &(std::path::PathBuf, String)| {
        // Tests stand beside the file that they are about.
        let silent = !text.starts_with("//!") && !path.ends_with("tests.rs");
        silent.then(|| format!("{} does not open with //!", path.display()))
    };
    no_complaints(&sources("rs").iter().filter_map(silent).collect::<Vec<_>>());
}

#[test]
fn no_name_is_empty_of_meaning() {
    let empty = |path: &Path| {
        path.iter().any(|part| {
            let stem = Path::new(part).file_stem().unwrap_or_default().to_string_lossy();
            EMPTY_NAMES.contains(&&*stem)
        })
    };
    let mut complaints = Vec::new();
    for (path, _) in sources("rs") {
        if empty(&path) {
            complaints.push(format!("{}: name it after what it holds", path.display()));
        }
        if path.ends_with("mod.rs") {
            complaints.push(format!("{}: write folder.rs beside folder/", path.display()));
        }
    }
    no_complaints(&complaints);
}

#[test]
fn long_files_do_not_grow() {
    let mut complaints = Vec::new();
    for (path, text) in sources("rs") {
        if path.iter().any(|part| part == "tests" || part == "tests.rs") {
            continue;
        }
        let lines = text.lines().count();
        let known = LONG_FILES.iter().find(|(file, _)| path == Path::new(file));
        let allowed = known.map_or(LINES_MAX, |(_, lines)| *lines);
        if lines > allowed {
            complaints.push(format!("{}: {lines} lines, at most {allowed}", path.display()));
        }
        if known.is_some() && lines <= LINES_MAX {
            complaints.push(format!("{}: no longer long, strike it off", path.display()));
        }
    }
    no_complaints(&complaints);
}

#[test]
fn nothing_is_left_for_later() {
    let mut complaints = Vec::new();
    for (path, text) in sources("rs") {
        for (first, second) in NEVER {
            let word = format!("{first}{second}");
            for (nth, line) in text.lines().enumerate() {
                if line.contains(&word) && !line.trim_start().starts_with("//") {
                    complaints.push(format!("{}:{}: {word}", path.display(), nth + 1));
                }
            }
        }
    }
    no_complaints(&complaints);
}

#[test]
fn tests_wait_for_what_they_want_and_not_for_a_while() {
    let mut complaints = Vec::new();
    for (path, text) in sources("rs") {
        let is_test = path.iter().any(|part| part == "tests" || part == "tests.rs");
        // On a paused clock a sleep takes no time, and always the same.
        if !is_test || text.contains("start_paused = true") {
            continue;
        }
        let lines: Vec<&str> = text.lines().collect();
        for (nth, _) in lines.iter().enumerate().filter(|(_, line)| is_sleep(line)) {
            // A loop that asks again and again may pause between two questions.
            let before = &lines[nth.saturating_sub(LOOP_LINES)..=nth];
            if !before.iter().any(|line| is_loop(line)) {
                complaints.push(format!("{}:{}: sleeps a fixed time", path.display(), nth + 1));
            }
        }
    }
    no_complaints(&complaints);
}

/// How far the head of a loop may be from a pause in it.
const LOOP_LINES: usize = 8;

fn is_sleep(line: &str) -> bool {
    line.contains("::sleep(") || line.contains(" sleep(")
}

fn is_loop(line: &str) -> bool {
    ["while ", "loop {", "for "].iter().any(|word| line.trim_start().starts_with(word))
}
