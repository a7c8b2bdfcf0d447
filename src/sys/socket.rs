//! Unix sockets: message pairs and descriptor passing.

use nix::sys::socket::{AddressFamily, ControlMessage, MsgFlags, SockFlag, SockType, UnixAddr};
use std::io::{self, IoSlice};
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;

/// A connected pair of SEQPACKET sockets, close-on-exec.
pub fn pair() -> io::Result<(OwnedFd, OwnedFd)> {
    Ok(nix::sys::socket::socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC)?)
}

/// Connects to the stream socket at `path`. A path over 107 bytes is reached through a descriptor of its directory.
pub fn connect(path: &Path) -> io::Result<OwnedFd> {
    let socket =
        nix::sys::socket::socket(AddressFamily::Unix, SockType::Stream, SockFlag::SOCK_CLOEXEC, None)?;
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
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(io::Error::from_raw_os_error(libc::EINVAL));
    };
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let socket = nix::sys::socket::socket(AddressFamily::Unix, SockType::Stream, flags, None)?;
    // A bound socket's file has the socket's mode less the umask, unix(7): nobody else can ever connect.
    nix::sys::stat::fchmod(&socket, nix::sys::stat::Mode::from_bits_truncate(0o600))?;
    let directory = super::fs::open_existing(parent, libc::O_PATH | libc::O_DIRECTORY)?;
    // By descriptor, since a socket's path holds 107 bytes.
    let short = Path::new("/proc/self/fd").join(directory.as_raw_fd().to_string()).join(name);
    nix::sys::socket::bind(socket.as_raw_fd(), &UnixAddr::new(&short)?)?;
    nix::sys::socket::listen(&socket, nix::sys::socket::Backlog::new(BACKLOG)?)?;
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

/// Sends exactly one descriptor beside a non-empty text (SCM_RIGHTS, unix(7)).
pub fn send_descriptor(socket: BorrowedFd<'_>, text: &[u8], fd: BorrowedFd<'_>) -> io::Result<()> {
    let fds = [fd.as_raw_fd()];
    let rights = [ControlMessage::ScmRights(&fds)];
    nix::sys::socket::sendmsg::<()>(
        socket.as_raw_fd(),
        &[IoSlice::new(text)],
        &rights,
        MsgFlags::MSG_NOSIGNAL,
        None,
    )?;
    Ok(())
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
