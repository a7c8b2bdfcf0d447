//! Pods: a sandbox (namespaces, cgroup, volumes, small files) that a pause process owns and containers join. A manifest
//! pod's is the same as a bare one's; beside it lie what it is to be and what its supervisor says it does.
//!
//! Not here: containers, and the supervisor. What this module has to know of them comes in as
//! [`ContainerView`](crate::model::sandbox::ContainerView)s, and what they have to
//! know of a pod goes out as a [`Sandbox`](crate::model::sandbox::Sandbox).
//!
//! Invariants: at whatever point a command is killed, the pod is found by its name and can be deleted without a trace;
//! commands that run at once end in one success and one clear error. The order of the steps in `create` and
//! `teardown` is what keeps them.

mod boot;
mod create;
mod documents;
mod etc_files;
mod held;
mod limits;
mod names;
mod namespaces;
mod paths;
mod pause;
mod record;
mod request;
mod sandbox;
mod state;
mod teardown;
mod volumes;

pub use create::{Making, begin_manifest, create};
pub use documents::{Manifest, write_status};
pub use held::{Held, adopt, hold};
pub use namespaces::NamespaceKind;
pub use record::PodKind;
pub use request::{CreateRequest, Network};
pub use state::PodState;
pub use volumes::check_one as check_volume;

use crate::cgroup::Cgroup;
use crate::error::{Error, Result};
use crate::model::ids::{PodName, PodNamespace, PodUid, VolumeName};
use crate::report;
use crate::state::layout::Layout;
use names::Target;
use paths::Paths;
use record::{KindRecord, Record};
use std::path::{Path, PathBuf};
use teardown::not_found;

/// A pod as people name it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PodRef {
    /// Its namespace.
    pub namespace: PodNamespace,
    /// Its name.
    pub name: PodName,
}

/// A pod's name for messages: `"shop"`, with its namespace unless that is the default one.
fn shown(namespace: &PodNamespace, name: &PodName) -> String {
    match namespace.as_str() {
        "default" => format!("\"{name}\""),
        namespace => format!("\"{namespace}/{name}\""),
    }
}

/// The command that deletes a pod, for hints: it must not name the pod of that name in another namespace.
fn delete_command(namespace: &PodNamespace, name: &PodName) -> String {
    match namespace.as_str() {
        "default" => format!("podrun pod delete --force {name}"),
        namespace => format!("podrun pod delete -n {namespace} --force {name}"),
    }
}

/// A pod, or what a killed command left of one.
#[derive(Debug)]
pub struct Pod {
    layout: Layout,
    namespace: PodNamespace,
    name: PodName,
    /// None where the name leads to something that podrun never made.
    uid: Option<PodUid>,
    content: Content,
}

/// What the record says.
#[derive(Debug)]
enum Content {
    Record(Box<Record>),
    /// There is none: a command was killed between giving the name and writing the record, or between removing the
    /// record and taking the name away.
    Missing,
    /// It cannot be understood, for this reason.
    Damaged(String),
}

/// Opens the pod that has the name.
///
/// # Errors
/// NotFound when there is none; a half-made pod is no error here.
pub fn open(layout: &Layout, pod: &PodRef) -> Result<Pod> {
    if let Some(found) = find(layout, &pod.namespace, &pod.name)? {
        return Ok(found);
    }
    names::restore(layout)?;
    find(layout, &pod.namespace, &pod.name)?.ok_or_else(|| not_found(&pod.name))
}

/// All pods, in order of namespace and name, half-made ones too. What the last boot left is removed first.
///
/// # Errors
/// When the directory of names cannot be read.
pub fn list(layout: &Layout) -> Result<Vec<Pod>> {
    boot::clear_last(layout)?;
    // The others are shown all the same.
    names::restore(layout).unwrap_or_else(|error| report::warn(&error.to_string()));
    let mut pods = Vec::new();
    for (namespace, name) in names::all(layout)? {
        // One that was deleted meanwhile is not listed.
        pods.extend(find(layout, &namespace, &name)?);
    }
    Ok(pods)
}

