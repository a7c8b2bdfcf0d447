//! Making a pod's sandbox, of a bare pod or a manifest's.
//!
//! Invariants: the record stands before anything of the pod does, and names it; when a step fails, everything is taken
//! down again.

use crate::cgroup;
use crate::error::{Context, Error, Kind, Result};
use crate::model::ids::PodUid;
use crate::pod::documents::{self, Manifest};
use crate::pod::limits::{self, blame_memory_limit};
use crate::pod::paths::Paths;
use crate::pod::pause::{self, Namespaces, Plan, Starting};
use crate::pod::record::{self, KindRecord, PauseRecord, PodKind, Record, VolumeRecord};
use crate::pod::request::{self, Checked, CreateRequest};
use crate::pod::sandbox::title;
use crate::pod::{Pod, boot, etc_files, names, not_found, shown, teardown, volumes};
use crate::programs::{self, Program};
use crate::report;
use crate::state::process::ProcessRef;
use crate::state::{atomic, layout::Layout};
use crate::sys::random;
use std::os::fd::OwnedFd;
use std::time::{Duration, SystemTime};

/// Makes a bare pod: sandbox and pause alone.
///
/// # Errors
/// What the request or the host does not allow; kind Exists when the name is taken. Nothing is left then.
pub fn create(layout: &Layout, request: &CreateRequest) -> Result<PodUid> {
    begin(layout, request, None)?.finish()
}

/// Makes a manifest pod as far as that goes without waiting: while its pause sets itself up, the caller may do
/// something else, such as starting the pod's supervisor, and then calls [`Making::finish`].
///
/// # Errors
/// As [`create()`].
pub fn begin_manifest(layout: &Layout, manifest: Manifest<'_>) -> Result<Making> {
    begin(layout, &CreateRequest::of_spec(manifest.spec), Some(manifest))
}

fn begin(layout: &Layout, request: &CreateRequest, manifest: Option<Manifest<'_>>) -> Result<Making> {
    let doing = || format!("cannot create pod {}", shown(&request.namespace, &request.name));
    let kind = if manifest.is_some() { PodKind::Manifest } else { PodKind::Bare };
    let checked = request::check(request, kind).context(doing)?;
    let program = programs::sealed(layout, Program::Pause).context(doing)?;
    for directory in [layout.pods(), layout.pod_names()] {
        atomic::make_directories(&directory).context(doing)?;
    }
    boot::clear_last(layout).context(doing)?;
    let record = first_record(layout, request, &checked, kind).context(doing)?;
    let undo = Undo { layout: layout.clone(), record, armed: true };
    if let Err(error) = names::reserve(layout, &undo.record) {
        // A name that is taken is another pod's: nothing of ours is there to be undone.
        if error.kind() == Kind::Exists {
            undo.disarm();
        }
        return Err(error).context(doing);
    }
    let limit = request.memory_bytes;
    let pause = build(layout, &undo.record, request, &checked, program, manifest)
        .map_err(|error| blame_memory_limit(&undo.record, limit, error))
        .context(doing)?;
    Ok(Making { pause, undo, memory_bytes: limit })
}

/// A pod in the making. Dropped, it is taken down again.
#[must_use]
pub struct Making {
    // Goes before the pod is taken down.
    pause: Starting,
    undo: Undo,
    memory_bytes: Option<u64>,
}

impl Making {
    /// The pod's uid.
    pub fn uid(&self) -> &PodUid {
        &self.undo.record.uid
    }

    /// The pod: what the record says of it stands, but that it has a pause.
    pub fn pod(&self) -> Pod {
        Pod::of_record(&self.undo.layout, self.undo.record.clone())
    }

    /// Waits for the pause and completes the pod.
    ///
    /// # Errors
    /// When the pause cannot be made, or the pod is being deleted. Nothing is left then.
    pub fn finish(self) -> Result<PodUid> {
        let Self { undo, pause, memory_bytes } = self;
        let record = &undo.record;
        complete(&undo.layout, record, pause)
            .map_err(|error| blame_memory_limit(record, memory_bytes, error))
            .context(|| format!("cannot create pod {}", shown(&record.namespace, &record.name)))?;
        Ok(undo.disarm())
    }
}

/// Takes the pod down unless it is disarmed.
struct Undo {
    layout: Layout,
    record: Record,
    armed: bool,
}

