//! The configuration that a homeserver gets.

use std::{net::Ipv4Addr, path::Path};

use super::{Surroundings, configuration};
use crate::world::Ports;

#[test]
fn a_homeserver_listens_at_its_own_address_and_on_the_host() {
    let configuration = configuration(&Surroundings {
        folder: Path::new("/"),
        server_name: "hs1",
        address: Ipv4Addr::new(127, 9, 0, 2),
        ports: Ports { clients: 12_000, federation: 12_001 },
        name_server: "127.9.0.1:5353".parse().unwrap(),
    });
    let text = toml::to_string(&configuration).unwrap();
    let read: toml::Table = text.parse().unwrap();
    assert_eq!(read["homeserver"][0]["server_name"].as_str(), Some("hs1"));
    let listen = read["http"]["listen"].as_array().unwrap();
    assert_eq!(listen[0].as_str(), Some("127.9.0.2:8008"));
    assert_eq!(listen[1].as_str(), Some("127.0.0.1:12000"));
    assert_eq!(read["outbound"]["name_server"].as_str(), Some("127.9.0.1:5353"));
    assert_eq!(read["registration"]["shared_secret"].as_str(), Some("complement"));
}
