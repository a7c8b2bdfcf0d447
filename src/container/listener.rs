//! Passing the listener of a seccomp filter on to the agent that answers in the kernel's place
//! (config-linux.md, "The Container Process State").
//!
//! The filter is loaded by the process that it is for, whose system calls wait from then on. So it only names its
//! descriptor; the command fetches that by the pidfd and sends it to the agent, and keeps no copy: when the agent dies,
//! the last one is gone, and the kernel answers ENOSYS.

use super::record::{Record, Status};
use crate::error::{Context, Kind, Result};
use crate::seccomp::Listener;
use crate::sync::link::CommandEnd;
use crate::sync::message::ToInit;
use crate::sys::clone::Child;
use crate::sys::{pidfd, socket};
use serde::Serialize;
use std::collections::BTreeMap;
use std::os::fd::AsFd;
use std::path::Path;
use std::time::Duration;

/// What the agent is told; the name says what the descriptor beside it is.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ProcessState<'a> {
    oci_version: &'a str,
    fds: [&'static str; 1],
    pid: i32,
    #[serde(skip_serializing_if = "str::is_empty")]
    metadata: &'a str,
    state: State<'a>,
}

/// The container's state as the runtime spec has it, and no more.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct State<'a> {
    oci_version: &'a str,
    id: &'a str,
    status: Status,
    pid: i32,
    bundle: &'a Path,
    annotations: &'a BTreeMap<String, String>,
}

/// A container one of whose processes has a listener.
#[derive(Debug)]
pub struct Listening {
    /// Who answers.
    pub listener: Listener,
    /// The container.
    pub record: Record,
    /// Its status.
    pub status: Status,
}

impl Listening {
    /// Fetches descriptor `number` of the process, sends it to the agent, and lets the process go on.
    ///
    /// # Errors
    /// When there is no agent, or it does not take what it is sent.
    pub fn hand_over(&self, process: &Child, number: i32, link: &CommandEnd) -> Result<()> {
        /// An agent that does not even listen must not hold up the command for ever.
        const PATIENCE: Duration = Duration::from_secs(10);
        let path = &self.listener.path;
        let title = || format!("cannot hand the seccomp listener to the agent at {path:?}");
        let descriptor = pidfd::get_descriptor(process.pidfd.as_fd(), number)
            .context(|| "cannot fetch the seccomp listener from the process")?;
        let told = serde_json::to_vec(&self.told(process.pid)).context(title)?;
        let agent = socket::connect_within(path, PATIENCE)
            .context_as(Kind::User, || "failed to connect with seccomp agent")
            .context(title)
            .map_err(|e| e.hint("start the agent that listens on linux.seccomp.listenerPath first"))?;
        socket::send_descriptor(agent.as_fd(), &told, descriptor.as_fd()).context(title)?;
        // One process a connection: it closes here, as does our copy of the descriptor.
        drop((agent, descriptor));
        link.send(&ToInit::ListenerTaken).map(drop)
    }

    fn told(&self, pid: i32) -> ProcessState<'_> {
        let record = &self.record;
        ProcessState {
            oci_version: &record.oci_version,
            fds: ["seccompFd"],
            pid,
            metadata: &self.listener.metadata,
            state: State {
                oci_version: &record.oci_version,
                id: record.id.as_str(),
                status: self.status,
                // Of a container that is being made, this is the first process.
                pid: record.init.as_ref().map_or(pid, |init| init.pid),
                bundle: &record.bundle,
                annotations: &record.annotations,
            },
        }
    }
}
