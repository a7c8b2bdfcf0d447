//! podrun: a low-level Linux container runtime whose unit is the pod.
//!
//! # Processes
//!
//! ```text
//! podrun (CLI)     short-lived and single-threaded: parses, plans, clones, records, exits
//! podrun:init      a container's process between clone3 and execve; waits for `start`, then becomes the program
//! pause            owner of a pod's net, ipc and uts (and, where it is shared, pid) namespaces; does nothing else
//! ```
//!
//! There is no daemon, and nothing of podrun's stays beside a container: init is a child of the command and falls, when
//! the command exits, to the caller's subreaper, which sees its exit code. What commands know of one another is on disk
//! ([`state`]) and in the kernel.
//!
//! # From a command line to a running program
//!
//! ```text
//! main             cli::seal: continue from an executable that no container can write (CVE-2019-5736)
//! cli              flags to a request
//! container::config, plan     config.json to an owned plan: all that can be known to be wrong is found here
//! container::create           reserve the id, record the cgroup, make the cgroup, clone3
//! container::init             one list of steps: cgroup, namespaces, mounts, root, terminal, identity, filter
//!                             Ready ->  record init's pid, write the pid file  -> Go -> Detached -> the command exits
//! container::start            one byte through a FIFO; init executes the program, and the FIFO loses its reader
//! ```
//!
//! [`sync`] draws the messages between a command and the init it cloned. Errors of init travel to the command as text
//! with their hint; init itself prints nothing.
//!
//! `exec` is the same init with a shorter plan: the command enters the container's PID and mount namespaces before it
//! clones, so that the container never sees a process that stands in the host's files.
//!
//! # A pod
//!
//! [`pod`] makes the sandbox: directory and name, cgroup, volumes, the small files of /etc, then pause in its namespaces.
//! A container joins by changing its spec before it is planned (`container::sandbox`): namespaces by path, the cgroup
//! below the pod's, the shared files and volumes as bind mounts. So [`container`] knows nothing of pods but
//! [`model::sandbox`], and [`pod`] knows nothing of containers but what [`cli`] tells it.
//!
//! # Orders that hold everything together
//!
//! - Whatever is made is on record first: a command killed at any point leaves what `list` shows and
//!   `delete --force` removes. Until init is on record it dies with the command that made it.
//! - A pid is never used without the start time and boot id that were recorded with it.
//! - Locks are held around the read and the write of a record, never across a wait, a signal or a clone.
//! - Between clone3 and execve privileges only narrow, and no path of the container's is followed before the
//!   descriptors of the host are closed.
//! - `created` is not stored but seen: init then waits at the FIFO.
//!
//! # Who may use whom
//!
//! ```text
//! main > cli > {pod, container} > {cgroup, seccomp, logs, programs} > {state, sync} > sys > {error, report}
//! ```
//!
//! [`model`] is plain data for all above [`sys`]. Unsafe code is in [`sys`] alone, and in the pause program.

pub mod sys;

pub mod cgroup;
pub mod cli;
pub mod container;
pub mod error;
pub mod image;
pub mod lifecycle;
pub mod logs;
pub mod manifest;
pub mod model;
pub mod pod;
pub mod programs;
pub mod report;
pub mod seccomp;
pub mod state;
pub mod supervisor;
pub mod sync;
