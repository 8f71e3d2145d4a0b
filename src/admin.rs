//! What an administrator can order: the same commands on a running process, through its socket,
//! and on a stopped one, whose store is opened for it.

pub(crate) mod socket;

use std::path::PathBuf;

use ruma::OwnedServerName;
use serde::{Deserialize, Serialize};

use crate::app::Homeservers;

/// An order.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "snake_case")]
pub(crate) enum Command {
    ListHomeservers,
    CreateHomeserver { name: OwnedServerName },
    DeleteHomeserver { name: OwnedServerName },
    ExportHomeserver { name: OwnedServerName, file: PathBuf },
    ImportHomeserver { file: PathBuf },
}

/// What to tell whoever ordered, line by line; or what went wrong.
pub(crate) type Answer = Result<Vec<String>, String>;

/// Does what is ordered.
pub(crate) async fn execute(homeservers: &Homeservers, command: Command) -> Answer {
    let done = |text: String| Ok(vec![text]);
    match command {
        Command::ListHomeservers => {
            Ok(homeservers.names().iter().map(ToString::to_string).collect())
        }
        Command::CreateHomeserver { name } => {
            homeservers.create(&name).await.map_err(text)?;
            done(format!("{name} created"))
        }
        Command::DeleteHomeserver { name } => {
            homeservers.delete(&name).await.map_err(text)?;
            done(format!("{name} deleted"))
        }
        Command::ExportHomeserver { name, file } => {
            homeservers.export(&name, &file).await.map_err(text)?;
            done(format!("{name} exported to {}", file.display()))
        }
        Command::ImportHomeserver { file } => {
            let name = homeservers.import(&file).await.map_err(text)?;
            done(format!("{name} imported"))
        }
    }
}

fn text(error: impl std::error::Error) -> String {
    web::error::chain(&error)
}
