//! A container's standard streams, and the log that its output goes to.
//!
//! ```text
//! app  ── FIFO io/<container>.<restart>.out ──> supervisor ──> log file
//!      ── FIFO io/<container>.<restart>.err ──>
//!      <── pipe ── stdin, held open               (or one terminal for all three)
//! ```
//!
//! The app holds its FIFOs open for reading and writing: with nobody to read them, a write waits when the pipe is full
//! instead of killing the app, and whoever comes to read finds them by name. The end of file still comes when the last
//! process of the container closes them, because nobody else holds a writing end.
//!
//! Invariant: a descriptor that the app cannot do without is with the keeper, too, before the app runs.

use super::keeper::KeeperLink;
use super::poll::{Poll, Source, Trigger};
use crate::container::Stdio;
use crate::error::{Context, Result};
use crate::logs::{self, Limits, Scratch, Stream, Terminal, Writer};
use crate::model::ids::ContainerName;
use crate::model::podspec::ContainerSpec;
use crate::sys::{fs, socket};
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::stat::Mode;
use std::collections::HashMap;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

/// How much output waits in the kernel while nobody reads, in bytes.
const PIPE_BYTES: i32 = 1 << 20;

/// Where the streams and the log of one run of a container lie.
#[derive(Debug)]
pub struct Place {
    /// The directory of FIFOs.
    pub io: PathBuf,
    /// The directory of the pod's small files.
    pub etc: PathBuf,
    /// The directory of the container's logs.
    pub logs: PathBuf,
    /// The container's name.
    pub name: ContainerName,
    /// The run's number.
    pub restart: u32,
    /// The container's place in the manifest.
    pub index: u32,
}

impl Place {
    fn fifo(&self, stream: Stream) -> PathBuf {
        self.io.join(format!("{}.{}.{}", self.name, self.restart, suffix(stream)))
    }

    /// The file of the run's termination message.
    pub fn last_words(&self) -> PathBuf {
        self.etc.join(format!("termination-log.{}.{}", self.name, self.restart))
    }

    /// What the keeper knows a descriptor by: a name has at most 63 characters.
    fn tag(&self, what: char) -> String {
        format!("{what}{}.{}", self.index, self.restart)
    }

    fn source(&self, stream: Stream) -> Source {
        match stream {
            Stream::Stdout => Source::Output(self.index),
            Stream::Stderr => Source::ErrorOutput(self.index),
        }
    }
}

fn suffix(stream: Stream) -> &'static str {
    match stream {
        Stream::Stdout => "out",
        Stream::Stderr => "err",
    }
}

/// The tag letters of what the keeper holds for a container.
mod tag {
    pub const STDIN: char = 'i';
    pub const TERMINAL: char = 't';
    pub const PROCESS: char = 'p';
}

/// The supervisor's ends of one run's streams.
#[derive(Debug)]
pub struct Output {
    writer: Writer,
    ends: Ends,
    stdin: Option<OwnedFd>,
    tags: Vec<String>,
    fifos: Vec<PathBuf>,
}

#[derive(Debug)]
enum Ends {
    Pipes {
        stdout: Option<OwnedFd>,
        stderr: Option<OwnedFd>,
    },
    /// The terminal's master, or before that comes the socket that it comes through.
    Terminal {
        incoming: Option<OwnedFd>,
        master: Option<OwnedFd>,
        state: Terminal,
    },
}

/// The container's ends.
#[derive(Debug)]
pub enum TheirEnds {
    /// To be its descriptors 0, 1 and 2.
    Stdio(Stdio),
    /// A socket to send the master of its terminal through.
    Terminal(OwnedFd),
}

