//! A small shim in the tree: a subreaper that drives the runtime with the command lines of real callers.

use crate::harness::{
    Bundle, Case, Outcome, Runtime, Test, case, console, eventually, proc, runtime::path_text,
};
use nix::sys::signal::Signal;
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::Pid;
use serde_json::{Value, json};
use std::path::PathBuf;

pub fn cases() -> Vec<Case> {
    vec![
        case!(containerd_shim_runs_a_container),
        case!(containerd_shim_execs_into_a_container),
        case!(containerd_shim_kills_all_and_cleans_up_what_is_gone),
        case!(containerd_shim_reads_the_last_line_of_its_log),
        case!(containerd_shim_makes_a_pod_by_paths),
        case!(containerd_shim_gives_terminals),
        case!(containerd_asks_for_features),
        case!(conmon_runs_a_container),
        case!(conmon_execs_with_a_terminal),
        case!(conmon_rs_repeats_the_root_and_execs),
        case!(podman_calls_without_path),
        case!(crio_kills_by_number_and_name),
        case!(crio_execs_in_the_foreground),
        case!(init_outlives_the_runtime_and_its_caller_thread),
        case!(stopped_container_is_seen_by_its_exit_status_alone),
    ]
}

/// What a shim has of one container.
struct Shim {
    runtime: Runtime,
    bundle: Bundle,
    log: PathBuf,
}

impl Shim {
    /// A shim as containerd's: `--root R --log BUNDLE/log.json --log-format json` before each subcommand.
    #[track_caller]
    fn containerd(t: &Test, bundle: Bundle) -> Self {
        podrun::sys::process::set_child_subreaper().expect("to become a subreaper");
        let log = bundle.directory().join("log.json");
        let root = path_text(&t.podrun().root());
        let globals = ["--root", &root, "--log", &path_text(&log), "--log-format", "json"];
        Self { runtime: t.podrun().only_globals(&globals), bundle, log }
    }

    /// A caller with other words before the subcommand.
    #[track_caller]
    fn with(t: &Test, bundle: Bundle, globals: &[&str]) -> Self {
        Self { runtime: t.podrun().only_globals(globals), ..Self::containerd(t, bundle) }
    }

    /// Runs the runtime as shims do: it is to die with its parent, which must not reach what it makes.
    #[track_caller]
    fn call(&self, words: &[&str]) -> Outcome {
        self.runtime.cmd(words).under(["setpriv", "--pdeathsig", "KILL"]).run()
    }

    #[track_caller]
    fn pid_file(&self, name: &str) -> i32 {
        let text = std::fs::read_to_string(self.bundle.directory().join(name)).expect("a pid file");
        assert!(text.bytes().all(|byte| byte.is_ascii_digit()), "digits and nothing else: {text:?}");
        text.parse().expect("a pid")
    }

    /// Creates the container; returns the pid of init.
    #[track_caller]
    fn create(&self, id: &str, more: &[&str]) -> i32 {
        let pid_file = path_text(&self.bundle.directory().join("init.pid"));
        let mut words = vec!["create", "--bundle", self.bundle.text(), "--pid-file", &pid_file];
        words.extend(more);
        words.push(id);
        self.call(&words).ok().quietly();
        let pid = self.pid_file("init.pid");
        assert_eq!(proc::parent(pid), i32::try_from(std::process::id()).ok(), "init is the shim's child");
        pid
    }

    /// Writes a process.json, as shims do for exec.
    #[track_caller]
    fn process(&self, name: &str, args: &[&str], terminal: bool) -> String {
        let mut spec = self.bundle.config()["process"].clone();
        spec["args"] = json!(args);
        spec["terminal"] = json!(terminal);
        let path = self.bundle.directory().join(name);
        std::fs::write(&path, spec.to_string()).expect("a process file");
        path_text(&path)
    }

    #[track_caller]
    fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }
}

