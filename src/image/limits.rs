//! What an image may cost at most. Far more than real images need, and less than a host can bear.

use crate::error::{Error, Result};

/// Layers of an image; overlayfs and the other engines stop there too.
pub const LAYERS: usize = 127;
/// Files, directories and links of an image.
pub const ENTRIES: u64 = 4 << 20;
/// Bytes of an image's unpacked layers, holes of sparse files included.
pub const BYTES: u64 = 128 << 30;
/// A layer larger than this may not be ...
pub const UNSUSPICIOUS: u64 = 1 << 30;
/// ... more than so many times as large as it was packed.
pub const RATIO: u64 = 200;
/// Bytes of an index, a manifest or a config.
pub const DOCUMENT: u64 = 4 << 20;
/// Files of an archive of images, and images in it.
pub const MEMBERS: usize = 16 << 10;
/// Bytes of a path or of a link's target, as the kernel has it.
pub const PATH: usize = 4095;
/// Bytes of one part of a path, as most file systems have it.
pub const NAME: usize = 255;
/// Bytes of an entry's extended header, attributes included.
pub const EXTENDED_HEADER: u64 = 1 << 20;
/// Pieces of a sparse file.
pub const PIECES: usize = 1 << 20;

/// What of the limits an image has left.
#[derive(Debug)]
pub struct Budget {
    entries: u64,
    bytes: u64,
}

impl Budget {
    /// All of it.
    pub fn new() -> Self {
        Self { entries: ENTRIES, bytes: BYTES }
    }

    /// Takes one entry of so many bytes out.
    ///
    /// # Errors
    /// When there is not so much left.
    pub fn spend(&mut self, bytes: u64) -> Result<()> {
        let refuse = |what: String| Error::user(format!("the image has more than {what}"));
        self.entries =
            self.entries.checked_sub(1).ok_or_else(|| refuse(format!("{ENTRIES} files and directories")))?;
        self.bytes = self
            .bytes
            .checked_sub(bytes)
            .ok_or_else(|| refuse(format!("{} GiB of data, holes of sparse files included", BYTES >> 30)))?;
        Ok(())
    }
}
