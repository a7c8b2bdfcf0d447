//! The hooks that run in the container's namespaces.
//!
//! A hook of the host's that runs before the root is changed can be seen by whoever shares the PID namespace, and through
//! /proc/PID/root so can the host's files: as the runtime spec has it, such hooks are as trusted as the host's programs.

use super::{Init, exec};
use crate::container::hooks::run::Place;
use crate::container::hooks::{Hooks, Stage, State};
use crate::container::start::GO;
use crate::error::{Context, Error, Kind, Result};
use crate::sync::message::{FromInit, ToInit};
use crate::sys::clone::SingleThreaded;
use crate::sys::fs::write_all_at_once;
use crate::sys::process;
use std::os::fd::AsFd;

/// What init needs for hooks.
#[derive(Debug)]
pub struct InitHooks {
    /// All of the container's; init runs some, and the command others.
    pub hooks: Hooks,
    /// What they read. The pid is known when init runs.
    pub state: State,
    /// Copied from the command: a copy of a process with one thread has one thread.
    pub alone: SingleThreaded,
}

impl InitHooks {
    /// Those before the program is executed, where there are any.
    pub fn of(hooks: &Hooks, state: State, alone: SingleThreaded) -> Option<Box<Self>> {
        let before = [Stage::Prestart, Stage::CreateRuntime, Stage::CreateContainer, Stage::StartContainer];
        hooks.any(&before).then(|| Box::new(Self { hooks: hooks.clone(), state, alone }))
    }
}

/// Lets the command run its hooks, then runs those that run here before the root is entered, in its directory.
pub fn before_root(init: &mut Init) -> Result<()> {
    let (Some(hooks), Some(root)) = (&mut init.plan.hooks, &init.root) else { return Ok(()) };
    init.plan.link.send(&FromInit::RunHooks).context(|| "cannot talk to the command")?;
    match init.plan.link.receive()? {
        Some(ToInit::HooksDone) => {}
        None => process::exit_now(1), // the command died
        Some(_) => return Err(Error::new(Kind::Protocol, "the command spoke out of turn")),
    }
    // As the container sees it: so the runtime spec has it for the hooks that run in the container's namespaces.
    hooks.state = hooks.state.clone().with_pid(nix::unistd::getpid().as_raw());
    let place = Place::here(hooks.alone).within(root.fd());
    hooks.hooks.run(Stage::CreateContainer, &hooks.state, &place)
}

/// Runs the hooks before the program, as what the program will be. One without an environment gets the program's, as
/// with every runtime.
pub fn before_program(init: &mut Init) -> Result<()> {
    let Some(hooks) = &init.plan.hooks else { return Ok(()) };
    let process = &init.plan.process;
    // Where the filter comes last of all, init has not loaded it; what the image has must not run without.
    let filter = process.seccomp.as_ref().filter(|_| process.loads_filter_last());
    let place = Place::before_program(hooks.alone, &process.env, filter);
    let run = || hooks.hooks.run(Stage::StartContainer, &hooks.state, &place);
    let (Some(fifo), true) = (&init.plan.fifo, hooks.hooks.any(&[Stage::StartContainer])) else {
        return run();
    };
    // As long as this lies in the FIFO, init has not come to its program: should it be killed meanwhile, `start` sees.
    write_all_at_once(fifo.as_fd(), GO).context(|| "cannot write to the FIFO")?;
    let ran = run();
    exec::wait_for_start(fifo)?;
    ran
}
