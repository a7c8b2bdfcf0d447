//! Making a pod's sandbox, opening it for a container, and giving it a new pause when the old one was killed.
//!
//! Invariants: the record stands before anything of the pod does, and names it; when a step fails, everything is taken
//! down again; the pause that a record names was made for that record's namespaces.

use crate::cgroup::{self, Cgroup};
use crate::error::{Context, Error, Kind, Result};
use crate::model::ids::PodUid;
use crate::model::sandbox::{ContainerView, Sandbox};
use crate::pod::paths::Paths;
use crate::pod::pause::{Candidate, Namespaces, Plan};
use crate::pod::record::{self, PauseRecord, PodKind, Record, VolumeRecord};
use crate::pod::request::{self, Checked, CreateRequest};
use crate::pod::{Pod, boot, etc_files, names, namespaces, not_found, pause, shown, teardown, volumes};
use crate::programs::{self, Program};
use crate::report;
use crate::state::process::{self, ProcessRef};
use crate::state::{atomic, layout::Layout};
use crate::sys::random;
use oci_spec::runtime::{LinuxCpuBuilder, LinuxMemoryBuilder, LinuxPidsBuilder, LinuxResources};
use std::ffi::CString;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, SystemTime};

/// Name of the pause's group below the pod's.
pub(super) const PAUSE_CGROUP: &str = "_pause";

/// Makes a bare pod: sandbox and pause alone.
///
/// # Errors
/// What the request or the host does not allow; kind Exists when the name is taken. Nothing is left then.
pub fn create(layout: &Layout, request: &CreateRequest) -> Result<PodUid> {
    let doing = || format!("cannot create pod {}", shown(&request.namespace, &request.name));
    let checked = request::check(request).context(doing)?;
    let program = programs::sealed(layout, Program::Pause).context(doing)?;
    for directory in [layout.pods(), layout.pod_names()] {
        atomic::make_directories(&directory).context(doing)?;
    }
    boot::clear_last(layout).context(doing)?;
    let record = first_record(layout, request, &checked).context(doing)?;
    names::reserve(layout, &record).or_else(|error| undo_unless_taken(layout, &record, error))?;
    build(layout, &record, request, &checked, program)
        .map_err(|error| blame_memory_limit(&record.cgroup, request, error))
        .or_else(|error| undo(layout, &record, error))
        .context(doing)?;
    Ok(record.uid)
}

/// A name that is taken is another pod's: nothing of ours is there to be undone.
fn undo_unless_taken(layout: &Layout, record: &Record, error: Error) -> Result<()> {
    if error.kind() == Kind::Exists { Err(error) } else { undo(layout, record, error) }
}

fn undo(layout: &Layout, record: &Record, error: Error) -> Result<()> {
    let pod = Pod::of_record(layout, record.clone());
    if let Err(second) = teardown::remove(&pod) {
        report::warn(&second.to_string());
    }
    Err(error)
}

fn first_record(layout: &Layout, request: &CreateRequest, checked: &Checked) -> Result<Record> {
    let uid = random_uid()?;
    let paths = Paths::new(layout, &uid);
    let volumes = request.volumes.iter().map(|volume| VolumeRecord {
        name: volume.name.clone(),
        source: volume.source.clone(),
        path: volumes::path_of(volume, &paths),
    });
    let pid = i32::try_from(std::process::id()).map_err(|_| Error::host("cannot tell our own pid"))?;
    let cgroup = cgroup::detect()?.for_absolute(&format!("{}/pod{uid}", checked.cgroup_parent))?;
    Ok(Record {
        version: record::VERSION,
        name: request.name.clone(),
        namespace: request.namespace.clone(),
        kind: PodKind::Bare,
        created: SystemTime::UNIX_EPOCH.elapsed().unwrap_or(Duration::ZERO).as_secs(),
        maker: ProcessRef::of(pid)?,
        hostname: checked.hostname.clone(),
        network: request.network,
        share_pid: request.share_pid,
        cgroup,
        data_directory: paths.data().to_path_buf(),
        volumes: volumes.collect(),
        pause: None,
        deleting: None,
        uid,
    })
}

/// A random UUID, RFC 4122 section 4.4.
fn random_uid() -> Result<PodUid> {
    let mut bytes = [0; 16];
    random::fill(&mut bytes).context(|| "cannot get random bytes")?;
    uuid(bytes).parse()
}

fn uuid(mut bytes: [u8; 16]) -> String {
    bytes[6] = bytes[6] & 0x0f | 0x40; // version 4
    bytes[8] = bytes[8] & 0x3f | 0x80; // variant 1
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let (a, b, c, d, e) = (&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]);
    format!("{a}-{b}-{c}-{d}-{e}")
}

