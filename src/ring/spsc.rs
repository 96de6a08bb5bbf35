//! The typed ring.

use std::fmt;
use std::marker::PhantomData;
use std::time::{Duration, Instant};

use bytemuck::Zeroable;

use super::any_spsc::{AnyConsumer, AnyProducer, AnySpsc};
use super::errors::{RingPopError, RingPushError};
use crate::error::Error;
use crate::plain::Plain;
use crate::raw::words;
use crate::segment::Segment;
use crate::segment::directory::{Item, Mode};
use crate::sync::Waitable;
use crate::sys::nap::Deadline;

/// A bounded ring of fixed-size items between one producer and one consumer, in two processes or one: the fastest way
/// from one to another.
///
/// This handle opens the ring; [`producer`](Self::producer) and [`consumer`](Self::consumer) make the calling process the
/// one at an end. Its capacity is exact, for every number from 1 on. Items arrive in order, whole, and once.
///
/// An end belongs to a process until its handle is dropped, or the process dies. Then the next one to ask has it, and goes
/// on where the last one stopped. A second one beside a living one is refused.
///
/// **Progress**: pushing and popping are wait-free, and neither makes a system call unless it has to sleep or somebody
/// sleeps.
///
/// **Crash behaviour**: delivery is at most once. A push that has returned is never lost; a producer killed in the middle
/// has pushed its item whole or not at all. A consumer killed in the middle has either taken the item, which dies with it,
/// or not, and then its successor gets it. Nobody is stuck: a ring that is full or empty waits for the successor.
///
/// ```
/// use ringfence::{Segment, SegmentOptions, Spsc};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let segment = Segment::anonymous(&SegmentOptions::new())?;
/// let samples = Spsc::<f64>::open_or_create(&segment, "samples", 1024)?;
/// let mut producer = samples.producer()?;
/// let mut consumer = samples.consumer()?; // in another process, as a rule
/// producer.push(0.5)?;
/// producer.push(0.25)?;
/// assert_eq!(consumer.pop()?, 0.5);
/// samples.shutdown();
/// assert_eq!(consumer.pop()?, 0.25);
/// assert!(consumer.pop().is_err());
/// # Ok(())
/// # }
/// ```
#[must_use]
pub struct Spsc<T: Plain> {
    ring: AnySpsc,
    item: PhantomData<fn(T) -> T>,
}

impl<T: Plain> Spsc<T> {
    fn with(segment: &Segment, name: &str, mode: Mode, capacity: usize) -> Result<Self, Error> {
        Ok(Self { ring: AnySpsc::open(segment, name, mode, Item::of::<T>()?, capacity)?, item: PhantomData })
    }

    /// Creates a ring of `capacity` items, of a name that must be free in the segment.
    ///
    /// # Errors
    /// [`Error::Name`], [`Error::Exists`], [`Error::InvalidArgument`] for a capacity of 0 or beyond the address space,
    /// [`Error::NoSpace`], [`Error::DirectoryFull`], [`Error::Busy`], [`Error::Corrupted`].
    pub fn create(segment: &Segment, name: &str, capacity: usize) -> Result<Self, Error> {
        Self::with(segment, name, Mode::Create, capacity)
    }

    /// Opens a ring, whatever its capacity.
    ///
    /// # Errors
    /// [`Error::Name`], [`Error::Missing`], [`Error::WrongKind`], [`Error::WrongShape`] for items of another size,
    /// alignment or tag, [`Error::Busy`], [`Error::Corrupted`].
    pub fn open(segment: &Segment, name: &str) -> Result<Self, Error> {
        Self::with(segment, name, Mode::Open, 0)
    }

    /// Opens a ring of exactly this capacity, or creates it.
    ///
    /// # Errors
    /// As [`open`](Self::open) and [`create`](Self::create).
    pub fn open_or_create(segment: &Segment, name: &str, capacity: usize) -> Result<Self, Error> {
        Self::with(segment, name, Mode::OpenOrCreate, capacity)
    }

    /// Makes this process the producer, which goes on where the last one stopped.
    ///
    /// ```
    /// use ringfence::{Error, Segment, SegmentOptions, Spsc};
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let segment = Segment::anonymous(&SegmentOptions::new())?;
    /// let ring = Spsc::<u32>::create(&segment, "ring", 8)?;
    /// let first = ring.producer()?;
    /// assert!(matches!(ring.producer(), Err(Error::RoleTaken { role: "producer", .. })));
    /// drop(first);
    /// let mut second = ring.producer()?;
    /// second.push(7)?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::RoleTaken`] if there is a living one, in this process or another; [`Error::Corrupted`],
    /// [`Error::Stale`] or what keeps a forked child from joining.
    pub fn producer(&self) -> Result<Producer<T>, Error> {
        Ok(Producer { end: self.ring.producer()?, item: PhantomData })
    }

