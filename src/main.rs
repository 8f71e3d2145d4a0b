//! The command `kontor`.

mod admin;
mod allocator;
mod app;
mod cli;
mod client;
mod config;
mod demo;
mod http;
mod serve;
#[cfg(test)]
mod testing;
mod text;
#[cfg(test)]
mod tidy;
mod workers;

use std::{path::PathBuf, process::ExitCode};

use clap::Parser;

use crate::{
    admin::{Command, UserAct, UserCommand},
    app::Appservices,
    cli::{
        Cli, HomeserverCommand, PasswordSource, StoreCommand, Subcommands, User, UserSubcommand,
    },
    config::Config,
    serve::RunError,
};

/// Threads that may wait for the disk at the same time, besides a few for each processor. Each that
/// was ever needed takes memory: what comes meanwhile waits in a queue.
const WAITING_THREADS: usize = 8;

fn main() -> ExitCode {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .max_blocking_threads(WAITING_THREADS + 4 * cores)
        .build();
    match runtime {
        Ok(runtime) => serve::exit_code(runtime.block_on(run(Cli::parse()))),
        Err(error) => serve::exit_code(Err(RunError::Runtime(error))),
    }
}

async fn run(cli: Cli) -> Result<Vec<String>, RunError> {
    match cli.command {
        Subcommands::Serve(file) => {
            serve::serve(load(file.config)?).await?;
            Ok(Vec::new())
        }
        Subcommands::Demo { folder } => {
            demo::run(folder, std::env::vars()).await?;
            Ok(Vec::new())
        }
        Subcommands::Check(file) => {
            let name = file.config.display().to_string();
            let config = load(file.config)?;
            Appservices::load(&config)?;
            Ok(vec![format!("{name}: no mistakes")])
        }
        Subcommands::Homeserver(command) => {
            let (file, command) = homeserver_order(command);
            serve::order(load(file)?, command).await
        }
        Subcommands::Store(StoreCommand::Compact(file)) => {
            serve::order(load(file.config)?, Command::CompactStore).await
        }
        Subcommands::User(command) => {
            let (file, command) = user_order(command)?;
            serve::order(load(file)?, command).await
        }
    }
}

/// Reads the configuration. The only place that asks the system for the environment.
fn load(file: PathBuf) -> Result<Config, RunError> {
    Ok(Config::load(&file, std::env::vars())?)
}

fn homeserver_order(command: HomeserverCommand) -> (PathBuf, Command) {
    match command {
        HomeserverCommand::List { config } => (config.config, Command::ListHomeservers),
        HomeserverCommand::Create { name, config } => {
            (config.config, Command::CreateHomeserver { name })
        }
        HomeserverCommand::RotateKey { name, config } => {
            (config.config, Command::RotateKey { name })
        }
        HomeserverCommand::Delete { name, config } => {
            (config.config, Command::DeleteHomeserver { name })
        }
        HomeserverCommand::Export { name, file, config } => {
            (config.config, Command::ExportHomeserver { name, file: absolute(file) })
        }
        HomeserverCommand::Import { file, config } => {
            (config.config, Command::ImportHomeserver { file: absolute(file) })
        }
    }
}

fn user_order(command: UserSubcommand) -> Result<(PathBuf, Command), RunError> {
    let (config, user, act) = match command {
        UserSubcommand::Create { user, password, admin, config } => {
            (config, user, UserAct::Create { password: read(password)?, admin })
        }
        UserSubcommand::ResetPassword { user, password, config } => {
            (config, user, UserAct::ResetPassword { password: read(password)? })
        }
        UserSubcommand::Deactivate { user, erase, config } => {
            (config, user, UserAct::Deactivate { erase })
        }
    };
    let User { homeserver, localpart } = user;
    Ok((config.config, Command::User(UserCommand { homeserver, localpart, act })))
}

fn read(password: PasswordSource) -> Result<Option<String>, RunError> {
    if !password.password_stdin {
        return Ok(None);
    }
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).map_err(RunError::Input)?;
    Ok(Some(line.trim_end_matches(['\r', '\n']).to_owned()))
}

/// The server that runs may have another working directory.
fn absolute(file: PathBuf) -> PathBuf {
    std::path::absolute(&file).unwrap_or(file)
}
