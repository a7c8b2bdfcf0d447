//! One bundle under podrun and under runc and crun: the exit code and what the probe sees must agree.
//!
//! What may differ stands in [`KNOWN`], each with its reason; everything else is a failure.

use crate::harness::{
    Bundle, Case, Runtime, Test, case, disk, facts, machine, note, proc, runtime::path_text, skip,
};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

pub fn cases() -> Vec<Case> {
    vec![case!(agrees_with_runc).seconds(180), case!(agrees_with_crun).seconds(180)]
}

/// Differences that are as they should be.
///
/// `(peer, fact, reason)`: the peer is `runc`, `crun`, or empty for both; the fact is a path as [`flatten`] writes it,
/// with one `*` for anything.
#[rustfmt::skip]
const KNOWN: &[(&str, &str, &str)] = &[
    ("", "/session_keyring", "a number that is new each time"),
    ("", "/mounts/*/source", "a name that nobody interprets"),
    ("runc", "/fds/*/target", "runc's foreground copies through pipes of its own"),
    ("runc", "/tty/name", "as above"),
    ("", "/mounts//proc/acpi/super_options", "podrun covers directories with one tiny tmpfs"),
    ("", "/mounts//sys/firmware/super_options", "as above"),
    ("", "/mounts//own/super_options", "as above"),
    ("", "/paths//own/mode", "of a directory that is empty and read-only"),
    ("", "/paths//sys/firmware/mode", "as above"),
    ("", "/mounts//proc/keys/*", "a null device is one, whatever file system it is on"),
    ("", "/mounts//proc/timer_list/*", "as above"),
    ("", "/mounts//proc/kcore/fstype", "as above"),
    ("", "/mounts//proc/kcore/options", "as above"),
    ("", "/mounts//proc/kcore/super_options", "as above"),
    ("", "/mounts//proc/kcore/read-only", "as above"),
    ("", "/paths//proc/*/readonly", "a null device takes writes without harm, read-only or not"),
    ("", "/mounts//sys/fs/cgroup/read-only", "podrun makes this tmpfs as read-only as the config says"),
    ("crun", "/mounts//sys/fs/cgroup/super_options", "the size of a tmpfs that holds directories alone"),
    ("runc", "/mounts//sys/fs/cgroup/super_options", "runc 1.1 mounts cgroup2 anew, without the host's nsdelegate"),
    ("crun", "/mounts///propagation", "where the host's root is shared, crun makes all private, runc and podrun slaves"),
    ("crun", "/mounts//etc/propagation", "as above"),
    ("crun", "/mounts//ro/propagation", "as above"),
    ("crun", "/mounts//slave/propagation", "as above: though rslave was asked for"),
    ("", "/mounts//sys/fs/cgroup/unified/*", "runc 1.1 and crun do not show the v2 part of a hybrid host"),
    ("crun", "/dev/core/*", "a link to /proc/kcore, which is masked; runc has none"),
    ("crun", "/dev/null/*id", "crun gives the standard streams to the user, /dev/null too"),
];

