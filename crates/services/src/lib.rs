//! What a homeserver does, without HTTP: the use cases, each gather → decide → commit.
//!
//! One [`Services`] is one homeserver. It is built top to bottom: each service is given only what
//! was built above it.

use std::sync::Arc;

pub mod account_data;
pub mod accounts;
pub mod appservices;
pub mod client_event;
pub mod context;
pub mod destinations;
pub mod devices;
pub mod filter;
pub mod filters;
pub mod identity;
pub mod inbox;
pub mod key_backups;
pub mod keys;
pub mod log;
pub mod login;
pub mod media;
pub mod member_events;
pub mod openid;
pub mod passwords;
pub mod presence;
pub mod previews;
pub mod profile;
pub mod push_rules;
pub mod pushers;
pub mod read_markers;
pub mod reader;
pub mod receipts;
pub mod recent;
pub mod room_rows;
#[cfg(test)]
mod room_world;
pub mod rooms;
pub mod search;
pub mod server_keys;
pub mod sessions;
pub mod shared_secret;
pub mod staged;
pub mod state_reads;
pub mod succession;
pub mod sync;
pub mod tags;
#[cfg(test)]
mod testing;
pub mod threads;
pub mod timeline;
pub mod to_device;
pub mod turn;
pub mod turns;
pub mod typing;
pub mod uia;
pub mod unread;
pub mod user_directory;
pub mod visibility;

/// How a question to a snapshot fails: for surfaces, which do not see the store.
pub use kv::StoreError;

pub use crate::context::Context;
use crate::{
    account_data::AccountData,
    accounts::{Accounts, RegistrationPolicy},
    appservices::{Actors, Appservices, Registration},
    devices::Devices,
    filters::Filters,
    inbox::Inboxes,
    key_backups::KeyBackups,
    keys::Keys,
    login::Login,
    media::{Media, MediaSettings},
    member_events::MemberEvents,
    openid::OpenId,
    passwords::Passwords,
    presence::Presences,
    previews::Previews,
    profile::Profiles,
    push_rules::PushRules,
    pushers::Pushers,
    read_markers::ReadMarkers,
    receipts::Receipts,
    rooms::Rooms,
    search::Search,
    sessions::{Sessions, TokenLifetimes},
    shared_secret::SharedSecret,
    state_reads::StateReads,
    succession::Succession,
    sync::Syncs,
    tags::Tags,
    timeline::Timelines,
    to_device::ToDevice,
    turn::{Turn, TurnSettings},
    typing::Typing,
    uia::Uia,
    unread::Unread,
    user_directory::UserDirectory,
};

/// What a homeserver's owner decides.
#[derive(Clone)]
pub struct Settings {
    pub registration: RegistrationPolicy,
    pub token_lifetimes: TokenLifetimes,
    /// Shared by all homeservers of the process.
    pub passwords: Arc<Passwords>,
    pub media: MediaSettings,
    pub turn: TurnSettings,
    pub user_directory: user_directory::Scope,
    /// The programs that bring users of their own.
    pub appservices: Vec<Registration>,
}

/// One homeserver.
pub struct Services {
    pub context: Context,
    pub sessions: Arc<Sessions>,
    pub accounts: Arc<Accounts>,
    pub login: Arc<Login>,
    pub actors: Actors,
    pub uia: Uia,
    pub shared_secret: SharedSecret,
    pub devices: Devices,
    pub profiles: Profiles,
    pub account_data: Arc<AccountData>,
    pub tags: Tags,
    pub filters: Filters,
    pub push_rules: PushRules,
    pub pushers: Pushers,
    pub user_directory: UserDirectory,
    pub inboxes: Arc<Inboxes>,
    pub timelines: Timelines,
    pub state_reads: StateReads,
    pub search: Search,
    pub succession: Succession,
    pub syncs: Syncs,
    pub rooms: Rooms,
    pub member_events: Arc<MemberEvents>,
    pub media: Media,
    pub receipts: Receipts,
    pub read_markers: ReadMarkers,
    pub typing: Typing,
    pub presences: Presences,
    pub previews: Previews,
    pub openid: OpenId,
    pub turn: Turn,
    pub unread: Unread,
    pub keys: Keys,
    pub to_device: ToDevice,
    pub key_backups: KeyBackups,
}

impl Services {
    pub fn new(context: Context, settings: Settings) -> Self {
        let Settings { token_lifetimes, passwords, media, turn, .. } = settings;
        let appservices = Appservices::new(settings.appservices, |name| context.user_id(name));
        let sessions = Arc::new(Sessions::new(context.clone(), token_lifetimes));
        let accounts = Arc::new(Accounts::new(
            context.clone(),
            (settings.registration, appservices.clone()),
            Arc::clone(&passwords),
            Arc::clone(&sessions),
        ));
        let login = Arc::new(Login::new(context.clone(), passwords, Arc::clone(&sessions)));
        let rooms = Rooms::new(context.clone());
        let account_data = Arc::new(AccountData::new(context.clone()));
        let inboxes = Inboxes::open(&context);
        let typing = Typing::new(context.clone());
        let presences = Presences::new(context.clone());
        let unread = Unread::new(context.clone());
        Self {
            actors: Actors::new(
                context.clone(),
                appservices,
                Arc::clone(&accounts),
                Arc::clone(&login),
            ),
            login,
            uia: Uia::new(context.clone(), Arc::clone(&accounts)),
            shared_secret: SharedSecret::new(context.clone(), Arc::clone(&accounts)),
            devices: Devices::new(context.clone(), Arc::clone(&sessions)),
            profiles: Profiles::new(context.clone()),
            tags: Tags::new(Arc::clone(&account_data)),
            filters: Filters::new(context.clone()),
            push_rules: PushRules::new(Arc::clone(&account_data)),
            pushers: Pushers::new(context.clone()),
            user_directory: UserDirectory::new(context.clone(), settings.user_directory),
            timelines: Timelines::new(context.clone()),
            state_reads: StateReads::new(context.clone()),
            search: Search::new(context.clone()),
            succession: Succession::new(context.clone(), Arc::clone(&account_data)),
            syncs: Syncs::new(
                context.clone(),
                Arc::clone(&inboxes),
                (typing.clone(), presences.clone()),
                unread.clone(),
            ),
            inboxes,
            member_events: Arc::new(MemberEvents::new(context.clone(), rooms.clone())),
            rooms,
            media: Media::new(context.clone(), media),
            receipts: Receipts::new(context.clone()),
            read_markers: ReadMarkers::new(context.clone()),
            typing,
            presences,
            previews: Previews::new(context.clone()),
            turn: Turn::new(context.clone(), turn),
            keys: Keys::new(context.clone()),
            to_device: ToDevice::new(context.clone()),
            key_backups: KeyBackups::new(context.clone()),
            openid: OpenId::new(context.clone()),
            unread,
            account_data,
            sessions,
            accounts,
            context,
        }
    }
}
