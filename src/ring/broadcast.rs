//! The typed broadcast, and that of byte records.

use std::fmt;
use std::marker::PhantomData;
use std::time::{Duration, Instant};

use bytemuck::Zeroable;

use super::any_broadcast::{AnyBroadcast, AnyReader, AnyWriter, Plan, Records};
use super::broadcast_errors::{BroadcastRecvError, BroadcastSendError, ReaderError, WriterError};
use crate::error::Error;
use crate::plain::Plain;
use crate::raw::broadcast::Start;
use crate::segment::Segment;
use crate::segment::directory::{Mode, tag};
use crate::sync::Waitable;
use crate::sys::nap::Deadline;

/// How a new [`Broadcast`] is: its capacity, and whether its writer waits for readers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BroadcastOptions {
    capacity: usize,
    readers: usize,
}

impl BroadcastOptions {
    /// The newest `capacity` records can be read at any time; the writer overwrites older ones, and waits for nobody.
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        Self { capacity, readers: 0 }
    }

    /// The writer waits for the slowest of up to so many readers (1 to 1024): nothing is lost. 128 bytes each.
    #[must_use]
    pub fn back_pressure(self, readers: usize) -> Self {
        Self { readers, ..self }
    }

    fn plan(self) -> Plan {
        Plan { capacity: self.capacity, readers: self.readers }
    }
}

/// Records of one writer for many readers: each reader gets every record, in order.
///
/// Records are of a [`Plain`] type, or byte slices: `Broadcast<[u8]>`, with a longest length fixed at creation that each slot has
/// room for. There is one [writer](Self::writer) at a time. [Readers](Self::reader) come and go at any time, and begin with the
/// next record, or [the oldest](Self::reader_from_oldest) that is there.
///
/// Two modes, fixed at creation:
/// - *overwrite*: the writer never waits. A reader that is more than the capacity behind is told how many records it missed,
///   once, by [`BroadcastRecvError::Missed`], and goes on at the oldest that is there. Readers are as many as like, and cost the
///   writer nothing;
/// - *[back-pressure](BroadcastOptions::back_pressure)*: nothing is missed. The writer waits while the slowest living reader is the
///   whole capacity behind, also for one that is stopped. Without readers it waits for nobody, and the records are gone.
///
/// **Progress**: to send in overwrite mode, and each try to receive, takes a fixed number of steps. Nobody makes a system call
/// unless it has to sleep or somebody sleeps.
///
/// **Crash behaviour**: a record whose send has returned is there. A writer killed in the middle of one leaves nothing of it; the
/// next writer goes on where it stopped. A dead reader leaves nothing in overwrite mode; with back-pressure the writer leaves it
/// behind as soon as it stands in the way. After a shutdown, readers are told of the end when a writer that is in the middle of
/// its last record has ended it, or is dead.
///
/// ```
/// use ringfence::{Broadcast, BroadcastOptions, BroadcastRecvError, Segment, SegmentOptions};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let segment = Segment::anonymous(&SegmentOptions::new())?;
/// let prices = Broadcast::<u64>::open_or_create(&segment, "prices", BroadcastOptions::new(2))?;
/// let (writer, reader) = (prices.writer()?, prices.reader()?);
/// for price in 1..=5 {
///     writer.send(price)?;
/// }
/// assert_eq!(reader.recv(), Err(BroadcastRecvError::Missed(3)));
/// assert_eq!((reader.recv()?, reader.recv()?), (4, 5));
///
/// let lines = Broadcast::create_bytes(&segment, "lines", 80, BroadcastOptions::new(16).back_pressure(4))?;
/// let (writer, reader) = (lines.writer()?, lines.reader()?);
/// writer.send(b"hello")?;
/// assert_eq!(reader.recv()?, b"hello");
/// # Ok(())
/// # }
/// ```
#[must_use]
pub struct Broadcast<T: ?Sized> {
    core: AnyBroadcast,
    record: PhantomData<fn(&T)>,
}

fn typed<T: Plain>() -> Result<Records, Error> {
    Ok(Records { size: size_of::<T::Bits>(), align: align_of::<T::Bits>(), tag: tag(T::TAG)?, bytes: false })
}

fn byte_records(longest: usize) -> Records {
    Records { size: longest, align: 1, tag: [0; 32], bytes: true }
}

