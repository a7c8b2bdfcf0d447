//! The runtime spec's hooks: their order and moment, what they are told, where they run, and what becomes of those that
//! fail, hang or write without end.

use crate::harness::command::Running;
use crate::harness::{Bundle, Case, Runtime, Test, case, eventually, runtime::path_text, runtime::text};
use nix::sys::signal::Signal;
use serde_json::{Value, json};
use std::path::Path;
use std::time::{Duration, Instant};

pub fn cases() -> Vec<Case> {
    vec![
        case!(hooks_run_in_order_at_their_moments),
        case!(hooks_run_around_a_container_of_run),
        case!(hooks_read_the_state_on_stdin),
        case!(hooks_in_the_hosts_pid_namespace_are_told_its_pid),
        case!(hooks_run_in_their_namespaces),
        case!(create_container_hook_mounts_into_the_new_root),
        case!(create_runtime_hook_sets_the_network_up),
        case!(args_and_environment_are_those_given),
        case!(start_container_hook_has_the_programs_environment_identity_and_filter),
        case!(hooks_inherit_no_descriptor),
        case!(failing_hook_undoes_create),
        case!(failing_start_container_hook_removes_the_container),
        case!(failing_poststart_hook_removes_the_container),
        case!(failing_poststop_hook_is_a_warning),
        case!(hook_that_cannot_be_executed_is_found_before_anything_is_made),
        case!(what_a_hook_said_is_bounded_in_the_error),
        case!(hook_is_killed_with_its_group_at_its_timeout),
        case!(what_a_hook_leaves_behind_is_not_waited_for),
        case!(hook_need_not_read_and_may_write_without_end),
        case!(large_state_reaches_the_hook),
        case!(create_killed_in_a_hook_leaves_what_delete_removes),
        case!(container_killed_in_a_hook_ends_start),
        case!(poststop_hooks_run_for_a_forced_delete),
        case!(hooks_are_those_of_the_time_of_create),
        case!(docker_prestart_hook_by_proc_path),
    ]
}

/// The stages, in their order.
const STAGES: [&str; 6] =
    ["prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"];

/// A hook that runs a script in the host's shell, or the container's.
fn shell(script: &str) -> Value {
    json!({"path": "/bin/sh", "args": ["sh", "-c", script]})
}

/// Adds a hook.
#[track_caller]
fn with_hook(bundle: Bundle, stage: &str, hook: Value) -> Bundle {
    bundle.push(&format!("/hooks/{stage}"), hook)
}

/// A file in the root file system that hooks of all stages can write to: its path on the host, and inside.
fn paths(bundle: &Bundle, stage: &str, name: &str) -> String {
    if stage == "startContainer" { format!("/{name}") } else { path_text(&bundle.rootfs(name)) }
}

/// Two hooks a stage, and the program, note in the file `log` of the root file system that they ran.
#[track_caller]
fn noting(t: &Test, script: &str) -> Bundle {
    let mut bundle = t.shell(&format!("echo program >>/log; {script}"));
    for stage in STAGES {
        for number in [1, 2] {
            let log = paths(&bundle, stage, "log");
            bundle = with_hook(bundle, stage, shell(&format!("echo {stage}{number} >>{log}")));
        }
    }
    bundle
}

