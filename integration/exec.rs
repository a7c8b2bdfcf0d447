//! `exec`: another process in a running container.

use crate::harness::{
    Bundle, Case, Runtime, Test, case, cgroups, console, eventually, facts, machine, proc,
    runtime::path_text, skip,
};
use serde_json::{Value, json};

pub fn cases() -> Vec<Case> {
    vec![
        case!(exec_is_in_the_containers_namespaces_and_cgroup),
        case!(exec_passes_the_exit_code),
        case!(exec_prints_and_reads),
        case!(exec_takes_environment_user_and_directory),
        case!(exec_variable_replaces_the_containers),
        case!(exec_takes_a_process_file),
        case!(exec_has_the_containers_capabilities_and_an_empty_inheritable_set),
        case!(exec_adds_capabilities_when_told),
        case!(exec_adds_no_capability_that_podrun_has_not_got),
        case!(exec_user_is_a_number),
        case!(exec_home_is_that_of_its_user),
        case!(exec_enters_a_group_below_the_containers),
        case!(exec_enters_groups_by_controller),
        case!(exec_cgroup_that_is_none_of_the_containers_is_refused),
        case!(exec_follows_init_into_its_group),
        case!(exec_in_a_paused_container_is_refused_unless_told),
        case!(exec_hostile_process_files_are_refused),
        case!(exec_terminal_has_the_size_and_the_owner),
        case!(exec_without_new_privileges),
        case!(exec_is_under_the_containers_seccomp_filter),
        case!(exec_detached_writes_the_pid_and_leaves),
        case!(exec_gets_a_terminal),
        case!(exec_in_the_foreground_uses_the_callers_terminal),
        case!(exec_that_cannot_start_ends_with_255),
        case!(exec_needs_a_running_container),
        case!(exec_leaks_no_descriptor),
        case!(exec_preserves_descriptors_when_told),
        case!(exec_forwards_signals),
        case!(exec_processes_end_with_the_container),
    ]
}

#[track_caller]
fn running(t: &Test, podrun: &Runtime, bundle: Bundle) {
    drop(podrun.up(&bundle.args(&["/bin/probe", "sleep", "300"]), "c"));
    assert!(t.place().exists());
}

#[track_caller]
fn facts_of(podrun: &Runtime, words: &[&str]) -> Value {
    let mut all = vec!["exec"];
    all.extend(words);
    all.extend(["c", "/bin/probe", "facts"]);
    podrun.run(&all).ok().json()
}

fn exec_is_in_the_containers_namespaces_and_cgroup(t: &Test) {
    let podrun = t.podrun();
    running(t, &podrun, t.bundle().namespace("cgroup", Some("")));
    let init = podrun.pid("c");
    let facts = facts_of(&podrun, &[]);
    for kind in ["mnt", "net", "ipc", "uts", "pid", "cgroup"] {
        assert_eq!(facts::namespace(&facts, kind), proc::namespace(init, kind), "{kind}");
    }
    assert_ne!(facts["pid"], 1);
    assert_eq!(facts["ppid"], 0, "its parent is outside");
    let sleeper = t.path("pid");
    podrun.run(&["exec", "-d", "--pid-file", &path_text(&sleeper), "c", "/bin/probe", "sleep", "300"]).ok();
    let pid: i32 = std::fs::read_to_string(&sleeper).expect("the pid file").parse().expect("a number");
    for controller in ["memory", "pids", "cpu", "freezer", "devices"] {
        assert_eq!(
            cgroups::directory_of(pid, controller),
            cgroups::directory_of(init, controller),
            "{controller}"
        );
    }
    podrun.remove("c");
}

fn exec_passes_the_exit_code(t: &Test) {
    let podrun = t.podrun();
    running(t, &podrun, t.bundle());
    for code in [0, 1, 42, 255] {
        podrun.run(&["exec", "c", "/bin/probe", "exit", &code.to_string()]).exits(code).quietly();
    }
    podrun.run(&["exec", "c", "/bin/probe", "kill-self", "9"]).exits(137);
    podrun.run(&["exec", "c", "/bin/probe", "kill-self", "15"]).exits(143);
    podrun.remove("c");
}

