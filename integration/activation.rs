//! What a service manager and a shell expect of `run` and `start`: readiness, sockets handed over, signals, orphans; and
//! the lines that tell what is being done.

use crate::harness::command::Running;
use crate::harness::{Bundle, Case, Test, case, eventually, proc, runtime::path_text, within};
use nix::sys::signal::Signal;
use podrun::sys::socket;
use serde_json::{Value, json};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;

pub fn cases() -> Vec<Case> {
    vec![
        case!(start_returns_when_the_program_is_ready),
        case!(start_returns_when_the_program_ends_without_a_word),
        case!(detached_run_returns_when_the_program_is_ready),
        case!(run_in_the_foreground_passes_readiness_on),
        case!(readiness_goes_to_an_abstract_socket),
        case!(container_made_without_notify_socket_is_started_with_a_warning),
        case!(odd_notify_socket_is_refused),
        case!(listen_fds_come_with_their_names_and_the_programs_pid),
        case!(signal_right_after_the_start_is_the_programs),
        case!(run_reaps_orphans_unless_told_not_to),
        case!(pid_file_can_be_read_by_others),
        case!(kill_reaches_those_who_outlived_init),
        case!(debug_tells_the_steps_on_stderr),
        case!(debug_goes_to_the_log_file),
        case!(log_level_takes_warnings_into_the_log_file),
        case!(debug_with_an_unwritable_log_file_is_refused),
    ]
}

/// A service manager: what it hears, and how it confirms.
struct Manager {
    socket: OwnedFd,
    address: String,
}

impl Manager {
    fn at(t: &Test) -> Self {
        let path = t.path("manager.sock");
        Self { socket: socket::datagrams_at(&path).unwrap(), address: path_text(&path) }
    }

    /// The next message and the descriptor that came with it, within `seconds`.
    fn hears(&self, seconds: u64) -> Option<(String, Option<OwnedFd>)> {
        let limit = std::time::Duration::from_secs(seconds) * crate::harness::machine::slowness();
        let deadline = std::time::Instant::now() + limit;
        if !podrun::sys::process::poll_until(self.socket.as_fd(), libc::POLLIN, deadline).unwrap() {
            return None;
        }
        let mut buffer = [0; 256];
        let (length, fd) = socket::receive_with_descriptor(self.socket.as_fd(), &mut buffer).unwrap();
        Some((String::from_utf8_lossy(&buffer[..length]).into_owned(), fd))
    }

    fn variables(&self) -> [(&str, &str); 2] {
        [("PATH", "/usr/sbin:/usr/bin:/sbin:/bin"), ("NOTIFY_SOCKET", &self.address)]
    }
}

/// Says lies, then that it is ready when told so by a file, and goes on.
fn speaker(t: &Test) -> Bundle {
    t.shell(
        "/bin/probe notify 'MAINPID=1' 'STATUS=READY=1' 'FDSTORE=1'; \
         while [ ! -e /go ]; do sleep 0.01; done; /bin/probe notify 'STATUS=up\nREADY=1'; \
         while [ ! -e /end ]; do sleep 0.01; done",
    )
}

/// What `command` does until the program is ready, and then.
#[track_caller]
fn comes_back_when_ready(manager: &Manager, bundle: &Bundle, command: Running, pid: impl FnOnce() -> i32) {
    assert!(manager.hears(1).is_none(), "what the program says of others is not passed on");
    assert!(proc::lives(command.pid()), "it waits for the program's word");
    std::fs::write(bundle.rootfs("go"), "").unwrap();
    assert_eq!(manager.hears(10).unwrap().0, "READY=1\n");
    assert_eq!(manager.hears(10).unwrap().0, format!("MAINPID={}\n", pid()));
    let (text, barrier) = manager.hears(10).unwrap();
    assert_eq!(text, "BARRIER=1");
    assert!(within(0, || (!proc::lives(command.pid())).then_some(())).is_none(), "it waits for the barrier");
    drop(barrier);
    command.finish().ok().quietly();
}

