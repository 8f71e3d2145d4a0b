//! The cases, one file for each area of the specification.

mod accounts;
mod devices;
mod passwords;
mod registration;
mod rooms;
mod sync;
mod versions;

use crate::case::Case;

/// Every case.
pub fn cases() -> Vec<Case> {
    let areas = [
        versions::cases(),
        registration::cases(),
        accounts::cases(),
        passwords::cases(),
        devices::cases(),
        rooms::cases(),
        sync::cases(),
    ];
    areas.into_iter().flatten().collect()
}
