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
}

#[derive(Debug, thiserror::Error)]
#[error("the text is no token of /sync")]
pub struct BadToken;

/// First letter of a token of this kind; those of timelines have another.
const LETTER: char = 's';

impl fmt::Display for SyncToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{LETTER}{}_{}", self.log, self.typing)
    }
}

impl FromStr for SyncToken {
    type Err = BadToken;

    fn from_str(token: &str) -> Result<Self, BadToken> {
        let numbers = token.strip_prefix(LETTER).and_then(|token| token.split_once('_'));
        let (log, typing) = numbers.ok_or(BadToken)?;
        let number = |text: &str| text.parse().map_err(|_| BadToken);
        Ok(Self { log: number(log)?, typing: number(typing)? })
    }
}
