//! The OCI runtime face: the commands that shims call the way they call runc.

pub mod checkpoint;
pub mod create;
pub mod delete;
pub mod events;
pub mod exec;
pub mod features;
pub mod kill;
pub mod list;
pub mod pause;
pub mod ps;
pub mod restore;
pub mod resume;
pub mod run;
pub mod spec;
pub mod start;
pub mod state;
pub mod update;

use super::args::{pod_name, volume_mount};
use super::pod::NamedPod;
use crate::container;
use crate::container::{ConfigSource, CreateRequest, Host, SandboxSource};
use crate::error::{Error, Result};
use crate::model::ids::{ContainerId, PodName, PodNamespace};
use crate::model::sandbox::VolumeMount;
use crate::pod::PodRef;
use clap::ValueEnum;
use std::ffi::OsString;
use std::path::PathBuf;

/// Form of what a command lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people.
    Table,
    /// For programs.
    Json,
}

/// What create and run have in common.
#[derive(Debug, PartialEq, clap::Args)]
pub struct NewContainerArgs {
    /// Directory of config.json
    #[arg(short, long, value_name = "DIR", default_value = ".")]
    pub bundle: PathBuf,
    /// File to write the pid of the container's init to
    #[arg(long, value_name = "FILE")]
    pub pid_file: Option<PathBuf>,
    /// Unix socket that gets the terminal's master
    #[arg(long, value_name = "SOCKET")]
    pub console_socket: Option<PathBuf>,
    /// Unix socket that gets a pidfd of the container's init
    #[arg(long, value_name = "SOCKET")]
    pub pidfd_socket: Option<PathBuf>,
    /// Pass N descriptors after 0, 1, 2 and those of LISTEN_FDS, as far as they are open
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub preserve_fds: u32,
    /// Use MS_MOVE and chroot in place of pivot_root, for a root file system on a ramdisk
    #[arg(long)]
    pub no_pivot: bool,
    /// Let the container inherit the caller's session keyring
    #[arg(long)]
    pub no_new_keyring: bool,
    /// Join this bare pod: NAME, pod/NAME or pods/NAME
    #[arg(long, value_name = "POD", value_parser = pod_name)]
    pub pod: Option<PodName>,
    /// Namespace of the pod
    #[arg(short, long, value_name = "NS", requires = "pod", default_value = "default")]
    pub namespace: PodNamespace,
    /// Mount a volume of the pod at PATH, read-only with :ro
    #[arg(long = "volume", value_name = "NAME:PATH[:ro]", requires = "pod", value_parser = volume_mount)]
    pub volumes: Vec<VolumeMount>,
    /// The container's id
    #[arg(value_name = "ID")]
    pub id: ContainerId,
}

impl NewContainerArgs {
    /// The request without the pod, which is opened only when the id is reserved.
    pub fn request(&self) -> CreateRequest {
        let config = ConfigSource::Bundle(self.bundle.clone());
        CreateRequest {
            pid_file: self.pid_file.clone(),
            console_socket: self.console_socket.clone(),
            pidfd_socket: self.pidfd_socket.clone(),
            listen_fds: listen_fds(),
            listen_names: std::env::var("LISTEN_FDNAMES").ok(),
            notifies: notify_socket().is_some(),
            preserve_fds: self.preserve_fds,
            no_pivot: self.no_pivot,
            no_new_keyring: self.no_new_keyring,
            volumes: self.volumes.clone(),
            ..CreateRequest::new(self.id.clone(), config)
        }
    }

    /// Calls `make` with what opens the pod, if there is one.
    ///
    /// # Errors
    /// Those of `make`.
    pub fn with_sandbox<T>(
        &self,
        host: &Host,
        make: impl FnOnce(SandboxSource<'_>) -> Result<T>,
    ) -> Result<T> {
        let Some(name) = &self.pod else { return make(None) };
        let reference = PodRef { namespace: self.namespace.clone(), name: name.clone() };
        make(Some(&NamedPod { host, reference }))
    }
}

/// How many descriptors socket activation handed to this process, sd_listen_fds(3): what is meant for another process
/// is none of ours.
fn listen_fds() -> u32 {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u32>().ok());
    if number("LISTEN_PID") == Some(std::process::id()) { number("LISTEN_FDS").unwrap_or(0) } else { 0 }
}

/// Where a service manager wants to hear that the program is ready, sd_notify(3).
pub fn notify_socket() -> Option<OsString> {
    std::env::var_os(container::notify::VARIABLE).filter(|name| !name.is_empty())
}

/// The truthful answer where a command of the OCI face is known but not there.
pub fn not_supported(what: &str) -> Error {
    Error::user(format!("{what} is not supported yet"))
}
