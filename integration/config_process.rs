//! What config.json says of the process: namespaces, identity, capabilities, limits, environment, descriptors, seccomp.

use crate::harness::command::Cmd;
use crate::harness::{Case, Test, case, eventually, facts, machine, proc, runtime::path_text, skip};
use serde_json::{Value, json};

pub fn cases() -> Vec<Case> {
    vec![
        case!(new_namespaces_are_not_the_hosts),
        case!(namespaces_left_out_are_the_hosts),
        case!(namespaces_are_joined_by_path),
        case!(mount_namespace_is_joined_by_path),
        case!(init_is_pid_1_of_its_namespace),
        case!(loopback_is_up_in_a_new_network),
        case!(hostname_and_domainname_are_set),
        case!(hostname_without_uts_namespace_is_refused),
        case!(name_that_the_kernel_does_not_take_is_refused),
        case!(user_groups_and_umask),
        case!(unprivileged_user_loses_effective_capabilities),
        case!(ambient_capabilities_stay_with_an_unprivileged_user),
        case!(capability_sets_are_exact),
        case!(no_capabilities_entry_means_none),
        case!(unknown_capability_is_warned_about_and_dropped),
        case!(ungrantable_capability_is_warned_about_and_dropped),
        case!(capability_outside_of_its_set_is_warned_about_and_dropped),
        case!(no_new_privileges_on_and_off),
        case!(rlimits_are_set),
        case!(rlimit_that_is_unknown_or_doubled_is_refused),
        case!(rlimit_that_cannot_be_raised_is_named),
        case!(hard_rlimit_is_raised_with_the_privilege),
        case!(oom_score_adj_is_set),
        case!(oom_score_adj_is_lowered_with_the_privilege),
        case!(sysctls_are_set),
        case!(sysctl_outside_the_namespaces_is_refused),
        case!(environment_is_exactly_the_given_one),
        case!(standard_streams_can_be_opened_by_the_user),
        case!(command_is_found_in_the_path_of_the_config),
        case!(working_directory_is_made_and_entered),
        case!(working_directory_that_is_a_file_is_refused),
        case!(console_socket_gets_one_named_terminal),
        case!(console_size_is_set),
        case!(terminal_and_console_socket_need_each_other),
        case!(run_in_the_foreground_uses_the_callers_terminal),
        case!(preserved_descriptors_arrive),
        case!(preserved_descriptors_may_be_closed),
        case!(activated_sockets_arrive),
        case!(only_standard_descriptors_arrive),
        case!(signal_dispositions_are_the_default),
        case!(session_keyring_is_new_unless_told_otherwise),
        case!(unknown_properties_are_ignored),
        case!(annotations_and_numbers_of_every_kind_are_read),
    ]
}

fn new_namespaces_are_not_the_hosts(t: &Test) {
    let facts = t.podrun().facts(&t.bundle().namespace("cgroup", Some("")));
    for kind in ["mnt", "net", "ipc", "uts", "pid", "cgroup"] {
        assert!(!facts::shares_with_host(&facts, kind), "{kind} is the host's");
    }
    assert!(facts::shares_with_host(&facts, "user"), "no user namespace was asked for");
    let cgroups = facts::strings(&facts["cgroups"]);
    // The group is the root of the namespace in every hierarchy that podrun put it into.
    assert!(cgroups.iter().any(|line| line.ends_with(":/")), "{cgroups:?}");
}

fn namespaces_left_out_are_the_hosts(t: &Test) {
    let bundle = ["network", "ipc", "uts", "pid"].iter().fold(t.bundle(), |b, kind| b.namespace(kind, None));
    let facts = t.podrun().facts(&bundle.edit(|config| {
        config.as_object_mut().expect("an object").remove("hostname");
    }));
    for kind in ["net", "ipc", "uts", "pid"] {
        assert!(facts::shares_with_host(&facts, kind), "{kind} is not the host's");
    }
    assert_ne!(facts["pid"], 1);
}

