//! The reader-writer lock as a named object, without guards: as C sees it. [`RwLock`](super::RwLock) adds typed data.

use std::ptr::NonNull;

use super::any_mutex::LockFailure;
use crate::error::Error;
use crate::layout::rwlock::data_offset;
use crate::raw::Owner;
use crate::raw::mutex::Acquired;
use crate::raw::rwlock::{self, Refused, Step};
use crate::segment::Segment;
use crate::segment::directory::{Mode, Object, Shape};
#[cfg(feature = "capi")]
use crate::segment::kinds::Kind;
use crate::segment::thread::ThreadRecord;
use crate::sys::nap::{Deadline, Interruptible, Wait};

impl From<Refused> for LockFailure {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::WouldBlock => Self::WouldBlock,
            Refused::TimedOut => Self::TimedOut,
            Refused::Interrupted => Self::Interrupted,
            Refused::WouldDeadlock => Self::WouldDeadlock,
            Refused::TooMany => Self::TooOften,
            Refused::NotRecoverable => Self::NotRecoverable,
            Refused::NotOwner => Self::NotOwner,
            Refused::Corrupted => Self::Corrupted,
        }
    }
}

/// The lock of a rwlock object, without its data.
#[derive(Debug)]
pub struct AnyRwLock {
    object: Object,
    participants: u16,
    interruptible: Interruptible,
}

#[inline(always)]
fn life(thread: &ThreadRecord) -> u32 {
    thread.participant().1
}

/// Length of an object with `data` bytes behind the lock.
pub fn bytes(segment: &Segment, data: usize) -> u64 {
    (data_offset(*segment.attachment().view().participants().end()) + data).next_multiple_of(128) as u64
}

impl AnyRwLock {
    /// Opens or creates the lock called `name`, with `shape` for its data; `init` fills a new one's, where it lies.
    pub fn open(
        segment: &Segment,
        name: &str,
        mode: Mode,
        shape: &Shape,
        init: impl FnOnce(NonNull<u8>),
    ) -> Result<Self, Error> {
        let participants = *segment.attachment().view().participants().end();
        let data = data_offset(participants);
        // All zero is a free lock.
        // SAFETY: a new object is as long as its shape says, which is longer than this.
        let object = Object::open(segment, name, mode, shape, |base| init(unsafe { base.add(data) }))?;
        if object.len() < shape.bytes {
            return Err(Error::Corrupted("a rwlock is shorter than its records and data"));
        }
        Ok(Self { object, participants, interruptible: Interruptible::new() })
    }

    /// The first byte of the data.
    #[inline(always)]
    pub fn data(&self) -> NonNull<u8> {
        // SAFETY: the object is longer than that (checked in `open`).
        unsafe { self.object.base().add(data_offset(self.participants)) }
    }