/// Makes everything that the record names, the pause last.
fn build(
    layout: &Layout,
    record: &Record,
    request: &CreateRequest,
    checked: &Checked,
    program: OwnedFd,
) -> Result<()> {
    let paths = Paths::new(layout, &record.uid);
    let pause_cgroup = make_cgroups(&record.cgroup, request)?;
    atomic::make_directories(&paths.etc())?;
    etc_files::make(&paths.etc(), &record.hostname, record.network)?;
    volumes::make_shm(&paths.shm())?;
    if record.volumes.iter().any(|volume| volume.path.starts_with(paths.data())) {
        boot::make_data_directory(&paths)?;
    }
    for volume in &record.volumes {
        volumes::make(&volume.name, &volume.source, &volume.path)?;
    }
    let candidate = pause::spawn(&Plan {
        namespaces: Namespaces::New {
            share_pid: record.share_pid,
            hostname: &record.hostname,
            sysctls: &checked.sysctls,
        },
        network: record.network,
        cgroup: pause_cgroup.entry()?,
        program,
        mount_point: paths.state(),
        title: title(record)?,
    })?;
    let first =
        PauseRecord { process: candidate.process()?, namespaces: candidate.namespaces(record.share_pid)? };
    record::update(paths.state(), |now| {
        now.refuse_deleting()?;
        now.pause = Some(first);
        Ok(())
    })?;
    // Whoever deletes the pod from here on kills the pause, and that is then the reason.
    candidate.release().or_else(|error| match record::read(paths.state())? {
        Some(now) => now.refuse_deleting().and(Err(error)),
        None => Err(not_found(&record.name)),
    })
}

/// A group that has not enough memory for a pause fails in many ways; the limit is the reason for them all.
fn blame_memory_limit(cgroup: &Cgroup, request: &CreateRequest, error: Error) -> Error {
    let killed = || cgroup.memory_events().is_ok_and(|events| events.oom_kills > 0);
    let killed_pause = || cgroup.child(PAUSE_CGROUP).memory_events().is_ok_and(|events| events.oom_kills > 0);
    match request.memory_bytes {
        Some(bytes) if error.errno() == Some(libc::ENOMEM) || killed() || killed_pause() => {
            Error::user(format!("the memory limit of {bytes} bytes is too small to start a pod"))
                // As text, since the remedy of a cause would win over this one.
                .because(error.to_string())
                .hint("raise --memory, or leave it out")
        }
        _ => error,
    }
}

fn title(record: &Record) -> Result<CString> {
    CString::new(format!("{}/{}", record.namespace, record.name))
        .map_err(|_| Error::user("the pod's name has a NUL byte"))
}

/// Makes the pod's group with its limits, and the pause's below it.
fn make_cgroups(pod: &Cgroup, request: &CreateRequest) -> Result<Cgroup> {
    pod.create()?;
    if let Some(resources) = resources(request)? {
        pod.apply(&resources)?;
    }
    let pause = pod.child(PAUSE_CGROUP);
    pause.create()?;
    Ok(pause)
}

/// The request's limits as the runtime spec writes them; `None` without any.
fn resources(request: &CreateRequest) -> Result<Option<LinuxResources>> {
    /// Of the CPU quota, in microseconds: the kernel's default.
    const PERIOD: u64 = 100_000;
    /// The least quota that the kernel takes, in microseconds.
    const LEAST_QUOTA: i64 = 1000;
    let size =
        |value: u64| i64::try_from(value).map_err(|_| Error::user(format!("limit {value} is too large")));
    let build =
        |error: oci_spec::OciSpecError| Error::host("cannot write down the pod's limits").because(error);
    let mut resources = LinuxResources::default();
    // The default holds device rules, which are a container's business.
    resources.set_devices(None);
    let none = resources.clone();
    if let Some(bytes) = request.memory_bytes {
        resources.set_memory(Some(LinuxMemoryBuilder::default().limit(size(bytes)?).build().map_err(build)?));
    }
    if let Some(millis) = request.cpu_millis {
        let quota = size(millis.saturating_mul(PERIOD / 1000))?.max(LEAST_QUOTA);
        let cpu = LinuxCpuBuilder::default().quota(quota).period(PERIOD).build().map_err(build)?;
        resources.set_cpu(Some(cpu));
    }
    if let Some(pids) = request.pids {
        resources.set_pids(Some(LinuxPidsBuilder::default().limit(size(pids)?).build().map_err(build)?));
    }
    Ok((resources != none).then_some(resources))
}

