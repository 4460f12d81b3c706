//! [`release_free_memory`]: memory that the allocator holds free.

/// Returns memory that the process has freed to the system. Does nothing if the C library is not
/// glibc.
///
/// glibc returns only the end of its heaps by itself. After a rush of clients much of what was
/// freed lies between what is still used, and the process seems to need it for ever. This takes
/// some milliseconds, in which other threads that allocate may wait: call it seldom, and where
/// blocking is allowed. It affects the whole process, so only programs should call it, not
/// libraries.
pub fn release_free_memory() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    trim();
}

#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[expect(unsafe_code, reason = "malloc_trim is a function of C")]
fn trim() {
    // SAFETY: it takes no pointer, needs no state, and may be called by any thread.
    unsafe { libc::malloc_trim(0) };
}

#[cfg(test)]
mod tests {
    #[test]
    fn what_is_in_use_stays() {
        let held: Vec<_> = (0..100_u8).map(|n| vec![n; 10_000]).collect();
        super::release_free_memory();
        assert!((0..100).all(|n| held[usize::from(n)].iter().all(|byte| *byte == n)));
    }
}
