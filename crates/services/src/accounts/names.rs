//! Which names users may have.
//!
//! <https://spec.matrix.org/v1.19/appendices/#user-identifiers>

use ruma::UserId;

use super::{Accounts, NewAccount};

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    #[error("the name is not a valid user name")]
    Invalid,
    #[error("the name is taken")]
    InUse,
    #[error("the name is reserved")]
    Reserved,
}

/// Bytes of a whole user id.
const USER_ID_BYTES_MAX: usize = 255;

impl Accounts {
    /// The localpart that the name stands for: it is written in lower case, so that no two names
    /// differ in nothing but case.
    pub(super) fn allowed_name(
        &self,
        username: &str,
        new: &NewAccount,
    ) -> Result<String, NameError> {
        let localpart = username.to_ascii_lowercase();
        let user_id = format!("@{localpart}:{}", self.context.server_name);
        let written_well = !localpart.is_empty()
            && user_id.len() <= USER_ID_BYTES_MAX
            && localpart.bytes().all(is_allowed);
        let user_id = UserId::parse(&user_id).ok().filter(|_| written_well);
        let user_id = user_id.ok_or(NameError::Invalid)?;
        let reserved = match &new.appservice {
            Some(own) => {
                !own.covers_user(&user_id) || self.appservices.reserve_user(&user_id, Some(own))
            }
            None => {
                !new.by_admin
                    && (self.policy.reserved.contains(&localpart)
                        || self.appservices.reserve_user(&user_id, None))
            }
        };
        if reserved { Err(NameError::Reserved) } else { Ok(localpart) }
    }
}

/// "a-z, 0-9, ., _, =, -, / and +"
fn is_allowed(byte: u8) -> bool {
    matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'_' | b'=' | b'-' | b'/' | b'+')
}
