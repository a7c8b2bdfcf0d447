//! The test function's process.

use super::leaks::Corner;
use super::{Bundle, Case, Runtime, bundle, machine};
use std::cell::Cell;
use std::path::{Path, PathBuf};

/// Exit code of a body whose test was skipped; the reason is the last line of its stdout.
pub const SKIPPED: i32 = 77;
/// What stands before the reason.
pub const SKIP_MARK: &str = "SKIP: ";

/// What stands before a line that the runner prints even of a test that passes.
pub const NOTE_MARK: &str = "NOTE: ";

/// Name of the variable that tells the body its private directory.
pub const PLACE: &str = "PODRUN_TEST_PLACE";

/// What a test function is given: private directories and the program under test.
pub struct Test {
    place: PathBuf,
    bundles: Cell<u32>,
}

impl Test {
    /// The test's private directory, a short path that it may fill as it likes.
    pub fn place(&self) -> &Path {
        &self.place
    }

    /// What of the test's doing is there now, beside its own process: the leak check before the end.
    pub fn corner(&self) -> Corner {
        Corner::of_body(&self.place)
    }

    /// A path in the private directory.
    pub fn path(&self, name: &str) -> PathBuf {
        self.place.join(name)
    }

    /// A new directory in the private directory.
    #[track_caller]
    pub fn directory(&self, name: &str) -> PathBuf {
        let path = self.path(name);
        std::fs::create_dir_all(&path).unwrap_or_else(|error| panic!("cannot create {path:?}: {error}"));
        path
    }

    /// A new file in the private directory.
    #[track_caller]
    pub fn file(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        std::fs::write(&path, content).unwrap_or_else(|error| panic!("cannot write {path:?}: {error}"));
        path
    }

    /// The program under test with state and data in the private directory.
    pub fn podrun(&self) -> Runtime {
        Runtime::podrun(&self.place)
    }

    /// Another runtime of the machine with its state in the private directory; skips the test where it is missing.
    pub fn peer(&self, program: &str) -> Runtime {
        match machine::find_program(program) {
            Some(binary) => Runtime::peer(program, binary, &self.place),
            None => skip(&format!("{program} is not installed")),
        }
    }

    /// A new bundle that prints the probe's facts.
    #[track_caller]
    pub fn bundle(&self) -> Bundle {
        self.bundle_of(bundle::Rootfs::Probe)
    }

    /// A new bundle with a shell in it: runs `script`.
    #[track_caller]
    pub fn shell(&self, script: &str) -> Bundle {
        self.bundle_of(bundle::Rootfs::Busybox).args(&["/bin/sh", "-c", script])
    }

    #[track_caller]
    fn bundle_of(&self, rootfs: bundle::Rootfs) -> Bundle {
        let number = self.bundles.get();
        self.bundles.set(number + 1);
        Bundle::make(&self.place.join(format!("b{number}")), rootfs)
    }
}

/// Tells a person something about a test that passes.
pub fn note(text: &str) {
    println!("{NOTE_MARK}{text}");
}

/// Ends the test here as skipped: the machine lacks what it is about.
pub fn skip(reason: &str) -> ! {
    println!("{SKIP_MARK}{reason}");
    std::process::exit(SKIPPED)
}

/// Runs the test function in this process; returning means that it passed.
pub fn run(case: &Case) {
    let place = std::env::var_os(PLACE).map(PathBuf::from).expect("the warden names the place");
    let test = Test { place, bundles: Cell::new(0) };
    (case.run)(&test);
}
