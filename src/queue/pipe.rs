//! The pipe: two ends that talk to each other, and notice when the other one is gone.

use std::time::{Duration, Instant};

use crate::error::Error;
use crate::layout::channel::Geometry;
use crate::layout::pipe::{PipeHeader, bytes, channel_at};
use crate::raw::channel::{Channel, RecvFailure, SendFailure};
use crate::raw::pipe::{self as raw, Company, End};
use crate::raw::{Owner, Peers};
use crate::segment::Segment;
use crate::segment::attachment::Attachment;
use crate::segment::directory::{Mode, Object, Shape, Tag};
use crate::segment::kinds::Kind;
use crate::sync::Waitable;
use crate::sys::nap::{Deadline, Interruptible, Wait};
use crate::sys::shm::LivePage;

use super::errors::{RecvError, SendError, not_shut_down, whole};

/// One end of a pipe: what is sent at the one comes out at the other, in order, each message whole.
///
/// Made as a [`pair`](Self::pair), both of whose ends send and receive, or [`one_way`](Self::one_way); or each process
/// [opens](Self::open_or_create) its end by name. A message may be longer than the ring: then it goes in pieces, while the
/// other end receives. An empty message is a message.
///
/// **Who has an end** is what the kernel says: every handle, in every process that opened it, [cloned](Self::try_clone) it, or
/// was forked from one that has it; until the handle is dropped, or the process ends, is killed, or executes another program.
/// When the last is gone, the other end receives what was sent and then [`RecvError::EndOfFile`], and its sends fail with
/// [`SendError::BrokenPipe`]. A gone end is gone for ever. Nobody's end of file comes while nobody has *ever* opened the other
/// end: then a receiver waits.
///
/// The last handle that is dropped tells the other end at once. Where the last holder is killed, or executes another program,
/// who waits notices within 100 ms; what is sent meanwhile is as if it had been sent just before.
///
/// **Progress** and **crash behaviour** are those of two [`Channel`](crate::Channel)s. Each end may be used by any number of
/// threads and processes at once.
///
/// Needs a segment with a file: not one in adopted memory.
///
/// ```
/// use ringfence::{Pipe, RecvError, Segment, SegmentOptions};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let segment = Segment::anonymous(&SegmentOptions::new())?;
/// let (here, there) = Pipe::pair(&segment, "talk", 4096)?;
/// here.send(b"how much is 6 x 7?")?;
/// assert_eq!(there.recv()?, b"how much is 6 x 7?");
/// there.send(b"42")?;
/// drop(there);
/// assert_eq!(here.recv()?, b"42");
/// assert_eq!(here.recv(), Err(RecvError::EndOfFile));
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
#[must_use = "an end that is dropped is closed"]
pub struct Pipe {
    /// Until it is dropped.
    hold: Option<LivePage>,
    object: Object,
    geometry: Geometry,
    directions: u32,
    end: End,
    interruptible: Interruptible,
}

/// Enough for a piece of a longer message.
const LEAST_RING: usize = 32;

fn described(directions: u32) -> String {
    if directions == 1 { "a one-way pipe".to_owned() } else { "a pipe that goes both ways".to_owned() }
}

