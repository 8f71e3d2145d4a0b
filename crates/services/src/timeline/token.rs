//! Tokens of places in a room's timeline.
//!
//! A token is a boundary: it stands just before the event with its order. So one token serves both
//! directions, and a page that ends at it and one that starts at it fit together.

use crate::sync::token::SyncToken;
use store::events::Order;

#[cfg(test)]
mod tests;

/// First letter of a token of this kind; those of /sync have another.
const LETTER: char = 't';

pub fn format(Order(order, index): Order) -> String {
    format!("{LETTER}{order}_{index}")
}

/// The boundary that the client means: a token of ours, or of /sync, which stands after everything
/// of its position.
pub fn parse(token: &str) -> Option<Order> {
    if let Some(token) = token.strip_prefix(LETTER) {
        let (order, index) = token.split_once('_')?;
        return Some(Order(order.parse().ok()?, index.parse().ok()?));
    }
    let token: SyncToken = token.parse().ok()?;
    Some(after_position(token.log))
}

/// The boundary after everything that was committed up to the position.
pub fn after_position(position: u64) -> Order {
    Order(i64::try_from(position).unwrap_or(i64::MAX).saturating_add(1), 0)
}

/// The boundary just after the event with this order.
pub fn after(Order(order, index): Order) -> Order {
    match index.checked_add(1) {
        Some(index) => Order(order, index),
        None => Order(order.saturating_add(1), 0),
    }
}