fn start_returns_when_the_program_is_ready(t: &Test) {
    let (podrun, manager) = (t.podrun(), Manager::at(t));
    let bundle = speaker(t);
    let create = podrun.cmd(&["create", "--bundle", bundle.text(), "c"]);
    create.only_env(&manager.variables()).run().ok().quietly();
    let start = podrun.cmd(&["start", "c"]).only_env(&manager.variables()).spawn();
    comes_back_when_ready(&manager, &bundle, start, || podrun.pid("c"));
    podrun.remove("c");
}

fn start_returns_when_the_program_ends_without_a_word(t: &Test) {
    let (podrun, manager) = (t.podrun(), Manager::at(t));
    let bundle = t.shell("sleep 0.3; exit 3");
    let create = podrun.cmd(&["create", "--bundle", bundle.text(), "c"]);
    create.only_env(&manager.variables()).run().ok();
    podrun.cmd(&["start", "c"]).only_env(&manager.variables()).run().ok().quietly();
    assert_eq!(podrun.status("c").as_deref(), Some("stopped"));
    assert!(manager.hears(0).is_none());
    podrun.run(&["delete", "c"]).ok();
}

fn detached_run_returns_when_the_program_is_ready(t: &Test) {
    let (podrun, manager) = (t.podrun(), Manager::at(t));
    let bundle = speaker(t);
    let run = podrun.cmd(&["run", "--detach", "--bundle", bundle.text(), "c"]);
    let run = run.only_env(&manager.variables()).spawn();
    comes_back_when_ready(&manager, &bundle, run, || podrun.pid("c"));
    podrun.remove("c");
}

fn run_in_the_foreground_passes_readiness_on(t: &Test) {
    let (podrun, manager) = (t.podrun(), Manager::at(t));
    let bundle = speaker(t);
    std::fs::write(bundle.rootfs("go"), "").unwrap();
    let run = podrun.cmd(&["run", "--bundle", bundle.text(), "c"]).only_env(&manager.variables()).spawn();
    assert_eq!(manager.hears(10).unwrap().0, "READY=1\n");
    // The command itself is the service's main process.
    assert!(manager.hears(1).is_none());
    std::fs::write(bundle.rootfs("end"), "").unwrap();
    run.finish().ok().quietly();
    assert_eq!(podrun.status("c"), None);
}

fn readiness_goes_to_an_abstract_socket(t: &Test) {
    let podrun = t.podrun();
    let name = format!("podrun-test-{}", std::process::id());
    let address =
        <std::os::unix::net::SocketAddr as std::os::linux::net::SocketAddrExt>::from_abstract_name(&name);
    let manager = std::os::unix::net::UnixDatagram::bind_addr(&address.unwrap()).unwrap();
    manager.set_read_timeout(Some(std::time::Duration::from_secs(20))).unwrap();
    let bundle = t.bundle().args(&["/bin/probe", "notify", "READY=1"]);
    let run = podrun.cmd(&["run", "--bundle", bundle.text(), "c"]);
    run.only_env(&[("NOTIFY_SOCKET", &format!("@{name}"))]).run().ok().quietly();
    let mut buffer = [0; 64];
    let length = manager.recv(&mut buffer).expect("the word");
    assert_eq!(&buffer[..length], b"READY=1\n");
}

fn container_made_without_notify_socket_is_started_with_a_warning(t: &Test) {
    let (podrun, manager) = (t.podrun(), Manager::at(t));
    podrun.create(&t.bundle().args(&["/bin/probe", "sleep", "30"]), "c");
    let start = podrun.cmd(&["start", "c"]).only_env(&manager.variables()).run().ok();
    start.says(&["warning: NOTIFY_SOCKET is set, but the container was created without it"]);
    podrun.remove("c");
}

fn odd_notify_socket_is_refused(t: &Test) {
    let podrun = t.podrun();
    let bundle = t.bundle().args(&["/bin/probe", "exit", "0"]);
    let run =
        podrun.cmd(&["run", "--bundle", bundle.text(), "c"]).only_env(&[("NOTIFY_SOCKET", "vsock:2:9")]);
    run.run().refused(&["NOTIFY_SOCKET: \"vsock:2:9\" is neither a path nor an abstract socket"]);
    assert_eq!(podrun.status("c"), None);
}

