//! Keys whose byte order is the order of their parts.
//!
//! Numbers are big-endian; a part of variable length that is not the last one is length-prefixed,
//! so that no user-controlled byte ever acts as a separator.

#[cfg(test)]
mod tests;

use bytes::Bytes;
use smallvec::SmallVec;

/// Builds a key part by part. Most keys are short, and are built without asking for memory.
#[derive(Clone, Debug, Default)]
pub struct KeyWriter(SmallVec<[u8; 128]>);

impl KeyWriter {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn u8(mut self, part: u8) -> Self {
        self.0.push(part);
        self
    }

    pub fn u32(mut self, part: u32) -> Self {
        self.0.extend_from_slice(&part.to_be_bytes());
        self
    }

    pub fn u64(mut self, part: u64) -> Self {
        self.0.extend_from_slice(&part.to_be_bytes());
        self
    }

    /// A signed number, ordered as numbers are (negative ones first).
    pub fn i64(self, part: i64) -> Self {
        self.u64((part as u64) ^ (1 << 63))
    }

    /// A part of variable length with others after it: two bytes of length, then the part.
    pub fn part(mut self, part: impl AsRef<[u8]>) -> Self {
        let part = part.as_ref();
        let length = u16::try_from(part.len()).unwrap_or(u16::MAX);
        self.0.extend_from_slice(&length.to_be_bytes());
        self.0.extend_from_slice(part);
        self
    }

    /// A part of fixed length, or the last part of the key.
    pub fn rest(mut self, part: impl AsRef<[u8]>) -> Self {
        self.0.extend_from_slice(part.as_ref());
        self
    }

    pub fn finish(self) -> Bytes {
        Bytes::copy_from_slice(&self.0)
    }
}

/// Takes a key apart in the order in which it was built; `None` when it is too short.
#[derive(Clone, Copy, Debug)]
pub struct KeyReader<'a>(pub &'a [u8]);

impl<'a> KeyReader<'a> {
    pub fn u8(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    pub fn u32(&mut self) -> Option<u32> {
        let (part, rest) = self.0.split_first_chunk::<4>()?;
        self.0 = rest;
        Some(u32::from_be_bytes(*part))
    }

    pub fn u64(&mut self) -> Option<u64> {
        let (part, rest) = self.0.split_first_chunk::<8>()?;
        self.0 = rest;
        Some(u64::from_be_bytes(*part))
    }

    pub fn i64(&mut self) -> Option<i64> {
        Some((self.u64()? ^ (1 << 63)) as i64)
    }

    pub fn part(&mut self) -> Option<&'a [u8]> {
        let (length, rest) = self.0.split_first_chunk::<2>()?;
        let (part, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
        self.0 = rest;
        Some(part)
    }

    pub fn rest(self) -> &'a [u8] {
        self.0
    }
}
