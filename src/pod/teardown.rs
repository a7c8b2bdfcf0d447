//! Deleting a pod, whatever of it there is: whole, half-made by a killed command, or left by another boot.
//!
//! Invariants: every step is tried and every error returned; the record goes after everything it names, the name after
//! the record, so that a deletion that failed or was killed can be repeated; nothing is removed through a mount.

use crate::cgroup::{self, Cgroup, Hierarchies};
use crate::error::{Context, Error, Kind, Result};
use crate::pod::limits::PAUSE_CGROUP;
use crate::pod::record::{self, KindRecord, Record};
use crate::pod::{Pod, boot, create, names};
use crate::state::atomic;
use crate::state::layout;
use crate::state::lock::DirectoryLock;
use crate::state::process::ProcessRef;
use crate::sys::{mount, pidfd, tree};
use std::ffi::{CString, OsStr, OsString};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long a pause may take to end, and a command that makes the pod to notice that it is deleted.
const PATIENCE: Duration = Duration::from_secs(10);

impl Pod {
    /// Marks the pod as being deleted: from here on it takes no container, and a command that is making it gives up,
    /// which is waited for. Its containers are the caller's to delete now; [`Pod::finish_delete`] does the rest. On a
    /// full disk there is no mark, nor room for another container's record.
    ///
    /// # Errors
    /// When another living command deletes the pod; NotFound when one has done so meanwhile.
    pub fn begin_delete(&mut self) -> Result<()> {
        let doing = format!("cannot delete pod {}", self.shown());
        let Some(uid) = self.uid().cloned() else { return Ok(()) };
        let directory = self.layout().pod(&uid);
        let lock = DirectoryLock::take(&directory).context(|| doing.as_str())?;
        if lock.is_none() && self.record().is_ok() {
            return Err(super::not_found(self.name()));
        }
        // What cannot be understood cannot be marked, and takes no container either.
        let Ok(Some(mut record)) = record::read(&directory) else { return Ok(()) };
        let me = i32::try_from(std::process::id()).map_err(|_| Error::host("cannot tell our own pid"))?;
        let me = ProcessRef::of(me)?;
        if let Some(other) = &record.deleting
            && *other != me
            && other.is_alive()?
        {
            return Err(Error::user(format!("{doing}: process {} is deleting it", other.pid)));
        }
        record.deleting = Some(me.clone());
        atomic::if_there_is_room(record::write(&directory, &record)).context(|| doing.as_str())?;
        drop(lock);
        if record.pause.is_none() && record.maker != me {
            wait_for_maker(&record.maker).context(|| doing.as_str())?;
        }
        self.replace_record(record);
        Ok(())
    }

    /// The living command that deletes the pod, if it is another one: a pidfd of it.
    ///
    /// # Errors
    /// When /proc cannot be read.
    pub fn other_deleter(&self) -> Result<Option<OwnedFd>> {
        let Ok(record) = self.reread() else { return Ok(None) };
        match &record.deleting {
            Some(other) if u32::try_from(other.pid) != Ok(std::process::id()) => other.open(),
            _ => Ok(None),
        }
    }

    /// Removes everything of the pod: pause, supervisor, cgroups with whatever is in it, mounts, files, name. What is not there is
    /// fine, so it may be repeated.
    ///
    /// # Errors
    /// All that could not be removed. The pod is then still listed.
    pub fn finish_delete(&self) -> Result<()> {
        remove(self)
    }
}

/// The maker sees the mark when it comes to record its pause, takes down what it made and ends.
fn wait_for_maker(maker: &ProcessRef) -> Result<()> {
    let Some(process) = maker.open()? else { return Ok(()) };
    let pid = maker.pid;
    if pidfd::wait_exit(process.as_fd(), PATIENCE).context(|| format!("cannot watch process {pid}"))? {
        return Ok(());
    }
    Err(Error::user(format!("process {pid} is still creating it")).hint(format!("end it: kill -9 {pid}")))
}

