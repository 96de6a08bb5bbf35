//! The typed robust mutex.
//!
//! ```text
//! lock word: u32 | zero: u32 | sequence: u64 | copy 0 | copy 1
//! ```

use std::fmt;
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;
use std::time::{Duration, Instant};

use super::any_condvar::AnyCondvar;
use super::any_mutex::{AnyMutex, LockFailure};
use super::condvar::WaitsWith;
use super::wait_any::Waitable;
use bytemuck::Zeroable;

use crate::error::Error;
use crate::plain::Plain;
use crate::primitive::{AtomicU64, panicking};
use crate::raw::Owner;
use crate::raw::cell::{Cell, cell_words};
use crate::raw::condvar::Ended;
use crate::raw::mutex::Acquired;
use crate::segment::Segment;
use crate::segment::directory::{Mode, Shape, tag};
use crate::segment::kinds::Kind;
use crate::sys::nap::Deadline;

/// Bytes before the cell: the lock word and padding.
const LOCK_BYTES: usize = 8;

/// A lock with a value of type `T`, shared between processes, that survives the death of whoever holds it.
///
/// A guard works on a private copy of the value; the copy is written back in one step when the guard is dropped,
/// unlocked or [committed](MutexGuard::commit); a panic drops it unwritten. So whoever dies or panics while holding
/// leaves the value of the last commit, never a torn one; the next owner is still told, since other things that the lock protects may be half done.
///
/// **Progress**: an uncontended lock or unlock is one compare-and-swap and no system call. A contended lock spins briefly
/// and then sleeps; whoever comes first takes it (no queue), so it is not fair in the strict sense.
///
/// **Owners** are threads: relocking by the owner is [`LockError::WouldDeadlock`]; other threads of the process wait like
/// anybody else. A forked child owns nothing: a copied guard drops as a no-op.
///
/// **Crash behaviour**: if the owner is killed, or its thread ends, the next to lock gets
/// [`LockError::OwnerDied`] with the guard: it holds the lock. If it [makes the lock
/// consistent](MutexGuard::make_consistent), all is well again; if it drops the guard, the next owner is told again; if it
/// [unlocks](MutexGuard::unlock) without, the lock is given up and everybody gets [`LockError::NotRecoverable`].
///
/// ```
/// use ringfence::{LockError, Mutex, Segment, SegmentOptions};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let segment = Segment::anonymous(&SegmentOptions::new())?;
/// let balance = Mutex::<i64>::open_or_create(&segment, "balance", 100)?;
/// match balance.lock() {
///     Ok(mut balance) => *balance += 1,
///     Err(LockError::OwnerDied(mut balance)) => {
///         // Put in order whatever else the lock protects, then:
///         balance.make_consistent();
///     }
///     Err(error) => return Err(error.to_string().into()),
/// }
/// assert_eq!(*balance.lock().map_err(|e| e.to_string())?, 101);
/// # Ok(())
/// # }
/// ```
#[must_use]
pub struct Mutex<T: Plain> {
    lock: AnyMutex,
    value: PhantomData<fn(T) -> T>,
}

impl<T: Plain> Mutex<T> {
    fn shape() -> Result<Shape, Error> {
        Ok(Shape {
            kind: Kind::Mutex,
            element: T::ELEMENT as u32,
            size: u32::try_from(size_of::<T::Bits>()).map_err(|_| Error::InvalidArgument("the type is too large"))?,
            align: align_of::<T::Bits>() as u32,
            tag: tag(T::TAG)?,
            capacity: 1,
            bytes: Self::bytes() as u64,
        })
    }

    const fn bytes() -> usize {
        let bytes = LOCK_BYTES + 8 * cell_words(size_of::<T::Bits>());
        if bytes < 128 { 128 } else { bytes }
    }

    fn with(segment: &Segment, name: &str, mode: Mode, initial: Option<T>) -> Result<Self, Error> {
        let lock = AnyMutex::open(segment, name, mode, &Self::shape()?, |base| {
            if let (Some(initial), Some(cell)) = (initial, Self::cell_at(base)) {
                cell.write_locked(bytemuck::bytes_of(&initial.to_bits()));
            }
        })?;
        if lock.object().len() < Self::bytes() as u64 {
            return Err(Error::Corrupted("a mutex is shorter than its data"));
        }
        Ok(Self { lock, value: PhantomData })
    }

