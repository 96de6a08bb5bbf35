//! The channel: byte messages of any size through a ring, a lock for each side.
//!
//! ```text
//!  ring          head                      tail
//!   |             |                         |
//!   v             v                         v
//!  +------+------+----------+--------------+------+------+
//!  | ..message | | 1 | len  | bytes .. 0 0 |    free   ..    a message may wrap
//!  +------+------+----------+--------------+------+------+
//!
//!  position = messages:32 | lap:1 | index:31          words of a message = 1 + ceil(len / 8)
//! ```
//!
//! | positions | state |
//! |---|---|
//! | same lap, same index, same number of messages | empty |
//! | same lap, head index < tail index | the words between them are messages |
//! | other lap, tail index <= head index | the words from head over the end to tail are messages; full if equal |
//! | anything else, an index outside the ring, more messages than words | corrupted |
//!
//! Invariants:
//! 1. Only the holder of the senders' lock writes `tail`, `closing` and words that no message occupies; only the holder
//!    of the receivers' lock writes `head`. Nobody writes the words of a message.
//! 2. A send is the one store of `tail`, a receive the one store of `head`: position and number of messages change
//!    together. So whoever takes a lock from the dead finds nothing to repair, and says it is consistent.
//! 3. What a side remembers of the other's position is older or the same, never newer. So a ring that looks full or
//!    empty by it may not be, and is looked at again; one that does not look so is not.
//! 4. After `closing` is set no send commits, since both happen under the senders' lock. So a receiver that sees
//!    `closing` and *then* an empty ring has seen the end.
//! 5. Waiters sleep at the eventcounts without any lock, and look again after they have announced themselves.
//! 6. Whoever wants to shut down says so in `closing` first: a sender that keeps the lock for long does it for them.
//!
//! A message that is longer than the ring goes in pieces: see `channel/long.rs`. In place: `channel/in_place.rs`; several
//! at once: `channel/batch.rs`.
//!
//! A death leaves behind: before the store, a message that was never sent, or is still there to be received; after it,
//! one that was sent or received, and sleepers whom nobody has notified: [`Channel::recover`] does, or their naps end. A
//! dead holder's lock is taken over by the next locker.
//!
//! Orderings: the store of a position is Release and pairs with the other side's Acquire load: the receiver sees the
//! words of the message, the sender knows that they have been read. The words themselves are relaxed
//! ([`words`]), so that a peer which writes where it should not makes the message wrong but not the program unsound.
//!
//! Source: M. M. Michael, M. L. Scott, "Simple, Fast, and Practical Non-Blocking and Blocking Concurrent Queue
//! Algorithms" (1996) for a queue with two locks; the ring and its commit are ours.

mod batch;
mod in_place;
mod long;
mod position;
mod waiting;

use super::{Owner, ParticipantId, Peers, eventcount, mutex, words};
use crate::layout::channel::{ChannelHeader, Geometry, Shared};
use crate::layout::eventcount::EventCount;
use crate::primitive::{AtomicU64, Ordering};
use crate::sys::nap::{Deadline, Wait};
use position::Position;
use waiting::{Refusal, lock, note_miss, or_learn, patient, spin_while, unlock};

pub use batch::Many;
pub use in_place::{Found, Parts, Peeked, Room};

/// What the header word of a message has beside the length, so that a stray zero is not a message.
const MESSAGE: u64 = 1 << 63;
const OPEN: u32 = 0;
const CLOSED: u32 = 1;
/// Open, and to be closed by the next holder of the senders' lock.
const ASKED: u32 = 2;

const CORRUPTED_RECV: Option<Result<usize, RecvFailure>> = Some(Err(RecvFailure::Corrupted));

/// Why a message was not sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SendFailure {
    /// There is no room now (a try only), or a sender that does not go on is in the way.
    Full,
    /// The deadline passed.
    TimedOut,
    /// A signal handler ran.
    Interrupted,
    /// The channel is shut down.
    Closed,
    /// The message does not even fit the empty ring.
    TooLong,
    /// The calling thread is itself in the middle of a message.
    WouldDeadlock,
    /// The channel holds something that no participant writes.
    Corrupted,
}

/// Why no message was received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecvFailure {
    /// There is no message now (a try only), or a receiver that does not go on is in the way.
    Empty,
    /// The deadline passed.
    TimedOut,
    /// A signal handler ran.
    Interrupted,
    /// The channel is shut down and empty.
    Closed,
    /// The message is longer than the buffer. It stays.
    TooShort {
        /// Its length.
        needed: usize,
    },
    /// The calling thread is itself in the middle of a message.
    WouldDeadlock,
    /// The channel holds something that no participant writes.
    Corrupted,
}

