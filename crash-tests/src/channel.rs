//! The library's channel algorithm in the arena.
//!
//! Its ring is two words longer than its messages need, so that every other message wraps.

use std::mem::size_of;
use std::sync::atomic::AtomicU64;

use ringfence::layout::channel::{ChannelHeader, Geometry};
use ringfence::raw::channel::{Channel, Peeked, RecvFailure, SendFailure};
use ringfence::sys::nap::Wait;

use crate::board::{Board, Oracle, Role};
use crate::fifos::{Fifo, No, WORDS, message, whole};

/// See the module's head.
#[derive(Debug)]
pub struct Shipped;

/// A process of it.
#[derive(Clone, Copy, Debug)]
pub struct Joined {
    /// The channel.
    pub channel: Channel<'static>,
    /// What it shares.
    pub board: &'static Board,
    /// Who it is.
    pub role: Role,
}

const RING: usize = size_of::<ChannelHeader>() / 8;

fn header(board: &'static Board) -> *mut ChannelHeader {
    board.arena.as_ptr().cast_mut().cast()
}

/// Words of a ring that has room for exactly so many messages.
pub fn ring_words(messages: usize) -> usize {
    messages * (1 + WORDS) + 2
}

/// A message as bytes.
pub fn bytes(value: u64) -> [u8; 8 * WORDS] {
    let mut bytes = [0; 8 * WORDS];
    for (part, word) in bytes.chunks_exact_mut(8).zip(message(value)) {
        part.copy_from_slice(&word.to_ne_bytes());
    }
    bytes
}

/// And back, whole.
pub fn value(bytes: &[u8]) -> Result<u64, No> {
    if bytes.len() != 8 * WORDS {
        return Err(No::Torn);
    }
    whole(std::array::from_fn(|n| u64::from_ne_bytes(bytes[8 * n..][..8].try_into().unwrap_or_default())))
}

impl Fifo for Shipped {
    type Joined = Joined;

    fn reset(board: &'static Board, capacity: usize) {
        let geometry = Geometry::new(8 * ring_words(capacity) as u64).expect("a small ring");
        // SAFETY: the arena is page-aligned, larger than the header, and nobody else is about.
        unsafe { header(board).write(ChannelHeader::new(geometry)) };
    }

    fn join(board: &'static Board, capacity: usize, role: Role) -> Joined {
        let ring: &[AtomicU64] = &board.arena[RING..][..ring_words(capacity)];
        // SAFETY: `reset` wrote a header there, which consists of atomics.
        let header = unsafe { &*header(board) };
        Joined { channel: Channel::attach(header, ring).expect("the header fits"), board, role }
    }

    fn push(joined: &mut Joined, value: u64, wait: Wait) -> Result<(), No> {
        joined.channel.send(joined.role.owner(), &bytes(value), &Oracle(joined.board), wait).map_err(unsent)
    }

    fn pop(joined: &mut Joined, wait: Wait) -> Result<u64, No> {
        let mut buffer = [0; 8 * WORDS + 8];
        let received = joined.channel.recv(joined.role.owner(), &mut buffer, &Oracle(joined.board), wait);
        value(&buffer[..received.map_err(unreceived)?])
    }

    fn recover(joined: &mut Joined, dead: Role) {
        joined.channel.recover(dead.id(), &Oracle(joined.board));
    }

    fn len(joined: &mut Joined) -> usize {
        joined.channel.len()
    }

    fn shutdown(joined: &mut Joined) -> bool {
        joined.channel.shutdown(joined.role.owner(), &Oracle(joined.board), crate::locks::FOREVER).is_ok()
    }
}

fn unsent(failure: SendFailure) -> No {
    match failure {
        SendFailure::Full => No::Full,
        SendFailure::Closed => No::Closed,
        _ => No::Other,
    }
}

fn unreceived(failure: RecvFailure) -> No {
    match failure {
        RecvFailure::Empty => No::Empty,
        RecvFailure::Closed => No::Closed,
        _ => No::Other,
    }
}

/// The same with messages that are written and read where they lie.
#[derive(Debug)]
pub struct InPlace;

impl Fifo for InPlace {
    type Joined = Joined;

    fn reset(board: &'static Board, capacity: usize) {
        Shipped::reset(board, capacity);
    }

    fn join(board: &'static Board, capacity: usize, role: Role) -> Joined {
        Shipped::join(board, capacity, role)
    }

    fn push(joined: &mut Joined, value: u64, wait: Wait) -> Result<(), No> {
        let (channel, me) = (joined.channel, joined.role.owner());
        let room = channel.reserve(me, 8 * WORDS, &Oracle(joined.board), wait).map_err(unsent)?;
        channel.room_parts(room).store_at(0, &bytes(value));
        channel.commit(me, room, 8 * WORDS);
        Ok(())
    }

    fn pop(joined: &mut Joined, wait: Wait) -> Result<u64, No> {
        let (channel, me) = (joined.channel, joined.role.owner());
        let peeked = channel.peek(me, &Oracle(joined.board), wait).map_err(unreceived)?;
        let Peeked::Message(found) = peeked else { return Err(No::Other) };
        let mut buffer = [0; 8 * WORDS];
        let parts = channel.found_parts(found);
        parts.load_at(0, &mut buffer);
        channel.release(me, found);
        value(&buffer[..parts.bytes().min(8 * WORDS)])
    }

    fn recover(joined: &mut Joined, dead: Role) {
        Shipped::recover(joined, dead);
    }

    fn len(joined: &mut Joined) -> usize {
        Shipped::len(joined)
    }

    fn shutdown(joined: &mut Joined) -> bool {
        Shipped::shutdown(joined)
    }
}