fn namespaces_are_joined_by_path(t: &Test) {
    let podrun = t.podrun();
    podrun.up(&t.bundle().args(&["/bin/probe", "sleep", "60"]), "owner");
    let pid = podrun.pid("owner");
    let mut bundle = t.bundle();
    for (kind, file) in [("network", "net"), ("ipc", "ipc"), ("uts", "uts"), ("pid", "pid")] {
        bundle = bundle.namespace(kind, Some(&format!("/proc/{pid}/ns/{file}")));
    }
    let facts = podrun.facts(&bundle);
    for kind in ["net", "ipc", "uts", "pid"] {
        assert_eq!(facts::namespace(&facts, kind), proc::namespace(pid, kind), "{kind} is not the owner's");
    }
    assert_ne!(facts::namespace(&facts, "mnt"), proc::namespace(pid, "mnt"));
    assert_ne!(facts["pid"], 1, "the owner is PID 1");
    podrun.remove("owner");
}

/// As with runc: the root file system and the sources of mounts are looked for there, and the container's root takes the
/// place of what was the root.
fn mount_namespace_is_joined_by_path(t: &Test) {
    let podrun = t.podrun();
    let mounts = proc::mounts("self").len();
    let source = t.path("data");
    std::fs::create_dir(&source).expect("a directory");
    let script =
        format!("mount -t tmpfs there {0} && echo there >{0}/file && exec sleep 60", source.display());
    let owner = Cmd::new(&t.path(""), ["unshare", "--mount", "sh", "-c", &script]).spawn();
    let pid = owner.pid();
    eventually("the mount", || proc::mounts(pid).iter().any(|mount| mount.concerns(&source)).then_some(()));
    let namespace = proc::namespace(pid, "mnt");
    let path = format!("/proc/{pid}/ns/mnt");
    let bundle =
        t.shell("readlink /proc/self/ns/mnt; cat /data/file; ls -d /work /usr/lib; ls /proc/1/root/bin/sh");
    let joining =
        bundle.mount("bind", &path_text(&source), "/data", &["bind"]).namespace("mount", Some(&path));
    let said = podrun.run_bundle(&joining, "c").stdout;
    assert_eq!(said, format!("mnt:[{namespace}]\nthere\n/proc/1/root/bin/sh\n"));
    assert_eq!(proc::mounts("self").len(), mounts, "the host's mounts stay");
    owner.signal(nix::sys::signal::Signal::SIGKILL);
    let both = t.bundle().namespace("mount", Some(&path)).namespace("user", Some("/proc/self/ns/user"));
    podrun.run_bundle(&both, "c").refused(&["mount namespace together with a user namespace"]);
    // An empty path is none.
    let new = t.bundle().in_user_namespace(100_000, 100_000).namespace("mount", None);
    podrun.facts(&new.push("/linux/namespaces", json!({"type": "mount", "path": ""})));
}

fn init_is_pid_1_of_its_namespace(t: &Test) {
    let facts = t.podrun().facts(&t.bundle());
    assert_eq!((&facts["pid"], &facts["ppid"]), (&json!(1), &json!(0)));
    assert_eq!((&facts["sid"], &facts["pgid"]), (&json!(1), &json!(1)), "init leads a session of its own");
    assert_eq!(facts["init_comm"], "probe");
}

fn loopback_is_up_in_a_new_network(t: &Test) {
    let facts = t.podrun().facts(&t.bundle());
    let lo = facts::entry(&facts["interfaces"], "lo");
    assert_eq!(lo["up"], true);
}

fn hostname_and_domainname_are_set(t: &Test) {
    let before = nix::unistd::gethostname().expect("a hostname");
    let facts = t
        .podrun()
        .facts(&t.bundle().set("/hostname", json!("web-1")).set("/domainname", json!("example.org")));
    assert_eq!((&facts["hostname"], &facts["domainname"]), (&json!("web-1"), &json!("example.org")));
    assert_eq!(nix::unistd::gethostname().expect("a hostname"), before, "the host's stays");
}

fn hostname_without_uts_namespace_is_refused(t: &Test) {
    let bundle = t.bundle().namespace("uts", None);
    t.podrun().run_bundle(&bundle, "c").refused(&["hostname", "uts"]);
}

fn name_that_the_kernel_does_not_take_is_refused(t: &Test) {
    let podrun = t.podrun();
    for field in ["hostname", "domainname"] {
        let named = |name: &str| t.bundle().set(&format!("/{field}"), json!(name));
        assert_eq!(podrun.facts(&named(&"x".repeat(64)))[field], "x".repeat(64));
        podrun.run_bundle(&named(&"x".repeat(65)), "c").refused(&[&format!("{field}: "), "65", "hint:"]);
        podrun.run_bundle(&named("a\0b"), "c").refused(&[&format!("{field}: "), "NUL"]);
    }
    let user = json!({"uid": 1, "gid": 2, "umask": 0o1022});
    podrun
        .run_bundle(&t.bundle().set("/process/user", user), "c")
        .refused(&["process.user.umask: 530", "hint:"]);
}

