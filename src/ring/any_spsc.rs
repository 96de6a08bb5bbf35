//! A ring whose item type is known by size alone: what [`Spsc`](super::Spsc) and the C ABI are made of.

use super::end::{End, Run};
use super::errors::{RingPopError, RingPushError};
use crate::error::Error;
use crate::layout::ring::{Geometry, RingHeader};
use crate::primitive::AtomicU64;
use crate::raw::ring::{self, PopFailure, PushFailure, is_taken};
use crate::raw::spsc::{Head, Spsc, Tail};
use crate::segment::Segment;
use crate::segment::directory::{Item, Mode, Object};
use crate::segment::kinds::Kind;
use crate::sync::Waitable;
use crate::sys::nap::Deadline;

/// An open ring.
#[derive(Debug)]
pub struct AnySpsc {
    object: Object,
    geometry: Geometry,
}

fn raw<'a>(object: &'a Object, geometry: &'a Geometry) -> Spsc<'a> {
    // SAFETY: the object is mapped as long as it is open, and at least `bytes()` long (checked in `open`).
    unsafe { Spsc::at(object.base(), geometry) }
}

impl AnySpsc {
    /// Opens or creates the ring called `name`. Opening with capacity 0 takes whatever it has.
    pub fn open(segment: &Segment, name: &str, mode: Mode, item: Item, capacity: usize) -> Result<Self, Error> {
        let mut shape = item.shape(Kind::Spsc, capacity)?;
        let wanted = Geometry::new(capacity as u64, shape.size.into());
        if wanted.is_none() && (mode != Mode::Open || capacity != 0) {
            return Err(Error::InvalidArgument("a ring's capacity is at least 1, and its bytes fit the address space"));
        }
        shape.bytes = wanted.map_or(0, |geometry| geometry.bytes() as u64);
        let object = Object::open(segment, name, mode, &shape, |base| {
            if let Some(geometry) = wanted {
                let header = RingHeader::new(geometry.capacity(), shape.size.into());
                // SAFETY: `bytes` covers the header, the memory is aligned to 128, and nobody else sees it yet.
                unsafe { base.cast::<RingHeader>().write(header) };
            }
        })?;
        let geometry = Geometry::new(object.shape().capacity, object.shape().element_size.into())
            .filter(|geometry| geometry.bytes() as u64 <= object.len())
            .ok_or(Error::Corrupted("a ring does not fit its entry"))?;
        Ok(Self { object, geometry })
    }

    fn raw(&self) -> Spsc<'_> {
        raw(&self.object, &self.geometry)
    }

    /// Makes this process the producer.
    pub fn producer(&self) -> Result<AnyProducer, Error> {
        let (end, tail) = End::claim(&self.object, "producer", |me, peers| self.raw().produce(me, peers))?;
        Ok(AnyProducer { end, geometry: self.geometry, tail, run: Run::default() })
    }

    /// Makes this process the consumer.
    pub fn consumer(&self) -> Result<AnyConsumer, Error> {
        let (end, head) = End::claim(&self.object, "consumer", |me, peers| self.raw().consume(me, peers))?;
        Ok(AnyConsumer { end, geometry: self.geometry, head, run: Run::default() })
    }

    /// Whether there is a living producer.
    pub fn has_producer(&self) -> bool {
        is_taken(self.raw().producer(), self.object.peers())
    }

    /// Whether there is a living consumer.
    pub fn has_consumer(&self) -> bool {
        is_taken(self.raw().consumer(), self.object.peers())
    }

    /// Number of slots.
    pub fn capacity(&self) -> usize {
        self.geometry.capacity() as usize
    }

    /// Number of items; a snapshot.
    pub fn len(&self) -> usize {
        self.raw().len() as usize
    }

    /// Pushes fail from now on; pops drain what is there and then fail.
    pub fn shutdown(&self) {
        self.raw().shutdown();
    }

    /// Whether it is shut down.
    pub fn is_shut_down(&self) -> bool {
        self.raw().is_shut_down()
    }

    /// That there is an item.
    pub fn readable(&self) -> Waitable<'_> {
        Waitable::filled(&self.object, self.geometry)
    }

    /// That there is room.
    pub fn writable(&self) -> Waitable<'_> {
        Waitable::free(&self.object, self.geometry)
    }
}

