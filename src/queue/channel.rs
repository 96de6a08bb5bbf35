//! The channel of byte messages as a named object.

use std::time::{Duration, Instant};

use crate::error::Error;
use crate::layout::channel::{ChannelHeader, Geometry};
use crate::raw::channel::{self as raw, SendFailure};
use crate::segment::Segment;
use crate::segment::directory::{Mode, Object, Shape};
use crate::segment::kinds::Kind;
use crate::sync::Waitable;
use crate::sys::nap::{Deadline, Interruptible, Wait};

use super::errors::{RecvError, SendError, not_shut_down, whole};

mod batch;
mod in_place;

#[cfg(feature = "capi")]
pub(crate) use batch::Taken;
pub use in_place::{MessageMut, MessageRef};

/// A bounded channel of byte messages of any length: many senders, many receivers, first in first out.
///
/// Its ring holds a number of bytes: a message takes 8 bytes and its length rounded up to 8. A message is whole or
/// absent, also if its sender is killed; empty messages are messages. A message that does not fit the empty ring is
/// refused, unless it is [sent in pieces](Self::send_long).
///
/// **Progress**: senders exclude each other for the time of a copy, and so do receivers; a sender and a receiver do not.
/// Nobody makes a system call unless it has to sleep or somebody sleeps. A *try* may wait up to 20 ms for somebody who is
/// in the middle of a copy.
///
/// **Crash behaviour**: each operation takes effect by one store, so whoever is killed in the middle leaves nothing to
/// repair and its lock is taken over. Delivery is at most once: a message that was taken dies with its receiver.
///
/// Messages are written and read where they lie by [`send_with`](Self::send_with) and [`recv_with`](Self::recv_with);
/// several go by one call of [`send_many`](Self::send_many) and [`recv_many`](Self::recv_many).
///
/// ```
/// use ringfence::{Channel, Segment, SegmentOptions};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let segment = Segment::anonymous(&SegmentOptions::new())?;
/// let lines = Channel::open_or_create(&segment, "lines", 64 << 10)?;
/// lines.send(b"hello")?;
/// assert_eq!(lines.recv()?, b"hello");
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
#[must_use]
pub struct Channel {
    object: Object,
    geometry: Geometry,
    interruptible: Interruptible,
}

impl Channel {
    /// Opens or creates the channel called `name`. Opening with a ring of 0 bytes takes whatever it has.
    pub(crate) fn with(segment: &Segment, name: &str, mode: Mode, ring_bytes: usize) -> Result<Self, Error> {
        let wanted = Geometry::new(ring_bytes as u64);
        if wanted.is_none() && (mode != Mode::Open || ring_bytes != 0) {
            return Err(Error::InvalidArgument("a channel's ring has at least 1 byte and less than 16 GiB"));
        }
        let shape = Shape {
            kind: Kind::Channel,
            element: 0,
            size: 1,
            align: 1,
            tag: [0; 32],
            capacity: wanted.map_or(0, |geometry| geometry.capacity() as u64),
            bytes: wanted.map_or(0, |geometry| geometry.bytes() as u64),
        };
        let object = Object::open(segment, name, mode, &shape, |base| {
            if let Some(geometry) = wanted {
                // SAFETY: `bytes` covers the header, the memory is aligned to 128, and nobody else sees it yet.
                unsafe { base.cast::<ChannelHeader>().write(ChannelHeader::new(geometry)) };
            }
        })?;
        let geometry = Geometry::new(object.shape().capacity)
            .filter(|geometry| geometry.bytes() as u64 <= object.len())
            .ok_or(Error::Corrupted("a channel does not fit its entry"))?;
        Ok(Self { object, geometry, interruptible: Interruptible::new() })
    }

    /// Creates a channel with a ring of `ring_bytes`, rounded up to 8, of a name that must be free in the segment.
    ///
    /// # Errors
    /// [`Error::Name`], [`Error::Exists`], [`Error::InvalidArgument`] for an impossible ring, [`Error::NoSpace`],
    /// [`Error::DirectoryFull`], [`Error::Busy`], [`Error::Corrupted`].
    pub fn create(segment: &Segment, name: &str, ring_bytes: usize) -> Result<Self, Error> {
        Self::with(segment, name, Mode::Create, ring_bytes)
    }

    /// Opens a channel, whatever its ring.
    ///
    /// # Errors
    /// [`Error::Name`], [`Error::Missing`], [`Error::WrongKind`], [`Error::Busy`], [`Error::Corrupted`].
    pub fn open(segment: &Segment, name: &str) -> Result<Self, Error> {
        Self::with(segment, name, Mode::Open, 0)
    }

    /// Opens a channel with a ring of exactly this size, or creates it.
    ///
    /// # Errors
    /// [`Error::WrongShape`] for a ring of another size, and as [`open`](Self::open) and [`create`](Self::create).
    pub fn open_or_create(segment: &Segment, name: &str, ring_bytes: usize) -> Result<Self, Error> {
        Self::with(segment, name, Mode::OpenOrCreate, ring_bytes)
    }

