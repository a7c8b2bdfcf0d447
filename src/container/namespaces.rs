//! Which namespaces a container makes, joins, or shares with the host.

use crate::error::{Context, Error, Kind, Result};
use crate::sys::{fs, ns};
use oci_spec::runtime::{LinuxNamespace, LinuxNamespaceType};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

/// Namespaces, decided.
#[derive(Debug, Default)]
pub struct Namespaces {
    /// `CLONE_NEW*` flags for clone3; the cgroup namespace is not among them, see `new_cgroup`.
    pub clone_flags: libc::c_int,
    /// Namespaces that init joins, each with its flag.
    pub join: Vec<(OwnedFd, libc::c_int)>,
    /// A PID namespace to join: the command does, because only children are put there.
    pub join_pid: Option<(OwnedFd, libc::c_int)>,
    /// A cgroup namespace of its own, made by init once it is in its group.
    pub new_cgroup: bool,
}

/// The flag, name and type of each namespace that podrun handles.
const KNOWN: &[(LinuxNamespaceType, libc::c_int, &str)] = &[
    (LinuxNamespaceType::Mount, libc::CLONE_NEWNS, "mount"),
    (LinuxNamespaceType::Network, libc::CLONE_NEWNET, "network"),
    (LinuxNamespaceType::Ipc, libc::CLONE_NEWIPC, "ipc"),
    (LinuxNamespaceType::Uts, libc::CLONE_NEWUTS, "uts"),
    (LinuxNamespaceType::Pid, libc::CLONE_NEWPID, "pid"),
    (LinuxNamespaceType::Cgroup, libc::CLONE_NEWCGROUP, "cgroup"),
];

/// The names of the namespaces in a set of flags, for messages.
pub fn names(flags: libc::c_int) -> String {
    let names: Vec<_> =
        KNOWN.iter().filter(|(_, flag, _)| flags & flag != 0).map(|(_, _, name)| *name).collect();
    format!("namespaces {}", names.join(", "))
}

/// The flag of a namespace type, where podrun handles it.
pub fn flag(kind: LinuxNamespaceType) -> Option<libc::c_int> {
    KNOWN.iter().find(|(known, _, _)| *known == kind).map(|(_, flag, _)| *flag)
}

impl Namespaces {
    /// Decides for the entries of `linux.namespaces`, opening those given by path.
    ///
    /// # Errors
    /// When a path is missing or is no namespace of its type.
    pub fn plan(entries: &[LinuxNamespace]) -> Result<Self> {
        let mut plan = Self::default();
        for (index, entry) in entries.iter().enumerate() {
            let field = || format!("linux.namespaces[{index}] ({})", entry.typ());
            let Some(flag) = flag(entry.typ()) else {
                return Err(Error::user("is not supported")).context(field);
            };
            match entry.path().as_deref().filter(|path| !path.as_os_str().is_empty()) {
                None if flag == libc::CLONE_NEWCGROUP => plan.new_cgroup = true,
                None => plan.clone_flags |= flag,
                Some(path) => {
                    let fd = open(path, flag).context(field)?;
                    if flag == libc::CLONE_NEWPID {
                        plan.join_pid = Some((fd, flag));
                    } else {
                        plan.join.push((fd, flag));
                    }
                }
            }
        }
        Ok(plan)
    }

    /// Whether the container has a namespace of this type that is not the host's.
    pub fn has_own(&self, flag: libc::c_int) -> bool {
        self.clone_flags & flag != 0
            || self.join.iter().chain(&self.join_pid).any(|(_, joined)| joined & flag != 0)
            || flag == libc::CLONE_NEWCGROUP && self.new_cgroup
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

/// Runs `clone` so that its child is made in the PID namespace `join`, then returns to our own: setns(2) with a PID
/// namespace concerns children only.
///
/// # Errors
/// Those of `clone` and of the joining.
pub fn inside<T>(join: Option<(OwnedFd, libc::c_int)>, clone: impl FnOnce() -> Result<T>) -> Result<T> {
    let Some((theirs, flag)) = join else { return clone() };
    let own = fs::open_existing(Path::new("/proc/self/ns/pid"), libc::O_RDONLY)
        .context(|| "cannot open our own PID namespace")?;
    ns::setns(theirs.as_fd(), flag).context(|| format!("cannot join {}", names(flag)))?;
    let cloned = clone();
    ns::setns(own.as_fd(), flag).context(|| "cannot return to our own PID namespace")?;
    cloned
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
