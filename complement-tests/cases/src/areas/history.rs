//! Who is shown which event of a room's past.

use crate::{
    case::{Case, case},
    stage::Stage,
    words::{list, public_room, sync},
};
use harness::Account;
use serde_json::json;

pub fn cases() -> Vec<Case> {
    vec![
        case("TestFetchEvent", |stage| fetch(stage, "shared", Moment::Joined, true)),
        case("TestFetchHistoricalJoinedEventDenied", |stage| {
            fetch(stage, "joined", Moment::Before, false)
        }),
        case("TestFetchHistoricalSharedEvent", |stage| {
            fetch(stage, "shared", Moment::Before, true)
        }),
        case("TestFetchHistoricalInvitedEventFromBetweenInvite", |stage| {
            fetch(stage, "invited", Moment::Invited, true)
        }),
        case("TestFetchHistoricalInvitedEventFromBeforeInvite", |stage| {
            fetch(stage, "invited", Moment::Before, false)
        }),
        case("TestFetchEventNonWorldReadable", |stage| {
            fetch(stage, "shared", Moment::NeverThere, false)
        }),
        case("TestFetchEventWorldReadable", |stage| {
            fetch(stage, "world_readable", Moment::NeverThere, true)
        }),
        case("TestMembershipOnEvents", membership_on_events),
    ]
}

/// When the event was sent that Bob, who is in the room now, wants to see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Moment {
    Before,
    Invited,
    Joined,
    /// Bob never came.
    NeverThere,
}

async fn fetch(stage: Stage, visibility: &'static str, moment: Moment, shown: bool) {
    let (alice, bob) = stage.colleagues().await;
    let room = public_room(&alice).await;
    let content = json!({ "history_visibility": visibility });
    alice.set_state(&room, "m.room.history_visibility", "", &content).await;
    let early = alice.say(&room, "the price is seven").await;
    let event = match moment {
        Moment::NeverThere => early,
        Moment::Before => {
            bob.join(&room, &[]).await;
            early
        }
        Moment::Invited => {
            alice.invite(&room, &bob.user_id).await;
            let event = alice.say(&room, "the price is eight").await;
            bob.join(&room, &[]).await;
            event
        }
        Moment::Joined => {
            bob.join(&room, &[]).await;
            alice.say(&room, "the price is nine").await
        }
    };
    assert!(alice.event(&room, &event).await.is_some());
    let answer = bob.get(&["rooms", &room, "event", &event]).answer().await;
    if shown {
        assert_eq!(answer.ok()["event_id"], event);
    } else {
        assert!(matches!(answer.status.as_u16(), 403 | 404), "{answer}");
    }
    if moment != Moment::NeverThere {
        assert_eq!(is_in_history(&bob, &room, &event).await, shown);
    }
}

async fn is_in_history(who: &Account, room: &str, event: &str) -> bool {
    who.history(room).await.iter().any(|told| told["event_id"] == event)
}

async fn membership_on_events(stage: Stage) {
    let (alice, bob) = stage.colleagues().await;
    let room = public_room(&alice).await;
    let before = alice.say(&room, "before Bob").await;
    bob.join(&room, &[]).await;
    let after = alice.say(&room, "after Bob").await;
    let wanted = [(before, "leave"), (after, "join")];
    for (event, membership) in &wanted {
        let event = bob.event(&room, event).await.expect("it is shown");
        assert_eq!(event["unsigned"]["membership"], *membership, "{event}");
    }
    let synced = sync(&bob, &[]).await;
    let timeline = list(&synced["rooms"]["join"][&room], "/timeline/events");
    for (event, membership) in &wanted {
        let told = timeline.iter().find(|told| told["event_id"] == *event).expect("it is told");
        assert_eq!(told["unsigned"]["membership"], *membership, "{told}");
    }
}
