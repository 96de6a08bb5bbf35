//! The typed queue.

use std::fmt;
use std::marker::PhantomData;
use std::time::{Duration, Instant};

use bytemuck::Zeroable;

use super::any_queue::AnyQueue;
use super::errors::{PopError, PushError};
use crate::error::Error;
use crate::plain::Plain;
use crate::raw::words;
use crate::segment::Segment;
use crate::segment::directory::{Item, Mode};
use crate::sync::Waitable;
use crate::sys::nap::Deadline;

/// A bounded queue of fixed-size items: many producers, many consumers, first in first out.
///
/// Its capacity is exact, for every number from 1 on. Items of one producer arrive in order; an item is whole or absent,
/// and no two consumers get the same one.
///
/// **Progress**: pushing is lock-free. A pop waits, for the time of a copy, for a producer that has claimed the first
/// position and not written it yet; a living but stopped one holds it up. Neither makes a system call unless it has to
/// sleep or somebody sleeps.
///
/// **Crash behaviour**: delivery is at most once. A push that has returned is never lost. A producer killed in the
/// middle leaves an empty position that the next to come passes over. A consumer killed in the middle has either taken
/// the item, which dies with it, or not.
///
/// Several items go in and out by one call: [`push_slice`](Self::push_slice), [`pop_slice`](Self::pop_slice). Nothing is
/// written or read in place: items are copied, so that nobody waits for a stranger's code, and a torn copy is thrown away.
/// For large messages, a [`Channel`](crate::Channel) or a [`ByteRing`](crate::ByteRing) has such calls.
///
/// ```
/// use ringfence::{Queue, Segment, SegmentOptions};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let segment = Segment::anonymous(&SegmentOptions::new())?;
/// let tasks = Queue::<u32>::open_or_create(&segment, "tasks", 64)?;
/// tasks.push(7)?;
/// tasks.push(8)?;
/// assert_eq!(tasks.len(), 2);
/// assert_eq!(tasks.pop()?, 7);
/// tasks.shutdown()?;
/// assert_eq!(tasks.pop()?, 8);
/// assert!(tasks.pop().is_err());
/// # Ok(())
/// # }
/// ```
#[must_use]
pub struct Queue<T: Plain> {
    queue: AnyQueue,
    item: PhantomData<fn(T) -> T>,
}

impl<T: Plain> Queue<T> {
    fn with(segment: &Segment, name: &str, mode: Mode, capacity: usize) -> Result<Self, Error> {
        Ok(Self { queue: AnyQueue::open(segment, name, mode, Item::of::<T>()?, capacity)?, item: PhantomData })
    }

    /// Creates a queue of `capacity` items, of a name that must be free in the segment.
    ///
    /// # Errors
    /// [`Error::Name`], [`Error::Exists`], [`Error::InvalidArgument`] for a capacity of 0 or beyond the address space,
    /// [`Error::NoSpace`], [`Error::DirectoryFull`], [`Error::Busy`], [`Error::Corrupted`].
    pub fn create(segment: &Segment, name: &str, capacity: usize) -> Result<Self, Error> {
        Self::with(segment, name, Mode::Create, capacity)
    }

    /// Opens a queue, whatever its capacity.
    ///
    /// # Errors
    /// [`Error::Name`], [`Error::Missing`], [`Error::WrongKind`], [`Error::WrongShape`] for items of another size,
    /// alignment or tag, [`Error::Busy`], [`Error::Corrupted`].
    pub fn open(segment: &Segment, name: &str) -> Result<Self, Error> {
        Self::with(segment, name, Mode::Open, 0)
    }

    /// Opens a queue of exactly this capacity, or creates it.
    ///
    /// # Errors
    /// As [`open`](Self::open) and [`create`](Self::create).
    pub fn open_or_create(segment: &Segment, name: &str, capacity: usize) -> Result<Self, Error> {
        Self::with(segment, name, Mode::OpenOrCreate, capacity)
    }

    #[inline]
    fn push_until(&self, item: T, deadline: Deadline) -> Result<(), PushError<T>> {
        match self.queue.push(bytemuck::bytes_of(&item.to_bits()), deadline) {
            Ok(Ok(())) => Ok(()),
            Ok(Err(failure)) => Err(PushError::new(item, Ok(failure))),
            Err(error) => Err(PushError::new(item, Err(error))),
        }
    }

    #[inline]
    fn pop_until(&self, deadline: Deadline) -> Result<T, PopError> {
        let mut bits = T::Bits::zeroed();
        self.queue.pop(bytemuck::bytes_of_mut(&mut bits), deadline).map_err(PopError::Segment)??;
        Ok(T::from_bits(bits))
    }

    /// Appends an item, waiting for room for as long as it takes.
    ///
    /// # Errors
    /// [`PushError::Closed`], [`PushError::Interrupted`] if [asked for](Self::set_interruptible),
    /// [`PushError::Corrupted`], [`PushError::Segment`]; each with the item.
    #[inline]
    pub fn push(&self, item: T) -> Result<(), PushError<T>> {
        self.push_until(item, Deadline::Forever)
    }

