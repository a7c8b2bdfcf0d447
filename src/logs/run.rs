//! Reading one run of a container: its rotated files in order, then the current one, again and again as they grow.
//!
//! A file is known by its inode, which its open descriptor keeps from being used again, so that no rotation makes a
//! record read twice or not at all, unless it was removed before we came to it.

use super::files;
use super::format::{LONGEST_RECORD, Record, Stream, parse};
use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Bytes read at once; several records.
pub(super) const BLOCK: usize = 64 << 10;
const _: () = assert!(BLOCK > 2 * LONGEST_RECORD);

/// Which part of a log is wanted.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Query {
    /// So many lines from the end.
    pub tail: Option<u64>,
    /// Of these, what was written at this time, counted from 1970, or later.
    pub since: Option<Duration>,
}

/// How far a run is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Extent {
    /// To where its log ends when it is opened, however fast it grows meanwhile.
    Present,
    /// As it grows.
    Growing,
}

/// A run, and how far it has been read.
#[derive(Debug)]
pub(super) struct Run {
    directory: PathBuf,
    pub(super) restart: u32,
    since: Duration,
    reading: Option<Reading>,
    /// What comes after that, where it was settled in the beginning.
    rest: Option<VecDeque<Reading>>,
    /// The newest rotated file that is done with.
    done: Option<String>,
    /// Whether the line that a stream is in is shown.
    shown: [Option<bool>; 2],
}

#[derive(Debug)]
struct Reading {
    file: File,
    /// Where the first record that was not read begins.
    offset: u64,
    /// Where reading ends.
    end: u64,
    /// What stands there is longer than any record: it is passed over up to its newline.
    garbage: bool,
    /// Its name, once it was rotated; then it grows no more.
    rotated: Option<String>,
}

impl Run {
    /// Nothing of it needs to be there yet.
    ///
    /// # Errors
    /// When what is there cannot be read.
    pub(super) fn open(directory: &Path, restart: u32, query: &Query, extent: Extent) -> io::Result<Self> {
        let mut run = Self {
            directory: directory.to_path_buf(),
            restart,
            since: query.since.unwrap_or_default(),
            reading: None,
            rest: None,
            done: None,
            shown: [None; 2],
        };
        if extent == Extent::Growing && query.tail.is_none() {
            return Ok(run);
        }
        let mut all = run.open_all()?;
        if extent == Extent::Present {
            all.iter_mut().try_for_each(Reading::end_here)?;
        }
        let first = query.tail.map_or(Ok(0), |lines| seek_tail(&mut all, lines))?;
        let mut rest = VecDeque::from(all.split_off(first));
        run.done = all.into_iter().rev().find_map(|reading| reading.rotated);
        run.reading = rest.pop_front();
        run.rest = (extent == Extent::Present).then_some(rest);
        Ok(run)
    }

