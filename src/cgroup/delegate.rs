//! Handing a v2 group to a user: whoever owns it may make groups below and move processes between them, and nothing else;
//! limits stay the runtime's. Why and when: the runtime specification, "Cgroup ownership"; how: the kernel's
//! admin-guide/cgroup-v2.rst, "Delegation".

use super::{Cgroup, Group};
use crate::error::{Context, Result};
use std::io;
use std::os::unix::fs::lchown;
use std::path::Path;

/// Where the kernel tells which files a delegatee is to own (Linux 4.15).
const DELEGATE: &str = "/sys/kernel/cgroup/delegate";
/// What it tells at the least.
const FILES: &str = "cgroup.procs\ncgroup.subtree_control\ncgroup.threads\n";

impl Cgroup {
    /// Makes `uid` the owner of the v2 group; others stay as they are.
    ///
    /// # Errors
    /// When the kernel's list cannot be read, or the owner not be changed.
    pub fn delegate(&self, uid: u32) -> Result<()> {
        let files = match std::fs::read_to_string(DELEGATE) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => FILES.to_owned(),
            files => files.context(|| format!("cannot read {DELEGATE}"))?,
        };
        self.unified().map_or(Ok(()), |group| group.delegate(uid, &files))
    }
}

impl Group {
    fn delegate(&self, uid: u32, files: &str) -> Result<()> {
        let own = |path: &Path| match lchown(path, Some(uid), None) {
            // Of a controller that the group has not got, or of a newer kernel.
            Err(error) if error.kind() == io::ErrorKind::NotFound && path != self.dir => Ok(()),
            result => result.context(|| format!("cannot give {} to user {uid}", path.display())),
        };
        own(&self.dir)?;
        // A name and nothing else, whatever the kernel says.
        let names = files.lines().filter(|name| !name.is_empty() && !name.contains('/'));
        names.map(|name| self.dir.join(name)).try_for_each(|path| own(&path))
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{scratch, text};
    use super::*;
    use std::os::unix::fs::MetadataExt;

    #[test]
    fn the_directory_and_the_listed_files_change_hands() {
        let top = scratch("delegate");
        let dir = top.join("g");
        std::fs::create_dir(&dir).unwrap();
        for file in ["cgroup.procs", "memory.max"] {
            text(&dir, file, "");
        }
        text(&top, "outside", "");
        let group = Group { controllers: String::new(), mount: top.clone(), dir: dir.clone() };
        let mine = std::fs::metadata(&top).unwrap().uid();
        let other = if mine == 0 { 1000 } else { mine };
        group.delegate(other, "cgroup.procs\nmemory.oom.group\n../outside\n\n").unwrap();
        let owner = |path: &Path| std::fs::metadata(path).unwrap().uid();
        assert_eq!((owner(&dir), owner(&dir.join("cgroup.procs"))), (other, other));
        assert_eq!((owner(&dir.join("memory.max")), owner(&top.join("outside"))), (mine, mine));
        std::fs::remove_dir_all(&top).unwrap();
        assert!(group.delegate(other, "").is_err());
    }
}
