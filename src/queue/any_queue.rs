//! A queue object whose item type is known by size alone: what [`Queue`](super::Queue) and the C ABI are made of.

use crate::error::Error;
use crate::layout::queue::{Geometry, QueueHeader};
use crate::primitive::{AtomicU64, Ordering, SPIN};
use crate::raw::backoff::Backoff;
use crate::raw::queue::{Missed, PopFailure, PushFailure, Queue};
use crate::segment::Segment;
use crate::segment::directory::{Item, Mode, Object};
use crate::segment::kinds::Kind;
use crate::sync::Waitable;
use crate::sys::nap::{Deadline, Interruptible, Wait};

/// An open queue.
#[derive(Debug)]
pub struct AnyQueue {
    object: Object,
    geometry: Geometry,
    interruptible: Interruptible,
    /// Where this handle last found the queue empty, and full: hints that tell a stream from single messages.
    empty_at: AtomicU64,
    full_at: AtomicU64,
}

/// A failure of the queue, or of joining the segment.
pub type Failure<F> = Result<F, Error>;

impl AnyQueue {
    /// Opens or creates the queue called `name`. Opening with capacity 0 takes whatever it has.
    pub fn open(segment: &Segment, name: &str, mode: Mode, item: Item, capacity: usize) -> Result<Self, Error> {
        let mut shape = item.shape(Kind::Queue, capacity)?;
        let wanted = Geometry::new(capacity as u64, shape.size.into());
        if wanted.is_none() && (mode != Mode::Open || capacity != 0) {
            return Err(Error::InvalidArgument(
                "a queue's capacity is at least 1, and its bytes fit the address space",
            ));
        }
        shape.bytes = wanted.map_or(0, |geometry| geometry.bytes() as u64);
        let object = Object::open(segment, name, mode, &shape, |base| {
            if let Some(geometry) = wanted {
                // SAFETY: `bytes` covers the header, the memory is aligned to 128, and nobody else sees it yet.
                unsafe { base.cast::<QueueHeader>().write(QueueHeader::new(geometry)) };
            }
        })?;
        let geometry = Geometry::new(object.shape().capacity, object.shape().element_size.into())
            .filter(|geometry| geometry.bytes() as u64 <= object.len())
            .ok_or(Error::Corrupted("a queue does not fit its entry"))?;
        let [empty_at, full_at] = [AtomicU64::new(0), AtomicU64::new(0)];
        Ok(Self { object, geometry, interruptible: Interruptible::new(), empty_at, full_at })
    }

    #[inline(always)]
    fn raw(&self) -> Result<Queue<'_>, Error> {
        // SAFETY: the object is mapped as long as `self`, and at least `bytes()` long (checked in `open`).
        unsafe { Queue::at(self.object.base(), self.geometry) }.ok_or(Error::Corrupted("a queue's sizes changed"))
    }

    /// Appends an item of exactly the item size. The outer error is one of joining the segment.
    ///
    /// Always inline: where the caller's item has a constant size, its copy has no loop.
    #[inline(always)]
    pub fn push(&self, item: &[u8], deadline: Deadline) -> Failure<Result<(), PushFailure>> {
        let missed = match (self.object.entered_last(), self.raw()) {
            (Some(thread), Ok(queue)) => match queue.push_once(thread.owner(), item) {
                Ok(()) => return Ok(Ok(())),
                Err(missed) => Some(missed),
            },
            _ => None,
        };
        self.push_slow(missed, item, deadline)
    }

    #[cold]
    #[inline(never)]
    fn push_slow(&self, missed: Option<Missed>, item: &[u8], deadline: Deadline) -> Failure<Result<(), PushFailure>> {
        let (owner, queue, peers) = (self.object.enter()?.owner(), self.raw()?, self.object.peers());
        let result = match missed {
            Some(missed) => {
                queue.push_from(missed, owner, item, peers, self.wait(deadline), backoff(&self.full_at, missed))
            }
            None => queue.push(owner, item, peers, self.wait(deadline)),
        };
        if result.is_err() {
            self.object.settle();
        }
        Ok(result)
    }

    /// Takes the first item into `item`, of exactly the item size; if there is none its bytes are arbitrary. The outer
    /// error is one of joining the segment. Always inline, as [`push`](Self::push).
    #[inline(always)]
    pub fn pop(&self, item: &mut [u8], deadline: Deadline) -> Failure<Result<(), PopFailure>> {
        let missed = match (self.object.entered_last(), self.raw()) {
            (Some(_), Ok(queue)) => match queue.pop_once(item) {
                Ok(()) => return Ok(Ok(())),
                Err(missed) => Some(missed),
            },
            _ => None,
        };
        self.pop_slow(missed, item, deadline)
    }

    #[cold]
    #[inline(never)]
    fn pop_slow(&self, missed: Option<Missed>, item: &mut [u8], deadline: Deadline) -> Failure<Result<(), PopFailure>> {
        // Entering makes a forked child a participant before it waits for anybody.
        self.object.enter()?;
        let (queue, peers) = (self.raw()?, self.object.peers());
        let result = match missed {
            Some(missed) => queue.pop_from(missed, item, peers, self.wait(deadline), backoff(&self.empty_at, missed)),
            None => queue.pop(item, peers, self.wait(deadline)),
        };
        if result.is_err() {
            self.object.settle();
        }
        Ok(result)
    }

    #[inline]
    fn wait(&self, deadline: Deadline) -> Wait {
        self.interruptible.wait(deadline)
    }

    /// Bytes of an item.
    #[cfg(feature = "capi")]
    pub fn item_size(&self) -> usize {
        self.geometry.item_size()
    }

    /// Number of slots.
    pub fn capacity(&self) -> usize {
        self.geometry.capacity() as usize
    }

    /// Number of messages; a snapshot.
    pub fn len(&self) -> usize {
        self.raw().map_or(0, |queue| queue.len() as usize)
    }

    /// Pushes fail from now on; pops drain what is there and then fail.
    pub fn shutdown(&self) -> Result<(), Error> {
        self.raw()?.shutdown();
        Ok(())
    }

    /// Whether it is shut down.
    pub fn is_shut_down(&self) -> bool {
        self.raw().is_ok_and(|queue| queue.is_shut_down())
    }

    /// That there is an item.
    pub fn readable(&self) -> Waitable<'_> {
        Waitable::message(&self.object, self.geometry)
    }

    /// That there is room.
    pub fn writable(&self) -> Waitable<'_> {
        Waitable::room(&self.object, self.geometry)
    }

    /// Whether a signal handler that ran ends a blocked call.
    pub fn set_interruptible(&self, interruptible: bool) {
        self.interruptible.set(interruptible);
    }
}

/// How to wait after a miss, given where this handle missed before.
fn backoff(before: &AtomicU64, missed: Missed) -> Backoff {
    if !SPIN {
        return Backoff::new();
    }
    let here = missed.position();
    Backoff::after(here.wrapping_sub(before.swap(here, Ordering::Relaxed)), 1)
}
