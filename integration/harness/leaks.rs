//! What a test may leave behind: nothing. Looks, names and removes.
//!
//! A network namespace lives by a process, a descriptor or a mount; the first two need a process, and the warden, as
//! subreaper, is the ancestor of all processes of its test. So where no descendant and no mount is left, none is.

use super::{cgroups, proc, warden};
use nix::mount::{MntFlags, umount2};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Beginning of the path of every test's private directory.
pub const PLACES: &str = "/tmp/pit.";
/// Beginning of the name of every test's private cgroup.
pub const CGROUPS: &str = "podrun-it.";

/// Names of cgroups that only hold others; the contract lets them stay when they are empty.
const PARENTS: [&str; 6] = ["podrun", "podrun-oci", "burstable", "besteffort", "pods", "_supervisor"];
/// What may stay below the roots: programs of podrun's own and compiled filters, both named by their content, and the
/// mark of the boot that pods were last looked at in; images stay until somebody removes them.
const CACHES: [&str; 5] = ["data/images", "data/layers", "data/lib", "root/seccomp", "root/pods/.boot"];

/// A test's own directory and cgroups, and what stood outside of them before it began.
pub struct Corner {
    place: PathBuf,
    cgroups: Vec<PathBuf>,
    outside: BTreeSet<PathBuf>,
    /// Parents of podrun's groups in the usual places that were not there before.
    new_parents: Vec<PathBuf>,
    /// The warden, below which all processes of the test are.
    warden: i32,
    /// The body, which is no leak of itself.
    body: Option<i32>,
}

impl Corner {
    /// Makes directory and cgroups for the test of this warden and moves the warden into the latter.
    pub fn make() -> std::io::Result<Self> {
        let place = warden::place_of(std::process::id());
        std::fs::create_dir(&place)?;
        let name = format!("{CGROUPS}{}", std::process::id());
        let cgroups = groups_named(&name, |own| format!("{own}/{name}"));
        let outside = outside();
        let new_parents = usual_parents().into_iter().filter(|path| !path.exists()).collect();
        cgroups::enter_private(&name)?;
        Ok(Self { place, cgroups, outside, new_parents, warden: own_pid(), body: None })
    }

    /// The corner that this process, a body, was put into by its warden.
    pub fn of_body(place: &Path) -> Self {
        let me = own_pid();
        let warden = proc::parent(me).unwrap_or(me);
        let name = format!("{CGROUPS}{warden}");
        let cgroups = groups_named(&name, |own| own.trim_end_matches("/_test").to_owned());
        Self {
            place: place.to_owned(),
            cgroups,
            outside: BTreeSet::new(),
            new_parents: Vec::new(),
            warden,
            body: Some(me),
        }
    }

    /// The private directory.
    pub fn place(&self) -> &Path {
        &self.place
    }

    /// Everything that is left, in words.
    pub fn look_around(&self) -> Vec<String> {
        let mut found = self.processes();
        found.extend(
            self.mounts()
                .iter()
                .map(|mount| format!("mount {} at {} ({})", mount.root, mount.point, mount.kind)),
        );
        found.extend(self.groups().iter().map(|path| format!("cgroup {}", path.display())));
        found.extend(self.files().iter().map(|path| format!("file {}", path.display())));
        found
    }

    /// Waits until nothing is left, for as long as dying takes; returns what is left then.
    pub fn settle(&self) -> Vec<String> {
        let nothing = super::within(2, || self.look_around().is_empty().then(Vec::new));
        nothing.unwrap_or_else(|| self.look_around())
    }

    /// Descendants of the warden that live; for the warden itself, those that outlive the moment that dying takes.
    fn processes(&self) -> Vec<String> {
        if self.body.is_none() {
            let deadline = Instant::now() + Duration::from_millis(1000) * super::machine::slowness();
            while reap() && Instant::now() < deadline {
                std::thread::sleep(Duration::from_millis(2));
            }
        }
        let found = proc::descendants(self.warden).into_iter().filter(|pid| Some(*pid) != self.body);
        found.map(describe).collect()
    }

    fn mounts(&self) -> Vec<proc::Mount> {
        proc::mounts("self").into_iter().filter(|mount| mount.concerns(&self.place)).collect()
    }

    fn groups(&self) -> Vec<PathBuf> {
        let inside = self.cgroups.iter().flat_map(|top| {
            let kept = [top.clone(), top.join("_test")];
            cgroups::tree(top).into_iter().filter(move |path| !kept.contains(path) && !is_parent(path))
        });
        inside.collect()
    }

    /// cgroups that appeared outside of the corner: only of meaning when the test ran alone.
    pub fn groups_outside(&self) -> Vec<String> {
        outside().difference(&self.outside).map(|path| format!("cgroup {}", path.display())).collect()
    }

    fn files(&self) -> Vec<PathBuf> {
        let mut found = Vec::new();
        for root in ["root", "data"] {
            files_below(&self.place.join(root), &mut found);
        }
        // The directory of a container or a pod is the reservation of its name, even when it is empty.
        for list in ["root/containers", "root/pods", "data/pods"] {
            let entries = std::fs::read_dir(self.place.join(list)).into_iter().flatten().flatten();
            found.extend(entries.map(|entry| entry.path()).filter(|path| path.is_dir()));
        }
        found.retain(|path| !CACHES.iter().any(|cache| path.starts_with(self.place.join(cache))));
        found
    }

