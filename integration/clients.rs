//! Real clients beside containerd: conmon, Podman and dockerd, started privately, with podrun as their runtime.
//! Nothing of theirs touches the machine or a daemon that runs there: see `harness::apart`; dockerd has a network
//! namespace for its bridge and its firewall rules as well.

use crate::harness::command::{Cmd, Outcome, Running};
use crate::harness::{
    Case, Test, apart, bundle::Rootfs, case, cgroups, eventually, machine, pods, runtime::path_text, skip,
    within,
};
use nix::sys::signal::Signal;
use serde_json::{Value, json};
use std::ffi::OsString;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

pub fn cases() -> Vec<Case> {
    vec![
        case!(conmon_runs_and_execs_for_crio).seconds(60),
        case!(conmon_tells_why_a_container_does_not_start).seconds(60),
        case!(podman_runs_containers).exclusive().seconds(180),
        case!(podman_runs_pods_and_hooks).exclusive().seconds(180),
        case!(docker_runs_containers).exclusive().seconds(240),
        case!(docker_bridges_containers_by_its_prestart_hook).exclusive().seconds(240),
    ]
}

/// The busybox root file system as both clients `import` it.
#[track_caller]
fn archive(t: &Test) -> String {
    let file = path_text(&t.path("image.tar"));
    let rootfs = path_text(&Rootfs::Busybox.directory());
    let words = ["tar", "-C", &rootfs, "-cf", &file, "."].map(str::to_owned);
    Cmd::new(t.place(), words).run().ok();
    file
}

/// The group below which clients put containers: a parent that may stay.
fn cgroup_parent() -> String {
    pods::pod_parent().replace("/pods", "/podrun")
}

/// Removes the groups that clients made for themselves; no container's may be among them.
#[track_caller]
fn remove_client_groups() {
    for hierarchy in cgroups::hierarchies("self") {
        let mut all = cgroups::tree(&hierarchy.directory(&cgroup_parent()));
        all.retain(|group| !group.ends_with("podrun"));
        for group in all {
            let name = group.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            assert!(!name.starts_with("libpod-"), "podrun left {}", group.display());
            drop(std::fs::remove_dir(&group));
        }
    }
}

/// The clients have time-outs of their own, which are those of real machines.
fn refuse_emulation() {
    if machine::is_emulated() {
        skip("the machine is emulated, and too slow for the time-outs of clients");
    }
}

/// A program that stops when it is asked to, with code 3.
const OBEDIENT: &str = "trap 'exit 3' TERM; echo started; while :; do sleep 0.05; done";

/// conmon as CRI-O starts it: it watches over one process, and tells of it by files.
struct Conmon<'a> {
    t: &'a Test,
    /// Begins the names of its files.
    name: &'a str,
}

impl Conmon<'_> {
    /// Has it make the container `c` of a bundle, or a process in it; what it then writes to its caller.
    #[track_caller]
    fn run(&self, flags: &[&str]) -> Value {
        if !machine::has_package("conmon") {
            skip("conmon is not installed");
        }
        let podrun = self.t.podrun();
        let file = |kind: &str| path_text(&self.t.path(&format!("{}.{kind}", self.name)));
        let script = "answer=$1; shift; exec 3>$answer; export _OCI_SYNCPIPE=3; exec conmon \"$@\"";
        let mut words = ["sh", "-c", script, "sh", &file("answer")].map(str::to_owned).to_vec();
        let root = format!("--root={}", path_text(&podrun.root()));
        let data = format!("--data-root={}", path_text(&podrun.data_root()));
        for (flag, value) in [
            ("--cid", "c"),
            ("--name", "k8s_c"),
            ("--cuuid", self.name),
            ("--runtime", &path_text(podrun.binary())),
            ("--runtime-arg", &root),
            ("--runtime-arg", &data),
            ("--log-path", &file("log")),
            ("--log-level", "info"),
            ("--container-pidfile", &file("pid")),
            ("--socket-dir-path", &path_text(&self.t.directory("sockets"))),
        ] {
            words.extend([flag.to_owned(), value.to_owned()]);
        }
        words.extend(flags.iter().map(|flag| (*flag).to_owned()));
        Cmd::new(self.t.place(), words).run();
        eventually("conmon answers", || {
            let text = std::fs::read_to_string(self.t.path(&format!("{}.answer", self.name))).ok()?;
            serde_json::from_str(&text).ok()
        })
    }

    #[track_caller]
    fn wait_log(&self, texts: &[&str]) {
        eventually(&format!("{texts:?} are in the log"), || {
            let text = std::fs::read_to_string(self.t.path(&format!("{}.log", self.name))).ok()?;
            texts.iter().all(|wanted| text.contains(wanted)).then_some(())
        });
    }
}

