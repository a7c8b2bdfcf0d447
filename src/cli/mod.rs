//! The command line: what can be asked, how it is read, and where each request goes.
//!
//! One file per subcommand: an `Args` struct whose doc comments are the help, and a `run` that gets valid values and
//! calls `container` or `pod`. Nothing here touches a namespace, a mount or a record. Shell completions and man pages
//! come from the same structs.
//!
//! The order in `main`: [`argv::Glance`] (which command, which log file), [`seal`] (CVE-2019-5736), [`run`].

pub mod args;
pub mod argv;
pub mod exit;
pub mod generate;
pub mod image;
pub mod log;
pub mod oci;
pub mod output;
pub mod pod;
pub mod seal;
mod usage;
mod yaml;

#[cfg(test)]
mod tests;

use crate::container::{CgroupManager, Host};
use crate::error::{Context, Error, Kind, Result};
use crate::report;
use crate::state::layout::{DEFAULT_DATA_ROOT, DEFAULT_ROOT, Layout};
use clap::error::ErrorKind;
use clap::{CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum};
use std::ffi::OsString;
use std::path::PathBuf;

/// The newest runtime spec whose every field is either honoured or refused by name.
pub const SPEC_VERSION: &str = "1.3.0";

/// Run containers and pods
///
/// podrun is an OCI runtime whose unit is the pod: containers that share network, IPC and host name through a pause
/// process, each with its own mounts, processes and cgroup. No daemon stays behind.
#[derive(Debug, PartialEq, Parser)]
#[command(
    name = "podrun",
    version = concat!("version ", env!("CARGO_PKG_VERSION"), "\nspec: 1.3.0"),
    disable_version_flag = true,
    args_override_self = true,
    after_help = "Example:\n  podrun image import busybox.tar busybox\n  podrun pod run -f shop.yaml\n  podrun run --bundle web web"
)]
pub struct Cli {
    /// Options that stand before the command.
    #[command(flatten)]
    pub globals: Globals,
    /// Print the version
    #[arg(short = 'v', long, action = clap::ArgAction::Version)]
    version: Option<bool>,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// Options that stand before the command; of a repeated one the last counts.
#[derive(Debug, PartialEq, clap::Args)]
pub struct Globals {
    /// Directory of the state, which ends with the boot
    #[arg(long, value_name = "DIR", default_value = DEFAULT_ROOT)]
    pub root: PathBuf,
    /// Directory of volumes and whatever else outlives the boot
    #[arg(long, value_name = "DIR", default_value = DEFAULT_DATA_ROOT)]
    pub data_root: PathBuf,
    /// File to append the error line to, beside stderr
    #[arg(long, value_name = "FILE")]
    pub log: Option<PathBuf>,
    /// Form of the line in the log file
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub log_format: LogFormat,
    /// Least grave kind of line in the log file, or on stderr where there is none
    #[arg(long, value_name = "LEVEL", default_value = "error",
        value_parser = ["panic", "fatal", "error", "warn", "warning", "info", "debug", "trace"])]
    pub log_level: String,
    /// The same as --log-level debug
    #[arg(long)]
    pub debug: bool,
    /// The same as --cgroup-manager systemd
    #[arg(long)]
    pub systemd_cgroup: bool,
    /// Who makes the cgroups
    #[arg(long, value_name = "MANAGER", default_value = "cgroupfs")]
    pub cgroup_manager: Manager,
    /// Accepted for callers of other runtimes; podrun finds out by itself
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true",
        default_value = "auto", value_parser = ["true", "false", "auto"])]
    pub rootless: String,
}

/// Form of the log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// `time="..." level=error msg="..."`, as logrus writes it.
    Text,
    /// One JSON object.
    Json,
}

/// Who makes the cgroups.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Manager {
    /// podrun, in the cgroup file system.
    Cgroupfs,
    /// systemd.
    Systemd,
    /// Nobody: the container stays in its caller's cgroup.
    Disabled,
}

impl Globals {
    /// Where things are, and who makes the cgroups of what is made now.
    ///
    /// # Errors
    /// When systemd is asked for, or a relative path cannot be made absolute.
    pub fn host(&self) -> Result<Host> {
        if self.systemd_cgroup || self.cgroup_manager == Manager::Systemd {
            return Err(Error::user("the systemd cgroup manager is not supported yet")
                .hint("use --cgroup-manager cgroupfs, and leave out --systemd-cgroup"));
        }
        self.host_of_existing()
    }

    /// Where things are, for commands on what is there already: that knows its cgroup, whatever the flags say.
    ///
    /// # Errors
    /// When a relative path cannot be made absolute.
    pub fn host_of_existing(&self) -> Result<Host> {
        let layout = Layout::new(&self.root, &self.data_root)
            .context(|| format!("cannot use {:?} and {:?}", self.root, self.data_root))?;
        let cgroups = match self.cgroup_manager {
            Manager::Disabled => CgroupManager::Disabled,
            Manager::Cgroupfs | Manager::Systemd => CgroupManager::Cgroupfs,
        };
        Ok(Host { layout, cgroups })
    }
}

