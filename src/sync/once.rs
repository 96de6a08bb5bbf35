//! What is done once.

use std::fmt;
use std::marker::PhantomData;
use std::time::{Duration, Instant};

use super::any_mutex::LockFailure;
use super::any_once::AnyOnce;
use super::wait_any::Waitable;
use crate::error::Error;
use crate::raw::Owner;
use crate::raw::mutex::Acquired;
use crate::segment::Segment;
use crate::segment::directory::Mode;
use crate::sys::nap::Deadline;

/// Something that one of many processes does once: all others wait until it is done.
///
/// The first to come has the *turn*, and does it, in [`call_once`](Self::call_once) or between [`begin`](Self::begin) and
/// [`complete`](OnceGuard::complete). Whoever comes meanwhile waits, and whoever comes later goes on at once; all of them see
/// what was done.
///
/// **Progress**: once it is done, a call is one load, and no system call. Before that it blocks.
///
/// **The turn** is a thread's: if it asks again in the middle, it is told that it would wait for itself
/// ([`LockFailure::WouldDeadlock`]). A forked child has no turn, whatever its parent was about.
///
/// **Crash behaviour**: whoever is killed in its turn, or whose thread ends, or who panics or gives up, has not done it: the
/// next one does, and is [told](OnceState::is_retry) that it may find something half done.
///
/// ```
/// use ringfence::{Array, Once, Segment, SegmentOptions};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let segment = Segment::anonymous(&SegmentOptions::new())?;
/// let squares = Array::<u64>::open_or_create(&segment, "squares", 100)?;
/// let once = Once::open_or_create(&segment, "squares are there")?;
/// // In every process that wants them:
/// once.call_once(|_| {
///     for n in 0..100 {
///         squares.set(n, (n * n) as u64).expect("there are so many");
///     }
/// })?;
/// assert_eq!(squares.get(12), Some(144));
/// # Ok(())
/// # }
/// ```
#[must_use]
pub struct Once {
    core: AnyOnce,
}

/// What whoever has the turn is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OnceState {
    retry: bool,
}

impl OnceState {
    /// Whether somebody had the turn before and did not end: it died, panicked, or gave up. Something may be half done.
    #[must_use]
    pub fn is_retry(self) -> bool {
        self.retry
    }
}

impl Once {
    /// Creates a once, not done, of a name that must be free in the segment.
    ///
    /// # Errors
    /// [`Error::Name`], [`Error::Exists`], [`Error::NoSpace`], [`Error::DirectoryFull`], [`Error::Busy`],
    /// [`Error::Corrupted`].
    pub fn create(segment: &Segment, name: &str) -> Result<Self, Error> {
        Ok(Self { core: AnyOnce::open_plain(segment, name, Mode::Create)? })
    }

    /// Opens a once.
    ///
    /// # Errors
    /// [`Error::Name`], [`Error::Missing`], [`Error::WrongKind`], [`Error::WrongShape`] (a [`OnceValue`](crate::OnceValue)),
    /// [`Error::Busy`], [`Error::Corrupted`].
    pub fn open(segment: &Segment, name: &str) -> Result<Self, Error> {
        Ok(Self { core: AnyOnce::open_plain(segment, name, Mode::Open)? })
    }

    /// Opens a once, or creates it; exactly one of many who do so at once creates it.
    ///
    /// # Errors
    /// As [`open`](Self::open) and [`create`](Self::create).
    pub fn open_or_create(segment: &Segment, name: &str) -> Result<Self, Error> {
        Ok(Self { core: AnyOnce::open_plain(segment, name, Mode::OpenOrCreate)? })
    }

    /// Whether it is done. Who sees that sees what was done.
    #[inline]
    #[must_use]
    pub fn is_completed(&self) -> bool {
        self.core.is_completed()
    }

    #[inline]
    fn call_until(&self, deadline: Deadline, f: impl FnOnce(OnceState)) -> Result<(), LockFailure> {
        if let Some(guard) = OnceGuard::begin(&self.core, deadline)? {
            f(guard.state());
            guard.complete()?;
        }
        Ok(())
    }

    /// Calls `f` unless it is done; waits while somebody else is at it. A panic of `f` goes through, and leaves it to the
    /// next. For what may fail there is [`begin`](Self::begin).
    ///
    /// # Errors
    /// `f` was not called: [`LockFailure::WouldDeadlock`] from inside such an `f`, [`LockFailure::Interrupted`] if [asked
    /// for](Self::set_interruptible), [`LockFailure::Corrupted`], [`LockFailure::Segment`] if a forked child cannot join the
    /// segment. `f` was called: [`LockFailure::NotOwner`] in a child that `f` forked.
    #[inline]
    pub fn call_once(&self, f: impl FnOnce(OnceState)) -> Result<(), LockFailure> {
        self.call_until(Deadline::Forever, f)
    }

    /// The same, waiting for others for at most `timeout`; zero is a try. How long `f` takes is its own affair.
    ///
    /// # Errors
    /// [`LockFailure::TimedOut`] ([`LockFailure::WouldBlock`] of a try), and those of [`call_once`](Self::call_once).
    pub fn call_once_timeout(&self, timeout: Duration, f: impl FnOnce(OnceState)) -> Result<(), LockFailure> {
        self.call_until(Deadline::after(timeout), f)
    }

    /// The same, waiting for others until `deadline` of the monotonic clock at most.
    ///
    /// # Errors
    /// [`LockFailure::TimedOut`], and those of [`call_once`](Self::call_once).
    pub fn call_once_deadline(&self, deadline: Instant, f: impl FnOnce(OnceState)) -> Result<(), LockFailure> {
        self.call_until(Deadline::At(deadline), f)
    }

