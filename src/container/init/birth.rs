//! The process between a command and the init of a container that joins namespaces from within a user namespace: as
//! `podrun:join` it joins what it has rights over, the user namespace last, then clones init as the command's child. So
//! all namespaces that are new belong to the user namespace.

use super::{InitPlan, die_with_command, kernel};
use crate::cgroup::Entry;
use crate::container::create::clone_hint;
use crate::container::namespaces::Namespaces;
use crate::error::{Context, Result};
use crate::sync::message::{Failure, FromInit};
use crate::sys::clone::{CloneArgs, SingleThreaded, spawn};
use crate::sys::process;

/// What comes before init.
#[derive(Debug)]
pub struct BirthPlan {
    /// Groups to enter (cgroup v1), where there are any.
    pub cgroup: Option<Entry>,
    /// Badness for the OOM killer, which only root of the host may lower.
    pub oom_score_adj: Option<i32>,
    /// What to join, and what to make.
    pub namespaces: Namespaces,
    /// Copied from the command: a copy of a process with one thread has one thread.
    pub alone: SingleThreaded,
}

/// Joins, clones and ends; speaks only where it fails.
pub fn main(birth: BirthPlan, plan: InitPlan) -> ! {
    let mut plan = Some(plan);
    let Err(error) = run(birth, &mut plan) else { process::exit_now(0) };
    // Should this fail, the command sees the end of the link.
    let told = plan.is_some_and(|plan| plan.link.send(&FromInit::Failed(Failure::from(&error))).is_ok());
    process::exit_now(i32::from(!told))
}

fn run(birth: BirthPlan, plan: &mut Option<InitPlan>) -> Result<()> {
    process::set_name(c"podrun:join").context(|| "cannot name the process")?;
    die_with_command()?;
    // From here on it may be seen by others in the namespaces; see `identity::become_namespace_root`.
    process::set_not_dumpable().context(|| "cannot refuse to be traced")?;
    if let Some(entry) = &birth.cgroup {
        entry.enter().context(|| "cannot enter the cgroup")?;
    }
    birth.oom_score_adj.map_or(Ok(()), |score| kernel::write_oom_score("self", score))?;
    birth.namespaces.join()?;
    let namespaces = u64::try_from(birth.namespaces.clone_flags).unwrap_or_default();
    let args = CloneArgs { sibling: true, namespaces, ..CloneArgs::default() };
    // Init's copies of the command's namespace files and groups are of no use to it.
    drop((birth.cgroup, birth.namespaces));
    // Taken in the child alone: this process may still need the link.
    let child = spawn(birth.alone, args, || {
        if let Some(plan) = plan.take() {
            super::main(plan);
        }
    });
    child.context(|| "cannot clone the init process").map_err(clone_hint).map(drop)
}
