//! The work queue of values.

use std::fmt;
use std::marker::PhantomData;
use std::time::{Duration, Instant};

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::codec::{decode, encode};
use super::errors::{TypedLeaseError, TypedPushError};
use super::passes_on;
use crate::error::Error;
use crate::queue::{JoinError, Lease, LeaseError, TakeError, WorkQueue, WorkQueueOptions};
use crate::segment::Segment;
use crate::sync::Waitable;
use crate::sys::nap::Deadline;

/// A [`WorkQueue`] of values of any type that serde knows (feature `serde`).
///
/// How a value is encoded, and what is refused, is as with a [`TypedChannel`](crate::TypedChannel); its message is at most as
/// long as the queue was made for. A message is decoded when its lease is [read](TypedLease::get), so one that is no such value
/// is leased like any other: it can be read as bytes, fails or is done, and is a dead letter in the end.
///
/// **Progress** and **crash behaviour** are those of [`WorkQueue`].
///
/// ```
/// use ringfence::{Segment, SegmentOptions, TypedWorkQueue, WorkQueueOptions};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let segment = Segment::anonymous(&SegmentOptions::new())?;
/// let work = TypedWorkQueue::<(String, u32)>::open_or_create(&segment, "work", &WorkQueueOptions::new(64, 100))?;
/// work.push(&("paint".to_owned(), 3))?;
/// work.shutdown()?;
/// while let Ok(lease) = work.take() {
///     let (what, times) = lease.get()?;
///     assert_eq!((what.as_str(), times), ("paint", 3));
///     lease.done()?;
/// }
/// work.join()?;
/// # Ok(())
/// # }
/// ```
#[must_use]
pub struct TypedWorkQueue<T> {
    queue: WorkQueue,
    value: PhantomData<fn(T) -> T>,
}

impl<T> TypedWorkQueue<T> {
    /// Creates a work queue of a name that must be free in the segment.
    ///
    /// # Errors
    /// As [`WorkQueue::create`].
    pub fn create(segment: &Segment, name: &str, options: &WorkQueueOptions) -> Result<Self, Error> {
        WorkQueue::create(segment, name, options).map(Self::from)
    }

    /// Opens a work queue, whatever its sizes.
    ///
    /// # Errors
    /// As [`WorkQueue::open`].
    pub fn open(segment: &Segment, name: &str) -> Result<Self, Error> {
        WorkQueue::open(segment, name).map(Self::from)
    }

    /// Opens a work queue of exactly these sizes, or creates it.
    ///
    /// # Errors
    /// As [`WorkQueue::open_or_create`].
    pub fn open_or_create(segment: &Segment, name: &str, options: &WorkQueueOptions) -> Result<Self, Error> {
        WorkQueue::open_or_create(segment, name, options).map(Self::from)
    }

