//! From the runtime spec's `process` to what init needs to become it: the same for a container's first process and
//! for `exec`.

use super::attributes::Attributes;
use super::init::caps::{CapabilitySets, Held};
use super::mappings::Mappings;
use crate::error::{Context, Error, Result};
use crate::report;
use crate::seccomp::Filter;
use oci_spec::runtime::{PosixRlimitType, Process, User};
use std::collections::HashMap;
use std::ffi::CString;
use std::os::fd::{OwnedFd, RawFd};
use std::path::PathBuf;

/// A program to become, with all its attributes.
#[derive(Debug)]
pub struct ProcessPlan {
    /// Command and arguments; at least one.
    pub args: Vec<CString>,
    /// Where the program was found, when the command is a bare name; set by init.
    pub program: Option<CString>,
    /// `NAME=value` pairs.
    pub env: Vec<CString>,
    /// Absolute path inside the root.
    pub cwd: PathBuf,
    /// User id.
    pub uid: u32,
    /// Group id.
    pub gid: u32,
    /// Supplementary groups, exactly these.
    pub groups: Vec<u32>,
    /// File mode creation mask, where it is given.
    pub umask: Option<u32>,
    /// The five sets.
    pub capabilities: CapabilitySets,
    /// no_new_privs.
    pub no_new_privileges: bool,
    /// Compiled seccomp filter.
    pub seccomp: Option<Filter>,
    /// Resource limits.
    pub rlimits: Vec<Rlimit>,
    /// Badness for the OOM killer, -1000 to 1000.
    pub oom_score_adj: Option<i32>,
    /// Scheduling, memory policy, labels.
    pub attributes: Attributes,
    /// A terminal for the standard streams.
    pub terminal: Option<Terminal>,
    /// Standard streams in place of the inherited ones, where there is no terminal.
    pub stdio: Option<Stdio>,
    /// Name of a new session keyring.
    pub keyring: Option<CString>,
    /// Those of the caller's descriptors that the program keeps.
    pub preserved_fds: Vec<RawFd>,
    /// In a user namespace, the user and group who make the container's files.
    pub namespace_root: Option<(u32, u32)>,
}

/// What the program finds at 0, 1 and 2.
#[derive(Debug)]
pub struct Stdio {
    /// Descriptor 0.
    pub stdin: OwnedFd,
    /// Descriptor 1.
    pub stdout: OwnedFd,
    /// Descriptor 2.
    pub stderr: OwnedFd,
}

/// A terminal that init makes, and the socket that its master is sent to.
#[derive(Debug)]
pub struct Terminal {
    /// Connected socket of whoever shall have the master.
    pub socket: OwnedFd,
    /// Rows and columns. `None` is what the config says, and no size where that says nothing.
    pub size: Option<(u16, u16)>,
}

/// One resource limit, setrlimit(2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rlimit {
    /// Name, such as `RLIMIT_NOFILE`.
    pub name: String,
    /// Number of the resource.
    pub resource: u32,
    /// Soft limit; the maximum means unlimited.
    pub soft: u64,
    /// Hard limit.
    pub hard: u64,
}

impl ProcessPlan {
    /// The same for another command, without a terminal.
    ///
    /// # Errors
    /// When a word of it holds a NUL byte.
    pub fn for_command(&self, command: &[String], stdio: Stdio) -> Result<Self> {
        Ok(Self {
            args: c_strings("command", command)?,
            program: None,
            env: self.env.clone(),
            cwd: self.cwd.clone(),
            uid: self.uid,
            gid: self.gid,
            groups: self.groups.clone(),
            umask: self.umask,
            capabilities: self.capabilities.clone(),
            no_new_privileges: self.no_new_privileges,
            seccomp: self.seccomp.clone(),
            rlimits: self.rlimits.clone(),
            oom_score_adj: self.oom_score_adj,
            attributes: self.attributes.clone(),
            terminal: None,
            stdio: Some(stdio),
            keyring: self.keyring.clone(),
            preserved_fds: Vec::new(),
            namespace_root: self.namespace_root,
        })
    }

    /// Whether the seccomp filter is loaded before init has done its work, and so may get in its way.
    pub fn filters_init(&self) -> bool {
        self.seccomp.is_some() && !self.no_new_privileges || self.has_listener()
    }