/// A channel: its header and ring in shared memory, and its checked size in private memory.
#[derive(Clone, Copy, Debug)]
pub struct Channel<'a> {
    header: &'a ChannelHeader,
    ring: &'a [AtomicU64],
    size: u32,
}

impl<'a> Channel<'a> {
    /// The channel with this header and this ring; `None` if the header does not describe exactly it.
    pub fn attach(header: &'a ChannelHeader, ring: &'a [AtomicU64]) -> Option<Self> {
        Self::with_geometry(header, ring, header.validate()?)
    }

    /// As [`attach`](Self::attach), with a size that the caller has checked against the header before.
    #[inline]
    pub fn with_geometry(header: &'a ChannelHeader, ring: &'a [AtomicU64], geometry: Geometry) -> Option<Self> {
        (geometry.words() == ring.len()).then_some(Self { header, ring, size: geometry.words() as u32 })
    }

    /// The channel that starts at `base`.
    ///
    /// # Safety
    /// `geometry.bytes()` bytes from `base` on, which is aligned to 128, are mapped during `'a` and accessed atomically
    /// only.
    #[inline]
    pub unsafe fn at(base: core::ptr::NonNull<u8>, geometry: Geometry) -> Option<Self> {
        // SAFETY: as the caller promises; ring and header consist of atomics, and padding that nobody touches.
        let (header, ring) = unsafe {
            let ring = base.add(size_of::<ChannelHeader>()).cast::<AtomicU64>();
            let ring = core::ptr::NonNull::slice_from_raw_parts(ring, geometry.words());
            (base.cast::<ChannelHeader>().as_ref(), ring.as_ref())
        };
        Self::with_geometry(header, ring, geometry)
    }

    /// Sends `message`, waiting for the lock and for room as `wait` says.
    #[inline]
    pub fn send(&self, me: Owner, message: &[u8], peers: &impl Peers, wait: Wait) -> Result<(), SendFailure> {
        if !self.fits(message.len()) {
            return Err(SendFailure::TooLong);
        }
        self.send_by(peers, wait, || self.send_once(me, message, peers, wait))
    }

    /// Sends by `attempt`, which says `None` if there is no room, waiting for it as `wait` says.
    #[inline(always)]
    fn send_by<R>(
        &self,
        peers: &impl Peers,
        wait: Wait,
        mut attempt: impl FnMut() -> Option<Result<R, SendFailure>>,
    ) -> Result<R, SendFailure> {
        match attempt() {
            Some(result) => result,
            None if wait.deadline == Deadline::Now => Err(self.full(peers)),
            None => self.send_slow(peers, wait, attempt),
        }
    }

    /// What a try says that has found no room.
    #[cold]
    fn full(&self, peers: &impl Peers) -> SendFailure {
        let over = peers.left_alone() && self.is_shut_down();
        if over { SendFailure::Closed } else { SendFailure::Full }
    }

    #[cold]
    fn send_slow<R>(
        &self,
        peers: &impl Peers,
        wait: Wait,
        mut attempt: impl FnMut() -> Option<Result<R, SendFailure>>,
    ) -> Result<R, SendFailure> {
        let before = self.header.head.0.load(Ordering::Relaxed);
        spin_while(&self.header.senders.0, || self.header.head.0.load(Ordering::Relaxed) == before);
        let shared = self.shared();
        eventcount::wait_until(&shared.not_full, wait, || or_learn(peers, attempt()))
            .unwrap_or_else(|expired| Err(Refusal::from(expired).of_send(wait)))
    }

    /// One attempt; `None` if there is no room.
    #[inline]
    fn send_once(&self, me: Owner, message: &[u8], peers: &impl Peers, wait: Wait) -> Option<Result<(), SendFailure>> {
        let side = &self.header.senders.0;
        match lock(side, me, peers, wait) {
            Ok(()) => {}
            Err(refusal) => return Some(Err(refusal.of_send(wait))),
        }
        let result = self.put(message);
        unlock(side, me);
        if let Some(Ok(())) = result {
            let shared = self.shared();
            eventcount::notify(&shared.not_empty);
        }
        result
    }

    /// Whether a message of `len` bytes fits the empty ring.
    #[inline]
    fn fits(&self, len: usize) -> bool {
        words::words_for(len) < self.size as usize
    }

