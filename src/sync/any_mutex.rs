//! The robust mutex as a named object: the lock alone, as C sees it. [`Mutex`](super::Mutex) adds typed data.

use std::fmt;
use std::ptr::NonNull;

use super::any_condvar::AnyCondvar;
use super::wait_any::Waitable;
use crate::error::Error;
use crate::layout::mutex::LockWord;
use crate::raw::Owner;
use crate::raw::condvar::Ended;
use crate::raw::mutex::{self, Acquired, Refused};
use crate::segment::Segment;
use crate::segment::directory::{Mode, Object, Shape};
#[cfg(feature = "capi")]
use crate::segment::kinds::Kind;
use crate::segment::thread::ThreadRecord;
use crate::sys::nap::{Deadline, Interruptible};

/// Why a mutex was not locked, or not unlocked.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LockFailure {
    /// Held by somebody else (a try only).
    WouldBlock,
    /// The deadline passed.
    TimedOut,
    /// A signal handler ran and the handle is interruptible.
    Interrupted,
    /// The calling thread holds it.
    WouldDeadlock,
    /// The calling thread has locked a reentrant lock 2^32 - 1 times already, or its process reads a lock, or waits to,
    /// 16,383 times at once.
    TooOften,
    /// There are as many permits as there may be, or may never be so many as were asked for.
    MaximumReached,
    /// It was given up by an owner that could not make it consistent.
    NotRecoverable,
    /// The calling thread does not hold it.
    NotOwner,
    /// Every place of a condition variable is taken by a waiter.
    TooManyWaiters,
    /// Others wait at the condition variable with another mutex, or the mutex lies in another segment.
    OtherMutex,
    /// The lock holds something that no participant writes.
    Corrupted,
    /// The process could not join the segment (a forked child's first call).
    Segment(Error),
}

impl fmt::Display for LockFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::WouldBlock => f.write_str("the lock is held by somebody else"),
            Self::TimedOut => f.write_str("the lock was not free in time"),
            Self::Interrupted => f.write_str("a signal interrupted the wait"),
            Self::WouldDeadlock => f.write_str("the calling thread holds the lock already"),
            Self::TooOften => f.write_str("it is locked too often at once already; unlock it first"),
            Self::MaximumReached => f.write_str("the semaphore may not have so many permits"),
            Self::NotRecoverable => f.write_str("the lock was given up after a death; reset it when nobody uses it"),
            Self::NotOwner => f.write_str("the calling thread does not hold the lock"),
            Self::TooManyWaiters => f.write_str("the condition variable has no place for another waiter"),
            Self::OtherMutex => f.write_str("the condition variable is in use with another mutex"),
            Self::Corrupted => f.write_str("the lock's word is not one that a participant writes"),
            Self::Segment(error) => write!(f, "the segment could not be joined: {error}"),
        }
    }
}

impl std::error::Error for LockFailure {}

impl From<Refused> for LockFailure {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::WouldBlock => Self::WouldBlock,
            Refused::TimedOut => Self::TimedOut,
            Refused::Interrupted => Self::Interrupted,
            Refused::WouldDeadlock => Self::WouldDeadlock,
            Refused::NotRecoverable => Self::NotRecoverable,
            Refused::Corrupted => Self::Corrupted,
        }
    }
}

/// The lock of a mutex object, without its data.
#[derive(Debug)]
pub struct AnyMutex {
    object: Object,
    interruptible: Interruptible,
}

impl AnyMutex {
    /// Opens or creates the mutex called `name`, with `shape` for its data; `init` fills a new one's.
    pub fn open(
        segment: &Segment,
        name: &str,
        mode: Mode,
        shape: &Shape,
        init: impl FnOnce(NonNull<u8>),
    ) -> Result<Self, Error> {
        let object = Object::open(segment, name, mode, shape, init)?;
        if object.len() < size_of::<LockWord>() as u64 {
            return Err(Error::Corrupted("a mutex is shorter than its lock"));
        }
        Ok(Self { object, interruptible: Interruptible::new() })
    }

    /// The object.
    pub fn object(&self) -> &Object {
        &self.object
    }

    #[inline(always)]
    fn word(&self) -> &LockWord {
        // SAFETY: the object is mapped as long as `self`, at least a lock word long (checked in `open`) and aligned to
        // 128; a lock word is accessed atomically only.
        unsafe { self.object.base().cast().as_ref() }
    }

    /// Locks a free lock as a thread that used this segment last; `None` if it takes more than that.
    #[inline(always)]
    pub fn lock_fast(&self) -> Option<Owner> {
        let thread = self.object.entered_last()?;
        let word = self.word();
        thread.hold(word);
        mutex::lock_fast(word, thread.owner()).then(|| thread.owner())
    }

    /// Locks, once [`lock_fast`](Self::lock_fast) has failed. On success the calling thread holds the lock, also for
    /// [`Acquired::OwnerDied`].
    #[cold]
    pub fn lock_slow(&self, deadline: Deadline) -> Result<(Owner, Acquired), LockFailure> {
        let thread = self.object.enter().map_err(LockFailure::Segment)?;
        thread.hold(self.word());
        let wait = self.interruptible.wait(deadline);
        let result = mutex::lock(self.word(), thread.owner(), self.object.peers(), wait);
        self.object.settle();
        Ok((thread.owner(), result?))
    }

