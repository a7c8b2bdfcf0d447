//! The list of tests, run by libtest-mimic: two at a time, each under its warden; and what must hold of the whole run.

use super::{Case, body, leaks, machine, proc, sources, warden};
use libtest_mimic::{Arguments, Completion, Failed, Trial};
use nix::sys::signal::{SigHandler, Signal};
use std::collections::BTreeSet;
use std::io::{Read, Seek, Write};
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, ExitCode, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, RwLock};

/// Tests that run at the same time unless `--test-threads` says otherwise.
const THREADS: usize = 2;

/// What the whole run collects.
#[derive(Default)]
struct Tally {
    ran: Mutex<BTreeSet<&'static str>>,
    skipped: Mutex<BTreeSet<&'static str>>,
    wardens: Mutex<BTreeSet<u32>>,
    turn: RwLock<()>,
    slowness: AtomicU32,
}

/// The entry of all three levels: runner, warden, body.
pub fn main(cases: &[Case]) -> ExitCode {
    let words: Vec<String> = std::env::args().collect();
    let named = |name: &str| cases.iter().find(|case| case.name == name);
    match (words.get(1).map(String::as_str), words.get(2).and_then(|name| named(name))) {
        (Some("--warden"), Some(case)) => warden::run(case),
        (Some("--body"), Some(case)) => {
            body::run(case);
            ExitCode::SUCCESS
        }
        _ => run(cases),
    }
}

/// A shell starts what runs in the background with these ignored; tests send them, as people at terminals do.
#[allow(unsafe_code, reason = "nix cannot know what a handler does; here there is none")]
fn heed_the_terminals_signals() {
    for signal in [Signal::SIGINT, Signal::SIGQUIT] {
        // SAFETY: the default disposition runs no code of ours.
        let set = unsafe { nix::sys::signal::signal(signal, SigHandler::SigDfl) };
        set.expect("a signal that can be heeded");
    }
}

fn run(cases: &[Case]) -> ExitCode {
    heed_the_terminals_signals();
    let (filters, others) = words(std::env::args());
    let mut arguments = Arguments::from_iter(others);
    arguments.test_threads = arguments.test_threads.or(Some(THREADS));
    let tally = Arc::new(Tally::default());
    let mut trials = vec![Trial::test("harness::every_file_is_used", || {
        sources::every_file_is_used().map_err(Into::into)
    })];
    trials.extend(cases.iter().map(|case| trial(*case, Arc::clone(&tally))));
    let wanted = |name: &str| filters.iter().any(|filter| named_by(filter, name, arguments.exact));
    trials.retain(|trial| filters.is_empty() || wanted(trial.name()));
    if !arguments.list
        && let Err(reason) = sources::prepare()
    {
        eprintln!("integration tests cannot run: {reason}");
        return ExitCode::FAILURE;
    }
    if !arguments.list {
        tally.slowness.store(machine::measure_slowness(), Ordering::Relaxed);
        println!("time-outs are multiplied by {}", tally.slowness.load(Ordering::Relaxed));
    }
    let subreaper = podrun::sys::process::set_child_subreaper();
    let conclusion = libtest_mimic::run(&arguments, trials);
    let complaints = if arguments.list { Vec::new() } else { complaints(cases, &tally, subreaper) };
    for complaint in &complaints {
        eprintln!("error: {complaint}");
    }
    if complaints.is_empty() { conclusion.exit_code() } else { ExitCode::from(101) }
}

/// The filters, of which libtest-mimic takes one alone, and all other words of the command line.
fn words(line: impl Iterator<Item = String>) -> (Vec<String>, Vec<String>) {
    const WITH_VALUE: [&str; 5] = ["--test-threads", "--skip", "--logfile", "--format", "--color"];
    let mut is_value = true; // the program's own name
    line.partition(|word| {
        let filter = !is_value && !word.starts_with('-');
        is_value = WITH_VALUE.contains(&word.as_str());
        filter
    })
}

fn named_by(filter: &str, name: &str, exact: bool) -> bool {
    if exact { name == filter } else { name.contains(filter) }
}