fn log(bundle: &Bundle) -> Vec<String> {
    let text = std::fs::read_to_string(bundle.rootfs("log")).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

fn twice(stages: &[&str]) -> Vec<String> {
    stages.iter().flat_map(|stage| [1, 2].map(|number| format!("{stage}{number}"))).collect()
}

fn hooks_run_in_order_at_their_moments(t: &Test) {
    let podrun = t.podrun();
    let bundle = noting(t, "while [ ! -e /end ]; do sleep 0.01; done");
    podrun.create(&bundle, "c").quietly();
    let mut expected = twice(&STAGES[..3]);
    assert_eq!(log(&bundle), expected, "after create");
    podrun.run(&["start", "c"]).ok().quietly();
    // The program may write before or after the hooks that come when it runs.
    eventually("the program runs", || (log(&bundle).len() == 11).then_some(()));
    expected.extend(twice(&["startContainer"]));
    assert_eq!(log(&bundle)[..8], expected, "before the program");
    let mut rest = log(&bundle)[8..].to_vec();
    rest.retain(|line| line != "program");
    assert_eq!(rest, twice(&["poststart"]), "after start");
    std::fs::write(bundle.rootfs("end"), "").unwrap();
    podrun.wait_status("c", "stopped");
    assert_eq!(log(&bundle).len(), 11, "the end of the program runs nothing");
    podrun.run(&["delete", "c"]).ok().quietly();
    assert_eq!(log(&bundle)[11..], twice(&["poststop"]), "after delete");
}

fn hooks_run_around_a_container_of_run(t: &Test) {
    let podrun = t.podrun();
    let bundle = noting(t, "exit 3");
    podrun.run_bundle(&bundle, "c").exits(3).quietly();
    let mut lines = log(&bundle);
    lines.retain(|line| line != "program");
    assert_eq!(lines, twice(&STAGES));
    let kept = noting(t, "exit 3");
    podrun.run(&["run", "--keep", "--bundle", kept.text(), "c"]).exits(3).quietly();
    assert!(!log(&kept).contains(&"poststop1".to_owned()), "it is not deleted yet");
    podrun.run(&["delete", "c"]).ok().quietly();
    assert_eq!(log(&kept)[11..], twice(&["poststop"]));
}

fn hooks_read_the_state_on_stdin(t: &Test) {
    let podrun = t.podrun();
    let mut bundle = t
        .shell("while [ ! -e /end ]; do sleep 0.01; done")
        .set("/annotations", json!({"org.example/key": "välue"}));
    for stage in STAGES {
        let file = paths(&bundle, stage, stage);
        bundle = with_hook(bundle, stage, shell(&format!("cat >{file}")));
    }
    podrun.create(&bundle, "c");
    let pid = podrun.pid("c");
    podrun.run(&["start", "c"]).ok();
    podrun.run(&["delete", "--force", "c"]).ok().quietly();
    for (stage, status) in STAGES.into_iter().zip(["created", "creating", "creating", "created", "running"]) {
        let state: Value = serde_json::from_slice(&std::fs::read(bundle.rootfs(stage)).unwrap()).unwrap();
        // In the container's namespaces, init is what it is there.
        let pid = if stage == "createContainer" || stage == "startContainer" { 1 } else { pid };
        let expected = json!({
            "ociVersion": "1.0.2", "id": "c", "status": status, "pid": pid, "bundle": bundle.text(),
            "annotations": {"org.example/key": "välue"}
        });
        assert_eq!(state, expected, "{stage}");
    }
    let state: Value = serde_json::from_slice(&std::fs::read(bundle.rootfs("poststop")).unwrap()).unwrap();
    assert_eq!((&state["status"], state.get("pid")), (&json!("stopped"), None), "{state}");
    assert_eq!((text(&state["id"]), text(&state["bundle"])), ("c".to_owned(), bundle.text().to_owned()));
}

fn hooks_in_the_hosts_pid_namespace_are_told_its_pid(t: &Test) {
    let podrun = t.podrun();
    let stages = ["createContainer", "startContainer"];
    let mut bundle = t.shell("sleep 300").namespace("pid", None);
    for stage in stages {
        let file = paths(&bundle, stage, stage);
        bundle = with_hook(bundle, stage, shell(&format!("cat >{file}")));
    }
    podrun.up(&bundle, "c");
    let pid = podrun.pid("c");
    for stage in stages {
        let state: Value = serde_json::from_slice(&std::fs::read(bundle.rootfs(stage)).unwrap()).unwrap();
        assert_eq!(state["pid"], pid, "{stage}");
    }
    podrun.remove("c");
}

/// What the symbolic links in /proc/PID/ns say.
fn namespaces(pid: i32) -> Vec<String> {
    let link = |name: &str| std::fs::read_link(format!("/proc/{pid}/ns/{name}")).unwrap();
    ["mnt", "net", "ipc", "uts", "pid"].map(|name| path_text(&link(name))).into()
}

fn hooks_run_in_their_namespaces(t: &Test) {
    let podrun = t.podrun();
    let script = "for n in mnt net ipc uts pid; do readlink /proc/self/ns/$n; done";
    let mut bundle = t.shell("while [ ! -e /end ]; do sleep 0.01; done");
    for stage in STAGES {
        let file = paths(&bundle, stage, stage);
        bundle = with_hook(bundle, stage, shell(&format!("{{ {script}; pwd -P; }} >{file}")));
    }
    podrun.create(&bundle, "c");
    let (ours, theirs) = (namespaces(std::process::id().cast_signed()), namespaces(podrun.pid("c")));
    podrun.run(&["start", "c"]).ok();
    podrun.remove("c");
    for stage in STAGES {
        let lines = std::fs::read_to_string(bundle.rootfs(stage)).unwrap();
        let lines: Vec<&str> = lines.lines().collect();
        let inside = stage == "createContainer" || stage == "startContainer";
        assert_eq!(lines[..5], if inside { theirs.clone() } else { ours.clone() }, "{stage}");
        match stage {
            "createContainer" => assert_eq!(lines[5], path_text(&bundle.rootfs("")).trim_end_matches('/')),
            "startContainer" => assert_eq!(lines[5], "/"),
            _ => {}
        }
    }
}

fn create_container_hook_mounts_into_the_new_root(t: &Test) {
    let podrun = t.podrun();
    let source = t.file("source", "from the host");
    let bundle = t.shell("cat /lib/mounted; ls /lib").set("/root/readonly", json!(true));
    std::fs::create_dir_all(bundle.rootfs("lib")).unwrap();
    std::fs::write(bundle.rootfs("lib/mounted"), "").unwrap();
    // As vendors of drivers do: relative to the working directory, which is the new root.
    let hook = shell(&format!("mount --bind {} ./lib/mounted", path_text(&source)));
    let bundle = with_hook(bundle, "createContainer", hook);
    let out = podrun.run_bundle(&bundle, "c").ok().quietly();
    assert!(out.stdout.starts_with("from the host"), "{}", out.stdout);
    assert_eq!(std::fs::read_to_string(bundle.rootfs("lib/mounted")).unwrap(), "", "the host sees nothing");
}

fn create_runtime_hook_sets_the_network_up(t: &Test) {
    let podrun = t.podrun();
    // What a network plug-in does: it enters the namespaces of the pid that it is told.
    let script = "pid=$(sed 's/.*\"pid\":\\([0-9]*\\).*/\\1/'); \
                  nsenter --net=/proc/$pid/ns/net ip link add dummy7 type veth peer name peer7 && \
                  nsenter --net=/proc/$pid/ns/net ip address add 192.0.2.7/24 dev dummy7";
    for stage in ["prestart", "createRuntime"] {
        let bundle = with_hook(t.shell("ip address show dummy7"), stage, shell(script));
        let out = podrun.run_bundle(&bundle, "c").ok().quietly();
        assert!(out.stdout.contains("192.0.2.7/24"), "{stage}: {}", out.stdout);
    }
}

fn args_and_environment_are_those_given(t: &Test) {
    let podrun = t.podrun();
    let script = "echo \"$0|$1|$A\"; /usr/bin/tr '\\0' '\\n' </proc/self/environ";
    for stage in ["prestart", "createRuntime", "createContainer", "poststart", "poststop"] {
        let bundle = t.shell("true");
        let file = path_text(&t.path(stage));
        let script = format!("{{ {script}; }} >>{file}");
        let args = json!(["odd name", "-c", script, "zero", "one two"]);
        let bundle = with_hook(
            bundle,
            stage,
            json!({"path": "/bin/sh", "args": args, "env": ["A=1", "PATH=/bin:/usr/bin"]}),
        );
        let bundle = with_hook(bundle, stage, json!({"path": "/bin/sh", "args": args, "env": []}));
        let bundle = with_hook(bundle, stage, json!({"path": "/bin/sh", "args": args}))
            .push("/process/env", json!("LD_PRELOAD=/image.so"));
        let run = podrun.cmd(&["run", "--bundle", bundle.text(), "c"]);
        // Given none, they have podrun's own: never the program's, which comes with an image.
        run.only_env(&[("A", "2"), ("CALLER", "yes")]).run().ok().quietly();
        let wrote = std::fs::read_to_string(&file).unwrap();
        assert_eq!(
            wrote,
            "zero|one two|1\nA=1\nPATH=/bin:/usr/bin\nzero|one two|\nzero|one two|2\nA=2\nCALLER=yes\n",
            "{stage}"
        );
    }
    // Without arguments the program's name is its path, as the kernel tells it to a script.
    let named = t.file("named", format!("#!/bin/sh\necho \"$0 $#\" >{}\n", path_text(&t.path("name"))));
    executable(&named);
    let bundle = with_hook(t.shell("true"), "prestart", json!({"path": path_text(&named)}));
    podrun.run_bundle(&bundle, "c").ok().quietly();
    assert_eq!(std::fs::read_to_string(t.path("name")).unwrap(), format!("{} 0\n", path_text(&named)));
}

fn executable(path: &Path) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
}

