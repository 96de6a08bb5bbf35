//! Messages of a channel where they lie.

use core::marker::PhantomData;
use std::time::{Duration, Instant};

use super::Channel;
use crate::queue::errors::{RecvError, SendError};
use crate::raw::Owner;
use crate::raw::channel::{self as raw, Found, Parts, Peeked, Room};
use crate::sys::nap::Deadline;

/// Room for a message in the ring, to be written in place by [`Channel::send_with`].
///
/// Other processes can write there at any time, which no reference may see. So what is safe copies; slices rest on a promise
/// of the caller. A message may lie at the end of the ring and go on at its start: then it has two parts.
#[derive(Debug)]
pub struct MessageMut<'a> {
    parts: Parts<'a>,
    len: usize,
    discarded: bool,
    one_thread: PhantomData<*const ()>,
}

impl MessageMut<'_> {
    /// Bytes of the message.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether it has no bytes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Copies bytes in, from byte `at` of the message on. What was in the ring before is there until it is written over.
    ///
    /// # Panics
    /// If they do not fit.
    pub fn write_at(&mut self, at: usize, bytes: &[u8]) {
        assert!(at.checked_add(bytes.len()).is_some_and(|end| end <= self.len), "beyond the message");
        self.parts.store_at(at, bytes);
    }

    /// Makes it shorter; if it is not longer than `len`, nothing happens.
    pub fn truncate(&mut self, len: usize) {
        self.len = self.len.min(len);
    }

    /// Nothing is to be sent.
    pub fn discard(&mut self) {
        self.discarded = true;
    }

    /// Where its two parts lie and how long they are, the first aligned to 8: valid for writes until the closure ends, if
    /// all participants keep to the protocol, as [`as_mut_slices`](Self::as_mut_slices) says.
    pub fn as_mut_ptrs(&mut self) -> [(*mut u8, usize); 2] {
        addresses(self.parts, self.len).map(|(at, len)| (at.cast_mut(), len))
    }

    /// Its two parts as slices; what is in them is arbitrary. The second is empty where the message does not wrap.
    ///
    /// # Safety
    /// No participant writes there meanwhile. All that use this library and have not been corrupted do not.
    pub unsafe fn as_mut_slices(&mut self) -> (&mut [u8], &mut [u8]) {
        let [first, rest] = self.as_mut_ptrs();
        // SAFETY: mapped, checked to lie in the ring, apart from each other, and initialised, as all shared memory is; the
        // caller promises the rest.
        unsafe { (core::slice::from_raw_parts_mut(first.0, first.1), core::slice::from_raw_parts_mut(rest.0, rest.1)) }
    }
}

/// A message in the ring, to be read in place by [`Channel::recv_with`]. Of its parts see [`MessageMut`].
#[derive(Debug)]
pub struct MessageRef<'a> {
    place: Place<'a>,
    one_thread: PhantomData<*const ()>,
}

#[derive(Debug)]
enum Place<'a> {
    Ring(Parts<'a>),
    /// It came in pieces.
    Copy(&'a [u8]),
}

impl<'a> MessageRef<'a> {
    fn new(place: Place<'a>) -> Self {
        Self { place, one_thread: PhantomData }
    }

    /// Bytes of the message.
    #[must_use]
    pub fn len(&self) -> usize {
        match self.place {
            Place::Ring(parts) => parts.bytes(),
            Place::Copy(bytes) => bytes.len(),
        }
    }

    /// Whether it has none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Copies bytes out, from byte `at` of the message on.
    ///
    /// # Panics
    /// If it has not so many.
    pub fn read_at(&self, at: usize, bytes: &mut [u8]) {
        assert!(at.checked_add(bytes.len()).is_some_and(|end| end <= self.len()), "beyond the message");
        match self.place {
            Place::Ring(parts) => parts.load_at(at, bytes),
            Place::Copy(copy) => bytes.copy_from_slice(&copy[at..][..bytes.len()]),
        }
    }

    /// Copies all of it out.
    #[must_use]
    pub fn to_vec(&self) -> Vec<u8> {
        let mut bytes = vec![0; self.len()];
        self.read_at(0, &mut bytes);
        bytes
    }

    /// Where its two parts lie and how long they are: valid for reads until the closure ends, if all participants keep to
    /// the protocol, as [`as_slices`](Self::as_slices) says.
    #[must_use]
    pub fn as_ptrs(&self) -> [(*const u8, usize); 2] {
        match self.place {
            Place::Ring(parts) => addresses(parts, parts.bytes()),
            Place::Copy(bytes) => [(bytes.as_ptr(), bytes.len()), (bytes.as_ptr(), 0)],
        }
    }

    /// Its two parts as slices. The second is empty where the message does not wrap.
    ///
    /// # Safety
    /// No participant writes there meanwhile. All that use this library and have not been corrupted do not.
    #[must_use]
    pub unsafe fn as_slices(&self) -> (&[u8], &[u8]) {
        let [first, rest] = self.as_ptrs();
        // SAFETY: mapped, checked to lie in the ring, and initialised, as all shared memory is; the caller promises the rest.
        unsafe { (core::slice::from_raw_parts(first.0, first.1), core::slice::from_raw_parts(rest.0, rest.1)) }
    }
}

/// The two parts of a message of `len` bytes.
fn addresses(parts: Parts<'_>, len: usize) -> [(*const u8, usize); 2] {
    let first = parts.first_bytes().min(len);
    let [one, other] = parts.words().map(|words| words.as_ptr().cast::<u8>());
    [(one, first), (other, len - first)]
}

/// A side's lock, which is given back however the closure ends.
struct Held<'a> {
    channel: &'a Channel,
    raw: raw::Channel<'a>,
    me: Owner,
    give_back: fn(&raw::Channel<'a>, Owner),
}

impl<'a> Held<'a> {
    /// What to call to finish, if the lock is still ours: a forked child has its parent's.
    fn finish(self) -> Option<raw::Channel<'a>> {
        let (ours, raw) = (self.is_ours(), self.raw);
        core::mem::forget(self);
        ours.then_some(raw)
    }

    fn is_ours(&self) -> bool {
        self.channel.object.entered().is_some_and(|thread| thread.is(self.me))
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        if self.is_ours() {
            (self.give_back)(&self.raw, self.me);
        }
    }
}

