//! The work queue.

use std::fmt;
use std::time::{Duration, Instant};

use bytemuck::Zeroable;

use super::any_work_queue::{AnyWorkQueue, Plan};
use super::work_errors::{JoinError, LeaseError, TakeError, WorkPushError};
use crate::error::Error;
use crate::plain::Plain;
use crate::raw::work_queue as raw;
use crate::segment::Segment;
use crate::segment::directory::Mode;
use crate::sync::Waitable;
use crate::sys::fork::Mark;
use crate::sys::nap::Deadline;

/// What a new [`WorkQueue`] is like: for how many messages, how long they may be, and how often one is delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub struct WorkQueueOptions {
    plan: Plan,
}

impl WorkQueueOptions {
    /// Room for `messages` of at most `longest` bytes each, delivered until they are done. It takes
    /// `messages * (24 + longest rounded up to 8) + 384` bytes of the segment.
    pub fn new(messages: usize, longest: usize) -> Self {
        Self { plan: Plan { messages, longest, limit: 0 } }
    }

    /// A message that comes back after so many deliveries (at most 65535) is set aside instead of delivered again.
    pub fn max_deliveries(mut self, deliveries: u32) -> Self {
        self.plan.limit = deliveries;
        self
    }
}

/// A bounded queue of work: a message stays in it until whoever took it says that it is done, and is delivered again if
/// that does not happen. Python's `JoinableQueue`, and more.
///
/// A [`Lease`] is a message taken. [`done`](Lease::done) ends it; a lease that [fails](Lease::fail) or is dropped, or whose
/// process dies or leaves the segment, gives its message back, to be taken before those that nobody has had yet. So
/// delivery is **at least once**: work that was finished, but not reported done, is done again. The message says how often
/// it was [delivered](Lease::deliveries). After [`max_deliveries`](WorkQueueOptions::max_deliveries) a message that comes
/// back is a *dead letter*: it counts as finished, and keeps its place until [somebody takes it](WorkQueue::take_dead_letter)
/// from there.
///
/// The capacity is exact, and counts unfinished messages and dead letters. Messages of one producer are first taken in order.
/// Leases belong to the process: any of its threads may end one.
///
/// **Progress**: as of [`Queue`](crate::Queue), taking and reporting are one exchange each. Who finds nothing to take, no
/// room, or work that is unfinished looks through all places, and asks whether those live who have messages.
///
/// **Crash behaviour**: a message whose push has returned is delivered until it is done. What a dead process had comes back
/// when somebody waits here for a message, for room or for the end of the work, within 100 ms, and when anybody recovers
/// the dead; consumers that are never out of work look for the dead every 50 ms, or at one of 64 messages if those
/// take longer.
///
/// ```
/// use ringfence::{Segment, SegmentOptions, WorkQueue, WorkQueueOptions};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let segment = Segment::anonymous(&SegmentOptions::new())?;
/// let work = WorkQueue::open_or_create(&segment, "work", &WorkQueueOptions::new(64, 100))?;
/// work.push(b"one")?;
/// work.push(b"two")?;
/// let lease = work.take()?;
/// assert_eq!(lease.read()?, b"one");
/// drop(lease); // not done: it comes again, first
/// let lease = work.take()?;
/// assert_eq!((lease.read()?, lease.deliveries()), (b"one".to_vec(), 2));
/// lease.done()?;
/// work.shutdown()?;
/// while let Ok(lease) = work.take() {
///     lease.done()?;
/// }
/// work.join()?;
/// # Ok(())
/// # }
/// ```
#[must_use]
pub struct WorkQueue {
    core: AnyWorkQueue,
    mark: Mark,
}

impl WorkQueue {
    fn of(core: AnyWorkQueue) -> Self {
        // The library is in use, so the mark is this process's.
        Self { core, mark: Mark::get() }
    }

    /// Creates a work queue of a name that must be free in the segment.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] for no message or more than 2^24, of no byte or of 4 GiB; [`Error::Name`],
    /// [`Error::Exists`], [`Error::NoSpace`], [`Error::DirectoryFull`], [`Error::Busy`], [`Error::Corrupted`].
    pub fn create(segment: &Segment, name: &str, options: &WorkQueueOptions) -> Result<Self, Error> {
        AnyWorkQueue::open(segment, name, Mode::Create, Some(options.plan)).map(Self::of)
    }

    /// Opens a work queue, whatever its sizes.
    ///
    /// # Errors
    /// [`Error::Name`], [`Error::Missing`], [`Error::WrongKind`], [`Error::Busy`], [`Error::Corrupted`].
    pub fn open(segment: &Segment, name: &str) -> Result<Self, Error> {
        AnyWorkQueue::open(segment, name, Mode::Open, None).map(Self::of)
    }