fn user_groups_and_umask(t: &Test) {
    let user = json!({"uid": 1000, "gid": 1001, "additionalGids": [5, 2000], "umask": 0o077});
    let facts = t.podrun().facts(&t.bundle().set("/process/user", user));
    assert_eq!(facts["uids"], json!([1000, 1000, 1000, 1000]));
    assert_eq!(facts["gids"], json!([1001, 1001, 1001, 1001]));
    let groups: Vec<u32> = serde_json::from_value(facts["groups"].clone()).expect("numbers");
    assert!(groups.contains(&5) && groups.contains(&2000), "{groups:?}");
    assert!(groups.iter().all(|group| [5, 1001, 2000].contains(group)), "{groups:?}");
    assert_eq!(facts["umask"], "0077");
    let plain = t.podrun().facts(&t.bundle());
    assert_eq!((&plain["umask"], &plain["groups"]), (&json!("0022"), &json!([])), "nothing of the caller's");
}

fn unprivileged_user_loses_effective_capabilities(t: &Test) {
    let facts = t.podrun().facts(&t.bundle().set("/process/user", json!({"uid": 1000, "gid": 1000})));
    for set in ["effective", "permitted", "inheritable", "ambient"] {
        assert_eq!(facts::capabilities(&facts, set), 0, "{set}");
    }
    assert_ne!(facts::capabilities(&facts, "bounding"), 0);
}

fn ambient_capabilities_stay_with_an_unprivileged_user(t: &Test) {
    let net_bind = json!(["CAP_NET_BIND_SERVICE"]);
    let sets = json!({"bounding": net_bind, "effective": net_bind, "permitted": net_bind, "inheritable": net_bind,
                      "ambient": net_bind});
    let bundle = t.bundle().set("/process/user", json!({"uid": 1000, "gid": 1000}));
    let facts = t.podrun().facts(&bundle.set("/process/capabilities", sets));
    for set in ["effective", "permitted", "inheritable", "ambient", "bounding"] {
        assert_eq!(facts::capabilities(&facts, set), 1 << 10, "{set}");
    }
}

fn capability_sets_are_exact(t: &Test) {
    let facts = t.podrun().facts(&t.bundle());
    // CHOWN DAC_OVERRIDE FOWNER FSETID KILL SETGID SETUID SETPCAP NET_BIND NET_RAW SYS_CHROOT MKNOD AUDIT_WRITE SETFCAP
    for (set, mask) in [
        ("bounding", 0xa804_25fb),
        ("effective", 0xa804_25fb),
        ("permitted", 0xa804_25fb),
        ("inheritable", 0),
        ("ambient", 0),
    ] {
        assert_eq!(facts::capabilities(&facts, set), mask, "{set}: {}", facts["caps"]);
    }
}

fn no_capabilities_entry_means_none(t: &Test) {
    let facts = t.podrun().facts(&t.bundle().edit(|config| {
        config["process"].as_object_mut().expect("an object").remove("capabilities");
    }));
    for set in ["effective", "permitted", "inheritable", "ambient"] {
        assert_eq!(facts::capabilities(&facts, set), 0, "{set}: {}", facts["caps"]);
    }
}

fn unknown_capability_is_warned_about_and_dropped(t: &Test) {
    let sets =
        json!({"bounding": ["CAP_KILL", "CAP_FLY"], "effective": ["CAP_KILL"], "permitted": ["CAP_KILL"]});
    let out =
        t.podrun().run_bundle(&t.bundle().set("/process/capabilities", sets), "c").ok().says(&["CAP_FLY"]);
    assert_eq!(facts::capabilities(&out.json(), "bounding"), 1 << 5);
    assert_eq!(out.stderr.matches("CAP_FLY").count(), 1, "said once: {}", out.stderr);
}

