//! Signatures and hashes of events that others made.
//! Specification: <https://spec.matrix.org/v1.19/server-server-api/#validating-hashes-and-signatures-on-received-events>.

use ruma::{
    CanonicalJsonObject, CanonicalJsonValue, OwnedServerName, OwnedServerSigningKeyId, ServerName,
    canonical_json::RedactingSerializer,
    events::TimelineEventType,
    serde::{Base64, base64::Standard},
    signatures::{self, PublicKeyMap},
};

use crate::{
    canonical_json,
    pdu::{Pdu, PduError},
    redact::redact_object,
    room_version::RoomVersion,
};

#[cfg(test)]
mod tests;

/// An event whose format was checked, and nothing else.
#[derive(Debug)]
pub struct Unverified {
    pdu: Pdu,
    object: CanonicalJsonObject,
}

/// An event that its senders' servers signed.
#[derive(Clone, Debug)]
pub enum Verified {
    /// It is as it was sent.
    Intact(Pdu),
    /// Its content hash does not match, as when somebody on the way has only the redacted event: what
    /// the signatures cover is kept, the rest was removed.
    Redacted(Pdu),
}

/// A signature that must be on an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequiredSignature {
    /// Whose signature.
    pub server: OwnedServerName,
    /// The Ed25519 keys with which that server signed the event, according to the event. One of them
    /// must be known and valid. Empty if the server did not sign it at all.
    pub keys: Vec<OwnedServerSigningKeyId>,
}

/// Why an event cannot be believed. It is dropped.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// It is no event of its room's version.
    #[error(transparent)]
    Format(#[from] PduError),
    /// A server that must have signed it did not.
    #[error("the event is not signed by {0}")]
    NotSigned(OwnedServerName),
    /// The server signed it, but with no key that the caller handed in.
    #[error("no key is known for the signatures of {0}")]
    NoKey(OwnedServerName),
    /// No signature of the server is valid.
    #[error("the signature of {0} is not valid")]
    BadSignature(OwnedServerName),
}

impl Verified {
    /// The event, in whichever form is to be kept.
    pub fn into_pdu(self) -> Pdu {
        match self {
            Self::Intact(pdu) | Self::Redacted(pdu) => pdu,
        }
    }
}

/// Checks format, signatures and content hash of an event. `keys` are the keys that were valid when
/// the event was sent: whether they were is for the caller to know.
pub fn verify(
    json: &[u8],
    keys: &PublicKeyMap,
    version: RoomVersion,
) -> Result<Verified, VerifyError> {
    Unverified::read(json, version)?.verify(keys)
}

impl Unverified {
    /// Reads an event and checks its format.
    pub fn read(json: &[u8], version: RoomVersion) -> Result<Self, PduError> {
        let mut object = canonical_json::parse(json)?;
        let pdu = Pdu::from_object(&mut object, version)?;
        Ok(Self { pdu, object })
    }

    /// The event as it claims to be. Good for finding out which room it is for and whether it is
    /// known already, for nothing else.
    pub fn claimed(&self) -> &Pdu {
        &self.pdu
    }

    /// The signatures that the event must have, so that the keys can be fetched.
    pub fn required_signatures(&self) -> Vec<RequiredSignature> {
        let mut servers: Vec<OwnedServerName> = Vec::with_capacity(2);
        // "The signature of the sender's server, unless the event is an invite created through a
        // third-party invite": then another server than the sender's sent it.
        if !self.is_third_party_invite() {
            servers.push(self.pdu.sender.server_name().to_owned());
        }
        // Since v8, if type is m.room.member and content has a join_authorised_via_users_server: if
        // the event is not validly signed by the homeserver of that user, reject.
        let rules = &self.pdu.room_version.rules().signatures;
        if rules.check_join_authorised_via_users_server
            && let Some(user) = self.pdu.join_authorised_via()
            && !servers.iter().any(|server| server == user.server_name())
        {
            servers.push(user.server_name().to_owned());
        }
        servers
            .into_iter()
            .map(|server| RequiredSignature { keys: self.keys_of(&server), server })
            .collect()
    }

    /// Checks signatures and content hash. `keys` are the keys that were valid when the event was
    /// sent.
    pub fn verify(self, keys: &PublicKeyMap) -> Result<Verified, VerifyError> {
        let signed = RedactingSerializer::new()
            .rules(&self.pdu.room_version.rules().redaction)
            .custom_redacted_root_fields(&["signatures", "unsigned"])
            .serialize(&self.object)
            .map_err(|error| PduError::NotCanonical(error.into()))?;
        for required in self.required_signatures() {
            self.verify_server(&required, keys, signed.as_bytes())?;
        }
        if self.content_hash_matches() {
            return Ok(Verified::Intact(self.pdu));
        }
        let version = self.pdu.room_version;
        let mut redacted = redact_object(self.object, version)?;
        Ok(Verified::Redacted(Pdu::from_object(&mut redacted, version)?))
    }

    fn verify_server(
        &self,
        RequiredSignature { server, keys: used }: &RequiredSignature,
        keys: &PublicKeyMap,
        signed: &[u8],
    ) -> Result<(), VerifyError> {
        if used.is_empty() {
            return Err(VerifyError::NotSigned(server.clone()));
        }
        let mut known = false;
        for key_id in used {
            let key = keys.get(server.as_str()).and_then(|keys| keys.get(key_id.as_str()));
            let Some(key) = key else { continue };
            known = true;
            let signature = self.signatures_of(server).and_then(|of| of.get(key_id.as_str()));
            let Some(CanonicalJsonValue::String(signature)) = signature else { continue };
            let Ok(signature) = Base64::<Standard>::parse(signature) else { continue };
            let algorithm = key_id.algorithm();
            let (key, signature) = (key.as_bytes(), signature.as_bytes());
            if signatures::verify_canonical_json_bytes(&algorithm, key, signature, signed).is_ok() {
                return Ok(());
            }
        }
        let server = server.clone();
        Err(if known { VerifyError::BadSignature(server) } else { VerifyError::NoKey(server) })
    }

    fn is_third_party_invite(&self) -> bool {
        let content = self.object.get("content").and_then(CanonicalJsonValue::as_object);
        let has = |field: &str| content.and_then(|content| content.get(field));
        self.pdu.kind == TimelineEventType::RoomMember
            && has("membership").and_then(CanonicalJsonValue::as_str) == Some("invite")
            && has("third_party_invite").is_some_and(CanonicalJsonValue::is_object)
    }

    fn keys_of(&self, server: &ServerName) -> Vec<OwnedServerSigningKeyId> {
        let keys = self.signatures_of(server).into_iter().flatten();
        keys.filter(|(id, _)| id.starts_with("ed25519:"))
            .filter_map(|(id, _)| OwnedServerSigningKeyId::try_from(id.as_str()).ok())
            .collect()
    }

    fn signatures_of(&self, server: &ServerName) -> Option<&CanonicalJsonObject> {
        self.object.get("signatures")?.as_object()?.get(server.as_str())?.as_object()
    }

    fn content_hash_matches(&self) -> bool {
        let claimed = || {
            let hash = self.object.get("hashes")?.as_object()?.get("sha256")?.as_str()?;
            Base64::<Standard>::parse(hash).ok()
        };
        match (claimed(), signatures::content_hash(&self.object)) {
            (Some(claimed), Ok(actual)) => claimed.as_bytes() == actual.as_bytes(),
            _ => false,
        }
    }
}
