//! Which capabilities a container has.

use crate::error::{Error, Result};
use crate::model::podspec::SecurityContext;
use oci_spec::runtime::{Capabilities, Capability};

/// What every container runtime gives a container that asks for nothing.
const DEFAULT: [Capability; 14] = [
    Capability::AuditWrite,
    Capability::Chown,
    Capability::DacOverride,
    Capability::Fowner,
    Capability::Fsetid,
    Capability::Kill,
    Capability::Mknod,
    Capability::NetBindService,
    Capability::NetRaw,
    Capability::Setfcap,
    Capability::Setgid,
    Capability::Setpcap,
    Capability::Setuid,
    Capability::SysChroot,
];

/// The default ones, plus those to add, less those to drop; `ALL` is taken first, so that one can drop all and add one.
/// Only what podrun itself `has` can be given: what is asked for by name beyond that is warned of.
///
/// # Errors
/// For a name that is no capability.
pub fn choose(
    security: &SecurityContext,
    has: &Capabilities,
    warnings: &mut Vec<String>,
) -> Result<Capabilities> {
    if security.privileged {
        return Ok(has.clone());
    }
    let add = parse("add", &security.capabilities_add)?;
    let drop = parse("drop", &security.capabilities_drop)?;
    let mut chosen: Capabilities = if drop.all {
        Capabilities::new()
    } else if add.all {
        has.clone()
    } else {
        DEFAULT.into_iter().filter(|capability| has.contains(capability)).collect()
    };
    for capability in add.named {
        if has.contains(&capability) {
            chosen.insert(capability);
        } else {
            warnings.push(format!(
                "podrun itself has not got capability {capability}; the container runs without it"
            ));
        }
    }
    for capability in drop.named {
        chosen.remove(&capability);
    }
    Ok(chosen)
}

struct Names {
    all: bool,
    named: Vec<Capability>,
}

fn parse(list: &str, names: &[String]) -> Result<Names> {
    let mut parsed = Names { all: false, named: Vec::new() };
    for name in names {
        let upper = name.to_ascii_uppercase();
        if upper == "ALL" {
            parsed.all = true;
            continue;
        }
        let known = upper.strip_prefix("CAP_").unwrap_or(&upper).parse();
        parsed.named.push(known.map_err(|_| {
            Error::user(format!("securityContext.capabilities.{list}: unknown capability {name:?}"))
                .hint("write it as capabilities(7) does, without CAP_, such as NET_ADMIN; or ALL")
        })?);
    }
    Ok(parsed)
}
