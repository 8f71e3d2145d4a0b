//! What a server lacks, read from one snapshot.

use std::collections::BTreeSet;

use kv::{Snapshot, StoreError};
use model::{EventNumber, RoomNumber, pdu::Pdu};
use ruma::{OwnedEventId, OwnedServerName, ServerName};
use serde_json::value::RawValue;
use store::{
    destinations::{self, Waiting, WaitingKey},
    events::{self, Order, Standing, StoredEvent},
    memberships::{self, ServerInRoom},
    rooms, to_device,
    value::corrupt,
};

mod device_lists;
mod receipts;

/// Events of a room that are looked at in one reading, ours or not.
const SCANNED_MAX: usize = 2_000;
const PAGE_ROWS: usize = 200;

/// What to look at.
#[derive(Clone, Debug)]
pub struct Scope {
    /// The rooms that may hold something; `None`: all that are shared with the server.
    pub rooms: Option<BTreeSet<RoomNumber>>,
    /// The last log position to look at.
    pub up_to: u64,
    pub pdus_max: usize,
    pub edus_max: usize,
}

/// What a server lacks.
#[derive(Debug)]
pub struct Pending {
    pub pdus: Vec<(OwnedEventId, Box<RawValue>)>,
    pub edus: Vec<Box<RawValue>>,
    /// The rows of the outbox that are part of this, and the messages to devices.
    pub waiting: Outbox,
    /// Where the cursor stands now, and where it stands when all of this has arrived.
    pub from: Order,
    pub to: Order,
    /// There is more of it within the scope.
    pub more: bool,
}

/// Rows that are forgotten once what they hold has arrived.
#[derive(Debug, Default)]
pub struct Outbox {
    pub(super) items: Vec<WaitingKey>,
    pub(super) to_device: Vec<to_device::Place>,
}

impl Outbox {
    pub fn is_empty(&self) -> bool {
        self.items.is_empty() && self.to_device.is_empty()
    }
}

/// An event of ours that waits in a timeline.
struct Ours {
    order: Order,
    event_id: OwnedEventId,
    json: Box<RawValue>,
}

/// What the server lacks, whose cursor stands at `from`.
pub(super) fn pending(
    snapshot: &Snapshot,
    (us, server): (&ServerName, &ServerName),
    from: Order,
    scope: &Scope,
) -> Result<Pending, StoreError> {
    let end = Order(i64::try_from(scope.up_to).unwrap_or(i64::MAX), u16::MAX).max(from);
    let shared: Vec<RoomNumber> = match &scope.rooms {
        Some(rooms) => rooms.iter().copied().collect(),
        None => memberships::rooms_of_server(snapshot, server.as_str())?,
    };
    let (mut ours, mut to) = (Vec::new(), end);
    for &room in &shared {
        let Some(window) = Window::of(snapshot, server, room, (from, end))? else { continue };
        // A room that could not be read to the end holds the cursor back for all of them.
        to = to.min(window.read(snapshot, us, room, scope.pdus_max, &mut ours)?);
    }
    ours.retain(|event| event.order <= to);
    ours.sort_by_key(|event| event.order);
    if ours.len() > scope.pdus_max {
        ours.truncate(scope.pdus_max);
        to = ours.last().map_or(to, |last| last.order);
    }
    let mut pending = Pending {
        pdus: ours.into_iter().map(|event| (event.event_id, event.json)).collect(),
        edus: Vec::new(),
        waiting: Outbox::default(),
        from,
        to,
        more: to < end,
    };
    // What is lost if it does not fit goes first; receipts are overtaken by later ones.
    device_lists::add(snapshot, us, server, &mut pending)?;
    add_to_device(snapshot, server, scope, &mut pending)?;
    add_waiting(snapshot, server, scope, &mut pending)?;
    for room in shared {
        receipts::add(snapshot, us, server, room, &mut pending)?;
    }
    pending.edus.truncate(scope.edus_max);
    Ok(pending)
}

