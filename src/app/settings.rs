//! What the operator decided, as the surfaces use it.

use std::net::IpAddr;

use model::room_version::RoomVersion;
use ruma::OwnedUserId;
use services::sessions::Caller;
use web::{RateLimit, limits::limited_address};

use crate::config::{Config, RateLimitsConfig};

/// The same for all homeservers of the process.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) default_room_version: RoomVersion,
    pub(crate) unauthenticated_media: bool,
    pub(crate) federation: bool,
}

impl Settings {
    pub(super) fn new(config: &Config) -> Self {
        let version = config.rooms.default_version.as_str();
        Self {
            default_room_version: version.parse().unwrap_or(RoomVersion::V12),
            unauthenticated_media: config.media.unauthenticated,
            federation: config.federation.enabled,
        }
    }
}

/// How often somebody may do something, over all homeservers of the process.
pub(crate) struct Limits {
    enabled: bool,
    login: RateLimit<IpAddr>,
    registration: RateLimit<IpAddr>,
    message: RateLimit<OwnedUserId>,
    join: RateLimit<OwnedUserId>,
    invite: RateLimit<OwnedUserId>,
    upload: RateLimit<OwnedUserId>,
    federation: RateLimit<IpAddr>,
}

/// What one user's limits are for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Act {
    Message,
    Join,
    Invite,
    Upload,
}

impl Limits {
    pub(super) fn new(config: &RateLimitsConfig) -> Self {
        Self {
            enabled: config.enabled,
            login: RateLimit::new(config.login),
            registration: RateLimit::new(config.registration),
            message: RateLimit::new(config.message),
            join: RateLimit::new(config.join),
            invite: RateLimit::new(config.invite),
            upload: RateLimit::new(config.upload),
            federation: RateLimit::new(config.federation),
        }
    }

    /// Counts a try to log in from this address.
    pub(crate) fn login(&self, address: IpAddr) -> Result<(), web::Error> {
        self.check(&self.login, &limited_address(address))
    }

    /// Counts a try to register from this address.
    pub(crate) fn registration(&self, address: IpAddr) -> Result<(), web::Error> {
        self.check(&self.registration, &limited_address(address))
    }

    /// Counts a request of another server.
    pub(crate) fn federation(&self, address: IpAddr) -> Result<(), web::Error> {
        self.check(&self.federation, &limited_address(address))
    }

    /// Counts something that a user does.
    pub(crate) fn act(&self, caller: &Caller, act: Act) -> Result<(), web::Error> {
        if caller.unlimited {
            return Ok(());
        }
        let limit = match act {
            Act::Message => &self.message,
            Act::Join => &self.join,
            Act::Invite => &self.invite,
            Act::Upload => &self.upload,
        };
        self.check(limit, &caller.user_id)
    }

    fn check<K: std::hash::Hash + Eq + Clone>(
        &self,
        limit: &RateLimit<K>,
        key: &K,
    ) -> Result<(), web::Error> {
        if self.enabled { limit.check(key) } else { Ok(()) }
    }
}
