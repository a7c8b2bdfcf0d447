//! User namespaces: made with maps, joined by path, together with everything else that a container has.

use crate::harness::{
    Bundle, Case, Runtime, Test, bundle, case, console, facts, pods, proc, runtime::path_text,
};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use serde_json::{Value, json};
use std::os::unix::fs::{PermissionsExt, lchown};

pub fn cases() -> Vec<Case> {
    vec![
        case!(root_inside_is_nobody_outside),
        case!(what_is_new_belongs_to_the_user_namespace),
        case!(usual_mounts_and_devices_are_there),
        case!(sources_that_its_root_could_not_reach_are_mounted),
        case!(flags_of_the_hosts_mounts_are_locked),
        case!(nothing_is_above_a_root_that_is_mounted_over),
        case!(mounts_do_not_reach_the_host),
        case!(devices_have_their_owners_and_modes),
        case!(queues_belong_to_its_root),
        case!(terminal_belongs_to_the_user),
        case!(pipes_can_be_opened_again),
        case!(unmapped_ids_are_named),
        case!(maps_that_cannot_be_are_named),
        case!(a_namespace_without_root_runs_its_user),
        case!(capabilities_limits_and_filter_hold),
        case!(sysctls_of_its_namespaces_are_set),
        case!(its_root_cannot_reach_the_host),
        case!(another_containers_is_joined_by_path),
        case!(namespaces_of_the_host_are_joined_from_within),
        case!(a_file_system_of_a_foreign_namespace_is_explained),
        case!(exec_is_in_it_and_is_checked),
        case!(life_is_as_of_every_container),
        case!(a_pod_takes_it_in),
        case!(a_rootless_bundle_runs_as_root),
    ]
}

const UID: u32 = 100_000;
const GID: u32 = 200_000;

/// A bundle in a new user namespace, which its files belong to.
#[track_caller]
fn mapped(bundle: Bundle) -> Bundle {
    bundle.in_user_namespace(UID, GID)
}

#[track_caller]
fn sleeping(podrun: &Runtime, bundle: Bundle, id: &str) -> i32 {
    drop(podrun.up(&bundle.args(&["/bin/probe", "sleep", "300"]), id));
    podrun.pid(id)
}

fn root_inside_is_nobody_outside(t: &Test) {
    let podrun = t.podrun();
    let facts = podrun.facts(&mapped(t.bundle()));
    assert_eq!(facts["uids"], json!([0, 0, 0, 0]));
    assert_eq!(facts["gids"], json!([0, 0, 0, 0]));
    assert_eq!(facts["groups"], json!([]));
    assert_eq!(facts["uid_map"], json!([format!("0 {UID} 65536")]));
    assert_eq!(facts["gid_map"], json!([format!("0 {GID} 65536")]));
    assert_ne!(facts::namespace(&facts, "user"), proc::namespace("self", "user"));
    let pid = sleeping(&podrun, mapped(t.bundle()), "c");
    let all = |id: u32| [id; 4].map(|id| id.to_string()).join("\t");
    assert_eq!(proc::status_field(pid, "Uid"), Some(all(UID)));
    assert_eq!(proc::status_field(pid, "Gid"), Some(all(GID)));
    assert_eq!(proc::status_field(pid, "Groups").as_deref(), Some(""), "no group of the host's");
    podrun.remove("c");
}

fn what_is_new_belongs_to_the_user_namespace(t: &Test) {
    let podrun = t.podrun();
    let pid = sleeping(&podrun, mapped(t.bundle().namespace("cgroup", Some(""))), "c");
    let user = proc::namespace(pid, "user");
    for kind in ["mnt", "net", "ipc", "uts", "pid", "cgroup"] {
        assert_eq!(owner_of(&format!("/proc/{pid}/ns/{kind}")), user, "{kind}");
    }
    podrun.remove("c");
}

/// Inode of the user namespace that owns a namespace (NS_GET_USERNS, ioctl_ns(2)).
#[allow(unsafe_code, reason = "the ioctl's result is a new descriptor")]
fn owner_of(path: &str) -> u64 {
    use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
    use std::os::unix::fs::MetadataExt;
    const NS_GET_USERNS: libc::Ioctl = 0xb701;
    let file = std::fs::File::open(path).unwrap_or_else(|error| panic!("cannot open {path}: {error}"));
    // SAFETY: NS_GET_USERNS takes no argument and returns a descriptor.
    let fd = unsafe { libc::ioctl(file.as_raw_fd(), NS_GET_USERNS) };
    assert!(fd >= 0, "cannot ask {path} for its owner: {}", std::io::Error::last_os_error());
    // SAFETY: the kernel made the descriptor just now; nobody else owns it.
    std::fs::File::from(unsafe { OwnedFd::from_raw_fd(fd) }).metadata().expect("metadata").ino()
}

