//! `linux.resources.blockIO`.

use super::write::Setting;
use super::{Cgroup, Group};
use crate::error::Result;
use oci_spec::runtime::{LinuxBlockIo, LinuxThrottleDevice};

const WEIGHT: &str = "linux.resources.blockIO.weight";
const LEAF_WEIGHT: &str = "linux.resources.blockIO.leafWeight";
const WEIGHT_DEVICE: &str = "linux.resources.blockIO.weightDevice";

/// A list of limits, and where v1 and v2 want them.
pub(super) struct Throttle {
    /// Name of the list.
    pub(super) field: &'static str,
    v1: &'static str,
    /// The key in `io.max`.
    v2: &'static str,
    pub(super) get: fn(&LinuxBlockIo) -> &Option<Vec<LinuxThrottleDevice>>,
}

pub(super) const THROTTLES: [Throttle; 4] = [
    Throttle {
        field: "linux.resources.blockIO.throttleReadBpsDevice",
        v1: "blkio.throttle.read_bps_device",
        v2: "rbps",
        get: LinuxBlockIo::throttle_read_bps_device,
    },
    Throttle {
        field: "linux.resources.blockIO.throttleWriteBpsDevice",
        v1: "blkio.throttle.write_bps_device",
        v2: "wbps",
        get: LinuxBlockIo::throttle_write_bps_device,
    },
    Throttle {
        field: "linux.resources.blockIO.throttleReadIOPSDevice",
        v1: "blkio.throttle.read_iops_device",
        v2: "riops",
        get: LinuxBlockIo::throttle_read_iops_device,
    },
    Throttle {
        field: "linux.resources.blockIO.throttleWriteIOPSDevice",
        v1: "blkio.throttle.write_iops_device",
        v2: "wiops",
        get: LinuxBlockIo::throttle_write_iops_device,
    },
];

/// 0 stands for "not given", as for every runtime.
pub(super) fn given(weight: Option<u16>) -> Option<u16> {
    weight.filter(|weight| *weight != 0)
}

/// The first field that is given.
fn first(block_io: &LinuxBlockIo) -> Option<&'static str> {
    let mut fields = vec![
        (WEIGHT, given(block_io.weight()).is_some()),
        (LEAF_WEIGHT, given(block_io.leaf_weight()).is_some()),
        (WEIGHT_DEVICE, block_io.weight_device().as_ref().is_some_and(|list| !list.is_empty())),
    ];
    fields.extend(
        THROTTLES.iter().map(|t| (t.field, (t.get)(block_io).as_ref().is_some_and(|l| !l.is_empty()))),
    );
    fields.into_iter().find_map(|(field, is_given)| is_given.then_some(field))
}

pub(super) fn apply(cgroup: &Cgroup, block_io: &LinuxBlockIo) -> Result<()> {
    let Some(first) = first(block_io) else { return Ok(()) };
    let group = cgroup.controller("blkio", first)?;
    if group.is_v2() { apply_v2(group, block_io) } else { apply_v1(group, block_io) }
}

fn apply_v1(group: &Group, block_io: &LinuxBlockIo) -> Result<()> {
    // CFQ's file, which kernels have no more since 5.0, or BFQ's.
    let old = group.dir.join("blkio.weight").exists();
    let (file, device_file) = if old {
        ("blkio.weight", "blkio.weight_device")
    } else {
        ("blkio.bfq.weight", "blkio.bfq.weight_device")
    };
    if let Some(weight) = given(block_io.weight()) {
        Setting { field: WEIGHT, group, file }.write(&weight.to_string())?;
    }
    if let Some(weight) = given(block_io.leaf_weight()) {
        Setting { field: LEAF_WEIGHT, group, file: "blkio.leaf_weight" }.write(&weight.to_string())?;
    }
    for device in block_io.weight_device().iter().flatten() {
        let weights = [
            (given(device.weight()), device_file),
            (given(device.leaf_weight()), "blkio.leaf_weight_device"),
        ];
        for (weight, file) in weights.into_iter().filter_map(|(weight, file)| Some((weight?, file))) {
            let value = format!("{}:{} {weight}", device.major(), device.minor());
            Setting { field: WEIGHT_DEVICE, group, file }.write(&value)?;
        }
    }
    for throttle in &THROTTLES {
        for device in (throttle.get)(block_io).iter().flatten() {
            let value = format!("{}:{} {}", device.major(), device.minor(), device.rate());
            Setting { field: throttle.field, group, file: throttle.v1 }.write(&value)?;
        }
    }
    Ok(())
}

fn apply_v2(group: &Group, block_io: &LinuxBlockIo) -> Result<()> {
    // BFQ takes the weights as they are; the cost model's file has a scale of its own.
    let bfq = group.dir.join("io.bfq.weight").exists();
    let file = if bfq { "io.bfq.weight" } else { "io.weight" };
    let scaled = |weight: u16| if bfq { u32::from(weight) } else { cost_weight(weight) };
    if let Some(weight) = given(block_io.weight()) {
        Setting { field: WEIGHT, group, file }.write(&scaled(weight).to_string())?;
    }
    for device in block_io.weight_device().iter().flatten() {
        if let Some(weight) = given(device.weight()) {
            let value = format!("{}:{} {}", device.major(), device.minor(), scaled(weight));
            Setting { field: WEIGHT_DEVICE, group, file }.write(&value)?;
        }
    }
    for throttle in &THROTTLES {
        for device in (throttle.get)(block_io).iter().flatten() {
            // 0 takes a limit away on v1; here it would be an error.
            let rate = if device.rate() == 0 { "max".to_owned() } else { device.rate().to_string() };
            let value = format!("{}:{} {}={rate}", device.major(), device.minor(), throttle.v2);
            Setting { field: throttle.field, group, file: "io.max" }.write(&value)?;
        }
    }
    Ok(())
}

/// A weight of 10 to 1000 as one of 1 to 10000, linearly, as runc and crun do.
fn cost_weight(weight: u16) -> u32 {
    1 + (u32::from(weight).clamp(10, 1000) - 10) * 9999 / 990
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_on_the_scale_of_v2() {
        for (weight, expected) in [(10, 1), (750, 7475), (1000, 10_000), (1, 1)] {
            assert_eq!(cost_weight(weight), expected, "{weight}");
        }
    }
}
