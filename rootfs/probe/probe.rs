//! The program that the integration tests run inside containers: it states facts, and it attacks.
//!
//! Static, without dependencies, compiled by plain rustc (see `rootfs/make`). Answers go to stdout, one JSON object on one line
//! where there is more to say than an exit code; messages go to stderr. Exit codes: 0, 1 the thing tried did not work (its errno
//! name is printed), 2 usage, 3 an attack on the host succeeded; `exit` and `on-signal` give the code they are told.
//!
//! ```text
//! facts [--path P]... [--sysctl NAME]... [--output FILE] [--sleep S]   everything facts.rs knows
//! caps                              the five capability sets
//! argv ARG...                       the arguments, one a line
//! exit N | sleep S | kill-self SIG | ignore-term S | on-signal SIG CODE S
//! open P | try-write P              opens for reading; makes a file in a directory, or opens a file for writing
//! print-fd N                        copies descriptor N to stdout
//! alloc MIB [S]                     touches that much memory, and holds it
//! fork N                            makes N processes that wait, tells how many there could be, ends them
//! serve PORT FILE | get HOST PORT [S] | serve-health PORT DIR
//! send-fd SOCKET N NAME | recv-fd SOCKET
//! notify TEXT...                    sends each as a datagram to the socket that NOTIFY_SOCKET names
//! seccomp-check SYSCALL
//! overwrite-exe S [PATH]            CVE-2019-5736, on PATH or on every foreign /proc/PID/exe
//! spy MARKER S                      whether a process of podrun's is a way to a file of the host's
//! mknod P b|c MAJOR MINOR | mount-escape [COVERED-PATH]... | symlink-race DIR A B S
//! ```
//! Started under the name `podrun:supervisor` it plays one (standin.rs).
//! S is in seconds and may have a fraction; SIG is a number. As PID 1 of a namespace `kill-self` survives, which it reports.

// Entered by C's `main`: std's own start-up would set SIGPIPE, open missing standard descriptors and catch SIGSEGV, all of
// which are facts to be told about.
#![no_main]

mod attack;
mod errno;
mod facts;
mod health;
mod json;
mod net;
mod seccomp;
mod socket;
mod standin;
mod sys;

use json::{Json, object};
use std::ffi::{CStr, c_char, c_int};
use std::io::{self, Write};
use std::path::Path;
use std::time::Duration;

/// An exit code, or a message and the exit code 1 or 2 that goes with it.
type Outcome = Result<c_int, Failure>;

enum Failure {
    Usage(String),
    Io(io::Error),
}
impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// Called by the C library's start-up code.
// SAFETY: the name is the one that C's start-up code calls, with this signature; nothing else in the program has it.
#[unsafe(no_mangle)]
extern "C" fn main(argc: c_int, argv: *const *const c_char) -> c_int {
    let length = usize::try_from(argc).unwrap_or(0);
    // SAFETY: argv has argc pointers, which the kernel laid out before the program began and nobody changes.
    let pointers = unsafe { std::slice::from_raw_parts(argv, length) };
    let text = |pointer: &*const c_char| {
        // SAFETY: the kernel made every argument NUL-terminated; they live as long as the process.
        unsafe { CStr::from_ptr(*pointer) }.to_string_lossy().into_owned()
    };
    let argv: Vec<String> = pointers.iter().map(text).collect();
    let words: Vec<&str> = argv.iter().skip(1).map(String::as_str).collect();
    match run(&argv, &words) {
        Ok(code) => code,
        Err(Failure::Usage(message)) => {
            say(&format!("probe: {message}"));
            2
        }
        Err(Failure::Io(error)) => {
            say(&format!("probe: {}: {error}", errno::name(&error)));
            1
        }
    }
}

