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

/// The most words that [`wait_any`] sleeps on. The kernel would take 128.
pub const MOST_WORDS: usize = 64;

/// Sleeps while each word holds its value, for at most `timeout`: at most [`MOST_WORDS`] of them, each once.
///
/// Where the kernel cannot wait for several (before 5.16) or a filter forbids it, the sleep is on the first word alone,
/// unless another has changed already: the caller's cap on sleeps bounds what that costs.
#[cfg(not(ringfence_loom))]
pub fn wait_any(words: &[(&AtomicU32, u32)], timeout: Option<Duration>) -> Wake {
    use crate::primitive::Ordering;
    use rustix::io::Errno;
    use rustix::thread::futex::{self, Wait, WaitFlags, WaitPtr, WaitvFlags};
    use rustix::time::{ClockId, Timespec};
    let &[(first, value), ref others @ ..] = words else { return Wake::Changed };
    if others.is_empty() {
        return wait(first, value, timeout);
    }
    let mut waits = [Wait::new(); MOST_WORDS];
    for (wait, (word, value)) in waits.iter_mut().zip(words) {
        wait.val = (*value).into();
        wait.uaddr = WaitPtr::new(word.as_ptr().cast());
        wait.flags = WaitFlags::SIZE_U32;
    }
    // This call alone takes the end of the sleep and not its length.
    let end = timeout.map(|timeout| {
        // The C library's: rustix looks for the vDSO itself, where valgrind has none, and crashes there.
        let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        // SAFETY: `now` is valid for the call.
        unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &mut now) };
        let nanoseconds = now.tv_nsec + i64::from(timeout.subsec_nanos());
        let seconds = i64::try_from(timeout.as_secs()).unwrap_or(i64::MAX).saturating_add(nanoseconds / 1_000_000_000);
        Timespec { tv_sec: now.tv_sec.saturating_add(seconds), tv_nsec: nanoseconds % 1_000_000_000 }
    });
    let count = words.len().min(MOST_WORDS);
    match futex::waitv(&waits[..count], WaitvFlags::empty(), end.as_ref(), ClockId::Monotonic) {
        Ok(_) => Wake::Woken,
        Err(Errno::AGAIN) => Wake::Changed,
        Err(Errno::TIMEDOUT) => Wake::TimedOut,
        Err(Errno::INTR) => Wake::Interrupted,
        // No such call, or forbidden. Relaxed: a change that is missed here is found after the nap.
        Err(_) if others.iter().any(|(word, value)| word.load(Ordering::Relaxed) != *value) => Wake::Changed,
        Err(_) => wait(first, value, timeout),
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
pub use modelled::{wait, wait_any, wake};

#[cfg(ringfence_loom)]
mod modelled {
    use super::{AtomicU32, Duration, Wake};
    use crate::primitive::{Ordering, death};
    use loom::sync::{Arc, Mutex};
    use loom::thread;

    struct Sleeper {
        address: usize,
        woken: Arc<std::sync::atomic::AtomicBool>,
        /// Whom to unpark: nobody for a wait with a time-out, which does not park, or for one that has yet to queue at
        /// another word, or is woken already. (loom's `unpark` would also rouse a thread that waits for the mutex below.)
        parked: Option<thread::Thread>,
    }

    loom::lazy_static! {
        static ref SLEEPERS: Mutex<Vec<Sleeper>> = Mutex::new(Vec::new());
    }

    fn is_woken(flag: &Arc<std::sync::atomic::AtomicBool>) -> bool {
        flag.load(std::sync::atomic::Ordering::SeqCst)
    }

    pub fn wait(word: &AtomicU32, expected: u32, timeout: Option<Duration>) -> Wake {
        wait_any(&[(word, expected)], timeout)
    }

    /// As the kernel does it: one word after another, so that the first may be woken before the last is looked at; and a
    /// wake-up at each word counts there, though one of them would do.
    pub fn wait_any(words: &[(&AtomicU32, u32)], timeout: Option<Duration>) -> Wake {
        death::crash_point();
        let woken = Arc::new(std::sync::atomic::AtomicBool::new(false));
        for (word, expected) in words {
            let mut sleepers = SLEEPERS.lock().unwrap();
            // No crash point: this is the kernel's look, and the model's mutex must not be poisoned.
            if word.observe(Ordering::SeqCst) != *expected {
                return if leave(&mut sleepers, &woken) { Wake::Woken } else { Wake::Changed };
            }
            let parked = (timeout.is_none() && words.len() == 1).then(thread::current);
            sleepers.push(Sleeper { address: std::ptr::from_ref(*word).addr(), woken: woken.clone(), parked });
        }
        if timeout.is_some() {
            // The timer may fire at any time: whoever runs before us may still wake us.
            thread::yield_now();
            let woken_in_time = leave(&mut SLEEPERS.lock().unwrap(), &woken);
            return if woken_in_time { Wake::Woken } else { Wake::TimedOut };
        }
        if words.len() > 1 {
            let mut sleepers = SLEEPERS.lock().unwrap();
            if is_woken(&woken) {
                leave(&mut sleepers, &woken);
                return Wake::Woken;
            }
            for sleeper in sleepers.iter_mut().filter(|sleeper| Arc::ptr_eq(&sleeper.woken, &woken)) {
                sleeper.parked = Some(thread::current());
            }
        }
        while !is_woken(&woken) {
            thread::park();
        }
        if words.len() > 1 {
            leave(&mut SLEEPERS.lock().unwrap(), &woken);
        }
        Wake::Woken
    }

    /// Takes a sleeper out of every queue it is still in; whether somebody woke it.
    fn leave(sleepers: &mut Vec<Sleeper>, woken: &Arc<std::sync::atomic::AtomicBool>) -> bool {
        sleepers.retain(|sleeper| !Arc::ptr_eq(&sleeper.woken, woken));
        is_woken(woken)
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
        for sleeper in sleepers.iter_mut().filter(|sleeper| is_woken(&sleeper.woken)) {
            sleeper.parked = None;
        }
        woken
    }
}
