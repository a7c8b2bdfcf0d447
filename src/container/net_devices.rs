//! Moving network devices of the host's into a container's network namespace: `linux.netDevices`.
//!
//! Name and namespace change in one step; addresses that somebody set go along, and the device is up at the end. From then
//! on it is the namespace's: when that ends, the kernel hands hardware back and removes what is virtual.

use crate::error::{Context, Error, Kind, Result};
use crate::sys::netlink::{Address, LONGEST_NAME, Link, Netlink};
use crate::sys::{fs, ns};
use oci_spec::runtime::LinuxNetDevice;
use std::collections::HashMap;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

/// Most devices of a container: a moment's work each, under a lock of the kernel's.
const MOST_DEVICES: usize = 256;

/// A device to move.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NetDevice {
    /// Its name in our network namespace.
    host: String,
    /// Its name in the container's.
    name: String,
}

/// Checks the devices of a config.
///
/// # Errors
/// Names the device that cannot be moved.
pub fn plan(devices: &HashMap<String, LinuxNetDevice>, own_network: bool) -> Result<Vec<NetDevice>> {
    if devices.is_empty() {
        return Ok(Vec::new());
    }
    if !own_network {
        return Err(Error::user(
            "linux.netDevices: unable to move network devices without a NET namespace of the container's own",
        )
        .hint("add {\"type\": \"network\"} to linux.namespaces"));
    }
    if devices.len() > MOST_DEVICES {
        return Err(Error::user(format!("linux.netDevices: more than {MOST_DEVICES} devices")));
    }
    let netlink = Netlink::open().context(|| "cannot speak to the kernel's network")?;
    let mut planned: Vec<NetDevice> = Vec::with_capacity(devices.len());
    for (host, device) in devices {
        let field = || format!("linux.netDevices: device {host:?}");
        let name = device.name().as_deref().filter(|name| !name.is_empty()).unwrap_or(host);
        check_name(host).context(field)?;
        // A number in the place of %d is the kernel's to choose.
        check_name(name.strip_suffix("%d").filter(|stem| !stem.is_empty()).unwrap_or(name))
            .context(|| format!("name {name:?}"))
            .context(field)?;
        if host == "lo" {
            return Err(Error::user("every network namespace keeps its own")).context(field);
        }
        if !name.ends_with("%d") && planned.iter().any(|other| other.name == *name) {
            return Err(Error::user(format!("another one is to be {name:?}, too"))).context(field);
        }
        netlink
            .link(host)
            .context_as(Kind::User, || "it is not in podrun's network namespace")
            .context(field)?;
        planned.push(NetDevice { host: host.clone(), name: name.to_owned() });
    }
    planned.sort_by(|a, b| a.host.cmp(&b.host));
    Ok(planned)
}

/// What the kernel takes for a name.
fn check_name(name: &str) -> Result<()> {
    let bad = |c: char| c == '/' || c == ':' || c == '%' || c.is_whitespace() || c == '\0';
    if name.is_empty() || name.len() > LONGEST_NAME || name == "." || name == ".." || name.contains(bad) {
        return Err(Error::user(format!(
            "it is no name of a network device: 1 to {LONGEST_NAME} bytes, without slash, colon, % and blanks"
        )));
    }
    Ok(())
}

/// Devices that were moved, each as it was.
#[derive(Debug)]
pub struct Moved {
    ours: Netlink,
    theirs: Netlink,
    home: OwnedFd,
    devices: Vec<(Link, Vec<Address>, u32)>,
}

/// Moves devices to the network namespace of a process; on failure all of them are back.
///
/// # Errors
/// Names the device.
pub fn move_all(devices: &[NetDevice], pid: i32) -> Result<Option<Moved>> {
    if devices.is_empty() {
        return Ok(None);
    }
    let open = |path: String| {
        fs::open_existing(Path::new(&path), libc::O_RDONLY).context(|| format!("cannot open {path}"))
    };
    let (home, there) = (open("/proc/self/ns/net".into())?, open(format!("/proc/{pid}/ns/net"))?);
    let ours = Netlink::open().context(|| "cannot speak to the kernel's network")?;
    ns::setns(there.as_fd(), libc::CLONE_NEWNET)
        .context(|| "cannot join the container's network namespace")?;
    let theirs = Netlink::open();
    ns::setns(home.as_fd(), libc::CLONE_NEWNET).context(|| "cannot return to our own network namespace")?;
    let theirs = theirs.context(|| "cannot speak to the container's network")?;
    let mut moved = Moved { ours, theirs, home, devices: Vec::new() };
    for device in devices {
        let title = || format!("cannot move network device {:?} into the container", device.host);
        if let Err(error) = moved.take(device, &there).context(title) {
            return Err(moved.back(error));
        }
    }
    Ok(Some(moved))
}