    /// Whether the filter is loaded right before the program is executed, after all that init does.
    pub fn loads_filter_last(&self) -> bool {
        self.seccomp.is_some() && self.no_new_privileges && !self.has_listener()
    }

    /// Whether the filter has some system calls answered by an agent.
    pub fn has_listener(&self) -> bool {
        self.seccomp.as_ref().is_some_and(|filter| filter.listener.is_some())
    }
}

/// What does not come from the typed part of the runtime spec's `process`.
#[derive(Debug, Default)]
pub struct Surroundings {
    /// See [`ProcessPlan::attributes`].
    pub attributes: Attributes,
    /// Compiled seccomp filter.
    pub seccomp: Option<Filter>,
    /// See [`ProcessPlan::terminal`].
    pub terminal: Option<Terminal>,
    /// See [`ProcessPlan::stdio`].
    pub stdio: Option<Stdio>,
    /// See [`ProcessPlan::keyring`].
    pub keyring: Option<CString>,
    /// How many descriptors from 3 up the caller's socket activation handed over, sd_listen_fds(3).
    pub listen_fds: u32,
    /// How many of those that follow are to be kept as well, as far as they are open.
    pub preserve_fds: u32,
    /// Those of the container's user namespace, where it is not ours.
    pub mappings: Option<Mappings>,
}

fn c_strings(field: &str, texts: &[String]) -> Result<Vec<CString>> {
    let convert = |(index, text): (usize, &String)| {
        CString::new(text.as_str()).map_err(|_| Error::user(format!("{field}[{index}]: holds a NUL byte")))
    };
    texts.iter().enumerate().map(convert).collect()
}

/// Plans a process.
///
/// # Errors
/// Names the property that cannot be honoured.
pub fn plan(process: &Process, surroundings: Surroundings) -> Result<ProcessPlan> {
    let user = process.user();
    let groups = user.additional_gids().clone().unwrap_or_default();
    let mappings = &surroundings.mappings;
    mappings.as_ref().map_or(Ok(()), |mappings| mappings.check(user.uid(), user.gid(), &groups))?;
    let held = if mappings.is_some() { Held::All } else { Held::Ours };
    let size = process.console_size().map(|size| {
        let side = |value: u64| u16::try_from(value).unwrap_or(u16::MAX);
        (side(size.height()), side(size.width()))
    });
    let terminal = surroundings.terminal.map(|given| Terminal { size: given.size.or(size), ..given });
    let preserved_fds = preserved(surroundings.listen_fds, surroundings.preserve_fds)?;
    check_identity(user)?;
    if user.username().as_ref().is_some_and(|name| !name.is_empty()) {
        report::warn(&format!(
            "process.user.username is Windows' own and is ignored: the user is number {}",
            user.uid()
        ));
    }
    let env = process.env().as_deref().unwrap_or_default();
    if let Some(index) = env.iter().position(|pair| pair.find('=').is_none_or(|at| at == 0)) {
        return Err(Error::user(format!(
            "process.env[{index}]: {:?} is not of the form NAME=value",
            env[index]
        )));
    }
    let mut env = env.to_vec();
    if surroundings.listen_fds > 0 {
        env.extend([format!("LISTEN_FDS={}", surroundings.listen_fds), "LISTEN_PID=1".to_owned()]);
    }
    Ok(ProcessPlan {
        args: c_strings("process.args", process.args().as_deref().unwrap_or_default())?,
        program: None,
        env: c_strings("process.env", &last_of_each(&env))?,
        cwd: process.cwd().clone(),
        uid: user.uid(),
        gid: user.gid(),
        groups,
        umask: user.umask(),
        capabilities: CapabilitySets::plan(process.capabilities().as_ref(), held)?,
        no_new_privileges: process.no_new_privileges().unwrap_or(false),
        seccomp: surroundings.seccomp,
        rlimits: rlimits(process)?,
        oom_score_adj: oom_score_adj(process)?,
        attributes: surroundings.attributes,
        terminal,
        stdio: surroundings.stdio,
        keyring: surroundings.keyring,
        preserved_fds,
        namespace_root: surroundings.mappings.map(|mappings| mappings.root(user.uid(), user.gid())),
    })
}

