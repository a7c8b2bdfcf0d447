//! What a process can tell about itself and its surroundings, as one JSON object.
//!
//! Observation must not change what is observed: nothing here writes (but for `path_facts`, which asks the kernel whether it
//! would let it), and the probe's own descriptors are left out.

use crate::errno;
use crate::json::{Json, list, object};
use crate::socket;
use crate::sys;
use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

/// The keys of the object; `paths` and `sysctls` are what the caller wants looked at.
pub fn all(argv: &[String], paths: &[String], sysctls: &[String]) -> Json {
    let fds = open_descriptors(); // first, while no descriptor of ours is open
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let mut facts = vec![];
    let mut add = |key: &str, value: Json| facts.push((key.to_owned(), value));
    add("pid", sys::pid().into());
    add("ppid", Json::Int(std::os::unix::process::parent_id().into()));
    add("pgid", stat_field(&stat, 5));
    add("sid", stat_field(&stat, 6));
    add("uids", numbers(&status, "Uid"));
    add("gids", numbers(&status, "Gid"));
    add("groups", numbers(&status, "Groups"));
    add("umask", Json::Text(format!("{:04o}", sys::current_umask())));
    add("cwd", text_or_error(sys::raw_cwd()));
    add("exe", link("/proc/self/exe"));
    add("root", link("/proc/self/root"));
    add("argv", list(argv.iter().cloned()));
    add(
        "env",
        list(std::env::vars_os().map(|(key, value)| format!("{}={}", key.display(), value.display()))),
    );
    add("namespaces", namespaces());
    add("caps", capabilities(&status));
    add("no_new_privs", Json::Bool(field(&status, "NoNewPrivs") == Some("1")));
    add("seccomp", number(field(&status, "Seccomp")));
    add("seccomp_filters", number(field(&status, "Seccomp_filters")));
    add("signals", signals(&status));
    add("cpus_allowed_list", field(&status, "Cpus_allowed_list").into());
    add("mems_allowed_list", field(&status, "Mems_allowed_list").into());
    add("scheduler", scheduler());
    add("io_priority", number_or_error(sys::io_priority()));
    add("memory_policy", memory_policy());
    add("apparmor", file("/proc/self/attr/apparmor/current").into());
    add("rlimits", rlimits());
    add("oom_score_adj", number(file("/proc/self/oom_score_adj").as_deref()));
    add("personality", file("/proc/self/personality").into());
    add("timens_offsets", file("/proc/self/timens_offsets").into());
    add("uid_map", words("/proc/self/uid_map"));
    add("gid_map", words("/proc/self/gid_map"));
    add("securebits", number_or_error(sys::securebits().map(i64::from)));
    add("dumpable", number_or_error(sys::dumpable().map(i64::from)));
    add("parent_death_signal", number_or_error(sys::parent_death_signal().map(i64::from)));
    add("session_keyring", number_or_error(sys::session_keyring()));
    add("fds", fds);
    add("mounts", mounts());
    add("hostname", file("/proc/sys/kernel/hostname").into());
    add("domainname", file("/proc/sys/kernel/domainname").into());
    add("cgroups", lines("/proc/self/cgroup"));
    add("dev", directory("/dev"));
    add("dev_pts", directory("/dev/pts"));
    add("interfaces", interfaces());
    add("tty", terminal(&stat));
    add("init_comm", file("/proc/1/comm").into());
    add(
        "paths",
        Json::Object(paths.iter().map(|path| (path.clone(), path_facts(Path::new(path)))).collect()),
    );
    add("sysctls", Json::Object(sysctls.iter().map(|name| (name.clone(), sysctl(name))).collect()));
    Json::Object(facts)
}

/// The five sets as the kernel prints them, sixteen hexadecimal digits each.
pub fn own_capabilities() -> Json {
    capabilities(&fs::read_to_string("/proc/self/status").unwrap_or_default())
}

fn capabilities(status: &str) -> Json {
    object([
        ("inheritable", field(status, "CapInh").into()),
        ("permitted", field(status, "CapPrm").into()),
        ("effective", field(status, "CapEff").into()),
        ("bounding", field(status, "CapBnd").into()),
        ("ambient", field(status, "CapAmb").into()),
    ])
}

fn signals(status: &str) -> Json {
    object([
        ("blocked", field(status, "SigBlk").into()),
        ("ignored", field(status, "SigIgn").into()),
        ("caught", field(status, "SigCgt").into()),
    ])
}

fn namespaces() -> Json {
    const KINDS: [&str; 8] = ["cgroup", "ipc", "mnt", "net", "pid", "time", "user", "uts"];
    Json::Object(
        KINDS.iter().map(|kind| ((*kind).to_owned(), link(&format!("/proc/self/ns/{kind}")))).collect(),
    )
}

fn scheduler() -> Json {
    match sys::scheduler() {
        Ok(now) => object([
            ("policy", now.policy.into()),
            ("flags", now.flags.into()),
            ("nice", now.nice.into()),
            ("priority", now.priority.into()),
            ("times", list([now.runtime, now.deadline, now.period])),
        ]),
        Err(error) => errno::name(&error).into(),
    }
}

