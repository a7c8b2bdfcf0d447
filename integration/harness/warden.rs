//! The process around one test: subreaper, time-out, leak check, clean-up.

use super::{Case, body, leaks, machine};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

/// How a test ended.
#[derive(Debug, PartialEq, Eq)]
enum End {
    Passed,
    Skipped,
    Failed(String),
}

/// Runs the body of `case` and looks around afterwards. The exit code is the body's, or 1 when something leaked.
pub fn run(case: &Case) -> ExitCode {
    match guarded(case) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("the warden of {} failed: {error}", case.name);
            ExitCode::FAILURE
        }
    }
}

fn guarded(case: &Case) -> std::io::Result<ExitCode> {
    podrun::sys::process::set_child_subreaper()?;
    let corner = leaks::Corner::make()?;
    let end = run_body(case, corner.place())?;
    let mut leaked = corner.look_around();
    if case.exclusive {
        leaked.extend(corner.groups_outside());
    }
    corner.clear();
    Ok(match end {
        End::Failed(why) => {
            eprintln!("{}: {why}", case.name);
            if !leaked.is_empty() {
                eprintln!("left behind (now removed):\n  {}", leaked.join("\n  "));
            }
            ExitCode::FAILURE
        }
        _ if !leaked.is_empty() => {
            eprintln!("{}: leaked:\n  {}", case.name, leaked.join("\n  "));
            ExitCode::FAILURE
        }
        End::Skipped => ExitCode::from(77),
        End::Passed => ExitCode::SUCCESS,
    })
}

fn run_body(case: &Case, place: &Path) -> std::io::Result<End> {
    let body = Command::new("/proc/self/exe")
        .args(["--body", case.name])
        .env(body::PLACE, place)
        // The assertions name their callers; a backtrace of the harness says nothing more.
        .env("RUST_BACKTRACE", "0")
        .stdin(Stdio::null())
        .spawn()?;
    let body = Pid::from_raw(i32::try_from(body.id()).unwrap_or(i32::MAX));
    let deadline = Instant::now() + Duration::from_secs(case.seconds) * machine::slowness();
    let mut late = false;
    loop {
        match reap_until(body)? {
            Some(status) if late => {
                return Ok(End::Failed(format!("no end after {} s ({status:?})", case.seconds)));
            }
            Some(WaitStatus::Exited(_, 0)) => return Ok(End::Passed),
            Some(WaitStatus::Exited(_, body::SKIPPED)) => return Ok(End::Skipped),
            Some(status) => return Ok(End::Failed(format!("the test ended with {status:?}"))),
            None => {}
        }
        if !late && Instant::now() > deadline {
            late = true;
            leaks::describe_processes("still running");
            nix::sys::signal::kill(body, nix::sys::signal::Signal::SIGKILL)?;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Reaps every dead child; yields the status of `body` when it is among them.
fn reap_until(body: Pid) -> nix::Result<Option<WaitStatus>> {
    loop {
        let status = waitpid(None, Some(WaitPidFlag::WNOHANG))?;
        match status {
            WaitStatus::StillAlive => return Ok(None),
            _ if status.pid() == Some(body) => return Ok(Some(status)),
            _ => {}
        }
    }
}

/// Where wardens make their places; short, since paths of unix sockets hold 107 bytes.
pub fn place_of(warden: u32) -> PathBuf {
    PathBuf::from(format!("{}{warden}", leaks::PLACES))
}
