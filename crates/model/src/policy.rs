//! Policy servers: a server that a room asks whether an event is welcome, and whose signature says
//! yes. Specification: <https://spec.matrix.org/v1.19/server-server-api/#policy-servers>.

use ruma::{ServerName, events::room::policy::RoomPolicyEventContent, signatures};

use crate::pdu::Pdu;

#[cfg(test)]
mod tests;

/// The policy server of a room.
#[derive(Clone, Debug)]
pub struct PolicyServer(RoomPolicyEventContent);

impl PolicyServer {
    /// The policy server that the state's `m.room.policy` event names, if there is one. "If invalid
    /// or not set, the room does not use a policy server." (Nor does it if no user of that server is
    /// joined: the caller knows who is.)
    pub fn of(event: Option<&Pdu>) -> Option<Self> {
        event?.content_as().map(Self)
    }

    /// Whom to ask.
    pub fn server(&self) -> &ServerName {
        &self.0.via
    }

    /// Whether the event bears the policy server's signature, or is one that needs none: the
    /// `m.room.policy` event itself.
    pub fn approved(&self, pdu: &Pdu) -> bool {
        let rules = pdu.room_version.rules();
        signatures::verify_policy_server_signature(&self.0, &pdu.to_object(), rules).is_ok()
    }
}
