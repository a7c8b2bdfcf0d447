//! `process.scheduler`: sched_setattr(2), sched(7).

use crate::error::Result;
use crate::model::node::Node;
use crate::sys::sched::SchedAttr;

const OTHER: u32 = 0;
const FIFO: u32 = 1;
const RR: u32 = 2;
const BATCH: u32 = 3;
const IDLE: u32 = 5;
const DEADLINE: u32 = 6;
const POLICIES: [(&str, u32); 7] = [
    ("SCHED_OTHER", OTHER),
    ("SCHED_FIFO", FIFO),
    ("SCHED_RR", RR),
    ("SCHED_BATCH", BATCH),
    // Reserved, and in no kernel: sched_setattr says so.
    ("SCHED_ISO", 4),
    ("SCHED_IDLE", IDLE),
    ("SCHED_DEADLINE", DEADLINE),
];

/// linux/sched.h. The clamps are for utilizations that the runtime spec has no field for.
const FLAGS: [(&str, u64); 7] = [
    ("SCHED_FLAG_RESET_ON_FORK", 0x01),
    ("SCHED_FLAG_RECLAIM", 0x02),
    ("SCHED_FLAG_DL_OVERRUN", 0x04),
    ("SCHED_FLAG_KEEP_POLICY", 0x08),
    ("SCHED_FLAG_KEEP_PARAMS", 0x10),
    ("SCHED_FLAG_UTIL_CLAMP_MIN", 0x20),
    ("SCHED_FLAG_UTIL_CLAMP_MAX", 0x40),
];

/// Reads what sched_setattr(2) is to be given.
///
/// # Errors
/// Names what is unknown, out of range, or of another policy.
pub fn read(node: &Node<'_>) -> Result<SchedAttr> {
    node.object()?;
    let named = node.require("policy")?;
    let name = named.string()?;
    let policy = POLICIES.iter().find(|(known, _)| *known == name).map(|(_, policy)| *policy);
    let policy = policy.ok_or_else(|| named.error(&format!("unknown policy {name:?}")))?;
    let flags = node.each("flags", |flag| {
        let name = flag.string()?;
        let bit = FLAGS.iter().find(|(known, _)| *known == name).map(|(_, bit)| *bit);
        bit.ok_or_else(|| flag.error(&format!("unknown flag {name:?}")))
    })?;
    let nanoseconds = |key: &str| node.get(key).map_or(Ok(0), |node| node.unsigned(i64::MAX.unsigned_abs()));
    let scheduler = SchedAttr {
        policy,
        flags: flags.into_iter().fold(0, |all, bit| all | bit),
        nice: node.get("nice").map_or(Ok(0), |nice| nice.integer(-20, 19))?,
        priority: node.get("priority").map_or(Ok(0), |priority| priority.integer(0, 99))?.unsigned_abs(),
        runtime: nanoseconds("runtime")?,
        deadline: nanoseconds("deadline")?,
        period: nanoseconds("period")?,
        ..SchedAttr::default()
    };
    check(&scheduler, node, name).map(|()| scheduler)
}

/// What of it does not go with the policy: the kernel would ignore some, and refuse the rest without a reason.
fn check(scheduler: &SchedAttr, node: &Node<'_>, name: &str) -> Result<()> {
    let complain = |key: &str, what: String| {
        Err(node.get(key).map_or_else(|| node.error(&what), |node| node.error(&what)))
    };
    match scheduler.policy {
        FIFO | RR if scheduler.priority == 0 => {
            complain("priority", format!("{name} needs a priority from 1 to 99"))
        }
        FIFO | RR => Ok(()),
        _ if scheduler.priority != 0 => {
            complain("priority", format!("{name} has none; it is for SCHED_FIFO and SCHED_RR"))
        }
        _ => Ok(()),
    }?;
    let times =
        [("runtime", scheduler.runtime), ("deadline", scheduler.deadline), ("period", scheduler.period)];
    let given = times.iter().find(|(_, time)| *time != 0);
    match given {
        Some((key, _)) if scheduler.policy != DEADLINE => {
            complain(key, format!("{name} has none; it is for SCHED_DEADLINE"))
        }
        None if scheduler.policy == DEADLINE => {
            complain("runtime", "SCHED_DEADLINE needs runtime, deadline and period".into())
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn read(value: &Value) -> Result<SchedAttr> {
        super::read(&Node::new("process.scheduler", value))
    }

    #[test]
    fn values_are_the_kernels() {
        let plain = SchedAttr { policy: 3, nice: 19, ..SchedAttr::default() };
        assert_eq!(read(&json!({"policy": "SCHED_BATCH", "nice": 19, "priority": 0})).unwrap(), plain);
        // As runc's own users write it: a nice value and a priority of 0 do not hurt.
        let deadline = json!({"policy": "SCHED_DEADLINE", "flags": ["SCHED_FLAG_RESET_ON_FORK"], "nice": 19, "priority": 0,
            "runtime": 42000, "deadline": 100_000, "period": 1_000_000});
        let times =
            SchedAttr { policy: 6, flags: 1, runtime: 42000, deadline: 100_000, period: 1_000_000, ..plain };
        assert_eq!(read(&deadline).unwrap(), times);
    }

    #[test]
    fn complaints_name_the_field() {
        for (value, field) in [
            (json!({}), "process.scheduler.policy: is missing"),
            (json!({"policy": "SCHED_LUCK"}), "process.scheduler.policy: unknown policy \"SCHED_LUCK\""),
            (json!({"policy": "SCHED_OTHER", "nice": 20}), "process.scheduler.nice: "),
            (json!({"policy": "SCHED_OTHER", "nice": -21}), "process.scheduler.nice: "),
            (
                json!({"policy": "SCHED_OTHER", "priority": 1}),
                "process.scheduler.priority: SCHED_OTHER has none",
            ),
            (json!({"policy": "SCHED_FIFO"}), "process.scheduler: SCHED_FIFO needs a priority"),
            (json!({"policy": "SCHED_RR", "priority": 100}), "process.scheduler.priority: "),
            (json!({"policy": "SCHED_RR", "priority": -1}), "process.scheduler.priority: "),
            (json!({"policy": "SCHED_BATCH", "period": 5}), "process.scheduler.period: SCHED_BATCH has none"),
            (json!({"policy": "SCHED_DEADLINE"}), "process.scheduler: SCHED_DEADLINE needs"),
            (json!({"policy": "SCHED_DEADLINE", "runtime": -1}), "process.scheduler.runtime: "),
            (
                json!({"policy": "SCHED_OTHER", "flags": ["SCHED_FLAG_LUCK"]}),
                "process.scheduler.flags[0]: unknown flag",
            ),
            (json!({"policy": "SCHED_OTHER", "flags": "x"}), "process.scheduler.flags: is not a list"),
        ] {
            let error = read(&value).unwrap_err().to_string();
            assert!(error.starts_with(field), "{error}");
        }
    }
}
