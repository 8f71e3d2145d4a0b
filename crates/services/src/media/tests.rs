//! Files in and out of one homeserver, its folder, and another server that is played.

use std::{
    fs, io,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use futures_util::{FutureExt, StreamExt, TryStreamExt, future::BoxFuture, stream};
use kv::{HomeserverId, MemoryEngine, Store};
use model::{clock::ManualClock, ids::SeededIds, signing_key::SigningKey};
use tempfile::TempDir;

use super::{
    Address, ByteStream, DownloadError, Media, MediaSettings, Offer, RemoteError, RemoteFile,
    RemoteMedia, Stored, UploadError, blobs,
    collect::{Collected, ORPHAN_AGE},
};
use crate::{Context, identity::CurrentKey, log::Log, recent::RecentEvents, turns::Writers};

const NO_WAIT: Duration = Duration::ZERO;

pub(super) struct World {
    pub media: Media,
    pub clock: ManualClock,
    pub engine: MemoryEngine,
    pub remote: Arc<Remote>,
    folder: TempDir,
}

impl World {
    pub fn new() -> Self {
        Self::with(|_| {})
    }

    pub fn with(change: impl FnOnce(&mut MediaSettings)) -> Self {
        let engine = MemoryEngine::new(store::TABLES);
        let store = Store::new(Arc::new(engine.clone()), HomeserverId(1));
        let clock = ManualClock::default();
        let log = Arc::new(Log::open(store.clone()).unwrap());
        let context = Context {
            server_name: "acme.example".try_into().unwrap(),
            signing_key: CurrentKey::new(SigningKey::generate([1; 32]).unwrap()),
            state_salt: [2; 16],
            turns: Writers::default().turns(store.homeserver()),
            recent: RecentEvents::following(&log),
            log,
            store,
            clock: Arc::new(clock.clone()),
            ids: Arc::new(SeededIds::new(7)),
        };
        let (folder, remote) = (TempDir::new().unwrap(), Arc::new(Remote::default()));
        let mut settings = MediaSettings::in_folder(folder.path());
        change(&mut settings);
        let media = Media::new(context, settings);
        media.connect(remote.clone());
        Self { media, clock, engine, remote, folder }
    }

    pub async fn upload(&self, user: &str, bytes: &'static [u8]) -> Result<Address, UploadError> {
        self.media.upload(user, Offer::default(), body(&[bytes])).await
    }

    pub async fn read(&self, address: &Address) -> Result<Bytes, DownloadError> {
        let stored = self.media.find(address, NO_WAIT).await?;
        Ok(whole(self.media.read(&stored, None).await?).await.unwrap())
    }

    fn files(&self, folder: &str) -> usize {
        count_files(&self.folder.path().join(folder))
    }
}

/// Another server: every file there is `remote bytes`, except for some ids.
#[derive(Default)]
pub(super) struct Remote {
    fetches: AtomicUsize,
}

impl RemoteMedia for Remote {
    fn fetch<'a>(
        &'a self,
        address: &'a Address,
        _: Duration,
    ) -> BoxFuture<'a, Result<RemoteFile, RemoteError>> {
        self.fetches.fetch_add(1, Ordering::SeqCst);
        let body = match address.media_id() {
            "missing" => return async { Err(RemoteError::NotFound) }.boxed(),
            "late" => return async { Err(RemoteError::NotYetUploaded) }.boxed(),
            "broken" => stream::iter([Ok("remote".into()), Err(io::Error::other("cut"))]).boxed(),
            "slow" => stream::once(async {
                tokio::task::yield_now().await;
                Ok("remote bytes".into())
            })
            .boxed(),
            _ => body(&[b"remote ", b"bytes"]),
        };
        let file = RemoteFile {
            content_type: Some("text/plain".to_owned()),
            file_name: Some("letter.txt".to_owned()),
            bytes: None,
            body,
        };
        async move { Ok(file) }.boxed()
    }
}

