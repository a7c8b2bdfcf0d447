//! What kind of machine this is, as far as tests depend on it.

use super::cgroups;
use std::path::Path;
use std::time::{Duration, Instant};

/// Holds the result of [`measure_slowness`], or what a person knows better.
pub const SLOWNESS: &str = "PODRUN_TEST_SLOWNESS";

/// How many times slower than an ordinary machine this one is: time-outs are multiplied by it.
pub fn slowness() -> u32 {
    std::env::var(SLOWNESS).ok().and_then(|text| text.parse().ok()).unwrap_or(1)
}

/// Measures by what most tests spend most of their time with, starting programs, unless somebody has set
/// [`SLOWNESS`].
pub fn measure_slowness() -> u32 {
    /// What `/bin/true` takes from fork to reaping on an ordinary machine that is busy.
    const ORDINARY: Duration = Duration::from_millis(2);
    if std::env::var_os(SLOWNESS).is_some() {
        return slowness();
    }
    let mut times: Vec<Duration> = (0..15)
        .map(|_| {
            let begin = Instant::now();
            drop(std::process::Command::new("/bin/true").status());
            begin.elapsed()
        })
        .collect();
    times.sort();
    let ratio = times[times.len() / 2].as_nanos().div_ceil(ORDINARY.as_nanos());
    u32::try_from(ratio).map_or(50, |ratio| ratio.clamp(1, 50))
}

/// Whether the wall clock is the tests' alone, as in the virtual machine of `scripts/vm`, which sets this.
pub fn may_set_clock() -> bool {
    std::env::var_os("PODRUN_VM").is_some()
}

/// Whether tmpfs can be idmapped: since Linux 6.3.
pub fn maps_ids_of_tmpfs() -> bool {
    let text = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let mut numbers = text.split('.').map_while(|number| number.parse::<u32>().ok());
    (numbers.next(), numbers.next()) >= (Some(6), Some(3))
}

/// Whether the processor is one that `scripts/vm` has in software alone.
pub fn is_emulated() -> bool {
    std::env::var("PODRUN_VM").is_ok_and(|acceleration| acceleration == "tcg")
}

/// Numbers of a disk, where there is one; a loop device comes and goes with somebody's mount.
pub fn disk() -> Option<(u64, u64)> {
    let entries = std::fs::read_dir("/sys/block").into_iter().flatten().flatten();
    let disk = |path: std::path::PathBuf| {
        let read = |file: &str| std::fs::read_to_string(path.join(file)).ok();
        (!path.join("loop").exists()).then_some(())?;
        read("size").filter(|size| size.trim() != "0")?;
        let numbers = read("dev")?;
        let (major, minor) = numbers.trim().split_once(':')?;
        Some((major.parse().ok()?, minor.parse().ok()?))
    };
    entries.filter_map(|entry| disk(entry.path())).next()
}

/// Every condition that `expected-skips.txt` may name, and whether it holds here.
pub fn conditions() -> Vec<(&'static str, bool)> {
    let raised = has_capability(CAP_SYS_RESOURCE);
    vec![
        ("cap-sys-resource", raised),
        ("no-cap-sys-resource", !raised),
        ("one-processor", processors() < 2),
        ("apparmor", has_apparmor()),
        ("no-apparmor", !has_apparmor() || !has_package("apparmor_parser")),
        ("selinux", has_selinux()),
        ("cgroup-v1", !cgroups::is_pure_v2()),
        ("cgroup-v2", cgroups::is_pure_v2()),
        ("shared-clock", !may_set_clock()),
        ("no-disk", disk().is_none()),
        ("no-containerd", !has_package("containerd") || !has_package("ctr")),
        ("emulated", is_emulated()),
        ("no-conmon", !has_package("conmon")),
        ("no-podman", !has_package("podman") || !has_package("conmon")),
        ("no-docker", !["dockerd", "docker", "containerd"].into_iter().all(has_package)),
        ("no-strace", !has_package("strace")),
        ("no-openssl", !has_package("openssl")),
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

/// Major number of a character device, of those for local use, that no driver serves here.
#[track_caller]
pub fn unused_major() -> u32 {
    let text = std::fs::read_to_string("/proc/devices").expect("/proc/devices");
    let (characters, _) = text.split_once("Block devices").expect("two lists");
    let taken: Vec<u32> =
        characters.lines().filter_map(|line| line.split_whitespace().next()?.parse().ok()).collect();
    let mut local = (60..=63).chain(120..=127).chain(240..=254);
    local.find(|number| !taken.contains(number)).expect("a number for local use")
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

/// How many processors there are.
pub fn processors() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

/// Whether the kernel has AppArmor switched on.
pub fn has_apparmor() -> bool {
    std::fs::read_to_string("/sys/module/apparmor/parameters/enabled").is_ok_and(|text| text.starts_with('Y'))
}

/// Whether the kernel has SELinux switched on, and a policy.
pub fn has_selinux() -> bool {
    Path::new("/sys/fs/selinux/policy").exists()
}

/// Whether this process is root.
pub fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}
