//! The token that /sync hands out: up to where the reader has seen everything.
//!
//! It is opaque to clients. It holds a list of positions, today two, so that a homeserver of several
//! shards can put one for each into it; the first byte says how to read the rest.

use std::{fmt, str::FromStr};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};

#[cfg(test)]
mod tests;

/// Up to where a reader has seen everything.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct SyncToken {
    /// The position in the homeserver's log.
    pub log: u64,
    /// The serial of what is not in the log: typing, presence. Starts anew with the process.
    pub ephemeral: u64,
}

/// A text that is no token of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a sync token")]
pub struct NotASyncToken;

/// Every token of /sync begins with it, and no other token does.
const LETTER: char = 's';
/// Two positions: log, ephemeral.
const VERSION: u8 = 1;
/// The longest token worth looking at.
const LENGTH_MAX: usize = 64;

impl fmt::Display for SyncToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut bytes = vec![VERSION];
        put(self.log, &mut bytes);
        put(self.ephemeral, &mut bytes);
        write!(f, "{LETTER}{}", URL_SAFE_NO_PAD.encode(bytes))
    }
}

impl FromStr for SyncToken {
    type Err = NotASyncToken;

    fn from_str(token: &str) -> Result<Self, NotASyncToken> {
        let encoded = token.strip_prefix(LETTER).ok_or(NotASyncToken)?;
        if encoded.len() > LENGTH_MAX {
            return Err(NotASyncToken);
        }
        let bytes = URL_SAFE_NO_PAD.decode(encoded).map_err(|_| NotASyncToken)?;
        let Some((&VERSION, mut rest)) = bytes.split_first() else { return Err(NotASyncToken) };
        let log = take(&mut rest).ok_or(NotASyncToken)?;
        let ephemeral = take(&mut rest).ok_or(NotASyncToken)?;
        if rest.is_empty() { Ok(Self { log, ephemeral }) } else { Err(NotASyncToken) }
    }
}

/// Writes a position: seven bits per byte, the lowest first.
fn put(mut position: u64, out: &mut Vec<u8>) {
    while position >= 0x80 {
        out.push(position as u8 | 0x80);
        position >>= 7;
    }
    out.push(position as u8);
}

fn take(bytes: &mut &[u8]) -> Option<u64> {
    let mut position = 0_u64;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        let bits = u64::from(byte & 0x7f);
        if bits.checked_shl(shift)? >> shift != bits {
            return None;
        }
        position |= bits << shift;
        if *byte < 0x80 {
            return Some(position);
        }
    }
    None
}