fn start_container_hook_has_the_programs_environment_identity_and_filter(t: &Test) {
    let podrun = t.podrun();
    let deny = json!({
        "defaultAction": "SCMP_ACT_ALLOW",
        "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 28}]
    });
    let script = "{ echo \"$ONE $HOME\"; id -u; mkdir /tmp/x; pwd; } >/tmp/log 2>&1; true";
    for no_new_privileges in [true, false] {
        let bundle = t
            .shell("cat /tmp/log")
            .set("/process/env", json!(["PATH=/bin", "ONE=two"]))
            .set("/process/user", json!({"uid": 1234, "gid": 1234}))
            .set("/process/noNewPrivileges", json!(no_new_privileges))
            .set("/linux/seccomp", deny.clone())
            .mount("tmpfs", "tmpfs", "/tmp", &["mode=1777"]);
        let bundle = with_hook(bundle, "startContainer", shell(script));
        let out = podrun.run_bundle(&bundle, "c").ok().quietly();
        let lines: Vec<&str> = out.stdout.lines().collect();
        assert_eq!((lines[0], lines[1], lines[3]), ("two /", "1234", "/"), "{lines:?}");
        assert!(lines[2].contains("No space left"), "the filter is in force: {lines:?}");
    }
    let own = json!({"path": "/bin/sh", "args": ["sh", "-c", "echo \"$ONE,$MY\" >/log"], "env": ["MY=1"]});
    let bundle = with_hook(t.shell("cat /log").push("/process/env", json!("ONE=two")), "startContainer", own);
    assert_eq!(podrun.run_bundle(&bundle, "c").ok().stdout, ",1\n");
}

