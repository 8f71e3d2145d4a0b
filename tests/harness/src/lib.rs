//! Starts finished servers, Kontor and others, and drives them from outside.
//!
//! Nothing here knows a crate of the house: a [`Server`] is a process with a folder, an
//! [`Account`] is a person with an access token, and a [`View`] is what a client would believe
//! after its syncs. What goes wrong here is the end of a test, so it panics and says why.

mod account;
mod authority;
mod call;
mod difference;
mod disk;
mod kontor;
mod link;
mod port;
mod process;
mod python;
mod room;
mod server;
mod settings;
mod synapse;
mod view;
mod wait;

pub use account::{Account, PASSWORD};
pub use authority::Authority;
pub use call::{Answer, Call, Http, Lost, Tap};
pub use difference::differences;
pub use disk::Disk;
pub use link::Link;
pub use port::Port;
pub use process::{Process, freeze, run};
pub use python::python;
pub use room::{StateIds, same_state, text_of};
pub use server::{Appservice, Kind, Options, SHARED_SECRET, Server};
pub use settings::{chosen_seed, number, seed, target_is_synapse};
pub use view::{Room, View};
pub use wait::{PATIENCE, eventually, patiently, within};
