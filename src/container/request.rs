//! What a container is made from: by a command from a bundle, by a pod's supervisor from a spec in memory.

use super::process::{Stdio, Terminal};
use crate::error::Result;
use crate::model::ids::{ContainerId, ContainerName, PodUid};
use crate::model::sandbox::{Sandbox, VolumeMount};
use oci_spec::runtime::Spec;
use std::path::PathBuf;

/// A container to be made.
#[derive(Debug)]
pub struct CreateRequest {
    /// The container's id.
    pub id: ContainerId,
    /// What it is to be.
    pub config: ConfigSource,
    /// Its root file system.
    pub root: RootSource,
    /// Its standard streams.
    pub streams: Streams,
    /// Name of its group below the pod's, where that is not to be the id. The group must not be there yet.
    pub cgroup: Option<ContainerName>,
    /// File that init's pid is written to.
    pub pid_file: Option<PathBuf>,
    /// Unix socket that the terminal's master is sent to.
    pub console_socket: Option<PathBuf>,
    /// Unix socket that init's pidfd is sent to.
    pub pidfd_socket: Option<PathBuf>,
    /// Descriptors from 3 up that socket activation handed over, sd_listen_fds(3); the program is told.
    pub listen_fds: u32,
    /// Their names, as the caller was told them.
    pub listen_names: Option<String>,
    /// The program can tell a service manager that it is ready, [`super::notify`].
    pub notifies: bool,
    /// Descriptors behind those that the program keeps.
    pub preserve_fds: u32,
    /// chroot instead of pivot_root.
    pub no_pivot: bool,
    /// Keep the caller's session keyring.
    pub no_new_keyring: bool,
    /// Volumes of the pod to mount.
    pub volumes: Vec<VolumeMount>,
}

impl CreateRequest {
    /// A container that asks for nothing beyond its config.
    pub fn new(id: ContainerId, config: ConfigSource) -> Self {
        Self {
            id,
            config,
            root: RootSource::default(),
            streams: Streams::default(),
            cgroup: None,
            pid_file: None,
            console_socket: None,
            pidfd_socket: None,
            listen_fds: 0,
            listen_names: None,
            notifies: false,
            preserve_fds: 0,
            no_pivot: false,
            no_new_keyring: false,
            volumes: Vec::new(),
        }
    }
}

/// Where the config comes from.
#[derive(Debug)]
pub enum ConfigSource {
    /// The config.json of a bundle, by the bundle's directory.
    Bundle(PathBuf),
    /// A spec in memory. The container's own directory stands for its bundle, so paths in it are absolute.
    Spec {
        /// The spec; its `linux.seccomp` is empty.
        spec: Box<Spec>,
        /// The JSON text of its `linux.seccomp`.
        seccomp: Option<String>,
    },
}

/// Where the root file system comes from.
#[derive(Debug, Default)]
pub enum RootSource {
    /// The directory that the config names.
    #[default]
    Config,
    /// Layers of an image, in place of what the config names.
    Overlay(OverlayRoot),
}

/// A root file system of read-only layers below a writable one, mounted in the container's mount namespace alone.
#[derive(Debug, Clone)]
pub struct OverlayRoot {
    /// Directories of the host, the top one first; 1 to 127.
    pub layers: Vec<PathBuf>,
    /// Directory to make for the writable layer. It is the container's alone and goes with it.
    pub scratch: PathBuf,
}

/// Where the standard streams come from.
#[derive(Debug, Default)]
pub enum Streams {
    /// They are the caller's, or a terminal whose master goes to the console socket.
    #[default]
    Inherited,
    /// These descriptors.
    Given(Stdio),
    /// Where the config asks for a terminal, this one, whose master is sent to one end of a socket pair
    /// ([`crate::sys::socket::receive_descriptor`] takes it from the other end); else the caller's.
    Terminal(Terminal),
}

/// When the program runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Begin {
    /// At `start`.
    WhenStarted,
    /// As soon as the maker says so.
    AtOnce,
}

/// The pod to join, as the caller finds it.
pub trait PodToJoin {
    /// Opens the pod; called once the id is reserved.
    ///
    /// # Errors
    /// When there is no such pod, or it takes no containers.
    fn open(&self) -> Result<Sandbox>;

    /// Called once the container is on record as the pod's: whoever deletes the pod marks it first and looks for
    /// containers then, so that one of the two sees the other.
    ///
    /// # Errors
    /// When the pod is gone or being deleted.
    fn confirm(&self, uid: &PodUid) -> Result<()>;
}

/// The pod to join, where there is one.
pub type SandboxSource<'a> = Option<&'a dyn PodToJoin>;