fn conmon_runs_and_execs_for_crio(t: &Test) {
    let bundle = t.shell(&format!("echo to stderr >&2; {OBEDIENT}"));
    let init = Conmon { t, name: "init" };
    let exits = path_text(&t.directory("exits"));
    let pid = init.run(&["--bundle", bundle.text(), "--exit-dir", &exits])["pid"].as_i64();
    assert_eq!(pid, Some(t.podrun().pid("c").into()), "the pid that conmon read from the pid file");
    t.podrun().run(&["start", "c"]).ok();
    init.wait_log(&[" stdout F started\n", " stderr F to stderr\n"]);

    let process = |name: &str, args: &[&str]| {
        let mut spec = bundle.config()["process"].clone();
        spec["args"] = json!(args);
        path_text(&t.file(name, spec.to_string()))
    };
    let spec = process("good.json", &["/bin/sh", "-c", "echo in exec; exit 4"]);
    let exec = Conmon { t, name: "exec" };
    let answer = exec.run(&["--exec", "--exec-process-spec", &spec]);
    assert_eq!(answer, json!({"exit_code": 4}));
    exec.wait_log(&[" stdout F in exec\n"]);
    let spec = process("terminal.json", &["/bin/sh", "-c", "tty; exit 5"]);
    let exec = Conmon { t, name: "terminal" };
    let answer = exec.run(&["--exec", "--exec-process-spec", &spec, "--terminal"]);
    assert_eq!(answer, json!({"exit_code": 5}));
    exec.wait_log(&[" stdout F /dev/pts/0"]);
    let spec = process("bad.json", &["/no/such"]);
    let answer = Conmon { t, name: "bad" }.run(&["--exec", "--exec-process-spec", &spec]);
    let message = answer["message"].as_str().unwrap_or_default();
    assert!(answer["exit_code"] == -1 && message.contains("no such file or directory"), "{answer}");

    t.podrun().run(&["kill", "c", "TERM"]).ok();
    let exit = t.path("exits/c");
    let code = eventually("there is an exit file", || {
        std::fs::read_to_string(&exit).ok().filter(|text| !text.is_empty())
    });
    assert_eq!(code, "3");
    t.podrun().wait_status("c", "stopped");
    t.podrun().run(&["delete", "c"]).ok();
}

fn conmon_tells_why_a_container_does_not_start(t: &Test) {
    let bundle = t.bundle().args(&["/no/such"]);
    let answer = Conmon { t, name: "init" }.run(&["--bundle", bundle.text()]);
    let message = answer["message"].as_str().unwrap_or_default();
    assert!(message.contains("no such file or directory"), "{answer}");
    assert_eq!(t.podrun().ids(), Vec::<String>::new());
}

struct Podman {
    place: PathBuf,
    /// Holds the mount namespace.
    holder: Running,
    /// Variables, the program and its flags.
    globals: Vec<String>,
}

