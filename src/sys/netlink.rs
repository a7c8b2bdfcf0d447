//! Network devices and their addresses by rtnetlink(7), as far as moving a device takes it.

use super::check;
use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};

/// Longest name of a device, without the NUL.
pub const LONGEST_NAME: usize = libc::IF_NAMESIZE - 1;

const HEADER: usize = 16;
/// struct ifinfomsg.
const LINK: usize = 16;
/// struct ifaddrmsg.
const ADDRESS: usize = 8;
const IFLA_IFNAME: u16 = 3;
const IFLA_NET_NS_FD: u16 = 28;
const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;
const IFA_BROADCAST: u16 = 4;
const IFA_FLAGS: u16 = 8;
const IFF_UP: u32 = 1;
const IFA_F_PERMANENT: u32 = 0x80;
/// Flags of an address that whoever sets it chooses: no duplicate detection, home address, privacy, no prefix route.
const IFA_F_CHOSEN: u32 = 0x02 | 0x10 | 0x100 | 0x200;

/// A socket that speaks to the network namespace in which it was opened.
#[derive(Debug)]
pub struct Netlink(OwnedFd);

/// A device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// Its number in its namespace.
    pub index: u32,
    /// Its name.
    pub name: String,
    /// It is up.
    pub up: bool,
}

/// An address of a device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    index: u32,
    family: u8,
    prefix: u8,
    /// 0 is the whole world.
    scope: u8,
    flags: u32,
    /// Local, peer's or own, and broadcast address: attributes to hand back to the kernel.
    attributes: Vec<(u16, Vec<u8>)>,
}

impl Address {
    /// Whether it was set by somebody, for as long as the device is there and for the whole world: others were made by
    /// the kernel or have a term, and are made anew where the device goes.
    pub fn is_lasting(&self) -> bool {
        self.scope == 0 && self.flags & IFA_F_PERMANENT != 0
    }
}

/// A request in the making.
struct Request(Vec<u8>);

impl Request {
    fn new(kind: u16, flags: i32, body: &[u8]) -> Self {
        let flags = u16::try_from(flags | libc::NLM_F_REQUEST).unwrap_or_default();
        let mut bytes = vec![0; 4];
        bytes.extend(kind.to_ne_bytes());
        bytes.extend(flags.to_ne_bytes());
        bytes.extend([0; 8]);
        bytes.extend(body);
        Self(bytes)
    }

    fn link(kind: u16, flags: i32, index: u32, set: u32, change: u32) -> Self {
        let mut body = vec![0; 4];
        body.extend(index.to_ne_bytes());
        body.extend(set.to_ne_bytes());
        body.extend(change.to_ne_bytes());
        Self::new(kind, flags, &body)
    }

    fn attribute(mut self, kind: u16, value: &[u8]) -> Self {
        let length = u16::try_from(value.len() + 4).unwrap_or(u16::MAX);
        self.0.extend(length.to_ne_bytes());
        self.0.extend(kind.to_ne_bytes());
        self.0.extend(value);
        self.0.resize(self.0.len().next_multiple_of(4), 0);
        self
    }

    fn name(self, name: &str) -> Self {
        self.attribute(IFLA_IFNAME, &[name.as_bytes(), b"\0"].concat())
    }
}

impl Netlink {
    /// Opens a socket.
    pub fn open() -> io::Result<Self> {
        let (family, flags) = (AddressFamily::Netlink, SockFlag::SOCK_CLOEXEC);
        Ok(Self(nix::sys::socket::socket(family, SockType::Raw, flags, SockProtocol::NetlinkRoute)?))
    }

    /// Sends a request; the bodies of the messages that answer it.
    fn ask(&self, request: Request) -> io::Result<Vec<Vec<u8>>> {
        let mut bytes = request.0;
        let length = u32::try_from(bytes.len()).map_err(io::Error::other)?;
        bytes[..4].copy_from_slice(&length.to_ne_bytes());
        nix::sys::socket::send(self.0.as_raw_fd(), &bytes, MsgFlags::empty())?;
        let mut buffer = vec![0; 64 << 10];
        let mut answers = Vec::new();
        loop {
            let length = match nix::sys::socket::recv(self.0.as_raw_fd(), &mut buffer, MsgFlags::empty()) {
                Err(nix::errno::Errno::EINTR) => continue,
                received => received?,
            };
            let mut rest = &buffer[..length];
            while let Some((kind, body, next)) = message(rest) {
                match i32::from(kind) {
                    libc::NLMSG_ERROR => {
                        let error = i32::from_ne_bytes(array(body, 0).ok_or_else(malformed)?);
                        check(i64::from(error).min(0)).map_err(|_| io::Error::from_raw_os_error(-error))?;
                        return Ok(answers);
                    }
                    libc::NLMSG_DONE => return Ok(answers),
                    _ => answers.push(body.to_vec()),
                }
                rest = next;
            }
        }
    }

    /// The device of this name.
    ///
    /// # Errors
    /// ENODEV when there is none.
    pub fn link(&self, name: &str) -> io::Result<Link> {
        let request = Request::link(libc::RTM_GETLINK, libc::NLM_F_ACK, 0, 0, 0).name(name);
        let answers = self.ask(request)?;
        answers.first().and_then(|body| parse_link(body)).ok_or_else(malformed)
    }

    /// All devices.
    pub fn links(&self) -> io::Result<Vec<Link>> {
        let answers = self.ask(Request::link(libc::RTM_GETLINK, libc::NLM_F_DUMP, 0, 0, 0))?;
        Ok(answers.iter().filter_map(|body| parse_link(body)).collect())
    }

