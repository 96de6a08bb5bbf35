//! The typed reader-writer lock.
//!
//! ```text
//! header: 128 bytes | a record of 64 bytes for each participant | sequence: u64 | copy 0 | copy 1
//! ```

use std::fmt;
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;
use std::time::{Duration, Instant};

use bytemuck::Zeroable;

use super::any_mutex::LockFailure;
use super::any_rwlock::{AnyRwLock, bytes};
use super::mutex::LockError;
use crate::error::Error;
use crate::plain::Plain;
use crate::primitive::{AtomicU64, panicking};
use crate::raw::Owner;
use crate::raw::cell::{Cell, cell_words};
use crate::raw::mutex::Acquired;
use crate::segment::Segment;
use crate::segment::directory::{Mode, Shape, tag};
use crate::segment::kinds::Kind;
use crate::sys::nap::Deadline;

/// A lock with a value of type `T` for many readers or one writer, of any processes.
///
/// Each guard has a private copy of the value. A writer's is written back in one step when the guard is dropped, unlocked
/// or [committed](RwLockWriteGuard::commit); a panic drops it unwritten. Nobody but a living writer changes what readers
/// see, so whoever dies leaves the value of the last commit. For large data let `T` be `()` and lock around it.
///
/// One reader at a time can be *upgradable*: it reads beside the others, keeps writers out, and may
/// [become](RwLockUpgradableGuard::upgrade) the writer without letting another in between.
///
/// **Progress**: reading is one compare-and-swap in a cache line of the process's own and a look at another that only
/// writers change, and as much again at the end. Neither side starves the other: from the moment that a writer waits for
/// the readers inside, new readers wait for it; and all readers that wait while somebody writes go before the next
/// writer. Writers among themselves take turns as at a [`Mutex`](super::Mutex). A process that is *stopped* while it waits
/// to read counts as a reader once its turn has come.
///
/// **Owners**: the writer and the upgradable reader are threads; a thread that has one of these and asks for any of the two
/// once more, or for a read while it writes, gets [`LockError::WouldDeadlock`]. Readers are counted for the process, up to
/// 16,383 at once ([`LockError::TooOften`] beyond), and it cannot be seen which of its threads read: a thread that waits to
/// write, or to upgrade, while it has another read guard waits for itself, and one that reads twice does if a writer
/// comes in between; only a time-out ends that. A read guard that is leaked by a thread keeps writers out until its
/// process ends. A forked child has nothing: a copied guard drops as a no-op.
///
/// **Crash behaviour**: a dead reader is subtracted. After a dead writer (or a thread that ended as one) everybody, readers
/// too, gets [`LockError::OwnerDied`] with the guard, until a writer
/// [makes the lock consistent](RwLockWriteGuard::make_consistent); a writer that [unlocks](RwLockWriteGuard::unlock)
/// instead gives it up, and everybody gets [`LockError::NotRecoverable`]. A writer that died before it was in is nothing
/// to tell of.
///
/// ```
/// use ringfence::{LockError, RwLock, Segment, SegmentOptions};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let segment = Segment::anonymous(&SegmentOptions::new())?;
/// let limits = RwLock::<[u32; 2]>::open_or_create(&segment, "limits", [10, 20])?;
/// {
///     let one = limits.read().map_err(|e| e.to_string())?;
///     let other = limits.read().map_err(|e| e.to_string())?;
///     assert_eq!(one[0] + other[1], 30);
///     assert!(limits.try_write().is_err());
/// }
/// match limits.write() {
///     Ok(mut limits) => limits[1] = 30,
///     Err(LockError::OwnerDied(mut limits)) => {
///         // Put in order whatever else the lock protects, then:
///         limits.make_consistent();
///     }
///     Err(error) => return Err(error.to_string().into()),
/// }
/// assert_eq!(limits.read().map_err(|e| e.to_string())?[1], 30);
/// # Ok(())
/// # }
/// ```
#[must_use]
pub struct RwLock<T: Plain> {
    lock: AnyRwLock,
    value: PhantomData<fn(T) -> T>,
}