pub(super) fn body(chunks: &[&'static [u8]]) -> ByteStream {
    let chunks: Vec<_> = chunks.iter().map(|chunk| Ok(Bytes::from_static(chunk))).collect();
    stream::iter(chunks).boxed()
}

async fn whole(body: ByteStream) -> io::Result<Bytes> {
    let chunks: Vec<Bytes> = body.try_collect().await?;
    Ok(chunks.concat().into())
}

fn count_files(folder: &Path) -> usize {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.map(|path| if path.is_dir() { count_files(&path) } else { 1 }).sum()
}

fn foreign(media_id: &str) -> Address {
    Address::new("other.example", media_id).unwrap()
}

#[tokio::test]
async fn what_was_uploaded_can_be_downloaded() {
    let world = World::new();
    let offer = Offer {
        content_type: Some("text/plain; charset=utf-8".to_owned()),
        file_name: Some("Grüße.txt".to_owned()),
        bytes: Some(11),
    };
    let address =
        world.media.upload("alice", offer, body(&[b"hello", b" ", b"world"])).await.unwrap();
    assert_eq!(address.server(), "acme.example");
    let stored = world.media.find(&address, NO_WAIT).await.unwrap();
    assert_eq!(stored.content_type, "text/plain; charset=utf-8");
    assert_eq!(stored.file_name.as_deref(), Some("Grüße.txt"));
    assert_eq!(stored.bytes, 11);
    assert_eq!(world.read(&address).await.unwrap(), "hello world");
    let part = world.media.read(&stored, Some(3..8)).await.unwrap();
    assert_eq!(whole(part).await.unwrap(), "lo wo");
}

#[tokio::test]
async fn the_same_bytes_are_stored_once() {
    let world = World::new();
    let one = world.upload("alice", b"same").await.unwrap();
    let two = world.upload("bob", b"same").await.unwrap();
    assert_ne!(one, two);
    assert_eq!(world.files("blobs"), 1);
    assert!(world.media.delete(&one).await.unwrap());
    world.clock.advance(ORPHAN_AGE + Duration::from_secs(1));
    world.media.collect().await.unwrap();
    assert!(matches!(world.read(&one).await, Err(DownloadError::NotFound)));
    assert_eq!(world.read(&two).await.unwrap(), "same");
}

#[tokio::test]
async fn a_content_type_that_no_header_can_hold_is_not_kept() {
    let world = World::new();
    for content_type in ["", "text/plain\r\nSet-Cookie: a=b", "täxt/plain", &"a".repeat(256)] {
        let offer = Offer { content_type: Some(content_type.to_owned()), ..Offer::default() };
        let address = world.media.upload("alice", offer, body(&[b"x"])).await.unwrap();
        let stored = world.media.find(&address, NO_WAIT).await.unwrap();
        assert_eq!(stored.content_type, "application/octet-stream", "{content_type:?}");
    }
}

#[tokio::test]
async fn a_file_over_the_limit_is_refused_and_leaves_nothing() {
    let world = World::with(|settings| settings.upload_bytes_max = 10);
    world.upload("alice", b"ten bytes!").await.unwrap();
    // One that does not say how long it is, and one that does.
    let result = world.upload("alice", b"eleven byte").await;
    assert!(matches!(result, Err(UploadError::TooLarge { bytes_max: 10 })));
    let offer = Offer { bytes: Some(11), ..Offer::default() };
    let unread = stream::pending().boxed();
    let result = world.media.upload("alice", offer, unread).await;
    assert!(matches!(result, Err(UploadError::TooLarge { .. })));
    assert_eq!(world.files("blobs"), 1);
    assert_eq!(world.files("temporary"), 0);
}

#[tokio::test]
async fn a_user_cannot_upload_more_than_his_quota() {
    let world = World::with(|settings| settings.user_bytes_max = Some(10));
    let first = world.upload("alice", b"six by").await.unwrap();
    assert!(matches!(world.upload("alice", b"5byte").await, Err(UploadError::QuotaReached)));
    world.upload("bob", b"5byte").await.unwrap();
    world.media.delete(&first).await.unwrap();
    world.upload("alice", b"5byte").await.unwrap();
}

#[tokio::test]
async fn an_upload_that_breaks_off_leaves_nothing() {
    let world = World::new();
    let broken = stream::iter([Ok("half".into()), Err(io::Error::other("cut"))]).boxed();
    let result = world.media.upload("alice", Offer::default(), broken).await;
    assert!(matches!(result, Err(UploadError::Body(_))));
    assert_eq!((world.files("blobs"), world.files("temporary")), (0, 0));
}

#[tokio::test]
async fn an_address_can_be_created_first_and_filled_later_by_its_creator_only() {
    let world = World::new();
    let (address, _) = world.media.create("alice").await.unwrap();
    let fill = async |user: &str| {
        world.media.fill(user, &address, Offer::default(), body(&[b"late"])).await
    };
    let early = world.media.find(&address, NO_WAIT).await;
    assert!(matches!(early, Err(DownloadError::NotYetUploaded)));
    assert!(matches!(fill("bob").await, Err(UploadError::NotYours)));
    fill("alice").await.unwrap();
    assert_eq!(world.read(&address).await.unwrap(), "late");
    assert!(matches!(fill("alice").await, Err(UploadError::AlreadyUploaded)));
    let unknown = Address::new("acme.example", "unknown").unwrap();
    let result = world.media.fill("alice", &unknown, Offer::default(), body(&[b"x"])).await;
    assert!(matches!(result, Err(UploadError::NotAwaited)));
}

#[tokio::test]
async fn a_download_waits_for_an_awaited_upload() {
    let world = World::new();
    let (address, _) = world.media.create("alice").await.unwrap();
    let fill = world.media.fill("alice", &address, Offer::default(), body(&[b"late"]));
    let find = world.media.find(&address, Duration::from_secs(20));
    let (found, filled) = tokio::join!(find, fill);
    filled.unwrap();
    assert_eq!(found.unwrap().bytes, 4);
}

#[tokio::test]
async fn an_address_that_is_not_filled_expires() {
    let world = World::new();
    let (address, until_ms) = world.media.create("alice").await.unwrap();
    world.clock.set(until_ms);
    let result = world.media.fill("alice", &address, Offer::default(), body(&[b"x"])).await;
    assert!(matches!(result, Err(UploadError::NotAwaited)));
    assert!(matches!(world.media.find(&address, NO_WAIT).await, Err(DownloadError::NotFound)));
    let collected = world.media.collect().await.unwrap();
    assert_eq!(collected, Collected { blobs: 0, addresses: 1 });
}

#[tokio::test]
async fn a_user_may_have_only_so_many_addresses_waiting() {
    let world = World::with(|settings| settings.awaited_max = 2);
    let (first, until_ms) = world.media.create("alice").await.unwrap();
    world.clock.advance(Duration::from_secs(1));
    world.media.create("alice").await.unwrap();
    let Err(UploadError::TooManyAwaited { retry_after_ms }) = world.media.create("alice").await
    else {
        panic!("a third address was given")
    };
    let day_ms = 24 * 60 * 60 * 1000;
    assert_eq!(retry_after_ms, day_ms - 1000);
    world.media.create("bob").await.unwrap();
    world.media.fill("alice", &first, Offer::default(), body(&[b"x"])).await.unwrap();
    world.media.create("alice").await.unwrap();
    assert!(until_ms > 0);
}

#[tokio::test]
async fn a_foreign_file_is_fetched_once_and_kept() {
    let world = World::new();
    let address = foreign("abc");
    for _ in 0..3 {
        assert_eq!(world.read(&address).await.unwrap(), "remote bytes");
    }
    let stored = world.media.find(&address, NO_WAIT).await.unwrap();
    assert_eq!(stored.file_name.as_deref(), Some("letter.txt"));
    assert_eq!(world.remote.fetches.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn many_who_want_the_same_foreign_file_cause_one_fetch() {
    let world = World::new();
    let address = foreign("slow");
    let all = futures_util::future::join_all((0..10).map(|_| world.read(&address))).await;
    assert!(all.into_iter().all(|read| read.unwrap() == "remote bytes"));
    assert_eq!(world.remote.fetches.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_fetch_that_its_first_waiter_left_goes_on_for_the_others() {
    let world = World::new();
    let address = foreign("slow");
    let mut first = Box::pin(world.read(&address));
    let mut second = Box::pin(world.read(&address));
    // Both are under way; then the first gives up.
    while world.remote.fetches.load(Ordering::SeqCst) == 0 {
        let _ = futures_util::poll!(&mut first);
        let _ = futures_util::poll!(&mut second);
        tokio::task::yield_now().await;
    }
    drop(first);
    assert_eq!(second.await.unwrap(), "remote bytes");
}

#[tokio::test]
async fn a_foreign_file_that_cannot_be_had_is_told_apart() {
    let world = World::new();
    let find = async |id: &str| world.media.find(&foreign(id), NO_WAIT).await;
    assert!(matches!(find("missing").await, Err(DownloadError::NotFound)));
    assert!(matches!(find("late").await, Err(DownloadError::NotYetUploaded)));
    assert!(matches!(find("broken").await, Err(DownloadError::Unreachable(_))));
    let world = World::with(|settings| settings.remote_bytes_max = 5);
    let find = world.media.find(&foreign("abc"), NO_WAIT).await;
    assert!(matches!(find, Err(DownloadError::TooLarge)));
    assert_eq!((world.files("blobs"), world.files("temporary")), (0, 0));
}

#[tokio::test]
async fn a_foreign_file_whose_blob_was_lost_is_fetched_again() {
    let world = World::new();
    let address = foreign("abc");
    world.read(&address).await.unwrap();
    fs::remove_dir_all(world.folder.path().join("blobs")).unwrap();
    fs::create_dir(world.folder.path().join("blobs")).unwrap();
    assert_eq!(world.read(&address).await.unwrap(), "remote bytes");
}

#[tokio::test]
async fn a_quarantined_file_is_gone_until_it_is_released() {
    let world = World::new();
    for address in [world.upload("alice", b"bad").await.unwrap(), foreign("abc")] {
        world.read(&address).await.unwrap();
        assert!(world.media.quarantine(&address, true).await.unwrap());
        assert!(matches!(world.read(&address).await, Err(DownloadError::NotFound)));
        assert!(world.media.quarantine(&address, false).await.unwrap());
        world.read(&address).await.unwrap();
    }
}

#[tokio::test]
async fn an_upload_is_not_answered_before_its_row_is_durable() {
    let world = World::new();
    world.engine.fail_next(kv::Failure::Unavailable);
    let result = world.upload("alice", b"lost").await;
    assert!(matches!(result, Err(UploadError::Commit(_))), "{result:?}");
}

#[tokio::test]
async fn a_crash_between_blob_and_row_leaves_a_blob_that_is_collected_after_a_day() {
    let world = World::new();
    world.engine.fail_next(kv::Failure::Unavailable);
    world.upload("alice", b"orphan").await.unwrap_err();
    let kept = world.upload("alice", b"kept").await.unwrap();
    assert_eq!(world.files("blobs"), 2);
    world.clock.advance(ORPHAN_AGE - Duration::from_secs(1));
    assert_eq!(world.media.collect().await.unwrap().blobs, 0);
    world.clock.advance(Duration::from_secs(2));
    assert_eq!(world.media.collect().await.unwrap().blobs, 1);
    assert_eq!(world.read(&kept).await.unwrap(), "kept");
}

#[tokio::test]
async fn an_orphan_that_is_uploaded_again_is_not_collected() {
    let world = World::new();
    world.engine.fail_next(kv::Failure::Unavailable);
    world.upload("alice", b"twice").await.unwrap_err();
    world.clock.advance(ORPHAN_AGE + Duration::from_secs(1));
    // Its row is not there yet when the collector looks, but its blob is young again.
    world.engine.fail_next(kv::Failure::Unavailable);
    world.upload("alice", b"twice").await.unwrap_err();
    assert_eq!(world.media.collect().await.unwrap().blobs, 0);
}

#[tokio::test]
async fn what_a_crash_left_half_written_is_removed_at_the_next_start() {
    let world = World::new();
    let mut writer = world.media.0.blobs.writer().await.unwrap();
    writer.write(b"half").await.unwrap();
    // The process dies: nothing is dropped.
    std::mem::forget(writer);
    assert_eq!(world.files("temporary"), 1);
    let context = world.media.0.context.clone();
    let restarted = Media::new(context, world.media.settings().clone());
    restarted.collect().await.unwrap();
    assert_eq!(world.files("temporary"), 0);
}

#[tokio::test]
async fn fifty_megabytes_pass_through_in_small_pieces() {
    const PIECE: usize = 256 * 1024;
    const PIECES: usize = 200;
    let world = World::new();
    let (live, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let counters = (live.clone(), most.clone());
    let pieces = stream::iter(0..PIECES).map(move |index| {
        let (live, most) = &counters;
        most.fetch_max(live.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        let bytes = vec![u8::try_from(index).unwrap(); PIECE];
        Ok(Bytes::from_owner(Counted { bytes, live: live.clone() }))
    });
    let address = world.media.upload("alice", Offer::default(), pieces.boxed()).await.unwrap();
    // A piece is let go before the next two are there: the file is never in memory.
    assert!(most.load(Ordering::SeqCst) <= 2);
    let stored = world.media.find(&address, NO_WAIT).await.unwrap();
    assert_eq!(stored.bytes, (PIECE * PIECES) as u64);
    let mut out = world.media.read(&stored, None).await.unwrap();
    let (mut bytes, mut largest) = (0, 0);
    while let Some(chunk) = out.next().await {
        let chunk = chunk.unwrap();
        assert!(
            chunk.iter().enumerate().all(|(at, byte)| usize::from(*byte) == (bytes + at) / PIECE)
        );
        bytes += chunk.len();
        largest = largest.max(chunk.len());
    }
    assert_eq!(bytes, PIECE * PIECES);
    assert!(largest <= 64 * 1024);
}

/// Bytes that know whether they are still there.
struct Counted {
    bytes: Vec<u8>,
    live: Arc<AtomicUsize>,
}

impl AsRef<[u8]> for Counted {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.live.fetch_sub(1, Ordering::SeqCst);
    }
}

#[tokio::test]
async fn damage_on_disk_is_noticed_before_the_last_byte_is_served() {
    let world = World::new();
    let address = world.upload("alice", b"precious").await.unwrap();
    let Stored { blob, .. } = world.media.find(&address, NO_WAIT).await.unwrap();
    let name = blobs::name(blob);
    let path = world.folder.path().join("blobs").join(&name[..2]).join(&name);
    fs::write(path, "preci0us").unwrap();
    let stored = world.media.find(&address, NO_WAIT).await.unwrap();
    let read = whole(world.media.read(&stored, None).await.unwrap()).await;
    assert_eq!(read.unwrap_err().kind(), io::ErrorKind::InvalidData);
}
