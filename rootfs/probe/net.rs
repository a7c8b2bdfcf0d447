//! The smallest server and client, to see who shares a network namespace, and descriptors over unix sockets.

use crate::json::{Json, list, object};
use crate::socket;
use crate::sys;
use std::fs;
use std::io::{self, Read, Write};
use std::net::{IpAddr, TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::path::Path;
use std::time::{Duration, Instant};

/// Listens on 127.0.0.1 and sends `file`, read anew each time, to whoever connects. Does not return unless it fails.
pub fn serve(port: u16, file: &Path) -> io::Result<()> {
    let listener = TcpListener::bind(("127.0.0.1", port))?;
    loop {
        let (mut peer, _) = listener.accept()?;
        // A peer that went away is its own affair.
        let _sent = fs::read(file).and_then(|text| peer.write_all(&text));
    }
}

/// What the server at `host` sends; a refused connection is tried again until `time` is over.
pub fn get(host: &str, port: u16, time: Duration) -> io::Result<Vec<u8>> {
    let end = Instant::now() + time;
    let address = address(host)?;
    loop {
        match TcpStream::connect((address, port)) {
            Ok(mut peer) => {
                let mut text = Vec::new();
                peer.read_to_end(&mut text)?;
                return Ok(text);
            }
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused && Instant::now() < end => {
                std::thread::sleep(Duration::from_millis(10));
            }
            Err(error) => return Err(error),
        }
    }
}

/// A number, or a name in /etc/hosts: the resolver of a static glibc would load shared libraries.
fn address(host: &str) -> io::Result<IpAddr> {
    if let Ok(address) = host.parse() {
        return Ok(address);
    }
    let hosts = fs::read_to_string("/etc/hosts")?;
    let named = |line: &str| {
        let mut words = line.split('#').next().unwrap_or_default().split_whitespace();
        let address: IpAddr = words.next()?.parse().ok()?;
        words.any(|word| word == host).then_some(address)
    };
    // IPv4 first: `serve` listens there.
    let mut found: Vec<IpAddr> = hosts.lines().filter_map(named).collect();
    found.sort_unstable();
    found.first().copied().ok_or_else(|| io::Error::other(format!("{host:?} is not in /etc/hosts")))
}

/// Sends descriptor `fd` with the name `text`, as a runtime does to a console socket.
pub fn send(socket: &Path, fd: i32, text: &str) -> io::Result<()> {
    let peer = UnixStream::connect(socket)?;
    socket::send_descriptor(peer.as_raw_fd(), fd, text)
}

/// Listens at `socket` for one message, and tells its name and the descriptors in it.
pub fn receive(socket: &Path) -> io::Result<Json> {
    let listener = UnixListener::bind(socket)?;
    let (peer, _) = listener.accept()?;
    let (name, fds) = socket::receive_descriptors(peer.as_raw_fd())?;
    let facts = fds.into_iter().map(|fd| {
        let target = fs::read_link(format!("/proc/self/fd/{fd}")).map(|target| target.display().to_string());
        object([("target", target.ok().into()), ("isatty", sys::is_terminal(fd).into())])
    });
    Ok(object([("name", name.into()), ("fds", list(facts))]))
}

/// Sends each text as a datagram to the socket that NOTIFY_SOCKET names, sd_notify(3).
pub fn notify(texts: &[&str]) -> io::Result<()> {
    let path = std::env::var("NOTIFY_SOCKET").map_err(io::Error::other)?;
    let socket = UnixDatagram::unbound()?;
    texts.iter().try_for_each(|text| socket.send_to(text.as_bytes(), &path).map(drop))
}
