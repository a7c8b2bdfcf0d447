//! Writing one value for one field of config.json, and saying what went wrong: field, file, value, reason, remedy.

use super::Group;
use crate::error::{Error, Kind, Result};
use crate::sys::fs::write_existing;
use std::io;
use std::path::Path;

/// One value that config.json wants in one file.
#[derive(Debug, Clone, Copy)]
pub(super) struct Setting<'a> {
    /// Name in config.json, such as `linux.resources.memory.limit`.
    pub(super) field: &'a str,
    pub(super) group: &'a Group,
    pub(super) file: &'a str,
}

impl Setting<'_> {
    /// Writes the value ourselves, for what cgroups-rs has not got or gets wrong.
    pub(super) fn write(&self, value: &str) -> Result<()> {
        self.io(value, write_existing(&self.group.dir.join(self.file), value))
    }

    /// Whether the kernel has the file.
    pub(super) fn exists(&self) -> bool {
        self.group.dir.join(self.file).exists()
    }

    /// Takes the result of a cgroups-rs controller.
    pub(super) fn by(&self, value: &str, result: cgroups_rs::fs::error::Result<()>) -> Result<()> {
        let Err(error) = result else { return Ok(()) };
        let error = system_error(&error);
        // cgroups-rs opens with O_CREAT, for which cgroupfs answers EACCES when there is no such file.
        let missing = error.raw_os_error() == Some(libc::EACCES) && !self.exists();
        self.io(value, Err(if missing { io::Error::from_raw_os_error(libc::ENOENT) } else { error }))
    }

    /// Gives a failed write its words.
    pub(super) fn io(&self, value: &str, result: io::Result<()>) -> Result<()> {
        let Err(error) = result else { return Ok(()) };
        let number = error.raw_os_error().unwrap_or(0);
        let kind = match number {
            libc::EINVAL | libc::ERANGE | libc::EBUSY | libc::ENOSPC | libc::ENODEV => Kind::User,
            _ => Kind::Host,
        };
        let file = self.group.dir.join(self.file);
        let write = Error::new(kind, format!("cannot write {value:?} to {}", file.display())).because(error);
        let write = match (number, hint(self.file, number)) {
            (libc::ENOENT, _) => write.hint(self.why_missing()),
            (_, Some(hint)) => write.hint(hint),
            (_, None) => write,
        };
        Err(Error::new(kind, format!("cannot apply {}", self.field)).because(write))
    }

    /// Why the group has not got the file.
    pub(super) fn why_missing(&self) -> String {
        let controller = self.file.split('.').next().unwrap_or_default();
        let dir = &self.group.dir;
        if !dir.exists() {
            return "the cgroup was removed meanwhile".into();
        }
        if controller == "hugetlb" {
            let sizes = self.group.hugepage_sizes();
            if !sizes.is_empty() {
                return format!("the sizes of huge pages are {} here", sizes.join(", "));
            }
        }
        if !self.group.is_v2() || self.group.has_controller(controller) {
            return format!("this kernel has no {}", self.file);
        }
        if !lists(&self.group.mount, "cgroup.controllers", controller) {
            return format!("the host's cgroup v2 has no {controller} controller");
        }
        let withheld = dir
            .ancestors()
            .skip(1)
            .take_while(|a| a.starts_with(&self.group.mount))
            .find(|a| lists(a, "cgroup.controllers", controller));
        let Some(above) = withheld else { return format!("the {controller} controller is not enabled") };
        let path = above.display();
        let busy = std::fs::read_to_string(above.join("cgroup.procs")).is_ok_and(|pids| !pids.is_empty());
        if busy {
            format!(
                "{path} has processes of its own and therefore cannot hand the {controller} controller down; \
                 choose a linux.cgroupsPath elsewhere, or move those processes"
            )
        } else {
            format!("enable it: echo +{controller} > {path}/cgroup.subtree_control")
        }
    }
}

impl Group {
    /// Whether the v2 group was given the controller.
    pub(super) fn has_controller(&self, controller: &str) -> bool {
        lists(&self.dir, "cgroup.controllers", controller)
    }
}

/// The error of the system behind one of cgroups-rs, whose own words show it in Rust's notation.
pub(super) fn system_error(error: &cgroups_rs::fs::error::Error) -> io::Error {
    let source = std::error::Error::source(error).and_then(|e| e.downcast_ref::<io::Error>());
    match source.and_then(io::Error::raw_os_error) {
        Some(number) => io::Error::from_raw_os_error(number),
        None => io::Error::other(error.to_string()),
    }
}

/// Whether a list of controllers names one.
fn lists(dir: &Path, file: &str, controller: &str) -> bool {
    std::fs::read_to_string(dir.join(file)).is_ok_and(|text| text.split_whitespace().any(|c| c == controller))
}