impl Podman {
    #[track_caller]
    fn start(t: &Test) -> Self {
        refuse_emulation();
        for program in ["podman", "conmon"] {
            if !machine::has_package(program) {
                skip(&format!("{program} is not installed"));
            }
        }
        // Podman's own calls of the runtime do not pass --runtime-flag on, so a script tells it the directories.
        let podrun = t.podrun();
        let (binary, root, data) =
            (path_text(podrun.binary()), path_text(&podrun.root()), path_text(&podrun.data_root()));
        let script =
            t.file("podrun", format!("#!/bin/sh\nexec {binary} --root {root} --data-root {data} \"$@\"\n"));
        std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).unwrap();
        let config = format!(
            "[containers]\ndefault_ulimits = [\"nofile=20000:20000\", \"nproc=30000:30000\"]\n\
             log_driver = \"k8s-file\"\n[engine]\ncgroup_manager = \"cgroupfs\"\nevents_logger = \"file\"\n\
             lock_type = \"file\"\nruntime = \"podrun\"\nruntime_supports_json = [\"podrun\"]\n\
             [engine.runtimes]\npodrun = [\"{}\"]\n[network]\nnetwork_config_dir = \"{}\"\n",
            path_text(&script),
            path_text(&t.directory("pm-networks"))
        );
        let config = path_text(&t.file("containers.conf", config));
        let holder = apart::command(t.place(), &[], "echo ready; exec sleep 600").spawn();
        assert!(
            within(10, || holder.stdout().contains("ready").then_some(())).is_some(),
            "{}",
            holder.stderr()
        );
        let mut globals: Vec<String> = vec![format!("CONTAINERS_CONF={config}"), "podman".to_owned()];
        for (flag, name) in [("--root", "pm-root"), ("--runroot", "pm-run"), ("--tmpdir", "pm-tmp")] {
            globals.extend([flag.to_owned(), path_text(&t.directory(name))]);
        }
        globals.extend(["--storage-driver", "vfs"].map(str::to_owned));
        let podman = Self { place: t.place().to_owned(), holder, globals };
        podman.run(&["import", &archive(t), "it:latest"]).ok();
        podman
    }

    #[track_caller]
    fn run(&self, words: &[&str]) -> Outcome {
        let all = self.globals.iter().cloned().chain(words.iter().map(|word| (*word).to_owned()));
        let all = apart::inside(&self.place, &self.holder).into_iter().chain(all.map(OsString::from));
        Cmd::new(&self.place, all).seconds(60).run()
    }

    /// A container without a network, in the test's groups.
    #[track_caller]
    fn container(&self, flags: &[&str], words: &[&str]) -> Outcome {
        let parent = cgroup_parent();
        let mut all = vec!["run", "--network", "none", "--cgroup-parent", &parent];
        all.extend(flags);
        all.push("it:latest");
        all.extend(words);
        self.run(&all)
    }

    #[track_caller]
    fn stop(self, t: &Test) {
        self.run(&["rm", "--all", "--force", "--time", "0"]).ok();
        assert_eq!(t.podrun().ids(), Vec::<String>::new());
        self.holder.signal(Signal::SIGKILL);
        self.holder.finish();
        // conmon ends a moment after its container is gone.
        drop(t.corner().settle());
        remove_client_groups();
    }
}

fn podman_runs_containers(t: &Test) {
    let podman = Podman::start(t);
    let out = podman.container(&["--rm"], &["/bin/sh", "-c", "echo inside; id -u; exit 7"]).exits(7);
    assert_eq!(out.stdout, "inside\n0\n");
    podman.container(&["--rm"], &["/no/such"]).exits(127).says(&["no such file or directory"]);
    podman.container(&["--rm"], &["/etc"]).exits(126).says(&["is a directory"]);
    let terminal = podman.container(&["--rm", "-t"], &["tty"]).ok();
    assert_eq!(terminal.stdout.trim_end(), "/dev/pts/0");
    // What it lays over /etc begins as a copy of what is below.
    let script = "! touch /x 2>/dev/null && test -s /etc/passwd && touch /etc/x /tmp/x && ls /tmp";
    let read_only =
        podman.container(&["--rm", "--read-only", "--tmpfs", "/etc"], &["/bin/sh", "-c", script]).ok();
    assert_eq!(read_only.stdout, "x\n");

    podman
        .container(&["-d", "--name", "one", "--health-cmd", "test -e /bin/sh"], &["/bin/sh", "-c", OBEDIENT])
        .ok();
    assert!(within(10, || podman.run(&["logs", "one"]).stdout.contains("started").then_some(())).is_some());
    let exec = podman.run(&["exec", "one", "/bin/sh", "-c", "echo in exec; exit 4"]).exits(4);
    assert_eq!(exec.stdout, "in exec\n");
    podman.run(&["exec", "one", "/no/such"]).exits(127);
    podman.run(&["healthcheck", "run", "one"]).ok();
    podman.run(&["pause", "one"]).ok();
    assert_eq!(podman.run(&["inspect", "--format", "{{.State.Status}}", "one"]).stdout.trim_end(), "paused");
    podman.run(&["unpause", "one"]).ok();
    podman.run(&["update", "--memory", "64m", "one"]).ok();
    podman.run(&["stop", "--time", "10", "one"]).ok();
    let state = podman.run(&["inspect", "--format", "{{.State.ExitCode}} {{.State.Status}}", "one"]).ok();
    assert_eq!(state.stdout.trim_end(), "3 exited");
    podman.run(&["start", "one"]).ok();
    podman.run(&["kill", "--signal", "KILL", "one"]).ok();
    assert_eq!(podman.run(&["wait", "one"]).ok().stdout.trim_end(), "137");
    podman.run(&["rm", "one"]).ok();
    podman.run(&["container", "inspect", "one"]).exits(125);
    podman.stop(t);
}

