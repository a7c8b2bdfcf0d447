//! What a command and the process it clones say to each other until the program runs.
//!
//! ```text
//! command                         podrun:init
//!    | clone3 ------------------------>|
//!    |                                 | namespaces, mounts, console, identity, executable found
//!    |<----------------- Warn (any number)
//!    |<----------------- Ready or Failed
//!    | record, pid file                |
//!    | Go ---------------------------->|
//!    |<----------------- Detached      | outlives the command from here on
//!    |                                 | waits on the FIFO, where there is one
//!    |<----------------- Failed, or the end of the socket: the program runs
//! ```
//!
//! For `exec` a process stands between the two, podrun:join, which says `Cloned` before or after the `Ready` of the one
//! that it clones into the container.
//!
//! Each message is one SEQPACKET packet, encoded by hand and bounded. The end of the socket before `Ready` means that
//! the other side died: init then exits, and the command asks the kernel how its child ended.

pub mod link;
pub mod message;
