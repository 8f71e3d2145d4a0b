//! The configuration that a homeserver gets.

use std::{fs, net::Ipv4Addr};

use super::{Surroundings, command};
use crate::world::Ports;

fn surroundings(folder: &std::path::Path, name_server: &str) -> Surroundings<'static> {
    Surroundings {
        folder: Box::leak(folder.to_owned().into_boxed_path()),
        server_name: "hs2",
        address: Ipv4Addr::new(127, 9, 0, 3),
        ports: Ports { clients: 12_000, federation: 12_001 },
        name_server: name_server.parse().unwrap(),
    }
}

#[test]
fn it_listens_at_its_own_address_and_asks_its_networks_names() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir_all(folder.path().join(super::APPSERVICES)).unwrap();
    fs::write(folder.path().join(super::APPSERVICES).join("irc.yaml"), "").unwrap();
    let python = "/opt/python".as_ref();
    let command = command(python, &surroundings(folder.path(), "127.9.0.1:53")).unwrap();
    let arguments: Vec<_> = command.as_std().get_args().collect();
    assert!(arguments.contains(&"/opt/python".as_ref()), "{arguments:?}");
    let read = |name: &str| fs::read_to_string(folder.path().join(name)).unwrap();
    assert_eq!(read("resolv.conf"), "nameserver 127.9.0.1\n");
    let configuration: serde_json::Value = serde_json::from_str(&read("homeserver.yaml")).unwrap();
    assert_eq!(configuration["server_name"], "hs2");
    assert_eq!(configuration["listeners"][2]["bind_addresses"][0], "127.9.0.3");
    assert_eq!(configuration["app_service_config_files"][0], "complement/appservice/irc.yaml");
}

#[test]
fn without_the_port_that_the_system_asks_there_is_no_synapse() {
    let folder = tempfile::tempdir().unwrap();
    let refused = command("python".as_ref(), &surroundings(folder.path(), "127.9.0.1:5353"));
    assert!(refused.is_err_and(|error| error.to_string().contains("port 53")));
}
