//! `linux.resources.memory`.

use super::write::Setting;
use super::{Cgroup, Group};
use crate::error::{Context, Error, Result};
use cgroups_rs::fs::memory::MemController;
use oci_spec::runtime::LinuxMemory;

const LIMIT: &str = "linux.resources.memory.limit";
const RESERVATION: &str = "linux.resources.memory.reservation";
const SWAP: &str = "linux.resources.memory.swap";
const SWAPPINESS: &str = "linux.resources.memory.swappiness";
const NO_OOM_KILLER: &str = "linux.resources.memory.disableOOMKiller";
const TCP: &str = "linux.resources.memory.kernelTCP";

/// 0 stands for "not given", as for every runtime.
pub(super) fn given(value: Option<i64>) -> Option<i64> {
    value.filter(|v| *v != 0)
}

/// Clients write the largest number when they mean "not given".
pub(super) fn swappiness(memory: &LinuxMemory) -> Option<u64> {
    memory.swappiness().filter(|value| *value != u64::MAX)
}

pub(super) fn apply(cgroup: &Cgroup, memory: &LinuxMemory) -> Result<()> {
    #[allow(deprecated, reason = "the field is still in what clients write")]
    if memory.kernel().is_some_and(|bytes| bytes > 0) {
        crate::report::warn("linux.resources.memory.kernel is ignored: Linux has no such limit since 5.16");
    }
    let fields = [
        (given(memory.limit()).is_some(), LIMIT),
        (given(memory.swap()).is_some(), SWAP),
        (given(memory.reservation()).is_some(), RESERVATION),
        (swappiness(memory).is_some(), SWAPPINESS),
        (memory.disable_oom_killer() == Some(true), NO_OOM_KILLER),
        (given(memory.kernel_tcp()).is_some(), TCP),
    ];
    let Some((_, first)) = fields.into_iter().find(|(is_given, _)| *is_given) else { return Ok(()) };
    let group = cgroup.controller("memory", first)?;
    let memory_group = Memory { group, controller: controller(group) };
    if group.is_v2() { memory_group.apply_v2(memory) } else { memory_group.apply_v1(memory) }
}

fn controller(group: &Group) -> MemController {
    MemController::new(group.dir.clone(), group.dir.clone(), group.is_v2())
}

struct Memory<'a> {
    group: &'a Group,
    controller: MemController,
}