    /// Creates a mutex of a name that must be free in the segment.
    ///
    /// # Errors
    /// [`Error::Name`], [`Error::Exists`], [`Error::NoSpace`], [`Error::DirectoryFull`], [`Error::Busy`],
    /// [`Error::Corrupted`].
    pub fn create(segment: &Segment, name: &str, initial: T) -> Result<Self, Error> {
        Self::with(segment, name, Mode::Create, Some(initial))
    }

    /// Opens a mutex.
    ///
    /// # Errors
    /// [`Error::Name`], [`Error::Missing`], [`Error::WrongKind`], [`Error::WrongShape`], [`Error::Busy`],
    /// [`Error::Corrupted`].
    pub fn open(segment: &Segment, name: &str) -> Result<Self, Error> {
        Self::with(segment, name, Mode::Open, None)
    }

    /// Opens a mutex, or creates it with `initial`; exactly one of many who do so at once creates it.
    ///
    /// # Errors
    /// As [`open`](Self::open) and [`create`](Self::create).
    pub fn open_or_create(segment: &Segment, name: &str, initial: T) -> Result<Self, Error> {
        Self::with(segment, name, Mode::OpenOrCreate, Some(initial))
    }

    fn cell_at<'a>(base: NonNull<u8>) -> Option<Cell<'a>> {
        // SAFETY: `base` is the start of a mutex object of at least `bytes()` mapped bytes, aligned to 128 and, but for
        // the lock word, accessed as atomic u64 words only. Callers bound the lifetime by the handle's.
        let words = unsafe {
            let first = base.add(LOCK_BYTES).cast::<AtomicU64>();
            NonNull::slice_from_raw_parts(first, cell_words(size_of::<T::Bits>())).as_ref()
        };
        Cell::new(words, size_of::<T::Bits>())
    }

    #[inline]
    fn cell(&self) -> Cell<'_> {
        match Self::cell_at(self.lock.object().base()) {
            Some(cell) => cell,
            None => unreachable!("cell_words words hold a cell"),
        }
    }

    // Inlined, and the slow path returns parts of a guard and not a guard: a guard that is moved through memory costs
    // as much again as an uncontended lock.
    #[inline(always)]
    fn acquire(&self, deadline: Deadline) -> Result<MutexGuard<'_, T>, LockError<MutexGuard<'_, T>>> {
        let (owner, acquired) = match self.lock.lock_fast() {
            Some(owner) => (owner, Acquired::Clean),
            None => self.lock.lock_slow(deadline)?,
        };
        let died = acquired == Acquired::OwnerDied;
        let guard = MutexGuard { mutex: self, owner, value: self.read(), changed: false, died, local: PhantomData };
        if died { Err(LockError::OwnerDied(guard)) } else { Ok(guard) }
    }

    /// The value; the caller holds the lock.
    #[inline(always)]
    fn read(&self) -> T {
        let mut bits = T::Bits::zeroed();
        self.cell().read_locked(bytemuck::bytes_of_mut(&mut bits));
        T::from_bits(bits)
    }

    /// Replaces the value; the caller holds the lock.
    #[inline]
    fn write(&self, value: T) {
        self.cell().write_locked(bytemuck::bytes_of(&value.to_bits()));
    }

    /// Ends a guard whose thread used another segment since, or that was told of a death, or that a fork copied.
    #[cold]
    #[inline(never)]
    fn release_slow(&self, owner: Owner, value: Option<T>, died: bool) {
        let Some(thread) = self.lock.still(owner) else { return };
        if let Some(value) = value {
            self.write(value);
        }
        // Nobody else can own it: the result is success.
        let _ = if died { self.lock.give_back_as(thread) } else { self.lock.unlock_as(thread) };
    }

    /// Locks, waiting for as long as it takes.
    ///
    /// # Errors
    /// [`LockError::OwnerDied`] with the guard, [`LockError::WouldDeadlock`], [`LockError::NotRecoverable`],
    /// [`LockError::Interrupted`] if [asked for](Self::set_interruptible), [`LockError::Corrupted`],
    /// [`LockError::Segment`] if a forked child cannot join the segment.
    #[inline(always)]
    pub fn lock(&self) -> Result<MutexGuard<'_, T>, LockError<MutexGuard<'_, T>>> {
        self.acquire(Deadline::Forever)
    }

    /// Locks if that needs no waiting.
    ///
    /// # Errors
    /// [`LockError::WouldBlock`], and those of [`lock`](Self::lock).
    #[inline]
    pub fn try_lock(&self) -> Result<MutexGuard<'_, T>, LockError<MutexGuard<'_, T>>> {
        self.acquire(Deadline::Now)
    }

    /// Locks, waiting for at most `timeout`; zero is a [`try_lock`](Self::try_lock).
    ///
    /// # Errors
    /// [`LockError::TimedOut`], and those of [`lock`](Self::lock).
    pub fn lock_timeout(&self, timeout: Duration) -> Result<MutexGuard<'_, T>, LockError<MutexGuard<'_, T>>> {
        self.acquire(Deadline::after(timeout))
    }

    /// Locks, waiting until `deadline` of the monotonic clock at most.
    ///
    /// # Errors
    /// [`LockError::TimedOut`], and those of [`lock`](Self::lock).
    pub fn lock_deadline(&self, deadline: Instant) -> Result<MutexGuard<'_, T>, LockError<MutexGuard<'_, T>>> {
        self.acquire(Deadline::At(deadline))
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
}