    /// Makes this process the consumer, which goes on where the last one stopped.
    ///
    /// # Errors
    /// As [`producer`](Self::producer).
    pub fn consumer(&self) -> Result<Consumer<T>, Error> {
        Ok(Consumer { end: self.ring.consumer()?, item: PhantomData })
    }

    /// Whether there is a living producer; a hint. Costs a system call if there is one.
    #[must_use]
    pub fn has_producer(&self) -> bool {
        self.ring.has_producer()
    }

    /// Whether there is a living consumer; a hint. Costs a system call if there is one.
    #[must_use]
    pub fn has_consumer(&self) -> bool {
        self.ring.has_consumer()
    }

    /// How many items it holds; a snapshot between 0 and the capacity.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ring.len()
    }

    /// Whether it holds none; a snapshot.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many items it can hold.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.ring.capacity()
    }

    /// Shuts the ring down for everybody: pushes fail with [`RingPushError::Closed`] from now on, pops drain what is there
    /// and then fail with [`RingPopError::Closed`]. Every push that has succeeded is delivered before that, and nothing
    /// comes after it. Doing it twice is fine. Dropping a handle is something else: it frees an end for the next one.
    pub fn shutdown(&self) {
        self.ring.shutdown();
    }

    /// Whether somebody has shut it down.
    #[must_use]
    pub fn is_shut_down(&self) -> bool {
        self.ring.is_shut_down()
    }

    /// For [`WaitAny`](crate::WaitAny): that a [`try_pop`](Consumer::try_pop) would not say [`RingPopError::Empty`].
    pub fn readable(&self) -> Waitable<'_> {
        self.ring.readable()
    }

    /// For [`WaitAny`](crate::WaitAny): that a [`try_push`](Producer::try_push) would not say [`RingPushError::Full`].
    pub fn writable(&self) -> Waitable<'_> {
        self.ring.writable()
    }
}

impl<T: Plain> fmt::Debug for Spsc<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Spsc").field("len", &self.len()).field("capacity", &self.capacity()).finish_non_exhaustive()
    }
}

/// The producer's end of a [`Spsc`]. Of any thread, but of one at a time; dropped, it frees the end.
///
/// In a forked child it is the parent's: a push says [`RingPushError::NotOwner`], and dropping it changes nothing.
#[must_use = "dropped, it frees the end"]
pub struct Producer<T: Plain> {
    end: AnyProducer,
    /// One thread at a time.
    item: PhantomData<core::cell::Cell<T>>,
}

impl<T: Plain> Producer<T> {
    #[inline(always)]
    fn push_until(&mut self, item: T, deadline: Deadline) -> Result<(), RingPushError<T>> {
        match self.end.push(bytemuck::bytes_of(&item.to_bits()), deadline) {
            Ok(()) => Ok(()),
            Err(error) => Err(error.with(item)),
        }
    }

    /// Appends an item, waiting for room for as long as it takes; for a consumer, too, if there is none.
    ///
    /// # Errors
    /// [`RingPushError::Closed`], [`RingPushError::Interrupted`] if [asked for](Self::set_interruptible),
    /// [`RingPushError::NoConsumer`] if [asked for](Self::set_tell_if_alone), [`RingPushError::NotOwner`],
    /// [`RingPushError::Corrupted`], [`RingPushError::Segment`]; each with the item.
    #[inline]
    pub fn push(&mut self, item: T) -> Result<(), RingPushError<T>> {
        self.push_until(item, Deadline::Forever)
    }

    /// Appends an item if there is room now.
    ///
    /// # Errors
    /// [`RingPushError::Full`], and those of [`push`](Self::push) but `NoConsumer`.
    #[inline]
    pub fn try_push(&mut self, item: T) -> Result<(), RingPushError<T>> {
        self.push_until(item, Deadline::Now)
    }

    /// Appends an item, waiting for room for at most `timeout`; zero is a [`try_push`](Self::try_push).
    ///
    /// # Errors
    /// [`RingPushError::TimedOut`], and those of [`push`](Self::push).
    pub fn push_timeout(&mut self, item: T, timeout: Duration) -> Result<(), RingPushError<T>> {
        self.push_until(item, Deadline::after(timeout))
    }

    /// Appends an item, waiting for room until `deadline` of the monotonic clock at most.
    ///
    /// # Errors
    /// [`RingPushError::TimedOut`], and those of [`push`](Self::push).
    pub fn push_deadline(&mut self, item: T, deadline: Instant) -> Result<(), RingPushError<T>> {
        self.push_until(item, Deadline::At(deadline))
    }

    #[inline(always)]
    fn push_slice_until(&mut self, items: &[T], deadline: Deadline) -> Result<usize, RingPushError> {
        self.end.push_many(items.len(), deadline, |nth, data| {
            words::store(data, bytemuck::bytes_of(&items[nth].to_bits()));
        })
    }

