//! The work queue as a named object, its leases as plain numbers: what [`WorkQueue`](super::WorkQueue) and the C ABI are
//! made of.

use std::time::{Duration, Instant};

use super::work_errors::{JoinError, LeaseError, TakeError, WorkPushError};
use crate::error::Error;
use crate::layout::work_queue::{Geometry, MAX_DELIVERIES, WorkQueueHeader};
use crate::primitive::{AtomicU32, AtomicU64, Ordering, SPIN};
use crate::raw::Owner;
use crate::raw::work_queue::{Count, Lease, LeaseFailure, Missed, PushFailure, TakeFailure, WorkQueue};
use crate::segment::Segment;
use crate::segment::directory::{Mode, Object, Shape};
use crate::segment::kinds::Kind;
use crate::sync::Waitable;
#[cfg(not(ringfence_loom))]
use crate::sys::log::{self, LogLevel};
use crate::sys::nap::{Deadline, Interruptible, Wait};

/// Whoever is never out of work looks for the dead at most so often,
const LOOK_AFTER: Duration = Duration::from_millis(50);
/// and thinks of it at one message of so many.
const LOOK_AT: u32 = 64;

/// What a new work queue is like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Messages that it holds.
    pub messages: usize,
    /// Bytes of the longest.
    pub longest: usize,
    /// Deliveries after which one is set aside; 0: never.
    pub limit: u32,
}

/// An open work queue.
#[derive(Debug)]
pub struct AnyWorkQueue {
    object: Object,
    geometry: Geometry,
    limit: u32,
    interruptible: Interruptible,
    opened: Instant,
    /// When the dead were last looked for: milliseconds since the handle was opened.
    looked: AtomicU64,
    /// Where this process last kept a message: a hint.
    kept: AtomicU32,
}

fn described(longest: usize, limit: u32) -> String {
    format!("a work queue for messages of {longest} bytes, set aside after {limit} deliveries (0: never)")
}

impl AnyWorkQueue {
    /// Opens or creates the queue called `name`; `None` takes whatever is there.
    pub fn open(segment: &Segment, name: &str, mode: Mode, plan: Option<Plan>) -> Result<Self, Error> {
        let wanted =
            match plan {
                None => None,
                Some(Plan { messages, longest, limit }) => {
                    let geometry = Geometry::new(messages as u64, longest as u64).filter(|_| limit <= MAX_DELIVERIES);
                    Some((geometry.ok_or(Error::InvalidArgument(
                    "a work queue is for 1 to 2^24 messages of 1 to 2^32 - 1 bytes, delivered at most 65535 times",
                ))?, limit))
                }
            };
        let shape = Shape {
            kind: Kind::WorkQueue,
            element: 0,
            size: 1,
            align: 1,
            tag: [0; 32],
            capacity: wanted.map_or(0, |(geometry, _)| geometry.places() as u64),
            bytes: wanted.map_or(0, |(geometry, _)| geometry.bytes() as u64),
        };
        let object = Object::open(segment, name, mode, &shape, |base| {
            if let Some((geometry, limit)) = wanted {
                // SAFETY: `bytes` covers the header, the memory is aligned to 128, and nobody else sees it yet.
                unsafe { base.cast::<WorkQueueHeader>().write(WorkQueueHeader::new(geometry, limit)) };
            }
        })?;
        let (geometry, limit) = Self::found(&object).ok_or(Error::Corrupted("a work queue does not fit its entry"))?;
        if let Some((wanted, at_most)) = wanted
            && (wanted, at_most) != (geometry, limit)
        {
            return Err(Error::WrongShape {
                expected: described(wanted.longest(), at_most),
                found: described(geometry.longest(), limit),
            });
        }
        Ok(Self {
            object,
            geometry,
            limit,
            interruptible: Interruptible::new(),
            opened: Instant::now(),
            looked: AtomicU64::new(0),
            kept: AtomicU32::new(0),
        })
    }

    /// What the header says, if it fits.
    fn found(object: &Object) -> Option<(Geometry, u32)> {
        if object.len() < size_of::<WorkQueueHeader>() as u64 {
            return None;
        }
        // SAFETY: the object is mapped as long as it lives, at least a header long, aligned to 128, and accessed atomically
        // only.
        let header: &WorkQueueHeader = unsafe { object.base().cast().as_ref() };
        let geometry = header.validate()?;
        let fits = geometry.places() as u64 == object.shape().capacity && geometry.bytes() as u64 <= object.len();
        let limit = header.shared.0.limit.load(Ordering::Relaxed);
        (fits && limit <= MAX_DELIVERIES).then_some((geometry, limit))
    }

