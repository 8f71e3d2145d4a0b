//! Writing an object out of pieces that are JSON already.

use std::fmt::Write;

use serde::Serialize;
use serde_json::value::RawValue;

use super::{Json, write_string};

/// An object that is being written, member by member.
pub struct RawObject(String);

impl RawObject {
    /// An empty object; `capacity`: about how many bytes it will have.
    pub fn with_capacity(capacity: usize) -> Self {
        Self(String::with_capacity(capacity))
    }

    pub fn put(&mut self, key: &'static str, value: Json<'_>) {
        self.key(key);
        self.0.push_str(value.get());
    }

    pub fn put_string(&mut self, key: &'static str, value: &str) {
        self.key(key);
        write_string(value, &mut self.0);
    }

    /// The members that follow are those of an object inside this one, until [`end`](Self::end).
    pub fn begin(&mut self, key: &'static str) {
        self.key(key);
        self.0.push('{');
    }

    pub fn end(&mut self) {
        self.0.push('}');
    }

    pub fn put_raw(&mut self, key: &'static str, value: &RawValue) {
        self.key(key);
        self.0.push_str(value.get());
    }

    /// A value that cannot fail to become JSON: a struct, or a map with string keys.
    pub fn put_value(&mut self, key: &'static str, value: &impl Serialize) {
        self.key(key);
        let value = serde_json::to_string(value);
        self.0.push_str(
            &value.unwrap_or_else(|error| panic!("a value did not become JSON: {error}")),
        );
    }

    pub fn put_number(&mut self, key: &'static str, number: u64) {
        self.key(key);
        // To write into a string does not fail.
        let _ = write!(self.0, "{number}");
    }

    /// What is written so far, to be gone on with more than once.
    pub fn pause(self) -> BegunObject {
        BegunObject(self.0.into())
    }

    fn close(&mut self) {
        if self.0.is_empty() {
            self.0.push('{');
        }
        self.0.push('}');
    }

    pub fn finish(mut self) -> Box<RawValue> {
        self.close();
        // A copy of the right size costs less than making the buffer fit.
        into_raw(self.0.as_str().to_owned())
    }

    fn key(&mut self, key: &'static str) {
        match self.0.as_bytes().last() {
            None => self.0.push('{'),
            Some(b'{') => {}
            Some(_) => self.0.push(','),
        }
        self.0.push('"');
        self.0.push_str(key);
        self.0.push_str("\":");
    }
}

/// An array that is being written, object by object.
pub struct RawArray(String);

impl RawArray {
    /// An empty array; `capacity`: about how many bytes it will have.
    pub fn with_capacity(capacity: usize) -> Self {
        Self(String::with_capacity(capacity))
    }

    /// An object that begins so, and the members that `rest` adds.
    pub fn push(&mut self, begun: &BegunObject, rest: impl FnOnce(&mut RawObject)) {
        self.0.push(if self.0.is_empty() { '[' } else { ',' });
        self.0.push_str(&begun.0);
        // The object goes on where the array ends.
        let mut object = RawObject(std::mem::take(&mut self.0));
        rest(&mut object);
        object.close();
        self.0 = object.0;
    }

    pub fn finish(mut self) -> Box<RawValue> {
        if self.0.is_empty() {
            self.0.push('[');
        }
        self.0.push(']');
        into_raw(self.0)
    }
}

/// The beginning of an object.
#[derive(Debug)]
pub struct BegunObject(Box<str>);

impl BegunObject {
    /// Goes on with it; `more`: about how many bytes are still to come.
    pub fn resume(&self, more: usize) -> RawObject {
        let mut object = String::with_capacity(self.0.len() + more);
        object.push_str(&self.0);
        RawObject(object)
    }

    pub fn bytes(&self) -> usize {
        self.0.len()
    }
}

/// Text that is one JSON value without space around it. To read it once more would take longer than
/// all else that is done for an event.
#[allow(unsafe_code, reason = "there is no other way to a `RawValue` that does not read it")]
pub(super) fn into_raw(json: String) -> Box<RawValue> {
    // SAFETY: the callers pass what a `Json` holds, or an object that they made of keys without
    // special characters, of what `Json`s hold, and of what serde_json wrote. A `Json` is made by
    // `Members` alone, out of canonical JSON.
    unsafe { RawValue::from_string_unchecked(json) }
}