/// Waits for a child of this process.
#[track_caller]
fn reap(pid: i32) -> WaitStatus {
    waitpid(Pid::from_raw(pid), None).unwrap_or_else(|error| panic!("cannot wait for {pid}: {error}"))
}

fn exited(pid: i32, code: i32) -> WaitStatus {
    WaitStatus::Exited(Pid::from_raw(pid), code)
}

fn containerd_shim_runs_a_container(t: &Test) {
    let shim = Shim::containerd(t, t.bundle().args(&["/bin/probe", "on-signal", "15", "21", "60"]));
    let pid = shim.create("c", &["--no-pivot", "--no-new-keyring"]);
    assert_eq!(proc::status_field(pid, "Name").as_deref(), Some("podrun:init"));
    shim.call(&["start", "c"]).ok().quietly();
    assert_eq!(proc::status_field(pid, "Name").as_deref(), Some("probe"));
    let pids: Vec<i32> =
        serde_json::from_value(shim.call(&["ps", "--format", "json", "c"]).ok().json()).expect("pids");
    assert_eq!(pids, [pid]);
    // As PID 1 the program gets no signal before it asks for it, so this is said until it is heard.
    eventually("the program takes the signal", || {
        if proc::lives(pid) {
            shim.runtime.with_globals(&["--log", "/dev/null"]).run(&["kill", "c", "15"]);
        }
        (proc::state(pid) == Some('Z')).then_some(())
    });
    assert_eq!(reap(pid), exited(pid, 21));
    shim.call(&["delete", "c"]).ok().quietly();
    assert_eq!(shim.log(), "", "nothing at error level");
}

fn containerd_shim_execs_into_a_container(t: &Test) {
    let shim = Shim::containerd(t, t.bundle().args(&["/bin/probe", "sleep", "300"]));
    let init = shim.create("c", &[]);
    shim.call(&["start", "c"]).ok();
    let process = shim.process("exec.json", &["/bin/probe", "exit", "11"], false);
    let pid_file = path_text(&shim.bundle.directory().join("exec.pid"));
    let words = ["exec", "--process", &process, "--detach", "--pid-file", &pid_file, "c"];
    shim.call(&words).ok().quietly();
    let pid = shim.pid_file("exec.pid");
    assert_eq!(reap(pid), exited(pid, 11), "the exec process is the shim's child, and its code arrives");
    shim.call(&["kill", "c", "9"]).ok();
    assert_eq!(reap(init), WaitStatus::Signaled(Pid::from_raw(init), Signal::SIGKILL, false));
    // What comes too late says so in the shim's words.
    shim.call(&["kill", "c", "9"]).refused(&["container not running"]);
    shim.call(&words).exits(255).says(&["not running"]);
    shim.call(&["delete", "c"]).ok();
}

fn containerd_shim_kills_all_and_cleans_up_what_is_gone(t: &Test) {
    let shim = Shim::containerd(t, t.shell("sleep 300 & echo started; wait").namespace("pid", None));
    let init = shim.create("c", &[]);
    shim.call(&["start", "c"]).ok();
    eventually("there are two processes", || {
        let pids: Vec<i32> =
            serde_json::from_value(shim.call(&["ps", "--format", "json", "c"]).json()).ok()?;
        (pids.len() == 2).then_some(())
    });
    shim.call(&["kill", "--all", "c", "9"]).ok();
    reap(init);
    // Orphans of the container come to the shim, too.
    eventually("every process has ended", || {
        match waitpid(None, Some(nix::sys::wait::WaitPidFlag::WNOHANG)) {
            Err(nix::errno::Errno::ECHILD) => Some(()),
            _ => None,
        }
    });
    shim.call(&["delete", "--force", "c"]).ok();
    shim.call(&["delete", "--force", "c"]).ok();
}