fn listen_fds_come_with_their_names_and_the_programs_pid(t: &Test) {
    let podrun = t.podrun();
    let (one, two) = (t.file("one", "first\n"), t.file("two", "second\n"));
    let script = format!(
        "exec 3<{} 4<{}; LISTEN_FDS=2 LISTEN_FDNAMES=web:db LISTEN_PID=$$ exec \"$@\"",
        path_text(&one),
        path_text(&two)
    );
    for host_pids in [false, true] {
        let shell = "echo $LISTEN_FDS $LISTEN_FDNAMES; [ $LISTEN_PID = $$ ] && cat <&3 <&4; cat <&3";
        let mut bundle = t.shell(shell);
        if host_pids {
            bundle = bundle.namespace("pid", None);
        }
        let run = podrun.cmd(&["run", "--bundle", bundle.text(), "c"]).under(["sh", "-c", &script, "sh"]);
        assert_eq!(run.run().ok().quietly().stdout, "2 web:db\nsecond\nfirst\n", "host pids: {host_pids}");
    }
    // What is meant for another process is none of the program's.
    let script = "exec 3</dev/null; LISTEN_FDS=1 LISTEN_FDNAMES=x LISTEN_PID=1 exec \"$@\"";
    let bundle = t.shell("echo \"$LISTEN_FDS|$LISTEN_FDNAMES|$LISTEN_PID\"");
    let run = podrun.cmd(&["run", "--bundle", bundle.text(), "c"]).under(["sh", "-c", script, "sh"]);
    assert_eq!(run.run().ok().stdout, "||\n");
}

fn signal_right_after_the_start_is_the_programs(t: &Test) {
    let podrun = t.podrun();
    let bundle = t.shell("trap 'exit 9' USR1; touch /ready; while :; do sleep 0.01; done");
    // This hook runs before `run` begins to wait; its parent is `run` itself.
    let ready = path_text(&bundle.rootfs("ready"));
    let script = format!("while [ ! -e {ready} ]; do sleep 0.01; done; kill -USR1 $PPID");
    let bundle = bundle.push("/hooks/poststart", json!({"path": "/bin/sh", "args": ["sh", "-c", script]}));
    podrun.run_bundle(&bundle, "c").exits(9).quietly();
}

fn run_reaps_orphans_unless_told_not_to(t: &Test) {
    let podrun = t.podrun();
    for flag in [None, Some("--no-subreaper")] {
        let bundle = t.shell("(sleep 1 & echo $! >/pid); while [ ! -e /end ]; do sleep 0.01; done");
        let bundle = bundle.namespace("pid", None);
        let words: Vec<&str> =
            ["run"].into_iter().chain(flag).chain(["--bundle", bundle.text(), "c"]).collect();
        let run = podrun.cmd(&words).spawn();
        let orphan: i32 = eventually("there is an orphan", || {
            std::fs::read_to_string(bundle.rootfs("pid")).ok()?.trim().parse().ok()
        });
        let parent = eventually("it has a new parent", || {
            let parent: i32 = proc::status_field(orphan.to_string(), "PPid")?.parse().ok()?;
            // Its first parent was a shell of the container's.
            (proc::status_field(parent.to_string(), "Name")? != "sh").then_some(parent)
        });
        assert_eq!(parent == run.pid(), flag.is_none(), "{flag:?}");
        if flag.is_none() {
            eventually("it is reaped", || proc::state(orphan).is_none().then_some(()));
        }
        std::fs::write(bundle.rootfs("end"), "").unwrap();
        run.finish().ok().quietly();
    }
}

fn pid_file_can_be_read_by_others(t: &Test) {
    let podrun = t.podrun();
    let bundle = t.bundle().args(&["/bin/probe", "sleep", "30"]);
    for (umask, mode) in [("022", 0o644), ("077", 0o600)] {
        let file = t.path(umask);
        let words = ["run", "-d", "--pid-file", file.to_str().unwrap(), "--bundle", bundle.text(), "c"];
        podrun.cmd(&words).under(["sh", "-c", &format!("umask {umask}; exec \"$0\" \"$@\"")]).run().ok();
        assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o7777, mode);
        podrun.remove("c");
    }
}

