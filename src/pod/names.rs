//! Names of pods: symbolic links `NAMESPACE_NAME -> UID`, since a link is made whole or not at all.
//!
//! Invariant: name, directory and record are made together under the lock of the links' directory. So a name without a
//! record, seen under that lock, is what a killed command left and not what a living one is about to complete. The record
//! has the name, too, so that one that somebody has removed is put back.

use crate::error::{Context, Error, Kind, Result};
use crate::model::ids::{PodName, PodNamespace, PodUid};
use crate::pod::boot;
use crate::pod::record::{self, Record};
use crate::state::{atomic, layout::Layout, lock::DirectoryLock};
use std::io;
use std::path::PathBuf;

/// A pod's link; neither part can have an underscore, so it can be told apart again.
pub(super) fn link(layout: &Layout, namespace: &PodNamespace, name: &PodName) -> PathBuf {
    layout.pod_names().join(format!("{namespace}_{name}"))
}

fn parse(file_name: &str) -> Option<(PodNamespace, PodName)> {
    let (namespace, name) = file_name.split_once('_')?;
    Some((namespace.parse().ok()?, name.parse().ok()?))
}

/// What a name leads to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Target {
    /// Nothing has the name.
    Free,
    /// The pod with this uid.
    Uid(PodUid),
    /// Something that is no uid; podrun makes no such link.
    Strange,
}

/// Looks a name up.
pub(super) fn look_up(layout: &Layout, namespace: &PodNamespace, name: &PodName) -> Result<Target> {
    let path = link(layout, namespace, name);
    match std::fs::read_link(&path) {
        Ok(target) => {
            Ok(target.to_str().and_then(|uid| uid.parse().ok()).map_or(Target::Strange, Target::Uid))
        }
        Err(error) if matches!(error.raw_os_error(), Some(libc::ENOENT | libc::ENAMETOOLONG)) => {
            Ok(Target::Free)
        }
        Err(error) if error.kind() == io::ErrorKind::InvalidInput => Ok(Target::Strange),
        Err(error) => Err(error).context(|| format!("cannot read {path:?}")),
    }
}

/// All names there are.
pub(super) fn all(layout: &Layout) -> Result<Vec<(PodNamespace, PodName)>> {
    let path = layout.pod_names();
    let entries = match std::fs::read_dir(&path) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error).context(|| format!("cannot read {path:?}")),
    };
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry.context(|| format!("cannot read {path:?}"))?;
        names.extend(entry.file_name().to_str().and_then(parse));
    }
    names.sort();
    Ok(names)
}

/// Gives pods that have a record and no name, since somebody has removed it, their names again, unless that is another
/// pod's by now.
///
/// # Errors
/// When a directory cannot be read, or a name not be made.
pub(super) fn restore(layout: &Layout) -> Result<()> {
    let mut nameless = boot::uids(&layout.pods())?;
    for (namespace, name) in all(layout)? {
        if let Target::Uid(named) = look_up(layout, &namespace, &name)? {
            nameless.retain(|uid| *uid != named);
        }
    }
    if nameless.is_empty() {
        return Ok(());
    }
    atomic::make_directories(&layout.pod_names())?;
    let _lock = lock(layout)?;
    for uid in nameless {
        // Under the lock: it may just have got its name.
        if let Ok(Some(Record { namespace, name, .. })) = record::read(&layout.pod(&uid))
            && look_up(layout, &namespace, &name)? == Target::Free
        {
            let path = link(layout, &namespace, &name);
            std::os::unix::fs::symlink(uid.as_str(), &path).context(|| format!("cannot create {path:?}"))?;
        }
    }
    Ok(())
}

/// Locks the directory of names; `None` where there is none, and so no pod.
pub(super) fn lock(layout: &Layout) -> Result<Option<DirectoryLock>> {
    DirectoryLock::take(&layout.pod_names())
}