    /// Takes a message, waiting for one for as long as it takes.
    ///
    /// # Errors
    /// As [`WorkQueue::take`].
    pub fn take(&self) -> Result<TypedLease<'_, T>, TakeError> {
        self.queue.take().map(TypedLease::from)
    }

    /// Takes a message if there is one now.
    ///
    /// # Errors
    /// As [`WorkQueue::try_take`].
    pub fn try_take(&self) -> Result<TypedLease<'_, T>, TakeError> {
        self.queue.try_take().map(TypedLease::from)
    }

    /// Takes a message, waiting for one for at most `timeout`; zero is a [`try_take`](Self::try_take).
    ///
    /// # Errors
    /// As [`WorkQueue::take_timeout`].
    pub fn take_timeout(&self, timeout: Duration) -> Result<TypedLease<'_, T>, TakeError> {
        self.queue.take_timeout(timeout).map(TypedLease::from)
    }

    /// Takes a message, waiting for one until `deadline` of the monotonic clock at most.
    ///
    /// # Errors
    /// As [`WorkQueue::take_deadline`].
    pub fn take_deadline(&self, deadline: Instant) -> Result<TypedLease<'_, T>, TakeError> {
        self.queue.take_deadline(deadline).map(TypedLease::from)
    }

    /// Takes up to `most` messages: waits for the first, and for no other.
    ///
    /// # Errors
    /// As [`WorkQueue::take_many`].
    pub fn take_many(&self, most: usize) -> Result<Vec<TypedLease<'_, T>>, TakeError> {
        Ok(self.queue.take_many(most)?.into_iter().map(TypedLease::from).collect())
    }

    /// Takes a message that was delivered too often, if there is one.
    ///
    /// # Errors
    /// As [`WorkQueue::take_dead_letter`].
    pub fn take_dead_letter(&self) -> Result<TypedLease<'_, T>, TakeError> {
        self.queue.take_dead_letter().map(TypedLease::from)
    }

    /// The work queue of bytes, for messages that are encoded otherwise.
    pub fn as_work_queue(&self) -> &WorkQueue {
        &self.queue
    }

    /// The work queue of bytes.
    pub fn into_inner(self) -> WorkQueue {
        self.queue
    }

    passes_on! { queue:
        /// As [`WorkQueue::task_done`].
        ///
        /// # Errors
        /// As [`WorkQueue::task_done`].
        fn task_done(&self) -> Result<(), LeaseError>;
        /// As [`WorkQueue::join`].
        ///
        /// # Errors
        /// As [`WorkQueue::join`].
        fn join(&self) -> Result<(), JoinError>;
        /// As [`WorkQueue::try_join`].
        ///
        /// # Errors
        /// As [`WorkQueue::try_join`].
        fn try_join(&self) -> Result<(), JoinError>;
        /// As [`WorkQueue::join_timeout`].
        ///
        /// # Errors
        /// As [`WorkQueue::join_timeout`].
        fn join_timeout(&self, timeout: Duration) -> Result<(), JoinError>;
        /// As [`WorkQueue::join_deadline`].
        ///
        /// # Errors
        /// As [`WorkQueue::join_deadline`].
        fn join_deadline(&self, deadline: Instant) -> Result<(), JoinError>;
        /// As [`WorkQueue::len`].
        #[must_use]
        fn len(&self) -> usize;
        /// As [`WorkQueue::is_empty`].
        #[must_use]
        fn is_empty(&self) -> bool;
        /// As [`WorkQueue::unfinished`].
        #[must_use]
        fn unfinished(&self) -> usize;
        /// As [`WorkQueue::dead_letters`].
        #[must_use]
        fn dead_letters(&self) -> usize;
        /// As [`WorkQueue::capacity`].
        #[must_use]
        fn capacity(&self) -> usize;
        /// As [`WorkQueue::max_message`]: of bytes, encoded.
        #[must_use]
        fn max_message(&self) -> usize;
        /// As [`WorkQueue::max_deliveries`].
        #[must_use]
        fn max_deliveries(&self) -> u32;
        /// As [`WorkQueue::shutdown`].
        ///
        /// # Errors
        /// As [`WorkQueue::shutdown`].
        fn shutdown(&self) -> Result<(), Error>;
        /// As [`WorkQueue::is_shut_down`].
        #[must_use]
        fn is_shut_down(&self) -> bool;
        /// As [`WorkQueue::readable`].
        fn readable(&self) -> Waitable<'_>;
        /// As [`WorkQueue::writable`].
        fn writable(&self) -> Waitable<'_>;
        /// As [`WorkQueue::finished`].
        fn finished(&self) -> Waitable<'_>;
        /// As [`WorkQueue::set_interruptible`].
        fn set_interruptible(&self, interruptible: bool) -> ();
    }
}

impl<T: Serialize> TypedWorkQueue<T> {
    /// The time that encoding takes is part of the call's.
    fn push_until(&self, value: &T, deadline: Deadline) -> Result<(), TypedPushError> {
        let message = encode(value).map_err(TypedPushError::Encode)?;
        self.queue.push_until(&message, deadline).map_err(TypedPushError::Push)
    }

    /// Appends a value, waiting for room for as long as it takes.
    ///
    /// # Errors
    /// [`TypedPushError::Encode`] before anything is pushed, and in [`TypedPushError::Push`] those of [`WorkQueue::push`].
    pub fn push(&self, value: &T) -> Result<(), TypedPushError> {
        self.push_until(value, Deadline::Forever)
    }