fn kill_reaches_those_who_outlived_init(t: &Test) {
    let podrun = t.podrun();
    let bundle = t.shell("sleep 300 & sleep 300 & echo two; exec sleep 300").namespace("pid", None);
    let out = podrun.up(&bundle, "c");
    podrun.wait_output(&out, "two");
    let all: Vec<i32> = serde_json::from_value(podrun.run(&["ps", "-f", "json", "c"]).ok().json()).unwrap();
    let init = podrun.pid("c");
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(init), Signal::SIGKILL).unwrap();
    podrun.wait_status("c", "stopped");
    podrun.run(&["kill", "c", "TERM"]).refused(&["container not running"]);
    podrun.run(&["kill", "c", "KILL"]).ok().quietly();
    for pid in all {
        eventually("every process is dead", || (!proc::lives(pid)).then_some(()));
    }
    eventually("then nobody is left to kill", || {
        (podrun.run(&["kill", "c", "KILL"]).code() == 1).then_some(())
    });
    podrun.run(&["delete", "c"]).ok().quietly();
}

/// What a step-by-step account of a container with a hook says, in its order.
const STEPS: [&str; 6] = [
    "run --bundle",
    "bundle ",
    "made and limited cgroup ",
    "cloned init: process ",
    "createRuntime hook #0 ",
    "is gone: processes, cgroup, files",
];

fn traced(t: &Test) -> Bundle {
    t.shell("true").push("/hooks/createRuntime", json!({"path": "/bin/true"}))
}

#[track_caller]
fn in_order(text: &str) {
    let mut rest = text;
    for step in STEPS {
        match rest.find(step) {
            Some(at) => rest = &rest[at..],
            None => panic!("{step:?} is missing, or out of order, in:\n{text}"),
        }
    }
}

fn debug_tells_the_steps_on_stderr(t: &Test) {
    for flag in [&["--debug"][..], &["--log-level", "debug"], &["--log-level=trace"]] {
        let podrun = t.podrun().with_globals(flag);
        let out = podrun.run_bundle(&traced(t), "c").ok();
        in_order(&out.stderr);
        for line in out.stderr.lines() {
            assert!(line.starts_with("time=\"2") && line.contains(" level=debug msg=\""), "{line}");
        }
        assert_eq!(out.stdout, "");
    }
    t.podrun().with_globals(&["--log-level", "info"]).run_bundle(&traced(t), "c").ok().quietly();
}

fn debug_goes_to_the_log_file(t: &Test) {
    let log = path_text(&t.path("log"));
    let podrun = t.podrun().with_globals(&["--log", &log, "--debug"]);
    podrun.run_bundle(&traced(t), "c").ok().quietly();
    in_order(&std::fs::read_to_string(&log).unwrap());
    let log = path_text(&t.path("log.json"));
    let podrun = t.podrun().with_globals(&["--log", &log, "--log-format", "json", "--debug"]);
    podrun.run_bundle(&traced(t), "c").ok().quietly();
    podrun.run(&["state", "no"]).refused(&["does not exist"]);
    let text = std::fs::read_to_string(&log).unwrap();
    in_order(&text);
    let lines: Vec<Value> =
        text.lines().map(|line| serde_json::from_str(line).expect("a JSON line")).collect();
    let (last, steps) = lines.split_last().unwrap();
    assert!(steps.iter().all(|line| line["level"] == "debug" && line["time"].is_string()), "{text}");
    assert_eq!(last["level"], "error", "what ends a command comes last");
}

fn log_level_takes_warnings_into_the_log_file(t: &Test) {
    let bundle = t.shell("true").push("/hooks/poststop", json!({"path": "/bin/false"}));
    for (level, count) in [("error", 0), ("warn", 1)] {
        let log = path_text(&t.path(level));
        let podrun = t.podrun().with_globals(&["--log", &log, "--log-format", "json", "--log-level", level]);
        podrun.run_bundle(&bundle, "c").ok().says(&["warning: error running poststop hook #0"]);
        let text = std::fs::read_to_string(&log).unwrap_or_default();
        assert_eq!(
            text.matches("{\"level\":\"warning\",\"msg\":\"error running poststop hook #0").count(),
            count
        );
    }
}

fn debug_with_an_unwritable_log_file_is_refused(t: &Test) {
    let podrun = t.podrun().with_globals(&["--log", "/no/such/directory/log", "--debug"]);
    podrun.run(&["list"]).refused(&["cannot write the log file \"/no/such/directory/log\""]);
}