    /// The tail, if `needed` words are free there, under the senders' lock; `None` if they are not.
    #[inline]
    fn room_for(&self, needed: u32) -> Result<Option<Position>, SendFailure> {
        Ok(self.room_of(needed, needed)?.map(|(tail, _)| tail))
    }

    /// The same where `wanted` would be better: with the number of free words, which is at least what others had left
    /// when this side last looked.
    #[inline(always)]
    fn room_of(&self, needed: u32, wanted: u32) -> Result<Option<(Position, u32)>, SendFailure> {
        // Relaxed: what matters is written under this lock.
        match self.shared().closing.load(Ordering::Relaxed) {
            OPEN => {}
            other => return Err(self.not_open(other)),
        }
        let corrupted = || SendFailure::Corrupted;
        let tail = self.position(&self.header.tail.0, Ordering::Relaxed).ok_or_else(corrupted)?;
        let remembered = &self.header.senders.0.other;
        let head = self.position(remembered, Ordering::Relaxed).ok_or_else(corrupted)?;
        let mut used = Position::used(head, tail, self.size).ok_or_else(corrupted)?;
        if self.size - used < wanted {
            // Acquire: pairs with the Release in `take`; what was read there may be overwritten.
            let head = self.position(&self.header.head.0, Ordering::Acquire).ok_or_else(corrupted)?;
            used = Position::used(head, tail, self.size).ok_or_else(corrupted)?;
            remembered.store(head.pack(), Ordering::Relaxed); // invariant 3
        }
        if self.size - used < needed {
            note_miss(&self.header.senders.0, tail);
            return Ok(None);
        }
        Ok(Some((tail, self.size - used)))
    }

    /// Why nothing is sent, under the senders' lock: it is closed, here if somebody has asked for it. Invariant 6.
    #[cold]
    fn not_open(&self, closing: u32) -> SendFailure {
        match closing {
            CLOSED => {}
            ASKED => self.close(),
            _ => return SendFailure::Corrupted,
        }
        SendFailure::Closed
    }

    /// Closes it, under the senders' lock.
    fn close(&self) {
        let shared = self.shared();
        // Release: pairs with the Acquire in `take`, whose look at the tail then sees the last message. Invariant 4.
        shared.closing.store(CLOSED, Ordering::Release);
        eventcount::notify(&shared.not_empty);
        eventcount::notify(&shared.not_full);
    }

    /// Puts the message into the ring, under the senders' lock. The caller has checked that it could fit.
    #[inline]
    fn put(&self, message: &[u8]) -> Option<Result<(), SendFailure>> {
        let needed = 1 + words::words_for(message.len()) as u32;
        let tail = match self.room_for(needed) {
            Ok(tail) => tail?,
            Err(failure) => return Some(Err(failure)),
        };
        let at = tail.index as usize;
        self.ring[at].store(MESSAGE | message.len() as u64, Ordering::Relaxed);
        self.copy_in(at + 1, message);
        // Release: pairs with the Acquire in `take`. Invariant 2.
        self.header.tail.0.store(tail.past_message(needed, self.size).pack(), Ordering::Release);
        Some(Ok(()))
    }

    /// Receives a message into the first bytes of `buffer`, waiting for the lock and for a message as `wait` says.
    /// Returns its length. On failure the bytes of `buffer` are as they were, but for a
    /// message in pieces.
    #[inline]
    pub fn recv(&self, me: Owner, buffer: &mut [u8], peers: &impl Peers, wait: Wait) -> Result<usize, RecvFailure> {
        self.recv_by(peers, wait, || self.recv_once(me, buffer, peers, wait))
    }

    /// Receives by `attempt`, which says `None` if there is no message and may be one later, waiting for it as `wait` says.
    #[inline(always)]
    fn recv_by<R>(
        &self,
        peers: &impl Peers,
        wait: Wait,
        mut attempt: impl FnMut() -> Option<Result<R, RecvFailure>>,
    ) -> Result<R, RecvFailure> {
        match attempt() {
            Some(result) => result,
            None if wait.deadline == Deadline::Now => {
                // What was sent before the end comes before it.
                let over = if peers.left_alone() { attempt() } else { None };
                over.unwrap_or(Err(RecvFailure::Empty))
            }
            None => self.recv_slow(peers, wait, attempt),
        }
    }