type Outcome<G> = Result<G, LockError<G>>;

impl<T: Plain> RwLock<T> {
    fn with(segment: &Segment, name: &str, mode: Mode, initial: Option<T>) -> Result<Self, Error> {
        let shape = Shape {
            kind: Kind::RwLock,
            element: T::ELEMENT as u32,
            size: u32::try_from(size_of::<T::Bits>()).map_err(|_| Error::InvalidArgument("the type is too large"))?,
            align: align_of::<T::Bits>() as u32,
            tag: tag(T::TAG)?,
            capacity: 1,
            bytes: bytes(segment, 8 * cell_words(size_of::<T::Bits>())),
        };
        let lock = AnyRwLock::open(segment, name, mode, &shape, |data| {
            if let (Some(initial), Some(cell)) = (initial, Self::cell_at(data)) {
                cell.write_locked(bytemuck::bytes_of(&initial.to_bits()));
            }
        })?;
        Ok(Self { lock, value: PhantomData })
    }

    /// Creates a lock of a name that must be free in the segment.
    ///
    /// # Errors
    /// [`Error::Name`], [`Error::Exists`], [`Error::NoSpace`], [`Error::DirectoryFull`], [`Error::Busy`],
    /// [`Error::Corrupted`].
    pub fn create(segment: &Segment, name: &str, initial: T) -> Result<Self, Error> {
        Self::with(segment, name, Mode::Create, Some(initial))
    }

    /// Opens a lock.
    ///
    /// # Errors
    /// [`Error::Name`], [`Error::Missing`], [`Error::WrongKind`], [`Error::WrongShape`], [`Error::Busy`],
    /// [`Error::Corrupted`].
    pub fn open(segment: &Segment, name: &str) -> Result<Self, Error> {
        Self::with(segment, name, Mode::Open, None)
    }

    /// Opens a lock, or creates it with `initial`; exactly one of many who do so at once creates it.
    ///
    /// # Errors
    /// As [`open`](Self::open) and [`create`](Self::create).
    pub fn open_or_create(segment: &Segment, name: &str, initial: T) -> Result<Self, Error> {
        Self::with(segment, name, Mode::OpenOrCreate, Some(initial))
    }

    #[inline(always)]
    fn cell_at<'a>(data: NonNull<u8>) -> Option<Cell<'a>> {
        // SAFETY: `data` has the mapped words of a cell of this size, aligned to 64 and accessed as atomic u64 words only.
        // Callers bound the lifetime by the handle's.
        let words = unsafe {
            NonNull::slice_from_raw_parts(data.cast::<AtomicU64>(), cell_words(size_of::<T::Bits>())).as_ref()
        };
        Cell::new(words, size_of::<T::Bits>())
    }

