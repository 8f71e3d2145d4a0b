//! Push rules, and the lists in which rooms and people are found.

use crate::{
    case::{Case, case},
    stage::Stage,
    words::{each, list, public_room, sync, text},
};
use harness::{Account, View, eventually};
use reqwest::Method;
use serde_json::{Value, json};

pub fn cases() -> Vec<Case> {
    vec![
        case("TestPushRuleCacheHealth", cache_health),
        case("TestPushSync", push_sync),
        case("TestPublicRooms", public_rooms),
        case("TestRoomSpecificUsernameChange", |stage| name_in_one_room(stage, false)),
        case("TestRoomSpecificUsernameAtJoin", |stage| name_in_one_room(stage, true)),
    ]
}

const RULE: [&str; 4] = ["pushrules", "global", "sender", "@boss:example.org"];

async fn set_rule(of: &Account, actions: &[&str]) {
    of.put(&RULE, &json!({ "actions": actions })).ok().await;
}

async fn cache_health(stage: Stage) {
    let alice = stage.person().await;
    set_rule(&alice, &["dont_notify"]).await;
    for actions in [json!(["notify"]), json!([])] {
        let path = [&RULE[..], &["actions"]].concat();
        alice.put(&path, &json!({ "actions": actions })).ok().await;
        assert_eq!(alice.get(&path).ok().await["actions"], actions);
        assert_eq!(alice.get(&RULE).ok().await["actions"], actions);
    }
    alice.call(Method::DELETE, &RULE).ok().await;
    alice.get(&RULE).answer().await.refused(404, "M_NOT_FOUND");
}

/// The rule as /sync tells it, if the rules are told at all.
fn told(synced: &Value) -> Option<Value> {
    let mut events = list(synced, "/account_data/events").iter();
    let rules = events.find(|event| event["type"] == "m.push_rules")?;
    let mut senders = list(rules, "/content/global/sender").iter();
    senders.find(|rule| rule["rule_id"] == RULE[3]).cloned().or(Some(Value::Null))
}

async fn push_sync(stage: Stage) {
    let alice = stage.person().await;
    let first = sync(&alice, &[]).await;
    stage
        .row("Push rules come down in an initial /sync", async {
            assert_eq!(told(&first), Some(Value::Null), "{first}");
        })
        .await;
    let mut since = text(&first, "/next_batch");
    let enabled = [&RULE[..], &["enabled"]].concat();
    let actions = [&RULE[..], &["actions"]].concat();
    for (row, path, body, field, wanted) in [
        (
            "Adding a push rule wakes up an incremental /sync",
            RULE.to_vec(),
            json!({ "actions": ["notify"] }),
            "actions",
            json!(["notify"]),
        ),
        (
            "Disabling a push rule wakes up an incremental /sync",
            enabled.clone(),
            json!({ "enabled": false }),
            "enabled",
            json!(false),
        ),
        (
            "Enabling a push rule wakes up an incremental /sync",
            enabled,
            json!({ "enabled": true }),
            "enabled",
            json!(true),
        ),
        (
            "Setting actions for a push rule wakes up an incremental /sync",
            actions,
            json!({ "actions": [] }),
            "actions",
            json!([]),
        ),
    ] {
        let from = since.clone();
        stage
            .row(row, async {
                let query = [("since", from.as_str()), ("timeout", "20000")];
                let (next, _) = tokio::join!(sync(&alice, &query), alice.put(&path, &body).ok());
                let rule = told(&next).unwrap_or_else(|| panic!("no rules in {next}"));
                assert_eq!(rule[field], wanted, "{rule}");
                since = text(&next, "/next_batch");
            })
            .await;
    }
}

async fn public_rooms(stage: Stage) {
    let company = stage.company().await;
    let alice = company.person("alice").await;
    for (row, more) in [
        ("Name/topic keys are correct", json!({ "name": "The exchange", "topic": "Pepper" })),
        ("without name and topic", json!({})),
        ("with a name only", json!({ "name": "The scales" })),
    ] {
        stage
            .row(row, async {
                let mut options = more.clone();
                options["visibility"] = json!("public");
                options["preset"] = json!("public_chat");
                let local = company.localpart(&format!("list{}", row.len()));
                options["room_alias_name"] = json!(local);
                let room = alice.create_room(&options).await;
                let entry = eventually("the room is in the list", async || {
                    let listed = alice.get(&["publicRooms"]).query(&[("limit", "1000")]);
                    let listed = listed.ok().await;
                    list(&listed, "/chunk").iter().find(|it| it["room_id"] == room).cloned()
                })
                .await;
                for key in ["name", "topic"] {
                    assert_eq!(entry.get(key), more.get(key), "{entry}");
                }
                assert_eq!(entry["canonical_alias"], format!("#{local}:{}", company.name));
                assert_eq!(entry["num_joined_members"], 1, "{entry}");
                assert_eq!(entry["world_readable"], false, "{entry}");
                assert!(entry["guest_can_join"].is_boolean(), "{entry}");
            })
            .await;
    }
    stage
        .row("Can search public room list", async {
            let word = company.localpart("nutmeg");
            let options = json!({ "visibility": "public", "preset": "public_chat", "topic": format!("About {word}.") });
            let room = alice.create_room(&options).await;
            let body = json!({ "filter": { "generic_search_term": word } });
            eventually("the room is found", async || {
                let found = alice.post(&["publicRooms"], &body).ok().await;
                let rooms = each(list(&found, "/chunk"), "room_id");
                (rooms == [room.as_str()]).then_some(())
            })
            .await;
        })
        .await;
}

/// A name that is used in one private room is nobody else's business.
async fn name_in_one_room(stage: Stage, at_join: bool) {
    let company = stage.company().await;
    let (alice, bob) = (company.person("alice").await, company.person("bob").await);
    let eve = company.person("eve").await;
    let public = public_room(&alice).await;
    for person in [&bob, &eve] {
        person.join(&public, &[]).await;
    }
    let secret = company.localpart("nightingale");
    let room =
        alice.create_room(&json!({ "preset": "private_chat", "invite": [bob.user_id] })).await;
    if at_join {
        bob.post(&["join", &room], &json!({ "displayname": secret })).ok().await;
    } else {
        bob.join(&room, &[]).await;
    }
    let content = json!({ "membership": "join", "displayname": secret });
    bob.set_state(&room, "m.room.member", &bob.user_id, &content).await;
    let key = ("m.room.member".to_owned(), bob.user_id.clone());
    let seen = |view: &View| {
        let member = view.rooms.get(&room)?.state.get(&key)?;
        (member["content"]["displayname"] == secret.as_str()).then_some(())
    };
    alice.until(&mut View::default(), "the name in the room", seen).await;
    let search = async |who: &Account, term: &str| {
        let body = json!({ "search_term": term });
        let found = who.post(&["user_directory", "search"], &body).ok().await;
        each(list(&found, "/results"), "user_id")
    };
    let localpart = company.localpart("bob");
    eventually("Bob is found by his own name", async || {
        search(&eve, &localpart).await.contains(&bob.user_id).then_some(())
    })
    .await;
    assert!(search(&eve, &secret).await.is_empty(), "Eve learns a name of a room that is not hers");
    let profile = eve.get(&["profile", &bob.user_id]).ok().await;
    assert_ne!(profile["displayname"], secret.as_str());
}