fn hooks_inherit_no_descriptor(t: &Test) {
    let podrun = t.podrun();
    let mut bundle = t.shell("true");
    for stage in STAGES {
        let file = paths(&bundle, stage, stage);
        bundle =
            with_hook(bundle, stage, shell(&format!("for f in /proc/self/fd/*; do echo $f; done >{file}")));
    }
    // What a careless caller leaks, and what is meant for the program.
    let leak = ["sh", "-c", "exec 3</dev/zero 9</dev/zero; exec \"$0\" \"$@\""];
    let run = podrun.cmd(&["run", "--preserve-fds", "1", "--bundle", bundle.text(), "c"]);
    run.under(leak).run().ok().quietly();
    for stage in STAGES {
        let open = std::fs::read_to_string(bundle.rootfs(stage)).unwrap();
        let numbers: Vec<&str> = open.lines().filter_map(|path| path.rsplit('/').next()).collect();
        // 3: the directory itself, which has the lowest free number. 10: where the shell puts stdout meanwhile.
        let strange: Vec<_> = numbers.iter().filter(|n| !["0", "1", "2", "3", "10"].contains(n)).collect();
        assert!(numbers.contains(&"0"), "{stage}: {numbers:?}");
        assert!(strange.is_empty(), "{stage}: {numbers:?}");
    }
}

