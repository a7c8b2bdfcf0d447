//! Running a program with a time-out, its output in files: what a container inherits keeps a pipe open, not a file.

use super::{machine, proc};
use nix::sys::signal::Signal;
use serde_json::Value;
use std::ffi::OsString;
use std::fs::File;
use std::io::Write;
use std::os::fd::AsFd;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// A command line in the making.
pub struct Cmd {
    words: Vec<OsString>,
    place: PathBuf,
    environment: Option<Vec<(String, String)>>,
    directory: Option<PathBuf>,
    input: Vec<u8>,
    seconds: u64,
}

/// A command that has been started.
pub struct Running {
    line: String,
    child: Child,
    seconds: u64,
    stdout: PathBuf,
    stderr: PathBuf,
}

/// A command that has ended.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// The command line.
    pub line: String,
    /// How it ended.
    pub status: ExitStatus,
    /// What it had written when it ended.
    pub stdout: String,
    /// Likewise.
    pub stderr: String,
    stdout_file: PathBuf,
}

impl Cmd {
    /// `words` to be run; output files go below `place`.
    pub fn new<S: Into<OsString>>(place: &Path, words: impl IntoIterator<Item = S>) -> Self {
        Self {
            words: words.into_iter().map(Into::into).collect(),
            place: place.to_owned(),
            environment: None,
            directory: None,
            input: Vec::new(),
            seconds: 30,
        }
    }

    /// Puts `words` (`strace -o F`, `setpriv ...`) before the command.
    pub fn under<S: Into<OsString>>(mut self, words: impl IntoIterator<Item = S>) -> Self {
        let mut all: Vec<OsString> = words.into_iter().map(Into::into).collect();
        all.append(&mut self.words);
        self.words = all;
        self
    }

    /// Gives the command these variables and no others.
    pub fn only_env(mut self, variables: &[(&str, &str)]) -> Self {
        self.environment = Some(variables.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect());
        self
    }

    /// Runs it in a directory.
    pub fn within_directory(mut self, directory: &Path) -> Self {
        self.directory = Some(directory.to_owned());
        self
    }

    /// Gives it something to read; otherwise its stdin is /dev/null.
    pub fn input(mut self, input: impl Into<Vec<u8>>) -> Self {
        self.input = input.into();
        self
    }

    /// Changes the time-out of 30 s.
    pub fn seconds(mut self, seconds: u64) -> Self {
        self.seconds = seconds;
        self
    }

    /// The command line, for whoever starts it in another way.
    pub fn words(&self) -> &[OsString] {
        &self.words
    }

    /// Runs the command to its end.
    #[track_caller]
    pub fn run(self) -> Outcome {
        self.spawn().finish()
    }

    /// Starts the command.
    #[track_caller]
    pub fn spawn(self) -> Running {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let output = self.place.join("output");
        std::fs::create_dir_all(&output).unwrap_or_else(|error| panic!("cannot create {output:?}: {error}"));
        let stdout = output.join(format!("{}.{number}.out", std::process::id()));
        let stderr = stdout.with_extension("err");
        let create = |path: &Path| {
            File::create(path).unwrap_or_else(|error| panic!("cannot create {path:?}: {error}"))
        };
        let line = self.words.iter().map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ");
        let mut command = Command::new(&self.words[0]);
        command.args(&self.words[1..]).stdout(create(&stdout)).stderr(create(&stderr));
        if let Some(environment) = self.environment {
            command.env_clear().envs(environment);
        }
        if let Some(directory) = self.directory {
            command.current_dir(directory);
        }
        command.stdin(if self.input.is_empty() { Stdio::null() } else { Stdio::piped() });
        let mut child = command.spawn().unwrap_or_else(|error| panic!("cannot run `{line}`: {error}"));
        if let Some(mut stdin) = child.stdin.take() {
            // A command that does not read its input ends with an error of its own.
            drop(stdin.write_all(&self.input));
        }
        Running { line, child, seconds: self.seconds, stdout, stderr }
    }
}

impl Running {
    /// Pid of the command.
    pub fn pid(&self) -> i32 {
        i32::try_from(self.child.id()).unwrap_or(i32::MAX)
    }