    /// Opens a work queue of exactly these sizes, or creates it.
    ///
    /// # Errors
    /// [`Error::WrongShape`], and as [`open`](Self::open) and [`create`](Self::create).
    pub fn open_or_create(segment: &Segment, name: &str, options: &WorkQueueOptions) -> Result<Self, Error> {
        AnyWorkQueue::open(segment, name, Mode::OpenOrCreate, Some(options.plan)).map(Self::of)
    }

    /// Appends a message, waiting until `deadline` for room.
    #[inline]
    pub(crate) fn push_until(&self, message: &[u8], deadline: Deadline) -> Result<(), WorkPushError> {
        self.core.push(message, deadline)
    }

    /// Appends a message, waiting for room for as long as it takes.
    ///
    /// # Errors
    /// [`WorkPushError::DeadLetters`], [`WorkPushError::Closed`], [`WorkPushError::TooLong`],
    /// [`WorkPushError::Interrupted`] if [asked for](Self::set_interruptible), [`WorkPushError::Corrupted`],
    /// [`WorkPushError::Segment`].
    #[inline]
    pub fn push(&self, message: &[u8]) -> Result<(), WorkPushError> {
        self.push_until(message, Deadline::Forever)
    }

    /// Appends a message if there is room now.
    ///
    /// # Errors
    /// [`WorkPushError::Full`], and those of [`push`](Self::push).
    #[inline]
    pub fn try_push(&self, message: &[u8]) -> Result<(), WorkPushError> {
        self.push_until(message, Deadline::Now)
    }

    /// Appends a message, waiting for room for at most `timeout`; zero is a [`try_push`](Self::try_push).
    ///
    /// # Errors
    /// [`WorkPushError::TimedOut`], and those of [`push`](Self::push).
    pub fn push_timeout(&self, message: &[u8], timeout: Duration) -> Result<(), WorkPushError> {
        self.push_until(message, Deadline::after(timeout))
    }

    /// Appends a message, waiting for room until `deadline` of the monotonic clock at most.
    ///
    /// # Errors
    /// [`WorkPushError::TimedOut`], and those of [`push`](Self::push).
    pub fn push_deadline(&self, message: &[u8], deadline: Instant) -> Result<(), WorkPushError> {
        self.push_until(message, Deadline::At(deadline))
    }