/// The producer's end of a ring.
#[derive(Debug)]
pub struct AnyProducer {
    end: End,
    geometry: Geometry,
    tail: Tail,
    run: Run,
}

impl AnyProducer {
    #[inline(always)]
    fn raw(&self) -> Spsc<'_> {
        raw(&self.end.object, &self.geometry)
    }

    /// Appends an item of exactly the item size. Always inline: where the caller's item has a constant size, its copy has
    /// no loop.
    #[inline(always)]
    pub fn push(&mut self, item: &[u8], deadline: Deadline) -> Result<(), RingPushError> {
        if self.end.is_here() {
            match raw(&self.end.object, &self.geometry).try_push(&mut self.tail, item) {
                Ok(()) => {
                    self.run.more();
                    return Ok(());
                }
                Err(PushFailure::Full) if deadline == Deadline::Now => return Err(RingPushError::Full(())),
                Err(_) => {}
            }
        }
        self.push_slow(item, deadline)
    }

    #[cold]
    #[inline(never)]
    fn push_slow(&mut self, item: &[u8], deadline: Deadline) -> Result<(), RingPushError> {
        self.slowly(deadline, |ring, tail| ring.try_push(tail, item))
    }

    fn slowly<R>(
        &mut self,
        deadline: Deadline,
        mut push: impl FnMut(&Spsc<'_>, &mut Tail) -> Result<R, PushFailure>,
    ) -> Result<R, RingPushError> {
        self.end.check(self.raw().producer())?;
        let backoff = self.run.end();
        let ring = raw(&self.end.object, &self.geometry);
        let (wait, company) = (self.end.wait(deadline), self.end.company());
        let pushed = ring::push_slow(ring.header(), wait, backoff, company, || push(&ring, &mut self.tail));
        if pushed.is_err() {
            self.end.object.settle();
        }
        Ok(pushed?)
    }

    /// Appends as many of `count` items as there is room for, at least one; `write` writes each into the words of its
    /// slot.
    #[inline(always)]
    pub fn push_many(
        &mut self,
        count: usize,
        deadline: Deadline,
        mut write: impl FnMut(usize, &[AtomicU64]),
    ) -> Result<usize, RingPushError> {
        if count == 0 {
            return Ok(0);
        }
        let mut push = |ring: &Spsc<'_>, tail: &mut Tail| {
            ring.try_push_many(tail, count as u64, |nth, words| write(nth as usize, words))
        };
        if self.end.is_here()
            && let Ok(pushed) = push(&raw(&self.end.object, &self.geometry), &mut self.tail)
        {
            self.run.more();
            return Ok(pushed as usize);
        }
        self.slowly(deadline, push).map(|pushed| pushed as usize)
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

    /// Number of items; a snapshot.
    pub fn len(&self) -> usize {
        self.raw().len() as usize
    }

    /// As of the ring.
    pub fn shutdown(&self) {
        self.raw().shutdown();
    }

    /// As of the ring.
    pub fn is_shut_down(&self) -> bool {
        self.raw().is_shut_down()
    }

    /// Whether there is a living consumer.
    pub fn has_consumer(&self) -> bool {
        is_taken(self.raw().consumer(), self.end.object.peers())
    }

    /// Whether a signal handler that ran ends a blocked call.
    pub fn set_interruptible(&self, interruptible: bool) {
        self.end.set_interruptible(interruptible);
    }

    /// Whether a blocked call ends when there is no living consumer.
    pub fn set_tell_if_alone(&mut self, tell: bool) {
        self.end.set_tells(tell);
    }
}

