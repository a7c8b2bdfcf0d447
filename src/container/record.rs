//! A container's record on disk, and what it says together with the kernel about the container's state.
//!
//! It has no init as long as a command makes the container, and a deleter as soon as a command unmakes it. Whether init
//! still waits for `start` is not stored but seen: the FIFO then has a reader.

use super::Host;
use crate::cgroup::{Cgroup, RdtGroup};
use crate::error::{Context, Error, Kind, Result};
use crate::model::ids::{ContainerId, PodUid};
use crate::state::atomic::{self, Durability};
use crate::state::layout;
use crate::state::lock::DirectoryLock;
use crate::state::process::{self, ProcessRef};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// The version of the record's format.
const VERSION: u32 = 1;

/// The record.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Record {
    version: u32,
    /// The container's id.
    pub id: ContainerId,
    /// The command that made it, or is making it.
    pub maker: ProcessRef,
    /// The command that is deleting it; it waits for a maker that is still at work.
    pub deleter: Option<ProcessRef>,
    /// Init, once it is made.
    pub init: Option<ProcessRef>,
    /// The maker, which may live on, is done with it without having made an init.
    #[serde(default)]
    pub given_up: bool,
    /// The container's groups.
    pub cgroup: Option<Cgroup>,
    /// Its group in the resctrl file system.
    #[serde(default)]
    pub rdt: Option<RdtGroup>,
    /// The bundle's directory.
    pub bundle: PathBuf,
    /// The root file system on the host.
    pub rootfs: PathBuf,
    /// Its mount namespace is the host's, and does not bring its root along.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub inherits_mounts: bool,
    /// Its config has no process: it cannot be started.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub no_program: bool,
    /// Directory of its writable layer, where it has one that goes with it.
    pub scratch: Option<PathBuf>,
    /// When it was made, RFC 3339.
    pub created: String,
    /// Version of the runtime spec that the bundle was written for.
    pub oci_version: String,
    /// The spec's annotations.
    pub annotations: BTreeMap<String, String>,
    /// The pod it belongs to.
    pub pod: Option<PodUid>,
    /// It has been made far enough for its hooks, of which there are some: they are in its copy of the config.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub hooks: bool,
    /// Its processes have session keyrings of their own, and not the callers'.
    pub own_keyring: bool,
}

impl Record {
    /// The record of a container that this process begins to make.
    pub fn new(id: ContainerId, bundle: PathBuf) -> Result<Self> {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        Ok(Self {
            version: VERSION,
            id,
            maker: own_process()?,
            deleter: None,
            init: None,
            given_up: false,
            cgroup: None,
            rdt: None,
            bundle,
            rootfs: PathBuf::new(),
            inherits_mounts: false,
            no_program: false,
            scratch: None,
            created: crate::model::time::rfc3339(now.as_secs()),
            oci_version: String::new(),
            annotations: BTreeMap::new(),
            pod: None,
            hooks: false,
            own_keyring: true,
        })
    }

    /// Reads a record; `None` where there is none (a command died between reserving the id and writing it).
    ///
    /// # Errors
    /// When it is not a record of this version.
    pub fn read(directory: &Path) -> Result<Option<Self>> {
        let Some(bytes) = atomic::read(directory, layout::container::STATE)? else { return Ok(None) };
        let damaged = || format!("cannot understand {:?}", directory.join(layout::container::STATE));
        let hint =
            "it is damaged or of another version of podrun; `podrun delete --force ID` removes the container";
        let record: Self =
            serde_json::from_slice(&bytes).context(damaged).map_err(|error| error.hint(hint))?;
        if record.version == VERSION {
            Ok(Some(record))
        } else {
            Err(Error::user("its version is unknown").hint(hint)).context(damaged)
        }
    }

    /// Writes the record.
    ///
    /// # Errors
    /// When the directory is gone or full.
    pub fn write(&self, directory: &Path) -> Result<()> {
        let bytes = serde_json::to_vec(self).context(|| "cannot encode the container's record")?;
        atomic::replace(directory, layout::container::STATE, &bytes, Durability::Boot)
    }

    /// Writes the record if the one on disk is still of this making, and nobody has begun to delete it.
    ///
    /// # Errors
    /// When the container was deleted meanwhile.
    pub fn commit(&self, directory: &Path) -> Result<()> {
        let Some(_lock) = DirectoryLock::take(directory)? else { return Err(self.deleted_meanwhile()) };
        match Self::read(directory)? {
            Some(now) if now.deleter.is_none() && now.maker == self.maker => self.write(directory),
            _ => Err(self.deleted_meanwhile()),
        }
    }