fn ungrantable_capability_is_warned_about_and_dropped(t: &Test) {
    if machine::has_capability(machine::CAP_SYS_RESOURCE) {
        skip("every capability can be granted here");
    }
    let list = json!(["CAP_KILL", "CAP_SYS_RESOURCE"]);
    let sets = json!({"bounding": list, "effective": list, "permitted": list});
    let out = t.podrun().run_bundle(&t.bundle().set("/process/capabilities", sets), "c").ok();
    let out = out.says(&["CAP_SYS_RESOURCE"]);
    assert_eq!(facts::capabilities(&out.json(), "effective"), 1 << 5);
}

fn capability_outside_of_its_set_is_warned_about_and_dropped(t: &Test) {
    let both = json!(["CAP_KILL", "CAP_CHOWN"]);
    let sets =
        json!({"bounding": both, "effective": both, "permitted": ["CAP_KILL"], "ambient": ["CAP_KILL"]});
    let out = t.podrun().run_bundle(&t.bundle().set("/process/capabilities", sets), "c").ok();
    let out = out.says(&["CAP_CHOWN (effective", "CAP_KILL (ambient"]);
    assert_eq!(out.stderr.matches("warning").count(), 1, "said once: {}", out.stderr);
    assert_eq!(facts::capabilities(&out.json(), "effective"), 1 << 5);
    assert_eq!(facts::capabilities(&out.json(), "ambient"), 0);
}

fn no_new_privileges_on_and_off(t: &Test) {
    for flag in [true, false] {
        let facts = t.podrun().facts(&t.bundle().set("/process/noNewPrivileges", json!(flag)));
        assert_eq!(facts["no_new_privs"], flag);
    }
}

fn rlimits_are_set(t: &Test) {
    let limits = json!([{"type": "RLIMIT_NOFILE", "soft": 100, "hard": 200},
                        {"type": "RLIMIT_CORE", "soft": 0, "hard": 0},
                        {"type": "RLIMIT_CPU", "soft": 60, "hard": 90}]);
    let facts = t.podrun().facts(&t.bundle().set("/process/rlimits", limits));
    assert_eq!(facts["rlimits"]["RLIMIT_NOFILE"], json!({"soft": 100, "hard": 200}));
    assert_eq!(facts["rlimits"]["RLIMIT_CORE"], json!({"soft": 0, "hard": 0}));
    assert_eq!(facts["rlimits"]["RLIMIT_CPU"], json!({"soft": 60, "hard": 90}));
}

fn rlimit_that_is_unknown_or_doubled_is_refused(t: &Test) {
    let podrun = t.podrun();
    let unknown = json!([{"type": "RLIMIT_LUCK", "soft": 1, "hard": 1}]);
    podrun.run_bundle(&t.bundle().set("/process/rlimits", unknown), "c").refused(&["RLIMIT_LUCK"]);
    let one = json!({"type": "RLIMIT_CORE", "soft": 1, "hard": 1});
    podrun.run_bundle(&t.bundle().set("/process/rlimits", json!([one, one])), "c").refused(&["RLIMIT_CORE"]);
    let upside_down = json!([{"type": "RLIMIT_CORE", "soft": 2, "hard": 1}]);
    podrun.run_bundle(&t.bundle().set("/process/rlimits", upside_down), "c").refused(&["RLIMIT_CORE"]);
}

fn rlimit_that_cannot_be_raised_is_named(t: &Test) {
    if machine::has_capability(machine::CAP_SYS_RESOURCE) {
        skip("CAP_SYS_RESOURCE lets every limit be raised");
    }
    let limits = json!([{"type": "RLIMIT_NOFILE", "soft": 1_000_000, "hard": 1_000_000}]);
    let out = t.podrun().run_bundle(&t.bundle().set("/process/rlimits", limits), "c");
    out.refused(&["RLIMIT_NOFILE", "CAP_SYS_RESOURCE"]);
}

fn hard_rlimit_is_raised_with_the_privilege(t: &Test) {
    if !machine::has_capability(machine::CAP_SYS_RESOURCE) {
        skip("CAP_SYS_RESOURCE is missing");
    }
    let limits = json!([{"type": "RLIMIT_MEMLOCK", "soft": 1_u64 << 40, "hard": 1_u64 << 40}]);
    let facts = t.podrun().facts(&t.bundle().set("/process/rlimits", limits));
    assert_eq!(facts["rlimits"]["RLIMIT_MEMLOCK"]["hard"], 1_u64 << 40);
}