impl<T: Plain> Broadcast<T> {
    fn with(segment: &Segment, name: &str, mode: Mode, options: Option<BroadcastOptions>) -> Result<Self, Error> {
        let plan = options.map(BroadcastOptions::plan);
        Ok(Self { core: AnyBroadcast::open(segment, name, mode, typed::<T>()?, plan)?, record: PhantomData })
    }

    /// Creates a broadcast, of a name that must be free in the segment.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] for a capacity of 0, too many readers, or beyond the address space; [`Error::Name`],
    /// [`Error::Exists`], [`Error::NoSpace`], [`Error::DirectoryFull`], [`Error::Busy`], [`Error::Corrupted`].
    pub fn create(segment: &Segment, name: &str, options: BroadcastOptions) -> Result<Self, Error> {
        Self::with(segment, name, Mode::Create, Some(options))
    }

    /// Opens a broadcast, whatever its capacity and mode.
    ///
    /// # Errors
    /// [`Error::Name`], [`Error::Missing`], [`Error::WrongKind`], [`Error::WrongShape`] for records of another size, alignment
    /// or tag, [`Error::Busy`], [`Error::Corrupted`].
    pub fn open(segment: &Segment, name: &str) -> Result<Self, Error> {
        Self::with(segment, name, Mode::Open, None)
    }

    /// Opens a broadcast of exactly these options, or creates it.
    ///
    /// # Errors
    /// As [`open`](Self::open) and [`create`](Self::create).
    pub fn open_or_create(segment: &Segment, name: &str, options: BroadcastOptions) -> Result<Self, Error> {
        Self::with(segment, name, Mode::OpenOrCreate, Some(options))
    }
}

impl Broadcast<[u8]> {
    /// Creates a broadcast of byte records up to `longest` bytes, of a name that must be free in the segment. Each slot has room
    /// for the longest.
    ///
    /// # Errors
    /// As those of a typed one.
    pub fn create_bytes(
        segment: &Segment,
        name: &str,
        longest: usize,
        options: BroadcastOptions,
    ) -> Result<Self, Error> {
        let (records, plan) = (byte_records(longest), Some(options.plan()));
        Ok(Self { core: AnyBroadcast::open(segment, name, Mode::Create, records, plan)?, record: PhantomData })
    }

    /// Opens a broadcast of byte records, whatever its longest, capacity and mode.
    ///
    /// # Errors
    /// As those of a typed one.
    pub fn open_bytes(segment: &Segment, name: &str) -> Result<Self, Error> {
        Ok(Self { core: AnyBroadcast::open(segment, name, Mode::Open, byte_records(0), None)?, record: PhantomData })
    }

    /// Opens a broadcast of byte records of exactly this longest length and these options, or creates it.
    ///
    /// # Errors
    /// As those of a typed one.
    pub fn open_or_create_bytes(
        segment: &Segment,
        name: &str,
        longest: usize,
        options: BroadcastOptions,
    ) -> Result<Self, Error> {
        let (records, plan) = (byte_records(longest), Some(options.plan()));
        Ok(Self { core: AnyBroadcast::open(segment, name, Mode::OpenOrCreate, records, plan)?, record: PhantomData })
    }

    /// The longest record that it takes.
    #[must_use]
    pub fn longest(&self) -> usize {
        self.core.geometry().record_size()
    }
}

impl<T: ?Sized> Broadcast<T> {
    /// Becomes the writer, until that is dropped. If the last one died, it goes on where that one stopped.
    ///
    /// # Errors
    /// [`WriterError::Taken`] if there is one that lives, [`WriterError::Corrupted`], [`WriterError::Segment`].
    pub fn writer(&self) -> Result<BroadcastWriter<T>, WriterError> {
        Ok(BroadcastWriter { core: self.core.writer()?, record: PhantomData })
    }

    /// Becomes a reader, until that is dropped. It gets every record whose send begins from now on.
    ///
    /// # Errors
    /// [`ReaderError::TooMany`] with back-pressure, [`ReaderError::Corrupted`], [`ReaderError::Segment`].
    pub fn reader(&self) -> Result<BroadcastReader<T>, ReaderError> {
        Ok(BroadcastReader { core: self.core.reader(Start::Next)?, record: PhantomData })
    }

