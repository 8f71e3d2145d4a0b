//! Where randomness comes from: tokens, device ids, room ids and whatever else must be unguessable
//! or unique. Everything that needs it is given an [`Ids`], so that a test can seed it.

use std::sync::{Arc, Mutex, PoisonError};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use rand::{Rng, SeedableRng, rngs::StdRng};
use ruma::{OwnedDeviceId, OwnedRoomId, ServerName};

#[cfg(test)]
mod tests;

/// Random bytes in a bearer token: twice the 128 bits below which guessing would be thinkable.
const TOKEN_BYTES: usize = 32;
/// Letters of an opaque localpart or id: 18 of 52 letters are 102 bits, for ids that must be unique
/// but guard nothing.
const LETTERS: usize = 18;
/// Letters of a media id: 32 of 52 letters are 182 bits, because knowing one is half of reading it.
const MEDIA_ID_LETTERS: usize = 32;
/// Letters of a device id, as short as clients show them: unique among one user's devices.
const DEVICE_ID_LETTERS: usize = 10;

/// A source of random identifiers. Implementations only provide [`Ids::fill`].
pub trait Ids: Send + Sync {
    /// Fills `bytes` with random bytes of cryptographic quality.
    fn fill(&self, bytes: &mut [u8]);

    /// A bearer secret of 256 bits, in URL-safe base64: access tokens, refresh tokens, login tokens.
    fn token(&self) -> String {
        let mut bytes = [0; TOKEN_BYTES];
        self.fill(&mut bytes);
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// 32 random bytes: the seed of a signing key, a salt.
    fn seed(&self) -> [u8; 32] {
        let mut bytes = [0; 32];
        self.fill(&mut bytes);
        bytes
    }

    /// A number that no other batch of a store will have.
    fn batch_id(&self) -> u128 {
        let mut bytes = [0; 16];
        self.fill(&mut bytes);
        u128::from_be_bytes(bytes)
    }

    /// A random number, for jitter.
    fn number(&self) -> u64 {
        let mut bytes = [0; 8];
        self.fill(&mut bytes);
        u64::from_be_bytes(bytes)
    }

    /// `length` random letters A-Z and a-z.
    fn letters(&self, length: usize) -> String {
        pick(self, b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz", length)
    }

    /// A device id for a login that brought none.
    fn device_id(&self) -> OwnedDeviceId {
        pick(self, b"ABCDEFGHIJKLMNOPQRSTUVWXYZ", DEVICE_ID_LETTERS).into()
    }

    /// A localpart for a user who was registered without a name: lower case, as the grammar wants.
    fn localpart(&self) -> String {
        pick(self, b"abcdefghijklmnopqrstuvwxyz", LETTERS)
    }

    /// The opaque part of an `mxc://` address.
    fn media_id(&self) -> String {
        self.letters(MEDIA_ID_LETTERS)
    }

    /// An opaque id that guards nothing: transaction ids, filter ids, sessions of the user
    /// interactive authentication.
    fn opaque_id(&self) -> String {
        self.letters(LETTERS)
    }

    /// A room id for a room of version 11 or older. From version 12 on the create event's hash is
    /// the room id.
    ///
    /// # Panics
    ///
    /// If the server name is longer than the 230 bytes that the specification allows.
    fn room_id(&self, server: &ServerName) -> OwnedRoomId {
        let id = format!("!{}:{server}", self.letters(LETTERS));
        OwnedRoomId::try_from(id.as_str()).unwrap_or_else(|_| {
            panic!("the server name {server} is too long to be part of a room id")
        })
    }
}

/// Draws letters without bias: a byte past the last whole multiple of the alphabet is thrown away.
fn pick(ids: &(impl Ids + ?Sized), alphabet: &[u8], length: usize) -> String {
    let limit = 256 - 256 % alphabet.len();
    let mut out = String::with_capacity(length);
    let mut bytes = [0; 64];
    while out.len() < length {
        ids.fill(&mut bytes);
        let fitting = bytes.iter().map(|byte| usize::from(*byte)).filter(|byte| *byte < limit);
        out.extend(fitting.map(|byte| char::from(alphabet[byte % alphabet.len()])));
    }
    out.truncate(length);
    out
}

impl<I: Ids + ?Sized> Ids for Arc<I> {
    fn fill(&self, bytes: &mut [u8]) {
        (**self).fill(bytes);
    }
}

/// The thread's cryptographic generator, which the operating system seeds.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemIds;

impl Ids for SystemIds {
    #[expect(clippy::disallowed_methods, reason = "this is the one place that asks the system")]
    fn fill(&self, bytes: &mut [u8]) {
        rand::rng().fill_bytes(bytes);
    }
}

/// The same ids in the same order for the same seed. For tests and simulations only.
#[derive(Debug)]
pub struct SeededIds(Mutex<StdRng>);

impl SeededIds {
    /// A source that always starts the same way.
    pub fn new(seed: u64) -> Self {
        Self(Mutex::new(StdRng::seed_from_u64(seed)))
    }
}

impl Ids for SeededIds {
    fn fill(&self, bytes: &mut [u8]) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).fill_bytes(bytes);
    }
}