/// What an errno means for a file, where it means something that the errno does not say.
fn hint(file: &str, number: i32) -> Option<&'static str> {
    Some(match (file, number) {
        (_, libc::EROFS) => "mount the cgroup file system read-write",
        ("memory.limit_in_bytes", libc::EBUSY) => {
            "the group uses more than that and the kernel cannot take it back; choose a higher limit"
        }
        ("memory.memsw.limit_in_bytes", libc::EBUSY) => {
            "the group uses more memory and swap than that; choose a higher linux.resources.memory.swap"
        }
        ("memory.limit_in_bytes", libc::EINVAL) => {
            "it must not be above the group's memory and swap limit; set linux.resources.memory.swap with it"
        }
        ("memory.memsw.limit_in_bytes", libc::EINVAL) => {
            "linux.resources.memory.swap is memory plus swap and must not be below linux.resources.memory.limit"
        }
        ("cpu.cfs_quota_us" | "cpu.cfs_period_us" | "cpu.max", libc::EINVAL) => {
            "the quota is at least 1000, the period 1000 to 1000000 microseconds, and on cgroup v1 no group may \
             have more than the one above it"
        }
        ("cpu.cfs_burst_us" | "cpu.max.burst", libc::EINVAL) => "the burst must not be above the quota",
        ("cpu.shares" | "cpu.weight", libc::EINVAL) => {
            "an idle group has no shares; set linux.resources.cpu.idle to 0"
        }
        ("cpu.rt_runtime_us" | "cpu.rt_period_us", libc::EINVAL | libc::EBUSY) => {
            "the group above has no realtime budget to give; write its cpu.rt_runtime_us first"
        }
        ("cpuset.cpus" | "cpuset.mems", libc::EINVAL | libc::ERANGE | libc::EACCES | libc::EBUSY) => {
            "name CPUs and memory nodes that exist and that the group above has, like 0-2,7"
        }
        ("devices.deny" | "devices.allow", libc::EINVAL) => {
            "a group that has groups below it cannot change between allowing and denying all devices"
        }
        ("devices.allow", libc::EPERM) => "the group above does not allow this device",
        ("net_prio.ifpriomap", libc::ENODEV) => {
            "there is no such network device in podrun's network namespace"
        }
        (
            "io.max"
            | "io.weight"
            | "io.bfq.weight"
            | "blkio.bfq.weight_device"
            | "blkio.throttle.read_bps_device"
            | "blkio.throttle.write_bps_device"
            | "blkio.throttle.read_iops_device"
            | "blkio.throttle.write_iops_device",
            libc::ENODEV,
        ) => "there is no such block device (a whole disk, not a partition), or its scheduler does not weigh",
        (
            "io.weight" | "io.bfq.weight" | "blkio.bfq.weight" | "blkio.bfq.weight_device",
            libc::EOPNOTSUPP,
        ) => "the device's I/O scheduler does not weigh: choose bfq in /sys/block/*/queue/scheduler",
        ("rdma.max", libc::EINVAL | libc::ENODEV) => "there is no such RDMA device",
        (_, libc::ENODEV) => "the cgroup was removed meanwhile",
        (_, libc::EPERM | libc::EACCES) => "this needs root on the host",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::super::tests::{scratch, text};
    use super::*;

    fn group(dir: &Path, controllers: &str) -> Group {
        Group { controllers: controllers.into(), mount: dir.into(), dir: dir.join("g") }
    }

    #[test]
    fn the_error_names_field_file_value_and_reason() {
        let group = group(Path::new("/cg"), "memory");
        let setting =
            Setting { field: "linux.resources.memory.limit", group: &group, file: "memory.limit_in_bytes" };
        let error = setting.io("4096", Err(io::Error::from_raw_os_error(libc::EBUSY))).unwrap_err();
        assert_eq!(
            error.to_string(),
            "cannot apply linux.resources.memory.limit: cannot write \"4096\" to /cg/g/memory.limit_in_bytes: \
             device or resource busy (EBUSY)"
        );
        assert_eq!(error.errno(), Some(libc::EBUSY));
        assert!(error.remedy().unwrap().contains("choose a higher limit"));
    }

    #[test]
    fn each_hint_is_reached() {
        for (file, number) in [
            ("pids.max", libc::EROFS),
            ("pids.max", libc::ENODEV),
            ("pids.max", libc::EACCES),
            ("memory.limit_in_bytes", libc::EBUSY),
            ("memory.limit_in_bytes", libc::EINVAL),
            ("memory.memsw.limit_in_bytes", libc::EBUSY),
            ("memory.memsw.limit_in_bytes", libc::EINVAL),
            ("cpu.max", libc::EINVAL),
            ("cpu.max.burst", libc::EINVAL),
            ("cpu.shares", libc::EINVAL),
            ("cpu.rt_runtime_us", libc::EINVAL),
            ("cpuset.cpus", libc::ERANGE),
            ("devices.deny", libc::EINVAL),
            ("devices.allow", libc::EPERM),
            ("net_prio.ifpriomap", libc::ENODEV),
            ("io.max", libc::ENODEV),
            ("io.bfq.weight", libc::EOPNOTSUPP),
            ("rdma.max", libc::EINVAL),
        ] {
            assert!(hint(file, number).is_some(), "{file} {number}");
        }
        assert_eq!(hint("pids.max", libc::EIO), None);
    }

    #[test]
    fn a_missing_controller_is_explained() {
        let top = scratch("missing");
        let explain = |group: &Group| Setting { field: "f", group, file: "memory.max" }.why_missing();
        let v2 = group(&top, "");
        assert_eq!(explain(&v2), "the cgroup was removed meanwhile");
        std::fs::create_dir(&v2.dir).unwrap();
        text(&top, "cgroup.controllers", "cpu\n");
        assert_eq!(explain(&v2), "the host's cgroup v2 has no memory controller");
        text(&top, "cgroup.controllers", "cpu memory\n");
        assert!(explain(&v2).starts_with("enable it: echo +memory > "));
        text(&top, "cgroup.procs", "12\n");
        assert!(explain(&v2).contains("has processes of its own"));
        text(&v2.dir, "cgroup.controllers", "memory\n");
        assert_eq!(explain(&v2), "this kernel has no memory.max");
        assert_eq!(explain(&group(&top, "memory")), "this kernel has no memory.max");
        std::fs::remove_dir_all(top).unwrap();
    }
}
