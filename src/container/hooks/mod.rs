//! The runtime spec's hooks: programs of the host's administrator, run at six points of a container's life.
//!
//! ```text
//! create   init has made namespaces and mounts, and stands before pivot_root:
//!          prestart, createRuntime    by the command, where it stands itself
//!          createContainer            by init, from the host's file system as init sees it, in the new root's directory
//! start    startContainer             by init, in the container, as its user, behind its filter
//!          the program is executed
//!          poststart                  by the command
//! delete   nothing of the container is left:
//!          poststop                   by the command
//! ```
//!
//! A hook that fails ends what was begun: the container is taken back, and the poststop hooks are run. Those alone cannot
//! fail anything. Every hook is a child of the process that runs it and dies with it; what it leaves behind on purpose
//! lives on, and is not waited for.
//!
//! This module knows the lists and the state that hooks read; [`run`] runs one of them.

pub mod run;

use super::config;
use super::record::{Record, Status};
use crate::error::{Context, Error, Kind, Result};
use crate::report;
use crate::sys::clone::{SingleThreaded, single_threaded};
use nix::fcntl::{AT_FDCWD, AtFlags};
use nix::unistd::AccessFlags;
use oci_spec::runtime::{self as spec, Spec};
use serde::Serialize;
use std::collections::BTreeMap;
use std::ffi::CString;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// When a hook runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Before pivot_root; the older name of the next one.
    Prestart,
    /// Before pivot_root, outside of the container.
    CreateRuntime,
    /// Before pivot_root, in the container's namespaces.
    CreateContainer,
    /// Before the program, in the container.
    StartContainer,
    /// When the program runs.
    Poststart,
    /// When the container is gone.
    Poststop,
}

impl Stage {
    /// All of them, in their order.
    pub const ALL: [Self; 6] = [
        Self::Prestart,
        Self::CreateRuntime,
        Self::CreateContainer,
        Self::StartContainer,
        Self::Poststart,
        Self::Poststop,
    ];

    /// The property's name in the runtime spec.
    pub fn name(self) -> &'static str {
        match self {
            Self::Prestart => "prestart",
            Self::CreateRuntime => "createRuntime",
            Self::CreateContainer => "createContainer",
            Self::StartContainer => "startContainer",
            Self::Poststart => "poststart",
            Self::Poststop => "poststop",
        }
    }

    /// The status that the hook is told.
    fn status(self) -> Status {
        match self {
            Self::CreateRuntime | Self::CreateContainer => Status::Creating,
            // Prestart hooks are of a version of the specification that ran them at `start`, and knew nothing earlier.
            Self::Prestart | Self::StartContainer => Status::Created,
            Self::Poststart => Status::Running,
            Self::Poststop => Status::Stopped,
        }
    }
}

/// One program to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hook {
    /// Absolute.
    path: CString,
    /// From the name that it is told on; at least one.
    args: Vec<CString>,
    /// `NAME=value` pairs, where they are given.
    env: Option<Vec<CString>>,
    timeout: Option<Duration>,
}

impl Hook {
    fn path(&self) -> &Path {
        Path::new(std::ffi::OsStr::from_bytes(self.path.as_bytes()))
    }
}

/// The hooks of a container, by stage.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Hooks([Vec<Hook>; 6]);

impl Hooks {
    /// Takes them from the spec.
    ///
    /// # Errors
    /// Names the property that cannot be honoured.
    pub fn plan(spec: &Spec) -> Result<Self> {
        let mut hooks = Self::default();
        let Some(given) = spec.hooks() else { return Ok(hooks) };
        for stage in Stage::ALL {
            for (index, hook) in list(given, stage).iter().enumerate() {
                let field = || format!("hooks.{}[{index}]", stage.name());
                hooks.0[stage as usize].push(plan(hook).context(field)?);
            }
        }
        Ok(hooks)
    }

    /// Those of one stage.
    pub fn of(&self, stage: Stage) -> &[Hook] {
        &self.0[stage as usize]
    }

