//! Reading the logs of several containers at once, as they are now or as they grow.
//!
//! Nothing here waits: who follows polls [`Reader::wake`] together with whatever else it waits for, and calls
//! [`Reader::read_available`] after each event.

use super::print::{Author, Printer};
use super::run::{BLOCK, Extent, Query, Run};
use crate::error::{Context, Error, Result};
use nix::errno::Errno;
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify, WatchDescriptor};
use std::io::Write;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};

/// Text is handed on when it is this long, and at the end.
const CHUNK: usize = 64 << 10;

/// Logs that are read into one stream of lines.
#[derive(Debug)]
pub struct Reader {
    sources: Vec<Source>,
    printer: Printer,
    block: Box<[u8; BLOCK]>,
    watches: Option<Watches>,
}

#[derive(Debug)]
struct Source {
    directory: PathBuf,
    prefix: Vec<u8>,
    run: Run,
    watch: Option<WatchDescriptor>,
    /// There may be something to read.
    stirred: bool,
}

#[derive(Debug)]
struct Watches {
    inotify: Inotify,
    /// Directories that others asked for.
    extra: Vec<WatchDescriptor>,
}

impl Reader {
    /// Reads what is there when a log is added, and ends then also where a container writes faster than it reads; with `timestamps`, the time stands before each line.
    pub fn new(timestamps: bool) -> Self {
        let block = Box::new([0; BLOCK]);
        Self { sources: Vec::new(), printer: Printer::new(timestamps), block, watches: None }
    }

