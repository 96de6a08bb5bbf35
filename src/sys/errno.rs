//! The calling thread's `errno`, which the C ABI leaves as it found it.

/// Puts the calling thread's `errno` back when it is dropped, as it was when this was made.
#[derive(Debug)]
#[must_use]
pub struct Kept {
    at: *mut i32,
    value: i32,
}

/// Keeps the calling thread's `errno`.
#[inline]
pub fn keep() -> Kept {
    // SAFETY: the C library returns the address of the calling thread's own errno, valid as long as the thread.
    let at = unsafe { libc::__errno_location() };
    // SAFETY: as above.
    Kept { at, value: unsafe { *at } }
}

impl Drop for Kept {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: still the same thread, since the pointer makes a `Kept` neither Send nor Sync.
        unsafe { *self.at = self.value }
    }
}