fn containerd_shim_reads_the_last_line_of_its_log(t: &Test) {
    let shim = Shim::containerd(t, t.bundle().args(&["/no/such/program"]));
    let out = shim.call(&["create", "--bundle", shim.bundle.text(), "--pid-file", "/dev/null", "c"]);
    let out = out.refused(&["no such file or directory"]);
    let log = shim.log();
    assert_eq!(log.lines().count(), 1, "podman parses the whole file as one object: {log}");
    let line: Value = serde_json::from_str(&log).expect("one JSON object");
    assert_eq!(line["level"], "error");
    let message = line["msg"].as_str().unwrap_or_default();
    assert!(
        out.stderr.contains(message) && message.contains("no such file or directory"),
        "{message} / {}",
        out.stderr
    );
}

fn containerd_shim_makes_a_pod_by_paths(t: &Test) {
    // The CRI plug-in makes a sandbox container first and names its namespaces by path in the others.
    let shim = Shim::containerd(t, t.bundle().args(&["/bin/probe", "sleep", "300"]));
    let sandbox = shim.create("sandbox", &[]);
    shim.call(&["start", "sandbox"]).ok();
    let mut bundle = t.bundle().args(&["/bin/probe", "sleep", "300"]);
    for (kind, file) in [("network", "net"), ("ipc", "ipc"), ("uts", "uts")] {
        bundle = bundle.namespace(kind, Some(&format!("/proc/{sandbox}/ns/{file}")));
    }
    let bundle = bundle.edit(|config| {
        config.as_object_mut().expect("an object").remove("hostname");
    });
    let app = Shim::containerd(t, bundle);
    let pid = app.create("app", &[]);
    app.call(&["start", "app"]).ok();
    for kind in ["net", "ipc", "uts"] {
        assert_eq!(proc::namespace(pid, kind), proc::namespace(sandbox, kind), "{kind}");
    }
    for id in ["app", "sandbox"] {
        app.call(&["kill", id, "9"]).ok();
    }
    reap(pid);
    reap(sandbox);
    for id in ["app", "sandbox"] {
        app.call(&["delete", id]).ok();
    }
}

fn containerd_shim_gives_terminals(t: &Test) {
    let bundle = t.shell("stty size; read -r line; echo got $line").set("/process/terminal", json!(true));
    let shim = Shim::containerd(t, bundle);
    let listener = console::Listener::at(&t.path("init.sock"));
    let pid = shim.create("c", &["--console-socket", listener.path()]);
    let mut init = listener.accept();
    shim.call(&["start", "c"]).ok();
    let process = shim.process("exec.json", &["/bin/sh", "-c", "tty; exit 3"], true);
    let listener = console::Listener::at(&t.path("exec.sock"));
    let pid_file = path_text(&shim.bundle.directory().join("exec.pid"));
    let words = [
        "exec",
        "--process",
        &process,
        "--console-socket",
        listener.path(),
        "--detach",
        "--pid-file",
        &pid_file,
        "c",
    ];
    shim.call(&words).ok();
    let mut exec = listener.accept();
    assert_eq!((init.descriptors, exec.descriptors), (1, 1));
    exec.read_until("/dev/pts/");
    assert_eq!(reap(shim.pid_file("exec.pid")), exited(shim.pid_file("exec.pid"), 3));
    init.write("line\n");
    init.read_until("got line");
    assert_eq!(reap(pid), exited(pid, 0));
    shim.call(&["delete", "c"]).ok();
}

fn containerd_asks_for_features(t: &Test) {
    let features = t.podrun().only_globals(&[]).run(&["features"]).ok().quietly().json();
    for key in ["ociVersionMin", "ociVersionMax"] {
        assert!(features[key].is_string(), "CRI-O demands {key}: {features}");
    }
    let strings = |pointer: &str| -> Vec<String> {
        features.pointer(pointer).and_then(|v| serde_json::from_value(v.clone()).ok()).unwrap_or_default()
    };
    // What is announced must be so, and what is so is announced.
    assert!(strings("/mountOptions").contains(&"rro".to_owned()), "{features}");
    assert!(strings("/linux/namespaces").contains(&"user".to_owned()), "{features}");
    let idmap = features.pointer("/linux/mountExtensions/idmap/enabled").cloned().unwrap_or(json!(false));
    assert_eq!(idmap, true, "containerd asks before it gives pods user namespaces");
}

