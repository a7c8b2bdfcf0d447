//! `linux.resources.cpu`: bandwidth, weight and cpusets.

use super::memory::given;
use super::write::Setting;
use super::{Cgroup, Group};
use crate::error::{Error, Result};
use cgroups_rs::fs::cpu::CpuController;
use cgroups_rs::fs::cpuset::CpuSetController;
use oci_spec::runtime::LinuxCpu;

const SHARES: &str = "linux.resources.cpu.shares";
const QUOTA: &str = "linux.resources.cpu.quota";
const PERIOD: &str = "linux.resources.cpu.period";
const BURST: &str = "linux.resources.cpu.burst";
const IDLE: &str = "linux.resources.cpu.idle";
const RT_PERIOD: &str = "linux.resources.cpu.realtimePeriod";
const RT_RUNTIME: &str = "linux.resources.cpu.realtimeRuntime";
const CPUS: &str = "linux.resources.cpu.cpus";
const MEMS: &str = "linux.resources.cpu.mems";

/// What is given: 0 stands for "not given", as for every runtime, except for `idle` and `burst`.
struct Wanted {
    shares: Option<u64>,
    quota: Option<i64>,
    period: Option<u64>,
    burst: Option<u64>,
    idle: Option<i64>,
    rt_period: Option<u64>,
    rt_runtime: Option<i64>,
}

impl Wanted {
    fn of(cpu: &LinuxCpu) -> Self {
        Self {
            shares: cpu.shares().filter(|v| *v != 0),
            quota: given(cpu.quota()),
            period: cpu.period().filter(|v| *v != 0),
            burst: cpu.burst(),
            idle: cpu.idle(),
            rt_period: cpu.realtime_period().filter(|v| *v != 0),
            rt_runtime: given(cpu.realtime_runtime()),
        }
    }

    fn first_field(&self) -> Option<&'static str> {
        [
            (self.shares.is_some(), SHARES),
            (self.quota.is_some(), QUOTA),
            (self.period.is_some(), PERIOD),
            (self.burst.is_some(), BURST),
            (self.idle.is_some(), IDLE),
            (self.rt_period.is_some(), RT_PERIOD),
            (self.rt_runtime.is_some(), RT_RUNTIME),
        ]
        .into_iter()
        .find_map(|(is_given, field)| is_given.then_some(field))
    }
}

pub(super) fn apply(cgroup: &Cgroup, cpu: &LinuxCpu) -> Result<()> {
    let wanted = Wanted::of(cpu);
    if let Some(first) = wanted.first_field() {
        let group = cgroup.controller("cpu", first)?;
        let cpu = Cpu {
            group,
            controller: CpuController::new(group.dir.clone(), group.dir.clone(), group.is_v2()),
        };
        cpu.weight(&wanted)?;
        cpu.bandwidth(&wanted)?;
        cpu.realtime(&wanted)?;
    }
    let cpus = cpu.cpus().as_deref().filter(|list| !list.is_empty());
    let mems = cpu.mems().as_deref().filter(|list| !list.is_empty());
    let Some(first) = cpus.map(|_| CPUS).or(mems.map(|_| MEMS)) else { return Ok(()) };
    let group = cgroup.controller("cpuset", first)?;
    let controller = CpuSetController::new(group.dir.clone(), group.dir.clone(), group.is_v2());
    if let Some(list) = cpus {
        Setting { field: CPUS, group, file: "cpuset.cpus" }.by(list, controller.set_cpus(list))?;
    }
    if let Some(list) = mems {
        Setting { field: MEMS, group, file: "cpuset.mems" }.by(list, controller.set_mems(list))?;
    }
    Ok(())
}

struct Cpu<'a> {
    group: &'a Group,
    controller: CpuController,
}