fn usual_mounts_and_devices_are_there(t: &Test) {
    for cgroup in [None, Some("")] {
        let facts = t.podrun().facts(&mapped(t.bundle().namespace("cgroup", cgroup)));
        for (target, kind) in [
            ("/proc", "proc"),
            ("/dev", "tmpfs"),
            ("/dev/pts", "devpts"),
            ("/dev/shm", "tmpfs"),
            ("/dev/mqueue", "mqueue"),
            ("/sys", "sysfs"),
        ] {
            assert_eq!(facts::mount(&facts, target)["fstype"], kind, "{target}");
        }
        assert!(facts::is_mounted(&facts, "/sys/fs/cgroup"), "with cgroup namespace {cgroup:?}");
        facts::assert_options(&facts, "/proc/sys", &["ro"]);
        for mount in facts["mounts"].as_array().expect("mounts") {
            let target = mount["target"].as_str().unwrap_or_default();
            let known = ["/proc", "/dev", "/sys"].iter().any(|top| target.starts_with(top));
            assert!(target == "/" && mount["root"] != "/" || known, "nobody asked for {mount}");
        }
        assert_eq!(
            facts["mounts"].as_array().expect("mounts").iter().filter(|m| m["target"] == "/").count(),
            1
        );
        for (name, number) in
            [("null", "1:3"), ("zero", "1:5"), ("full", "1:7"), ("tty", "5:0"), ("urandom", "1:9")]
        {
            assert_eq!(facts::entry(&facts["dev"], name)["rdev"], number, "{name}");
        }
        assert_eq!(facts::mount(&facts, "/dev/null")["source"], "devices", "not the host's own");
    }
    let exits = mapped(t.bundle().args(&["/bin/probe", "exit", "0"]));
    t.podrun()
        .run(&["run", "--no-pivot", "--bundle", exits.text(), "c"])
        .refused(&["user namespace", "--no-pivot"]);
    let bundle = mapped(
        t.shell("echo x > /dev/null && head -c 4 /dev/zero | wc -c && ! echo x > /dev/full && echo done"),
    );
    assert_eq!(t.podrun().run_bundle(&bundle, "c").ok().stdout, "4\ndone\n");
}

fn sources_that_its_root_could_not_reach_are_mounted(t: &Test) {
    // Nobody but root of the host may pass; not even root as an owner.
    let closed = t.directory("closed");
    std::fs::create_dir_all(closed.join("a/b")).expect("a directory");
    std::fs::write(closed.join("a/b/file"), "inside").expect("a file");
    std::fs::write(closed.join("single"), "one").expect("a file");
    for path in ["a", ""] {
        lchown(closed.join(path), Some(1234), Some(1234)).expect("an owner");
        std::fs::set_permissions(closed.join(path), PermissionsExt::from_mode(0o700)).expect("a mode");
    }
    std::fs::set_permissions(t.place(), PermissionsExt::from_mode(0o700)).expect("a mode");
    let bundle = mapped(t.shell("cat /data/b/file /single; ls /data/b"))
        .mount("bind", &path_text(&closed.join("a")), "/data", &["rbind", "ro"])
        .mount("bind", &path_text(&closed.join("single")), "/single", &["bind"]);
    std::fs::set_permissions(closed.join("a"), PermissionsExt::from_mode(0o711)).expect("a mode");
    assert_eq!(t.podrun().run_bundle(&bundle, "c").ok().stdout, "insideonefile\n");
}

fn queues_belong_to_its_root(t: &Test) {
    let script = "stat -c %u:%g /dev/mqueue && chmod 1700 /dev/mqueue && stat -c %a /dev/mqueue";
    let owner = t.podrun().run_bundle(&mapped(t.shell(script)), "c").ok().stdout;
    assert_eq!(owner, "0:0\n1700\n");
}

