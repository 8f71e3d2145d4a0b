//! A homeserver in memory, for the tests of services.

pub mod bare_room;

use std::sync::Arc;

use kv::{HomeserverId, MemoryEngine, Store};
use model::{clock::ManualClock, ids::SeededIds, signing_key::SigningKey};

use crate::{
    Context, Services, Settings,
    accounts::{NewAccount, RegistrationPolicy},
    appservices::Registration,
    identity::CurrentKey,
    log::Log,
    media::MediaSettings,
    passwords::{Cost, Passwords},
    recent::RecentEvents,
    sessions::{Caller, NewSession, OpenSession, TokenLifetimes},
    turn::TurnSettings,
    turns::Writers,
    user_directory::Scope,
};

/// A homeserver `acme.example` on the memory engine, with a clock that the test turns.
pub struct World {
    pub services: Services,
    pub clock: ManualClock,
    pub engine: MemoryEngine,
}

/// The password of everybody in a world.
pub const PASSWORD: &str = "correct horse battery";

impl World {
    pub fn new() -> Self {
        Self::with(RegistrationPolicy::default())
    }

    pub fn with(registration: RegistrationPolicy) -> Self {
        Self::with_appservices(registration, Vec::new())
    }

    pub fn with_appservices(
        registration: RegistrationPolicy,
        appservices: Vec<Registration>,
    ) -> Self {
        let engine = MemoryEngine::new(store::TABLES);
        let store = Store::new(Arc::new(engine.clone()), HomeserverId(1));
        let clock = ManualClock::default();
        let ids = Arc::new(SeededIds::new(7));
        let passwords = Passwords::new(Cost::LEAST, 2, ids.clone()).unwrap();
        let log = Arc::new(Log::open(store.clone()).unwrap());
        let context = Context {
            server_name: "acme.example".try_into().unwrap(),
            signing_key: CurrentKey::new(SigningKey::generate([1; 32]).unwrap()),
            state_salt: [2; 16],
            turns: Writers::default().turns(store.homeserver()),
            recent: RecentEvents::following(&log),
            log,
            store,
            clock: Arc::new(clock.clone()),
            ids,
        };
        let settings = Settings {
            registration,
            token_lifetimes: TokenLifetimes::default(),
            passwords: Arc::new(passwords),
            // Made when a file is uploaded, which no world does.
            media: MediaSettings::in_folder("no-media"),
            turn: TurnSettings::default(),
            user_directory: Scope::Everybody,
            appservices,
        };
        Self { services: Services::new(context, settings), clock, engine }
    }

    /// Registers the user with [`PASSWORD`] and a session.
    pub async fn register(&self, username: &str) -> OpenSession {
        let new = NewAccount {
            username: Some(username.to_owned()),
            password: Some(PASSWORD.to_owned()),
            session: Some(NewSession::default()),
            ..NewAccount::default()
        };
        self.services.accounts.register(new).await.unwrap().session.unwrap()
    }

    /// [`Self::register`], and who asks through that session.
    pub async fn user(&self, username: &str) -> Caller {
        let session = self.register(username).await;
        self.services.sessions.authenticate(&session.access_token).await.unwrap()
    }
}
