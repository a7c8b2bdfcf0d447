//! Where the runtime spec wants an object, a list is refused.
//!
//! serde takes a list for a struct, its values for the fields in their order. Whoever reads by name beside it (bounds,
//! properties that are not supported, attributes) finds nothing in a list, and its checks would be passed by: a process
//! given as a list would lose its AppArmor profile. So this comes before anything else reads the JSON.

use crate::error::{Error, Result};
use crate::model::node::find;
use serde_json::Value;

/// The objects of a config.json, `*` standing for every element of a list and every value of a map. Whatever is above an
/// object stands before it. `linux.seccomp` is read by hand, [`crate::seccomp`].
const OF_CONFIG: &[&str] = &[
    "root",
    "mounts.*",
    "mounts.*.uidMappings.*",
    "mounts.*.gidMappings.*",
    "hooks",
    "hooks.prestart.*",
    "hooks.createRuntime.*",
    "hooks.createContainer.*",
    "hooks.startContainer.*",
    "hooks.poststart.*",
    "hooks.poststop.*",
    "annotations",
    "vm",
    "windows",
    "solaris",
    "zos",
    "freebsd",
    "linux",
    "linux.uidMappings.*",
    "linux.gidMappings.*",
    "linux.sysctl",
    "linux.namespaces.*",
    "linux.timeOffsets",
    "linux.timeOffsets.*",
    "linux.devices.*",
    "linux.netDevices",
    "linux.netDevices.*",
    "linux.seccomp",
    "linux.intelRdt",
    "linux.personality",
    "linux.memoryPolicy",
    "linux.resources",
];

/// As [`OF_CONFIG`], below `process`.
const OF_PROCESS: &[&str] =
    &["consoleSize", "user", "capabilities", "rlimits.*", "ioPriority", "scheduler", "execCPUAffinity"];

/// As [`OF_CONFIG`], below `linux.resources`.
const OF_RESOURCES: &[&str] = &[
    "devices.*",
    "memory",
    "cpu",
    "pids",
    "blockIO",
    "blockIO.weightDevice.*",
    "blockIO.throttleReadBpsDevice.*",
    "blockIO.throttleWriteBpsDevice.*",
    "blockIO.throttleReadIOPSDevice.*",
    "blockIO.throttleWriteIOPSDevice.*",
    "hugepageLimits.*",
    "network",
    "network.priorities.*",
    "rdma",
    "rdma.*",
    "unified",
];

/// Refuses a config.json with a list in the place of an object.
///
/// # Errors
/// Names the property.
pub fn check(config: &Value) -> Result<()> {
    objects(config, "", OF_CONFIG)?;
    config.get("process").map_or(Ok(()), |process| check_process(process, "process"))?;
    let resources = config.get("linux").and_then(|linux| linux.get("resources"));
    resources.map_or(Ok(()), check_resources)
}

/// Refuses a process with a list in the place of an object; `place` is where it stands in the file.
///
/// # Errors
/// As [`check`].
pub fn check_process(process: &Value, place: &str) -> Result<()> {
    objects(process, place, OF_PROCESS)
}

/// Refuses `linux.resources` with a list in the place of an object.
///
/// # Errors
/// As [`check`].
pub fn check_resources(resources: &Value) -> Result<()> {
    objects(resources, "linux.resources", OF_RESOURCES)
}