/// As with runc, whose init makes its mounts from within: what the host has mounted read-only stays so, whatever
/// capabilities the container has in its user namespace.
fn flags_of_the_hosts_mounts_are_locked(t: &Test) {
    let podrun = t.podrun();
    let source = t.directory("source");
    let below = source.join("below");
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    let tmpfs = |at: &std::path::Path, flags| {
        mount(Some("tmpfs"), at, Some("tmpfs"), flags, None::<&str>).expect("tmpfs")
    };
    tmpfs(&source, flags);
    std::fs::create_dir(&below).expect("a directory");
    tmpfs(&below, flags | MsFlags::MS_RDONLY);
    mount(
        None::<&str>,
        &source,
        None::<&str>,
        MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY | flags,
        None::<&str>,
    )
    .expect("read-only");
    let script = "for at in /data /data/below; do for o in rw suid dev exec; do
        mount -o remount,bind,ro,nosuid,nodev,noexec,$o $at 2>/dev/null && echo $at can be made $o; done; done
        umount /data/below 2>/dev/null && echo can be uncovered; echo tried";
    let bundle = |options: &[&str]| {
        let bundle = mapped(t.shell(script)).mount("bind", &path_text(&source), "/data", options);
        ["bounding", "effective", "permitted"].iter().fold(bundle, |bundle, set| {
            bundle.push(&format!("/process/capabilities/{set}"), json!("CAP_SYS_ADMIN"))
        })
    };
    for options in [&["rbind"][..], &["rbind", "ro"], &["rbind", "nosuid", "rro"]] {
        assert_eq!(podrun.run_bundle(&bundle(options), "c").ok().stdout, "tried\n", "{options:?}");
    }
    for word in ["rw", "exec", "dev", "suid"] {
        podrun.run_bundle(&bundle(&["rbind", word]), "c").refused(&["/data", "can be added, not taken off"]);
    }
    podrun.run_bundle(&bundle(&["bind"]), "c").refused(&["/data", "use rbind"]);
    for place in [&below, &source] {
        umount2(place, MntFlags::MNT_DETACH).expect("unmounted");
    }
}

/// The root file system is attached over the host's root here, and more may lie over that: all of it must go.
fn nothing_is_above_a_root_that_is_mounted_over(t: &Test) {
    let other = path_text(&t.bundle().rootfs("/"));
    let over = |mounts: Value| {
        let facts = [
            "/bin/probe",
            "facts",
            "--path",
            "/..",
            "--path",
            "/",
            "--path",
            "/../work",
            "--path",
            "/../usr",
        ];
        mapped(t.bundle().args(&facts)).edit(|config| {
            let all = config["mounts"].as_array_mut().expect("an array");
            all.splice(0..0, mounts.as_array().expect("an array").clone());
        })
    };
    let bind = json!({"destination": "/", "type": "bind", "source": other, "options": ["rbind"]});
    let link = json!({"destination": "/link", "type": "bind", "source": other, "options": ["rbind"]});
    let copied = json!({"destination": "/", "type": "tmpfs", "source": "t", "options": ["tmpcopyup"]});
    for mounts in [json!([bind]), json!([bind, bind]), json!([copied, bind]), json!([link]), json!([copied])]
    {
        let bundle = over(mounts.clone());
        std::os::unix::fs::symlink("/", bundle.rootfs("/link")).expect("a link");
        let facts = t.podrun().facts(&bundle);
        for path in ["/../work", "/../usr"] {
            assert_eq!(facts["paths"][path]["error"], "ENOENT", "{path} with {mounts}: {}", facts["paths"]);
        }
        let roots = facts["mounts"].as_array().expect("mounts").iter().filter(|m| m["target"] == "/");
        assert_eq!(roots.count(), 1, "{mounts}: {}", facts["mounts"]);
    }
}

fn mounts_do_not_reach_the_host(t: &Test) {
    let podrun = t.podrun();
    let shared = t.directory("shared");
    mount(Some(&shared), &shared, None::<&str>, MsFlags::MS_BIND, None::<&str>).expect("a mount");
    mount(None::<&str>, &shared, None::<&str>, MsFlags::MS_SHARED, None::<&str>).expect("a shared mount");
    std::fs::create_dir(shared.join("below")).expect("a directory");
    // Other tests mount, too.
    let place = path_text(&shared);
    let here = || proc::mounts("self").iter().filter(|mount| mount.point.starts_with(&place)).count();
    for options in [&["rbind"][..], &["rbind", "rshared"]] {
        let bundle =
            mapped(t.shell("mount -t tmpfs inside /data/below && grep -c /data/below /proc/self/mounts"))
                .set("/process/capabilities", all_capabilities())
                .set("/linux/rootfsPropagation", json!("shared"))
                .mount("bind", &path_text(&shared), "/data", options);
        assert_eq!(podrun.run_bundle(&bundle, "c").ok().stdout, "1\n");
        assert_eq!(here(), 1);
    }
    umount2(&shared, MntFlags::MNT_DETACH).expect("unmounted");
}

