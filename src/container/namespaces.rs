//! Which namespaces a container makes, joins, or shares with the host.

use crate::error::{Context, Error, Kind, Result};
use crate::sys::{fs, ns, process};
use oci_spec::runtime::{Linux, LinuxNamespace, LinuxNamespaceType, LinuxTimeOffset};
use std::collections::HashMap;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

/// Namespaces, decided.
#[derive(Debug, Default)]
pub struct Namespaces {
    /// `CLONE_NEW*` flags for clone3; see also `late`.
    pub clone_flags: libc::c_int,
    /// Namespaces that init joins, each with its flag.
    pub join: Vec<(OwnedFd, libc::c_int)>,
    /// A PID namespace to join: the command does, because only children are put there.
    pub join_pid: Option<(OwnedFd, libc::c_int)>,
    /// A user namespace to join: podrun:join does, before it clones init, so that what is new is that namespace's.
    pub join_user: Option<OwnedFd>,
    /// `CLONE_NEW*` flags of those that init makes itself: of the cgroup namespace the root is the group that it is made
    /// in, and of an IPC namespace the file system of queues belongs to who makes it, in a user namespace its root.
    pub late: libc::c_int,
    /// The time namespace, where clone3 cannot make it.
    pub time: Option<Time>,
}

/// A time namespace that a process enters for the sake of its children, time_namespaces(7).
#[derive(Debug)]
pub enum Time {
    /// A new one with these offsets, as /proc/PID/timens_offsets has them: they can be set until the first process is in
    /// it, so clone3 would be too late.
    Offsets(String),
    /// One to join.
    Join(OwnedFd),
}

impl Time {
    fn enter(&self) -> Result<()> {
        match self {
            Self::Join(fd) => ns::setns(fd.as_fd(), libc::CLONE_NEWTIME)
                .context(|| format!("cannot join {}", names(libc::CLONE_NEWTIME))),
            Self::Offsets(text) => {
                ns::unshare(libc::CLONE_NEWTIME).context(|| "cannot make a time namespace")?;
                fs::write_existing(Path::new("/proc/self/timens_offsets"), text)
                    .context_as(Kind::User, || "cannot set linux.timeOffsets")
                    .map_err(|error| match error.errno() {
                        Some(libc::ERANGE) => error.hint(
                            "with its offset, a clock must not be negative, nor show more than 146 years",
                        ),
                        _ => error,
                    })
            }
        }
    }
}

/// The flag, name and type of each namespace that podrun handles.
const KNOWN: &[(LinuxNamespaceType, libc::c_int, &str)] = &[
    (LinuxNamespaceType::Mount, libc::CLONE_NEWNS, "mount"),
    (LinuxNamespaceType::Network, libc::CLONE_NEWNET, "network"),
    (LinuxNamespaceType::Ipc, libc::CLONE_NEWIPC, "ipc"),
    (LinuxNamespaceType::Uts, libc::CLONE_NEWUTS, "uts"),
    (LinuxNamespaceType::Pid, libc::CLONE_NEWPID, "pid"),
    (LinuxNamespaceType::Cgroup, libc::CLONE_NEWCGROUP, "cgroup"),
    (LinuxNamespaceType::User, libc::CLONE_NEWUSER, "user"),
    (LinuxNamespaceType::Time, libc::CLONE_NEWTIME, "time"),
];

/// The names of the namespaces in a set of flags, for messages.
pub fn names(flags: libc::c_int) -> String {
    let names: Vec<_> =
        KNOWN.iter().filter(|(_, flag, _)| flags & flag != 0).map(|(_, _, name)| *name).collect();
    format!("namespaces {}", names.join(", "))
}

/// The path of a namespace to join. An empty one is none: programs that fill in a struct leave one.
pub fn path_of(namespace: &LinuxNamespace) -> Option<&Path> {
    namespace.path().as_deref().filter(|path| !path.as_os_str().is_empty())
}

/// The flag of a namespace type, where podrun handles it.
pub fn flag(kind: LinuxNamespaceType) -> Option<libc::c_int> {
    KNOWN.iter().find(|(known, _, _)| *known == kind).map(|(_, flag, _)| *flag)
}

