//! The futex: sleep while a shared word holds a value, wake those who do.
//!
//! Words lie in memory shared between processes, so the private flag is never used. Under `cfg(ringfence_loom)` the
//! kernel's part is modelled: compare and enqueue under one lock, then park; wake by address, oldest first; a wait
//! with a time-out may end by itself at any time.

use core::time::Duration;

use crate::primitive::AtomicU32;

/// How a wait ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wake {
    /// Somebody woke us (or the kernel did for no reason).
    Woken,
    /// The word did not hold the expected value: we never slept.
    Changed,
    /// The time was up.
    TimedOut,
    /// A signal handler ran.
    Interrupted,
}

/// Sleeps while `word` holds `expected`, for at most `timeout`.
#[cfg(not(ringfence_loom))]
pub fn wait(word: &AtomicU32, expected: u32, timeout: Option<Duration>) -> Wake {
    use rustix::io::Errno;
    use rustix::thread::futex::{self, Flags, Timespec};
    let timeout = timeout
        .map(|t| Timespec { tv_sec: i64::try_from(t.as_secs()).unwrap_or(i64::MAX), tv_nsec: t.subsec_nanos().into() });
    match futex::wait(word, Flags::empty(), expected, timeout.as_ref()) {
        Ok(()) => Wake::Woken,
        Err(Errno::AGAIN) => Wake::Changed,
        Err(Errno::TIMEDOUT) => Wake::TimedOut,
        Err(Errno::INTR) => Wake::Interrupted,
        // EFAULT and EINVAL cannot happen for a live reference; callers re-check their condition whatever the reason.
        Err(_) => Wake::Woken,
    }
}

/// Wakes at most `count` sleepers of `word`; returns how many there were.
#[cfg(not(ringfence_loom))]
pub fn wake(word: &AtomicU32, count: u32) -> usize {
    use rustix::thread::futex::{self, Flags};
    // The kernel takes the count as an int: more than i32::MAX would read as negative.
    futex::wake(word, Flags::empty(), count.min(i32::MAX as u32)).unwrap_or(0)
}

#[cfg(ringfence_loom)]
pub use modelled::{wait, wake};

#[cfg(ringfence_loom)]
mod modelled {
    use super::{AtomicU32, Duration, Wake};
    use crate::primitive::{Ordering, death};
    use loom::sync::{Arc, Mutex};
    use loom::thread;

    struct Sleeper {
        address: usize,
        woken: Arc<std::sync::atomic::AtomicBool>,
        /// Whom to unpark: nobody for a wait with a time-out, which does not park. (loom's `unpark` would also rouse a
        /// thread that waits for the mutex below.)
        parked: Option<thread::Thread>,
    }

    loom::lazy_static! {
        static ref SLEEPERS: Mutex<Vec<Sleeper>> = Mutex::new(Vec::new());
    }

    fn is_woken(flag: &Arc<std::sync::atomic::AtomicBool>) -> bool {
        flag.load(std::sync::atomic::Ordering::SeqCst)
    }

    pub fn wait(word: &AtomicU32, expected: u32, timeout: Option<Duration>) -> Wake {
        death::crash_point();
        let address = std::ptr::from_ref(word).addr();
        let woken = Arc::new(std::sync::atomic::AtomicBool::new(false));
        {
            let mut sleepers = SLEEPERS.lock().unwrap();
            // No crash point: this is the kernel's look, and the model's mutex must not be poisoned.
            if word.observe(Ordering::SeqCst) != expected {
                return Wake::Changed;
            }
            let parked = timeout.is_none().then(thread::current);
            sleepers.push(Sleeper { address, woken: woken.clone(), parked });
        }
        if timeout.is_some() {
            // The timer may fire at any time: whoever runs before us may still wake us.
            thread::yield_now();
            let mut sleepers = SLEEPERS.lock().unwrap();
            if is_woken(&woken) {
                return Wake::Woken;
            }
            sleepers.retain(|s| !Arc::ptr_eq(&s.woken, &woken));
            return Wake::TimedOut;
        }
        while !is_woken(&woken) {
            thread::park();
        }
        Wake::Woken
    }

    pub fn wake(word: &AtomicU32, count: u32) -> usize {
        death::crash_point();
        let address = std::ptr::from_ref(word).addr();
        let mut sleepers = SLEEPERS.lock().unwrap();
        let mut woken = 0;
        sleepers.retain(|sleeper| {
            if sleeper.address != address || woken == count as usize {
                return true;
            }
            sleeper.woken.store(true, std::sync::atomic::Ordering::SeqCst);
            if let Some(thread) = &sleeper.parked {
                thread.unpark();
            }
            woken += 1;
            false
        });
        woken
    }
}
