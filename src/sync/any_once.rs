//! The once as a named object, with a value whose type is known by code and size alone: as C sees it. [`Once`](super::Once)
//! and [`OnceValue`](super::OnceValue) are this with Rust's types and verbs.

use super::any_mutex::LockFailure;
use super::wait_any::Waitable;
use crate::error::Error;
use crate::layout::once::bytes;
use crate::raw::Owner;
use crate::raw::mutex::Acquired;
use crate::raw::once::Once;
use crate::segment::Segment;
use crate::segment::directory::{Mode, Object, Shape, Tag};
use crate::segment::kinds::Kind;
use crate::segment::thread::ThreadRecord;
use crate::sys::nap::{Deadline, Interruptible};

/// An open once.
#[derive(Debug)]
pub struct AnyOnce {
    object: Object,
    /// Of its value, in bytes.
    size: u32,
    interruptible: Interruptible,
}

impl AnyOnce {
    /// Opens the once called `name`, or creates it, with a value of this type: code, size, alignment, tag.
    pub fn open(
        segment: &Segment,
        name: &str,
        mode: Mode,
        (element, size, align, tag): (u32, usize, usize, Tag),
    ) -> Result<Self, Error> {
        let too_large = |_| Error::InvalidArgument("the type is too large");
        let (size, align) = (u32::try_from(size).map_err(too_large)?, u32::try_from(align).map_err(too_large)?);
        let shape = Shape { kind: Kind::Once, element, size, align, tag, capacity: 1, bytes: bytes(size) };
        // All zero is not initialised.
        let object = Object::open(segment, name, mode, &shape, |_| {})?;
        if object.len() < bytes(size) {
            return Err(Error::Corrupted("a once is shorter than its value"));
        }
        Ok(Self { object, size, interruptible: Interruptible::new() })
    }

    /// Opens the once called `name`, or creates it, without a value.
    pub fn open_plain(segment: &Segment, name: &str, mode: Mode) -> Result<Self, Error> {
        Self::open(segment, name, mode, (0, 0, 1, [0; 32]))
    }

    #[inline(always)]
    fn raw(&self) -> Once<'_> {
        // SAFETY: the object is mapped as long as `self`, as long as a value of this size takes (checked in `open`), aligned
        // to 128, and accessed atomically only.
        unsafe { Once::at_checked(self.object.base(), self.size) }
    }

    /// Whether it is initialised.
    #[inline(always)]
    pub fn is_completed(&self) -> bool {
        self.raw().is_completed()
    }

    /// Reads the value into as many bytes as it has; `false` if there is none yet.
    #[inline(always)]
    pub fn read(&self, value: &mut [u8]) -> bool {
        self.raw().read(value)
    }

    /// Waits until it is initialised (`None`), or it is the calling thread's turn to do so.
    #[inline]
    pub fn begin(&self, deadline: Deadline) -> Result<Option<(Owner, Acquired)>, LockFailure> {
        if self.is_completed() { Ok(None) } else { self.begin_slow(deadline) }
    }

    #[cold]
    fn begin_slow(&self, deadline: Deadline) -> Result<Option<(Owner, Acquired)>, LockFailure> {
        let thread = self.object.enter().map_err(LockFailure::Segment)?;
        thread.hold(self.raw().lock());
        let begun = self.raw().begin(thread.owner(), self.object.peers(), self.interruptible.wait(deadline));
        self.object.settle();
        Ok(begun?.map(|acquired| (thread.owner(), acquired)))
    }

    /// The calling thread if it is `owner` itself, and not a forked copy of it; of any owner, if it has a place at all.
    fn still(&self, owner: Option<Owner>) -> Result<&ThreadRecord, LockFailure> {
        let thread = self.object.entered().ok_or(LockFailure::NotOwner)?;
        if owner.is_none_or(|owner| thread.is(owner)) { Ok(thread) } else { Err(LockFailure::NotOwner) }
    }

    /// Ends the calling thread's turn, which began as `owner` if that is known: it is initialised, with these bytes.
    pub fn complete(&self, owner: Option<Owner>, value: &[u8]) -> Result<(), LockFailure> {
        self.raw().complete(self.still(owner)?.owner(), value).map_err(|_| LockFailure::NotOwner)
    }

    /// Ends the calling thread's turn: it is the next one's.
    pub fn abandon(&self, owner: Option<Owner>) -> Result<(), LockFailure> {
        self.raw().abandon(self.still(owner)?.owner()).map_err(|_| LockFailure::NotOwner)
    }

    /// Waits until somebody else has initialised it.
    #[inline]
    pub fn wait(&self, deadline: Deadline) -> Result<(), LockFailure> {
        if self.is_completed() { Ok(()) } else { self.wait_slow(deadline) }
    }

    #[cold]
    fn wait_slow(&self, deadline: Deadline) -> Result<(), LockFailure> {
        let me = self.object.enter().map_err(LockFailure::Segment)?.owner();
        let ended = self.raw().wait(me, self.object.peers(), self.interruptible.wait(deadline));
        self.object.settle();
        Ok(ended?)
    }

    /// That it is initialised.
    pub fn completed(&self) -> Waitable<'_> {
        Waitable::completed(&self.object)
    }

    /// The pid of the process that initialises it now, if any. A hint: it may change at once.
    pub fn holder(&self) -> Option<u32> {
        self.object.peers().pid_of(self.raw().holder()?)
    }

    /// Whether a signal handler that ran ends a blocked call with [`LockFailure::Interrupted`]. Off at first.
    pub fn set_interruptible(&self, interruptible: bool) {
        self.interruptible.set(interruptible);
    }
}
