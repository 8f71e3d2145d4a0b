//! Configurations good and bad.

use std::path::Path;

use expect_test::{Expect, expect};

use super::{Config, ConfigError, Mistakes};

fn parse(text: &str, environment: &[(&str, &str)]) -> Result<Config, String> {
    let environment =
        environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    Config::parse(text, environment).map_err(|mut list| {
        list.sort_by_key(|mistake| mistake.place.clone());
        Mistakes { file: "k.toml".into(), list }.to_string()
    })
}

fn good(text: &str, environment: &[(&str, &str)]) -> Config {
    parse(text, environment).unwrap()
}

#[expect(clippy::needless_pass_by_value, reason = "reads best with expect! as an argument")]
fn check_mistakes(text: &str, environment: &[(&str, &str)], expected: Expect) {
    expected.assert_eq(&parse(text, environment).unwrap_err());
}

#[test]
fn an_empty_file_is_a_configuration() {
    let config = good("", &[]);
    assert_eq!(config.data_dir, Path::new("data"));
    assert_eq!(config.admin.socket, Path::new("data/admin.sock"));
    assert_eq!(config.http.listen, ["127.0.0.1:8008".parse().unwrap()]);
    assert!(config.federation.enabled);
    assert!(!config.registration.enabled && !config.outbound.allow_private_addresses);
}

#[test]
fn the_documented_file_is_good_and_its_comments_are_the_defaults() {
    let text = include_str!("../../config/kontor.toml");
    let config = good(text, &[]);
    assert_eq!(config.homeservers[0].server_name, "localhost");
    let defaults = Config { homeservers: config.homeservers.clone(), ..good("", &[]) };
    assert_eq!(config, defaults);
}

#[test]
fn every_documented_key_is_known() {
    let text = include_str!("../../config/kontor.toml");
    let uncommented: String = text
        .lines()
        .map(|line| match line.strip_prefix('#') {
            Some(key) if !key.starts_with(' ') && key.contains(" = ") => format!("{key}\n"),
            _ => format!("{line}\n"),
        })
        .collect();
    let config = good(&uncommented, &[]);
    assert_eq!(config.http.certificates.len(), 2);
    assert_eq!(config.homeservers[0].hosts, ["matrix.acme.example"]);
    let known = uncommented.lines().filter(|line| line.contains(" = ")).count();
    assert_eq!(known, uncommented.matches(" = ").count() - 7 * 2, "rates have two keys inside");
}

#[test]
fn the_contract_of_the_design_is_kept() {
    let config = good(
        r#"
            data_dir = "d"
            [[homeserver]]
            server_name = "acme.example"
            [[homeserver]]
            server_name = "globex.example:8448"
            [http]
            listen = ["127.0.0.1:8008"]
            listen_tls = ["0.0.0.0:8448"]
            tls_certificate = "cert.pem"
            tls_private_key = "key.pem"
            trusted_proxies = ["127.0.0.1", "10.0.0.0/8"]
            [federation]
            enabled = true
            extra_ca_file = ""
            notaries = ["keys.example"]
            [outbound]
            allow_private_addresses = false
            [registration]
            enabled = false
            tokens = []
            shared_secret = ""
            [rate_limits]
            enabled = true
            [rooms]
            default_version = "12"
            [appservices]
            directory = "config/appservices"
        "#,
        &[],
    );
    assert_eq!(config.homeservers.len(), 2);
    assert_eq!(config.http.certificates[0].certificate, Path::new("cert.pem"));
    assert_eq!(config.federation.extra_ca_file, None);
    assert_eq!(config.federation.notaries, ["keys.example"]);
    assert_eq!(config.registration.shared_secret, None);
    assert_eq!(config.http.trusted_proxies[0].to_string(), "127.0.0.1/32");
}

