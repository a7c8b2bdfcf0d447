//! Calls about sockets and network interfaces; a part of [`crate::sys`] by nature, apart for its size.

use crate::sys::{O_CLOEXEC, close_fd, size};
use std::ffi::{CStr, c_char, c_int, c_uint, c_ulong, c_void};
use std::io;

const AF_INET: c_int = 2;
const SOCK_DGRAM: c_int = 2;
const SOL_SOCKET: c_int = 1;
const SCM_RIGHTS: c_int = 1;
const MSG_CMSG_CLOEXEC: c_int = 0x4000_0000;
const SIOCGIFFLAGS: c_ulong = 0x8913;
const IFF_UP: i16 = 1;

/// `struct ifreq`, of which only name and flags are used; 40 bytes on 64-bit machines.
#[repr(C)]
struct IfReq {
    name: [u8; 16],
    flags: i16,
    rest: [u8; 22],
}
#[repr(C)]
struct IfNameIndex {
    index: c_uint,
    name: *const c_char,
}
#[repr(C)]
struct IoVec {
    base: *mut c_void,
    length: usize,
}
/// `struct msghdr` of glibc on 64-bit machines.
#[repr(C)]
struct MsgHdr {
    name: *mut c_void,
    name_length: c_uint,
    iov: *mut IoVec,
    iov_length: usize,
    control: *mut c_void,
    control_length: usize,
    flags: c_int,
}
/// Room for eight descriptors, laid out as CMSG_SPACE would.
#[repr(C, align(8))]
struct Control {
    length: usize,
    level: c_int,
    kind: c_int,
    fds: [c_int; 8],
}
const CMSG_HEADER: usize = 16;

unsafe extern "C" {
    fn ioctl(fd: c_int, request: c_ulong, ...) -> c_int;
    fn socket(domain: c_int, kind: c_int, protocol: c_int) -> c_int;
    fn sendmsg(fd: c_int, message: *const MsgHdr, flags: c_int) -> isize;
    fn recvmsg(fd: c_int, message: *mut MsgHdr, flags: c_int) -> isize;
    fn if_nameindex() -> *mut IfNameIndex;
    fn if_freenameindex(list: *mut IfNameIndex);
}

/// Names of the network interfaces and whether each is up.
pub fn interfaces() -> io::Result<Vec<(String, bool)>> {
    // SAFETY: returns an array ended by a null name, or null; freed below.
    let head = unsafe { if_nameindex() };
    if head.is_null() {
        return Err(io::Error::last_os_error());
    }
    let mut found = Vec::new();
    let mut entry = head;
    loop {
        // SAFETY: `entry` starts at the head and goes on by one until the entry with a null name, which ends the array.
        let current = unsafe { &*entry };
        if current.name.is_null() {
            break;
        }
        // SAFETY: a name that is not null is NUL-terminated and lives until the array is freed.
        let name = unsafe { CStr::from_ptr(current.name) };
        found.push((name.to_string_lossy().into_owned(), interface_is_up(name)));
        // SAFETY: the current entry is not the last one, so there is another behind it.
        entry = unsafe { entry.add(1) };
    }
    // SAFETY: `head` came from if_nameindex and is not used afterwards.
    unsafe { if_freenameindex(head) };
    Ok(found)
}

fn interface_is_up(name: &CStr) -> bool {
    let mut request = IfReq { name: [0; 16], flags: 0, rest: [0; 22] };
    for (to, from) in request.name.iter_mut().zip(name.to_bytes()) {
        *to = *from;
    }
    // SAFETY: plain numbers.
    let fd = unsafe { socket(AF_INET, SOCK_DGRAM | O_CLOEXEC, 0) };
    // SAFETY: SIOCGIFFLAGS reads and writes one ifreq, which outlives the call.
    let result = unsafe { ioctl(fd, SIOCGIFFLAGS, &raw mut request) };
    close_fd(fd);
    result == 0 && request.flags & IFF_UP != 0
}

/// Sends `text` and one descriptor over a unix socket.
pub fn send_descriptor(over: c_int, fd: c_int, text: &str) -> io::Result<()> {
    let mut iov = IoVec { base: text.as_ptr().cast_mut().cast(), length: text.len() };
    let mut control = Control { length: CMSG_HEADER + 4, level: SOL_SOCKET, kind: SCM_RIGHTS, fds: [fd; 8] };
    let message = header(&mut iov, &mut control, CMSG_HEADER + 8);
    // SAFETY: the header points at iov and control, which outlive the call; sendmsg does not write through them.
    size(unsafe { sendmsg(over, &raw const message, 0) }).map(drop)
}

/// The text and the descriptors of one message.
pub fn receive_descriptors(over: c_int) -> io::Result<(String, Vec<c_int>)> {
    let mut text = [0u8; 4096];
    let mut iov = IoVec { base: text.as_mut_ptr().cast(), length: text.len() };
    let mut control = Control { length: 0, level: 0, kind: 0, fds: [-1; 8] };
    let mut message = header(&mut iov, &mut control, size_of::<Control>());
    // SAFETY: the header points at iov, its buffer and control, with their sizes; all outlive the call.
    let length = size(unsafe { recvmsg(over, &raw mut message, MSG_CMSG_CLOEXEC) })?;
    let count = if message.control_length == 0 { 0 } else { control.length.saturating_sub(CMSG_HEADER) / 4 };
    let fds = control.fds.iter().take(count).copied().collect();
    Ok((String::from_utf8_lossy(&text[..length]).into_owned(), fds))
}

fn header(iov: &mut IoVec, control: &mut Control, control_length: usize) -> MsgHdr {
    MsgHdr {
        name: std::ptr::null_mut(),
        name_length: 0,
        iov: std::ptr::from_mut(iov),
        iov_length: 1,
        control: std::ptr::from_mut(control).cast(),
        control_length,
        flags: 0,
    }
}
