//! The program under test, or a peer of it, with private directories.

use super::command::{Cmd, Outcome};
use super::{cgroups, eventually, within};
use serde_json::Value;
use std::path::{Path, PathBuf};

/// A runtime binary and the global options that keep it to the test's own directories.
#[derive(Debug, Clone)]
pub struct Runtime {
    binary: PathBuf,
    globals: Vec<String>,
    /// Words before the binary: the peers' `unshare ...`.
    before: Vec<String>,
    place: PathBuf,
}

/// The podrun to test: `PODRUN_BIN`, else the release build, else the debug build.
pub fn podrun_binary() -> Result<PathBuf, String> {
    if let Some(path) = std::env::var_os("PODRUN_BIN") {
        let path = PathBuf::from(path);
        return if path.is_file() {
            Ok(path)
        } else {
            Err(format!("PODRUN_BIN: {} is not there", path.display()))
        };
    }
    // The binary that cargo built with this test lies beside it: target/<triple>/<profile>/podrun.
    let built = PathBuf::from(env!("CARGO_BIN_EXE_podrun"));
    let name = built.file_name().unwrap_or_default();
    let release = built.parent().and_then(Path::parent).map(|triple| triple.join("release").join(name));
    match release {
        Some(path) if path.is_file() => Ok(path),
        _ if built.is_file() => Ok(built),
        _ => Err(format!("no podrun binary beside {}; run `cargo build --release`", built.display())),
    }
}

impl Runtime {
    /// podrun with state in `place/root` and data in `place/data`.
    #[track_caller]
    pub fn podrun(place: &Path) -> Self {
        let binary = podrun_binary().unwrap_or_else(|error| panic!("{error}"));
        let (root, data) = (place.join("root"), place.join("data"));
        let globals = ["--root".into(), path_text(&root), "--data-root".into(), path_text(&data)].into();
        Self { binary, globals, before: Vec::new(), place: place.to_owned() }
    }

    /// Another runtime with state in `place/NAME`.
    pub fn peer(name: &str, binary: PathBuf, place: &Path) -> Self {
        let globals = vec!["--root".into(), path_text(&place.join(name))];
        let mut before = Vec::new();
        if name == "crun" && !cgroups::is_pure_v2() {
            before = only_v1_cgroups(place);
        }
        Self { binary, globals, before, place: place.to_owned() }
    }

    /// Another binary in place of the built one.
    pub fn with_binary(&self, binary: &Path) -> Self {
        Self { binary: binary.to_owned(), ..self.clone() }
    }

    /// Further global options, before the subcommand.
    pub fn with_globals(&self, words: &[&str]) -> Self {
        let mut changed = self.clone();
        changed.globals.extend(words.iter().map(|word| (*word).to_owned()));
        changed
    }

    /// Global options in place of the usual ones.
    pub fn only_globals(&self, words: &[&str]) -> Self {
        Self { globals: words.iter().map(|word| (*word).to_owned()).collect(), ..self.clone() }
    }

    /// Path of the binary.
    pub fn binary(&self) -> &Path {
        &self.binary
    }

    /// The state directory.
    pub fn root(&self) -> PathBuf {
        self.place.join("root")
    }

    /// The data directory.
    pub fn data_root(&self) -> PathBuf {
        self.place.join("data")
    }

    /// A command line of this runtime.
    pub fn cmd(&self, words: &[&str]) -> Cmd {
        let mut all = self.before.clone();
        all.push(path_text(&self.binary));
        all.extend(self.globals.iter().cloned());
        all.extend(words.iter().map(|word| (*word).to_owned()));
        Cmd::new(&self.place, all)
    }

    /// Runs a command line to its end.
    #[track_caller]
    pub fn run(&self, words: &[&str]) -> Outcome {
        self.cmd(words).run()
    }

    /// The `status` of a container, or `None` when it does not exist.
    #[track_caller]
    pub fn status(&self, id: &str) -> Option<String> {
        let outcome = self.run(&["state", id]);
        if outcome.code() == 1 && outcome.stderr.contains("does not exist") {
            return None;
        }
        Some(text(&outcome.ok().json()["status"]))
    }

    /// Waits until a container has the status.
    #[track_caller]
    pub fn wait_status(&self, id: &str, status: &str) {
        let mut last = None;
        let reached = within(10, || {
            last = self.status(id);
            (last.as_deref() == Some(status)).then_some(())
        });
        assert!(reached.is_some(), "container {id} did not become {status}: it is {last:?}");
    }

    /// Pid of a container's init.
    #[track_caller]
    pub fn pid(&self, id: &str) -> i32 {
        let state = self.run(&["state", id]).ok().json();
        let pid = state["pid"].as_i64().and_then(|pid| i32::try_from(pid).ok()).unwrap_or(0);
        assert!(pid > 0, "container {id} has no pid: {state}");
        pid
    }

    /// `create`s a container of a bundle.
    #[track_caller]
    pub fn create(&self, bundle: &super::Bundle, id: &str) -> Outcome {
        self.run(&["create", "--bundle", bundle.text(), id]).ok()
    }

    /// Makes a container and starts it; its output is that of the outcome, later.
    #[track_caller]
    pub fn up(&self, bundle: &super::Bundle, id: &str) -> Outcome {
        let created = self.create(bundle, id);
        self.run(&["start", id]).ok();
        created
    }

    /// Runs a bundle in the foreground.
    #[track_caller]
    pub fn run_bundle(&self, bundle: &super::Bundle, id: &str) -> Outcome {
        self.run(&["run", "--bundle", bundle.text(), id])
    }

    /// Runs the probe in the foreground and returns its facts.
    #[track_caller]
    pub fn facts(&self, bundle: &super::Bundle) -> Value {
        self.run_bundle(bundle, "facts").ok().json()
    }

    /// Kills and deletes a container.
    #[track_caller]
    pub fn remove(&self, id: &str) {
        self.run(&["delete", "--force", id]).ok();
    }

    /// Waits until the container of an outcome of [`Runtime::up`] has written `text`.
    #[track_caller]
    pub fn wait_output(&self, outcome: &Outcome, text: &str) {
        eventually(&format!("container writes {text:?}"), || outcome.later().contains(text).then_some(()));
    }

    /// The ids that `list` shows.
    #[track_caller]
    pub fn ids(&self) -> Vec<String> {
        self.run(&["list", "-q"]).ok().stdout.lines().map(str::to_owned).collect()
    }
}

/// A mount namespace in which /sys/fs/cgroup has only the v1 hierarchies: crun 1.8 refuses a mixture.
fn only_v1_cgroups(place: &Path) -> Vec<String> {
    let script = "set -e; mkdir -p \"$0\"; mount --rbind /sys/fs/cgroup \"$0\"; mount -t tmpfs none /sys/fs/cgroup; \
                  for d in \"$0\"/*; do n=${d##*/}; [ $n = unified ] && continue; mkdir /sys/fs/cgroup/$n; \
                  mount --bind $d /sys/fs/cgroup/$n; done; exec \"$@\"";
    let scratch = path_text(&place.join("cgroups"));
    ["unshare", "-m", "--propagation", "slave", "sh", "-c", script, &scratch].map(str::to_owned).into()
}

/// A path as text; test paths are.
pub fn path_text(path: &Path) -> String {
    path.to_str().expect("test paths are text").to_owned()
}

/// A JSON string's content.
#[track_caller]
pub fn text(value: &Value) -> String {
    match value.as_str() {
        Some(text) => text.to_owned(),
        None => panic!("not a string: {value}"),
    }
}
