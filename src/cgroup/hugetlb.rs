//! `linux.resources.hugepageLimits`.

use super::write::Setting;
use super::{Cgroup, Group};
use crate::error::Result;
use oci_spec::runtime::LinuxHugepageLimit;

pub(super) const FIELD: &str = "linux.resources.hugepageLimits";

/// What is reserved (at mmap) is limited where the kernel can (Linux 5.7), and what is used (at the first touch) in
/// any case: the first fails cleanly, the second with SIGBUS.
pub(super) fn apply(cgroup: &Cgroup, limits: &[LinuxHugepageLimit]) -> Result<()> {
    if limits.is_empty() {
        return Ok(());
    }
    let group = cgroup.controller("hugetlb", FIELD)?;
    let file = if group.is_v2() { "max" } else { "limit_in_bytes" };
    for limit in limits {
        let prefix = format!("hugetlb.{}", limit.page_size());
        let value = limit.limit().to_string();
        set(group, &format!("{prefix}.{file}"), &value)?;
        match set(group, &format!("{prefix}.rsvd.{file}"), &value) {
            Err(error) if error.errno() == Some(libc::ENOENT) => {}
            result => result?,
        }
    }
    Ok(())
}

fn set(group: &Group, file: &str, value: &str) -> Result<()> {
    Setting { field: FIELD, group, file }.write(value)
}

/// Whether it is a size as the kernel writes it: a number and a unit, such as `2MB`.
pub(super) fn is_size(text: &str) -> bool {
    let number = ["KB", "MB", "GB"].iter().find_map(|unit| text.strip_suffix(unit));
    number.is_some_and(|digits| !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()))
}

impl Group {
    /// The sizes of huge pages that the group has files for, such as `2MB`; none when the group is gone.
    pub(super) fn hugepage_sizes(&self) -> Vec<String> {
        let size = |entry: std::fs::DirEntry| {
            let name = entry.file_name().into_string().ok()?;
            Some(name.strip_prefix("hugetlb.")?.split_once('.')?.0.to_owned())
        };
        let mut sizes: Vec<_> =
            std::fs::read_dir(&self.dir).into_iter().flatten().flatten().filter_map(size).collect();
        sizes.sort();
        sizes.dedup();
        sizes
    }
}
