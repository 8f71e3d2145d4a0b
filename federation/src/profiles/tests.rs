use ruma::UserId;
use serde_json::json;
use services::accounts::NewAccount;

use crate::{Federation, worlds::World};

async fn alice(home: &Federation) {
    let username = Some("alice".to_owned());
    let new = NewAccount { username, session: Some(Default::default()), ..NewAccount::default() };
    let registered = home.services.accounts.register(new).await.unwrap();
    let token = registered.session.unwrap().access_token;
    let caller = home.services.sessions.authenticate(&token).await.unwrap();
    let name = json!("Alice");
    home.services.profiles.set(&caller, "displayname", Some(&name)).await.unwrap();
}

#[tokio::test]
async fn a_profile_is_found_on_the_users_server() {
    let mut world = World::new();
    let (a, b) = (world.home("a.example").await, world.home("b.example").await);
    alice(&a).await;
    let profile = async |user: &str| {
        let user = <&UserId>::try_from(user).unwrap();
        b.services.profiles.of_anybody(user).await.unwrap()
    };
    let found = profile("@alice:a.example").await.unwrap();
    assert_eq!(json!(found), json!({ "displayname": "Alice" }));
    for user in ["@nobody:a.example", "@alice:gone.example", "@alice:b.example"] {
        assert_eq!(profile(user).await, None, "{user}");
    }
}