impl<'a> Cpu<'a> {
    fn setting(&self, field: &'a str, file: &'a str) -> Setting<'a> {
        Setting { field, group: self.group, file }
    }

    fn weight(&self, wanted: &Wanted) -> Result<()> {
        // Before the shares: an idle group refuses them, and does not use them either. Not in cgroups-rs.
        if let Some(idle) = wanted.idle {
            self.setting(IDLE, "cpu.idle").write(&idle.to_string())?;
        }
        match wanted.shares {
            Some(shares) if wanted.idle != Some(1) => {
                let v2 = self.group.is_v2();
                let (file, value) = if v2 { ("cpu.weight", weight(shares)) } else { ("cpu.shares", shares) };
                self.setting(SHARES, file).by(&value.to_string(), self.controller.set_shares(value))
            }
            _ => Ok(()),
        }
    }

    /// The burst may never be above the quota: before it where that works, else after.
    fn bandwidth(&self, wanted: &Wanted) -> Result<()> {
        let burst = |us: u64| self.setting(BURST, self.burst_file()).write(&us.to_string());
        let mut burst_late = None;
        match wanted.burst.map(|us| (us, burst(us))) {
            Some((us, Err(error))) if error.errno() == Some(libc::EINVAL) && wanted.quota.is_some() => {
                burst_late = Some(us);
            }
            Some((_, result)) => result?,
            None => {}
        }
        let quota = if self.group.is_v2() { self.quota_v2(wanted) } else { self.quota_v1(wanted) };
        quota.map_err(|error| self.blamed_on_burst(wanted, error))?;
        burst_late.map_or(Ok(()), burst)
    }

    fn burst_file(&self) -> &'static str {
        if self.group.is_v2() { "cpu.max.burst" } else { "cpu.cfs_burst_us" }
    }

    /// The kernel refuses a quota below the burst that the group has with the same word as one that is too small.
    fn blamed_on_burst(&self, wanted: &Wanted, error: Error) -> Error {
        let burst = std::fs::read_to_string(self.group.dir.join(self.burst_file())).ok();
        let burst: Option<u64> = burst.and_then(|text| text.trim().parse().ok());
        match (wanted.quota, burst) {
            (Some(quota @ 0..), Some(burst))
                if error.errno() == Some(libc::EINVAL) && burst > quota.unsigned_abs() =>
            {
                Error::user(format!("cannot apply {QUOTA}: {quota} is below the group's burst, {burst}"))
                    .hint(format!("lower {BURST} (--cpu-burst) with it, or raise the quota"))
            }
            _ => error,
        }
    }

    fn quota_v2(&self, wanted: &Wanted) -> Result<()> {
        let Some(field) = wanted.quota.map(|_| QUOTA).or(wanted.period.map(|_| PERIOD)) else {
            return Ok(());
        };
        let quota = wanted.quota.map_or("...".into(), |q| if q < 0 { "max".into() } else { q.to_string() });
        let value = wanted.period.map_or(quota.clone(), |period| format!("{quota} {period}"));
        let result = self.controller.set_cfs_quota_and_period(wanted.quota, wanted.period);
        self.setting(field, "cpu.max").by(&value, result)
    }

    fn quota_v1(&self, wanted: &Wanted) -> Result<()> {
        let period = |us: u64| {
            let setting = self.setting(PERIOD, "cpu.cfs_period_us");
            setting.by(&us.to_string(), self.controller.set_cfs_period(us))
        };
        let mut period_late = None;
        match wanted.period.map(|us| (us, period(us))) {
            // The old quota does not go with the new period where the group above has a limit.
            Some((us, Err(error))) if error.errno() == Some(libc::EINVAL) && wanted.quota.is_some() => {
                period_late = Some(us);
            }
            Some((_, result)) => result?,
            None => {}
        }
        if let Some(us) = wanted.quota {
            let setting = self.setting(QUOTA, "cpu.cfs_quota_us");
            setting.by(&us.to_string(), self.controller.set_cfs_quota(us))?;
        }
        period_late.map_or(Ok(()), period)
    }

    /// v1 only; the runtime may not be above the period, so the one that makes room comes first.
    fn realtime(&self, wanted: &Wanted) -> Result<()> {
        let period = |us: u64| {
            let setting = self.setting(RT_PERIOD, "cpu.rt_period_us");
            setting.by(&us.to_string(), self.controller.set_rt_period_us(us))
        };
        let mut period_late = None;
        match wanted.rt_period.map(|us| (us, period(us))) {
            Some((us, Err(error))) if error.errno() == Some(libc::EINVAL) && wanted.rt_runtime.is_some() => {
                period_late = Some(us);
            }
            Some((_, result)) => result?,
            None => {}
        }
        if let Some(us) = wanted.rt_runtime {
            let setting = self.setting(RT_RUNTIME, "cpu.rt_runtime_us");
            setting.by(&us.to_string(), self.controller.set_rt_runtime(us))?;
        }
        period_late.map_or(Ok(()), period)
    }
}

/// v1 shares (2 to 262144, default 1024) as a v2 weight (1 to 10000, default 100) by the formula of runc 1.3.2 and
/// crun 1.23, 10^((l² + 125 l) / 612 - 7/34) with l = log2(shares), rounded up. It keeps both the ends and the
/// default, which the older linear one, 1 + (shares - 2) * 9999 / 262142, did not (1024 became 39).
fn weight(shares: u64) -> u64 {
    const LARGEST: u32 = 10_000;
    /// Keeps 1024, for which the power is 2 but for the last bits, at 100.
    const ROUNDING: f64 = 1e-9;
    let log = (shares.clamp(2, 262_144) as f64).log2();
    let power = (log * log + 125.0 * log) / 612.0 - 7.0 / 34.0;
    let (mut low, mut high) = (1, LARGEST);
    while low < high {
        let middle = u32::midpoint(low, high);
        if f64::from(middle).log10() + ROUNDING < power { low = middle + 1 } else { high = middle }
    }
    low.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_become_weights() {
        for (shares, expected) in [
            (1, 1),
            (2, 1),
            (102, 17),
            (512, 59),
            (1024, 100),
            (2048, 174),
            (262_144, 10_000),
            (u64::MAX, 10_000),
        ] {
            assert_eq!(weight(shares), expected, "{shares}");
        }
    }
}
