//! Has libseccomp turn a profile into a BPF program. The rules of how a profile's entries become libseccomp's are
//! runc's, since profiles in the field are written against it.

use super::profile::{Condition, Profile, Rule};
use super::stub;
use crate::error::{Context, Error, Result};
use libseccomp::error::SeccompError;
use libseccomp::{ScmpAction, ScmpArch, ScmpArgCompare, ScmpFilterContext, ScmpSyscall};
use nix::sys::memfd::{MFdFlags, memfd_create};
use std::fs::File;
use std::io::{Read, Seek};

/// Part of the cache's key: raise it when the same profile comes out as another program.
pub const REVISION: u32 = 1;

/// BPF_MAXINSNS, linux/bpf_common.h.
const LARGEST: usize = 4096;

/// Bytes of one `struct sock_filter`.
pub const INSTRUCTION: usize = 8;

/// The program for `profile`.
///
/// # Errors
/// When libseccomp cannot express it, or it is longer than the kernel takes.
pub fn compile(profile: &Profile) -> Result<Vec<u8>> {
    // Each comparison is an instruction at least; libseccomp takes minutes for what could never be loaded.
    let comparisons: usize = profile.rules.iter().map(|rule| rule.names.len() * rule.conditions.len()).sum();
    if comparisons > LARGEST {
        return Err(too_long("comparisons", comparisons));
    }
    let context = context(profile).map_err(foreign).context(|| "cannot prepare the seccomp filter")?;
    let context = with_rules(with_architectures(context, profile)?, profile)?;
    let mut program = stub::for_profile(profile);
    program.extend(export(&context)?);
    match program.len() / INSTRUCTION {
        count if count <= LARGEST => Ok(program),
        count => Err(too_long("instructions", count)),
    }
}

fn too_long(what: &str, count: usize) -> Error {
    Error::user(format!(
        "linux.seccomp: its program has {count} {what}, the kernel takes {LARGEST} instructions"
    ))
    .hint("leave out rules or architectures")
}

fn context(profile: &Profile) -> std::result::Result<ScmpFilterContext, SeccompError> {
    /// From this many names on, a binary tree over the numbers beats comparing one after the other. Loading gains
    /// most: the kernel runs the program once for each system call to learn which are always allowed, and a usual
    /// profile loads in 0.23 ms instead of 0.8.
    const MANY: usize = 32;
    /// SCMP_FLTATR_CTL_OPTIMIZE: binary tree.
    const TREE: u32 = 2;
    let mut context = ScmpFilterContext::new(profile.default)?;
    // Not below: libseccomp up to 2.5.4 makes a wrong tree of no rules.
    if profile.rules.iter().map(|rule| rule.names.len()).sum::<usize>() > MANY {
        context.set_ctl_optimize(TREE)?;
    }
    Ok(context)
}

fn with_architectures(mut context: ScmpFilterContext, profile: &Profile) -> Result<ScmpFilterContext> {
    for (index, architecture) in profile.architectures.iter().enumerate() {
        context.add_arch(*architecture).map_err(foreign).context(|| {
            format!("linux.seccomp.architectures[{index}]: cannot filter {architecture:?} on this machine")
        })?;
    }
    Ok(context)
}

fn with_rules(mut context: ScmpFilterContext, profile: &Profile) -> Result<ScmpFilterContext> {
    for (index, rule) in profile.rules.iter().enumerate() {
        // libseccomp refuses rules that say what the default says.
        if rule.action == profile.default {
            continue;
        }
        for name in &rule.names {
            // Unknown names are those of other architectures or of younger kernels; `stub` has the latter's answer.
            let Some(syscall) = number(name, ScmpArch::Native) else { continue };
            add(&mut context, rule, syscall)
                .map_err(foreign)
                .context(|| format!("linux.seccomp.syscalls[{index}]: cannot add a rule for {name:?}"))?;
        }
    }
    Ok(context)
}

fn add(
    context: &mut ScmpFilterContext,
    rule: &Rule,
    syscall: ScmpSyscall,
) -> std::result::Result<(), SeccompError> {
    let comparisons: Vec<_> = rule.conditions.iter().map(comparison).collect();
    // libseccomp takes one condition an argument. Several on one argument mean that any of all conditions suffices.
    let any = (0..rule.conditions.len())
        .any(|i| rule.conditions[..i].iter().any(|c| c.argument == rule.conditions[i].argument));
    if any {
        for one in &comparisons {
            context.add_rule_conditional(rule.action, syscall, std::slice::from_ref(one))?;
        }
    } else {
        context.add_rule_conditional(rule.action, syscall, &comparisons)?;
    }
    Ok(())
}

fn comparison(condition: &Condition) -> ScmpArgCompare {
    ScmpArgCompare::new(condition.argument, condition.operator, condition.value)
}

/// The number of a system call, negative where `architecture` has none of its own for it.
pub fn number(name: &str, architecture: ScmpArch) -> Option<ScmpSyscall> {
    ScmpSyscall::from_name_by_arch(name, architecture).ok()
}

/// Whether system calls that no rule names are let through.
pub fn is_permissive(action: ScmpAction) -> bool {
    // A tracer emulates what it wants, also what the profile does not know.
    matches!(action, ScmpAction::Allow | ScmpAction::Log | ScmpAction::Trace(_))
}

fn export(context: &ScmpFilterContext) -> Result<Vec<u8>> {
    let doing = || "cannot export the seccomp filter";
    let mut file: File = memfd_create(c"seccomp", MFdFlags::MFD_CLOEXEC).context(doing)?.into();
    context.export_bpf(&file).map_err(foreign).context(doing)?;
    let mut program = Vec::new();
    file.rewind().context(doing)?;
    file.read_to_end(&mut program).context(doing)?;
    Ok(program)
}

#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
fn foreign(error: SeccompError) -> Error {
    Error::user(format!("libseccomp says: {error}"))
}
