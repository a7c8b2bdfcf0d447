//! Opening a connection, and nothing more.

use super::dial::{Dial, Network};
use super::watch::Watch;
use super::{Progress, Verdict};

/// A connection that is being opened.
#[derive(Debug)]
pub struct Tcp(Dial);

impl Tcp {
    /// Begins to connect.
    pub fn begin(
        network: &Network,
        host: Option<&str>,
        port: u16,
        watch: Watch<'_>,
    ) -> Result<Self, Verdict> {
        let dial = network.dial(&network.host(host), port).map_err(Verdict::Failure)?;
        watch.writable(&dial).map_err(|error| Verdict::Error(error.to_string()))?;
        Ok(Self(dial))
    }

    /// Whether it is open.
    pub fn advance(&self) -> Progress {
        Progress::Done(self.0.finish().map_or_else(Verdict::Failure, |()| Verdict::Success))
    }

    /// The verdict when the time is over.
    pub fn time_out(&self) -> Verdict {
        Verdict::Failure(self.0.time_out())
    }

    /// Closes it.
    pub fn end(self, watch: Watch<'_>) {
        watch.forget(&self.0);
    }
}
