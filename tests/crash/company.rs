//! The people of a company whose server dies again and again, and its partner's.

use crate::{
    fate::Fate,
    ledger::Ledger,
    worker::{Place, Worker},
};
use harness::{Account, Authority, Kind, Options, Server, View};
use serde_json::json;
use std::sync::Arc;

const WORKERS: usize = 4;

/// The people outlive every crash, with their tokens and views.
#[derive(Debug)]
pub struct Company {
    /// The server that dies.
    pub server: Server,
    /// Another company's server, which stays up.
    _partners: Server,
    pub workers: Vec<Worker>,
    /// Gets all to-device messages.
    pub sink: Worker,
    /// Talks to them from the other server.
    pub partner: Worker,
    /// Where the workers work this time.
    pub place: Place,
    /// The books of all rounds so far.
    pub archive: Vec<Ledger>,
}

impl Company {
    /// Starts both servers and registers everybody.
    pub async fn found(fate: &Fate, environment: Vec<(String, String)>) -> Self {
        let kind = || Kind::under_test(env!("CARGO_BIN_EXE_kontor"));
        let authority = Arc::new(Authority::new());
        let environment = environment.into_iter().chain(fate.environment()).collect();
        let options = Options { environment, ..Options::default() };
        let server = Server::started(kind(), &authority, options).await;
        let partners = Server::started(kind(), &authority, Options::default()).await;
        let worker = |account: Account| Worker { account, view: View::default() };
        let sink = worker(server.register("sink").await);
        let partner = worker(partners.register("partner").await);
        let mut workers = Vec::new();
        for number in 0..WORKERS {
            workers.push(worker(server.register(&format!("worker{number}")).await));
        }
        let to = (sink.account.user_id.clone(), sink.account.device_id.clone());
        let place = Place { room: String::new(), club: String::new(), to };
        Self { server, _partners: partners, workers, sink, partner, place, archive: Vec::new() }
    }

    /// New rooms, so that a round is checked by what happened in it.
    pub async fn move_on(&mut self) {
        let public = json!({ "preset": "public_chat", "power_level_content_override": {
            "events": { crate::worker::STATE: 0 },
        } });
        self.place.room = self.sink.account.create_room(&public).await;
        self.place.club = self.sink.account.create_room(&public).await;
        for worker in &self.workers {
            worker.account.join(&self.place.room, &[]).await;
        }
        self.partner.account.join(&self.place.room, &[self.server.name()]).await;
    }
}
