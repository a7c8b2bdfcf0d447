//! Processes of attempts that are over: killed, and to be reaped as soon as they are dead.
//!
//! A process that nobody reaps keeps the PID namespace that it is in from ending, and so the container's init.

use super::watch::Watch;
use crate::container::Entering;
use crate::error::Kind;
use crate::sys::pidfd::{self, Zombie};
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

/// What an attempt leaves behind.
#[derive(Debug)]
pub enum Remains {
    /// A process that was killed, or ends by itself.
    Process(OwnedFd),
    /// Perhaps a process that nobody knows yet.
    OnItsWay(Entering),
}

/// The dying.
#[derive(Debug, Default)]
pub struct Dying {
    remains: Vec<Remains>,
    /// Somebody died before anybody knew its pid: when to look for it, and how often.
    strays: Option<(Instant, u32)>,
}

/// Between looks for a stray: it has closed its end of the link, and so is all but dead.
const PAUSE: Duration = Duration::from_millis(10);
/// How often it is looked for; there may be none.
const LOOKS: u32 = 100;

impl Dying {
    /// Takes over what is left of an attempt; who is not dead yet is waited for.
    pub fn take_in(&mut self, remains: Vec<Remains>, watch: Watch<'_>) {
        remains.into_iter().for_each(|remains| self.settle(remains, watch));
    }

    /// Looks at all, as something has happened to one of them, or the time has come.
    pub fn look(&mut self, now: Instant, watch: Watch<'_>) {
        for remains in std::mem::take(&mut self.remains) {
            match &remains {
                Remains::Process(pidfd) => watch.forget(pidfd),
                Remains::OnItsWay(entering) => watch.forget(entering.link()),
            }
            self.settle(remains, watch);
        }
        if let Some((at, looks)) = self.strays.filter(|(at, _)| *at <= now) {
            while let Ok(Some(_)) = pidfd::reap_stray(false) {}
            self.strays = (looks > 0).then(|| (at + PAUSE, looks - 1));
        }
    }

    /// When to look again, whatever happens.
    pub fn deadline(&self) -> Option<Instant> {
        self.strays.map(|(at, _)| at)
    }

    fn settle(&mut self, remains: Remains, watch: Watch<'_>) {
        // One that cannot be waited for is looked at with the next.
        match remains {
            Remains::Process(pidfd) => {
                if matches!(pidfd::child_status(pidfd.as_fd(), Zombie::Reaped), Ok(None)) {
                    drop(watch.readable(&pidfd));
                    self.remains.push(Remains::Process(pidfd));
                }
            }
            Remains::OnItsWay(mut entering) => match entering.advance() {
                Ok(None) => {
                    drop(watch.readable(entering.link()));
                    self.remains.push(Remains::OnItsWay(entering));
                }
                Ok(Some(child)) => {
                    kill(&child.pidfd);
                    self.take_in(processes(entering, Some(child.pidfd)), watch);
                }
                Err(error) => {
                    if error.kind() == Kind::Died {
                        self.look_for_strays();
                    }
                    self.take_in(processes(entering, None), watch);
                }
            },
        }
    }

    /// A process may have died that nobody knows.
    fn look_for_strays(&mut self) {
        self.strays = Some((Instant::now(), LOOKS));
    }
}

/// What is left of an attempt of which `child` is known.
pub fn processes(entering: Entering, child: Option<OwnedFd>) -> Vec<Remains> {
    entering.give_up().into_iter().chain(child).map(Remains::Process).collect()
}

/// Kills a process; most often it is dead, which is all that is wanted.
pub fn kill(pidfd: &OwnedFd) {
    drop(pidfd::send_signal(pidfd.as_fd(), libc::SIGKILL));
}