impl Moved {
    fn take(&mut self, device: &NetDevice, there: &OwnedFd) -> Result<()> {
        let link = self.ours.link(&device.host).context_as(Kind::User, || "it is gone")?;
        let addresses = self.ours.addresses(link.index).context(|| "cannot read its addresses")?;
        let lasting: Vec<Address> = addresses.into_iter().filter(Address::is_lasting).collect();
        if self.theirs.link(&device.name).is_ok() {
            return Err(Error::user(format!("there is a {:?} already", device.name))
                .hint("give it another name in linux.netDevices"));
        }
        let before = self.theirs.links().context(|| "cannot list the container's devices")?;
        // A device that is up may not be renamed.
        self.ours.set_up(link.index, false).context(|| "cannot take it down")?;
        if let Err(error) = self.ours.move_to(link.index, there.as_fd(), &device.name) {
            let restored = restore(&self.ours, link.index, &lasting, link.up);
            let error: Result<()> =
                Err(error).context_as(Kind::User, || format!("to the name {:?}", device.name));
            return error.and(restored);
        }
        let after = self.theirs.links().context(|| "cannot list the container's devices")?;
        let is_new = |link: &&Link| !before.iter().any(|known| known.index == link.index);
        let Some(there) = after.iter().find(is_new) else {
            return Err(Error::host("it was moved, and is not there"));
        };
        let index = there.index;
        let outcome = restore(&self.theirs, index, &lasting, true);
        self.devices.push((link, lasting, index));
        outcome
    }

    /// Takes back what was moved, since the container will not be; adds to `error` what could not be.
    pub fn back(self, error: Error) -> Error {
        let mut errors = vec![error];
        for (link, addresses, index) in self.devices.iter().rev() {
            let title = || format!("cannot take network device {:?} back", link.name);
            let returned = || -> Result<()> {
                self.theirs.set_up(*index, false).context(|| "cannot take it down")?;
                self.theirs.move_to(*index, self.home.as_fd(), &link.name).context(|| "cannot move it")?;
                let back = self.ours.link(&link.name).context(|| "it is gone")?;
                restore(&self.ours, back.index, addresses, link.up)
            };
            errors.extend(returned().context(title).err());
        }
        match errors.len() {
            1 => errors.remove(0),
            _ => {
                Error::all("cannot move the network devices", errors).err().unwrap_or_else(|| Error::host(""))
            }
        }
    }
}

/// Gives a device its addresses, and brings it up if it is to be.
fn restore(netlink: &Netlink, index: u32, addresses: &[Address], up: bool) -> Result<()> {
    if up {
        netlink.set_up(index, true).context(|| "cannot bring it up")?;
    }
    addresses.iter().try_for_each(|address| {
        netlink.add_address(index, address).context(|| "cannot give it its addresses")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn planned(json: &str, own_network: bool) -> Result<Vec<NetDevice>> {
        plan(&serde_json::from_str(json).unwrap(), own_network)
    }

    #[test]
    fn what_cannot_be_moved_is_named() {
        assert!(planned("{}", false).unwrap().is_empty());
        for (json, own, text) in [
            (r#"{"eth0": {}}"#, false, "without a NET namespace"),
            (r#"{"lo": {}}"#, true, "\"lo\": every network namespace"),
            (r#"{"no-such-dev": {}}"#, true, "\"no-such-dev\": it is not in podrun's"),
            (r#"{"a/b": {}}"#, true, "no name of a network device"),
            (r#"{"": {}}"#, true, "no name of a network device"),
            (r#"{"sixteen-letters-": {}}"#, true, "no name of a network device"),
            (r#"{"lo": {"name": "a b"}}"#, true, "name \"a b\": it is no name"),
            (r#"{"lo": {"name": ".."}}"#, true, "name \"..\": it is no name"),
            (r#"{"lo": {"name": "a%da"}}"#, true, "name \"a%da\": it is no name"),
        ] {
            let error = planned(json, own).unwrap_err().to_string();
            assert!(error.starts_with("linux.netDevices: ") && error.contains(text), "{error}");
        }
        assert!(check_name("ctr_dummy0").is_ok());
    }
}