    /// Waits until it is done, by others (`None`), or it is the caller's turn. A guard that is dropped gives the turn to the
    /// next, who is told.
    ///
    /// ```
    /// use ringfence::{Once, Segment, SegmentOptions};
    /// # fn prepare() -> std::io::Result<()> { Ok(()) }
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let segment = Segment::anonymous(&SegmentOptions::new())?;
    /// let once = Once::open_or_create(&segment, "prepared")?;
    /// if let Some(turn) = once.begin()? {
    ///     prepare()?; // may fail: then another tries
    ///     turn.complete()?;
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`LockFailure::WouldDeadlock`] in the middle of the caller's own turn, [`LockFailure::Interrupted`] if [asked
    /// for](Self::set_interruptible), [`LockFailure::Corrupted`], [`LockFailure::Segment`].
    #[inline]
    pub fn begin(&self) -> Result<Option<OnceGuard<'_>>, LockFailure> {
        OnceGuard::begin(&self.core, Deadline::Forever)
    }

    /// The same without waiting.
    ///
    /// # Errors
    /// [`LockFailure::WouldBlock`] while somebody else is at it, and those of [`begin`](Self::begin).
    #[inline]
    pub fn try_begin(&self) -> Result<Option<OnceGuard<'_>>, LockFailure> {
        OnceGuard::begin(&self.core, Deadline::Now)
    }

    /// The same, waiting for at most `timeout`; zero is a [`try_begin`](Self::try_begin).
    ///
    /// # Errors
    /// [`LockFailure::TimedOut`], and those of [`begin`](Self::begin).
    pub fn begin_timeout(&self, timeout: Duration) -> Result<Option<OnceGuard<'_>>, LockFailure> {
        OnceGuard::begin(&self.core, Deadline::after(timeout))
    }

    /// The same, waiting until `deadline` of the monotonic clock at most.
    ///
    /// # Errors
    /// [`LockFailure::TimedOut`], and those of [`begin`](Self::begin).
    pub fn begin_deadline(&self, deadline: Instant) -> Result<Option<OnceGuard<'_>>, LockFailure> {
        OnceGuard::begin(&self.core, Deadline::At(deadline))
    }

    /// Waits until somebody else has done it, also if nobody is at it yet.
    ///
    /// # Errors
    /// [`LockFailure::WouldDeadlock`] in the middle of the caller's own turn, [`LockFailure::Interrupted`] if [asked
    /// for](Self::set_interruptible), [`LockFailure::Corrupted`], [`LockFailure::Segment`].
    #[inline]
    pub fn wait(&self) -> Result<(), LockFailure> {
        self.core.wait(Deadline::Forever)
    }

    /// The same for at most `timeout`; zero only looks.
    ///
    /// # Errors
    /// [`LockFailure::TimedOut`] ([`LockFailure::WouldBlock`] of a mere look), and those of [`wait`](Self::wait).
    pub fn wait_timeout(&self, timeout: Duration) -> Result<(), LockFailure> {
        self.core.wait(Deadline::after(timeout))
    }

    /// The same until `deadline` of the monotonic clock at most.
    ///
    /// # Errors
    /// [`LockFailure::TimedOut`], and those of [`wait`](Self::wait).
    pub fn wait_deadline(&self, deadline: Instant) -> Result<(), LockFailure> {
        self.core.wait(Deadline::At(deadline))
    }

    /// For [`WaitAny`](crate::WaitAny): that it is done.
    pub fn completed(&self) -> Waitable<'_> {
        self.core.completed()
    }

    /// The pid of the process that has the turn now, if any; a hint, since it may change at once.
    #[must_use]
    pub fn holder(&self) -> Option<u32> {
        self.core.holder()
    }

    /// Whether a signal handler that ran ends a blocked call of this handle with [`LockFailure::Interrupted`]. Off at
    /// first: the call goes on, with its deadline.
    pub fn set_interruptible(&self, interruptible: bool) {
        self.core.set_interruptible(interruptible);
    }
}

impl fmt::Debug for Once {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Once").field("completed", &self.is_completed()).finish_non_exhaustive()
    }
}

/// The turn to do what is done [once](Once). Dropped, it is the next one's turn.
///
/// Not `Send`: the turn is the thread's.
#[must_use]
pub struct OnceGuard<'a> {
    once: &'a AnyOnce,
    owner: Owner,
    state: OnceState,
    local: PhantomData<*const ()>,
}

impl<'a> OnceGuard<'a> {
    /// Waits for a turn.
    #[inline]
    pub(super) fn begin(once: &'a AnyOnce, deadline: Deadline) -> Result<Option<Self>, LockFailure> {
        let begun = once.begin(deadline)?;
        Ok(begun.map(|(owner, acquired)| {
            let state = OnceState { retry: acquired == Acquired::OwnerDied };
            Self { once, owner, state, local: PhantomData }
        }))
    }

    /// It is done, with these bytes for a value. The drop that follows finds the turn over.
    pub(super) fn complete_with(self, value: &[u8]) -> Result<(), LockFailure> {
        self.once.complete(Some(self.owner), value)
    }

    /// What there is to know.
    #[must_use]
    pub fn state(&self) -> OnceState {
        self.state
    }

    /// It is done: whoever waits goes on.
    ///
    /// # Errors
    /// [`LockFailure::NotOwner`] in a forked child: the turn is its parent's.
    pub fn complete(self) -> Result<(), LockFailure> {
        self.complete_with(&[])
    }
}

impl Drop for OnceGuard<'_> {
    fn drop(&mut self) {
        // A forked child's copy has no turn to give away.
        let _ = self.once.abandon(Some(self.owner));
    }
}

impl fmt::Debug for OnceGuard<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OnceGuard").field("state", &self.state).finish_non_exhaustive()
    }
}
