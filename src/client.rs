//! ROUTE TABLE of the Client-Server API: every path, one line each, spelled out.
//!
//! `/_matrix/client/versions` and `/.well-known` are in `app/router.rs`: they are answered before
//! it is known which homeserver is meant.
//!
//! <https://spec.matrix.org/v1.19/client-server-api/>

mod account;
mod account_data;
mod admin;
mod alias;
mod appservice;
mod asked;
mod caller;
mod capabilities;
mod create_room;
mod devices;
mod directory;
mod error;
mod event;
mod filter;
mod keys;
mod login;
mod media;
mod membership;
mod messages;
mod notifications;
mod openid;
mod presence;
mod preview;
mod profile;
mod push_rules;
mod pushers;
mod read_markers;
mod receipt;
mod register;
mod relations;
mod room_error;
mod room_keys;
mod search;
mod send;
mod sliding_sync;
mod spaces;
mod state_read;
mod sync;
mod tags;
#[cfg(test)]
mod tests;
mod to_device;
mod typing;
mod uia;
mod upgrade;
mod user_directory;
pub(crate) mod versions;
pub(crate) mod well_known;

use axum::{
    Router,
    extract::DefaultBodyLimit,
    routing::{get, post, put},
};
use web::Routes;

/// Bytes of a request's body. Media is uploaded in streams and has a limit of its own; the largest
/// bodies beside it are key backups.
const BODY_BYTES_MAX: usize = 10 << 20;

/// Everything under `/_matrix/client`, `/_matrix/media` and `/_synapse`, of all homeservers: each
/// request brings the [`App`] of the one that it is for, as an extension.
pub(crate) fn router() -> Router {
    Routes::new()
        .merge(accounts())
        .merge(own_data())
        .merge(encryption())
        .merge(media())
        .merge(marks())
        .merge(reading())
        .merge(rooms())
        .into_router()
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
}

/// Accounts, sessions and devices.
#[rustfmt::skip]
fn accounts() -> Routes {
    Routes::new()
        .at("/_matrix/client/v3/register", post(register::register))
        .at("/_matrix/client/v3/register/available", get(register::get_username_availability))
        .at("/_matrix/client/v3/register/email/requestToken", post(capabilities::refuse_3pids))
        .at("/_matrix/client/v3/register/msisdn/requestToken", post(capabilities::refuse_3pids))
        .at("/_matrix/client/v1/register/m.login.registration_token/validity", get(register::check_registration_token_validity))
        .at("/_matrix/client/v3/login", get(login::get_login_types).post(login::login))
        .at("/_matrix/client/v1/login/get_token", post(login::get_login_token))
        .at("/_matrix/client/v3/refresh", post(login::refresh_token))
        .at("/_matrix/client/v3/logout", post(login::logout))
        .at("/_matrix/client/v3/logout/all", post(login::logout_all))
        .at("/_matrix/client/v1/auth_metadata", get(capabilities::get_authorization_server_metadata))
        .at("/_matrix/client/v3/account/whoami", get(account::whoami))
        .at("/_matrix/client/v3/account/password", post(account::change_password))
        .at("/_matrix/client/v3/account/password/email/requestToken", post(capabilities::refuse_3pids))
        .at("/_matrix/client/v3/account/password/msisdn/requestToken", post(capabilities::refuse_3pids))
        .at("/_matrix/client/v3/account/deactivate", post(account::deactivate))
        .at("/_matrix/client/v3/account/3pid", get(capabilities::get_3pids).post(capabilities::refuse_3pids))
        .at("/_matrix/client/v3/account/3pid/add", post(capabilities::refuse_3pids))
        .at("/_matrix/client/v3/account/3pid/bind", post(capabilities::refuse_3pids))
        .at("/_matrix/client/v3/account/3pid/delete", post(capabilities::delete_3pid))
        .at("/_matrix/client/v3/account/3pid/unbind", post(capabilities::delete_3pid))
        .at("/_matrix/client/v3/account/3pid/email/requestToken", post(capabilities::refuse_3pids))
        .at("/_matrix/client/v3/account/3pid/msisdn/requestToken", post(capabilities::refuse_3pids))
        .at("/_matrix/client/v3/devices", get(devices::get_devices))
        .at("/_matrix/client/v3/devices/{deviceId}", get(devices::get_device).put(devices::update_device).delete(devices::delete_device))
        .at("/_matrix/client/v3/delete_devices", post(devices::delete_devices))
        .at("/_matrix/client/v1/admin/suspend/{userId}", get(admin::is_user_suspended).put(admin::suspend_user))
        .at("/_matrix/client/v1/admin/lock/{userId}", get(admin::is_user_locked).put(admin::lock_user))
        .at("/_matrix/client/v3/admin/whois/{userId}", get(admin::get_user_info))
        .at("/_synapse/admin/v1/register", get(admin::get_registration_nonce).post(admin::register_with_shared_secret))
}