fn exec_prints_and_reads(t: &Test) {
    let podrun = t.podrun();
    drop(podrun.up(&t.shell("sleep 300"), "c"));
    let cmd = podrun.cmd(&["exec", "c", "sh", "-c", "read -r line; echo got $line; echo error >&2"]);
    let out = cmd.input("from outside\n").run().ok();
    assert_eq!((out.stdout.as_str(), out.stderr.as_str()), ("got from outside\n", "error\n"));
    podrun.remove("c");
}

fn exec_takes_environment_user_and_directory(t: &Test) {
    let podrun = t.podrun();
    running(t, &podrun, t.bundle());
    let facts =
        facts_of(&podrun, &["-e", "A=1", "--env", "B=2", "-u", "1000:1001", "-g", "2000", "--cwd", "/tmp"]);
    let env = facts::strings(&facts["env"]);
    assert!(env.contains(&"A=1".into()) && env.contains(&"B=2".into()), "{env:?}");
    assert!(env.iter().any(|v| v.starts_with("PATH=")), "the container's own come along: {env:?}");
    assert_eq!(
        (&facts["uids"][0], &facts["gids"][0], &facts["cwd"]),
        (&json!(1000), &json!(1001), &json!("/tmp"))
    );
    assert!(facts["groups"].as_array().is_some_and(|g| g.contains(&json!(2000))), "{}", facts["groups"]);
    podrun.remove("c");
}

fn exec_variable_replaces_the_containers(t: &Test) {
    let podrun = t.podrun();
    running(t, &podrun, t.bundle().set("/process/env", json!(["PATH=/bin", "A=1"])));
    let env = facts::strings(&facts_of(&podrun, &["-e", "A=2", "-e", "A=3"])["env"]);
    let of_a: Vec<&String> = env.iter().filter(|variable| variable.starts_with("A=")).collect();
    assert_eq!(of_a, ["A=3"], "getenv(3) takes the first of several");
    podrun.remove("c");
}

/// A process.json as containerd's shim writes it.
fn process(args: &[&str]) -> Value {
    let mut process = crate::harness::bundle::default_config()["process"].clone();
    process["args"] = json!(args);
    process
}

fn exec_takes_a_process_file(t: &Test) {
    let podrun = t.podrun();
    running(t, &podrun, t.bundle());
    let mut spec = process(&["/bin/probe", "facts"]);
    spec["env"] = json!(["PATH=/bin", "ONLY=this"]);
    spec["cwd"] = json!("/tmp");
    spec["user"] = json!({"uid": 7, "gid": 8, "additionalGids": [9]});
    spec["rlimits"] = json!([{"type": "RLIMIT_NOFILE", "soft": 64, "hard": 64}]);
    let file = path_text(&t.file("process.json", spec.to_string()));
    for flag in ["-p", "--process"] {
        let facts = podrun.run(&["exec", flag, &file, "c"]).ok().json();
        assert!(facts::strings(&facts["env"]).contains(&"ONLY=this".into()));
        assert_eq!(
            (&facts["uids"][0], &facts["gids"][0], &facts["groups"]),
            (&json!(7), &json!(8), &json!([9]))
        );
        assert_eq!(facts["rlimits"]["RLIMIT_NOFILE"], json!({"soft": 64, "hard": 64}));
    }
    let broken = path_text(&t.file("broken.json", "{\"args\": 1}"));
    podrun.run(&["exec", "-p", &broken, "c"]).exits(255).says(&["broken.json", "args"]);
    podrun.remove("c");
}

fn exec_has_the_containers_capabilities_and_an_empty_inheritable_set(t: &Test) {
    let podrun = t.podrun();
    running(t, &podrun, t.bundle());
    let facts = facts_of(&podrun, &[]);
    assert_eq!(facts::capabilities(&facts, "effective"), 0xa804_25fb);
    assert_eq!(facts::capabilities(&facts, "bounding"), 0xa804_25fb);
    assert_eq!(facts::capabilities(&facts, "inheritable"), 0, "CVE-2022-29162");
    assert_eq!(facts::capabilities(&facts, "ambient"), 0);
    let user = facts_of(&podrun, &["-u", "1000"]);
    assert_eq!(facts::capabilities(&user, "effective"), 0);
    podrun.remove("c");
}

