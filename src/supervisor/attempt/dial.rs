//! Sockets of the pod's: made in its network namespace, whoever uses them then.

use super::words;
use crate::error::{Context, Result};
use crate::sys::{fs, ns, socket};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::rc::Rc;

/// The network that a pod's containers are reached in; copies share its descriptors.
#[derive(Debug, Clone)]
pub struct Network {
    /// The pod's namespace and our own, where they are not the same.
    namespaces: Option<Rc<(OwnedFd, OwnedFd)>>,
    address: IpAddr,
}

impl Network {
    /// The network of a pod: its namespace, unless that is the host's, and its address, where it has one.
    ///
    /// # Errors
    /// When a descriptor cannot be had.
    pub fn new(namespace: Option<BorrowedFd<'_>>, address: Option<IpAddr>) -> Result<Self> {
        let both = |theirs: BorrowedFd<'_>| -> Result<_> {
            let own = fs::open_existing(Path::new("/proc/self/ns/net"), libc::O_RDONLY)
                .context(|| "cannot open our own network namespace")?;
            let theirs = theirs.try_clone_to_owned().context(|| "cannot copy a descriptor")?;
            Ok(Rc::new((theirs, own)))
        };
        Ok(Self {
            namespaces: namespace.map(both).transpose()?,
            address: address.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST)),
        })
    }

    /// `host`, or else the pod, as a URL or an address names it.
    pub fn host(&self, host: Option<&str>) -> String {
        host.filter(|host| !host.is_empty()).map_or_else(|| self.address.to_string(), ToOwned::to_owned)
    }

    /// Begins to connect; the socket can be written to when that is done, one way or the other.
    ///
    /// # Errors
    /// Why it cannot be, behind `dial tcp ...: `.
    pub fn dial(&self, host: &str, port: u16) -> Result<Dial, String> {
        let Some(address) = resolve(host) else {
            return Err(format!(
                "dial tcp: lookup {host}: podrun asks no name server; give an address, and the name as the header Host"
            ));
        };
        let address = SocketAddr::new(address, port);
        let socket = self.inside(|| socket::tcp(address.is_ipv4()));
        let socket =
            socket.map_err(|error| format!("dial tcp {address}: socket: {}", words::system(&error)))?;
        let dial = Dial { socket, address };
        match socket::connect_tcp(dial.socket.as_fd(), address) {
            Ok(()) => Ok(dial),
            Err(error) => Err(dial.failed(&error)),
        }
    }

    /// A socket belongs for ever to the namespace it was made in.
    fn inside<T>(&self, work: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        let Some((theirs, own)) = self.namespaces.as_deref() else { return work() };
        ns::setns(theirs.as_fd(), libc::CLONE_NEWNET)?;
        let done = work();
        ns::setns(own.as_fd(), libc::CLONE_NEWNET)?;
        done
    }
}

/// A numeric address, or `localhost`: names are not resolved, since that would wait, and ask whom the pod chooses.
fn resolve(host: &str) -> Option<IpAddr> {
    let literal = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    if host.eq_ignore_ascii_case("localhost") {
        return Some(IpAddr::V4(Ipv4Addr::LOCALHOST));
    }
    match literal.parse().ok()? {
        // The unspecified address means this host to connect(2), and to the kubelet.
        IpAddr::V4(Ipv4Addr::UNSPECIFIED) => Some(IpAddr::V4(Ipv4Addr::LOCALHOST)),
        IpAddr::V6(Ipv6Addr::UNSPECIFIED) => Some(IpAddr::V6(Ipv6Addr::LOCALHOST)),
        address => Some(address),
    }
}

/// Host and port, as an address is written.
pub fn joined(host: &str, port: u16) -> String {
    if host.contains(':') && !host.starts_with('[') {
        format!("[{host}]:{port}")
    } else {
        format!("{host}:{port}")
    }
}

/// A socket that is being connected, or is.
#[derive(Debug)]
pub struct Dial {
    socket: OwnedFd,
    address: SocketAddr,
}

impl Dial {
    /// Once the socket can be written to: whether it is connected.
    ///
    /// # Errors
    /// Why it is not: `dial tcp 127.0.0.1:80: connect: connection refused`.
    pub fn finish(&self) -> Result<(), String> {
        socket::connected(self.socket.as_fd()).map_err(|error| self.failed(&error))
    }

    fn failed(&self, error: &io::Error) -> String {
        format!("dial tcp {}: connect: {}", self.address, words::system(error))
    }

    /// What is said when there was no time to connect.
    pub fn time_out(&self) -> String {
        format!("dial tcp {}: i/o timeout", self.address)
    }

    /// Sends some; 0 bytes when there is no room now.
    ///
    /// # Errors
    /// `write tcp 10.0.0.1:123->10.0.0.2:80: write: broken pipe`.
    pub fn send(&self, bytes: &[u8]) -> Result<usize, String> {
        match socket::send_now(self.socket.as_fd(), bytes) {
            Ok(length) => Ok(length.unwrap_or(0)),
            Err(error) => Err(self.broken("write", &error)),
        }
    }

    /// Receives some; `None` when there is nothing now, 0 bytes at the end.
    ///
    /// # Errors
    /// `read tcp 10.0.0.1:123->10.0.0.2:80: read: connection reset by peer`.
    pub fn receive(&self, buffer: &mut [u8]) -> Result<Option<usize>, String> {
        socket::receive_stream(self.socket.as_fd(), buffer).map_err(|error| self.broken("read", &error))
    }

    fn broken(&self, verb: &str, error: &io::Error) -> String {
        let own = socket::own_address(self.socket.as_fd()).map_or_else(|_| "?".into(), |own| own.to_string());
        format!("{verb} tcp {own}->{}: {verb}: {}", self.address, words::system(error))
    }
}

impl AsFd for Dial {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_and_localhost_are_known() {
        for (host, address) in
            [("localhost", "127.0.0.1"), ("::1", "::1"), ("[fe80::1]", "fe80::1"), ("0.0.0.0", "127.0.0.1")]
        {
            assert_eq!(resolve(host), address.parse().ok(), "{host}");
        }
        for host in ["", "example.com", "1.2.3", "127.0.0.1:80", "localhost.localdomain"] {
            assert_eq!(resolve(host), None, "{host}");
        }
        assert_eq!((joined("::1", 80), joined("a", 80)), ("[::1]:80".into(), "a:80".into()));
    }
}
