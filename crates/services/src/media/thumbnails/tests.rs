//! Pictures in, smaller pictures out.

use std::{io::Cursor, time::Duration};

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use image::{
    AnimationDecoder, Delay, DynamicImage, Frame, ImageFormat, Rgba, RgbaImage,
    codecs::gif::{GifDecoder, GifEncoder},
};

use super::{Method, ThumbnailRequest};
use crate::media::{Address, Offer, Stored, ThumbnailError, tests::World};

fn scale(width: u32, height: u32) -> ThumbnailRequest {
    ThumbnailRequest { width, height, method: Method::Scale, animated: false }
}

fn crop(width: u32, height: u32) -> ThumbnailRequest {
    ThumbnailRequest { method: Method::Crop, ..scale(width, height) }
}

fn picture(width: u32, height: u32, format: ImageFormat) -> Vec<u8> {
    let pixel = |x: u32, y: u32| Rgba([(x % 256) as u8, (y % 256) as u8, 128, 255]);
    let image = DynamicImage::ImageRgba8(RgbaImage::from_fn(width, height, pixel));
    let mut bytes = Cursor::new(Vec::new());
    match format {
        ImageFormat::Jpeg => image.to_rgb8().write_to(&mut bytes, format).unwrap(),
        _ => image.write_to(&mut bytes, format).unwrap(),
    }
    bytes.into_inner()
}

fn animation(frames: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = GifEncoder::new(&mut bytes);
    for index in 0..frames {
        let image = RgbaImage::from_pixel(400, 400, Rgba([index as u8 * 20, 0, 0, 255]));
        let delay = Delay::from_saturating_duration(Duration::from_millis(100));
        encoder.encode_frame(Frame::from_parts(image, 0, 0, delay)).unwrap();
    }
    drop(encoder);
    bytes
}

async fn upload(world: &World, bytes: Vec<u8>) -> Address {
    let body = stream::iter([Ok(Bytes::from(bytes))]).boxed();
    world.media.upload("alice", Offer::default(), body).await.unwrap()
}

async fn thumbnail(
    world: &World,
    address: &Address,
    request: ThumbnailRequest,
) -> Result<(Stored, Vec<u8>), ThumbnailError> {
    let stored = world.media.thumbnail(address, request, Duration::ZERO).await?;
    let chunks: Vec<Bytes> = world.media.read(&stored, None).await?.try_collect().await.unwrap();
    assert_eq!(chunks.concat().len() as u64, stored.bytes);
    Ok((stored, chunks.concat()))
}

/// Content type, width and height of the thumbnail of a picture.
async fn shrunk(bytes: Vec<u8>, request: ThumbnailRequest) -> (String, u32, u32) {
    let world = World::new();
    let address = upload(&world, bytes).await;
    let (stored, bytes) = thumbnail(&world, &address, request).await.unwrap();
    let image = image::load_from_memory(&bytes).unwrap();
    (stored.content_type, image.width(), image.height())
}

#[tokio::test]
async fn a_scaled_thumbnail_keeps_the_shape_and_is_one_of_few_sizes() {
    let wide = || picture(1_000, 500, ImageFormat::Png);
    let png = |width, height| ("image/png".to_owned(), width, height);
    assert_eq!(shrunk(wide(), scale(10, 10)).await, png(320, 160));
    assert_eq!(shrunk(wide(), scale(321, 10)).await, png(640, 320));
    assert_eq!(shrunk(wide(), scale(5_000, 5_000)).await, png(800, 400));
}

#[tokio::test]
async fn a_cropped_thumbnail_has_the_shape_that_was_asked_for() {
    let wide = || picture(1_000, 500, ImageFormat::Jpeg);
    let jpeg = |width, height| ("image/jpeg".to_owned(), width, height);
    assert_eq!(shrunk(wide(), crop(30, 30)).await, jpeg(32, 32));
    assert_eq!(shrunk(wide(), crop(96, 96)).await, jpeg(96, 96));
    assert_eq!(shrunk(wide(), crop(100, 20)).await, jpeg(256, 256));
}