/// What a user shows of himself, and what his clients keep for him.
#[rustfmt::skip]
fn own_data() -> Routes {
    Routes::new()
        .at("/_matrix/client/v3/profile/{userId}", get(profile::get_profile))
        .at("/_matrix/client/v3/profile/{userId}/{keyName}", get(profile::get_profile_field).put(profile::set_profile_field).delete(profile::delete_profile_field))
        .at("/_matrix/client/v3/presence/{userId}/status", get(presence::get_presence).put(presence::set_presence))
        .at("/_matrix/client/v3/user_directory/search", post(user_directory::search_users))
        .at("/_matrix/client/v3/user/{userId}/account_data/{type}", get(account_data::get_global_account_data).put(account_data::set_global_account_data))
        .at("/_matrix/client/v3/user/{userId}/rooms/{roomId}/account_data/{type}", get(account_data::get_room_account_data).put(account_data::set_room_account_data))
        .at("/_matrix/client/v3/user/{userId}/rooms/{roomId}/tags", get(tags::get_tags))
        .at("/_matrix/client/v3/user/{userId}/rooms/{roomId}/tags/{tag}", put(tags::create_tag).delete(tags::delete_tag))
        .at("/_matrix/client/v3/user/{userId}/filter", post(filter::create_filter))
        .at("/_matrix/client/v3/user/{userId}/filter/{filterId}", get(filter::get_filter))
        .at("/_matrix/client/v3/user/{userId}/openid/request_token", post(openid::request_openid_token))
        .at_each(&["/_matrix/client/v3/pushrules", "/_matrix/client/v3/pushrules/"], get(push_rules::get_pushrules_all))
        .at_each(&["/_matrix/client/v3/pushrules/global", "/_matrix/client/v3/pushrules/global/"], get(push_rules::get_pushrules_global_scope))
        .at("/_matrix/client/v3/pushrules/global/{kind}/{ruleId}", get(push_rules::get_pushrule).put(push_rules::set_pushrule).delete(push_rules::delete_pushrule))
        .at("/_matrix/client/v3/pushrules/global/{kind}/{ruleId}/enabled", get(push_rules::get_pushrule_enabled).put(push_rules::set_pushrule_enabled))
        .at("/_matrix/client/v3/pushrules/global/{kind}/{ruleId}/actions", get(push_rules::get_pushrule_actions).put(push_rules::set_pushrule_actions))
        .at("/_matrix/client/v3/pushers", get(pushers::get_pushers))
        .at("/_matrix/client/v3/pushers/set", post(pushers::set_pusher))
        .at("/_matrix/client/v3/capabilities", get(capabilities::get_capabilities))
        .at("/_matrix/client/v3/voip/turnServer", get(openid::get_turn_server_info))
        .at("/_matrix/client/v3/thirdparty/protocols", get(capabilities::get_protocols))
        .at("/_matrix/client/v3/thirdparty/protocol/{protocol}", get(capabilities::get_protocol))
        .at("/_matrix/client/v3/thirdparty/location", get(capabilities::get_third_parties))
        .at("/_matrix/client/v3/thirdparty/location/{protocol}", get(capabilities::get_protocol))
        .at("/_matrix/client/v3/thirdparty/user", get(capabilities::get_third_parties))
        .at("/_matrix/client/v3/thirdparty/user/{protocol}", get(capabilities::get_protocol))
}

