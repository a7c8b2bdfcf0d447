//! `linux.resources.network`: marks on the packets of a group, which v1 alone has.

use super::write::Setting;
use super::{Cgroup, Group};
use crate::error::{Error, Result};
use oci_spec::runtime::LinuxNetwork;

pub(super) const CLASS: &str = "linux.resources.network.classID";
pub(super) const PRIORITIES: &str = "linux.resources.network.priorities";

pub(super) fn apply(cgroup: &Cgroup, network: &LinuxNetwork) -> Result<()> {
    // 0 is what a group has, and what clients write when they mean nothing.
    if let Some(class) = network.class_id().filter(|class| *class != 0) {
        let group = v1(cgroup, "net_cls", CLASS)?;
        Setting { field: CLASS, group, file: "net_cls.classid" }.write(&class.to_string())?;
    }
    for priority in network.priorities().iter().flatten() {
        let group = v1(cgroup, "net_prio", PRIORITIES)?;
        let value = format!("{} {}", priority.name(), priority.priority());
        Setting { field: PRIORITIES, group, file: "net_prio.ifpriomap" }.write(&value)?;
    }
    Ok(())
}

fn v1<'a>(cgroup: &'a Cgroup, controller: &str, field: &str) -> Result<&'a Group> {
    cgroup.v1(controller).ok_or_else(|| {
        Error::host(format!("cannot apply {field}: the {controller} cgroup controller is not mounted")).hint(
            format!(
                "mount it: mkdir -p /sys/fs/cgroup/{controller} && mount -t cgroup -o {controller} {controller} \
                 /sys/fs/cgroup/{controller}; or take it out"
            ),
        )
    })
}