    /// Removes all that [`Corner::look_around`] found, and the corner itself.
    pub fn clear(&self) {
        kill_descendants();
        let mut mounts = self.mounts();
        mounts.reverse();
        for mount in mounts {
            if let Err(error) = umount2(mount.point.as_str(), MntFlags::MNT_DETACH) {
                eprintln!("cannot unmount {}: {error}", mount.point);
            }
        }
        if let Err(error) = cgroups::leave_private() {
            eprintln!("cannot leave the test's cgroups: {error}");
        }
        // A pod that a failed test has left has its pair's group elsewhere.
        let pairs = super::pods::pair_groups(&super::pods::uids(&self.place.join("root")));
        for top in self.cgroups.iter().filter(|top| top.is_dir()).chain(&pairs) {
            if let Err(error) = cgroups::tree(top).iter().try_for_each(|path| remove_group(path)) {
                eprintln!("cannot remove {}: {error}", top.display());
            }
        }
        for parent in &self.new_parents {
            // Somebody else's by now if it is not empty.
            drop(std::fs::remove_dir(parent));
        }
        if let Err(error) = std::fs::remove_dir_all(&self.place) {
            eprintln!("cannot remove {}: {error}", self.place.display());
        }
    }
}

fn is_parent(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    // A parent with children is named by its children, which are in the list themselves.
    PARENTS.contains(&name)
}

/// cgroups named podrun* in the usual places outside of all corners, except the parents that may stay.
fn outside() -> BTreeSet<PathBuf> {
    let tops = cgroups::hierarchies("self").into_iter().flat_map(|h| [h.directory("/"), h.directory(&h.own)]);
    tops.flat_map(|top| std::fs::read_dir(top).into_iter().flatten().flatten())
        .filter(|entry| {
            let name = entry.file_name();
            let name = name.to_string_lossy();
            name.starts_with("podrun") && !name.starts_with(CGROUPS)
        })
        .flat_map(|entry| cgroups::tree(&entry.path()))
        .filter(|path| path.is_dir() && !is_parent(path))
        .collect()
}

/// Inner ones first.
fn usual_parents() -> Vec<PathBuf> {
    let all = cgroups::hierarchies("self");
    all.iter().flat_map(|h| ["/podrun/_supervisor", "/podrun"].map(|path| h.directory(path))).collect()
}

fn remove_group(path: &Path) -> std::io::Result<()> {
    // A killed process leaves its group a moment after it was reaped.
    let deadline = Instant::now() + Duration::from_secs(2);
    loop {
        match std::fs::remove_dir(path) {
            Err(error) if error.raw_os_error() == Some(libc::EBUSY) && Instant::now() < deadline => {
                std::thread::sleep(Duration::from_millis(2));
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            other => return other,
        }
    }
}

/// Everything below `directory` that is not a directory.
fn files_below(directory: &Path, found: &mut Vec<PathBuf>) {
    let Ok(entries) = std::fs::read_dir(directory) else { return };
    for entry in entries.flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            files_below(&entry.path(), found);
        } else {
            found.push(entry.path());
        }
    }
}

/// The top cgroups of a warden's corner, as its runner sees them.
pub fn corner_groups(warden: u32) -> Vec<PathBuf> {
    let name = format!("{CGROUPS}{warden}");
    groups_named(&name, |own| format!("{own}/{name}"))
}

/// Below each process's own group, where containers go by default, and below the root, where pods are sent.
fn groups_named(name: &str, below_own: impl Fn(&str) -> String) -> Vec<PathBuf> {
    let groups = cgroups::hierarchies("self");
    let mut found: Vec<PathBuf> =
        groups.iter().flat_map(|h| [h.directory(&below_own(&h.own)), h.directory(name)]).collect();
    found.sort();
    found.dedup();
    found
}

fn own_pid() -> i32 {
    i32::try_from(std::process::id()).unwrap_or(i32::MAX)
}

fn describe(pid: i32) -> String {
    let name = proc::status_field(pid, "Name").unwrap_or_default();
    format!("process {pid} ({name}, state {}): {}", proc::state(pid).unwrap_or('?'), proc::command_line(pid))
}

/// Prints all processes below this one on stderr.
pub fn describe_processes(title: &str) {
    let all: Vec<String> = proc::descendants(own_pid()).into_iter().map(describe).collect();
    eprintln!("{title}:\n  {}", all.join("\n  "));
}

/// Reaps the dead; whether children remain.
fn reap() -> bool {
    loop {
        match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::StillAlive) => return true,
            Ok(_) => {}
            Err(_) => return false,
        }
    }
}

fn kill_descendants() {
    let deadline = Instant::now() + Duration::from_secs(10);
    while reap() && Instant::now() < deadline {
        for pid in proc::descendants(own_pid()) {
            // It may have gone since; that is what is wanted.
            kill(Pid::from_raw(pid), Signal::SIGKILL).ok();
        }
        thaw();
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// A frozen process does not die of SIGKILL on cgroup v1.
fn thaw() {
    for hierarchy in
        cgroups::hierarchies("self").iter().filter(|h| h.controllers.iter().any(|c| c == "freezer"))
    {
        for group in cgroups::tree(&hierarchy.directory(&hierarchy.own)) {
            drop(std::fs::write(group.join("freezer.state"), "THAWED"));
        }
    }
}
