//! Cases of our own: many homeservers in one process, and one that dies in the middle of a talk.

use crate::{
    case::{Case, case},
    stage::{Company, Stage},
    words::public_room,
};
use harness::{Account, View, eventually, same_state, text_of};
use serde_json::json;

pub fn cases() -> Vec<Case> {
    vec![
        case(
            "homeservers of one process talk with each other and with another process",
            neighbours,
        ),
        case("a homeserver that is killed in the middle of a talk loses nothing", killed),
    ]
}

async fn neighbours(stage: Stage) {
    let process = stage.process().await;
    let far = stage.company_of(&process, process.name());
    let [here, there] = stage.companies().await;
    let mut people = Vec::new();
    for company in [&here, &there, &far] {
        people.push(company.person("clerk").await);
    }
    for host in 0..people.len() {
        stage
            .row(&format!("a room of company {}", host + 1), async { talk(&people, host).await })
            .await;
    }
}

/// Everybody comes into a room of one of them, says something, and hears everybody.
async fn talk(people: &[Account], host: usize) {
    let host = &people[host];
    let room = host.create_room(&json!({ "preset": "private_chat" })).await;
    let guests = people.iter().filter(|person| person.user_id != host.user_id);
    for guest in guests.clone() {
        host.invite(&room, &guest.user_id).await;
        let told = |view: &View| view.invited.get(&room).cloned();
        guest.until(&mut View::default(), "the invitation", told).await;
        guest.join(&room, &[]).await;
    }
    for guest in guests {
        same_state(&room, host, guest).await;
    }
    for speaker in people {
        let said = speaker.say(&room, "good morning").await;
        for listener in people {
            listener.until_event(&mut View::default(), &room, &said).await;
        }
    }
}

/// What was said in the room, oldest first.
async fn texts(reader: &Account, room: &str) -> Vec<String> {
    let mut events = reader.history(room).await;
    events.retain(|event| event["type"] == "m.room.message");
    events.iter().rev().map(|event| text_of(event).to_owned()).collect()
}

async fn killed(stage: Stage) {
    let mut process = stage.process().await;
    let company: Company = stage.company().await;
    let alice = stage.company_of(&process, process.name()).person("alice").await;
    let bob = company.person("bob").await;
    let room = public_room(&alice).await;
    bob.join(&room, &[process.name()]).await;
    let mut lines = Vec::new();
    for round in 0..3 {
        // What was acknowledged is safe, whether it has been sent on or not.
        for line in [format!("Alice, {round}"), format!("Alice again, {round}")] {
            alice.say(&room, &line).await;
            lines.push(line);
        }
        process.kill();
        let line = format!("Bob to nobody, {round}");
        bob.say(&room, &line).await;
        lines.push(line);
        process.start().await;
        let line = format!("Alice is back, {round}");
        let said = alice.say(&room, &line).await;
        lines.push(line);
        bob.until_event(&mut View::default(), &room, &said).await;
    }
    for reader in [&alice, &bob] {
        eventually(&format!("{} has read everything", reader.user_id), async || {
            let texts = texts(reader, &room).await;
            lines.iter().all(|line| texts.contains(line)).then_some(())
        })
        .await;
        assert_eq!(texts(reader, &room).await.len(), lines.len(), "something is there twice");
    }
    same_state(&room, &alice, &bob).await;
}
