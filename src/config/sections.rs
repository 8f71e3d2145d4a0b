//! What each section may hold, and its defaults.

use std::{
    collections::BTreeSet,
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    str::FromStr,
};

use ipnet::IpNet;
use ruma::{OwnedServerName, RoomVersionId};
use url::Url;

use super::{
    AdminConfig, AppservicesConfig, CertificateFiles, Config, FederationConfig, HomeserverConfig,
    HttpConfig, LogConfig, MediaConfig, OutboundConfig, RateLimitsConfig, RegistrationConfig,
    RoomsConfig, RtcConfig, Section, TurnConfig, UserDirectoryConfig, rate,
};

const MEGABYTE: u64 = 1_000_000;
/// The versions that this server reads and writes.
const ROOM_VERSIONS: [&str; 7] = ["6", "7", "8", "9", "10", "11", "12"];
/// A secret that can be guessed is no secret.
const SECRET_CHARACTERS_MIN: usize = 8;
/// ruma tells of every event that it allows.
const FILTER_DEFAULT: &str = "info,ruma_state_res=warn";

impl Config {
    pub(super) fn read(root: &mut Section<'_>) -> Self {
        let data_dir = root.parsed("data_dir").unwrap_or_else(|| PathBuf::from("data"));
        let mut names = BTreeSet::new();
        let homeservers = root.tables("homeserver", |section| homeserver(section, &mut names));
        Self {
            admin: admin(root.table("admin"), &data_dir),
            homeservers,
            http: http(root.table("http")),
            federation: federation(root.table("federation")),
            outbound: outbound(root.table("outbound")),
            registration: registration(root.table("registration")),
            rate_limits: rate_limits(root.table("rate_limits")),
            rooms: rooms(root.table("rooms")),
            media: media(root.table("media")),
            appservices: appservices(root.table("appservices")),
            user_directory: user_directory(root.table("user_directory")),
            turn: turn(root.table("turn")),
            rtc: rtc(root.table("rtc")),
            log: log(root.table("log")),
            data_dir,
        }
    }
}

fn homeserver(
    section: &mut Section<'_>,
    names: &mut BTreeSet<OwnedServerName>,
) -> Option<HomeserverConfig> {
    let place = section.place_of("server_name");
    let is_missing = !section.has("server_name");
    let server_name = section.parsed::<ServerName>("server_name");
    let hosts = section.list::<String>("hosts").unwrap_or_default();
    let client_url = section.parsed("client_url");
    let federation_address = section.parsed::<ServerName>("federation_address");
    if is_missing {
        section.mistake(place.clone(), "server_name", "is needed");
    }
    let ServerName(server_name) = server_name?;
    if !names.insert(server_name.clone()) {
        section.mistake(place, "server_name", "is the name of another homeserver already");
    }
    Some(HomeserverConfig {
        server_name,
        hosts: hosts.into_iter().map(|host| host.to_lowercase()).collect(),
        client_url,
        federation_address: federation_address.map(|ServerName(name)| name),
    })
}

fn http(mut section: Section<'_>) -> HttpConfig {
    let listen_tls_place = section.place_of("listen_tls");
    let key_place = section.place_of("tls_private_key");
    let mistakes_before = section.mistakes();
    let listen = section.list("listen").unwrap_or_else(|| vec![default_listener()]);
    let listen_tls = section.list::<SocketAddr>("listen_tls").unwrap_or_default();
    let certificates = section.list::<PathBuf>("tls_certificate").unwrap_or_default();
    let keys = section.list::<PathBuf>("tls_private_key").unwrap_or_default();
    let proxies = section.list::<Network>("trusted_proxies");
    let connections_max = section.number("connections_max", 10_000, 1..=1_000_000);
    let per_address = section.number("connections_per_address_max", 1_000, 1..=1_000_000);
    let understood = section.mistakes() == mistakes_before;
    if understood && listen.is_empty() && listen_tls.is_empty() {
        section.mistake(listen_tls_place.clone(), "listen", "and http.listen_tls are both empty");
    }
    if certificates.len() != keys.len() {
        let what = format!(
            "must name one key for each certificate: there are {} for {}",
            keys.len(),
            certificates.len()
        );
        section.mistake(key_place, "tls_private_key", &what);
    }
    if !listen_tls.is_empty() && certificates.is_empty() {
        section.mistake(listen_tls_place, "listen_tls", "needs http.tls_certificate");
    }
    section.finish();
    HttpConfig {
        listen,
        listen_tls,
        certificates: certificates
            .into_iter()
            .zip(keys)
            .map(|(certificate, private_key)| CertificateFiles { certificate, private_key })
            .collect(),
        trusted_proxies: networks(proxies),
        connections_max: usize::try_from(connections_max).unwrap_or(usize::MAX),
        connections_per_address_max: usize::try_from(per_address).unwrap_or(usize::MAX),
    }
}

fn default_listener() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 8008))
}

fn admin(mut section: Section<'_>, data_dir: &std::path::Path) -> AdminConfig {
    let socket = section.parsed("socket").unwrap_or_else(|| data_dir.join("admin.sock"));
    section.finish();
    AdminConfig { socket }
}

