//! The reentrant mutex.

use std::fmt;
use std::time::{Duration, Instant};

use super::any_condvar::AnyCondvar;
use super::any_mutex::LockFailure;
use super::any_reentrant::{AnyReentrant, Held};
use super::condvar::WaitsWith;
use super::mutex::LockError;
use super::wait_any::Waitable;
use crate::error::Error;
use crate::raw::condvar::Ended;
use crate::raw::mutex::Acquired;
use crate::segment::Segment;
use crate::segment::directory::{Mode, Object, Shape};
use crate::segment::kinds::Kind;
use crate::sys::nap::Deadline;

/// A lock that its owner may lock again: Python's `RLock`, the recursive mutex of POSIX. It is free when it was unlocked
/// as often.
///
/// It has no data inside, since two guards of one thread would both lead to it: what it protects may be a file, a device,
/// or several objects. A [`Value`](crate::Value) or [`Array`](crate::Array) has a lock of this kind of its own.
///
/// **Owners** are threads: other threads of the process wait like anybody else, and a forked child owns nothing whatever
/// its parent held.
///
/// **Progress** and fairness are those of [`Mutex`](crate::Mutex).
///
/// **Crash behaviour**: if the owner is killed, or its thread ends, however often it had locked, the next to lock gets
/// [`LockError::OwnerDied`] with the guard: it holds the lock once. If it [makes the lock
/// consistent](ReentrantMutexGuard::make_consistent), all is well again; if its last guard is dropped without, the next
/// owner is told again; if the last is [unlocked](ReentrantMutexGuard::unlock) without, the lock is given up and everybody
/// gets [`LockError::NotRecoverable`].
///
/// ```
/// use ringfence::{ReentrantMutex, Segment, SegmentOptions};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let segment = Segment::anonymous(&SegmentOptions::new())?;
/// let printer = ReentrantMutex::open_or_create(&segment, "printer")?;
/// let page = printer.lock().map_err(|e| e.to_string())?;
/// let line = printer.lock().map_err(|e| e.to_string())?;
/// assert_eq!(printer.count(), 2);
/// drop(line);
/// drop(page);
/// assert_eq!(printer.count(), 0);
/// # Ok(())
/// # }
/// ```
#[must_use]
#[derive(Debug)]
pub struct ReentrantMutex {
    lock: AnyReentrant,
}

impl ReentrantMutex {
    pub(crate) fn with(segment: &Segment, name: &str, mode: Mode) -> Result<Self, Error> {
        let shape =
            Shape { kind: Kind::ReentrantMutex, element: 0, size: 0, align: 1, tag: [0; 32], capacity: 1, bytes: 128 };
        let object = Object::open(segment, name, mode, &shape, |_| {})?;
        Ok(Self { lock: AnyReentrant::new(object)? })
    }

    /// Creates a mutex of a name that must be free in the segment.
    ///
    /// # Errors
    /// [`Error::Name`], [`Error::Exists`], [`Error::NoSpace`], [`Error::DirectoryFull`], [`Error::Busy`],
    /// [`Error::Corrupted`].
    pub fn create(segment: &Segment, name: &str) -> Result<Self, Error> {
        Self::with(segment, name, Mode::Create)
    }

    /// Opens a mutex.
    ///
    /// # Errors
    /// [`Error::Name`], [`Error::Missing`], [`Error::WrongKind`], [`Error::WrongShape`] (only if a faulty peer changed the
    /// directory), [`Error::Busy`], [`Error::Corrupted`].
    pub fn open(segment: &Segment, name: &str) -> Result<Self, Error> {
        Self::with(segment, name, Mode::Open)
    }

    /// Opens a mutex, or creates it; exactly one of many who do so at once creates it.
    ///
    /// # Errors
    /// As [`open`](Self::open) and [`create`](Self::create).
    pub fn open_or_create(segment: &Segment, name: &str) -> Result<Self, Error> {
        Self::with(segment, name, Mode::OpenOrCreate)
    }

    #[inline]
    fn acquire(&self, deadline: Deadline) -> Result<ReentrantMutexGuard<'_>, LockError<ReentrantMutexGuard<'_>>> {
        let (held, acquired) = self.lock.held(deadline)?;
        let guard = ReentrantMutexGuard { held };
        if acquired == Acquired::OwnerDied { Err(LockError::OwnerDied(guard)) } else { Ok(guard) }
    }