impl Namespaces {
    /// Decides for the entries of `linux.namespaces`, opening those given by path, and for `linux.timeOffsets`.
    ///
    /// # Errors
    /// When a path is missing or is no namespace of its type, and for offsets that cannot be.
    pub fn plan(linux: &Linux) -> Result<Self> {
        let mut plan = Self::default();
        for (index, entry) in linux.namespaces().iter().flatten().enumerate() {
            let field = || format!("linux.namespaces[{index}] ({})", entry.typ());
            let Some(flag) = flag(entry.typ()) else {
                return Err(Error::user("is not supported")).context(field);
            };
            match path_of(entry) {
                None if flag == libc::CLONE_NEWCGROUP => plan.late |= flag,
                None => plan.clone_flags |= flag,
                Some(path) => {
                    let fd = open(path, flag).context(field)?;
                    match flag {
                        libc::CLONE_NEWPID => plan.join_pid = Some((fd, flag)),
                        // Our own cannot be joined again, setns(2).
                        libc::CLONE_NEWUSER if is_own(&fd, "user").context(field)? => {}
                        libc::CLONE_NEWUSER => plan.join_user = Some(fd),
                        libc::CLONE_NEWTIME => plan.time = Some(Time::Join(fd)),
                        // Nor need this one be joined, and its root is not the container's to replace.
                        libc::CLONE_NEWNS if is_own(&fd, "mnt").context(field)? => {}
                        // Where nobody may look at PID 1, this one was not opened by its path either.
                        libc::CLONE_NEWNS if is_of(&fd, "1", "mnt").unwrap_or(false) => {
                            return Err(Error::user(
                                "is that of PID 1, whose root the container's would replace",
                            )
                            .hint("leave the path out, or the mount namespace"))
                            .context(field);
                        }
                        _ => plan.join.push((fd, flag)),
                    }
                }
            }
        }
        if let Some(offsets) = linux.time_offsets() {
            plan.plan_offsets(offsets)?;
        }
        if plan.has_own(libc::CLONE_NEWUSER) {
            plan.late |= plan.clone_flags & libc::CLONE_NEWIPC;
            plan.clone_flags &= !libc::CLONE_NEWIPC;
        }
        Ok(plan)
    }

    fn plan_offsets(&mut self, offsets: &HashMap<String, LinuxTimeOffset>) -> Result<()> {
        const NANOSECONDS: u32 = 1_000_000_000;
        if offsets.is_empty() {
            return Ok(());
        }
        if self.clone_flags & libc::CLONE_NEWTIME == 0 {
            return Err(Error::user("linux.timeOffsets: there is no new time namespace to set them in")
                .hint("add {\"type\": \"time\"}, without a path, to linux.namespaces"));
        }
        let mut lines = Vec::new();
        for (clock, offset) in offsets {
            if !["monotonic", "boottime"].contains(&clock.as_str()) {
                return Err(Error::user(format!("linux.timeOffsets: {clock:?} is no clock with an offset"))
                    .hint("there are monotonic and boottime"));
            }
            let nanoseconds = offset.nanosecs().unwrap_or(0);
            if nanoseconds >= NANOSECONDS {
                return Err(Error::user(format!(
                    "linux.timeOffsets.{clock}.nanosecs: {nanoseconds} is a second or more"
                )));
            }
            lines.push(format!("{clock} {} {nanoseconds}\n", offset.secs().unwrap_or(0)));
        }
        self.clone_flags &= !libc::CLONE_NEWTIME;
        self.time = Some(Time::Offsets(lines.concat()));
        Ok(())
    }

    /// What a process must enter before it clones init, since it concerns children.
    pub fn take_outside(&mut self) -> Outside {
        Outside { pid: self.join_pid.take(), time: self.time.take() }
    }

    /// Whether clone3 makes everything that is not the host's.
    pub fn are_all_new(&self) -> bool {
        self.join.is_empty() && self.join_pid.is_none() && self.join_user.is_none() && self.time.is_none()
    }

