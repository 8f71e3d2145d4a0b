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
    /// Show two companies that talk to each other, and stay up for any client.
    Demo {
        /// Where everything is kept.
        #[arg(long, value_name = "FOLDER", default_value = "data/demo")]
        folder: PathBuf,
    },
    /// Name every mistake in a configuration.
    Check(ConfigFile),
    /// Create, list, export, import and delete homeservers, and give them new keys.
    #[command(subcommand)]
    Homeserver(HomeserverCommand),
    /// Care for the store on disk.
    #[command(subcommand)]
    Store(StoreCommand),
    /// Create and deactivate users, give them new passwords.
    #[command(subcommand)]
    User(UserSubcommand),
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
    /// Let a homeserver sign with a new key from now on. What the old one signed stays valid.
    RotateKey {
        name: OwnedServerName,
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

#[derive(Debug, Subcommand)]
pub(crate) enum StoreCommand {
    /// Give back the disk that deleted and overwritten data still takes. The server does so by
    /// itself, in its own time; this does it all now, and serves meanwhile.
    Compact(ConfigFile),
}

#[derive(Debug, Subcommand)]
pub(crate) enum UserSubcommand {
    /// Create a user. Without --password-stdin a password is drawn and printed.
    Create {
        #[command(flatten)]
        user: User,
        #[command(flatten)]
        password: PasswordSource,
        /// An administrator of the homeserver.
        #[arg(long)]
        admin: bool,
        #[command(flatten)]
        config: ConfigFile,
    },
    /// Set a new password and end all sessions. Without --password-stdin one is drawn and printed.
    ResetPassword {
        #[command(flatten)]
        user: User,
        #[command(flatten)]
        password: PasswordSource,
        #[command(flatten)]
        config: ConfigFile,
    },
    /// End all sessions and every way to log in, for ever.
    Deactivate {
        #[command(flatten)]
        user: User,
        /// Forget the profile too.
        #[arg(long)]
        erase: bool,
        #[command(flatten)]
        config: ConfigFile,
    },
}

#[derive(Clone, Debug, Args)]
pub(crate) struct User {
    /// The name of the homeserver.
    pub(crate) homeserver: OwnedServerName,
    /// The user's name: what stands between the @ and the colon of his id.
    pub(crate) localpart: String,
}

/// A password in the arguments could be read by every user of the machine.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct PasswordSource {
    /// Read the password from the first line of the standard input.
    #[arg(long)]
    pub(crate) password_stdin: bool,
}