impl Pod {
    /// Opens the sandbox for a container to join.
    ///
    /// # Errors
    /// When the pod is half-made or being deleted, and when its pause is gone: [`Pod::heal`] comes first.
    pub fn sandbox(&self) -> Result<Sandbox> {
        let record = self.reread()?;
        record.refuse_deleting()?;
        let gone = || {
            let error = Error::user(format!("the pause process of pod {} is gone", self.shown()));
            error.hint(format!("delete the pod: podrun pod delete {}", record.name))
        };
        let pause = record.pause.as_ref().ok_or_else(|| self.half_made())?;
        let pidfd = pause.process.open()?.ok_or_else(gone)?;
        let paths = self.paths(&record);
        Ok(Sandbox {
            uid: record.uid.clone(),
            title: format!("{}/{}", record.namespace, record.name),
            pause: pidfd,
            pause_pid: pause.process.pid,
            inodes: pause.namespaces,
            host_network: record.network == request::Network::Host,
            cgroup_path: record.cgroup.path(),
            hostname: record.hostname.clone(),
            etc: paths.etc(),
            shm: paths.shm(),
            volumes: record.volumes.iter().map(|v| (v.name.clone(), v.path.clone())).collect(),
        })
    }

    /// Whether the pod still takes containers. A container's maker asks this once its container is recorded: whoever
    /// deletes the pod marks it first and looks for containers then, so that one of the two sees the other.
    ///
    /// # Errors
    /// When the pod is gone or being deleted.
    pub fn confirm(&self) -> Result<()> {
        self.reread()?.refuse_deleting()
    }

    /// Makes a new pause from the namespaces of a live container if the old one was killed. Says whether the pod has a
    /// pause now: without a live container, or where the pause was the first process of the pod's PID namespace (the
    /// kernel then kills all others), the pod has failed.
    ///
    /// # Errors
    /// When a new pause cannot be made.
    pub fn heal(&mut self, containers: &[ContainerView]) -> Result<bool> {
        let Ok(record) = self.record() else { return Ok(false) };
        let Some(old) = &record.pause else { return Ok(false) };
        if old.process.is_alive()? {
            return Ok(true);
        }
        if record.share_pid || record.deleting.is_some() || record.is_of_another_boot(&process::boot_id()?) {
            return Ok(false);
        }
        let Some(member) = namespaces::member(containers, old.namespaces)? else { return Ok(false) };
        let healed = self
            .make_heir(record, member.as_fd())
            .and_then(|heir| install(&self.paths(record), heir))
            .context(|| format!("cannot make a new pause for pod {}", self.shown()))?;
        self.replace_record(healed);
        Ok(true)
    }

    /// A candidate in the namespaces of `member`.
    fn make_heir(&self, record: &Record, member: BorrowedFd<'_>) -> Result<Candidate> {
        let paths = self.paths(record);
        pause::spawn(&Plan {
            namespaces: Namespaces::Of(member),
            network: record.network,
            cgroup: record.cgroup.child(PAUSE_CGROUP).entry()?,
            program: programs::sealed(self.layout(), Program::Pause)?,
            mount_point: paths.state(),
            title: title(record)?,
        })
    }
}

/// Records the candidate as the pod's pause, unless another command was faster: then its pause is the one.
fn install(paths: &Paths, heir: Candidate) -> Result<Record> {
    let (process, namespaces) = (heir.process()?, heir.namespaces(false)?);
    let mut needed = true;
    let record = record::update(paths.state(), |now| {
        now.refuse_deleting()?;
        needed = match &now.pause {
            Some(pause) => !pause.process.is_alive()?,
            None => true,
        };
        if needed {
            now.pause = Some(PauseRecord { process, namespaces });
        }
        Ok(())
    })?;
    if needed {
        heir.release()?;
    }
    Ok(record)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uids_are_uuids_of_version_4() {
        assert_eq!(uuid([0xff; 16]), "ffffffff-ffff-4fff-bfff-ffffffffffff");
        assert_eq!(uuid([0; 16]), "00000000-0000-4000-8000-000000000000");
        assert_ne!(random_uid().unwrap(), random_uid().unwrap());
    }

    #[test]
    fn limits_become_resources() {
        let mut request = CreateRequest {
            name: "a".parse().unwrap(),
            namespace: "b".parse().unwrap(),
            hostname: None,
            network: request::Network::None,
            volumes: vec![],
            share_pid: false,
            sysctls: vec![],
            cgroup_parent: None,
            memory_bytes: None,
            cpu_millis: None,
            pids: None,
        };
        assert!(resources(&request).unwrap().is_none());
        request.cpu_millis = Some(1500);
        request.memory_bytes = Some(64 << 20);
        request.pids = Some(100);
        let limits = resources(&request).unwrap().unwrap();
        assert_eq!(limits.cpu().as_ref().unwrap().quota(), Some(150_000));
        assert_eq!(limits.memory().as_ref().unwrap().limit(), Some(64 << 20));
        assert_eq!(limits.pids().as_ref().unwrap().limit(), 100);
        request.memory_bytes = Some(u64::MAX);
        assert!(resources(&request).is_err());
    }
}
