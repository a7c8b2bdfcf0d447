//! What the kernel did to a group for want of memory.

use super::kill::vanished;
use super::{Cgroup, Group, freeze};
use crate::error::{Context, Result};

/// Out-of-memory kills in a group, and its limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct MemoryEvents {
    /// Processes killed since the group was made; on v2 also those in groups below it.
    pub oom_kills: u64,
    /// The group's own limit in bytes; `None` where it has none.
    pub limit_bytes: Option<u64>,
}

impl Cgroup {
    /// Reads them. Without a memory controller, or without the group, nothing was killed and there is no limit.
    ///
    /// # Errors
    /// When the kernel does not let us read the group.
    pub fn memory_events(&self) -> Result<MemoryEvents> {
        // cgroups-rs reads a dozen files for this, and panics on one that it cannot parse.
        let (group, limit) = match (self.v1("memory"), self.unified()) {
            (Some(v1), _) => (v1, "memory.limit_in_bytes"),
            (None, Some(v2)) => (v2, "memory.max"),
            (None, None) => return Ok(MemoryEvents::default()),
        };
        Ok(MemoryEvents {
            oom_kills: oom_kills(group)?,
            limit_bytes: limit_bytes(&group.read_if_there(limit)?),
        })
    }
}

/// How many processes of the group the kernel has killed for want of memory.
pub(super) fn oom_kills(group: &Group) -> Result<u64> {
    let file = if group.is_v2() { "memory.events" } else { "memory.oom_control" };
    Ok(freeze::value(&group.read_if_there(file)?, "oom_kill").unwrap_or(0))
}

impl Group {
    fn read_if_there(&self, file: &str) -> Result<String> {
        let path = self.dir.join(file);
        match std::fs::read_to_string(&path) {
            Err(error) if vanished(&error) => Ok(String::new()),
            result => result.context(|| format!("cannot read {}", path.display())),
        }
    }
}

/// `max` on v2; on v1 the largest number of whole pages, whatever the page size (up to 64 KiB).
fn limit_bytes(text: &str) -> Option<u64> {
    const UNLIMITED_V1: u64 = (i64::MAX.cast_unsigned()) & !0xffff;
    text.trim().parse().ok().filter(|bytes| *bytes < UNLIMITED_V1)
}

#[cfg(test)]
mod tests {
    use super::super::Mode;
    use super::super::tests::{scratch, text};
    use super::*;

    #[test]
    fn both_versions() {
        let top = scratch("events");
        let group = |controllers: &str| Cgroup {
            mode: Mode::V1,
            groups: vec![Group { controllers: controllers.into(), mount: top.clone(), dir: top.clone() }],
        };
        assert_eq!(group("memory").memory_events().unwrap(), MemoryEvents::default());
        assert_eq!(group("pids").memory_events().unwrap(), MemoryEvents::default());
        text(&top, "memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 3\n");
        text(&top, "memory.limit_in_bytes", "9223372036854771712\n");
        assert_eq!(
            group("memory").memory_events().unwrap(),
            MemoryEvents { oom_kills: 3, limit_bytes: None }
        );
        text(&top, "memory.limit_in_bytes", "4194304\n");
        assert_eq!(group("memory").memory_events().unwrap().limit_bytes, Some(4_194_304));
        text(&top, "memory.events", "low 0\nhigh 0\nmax 7\noom 1\noom_kill 1\noom_group_kill 0\n");
        text(&top, "memory.max", "max\n");
        assert_eq!(group("").memory_events().unwrap(), MemoryEvents { oom_kills: 1, limit_bytes: None });
        std::fs::remove_dir_all(top).unwrap();
    }
}