impl Pipe {
    /// Opens or creates one end. Opening with a ring of 0 bytes takes whatever is there.
    pub(crate) fn with(
        segment: &Segment,
        name: &str,
        mode: Mode,
        end: End,
        wanted: Option<(u32, usize)>,
    ) -> Result<Self, Error> {
        let impossible = Error::InvalidArgument("a pipe's ring has at least 32 bytes and less than 16 GiB");
        if segment.attachment().is_adopted() {
            return Err(Error::NotSupported("a pipe in adopted memory: it has no file to lock"));
        }
        let directions = wanted.map_or(2, |(directions, _)| directions);
        let ring = wanted.map_or(LEAST_RING, |(_, ring)| ring);
        let plan = Geometry::new(ring as u64).filter(|_| ring >= LEAST_RING).ok_or(impossible)?;
        let shape = Shape {
            kind: Kind::Pipe,
            element: 0,
            size: 0,
            align: 1,
            tag: Tag::default(),
            capacity: wanted.map_or(0, |_| plan.capacity() as u64),
            bytes: bytes(plan, directions) as u64,
        };
        let object = Object::open(segment, name, mode, &shape, |base| {
            // SAFETY: `bytes` covers header and channels, the memory is aligned to 128, and nobody else sees it yet.
            unsafe {
                base.cast::<PipeHeader>().write(PipeHeader::new(directions));
                for into in 0..directions as usize {
                    let channel = base.add(channel_at(plan, into)).cast();
                    channel.write(crate::layout::channel::ChannelHeader::new(plan));
                }
            }
        })?;
        let geometry = Geometry::new(object.shape().capacity).ok_or(Error::Corrupted("a pipe's entry"))?;
        // SAFETY: the object is mapped, aligned to 128 and accessed atomically only.
        let found = unsafe { raw::Pipe::directions(object.base(), object.len(), geometry) };
        let found = found.ok_or(Error::Corrupted("a pipe does not fit its entry"))?;
        if wanted.is_some() && found != directions {
            return Err(Error::WrongShape { expected: described(directions), found: described(found) });
        }
        Self::take(object, geometry, found, end)
    }

    /// Becomes a holder of `end`.
    fn take(object: Object, geometry: Geometry, directions: u32, end: End) -> Result<Self, Error> {
        let mut pipe = Self { hold: None, object, geometry, directions, end, interruptible: Interruptible::new() };
        let mark = pipe.raw().mark(end);
        pipe.hold = Some(pipe.object.peers().hold(mark)?);
        if pipe.raw().begin(end) { Ok(pipe) } else { Err(Error::EndGone) }
    }

    fn both(segment: &Segment, name: &str, directions: u32, ring_bytes: usize) -> Result<(Self, Self), Error> {
        let first = Self::with(segment, name, Mode::Create, End::First, Some((directions, ring_bytes)))?;
        let second =
            first.object.again().and_then(|object| Self::take(object, first.geometry, directions, End::Second));
        match second {
            Ok(second) => Ok((first, second)),
            Err(error) => {
                let _ = segment.remove(name);
                Err(error)
            }
        }
    }

    /// Creates a pipe that goes both ways, with a ring of so many bytes for each, of a name that must be free in the segment;
    /// returns both its ends.
    ///
    /// # Errors
    /// [`Error::Name`], [`Error::Exists`], [`Error::InvalidArgument`] for a ring of less than 32 bytes or 16 GiB,
    /// [`Error::NotSupported`] in adopted memory, [`Error::NoSpace`], [`Error::DirectoryFull`], [`Error::NoDescriptors`],
    /// [`Error::NoMemory`], [`Error::Busy`], [`Error::Corrupted`].
    pub fn pair(segment: &Segment, name: &str, ring_bytes: usize) -> Result<(Self, Self), Error> {
        Self::both(segment, name, 2, ring_bytes)
    }

    /// The same for one direction: returns the end that receives, and the end that sends.
    ///
    /// # Errors
    /// As [`pair`](Self::pair).
    pub fn one_way(segment: &Segment, name: &str, ring_bytes: usize) -> Result<(Self, Self), Error> {
        Self::both(segment, name, 1, ring_bytes)
    }

    /// Opens an end of a pipe that is there.
    ///
    /// # Errors
    /// [`Error::EndGone`] if it had holders and has none any more; [`Error::Name`], [`Error::Missing`], [`Error::WrongKind`],
    /// [`Error::NotSupported`], [`Error::NoDescriptors`], [`Error::NoMemory`], [`Error::Busy`], [`Error::Corrupted`].
    pub fn open(segment: &Segment, name: &str, end: End) -> Result<Self, Error> {
        Self::with(segment, name, Mode::Open, end, None)
    }

