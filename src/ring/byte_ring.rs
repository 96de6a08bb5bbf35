//! The ring of records, and of bytes, of any length.

use super::byte_consumer::ByteConsumer;
use super::byte_producer::ByteProducer;
use super::end::End;
#[cfg(doc)]
use super::errors::{RingPopError, RingPushError};
use crate::error::Error;
use crate::layout::ring::{Bytes, RingHeader};
use crate::raw::byte_ring as raw;
use crate::raw::ring::is_taken;
use crate::segment::Segment;
use crate::segment::directory::{Mode, Object, Shape};
use crate::segment::kinds::Kind;
use crate::sync::Waitable;

/// A bounded ring of records of any length between one producer and one consumer, which are written and read where they
/// lie; or of a stream of bytes.
///
/// This handle opens the ring; [`producer`](Self::producer) and [`consumer`](Self::consumer) make the calling process the
/// one at an end, until the handle of that end is dropped or the process dies: then the next one to ask has it, and goes on
/// where the last one stopped.
///
/// A record takes 8 bytes and its length rounded up to 8. It lies in one piece, so that it can be looked at as a slice, and
/// therefore has at most half of the ring, less its 8 bytes: [`max_record`](Self::max_record). Records arrive in order,
/// whole, and once; empty ones too.
///
/// As a stream ([`std::io::Write`] and [`std::io::Read`], or [`write_some`](ByteProducer::write_some) and
/// [`read_some`](ByteConsumer::read_some)) it has no borders: a read takes what there is of the next piece, and a record can be
/// read in parts.
///
/// **Progress**: wait-free but for the copy, and no system call unless somebody has to sleep or sleeps.
///
/// **Crash behaviour**: delivery is at most once. A record that was committed is never lost; one that was only reserved was
/// never there. A consumer killed before it has released a record leaves it to its successor; killed in a stream, it leaves
/// the bytes from the last whole read on.
///
/// ```
/// use ringfence::{ByteRing, Segment, SegmentOptions};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let segment = Segment::anonymous(&SegmentOptions::new())?;
/// let ring = ByteRing::open_or_create(&segment, "frames", 64 << 10)?;
/// let mut producer = ring.producer()?;
/// let mut consumer = ring.consumer()?; // in another process, as a rule
///
/// producer.push(b"hello")?;
/// let mut room = producer.reserve(1000)?; // in place, without a copy of ours
/// room.write_at(0, b"world");
/// room.commit(5)?;
///
/// assert_eq!(consumer.pop()?, b"hello");
/// let record = consumer.peek()?;
/// let mut found = [0; 5];
/// record.read_at(0, &mut found);
/// assert_eq!(&found, b"world");
/// record.release();
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
#[must_use]
pub struct ByteRing {
    object: Object,
    size: Bytes,
}

pub(super) fn at(object: &Object, size: Bytes) -> raw::ByteRing<'_> {
    // SAFETY: the object is mapped as long as it is open, and at least `bytes()` long (checked in `with`).
    unsafe { raw::ByteRing::at(object.base(), size) }
}

impl ByteRing {
    /// Opens or creates the ring called `name`. Opening with 0 bytes takes whatever it has.
    pub(crate) fn with(segment: &Segment, name: &str, mode: Mode, bytes: usize) -> Result<Self, Error> {
        let wanted = Bytes::new(bytes as u64);
        if wanted.is_none() && (mode != Mode::Open || bytes != 0) {
            return Err(Error::InvalidArgument("a ring has at least 1 byte and at most 8 GiB"));
        }
        let shape = Shape {
            kind: Kind::ByteRing,
            element: 0,
            size: 1,
            align: 1,
            tag: [0; 32],
            capacity: wanted.map_or(0, Bytes::capacity),
            bytes: wanted.map_or(0, |size| size.bytes() as u64),
        };
        let object = Object::open(segment, name, mode, &shape, |base| {
            if let Some(size) = wanted {
                // SAFETY: `bytes` covers the header, the memory is aligned to 128, and nobody else sees it yet.
                unsafe { base.cast::<RingHeader>().write(RingHeader::new(size.capacity(), 0)) };
            }
        })?;
        let size = Bytes::exactly(object.shape().capacity)
            .filter(|size| size.bytes() as u64 <= object.len())
            .ok_or(Error::Corrupted("a ring does not fit its entry"))?;
        Ok(Self { object, size })
    }

