//! What `pod create` may be asked for, and what must hold of it before anything is made.

use crate::error::{Context, Error, Result};
use crate::model::ids::{PodName, PodNamespace};
use crate::model::podspec::PodSpec;
use crate::model::volume::VolumeSpec;
use crate::pod::record::PodKind;
use crate::pod::volumes;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use std::str::FromStr;

/// The pod's network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Network {
    /// A network namespace of its own with nothing but loopback.
    None,
    /// The host's.
    Host,
}

impl FromStr for Network {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self> {
        match text {
            "none" => Ok(Self::None),
            "host" => Ok(Self::Host),
            _ => Err(Error::user(format!("unsupported network {text:?}")).hint("use none or host")),
        }
    }
}

/// A pod's sandbox to be made.
#[derive(Debug, Clone)]
pub struct CreateRequest {
    /// Its name.
    pub name: PodName,
    /// Its namespace.
    pub namespace: PodNamespace,
    /// Its hostname; the name, cut to what a hostname may have, where there is none.
    pub hostname: Option<String>,
    /// Its network.
    pub network: Network,
    /// Its volumes.
    pub volumes: Vec<VolumeSpec>,
    /// Whether its containers share one PID namespace, in which pause is the first process.
    pub share_pid: bool,
    /// Kernel parameters of its namespaces, by name.
    pub sysctls: Vec<(String, String)>,
    /// Absolute cgroup path that the pod's cgroup goes below; `/podrun` where there is none.
    pub cgroup_parent: Option<String>,
    /// Most memory of all its processes, in bytes.
    pub memory_bytes: Option<u64>,
    /// Most processor time of all its processes, in thousandths of a CPU.
    pub cpu_millis: Option<u64>,
    /// Its share of processor time when all want some, in units of v1 (2 to 262144); the kernel's default is 1024.
    pub cpu_shares: Option<u64>,
    /// Most processes.
    pub pids: Option<u64>,
}

impl CreateRequest {
    /// The sandbox that a manifest asks for, with the limits that the kubelet gives a pod's cgroup: memory and CPU are
    /// limited where every container's are, by what may run at one time, and the share of processor time is that of
    /// all requests.
    pub fn of_spec(spec: &PodSpec) -> Self {
        let declared = |amount: Option<u64>| amount.filter(|amount| *amount > 0);
        let requested = spec.most_at_once(|wanted| Some(wanted.requests.cpu_millis.unwrap_or(0)));
        Self {
            name: spec.name.clone(),
            namespace: spec.namespace.clone(),
            // On the host's network a pod has the host's name, whatever it asks for.
            hostname: if spec.host_network { own_hostname() } else { spec.hostname.clone() },
            network: if spec.host_network { Network::Host } else { Network::None },
            volumes: spec.volumes.clone(),
            share_pid: spec.share_process_namespace,
            sysctls: Vec::new(),
            cgroup_parent: Some(spec.qos_class().cgroup_parent().to_owned()),
            memory_bytes: spec.most_at_once(|wanted| declared(wanted.limits.memory_bytes)),
            cpu_millis: spec.most_at_once(|wanted| declared(wanted.limits.cpu_millis)),
            cpu_shares: Some(shares(requested.unwrap_or(0))),
            pids: None,
        }
    }
}

impl CreateRequest {
    /// The limits of both pods, the larger of each.
    #[must_use]
    pub fn loosest(&self, other: &Self) -> Self {
        let larger = |one: Option<u64>, other: Option<u64>| one.zip(other).map(|(one, other)| one.max(other));
        Self {
            memory_bytes: larger(self.memory_bytes, other.memory_bytes),
            cpu_millis: larger(self.cpu_millis, other.cpu_millis),
            cpu_shares: larger(self.cpu_shares, other.cpu_shares),
            ..self.clone()
        }
    }
}

/// 1024 for one CPU, as the kubelet converts, within what the kernel takes.
fn shares(cpu_millis: u64) -> u64 {
    (cpu_millis.saturating_mul(1024) / 1000).clamp(2, 1 << 18)
}

/// The host's name, if a pod can have it.
fn own_hostname() -> Option<String> {
    let name = nix::unistd::gethostname().ok()?.into_string().ok()?;
    check_hostname(&name).ok()
}

