//! What harnesses, packagers and administrators may rely on: the command line, the configuration,
//! signals, and the errors of the HTTP surface that belong to no endpoint.

#[path = "contract/companies.rs"]
mod companies;
#[path = "contract/configuration.rs"]
mod configuration;
#[path = "contract/http.rs"]
mod http;
#[path = "contract/process.rs"]
mod process;

use harness::{Authority, Kind, Options, Server};
use std::sync::Arc;

fn kontor() -> Kind {
    Kind::Kontor(env!("CARGO_BIN_EXE_kontor").into())
}

async fn started(options: Options) -> Server {
    Server::started(kontor(), &Arc::new(Authority::new()), options).await
}