    /// Locks, waiting for as long as it takes; a thread that holds it already locks it once more.
    ///
    /// # Errors
    /// [`LockError::OwnerDied`] with the guard, [`LockError::TooOften`], [`LockError::NotRecoverable`],
    /// [`LockError::Interrupted`] if [asked for](Self::set_interruptible), [`LockError::Corrupted`],
    /// [`LockError::Segment`] if a forked child cannot join the segment.
    #[inline]
    pub fn lock(&self) -> Result<ReentrantMutexGuard<'_>, LockError<ReentrantMutexGuard<'_>>> {
        self.acquire(Deadline::Forever)
    }

    /// Locks if that needs no waiting.
    ///
    /// # Errors
    /// [`LockError::WouldBlock`], and those of [`lock`](Self::lock).
    #[inline]
    pub fn try_lock(&self) -> Result<ReentrantMutexGuard<'_>, LockError<ReentrantMutexGuard<'_>>> {
        self.acquire(Deadline::Now)
    }

    /// Locks, waiting for at most `timeout`; zero is a [`try_lock`](Self::try_lock).
    ///
    /// # Errors
    /// [`LockError::TimedOut`], and those of [`lock`](Self::lock).
    pub fn lock_timeout(
        &self,
        timeout: Duration,
    ) -> Result<ReentrantMutexGuard<'_>, LockError<ReentrantMutexGuard<'_>>> {
        self.acquire(Deadline::after(timeout))
    }

    /// Locks, waiting until `deadline` of the monotonic clock at most.
    ///
    /// # Errors
    /// [`LockError::TimedOut`], and those of [`lock`](Self::lock).
    pub fn lock_deadline(
        &self,
        deadline: Instant,
    ) -> Result<ReentrantMutexGuard<'_>, LockError<ReentrantMutexGuard<'_>>> {
        self.acquire(Deadline::At(deadline))
    }

    /// How often the calling thread has it locked; 0 if it does not hold it.
    #[must_use]
    pub fn count(&self) -> u32 {
        self.lock.count()
    }

    /// Unlocks once what the calling thread has locked with a guard that it forgot. If its last owner died and it was not
    /// made consistent, the last unlock gives it up for ever.
    ///
    /// # Errors
    /// [`LockFailure::NotOwner`]: the calling thread does not hold it, whoever does.
    pub fn unlock(&self) -> Result<(), LockFailure> {
        self.lock.unlock()
    }

    /// Makes a mutex that was given up usable again, for a caller who knows that nobody uses it. `false` if it was not
    /// given up.
    pub fn reset(&self) -> bool {
        self.lock.reset()
    }

    /// For [`WaitAny`](crate::WaitAny): that a [`try_lock`](Self::try_lock) would not say
    /// [`LockError::WouldBlock`].
    pub fn unlocked(&self) -> Waitable<'_> {
        self.lock.unlocked()
    }

    /// The pid of the process that holds it now, if any; a hint, since it may change at once.
    #[must_use]
    pub fn holder(&self) -> Option<u32> {
        self.lock.holder()
    }

    /// Whether a signal handler that ran ends a blocked call of this handle with [`LockError::Interrupted`]. Off at
    /// first: the call goes on, with its deadline.
    pub fn set_interruptible(&self, interruptible: bool) {
        self.lock.set_interruptible(interruptible);
    }

    /// The lock, for the C ABI.
    #[cfg(feature = "capi")]
    pub(crate) fn core(&self) -> &AnyReentrant {
        &self.lock
    }
}

/// A locked [`ReentrantMutex`], once; guards of one thread nest, in any order. Not `Send`: the lock belongs to the thread.
#[must_use]
pub struct ReentrantMutexGuard<'a> {
    held: Held<'a>,
}

impl ReentrantMutexGuard<'_> {
    /// Declares whatever the lock protects whole again, after [`LockError::OwnerDied`]. `false` if nobody had died.
    pub fn make_consistent(&mut self) -> bool {
        self.held.make_consistent()
    }

    /// Unlocks once. If the last owner died and the lock was not made consistent, the last of the thread's unlocks gives
    /// it up for ever.
    pub fn unlock(self) {
        self.held.unlock();
    }
}

impl WaitsWith for ReentrantMutexGuard<'_> {
    fn wait_on(&mut self, condvar: &AnyCondvar, deadline: Deadline) -> Result<(Ended, Acquired), LockFailure> {
        self.held.wait(condvar, deadline)
    }

    fn notify_on(&self, condvar: &AnyCondvar, count: u32) -> Result<u32, LockFailure> {
        self.held.notify(condvar, count)
    }
}

impl fmt::Debug for ReentrantMutexGuard<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ReentrantMutexGuard")
    }
}
