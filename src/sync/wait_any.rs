//! Waiting for the first of several objects.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::error::Error;
use crate::layout::{broadcast, channel, queue, ring, work_queue};
use crate::primitive::AtomicU64;
use crate::raw::blackboard::Blackboard;
use crate::raw::broadcast::Broadcast;
use crate::raw::byte_ring::ByteRing;
use crate::raw::channel::Channel;
use crate::raw::event::Event;
use crate::raw::eventcount::Expired;
use crate::raw::once::Once;
use crate::raw::pipe::{End, Pipe};
use crate::raw::queue::Queue;
use crate::raw::semaphore::Semaphore;
use crate::raw::spsc::Spsc;
use crate::raw::wait_any::{self, Awaited, MOST};
use crate::raw::work_queue::WorkQueue;
use crate::raw::{Owner, ParticipantId};
use crate::segment::attachment::Attachment;
use crate::segment::directory::Object;
use crate::segment::{ParticipantInfo, Segment};
use crate::sys::nap::{Deadline, Interruptible};

/// Something that [`WaitAny`] can wait for: a lock that is free, an event, a queue with an item, a process that is gone.
///
/// Made by the object's handle: [`Mutex::unlocked`](crate::Mutex::unlocked),
/// [`ReentrantMutex::unlocked`](crate::ReentrantMutex::unlocked), [`Semaphore::available`](crate::Semaphore::available), [`Event::occurred`](crate::Event::occurred),
/// [`Queue::readable`](crate::Queue::readable) and [`writable`](crate::Queue::writable),
/// [`Channel::readable`](crate::Channel::readable) and [`writable`](crate::Channel::writable),
/// [`Spsc::readable`](crate::Spsc::readable) and [`writable`](crate::Spsc::writable),
/// [`ByteRing::readable`](crate::ByteRing::readable) and [`writable`](crate::ByteRing::writable),
/// [`BroadcastReader::readable`](crate::BroadcastReader::readable),
/// [`BroadcastWriter::writable`](crate::BroadcastWriter::writable), [`Blackboard::newer`](crate::Blackboard::newer),
/// [`WorkQueue::readable`](crate::WorkQueue::readable), [`writable`](crate::WorkQueue::writable) and
/// [`finished`](crate::WorkQueue::finished),
/// [`Pipe::readable`](crate::Pipe::readable) and [`writable`](crate::Pipe::writable),
/// [`Once::completed`](crate::Once::completed), [`OnceValue::completed`](crate::OnceValue::completed); or by
/// [`gone`](Self::gone).
#[derive(Debug)]
#[must_use]
pub struct Waitable<'a> {
    of: Of<'a>,
    what: What,
}

/// Where it lies.
#[derive(Debug)]
enum Of<'a> {
    /// A handle's object.
    Handle(&'a Object),
    /// The same object, opened once more.
    Kept(Object),
    /// A segment.
    Segment(Arc<Attachment>),
}

#[derive(Clone, Debug)]
enum What {
    Lock,
    Permits {
        permits: u32,
        participants: u16,
        owned: bool,
    },
    Occurred {
        participants: u16,
        auto: bool,
    },
    Message(queue::Geometry),
    Room(queue::Geometry),
    Received(channel::Geometry),
    Sendable(channel::Geometry, usize),
    Told(channel::Geometry, u32, End),
    Tellable(channel::Geometry, u32, End, usize),
    Filled(queue::Geometry),
    Free(queue::Geometry),
    Recorded(ring::Bytes),
    Reservable(ring::Bytes, usize),
    /// The position is the reader's, which moves on.
    Record(broadcast::Geometry, Arc<AtomicU64>),
    Readers(broadcast::Geometry),
    Newer(broadcast::Geometry, u64),
    Completed,
    Work(work_queue::Geometry),
    WorkRoom(work_queue::Geometry),
    WorkDone(work_queue::Geometry),
    Gone {
        participant: ParticipantId,
        life: u32,
    },
}

impl<'a> Waitable<'a> {
    /// The object's lock word, which is its first.
    pub(crate) fn lock(object: &'a Object) -> Self {
        Self { of: Of::Handle(object), what: What::Lock }
    }

    pub(super) fn permits(object: &'a Object, permits: u32, participants: u16, owned: bool) -> Self {
        Self { of: Of::Handle(object), what: What::Permits { permits, participants, owned } }
    }

    pub(super) fn occurred(object: &'a Object, participants: u16, auto: bool) -> Self {
        Self { of: Of::Handle(object), what: What::Occurred { participants, auto } }
    }