impl Drop for AnyProducer {
    fn drop(&mut self) {
        if self.end.is_here() {
            self.raw().leave_producer(self.end.owner());
        }
    }
}

/// The consumer's end of a ring.
#[derive(Debug)]
pub struct AnyConsumer {
    end: End,
    geometry: Geometry,
    head: Head,
    run: Run,
}

impl AnyConsumer {
    #[inline(always)]
    fn raw(&self) -> Spsc<'_> {
        raw(&self.end.object, &self.geometry)
    }

    /// Takes the first item into `item`, of exactly the item size. Always inline, as a push.
    #[inline(always)]
    pub fn pop(&mut self, item: &mut [u8], deadline: Deadline) -> Result<(), RingPopError> {
        if self.end.is_here() {
            match raw(&self.end.object, &self.geometry).try_pop(&mut self.head, item) {
                Ok(()) => {
                    self.run.more();
                    return Ok(());
                }
                Err(PopFailure::Empty) if deadline == Deadline::Now => return Err(RingPopError::Empty),
                Err(_) => {}
            }
        }
        self.pop_slow(item, deadline)
    }

    #[cold]
    #[inline(never)]
    fn pop_slow(&mut self, item: &mut [u8], deadline: Deadline) -> Result<(), RingPopError> {
        self.slowly(deadline, |ring, head| ring.try_pop(head, item))
    }

    fn slowly<R>(
        &mut self,
        deadline: Deadline,
        mut pop: impl FnMut(&Spsc<'_>, &mut Head) -> Result<R, PopFailure>,
    ) -> Result<R, RingPopError> {
        self.end.check(self.raw().consumer())?;
        let backoff = self.run.end();
        let ring = raw(&self.end.object, &self.geometry);
        let (wait, company) = (self.end.wait(deadline), self.end.company());
        let popped = ring::pop_slow(ring.header(), wait, backoff, company, || pop(&ring, &mut self.head));
        if popped.is_err() {
            self.end.object.settle();
        }
        Ok(popped?)
    }

    /// Takes up to `count` items, at least one; `read` reads each from the words of its slot.
    #[inline(always)]
    pub fn pop_many(
        &mut self,
        count: usize,
        deadline: Deadline,
        mut read: impl FnMut(usize, &[AtomicU64]),
    ) -> Result<usize, RingPopError> {
        if count == 0 {
            return Ok(0);
        }
        let mut pop = |ring: &Spsc<'_>, head: &mut Head| {
            ring.try_pop_many(head, count as u64, |nth, words| read(nth as usize, words))
        };
        if self.end.is_here()
            && let Ok(popped) = pop(&raw(&self.end.object, &self.geometry), &mut self.head)
        {
            self.run.more();
            return Ok(popped as usize);
        }
        self.slowly(deadline, pop).map(|popped| popped as usize)
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

    /// Number of items; a snapshot.
    pub fn len(&self) -> usize {
        self.raw().len() as usize
    }

    /// As of the ring.
    pub fn shutdown(&self) {
        self.raw().shutdown();
    }

    /// As of the ring.
    pub fn is_shut_down(&self) -> bool {
        self.raw().is_shut_down()
    }

    /// Whether there is a living producer.
    pub fn has_producer(&self) -> bool {
        is_taken(self.raw().producer(), self.end.object.peers())
    }

    /// Whether a signal handler that ran ends a blocked call.
    pub fn set_interruptible(&self, interruptible: bool) {
        self.end.set_interruptible(interruptible);
    }

    /// Whether a blocked call ends when there is no living producer.
    pub fn set_tell_if_alone(&mut self, tell: bool) {
        self.end.set_tells(tell);
    }
}

impl Drop for AnyConsumer {
    fn drop(&mut self) {
        if self.end.is_here() {
            self.raw().leave_consumer(self.end.owner());
        }
    }
}
