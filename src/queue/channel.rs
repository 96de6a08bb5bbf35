//! The channel of byte messages.

use std::fmt;
use std::time::{Duration, Instant};

use super::errors::{RecvError, SendError};
use crate::error::Error;
use crate::layout::channel::{ChannelHeader, Geometry};
use crate::primitive::{AtomicU32, Ordering};
use crate::raw::channel as raw;
use crate::raw::channel::{RecvFailure, SendFailure};
use crate::segment::Segment;
use crate::segment::directory::{Mode, Object, Shape};
use crate::segment::kinds::Kind;
use crate::sys::nap::{Deadline, Wait};

/// How long a shutdown waits for a sender in the middle. It only copies bytes; but it may be stopped.
const PATIENCE: Duration = Duration::from_secs(10);

/// What [`Channel::recv`] receives without asking for the length first.
const SHORT: usize = 1024;

/// A bounded channel of byte messages of any length: many senders, many receivers, first in first out.
///
/// Its ring has a fixed number of bytes, of which a message takes 8 and its length rounded up to 8. The messages of one
/// sender arrive in order; a message is whole or absent, and no two receivers get the same one. An empty message is a
/// message. A long message waits until there is room for all of it, and shorter ones may overtake it meanwhile.
///
/// **Progress**: senders exclude each other for the time of a copy, and so do receivers; a living but stopped one holds
/// up its side. No operation makes a system call unless it has to sleep or somebody sleeps.
///
/// **Crash behaviour**: delivery is at most once. A send that has returned is never lost. A sender killed in the middle
/// has sent the whole message or nothing; a receiver killed in the middle has either taken the message, which dies with
/// it, or not.
///
/// ```
/// use ringfence::{Channel, Segment, SegmentOptions};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let segment = Segment::anonymous(&SegmentOptions::new())?;
/// let lines = Channel::open_or_create(&segment, "lines", 4096)?;
/// lines.send(b"hello")?;
/// lines.send(b"")?;
/// assert_eq!(lines.len(), 2);
/// assert_eq!(lines.recv()?, b"hello");
/// assert_eq!(lines.recv()?, b"");
/// # Ok(())
/// # }
/// ```
#[must_use]
pub struct Channel {
    object: Object,
    geometry: Geometry,
    interruptible: AtomicU32,
}

impl Channel {
    fn with(segment: &Segment, name: &str, mode: Mode, ring_bytes: usize) -> Result<Self, Error> {
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
        Ok(Self { object, geometry, interruptible: AtomicU32::new(0) })
    }

    /// Creates a channel with a ring of `ring_bytes` (rounded up to 8), of a name that must be free in the segment.
    ///
    /// # Errors
    /// [`Error::Name`], [`Error::Exists`], [`Error::InvalidArgument`] for no bytes or 16 GiB and more,
    /// [`Error::NoSpace`], [`Error::DirectoryFull`], [`Error::Busy`], [`Error::Corrupted`].
    pub fn create(segment: &Segment, name: &str, ring_bytes: usize) -> Result<Self, Error> {
        Self::with(segment, name, Mode::Create, ring_bytes)
    }

    /// Opens a channel, whatever its capacity.
    ///
    /// # Errors
    /// [`Error::Name`], [`Error::Missing`], [`Error::WrongKind`], [`Error::Busy`], [`Error::Corrupted`].
    pub fn open(segment: &Segment, name: &str) -> Result<Self, Error> {
        Self::with(segment, name, Mode::Open, 0)
    }

    /// Opens a channel with a ring of exactly this size, or creates it.
    ///
    /// # Errors
    /// As [`open`](Self::open) and [`create`](Self::create), and [`Error::WrongShape`] for a ring of another size.
    pub fn open_or_create(segment: &Segment, name: &str, ring_bytes: usize) -> Result<Self, Error> {
        Self::with(segment, name, Mode::OpenOrCreate, ring_bytes)
    }