/// A bundle whose second hook of the stage fails, and whose poststop hook notes that it ran.
fn failing(t: &Test, stage: &str, script: &str) -> Bundle {
    let bundle = t.shell("echo program >>/log; sleep 30");
    let log = path_text(&bundle.rootfs("log"));
    let bundle = with_hook(bundle, "poststop", shell(&format!("echo poststop >>{log}")));
    let bundle = with_hook(bundle, stage, shell("true"));
    let bundle = with_hook(bundle, stage, shell(script));
    with_hook(bundle, stage, shell("echo third >>log"))
}

#[track_caller]
fn gone(t: &Test, podrun: &Runtime, id: &str) {
    assert_eq!(podrun.status(id), None);
    assert_eq!(t.corner().settle(), Vec::<String>::new(), "something is left");
}

fn failing_hook_undoes_create(t: &Test) {
    let podrun = t.podrun();
    for stage in &STAGES[..3] {
        for command in ["create", "run"] {
            let bundle = failing(t, stage, "echo it is broken >&2; echo so; exit 7");
            let out = podrun.run(&[command, "--bundle", bundle.text(), "c"]);
            out.refused(&[
                "cannot create container \"c\": ",
                &format!("error running {stage} hook #1: \"/bin/sh\": exit status 7"),
                "stdout: so, stderr: it is broken",
            ]);
            gone(t, &podrun, "c");
            assert_eq!(log(&bundle), ["poststop"], "{stage}: what was set up is torn down");
        }
    }
}

fn failing_start_container_hook_removes_the_container(t: &Test) {
    let podrun = t.podrun();
    let bundle = failing(t, "startContainer", "echo bad >&2; kill -9 $$");
    podrun.create(&bundle, "c");
    podrun.run(&["start", "c"]).refused(&[
        "cannot start container \"c\": error running startContainer hook #1: \"/bin/sh\": killed by SIGKILL, \
         stderr: bad",
    ]);
    gone(t, &podrun, "c");
    assert_eq!(log(&bundle), ["poststop"], "the program has not run");
    let bundle = failing(t, "startContainer", "exit 1");
    podrun
        .run_bundle(&bundle, "c")
        .refused(&["error running startContainer hook #1: \"/bin/sh\": exit status 1"]);
    gone(t, &podrun, "c");
    assert_eq!(log(&bundle), ["poststop"]);
    // The image decides what is there: this one can be known only now.
    let bundle = with_hook(t.shell("true"), "startContainer", json!({"path": "/no/such"}));
    podrun
        .run_bundle(&bundle, "c")
        .refused(&["startContainer hook #0: \"/no/such\"", "no such file or directory"]);
    gone(t, &podrun, "c");
}

fn failing_poststart_hook_removes_the_container(t: &Test) {
    let podrun = t.podrun();
    for command in ["start", "run", "run -d"] {
        let bundle = failing(t, "poststart", "exit 1");
        let out = if command == "start" {
            podrun.create(&bundle, "c");
            podrun.run(&["start", "c"])
        } else {
            let mut words: Vec<&str> = command.split(' ').collect();
            words.extend(["--bundle", bundle.text(), "c"]);
            podrun.run(&words)
        };
        out.refused(&["error running poststart hook #1: \"/bin/sh\": exit status 1"]);
        gone(t, &podrun, "c");
        assert!(log(&bundle).contains(&"poststop".to_owned()), "{command}: {:?}", log(&bundle));
        assert!(!bundle.directory().join("log").exists(), "the third hook has not run");
    }
}

fn failing_poststop_hook_is_a_warning(t: &Test) {
    let podrun = t.podrun();
    let bundle = t.shell("true");
    let log_file = path_text(&bundle.rootfs("log"));
    let bundle = with_hook(bundle, "poststop", shell("echo sad >&2; exit 1"));
    let bundle = with_hook(bundle, "poststop", shell(&format!("echo second >>{log_file}")));
    podrun.up(&bundle, "c");
    podrun.wait_status("c", "stopped");
    let out = podrun.run(&["delete", "c"]).ok();
    out.says(&["warning: error running poststop hook #0: \"/bin/sh\": exit status 1, stderr: sad"]);
    assert_eq!(log(&bundle), ["second"]);
    gone(t, &podrun, "c");
}