impl<T: Plain> fmt::Debug for Mutex<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mutex").field("holder", &self.holder()).finish_non_exhaustive()
    }
}

/// Why a mutex was not locked, or was locked with something to know.
#[must_use]
#[non_exhaustive]
pub enum LockError<G> {
    /// The last owner died, or gave the lock back without making it consistent. The guard holds the lock.
    OwnerDied(G),
    /// Held by somebody else (a try only).
    WouldBlock,
    /// The time is up.
    TimedOut,
    /// A signal handler ran.
    Interrupted,
    /// The calling thread holds it.
    WouldDeadlock,
    /// The calling thread has locked a reentrant mutex, a value or an array 2^32 - 1 times already, or its process reads a
    /// lock, or waits to, 16,383 times at once.
    TooOften,
    /// A semaphore may never have so many permits.
    MaximumReached,
    /// It was given up by an owner that could not make it consistent; see [`Mutex::reset`].
    NotRecoverable,
    /// The lock holds something that no participant writes.
    Corrupted,
    /// The process could not join the segment.
    Segment(Error),
}

impl<G> From<LockFailure> for LockError<G> {
    fn from(failure: LockFailure) -> Self {
        match failure {
            LockFailure::WouldBlock => Self::WouldBlock,
            LockFailure::TimedOut => Self::TimedOut,
            LockFailure::Interrupted => Self::Interrupted,
            LockFailure::WouldDeadlock => Self::WouldDeadlock,
            LockFailure::TooOften => Self::TooOften,
            LockFailure::MaximumReached => Self::MaximumReached,
            LockFailure::NotRecoverable => Self::NotRecoverable,
            // The others are not of locking.
            LockFailure::NotOwner | LockFailure::TooManyWaiters | LockFailure::OtherMutex | LockFailure::Corrupted => {
                Self::Corrupted
            }
            LockFailure::Segment(error) => Self::Segment(error),
        }
    }
}

impl<G> LockError<G> {
    /// The guard, where the lock is held.
    pub fn into_guard(self) -> Option<G> {
        match self {
            Self::OwnerDied(guard) => Some(guard),
            _ => None,
        }
    }
}

