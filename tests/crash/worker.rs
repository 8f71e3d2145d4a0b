//! One user who does all kinds of things without a pause until the server is gone.

use crate::ledger::{Ledger, Once};
use harness::{Account, Answer, Call, Lost, View};
use rand::{RngExt, rngs::StdRng};
use reqwest::Method;
use serde_json::{Value, json};
use std::time::Duration;
use tokio::sync::watch;

/// The type of the worker's state; the key is the worker's user id.
pub const STATE: &str = "org.example.counter";
/// The type of its to-device messages.
pub const NOTE: &str = "org.example.note";

const PACE: Duration = Duration::from_millis(20);

/// A user with what the client believes.
#[derive(Clone, Debug)]
pub struct Worker {
    pub account: Account,
    pub view: View,
}

/// Where a worker works in one round.
#[derive(Clone, Debug)]
pub struct Place {
    /// Everybody is in it.
    pub room: String,
    /// Everybody comes and goes here.
    pub club: String,
    /// Who gets the to-device messages: user and device.
    pub to: (String, String),
}

impl Place {
    /// The type of the account data that is written while people work here.
    pub fn account_data(&self) -> String {
        format!("org.example.counter.{}", self.room)
    }
}

impl Worker {
    /// Works until there is no answer, and returns its books.
    pub async fn work(&mut self, place: Place, mut rng: StdRng) -> Ledger {
        let mut ledger = Ledger { room: place.room.clone(), ..Ledger::default() };
        for round in 0_u64.. {
            let done = match rng.random_range(0..100) {
                0..45 => self.say(&place, &mut ledger, &mut rng).await,
                45..55 => self.set_state(&place, &mut ledger, round).await,
                55..65 => self.set_account_data(&place, &mut ledger, round).await,
                65..73 => self.read(&place, &mut ledger).await,
                73..80 => self.come_or_go(&place, &mut ledger, rng.random_bool(0.5)).await,
                80..87 => self.note(&place, &mut ledger, &mut rng).await,
                87..90 => self.upload(&mut ledger, &mut rng).await,
                _ => self.account.try_sync(&mut self.view, false).await,
            };
            if done.is_err() {
                break;
            }
        }
        ledger
    }

    /// Talks until it is told to stop, and returns its books.
    pub async fn talk(
        &self,
        place: Place,
        mut rng: StdRng,
        mut stopped: watch::Receiver<bool>,
    ) -> Ledger {
        let mut ledger = Ledger { room: place.room.clone(), ..Ledger::default() };
        // As fast as people write who are excited.
        while tokio::time::timeout(PACE, stopped.wait_for(|stopped| *stopped)).await.is_err() {
            let said = self.say(&place, &mut ledger, &mut rng).await;
            said.unwrap_or_else(|Lost(why)| panic!("the partner's server is up: {why}"));
        }
        ledger
    }

    /// Asks for a message, for the first time or again, and returns the event's id.
    pub async fn ask_to_say(&self, at: &Place, once: &Once) -> Result<String, Lost> {
        let content = json!({ "msgtype": "m.text", "body": once.mark });
        let path = ["rooms", &at.room, "send", "m.room.message", &once.transaction];
        let answer = succeed(self.account.put(&path, &content)).await?;
        Ok(answer["event_id"].as_str().expect("an event id").into())
    }

    /// Asks for a to-device message, for the first time or again.
    pub async fn ask_to_note(&self, at: &Place, once: &Once) -> Result<(), Lost> {
        let (user, device) = (at.to.0.as_str(), at.to.1.as_str());
        let body = json!({ "messages": { user: { device: { "mark": once.mark } } } });
        let call = self.account.put(&["sendToDevice", NOTE, &once.transaction], &body);
        succeed(call).await.map(|_| ())
    }

    fn once(&self, rng: &mut StdRng) -> Once {
        let transaction = self.account.next_transaction();
        let mark = format!("{} {transaction} {}", self.account.user_id, rng.random::<u64>());
        Once { transaction, mark, answer: None }
    }

    async fn say(&self, at: &Place, ledger: &mut Ledger, rng: &mut StdRng) -> Result<(), Lost> {
        let once = self.once(rng);
        ledger.messages.push(once.clone());
        let answer = self.ask_to_say(at, &once).await?;
        ledger.messages.last_mut().expect("it was just put there").answer = Some(answer);
        Ok(())
    }

    async fn note(&self, at: &Place, ledger: &mut Ledger, rng: &mut StdRng) -> Result<(), Lost> {
        let once = self.once(rng);
        ledger.notes.push(once.clone());
        self.ask_to_note(at, &once).await?;
        ledger.notes.last_mut().expect("it was just put there").answer = Some(String::new());
        Ok(())
    }

    async fn set_state(&self, at: &Place, ledger: &mut Ledger, value: u64) -> Result<(), Lost> {
        ledger.state.attempt(value);
        let path = ["rooms", &at.room, "state", STATE, &self.account.user_id];
        succeed(self.account.put(&path, &json!({ "value": value }))).await?;
        ledger.state.done();
        Ok(())
    }

    async fn set_account_data(&self, at: &Place, books: &mut Ledger, to: u64) -> Result<(), Lost> {
        books.account_data.attempt(to);
        let kind = at.account_data();
        let path = ["user", &self.account.user_id, "account_data", &kind];
        succeed(self.account.put(&path, &json!({ "value": to }))).await?;
        books.account_data.done();
        Ok(())
    }

    async fn read(&self, at: &Place, ledger: &mut Ledger) -> Result<(), Lost> {
        let newest = ledger.messages.iter().rev().find_map(|once| once.answer.clone());
        let Some(event) = newest else { return Ok(()) };
        ledger.receipt.attempt(event.clone());
        let path = ["rooms", &at.room, "receipt", "m.read", &event];
        succeed(self.account.post(&path, &json!({}))).await?;
        ledger.receipt.done();
        Ok(())
    }

    async fn come_or_go(&self, at: &Place, books: &mut Ledger, come: bool) -> Result<(), Lost> {
        let (verb, membership) = if come { ("join", "join") } else { ("leave", "leave") };
        books.membership.attempt(membership.into());
        let call = self.account.post(&["rooms", &at.club, verb], &json!({}));
        let answer = call.attempt().await?;
        // Whoever never was in the room cannot leave it: that changes nothing.
        if answer.status.is_success() {
            books.membership.done();
        } else {
            assert!(!come && answer.status.is_client_error(), "{answer}");
        }
        Ok(())
    }

    async fn upload(&self, ledger: &mut Ledger, rng: &mut StdRng) -> Result<(), Lost> {
        let length = rng.random_range(1..20_000);
        let content = (0..length).map(|_| rng.random::<u8>()).collect::<Vec<_>>();
        let path = ["_matrix", "media", "v3", "upload"];
        let call = self.account.call_at(Method::POST, &path);
        let answer = succeed(call.bytes("application/octet-stream", content.clone())).await?;
        ledger.files.push((content, answer["content_uri"].as_str().expect("a URI").into()));
        Ok(())
    }
}

/// The answer, which must be a good one if there is one.
async fn succeed(call: Call) -> Result<Value, Lost> {
    call.attempt().await.map(Answer::ok)
}
