//! Media: what is known of the file at an address, which blobs are in use, and the thumbnails.
//!
//! Bytes are not in here: a row names them by their SHA-256. Rows of one table, told apart by their
//! first byte:
//! - `f` ‖ server ‖ media id → [`File`]
//! - `a` ‖ localpart ‖ media id → until when an address that its user created waits for content
//! - `t` ‖ blob ‖ size → [`Thumbnail`] of an image
//! - `u` ‖ blob ‖ … → (): a file or a thumbnail that needs the blob
//! - `n` ‖ localpart → bytes that the user has uploaded

use bytes::Bytes;
use kv::{Batch, KeyReader, KeyWriter, Op, Precondition, Snapshot, StoreError};
use serde::{Deserialize, Serialize};

use crate::{MEDIA, value};

/// Names stored bytes: their SHA-256.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct BlobId(pub [u8; 32]);

/// Where a file is: the two parts of an `mxc://` address.
#[derive(Clone, Copy, Debug)]
pub struct Address<'a> {
    pub server: &'a str,
    pub media_id: &'a str,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct File {
    /// Localpart of the user who created it; a file of another server has none.
    pub uploader: Option<String>,
    pub created_ms: u64,
    pub content: Content,
    /// An administrator took it out of circulation: answered as if it did not exist.
    pub quarantined: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Content {
    /// The address was given out; its content may be uploaded until then.
    Awaited {
        until_ms: u64,
    },
    Stored(Stored),
}

/// What is served.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stored {
    pub blob: BlobId,
    pub bytes: u64,
    /// As the uploader said; never trusted to be true.
    pub content_type: String,
    pub file_name: Option<String>,
}

/// A smaller picture of an image, made on demand.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Thumbnail {
    pub blob: BlobId,
    pub bytes: u64,
    pub content_type: String,
}

/// Which thumbnail of an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ThumbnailSize {
    pub width: u32,
    pub height: u32,
    pub crop: bool,
    pub animated: bool,
}

pub fn file(snapshot: &Snapshot, address: Address<'_>) -> Result<Option<File>, StoreError> {
    snapshot.get(MEDIA, &file_key(address))?.map(|row| value::decode(&row)).transpose()
}

pub fn put_file(batch: &mut Batch, address: Address<'_>, file: &File) {
    batch.put(MEDIA, file_key(address), value::encode(file));
    if let Content::Stored(stored) = &file.content {
        batch.put(MEDIA, file_use_key(stored.blob, address), value::encode(&()));
    }
}

/// Lets the batch fail unless the address still holds `file` (`None`: nothing).
pub fn require_file(batch: &mut Batch, address: Address<'_>, file: Option<&File>) {
    let key = file_key(address);
    batch.require(match file {
        Some(file) => Precondition::Equals(MEDIA, key, value::encode(file)),
        None => Precondition::Absent(MEDIA, key),
    });
}

/// Removes what is known of the file, which was `file`. Its blob is collected later if nothing else
/// needs it.
pub fn remove_file(batch: &mut Batch, address: Address<'_>, file: &File) {
    batch.delete(MEDIA, file_key(address));
    if let Content::Stored(stored) = &file.content {
        batch.delete(MEDIA, file_use_key(stored.blob, address));
    }
}

/// Addresses that the user created and did not fill, with the time until which they wait.
pub fn awaited(snapshot: &Snapshot, localpart: &str) -> Result<Vec<(String, u64)>, StoreError> {
    let prefix = KeyWriter::new().u8(AWAITED).part(localpart).finish();
    let mut awaited = Vec::new();
    snapshot.scan_prefix(MEDIA, &prefix, |key, row| {
        awaited.push((text(&key[prefix.len()..])?, value::decode(&row)?));
        Ok(())
    })?;
    Ok(awaited)
}

/// Every awaited address: localpart, media id, and the time until which it waits.
pub fn all_awaited(snapshot: &Snapshot) -> Result<Vec<(String, String, u64)>, StoreError> {
    let mut awaited = Vec::new();
    snapshot.scan_prefix(MEDIA, &[AWAITED], |key, row| {
        let mut key = KeyReader(&key[1..]);
        let localpart = key.part().ok_or_else(|| value::corrupt("awaited media"))?;
        awaited.push((text(localpart)?, text(key.rest())?, value::decode(&row)?));
        Ok(())
    })?;
    Ok(awaited)
}

pub fn put_awaited(batch: &mut Batch, localpart: &str, media_id: &str, until_ms: u64) {
    batch.put(MEDIA, awaited_key(localpart, media_id), value::encode(&until_ms));
}

pub fn remove_awaited(batch: &mut Batch, localpart: &str, media_id: &str) {
    batch.delete(MEDIA, awaited_key(localpart, media_id));
}

