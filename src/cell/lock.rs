//! The lock that every value and array starts with.

use std::marker::PhantomData;

use crate::error::Error;
use crate::layout::mutex::LockWord;
use crate::primitive::AtomicU32;
use crate::raw::Owner;
use crate::raw::mutex::{self, Acquired};
use crate::raw::reentrant::{Reentrant, TooOften, Unlocked};
use crate::segment::directory::Object;
use crate::sync::LockFailure;
use crate::sys::nap::{Deadline, Wait};

/// Bytes that the lock occupies at the start of the object.
pub const LOCK_BYTES: u64 = 8;

/// Why an untyped value or array was not read or changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ValueFailure {
    /// Its lock could not be had.
    Lock(LockFailure),
    /// The operation does not exist for this type of element.
    NotSupported(&'static str),
    /// There is no element of that number, or the bytes are not those of whole elements.
    OutOfRange,
}

impl From<LockFailure> for ValueFailure {
    fn from(failure: LockFailure) -> Self {
        Self::Lock(failure)
    }
}

impl From<Error> for ValueFailure {
    fn from(error: Error) -> Self {
        Self::Lock(LockFailure::Segment(error))
    }
}

fn lock_of(object: &Object) -> Reentrant<'_> {
    // SAFETY: values and arrays are at least LOCK_BYTES long (checked when opened), mapped as long as the object, aligned
    // to 128, and these words are accessed atomically only.
    unsafe {
        let base = object.base();
        Reentrant { word: base.cast::<LockWord>().as_ref(), count: base.cast::<AtomicU32>().add(1).as_ref() }
    }
}

/// Locks the object. Whoever takes the lock from the dead is told once; the values themselves are whole in any case, so
/// the lock is consistent again.
pub fn lock(object: &Object, wait: Wait) -> Result<Acquired, LockFailure> {
    let acquired = acquire(object, wait)?;
    if acquired == Acquired::OwnerDied {
        let thread = object.enter().map_err(LockFailure::Segment)?;
        let _ = mutex::make_consistent(lock_of(object).word, thread.owner());
    }
    Ok(acquired)
}

fn acquire(object: &Object, wait: Wait) -> Result<Acquired, LockFailure> {
    let thread = object.enter().map_err(LockFailure::Segment)?;
    let lock = lock_of(object);
    if let Some(relocked) = lock.relock(thread.owner()) {
        return relocked.map(|()| Acquired::Clean).map_err(|TooOften| LockFailure::TooOften);
    }
    thread.hold(lock.word);
    let result = lock.lock(thread.owner(), object.peers(), wait);
    if result.is_err() {
        thread.unhold(lock.word);
        object.settle();
    }
    Ok(result?)
}

/// One lock of an object by a thread, undone when dropped; nothing in a forked child that got a copy of it.
#[derive(Debug)]
pub struct Held<'a> {
    object: &'a Object,
    owner: Owner,
    /// The lock belongs to the thread.
    local: PhantomData<*const ()>,
}

impl<'a> Held<'a> {
    /// Locks until dropped.
    pub fn new(object: &'a Object, deadline: Deadline) -> Result<(Self, Acquired), LockFailure> {
        let acquired = lock(object, Wait::until(deadline))?;
        let owner = object.enter().map_err(LockFailure::Segment)?.owner();
        Ok((Self { object, owner, local: PhantomData }, acquired))
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        if self.object.entered().is_some_and(|thread| thread.owner() == self.owner) {
            // The result is success: the thread holds it.
            let _ = unlock(self.object);
        }
    }
}

/// Unlocks the object once.
pub fn unlock(object: &Object) -> Result<(), LockFailure> {
    let thread = object.entered().ok_or(LockFailure::NotOwner)?;
    let lock = lock_of(object);
    if lock.unlock(thread.owner()).map_err(|_| LockFailure::NotOwner)? == Unlocked::Free {
        thread.unhold(lock.word);
    }
    Ok(())
}

/// Runs `change` under the lock without taking note of a death: if its last owner died, the next to lock is still told.
pub fn with_lock<R>(object: &Object, wait: Wait, change: impl FnOnce() -> R) -> Result<R, LockFailure> {
    let acquired = acquire(object, wait)?;
    let result = change();
    if acquired == Acquired::OwnerDied {
        let thread = object.entered().ok_or(LockFailure::NotOwner)?;
        let word = lock_of(object).word;
        mutex::give_back(word, thread.owner()).map_err(|_| LockFailure::NotOwner)?;
        thread.unhold(word);
        object.settle();
    } else {
        unlock(object)?;
    }
    Ok(result)
}

/// The pid of the process that holds the lock now, if any; a hint.
pub fn holder(object: &Object) -> Option<u32> {
    object.peers().pid_of(mutex::holder(lock_of(object).word)?)
}