fn all_capabilities() -> Value {
    let names: Vec<String> =
        (0..=40u8).filter_map(|number| caps_name(number).map(|name| format!("CAP_{name}"))).collect();
    json!({"bounding": names, "effective": names, "permitted": names})
}

/// Names of the capabilities that matter to attacks here.
fn caps_name(number: u8) -> Option<&'static str> {
    Some(match number {
        0 => "CHOWN",
        1 => "DAC_OVERRIDE",
        2 => "DAC_READ_SEARCH",
        3 => "FOWNER",
        5 => "KILL",
        6 => "SETGID",
        7 => "SETUID",
        8 => "SETPCAP",
        12 => "NET_ADMIN",
        16 => "SYS_MODULE",
        17 => "SYS_RAWIO",
        18 => "SYS_CHROOT",
        19 => "SYS_PTRACE",
        21 => "SYS_ADMIN",
        22 => "SYS_BOOT",
        24 => "SYS_RESOURCE",
        25 => "SYS_TIME",
        27 => "MKNOD",
        _ => return None,
    })
}

fn devices_have_their_owners_and_modes(t: &Test) {
    let device = json!({"path": "/dev/own/disk", "type": "c", "major": 10, "minor": 229, "fileMode": 0o640,
        "uid": 1000, "gid": 5});
    let fifo = json!({"path": "/srv/fifo", "type": "p", "fileMode": 0o622});
    let bundle = mapped(t.bundle()).push("/linux/devices", device).push("/linux/devices", fifo).args(&[
        "/bin/probe",
        "facts",
        "--path",
        "/dev/own/disk",
        "--path",
        "/srv/fifo",
        "--path",
        "/dev/null",
    ]);
    let facts = t.podrun().facts(&bundle);
    let of = |path: &str, key: &str| facts["paths"][path][key].clone();
    for (key, value) in [
        ("type", json!("char")),
        ("rdev", json!("10:229")),
        ("mode", json!("0640")),
        ("uid", json!(1000)),
        ("gid", json!(5)),
    ] {
        assert_eq!(of("/dev/own/disk", key), value, "{key}");
    }
    assert_eq!((of("/srv/fifo", "type"), of("/srv/fifo", "mode")), (json!("fifo"), json!("0622")));
    assert_eq!((of("/dev/null", "uid"), of("/dev/null", "mode")), (json!(0), json!("0666")));
    let unmapped = json!({"path": "/dev/x", "type": "c", "major": 1, "minor": 3, "uid": 70000});
    t.podrun().run_bundle(&mapped(t.bundle()).push("/linux/devices", unmapped), "c").refused(&[
        "/dev/x",
        "uid: 70000",
        "user namespace",
    ]);
}

fn terminal_belongs_to_the_user(t: &Test) {
    let podrun = t.podrun();
    let listener = console::Listener::at(&t.path("console"));
    let bundle = mapped(t.shell("tty; stat -c '%u %n' $(tty) /dev/console; echo again > /dev/tty; sleep 60"))
        .set("/process/terminal", json!(true))
        .set("/process/user", json!({"uid": 1000, "gid": 1000}));
    podrun.run(&["create", "--bundle", bundle.text(), "--console-socket", listener.path(), "c"]).ok();
    let mut terminal = listener.accept();
    podrun.run(&["start", "c"]).ok();
    for text in ["/dev/pts/0", "1000 /dev/pts/0", "1000 /dev/console", "again"] {
        terminal.read_until(text);
    }
    podrun.remove("c");
}

fn pipes_can_be_opened_again(t: &Test) {
    let podrun = t.podrun();
    let bundle = mapped(t.shell("echo direct; echo again > /dev/stdout; cat < /dev/stdin"))
        .set("/process/user", json!({"uid": 1000, "gid": 1000}));
    // Through pipes on both sides, as an engine has it.
    let script = "printf typed | \"$@\" | cat";
    let mut words = vec!["sh".to_owned(), "-c".to_owned(), script.to_owned(), "sh".to_owned()];
    words.extend([path_text(podrun.binary()), "--root".into(), path_text(&podrun.root())]);
    words.extend(["run", "--bundle", bundle.text(), "c"].map(str::to_owned));
    let out = crate::harness::command::Cmd::new(t.place(), words).run().ok();
    assert_eq!(out.stdout, "direct\nagain\ntyped");
}

