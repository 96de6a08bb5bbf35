//! Records where they lie: room for one to be written, and one to be read.
//!
//! Other processes can write there at any time, which no reference may see. So what is safe copies; a slice, or what is done
//! through the address, rests on a promise of the caller.

use super::byte_consumer::ByteConsumer;
use super::byte_producer::ByteProducer;
use super::errors::RingPushError;
use crate::raw::byte_ring::{Found, Room};

/// Room for a record, to be written in place. Committed it is a record; dropped it leaves nothing, as it does when the process
/// dies.
#[derive(Debug)]
#[must_use = "dropped, it is no record"]
pub struct Reservation<'a> {
    producer: &'a mut ByteProducer,
    room: Room,
}

impl<'a> Reservation<'a> {
    #[inline(always)]
    pub(super) fn new(producer: &'a mut ByteProducer, room: Room) -> Self {
        Self { producer, room }
    }

    /// Bytes of room.
    #[must_use]
    #[inline]
    pub fn len(&self) -> usize {
        self.room.bytes()
    }

    /// Whether it has no bytes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Copies bytes in, from byte `at` of the record on. What was in the ring before is there until it is written over.
    ///
    /// # Panics
    /// If they do not fit.
    pub fn write_at(&mut self, at: usize, bytes: &[u8]) {
        assert!(at.checked_add(bytes.len()).is_some_and(|end| end <= self.len()), "beyond what was reserved");
        self.producer.fill(self.room, at, bytes);
    }

    /// Where it lies, aligned to 8: valid for writes of [`len`](Self::len) bytes until it is committed or dropped, if all
    /// participants keep to the protocol, as [`as_mut_slice`](Self::as_mut_slice) says.
    #[must_use]
    #[inline]
    pub fn as_mut_ptr(&mut self) -> *mut u8 {
        self.producer.address(self.room)
    }

    /// The room as a slice; what is in it is arbitrary.
    ///
    /// # Safety
    /// No participant writes there meanwhile. All that use this library and have not been corrupted do not.
    ///
    /// ```
    /// # use ringfence::{ByteRing, Segment, SegmentOptions};
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let segment = Segment::anonymous(&SegmentOptions::new())?;
    /// # let ring = ByteRing::create(&segment, "ring", 4096)?;
    /// # let (mut producer, mut consumer) = (ring.producer()?, ring.consumer()?);
    /// let mut room = producer.reserve(1000)?;
    /// // SAFETY: every process that has this segment is this very program.
    /// let bytes = unsafe { room.as_mut_slice() };
    /// bytes[..3].copy_from_slice(b"abc");
    /// room.commit(3)?;
    /// let record = consumer.peek()?;
    /// // SAFETY: as above.
    /// assert_eq!(unsafe { record.as_slice() }, b"abc");
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    #[inline]
    pub unsafe fn as_mut_slice(&mut self) -> &mut [u8] {
        let len = self.len();
        // SAFETY: mapped, checked to lie in the ring, and initialised, as all shared memory is; the caller promises the rest.
        unsafe { core::slice::from_raw_parts_mut(self.as_mut_ptr(), len) }
    }

    /// Makes a record of the first `len` bytes.
    ///
    /// # Errors
    /// [`RingPushError::Closed`]: it was shut down meanwhile, and nothing was committed; [`RingPushError::NotOwner`] in a forked
    /// child, [`RingPushError::Corrupted`], [`RingPushError::Segment`].
    ///
    /// # Panics
    /// If `len` is more than was reserved.
    #[inline]
    pub fn commit(self, len: usize) -> Result<(), RingPushError> {
        assert!(len <= self.len(), "beyond what was reserved");
        self.producer.publish(self.room, len)
    }
}

/// The first record of a ring where it lies, or what is left of it by a read of the stream. Released it is taken; dropped it
/// stays, as it does when the process dies.
#[derive(Debug)]
#[must_use = "dropped, it stays in the ring"]
pub struct Record<'a> {
    consumer: &'a mut ByteConsumer,
    found: Found,
}

impl<'a> Record<'a> {
    #[inline(always)]
    pub(super) fn new(consumer: &'a mut ByteConsumer, found: Found) -> Self {
        Self { consumer, found }
    }

    /// Bytes of the record.
    #[must_use]
    #[inline]
    pub fn len(&self) -> usize {
        self.found.bytes()
    }

    /// Whether it has none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Copies bytes out, from byte `at` of the record on.
    ///
    /// # Panics
    /// If it has not so many.
    pub fn read_at(&self, at: usize, bytes: &mut [u8]) {
        assert!(at.checked_add(bytes.len()).is_some_and(|end| end <= self.len()), "beyond the record");
        self.consumer.copy(self.found, at, bytes);
    }

    /// Copies all of it out.
    #[must_use]
    pub fn to_vec(&self) -> Vec<u8> {
        let mut bytes = vec![0; self.len()];
        self.read_at(0, &mut bytes);
        bytes
    }

    /// Where it lies, aligned to 8 (what a read of the stream has left of one is not): valid for reads of [`len`](Self::len)
    /// bytes until it is released or dropped, if all participants keep to the protocol, as [`as_slice`](Self::as_slice) says.
    #[must_use]
    #[inline]
    pub fn as_ptr(&self) -> *const u8 {
        self.consumer.address(self.found)
    }

    /// The record as a slice.
    ///
    /// # Safety
    /// No participant writes there meanwhile. All that use this library and have not been corrupted do not.
    #[must_use]
    #[inline]
    pub unsafe fn as_slice(&self) -> &[u8] {
        // SAFETY: mapped, checked to lie in the ring, and initialised, as all shared memory is; the caller promises the rest.
        unsafe { core::slice::from_raw_parts(self.as_ptr(), self.len()) }
    }

    /// Takes it: its bytes are the producer's again.
    #[inline]
    pub fn release(self) {
        self.consumer.take(self.found, self.len());
    }
}
