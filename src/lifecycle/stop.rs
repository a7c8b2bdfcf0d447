//! Until when a stopping pod is patient.

use super::{Now, Signal};
use std::time::Duration;

/// A pod that stops.
#[derive(Debug)]
pub struct Stopping {
    kill_at: Duration,
    /// Whether all that ran at `kill_at` has been killed.
    killed: bool,
}

impl Stopping {
    /// One that kills `grace` from now. With none, what runs now is killed through [`Self::signal`] already.
    pub fn new(grace: Duration, now: Now) -> Self {
        Self { kill_at: now.monotonic.saturating_add(grace), killed: grace.is_zero() }
    }

    /// Shortens the time; never prolongs it.
    pub fn shorten(&mut self, grace: Duration, now: Now) {
        self.kill_at = self.kill_at.min(now.monotonic.saturating_add(grace));
    }

    /// What a container gets that is found running now.
    pub fn signal(&self, now: Now) -> Signal {
        if self.kill_at <= now.monotonic { Signal::Kill } else { Signal::Stop }
    }

    /// Whether it is time to kill what still runs: true once.
    pub fn take_due(&mut self, now: Now) -> bool {
        let due = !self.killed && self.kill_at <= now.monotonic;
        self.killed |= due;
        due
    }

    /// When [`Self::take_due`] will be true.
    pub fn deadline(&self) -> Option<Duration> {
        (!self.killed).then_some(self.kill_at)
    }
}
