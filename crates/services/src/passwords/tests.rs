use model::ids::SeededIds;

use super::{Arc, Cost, Passwords};

fn passwords() -> Arc<Passwords> {
    Arc::new(Passwords::new(Cost::LEAST, 2, Arc::new(SeededIds::new(1))).unwrap())
}

#[tokio::test]
async fn only_the_password_itself_matches_its_hash() {
    let passwords = passwords();
    let hash = passwords.hash("correct horse").await.unwrap();
    assert!(hash.starts_with("$argon2id$v=19$m=8,t=1,p=1$"), "{hash}");
    assert!(passwords.matches("correct horse", Some(hash.clone())).await.unwrap());
    assert!(!passwords.matches("Correct horse", Some(hash.clone())).await.unwrap());
    assert!(!passwords.matches("", Some(hash)).await.unwrap());
}

#[tokio::test]
async fn the_same_password_has_another_hash_each_time() {
    let passwords = passwords();
    assert_ne!(passwords.hash("battery").await.unwrap(), passwords.hash("battery").await.unwrap());
}

#[tokio::test]
async fn nothing_matches_a_missing_or_broken_hash() {
    let passwords = passwords();
    assert!(!passwords.matches("", None).await.unwrap());
    assert!(!passwords.matches("x", Some(String::new())).await.unwrap());
    assert!(!passwords.matches("x", Some("$argon2id$".to_owned())).await.unwrap());
}
