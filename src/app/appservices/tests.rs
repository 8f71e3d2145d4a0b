use std::fs;

use ruma::server_name;
use tempfile::TempDir;

use super::Appservices;
use crate::config::Config;

const IRC: &str = r#"
id: irc
url: null
as_token: as-secret
hs_token: hs-secret
sender_localpart: irc_bot
rate_limited: false
namespaces:
  users:
    - exclusive: true
      regex: "@_irc_.*:acme\\.example"
  aliases: []
  rooms: []
"#;

/// Files of a directory, given as path and text.
struct Directory(TempDir);

impl Directory {
    fn with(files: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = folder.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        Self(folder)
    }

    fn load(&self, homeservers: &[&str]) -> Result<Appservices, String> {
        let names =
            homeservers.iter().map(|name| format!("[[homeserver]]\nserver_name = {name:?}\n"));
        let config = names.collect::<String>()
            + &format!("[appservices]\ndirectory = {:?}\n", self.0.path().to_str().unwrap());
        let config = Config::parse(&config, std::iter::empty()).unwrap();
        Appservices::load(&config).map_err(|error| error.to_string())
    }
}

#[test]
fn a_registration_is_for_the_only_homeserver() {
    let directory = Directory::with(&[("irc.yaml", IRC), ("README", "not YAML: [")]);
    let appservices = directory.load(&["acme.example"]).unwrap();
    let [irc] = &appservices.of(server_name!("acme.example"))[..] else { panic!("not one") };
    assert_eq!((irc.id.as_str(), irc.sender.as_str()), ("irc", "irc_bot"));
    assert!(!irc.rate_limited);
    assert!(irc.namespaces.users[0].covers("@_irc_bob:acme.example"));
    assert!(appservices.of(server_name!("globex.example")).is_empty());
}

#[test]
fn among_several_homeservers_a_folder_says_whose_it_is() {
    let loose = Directory::with(&[("irc.yaml", IRC)]);
    let both = ["acme.example", "globex.example"];
    assert!(loose.load(&both).unwrap_err().contains("[[homeserver]]"));
    assert!(loose.load(&[]).is_err());
    let sorted = Directory::with(&[("acme.example/irc.yaml", IRC)]);
    let appservices = sorted.load(&both).unwrap();
    assert_eq!(appservices.of(server_name!("acme.example")).len(), 1);
    assert!(appservices.of(server_name!("globex.example")).is_empty());
}

#[test]
fn a_mistake_is_told_with_its_file() {
    let empty_token = IRC.replace("as-secret", "''");
    let no_name = IRC.replace("irc_bot", "'irc:bot'");
    let no_pattern = IRC.replace("@_irc_.*", "@_irc_(");
    let no_sender = IRC.replace("sender_localpart", "sender");
    for text in [&*empty_token, &no_name, &no_pattern, &no_sender, "[", ""] {
        let error = Directory::with(&[("irc.yaml", text)]).load(&["acme.example"]).unwrap_err();
        assert!(error.contains("irc.yaml"), "{error}");
        assert!(!error.contains("secret"), "{error}");
    }
    let twice = Directory::with(&[("a.yaml", IRC), ("b.yaml", IRC)]);
    assert!(twice.load(&["acme.example"]).unwrap_err().contains("b.yaml"));
}
