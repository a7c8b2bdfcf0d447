//! `run`: create and start in one command, in the foreground or detached.

use super::Host;
use super::create::{Begin, CreateRequest, Made, SandboxSource, make};
use super::delete::delete;
use super::exec::go;
use super::relay::Relay;
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
    request: &CreateRequest,
    source: SandboxSource<'_>,
    options: RunOptions,
) -> Result<i32> {
    let foreground = !options.detach;
    let (mut relay, remote) = Relay::plan(foreground && request.console_socket.is_none())?;
    let made = make(host, request, source, Begin::AtOnce, remote)?;
    let title = || format!("cannot run container {:?}", request.id.as_str());
    if let Err(error) = go(&made.link) {
        return Err(give_up(host, &made, error)).context(title);
    }
    if options.detach {
        return Ok(0);
    }
    let code = match relay.run(&made.child) {
        Ok(code) => code,
        Err(error) => {
            // Nobody would look after it any more.
            let error = Error::new(error.kind(), title()).because(error);
            return match delete(host, &request.id, true) {
                Ok(()) => Err(error),
                Err(second) => {
                    Err(Error::new(error.kind(), format!("{error}; and then cleaning up failed"))
                        .because(second))
                }
            };
        }
    };
    if !options.keep {
        delete(host, &request.id, true)?;
    }
    Ok(code)
}

fn give_up(host: &Host, made: &Made, error: Error) -> Error {
    let error = super::create::end_child(&made.child, made.record.cgroup.as_ref(), error);
    super::create::undo(host, &made.record, error)
}