    /// Opens an end of a pipe that goes both ways, with rings of this size, or creates the pipe, whose other end somebody else
    /// opens.
    ///
    /// # Errors
    /// [`Error::WrongShape`] for rings of another size or a one-way pipe, and as [`open`](Self::open) and
    /// [`pair`](Self::pair).
    pub fn open_or_create(segment: &Segment, name: &str, end: End, ring_bytes: usize) -> Result<Self, Error> {
        Self::with(segment, name, Mode::OpenOrCreate, end, Some((2, ring_bytes)))
    }

    /// The same of a one-way pipe: the first end receives, the second sends.
    ///
    /// # Errors
    /// As [`open_or_create`](Self::open_or_create).
    pub fn open_or_create_one_way(segment: &Segment, name: &str, end: End, ring_bytes: usize) -> Result<Self, Error> {
        Self::with(segment, name, Mode::OpenOrCreate, end, Some((1, ring_bytes)))
    }

    /// Another handle to the same end.
    ///
    /// # Errors
    /// [`Error::NoDescriptors`], [`Error::NoMemory`], and those of a forked child that joins the segment.
    pub fn try_clone(&self) -> Result<Self, Error> {
        let clone = Self::take(self.object.again()?, self.geometry, self.directions, self.end)?;
        clone.interruptible.set(self.interruptible.get());
        Ok(clone)
    }

