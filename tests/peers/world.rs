//! One Kontor and one Synapse that trust each other, shared by the tests that run at once.

use harness::{Account, Authority, Kind, Options, Server};
use serde_json::json;
use std::sync::{
    Arc, Weak,
    atomic::{AtomicUsize, Ordering},
};
use tokio::sync::Mutex;

/// Room versions that both sides write.
pub const ROOM_VERSIONS: [&str; 3] = ["10", "11", "12"];

/// Both servers, running.
#[derive(Debug)]
pub struct World {
    pub kontor: Server,
    pub synapse: Server,
    people: AtomicUsize,
}

/// A room's host and a guest of another company.
pub struct Pair {
    pub host: Account,
    pub guest: Account,
    pub host_server: String,
}

impl World {
    /// Starts a pair of servers for one test alone.
    pub async fn new() -> Self {
        let authority = Arc::new(Authority::new());
        let options = Options { linked: true, ..Options::default() };
        let kind = Kind::under_test(env!("CARGO_BIN_EXE_kontor"));
        let (kontor, synapse) = tokio::join!(
            Server::started(kind, &authority, options.clone()),
            Server::started(Kind::Synapse, &authority, options),
        );
        Self { kontor, synapse, people: AtomicUsize::default() }
    }

    /// The pair of servers that is running, or a new one; it ends with its last user.
    pub async fn shared() -> Arc<Self> {
        static SHARED: Mutex<Weak<World>> = Mutex::const_new(Weak::new());
        let mut shared = SHARED.lock().await;
        if let Some(world) = shared.upgrade() {
            return world;
        }
        let world = Arc::new(Self::new().await);
        *shared = Arc::downgrade(&world);
        world
    }

    /// New people: the host on Kontor and the guest on Synapse, and the other way about.
    pub async fn pairs(&self) -> [Pair; 2] {
        [self.pair(&self.kontor, &self.synapse).await, self.pair(&self.synapse, &self.kontor).await]
    }

    async fn pair(&self, host: &Server, guest: &Server) -> Pair {
        Pair {
            host_server: host.name().to_owned(),
            host: host.register(&self.new_name("host")).await,
            guest: guest.register(&self.new_name("guest")).await,
        }
    }

    /// A localpart that nobody has yet.
    pub fn new_name(&self, role: &str) -> String {
        format!("{role}{}", self.people.fetch_add(1, Ordering::Relaxed))
    }
}

impl Pair {
    /// A private room of the host to which the guest was invited and came.
    pub async fn room(&self, version: &str) -> String {
        let options = json!({
            "preset": "private_chat",
            "room_version": version,
            "invite": [self.guest.user_id],
        });
        let room = self.host.create_room(&options).await;
        self.guest.join(&room, &[]).await;
        room
    }
}
