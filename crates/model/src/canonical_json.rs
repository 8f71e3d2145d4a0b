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
    let mut bytes = Vec::with_capacity(1024);
    write_object(object, &mut bytes);
    bytes
}

/// Any JSON value in canonical form, for instance the content of an event that a client sent.
pub fn canonicalise(raw: &RawValue) -> Result<CanonicalJsonValue, NotCanonical> {
    Ok(serde_json::from_str(raw.get())?)
}

fn write_object(object: &CanonicalJsonObject, out: &mut Vec<u8>) {
    out.push(b'{');
    for (index, (key, value)) in object.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        write_string(key, out);
        out.push(b':');
        write_value(value, out);
    }
    out.push(b'}');
}

fn write_value(value: &CanonicalJsonValue, out: &mut Vec<u8>) {
    match value {
        CanonicalJsonValue::Null => out.extend_from_slice(b"null"),
        CanonicalJsonValue::Bool(true) => out.extend_from_slice(b"true"),
        CanonicalJsonValue::Bool(false) => out.extend_from_slice(b"false"),
        CanonicalJsonValue::Integer(int) => out.extend_from_slice(int.to_string().as_bytes()),
        CanonicalJsonValue::String(string) => write_string(string, out),
        CanonicalJsonValue::Array(values) => {
            out.push(b'[');
            for (index, value) in values.iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                write_value(value, out);
            }
            out.push(b']');
        }
        CanonicalJsonValue::Object(object) => write_object(object, out),
    }
}

/// Writes a JSON string, escaping only what must be: quote, backslash and the control characters,
/// with the short escapes where JSON has them.
pub(crate) fn write_string(string: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    let is_clean = |byte: &u8| *byte >= 0x20 && *byte != b'"' && *byte != b'\\';
    // Nearly all strings are; to find it out takes a few steps for many bytes.
    if string
        .as_bytes()
        .chunks(16)
        .all(|chunk| chunk.iter().fold(true, |all, byte| all & is_clean(byte)))
    {
        out.extend_from_slice(string.as_bytes());
        return out.push(b'"');
    }
    let mut clean_from = 0;
    for (index, byte) in string.bytes().enumerate() {
        if is_clean(&byte) {
            continue;
        }
        out.extend_from_slice(&string.as_bytes()[clean_from..index]);
        clean_from = index + 1;
        match byte {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            0x08 => out.extend_from_slice(b"\\b"),
            0x09 => out.extend_from_slice(b"\\t"),
            0x0a => out.extend_from_slice(b"\\n"),
            0x0c => out.extend_from_slice(b"\\f"),
            0x0d => out.extend_from_slice(b"\\r"),
            control => out.extend_from_slice(format!("\\u{control:04x}").as_bytes()),
        }
    }
    out.extend_from_slice(&string.as_bytes()[clean_from..]);
    out.push(b'"');
}