    /// Appends an item if there is room now.
    ///
    /// # Errors
    /// [`PushError::Full`], and those of [`push`](Self::push).
    #[inline]
    pub fn try_push(&self, item: T) -> Result<(), PushError<T>> {
        self.push_until(item, Deadline::Now)
    }

    /// Appends an item, waiting for room for at most `timeout`; zero is a [`try_push`](Self::try_push).
    ///
    /// # Errors
    /// [`PushError::TimedOut`], and those of [`push`](Self::push).
    pub fn push_timeout(&self, item: T, timeout: Duration) -> Result<(), PushError<T>> {
        self.push_until(item, Deadline::after(timeout))
    }

    /// Appends an item, waiting for room until `deadline` of the monotonic clock at most.
    ///
    /// # Errors
    /// [`PushError::TimedOut`], and those of [`push`](Self::push).
    pub fn push_deadline(&self, item: T, deadline: Instant) -> Result<(), PushError<T>> {
        self.push_until(item, Deadline::At(deadline))
    }

    /// Takes the first item, waiting for one for as long as it takes.
    ///
    /// # Errors
    /// [`PopError::Closed`], [`PopError::Interrupted`] if [asked for](Self::set_interruptible), [`PopError::Corrupted`],
    /// [`PopError::Segment`].
    #[inline]
    pub fn pop(&self) -> Result<T, PopError> {
        self.pop_until(Deadline::Forever)
    }

    /// Takes the first item if there is one now.
    ///
    /// # Errors
    /// [`PopError::Empty`], [`PopError::Busy`], and those of [`pop`](Self::pop).
    #[inline]
    pub fn try_pop(&self) -> Result<T, PopError> {
        self.pop_until(Deadline::Now)
    }

    /// Takes the first item, waiting for one for at most `timeout`; zero is a [`try_pop`](Self::try_pop).
    ///
    /// # Errors
    /// [`PopError::TimedOut`], and those of [`pop`](Self::pop).
    pub fn pop_timeout(&self, timeout: Duration) -> Result<T, PopError> {
        self.pop_until(Deadline::after(timeout))
    }

    /// Takes the first item, waiting for one until `deadline` of the monotonic clock at most.
    ///
    /// # Errors
    /// [`PopError::TimedOut`], and those of [`pop`](Self::pop).
    pub fn pop_deadline(&self, deadline: Instant) -> Result<T, PopError> {
        self.pop_until(Deadline::At(deadline))
    }

    #[inline]
    fn push_slice_until(&self, items: &[T], deadline: Deadline) -> Result<usize, PushError<()>> {
        let pushed = self.queue.push_many(items.len(), deadline, |nth, data| {
            words::store(data, bytemuck::bytes_of(&items[nth].to_bits()));
        });
        match pushed {
            Ok(Ok(count)) => Ok(count),
            Ok(Err(failure)) => Err(PushError::new((), Ok(failure))),
            Err(error) => Err(PushError::new((), Err(error))),
        }
    }

    /// Appends as many of these items as there is room for, from the first on, waiting for room for one; returns how many,
    /// 0 only if there are none.
    ///
    /// They arrive in this order; items of other producers may come between them. One call takes at most as many as the
    /// capacity. Consumers are woken once, after the last one. Killed in the middle, the first of them are there, each
    /// whole.
    ///
    /// A call that begins where the last one of this handle found the queue full lets the consumers go on for about a
    /// microsecond first, unless it is a try.
    ///
    /// ```
    /// # use ringfence::{Queue, Segment, SegmentOptions};
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let segment = Segment::anonymous(&SegmentOptions::new())?;
    /// let queue = Queue::<u8>::create(&segment, "queue", 4)?;
    /// assert_eq!(queue.push_slice(&[1, 2, 3, 4, 5])?, 4);
    /// let mut found = [0; 8];
    /// assert_eq!(queue.pop_slice(&mut found)?, 4);
    /// assert_eq!(found[..4], [1, 2, 3, 4]);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Those of [`push`](Self::push), without items: none was pushed.
    #[inline]
    pub fn push_slice(&self, items: &[T]) -> Result<usize, PushError<()>> {
        self.push_slice_until(items, Deadline::Forever)
    }

    /// As [`push_slice`](Self::push_slice), but does not wait.
    ///
    /// # Errors
    /// [`PushError::Full`] if there is no room for any, and those of [`push_slice`](Self::push_slice).
    #[inline]
    pub fn try_push_slice(&self, items: &[T]) -> Result<usize, PushError<()>> {
        self.push_slice_until(items, Deadline::Now)
    }

