//! What the supervisor itself has put off: what failed and is to be tried again, and what is waited for no longer.
//!
//! The rules have deadlines of their own ([`crate::lifecycle::Machine::deadline`]).

use std::time::{Duration, Instant};

/// A second, after which what failed is tried again: a host in trouble is not to be busy with us.
pub const RETRY: Duration = Duration::from_secs(1);

/// What is to be done later.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Task {
    /// Accept commands again.
    Listen,
    /// Find a keeper.
    Keeper,
    /// Make a pause.
    Pause,
    /// Write the status.
    Publish,
    /// Wait no longer for the last output of the container of that place.
    EndOutput(usize),
    /// Remove what is left of the container of that place.
    Remove(usize),
}

/// All that is to be done later, each task once.
#[derive(Debug, Default)]
pub struct Later(Vec<(Instant, Task)>);

impl Later {
    /// Puts the task off until `at`, whenever it was to be done before.
    pub fn put_off(&mut self, task: Task, at: Instant) {
        self.cancel(task);
        self.0.push((at, task));
    }

    /// Does without the task.
    pub fn cancel(&mut self, task: Task) {
        self.0.retain(|(_, other)| *other != task);
    }

    /// Whether the task is yet to be done.
    pub fn has(&self, task: Task) -> bool {
        self.0.iter().any(|(_, other)| *other == task)
    }

    /// When there is something to do, if ever.
    pub fn next(&self) -> Option<Instant> {
        self.0.iter().map(|(at, _)| *at).min()
    }

    /// A task whose time has come by `now`; it is not here any more.
    pub fn take_due(&mut self, now: Instant) -> Option<Task> {
        let place = self.0.iter().position(|(at, _)| *at <= now)?;
        Some(self.0.swap_remove(place).1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tasks_are_due_once_and_when_they_were_put_off_to_last() {
        let (now, mut later) = (Instant::now(), Later::default());
        assert_eq!((later.next(), later.take_due(now)), (None, None));
        later.put_off(Task::Keeper, now);
        later.put_off(Task::Keeper, now + RETRY);
        later.put_off(Task::Remove(1), now);
        later.put_off(Task::Remove(2), now);
        later.cancel(Task::Remove(2));
        assert!(later.has(Task::Keeper) && !later.has(Task::Remove(2)));
        assert_eq!(later.next(), Some(now));
        assert_eq!((later.take_due(now), later.take_due(now)), (Some(Task::Remove(1)), None));
        assert_eq!(later.next(), Some(now + RETRY));
        assert_eq!(later.take_due(now + RETRY), Some(Task::Keeper));
        assert_eq!(later.next(), None);
    }
}
