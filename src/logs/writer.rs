//! Writing a run of a container to its log, whatever becomes of the disk: the container is never made to wait.

use super::files;
use super::format::{self, Framed, HEAD, Head, LineEnd, Stream, Unfinished};
use super::log_file::LogFile;
use super::scratch::{Peek, Scratch, must_take_all};
use crate::error::{Context, Error, Result};
use crate::state::atomic;
use std::fmt;
use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Bytes of a source that one call handles at most, so that a loud container does not starve the others.
const FAIR_SHARE: usize = 256 << 10;
/// How often a log that cannot be written is tried again.
const RETRY: Duration = Duration::from_secs(1);

/// How much of a run's log is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of one file; a file is rotated before it becomes longer, unless a single batch of records is.
    pub file_bytes: u64,
    /// Number of files, the current one among them; at least one.
    pub files: usize,
}

impl Default for Limits {
    /// The kubelet's.
    fn default() -> Self {
        Self { file_bytes: 10 << 20, files: 5 }
    }
}

/// What a call did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pumped {
    /// There may be more to read at once: call again when the others have had their turn.
    pub more: bool,
    /// All writers are gone and everything is read.
    pub ended: bool,
}

/// Output that did not get into the log.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Lost {
    /// Line ends.
    pub lines: u64,
    /// Bytes as the container wrote them.
    pub bytes: u64,
}

/// A log that cannot be written at present.
#[derive(Debug)]
pub struct Trouble {
    /// Since when, counted from 1970.
    pub since: Duration,
    /// Why, as of the last attempt.
    pub why: Error,
    /// What was lost since then.
    pub lost: Lost,
    /// What is told of that, and since when: not each line that is lost is news.
    told: Option<(Lost, Instant)>,
}

/// The losses are told anew once a second, so that whoever tells others whenever the text changes is not busy with it.
impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lost = self.told.map(|(lost, _)| lost).unwrap_or_default();
        write!(f, "{}; lost since then: {} lines, {} bytes", self.why, lost.lines, lost.bytes)
    }
}

/// How far the line that a stream is in has come.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Line {
    input: Input,
    /// The stream's last record in the file is partial.
    open: bool,
}

/// Where in its lines a stream's next byte stands.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Input {
    #[default]
    LineStart,
    /// What came before is in the file.
    InLine,
    /// Something before it in this line was lost: the rest is, too, lest a torn line is taken for a whole one.
    InLostLine,
}

/// The log of one run of a container: both streams, or a terminal's.
#[derive(Debug)]
pub struct Writer {
    directory: PathBuf,
    restart: u32,
    limits: Limits,
    pub(super) file: Option<LogFile>,
    lines: [Line; 2],
    trouble: Option<Trouble>,
    pub(super) retry: Option<Instant>,
}

impl Writer {
    /// Opens or makes `<directory>/<restart>.log`, and the directory. What a killed writer left of its last record is
    /// cut off. What cannot be done is in [`Writer::trouble`] and tried again with the next output.
    pub fn open(directory: &Path, restart: u32, limits: Limits) -> Self {
        let mut writer = Self {
            directory: directory.to_path_buf(),
            restart,
            limits,
            file: None,
            lines: [Line::default(); 2],
            trouble: None,
            retry: None,
        };
        let now = now();
        if let Err(error) = writer.reopen(now) {
            writer.fail(now, error);
        }
        writer
    }

    /// Why output is being lost, if it is.
    pub fn trouble(&self) -> Option<&Trouble> {
        self.trouble.as_ref()
    }

    /// Moves whole lines from the non-blocking `pipe` into the log, at most a fair share of them. An unfinished line
    /// stays in the pipe until its newline comes, it is longer than a record may be, or the last writer has gone.
    ///
    /// # Errors
    /// When the pipe cannot be read; a log that cannot be written is no error.
    pub fn pump(&mut self, scratch: &mut Scratch, pipe: BorrowedFd<'_>, stream: Stream) -> Result<Pumped> {
        let now = now();
        let mut done = 0;
        let mut pumped = Pumped { more: true, ended: false };
        while done < FAIR_SHARE {
            let (length, more) = match scratch.peek(pipe)? {
                Peek::Bytes { length, more } => (length, more),
                nothing => {
                    pumped = Pumped { more: false, ended: nothing == Peek::End };
                    break;
                }
            };
            let (input, output) = scratch.buffers();
            let mut batch = self.frame(now, stream, &input[..length], output, Unfinished::Stays);
            if batch.consumed == 0 {
                // With more behind it, what was seen has filled the view with pieces, though it is not long.
                if !more && !must_take_all(pipe) {
                    pumped.more = false;
                    break;
                }
                batch = self.frame(now, stream, &input[..length], output, Unfinished::Written);
            }
            scratch.consume(pipe, batch.consumed)?;
            self.append(now, stream, scratch, batch);
            done += batch.consumed;
        }
        if !pumped.more {
            scratch.relax();
        }
        Ok(pumped)
    }

    /// Makes records of a pipe's lines, or of what is to be dropped none.
    fn frame(
        &mut self,
        now: Duration,
        stream: Stream,
        input: &[u8],
        output: &mut [u8],
        unfinished: Unfinished,
    ) -> Framed {
        self.frame_lines(now, stream, input, output, LineEnd::Newline, unfinished)
    }