fn exec_adds_capabilities_when_told(t: &Test) {
    let podrun = t.podrun();
    let kill = json!(["CAP_KILL"]);
    let sets = json!({"bounding": kill, "effective": kill, "permitted": kill});
    running(t, &podrun, t.bundle().set("/process/capabilities", sets));
    assert_eq!(facts::capabilities(&facts_of(&podrun, &[]), "effective"), 1 << 5);
    let more = facts_of(&podrun, &["-c", "CAP_SYS_PTRACE", "--cap", "CAP_NET_RAW"]);
    assert_eq!(facts::capabilities(&more, "effective"), 1 << 5 | 1 << 19 | 1 << 13);
    assert_eq!(facts::capabilities(&more, "inheritable"), 0);
    let unknown = ["exec", "--cap", "CAP_LUCK", "--cap", "net_raw", "c", "/bin/probe", "facts"];
    let out = podrun.run(&unknown).ok().says(&["unknown capability \"CAP_LUCK\" is ignored"]);
    assert_eq!(facts::capabilities(&out.json(), "effective"), 1 << 5 | 1 << 13);
    podrun.remove("c");
    // What the config lets programs hand on is ambient: a user who is not root has it, too.
    let raw = json!(["CAP_NET_RAW"]);
    let sets = json!({"bounding": ["CAP_KILL", "CAP_NET_RAW"], "effective": kill, "permitted": kill, "inheritable": raw});
    running(t, &podrun, t.bundle().set("/process/capabilities", sets));
    let more = facts_of(&podrun, &["-u", "1000:1000", "--cap", "CAP_SYS_PTRACE", "--cap", "CAP_NET_RAW"]);
    for set in ["ambient", "inheritable", "effective"] {
        assert_eq!(facts::capabilities(&more, set), 1 << 13, "{set}");
    }
    podrun.remove("c");
}

fn exec_adds_no_capability_that_podrun_has_not_got(t: &Test) {
    if machine::has_capability(machine::CAP_SYS_RESOURCE) {
        skip("every capability can be granted here");
    }
    let podrun = t.podrun();
    running(t, &podrun, t.bundle());
    let out = podrun.run(&["exec", "--cap", "CAP_SYS_RESOURCE", "c", "/bin/probe", "exit", "0"]).exits(255);
    out.says(&["CAP_SYS_RESOURCE", "podrun itself has not got it"]);
    podrun.remove("c");
}

fn exec_user_is_a_number(t: &Test) {
    let podrun = t.podrun();
    running(t, &podrun, t.bundle().with_file("/etc/passwd", "www:x:33:33::/:\n1000x:x:0:0::/:\n", 0o644));
    for user in ["www", "1000x", "1000:www", "4294967296", "-1", "1000:", ":5", "", "1 000", "0x10", "1:2:3"]
    {
        let out = podrun.run(&["exec", &format!("--user={user}"), "c", "/bin/probe", "facts"]);
        if out.code() == 0 || !out.stdout.is_empty() {
            out.fail("no other user may be taken for it (CVE-2026-30892)");
        }
    }
    let facts = facts_of(&podrun, &["-u", "1000"]);
    assert_eq!((&facts["uids"][0], &facts["gids"][0]), (&json!(1000), &json!(0)), "the container's group");
    podrun.remove("c");
}

fn exec_home_is_that_of_its_user(t: &Test) {
    let podrun = t.podrun();
    let passwd = "root:x:0:0::/root:\ntempuser:x:2000:2000::/home/tempuser:/bin/sh\n";
    running(t, &podrun, t.bundle().with_file("/etc/passwd", passwd, 0o644));
    for (user, home) in [("2000", "HOME=/home/tempuser"), ("0", "HOME=/root"), ("77", "HOME=/")] {
        let env = facts::strings(&facts_of(&podrun, &["-u", user])["env"]);
        assert!(env.contains(&home.into()), "{user}: {env:?}");
    }
    let env = facts::strings(&facts_of(&podrun, &["-u", "2000", "-e", "HOME=/own"])["env"]);
    assert!(env.contains(&"HOME=/own".into()), "{env:?}");
    podrun.remove("c");
}

