//! Who the program is, and where it stands.

use super::Init;
use crate::error::{Context, Error, Kind, Result};
use crate::sync::message::{FromInit, ToInit};
use crate::sys::process;
use std::ffi::CString;
use std::io::Read;
use std::path::Path;

/// Becomes the one who makes the container's files, in a user namespace: this process still is root of the host there,
/// which is nobody. Until then it waits for the command, who alone can give the namespace its ids.
pub fn become_namespace_root(init: &mut Init) -> Result<()> {
    let Some((uid, gid)) = init.plan.process.namespace_root else { return Ok(()) };
    // Others in the namespace might trace this process, and so reach the host's files through it. The kernel asks
    // for rights over the namespace that our memory belongs to, which is the host's, until a program is executed.
    process::set_not_dumpable().context(|| "cannot refuse to be traced")?;
    if init.plan.awaits_maps {
        let gone = || Error::new(Kind::Died, "the command is gone");
        init.plan.link.send(&FromInit::NeedMaps).context(|| "cannot talk to the command")?;
        match init.plan.link.receive()?.ok_or_else(gone)? {
            ToInit::MapsWritten => {}
            _ => return Err(Error::new(Kind::Protocol, "the command spoke out of turn")),
        }
    }
    process::set_identity(uid, gid, &[]).context(|| format!("to user {uid}, group {gid}"))?;
    // The change of user has cleared it.
    super::die_with_command()
}

/// Drops from the bounding set.
pub fn drop_bounding(init: &mut Init) -> Result<()> {
    init.plan.process.capabilities.drop_bounding()
}

/// Sets groups, group and user; the permitted capabilities outlast it.
pub fn become_user(init: &mut Init) -> Result<()> {
    let process = &init.plan.process;
    process::set_keep_capabilities(true).context(|| "cannot keep capabilities")?;
    process::set_identity(process.uid, process.gid, &process.groups)
        .context(|| format!("to user {}, group {}", process.uid, process.gid))?;
    process::set_keep_capabilities(false).context(|| "cannot stop keeping capabilities")
}

/// Sets the capabilities of the program.
pub fn set_capabilities(init: &mut Init) -> Result<()> {
    init.plan.process.capabilities.apply()
}

/// Enters the working directory with root's rights, if those are enough.
pub fn enter_cwd_early(init: &mut Init) -> Result<()> {
    match enter(&init.plan.process.cwd) {
        Err(error) if error.errno() == Some(libc::EACCES) => Ok(()), // enter_cwd tries again
        entered => {
            init.in_cwd = entered.is_ok();
            entered
        }
    }
}

/// Enters the working directory as the user, if root could not.
pub fn enter_cwd(init: &mut Init) -> Result<()> {
    if init.in_cwd { Ok(()) } else { enter(&init.plan.process.cwd) }
}

/// Enters it, and makes sure that it lies in the container.
///
/// A path such as /proc/self/fd/7 may lead to a directory of the host through a descriptor that somebody leaked
/// (CVE-2024-21626): getcwd(2) then finds no way to it from the root.
fn enter(cwd: &Path) -> Result<()> {
    let title = || format!("{cwd:?}");
    nix::unistd::chdir(cwd).context_as(Kind::User, title)?;
    let outside =
        || Error::user("it does not lie inside the container").hint("choose a directory of the image");
    match nix::unistd::getcwd() {
        Ok(now) if now.is_absolute() => Ok(()),
        Ok(_) | Err(nix::errno::Errno::ENOENT) => Err(outside()).context(title),
        Err(error) => Err(error).context(title),
    }
}

/// Sets HOME from the container's /etc/passwd where the environment has none: programs rely on it, and every other
/// runtime does it.
pub fn complete_environment(init: &mut Init) -> Result<()> {
    let process = &mut init.plan.process;
    // In a PID namespace that it does not lead, the program is not process 1; sd_listen_fds(3) compares.
    if !process.preserved_fds.is_empty()
        && let Some(pair) = process.env.iter_mut().find(|pair| pair.as_c_str() == c"LISTEN_PID=1")
    {
        *pair = CString::new(format!("LISTEN_PID={}", std::process::id())).unwrap_or_default();
    }
    if process.env.iter().any(|pair| pair.as_bytes().starts_with(b"HOME=") && pair.as_bytes().len() > 5) {
        return Ok(());
    }
    process.env.retain(|pair| !pair.as_bytes().starts_with(b"HOME="));
    let home = home_of(process.uid).unwrap_or_else(|| "/".into());
    let pair = CString::new(format!("HOME={home}"))
        .map_err(|_| Error::user("the home directory holds a NUL byte"))?;
    process.env.push(pair);
    Ok(())
}

/// The home directory of a user, from a file that the image wrote: it may be a FIFO, a device, endless or missing.
fn home_of(uid: u32) -> Option<String> {
    const LARGEST_BYTES: u64 = 1 << 20;
    let file = crate::sys::fs::open_existing(
        Path::new("/etc/passwd"),
        libc::O_RDONLY | libc::O_NONBLOCK | libc::O_NOCTTY,
    )
    .ok()?;
    let file = std::fs::File::from(file);
    if !file.metadata().ok()?.is_file() {
        return None;
    }
    let mut bytes = Vec::new();
    file.take(LARGEST_BYTES).read_to_end(&mut bytes).ok()?;
    home_in(&String::from_utf8_lossy(&bytes), uid)
}

fn home_in(passwd: &str, uid: u32) -> Option<String> {
    let line = |line: &str| {
        let fields: Vec<&str> = line.split(':').collect();
        (fields.len() >= 6 && fields[2].parse() == Ok(uid)).then(|| fields[5].to_owned())
    };
    passwd.lines().find_map(line).filter(|home| home.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn homes() {
        let passwd =
            "root:x:0:0:root:/root:/bin/sh\nbroken\nwww:x:33:33::/var/www:/bin/false\nbad:x:5:5::relative:\n";
        assert_eq!(home_in(passwd, 0).as_deref(), Some("/root"));
        assert_eq!(home_in(passwd, 33).as_deref(), Some("/var/www"));
        assert_eq!(home_in(passwd, 5), None);
        assert_eq!(home_in(passwd, 7), None);
    }
}
