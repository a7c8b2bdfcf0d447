//! The names in a file of resources. Clients that are written in Go take `CPU` for `cpu`; any other name that the
//! runtime spec has not got would have no effect, which whoever wrote it should hear.

use crate::report;
use serde_json::{Map, Value};

/// The names of linux.resources, and those below each that is an object of the spec's own.
const NAMES: &[(&str, &[&str])] = &[
    ("devices", &[]),
    (
        "memory",
        &[
            "limit",
            "reservation",
            "swap",
            "kernel",
            "kernelTCP",
            "swappiness",
            "disableOOMKiller",
            "useHierarchy",
            "checkBeforeUpdate",
        ],
    ),
    (
        "cpu",
        &["shares", "quota", "burst", "period", "realtimeRuntime", "realtimePeriod", "cpus", "mems", "idle"],
    ),
    ("pids", &["limit"]),
    (
        "blockIO",
        &[
            "weight",
            "leafWeight",
            "weightDevice",
            "throttleReadBpsDevice",
            "throttleWriteBpsDevice",
            "throttleReadIOPSDevice",
            "throttleWriteIOPSDevice",
        ],
    ),
    ("hugepageLimits", &[]),
    ("network", &["classID", "priorities"]),
    ("rdma", &[]),
    ("unified", &[]),
];

/// Gives the names the spec's case; the others are warned about. The result is `None` where nothing changed.
pub(super) fn corrected(resources: &Value) -> Option<Value> {
    let mut changed = false;
    let top: Vec<&str> = NAMES.iter().map(|(name, _)| *name).collect();
    let mut object = renamed(resources.as_object()?, "", &top, &mut changed);
    for (name, below) in NAMES.iter().filter(|(_, below)| !below.is_empty()) {
        if let Some(Value::Object(inner)) = object.get_mut(*name) {
            *inner = renamed(inner, &format!("{name}."), below, &mut changed);
        }
    }
    changed.then_some(Value::Object(object))
}

fn renamed(
    object: &Map<String, Value>,
    prefix: &str,
    known: &[&str],
    changed: &mut bool,
) -> Map<String, Value> {
    let name = |given: &String| {
        let same = known.iter().find(|name| name.eq_ignore_ascii_case(given));
        if same.is_none() {
            report::warn(&format!("linux.resources.{prefix}{given} is unknown and has no effect"));
        }
        same.map_or_else(|| given.clone(), |name| (*name).to_owned())
    };
    let pairs: Vec<(String, Value)> =
        object.iter().map(|(given, value)| (name(given), value.clone())).collect();
    *changed |= pairs.iter().any(|(name, _)| !object.contains_key(name));
    pairs.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn names_in_another_case_are_the_specs() {
        assert_eq!(corrected(&json!({"cpu": {"cpus": "1"}, "unified": {"CPU.max": "1"}})), None);
        assert_eq!(
            corrected(&json!({"CPU": {"Cpus": "1"}, "blockio": {"WEIGHT": 10}, "unified": {"A": "1"}})),
            Some(json!({"cpu": {"cpus": "1"}, "blockIO": {"weight": 10}, "unified": {"A": "1"}}))
        );
        assert_eq!(corrected(&json!([1])), None);
    }
}
