//! Reading tar archives: v7, ustar, GNU and PAX, with their long names, large numbers and sparse files.
//!
//! podrun's own because the archive is an attacker's: every size is bounded before memory is taken, what two readers
//! could understand differently is refused, and PAX sparse files and attributes with any bytes are read. Which data
//! belongs to which entry is decided as Go's archive/tar decides it, which wrote nearly all images there are.

mod header;
mod sparse;
#[cfg(test)]
mod tests;

use super::limits;
use crate::error::{Error, Result};
use header::{Extended, Header, until_nul};
use std::io::{self, Read};

/// tar's unit.
const BLOCK: usize = 512;

/// Where an archive comes from.
pub trait Source: Read {
    /// Leaves out `count` bytes; UnexpectedEof when there are not so many.
    fn skip(&mut self, count: u64) -> io::Result<()>;
}

/// What an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A file with data.
    File,
    /// Another name of a file that came before.
    HardLink,
    /// A symbolic link.
    Symlink,
    /// A character device.
    Character,
    /// A block device.
    Block,
    /// A directory.
    Directory,
    /// A FIFO.
    Fifo,
}

/// Offsets and lengths of the data of a sparse file.
pub type Pieces = Vec<(u64, u64)>;

/// One entry's header.
#[derive(Debug, Clone)]
pub struct Entry {
    /// What it is.
    pub kind: Kind,
    /// Its path, as written.
    pub path: Vec<u8>,
    /// Target of a link, as written.
    pub link: Vec<u8>,
    /// Bytes of the file, holes included.
    pub size: u64,
    /// Permission bits, setuid, setgid and sticky included.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Time of last change: seconds since the epoch, and nanoseconds.
    pub mtime: (i64, u32),
    /// Major and minor number of a device.
    pub device: (u64, u64),
    /// Extended attributes.
    pub xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    /// Where the data belongs, `(offset, length)` ascending; `None` for a file without holes.
    pub pieces: Option<Pieces>,
}

/// How an archive ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// With the two empty blocks that mark it.
    Marked,
    /// With the last entry.
    Unmarked,
}

/// An archive that is being read, front to back.
#[derive(Debug)]
pub struct Reader<S> {
    source: S,
    /// Bytes of the current entry's data that were not read yet.
    data: u64,
    /// Bytes after it, up to the next block.
    padding: u64,
    /// Bytes read and skipped so far.
    position: u64,
    end: Option<End>,
}

impl<S: Source> Reader<S> {
    /// An archive that begins here.
    pub fn new(source: S) -> Self {
        Self { source, data: 0, padding: 0, position: 0, end: None }
    }

    /// Where the current entry's data begins, when none of it was read yet.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// How the archive ended, after [`Reader::next`] gave `None`.
    pub fn end(&self) -> Option<End> {
        self.end
    }

    /// What comes after the archive.
    pub fn into_source(self) -> S {
        self.source
    }

    /// The next entry; the current one's data is left out as far as it was not read.
    ///
    /// # Errors
    /// When the archive is damaged, cut off, or of a kind that is not understood.
    pub fn next(&mut self) -> Result<Option<Entry>> {
        let mut extended = Extended::default();
        loop {
            let rest = self.data + self.padding;
            self.source.skip(rest).map_err(unreadable)?;
            self.position += rest;
            (self.data, self.padding) = (0, 0);
            let Some(block) = self.header()? else {
                if extended.any() {
                    return Err(Error::user("the archive is cut off: it ends before the entry of a header"));
                }
                return Ok(None);
            };
            let header = Header(&block);
            let size = header.number(124, 12, "size")?;
            let size = u64::try_from(size).map_err(|_| Error::user("an entry has a negative size"))?;
            match block[156] {
                b'x' => extended.read(&self.contents(size)?)?,
                b'L' => extended.long_path = Some(self.contents(size)?),
                b'K' => extended.long_link = Some(self.contents(size)?),
                // Says nothing about a single entry; Docker does not heed it either.
                b'g' => self.announce(size)?,
                _ => return self.entry(&header, size, extended).map(Some),
            }
        }
    }

    /// Reads data of the current entry; 0 at its end.
    ///
    /// # Errors
    /// When the archive is cut off or cannot be read.
    pub fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        let most = usize::try_from(self.data).map_or(buffer.len(), |data| data.min(buffer.len()));
        if most == 0 {
            return Ok(0);
        }
        match self.source.read(&mut buffer[..most]) {
            Ok(0) => Err(unreadable(io::ErrorKind::UnexpectedEof.into())),
            Ok(count) => {
                self.data -= count as u64;
                self.position += count as u64;
                Ok(count)
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => self.read(buffer),
            Err(error) => Err(unreadable(error)),
        }
    }

