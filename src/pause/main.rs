//! pause: the process that owns a pod's namespaces and does nothing else.
//!
//! One tiny static program without libc, so that its pages are few and shared by all pods. Its first argument is the
//! mode. It is started by podrun inside the namespaces it is to own, with a socket on descriptors 0 to 2: closing them
//! without a word tells podrun that the pod's owner stands, confined; otherwise one message says what failed.
//!
//! Invariant: nothing after `confine` needs a privilege, a descriptor or memory that a container could abuse.

#![no_std]
#![no_main]

use core::arch::{asm, global_asm};

// The kernel enters with the argument count at the stack pointer and no return address.
#[cfg(target_arch = "x86_64")]
global_asm!(
    ".globl _start",
    "_start:",
    "xor ebp, ebp",
    "mov rdi, rsp",
    "and rsp, -16", // the ABI wants 16-byte alignment at a call
    "call {main}",
    "ud2",
    main = sym main,
);
#[cfg(target_arch = "aarch64")]
global_asm!(
    ".globl _start",
    "_start:",
    "mov x29, xzr",
    "mov x30, xzr",
    "mov x0, sp",
    "bl {main}",
    "brk #1",
    main = sym main,
);

/// System call numbers, `asm/unistd_64.h` and `asm-generic/unistd.h`.
#[cfg(target_arch = "x86_64")]
mod number {
    pub const RT_SIGACTION: usize = 13;
    pub const RT_SIGPROCMASK: usize = 14;
    pub const WRITEV: usize = 20;
    pub const CAPSET: usize = 126;
    pub const RT_SIGTIMEDWAIT: usize = 128;
    pub const PRCTL: usize = 157;
    pub const EXIT_GROUP: usize = 231;
    pub const CLOSE_RANGE: usize = 436;
}
#[cfg(target_arch = "aarch64")]
mod number {
    pub const WRITEV: usize = 66;
    pub const CAPSET: usize = 91;
    pub const EXIT_GROUP: usize = 94;
    pub const RT_SIGACTION: usize = 134;
    pub const RT_SIGPROCMASK: usize = 135;
    pub const RT_SIGTIMEDWAIT: usize = 137;
    pub const PRCTL: usize = 167;
    pub const CLOSE_RANGE: usize = 436;
}

const PR_SET_PDEATHSIG: usize = 1;
const PR_SET_DUMPABLE: usize = 4;
const PR_SET_NAME: usize = 15;
const PR_CAPBSET_DROP: usize = 24;
const PR_SET_NO_NEW_PRIVS: usize = 38;
const PR_CAP_AMBIENT: usize = 47;
const PR_CAP_AMBIENT_CLEAR_ALL: usize = 4;

const EINTR: isize = 4;
const EINVAL: isize = 22;
const SIGINT: usize = 2;
const SIGTERM: usize = 15;
const SIGCHLD: usize = 17;
const SIG_IGN: usize = 1;
const SIG_BLOCK: usize = 0;
/// Size of the kernel's signal sets in bytes.
const SET_SIZE: usize = 8;