/// Gives the record's name to its uid and writes the record, all under the lock.
///
/// # Errors
/// Kind Exists when the name is taken.
pub(super) fn reserve(layout: &Layout, record: &Record) -> Result<()> {
    let path = link(layout, &record.namespace, &record.name);
    let _lock = lock(layout)?.ok_or_else(|| Error::host(format!("{:?} is gone", layout.pod_names())))?;
    match std::os::unix::fs::symlink(record.uid.as_str(), &path) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            let name = super::shown(&record.namespace, &record.name);
            return Err(Error::new(Kind::Exists, format!("pod {name} already exists")).hint(format!(
                "choose another name, or delete it: {}",
                super::delete_command(&record.namespace, &record.name)
            )));
        }
        Err(error) => return Err(error).context(|| format!("cannot create {path:?}")),
    }
    let directory = layout.pod(&record.uid);
    atomic::make_directories(&directory)?;
    record::write(&directory, record)
}

/// Takes the name away from `uid`, or from something strange; a name that is another pod's by now stays.
pub(super) fn release(
    layout: &Layout,
    namespace: &PodNamespace,
    name: &PodName,
    uid: Option<&PodUid>,
) -> Result<()> {
    let Some(_lock) = lock(layout)? else { return Ok(()) };
    let ours = match look_up(layout, namespace, name)? {
        Target::Free => false,
        Target::Uid(target) => Some(&target) == uid,
        Target::Strange => uid.is_none(),
    };
    if !ours {
        return Ok(());
    }
    let path = link(layout, namespace, name);
    match std::fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(error).context(|| format!("cannot remove {path:?}"))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pod::record::tests::{nobody, sample};

    #[test]
    fn a_name_is_given_once_and_released_by_its_owner_alone() {
        let root = std::env::temp_dir().join(format!("podrun-names-{}", std::process::id()));
        let layout = Layout::new(&root, &root).unwrap();
        let record = sample(nobody());
        let (namespace, name) = (&record.namespace, &record.name);
        assert_eq!(all(&layout).unwrap(), []);
        assert_eq!(look_up(&layout, namespace, name).unwrap(), Target::Free);
        atomic::make_directories(&layout.pod_names()).unwrap();
        reserve(&layout, &record).unwrap();
        assert_eq!(look_up(&layout, namespace, name).unwrap(), Target::Uid(record.uid.clone()));
        assert_eq!(all(&layout).unwrap(), [(namespace.clone(), name.clone())]);

        let other: PodUid = "11111111-89ab-4def-8123-456789abcdef".parse().unwrap();
        let refused = reserve(&layout, &Record { uid: other.clone(), ..record.clone() }).unwrap_err();
        assert_eq!(
            (refused.kind(), refused.to_string().as_str()),
            (Kind::Exists, "pod \"shop\" already exists")
        );

        // Somebody removes the name, or all of them.
        std::fs::remove_file(link(&layout, namespace, name)).unwrap();
        restore(&layout).unwrap();
        std::fs::remove_dir_all(layout.pod_names()).unwrap();
        restore(&layout).unwrap();
        assert_eq!(look_up(&layout, namespace, name).unwrap(), Target::Uid(record.uid.clone()));
        // Another's name stays another's.
        let twin = Record { uid: "22222222-89ab-4def-8123-456789abcdef".parse().unwrap(), ..record.clone() };
        atomic::make_directories(&layout.pod(&twin.uid)).unwrap();
        record::write(&layout.pod(&twin.uid), &twin).unwrap();
        restore(&layout).unwrap();
        assert_eq!(look_up(&layout, namespace, name).unwrap(), Target::Uid(record.uid.clone()));
        std::fs::remove_dir_all(layout.pod(&twin.uid)).unwrap();

        release(&layout, namespace, name, Some(&other)).unwrap();
        release(&layout, namespace, name, None).unwrap();
        assert_eq!(all(&layout).unwrap().len(), 1);
        release(&layout, namespace, name, Some(&record.uid)).unwrap();
        assert_eq!(look_up(&layout, namespace, name).unwrap(), Target::Free);

        std::os::unix::fs::symlink("../somewhere", link(&layout, namespace, name)).unwrap();
        assert_eq!(look_up(&layout, namespace, name).unwrap(), Target::Strange);
        release(&layout, namespace, name, None).unwrap();
        assert_eq!(look_up(&layout, namespace, name).unwrap(), Target::Free);
        std::fs::remove_dir_all(root).unwrap();
    }
}