/// What of a request is settled by looking at it.
#[derive(Debug)]
pub(super) struct Checked {
    /// The hostname.
    pub(super) hostname: String,
    /// Files below /proc/sys and what is written into them.
    pub(super) sysctls: Vec<(PathBuf, String)>,
    /// The absolute path of the cgroup that the pod's goes below.
    pub(super) cgroup_parent: String,
}

/// Checks everything of a request that can be checked without making anything.
pub(super) fn check(request: &CreateRequest, kind: PodKind) -> Result<Checked> {
    let hostname = match &request.hostname {
        Some(hostname) => check_hostname(hostname)?,
        None => hostname_of(&request.name),
    };
    check_name_length(request, kind)?;
    check_limits(request)?;
    volumes::check(&request.volumes, kind)?;
    Ok(Checked {
        hostname,
        sysctls: sysctls(&request.sysctls, request.network)?,
        cgroup_parent: cgroup_parent(request.cgroup_parent.as_deref())?,
    })
}

/// Namespace and name together are a file's name, `NAMESPACE_NAME`, and with the uid that of a directory of logs.
fn check_name_length(request: &CreateRequest, kind: PodKind) -> Result<()> {
    let longest = match kind {
        PodKind::Bare => 255 - "_".len(),
        PodKind::Manifest => 255 - "__01234567-89ab-4def-8123-456789abcdef".len(),
    };
    let length = request.namespace.as_str().len() + request.name.as_str().len();
    if length <= longest {
        return Ok(());
    }
    Err(Error::user(format!("namespace and name together have {length} characters, more than {longest}"))
        .hint("choose a shorter name"))
}

fn check_limits(request: &CreateRequest) -> Result<()> {
    for (what, value) in
        [("memory", request.memory_bytes), ("CPU", request.cpu_millis), ("process", request.pids)]
    {
        if value == Some(0) {
            return Err(Error::user(format!("the pod's {what} limit must be above 0")));
        }
    }
    Ok(())
}

/// Longest hostname that the kernel takes, sethostname(2).
const LONGEST_HOSTNAME: usize = 64;

fn check_hostname(name: &str) -> Result<String> {
    let good = !name.is_empty()
        && name.len() <= LONGEST_HOSTNAME
        && name.split('.').all(|label| {
            let inner = |c: char| c.is_ascii_alphanumeric() || c == '-';
            !label.is_empty() && label.chars().all(inner) && !label.starts_with('-') && !label.ends_with('-')
        });
    if good {
        return Ok(name.to_owned());
    }
    Err(Error::user(format!("invalid hostname {name:?}")).hint(format!(
        "use at most {LONGEST_HOSTNAME} letters, digits, - and ., beginning and ending with a letter or digit"
    )))
}

/// A pod's name may be longer than a hostname: cut as the kubelet cuts, to 63 characters that do not end in - or `.`.
fn hostname_of(name: &PodName) -> String {
    const LONGEST: usize = 63;
    let cut: String = name.as_str().chars().take(LONGEST).collect();
    cut.trim_end_matches(['-', '.']).to_owned()
}

fn cgroup_parent(parent: Option<&str>) -> Result<String> {
    const DEFAULT: &str = "/podrun";
    let parent = parent.unwrap_or(DEFAULT);
    if !parent.starts_with('/') {
        return Err(Error::user(format!("cgroup parent {parent:?} is not absolute")).hint("begin it with /"));
    }
    if parent.split('/').any(|name| name == "..") || parent.contains('\0') {
        return Err(Error::user(format!("cgroup parent {parent:?} must not contain \"..\" or a NUL byte")));
    }
    Ok(parent.trim_end_matches('/').to_owned())
}

/// Turns names into paths below /proc/sys and refuses what does not belong to the pod's own namespaces.
fn sysctls(pairs: &[(String, String)], network: Network) -> Result<Vec<(PathBuf, String)>> {
    let mut files: Vec<(PathBuf, String)> = Vec::with_capacity(pairs.len());
    for (name, value) in pairs {
        let path = sysctl_path(name, network).context(|| format!("cannot set sysctl {name:?}"))?;
        if files.iter().any(|(other, _)| *other == path) {
            return Err(Error::user(format!("sysctl {name:?} is given twice")));
        }
        files.push((path, value.clone()));
    }
    Ok(files)
}