fn oom_score_adj_is_set(t: &Test) {
    let podrun = t.podrun();
    assert_eq!(podrun.facts(&t.bundle().set("/process/oomScoreAdj", json!(500)))["oom_score_adj"], 500);
    let own = std::fs::read_to_string("/proc/self/oom_score_adj").expect("a number");
    assert_eq!(podrun.facts(&t.bundle())["oom_score_adj"].to_string(), own.trim(), "left out: as it was");
    podrun
        .run_bundle(&t.bundle().set("/process/oomScoreAdj", json!(1001)), "c")
        .refused(&["oomScoreAdj", "1001"]);
}

fn oom_score_adj_is_lowered_with_the_privilege(t: &Test) {
    let bundle = t.bundle().set("/process/oomScoreAdj", json!(-999));
    if machine::has_capability(machine::CAP_SYS_RESOURCE) {
        assert_eq!(t.podrun().facts(&bundle)["oom_score_adj"], -999);
    } else {
        t.podrun().run_bundle(&bundle, "c").refused(&["-999", "CAP_SYS_RESOURCE"]);
        skip("CAP_SYS_RESOURCE is missing: podrun says so");
    }
}

fn sysctls_are_set(t: &Test) {
    let names = ["net.ipv4.ip_forward", "kernel.msgmax", "fs.mqueue.msg_max", "net/ipv4/conf/lo/forwarding"];
    let mut args = vec!["/bin/probe", "facts"];
    args.extend(names.iter().flat_map(|name| ["--sysctl", *name]));
    let values = json!({"net.ipv4.ip_forward": "1", "kernel.msgmax": "4096", "fs.mqueue.msg_max": "20",
                        "net/ipv4/conf/lo/forwarding": "1"});
    let facts = t.podrun().facts(&t.bundle().args(&args).set("/linux/sysctl", values));
    assert_eq!(
        names.map(|name| facts["sysctls"][name].as_str().unwrap_or_default()),
        ["1", "4096", "20", "1"],
        "{}",
        facts["sysctls"]
    );
}

fn sysctl_outside_the_namespaces_is_refused(t: &Test) {
    let podrun = t.podrun();
    let before = std::fs::read_to_string("/proc/sys/vm/swappiness").expect("a number");
    let host_wide = t.bundle().set("/linux/sysctl", json!({"vm.swappiness": "1"}));
    podrun.run_bundle(&host_wide, "c").refused(&["vm.swappiness"]);
    assert_eq!(std::fs::read_to_string("/proc/sys/vm/swappiness").expect("a number"), before);
    let shared =
        t.bundle().namespace("network", None).set("/linux/sysctl", json!({"net.ipv4.ip_forward": "1"}));
    podrun.run_bundle(&shared, "c").refused(&["net.ipv4.ip_forward", "network"]);
    let missing = t.bundle().set("/linux/sysctl", json!({"net.no.such": "1"}));
    podrun.run_bundle(&missing, "c").refused(&["net.no.such"]);
    let escape = t.bundle().set("/linux/sysctl", json!({"net/../vm/swappiness": "1"}));
    podrun.run_bundle(&escape, "c").refused(&["net/../vm/swappiness"]);
}

fn environment_is_exactly_the_given_one(t: &Test) {
    let podrun = t.podrun();
    let env = json!(["PATH=/bin", "A=1", "B=with = and blank", "EMPTY="]);
    let facts = podrun.facts(&t.bundle().set("/process/env", env));
    let mut have = facts::strings(&facts["env"]);
    // runc adds HOME from the image's passwd file when the config has none; no variable of the caller's comes in.
    have.retain(|variable| variable != "HOME=/root" && variable != "HOME=/");
    assert_eq!(have, ["PATH=/bin", "A=1", "B=with = and blank", "EMPTY="]);
}

fn standard_streams_can_be_opened_by_the_user(t: &Test) {
    let podrun = t.podrun();
    let bundle = t
        .shell("echo out > /dev/stdout; echo err > /dev/stderr")
        .set("/process/user", json!({"uid": 1000, "gid": 1000}));
    // A pipe belongs to who made it; programs such as nginx open /dev/stdout by name.
    let script = "\"$@\" 2>&1 | cat";
    let cmd = podrun.cmd(&["run", "--bundle", bundle.text(), "c"]);
    assert_eq!(cmd.under(["sh", "-c", script, "sh"]).run().ok().stdout, "out\nerr\n");
}

