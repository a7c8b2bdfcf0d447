//! `linux.resources.rdma`.

use super::Cgroup;
use super::write::Setting;
use crate::error::Result;
use oci_spec::runtime::LinuxRdma;
use std::collections::HashMap;

pub(super) const FIELD: &str = "linux.resources.rdma";

pub(super) fn apply(cgroup: &Cgroup, devices: &HashMap<String, LinuxRdma>) -> Result<()> {
    // A map has no order; errors should not depend on it.
    let mut devices: Vec<_> = devices.iter().collect();
    devices.sort_by_key(|(name, _)| *name);
    for (name, limits) in devices {
        let parts = [("hca_handle", limits.hca_handles()), ("hca_object", limits.hca_objects())];
        let parts = parts.iter().filter_map(|(key, value)| Some(format!(" {key}={}", (*value)?)));
        let value = format!("{name}{}", parts.collect::<String>());
        let group = cgroup.controller("rdma", FIELD)?;
        Setting { field: &format!("{FIELD}[{name:?}]"), group, file: "rdma.max" }.write(&value)?;
    }
    Ok(())
}