fn run(argv: &[String], words: &[&str]) -> Outcome {
    if argv.first().is_some_and(|name| name == "podrun:supervisor") {
        return Ok(standin::play(words)?);
    }
    match *words {
        ["facts", ref options @ ..] => tell_facts(argv, options),
        ["caps"] => print(&facts::own_capabilities()),
        ["argv", ref arguments @ ..] => print_text(
            arguments.iter().map(|argument| format!("{argument}\n")).collect::<String>().as_bytes(),
        ),
        ["exit", code] => parse(code),
        ["sleep", time] => {
            std::thread::sleep(seconds(time)?);
            Ok(0)
        }
        ["kill-self", signal] => {
            sys::kill_self(parse(signal)?)?;
            say("probe: survived: PID 1 is not killed by signals from its own namespace");
            Ok(1)
        }
        ["ignore-term", time] => {
            sys::ignore_signal(sys::SIGTERM);
            print_text(b"ready\n")?;
            std::thread::sleep(seconds(time)?);
            Ok(0)
        }
        ["on-signal", signal, code, time] => {
            let got = sys::wait_for_signal(parse(signal)?, seconds(time)?)?;
            Ok(if got { parse(code)? } else { 1 })
        }
        ["open", path] => {
            sys::open_fd(Path::new(path), sys::O_RDONLY | sys::O_CLOEXEC)?;
            print_text(b"ok\n")
        }
        ["try-write", path] => try_write(Path::new(path)),
        ["print-fd", fd] => print_descriptor(parse(fd)?),
        ["alloc", mib] => allocate(parse(mib)?, Duration::ZERO),
        ["alloc", mib, time] => allocate(parse(mib)?, seconds(time)?),
        ["fork", count] => fork_many(parse(count)?),
        ["serve", port, file] => net::serve(parse(port)?, Path::new(file)).map(|()| 0).map_err(Failure::Io),
        ["serve-health", port, services] => {
            health::serve(parse(port)?, Path::new(services)).map(|()| 0).map_err(Failure::Io)
        }
        ["get", host, port] => print_text(&net::get(host, parse(port)?, Duration::ZERO)?),
        ["get", host, port, time] => print_text(&net::get(host, parse(port)?, seconds(time)?)?),
        ["send-fd", socket, fd, name] => Ok(net::send(Path::new(socket), parse(fd)?, name).map(|()| 0)?),
        ["recv-fd", socket] => print(&net::receive(Path::new(socket))?),
        ["notify", ref texts @ ..] => Ok(net::notify(texts).map(|()| 0)?),
        ["seccomp-check", call] => print(&seccomp::ask(call).map_err(Failure::Usage)?),
        ["overwrite-exe", time] => print_attack(&attack::overwrite_executable(None, seconds(time)?)),
        ["overwrite-exe", time, path] => {
            print_attack(&attack::overwrite_executable(Some(Path::new(path)), seconds(time)?))
        }
        ["spy", marker, time] => print_attack(&attack::spy(marker, seconds(time)?)),
        ["mknod", path, kind, major, minor] => {
            print(&attack::make_device(Path::new(path), kind, parse(major)?, parse(minor)?))
        }
        ["mount-escape", ref covered @ ..] => print(&attack::escape_by_mounts(
            &covered.iter().map(|path| (*path).to_owned()).collect::<Vec<_>>(),
        )),
        ["symlink-race", directory, a, b, time] => {
            let swaps = attack::race_symlinks(Path::new(directory), a, b, seconds(time)?)?;
            print(&object([("swaps", swaps.into())]))
        }
        _ => Err(Failure::Usage(format!(
            "unknown mode or arguments {words:?}; the modes stand at the top of probe.rs"
        ))),
    }
}

fn tell_facts(argv: &[String], options: &[&str]) -> Outcome {
    let (mut paths, mut sysctls, mut output, mut sleep) = (vec![], vec![], None, Duration::ZERO);
    for pair in options.chunks(2) {
        match *pair {
            ["--path", path] => paths.push(path.to_owned()),
            ["--sysctl", name] => sysctls.push(name.to_owned()),
            ["--output", path] => output = Some(path),
            ["--sleep", time] => sleep = seconds(time)?,
            _ => return Err(Failure::Usage(format!("unknown option {pair:?}"))),
        }
    }
    let facts = facts::all(argv, &paths, &sysctls);
    match output {
        Some(path) => replace(Path::new(path), &facts)?,
        None => drop(print(&facts)?),
    }
    std::thread::sleep(sleep);
    Ok(0)
}

/// By rename, so that whoever waits for the file never reads half of it.
fn replace(path: &Path, facts: &Json) -> io::Result<()> {
    let temporary = path.with_extension("part");
    std::fs::write(&temporary, format!("{facts}\n"))?;
    std::fs::rename(temporary, path)
}

fn try_write(path: &Path) -> Outcome {
    let result = if path.is_dir() { facts::write_directory(path) } else { facts::open_for_writing(path) };
    print_text(format!("{result}\n").as_bytes())?;
    Ok(i32::from(result != "ok"))
}

fn print_descriptor(fd: c_int) -> Outcome {
    let mut text = Vec::new();
    let mut buffer = [0u8; 4096];
    loop {
        match sys::read_fd(fd, &mut buffer)? {
            0 => return print_text(&text),
            length => text.extend_from_slice(&buffer[..length]),
        }
    }
}

fn allocate(mib: usize, time: Duration) -> Outcome {
    // Not vec![1; n]: each page is touched by itself, so that the killer comes in the middle.
    let mut memory: Vec<u8> = Vec::with_capacity(mib << 20);
    while memory.len() < mib << 20 {
        memory.extend_from_slice(&[1; 4096]);
    }
    print(&object([("mib", (memory.len() as u64 >> 20).into())]))?;
    std::thread::sleep(time);
    drop(std::hint::black_box(memory));
    Ok(0)
}

fn fork_many(count: usize) -> Outcome {
    let mut children = vec![];
    let mut refused = None;
    while children.len() < count && refused.is_none() {
        match sys::fork_sleeper() {
            Ok(child) => children.push(child),
            Err(error) => refused = Some(errno::name(&error)),
        }
    }
    let made = children.len() as u64;
    children.into_iter().for_each(sys::end_child);
    print(&object([("made", made.into()), ("refused", refused.into())]))
}

fn print_attack((answer, code): &(Json, c_int)) -> Outcome {
    print(answer)?;
    Ok(*code)
}

fn print(value: &Json) -> Outcome {
    print_text(format!("{value}\n").as_bytes())
}

fn print_text(text: &[u8]) -> Outcome {
    let mut stdout = io::stdout().lock();
    stdout.write_all(text)?;
    stdout.flush()?;
    Ok(0)
}

/// To stderr; nobody is left to tell when that fails.
fn say(message: &str) {
    let _written = writeln!(io::stderr(), "{message}");
}

fn parse<T: std::str::FromStr>(text: &str) -> Result<T, Failure> {
    text.parse().map_err(|_| Failure::Usage(format!("{text:?} is not a number that fits")))
}

fn seconds(text: &str) -> Result<Duration, Failure> {
    Duration::try_from_secs_f64(parse(text)?)
        .map_err(|_| Failure::Usage(format!("{text:?} is not a time in seconds")))
}
