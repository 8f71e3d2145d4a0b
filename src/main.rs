//! The command `kontor`.

mod admin;
mod app;
mod cli;
mod client;
mod config;
mod http;
mod serve;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tidy;
mod workers;

use std::{path::PathBuf, process::ExitCode};

use clap::Parser;

use crate::{
    admin::Command,
    cli::{Cli, HomeserverCommand, Subcommands},
    config::Config,
    serve::RunError,
};

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

#[tokio::main]
async fn main() -> ExitCode {
    serve::exit_code(run(Cli::parse()).await)
}

async fn run(cli: Cli) -> Result<Vec<String>, RunError> {
    match cli.command {
        Subcommands::Serve(file) => {
            serve::serve(load(file.config)?).await?;
            Ok(Vec::new())
        }
        Subcommands::Check(file) => {
            let name = file.config.display().to_string();
            load(file.config)?;
            Ok(vec![format!("{name}: no mistakes")])
        }
        Subcommands::Homeserver(command) => {
            let (file, command) = order(command);
            serve::order(load(file)?, command).await
        }
    }
}

/// Reads the configuration. The only place that asks the system for the environment.
fn load(file: PathBuf) -> Result<Config, RunError> {
    Ok(Config::load(&file, std::env::vars())?)
}

fn order(command: HomeserverCommand) -> (PathBuf, Command) {
    match command {
        HomeserverCommand::List { config } => (config.config, Command::ListHomeservers),
        HomeserverCommand::Create { name, config } => {
            (config.config, Command::CreateHomeserver { name })
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

/// The server that runs may have another working directory.
fn absolute(file: PathBuf) -> PathBuf {
    std::path::absolute(&file).unwrap_or(file)
}