fn federation(mut section: Section<'_>) -> FederationConfig {
    let enabled = section.boolean("enabled", true);
    let extra_ca_file = section.parsed("extra_ca_file");
    let notaries = section.list::<ServerName>("notaries").unwrap_or_default();
    let notaries = notaries.into_iter().map(|ServerName(name)| name).collect();
    section.finish();
    FederationConfig { enabled, extra_ca_file, notaries }
}

fn outbound(mut section: Section<'_>) -> OutboundConfig {
    let allow_private_addresses = section.boolean("allow_private_addresses", false);
    let allow_networks = networks(section.list::<Network>("allow_networks"));
    let name_server = section.parsed("name_server");
    section.finish();
    OutboundConfig { allow_private_addresses, allow_networks, name_server }
}

fn registration(mut section: Section<'_>) -> RegistrationConfig {
    let enabled = section.boolean("enabled", false);
    let tokens = section.list("tokens").unwrap_or_default();
    let shared_secret = secret(&mut section, "shared_secret");
    section.finish();
    RegistrationConfig { enabled, tokens, shared_secret }
}

fn secret(section: &mut Section<'_>, key: &str) -> Option<String> {
    let place = section.place_of(key);
    let secret = section.text(key)?;
    if secret.chars().count() < SECRET_CHARACTERS_MIN {
        let what = format!("must have {SECRET_CHARACTERS_MIN} characters or more");
        section.mistake(place, key, &what);
    }
    Some(secret)
}

fn rate_limits(mut section: Section<'_>) -> RateLimitsConfig {
    let config = RateLimitsConfig {
        enabled: section.boolean("enabled", true),
        login: section.rate("login", rate(0.2, 10)),
        registration: section.rate("registration", rate(0.1, 5)),
        message: section.rate("message", rate(5.0, 50)),
        join: section.rate("join", rate(0.5, 20)),
        invite: section.rate("invite", rate(0.5, 30)),
        upload: section.rate("upload", rate(1.0, 30)),
        federation: section.rate("federation", rate(50.0, 500)),
    };
    section.finish();
    config
}

fn rooms(mut section: Section<'_>) -> RoomsConfig {
    let place = section.place_of("default_version");
    let version = section.text("default_version").unwrap_or_else(|| "12".to_owned());
    let known = ROOM_VERSIONS.contains(&version.as_str());
    if !known {
        let what = format!("must be one of {}", ROOM_VERSIONS.join(", "));
        section.mistake(place, "default_version", &what);
    }
    section.finish();
    let default_version =
        RoomVersionId::from_str(&version).ok().filter(|_| known).unwrap_or(RoomVersionId::V12);
    RoomsConfig { default_version }
}

fn media(mut section: Section<'_>) -> MediaConfig {
    let config = MediaConfig {
        upload_bytes_max: section.number("upload_bytes_max", 100 * MEGABYTE, 1_000..=1 << 40),
        remote_bytes_max: section.number("remote_bytes_max", 100 * MEGABYTE, 1_000..=1 << 40),
        unauthenticated: section.boolean("unauthenticated", false),
    };
    section.finish();
    config
}

fn appservices(mut section: Section<'_>) -> AppservicesConfig {
    let directory = section.parsed("directory");
    section.finish();
    AppservicesConfig { directory }
}

fn user_directory(mut section: Section<'_>) -> UserDirectoryConfig {
    let search_all_users = section.boolean("search_all_users", true);
    section.finish();
    UserDirectoryConfig { search_all_users }
}

fn turn(mut section: Section<'_>) -> TurnConfig {
    let config = TurnConfig {
        uris: section.list("uris").unwrap_or_default(),
        shared_secret: secret(&mut section, "shared_secret"),
        ttl_s: section.number("ttl_s", 86_400, 60..=2_592_000),
    };
    section.finish();
    config
}

fn rtc(mut section: Section<'_>) -> RtcConfig {
    let livekit_service_url = section.parsed::<Url>("livekit_service_url");
    section.finish();
    RtcConfig { livekit_service_url }
}

fn log(mut section: Section<'_>) -> LogConfig {
    let place = section.place_of("filter");
    let filter = section.text("filter").unwrap_or_else(|| FILTER_DEFAULT.to_owned());
    if let Err(error) = tracing_subscriber::EnvFilter::try_new(&filter) {
        section.mistake(place, "filter", &format!("cannot be {filter:?}: {error}"));
    }
    section.finish();
    LogConfig { filter }
}

/// A server name, whose parser has an error that says what is wrong.
struct ServerName(OwnedServerName);

impl FromStr for ServerName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match OwnedServerName::try_from(text.to_owned()) {
            Ok(name) if text == text.to_lowercase() => Ok(Self(name)),
            Ok(_) => Err("it must be in lower case".to_owned()),
            Err(error) => Err(error.to_string()),
        }
    }
}

/// A network, or a single address.
struct Network(IpNet);

impl FromStr for Network {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let network = text.parse::<IpAddr>().map(IpNet::from).or_else(|_| text.parse());
        network.map(Self).map_err(|_| "it is no address and no network".to_owned())
    }
}

fn networks(found: Option<Vec<Network>>) -> Vec<IpNet> {
    found.unwrap_or_default().into_iter().map(|Network(network)| network).collect()
}