    #[inline(always)]
    fn take_until(&self, deadline: Deadline) -> Result<Lease<'_>, TakeError> {
        // Before the compare-and-swap, which waits for it no longer than for the word; behind it the load would wait.
        let mut of = self.mark.generation();
        if of == 0 {
            // A child's first call: what it takes before it has a number would not be its own after.
            self.core.join_segment().map_err(TakeError::Segment)?;
            of = self.mark.generation();
        }
        Ok(Lease { queue: self, raw: self.core.take(deadline)?, of })
    }

    /// Takes a message: one that came back if there is one, else the first; waits for one for as long as it takes.
    ///
    /// # Errors
    /// [`TakeError::Closed`], [`TakeError::Interrupted`] if [asked for](Self::set_interruptible),
    /// [`TakeError::Corrupted`], [`TakeError::Segment`].
    #[inline]
    pub fn take(&self) -> Result<Lease<'_>, TakeError> {
        self.take_until(Deadline::Forever)
    }

    /// Takes a message if there is one now.
    ///
    /// # Errors
    /// [`TakeError::Empty`], [`TakeError::Busy`], and those of [`take`](Self::take).
    #[inline]
    pub fn try_take(&self) -> Result<Lease<'_>, TakeError> {
        self.take_until(Deadline::Now)
    }

    /// Takes a message, waiting for one for at most `timeout`; zero is a [`try_take`](Self::try_take).
    ///
    /// # Errors
    /// [`TakeError::TimedOut`], and those of [`take`](Self::take).
    pub fn take_timeout(&self, timeout: Duration) -> Result<Lease<'_>, TakeError> {
        self.take_until(Deadline::after(timeout))
    }

    /// Takes a message, waiting for one until `deadline` of the monotonic clock at most.
    ///
    /// # Errors
    /// [`TakeError::TimedOut`], and those of [`take`](Self::take).
    pub fn take_deadline(&self, deadline: Instant) -> Result<Lease<'_>, TakeError> {
        self.take_until(Deadline::At(deadline))
    }

    /// Takes up to `most` messages: waits for the first as [`take`](Self::take) does, and for no other. 0 takes none.
    ///
    /// # Errors
    /// As [`take`](Self::take), if not even one was taken.
    pub fn take_many(&self, most: usize) -> Result<Vec<Lease<'_>>, TakeError> {
        let mut leases = Vec::new();
        while leases.len() < most {
            let first = leases.is_empty();
            match self.take_until(if first { Deadline::Forever } else { Deadline::Now }) {
                Ok(lease) => leases.push(lease),
                Err(error) if first => return Err(error),
                Err(_) => break,
            }
        }
        Ok(leases)
    }

    /// Takes a message that was delivered too often, if there is one. [`done`](Lease::done) frees its place; if the lease
    /// ends otherwise, the message is a dead letter still.
    ///
    /// # Errors
    /// [`TakeError::Empty`], [`TakeError::Corrupted`], [`TakeError::Segment`].
    pub fn take_dead_letter(&self) -> Result<Lease<'_>, TakeError> {
        let raw = self.core.take_dead()?;
        // Behind it: it makes a forked child a participant.
        Ok(Lease { queue: self, raw, of: self.mark.generation() })
    }

    /// Reports one of the messages done that this process [keeps](Lease::keep): Python's `task_done`.
    ///
    /// # Errors
    /// [`LeaseError::TooManyDone`] if it keeps none, [`LeaseError::Corrupted`], [`LeaseError::Segment`].
    pub fn task_done(&self) -> Result<(), LeaseError> {
        self.core.done_any()
    }

    /// Waits until no message is unfinished: all are done, or dead letters. A message counts from its push on. The end of
    /// all work that lasts is seen for certain; one that a new message ends at once may be missed.
    ///
    /// # Errors
    /// [`JoinError::Interrupted`] if [asked for](Self::set_interruptible), [`JoinError::Corrupted`],
    /// [`JoinError::Segment`].
    pub fn join(&self) -> Result<(), JoinError> {
        self.core.join(Deadline::Forever)
    }

    /// Whether no message is unfinished now.
    ///
    /// # Errors
    /// [`JoinError::Unfinished`], and those of [`join`](Self::join).
    pub fn try_join(&self) -> Result<(), JoinError> {
        self.core.join(Deadline::Now)
    }

    /// As [`join`](Self::join), for at most `timeout`; zero is a [`try_join`](Self::try_join).
    ///
    /// # Errors
    /// [`JoinError::TimedOut`], and those of [`join`](Self::join).
    pub fn join_timeout(&self, timeout: Duration) -> Result<(), JoinError> {
        self.core.join(Deadline::after(timeout))
    }

    /// As [`join`](Self::join), until `deadline` of the monotonic clock at most.
    ///
    /// # Errors
    /// [`JoinError::TimedOut`], and those of [`join`](Self::join).
    pub fn join_deadline(&self, deadline: Instant) -> Result<(), JoinError> {
        self.core.join(Deadline::At(deadline))
    }

    /// How many messages wait to be taken, those being written included. As of the other counts, each place is looked at
    /// once, so a number may be one that never was while others are at work.
    #[must_use]
    pub fn len(&self) -> usize {
        self.core.count().waiting
    }

    /// Whether none waits to be taken.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many messages wait or are being worked on.
    #[must_use]
    pub fn unfinished(&self) -> usize {
        let count = self.core.count();
        count.waiting + count.leased
    }

    /// How many messages were set aside.
    #[must_use]
    pub fn dead_letters(&self) -> usize {
        self.core.count().dead_letters
    }

    /// How many messages it can hold.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.core.geometry().places()
    }

    /// Bytes of the longest message that it takes.
    #[must_use]
    pub fn max_message(&self) -> usize {
        self.core.geometry().longest()
    }

    /// Deliveries after which a message that comes back is set aside; 0: never.
    #[must_use]
    pub fn max_deliveries(&self) -> u32 {
        self.core.limit()
    }

    /// Shuts the queue down for everybody: pushes fail with [`WorkPushError::Closed`] from now on. What is in it is still
    /// delivered, and delivered again if it comes back; takes wait for that, and fail with [`TakeError::Closed`] when every
    /// message is done or set aside. So consumers need no message that tells them to end, and none ends while another, who
    /// may die, has the last one. Doing it twice is fine. Dropping a handle closes that handle only.
    ///
    /// # Errors
    /// [`Error::Corrupted`].
    pub fn shutdown(&self) -> Result<(), Error> {
        self.core.shutdown()
    }

    /// Whether somebody has shut it down.
    #[must_use]
    pub fn is_shut_down(&self) -> bool {
        self.core.is_shut_down()
    }

    /// For [`WaitAny`](crate::WaitAny): that a [`try_take`](Self::try_take) would not say [`TakeError::Empty`] or
    /// [`TakeError::Busy`].
    pub fn readable(&self) -> Waitable<'_> {
        self.core.readable()
    }

    /// For [`WaitAny`](crate::WaitAny): that a [`try_push`](Self::try_push) would not say [`WorkPushError::Full`].
    pub fn writable(&self) -> Waitable<'_> {
        self.core.writable()
    }

    /// For [`WaitAny`](crate::WaitAny): that a [`try_join`](Self::try_join) would not say [`JoinError::Unfinished`].
    pub fn finished(&self) -> Waitable<'_> {
        self.core.finished()
    }

    /// Whether a signal handler that ran ends a blocked call of this handle. Off at first: the call goes on, with its
    /// deadline.
    pub fn set_interruptible(&self, interruptible: bool) {
        self.core.set_interruptible(interruptible);
    }
}

