//! Unix sockets: message pairs and descriptor passing.

use nix::sys::socket::{
    AddressFamily, ControlMessage, MsgFlags, SockFlag, SockType, SockaddrStorage, UnixAddr,
};
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::time::Duration;

/// A connected pair of SEQPACKET sockets, close-on-exec.
pub fn pair() -> io::Result<(OwnedFd, OwnedFd)> {
    Ok(nix::sys::socket::socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC)?)
}

/// Connects to the stream socket at `path`. A path over 107 bytes is reached through a descriptor of its directory.
pub fn connect(path: &Path) -> io::Result<OwnedFd> {
    connect_stream(stream()?, path)
}

/// As [`connect`], for a peer that may neither take connections nor read: waiting for it ends with EAGAIN, now and later.
pub fn connect_within(path: &Path, patience: Duration) -> io::Result<OwnedFd> {
    let socket = stream()?;
    let limit = nix::sys::time::TimeVal::new(i64::try_from(patience.as_secs()).unwrap_or(i64::MAX), 0);
    nix::sys::socket::setsockopt(&socket, nix::sys::socket::sockopt::SendTimeout, &limit)?;
    connect_stream(socket, path)
}

fn stream() -> io::Result<OwnedFd> {
    let flags = SockFlag::SOCK_CLOEXEC;
    Ok(nix::sys::socket::socket(AddressFamily::Unix, SockType::Stream, flags, None)?)
}

fn connect_stream(socket: OwnedFd, path: &Path) -> io::Result<OwnedFd> {
    if let Ok(address) = UnixAddr::new(path) {
        nix::sys::socket::connect(socket.as_raw_fd(), &address)?;
        return Ok(socket);
    }
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(io::Error::from_raw_os_error(libc::ENAMETOOLONG));
    };
    let directory = super::fs::open_existing(parent, libc::O_PATH | libc::O_DIRECTORY)?;
    let short = Path::new("/proc/self/fd").join(directory.as_raw_fd().to_string()).join(name);
    nix::sys::socket::connect(socket.as_raw_fd(), &UnixAddr::new(&short)?)?;
    Ok(socket)
}

/// A stream socket that listens at `path`, mode 0600, whose connections are taken by [`accept`] without waiting. What is
/// at `path` is replaced.
pub fn listen(path: &Path) -> io::Result<OwnedFd> {
    /// More commands than ever wait at once.
    const BACKLOG: i32 = 64;
    let socket = bound(path, SockType::Stream)?;
    nix::sys::socket::listen(&socket, nix::sys::socket::Backlog::new(BACKLOG)?)?;
    Ok(socket)
}

/// A datagram socket at `path` that everybody who can reach it may send to, read without waiting. What is at `path` is
/// replaced.
pub fn datagrams_at(path: &Path) -> io::Result<OwnedFd> {
    let socket = bound(path, SockType::Datagram)?;
    std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o777))?;
    Ok(socket)
}

/// A new socket at `path`, mode 0600, in the place of what is there.
fn bound(path: &Path, kind: SockType) -> io::Result<OwnedFd> {
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(io::Error::from_raw_os_error(libc::EINVAL));
    };
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let socket = nix::sys::socket::socket(AddressFamily::Unix, kind, flags, None)?;
    // A bound socket's file has the socket's mode less the umask, unix(7): nobody else can ever connect.
    nix::sys::stat::fchmod(&socket, nix::sys::stat::Mode::from_bits_truncate(0o600))?;
    let directory = super::fs::open_existing(parent, libc::O_PATH | libc::O_DIRECTORY)?;
    // By descriptor, since a socket's path holds 107 bytes.
    let short = Path::new("/proc/self/fd").join(directory.as_raw_fd().to_string()).join(name);
    nix::sys::socket::bind(socket.as_raw_fd(), &UnixAddr::new(&short)?)?;
    Ok(socket)
}

/// A datagram socket whose messages go to `address`: a path, or an abstract name behind a `@`.
pub fn datagrams_to(address: &[u8]) -> io::Result<OwnedFd> {
    use std::os::unix::ffi::OsStrExt;
    let socket =
        nix::sys::socket::socket(AddressFamily::Unix, SockType::Datagram, SockFlag::SOCK_CLOEXEC, None)?;
    let address = match address.split_first() {
        Some((b'@', name)) => UnixAddr::new_abstract(name)?,
        _ => UnixAddr::new(Path::new(std::ffi::OsStr::from_bytes(address)))?,
    };
    nix::sys::socket::connect(socket.as_raw_fd(), &address)?;
    Ok(socket)
}

