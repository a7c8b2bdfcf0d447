//! `exec`

use crate::cli::Globals;
use crate::cli::args::{IdAndWords, User};
use crate::container::{self, CallerStreams, ExecRequest};
use crate::error::{Error, Kind, Result};
use crate::report;
use std::ffi::OsString;
use std::path::PathBuf;

/// Start another process in a running container
///
/// What follows ID is the command, verbatim. Without --detach the exit code is the program's, or 128 and the number of
/// the signal that ended it; 255 says that it could not be started.
#[derive(Debug, PartialEq, clap::Args)]
#[command(
    override_usage = "podrun exec [OPTIONS] <ID> <CMD>...\n       podrun exec [OPTIONS] --process <FILE> <ID>",
    after_help = "Example:\n  podrun exec --tty web sh -l\n  podrun exec --user 1000:1000 --env DEBUG=1 web env"
)]
pub struct ExecArgs {
    /// JSON file of the process, as in config.json, in place of CMD
    #[arg(short, long, value_name = "FILE",
        conflicts_with_all = ["env", "user", "additional_gids", "cwd", "capabilities", "no_new_privs", "apparmor", "process_label"])]
    pub process: Option<PathBuf>,
    /// Give the process a terminal
    #[arg(short, long)]
    pub tty: bool,
    /// Return as soon as the program runs
    #[arg(short, long)]
    pub detach: bool,
    /// Set an environment variable
    #[arg(short, long, value_name = "NAME=VALUE")]
    pub env: Vec<String>,
    /// User and group, by number
    #[arg(short, long, value_name = "UID[:GID]")]
    pub user: Option<User>,
    /// Add a supplementary group
    #[arg(short = 'g', long, value_name = "GID")]
    pub additional_gids: Vec<u32>,
    /// Directory to start in
    #[arg(long, value_name = "DIR")]
    pub cwd: Option<PathBuf>,
    /// Add a capability; one that is unknown is ignored with a warning, as in config.json
    #[arg(short = 'c', long = "cap", value_name = "CAPABILITY")]
    pub capabilities: Vec<String>,
    /// Set no_new_privs
    #[arg(long)]
    pub no_new_privs: bool,
    /// File to write the process's pid to
    #[arg(long, value_name = "FILE")]
    pub pid_file: Option<PathBuf>,
    /// Unix socket that gets the terminal's master
    #[arg(long, value_name = "SOCKET")]
    pub console_socket: Option<PathBuf>,
    /// Unix socket that gets a pidfd of the process
    #[arg(long, value_name = "SOCKET")]
    pub pidfd_socket: Option<PathBuf>,
    /// Pass N descriptors after 0, 1 and 2, as far as they are open
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub preserve_fds: u32,
    /// Put the process into a group below the container's; with cgroup v1 also for some controllers alone
    #[arg(long, value_name = "[CONTROLLER[,...]:]PATH")]
    pub cgroup: Vec<String>,
    /// Do not refuse a container that is frozen
    #[arg(long)]
    pub ignore_paused: bool,
    /// AppArmor profile of the process
    #[arg(long, value_name = "PROFILE")]
    pub apparmor: Option<String>,
    /// SELinux label of the process
    #[arg(long, value_name = "LABEL")]
    pub process_label: Option<String>,
    /// The container and the command.
    #[command(flatten)]
    pub target: IdAndWords,
}

impl ExecArgs {
    /// Starts the process; the exit code is the program's.
    ///
    /// # Errors
    /// Those of [`container::exec()`], and flags or words that cannot be honoured.
    pub fn run(&self, globals: &Globals) -> Result<i32> {
        container::exec(&globals.host_of_existing()?, &self.target.id, &self.request()?)
    }

    /// The request, checked.
    ///
    /// # Errors
    /// As [`ExecArgs::run`], without starting anything.
    pub fn request(&self) -> Result<ExecRequest> {
        match (&self.process, self.target.words.is_empty()) {
            (None, true) => return Err(usage("no command is given")),
            (Some(_), false) => return Err(usage("a command is given both by --process and after ID")),
            _ => {}
        }
        Ok(ExecRequest {
            process: self.process.clone(),
            args: self.target.words.iter().map(text).collect::<Result<_>>()?,
            tty: self.tty,
            detach: self.detach,
            // As with every OCI runtime, they are the caller's to hand over.
            streams: CallerStreams::HandedOver,
            env: self.env.clone(),
            user: self.user.map(|user| (user.uid, user.gid)),
            additional_gids: self.additional_gids.clone(),
            cwd: self.cwd.clone(),
            caps: self.capabilities.iter().filter_map(|name| capability(name)).collect(),
            no_new_privs: self.no_new_privs,
            pid_file: self.pid_file.clone(),
            console_socket: self.console_socket.clone(),
            pidfd_socket: self.pidfd_socket.clone(),
            preserve_fds: self.preserve_fds,
            cgroup: self.cgroup.clone(),
            ignore_paused: self.ignore_paused,
            apparmor: self.apparmor.clone().filter(|profile| !profile.is_empty()),
            process_label: self.process_label.clone().filter(|label| !label.is_empty()),
        })
    }
}

/// Reads `CAP_KILL`, or `KILL` in any case. A caller may know more of them than this kernel or podrun.
fn capability(name: &str) -> Option<caps::Capability> {
    let upper = name.to_ascii_uppercase();
    let full = if upper.starts_with("CAP_") { upper } else { format!("CAP_{upper}") };
    let known = full.parse().ok();
    if known.is_none() {
        report::warn(&format!("--cap: unknown capability {name:?} is ignored"));
    }
    known
}

/// The runtime spec's `args` are JSON strings: there is no way to say other bytes.
fn text(word: &OsString) -> Result<String> {
    let text = word.to_str().ok_or_else(|| usage(&format!("argument {word:?} is not UTF-8")))?;
    Ok(text.to_owned())
}

fn usage(message: &str) -> Error {
    Error::new(Kind::Usage, message).hint("usage: podrun exec [OPTIONS] ID CMD..., or --process FILE ID")
}