pub fn thumbnail(
    snapshot: &Snapshot,
    blob: BlobId,
    size: ThumbnailSize,
) -> Result<Option<Thumbnail>, StoreError> {
    snapshot.get(MEDIA, &thumbnail_key(blob, size))?.map(|row| value::decode(&row)).transpose()
}

/// All thumbnails of an image.
pub fn thumbnails(
    snapshot: &Snapshot,
    blob: BlobId,
) -> Result<Vec<(ThumbnailSize, Thumbnail)>, StoreError> {
    let prefix = KeyWriter::new().u8(THUMBNAIL).rest(blob.0).finish();
    let mut thumbnails = Vec::new();
    snapshot.scan_prefix(MEDIA, &prefix, |key, row| {
        let size = read_size(KeyReader(&key[prefix.len()..]));
        let size = size.ok_or_else(|| value::corrupt("thumbnail key"))?;
        thumbnails.push((size, value::decode(&row)?));
        Ok(())
    })?;
    Ok(thumbnails)
}

pub fn put_thumbnail(batch: &mut Batch, of: BlobId, size: ThumbnailSize, thumbnail: &Thumbnail) {
    batch.put(MEDIA, thumbnail_key(of, size), value::encode(thumbnail));
    batch.put(MEDIA, thumbnail_use_key(thumbnail.blob, of, size), value::encode(&()));
}

pub fn remove_thumbnail(batch: &mut Batch, of: BlobId, size: ThumbnailSize, blob: BlobId) {
    batch.delete(MEDIA, thumbnail_key(of, size));
    batch.delete(MEDIA, thumbnail_use_key(blob, of, size));
}

/// Whether any file or thumbnail needs the blob.
pub fn is_in_use(snapshot: &Snapshot, blob: BlobId) -> Result<bool, StoreError> {
    let prefix = KeyWriter::new().u8(USE).rest(blob.0).finish();
    let page = snapshot.scan(MEDIA, &prefix, &kv::after_prefix(&prefix), false, 1)?;
    Ok(!page.rows.is_empty())
}

/// Bytes that the user has uploaded and that were not deleted.
pub fn uploaded_bytes(snapshot: &Snapshot, localpart: &str) -> Result<u64, StoreError> {
    let row = snapshot.get(MEDIA, &uploaded_key(localpart))?;
    match row.as_deref().map(TryFrom::try_from) {
        None => Ok(0),
        Some(Ok(bytes)) => Ok(u64::try_from(i64::from_be_bytes(bytes)).unwrap_or(0)),
        Some(Err(_)) => Err(value::corrupt("uploaded bytes")),
    }
}

/// Counts bytes that the user uploaded, or (negative) that were deleted.
pub fn add_uploaded_bytes(batch: &mut Batch, localpart: &str, bytes: i64) {
    batch.ops.push(Op::Add(MEDIA, uploaded_key(localpart), bytes));
}

const FILE: u8 = b'f';
const AWAITED: u8 = b'a';
const THUMBNAIL: u8 = b't';
const USE: u8 = b'u';
const UPLOADED: u8 = b'n';

/// Kinds of use, after the blob in a use row's key.
const BY_FILE: u8 = 1;
const BY_THUMBNAIL: u8 = 2;

fn file_key(Address { server, media_id }: Address<'_>) -> Bytes {
    KeyWriter::new().u8(FILE).part(server).rest(media_id).finish()
}

fn awaited_key(localpart: &str, media_id: &str) -> Bytes {
    KeyWriter::new().u8(AWAITED).part(localpart).rest(media_id).finish()
}

fn file_use_key(blob: BlobId, Address { server, media_id }: Address<'_>) -> Bytes {
    KeyWriter::new().u8(USE).rest(blob.0).u8(BY_FILE).part(server).rest(media_id).finish()
}

fn thumbnail_use_key(blob: BlobId, of: BlobId, size: ThumbnailSize) -> Bytes {
    write_size(KeyWriter::new().u8(USE).rest(blob.0).u8(BY_THUMBNAIL).rest(of.0), size)
}

fn thumbnail_key(of: BlobId, size: ThumbnailSize) -> Bytes {
    write_size(KeyWriter::new().u8(THUMBNAIL).rest(of.0), size)
}

fn uploaded_key(localpart: &str) -> Bytes {
    KeyWriter::new().u8(UPLOADED).rest(localpart).finish()
}

fn write_size(key: KeyWriter, size: ThumbnailSize) -> Bytes {
    let key = key.u32(size.width).u32(size.height);
    key.u8(size.crop.into()).u8(size.animated.into()).finish()
}

fn read_size(mut key: KeyReader<'_>) -> Option<ThumbnailSize> {
    let (width, height) = (key.u32()?, key.u32()?);
    Some(ThumbnailSize { width, height, crop: key.u8()? != 0, animated: key.u8()? != 0 })
}

fn text(bytes: &[u8]) -> Result<String, StoreError> {
    String::from_utf8(bytes.to_vec()).map_err(|_| value::corrupt("text in a media key"))
}