fn find(layout: &Layout, namespace: &PodNamespace, name: &PodName) -> Result<Option<Pod>> {
    let pod = match look(layout, namespace, name)? {
        Some(pod) if matches!(pod.content, Content::Missing) => {
            // Perhaps it is just being made: whoever makes it holds this lock until the record is there.
            let _lock = names::lock(layout)?;
            look(layout, namespace, name)?
        }
        other => other,
    };
    Ok(pod)
}

fn look(layout: &Layout, namespace: &PodNamespace, name: &PodName) -> Result<Option<Pod>> {
    let uid = match names::look_up(layout, namespace, name)? {
        Target::Free => return Ok(None),
        Target::Strange => None,
        Target::Uid(uid) => Some(uid),
    };
    let content = match uid.as_ref().map(|uid| record::read(&layout.pod(uid))) {
        None | Some(Ok(None)) => Content::Missing,
        Some(Ok(Some(record))) => Content::Record(Box::new(record)),
        Some(Err(error)) => Content::Damaged(error.to_string()),
    };
    Ok(Some(Pod { layout: layout.clone(), namespace: namespace.clone(), name: name.clone(), uid, content }))
}

impl Pod {
    fn of_record(layout: &Layout, record: Record) -> Self {
        Self {
            layout: layout.clone(),
            namespace: record.namespace.clone(),
            name: record.name.clone(),
            uid: Some(record.uid.clone()),
            content: Content::Record(Box::new(record)),
        }
    }

    fn of_uid(layout: &Layout, uid: &PodUid) -> Result<Self> {
        match record::read(&layout.pod(uid))? {
            Some(record) => Ok(Self::of_record(layout, record)),
            None => Err(Error::not_found(format!("pod {uid} not found"))),
        }
    }

    /// The pod's name.
    pub fn name(&self) -> &PodName {
        &self.name
    }

    /// The pod's namespace.
    pub fn namespace(&self) -> &PodNamespace {
        &self.namespace
    }

    /// The pod's uid; podrun makes none without one.
    pub fn uid(&self) -> Option<&PodUid> {
        self.uid.as_ref()
    }

    /// By what the pod was made; of a pod without a readable record nobody knows, and it is taken for a bare one.
    pub fn kind(&self) -> PodKind {
        self.record().map_or(PodKind::Bare, |record| record.kind.kind())
    }

    /// Directory of the record, and of all else of the pod that ends with the boot.
    ///
    /// # Errors
    /// For a half-made pod.
    pub fn directory(&self) -> Result<PathBuf> {
        Ok(self.layout.pod(&self.record()?.uid))
    }

    /// Directory of an emptyDir of that name that is on the disk.
    ///
    /// # Errors
    /// For a half-made pod.
    pub fn disk_volume(&self, name: &VolumeName) -> Result<PathBuf> {
        Ok(self.paths(self.record()?).disk_volume(name))
    }

    /// Directory of a manifest pod's logs. Whoever logs makes it; it goes with the pod.
    ///
    /// # Errors
    /// For a bare or half-made pod.
    pub fn log_directory(&self) -> Result<&Path> {
        Ok(self.manifest_record()?.1)
    }

    /// The group that a manifest pod's supervisor and keeper run in, outside the pod's limits. It is there.
    ///
    /// # Errors
    /// For a bare or half-made pod.
    pub fn supervisor_cgroup(&self) -> Result<&Cgroup> {
        Ok(self.manifest_record()?.0)
    }

    /// When the pod was made, in seconds since 1970; unknown for a half-made one.
    pub fn created(&self) -> Option<u64> {
        self.record().ok().map(|record| record.created)
    }

    /// Whether the pod is being deleted.
    pub fn is_deleting(&self) -> bool {
        self.record().is_ok_and(|record| record.deleting.is_some())
    }

    /// The pod's cgroup, absolute in every hierarchy.
    pub fn cgroup_path(&self) -> Option<String> {
        self.record().ok().map(|record| record.cgroup.path())
    }

    /// The pod's name for messages.
    fn shown(&self) -> String {
        shown(&self.namespace, &self.name)
    }

    fn layout(&self) -> &Layout {
        &self.layout
    }

    fn paths(&self, record: &Record) -> Paths {
        Paths::recorded(&self.layout, &record.uid, &record.data_directory)
    }

