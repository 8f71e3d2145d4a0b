//! Public rooms: aliases and the directory of the other server.

use crate::world::World;
use harness::{View, same_state};
use serde_json::json;

#[tokio::test]
async fn a_public_room_is_found_in_the_directory_and_joined_by_its_alias() {
    let world = World::shared().await;
    for pair in world.pairs().await {
        let name = world.new_name("market");
        let options = json!({
            "preset": "public_chat",
            "visibility": "public",
            "room_alias_name": name,
            "name": "The market",
        });
        let room = pair.host.create_room(&options).await;
        let alias = format!("#{name}:{}", pair.host_server);

        let listed = pair.guest.get(&["publicRooms"]).query(&[("server", &pair.host_server)]);
        let listed = listed.ok().await;
        let mut chunk = listed["chunk"].as_array().expect("a list of rooms").iter();
        let found = chunk.find(|listed| listed["room_id"] == room.as_str());
        let found = found.unwrap_or_else(|| panic!("{room} is not in {listed}"));
        assert_eq!(
            (&found["name"], &found["canonical_alias"]),
            (&json!("The market"), &json!(alias))
        );

        let resolved = pair.guest.get(&["directory", "room", &alias]).ok().await;
        assert_eq!(resolved["room_id"], room.as_str());
        assert_eq!(pair.guest.join(&alias, &[]).await, room);
        let sent = pair.guest.say(&room, "good day").await;
        pair.host.until_event(&mut View::default(), &room, &sent).await;
        same_state(&room, &pair.host, &pair.guest).await;
    }
}

#[tokio::test]
async fn an_alias_that_does_not_exist_is_not_found() {
    let world = World::shared().await;
    for pair in world.pairs().await {
        let alias = format!("#nowhere:{}", pair.host_server);
        let answer = pair.guest.get(&["directory", "room", &alias]).answer().await;
        answer.refused(404, "M_NOT_FOUND");
    }
}