impl Channel {
    pub(crate) fn send_with_until<R>(
        &self,
        len: usize,
        deadline: Deadline,
        fill: impl FnOnce(&mut MessageMut<'_>) -> R,
    ) -> Result<R, SendError> {
        let thread = self.object.enter().map_err(SendError::Segment)?;
        let (me, raw) = (thread.owner(), self.raw().map_err(SendError::Segment)?);
        // On the list before it is held: the end of the thread gives it back.
        thread.hold(raw.locks()[0]);
        let room: Room = raw.reserve(me, len, self.object.peers(), self.wait(deadline)).map_err(|failure| {
            self.object.settle();
            SendError::of(failure, len, self.max_message())
        })?;
        let held = Held { channel: self, raw, me, give_back: raw::Channel::abandon };
        let parts = raw.room_parts(room);
        let mut message = MessageMut { parts, len, discarded: false, one_thread: PhantomData };
        let result = fill(&mut message);
        if message.discarded {
            drop(held);
        } else {
            held.finish().ok_or(SendError::NotOwner)?.commit(me, room, message.len);
        }
        Ok(result)
    }

    pub(crate) fn recv_with_until<R>(
        &self,
        deadline: Deadline,
        read: impl FnOnce(&MessageRef<'_>) -> R,
    ) -> Result<R, RecvError> {
        let thread = self.object.enter().map_err(RecvError::Segment)?;
        let (me, raw) = (thread.owner(), self.raw().map_err(RecvError::Segment)?);
        thread.hold(raw.locks()[1]);
        let peeked = raw.peek(me, self.object.peers(), self.wait(deadline)).map_err(|failure| {
            self.object.settle();
            RecvError::from(failure)
        })?;
        let found: Found = match peeked {
            Peeked::Message(found) => found,
            Peeked::Long(_) => {
                let copy = self.recv_vec_until(deadline)?;
                return Ok(read(&MessageRef::new(Place::Copy(&copy))));
            }
        };
        let held = Held { channel: self, raw, me, give_back: raw::Channel::leave };
        let result = read(&MessageRef::new(Place::Ring(raw.found_parts(found))));
        held.finish().ok_or(RecvError::NotOwner)?.release(me, found);
        Ok(result)
    }

    /// Sends a message of `len` bytes that `fill` writes where it lies, waiting for room for as long as it takes. Returns
    /// what `fill` returns.
    ///
    /// Until `fill` returns nobody sees anything of the message, and all other senders wait, as does whoever shuts the
    /// channel down: so it should do nothing but write. If it [discards](MessageMut::discard) the message, or panics, or the
    /// process dies in it, nothing is sent. Receivers go on meanwhile.
    ///
    /// ```
    /// # use ringfence::{Channel, Segment, SegmentOptions};
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let segment = Segment::anonymous(&SegmentOptions::new())?;
    /// let channel = Channel::create(&segment, "pages", 4096)?;
    /// channel.send_with(1000, |message| {
    ///     // SAFETY: every process that has this segment is this very program.
    ///     let (first, rest) = unsafe { message.as_mut_slices() };
    ///     for (n, byte) in first.iter_mut().chain(rest).enumerate() {
    ///         *byte = n as u8;
    ///     }
    /// })?;
    /// let sum = channel.recv_with(|message| {
    ///     // SAFETY: as above.
    ///     let (first, rest) = unsafe { message.as_slices() };
    ///     first.iter().chain(rest).map(|byte| u64::from(*byte)).sum::<u64>()
    /// })?;
    /// assert_eq!(sum, 124_716);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Those of [`send`](Self::send), and then `fill` did not run; [`SendError::WouldDeadlock`] from within another `fill` of
    /// this channel. [`SendError::NotOwner`] in a process that was forked in `fill`: the message is its parent's.
    pub fn send_with<R>(&self, len: usize, fill: impl FnOnce(&mut MessageMut<'_>) -> R) -> Result<R, SendError> {
        self.send_with_until(len, Deadline::Forever, fill)
    }

    /// As [`send_with`](Self::send_with), but does not wait for room.
    ///
    /// # Errors
    /// [`SendError::Full`], and those of [`send_with`](Self::send_with).
    pub fn try_send_with<R>(&self, len: usize, fill: impl FnOnce(&mut MessageMut<'_>) -> R) -> Result<R, SendError> {
        self.send_with_until(len, Deadline::Now, fill)
    }

    /// As [`send_with`](Self::send_with), waiting for room for at most `timeout`.
    ///
    /// # Errors
    /// [`SendError::TimedOut`], and those of [`send_with`](Self::send_with).
    pub fn send_with_timeout<R>(
        &self,
        len: usize,
        timeout: Duration,
        fill: impl FnOnce(&mut MessageMut<'_>) -> R,
    ) -> Result<R, SendError> {
        self.send_with_until(len, Deadline::after(timeout), fill)
    }

    /// As [`send_with`](Self::send_with), waiting for room until `deadline` of the monotonic clock at most.
    ///
    /// # Errors
    /// [`SendError::TimedOut`], and those of [`send_with`](Self::send_with).
    pub fn send_with_deadline<R>(
        &self,
        len: usize,
        deadline: Instant,
        fill: impl FnOnce(&mut MessageMut<'_>) -> R,
    ) -> Result<R, SendError> {
        self.send_with_until(len, Deadline::At(deadline), fill)
    }

    /// Receives a message that `read` reads where it lies, waiting for one for as long as it takes. Returns what `read`
    /// returns.
    ///
    /// The message is received when `read` returns; until then all other receivers wait: so it should do nothing but read. If
    /// it panics, or the process dies in it, the message stays and the next receiver has it. Senders go on meanwhile.
    ///
    /// A message [in pieces](Self::send_long) is never in the ring as a whole. It is copied, and `read` is given the copy: then
    /// the message was received before, no other receiver waits, and it is gone if `read` panics. (So it is of a message
    /// that follows one whose sender gives up in that moment.)
    ///
    /// # Errors
    /// Those of [`recv`](Self::recv), and then `read` did not run; [`RecvError::WouldDeadlock`] from within another `read` of
    /// this channel. [`RecvError::NotOwner`] in a process that was forked in `read`: the message is its parent's.
    pub fn recv_with<R>(&self, read: impl FnOnce(&MessageRef<'_>) -> R) -> Result<R, RecvError> {
        self.recv_with_until(Deadline::Forever, read)
    }

    /// As [`recv_with`](Self::recv_with), but does not wait for a message.
    ///
    /// # Errors
    /// [`RecvError::Empty`], and those of [`recv_with`](Self::recv_with).
    pub fn try_recv_with<R>(&self, read: impl FnOnce(&MessageRef<'_>) -> R) -> Result<R, RecvError> {
        self.recv_with_until(Deadline::Now, read)
    }

    /// As [`recv_with`](Self::recv_with), waiting for a message for at most `timeout`.
    ///
    /// # Errors
    /// [`RecvError::TimedOut`], and those of [`recv_with`](Self::recv_with).
    pub fn recv_with_timeout<R>(
        &self,
        timeout: Duration,
        read: impl FnOnce(&MessageRef<'_>) -> R,
    ) -> Result<R, RecvError> {
        self.recv_with_until(Deadline::after(timeout), read)
    }

    /// As [`recv_with`](Self::recv_with), waiting for a message until `deadline` of the monotonic clock at most.
    ///
    /// # Errors
    /// [`RecvError::TimedOut`], and those of [`recv_with`](Self::recv_with).
    pub fn recv_with_deadline<R>(
        &self,
        deadline: Instant,
        read: impl FnOnce(&MessageRef<'_>) -> R,
    ) -> Result<R, RecvError> {
        self.recv_with_until(Deadline::At(deadline), read)
    }
}
