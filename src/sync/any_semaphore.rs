//! The semaphore as a named object, without guards: as C sees it.

use super::any_mutex::LockFailure;
use super::wait_any::Waitable;
use crate::error::Error;
use crate::layout::semaphore::{MAX_PERMITS, SemaphoreHeader, bytes};
use crate::raw::Owner;
use crate::raw::semaphore::{self, Refused, Taken};
use crate::segment::Segment;
use crate::segment::directory::{Mode, Object, Shape};
use crate::segment::kinds::Kind;
use crate::sys::nap::{Deadline, Interruptible, Wait};

impl From<Refused> for LockFailure {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::WouldBlock => Self::WouldBlock,
            Refused::TimedOut => Self::TimedOut,
            Refused::Interrupted => Self::Interrupted,
            Refused::Maximum => Self::MaximumReached,
            Refused::Corrupted => Self::Corrupted,
        }
    }
}

/// What a new semaphore is like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Free permits at first.
    pub initial: u32,
    /// The most there may be.
    pub maximum: u32,
    /// Whether permits belong to participants.
    pub owned: bool,
}

/// An open semaphore.
#[derive(Debug)]
pub struct AnySemaphore {
    object: Object,
    participants: u16,
    owned: bool,
    maximum: u32,
    interruptible: Interruptible,
}

fn described(owned: bool) -> String {
    let mode = if owned { "permits belong to participants" } else { "permits belong to nobody" };
    format!("a semaphore whose {mode}")
}

impl AnySemaphore {
    /// Opens the semaphore called `name`, or creates it; `None` takes whatever is there.
    pub fn open(segment: &Segment, name: &str, mode: Mode, plan: Option<Plan>) -> Result<Self, Error> {
        let participants = *segment.attachment().view().participants().end();
        let plan_of_new = plan.unwrap_or(Plan { initial: 0, maximum: MAX_PERMITS, owned: true });
        let Plan { initial, maximum, owned } = plan_of_new;
        if maximum == 0 || maximum > MAX_PERMITS || initial > maximum {
            return Err(Error::InvalidArgument("a semaphore's maximum is 1 to 2^29 - 1 and not below its first value"));
        }
        let shape = Shape {
            kind: Kind::Semaphore,
            element: 0,
            size: 0,
            align: 1,
            tag: [0; 32],
            capacity: plan.map_or(0, |plan| plan.maximum.into()),
            bytes: bytes(owned, participants),
        };
        let object = Object::open(segment, name, mode, &shape, |base| {
            // SAFETY: the object is at least a header long and aligned to 128, and nobody else sees it yet.
            unsafe { base.cast::<SemaphoreHeader>().write(SemaphoreHeader::new(initial, maximum, owned)) };
        })?;
        // SAFETY: the object is mapped as long as it lives, aligned to 128, and accessed atomically only.
        let raw = unsafe { semaphore::Semaphore::at(object.base(), object.len(), participants) };
        let raw = raw.ok_or(Error::Corrupted("a semaphore is shorter than its records"))?;
        let (found, maximum) = (raw.is_owned(), raw.maximum());
        if plan.is_some_and(|plan| plan.owned != found) {
            return Err(Error::WrongShape { expected: described(owned), found: described(found) });
        }
        Ok(Self { object, participants, owned: found, maximum, interruptible: Interruptible::new() })
    }

    /// As it was when it was opened, whatever its header says by now.
    #[inline(always)]
    fn raw(&self) -> semaphore::Semaphore<'_> {
        // SAFETY: as in `open`, which has seen that the object is long enough.
        unsafe { semaphore::Semaphore::of(self.object.base(), self.owned, self.participants) }
    }

    /// Makes a forked child a participant.
    #[cold]
    pub fn enter(&self) -> Result<(), LockFailure> {
        self.me().map(drop)
    }

    fn me(&self) -> Result<Owner, LockFailure> {
        Ok(self.object.enter().map_err(LockFailure::Segment)?.owner())
    }

    /// Takes `permits`, all or none.
    #[inline(always)]
    pub fn acquire(&self, permits: u32, deadline: Deadline) -> Result<Taken, LockFailure> {
        let fast = if self.owned {
            self.object
                .entered_last()
                .and_then(|thread| self.raw().take_fast(thread.owner(), permits, self.object.peers()))
        } else {
            self.raw().acquire_fast(permits)
        };
        match fast {
            Some(taken) => Ok(taken),
            None => self.acquire_slow(permits, deadline),
        }
    }

    #[cold]
    fn acquire_slow(&self, permits: u32, deadline: Deadline) -> Result<Taken, LockFailure> {
        // Entering makes a forked child a participant before it waits for anybody.
        let me = self.me()?;
        let wait = self.interruptible.wait(deadline);
        if !self.owned {
            return Ok(self.raw().acquire_signal(permits, wait)?);
        }
        let taken = self.raw().acquire(me, permits, self.object.peers(), wait);
        self.object.settle();
        Ok(taken?)
    }

    /// Gives `permits` back, or new ones. Nothing is changed if there would be too many.
    #[inline(always)]
    pub fn release(&self, permits: u32) -> Result<(), LockFailure> {
        match (!self.owned).then(|| self.raw().release_fast(permits, self.maximum)).flatten() {
            Some(released) => Ok(released?),
            None => self.release_slow(permits),
        }
    }

    #[inline(never)]
    fn release_slow(&self, permits: u32) -> Result<(), LockFailure> {
        let raw = self.raw();
        if !self.owned {
            return Ok(raw.release_signal(permits)?);
        }
        // A permit must not be lost to a signal: this waits for nobody but one who is in the middle of an operation.
        Ok(raw.release(self.me()?, permits, self.object.peers(), Wait::until(Deadline::Forever))?)
    }

    /// How many permits are free, those of the dead included.
    pub fn value(&self) -> Result<u32, LockFailure> {
        let raw = self.raw();
        if !self.owned {
            // A release that is too many may stand in it for a moment.
            return Ok(raw.value().min(self.maximum));
        }
        Ok(raw.free(self.me()?, self.object.peers(), self.interruptible.wait(Deadline::Forever))?)
    }

    /// How many permits the calling process has; 0 in signalling mode.
    pub fn taken(&self) -> Result<u32, LockFailure> {
        Ok(self.raw().taken_by(self.me()?.participant()))
    }

    /// The most permits there may be.
    pub fn maximum(&self) -> u32 {
        self.maximum
    }

    /// Whether permits belong to participants.
    pub fn is_owned(&self) -> bool {
        self.owned
    }

    /// That so many permits are free.
    pub fn available(&self, permits: u32) -> Waitable<'_> {
        Waitable::permits(&self.object, permits, self.participants, self.owned)
    }

    /// Whether a signal handler that ran ends a blocked call with [`LockFailure::Interrupted`].
    pub fn set_interruptible(&self, interruptible: bool) {
        self.interruptible.set(interruptible);
    }
}
