//! The consumer's end of a ring of records.

use std::fmt;
use std::io;
use std::marker::PhantomData;
use std::time::{Duration, Instant};

#[cfg(doc)]
use super::byte_ring::ByteRing;
use super::byte_ring::at;
use super::end::{End, Run};
use super::errors::RingPopError;
use super::views::Record;
use crate::layout::ring::Bytes;
use crate::raw::byte_ring::{self as raw, Found, Head};
use crate::raw::ring::{self, PopFailure, is_taken};
use crate::raw::words;
use crate::sys::nap::Deadline;

/// Room for a first attempt at a record of unknown length.
const FIRST_BUFFER: usize = 256;

/// The consumer's end of a [`ByteRing`]. Of any thread, but of one at a time; dropped, it frees the end.
///
/// In a forked child it is the parent's: a pop says [`RingPopError::NotOwner`], and dropping it changes nothing.
#[must_use = "dropped, it frees the end"]
pub struct ByteConsumer {
    end: End,
    size: Bytes,
    head: Head,
    run: Run,
    one_thread: PhantomData<core::cell::Cell<()>>,
}

impl ByteConsumer {
    pub(super) fn new(end: End, size: Bytes, head: Head) -> Self {
        Self { end, size, head, run: Run::default(), one_thread: PhantomData }
    }

