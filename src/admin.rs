//! What an administrator can order: the same commands on a running process, through its socket,
//! and on a stopped one, whose store is opened for it.

pub(crate) mod socket;
mod users;

use std::path::PathBuf;

use ruma::OwnedServerName;
use serde::{Deserialize, Serialize};

pub(crate) use self::users::{UserAct, UserCommand};
use crate::app::Homeservers;

/// An order. It may hold a password, so it has no `Debug`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "snake_case")]
pub(crate) enum Command {
    ListHomeservers,
    CreateHomeserver { name: OwnedServerName },
    RotateKey { name: OwnedServerName },
    DeleteHomeserver { name: OwnedServerName },
    ExportHomeserver { name: OwnedServerName, file: PathBuf },
    ImportHomeserver { file: PathBuf },
    CompactStore,
    User(UserCommand),
}

/// What to tell whoever ordered, line by line; or what went wrong.
pub(crate) type Answer = Result<Vec<String>, String>;

/// Does what is ordered.
pub(crate) async fn execute(homeservers: &Homeservers, command: Command) -> Answer {
    match command {
        Command::ListHomeservers => {
            Ok(homeservers.names().iter().map(ToString::to_string).collect())
        }
        Command::CreateHomeserver { name } => {
            homeservers.create(&name).await.map_err(|error| about(&name, error))?;
            Ok(vec![format!("{name}: created")])
        }
        Command::RotateKey { name } => {
            let key_id =
                homeservers.rotate_key(&name).await.map_err(|error| about(&name, error))?;
            Ok(vec![format!("{name}: signs with {key_id}")])
        }
        Command::DeleteHomeserver { name } => {
            homeservers.delete(&name).await.map_err(|error| about(&name, error))?;
            Ok(vec![format!("{name}: deleted")])
        }
        Command::ExportHomeserver { name, file } => {
            homeservers.export(&name, &file).await.map_err(|error| about(&name, error))?;
            Ok(vec![format!("{name}: exported to {}", file.display())])
        }
        Command::ImportHomeserver { file } => {
            let imported = homeservers.import(&file).await;
            let name = imported.map_err(|error| about(&file.display(), error))?;
            Ok(vec![format!("{name}: imported")])
        }
        Command::CompactStore => {
            homeservers.compact().await.map_err(|error| about(&"the store", error))?;
            Ok(vec!["compacted".to_owned()])
        }
        Command::User(command) => users::execute(homeservers, command).await,
    }
}

/// What went wrong, and with what.
fn about(what: &impl ToString, error: impl std::error::Error) -> String {
    format!("{}: {}", what.to_string(), web::error::chain(&error))
}
