//! Objects that start with a reentrant lock: values and arrays.

use std::ptr::NonNull;

use crate::error::Error;
use crate::raw::mutex::Acquired;
use crate::segment::directory::Object;
#[cfg(feature = "capi")]
use crate::segment::view::StoredShape;
use crate::sync::{AnyReentrant, Held, LockFailure};
use crate::sys::nap::Deadline;

/// An open object that starts with a lock. What it protects is whole in any case, so the lock is consistent again as soon
/// as somebody was told of a death.
#[derive(Debug)]
pub struct Lockable(AnyReentrant);

impl Lockable {
    /// The object as one that starts with a lock.
    pub fn new(object: Object) -> Result<Self, Error> {
        AnyReentrant::new(object).map(Self)
    }

    /// First byte: the lock, and behind it what it is for.
    #[inline]
    pub fn base(&self) -> NonNull<u8> {
        self.0.object().base()
    }

    /// What the directory says it is.
    #[cfg(feature = "capi")]
    pub fn shape(&self) -> &StoredShape {
        self.0.object().shape()
    }

    /// Locks; a thread that holds the lock already locks it once more. Whoever takes the lock from the dead is told once.
    #[cfg(feature = "capi")]
    pub fn lock(&self, deadline: Deadline) -> Result<Acquired, LockFailure> {
        let (_, acquired) = self.0.lock(deadline)?;
        self.settle(acquired);
        Ok(acquired)
    }

    /// Locks until the result is dropped.
    pub fn held(&self, deadline: Deadline) -> Result<(Held<'_>, Acquired), LockFailure> {
        let (held, acquired) = self.0.held(deadline)?;
        self.settle(acquired);
        Ok((held, acquired))
    }

    fn settle(&self, acquired: Acquired) {
        if acquired == Acquired::OwnerDied {
            // Not the owner any more: a faulty peer took the lock from us, which the unlock will say.
            let _ = self.0.make_consistent();
        }
    }

    /// Unlocks once.
    #[cfg(feature = "capi")]
    pub fn unlock(&self) -> Result<(), LockFailure> {
        self.0.unlock()
    }

    /// Runs `change` under the lock, waiting for as long as it takes, without taking note of a death: if its last owner
    /// died, the next to lock is still told.
    pub fn with_lock<R>(&self, change: impl FnOnce() -> R) -> Result<R, LockFailure> {
        self.0.lock(Deadline::Forever)?;
        let result = change();
        // Not the owner any more: a faulty peer took the lock from us.
        self.0.leave().map_err(|_| LockFailure::Corrupted)?;
        Ok(result)
    }

    /// Whether a signal handler that ran ends a call that waits for the lock with [`LockFailure::Interrupted`].
    pub fn set_interruptible(&self, interruptible: bool) {
        self.0.set_interruptible(interruptible);
    }

    /// The pid of the process that holds the lock now, if any; a hint.
    pub fn holder(&self) -> Option<u32> {
        self.0.holder()
    }
}