    /// As [`Reader::new`], and can tell when there is more.
    ///
    /// # Errors
    /// When the host has no inotify instance left.
    pub fn following(timestamps: bool) -> Result<Self> {
        let inotify = Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK)
            .context(|| "cannot watch files")
            .map_err(|error| match error.errno() {
                Some(libc::EMFILE) => error.hint("raise the sysctl fs.inotify.max_user_instances"),
                _ => error,
            })?;
        Ok(Self { watches: Some(Watches { inotify, extra: Vec::new() }), ..Self::new(timestamps) })
    }

    /// Readable when there is something new; only a reader that follows has it.
    pub fn wake(&self) -> Option<BorrowedFd<'_>> {
        self.watches.as_ref().map(|watches| watches.inotify.as_fd())
    }

    /// Adds the log of a run of a container, which need not be there yet; `prefix` stands before its lines. Returns the
    /// source's number.
    ///
    /// # Errors
    /// When what is there cannot be read.
    pub fn add(&mut self, directory: &Path, restart: u32, prefix: &str, query: &Query) -> Result<usize> {
        let extent = if self.watches.is_some() { Extent::Growing } else { Extent::Present };
        let mut source = Source {
            directory: directory.to_path_buf(),
            prefix: prefix.as_bytes().to_vec(),
            run: Run::open(directory, restart, query, extent).context(|| cannot_read(directory))?,
            watch: None,
            stirred: true,
        };
        if let Some(watches) = &self.watches {
            source.watch(watches)?;
        }
        self.sources.push(source);
        Ok(self.sources.len() - 1)
    }

    /// Reports it from [`Reader::read_available`] when files in `directory` are replaced or removed, or it is itself.
    ///
    /// # Errors
    /// When there is no such directory.
    pub fn watch(&mut self, directory: &Path) -> Result<()> {
        let Some(watches) = &mut self.watches else { return Ok(()) };
        let events = AddWatchFlags::IN_MOVED_TO | AddWatchFlags::IN_DELETE | AddWatchFlags::IN_DELETE_SELF;
        let watch = watches.inotify.add_watch(directory, events | AddWatchFlags::IN_ONLYDIR);
        watches.extra.push(watch.context(|| format!("cannot watch {directory:?}"))?);
        Ok(())
    }

    /// Goes on with later runs of a source's container, up to `restart`, once the present one, which has ended, is read to
    /// its end.
    ///
    /// # Errors
    /// As [`Reader::read_available`].
    pub fn next_run(&mut self, source: usize, restart: u32, out: &mut impl Write) -> Result<()> {
        loop {
            self.read_source(source, out)?;
            let Some(known) = self.sources.get_mut(source).filter(|known| known.run.restart < restart) else {
                return self.hand_on(out);
            };
            let next = known.run.restart + 1;
            known.run = Run::open(&known.directory, next, &Query::default(), Extent::Growing)
                .context(|| cannot_read(&known.directory))?;
            known.stirred = true;
        }
    }

    /// Writes whatever whole records there are to `out`, in large pieces. True when something has changed in a
    /// directory that [`Reader::watch`] was asked for.
    ///
    /// # Errors
    /// When a log cannot be read, or `out` not be written: then [`Error::errno`] is that of the write (EPIPE: nobody
    /// reads any more).
    pub fn read_available(&mut self, out: &mut impl Write) -> Result<bool> {
        let changed = self.take_events()?;
        for index in 0..self.sources.len() {
            let source = &mut self.sources[index];
            if let Some(watches) = &self.watches {
                source.watch(watches)?;
            }
            if source.stirred || self.watches.is_none() {
                self.read_source(index, out)?;
            }
        }
        self.hand_on(out)?;
        Ok(changed)
    }

    fn read_source(&mut self, index: usize, out: &mut impl Write) -> Result<()> {
        loop {
            let Some(source) = self.sources.get_mut(index) else { return Ok(()) };
            source.stirred = false;
            let (restart, prefix, printer) = (source.run.restart, &source.prefix, &mut self.printer);
            let more = source.run.read(&mut self.block, |record| {
                printer.print(Author { source: index, restart, stream: record.stream }, prefix, record);
            });
            let more = more.context(|| cannot_read(&source.directory))?;
            if self.printer.text.len() >= CHUNK {
                self.hand_on(out)?;
            }
            if !more {
                return Ok(());
            }
        }
    }

    fn hand_on(&mut self, out: &mut impl Write) -> Result<()> {
        let text = &mut self.printer.text;
        if text.is_empty() {
            return Ok(());
        }
        let written = out.write_all(text).and_then(|()| out.flush());
        text.clear();
        written.context(|| "cannot write a log's lines")
    }

    /// Notes who stirs; true when it is one of the directories that others asked for.
    fn take_events(&mut self) -> Result<bool> {
        let Some(watches) = &self.watches else { return Ok(false) };
        let mut changed = false;
        loop {
            let events = match watches.inotify.read_events() {
                Ok(events) => events,
                Err(Errno::EAGAIN) => return Ok(changed),
                Err(Errno::EINTR) => continue,
                Err(error) => return Err(error).context(|| "cannot read file events"),
            };
            for event in events {
                let overflow = event.mask.contains(AddWatchFlags::IN_Q_OVERFLOW);
                changed |= overflow || watches.extra.contains(&event.wd);
                for source in &mut self.sources {
                    if overflow || source.watch == Some(event.wd) {
                        source.stirred = true;
                    }
                    // The directory was removed; perhaps it is made anew.
                    if event.mask.contains(AddWatchFlags::IN_IGNORED) && source.watch == Some(event.wd) {
                        source.watch = None;
                    }
                }
            }
        }
    }
}

impl Source {
    /// Watches the directory, if it is there and was not watched yet.
    fn watch(&mut self, watches: &Watches) -> Result<()> {
        let events = AddWatchFlags::IN_MODIFY
            | AddWatchFlags::IN_CREATE
            | AddWatchFlags::IN_MOVED_FROM
            | AddWatchFlags::IN_DELETE
            | AddWatchFlags::IN_ONLYDIR;
        if self.watch.is_some() {
            return Ok(());
        }
        match watches.inotify.add_watch(&self.directory, events) {
            Ok(watch) => {
                self.watch = Some(watch);
                self.stirred = true; // what was written before is no event
                Ok(())
            }
            Err(Errno::ENOENT) => Ok(()),
            Err(error) => Err(error).context(|| format!("cannot watch {:?}", self.directory)),
        }
    }
}

fn cannot_read(directory: &Path) -> String {
    format!("cannot read the logs in {directory:?}")
}

/// Whether nobody reads what was written: for a command that prints, no failure.
pub fn is_broken_pipe(error: &Error) -> bool {
    error.errno() == Some(libc::EPIPE)
}
