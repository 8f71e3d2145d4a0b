//! The cases, one file for each area of the specification.

mod account_data;
mod accounts;
mod aliases;
mod branches;
mod bridges;
mod device_lists;
mod devices;
mod federated_events;
mod federated_joins;
mod federated_queries;
mod federated_rooms;
mod gaps;
mod history;
mod invalid;
mod keys;
mod knocking;
mod leaving;
mod media;
mod membership;
mod messages;
mod passwords;
mod power;
mod presence;
mod processes;
mod profile;
mod push;
mod receipts;
mod registration;
mod relations;
mod restricted;
mod rooms;
mod search;
mod secrets;
mod spaces;
mod sync;
mod transactions;
mod twelve;
mod upgrades;
mod versions;

use crate::case::Case;

/// Every case.
pub fn cases() -> Vec<Case> {
    let areas = [
        versions::cases(),
        invalid::cases(),
        registration::cases(),
        accounts::cases(),
        passwords::cases(),
        devices::cases(),
        profile::cases(),
        account_data::cases(),
        rooms::cases(),
        aliases::cases(),
        membership::cases(),
        leaving::cases(),
        history::cases(),
        power::cases(),
        messages::cases(),
        relations::cases(),
        transactions::cases(),
        sync::cases(),
        presence::cases(),
        search::cases(),
        spaces::cases(),
        upgrades::cases(),
        bridges::cases(),
        branches::cases(),
        receipts::cases(),
        push::cases(),
        media::cases(),
        keys::cases(),
        device_lists::cases(),
        secrets::cases(),
        knocking::cases(),
        restricted::cases(),
        twelve::cases(),
        federated_joins::cases(),
        federated_rooms::cases(),
        federated_events::cases(),
        gaps::cases(),
        federated_queries::cases(),
        processes::cases(),
    ];
    areas.into_iter().flatten().collect()
}
