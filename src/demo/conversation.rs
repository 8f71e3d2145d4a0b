//! What the two say, send and see: each act on one side of the border is waited for on the other.

use http::Method;
use serde_json::{Value, json};

use super::{
    DemoError,
    people::{Person, escaped, text},
};

/// Alice of one company meets Bob of the other.
pub(super) async fn hold(alice: &mut Person, bob: &mut Person) -> Result<(), DemoError> {
    let room = meet(alice, bob).await?;
    let question = exchange_messages(alice, bob, &room).await?;
    react(alice, bob, &room, &question).await?;
    send_file(alice, bob, &room).await
}

/// A room, an invitation, a join: answers the room's id.
async fn meet(alice: &mut Person, bob: &mut Person) -> Result<String, DemoError> {
    let name = "Deliveries: Acme and Globex";
    let request = json!({ "name": name, "preset": "private_chat", "invite": [bob.user_id] });
    let room = text(&alice.ask(Method::POST, "v3/createRoom", &request).await?["room_id"]);
    alice.tell(&format!("creates the room \"{name}\" and invites {}", bob.user_id));

    let invited = room.clone();
    let invitation = move |news: &Value| {
        news["rooms"]["invite"].get(&invited).map(|invite| invite["invite_state"].clone())
    };
    bob.wait_for("the invitation", invitation).await?;
    bob.tell(&format!("is invited by {}", alice.user_id));
    bob.ask(Method::POST, &format!("v3/rooms/{}/join", escaped(&room)), &json!({})).await?;
    bob.tell("joins");

    let joined = join_of(&room, &bob.user_id);
    alice.wait_for("the join", joined).await?;
    alice.tell(&format!("sees {} come in", bob.user_id));
    Ok(room)
}

/// A question, somebody who types, an answer, a receipt: answers the question's event id.
async fn exchange_messages(
    alice: &mut Person,
    bob: &mut Person,
    room: &str,
) -> Result<String, DemoError> {
    let question = say(alice, bob, room, "Good morning! Can you deliver on Thursday?").await?;

    let path = format!("v3/rooms/{}/receipt/m.read/{}", escaped(room), escaped(&question));
    bob.ask(Method::POST, &path, &json!({})).await?;
    bob.tell("has read it");
    let (read, reader) = (question.clone(), bob.user_id.clone());
    let receipt = ephemeral(room, "m.receipt", move |content| {
        content[&read]["m.read"].get(&reader).is_some()
    });
    alice.wait_for("the receipt", receipt).await?;
    alice.tell("sees that it was read");

    let path = format!("v3/rooms/{}/typing/{}", escaped(room), escaped(&bob.user_id));
    bob.ask(Method::PUT, &path, &json!({ "typing": true, "timeout": 20_000 })).await?;
    let typist = bob.user_id.clone();
    let typing = ephemeral(room, "m.typing", move |content| {
        content["user_ids"].as_array().is_some_and(|users| users.contains(&typist.clone().into()))
    });
    alice.wait_for("the typing", typing).await?;
    alice.tell(&format!("sees {} type …", bob.user_id));
    say(bob, alice, room, "On Thursday before noon, two pallets.").await?;
    Ok(question)
}

async fn react(
    alice: &mut Person,
    bob: &mut Person,
    room: &str,
    question: &str,
) -> Result<(), DemoError> {
    let relation = json!({ "rel_type": "m.annotation", "event_id": question, "key": "👍" });
    let reaction = bob.say(room, "m.reaction", &json!({ "m.relates_to": relation })).await?;
    bob.tell("reacts with 👍");
    let found = alice.wait_for("the reaction", event(room, &reaction)).await?;
    alice.tell(&format!("sees {}", text(&found["content"]["m.relates_to"]["key"])));
    Ok(())
}

async fn send_file(alice: &mut Person, bob: &mut Person, room: &str) -> Result<(), DemoError> {
    let plan = b"Gate 4, two pallets, ring twice.\n";
    let uri = alice.upload("text/plain", plan.to_vec()).await?;
    let content = json!({
        "msgtype": "m.file", "body": "plan.txt", "url": uri,
        "info": { "mimetype": "text/plain", "size": plan.len() },
    });
    let sent = alice.say(room, "m.room.message", &content).await?;
    alice.tell("sends the file plan.txt");
    let found = bob.wait_for("the file", event(room, &sent)).await?;
    let file = bob.download(&text(&found["content"]["url"])).await?;
    let first = String::from_utf8_lossy(&file.body);
    bob.tell(&format!("opens {}: \"{}\"", text(&found["content"]["body"]), first.trim()));
    Ok(())
}

/// A message that the other one receives: answers its event id.
async fn say(
    from: &mut Person,
    to: &mut Person,
    room: &str,
    body: &str,
) -> Result<String, DemoError> {
    let content = json!({ "msgtype": "m.text", "body": body });
    let sent = from.say(room, "m.room.message", &content).await?;
    from.tell(&format!("says: {body}"));
    let found = to.wait_for("the message", event(room, &sent)).await?;
    to.tell(&format!("reads {}: {}", text(&found["sender"]), text(&found["content"]["body"])));
    Ok(sent)
}

/// Finds an event in a room's timeline.
fn event(room: &str, event_id: &str) -> impl Fn(&Value) -> Option<Value> {
    let (room, event_id) = (room.to_owned(), event_id.to_owned());
    move |news| {
        let events = news["rooms"]["join"][&room]["timeline"]["events"].as_array()?;
        events.iter().find(|event| event["event_id"] == *event_id).cloned()
    }
}

/// Finds that somebody joined a room.
fn join_of(room: &str, user: &str) -> impl Fn(&Value) -> Option<()> {
    let (room, user) = (room.to_owned(), user.to_owned());
    move |news| {
        let joined = &news["rooms"]["join"][&room];
        let events = [&joined["timeline"]["events"], &joined["state"]["events"]];
        let mut events = events.into_iter().filter_map(Value::as_array).flatten();
        let fits = |event: &Value| {
            event["type"] == "m.room.member"
                && event["state_key"] == *user
                && event["content"]["membership"] == "join"
        };
        events.any(fits).then_some(())
    }
}

/// Finds something that is not kept, such as who is typing.
fn ephemeral(
    room: &str,
    kind: &'static str,
    fits: impl Fn(&Value) -> bool,
) -> impl Fn(&Value) -> Option<()> {
    let room = room.to_owned();
    move |news| {
        let events = news["rooms"]["join"][&room]["ephemeral"]["events"].as_array()?;
        let found = events.iter().any(|event| event["type"] == kind && fits(&event["content"]));
        found.then_some(())
    }
}