fn hook_that_cannot_be_executed_is_found_before_anything_is_made(t: &Test) {
    let podrun = t.podrun();
    let plain = t.file("plain", "#!/bin/sh\n");
    let marker = t.path("ran");
    let hooks = [
        (json!({"path": "/no/such/hook"}), ["path: \"/no/such/hook\"", "no such file or directory"]),
        (json!({"path": path_text(&plain)}), ["plain", "permission denied"]),
        (json!({"path": path_text(t.place())}), ["path: ", "it is not a file"]),
        (json!({"path": "bin/true"}), ["path: \"bin/true\"", "is not absolute"]),
        (json!({"path": "/bin/true", "timeout": 0}), ["timeout: 0", "above 0"]),
        (json!({"path": "/bin/true", "timeout": -5}), ["timeout: -5", "above 0"]),
        (json!({"path": "/bin/true", "env": ["A"]}), ["env[0]", "NAME=value"]),
    ];
    for stage in STAGES {
        for (hook, says) in &hooks {
            let known_only_inside = stage == "startContainer" && says[1] != "is not absolute";
            if known_only_inside && hook.get("timeout").is_none() && hook.get("env").is_none() {
                continue;
            }
            let first = shell(&format!("touch {}", path_text(&marker)));
            let bundle = with_hook(t.bundle(), "prestart", first);
            let bundle = with_hook(bundle, stage, hook.clone());
            let index = usize::from(stage == "prestart");
            let out = podrun.run(&["create", "--bundle", bundle.text(), "c"]);
            out.refused(&[&format!("hooks.{stage}[{index}]"), says[0], says[1]]);
            assert!(!marker.exists(), "a hook ran although another cannot");
        }
    }
    gone(t, &podrun, "c");
}

fn what_a_hook_said_is_bounded_in_the_error(t: &Test) {
    let podrun = t.podrun();
    let script = "i=0; while [ $i -lt 20000 ]; do echo \"line $i\"; i=$((i+1)); done >&2; \
                  printf 'the \\033[31mend\\n' >&2; exit 1";
    for stage in ["prestart", "createContainer", "startContainer"] {
        let out = podrun.run_bundle(&with_hook(t.shell("true"), stage, shell(script)), "c");
        let out = out.refused(&[&format!("error running {stage} hook #0"), "line 19999; the  [31mend"]);
        assert!(out.stderr.len() < 2000, "{} bytes", out.stderr.len());
        assert!(out.stderr.lines().count() <= 2, "one line, and a hint: {}", out.stderr);
    }
}

fn hook_is_killed_with_its_group_at_its_timeout(t: &Test) {
    let podrun = t.podrun();
    for stage in &STAGES[..5] {
        let mut hook = shell("echo waiting >&2; sleep 300 & sleep 300; echo never");
        hook["timeout"] = json!(1);
        let began = Instant::now();
        podrun.run_bundle(&with_hook(t.shell("sleep 30"), stage, hook), "c").refused(&[
            &format!(
                "error running {stage} hook #0: \"/bin/sh\": ran past its timeout of 1 s and was killed"
            ),
            "waiting",
        ]);
        assert!(began.elapsed() < Duration::from_secs(10), "{stage}: {:?}", began.elapsed());
        assert!(began.elapsed() >= Duration::from_secs(1), "{stage}: {:?}", began.elapsed());
        gone(t, &podrun, "c");
    }
    // One that is in time is none the worse for it, nor for more seconds than clocks can count.
    for stage in STAGES {
        for timeout in [20, i64::MAX] {
            let mut hook = shell("sleep 0.1");
            hook["timeout"] = json!(timeout);
            let bundle = with_hook(t.shell("sleep 0.3"), stage, hook.clone());
            let twice = bundle.push(&format!("/hooks/{stage}"), hook);
            podrun.run_bundle(&twice, "c").ok().quietly();
        }
    }
}

