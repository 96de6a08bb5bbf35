//! The counting semaphore.

use std::fmt;
use std::time::{Duration, Instant};

use super::any_mutex::LockFailure;
use super::any_semaphore::{AnySemaphore, Plan};
use super::mutex::LockError;
use super::wait_any::Waitable;
use crate::error::Error;
use crate::layout::semaphore::MAX_PERMITS;
use crate::raw::semaphore::Taken;
use crate::segment::Segment;
use crate::segment::directory::Mode;
use crate::sys::fork::Mark;
use crate::sys::nap::Deadline;

/// What a new [`Semaphore`] is like: how many permits there are at first, how many there may ever be (2^29 - 1 if nothing
/// is said), and whose they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub struct SemaphoreOptions {
    plan: Plan,
}

impl SemaphoreOptions {
    /// `initial` free permits, no maximum; permits belong to whoever took them.
    pub fn new(initial: u32) -> Self {
        Self { plan: Plan { initial, maximum: MAX_PERMITS, owned: true } }
    }

    /// Never more than `maximum` permits: Python's `BoundedSemaphore` has its initial value here, its `Lock` is 1 of 1.
    pub fn maximum(mut self, maximum: u32) -> Self {
        self.plan.maximum = maximum;
        self
    }

    /// Permits belong to nobody: one side takes what the other gives. What the dead had is gone.
    pub fn signalling(mut self) -> Self {
        self.plan.owned = false;
        self
    }
}

/// A number of permits that processes take and give back.
///
/// **Owned** (the default): a permit belongs to the *process* that took it, and comes back when that dies, or leaves the
/// segment, or ends in any way. Any process may release: its own permits first, then those of whoever has most, and when
/// all are free, new ones, up to the maximum. So a semaphore of 1 with a maximum of 1 is Python's `Lock`.
/// **Signalling**: permits are counted and nobody's; for "so many things have happened".
///
/// **Progress**: signalling is lock-free where nobody has to wait. In owned mode an operation holds a lock inside the
/// object for a moment: one that is stopped there is waited for, by a `try_acquire` for 20 ms. Who comes first is served
/// first, more or less; whoever wants many permits at once may be overtaken by those who want few.
///
/// **Crash behaviour**: in owned mode whoever next acquires after permits came back from the dead is told, once, by
/// [`LockError::OwnerDied`] with the permits, which it has. However many die, there are never more permits than the
/// maximum.
///
/// ```
/// use ringfence::{Segment, SegmentOptions, Semaphore, SemaphoreOptions};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let segment = Segment::anonymous(&SegmentOptions::new())?;
/// let pool = Semaphore::open_or_create(&segment, "pool", &SemaphoreOptions::new(3).maximum(3))?;
/// let two = pool.acquire(2).map_err(|e| e.to_string())?;
/// assert_eq!(pool.value()?, 1);
/// assert!(pool.try_acquire(2).is_err());
/// drop(two); // gives them back
/// assert_eq!(pool.value()?, 3);
/// # Ok(())
/// # }
/// ```
#[must_use]
pub struct Semaphore {
    core: AnySemaphore,
    mark: Mark,
}

impl Semaphore {
    fn from(core: Result<AnySemaphore, Error>) -> Result<Self, Error> {
        Ok(Self { core: core?, mark: Mark::get() })
    }

    /// Creates a semaphore of a name that must be free in the segment.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] for a maximum of 0 or above 2^29 - 1 or below the first value; [`Error::Name`],
    /// [`Error::Exists`], [`Error::NoSpace`], [`Error::DirectoryFull`], [`Error::Busy`], [`Error::Corrupted`].
    pub fn create(segment: &Segment, name: &str, options: &SemaphoreOptions) -> Result<Self, Error> {
        Self::from(AnySemaphore::open(segment, name, Mode::Create, Some(options.plan)))
    }

    /// Opens a semaphore, whatever its maximum and mode.
    ///
    /// # Errors
    /// [`Error::Name`], [`Error::Missing`], [`Error::WrongKind`], [`Error::Busy`], [`Error::Corrupted`].
    pub fn open(segment: &Segment, name: &str) -> Result<Self, Error> {
        Self::from(AnySemaphore::open(segment, name, Mode::Open, None))
    }

    /// Opens a semaphore, or creates it; exactly one of many who do so at once creates it. One that is there keeps its
    /// value, and must have this maximum and mode.
    ///
    /// # Errors
    /// [`Error::WrongShape`], and as [`open`](Self::open) and [`create`](Self::create).
    pub fn open_or_create(segment: &Segment, name: &str, options: &SemaphoreOptions) -> Result<Self, Error> {
        Self::from(AnySemaphore::open(segment, name, Mode::OpenOrCreate, Some(options.plan)))
    }

    #[inline(always)]
    fn take(&self, permits: u32, deadline: Deadline) -> Result<Permits<'_>, LockError<Permits<'_>>> {
        // Before the compare-and-swap, which waits for it no longer than for the word; behind it the load would wait.
        let mut of = self.mark.generation();
        if of == 0 {
            // A child's first call: what it takes before it has a number would not be its own after.
            self.core.enter()?;
            of = self.mark.generation();
        }
        let taken = self.core.acquire(permits, deadline)?;
        let permits = Permits { semaphore: self, count: permits, of };
        if taken == Taken::Returned { Err(LockError::OwnerDied(permits)) } else { Ok(permits) }
    }

