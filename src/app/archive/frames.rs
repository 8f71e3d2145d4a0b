//! Frames, one after the other, and the hash at their end.

use std::io::{self, Read, Write};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

const TITLE: &[u8] = b"Kontor export, format 1\n";
/// No frame of ours is larger; a damaged length must not make us reserve memory.
const FRAME_BYTES_MAX: u32 = 1 << 20;

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Frame {
    Header(Header),
    /// The table of the rows that follow.
    Table(String),
    Row(Vec<u8>, Vec<u8>),
    /// Of the log, at least that of every row.
    Version(u64),
    /// A file of the media folder; its pieces follow.
    File(String),
    Piece(Vec<u8>),
    /// The hash of everything before.
    End([u8; 32]),
}

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Header {
    pub(super) server_name: String,
    pub(super) exported_ms: u64,
}

pub(super) struct FrameWriter<W> {
    output: W,
    hash: Sha256,
}

pub(super) struct FrameReader<R> {
    input: R,
    hash: Sha256,
    ended: bool,
}

impl<W: Write> FrameWriter<W> {
    pub(super) fn new(output: W) -> io::Result<Self> {
        let mut writer = Self { output, hash: Sha256::new() };
        writer.raw(TITLE)?;
        Ok(writer)
    }

    pub(super) fn write(&mut self, frame: &Frame) -> io::Result<()> {
        let bytes = postcard::to_stdvec(frame).map_err(io::Error::other)?;
        let length = u32::try_from(bytes.len()).map_err(io::Error::other)?;
        self.raw(&length.to_le_bytes())?;
        self.raw(&bytes)
    }

    pub(super) fn finish(mut self) -> io::Result<W> {
        let hash = self.hash.clone().finalize().into();
        self.write(&Frame::End(hash))?;
        self.output.flush()?;
        Ok(self.output)
    }

    fn raw(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.hash.update(bytes);
        self.output.write_all(bytes)
    }
}

impl<R: Read> FrameReader<R> {
    pub(super) fn new(input: R) -> io::Result<Self> {
        let mut reader = Self { input, hash: Sha256::new(), ended: false };
        let mut title = [0; TITLE.len()];
        reader.input.read_exact(&mut title)?;
        if title != TITLE {
            return Err(io::ErrorKind::InvalidData.into());
        }
        reader.hash.update(title);
        Ok(reader)
    }

    /// The next frame; `None` after the last, whose hash was right.
    pub(super) fn next(&mut self) -> io::Result<Option<Frame>> {
        if self.ended {
            return Ok(None);
        }
        let before = self.hash.clone();
        let mut length = [0; 4];
        self.input.read_exact(&mut length)?;
        if u32::from_le_bytes(length) > FRAME_BYTES_MAX {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let mut bytes = vec![0; u32::from_le_bytes(length) as usize];
        self.input.read_exact(&mut bytes)?;
        self.hash.update(length);
        self.hash.update(&bytes);
        let frame = postcard::from_bytes(&bytes).map_err(io::Error::other)?;
        let Frame::End(hash) = frame else { return Ok(Some(frame)) };
        self.ended = true;
        if before.finalize()[..] == hash {
            Ok(None)
        } else {
            Err(io::ErrorKind::InvalidData.into())
        }
    }
}