    #[inline]
    fn raw(&self) -> Result<raw::Channel<'_>, Error> {
        // SAFETY: the object is mapped as long as `self`, and at least `bytes()` long (checked in `with`).
        unsafe { raw::Channel::at(self.object.base(), self.geometry) }
            .ok_or(Error::Corrupted("a channel's sizes changed"))
    }

    #[inline]
    fn wait(&self, deadline: Deadline) -> Wait {
        self.interruptible.wait(deadline)
    }

    /// Sends a message, waiting until `deadline` for room.
    #[inline]
    pub(crate) fn send_until(&self, message: &[u8], deadline: Deadline) -> Result<(), SendError> {
        let owner = self.object.enter().map_err(SendError::Segment)?.owner();
        let channel = self.raw().map_err(SendError::Segment)?;
        let sent = channel.send(owner, message, self.object.peers(), self.wait(deadline));
        sent.map_err(|failure| self.not_sent(message, failure))
    }

    /// The same of a message of any length, in pieces if need be.
    pub(crate) fn send_long_until(&self, message: &[u8], deadline: Deadline) -> Result<(), SendError> {
        let owner = self.object.enter().map_err(SendError::Segment)?.owner();
        let channel = self.raw().map_err(SendError::Segment)?;
        let sent = channel.send_long(owner, message, self.object.peers(), self.wait(deadline));
        sent.map_err(|failure| self.not_sent(message, failure))
    }

    #[cold]
    fn not_sent(&self, message: &[u8], failure: SendFailure) -> SendError {
        self.object.settle();
        SendError::of(failure, message.len(), self.max_message())
    }

    /// Receives a message into `buffer`, waiting until `deadline` for one; returns its length.
    #[inline]
    pub(crate) fn recv_until(&self, buffer: &mut [u8], deadline: Deadline) -> Result<usize, RecvError> {
        let owner = self.object.enter().map_err(RecvError::Segment)?.owner();
        let channel = self.raw().map_err(RecvError::Segment)?;
        channel.recv(owner, buffer, self.object.peers(), self.wait(deadline)).map_err(|failure| {
            self.object.settle();
            failure.into()
        })
    }

    /// The same of a message of any length.
    pub(crate) fn recv_vec_until(&self, deadline: Deadline) -> Result<Vec<u8>, RecvError> {
        whole(self.max_message(), |buffer| self.recv_until(buffer, deadline))
    }

    /// Sends a message, waiting for room for as long as it takes.
    ///
    /// # Errors
    /// [`SendError::Closed`], [`SendError::TooLong`], [`SendError::Interrupted`] if
    /// [asked for](Self::set_interruptible), [`SendError::WouldDeadlock`] from within a [`send_with`](Self::send_with),
    /// [`SendError::Corrupted`], [`SendError::Segment`].
    #[inline]
    pub fn send(&self, message: &[u8]) -> Result<(), SendError> {
        self.send_until(message, Deadline::Forever)
    }

    /// Sends a message if there is room now.
    ///
    /// # Errors
    /// [`SendError::Full`], and those of [`send`](Self::send).
    pub fn try_send(&self, message: &[u8]) -> Result<(), SendError> {
        self.send_until(message, Deadline::Now)
    }

    /// Sends a message, waiting for room for at most `timeout`; zero is a [`try_send`](Self::try_send).
    ///
    /// # Errors
    /// [`SendError::TimedOut`], and those of [`send`](Self::send).
    pub fn send_timeout(&self, message: &[u8], timeout: Duration) -> Result<(), SendError> {
        self.send_until(message, Deadline::after(timeout))
    }

    /// Sends a message, waiting for room until `deadline` of the monotonic clock at most.
    ///
    /// # Errors
    /// [`SendError::TimedOut`], and those of [`send`](Self::send).
    pub fn send_deadline(&self, message: &[u8], deadline: Instant) -> Result<(), SendError> {
        self.send_until(message, Deadline::At(deadline))
    }

    /// Sends a message of any length, waiting for as long as it takes.
    ///
    /// One that fits the ring is [sent](Self::send) as any other. A longer one goes in pieces, from this sender to one
    /// receiver: the call returns when that receiver has all of it, and other senders wait meanwhile. A receiver that dies,
    /// or gives up, in the middle has received nothing, and all of it is sent again to the next. If this process dies in the
    /// middle, nobody receives anything of it, or somebody has received all. [`len`](Self::len) counts pieces.
    ///
    /// ```
    /// use ringfence::{Channel, Segment, SegmentOptions};
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let segment = Segment::anonymous(&SegmentOptions::new())?;
    /// let channel = Channel::create(&segment, "pages", 4096)?;
    /// let page = vec![7; 1 << 20];
    /// std::thread::scope(|scope| {
    ///     let receiver = scope.spawn(|| channel.recv().unwrap());
    ///     channel.send_long(&page).unwrap();
    ///     assert!(receiver.join().unwrap() == page);
    /// });
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`SendError::TooLong`] only where the ring has less than 32 bytes, and those of [`send`](Self::send).
    pub fn send_long(&self, message: &[u8]) -> Result<(), SendError> {
        self.send_long_until(message, Deadline::Forever)
    }

    /// Sends a message of any length; one that goes in pieces only if a receiver takes each of them within 20 ms.
    ///
    /// # Errors
    /// [`SendError::Full`], and those of [`send_long`](Self::send_long).
    pub fn try_send_long(&self, message: &[u8]) -> Result<(), SendError> {
        self.send_long_until(message, Deadline::Now)
    }

    /// Sends a message of any length, waiting for at most `timeout`; zero is a [`try_send_long`](Self::try_send_long).
    ///
    /// # Errors
    /// [`SendError::TimedOut`], and those of [`send_long`](Self::send_long).
    pub fn send_long_timeout(&self, message: &[u8], timeout: Duration) -> Result<(), SendError> {
        self.send_long_until(message, Deadline::after(timeout))
    }

    /// Sends a message of any length, waiting until `deadline` of the monotonic clock at most.
    ///
    /// # Errors
    /// [`SendError::TimedOut`], and those of [`send_long`](Self::send_long).
    pub fn send_long_deadline(&self, message: &[u8], deadline: Instant) -> Result<(), SendError> {
        self.send_long_until(message, Deadline::At(deadline))
    }

    /// Receives a message, waiting for one for as long as it takes.
    ///
    /// # Errors
    /// [`RecvError::Closed`], [`RecvError::Interrupted`] if [asked for](Self::set_interruptible),
    /// [`RecvError::WouldDeadlock`] from within a [`recv_with`](Self::recv_with), [`RecvError::NoMemory`] (the message
    /// stays), [`RecvError::Corrupted`], [`RecvError::Segment`].
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
    /// If it fails the bytes of `buffer` are as they were, unless a message came [in pieces](Self::send_long) and did not
    /// come to its end.
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

    /// Receives a message into the first bytes of `buffer`, waiting for one until `deadline` of the monotonic clock at
    /// most; returns its length.
    ///
    /// # Errors
    /// [`RecvError::TimedOut`], and those of [`recv_into`](Self::recv_into).
    pub fn recv_into_deadline(&self, buffer: &mut [u8], deadline: Instant) -> Result<usize, RecvError> {
        self.recv_until(buffer, Deadline::At(deadline))
    }

    /// How many messages it holds; a snapshot.
    #[must_use]
    pub fn len(&self) -> usize {
        self.raw().map_or(0, |channel| channel.len())
    }

    /// Whether it holds none; a snapshot.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes of its ring.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.geometry.capacity()
    }

    /// Length of the longest message that it takes in one piece.
    #[must_use]
    pub fn max_message(&self) -> usize {
        self.geometry.max_message()
    }

    /// Shuts the channel down for everybody: sends fail from now on, receivers drain what is there and then fail. Doing
    /// it twice is fine. Dropping a handle closes that handle only.
    ///
    /// Waits for a sender that is in the middle of a copy; one that waits for room with a message in pieces gives up.
    ///
    /// # Errors
    /// [`Error::Interrupted`] if [asked for](Self::set_interruptible), or [`Error::Busy`] from within a
    /// [`send_with`](Self::send_with): then the next sender does it. [`Error::Corrupted`],
    /// and those of a forked child that joins the segment.
    pub fn shutdown(&self) -> Result<(), Error> {
        let owner = self.object.enter()?.owner();
        let closed = self.raw()?.shutdown(owner, self.object.peers(), self.wait(Deadline::Forever));
        closed.map_err(|failure| {
            self.object.settle();
            not_shut_down(failure, "a channel's lock")
        })
    }

    /// Whether somebody has shut it down.
    #[must_use]
    pub fn is_shut_down(&self) -> bool {
        self.raw().is_ok_and(|channel| channel.is_shut_down())
    }

    /// For [`WaitAny`](crate::WaitAny): that there is a message, or no more to come. Pieces of a message that came to
    /// nothing look like one, until somebody receives.
    pub fn readable(&self) -> Waitable<'_> {
        Waitable::received(&self.object, self.geometry)
    }

    /// For [`WaitAny`](crate::WaitAny): that there is room for a message of `len` bytes, or there never will be.
    pub fn writable(&self, len: usize) -> Waitable<'_> {
        Waitable::sendable(&self.object, self.geometry, len)
    }

    /// Whether a signal handler that ran ends a blocked call of this handle. Off at first: the call goes on, with its
    /// deadline.
    pub fn set_interruptible(&self, interruptible: bool) {
        self.interruptible.set(interruptible);
    }
}
