//! Capped sleeping: no sleep is longer than [`CAP`], because whoever would wake us may have been killed.
//!
//! The first nap lasts 8 ms, each further one twice as long, up to 100 ms: a blocked call costs about eleven wake-ups a
//! second, and a death is noticed within 100 ms by a sleeper that has been there for long.

use core::time::Duration;
use std::time::Instant;

use super::futex;
use crate::primitive::{AtomicU32, Ordering};

/// The longest sleep without a look at the world.
pub const CAP: Duration = Duration::from_millis(100);

/// The first sleep of a call. Longer than a tick of the usual kernels (4 ms): where a sleep's own timer is the next one of its core, to
/// be woken takes a quarter longer, because that timer has to be taken out of the hardware first.
const FIRST: Duration = Duration::from_millis(8);

/// How long a try waits for a lock inside an object. Its holder does one operation, unless it is stopped or was preempted.
pub const TRY_FOR: Duration = Duration::from_millis(20);

/// When a blocked call gives up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deadline {
    /// Do not wait at all.
    Now,
    /// At this instant of the monotonic clock.
    At(Instant),
    /// Never.
    Forever,
}

impl Deadline {
    /// `timeout` from now; a time-out beyond the clock's range is for ever.
    pub fn after(timeout: Duration) -> Self {
        if timeout.is_zero() {
            return Self::Now;
        }
        Instant::now().checked_add(timeout).map_or(Self::Forever, Self::At)
    }

    /// The time left: `None` for ever, zero when it is over.
    pub(super) fn left(self) -> Option<Duration> {
        match self {
            Self::Now => Some(Duration::ZERO),
            // In a model time does not pass: any wait with a time-out may end by it, and none has to.
            Self::At(_) if cfg!(ringfence_loom) => Some(Duration::MAX),
            Self::At(instant) => Some(instant.saturating_duration_since(Instant::now())),
            Self::Forever => None,
        }
    }
}

/// How a blocking call waits.
#[derive(Clone, Copy, Debug)]
pub struct Wait {
    /// When to give up.
    pub deadline: Deadline,
    /// Whether a signal handler that ran ends the call.
    pub interruptible: bool,
}

impl Wait {
    /// Waits until `deadline`, through signals.
    pub fn until(deadline: Deadline) -> Self {
        Self { deadline, interruptible: false }
    }
}

/// What a handle says about its waits: whether a signal handler that ran ends them. Off at first.
#[derive(Debug)]
pub struct Interruptible(AtomicU32);

impl Interruptible {
    /// Waits go on after a signal.
    pub fn new() -> Self {
        Self(AtomicU32::new(0))
    }

    /// Another handle's, with the same setting.
    pub fn again(&self) -> Self {
        Self(AtomicU32::new(self.0.load(Ordering::Relaxed)))
    }

    /// Switches it, for the waits that begin from now on.
    pub fn set(&self, interruptible: bool) {
        // Relaxed: a switch on its own; nothing is published with it.
        self.0.store(interruptible.into(), Ordering::Relaxed);
    }

    /// How it is switched.
    pub fn get(&self) -> bool {
        self.0.load(Ordering::Relaxed) != 0
    }

    /// A wait of this handle until `deadline`.
    pub fn wait(&self, deadline: Deadline) -> Wait {
        Wait { deadline, interruptible: self.get() }
    }
}

/// How a nap ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Slept {
    /// Look again: woken, changed, or the cap was reached.
    Recheck,
    /// The caller's deadline has passed.
    TimedOut,
    /// A signal handler ran and the caller wants to know.
    Interrupted,
}

/// The naps of one blocked call, each longer than the last.
#[derive(Debug)]
pub struct Nap {
    next: Duration,
}

impl Nap {
    /// The first nap of a call.
    pub fn new() -> Self {
        Self { next: FIRST }
    }

    /// Sleeps while `word` holds `expected`, until woken, capped or past the deadline.
    pub fn sleep(&mut self, word: &AtomicU32, expected: u32, wait: Wait) -> Slept {
        self.sleep_by(wait, |timeout| futex::wait(word, expected, timeout))
    }

    /// The same while each of several words holds its value: see [`futex::wait_any`].
    pub fn sleep_any(&mut self, words: &[(&AtomicU32, u32)], wait: Wait) -> Slept {
        self.sleep_by(wait, |timeout| futex::wait_any(words, timeout))
    }

    #[inline]
    fn sleep_by(&mut self, wait: Wait, sleep: impl FnOnce(Option<Duration>) -> futex::Wake) -> Slept {
        let left = wait.deadline.left();
        if left.is_some_and(|left| left.is_zero()) {
            return Slept::TimedOut;
        }
        let cap = cap_enabled().then_some(self.next);
        let timeout = match (left, cap) {
            (Some(left), Some(cap)) => Some(left.min(cap)),
            (left, cap) => left.or(cap),
        };
        match sleep(timeout) {
            futex::Wake::Interrupted if wait.interruptible => return Slept::Interrupted,
            futex::Wake::TimedOut => {
                self.next = (self.next * 2).min(CAP);
                // In a model time does not pass: a time-out that the caller asked for is the deadline itself.
                if cfg!(ringfence_loom) {
                    return Slept::TimedOut;
                }
            }
            _ => {}
        }
        Slept::Recheck
    }
}

/// Under loom no sleep is capped, so that a lost wake-up is a deadlock which the model reports.
#[cfg(all(not(feature = "rig"), not(ringfence_loom)))]
fn cap_enabled() -> bool {
    true
}

#[cfg(ringfence_loom)]
fn cap_enabled() -> bool {
    false
}

#[cfg(all(feature = "rig", not(ringfence_loom)))]
use rig::cap_enabled;
#[cfg(all(feature = "rig", not(ringfence_loom)))]
pub use rig::set_cap_enabled;

/// The crash rig's switch: with the cap off, a lost wake-up sleeps for ever and is found.
#[cfg(all(feature = "rig", not(ringfence_loom)))]
mod rig {
    use core::sync::atomic::{AtomicBool, Ordering};

    static CAP_ENABLED: AtomicBool = AtomicBool::new(true);

    pub fn cap_enabled() -> bool {
        // Relaxed: a switch thrown before the processes under test start.
        CAP_ENABLED.load(Ordering::Relaxed)
    }

    /// Switches the cap on sleeps for this process.
    pub fn set_cap_enabled(enabled: bool) {
        CAP_ENABLED.store(enabled, Ordering::Relaxed);
    }
}