    #[inline(always)]
    fn cell(&self) -> Cell<'_> {
        match Self::cell_at(self.lock.data()) {
            Some(cell) => cell,
            None => unreachable!("cell_words words hold a cell"),
        }
    }

    /// The value; the caller has the lock in one way or another.
    #[inline(always)]
    fn value(&self) -> T {
        let mut bits = T::Bits::zeroed();
        self.cell().read_locked(bytemuck::bytes_of_mut(&mut bits));
        T::from_bits(bits)
    }

    #[inline(always)]
    fn hold(&self, owner: Owner) -> Hold<'_, T> {
        Hold { lock: self, owner, local: PhantomData }
    }

    #[inline(always)]
    fn reader(&self, deadline: Deadline) -> Outcome<RwLockReadGuard<'_, T>> {
        let (owner, acquired) = self.lock.read(deadline)?;
        told(acquired, RwLockReadGuard { hold: self.hold(owner), value: self.value() })
    }

    fn upgradable(&self, deadline: Deadline) -> Outcome<RwLockUpgradableGuard<'_, T>> {
        let (owner, acquired) = self.lock.upgradable(deadline)?;
        told(acquired, RwLockUpgradableGuard { hold: self.hold(owner), value: self.value() })
    }

    fn writer(&self, deadline: Deadline) -> Outcome<RwLockWriteGuard<'_, T>> {
        let (owner, acquired) = self.lock.write(deadline)?;
        told(acquired, RwLockWriteGuard { hold: self.hold(owner), value: self.value(), changed: false })
    }

    /// Reads, waiting for as long as it takes.
    ///
    /// # Errors
    /// [`LockError::OwnerDied`] with the guard, [`LockError::WouldDeadlock`], [`LockError::TooOften`],
    /// [`LockError::NotRecoverable`], [`LockError::Interrupted`] if [asked for](Self::set_interruptible),
    /// [`LockError::Corrupted`], [`LockError::Segment`] if a forked child cannot join the segment.
    #[inline(always)]
    pub fn read(&self) -> Outcome<RwLockReadGuard<'_, T>> {
        self.reader(Deadline::Forever)
    }

    /// Reads if that needs no waiting.
    ///
    /// # Errors
    /// [`LockError::WouldBlock`], and those of [`read`](Self::read).
    #[inline]
    pub fn try_read(&self) -> Outcome<RwLockReadGuard<'_, T>> {
        self.reader(Deadline::Now)
    }

    /// Reads, waiting for at most `timeout`; zero is a [`try_read`](Self::try_read).
    ///
    /// # Errors
    /// [`LockError::TimedOut`], and those of [`read`](Self::read).
    pub fn read_timeout(&self, timeout: Duration) -> Outcome<RwLockReadGuard<'_, T>> {
        self.reader(Deadline::after(timeout))
    }

    /// Reads, waiting until `deadline` of the monotonic clock at most.
    ///
    /// # Errors
    /// [`LockError::TimedOut`], and those of [`read`](Self::read).
    pub fn read_deadline(&self, deadline: Instant) -> Outcome<RwLockReadGuard<'_, T>> {
        self.reader(Deadline::At(deadline))
    }

    /// Reads as the upgradable reader, waiting for as long as it takes: while another one has the lock so, or writes.
    ///
    /// # Errors
    /// Those of [`read`](Self::read) but `TooOften`.
    pub fn upgradable_read(&self) -> Outcome<RwLockUpgradableGuard<'_, T>> {
        self.upgradable(Deadline::Forever)
    }

    /// Reads as the upgradable reader if that needs no waiting.
    ///
    /// # Errors
    /// [`LockError::WouldBlock`], and those of [`upgradable_read`](Self::upgradable_read).
    pub fn try_upgradable_read(&self) -> Outcome<RwLockUpgradableGuard<'_, T>> {
        self.upgradable(Deadline::Now)
    }

    /// Reads as the upgradable reader, waiting for at most `timeout`; zero is a
    /// [`try_upgradable_read`](Self::try_upgradable_read).
    ///
    /// # Errors
    /// [`LockError::TimedOut`], and those of [`upgradable_read`](Self::upgradable_read).
    pub fn upgradable_read_timeout(&self, timeout: Duration) -> Outcome<RwLockUpgradableGuard<'_, T>> {
        self.upgradable(Deadline::after(timeout))
    }

    /// Reads as the upgradable reader, waiting until `deadline` of the monotonic clock at most.
    ///
    /// # Errors
    /// [`LockError::TimedOut`], and those of [`upgradable_read`](Self::upgradable_read).
    pub fn upgradable_read_deadline(&self, deadline: Instant) -> Outcome<RwLockUpgradableGuard<'_, T>> {
        self.upgradable(Deadline::At(deadline))
    }

    /// Writes, waiting for as long as it takes.
    ///
    /// # Errors
    /// Those of [`read`](Self::read) but `TooOften`.
    pub fn write(&self) -> Outcome<RwLockWriteGuard<'_, T>> {
        self.writer(Deadline::Forever)
    }

    /// Writes if that needs no waiting.
    ///
    /// # Errors
    /// [`LockError::WouldBlock`], and those of [`write`](Self::write).
    pub fn try_write(&self) -> Outcome<RwLockWriteGuard<'_, T>> {
        self.writer(Deadline::Now)
    }

    /// Writes, waiting for at most `timeout`; zero is a [`try_write`](Self::try_write).
    ///
    /// # Errors
    /// [`LockError::TimedOut`], and those of [`write`](Self::write).
    pub fn write_timeout(&self, timeout: Duration) -> Outcome<RwLockWriteGuard<'_, T>> {
        self.writer(Deadline::after(timeout))
    }

    /// Writes, waiting until `deadline` of the monotonic clock at most.
    ///
    /// # Errors
    /// [`LockError::TimedOut`], and those of [`write`](Self::write).
    pub fn write_deadline(&self, deadline: Instant) -> Outcome<RwLockWriteGuard<'_, T>> {
        self.writer(Deadline::At(deadline))
    }

    /// Makes a lock that was given up usable again, for a caller who knows that nobody uses it. `false` if it was not
    /// given up.
    pub fn reset(&self) -> bool {
        self.lock.reset()
    }

    /// The pid of the process that writes, or waits for the readers to leave, or is the upgradable reader, if any; a hint,
    /// since it may change at once.
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

