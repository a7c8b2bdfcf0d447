//! `pod exec`

use super::{PodArgs, choose, pair};
use crate::cli::args::pod_name;
use crate::cli::{Globals, output};
use crate::container::{self, CallerStreams, ExecRequest};
use crate::error::{Context, Error, Kind, Result};
use crate::model::ids::{ContainerId, PodName, PodNamespace};
use crate::model::status::{ContainerState, PodStatus};
use crate::pod::PodKind;
use std::ffi::OsString;
use std::io::IsTerminal;

/// Run a command in a container of a pod
///
/// The exit code is the command's, 128 and the number of the signal that ended it, 126 if it cannot be executed or 127 if
/// it is not there.
#[derive(Debug, PartialEq, clap::Args)]
#[command(
    override_usage = "podrun pod exec [OPTIONS] <POD> -- <CMD>...",
    after_help = "Example:\n  podrun pod exec shop -c web -- nginx -t\n  podrun pod exec -it shop -- sh"
)]
pub struct ExecArgs {
    /// Pass stdin on; the command reads nothing otherwise
    #[arg(short = 'i', long)]
    pub stdin: bool,
    /// Give the command a terminal, where stdin is one
    #[arg(short, long)]
    pub tty: bool,
    /// The container; the first one, or the one that the annotation kubectl.kubernetes.io/default-container names, if left
    /// out
    #[arg(short, long, value_name = "CONTAINER")]
    pub container: Option<String>,
    /// The pod: NAME, pod/NAME or pods/NAME
    #[arg(value_name = "POD", value_parser = pod_name)]
    pub pod: PodName,
    /// Its namespace
    #[arg(short, long, value_name = "NS", default_value = "default")]
    pub namespace: PodNamespace,
    /// The command and its arguments
    #[arg(value_name = "CMD", last = true)]
    pub command: Vec<OsString>,
}

impl ExecArgs {
    /// Runs the command; the exit code is its.
    ///
    /// # Errors
    /// When there is no such pod or container, it does not run, or the command cannot be started.
    pub fn run(&self, globals: &Globals) -> Result<i32> {
        if self.command.is_empty() {
            // kubectl's words.
            let what = "you must specify at least one command for the container";
            return Err(Error::new(Kind::Usage, what)
                .hint(format!("write it behind --: podrun pod exec {} -- sh", self.pod)));
        }
        let host = globals.host_of_existing()?;
        let target = PodArgs { pod: self.pod.clone(), namespace: self.namespace.clone() };
        let pod = target.find(&host)?;
        if pod.kind() == PodKind::Bare {
            return Err(
                Error::user("it is a bare pod").hint("exec in one of its containers: podrun exec ID CMD...")
            )
            .context(|| format!("cannot exec in pod {:?}", self.pod.as_str()));
        }
        let spec = pod.spec()?;
        let name = choose::container(&spec, self.container.as_deref())?.name.as_str();
        let title = || format!("cannot exec in container {name:?} of pod {:?}", self.pod.as_str());
        let status = pair::status(&host, &pod)?;
        let id = running(status.as_ref(), name).context(title)?;
        let tty = self.tty && std::io::stdin().is_terminal();
        if self.tty && !tty {
            output::note("Unable to use a TTY - input is not a terminal or the right kind of file");
        }
        // As Kubernetes' runtimes do: editors and pagers ask for it.
        let env = if tty { vec!["TERM=xterm".to_owned()] } else { Vec::new() };
        // The pod may be hostile: nothing in it gets hold of the caller's terminal and files.
        let streams = CallerStreams::Copied { stdin: self.stdin };
        let request = ExecRequest { args: self.words()?, tty, streams, env, ..ExecRequest::default() };
        let code = container::exec(&host, &id, &request).context(title)?;
        if code != 0 {
            output::note(&format!("command terminated with exit code {code}"));
        }
        Ok(code)
    }

    /// The runtime spec's `args` are JSON strings: there is no way to say other bytes.
    fn words(&self) -> Result<Vec<String>> {
        let text = |word: &OsString| match word.to_str() {
            Some(text) => Ok(text.to_owned()),
            None => Err(Error::new(Kind::Usage, format!("argument {word:?} is not UTF-8"))),
        };
        self.command.iter().map(text).collect()
    }
}

/// Id of the running container of that name.
fn running(status: Option<&PodStatus>, name: &str) -> Result<ContainerId> {
    let found = status.and_then(|status| status.container(name));
    let why = match found.map(|container| (&container.state, &container.container_id)) {
        Some((ContainerState::Running { .. }, Some(id))) => return id.parse(),
        Some((ContainerState::Waiting { reason, .. }, _)) => format!("it waits ({reason})"),
        Some((ContainerState::Terminated(ended), _)) => {
            format!("it has ended with exit code {} ({})", ended.exit_code, ended.reason)
        }
        _ => "it has not been made yet".to_owned(),
    };
    Err(Error::user(format!("it does not run: {why}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::pod::samples;
    use crate::model::status::Phase;

    #[test]
    fn only_running_containers_are_entered() {
        let mut status = samples::status(
            Phase::Running,
            vec![samples::running(), samples::waiting("CrashLoopBackOff"), samples::ended("Error", 3)],
        );
        status.containers[0].container_id = Some("a.c0.0".into());
        assert_eq!(running(Some(&status), "c0").unwrap().as_str(), "a.c0.0");
        let error = |name| running(Some(&status), name).unwrap_err().to_string();
        assert_eq!(error("c1"), "it does not run: it waits (CrashLoopBackOff)");
        assert_eq!(error("c2"), "it does not run: it has ended with exit code 3 (Error)");
        assert!(running(None, "c0").unwrap_err().to_string().contains("not been made"));
    }
}
