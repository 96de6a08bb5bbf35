//! The producer's end of a ring of records.

use std::fmt;
use std::io;
use std::marker::PhantomData;
use std::time::{Duration, Instant};

#[cfg(doc)]
use super::byte_ring::ByteRing;
use super::byte_ring::at;
use super::end::{End, Run};
use super::errors::RingPushError;
use super::views::Reservation;
use crate::layout::ring::Bytes;
use crate::raw::byte_ring::{self as raw, Room, Tail};
use crate::raw::ring::{self, PushFailure, is_taken};
use crate::raw::words;
use crate::sys::nap::Deadline;

/// The producer's end of a [`ByteRing`]. Of any thread, but of one at a time; dropped, it frees the end.
///
/// In a forked child it is the parent's: a push says [`RingPushError::NotOwner`], and dropping it changes nothing.
#[must_use = "dropped, it frees the end"]
pub struct ByteProducer {
    end: End,
    size: Bytes,
    tail: Tail,
    run: Run,
    one_thread: PhantomData<core::cell::Cell<()>>,
}

impl ByteProducer {
    pub(super) fn new(end: End, size: Bytes, tail: Tail) -> Self {
        Self { end, size, tail, run: Run::default(), one_thread: PhantomData }
    }

    #[inline(always)]
    fn raw(&self) -> raw::ByteRing<'_> {
        at(&self.end.object, self.size)
    }

    #[inline(always)]
    fn check_len(&self, len: usize) -> Result<(), RingPushError> {
        let max = self.size.max_record();
        if len > max { Err(RingPushError::TooLong { item: (), len, max }) } else { Ok(()) }
    }

    /// Room for a record; nobody else's business until it is committed.
    #[inline(always)]
    pub(crate) fn room_until(&mut self, len: usize, deadline: Deadline) -> Result<Room, RingPushError> {
        self.check_len(len)?;
        self.room(deadline, |ring, tail| ring.try_reserve(tail, len))
    }

    #[inline(always)]
    fn room(
        &mut self,
        deadline: Deadline,
        mut reserve: impl FnMut(&raw::ByteRing<'_>, &mut Tail) -> Result<Room, PushFailure>,
    ) -> Result<Room, RingPushError> {
        if self.end.is_here() {
            match self.look(&mut reserve) {
                Ok(room) => {
                    self.run.more();
                    return Ok(room);
                }
                Err(PushFailure::Full) if deadline == Deadline::Now => return Err(RingPushError::Full(())),
                Err(_) => {}
            }
        }
        // It does not say which: that would come by memory, from the fast path too.
        self.await_room(deadline, &mut reserve)?;
        Ok(self.look(&mut reserve)?)
    }

    #[inline(always)]
    fn look(
        &mut self,
        reserve: &mut impl FnMut(&raw::ByteRing<'_>, &mut Tail) -> Result<Room, PushFailure>,
    ) -> Result<Room, PushFailure> {
        reserve(&at(&self.end.object, self.size), &mut self.tail)
    }

    /// Returns when there is room.
    #[cold]
    #[inline(never)]
    fn await_room(
        &mut self,
        deadline: Deadline,
        reserve: &mut impl FnMut(&raw::ByteRing<'_>, &mut Tail) -> Result<Room, PushFailure>,
    ) -> Result<(), RingPushError> {
        self.end.check(self.raw().producer())?;
        let backoff = self.run.end();
        let ring = at(&self.end.object, self.size);
        let (wait, company) = (self.end.wait(deadline), self.end.company());
        let room = ring::push_slow(ring.header(), wait, backoff, company, || reserve(&ring, &mut self.tail));
        if room.is_err() {
            self.end.object.settle();
        }
        room?;
        Ok(())
    }

    /// The address of what was reserved.
    #[inline]
    pub(crate) fn address(&self, room: Room) -> *mut u8 {
        self.raw().payload(room).as_ptr().cast_mut().cast()
    }

    /// Writes into what was reserved.
    pub(crate) fn fill(&self, room: Room, at: usize, bytes: &[u8]) {
        words::store_at(self.raw().payload(room), at, bytes);
    }

    /// Publishes the first `len` bytes of what was reserved last.
    #[inline(always)]
    pub(crate) fn publish(&mut self, room: Room, len: usize) -> Result<(), RingPushError> {
        // Between the two a fork may have come.
        if !self.end.is_here() {
            self.end.check(self.raw().producer())?;
        }
        Ok(at(&self.end.object, self.size).commit(&mut self.tail, room, len)?)
    }

    #[inline]
    pub(crate) fn push_until(&mut self, record: &[u8], deadline: Deadline) -> Result<(), RingPushError> {
        let room = self.room_until(record.len(), deadline)?;
        words::store(self.raw().payload(room), record);
        self.publish(room, record.len())
    }

    pub(crate) fn write_until(&mut self, bytes: &[u8], deadline: Deadline) -> Result<usize, RingPushError> {
        if bytes.is_empty() {
            return Ok(0);
        }
        let room = self.room(deadline, |ring, tail| ring.try_reserve_some(tail, bytes.len()))?;
        words::store(self.raw().payload(room), &bytes[..room.bytes()]);
        self.publish(room, room.bytes())?;
        Ok(room.bytes())
    }

    #[inline(always)]
    fn reserve_until(&mut self, len: usize, deadline: Deadline) -> Result<Reservation<'_>, RingPushError> {
        let room = self.room_until(len, deadline)?;
        Ok(Reservation::new(self, room))
    }

    /// Copies a record into the ring, waiting for room for as long as it takes.
    ///
    /// # Errors
    /// [`RingPushError::TooLong`], [`RingPushError::Closed`], [`RingPushError::Interrupted`] if
    /// [asked for](Self::set_interruptible), [`RingPushError::NoConsumer`] if [asked for](Self::set_tell_if_alone),
    /// [`RingPushError::NotOwner`], [`RingPushError::Corrupted`], [`RingPushError::Segment`].
    #[inline]
    pub fn push(&mut self, record: &[u8]) -> Result<(), RingPushError> {
        self.push_until(record, Deadline::Forever)
    }

    /// As [`push`](Self::push), but does not wait.
    ///
    /// # Errors
    /// [`RingPushError::Full`], and those of [`push`](Self::push).
    #[inline]
    pub fn try_push(&mut self, record: &[u8]) -> Result<(), RingPushError> {
        self.push_until(record, Deadline::Now)
    }

    /// As [`push`](Self::push), waiting for at most `timeout`.
    ///
    /// # Errors
    /// [`RingPushError::TimedOut`], and those of [`push`](Self::push).
    pub fn push_timeout(&mut self, record: &[u8], timeout: Duration) -> Result<(), RingPushError> {
        self.push_until(record, Deadline::after(timeout))
    }

    /// As [`push`](Self::push), waiting until `deadline` of the monotonic clock at most.
    ///
    /// # Errors
    /// [`RingPushError::TimedOut`], and those of [`push`](Self::push).
    pub fn push_deadline(&mut self, record: &[u8], deadline: Instant) -> Result<(), RingPushError> {
        self.push_until(record, Deadline::At(deadline))
    }

    /// Reserves room for a record of up to `len` bytes, to be written in place and [committed](Reservation::commit); waits for
    /// room. Dropped, it leaves nothing.
    ///
    /// # Errors
    /// Those of [`push`](Self::push).
    #[inline]
    pub fn reserve(&mut self, len: usize) -> Result<Reservation<'_>, RingPushError> {
        self.reserve_until(len, Deadline::Forever)
    }

    /// As [`reserve`](Self::reserve), but does not wait.
    ///
    /// # Errors
    /// [`RingPushError::Full`], and those of [`reserve`](Self::reserve).
    #[inline]
    pub fn try_reserve(&mut self, len: usize) -> Result<Reservation<'_>, RingPushError> {
        self.reserve_until(len, Deadline::Now)
    }

    /// As [`reserve`](Self::reserve), waiting for at most `timeout`.
    ///
    /// # Errors
    /// [`RingPushError::TimedOut`], and those of [`reserve`](Self::reserve).
    pub fn reserve_timeout(&mut self, len: usize, timeout: Duration) -> Result<Reservation<'_>, RingPushError> {
        self.reserve_until(len, Deadline::after(timeout))
    }

    /// As [`reserve`](Self::reserve), waiting until `deadline` of the monotonic clock at most.
    ///
    /// # Errors
    /// [`RingPushError::TimedOut`], and those of [`reserve`](Self::reserve).
    pub fn reserve_deadline(&mut self, len: usize, deadline: Instant) -> Result<Reservation<'_>, RingPushError> {
        self.reserve_until(len, Deadline::At(deadline))
    }

    /// Writes as many of these bytes as there is room for in one piece, waiting for room for some; returns how many, 0 only if
    /// there are none. Whoever wants them all written uses [`std::io::Write::write_all`].
    ///
    /// # Errors
    /// Those of [`push`](Self::push).
    #[inline]
    pub fn write_some(&mut self, bytes: &[u8]) -> Result<usize, RingPushError> {
        self.write_until(bytes, Deadline::Forever)
    }

    /// As [`write_some`](Self::write_some), but does not wait.
    ///
    /// # Errors
    /// [`RingPushError::Full`], and those of [`write_some`](Self::write_some).
    #[inline]
    pub fn try_write_some(&mut self, bytes: &[u8]) -> Result<usize, RingPushError> {
        self.write_until(bytes, Deadline::Now)
    }

    /// As [`write_some`](Self::write_some), waiting for at most `timeout`.
    ///
    /// # Errors
    /// [`RingPushError::TimedOut`], and those of [`write_some`](Self::write_some).
    pub fn write_some_timeout(&mut self, bytes: &[u8], timeout: Duration) -> Result<usize, RingPushError> {
        self.write_until(bytes, Deadline::after(timeout))
    }

    /// As [`write_some`](Self::write_some), waiting until `deadline` of the monotonic clock at most.
    ///
    /// # Errors
    /// [`RingPushError::TimedOut`], and those of [`write_some`](Self::write_some).
    pub fn write_some_deadline(&mut self, bytes: &[u8], deadline: Instant) -> Result<usize, RingPushError> {
        self.write_until(bytes, Deadline::At(deadline))
    }

    /// Whether there is a living consumer; a hint. Costs a system call if there is one.
    #[must_use]
    pub fn has_consumer(&self) -> bool {
        is_taken(self.raw().consumer(), self.end.object.peers())
    }

    /// Whether a call that waits for room ends with [`RingPushError::NoConsumer`] when there is no living consumer. Off at
    /// first: one may come.
    pub fn set_tell_if_alone(&mut self, tell: bool) {
        self.end.set_tells(tell);
    }

    /// Bytes of the ring.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.size.capacity() as usize
    }

    /// The longest record that the ring takes.
    #[must_use]
    pub fn max_record(&self) -> usize {
        self.size.max_record()
    }

    /// Shuts the ring down for everybody: see [`ByteRing::shutdown`].
    pub fn shutdown(&self) {
        self.raw().shutdown();
    }

    /// Whether somebody has shut it down.
    #[must_use]
    pub fn is_shut_down(&self) -> bool {
        self.raw().is_shut_down()
    }

    /// Whether a signal handler that ran ends a blocked call of this handle. Off at first: the call goes on, with its
    /// deadline.
    pub fn set_interruptible(&self, interruptible: bool) {
        self.end.set_interruptible(interruptible);
    }
}

impl io::Write for ByteProducer {
    /// Writes into the stream: see [`write_some`](Self::write_some). Shut down, or alone and asked to tell, it is
    /// [`BrokenPipe`](io::ErrorKind::BrokenPipe).
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(self.write_some(bytes)?)
    }

    /// Nothing: what is written is there.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for ByteProducer {
    fn drop(&mut self) {
        if self.end.is_here() {
            self.raw().leave_producer(self.end.owner());
        }
    }
}

impl fmt::Debug for ByteProducer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ByteProducer").field("capacity", &self.capacity()).finish_non_exhaustive()
    }
}
