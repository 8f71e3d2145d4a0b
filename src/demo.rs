//! `kontor demo`: one process that hosts two companies, whose people talk to each other before
//! your eyes, and then to you.
//!
//! Everything that is shown goes through the public HTTP API, over TLS with certificates that the
//! demo makes for itself; what the companies say to each other is signed and verified as between
//! any two servers.

mod conversation;
mod names;
mod people;

use std::{
    fs, io,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use web::outbound::{AddressPolicy, Outbound, OutboundError, OutboundSettings, TlsError};

use self::people::Person;
use crate::{
    admin::{self, Command, UserAct, UserCommand},
    app::Homeservers,
    config::Config,
    serve::{self, RunError, Server},
};

/// The two companies. Names under `localhost` mean this machine, everywhere.
const ACME: &str = "acme.localhost";
const GLOBEX: &str = "globex.localhost";

/// Why there is nothing to show.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DemoError {
    #[error("{}: {cause}", path.display())]
    Files { path: PathBuf, cause: io::Error },
    #[error("certificates cannot be made: {0}")]
    Certificates(#[from] rcgen::Error),
    #[error(transparent)]
    Client(#[from] TlsError),
    #[error(transparent)]
    Call(#[from] OutboundError),
    #[error("{0}")]
    Order(String),
    #[error("{what} was answered with {status}: {body}")]
    Refused { what: String, status: http::StatusCode, body: String },
    #[error("there must be a TLS listener")]
    NoTls,
    #[error("{0} did not happen in time")]
    Late(String),
}

/// Runs the demo in this folder until it is stopped. The environment may override its
/// configuration like any other.
pub(crate) async fn run(
    folder: PathBuf,
    environment: impl Iterator<Item = (String, String)>,
) -> Result<(), RunError> {
    let files = names::prepare(&folder)?;
    let config = Config::named(Path::new("demo"), &configuration(&folder, &files), environment)?;
    serve::log_to_stderr(&config);
    let stop = serve::stop_signal().map_err(RunError::Signals)?;
    let server = Server::start(config).await?;
    let (plain, tls) = server.addresses();
    let tls = tls.ok_or(DemoError::NoTls)?;
    let homeservers = server.homeservers.clone();
    let ca = files.ca_pem.clone();
    let show = tokio::spawn(async move {
        let shown = show(&folder, &homeservers, ca, (plain, tls)).await;
        if let Err(error) = shown {
            println!("\nThe demonstration ended early: {}", web::error::chain(&error));
        }
    });
    server.run(stop).await;
    show.abort();
    Ok(())
}

fn configuration(folder: &Path, files: &names::Files) -> String {
    let quoted = |path: &Path| toml_edit::Value::from(path.display().to_string());
    format!(
        "data_dir = {data}
        [[homeserver]]
        server_name = \"{ACME}\"
        [[homeserver]]
        server_name = \"{GLOBEX}\"
        [http]
        listen = [\"127.0.0.1:8008\"]
        listen_tls = [\"127.0.0.1:8448\"]
        tls_certificate = {certificate}
        tls_private_key = {key}
        [outbound]
        allow_private_addresses = true
        [log]
        filter = \"warn,kontor::serve=error\"",
        data = quoted(folder),
        certificate = quoted(&files.certificate),
        key = quoted(&files.private_key),
    )
}

async fn show(
    folder: &Path,
    homeservers: &Homeservers,
    ca_pem: Vec<u8>,
    (plain, tls): (Option<SocketAddr>, SocketAddr),
) -> Result<(), DemoError> {
    let policy = AddressPolicy::allow_all();
    let settings =
        OutboundSettings { policy, extra_roots_pem: ca_pem, ..OutboundSettings::default() };
    let outbound = Outbound::new(settings)?;
    let mut people = Vec::new();
    for (localpart, company) in [("alice", ACME), ("bob", GLOBEX)] {
        let password = password(folder, homeservers, localpart, company).await?;
        people
            .push((Person::log_in(&outbound, tls, company, localpart, &password).await?, password));
    }
    let [(alice, _), (bob, _)] = &mut people[..] else { return Ok(()) };
    println!("Two companies in one process: {ACME} and {GLOBEX}.\n");
    conversation::hold(alice, bob).await?;
    println!("\nNow you. Log in with any Matrix client; press Ctrl-C here to stop.\n");
    for (person, password) in &people {
        println!("  homeserver  https://{}:{}", person.company, tls.port());
        if let Some(plain) = plain {
            println!("  or          http://{}:{}", person.company, plain.port());
        }
        println!("  user        {}", person.user_id);
        println!("  password    {password}\n");
    }
    println!("Clients that insist on HTTPS must trust {}.", folder.join("ca.pem").display());
    Ok(())
}

/// The password of a user, who is created at the first time.
async fn password(
    folder: &Path,
    homeservers: &Homeservers,
    localpart: &str,
    company: &str,
) -> Result<String, DemoError> {
    let path = folder.join(format!("password-{localpart}"));
    if let Ok(password) = fs::read_to_string(&path) {
        return Ok(password);
    }
    let homeserver = company.try_into().map_err(|_| DemoError::Order(company.to_owned()))?;
    let act = UserAct::Create { password: None, admin: false };
    let command = UserCommand { homeserver, localpart: localpart.to_owned(), act };
    let lines = admin::execute(homeservers, Command::User(command)).await;
    let lines = lines.map_err(DemoError::Order)?;
    let drawn = lines.iter().find_map(|line| line.strip_prefix("password: "));
    let drawn = drawn.unwrap_or_default().to_owned();
    names::write_secret(&path, &drawn)?;
    Ok(drawn)
}