impl<G> fmt::Display for LockError<G> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let failure = match self {
            Self::OwnerDied(_) => return f.write_str("the last owner died; the lock is held, make it consistent"),
            Self::WouldBlock => LockFailure::WouldBlock,
            Self::TimedOut => LockFailure::TimedOut,
            Self::Interrupted => LockFailure::Interrupted,
            Self::WouldDeadlock => LockFailure::WouldDeadlock,
            Self::TooOften => LockFailure::TooOften,
            Self::MaximumReached => LockFailure::MaximumReached,
            Self::NotRecoverable => LockFailure::NotRecoverable,
            Self::Corrupted => LockFailure::Corrupted,
            Self::Segment(error) => LockFailure::Segment(error.clone()),
        };
        failure.fmt(f)
    }
}

impl<G> fmt::Debug for LockError<G> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LockError({self})")
    }
}

impl<G> std::error::Error for LockError<G> {}

/// A locked [`Mutex`]: a private copy of its value, written back when dropped if it was changed.
///
/// Not `Send`: the lock belongs to the thread.
#[must_use]
pub struct MutexGuard<'a, T: Plain> {
    mutex: &'a Mutex<T>,
    owner: Owner,
    value: T,
    changed: bool,
    /// The last owner died and the lock is not consistent yet.
    died: bool,
    local: PhantomData<*const ()>,
}

impl<T: Plain> MutexGuard<'_, T> {
    /// Writes the copy back now, in one step: from here on a death of this process leaves this value.
    pub fn commit(&mut self) {
        // A forked child's copy of a guard holds nothing.
        if self.changed && self.mutex.lock.still(self.owner).is_some() {
            self.mutex.write(self.value);
            self.changed = false;
        }
    }

    /// Whether there is a change to keep: what a panic left half done is not.
    #[inline(always)]
    fn keeps(&self) -> bool {
        self.changed && !panicking()
    }

    /// Declares whatever the lock protects whole again, after [`LockError::OwnerDied`]. `false` if nobody had died.
    pub fn make_consistent(&mut self) -> bool {
        self.died = false;
        self.mutex.lock.still(self.owner).is_some() && self.mutex.lock.make_consistent() == Ok(true)
    }

    /// Commits and unlocks. If the last owner died and the lock was not made consistent, it is given up for ever.
    #[inline(always)]
    pub fn unlock(mut self) {
        self.died = false; // not given back as owner-died, but unlocked
    }
}

impl<T: Plain> WaitsWith for MutexGuard<'_, T> {
    /// What was changed is committed, as by an unlock; afterwards the copy is a fresh one.
    fn wait_on(&mut self, condvar: &AnyCondvar, deadline: Deadline) -> Result<(Ended, Acquired), LockFailure> {
        let mutex = self.mutex;
        let thread = mutex.lock.still(self.owner).ok_or(LockFailure::NotOwner)?;
        let changed = self.keeps().then_some(self.value);
        let result = mutex.lock.wait_as(thread, condvar, deadline, || changed.into_iter().for_each(|v| mutex.write(v)));
        if let Ok((_, acquired)) = result {
            self.value = mutex.read();
            self.changed = false;
            self.died = acquired == Acquired::OwnerDied;
        }
        result
    }

    fn notify_on(&self, condvar: &AnyCondvar, count: u32) -> Result<u32, LockFailure> {
        let thread = self.mutex.lock.still(self.owner).ok_or(LockFailure::NotOwner)?;
        self.mutex.lock.notify_as(thread, condvar, count)
    }
}

impl<T: Plain> Deref for MutexGuard<'_, T> {
    type Target = T;
    #[inline]
    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T: Plain> DerefMut for MutexGuard<'_, T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        self.changed = true;
        &mut self.value
    }
}

impl<T: Plain> Drop for MutexGuard<'_, T> {
    #[inline(always)]
    fn drop(&mut self) {
        // What is out of line takes parts of the guard, never its address: so the guard can live in registers.
        let mutex = self.mutex;
        match mutex.lock.still_last(self.owner) {
            Some(_) if !self.died => {
                if self.keeps() {
                    mutex.write(self.value);
                }
                mutex.lock.unlock_fast(self.owner);
            }
            _ => mutex.release_slow(self.owner, self.keeps().then_some(self.value), self.died),
        }
    }
}

impl<T: Plain + fmt::Debug> fmt::Debug for MutexGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.value.fmt(f)
    }
}
