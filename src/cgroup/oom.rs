//! Being told when a group runs out of memory.

use super::events::oom_kills;
use super::{Cgroup, Group};
use crate::error::{Context, Result};
use crate::sys::fs::{open_existing, write_all_at_once};
use nix::errno::Errno;
use nix::sys::eventfd::{EfdFlags, EventFd};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::path::PathBuf;

/// Tells of a group's want of memory, from when it was made.
#[derive(Debug)]
pub struct OomWatch(Source);

#[derive(Debug)]
enum Source {
    /// The kernel adds one to the counter for each time, and one more when the group is removed.
    V1 { counter: EventFd, dir: PathBuf },
    /// The file changes for many reasons; only one of its numbers is meant.
    V2 { changes: Inotify, group: Group, kills: u64 },
}

impl Cgroup {
    /// Begins to watch the group; `None` without a memory controller.
    ///
    /// # Errors
    /// When the kernel does not let us watch it.
    pub fn watch_oom(&self) -> Result<Option<OomWatch>> {
        let source = match (self.v1("memory"), self.unified()) {
            (Some(v1), _) => watch_v1(v1),
            (None, Some(v2)) if v2.dir.join("memory.events").exists() => watch_v2(v2),
            (None, _) => return Ok(None),
        };
        source.map(|source| Some(OomWatch(source))).context(|| format!("cannot watch cgroup {}", self.path()))
    }
}

/// Documentation/admin-guide/cgroup-v1/memory.rst, section 10.
fn watch_v1(group: &Group) -> Result<Source> {
    let open = |file: &str, flags| {
        let path = group.dir.join(file);
        open_existing(&path, flags).context(|| format!("cannot open {}", path.display()))
    };
    let counter = EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)
        .context(|| "cannot make an eventfd")?;
    let watched = open("memory.oom_control", libc::O_RDONLY)?;
    let control = open("cgroup.event_control", libc::O_WRONLY)?;
    let words = format!("{} {}", counter.as_fd().as_raw_fd(), watched.as_raw_fd());
    write_all_at_once(control.as_fd(), words.as_bytes())
        .context(|| format!("cannot write to {}", group.dir.join("cgroup.event_control").display()))?;
    Ok(Source::V1 { counter, dir: group.dir.clone() })
}

fn watch_v2(group: &Group) -> Result<Source> {
    let changes = Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK)
        .context(|| "cannot watch files")
        .map_err(|error| error.hint("see the sysctl fs.inotify.max_user_instances"))?;
    let path = group.dir.join("memory.events");
    let added = changes.add_watch(&path, AddWatchFlags::IN_MODIFY);
    added.context(|| format!("cannot watch {}", path.display()))?;
    let kills = oom_kills(group)?;
    Ok(Source::V2 { changes, group: group.clone(), kills })
}

impl OomWatch {
    /// Becomes readable when [`OomWatch::happened`] has something to look at.
    pub fn fd(&self) -> BorrowedFd<'_> {
        match &self.0 {
            Source::V1 { counter, .. } => counter.as_fd(),
            Source::V2 { changes, .. } => changes.as_fd(),
        }
    }

    /// Whether the group has run out of memory since the last call. Does not wait.
    ///
    /// # Errors
    /// When the kernel does not let us read the group.
    pub fn happened(&mut self) -> Result<bool> {
        match &mut self.0 {
            Source::V1 { counter, dir } => match counter.read() {
                // The last one says that the group is gone.
                Ok(times) => Ok(times > 1 || dir.exists()),
                Err(Errno::EAGAIN) => Ok(false),
                Err(error) => Err(error).context(|| "cannot read an eventfd"),
            },
            Source::V2 { changes, group, kills } => {
                match changes.read_events() {
                    Ok(_) | Err(Errno::EAGAIN) => {}
                    Err(error) => return Err(error).context(|| "cannot read an inotify descriptor"),
                }
                let now = oom_kills(group)?;
                let more = now > *kills;
                *kills = now.max(*kills);
                Ok(more)
            }
        }
    }
}