    #[inline(always)]
    fn raw(&self) -> rwlock::RwLock<'_> {
        // SAFETY: the object is mapped as long as `self`, aligned to 128, and accessed atomically only.
        match unsafe { rwlock::RwLock::at(self.object.base(), self.object.len(), self.participants) } {
            Some(raw) => raw,
            None => unreachable!("its length was checked in `open`"),
        }
    }

    /// Reads. On success the calling thread's process has a read lock, also for [`Acquired::OwnerDied`].
    #[inline(always)]
    pub fn read(&self, deadline: Deadline) -> Result<(Owner, Acquired), LockFailure> {
        let mut step = Step::Not;
        if let Some(thread) = self.object.entered_last() {
            step = self.raw().read_fast(thread.owner(), life(thread));
            if step == Step::Inside {
                return Ok((thread.owner(), Acquired::Clean));
            }
        }
        self.read_slow(step, deadline)
    }

    #[cold]
    #[inline(never)]
    fn read_slow(&self, step: Step, deadline: Deadline) -> Result<(Owner, Acquired), LockFailure> {
        self.as_thread(|raw, thread| {
            raw.read_on(step, thread.owner(), life(thread), self.object.peers(), self.interruptible.wait(deadline))
        })
    }

    /// Does something slow with the lock word on the held list; who did it, and what came of it.
    fn as_thread<R>(
        &self,
        act: impl FnOnce(rwlock::RwLock<'_>, &ThreadRecord) -> Result<R, Refused>,
    ) -> Result<(Owner, R), LockFailure> {
        let thread = self.object.enter().map_err(LockFailure::Segment)?;
        thread.hold(self.raw().lock_word());
        let result = act(self.raw(), thread);
        self.object.settle();
        Ok((thread.owner(), result?))
    }

    /// Writes. On success the calling thread has the lock, also for [`Acquired::OwnerDied`].
    pub fn write(&self, deadline: Deadline) -> Result<(Owner, Acquired), LockFailure> {
        self.as_thread(|raw, thread| raw.write(thread.owner(), self.object.peers(), self.interruptible.wait(deadline)))
    }

    /// Reads as the only one that can [`upgrade`](Self::upgrade).
    pub fn upgradable(&self, deadline: Deadline) -> Result<(Owner, Acquired), LockFailure> {
        self.as_thread(|raw, thread| {
            raw.upgradable(thread.owner(), self.object.peers(), self.interruptible.wait(deadline))
        })
    }

    /// From the upgradable reader to the writer.
    pub fn upgrade(&self, deadline: Deadline) -> Result<Acquired, LockFailure> {
        let thread = self.object.entered().ok_or(LockFailure::NotOwner)?;
        let wait: Wait = self.interruptible.wait(deadline);
        let result = self.raw().upgrade(thread.owner(), self.object.peers(), wait);
        self.object.settle();
        Ok(result?)
    }

    /// The calling thread if it is `owner` itself, and not a forked copy of it.
    #[inline(always)]
    pub fn still(&self, owner: Owner) -> Option<&ThreadRecord> {
        let last = self.object.entered_last().filter(|thread| thread.is(owner));
        last.or_else(|| self.still_slow(owner))
    }

    #[cold]
    #[inline(never)]
    fn still_slow(&self, owner: Owner) -> Option<&ThreadRecord> {
        self.object.entered().filter(|thread| thread.is(owner))
    }

    /// Ends a read by the process of this thread.
    #[inline(always)]
    pub fn unlock_read_as(&self, thread: &ThreadRecord) -> Result<(), LockFailure> {
        Ok(self.raw().unlock_read(thread.owner(), life(thread))?)
    }

    /// Ends a write by this thread. If a writer had died and it was not made consistent, the next is told too, or, if this
    /// is the `last_word`, the lock is given up for ever.
    pub fn unlock_write_as(&self, thread: &ThreadRecord, last_word: bool) -> Result<(), LockFailure> {
        Ok(self.raw().unlock_write(thread.owner(), last_word)?)
    }

    /// Ends an upgradable read by this thread.
    pub fn unlock_upgradable_as(&self, thread: &ThreadRecord) -> Result<(), LockFailure> {
        Ok(self.raw().unlock_upgradable(thread.owner())?)
    }

    fn me(&self) -> Result<&ThreadRecord, LockFailure> {
        self.object.entered().ok_or(LockFailure::NotOwner)
    }

    /// From the writer, or the upgradable reader, to a reader.
    pub fn downgrade(&self) -> Result<(), LockFailure> {
        let thread = self.me()?;
        Ok(self.raw().downgrade(thread.owner(), life(thread))?)
    }

    /// From the writer to the upgradable reader.
    pub fn downgrade_to_upgradable(&self) -> Result<(), LockFailure> {
        Ok(self.raw().downgrade_to_upgradable(self.me()?.owner())?)
    }

    /// The writer declares what the lock protects whole again. `Ok(false)` if nobody had died.
    pub fn make_consistent(&self) -> Result<bool, LockFailure> {
        Ok(self.raw().make_consistent(self.me()?.owner())?)
    }

    /// Makes a lock that was given up usable again, for a caller who knows that nobody uses it. `false` if it was not
    /// given up.
    pub fn reset(&self) -> bool {
        self.raw().reset()
    }

    /// The pid of the process that writes, or is the upgradable reader, if any. A hint: it may change at once.
    pub fn holder(&self) -> Option<u32> {
        self.object.peers().pid_of(self.raw().holder()?)
    }

    /// Whether a signal handler that ran ends a blocked call with [`LockFailure::Interrupted`]. Off at first.
    pub fn set_interruptible(&self, interruptible: bool) {
        self.interruptible.set(interruptible);
    }
}

/// The lock alone, as C uses it.
#[cfg(feature = "capi")]
impl AnyRwLock {
    /// Opens or creates the lock without data called `name`.
    pub fn open_plain(segment: &Segment, name: &str, mode: Mode) -> Result<Self, Error> {
        let bytes = bytes(segment, 8);
        let shape = Shape { kind: Kind::RwLock, element: 0, size: 0, align: 1, tag: [0; 32], capacity: 1, bytes };
        Self::open(segment, name, mode, &shape, |_| {})
    }

    /// Ends a read by the calling thread's process.
    #[inline]
    pub fn unlock_read(&self) -> Result<(), LockFailure> {
        self.unlock_read_as(self.me()?)
    }

    /// Ends a write by the calling thread, with the last word on a death.
    pub fn unlock_write(&self) -> Result<(), LockFailure> {
        self.unlock_write_as(self.me()?, true)
    }

    /// Ends an upgradable read by the calling thread.
    pub fn unlock_upgradable(&self) -> Result<(), LockFailure> {
        self.unlock_upgradable_as(self.me()?)
    }
}