fn what_a_hook_leaves_behind_is_not_waited_for(t: &Test) {
    let podrun = t.podrun();
    for stage in STAGES {
        let bundle = t.shell("while [ ! -e /done ]; do sleep 0.01; done");
        let (mut go, mut done) = (paths(&bundle, stage, "go"), paths(&bundle, stage, "done"));
        if stage == "createContainer" {
            // pivot_root(2) takes it along: the container's root is its own from then on.
            (go, done) = ("/go".to_owned(), "/done".to_owned());
        }
        // It holds all three streams, and writes to them when the hook is long gone.
        let script = format!(
            "(trap '' PIPE; while [ ! -e {go} ]; do sleep 0.01; done; echo late; echo late >&2; touch {done}) &"
        );
        let bundle = with_hook(bundle, stage, shell(&script));
        podrun.create(&bundle, "c").quietly();
        podrun.run(&["start", "c"]).ok().quietly();
        if stage == "poststop" {
            podrun.run(&["delete", "--force", "c"]).ok().quietly();
        }
        std::fs::write(bundle.rootfs("go"), "").unwrap();
        eventually(&format!("what {stage} left goes on"), || bundle.rootfs("done").exists().then_some(()));
        if stage != "poststop" {
            podrun.wait_status("c", "stopped");
            podrun.run(&["delete", "c"]).ok().quietly();
        }
    }
}

fn hook_need_not_read_and_may_write_without_end(t: &Test) {
    let podrun = t.podrun();
    let large = "x".repeat(300 << 10);
    for stage in STAGES {
        let script = "head -c 3000000 /dev/zero; head -c 3000000 /dev/zero >&2";
        let bundle =
            with_hook(t.shell("true").set("/annotations", json!({"a": large})), stage, shell(script));
        podrun.run_bundle(&bundle, "c").ok().quietly();
        let bundle = with_hook(t.shell("true"), stage, shell("exec <&- >&- 2>&-; sleep 0.1"));
        podrun.run_bundle(&bundle, "c").ok().quietly();
    }
}

fn large_state_reaches_the_hook(t: &Test) {
    let podrun = t.podrun();
    let large = "x".repeat(300 << 10);
    for stage in STAGES {
        let bundle = t.shell("true").set("/annotations", json!({"a": large}));
        let file = paths(&bundle, stage, stage);
        let bundle = with_hook(bundle, stage, shell(&format!("sleep 0.1; cat >{file}")));
        podrun.run_bundle(&bundle, "c").ok().quietly();
        let state: Value = serde_json::from_slice(&std::fs::read(bundle.rootfs(stage)).unwrap()).unwrap();
        assert_eq!(state["annotations"]["a"].as_str().map(str::len), Some(large.len()), "{stage}");
    }
}

/// Starts `words` with a hook that hangs, and waits until it does: the command, and the hook's pid.
fn hanging(podrun: &Runtime, words: &[&str], file: &Path) -> (Running, i32) {
    let running = podrun.cmd(words).spawn();
    let pid = eventually("the hook runs", || {
        std::fs::read_to_string(file).ok().and_then(|text| text.trim().parse().ok())
    });
    (running, pid)
}

