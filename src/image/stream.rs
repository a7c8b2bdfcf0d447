//! Bytes on their way in: counted, hashed, unpacked from gzip and zstd, and never more than allowed.

use super::limits;
use super::oci;
use super::tar::Source;
use flate2::bufread::MultiGzDecoder;
use ruzstd::decoding::errors::{FrameDecoderError, ReadFrameHeaderError};
use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek};
use std::os::unix::fs::FileExt;

/// Bytes that are read from a file at a time.
const CHUNK: usize = 128 << 10;

/// A part of a file, read by position: the file itself stays where it is.
#[derive(Debug)]
pub struct Window {
    file: File,
    at: u64,
    left: u64,
}

impl Window {
    /// The `length` bytes from `at` on.
    pub fn new(file: File, at: u64, length: u64) -> Self {
        Self { file, at, left: length }
    }

    /// Bytes that were not read yet.
    pub fn left(&self) -> u64 {
        self.left
    }
}

impl Read for Window {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.left).map_or(buffer.len(), |left| left.min(buffer.len()));
        if most == 0 {
            return Ok(0);
        }
        let count = self.file.read_at(&mut buffer[..most], self.at)?;
        if count == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.at += count as u64;
        self.left -= count as u64;
        Ok(count)
    }
}

impl Source for Window {
    fn skip(&mut self, count: u64) -> io::Result<()> {
        self.left = self.left.checked_sub(count).ok_or(io::ErrorKind::UnexpectedEof)?;
        self.at += count;
        Ok(())
    }
}

/// Counts and hashes what is read from another.
#[derive(Debug)]
struct Hashed<R> {
    inner: R,
    /// None where the other side's digest is the same.
    hasher: Option<Sha256>,
    count: u64,
}

impl<R: Read> Read for Hashed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        if let Some(hasher) = &mut self.hasher {
            hasher.update(&buffer[..count]);
        }
        self.count += count as u64;
        Ok(count)
    }
}

type Packed<R> = BufReader<Hashed<R>>;

enum Decoder<R: Read> {
    Plain(Packed<R>),
    Gzip(Box<MultiGzDecoder<Packed<R>>>),
    Zstd(Box<Frames<Packed<R>>>),
}

/// A blob, unpacked if it is packed, hashed on both sides.
pub struct Stream<R: Read> {
    decoder: Decoder<R>,
    hasher: Sha256,
    count: u64,
    /// Most bytes that may come out.
    most: u64,
}

/// What a blob was, once all of it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Digests {
    /// Digest of the blob as it is.
    pub packed: String,
    /// Digest of what is in it.
    pub unpacked: String,
    /// Bytes of what is in it.
    pub size: u64,
}

impl<R: Read> Stream<R> {
    /// Reads `blob`; more than `most` bytes never come out of it.
    ///
    /// # Errors
    /// Those of the blob; when it is packed in another way than gzip or zstd.
    pub fn new(blob: R, most: u64) -> io::Result<Self> {
        let mut packed =
            BufReader::with_capacity(CHUNK, Hashed { inner: blob, hasher: Some(Sha256::new()), count: 0 });
        let decoder = match packing(packed.fill_buf()?)? {
            Packing::None => {
                packed.get_mut().hasher = None;
                Decoder::Plain(packed)
            }
            Packing::Gzip => Decoder::Gzip(Box::new(MultiGzDecoder::new(packed))),
            Packing::Zstd => Decoder::Zstd(Box::new(Frames::new(packed))),
        };
        Ok(Self { decoder, hasher: Sha256::new(), count: 0, most })
    }

    /// Reads what is left, which must be zeroes or nothing, and tells what the blob was.
    ///
    /// # Errors
    /// When something else is left, or it cannot be read.
    pub fn finish(mut self) -> io::Result<Digests> {
        let mut buffer = [0; 8 << 10];
        loop {
            match self.read(&mut buffer)? {
                0 => break,
                count if buffer[..count].iter().all(|byte| *byte == 0) => {}
                _ => return Err(io::Error::other("something follows the end of the archive")),
            }
        }
        let unpacked = oci::finish(self.hasher);
        let packed = match self.decoder {
            Decoder::Plain(_) => unpacked.clone(),
            Decoder::Gzip(decoder) => rest(decoder.into_inner())?,
            Decoder::Zstd(frames) => rest(frames.source)?,
        };
        Ok(Digests { packed, unpacked, size: self.count })
    }

    fn packed_bytes(&self) -> u64 {
        match &self.decoder {
            Decoder::Plain(packed) => packed.get_ref().count,
            Decoder::Gzip(decoder) => decoder.get_ref().get_ref().count,
            Decoder::Zstd(frames) => frames.source.get_ref().count,
        }
    }

