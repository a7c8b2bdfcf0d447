//! How many of each thing a config.json or process.json may ask for.
//!
//! Size alone bounds little: in a file of 16 MiB there is room for hundreds of thousands of mounts, devices or hooks, each
//! of them work in the kernel, memory that is nobody's limit, or a process. Every bound is far above what engines and
//! people write, and is met before anything is made. Lists that are bounded where they are read (id mappings, seccomp
//! rules, network devices) are not here.

use crate::error::{Error, Result};
use crate::model::node::find;
use serde_json::Value;

/// Mounts. Engines make some tens, pods of many volumes hundreds; the kernel has 100,000 for a whole mount namespace
/// (`fs.mount-max`), and each new one is slower than the last.
const MOUNTS: usize = 4096;
/// Options of one mount: there are fewer than a hundred different ones, and as many may be a file system's own.
const OPTIONS: usize = 512;
/// Hooks of one kind, each a process that is waited for. Engines have a handful.
const HOOKS: usize = 256;
/// Device nodes and rules. A privileged container gets all that the host has: tens of thousands with many disks.
const DEVICES: usize = 1 << 16;
/// Masked or read-only paths, each a mount. Docker masks one per processor on top of some twenty.
const PATHS: usize = 1 << 14;
/// Sysctls, files of a cgroup and block devices with a limit of their own: one write each.
const WRITES: usize = 4096;
/// Resource limits: Linux has 16.
const RLIMITS: usize = 64;
/// Capabilities of one set: Linux has 41, and there may be as many that podrun has not heard of, each a warning.
const CAPABILITIES: usize = 256;
/// Arguments, and variables: as many as fit into the 2 MiB that programs usually get for both (execve(2)), at the nine
/// bytes that an empty one takes.
const WORDS: usize = 1 << 18;
/// Supplementary groups: all that setgroups(2) takes.
const GROUPS: usize = 1 << 16;

/// What is counted in a config.json, see [`find`].
const OF_CONFIG: &[(&str, usize)] = &[
    ("mounts", MOUNTS),
    ("mounts.*.options", OPTIONS),
    ("hooks.prestart", HOOKS),
    ("hooks.createRuntime", HOOKS),
    ("hooks.createContainer", HOOKS),
    ("hooks.startContainer", HOOKS),
    ("hooks.poststart", HOOKS),
    ("hooks.poststop", HOOKS),
    ("linux.devices", DEVICES),
    ("linux.maskedPaths", PATHS),
    ("linux.readonlyPaths", PATHS),
    ("linux.sysctl", WRITES),
    ("linux.resources.devices", DEVICES),
    ("linux.resources.unified", WRITES),
    ("linux.resources.hugepageLimits", WRITES),
    ("linux.resources.rdma", WRITES),
    ("linux.resources.network.priorities", WRITES),
    ("linux.resources.blockIO.weightDevice", WRITES),
    ("linux.resources.blockIO.throttleReadBpsDevice", WRITES),
    ("linux.resources.blockIO.throttleWriteBpsDevice", WRITES),
    ("linux.resources.blockIO.throttleReadIOPSDevice", WRITES),
    ("linux.resources.blockIO.throttleWriteIOPSDevice", WRITES),
];

/// As [`OF_CONFIG`], below `process`.
const OF_PROCESS: &[(&str, usize)] = &[
    ("args", WORDS),
    ("env", WORDS),
    ("rlimits", RLIMITS),
    ("user.additionalGids", GROUPS),
    ("capabilities.bounding", CAPABILITIES),
    ("capabilities.effective", CAPABILITIES),
    ("capabilities.inheritable", CAPABILITIES),
    ("capabilities.permitted", CAPABILITIES),
    ("capabilities.ambient", CAPABILITIES),
];

/// Refuses a config.json that asks for too many of something.
///
/// # Errors
/// Names the property, how many there are and how many there may be.
pub fn check(config: &Value) -> Result<()> {
    OF_CONFIG.iter().try_for_each(|(path, most)| count(config, "", path, *most))?;
    config.get("process").map_or(Ok(()), |process| check_process(process, "process"))
}

/// Refuses a process that asks for too many of something; `place` is where it stands in the file.
///
/// # Errors
/// As [`check`].
pub fn check_process(process: &Value, place: &str) -> Result<()> {
    OF_PROCESS.iter().try_for_each(|(path, most)| count(process, place, path, *most))
}

fn count(value: &Value, place: &str, path: &str, most: usize) -> Result<()> {
    let too_many = |value: &Value| {
        let number = match value {
            Value::Array(list) => list.len(),
            Value::Object(map) => map.len(),
            _ => 0,
        };
        Some(number).filter(|number| *number > most)
    };
    let Some((field, number)) = find(value, place, path, &too_many) else { return Ok(()) };
    Err(Error::user(format!("{field}: {number} are more than the {most} that podrun takes"))
        .hint("ask for fewer: no container is known to need so many, and each costs the host something"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// A config in which `path`, from its top, has so many elements.
    fn config(path: &str, number: usize, as_map: bool) -> Value {
        let elements = if as_map {
            (0..number).map(|index| (index.to_string(), json!(0))).collect::<serde_json::Map<_, _>>().into()
        } else {
            Value::Array(vec![Value::Null; number])
        };
        path.rsplit('.').fold(elements, |below, key| match key {
            "*" => json!([{}, below]),
            key => json!({key: below}),
        })
    }

    #[test]
    fn every_bound_is_met_exactly() {
        let process = OF_PROCESS.iter().map(|(path, most)| (format!("process.{path}"), *most));
        for (path, most) in OF_CONFIG.iter().map(|(path, most)| ((*path).to_owned(), *most)).chain(process) {
            for as_map in [false, true] {
                check(&config(&path, most, as_map)).unwrap();
                let error = check(&config(&path, most + 1, as_map)).unwrap_err();
                let field = path.replace(".*", "[1]");
                let want = format!("{field}: {} are more than the {most} that podrun takes", most + 1);
                assert_eq!(error.to_string(), want);
                assert!(error.remedy().is_some(), "{want}");
            }
        }
    }

    #[test]
    fn a_process_alone_is_counted_as_well() {
        let error = check_process(&json!({"rlimits": vec![0; RLIMITS + 1]}), "").unwrap_err().to_string();
        assert_eq!(error, "rlimits: 65 are more than the 64 that podrun takes");
    }

    #[test]
    fn what_is_of_another_type_is_left_to_those_who_read_it() {
        for odd in [json!(null), json!([]), json!({"mounts": "x", "hooks": [], "linux": {"devices": 7}})] {
            check(&odd).unwrap();
        }
        check(&json!({"mounts": [1, {"options": {}}], "process": []})).unwrap();
    }
}