fn conmon_runs_a_container(t: &Test) {
    let bundle = t.bundle().args(&["/bin/probe", "exit", "5"]);
    let root = path_text(&t.podrun().root());
    // Podman's RUNTIME-ARGS.
    let shim = Shim::with(
        t,
        bundle,
        &["--root", &root, "--log-format=json", "--log", &path_text(&t.path("oci-log"))],
    );
    let pid = shim.create("c", &["--preserve-fds", "0"]);
    shim.call(&["start", "c"]).ok();
    assert_eq!(reap(pid), exited(pid, 5));
    shim.call(&["delete", "--force", "c"]).ok();
}

fn conmon_execs_with_a_terminal(t: &Test) {
    let shim = Shim::containerd(t, t.shell("sleep 300"));
    let init = shim.create("c", &[]);
    shim.call(&["start", "c"]).ok();
    let process = shim.process("exec.json", &["/bin/sh", "-c", "tty; exit 6"], true);
    for (number, detach) in ["--detach", "-d"].iter().enumerate() {
        let listener = console::Listener::at(&t.path(&format!("{number}.sock")));
        let pid_file = path_text(&shim.bundle.directory().join("exec.pid"));
        let words =
            ["exec", "--pid-file", &pid_file, "--process", &process, detach, "--tty", "--console-socket"];
        let words: Vec<&str> = words.into_iter().chain([listener.path(), "c"]).collect();
        shim.call(&words).ok();
        // Held until the end: losing the master hangs the terminal up.
        let mut master = listener.accept();
        master.read_until("/dev/pts/");
        assert_eq!(reap(shim.pid_file("exec.pid")), exited(shim.pid_file("exec.pid"), 6));
    }
    shim.call(&["kill", "c", "9"]).ok();
    reap(init);
    shim.call(&["delete", "c"]).ok();
}

fn conmon_rs_repeats_the_root_and_execs(t: &Test) {
    let root = path_text(&t.podrun().root());
    let (first, second) = (format!("--root={}", path_text(&t.path("ignored"))), format!("--root={root}"));
    let shim = Shim::with(t, t.bundle().args(&["/bin/probe", "sleep", "300"]), &[&first, &second]);
    let init = shim.create("c", &[]);
    shim.call(&["start", "c"]).ok();
    let pid_file = format!("--pid-file={}", path_text(&shim.bundle.directory().join("exec.pid")));
    shim.call(&["exec", "-d", &pid_file, "c", "/bin/probe", "exit", "8"]).ok();
    assert_eq!(reap(shim.pid_file("exec.pid")), exited(shim.pid_file("exec.pid"), 8));
    let listener = console::Listener::at(&t.path("tty.sock"));
    let socket = format!("--console-socket={}", listener.path());
    shim.call(&["exec", "-d", &socket, "--tty", &pid_file, "c", "/bin/probe", "exit", "9"]).ok();
    let _master = listener.accept();
    assert_eq!(reap(shim.pid_file("exec.pid")), exited(shim.pid_file("exec.pid"), 9));
    shim.call(&["kill", "c", "9"]).ok();
    reap(init);
    shim.call(&["delete", "c"]).ok();
    assert!(!t.path("ignored").exists(), "the first of two --root has no effect");
}

fn podman_calls_without_path(t: &Test) {
    let shim = Shim::containerd(t, t.bundle().args(&["/bin/probe", "sleep", "300"]));
    let init = shim.create("c", &[]);
    let bare = |words: &[&str]| shim.runtime.cmd(words).only_env(&[]).run();
    bare(&["start", "c"]).ok();
    bare(&["kill", "c", "9"]).ok();
    reap(init);
    bare(&["kill", "c", "9"]).refused(&["not running"]);
    bare(&["delete", "--force", "c"]).ok();
    bare(&["--version"]).ok();
}