fn podman_runs_pods_and_hooks(t: &Test) {
    let podman = Podman::start(t);
    let parent = cgroup_parent();
    let words = ["--infra-image", "it:latest", "--infra-command", "sleep 600", "--cgroup-parent", &parent];
    let create = ["pod", "create", "--name", "p", "--network", "none"];
    podman.run(&create.into_iter().chain(words).collect::<Vec<_>>()).ok();
    for name in ["a", "b"] {
        podman.run(&["run", "-d", "--pod", "p", "--name", name, "it:latest", "/bin/sh", "-c", OBEDIENT]).ok();
    }
    let namespace = |name: &str| podman.run(&["exec", name, "readlink", "/proc/self/ns/net"]).ok().stdout;
    assert_eq!(namespace("a"), namespace("b"), "they share the pod's network");
    let pods = podman.run(&["pod", "ps", "--format", "{{.Name}} {{.Status}} {{.NumberOfContainers}}"]).ok();
    assert_eq!(pods.stdout.trim_end(), "p Running 3");
    podman.run(&["pod", "rm", "--force", "--time", "0", "p"]).ok();

    let (hooks, seen) = (t.directory("hooks.d"), path_text(&t.path("seen")));
    let hook = json!({
        "version": "1.0.0", "when": {"always": true}, "stages": ["createRuntime", "poststop"],
        "hook": {"path": "/bin/sh", "args": ["sh", "-c", format!("cat >>{seen}; echo >>{seen}")]},
    });
    std::fs::write(hooks.join("note.json"), hook.to_string()).unwrap();
    let words =
        ["--hooks-dir", &path_text(&hooks), "run", "--rm", "--network", "none", "--cgroup-parent", &parent];
    podman.run(&words.into_iter().chain(["it:latest", "true"]).collect::<Vec<_>>()).ok();
    let seen = std::fs::read_to_string(&seen).unwrap();
    let statuses: Vec<_> = ["\"creating\"", "\"stopped\""].map(|status| seen.contains(status)).into();
    assert_eq!((statuses, seen.lines().count()), (vec![true, true], 2), "{seen}");
    podman.stop(t);
}

struct Docker {
    place: PathBuf,
    daemon: Running,
    socket: String,
}

impl Docker {
    #[track_caller]
    fn start(t: &Test) -> Self {
        refuse_emulation();
        for program in ["dockerd", "docker", "containerd"] {
            if !machine::has_package(program) {
                skip(&format!("{program} is not installed"));
            }
        }
        let podrun = t.podrun();
        let arguments = ["--data-root".to_owned(), path_text(&podrun.data_root())];
        let config = json!({
            "runtimes": {"podrun": {"path": path_text(podrun.binary()), "runtimeArgs": arguments}},
            "default-runtime": "podrun", "cgroup-parent": cgroup_parent(), "storage-driver": "vfs",
            "exec-opts": ["native.cgroupdriver=cgroupfs"], "bip": "10.211.0.1/24", "log-level": "warn",
        });
        let config = path_text(&t.file("daemon.json", config.to_string()));
        let socket = format!("unix://{}", path_text(&t.path("docker.sock")));
        let (data, exec, pid) = ("dk-data", "dk-exec", path_text(&t.path("docker.pid")));
        let [data, exec] = [data, exec].map(|name| path_text(&t.directory(name)));
        // A network namespace of its own: what it does to iptables is done there.
        let script = format!(
            "ip link set lo up; exec dockerd --config-file {config} --data-root {data} --exec-root {exec} \
             --pidfile {pid} -H {socket} --oom-score-adjust 0"
        );
        let daemon = apart::command(t.place(), &["-n"], &script).seconds(60).spawn();
        let docker = Self { place: t.place().to_owned(), daemon, socket };
        let up = within(40, || docker.run(&["version"]).status.success().then_some(()));
        assert!(up.is_some(), "dockerd does not answer: {}", docker.daemon.stderr());
        docker.run(&["import", &archive(t), "it:latest"]).ok();
        docker
    }

    #[track_caller]
    fn run(&self, words: &[&str]) -> Outcome {
        let all = ["docker", "-H", &self.socket].into_iter().chain(words.iter().copied());
        let all = apart::inside(&self.place, &self.daemon).into_iter().chain(all.map(OsString::from));
        Cmd::new(&self.place, all).seconds(60).run()
    }

