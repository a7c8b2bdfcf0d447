//! The tiny program that podrun carries within itself: a pod's pause, or the keeper of a pod's supervisor.
//!
//! One static program without libc, so that its pages are few and shared by all pods. Its first argument is the mode.

#![no_std]
#![no_main]
#![no_builtins] // else loops become calls of memcpy and its like, which nobody here has

mod keeper;
mod pause;
mod sys;

use core::arch::global_asm;

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
            pause::run();
        }
        // SAFETY: as above.
        if unsafe { is(mode, b"keeper\0") } && count == keeper::WORDS {
            keeper::run(slot.cast_mut().cast());
        }
    }
    sys::exit(2)
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    sys::exit(3)
}