/// See [`Pod::finish_delete`].
pub(super) fn remove(pod: &Pod) -> Result<()> {
    let mut errors = Vec::new();
    if let Some(uid) = pod.uid() {
        let record = pod.record().ok();
        let state = pod.layout().pod(uid);
        let data = record.map_or_else(|| pod.layout().pod_data(uid), |record| record.data_directory.clone());
        // First, so that nothing is made anew, and what they are parents of finds one that reaps it.
        errors.extend(remove_supervisor(pod, record).err());
        // The kernel takes the namespaces down while files are removed here.
        let ending = record.map_or(Ok(None), kill_pause);
        errors.extend(remove_files(pod, record, &state, &data));
        errors.extend(ending.and_then(|ending| ending.map_or(Ok(()), Ending::wait)).err());
        errors.extend(remove_cgroup(pod, record).err());
        if errors.is_empty() {
            errors.extend(remove_state(&state).err());
            // A command that was asking the supervisor when it ended may have started another one meanwhile.
            errors.extend(remove_supervisor(pod, record).err());
        }
    }
    if errors.is_empty() {
        errors.extend(names::release(pod.layout(), pod.namespace(), pod.name(), pod.uid()).err());
    }
    Error::all(format!("cannot delete pod {}", pod.shown()), errors)
}

/// Ends supervisor and keeper, which usually have ended by now, at once: neither can start the other again.
fn remove_supervisor(pod: &Pod, record: Option<&Record>) -> Result<()> {
    match (record.map(|record| &record.kind), pod.uid()) {
        (Some(KindRecord::Manifest { supervisor, .. }), _) => remove_group(supervisor, &[]),
        (None, Some(uid)) if pod.is_damaged() => {
            remove_group(&cgroup::detect()?.for_absolute(&create::supervisor_cgroup(uid))?, &[])
        }
        _ => Ok(()),
    }
}

/// Removes mounts, logs and data; the directory of the record goes last of all, see [`remove_state`].
fn remove_files(pod: &Pod, record: Option<&Record>, state: &Path, data: &Path) -> Vec<Error> {
    let mut trees = vec![data];
    if let Some(KindRecord::Manifest { log_directory, .. }) = record.map(|record| &record.kind) {
        trees.push(log_directory);
    }
    let within: Vec<&Path> = trees.iter().copied().chain([state]).collect();
    if let Err(error) = remove_mounts(&within) {
        return vec![error];
    }
    let mut errors: Vec<Error> = trees.iter().filter_map(|tree| remove_unmounted(tree).err()).collect();
    if let Some(uid) = pod.uid().filter(|_| pod.is_damaged()) {
        errors.extend(boot::remove_logs(pod.layout(), uid).err());
    }
    errors
}

/// A pause that was killed.
struct Ending {
    process: OwnedFd,
    pid: i32,
    share_pid: bool,
}

fn kill_pause(record: &Record) -> Result<Option<Ending>> {
    let Some(pause) = &record.pause else { return Ok(None) };
    let Some(process) = pause.process.open()? else { return Ok(None) };
    let pid = pause.process.pid;
    match pidfd::send_signal(process.as_fd(), libc::SIGKILL) {
        Err(error) if error.raw_os_error() != Some(libc::ESRCH) => {
            Err(error).context(|| format!("cannot kill the pause process {pid}"))
        }
        _ => Ok(Some(Ending { process, pid, share_pid: record.share_pid })),
    }
}

impl Ending {
    fn wait(self) -> Result<()> {
        let pid = self.pid;
        let ended = pidfd::wait_exit(self.process.as_fd(), PATIENCE);
        if ended.context(|| format!("cannot watch the pause process {pid}"))? {
            return Ok(());
        }
        let error = Error::host(format!("the pause process {pid} does not end"));
        // The first process of a PID namespace ends when all others are reaped, pid_namespaces(7).
        Err(if self.share_pid {
            error.hint("a process of the pod has ended and waits for its parent to notice: end that parent")
        } else {
            error
        })
    }
}