    /// Marks the container, which this process made and cannot finish, as being deleted by it; false when somebody
    /// else deletes it, or has. That one is told that nothing more is made.
    ///
    /// # Errors
    /// When the record cannot be read or written.
    pub fn claim_back(&self, directory: &Path) -> Result<bool> {
        let Some(_lock) = DirectoryLock::take(directory)? else { return Ok(false) };
        let Some(mut now) = Self::read(directory)?.filter(|now| now.maker == self.maker) else {
            return Ok(false);
        };
        let ours = now.deleter.is_none();
        if ours {
            now.deleter = Some(self.maker.clone());
        }
        now.given_up = true;
        atomic::if_there_is_room(now.write(directory))?;
        Ok(ours)
    }

    /// Takes back that this process deletes the container: it could not, and may live on while another tries.
    ///
    /// # Errors
    /// When the record cannot be read or written.
    pub fn unclaim(directory: &Path) -> Result<()> {
        let Some(_lock) = DirectoryLock::take(directory)? else { return Ok(()) };
        let own = own_process()?;
        match Self::read(directory)? {
            Some(mut now) if now.deleter.as_ref() == Some(&own) => {
                now.deleter = None;
                atomic::if_there_is_room(now.write(directory))
            }
            _ => Ok(()),
        }
    }

    /// The error of a command whose container was deleted under its hands.
    pub fn deleted_meanwhile(&self) -> Error {
        let id = self.id.as_str();
        Error::new(Kind::NotFound, format!("container {id:?} was deleted while it was being created"))
    }
}

/// This process, as records name it.
pub fn own_process() -> Result<ProcessRef> {
    let pid =
        i32::try_from(std::process::id()).map_err(|_| Error::host("this process's id is out of range"))?;
    ProcessRef::of(pid)
}

/// A container's status, in the words of the runtime spec (and runc's `paused`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// A command is making it.
    Creating,
    /// Init waits for `start`.
    Created,
    /// The program runs.
    Running,
    /// The program, or init that waits for `start`, is frozen.
    Paused,
    /// There is no process any more, or only an unreaped one.
    Stopped,
}

impl std::fmt::Display for Status {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Self::Creating => "creating",
            Self::Created => "created",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Stopped => "stopped",
        })
    }
}

/// What `state` and `list` tell, in runc's names.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct State {
    /// Version of the runtime spec.
    pub oci_version: String,
    /// The container's id.
    pub id: String,
    /// Init's pid, 0 when there is none.
    pub pid: i32,
    /// See [`Status`].
    pub status: Status,
    /// The bundle's directory.
    pub bundle: PathBuf,
    /// The root file system on the host.
    pub rootfs: PathBuf,
    /// When it was made, RFC 3339; empty when its record is missing or damaged.
    pub created: String,
    /// The spec's annotations.
    pub annotations: BTreeMap<String, String>,
    /// Name of the user who made it.
    pub owner: String,
    /// The pod it belongs to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pod: Option<PodUid>,
    /// Path of its group, as in /proc/PID/cgroup.
    #[serde(skip)]
    pub cgroup_path: Option<String>,
}

impl Record {
    /// The status, from the record and the kernel.
    ///
    /// # Errors
    /// When /proc or the freezer cannot be read.
    pub fn status(&self, directory: &Path) -> Result<Status> {
        let Some(init) = &self.init else {
            let being_made = !self.given_up && self.maker.is_alive()?;
            return Ok(if being_made { Status::Creating } else { Status::Stopped });
        };
        if !init.is_alive()? {
            return Ok(Status::Stopped);
        }
        match &self.cgroup {
            Some(cgroup) if cgroup.is_frozen()? => Ok(Status::Paused),
            _ if fifo(directory)?.is_some() => Ok(Status::Created),
            _ => Ok(Status::Running),
        }
    }
}

/// The FIFO, opened for writing, if init waits at its other end.
pub fn fifo(directory: &Path) -> Result<Option<std::fs::File>> {
    let path = directory.join(layout::container::FIFO);
    match std::fs::OpenOptions::new().write(true).custom_flags(libc::O_NONBLOCK).open(&path) {
        Ok(file) => Ok(Some(file)),
        // No reader: init has executed its program, or died. No file: `run` made the container.
        Err(error) if matches!(error.raw_os_error(), Some(libc::ENXIO | libc::ENOENT)) => Ok(None),
        Err(error) => Err(error).context(|| format!("cannot open {path:?}")),
    }
}

/// Whether an init, alive or dead, has become its program. Of one that is gone without a trace nobody ever heard that it
/// ran.
///
/// # Errors
/// When /proc cannot be read.
pub fn has_executed(init: &ProcessRef) -> Result<bool> {
    if init.state()?.is_none() {
        return Ok(false);
    }
    Ok(process::command_name(init.pid)?.is_some_and(|name| name.as_bytes() != super::init::NAME.to_bytes()))
}

