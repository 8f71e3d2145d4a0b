//! Names, ids and what may be removed.

use std::{net::Ipv4Addr, path::PathBuf, sync::Arc};

use super::{Container, Image, Network, Ports, State, World};
use crate::{homeserver::Software, labels::Labels, names::NameServer};

fn kontor() -> Software {
    Software::Kontor { program: PathBuf::from("kontor") }
}

fn container(world: &mut World, network: &str, alias: &str) -> Container {
    let id = world.new_id();
    let address = Ipv4Addr::new(127, 9, 0, u8::try_from(world.last_id).unwrap());
    Container {
        name: format!("complement_{id}"),
        id,
        image: "kontor".to_owned(),
        software: kontor(),
        labels: Labels::new(),
        environment: Vec::new(),
        network: network.to_owned(),
        aliases: vec![alias.to_owned()],
        host_names: vec!["host.docker.internal".to_owned()],
        address,
        ports: None,
        state: State::Running,
        folder: PathBuf::new(),
        process: Arc::default(),
    }
}

#[test]
fn each_network_has_its_own_hs1() {
    let mut world = World::default();
    let (one, other) = (container(&mut world, "one", "hs1"), container(&mut world, "other", "hs1"));
    let (first, second) = (one.address, other.address);
    world.add_container(one).unwrap();
    world.add_container(other).unwrap();
    assert_eq!(world.find("one", "hs1"), Some(first));
    assert_eq!(world.find("other", "hs1"), Some(second));
    assert_eq!(world.find("one", "host.docker.internal"), Some(Ipv4Addr::LOCALHOST));
    assert_eq!(world.find("one", "hs2"), None);
}

#[test]
fn a_stopped_homeserver_has_no_name_and_no_ports() {
    let mut world = World::default();
    let hs1 = container(&mut world, "one", "hs1");
    let (id, address) = (hs1.id.clone(), hs1.address);
    world.add_container(hs1).unwrap();
    world.set_ports(&id, Ports { clients: 1, federation: 2 });
    world.set_state(&id, State::Paused);
    assert_eq!(world.find("one", "hs1"), Some(address));
    assert_eq!(world.ports().len(), 2);
    world.set_state(&id, State::Exited);
    assert_eq!(world.find("one", "hs1"), None);
    assert!(world.ports().is_empty());
}

#[test]
fn containers_are_found_by_id_and_by_name_and_names_are_unique() {
    let mut world = World::default();
    let hs1 = container(&mut world, "one", "hs1");
    let (id, name) = (hs1.id.clone(), hs1.name.clone());
    world.add_container(hs1.clone()).unwrap();
    assert_eq!(world.container(&id).unwrap().id, id);
    assert_eq!(world.container(&format!("/{name}")).unwrap().id, id);
    assert!(world.container("other").is_err());
    assert!(world.add_container(hs1).is_err());
}

#[test]
fn a_newer_image_takes_the_name_of_an_older_one() {
    let mut world = World::default();
    for _ in 0..2 {
        let id = world.new_id();
        let reference = "localhost/complement:fed.alice.hs1".to_owned();
        world.add_image(Image {
            id,
            reference,
            labels: Labels::new(),
            software: kontor(),
            folder: None,
        });
    }
    let images = world.images(&super::Selection::default());
    assert_eq!(images.len(), 1);
    assert_eq!(world.image(&format!("sha256:{}", images[0].id)).unwrap().id, images[0].id);
}

#[tokio::test]
async fn a_network_in_use_stays() {
    let mut world = World::default();
    let name_server = NameServer::start(Ipv4Addr::LOCALHOST, |_| None).await.unwrap();
    let network = Network {
        id: "one".to_owned(),
        name: "complement_fed".to_owned(),
        labels: Labels::new(),
        name_server,
    };
    world.add_network(network).unwrap();
    let hs1 = container(&mut world, "one", "hs1");
    let id = hs1.id.clone();
    world.add_container(hs1).unwrap();
    assert!(world.remove_network("complement_fed").is_err());
    world.set_state(&id, State::Exited);
    assert!(world.remove_network("complement_fed").is_ok());
}
