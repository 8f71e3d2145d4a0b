//! Files from one server to another, and multipart that is not as it should be.

use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use http::HeaderValue;
use services::media::{Address, ByteStream, DownloadError, Offer};

use super::multipart::{Outgoing, boundary, file, send};
use crate::{Federation, transport::Pieces, worlds::World};

const NO_WAIT: Duration = Duration::ZERO;

fn body(bytes: impl Into<Bytes>) -> ByteStream {
    stream::iter([Ok(bytes.into())]).boxed()
}

async fn whole(body: ByteStream) -> std::io::Result<Vec<u8>> {
    let pieces: Vec<Bytes> = body.try_collect().await?;
    Ok(pieces.concat())
}

/// The bytes in pieces of this size, as the network might cut them.
fn cut(bytes: &[u8], size: usize) -> Pieces {
    let pieces: Vec<_> =
        bytes.chunks(size).map(|piece| Ok(Bytes::copy_from_slice(piece))).collect();
    stream::iter(pieces).boxed()
}

async fn upload(home: &Federation, bytes: &'static [u8]) -> Address {
    let offer = Offer {
        content_type: Some("text/plain".to_owned()),
        file_name: Some("Grüße.txt".to_owned()),
        bytes: None,
    };
    home.services.media.upload("alice", offer, body(bytes)).await.unwrap()
}

#[tokio::test]
async fn a_file_travels_with_its_name_and_type() {
    let mut world = World::new();
    let (ours, theirs) = (world.home("ours.example").await, world.home("theirs.example").await);
    let address = upload(&theirs, b"hello\r\n--not the end").await;
    let stored = ours.services.media.find(&address, NO_WAIT).await.unwrap();
    assert_eq!(stored.content_type, "text/plain");
    assert_eq!(stored.file_name.as_deref(), Some("Grüße.txt"));
    let read = ours.services.media.read(&stored, None).await.unwrap();
    assert_eq!(whole(read).await.unwrap(), b"hello\r\n--not the end");
}

#[tokio::test]
async fn why_a_file_cannot_be_had_is_told_on() {
    let mut world = World::new();
    let (ours, theirs) = (world.home("ours.example").await, world.home("theirs.example").await);
    let unknown = Address::new("theirs.example", "unknown").unwrap();
    let result = ours.services.media.find(&unknown, NO_WAIT).await;
    assert!(matches!(result, Err(DownloadError::NotFound)), "{result:?}");
    let (awaited, _) = theirs.services.media.create("alice").await.unwrap();
    let result = ours.services.media.find(&awaited, NO_WAIT).await;
    assert!(matches!(result, Err(DownloadError::NotYetUploaded)), "{result:?}");
    let away = Address::new("away.example", "abc").unwrap();
    let result = ours.services.media.find(&away, NO_WAIT).await;
    assert!(matches!(result, Err(DownloadError::Unreachable(_))), "{result:?}");
}

#[tokio::test]
async fn a_third_servers_file_is_not_handed_on() {
    let mut world = World::new();
    let (ours, theirs) = (world.home("ours.example").await, world.home("theirs.example").await);
    let address = upload(&theirs, b"hello").await;
    ours.services.media.find(&address, NO_WAIT).await.unwrap();
    // Asked of us, the id is one of ours.
    let asked = Address::new("ours.example", address.media_id()).unwrap();
    let result = theirs.services.media.find(&asked, NO_WAIT).await;
    assert!(matches!(result, Err(DownloadError::NotFound)), "{result:?}");
}

#[tokio::test]
async fn what_is_sent_can_be_read_however_it_is_cut() {
    let bytes = b"\r\n--\r--B\r\n--Bound\r\n".to_vec();
    let outgoing = Outgoing {
        content_type: "text/plain".to_owned(),
        content_disposition: "inline; filename=a".to_owned(),
        bytes: bytes.len() as u64,
        body: body(bytes.clone()),
    };
    let (length, sent) = send(outgoing, "Boundary");
    let sent = whole(sent).await.unwrap();
    assert_eq!(length, sent.len() as u64);
    for size in 1..=sent.len() {
        let (headers, read) = file(cut(&sent, size), "Boundary").await.unwrap();
        assert_eq!(headers["content-type"], "text/plain");
        assert_eq!(headers["content-disposition"], "inline; filename=a");
        assert_eq!(whole(read).await.unwrap(), bytes, "in pieces of {size}");
    }
}

#[tokio::test]
async fn multipart_of_other_servers_is_understood() {
    for sent in [
        "\r\n--B\r\nContent-Type: application/json\r\n\r\n{}\r\n--B\r\nContent-Type: a/b\r\n\r\nx\r\n--B--",
        "a preamble\r\n--B\r\n\r\n{}\r\n--B  \r\nCONTENT-TYPE:a/b\r\n\r\nx\r\n--B--\r\nan epilogue",
        "--B\r\n\r\n\r\n--B\r\ncontent-type: a/b\r\nnot a name: y\r\n\r\nx\r\n--B",
    ] {
        let (headers, read) = file(cut(sent.as_bytes(), 7), "B").await.unwrap();
        assert_eq!(headers["content-type"], "a/b", "{sent}");
        assert_eq!(whole(read).await.unwrap(), b"x", "{sent}");
    }
}

#[tokio::test]
async fn multipart_without_a_file_or_an_end_is_an_error() {
    let endless = format!("--B\r\n{}", "x".repeat(40_000));
    for sent in
        ["", "--B--", "--B\r\n\r\n{}\r\n--B--", "--B\r\n\r\n{}\r\n--B\r\nno colon\r\n", &endless]
    {
        assert!(file(cut(sent.as_bytes(), 5), "B").await.is_err(), "{sent:.40}");
    }
    let (_, read) = file(cut(b"--B\r\n\r\n{}\r\n--B\r\n\r\nhalf a fi", 5), "B").await.unwrap();
    assert!(whole(read).await.is_err());
}

#[test]
fn a_boundary_is_read_from_the_content_type() {
    for (content_type, expected) in [
        ("multipart/mixed; boundary=abc", Some("abc")),
        ("Multipart/Mixed;charset=utf-8; Boundary=\"a b\"", Some("a b")),
        ("multipart/mixed", None),
        ("multipart/mixed; boundary=", None),
        ("multipart/form-data; boundary=abc", None),
        ("application/json", None),
    ] {
        let read = boundary(&HeaderValue::from_static(content_type));
        assert_eq!(read.as_deref(), expected, "{content_type}");
    }
}