fn trial(case: Case, tally: Arc<Tally>) -> Trial {
    Trial::ignorable_test(case.name, move || {
        // A poisoned lock only says that another test's thread panicked.
        let (_alone, _among);
        if case.exclusive {
            _alone = tally.turn.write().unwrap_or_else(std::sync::PoisonError::into_inner);
        } else {
            _among = tally.turn.read().unwrap_or_else(std::sync::PoisonError::into_inner);
        }
        remember(&tally.ran, case.name);
        let (status, output) = under_warden(&case, &tally)?;
        // What tests of attacks and crashes want a person to see: how much they really did.
        for line in output.lines().filter_map(|line| line.strip_prefix(body::NOTE_MARK)) {
            println!("NOTE {}: {line}", case.name);
        }
        match status.code() {
            Some(0) => Ok(Completion::Completed),
            Some(body::SKIPPED) => {
                let reason = output.lines().filter_map(|line| line.strip_prefix(body::SKIP_MARK)).next_back();
                let reason = reason.unwrap_or("no reason given");
                println!("SKIP {}: {reason}", case.name);
                remember(&tally.skipped, case.name);
                Ok(Completion::ignored_with(reason))
            }
            _ => Err(Failed::from(format!("{output}\n({})", how(status)))),
        }
    })
}

fn how(status: ExitStatus) -> String {
    match status.signal() {
        Some(number) => format!("warden killed by signal {number}"),
        None => format!("warden: {status}"),
    }
}

fn remember(set: &Mutex<BTreeSet<&'static str>>, name: &'static str) {
    set.lock().unwrap_or_else(std::sync::PoisonError::into_inner).insert(name);
}

fn under_warden(case: &Case, tally: &Tally) -> Result<(ExitStatus, String), Failed> {
    // A file, not a pipe: whatever a test leaves running would keep a pipe open.
    let mut output = nix::sys::memfd::memfd_create(c"output", nix::sys::memfd::MFdFlags::MFD_CLOEXEC)
        .map(std::fs::File::from)?;
    let mut child = Command::new("/proc/self/exe")
        .args(["--warden", case.name])
        .env(machine::SLOWNESS, tally.slowness.load(Ordering::Relaxed).to_string())
        .stdin(Stdio::null())
        .stdout(output.try_clone()?)
        .stderr(output.try_clone()?)
        .spawn()?;
    tally.wardens.lock().unwrap_or_else(std::sync::PoisonError::into_inner).insert(child.id());
    let status = child.wait()?;
    let mut text = Vec::new();
    output.rewind()?;
    output.read_to_end(&mut text)?;
    Ok((status, String::from_utf8_lossy(&text).into_owned()))
}

/// What is wrong with the run as a whole.
fn complaints(cases: &[Case], tally: &Tally, subreaper: std::io::Result<()>) -> Vec<String> {
    std::io::stdout().flush().ok();
    let ran = tally.ran.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let skipped = tally.skipped.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let mut found = match sources::expected_skips(cases) {
        Ok(expected) => difference(&ran, &skipped, &expected),
        Err(error) => vec![error],
    };
    if let Err(error) = subreaper {
        found.push(format!("cannot become a subreaper: {error}"));
    }
    let me = i32::try_from(std::process::id()).unwrap_or(i32::MAX);
    let stragglers =
        proc::children(me).into_iter().map(|pid| format!("process {pid}: {}", proc::command_line(pid)));
    // Other runs may be under way on this machine: only this one's corners count.
    let wardens = tally.wardens.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let mounts = proc::mounts("self");
    let of_ours = |mount: &&proc::Mount| wardens.iter().any(|pid| mount.concerns(&warden::place_of(*pid)));
    let mounts = mounts.iter().filter(of_ours).map(|mount| format!("mount {}", mount.point));
    let groups = wardens.iter().flat_map(|pid| leaks::corner_groups(*pid)).filter(|path| path.is_dir());
    let left = stragglers.chain(mounts).chain(groups.map(|path| format!("cgroup {}", path.display())));
    found.extend(left.map(|what| format!("left by the run: {what}")));
    found
}

fn difference(ran: &BTreeSet<&str>, skipped: &BTreeSet<&str>, expected: &BTreeSet<String>) -> Vec<String> {
    let surprise = skipped.iter().filter(|name| !expected.contains(**name));
    let missing =
        expected.iter().filter(|name| ran.contains(name.as_str()) && !skipped.contains(name.as_str()));
    surprise
        .map(|name| format!("{name} was skipped, which integration/expected-skips.txt does not expect here"))
        .chain(missing.map(|name| {
            format!("{name} ran, though integration/expected-skips.txt expects it to be skipped here")
        }))
        .collect()
}