/// Starts a sleeper by exec, and returns its pid.
#[track_caller]
fn sleeper(t: &Test, podrun: &Runtime, flags: &[&str]) -> i32 {
    let file = path_text(&t.path("sleeper"));
    let words = [&["exec", "-d", "--pid-file", &file], flags, &["c", "/bin/probe", "sleep", "300"]].concat();
    podrun.run(&words).ok();
    std::fs::read_to_string(&file).expect("the pid file").parse().expect("a number")
}

const CONTROLLERS: [&str; 4] = ["memory", "pids", "cpu", "freezer"];

fn exec_enters_a_group_below_the_containers(t: &Test) {
    let podrun = t.podrun();
    running(t, &podrun, t.bundle());
    let init = podrun.pid("c");
    let ours: Vec<String> = cgroups::hierarchies("self").into_iter().map(|hierarchy| hierarchy.own).collect();
    for hierarchy in cgroups::hierarchies(init).into_iter().filter(|hierarchy| !ours.contains(&hierarchy.own))
    {
        let own = hierarchy.directory(&hierarchy.own);
        for group in [own.join("a"), own.join("a/b")] {
            std::fs::create_dir(&group).expect("a group");
            // A new cpuset of v1 has nothing to run on.
            for file in ["cpuset.cpus", "cpuset.mems"].iter().filter(|file| group.join(file).exists()) {
                let above = std::fs::read(own.join(file)).expect("what there is");
                std::fs::write(group.join(file), above).expect("a share of it");
            }
        }
    }
    for (flag, below) in [("a", "a"), ("/a/b", "a/b"), ("a//b/.", "a/b"), ("/", "")] {
        let pid = sleeper(t, &podrun, &["--cgroup", flag]);
        for controller in CONTROLLERS {
            let expected = cgroups::directory_of(init, controller).join(below);
            assert_eq!(cgroups::directory_of(pid, controller), expected, "{flag} {controller}");
        }
    }
    podrun.remove("c");
}

fn exec_enters_groups_by_controller(t: &Test) {
    let podrun = t.podrun();
    running(t, &podrun, t.bundle());
    let init = podrun.pid("c");
    if cgroups::is_pure_v2() {
        let out = podrun.run(&["exec", "--cgroup", "memory:a", "c", "/bin/probe", "exit", "0"]).exits(255);
        out.says(&["unknown controller", "memory"]);
        podrun.remove("c");
        skip("cgroup v2 has one hierarchy: podrun says so");
    }
    let (memory, cpu) = (cgroups::directory_of(init, "memory"), cgroups::directory_of(init, "cpu"));
    std::fs::create_dir(memory.join("mem")).expect("a group");
    std::fs::create_dir(cpu.join("cpu")).expect("a group");
    let pid = sleeper(t, &podrun, &["--cgroup", "memory:mem", "--cgroup", "cpu:cpu"]);
    assert_eq!(cgroups::directory_of(pid, "memory"), memory.join("mem"));
    assert_eq!(cgroups::directory_of(pid, "cpu"), cpu.join("cpu"));
    assert_eq!(cgroups::directory_of(pid, "pids"), cgroups::directory_of(init, "pids"));
    podrun.remove("c");
}

fn exec_cgroup_that_is_none_of_the_containers_is_refused(t: &Test) {
    let podrun = t.podrun();
    running(t, &podrun, t.bundle());
    for (flags, text) in [
        (&["--cgroup", ".."][..], "bad sub cgroup path"),
        (&["--cgroup", "a/../../.."], "bad sub cgroup path"),
        (&["--cgroup", "memory:.."], "bad sub cgroup path"),
        (&["--cgroup", "memory:a:b"], "invalid --cgroup argument"),
        (&["--cgroup", "whaaat:/"], "unknown controller "),
        (&["--cgroup", "a", "--cgroup", "b"], "stands alone"),
        (&["--cgroup", "nonexistent"], "no such file or directory"),
    ] {
        let words = [&["exec"], flags, &["c", "/bin/probe", "exit", "0"]].concat();
        podrun.run(&words).exits(255).says(&[text, "--cgroup"]);
    }
    podrun.remove("c");
}