fn unmapped_ids_are_named(t: &Test) {
    let podrun = t.podrun();
    for (user, field) in [
        (json!({"uid": 65536, "gid": 0}), "process.user.uid: 65536"),
        (json!({"uid": 0, "gid": 65536}), "process.user.gid: 65536"),
        (
            json!({"uid": 0, "gid": 0, "additionalGids": [5, 4_000_000]}),
            "process.user.additionalGids[1]: 4000000",
        ),
    ] {
        podrun.run_bundle(&mapped(t.bundle()).set("/process/user", user), "c").refused(&[
            field,
            "user namespace",
            "hint: ",
        ]);
    }
    assert!(podrun.ids().is_empty());
    let user = json!({"uid": 65535, "gid": 65535, "additionalGids": [5, 1000]});
    let facts = podrun.facts(&mapped(t.bundle()).set("/process/user", user));
    assert_eq!((&facts["uids"][0], &facts["groups"]), (&json!(65535), &json!([5, 1000])));
}

fn maps_that_cannot_be_are_named(t: &Test) {
    let podrun = t.podrun();
    let entry = |inside: u64, outside: u64, size: u64| json!({"containerID": inside, "hostID": outside, "size": size});
    let many: Vec<Value> = (0..100_000).map(|n| entry(n, n, 1)).collect();
    for (map, text) in [
        (json!([]), "linux.uidMappings: is missing"),
        (json!([entry(0, 0, 0)]), "linux.uidMappings[0]: size: is 0"),
        (json!([entry(0, 100, 10), entry(5, 300, 1)]), "linux.uidMappings[1]: its container ids"),
        (json!([entry(0, 100, 10), entry(50, 109, 1)]), "linux.uidMappings[1]: its host ids"),
        (json!([entry(0, 4_294_967_295, 1)]), "linux.uidMappings[0]: hostID"),
        (json!([entry(0, 1, 4_294_967_295)]), "linux.uidMappings[0]: hostID"),
        (json!([entry(0, 1, 4_294_967_296)]), "linux.uidMappings[0].size"),
        (
            json!([entry(0, 1, 1), {"containerID": -1, "hostID": 1, "size": 1}]),
            "linux.uidMappings[1].containerID",
        ),
        (json!(many), "linux.uidMappings: 100000 entries"),
    ] {
        let bundle = mapped(t.bundle()).set("/linux/uidMappings", map);
        podrun.run(&["create", "--bundle", bundle.text(), "c"]).refused(&[text]);
    }
    let alone = t.bundle().set("/linux/uidMappings", json!([entry(0, 1, 1)]));
    podrun.run_bundle(&alone, "c").refused(&["linux.uidMappings", "no user namespace"]);
    assert!(podrun.ids().is_empty());
}

fn a_namespace_without_root_runs_its_user(t: &Test) {
    let podrun = t.podrun();
    let map = |host: u32| json!([{"containerID": 1000, "hostID": host, "size": 1}]);
    let bundle = || {
        mapped(t.bundle())
            .set("/linux/uidMappings", map(UID))
            .set("/linux/gidMappings", map(GID))
            .set("/process/user", json!({"uid": 1000, "gid": 1000}))
            .edit(|config| {
                let mounts = config["mounts"].as_array_mut().expect("mounts");
                let pts = mounts.iter_mut().find(|mount| mount["type"] == "devpts").expect("devpts");
                pts["options"].as_array_mut().expect("options").retain(|option| option != "gid=5");
            })
    };
    let facts = podrun.facts(&bundle());
    assert_eq!(facts["uids"], json!([1000, 1000, 1000, 1000]));
    assert_eq!(facts["uid_map"], json!([format!("1000 {UID} 1")]));
    sleeping(&podrun, bundle(), "c");
    let inside = podrun.run(&["exec", "c", "/bin/probe", "facts"]).ok().json();
    assert_eq!(inside["gids"], json!([1000, 1000, 1000, 1000]));
    podrun
        .run(&["exec", "--user", "0", "c", "/bin/probe", "exit", "0"])
        .exits(255)
        .says(&["process.user.uid: 0"]);
    podrun.remove("c");
}

