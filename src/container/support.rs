//! Which properties of config.json podrun does not support yet, and which it insists on although their type has a
//! default. They are named: a property that is parsed and then ignored is a trap, and so is one that is made up.
//! (Properties that the runtime spec does not know at all must be ignored, it says.)

use crate::error::{Error, Result};
use crate::model::node::Node;
use serde_json::Value;

/// Paths of unsupported properties, `*` standing for every element of a list. An absent, null, empty or false value
/// asks for nothing and passes.
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

/// Refuses what is not supported in a config.json, or is missing there.
///
/// # Errors
/// Names the property.
pub fn check(config: &Value) -> Result<()> {
    for (path, why) in UNSUPPORTED {
        walk(config, path, "", why)?;
    }
    if let Some(resources) = config.pointer("/linux/resources") {
        check_resources(resources)?;
    }
    if let Some(process) = config.get("process") {
        check_process(process, "process.")?;
    }
    Ok(())
}

/// Refuses resources, those of `update` too, that leave out what the spec requires and only their text can tell: the
/// limit of huge pages would be 0, which is a limit, too.
///
/// # Errors
/// Names the property.
pub fn check_resources(resources: &Value) -> Result<()> {
    let limit = |limit: &Node<'_>| match limit.require("limit") {
        Ok(_) => Ok(()),
        Err(error) => Err(error.hint("give a number of bytes; 0 allows no huge page of that size")),
    };
    Node::new("linux.resources", resources).each("hugepageLimits", limit).map(drop)
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
            (json!({"freebsd": {"jail": {"host": "new"}}}), "freebsd"),
            (json!({"process": {"commandLine": "p"}}), "process.commandLine"),
        ];
        for (config, field) in table {
            let error = check(&config).unwrap_err().to_string();
            assert!(error.starts_with(&format!("{field}: ")), "{error}");
        }
    }

    #[test]
    fn a_limit_of_huge_pages_is_not_made_up() {
        let all = |limits: Value| json!({"linux": {"resources": {"hugepageLimits": limits}}});
        for limits in [json!(null), json!([]), json!([{"pageSize": "2MB", "limit": 0}])] {
            check(&all(limits)).unwrap();
        }
        for lacking in [json!({"pageSize": "2MB"}), json!({"pageSize": "2MB", "limit": null})] {
            let error = check(&all(json!([{"pageSize": "1GB", "limit": 1}, lacking]))).unwrap_err();
            assert_eq!(error.to_string(), "linux.resources.hugepageLimits[1].limit: is missing");
            assert!(error.remedy().is_some());
        }
    }

    #[test]
    fn empty_values_ask_for_nothing() {
        let config = json!({"vm": {}, "windows": null, "zos": [],
            "process": {"commandLine": ""}, "unknownToTheSpec": 1});
        check(&config).unwrap();
    }
}