/// What a user reads of rooms.
#[rustfmt::skip]
fn reading() -> Routes {
    Routes::new()
        .at("/_matrix/client/v3/sync", get(sync::sync_events))
        .at("/_matrix/client/unstable/org.matrix.simplified_msc3575/sync", post(sliding_sync::sync_events))
        .at("/_matrix/client/v3/search", post(search::search_events))
        .at("/_matrix/client/v3/joined_rooms", get(state_read::joined_rooms))
        .at("/_matrix/client/v3/rooms/{roomId}/messages", get(messages::get_message_events))
        .at("/_matrix/client/v1/rooms/{roomId}/timestamp_to_event", get(messages::get_event_by_timestamp))
        .at("/_matrix/client/v3/rooms/{roomId}/event/{eventId}", get(event::get_room_event))
        .at("/_matrix/client/v3/rooms/{roomId}/context/{eventId}", get(event::get_context))
        .at("/_matrix/client/v3/rooms/{roomId}/state", get(state_read::get_state_events))
        .at_each(&["/_matrix/client/v3/rooms/{roomId}/state/{eventType}", "/_matrix/client/v3/rooms/{roomId}/state/{eventType}/"], get(state_read::get_state_event_for_empty_key).put(send::send_state_event_without_key))
        .at("/_matrix/client/v3/rooms/{roomId}/state/{eventType}/{stateKey}", get(state_read::get_state_event_for_key).put(send::send_state_event))
        .at("/_matrix/client/v3/rooms/{roomId}/members", get(state_read::get_member_events))
        .at("/_matrix/client/v3/rooms/{roomId}/joined_members", get(state_read::joined_members))
        .at("/_matrix/client/v1/rooms/{roomId}/hierarchy", get(spaces::get_hierarchy))
        .at_each(&["/_matrix/client/v1/room_summary/{roomIdOrAlias}", "/_matrix/client/unstable/im.nheko.summary/rooms/{roomIdOrAlias}/summary"], get(spaces::get_summary))
        .at("/_matrix/client/v1/rooms/{roomId}/relations/{eventId}", get(relations::get_relating_events))
        .at("/_matrix/client/v1/rooms/{roomId}/relations/{eventId}/{relType}", get(relations::get_relating_events_with_rel_type))
        .at("/_matrix/client/v1/rooms/{roomId}/relations/{eventId}/{relType}/{eventType}", get(relations::get_relating_events_with_rel_type_and_event_type))
        .at("/_matrix/client/v1/rooms/{roomId}/threads", get(relations::get_threads))
}

/// What changes rooms, and how rooms are found.
#[rustfmt::skip]
fn rooms() -> Routes {
    Routes::new()
        .at("/_matrix/client/v3/createRoom", post(create_room::create_room))
        .at("/_matrix/client/v3/rooms/{roomId}/upgrade", post(upgrade::upgrade_room))
        .at("/_matrix/client/v3/rooms/{roomId}/join", post(membership::join_room_by_id))
        .at("/_matrix/client/v3/join/{roomIdOrAlias}", post(membership::join_room_by_id_or_alias))
        .at("/_matrix/client/v3/knock/{roomIdOrAlias}", post(membership::knock_room))
        .at("/_matrix/client/v3/rooms/{roomId}/leave", post(membership::leave_room))
        .at("/_matrix/client/v3/rooms/{roomId}/forget", post(membership::forget_room))
        .at("/_matrix/client/v3/rooms/{roomId}/invite", post(membership::invite_user))
        .at("/_matrix/client/v3/rooms/{roomId}/kick", post(membership::kick_user))
        .at("/_matrix/client/v3/rooms/{roomId}/ban", post(membership::ban_user))
        .at("/_matrix/client/v3/rooms/{roomId}/unban", post(membership::unban_user))
        .at("/_matrix/client/v3/rooms/{roomId}/send/{eventType}/{txnId}", put(send::send_message_event))
        .at("/_matrix/client/v3/rooms/{roomId}/redact/{eventId}/{txnId}", put(send::redact_event))
        .at("/_matrix/client/v3/rooms/{roomId}/aliases", get(alias::aliases))
        .at("/_matrix/client/v3/directory/room/{roomAlias}", get(alias::get_alias).put(alias::create_alias).delete(alias::delete_alias))
        .at("/_matrix/client/v3/directory/list/room/{roomId}", get(directory::get_room_visibility).put(directory::set_room_visibility))
        .at("/_matrix/client/v3/publicRooms", get(directory::get_public_rooms).post(directory::get_public_rooms_filtered))
}