fn capabilities_limits_and_filter_hold(t: &Test) {
    let bundle = mapped(t.bundle())
        .set("/process/capabilities", all_capabilities())
        .set(
            "/process/rlimits",
            json!([{"type": "RLIMIT_NOFILE", "hard": 700, "soft": 600},
            {"type": "RLIMIT_CORE", "hard": 0, "soft": 0}]),
        )
        .set("/process/oomScoreAdj", json!(321))
        .set("/process/noNewPrivileges", json!(false))
        .set(
            "/linux/seccomp",
            json!({"defaultAction": "SCMP_ACT_ALLOW",
            "syscalls": [{"names": ["syslog"], "action": "SCMP_ACT_ERRNO"}]}),
        );
    let podrun = t.podrun();
    let facts = podrun.facts(&bundle);
    // A user namespace has all capabilities, whatever podrun itself has.
    for number in [21, 24, 27] {
        assert_eq!(facts::capabilities(&facts, "effective") >> number & 1, 1, "capability {number}");
    }
    assert_eq!(facts["rlimits"]["RLIMIT_NOFILE"], json!({"soft": 600, "hard": 700}));
    assert_eq!(facts["rlimits"]["RLIMIT_CORE"], json!({"soft": 0, "hard": 0}));
    assert_eq!((&facts["oom_score_adj"], &facts["seccomp"]), (&json!(321), &json!(2)));
    sleeping(&podrun, bundle, "c");
    let inside = podrun.run(&["exec", "c", "/bin/probe", "facts"]).ok().json();
    assert_eq!(inside["rlimits"]["RLIMIT_NOFILE"], json!({"soft": 600, "hard": 700}));
    assert_eq!((&inside["oom_score_adj"], &inside["seccomp"]), (&json!(321), &json!(2)));
    podrun.remove("c");
}

fn sysctls_of_its_namespaces_are_set(t: &Test) {
    let sysctls = json!({"net.ipv4.ip_forward": "1", "kernel.shmmni": "77", "fs.mqueue.msg_max": "9",
        "kernel.domainname": "nis.example", "user.max_user_namespaces": "3"});
    let mut args = vec!["/bin/probe", "facts"];
    for name in sysctls.as_object().expect("an object").keys() {
        args.extend(["--sysctl", name.as_str()]);
    }
    let podrun = t.podrun();
    let facts = podrun.facts(&mapped(t.bundle()).args(&args).set("/linux/sysctl", sysctls.clone()));
    assert_eq!(facts["sysctls"], sysctls);
    let without = t.bundle().set("/linux/sysctl", json!({"user.max_user_namespaces": "3"}));
    podrun.run_bundle(&without, "c").refused(&["user.max_user_namespaces", "user namespace"]);
}

fn its_root_cannot_reach_the_host(t: &Test) {
    let podrun = t.podrun();
    let secret = t.file("secret", "of the host");
    std::fs::set_permissions(&secret, PermissionsExt::from_mode(0o600)).expect("a mode");
    let script = "cat /secret; chown 0 /secret; chmod 777 /secret; echo x > /secret; \
                  mknod /tmp/mem c 1 1; mknod /dev/shm/mem c 1 1; chmod 777 /dev/full && echo own; \
                  echo 1 > /proc/sys/kernel/panic; echo b > /proc/sysrq-trigger; mount -o remount,rw /proc/sys; \
                  echo 1 > /proc/sys/kernel/panic; date -s 2000-01-01 > /dev/null; kill -9 1; nsenter -t 1 -m true; \
                  ls /proc/1/root/ | head -n 1; echo -1000 > /proc/self/oom_score_adj; echo end";
    let bundle = mapped(t.shell(script)).set("/process/capabilities", all_capabilities()).mount(
        "bind",
        &path_text(&secret),
        "/secret",
        &["bind"],
    );
    let before = std::fs::metadata("/dev/full").expect("metadata").permissions().mode();
    let panic_before = std::fs::read_to_string("/proc/sys/kernel/panic").expect("a sysctl");
    let out = podrun.run_bundle(&bundle, "c").ok();
    assert_eq!(out.stdout, "own\nbin\nend\n", "{}", out.stderr);
    assert_eq!(std::fs::read_to_string(&secret).expect("the file"), "of the host");
    assert_eq!(std::fs::metadata("/dev/full").expect("metadata").permissions().mode(), before);
    assert_eq!(std::fs::read_to_string("/proc/sys/kernel/panic").expect("a sysctl"), panic_before);
    let seen = podrun
        .run_bundle(&mapped(t.bundle()).args(&["/bin/probe", "mknod", "/dev/x", "c", "1", "1"]), "c")
        .json();
    assert_eq!(seen["mknod"], "EPERM");
}

