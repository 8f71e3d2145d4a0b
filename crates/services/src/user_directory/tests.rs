use serde_json::json;

use crate::testing::World;

async fn check(term: &str, limit: usize, expected: &[&str], more: bool) {
    let world = World::new();
    let seeker = world.user("seeker").await;
    let people = [("anna", "Anna Tamm"), ("ann", "Ann Lee"), ("bob", "Joanna Kask"), ("zoe", "Я")];
    for (localpart, name) in people {
        let caller = world.user(localpart).await;
        world.services.profiles.set(&caller, "displayname", Some(&json!(name))).await.unwrap();
    }
    let gone = world.user("annex").await;
    world.services.accounts.deactivate(&gone.user_id, false).await.unwrap();
    let (found, limited) =
        world.services.user_directory.search(&seeker, term, limit).await.unwrap();
    let found: Vec<&str> = found.iter().map(|person| person.user_id.localpart()).collect();
    assert_eq!((&found[..], limited), (expected, more), "{term}");
}

#[tokio::test]
async fn the_best_match_comes_first() {
    check("ann", 10, &["ann", "anna", "bob"], false).await;
    check("ANNA", 10, &["anna", "bob"], false).await;
    check("kask", 10, &["bob"], false).await;
    check("я", 10, &["zoe"], false).await;
    check("@zoe:acme.example", 10, &["zoe"], false).await;
    check("nobody", 10, &[], false).await;
}

#[tokio::test]
async fn no_more_people_are_named_than_asked_for() {
    check("ann", 2, &["ann", "anna"], true).await;
    check("ann", 3, &["ann", "anna", "bob"], false).await;
}
