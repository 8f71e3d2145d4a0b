//! Names of rooms.

use crate::{
    case::{Case, case},
    stage::{Company, Stage},
    words::{list, public_room},
};
use harness::{Account, Answer};
use reqwest::Method;
use serde_json::json;

pub fn cases() -> Vec<Case> {
    vec![
        case("TestRoomAlias", aliases),
        case("TestRoomDeleteAlias", deletion),
        case("TestRoomCanonicalAlias", canonical),
        case("TestRemoteAliasRequestsUnderstandUnicode", unicode_over_federation),
    ]
}

fn alias(company: &Company, name: &str) -> String {
    format!("#{}:{}", company.localpart(name), company.name)
}

async fn name(who: &Account, alias: &str, room: &str) -> Answer {
    who.put(&["directory", "room", alias], &json!({ "room_id": room })).answer().await
}

async fn delete(who: &Account, alias: &str) -> Answer {
    who.call(Method::DELETE, &["directory", "room", alias]).answer().await
}

async fn aliases(stage: Stage) {
    let company = stage.company().await;
    let (alice, bob) = (company.person("alice").await, company.person("bob").await);
    let room = public_room(&alice).await;
    for (row, local) in [
        ("PUT /directory/room/:room_alias creates alias", "hall"),
        ("Room aliases can contain Unicode", "老虎"),
    ] {
        stage
            .row(row, async {
                let alias = alias(&company, local);
                name(&alice, &alias, &room).await.ok();
                let found = bob.get(&["directory", "room", &alias]).ok().await;
                assert_eq!(found["room_id"], room);
                assert!(list(&found, "/servers").contains(&json!(company.name)), "{found}");
                name(&alice, &alias, &room).await.refused(409, "M_UNKNOWN");
            })
            .await;
    }
    let path = ["rooms", room.as_str(), "aliases"];
    stage
        .row("GET /rooms/:room_id/aliases lists aliases", async {
            let listed = alice.get(&path).ok().await;
            let mut listed = list(&listed, "/aliases").to_vec();
            listed.sort_by_key(|alias| alias.to_string());
            assert_eq!(listed, [alias(&company, "hall"), alias(&company, "老虎")]);
        })
        .await;
    stage
        .row("Only room members can list aliases of a room", async {
            bob.get(&path).answer().await.refused(403, "M_FORBIDDEN");
            bob.join(&room, &[]).await;
            assert_eq!(list(&bob.get(&path).ok().await, "/aliases").len(), 2);
        })
        .await;
    stage
        .row("an unknown alias is not found", async {
            let path = ["directory", "room", &alias(&company, "nowhere")];
            bob.get(&path).answer().await.refused(404, "M_NOT_FOUND");
        })
        .await;
}

async fn deletion(stage: Stage) {
    let company = stage.company().await;
    let (alice, bob) = (company.person("alice").await, company.person("bob").await);
    let room = public_room(&alice).await;
    bob.join(&room, &[]).await;
    let of_bob = alias(&company, "bobs");
    stage
        .row("Regular users can add and delete aliases in the default room configuration", async {
            let alias = alias(&company, "mine");
            name(&bob, &alias, &room).await.ok();
            delete(&bob, &alias).await.ok();
            bob.get(&["directory", "room", &alias]).answer().await.refused(404, "M_NOT_FOUND");
        })
        .await;
    stage
        .row("Deleting a non-existent alias should return a 404", async {
            delete(&bob, &alias(&company, "never")).await.refused(404, "M_NOT_FOUND");
        })
        .await;
    stage
        .row("Users can't delete other's aliases", async {
            let of_alice = alias(&company, "alices");
            name(&alice, &of_alice, &room).await.ok();
            delete(&bob, &of_alice).await.refused(403, "M_FORBIDDEN");
            assert_eq!(bob.get(&["directory", "room", &of_alice]).ok().await["room_id"], room);
        })
        .await;
    stage
        .row("Users with sufficient power-level can delete other's aliases", async {
            name(&bob, &of_bob, &room).await.ok();
            delete(&alice, &of_bob).await.ok();
            bob.get(&["directory", "room", &of_bob]).answer().await.refused(404, "M_NOT_FOUND");
        })
        .await;
    stage
        .row("Can delete canonical alias", async {
            let alias = alias(&company, "chosen");
            name(&alice, &alias, &room).await.ok();
            alice.set_state(&room, "m.room.canonical_alias", "", &json!({ "alias": alias })).await;
            delete(&alice, &alias).await.ok();
            alice.get(&["directory", "room", &alias]).answer().await.refused(404, "M_NOT_FOUND");
        })
        .await;
}

async fn canonical(stage: Stage) {
    let company = stage.company().await;
    let alice = company.person("alice").await;
    let (room, other) = (public_room(&alice).await, public_room(&alice).await);
    let (good, elsewhere) = (alias(&company, "good"), alias(&company, "elsewhere"));
    name(&alice, &good, &room).await.ok();
    name(&alice, &elsewhere, &other).await.ok();
    let missing = alias(&company, "missing");
    let no_alias = "M_BAD_ALIAS";
    for (row, alias, errcode) in [
        ("m.room.canonical_alias accepts present aliases", good.as_str(), None),
        ("m.room.canonical_alias rejects missing aliases", &missing, Some(no_alias)),
        ("m.room.canonical_alias rejects invalid aliases", "%invalid", Some("M_INVALID_PARAM")),
        (
            "m.room.canonical_alias rejects alias pointing to different local room",
            &elsewhere,
            Some(no_alias),
        ),
    ] {
        for (field, content) in [
            ("alias", json!({ "alias": alias })),
            ("alt_aliases", json!({ "alt_aliases": [alias] })),
        ] {
            stage
                .row(&format!("{row} ({field})"), async {
                    let kind = "m.room.canonical_alias";
                    let answer = alice.try_set_state(&room, kind, "", &content).await;
                    match errcode {
                        None => _ = answer.ok(),
                        Some(errcode) => answer.refused(400, errcode),
                    }
                })
                .await;
        }
    }
    stage
        .row("m.room.canonical_alias setting rejects deleted aliases", async {
            delete(&alice, &good).await.ok();
            let content = json!({ "alias": good, "alt_aliases": [] });
            alice.set_state(&room, "m.room.canonical_alias", "", &json!({})).await;
            let answer = alice.try_set_state(&room, "m.room.canonical_alias", "", &content).await;
            answer.refused(400, no_alias);
        })
        .await;
}

async fn unicode_over_federation(stage: Stage) {
    let [here, there] = stage.companies().await;
    let (alice, bob) = (here.person("alice").await, there.person("bob").await);
    let room = public_room(&alice).await;
    let alias = alias(&here, "老虎£я");
    name(&alice, &alias, &room).await.ok();
    let found = bob.get(&["directory", "room", &alias]).ok().await;
    assert_eq!(found["room_id"], room);
    assert_eq!(bob.join(&alias, &[]).await, room);
}