    #[inline]
    fn raw(&self) -> Option<raw::Channel<'_>> {
        // SAFETY: the object is mapped as long as `self`, and at least `bytes()` long (checked in `with`).
        unsafe { raw::Channel::at(self.object.base(), self.geometry) }
    }

    /// Sends a message, waiting as `wait` says; `Deadline::Now` gives [`SendError::Full`].
    #[inline]
    pub(crate) fn send_bytes(&self, message: &[u8], wait: Wait) -> Result<(), SendError> {
        let owner = self.object.enter().map_err(SendError::Segment)?.owner();
        let channel = self.raw().ok_or(SendError::Corrupted)?;
        let result = channel.send(owner, message, self.object.peers(), wait);
        result.map_err(|failure| {
            self.object.settle();
            match failure {
                SendFailure::Full => SendError::Full,
                SendFailure::TimedOut => SendError::TimedOut,
                SendFailure::Interrupted => SendError::Interrupted,
                SendFailure::Closed => SendError::Closed,
                SendFailure::TooLong => SendError::TooLong { len: message.len(), max: self.max_message() },
                SendFailure::Corrupted => SendError::Corrupted,
            }
        })
    }

    /// Receives a message, waiting as `wait` says; `Deadline::Now` gives [`RecvError::Empty`].
    #[inline]
    pub(crate) fn recv_bytes(&self, buffer: &mut [u8], wait: Wait) -> Result<usize, RecvError> {
        let owner = self.object.enter().map_err(RecvError::Segment)?.owner();
        let channel = self.raw().ok_or(RecvError::Corrupted)?;
        let result = channel.recv(owner, buffer, self.object.peers(), wait);
        result.map_err(|failure| {
            self.object.settle();
            match failure {
                RecvFailure::Empty => RecvError::Empty,
                RecvFailure::TimedOut => RecvError::TimedOut,
                RecvFailure::Interrupted => RecvError::Interrupted,
                RecvFailure::Closed => RecvError::Closed,
                RecvFailure::TooShort { needed } => RecvError::BufferTooShort { needed },
                RecvFailure::Corrupted => RecvError::Corrupted,
            }
        })
    }

    fn recv_vec(&self, deadline: Deadline) -> Result<Vec<u8>, RecvError> {
        let wait = self.wait(deadline);
        let mut short = [0; SHORT];
        let mut needed = match self.recv_bytes(&mut short, wait) {
            Ok(length) => return Ok(short[..length].to_vec()),
            Err(RecvError::BufferTooShort { needed }) => needed,
            Err(error) => return Err(error),
        };
        loop {
            let mut message = vec![0; needed];
            match self.recv_bytes(&mut message, wait) {
                Ok(length) => {
                    message.truncate(length);
                    return Ok(message);
                }
                // Another receiver took that one, and the next is longer still.
                Err(RecvError::BufferTooShort { needed: more }) => needed = more,
                Err(error) => return Err(error),
            }
        }
    }

    #[inline]
    fn wait(&self, deadline: Deadline) -> Wait {
        Wait { deadline, interruptible: self.interruptible.load(Ordering::Relaxed) != 0 }
    }

    /// Sends a message, waiting for room for as long as it takes.
    ///
    /// # Errors
    /// [`SendError::Closed`], [`SendError::TooLong`], [`SendError::Interrupted`] if
    /// [asked for](Self::set_interruptible), [`SendError::Corrupted`], [`SendError::Segment`].
    #[inline]
    pub fn send(&self, message: &[u8]) -> Result<(), SendError> {
        self.send_bytes(message, self.wait(Deadline::Forever))
    }

    /// Sends a message if there is room now.
    ///
    /// # Errors
    /// [`SendError::Full`] (also if another sender has been in the way for 20 ms: it is stopped), and those of
    /// [`send`](Self::send).
    #[inline]
    pub fn try_send(&self, message: &[u8]) -> Result<(), SendError> {
        self.send_bytes(message, self.wait(Deadline::Now))
    }

    /// Sends a message, waiting for room for at most `timeout`; zero is a [`try_send`](Self::try_send).
    ///
    /// # Errors
    /// [`SendError::TimedOut`], and those of [`send`](Self::send).
    pub fn send_timeout(&self, message: &[u8], timeout: Duration) -> Result<(), SendError> {
        self.send_bytes(message, self.wait(Deadline::after(timeout)))
    }

    /// Sends a message, waiting for room until `deadline` of the monotonic clock at most.
    ///
    /// # Errors
    /// [`SendError::TimedOut`], and those of [`send`](Self::send).
    pub fn send_deadline(&self, message: &[u8], deadline: Instant) -> Result<(), SendError> {
        self.send_bytes(message, self.wait(Deadline::At(deadline)))
    }

    /// Receives a message, waiting for one for as long as it takes.
    ///
    /// # Errors
    /// [`RecvError::Closed`], [`RecvError::Interrupted`] if [asked for](Self::set_interruptible),
    /// [`RecvError::Corrupted`], [`RecvError::Segment`].
    pub fn recv(&self) -> Result<Vec<u8>, RecvError> {
        self.recv_vec(Deadline::Forever)
    }

    /// Receives a message if there is one now.
    ///
    /// # Errors
    /// [`RecvError::Empty`] (also if another receiver has been in the way for 20 ms: it is stopped), and those of
    /// [`recv`](Self::recv).
    pub fn try_recv(&self) -> Result<Vec<u8>, RecvError> {
        self.recv_vec(Deadline::Now)
    }

    /// Receives a message, waiting for one for at most `timeout`; zero is a [`try_recv`](Self::try_recv).
    ///
    /// # Errors
    /// [`RecvError::TimedOut`], and those of [`recv`](Self::recv).
    pub fn recv_timeout(&self, timeout: Duration) -> Result<Vec<u8>, RecvError> {
        self.recv_vec(Deadline::after(timeout))
    }

    /// Receives a message, waiting for one until `deadline` of the monotonic clock at most.
    ///
    /// # Errors
    /// [`RecvError::TimedOut`], and those of [`recv`](Self::recv).
    pub fn recv_deadline(&self, deadline: Instant) -> Result<Vec<u8>, RecvError> {
        self.recv_vec(Deadline::At(deadline))
    }

    /// Receives a message into the first bytes of `buffer` and returns its length, waiting for as long as it takes.
    ///
    /// ```
    /// # use ringfence::{Channel, RecvError, Segment, SegmentOptions};
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let segment = Segment::anonymous(&SegmentOptions::new())?;
    /// # let lines = Channel::create(&segment, "lines", 4096)?;
    /// lines.send(b"hello")?;
    /// let mut buffer = [0; 64];
    /// assert_eq!(lines.recv_into(&mut buffer[..2]), Err(RecvError::BufferTooShort { needed: 5 }));
    /// let length = lines.recv_into(&mut buffer)?; // it is still there
    /// assert_eq!(&buffer[..length], b"hello");
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`RecvError::BufferTooShort`] (the message stays), and those of [`recv`](Self::recv).
    #[inline]
    pub fn recv_into(&self, buffer: &mut [u8]) -> Result<usize, RecvError> {
        self.recv_bytes(buffer, self.wait(Deadline::Forever))
    }

    /// As [`recv_into`](Self::recv_into), if there is a message now.
    ///
    /// # Errors
    /// [`RecvError::BufferTooShort`], and those of [`try_recv`](Self::try_recv).
    #[inline]
    pub fn try_recv_into(&self, buffer: &mut [u8]) -> Result<usize, RecvError> {
        self.recv_bytes(buffer, self.wait(Deadline::Now))
    }

    /// As [`recv_into`](Self::recv_into), waiting for at most `timeout`; zero tries.
    ///
    /// # Errors
    /// [`RecvError::BufferTooShort`], and those of [`recv_timeout`](Self::recv_timeout).
    pub fn recv_into_timeout(&self, buffer: &mut [u8], timeout: Duration) -> Result<usize, RecvError> {
        self.recv_bytes(buffer, self.wait(Deadline::after(timeout)))
    }

    /// As [`recv_into`](Self::recv_into), waiting until `deadline` of the monotonic clock at most.
    ///
    /// # Errors
    /// [`RecvError::BufferTooShort`], and those of [`recv_deadline`](Self::recv_deadline).
    pub fn recv_into_deadline(&self, buffer: &mut [u8], deadline: Instant) -> Result<usize, RecvError> {
        self.recv_bytes(buffer, self.wait(Deadline::At(deadline)))
    }

    /// Number of messages; a snapshot.
    pub fn len(&self) -> usize {
        self.raw().map_or(0, |channel| channel.len())
    }

    /// Whether there is no message; a snapshot.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes of the ring. A message takes 8 and its length rounded up to 8.
    pub fn capacity(&self) -> usize {
        self.geometry.capacity()
    }

    /// The longest message: one that fills the ring alone, 8 bytes less than the [`capacity`](Self::capacity).
    pub fn max_message(&self) -> usize {
        self.geometry.max_message()
    }

    /// Ends the channel for everybody: sends fail from now on, receivers take what is there and then fail. Sleepers
    /// wake up. Shutting down twice is fine; there is no way back.
    ///
    /// # Errors
    /// [`Error::Busy`] if a sender has been in the way for ten seconds (it is stopped), [`Error::Corrupted`], and those
    /// of joining the segment.
    pub fn shutdown(&self) -> Result<(), Error> {
        let owner = self.object.enter()?.owner();
        let channel = self.raw().ok_or(Error::Corrupted("a channel's size changed"))?;
        let wait = Wait::until(Deadline::after(PATIENCE));
        let result = channel.shutdown(owner, self.object.peers(), wait);
        self.object.settle();
        result.map_err(|failure| match failure {
            SendFailure::Full | SendFailure::TimedOut | SendFailure::Interrupted => Error::Busy,
            _ => Error::Corrupted("a channel's lock holds something that no participant writes"),
        })
    }

    /// Whether it is shut down.
    pub fn is_shut_down(&self) -> bool {
        self.raw().is_some_and(|channel| channel.is_shut_down())
    }

    /// Whether a signal handler that ran ends a blocked call of this handle with `Interrupted`. By default it does not.
    pub fn set_interruptible(&self, interruptible: bool) {
        self.interruptible.store(interruptible.into(), Ordering::Relaxed);
    }
}

impl fmt::Debug for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Channel").field("len", &self.len()).field("capacity", &self.capacity()).finish_non_exhaustive()
    }
}