/// What podrun can be told to do.
#[derive(Debug, PartialEq, Subcommand)]
#[command(defer = true)] // only the chosen command's arguments are ever built
#[expect(missing_docs, reason = "each command is described at its Args, which is its help too")]
pub enum Command {
    Create(oci::create::CreateArgs),
    Start(oci::start::StartArgs),
    State(oci::state::StateArgs),
    Kill(oci::kill::KillArgs),
    Delete(oci::delete::DeleteArgs),
    Run(oci::run::RunArgs),
    Exec(oci::exec::ExecArgs),
    List(oci::list::ListArgs),
    Ps(oci::ps::PsArgs),
    Spec(oci::spec::SpecArgs),
    Features(oci::features::FeaturesArgs),
    Pause(oci::pause::PauseArgs),
    Resume(oci::resume::ResumeArgs),
    Update(oci::update::UpdateArgs),
    Events(oci::events::EventsArgs),
    Checkpoint(oci::checkpoint::CheckpointArgs),
    Restore(oci::restore::RestoreArgs),
    #[command(subcommand)]
    Pod(pod::PodCommand),
    #[command(subcommand)]
    Image(image::ImageCommand),
    Completions(generate::CompletionsArgs),
    Man(generate::ManArgs),
}

impl Command {
    /// Does it; the exit code is 0 or the program's.
    ///
    /// # Errors
    /// Those of the command.
    pub fn run(&self, globals: &Globals) -> Result<i32> {
        match self {
            Self::Create(args) => args.run(globals),
            Self::Start(args) => args.run(globals),
            Self::State(args) => args.run(globals),
            Self::Kill(args) => args.run(globals),
            Self::Delete(args) => args.run(globals),
            Self::Run(args) => args.run(globals),
            Self::Exec(args) => args.run(globals),
            Self::List(args) => args.run(globals),
            Self::Ps(args) => args.run(globals),
            Self::Spec(args) => args.run(),
            Self::Features(args) => args.run(),
            Self::Pause(args) => args.run(globals),
            Self::Resume(args) => args.run(globals),
            Self::Update(args) => args.run(globals),
            Self::Events(args) => args.run(globals),
            Self::Checkpoint(args) => args.run(),
            Self::Restore(args) => args.run(),
            Self::Pod(command) => command.run(globals),
            Self::Image(command) => command.run(globals),
            Self::Completions(args) => args.run(),
            Self::Man(args) => args.run(),
        }
    }
}

/// The errors of a command that went on after each: one is returned as it is, several as one under `message`.
fn collected(message: impl FnOnce(usize) -> String, mut errors: Vec<Error>) -> Result<()> {
    match (errors.pop(), errors.len()) {
        (None, _) => Ok(()),
        (Some(only), 0) => Err(only),
        (Some(last), others) => {
            errors.push(last);
            Error::all(message(others + 1), errors)
        }
    }
}

/// Reads the words after the program's name.
///
/// # Errors
/// What clap has to say, help and version included.
pub fn parse(words: Vec<OsString>, glance: &argv::Glance) -> Result<Cli, clap::Error> {
    let words = argv::lengthen_flags(words, Cli::command);
    let mut command = Cli::command();
    let names = [&glance.command, &glance.subcommand];
    let overview = |name: &OsString| name.is_empty() || name == "help";
    if overview(names[0]) || ((names[0] == "pod" || names[0] == "image") && overview(names[1])) {
        // The help of a group shows the first line of every member's, which is deferred.
        command.build();
    }
    let program = std::iter::once(OsString::from("podrun"));
    let mut matches = command.try_get_matches_from_mut(program.chain(words))?;
    Cli::from_arg_matches_mut(&mut matches).map_err(|error| error.format(&mut command))
}

/// Reads the words after the program's name and does what they say; the exit code is 0 or the program's.
///
/// # Errors
/// Usage errors, and those of the command.
pub fn run(words: Vec<OsString>, glance: &argv::Glance) -> Result<i32> {
    let shown = match parse(words, glance) {
        Ok(cli) => {
            log::begin(&cli.globals)?;
            report::debug(|| {
                let words: Vec<_> =
                    std::env::args_os().map(|word| word.to_string_lossy().into_owned()).collect();
                format!("podrun {}: {}", env!("CARGO_PKG_VERSION"), words.join(" "))
            });
            return cli.command.run(&cli.globals);
        }
        Err(shown) => shown,
    };
    let overview = shown.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand;
    if shown.use_stderr() && !overview {
        return Err(usage::from_clap(&shown));
    }
    match shown.print() {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            return Err(error).context(|| "cannot write the help");
        }
        _ if overview => return Err(Error::new(Kind::Usage, "no command is given")),
        _ => {}
    }
    // Podman takes `checkpoint --help` that exits 0 for "checkpoints are supported".
    match glance.command.to_str() {
        Some(name @ ("checkpoint" | "restore")) => Err(oci::not_supported(name)),
        _ => Ok(0),
    }
}