    #[cold]
    fn recv_slow<R>(
        &self,
        peers: &impl Peers,
        wait: Wait,
        mut attempt: impl FnMut() -> Option<Result<R, RecvFailure>>,
    ) -> Result<R, RecvFailure> {
        let before = self.header.tail.0.load(Ordering::Relaxed);
        spin_while(&self.header.receivers.0, || self.header.tail.0.load(Ordering::Relaxed) == before);
        let shared = self.shared();
        eventcount::wait_until(&shared.not_empty, wait, || or_learn(peers, attempt()))
            .unwrap_or_else(|expired| Err(Refusal::from(expired).of_recv(wait)))
    }

    /// One attempt; `None` if there is no message and may be one later.
    #[inline]
    fn recv_once(
        &self,
        me: Owner,
        buffer: &mut [u8],
        peers: &impl Peers,
        wait: Wait,
    ) -> Option<Result<usize, RecvFailure>> {
        let side = &self.header.receivers.0;
        match lock(side, me, peers, wait) {
            Ok(()) => {}
            Err(refusal) => return Some(Err(refusal.of_recv(wait))),
        }
        let result = self.take(buffer, Some((peers, wait)));
        unlock(side, me);
        if let Some(Ok(_)) = result {
            let shared = self.shared();
            eventcount::notify(&shared.not_full);
        }
        result
    }

    /// What an empty ring means.
    #[cold]
    fn nothing<R>(closing: u32) -> Option<Result<R, RecvFailure>> {
        match closing {
            OPEN | ASKED => None,
            CLOSED => Some(Err(RecvFailure::Closed)),
            _ => Some(Err(RecvFailure::Corrupted)),
        }
    }

    /// Takes the first message out of the ring, under the receivers' lock; one in pieces as `pieces` waits, if it may.
    #[inline]
    fn take<P: Peers>(&self, buffer: &mut [u8], pieces: Option<(&P, Wait)>) -> Option<Result<usize, RecvFailure>> {
        let Some(head) = self.position(&self.header.head.0, Ordering::Relaxed) else { return CORRUPTED_RECV };
        let remembered = &self.header.receivers.0.other;
        let Some(tail) = self.position(remembered, Ordering::Relaxed) else { return CORRUPTED_RECV };
        let Some(mut used) = Position::used(head, tail, self.size) else { return CORRUPTED_RECV };
        if used == 0 {
            // Before the tail (invariant 4). Acquire: pairs with the Release in `shutdown`.
            let closing = self.shared().closing.load(Ordering::Acquire);
            // Acquire: pairs with the Release in `put`.
            let Some(tail) = self.position(&self.header.tail.0, Ordering::Acquire) else { return CORRUPTED_RECV };
            used = match Position::used(head, tail, self.size) {
                Some(used) => used,
                None => return CORRUPTED_RECV,
            };
            remembered.store(tail.pack(), Ordering::Relaxed); // invariant 3
            if used == 0 {
                note_miss(&self.header.receivers.0, head);
                return Self::nothing(closing);
            }
        }
        let at = head.index as usize;
        // Read once, then checked: nothing beyond the words in use, so nothing beyond the ring.
        let length = self.ring[at].load(Ordering::Relaxed) ^ MESSAGE;
        let taken = 1 + length.div_ceil(8);
        if taken > u64::from(used) {
            return match pieces {
                Some((peers, wait)) if length & (MESSAGE | long::PIECE) == long::PIECE => {
                    self.take_pieces(buffer, peers, wait)
                }
                _ => CORRUPTED_RECV,
            };
        }
        let length = length as usize; // less than the ring
        let Some(buffer) = buffer.get_mut(..length) else {
            return Some(Err(RecvFailure::TooShort { needed: length }));
        };
        self.copy_out(at + 1, buffer);
        // Release: pairs with the Acquire in `put`. Invariant 2.
        self.header.head.0.store(head.past_message(taken as u32, self.size).pack(), Ordering::Release);
        Some(Ok(length))
    }

    /// Shuts the channel down: from now on sends fail, and receivers end when they have received what is there. `Ok`
    /// also if it was so already. A [`SendFailure::Full`] (a try only) means that a sender is in the way, and that the next
    /// one will do it.
    pub fn shutdown(&self, me: Owner, peers: &impl Peers, wait: Wait) -> Result<(), SendFailure> {
        let shared = self.shared();
        // Invariant 6. Relaxed: a request, and nothing hangs on it.
        if shared.closing.compare_exchange(OPEN, ASKED, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
            eventcount::notify(&shared.not_full);
        }
        let side = &self.header.senders.0;
        lock(side, me, peers, wait).map_err(|refusal| refusal.of_send(wait))?;
        self.close();
        unlock(side, me);
        Ok(())
    }