fn another_containers_is_joined_by_path(t: &Test) {
    let podrun = t.podrun();
    let first = sleeping(&podrun, mapped(t.bundle()), "first");
    let join = |path: &str| {
        let bundle = t.bundle().namespace("user", Some(path));
        bundle::give(&bundle.rootfs("/"), UID, GID);
        bundle
    };
    let path = format!("/proc/{first}/ns/user");
    let second = sleeping(&podrun, join(&path), "second");
    assert_eq!(proc::namespace(second, "user"), proc::namespace(first, "user"));
    for kind in ["mnt", "net", "ipc", "uts", "pid"] {
        assert_ne!(proc::namespace(second, kind), proc::namespace(first, kind), "{kind}");
        assert_eq!(owner_of(&format!("/proc/{second}/ns/{kind}")), proc::namespace(first, "user"), "{kind}");
    }
    assert_eq!(proc::status_field(second, "Groups").as_deref(), Some(""));
    let facts = podrun.run(&["exec", "second", "/bin/probe", "facts"]).ok().json();
    assert_eq!(facts["uid_map"], json!([format!("0 {UID} 65536")]));
    // By a file that it is bound to, and with the other namespaces too.
    let bound = t.file("user", "");
    mount(Some(path.as_str()), &bound, None::<&str>, MsFlags::MS_BIND, None::<&str>).expect("a mount");
    let all = ["network", "ipc", "uts", "pid"]
        .iter()
        .zip(["net", "ipc", "uts", "pid"])
        .fold(pods::joining(join(&path_text(&bound))), |bundle, (kind, file)| {
            bundle.namespace(kind, Some(&format!("/proc/{first}/ns/{file}")))
        });
    let third = sleeping(&podrun, all, "third");
    for kind in ["user", "net", "ipc", "uts", "pid"] {
        assert_eq!(proc::namespace(third, kind), proc::namespace(first, kind), "{kind}");
    }
    umount2(&bound, MntFlags::MNT_DETACH).expect("unmounted");
    // Maps that are not those of the namespace.
    let other = join(&path).set("/linux/uidMappings", json!([{"containerID": 0, "hostID": 5, "size": 1}]));
    let other = other.set("/linux/gidMappings", json!([{"containerID": 0, "hostID": 5, "size": 1}]));
    podrun.run_bundle(&other, "c").refused(&["linux.uidMappings", "has others"]);
    let user = join(&path).set("/process/user", json!({"uid": 70000, "gid": 0}));
    podrun.run_bundle(&user, "c").refused(&["process.user.uid: 70000"]);
    let wrong = join(&format!("/proc/{first}/ns/net"));
    podrun.run_bundle(&wrong, "c").refused(&["linux.namespaces", "of another type"]);
    for id in ["third", "second", "first"] {
        podrun.remove(id);
    }
}

fn namespaces_of_the_host_are_joined_from_within(t: &Test) {
    let podrun = t.podrun();
    let owner = sleeping(&podrun, t.bundle(), "owner");
    let bound_sys = |bundle: Bundle| {
        bundle.edit(|config| {
            let mounts = config["mounts"].as_array_mut().expect("mounts");
            mounts.retain(|mount| mount["type"] != "sysfs" && mount["type"] != "mqueue");
            let sys =
                json!({"type": "none", "source": "/sys", "destination": "/sys", "options": ["rbind", "ro"]});
            mounts.insert(1, sys);
        })
    };
    let bundle = ["network", "ipc", "uts"]
        .iter()
        .zip(["net", "ipc", "uts"])
        .fold(bound_sys(pods::joining(mapped(t.bundle()))), |bundle, (kind, file)| {
            bundle.namespace(kind, Some(&format!("/proc/{owner}/ns/{file}")))
        });
    let pid = sleeping(&podrun, bundle, "c");
    for kind in ["net", "ipc", "uts"] {
        assert_eq!(proc::namespace(pid, kind), proc::namespace(owner, kind), "{kind}");
    }
    assert_eq!(owner_of(&format!("/proc/{pid}/ns/mnt")), proc::namespace(pid, "user"));
    let facts = podrun.run(&["exec", "c", "/bin/probe", "facts"]).ok().json();
    assert_eq!(facts::namespace(&facts, "net"), proc::namespace(owner, "net"));
    podrun.remove("c");
    podrun.remove("owner");
}

fn a_file_system_of_a_foreign_namespace_is_explained(t: &Test) {
    let podrun = t.podrun();
    let bundle = mapped(t.bundle()).namespace("network", None);
    podrun.run_bundle(&bundle, "c").refused(&[
        "cannot mount sysfs at \"/sys\"",
        "hint: ",
        "network namespace",
    ]);
    let gid =
        mapped(t.bundle()).set("/linux/gidMappings", json!([{"containerID": 0, "hostID": GID, "size": 1}]));
    podrun.run_bundle(&gid, "c").refused(&["cannot mount devpts", "gid"]);
    assert!(podrun.ids().is_empty());
}