    /// Appends a value if there is room now.
    ///
    /// # Errors
    /// [`WorkPushError::Full`](crate::WorkPushError::Full), and those of [`push`](Self::push).
    pub fn try_push(&self, value: &T) -> Result<(), TypedPushError> {
        self.push_until(value, Deadline::Now)
    }

    /// Appends a value, waiting for room for at most `timeout`; zero is a [`try_push`](Self::try_push).
    ///
    /// # Errors
    /// [`WorkPushError::TimedOut`](crate::WorkPushError::TimedOut), and those of [`push`](Self::push).
    pub fn push_timeout(&self, value: &T, timeout: Duration) -> Result<(), TypedPushError> {
        self.push_until(value, Deadline::after(timeout))
    }

    /// Appends a value, waiting for room until `deadline` of the monotonic clock at most.
    ///
    /// # Errors
    /// [`WorkPushError::TimedOut`](crate::WorkPushError::TimedOut), and those of [`push`](Self::push).
    pub fn push_deadline(&self, value: &T, deadline: Instant) -> Result<(), TypedPushError> {
        self.push_until(value, Deadline::At(deadline))
    }
}

/// The same object for values of type `T`.
impl<T> From<WorkQueue> for TypedWorkQueue<T> {
    fn from(queue: WorkQueue) -> Self {
        Self { queue, value: PhantomData }
    }
}

impl<T> fmt::Debug for TypedWorkQueue<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TypedWorkQueue").field(&self.queue).finish()
    }
}

/// A message of a [`TypedWorkQueue`] that this process works on. Dropped, it [fails](Self::fail), as a [`Lease`] does.
#[must_use = "a lease that is dropped gives its message back"]
pub struct TypedLease<'a, T> {
    lease: Lease<'a>,
    value: PhantomData<fn() -> T>,
}

impl<'a, T> TypedLease<'a, T> {
    /// How often the message was delivered, this time included; it stops at 65535.
    #[must_use]
    pub fn deliveries(&self) -> u32 {
        self.lease.deliveries()
    }

    /// The work is done: the message is gone.
    ///
    /// # Errors
    /// As [`Lease::done`].
    pub fn done(self) -> Result<(), LeaseError> {
        self.lease.done()
    }

    /// The work is not done: the message is delivered again, to anybody, or set aside if it was delivered as often as it may
    /// be.
    ///
    /// # Errors
    /// As [`Lease::fail`].
    pub fn fail(self) -> Result<(), LeaseError> {
        self.lease.fail()
    }

    /// Leaves the message with the process, to be reported by one call of [`TypedWorkQueue::task_done`].
    ///
    /// # Errors
    /// As [`Lease::keep`].
    pub fn keep(self) -> Result<(), LeaseError> {
        self.lease.keep()
    }

    /// The lease of a message of bytes, to read what is no value of the type.
    pub fn as_lease(&self) -> &Lease<'a> {
        &self.lease
    }

    /// The lease of a message of bytes.
    pub fn into_inner(self) -> Lease<'a> {
        self.lease
    }
}

impl<T: DeserializeOwned> TypedLease<'_, T> {
    /// Reads and decodes the message, anew by each call.
    ///
    /// # Errors
    /// [`TypedLeaseError::Decode`] if it is no such value: it is leased still. In [`TypedLeaseError::Lease`] those of
    /// [`Lease::read`].
    pub fn get(&self) -> Result<T, TypedLeaseError> {
        let message = self.lease.read().map_err(TypedLeaseError::Lease)?;
        decode(message).map_err(TypedLeaseError::Decode)
    }
}

/// The same lease for a value of type `T`.
impl<'a, T> From<Lease<'a>> for TypedLease<'a, T> {
    fn from(lease: Lease<'a>) -> Self {
        Self { lease, value: PhantomData }
    }
}

impl<T> fmt::Debug for TypedLease<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TypedLease").field(&self.lease).finish()
    }
}
