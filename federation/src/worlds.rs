//! Homeservers for tests: in memory, on a clock that stands still, federating within the process.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{
    Json, Router,
    extract::{Path, State},
    routing::put,
};
use kv::{HomeserverId, Store};
use model::{
    clock::ManualClock,
    ids::{Ids, SeededIds},
    signing_key::SigningKey,
};
use ruma::{OwnedServerName, ServerName};
use serde_json::{Value, json};
use services::{
    Context, Services, Settings,
    identity::CurrentKey,
    log::Log,
    passwords::{Cost, Passwords},
    recent::RecentEvents,
    turns::Writers,
};
use store::homeserver::{Identity, SigningSeed};
use tokio::sync::watch;

use crate::{Federation, FederationSettings, inbound, transport::Transport};

/// Homeservers that know each other.
pub(crate) struct World {
    pub(crate) clock: ManualClock,
    pub(crate) transport: Arc<Transport>,
    pub(crate) engine: Arc<kv::MemoryEngine>,
    /// Where the homeservers' files are.
    media: tempfile::TempDir,
    homes: u8,
}

impl World {
    pub(crate) fn new() -> Self {
        Self {
            clock: ManualClock::default(),
            transport: Transport::within_process(),
            engine: Arc::new(kv::MemoryEngine::new(store::TABLES)),
            media: tempfile::tempdir().unwrap(),
            homes: 0,
        }
    }

    /// A new homeserver that the others can reach.
    pub(crate) async fn home(&mut self, name: &str) -> Federation {
        self.home_with(name, FederationSettings::default()).await
    }

    pub(crate) async fn home_with(
        &mut self,
        name: &str,
        settings: FederationSettings,
    ) -> Federation {
        self.homes += 1;
        let federation = self.open(name, u32::from(self.homes), [self.homes; 32], settings).await;
        self.connect(&federation);
        federation
    }

    /// Lets the others reach the homeserver.
    pub(crate) fn connect(&self, home: &Federation) {
        self.transport.open(home.context().server_name.clone(), inbound::router_of(home.clone()));
    }

    /// Opens a homeserver, maybe one that was open before.
    pub(crate) async fn open(
        &self,
        name: &str,
        id: u32,
        seed: [u8; 32],
        federation: FederationSettings,
    ) -> Federation {
        let store = Store::new(self.engine.clone(), HomeserverId(id));
        let log = Arc::new(Log::open(store.clone()).unwrap());
        let known = store.read(store::homeserver::identity).await.unwrap();
        let signing_key = match &known {
            Some(known) => {
                let key = &known.signing_key;
                SigningKey::from_seed(key.seed, &key.version).unwrap()
            }
            None => SigningKey::from_seed(seed, "1").unwrap(),
        };
        let context = Context {
            server_name: server(name),
            signing_key: CurrentKey::new(signing_key),
            state_salt: [0; 16],
            turns: Writers::default().turns(store.homeserver()),
            store,
            recent: RecentEvents::following(&log),
            log,
            clock: Arc::new(self.clock.clone()),
            ids: Arc::new(SeededIds::new(id.into())),
        };
        if known.is_none() {
            put_identity(&context).await;
        }
        let passwords = Passwords::new(Cost::LEAST, 1, context.ids.clone()).unwrap();
        let settings = Settings {
            registration: Default::default(),
            token_lifetimes: Default::default(),
            passwords: Arc::new(passwords),
            media: services::media::MediaSettings::in_folder(self.media.path().join(name)),
            turn: Default::default(),
            user_directory: services::user_directory::Scope::Everybody,
            appservices: Vec::new(),
        };
        let services = Arc::new(Services::new(context, settings));
        Federation::new(services, self.transport.clone(), federation)
    }
}

async fn put_identity(context: &Context) {
    let identity = Identity {
        server_name: context.server_name.to_string(),
        signing_key: SigningSeed {
            version: context.signing_key.current().version().to_owned(),
            seed: *context.signing_key.current().seed(),
        },
        old_keys: Vec::new(),
        state_salt: context.state_salt,
        created_ms: context.clock.now_ms(),
    };
    let mut batch = context.batch();
    store::homeserver::put_identity(&mut batch, &identity);
    context.log.commit(batch, vec![services::log::Change::Nothing]).await.unwrap();
}

pub(crate) fn server(name: &str) -> OwnedServerName {
    ServerName::parse(name).unwrap()
}

/// Random numbers that are always the same.
pub(crate) fn ids() -> Arc<dyn Ids> {
    Arc::new(SeededIds::new(1))
}

/// A server that only takes transactions, and answers them as the test wishes.
#[derive(Clone, Default)]
pub(crate) struct Receiver {
    taken: Arc<watch::Sender<Vec<(String, Value)>>>,
    refuse: Arc<Mutex<Option<Refuse>>>,
}

type Refuse = Box<dyn Fn(&Value) -> Option<http::StatusCode> + Send>;

impl Receiver {
    pub(crate) fn router(&self) -> Router {
        Router::new()
            .route("/_matrix/federation/v1/send/{transaction}", put(take))
            .with_state(self.clone())
    }

    /// Decides which transactions are refused, and with what.
    pub(crate) fn refuse(
        &self,
        refuse: impl Fn(&Value) -> Option<http::StatusCode> + Send + 'static,
    ) {
        *self.refuse.lock().unwrap() = Some(Box::new(refuse));
    }

    /// The transactions that arrived, refused ones left out.
    pub(crate) fn taken(&self) -> Vec<(String, Value)> {
        self.taken.borrow().clone()
    }

    /// Waits until so many events have arrived, and answers their bodies.
    pub(crate) async fn bodies_of(&self, count: usize) -> Vec<String> {
        let mut taken = self.taken.subscribe();
        let enough = taken.wait_for(|_| self.bodies().len() >= count);
        let in_time = tokio::time::timeout(Duration::from_secs(20), enough).await;
        assert!(in_time.is_ok(), "only these arrived: {:?}", self.bodies());
        drop(in_time);
        self.bodies()
    }

    /// The bodies of the events that arrived, in order.
    pub(crate) fn bodies(&self) -> Vec<String> {
        let taken = self.taken();
        let pdus = taken.iter().flat_map(|(_, body)| body["pdus"].as_array().unwrap().clone());
        pdus.map(|pdu| pdu["content"]["body"].as_str().unwrap_or_default().to_owned()).collect()
    }
}

async fn take(
    State(receiver): State<Receiver>,
    Path(transaction): Path<String>,
    Json(body): Json<Value>,
) -> (http::StatusCode, Json<Value>) {
    let refused = receiver.refuse.lock().unwrap().as_ref().and_then(|refuse| refuse(&body));
    if let Some(status) = refused {
        return (status, Json(json!({ "errcode": "M_UNKNOWN", "error": "no" })));
    }
    receiver.taken.send_modify(|taken| taken.push((transaction, body)));
    (http::StatusCode::OK, Json(json!({ "pdus": {} })))
}

/// Waits until it is so.
pub(crate) async fn eventually(mut it_is_so: impl FnMut() -> bool) {
    let waiting = async {
        while !it_is_so() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), waiting).await.expect("it never became so");
}

/// Waits until it is so, where it takes a question to know.
pub(crate) async fn eventually_async(mut it_is_so: impl AsyncFnMut() -> bool) {
    let waiting = async {
        while !it_is_so().await {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), waiting).await.expect("it never became so");
}