fn exec_follows_init_into_its_group(t: &Test) {
    if !cgroups::is_pure_v2() {
        skip("cgroup v1 groups have processes and groups below them at once");
    }
    let podrun = t.podrun();
    running(t, &podrun, t.bundle());
    let init = podrun.pid("c");
    let group = cgroups::directory_of(init, "memory");
    std::fs::create_dir(group.join("own")).expect("a group");
    std::fs::write(group.join("own/cgroup.procs"), init.to_string()).expect("to move init");
    // As long as the container's group takes processes, that is where they go.
    assert_eq!(cgroups::directory_of(sleeper(t, &podrun, &["--cgroup", "own"]), "memory"), group.join("own"));
    std::fs::write(group.join("cgroup.subtree_control"), "+pids").expect("to hand a controller down");
    assert_eq!(cgroups::directory_of(sleeper(t, &podrun, &[]), "memory"), group.join("own"));
    let out = podrun.run(&["exec", "--cgroup", "/", "c", "/bin/probe", "exit", "0"]).exits(255);
    out.says(&["--cgroup /", "device or resource busy"]);
    podrun.remove("c");
}

fn exec_in_a_paused_container_is_refused_unless_told(t: &Test) {
    let podrun = t.podrun();
    running(t, &podrun, t.bundle());
    podrun.run(&["pause", "c"]).ok();
    let out = podrun.run(&["exec", "c", "/bin/probe", "exit", "0"]).exits(255);
    out.says(&["cannot exec in a paused container", "--ignore-paused"]);
    let waiting = podrun.cmd(&["exec", "--ignore-paused", "c", "/bin/probe", "exit", "6"]).spawn();
    std::thread::sleep(std::time::Duration::from_millis(200));
    podrun.run(&["resume", "c"]).ok();
    waiting.finish().exits(6);
    podrun.remove("c");
}