impl<T: Plain> fmt::Debug for RwLock<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RwLock").field("holder", &self.holder()).finish_non_exhaustive()
    }
}

#[inline(always)]
fn told<G>(acquired: Acquired, guard: G) -> Outcome<G> {
    if acquired == Acquired::OwnerDied { Err(LockError::OwnerDied(guard)) } else { Ok(guard) }
}

/// What every guard has: which lock, and who locked it.
struct Hold<'a, T: Plain> {
    lock: &'a RwLock<T>,
    owner: Owner,
    /// The lock belongs to the thread.
    local: PhantomData<*const ()>,
}

impl<T: Plain> Hold<'_, T> {
    /// The lock, if the calling thread is the one that locked, and not a forked copy of it.
    fn ours(&self) -> Result<&AnyRwLock, LockFailure> {
        self.lock.lock.still(self.owner).map(|_| &self.lock.lock).ok_or(LockFailure::NotOwner)
    }
}

/// Why a guard could not become one of another kind. It is what it was, and here.
#[must_use]
pub struct ChangeError<G> {
    guard: G,
    why: LockFailure,
}

impl<G> ChangeError<G> {
    /// The guard.
    pub fn into_guard(self) -> G {
        self.guard
    }

    /// The reason.
    #[must_use]
    pub fn why(&self) -> &LockFailure {
        &self.why
    }
}

impl<G> fmt::Display for ChangeError<G> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.why.fmt(f)
    }
}

impl<G> fmt::Debug for ChangeError<G> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ChangeError({self})")
    }
}

impl<G> std::error::Error for ChangeError<G> {}

/// A [`RwLock`] that is read: a private copy of its value.
///
/// Not `Send`: the thread that locked unlocks.
#[must_use]
pub struct RwLockReadGuard<'a, T: Plain> {
    hold: Hold<'a, T>,
    value: T,
}

impl<T: Plain> Deref for RwLockReadGuard<'_, T> {
    type Target = T;
    #[inline]
    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T: Plain> Drop for RwLockReadGuard<'_, T> {
    #[inline(always)]
    fn drop(&mut self) {
        let lock = &self.hold.lock.lock;
        if let Some(thread) = lock.still(self.hold.owner) {
            // The result is success: the process has it.
            let _ = lock.unlock_read_as(thread);
        }
    }
}

