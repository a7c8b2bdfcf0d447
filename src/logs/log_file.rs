//! The file that is being written, and how it comes to end with a whole record whatever happens to its writer or disk.

use super::format::{self, LONGEST_RECORD, Stream};
use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::time::Duration;

/// A log file, open for appending.
#[derive(Debug)]
pub(super) struct LogFile {
    file: File,
    size: u64,
    /// Second since 1970 in which it was last seen to be still there.
    seen: u64,
}

impl LogFile {
    /// Opens or makes it, and cuts off what a killed writer left of its last record. Also returned: the stream of the
    /// last record, and whether that is partial.
    pub(super) fn open(path: &Path, now: Duration) -> io::Result<(Self, Option<(Stream, bool)>)> {
        let file = File::options()
            .read(true)
            .append(true)
            .create(true)
            .mode(0o640)
            .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK)
            .open(path)?;
        let (size, last) = mend(&file)?;
        Ok((Self { file, size, seen: now.as_secs() }, last))
    }

    /// Its length, as far as is known.
    pub(super) fn size(&self) -> u64 {
        self.size
    }

    /// Whether somebody has removed it; looked at once a second.
    pub(super) fn is_gone(&mut self, now: Duration) -> io::Result<bool> {
        if self.seen == now.as_secs() {
            return Ok(false);
        }
        self.seen = now.as_secs();
        let seen = self.file.metadata()?;
        self.size = seen.len();
        Ok(seen.nlink() == 0)
    }

    /// Writes whole records.
    ///
    /// # Errors
    /// With how many bytes of them, whole records again, were written nevertheless.
    pub(super) fn write(&mut self, records: &[u8]) -> Result<(), (usize, io::Error)> {
        let mut written = 0;
        let error = loop {
            match self.file.write(&records[written..]) {
                Ok(0) => break io::Error::from_raw_os_error(libc::ENOSPC),
                Ok(count) => written += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => break error,
            }
            if written == records.len() {
                self.size += written as u64;
                return Ok(());
            }
        };
        let kept = memchr::memrchr(b'\n', &records[..written]).map_or(0, |newline| newline + 1);
        // Should this fail, the torn record is cut off when the file is opened again.
        let _torn: io::Result<()> = self.file.metadata().and_then(|now| {
            let whole = now.len().saturating_sub((written - kept) as u64);
            self.file.set_len(whole)
        });
        Err((kept, error))
    }

    #[cfg(test)]
    pub(super) fn of(file: File) -> Self {
        let seen = super::writer::now().as_secs();
        Self { file, size: 0, seen }
    }

    #[cfg(test)]
    pub(super) fn forget_seen(&mut self) {
        self.seen = 0;
    }
}

/// Cuts off what is there of a torn last record. Returns the length, and stream and partiality of the last whole record.
fn mend(file: &File) -> io::Result<(u64, Option<(Stream, bool)>)> {
    let length = file.metadata()?.len();
    if length == 0 {
        return Ok((0, None));
    }
    // The last whole record and most of a torn one fit.
    let mut tail = vec![0; 2 * LONGEST_RECORD];
    let mut end = length;
    loop {
        let start = end.saturating_sub(tail.len() as u64);
        let block = &mut tail[..usize::try_from(end - start).unwrap_or_default()];
        file.read_exact_at(block, start)?;
        let newline = memchr::memrchr(b'\n', block);
        if newline.is_none() && start > 0 {
            end = start; // no record of ours is so long
            continue;
        }
        let whole = newline.map_or(0, |newline| newline + 1);
        let size = start + whole as u64;
        if size < length {
            file.set_len(size)?;
        }
        return Ok((size, format::last(&block[..whole]).map(|record| (record.stream, record.partial))));
    }
}