fn objects(value: &Value, place: &str, paths: &[&str]) -> Result<()> {
    let is_list = |value: &Value| value.is_array().then_some(());
    let found = [""].iter().chain(paths).find_map(|path| find(value, place, path, &is_list));
    let Some((field, ())) = found else { return Ok(()) };
    let field = if field.is_empty() { "the whole" } else { &field };
    Err(Error::user(format!("{field}: is a list, and an object is wanted"))
        .hint("write {\"name\": value, ...}, with the names that the runtime spec has"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::container::config;
    use serde_json::json;

    /// A config.json with every object that the runtime spec 1.3 has for Linux.
    fn sample() -> Value {
        let mappings = json!([{"containerID": 0, "hostID": 1000, "size": 10}]);
        let hooks = json!([{"path": "/bin/true", "args": ["true"], "env": ["A=1"], "timeout": 5}]);
        json!({
            "ociVersion": "1.3.0",
            "root": {"path": "rootfs", "readonly": true},
            "hostname": "h",
            "domainname": "d",
            "annotations": {"a": "b"},
            "mounts": [
                {"destination": "/proc", "type": "proc", "source": "proc", "options": ["nosuid"]},
                {"destination": "/x", "source": "/x", "options": ["bind"], "uidMappings": mappings, "gidMappings": mappings}
            ],
            "hooks": {"prestart": hooks, "createRuntime": hooks, "createContainer": hooks, "startContainer": hooks,
                "poststart": hooks, "poststop": hooks},
            "process": process(),
            "linux": {
                "uidMappings": mappings,
                "gidMappings": mappings,
                "sysctl": {"net.ipv4.ip_forward": "1"},
                "resources": resources(),
                "cgroupsPath": "/a",
                "namespaces": [{"type": "mount"}, {"type": "network", "path": "/proc/1/ns/net"}],
                "timeOffsets": {"monotonic": {"secs": 1, "nanosecs": 2}},
                "devices": [{"path": "/dev/x", "type": "c", "major": 1, "minor": 3, "fileMode": 438, "uid": 0, "gid": 0}],
                "netDevices": {"eth0": {"name": "e"}},
                "rootfsPropagation": "slave",
                "maskedPaths": ["/proc/kcore"],
                "readonlyPaths": ["/proc/sys"],
                "intelRdt": {"closID": "c", "schemata": ["L3:0=f"], "enableMonitoring": true},
                "personality": {"domain": "LINUX"},
                "memoryPolicy": {"mode": "MPOL_DEFAULT"},
                "seccomp": {"defaultAction": "SCMP_ACT_ALLOW"}
            }
        })
    }

    fn process() -> Value {
        json!({
            "terminal": true,
            "consoleSize": {"height": 1, "width": 2},
            "user": {"uid": 0, "gid": 0, "umask": 18, "additionalGids": [1]},
            "args": ["sh"],
            "env": ["A=1"],
            "cwd": "/",
            "capabilities": {"bounding": ["CAP_CHOWN"], "effective": [], "permitted": [], "inheritable": [], "ambient": []},
            "rlimits": [{"type": "RLIMIT_NOFILE", "soft": 1, "hard": 2}],
            "noNewPrivileges": true,
            "oomScoreAdj": 1,
            "ioPriority": {"class": "IOPRIO_CLASS_BE", "priority": 1},
            "scheduler": {"policy": "SCHED_OTHER", "nice": 1, "flags": []},
            "execCPUAffinity": {"initial": "0", "final": "0"}
        })
    }

    fn resources() -> Value {
        let weights = json!([{"major": 8, "minor": 0, "weight": 10, "leafWeight": 10}]);
        let rates = json!([{"major": 8, "minor": 0, "rate": 10}]);
        json!({
            "devices": [{"allow": false, "access": "rwm"}, {"allow": true, "type": "c", "major": 1, "minor": 3, "access": "r"}],
            "memory": {"limit": 80_000_000, "swap": -1, "swappiness": 10, "checkBeforeUpdate": true},
            "cpu": {"shares": 10, "quota": 10_000, "period": 100_000, "cpus": "0", "mems": "0", "idle": 0},
            "pids": {"limit": 10},
            "blockIO": {"weight": 10, "weightDevice": weights, "throttleReadBpsDevice": rates,
                "throttleWriteBpsDevice": rates, "throttleReadIOPSDevice": rates, "throttleWriteIOPSDevice": rates},
            "hugepageLimits": [{"pageSize": "2MB", "limit": 1}],
            "network": {"classID": 1, "priorities": [{"name": "eth0", "priority": 1}]},
            "rdma": {"mlx5_0": {"hcaHandles": 1, "hcaObjects": 2}},
            "unified": {"memory.high": "1"}
        })
    }

    /// The pointers of all objects in a value.
    fn pointers(value: &Value, pointer: &str) -> Vec<String> {
        let below: Vec<(String, &Value)> = match value {
            Value::Object(map) => map.iter().map(|(key, value)| (key.clone(), value)).collect(),
            Value::Array(list) => {
                list.iter().enumerate().map(|(index, value)| (index.to_string(), value)).collect()
            }
            _ => Vec::new(),
        };
        let own = value.is_object().then(|| pointer.to_owned());
        let deeper = below.iter().flat_map(|(key, value)| pointers(value, &format!("{pointer}/{key}")));
        own.into_iter().chain(deeper).collect()
    }

    /// The same with the object at `pointer` replaced by the list of its values.
    fn flattened(value: &Value, pointer: &str) -> Value {
        let mut value = value.clone();
        let object = value.pointer_mut(pointer).unwrap();
        *object = object.as_object().unwrap().values().cloned().collect::<Vec<_>>().into();
        value
    }

    #[test]
    fn no_object_of_the_spec_may_be_a_list() {
        let sample = sample();
        config::parse(sample.to_string()).unwrap();
        let pointers = pointers(&sample, "");
        assert!(pointers.len() > 40, "{pointers:?}");
        for pointer in pointers {
            let error = config::parse(flattened(&sample, &pointer).to_string()).unwrap_err();
            assert!(error.to_string().ends_with("is a list, and an object is wanted"), "{pointer}: {error}");
            let last = pointer.rsplit('/').find(|part| part.parse::<usize>().is_err()).unwrap();
            assert!(error.to_string().contains(last), "{pointer}: {error}");
            assert!(error.remedy().is_some());
        }
    }

    #[test]
    fn a_process_alone_and_resources_alone_are_checked() {
        for pointer in pointers(&process(), "") {
            let error = config::parse_process(&flattened(&process(), &pointer).to_string()).unwrap_err();
            assert!(error.to_string().ends_with("is a list, and an object is wanted"), "{pointer}: {error}");
        }
        for pointer in pointers(&resources(), "") {
            let error = check_resources(&flattened(&resources(), &pointer)).unwrap_err().to_string();
            assert!(error.starts_with("linux.resources"), "{pointer}: {error}");
        }
    }

    #[test]
    fn the_field_is_named() {
        let said = |config: Value| check(&config).unwrap_err().to_string();
        let wanted = |field: &str| format!("{field}: is a list, and an object is wanted");
        assert_eq!(said(json!([])), wanted("the whole"));
        assert_eq!(said(json!({"process": {"user": [5, 6]}})), wanted("process.user"));
        assert_eq!(said(json!({"process": []})), wanted("process"));
        assert_eq!(said(json!({"process": {"rlimits": [{}, []]}})), wanted("process.rlimits[1]"));
        assert_eq!(said(json!({"linux": {"netDevices": {"v0": ["e"]}}})), wanted("linux.netDevices[\"v0\"]"));
        assert_eq!(said(json!({"linux": {"resources": {"memory": []}}})), wanted("linux.resources.memory"));
        assert_eq!(check_process(&json!({"user": []}), "").unwrap_err().to_string(), wanted("user"));
    }

    #[test]
    fn what_the_spec_does_not_know_and_what_is_no_list_are_others_concern() {
        check(&json!({"x": [[1]], "linux": {"x": [], "seccomp": null}, "mounts": "x", "hooks": null}))
            .unwrap();
    }
}
