//! The reentrant mutex as part of an object: alone it is [`ReentrantMutex`](super::ReentrantMutex); values and arrays
//! start with it.

use std::marker::PhantomData;
use std::ptr::NonNull;

use super::any_condvar::AnyCondvar;
use super::any_mutex::LockFailure;
use super::wait_any::Waitable;
use crate::error::Error;
use crate::layout::mutex::LockWord;
use crate::primitive::AtomicU32;
use crate::raw::Owner;
use crate::raw::condvar::Ended;
use crate::raw::mutex::{self, Acquired};
use crate::raw::reentrant::{Reentrant, TooOften};
use crate::segment::directory::Object;
use crate::segment::thread::ThreadRecord;
use crate::sys::nap::{Deadline, Interruptible};

/// Bytes that the lock occupies at the start of the object.
pub const LOCK_BYTES: u64 = 16;

/// An open object that starts with a reentrant lock.
#[derive(Debug)]
pub struct AnyReentrant {
    object: Object,
    interruptible: Interruptible,
}

impl AnyReentrant {
    /// The object as one that starts with a lock.
    pub fn new(object: Object) -> Result<Self, Error> {
        if object.len() < LOCK_BYTES {
            return Err(Error::Corrupted("an object is shorter than its lock"));
        }
        Ok(Self { object, interruptible: Interruptible::new() })
    }

    /// The object.
    #[inline]
    pub fn object(&self) -> &Object {
        &self.object
    }

    #[inline(always)]
    fn raw(&self) -> Reentrant<'_> {
        let base: NonNull<u8> = self.object.base();
        // SAFETY: at least LOCK_BYTES long (checked in `new`), mapped as long as the object, aligned to 128, and these
        // words are accessed atomically only.
        unsafe {
            Reentrant { word: base.cast::<LockWord>().as_ref(), further: base.cast::<AtomicU32>().add(2).as_ref() }
        }
    }

    /// Locks; a thread that holds the lock already locks it once more. After [`Acquired::OwnerDied`] the lock is held and
    /// not consistent.
    #[inline]
    pub fn lock(&self, deadline: Deadline) -> Result<(Owner, Acquired), LockFailure> {
        if let Some(thread) = self.object.entered_last() {
            let lock = self.raw();
            thread.hold(lock.word);
            if lock.lock_fast(thread.owner()) {
                return Ok((thread.owner(), Acquired::Clean));
            }
        }
        self.lock_slow(deadline)
    }

    #[cold]
    fn lock_slow(&self, deadline: Deadline) -> Result<(Owner, Acquired), LockFailure> {
        let thread = self.object.enter().map_err(LockFailure::Segment)?;
        let (lock, owner) = (self.raw(), thread.owner());
        if let Some(relocked) = lock.relock(owner) {
            return relocked.map(|()| (owner, Acquired::Clean)).map_err(|TooOften| LockFailure::TooOften);
        }
        thread.hold(lock.word);
        let result = lock.lock(owner, self.object.peers(), self.interruptible.wait(deadline));
        self.object.settle();
        Ok((owner, result?))
    }

    /// Locks until the result is dropped.
    #[inline]
    pub fn held(&self, deadline: Deadline) -> Result<(Held<'_>, Acquired), LockFailure> {
        let (owner, acquired) = self.lock(deadline)?;
        Ok((Held { lock: self, owner, local: PhantomData }, acquired))
    }

    /// Unlocks once. If the last owner died and the lock was not made consistent, the last unlock gives it up for ever.
    #[inline]
    pub fn unlock(&self) -> Result<(), LockFailure> {
        let thread = self.object.entered().ok_or(LockFailure::NotOwner)?;
        self.raw().unlock(thread.owner()).map(drop).map_err(|_| LockFailure::NotOwner)
    }

    /// Unlocks once. If the last owner died and the lock was not made consistent, the next owner is told too.
    pub fn leave(&self) -> Result<(), LockFailure> {
        let thread = self.object.entered().ok_or(LockFailure::NotOwner)?;
        self.raw().leave(thread.owner()).map(drop).map_err(|_| LockFailure::NotOwner)
    }

    /// Waits at `condvar`, giving away every level meanwhile; then there are as many again.
    #[cfg(feature = "capi")]
    pub fn wait(&self, condvar: &AnyCondvar, deadline: Deadline) -> Result<(Ended, Acquired), LockFailure> {
        let thread = self.object.entered().ok_or(LockFailure::NotOwner)?;
        self.wait_as(thread, condvar, deadline)
    }

    fn wait_as(
        &self,
        thread: &ThreadRecord,
        condvar: &AnyCondvar,
        deadline: Deadline,
    ) -> Result<(Ended, Acquired), LockFailure> {
        let lock = self.raw();
        let levels = lock.levels(thread.owner());
        let result = condvar.wait(&self.object, lock.word, thread, deadline, || lock.set_levels(1));
        if result.is_ok() {
            lock.set_levels(levels);
        }
        result
    }

    /// Notifies waiters of `condvar`.
    pub fn notify(&self, condvar: &AnyCondvar, count: u32) -> Result<u32, LockFailure> {
        let thread = self.object.entered().ok_or(LockFailure::NotOwner)?;
        condvar.notify(&self.object, self.raw().word, thread, count)
    }

    /// Declares what the lock protects whole again. `Ok(false)` if nobody had died.
    pub fn make_consistent(&self) -> Result<bool, LockFailure> {
        let thread = self.object.entered().ok_or(LockFailure::NotOwner)?;
        mutex::make_consistent(self.raw().word, thread.owner()).map_err(|_| LockFailure::NotOwner)
    }

    /// Makes a lock that was given up usable again, for a caller who knows that nobody uses it. `false` if it was not
    /// given up.
    pub fn reset(&self) -> bool {
        mutex::reset(self.raw().word)
    }

    /// How often the calling thread has locked it.
    pub fn count(&self) -> u32 {
        self.object.entered().map_or(0, |thread| self.raw().levels(thread.owner()))
    }

    /// Whether a signal handler that ran ends a call that waits for the lock with [`LockFailure::Interrupted`].
    pub fn set_interruptible(&self, interruptible: bool) {
        self.interruptible.set(interruptible);
    }

    /// That the lock is free, or the calling thread's.
    pub fn unlocked(&self) -> Waitable<'_> {
        Waitable::lock(&self.object)
    }

    /// The pid of the process that holds the lock now, if any; a hint.
    pub fn holder(&self) -> Option<u32> {
        self.object.peers().pid_of(mutex::holder(self.raw().word)?)
    }
}

