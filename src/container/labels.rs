//! Profiles of AppArmor and labels of SELinux: whether the host has either, and how a process asks for one.
//!
//! A process can only ask for itself, through its own files below /proc/self/attr, and gets what it asked for at its next
//! execve. It asks while /proc is still the host's: one that an image could shape would swallow the request
//! (CVE-2019-16884, CVE-2019-19921). What is asked for is handed down at fork.

use super::attributes::Attributes;
use crate::error::{Context, Error, Result};
use crate::sys::fs;
use std::ffi::CStr;
use std::path::Path;

/// The profile that is no confinement: on a host without AppArmor all programs have it.
const UNCONFINED: &str = "unconfined";

/// A security module of the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Module {
    AppArmor,
    SeLinux,
}

impl Module {
    /// Whether the running kernel has it switched on.
    fn is_enabled(self) -> bool {
        match self {
            // The module's own word; the directory in securityfs is there for whoever has mounted it.
            Self::AppArmor => std::fs::read_to_string("/sys/module/apparmor/parameters/enabled")
                .is_ok_and(|text| text.starts_with('Y')),
            // Registered when it is switched on, and only then; before a policy is loaded, everything is "kernel".
            Self::SeLinux => {
                let registered = std::fs::read_to_string("/proc/filesystems")
                    .is_ok_and(|text| text.lines().any(|line| line.ends_with("\tselinuxfs")));
                registered
                    && std::fs::read_to_string("/proc/self/attr/current")
                        .is_ok_and(|label| !matches!(label.trim_end_matches(['\0', '\n']), "" | "kernel"))
            }
        }
    }

    fn required(self, field: &str) -> Result<()> {
        if self.is_enabled() {
            return Ok(());
        }
        let (name, hint) = match self {
            Self::AppArmor => (
                "apparmor is not enabled on this host",
                "leave the profile out or run the container unconfined; or boot with apparmor=1 security=apparmor",
            ),
            Self::SeLinux => (
                "SELinux is not enabled on this host, or has no policy",
                "leave the label out or disable labels in the client; or boot with selinux=1 security=selinux",
            ),
        };
        Err(Error::user(format!("{field}: {name}")).hint(hint))
    }
}

/// Whether the host can give a process what it asks for; `field` tells where a property stands.
///
/// # Errors
/// Names the property that the host cannot honour, or that is no profile or label.
pub fn check_process(attributes: &Attributes, field: impl Fn(&str) -> String) -> Result<()> {
    if let Some(profile) = attributes.apparmor.as_deref().filter(|profile| *profile != UNCONFINED) {
        let field = field("apparmorProfile");
        check_text(profile).context(|| field.clone())?;
        Module::AppArmor.required(&field)?;
    }
    match &attributes.selinux {
        Some(label) => check_label(&field("selinuxLabel"), label),
        None => Ok(()),
    }
}

/// Whether the host can label files or processes so.
///
/// # Errors
/// As [`check_process`].
pub fn check_label(field: &str, label: &str) -> Result<()> {
    check_text(label).context(|| field.to_owned())?;
    Module::SeLinux.required(field)
}

/// Asks for the label of keys made next, which is the process's own: its session keyring is labelled like itself. The
/// kernel forgets it at execve. While /proc is the host's.
///
/// # Errors
/// When the policy does not allow it.
pub fn ask_for_keys(attributes: &Attributes) -> Result<()> {
    let Some(label) = &attributes.selinux else { return Ok(()) };
    fs::write_existing(Path::new("/proc/self/attr/keycreate"), label).context(|| {
        format!("cannot ask for the SELinux label {label:?} of the keyring (process.selinuxLabel)")
    })
}

/// Whether a new file system of this type takes the mount option `context`: the kernel labels the files of the others
/// itself, by the policy.
pub fn can_label(fstype: &CStr) -> bool {
    !matches!(fstype.to_bytes(), b"proc" | b"sysfs" | b"mqueue" | b"cgroup" | b"cgroup2")
}

/// One line, of a length that the kernel takes in one write.
fn check_text(text: &str) -> Result<()> {
    const LONGEST: usize = 4000;
    match text.len() <= LONGEST && !text.contains(|c: char| c.is_control()) {
        true => Ok(()),
        false => {
            Err(Error::user(format!("{text:.40?} is longer than {LONGEST} bytes or has control characters")))
        }
    }
}

/// Asks for the profile and the label of the program to be executed next. While /proc is the host's.
///
/// # Errors
/// When the profile is not loaded, or the policy does not allow the label.
pub fn ask(attributes: &Attributes) -> Result<()> {
    if let Some(profile) = &attributes.apparmor {
        // Beside other modules it has a directory of its own, since Linux 5.8.
        let own = Path::new("/proc/self/attr/apparmor/exec");
        let path = if own.exists() { own } else { Path::new("/proc/self/attr/exec") };
        let written = if profile == UNCONFINED && !Module::AppArmor.is_enabled() {
            Ok(())
        } else {
            fs::write_existing(path, &format!("exec {profile}"))
        };
        written
            .context(|| format!("cannot ask for the apparmor profile {profile:?} (process.apparmorProfile)"))
            .map_err(|error| match error.errno() {
                Some(libc::ENOENT) => {
                    error.hint("load it with apparmor_parser; `aa-status` lists those that are loaded")
                }
                _ => error,
            })?;
    }
    let Some(label) = &attributes.selinux else { return Ok(()) };
    fs::write_existing(Path::new("/proc/self/attr/exec"), label)
        .context(|| format!("cannot ask for the SELinux label {label:?} (process.selinuxLabel)"))
        .map_err(|error| match error.errno() {
            Some(libc::EINVAL) => error.hint("the loaded policy has no such context: see seinfo(1)"),
            _ => error,
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unconfined_needs_no_apparmor_and_texts_are_bounded() {
        let asks = |profile: &str| Attributes { apparmor: Some(profile.into()), ..Attributes::default() };
        let field = |key: &str| format!("process.{key}");
        check_process(&asks("unconfined"), field).unwrap();
        for bad in ["a\nb", "a\0b", &"x".repeat(5000)] {
            let error = check_process(&asks(bad), field).unwrap_err().to_string();
            assert!(error.starts_with("process.apparmorProfile: \""), "{error}");
        }
        if !Module::AppArmor.is_enabled() {
            let error = check_process(&asks("docker-default"), field).unwrap_err();
            assert!(
                error.to_string().starts_with("process.apparmorProfile: apparmor is not enabled"),
                "{error}"
            );
            assert!(error.remedy().is_some());
        }
    }
}