    /// Whether there are any for one of the stages.
    pub fn any(&self, stages: &[Stage]) -> bool {
        stages.iter().any(|stage| !self.of(*stage).is_empty())
    }

    /// Looks for the programs whose paths are the host's: what is missing is better known before anything is made.
    ///
    /// # Errors
    /// Names the hook that is not there, or cannot be executed.
    pub fn check_programs(&self) -> Result<()> {
        for stage in Stage::ALL.into_iter().filter(|stage| *stage != Stage::StartContainer) {
            for (index, hook) in self.of(stage).iter().enumerate() {
                let path = hook.path();
                check_program(path).context(|| format!("hooks.{}[{index}].path: {path:?}", stage.name()))?;
            }
        }
        Ok(())
    }

    /// How long the hooks of a stage may take together; `None` where one may take for ever.
    pub fn patience(&self, stage: Stage) -> Option<Duration> {
        let killing = super::ended::KILL_DEADLINE;
        let mut hooks = self.of(stage).iter();
        hooks.try_fold(Duration::ZERO, |all, hook| all.checked_add(hook.timeout?)?.checked_add(killing))
    }

    /// Runs those of one stage in their order, until one fails.
    ///
    /// # Errors
    /// Of kind [`Kind::Hook`], with what the hook said.
    pub fn run(&self, stage: Stage, state: &State, place: &run::Place<'_>) -> Result<()> {
        if self.of(stage).is_empty() {
            return Ok(());
        }
        let state = state.at(stage)?;
        for (index, hook) in self.of(stage).iter().enumerate() {
            let began = Instant::now();
            run::run(hook, &state, place)
                // These words are what runc's users look for in logs.
                .map_err(|error| Error::new(Kind::Hook, title(stage, index)).because(error))?;
            let name = stage.name();
            report::debug(|| format!("{name} hook #{index} {:?} ran for {:?}", hook.path(), began.elapsed()));
        }
        Ok(())
    }

    /// Runs the poststop hooks, whatever becomes of each: the container is gone already.
    pub fn run_poststop(&self, state: &State) {
        let ran = || -> Result<()> {
            let (state, place) = (state.at(Stage::Poststop)?, run::Place::here(alone()?));
            for (index, hook) in self.of(Stage::Poststop).iter().enumerate() {
                if let Err(error) = run::run(hook, &state, &place) {
                    report::warn(&format!("{}: {error}", title(Stage::Poststop, index)));
                }
            }
            Ok(())
        };
        if self.any(&[Stage::Poststop])
            && let Err(error) = ran()
        {
            report::warn(&format!("cannot run the poststop hooks: {error}"));
        }
    }
}

/// Those of a container that was made, from the copy of its config.
///
/// # Errors
/// When it cannot be read.
pub fn load(directory: &Path) -> Result<Hooks> {
    Hooks::plan(&config::load(directory)?.spec)
}

/// The proof that hooks of this process may be cloned.
///
/// # Errors
/// When the process has more than one thread.
pub fn alone() -> Result<SingleThreaded> {
    single_threaded().context(|| "cannot clone")
}

fn title(stage: Stage, index: usize) -> String {
    format!("error running {} hook #{index}", stage.name())
}

fn list(given: &spec::Hooks, stage: Stage) -> &[spec::Hook] {
    let list = match stage {
        Stage::Prestart => given.prestart(),
        Stage::CreateRuntime => given.create_runtime(),
        Stage::CreateContainer => given.create_container(),
        Stage::StartContainer => given.start_container(),
        Stage::Poststart => given.poststart(),
        Stage::Poststop => given.poststop(),
    };
    list.as_deref().unwrap_or_default()
}