    pub(crate) fn message(object: &'a Object, geometry: queue::Geometry) -> Self {
        Self { of: Of::Handle(object), what: What::Message(geometry) }
    }

    pub(crate) fn room(object: &'a Object, geometry: queue::Geometry) -> Self {
        Self { of: Of::Handle(object), what: What::Room(geometry) }
    }

    pub(crate) fn received(object: &'a Object, geometry: channel::Geometry) -> Self {
        Self { of: Of::Handle(object), what: What::Received(geometry) }
    }

    pub(crate) fn sendable(object: &'a Object, geometry: channel::Geometry, len: usize) -> Self {
        Self { of: Of::Handle(object), what: What::Sendable(geometry, len) }
    }

    pub(crate) fn told(object: &'a Object, geometry: channel::Geometry, directions: u32, end: End) -> Self {
        Self { of: Of::Handle(object), what: What::Told(geometry, directions, end) }
    }

    pub(crate) fn tellable(
        object: &'a Object,
        geometry: channel::Geometry,
        directions: u32,
        end: End,
        len: usize,
    ) -> Self {
        Self { of: Of::Handle(object), what: What::Tellable(geometry, directions, end, len) }
    }

    pub(crate) fn filled(object: &'a Object, geometry: queue::Geometry) -> Self {
        Self { of: Of::Handle(object), what: What::Filled(geometry) }
    }

    pub(crate) fn free(object: &'a Object, geometry: queue::Geometry) -> Self {
        Self { of: Of::Handle(object), what: What::Free(geometry) }
    }

    pub(crate) fn recorded(object: &'a Object, size: ring::Bytes) -> Self {
        Self { of: Of::Handle(object), what: What::Recorded(size) }
    }

    pub(crate) fn reservable(object: &'a Object, size: ring::Bytes, len: usize) -> Self {
        Self { of: Of::Handle(object), what: What::Reservable(size, len) }
    }

    pub(crate) fn record(object: &'a Object, geometry: broadcast::Geometry, position: Arc<AtomicU64>) -> Self {
        Self { of: Of::Handle(object), what: What::Record(geometry, position) }
    }

    pub(crate) fn for_readers(object: &'a Object, geometry: broadcast::Geometry) -> Self {
        Self { of: Of::Handle(object), what: What::Readers(geometry) }
    }

    pub(crate) fn newer(object: &'a Object, geometry: broadcast::Geometry, than: u64) -> Self {
        Self { of: Of::Handle(object), what: What::Newer(geometry, than) }
    }

    pub(crate) fn work(object: &'a Object, geometry: work_queue::Geometry) -> Self {
        Self { of: Of::Handle(object), what: What::Work(geometry) }
    }

    pub(crate) fn work_room(object: &'a Object, geometry: work_queue::Geometry) -> Self {
        Self { of: Of::Handle(object), what: What::WorkRoom(geometry) }
    }

    pub(crate) fn work_done(object: &'a Object, geometry: work_queue::Geometry) -> Self {
        Self { of: Of::Handle(object), what: What::WorkDone(geometry) }
    }

    pub(super) fn completed(object: &'a Object) -> Self {
        Self { of: Of::Handle(object), what: What::Completed }
    }

