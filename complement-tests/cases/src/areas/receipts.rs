//! How far one has read, and who is typing.

use crate::{
    case::{Case, case},
    stage::Stage,
    words::{list, public_room, sync, text},
};
use harness::{Account, View, eventually};
use serde_json::{Value, json};

pub fn cases() -> Vec<Case> {
    vec![
        case("TestRoomReceipts", receipts),
        case("TestRoomReadMarkers", read_markers),
        case("TestThreadReceiptsInSyncMSC4102", of_thread_and_room),
        case("TestTyping", typing),
        case("TestLeakyTyping", leaky_typing),
    ]
}

/// An ephemeral event of a room.
fn ephemeral(synced: &Value, room: &str, kind: &str) -> Option<Value> {
    let mut events = list(&synced["rooms"]["join"][room], "/ephemeral/events").iter();
    events.rfind(|event| event["type"] == kind).cloned()
}

async fn company_of_two(stage: &Stage) -> (Account, Account, String) {
    let (alice, bob) = stage.colleagues().await;
    let room = public_room(&alice).await;
    bob.join(&room, &[]).await;
    (alice, bob, room)
}

async fn receipts(stage: Stage) {
    let (alice, bob, room) = company_of_two(&stage).await;
    let said = alice.say(&room, "please read").await;
    let mut view = View::default();
    alice.sync(&mut view, false).await;
    bob.read(&room, &said).await;
    alice
        .until(&mut view, "Bob's receipt", |view| {
            let mut read = view.rooms.get(&room)?.receipts.iter();
            read.find(|((kind, user, _), (event, _))| {
                kind == "m.read" && *user == bob.user_id && *event == said
            })
            .map(|_| ())
        })
        .await;
    stage
        .row("Receipts DO NOT include a `room_id` field", async {
            let receipt =
                ephemeral(&sync(&alice, &[]).await, &room, "m.receipt").expect("it is told");
            assert!(receipt.get("room_id").is_none(), "{receipt}");
            assert!(receipt["content"][&said]["m.read"][&bob.user_id]["ts"].is_u64(), "{receipt}");
        })
        .await;
    stage
        .row("an unknown kind of receipt is refused", async {
            let call = bob.post(&["rooms", &room, "receipt", "m.unheard_of", &said], &json!({}));
            assert_eq!(call.answer().await.status, 400);
        })
        .await;
}

/// Of two receipts for one event, that for the whole room is told, also to other companies: that for
/// the thread says less.
async fn of_thread_and_room(stage: Stage) {
    let (alice, bob) = stage.partners().await;
    let (_, here) = alice.user_id.split_once(':').expect("a server");
    let room = public_room(&alice).await;
    bob.join(&room, &[here]).await;
    let root = alice.say(&room, "a root").await;
    let relation = json!({ "rel_type": "m.thread", "event_id": root });
    let reply = json!({ "msgtype": "m.text", "body": "a reply", "m.relates_to": relation });
    let reply = alice.send(&room, "m.room.message", &reply).await;
    for body in [json!({}), json!({ "thread_id": root })] {
        alice.post(&["rooms", &room, "receipt", "m.read", &reply], &body).ok().await;
    }
    for who in [&alice, &bob] {
        eventually(&format!("{} is told the receipt for the room", who.user_id), async || {
            let told = ephemeral(&sync(who, &[]).await, &room, "m.receipt")?;
            let receipt = &told["content"][&reply]["m.read"][&alice.user_id];
            (receipt["ts"].is_u64() && receipt.get("thread_id").is_none()).then_some(())
        })
        .await;
    }
}

async fn read_markers(stage: Stage) {
    let (alice, bob, room) = company_of_two(&stage).await;
    let said = alice.say(&room, "please read").await;
    let body = json!({ "m.fully_read": said, "m.read": said });
    bob.post(&["rooms", &room, "read_markers"], &body).ok().await;
    let mut view = View::default();
    let marker = |view: &View| view.rooms.get(&room)?.account_data.get("m.fully_read").cloned();
    assert_eq!(bob.until(&mut view, "his marker", marker).await["event_id"], said);
    let has_read = |view: &View| {
        let mut receipts = view.rooms.get(&room)?.receipts.iter();
        receipts
            .find(|((_, user, _), (event, _))| *user == bob.user_id && *event == said)
            .map(|_| ())
    };
    alice.until(&mut View::default(), "Bob's receipt", has_read).await;
}

async fn type_in(who: &Account, room: &str, typing: bool) {
    let body = json!({ "typing": typing, "timeout": 30_000 });
    who.put(&["rooms", room, "typing", &who.user_id], &body).ok().await;
}

async fn typing(stage: Stage) {
    let (alice, bob, room) = company_of_two(&stage).await;
    let mut view = View::default();
    bob.sync(&mut view, false).await;
    stage
        .row("Typing notification sent to local room members", async {
            type_in(&alice, &room, true).await;
            let seen =
                |view: &View| view.rooms[&room].typing.contains(&alice.user_id).then_some(());
            bob.until(&mut view, "Alice typing", seen).await;
        })
        .await;
    stage
        .row("Typing events DO NOT include a `room_id` field", async {
            let event = ephemeral(&sync(&bob, &[]).await, &room, "m.typing").expect("it is told");
            assert!(event.get("room_id").is_none(), "{event}");
        })
        .await;
    stage
        .row("Typing can be explicitly stopped", async {
            type_in(&alice, &room, false).await;
            let seen = |view: &View| view.rooms[&room].typing.is_empty().then_some(());
            bob.until(&mut view, "nobody typing", seen).await;
        })
        .await;
    stage
        .row("nobody types for another, nor where he is not", async {
            let body = json!({ "typing": true, "timeout": 30_000 });
            let for_alice = bob.put(&["rooms", &room, "typing", &alice.user_id], &body);
            assert_eq!(for_alice.answer().await.errcode(), "M_FORBIDDEN");
            let private = alice.create_room(&json!({})).await;
            let outside = bob.put(&["rooms", &private, "typing", &bob.user_id], &body);
            outside.answer().await.refused(403, "M_FORBIDDEN");
        })
        .await;
}

/// Who types in one room types in that room only.
async fn leaky_typing(stage: Stage) {
    let (alice, bob, room) = company_of_two(&stage).await;
    let other = public_room(&alice).await;
    bob.join(&other, &[]).await;
    let mut since = text(&sync(&bob, &[]).await, "/next_batch");
    for (typing_in, quiet) in [(&room, &other), (&other, &room)] {
        type_in(&alice, typing_in, true).await;
        let next = sync(&bob, &[("since", &since), ("timeout", "5000")]).await;
        since = text(&next, "/next_batch");
        let event = ephemeral(&next, typing_in, "m.typing").expect("she types there");
        assert_eq!(event["content"]["user_ids"], json!([alice.user_id]), "{next}");
        assert_eq!(ephemeral(&next, quiet, "m.typing"), None, "{next}");
    }
}
