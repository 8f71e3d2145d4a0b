//! The configuration: read once at start, every mistake named with its line, and parsed into types
//! that cannot be wrong.
//!
//! `config/kontor.toml` documents every key. Any key can be overridden by an environment variable
//! `KONTOR__SECTION__KEY`, whose value is TOML, or plain text where that is no TOML.

mod read;
mod sections;
mod tree;

use std::{
    fmt, io,
    net::SocketAddr,
    num::NonZeroU32,
    path::{Path, PathBuf},
};

use ipnet::IpNet;
use ruma::{OwnedServerName, RoomVersionId};
use web::limits::Rate;

pub(crate) use self::tree::Place;
use self::{read::Section, tree::Node};

/// Everything an operator can decide.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Config {
    pub(crate) data_dir: PathBuf,
    pub(crate) homeservers: Vec<HomeserverConfig>,
    pub(crate) http: HttpConfig,
    pub(crate) admin: AdminConfig,
    pub(crate) federation: FederationConfig,
    pub(crate) outbound: OutboundConfig,
    pub(crate) registration: RegistrationConfig,
    pub(crate) rate_limits: RateLimitsConfig,
    pub(crate) rooms: RoomsConfig,
    pub(crate) media: MediaConfig,
    pub(crate) appservices: AppservicesConfig,
    pub(crate) user_directory: UserDirectoryConfig,
    pub(crate) turn: TurnConfig,
    pub(crate) rtc: RtcConfig,
    pub(crate) log: LogConfig,
}

/// One company. More can be created while the server runs.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct HomeserverConfig {
    pub(crate) server_name: OwnedServerName,
    /// Further names under which clients and reverse proxies reach it, in lower case.
    pub(crate) hosts: Vec<String>,
    /// What `/.well-known/matrix/client` says; by default the host that was asked.
    pub(crate) client_url: Option<url::Url>,
    /// What `/.well-known/matrix/server` says; absent if there is no delegation.
    pub(crate) federation_address: Option<OwnedServerName>,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct HttpConfig {
    pub(crate) listen: Vec<SocketAddr>,
    pub(crate) listen_tls: Vec<SocketAddr>,
    /// Chosen by the name that the client asks for; never empty if `listen_tls` is not.
    pub(crate) certificates: Vec<CertificateFiles>,
    pub(crate) trusted_proxies: Vec<IpNet>,
    pub(crate) connections_max: usize,
    pub(crate) connections_per_address_max: usize,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CertificateFiles {
    pub(crate) certificate: PathBuf,
    pub(crate) private_key: PathBuf,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct AdminConfig {
    pub(crate) socket: PathBuf,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct FederationConfig {
    pub(crate) enabled: bool,
    pub(crate) extra_ca_file: Option<PathBuf>,
    /// Servers that are asked for the keys of servers that do not answer.
    pub(crate) notaries: Vec<OwnedServerName>,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct OutboundConfig {
    pub(crate) allow_private_addresses: bool,
    pub(crate) allow_networks: Vec<IpNet>,
    /// The DNS server that is asked instead of the system's.
    pub(crate) name_server: Option<SocketAddr>,
}

#[derive(Clone, PartialEq)]
pub(crate) struct RegistrationConfig {
    pub(crate) enabled: bool,
    pub(crate) tokens: Vec<String>,
    pub(crate) shared_secret: Option<String>,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct RateLimitsConfig {
    pub(crate) enabled: bool,
    pub(crate) login: Rate,
    pub(crate) registration: Rate,
    pub(crate) message: Rate,
    pub(crate) join: Rate,
    pub(crate) invite: Rate,
    pub(crate) upload: Rate,
    pub(crate) federation: Rate,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct RoomsConfig {
    pub(crate) default_version: RoomVersionId,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct MediaConfig {
    pub(crate) upload_bytes_max: u64,
    pub(crate) remote_bytes_max: u64,
    pub(crate) unauthenticated: bool,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct UserDirectoryConfig {
    pub(crate) search_all_users: bool,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct AppservicesConfig {
    pub(crate) directory: Option<PathBuf>,
}

#[derive(Clone, PartialEq)]
pub(crate) struct TurnConfig {
    pub(crate) uris: Vec<String>,
    pub(crate) shared_secret: Option<String>,
    pub(crate) ttl_s: u64,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct RtcConfig {
    pub(crate) livekit_service_url: Option<url::Url>,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct LogConfig {
    pub(crate) filter: String,
}

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConfigError {
    #[error("{}: {cause}", path.display())]
    Unreadable { path: PathBuf, cause: io::Error },
    #[error("{mistakes}")]
    Mistakes { mistakes: Mistakes },
}

/// Everything that is wrong, in the order of the lines.
#[derive(Debug)]
pub(crate) struct Mistakes {
    file: PathBuf,
    pub(crate) list: Vec<Mistake>,
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mistake {
    pub(crate) place: Place,
    pub(crate) what: String,
}

impl Config {
    /// Reads the file, and lets the given environment override it.
    pub(crate) fn load(
        path: &Path,
        environment: impl Iterator<Item = (String, String)>,
    ) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path)
            .map_err(|cause| ConfigError::Unreadable { path: path.to_owned(), cause })?;
        Self::named(path, &text, environment)
    }

    /// The same of a text, which messages call by this name.
    pub(crate) fn named(
        name: &Path,
        text: &str,
        environment: impl Iterator<Item = (String, String)>,
    ) -> Result<Self, ConfigError> {
        Self::parse(text, environment).map_err(|mut list| {
            list.sort_by_key(|mistake| mistake.place.clone());
            ConfigError::Mistakes { mistakes: Mistakes { file: name.to_owned(), list } }
        })
    }

    pub(crate) fn parse(
        text: &str,
        environment: impl Iterator<Item = (String, String)>,
    ) -> Result<Self, Vec<Mistake>> {
        let mut root = Node::parse(text).map_err(|mistake| vec![mistake])?;
        let mut mistakes = Vec::new();
        for (name, value) in environment {
            root.overlay(&name, &value, &mut mistakes);
        }
        let mut section = Section::root(root, &mut mistakes);
        let config = Self::read(&mut section);
        section.finish();
        if mistakes.is_empty() { Ok(config) } else { Err(mistakes) }
    }
}

impl fmt::Debug for RegistrationConfig {
    /// Without the secrets, so that no log shows them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RegistrationConfig")
            .field("enabled", &self.enabled)
            .field("tokens", &self.tokens.len())
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for TurnConfig {
    /// Without the secret, so that no log shows it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TurnConfig").field("uris", &self.uris).finish_non_exhaustive()
    }
}

impl fmt::Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (nth, Mistake { place, what }) in self.list.iter().enumerate() {
            if nth > 0 {
                writeln!(f)?;
            }
            match place {
                Place::Line(line) => write!(f, "{}:{line}: {what}", self.file.display())?,
                Place::Environment(name) => write!(f, "environment variable {name}: {what}")?,
            }
        }
        Ok(())
    }
}

const fn rate(per_second: f64, burst: u32) -> Rate {
    match NonZeroU32::new(burst) {
        Some(burst) => Rate { per_second, burst },
        None => Rate { per_second, burst: NonZeroU32::MIN },
    }
}

#[cfg(test)]
mod tests;
