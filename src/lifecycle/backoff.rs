//! How soon a container is made again.
//!
//! The first crash is followed by a start at once, each further one by a wait twice as long as the last, counted from
//! the end. A container that has run for long enough begins anew.

use super::Now;
use crate::model::backoff::BackoffTimes;
use std::time::Duration;

/// Shortest and longest time between two attempts to make what cannot be.
const FIRST_RETRY: Duration = Duration::from_secs(1);
const LONGEST_RETRY: Duration = Duration::from_secs(10);

/// A container's crashes.
#[derive(Debug, Clone, Copy, Default)]
pub struct Backoff {
    /// The wait before the next start but one; zero before the first crash.
    pub delay: Duration,
    /// When it was last allowed to be made again.
    pub restarted: Option<Duration>,
    /// When it ended the last time.
    pub finished: Option<Duration>,
}

/// How an end came about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// By itself.
    Crash,
    /// It was stopped in order to be made again: then the end before this one counts, as with the kubelet, which decides
    /// about both in one go.
    Stopped,
}

/// When it may be made again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wait {
    /// Then.
    pub due: Duration,
    /// So long after the end that counts; zero for at once.
    pub delay: Duration,
}

impl Backoff {
    /// It has ended now.
    pub fn ended(&mut self, end: End, times: &BackoffTimes, now: Now) -> Wait {
        let this = now.monotonic;
        // It may have been shortened meanwhile.
        self.delay = self.delay.min(times.max);
        let before = self.finished.replace(this);
        let since = if end == End::Crash { Some(this) } else { before };
        let at_once = Wait { due: this, delay: Duration::ZERO };
        let Some(since) = since else { return at_once };
        let ran_well = |restarted: Duration| since.saturating_sub(restarted) > times.reset;
        let anew = self.delay.is_zero() || self.restarted.is_none_or(ran_well);
        let due = since.saturating_add(self.delay).max(now.monotonic);
        let wait = if anew || due == now.monotonic { at_once } else { Wait { due, delay: self.delay } };
        self.delay = if anew { times.base } else { self.delay.saturating_mul(2) };
        self.delay = self.delay.min(times.max);
        self.restarted = Some(wait.due);
        wait
    }
}

/// How long to wait before the attempt behind `failures` equal ones, at least one.
pub fn retry_delay(failures: u32) -> Duration {
    doubled(FIRST_RETRY, failures).min(LONGEST_RETRY)
}

/// The same for an image that is not there: somebody has to bring it.
pub fn pull_delay(failures: u32, times: &BackoffTimes) -> Duration {
    doubled(times.base, failures).min(times.max)
}

fn doubled(first: Duration, failures: u32) -> Duration {
    first.saturating_mul(1 << failures.saturating_sub(1).min(16))
}

/// `10s`, `1m20s`, `5m0s`: a time as Go writes it.
pub fn in_words(time: Duration) -> String {
    let seconds = time.as_secs();
    match (seconds / 3600, seconds / 60 % 60, seconds % 60) {
        (0, 0, 0) => format!("{}ms", time.as_millis()),
        (0, 0, _) if time.subsec_millis() > 0 => format!("{}s", time.as_secs_f64()),
        (0, 0, seconds) => format!("{seconds}s"),
        (0, minutes, seconds) => format!("{minutes}m{seconds}s"),
        (hours, minutes, seconds) => format!("{hours}h{minutes}m{seconds}s"),
    }
}
