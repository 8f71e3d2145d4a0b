//! Which names users may have.
//!
//! <https://spec.matrix.org/v1.19/appendices/#user-identifiers>

use ruma::UserId;

use super::Accounts;

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
    pub(super) fn allowed_name(&self, username: &str, by_admin: bool) -> Result<String, NameError> {
        let localpart = username.to_ascii_lowercase();
        let user_id = format!("@{localpart}:{}", self.context.server_name);
        let valid = !localpart.is_empty()
            && user_id.len() <= USER_ID_BYTES_MAX
            && localpart.bytes().all(is_allowed)
            && UserId::parse(&user_id).is_ok();
        if !valid {
            return Err(NameError::Invalid);
        }
        if !by_admin && self.policy.reserved.contains(&localpart) {
            return Err(NameError::Reserved);
        }
        Ok(localpart)
    }
}

/// "a-z, 0-9, ., _, =, -, / and +"
fn is_allowed(byte: u8) -> bool {
    matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'_' | b'=' | b'-' | b'/' | b'+')
}