/// Of several values of one variable the last one, at the place of the first: getenv(3) would take the first.
fn last_of_each(env: &[String]) -> Vec<String> {
    let name = |pair: &str| pair.split('=').next().unwrap_or_default().to_owned();
    let mut places: HashMap<String, usize> = HashMap::with_capacity(env.len());
    let mut kept: Vec<String> = Vec::with_capacity(env.len());
    for pair in env {
        match places.get(&name(pair)) {
            Some(place) => kept[*place].clone_from(pair),
            None => {
                places.insert(name(pair), kept.len());
                kept.push(pair.clone());
            }
        }
    }
    kept
}

fn oom_score_adj(process: &Process) -> Result<Option<i32>> {
    match process.oom_score_adj() {
        Some(value) if !(-1000..=1000).contains(&value) => {
            Err(Error::user(format!("process.oomScoreAdj: {value} is not between -1000 and 1000")))
        }
        other => Ok(other),
    }
}

/// Numbers that the kernel would take for something else.
fn check_identity(user: &User) -> Result<()> {
    // The largest is nobody's: to setresuid(2) it means that the id stays as it is, which is root's.
    let groups = user.additional_gids().as_deref().unwrap_or_default();
    let ids = [("uid", user.uid()), ("gid", user.gid())].into_iter();
    let mut ids = ids.chain(groups.iter().map(|gid| ("additionalGids", *gid)));
    if let Some((field, id)) = ids.find(|(_, id)| *id == u32::MAX) {
        return Err(Error::user(format!("process.user.{field}: {id} is no id")));
    }
    // umask(2) would take the lower bits alone.
    match user.umask() {
        Some(umask @ 0o1000..) => {
            Err(Error::user(format!("process.user.umask: {umask} is above {}, octal 777", 0o777))
                .hint("JSON has no octal numbers: octal 22 is 18"))
        }
        _ => Ok(()),
    }
}

/// The descriptors to preserve. Those that socket activation handed over must be open: the program counts on them. Of
/// `more`, as with crun and youki, some may be closed, and the program must not find ours of such a number instead: what
/// podrun opens itself is close-on-exec, and closed by init.
fn preserved(listen: u32, more: u32) -> Result<Vec<RawFd>> {
    /// `fs.nr_open`, as it usually is: no descriptor has a higher number.
    const MOST: RawFd = 1 << 20;
    let after = |count: u64| RawFd::try_from(count + 3).unwrap_or(RawFd::MAX);
    let all = u64::from(listen) + u64::from(more);
    let (activated, end) = (after(listen.into()), after(all));
    let open: Vec<RawFd> = (3..end.min(MOST)).filter(|fd| crate::sys::fs::is_inherited(*fd)).collect();
    match (3..end).find(|fd| open.binary_search(fd).is_err()) {
        Some(fd) if fd < activated => {
            return Err(Error::user(format!("LISTEN_FDS={listen}: descriptor {fd} is not open"))
                .hint("whoever sets LISTEN_FDS=N passes the descriptors 3 to N+2"));
        }
        Some(fd) => report::warn(&format!(
            "--preserve-fds {more}: of the descriptors {activated} to {}, {fd} is not open, and is left out",
            all + 2
        )),
        None => {}
    }
    Ok(open)
}

fn rlimits(process: &Process) -> Result<Vec<Rlimit>> {
    let mut planned: Vec<Rlimit> = Vec::new();
    for (index, limit) in process.rlimits().as_deref().unwrap_or_default().iter().enumerate() {
        let (name, resource) = resource(limit.typ());
        let field = || format!("process.rlimits[{index}] ({name})");
        if limit.soft() > limit.hard() {
            let text = format!("the soft limit {} is above the hard limit {}", limit.soft(), limit.hard());
            return Err(Error::user(text)).context(field);
        }
        if planned.iter().any(|earlier| earlier.resource == resource) {
            return Err(Error::user("is given twice")).context(field);
        }
        planned.push(Rlimit { name: name.into(), resource, soft: limit.soft(), hard: limit.hard() });
    }
    Ok(planned)
}

