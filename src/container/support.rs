//! Which properties of config.json podrun does not support yet. They are named: a property that is parsed and then
//! ignored is a trap. (Properties that the runtime spec does not know at all must be ignored, it says.)

use crate::error::{Error, Result};
use crate::model::node::find;
use serde_json::Value;

/// Paths of unsupported properties, and what to say of them. An absent, null, empty or false value asks for nothing and
/// passes.
const UNSUPPORTED: &[(&str, &str)] = &[
    ("linux.intelRdt.enableCMT", "it is deprecated; set enableMonitoring"),
    ("linux.intelRdt.enableMBM", "it is deprecated; set enableMonitoring"),
    ("vm", ""),
    ("windows", ""),
    ("solaris", ""),
    ("zos", ""),
    ("freebsd", ""),
];

/// As [`UNSUPPORTED`], below `process`.
const UNSUPPORTED_PROCESS: &[(&str, &str)] = &[("commandLine", "it is Windows' own")];

/// Refuses what is not supported in a config.json.
///
/// # Errors
/// Names the property.
pub fn check(config: &Value) -> Result<()> {
    refuse(config, "", UNSUPPORTED)?;
    config.get("process").map_or(Ok(()), |process| check_process(process, "process"))
}

/// Refuses what is not supported in a process; `place` is where it stands in the file.
///
/// # Errors
/// Names the property.
pub fn check_process(process: &Value, place: &str) -> Result<()> {
    refuse(process, place, UNSUPPORTED_PROCESS)
}

fn refuse(value: &Value, place: &str, properties: &[(&str, &str)]) -> Result<()> {
    let is_asked = |value: &Value| (!asks_for_nothing(value)).then_some(());
    for (path, why) in properties {
        if let Some((field, ())) = find(value, place, path, &is_asked) {
            let why = if why.is_empty() { "is not supported" } else { why };
            return Err(Error::user(format!("{field}: {why}"))
                .hint("podrun refuses what it would otherwise silently ignore; remove it from the config"));
        }
    }
    Ok(())
}

fn asks_for_nothing(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::String(text) => text.is_empty(),
        Value::Array(list) => list.is_empty(),
        Value::Object(map) => map.is_empty(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn refusals_name_the_property() {
        let table = [
            (json!({"vm": {"hypervisor": {"path": "/x"}}}), "vm"),
            (json!({"freebsd": {"jail": {"host": "new"}}}), "freebsd"),
            (json!({"process": {"commandLine": "p"}}), "process.commandLine"),
        ];
        for (config, field) in table {
            let error = check(&config).unwrap_err().to_string();
            assert!(error.starts_with(&format!("{field}: ")), "{error}");
        }
    }

    #[test]
    fn empty_values_ask_for_nothing() {
        let config = json!({"vm": {}, "windows": null, "zos": [],
            "process": {"commandLine": ""}, "unknownToTheSpec": 1});
        check(&config).unwrap();
    }
}
