//! Redaction: an event reduced to what the room's rules need.
//! Specification: <https://spec.matrix.org/v1.19/rooms/v11/#redactions> and the versions around it.

use ruma::{CanonicalJsonObject, canonical_json};

use crate::{
    pdu::{Pdu, PduError},
    room_version::RoomVersion,
};

#[cfg(test)]
mod tests;

/// The event without what a redaction takes away. Its id stays the same, because the id is a hash
/// over the redacted form.
pub fn redact(pdu: &Pdu) -> Result<Pdu, PduError> {
    let mut object = redact_object(pdu.to_object(), pdu.room_version)?;
    Ok(Pdu::from_object(&mut object, pdu.room_version)?.with_rejected(pdu.rejected))
}

/// Redacts an event object. Removes `unsigned`, too.
pub fn redact_object(
    object: CanonicalJsonObject,
    version: RoomVersion,
) -> Result<CanonicalJsonObject, PduError> {
    canonical_json::redact(object, &version.rules().redaction, None)
        .map_err(|_| PduError::WrongType("type"))
}
