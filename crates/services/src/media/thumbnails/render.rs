//! A picture in, a smaller picture out. Synchronous, and as heavy as the picture is.
//!
//! The format is what the bytes say, never what the uploader said; size and memory are checked
//! before pixels are decoded.

use std::{
    fs,
    io::{self, BufRead, BufReader, Cursor, Seek},
};

use image::{
    AnimationDecoder, DynamicImage, Frame, Frames, ImageDecoder, ImageFormat, ImageReader, Limits,
    codecs::{
        gif::{GifDecoder, GifEncoder, Repeat},
        jpeg::JpegEncoder,
        webp::WebPDecoder,
    },
    imageops::FilterType,
};
use store::media::ThumbnailSize;

use crate::media::ThumbnailError;

pub(super) const JPEG: &str = "image/jpeg";
pub(super) const PNG: &str = "image/png";
pub(super) const GIF: &str = "image/gif";

const SIDE_PIXELS_MAX: u32 = 20_000;
const PIXELS_MAX: u64 = 50_000_000;
/// Memory for decoding one picture.
const DECODER_BYTES_MAX: u64 = 512 * 1024 * 1024;
/// Frames of an animation, and the pixels of all of them; a longer one becomes a still picture.
const FRAMES_MAX: usize = 200;
const ANIMATION_PIXELS_MAX: u64 = 200_000_000;
const JPEG_QUALITY: u8 = 80;
/// How hard the encoder looks for a palette: 1 is best, 30 is fastest.
const GIF_SPEED: i32 = 20;

pub(super) struct Rendered {
    pub bytes: Vec<u8>,
    pub content_type: &'static str,
}

/// Makes a thumbnail of the picture that `open` opens, more than once if necessary.
pub(super) fn render(
    open: impl Fn() -> io::Result<fs::File>,
    size: ThumbnailSize,
) -> Result<Rendered, ThumbnailError> {
    let reader = ImageReader::new(BufReader::new(open()?)).with_guessed_format()?;
    let format = reader.format().ok_or(ThumbnailError::Unsupported)?;
    if size.animated
        && let Some(animation) = animation(BufReader::new(open()?), format, size)?
    {
        return Ok(animation);
    }
    still(reader, format, size)
}

fn still(
    mut reader: ImageReader<BufReader<fs::File>>,
    format: ImageFormat,
    size: ThumbnailSize,
) -> Result<Rendered, ThumbnailError> {
    reader.limits(limits());
    let mut decoder = reader.into_decoder().map_err(refusal)?;
    check_dimensions(decoder.dimensions())?;
    let orientation = decoder.orientation().map_err(refusal)?;
    let mut image = DynamicImage::from_decoder(decoder).map_err(refusal)?;
    image.apply_orientation(orientation);
    let image = shrink(&image, size);
    let mut bytes = Cursor::new(Vec::new());
    let content_type = if format == ImageFormat::Png || image.color().has_alpha() {
        // Eight bits per channel are enough for a thumbnail.
        let image = DynamicImage::ImageRgba8(image.into_rgba8());
        image.write_to(&mut bytes, ImageFormat::Png).map_err(refusal)?;
        PNG
    } else {
        let image = DynamicImage::ImageRgb8(image.into_rgb8());
        let encoder = JpegEncoder::new_with_quality(&mut bytes, JPEG_QUALITY);
        image.write_with_encoder(encoder).map_err(refusal)?;
        JPEG
    };
    Ok(Rendered { bytes: bytes.into_inner(), content_type })
}

/// The animation in small, if the picture is one and it is not too long.
fn animation(
    file: impl BufRead + Seek,
    format: ImageFormat,
    size: ThumbnailSize,
) -> Result<Option<Rendered>, ThumbnailError> {
    match format {
        ImageFormat::Gif => {
            let mut decoder = GifDecoder::new(file).map_err(refusal)?;
            decoder.set_limits(limits()).map_err(refusal)?;
            let pixels = check_dimensions(decoder.dimensions())?;
            shrink_frames(decoder.into_frames(), pixels, size)
        }
        ImageFormat::WebP => {
            let decoder = WebPDecoder::new(file).map_err(refusal)?;
            let pixels = check_dimensions(decoder.dimensions())?;
            if !decoder.has_animation() {
                return Ok(None);
            }
            shrink_frames(decoder.into_frames(), pixels, size)
        }
        _ => Ok(None),
    }
}

fn shrink_frames(
    frames: Frames<'_>,
    frame_pixels: u64,
    size: ThumbnailSize,
) -> Result<Option<Rendered>, ThumbnailError> {
    let mut small = Vec::new();
    for (index, frame) in frames.enumerate() {
        let pixels = frame_pixels.saturating_mul(index as u64 + 1);
        if index == FRAMES_MAX || pixels > ANIMATION_PIXELS_MAX {
            return Ok(None);
        }
        let frame = frame.map_err(refusal)?;
        let delay = frame.delay();
        let image = shrink(&DynamicImage::ImageRgba8(frame.into_buffer()), size);
        small.push(Frame::from_parts(image.into_rgba8(), 0, 0, delay));
    }
    if small.len() < 2 {
        return Ok(None);
    }
    let mut bytes = Vec::new();
    let mut encoder = GifEncoder::new_with_speed(&mut bytes, GIF_SPEED);
    encoder.set_repeat(Repeat::Infinite).map_err(refusal)?;
    encoder.encode_frames(small).map_err(refusal)?;
    drop(encoder);
    Ok(Some(Rendered { bytes, content_type: GIF }))
}

/// Crops or scales; "servers MUST NOT upscale thumbnails under any circumstance".
fn shrink(image: &DynamicImage, size: ThumbnailSize) -> DynamicImage {
    let (width, height) = (image.width(), image.height());
    if size.crop {
        // A picture that is too small gives a smaller crop of the same shape.
        let side = |wanted: u32, ours: u32| f64::from(ours) / f64::from(wanted);
        let factor = side(size.width, width).min(side(size.height, height)).min(1.0);
        let shorten = |wanted: u32| (f64::from(wanted) * factor).round().max(1.0) as u32;
        let (width, height) = (shorten(size.width), shorten(size.height));
        image.resize_to_fill(width, height, FilterType::Triangle)
    } else if width > size.width || height > size.height {
        image.resize(size.width, size.height, FilterType::Triangle)
    } else {
        image.clone()
    }
}

fn limits() -> Limits {
    let mut limits = Limits::no_limits();
    limits.max_image_width = Some(SIDE_PIXELS_MAX);
    limits.max_image_height = Some(SIDE_PIXELS_MAX);
    limits.max_alloc = Some(DECODER_BYTES_MAX);
    limits
}

fn check_dimensions((width, height): (u32, u32)) -> Result<u64, ThumbnailError> {
    let pixels = u64::from(width) * u64::from(height);
    let fits = width.max(height) <= SIDE_PIXELS_MAX && pixels <= PIXELS_MAX;
    if fits { Ok(pixels) } else { Err(ThumbnailError::TooLarge) }
}

fn refusal(error: image::ImageError) -> ThumbnailError {
    match error {
        image::ImageError::Limits(_) => ThumbnailError::TooLarge,
        _ => ThumbnailError::Unsupported,
    }
}