/// A pod without a record has not got to its cgroup, unless the record was damaged: then it is looked for.
fn remove_cgroup(pod: &Pod, record: Option<&Record>) -> Result<()> {
    match (record, pod.uid()) {
        (Some(record), _) => remove_group(&record.cgroup, &[PAUSE_CGROUP]),
        (None, Some(uid)) if pod.is_damaged() => {
            let all = cgroup::detect()?;
            let paths = find_groups(&all, &format!("pod{uid}"))?;
            paths.iter().try_for_each(|path| remove_group(&all.for_absolute(path)?, &[PAUSE_CGROUP]))
        }
        _ => Ok(()),
    }
}

/// The paths of all groups of that name, as one hierarchy has them. A container that may make groups can have made some,
/// below its own.
fn find_groups(all: &Hierarchies, name: &str) -> Result<Vec<String>> {
    let Some((_, mount)) = all.mounts().next() else { return Ok(Vec::new()) };
    let mut found = Vec::new();
    let here = |directory: BorrowedFd<'_>| std::fs::read_link(tree::short_path(directory));
    let enter = |directory: BorrowedFd<'_>| -> io::Result<Vec<CString>> {
        let mut below = Vec::new();
        for entry in std::fs::read_dir(tree::short_path(directory))? {
            let entry = entry?;
            if !entry.file_type()?.is_dir() {
                continue;
            }
            if entry.file_name() == name {
                let group = here(directory)?.join(name);
                found.extend(group.strip_prefix(mount).ok().and_then(Path::to_str).map(ToOwned::to_owned));
            } else {
                below.push(CString::new(entry.file_name().into_vec())?);
            }
        }
        Ok(below)
    };
    tree::walk(mount, enter, |_, _| Ok(tree::Next::Leave)).context(|| "cannot look for the pod's cgroup")?;
    Ok(found)
}

/// Kills whatever is in the group and those below it, and removes them; `below` are those that are there for certain.
fn remove_group(cgroup: &Cgroup, below: &[&str]) -> Result<()> {
    // Usually all processes have ended, and looking for some costs more than removing the group.
    let goes = |group: &Cgroup| group.dirs().all(|(_, dir)| ignore_missing(std::fs::remove_dir(dir)).is_ok());
    if below.iter().all(|name| goes(&cgroup.child(name))) && goes(cgroup) {
        return Ok(());
    }
    if !cgroup.processes()?.is_empty() {
        cgroup.signal_all(libc::SIGKILL)?;
    }
    cgroup.remove()
}

/// Removes the directory at `path`, and detaches first what is mounted in it.
pub(super) fn remove_tree(path: &Path) -> Result<()> {
    remove_mounts(&[path])?;
    remove_unmounted(path)
}

fn remove_unmounted(path: &Path) -> Result<()> {
    // A container's processes have made what is in there, as deep as they liked.
    ignore_missing(tree::remove(path)).context(|| format!("cannot remove {path:?}"))
}

/// Detaches what is mounted below `paths`, the latest first.
fn remove_mounts(paths: &[&Path]) -> Result<()> {
    // The kernel lists real paths.
    let mut real = Vec::new();
    for path in paths {
        match path.canonicalize() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            found => real.push(found.context(|| format!("cannot resolve {path:?}"))?),
        }
    }
    if real.is_empty() {
        return Ok(());
    }
    let table = "/proc/self/mountinfo";
    let mountinfo = std::fs::read(table).context(|| format!("cannot read {table}"))?;
    let mut errors = Vec::new();
    let within = |point: &PathBuf| real.iter().any(|path| point.starts_with(path));
    for mounted in mount_points(&mountinfo).into_iter().rev().filter(within) {
        let detach = || mount::umount_detach(&CString::new(mounted.as_os_str().as_bytes())?);
        match detach() {
            // Another deletion was faster.
            Err(error) if matches!(error.raw_os_error(), Some(libc::EINVAL | libc::ENOENT)) => {}
            other => errors.extend(other.context(|| format!("cannot unmount {mounted:?}")).err()),
        }
    }
    Error::all("cannot unmount what is mounted there", errors)
}

