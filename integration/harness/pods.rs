//! Bare pods of the program under test.

use super::command::Outcome;
use super::{Bundle, Runtime, Test, cgroups, leaks, runtime};
use serde_json::Value;
use std::path::{Path, PathBuf};

impl Runtime {
    /// `pod create` with the pod's cgroup inside the test's own corner; returns the uid.
    #[track_caller]
    pub fn pod(&self, name: &str, words: &[&str]) -> String {
        let outcome = self.pod_create(name, words).ok();
        outcome.stdout.trim().to_owned()
    }

    /// Likewise, whatever comes of it.
    #[track_caller]
    pub fn pod_create(&self, name: &str, words: &[&str]) -> Outcome {
        let parent = pod_parent();
        let mut all = vec!["pod", "create", name, "--cgroup-parent", &parent];
        all.extend(words);
        self.run(&all)
    }

    /// `pod state`.
    #[track_caller]
    pub fn pod_state(&self, name: &str) -> Value {
        self.run(&["pod", "state", name]).ok().json()
    }

    /// Pid of the pod's pause.
    #[track_caller]
    pub fn pause_pid(&self, name: &str) -> i32 {
        let state = self.pod_state(name);
        let pid = state["pid"].as_i64().and_then(|pid| i32::try_from(pid).ok()).unwrap_or(0);
        assert!(pid > 0, "pod {name} has no pause: {state}");
        pid
    }

    /// Makes and starts a container in a pod; its output is that of the outcome, later.
    #[track_caller]
    pub fn up_in(&self, pod: &str, bundle: &Bundle, id: &str, words: &[&str]) -> Outcome {
        let mut all = vec!["create", "--bundle", bundle.text(), "--pod", pod];
        all.extend(words);
        all.push(id);
        let created = self.run(&all).ok();
        self.run(&["start", id]).ok();
        created
    }

    /// Removes a pod with all that is in it.
    #[track_caller]
    pub fn remove_pod(&self, name: &str) {
        self.run(&["pod", "delete", "--force", name]).ok();
    }

    /// Names in `pod list -o json`.
    #[track_caller]
    pub fn pod_names(&self) -> Vec<String> {
        let list = self.run(&["pod", "list", "-o", "json"]).ok().json();
        let items = list["items"].as_array().cloned().unwrap_or_default();
        items.iter().map(|item| runtime::text(&item["metadata"]["name"])).collect()
    }
}

/// A parent for pods' cgroups inside the test's corner: `/podrun-it.PID/pods` in every hierarchy.
pub fn pod_parent() -> String {
    let all = cgroups::hierarchies("self");
    let corner = all.iter().flat_map(|h| h.own.split('/')).find(|part| part.starts_with(leaks::CGROUPS));
    format!("/{}/pods", corner.unwrap_or("podrun-it"))
}

/// A bundle without a hostname of its own, which would differ from the pod's.
#[track_caller]
pub fn joining(bundle: Bundle) -> Bundle {
    bundle.edit(|config| {
        config.as_object_mut().expect("an object").remove("hostname");
    })
}

/// Such a bundle whose program sleeps.
#[track_caller]
pub fn sleeper(t: &Test) -> Bundle {
    joining(t.bundle().args(&["/bin/probe", "sleep", "300"]))
}

/// Runs a bundle in a pod in the foreground.
#[track_caller]
pub fn run_in(podrun: &Runtime, pod: &str, bundle: &Bundle, words: &[&str]) -> Outcome {
    let mut all = vec!["run", "--pod", pod, "--bundle", bundle.text()];
    all.extend(words);
    all.push("one-shot");
    podrun.run(&all)
}

/// The uids of all pods that `root` has anything of.
pub fn uids(root: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(root.join("pods")).into_iter().flatten().flatten();
    let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
    names.filter(|name| !name.starts_with('.')).collect()
}

/// What there is of the groups of these pods' supervisors and keepers, which are outside of every test's corner.
pub fn pair_groups(uids: &[String]) -> Vec<PathBuf> {
    let hierarchies = cgroups::hierarchies("self");
    let group = |uid: &String| {
        hierarchies.iter().map(|h| h.directory(&format!("/podrun/_supervisor/{uid}"))).collect()
    };
    uids.iter().flat_map(|uid| -> Vec<PathBuf> { group(uid) }).filter(|group| group.is_dir()).collect()
}
