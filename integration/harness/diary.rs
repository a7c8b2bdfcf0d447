//! Pods whose programs and hooks write down when they did what, and how long that was to take.

use super::manifests::shell_pod;
use super::runtime::path_text;
use super::supervised::Supervised;
use super::{Runtime, Test, machine, within};
use serde_json::{Value, json};
use std::os::unix::fs::PermissionsExt;

/// What the pod's programs and hooks write with `/out/at LABEL`: seconds of the monotonic clock, in their order.
pub struct Diary<'a>(&'a Test);

/// Writes one entry.
pub const AT: &str = "#!/bin/sh\necho $1 $(cut -d' ' -f1 /proc/uptime) >>/out/diary\n";

impl<'a> Diary<'a> {
    /// An empty one, in the directory that [`pod`] mounts.
    #[track_caller]
    pub fn begin(t: &'a Test) -> Self {
        t.directory("out");
        let script = t.file("out/at", AT);
        std::fs::set_permissions(script, PermissionsExt::from_mode(0o755)).expect("to make it a program");
        Self(t)
    }

    /// All of it.
    #[track_caller]
    pub fn entries(&self) -> Vec<(String, f64)> {
        let text = std::fs::read_to_string(self.0.path("out/diary")).unwrap_or_default();
        let entry = |line: &str| {
            let (label, time) = line.split_once(' ').expect("a label");
            (label.to_owned(), time.parse().expect("seconds"))
        };
        text.lines().map(entry).collect()
    }

    /// What was written.
    #[track_caller]
    pub fn labels(&self) -> Vec<String> {
        self.entries().into_iter().map(|(label, _)| label).collect()
    }

    /// How often that was.
    pub fn count(&self, label: &str) -> usize {
        self.labels().iter().filter(|each| *each == label).count()
    }

    /// When that was written for the `nth` time, from 0, which may yet have to come.
    #[track_caller]
    pub fn at(&self, label: &str, nth: usize) -> f64 {
        let found = || self.entries().into_iter().filter(|(each, _)| each == label).nth(nth);
        let entry = within(20, found);
        entry.unwrap_or_else(|| panic!("no entry {nth} of {label}: {:?}", self.entries())).1
    }

    /// Lets what waits for this file go on.
    pub fn let_go(&self, file: &str) {
        self.0.file(&format!("out/{file}"), "");
    }

    /// Removes it again.
    pub fn hold(&self, file: &str) {
        std::fs::remove_file(self.0.path(&format!("out/{file}"))).expect("a file to remove");
    }
}

/// Fails unless something took about as long as it was to, on a busy machine; `timing.rs` has the narrow bounds.
#[track_caller]
pub fn took(what: &str, seconds: f64, asked: f64) {
    let slack = 0.7 * f64::from(machine::slowness());
    let range = asked * 0.9 - 0.02..=asked * 1.1 + slack;
    assert!(range.contains(&seconds), "{what} took {seconds} s in place of {asked} s");
}

/// A pod `p` of shell scripts with init containers, and the diary's directory at /out.
pub fn pod(t: &Test, policy: &str, init: &[(&str, &str)], containers: &[(&str, &str)]) -> Value {
    let mut pod = shell_pod("p", policy, containers);
    pod["spec"]["initContainers"] = shell_pod("p", policy, init)["spec"]["containers"].take();
    pod["spec"]["volumes"] = json!([{"name": "out", "hostPath": {"path": path_text(&t.directory("out"))}}]);
    for list in ["initContainers", "containers"] {
        for container in pod["spec"][list].as_array_mut().expect("containers") {
            container["volumeMounts"] = json!([{"name": "out", "mountPath": "/out"}]);
        }
    }
    pod
}

/// A hook or a probe.
pub fn exec(script: &str) -> Value {
    json!({"exec": {"command": ["sh", "-c", script]}})
}

/// A probe that is asked each second and needs one answer.
pub fn probe(action: Value) -> Value {
    let mut probe = action;
    (probe["periodSeconds"], probe["failureThreshold"]) = (json!(1), json!(1));
    // The default is one second, in which a slow machine may not have run a program in a container.
    probe["timeoutSeconds"] = json!(machine::slowness());
    probe
}

/// READY, STATUS and RESTARTS of `pod list`; the last without how long ago.
#[track_caller]
pub fn columns(podrun: &Runtime) -> [String; 3] {
    let table = podrun.run(&["pod", "list", "p"]).ok().stdout;
    let line = table.lines().nth(1).unwrap_or_else(|| panic!("no pod: {table}"));
    let words: Vec<&str> = line.split_whitespace().collect();
    [1, 2, 3].map(|column| words[column].to_owned())
}

/// Waits for these.
#[track_caller]
pub fn until_columns(podrun: &Runtime, wanted: [&str; 3]) {
    let mut last = None;
    let reached = within(15, || {
        last = Some(columns(podrun));
        (last.as_ref().is_some_and(|it| it == &wanted.map(str::to_owned))).then_some(())
    });
    assert!(reached.is_some(), "it is {last:?} in place of {wanted:?}");
}

/// Waits for an event.
#[track_caller]
pub fn says(pod: &Supervised<'_>, event: &str) {
    let told = || pod.events().iter().any(|each| each.contains(event)).then_some(());
    let found = within(10, told);
    assert!(found.is_some(), "no event {event:?}: {:#?}", pod.events());
}

/// A script that notes its start under this name, and its stop signal, on which it ends.
pub fn notes(name: &str) -> String {
    format!("trap '/out/at {name}-stopped; exit 0' TERM; /out/at {name}; while :; do sleep 0.05; done")
}

/// A script that notes its stop signal and goes on.
pub const DEAF: &str = "trap '/out/at signal' TERM; /out/at up; while :; do sleep 0.05; done";