/// A bundle and its name.
type Variant = (&'static str, fn(&Test, Bundle) -> Bundle);

/// The bundles to compare. Each asks for something else.
const VARIANTS: &[Variant] = &[
    ("the default", |_, b| b),
    ("a read-only root", |_, b| b.set("/root/readonly", json!(true))),
    ("a user with groups and umask", |_, b| {
        b.set("/process/user", json!({"uid": 1000, "gid": 1000, "additionalGids": [5, 2000], "umask": 0o027}))
    }),
    ("ambient capabilities", |_, b| {
        let net = json!(["CAP_NET_BIND_SERVICE", "CAP_KILL"]);
        b.set("/process/user", json!({"uid": 1000, "gid": 1000})).set(
            "/process/capabilities",
            json!({"bounding": net, "effective": net, "permitted": net, "inheritable": net, "ambient": net}),
        )
    }),
    ("no capabilities, new privileges allowed", |_, b| {
        b.set("/process/capabilities", json!({})).set("/process/noNewPrivileges", json!(false))
    }),
    ("rlimits and oomScoreAdj", |_, b| {
        let limits = json!([{"type": "RLIMIT_NOFILE", "soft": 512, "hard": 1024},
                            {"type": "RLIMIT_CORE", "soft": 0, "hard": 0}]);
        b.set("/process/rlimits", limits).set("/process/oomScoreAdj", json!(300))
    }),
    ("binds with flags and propagation", |t, b| {
        let source = path_text(&t.directory("source"));
        b.mount("bind", &source, "/ro", &["rbind", "ro", "nosuid", "nodev"])
            .mount("bind", &source, "/rw", &["bind", "rprivate", "noexec"])
            .mount("bind", &source, "/slave", &["rbind", "rslave"])
    }),
    ("tmpfs with size and mode", |_, b| {
        b.mount("tmpfs", "tmpfs", "/scratch", &["nosuid", "nodev", "size=64k", "mode=1777"]).mount(
            "tmpfs",
            "tmpfs",
            "/var/run",
            &["noexec", "size=32k", "mode=755"],
        )
    }),
    ("a seccomp profile", |_, b| {
        let calls = json!([{"names": ["swapon", "reboot"], "action": "SCMP_ACT_ERRNO"}]);
        b.set("/linux/seccomp", json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": calls}))
    }),
    ("a seccomp profile, new privileges allowed", |_, b| {
        let calls = json!([{"names": ["swapon"], "action": "SCMP_ACT_ERRNO", "errnoRet": 38}]);
        b.set("/linux/seccomp", json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": calls}))
            .set("/process/noNewPrivileges", json!(false))
    }),
    ("sysctls and a hostname", |_, b| {
        b.set("/linux/sysctl", json!({"net.ipv4.ip_forward": "1", "kernel.msgmax": "4096"}))
            .set("/hostname", json!("differential"))
            .args(&["/bin/probe", "facts", "--sysctl", "net.ipv4.ip_forward", "--sysctl", "kernel.msgmax"])
    }),
    ("the host's namespaces", |_, b| {
        let b = ["network", "ipc", "uts"].iter().fold(b, |b, kind| b.namespace(kind, None));
        b.edit(|config| {
            config.as_object_mut().expect("an object").remove("hostname");
        })
    }),
    ("a cgroup namespace", |_, b| b.namespace("cgroup", Some(""))),
    ("limits", |_, b| {
        b.set("/linux/resources/memory", json!({"limit": 64 << 20}))
            .set("/linux/resources/pids", json!({"limit": 20}))
            .set(
                "/linux/resources/cpu",
                json!({"shares": 512, "quota": 50_000, "period": 100_000, "cpus": "0"}),
            )
    }),
    ("devices", |_, b| {
        let device = json!({"path": "/dev/own", "type": "c", "major": 1, "minor": 3, "fileMode": 0o620, "uid": 5, "gid": 6});
        b.set("/linux/devices", json!([device]))
    }),
    ("masked and read-only paths", |_, b| {
        let paths =
            ["/proc/keys", "/proc/timer_list", "/sys/firmware", "/proc/sys", "/etc", "/own", "/own/file"];
        let mut args = vec!["/bin/probe", "facts"];
        args.extend(paths.iter().flat_map(|path| ["--path", *path]));
        b.args(&args)
            .with_file("/own/file", "text", 0o644)
            .push("/linux/maskedPaths", json!("/own"))
            .push("/linux/readonlyPaths", json!("/etc"))
    }),
    ("an environment and a directory", |_, b| {
        b.set("/process/env", json!(["PATH=/bin", "A=1", "HOME=/tmp", "A=2"]))
            .set("/process/cwd", json!("/made/here"))
    }),
    ("an exit code", |_, b| b.args(&["/bin/probe", "exit", "77"])),
    ("a death by signal", |_, b| b.args(&["/bin/sh", "-c", "kill -9 $$; exit 3"]).namespace("pid", None)),
    ("a program that is not there", |_, b| b.args(&["/no/such"])),
    ("a program that may not be executed", |_, b| b.with_file("/data", "text", 0o644).args(&["/data"])),
];

/// What one runtime makes of a bundle: exit code, and facts where there are any.
struct Seen {
    code: i32,
    facts: BTreeMap<String, String>,
}

#[track_caller]
fn observe(runtime: &Runtime, bundle: &Bundle) -> Seen {
    let out = runtime.run_bundle(bundle, "it-differential");
    let facts = serde_json::from_str(&out.stdout).map(normalise).unwrap_or_default();
    if out.code() == 0 && facts.is_empty() {
        out.fail("no facts");
    }
    runtime.run(&["delete", "--force", "it-differential"]);
    Seen { code: out.code(), facts }
}

/// Takes out of the facts what is different in every container, and puts lists into an order.
fn normalise(mut all: Value) -> BTreeMap<String, String> {
    let shared: Map<String, Value> = ["cgroup", "ipc", "mnt", "net", "pid", "time", "user", "uts"]
        .map(|kind| (kind.to_owned(), json!(facts::namespace(&all, kind) == proc::namespace("self", kind))))
        .into_iter()
        .collect();
    all["namespaces"] = json!({"shared with the host": shared});
    let facts = all.as_object_mut().expect("facts are an object");
    // Paths of groups and of mounts' roots have the runtime's own names in them.
    facts.remove("cgroups");
    let host_pid = facts["namespaces"]["shared with the host"]["pid"] == true;
    if host_pid {
        ["pid", "ppid", "pgid", "sid", "init_comm"].iter().for_each(|key| drop(facts.remove(*key)));
    }
    for list in ["mounts", "dev", "dev_pts"] {
        let key = if list == "mounts" { "target" } else { "name" };
        facts[list] = by_name(&facts[list], key);
    }
    for (_, path) in facts["paths"].as_object_mut().into_iter().flatten() {
        forget(path);
    }
    let fds = facts["fds"].as_array().into_iter().flatten().map(|fd| {
        let target = fd["target"].as_str().unwrap_or_default();
        let kind = target.split([':', '[']).next().unwrap_or_default();
        // Output goes to files of different names.
        let kind = if kind.starts_with("/tmp/") { "a file" } else { kind };
        (fd["fd"].to_string(), json!({"target": kind, "cloexec": fd["cloexec"]}))
    });
    facts["fds"] = Value::Object(fds.collect());
    // The C library keeps 32 and 33 to itself; the callers' state of them comes through or not.
    let ignored = facts["signals"]["ignored"].as_str().and_then(|text| u64::from_str_radix(text, 16).ok());
    facts["signals"]["ignored"] = json!(ignored.map(|bits| bits & !(0b11 << 31)));
    let mut flat = BTreeMap::new();
    flatten("", &all, &mut flat);
    flat
}

/// A list of objects as an object by one of their keys, without numbers that differ each time.
fn by_name(list: &Value, key: &str) -> Value {
    let entries = list.as_array().into_iter().flatten().map(|entry| {
        let mut entry = entry.clone();
        let name = entry[key].as_str().unwrap_or_default().to_owned();
        forget(&mut entry);
        (name, entry)
    });
    Value::Object(entries.collect())
}

fn forget(entry: &mut Value) {
    let Some(object) = entry.as_object_mut() else { return };
    // Read-only by the mount or by the file system: the container sees no difference.
    let read_only =
        |key: &str| object.get(key).and_then(Value::as_array).is_some_and(|all| all.contains(&json!("ro")));
    if read_only("options") || read_only("super_options") {
        object.insert("read-only".into(), json!(true));
    }
    for key in ["id", "parent", "device", "inode", "root", "size"] {
        object.remove(key);
    }
    for key in ["options", "super_options"] {
        if let Some(options) = object.get_mut(key).and_then(Value::as_array_mut) {
            options.retain(|option| option != "ro" && option != "rw");
            options.sort_by_key(ToString::to_string);
        }
    }
    // Peer group numbers.
    if let Some(propagation) = object.get_mut("propagation").and_then(Value::as_array_mut) {
        for word in propagation {
            *word = json!(word.as_str().unwrap_or_default().split(':').next());
        }
    }
}

/// Every leaf with its path; `/` within a name is doubled.
fn flatten(path: &str, value: &Value, flat: &mut BTreeMap<String, String>) {
    match value {
        Value::Object(object) if !object.is_empty() => {
            for (key, value) in object {
                flatten(&format!("{path}/{key}"), value, flat);
            }
        }
        _ => drop(flat.insert(path.to_owned(), value.to_string())),
    }
}

/// Whether a difference has its reason in the table.
fn known(peer: &str, fact: &str) -> bool {
    KNOWN.iter().any(|(of, pattern, _reason)| {
        let fits = match pattern.split_once('*') {
            Some((start, end)) => fact.starts_with(start) && fact.ends_with(end),
            None => fact == *pattern,
        };
        fits && (of.is_empty() || *of == peer)
    })
}

fn compare(peer: &str, ours: &Seen, theirs: &Seen) -> Vec<String> {
    let mut found = Vec::new();
    // A runtime that cannot start the program may choose its own code, but must fail.
    if ours.code != theirs.code && (ours.code == 0 || theirs.code == 0 || ours.code == 77) {
        found.push(format!("exit code: podrun {}, {peer} {}", ours.code, theirs.code));
    }
    let nothing = String::from("nothing");
    let keys: std::collections::BTreeSet<&String> = ours.facts.keys().chain(theirs.facts.keys()).collect();
    for key in keys {
        let (own, other) =
            (ours.facts.get(key).unwrap_or(&nothing), theirs.facts.get(key).unwrap_or(&nothing));
        if own != other && !known(peer, key) {
            found.push(format!("{key}: podrun {own}, {peer} {other}"));
        }
    }
    found
}

#[track_caller]
fn agrees_with(t: &Test, peer: &str) {
    disk::without_flags(t.place());
    let (podrun, other) = (t.podrun(), t.peer(peer));
    let mut differences = Vec::new();
    for (name, change) in VARIANTS {
        // A root of its own for each: the runtimes make mount points in it.
        let bundles = [0, 1].map(|_| {
            let path = crate::harness::pods::pod_parent().replace("/pods", "/podrun/differential");
            let bundle = if *name == "a death by signal" { t.shell("") } else { t.bundle() };
            change(t, bundle.set("/linux/cgroupsPath", json!(path)))
        });
        let (ours, theirs) = (observe(&podrun, &bundles[0]), observe(&other, &bundles[1]));
        let found = compare(peer, &ours, &theirs);
        differences.extend(found.into_iter().map(|difference| format!("{name}: {difference}")));
    }
    note(&format!("{} bundles compared", VARIANTS.len()));
    assert!(differences.is_empty(), "podrun and {peer} differ:\n  {}", differences.join("\n  "));
}

fn agrees_with_runc(t: &Test) {
    agrees_with(t, "runc");
}

fn agrees_with_crun(t: &Test) {
    if !machine::has_package("crun") {
        skip("crun is not installed");
    }
    agrees_with(t, "crun");
}
