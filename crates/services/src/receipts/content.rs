//! Receipts as clients and servers write them to each other.

use std::collections::BTreeMap;

use ruma::{
    MilliSecondsSinceUnixEpoch, OwnedEventId, UInt,
    events::receipt::{Receipt as Wire, ReceiptEventContent, ReceiptThread, ReceiptType},
};

use super::{Kind, Receipt, Thread};

/// The content of the `m.receipt` event that tells these receipts.
///
/// The event has room for one receipt of a user per event: a receipt without thread, which says
/// more than one with, goes first.
pub fn content(receipts: &[Receipt]) -> ReceiptEventContent {
    let mut content: BTreeMap<OwnedEventId, BTreeMap<_, BTreeMap<_, Wire>>> = BTreeMap::new();
    for receipt in receipts {
        let of_event = content.entry(receipt.event_id.clone()).or_default();
        let of_kind = of_event.entry(receipt_type(receipt.owner.kind)).or_default();
        let of_user = of_kind.entry(receipt.owner.user.clone());
        let wire = wire(receipt);
        of_user
            .and_modify(|other| {
                if wire.thread == ReceiptThread::Unthreaded {
                    *other = wire.clone();
                }
            })
            .or_insert(wire);
    }
    ReceiptEventContent(content)
}

fn wire(receipt: &Receipt) -> Wire {
    let ts = UInt::new_saturating(receipt.ts_ms);
    let thread = match &receipt.owner.thread {
        Thread::Unthreaded => ReceiptThread::Unthreaded,
        Thread::Main => ReceiptThread::Main,
        Thread::Root(root) => ReceiptThread::Thread(root.clone()),
    };
    Wire { ts: Some(MilliSecondsSinceUnixEpoch(ts)), thread }
}

fn receipt_type(kind: Kind) -> ReceiptType {
    match kind {
        Kind::Public => ReceiptType::Read,
        Kind::Private => ReceiptType::ReadPrivate,
    }
}