fn memory_policy() -> Json {
    match sys::memory_policy() {
        Ok((mode, nodes)) => object([("mode", mode.into()), ("nodes", list(nodes))]),
        Err(error) => errno::name(&error).into(),
    }
}

/// `{"RLIMIT_X": {"soft": n, "hard": n}}`, null for unlimited.
fn rlimits() -> Json {
    const NAMES: [&str; 16] = [
        "CPU",
        "FSIZE",
        "DATA",
        "STACK",
        "CORE",
        "RSS",
        "NPROC",
        "NOFILE",
        "MEMLOCK",
        "AS",
        "LOCKS",
        "SIGPENDING",
        "MSGQUEUE",
        "NICE",
        "RTPRIO",
        "RTTIME",
    ];
    let limit = |resource| match sys::limit(resource) {
        Ok((soft, hard)) => object([("soft", soft.into()), ("hard", hard.into())]),
        Err(error) => errno::name(&error).into(),
    };
    Json::Object(
        NAMES.iter().zip(0..).map(|(name, resource)| (format!("RLIMIT_{name}"), limit(resource))).collect(),
    )
}

/// Number, target and close-on-exec flag of each descriptor but the one that reads the list.
fn open_descriptors() -> Json {
    let Ok(entries) = fs::read_dir("/proc/self/fd") else { return Json::Null };
    let mut numbers: Vec<i32> =
        entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
    numbers.sort_unstable();
    // The listing's own descriptor is closed by now, so its link is gone.
    list(numbers.into_iter().filter_map(|fd| {
        let target = fs::read_link(format!("/proc/self/fd/{fd}")).ok()?;
        let target = target.display().to_string();
        Some(object([("fd", fd.into()), ("target", target.into()), ("cloexec", sys::is_cloexec(fd).into())]))
    }))
}

/// mountinfo, proc_pid_mountinfo(5). `propagation` holds the optional fields, `private` where there are none.
fn mounts() -> Json {
    list(file("/proc/self/mountinfo").unwrap_or_default().lines().filter_map(|line| {
        let (left, right) = line.split_once(" - ")?;
        let left: Vec<&str> = left.split(' ').collect();
        let [id, parent, device, root, target, options, optional @ ..] = left.as_slice() else { return None };
        let mut right = right.splitn(3, ' ');
        let private: &[&str] = &["private"];
        Some(object([
            ("id", number(Some(id))),
            ("parent", number(Some(parent))),
            ("device", (*device).into()),
            ("root", unescape(root).into()),
            ("target", unescape(target).into()),
            ("options", list(options.split(','))),
            ("propagation", list(if optional.is_empty() { private } else { optional }.iter().copied())),
            ("fstype", right.next().into()),
            ("source", right.next().map(unescape).into()),
            ("super_options", list(right.next().unwrap_or_default().split(','))),
        ]))
    }))
}

