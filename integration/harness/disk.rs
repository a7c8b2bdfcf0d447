//! Small disks, which a test fills.

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use std::path::Path;

/// A mount namespace of the test's own, and in it a small disk at a path.
#[track_caller]
pub fn small_disk(path: &Path, options: &str) {
    std::fs::create_dir_all(path).expect("a directory");
    unshare(CloneFlags::CLONE_NEWNS).expect("a mount namespace");
    mount(None::<&str>, "/", None::<&str>, MsFlags::MS_REC | MsFlags::MS_PRIVATE, None::<&str>)
        .expect("private mounts");
    mount(Some("small"), path, Some("tmpfs"), MsFlags::empty(), Some(options)).expect("a small disk");
}

/// Writes a file until there is no room left.
#[track_caller]
pub fn fill(path: &Path) {
    let zeroes = vec![0; 64 << 10];
    let mut file = std::fs::File::create(path).expect("a file to fill the disk with");
    while std::io::Write::write(&mut file, &zeroes).is_ok_and(|written| written > 0) {}
}