    /// Becomes a reader, until that is dropped, that begins with the oldest record which is there. What was sent before may be
    /// overwritten before it is read, with back-pressure too: then it is [missed](BroadcastRecvError::Missed).
    ///
    /// # Errors
    /// As [`reader`](Self::reader).
    pub fn reader_from_oldest(&self) -> Result<BroadcastReader<T>, ReaderError> {
        Ok(BroadcastReader { core: self.core.reader(Start::Oldest)?, record: PhantomData })
    }

    /// How many records can be read at any time.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.core.geometry().capacity() as usize
    }

    /// For how many readers the writer waits at most; 0 in overwrite mode.
    #[must_use]
    pub fn max_readers(&self) -> usize {
        self.core.geometry().readers() as usize
    }

    /// Shuts it down for everybody: no send that begins from now on succeeds; readers read what is there and then get
    /// [`BroadcastRecvError::Closed`]. Twice is fine. Never waits.
    ///
    /// # Errors
    /// Those of a forked child that joins the segment.
    pub fn shutdown(&self) -> Result<(), Error> {
        self.core.shutdown()
    }

    /// Whether it is shut down.
    #[must_use]
    pub fn is_shut_down(&self) -> bool {
        self.core.is_shut_down()
    }

    /// Whether a signal handler that ran ends a blocked call of writers and readers that are opened from now on. Off at first.
    pub fn set_interruptible(&self, interruptible: bool) {
        self.core.set_interruptible(interruptible);
    }
}

impl<T: ?Sized> fmt::Debug for Broadcast<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (capacity, readers) = (self.capacity(), self.max_readers());
        f.debug_struct("Broadcast").field("capacity", &capacity).field("max_readers", &readers).finish_non_exhaustive()
    }
}

/// The writer of a [`Broadcast`]; dropped, the place is free. One thread at a time may use it. In a forked child that got a copy
/// of it, it is the parent's.
#[must_use = "dropped, the place is free for another writer"]
pub struct BroadcastWriter<T: ?Sized> {
    core: AnyWriter,
    record: PhantomData<fn(&T)>,
}

impl<T: Plain> BroadcastWriter<T> {
    #[inline]
    fn send_until(&self, record: T, deadline: Deadline) -> Result<(), BroadcastSendError> {
        self.core.send(bytemuck::bytes_of(&record.to_bits()), deadline)
    }

    /// Sends a record, waiting for the slowest reader for as long as it takes; in overwrite mode it never waits.
    ///
    /// # Errors
    /// [`BroadcastSendError::Closed`], [`BroadcastSendError::Interrupted`] if [asked for](Self::set_interruptible),
    /// [`BroadcastSendError::NotOwner`] in a forked child, [`BroadcastSendError::Corrupted`].
    #[inline]
    pub fn send(&self, record: T) -> Result<(), BroadcastSendError> {
        self.send_until(record, Deadline::Forever)
    }

    /// Sends a record if no reader is in the way now.
    ///
    /// # Errors
    /// [`BroadcastSendError::Full`], and those of [`send`](Self::send).
    #[inline]
    pub fn try_send(&self, record: T) -> Result<(), BroadcastSendError> {
        self.send_until(record, Deadline::Now)
    }

    /// Sends a record, waiting for the slowest reader for at most `timeout`; zero is a [`try_send`](Self::try_send).
    ///
    /// # Errors
    /// [`BroadcastSendError::TimedOut`], and those of [`send`](Self::send).
    pub fn send_timeout(&self, record: T, timeout: Duration) -> Result<(), BroadcastSendError> {
        self.send_until(record, Deadline::after(timeout))
    }

    /// Sends a record, waiting for the slowest reader until `deadline` of the monotonic clock at most.
    ///
    /// # Errors
    /// [`BroadcastSendError::TimedOut`], and those of [`send`](Self::send).
    pub fn send_deadline(&self, record: T, deadline: Instant) -> Result<(), BroadcastSendError> {
        self.send_until(record, Deadline::At(deadline))
    }
}

impl BroadcastWriter<[u8]> {
    /// Sends a record, waiting for the slowest reader for as long as it takes; in overwrite mode it never waits.
    ///
    /// # Errors
    /// [`BroadcastSendError::TooLong`], and those of a typed writer.
    #[inline]
    pub fn send(&self, record: &[u8]) -> Result<(), BroadcastSendError> {
        self.core.send(record, Deadline::Forever)
    }