    #[inline(always)]
    fn raw(&self) -> Result<WorkQueue<'_>, Error> {
        // SAFETY: the object is mapped as long as `self`, and at least `bytes()` long (checked in `open`).
        unsafe { WorkQueue::at(self.object.base(), self.geometry) }
            .ok_or(Error::Corrupted("a work queue's sizes changed"))
    }

    #[inline]
    fn wait(&self, deadline: Deadline) -> Wait {
        self.interruptible.wait(deadline)
    }

    /// The calling thread, and the queue.
    #[inline(always)]
    fn enter(&self) -> Result<(Owner, WorkQueue<'_>), Error> {
        // Entering makes a forked child a participant before it waits for anybody.
        Ok((self.object.enter()?.owner(), self.raw()?))
    }

    /// Makes a forked child a participant.
    #[cold]
    pub fn join_segment(&self) -> Result<(), Error> {
        self.object.enter().map(drop)
    }

    /// Appends a message.
    #[inline]
    pub fn push(&self, message: &[u8], deadline: Deadline) -> Result<(), WorkPushError> {
        let (me, queue) = self.enter().map_err(WorkPushError::Segment)?;
        queue.push(me, message, self.object.peers(), self.wait(deadline)).map_err(|failure| {
            self.object.settle();
            match failure {
                PushFailure::Full => WorkPushError::Full,
                PushFailure::DeadLetters => WorkPushError::DeadLetters,
                PushFailure::TimedOut => WorkPushError::TimedOut,
                PushFailure::Interrupted => WorkPushError::Interrupted,
                PushFailure::Closed => WorkPushError::Closed,
                PushFailure::TooLong => WorkPushError::TooLong { len: message.len(), max: self.geometry.longest() },
                PushFailure::Corrupted => WorkPushError::Corrupted,
            }
        })
    }

    /// Leases the first message.
    #[inline(always)]
    pub fn take(&self, deadline: Deadline) -> Result<Lease, TakeError> {
        let missed = match (self.object.entered_last(), self.raw()) {
            (Some(thread), Ok(queue)) => match queue.take_once(thread.owner()) {
                Ok(lease) => {
                    if SPIN && lease.turn() % LOOK_AT == 0 {
                        self.look_around();
                    }
                    if lease.deliveries() > 1 {
                        self.tell_again(lease);
                    }
                    return Ok(lease);
                }
                Err(missed) => Some(missed),
            },
            _ => None,
        };
        self.take_slow(missed, deadline)
    }

    #[cold]
    #[inline(never)]
    fn take_slow(&self, missed: Option<Missed>, deadline: Deadline) -> Result<Lease, TakeError> {
        let (me, queue) = self.enter().map_err(TakeError::Segment)?;
        let (peers, wait) = (self.object.peers(), self.wait(deadline));
        let taken = match missed {
            Some(missed) => queue.take_from(missed, me, peers, wait),
            None => queue.take(me, peers, wait),
        };
        self.object.settle();
        let lease = taken?;
        if lease.deliveries() > 1 {
            self.tell_again(lease);
        }
        Ok(lease)
    }

    /// Says that somebody has had that message before.
    #[cold]
    #[inline(never)]
    fn tell_again(&self, _lease: Lease) {
        #[cfg(not(ringfence_loom))]
        log::tell(LogLevel::Warning, format_args!("a message is delivered for the {}. time", _lease.deliveries()));
    }

    /// Who is never out of work would never meet what the dead have. It takes no queue: that would have to lie in memory, by
    /// stores before the exchange of every take.
    #[cold]
    #[inline(never)]
    fn look_around(&self) {
        let Ok(queue) = self.raw() else { return };
        let now = self.opened.elapsed().as_millis() as u64;
        // Relaxed: it is about when, and of two who look at once both may.
        if now.saturating_sub(self.looked.load(Ordering::Relaxed)) < LOOK_AFTER.as_millis() as u64 {
            return;
        }
        self.looked.store(now, Ordering::Relaxed);
        if queue.look_for_dead(self.object.peers()) {
            self.object.settle();
        }
    }

    /// Leases the first message that was set aside, if there is one.
    pub fn take_dead(&self) -> Result<Lease, TakeError> {
        let (me, queue) = self.enter().map_err(TakeError::Segment)?;
        let taken = queue.take_dead(me, self.object.peers());
        self.object.settle();
        Ok(taken?)
    }

    /// The queue, if the lease is one of this process.
    #[inline(always)]
    fn of_mine(&self, lease: Lease) -> Result<WorkQueue<'_>, LeaseError> {
        let (me, queue) = self.enter().map_err(LeaseError::Segment)?;
        if lease.participant() == me.participant() { Ok(queue) } else { Err(LeaseError::NotLeased) }
    }

    /// The length of a leased message.
    pub fn length(&self, lease: Lease) -> Result<usize, LeaseError> {
        Ok(self.of_mine(lease)?.length(lease)?)
    }

    /// Copies a leased message into the first bytes of `buffer`; its length.
    #[inline]
    pub fn read(&self, lease: Lease, buffer: &mut [u8]) -> Result<usize, LeaseError> {
        Ok(self.of_mine(lease)?.read(lease, buffer)?)
    }

    /// The work is done.
    #[cfg(feature = "capi")]
    pub fn done(&self, lease: Lease) -> Result<(), LeaseError> {
        Ok(self.of_mine(lease)?.done(lease)?)
    }

    /// The same for a lease that nobody else has, of this very process.
    #[inline(always)]
    pub fn done_alone(&self, lease: Lease) -> Result<(), LeaseError> {
        Ok(self.raw().map_err(LeaseError::Segment)?.done_alone(lease)?)
    }

    /// Copies a message of exactly this length, leased by this very process.
    #[inline(always)]
    pub fn read_exactly(&self, lease: Lease, message: &mut [u8]) -> Result<(), LeaseError> {
        Ok(self.raw().map_err(LeaseError::Segment)?.read_exactly(lease, message)?)
    }

    /// The work is not done: the message goes back.
    pub fn fail(&self, lease: Lease) -> Result<(), LeaseError> {
        Ok(self.of_mine(lease)?.fail(lease)?)
    }

    /// The message is finished by [`done_any`](Self::done_any).
    pub fn keep(&self, lease: Lease) -> Result<(), LeaseError> {
        self.of_mine(lease)?.keep(lease)?;
        self.kept.store(lease.place, Ordering::Relaxed);
        Ok(())
    }

    /// Finishes one of the messages that this process keeps.
    pub fn done_any(&self) -> Result<(), LeaseError> {
        let (me, queue) = self.enter().map_err(LeaseError::Segment)?;
        match queue.done_any(me, self.kept.load(Ordering::Relaxed)) {
            Ok(_) => Ok(()),
            Err(LeaseFailure::NotLeased) => Err(LeaseError::TooManyDone),
            Err(failure) => Err(failure.into()),
        }
    }

    /// Waits until nothing is unfinished.
    pub fn join(&self, deadline: Deadline) -> Result<(), JoinError> {
        let (me, queue) = self.enter().map_err(JoinError::Segment)?;
        let joined = queue.join(me, self.object.peers(), self.wait(deadline));
        self.object.settle();
        joined.map_err(|failure| match failure {
            TakeFailure::Empty | TakeFailure::Busy => JoinError::Unfinished,
            TakeFailure::TimedOut => JoinError::TimedOut,
            TakeFailure::Interrupted => JoinError::Interrupted,
            TakeFailure::Closed | TakeFailure::Corrupted => JoinError::Corrupted,
        })
    }

    /// How many messages there are.
    pub fn count(&self) -> Count {
        self.raw().map_or_else(|_| Count::default(), |queue| queue.count())
    }

    /// The sizes.
    pub fn geometry(&self) -> Geometry {
        self.geometry
    }

    /// Deliveries after which a message is set aside; 0: never.
    pub fn limit(&self) -> u32 {
        self.limit
    }

    /// Pushes fail from now on; takes fail when everything is finished.
    pub fn shutdown(&self) -> Result<(), Error> {
        self.raw()?.shutdown();
        Ok(())
    }

    /// Whether it is shut down.
    pub fn is_shut_down(&self) -> bool {
        self.raw().is_ok_and(|queue| queue.is_shut_down())
    }

    /// That there is a message to be taken.
    pub fn readable(&self) -> Waitable<'_> {
        Waitable::work(&self.object, self.geometry)
    }

    /// That there is room.
    pub fn writable(&self) -> Waitable<'_> {
        Waitable::work_room(&self.object, self.geometry)
    }

    /// That nothing is unfinished.
    pub fn finished(&self) -> Waitable<'_> {
        Waitable::work_done(&self.object, self.geometry)
    }

    /// Whether a signal handler that ran ends a blocked call.
    pub fn set_interruptible(&self, interruptible: bool) {
        self.interruptible.set(interruptible);
    }
}