    /// A participant that has died or left the segment: this very one, not a later one with its number.
    ///
    /// Somebody who leaves, or whom another process recovers, ends the wait at once; a death that nobody else has noticed
    /// is seen at the end of a nap, within 100 ms. A number that the segment does not have is gone.
    ///
    /// ```
    /// use ringfence::{Segment, SegmentOptions, WaitAny, WaitError, Waitable};
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let segment = Segment::anonymous(&SegmentOptions::new())?;
    /// let me = &segment.participants()[0];
    /// let wait = WaitAny::new([Waitable::gone(&segment, me)])?;
    /// assert!(matches!(wait.try_wait(), Err(WaitError::NotReady)));
    /// # Ok(())
    /// # }
    /// ```
    pub fn gone(segment: &Segment, participant: &ParticipantInfo) -> Waitable<'static> {
        Self::end_of(segment, participant.id, participant.life)
    }

    /// The end of a life by its number.
    pub(crate) fn end_of(segment: &Segment, participant: ParticipantId, life: u32) -> Waitable<'static> {
        Waitable { of: Of::Segment(segment.attachment().clone()), what: What::Gone { participant, life } }
    }

    fn attachment(&self) -> &Attachment {
        match &self.of {
            Of::Handle(object) => object.peers(),
            Of::Kept(object) => object.peers(),
            Of::Segment(attachment) => attachment,
        }
    }

    /// The same, whatever becomes of the handle.
    pub(super) fn kept(&self) -> Result<Waitable<'static>, Error> {
        let of = match &self.of {
            Of::Handle(object) => Of::Kept(object.again()?),
            Of::Kept(object) => Of::Kept(object.again()?),
            Of::Segment(attachment) => Of::Segment(attachment.clone()),
        };
        Ok(Waitable { of, what: self.what.clone() })
    }

    /// Recovers the dead that a wait has met.
    pub(super) fn settle(&self) {
        self.attachment().settle();
    }

    /// What the algorithm waits for.
    pub(super) fn awaited(&self) -> Result<Awaited<'_, Attachment>, Error> {
        let peers = self.attachment();
        let me = peers.enter()?.owner();
        let object = match &self.of {
            Of::Handle(object) => *object,
            Of::Kept(object) => object,
            Of::Segment(attachment) => return self.of_segment(attachment),
        };
        Self::of_object(object, &self.what, me).ok_or(Error::Corrupted("an object's shape changed"))
    }

    fn of_object<'o>(object: &'o Object, what: &'o What, me: Owner) -> Option<Awaited<'o, Attachment>> {
        let (base, peers) = (object.base(), object.peers());
        Some(match *what {
            What::Lock => {
                // SAFETY: mapped as long as the object, at least a lock word long (checked when it was opened), aligned to
                // 128, and accessed atomically only.
                Awaited::Lock { word: unsafe { base.cast().as_ref() }, me, peers }
            }
            What::Permits { permits, participants, owned } => {
                // SAFETY: mapped as long as the object, so long, aligned to 128, and accessed atomically only.
                let semaphore = unsafe { Semaphore::at(base, object.len(), participants) }?;
                let as_before = semaphore.is_owned() == owned;
                as_before.then_some(Awaited::Permits { semaphore, permits, me, peers })?
            }
            What::Occurred { participants, auto } => {
                // SAFETY: as above.
                let event = unsafe { Event::at(base, object.len(), participants) }?;
                let as_before = matches!(event, Event::Auto(_)) == auto;
                as_before.then(|| Awaited::Occurred { event, since: event.moment(), peers })?
            }
            What::Message(geometry) => Awaited::Message { queue: queue(object, geometry)?, peers },
            What::Room(geometry) => Awaited::Room { queue: queue(object, geometry)?, peers },
            What::Received(geometry) => Awaited::Received { channel: channel(object, geometry)? },
            What::Sendable(geometry, len) => Awaited::Sendable { channel: channel(object, geometry)?, len },
            What::Told(geometry, directions, end) => {
                let pipe = pipe(object, geometry, directions);
                Awaited::Told { inbox: pipe.inbox(end), company: pipe.company(end, me, peers) }
            }
            What::Tellable(geometry, directions, end, len) => {
                let pipe = pipe(object, geometry, directions);
                Awaited::Tellable { outbox: pipe.outbox(end), len, company: pipe.company(end, me, peers) }
            }
            What::Filled(ref geometry) => Awaited::Filled { ring: spsc(object, geometry) },
            What::Free(ref geometry) => Awaited::Free { ring: spsc(object, geometry) },
            What::Recorded(size) => Awaited::Recorded { ring: byte_ring(object, size) },
            What::Reservable(size, len) => Awaited::Reservable { ring: byte_ring(object, size), len },
            What::Record(geometry, ref position) => {
                Awaited::Record { broadcast: broadcast(object, geometry), position, peers }
            }
            What::Readers(geometry) => Awaited::Readers { broadcast: broadcast(object, geometry), peers },
            What::Newer(geometry, than) => {
                let blackboard = Blackboard::new(broadcast(object, geometry))?;
                Awaited::Newer { blackboard, than, peers }
            }
            What::Work(geometry) => Awaited::Work { queue: work_queue(object, geometry)?, peers },
            What::WorkRoom(geometry) => Awaited::WorkRoom { queue: work_queue(object, geometry)?, peers },
            What::WorkDone(geometry) => Awaited::WorkDone { queue: work_queue(object, geometry)?, peers },
            // SAFETY: as for permits.
            What::Completed => Awaited::Completed { once: unsafe { Once::at(base, object.len(), 0) }? },
            What::Gone { .. } => return None,
        })
    }

    fn of_segment<'s>(&self, peers: &'s Attachment) -> Result<Awaited<'s, Attachment>, Error> {
        let What::Gone { participant, life } = self.what else { return Err(Error::Corrupted("no object")) };
        let view = peers.view();
        // One that the segment does not have counts as gone: place 1 is taken at birth, so its state is never 0.
        let known = view.participants().contains(&participant);
        let slot = view.slot(if known { participant } else { 1 });
        let value = if known { life << 1 | 1 } else { 0 };
        Ok(Awaited::Gone { participant, state: &slot.state, value, watched: &slot.watched, peers })
    }
}

