//! The counters of cgroup v1.

use super::read::{Files, ranges};
use super::{BlockIo, BlockIoEntry, CpuUsage, Cpuset, Hugetlb, Memory, MemoryEntry, Throttling};
use crate::error::Result;
use std::collections::BTreeMap;

/// Nanoseconds in the kernel's USER_HZ, which is 100 on every architecture podrun runs on.
const TICK: u64 = 10_000_000;

pub(super) fn throttling(files: Files<'_>, to: &mut Throttling) -> Result<()> {
    let stat = files.keyed("cpu.stat")?;
    to.periods = stat.get("nr_periods");
    to.throttled_periods = stat.get("nr_throttled");
    to.throttled_time = stat.get("throttled_time");
    Ok(())
}

pub(super) fn cpu_usage(files: Files<'_>, to: &mut CpuUsage) -> Result<()> {
    let stat = files.keyed("cpuacct.stat")?;
    to.total = files.number("cpuacct.usage")?;
    to.user = stat.get("user").saturating_mul(TICK);
    to.kernel = stat.get("system").saturating_mul(TICK);
    // Not the sum of user and system time: those are counted by ticks, and may come to more than there was.
    let each = files.text("cpuacct.usage_percpu")?;
    to.percpu = each.split_whitespace().map(|number| number.parse().unwrap_or(0)).collect();
    // A title, then `cpu user system` for each.
    for line in files.text("cpuacct.usage_all")?.lines().skip(1) {
        let mut numbers = line.split(' ').skip(1).map(|number| number.parse::<u64>().unwrap_or(0));
        if let (Some(user), Some(kernel)) = (numbers.next(), numbers.next()) {
            to.percpu_user.push(user);
            to.percpu_kernel.push(kernel);
        }
    }
    Ok(())
}

pub(super) fn cpuset(files: Files<'_>) -> Result<Cpuset> {
    let flag = |name: &str| files.number(&format!("cpuset.{name}"));
    let level = files.text("cpuset.sched_relax_domain_level")?;
    Ok(Cpuset {
        cpus: ranges(&files.text("cpuset.cpus")?),
        cpu_exclusive: flag("cpu_exclusive")?,
        mems: ranges(&files.text("cpuset.mems")?),
        mem_hardwall: flag("mem_hardwall")?,
        mem_exclusive: flag("mem_exclusive")?,
        memory_migrate: flag("memory_migrate")?,
        memory_spread_page: flag("memory_spread_page")?,
        memory_spread_slab: flag("memory_spread_slab")?,
        memory_pressure: flag("memory_pressure")?,
        sched_load_balance: flag("sched_load_balance")?,
        sched_relax_domain_level: level.trim().parse().unwrap_or(0),
    })
}

pub(super) fn memory(files: Files<'_>) -> Result<Memory> {
    let entry = |name: &str| {
        let file = |what: &str| files.number(&format!("{name}.{what}"));
        Ok::<_, crate::error::Error>(MemoryEntry {
            limit: file("limit_in_bytes")?,
            usage: file("usage_in_bytes")?,
            max: file("max_usage_in_bytes")?,
            failcnt: file("failcnt")?,
        })
    };
    let stat = files.keyed("memory.stat")?;
    Ok(Memory {
        cache: stat.get("cache"),
        usage: entry("memory")?,
        swap: entry("memory.memsw")?,
        kernel: entry("memory.kmem")?,
        kernel_tcp: entry("memory.kmem.tcp")?,
        raw: stat.all(),
        psi: None,
    })
}

/// Of the schedulers, the first that has counted something; what is limited is counted in any case.
pub(super) fn block_io(files: Files<'_>) -> Result<BlockIo> {
    let mut found = BlockIo::default();
    for place in ["bfq.", "throttle."] {
        found.io_service_bytes_recursive =
            operations(&files.text(&format!("blkio.{place}io_service_bytes_recursive"))?);
        found.io_serviced_recursive =
            operations(&files.text(&format!("blkio.{place}io_serviced_recursive"))?);
        if found != BlockIo::default() {
            break;
        }
    }
    Ok(found)
}

/// Lines like `8:0 Read 512`, and a `Total 512` at the end, which is left out.
fn operations(text: &str) -> Vec<BlockIoEntry> {
    let entry = |line: &str| {
        let mut words = line.split([' ', ':']);
        let (major, minor) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
        Some(BlockIoEntry { major, minor, op: words.next()?.to_owned(), value: words.next()?.parse().ok()? })
    };
    text.lines().filter_map(entry).collect()
}

pub(super) fn hugetlb(files: Files<'_>, sizes: Vec<String>) -> Result<BTreeMap<String, Hugetlb>> {
    let mut all = BTreeMap::new();
    for size in sizes {
        let reserved = format!("hugetlb.{size}.rsvd");
        let counted = files.dir.join(format!("{reserved}.usage_in_bytes")).exists();
        let prefix = if counted { reserved } else { format!("hugetlb.{size}") };
        let entry = Hugetlb {
            usage: files.number(&format!("{prefix}.usage_in_bytes"))?,
            max: files.number(&format!("{prefix}.max_usage_in_bytes"))?,
            failcnt: files.number(&format!("{prefix}.failcnt"))?,
        };
        all.insert(size, entry);
    }
    Ok(all)
}