    fn fill(&mut self, buffer: &mut [u8]) -> Result<()> {
        self.source.read_exact(buffer).map_err(unreadable)?;
        self.position += buffer.len() as u64;
        Ok(())
    }

    /// The data of the current entry begins here.
    fn announce(&mut self, size: u64) -> Result<()> {
        let padded = size.checked_next_multiple_of(BLOCK as u64);
        let padded = padded.ok_or_else(|| Error::user(format!("an entry has {size} bytes")))?;
        (self.data, self.padding) = (size, padded - size);
        Ok(())
    }

    /// The next header's block, or `None` at the archive's end.
    fn header(&mut self) -> Result<Option<[u8; BLOCK]>> {
        if self.end.is_some() {
            return Ok(None);
        }
        self.end = match self.block()? {
            Some(block) if block != [0; BLOCK] => {
                Header(&block).check()?;
                return Ok(Some(block));
            }
            None => Some(End::Unmarked),
            // Some writers leave the second empty block out.
            Some(_) => match self.block()? {
                Some(block) if block != [0; BLOCK] => {
                    return Err(Error::user("the archive is damaged: an empty block stands between entries"));
                }
                _ => Some(End::Marked),
            },
        };
        Ok(None)
    }

    /// A block, or `None` where nothing more comes.
    fn block(&mut self) -> Result<Option<[u8; BLOCK]>> {
        let mut block = [0; BLOCK];
        let mut filled = 0;
        while filled < BLOCK {
            match self.source.read(&mut block[filled..]) {
                Ok(0) if filled == 0 => return Ok(None),
                Ok(0) => return Err(unreadable(io::ErrorKind::UnexpectedEof.into())),
                Ok(count) => filled += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(unreadable(error)),
            }
        }
        self.position += BLOCK as u64;
        Ok(Some(block))
    }

    /// The data of an extended header.
    fn contents(&mut self, size: u64) -> Result<Vec<u8>> {
        if size > limits::EXTENDED_HEADER {
            return Err(Error::user(format!("an extended header has {size} bytes")));
        }
        self.announce(size)?;
        let mut bytes = vec![0; usize::try_from(size).unwrap_or_default()];
        self.fill(&mut bytes)?;
        self.data = 0;
        Ok(bytes)
    }

    fn entry(&mut self, header: &Header<'_>, size: u64, mut extended: Extended) -> Result<Entry> {
        let kind = header.kind()?;
        // Only files have data, whatever the size of others says.
        let stored = match kind {
            Kind::File => extended.number("size")?.unwrap_or(size),
            _ => 0,
        };
        self.announce(stored)?;
        let sparse = match kind {
            _ if header.0[156] == b'S' => Some(self.gnu_pieces(header)?),
            Kind::File if extended.is_sparse() => Some(self.pax_pieces(&extended)?),
            _ => None,
        };
        let (size, pieces) = match sparse {
            Some((size, pieces)) => {
                sparse::check(&pieces, size, self.data)?;
                (size, Some(pieces))
            }
            None => (stored, None),
        };
        let id = |key: &str, at: usize| -> Result<u32> {
            let value = match extended.number(key)? {
                Some(value) => value,
                None => u64::try_from(header.number(at, 8, key)?).unwrap_or(u64::MAX),
            };
            // The last one means "unchanged" to the kernel.
            u32::try_from(value)
                .ok()
                .filter(|id| *id < u32::MAX)
                .ok_or_else(|| Error::user(format!("an entry's {key} is out of range")))
        };
        let device = |at| Ok::<_, Error>(u64::try_from(header.number(at, 8, "device")?).unwrap_or(u64::MAX));
        let is_device = matches!(kind, Kind::Character | Kind::Block);
        Ok(Entry {
            kind,
            size,
            mode: u32::try_from(header.number(100, 8, "mode")? & 0o7777).unwrap_or_default(),
            uid: id("uid", 108)?,
            gid: id("gid", 116)?,
            mtime: extended
                .mtime()?
                .map_or_else(|| Ok((header.number(136, 12, "mtime")?, 0)), Ok::<_, Error>)?,
            device: if is_device { (device(329)?, device(337)?) } else { (0, 0) },
            pieces,
            path: extended
                .text(&["GNU.sparse.name", "path"])
                .or(extended.long_path.take())
                .map_or_else(|| header.path(), until_nul),
            link: extended
                .text(&["linkpath"])
                .or(extended.long_link.take())
                .map_or_else(|| header.text(157, 100).to_vec(), until_nul),
            xattrs: extended.xattrs(),
        })
    }
}

fn unreadable(error: io::Error) -> Error {
    if error.kind() == io::ErrorKind::UnexpectedEof {
        return Error::user("the archive is cut off").hint("fetch it again");
    }
    Error::user("cannot read the archive").because(error)
}
