//! Kontor and Synapse in one room, over TLS: two implementations that share no line of code.
//!
//! `TARGET=synapse` puts a second Synapse in Kontor's place: a control of the suite itself.

#[path = "peers/backfill.rs"]
mod backfill;
#[path = "peers/directory.rs"]
mod directory;
#[path = "peers/membership.rs"]
mod membership;
#[path = "peers/messages.rs"]
mod messages;
#[path = "peers/moderation.rs"]
mod moderation;
#[path = "peers/split.rs"]
mod split;
#[path = "peers/world.rs"]
mod world;