    /// What it has written to stdout so far.
    pub fn stdout(&self) -> String {
        read(&self.stdout)
    }

    /// What it has written to stderr so far.
    pub fn stderr(&self) -> String {
        read(&self.stderr)
    }

    /// Sends it a signal.
    #[track_caller]
    pub fn signal(&self, signal: Signal) {
        let pid = nix::unistd::Pid::from_raw(self.pid());
        nix::sys::signal::kill(pid, signal)
            .unwrap_or_else(|error| panic!("cannot signal `{}`: {error}", self.line));
    }

    /// Waits for its end; a command that outlives its time-out is killed and the test fails.
    #[track_caller]
    pub fn finish(mut self) -> Outcome {
        let pidfd = podrun::sys::pidfd::open(self.pid());
        let limit = Duration::from_secs(self.seconds) * machine::slowness();
        let ended = match &pidfd {
            Ok(fd) => podrun::sys::pidfd::wait_exit(fd.as_fd(), limit).unwrap_or(false),
            Err(_) => !proc::lives(self.pid()),
        };
        if !ended {
            drop(self.child.kill());
            drop(self.child.wait());
            panic!(
                "`{}` did not end within {} s\nstdout: {}\nstderr: {}",
                self.line,
                self.seconds,
                self.stdout(),
                self.stderr()
            );
        }
        let status =
            self.child.wait().unwrap_or_else(|error| panic!("cannot wait for `{}`: {error}", self.line));
        let (stdout, stderr) = (self.stdout(), self.stderr());
        Outcome { line: self.line, status, stdout, stderr, stdout_file: self.stdout }
    }
}

fn read(path: &Path) -> String {
    String::from_utf8_lossy(&std::fs::read(path).unwrap_or_default()).into_owned()
}

/// What a person wants to see of an output in a message.
fn shortened(text: &str) -> String {
    const MOST: usize = 2000;
    let shown: String = text.chars().take(MOST).collect();
    if shown.len() < text.len() { format!("{shown}... ({} bytes)", text.len()) } else { shown }
}

impl Outcome {
    /// The exit code; 128+n for a signal.
    pub fn code(&self) -> i32 {
        self.status.code().unwrap_or_else(|| 128 + self.status.signal().unwrap_or(0))
    }

    /// Fails the test, showing the command and what it said.
    #[track_caller]
    pub fn fail(&self, why: &str) -> ! {
        let (stdout, stderr) = (shortened(&self.stdout), shortened(&self.stderr));
        panic!(
            "{why}\ncommand: {}\nended:   {}\nstdout:  {stdout}\nstderr:  {stderr}",
            self.line, self.status
        )
    }

    /// Demands exit code 0.
    #[track_caller]
    pub fn ok(self) -> Self {
        self.exits(0)
    }

    /// Demands an exit code.
    #[track_caller]
    pub fn exits(self, code: i32) -> Self {
        if self.status.signal().is_some() && code < 128 || self.code() != code {
            self.fail(&format!("exit code {} instead of {code}", self.code()));
        }
        self
    }

    /// Demands exit code 1, nothing on stdout, and an error on stderr that holds all of `texts`.
    #[track_caller]
    pub fn refused(self, texts: &[&str]) -> Self {
        let this = self.exits(1).says(texts);
        if !this.stdout.is_empty() {
            this.fail("an error with something on stdout");
        }
        this
    }

    /// Demands that stderr holds all of `texts`.
    #[track_caller]
    pub fn says(self, texts: &[&str]) -> Self {
        for text in texts {
            if !self.stderr.contains(text) {
                self.fail(&format!("stderr does not say {text:?}"));
            }
        }
        self
    }

    /// Demands that stderr is empty.
    #[track_caller]
    pub fn quietly(self) -> Self {
        if !self.stderr.is_empty() {
            self.fail("something on stderr");
        }
        self
    }

    /// Stdout as JSON.
    #[track_caller]
    pub fn json(&self) -> Value {
        match serde_json::from_str(&self.stdout) {
            Ok(value) => value,
            Err(error) => self.fail(&format!("stdout is no JSON: {error}")),
        }
    }

    /// What stdout's file holds by now: that of a container goes on after `create` has ended.
    pub fn later(&self) -> String {
        read(&self.stdout_file)
    }
}
