//! The system calls that std has not got. Thin: numbers in, `io::Result` out, no policy.
//!
//! Declared by hand because the probe is compiled by plain rustc, without crates. Constants are those of Linux on x86_64 and
//! aarch64, which agree in all that is used here but the numbers in [`nr`].

use std::ffi::{CString, c_char, c_int, c_long, c_uint, c_ulong, c_void};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::Duration;

/// System call numbers of the calls made through `syscall(2)`.
#[cfg(target_arch = "x86_64")]
pub mod nr {
    pub const GETCWD: i64 = 79;
    pub const MKNODAT: i64 = 259;
    pub const KEYCTL: i64 = 250;
    pub const RENAMEAT2: i64 = 316;
    pub const MOUNT_SETATTR: i64 = 442;
    pub const SCHED_GETATTR: i64 = 315;
    pub const IOPRIO_GET: i64 = 252;
    pub const GET_MEMPOLICY: i64 = 239;
}
/// System call numbers of the calls made through `syscall(2)`.
#[cfg(target_arch = "aarch64")]
pub mod nr {
    pub const GETCWD: i64 = 17;
    pub const MKNODAT: i64 = 33;
    pub const KEYCTL: i64 = 219;
    pub const RENAMEAT2: i64 = 276;
    pub const MOUNT_SETATTR: i64 = 442;
    pub const SCHED_GETATTR: i64 = 275;
    pub const IOPRIO_GET: i64 = 31;
    pub const GET_MEMPOLICY: i64 = 236;
}

pub const O_RDONLY: c_int = 0;
pub const O_WRONLY: c_int = 1;
pub const O_RDWR: c_int = 2;
pub const O_NONBLOCK: c_int = 0o4000;
pub const O_CLOEXEC: c_int = 0o2_000_000;
pub const O_PATH: c_int = 0o10_000_000;

pub const MS_REMOUNT: c_ulong = 32;
pub const MS_BIND: c_ulong = 4096;
pub const MNT_DETACH: c_int = 2;

pub const AT_FDCWD: c_int = -100;
pub const AT_EMPTY_PATH: c_int = 0x1000;
pub const RENAME_EXCHANGE: c_uint = 2;

pub const SIGKILL: c_int = 9;
pub const SIGTERM: c_int = 15;
pub const SIG_DFL: usize = 0;
pub const SIG_IGN: usize = 1;

pub const PR_GET_PDEATHSIG: c_int = 2;
pub const PR_GET_DUMPABLE: c_int = 3;
pub const PR_GET_SECUREBITS: c_int = 27;

const F_GETFD: c_int = 1;
const F_SETLK: c_int = 6;
const F_WRLCK: i16 = 1;
const TIOCGWINSZ: c_ulong = 0x5413;
const SIG_UNBLOCK: c_int = 1;
const SIG_BLOCK: c_int = 0;

