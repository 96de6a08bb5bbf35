//! A message where it lies: written before it is sent, read before it is received.
//!
//! Invariants, beside those of the channel:
//! 1. Whoever writes holds the senders' lock from [`reserve`](Channel::reserve) to [`commit`](Channel::commit) or
//!    [`abandon`](Channel::abandon), and whoever reads the receivers' lock from [`peek`](Channel::peek) to
//!    [`release`](Channel::release) or [`leave`](Channel::leave). Nothing else keeps the others away, and nothing else need.
//! 2. The header word of a message is written when it is committed, and its length is not more than was reserved.
//!
//! A death in between is one of a side's lock: of the sender it leaves free words that have other bytes in them; of the
//! receiver a message, which the next one reads. A message in pieces is not in the ring at any moment, so it is copied:
//! [`Peeked::Long`].

use super::long::AtHead;
use super::{Channel, MESSAGE, Position, RecvFailure, SendFailure};
use super::{eventcount, lock, note_miss, unlock, words};
use crate::layout::mutex::LockWord;
use crate::primitive::{AtomicU64, Ordering};
use crate::raw::{Owner, Peers};
use crate::sys::nap::Wait;

/// Room for a message, under the senders' lock.
#[derive(Clone, Copy, Debug)]
#[must_use = "the senders' lock is held until it is committed or abandoned"]
pub struct Room {
    tail: Position,
    bytes: usize,
}

impl Room {
    /// Bytes of it.
    pub fn bytes(self) -> usize {
        self.bytes
    }
}

/// A message in the ring, under the receivers' lock, checked against what is there.
#[derive(Clone, Copy, Debug)]
pub struct Found {
    head: Position,
    bytes: usize,
}

impl Found {
    /// The message at `head` whose header word has this length, if it lies in the `used` words from there on.
    pub(super) fn checked(head: Position, length: u64, used: u32) -> Result<Self, RecvFailure> {
        if 1 + length.div_ceil(8) > u64::from(used) {
            return Err(RecvFailure::Corrupted);
        }
        Ok(Self { head, bytes: length as usize }) // less than the ring
    }

    /// Bytes of it.
    pub fn bytes(self) -> usize {
        self.bytes
    }

    /// The position behind it.
    pub(super) fn end(self, size: u32) -> Position {
        self.head.past_message(1 + words::words_for(self.bytes) as u32, size)
    }
}

/// What comes next.
#[derive(Clone, Copy, Debug)]
#[must_use = "of a message the receivers' lock is held until it is released or left"]
pub enum Peeked {
    /// A message, and the receivers' lock is held.
    Message(Found),
    /// A message of so many bytes in pieces, to be received in the usual way; no lock is held.
    Long(usize),
}

/// Where a message lies: it may wrap.
#[derive(Clone, Copy, Debug)]
pub struct Parts<'a> {
    first: &'a [AtomicU64],
    rest: &'a [AtomicU64],
    bytes: usize,
}

impl<'a> Parts<'a> {
    /// Bytes of both.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Bytes of the first one; only if there are more, some of the rest.
    pub fn first_bytes(&self) -> usize {
        self.bytes.min(self.first.len() * 8)
    }

    /// The words of the two.
    pub fn words(&self) -> [&'a [AtomicU64]; 2] {
        [self.first, self.rest]
    }

    /// Copies bytes in, from byte `at` on; no further than the words reach.
    pub fn store_at(&self, at: usize, bytes: &[u8]) {
        let edge = self.first.len() * 8;
        let (first, rest) = bytes.split_at(bytes.len().min(edge.saturating_sub(at)));
        words::store_at(self.first, at, first);
        words::store_at(self.rest, at.max(edge) - edge, rest);
    }

    /// Copies bytes out, from byte `at` on; no further than the words reach.
    pub fn load_at(&self, at: usize, bytes: &mut [u8]) {
        let edge = self.first.len() * 8;
        let (first, rest) = bytes.split_at_mut(bytes.len().min(edge.saturating_sub(at)));
        words::load_at(first, self.first, at);
        words::load_at(rest, self.rest, at.max(edge) - edge);
    }
}

