//! Ids have the form and the strength that their users count on.

use std::collections::HashSet;

use ruma::server_name;

use super::*;

#[test]
fn ids_have_the_form_the_specification_asks_for() {
    let ids = SeededIds::new(7);
    assert_eq!(ids.token().len(), 43);
    assert!(ids.device_id().as_str().bytes().all(|byte| byte.is_ascii_uppercase()));
    assert!(ids.localpart().bytes().all(|byte| byte.is_ascii_lowercase()));
    assert_eq!(ids.media_id().len(), 32);
    let room = ids.room_id(server_name!("acme.example"));
    assert_eq!(room.server_name(), Some(server_name!("acme.example")));
}

#[test]
fn the_same_seed_gives_the_same_ids_and_another_seed_others() {
    let tokens = |seed| {
        let ids = SeededIds::new(seed);
        [ids.token(), ids.letters(100), ids.batch_id().to_string()]
    };
    assert_eq!(tokens(1), tokens(1));
    assert_ne!(tokens(1), tokens(2));
}

#[test]
fn system_ids_do_not_repeat() {
    let tokens: HashSet<String> = (0..1_000).map(|_| SystemIds.token()).collect();
    assert_eq!(tokens.len(), 1_000);
}

#[test]
fn letters_are_drawn_evenly() {
    let text = SeededIds::new(3).letters(52_000);
    for letter in ('A'..='Z').chain('a'..='z') {
        let count = text.matches(letter).count();
        assert!((800..1_200).contains(&count), "{letter} came {count} times instead of about 1000");
    }
}
