//! OCI containers: from a bundle to a process, and what can be done to it until it is deleted.
//!
//! Owns the directory `<root>/containers/<id>`; knows nothing of pods but the [`Sandbox`](crate::model::sandbox) it is
//! handed. Invariants: the record is written before a process is let go; a container's processes are only ever found by
//! its record (pid with start time, cgroup); whatever a crash leaves, `list` shows it and `delete --force` removes it.

pub mod attributes;
pub mod birth;
mod bounds;
pub mod config;
pub mod create;
pub mod delete;
pub mod directory;
pub mod ended;
pub mod enter;
pub mod events;
pub mod exec;
pub mod hooks;
pub mod init;
pub mod labels;
pub mod listener;
pub mod making;
pub mod mappings;
pub mod mounts;
pub mod namespaces;
pub mod net_devices;
pub mod notify;
pub mod plan;
pub mod process;
pub mod record;
pub mod relay;
pub mod request;
pub mod run;
pub mod sandbox;
pub mod shape;
pub mod signal;
mod stand_in;
pub mod start;
pub mod support;
pub mod untyped;
pub mod version;

pub use create::{begin, create};
pub use delete::{delete, remove};
pub use enter::{Entering, Runner};
pub use events::{Event, stats, watch};
pub use exec::{CallerStreams, ExecRequest, exec};
pub use making::{Made, Making};
pub use process::{Stdio, Terminal};
pub use record::{Record, State, Status, list, state};
pub use request::{
    Begin, ConfigSource, CreateRequest, OverlayRoot, PodToJoin, RootSource, SandboxSource, Streams,
};
pub use run::{RunOptions, run};
pub use signal::{kill, pause, processes, resume, update};
pub use start::{start, start_notifying};

use crate::state::layout::Layout;

/// Who makes cgroups.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CgroupManager {
    /// podrun, through the file system.
    Cgroupfs,
    /// Nobody: containers stay in the caller's groups, and limits are refused.
    Disabled,
}

/// What all commands of one invocation share.
#[derive(Debug, Clone)]
pub struct Host {
    /// Where things lie.
    pub layout: Layout,
    /// Who makes cgroups.
    pub cgroups: CgroupManager,
}