/// The mount points of /proc/self/mountinfo, field 5, in order, proc_pid_mountinfo(5).
fn mount_points(mountinfo: &[u8]) -> Vec<PathBuf> {
    let lines = mountinfo.split(|byte| *byte == b'\n');
    lines.filter_map(|line| line.split(|byte| *byte == b' ').nth(4)).map(unescape).collect()
}

/// Blanks, tabs, newlines and backslashes are written as a backslash and three octal digits.
fn unescape(field: &[u8]) -> PathBuf {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((first, tail)) = rest.split_first() {
        let code = tail.first_chunk::<3>().filter(|_| *first == b'\\');
        let code = code.and_then(|digits| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 8).ok());
        bytes.push(code.unwrap_or(*first));
        rest = if code.is_some() { &tail[3..] } else { tail };
    }
    OsString::from_vec(bytes).into()
}

/// Removes a pod's state, the record after everything else. A creation that was overtaken may do the same at once, and a
/// command that has not seen the mark yet may put something in.
fn remove_state(state: &Path) -> Result<()> {
    const ATTEMPTS: u32 = 16;
    let mut attempt = 0;
    loop {
        attempt += 1;
        remove_content(state)?;
        // Who makes something elsewhere for the pod makes it under this lock, and is done by now or finds no pod.
        let _lock = DirectoryLock::take(state)?;
        match std::fs::remove_dir(state) {
            Err(error) if error.raw_os_error() == Some(libc::ENOTEMPTY) && attempt < ATTEMPTS => {}
            other => return ignore_missing(other).context(|| format!("cannot remove {state:?}")),
        }
    }
}

fn remove_content(state: &Path) -> Result<()> {
    let entries = match std::fs::read_dir(state) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error).context(|| format!("cannot read {state:?}")),
    };
    for entry in entries {
        let entry = entry.context(|| format!("cannot read {state:?}"))?;
        if entry.file_name() == OsStr::new(layout::pod::RECORD) {
            continue;
        }
        let path = entry.path();
        let is_directory = entry.file_type().is_ok_and(|kind| kind.is_dir());
        let removed = if is_directory { std::fs::remove_dir_all(&path) } else { std::fs::remove_file(&path) };
        ignore_missing(removed).context(|| format!("cannot remove {path:?}"))?;
    }
    let record = state.join(layout::pod::RECORD);
    ignore_missing(std::fs::remove_file(&record)).context(|| format!("cannot remove {record:?}"))
}

fn ignore_missing(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// The error for a name that no pod has, in the words of kubectl.
pub(super) fn not_found(name: &crate::model::ids::PodName) -> Error {
    Error::new(Kind::NotFound, format!("pods {:?} not found", name.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mount_points_are_read_as_the_kernel_writes_them() {
        let table = b"22 1 8:1 / / rw - ext4 /dev/vda rw\n\
            30 22 0:5 / /run/a\\040b\\134c rw,nosuid shared:1 - tmpfs x rw\n\
            31 22 0:6 / /run/\\04 rw - tmpfs x rw\n";
        let points: Vec<PathBuf> = ["/", "/run/a b\\c", "/run/\\04"].iter().map(PathBuf::from).collect();
        assert_eq!(mount_points(table), points);
    }

    #[test]
    fn what_is_not_there_is_removed() {
        remove_tree(Path::new("/no/such/directory")).unwrap();
        remove_state(Path::new("/no/such/directory")).unwrap();
    }
}