#[repr(C)]
struct Rlimit {
    soft: u64,
    hard: u64,
}
/// `struct statvfs` of glibc on 64-bit machines.
#[repr(C)]
struct StatVfs {
    sizes: [u64; 9],
    flags: c_ulong,
    rest: [u64; 4],
}
#[repr(C)]
struct MountAttr {
    set: u64,
    clear: u64,
    propagation: u64,
    userns: u64,
}
/// `sigset_t` of glibc: 1024 bits.
#[repr(C)]
struct SigSet([u64; 16]);
#[repr(C)]
struct Timespec {
    seconds: i64,
    nanoseconds: i64,
}
/// `struct flock` on 64-bit machines.
#[repr(C)]
struct Flock {
    kind: i16,
    whence: i16,
    start: i64,
    length: i64,
    pid: c_int,
}
unsafe extern "C" {
    fn syscall(number: c_long, ...) -> c_long;
    fn open(path: *const c_char, flags: c_int, ...) -> c_int;
    fn close(fd: c_int) -> c_int;
    fn read(fd: c_int, buffer: *mut c_void, count: usize) -> isize;
    fn write(fd: c_int, buffer: *const c_void, count: usize) -> isize;
    fn pread(fd: c_int, buffer: *mut c_void, count: usize, offset: i64) -> isize;
    fn pwrite(fd: c_int, buffer: *const c_void, count: usize, offset: i64) -> isize;
    fn fcntl(fd: c_int, command: c_int, ...) -> c_int;
    fn ioctl(fd: c_int, request: c_ulong, ...) -> c_int;
    fn isatty(fd: c_int) -> c_int;
    fn umask(mask: c_uint) -> c_uint;
    fn getrlimit(resource: c_int, limit: *mut Rlimit) -> c_int;
    fn prctl(option: c_int, ...) -> c_int;
    fn kill(pid: c_int, signal: c_int) -> c_int;
    fn signal(number: c_int, handler: usize) -> usize;
    fn sigemptyset(set: *mut SigSet) -> c_int;
    fn sigaddset(set: *mut SigSet, signal: c_int) -> c_int;
    fn sigprocmask(how: c_int, set: *const SigSet, old: *mut SigSet) -> c_int;
    fn sigtimedwait(set: *const SigSet, info: *mut c_void, timeout: *const Timespec) -> c_int;
    fn fork() -> c_int;
    fn waitpid(pid: c_int, status: *mut c_int, options: c_int) -> c_int;
    fn pause() -> c_int;
    fn _exit(code: c_int) -> !;
    fn mount(
        source: *const c_char,
        target: *const c_char,
        kind: *const c_char,
        flags: c_ulong,
        data: *const c_void,
    ) -> c_int;
    fn umount2(target: *const c_char, flags: c_int) -> c_int;
    fn unshare(flags: c_int) -> c_int;
    fn statvfs(path: *const c_char, result: *mut StatVfs) -> c_int;
    fn chroot(path: *const c_char) -> c_int;
}

fn check(result: c_int) -> io::Result<c_int> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}
pub fn size(result: isize) -> io::Result<usize> {
    usize::try_from(result).map_err(|_| io::Error::last_os_error())
}
fn c_path(path: &Path) -> io::Result<CString> {
    Ok(CString::new(path.as_os_str().as_bytes())?)
}

/// The kernel's own answer: unlike glibc's getcwd(3) it shows "(unreachable)".
pub fn raw_cwd() -> io::Result<String> {
    let mut buffer = [0u8; 4096];
    // SAFETY: the kernel writes at most the length given into the buffer, which outlives the call.
    let length = unsafe { syscall(nr::GETCWD, buffer.as_mut_ptr(), buffer.len()) };
    let length = usize::try_from(length).map_err(|_| io::Error::last_os_error())?;
    Ok(String::from_utf8_lossy(&buffer[..length.saturating_sub(1)]).into_owned())
}

