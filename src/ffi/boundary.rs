//! The one boundary between C and Rust: no panic and no changed `errno` gets past it.
//!
//! Every entry point that can fail is `boundary(|| { .. })`. What goes wrong inside is a [`Failure`]: a status, and for
//! the thread's last error a sentence. Ordinary outcomes (full, empty, timed out) carry a static sentence, so a polling
//! loop allocates nothing.

use core::any::Any;
use core::cell::{Cell, RefCell};
use core::ffi::{CStr, c_char, c_int};
use std::borrow::Cow;
use std::ffi::CString;
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::status::rf_status;
use crate::sys::errno;

/// What an entry point comes to.
pub(super) type Outcome = Result<rf_status, Failure>;

/// Why a call failed.
#[derive(Debug)]
pub(super) struct Failure {
    status: rf_status,
    text: Option<String>,
    errno: i32,
}

impl Failure {
    /// A failure with a sentence of its own.
    pub(super) fn new(status: rf_status, text: impl Into<String>) -> Self {
        Self { status, text: Some(text.into()), errno: 0 }
    }

    /// Adds the operating system's reason.
    pub(super) fn with_errno(self, errno: i32) -> Self {
        Self { errno, ..self }
    }
}

impl From<rf_status> for Failure {
    /// A failure that the status says everything about.
    fn from(status: rf_status) -> Self {
        Self { status, text: None, errno: 0 }
    }
}

/// Runs one call from C.
#[inline]
pub(super) fn boundary(call: impl FnOnce() -> Outcome) -> c_int {
    let _errno = errno::keep();
    // Unwind safety: nothing that the closure may have left half done is used again by the boundary, and the handles
    // promise only what they promise after a kill.
    let status = match catch_unwind(AssertUnwindSafe(call)) {
        Ok(Ok(status)) => status,
        Ok(Err(failure)) => record(failure),
        Err(payload) => panicked(payload),
    };
    status as c_int
}

#[cold]
fn panicked(payload: Box<dyn Any + Send>) -> rf_status {
    let text = payload.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let text = text.or_else(|| payload.downcast_ref::<String>().cloned());
    // A payload's own drop may panic: ours are strings, anything else is leaked.
    if text.is_none() {
        core::mem::forget(payload);
    }
    record(Failure::new(rf_status::RF_E_INTERNAL, format!("internal error: {}", text.as_deref().unwrap_or("panic"))))
}

struct Last {
    text: RefCell<Cow<'static, CStr>>,
    errno: Cell<i32>,
}

thread_local! {
    static LAST: Last = const { Last { text: RefCell::new(Cow::Borrowed(c"")), errno: Cell::new(0) } };
}

#[cold]
fn record(failure: Failure) -> rf_status {
    let text = match failure.text {
        // A NUL inside the sentence ends it, as C will read it.
        Some(text) => Cow::Owned(CString::new(text).unwrap_or_else(|error| {
            let end = error.nul_position();
            let mut bytes = error.into_vec();
            bytes.truncate(end);
            CString::new(bytes).unwrap_or_default()
        })),
        None => Cow::Borrowed(failure.status.text()),
    };
    // A call from the destructor of another thread-local finds ours gone: the status says enough.
    let _ = LAST.try_with(|last| {
        last.text.replace(text);
        last.errno.set(failure.errno);
    });
    failure.status
}

/// What went wrong in the last call of the calling thread that failed, as a sentence: both sides of a mismatch, the
/// name of the object, the system's own reason. Empty if no call of this thread has failed yet; a call that succeeds
/// does not clear it.
///
/// @return a string that is never NULL and stays valid until the next call of the same thread that fails
///
/// Threads: any; each has its own.
#[unsafe(no_mangle)]
pub extern "C" fn rf_last_error() -> *const c_char {
    LAST.try_with(|last| last.text.borrow().as_ptr()).unwrap_or(c"".as_ptr())
}

/// The `errno` value behind the calling thread's last failure, 0 where no system call was to blame.
///
/// @return an `errno` value, with `RF_E_SYSTEM` above all
///
/// Threads: any; each has its own.
#[unsafe(no_mangle)]
pub extern "C" fn rf_last_errno() -> c_int {
    LAST.try_with(|last| last.errno.get()).unwrap_or(0)
}

// Inside, because nothing outside can make the library panic.
#[cfg(test)]
mod tests {
    use super::*;

    fn last_error() -> String {
        // SAFETY: the text lives until the next failing call of this thread.
        unsafe { CStr::from_ptr(rf_last_error()) }.to_string_lossy().into_owned()
    }

    #[test]
    fn a_panic_becomes_a_status() {
        // The system's way to set errno; what it fails for differs, so that the two values do.
        let fail = |path: &str| std::fs::read(path).expect_err("no such file").raw_os_error();
        let before = fail("/proc/self/status/x");
        let status = boundary(|| {
            assert_ne!(fail("/proc/none"), before);
            panic!("on purpose: {}", 42)
        });
        assert_eq!(
            (status, std::io::Error::last_os_error().raw_os_error()),
            (rf_status::RF_E_INTERNAL as c_int, before)
        );
        assert_eq!(last_error(), "internal error: on purpose: 42");
    }

    #[test]
    fn a_panic_with_a_strange_payload_becomes_a_status() {
        struct PanicsOnDrop;
        impl Drop for PanicsOnDrop {
            fn drop(&mut self) {
                panic!("while dropping the payload");
            }
        }
        let status = boundary(|| std::panic::panic_any(PanicsOnDrop));
        assert_eq!(status, rf_status::RF_E_INTERNAL as c_int);
        assert_eq!(last_error(), "internal error: panic");
    }

    #[test]
    fn the_last_error_is_the_last_failure_of_this_thread() {
        assert_eq!(boundary(|| Err(Failure::new(rf_status::RF_E_SYSTEM, "first\0rest").with_errno(5))), -5);
        assert_eq!(boundary(|| Ok(rf_status::RF_OWNER_DIED)), 1);
        assert_eq!((last_error().as_str(), rf_last_errno()), ("first", 5));
        assert_eq!(boundary(|| Err(rf_status::RF_E_FULL.into())), -40);
        assert_eq!((last_error().as_str(), rf_last_errno()), ("full", 0));
        let other = std::thread::spawn(last_error);
        assert_eq!(other.join().expect("the thread"), "");
    }
}