    /// Whether the container has a namespace of this type that is not the host's.
    pub fn has_own(&self, flag: libc::c_int) -> bool {
        self.clone_flags & flag != 0
            || self.join.iter().chain(&self.join_pid).any(|(_, joined)| joined & flag != 0)
            || self.late & flag != 0
            || flag == libc::CLONE_NEWUSER && self.join_user.is_some()
            || flag == libc::CLONE_NEWTIME && self.time.is_some()
    }

    /// Joins, in a process that will clone init, what is to be joined. The user namespace comes last: it may have no
    /// rights over the others.
    ///
    /// # Errors
    /// Names the namespace.
    pub fn join(&self) -> Result<()> {
        for (fd, flag) in self.join.iter().chain(&self.join_pid) {
            ns::setns(fd.as_fd(), *flag).context(|| format!("cannot join {}", names(*flag)))?;
        }
        self.time.as_ref().map_or(Ok(()), Time::enter)?;
        let Some(user) = &self.join_user else { return Ok(()) };
        // Whoever made it may have denied setgroups(2) in it for ever, and ours must not be the container's.
        process::set_groups(&[]).context(|| "cannot drop the supplementary groups")?;
        ns::setns(user.as_fd(), libc::CLONE_NEWUSER)
            .context(|| format!("cannot join {}", names(libc::CLONE_NEWUSER)))
    }
}

/// Opens a namespace file and makes sure that it is one, of the right type.
fn open(path: &Path, flag: libc::c_int) -> Result<OwnedFd> {
    let fd = fs::open_existing(path, libc::O_RDONLY | libc::O_NONBLOCK | libc::O_NOCTTY)
        .context_as(Kind::User, || format!("path {path:?}"))?;
    let hint = "give a file such as /proc/PID/ns/net, or one that such a file is bound to";
    match ns::ns_type(fd.as_fd()) {
        Ok(found) if found == flag => Ok(fd),
        Ok(found) => {
            Err(Error::user(format!("path {path:?} is of another type: {}", names(found))).hint(hint))
        }
        Err(_) => Err(Error::user(format!("path {path:?} is not a namespace")).hint(hint)),
    }
}

/// Whether a namespace file is of the namespace that we are in.
fn is_own(fd: &OwnedFd, name: &str) -> Result<bool> {
    is_of(fd, "self", name)
}

fn is_of(fd: &OwnedFd, process: &str, name: &str) -> Result<bool> {
    let path = format!("/proc/{process}/ns/{name}");
    let own = nix::sys::stat::stat(path.as_str()).context(|| format!("cannot stat {path}"))?;
    let theirs = nix::sys::stat::fstat(fd).context(|| "cannot stat it")?;
    Ok((own.st_dev, own.st_ino) == (theirs.st_dev, theirs.st_ino))
}

/// Namespaces that a process enters for the sake of its children, and leaves again.
#[derive(Debug, Default)]
pub struct Outside {
    pid: Option<(OwnedFd, libc::c_int)>,
    time: Option<Time>,
}

impl Outside {
    /// Runs `clone` so that its child is made in these namespaces, then returns to our own.
    ///
    /// # Errors
    /// Those of `clone`, of the joining and of the return.
    pub fn around<T>(self, clone: impl FnOnce() -> Result<T>) -> Result<T> {
        let own = |name: &str| {
            let path = format!("/proc/self/ns/{name}");
            fs::open_existing(Path::new(&path), libc::O_RDONLY).context(|| format!("cannot open {path}"))
        };
        let pid = self.pid.as_ref().map(|_| own("pid")).transpose()?;
        let time = self.time.as_ref().map(|_| own("time")).transpose()?;
        let joined = self.pid.as_ref().map_or(Ok(()), |(theirs, flag)| {
            ns::setns(theirs.as_fd(), *flag).context(|| format!("cannot join {}", names(*flag)))
        });
        let cloned =
            joined.and_then(|()| self.time.as_ref().map_or(Ok(()), Time::enter)).and_then(|()| clone());
        for (own, flag) in [(pid, libc::CLONE_NEWPID), (time, libc::CLONE_NEWTIME)] {
            let Some(own) = own else { continue };
            ns::setns(own.as_fd(), flag).context(|| format!("cannot return to our own {}", names(flag)))?;
        }
        cloned
    }
}

