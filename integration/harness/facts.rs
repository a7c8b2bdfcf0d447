//! Reading the probe's facts.

use super::proc;
use serde_json::Value;

/// The last mount at `target`, which is the one on top; fails the test when there is none.
#[track_caller]
pub fn mount<'a>(facts: &'a Value, target: &str) -> &'a Value {
    let mounts = facts["mounts"].as_array().expect("facts have mounts");
    let found = mounts.iter().rfind(|mount| mount["target"] == target);
    found.unwrap_or_else(|| panic!("nothing is mounted at {target}: {mounts:#?}"))
}

/// Whether anything is mounted at `target`.
pub fn is_mounted(facts: &Value, target: &str) -> bool {
    facts["mounts"].as_array().is_some_and(|mounts| mounts.iter().any(|mount| mount["target"] == target))
}

/// Whether the per-mount options of `target` hold all of `options`.
#[track_caller]
pub fn assert_options(facts: &Value, target: &str, options: &[&str]) {
    let mount = mount(facts, target);
    let have = strings(&mount["options"]);
    for option in options {
        assert!(have.iter().any(|o| o == option), "{target} lacks {option}: {mount}");
    }
}

/// An array of strings.
#[track_caller]
pub fn strings(value: &Value) -> Vec<String> {
    match serde_json::from_value(value.clone()) {
        Ok(strings) => strings,
        Err(_) => panic!("no array of strings: {value}"),
    }
}

/// Inode number of a namespace in the facts.
#[track_caller]
pub fn namespace(facts: &Value, kind: &str) -> u64 {
    let text = facts["namespaces"][kind].as_str().unwrap_or_default();
    let number = text.rsplit_once('[').and_then(|(_, rest)| rest.trim_end_matches(']').parse().ok());
    number.unwrap_or_else(|| panic!("no {kind} namespace in {}", facts["namespaces"]))
}

/// Whether the container has the host's namespace.
#[track_caller]
pub fn shares_with_host(facts: &Value, kind: &str) -> bool {
    namespace(facts, kind) == proc::namespace("self", kind)
}

/// A capability set as a bit mask.
#[track_caller]
pub fn capabilities(facts: &Value, set: &str) -> u64 {
    let text = facts["caps"][set].as_str().unwrap_or_default();
    u64::from_str_radix(text, 16).unwrap_or_else(|_| panic!("no set {set} in {}", facts["caps"]))
}

/// The entry of a directory listing such as `dev`.
#[track_caller]
pub fn entry<'a>(listing: &'a Value, name: &str) -> &'a Value {
    let found = listing.as_array().and_then(|all| all.iter().find(|entry| entry["name"] == name));
    found.unwrap_or_else(|| panic!("no {name} in {listing}"))
}
