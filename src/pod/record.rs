//! A pod's record, `pod.json`: what was asked for, who makes, owns and deletes the pod.
//!
//! Invariants: everything of the pod that lies outside its two directories is named here before it is made; the record
//! is changed under the lock of the pod's directory and replaced whole.

use crate::cgroup::Cgroup;
use crate::error::{Context, Error, Kind, Result};
use crate::model::ids::{PodName, PodNamespace, PodUid, VolumeName};
use crate::model::sandbox::NamespaceInodes;
use crate::model::volume::VolumeSource;
use crate::pod::request::Network;
use crate::state::atomic::{self, Durability};
use crate::state::layout;
use crate::state::lock::DirectoryLock;
use crate::state::process::ProcessRef;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// Version of the record that this podrun writes and reads.
pub(super) const VERSION: u32 = 1;

/// `pod.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Record {
    pub(super) version: u32,
    pub(super) uid: PodUid,
    pub(super) name: PodName,
    pub(super) namespace: PodNamespace,
    pub(super) kind: KindRecord,
    /// Seconds since 1970.
    pub(super) created: u64,
    /// The command that makes the pod. Its boot id is the boot that the pod belongs to.
    pub(super) maker: ProcessRef,
    pub(super) hostname: String,
    pub(super) network: Network,
    pub(super) share_pid: bool,
    pub(super) cgroup: Cgroup,
    pub(super) data_directory: PathBuf,
    pub(super) volumes: Vec<VolumeRecord>,
    /// The owner of the namespaces, once the pod is whole.
    pub(super) pause: Option<PauseRecord>,
    /// The command that deletes the pod: once this is set the pod takes no container any more.
    pub(super) deleting: Option<ProcessRef>,
}

/// By what a pod was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PodKind {
    /// By flags, for shims.
    Bare,
    /// From a manifest: a supervisor makes its containers.
    Manifest,
}

/// As [`PodKind`], with what a manifest pod has outside its two directories.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase", deny_unknown_fields)]
pub(super) enum KindRecord {
    Bare,
    Manifest {
        /// The group of supervisor and keeper.
        supervisor: Cgroup,
        log_directory: PathBuf,
    },
}

impl KindRecord {
    pub(super) fn kind(&self) -> PodKind {
        match self {
            Self::Bare => PodKind::Bare,
            Self::Manifest { .. } => PodKind::Manifest,
        }
    }
}

/// A volume and where it lies.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct VolumeRecord {
    pub(super) name: VolumeName,
    pub(super) source: VolumeSource,
    pub(super) path: PathBuf,
}

/// The pause process and the namespaces it owns.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct PauseRecord {
    pub(super) process: ProcessRef,
    pub(super) namespaces: NamespaceInodes,
}

impl Record {
    /// Whether another boot than the present one made the pod: nothing of it but files can be left.
    pub(super) fn is_of_another_boot(&self, boot_id: &str) -> bool {
        self.maker.boot_id != boot_id
    }
}

/// Reads the record of the pod whose state is in `directory`; `None` where there is none.
///
/// # Errors
/// A record that is damaged or of another version.
pub(super) fn read(directory: &Path) -> Result<Option<Record>> {
    let Some(bytes) = atomic::read(directory, layout::pod::RECORD)? else { return Ok(None) };
    let path = directory.join(layout::pod::RECORD);
    parse(&bytes).context(|| format!("cannot understand {path:?}")).map(Some)
}

fn parse(bytes: &[u8]) -> Result<Record> {
    #[derive(Deserialize)]
    struct Versioned {
        version: u32,
    }
    let found: Versioned = serde_json::from_slice(bytes).context(|| "it is damaged")?;
    if found.version != VERSION {
        return Err(Error::user(format!("it has version {}, not {VERSION}", found.version))
            .hint("use the podrun that made it"));
    }
    serde_json::from_slice(bytes).context(|| "it is damaged")
}

