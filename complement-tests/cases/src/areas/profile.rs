//! What a user shows of himself, and how rooms follow.

use crate::{
    case::{Case, case},
    stage::Stage,
    words::public_room,
};
use harness::{View, eventually};
use serde_json::json;

pub fn cases() -> Vec<Case> {
    vec![
        case("TestProfileDisplayName", |stage| field(stage, "displayname", "Anna Hanse")),
        case("TestProfileAvatarURL", |stage| field(stage, "avatar_url", "mxc://example.org/face")),
        case("TestDisplayNameUpdate", |stage| rooms_follow(stage, "displayname", "Anna Hanse")),
        case("TestAvatarUrlUpdate", |stage| {
            rooms_follow(stage, "avatar_url", "mxc://example.org/face")
        }),
    ]
}

async fn field(stage: Stage, name: &'static str, value: &'static str) {
    let company = stage.company().await;
    let (alice, bob) = (company.person("alice").await, company.person("bob").await);
    let path = ["profile", alice.user_id.as_str(), name];
    stage
        .row("PUT /profile/:user_id/:field sets it", async {
            alice.put(&path, &json!({ name: value })).ok().await;
            assert_eq!(alice.get(&path).ok().await[name], value);
            assert_eq!(alice.get(&path[..2]).ok().await[name], value);
        })
        .await;
    stage
        .row("GET /profile/:user_id/:field publicly accessible", async {
            assert_eq!(bob.get(&path).ok().await[name], value);
            assert_eq!(company.get(&path).ok().await[name], value);
        })
        .await;
    stage
        .row("nobody else can set it", async {
            let answer = bob.put(&path, &json!({ name: "stolen" })).answer().await;
            answer.refused(403, "M_FORBIDDEN");
            assert_eq!(alice.get(&path).ok().await[name], value);
        })
        .await;
}

async fn rooms_follow(stage: Stage, name: &'static str, value: &'static str) {
    let (alice, bob) = stage.colleagues().await;
    let room = public_room(&alice).await;
    bob.join(&room, &[]).await;
    let mut view = View::default();
    bob.sync(&mut view, false).await;
    let path = ["profile", alice.user_id.as_str(), name];
    alice.put(&path, &json!({ name: value })).ok().await;
    let key = ("m.room.member".to_owned(), alice.user_id.clone());
    bob.until(&mut view, "the change in the room", |view| {
        let member = view.rooms.get(&room)?.state.get(&key)?;
        (member["content"][name] == value && member["content"]["membership"] == "join")
            .then_some(())
    })
    .await;
    eventually("the list of members follows too", async || {
        let members = bob.get(&["rooms", &room, "joined_members"]).ok().await;
        let shown = if name == "displayname" { "display_name" } else { name };
        (members["joined"][&alice.user_id][shown] == value).then_some(())
    })
    .await;
}