    /// Appends as many of these items as there is room for, from the first on, waiting for room for one; returns how many,
    /// 0 only if there are none. Killed in the middle, the first of them are there, each whole.
    ///
    /// ```
    /// # use ringfence::{Segment, SegmentOptions, Spsc};
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let segment = Segment::anonymous(&SegmentOptions::new())?;
    /// let ring = Spsc::<u8>::create(&segment, "ring", 4)?;
    /// let (mut producer, mut consumer) = (ring.producer()?, ring.consumer()?);
    /// assert_eq!(producer.push_slice(&[1, 2, 3, 4, 5])?, 4);
    /// let mut found = [0; 8];
    /// assert_eq!(consumer.pop_slice(&mut found)?, 4);
    /// assert_eq!(found[..4], [1, 2, 3, 4]);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Those of [`push`](Self::push), without items: none was pushed.
    #[inline]
    pub fn push_slice(&mut self, items: &[T]) -> Result<usize, RingPushError> {
        self.push_slice_until(items, Deadline::Forever)
    }

    /// As [`push_slice`](Self::push_slice), but does not wait.
    ///
    /// # Errors
    /// [`RingPushError::Full`] if there is no room for any, and those of [`push_slice`](Self::push_slice).
    #[inline]
    pub fn try_push_slice(&mut self, items: &[T]) -> Result<usize, RingPushError> {
        self.push_slice_until(items, Deadline::Now)
    }

    /// As [`push_slice`](Self::push_slice), waiting for at most `timeout`.
    ///
    /// # Errors
    /// [`RingPushError::TimedOut`], and those of [`push_slice`](Self::push_slice).
    pub fn push_slice_timeout(&mut self, items: &[T], timeout: Duration) -> Result<usize, RingPushError> {
        self.push_slice_until(items, Deadline::after(timeout))
    }

    /// As [`push_slice`](Self::push_slice), waiting until `deadline` at most.
    ///
    /// # Errors
    /// [`RingPushError::TimedOut`], and those of [`push_slice`](Self::push_slice).
    pub fn push_slice_deadline(&mut self, items: &[T], deadline: Instant) -> Result<usize, RingPushError> {
        self.push_slice_until(items, Deadline::At(deadline))
    }

    /// Whether there is a living consumer; a hint. Costs a system call if there is one.
    #[must_use]
    pub fn has_consumer(&self) -> bool {
        self.end.has_consumer()
    }

    /// Whether a push that waits for room ends with [`RingPushError::NoConsumer`] when there is no living consumer. Off at
    /// first: one may come.
    pub fn set_tell_if_alone(&mut self, tell: bool) {
        self.end.set_tell_if_alone(tell);
    }

    /// How many items the ring holds; a snapshot between 0 and the capacity.
    #[must_use]
    pub fn len(&self) -> usize {
        self.end.len()
    }

    /// Whether it holds none; a snapshot.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many items it can hold.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.end.capacity()
    }

    /// Shuts the ring down for everybody: see [`Spsc::shutdown`].
    pub fn shutdown(&self) {
        self.end.shutdown();
    }

    /// Whether somebody has shut it down.
    #[must_use]
    pub fn is_shut_down(&self) -> bool {
        self.end.is_shut_down()
    }

    /// Whether a signal handler that ran ends a blocked call of this handle. Off at first: the call goes on, with its
    /// deadline.
    pub fn set_interruptible(&self, interruptible: bool) {
        self.end.set_interruptible(interruptible);
    }
}

impl<T: Plain> fmt::Debug for Producer<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Producer").field("len", &self.len()).field("capacity", &self.capacity()).finish_non_exhaustive()
    }
}

/// The consumer's end of a [`Spsc`]. Of any thread, but of one at a time; dropped, it frees the end.
///
/// In a forked child it is the parent's: a pop says [`RingPopError::NotOwner`], and dropping it changes nothing.
#[must_use = "dropped, it frees the end"]
pub struct Consumer<T: Plain> {
    end: AnyConsumer,
    /// One thread at a time.
    item: PhantomData<core::cell::Cell<T>>,
}

impl<T: Plain> Consumer<T> {
    #[inline(always)]
    fn pop_until(&mut self, deadline: Deadline) -> Result<T, RingPopError> {
        let mut bits = T::Bits::zeroed();
        self.end.pop(bytemuck::bytes_of_mut(&mut bits), deadline)?;
        Ok(T::from_bits(bits))
    }

    /// Takes the first item, waiting for one for as long as it takes; for a producer, too, if there is none.
    ///
    /// # Errors
    /// [`RingPopError::Closed`], [`RingPopError::Interrupted`] if [asked for](Self::set_interruptible),
    /// [`RingPopError::NoProducer`] if [asked for](Self::set_tell_if_alone), [`RingPopError::NotOwner`],
    /// [`RingPopError::Corrupted`], [`RingPopError::Segment`].
    #[inline]
    pub fn pop(&mut self) -> Result<T, RingPopError> {
        self.pop_until(Deadline::Forever)
    }