fn exec_is_in_it_and_is_checked(t: &Test) {
    let podrun = t.podrun();
    let pid = sleeping(&podrun, mapped(t.bundle()), "c");
    let facts =
        podrun.run(&["exec", "--user", "1000:1000", "-g", "5", "c", "/bin/probe", "facts"]).ok().json();
    for kind in ["user", "mnt", "net", "ipc", "uts", "pid"] {
        assert_eq!(facts::namespace(&facts, kind), proc::namespace(pid, kind), "{kind}");
    }
    assert_eq!((&facts["uids"][0], &facts["groups"]), (&json!(1000), &json!([5])));
    assert_eq!(facts["uid_map"], json!([format!("0 {UID} 65536")]));
    podrun
        .run(&["exec", "--user", "65536", "c", "/bin/probe", "exit", "0"])
        .exits(255)
        .says(&["process.user.uid: 65536", "user namespace"]);
    let listener = console::Listener::at(&t.path("console"));
    podrun
        .run(&[
            "exec",
            "-d",
            "-t",
            "--user",
            "1000",
            "--console-socket",
            listener.path(),
            "c",
            "/bin/probe",
            "facts",
        ])
        .ok();
    listener.accept().read_until("\"controlling\":\"ok\"");
    podrun.remove("c");
}

fn life_is_as_of_every_container(t: &Test) {
    let podrun = t.podrun();
    let bundle = mapped(t.bundle()).args(&["/bin/probe", "sleep", "300"]);
    podrun.create(&bundle, "c");
    assert_eq!(podrun.status("c").as_deref(), Some("created"));
    podrun.run(&["start", "c"]).ok();
    let pid = podrun.pid("c");
    assert_eq!(podrun.run(&["ps", "-f", "json", "c"]).ok().json(), json!([pid]));
    podrun.run(&["pause", "c"]).ok();
    assert_eq!(podrun.status("c").as_deref(), Some("paused"));
    podrun.run(&["resume", "c"]).ok();
    podrun.run(&["kill", "c", "KILL"]).ok();
    podrun.wait_status("c", "stopped");
    podrun.run(&["delete", "c"]).ok();
    // A program that is not there is found out before `create` returns, as without a user namespace.
    podrun.run_bundle(&mapped(t.bundle()).args(&["/no/such"]), "c").refused(&["/no/such"]);
    podrun.run_bundle(&mapped(t.bundle()).args(&["/bin/probe", "exit", "7"]), "c").exits(7);
    assert_eq!(podrun.status("c"), None);
}

fn a_pod_takes_it_in(t: &Test) {
    let podrun = t.podrun();
    podrun.pod_create("shop", &[]);
    let pause = podrun.pause_pid("shop");
    let bound = |bundle: Bundle| {
        bundle.edit(|config| {
            let mounts = config["mounts"].as_array_mut().expect("mounts");
            mounts.retain(|mount| mount["type"] != "sysfs" && mount["type"] != "mqueue");
        })
    };
    let bundle = bound(mapped(pods::joining(t.bundle()))).args(&["/bin/probe", "sleep", "300"]);
    drop(podrun.up_in("shop", &bundle, "c", &[]));
    let pid = podrun.pid("c");
    for kind in ["net", "ipc", "uts"] {
        assert_eq!(proc::namespace(pid, kind), proc::namespace(pause, kind), "{kind}");
    }
    assert_ne!(proc::namespace(pid, "user"), proc::namespace("self", "user"));
    let bundle = mapped(pods::joining(t.bundle()));
    podrun.run(&["create", "--pod", "shop", "--bundle", bundle.text(), "d"]).refused(&[
        "mqueue",
        "hint: ",
        "user namespace",
    ]);
    podrun.remove("c");
    podrun.remove_pod("shop");
}

fn a_rootless_bundle_runs_as_root(t: &Test) {
    let podrun = t.podrun();
    let written = t.directory("spec");
    podrun.run(&["spec", "--rootless", "--bundle", &path_text(&written)]).ok();
    let text = std::fs::read_to_string(written.join("config.json")).expect("a config");
    let mut config: Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(config["linux"]["uidMappings"], json!([{"containerID": 0, "hostID": 0, "size": 1}]));
    config["process"]["terminal"] = json!(false);
    config["process"]["args"] = json!(["/bin/probe", "facts"]);
    let bundle = t.bundle().edit(|own| *own = config);
    for words in [&[][..], &["--rootless"], &["--rootless=auto"], &["--rootless", "true"]] {
        let facts = podrun.with_globals(words).facts(&bundle);
        assert_eq!(facts["uid_map"], json!(["0 0 1"]), "{words:?}");
        assert_ne!(facts::namespace(&facts, "user"), proc::namespace("self", "user"));
    }
}
