//! Where the parts of one pod lie. All of it derives from the uid, so that what a killed command made is found again.

use crate::model::ids::{PodUid, VolumeName};
use crate::state::layout::{self, Layout};
use std::path::{Path, PathBuf};

/// The two directories of a pod.
#[derive(Debug, Clone)]
pub(super) struct Paths {
    state: PathBuf,
    data: PathBuf,
}

impl Paths {
    pub(super) fn new(layout: &Layout, uid: &PodUid) -> Self {
        Self { state: layout.pod(uid), data: layout.pod_data(uid) }
    }

    /// As [`Paths::new`], with the data directory that a record names: `--data-root` may be another by now.
    pub(super) fn recorded(layout: &Layout, uid: &PodUid, data: &Path) -> Self {
        Self { state: layout.pod(uid), data: data.to_path_buf() }
    }

    /// Directory of record, mount points and small files; ends with the boot.
    pub(super) fn state(&self) -> &Path {
        &self.state
    }
    /// Directory of disk-backed volumes and containers' writable layers.
    pub(super) fn data(&self) -> &Path {
        &self.data
    }
    /// Files for containers' /etc.
    pub(super) fn etc(&self) -> PathBuf {
        self.state.join(layout::pod::ETC)
    }
    /// Mount point of the shared /dev/shm.
    pub(super) fn shm(&self) -> PathBuf {
        self.state.join(layout::pod::SHM)
    }
    /// Mount point of a volume in memory.
    pub(super) fn memory_volume(&self, name: &VolumeName) -> PathBuf {
        self.state.join(layout::pod::VOLUMES).join(name.as_str())
    }
    /// Directory of FIFOs.
    pub(super) fn io(&self) -> PathBuf {
        self.state.join(layout::pod::IO)
    }
    /// Directory of a volume on disk.
    pub(super) fn disk_volume(&self, name: &VolumeName) -> PathBuf {
        self.data.join("volumes").join("empty-dir").join(name.as_str())
    }
}
