//! The mounts that every container has, and the paths that are hidden from it.

use oci_spec::runtime::Mount;

/// The kernel's file systems. /dev/shm and the files of /etc are the pod's, and come when the container joins it.
/// A privileged container may write to /sys.
pub fn mounts(privileged: bool) -> Vec<Mount> {
    let access = if privileged { "rw" } else { "ro" };
    let table: [(&str, &str, &str, &[&str]); 6] = [
        ("/proc", "proc", "proc", &["nosuid", "noexec", "nodev"]),
        ("/dev", "tmpfs", "tmpfs", &["nosuid", "strictatime", "mode=755", "size=65536k"]),
        (
            "/dev/pts",
            "devpts",
            "devpts",
            &["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"],
        ),
        ("/dev/mqueue", "mqueue", "mqueue", &["nosuid", "noexec", "nodev"]),
        ("/sys", "sysfs", "sysfs", &["nosuid", "noexec", "nodev", access]),
        ("/sys/fs/cgroup", "cgroup", "cgroup", &["nosuid", "noexec", "nodev", "relatime", access]),
    ];
    let mount = |(destination, kind, source, options): (&str, &str, &str, &[&str])| {
        let mut mount = Mount::default();
        mount
            .set_destination(destination.into())
            .set_typ(Some(kind.to_owned()))
            .set_source(Some(source.into()))
            .set_options(Some(options.iter().map(ToString::to_string).collect()));
        mount
    };
    table.into_iter().map(mount).collect()
}

/// Parts of /proc and /sys that tell of the host, or let one change it, and that no namespace covers.
const MASKED: [&str; 12] = [
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
];

const READ_ONLY: [&str; 5] = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

/// Paths to hide and paths to make read-only.
pub fn covered_paths(privileged: bool) -> (Vec<String>, Vec<String>) {
    let list = |paths: &[&str]| {
        if privileged { Vec::new() } else { paths.iter().map(ToString::to_string).collect() }
    };
    (list(&MASKED), list(&READ_ONLY))
}
