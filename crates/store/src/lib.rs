//! The schema: every table on this page; one file per family, named as the questions it answers.
//!
//! A question takes a [`kv::Snapshot`], a change takes a [`kv::Batch`]; nothing here decides.
//! Every key starts with the homeserver (added by `kv`); every value starts with a format byte
//! (see [`value`]).

pub mod account_data;
pub mod accounts;
pub mod aliases;
pub mod destinations;
pub mod device_keys;
pub mod devices;
pub mod directory;
pub mod events;
pub mod filters;
pub mod homeserver;
pub mod key_backups;
pub mod log;
pub mod media;
pub mod memberships;
pub mod pushers;
pub mod receipts;
pub mod relations;
pub mod room_states;
pub mod rooms;
pub mod server_keys;
pub mod staged;
pub mod state;
pub mod to_device;
pub mod tokens;
pub mod transactions;
pub mod unread;
pub mod value;

use kv::{Profile, Table};

const fn random(name: &'static str) -> Table {
    Table { name, profile: Profile::Random }
}

const fn ordered(name: &'static str) -> Table {
    Table { name, profile: Profile::Ordered }
}

const fn expiring(name: &'static str, days: u64) -> Table {
    Table { name, profile: Profile::Expiring { ttl_s: days * 24 * 60 * 60 } }
}

/// All tables, to be handed to the engine when it is opened.
pub const TABLES: &[Table] = &[
    HOMESERVER,
    LOG,
    ROOM,
    ROOM_NUMBER,
    ROOM_SERVER,
    ALIAS,
    EVENT,
    EVENT_NUMBER,
    TIMELINE,
    RELATION,
    ROOM_STATE,
    STATE_NODE,
    MEMBERSHIP,
    ROOM_MEMBERSHIP,
    ACCOUNT,
    DEVICE,
    TOKEN,
    ACCOUNT_DATA,
    RECEIPT,
    UNREAD,
    TRANSACTION,
    TO_DEVICE,
    DEVICE_KEY,
    MEDIA,
    SERVER_KEY,
    DESTINATION,
    STAGED,
];

/// What belongs to the homeserver as a whole: its name, signing keys, counters.
/// name of the thing → value
pub const HOMESERVER: Table = random("homeserver");
/// The one log. position → [`log::LogEntry`]
pub const LOG: Table = ordered("log");
/// room number → [`rooms::RoomHead`]; directory rows beside it
pub const ROOM: Table = random("room");
/// room id → room number
pub const ROOM_NUMBER: Table = random("room_number");
/// server ‖ room and room ‖ server → [`memberships::ServerInRoom`]
pub const ROOM_SERVER: Table = random("room_server");
/// alias → room id and creator; room ‖ alias
pub const ALIAS: Table = random("alias");
/// room ‖ event number → [`events::EventRecord`] and the event
pub const EVENT: Table = ordered("event");
/// event id → room ‖ event number
pub const EVENT_NUMBER: Table = random("event_number");
/// room ‖ order (i64; the log position, negative when backfilled) ‖ index → event number
pub const TIMELINE: Table = ordered("timeline");
/// room ‖ parent event id ‖ relation type ‖ order of the child → child; counts and threads beside it
pub const RELATION: Table = random("relation");
/// room ‖ log position → root of the room's state from then on
pub const ROOM_STATE: Table = ordered("room_state");
/// room ‖ node id → node of a state tree
pub const STATE_NODE: Table = random("state_node");
/// local user ‖ room → [`memberships::Membership`]
pub const MEMBERSHIP: Table = random("membership");
/// room ‖ local user → membership, for the joined ones
pub const ROOM_MEMBERSHIP: Table = random("room_membership");
/// localpart → [`accounts::Account`]; localpart → [`accounts::Profile`]
pub const ACCOUNT: Table = random("account");
/// localpart ‖ device id → [`devices::Device`]; the same → [`devices::LastSeen`]
pub const DEVICE: Table = random("device");
/// SHA-256 of a bearer token → [`tokens::Token`]
pub const TOKEN: Table = random("token");
/// localpart ‖ room number (0: global) ‖ type → position and content; localpart ‖ position → that;
/// localpart ‖ filter id → filter; localpart ‖ app id ‖ push key → [`pushers::Pusher`]
pub const ACCOUNT_DATA: Table = random("account_data");
/// room ‖ user ‖ … → [`receipts::Receipt`], and their stream by position
pub const RECEIPT: Table = random("receipt");
/// localpart ‖ room → [`unread::Checkpoint`]
pub const UNREAD: Table = random("unread");
/// localpart ‖ device ‖ hash of path and transaction id → what it was answered
pub const TRANSACTION: Table = expiring("transaction", 7);
/// localpart ‖ device ‖ position → message; server ‖ position → message to be sent there
pub const TO_DEVICE: Table = ordered("to_device");
/// end-to-end keys of devices and users (see [`device_keys`]); [`key_backups`]
pub const DEVICE_KEY: Table = random("device_key");
/// server ‖ media id → [`media::File`]; thumbnails, awaited uploads, blobs in use
pub const MEDIA: Table = random("media");
/// server → [`server_keys::ServerKeys`], and its newest key document
pub const SERVER_KEY: Table = random("server_key");
/// server → [`destinations::Destination`]; server ‖ position ‖ index → what waits for it
pub const DESTINATION: Table = random("destination");
/// room ‖ position ‖ index → [`staged::Staged`], an event that waits for its room's worker
pub const STAGED: Table = random("staged");
