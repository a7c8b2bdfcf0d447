//! What kind of machine this is, as far as tests depend on it.

use super::cgroups;
use std::path::Path;

/// How many times slower than an ordinary machine this one is: time-outs are multiplied by it. An emulated virtual
/// machine sets `PODRUN_TEST_SLOWNESS=20`.
pub fn slowness() -> u32 {
    std::env::var("PODRUN_TEST_SLOWNESS").ok().and_then(|text| text.parse().ok()).unwrap_or(1)
}

/// Every condition that `expected-skips.txt` may name, and whether it holds here.
pub fn conditions() -> Vec<(&'static str, bool)> {
    let raised = has_capability(CAP_SYS_RESOURCE);
    vec![
        ("cap-sys-resource", raised),
        ("no-cap-sys-resource", !raised),
        ("cgroup-v1", !cgroups::is_pure_v2()),
        ("cgroup-v2", cgroups::is_pure_v2()),
        ("no-containerd", !has_package("containerd") || !has_package("ctr")),
        ("no-strace", !has_package("strace")),
        ("no-runc", !has_package("runc")),
        ("no-crun", !has_package("crun")),
    ]
}

/// capabilities(7): override resource limits, lower oom_score_adj.
pub const CAP_SYS_RESOURCE: u32 = 24;

/// Whether this process has a capability in its effective set.
pub fn has_capability(number: u32) -> bool {
    super::proc::status_field("self", "CapEff")
        .and_then(|text| u64::from_str_radix(&text, 16).ok())
        .is_some_and(|set| set >> number & 1 == 1)
}

/// Whether a program of another package can be found.
pub fn has_package(program: &str) -> bool {
    find_program(program).is_some()
}

/// Where a program lies, `sbin` directories included.
pub fn find_program(program: &str) -> Option<std::path::PathBuf> {
    let path = std::env::var("PATH").unwrap_or_default();
    path.split(':')
        .chain(["/usr/local/sbin", "/usr/sbin", "/sbin", "/usr/bin", "/bin"])
        .map(|directory| Path::new(directory).join(program))
        .find(|candidate| candidate.is_file())
}

/// Whether this process is root.
pub fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}