/// Messages for devices of the server's users.
fn add_to_device(
    snapshot: &Snapshot,
    server: &ServerName,
    scope: &Scope,
    pending: &mut Pending,
) -> Result<(), StoreError> {
    let room = scope.edus_max.saturating_sub(pending.edus.len());
    let messages = to_device::outbox(snapshot, server.as_str(), 0, room + 1)?;
    pending.more |= messages.len() > room;
    for (place, content) in messages.into_iter().take(room) {
        let content = std::str::from_utf8(&content).map_err(|_| corrupt("message to a device"))?;
        let edu = format!(r#"{{"edu_type":"m.direct_to_device","content":{content}}}"#);
        pending.edus.extend(RawValue::from_string(edu).ok());
        pending.waiting.to_device.push(place);
    }
    Ok(())
}

/// Fills up with what waits in the server's outbox.
fn add_waiting(
    snapshot: &Snapshot,
    server: &ServerName,
    scope: &Scope,
    pending: &mut Pending,
) -> Result<(), StoreError> {
    let limit = scope.pdus_max + scope.edus_max;
    let waiting = destinations::waiting(snapshot, server.as_str(), limit)?;
    for (key, item) in waiting {
        match item {
            Waiting::Edu(json) if pending.edus.len() < scope.edus_max => {
                pending.edus.extend(RawValue::from_string(json).ok());
            }
            Waiting::Event { room, event } if pending.pdus.len() < scope.pdus_max => {
                if let Some(event) = events::get(snapshot, room, event)? {
                    let pdu = read(&event)?;
                    pending.pdus.push((pdu.event_id.clone(), pdu.to_wire()));
                }
            }
            Waiting::Edu(_) | Waiting::Event { .. } => {
                pending.more = true;
                continue;
            }
        }
        pending.waiting.items.push(key);
    }
    Ok(())
}

/// The part of a room's timeline that is for a server and that it may lack.
struct Window {
    /// Exclusive.
    after: Order,
    /// Inclusive.
    end: Order,
}

impl Window {
    fn of(
        snapshot: &Snapshot,
        server: &ServerName,
        room: RoomNumber,
        (from, end): (Order, Order),
    ) -> Result<Option<Self>, StoreError> {
        let Some(presence) = memberships::server_in_room(snapshot, server.as_str(), room)? else {
            return Ok(None);
        };
        // What we said in an earlier stay of ours is for it, too, if it was there and has not got it.
        let after = from.max(order_of(snapshot, room, presence.since)?);
        let end = match presence.until {
            Some(until) => end.min(order_of(snapshot, room, until)?),
            None => end,
        };
        Ok((after < end).then_some(Self { after, end }))
    }

    /// Adds the events of ours in it, and says how far it was read.
    fn read(
        &self,
        snapshot: &Snapshot,
        us: &ServerName,
        room: RoomNumber,
        limit: usize,
        ours: &mut Vec<Ours>,
    ) -> Result<Order, StoreError> {
        let (mut from, mut scanned, mut found) = (next(self.after), 0, 0);
        let to = next(self.end);
        loop {
            let page = events::timeline(snapshot, room, (from, to), false, PAGE_ROWS)?;
            let Some((last, _)) = page.last().copied() else { return Ok(Order::MAX) };
            let numbers: Vec<EventNumber> = page.iter().map(|(_, number)| *number).collect();
            for stored in events::multi_get(snapshot, room, &numbers)?.into_iter().flatten() {
                let Some(order) = stored.order() else { continue };
                let pdu = read(&stored)?;
                if is_ours(&stored, &pdu, us) {
                    ours.push(Ours { order, event_id: pdu.event_id.clone(), json: pdu.to_wire() });
                    found += 1;
                }
            }
            scanned += page.len();
            if page.len() < PAGE_ROWS {
                return Ok(Order::MAX);
            }
            if found > limit || scanned >= SCANNED_MAX {
                return Ok(last);
            }
            from = next(last);
        }
    }
}

/// Whom some events of a room are for.
#[derive(Debug)]
pub struct Addressees {
    pub room: RoomNumber,
    /// The servers that the events are for: none unless some of them are ours.
    pub servers: Vec<OwnedServerName>,
}

pub(super) fn addressees(
    snapshot: &Snapshot,
    us: &ServerName,
    room: RoomNumber,
    numbers: &[EventNumber],
) -> Result<Addressees, StoreError> {
    let mut found = Addressees { room, servers: Vec::new() };
    let Some(oldest) = numbers.iter().min().copied() else { return Ok(found) };
    let servers = memberships::servers(snapshot, room)?.into_iter();
    let others: Vec<OwnedServerName> =
        servers.filter_map(|(server, presence)| other(us, server, &presence, oldest)).collect();
    // Messages of people of one server, among themselves, need not be understood.
    if others.is_empty() {
        return Ok(found);
    }
    for stored in events::multi_get(snapshot, room, numbers)?.into_iter().flatten() {
        if is_ours(&stored, &read(&stored)?, us) {
            found.servers = others;
            break;
        }
    }
    Ok(found)
}

/// The server's name, if events from this one on are for it.
fn other(
    us: &ServerName,
    server: String,
    presence: &ServerInRoom,
    oldest: EventNumber,
) -> Option<OwnedServerName> {
    let wanted = presence.until.is_none_or(|until| until >= oldest);
    let server = OwnedServerName::try_from(server).ok()?;
    (wanted && server != us).then_some(server)
}

/// Every other server that was ever sent to, or is in a room, or has something waiting.
pub(super) fn known(
    snapshot: &Snapshot,
    us: &ServerName,
) -> Result<Vec<OwnedServerName>, StoreError> {
    let mut known: BTreeSet<String> = destinations::with_waiting(snapshot)?.into_iter().collect();
    known.extend(destinations::all(snapshot)?.into_iter().map(|(server, _)| server));
    for (room, _) in rooms::all(snapshot)? {
        known.extend(memberships::servers(snapshot, room)?.into_iter().map(|(server, _)| server));
    }
    known.remove(us.as_str());
    Ok(known.into_iter().filter_map(|server| OwnedServerName::try_from(server).ok()).collect())
}

fn is_ours(stored: &StoredEvent, pdu: &Pdu, us: &ServerName) -> bool {
    pdu.sender.server_name() == us && stored.record.standing == Standing::Accepted
}

fn read(stored: &StoredEvent) -> Result<Pdu, StoreError> {
    let event_id = OwnedEventId::try_from(stored.record.event_id.as_str());
    let event_id = event_id.map_err(|_| corrupt("event id"))?;
    Pdu::from_stored(stored.pdu.clone(), event_id).map_err(|_| corrupt("event"))
}

/// Where an event stands in the timeline; before everything when it is in none.
fn order_of(
    snapshot: &Snapshot,
    room: RoomNumber,
    event: EventNumber,
) -> Result<Order, StoreError> {
    let event = events::get(snapshot, room, event)?;
    Ok(event.and_then(|event| event.order()).unwrap_or(Order::MIN))
}

/// The smallest order after this one.
fn next(Order(order, index): Order) -> Order {
    match index.checked_add(1) {
        Some(index) => Order(order, index),
        None => Order(order.saturating_add(1), 0),
    }
}