    #[inline]
    fn raw(&self) -> raw::Pipe<'_> {
        // SAFETY: the object is mapped as long as `self`, and long enough for so many directions (checked in `with`).
        unsafe { raw::Pipe::at(self.object.base(), self.geometry, self.directions, self.object.mark()) }
    }

    /// The calling thread, and its peers as the channels see them.
    #[inline]
    fn company(&self) -> Result<(Owner, Company<'_, '_, Attachment>), Error> {
        let owner = self.object.enter()?.owner();
        Ok((owner, self.raw().company(self.end, owner, self.object.peers())))
    }

    fn inbox(&self) -> Result<Channel<'_>, RecvError> {
        self.raw().inbox(self.end).ok_or(RecvError::WrongDirection)
    }

    #[inline]
    fn wait(&self, deadline: Deadline) -> Wait {
        self.interruptible.wait(deadline)
    }

    /// Sends a message, waiting until `deadline` for room.
    #[inline]
    pub(crate) fn send_until(&self, message: &[u8], deadline: Deadline) -> Result<(), SendError> {
        let outbox = self.raw().outbox(self.end).ok_or(SendError::WrongDirection)?;
        let (owner, company) = self.company().map_err(SendError::Segment)?;
        outbox.send_long(owner, message, &company, self.wait(deadline)).map_err(|failure| {
            self.object.settle();
            match failure {
                SendFailure::Closed if self.raw().is_gone(self.end.other()) => SendError::BrokenPipe,
                failure => SendError::of(failure, message.len(), self.geometry.max_message()),
            }
        })
    }

    /// Receives a message into `buffer`, waiting until `deadline` for one; returns its length.
    #[inline]
    pub(crate) fn recv_until(&self, buffer: &mut [u8], deadline: Deadline) -> Result<usize, RecvError> {
        let inbox = self.inbox()?;
        let (owner, company) = self.company().map_err(RecvError::Segment)?;
        inbox.recv(owner, buffer, &company, self.wait(deadline)).map_err(|failure| {
            self.object.settle();
            match failure {
                RecvFailure::Closed if self.raw().is_gone(self.end.other()) => RecvError::EndOfFile,
                failure => failure.into(),
            }
        })
    }

    /// The same of a message of any length.
    pub(crate) fn recv_vec_until(&self, deadline: Deadline) -> Result<Vec<u8>, RecvError> {
        whole(self.geometry.max_message(), |buffer| self.recv_until(buffer, deadline))
    }

    /// Waits until `deadline` for something to receive, the end included.
    pub(crate) fn poll_until(&self, deadline: Deadline) -> Result<bool, RecvError> {
        let inbox = self.inbox()?;
        let (_, company) = self.company().map_err(RecvError::Segment)?;
        let found = inbox.poll(&company, self.wait(deadline));
        self.object.settle();
        found.ok_or(RecvError::Interrupted)
    }

    /// Sends a message of any length, waiting for room for as long as it takes; of one that is longer than the ring, until the
    /// other end has all of it.
    ///
    /// # Errors
    /// [`SendError::BrokenPipe`] if nobody has the other end any more, [`SendError::WrongDirection`], [`SendError::Closed`]
    /// after a [`shutdown`](Self::shutdown), [`SendError::Interrupted`] if [asked for](Self::set_interruptible),
    /// [`SendError::Corrupted`], [`SendError::Segment`].
    #[inline]
    pub fn send(&self, message: &[u8]) -> Result<(), SendError> {
        self.send_until(message, Deadline::Forever)
    }

    /// Sends a message if there is room now; one that is longer than the ring, if the other end takes each piece of it within
    /// 20 ms.
    ///
    /// # Errors
    /// [`SendError::Full`], and those of [`send`](Self::send).
    pub fn try_send(&self, message: &[u8]) -> Result<(), SendError> {
        self.send_until(message, Deadline::Now)
    }

    /// Sends a message, waiting for at most `timeout`; zero is a [`try_send`](Self::try_send).
    ///
    /// # Errors
    /// [`SendError::TimedOut`], and those of [`send`](Self::send).
    pub fn send_timeout(&self, message: &[u8], timeout: Duration) -> Result<(), SendError> {
        self.send_until(message, Deadline::after(timeout))
    }

    /// Sends a message, waiting until `deadline` of the monotonic clock at most.
    ///
    /// # Errors
    /// [`SendError::TimedOut`], and those of [`send`](Self::send).
    pub fn send_deadline(&self, message: &[u8], deadline: Instant) -> Result<(), SendError> {
        self.send_until(message, Deadline::At(deadline))
    }

    /// Receives a message, waiting for one for as long as it takes.
    ///
    /// # Errors
    /// [`RecvError::EndOfFile`] if nobody has the other end any more and all that was sent has been received,
    /// [`RecvError::WrongDirection`], [`RecvError::Closed`] after a [`shutdown`](Self::shutdown), [`RecvError::Interrupted`] if
    /// [asked for](Self::set_interruptible), [`RecvError::NoMemory`] (the message stays), [`RecvError::Corrupted`],
    /// [`RecvError::Segment`].
    pub fn recv(&self) -> Result<Vec<u8>, RecvError> {
        self.recv_vec_until(Deadline::Forever)
    }

    /// Receives a message if there is one now.
    ///
    /// # Errors
    /// [`RecvError::Empty`], and those of [`recv`](Self::recv).
    pub fn try_recv(&self) -> Result<Vec<u8>, RecvError> {
        self.recv_vec_until(Deadline::Now)
    }

    /// Receives a message, waiting for one for at most `timeout`; zero is a [`try_recv`](Self::try_recv).
    ///
    /// # Errors
    /// [`RecvError::TimedOut`], and those of [`recv`](Self::recv).
    pub fn recv_timeout(&self, timeout: Duration) -> Result<Vec<u8>, RecvError> {
        self.recv_vec_until(Deadline::after(timeout))
    }

    /// Receives a message, waiting for one until `deadline` of the monotonic clock at most.
    ///
    /// # Errors
    /// [`RecvError::TimedOut`], and those of [`recv`](Self::recv).
    pub fn recv_deadline(&self, deadline: Instant) -> Result<Vec<u8>, RecvError> {
        self.recv_vec_until(Deadline::At(deadline))
    }

    /// Receives a message into the first bytes of `buffer`, waiting for one for as long as it takes; returns its length.
    ///
    /// # Errors
    /// [`RecvError::BufferTooShort`] (the message stays), and those of [`recv`](Self::recv).
    #[inline]
    pub fn recv_into(&self, buffer: &mut [u8]) -> Result<usize, RecvError> {
        self.recv_until(buffer, Deadline::Forever)
    }

    /// Receives a message into the first bytes of `buffer` if there is one now; returns its length.
    ///
    /// # Errors
    /// [`RecvError::Empty`], and those of [`recv_into`](Self::recv_into).
    pub fn try_recv_into(&self, buffer: &mut [u8]) -> Result<usize, RecvError> {
        self.recv_until(buffer, Deadline::Now)
    }

    /// Receives a message into the first bytes of `buffer`, waiting for one for at most `timeout`; returns its length.
    ///
    /// # Errors
    /// [`RecvError::TimedOut`], and those of [`recv_into`](Self::recv_into).
    pub fn recv_into_timeout(&self, buffer: &mut [u8], timeout: Duration) -> Result<usize, RecvError> {
        self.recv_until(buffer, Deadline::after(timeout))
    }

    /// Receives a message into the first bytes of `buffer`, waiting for one until `deadline` of the monotonic clock at most;
    /// returns its length.
    ///
    /// # Errors
    /// [`RecvError::TimedOut`], and those of [`recv_into`](Self::recv_into).
    pub fn recv_into_deadline(&self, buffer: &mut [u8], deadline: Instant) -> Result<usize, RecvError> {
        self.recv_until(buffer, Deadline::At(deadline))
    }

    /// Whether a receive would end at once, with a message or with the end of file: waits for it for at most `timeout`, or for
    /// as long as it takes. Takes nothing.
    ///
    /// # Errors
    /// [`RecvError::WrongDirection`], [`RecvError::Interrupted`] if [asked for](Self::set_interruptible),
    /// [`RecvError::Segment`].
    pub fn poll(&self, timeout: Option<Duration>) -> Result<bool, RecvError> {
        self.poll_until(timeout.map_or(Deadline::Forever, Deadline::after))
    }

    /// Which end this is.
    #[must_use]
    pub fn end(&self) -> End {
        self.end
    }

    /// Whether this end receives.
    #[must_use]
    pub fn receives(&self) -> bool {
        self.raw().inbox(self.end).is_some()
    }

    /// Whether this end sends.
    #[must_use]
    pub fn sends(&self) -> bool {
        self.raw().outbox(self.end).is_some()
    }

    /// Whether somebody has opened the other end, ever.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.raw().has_begun(self.end.other())
    }

    /// Bytes of the ring of each direction.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.geometry.capacity()
    }

    /// Ends both directions for everybody: sends fail from now on, receivers get what is there and then fail. Doing it twice
    /// is fine. Dropping a handle closes that handle only.
    ///
    /// # Errors
    /// [`Error::Interrupted`] if [asked for](Self::set_interruptible), [`Error::Corrupted`], and those of a forked child that
    /// joins the segment.
    pub fn shutdown(&self) -> Result<(), Error> {
        let owner = self.object.enter()?.owner();
        self.raw().shutdown(owner, self.object.peers(), self.wait(Deadline::Forever)).map_err(|failure| {
            self.object.settle();
            not_shut_down(failure, "a pipe's lock")
        })
    }

    /// For [`WaitAny`](crate::WaitAny): that there is a message, or the end of file, or this end does not receive.
    pub fn readable(&self) -> Waitable<'_> {
        Waitable::told(&self.object, self.geometry, self.directions, self.end)
    }

    /// For [`WaitAny`](crate::WaitAny): that there is room for a message of `len` bytes, or none is needed; one that is longer
    /// than the ring needs nothing but the other end.
    pub fn writable(&self, len: usize) -> Waitable<'_> {
        Waitable::tellable(&self.object, self.geometry, self.directions, self.end, len)
    }

    /// Whether a signal handler that ran ends a blocked call of this handle. Off at first: the call goes on, with its
    /// deadline.
    pub fn set_interruptible(&self, interruptible: bool) {
        self.interruptible.set(interruptible);
    }
}

impl Drop for Pipe {
    fn drop(&mut self) {
        if self.hold.take().is_none() || self.object.peers().is_held(self.raw().mark(self.end)) {
            return;
        }
        // The last one: who waits at the other end is told. A forked child joins for that; where it cannot, naps end.
        if let Ok(thread) = self.object.enter() {
            self.raw().is_over(self.end, thread.owner(), self.object.peers());
            self.object.settle();
        }
    }
}