impl Output {
    /// Makes the streams of a new run, and opens its log.
    ///
    /// # Errors
    /// When a FIFO, a pipe or a socket cannot be made. A log that cannot be written is no error, but trouble.
    pub fn make(place: &Place, spec: &ContainerSpec, limits: Limits) -> Result<(Self, TheirEnds)> {
        let mut output = Self {
            writer: Writer::open(&place.logs, place.restart, limits),
            ends: Ends::Pipes { stdout: None, stderr: None },
            stdin: None,
            tags: Vec::new(),
            fifos: Vec::new(),
        };
        logs::remove_older_runs(&place.logs, place.restart).or_else(|error| {
            // What cannot be removed is in nobody's way; that nothing can be written is the writer's to tell.
            crate::report::warn(&error.to_string());
            Ok::<(), crate::error::Error>(())
        })?;
        if spec.tty {
            let (ours, theirs) = socket::pair().context(|| "cannot make a socket pair")?;
            output.ends = Ends::Terminal { incoming: Some(ours), master: None, state: Terminal::default() };
            return Ok((output, TheirEnds::Terminal(theirs)));
        }
        let mut end = |stream| {
            let path = place.fifo(stream);
            output.fifos.push(path.clone());
            let ends = make_fifo(&path);
            ends.context(|| format!("cannot make the FIFO {path:?}"))
        };
        let (our_stdout, stdout) = end(Stream::Stdout)?;
        let (our_stderr, stderr) = end(Stream::Stderr)?;
        output.ends = Ends::Pipes { stdout: Some(our_stdout), stderr: Some(our_stderr) };
        let stdin = if spec.stdin {
            let (theirs, ours) = nix::unistd::pipe2(OFlag::O_CLOEXEC).context(|| "cannot make a pipe")?;
            output.stdin = Some(ours);
            theirs
        } else {
            fs::open_existing(Path::new("/dev/null"), libc::O_RDONLY).context(|| "cannot open /dev/null")?
        };
        Ok((output, TheirEnds::Stdio(Stdio { stdin, stdout, stderr })))
    }

    /// Takes the streams of a run that a supervisor before this one made: from the keeper, or else by name.
    ///
    /// # Errors
    /// When a FIFO that is there cannot be opened.
    pub fn adopt(
        place: &Place,
        spec: &ContainerSpec,
        limits: Limits,
        held: &mut HashMap<String, OwnedFd>,
    ) -> Result<Self> {
        let mut output = Self {
            writer: Writer::open(&place.logs, place.restart, limits),
            ends: Ends::Pipes { stdout: None, stderr: None },
            stdin: held.remove(&place.tag(tag::STDIN)),
            tags: Vec::new(),
            fifos: Vec::new(),
        };
        if spec.tty {
            let master = held.remove(&place.tag(tag::TERMINAL));
            output.ends = Ends::Terminal { incoming: None, master, state: Terminal::default() };
            return Ok(output);
        }
        let mut end = |stream| {
            let path = place.fifo(stream);
            let by_name = || match open_reader(&path) {
                Ok(fd) => Ok(Some(fd)),
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
                Err(error) => Err(error).context(|| format!("cannot open the FIFO {path:?}")),
            };
            let fd = match held.remove(&place.tag(letter(stream))) {
                Some(fd) => Some(fd),
                None => by_name()?,
            };
            output.fifos.push(path.clone());
            Ok::<_, crate::error::Error>(fd)
        };
        output.ends = Ends::Pipes { stdout: end(Stream::Stdout)?, stderr: end(Stream::Stderr)? };
        Ok(output)
    }

    /// Takes the terminal's master, which has been sent by the time that init is ready.
    ///
    /// # Errors
    /// When it has not.
    pub fn take_terminal(&mut self) -> Result<()> {
        let Ends::Terminal { incoming, master, .. } = &mut self.ends else { return Ok(()) };
        let Some(socket) = incoming.take() else { return Ok(()) };
        let fd = socket::receive_descriptor(socket.as_fd()).context(|| "cannot receive the terminal")?;
        if let Some(fd) = &fd {
            let flags = fcntl(fd, FcntlArg::F_GETFL).context(|| "cannot read the terminal's flags")?;
            let flags = OFlag::from_bits_retain(flags) | OFlag::O_NONBLOCK;
            fcntl(fd, FcntlArg::F_SETFL(flags)).context(|| "cannot set the terminal's flags")?;
        }
        *master = fd;
        Ok(())
    }

    /// Gives the keeper a copy of every end.
    ///
    /// # Errors
    /// When the keeper cannot be spoken to.
    pub fn deposit(&mut self, place: &Place, keeper: &mut KeeperLink) -> Result<()> {
        let mut put = |letter, fd: &Option<OwnedFd>| -> Result<()> {
            let Some(fd) = fd else { return Ok(()) };
            let tag = place.tag(letter);
            keeper.put(&tag, fd.as_fd())?;
            if !self.tags.contains(&tag) {
                self.tags.push(tag);
            }
            Ok(())
        };
        put(tag::STDIN, &self.stdin)?;
        match &self.ends {
            Ends::Pipes { stdout, stderr } => {
                put(letter(Stream::Stdout), stdout)?;
                put(letter(Stream::Stderr), stderr)
            }
            Ends::Terminal { master, .. } => put(tag::TERMINAL, master),
        }
    }