fn create_killed_in_a_hook_leaves_what_delete_removes(t: &Test) {
    let podrun = t.podrun();
    for stage in ["prestart", "createRuntime", "createContainer"] {
        let bundle = t.shell("true");
        let (file, log_file) = (bundle.rootfs("pid"), path_text(&bundle.rootfs("log")));
        let sleeper = bundle.rootfs("sleeper");
        let hook = format!(
            "sleep 300 & echo $! >{}; read p rest </proc/self/stat; echo $p >{}; wait",
            path_text(&sleeper),
            path_text(&file)
        );
        let bundle = with_hook(bundle, stage, shell(&hook));
        let bundle = with_hook(bundle, "poststop", shell(&format!("echo poststop >>{log_file}")));
        let (create, _) = hanging(&podrun, &["create", "--bundle", bundle.text(), "c"], &file);
        assert_eq!(podrun.status("c").as_deref(), Some("creating"));
        create.signal(Signal::SIGKILL);
        create.finish().exits(137);
        podrun.wait_status("c", "stopped");
        podrun.run(&["delete", "--force", "c"]).ok().quietly();
        assert_eq!(log(&bundle), ["poststop"], "{stage}");
        // What the hook started in the background is its own affair; in the container's PID namespace it died with init.
        if stage != "createContainer" {
            let sleeper = std::fs::read_to_string(&sleeper).unwrap().trim().parse().unwrap();
            nix::sys::signal::kill(nix::unistd::Pid::from_raw(sleeper), Signal::SIGKILL).unwrap();
        }
        gone(t, &podrun, "c");
    }
}

fn container_killed_in_a_hook_ends_start(t: &Test) {
    let podrun = t.podrun();
    let bundle = t.shell("true");
    let bundle = with_hook(bundle, "startContainer", shell("echo $$ >/pid; sleep 300"));
    podrun.create(&bundle, "c");
    let (start, _) = hanging(&podrun, &["start", "c"], &bundle.rootfs("pid"));
    assert_eq!(podrun.status("c").as_deref(), Some("created"), "the program does not run yet");
    podrun.run(&["start", "c"]).refused(&["another command is starting it"]);
    podrun.run(&["kill", "c", "KILL"]).ok();
    start.finish().refused(&["its init process died before its program ran"]);
    // It ends when all of its PID namespace has.
    podrun.wait_status("c", "stopped");
    podrun.run(&["delete", "c"]).ok();
}

fn poststop_hooks_run_for_a_forced_delete(t: &Test) {
    let podrun = t.podrun();
    let bundle = noting(t, "sleep 30");
    podrun.create(&bundle, "c");
    podrun.run(&["delete", "c"]).ok().quietly();
    assert_eq!(log(&bundle), [twice(&STAGES[..3]), twice(&["poststop"])].concat(), "never started");
    let bundle = noting(t, "sleep 30");
    podrun.up(&bundle, "c");
    podrun.run(&["delete", "--force", "c"]).ok().quietly();
    assert_eq!(log(&bundle).iter().filter(|line| line.starts_with("poststop")).count(), 2);
    podrun.run(&["delete", "--force", "c"]).ok().quietly();
    assert_eq!(log(&bundle).iter().filter(|line| line.starts_with("poststop")).count(), 2, "once");
}

fn hooks_are_those_of_the_time_of_create(t: &Test) {
    let podrun = t.podrun();
    let bundle = noting(t, "true");
    podrun.create(&bundle, "c");
    let bundle = bundle.set("/hooks", json!({"poststart": [shell("touch /no/such/place")]}));
    podrun.run(&["start", "c"]).ok().quietly();
    podrun.wait_status("c", "stopped");
    podrun.run(&["delete", "c"]).ok().quietly();
    assert_eq!(log(&bundle).len(), 13);
}

/// dockerd names itself by /proc/PID/exe, and another name as the first word.
fn docker_prestart_hook_by_proc_path(t: &Test) {
    let podrun = t.podrun();
    let standing = t.shell("true").directory().join("rootfs/bin/busybox");
    let daemon =
        crate::harness::command::Cmd::new(t.place(), [path_text(&standing), "sleep".into(), "30".into()]);
    let daemon = daemon.spawn();
    let out = path_text(&t.path("out"));
    let hook = json!({
        "path": format!("/proc/{}/exe", daemon.pid()),
        "args": ["sh", "-c", format!("cat >{out}"), "libnetwork-setkey", "-exec-root=/var/run/docker", "id"],
    });
    podrun.run_bundle(&with_hook(t.shell("true"), "prestart", hook), "c").ok().quietly();
    assert!(std::fs::read_to_string(&out).unwrap().contains("\"pid\":"));
    daemon.signal(Signal::SIGKILL);
    daemon.finish();
}
