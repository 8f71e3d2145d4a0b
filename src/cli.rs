//! The commands of `kontor`.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use ruma::OwnedServerName;

/// A Matrix homeserver for companies.
#[derive(Debug, Parser)]
#[command(version, arg_required_else_help = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Subcommands,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Subcommands {
    /// Run the server in the foreground.
    Serve(ConfigFile),
    /// Name every mistake in a configuration.
    Check(ConfigFile),
    /// Create, list, export, import and delete homeservers.
    #[command(subcommand)]
    Homeserver(HomeserverCommand),
}

#[derive(Clone, Debug, Args)]
pub(crate) struct ConfigFile {
    /// The configuration in TOML; config/kontor.toml documents every key.
    #[arg(long, value_name = "FILE")]
    pub(crate) config: PathBuf,
}

#[derive(Debug, Subcommand)]
pub(crate) enum HomeserverCommand {
    /// Create a homeserver with new keys.
    Create {
        name: OwnedServerName,
        #[command(flatten)]
        config: ConfigFile,
    },
    /// List the homeservers.
    List {
        #[command(flatten)]
        config: ConfigFile,
    },
    /// Write everything of a homeserver, its keys included, into one file.
    Export {
        name: OwnedServerName,
        file: PathBuf,
        #[command(flatten)]
        config: ConfigFile,
    },
    /// Read a homeserver back from a file.
    Import {
        file: PathBuf,
        #[command(flatten)]
        config: ConfigFile,
    },
    /// Delete a homeserver and everything of it, for ever.
    Delete {
        name: OwnedServerName,
        #[command(flatten)]
        config: ConfigFile,
    },
}
