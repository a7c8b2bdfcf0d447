//! The mode `pause`: the process that owns a pod's namespaces and does nothing else.
//!
//! It is started by podrun inside the namespaces it is to own, with a socket on descriptors 0 to 2: closing them
//! without a word tells podrun that the pod's owner stands, confined; otherwise one message says what failed.
//!
//! Invariant: nothing after `confine` needs a privilege, a descriptor or memory that a container could abuse.

use super::sys::{
    EINTR, EINVAL, PR_CAPBSET_DROP, PR_SET_DUMPABLE, PR_SET_NO_NEW_PRIVS, PR_SET_PDEATHSIG, SET_SIZE,
    SIG_BLOCK, SIGCHLD, call, change_mask, check, clear_ambient_capabilities, exit, number, prctl,
    set_capabilities, set_name,
};

const SIGINT: usize = 2;
const SIGTERM: usize = 15;
const SIG_IGN: usize = 1;

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
    check(change_mask(SIG_BLOCK, *ends), b"cannot block signals");
}

/// Gives up everything: no capability now or through execve, no ptrace, no core dump.
fn confine() {
    for capability in 0..64 {
        match prctl(PR_CAPBSET_DROP, capability) {
            value if value == -EINVAL => break, // the kernel knows no more
            value => check(value, b"cannot clear the bounding set"),
        }
    }
    clear_ambient_capabilities();
    check(set_capabilities(0, 0), b"cannot drop capabilities");
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

/// Confines itself and sleeps until it is told to end.
pub fn run() -> ! {
    let ends = 1u64 << (SIGINT - 1) | 1u64 << (SIGTERM - 1);
    set_name(c"pause");
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