fn queue(object: &Object, geometry: queue::Geometry) -> Option<Queue<'_>> {
    // SAFETY: mapped as long as the object, and at least `bytes()` long (checked when it was opened), aligned to 128, and
    // accessed atomically only.
    unsafe { Queue::at(object.base(), geometry) }
}

fn channel(object: &Object, geometry: channel::Geometry) -> Option<Channel<'_>> {
    // SAFETY: as in `queue`.
    unsafe { Channel::at(object.base(), geometry) }
}

fn pipe(object: &Object, geometry: channel::Geometry, directions: u32) -> Pipe<'_> {
    // SAFETY: as in `queue`.
    unsafe { Pipe::at(object.base(), geometry, directions, object.mark()) }
}

fn spsc<'a>(object: &'a Object, geometry: &'a queue::Geometry) -> Spsc<'a> {
    // SAFETY: as in `queue`.
    unsafe { Spsc::at(object.base(), geometry) }
}

fn byte_ring(object: &Object, size: ring::Bytes) -> ByteRing<'_> {
    // SAFETY: as in `queue`.
    unsafe { ByteRing::at(object.base(), size) }
}

fn broadcast(object: &Object, geometry: broadcast::Geometry) -> Broadcast<'_> {
    // SAFETY: mapped as long as the object, and at least `len()` long (checked when it was opened), aligned to 128, and
    // accessed atomically only.
    unsafe { Broadcast::at(object.base(), geometry) }
}

fn work_queue(object: &Object, geometry: work_queue::Geometry) -> Option<WorkQueue<'_>> {
    // SAFETY: as in `queue`.
    unsafe { WorkQueue::at(object.base(), geometry) }
}

/// Which of the objects are ready, by their places in the list that was waited for; at least one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub struct Ready(u64);

impl Ready {
    /// The first of them.
    #[must_use]
    pub fn first(self) -> usize {
        self.0.trailing_zeros() as usize
    }

    /// Whether the object at this place is ready.
    #[must_use]
    pub fn contains(self, place: usize) -> bool {
        place < MOST && self.0 >> place & 1 != 0
    }

    /// Their places, in order.
    pub fn iter(self) -> impl Iterator<Item = usize> {
        (0..MOST).filter(move |place| self.contains(*place))
    }

    /// The same as a set of bits, the first object as bit 0.
    #[must_use]
    pub fn bits(self) -> u64 {
        self.0
    }
}

/// Why no object is ready.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum WaitError {
    /// None is (a try only).
    NotReady,
    /// The time is up.
    TimedOut,
    /// A signal handler ran.
    Interrupted,
    /// The process could not join a segment, or an object is damaged.
    Segment(Error),
}

impl fmt::Display for WaitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotReady => f.write_str("none of the objects is ready"),
            Self::TimedOut => f.write_str("none of the objects was ready in time"),
            Self::Interrupted => f.write_str("a signal interrupted the wait for several objects"),
            Self::Segment(error) => write!(f, "an object cannot be waited for: {error}"),
        }
    }
}

impl std::error::Error for WaitError {}

