//! Events that belong to other events: threads, answers, reactions.

use crate::{
    case::{Case, case},
    stage::Stage,
    words::{each, list, public_room, sync, text},
};
use harness::Account;
use serde_json::{Value, json};

pub fn cases() -> Vec<Case> {
    vec![
        case("TestRelations", relations),
        case("TestRelationsPagination", pagination),
        case("TestRelationsPaginationSync", pagination_from_sync),
        case("TestThreadsEndpoint", threads),
        case("TestFilterMessagesByRelType", by_relation),
    ]
}

async fn relate(who: &Account, room: &str, parent: &str, how: &str, kind: &str) -> String {
    let content = json!({
        "msgtype": "m.text", "body": how,
        "m.relates_to": { "rel_type": how, "event_id": parent },
    });
    who.send(room, kind, &content).await
}

/// What `GET /relations/...` tells.
async fn related(who: &Account, room: &str, more: &[&str], query: &[(&str, &str)]) -> Value {
    let path = [&["_matrix", "client", "v1", "rooms", room, "relations"], more].concat();
    who.call_at(reqwest::Method::GET, &path).query(query).ok().await
}

async fn relations(stage: Stage) {
    let alice = stage.person().await;
    let room = public_room(&alice).await;
    let root = alice.say(&room, "the question").await;
    let thread = relate(&alice, &room, &root, "m.thread", "m.room.message").await;
    let note = relate(&alice, &room, &root, "m.reference", "org.example.note").await;
    let answer = relate(&alice, &room, &root, "m.reference", "m.room.message").await;
    for (row, path, wanted) in [
        ("all of them", vec![root.as_str()], vec![&answer, &note, &thread]),
        ("of one kind of relation", vec![&root, "m.reference"], vec![&answer, &note]),
        ("of one kind and type", vec![&root, "m.reference", "m.room.message"], vec![&answer]),
        ("of nothing", vec![&answer], vec![]),
    ] {
        stage
            .row(row, async {
                let told = related(&alice, &room, &path, &[]).await;
                assert_eq!(
                    each(list(&told, "/chunk"), "event_id").iter().collect::<Vec<_>>(),
                    wanted
                );
            })
            .await;
    }
}

async fn ten_answers(alice: &Account, room: &str) -> (String, Vec<String>) {
    let root = alice.say(room, "the question").await;
    let mut answers = Vec::new();
    for _ in 0..10 {
        answers.push(relate(alice, room, &root, "m.reference", "m.room.message").await);
    }
    (root, answers)
}

async fn pagination(stage: Stage) {
    let alice = stage.person().await;
    let room = public_room(&alice).await;
    let (root, answers) = ten_answers(&alice, &room).await;
    for direction in ["b", "f"] {
        stage
            .row(&format!("dir={direction}"), async {
                let mut wanted = answers.clone();
                if direction == "b" {
                    wanted.reverse();
                }
                let query = [("limit", "3"), ("dir", direction)];
                let first = related(&alice, &room, &[&root], &query).await;
                assert_eq!(each(list(&first, "/chunk"), "event_id"), wanted[..3]);
                let from = text(&first, "/next_batch");
                let query = [("limit", "3"), ("dir", direction), ("from", &from)];
                let second = related(&alice, &room, &[&root], &query).await;
                assert_eq!(each(list(&second, "/chunk"), "event_id"), wanted[3..6]);
            })
            .await;
    }
}

async fn pagination_from_sync(stage: Stage) {
    let alice = stage.person().await;
    let room = public_room(&alice).await;
    let (root, answers) = ten_answers(&alice, &room).await;
    let from = text(&sync(&alice, &[]).await, "/next_batch");
    relate(&alice, &room, &root, "m.reference", "m.room.message").await;
    let query = [("limit", "5"), ("from", from.as_str()), ("dir", "b")];
    let told = related(&alice, &room, &[&root], &query).await;
    let newest = answers[5..].iter().rev().cloned().collect::<Vec<_>>();
    assert_eq!(each(list(&told, "/chunk"), "event_id"), newest);
}

async fn threads(stage: Stage) {
    let (alice, bob) = stage.colleagues().await;
    let room = public_room(&alice).await;
    bob.join(&room, &[]).await;
    let (one, two) = (alice.say(&room, "thread one").await, alice.say(&room, "thread two").await);
    alice.say(&room, "no thread").await;
    relate(&alice, &room, &two, "m.thread", "m.room.message").await;
    relate(&alice, &room, &one, "m.thread", "m.room.message").await;
    let path = ["_matrix", "client", "v1", "rooms", &room, "threads"];
    let threads = async |who: &Account, query: &[(&str, &str)]| {
        let told = who.call_at(reqwest::Method::GET, &path).query(query).ok().await;
        each(list(&told, "/chunk"), "event_id")
    };
    stage
        .row("the one with the newest answer comes first", async {
            assert_eq!(threads(&alice, &[]).await, [one.clone(), two.clone()]);
            relate(&bob, &room, &two, "m.thread", "m.room.message").await;
            assert_eq!(threads(&alice, &[]).await, [two.clone(), one.clone()]);
        })
        .await;
    stage
        .row("only those that one took part in", async {
            assert_eq!(threads(&bob, &[("include", "participated")]).await, [two.as_str()]);
        })
        .await;
    stage
        .row("the root carries its thread", async {
            let root = alice.event(&room, &two).await.expect("the root");
            let thread = &root["unsigned"]["m.relations"]["m.thread"];
            assert_eq!(
                (&thread["count"], &thread["latest_event"]["sender"]),
                (&json!(2), &json!(bob.user_id))
            );
        })
        .await;
}

async fn by_relation(stage: Stage) {
    let alice = stage.person().await;
    let room = public_room(&alice).await;
    let root = alice.say(&room, "the question").await;
    let thread = relate(&alice, &room, &root, "m.thread", "m.room.message").await;
    let note = relate(&alice, &room, &root, "m.reference", "m.room.message").await;
    for (row, filter, wanted) in [
        ("one relation", json!({ "org.matrix.msc3874.rel_types": ["m.thread"] }), vec![&thread]),
        (
            "two relations",
            json!({ "org.matrix.msc3874.rel_types": ["m.thread", "m.reference"] }),
            vec![&note, &thread],
        ),
        (
            "not one",
            json!({ "org.matrix.msc3874.not_rel_types": ["m.thread"], "types": ["m.room.message"] }),
            vec![&note, &root],
        ),
    ] {
        stage
            .row(row, async {
                let filter = filter.to_string();
                let query = [("dir", "b"), ("filter", filter.as_str())];
                let page = alice.get(&["rooms", &room, "messages"]).query(&query).ok().await;
                let told = each(list(&page, "/chunk"), "event_id");
                assert_eq!(told.iter().collect::<Vec<_>>(), wanted, "{page}");
            })
            .await;
    }
}
