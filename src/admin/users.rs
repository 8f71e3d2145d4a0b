//! Orders about one user.

use ruma::{OwnedServerName, OwnedUserId, UserId};
use serde::{Deserialize, Serialize};
use services::accounts::{Accounts, NewAccount};

use super::{Answer, about};
use crate::app::Homeservers;

#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct UserCommand {
    pub(crate) homeserver: OwnedServerName,
    pub(crate) localpart: String,
    pub(crate) act: UserAct,
}

#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "act", rename_all = "snake_case")]
pub(crate) enum UserAct {
    /// Without a password one is drawn and told.
    Create {
        password: Option<String>,
        admin: bool,
    },
    /// All sessions end. Without a password one is drawn and told.
    ResetPassword {
        password: Option<String>,
    },
    Deactivate {
        erase: bool,
    },
}

pub(super) async fn execute(homeservers: &Homeservers, command: UserCommand) -> Answer {
    let UserCommand { homeserver: name, localpart, act } = command;
    let app = homeservers.get(&name).await.map_err(|error| about(&name, error))?;
    let app = app.ok_or_else(|| format!("{name}: there is no homeserver of this name"))?;
    let drawn = app.services.context.ids.opaque_id();
    let accounts = &app.services.accounts;
    match act {
        UserAct::Create { password, admin } => {
            create(accounts, &localpart, Password::given_or(password, drawn), admin).await
        }
        UserAct::ResetPassword { password } => {
            let user = user_id(&name, &localpart)?;
            let password = Password::given_or(password, drawn);
            let set = accounts.set_password(&user, &password.text, Some(None)).await;
            set.map_err(|error| about(&user, error))?;
            Ok(password.told(format!("{user}: new password set, all sessions ended")))
        }
        UserAct::Deactivate { erase } => {
            let user = user_id(&name, &localpart)?;
            accounts.deactivate(&user, erase).await.map_err(|error| about(&user, error))?;
            Ok(vec![format!("{user}: deactivated")])
        }
    }
}

async fn create(accounts: &Accounts, localpart: &str, password: Password, admin: bool) -> Answer {
    let new = NewAccount {
        username: Some(localpart.to_owned()),
        password: Some(password.text.clone()),
        admin,
        by_admin: true,
        ..NewAccount::default()
    };
    let registered = accounts.register(new).await.map_err(|error| about(&localpart, error))?;
    Ok(password.told(format!("{}: created", registered.user_id)))
}

fn user_id(name: &OwnedServerName, localpart: &str) -> Result<OwnedUserId, String> {
    let id = UserId::parse(format!("@{localpart}:{name}"));
    id.map_err(|error| about(&localpart, error))
}

struct Password {
    text: String,
    /// Whoever ordered does not know it.
    drawn: bool,
}

impl Password {
    fn given_or(given: Option<String>, drawn: String) -> Self {
        match given {
            Some(text) => Self { text, drawn: false },
            None => Self { text: drawn, drawn: true },
        }
    }

    fn told(self, done: String) -> Vec<String> {
        let mut lines = vec![done];
        if self.drawn {
            lines.push(format!("password: {}", self.text));
        }
        lines
    }
}

#[cfg(test)]
mod tests;