    /// As [`format::frame`], mending lines that trouble has torn.
    pub(super) fn frame_lines(
        &mut self,
        now: Duration,
        stream: Stream,
        input: &[u8],
        output: &mut [u8],
        end: LineEnd,
        unfinished: Unfinished,
    ) -> Framed {
        let line = &mut self.lines[stream as usize];
        if line.input == Input::InLostLine {
            let newline = memchr::memchr(b'\n', input);
            let consumed = newline.map_or(input.len(), |at| at + 1);
            if newline.is_some() {
                line.input = Input::LineStart;
            }
            self.note_loss(Lost { lines: newline.is_some().into(), bytes: consumed as u64 });
            return Framed { consumed, ..Framed::default() };
        }
        let mut head = Head::new(now, stream);
        let mut mended = 0;
        if line.input == Input::LineStart && line.open && !input.is_empty() {
            mended = format::write_record(&mut head, b"", false, output);
        }
        let mut framed = format::frame(input, &mut output[mended..], &mut head, end, unfinished);
        if framed.consumed > 0 {
            framed.produced += mended;
            framed.added = mended;
        }
        framed
    }

    /// Writes the records of a batch, which stand at the beginning of the output buffer.
    pub(super) fn append(&mut self, now: Duration, stream: Stream, scratch: &mut Scratch, batch: Framed) {
        if batch.produced == 0 {
            return;
        }
        scratch.note_use(batch.produced);
        let (_, output) = scratch.buffers();
        let records = &output[..batch.produced];
        let kept = if self.is_ready(now, records.len()) { self.write(now, records) } else { 0 };
        let line = &mut self.lines[stream as usize];
        line.input = match batch.partial {
            false => Input::LineStart,
            true if kept == records.len() => Input::InLine,
            true => Input::InLostLine,
        };
        if let Some(record) = format::last(&records[..kept]) {
            line.open = record.partial;
        }
        self.count_loss(&records[kept.max(batch.added)..]);
    }

    /// Writes as many whole records as it can, and says how many bytes that was.
    fn write(&mut self, now: Duration, records: &[u8]) -> usize {
        let Some(file) = &mut self.file else { return 0 };
        match file.write(records) {
            Ok(()) => {
                self.trouble = None;
                records.len()
            }
            Err((kept, error)) => {
                let path = files::current(&self.directory, self.restart);
                self.fail(now, Error::host(format!("cannot write {path:?}")).because(error));
                kept
            }
        }
    }

    /// Opens, reopens and rotates the file as needed; false if it cannot be written.
    fn is_ready(&mut self, now: Duration, length: usize) -> bool {
        if self.retry.is_some_and(|retry| Instant::now() < retry) {
            return false;
        }
        self.retry = None;
        match self.prepare(now, length as u64) {
            Ok(()) => true,
            Err(error) => {
                self.fail(now, error);
                false
            }
        }
    }

    fn prepare(&mut self, now: Duration, length: u64) -> Result<()> {
        let gone = self.file.as_mut().map(|file| file.is_gone(now)).transpose();
        if gone.context(|| "cannot look at the log")?.unwrap_or(true) {
            self.reopen(now)?;
        }
        let size = self.file.as_ref().map_or(0, LogFile::size);
        if size > 0 && size + length > self.limits.file_bytes {
            files::rotate(&self.directory, self.restart, now, self.limits.files)
                .context(|| format!("cannot rotate the log in {:?}", self.directory))?;
            self.reopen(now)?;
        }
        Ok(())
    }

    fn reopen(&mut self, now: Duration) -> Result<()> {
        self.file = None;
        atomic::make_directories(&self.directory)?;
        let path = files::current(&self.directory, self.restart);
        let (file, last) = LogFile::open(&path, now).context(|| format!("cannot open {path:?}"))?;
        // In an empty file, which a rotation leaves, the streams' lines go on.
        if let Some((stream, partial)) = last {
            let line = &mut self.lines[stream as usize];
            line.open = partial;
            if self.trouble.is_none() && partial {
                line.input = Input::InLine;
            }
        }
        self.file = Some(file);
        Ok(())
    }

    fn fail(&mut self, now: Duration, why: Error) {
        self.file = None;
        self.retry = Some(Instant::now() + RETRY);
        match &mut self.trouble {
            Some(trouble) => trouble.why = why,
            None => self.trouble = Some(Trouble { since: now, why, lost: Lost::default(), told: None }),
        }
    }

    fn count_loss(&mut self, records: &[u8]) {
        let mut lost = Lost::default();
        for record in records.split_inclusive(|byte| *byte == b'\n') {
            let full = record.get(HEAD - 2) == Some(&b'F');
            lost.lines += u64::from(full);
            lost.bytes += record.len().saturating_sub(HEAD + usize::from(!full)) as u64;
        }
        if lost != Lost::default() {
            self.note_loss(lost);
        }
    }

    fn note_loss(&mut self, lost: Lost) {
        let Some(trouble) = &mut self.trouble else { return };
        trouble.lost.lines += lost.lines;
        trouble.lost.bytes += lost.bytes;
        let now = Instant::now();
        if trouble.told.is_none_or(|(_, at)| now.duration_since(at) >= RETRY) {
            trouble.told = Some((trouble.lost, now));
        }
    }
}

/// Time since 1970.
pub(super) fn now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}
