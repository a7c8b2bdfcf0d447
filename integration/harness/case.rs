//! A test as the runner knows it.

use super::Test;

/// One test: a function, and what the runner has to know before it calls it.
#[derive(Clone, Copy)]
pub struct Case {
    /// `file::function`.
    pub name: &'static str,
    /// The test itself; it fails by panicking.
    pub run: fn(&Test),
    /// Runs alone: it looks at, or uses, what all tests share (default directories, default cgroups, timings).
    pub exclusive: bool,
    /// Seconds until it counts as hung, on a machine of ordinary speed.
    pub seconds: u64,
}

impl Case {
    /// Lets no other test run at the same time.
    pub const fn exclusive(self) -> Self {
        Self { exclusive: true, ..self }
    }

    /// Gives the test more, or less, than the usual time.
    pub const fn seconds(self, seconds: u64) -> Self {
        Self { seconds, ..self }
    }
}

/// The [`Case`] of a test function of this file.
macro_rules! case {
    ($function:ident) => {
        $crate::harness::Case {
            // Without the name of the test crate.
            name: concat!(module_path!(), "::", stringify!($function)).split_at("integration::".len()).1,
            run: $function,
            exclusive: false,
            seconds: 60,
        }
    };
}
pub(crate) use case;