#[tokio::test]
async fn nothing_is_made_larger() {
    let small = || picture(60, 20, ImageFormat::Png);
    let png = |width, height| ("image/png".to_owned(), width, height);
    assert_eq!(shrunk(small(), scale(640, 480)).await, png(60, 20));
    assert_eq!(shrunk(small(), crop(96, 96)).await, png(20, 20));
}

#[tokio::test]
async fn the_format_is_what_the_bytes_say() {
    for format in [ImageFormat::Png, ImageFormat::Jpeg, ImageFormat::Gif, ImageFormat::WebP] {
        let (content_type, ..) = shrunk(picture(700, 700, format), scale(320, 240)).await;
        let expected = match format {
            ImageFormat::Jpeg => "image/jpeg",
            _ => "image/png",
        };
        assert_eq!(content_type, expected, "{format:?}");
    }
}

#[tokio::test]
async fn a_thumbnail_is_made_once() {
    let world = World::new();
    let address = upload(&world, picture(700, 700, ImageFormat::Png)).await;
    let (first, _) = thumbnail(&world, &address, scale(320, 240)).await.unwrap();
    let before = world.media.0.context.log.position();
    let (second, _) = thumbnail(&world, &address, scale(300, 200)).await.unwrap();
    assert_eq!(first, second);
    assert_eq!(world.media.0.context.log.position(), before);
}

#[tokio::test]
async fn what_is_no_picture_has_no_thumbnail() {
    let world = World::new();
    let svg = b"<svg xmlns='http://www.w3.org/2000/svg'><script/></svg>".to_vec();
    let cut = picture(700, 700, ImageFormat::Png)[..200].to_vec();
    for bytes in [svg, b"plain text".to_vec(), Vec::new(), cut] {
        let address = upload(&world, bytes).await;
        let result = thumbnail(&world, &address, scale(320, 240)).await;
        assert!(matches!(result, Err(ThumbnailError::Unsupported)), "{result:?}");
    }
}

#[tokio::test]
async fn a_picture_that_would_need_gigabytes_is_refused_unread() {
    let world = World::new();
    let mut bomb = picture(1, 1, ImageFormat::Png);
    // Width and height stand after the signature and the first chunk's length and name.
    bomb[16..24].copy_from_slice(&[0, 0, 0x40, 0, 0, 0, 0x40, 0]);
    let checksum = crc32(&bomb[12..29]);
    bomb[29..33].copy_from_slice(&checksum.to_be_bytes());
    let address = upload(&world, bomb).await;
    let result = thumbnail(&world, &address, scale(320, 240)).await;
    assert!(matches!(result, Err(ThumbnailError::TooLarge)), "{result:?}");
}

fn crc32(bytes: &[u8]) -> u32 {
    let step = |crc: u32, byte: &u8| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ (0xedb8_8320 * (crc & 1)))
    };
    !bytes.iter().fold(u32::MAX, step)
}

#[tokio::test]
async fn an_animation_moves_only_for_who_wants_it() {
    let world = World::new();
    let address = upload(&world, animation(3)).await;
    let (still, _) = thumbnail(&world, &address, scale(320, 240)).await.unwrap();
    assert_eq!(still.content_type, "image/png");
    let animated = ThumbnailRequest { animated: true, ..scale(320, 240) };
    let (moving, bytes) = thumbnail(&world, &address, animated).await.unwrap();
    assert_eq!(moving.content_type, "image/gif");
    let frames = GifDecoder::new(Cursor::new(bytes)).unwrap().into_frames();
    let frames = frames.collect_frames().unwrap();
    assert_eq!(frames.len(), 3);
    assert_eq!(frames[0].buffer().dimensions(), (240, 240));
    // A single frame is a still picture, whatever its format.
    let address = upload(&world, animation(1)).await;
    let (still, _) = thumbnail(&world, &address, animated).await.unwrap();
    assert_eq!(still.content_type, "image/png");
}
