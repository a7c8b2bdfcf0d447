//! Real clients beside containerd: Podman with conmon, and dockerd, started privately, with podrun as their runtime.
//! They have mount namespaces of their own, with a /run of their own, and dockerd a network namespace for its bridge.

use crate::harness::command::{Cmd, Outcome, Running};
use crate::harness::{
    Case, Test, bundle::Rootfs, case, cgroups, machine, pods, runtime::path_text, skip, within,
};
use nix::sys::signal::Signal;
use serde_json::json;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

pub fn cases() -> Vec<Case> {
    vec![
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

/// Their daemons' own time-outs are those of real machines.
fn refuse_emulation() {
    if machine::slowness() > 1 {
        skip("the machine is emulated, and too slow for the clients");
    }
}

/// A program that stops when it is asked to, with code 3.
const OBEDIENT: &str = "trap 'exit 3' TERM; echo started; while :; do sleep 0.05; done";

struct Podman {
    place: PathBuf,
    /// Holds the mount namespace.
    holder: Running,
    /// Words before the command.
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
        let words = ["unshare", "-m", "--propagation", "private", "sh", "-c"];
        // It notes where it has seen layers in /var/lib, whatever --root says.
        let script =
            "mount -t tmpfs none /run && mount -t tmpfs none /var/lib && echo ready && exec sleep 600";
        let holder = Cmd::new(t.place(), words.into_iter().chain([script]).collect::<Vec<_>>()).spawn();
        assert!(
            within(10, || holder.stdout().contains("ready").then_some(())).is_some(),
            "{}",
            holder.stderr()
        );
        let pid = holder.pid().to_string();
        let mut globals: Vec<String> = ["nsenter", "-m", "-t", &pid, "env"].map(str::to_owned).into();
        globals.push(format!("CONTAINERS_CONF={config}"));
        globals.push(format!("TMPDIR={}", path_text(&t.directory("pm-scratch"))));
        globals.push("podman".to_owned());
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
        Cmd::new(&self.place, all.collect::<Vec<_>>()).seconds(60).run()
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
    let script = "test ! -w / && test -s /etc/passwd && touch /etc/x /tmp/x && ls /tmp";
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
        // A network namespace of its own: what it does to iptables is done there. It writes a key to /etc/docker.
        let script = format!(
            "mount -t tmpfs none /run && if [ -d /etc/docker ]; then mount -t tmpfs none /etc/docker; fi && \
             ip link set lo up && exec dockerd --config-file {config} --data-root {data} \
             --exec-root {exec} --pidfile {pid} -H {socket} --oom-score-adjust 0"
        );
        let words = ["unshare", "-n", "-m", "--propagation", "private", "sh", "-c", &script];
        let daemon = Cmd::new(t.place(), words.map(str::to_owned)).seconds(60).spawn();
        let docker = Self { place: t.place().to_owned(), daemon, socket };
        let up = within(40, || docker.run(&["version"]).status.success().then_some(()));
        assert!(up.is_some(), "dockerd does not answer: {}", docker.daemon.stderr());
        docker.run(&["import", &archive(t), "it:latest"]).ok();
        docker
    }

    #[track_caller]
    fn run(&self, words: &[&str]) -> Outcome {
        let all = ["docker", "-H", &self.socket].into_iter().chain(words.iter().copied());
        Cmd::new(&self.place, all.map(str::to_owned).collect::<Vec<_>>()).seconds(60).run()
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
    let script = "touch /x 2>/dev/null || touch /tmp/x && ls /tmp";
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