    /// Hands the next whole records to `take`, at most a block of them; false when there are no more for now.
    pub(super) fn read(
        &mut self,
        block: &mut [u8; BLOCK],
        mut take: impl FnMut(&Record<'_>),
    ) -> io::Result<bool> {
        while self.reading.is_some() || self.open_next()? {
            let Some(reading) = &mut self.reading else { break };
            let room = usize::try_from(reading.end - reading.offset).map_or(BLOCK, |room| room.min(BLOCK));
            let length = reading.file.read_at(&mut block[..room], reading.offset)?;
            let used = whole_lines(&block[..length]);
            if used == 0 {
                if length == BLOCK {
                    reading.garbage = true;
                    reading.offset += length as u64;
                } else if !self.go_on()? {
                    return Ok(false);
                }
                continue;
            }
            reading.offset += used as u64;
            let skip_first = std::mem::take(&mut reading.garbage);
            for line in lines(&block[..used]).skip(skip_first.into()) {
                if let Some(record) = parse(line).filter(|record| self.is_wanted(record)) {
                    take(&record);
                }
            }
            return Ok(true);
        }
        Ok(false)
    }

    /// A line is shown or not as a whole: its first record decides.
    fn is_wanted(&mut self, record: &Record<'_>) -> bool {
        let shown = &mut self.shown[stream_index(record.stream)];
        let wanted = shown.unwrap_or(record.time >= self.since);
        *shown = record.partial.then_some(wanted);
        wanted
    }

    /// At the end of the file: whether there is more elsewhere, or in a moment in this one.
    fn go_on(&mut self) -> io::Result<bool> {
        let Some(mut reading) = self.reading.take() else { return Ok(false) };
        if self.rest.is_some() {
            return Ok(true);
        }
        if reading.rotated.is_some() {
            self.done = reading.rotated;
            return Ok(true);
        }
        let ours = reading.file.metadata()?;
        let emptied = ours.len() < reading.offset;
        if emptied {
            reading.offset = 0;
            reading.garbage = false;
        }
        let current = identity(&files::current(&self.directory, self.restart))?;
        let is_ours = |identity: Option<(u64, u64)>| identity == Some((ours.dev(), ours.ino()));
        if !is_ours(current) {
            // What it was called when it was rotated. Before that, more may have been written: it is read once more.
            for name in self.unread()? {
                if is_ours(identity(&self.directory.join(&name))?) {
                    reading.rotated = Some(name);
                    break;
                }
            }
            // It was removed. Its writer may not have noticed yet, until there is a new one.
            if reading.rotated.is_none() && current.is_some() {
                reading.rotated = Some(self.done.clone().unwrap_or_default());
            }
        }
        let more = emptied || reading.rotated.is_some();
        self.reading = Some(reading);
        Ok(more)
    }

    /// Rotated files that are not done with, oldest first.
    fn unread(&self) -> io::Result<Vec<String>> {
        let mut names = files::rotated(&self.directory, self.restart)?;
        names.retain(|name| self.done.as_ref().is_none_or(|done| name > done));
        Ok(names)
    }

    /// All files that are not done with, opened, oldest first.
    fn open_all(&self) -> io::Result<Vec<Reading>> {
        // The current one first: when it is rotated meanwhile, it is in the list, too, and no file is missed.
        let current = open(&files::current(&self.directory, self.restart))?;
        let mut all = Vec::new();
        for name in self.unread()? {
            all.extend(open(&self.directory.join(&name))?.map(|file| Reading::new(file, Some(name))));
        }
        if let Some(file) = current {
            let ours = file.metadata()?.ino();
            let listed = |reading: &Reading| reading.file.metadata().is_ok_and(|meta| meta.ino() == ours);
            if !all.iter().any(listed) {
                all.push(Reading::new(file, None));
            }
        }
        Ok(all)
    }

    /// Opens the oldest file that is not done with, if there is one.
    fn open_next(&mut self) -> io::Result<bool> {
        self.reading = match &mut self.rest {
            Some(rest) => rest.pop_front(),
            None => self.open_all()?.into_iter().next(),
        };
        Ok(self.reading.is_some())
    }
}

/// Goes to where only `lines` lines are left, and says in which of the files that is; the first where there are fewer.
fn seek_tail(all: &mut [Reading], lines: u64) -> io::Result<usize> {
    let mut left = lines;
    let mut block = vec![0; BLOCK];
    // An unfinished line at the very end counts as one.
    let mut at_end = true;
    for (index, reading) in all.iter_mut().enumerate().rev() {
        if seek_back(reading, &mut left, &mut at_end, &mut block)? {
            return Ok(index);
        }
    }
    Ok(0)
}

impl Reading {
    fn new(file: File, rotated: Option<String>) -> Self {
        Self { file, offset: 0, end: u64::MAX, garbage: false, rotated }
    }

    /// Reads no further than the file goes now.
    fn end_here(&mut self) -> io::Result<()> {
        self.end = self.file.metadata()?.len();
        Ok(())
    }
}

/// Goes back in the file from its end over at most `left` lines; true when it has found the beginning of the first, and
/// false when the file has fewer, `left` being those that are still to be found.
fn seek_back(reading: &mut Reading, left: &mut u64, at_end: &mut bool, block: &mut [u8]) -> io::Result<bool> {
    let mut end = reading.file.metadata()?.len().min(reading.end);
    // Nothing is known of what stands behind `end` but that it is no whole line, or was counted.
    while end > 0 {
        let start = end.saturating_sub(block.len() as u64);
        let bytes = &mut block[..usize::try_from(end - start).unwrap_or_default()];
        reading.file.read_exact_at(bytes, start)?;
        let whole = whole_lines(bytes);
        // The first line of the block may have begun before it.
        let first = if start == 0 { 0 } else { memchr::memchr(b'\n', bytes).map_or(whole, |at| at + 1) };
        let mut position = whole;
        while position > first {
            let begin =
                memchr::memrchr(b'\n', &bytes[first..position - 1]).map_or(first, |at| first + at + 1);
            if let Some(record) = parse(&bytes[begin..position - 1]) {
                let ends_line = !record.partial || *at_end;
                *at_end = false;
                if ends_line {
                    if *left == 0 {
                        reading.offset = start + position as u64;
                        return Ok(true);
                    }
                    *left -= 1;
                }
            }
            position = begin;
        }
        end = match first {
            0 => start,
            // One line fills the block: it is none of ours.
            _ if whole <= first && start + first as u64 == end => start,
            _ => start + first as u64,
        };
    }
    Ok(false)
}

fn stream_index(stream: Stream) -> usize {
    stream as usize
}

/// Length of the whole lines in `bytes`.
fn whole_lines(bytes: &[u8]) -> usize {
    memchr::memrchr(b'\n', bytes).map_or(0, |newline| newline + 1)
}

/// The lines of `bytes`, which end with a newline, without it.
fn lines(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut start = 0;
    memchr::memchr_iter(b'\n', bytes).map(move |newline| {
        let line = &bytes[start..newline];
        start = newline + 1;
        line
    })
}

fn open(path: &Path) -> io::Result<Option<File>> {
    use std::os::unix::fs::OpenOptionsExt;
    let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK;
    absent(File::options().read(true).custom_flags(flags).open(path))
}

/// Device and inode of a file.
fn identity(path: &Path) -> io::Result<Option<(u64, u64)>> {
    Ok(absent(std::fs::symlink_metadata(path))?.map(|meta| (meta.dev(), meta.ino())))
}

fn absent<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}