    /// Creates a ring of `bytes`, rounded up to a power of two of at least 64, of a name that must be free in the segment.
    ///
    /// # Errors
    /// [`Error::Name`], [`Error::Exists`], [`Error::InvalidArgument`] for an impossible size, [`Error::NoSpace`],
    /// [`Error::DirectoryFull`], [`Error::Busy`], [`Error::Corrupted`].
    pub fn create(segment: &Segment, name: &str, bytes: usize) -> Result<Self, Error> {
        Self::with(segment, name, Mode::Create, bytes)
    }

    /// Opens a ring, whatever its size.
    ///
    /// # Errors
    /// [`Error::Name`], [`Error::Missing`], [`Error::WrongKind`], [`Error::Busy`], [`Error::Corrupted`].
    pub fn open(segment: &Segment, name: &str) -> Result<Self, Error> {
        Self::with(segment, name, Mode::Open, 0)
    }

    /// Opens a ring of exactly this size (rounded as above), or creates it.
    ///
    /// # Errors
    /// [`Error::WrongShape`] for a ring of another size, and as [`open`](Self::open) and [`create`](Self::create).
    pub fn open_or_create(segment: &Segment, name: &str, bytes: usize) -> Result<Self, Error> {
        Self::with(segment, name, Mode::OpenOrCreate, bytes)
    }

    fn raw(&self) -> raw::ByteRing<'_> {
        at(&self.object, self.size)
    }

    /// Makes this process the producer, which goes on where the last one stopped.
    ///
    /// # Errors
    /// [`Error::RoleTaken`] if there is a living one, in this process or another; [`Error::Corrupted`],
    /// [`Error::Stale`] or what keeps a forked child from joining.
    pub fn producer(&self) -> Result<ByteProducer, Error> {
        let (end, tail) = End::claim(&self.object, "producer", |me, peers| self.raw().produce(me, peers))?;
        Ok(ByteProducer::new(end, self.size, tail))
    }

    /// Makes this process the consumer, which goes on where the last one stopped.
    ///
    /// # Errors
    /// As [`producer`](Self::producer).
    pub fn consumer(&self) -> Result<ByteConsumer, Error> {
        let (end, head) = End::claim(&self.object, "consumer", |me, peers| self.raw().consume(me, peers))?;
        Ok(ByteConsumer::new(end, self.size, head))
    }

    /// Whether there is a living producer; a hint. Costs a system call if there is one.
    #[must_use]
    pub fn has_producer(&self) -> bool {
        is_taken(self.raw().producer(), self.object.peers())
    }

    /// Whether there is a living consumer; a hint. Costs a system call if there is one.
    #[must_use]
    pub fn has_consumer(&self) -> bool {
        is_taken(self.raw().consumer(), self.object.peers())
    }

    /// Bytes of the ring that are in use, headers and what was left out at its end included; a snapshot.
    #[must_use]
    pub fn used(&self) -> usize {
        self.raw().used() as usize
    }

    /// Whether it holds nothing; a snapshot.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.used() == 0
    }

    /// Bytes of the ring.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.size.capacity() as usize
    }

    /// The longest record that it takes.
    #[must_use]
    pub fn max_record(&self) -> usize {
        self.size.max_record()
    }

    /// Shuts the ring down for everybody: pushes fail with [`RingPushError::Closed`] from now on, pops drain what is there
    /// and then fail with [`RingPopError::Closed`]; in a stream that is the end of file. What was committed is delivered
    /// before that, and nothing comes after it. Doing it twice is fine.
    pub fn shutdown(&self) {
        self.raw().shutdown();
    }

    /// Whether somebody has shut it down.
    #[must_use]
    pub fn is_shut_down(&self) -> bool {
        self.raw().is_shut_down()
    }

    /// For [`WaitAny`](crate::WaitAny): that a [`try_peek`](ByteConsumer::try_peek) would not say [`RingPopError::Empty`].
    pub fn readable(&self) -> Waitable<'_> {
        Waitable::recorded(&self.object, self.size)
    }

    /// For [`WaitAny`](crate::WaitAny): that a [`try_push`](ByteProducer::try_push) of a record of this length would not say
    /// [`RingPushError::Full`].
    pub fn writable(&self, len: usize) -> Waitable<'_> {
        Waitable::reservable(&self.object, self.size, len)
    }
}
