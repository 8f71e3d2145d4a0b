//! The token of a /sync: how far a client has come.
//!
//! A vector, because not everything that /sync tells is in the log. Opaque to clients.

use std::{fmt, str::FromStr};

#[cfg(test)]
mod tests;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SyncToken {
    /// Position in the log.
    pub log: u64,
    /// Serial number of the typing notices.
    pub typing: u64,
    /// Position in the log up to which messages to the device were told.
    pub to_device: u64,
    /// Serial number of changes of presence.
    pub presence: u64,
}

#[derive(Debug, thiserror::Error)]
#[error("the text is no token of /sync")]
pub struct BadToken;

/// First letter of a token of this kind; those of timelines have another.
const LETTER: char = 's';

impl fmt::Display for SyncToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { log, typing, to_device, presence } = self;
        write!(f, "{LETTER}{log}_{typing}_{to_device}_{presence}")
    }
}

impl FromStr for SyncToken {
    type Err = BadToken;

    fn from_str(token: &str) -> Result<Self, BadToken> {
        let numbers = token.strip_prefix(LETTER).ok_or(BadToken)?.split('_');
        let numbers: Result<Vec<u64>, _> = numbers.map(str::parse).collect();
        match numbers.map_err(|_| BadToken)?[..] {
            [log, typing, to_device, presence] => Ok(Self { log, typing, to_device, presence }),
            _ => Err(BadToken),
        }
    }
}
