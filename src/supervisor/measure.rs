//! Finding out how much of the disk the pod takes. A process of its own looks: a container may make millions of files,
//! and nobody is to wait until they are counted.

use super::event_loop::Supervisor;
use super::poll::{Source, Trigger};
use crate::error::{Context, Error, Result};
use crate::lifecycle::{DiskUsage, Event};
use crate::model::volume::{Medium, VolumeSource};
use crate::state::layout::scratch;
use crate::sys::clone::{Child, CloneArgs, single_threaded, spawn};
use crate::sys::pidfd::{self, Zombie};
use crate::sys::{process, tree};
use nix::errno::Errno;
use nix::fcntl::OFlag;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long a process may take to end that has answered or was killed.
const END_DEADLINE: Duration = Duration::from_secs(10);

/// A process that looks. Should this be dropped, it is killed and reaped.
#[derive(Debug)]
pub struct Measuring {
    child: Child,
    answer: OwnedFd,
    /// What has come of its answer: a line for each of [`Places`], volumes first.
    text: String,
}

/// Directories to measure: those of each volume, and those of each container.
struct Places {
    volumes: Vec<Vec<PathBuf>>,
    containers: Vec<Vec<PathBuf>>,
}

impl Supervisor {
    /// Begins to look.
    pub(super) fn measure(&mut self) {
        match self.begin_measuring() {
            Ok(measuring) => self.measuring = Some(measuring),
            Err(error) => self.end_measuring(Err(error)),
        }
    }

    fn begin_measuring(&self) -> Result<Measuring> {
        let places = self.places()?;
        let (answer, theirs) = nix::unistd::pipe2(OFlag::O_CLOEXEC).context(|| "cannot make a pipe")?;
        nix::fcntl::fcntl(&answer, nix::fcntl::FcntlArg::F_SETFL(OFlag::O_NONBLOCK))
            .context(|| "cannot set a pipe's flags")?;
        let alone = single_threaded().context(|| "cannot clone")?;
        let look = || {
            if let Err(error) = look(&places, &theirs) {
                // The supervisor sees that there is less than there should be, if not even this can be said.
                drop(write_all(&theirs, &format!("{error}\n")));
            }
        };
        let child = spawn(alone, CloneArgs::default(), look).context(|| "cannot clone a process")?;
        let measuring = Measuring { child, answer, text: String::new() };
        self.poll.add(&measuring.answer, Source::Measuring, Trigger::Level)?;
        Ok(measuring)
    }

    /// What is limited and what counts for it; memory is none of the disk.
    fn places(&self) -> Result<Places> {
        let (layout, uid) = (&self.identity.layout, &self.identity.uid);
        let volumes = self.spec.volumes.iter().map(|volume| match volume.source {
            VolumeSource::EmptyDir { medium: Medium::Disk, .. } => {
                self.held.pod().disk_volume(&volume.name).map(|path| vec![path])
            }
            _ => Ok(Vec::new()),
        });
        let containers = self.spec.all_containers().zip(&self.members).map(|(container, member)| {
            let layer = layout.scratch(uid, &container.name, member.restart).join(scratch::UPPER);
            vec![layer, self.logs.join(container.name.as_str())]
        });
        Ok(Places { volumes: volumes.collect::<Result<_>>()?, containers: containers.collect() })
    }

    /// Takes what was found, once all of it is there.
    pub(super) fn take_measure(&mut self) {
        let Some(measuring) = &mut self.measuring else { return };
        let found = match measuring.hear() {
            Ok(false) => return,
            Ok(true) => measuring.usage(self.spec.volumes.len(), self.members.len()),
            Err(error) => Err(error),
        };
        self.end_measuring(found);
    }

    fn end_measuring(&mut self, found: Result<DiskUsage>) {
        self.measuring = None;
        let found = found.context(|| "cannot measure what the pod takes of the disk");
        let usage = found.inspect_err(|error| self.complain(&error.to_string())).ok();
        self.news.push_back(Event::Measured { usage });
    }
}

impl Measuring {
    /// Reads what there is; true at its end.
    fn hear(&mut self) -> Result<bool> {
        let mut buffer = [0; 4096];
        loop {
            match nix::unistd::read(&self.answer, &mut buffer) {
                Ok(0) => return Ok(true),
                Ok(length) => self.text.push_str(&String::from_utf8_lossy(&buffer[..length])),
                Err(Errno::EAGAIN) => return Ok(false),
                Err(Errno::EINTR) => {}
                Err(error) => return Err(error).context(|| "cannot read from a process of ours"),
            }
        }
    }

    fn usage(&self, volumes: usize, containers: usize) -> Result<DiskUsage> {
        let numbers: Result<Vec<u64>, _> = self.text.lines().map(str::parse).collect();
        match numbers {
            Ok(mut numbers) if numbers.len() == volumes + containers => {
                let containers = numbers.split_off(volumes);
                Ok(DiskUsage { volumes: numbers, containers })
            }
            _ => Err(Error::host(match self.text.lines().last() {
                Some(line) if line.parse::<u64>().is_err() => line,
                _ => "a process of ours died",
            })),
        }
    }
}

impl Drop for Measuring {
    fn drop(&mut self) {
        // One that has answered is dead already, or about to be.
        drop(pidfd::send_signal(self.child.pidfd.as_fd(), libc::SIGKILL));
        let ended = pidfd::wait_exit(self.child.pidfd.as_fd(), END_DEADLINE);
        if ended.is_ok_and(|ended| ended) {
            drop(pidfd::child_status(self.child.pidfd.as_fd(), Zombie::Reaped));
        }
    }
}

/// The process: measures and says what it found.
fn look(places: &Places, answer: &OwnedFd) -> Result<()> {
    process::set_name(c"podrun:measure").context(|| "cannot name the process")?;
    process::set_parent_death_signal(libc::SIGKILL).context(|| "cannot ask to end with the supervisor")?;
    // Not the supervisor's lock, nor anybody's pipe, for as long as this takes.
    process::close_all_but(3, &[answer.as_fd()], &[]).context(|| "cannot close file descriptors")?;
    let mut text = String::new();
    for directories in places.volumes.iter().chain(&places.containers) {
        let bytes: Vec<u64> = directories.iter().map(|path| usage(path)).collect::<Result<_>>()?;
        let bytes = bytes.into_iter().fold(0, u64::saturating_add);
        text.push_str(&format!("{bytes}\n"));
    }
    write_all(answer, &text).context(|| "cannot write to the supervisor")
}

/// Bytes of one directory; none of one that is not there.
fn usage(path: &Path) -> Result<u64> {
    match tree::disk_usage(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
        measured => measured.context(|| format!("cannot measure {path:?}")),
    }
}

fn write_all(pipe: &OwnedFd, text: &str) -> io::Result<()> {
    let mut rest = text.as_bytes();
    while !rest.is_empty() {
        match nix::unistd::write(pipe, rest) {
            Ok(length) => rest = &rest[length..],
            Err(Errno::EINTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}
