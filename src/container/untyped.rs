//! What the typed spec cannot tell: there, a number that was not given is 0, and a limit of 0 or the device 0:0 is something
//! else than what was meant.

use super::version;
use crate::error::{Error, Result};
use crate::model::node::find;
use serde_json::Value;

/// The first version of the runtime spec, after 1., in which a limit of 0 processes is one.
const ZERO_IS_A_LIMIT: u32 = 3;

/// Makes `pids` of `linux.resources` mean the same in every version of the runtime spec: it is gone where it limits
/// nothing. Before 1.3 a limit had to be there and was none when it was 0, which clients write; since then it may be left
/// out, and 0 is a limit. That becomes 1: the kernel lets nobody fork with either, but no process into a group of 0.
pub fn settle_pids(resources: &mut Value, version: &str) {
    let Some(resources) = resources.as_object_mut() else { return };
    let Some(pids) = resources.get_mut("pids").and_then(Value::as_object_mut) else { return };
    let is_zero = match pids.get("limit") {
        None | Some(Value::Null) => false,
        Some(limit) if limit.as_i64() == Some(0) => true,
        Some(_) => return,
    };
    if is_zero && version::minor(version).is_some_and(|minor| minor >= ZERO_IS_A_LIMIT) {
        pids.insert("limit".to_owned(), 1.into());
    } else {
        resources.remove("pids");
    }
}

/// What the runtime spec requires in a config.json, where its type would make something of what is missing.
const OF_CONFIG: &[(&str, &[&str])] = &[
    ("mounts.*.uidMappings.*", MAPPING),
    ("mounts.*.gidMappings.*", MAPPING),
    ("linux.uidMappings.*", MAPPING),
    ("linux.gidMappings.*", MAPPING),
];

/// As [`OF_CONFIG`], below `process`.
const OF_PROCESS: &[(&str, &[&str])] =
    &[("consoleSize", &["height", "width"]), ("rlimits.*", &["soft", "hard"])];

/// As [`OF_CONFIG`], below `linux.resources`.
const OF_RESOURCES: &[(&str, &[&str])] = &[
    ("devices.*", &["allow"]),
    ("blockIO.weightDevice.*", DEVICE),
    ("blockIO.throttleReadBpsDevice.*", THROTTLED),
    ("blockIO.throttleWriteBpsDevice.*", THROTTLED),
    ("blockIO.throttleReadIOPSDevice.*", THROTTLED),
    ("blockIO.throttleWriteIOPSDevice.*", THROTTLED),
    ("hugepageLimits.*", &["limit"]),
    ("network.priorities.*", &["priority"]),
];

const MAPPING: &[&str] = &["containerID", "hostID", "size"];
const DEVICE: &[&str] = &["major", "minor"];
const THROTTLED: &[&str] = &["major", "minor", "rate"];

/// Refuses a config.json that leaves out what the runtime spec requires, and would get 0 or false for.
///
/// # Errors
/// Names what is missing.
pub fn check(config: &Value) -> Result<()> {
    require(config, "", OF_CONFIG)?;
    config.get("process").map_or(Ok(()), |process| check_process(process, "process"))?;
    config.pointer("/linux/resources").map_or(Ok(()), check_resources)?;
    check_devices(config)
}

/// As [`check`], for a process; `place` is where it stands in the file.
///
/// # Errors
/// As [`check`].
pub fn check_process(process: &Value, place: &str) -> Result<()> {
    require(process, place, OF_PROCESS)
}

/// As [`check`], for `linux.resources`.
///
/// # Errors
/// As [`check`].
pub fn check_resources(resources: &Value) -> Result<()> {
    require(resources, "linux.resources", OF_RESOURCES)
}