/// End-to-end keys, their backups, and messages from device to device.
#[rustfmt::skip]
fn encryption() -> Routes {
    Routes::new()
        .at("/_matrix/client/v3/keys/upload", post(keys::upload_keys))
        .at("/_matrix/client/v3/keys/query", post(keys::get_keys))
        .at("/_matrix/client/v3/keys/claim", post(keys::claim_keys))
        .at("/_matrix/client/v3/keys/changes", get(keys::get_key_changes))
        .at_each(&["/_matrix/client/v3/keys/device_signing/upload", "/_matrix/client/unstable/keys/device_signing/upload"], post(keys::upload_signing_keys))
        .at_each(&["/_matrix/client/v3/keys/signatures/upload", "/_matrix/client/unstable/keys/signatures/upload"], post(keys::upload_signatures))
        .at("/_matrix/client/v3/sendToDevice/{eventType}/{txnId}", put(to_device::send_event_to_device))
        .at("/_matrix/client/v3/room_keys/version", get(room_keys::get_latest_backup_info).post(room_keys::create_backup_version))
        .at("/_matrix/client/v3/room_keys/version/{version}", get(room_keys::get_backup_info).put(room_keys::update_backup_version).delete(room_keys::delete_backup_version))
        .at("/_matrix/client/v3/room_keys/keys", get(room_keys::get_backup_keys).put(room_keys::add_backup_keys).delete(room_keys::delete_backup_keys))
        .at("/_matrix/client/v3/room_keys/keys/{roomId}", get(room_keys::get_backup_keys_for_room).put(room_keys::add_backup_keys_for_room).delete(room_keys::delete_backup_keys_for_room))
        .at("/_matrix/client/v3/room_keys/keys/{roomId}/{sessionId}", get(room_keys::get_backup_keys_for_session).put(room_keys::add_backup_keys_for_session).delete(room_keys::delete_backup_keys_for_session))
}

/// Files.
#[rustfmt::skip]
fn media() -> Routes {
    Routes::new()
        .at_each(&["/_matrix/client/v1/media/config", "/_matrix/media/v3/config"], get(media::get_media_config))
        .at_each(&["/_matrix/client/v1/media/preview_url", "/_matrix/media/v3/preview_url"], get(preview::get_media_preview))
        .at("/_matrix/media/v3/upload", post(media::create_content))
        .at("/_matrix/media/v1/create", post(media::create_mxc_uri))
        .at("/_matrix/media/v3/upload/{serverName}/{mediaId}", put(media::create_content_async))
        .at("/_matrix/client/v1/media/download/{serverName}/{mediaId}", get(media::get_content))
        .at("/_matrix/client/v1/media/download/{serverName}/{mediaId}/{fileName}", get(media::get_content_as_filename))
        .at("/_matrix/client/v1/media/thumbnail/{serverName}/{mediaId}", get(media::get_content_thumbnail))
        .at("/_matrix/media/v3/download/{serverName}/{mediaId}", get(media::get_content_frozen))
        .at("/_matrix/media/v3/download/{serverName}/{mediaId}/{fileName}", get(media::get_content_as_filename_frozen))
        .at("/_matrix/media/v3/thumbnail/{serverName}/{mediaId}", get(media::get_content_thumbnail_frozen))
}

/// How far users have read, and who is typing.
#[rustfmt::skip]
fn marks() -> Routes {
    Routes::new()
        .at("/_matrix/client/v3/rooms/{roomId}/receipt/{receiptType}/{eventId}", post(receipt::create_receipt))
        .at("/_matrix/client/v3/rooms/{roomId}/read_markers", post(read_markers::set_read_marker))
        .at("/_matrix/client/v3/rooms/{roomId}/typing/{userId}", put(typing::create_typing_event))
        .at("/_matrix/client/v3/notifications", get(notifications::get_notifications))
}
