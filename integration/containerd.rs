//! A real client: Debian's containerd, started privately, with podrun as its runtime.

use crate::harness::command::Cmd;
use crate::harness::{Case, Test, apart, case, machine, pods, proc, runtime, skip, within};
use nix::sys::signal::Signal;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

pub fn cases() -> Vec<Case> {
    vec![case!(ctr_runs_containers_with_podrun).exclusive().seconds(120)]
}

/// A containerd of the test's own.
pub struct Daemon {
    /// Its socket.
    pub address: String,
    process: crate::harness::command::Running,
    place: PathBuf,
}

impl Daemon {
    /// Starts it.
    #[track_caller]
    pub fn start(t: &Test) -> Self {
        let directory = |name: &str| runtime::path_text(&t.directory(name));
        let (root, state) = (directory("cd-root"), directory("cd-state"));
        let address = runtime::path_text(&t.path("cd.sock"));
        // No CRI: it wants a network and a pause image. Without CAP_SYS_RESOURCE oom_score_adj cannot be lowered.
        let config = format!(
            "version = 2\nroot = \"{root}\"\nstate = \"{state}\"\noom_score = 0\n\
             disabled_plugins = [\"io.containerd.grpc.v1.cri\"]\n\
             [grpc]\naddress = \"{address}\"\n[ttrpc]\naddress = \"{address}.ttrpc\"\n[debug]\nlevel = \"warn\"\n"
        );
        let file = t.file("config.toml", config);
        let script = format!("exec containerd --config {}", runtime::path_text(&file));
        let process = apart::command(t.place(), &[], &script).seconds(60).spawn();
        let daemon = Self { address, process, place: t.place().to_owned() };
        let up = within(20, || daemon.ctr(&["version"]).run().status.success().then_some(()));
        assert!(up.is_some(), "containerd does not answer: {}", daemon.process.stderr());
        daemon
    }

    fn ctr(&self, words: &[&str]) -> Cmd {
        let all =
            ["ctr", "--address", &self.address, "--namespace", "it"].into_iter().chain(words.iter().copied());
        let all = apart::inside(&self.place, &self.process).into_iter().chain(all.map(OsString::from));
        Cmd::new(&self.place, all).seconds(60)
    }

    /// Runs a container with podrun in the foreground, or detached.
    fn run(&self, binary: &Path, flags: &[&str], words: &[&str]) -> Cmd {
        let binary = runtime::path_text(binary);
        let cgroup = pods::pod_parent().replace("/pods", &format!("/podrun/{}", words[0]));
        let mut all =
            vec!["run", "--runtime", "io.containerd.runc.v2", "--runc-binary", &binary, "--cgroup", &cgroup];
        all.extend(flags);
        all.push("docker.io/library/it:latest");
        all.extend(words);
        self.ctr(&all)
    }

    /// Stops it.
    #[track_caller]
    pub fn stop(self) {
        self.process.signal(Signal::SIGTERM);
        let out = self.process.finish();
        assert_eq!(out.code(), 0, "{}", out.stderr);
    }
}

/// Packs the busybox root file system as a docker archive, which `ctr image import` reads.
#[track_caller]
fn archive(t: &Test) -> String {
    let directory = t.directory("image");
    let rootfs = crate::harness::bundle::Rootfs::Busybox.directory();
    let run = |words: &[&str]| {
        Cmd::new(t.place(), words.iter().map(|w| (*w).to_owned()).collect::<Vec<_>>()).run().ok()
    };
    let layer = runtime::path_text(&directory.join("layer.tar"));
    run(&["tar", "-C", &runtime::path_text(&rootfs), "-cf", &layer, "."]);
    let sum = run(&["sha256sum", &layer]).stdout;
    let sum = sum.split_whitespace().next().expect("a checksum");
    let arch = if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" };
    let config = serde_json::json!({
        "architecture": arch, "os": "linux", "config": {"Env": ["PATH=/bin"], "Cmd": ["/bin/sh"]},
        "rootfs": {"type": "layers", "diff_ids": [format!("sha256:{sum}")]},
    });
    let manifest = serde_json::json!([
        {"Config": "config.json", "RepoTags": ["docker.io/library/it:latest"], "Layers": ["layer.tar"]}
    ]);
    t.file("image/config.json", config.to_string());
    t.file("image/manifest.json", manifest.to_string());
    let image = runtime::path_text(&t.path("image.tar"));
    run(&[
        "tar",
        "-C",
        &runtime::path_text(&directory),
        "-cf",
        &image,
        "manifest.json",
        "config.json",
        "layer.tar",
    ]);
    image
}

fn ctr_runs_containers_with_podrun(t: &Test) {
    if !machine::has_package("containerd") || !machine::has_package("ctr") {
        skip("containerd is not installed");
    }
    let binary = t.podrun().binary().to_owned();
    let daemon = Daemon::start(t);
    daemon.ctr(&["image", "import", &archive(t)]).run().ok();
    let out =
        daemon.run(&binary, &["--rm"], &["one", "/bin/sh", "-c", "echo from inside; exit 7"]).run().exits(7);
    assert_eq!(out.stdout, "from inside\n");
    let missing = daemon.run(&binary, &["--rm"], &["bad", "/no/such"]).run();
    assert!(missing.code() != 0, "{missing:?}");
    missing.says(&["no such file or directory"]);

    daemon
        .run(&binary, &["-d"], &["two", "/bin/sh", "-c", "trap 'exit 3' TERM; while :; do sleep 0.05; done"])
        .run()
        .ok();
    let list = daemon.ctr(&["task", "list"]).run().ok().stdout;
    assert!(list.lines().any(|line| line.starts_with("two") && line.contains("RUNNING")), "{list}");
    let exec =
        daemon.ctr(&["task", "exec", "--exec-id", "e1", "two", "/bin/sh", "-c", "hostname; exit 4"]).run();
    exec.exits(4);
    let metrics = daemon.ctr(&["task", "metrics", "two"]).run().ok().stdout;
    assert!(metrics.contains("memory"), "the group of the pid in the pid file has statistics: {metrics}");
    daemon.ctr(&["task", "kill", "--signal", "SIGTERM", "two"]).run().ok();
    let stopped = within(10, || {
        let list = daemon.ctr(&["task", "list"]).run().ok().stdout;
        list.lines().any(|line| line.starts_with("two") && line.contains("STOPPED")).then_some(())
    });
    assert!(stopped.is_some(), "the task does not end");
    daemon.ctr(&["task", "delete", "two"]).run().ok().says(&["exit code 3"]);
    daemon.ctr(&["container", "delete", "two"]).run().ok();
    daemon.ctr(&["image", "remove", "docker.io/library/it:latest"]).run().ok();
    daemon.stop();
    let shims =
        proc::all().into_iter().filter(|pid| proc::command_line(*pid).contains("containerd-shim-runc-v2"));
    let mine: Vec<String> =
        shims.map(proc::command_line).filter(|l| l.contains(&runtime::path_text(t.place()))).collect();
    assert_eq!(mine, Vec::<String>::new(), "shims that stayed");
}
