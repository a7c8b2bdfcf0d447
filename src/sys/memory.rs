//! Memory straight from the kernel, which can be given back to it page by page: malloc keeps what is freed.

use super::check;
use std::io;
use std::ptr::NonNull;

/// Private zeroed pages, taking no memory until they are touched.
#[derive(Debug)]
pub struct Pages {
    start: NonNull<u8>,
    length: usize,
}

impl Pages {
    /// mmap(2) of `length` bytes, which must not be 0.
    pub fn new(length: usize) -> io::Result<Self> {
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        // SAFETY: a new anonymous mapping at an address of the kernel's choice touches no memory of this process.
        let start = unsafe { libc::mmap(std::ptr::null_mut(), length, protection, flags, -1, 0) };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let start = NonNull::new(start.cast()).ok_or_else(|| io::Error::other("mapped at address 0"))?;
        Ok(Self { start, length })
    }

    /// All of it.
    pub fn bytes(&mut self) -> &mut [u8] {
        // SAFETY: the mapping is `length` initialized bytes, owned by `self` alone, borrowed for as long as the slice.
        unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr(), self.length) }
    }

    /// Gives all pages back (MADV_DONTNEED, madvise(2)); they read as zeroes from then on.
    pub fn discard(&mut self) -> io::Result<()> {
        // SAFETY: the range is our mapping, borrowed by nobody else; plain bytes stay valid when they become zero.
        check(unsafe { libc::madvise(self.start.as_ptr().cast(), self.length, libc::MADV_DONTNEED) }.into())
            .map(drop)
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours and nothing borrows it any more.
        unsafe { libc::munmap(self.start.as_ptr().cast(), self.length) };
    }
}

/// Gives the kernel every page back that malloc holds and nobody uses, malloc_trim(3). Worth its time before a long sleep.
pub fn give_back() {
    // SAFETY: malloc_trim takes an integer and touches nothing that is allocated; this process has one thread.
    unsafe { libc::malloc_trim(0) };
}

/// set_mempolicy(2) for this thread and what it executes; `nodes` is a bit mask.
pub fn set_policy(mode: u32, nodes: &[u64]) -> io::Result<()> {
    // One more than the highest bit: the kernel takes it for a count that is off by one.
    let bits = if nodes.is_empty() { 0 } else { size_of_val(nodes) * 8 + 1 };
    let mask = if nodes.is_empty() { std::ptr::null() } else { nodes.as_ptr() };
    // SAFETY: the kernel reads `bits` - 1 bits from the mask, which lives until the call returns; null for none.
    check(unsafe { libc::syscall(libc::SYS_set_mempolicy, mode, mask, bits) }).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_are_zero_until_written_and_after_they_were_given_back() {
        let mut pages = Pages::new(10_000).unwrap();
        assert_eq!(pages.bytes().len(), 10_000);
        pages.bytes().fill(7);
        assert!(pages.bytes().iter().all(|byte| *byte == 7));
        pages.discard().unwrap();
        assert!(pages.bytes().iter().all(|byte| *byte == 0));
    }
}
