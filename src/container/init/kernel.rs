//! Settings that are written to the kernel: names, sysctls, limits, the OOM score.

use super::Init;
use crate::container::process::Rlimit;
use crate::error::{Context, Error, Kind, Result};
use crate::sys::{fs, process};
use std::path::Path;

/// Sets hostname and domainname of the UTS namespace.
pub fn set_names(init: &mut Init) -> Result<()> {
    if let Some(name) = &init.plan.hostname {
        nix::unistd::sethostname(name).context_as(Kind::User, || format!("hostname {name:?}"))?;
    }
    if let Some(name) = &init.plan.domainname {
        process::set_domain_name(name).context_as(Kind::User, || format!("domainname {name:?}"))?;
    }
    Ok(())
}

/// Writes the sysctls. They were checked to belong to namespaces of the container's.
pub fn set_sysctls(init: &mut Init) -> Result<()> {
    for (name, value) in &init.plan.sysctls {
        if name == "kernel/domainname" {
            // The file is root's of the host, and this one may be root of a user namespace; the call means the same.
            process::set_domain_name(value).context_as(Kind::User, || format!("linux.sysctl {name:?}"))?;
            continue;
        }
        let path = Path::new("/proc/sys").join(name);
        fs::write_existing(&path, value)
            .context_as(Kind::User, || format!("linux.sysctl {:?} = {value:?}", name.replace('/', ".")))?;
    }
    Ok(())
}

/// Writes oom_score_adj of this process, through the host's procfs.
pub fn set_oom_score(init: &mut Init) -> Result<()> {
    init.plan.process.oom_score_adj.map_or(Ok(()), |score| write_oom_score("self", score))
}

/// Writes oom_score_adj of a process, by its name in the host's /proc.
///
/// # Errors
/// When the kernel refuses.
pub fn write_oom_score(process: &str, score: i32) -> Result<()> {
    fs::write_existing(&Path::new("/proc").join(process).join("oom_score_adj"), &score.to_string())
        .context(|| format!("cannot set process.oomScoreAdj {score}"))
        .map_err(|error| match error.errno() {
            Some(libc::EACCES | libc::EPERM) => error.hint("lowering the score takes CAP_SYS_RESOURCE"),
            _ => error,
        })
}

/// Sets the resource limits.
pub fn set_rlimits(init: &mut Init) -> Result<()> {
    set_limits(0, &init.plan.process.rlimits)
}

/// Sets the resource limits of a process, 0 for our own.
///
/// # Errors
/// Names the limit that the kernel refuses.
pub fn set_limits(pid: i32, limits: &[Rlimit]) -> Result<()> {
    for limit in limits {
        process::set_rlimit(pid, limit.resource, limit.soft, limit.hard)
            .context(|| format!("{} to {} (hard {})", limit.name, limit.soft, limit.hard))
            .map_err(|error| rlimit_hint(error, &limit.name))?;
    }
    Ok(())
}

fn rlimit_hint(error: Error, name: &str) -> Error {
    match error.errno() {
        Some(libc::EPERM) if name == "RLIMIT_NOFILE" => {
            error.hint("raising a hard limit takes CAP_SYS_RESOURCE, and RLIMIT_NOFILE stays below the sysctl fs.nr_open")
        }
        Some(libc::EPERM) => error.hint("raising a hard limit takes CAP_SYS_RESOURCE"),
        _ => error,
    }
}
