//! The calling thread's `errno`, which the C ABI leaves as it found it.

/// The calling thread's `errno`.
pub fn get() -> i32 {
    // SAFETY: the C library returns the address of the calling thread's own errno, valid as long as the thread.
    unsafe { *libc::__errno_location() }
}

/// Sets the calling thread's `errno`.
pub fn set(errno: i32) {
    // SAFETY: as in `get`; nobody else writes a thread's errno.
    unsafe { *libc::__errno_location() = errno }
}
