//! The event.

use std::fmt;
use std::time::{Duration, Instant};

use super::any_event::AnyEvent;
use super::any_mutex::LockFailure;
use super::wait_any::Waitable;
use crate::error::Error;
use crate::segment::Segment;
use crate::segment::directory::Mode;
use crate::sys::nap::Deadline;

/// How an [`Event`] goes back to not being set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reset {
    /// By [`clear`](Event::clear): until then everybody goes through.
    Manual,
    /// By itself: each [`set`](Event::set) lets one through.
    Auto,
}

/// A flag that processes set and wait for.
///
/// **[Manual](Reset::Manual)**: set, it lets everybody through until it is cleared. A wait ends if the event is set, or has
/// been at any time since the wait began, also if it was cleared at once. Setting or clearing it twice is harmless.
/// **[Auto](Reset::Auto)**: each set lets exactly one through: one of those who wait, or, if nobody waits, the next to come.
/// What is kept for the next to come is one signal, however often it was set meanwhile, and `clear` takes it back; what was
/// given to those who wait stays given. Who comes first goes first, more or less.
///
/// Whatever was done before a `set` is seen by whoever a wait lets through after it, and by whoever clears it after it.
///
/// **Progress**: manual, lock-free where nobody has to wait. Auto, an operation holds a lock inside the object for a moment:
/// one that is stopped there is waited for, by `try_wait` and by a wait whose time is up for 20 ms.
///
/// **Crash behaviour**: nobody owns an event, so nobody is told of a death. A set has happened or not; if it has, those who
/// wait go on, whether its process lived to wake them or not. A signal of an auto event that was given to a process which
/// dies before its wait has taken it goes to another who waits, or is kept; one that was taken is used.
///
/// ```
/// use std::time::Duration;
/// use ringfence::{Event, Reset, Segment, SegmentOptions};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let segment = Segment::anonymous(&SegmentOptions::new())?;
/// let ready = Event::open_or_create(&segment, "ready", Reset::Manual)?;
/// assert!(!ready.wait_timeout(Duration::from_millis(1))?);
/// ready.set()?;
/// ready.wait()?; // at once, in any process
/// ready.clear()?;
/// assert!(!ready.is_set()?);
/// # Ok(())
/// # }
/// ```
#[must_use]
pub struct Event {
    core: AnyEvent,
}

impl Event {
    /// Creates an event, not set, of a name that must be free in the segment.
    ///
    /// # Errors
    /// [`Error::Name`], [`Error::Exists`], [`Error::NoSpace`], [`Error::DirectoryFull`], [`Error::Busy`],
    /// [`Error::Corrupted`].
    pub fn create(segment: &Segment, name: &str, reset: Reset) -> Result<Self, Error> {
        Ok(Self { core: AnyEvent::open(segment, name, Mode::Create, Some(reset))? })
    }

    /// Opens an event, however it is reset.
    ///
    /// # Errors
    /// [`Error::Name`], [`Error::Missing`], [`Error::WrongKind`], [`Error::Busy`], [`Error::Corrupted`].
    pub fn open(segment: &Segment, name: &str) -> Result<Self, Error> {
        Ok(Self { core: AnyEvent::open(segment, name, Mode::Open, None)? })
    }

    /// Opens an event, or creates it; exactly one of many who do so at once creates it. One that is there stays set or not,
    /// and must be reset in this way.
    ///
    /// # Errors
    /// [`Error::WrongShape`], and as [`open`](Self::open) and [`create`](Self::create).
    pub fn open_or_create(segment: &Segment, name: &str, reset: Reset) -> Result<Self, Error> {
        Ok(Self { core: AnyEvent::open(segment, name, Mode::OpenOrCreate, Some(reset))? })
    }

    /// Waits until it is set, for as long as it takes. An auto event's signal is taken.
    ///
    /// # Errors
    /// [`LockFailure::Interrupted`] if [asked for](Self::set_interruptible), [`LockFailure::Corrupted`],
    /// [`LockFailure::Segment`] if a forked child cannot join the segment.
    #[inline]
    pub fn wait(&self) -> Result<(), LockFailure> {
        self.core.wait(Deadline::Forever).map(drop)
    }

    /// Whether it is set; if so an auto event's signal is taken.
    ///
    /// # Errors
    /// Those of [`wait`](Self::wait).
    #[inline]
    pub fn try_wait(&self) -> Result<bool, LockFailure> {
        self.core.wait(Deadline::Now)
    }

    /// Waits for at most `timeout`: whether it was set. Zero is a [`try_wait`](Self::try_wait).
    ///
    /// # Errors
    /// Those of [`wait`](Self::wait).
    pub fn wait_timeout(&self, timeout: Duration) -> Result<bool, LockFailure> {
        self.core.wait(Deadline::after(timeout))
    }

    /// Waits until `deadline` of the monotonic clock at most: whether it was set.
    ///
    /// # Errors
    /// Those of [`wait`](Self::wait).
    pub fn wait_deadline(&self, deadline: Instant) -> Result<bool, LockFailure> {
        self.core.wait(Deadline::At(deadline))
    }

    /// Sets it: manual, all who wait go on, and whoever comes until it is cleared; auto, one.
    ///
    /// # Errors
    /// [`LockFailure::Corrupted`], [`LockFailure::Segment`].
    #[inline]
    pub fn set(&self) -> Result<(), LockFailure> {
        self.core.set()
    }

    /// Clears it. Whoever a set has let through goes on all the same.
    ///
    /// # Errors
    /// [`LockFailure::Corrupted`], [`LockFailure::Segment`].
    #[inline]
    pub fn clear(&self) -> Result<(), LockFailure> {
        self.core.clear()
    }

    /// Whether it is set now, or a signal of an auto event kept; a hint, since it may change at once.
    ///
    /// # Errors
    /// [`LockFailure::Corrupted`], [`LockFailure::Segment`].
    #[inline]
    pub fn is_set(&self) -> Result<bool, LockFailure> {
        self.core.is_set()
    }

    /// For [`WaitAny`](crate::WaitAny): that it is set, or has been since the wait for several began, also if it was cleared
    /// at once. Of an auto event: that a signal is kept. A wait for several is not one that a set gives a signal to, and it
    /// takes none: [`try_wait`](Self::try_wait) does.
    pub fn occurred(&self) -> Waitable<'_> {
        self.core.occurred()
    }

    /// Whether it resets itself.
    #[must_use]
    pub fn is_auto(&self) -> bool {
        self.core.is_auto()
    }

    /// Whether a signal handler that ran ends a blocked call of this handle with [`LockFailure::Interrupted`]. Off at
    /// first: the call goes on, with its deadline.
    pub fn set_interruptible(&self, interruptible: bool) {
        self.core.set_interruptible(interruptible);
    }
}

impl fmt::Debug for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Event").field("auto", &self.is_auto()).finish_non_exhaustive()
    }
}