    /// Sends a record if no reader is in the way now.
    ///
    /// # Errors
    /// [`BroadcastSendError::Full`], and those of [`send`](Self::send).
    #[inline]
    pub fn try_send(&self, record: &[u8]) -> Result<(), BroadcastSendError> {
        self.core.send(record, Deadline::Now)
    }

    /// Sends a record, waiting for the slowest reader for at most `timeout`; zero is a [`try_send`](Self::try_send).
    ///
    /// # Errors
    /// [`BroadcastSendError::TimedOut`], and those of [`send`](Self::send).
    pub fn send_timeout(&self, record: &[u8], timeout: Duration) -> Result<(), BroadcastSendError> {
        self.core.send(record, Deadline::after(timeout))
    }

    /// Sends a record, waiting for the slowest reader until `deadline` of the monotonic clock at most.
    ///
    /// # Errors
    /// [`BroadcastSendError::TimedOut`], and those of [`send`](Self::send).
    pub fn send_deadline(&self, record: &[u8], deadline: Instant) -> Result<(), BroadcastSendError> {
        self.core.send(record, Deadline::At(deadline))
    }
}

impl<T: ?Sized> BroadcastWriter<T> {
    /// For [`WaitAny`](crate::WaitAny): that a send would not wait for a reader.
    pub fn writable(&self) -> Waitable<'_> {
        self.core.writable()
    }

    /// Shuts the broadcast down, as [`Broadcast::shutdown`]. Dropping the writer does not.
    ///
    /// # Errors
    /// Those of a forked child that joins the segment.
    pub fn shutdown(&self) -> Result<(), Error> {
        self.core.shutdown()
    }

    /// Whether a signal handler that ran ends a blocked call with [`BroadcastSendError::Interrupted`]. Off at first: the call goes
    /// on, with its deadline.
    pub fn set_interruptible(&self, interruptible: bool) {
        self.core.set_interruptible(interruptible);
    }
}

impl<T: ?Sized> fmt::Debug for BroadcastWriter<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BroadcastWriter").finish_non_exhaustive()
    }
}

/// A reader of a [`Broadcast`]. One thread at a time may use it. A forked child that got a copy of it reads on from the same
/// place in overwrite mode; with back-pressure it is the parent's.
#[must_use]
pub struct BroadcastReader<T: ?Sized> {
    core: AnyReader,
    record: PhantomData<fn(&T)>,
}

impl<T: Plain> BroadcastReader<T> {
    #[inline]
    fn recv_until(&self, deadline: Deadline) -> Result<T, BroadcastRecvError> {
        let mut bits = T::Bits::zeroed();
        self.core.recv(bytemuck::bytes_of_mut(&mut bits), deadline)?;
        Ok(T::from_bits(bits))
    }

    /// Receives the next record, waiting for one for as long as it takes.
    ///
    /// # Errors
    /// [`BroadcastRecvError::Missed`], told once, in overwrite mode; [`BroadcastRecvError::Closed`],
    /// [`BroadcastRecvError::Interrupted`] if [asked for](Self::set_interruptible), [`BroadcastRecvError::NotOwner`] in a forked
    /// child with back-pressure, [`BroadcastRecvError::Corrupted`], [`BroadcastRecvError::Segment`].
    #[inline]
    pub fn recv(&self) -> Result<T, BroadcastRecvError> {
        self.recv_until(Deadline::Forever)
    }

    /// Receives the next record if there is one now.
    ///
    /// # Errors
    /// [`BroadcastRecvError::Empty`], and those of [`recv`](Self::recv).
    #[inline]
    pub fn try_recv(&self) -> Result<T, BroadcastRecvError> {
        self.recv_until(Deadline::Now)
    }

    /// Receives the next record, waiting for one for at most `timeout`; zero is a [`try_recv`](Self::try_recv).
    ///
    /// # Errors
    /// [`BroadcastRecvError::TimedOut`], and those of [`recv`](Self::recv).
    pub fn recv_timeout(&self, timeout: Duration) -> Result<T, BroadcastRecvError> {
        self.recv_until(Deadline::after(timeout))
    }

    /// Receives the next record, waiting for one until `deadline` of the monotonic clock at most.
    ///
    /// # Errors
    /// [`BroadcastRecvError::TimedOut`], and those of [`recv`](Self::recv).
    pub fn recv_deadline(&self, deadline: Instant) -> Result<T, BroadcastRecvError> {
        self.recv_until(Deadline::At(deadline))
    }
}