    /// Takes the first item if there is one now.
    ///
    /// # Errors
    /// [`RingPopError::Empty`], and those of [`pop`](Self::pop) but `NoProducer`.
    #[inline]
    pub fn try_pop(&mut self) -> Result<T, RingPopError> {
        self.pop_until(Deadline::Now)
    }

    /// Takes the first item, waiting for one for at most `timeout`; zero is a [`try_pop`](Self::try_pop).
    ///
    /// # Errors
    /// [`RingPopError::TimedOut`], and those of [`pop`](Self::pop).
    pub fn pop_timeout(&mut self, timeout: Duration) -> Result<T, RingPopError> {
        self.pop_until(Deadline::after(timeout))
    }

    /// Takes the first item, waiting for one until `deadline` of the monotonic clock at most.
    ///
    /// # Errors
    /// [`RingPopError::TimedOut`], and those of [`pop`](Self::pop).
    pub fn pop_deadline(&mut self, deadline: Instant) -> Result<T, RingPopError> {
        self.pop_until(Deadline::At(deadline))
    }

    #[inline(always)]
    fn pop_slice_until(&mut self, items: &mut [T], deadline: Deadline) -> Result<usize, RingPopError> {
        self.end.pop_many(items.len(), deadline, |nth, data| {
            let mut bits = T::Bits::zeroed();
            words::load(bytemuck::bytes_of_mut(&mut bits), data);
            items[nth] = T::from_bits(bits);
        })
    }

    /// Takes as many items as there are and `items` has places, waiting for one; returns how many, 0 only if it has none.
    /// They are taken by one store: killed in the middle, none is.
    ///
    /// # Errors
    /// Those of [`pop`](Self::pop).
    #[inline]
    pub fn pop_slice(&mut self, items: &mut [T]) -> Result<usize, RingPopError> {
        self.pop_slice_until(items, Deadline::Forever)
    }

    /// As [`pop_slice`](Self::pop_slice), but does not wait.
    ///
    /// # Errors
    /// [`RingPopError::Empty`], and those of [`pop_slice`](Self::pop_slice).
    #[inline]
    pub fn try_pop_slice(&mut self, items: &mut [T]) -> Result<usize, RingPopError> {
        self.pop_slice_until(items, Deadline::Now)
    }

    /// As [`pop_slice`](Self::pop_slice), waiting for at most `timeout`.
    ///
    /// # Errors
    /// [`RingPopError::TimedOut`], and those of [`pop_slice`](Self::pop_slice).
    pub fn pop_slice_timeout(&mut self, items: &mut [T], timeout: Duration) -> Result<usize, RingPopError> {
        self.pop_slice_until(items, Deadline::after(timeout))
    }

    /// As [`pop_slice`](Self::pop_slice), waiting until `deadline` at most.
    ///
    /// # Errors
    /// [`RingPopError::TimedOut`], and those of [`pop_slice`](Self::pop_slice).
    pub fn pop_slice_deadline(&mut self, items: &mut [T], deadline: Instant) -> Result<usize, RingPopError> {
        self.pop_slice_until(items, Deadline::At(deadline))
    }

    /// Whether there is a living producer; a hint. Costs a system call if there is one.
    #[must_use]
    pub fn has_producer(&self) -> bool {
        self.end.has_producer()
    }

    /// Whether a pop that waits for an item ends with [`RingPopError::NoProducer`] when there is no living producer. Off at
    /// first: one may come. What it has pushed is taken first; a death shows within a tenth of a second.
    pub fn set_tell_if_alone(&mut self, tell: bool) {
        self.end.set_tell_if_alone(tell);
    }

    /// How many items the ring holds; a snapshot between 0 and the capacity.
    #[must_use]
    pub fn len(&self) -> usize {
        self.end.len()
    }

    /// Whether it holds none; a snapshot.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many items it can hold.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.end.capacity()
    }

    /// Shuts the ring down for everybody: see [`Spsc::shutdown`].
    pub fn shutdown(&self) {
        self.end.shutdown();
    }

    /// Whether somebody has shut it down.
    #[must_use]
    pub fn is_shut_down(&self) -> bool {
        self.end.is_shut_down()
    }

    /// Whether a signal handler that ran ends a blocked call of this handle. Off at first: the call goes on, with its
    /// deadline.
    pub fn set_interruptible(&self, interruptible: bool) {
        self.end.set_interruptible(interruptible);
    }
}

impl<T: Plain> fmt::Debug for Consumer<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Consumer").field("len", &self.len()).field("capacity", &self.capacity()).finish_non_exhaustive()
    }
}
