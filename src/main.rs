//! The podrun binary: seals itself, runs the command, prints the error once, chooses the exit code.

#![no_main] // see podrun::sys::start

use podrun::cli::argv::{self, Glance};
use podrun::cli::{self, exit, log, seal};
use podrun::error::{Context, Error, Result};
use podrun::supervisor::{self, spawn::SUPERVISOR};
use podrun::sys::start;
use std::ffi::OsString;
use std::io::{IsTerminal, Write};

podrun::entry!(podrun_main);

fn podrun_main() -> i32 {
    let mut words = std::env::args_os();
    let program = words.next();
    let words = argv::tie_rootless(words.collect());
    let supervises = program.is_some_and(|program| program == SUPERVISOR);
    let glance = if supervises { Glance::default() } else { Glance::at(&words) };
    let run = || {
        start::prepare().context(|| "cannot open /dev/null")?;
        if supervises { supervise(&words) } else { sealed(words, &glance) }
    };
    let code = match run() {
        Ok(code) => exit::for_program(code),
        Err(error) => {
            show(&error, &glance);
            exit::for_error(&glance, &error)
        }
    };
    code.into()
}

/// A pod's supervisor: its keeper, or the command that made the pod, has started us in its place.
fn supervise(words: &[OsString]) -> Result<i32> {
    seal::ensure()?;
    supervisor::main(words).map(|()| 0)
}

fn sealed(words: Vec<OsString>, glance: &Glance) -> Result<i32> {
    if glance.enters_container() {
        seal::ensure()?;
    }
    cli::run(words, glance)
}

/// Prints the chain on one line and the remedy on its own, and writes the log's line. Neither may hide the error, so
/// what cannot be written is let go.
fn show(error: &Error, glance: &Glance) {
    let mut stderr = std::io::stderr().lock();
    let colour = stderr.is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let (red, plain) = if colour { ("\x1b[1;31m", "\x1b[0m") } else { ("", "") };
    let mut text = format!("podrun: {red}error:{plain} {error}\n");
    if let Some(hint) = error.remedy() {
        text.push_str(&format!("hint: {hint}\n"));
    }
    if let Some(path) = &glance.log
        && let Err(unwritten) = log::append(path, glance.log_json, &error.to_string())
    {
        text.push_str(&format!("warning: {unwritten}\n"));
    }
    drop(stderr.write_all(text.as_bytes()));
}
