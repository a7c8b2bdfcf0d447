//! Disks of a test's own: small ones, which it fills, and those whose ids can be mapped.

use super::machine;
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::sys::statfs::{TMPFS_MAGIC, statfs};
use nix::sys::statvfs::FsFlags;
use std::ffi::OsStr;
use std::path::Path;
use std::process::Command;

/// A mount namespace of the test's own, and in it a small disk at a path.
#[track_caller]
pub fn small_disk(path: &Path, options: &str) {
    std::fs::create_dir_all(path).expect("a directory");
    own_mounts();
    mount(Some("small"), path, Some("tmpfs"), MsFlags::empty(), Some(options)).expect("a small disk");
}

/// Puts a disk over an empty directory that is mounted with nosuid or nodev, as systemd mounts /tmp: what runtimes make of
/// such flags of a root file system is a matter of its own.
#[track_caller]
pub fn without_flags(path: &Path) {
    let flags = statfs(path).expect("its file system").flags();
    if flags.intersects(FsFlags::ST_NOSUID | FsFlags::ST_NODEV) {
        small_disk(path, "mode=0755");
    }
}

#[track_caller]
fn own_mounts() {
    unshare(CloneFlags::CLONE_NEWNS).expect("a mount namespace");
    mount(None::<&str>, "/", None::<&str>, MsFlags::MS_REC | MsFlags::MS_PRIVATE, None::<&str>)
        .expect("private mounts");
}

/// Makes a directory on a file system whose ids can be mapped: where the test's place is on none, on an image of ext4 in a
/// mount namespace of the test's own.
#[track_caller]
pub fn mappable(path: &Path) {
    std::fs::create_dir_all(path).expect("a directory");
    let kind = statfs(path).expect("its file system").filesystem_type();
    if kind != TMPFS_MAGIC || machine::maps_ids_of_tmpfs() {
        return;
    }
    let image = path.with_extension("image");
    std::fs::File::create(&image).and_then(|file| file.set_len(8 << 20)).expect("an image");
    own_mounts();
    let run = |program: &str, words: &[&OsStr]| {
        let found = machine::find_program(program).unwrap_or_else(|| panic!("there is no {program}"));
        let outcome = Command::new(found).args(words).output().expect("to run it");
        assert!(outcome.status.success(), "{outcome:?}");
    };
    run("mkfs.ext4", &["-q".as_ref(), image.as_ref()]);
    // The loop device goes with its mount.
    run("mount", &["-o".as_ref(), "loop".as_ref(), image.as_ref(), path.as_ref()]);
}

/// Writes a file until there is no room left.
#[track_caller]
pub fn fill(path: &Path) {
    let zeroes = vec![0; 64 << 10];
    let mut file = std::fs::File::create(path).expect("a file to fill the disk with");
    while std::io::Write::write(&mut file, &zeroes).is_ok_and(|written| written > 0) {}
}