/// A [`RwLock`] that is read by the one reader that can become the writer.
///
/// Not `Send`: the lock belongs to the thread.
#[must_use]
pub struct RwLockUpgradableGuard<'a, T: Plain> {
    hold: Hold<'a, T>,
    value: T,
}

impl<'a, T: Plain> RwLockUpgradableGuard<'a, T> {
    fn upgrade_by(self, deadline: Deadline) -> Result<RwLockWriteGuard<'a, T>, ChangeError<Self>> {
        match self.hold.ours().and_then(|lock| lock.upgrade(deadline)) {
            // Whoever has it has been told of a death already.
            Ok(_) => {
                let (hold, value) = self.into_parts();
                Ok(RwLockWriteGuard { hold, value, changed: false })
            }
            Err(why) => Err(ChangeError { guard: self, why }),
        }
    }

    fn into_parts(self) -> (Hold<'a, T>, T) {
        let this = core::mem::ManuallyDrop::new(self);
        (this.hold.lock.hold(this.hold.owner), this.value)
    }

    /// Becomes the writer, waiting for the other readers to leave for as long as it takes. Nobody writes in between. Who
    /// was told of a death when it locked is not told again, and may make the lock consistent now.
    ///
    /// # Errors
    /// With this guard: [`LockFailure::Interrupted`] if [asked for](RwLock::set_interruptible),
    /// [`LockFailure::NotOwner`] in a forked child that has a copy of it.
    pub fn upgrade(self) -> Result<RwLockWriteGuard<'a, T>, ChangeError<Self>> {
        self.upgrade_by(Deadline::Forever)
    }

    /// Becomes the writer if nobody else reads.
    ///
    /// # Errors
    /// [`LockFailure::WouldBlock`], and those of [`upgrade`](Self::upgrade).
    pub fn try_upgrade(self) -> Result<RwLockWriteGuard<'a, T>, ChangeError<Self>> {
        self.upgrade_by(Deadline::Now)
    }

    /// Becomes the writer, waiting for at most `timeout`; zero is a [`try_upgrade`](Self::try_upgrade).
    ///
    /// # Errors
    /// [`LockFailure::TimedOut`], and those of [`upgrade`](Self::upgrade).
    pub fn upgrade_timeout(self, timeout: Duration) -> Result<RwLockWriteGuard<'a, T>, ChangeError<Self>> {
        self.upgrade_by(Deadline::after(timeout))
    }

    /// Becomes the writer, waiting until `deadline` of the monotonic clock at most.
    ///
    /// # Errors
    /// [`LockFailure::TimedOut`], and those of [`upgrade`](Self::upgrade).
    pub fn upgrade_deadline(self, deadline: Instant) -> Result<RwLockWriteGuard<'a, T>, ChangeError<Self>> {
        self.upgrade_by(Deadline::At(deadline))
    }

    /// Becomes a reader like the others; writers may come afterwards.
    ///
    /// # Errors
    /// With this guard: [`LockFailure::TooOften`], [`LockFailure::NotOwner`] in a forked child that has a copy of it.
    pub fn downgrade(self) -> Result<RwLockReadGuard<'a, T>, ChangeError<Self>> {
        match self.hold.ours().and_then(AnyRwLock::downgrade) {
            Ok(()) => {
                let (hold, value) = self.into_parts();
                Ok(RwLockReadGuard { hold, value })
            }
            Err(why) => Err(ChangeError { guard: self, why }),
        }
    }
}

impl<T: Plain> Deref for RwLockUpgradableGuard<'_, T> {
    type Target = T;
    #[inline]
    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T: Plain> Drop for RwLockUpgradableGuard<'_, T> {
    fn drop(&mut self) {
        let lock = &self.hold.lock.lock;
        if let Some(thread) = lock.still(self.hold.owner)
            && lock.unlock_upgradable_as(thread).is_err()
        {
            // A faulty peer has changed the gate. Nobody is to wait for the rest of it.
            let _ = lock.unlock_write_as(thread, false);
        }
    }
}