fn require(value: &Value, place: &str, required: &[(&str, &[&'static str])]) -> Result<()> {
    for (path, names) in required {
        let lacking =
            |value: &Value| names.iter().copied().find(|name| value.is_object() && lacks(value, name));
        if let Some((field, name)) = find(value, place, path, &lacking) {
            return Err(Error::user(format!("{field}.{name}: is missing"))
                .hint("give a value: the runtime spec requires one, and has no default for it"));
        }
    }
    Ok(())
}

/// Go writes null for what is not set.
fn lacks(object: &Value, name: &str) -> bool {
    object.get(name).is_none_or(Value::is_null)
}

/// The numbers of device files that have some: pipes have none.
fn check_devices(config: &Value) -> Result<()> {
    let lacking = |device: &Value| {
        let kind = device.get("type").and_then(Value::as_str)?;
        let name = DEVICE.iter().copied().find(|name| lacks(device, name))?;
        ["c", "u", "b"].contains(&kind).then(|| (kind.to_owned(), name))
    };
    let Some((field, (kind, name))) = find(config, "", "linux.devices.*", &lacking) else { return Ok(()) };
    Err(Error::user(format!("{field}.{name}: is missing"))
        .hint(format!("give the numbers of the device, as ls -l shows them: it is of type {kind:?}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn devices_with_numbers_have_both() {
        let checked = |device: Value| check_devices(&json!({"linux": {"devices": [{"type": "p"}, device]}}));
        for kind in ["c", "b", "u"] {
            checked(json!({"type": kind, "major": 0, "minor": 0})).unwrap();
            for (device, name) in [
                (json!({"type": kind}), "major"),
                (json!({"type": kind, "minor": 1}), "major"),
                (json!({"type": kind, "major": 1, "minor": null}), "minor"),
            ] {
                let error = checked(device).unwrap_err();
                assert_eq!(error.to_string(), format!("linux.devices[1].{name}: is missing"));
                assert!(error.remedy().is_some());
            }
        }
    }

    #[test]
    fn what_the_spec_requires_is_not_made_up() {
        let tables = [("", OF_CONFIG), ("process.", OF_PROCESS), ("linux.resources.", OF_RESOURCES)];
        for (above, path, names) in tables
            .iter()
            .flat_map(|(above, table)| table.iter().map(move |(path, names)| (above, path, names)))
        {
            let whole = |element: Value| {
                format!("{above}{path}").rsplit('.').fold(element, |below, key| match key {
                    "*" => json!([below]),
                    key => json!({key: below}),
                })
            };
            let element: Value = names
                .iter()
                .map(|name| ((*name).to_owned(), json!(0)))
                .collect::<serde_json::Map<_, _>>()
                .into();
            check(&whole(element.clone())).unwrap();
            for odd in [json!(null), json!(7), json!([])] {
                check(&whole(odd)).unwrap();
            }
            for name in *names {
                let field = format!("{above}{}", path.replace(".*", "[0]"));
                let mut without = element.clone();
                without.as_object_mut().unwrap().remove(*name);
                let mut null = element.clone();
                null[*name] = Value::Null;
                for lacking in [without, null] {
                    let error = check(&whole(lacking)).unwrap_err();
                    assert_eq!(error.to_string(), format!("{field}.{name}: is missing"));
                    assert!(error.remedy().is_some());
                }
            }
        }
    }

    #[test]
    fn a_limit_of_no_processes_is_one_since_1_3() {
        let settled = |pids: Value, version: &str| {
            let mut resources = json!({"pids": pids});
            settle_pids(&mut resources, version);
            resources.get("pids").map(|pids| pids["limit"].clone())
        };
        for version in ["1.3.0", "1.3.1-dev", "1.10.0"] {
            assert_eq!(settled(json!({"limit": 0}), version), Some(json!(1)), "{version}");
        }
        for version in ["1.0.2", "1.2.1", "1.2.1-rc.3", ""] {
            assert_eq!(settled(json!({"limit": 0}), version), None, "{version}");
        }
        for version in ["1.0.2", "1.3.0"] {
            assert_eq!(settled(json!({}), version), None);
            assert_eq!(settled(json!({"limit": null}), version), None);
            for limit in [json!(7), json!(-1), json!(-2), json!("x")] {
                assert_eq!(settled(json!({"limit": limit}), version), Some(limit));
            }
        }
    }
}
