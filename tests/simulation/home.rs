//! One homeserver of a run: the real services and the real federation code, on a simulated disk,
//! clock and network. It can crash and come back.

use std::{sync::Arc, time::Duration};

use federation::{Federation, FederationSettings, inbound, transport::Transport};
use kv::{HomeserverId, Store};
use model::{clock::Clock, ids::SeededIds, signing_key::SigningKey};
use rand::{SeedableRng, rngs::StdRng};
use ruma::{OwnedServerName, OwnedUserId, ServerName};
use services::{
    Context, Services, Settings,
    accounts::NewAccount,
    identity::CurrentKey,
    log::{Change, Log},
    media::MediaSettings,
    passwords::{Cost, Passwords},
    recent::RecentEvents,
    turns::Writers,
};
use store::homeserver::{Identity, SigningSeed};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use crate::{clock::SimulatedClock, disk::Disk, wire::Wire};

/// Each disk holds one homeserver.
const HOMESERVER: HomeserverId = HomeserverId(1);
/// How often the log is looked after; see `src/workers/log.rs`.
const CATCH_UP: Duration = Duration::from_secs(5);
/// What is mixed into the seed for a homeserver's random numbers, by its number and its life.
const HOME_SEED: u64 = 0x9e37_79b9_7f4a_7c15;
const LIFE_SEED: u64 = 0xd1b5_4a32_d192_ed03;

/// A homeserver, running or not.
pub struct Home {
    pub number: usize,
    pub name: OwnedServerName,
    pub disk: Disk,
    pub running: Option<Running>,
    /// Whether the others vouch for the keys of those who are away.
    notaries: bool,
    seed: u64,
    lives: u64,
    clock: Arc<dyn Clock>,
}

/// One life of a homeserver.
#[derive(Clone)]
pub struct Running {
    pub federation: Federation,
    pub life: CancellationToken,
}

pub fn name_of(number: usize) -> OwnedServerName {
    ServerName::parse(format!("s{number}.example")).expect("a server name")
}

impl Home {
    pub fn new(number: usize, seed: u64, notaries: bool, (began, skew_ms): (Instant, i64)) -> Self {
        let seed = seed ^ HOME_SEED.wrapping_mul(number as u64 + 1);
        Self {
            number,
            name: name_of(number),
            disk: Disk::new(StdRng::seed_from_u64(seed)),
            running: None,
            notaries,
            seed,
            lives: 0,
            clock: Arc::new(SimulatedClock::new(began, skew_ms)),
        }
    }

    /// Starts the homeserver on whatever its disk holds.
    pub async fn start(&mut self, homes: usize, wire: &Arc<Wire>) {
        self.lives += 1;
        let life = CancellationToken::new();
        let context = self.context(&life);
        if context.store.read(store::homeserver::identity).await.expect("readable").is_none() {
            put_identity(&context).await;
        }
        let passwords = Passwords::new(Cost::LEAST, 1, context.ids.clone()).expect("a legal cost");
        let settings = Settings {
            registration: Default::default(),
            token_lifetimes: Default::default(),
            passwords: Arc::new(passwords),
            media: MediaSettings::in_folder("no-media-in-simulations"),
            turn: Default::default(),
            user_directory: services::user_directory::Scope::Everybody,
            appservices: Vec::new(),
        };
        let transport = Transport::within_process();
        for other in (0..homes).filter(|other| *other != self.number) {
            transport.open(name_of(other), wire.towards(self.number, other, &life));
        }
        let log = context.log.clone();
        let services = Arc::new(Services::new(context, settings));
        let others = (0..homes).filter(|other| self.notaries && *other != self.number);
        let notaries = others.map(name_of).collect();
        let settings = FederationSettings { notaries };
        let federation = Federation::new(services, transport, settings);
        wire.open(self.number, inbound::router_of(federation.clone()), life.clone());
        let sending = federation.clone();
        let alive = life.clone();
        tokio::spawn(async move { alive.run_until_cancelled(sending.run()).await });
        tokio::spawn(life.clone().run_until_cancelled_owned(async move {
            loop {
                log.catch_up().await.expect("the log is readable");
                sleep(CATCH_UP).await;
            }
        }));
        self.running = Some(Running { federation, life });
    }

    /// Power is lost: what was not synced is gone, and so is everybody who was about to answer.
    pub fn crash(&mut self, wire: &Wire) {
        let Some(running) = self.running.take() else { return };
        wire.close(self.number);
        running.life.cancel();
        running.federation.context().log.close();
        self.disk.crash();
    }

    /// Makes an account.
    pub async fn register(&self, localpart: &str) -> OwnedUserId {
        let running = self.running.as_ref().expect("it runs");
        let new = NewAccount { username: Some(localpart.to_owned()), ..NewAccount::default() };
        let accounts = &running.federation.services.accounts;
        accounts.register(new).await.expect("a free name").user_id
    }

    fn context(&self, life: &CancellationToken) -> Context {
        let store = Store::new(self.disk.mounted(life.clone()), HOMESERVER);
        let log = Arc::new(Log::open(store.clone()).expect("the store is readable"));
        let mut key = [0; 32];
        key[..8].copy_from_slice(&self.seed.to_be_bytes());
        Context {
            server_name: self.name.clone(),
            signing_key: CurrentKey::new(SigningKey::from_seed(key, "1").expect("a key")),
            state_salt: [self.number as u8; 16],
            turns: Writers::default().turns(store.homeserver()),
            store,
            recent: RecentEvents::following(&log),
            log,
            clock: self.clock.clone(),
            ids: Arc::new(SeededIds::new(self.seed ^ LIFE_SEED.wrapping_mul(self.lives))),
        }
    }
}

async fn put_identity(context: &Context) {
    let key = context.signing_key.current();
    let identity = Identity {
        server_name: context.server_name.to_string(),
        signing_key: SigningSeed { version: key.version().to_owned(), seed: *key.seed() },
        old_keys: Vec::new(),
        state_salt: context.state_salt,
        created_ms: context.clock.now_ms(),
    };
    let mut batch = context.batch();
    store::homeserver::put_identity(&mut batch, &identity);
    context.log.commit(batch, vec![Change::Nothing]).await.expect("the disk is well");
}
