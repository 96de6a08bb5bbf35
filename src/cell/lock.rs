//! Objects that start with a reentrant lock: values and arrays.

use std::marker::PhantomData;
use std::ptr::NonNull;

use crate::error::Error;
use crate::layout::mutex::LockWord;
use crate::primitive::AtomicU32;
use crate::raw::Owner;
use crate::raw::mutex::{self, Acquired};
use crate::raw::reentrant::{Reentrant, TooOften};
use crate::segment::directory::Object;
#[cfg(feature = "capi")]
use crate::segment::view::StoredShape;
use crate::sync::LockFailure;
use crate::sys::nap::{Deadline, Interruptible};

/// Bytes that the lock occupies at the start of the object.
pub const LOCK_BYTES: u64 = 8;

/// An open object that starts with a lock.
#[derive(Debug)]
pub struct Lockable {
    object: Object,
    interruptible: Interruptible,
}

impl Lockable {
    /// The object as one that starts with a lock.
    pub fn new(object: Object) -> Result<Self, Error> {
        if object.len() < LOCK_BYTES {
            return Err(Error::Corrupted("an object is shorter than its lock"));
        }
        Ok(Self { object, interruptible: Interruptible::new() })
    }

    /// First byte: the lock, and behind it what it is for.
    #[inline]
    pub fn base(&self) -> NonNull<u8> {
        self.object.base()
    }

    /// What the directory says it is.
    #[cfg(feature = "capi")]
    pub fn shape(&self) -> &StoredShape {
        self.object.shape()
    }

    fn raw(&self) -> Reentrant<'_> {
        // SAFETY: at least LOCK_BYTES long (checked in `new`), mapped as long as the object, aligned to 128, and these
        // words are accessed atomically only.
        unsafe {
            let base = self.base();
            Reentrant { word: base.cast::<LockWord>().as_ref(), count: base.cast::<AtomicU32>().add(1).as_ref() }
        }
    }

    /// Locks; a thread that holds the lock already locks it once more. Whoever takes the lock from the dead is told once;
    /// the values themselves are whole in any case, so the lock is consistent again.
    pub fn lock(&self, deadline: Deadline) -> Result<Acquired, LockFailure> {
        let acquired = self.acquire(deadline)?;
        if acquired == Acquired::OwnerDied {
            let thread = self.object.enter().map_err(LockFailure::Segment)?;
            let _ = mutex::make_consistent(self.raw().word, thread.owner());
        }
        Ok(acquired)
    }

    fn acquire(&self, deadline: Deadline) -> Result<Acquired, LockFailure> {
        let thread = self.object.enter().map_err(LockFailure::Segment)?;
        let lock = self.raw();
        if let Some(relocked) = lock.relock(thread.owner()) {
            return relocked.map(|()| Acquired::Clean).map_err(|TooOften| LockFailure::TooOften);
        }
        thread.hold(lock.word);
        let result = lock.lock(thread.owner(), self.object.peers(), self.interruptible.wait(deadline));
        if result.is_err() {
            self.object.settle();
        }
        Ok(result?)
    }

    /// Locks until the result is dropped.
    pub fn held(&self, deadline: Deadline) -> Result<(Held<'_>, Acquired), LockFailure> {
        let acquired = self.lock(deadline)?;
        let owner = self.object.enter().map_err(LockFailure::Segment)?.owner();
        Ok((Held { lockable: self, owner, local: PhantomData }, acquired))
    }

    /// Unlocks once.
    pub fn unlock(&self) -> Result<(), LockFailure> {
        let thread = self.object.entered().ok_or(LockFailure::NotOwner)?;
        self.raw().unlock(thread.owner()).map(drop).map_err(|_| LockFailure::NotOwner)
    }

    /// Runs `change` under the lock, waiting for as long as it takes, without taking note of a death: if its last owner
    /// died, the next to lock is still told.
    pub fn with_lock<R>(&self, change: impl FnOnce() -> R) -> Result<R, LockFailure> {
        let acquired = self.acquire(Deadline::Forever)?;
        let result = change();
        // Not the owner any more: a faulty peer took the lock from us.
        if acquired == Acquired::OwnerDied {
            let thread = self.object.entered().ok_or(LockFailure::Corrupted)?;
            let given = mutex::give_back(self.raw().word, thread.owner());
            self.object.settle();
            given.map_err(|_| LockFailure::Corrupted)?;
        } else {
            self.unlock().map_err(|_| LockFailure::Corrupted)?;
        }
        Ok(result)
    }

    /// Whether a signal handler that ran ends a call that waits for the lock with [`LockFailure::Interrupted`].
    pub fn set_interruptible(&self, interruptible: bool) {
        self.interruptible.set(interruptible);
    }

    /// The pid of the process that holds the lock now, if any; a hint.
    pub fn holder(&self) -> Option<u32> {
        self.object.peers().pid_of(mutex::holder(self.raw().word)?)
    }
}

/// One lock of an object by a thread, undone when dropped; nothing in a forked child that got a copy of it.
#[derive(Debug)]
pub struct Held<'a> {
    lockable: &'a Lockable,
    owner: Owner,
    /// The lock belongs to the thread.
    local: PhantomData<*const ()>,
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        if self.lockable.object.entered().is_some_and(|thread| thread.owner() == self.owner) {
            // The result is success: the thread holds it.
            let _ = self.lockable.unlock();
        }
    }
}
