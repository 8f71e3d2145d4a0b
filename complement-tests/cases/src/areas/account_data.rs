//! What clients keep for their users.

use crate::{
    case::{Case, case},
    stage::Stage,
    words::public_room,
};
use harness::View;
use serde_json::json;

pub fn cases() -> Vec<Case> {
    vec![
        case("TestAddAccountData", add),
        case("TestWriteMDirectAccountData", direct_chats),
        case("TestIsDirectFlagLocal", |stage| is_direct(stage, false)),
        case("TestIsDirectFlagFederation", |stage| is_direct(stage, true)),
        case("TestInviteFromIgnoredUsersDoesNotAppearInSync", ignored_users),
    ]
}

async fn add(stage: Stage) {
    let (alice, bob) = stage.colleagues().await;
    let room = public_room(&alice).await;
    let global = ["user", alice.user_id.as_str(), "account_data", "org.example.shelf"];
    let of_room =
        ["user", alice.user_id.as_str(), "rooms", &room, "account_data", "org.example.shelf"];
    let mut view = View::default();
    alice.sync(&mut view, false).await;
    stage
        .row("Can add global account data", async {
            alice.put(&global, &json!({ "books": 1 })).ok().await;
            alice.put(&global, &json!({ "books": 2 })).ok().await;
            assert_eq!(alice.get(&global).ok().await, json!({ "books": 2 }));
            let told = |view: &View| view.account_data.get("org.example.shelf").cloned();
            let told = alice.until(&mut view, "its shelf", told).await;
            assert_eq!(told, json!({ "books": 2 }));
        })
        .await;
    let mut view = View::default();
    alice.sync(&mut view, false).await;
    stage
        .row("Can add room account data", async {
            alice.put(&of_room, &json!({ "books": 3 })).ok().await;
            assert_eq!(alice.get(&of_room).ok().await, json!({ "books": 3 }));
            let told =
                |view: &View| view.rooms[&room].account_data.get("org.example.shelf").cloned();
            let told = alice.until(&mut view, "the room's shelf", told).await;
            assert_eq!(told, json!({ "books": 3 }));
        })
        .await;
    stage
        .row("what was never set is not found", async {
            let path = ["user", alice.user_id.as_str(), "account_data", "org.example.none"];
            alice.get(&path).answer().await.refused(404, "M_NOT_FOUND");
        })
        .await;
    stage
        .row("nobody reads or writes another's", async {
            bob.get(&global).answer().await.refused(403, "M_FORBIDDEN");
            bob.put(&global, &json!({})).answer().await.refused(403, "M_FORBIDDEN");
        })
        .await;
}

async fn direct_chats(stage: Stage) {
    let (alice, bob) = stage.colleagues().await;
    let mut view = View::default();
    alice.sync(&mut view, false).await;
    let chats = json!({ bob.user_id.as_str(): ["!somewhere:example.org"] });
    let path = ["user", alice.user_id.as_str(), "account_data", "m.direct"];
    alice.put(&path, &chats).ok().await;
    let told = |view: &View| view.account_data.get("m.direct").cloned();
    assert_eq!(alice.until(&mut view, "m.direct", told).await, chats);
}

async fn is_direct(stage: Stage, over_federation: bool) {
    let (alice, bob) =
        if over_federation { stage.partners().await } else { stage.colleagues().await };
    let options = json!({ "invite": [bob.user_id], "is_direct": true, "preset": "private_chat" });
    let room = alice.create_room(&options).await;
    let key = ("m.room.member".to_owned(), bob.user_id.clone());
    let invited = |view: &View| view.invited.get(&room)?.get(&key).cloned();
    let invitation = bob.until(&mut View::default(), "the invitation", invited).await;
    assert_eq!(invitation["content"]["is_direct"], true, "{invitation}");
    assert_eq!(invitation["sender"], alice.user_id);
}

async fn ignored_users(stage: Stage) {
    let company = stage.company().await;
    let (alice, bob) = (company.person("alice").await, company.person("bob").await);
    let carol = company.person("carol").await;
    let path = ["user", alice.user_id.as_str(), "account_data", "m.ignored_user_list"];
    let list = json!({ "ignored_users": { bob.user_id.as_str(): {} } });
    alice.put(&path, &list).ok().await;
    let (of_bob, of_carol) = (public_room(&bob).await, public_room(&carol).await);
    bob.invite(&of_bob, &alice.user_id).await;
    carol.invite(&of_carol, &alice.user_id).await;
    // Carol's came later: whoever sees hers and not Bob's will not see his.
    let mut view = View::default();
    let invited = |view: &View| view.invited.get(&of_carol).cloned();
    alice.until(&mut view, "Carol's invitation", invited).await;
    assert!(!view.invited.contains_key(&of_bob), "{view:?}");
    alice.sync(&mut view, false).await;
    assert!(!view.invited.contains_key(&of_bob), "{view:?}");
}
