//! Manifest pods of the program under test.

use super::runtime::path_text;
use super::{Runtime, Test, sources};
use podrun::state::layout::Layout;
use podrun::supervisor::lock::{self, Holders};
use serde_json::{Value, json};

impl Test {
    /// The program under test with the image `busybox` in its store.
    #[track_caller]
    pub fn podrun_with_busybox(&self) -> Runtime {
        let podrun = self.podrun();
        podrun.run(&["image", "import", &sources::busybox(), "busybox"]).ok();
        podrun
    }

    /// A manifest in a new file; its path.
    #[track_caller]
    pub fn manifest(&self, manifest: &Value) -> String {
        let name = format!("{}.json", manifest["metadata"]["name"].as_str().unwrap_or("pod"));
        path_text(&self.file(&name, manifest.to_string()))
    }
}

impl Runtime {
    /// `pod apply`.
    #[track_caller]
    pub fn apply(&self, t: &Test, manifest: &Value) {
        self.run(&["pod", "apply", "-f", &t.manifest(manifest)]).ok();
    }

    /// Pids of the pod's living supervisor and keeper.
    #[track_caller]
    pub fn pair(&self, name: &str) -> Holders {
        let uid = super::runtime::text(&self.pod_state(name)["id"]).parse().expect("a uid");
        let layout = Layout::new(&self.root(), &self.data_root()).expect("absolute paths");
        lock::holders(&layout.pod(&uid)).expect("the pod's locks")
    }

    /// The pod as `pod list -o json` has it.
    #[track_caller]
    pub fn object(&self, name: &str) -> Value {
        let list = self.run(&["pod", "list", "-o", "json"]).ok().json();
        let items = list["items"].as_array().cloned().unwrap_or_default();
        let found = items.into_iter().find(|item| item["metadata"]["name"] == name);
        found.unwrap_or_else(|| panic!("no pod {name}: {list}"))
    }

    /// What a container of the pod has written so far.
    #[track_caller]
    pub fn logs(&self, name: &str, container: &str) -> String {
        self.run(&["pod", "logs", name, "-c", container]).ok().stdout
    }
}

/// A pod whose containers run shell scripts, killed after a second where they do not stop.
pub fn shell_pod(name: &str, restart_policy: &str, containers: &[(&str, &str)]) -> Value {
    let container = |(name, script): &(&str, &str)| json!({"name": name, "image": "busybox", "command": ["sh", "-c", script]});
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name},
        "spec": {
            "restartPolicy": restart_policy,
            "terminationGracePeriodSeconds": 1,
            "containers": containers.iter().map(container).collect::<Vec<_>>(),
        },
    })
}

/// A script that runs until it is stopped, and then ends with this exit code.
pub fn until_stopped(code: i32) -> String {
    format!("trap 'echo bye; exit {code}' TERM; echo up; while :; do sleep 0.05; done")
}