/// The error for a container that is not there; clients match its words.
pub fn not_found(id: &ContainerId) -> Error {
    Error::not_found(format!("container {:?} does not exist", id.as_str()))
}

/// Reads the record of a container that must be there.
///
/// # Errors
/// When there is none, or only a half-made one.
pub fn load(host: &Host, id: &ContainerId) -> Result<(PathBuf, Record)> {
    let directory = host.layout.container(id);
    match Record::read(&directory)? {
        Some(record) => Ok((directory, record)),
        None if directory.exists() => {
            Err(Error::user(format!("the record of container {:?} is missing", id.as_str()))
                .hint("`podrun delete --force` removes it"))
        }
        None => Err(not_found(id)),
    }
}

fn shown(record: &Record, directory: &Path) -> Result<State> {
    let status = record.status(directory)?;
    let pid = match (&record.init, status) {
        (Some(init), Status::Created | Status::Running | Status::Paused) => init.pid,
        _ => 0,
    };
    Ok(State {
        oci_version: record.oci_version.clone(),
        id: record.id.to_string(),
        pid,
        status,
        bundle: record.bundle.clone(),
        rootfs: record.rootfs.clone(),
        created: record.created.clone(),
        annotations: record.annotations.clone(),
        owner: owner(directory),
        pod: record.pod.clone(),
        cgroup_path: record.cgroup.as_ref().map(Cgroup::path),
    })
}

fn owner(directory: &Path) -> String {
    let uid = std::fs::metadata(directory).map_or(0, |m| std::os::unix::fs::MetadataExt::uid(&m));
    // A static glibc cannot look users up through NSS; root is all that ever makes containers.
    if uid == 0 { "root".into() } else { uid.to_string() }
}

/// The state of one container.
///
/// # Errors
/// When there is no such container.
pub fn state(host: &Host, id: &ContainerId) -> Result<State> {
    let (directory, record) = load(host, id)?;
    shown(&record, &directory)
}

/// The states of all containers, half-made ones too, sorted by id.
///
/// # Errors
/// When the directory of containers cannot be read.
pub fn list(host: &Host) -> Result<Vec<State>> {
    super::directory::sweep(host)?;
    let directory = host.layout.containers();
    let entries = match std::fs::read_dir(&directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error).context(|| format!("cannot read {directory:?}")),
    };
    let mut states = Vec::new();
    for entry in entries {
        let name = entry.context(|| format!("cannot read {directory:?}"))?.file_name();
        let Some(id) = name.to_str().and_then(|name| name.parse::<ContainerId>().ok()) else { continue };
        let path = host.layout.container(&id);
        // A damaged record must not hide the others, nor itself.
        let state = match Record::read(&path) {
            Ok(Some(record)) => shown(&record, &path)?,
            Ok(None) if !path.exists() => continue, // deleted while we looked
            Ok(None) | Err(_) => half_made(&id, &path),
        };
        states.push(state);
    }
    states.sort_by(|a, b| a.id.cmp(&b.id));
    Ok(states)
}

fn half_made(id: &ContainerId, directory: &Path) -> State {
    State {
        oci_version: String::new(),
        id: id.to_string(),
        pid: 0,
        status: Status::Stopped,
        bundle: PathBuf::new(),
        rootfs: PathBuf::new(),
        created: String::new(),
        annotations: BTreeMap::new(),
        owner: owner(directory),
        pod: None,
        cgroup_path: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_lives_on_says_that_it_is_done_and_lets_others_delete() {
        let directory = std::env::temp_dir().join(format!("podrun-record-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let record = Record::new("c".parse().unwrap(), PathBuf::new()).unwrap();
        record.write(&directory).unwrap();
        let now = || Record::read(&directory).unwrap().unwrap();
        assert_eq!(now().status(&directory).unwrap(), Status::Creating);
        // It could not be made, nor then removed.
        assert!(record.claim_back(&directory).unwrap());
        assert_eq!((now().deleter, now().given_up), (Some(record.maker.clone()), true));
        assert!(!record.claim_back(&directory).unwrap());
        Record::unclaim(&directory).unwrap();
        assert_eq!((now().deleter, now().given_up), (None, true));
        assert_eq!(now().status(&directory).unwrap(), Status::Stopped);
        // Another command deletes it while it is made: that one is told.
        let other = ProcessRef { start_time: 1, ..record.maker.clone() };
        Record { deleter: Some(other.clone()), ..record.clone() }.write(&directory).unwrap();
        assert!(!record.claim_back(&directory).unwrap());
        Record::unclaim(&directory).unwrap();
        assert_eq!((now().deleter, now().given_up), (Some(other), true));
        std::fs::remove_dir_all(directory).unwrap();
    }
}