    /// Whether it is shut down.
    pub fn is_shut_down(&self) -> bool {
        !matches!(self.shared().closing.load(Ordering::Acquire), OPEN | ASKED)
    }

    /// Number of messages at some moment of this call; a guess if others are very fast, at most what can be there.
    pub fn len(&self) -> usize {
        let mut head = self.header.head.0.load(Ordering::Acquire);
        let mut count = 0;
        for _ in 0..8 {
            let tail = self.header.tail.0.load(Ordering::Acquire);
            count = ((tail >> 32) as u32).wrapping_sub((head >> 32) as u32).min(self.size);
            let now = self.header.head.0.load(Ordering::Acquire);
            if now == head {
                break;
            }
            head = now;
        }
        count as usize
    }

    /// Whether there is no message, at some moment of this call.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether receiving would end at once: there is a message, or the end, or an error. It does not look at the lock.
    pub fn can_recv(&self) -> bool {
        // Before the positions (invariant 4).
        self.is_shut_down() || self.used_now().is_none_or(|used| used > 0)
    }

    /// The same of sending a message of `len` bytes.
    pub fn can_send(&self, len: usize) -> bool {
        let needed = 1 + words::words_for(len);
        self.is_shut_down()
            || needed > self.size as usize
            || self.used_now().is_none_or(|used| (self.size - used) as usize >= needed)
    }

    /// Waits until receiving would end at once, as far as [`can_recv`](Self::can_recv) tells: whether it does. `None`: a signal
    /// handler ran.
    pub fn poll(&self, peers: &impl Peers, wait: Wait) -> Option<bool> {
        let attempt = || or_learn(peers, self.can_recv().then_some(()));
        if wait.deadline == Deadline::Now {
            return Some(attempt().is_some() || self.can_recv());
        }
        match eventcount::wait_until(&self.shared().not_empty, wait, attempt) {
            Ok(()) => Some(true),
            Err(eventcount::Expired::TimedOut) => Some(false),
            Err(eventcount::Expired::Interrupted) => None,
        }
    }

    /// Words in use at some moment of this call. `None` if the two positions are nonsense, or change so fast that there is
    /// something to do for everybody.
    fn used_now(&self) -> Option<u32> {
        let mut head = self.header.head.0.load(Ordering::Acquire);
        for _ in 0..8 {
            let tail = self.header.tail.0.load(Ordering::Acquire);
            let now = self.header.head.0.load(Ordering::Acquire);
            if now == head {
                let [head, tail] = [head, tail].map(|position| Position::unpack(position, self.size));
                return Position::used(head?, tail?, self.size);
            }
            head = now;
        }
        None
    }

    /// Where receivers sleep.
    pub fn not_empty(&self) -> &'a EventCount {
        &self.shared().not_empty
    }

    /// Where senders sleep.
    pub fn not_full(&self) -> &'a EventCount {
        &self.shared().not_full
    }

    /// Frees the locks that `dead` held, and wakes whoever waits for what it may have done last.
    ///
    /// Any number of processes may do this at the same time, and be killed at it.
    pub fn recover(&self, dead: ParticipantId, peers: &impl Peers) {
        mutex::recover(&self.header.senders.0.lock, dead, peers);
        mutex::recover(&self.header.receivers.0.lock, dead, peers);
        eventcount::recover(&self.shared().not_empty, u32::MAX);
        eventcount::recover(&self.shared().not_full, u32::MAX);
    }

    #[inline]
    fn position(&self, word: &AtomicU64, order: Ordering) -> Option<Position> {
        Position::unpack(word.load(order), self.size)
    }

    /// Copies bytes into the words from the one at `at` on, which may be the end of the ring, and on from its start.
    #[inline(always)]
    fn copy_in(&self, at: usize, bytes: &[u8]) {
        let to_end = &self.ring[at..];
        let (first, rest) = bytes.split_at(bytes.len().min(to_end.len() * 8));
        words::store(to_end, first);
        words::store(self.ring, rest);
    }

    /// The same out of them.
    #[inline(always)]
    fn copy_out(&self, at: usize, bytes: &mut [u8]) {
        let to_end = &self.ring[at..];
        let (first, rest) = bytes.split_at_mut(bytes.len().min(to_end.len() * 8));
        words::load(first, to_end);
        words::load(rest, self.ring);
    }

    #[inline]
    fn shared(&self) -> &'a Shared {
        &self.header.shared.0
    }
}
