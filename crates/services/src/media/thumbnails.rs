//! Thumbnails: made when they are first asked for, and kept.
//!
//! Only a few sizes are made, whatever is asked for, so that nobody can fill the disk with a
//! picture in every size.
//!
//! <https://spec.matrix.org/v1.19/client-server-api/#thumbnails>

mod render;

use std::time::Duration;

use store::media::{self, BlobId, Stored, Thumbnail, ThumbnailSize};

use super::{Address, DownloadError, Media, ThumbnailError, blobs::Written};
use render::Rendered;

#[cfg(test)]
mod tests;

/// What a client asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ThumbnailRequest {
    pub width: u32,
    pub height: u32,
    pub method: Method,
    pub animated: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    Crop,
    Scale,
}

/// Sizes that are made, smallest first. A crop that is larger than all crops is scaled.
const CROPS: [(u32, u32); 3] = [(32, 32), (96, 96), (256, 256)];
const SCALES: [(u32, u32); 3] = [(320, 240), (640, 480), (800, 600)];

impl ThumbnailRequest {
    /// The size that is made for it: the smallest that is large enough, or the largest.
    fn size(self) -> ThumbnailSize {
        let enough = |(width, height): &&(u32, u32)| *width >= self.width && *height >= self.height;
        let crop = match self.method {
            Method::Crop => CROPS.iter().find(enough),
            Method::Scale => None,
        };
        let scale = || SCALES.iter().find(enough).unwrap_or(&SCALES[SCALES.len() - 1]);
        let (width, height) = *crop.unwrap_or_else(scale);
        ThumbnailSize { width, height, crop: crop.is_some(), animated: self.animated }
    }
}

impl Media {
    /// A smaller picture of the file at the address, which is fetched first if another server has
    /// it. Read it with [`Media::read`].
    pub async fn thumbnail(
        &self,
        address: &Address,
        request: ThumbnailRequest,
        wait: Duration,
    ) -> Result<Stored, ThumbnailError> {
        let of = self.find(address, wait).await?.blob;
        let size = request.size();
        if let Some(thumbnail) = self.kept_thumbnail(of, size).await? {
            return Ok(thumbnail);
        }
        // The semaphore is never closed; a permit that is missing would only cost memory.
        let _decoding = self.0.decoders.acquire().await.ok();
        // While we waited, somebody else may have made it.
        if let Some(thumbnail) = self.kept_thumbnail(of, size).await? {
            return Ok(thumbnail);
        }
        let Rendered { bytes, content_type } = self.render(of, size).await?;
        let Written { blob, bytes } = self.0.blobs.write(bytes.into()).await?;
        let thumbnail = Thumbnail { blob, bytes, content_type: content_type.to_owned() };
        let mut batch = self.0.context.batch();
        media::put_thumbnail(&mut batch, of, size, &thumbnail);
        self.commit(batch).await.map_err(DownloadError::from)?;
        Ok(serve(thumbnail))
    }

    async fn kept_thumbnail(
        &self,
        of: BlobId,
        size: ThumbnailSize,
    ) -> Result<Option<Stored>, ThumbnailError> {
        let read = move |rows: &kv::Snapshot| media::thumbnail(rows, of, size);
        match self.0.context.store.read(read).await? {
            Some(kept) if self.0.blobs.exists(kept.blob).await? => Ok(Some(serve(kept))),
            _ => Ok(None),
        }
    }

    async fn render(&self, of: BlobId, size: ThumbnailSize) -> Result<Rendered, ThumbnailError> {
        let blobs = self.0.blobs.clone();
        let render = move || render::render(|| blobs.open_blocking(of), size);
        // A decoder that panics has met a picture that it cannot decode.
        let rendered = tokio::task::spawn_blocking(render).await;
        rendered.unwrap_or(Err(ThumbnailError::Unsupported))
    }
}

fn serve(thumbnail: Thumbnail) -> Stored {
    let name = match thumbnail.content_type.as_str() {
        render::JPEG => "thumbnail.jpg",
        render::GIF => "thumbnail.gif",
        _ => "thumbnail.png",
    };
    Stored {
        blob: thumbnail.blob,
        bytes: thumbnail.bytes,
        content_type: thumbnail.content_type,
        file_name: Some(name.to_owned()),
    }
}
