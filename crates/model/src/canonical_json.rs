//! Canonical JSON: the one byte form in which every homeserver hashes and signs an object.
//! Specification: <https://spec.matrix.org/v1.19/appendices/#canonical-json>.
//!
//! Of a key that occurs twice the last value counts. The specification leaves this open; refusing
//! would split a room from the servers that accept (Synapse, and every server on ruma, keep the last
//! one), and hashes and signatures are computed over the parsed object, so all that keep the last
//! one agree on the event's id.

use ruma::{CanonicalJsonObject, CanonicalJsonValue};
use serde_json::value::RawValue;

mod cut;
mod object;
#[cfg(test)]
mod tests;

pub use cut::{CutObject, Json, Members, NotCut};
pub use object::{BegunObject, RawArray, RawObject};

/// Why some bytes are not an object in the JSON that Matrix hashes and signs: broken syntax, a
/// float, an integer beyond 2^53 - 1, too deep nesting, or something that is not an object.
#[derive(Debug, thiserror::Error)]
#[error("not a canonical JSON object: {0}")]
pub struct NotCanonical(#[from] serde_json::Error);

/// Reads an object, in whatever order and spacing it comes, and refuses what canonical JSON forbids.
pub fn parse(json: &[u8]) -> Result<CanonicalJsonObject, NotCanonical> {
    Ok(serde_json::from_slice(json)?)
}

/// The canonical bytes of an object.
pub fn to_bytes(object: &CanonicalJsonObject) -> Vec<u8> {
    let mut text = String::with_capacity(1024);
    write_object(object, &mut text);
    text.into_bytes()
}

/// Any JSON value in canonical form, for instance the content of an event that a client sent.
pub fn canonicalise(raw: &RawValue) -> Result<CanonicalJsonValue, NotCanonical> {
    Ok(serde_json::from_str(raw.get())?)
}

fn write_object(object: &CanonicalJsonObject, out: &mut String) {
    out.push('{');
    for (index, (key, value)) in object.iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        write_string(key, out);
        out.push(':');
        write_value(value, out);
    }
    out.push('}');
}

fn write_value(value: &CanonicalJsonValue, out: &mut String) {
    match value {
        CanonicalJsonValue::Null => out.push_str("null"),
        CanonicalJsonValue::Bool(true) => out.push_str("true"),
        CanonicalJsonValue::Bool(false) => out.push_str("false"),
        CanonicalJsonValue::Integer(int) => out.push_str(&int.to_string()),
        CanonicalJsonValue::String(string) => write_string(string, out),
        CanonicalJsonValue::Array(values) => {
            out.push('[');
            for (index, value) in values.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                write_value(value, out);
            }
            out.push(']');
        }
        CanonicalJsonValue::Object(object) => write_object(object, out),
    }
}

/// Writes a JSON string, escaping only what must be: quote, backslash and the control characters,
/// with the short escapes where JSON has them.
pub(crate) fn write_string(string: &str, out: &mut String) {
    out.push('"');
    let is_clean = |byte: &u8| *byte >= 0x20 && *byte != b'"' && *byte != b'\\';
    // Nearly all strings are; to find it out takes a few steps for many bytes.
    let (chunks, rest) = string.as_bytes().as_chunks::<16>();
    if chunks.iter().all(|chunk| chunk.iter().fold(true, |all, byte| all & is_clean(byte)))
        && rest.iter().all(is_clean)
    {
        out.push_str(string);
        return out.push('"');
    }
    let mut clean_from = 0;
    for (index, byte) in string.bytes().enumerate() {
        if is_clean(&byte) {
            continue;
        }
        out.push_str(&string[clean_from..index]);
        clean_from = index + 1;
        match byte {
            b'"' => out.push_str("\\\""),
            b'\\' => out.push_str("\\\\"),
            0x08 => out.push_str("\\b"),
            0x09 => out.push_str("\\t"),
            0x0a => out.push_str("\\n"),
            0x0c => out.push_str("\\f"),
            0x0d => out.push_str("\\r"),
            control => out.push_str(&format!("\\u{control:04x}")),
        }
    }
    out.push_str(&string[clean_from..]);
    out.push('"');
}