impl<'a> Memory<'a> {
    fn setting(&self, field: &'a str, file: &'a str) -> Setting<'a> {
        Setting { field, group: self.group, file }
    }

    fn apply_v1(&self, memory: &LinuxMemory) -> Result<()> {
        self.limits_v1(given(memory.limit()), given(memory.swap()))?;
        let c = &self.controller;
        if let Some(bytes) = given(memory.reservation()) {
            let setting = self.setting(RESERVATION, "memory.soft_limit_in_bytes");
            setting.by(&bytes.to_string(), c.set_soft_limit(bytes))?;
        }
        if let Some(bytes) = given(memory.kernel_tcp()) {
            self.setting(TCP, "memory.kmem.tcp.limit_in_bytes")
                .by(&bytes.to_string(), c.set_tcp_limit(bytes))?;
        }
        if let Some(value) = swappiness(memory) {
            self.setting(SWAPPINESS, "memory.swappiness").by(&value.to_string(), c.set_swappiness(value))?;
        }
        if memory.disable_oom_killer() == Some(true) {
            self.setting(NO_OOM_KILLER, "memory.oom_control").by("1", c.disable_oom_killer())?;
        }
        Ok(())
    }

    /// memory.memsw (memory plus swap) must never be below the memory limit, so the order depends on the direction.
    fn limits_v1(&self, limit: Option<i64>, swap: Option<i64>) -> Result<()> {
        let set_limit = |bytes: i64| {
            let setting = self.setting(LIMIT, "memory.limit_in_bytes");
            setting.by(&bytes.to_string(), self.controller.set_limit(bytes))
        };
        match (limit, swap) {
            // No limit at all, unless one for swap is given, means none on swap either; that one first, upwards.
            (Some(-1), None | Some(-1)) => {
                self.swap_v1(-1)?;
                set_limit(-1)
            }
            (Some(limit), Some(swap)) => match set_limit(limit) {
                // The new limit is above what memory.memsw still says.
                Err(error) if error.errno() == Some(libc::EINVAL) => {
                    self.swap_v1(swap)?;
                    set_limit(limit)
                }
                result => result.and_then(|()| self.swap_v1(swap)),
            },
            (limit, swap) => {
                limit.map_or(Ok(()), set_limit)?;
                swap.map_or(Ok(()), |swap| self.swap_v1(swap))
            }
        }
    }

    fn swap_v1(&self, bytes: i64) -> Result<()> {
        let setting = self.setting(SWAP, "memory.memsw.limit_in_bytes");
        match setting.by(&bytes.to_string(), self.controller.set_memswap_limit(bytes)) {
            // A kernel that does not count swap does not limit it.
            Err(error) if bytes == -1 && error.errno() == Some(libc::ENOENT) => Ok(()),
            result => result,
        }
    }

    fn apply_v2(&self, memory: &LinuxMemory) -> Result<()> {
        if let Some(bytes) = swap_v2(given(memory.limit()), given(memory.swap()))? {
            let setting = self.setting(SWAP, "memory.swap.max");
            let value = if bytes == -1 { "max".to_owned() } else { bytes.to_string() };
            match setting.by(&value, self.controller.set_memswap_limit(bytes)) {
                // A kernel without swap gives none, which is what 0 asks for, and does not limit it.
                Err(error) if bytes <= 0 && error.errno() == Some(libc::ENOENT) => {}
                result => result?,
            }
        }
        if let Some(bytes) = given(memory.limit()) {
            if memory.check_before_update() == Some(true) {
                self.check_usage(bytes)?;
            }
            let value = if bytes == -1 { "max".to_owned() } else { bytes.to_string() };
            self.setting(LIMIT, "memory.max").by(&value, self.controller.set_limit(bytes))?;
        }
        match given(memory.reservation()) {
            // cgroups-rs writes -1, which is no number here.
            Some(-1) => self.setting(RESERVATION, "memory.low").write("max"),
            Some(bytes) => {
                let setting = self.setting(RESERVATION, "memory.low");
                setting.by(&bytes.to_string(), self.controller.set_soft_limit(bytes))
            }
            None => Ok(()),
        }
    }

    /// v2 takes any limit and kills; v1 refuses by itself (EBUSY).
    fn check_usage(&self, limit: i64) -> Result<()> {
        let path = self.group.dir.join("memory.current");
        let text = std::fs::read_to_string(&path).context(|| format!("cannot read {}", path.display()))?;
        match (text.trim().parse::<u64>(), u64::try_from(limit)) {
            (Ok(usage), Ok(limit)) if usage > limit => Err(Error::user(format!(
                "cannot apply {LIMIT}: the group uses {usage} bytes, more than {limit}"
            ))
            .hint("choose a higher limit, or leave linux.resources.memory.checkBeforeUpdate out")),
            _ => Ok(()),
        }
    }
}

/// config.json counts memory and swap together, v2 swap alone. -1 means no limit.
pub(super) fn swap_v2(limit: Option<i64>, swap: Option<i64>) -> Result<Option<i64>> {
    match (limit, swap) {
        (Some(-1), None) | (_, Some(-1)) => Ok(Some(-1)),
        (_, None) => Ok(None),
        (Some(limit), Some(swap)) if limit >= 0 && swap >= limit => Ok(Some(swap - limit)),
        (Some(limit), Some(swap)) if limit >= 0 => {
            Err(Error::user(format!("invalid {SWAP}: {swap} is below {LIMIT}, {limit}"))
                .hint("it is memory plus swap: at least the memory limit"))
        }
        _ => Err(Error::user(format!("invalid {SWAP}: it needs {LIMIT}"))
            .hint("it is memory plus swap, and cgroup v2 limits swap alone")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn swap_is_converted_for_v2() {
        assert_eq!(swap_v2(None, None).unwrap(), None);
        assert_eq!(swap_v2(Some(100), None).unwrap(), None);
        assert_eq!(swap_v2(Some(-1), None).unwrap(), Some(-1));
        assert_eq!(swap_v2(Some(100), Some(-1)).unwrap(), Some(-1));
        assert_eq!(swap_v2(Some(100), Some(100)).unwrap(), Some(0));
        assert_eq!(swap_v2(Some(100), Some(250)).unwrap(), Some(150));
        assert!(swap_v2(Some(100), Some(50)).is_err());
        assert!(swap_v2(None, Some(50)).is_err());
        assert!(swap_v2(Some(-1), Some(50)).is_err());
    }
}
