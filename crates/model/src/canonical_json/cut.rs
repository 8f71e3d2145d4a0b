//! Pieces of JSON, cut out of canonical bytes without reading them.

use std::{borrow::Cow, ops::Range};

use bytes::Bytes;
use serde_json::value::RawValue;

/// One value, as it is written in canonical JSON that this homeserver wrote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Json<'a>(&'a str);

/// The members of an object in canonical JSON, in their order: the key as it is written, and the
/// value. For what [`to_bytes`](super::to_bytes) wrote: other text is cut in the wrong places, or ends
/// with an error.
pub struct Members<'a> {
    json: &'a str,
    /// Where `{` or `,` is expected before a member, or `}`; `None` after the end.
    at: Option<usize>,
}

/// The bytes are not an object in canonical JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotCut;

impl<'a> Members<'a> {
    pub fn of(json: &'a str) -> Self {
        Self { json, at: Some(0) }
    }

    /// The member whose key begins at `key`, and where it is over.
    fn cut(&self, key: usize) -> Option<((&'a str, Json<'a>), usize)> {
        let bytes = self.json.as_bytes();
        let key_end = string_end(bytes, key)?;
        let value = (*bytes.get(key_end)? == b':').then_some(key_end + 1)?;
        let end = value_end(bytes, value)?;
        Some(((self.json.get(key + 1..key_end - 1)?, Json(self.json.get(value..end)?)), end))
    }
}

impl<'a> Iterator for Members<'a> {
    type Item = Result<(&'a str, Json<'a>), NotCut>;

    fn next(&mut self) -> Option<Self::Item> {
        let at = self.at.take()?;
        match (self.json.as_bytes().get(at), at) {
            (Some(b'{'), 0) if self.json == "{}" => None,
            (Some(b'}'), 1..) if at + 1 == self.json.len() => None,
            (Some(b'{'), 0) | (Some(b','), 1..) => {
                let cut = self.cut(at + 1);
                self.at = cut.as_ref().map(|(_, end)| *end);
                Some(cut.map(|(member, _)| member).ok_or(NotCut))
            }
            _ => Some(Err(NotCut)),
        }
    }
}

/// An object in canonical JSON in which some members were looked up once.
#[derive(Debug)]
pub struct CutObject<const N: usize> {
    text: Bytes,
    /// Where each value stands in the text.
    places: [Option<Range<u32>>; N],
}

impl<const N: usize> CutObject<N> {
    /// Looks up the members with these keys, which have no escapes.
    pub fn of(text: Bytes, keys: [&str; N]) -> Result<Self, NotCut> {
        let json = std::str::from_utf8(&text).map_err(|_| NotCut)?;
        let mut places = [const { None }; N];
        for member in Members::of(json) {
            let (key, value) = member?;
            if let Some(index) = keys.iter().position(|wanted| *wanted == key) {
                places[index] = Some(value.place(json)?);
            }
        }
        Ok(Self { text, places })
    }

    /// The values, in the order of the keys; `None` where the object has no such member.
    pub fn members(&self) -> [Option<Json<'_>>; N] {
        self.places.each_ref().map(|place| {
            let Range { start, end } = place.clone()?;
            let value = self.text.get(start as usize..end as usize)?;
            std::str::from_utf8(value).ok().map(Json)
        })
    }
}

impl<'a> Json<'a> {
    /// The value's text.
    pub fn get(self) -> &'a str {
        self.0
    }

    /// The string that it is.
    pub fn string(self) -> Option<Cow<'a, str>> {
        let inner = self.0.strip_prefix('"')?.strip_suffix('"')?;
        if inner.contains('\\') {
            return serde_json::from_str(self.0).ok().map(Cow::Owned);
        }
        Some(Cow::Borrowed(inner))
    }

    /// The number that it is, if it is not negative.
    pub fn number(self) -> Option<u64> {
        self.0.parse().ok()
    }

    /// Where in the text, out of which it was cut, the value stands.
    fn place(self, text: &str) -> Result<Range<u32>, NotCut> {
        let start = self.0.as_ptr() as usize - text.as_ptr() as usize;
        let end = start + self.0.len();
        Ok(u32::try_from(start).map_err(|_| NotCut)?..u32::try_from(end).map_err(|_| NotCut)?)
    }

    pub fn to_raw(self) -> Box<RawValue> {
        super::object::into_raw(self.0.to_owned())
    }
}

/// Where the string that begins at `start` is over. Most strings are short: a search that is called
/// takes longer to begin than this one takes to end.
fn string_end(bytes: &[u8], start: usize) -> Option<usize> {
    let mut at = (*bytes.get(start)? == b'"').then_some(start + 1)?;
    loop {
        while let Some(word) = bytes.get(at..at + 8).and_then(|word| word.first_chunk()) {
            let word = u64::from_le_bytes(*word);
            let found = holds(word, b'"') | holds(word, b'\\');
            at += (found.trailing_zeros() / 8) as usize;
            if found != 0 {
                break;
            }
        }
        match bytes.get(at)? {
            b'"' => return Some(at + 1),
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
}

/// The lowest bit that is set says which of the eight bytes is the first one of this value.
fn holds(word: u64, byte: u8) -> u64 {
    const ONES: u64 = u64::from_le_bytes([1; 8]);
    let same = word ^ (ONES * u64::from(byte));
    same.wrapping_sub(ONES) & !same & (ONES << 7)
}

/// Where the value that begins at `start` is over.
fn value_end(bytes: &[u8], start: usize) -> Option<usize> {
    let (mut at, mut depth) = (start, 0_usize);
    loop {
        match *bytes.get(at)? {
            b'"' => at = string_end(bytes, at)?,
            b'{' | b'[' => {
                depth += 1;
                at += 1;
                continue;
            }
            b'}' | b']' if depth > 0 => {
                depth -= 1;
                at += 1;
            }
            // The end of the object, behind a number or a word.
            b',' | b'}' if depth == 0 && at > start => return Some(at),
            b',' | b'}' | b']' if depth == 0 => return None,
            _ => {
                at += 1;
                continue;
            }
        }
        if depth == 0 {
            return Some(at);
        }
    }
}
