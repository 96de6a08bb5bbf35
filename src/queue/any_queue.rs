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
            Some(missed) => queue.push_from(
                missed,
                owner,
                item,
                peers,
                self.wait(deadline),
                backoff(&self.full_at, missed.position()),
            ),
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
            Some(missed) => {
                queue.pop_from(missed, item, peers, self.wait(deadline), backoff(&self.empty_at, missed.position()))
            }
            None => queue.pop(item, peers, self.wait(deadline)),
        };
        if result.is_err() {
            self.object.settle();
        }
        Ok(result)
    }

    /// Appends as many of `count` items as there is room for, at least one; `write` writes each into the words of its slot.
    #[inline(always)]
    pub fn push_many(
        &self,
        count: usize,
        deadline: Deadline,
        write: impl FnMut(usize, &[AtomicU64]),
    ) -> Failure<Result<usize, PushFailure>> {
        if count == 0 {
            return Ok(Ok(0));
        }
        let (owner, queue, peers) = (self.object.enter()?.owner(), self.raw()?, self.object.peers());
        let streaming = deadline != Deadline::Now && let_others_go_on(&self.full_at, queue.tail());
        let backoff = |here| if streaming { Backoff::in_stream() } else { backoff(&self.full_at, here) };
        let result = queue.push_many(owner, count, peers, self.wait(deadline), backoff, write);
        match result {
            Ok(pushed) => note_cut(&self.full_at, pushed, count, || queue.tail()),
            Err(_) => self.object.settle(),
        }
        Ok(result)
    }

    /// Takes as many of `count` items as there are, at least one: `accept` is given each, which lies in `item`, of exactly
    /// the item size, meanwhile.
    #[inline(always)]
    pub fn pop_many(
        &self,
        count: usize,
        item: &mut [u8],
        deadline: Deadline,
        accept: impl FnMut(usize, &[u8]),
    ) -> Failure<Result<usize, PopFailure>> {
        if count == 0 {
            return Ok(Ok(0));
        }
        self.object.enter()?;
        let (queue, peers) = (self.raw()?, self.object.peers());
        let streaming = deadline != Deadline::Now && let_others_go_on(&self.empty_at, queue.head());
        let backoff = |here| if streaming { Backoff::in_stream() } else { backoff(&self.empty_at, here) };
        let result = queue.pop_many(count, item, peers, self.wait(deadline), backoff, accept);
        match result {
            Ok(popped) => note_cut(&self.empty_at, popped, count, || queue.head()),
            Err(_) => self.object.settle(),
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
fn backoff(before: &AtomicU64, here: u64) -> Backoff {
    if !SPIN {
        return Backoff::new();
    }
    Backoff::after(here.wrapping_sub(before.swap(here, Ordering::Relaxed)), 1)
}

/// Notes where a batch ended because the other side was not further: as a miss, but for a single item.
#[inline]
fn note_cut(before: &AtomicU64, done: usize, count: usize, here: impl FnOnce() -> u64) {
    if SPIN && done > 1 && done < count {
        before.store(here(), Ordering::Relaxed);
    }
}

/// Before a batch that begins where this handle's last one ended for want of more: a pause, in which the other side gets
/// ahead. Who follows a stream item by item takes a cache line away for each. Whether it paused.
#[inline]
fn let_others_go_on(before: &AtomicU64, here: u64) -> bool {
    let caught_up = SPIN && before.load(Ordering::Relaxed) == here;
    if caught_up {
        Backoff::in_stream().pause();
    }
    caught_up
}
