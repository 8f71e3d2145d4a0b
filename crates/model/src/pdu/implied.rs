//! The join rules of a room that has none: `invite`. Rooms version 6 to 12 do not say so, but all
//! servers did it from the start (<https://github.com/matrix-org/matrix-spec/issues/657>), and rooms
//! whose join rules are absent, or name no rule, exist. For ruma nobody can join them.

use std::sync::Arc;

use ruma::{
    EventId, event_id,
    events::{StateEventType, TimelineEventType},
};
use serde_json::value::RawValue;

use super::Pdu;

/// The id of the join rules that are not there. No event has it, because it is no hash.
pub(crate) fn join_rules_id() -> &'static EventId {
    event_id!("$no-join-rules")
}

/// The content of join rules that name no rule, with the rule that is implied; `None` if they name
/// one, be it one that nobody knows.
pub(super) fn rule(kind: &TimelineEventType, content: &RawValue) -> Option<Box<RawValue>> {
    if *kind != TimelineEventType::RoomJoinRules {
        return None;
    }
    let object: serde_json::Map<String, serde_json::Value> =
        serde_json::from_str(content.get()).ok()?;
    (!object.contains_key("join_rule")).then(invite)
}

fn invite() -> Box<RawValue> {
    RawValue::from_string(r#"{"join_rule":"invite"}"#.to_owned()).unwrap_or_default()
}

impl Pdu {
    /// The join rules that are understood in this event's room if it has none.
    pub(crate) fn implied_join_rules(&self) -> Self {
        Self {
            event_id: join_rules_id().to_owned(),
            event_type: StateEventType::RoomJoinRules.to_string().into(),
            kind: TimelineEventType::RoomJoinRules,
            state_key: Some("".into()),
            prev_events: vec![],
            auth_events: vec![],
            redacts: None,
            rejected: false,
            content: invite(),
            content_for_auth: None,
            ..self.clone()
        }
    }

    /// For state resolution: what allows a member event may be join rules, and if there are none, those
    /// that are implied. They are named first, so that ruma takes any others instead of them.
    pub(crate) fn with_implied_join_rules(self: Arc<Self>) -> Arc<Self> {
        if self.kind != TimelineEventType::RoomMember {
            return self;
        }
        let mut pdu = Self::clone(&self);
        pdu.auth_events.insert(0, join_rules_id().to_owned());
        Arc::new(pdu)
    }
}