    /// Takes `permits`, all or none, waiting for as long as it takes.
    ///
    /// # Errors
    /// [`LockError::OwnerDied`] with the permits; [`LockError::MaximumReached`] if there can never be so many,
    /// [`LockError::Interrupted`] if [asked for](Self::set_interruptible), [`LockError::Corrupted`],
    /// [`LockError::Segment`] if a forked child cannot join the segment.
    #[inline(always)]
    pub fn acquire(&self, permits: u32) -> Result<Permits<'_>, LockError<Permits<'_>>> {
        self.take(permits, Deadline::Forever)
    }

    /// Takes `permits` if that needs no waiting.
    ///
    /// # Errors
    /// [`LockError::WouldBlock`], and those of [`acquire`](Self::acquire).
    #[inline]
    pub fn try_acquire(&self, permits: u32) -> Result<Permits<'_>, LockError<Permits<'_>>> {
        self.take(permits, Deadline::Now)
    }

    /// Takes `permits`, waiting for at most `timeout`; zero is a [`try_acquire`](Self::try_acquire).
    ///
    /// # Errors
    /// [`LockError::TimedOut`], and those of [`acquire`](Self::acquire).
    pub fn acquire_timeout(&self, permits: u32, timeout: Duration) -> Result<Permits<'_>, LockError<Permits<'_>>> {
        self.take(permits, Deadline::after(timeout))
    }

    /// Takes `permits`, waiting until `deadline` of the monotonic clock at most.
    ///
    /// # Errors
    /// [`LockError::TimedOut`], and those of [`acquire`](Self::acquire).
    pub fn acquire_deadline(&self, permits: u32, deadline: Instant) -> Result<Permits<'_>, LockError<Permits<'_>>> {
        self.take(permits, Deadline::At(deadline))
    }

    /// Gives `permits` that no guard stands for: in owned mode those of this process first, then those of whoever has
    /// most, then new ones. Nothing has changed after an error.
    ///
    /// # Errors
    /// [`LockFailure::MaximumReached`], [`LockFailure::Corrupted`], [`LockFailure::Segment`].
    #[inline]
    pub fn release(&self, permits: u32) -> Result<(), LockFailure> {
        self.core.release(permits)
    }

    /// How many permits are free now; a hint, since it may change at once. In owned mode what the dead had counts.
    ///
    /// # Errors
    /// [`LockFailure::Interrupted`] if [asked for](Self::set_interruptible), [`LockFailure::Corrupted`],
    /// [`LockFailure::Segment`].
    pub fn value(&self) -> Result<u32, LockFailure> {
        self.core.value()
    }

    /// How many permits this process has; 0 in signalling mode.
    ///
    /// # Errors
    /// [`LockFailure::Corrupted`], [`LockFailure::Segment`].
    pub fn taken(&self) -> Result<u32, LockFailure> {
        self.core.taken()
    }

    /// The most permits there may be.
    #[must_use]
    pub fn maximum(&self) -> u32 {
        self.core.maximum()
    }

    /// Whether permits belong to the processes that took them.
    #[must_use]
    pub fn is_owned(&self) -> bool {
        self.core.is_owned()
    }

    /// For [`WaitAny`](crate::WaitAny): that a [`try_acquire`](Self::try_acquire) of so many would not say
    /// [`LockError::WouldBlock`].
    pub fn available(&self, permits: u32) -> Waitable<'_> {
        self.core.available(permits)
    }

    /// Whether a signal handler that ran ends a blocked call of this handle with [`LockError::Interrupted`]. Off at
    /// first: the call goes on, with its deadline.
    pub fn set_interruptible(&self, interruptible: bool) {
        self.core.set_interruptible(interruptible);
    }
}

impl fmt::Debug for Semaphore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (maximum, owned) = (self.maximum(), self.is_owned());
        f.debug_struct("Semaphore").field("maximum", &maximum).field("owned", &owned).finish_non_exhaustive()
    }
}

/// Permits of a [`Semaphore`], given back when dropped; nothing in a forked child that got a copy of it. Any thread of the
/// process may have it.
#[must_use]
#[derive(Debug)]
pub struct Permits<'a> {
    semaphore: &'a Semaphore,
    count: u32,
    /// The process: a forked child is another.
    of: u64,
}

impl Permits<'_> {
    /// How many.
    #[must_use]
    pub fn count(&self) -> u32 {
        self.count
    }

    /// Keeps them taken: somebody [releases](Semaphore::release) them another time.
    pub fn forget(self) {
        core::mem::forget(self);
    }
}

impl Drop for Permits<'_> {
    #[inline]
    fn drop(&mut self) {
        if self.of == self.semaphore.mark.generation() {
            // Too many: somebody else has released them meanwhile, as anybody may.
            let _ = self.semaphore.core.release(self.count);
        }
    }
}