#[test]
fn every_mistake_is_named_with_its_line() {
    check_mistakes(
        r#"
data_dri = "d"
[[homeserver]]
server_name = "Acme.example"
[[homeserver]]
hosts = ["x"]
[http]
listen = ["localhost"]
listen_tls = ["0.0.0.0:8448"]
trusted_proxies = ["home"]
[registration]
enabled = "yes"
shared_secret = "short"
[rooms]
default_version = "13"
[rate_limits]
login = { per_second = -1, burst = 0, more = 1 }
[media]
upload_bytes_max = "big"
[log]
filter = "a=b=c"
[nonsense]
"#,
        &[],
        expect![[r#"
            k.toml:2: data_dri is unknown
            k.toml:4: homeserver.server_name cannot be "Acme.example": it must be in lower case
            k.toml:5: homeserver.server_name is needed
            k.toml:8: http.listen cannot be "localhost": invalid socket address syntax
            k.toml:9: http.listen_tls needs http.tls_certificate
            k.toml:10: http.trusted_proxies cannot be "home": it is no address and no network
            k.toml:12: registration.enabled must be true or false
            k.toml:13: registration.shared_secret must have 8 characters or more
            k.toml:15: rooms.default_version must be one of 6, 7, 8, 9, 10, 11, 12
            k.toml:17: rate_limits.login.per_second must be a number above 0
            k.toml:17: rate_limits.login.burst must be a whole number from 1 to 1000000
            k.toml:17: rate_limits.login.more is unknown
            k.toml:19: media.upload_bytes_max must be a whole number from 1000 to 1099511627776
            k.toml:21: log.filter cannot be "a=b=c": error parsing level filter: expected one of "off", "error", "warn", "info", "debug", "trace", or a number 0-5
            k.toml:22: nonsense is unknown"#]],
    );
}

#[test]
fn a_file_that_is_no_toml_is_named_with_its_line() {
    check_mistakes(
        "data_dir = \"d\"\n[http\nlisten = 1\n",
        &[],
        expect!["k.toml:2: unclosed table, expected `]`"],
    );
}

#[test]
fn two_homeservers_need_two_names() {
    check_mistakes(
        "[[homeserver]]\nserver_name = \"a\"\n[[homeserver]]\nserver_name = \"a\"\n",
        &[],
        expect!["k.toml:4: homeserver.server_name is the name of another homeserver already"],
    );
}

#[test]
fn each_certificate_needs_a_key() {
    check_mistakes(
        "[http]\ntls_certificate = [\"a\", \"b\"]\ntls_private_key = \"k\"\n",
        &[],
        expect![
            "k.toml:3: http.tls_private_key must name one key for each certificate: there are 1 for 2"
        ],
    );
}

#[test]
fn the_environment_overrides_the_file() {
    let config = good(
        "data_dir = \"d\"\n[[homeserver]]\nserver_name = \"a\"\n[rooms]\ndefault_version = \"11\"\n",
        &[
            ("KONTOR__DATA_DIR", "/srv/kontor"),
            ("KONTOR__HTTP__LISTEN", "127.0.0.1:1, [::1]:2"),
            ("KONTOR__HTTP__LISTEN_TLS", "[]"),
            ("KONTOR__ROOMS__DEFAULT_VERSION", "10"),
            ("KONTOR__REGISTRATION__ENABLED", "true"),
            ("KONTOR__REGISTRATION__SHARED_SECRET", "12345678"),
            ("KONTOR__RATE_LIMITS__LOGIN", "{ per_second = 1, burst = 2 }"),
            ("KONTOR__HOMESERVER__0__SERVER_NAME", "b"),
            ("KONTOR__HOMESERVER__1__SERVER_NAME", "c"),
            ("PATH", "/bin"),
        ],
    );
    assert_eq!(config.data_dir, Path::new("/srv/kontor"));
    assert_eq!(config.http.listen.len(), 2);
    assert_eq!(config.rooms.default_version.as_str(), "10");
    assert!(config.registration.enabled);
    assert_eq!(config.registration.shared_secret.as_deref(), Some("12345678"));
    assert_eq!(config.rate_limits.login.burst.get(), 2);
    let names: Vec<_> = config.homeservers.iter().map(|h| h.server_name.as_str()).collect();
    assert_eq!(names, ["b", "c"]);
}

#[test]
fn mistakes_in_the_environment_name_the_variable() {
    check_mistakes(
        "data_dir = \"d\"\n",
        &[
            ("KONTOR__HTTP__LISTEN", "nowhere"),
            ("KONTOR__HTTP__NOPE", "1"),
            ("KONTOR__HOMESERVER__5__SERVER_NAME", "a"),
            ("KONTOR__DATA_DIR__X", "a"),
        ],
        expect![[r#"
            environment variable KONTOR__DATA_DIR__X: x is inside of what is no table
            environment variable KONTOR__HOMESERVER__5__SERVER_NAME: 5 is no index of the list, which has 0
            environment variable KONTOR__HTTP__LISTEN: http.listen cannot be "nowhere": invalid socket address syntax
            environment variable KONTOR__HTTP__NOPE: http.nope is unknown"#]],
    );
}

#[test]
fn secrets_are_not_shown() {
    let config =
        good("[registration]\nshared_secret = \"hunter2hunter2\"\ntokens = [\"t0ken\"]\n", &[]);
    let shown = format!("{config:?}");
    assert!(!shown.contains("hunter2") && !shown.contains("t0ken"), "{shown}");
}

#[test]
fn a_missing_file_is_an_error_with_its_name() {
    let error = Config::load(Path::new("/no/such.toml"), std::iter::empty()).unwrap_err();
    assert!(matches!(&error, ConfigError::Unreadable { .. }));
    assert!(error.to_string().starts_with("/no/such.toml: "), "{error}");
}