fn plan(hook: &spec::Hook) -> Result<Hook> {
    let text = |field: &str, text: &[u8]| {
        CString::new(text).map_err(|_| Error::user(format!("{field}: holds a NUL byte")))
    };
    let texts = |field: &str, list: &[String]| -> Result<Vec<CString>> {
        let one = |(index, word): (usize, &String)| text(&format!("{field}[{index}]"), word.as_bytes());
        list.iter().enumerate().map(one).collect()
    };
    if !hook.path().is_absolute() {
        return Err(Error::user(format!("path: {:?} is not absolute", hook.path()))
            .hint("hooks are not searched in PATH; give the whole path"));
    }
    let path = text("path", hook.path().as_os_str().as_bytes())?;
    let env = hook.env().as_deref();
    let odd = |pair: &String| pair.find('=').is_none_or(|at| at == 0);
    if let Some((index, pair)) = env.unwrap_or_default().iter().enumerate().find(|(_, pair)| odd(pair)) {
        return Err(Error::user(format!("env[{index}]: {pair:?} is not of the form NAME=value")));
    }
    let timeout = match hook.timeout() {
        None => None,
        Some(seconds @ 1..) => Some(Duration::from_secs(seconds.unsigned_abs())),
        Some(seconds) => {
            return Err(Error::user(format!("timeout: {seconds} is not above 0"))
                .hint("it is in seconds; leave it out to wait for as long as the hook takes"));
        }
    };
    Ok(Hook {
        args: match hook.args().as_deref() {
            None | Some([]) => vec![path.clone()],
            Some(args) => texts("args", args)?,
        },
        path,
        env: env.map(|env| texts("env", env)).transpose()?,
        timeout,
    })
}

fn check_program(path: &Path) -> Result<()> {
    let found = std::fs::metadata(path)
        .context_as(Kind::User, || "cannot find it")
        .map_err(|error| error.hint("hooks run on the host: install it there, or correct the path"))?;
    if !found.is_file() {
        return Err(Error::user("it is not a file"));
    }
    nix::unistd::faccessat(AT_FDCWD, path, AccessFlags::X_OK, AtFlags::AT_EACCESS)
        .context_as(Kind::User, || "it cannot be executed")
        .map_err(|error| error.hint(format!("chmod +x {}", path.display())))
}

/// What hooks read on stdin: the state of the container as the runtime spec has it.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct State {
    oci_version: String,
    id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<Status>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pid: Option<i32>,
    bundle: PathBuf,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    annotations: BTreeMap<String, String>,
}

impl State {
    /// That of a container, whose init is `pid` on the host.
    pub fn of(record: &Record, pid: Option<i32>) -> Self {
        Self {
            oci_version: record.oci_version.clone(),
            id: record.id.to_string(),
            status: None,
            pid,
            bundle: record.bundle.clone(),
            annotations: record.annotations.clone(),
        }
    }

    /// With another pid.
    #[must_use]
    pub fn with_pid(self, pid: i32) -> Self {
        Self { pid: Some(pid), ..self }
    }