fn command_is_found_in_the_path_of_the_config(t: &Test) {
    let podrun = t.podrun();
    let tool = |b: crate::harness::Bundle| {
        let probe = std::fs::read(b.rootfs("/bin/probe")).expect("the probe");
        b.with_file("/opt/tools/tool", probe, 0o755)
    };
    let bundle = tool(t.bundle())
        .set("/process/env", json!(["PATH=/nowhere:/opt/tools"]))
        .args(&["tool", "exit", "6"]);
    podrun.run_bundle(&bundle, "c").exits(6);
    let relative = tool(t.bundle()).set("/process/cwd", json!("/opt")).args(&["./tools/tool", "exit", "7"]);
    podrun.run_bundle(&relative, "c").exits(7);
    // A file of that name which may not be executed is passed over, as execvp(3) does.
    let shadowed = tool(t.bundle())
        .with_file("/first/tool", "no program", 0o644)
        .set("/process/env", json!(["PATH=/first:/opt/tools"]))
        .args(&["tool", "exit", "8"]);
    podrun.run_bundle(&shadowed, "c").exits(8);
}

fn working_directory_is_made_and_entered(t: &Test) {
    let podrun = t.podrun();
    for cwd in ["/tmp", "/made/by/podrun"] {
        assert_eq!(podrun.facts(&t.bundle().set("/process/cwd", json!(cwd)))["cwd"], cwd);
    }
    podrun.run_bundle(&t.bundle().set("/process/cwd", json!("relative")), "c").refused(&["cwd", "relative"]);
}

fn working_directory_that_is_a_file_is_refused(t: &Test) {
    let bundle = t.bundle().with_file("/file", "", 0o644).set("/process/cwd", json!("/file"));
    t.podrun().run_bundle(&bundle, "c").refused(&["/file", "not a directory"]);
}

fn console_socket_gets_one_named_terminal(t: &Test) {
    let podrun = t.podrun();
    let console = crate::harness::console::Listener::at(&t.path("tty.sock"));
    let script =
        "test -t 0 && test -t 1 && test -t 2 && tty && stty -a | grep -q echo && read -r l && echo got $l";
    let bundle = t.shell(script).set("/process/terminal", json!(true));
    podrun
        .run(&["create", "--bundle", bundle.text(), "--console-socket", console.path(), "c"])
        .ok()
        .quietly();
    let mut master = console.accept();
    assert!(!master.name.is_empty() && master.name.len() < 4096, "name of {} bytes", master.name.len());
    assert_eq!(master.descriptors, 1, "exactly one");
    podrun.run(&["start", "c"]).ok();
    master.write("line\n");
    let seen = master.read_until("got line");
    assert!(seen.contains("/dev/console") || seen.contains("/dev/pts/0"), "{seen}");
    podrun.wait_status("c", "stopped");
    podrun.run(&["delete", "c"]).ok();
}

fn console_size_is_set(t: &Test) {
    let podrun = t.podrun();
    let console = crate::harness::console::Listener::at(&t.path("tty.sock"));
    let bundle = t.bundle().set("/process/terminal", json!(true));
    let bundle = bundle.set("/process/consoleSize", json!({"height": 33, "width": 77}));
    podrun.run(&["create", "--bundle", bundle.text(), "--console-socket", console.path(), "c"]).ok();
    let mut master = console.accept();
    podrun.run(&["start", "c"]).ok();
    let text = master.read_until("\n");
    let facts: Value = serde_json::from_str(text.trim()).expect("facts through the terminal");
    assert_eq!(facts["tty"]["size"], json!([33, 77]));
    assert_eq!(facts["tty"]["isatty"], json!([true, true, true]));
    assert_eq!(facts["tty"]["controlling"], "ok");
    assert!(facts["dev"].as_array().expect("a list").iter().any(|entry| entry["name"] == "console"));
    podrun.wait_status("c", "stopped");
    podrun.run(&["delete", "c"]).ok();
}

fn terminal_and_console_socket_need_each_other(t: &Test) {
    let podrun = t.podrun();
    let with_terminal = t.bundle().set("/process/terminal", json!(true));
    podrun.run(&["create", "--bundle", with_terminal.text(), "c"]).refused(&["--console-socket", "terminal"]);
    let without = t.bundle();
    let socket = path_text(&t.path("tty.sock"));
    let out = podrun.run(&["create", "--bundle", without.text(), "--console-socket", &socket, "c"]);
    out.refused(&["--console-socket", "terminal"]);
    let out = podrun.run(&["create", "--bundle", with_terminal.text(), "--console-socket", &socket, "c"]);
    out.refused(&["tty.sock"]);
}

