//! podrun: a low-level Linux container runtime whose unit is the pod.
//!
//! # Processes
//!
//! ```text
//! podrun (CLI)     short-lived and single-threaded: parses, plans, clones, records, exits
//! podrun:init      a container's process between clone3 and execve; waits for `start`, then becomes the program
//! pause            owner of a pod's net, ipc and uts (and, where it is shared, pid) namespaces; does nothing else
//! keeper           (manifest pods) parent of the supervisor; holds copies of its descriptors, starts the next one
//! supervisor       (manifest pods) one thread, one poll loop; parent of every container of its pod
//! ```
//!
//! There is no daemon. Nothing of podrun's stays beside an OCI container: init is a child of the command and falls, when
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
//! In a user namespace init has no rights over the host. So the command opens, before the clone, what init is to have of
//! the host's, as detached mounts (`container::mounts::opened`), writes the namespace's maps when init asks for them, and
//! sets what takes privileges of the host ([`container::birth`]). Where namespaces are joined too, podrun:join stands
//! between: it joins them with the host's rights, the user namespace last, and clones init as the command's child, so that
//! all that is new belongs to the user namespace.
//!
//! # A pod
//!
//! [`pod`] makes the sandbox: directory and name, cgroup, volumes, the small files of /etc, then pause in its namespaces.
//! A container joins by changing its spec before it is planned (`container::sandbox`): namespaces by path, the cgroup
//! below the pod's, the shared files and volumes as bind mounts. So [`container`] knows nothing of pods but
//! [`model::sandbox`], and [`pod`] knows nothing of containers but what [`cli`] and [`supervisor`] tell it.
//!
//! # A manifest pod
//!
//! ```text
//! cli::pod         manifest::read: every problem is known before anything is made; images are there
//!                  pod::begin_manifest (sandbox)  and at the same time  supervisor::spawn::first (keeper, supervisor)
//!                  supervisor::control: Create, Start; the answer comes when all containers run or one could not
//! supervisor       lifecycle::Machine says what to do: Make, Start, Signal, Remove, End
//!                  image::Store -> runtime_spec -> container::begin, several at once -> finish -> go
//!                  exit codes, output and restarts -> status.json, which all other commands read
//! ```
//!
//! What has happened is in status.json before anything irrevocable follows from it, so that whoever is killed, the next
//! one goes on. Apps write into FIFOs that they hold open themselves, and never see podrun die.
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
//! main > cli > supervisor > {pod, container, lifecycle, manifest, image} > {cgroup, seccomp, logs, programs}
//!      > {state, sync} > sys > {error, report}
//! ```
//!
//! [`model`] is plain data for all above [`sys`]. Unsafe code is in [`sys`] alone, and in the pause and keeper program.

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
