//! The condition variable as a named object, for whatever mutex it is used with.

use super::any_mutex::LockFailure;
use crate::error::Error;
use crate::layout::condvar::{CondvarHeader, MAX_PLACES, bytes};
use crate::layout::mutex::LockWord;
use crate::raw::condvar::{self, Ended, Refused};
use crate::raw::mutex::{self, Acquired};
use crate::segment::Segment;
use crate::segment::directory::{Mode, Object, Shape};
use crate::segment::kinds::Kind;
use crate::segment::thread::ThreadRecord;
use crate::sys::nap::{Deadline, Interruptible};

impl From<Refused> for LockFailure {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Full => Self::TooManyWaiters,
            Refused::OtherMutex => Self::OtherMutex,
            Refused::NotRecoverable => Self::NotRecoverable,
            Refused::LockCorrupted | Refused::Corrupted => Self::Corrupted,
        }
    }
}

/// An open condition variable.
#[derive(Debug)]
pub struct AnyCondvar {
    object: Object,
    interruptible: Interruptible,
}

impl AnyCondvar {
    /// Opens the condition variable called `name`, or creates it with `places` for waiters; `None` takes what is there.
    pub fn open(segment: &Segment, name: &str, mode: Mode, places: Option<usize>) -> Result<Self, Error> {
        let places = places.map(|places| u32::try_from(places).unwrap_or(u32::MAX));
        if places.is_some_and(|places| !(1..=MAX_PLACES).contains(&places)) {
            return Err(Error::InvalidArgument("a condition variable has room for 1 to 65,535 waiters"));
        }
        let places = places.unwrap_or(0);
        let shape = Shape {
            kind: Kind::Condvar,
            element: 0,
            size: 0,
            align: 1,
            tag: [0; 32],
            capacity: places.into(),
            bytes: bytes(places),
        };
        let object = Object::open(segment, name, mode, &shape, |base| {
            // SAFETY: the object is at least a header long and aligned to 128, and nobody else sees it yet. Zeroed places
            // are free.
            unsafe { base.cast::<CondvarHeader>().write(CondvarHeader::new()) };
        })?;
        let this = Self { object, interruptible: Interruptible::new() };
        this.fits().ok_or(Error::Corrupted("a condition variable is shorter than its places"))?;
        Ok(this)
    }

    #[inline]
    fn fits(&self) -> Option<condvar::Condvar<'_>> {
        let (object, places) = (&self.object, self.object.shape().capacity);
        // SAFETY: the object is mapped as long as it lives, aligned to 128, and accessed atomically only.
        unsafe { condvar::Condvar::at(object.base(), object.len(), places) }
    }

    #[inline]
    fn raw(&self) -> condvar::Condvar<'_> {
        match self.fits() {
            Some(raw) => raw,
            None => unreachable!("checked at open, and private since"),
        }
    }

    /// The mutex `word` of `object`, which `thread` holds.
    fn mutex<'a>(
        &self,
        object: &Object,
        word: &'a LockWord,
        thread: &ThreadRecord,
    ) -> Result<condvar::Mutex<'a>, LockFailure> {
        if !self.object.is_beside(object) {
            return Err(LockFailure::OtherMutex);
        }
        if !mutex::is_owner(word, thread.owner()) {
            return Err(LockFailure::NotOwner);
        }
        // A mutex starts with its word.
        Ok(condvar::Mutex { lock: word, offset: object.offset() })
    }

    /// Waits for a thread that holds the mutex `word` of `object`; `prepare` runs when it is sure that the mutex will be
    /// given away. It is held again then, however the wait ended; after [`LockFailure::NotRecoverable`] and
    /// [`LockFailure::Corrupted`] it is not, after any other failure it was never given away.
    pub fn wait(
        &self,
        object: &Object,
        word: &LockWord,
        thread: &ThreadRecord,
        deadline: Deadline,
        prepare: impl FnOnce(),
    ) -> Result<(Ended, Acquired), LockFailure> {
        let mutex = self.mutex(object, word, thread)?;
        let (me, wait) = (thread.owner(), self.interruptible.wait(deadline));
        // It stands on the held list since it was locked, and stays there.
        let result = self.raw().wait(mutex, me, self.object.peers(), wait, || {
            prepare();
            // The result is success: the thread holds it.
            let _ = mutex::hand_over(word, me);
        });
        self.object.settle();
        Ok(result?)
    }

    /// Notifies at most `count` waiters, for a thread that holds the mutex; how many.
    pub fn notify(
        &self,
        object: &Object,
        word: &LockWord,
        thread: &ThreadRecord,
        count: u32,
    ) -> Result<u32, LockFailure> {
        let mutex = self.mutex(object, word, thread)?;
        let result = self.raw().notify(mutex, count, self.object.peers());
        self.object.settle();
        Ok(result?)
    }

    /// How many wait and are not notified; a hint.
    pub fn waiting(&self) -> u32 {
        self.raw().waiting()
    }

    /// How many can wait at once.
    pub fn places(&self) -> usize {
        self.object.shape().capacity as usize
    }

    /// Whether a signal handler that ran ends a wait.
    pub fn set_interruptible(&self, interruptible: bool) {
        self.interruptible.set(interruptible);
    }
}