fn run_in_the_foreground_uses_the_callers_terminal(t: &Test) {
    let podrun = t.podrun();
    let bundle = t.shell("tty; stty size; cat /before; exit 4").set("/process/terminal", json!(true));
    // The size is there before the program is.
    let hook = json!({"path": "/bin/sh", "args": ["sh", "-c", "stty size </dev/console >/before"]});
    let bundle = bundle.set("/hooks/startContainer", json!([hook]));
    let mut master = crate::harness::console::Terminal::new(40, 100);
    let out = master.run_inside(podrun.cmd(&["run", "--bundle", bundle.text(), "c"]));
    let seen = master.read_until("40 100\r\n40 100");
    assert!(seen.contains("/dev/"), "{seen}");
    out.exits(4);
    // A terminal without a window leaves the config's size.
    let bundle = bundle.set("/process/consoleSize", json!({"height": 33, "width": 77}));
    let mut master = crate::harness::console::Terminal::new(0, 0);
    master.run_inside(podrun.cmd(&["run", "--bundle", bundle.text(), "c"])).exits(4);
    master.read_until("33 77\r\n33 77");
}

fn preserved_descriptors_arrive(t: &Test) {
    let podrun = t.podrun();
    let file = path_text(&t.file("extra", "through the descriptor"));
    let bundle = t.bundle().args(&["/bin/probe", "print-fd", "4"]);
    let cmd = podrun.cmd(&["run", "--preserve-fds", "2", "--bundle", bundle.text(), "c"]);
    let out = cmd.under(["sh", "-c", &format!("exec 3</dev/null 4<{file}; exec \"$@\""), "sh"]).run().ok();
    assert_eq!(out.stdout, "through the descriptor");
}

/// One that is not open stays closed, and is not silently something else: none of podrun's own, in created containers
/// too.
fn preserved_descriptors_may_be_closed(t: &Test) {
    let podrun = t.podrun();
    let numbers = |facts: &Value| -> Vec<i64> {
        facts["fds"].as_array().expect("a list").iter().filter_map(|fd| fd["fd"].as_i64()).collect()
    };
    let with_gaps = ["sh", "-c", "exec 3<&- 4</dev/null 7</dev/null 9</dev/null; exec \"$@\"", "sh"];
    let bundle = t.bundle();
    let run = podrun.cmd(&["run", "--preserve-fds", "6", "--bundle", bundle.text(), "c"]);
    let out = run.under(with_gaps).run().ok();
    assert_eq!(numbers(&out.json()), [0, 1, 2, 4, 7]);
    out.says(&["--preserve-fds 6", "3 to 8", "3 is not open"]);
    for (count, words) in [("1", "3 to 3"), ("4294967295", "3 to 4294967297")] {
        let run = podrun.cmd(&["run", "--preserve-fds", count, "--bundle", bundle.text(), "c"]);
        let out = run.under(["sh", "-c", "exec 3<&- 4</dev/null; exec \"$@\"", "sh"]).run().ok();
        // The test's own may follow.
        let numbers = numbers(&out.json());
        assert!(!numbers.contains(&3) && numbers.contains(&4) == (count != "1"), "{numbers:?}");
        out.says(&[words, "3 is not open"]);
    }
    let create = podrun.cmd(&["create", "--preserve-fds", "6", "--bundle", bundle.text(), "c"]);
    create.under(with_gaps).run().ok();
    let held = format!("/proc/{}/fd", podrun.pid("c"));
    for number in 3..32 {
        let Ok(target) = std::fs::read_link(format!("{held}/{number}")) else { continue };
        let target = path_text(&target);
        let own = target.starts_with("socket:") || target.ends_with("exec.fifo");
        assert!(own || target == "/dev/null", "init holds {target} at {number}");
        assert!(own || number == 4 || number == 7, "init holds {target} at {number}");
    }
    podrun.run(&["delete", "c"]).ok();
}