fn resource(kind: PosixRlimitType) -> (&'static str, u32) {
    match kind {
        PosixRlimitType::RlimitCpu => ("RLIMIT_CPU", libc::RLIMIT_CPU),
        PosixRlimitType::RlimitFsize => ("RLIMIT_FSIZE", libc::RLIMIT_FSIZE),
        PosixRlimitType::RlimitData => ("RLIMIT_DATA", libc::RLIMIT_DATA),
        PosixRlimitType::RlimitStack => ("RLIMIT_STACK", libc::RLIMIT_STACK),
        PosixRlimitType::RlimitCore => ("RLIMIT_CORE", libc::RLIMIT_CORE),
        PosixRlimitType::RlimitRss => ("RLIMIT_RSS", libc::RLIMIT_RSS),
        PosixRlimitType::RlimitNproc => ("RLIMIT_NPROC", libc::RLIMIT_NPROC),
        PosixRlimitType::RlimitNofile => ("RLIMIT_NOFILE", libc::RLIMIT_NOFILE),
        PosixRlimitType::RlimitMemlock => ("RLIMIT_MEMLOCK", libc::RLIMIT_MEMLOCK),
        PosixRlimitType::RlimitAs => ("RLIMIT_AS", libc::RLIMIT_AS),
        PosixRlimitType::RlimitLocks => ("RLIMIT_LOCKS", libc::RLIMIT_LOCKS),
        PosixRlimitType::RlimitSigpending => ("RLIMIT_SIGPENDING", libc::RLIMIT_SIGPENDING),
        PosixRlimitType::RlimitMsgqueue => ("RLIMIT_MSGQUEUE", libc::RLIMIT_MSGQUEUE),
        PosixRlimitType::RlimitNice => ("RLIMIT_NICE", libc::RLIMIT_NICE),
        PosixRlimitType::RlimitRtprio => ("RLIMIT_RTPRIO", libc::RLIMIT_RTPRIO),
        PosixRlimitType::RlimitRttime => ("RLIMIT_RTTIME", libc::RLIMIT_RTTIME),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn planned(json: &str) -> Result<ProcessPlan> {
        let process: Process = serde_json::from_str(json).unwrap();
        plan(
            &process,
            Surroundings {
                attributes: Attributes::default(),
                seccomp: None,
                terminal: None,
                stdio: None,
                keyring: None,
                listen_fds: 0,
                preserve_fds: 0,
                mappings: None,
            },
        )
    }

    #[test]
    fn the_last_value_of_a_variable_counts() {
        let env: Vec<String> = ["A=1", "B=2", "A=3", "C="].iter().map(ToString::to_string).collect();
        assert_eq!(last_of_each(&env), ["A=3", "B=2", "C="]);
    }

    #[test]
    fn bad_values_are_named() {
        let base = r#"{"user": {"uid": 1, "gid": 2}, "cwd": "/", "args": ["x"], EXTRA}"#;
        let table = [
            (r#""env": ["A"]"#, "process.env[0]"),
            (r#""env": ["A=1", "=b"]"#, "process.env[1]"),
            (r#""oomScoreAdj": 1001"#, "process.oomScoreAdj"),
            (
                r#""rlimits": [{"type": "RLIMIT_NOFILE", "soft": 2, "hard": 1}]"#,
                "process.rlimits[0] (RLIMIT_NOFILE)",
            ),
        ];
        for user in [
            r#"{"uid": 4294967295, "gid": 2}"#,
            r#"{"uid": 1, "gid": 4294967295}"#,
            r#"{"uid": 1, "gid": 2, "additionalGids": [4294967295]}"#,
        ] {
            let error = planned(&format!(r#"{{"user": {user}, "cwd": "/", "args": ["x"]}}"#)).unwrap_err();
            assert!(error.to_string().ends_with("4294967295 is no id"), "{error}");
        }
        let umask = |umask: u32| {
            planned(&format!(
                r#"{{"user": {{"uid": 1, "gid": 2, "umask": {umask}}}, "cwd": "/", "args": ["x"]}}"#
            ))
        };
        assert!(umask(0o1000).unwrap_err().to_string().starts_with("process.user.umask: 512 is above 511"));
        assert_eq!(umask(0o777).unwrap().umask, Some(0o777));
        for (extra, field) in table {
            let error = planned(&base.replace("EXTRA", extra)).unwrap_err().to_string();
            assert!(error.starts_with(field), "{error}");
        }
        let good = planned(&base.replace("EXTRA", r#""env": ["A="]"#)).unwrap();
        assert_eq!((good.uid, good.gid), (1, 2));
    }
}
