use serde_json::{Map, Value, json};

use super::{BackupError, SessionId};
use crate::{sessions::Caller, testing::World};

fn id(room_id: &str, session_id: &str) -> SessionId {
    SessionId { room_id: room_id.to_owned(), session_id: session_id.to_owned() }
}

fn key(first_message_index: u64, forwarded_count: u64, is_verified: bool) -> Map<String, Value> {
    let key = json!({
        "first_message_index": first_message_index,
        "forwarded_count": forwarded_count,
        "is_verified": is_verified,
        "session_data": {},
    });
    key.as_object().unwrap().clone()
}

impl World {
    async fn backup(&self, caller: &Caller) -> u64 {
        let (algorithm, auth_data) = ("m.megolm_backup.v1".to_owned(), "{}".to_owned());
        self.services.key_backups.create(caller, algorithm, auth_data).await.unwrap()
    }
}

#[tokio::test]
async fn the_better_of_two_copies_is_kept() {
    let world = World::new();
    let alice = world.user("alice").await;
    let version = world.backup(&alice).await;
    let backups = &world.services.key_backups;
    let mut etags = Vec::new();
    let copies = [
        (key(5, 1, false), true),
        (key(6, 0, false), false),
        (key(5, 1, false), false),
        (key(5, 0, false), true),
        (key(4, 9, false), true),
        (key(9, 9, true), true),
        (key(0, 0, false), false),
    ];
    for (copy, is_better) in copies {
        let (count, etag) =
            backups.put_keys(&alice, version, vec![(id("!r:a", "s"), copy.clone())]).await.unwrap();
        assert_eq!(count, 1);
        assert_eq!(etags.last() != Some(&etag), is_better, "{copy:?}");
        etags.push(etag);
    }
    let kept = backups.key(&alice, version, id("!r:a", "s")).await.unwrap().unwrap();
    assert_eq!(serde_json::from_slice::<Value>(&kept).unwrap(), Value::Object(key(9, 9, true)));
}

#[tokio::test]
async fn only_the_current_backup_takes_keys() {
    let world = World::new();
    let alice = world.user("alice").await;
    let backups = &world.services.key_backups;
    let none = backups.get(&alice, None).await;
    assert!(matches!(none, Err(BackupError::UnknownBackup)));
    let old = world.backup(&alice).await;
    let new = world.backup(&alice).await;
    let put = async |version| {
        backups.put_keys(&alice, version, vec![(id("!r:a", "s"), key(0, 0, true))]).await
    };
    let refused = put(old).await;
    assert!(matches!(refused, Err(BackupError::WrongVersion { current }) if current == new));
    put(new).await.unwrap();
    backups.delete(&alice, new).await.unwrap();
    assert_eq!(backups.get(&alice, None).await.unwrap().version, old);
    let gone = backups.keys(&alice, new, None).await;
    assert!(matches!(gone, Err(BackupError::UnknownBackup)));
    assert!(world.backup(&alice).await > new, "a version is not given out twice");
}

#[tokio::test]
async fn keys_are_counted_as_they_come_and_go() {
    let world = World::new();
    let alice = world.user("alice").await;
    let version = world.backup(&alice).await;
    let backups = &world.services.key_backups;
    let ids = [id("!r:a", "s1"), id("!r:a", "s2"), id("!r:ab", "s1"), id("!q:a", "s1")];
    let keys = ids.map(|id| (id, key(0, 0, true))).to_vec();
    assert_eq!(backups.put_keys(&alice, version, keys).await.unwrap(), (4, 1));
    let room = || Some("!r:a".to_owned());
    assert_eq!(backups.keys(&alice, version, room()).await.unwrap().len(), 2);
    let session = Some("s2".to_owned());
    let (count, _) = backups.delete_keys(&alice, version, room(), session).await.unwrap();
    assert_eq!(count, 3);
    assert_eq!(backups.delete_keys(&alice, version, room(), None).await.unwrap(), (2, 3));
    assert_eq!(backups.delete_keys(&alice, version, None, None).await.unwrap(), (0, 4));
}

/// S51.
#[tokio::test]
async fn the_backup_of_another_user_is_out_of_reach() {
    let world = World::new();
    let (alice, bob) = (world.user("alice").await, world.user("bob").await);
    let version = world.backup(&alice).await;
    let backups = &world.services.key_backups;
    let keys = vec![(id("!r:a", "s"), key(0, 0, true))];
    let put = backups.put_keys(&bob, version, keys).await;
    assert!(matches!(put, Err(BackupError::UnknownBackup)));
    let deleted = backups.delete(&bob, version).await;
    assert!(matches!(deleted, Err(BackupError::UnknownBackup)));
}
