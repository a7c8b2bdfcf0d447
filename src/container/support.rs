//! Which properties of config.json podrun does not support yet. They are refused by name: a property that is parsed
//! and then ignored is a trap. (Properties that the runtime spec does not know at all must be ignored, it says.)

use crate::error::{Error, Result};
use serde_json::Value;

/// Paths of unsupported properties, `*` standing for every element of a list. An absent, null, empty or false value
/// asks for nothing and passes.
const UNSUPPORTED: &[(&str, &str)] = &[
    ("mounts.*.uidMappings", "idmapped mounts are not supported"),
    ("mounts.*.gidMappings", "idmapped mounts are not supported"),
    ("linux.uidMappings", "user namespaces are not supported"),
    ("linux.gidMappings", "user namespaces are not supported"),
    ("linux.timeOffsets", "time namespaces are not supported"),
    ("linux.netDevices", ""),
    ("vm", ""),
    ("windows", ""),
    ("solaris", ""),
    ("zos", ""),
];

/// As [`UNSUPPORTED`], below `process`.
const UNSUPPORTED_PROCESS: &[(&str, &str)] = &[("commandLine", "it is Windows' own")];

/// Namespace types that are not supported yet.
const UNSUPPORTED_NAMESPACES: &[&str] = &["user", "time"];

/// Refuses what is not supported in a config.json.
///
/// # Errors
/// Names the property.
pub fn check(config: &Value) -> Result<()> {
    for (path, why) in UNSUPPORTED {
        walk(config, path, "", why)?;
    }
    if let Some(process) = config.get("process") {
        check_process(process, "process.")?;
    }
    let namespaces = config.pointer("/linux/namespaces").and_then(Value::as_array);
    for (index, namespace) in namespaces.into_iter().flatten().enumerate() {
        if let Some(kind) = namespace.get("type").and_then(Value::as_str)
            && UNSUPPORTED_NAMESPACES.contains(&kind)
        {
            return Err(refuse(
                &format!("linux.namespaces[{index}]"),
                &format!("a {kind} namespace is not supported"),
            ));
        }
    }
    Ok(())
}

/// Refuses what is not supported in a process; `prefix` is its place in the file.
///
/// # Errors
/// Names the property.
pub fn check_process(process: &Value, prefix: &str) -> Result<()> {
    UNSUPPORTED_PROCESS.iter().try_for_each(|(path, why)| walk(process, path, prefix, why))
}

fn walk(value: &Value, path: &str, seen: &str, why: &str) -> Result<()> {
    let (first, rest) = path.split_once('.').map_or((path, None), |(first, rest)| (first, Some(rest)));
    if first == "*" {
        let elements = value.as_array().into_iter().flatten().enumerate();
        for (index, element) in elements {
            walk(
                element,
                rest.unwrap_or_default(),
                &format!("{}[{index}].", seen.trim_end_matches('.')),
                why,
            )?;
        }
        return Ok(());
    }
    let Some(next) = value.get(first) else { return Ok(()) };
    match rest {
        Some(rest) => walk(next, rest, &format!("{seen}{first}."), why),
        None if asks_for_nothing(next) => Ok(()),
        None => Err(refuse(&format!("{seen}{first}"), why)),
    }
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

fn refuse(field: &str, why: &str) -> Error {
    let text = if why.is_empty() { "is not supported".to_owned() } else { why.to_owned() };
    Error::user(format!("{field}: {text}"))
        .hint("podrun refuses what it would otherwise silently ignore; remove it from the config")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn refusals_name_the_property() {
        let table = [
            (json!({"vm": {"hypervisor": {"path": "/x"}}}), "vm"),
            (json!({"mounts": [{}, {"uidMappings": [{}]}]}), "mounts[1].uidMappings"),
            (json!({"linux": {"namespaces": [{"type": "pid"}, {"type": "user"}]}}), "linux.namespaces[1]"),
            (json!({"process": {"commandLine": "p"}}), "process.commandLine"),
            (json!({"linux": {"timeOffsets": {"boottime": {}}}}), "linux.timeOffsets"),
        ];
        for (config, field) in table {
            let error = check(&config).unwrap_err().to_string();
            assert!(error.starts_with(&format!("{field}: ")), "{error}");
        }
    }

    #[test]
    fn empty_values_ask_for_nothing() {
        let config = json!({"vm": {}, "linux": {"uidMappings": null, "netDevices": {}},
            "process": {"commandLine": ""}, "unknownToTheSpec": 1});
        check(&config).unwrap();
    }
}
