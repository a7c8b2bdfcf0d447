//! `run`: create and start in one command, in the foreground or detached.

use super::Host;
use super::create::begin;
use super::delete::delete;
use super::relay::Relay;
use super::request::{Begin, CreateRequest, SandboxSource, Streams};
use super::start::poststart;
use crate::error::{Context, Error, Result};

/// Flags of `run` beyond those of `create`.
#[derive(Debug, Clone, Copy, Default)]
pub struct RunOptions {
    /// Return as soon as the program runs.
    pub detach: bool,
    /// Leave the stopped container there.
    pub keep: bool,
}

/// Runs a container. The result is the program's exit code (128+n for a signal), 0 when detached.
///
/// # Errors
/// When it could not be started; nothing is left then.
pub fn run(
    host: &Host,
    mut request: CreateRequest,
    source: SandboxSource<'_>,
    options: RunOptions,
) -> Result<i32> {
    let foreground = !options.detach;
    let (mut relay, remote) = Relay::plan(foreground && request.console_socket.is_none(), true)?;
    if let Some(socket) = remote {
        request.streams = Streams::Terminal(socket);
    }
    let id = request.id.clone();
    let title = || format!("cannot run container {:?}", id.as_str());
    let made = begin(host, request, source, Begin::AtOnce)?.finish(source)?;
    let (record, child) = made.go().context(title)?;
    poststart(host, &record).context(title)?;
    if options.detach {
        return Ok(0);
    }
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
