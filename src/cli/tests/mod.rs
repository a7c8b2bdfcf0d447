//! Every command line of the clients that podrun serves, with the values that must come of it, and command lines that
//! must be refused.

mod pods;
mod refusals;
mod runtimes;

use super::oci::create::CreateArgs;
use super::oci::delete::DeleteArgs;
use super::oci::events::EventsArgs;
use super::oci::exec::ExecArgs;
use super::oci::features::FeaturesArgs;
use super::oci::kill::KillArgs;
use super::oci::pause::PauseArgs;
use super::oci::ps::PsArgs;
use super::oci::restore::RestoreArgs;
use super::oci::resume::ResumeArgs;
use super::oci::start::StartArgs;
use super::oci::state::StateArgs;
use super::oci::update::{Limits, UpdateArgs};
use super::oci::{Format, NewContainerArgs};
use super::*;
use crate::cli::args::{IdAndWords, Signal, User};
use crate::model::ids::ContainerId;
use std::time::Duration;

/// What go-runc puts before every command of the shim's and dockerd's.
const SHIM: &str = "--root /run/r --log /b/log.json --log-format json";
/// What Podman puts before them.
const PODMAN: &str = "--log-format=json --log /tmp/oci.log";

fn words(line: &str) -> Vec<OsString> {
    line.split_whitespace().map(OsString::from).collect()
}

fn try_parse(line: &str) -> Result<Cli> {
    let words = argv::tie_rootless(words(line));
    let glance = argv::Glance::at(&words);
    parse(words, &glance).map_err(|error| usage::from_clap(&error))
}

#[track_caller]
fn command(line: &str) -> Command {
    try_parse(line).unwrap_or_else(|error| panic!("{line}: {error}")).command
}

fn globals() -> Globals {
    Globals {
        root: DEFAULT_ROOT.into(),
        data_root: DEFAULT_DATA_ROOT.into(),
        log: None,
        log_format: LogFormat::Text,
        log_level: "error".into(),
        debug: false,
        systemd_cgroup: false,
        cgroup_manager: Manager::Cgroupfs,
        rootless: "auto".into(),
    }
}

fn id() -> ContainerId {
    "c1".parse().unwrap()
}

fn path(text: &str) -> Option<PathBuf> {
    Some(PathBuf::from(text))
}

fn new() -> NewContainerArgs {
    NewContainerArgs {
        bundle: ".".into(),
        pid_file: None,
        console_socket: None,
        pidfd_socket: None,
        preserve_fds: 0,
        no_pivot: false,
        no_new_keyring: false,
        pod: None,
        namespace: "default".parse().unwrap(),
        volumes: Vec::new(),
        id: id(),
    }
}

fn exec(command: &[&str]) -> ExecArgs {
    ExecArgs {
        process: None,
        tty: false,
        detach: false,
        env: Vec::new(),
        user: None,
        additional_gids: Vec::new(),
        cwd: None,
        capabilities: Vec::new(),
        no_new_privs: false,
        pid_file: None,
        console_socket: None,
        pidfd_socket: None,
        preserve_fds: 0,
        cgroup: Vec::new(),
        ignore_paused: false,
        apparmor: None,
        process_label: None,
        target: IdAndWords { id: id(), words: command.iter().map(OsString::from).collect() },
    }
}

fn kill(all: bool, signal: i32) -> Command {
    Command::Kill(KillArgs { all, id: id(), signal: Signal(signal) })
}

fn delete(force: bool) -> Command {
    Command::Delete(DeleteArgs { force, ids: vec![id()] })
}

fn update(resources: &str) -> Command {
    Command::Update(UpdateArgs { resources: path(resources), limits: Limits::default(), id: id() })
}

fn restore() -> RestoreArgs {
    let text = "restore c1";
    let Command::Restore(args) = command(text) else { panic!("{text}") };
    args
}

#[track_caller]
fn assert_table(table: Vec<(String, Command)>) {
    for (line, want) in table {
        assert_eq!(command(&line), want, "{line}");
    }
}