    /// Unlocks. If the lock's last owner died and it was not made consistent, it is given up for ever.
    #[inline]
    pub fn unlock_as(&self, thread: &ThreadRecord) -> Result<(), LockFailure> {
        mutex::unlock(self.word(), thread.owner()).map_err(|_| LockFailure::NotOwner)
    }

    /// The calling thread if it is `owner` itself, and not a forked copy of it.
    #[inline]
    pub fn still(&self, owner: Owner) -> Option<&ThreadRecord> {
        self.object.entered().filter(|thread| thread.owner() == owner)
    }

    /// As [`still`](Self::still), for a thread that used this segment last.
    #[inline(always)]
    pub fn still_last(&self, owner: Owner) -> Option<&ThreadRecord> {
        self.object.entered_last().filter(|thread| thread.is(owner))
    }

    /// Unlocks for a thread that is known to be `owner` and to hold it.
    #[inline(always)]
    pub fn unlock_fast(&self, owner: Owner) {
        let _ = mutex::unlock(self.word(), owner);
    }

    /// Gives the lock back so that the next owner is told of a death.
    #[cold]
    pub fn give_back_as(&self, thread: &ThreadRecord) -> Result<(), LockFailure> {
        mutex::give_back(self.word(), thread.owner()).map_err(|_| LockFailure::NotOwner)
    }

    /// Waits at `condvar` for a thread that holds the lock, which it gives away meanwhile; `prepare` runs when it is sure
    /// that it will.
    pub fn wait_as(
        &self,
        thread: &ThreadRecord,
        condvar: &AnyCondvar,
        deadline: Deadline,
        prepare: impl FnOnce(),
    ) -> Result<(Ended, Acquired), LockFailure> {
        condvar.wait(&self.object, self.word(), thread, deadline, prepare)
    }

    /// Notifies waiters of `condvar`, for a thread that holds the lock.
    pub fn notify_as(&self, thread: &ThreadRecord, condvar: &AnyCondvar, count: u32) -> Result<u32, LockFailure> {
        condvar.notify(&self.object, self.word(), thread, count)
    }

    /// Declares what the lock protects whole again. `Ok(false)` if nobody had died.
    pub fn make_consistent(&self) -> Result<bool, LockFailure> {
        let thread = self.object.entered().ok_or(LockFailure::NotOwner)?;
        mutex::make_consistent(self.word(), thread.owner()).map_err(|_| LockFailure::NotOwner)
    }

    /// Makes a lock that was given up usable again, for a caller who knows that nobody uses it. `false` if it was not
    /// given up.
    pub fn reset(&self) -> bool {
        mutex::reset(self.word())
    }

    /// That the lock is free.
    pub fn unlocked(&self) -> Waitable<'_> {
        Waitable::lock(&self.object)
    }

    /// The pid of the process that holds the lock now, if any. A hint: it may change at once.
    pub fn holder(&self) -> Option<u32> {
        let participant = mutex::holder(self.word())?;
        self.object.peers().pid_of(participant)
    }

    /// Whether a signal handler that ran ends a blocked call with [`LockFailure::Interrupted`]. Off at first.
    pub fn set_interruptible(&self, interruptible: bool) {
        self.interruptible.set(interruptible);
    }
}

/// The lock alone, as C uses it.
#[cfg(feature = "capi")]
impl AnyMutex {
    /// Opens or creates the mutex without data called `name`.
    pub fn open_plain(segment: &Segment, name: &str, mode: Mode) -> Result<Self, Error> {
        let shape = Shape { kind: Kind::Mutex, element: 0, size: 0, align: 1, tag: [0; 32], capacity: 1, bytes: 128 };
        Self::open(segment, name, mode, &shape, |_| {})
    }

    /// Locks. On success the calling thread holds the lock, also for [`Acquired::OwnerDied`].
    #[inline]
    pub fn lock(&self, deadline: Deadline) -> Result<(Owner, Acquired), LockFailure> {
        match self.lock_fast() {
            Some(owner) => Ok((owner, Acquired::Clean)),
            None => self.lock_slow(deadline),
        }
    }

    /// Whether the calling thread holds it.
    pub fn is_held(&self) -> bool {
        self.object.entered().is_some_and(|thread| mutex::is_owner(self.word(), thread.owner()))
    }

    /// Waits at `condvar` as [`wait_as`](Self::wait_as) does.
    pub fn wait(&self, condvar: &AnyCondvar, deadline: Deadline) -> Result<(Ended, Acquired), LockFailure> {
        let thread = self.object.entered().ok_or(LockFailure::NotOwner)?;
        self.wait_as(thread, condvar, deadline, || ())
    }

    /// Notifies waiters of `condvar`.
    pub fn notify(&self, condvar: &AnyCondvar, count: u32) -> Result<u32, LockFailure> {
        let thread = self.object.entered().ok_or(LockFailure::NotOwner)?;
        self.notify_as(thread, condvar, count)
    }

    /// Unlocks as [`unlock_as`](Self::unlock_as) does.
    #[inline]
    pub fn unlock(&self) -> Result<(), LockFailure> {
        let thread = self.object.entered().ok_or(LockFailure::NotOwner)?;
        self.unlock_as(thread)
    }
}
