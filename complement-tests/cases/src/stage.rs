//! What a case has to play with: companies of its own, and peers that it leads by the hand.

use crate::{
    case::{Failure, caught},
    peer::Peer,
    tap::Wire,
    theatre::Theatre,
};
use harness::{Account, Call, Http, Options, Server};
use reqwest::Method;
use std::{
    future::Future,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

/// The stage of one case.
#[derive(Clone)]
pub struct Stage {
    theatre: Arc<Theatre>,
    wire: Arc<Wire>,
    companies: Arc<AtomicUsize>,
    failures: Arc<Mutex<Vec<Failure>>>,
}

/// A homeserver of the case. On Kontor nobody else is on it; elsewhere only its users are fresh.
#[derive(Clone, Debug)]
pub struct Company {
    /// Its server name.
    pub name: String,
    /// Makes localparts differ from those of other cases, where homeservers are shared.
    suffix: String,
    http: Http,
}

impl Company {
    /// A homeserver that stands for itself, outside of any case.
    pub fn at(name: &str, http: Http) -> Self {
        Self { name: name.into(), suffix: String::new(), http }
    }
}

impl Stage {
    /// A stage for one case, with somebody on its wires.
    pub fn new(theatre: Arc<Theatre>, wire: Arc<Wire>) -> Self {
        Self { theatre, wire, companies: Arc::default(), failures: Arc::default() }
    }

    /// A fresh company.
    pub async fn company(&self) -> Company {
        let nth = self.companies.fetch_add(1, Ordering::Relaxed);
        let (name, base, suffix) = self.theatre.company(nth).await;
        let http = self.theatre.http().to(&base, &name).tapped(self.wire.clone());
        Company { name, suffix, http }
    }

    /// Some fresh companies.
    pub async fn companies<const N: usize>(&self) -> [Company; N] {
        let mut companies = Vec::new();
        for _ in 0..N {
            companies.push(self.company().await);
        }
        companies.try_into().expect("as many as were made")
    }

    /// A person of a fresh company.
    pub async fn person(&self) -> Account {
        self.company().await.person("alice").await
    }

    /// Two people of one fresh company.
    pub async fn colleagues(&self) -> (Account, Account) {
        let company = self.company().await;
        (company.person("alice").await, company.person("bob").await)
    }

    /// Two people of two fresh companies.
    pub async fn partners(&self) -> (Account, Account) {
        let [here, there] = self.companies().await;
        (here.person("alice").await, there.person("bob").await)
    }

    /// A homeserver that does what the case wants, right or wrong.
    pub async fn peer(&self) -> Peer {
        Peer::start(self.theatre.http().clone(), self.theatre.authority(), self.wire.clone()).await
    }

    /// A process of the server under test for this case alone.
    pub async fn process(&self) -> Server {
        self.theatre.another_process().await
    }

    /// The same with something else than usual.
    pub async fn process_with(&self, options: Options) -> Server {
        self.theatre.another_process_with(options).await
    }

    /// A way to a homeserver of a process of this case.
    pub fn company_of(&self, server: &Server, name: &str) -> Company {
        let http = self.theatre.http().to(&server.base(), name).tapped(self.wire.clone());
        Company { name: name.into(), suffix: String::new(), http }
    }

    /// Plays one row of the case; if it fails, the others are played all the same.
    pub async fn row(&self, name: &str, part: impl Future<Output = ()>) {
        if let Err(why) = caught(part).await {
            let failure = Failure { row: Some(name.into()), why };
            self.failures.lock().unwrap_or_else(PoisonError::into_inner).push(failure);
        }
    }

    /// The rows that failed so far.
    pub fn failures(&self) -> Vec<Failure> {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Company {
    /// Registers a person.
    pub async fn person(&self, name: &str) -> Account {
        Account::register(self.http.clone(), &self.localpart(name)).await
    }

    /// A localpart for the name that nobody has.
    pub fn localpart(&self, name: &str) -> String {
        format!("{name}{}", self.suffix)
    }

    /// The user id that goes with a localpart.
    pub fn user_id(&self, localpart: &str) -> String {
        format!("@{localpart}:{}", self.name)
    }

    /// A request of nobody in particular.
    pub fn call(&self, method: Method, path: &[&str]) -> Call {
        self.http.call(method, path)
    }

    /// `GET` below `/_matrix/client/v3` without a token.
    pub fn get(&self, path: &[&str]) -> Call {
        self.call(Method::GET, &[&["_matrix", "client", "v3"], path].concat())
    }

    /// `POST` below `/_matrix/client/v3` without a token.
    pub fn post(&self, path: &[&str], body: &serde_json::Value) -> Call {
        self.call(Method::POST, &[&["_matrix", "client", "v3"], path].concat()).json(body)
    }

    /// Whoever an answer to /login or /register names.
    pub fn logged_in(&self, answer: &serde_json::Value) -> Account {
        Account::from_login(self.http.clone(), answer)
    }
}