    /// As [`push_slice`](Self::push_slice), waiting for at most `timeout`.
    ///
    /// # Errors
    /// [`PushError::TimedOut`], and those of [`push_slice`](Self::push_slice).
    pub fn push_slice_timeout(&self, items: &[T], timeout: Duration) -> Result<usize, PushError<()>> {
        self.push_slice_until(items, Deadline::after(timeout))
    }

    /// As [`push_slice`](Self::push_slice), waiting until `deadline` of the monotonic clock at most.
    ///
    /// # Errors
    /// [`PushError::TimedOut`], and those of [`push_slice`](Self::push_slice).
    pub fn push_slice_deadline(&self, items: &[T], deadline: Instant) -> Result<usize, PushError<()>> {
        self.push_slice_until(items, Deadline::At(deadline))
    }

    #[inline]
    fn pop_slice_until(&self, items: &mut [T], deadline: Deadline) -> Result<usize, PopError> {
        let mut bits = T::Bits::zeroed();
        let popped = self.queue.pop_many(items.len(), bytemuck::bytes_of_mut(&mut bits), deadline, |nth, bits| {
            items[nth] = T::from_bits(bytemuck::pod_read_unaligned(bits));
        });
        Ok(popped.map_err(PopError::Segment)??)
    }

    /// Takes as many items as there are and `items` has places, waiting for one; returns how many, 0 only if it has none.
    ///
    /// It does not wait for an item that is just being written, but for the first one. One call takes at most as many as the
    /// capacity. Producers are woken once, after the last one. Killed in the middle, what was taken is gone with the killed
    /// process, and the rest is there.
    ///
    /// A call that begins where the last one of this handle found no more, after several items, lets the producers go on for
    /// about a microsecond first, unless it is a try: who follows a stream item by item slows down both sides.
    ///
    /// # Errors
    /// Those of [`pop`](Self::pop): none was taken.
    #[inline]
    pub fn pop_slice(&self, items: &mut [T]) -> Result<usize, PopError> {
        self.pop_slice_until(items, Deadline::Forever)
    }

    /// As [`pop_slice`](Self::pop_slice), but does not wait.
    ///
    /// # Errors
    /// [`PopError::Empty`], [`PopError::Busy`], and those of [`pop_slice`](Self::pop_slice).
    #[inline]
    pub fn try_pop_slice(&self, items: &mut [T]) -> Result<usize, PopError> {
        self.pop_slice_until(items, Deadline::Now)
    }

    /// As [`pop_slice`](Self::pop_slice), waiting for at most `timeout`.
    ///
    /// # Errors
    /// [`PopError::TimedOut`], and those of [`pop_slice`](Self::pop_slice).
    pub fn pop_slice_timeout(&self, items: &mut [T], timeout: Duration) -> Result<usize, PopError> {
        self.pop_slice_until(items, Deadline::after(timeout))
    }

    /// As [`pop_slice`](Self::pop_slice), waiting until `deadline` of the monotonic clock at most.
    ///
    /// # Errors
    /// [`PopError::TimedOut`], and those of [`pop_slice`](Self::pop_slice).
    pub fn pop_slice_deadline(&self, items: &mut [T], deadline: Instant) -> Result<usize, PopError> {
        self.pop_slice_until(items, Deadline::At(deadline))
    }

    /// How many items it holds, those being written included; a snapshot between 0 and the capacity.
    #[must_use]
    pub fn len(&self) -> usize {
        self.queue.len()
    }

    /// Whether it holds none; a snapshot.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many items it can hold.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.queue.capacity()
    }

    /// Shuts the queue down for everybody: pushes fail with [`PushError::Closed`] from now on, pops drain what is there
    /// and then fail with [`PopError::Closed`]. Doing it twice is fine. Dropping a handle closes that handle only.
    ///
    /// # Errors
    /// [`Error::Corrupted`].
    pub fn shutdown(&self) -> Result<(), Error> {
        self.queue.shutdown()
    }

    /// Whether somebody has shut it down.
    #[must_use]
    pub fn is_shut_down(&self) -> bool {
        self.queue.is_shut_down()
    }

    /// For [`WaitAny`](crate::WaitAny): that a [`try_pop`](Self::try_pop) would not say [`PopError::Empty`] or
    /// [`PopError::Busy`].
    pub fn readable(&self) -> Waitable<'_> {
        self.queue.readable()
    }

    /// For [`WaitAny`](crate::WaitAny): that a [`try_push`](Self::try_push) would not say [`PushError::Full`].
    pub fn writable(&self) -> Waitable<'_> {
        self.queue.writable()
    }

    /// Whether a signal handler that ran ends a blocked call of this handle. Off at first: the call goes on, with its
    /// deadline.
    pub fn set_interruptible(&self, interruptible: bool) {
        self.queue.set_interruptible(interruptible);
    }
}

impl<T: Plain> fmt::Debug for Queue<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Queue").field("len", &self.len()).field("capacity", &self.capacity()).finish_non_exhaustive()
    }
}
