//! Sets what [`crate::container::attributes`] has read.

use super::Init;
use crate::container::attributes::Attributes;
use crate::container::labels;
use crate::error::{Context, Error, Result};
use crate::sys::{memory, process, sched};

/// Puts the process on the processors it shall have: those asked for, or all that the cgroup has.
///
/// What the caller was bound to is nothing of the container's (since Linux 6.2 a cpuset no longer undoes it).
pub fn set_affinity(init: &mut Init) -> Result<()> {
    /// 8192 processors; the kernel leaves out what is not there.
    const ALL: [u64; 128] = [u64::MAX; 128];
    let Some(cpus) = &init.plan.process.attributes.final_cpus else {
        return match sched::set_affinity(&ALL) {
            // A caller without the right to it may keep what it has.
            Err(error) if error.raw_os_error() == Some(libc::EPERM) => Ok(()),
            other => other.context(|| "sched_setaffinity"),
        };
    };
    affinity(cpus, "final")
}

/// Binds this process to the processors of process.execCPUAffinity.
///
/// # Errors
/// When none of them is there.
pub fn affinity(cpus: &[u64], key: &str) -> Result<()> {
    sched::set_affinity(cpus)
        .context(|| format!("cannot set process.execCPUAffinity.{key}: sched_setaffinity"))
        .map_err(|error| match error.errno() {
            Some(libc::EINVAL) => error.hint("none of these CPUs is online and in the container's cpuset"),
            _ => error,
        })
}

/// Asks for the label of the session keyring.
pub fn ask_for_key_label(init: &mut Init) -> Result<()> {
    labels::ask_for_keys(&init.plan.process.attributes)
}

/// Asks for the program's profile and label.
pub fn ask_for_labels(init: &mut Init) -> Result<()> {
    labels::ask(&init.plan.process.attributes)
}

/// Sets the NUMA policy.
pub fn set_memory_policy(init: &mut Init) -> Result<()> {
    let Some(policy) = &init.plan.process.attributes.memory_policy else { return Ok(()) };
    memory::set_policy(policy.mode, &policy.nodes).context(|| "set_mempolicy (linux.memoryPolicy)").map_err(
        |error| match error.errno() {
            Some(libc::EINVAL) => error.hint(
                "a node is not there, or mode, flags and nodes do not go together: see set_mempolicy(2)",
            ),
            Some(libc::ENOSYS) => error.hint("this kernel has no NUMA"),
            _ => error,
        },
    )
}

/// Sets the execution domain.
pub fn set_personality(init: &mut Init) -> Result<()> {
    match init.plan.process.attributes.personality {
        Some(domain) => process::set_personality(domain).context(|| "personality (linux.personality)"),
        None => Ok(()),
    }
}

/// Sets policy and priorities of CPU and I/O. With a deadline this process can no longer fork.
pub fn set_priorities(init: &mut Init) -> Result<()> {
    let Attributes { scheduler, io_priority, .. } = &init.plan.process.attributes;
    if let Some(priority) = io_priority {
        sched::set_io_priority(*priority)
            .context(|| "ioprio_set (process.ioPriority)")
            .map_err(|error| needs_privilege(error, "CAP_SYS_ADMIN or CAP_SYS_NICE"))?;
    }
    let Some(attributes) = scheduler else { return Ok(()) };
    sched::set_attributes(*attributes).context(|| "sched_setattr (process.scheduler)").map_err(scheduler_hint)
}

fn needs_privilege(error: Error, capability: &str) -> Error {
    match error.errno() {
        Some(libc::EPERM) => error.hint(format!("it takes {capability}")),
        _ => error,
    }
}

fn scheduler_hint(error: Error) -> Error {
    match error.errno() {
        Some(libc::EPERM) => error.hint(
            "it takes CAP_SYS_NICE; a process scheduler can't be used together with AllowedCPUs (linux.resources.cpu.cpus) \
             where the policy is SCHED_DEADLINE, nor a real-time one in a cgroup without linux.resources.cpu.realtimeRuntime",
        ),
        Some(libc::EBUSY) => error.hint("the deadlines admitted leave no room for this one: see sched(7)"),
        Some(libc::EINVAL) => {
            error.hint("this kernel has no such policy, or runtime, deadline and period do not go together: see sched(7)")
        }
        _ => error,
    }
}