/// Takes a connection off a listening socket; it neither waits nor outlives exec.
pub fn accept(listener: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    use std::os::fd::FromRawFd;
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let raw = nix::sys::socket::accept4(listener.as_raw_fd(), flags)?;
    // SAFETY: accept4 returned a new descriptor that nobody else owns.
    Ok(unsafe { OwnedFd::from_raw_fd(raw) })
}

/// Sends one message, without SIGPIPE.
pub fn send(socket: BorrowedFd<'_>, message: &[u8]) -> io::Result<()> {
    let sent = nix::sys::socket::send(socket.as_raw_fd(), message, MsgFlags::MSG_NOSIGNAL)?;
    if sent == message.len() { Ok(()) } else { Err(io::Error::other("message was cut")) }
}

/// Receives one message; 0 bytes means that the other end is gone.
pub fn receive(socket: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<usize> {
    loop {
        match nix::sys::socket::recv(socket.as_raw_fd(), buffer, MsgFlags::empty()) {
            Err(nix::errno::Errno::EINTR) => {}
            // A peer that died with unread messages of ours resets the connection; to the reader it is gone.
            Err(nix::errno::Errno::ECONNRESET) => return Ok(0),
            other => return Ok(other?),
        }
    }
}

/// A TCP socket of IPv4 or IPv6 that never waits.
pub fn tcp(ipv4: bool) -> io::Result<OwnedFd> {
    let family = if ipv4 { AddressFamily::Inet } else { AddressFamily::Inet6 };
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    Ok(nix::sys::socket::socket(family, SockType::Stream, flags, None)?)
}

/// Begins to connect a socket of [`tcp`], or has done so: it can be written to when [`connected`] tells which.
pub fn connect_tcp(socket: BorrowedFd<'_>, address: SocketAddr) -> io::Result<()> {
    match nix::sys::socket::connect(socket.as_raw_fd(), &SockaddrStorage::from(address)) {
        Ok(()) | Err(nix::errno::Errno::EINPROGRESS | nix::errno::Errno::EINTR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// What came of connecting (SO_ERROR, socket(7)).
pub fn connected(socket: BorrowedFd<'_>) -> io::Result<()> {
    match nix::sys::socket::getsockopt(&socket, nix::sys::socket::sockopt::SocketError)? {
        0 => Ok(()),
        error => Err(io::Error::from_raw_os_error(error)),
    }
}

/// The address and port of our end of a TCP connection.
pub fn own_address(socket: BorrowedFd<'_>) -> io::Result<SocketAddr> {
    let address: SockaddrStorage = nix::sys::socket::getsockname(socket.as_raw_fd())?;
    let v4 = address.as_sockaddr_in().map(|v4| SocketAddr::V4((*v4).into()));
    let v6 = address.as_sockaddr_in6().map(|v6| SocketAddr::V6((*v6).into()));
    v4.or(v6).ok_or_else(|| io::Error::from_raw_os_error(libc::EAFNOSUPPORT))
}

/// Sends some bytes of a stream without waiting and without SIGPIPE; `None` when there is no room now.
pub fn send_now(socket: BorrowedFd<'_>, bytes: &[u8]) -> io::Result<Option<usize>> {
    let flags = MsgFlags::MSG_NOSIGNAL | MsgFlags::MSG_DONTWAIT;
    match nix::sys::socket::send(socket.as_raw_fd(), bytes, flags) {
        Err(nix::errno::Errno::EAGAIN | nix::errno::Errno::EINTR) => Ok(None),
        other => Ok(Some(other?)),
    }
}

/// Receives some bytes of a stream without waiting; `None` when there are none now, 0 at the end.
pub fn receive_stream(socket: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<Option<usize>> {
    match nix::sys::socket::recv(socket.as_raw_fd(), buffer, MsgFlags::MSG_DONTWAIT) {
        Err(nix::errno::Errno::EAGAIN | nix::errno::Errno::EINTR) => Ok(None),
        other => Ok(Some(other?)),
    }
}

/// Has the kernel tell, with each message that comes, whose it is (SO_PASSCRED, unix(7)).
pub fn tell_senders(socket: BorrowedFd<'_>) -> io::Result<()> {
    Ok(nix::sys::socket::setsockopt(&socket, nix::sys::socket::sockopt::PassCred, &true)?)
}

/// Receives one message without waiting, and the pid of who sent it, where the kernel tells ([`tell_senders`]); `None`
/// when there is none yet, 0 bytes when the other end is gone.
pub fn receive_now(socket: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<Option<(usize, Option<i32>)>> {
    let mut space = nix::cmsg_space!(nix::sys::socket::UnixCredentials);
    let mut vectors = [std::io::IoSliceMut::new(buffer)];
    let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_CMSG_CLOEXEC;
    loop {
        let received =
            nix::sys::socket::recvmsg::<()>(socket.as_raw_fd(), &mut vectors, Some(&mut space), flags);
        let message = match received {
            // A peer that died with unread messages of ours resets the connection: told once, before what it said last.
            Err(nix::errno::Errno::EINTR | nix::errno::Errno::ECONNRESET) => continue,
            Err(nix::errno::Errno::EAGAIN) => return Ok(None),
            other => other?,
        };
        let sender = message.cmsgs()?.find_map(|control| match control {
            nix::sys::socket::ControlMessageOwned::ScmCredentials(sender) => Some(sender.pid()),
            _ => None,
        });
        return Ok(Some((message.bytes, sender)));
    }
}

/// Sends exactly one descriptor beside a non-empty text (SCM_RIGHTS, unix(7)).
pub fn send_descriptor(socket: BorrowedFd<'_>, text: &[u8], fd: BorrowedFd<'_>) -> io::Result<()> {
    let fds = [fd.as_raw_fd()];
    let rights = [ControlMessage::ScmRights(&fds)];
    let sent = nix::sys::socket::sendmsg::<()>(
        socket.as_raw_fd(),
        &[IoSlice::new(text)],
        &rights,
        MsgFlags::MSG_NOSIGNAL,
        None,
    )?;
    if sent == text.len() { Ok(()) } else { Err(io::Error::other("message was cut")) }
}

/// Receives one message with exactly one descriptor, close-on-exec; `None` when the other end closed without one.
pub fn receive_descriptor(socket: BorrowedFd<'_>) -> io::Result<Option<OwnedFd>> {
    use std::os::fd::FromRawFd;
    let mut text = [0; 4096];
    let mut space = nix::cmsg_space!([std::os::fd::RawFd; 1]);
    let mut vectors = [std::io::IoSliceMut::new(&mut text)];
    let flags = MsgFlags::MSG_CMSG_CLOEXEC;
    let message = nix::sys::socket::recvmsg::<()>(socket.as_raw_fd(), &mut vectors, Some(&mut space), flags)?;
    for control in message.cmsgs()? {
        if let nix::sys::socket::ControlMessageOwned::ScmRights(fds) = control
            && let [fd] = fds[..]
        {
            // SAFETY: the kernel installed this descriptor for the message just received; nobody else owns it.
            return Ok(Some(unsafe { OwnedFd::from_raw_fd(fd) }));
        }
    }
    if message.bytes == 0 {
        return Ok(None);
    }
    Err(io::Error::other("the message holds no descriptor"))
}

/// Receives one message and the descriptor beside it, if there is one, close-on-exec; 0 bytes means that the other end
/// is gone. What does not fit into `buffer` is cut, and further descriptors are closed.
pub fn receive_with_descriptor(
    socket: BorrowedFd<'_>,
    buffer: &mut [u8],
) -> io::Result<(usize, Option<OwnedFd>)> {
    use std::os::fd::FromRawFd;
    let mut space = nix::cmsg_space!([std::os::fd::RawFd; 1]);
    let mut vectors = [std::io::IoSliceMut::new(buffer)];
    let flags = MsgFlags::MSG_CMSG_CLOEXEC;
    loop {
        let received =
            nix::sys::socket::recvmsg::<()>(socket.as_raw_fd(), &mut vectors, Some(&mut space), flags);
        let message = match received {
            Err(nix::errno::Errno::EINTR) => continue,
            Err(nix::errno::Errno::ECONNRESET) => return Ok((0, None)), // as in `receive`
            other => other?,
        };
        let mut found = None;
        for control in message.cmsgs()? {
            if let nix::sys::socket::ControlMessageOwned::ScmRights(fds) = control {
                // SAFETY: the kernel installed these descriptors for the message just received; nobody else owns them.
                found = fds.into_iter().map(|fd| unsafe { OwnedFd::from_raw_fd(fd) }).next_back();
            }
        }
        return Ok((message.bytes, found));
    }
}