impl BroadcastReader<[u8]> {
    fn recv_vec(&self, deadline: Deadline) -> Result<Vec<u8>, BroadcastRecvError> {
        let mut record = vec![0; self.core.geometry().record_size()];
        let len = self.core.recv(&mut record, deadline)?;
        record.truncate(len);
        Ok(record)
    }

    /// Receives the next record, waiting for one for as long as it takes.
    ///
    /// # Errors
    /// Those of a typed reader.
    pub fn recv(&self) -> Result<Vec<u8>, BroadcastRecvError> {
        self.recv_vec(Deadline::Forever)
    }

    /// Receives the next record if there is one now.
    ///
    /// # Errors
    /// [`BroadcastRecvError::Empty`], and those of [`recv`](Self::recv).
    pub fn try_recv(&self) -> Result<Vec<u8>, BroadcastRecvError> {
        self.recv_vec(Deadline::Now)
    }

    /// Receives the next record, waiting for one for at most `timeout`; zero is a [`try_recv`](Self::try_recv).
    ///
    /// # Errors
    /// [`BroadcastRecvError::TimedOut`], and those of [`recv`](Self::recv).
    pub fn recv_timeout(&self, timeout: Duration) -> Result<Vec<u8>, BroadcastRecvError> {
        self.recv_vec(Deadline::after(timeout))
    }

    /// Receives the next record, waiting for one until `deadline` of the monotonic clock at most.
    ///
    /// # Errors
    /// [`BroadcastRecvError::TimedOut`], and those of [`recv`](Self::recv).
    pub fn recv_deadline(&self, deadline: Instant) -> Result<Vec<u8>, BroadcastRecvError> {
        self.recv_vec(Deadline::At(deadline))
    }

    /// Receives the next record into the first bytes of `buffer`, waiting for one for as long as it takes; returns its length.
    /// On failure the bytes are arbitrary.
    ///
    /// # Errors
    /// [`BroadcastRecvError::BufferTooShort`] (the record stays), and those of [`recv`](Self::recv).
    #[inline]
    pub fn recv_into(&self, buffer: &mut [u8]) -> Result<usize, BroadcastRecvError> {
        self.core.recv(buffer, Deadline::Forever)
    }

    /// As [`recv_into`](Self::recv_into), if there is a record now.
    ///
    /// # Errors
    /// [`BroadcastRecvError::Empty`], and those of [`recv_into`](Self::recv_into).
    #[inline]
    pub fn try_recv_into(&self, buffer: &mut [u8]) -> Result<usize, BroadcastRecvError> {
        self.core.recv(buffer, Deadline::Now)
    }

    /// As [`recv_into`](Self::recv_into), for at most `timeout`.
    ///
    /// # Errors
    /// [`BroadcastRecvError::TimedOut`], and those of [`recv_into`](Self::recv_into).
    pub fn recv_into_timeout(&self, buffer: &mut [u8], timeout: Duration) -> Result<usize, BroadcastRecvError> {
        self.core.recv(buffer, Deadline::after(timeout))
    }

    /// As [`recv_into`](Self::recv_into), until `deadline` of the monotonic clock at most.
    ///
    /// # Errors
    /// [`BroadcastRecvError::TimedOut`], and those of [`recv_into`](Self::recv_into).
    pub fn recv_into_deadline(&self, buffer: &mut [u8], deadline: Instant) -> Result<usize, BroadcastRecvError> {
        self.core.recv(buffer, Deadline::At(deadline))
    }
}

impl<T: ?Sized> BroadcastReader<T> {
    /// For [`WaitAny`](crate::WaitAny): that there is a record, one was missed, or none is to come. It moves on with the reader.
    pub fn readable(&self) -> Waitable<'_> {
        self.core.readable()
    }

    /// Whether a signal handler that ran ends a blocked call with [`BroadcastRecvError::Interrupted`]. Off at first: the call goes
    /// on, with its deadline.
    pub fn set_interruptible(&self, interruptible: bool) {
        self.core.set_interruptible(interruptible);
    }
}

impl<T: ?Sized> fmt::Debug for BroadcastReader<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BroadcastReader").finish_non_exhaustive()
    }
}