    /// Whether there may be more of the pod than its record tells: what cannot be read, or was removed by somebody.
    fn is_damaged(&self) -> bool {
        match &self.content {
            Content::Record(_) => false,
            Content::Missing => self.uid.as_ref().is_some_and(|uid| self.layout.pod(uid).is_dir()),
            Content::Damaged(_) => true,
        }
    }

    /// The record as it was when the pod was opened.
    fn record(&self) -> Result<&Record> {
        match &self.content {
            Content::Record(record) => Ok(record),
            Content::Missing => Err(self.half_made()),
            Content::Damaged(why) => Err(self.half_made().because(why.clone())),
        }
    }

    /// What the record says of a manifest pod.
    fn manifest_record(&self) -> Result<(&Cgroup, &Path)> {
        match &self.record()?.kind {
            KindRecord::Manifest { supervisor, log_directory } => Ok((supervisor, log_directory)),
            KindRecord::Bare => {
                Err(Error::user(format!("pod {} was not made from a manifest", self.shown())))
            }
        }
    }

    /// The record as it is now.
    fn reread(&self) -> Result<Record> {
        let Ok(known) = self.record() else { return self.record().cloned() };
        record::read(&self.layout.pod(&known.uid))?.ok_or_else(|| not_found(&self.name))
    }

    fn replace_record(&mut self, record: Record) {
        self.content = Content::Record(Box::new(record));
    }

    fn half_made(&self) -> Error {
        Error::user(format!("pod {} is not whole", self.shown()))
            .hint(format!("delete it: {}", delete_command(&self.namespace, &self.name)))
    }
}

impl Record {
    /// # Errors
    /// When the pod is being deleted.
    fn refuse_deleting(&self) -> Result<()> {
        if self.deleting.is_none() {
            return Ok(());
        }
        Err(Error::user(format!("pod {} is being deleted", shown(&self.namespace, &self.name))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;
    use crate::model::status::Phase;

    #[test]
    fn names_of_pods() {
        let namespace: PodNamespace = "default".parse().unwrap();
        assert_eq!(shown(&namespace, &"shop".parse().unwrap()), "\"shop\"");
        assert_eq!(shown(&"prod".parse().unwrap(), &"shop".parse().unwrap()), "\"prod/shop\"");
    }

    #[test]
    fn half_made_pods_are_listed_and_deleted() {
        let root = std::env::temp_dir().join(format!("podrun-pods-{}", std::process::id()));
        let layout = Layout::new(&root.join("run"), &root.join("lib")).unwrap();
        let reference = PodRef { namespace: "default".parse().unwrap(), name: "shop".parse().unwrap() };
        let missing = open(&layout, &reference).unwrap_err();
        assert_eq!(
            (missing.kind(), missing.to_string().as_str()),
            (Kind::NotFound, "pods \"shop\" not found")
        );
        assert!(list(&layout).unwrap().is_empty());

        let uid = "01234567-89ab-4def-8123-456789abcdef";
        let directory = layout.pods().join(uid);
        let link = layout.pod_names().join("default_shop");
        std::fs::create_dir_all(layout.pod_names()).unwrap();
        let stages: [&dyn Fn(); 3] = [
            &|| std::os::unix::fs::symlink("nonsense", &link).unwrap(),
            &|| std::os::unix::fs::symlink(uid, &link).unwrap(),
            &|| {
                std::os::unix::fs::symlink(uid, &link).unwrap();
                std::fs::create_dir_all(&directory).unwrap();
            },
        ];
        for stage in stages {
            stage();
            assert_eq!(list(&layout).unwrap().len(), 1);
            let mut pod = open(&layout, &reference).unwrap();
            assert_eq!(pod.phase(&[]).unwrap(), Phase::Failed);
            assert!(pod.sandbox().unwrap_err().to_string().contains("not whole"));
            pod.begin_delete().unwrap();
            pod.finish_delete().unwrap();
            pod.finish_delete().unwrap();
            assert!(list(&layout).unwrap().is_empty());
            assert!(!directory.exists());
        }
        std::fs::remove_dir_all(root).unwrap();
    }
}