fn crio_kills_by_number_and_name(t: &Test) {
    let root = format!("--root={}", path_text(&t.podrun().root()));
    let script = "for s in USR1 USR2; do trap \"echo $s\" $s; done; echo ready; while :; do sleep 0.01; done";
    let shim = Shim::with(t, t.shell(script), &[&root]);
    let pid_file = path_text(&shim.bundle.directory().join("init.pid"));
    let out = shim.call(&["create", "--bundle", shim.bundle.text(), "--pid-file", &pid_file, "c"]).ok();
    let init = shim.pid_file("init.pid");
    shim.call(&["start", "c"]).ok();
    assert_eq!(shim.call(&["state", "c"]).ok().json()["status"], "running");
    eventually("it is ready", || out.later().contains("ready").then_some(()));
    shim.call(&["kill", "c", "10"]).ok();
    eventually("the number arrives", || out.later().contains("USR1").then_some(()));
    shim.call(&["kill", "-a", "c", "USR2"]).ok();
    eventually("the name arrives", || out.later().contains("USR2").then_some(()));
    shim.call(&["kill", "c", "SIGKILL"]).ok();
    reap(init);
    let late = shim.call(&["kill", "c", "SIGKILL"]).exits(1);
    // CRI-O compares in lower case.
    assert!(late.stderr.to_lowercase().contains("container not running"), "{}", late.stderr);
    assert_eq!(shim.call(&["state", "c"]).ok().json()["status"], "stopped");
    shim.call(&["delete", "--force", "c"]).ok();
}

fn crio_execs_in_the_foreground(t: &Test) {
    let shim = Shim::containerd(t, t.bundle().args(&["/bin/probe", "sleep", "300"]));
    let init = shim.create("c", &[]);
    shim.call(&["start", "c"]).ok();
    let process = shim.process("probe.json", &["/bin/probe", "exit", "17"], false);
    shim.call(&["exec", "--process", &process, "c"]).exits(17);
    let missing = shim.process("probe.json", &["/no/such"], false);
    shim.call(&["exec", "--process", &missing, "c"]).exits(255).says(&["no such file or directory"]);
    shim.call(&["kill", "c", "9"]).ok();
    reap(init);
    shim.call(&["delete", "c"]).ok();
}

fn init_outlives_the_runtime_and_its_caller_thread(t: &Test) {
    let shim = Shim::containerd(t, t.bundle().args(&["/bin/probe", "sleep", "300"]));
    // The parent-death signal is of the thread that made the child: in Go, any thread may end at any time.
    let (runtime, bundle) = (shim.runtime.clone(), shim.bundle.text().to_owned());
    let pid_file = path_text(&shim.bundle.directory().join("init.pid"));
    let thread = std::thread::spawn(move || {
        let create = runtime.cmd(&["create", "--bundle", &bundle, "--pid-file", &pid_file, "c"]);
        create.under(["setpriv", "--pdeathsig", "KILL"]).run().ok();
        runtime.cmd(&["start", "c"]).under(["setpriv", "--pdeathsig", "KILL"]).run().ok();
    });
    thread.join().expect("the thread of the caller");
    let pid = shim.pid_file("init.pid");
    assert!(proc::lives(pid), "init lives on after the runtime and the caller's thread are gone");
    shim.call(&["kill", "c", "9"]).ok();
    reap(pid);
    shim.call(&["delete", "c"]).ok();
}

fn stopped_container_is_seen_by_its_exit_status_alone(t: &Test) {
    let shim = Shim::containerd(t, t.bundle().args(&["/bin/probe", "exit", "12"]));
    let pid = shim.create("c", &[]);
    shim.call(&["start", "c"]).ok();
    // The shim learns of the end by SIGCHLD, and deletes before it reaps or after: both must work.
    eventually("init is a zombie", || (proc::state(pid) == Some('Z')).then_some(()));
    shim.call(&["delete", "c"]).ok();
    assert_eq!(reap(pid), exited(pid, 12));
}