/// One lock by a thread, left when dropped; nothing in a forked child that got a copy of it.
#[derive(Debug)]
pub struct Held<'a> {
    lock: &'a AnyReentrant,
    owner: Owner,
    /// The lock belongs to the thread.
    local: PhantomData<*const ()>,
}

impl Held<'_> {
    /// The lock, if the calling thread is the one that locked, and not a forked copy of it.
    #[inline]
    fn ours(&self) -> Option<Reentrant<'_>> {
        self.lock.object.entered().filter(|thread| thread.is(self.owner)).map(|_| self.lock.raw())
    }

    /// As [`AnyReentrant::make_consistent`]; `false` also in a forked child.
    pub fn make_consistent(&self) -> bool {
        self.ours().is_some_and(|lock| mutex::make_consistent(lock.word, self.owner) == Ok(true))
    }

    /// As [`AnyReentrant::wait`].
    pub fn wait(&self, condvar: &AnyCondvar, deadline: Deadline) -> Result<(Ended, Acquired), LockFailure> {
        let thread = self.lock.object.entered().filter(|thread| thread.is(self.owner));
        self.lock.wait_as(thread.ok_or(LockFailure::NotOwner)?, condvar, deadline)
    }

    /// As [`AnyReentrant::notify`].
    pub fn notify(&self, condvar: &AnyCondvar, count: u32) -> Result<u32, LockFailure> {
        self.ours().ok_or(LockFailure::NotOwner)?;
        self.lock.notify(condvar, count)
    }

    /// Unlocks as [`AnyReentrant::unlock`] does.
    pub fn unlock(self) {
        if let Some(lock) = self.ours() {
            // The result is success: the thread holds it.
            let _ = lock.unlock(self.owner);
        }
        core::mem::forget(self);
    }
}

impl Drop for Held<'_> {
    #[inline]
    fn drop(&mut self) {
        if let Some(lock) = self.ours() {
            // As above.
            let _ = lock.leave(self.owner);
        }
    }
}
