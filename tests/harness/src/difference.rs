//! In what a folded view and a fresh one differ.

use crate::{
    settings::target_is_synapse,
    view::{Room, View},
};
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Debug,
};

/// One line for each difference: folded | fresh.
pub fn differences(folded: &View, fresh: &View, lazy: bool) -> Vec<String> {
    let mut wrong = Vec::new();
    let invited = |view: &View| view.invited.keys().cloned().collect::<BTreeSet<_>>();
    unequal(&mut wrong, "invitations", &invited(folded), &invited(fresh));
    by_key(&mut wrong, "account data", &folded.account_data, &fresh.account_data);
    let joined = |view: &View| view.rooms.keys().cloned().collect::<BTreeSet<_>>();
    unequal(&mut wrong, "joined rooms", &joined(folded), &joined(fresh));
    for (id, fresh) in &fresh.rooms {
        if let Some(folded) = folded.rooms.get(id) {
            let lines = room(folded, fresh, lazy);
            wrong.extend(lines.into_iter().map(|line| format!("{id}: {line}")));
        }
    }
    wrong
}

fn room(folded: &Room, fresh: &Room, lazy: bool) -> Vec<String> {
    let mut wrong = Vec::new();
    state(&mut wrong, folded, fresh, lazy);
    timeline(&mut wrong, &folded.timeline_ids(), &fresh.timeline_ids());
    unequal(&mut wrong, "summary", &summary(folded), &summary(fresh));
    unequal(&mut wrong, "unread", &folded.unread, &fresh.unread);
    if !target_is_synapse() {
        beside_the_events(&mut wrong, folded, fresh);
    }
    wrong
}

/// Synapse leaves these out when it first tells a device of a room that its user has just joined,
/// so only Kontor is held to them.
fn beside_the_events(wrong: &mut Vec<String>, folded: &Room, fresh: &Room) {
    by_key(wrong, "account data", &account_data(folded), &account_data(fresh));
    let typing = |room: &Room| room.typing.iter().cloned().collect::<BTreeSet<_>>();
    unequal(wrong, "typing", &typing(folded), &typing(fresh));
    by_key(wrong, "receipts", &folded.receipts, &fresh.receipts);
}

/// No tags and no word of tags are the same.
fn account_data(room: &Room) -> BTreeMap<String, Value> {
    let mut kept = room.account_data.clone();
    kept.retain(|kind, content| kind != "m.tag" || *content != json!({ "tags": {} }));
    kept
}

/// The order of heroes is nobody's business, and a room with a name needs none.
fn summary(room: &Room) -> (BTreeSet<String>, BTreeMap<String, Value>) {
    let mut summary = room.summary.clone();
    let mut heroes = summary.remove("m.heroes").unwrap_or_default();
    if room.state.contains_key(&("m.room.name".into(), String::new())) {
        heroes = Value::Null;
    }
    let heroes = heroes.as_array().into_iter().flatten().map(Value::to_string).collect();
    (heroes, summary.into_iter().collect())
}

/// Whoever loads members lazily knows the senders of what is shown; the others are up to chance.
fn state(wrong: &mut Vec<String>, folded: &Room, fresh: &Room, lazy: bool) {
    let (mut folded, mut fresh_ids) = (folded.state_ids(), fresh.state_ids());
    if lazy {
        let senders = fresh.timeline.iter().filter_map(|event| event["sender"].as_str());
        let senders = senders.collect::<BTreeSet<_>>();
        for ids in [&mut folded, &mut fresh_ids] {
            ids.retain(|(kind, key), _| kind != "m.room.member" || senders.contains(key.as_str()));
        }
    }
    by_key(wrong, "state", &folded, &fresh_ids);
}

/// Both end with the same events; how far back they reach may differ.
fn timeline(wrong: &mut Vec<String>, folded: &[String], fresh: &[String]) {
    let common = folded.len().min(fresh.len());
    let (folded, fresh) = (&folded[folded.len() - common..], &fresh[fresh.len() - common..]);
    if folded != fresh || (common == 0 && !fresh.is_empty()) {
        wrong.push(format!("timeline: {folded:?} | {fresh:?}"));
    }
}

fn by_key<K: Ord + Debug, V: PartialEq + Debug>(
    wrong: &mut Vec<String>,
    what: &str,
    folded: &BTreeMap<K, V>,
    fresh: &BTreeMap<K, V>,
) {
    let keys = folded.keys().chain(fresh.keys()).collect::<BTreeSet<_>>();
    for key in keys {
        let (left, right) = (folded.get(key), fresh.get(key));
        if left != right {
            wrong.push(format!("{what} {key:?}: {left:?} | {right:?}"));
        }
    }
}

fn unequal<T: PartialEq + Debug>(wrong: &mut Vec<String>, what: &str, folded: &T, fresh: &T) {
    if folded != fresh {
        wrong.push(format!("{what}: {folded:?} | {fresh:?}"));
    }
}