/// A wait for the first of up to 64 objects, of any kinds and in any segments.
///
/// An object is *ready* when a try of its operation would end at once: a lock that is free (or given up, or the calling
/// thread's own), as many permits as are wanted, an event that is set, a queue or channel with a message or with room (or
/// shut down), what was to be initialised once and is, a participant that is gone. The wait takes nothing. It is a hint:
/// by the time of the try somebody else may have been
/// faster, so **try, and wait again if the try finds nothing**. All that were seen ready are told, so that whoever
/// serves them in turn lets none starve.
///
/// **Progress**: it blocks; a message, a release, an unlock or a peaceful leave wakes it at once, through one
/// `futex_waitv`. Where the kernel has no such call (before 5.16) or a filter forbids it, the first object alone wakes it,
/// and a change of another is seen after at most as long again as has been waited already, and after 100 ms at most. A
/// wake-up meant for one waiter is handed on when the wait ends, whatever was ready, so that a plain waiter never sleeps
/// beside something free; it may then be that waiter who is faster.
///
/// A try of a [`Channel`](crate::Channel), or of a [`Semaphore`](crate::Semaphore) in owned mode, may find somebody
/// stopped in the middle of its operation, and end after 20 ms with nothing though the object stays ready.
///
/// **Crash behaviour**: killed at any point it leaves what any dead waiter leaves. A lock whose owner is dead is ready, and
/// so are permits of the dead.
///
/// ```
/// use ringfence::{Queue, Segment, SegmentOptions, Semaphore, SemaphoreOptions, WaitAny};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let segment = Segment::anonymous(&SegmentOptions::new())?;
/// let tasks = Queue::<u32>::create(&segment, "tasks", 8)?;
/// let stop = Semaphore::create(&segment, "stop", &SemaphoreOptions::new(0).signalling())?;
/// let wait = WaitAny::new([stop.available(1), tasks.readable()])?;
/// tasks.push(7)?;
/// let ready = wait.wait()?;
/// assert_eq!(ready.first(), 1);
/// assert_eq!(tasks.try_pop()?, 7);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
#[must_use]
pub struct WaitAny<'a> {
    items: Vec<Waitable<'a>>,
    interruptible: Interruptible,
}

impl<'a> WaitAny<'a> {
    /// For these objects. One may be there twice, as for room in a queue and for messages.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] for none, or for more than 64.
    pub fn new(items: impl IntoIterator<Item = Waitable<'a>>) -> Result<Self, Error> {
        let items: Vec<_> = items.into_iter().take(MOST + 1).collect();
        if !(1..=MOST).contains(&items.len()) {
            return Err(Error::InvalidArgument("a wait is for 1 to 64 objects"));
        }
        Ok(Self { items, interruptible: Interruptible::new() })
    }

    /// What is waited for.
    pub(super) fn items(&self) -> &[Waitable<'a>] {
        &self.items
    }

    /// Waits until `deadline`.
    pub(crate) fn until(&self, deadline: Deadline) -> Result<Ready, WaitError> {
        // On the stack: a wait allocates nothing.
        let mut items = [const { None }; MOST];
        for (place, item) in items.iter_mut().zip(&self.items) {
            *place = Some(item.awaited().map_err(WaitError::Segment)?);
        }
        let ready = wait_any::wait_any(&items[..self.items.len()], self.interruptible.wait(deadline));
        // Of each segment once would do; it costs a load where nobody died.
        self.items.iter().for_each(Waitable::settle);
        ready.map(Ready).map_err(|expired| match expired {
            Expired::TimedOut if deadline == Deadline::Now => WaitError::NotReady,
            Expired::TimedOut => WaitError::TimedOut,
            Expired::Interrupted => WaitError::Interrupted,
        })
    }

    /// Waits for as long as it takes.
    ///
    /// # Errors
    /// [`WaitError::Interrupted`] if [asked for](Self::set_interruptible), [`WaitError::Segment`].
    pub fn wait(&self) -> Result<Ready, WaitError> {
        self.until(Deadline::Forever)
    }

    /// Looks, and does not wait.
    ///
    /// # Errors
    /// [`WaitError::NotReady`], [`WaitError::Segment`].
    pub fn try_wait(&self) -> Result<Ready, WaitError> {
        self.until(Deadline::Now)
    }

    /// Waits for at most `timeout`; zero is a [`try_wait`](Self::try_wait).
    ///
    /// # Errors
    /// [`WaitError::TimedOut`], and those of [`wait`](Self::wait).
    pub fn wait_timeout(&self, timeout: Duration) -> Result<Ready, WaitError> {
        self.until(Deadline::after(timeout))
    }

    /// Waits until `deadline` of the monotonic clock at most.
    ///
    /// # Errors
    /// [`WaitError::TimedOut`], and those of [`wait`](Self::wait).
    pub fn wait_deadline(&self, deadline: Instant) -> Result<Ready, WaitError> {
        self.until(Deadline::At(deadline))
    }

    /// Whether a signal handler that ran ends a blocked call with [`WaitError::Interrupted`]. Off at first: the call goes
    /// on, with its deadline. A handler that was installed with `SA_RESTART` does not end a wait for several: where it
    /// sleeps, the kernel goes on by itself.
    pub fn set_interruptible(&self, interruptible: bool) {
        self.interruptible.set(interruptible);
    }
}