/// A call with arguments no kernel accepts (all bits set), to see what a seccomp filter says to it.
pub fn call_with_nonsense(number: i64) -> io::Result<i64> {
    // SAFETY: no argument is a valid address, so the kernel can neither read nor write memory of ours.
    let result = unsafe { syscall(number, -1i64, -1i64, -1i64, -1i64, -1i64, -1i64) };
    if result == -1 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// Opens and leaves the descriptor open until [`close_fd`] or the end.
pub fn open_fd(path: &Path, flags: c_int) -> io::Result<c_int> {
    let path = c_path(path)?;
    // SAFETY: the string is NUL-terminated and outlives the call.
    check(unsafe { open(path.as_ptr(), flags, 0) })
}

/// Closes a descriptor made by [`open_fd`].
pub fn close_fd(fd: c_int) {
    // SAFETY: callers pass descriptors that they alone use.
    unsafe { close(fd) };
}

/// At most `buffer.len()` bytes from `fd`.
pub fn read_fd(fd: c_int, buffer: &mut [u8]) -> io::Result<usize> {
    // SAFETY: the kernel writes at most the length given into the buffer.
    size(unsafe { read(fd, buffer.as_mut_ptr().cast(), buffer.len()) })
}

/// Writes `bytes`, which must be taken at once.
pub fn write_fd(fd: c_int, bytes: &[u8]) -> io::Result<()> {
    // SAFETY: the kernel reads at most the length given from the bytes.
    match size(unsafe { write(fd, bytes.as_ptr().cast(), bytes.len()) })? {
        length if length == bytes.len() => Ok(()),
        _ => Err(io::Error::other("not all of it was taken")),
    }
}

/// Takes a record lock, fcntl(2), on byte 0 of a file.
pub fn lock_first_byte(fd: c_int) -> io::Result<()> {
    let lock = Flock { kind: F_WRLCK, whence: 0, start: 0, length: 1, pid: 0 };
    // SAFETY: F_SETLK reads one flock, which outlives the call.
    check(unsafe { fcntl(fd, F_SETLK, &raw const lock) }).map(drop)
}

/// Writes the first byte of a file over itself: proves that it can be overwritten, and leaves it as it was.
pub fn rewrite_first_byte(readable: c_int, writable: c_int) -> io::Result<()> {
    let mut byte = [0x7f_u8];
    // SAFETY: one byte is read into a buffer of one byte. A write-only file keeps the ELF magic that stands there already.
    unsafe { pread(readable, byte.as_mut_ptr().cast(), 1, 0) };
    // SAFETY: one byte is written from a buffer of one byte.
    size(unsafe { pwrite(writable, byte.as_ptr().cast(), 1, 0) }).map(drop)
}

/// Whether the descriptor is close-on-exec.
pub fn is_cloexec(fd: c_int) -> bool {
    // SAFETY: F_GETFD takes no argument and touches no memory.
    unsafe { fcntl(fd, F_GETFD) & 1 == 1 }
}

pub fn is_terminal(fd: c_int) -> bool {
    // SAFETY: isatty takes a number and touches no memory of ours.
    unsafe { isatty(fd) == 1 }
}

/// Rows and columns.
pub fn terminal_size(fd: c_int) -> Option<(u16, u16)> {
    let mut winsize = [0u16; 4];
    // SAFETY: TIOCGWINSZ writes four u16 into the array, which outlives the call.
    check(unsafe { ioctl(fd, TIOCGWINSZ, winsize.as_mut_ptr()) }).ok()?;
    Some((winsize[0], winsize[1]))
}

/// The file creation mask, which can only be read by setting it.
pub fn current_umask() -> u32 {
    // SAFETY: umask cannot fail; the probe has one thread, so nobody sees the value in between.
    let mask = unsafe { umask(0) };
    // SAFETY: as above.
    unsafe { umask(mask) };
    mask
}

/// Soft and hard limit; `None` is unlimited.
pub fn limit(resource: c_int) -> io::Result<(Option<u64>, Option<u64>)> {
    let mut limit = Rlimit { soft: 0, hard: 0 };
    // SAFETY: the kernel fills the struct, which outlives the call.
    check(unsafe { getrlimit(resource, &raw mut limit) })?;
    let finite = |value| (value != u64::MAX).then_some(value);
    Ok((finite(limit.soft), finite(limit.hard)))
}

/// `struct sched_attr`, sched_setattr(2).
#[repr(C)]
#[derive(Default)]
pub struct SchedAttr {
    pub size: u32,
    pub policy: u32,
    pub flags: u64,
    pub nice: i32,
    pub priority: u32,
    pub runtime: u64,
    pub deadline: u64,
    pub period: u64,
}

pub fn scheduler() -> io::Result<SchedAttr> {
    let mut attributes = SchedAttr::default();
    let size = size_of::<SchedAttr>();
    // SAFETY: the kernel writes at most the size given into the struct, which outlives the call; 0 is this thread.
    let result = unsafe { syscall(nr::SCHED_GETATTR, 0i64, &raw mut attributes, size, 0i64) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(attributes) }
}

/// The word of ioprio_get(2): class above bit 13, priority below.
pub fn io_priority() -> io::Result<i64> {
    // SAFETY: IOPRIO_WHO_PROCESS and 0 for this thread are plain numbers.
    let word = unsafe { syscall(nr::IOPRIO_GET, 1i64, 0i64) };
    if word < 0 { Err(io::Error::last_os_error()) } else { Ok(word) }
}

/// Mode with flags, and the nodes below 1024 as a list of numbers, get_mempolicy(2).
pub fn memory_policy() -> io::Result<(c_int, Vec<u32>)> {
    let mut mode: c_int = 0;
    let mut nodes = [0u64; 16];
    // SAFETY: the kernel writes an int, and at most the bits given into the array; both outlive the call.
    let result =
        unsafe { syscall(nr::GET_MEMPOLICY, &raw mut mode, nodes.as_mut_ptr(), 1025i64, 0i64, 0i64) };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    let is_set = |node: &u32| nodes[*node as usize / 64] >> (node % 64) & 1 == 1;
    Ok((mode, (0..1024).filter(is_set).collect()))
}

pub fn securebits() -> io::Result<c_int> {
    // SAFETY: PR_GET_SECUREBITS takes no argument and returns the bits.
    check(unsafe { prctl(PR_GET_SECUREBITS) })
}

pub fn dumpable() -> io::Result<c_int> {
    // SAFETY: PR_GET_DUMPABLE takes no argument and returns the value.
    check(unsafe { prctl(PR_GET_DUMPABLE) })
}

pub fn parent_death_signal() -> io::Result<c_int> {
    let mut number: c_int = 0;
    // SAFETY: PR_GET_PDEATHSIG writes an int, which outlives the call.
    check(unsafe { prctl(PR_GET_PDEATHSIG, &raw mut number) })?;
    Ok(number)
}

/// Serial number of the session keyring.
pub fn session_keyring() -> io::Result<i64> {
    // KEYCTL_GET_KEYRING_ID of KEY_SPEC_SESSION_KEYRING, without making one.
    // SAFETY: the arguments are plain numbers.
    let serial = unsafe { syscall(nr::KEYCTL, 0i64, -3i64, 0i64) };
    if serial < 0 { Err(io::Error::last_os_error()) } else { Ok(serial) }
}

/// Lets a signal do its default, even where the parent blocked or ignored it, and sends it to this process.
pub fn kill_self(number: c_int) -> io::Result<()> {
    // SAFETY: SIG_DFL is no pointer; SIGKILL and SIGSTOP answer EINVAL, which does not matter.
    unsafe { signal(number, SIG_DFL) };
    change_mask(SIG_UNBLOCK, number)?;
    // SAFETY: plain numbers; getpid is this process.
    check(unsafe { kill(pid(), number) }).map(drop)
}

pub fn ignore_signal(number: c_int) {
    // SAFETY: SIG_IGN is no pointer to code.
    unsafe { signal(number, SIG_IGN) };
}

/// Blocks `number` and waits until it comes; false when the time is over first.
pub fn wait_for_signal(number: c_int, time: Duration) -> io::Result<bool> {
    let set = change_mask(SIG_BLOCK, number)?;
    let timeout = Timespec {
        seconds: i64::try_from(time.as_secs()).unwrap_or(i64::MAX),
        nanoseconds: time.subsec_nanos().into(),
    };
    // SAFETY: set and timeout outlive the call; no siginfo is asked for.
    let got = unsafe { sigtimedwait(&raw const set, std::ptr::null_mut(), &raw const timeout) };
    Ok(got == number)
}

fn change_mask(how: c_int, number: c_int) -> io::Result<SigSet> {
    let mut set = SigSet([0; 16]);
    // SAFETY: the set is ours and outlives the call.
    unsafe { sigemptyset(&raw mut set) };
    // SAFETY: as above.
    check(unsafe { sigaddset(&raw mut set, number) })?;
    // SAFETY: reads the set; the old one is not asked for.
    check(unsafe { sigprocmask(how, &raw const set, std::ptr::null_mut()) })?;
    Ok(set)
}

pub fn pid() -> c_int {
    std::process::id().cast_signed()
}

/// Forks a child that does nothing but wait to be killed.
pub fn fork_sleeper() -> io::Result<c_int> {
    // SAFETY: the probe has one thread, and the child only calls pause and _exit.
    let child = check(unsafe { fork() })?;
    if child == 0 {
        // SAFETY: no arguments.
        unsafe { pause() };
        exit_now(0);
    }
    Ok(child)
}

/// Runs `work` in a forked child and returns its exit code, so that what it does to itself ends with it.
pub fn in_child(work: impl FnOnce() -> c_int) -> io::Result<c_int> {
    // SAFETY: the probe has one thread, so the child may run any code.
    let child = check(unsafe { fork() })?;
    if child == 0 {
        exit_now(work());
    }
    let mut status: c_int = 0;
    // SAFETY: waitpid writes one int, which outlives the call.
    check(unsafe { waitpid(child, &raw mut status, 0) })?;
    Ok(if status & 0x7f == 0 { status >> 8 & 0xff } else { 128 + (status & 0x7f) })
}

/// Kills and reaps a child.
pub fn end_child(child: c_int) {
    // SAFETY: `child` is ours and not reaped yet, so the number cannot belong to another process.
    unsafe { kill(child, SIGKILL) };
    // SAFETY: no status is asked for.
    unsafe { waitpid(child, std::ptr::null_mut(), 0) };
}

pub fn exit_now(code: c_int) -> ! {
    // SAFETY: ends the process; nothing of ours needs to run afterwards.
    unsafe { _exit(code) }
}

/// mount(2) with text arguments; `kind` and `source` may be empty.
pub fn mount_at(source: &str, target: &Path, kind: &str, flags: c_ulong) -> io::Result<()> {
    let (source, target, kind) = (CString::new(source)?, c_path(target)?, CString::new(kind)?);
    // SAFETY: all three strings are NUL-terminated and outlive the call; there is no data.
    check(unsafe { mount(source.as_ptr(), target.as_ptr(), kind.as_ptr(), flags, std::ptr::null()) })
        .map(drop)
}

pub fn unmount(target: &Path) -> io::Result<()> {
    let target = c_path(target)?;
    // SAFETY: the string is NUL-terminated and outlives the call.
    check(unsafe { umount2(target.as_ptr(), MNT_DETACH) }).map(drop)
}

/// Whether the mount that `path` lies on is read-only, whatever the file's own mode says.
pub fn is_read_only(path: &Path) -> io::Result<bool> {
    let path = c_path(path)?;
    let mut result = StatVfs { sizes: [0; 9], flags: 0, rest: [0; 4] };
    // SAFETY: the string and the struct outlive the call, and the struct is as large as glibc's.
    check(unsafe { statvfs(path.as_ptr(), &raw mut result) })?;
    Ok(result.flags & 1 == 1)
}

/// Takes the read-only flag off the mount that `fd` is the root of.
pub fn clear_read_only(fd: c_int) -> io::Result<()> {
    let attributes = MountAttr { set: 0, clear: 1, propagation: 0, userns: 0 };
    let length = size_of::<MountAttr>();
    // SAFETY: the path is empty and static; the struct outlives the call and its size is passed.
    let result = unsafe {
        syscall(
            nr::MOUNT_SETATTR,
            i64::from(fd),
            c"".as_ptr(),
            i64::from(AT_EMPTY_PATH),
            &raw const attributes,
            length,
        )
    };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

pub fn leave_namespaces(flags: c_int) -> io::Result<()> {
    // SAFETY: flags are plain numbers.
    check(unsafe { unshare(flags) }).map(drop)
}

pub fn change_root(path: &Path) -> io::Result<()> {
    let path = c_path(path)?;
    // SAFETY: the string is NUL-terminated and outlives the call.
    check(unsafe { chroot(path.as_ptr()) }).map(drop)
}

/// mknod(2); `device` in the kernel's 32-bit encoding for small numbers.
pub fn make_node(path: &Path, mode: u32, major: u32, minor: u32) -> io::Result<()> {
    let path = c_path(path)?;
    let device = i64::from(major << 8 | minor);
    // SAFETY: the string is NUL-terminated and outlives the call.
    let result = unsafe { syscall(nr::MKNODAT, i64::from(AT_FDCWD), path.as_ptr(), i64::from(mode), device) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Swaps two names in one step, renameat2(2) with RENAME_EXCHANGE.
pub fn exchange(a: &Path, b: &Path) -> io::Result<()> {
    let (a, b) = (c_path(a)?, c_path(b)?);
    let at = i64::from(AT_FDCWD);
    // SAFETY: both strings are NUL-terminated and outlive the call.
    let result =
        unsafe { syscall(nr::RENAMEAT2, at, a.as_ptr(), at, b.as_ptr(), i64::from(RENAME_EXCHANGE)) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
