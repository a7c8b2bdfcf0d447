//! A config.json of anybody's: read, checked and planned as far as that asks nothing of the machine.
#![no_main]

use libfuzzer_sys::fuzz_target;
use podrun::container::config::{self, Config};
use podrun::container::mounts::plan as mounts;
use podrun::container::process::{self, Surroundings};
use podrun::report;
use podrun::seccomp;
use std::path::Path;

fuzz_target!(|text: &str| {
    let (read, _) = report::collect(|| config::parse(text.to_owned()));
    let Ok(read) = read else { return };
    // What was understood can be written down, and says the same when it is read again.
    if let Ok(written) = Config::of(read.spec.clone(), read.seccomp.clone()) {
        let (again, _) = report::collect(|| config::parse(written.text.clone()));
        let again = again.unwrap_or_else(|error| panic!("{error}\n{}", written.text));
        assert_eq!(again.spec, read.spec, "{}", written.text);
    }
    if let Some(profile) = &read.seccomp {
        drop(seccomp::check(profile));
    }
    if let Some(process) = read.spec.process() {
        let surroundings = Surroundings { attributes: read.attributes.clone(), ..Surroundings::default() };
        drop(process::plan(process, surroundings));
    }
    let places = mounts::Places { bundle: Path::new("/bundle"), root: Path::new("/bundle/rootfs") };
    for mount in read.spec.mounts().iter().flatten() {
        drop(mounts::mount(places, mount));
    }
    let linux = read.spec.linux().as_ref();
    drop(mounts::devices(linux.and_then(|linux| linux.devices().as_deref()).unwrap_or_default()));
});