/// A [`RwLock`] that is written: a private copy of its value, written back when dropped if it was changed.
///
/// Not `Send`: the lock belongs to the thread.
#[must_use]
pub struct RwLockWriteGuard<'a, T: Plain> {
    hold: Hold<'a, T>,
    value: T,
    changed: bool,
}

impl<'a, T: Plain> RwLockWriteGuard<'a, T> {
    /// Writes the copy back now, in one step: from here on a death of this process leaves this value.
    pub fn commit(&mut self) {
        if self.changed && self.hold.ours().is_ok() {
            self.hold.lock.cell().write_locked(bytemuck::bytes_of(&self.value.to_bits()));
            self.changed = false;
        }
    }

    /// Declares whatever the lock protects whole again, after [`LockError::OwnerDied`]. `false` if nobody had died.
    pub fn make_consistent(&mut self) -> bool {
        self.hold.ours().is_ok_and(|lock| lock.make_consistent() == Ok(true))
    }

    /// Commits and unlocks. If a writer had died and the lock was not made consistent, it is given up for ever.
    pub fn unlock(mut self) {
        self.commit();
        self.end(true);
        core::mem::forget(self);
    }

    fn end(&self, last_word: bool) {
        let lock = &self.hold.lock.lock;
        if let Some(thread) = lock.still(self.hold.owner)
            && lock.unlock_write_as(thread, last_word).is_err()
        {
            // A faulty peer has changed the gate. Nobody is to wait for the rest of it.
            let _ = lock.unlock_upgradable_as(thread);
        }
    }

    fn into_parts(self) -> (Hold<'a, T>, T) {
        let this = core::mem::ManuallyDrop::new(self);
        (this.hold.lock.hold(this.hold.owner), this.value)
    }

    /// Commits, and becomes a reader: nobody writes in between.
    ///
    /// # Errors
    /// With this guard: [`LockFailure::TooOften`], [`LockFailure::NotOwner`] in a forked child that has a copy of it.
    pub fn downgrade(mut self) -> Result<RwLockReadGuard<'a, T>, ChangeError<Self>> {
        self.commit();
        match self.hold.ours().and_then(AnyRwLock::downgrade) {
            Ok(()) => {
                let (hold, value) = self.into_parts();
                Ok(RwLockReadGuard { hold, value })
            }
            Err(why) => Err(ChangeError { guard: self, why }),
        }
    }

    /// Commits, and becomes the upgradable reader: nobody else can write in between.
    ///
    /// # Errors
    /// With this guard: [`LockFailure::NotOwner`] in a forked child that has a copy of it.
    pub fn downgrade_to_upgradable(mut self) -> Result<RwLockUpgradableGuard<'a, T>, ChangeError<Self>> {
        self.commit();
        match self.hold.ours().and_then(AnyRwLock::downgrade_to_upgradable) {
            Ok(()) => {
                let (hold, value) = self.into_parts();
                Ok(RwLockUpgradableGuard { hold, value })
            }
            Err(why) => Err(ChangeError { guard: self, why }),
        }
    }
}

impl<T: Plain> Deref for RwLockWriteGuard<'_, T> {
    type Target = T;
    #[inline]
    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T: Plain> DerefMut for RwLockWriteGuard<'_, T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        self.changed = true;
        &mut self.value
    }
}

impl<T: Plain> Drop for RwLockWriteGuard<'_, T> {
    fn drop(&mut self) {
        // What a panic left half done is not kept.
        if !panicking() {
            self.commit();
        }
        self.end(false);
    }
}

impl<T: Plain + fmt::Debug> fmt::Debug for RwLockReadGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.value.fmt(f)
    }
}

impl<T: Plain + fmt::Debug> fmt::Debug for RwLockUpgradableGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.value.fmt(f)
    }
}

impl<T: Plain + fmt::Debug> fmt::Debug for RwLockWriteGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.value.fmt(f)
    }
}