    fn check(&self) -> io::Result<()> {
        let refuse = |why: String| Err(io::Error::other(why));
        if self.count > self.most {
            return refuse(format!("it has more than {} GiB of data, too much", limits::BYTES >> 30));
        }
        let packed = self.packed_bytes();
        if self.count > limits::UNSUSPICIOUS && self.count / limits::RATIO > packed {
            return refuse(format!("{packed} bytes of it unpack to {} and more, too much", self.count));
        }
        Ok(())
    }
}

/// A packed blob's digest, when its decoder has read all of it.
fn rest<R: Read>(mut packed: Packed<R>) -> io::Result<String> {
    if packed.fill_buf()?.is_empty() {
        return Ok(oci::finish(packed.into_inner().hasher.unwrap_or_default()));
    }
    Err(io::Error::other("something follows the end of the archive"))
}

impl<R: Read> Read for Stream<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = match &mut self.decoder {
            Decoder::Plain(packed) => packed.read(buffer)?,
            Decoder::Gzip(decoder) => decoder.read(buffer)?,
            Decoder::Zstd(frames) => frames.read(buffer)?,
        };
        self.hasher.update(&buffer[..count]);
        self.count += count as u64;
        self.check()?;
        Ok(count)
    }
}

impl<R: Read> Source for Stream<R> {
    fn skip(&mut self, mut count: u64) -> io::Result<()> {
        let mut buffer = [0; 8 << 10];
        while count > 0 {
            let most = usize::try_from(count).map_or(buffer.len(), |count| count.min(buffer.len()));
            match self.read(&mut buffer[..most]) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(got) => count -= got as u64,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// How something is packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Packing {
    /// Not at all, as far as we know.
    None,
    /// gzip(1).
    Gzip,
    /// zstd(1).
    Zstd,
}

/// How something is packed that begins so.
///
/// # Errors
/// When that is none of the ways that images are packed in.
pub fn packing(start: &[u8]) -> io::Result<Packing> {
    let unpack = |name: &str| Err(io::Error::other(format!("it is packed with {name}; unpack it first")));
    match start {
        [0x1f, 0x8b, ..] => Ok(Packing::Gzip),
        [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Ok(Packing::Zstd),
        [0xfd, b'7', b'z', b'X', b'Z', ..] => unpack("xz"),
        [b'B', b'Z', b'h', ..] => unpack("bzip2"),
        _ => Ok(Packing::None),
    }
}

/// How a file is packed, by its first bytes.
///
/// # Errors
/// Those of [`packing`] and of the file.
pub fn packing_of(file: &mut File) -> io::Result<Packing> {
    let mut start = [0; 8];
    file.rewind()?;
    let length = file.read_at(&mut start, 0)?;
    packing(&start[..length])
}

/// zstd frames one after another, with those between them that are to be skipped.
struct Frames<R> {
    source: R,
    decoder: FrameDecoder,
    inside: bool,
}

impl<R: BufRead> Frames<R> {
    fn new(source: R) -> Self {
        Self { source, decoder: FrameDecoder::new(), inside: false }
    }

    /// Begins the next frame; false at the end.
    fn advance(&mut self) -> io::Result<bool> {
        loop {
            if self.source.fill_buf()?.is_empty() {
                return Ok(false);
            }
            match self.decoder.reset(&mut self.source) {
                Ok(()) => {
                    self.inside = true;
                    return Ok(true);
                }
                Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame {
                    length,
                    ..
                })) => {
                    let length = u64::from(length);
                    if io::copy(&mut self.source.by_ref().take(length), &mut io::sink())? < length {
                        return Err(io::ErrorKind::UnexpectedEof.into());
                    }
                }
                Err(error) => return Err(io::Error::other(error.to_string())),
            }
        }
    }
}

impl<R: BufRead> Read for Frames<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        loop {
            if !self.inside && !self.advance()? {
                return Ok(0);
            }
            while self.decoder.can_collect() == 0 && !self.decoder.is_finished() {
                self.decoder
                    .decode_blocks(&mut self.source, BlockDecodingStrategy::UptoBlocks(1))
                    .map_err(|error| io::Error::other(error.to_string()))?;
            }
            let count = self.decoder.read(buffer)?;
            if count > 0 {
                return Ok(count);
            }
            let sums = (self.decoder.get_checksum_from_data(), self.decoder.get_calculated_checksum());
            if matches!(sums, (Some(stored), Some(found)) if stored != found) {
                return Err(io::Error::other("its checksum is wrong"));
            }
            self.inside = false;
        }
    }
}