/// The separator is the first of `.` and `/` in the name, sysctl.d(5): `net/ipv4/conf/eth0.1/rp_filter` has a dot in
/// an interface's name.
fn sysctl_path(name: &str, network: Network) -> Result<PathBuf> {
    let slashes = name.find(['.', '/']).is_some_and(|place| name[place..].starts_with('/'));
    let parts: Vec<String> = if slashes {
        name.split('/').map(ToOwned::to_owned).collect()
    } else {
        name.split('.').map(|part| part.replace('/', ".")).collect()
    };
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-.@:".contains(c);
    let good = |part: &String| !part.is_empty() && part.chars().all(plain) && part != "." && part != "..";
    if parts.len() < 2 || !parts.iter().all(good) {
        return Err(
            Error::user("it is no name of a kernel parameter").hint("write it like net.core.somaxconn")
        );
    }
    let words: Vec<&str> = parts.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["kernel", "sem"] | ["fs", "mqueue", _] => {}
        ["kernel", last] if last.starts_with("shm") || last.starts_with("msg") => {}
        ["net", ..] if network == Network::Host => {
            return Err(Error::user("the pod's network is the host's")
                .hint("leave it out, or give the pod a network of its own"));
        }
        ["net", ..] => {}
        _ => {
            return Err(Error::user("it is the whole host's, not a namespace's")
                .hint("kernel.shm*, kernel.msg*, kernel.sem, fs.mqueue.* and net.* can be set for a pod"));
        }
    }
    Ok(std::iter::once("/proc/sys").chain(words).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::podspec::SecurityContext;

    #[test]
    fn sysctls_of_the_pods_namespaces_alone() {
        for (name, path) in [
            ("kernel.shmmax", "/proc/sys/kernel/shmmax"),
            ("kernel.shm_rmid_forced", "/proc/sys/kernel/shm_rmid_forced"),
            ("kernel/msgmax", "/proc/sys/kernel/msgmax"),
            ("kernel.sem", "/proc/sys/kernel/sem"),
            ("fs.mqueue.msg_max", "/proc/sys/fs/mqueue/msg_max"),
            ("net.core.somaxconn", "/proc/sys/net/core/somaxconn"),
            ("net/ipv4/conf/eth0.1/rp_filter", "/proc/sys/net/ipv4/conf/eth0.1/rp_filter"),
            ("net.ipv4.conf.eth0/1.rp_filter", "/proc/sys/net/ipv4/conf/eth0.1/rp_filter"),
        ] {
            assert_eq!(sysctl_path(name, Network::None).unwrap(), PathBuf::from(path), "{name}");
        }
        for bad in [
            "",
            "kernel",
            "kernel.panic",
            "kernel.semaphore",
            "kernel.shm/../panic",
            "kernel.shm.x",
            "fs.file-max",
            "fs.mqueue",
            "vm.swappiness",
            "net..x",
            "net/../kernel/panic",
            "net.ipv4.conf./.x",
            "/net/core/x",
            "user.max_net_namespaces",
        ] {
            assert!(sysctl_path(bad, Network::None).is_err(), "{bad}");
        }
        assert!(sysctl_path("net.core.somaxconn", Network::Host).is_err());
        assert!(sysctl_path("kernel.shmmax", Network::Host).is_ok());
        let twice = [("kernel.sem".to_owned(), "1".to_owned()), ("kernel/sem".to_owned(), "2".to_owned())];
        assert!(sysctls(&twice, Network::None).unwrap_err().to_string().contains("given twice"));
    }

    /// A manifest whose containers have these requests and limits, each `(cpu_millis, memory_bytes)`.
    fn spec(containers: &[[(Option<u64>, Option<u64>); 2]]) -> PodSpec {
        let list = |(cpu, memory)| serde_json::json!({"cpuMillis": cpu, "memoryBytes": memory});
        let container = |[requests, limits]: &[_; 2]| {
            serde_json::json!({
                "name": "web", "image": "web", "imagePullPolicy": null, "command": [], "args": [], "env": [],
                "workingDir": null, "resources": {"requests": list(*requests), "limits": list(*limits)},
                "ports": [], "volumeMounts": [], "tty": false, "stdin": false, "stdinOnce": false,
                "security": SecurityContext::default(),
            })
        };
        let containers: Vec<_> = containers.iter().map(container).collect();
        serde_json::from_value(serde_json::json!({
            "name": "shop", "namespace": "default", "labels": {}, "annotations": {}, "hostname": null,
            "hostNetwork": false, "shareProcessNamespace": true, "restartPolicy": "Always",
            "terminationGracePeriodSeconds": 30, "volumes": [], "containers": containers, "acceptedFields": [],
        }))
        .unwrap()
    }

    #[test]
    fn pods_are_limited_as_their_containers_together() {
        const NONE: (Option<u64>, Option<u64>) = (None, None);
        let of = |containers: &[_]| {
            let request = CreateRequest::of_spec(&spec(containers));
            let parent = request.cgroup_parent.unwrap();
            (parent, request.cpu_shares, request.cpu_millis, request.memory_bytes)
        };
        assert_eq!(of(&[[NONE, NONE]]), ("/podrun/besteffort".into(), Some(2), None, None));
        let all = (Some(500), Some(1 << 20));
        assert_eq!(of(&[[all, all], [all, all]]), ("/podrun".into(), Some(1024), Some(1000), Some(2 << 20)));
        // One container without a limit leaves the pod without.
        let cpu = (Some(250), None);
        assert_eq!(of(&[[all, all], [cpu, cpu]]), ("/podrun/burstable".into(), Some(768), Some(750), None));
        assert_eq!(of(&[[cpu, NONE]]), ("/podrun/burstable".into(), Some(256), None, None));
        // An init container runs beside the sidecars before it, and before everything else.
        let with = |inits: &[[(Option<u64>, Option<u64>); 2]], sidecars: &[usize]| {
            let mut pod = spec(&[[all, all]]);
            pod.init_containers = spec(inits).containers;
            for index in sidecars {
                pod.init_containers[*index].restart_policy =
                    Some(crate::model::podspec::RestartPolicy::Always);
            }
            CreateRequest::of_spec(&pod).cpu_millis
        };
        let large = (Some(2000), Some(1 << 20));
        assert_eq!(with(&[[all, all]], &[]), Some(500));
        assert_eq!(with(&[[large, large]], &[]), Some(2000));
        assert_eq!(with(&[[all, all], [large, large]], &[0]), Some(2500));
        assert_eq!(with(&[[all, all], [all, all]], &[0, 1]), Some(1500));
        // To the kubelet 0 is no limit.
        let zero = (Some(0), Some(0));
        assert_eq!(of(&[[zero, zero]]).2, None);
        assert_eq!((shares(0), shares(1), shares(u64::MAX)), (2, 2, 1 << 18));
        assert!(CreateRequest::of_spec(&spec(&[[NONE, NONE]])).share_pid);
    }

    #[test]
    fn names_are_parts_of_file_names() {
        let mut request = CreateRequest::of_spec(&spec(&[]));
        let mut refused = |length: usize, kind| {
            request.name = "x".repeat(length).parse().unwrap();
            check_name_length(&request, kind).is_err()
        };
        let namespace = "default".len();
        assert!(!refused(217 - namespace, PodKind::Manifest) && refused(218 - namespace, PodKind::Manifest));
        assert!(!refused(254 - namespace, PodKind::Bare) && !refused(247, PodKind::Bare));
    }

    #[test]
    fn hostnames() {
        for good in ["a", "Web-1", "a.b", &"x".repeat(64)] {
            assert!(check_hostname(good).is_ok(), "{good}");
        }
        for bad in ["", "-a", "a-", "a_b", "a..b", ".", "a b", &"x".repeat(65)] {
            assert!(check_hostname(bad).is_err(), "{bad}");
        }
        let long = format!("{}-{}", "x".repeat(62), "y".repeat(20));
        assert_eq!(hostname_of(&long.parse().unwrap()), "x".repeat(62));
    }

    #[test]
    fn cgroup_parents() {
        assert_eq!(cgroup_parent(None).unwrap(), "/podrun");
        assert_eq!(cgroup_parent(Some("/a/b/")).unwrap(), "/a/b");
        for bad in ["a", "", "/a/../b", "/..", "/a\0"] {
            assert!(cgroup_parent(Some(bad)).is_err(), "{bad}");
        }
    }
}
