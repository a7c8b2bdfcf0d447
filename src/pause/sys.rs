//! System calls without libc: thin, and the only code that both modes share.

use core::arch::asm;

/// System call numbers, `asm/unistd_64.h` and `asm-generic/unistd.h`.
#[cfg(target_arch = "x86_64")]
pub mod number {
    pub const CLOSE: usize = 3;
    pub const RT_SIGACTION: usize = 13;
    pub const RT_SIGPROCMASK: usize = 14;
    pub const WRITEV: usize = 20;
    pub const NANOSLEEP: usize = 35;
    pub const SENDMSG: usize = 46;
    pub const RECVMSG: usize = 47;
    pub const SOCKETPAIR: usize = 53;
    pub const CLONE: usize = 56;
    pub const EXECVE: usize = 59;
    pub const CAPSET: usize = 126;
    pub const RT_SIGTIMEDWAIT: usize = 128;
    pub const PRCTL: usize = 157;
    pub const CLOCK_GETTIME: usize = 228;
    pub const EXIT_GROUP: usize = 231;
    pub const WAITID: usize = 247;
    pub const PPOLL: usize = 271;
    pub const DUP3: usize = 292;
    pub const CLOSE_RANGE: usize = 436;
}
#[cfg(target_arch = "aarch64")]
pub mod number {
    pub const DUP3: usize = 24;
    pub const CLOSE: usize = 57;
    pub const WRITEV: usize = 66;
    pub const PPOLL: usize = 73;
    pub const CAPSET: usize = 91;
    pub const EXIT_GROUP: usize = 94;
    pub const WAITID: usize = 95;
    pub const NANOSLEEP: usize = 101;
    pub const CLOCK_GETTIME: usize = 113;
    pub const RT_SIGACTION: usize = 134;
    pub const RT_SIGPROCMASK: usize = 135;
    pub const RT_SIGTIMEDWAIT: usize = 137;
    pub const PRCTL: usize = 167;
    pub const SOCKETPAIR: usize = 199;
    pub const SENDMSG: usize = 211;
    pub const RECVMSG: usize = 212;
    pub const CLONE: usize = 220;
    pub const EXECVE: usize = 221;
    pub const CLOSE_RANGE: usize = 436;
}

pub const PR_SET_PDEATHSIG: usize = 1;
pub const PR_SET_DUMPABLE: usize = 4;
const PR_SET_NAME: usize = 15;
pub const PR_CAPBSET_DROP: usize = 24;
pub const PR_SET_NO_NEW_PRIVS: usize = 38;
const PR_CAP_AMBIENT: usize = 47;
const PR_CAP_AMBIENT_CLEAR_ALL: usize = 4;

pub const EPERM: isize = 1;
pub const EINTR: isize = 4;
pub const EINVAL: isize = 22;
pub const SIGCHLD: usize = 17;
pub const SIG_BLOCK: usize = 0;
pub const SIG_SETMASK: usize = 2;
/// Size of the kernel's signal sets in bytes.
pub const SET_SIZE: usize = 8;

/// A system call.
///
/// # Safety
/// Arguments that the call takes as pointers must be valid for what it reads or writes there.
#[cfg(target_arch = "x86_64")]
pub unsafe fn call(number: usize, a: usize, b: usize, c: usize, d: usize) -> isize {
    let value;
    // SAFETY: the kernel preserves all registers but rax, rcx and r11; our caller answers for the pointers.
    unsafe {
        asm!("syscall", inlateout("rax") number => value, in("rdi") a, in("rsi") b, in("rdx") c, in("r10") d,
            in("r8") 0, lateout("rcx") _, lateout("r11") _, options(nostack));
    }
    value
}

/// A system call.
///
/// # Safety
/// Arguments that the call takes as pointers must be valid for what it reads or writes there.
#[cfg(target_arch = "aarch64")]
pub unsafe fn call(number: usize, a: usize, b: usize, c: usize, d: usize) -> isize {
    let value;
    // SAFETY: the kernel preserves all registers but x0; our caller answers for the pointers.
    unsafe {
        asm!("svc #0", in("x8") number, inlateout("x0") a => value, in("x1") b, in("x2") c, in("x3") d,
            in("x4") 0, options(nostack));
    }
    value
}

/// A prctl(2) whose arguments are integers.
pub fn prctl(option: usize, argument: usize) -> isize {
    // SAFETY: our callers pass options that take no pointer.
    unsafe { call(number::PRCTL, option, argument, 0, 0) }
}

pub fn exit(code: usize) -> ! {
    loop {
        // SAFETY: exit_group takes an integer.
        unsafe { call(number::EXIT_GROUP, code, 0, 0, 0) };
    }
}

/// One piece of a message, writev(2) and sendmsg(2).
#[repr(C)]
pub struct Piece {
    pub start: *const u8,
    pub length: usize,
}

/// Tells podrun `F`, the error number as four little-endian bytes and what could not be done; then ends.
pub fn fail(error: isize, what: &[u8]) -> ! {
    // The kernel's error numbers are below 4096, so two of the four bytes are always zero.
    let [low, high] = u16::try_from(error.unsigned_abs()).unwrap_or(0).to_le_bytes();
    let head = [b'F', low, high, 0, 0];
    let pieces = [
        Piece { start: head.as_ptr(), length: head.len() },
        Piece { start: what.as_ptr(), length: what.len() },
    ];
    // SAFETY: both pieces point at live bytes of the length they say, and their number is given.
    unsafe { call(number::WRITEV, 0, pieces.as_ptr() as usize, pieces.len(), 0) };
    exit(1)
}

/// Fails unless the value of a system call says that it worked.
pub fn check(value: isize, what: &[u8]) {
    if value < 0 {
        fail(value, what);
    }
}

/// Shows a name in ps.
pub fn set_name(name: &core::ffi::CStr) {
    // SAFETY: the name is NUL-terminated and borrowed for the length of the call.
    unsafe { call(number::PRCTL, PR_SET_NAME, name.as_ptr() as usize, 0, 0) };
}

/// Changes the signal mask, sigprocmask(2).
pub fn change_mask(how: usize, set: u64) -> isize {
    // SAFETY: the set lives until the call returns and its size is given; no old set is asked for.
    unsafe { call(number::RT_SIGPROCMASK, how, (&raw const set) as usize, 0, SET_SIZE) }
}

/// Makes these the effective and the permitted capabilities, without inheritable ones. Both masks are of the
/// capabilities 0 to 31; of the others none remains.
pub fn set_capabilities(effective: u32, permitted: u32) -> isize {
    const VERSION_3: u32 = 0x2008_0522;
    let header = [VERSION_3, 0];
    let data = [effective, permitted, 0, 0, 0, 0];
    // SAFETY: header and data have the layout of capset(2) version 3 and live until the call returns.
    unsafe { call(number::CAPSET, (&raw const header) as usize, (&raw const data) as usize, 0, 0) }
}

/// Gives the ambient capabilities up.
pub fn clear_ambient_capabilities() {
    check(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL), b"cannot clear ambient capabilities");
}
