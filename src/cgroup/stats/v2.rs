//! The counters of cgroup v2.

use super::read::Files;
use super::{BlockIo, BlockIoEntry, Cpu, Hugetlb, Memory, MemoryEntry, Pressure, Wait};
use crate::error::Result;
use std::collections::BTreeMap;

/// v2 counts microseconds.
const NANOSECONDS: u64 = 1000;

pub(super) fn cpu(files: Files<'_>, to: &mut Cpu) -> Result<()> {
    let stat = files.keyed("cpu.stat")?;
    let time = |key: &str| stat.get(key).saturating_mul(NANOSECONDS);
    to.usage.total = time("usage_usec");
    to.usage.user = time("user_usec");
    to.usage.kernel = time("system_usec");
    to.throttling.periods = stat.get("nr_periods");
    to.throttling.throttled_periods = stat.get("nr_throttled");
    to.throttling.throttled_time = time("throttled_usec");
    to.psi = pressure(&files.text("cpu.pressure")?);
    Ok(())
}

pub(super) fn memory(files: Files<'_>) -> Result<Memory> {
    let stat = files.keyed("memory.stat")?;
    let usage = MemoryEntry {
        limit: files.number("memory.max")?,
        usage: files.number("memory.current")?,
        max: files.number("memory.peak")?,
        failcnt: files.keyed("memory.events")?.get("max"),
    };
    // v2 counts swap alone, and what is told is memory and swap together. The highest sum is not known.
    let swap = MemoryEntry {
        limit: usage.limit.saturating_add(files.number("memory.swap.max")?),
        usage: usage.usage.saturating_add(files.number("memory.swap.current")?),
        max: 0,
        failcnt: files.keyed("memory.swap.events")?.get("fail"),
    };
    Ok(Memory {
        cache: stat.get("file"),
        usage,
        swap,
        raw: stat.all(),
        psi: pressure(&files.text("memory.pressure")?),
        ..Memory::default()
    })
}

/// Lines like `8:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=0 dios=0`.
pub(super) fn block_io(files: Files<'_>) -> Result<BlockIo> {
    let mut found = BlockIo { psi: pressure(&files.text("io.pressure")?), ..BlockIo::default() };
    for line in files.text("io.stat")?.lines() {
        let mut words = line.split(' ');
        let device = words.next().and_then(|numbers| numbers.split_once(':'));
        let device = device.and_then(|(major, minor)| Some((major.parse().ok()?, minor.parse().ok()?)));
        let Some((major, minor)) = device else { continue };
        for (key, value) in words.filter_map(|word| word.split_once('=')) {
            let (op, to) = match key {
                "rbytes" => ("Read", &mut found.io_service_bytes_recursive),
                "wbytes" => ("Write", &mut found.io_service_bytes_recursive),
                "rios" => ("Read", &mut found.io_serviced_recursive),
                "wios" => ("Write", &mut found.io_serviced_recursive),
                _ => continue,
            };
            to.push(BlockIoEntry { major, minor, op: op.into(), value: value.parse().unwrap_or(0) });
        }
    }
    Ok(found)
}

pub(super) fn hugetlb(files: Files<'_>, sizes: Vec<String>) -> Result<BTreeMap<String, Hugetlb>> {
    let mut all = BTreeMap::new();
    for size in sizes {
        let reserved = format!("hugetlb.{size}.rsvd.current");
        let counted = files.dir.join(&reserved).exists();
        let usage =
            files.number(if counted { reserved } else { format!("hugetlb.{size}.current") }.as_str())?;
        let failcnt = files.keyed(&format!("hugetlb.{size}.events"))?.get("max");
        all.insert(size, Hugetlb { usage, max: 0, failcnt });
    }
    Ok(all)
}

/// `some avg10=0.00 avg60=0.00 avg300=0.00 total=0`, and a line `full` likewise; `None` where it is not counted.
fn pressure(text: &str) -> Option<Pressure> {
    let mut pressure = Pressure::default();
    for line in text.lines() {
        let (kind, rest) = line.split_once(' ')?;
        let wait = match kind {
            "some" => &mut pressure.some,
            "full" => &mut pressure.full,
            _ => continue,
        };
        *wait = Wait::default();
        for (key, value) in rest.split(' ').filter_map(|word| word.split_once('=')) {
            match key {
                "avg10" => wait.avg10 = value.parse().unwrap_or(0.0),
                "avg60" => wait.avg60 = value.parse().unwrap_or(0.0),
                "avg300" => wait.avg300 = value.parse().unwrap_or(0.0),
                "total" => wait.total = value.parse().unwrap_or(0),
                _ => {}
            }
        }
    }
    if text.is_empty() { None } else { Some(pressure) }
}