fn exec_hostile_process_files_are_refused(t: &Test) {
    let podrun = t.podrun();
    running(t, &podrun, t.bundle());
    let many = |count: usize, text: &str| vec![text; count].join(",");
    let deep = format!("{}1{}", "[".repeat(5000), "]".repeat(5000));
    for (name, text) in [
        ("empty", String::new()),
        ("null", "null".to_owned()),
        ("list", "[]".to_owned()),
        ("deep", format!(r#"{{"cwd": "/", "args": {deep}}}"#)),
        ("no-args", r#"{"cwd": "/"}"#.to_owned()),
        ("no-cwd", r#"{"args": ["/bin/probe", "exit", "0"]}"#.to_owned()),
        ("nul", r#"{"cwd": "/", "args": ["/bin/probe\u0000"]}"#.to_owned()),
        ("env", r#"{"cwd": "/", "args": ["/bin/probe"], "env": ["="]}"#.to_owned()),
        ("groups", format!(r#"{{"cwd": "/", "args": ["/bin/probe"], "user": {{"additionalGids": [{}]}}}}"#, many(100_000, "1"))),
        ("uid", r#"{"cwd": "/", "args": ["/bin/probe"], "user": {"uid": 4294967296}}"#.to_owned()),
        ("user", r#"{"cwd": "/", "args": ["/bin/probe"], "user": "root"}"#.to_owned()),
        ("limits", r#"{"cwd": "/", "args": ["/bin/probe"], "rlimits": [{"type": "RLIMIT_LUCK", "soft": 1, "hard": 1}]}"#.to_owned()),
        ("large", format!(r#"{{"cwd": "/", "args": ["/bin/probe", "{}"]}}"#, "x".repeat(17 << 20))),
        ("arguments", format!(r#"{{"cwd": "/", "args": ["/bin/probe", {}]}}"#, many(700_000, "\"xxxxxxxx\""))),
    ] {
        let file = path_text(&t.file(name, &text));
        let out = podrun.run(&["exec", "--process", &file, "c"]);
        if out.code() != 255 || !out.stderr.starts_with("podrun: ") {
            out.fail(name);
        }
    }
    let init = podrun.pid("c");
    let pids: Vec<i32> =
        serde_json::from_value(podrun.run(&["ps", "-f", "json", "c"]).ok().json()).expect("pids");
    assert_eq!(pids, [init], "nothing was left running");
    podrun.remove("c");
}

fn exec_terminal_has_the_size_and_the_owner(t: &Test) {
    let podrun = t.podrun();
    running(t, &podrun, t.bundle().set("/process/user", json!({"uid": 0, "gid": 0})));
    let listener = console::Listener::at(&t.path("tty.sock"));
    let mut spec = process(&["/bin/probe", "facts", "--path", "/dev/pts/0"]);
    spec["user"] = json!({"uid": 1000, "gid": 100});
    spec["terminal"] = json!(true);
    spec["consoleSize"] = json!({"height": 10, "width": 110});
    let file = path_text(&t.file("process.json", spec.to_string()));
    podrun.run(&["exec", "-d", "--console-socket", listener.path(), "--process", &file, "c"]).ok();
    let text = listener.accept().read_until("\n");
    let facts: Value = serde_json::from_str(text.trim()).expect("facts through the terminal");
    assert_eq!(facts["tty"]["size"], json!([10, 110]));
    assert_eq!(facts["tty"]["controlling"], "ok");
    let terminal = &facts["paths"]["/dev/pts/0"];
    assert_eq!((&terminal["uid"], &terminal["gid"]), (&json!(1000), &json!(5)), "{terminal}");
    podrun.remove("c");
}

fn exec_without_new_privileges(t: &Test) {
    let podrun = t.podrun();
    running(t, &podrun, t.bundle().set("/process/noNewPrivileges", json!(false)));
    assert_eq!(facts_of(&podrun, &[])["no_new_privs"], false);
    assert_eq!(facts_of(&podrun, &["--no-new-privs"])["no_new_privs"], true);
    podrun.remove("c");
}

fn exec_is_under_the_containers_seccomp_filter(t: &Test) {
    let podrun = t.podrun();
    let profile = json!({"defaultAction": "SCMP_ACT_ALLOW",
                         "syscalls": [{"names": ["swapon"], "action": "SCMP_ACT_ERRNO", "errnoRet": 122}]});
    for nnp in [true, false] {
        let bundle =
            t.bundle().set("/linux/seccomp", profile.clone()).set("/process/noNewPrivileges", json!(nnp));
        running(t, &podrun, bundle);
        let answer = podrun.run(&["exec", "c", "/bin/probe", "seccomp-check", "swapon"]).ok().json();
        assert_eq!(answer["errno"], "EDQUOT");
        podrun.remove("c");
    }
}

fn exec_detached_writes_the_pid_and_leaves(t: &Test) {
    podrun::sys::process::set_child_subreaper().expect("to become the shim");
    let podrun = t.podrun();
    running(t, &podrun, t.bundle());
    let file = t.path("pid");
    podrun
        .run(&["exec", "--detach", "--pid-file", &path_text(&file), "c", "/bin/probe", "exit", "9"])
        .ok()
        .quietly();
    let text = std::fs::read_to_string(&file).expect("the pid file");
    let pid: i32 = text.parse().expect("digits and nothing else");
    let pid = nix::unistd::Pid::from_raw(pid);
    let status = nix::sys::wait::waitpid(pid, None);
    assert_eq!(status, Ok(nix::sys::wait::WaitStatus::Exited(pid, 9)), "it belongs to the subreaper");
    podrun.remove("c");
}

fn exec_gets_a_terminal(t: &Test) {
    let podrun = t.podrun();
    drop(podrun.up(&t.shell("sleep 300"), "c"));
    let listener = console::Listener::at(&t.path("tty.sock"));
    let words = [
        "exec",
        "-d",
        "-t",
        "--console-socket",
        listener.path(),
        "c",
        "sh",
        "-c",
        "tty; read -r l; echo got $l",
    ];
    podrun.run(&words).ok();
    let mut master = listener.accept();
    assert_eq!((master.descriptors, master.name.is_empty()), (1, false));
    assert!(master.read_until("\n").contains("/dev/pts/"));
    master.write("word\n");
    master.read_until("got word");
    podrun.remove("c");
}

fn exec_in_the_foreground_uses_the_callers_terminal(t: &Test) {
    let podrun = t.podrun();
    drop(podrun.up(&t.shell("sleep 300"), "c"));
    let mut master = console::Terminal::new(31, 99);
    let out = master.run_inside(podrun.cmd(&["exec", "-t", "c", "sh", "-c", "stty size; exit 5"]));
    master.read_until("31 99");
    out.exits(5);
    podrun.remove("c");
}

fn exec_that_cannot_start_ends_with_255(t: &Test) {
    let podrun = t.podrun();
    running(t, &podrun, t.bundle().with_file("/data", "text", 0o644));
    for (command, words) in [
        ("no-such", &["executable file not found", "no such file or directory"][..]),
        ("", &["executable file not found"]),
        ("/no/such", &["executable file not found", "no such file or directory"]),
        ("/data", &["permission denied"]),
        ("/bin", &["permission denied", "is a directory"]),
    ] {
        let out = podrun.run(&["exec", "c", command]).exits(255);
        // docker makes 126 and 127 of these words.
        if !words.iter().any(|word| out.stderr.contains(word)) {
            out.fail(&format!("none of {words:?} is said"));
        }
    }
    podrun.run(&["exec", "--cwd", "/no/such", "c", "/bin/probe", "exit", "0"]).exits(255).says(&["/no/such"]);
    podrun.run(&["exec", "--cwd", "relative", "c", "/bin/probe", "exit", "0"]).exits(255).says(&["relative"]);
    podrun.run(&["exec", "c"]).refused(&["command"]);
    assert_eq!(podrun.status("c").as_deref(), Some("running"));
    podrun.remove("c");
}

fn exec_needs_a_running_container(t: &Test) {
    let podrun = t.podrun();
    podrun.run(&["exec", "no", "/bin/probe", "exit", "0"]).exits(255).says(&["does not exist", "\"no\""]);
    podrun.up(&t.bundle().args(&["/bin/probe", "exit", "0"]), "c");
    podrun.wait_status("c", "stopped");
    podrun.run(&["exec", "c", "/bin/probe", "exit", "0"]).exits(255).says(&["not running"]);
    podrun.remove("c");
}

fn exec_leaks_no_descriptor(t: &Test) {
    let podrun = t.podrun();
    running(t, &podrun, t.bundle());
    let cmd = podrun.cmd(&["exec", "c", "/bin/probe", "facts"]);
    let facts =
        cmd.under(["sh", "-c", "exec 3</etc/passwd 7</ 9<>/dev/null; exec \"$@\"", "sh"]).run().ok().json();
    let numbers: Vec<i64> =
        facts["fds"].as_array().expect("a list").iter().filter_map(|f| f["fd"].as_i64()).collect();
    assert_eq!(numbers, [0, 1, 2], "{}", facts["fds"]);
    podrun.remove("c");
}

fn exec_preserves_descriptors_when_told(t: &Test) {
    let podrun = t.podrun();
    running(t, &podrun, t.bundle());
    let file = path_text(&t.file("extra", "through the descriptor"));
    let cmd = podrun.cmd(&["exec", "--preserve-fds", "1", "c", "/bin/probe", "print-fd", "3"]);
    let out = cmd.under(["sh", "-c", &format!("exec 3<{file}; exec \"$@\""), "sh"]).run().ok();
    assert_eq!(out.stdout, "through the descriptor");
    podrun.remove("c");
}

fn exec_forwards_signals(t: &Test) {
    let podrun = t.podrun();
    drop(podrun.up(&t.shell("sleep 300"), "c"));
    let script = "trap 'exit 9' USR1; echo ready; while :; do sleep 0.01; done";
    let running = podrun.cmd(&["exec", "c", "sh", "-c", script]).spawn();
    eventually("it is ready", || running.stdout().contains("ready").then_some(()));
    running.signal(nix::sys::signal::Signal::SIGUSR1);
    running.finish().exits(9);
    podrun.remove("c");
}

fn exec_processes_end_with_the_container(t: &Test) {
    let podrun = t.podrun();
    running(t, &podrun, t.bundle());
    let file = t.path("pid");
    podrun.run(&["exec", "-d", "--pid-file", &path_text(&file), "c", "/bin/probe", "sleep", "300"]).ok();
    let pid: i32 = std::fs::read_to_string(&file).expect("the pid file").parse().expect("a number");
    let both: Vec<i32> =
        serde_json::from_value(podrun.run(&["ps", "-f", "json", "c"]).ok().json()).expect("numbers");
    assert!(both.contains(&pid) && both.len() == 2, "{both:?}");
    podrun.run(&["kill", "c", "KILL"]).ok();
    eventually("the kernel ends them all", || (!proc::lives(pid)).then_some(()));
    podrun.wait_status("c", "stopped");
    podrun.run(&["delete", "c"]).ok();
}
