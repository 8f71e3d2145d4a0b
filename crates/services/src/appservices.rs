//! Appservices: programs that bring users of their own, and act for them.
//!
//! An appservice proves who it is by the token of its registration. Whom it may act for and what
//! nobody else may take is said by its namespaces.
//!
//! <https://spec.matrix.org/v1.19/application-service-api/>

use std::{fmt, sync::Arc};

use model::namespaces::{self, Namespaces};
use ruma::{OwnedUserId, RoomAliasId, UserId};
use store::tokens::{self, TokenHash};

mod acting;
#[cfg(test)]
mod tests;

pub use self::acting::{ActError, Actors, Role};

/// What an operator registers.
#[derive(Clone)]
pub struct Registration {
    pub id: String,
    /// What it proves itself with to us.
    pub as_token: String,
    /// The localpart of its own user.
    pub sender: String,
    pub namespaces: Namespaces,
    /// Whether its users, other than its own one, are held to the rate limits.
    pub rate_limited: bool,
}

/// One of a homeserver's appservices.
pub struct Appservice {
    id: String,
    token: TokenHash,
    /// The appservice's own user.
    sender: OwnedUserId,
    namespaces: Namespaces,
    rate_limited: bool,
}

/// All appservices of a homeserver. Cheap to clone.
#[derive(Clone)]
pub struct Appservices(Arc<[Arc<Appservice>]>);

impl Appservices {
    /// `user_id` makes a local user's id of a localpart.
    pub fn new(registrations: Vec<Registration>, user_id: impl Fn(&str) -> OwnedUserId) -> Self {
        let appservice = |registration: Registration| {
            Arc::new(Appservice {
                token: tokens::hash(&registration.as_token),
                sender: user_id(&registration.sender),
                id: registration.id,
                namespaces: registration.namespaces,
                rate_limited: registration.rate_limited,
            })
        };
        Self(registrations.into_iter().map(appservice).collect())
    }

    /// Whose token it is. Compared by its hash, so that the time tells nothing of the token.
    pub fn with_token(&self, token: &str) -> Option<Arc<Appservice>> {
        if self.0.is_empty() {
            return None;
        }
        let hash = tokens::hash(token);
        self.0.iter().find(|appservice| appservice.token == hash).cloned()
    }

    /// Whether nobody but an appservice may make this user; `but` is one that asks itself.
    pub fn reserve_user(&self, user: &UserId, but: Option<&Appservice>) -> bool {
        self.others(but).any(|other| {
            other.sender == *user || namespaces::reserve(&other.namespaces.users, user.as_str())
        })
    }

    /// Whether nobody but an appservice may make this alias; `but` is one that asks itself.
    pub fn reserve_alias(&self, alias: &RoomAliasId, but: Option<&Appservice>) -> bool {
        let reserved = |other: &Arc<Appservice>| {
            namespaces::reserve(&other.namespaces.aliases, alias.as_str())
        };
        self.others(but).any(reserved)
    }

    fn others<'a>(
        &'a self,
        but: Option<&'a Appservice>,
    ) -> impl Iterator<Item = &'a Arc<Appservice>> {
        self.0.iter().filter(move |other| but.is_none_or(|but| ***other != *but))
    }
}

impl Appservice {
    /// Whether it may make this user and act for it.
    pub fn covers_user(&self, user: &UserId) -> bool {
        self.sender == *user || namespaces::cover(&self.namespaces.users, user.as_str())
    }

    pub fn covers_alias(&self, alias: &RoomAliasId) -> bool {
        namespaces::cover(&self.namespaces.aliases, alias.as_str())
    }
}

/// Ids are unique on a homeserver.
impl PartialEq for Appservice {
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id
    }
}

impl Eq for Appservice {}

impl fmt::Debug for Appservice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Appservice").field("id", &self.id).finish_non_exhaustive()
    }
}

impl fmt::Debug for Registration {
    /// Without the token, so that no log shows it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registration").field("id", &self.id).finish_non_exhaustive()
    }
}
