//! A manifest pod with its supervisor, keeper and pause, looked at from outside: nothing here brings them to life.

use super::command::Cmd;
use super::{Runtime, cgroups, eventually, proc, runtime, within};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use podrun::model::ids::PodUid;
use podrun::model::status::{ContainerState, ContainerStatus, PodStatus, Terminated};
use podrun::state::layout::Layout;
use podrun::supervisor::lock::{self, Holders};
use serde_json::Value;
use std::path::{Path, PathBuf};

/// The pod.
pub struct Supervised<'a> {
    /// The program under test.
    pub podrun: &'a Runtime,
    /// The pod's name.
    pub name: String,
    /// Its uid.
    pub uid: PodUid,
    directory: PathBuf,
}

/// Kills a process that is there.
#[track_caller]
pub fn slay(pid: i32) {
    kill(Pid::from_raw(pid), Signal::SIGKILL).unwrap_or_else(|error| panic!("cannot kill {pid}: {error}"));
}

impl<'a> Supervised<'a> {
    /// Runs the pod of a manifest's file.
    #[track_caller]
    pub fn run(podrun: &'a Runtime, name: &str, file: &str) -> Self {
        podrun.run(&["pod", "run", "-d", "-f", file]).ok();
        Self::of(podrun, name)
    }

    /// The pod of that name.
    #[track_caller]
    pub fn of(podrun: &'a Runtime, name: &str) -> Self {
        let uid: PodUid = runtime::text(&podrun.pod_state(name)["id"]).parse().expect("a uid");
        let layout = Layout::new(&podrun.root(), &podrun.data_root()).expect("absolute paths");
        let directory = layout.pod(&uid);
        Self { podrun, name: name.to_owned(), uid, directory }
    }

    /// Its directory below the root.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Who holds the locks.
    pub fn holders(&self) -> Holders {
        lock::holders(&self.directory).expect("the pod's locks")
    }

    /// Pid of the supervisor, once one lives.
    #[track_caller]
    pub fn supervisor(&self) -> i32 {
        eventually("a supervisor", || self.holders().supervisor)
    }

    /// Pid of the keeper, once one lives.
    #[track_caller]
    pub fn keeper(&self) -> i32 {
        eventually("a keeper", || self.holders().keeper)
    }

    /// Pid of the pause on record.
    pub fn pause(&self) -> i32 {
        let text = std::fs::read_to_string(self.directory.join("pod.json")).expect("the record");
        let record: Value = serde_json::from_str(&text).expect("JSON");
        record["pause"]["process"]["pid"].as_i64().and_then(|pid| i32::try_from(pid).ok()).expect("a pause")
    }

    /// Kills the supervisor, and waits for the next one.
    #[track_caller]
    pub fn next_supervisor(&self) -> i32 {
        let old = self.supervisor();
        slay(old);
        eventually("the next supervisor", || self.holders().supervisor.filter(|pid| *pid != old))
    }

    /// What the supervisor has written down.
    #[track_caller]
    pub fn status(&self) -> PodStatus {
        let text = std::fs::read_to_string(self.directory.join("status.json")).expect("the status");
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error} in {text}"))
    }

    /// The part of it about one container.
    #[track_caller]
    pub fn container(&self, name: &str) -> ContainerStatus {
        let status = self.status();
        status.container(name).unwrap_or_else(|| panic!("no container {name}: {status:#?}")).clone()
    }

    /// Waits for what the status says of a container.
    #[track_caller]
    pub fn until(&self, name: &str, what: &str, is: impl Fn(&ContainerStatus) -> bool) -> ContainerStatus {
        match within(15, || Some(self.container(name)).filter(|container| is(container))) {
            Some(container) => container,
            None => panic!("{name} is not {what}: {:#?}", self.status()),
        }
    }

    /// Waits until a container runs for the `restarts`th time.
    #[track_caller]
    pub fn until_running(&self, name: &str, restarts: u32) {
        self.until(name, "running again", |it| it.state.is_running() && it.restart_count == restarts);
    }

    /// Waits until a container has ended, and says how.
    #[track_caller]
    pub fn until_ended(&self, name: &str) -> Terminated {
        let ended = |it: &ContainerStatus| matches!(it.state, ContainerState::Terminated(_));
        match self.until(name, "terminated", ended).state {
            ContainerState::Terminated(end) => end,
            _ => unreachable!("it has ended"),
        }
    }

    /// Pid of a container's init on record.
    #[track_caller]
    pub fn init(&self, container: &str) -> i32 {
        let id = self.container(container).container_id.expect("an id");
        let path = self.podrun.root().join("containers").join(&id).join("state.json");
        let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path:?}: {error}"));
        let record: Value = serde_json::from_str(&text).expect("JSON");
        let pid = record["init"]["pid"].as_i64().and_then(|pid| i32::try_from(pid).ok());
        pid.unwrap_or_else(|| panic!("{id} has no init: {record}"))
    }

    /// Directory of a container's logs.
    pub fn logs_of(&self, container: &str) -> PathBuf {
        let pod = format!("default_{}_{}", self.name, self.uid);
        self.podrun.data_root().join("logs").join(pod).join(container)
    }

    /// The text of all events.
    pub fn events(&self) -> Vec<String> {
        let line = |event: podrun::model::status::Event| format!("{} {}", event.reason, event.message);
        self.status().events.into_iter().map(line).collect()
    }

    /// Deletes the pod by force, and demands that nothing of it is left outside of the test's directory either.
    #[track_caller]
    pub fn delete(self) {
        self.podrun.run(&["pod", "delete", "--force", &self.name]).ok();
        let left = groups_of(&self.uid);
        assert!(left.is_empty(), "left of {}: {left:?}", self.name);
    }

    /// Attaches strace to the supervisor; returns when it does what it is to.
    #[track_caller]
    pub fn trace(&self, options: &[&str]) -> super::command::Running {
        let supervisor = self.supervisor();
        let pid = supervisor.to_string();
        let words = [&["strace", "-qq", "-p", &pid], options].concat();
        let tracer = Cmd::new(self.directory.ancestors().nth(3).expect("the test's place"), words).spawn();
        eventually("strace", || {
            proc::status_field(supervisor, "TracerPid").is_none_or(|pid| pid != "0").then_some(())
        });
        tracer
    }
}

/// The cgroups whose path names the pod.
pub fn groups_of(uid: &PodUid) -> Vec<PathBuf> {
    let tops = cgroups::hierarchies("self").into_iter().map(|hierarchy| hierarchy.directory("/podrun"));
    let mut all: Vec<PathBuf> = tops.flat_map(|top| cgroups::tree(&top)).collect();
    all.retain(|path| path.is_dir() && path.to_string_lossy().contains(uid.as_str()));
    all
}

/// Context switches that a process has asked for: how often it has gone to sleep.
#[track_caller]
pub fn naps(pid: i32) -> u64 {
    let field = proc::status_field(pid, "voluntary_ctxt_switches").expect("the field");
    field.parse().expect("a number")
}

/// How many descriptors a process has open.
#[track_caller]
pub fn descriptors(pid: i32) -> usize {
    std::fs::read_dir(format!("/proc/{pid}/fd")).expect("its descriptors").count()
}

/// KiB of a line of /proc/PID/smaps_rollup.
#[track_caller]
pub fn memory(pid: i32, line: &str) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).expect("its memory");
    let found = text.lines().find_map(|each| each.strip_prefix(line)?.strip_prefix(':'));
    let kib = found.and_then(|rest| rest.split_whitespace().next()?.parse().ok());
    kib.unwrap_or_else(|| panic!("no {line} in {text}"))
}
