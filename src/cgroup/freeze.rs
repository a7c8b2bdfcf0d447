//! Stopping and resuming all processes of a group.

use super::kill::vanished;
use super::write::system_error;
use super::{Cgroup, Group};
use crate::error::{Context, Error, Result};
use crate::sys::fs::{open_existing, write_existing};
use crate::sys::process::poll_until;
use cgroups_rs::FreezerState;
use cgroups_rs::fs::freezer::FreezerController;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;
use std::time::{Duration, Instant};

/// How long processes may take to stop; one in an uninterruptible wait stops only after it.
const PATIENCE: Duration = Duration::from_secs(2);
/// Between two looks at a v1 freezer, which cannot be polled.
const PAUSE: Duration = Duration::from_micros(100);
/// A v1 group can stay FREEZING for ever when a process forks at the wrong moment; thawing it now and then helps.
const LOOKS_BEFORE_THAW: u32 = 50;

impl Cgroup {
    /// Stops every process of the group and of groups below it; returns when all have stopped.
    ///
    /// # Errors
    /// When there is no freezer, or a process has not stopped within 2 s: the group is then thawed again.
    pub fn freeze(&self) -> Result<()> {
        self.freezer()?.freeze().context(|| format!("cannot freeze cgroup {}", self.path()))
    }

    /// Lets the processes go on.
    ///
    /// # Errors
    /// When there is no freezer, or the kernel refuses.
    pub fn thaw(&self) -> Result<()> {
        self.freezer()?.set_frozen(false).context(|| format!("cannot thaw cgroup {}", self.path()))
    }

    /// Whether the group is stopped, or a group above it is.
    ///
    /// # Errors
    /// When the kernel does not let us read the group.
    pub fn is_frozen(&self) -> Result<bool> {
        match self.freezer() {
            Ok(freezer) => freezer.is_frozen(),
            Err(_) => Ok(false),
        }
    }

    /// Thaws the v1 group and all below it, so that a SIGKILL takes effect; on v2 it does so by itself. A group that
    /// is missing, or goes meanwhile, is fine.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn thaw_killed(&self) -> Result<()> {
        let Some(freezer) = self.v1("freezer") else { return Ok(()) };
        freezer.for_each_dir(|dir| write_existing(&dir.join("freezer.state"), "THAWED"))
    }

    /// v1's where there is one, which is also where other tools look, else v2's.
    fn freezer(&self) -> Result<&Group> {
        self.v1("freezer").or_else(|| self.unified()).ok_or_else(|| {
            Error::host("this host has no cgroup freezer").hint("mount the freezer controller or cgroup v2")
        })
    }
}

impl Group {
    fn controller(&self) -> FreezerController {
        FreezerController::new(self.dir.clone(), self.dir.clone(), self.is_v2())
    }

    fn set_frozen(&self, frozen: bool) -> Result<()> {
        let result = if frozen { self.controller().freeze() } else { self.controller().thaw() };
        let file = if self.is_v2() { "cgroup.freeze" } else { "freezer.state" };
        result
            .map_err(|error| system_error(&error))
            .context(|| format!("cannot write to {}", self.dir.join(file).display()))
    }

    fn freeze(&self) -> Result<()> {
        let frozen = if self.is_v2() { self.freeze_v2() } else { self.freeze_v1() };
        match frozen {
            Ok(true) => return Ok(()),
            // One that is half stopped is neither paused nor running.
            Ok(false) => self.set_frozen(false)?,
            Err(error) => return Err(error),
        }
        Err(Error::host(format!("it has not stopped within {} s", PATIENCE.as_secs()))
            .hint("a process is in an uninterruptible wait (state D); try again later"))
    }

    fn freeze_v2(&self) -> Result<bool> {
        let events = open_existing(&self.dir.join("cgroup.events"), libc::O_RDONLY)
            .context(|| format!("cannot open {}/cgroup.events", self.dir.display()))?;
        let events = std::fs::File::from(events);
        self.set_frozen(true)?;
        let deadline = Instant::now() + PATIENCE;
        loop {
            let mut text = [0; 256];
            let length = events.read_at(&mut text, 0).context(|| "cannot read cgroup.events")?;
            if value(&String::from_utf8_lossy(&text[..length]), "frozen") == Some(1) {
                return Ok(true);
            }
            // The kernel wakes us when the file changes after it was read.
            if !poll_until(events.as_fd(), libc::POLLPRI, deadline)
                .context(|| "cannot wait for cgroup.events")?
            {
                return Ok(false);
            }
        }
    }

    fn freeze_v1(&self) -> Result<bool> {
        let deadline = Instant::now() + PATIENCE;
        let mut looks = 0;
        loop {
            self.set_frozen(true)?;
            if matches!(self.state().context(|| self.unread())?, FreezerState::Frozen) {
                return Ok(true);
            }
            if Instant::now() >= deadline {
                return Ok(false);
            }
            looks += 1;
            if looks % LOOKS_BEFORE_THAW == 0 {
                self.set_frozen(false)?;
            }
            std::thread::sleep(PAUSE);
        }
    }

    /// v1 only: on v2 cgroups-rs tells what was asked for, not what is.
    fn state(&self) -> io::Result<FreezerState> {
        self.controller().state().map_err(|error| system_error(&error))
    }

    fn unread(&self) -> String {
        format!("cannot read {}/freezer.state", self.dir.display())
    }

    pub(super) fn is_frozen(&self) -> Result<bool> {
        if self.has("freezer") {
            return match self.state() {
                Ok(state) => Ok(!matches!(state, FreezerState::Thawed)),
                Err(error) if vanished(&error) => Ok(false),
                Err(error) => Err(error).context(|| self.unread()),
            };
        }
        if !self.is_v2() {
            return Ok(false);
        }
        match std::fs::read_to_string(self.dir.join("cgroup.events")) {
            Ok(text) => Ok(value(&text, "frozen") == Some(1)),
            Err(error) if vanished(&error) => Ok(false),
            Err(error) => Err(error).context(|| format!("cannot read {}/cgroup.events", self.dir.display())),
        }
    }
}

/// The number behind a key in a file of `key number` lines.
pub(super) fn value(text: &str, key: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(' ')?.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use super::super::Mode;
    use super::super::tests::{content, scratch, text};
    use super::*;

    #[test]
    fn v1_and_v2_files() {
        let top = scratch("freezer");
        let group = |controllers: &str| Cgroup {
            mode: Mode::Hybrid,
            groups: vec![Group { controllers: controllers.into(), mount: top.clone(), dir: top.join("g") }],
        };
        let (v1, v2) = (group("freezer"), group(""));
        assert!(!v1.is_frozen().unwrap() && !v2.is_frozen().unwrap());
        std::fs::create_dir(top.join("g")).unwrap();
        text(&top.join("g"), "freezer.state", "");
        v1.freeze().unwrap();
        assert!(v1.is_frozen().unwrap());
        v1.thaw().unwrap();
        assert_eq!(content(&top.join("g"), "freezer.state"), "THAWED");
        text(&top.join("g"), "cgroup.events", "populated 1\nfrozen 1\n");
        v2.freeze().unwrap();
        assert!(v2.is_frozen().unwrap());
        assert_eq!(content(&top.join("g"), "cgroup.freeze"), "1");
        assert!(group("pids").freeze().is_err());
        std::fs::remove_dir_all(top).unwrap();
    }

    #[test]
    fn keyed_values() {
        assert_eq!(value("populated 0\nfrozen 1\n", "frozen"), Some(1));
        assert_eq!(value("frozenx 1\n", "frozen"), None);
    }
}