    #[inline(always)]
    fn raw(&self) -> raw::ByteRing<'_> {
        at(&self.end.object, self.size)
    }

    /// The first record, or what is left of it.
    #[inline(always)]
    pub(crate) fn found_until(&mut self, deadline: Deadline) -> Result<Found, RingPopError> {
        if self.end.is_here() {
            match self.look() {
                Ok(found) => {
                    self.run.more();
                    return Ok(found);
                }
                Err(PopFailure::Empty) if deadline == Deadline::Now => return Err(RingPopError::Empty),
                Err(_) => {}
            }
        }
        // It does not say what it found: that would come by memory, from the fast path too.
        self.await_record(deadline)?;
        Ok(self.look()?)
    }

    #[inline(always)]
    fn look(&mut self) -> Result<Found, PopFailure> {
        at(&self.end.object, self.size).try_peek(&mut self.head)
    }

    /// Returns when there is one.
    #[cold]
    #[inline(never)]
    fn await_record(&mut self, deadline: Deadline) -> Result<(), RingPopError> {
        self.end.check(self.raw().consumer())?;
        let backoff = self.run.end();
        let ring = at(&self.end.object, self.size);
        let (wait, company) = (self.end.wait(deadline), self.end.company());
        let found = ring::pop_slow(ring.header(), wait, backoff, company, || ring.try_peek(&mut self.head));
        if found.is_err() {
            self.end.object.settle();
        }
        found?;
        Ok(())
    }

    /// The address of what was found.
    #[inline]
    pub(crate) fn address(&self, found: Found) -> *const u8 {
        let payload: *const u8 = self.raw().payload_of(found).as_ptr().cast();
        payload.wrapping_add(found.first())
    }

    /// Reads of what was found.
    pub(crate) fn copy(&self, found: Found, at: usize, bytes: &mut [u8]) {
        words::load_at(bytes, self.raw().payload_of(found), found.first() + at);
    }

    /// Takes the first `count` bytes of what was found last. Between the two a fork may have come: then it is the parent's, and
    /// nothing is taken.
    #[inline(always)]
    pub(crate) fn take(&mut self, found: Found, count: usize) -> bool {
        let ours = self.end.is_here() || self.end.check(self.raw().consumer()).is_ok();
        if ours {
            at(&self.end.object, self.size).take(&mut self.head, found, count);
        }
        ours
    }

    /// Takes a record into `buffer`; returns its length.
    #[inline]
    pub(crate) fn pop_into_until(&mut self, buffer: &mut [u8], deadline: Deadline) -> Result<usize, RingPopError> {
        let found = self.found_until(deadline)?;
        let needed = found.bytes();
        let to = buffer.get_mut(..needed).ok_or(RingPopError::BufferTooShort { needed })?;
        self.copy(found, 0, to);
        self.take(found, needed);
        Ok(needed)
    }

    fn pop_until(&mut self, deadline: Deadline) -> Result<Vec<u8>, RingPopError> {
        let mut buffer = vec![0; FIRST_BUFFER.min(self.size.max_record())];
        let len = match self.pop_into_until(&mut buffer, deadline) {
            Err(RingPopError::BufferTooShort { needed }) => {
                buffer.resize(needed, 0);
                self.pop_into_until(&mut buffer, Deadline::Now)?
            }
            done => done?,
        };
        buffer.truncate(len);
        Ok(buffer)
    }

    pub(crate) fn read_until(&mut self, buffer: &mut [u8], deadline: Deadline) -> Result<usize, RingPopError> {
        if buffer.is_empty() {
            return Ok(0);
        }
        loop {
            let found = self.found_until(deadline)?;
            let count = found.bytes().min(buffer.len());
            self.copy(found, 0, &mut buffer[..count]);
            self.take(found, count);
            // An empty record is nothing in a stream.
            if count > 0 {
                return Ok(count);
            }
        }
    }

    #[inline(always)]
    fn peek_until(&mut self, deadline: Deadline) -> Result<Record<'_>, RingPopError> {
        let found = self.found_until(deadline)?;
        Ok(Record::new(self, found))
    }

    /// Takes the first record, waiting for one for as long as it takes.
    ///
    /// # Errors
    /// [`RingPopError::Closed`], [`RingPopError::Interrupted`] if [asked for](Self::set_interruptible),
    /// [`RingPopError::NoProducer`] if [asked for](Self::set_tell_if_alone), [`RingPopError::NotOwner`],
    /// [`RingPopError::Corrupted`], [`RingPopError::Segment`].
    #[inline]
    pub fn pop(&mut self) -> Result<Vec<u8>, RingPopError> {
        self.pop_until(Deadline::Forever)
    }

    /// As [`pop`](Self::pop), but does not wait.
    ///
    /// # Errors
    /// [`RingPopError::Empty`], and those of [`pop`](Self::pop).
    #[inline]
    pub fn try_pop(&mut self) -> Result<Vec<u8>, RingPopError> {
        self.pop_until(Deadline::Now)
    }

    /// As [`pop`](Self::pop), waiting for at most `timeout`.
    ///
    /// # Errors
    /// [`RingPopError::TimedOut`], and those of [`pop`](Self::pop).
    pub fn pop_timeout(&mut self, timeout: Duration) -> Result<Vec<u8>, RingPopError> {
        self.pop_until(Deadline::after(timeout))
    }

    /// As [`pop`](Self::pop), waiting until `deadline` of the monotonic clock at most.
    ///
    /// # Errors
    /// [`RingPopError::TimedOut`], and those of [`pop`](Self::pop).
    pub fn pop_deadline(&mut self, deadline: Instant) -> Result<Vec<u8>, RingPopError> {
        self.pop_until(Deadline::At(deadline))
    }

    /// Takes the first record into `buffer`, waiting for one; returns its length.
    ///
    /// # Errors
    /// [`RingPopError::BufferTooShort`]: the record stays; and those of [`pop`](Self::pop).
    #[inline]
    pub fn pop_into(&mut self, buffer: &mut [u8]) -> Result<usize, RingPopError> {
        self.pop_into_until(buffer, Deadline::Forever)
    }

    /// As [`pop_into`](Self::pop_into), but does not wait.
    ///
    /// # Errors
    /// [`RingPopError::Empty`], and those of [`pop_into`](Self::pop_into).
    #[inline]
    pub fn try_pop_into(&mut self, buffer: &mut [u8]) -> Result<usize, RingPopError> {
        self.pop_into_until(buffer, Deadline::Now)
    }

    /// As [`pop_into`](Self::pop_into), waiting for at most `timeout`.
    ///
    /// # Errors
    /// [`RingPopError::TimedOut`], and those of [`pop_into`](Self::pop_into).
    pub fn pop_into_timeout(&mut self, buffer: &mut [u8], timeout: Duration) -> Result<usize, RingPopError> {
        self.pop_into_until(buffer, Deadline::after(timeout))
    }

    /// As [`pop_into`](Self::pop_into), waiting until `deadline` of the monotonic clock at most.
    ///
    /// # Errors
    /// [`RingPopError::TimedOut`], and those of [`pop_into`](Self::pop_into).
    pub fn pop_into_deadline(&mut self, buffer: &mut [u8], deadline: Instant) -> Result<usize, RingPopError> {
        self.pop_into_until(buffer, Deadline::At(deadline))
    }

    /// The first record where it lies, waiting for one; [released](Record::release) it is taken, dropped it stays.
    ///
    /// # Errors
    /// Those of [`pop`](Self::pop).
    #[inline]
    pub fn peek(&mut self) -> Result<Record<'_>, RingPopError> {
        self.peek_until(Deadline::Forever)
    }

    /// As [`peek`](Self::peek), but does not wait.
    ///
    /// # Errors
    /// [`RingPopError::Empty`], and those of [`peek`](Self::peek).
    #[inline]
    pub fn try_peek(&mut self) -> Result<Record<'_>, RingPopError> {
        self.peek_until(Deadline::Now)
    }

    /// As [`peek`](Self::peek), waiting for at most `timeout`.
    ///
    /// # Errors
    /// [`RingPopError::TimedOut`], and those of [`peek`](Self::peek).
    pub fn peek_timeout(&mut self, timeout: Duration) -> Result<Record<'_>, RingPopError> {
        self.peek_until(Deadline::after(timeout))
    }

    /// As [`peek`](Self::peek), waiting until `deadline` of the monotonic clock at most.
    ///
    /// # Errors
    /// [`RingPopError::TimedOut`], and those of [`peek`](Self::peek).
    pub fn peek_deadline(&mut self, deadline: Instant) -> Result<Record<'_>, RingPopError> {
        self.peek_until(Deadline::At(deadline))
    }

    /// Reads what there is of the next piece of the stream, as much as `buffer` takes, waiting for some; returns how many bytes, 0
    /// only if it has none.
    ///
    /// # Errors
    /// Those of [`pop`](Self::pop).
    #[inline]
    pub fn read_some(&mut self, buffer: &mut [u8]) -> Result<usize, RingPopError> {
        self.read_until(buffer, Deadline::Forever)
    }

    /// As [`read_some`](Self::read_some), but does not wait.
    ///
    /// # Errors
    /// [`RingPopError::Empty`], and those of [`read_some`](Self::read_some).
    #[inline]
    pub fn try_read_some(&mut self, buffer: &mut [u8]) -> Result<usize, RingPopError> {
        self.read_until(buffer, Deadline::Now)
    }

    /// As [`read_some`](Self::read_some), waiting for at most `timeout`.
    ///
    /// # Errors
    /// [`RingPopError::TimedOut`], and those of [`read_some`](Self::read_some).
    pub fn read_some_timeout(&mut self, buffer: &mut [u8], timeout: Duration) -> Result<usize, RingPopError> {
        self.read_until(buffer, Deadline::after(timeout))
    }

    /// As [`read_some`](Self::read_some), waiting until `deadline` of the monotonic clock at most.
    ///
    /// # Errors
    /// [`RingPopError::TimedOut`], and those of [`read_some`](Self::read_some).
    pub fn read_some_deadline(&mut self, buffer: &mut [u8], deadline: Instant) -> Result<usize, RingPopError> {
        self.read_until(buffer, Deadline::At(deadline))
    }

    /// Whether there is a living producer; a hint. Costs a system call if there is one.
    #[must_use]
    pub fn has_producer(&self) -> bool {
        is_taken(self.raw().producer(), self.end.object.peers())
    }

    /// Whether a call that waits for a record ends with [`RingPopError::NoProducer`] when there is no living producer. Off at
    /// first: one may come. What it has pushed is taken first; a death shows within a tenth of a second.
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

impl io::Read for ByteConsumer {
    /// Reads of the stream: see [`read_some`](Self::read_some). Shut down and drained, or alone and asked to tell, it is at its
    /// end: 0.
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.read_some(buffer) {
            Ok(count) => Ok(count),
            Err(RingPopError::Closed | RingPopError::NoProducer) => Ok(0),
            Err(error) => Err(error.into()),
        }
    }
}

impl Drop for ByteConsumer {
    fn drop(&mut self) {
        if self.end.is_here() {
            self.raw().leave_consumer(self.end.owner());
        }
    }
}

impl fmt::Debug for ByteConsumer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ByteConsumer").field("capacity", &self.capacity()).finish_non_exhaustive()
    }
}