impl Undo {
    fn disarm(mut self) -> PodUid {
        self.armed = false;
        self.record.uid.clone()
    }
}

impl Drop for Undo {
    fn drop(&mut self) {
        if !self.armed {
            return;
        }
        if let Err(error) = teardown::remove(&Pod::of_record(&self.layout, self.record.clone())) {
            report::warn(&error.to_string());
        }
    }
}

fn first_record(
    layout: &Layout,
    request: &CreateRequest,
    checked: &Checked,
    kind: PodKind,
) -> Result<Record> {
    let uid = random_uid()?;
    let paths = Paths::new(layout, &uid);
    let volumes = request.volumes.iter().map(|volume| VolumeRecord {
        name: volume.name.clone(),
        source: volume.source.clone(),
        path: volumes::path_of(volume, &paths),
    });
    let pid = i32::try_from(std::process::id()).map_err(|_| Error::host("cannot tell our own pid"))?;
    let cgroups = cgroup::detect()?;
    let kind = match kind {
        PodKind::Bare => KindRecord::Bare,
        PodKind::Manifest => KindRecord::Manifest {
            supervisor: cgroups.for_absolute(&supervisor_cgroup(&uid))?,
            log_directory: layout.pod_logs(&request.namespace, &request.name, &uid),
        },
    };
    Ok(Record {
        version: record::VERSION,
        name: request.name.clone(),
        namespace: request.namespace.clone(),
        kind,
        created: SystemTime::UNIX_EPOCH.elapsed().unwrap_or(Duration::ZERO).as_secs(),
        maker: ProcessRef::of(pid)?,
        hostname: checked.hostname.clone(),
        network: request.network,
        share_pid: request.share_pid,
        cgroup: cgroups.for_absolute(&format!("{}/pod{uid}", checked.cgroup_parent))?,
        data_directory: paths.data().to_path_buf(),
        volumes: volumes.collect(),
        pause: None,
        deleting: None,
        uid,
    })
}

/// The group of a manifest pod's supervisor and keeper, outside the pod's limits.
pub(super) fn supervisor_cgroup(uid: &PodUid) -> String {
    format!("/podrun/_supervisor/{uid}")
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

/// Makes everything that the record names. The pause is cloned as soon as its group is there, so that it sets itself up
/// while the rest is made.
fn build(
    layout: &Layout,
    record: &Record,
    request: &CreateRequest,
    checked: &Checked,
    program: OwnedFd,
    manifest: Option<Manifest<'_>>,
) -> Result<Starting> {
    let paths = Paths::new(layout, &record.uid);
    let pause_cgroup = limits::make_cgroups(&record.cgroup, request)?;
    let pause = pause::spawn(&Plan {
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
    if let Some(manifest) = manifest {
        documents::write(paths.state(), manifest)?;
    }
    make_rest(record, &paths)?;
    Ok(pause)
}

fn make_rest(record: &Record, paths: &Paths) -> Result<()> {
    etc_files::make(&paths.etc(), &record.hostname, record.network)?;
    volumes::make_shm(&paths.shm())?;
    if let KindRecord::Manifest { supervisor, .. } = &record.kind {
        atomic::make_directories(&paths.io())?;
        supervisor.create()?;
    }
    let is_below = |volume: &VolumeRecord| volume.path.starts_with(paths.data());
    // A manifest pod's containers have their writable layers there.
    if record.kind.kind() == PodKind::Manifest || record.volumes.iter().any(is_below) {
        boot::make_data_directory(paths)?;
    }
    record.volumes.iter().try_for_each(|volume| volumes::make(&volume.name, &volume.source, &volume.path))
}

/// Records the pause and lets it go.
fn complete(layout: &Layout, record: &Record, pause: Starting) -> Result<()> {
    let candidate = pause.ready()?;
    let first =
        PauseRecord { process: candidate.process()?, namespaces: candidate.namespaces(record.share_pid)? };
    let directory = layout.pod(&record.uid);
    record::update(&directory, |now| {
        now.refuse_deleting()?;
        now.pause = Some(first);
        Ok(())
    })?;
    // Whoever deletes the pod from here on kills the pause, and that is then the reason.
    candidate.release().or_else(|error| match record::read(&directory)? {
        Some(now) => now.refuse_deleting().and(Err(error)),
        None => Err(not_found(&record.name)),
    })
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
}
