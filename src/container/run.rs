//! `run`: create and start in one command, in the foreground or detached.

use super::Host;
use super::create::begin;
use super::delete::delete;
use super::notify::Notify;
use super::relay::Relay;
use super::request::{Begin, CreateRequest, SandboxSource, Streams};
use super::start::poststart;
use crate::error::{Context, Error, Result};
use crate::sys::process;
use std::ffi::OsString;
use std::os::fd::AsFd;

/// Flags of `run` beyond those of `create`.
#[derive(Debug, Clone, Default)]
pub struct RunOptions {
    /// Return as soon as the program runs.
    pub detach: bool,
    /// Leave the stopped container there.
    pub keep: bool,
    /// In the foreground, reap the orphans of a container that has no PID namespace of its own.
    pub subreaper: bool,
    /// Where a service manager waits for the program to be ready, [`super::notify`].
    pub manager: Option<OsString>,
}

/// Runs a container. The result is the program's exit code (128+n for a signal), 0 when detached.
///
/// # Errors
/// When it could not be started; nothing is left then.
pub fn run(
    host: &Host,
    mut request: CreateRequest,
    source: SandboxSource<'_>,
    options: &RunOptions,
) -> Result<i32> {
    let foreground = !options.detach;
    let (mut relay, remote) = Relay::plan(foreground && request.console_socket.is_none(), true)?;
    if let Some(terminal) = remote {
        request.streams = Streams::Terminal(terminal);
    }
    let id = request.id.clone();
    let title = || format!("cannot run container {:?}", id.as_str());
    if foreground && options.subreaper {
        process::set_child_subreaper().context(|| "cannot become a subreaper").context(title)?;
    }
    let made = begin(host, request, source, Begin::AtOnce)?.finish(source)?;
    let manager = options.manager.as_deref();
    let notify = manager.map_or(Ok(None), |manager| Notify::listen(&host.layout.container(&id), manager));
    let notify = notify.context(title)?;
    if foreground {
        relay.catch_signals().context(title)?;
    }
    let (record, child) = made.go().context(title)?;
    poststart(host, &record).context(title)?;
    if options.detach {
        return match notify {
            Some(notify) => notify.wait(child.pidfd.as_fd(), child.pid).context(title).map(|()| 0),
            None => Ok(0),
        };
    }
    relay.pass_readiness_on(notify);
    let code = match relay.run(&child) {
        Ok(code) => code,
        Err(error) => {
            // Nobody would look after it any more.
            let error = Error::new(error.kind(), title()).because(error);
            return match delete(host, &id, true) {
                Ok(()) => Err(error),
                Err(second) => {
                    Err(Error::new(error.kind(), format!("{error}; and then cleaning up failed"))
                        .because(second))
                }
            };
        }
    };
    if !options.keep {
        delete(host, &id, true)?;
    }
    Ok(code)
}