fn activated_sockets_arrive(t: &Test) {
    let podrun = t.podrun();
    let bundle = t.bundle();
    let cmd = podrun.cmd(&["run", "--bundle", bundle.text(), "c"]);
    // As systemd starts a service: descriptor 3, and the number of them for this very process.
    let script = "exec 3</dev/null; LISTEN_FDS=1 LISTEN_PID=$$ exec \"$@\"";
    let facts = cmd.under(["sh", "-c", script, "sh"]).run().ok().json();
    let env = facts::strings(&facts["env"]);
    assert!(env.contains(&"LISTEN_FDS=1".into()) && env.contains(&"LISTEN_PID=1".into()), "{env:?}");
    assert_eq!(facts["fds"].as_array().map(Vec::len), Some(4), "{}", facts["fds"]);
    // Of these none may be closed.
    let cmd = podrun.cmd(&["run", "--preserve-fds", "1", "--bundle", bundle.text(), "c"]);
    let script = "exec 3</dev/null 4<&- 5</dev/null; LISTEN_FDS=2 LISTEN_PID=$$ exec \"$@\"";
    cmd.under(["sh", "-c", script, "sh"]).run().refused(&["LISTEN_FDS=2", "descriptor 4 is not open"]);
}

fn only_standard_descriptors_arrive(t: &Test) {
    let podrun = t.podrun();
    let bundle = t.bundle();
    let cmd = podrun.cmd(&["run", "--bundle", bundle.text(), "c"]);
    let leaky = "exec 3</etc/passwd 7</ 9<>/dev/null 8</proc; exec \"$@\"";
    let facts = cmd.under(["sh", "-c", leaky, "sh"]).run().ok().json();
    let numbers: Vec<i64> =
        facts["fds"].as_array().expect("a list").iter().filter_map(|fd| fd["fd"].as_i64()).collect();
    assert_eq!(numbers, [0, 1, 2], "{}", facts["fds"]);
}

fn signal_dispositions_are_the_default(t: &Test) {
    let podrun = t.podrun();
    let bundle = t.bundle();
    let cmd = podrun.cmd(&["run", "--bundle", bundle.text(), "c"]);
    // The caller ignores two signals; a container starts afresh.
    let facts = cmd.under(["sh", "-c", "trap '' HUP USR1; exec \"$@\"", "sh"]).run().ok().json();
    for set in ["blocked", "ignored", "caught"] {
        let text = facts["signals"][set].as_str().unwrap_or_default();
        // The C library keeps 32 and 33 to itself and lets nobody change them.
        let bits = u64::from_str_radix(text, 16).map(|bits| bits & !(0b11 << 31));
        assert_eq!(bits, Ok(0), "{set}: {}", facts["signals"]);
    }
}

fn session_keyring_is_new_unless_told_otherwise(t: &Test) {
    let podrun = t.podrun();
    let bundle = t.bundle();
    let keyring = |words: &[&str]| podrun.run(words).ok().json()["session_keyring"].clone();
    let first = keyring(&["run", "--bundle", bundle.text(), "c"]);
    let second = keyring(&["run", "--bundle", bundle.text(), "c"]);
    let own = keyring(&["run", "--no-new-keyring", "--bundle", bundle.text(), "c"]);
    assert!(first.is_number() && first != second && first != own, "{first} {second} {own}");
}

fn unknown_properties_are_ignored(t: &Test) {
    let bundle = t
        .bundle()
        .args(&["/bin/probe", "exit", "0"])
        .set("/x-unknown", json!({"a": 1}))
        .set("/process/x-unknown", json!([1]))
        .set("/linux/x-unknown", json!("text"))
        .set("/root/x-unknown", json!(null))
        .set("/mounts/0/x-unknown", json!(true));
    t.podrun().run_bundle(&bundle, "c").ok();
}

fn annotations_and_numbers_of_every_kind_are_read(t: &Test) {
    let podrun = t.podrun();
    let annotations = json!({"org.systemd.property.X": "'a'", "empty": "", "unicode": "é\u{1F980}\n"});
    let bundle = t.bundle().args(&["/bin/probe", "sleep", "30"]).set("/annotations", annotations.clone());
    podrun.create(&bundle, "c");
    assert_eq!(podrun.run(&["state", "c"]).ok().json()["annotations"], annotations);
    eventually("it is created", || (podrun.status("c").as_deref() == Some("created")).then_some(()));
    podrun.remove("c");
}