impl<'a> Channel<'a> {
    /// Room for a message of `len` bytes, waiting for the lock and for room as `wait` says. The lock stays held.
    pub fn reserve(&self, me: Owner, len: usize, peers: &impl Peers, wait: Wait) -> Result<Room, SendFailure> {
        if !self.fits(len) {
            return Err(SendFailure::TooLong);
        }
        self.send_by(peers, wait, || {
            let side = &self.header.senders.0;
            if let Err(refusal) = lock(side, me, peers, wait) {
                return Some(Err(refusal.of_send(wait)));
            }
            let room = self.room_for(1 + words::words_for(len) as u32).transpose();
            if !matches!(room, Some(Ok(_))) {
                unlock(side, me);
            }
            room.map(|tail| tail.map(|tail| Room { tail, bytes: len }))
        })
    }

    /// Sends the first `len` bytes of the room as a message, and gives the lock back.
    pub fn commit(&self, me: Owner, room: Room, len: usize) {
        let len = len.min(room.bytes);
        let (tail, needed) = (room.tail, 1 + words::words_for(len) as u32);
        // As of every message, the unused bytes of the last word are zero.
        self.room_parts(room).store_at(len, &[0; 8][..(needed - 1) as usize * 8 - len]);
        self.ring[tail.index as usize].store(MESSAGE | len as u64, Ordering::Relaxed);
        // Release: pairs with the Acquire in `take`. Invariant 2 of the channel.
        self.header.tail.0.store(tail.past_message(needed, self.size).pack(), Ordering::Release);
        self.abandon(me);
        eventcount::notify(&self.shared().not_empty);
    }

    /// Gives the senders' lock back.
    pub fn abandon(&self, me: Owner) {
        unlock(&self.header.senders.0, me);
    }

    /// Where the room lies.
    pub fn room_parts(&self, room: Room) -> Parts<'a> {
        self.parts(room.tail, room.bytes)
    }

    /// The first message, waiting for the lock and for a message as `wait` says. Of one that lies in the ring the lock
    /// stays held.
    pub fn peek(&self, me: Owner, peers: &impl Peers, wait: Wait) -> Result<Peeked, RecvFailure> {
        self.recv_by(peers, wait, || {
            let side = &self.header.receivers.0;
            if let Err(refusal) = lock(side, me, peers, wait) {
                return Some(Err(refusal.of_recv(wait)));
            }
            let first = self.first();
            if !matches!(first, Some(Ok(Peeked::Message(_)))) {
                unlock(side, me);
            }
            first
        })
    }

    /// What comes first, under the receivers' lock.
    pub(super) fn first(&self) -> Option<Result<Peeked, RecvFailure>> {
        // Each turn takes something from the ring, which others may fill: as many as a peer sends.
        loop {
            // Before the ring: see `take`.
            let closing = self.shared().closing.load(Ordering::Acquire);
            match self.at_head() {
                Ok(AtHead::Message(found)) => return Some(Ok(Peeked::Message(found))),
                Ok(AtHead::Piece(piece)) => {
                    if let Some(total) = self.begins(&piece) {
                        return Some(Ok(Peeked::Long(total)));
                    }
                }
                Ok(AtHead::Nothing) => {
                    // Relaxed: under this lock nobody else writes it.
                    if let Some(head) = self.position(&self.header.head.0, Ordering::Relaxed) {
                        note_miss(&self.header.receivers.0, head);
                    }
                    return Self::nothing(closing);
                }
                Err(failure) => return Some(Err(failure)),
            }
        }
    }

    /// Receives what was found, and gives the lock back.
    pub fn release(&self, me: Owner, found: Found) {
        // Release: pairs with the Acquire in `room_for`. Invariant 2 of the channel.
        self.header.head.0.store(found.end(self.size).pack(), Ordering::Release);
        self.leave(me);
        eventcount::notify(&self.shared().not_full);
    }

    /// Gives the receivers' lock back.
    pub fn leave(&self, me: Owner) {
        unlock(&self.header.receivers.0, me);
    }

    /// Where the message lies.
    pub fn found_parts(&self, found: Found) -> Parts<'a> {
        self.parts(found.head, found.bytes)
    }

    /// The words of the senders' lock and of the receivers'.
    pub fn locks(&self) -> [&'a LockWord; 2] {
        [&self.header.senders.0.lock, &self.header.receivers.0.lock]
    }

    fn parts(&self, at: Position, bytes: usize) -> Parts<'a> {
        let words = words::words_for(bytes);
        let start = self.wrapped(at.index as usize + 1);
        let first = &self.ring[start..];
        let first = &first[..first.len().min(words)];
        Parts { first, rest: &self.ring[..words - first.len()], bytes }
    }
}
