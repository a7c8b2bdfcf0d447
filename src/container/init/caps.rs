//! The five capability sets, capabilities(7).

use crate::error::{Context, Error, Result};
use crate::report;
use caps::{CapSet, Capability, CapsHashSet};
use oci_spec::runtime::{Capabilities, LinuxCapabilities};
use std::io;

/// What the program gets. A config without capabilities gives none.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct CapabilitySets {
    bounding: CapsHashSet,
    effective: CapsHashSet,
    permitted: CapsHashSet,
    inheritable: CapsHashSet,
    ambient: CapsHashSet,
}

/// Whose capabilities those of a program are taken from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Held {
    /// This process's own.
    Ours,
    /// A user namespace's: there are all of them, for whoever enters it.
    All,
}

#[expect(clippy::needless_pass_by_value, reason = "the signature that map_err wants")]
fn from_caps(error: caps::errors::CapsError) -> Error {
    // The crate keeps the system's error as text alone.
    Error::host(error.to_string())
}

impl CapabilitySets {
    /// Takes the sets from the spec. What this process itself has not got cannot be given: the runtime spec wants a
    /// warning and no error.
    ///
    /// # Errors
    /// When our own capabilities cannot be read.
    pub fn plan(wanted: Option<&LinuxCapabilities>, held: Held) -> Result<Self> {
        let Some(wanted) = wanted else { return Ok(Self::default()) };
        let ours = match held {
            Held::Ours => caps::read(None, CapSet::Permitted).map_err(from_caps)?,
            Held::All => caps::all(),
        };
        let mut missing = Vec::new();
        let mut take = |set: &Option<Capabilities>| -> CapsHashSet {
            let names = set.iter().flatten().filter_map(|capability| {
                let name = capability.to_string();
                format!("CAP_{name}").parse::<Capability>().ok()
            });
            let (granted, refused): (CapsHashSet, CapsHashSet) = names.partition(|name| ours.contains(name));
            missing.extend(refused.into_iter().map(|capability| capability.to_string()));
            granted
        };
        let mut sets = Self {
            bounding: take(wanted.bounding()),
            effective: take(wanted.effective()),
            permitted: take(wanted.permitted()),
            inheritable: take(wanted.inheritable()),
            ambient: take(wanted.ambient()),
        };
        missing.sort_unstable();
        missing.dedup();
        if !missing.is_empty() {
            report::warn(&format!(
                "podrun itself has not got {}; the container runs without",
                missing.join(", ")
            ));
        }
        sets.narrow();
        Ok(sets)
    }

    /// The kernel refuses more effective than permitted and more ambient than permitted and inheritable. Here, too, the
    /// runtime spec wants a warning and no error.
    fn narrow(&mut self) {
        let held: CapsHashSet = self.permitted.intersection(&self.inheritable).copied().collect();
        let mut dropped = Vec::new();
        for (set, within, why) in [
            (&mut self.effective, &self.permitted, "effective, but not permitted"),
            (&mut self.ambient, &held, "ambient, but not permitted and inheritable"),
        ] {
            let outside = set.difference(within).map(|capability| format!("{capability} ({why})"));
            dropped.extend(outside);
            set.retain(|capability| within.contains(capability));
        }
        dropped.sort_unstable();
        if !dropped.is_empty() {
            report::warn(&format!("process.capabilities: these cannot be granted: {}", dropped.join(", ")));
        }
    }

    /// Adds capabilities to bounding, permitted and effective, as `exec --cap` does; never to the inheritable ones, which
    /// a program could hand on (CVE-2022-29162). Those that the config has there become ambient: the program of a user
    /// who is not root would have nothing of them otherwise.
    ///
    /// # Errors
    /// For one that this process itself has not got: who asks for it by name wants no less.
    pub fn add(&mut self, names: &[Capability]) -> Result<()> {
        if names.is_empty() {
            return Ok(());
        }
        let ours = caps::read(None, CapSet::Permitted).map_err(from_caps)?;
        if let Some(missing) = names.iter().find(|name| !ours.contains(name)) {
            return Err(Error::user(format!("cannot add {missing}: podrun itself has not got it")));
        }
        for set in [&mut self.bounding, &mut self.permitted, &mut self.effective] {
            set.extend(names);
        }
        self.ambient.extend(names.iter().filter(|name| self.inheritable.contains(name)));
        Ok(())
    }

    /// Drops from the bounding set what is not in ours.
    ///
    /// # Errors
    /// Names the capability that could not be dropped.
    pub fn drop_bounding(&self) -> Result<()> {
        // Up to the kernel's last one, which may be newer than any list of names.
        for number in 0..64u8 {
            if self.bounding.iter().any(|capability| capability.index() == number) {
                continue;
            }
            match crate::sys::process::drop_bounding(number) {
                Err(error) if error.raw_os_error() == Some(libc::EINVAL) => break,
                other => {
                    other.context(|| format!("cannot drop capability {number} from the bounding set"))?
                }
            }
        }
        Ok(())
    }

    /// Sets permitted, effective, inheritable and ambient.
    ///
    /// # Errors
    /// Those of capset(2) and prctl(2).
    pub fn apply(&self) -> Result<()> {
        let mask = |set: &CapsHashSet| set.iter().fold(0u64, |mask, capability| mask | capability.bitmask());
        let set = |e, p, i| -> io::Result<()> { crate::sys::process::set_capabilities(e, p, i) };
        set(mask(&self.effective), mask(&self.permitted), mask(&self.inheritable)).context(|| "capset")?;
        for capability in &self.ambient {
            caps::raise(None, CapSet::Ambient, *capability)
                .map_err(from_caps)
                .context(|| format!("cannot make {capability} ambient"))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_stay_within_one_another() {
        let json = r#"{"bounding": ["CAP_CHOWN"], "permitted": [], "effective": ["CAP_CHOWN"], "ambient": ["CAP_CHOWN"]}"#;
        let wanted: LinuxCapabilities = serde_json::from_str(json).unwrap();
        let (sets, warnings) = report::collect(|| CapabilitySets::plan(Some(&wanted), Held::All).unwrap());
        assert!(sets.effective.is_empty());
        assert!(sets.ambient.is_empty());
        let want = "process.capabilities: these cannot be granted: CAP_CHOWN (ambient, but not permitted and \
                    inheritable), CAP_CHOWN (effective, but not permitted)";
        assert_eq!(warnings, [want]);
        let json = r#"{"permitted": ["CAP_CHOWN"], "inheritable": ["CAP_CHOWN"], "effective": ["CAP_CHOWN"], "ambient": ["CAP_CHOWN"]}"#;
        let wanted: LinuxCapabilities = serde_json::from_str(json).unwrap();
        let (sets, warnings) = report::collect(|| CapabilitySets::plan(Some(&wanted), Held::All).unwrap());
        assert_eq!((sets.effective.len(), sets.ambient.len(), warnings.len()), (1, 1, 0));
        assert_eq!(CapabilitySets::plan(None, Held::Ours).unwrap(), CapabilitySets::default());
    }

    #[test]
    fn every_name_of_the_spec_is_a_kernel_name() {
        for capability in caps::all() {
            let json = format!("{{\"bounding\": [\"{capability}\"]}}");
            serde_json::from_str::<LinuxCapabilities>(&json).unwrap();
        }
    }
}
