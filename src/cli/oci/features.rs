//! `features`: what podrun can do, as the runtime spec's features.md has it. Nothing is claimed that a config.json
//! could not use; tests hold the lists against the code that reads them.

use crate::cli::{SPEC_VERSION, output};
use crate::container::attributes::{MEMORY_FLAGS, MEMORY_MODES};
use crate::container::hooks::Stage;
use crate::container::mounts::options::names;
use crate::error::Result;
use crate::sys::seccomp::{self, LOG, NEW_LISTENER, SPEC_ALLOW, WAIT_KILLABLE_RECV};
use serde_json::{Value, json};

/// Print as JSON what podrun supports
#[derive(Debug, PartialEq, clap::Args)]
#[command(after_help = "Example:\n  podrun features")]
pub struct FeaturesArgs {}

impl FeaturesArgs {
    /// Prints the features.
    ///
    /// # Errors
    /// When stdout cannot be written.
    pub fn run(&self) -> Result<i32> {
        output::json(&features())?;
        Ok(0)
    }
}

const NAMESPACES: &[&str] = &["cgroup", "ipc", "mount", "network", "pid", "time", "user", "uts"];
const SECCOMP_ACTIONS: &[&str] = &[
    "SCMP_ACT_ALLOW",
    "SCMP_ACT_ERRNO",
    "SCMP_ACT_KILL",
    "SCMP_ACT_KILL_PROCESS",
    "SCMP_ACT_KILL_THREAD",
    "SCMP_ACT_LOG",
    "SCMP_ACT_NOTIFY",
    "SCMP_ACT_TRACE",
    "SCMP_ACT_TRAP",
];
const SECCOMP_OPERATORS: &[&str] = &[
    "SCMP_CMP_EQ",
    "SCMP_CMP_GE",
    "SCMP_CMP_GT",
    "SCMP_CMP_LE",
    "SCMP_CMP_LT",
    "SCMP_CMP_MASKED_EQ",
    "SCMP_CMP_NE",
];
const SECCOMP_ARCHITECTURES: &[&str] = &[
    "SCMP_ARCH_AARCH64",
    "SCMP_ARCH_ARM",
    "SCMP_ARCH_MIPS",
    "SCMP_ARCH_MIPS64",
    "SCMP_ARCH_MIPS64N32",
    "SCMP_ARCH_MIPSEL",
    "SCMP_ARCH_MIPSEL64",
    "SCMP_ARCH_MIPSEL64N32",
    "SCMP_ARCH_PPC",
    "SCMP_ARCH_PPC64",
    "SCMP_ARCH_PPC64LE",
    "SCMP_ARCH_RISCV64",
    "SCMP_ARCH_S390",
    "SCMP_ARCH_S390X",
    "SCMP_ARCH_X32",
    "SCMP_ARCH_X86",
    "SCMP_ARCH_X86_64",
];
/// With the bits that the kernel must know.
const SECCOMP_FLAGS: &[(&str, u32)] = &[
    ("SECCOMP_FILTER_FLAG_TSYNC", 0),
    ("SECCOMP_FILTER_FLAG_SPEC_ALLOW", SPEC_ALLOW),
    ("SECCOMP_FILTER_FLAG_LOG", LOG),
    // The kernel takes it for a filter with a listener only.
    ("SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV", WAIT_KILLABLE_RECV | NEW_LISTENER),
];

fn features() -> Value {
    let mut capabilities: Vec<String> = caps::all().iter().map(ToString::to_string).collect();
    capabilities.sort_unstable();
    let mut annotations = json!({"org.opencontainers.runc.checkpoint.enabled": "false"});
    if let Ok(version) = libseccomp::ScmpVersion::current() {
        annotations["io.github.seccomp.libseccomp.version"] = version.to_string().into();
    }
    let supported = SECCOMP_FLAGS.iter().filter(|(_, bits)| seccomp::knows_flags(*bits));
    let supported: Vec<_> = supported.map(|(name, _)| *name).collect();
    json!({
        "ociVersionMin": "1.0.0",
        "ociVersionMax": SPEC_VERSION,
        "hooks": Stage::ALL.map(Stage::name),
        "mountOptions": names(),
        "linux": {
            "namespaces": NAMESPACES,
            "capabilities": capabilities,
            "cgroup": {"v1": true, "v2": true, "systemd": false, "systemdUser": false, "rdma": true},
            "seccomp": {
                "enabled": true,
                "actions": SECCOMP_ACTIONS,
                "operators": SECCOMP_OPERATORS,
                "archs": SECCOMP_ARCHITECTURES,
                "knownFlags": SECCOMP_FLAGS.iter().map(|(name, _)| *name).collect::<Vec<_>>(),
                "supportedFlags": supported,
            },
            "apparmor": {"enabled": true},
            "selinux": {"enabled": true},
            "intelRdt": {"enabled": true, "schemata": true, "monitoring": true},
            "memoryPolicy": {"modes": MEMORY_MODES.map(|(name, _)| name), "flags": MEMORY_FLAGS.map(|(name, _)| name)},
            "mountExtensions": {"idmap": {"enabled": true}},
            "netDevices": {"enabled": true},
        },
        "annotations": annotations,
        // What in config.json changes what podrun does besides the spec's own fields: no annotation does.
        "potentiallyUnsafeConfigAnnotations": [],
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_document_has_the_shape_of_the_spec() {
        let features: oci_spec::runtime::Features = serde_json::from_value(features()).unwrap();
        assert_eq!(features.hooks().as_ref().unwrap().len(), 6);
        let linux = features.linux().as_ref().unwrap();
        assert_eq!(
            linux.mount_extensions().as_ref().unwrap().idmap().as_ref().unwrap().enabled(),
            &Some(true)
        );
        assert!(linux.capabilities().as_ref().unwrap().contains(&"CAP_SYS_ADMIN".to_owned()));
    }

    #[test]
    fn every_seccomp_feature_is_accepted() {
        let check = |profile: Value| crate::seccomp::check(&profile.to_string()).unwrap();
        for action in SECCOMP_ACTIONS {
            let rule = json!({"names": ["read"], "action": action});
            check(json!({"defaultAction": "SCMP_ACT_LOG", "listenerPath": "/s", "syscalls": [rule]}));
        }
        for op in SECCOMP_OPERATORS {
            let args = json!([{"index": 0, "value": 1, "valueTwo": 1, "op": op}]);
            let rule = json!({"names": ["read"], "action": "SCMP_ACT_ALLOW", "args": args});
            check(json!({"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [rule]}));
        }
        check(json!({"defaultAction": "SCMP_ACT_ERRNO", "architectures": SECCOMP_ARCHITECTURES}));
        let flags: Vec<_> = SECCOMP_FLAGS.iter().map(|(name, _)| *name).collect();
        let rule = json!({"names": ["read"], "action": "SCMP_ACT_NOTIFY"});
        check(
            json!({"defaultAction": "SCMP_ACT_ERRNO", "flags": flags, "listenerPath": "/s", "syscalls": [rule]}),
        );
    }
}