/// A system call.
///
/// # Safety
/// Arguments that the call takes as pointers must be valid for what it reads or writes there.
#[cfg(target_arch = "x86_64")]
unsafe fn call(number: usize, a: usize, b: usize, c: usize, d: usize) -> isize {
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
unsafe fn call(number: usize, a: usize, b: usize, c: usize, d: usize) -> isize {
    let value;
    // SAFETY: the kernel preserves all registers but x0; our caller answers for the pointers.
    unsafe {
        asm!("svc #0", in("x8") number, inlateout("x0") a => value, in("x1") b, in("x2") c, in("x3") d,
            in("x4") 0, options(nostack));
    }
    value
}

/// A prctl(2) whose arguments are integers.
fn prctl(option: usize, argument: usize) -> isize {
    // SAFETY: our callers pass options that take no pointer.
    unsafe { call(number::PRCTL, option, argument, 0, 0) }
}

fn exit(code: usize) -> ! {
    loop {
        // SAFETY: exit_group takes an integer.
        unsafe { call(number::EXIT_GROUP, code, 0, 0, 0) };
    }
}

/// One piece of a message, writev(2).
#[repr(C)]
struct Piece {
    start: *const u8,
    length: usize,
}

/// Tells podrun `F`, the error number as four little-endian bytes and what could not be done; then ends.
fn fail(error: isize, what: &[u8]) -> ! {
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

fn check(value: isize, what: &[u8]) {
    if value < 0 {
        fail(value, what);
    }
}

/// The kernel's sigaction; both architectures have the fields in this order and size.
#[repr(C)]
struct Action {
    handler: usize,
    flags: usize,
    restorer: usize,
    mask: u64,
}

/// Keeps what ends this process to be taken with `wait_for_end`, and lets the kernel reap.
///
/// The first process of a PID namespace gets no signal that it has not asked for, so these two are asked for by being
/// blocked. Ignoring SIGCHLD makes the kernel reap orphans as they come, without ever waking this process.
fn arrange_signals(ends: &u64) {
    let ignore = Action { handler: SIG_IGN, flags: 0, restorer: 0, mask: 0 };
    // SAFETY: ignore has the kernel's layout and lives until the call returns; no old action is asked for.
    let ignored = unsafe { call(number::RT_SIGACTION, SIGCHLD, (&raw const ignore) as usize, 0, SET_SIZE) };
    check(ignored, b"cannot ignore SIGCHLD");
    // SAFETY: the set is live and its size is given; no old set is asked for.
    let blocked =
        unsafe { call(number::RT_SIGPROCMASK, SIG_BLOCK, core::ptr::from_ref(ends) as usize, 0, SET_SIZE) };
    check(blocked, b"cannot block signals");
}

/// Gives up everything: no capability now or through execve, no ptrace, no core dump.
fn confine() {
    for capability in 0..64 {
        match prctl(PR_CAPBSET_DROP, capability) {
            value if value == -EINVAL => break, // the kernel knows no more
            value => check(value, b"cannot clear the bounding set"),
        }
    }
    check(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL), b"cannot clear ambient capabilities");
    const VERSION_3: u32 = 0x2008_0522;
    let header = [VERSION_3, 0];
    let none = [0u32; 6];
    // SAFETY: header and data have the layout of capset(2) version 3 and live until the call returns.
    let dropped =
        unsafe { call(number::CAPSET, (&raw const header) as usize, (&raw const none) as usize, 0, 0) };
    check(dropped, b"cannot drop capabilities");
    check(prctl(PR_SET_NO_NEW_PRIVS, 1), b"cannot set no_new_privs");
    check(prctl(PR_SET_DUMPABLE, 0), b"cannot become non-dumpable");
}

/// Sleeps until a signal of the set comes. No other return than an interrupted sleep is tried again, lest this spin.
fn wait_for_end(ends: &u64) {
    loop {
        // SAFETY: the set is live and its size is given; neither siginfo nor time-out is asked for.
        let signal =
            unsafe { call(number::RT_SIGTIMEDWAIT, core::ptr::from_ref(ends) as usize, 0, 0, SET_SIZE) };
        if signal != -EINTR {
            return;
        }
    }
}

/// The mode `pause`.
fn pause() -> ! {
    let ends = 1u64 << (SIGINT - 1) | 1u64 << (SIGTERM - 1);
    // SAFETY: the name is a static NUL-terminated string.
    unsafe { call(number::PRCTL, PR_SET_NAME, c"pause".as_ptr() as usize, 0, 0) };
    // podrun has recorded this process: from here on it outlives podrun.
    check(prctl(PR_SET_PDEATHSIG, 0), b"cannot outlive podrun");
    arrange_signals(&ends);
    confine();
    // SAFETY: close_range takes integers; no descriptor is used after this.
    let closed = unsafe { call(number::CLOSE_RANGE, 0, u32::MAX as usize, 0, 0) };
    check(closed, b"cannot close descriptors");
    wait_for_end(&ends);
    exit(0)
}

/// Whether the C string at `text` is `word`, which ends in NUL.
///
/// # Safety
/// `text` must point at a NUL-terminated string.
unsafe fn is(text: *const u8, word: &[u8]) -> bool {
    word.iter().enumerate().all(|(place, byte)| {
        // SAFETY: all bytes before this one were equal to those of word, whose only NUL is its last, so the string
        // of our caller reaches at least to here.
        let there = unsafe { text.add(place) };
        // SAFETY: as above.
        unsafe { *there == *byte }
    })
}

/// Chooses the mode; `stack` points at the argument count, and the argument pointers follow it.
extern "C" fn main(stack: *const usize) -> ! {
    // SAFETY: execve(2) puts the argument count at the initial stack pointer, where _start has found `stack`.
    let count = unsafe { *stack };
    if count > 0 {
        // SAFETY: argument pointers follow the count.
        let slot = unsafe { stack.add(1) };
        // SAFETY: with a count above 0 the first of them is a pointer to a NUL-terminated string.
        let mode = unsafe { *slot } as *const u8;
        // SAFETY: as above.
        if unsafe { is(mode, b"pause\0") } {
            pause();
        }
    }
    exit(2)
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    exit(3)
}
