//! A process.json for `exec --process`.
#![no_main]

use libfuzzer_sys::fuzz_target;
use podrun::container::config;
use podrun::container::process::{self, Surroundings};
use podrun::report;

fuzz_target!(|text: &str| {
    if let (Ok((read, attributes)), _) = report::collect(|| config::parse_process(text)) {
        drop(process::plan(&read, Surroundings { attributes, ..Surroundings::default() }));
    }
});
