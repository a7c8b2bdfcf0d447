//! What a command and the process it clones say to each other until the program runs.
//!
//! ```text
//! command                         podrun:init
//!    | clone3 ------------------------>|
//!    |<----------------- NeedMaps      | only in a user namespace of the container's
//!    | uid_map, gid_map                |
//!    | MapsWritten ------------------->|
//!    |                                 | namespaces, mounts
//!    |<----------------- RunHooks      | where there are hooks
//!    | HooksDone --------------------->|
//!    |                                 | root, console, identity, executable found
//!    |<----------------- Listener      | only for a filter that notifies: its descriptor is fetched, and sent to the agent
//!    | ListenerTaken ----------------->|
//!    |<----------------- Warn (any number)
//!    |<----------------- Ready or Failed
//!    | record, pid file                |
//!    | Go ---------------------------->|
//!    |<----------------- Detached      | outlives the command from here on
//!    |                                 | waits on the FIFO, where there is one
//!    |<----------------- Failed, or the end of the socket: the program runs
//! ```
//!
//! For `exec`, and for a container in a user namespace that joins namespaces, a process stands between the two,
//! podrun:join, which says `Failed` or nothing; whose `Ready` or `NeedMaps` it is, and so the pid of the process in the
//! container, the kernel tells. A supervisor that runs a probe or a hook says `GoAlong`, in advance, in the place of
//! `Go`: there is no `Detached` then.
//!
//! Each message is one SEQPACKET packet, encoded by hand and bounded. The end of the socket before `Ready` means that
//! the other side died: init then exits, and the command asks the kernel how its child ended.

pub mod link;
pub mod message;