    fn at(&self, stage: Stage) -> Result<Vec<u8>> {
        let pid = if stage == Stage::Poststop { None } else { self.pid };
        let state = Self { status: Some(stage.status()), pid, ..self.clone() };
        serde_json::to_vec(&state).context(|| "cannot encode the container's state")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hooks(json: &str) -> Result<Hooks> {
        let text = format!(r#"{{"ociVersion": "1.0.2", "hooks": {json}}}"#);
        Hooks::plan(&serde_json::from_str(&text).unwrap())
    }

    #[test]
    fn every_stage_is_read_by_its_name_and_keeps_its_order() {
        for stage in Stage::ALL {
            let name = stage.name();
            let planned = hooks(&format!(r#"{{"{name}": [{{"path": "/a"}}, {{"path": "/b"}}]}}"#)).unwrap();
            let paths: Vec<_> = planned.of(stage).iter().map(Hook::path).collect();
            assert_eq!(paths, [Path::new("/a"), Path::new("/b")], "{name}");
            let others = Stage::ALL.into_iter().filter(|other| *other != stage).collect::<Vec<_>>();
            assert!(planned.any(&[stage]) && !planned.any(&others), "{name}");
        }
        assert_eq!(hooks("{}").unwrap(), Hooks::default());
    }

    #[test]
    fn args_and_env_are_taken_as_they_are() {
        let one = |json: &str| hooks(&format!(r#"{{"poststop": [{json}]}}"#)).unwrap().0[5][0].clone();
        assert_eq!(one(r#"{"path": "/a"}"#).args, [c"/a".to_owned()]);
        assert_eq!(one(r#"{"path": "/a", "args": []}"#).args, [c"/a".to_owned()]);
        assert_eq!(one(r#"{"path": "/a", "args": ["x", ""]}"#).args, [c"x".to_owned(), c"".to_owned()]);
        assert_eq!(one(r#"{"path": "/a"}"#).env, None);
        assert_eq!(one(r#"{"path": "/a", "env": []}"#).env, Some(Vec::new()));
        assert_eq!(one(r#"{"path": "/a", "timeout": 3}"#).timeout, Some(Duration::from_secs(3)));
    }

    #[test]
    fn what_cannot_be_honoured_is_named() {
        let table = [
            (r#"{"path": "bin/a"}"#, "hooks.poststart[1]: path: "),
            (r#"{"path": ""}"#, "hooks.poststart[1]: path: "),
            (r#"{"path": "/a\u0000"}"#, "hooks.poststart[1]: path: "),
            (r#"{"path": "/a", "timeout": 0}"#, "hooks.poststart[1]: timeout: 0"),
            (r#"{"path": "/a", "timeout": -1}"#, "hooks.poststart[1]: timeout: -1"),
            (r#"{"path": "/a", "env": ["A=1", "B"]}"#, "hooks.poststart[1]: env[1]: "),
            (r#"{"path": "/a", "env": ["=1"]}"#, "hooks.poststart[1]: env[0]: "),
            (r#"{"path": "/a", "args": ["\u0000"]}"#, "hooks.poststart[1]: args[0]: "),
        ];
        for (json, start) in table {
            let error = hooks(&format!(r#"{{"poststart": [{{"path": "/x"}}, {json}]}}"#)).unwrap_err();
            assert!(error.to_string().starts_with(start), "{error}");
        }
    }

    #[test]
    fn patience_is_what_all_may_take() {
        let killing = super::super::ended::KILL_DEADLINE;
        let two = r#"{"startContainer": [{"path": "/a", "timeout": 2}, {"path": "/b", "timeout": 3}]}"#;
        assert_eq!(
            hooks(two).unwrap().patience(Stage::StartContainer),
            Some(Duration::from_secs(5) + 2 * killing)
        );
        let endless = r#"{"startContainer": [{"path": "/a", "timeout": 2}, {"path": "/b"}]}"#;
        assert_eq!(hooks(endless).unwrap().patience(Stage::StartContainer), None);
        assert_eq!(Hooks::default().patience(Stage::StartContainer), Some(Duration::ZERO));
    }

    #[test]
    fn the_state_is_that_of_the_stage() {
        let mut record = Record::new("c".parse().unwrap(), PathBuf::from("/b")).unwrap();
        record.oci_version = "1.2.0".into();
        let state = State::of(&record, Some(7));
        let told = |stage| String::from_utf8(state.at(stage).unwrap()).unwrap();
        let started = r#"{"ociVersion":"1.2.0","id":"c","status":"running","pid":7,"bundle":"/b"}"#;
        assert_eq!(told(Stage::Poststart), started);
        let stopped = r#"{"ociVersion":"1.2.0","id":"c","status":"stopped","bundle":"/b"}"#;
        assert_eq!(told(Stage::Poststop), stopped);
        assert!(told(Stage::CreateContainer).contains(r#""status":"creating","pid":7"#));
        assert!(told(Stage::StartContainer).contains(r#""status":"created""#));
    }
}