/// Undoes mountinfo's octal escapes.
fn unescape(text: &str) -> String {
    const ESCAPES: [(&str, &str); 4] = [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")];
    ESCAPES.iter().fold(text.to_owned(), |text, (escape, plain)| text.replace(escape, plain))
}

fn directory(path: &str) -> Json {
    let Ok(entries) = fs::read_dir(path) else { return Json::Null };
    let mut names: Vec<_> = entries.flatten().map(|entry| entry.file_name()).collect();
    names.sort_unstable();
    list(names.into_iter().filter_map(|name| {
        let path = Path::new(path).join(&name);
        let Json::Object(mut pairs) = identity(&path).ok()? else { return None };
        pairs.insert(0, ("name".to_owned(), name.display().to_string().into()));
        Some(Json::Object(pairs))
    }))
}

/// Kind, mode, owner, device numbers, inode and link target, without following a link.
fn identity(path: &Path) -> io::Result<Json> {
    let data = fs::symlink_metadata(path)?;
    let kind = data.file_type();
    let name = match () {
        () if kind.is_symlink() => "symlink",
        () if kind.is_dir() => "dir",
        () if kind.is_char_device() => "char",
        () if kind.is_block_device() => "block",
        () if kind.is_fifo() => "fifo",
        () if kind.is_socket() => "socket",
        () => "file",
    };
    let device = |number: u64| format!("{}:{}", number >> 8 & 0xfff, number & 0xff | number >> 12 & !0xff);
    let is_device = kind.is_char_device() || kind.is_block_device();
    Ok(object([
        ("type", name.into()),
        ("mode", format!("{:04o}", data.mode() & 0o7777).into()),
        ("uid", data.uid().into()),
        ("gid", data.gid().into()),
        ("size", data.size().into()),
        ("device", device(data.dev()).into()),
        ("inode", data.ino().into()),
        ("rdev", is_device.then(|| device(data.rdev())).into()),
        ("link", fs::read_link(path).ok().map(|target| target.display().to_string()).into()),
    ]))
}

/// Identity, whether the mount there is read-only, and what reading and opening for writing answer: "ok", "empty" or an
/// error name. A masked file or directory reads "empty".
fn path_facts(path: &Path) -> Json {
    let mut pairs = match identity(path) {
        Ok(Json::Object(pairs)) => pairs,
        Ok(_) => vec![],
        Err(error) => return object([("error", errno::name(&error).into())]),
    };
    let (read, write) = if path.is_dir() {
        (read_directory(path), write_directory(path))
    } else {
        (read_file(path), open_for_writing(path))
    };
    pairs.push(("readonly".to_owned(), sys::is_read_only(path).ok().into()));
    pairs.push(("read".to_owned(), read.into()));
    pairs.push(("write".to_owned(), write.into()));
    Json::Object(pairs)
}

fn read_directory(path: &Path) -> String {
    match fs::read_dir(path) {
        Ok(mut entries) => if entries.next().is_some() { "ok" } else { "empty" }.to_owned(),
        Err(error) => errno::name(&error),
    }
}

fn read_file(path: &Path) -> String {
    let mut byte = [0u8; 1];
    let result = sys::open_fd(path, sys::O_RDONLY | sys::O_NONBLOCK | sys::O_CLOEXEC).and_then(|fd| {
        let result = sys::read_fd(fd, &mut byte);
        sys::close_fd(fd);
        result
    });
    if matches!(result, Ok(0)) { "empty".to_owned() } else { errno::outcome(&result) }
}

/// Opens without truncating or writing, so that even /proc/sysrq-trigger may be asked.
pub fn open_for_writing(path: &Path) -> String {
    let result = sys::open_fd(path, sys::O_WRONLY | sys::O_NONBLOCK | sys::O_CLOEXEC);
    if let Ok(fd) = result {
        sys::close_fd(fd);
    }
    errno::outcome(&result)
}

/// Whether a file can be made in a directory; it is removed again.
pub fn write_directory(path: &Path) -> String {
    let file = path.join(format!(".probe-{}", sys::pid()));
    let result =
        fs::OpenOptions::new().write(true).create_new(true).open(&file).and_then(|_| fs::remove_file(&file));
    errno::outcome(&result)
}

fn interfaces() -> Json {
    match socket::interfaces() {
        Ok(found) => {
            list(found.into_iter().map(|(name, up)| object([("name", name.into()), ("up", up.into())])))
        }
        Err(error) => errno::name(&error).into(),
    }
}

fn terminal(stat: &str) -> Json {
    let size = (0..=2).find_map(sys::terminal_size);
    let controlling = sys::open_fd(Path::new("/dev/tty"), sys::O_RDWR | sys::O_CLOEXEC);
    if let Ok(fd) = controlling {
        sys::close_fd(fd);
    }
    object([
        ("isatty", list((0..=2).map(sys::is_terminal))),
        ("size", size.map(|(rows, columns)| list([u32::from(rows), u32::from(columns)])).into()),
        ("name", fs::read_link("/proc/self/fd/0").ok().map(|path| path.display().to_string()).into()),
        ("controlling", errno::outcome(&controlling).into()),
        ("tty_nr", stat_field(stat, 7)),
        ("tpgid", stat_field(stat, 8)),
    ])
}

/// `net.ipv4.ip_forward` and `net/ipv4/ip_forward` both name a sysctl.
fn sysctl(name: &str) -> Json {
    let path = if name.contains('/') { name.to_owned() } else { name.replace('.', "/") };
    text_or_error(fs::read_to_string(format!("/proc/sys/{path}")).map(|text| text.trim_end().to_owned()))
}

fn file(path: &str) -> Option<String> {
    fs::read_to_string(path).ok().map(|text| text.trim_end_matches('\n').to_owned())
}
fn lines(path: &str) -> Json {
    list(file(path).unwrap_or_default().lines())
}
/// Each line's words joined by one space: the kernel pads these tables.
fn words(path: &str) -> Json {
    list(
        file(path)
            .unwrap_or_default()
            .lines()
            .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")),
    )
}
fn link(path: &str) -> Json {
    text_or_error(fs::read_link(path).map(|target| target.display().to_string()))
}
fn text_or_error(result: io::Result<String>) -> Json {
    result.unwrap_or_else(|error| format!("error: {}", errno::name(&error))).into()
}
fn number_or_error(result: io::Result<i64>) -> Json {
    result.map_or_else(|error| errno::name(&error).into(), Json::Int)
}
fn number(text: Option<&str>) -> Json {
    text.and_then(|text| text.trim().parse::<i64>().ok()).into()
}

/// The value of `Name:` in /proc/self/status.
fn field<'a>(status: &'a str, name: &str) -> Option<&'a str> {
    status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':').map(str::trim))
}
fn numbers(status: &str, name: &str) -> Json {
    list(
        field(status, name)
            .unwrap_or_default()
            .split_whitespace()
            .filter_map(|word| word.parse::<i64>().ok()),
    )
}
/// Field `index` of proc_pid_stat(5), from 1; the name, field 2, may hold spaces and parentheses.
fn stat_field(stat: &str, index: usize) -> Json {
    let after_name = stat.rsplit_once(") ").map_or("", |(_, rest)| rest);
    number(after_name.split(' ').nth(index.saturating_sub(3)))
}