    /// Brings a device up or takes it down.
    pub fn set_up(&self, index: u32, up: bool) -> io::Result<()> {
        let set = if up { IFF_UP } else { 0 };
        self.ask(Request::link(libc::RTM_NEWLINK, libc::NLM_F_ACK, index, set, IFF_UP)).map(drop)
    }

    /// Moves a device to another network namespace, under a name that may end in `%d` for a number of the kernel's.
    pub fn move_to(&self, index: u32, namespace: BorrowedFd<'_>, name: &str) -> io::Result<()> {
        let request = Request::link(libc::RTM_NEWLINK, libc::NLM_F_ACK, index, 0, 0)
            .name(name)
            .attribute(IFLA_NET_NS_FD, &namespace.as_raw_fd().to_ne_bytes());
        self.ask(request).map(drop)
    }

    /// The addresses of a device.
    pub fn addresses(&self, index: u32) -> io::Result<Vec<Address>> {
        let answers = self.ask(Request::new(libc::RTM_GETADDR, libc::NLM_F_DUMP, &[0; ADDRESS]))?;
        let all = answers.iter().filter_map(|body| parse_address(body));
        Ok(all.filter(|address| address.index == index).collect())
    }

    /// Gives a device an address.
    pub fn add_address(&self, index: u32, address: &Address) -> io::Result<()> {
        let mut body = vec![address.family, address.prefix, 0, address.scope];
        body.extend(index.to_ne_bytes());
        let flags = libc::NLM_F_ACK | libc::NLM_F_CREATE | libc::NLM_F_REPLACE;
        let request = Request::new(libc::RTM_NEWADDR, flags, &body)
            .attribute(IFA_FLAGS, &(address.flags & IFA_F_CHOSEN).to_ne_bytes());
        let whole =
            address.attributes.iter().fold(request, |request, (kind, value)| request.attribute(*kind, value));
        self.ask(whole).map(drop)
    }
}

fn malformed() -> io::Error {
    io::Error::other("the kernel's answer cannot be understood")
}

fn array<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..at + N)?.try_into().ok()
}

/// Type and body of the first message, and what follows it.
fn message(bytes: &[u8]) -> Option<(u16, &[u8], &[u8])> {
    let length = usize::try_from(u32::from_ne_bytes(array(bytes, 0)?)).ok()?;
    let body = bytes.get(HEADER..length)?;
    Some((
        u16::from_ne_bytes(array(bytes, 4)?),
        body,
        bytes.get(length.next_multiple_of(4)..).unwrap_or_default(),
    ))
}

/// The attributes that follow a body's fixed part.
fn attributes(body: &[u8], fixed: usize) -> Vec<(u16, &[u8])> {
    let mut rest = body.get(fixed..).unwrap_or_default();
    let mut found = Vec::new();
    while let (Some(length), Some(kind)) = (array(rest, 0), array(rest, 2)) {
        let length = usize::from(u16::from_ne_bytes(length));
        let Some(value) = rest.get(4..length) else { break };
        found.push((u16::from_ne_bytes(kind), value));
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    found
}

fn parse_link(body: &[u8]) -> Option<Link> {
    let index = u32::from_ne_bytes(array(body, 4)?);
    let flags = u32::from_ne_bytes(array(body, 8)?);
    let all = attributes(body, LINK);
    let (_, name) = all.iter().find(|(kind, _)| *kind == IFLA_IFNAME)?;
    let name = String::from_utf8_lossy(name.strip_suffix(b"\0").unwrap_or(name)).into_owned();
    Some(Link { index, name, up: flags & IFF_UP != 0 })
}

fn parse_address(body: &[u8]) -> Option<Address> {
    let [family, prefix, flags, scope] = array(body, 0)?;
    let all = attributes(body, ADDRESS);
    let wide = all.iter().find(|(kind, _)| *kind == IFA_FLAGS).and_then(|(_, value)| array(value, 0));
    let kept = all.iter().filter(|(kind, _)| [IFA_ADDRESS, IFA_LOCAL, IFA_BROADCAST].contains(kind));
    Some(Address {
        index: u32::from_ne_bytes(array(body, 4)?),
        family,
        prefix,
        scope,
        flags: wide.map_or(u32::from(flags), u32::from_ne_bytes),
        attributes: kept.map(|(kind, value)| (*kind, value.to_vec())).collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loopback_device_is_found() {
        let netlink = Netlink::open().unwrap();
        let lo = netlink.link("lo").unwrap();
        assert_eq!((lo.index, lo.name.as_str()), (1, "lo"));
        assert!(netlink.links().unwrap().contains(&lo));
        assert_eq!(netlink.link("no-such-dev").unwrap_err().raw_os_error(), Some(libc::ENODEV));
        // Its addresses, if it has any, are this machine's alone.
        assert!(netlink.addresses(lo.index).unwrap().iter().all(|address| !address.is_lasting()));
    }

    #[test]
    fn what_is_cut_short_is_no_message() {
        for bytes in [&[][..], &[8, 0, 0, 0], &[255; 20], &[0; 16]] {
            assert!(message(bytes).is_none_or(|(_, body, _)| body.is_empty()));
        }
        assert!(attributes(&[3, 0, 1, 0], 0).is_empty());
        assert!(parse_link(&[0; 3]).is_none() && parse_address(&[0; 7]).is_none());
    }
}