/// The path below /proc/sys of a sysctl that belongs to one of the container's own namespaces.
///
/// # Errors
/// For one that would change the host, or is not known to belong to a namespace.
pub fn sysctl_path(name: &str, own: &Namespaces) -> Result<String> {
    const IPC: &[&str] = &[
        "kernel/msgmax",
        "kernel/msgmnb",
        "kernel/msgmni",
        "kernel/sem",
        "kernel/shmall",
        "kernel/shmmax",
        "kernel/shmmni",
        "kernel/shm_rmid_forced",
        "kernel/msg_next_id",
        "kernel/sem_next_id",
        "kernel/shm_next_id",
        "kernel/auto_msgmni",
    ];
    // Both spellings are in use; in the one with dots, a slash stands for a dot of an interface's name (sysctl(8)).
    let dots_first = name.find(['.', '/']).is_some_and(|at| name.as_bytes()[at] == b'.');
    let path: String = if dots_first {
        name.chars()
            .map(|c| match c {
                '.' => '/',
                '/' => '.',
                c => c,
            })
            .collect()
    } else {
        name.to_owned()
    };
    if path.split('/').any(|part| part.is_empty() || part == "." || part == "..") {
        return Err(Error::user(format!("linux.sysctl: {name:?} is not a sysctl's name")));
    }
    let needed = if path.starts_with("net/") {
        (libc::CLONE_NEWNET, "network")
    } else if path.starts_with("user/") {
        (libc::CLONE_NEWUSER, "user")
    } else if path.starts_with("fs/mqueue/") || IPC.contains(&path.as_str()) {
        (libc::CLONE_NEWIPC, "ipc")
    } else if path == "kernel/domainname" {
        (libc::CLONE_NEWUTS, "uts")
    } else if path == "kernel/hostname" {
        return Err(Error::user("linux.sysctl: \"kernel.hostname\" is set by the property hostname"));
    } else {
        return Err(Error::user(format!("linux.sysctl: {name:?} is not a sysctl of a namespace"))
            .hint("it would change the whole host; set it there"));
    };
    if own.has_own(needed.0) {
        return Ok(path);
    }
    Err(Error::user(format!(
        "linux.sysctl: {name:?} would change the host: the container shares its {} namespace",
        needed.1
    ))
    .hint(format!("add {{\"type\": {:?}}} to linux.namespaces", needed.1)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sysctls_of_namespaces_only() {
        let own =
            Namespaces { clone_flags: libc::CLONE_NEWNET | libc::CLONE_NEWIPC, ..Namespaces::default() };
        assert_eq!(sysctl_path("net.ipv4.ip_forward", &own).unwrap(), "net/ipv4/ip_forward");
        assert_eq!(
            sysctl_path("net.ipv4.conf.eth0/1.forwarding", &own).unwrap(),
            "net/ipv4/conf/eth0.1/forwarding"
        );
        assert_eq!(sysctl_path("kernel/shmmax", &own).unwrap(), "kernel/shmmax");
        for bad in ["kernel.panic", "net/../kernel/panic", "kernel.domainname", "kernel.hostname", "", "net."]
        {
            assert!(sysctl_path(bad, &own).is_err(), "{bad}");
        }
        assert!(sysctl_path("net.ipv4.ip_forward", &Namespaces::default()).is_err());
    }

    #[test]
    fn a_path_must_be_a_namespace_of_its_type() {
        assert!(open(Path::new("/proc/self/ns/net"), libc::CLONE_NEWNET).is_ok());
        let other = open(Path::new("/proc/self/ns/net"), libc::CLONE_NEWIPC).unwrap_err().to_string();
        assert!(other.contains("of another type"), "{other}");
        let none = open(Path::new("/proc/self/status"), libc::CLONE_NEWNET).unwrap_err().to_string();
        assert!(none.contains("is not a namespace"), "{none}");
    }
}