impl fmt::Debug for WorkQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let raw::Count { waiting, leased, dead_letters } = self.core.count();
        f.debug_struct("WorkQueue")
            .field("waiting", &waiting)
            .field("leased", &leased)
            .field("dead_letters", &dead_letters)
            .field("capacity", &self.capacity())
            .finish_non_exhaustive()
    }
}

/// A message of a [`WorkQueue`] that this process works on. Dropped, it [fails](Self::fail); in a forked child that got a
/// copy it is nothing. Any thread of the process may have it.
#[must_use = "a lease that is dropped gives its message back"]
#[derive(Debug)]
pub struct Lease<'a> {
    queue: &'a WorkQueue,
    raw: raw::Lease,
    /// The process: a forked child is another.
    of: u64,
}

impl Lease<'_> {
    /// How often the message was delivered, this time included; it stops at 65535.
    #[must_use]
    pub fn deliveries(&self) -> u32 {
        self.raw.deliveries()
    }

    /// A copy of the message.
    ///
    /// # Errors
    /// [`LeaseError::NotLeased`] in a forked child, [`LeaseError::Corrupted`], [`LeaseError::Segment`].
    pub fn read(&self) -> Result<Vec<u8>, LeaseError> {
        let mut message = vec![0; self.queue.core.length(self.raw)?];
        let length = self.read_into(&mut message)?;
        message.truncate(length);
        Ok(message)
    }

    /// Copies the message into the first bytes of `buffer`, and returns its length.
    ///
    /// # Errors
    /// [`LeaseError::BufferTooShort`], and those of [`read`](Self::read).
    #[inline]
    pub fn read_into(&self, buffer: &mut [u8]) -> Result<usize, LeaseError> {
        self.queue.core.read(self.raw, buffer)
    }

    /// The message as a value, if it has the length of one: what was pushed as `bytes_of(&value.to_bits())`.
    ///
    /// # Errors
    /// [`LeaseError::BufferTooShort`] if it has another length, and those of [`read`](Self::read).
    #[inline]
    pub fn get<T: Plain>(&self) -> Result<T, LeaseError> {
        if !self.is_ours() {
            return Err(LeaseError::NotLeased);
        }
        let mut bits = T::Bits::zeroed();
        self.queue.core.read_exactly(self.raw, bytemuck::bytes_of_mut(&mut bits))?;
        Ok(T::from_bits(bits))
    }

    /// Whether this is the process that took it.
    #[inline(always)]
    fn is_ours(&self) -> bool {
        self.of == self.queue.mark.generation()
    }

    /// The work is done: the message is gone.
    ///
    /// # Errors
    /// [`LeaseError::NotLeased`] in a forked child, or if a faulty peer took the message away; [`LeaseError::Segment`].
    #[inline(always)]
    pub fn done(self) -> Result<(), LeaseError> {
        let lease = core::mem::ManuallyDrop::new(self);
        if !lease.is_ours() {
            return Err(LeaseError::NotLeased);
        }
        // A lease cannot be copied.
        lease.queue.core.done_alone(lease.raw)
    }

    /// The work is not done: the message is delivered again, to anybody, or set aside if it was delivered as often as it
    /// may be.
    ///
    /// # Errors
    /// As [`done`](Self::done).
    pub fn fail(self) -> Result<(), LeaseError> {
        let lease = core::mem::ManuallyDrop::new(self);
        lease.queue.core.fail(lease.raw)
    }

    /// Leaves the message with the process, to be reported by one call of [`WorkQueue::task_done`], which does not say which
    /// message it means.
    ///
    /// # Errors
    /// As [`done`](Self::done); also for a dead letter.
    pub fn keep(self) -> Result<(), LeaseError> {
        let lease = core::mem::ManuallyDrop::new(self);
        lease.queue.core.keep(lease.raw)
    }
}

impl Drop for Lease<'_> {
    fn drop(&mut self) {
        if self.is_ours() {
            let _ = self.queue.core.fail(self.raw);
        }
    }
}
