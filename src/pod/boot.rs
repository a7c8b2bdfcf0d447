//! What the last boot left. Its processes, mounts and cgroups are gone by themselves; records and files on a disk are
//! not, and the first command of this boot removes them.
//!
//! Invariant: nothing that this boot made is touched. A pod's data directory names its boot before it holds anything,
//! because its record is elsewhere, and gone with a `--root` in memory. It is made before the pod's logs and removed
//! after them, so that it tells their boot, too.

use crate::error::{Context, Error, Result};
use crate::model::ids::PodUid;
use crate::pod::paths::Paths;
use crate::pod::{Pod, record, teardown};
use crate::state::{atomic, layout::Layout, process};
use std::io;
use std::os::unix::fs::symlink;
use std::path::Path;

/// A symbolic link to the boot id, in the directory of pods and in each data directory: made whole or not at all.
pub(super) const BOOT: &str = ".boot";

/// Removes what the last boot left, once a boot.
///
/// # Errors
/// All that could not be removed; it is tried again by the next command.
pub(super) fn clear_last(layout: &Layout) -> Result<()> {
    let boot_id = process::boot_id()?;
    let pods = layout.pods();
    if boot_of(&pods)?.as_deref() == Some(boot_id.as_str()) {
        return Ok(());
    }
    let mut errors = Vec::new();
    for uid in uids(&pods)? {
        // A record that cannot be understood may be of this boot; `pod list` shows it and `pod delete` removes it.
        if let Ok(Some(record)) = record::read(&layout.pod(&uid))
            && record.is_of_another_boot(&boot_id)
        {
            // The pod's record last: it leads to the rest.
            match remove_containers(layout, &uid) {
                Ok(()) => errors.extend(teardown::remove(&Pod::of_record(layout, record)).err()),
                Err(error) => errors.push(error),
            }
        }
    }
    errors.extend(clear_data(layout, &boot_id).err());
    Error::all("cannot clear what the last boot left", errors)?;
    if pods.is_dir() { mark(&pods, &boot_id) } else { Ok(()) }
}

/// Removes the records of a manifest pod's containers, whose ids begin with its uid. Those that a caller has named are
/// the caller's to delete.
fn remove_containers(layout: &Layout, uid: &PodUid) -> Result<()> {
    remove_named(&layout.containers(), |name| {
        name.strip_prefix(uid.as_str()).is_some_and(|rest| rest.starts_with('.'))
    })
}

fn clear_data(layout: &Layout, boot_id: &str) -> Result<()> {
    let mut errors = Vec::new();
    for uid in uids(&layout.pods_data())? {
        let path = layout.pod_data(&uid);
        match boot_of(&path)? {
            Some(boot) if boot == boot_id => {}
            // The logs first: that they are another boot's is known by this directory.
            Some(_) => match remove_logs(layout, &uid) {
                Ok(()) => errors.extend(teardown::remove_tree(&path).err()),
                Err(error) => errors.push(error),
            },
            // Killed before it could name its boot, so it holds nothing; one that does is not ours to remove.
            None => drop(std::fs::remove_dir(&path)),
        }
    }
    Error::all("cannot remove volumes", errors)
}

/// Removes a pod's logs, whatever its name was.
pub(super) fn remove_logs(layout: &Layout, uid: &PodUid) -> Result<()> {
    let ending = format!("_{uid}");
    remove_named(&layout.logs(), |name| name.ends_with(&ending))
}

/// Removes what is in `directory` under certain names.
fn remove_named(directory: &Path, is_meant: impl Fn(&str) -> bool) -> Result<()> {
    let entries = match std::fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error).context(|| format!("cannot read {directory:?}")),
    };
    for entry in entries {
        let entry = entry.context(|| format!("cannot read {directory:?}"))?;
        if entry.file_name().to_str().is_some_and(&is_meant) {
            teardown::remove_tree(&entry.path())?;
        }
    }
    Ok(())
}

/// Makes a pod's data directory and names the boot in it.
pub(super) fn make_data_directory(paths: &Paths) -> Result<()> {
    // That of all pods, too: an older podrun's may have let others through.
    for directory in paths.data().parent().into_iter().chain([paths.data()]) {
        atomic::make_directories(directory)?;
    }
    mark(paths.data(), &process::boot_id()?)
}

/// The boot that `directory` names, if it does.
fn boot_of(directory: &Path) -> Result<Option<String>> {
    let path = directory.join(BOOT);
    match std::fs::read_link(&path) {
        Ok(boot) => Ok(boot.to_str().map(ToOwned::to_owned)),
        Err(error) if matches!(error.raw_os_error(), Some(libc::ENOENT | libc::ENOTDIR | libc::EINVAL)) => {
            Ok(None)
        }
        Err(error) => Err(error).context(|| format!("cannot read {path:?}")),
    }
}

/// Names the boot in `directory`. Whoever else does so at the same time names the same.
fn mark(directory: &Path, boot_id: &str) -> Result<()> {
    let path = directory.join(BOOT);
    let make = || match symlink(boot_id, &path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            match std::fs::remove_file(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
            match symlink(boot_id, &path) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
                _ => Ok(()),
            }
        }
        other => other,
    };
    make().context(|| format!("cannot create {path:?}"))
}

/// The pods that have a directory in `directory`.
pub(super) fn uids(directory: &Path) -> Result<Vec<PodUid>> {
    let entries = match std::fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error).context(|| format!("cannot read {directory:?}")),
    };
    let mut uids = Vec::new();
    for entry in entries {
        let entry = entry.context(|| format!("cannot read {directory:?}"))?;
        uids.extend(entry.file_name().to_str().and_then(|name| name.parse().ok()));
    }
    Ok(uids)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_names_the_boot_that_marked_it_last() {
        let directory = std::env::temp_dir().join(format!("podrun-boot-{}", std::process::id()));
        std::fs::create_dir(&directory).unwrap();
        assert_eq!(boot_of(&directory).unwrap(), None);
        mark(&directory, "first").unwrap();
        mark(&directory, "second").unwrap();
        assert_eq!(boot_of(&directory).unwrap().as_deref(), Some("second"));
        std::fs::remove_dir_all(directory).unwrap();
    }

    #[test]
    fn the_last_boots_volumes_go_and_this_boots_stay() {
        let root = std::env::temp_dir().join(format!("podrun-boots-{}", std::process::id()));
        let layout = Layout::new(&root.join("run"), &root.join("lib")).unwrap();
        let uid =
            |digit: &str| format!("{digit}1234567-89ab-4def-8123-456789abcdef").parse::<PodUid>().unwrap();
        let (old, new, unmarked) = (uid("0"), uid("1"), uid("2"));
        for uid in [&old, &new, &unmarked] {
            std::fs::create_dir_all(layout.pod_data(uid)).unwrap();
        }
        std::fs::create_dir(layout.pod_data(&old).join("volumes")).unwrap();
        let logs = |uid| layout.pod_logs(&"prod".parse().unwrap(), &"shop".parse().unwrap(), uid);
        for uid in [&old, &new] {
            std::fs::create_dir_all(logs(uid).join("web")).unwrap();
        }
        mark(&layout.pod_data(&old), "another").unwrap();
        mark(&layout.pod_data(&new), &process::boot_id().unwrap()).unwrap();
        clear_last(&layout).unwrap();
        let exists = [&old, &new, &unmarked].map(|uid| layout.pod_data(uid).exists());
        assert_eq!(exists, [false, true, false]);
        assert_eq!([&old, &new].map(|uid| logs(uid).exists()), [false, true]);
        std::fs::remove_dir_all(root).unwrap();
    }
}