    /// Begins to wait for output.
    ///
    /// # Errors
    /// Those of epoll_ctl(2).
    pub fn watch(&self, place: &Place, poll: &Poll) -> Result<()> {
        let add = |fd: &Option<OwnedFd>, stream, trigger| match fd {
            Some(fd) => poll.add(fd, place.source(stream), trigger),
            None => Ok(()),
        };
        match &self.ends {
            Ends::Pipes { stdout, stderr } => {
                add(stdout, Stream::Stdout, Trigger::Edge)?;
                add(stderr, Stream::Stderr, Trigger::Edge)
            }
            Ends::Terminal { master, .. } => add(master, Stream::Stdout, Trigger::Edge),
        }
    }

    /// Logs what is there, a bounded amount; says whether there is more.
    ///
    /// # Errors
    /// When the pipe cannot be read.
    pub fn pump(&mut self, stream: Stream, scratch: &mut Scratch, poll: &Poll) -> Result<bool> {
        let Self { writer, ends, .. } = self;
        let (end, pumped) = match ends {
            Ends::Pipes { stdout, stderr } => {
                let end = if stream == Stream::Stdout { stdout } else { stderr };
                let Some(fd) = end.as_ref() else { return Ok(false) };
                let pumped = writer.pump(scratch, fd.as_fd(), stream)?;
                (end, pumped)
            }
            Ends::Terminal { master, state, .. } => {
                let Some(fd) = master.as_ref() else { return Ok(false) };
                let pumped = state.pump(writer, scratch, fd.as_fd())?;
                (master, pumped)
            }
        };
        if pumped.ended
            && let Some(fd) = end.take()
        {
            // The keeper's copy would keep it in the set.
            poll.remove(fd)?;
        }
        Ok(pumped.more)
    }

    /// Whether all output has come.
    pub fn has_ended(&self) -> bool {
        match &self.ends {
            Ends::Pipes { stdout, stderr } => stdout.is_none() && stderr.is_none(),
            Ends::Terminal { master, .. } => master.is_none(),
        }
    }

    /// Why output cannot be logged, and what was lost; none when all is well.
    pub fn trouble(&self) -> Option<String> {
        self.writer.trouble().map(ToString::to_string)
    }

    /// Gives up everything but the log: the FIFOs' names, and the keeper's copies.
    ///
    /// # Errors
    /// All that could not be given up.
    pub fn close(self, keeper: &mut KeeperLink, poll: &Poll) -> Result<()> {
        let mut errors = Vec::new();
        let fds = match self.ends {
            Ends::Pipes { stdout, stderr } => [stdout, stderr],
            Ends::Terminal { master, .. } => [master, None],
        };
        errors.extend(fds.into_iter().flatten().filter_map(|fd| poll.remove(fd).err()));
        errors.extend(self.tags.iter().filter_map(|tag| keeper.forget(tag).err()));
        for path in &self.fifos {
            match std::fs::remove_file(path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    errors.extend(Err::<(), _>(error).context(|| format!("cannot remove {path:?}")).err());
                }
                _ => {}
            }
        }
        crate::error::Error::all("cannot close a container's streams", errors)
    }
}

/// The tag letter of a stream.
fn letter(stream: Stream) -> char {
    match stream {
        Stream::Stdout => 'o',
        Stream::Stderr => 'e',
    }
}

/// The tag that the keeper knows a container's pidfd by.
pub fn process_tag(place: &Place) -> String {
    place.tag(tag::PROCESS)
}

/// A new FIFO: our end for reading, and the app's for both. What a killed supervisor left under the name is replaced.
fn make_fifo(path: &Path) -> io::Result<(OwnedFd, OwnedFd)> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    nix::unistd::mkfifo(path, Mode::S_IRUSR | Mode::S_IWUSR)?;
    let ours = open_reader(path)?;
    // More than the default is a favour that the kernel may refuse (pipe(7), /proc/sys/fs/pipe-user-pages-soft).
    let _default: nix::Result<i32> = fcntl(ours.as_fd(), FcntlArg::F_SETPIPE_SZ(PIPE_BYTES));
    let theirs = fs::open_existing(path, libc::O_RDWR)?;
    Ok((ours, theirs))
}

fn open_reader(path: &Path) -> io::Result<OwnedFd> {
    fs::open_existing(path, libc::O_RDONLY | libc::O_NONBLOCK)
}
