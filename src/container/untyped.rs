//! What the typed spec cannot tell: there, a number that was not given is 0.

use super::version;
use crate::error::{Error, Result};
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

/// Insists on the numbers of the device files in a config.json that have some.
///
/// # Errors
/// Names the number that is missing.
pub fn check_devices(config: &Value) -> Result<()> {
    let devices = config.pointer("/linux/devices").and_then(Value::as_array).into_iter().flatten();
    for (index, device) in devices.enumerate() {
        let kind = device.get("type").and_then(Value::as_str).unwrap_or_default();
        let missing = |name: &&&str| device.get(**name).is_none_or(Value::is_null);
        if let (true, Some(name)) = (["c", "u", "b"].contains(&kind), ["major", "minor"].iter().find(missing))
        {
            return Err(Error::user(format!("linux.devices[{index}].{name}: is missing")).hint(format!(
                "give the numbers of the device, as ls -l shows them: it is of type {kind:?}"
            )));
        }
    }
    Ok(())
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
