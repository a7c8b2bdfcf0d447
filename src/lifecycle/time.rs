//! Moments that outlive the supervisor: by the monotonic clock for the rules, by the wall clock for the status.

use super::Now;
use std::time::Duration;

/// What is added to the monotonic clock inside, so that moments before a supervisor's first can be told by it.
pub const EPOCH: Duration = Duration::from_secs(1 << 33);

/// A moment by both clocks. The wall clock's side is fixed when it is made, whatever happens to that clock later.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    /// By the monotonic clock.
    pub clock: Duration,
    /// Seconds since 1970; up to a second late for a moment to come.
    pub wall: u64,
}

impl Moment {
    /// Now.
    pub fn now(now: Now) -> Self {
        Self { clock: now.monotonic, wall: now.wall }
    }

    /// That time by the monotonic clock.
    pub fn at(clock: Duration, now: Now) -> Self {
        let ahead = clock.saturating_sub(now.monotonic);
        // The wall clock may be almost a second behind what it shows next: no wait gets shorter by that.
        let wall = now.wall.saturating_add(ahead.as_secs() + u64::from(!ahead.is_zero()));
        let wall = wall.saturating_sub(now.monotonic.saturating_sub(clock).as_secs());
        Self { clock, wall }
    }

    /// After so long.
    pub fn after(time: Duration, now: Now) -> Self {
        Self::at(now.monotonic.saturating_add(time), now)
    }

    /// What another supervisor wrote down.
    pub fn of_wall(wall: u64, now: Now) -> Self {
        let ahead = Duration::from_secs(wall.saturating_sub(now.wall));
        let behind = Duration::from_secs(now.wall.saturating_sub(wall));
        Self { clock: now.monotonic.saturating_add(ahead).saturating_sub(behind), wall }
    }
}