    #[track_caller]
    fn stop(self) {
        self.daemon.signal(Signal::SIGTERM);
        self.daemon.finish();
        remove_client_groups();
    }
}

fn docker_runs_containers(t: &Test) {
    let docker = Docker::start(t);
    let run = ["run", "--rm", "--network", "none", "it:latest"];
    let rm = |words: &[&str]| docker.run(&run.iter().chain(words).copied().collect::<Vec<_>>());
    assert_eq!(rm(&["/bin/sh", "-c", "echo inside; exit 7"]).exits(7).stdout, "inside\n");
    rm(&["/no/such"]).exits(127).says(&["no such file or directory"]);
    rm(&["/etc"]).exits(126).says(&["is a directory"]);
    let words =
        ["run", "--rm", "--network", "none", "--read-only", "--tmpfs", "/tmp", "it:latest", "/bin/sh", "-c"];
    let script = "! touch /x 2>/dev/null && touch /tmp/x && ls /tmp";
    assert_eq!(docker.run(&words.into_iter().chain([script]).collect::<Vec<_>>()).ok().stdout, "x\n");

    let words = ["run", "-d", "--network", "none", "--name", "two", "it:latest", "/bin/sh", "-c", OBEDIENT];
    docker.run(&words).ok();
    assert!(within(10, || docker.run(&["logs", "two"]).stdout.contains("started").then_some(())).is_some());
    let exec = docker.run(&["exec", "two", "/bin/sh", "-c", "echo in exec; exit 4"]).exits(4);
    assert_eq!(exec.stdout, "in exec\n");
    assert!([126, 127].contains(&docker.run(&["exec", "two", "/no/such"]).code()));
    docker.run(&["pause", "two"]).ok();
    let state =
        |format: &str| docker.run(&["inspect", "--format", format, "two"]).ok().stdout.trim_end().to_owned();
    assert_eq!(state("{{.State.Status}}"), "paused");
    docker.run(&["unpause", "two"]).ok();
    docker.run(&["update", "--memory", "64m", "--memory-swap", "64m", "two"]).ok();
    let stats = docker.run(&["stats", "--no-stream", "--format", "{{.MemUsage}}", "two"]).ok().stdout;
    assert!(stats.contains("/ 64MiB"), "{stats}");
    assert!(docker.run(&["top", "two"]).ok().stdout.contains("/bin/sh"), "its processes are found");
    docker.run(&["stop", "-t", "10", "two"]).ok();
    assert_eq!(state("{{.State.ExitCode}} {{.State.Status}}"), "3 exited");
    docker.run(&["start", "two"]).ok();
    docker.run(&["kill", "two"]).ok();
    assert_eq!(docker.run(&["wait", "two"]).ok().stdout.trim_end(), "137");
    docker.run(&["rm", "two"]).ok();
    docker.stop();
}

fn docker_bridges_containers_by_its_prestart_hook(t: &Test) {
    let docker = Docker::start(t);
    let address =
        docker.run(&["run", "--rm", "it:latest", "ip", "-4", "address", "show", "eth0"]).ok().stdout;
    assert!(address.contains("inet 10.211.0."), "the prestart hook has moved an interface in: {address}");
    let script = "mkdir /w; echo served >/w/index.html; exec httpd -f -p 80 -h /w";
    docker.run(&["run", "-d", "--name", "web", "-p", "8099:80", "it:latest", "/bin/sh", "-c", script]).ok();
    let get = ["run", "--rm", "--link", "web", "it:latest", "wget", "-qO-", "http://web/"];
    let served = within(20, || (docker.run(&get).stdout == "served\n").then_some(()));
    assert!(served.is_some(), "containers reach one another: {:?}", docker.run(&get));
    let published = ["nsenter", "-n", "-t", &docker.daemon.pid().to_string(), "busybox", "wget", "-qO-"];
    let busybox = path_text(&Rootfs::Busybox.directory().join("bin/busybox"));
    let words = published.map(|word| if word == "busybox" { busybox.clone() } else { word.to_owned() });
    let words = words.into_iter().chain(["http://127.0.0.1:8099/".to_owned()]).collect::<Vec<_>>();
    assert_eq!(
        Cmd::new(t.place(), words).run().ok().stdout,
        "served\n",
        "a published port leads to the container"
    );
    docker.run(&["rm", "-f", "web"]).ok();
    docker.stop();
}
