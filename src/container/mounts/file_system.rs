//! Making a file system, changing one that is mounted, and setting attributes of mounts: all by descriptor.

use super::options::{Flags, Options};
use crate::error::{Context, Error, Result};
use crate::sys::mount::{self, Depth, FsContext, MountAttr};
use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};

/// Bytes of a value that fsconfig(2) takes; mount(2) took a page for all of them together.
const LONGEST_VALUE: usize = 255;

/// A detached mount of a new file system, with the parameters and, as far as `flags` say, the attributes that the options
/// name.
///
/// # Errors
/// For a type or a parameter that the kernel does not know, in its words.
pub fn new_fs(fstype: &CStr, source: Option<&CStr>, parameters: &[String], flags: Flags) -> Result<OwnedFd> {
    let name = fstype.to_string_lossy();
    let context = FsContext::open(fstype).context(|| format!("cannot use file system type {name}")).map_err(
        |error| owner_hint(&name, error, "/proc/filesystems lists the types that this kernel has"),
    )?;
    let configured = (|| -> io::Result<OwnedFd> {
        if let Some(source) = source {
            context.set_string(c"source", source)?;
        }
        if flags.read_only() && !is_shared(fstype) {
            context.set_flag(c"ro")?;
        }
        set_parameters(&context, parameters)?;
        context.mount(flags.of_new().set)
    })();
    let made = configured.map_err(|error| {
        // Kernels that do not say which option they refuse get all of them named.
        let with =
            if parameters.is_empty() { String::new() } else { format!(" with {:?}", parameters.join(",")) };
        complain(context, error, &format!("cannot make a {name} file system{with}"))
    });
    made.map_err(|error| owner_hint(&name, error, length_hint(parameters)))
}

fn length_hint(parameters: &[String]) -> &'static str {
    let is_long =
        |parameter: &String| parameter.split_once('=').is_some_and(|(_, value)| value.len() > LONGEST_VALUE);
    if parameters.iter().any(is_long) {
        "the value of an option may be 255 bytes long; before Linux 6.8 that goes for all layers of an overlay together"
    } else {
        ""
    }
}

/// Tells of file systems that show a namespace, and that only root of that namespace's user namespace may mount; of
/// others, what there is to say otherwise.
fn owner_hint(fstype: &str, error: Error, otherwise: &str) -> Error {
    const OWNERS: [(&str, &str); 3] = [("sysfs", "network"), ("proc", "pid"), ("mqueue", "ipc")];
    let denied = error.errno() == Some(libc::EPERM);
    match OWNERS.iter().find(|(known, _)| denied && *known == fstype) {
        Some((_, namespace)) => error.hint(format!(
            "in a user namespace, {fstype} needs a {namespace} namespace that belongs to it: a new one, or another \
             container's of the same user namespace; or bind the host's"
        )),
        None if otherwise.is_empty() => error,
        None => error.hint(otherwise),
    }
}

/// Gives new parameters to the file system that is mounted at `fd`.
///
/// # Errors
/// As [`new_fs`].
pub fn reconfigure(fd: BorrowedFd<'_>, parameters: &[String]) -> Result<()> {
    let context = FsContext::pick(fd).context(|| "cannot take up the file system")?;
    let configured = set_parameters(&context, parameters).and_then(|()| context.reconfigure());
    configured.map_err(|error| complain(context, error, "cannot change the file system"))
}

/// File systems that are one for all who mount them in the same namespace: read-only is the mount, and not what others of
/// a pod have mounted as well.
fn is_shared(fstype: &CStr) -> bool {
    [c"proc", c"sysfs", c"mqueue"].contains(&fstype)
}

fn set_parameters(context: &FsContext, parameters: &[String]) -> io::Result<()> {
    for parameter in parameters {
        let text = |text: &str| CString::new(text).map_err(io::Error::other);
        match parameter.split_once('=') {
            None => context.set_flag(&text(parameter)?)?,
            // The layers of an overlay one by one, as Linux 6.8 takes them. An escaped or a doubled colon divides others.
            Some(("lowerdir", layers))
                if layers.len() > LONGEST_VALUE && !layers.contains(['\\']) && !layers.contains("::") =>
            {
                for layer in layers.split(':') {
                    context.set_string(c"lowerdir+", &text(layer)?)?;
                }
            }
            Some((key, value)) => context.set_string(&text(key)?, &text(value)?)?,
        }
    }
    Ok(())
}

fn complain(context: FsContext, error: io::Error, title: &str) -> Error {
    let what = match context.complaint() {
        Some(complaint) => format!("the kernel says {complaint:?}"),
        None => title.to_owned(),
    };
    Error::host(what).because(error)
}

/// Sets attributes of a mount, if there are any to set.
///
/// # Errors
/// Those of mount_setattr(2).
pub fn set_attributes(fd: BorrowedFd<'_>, depth: Depth, attr: &MountAttr) -> Result<()> {
    if *attr == MountAttr::default() {
        return Ok(());
    }
    mount::mount_setattr(fd, depth, attr).context(|| "cannot set the mount's options")
}

/// Sets attributes of a mount that may have come, locked, from another user namespace. What is locked and not named stays;
/// what is named to be otherwise is an error.
///
/// # Errors
/// Those of mount_setattr(2).
pub fn set_lockable(fd: BorrowedFd<'_>, attr: &MountAttr, flags: Flags) -> Result<()> {
    let whole = set_attributes(fd, Depth::One, attr);
    let Err(refusal) = whole else { return Ok(()) };
    if refusal.errno() != Some(libc::EPERM) {
        return Err(refusal);
    }
    let found = nix::sys::statfs::fstatfs(fd).context(|| "cannot stat the file system")?.flags();
    let kept = if flags.contradicts(found.bits()) {
        Err(refusal)
    } else {
        set_attributes(fd, Depth::One, &flags.of_locked())
    };
    kept.map_err(lock_hint)
}

/// What a mount of another user namespace does not let change.
pub fn lock_hint(error: Error) -> Error {
    match error.errno() {
        Some(libc::EPERM) => error.hint(
            "ro, nosuid, nodev and noexec of a mount of another user namespace can be added, not taken off, and its access \
             times stay as they are",
        ),
        _ => error,
    }
}

/// Sets the propagation types that options name.
///
/// # Errors
/// Those of mount_setattr(2).
pub fn set_propagation(fd: BorrowedFd<'_>, options: &Options) -> Result<()> {
    for (kind, depth) in &options.propagation {
        let attr = MountAttr { propagation: *kind, ..MountAttr::default() };
        mount::mount_setattr(fd, *depth, &attr).context(|| "cannot set the propagation")?;
    }
    Ok(())
}