/// Writes the record into its directory.
pub(super) fn write(directory: &Path, record: &Record) -> Result<()> {
    let bytes = serde_json::to_vec(record).context(|| "cannot write the pod's record")?;
    atomic::replace(directory, layout::pod::RECORD, &bytes, Durability::Boot)
}

/// Reads, changes and writes the record under the lock of its directory; the changed record is returned.
///
/// # Errors
/// What `change` refuses with; NotFound when directory or record are gone. Nothing is written then.
pub(super) fn update(directory: &Path, change: impl FnOnce(&mut Record) -> Result<()>) -> Result<Record> {
    let gone = || Error::new(Kind::NotFound, "the pod is gone");
    let _lock = DirectoryLock::take(directory)?.ok_or_else(gone)?;
    let mut record = read(directory)?.ok_or_else(gone)?;
    change(&mut record)?;
    write(directory, &record)?;
    Ok(record)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A record without a cgroup or a pause, made by the process that the boot id and pid name.
    pub(crate) fn sample(maker: ProcessRef) -> Record {
        Record {
            version: VERSION,
            uid: "01234567-89ab-4def-8123-456789abcdef".parse().unwrap(),
            name: "shop".parse().unwrap(),
            namespace: "default".parse().unwrap(),
            kind: KindRecord::Bare,
            created: 1_700_000_000,
            maker,
            hostname: "shop".into(),
            network: Network::None,
            share_pid: false,
            cgroup: serde_json::from_str(r#"{"mode":"none","groups":[]}"#).unwrap(),
            data_directory: "/var/lib/podrun/pods/01234567-89ab-4def-8123-456789abcdef".into(),
            volumes: vec![VolumeRecord {
                name: "data".parse().unwrap(),
                source: "data=hostPath:/srv,type=Directory"
                    .parse::<crate::model::volume::VolumeSpec>()
                    .unwrap()
                    .source,
                path: "/srv".into(),
            }],
            pause: None,
            deleting: None,
        }
    }

    pub(crate) fn nobody() -> ProcessRef {
        ProcessRef { pid: 1, start_time: u64::MAX, boot_id: "another".into() }
    }

    #[test]
    fn records_survive_the_disk_and_other_versions_are_refused() {
        let directory = std::env::temp_dir().join(format!("podrun-record-{}", std::process::id()));
        std::fs::create_dir(&directory).unwrap();
        assert_eq!(read(&directory).unwrap(), None);
        let record = sample(nobody());
        write(&directory, &record).unwrap();
        assert_eq!(read(&directory).unwrap(), Some(record.clone()));
        let changed = update(&directory, |record| {
            record.deleting = Some(nobody());
            Ok(())
        });
        assert_eq!(read(&directory).unwrap(), Some(changed.unwrap()));
        let refused = update(&directory, |_| Err(Error::user("no")));
        assert_eq!(refused.unwrap_err().to_string(), "no");
        std::fs::remove_dir_all(&directory).unwrap();
        assert_eq!(update(&directory, |_| Ok(())).unwrap_err().kind(), Kind::NotFound);

        let supervisor = serde_json::from_str(r#"{"mode":"none","groups":[]}"#).unwrap();
        let manifest = KindRecord::Manifest { supervisor, log_directory: "/logs".into() };
        let text = serde_json::to_string(&Record { kind: manifest.clone(), ..record.clone() }).unwrap();
        assert_eq!(parse(text.as_bytes()).unwrap().kind, manifest);
        let text = serde_json::to_string(&record).unwrap();
        assert!(text.contains(r#""kind":"bare""#), "{text}");
        let other = parse(text.replace("\"version\":1", "\"version\":2").as_bytes()).unwrap_err();
        assert_eq!(other.to_string(), "it has version 2, not 1");
        for damaged in ["", "{", "{}", &text[..text.len() / 2], &text.replace("\"kind\"", "\"sort\"")] {
            assert!(parse(damaged.as_bytes()).is_err(), "{damaged}");
        }
    }
}
