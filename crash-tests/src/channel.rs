//! The library's channel algorithm in the arena.
//!
//! Its ring is two words longer than its messages need, so that every other message wraps.

use std::mem::size_of;
use std::sync::atomic::AtomicU64;

use ringfence::layout::channel::{ChannelHeader, Geometry};
use ringfence::raw::channel::{Channel, RecvFailure, SendFailure};
use ringfence::sys::nap::Wait;

use crate::board::{Board, Oracle, Role};
use crate::fifos::{Fifo, No, WORDS, message, whole};

/// See the module's head.
#[derive(Debug)]
pub struct Shipped;

/// A process of it.
#[derive(Clone, Copy, Debug)]
pub struct Joined {
    channel: Channel<'static>,
    board: &'static Board,
    role: Role,
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
        let sent = joined.channel.send(joined.role.owner(), &bytes(value), &Oracle(joined.board), wait);
        sent.map_err(|failure| match failure {
            SendFailure::Full => No::Full,
            SendFailure::Closed => No::Closed,
            _ => No::Other,
        })
    }

    fn pop(joined: &mut Joined, wait: Wait) -> Result<u64, No> {
        let mut buffer = [0; 8 * WORDS + 8];
        let received = joined.channel.recv(joined.role.owner(), &mut buffer, &Oracle(joined.board), wait);
        let len = received.map_err(|failure| match failure {
            RecvFailure::Empty => No::Empty,
            RecvFailure::Closed => No::Closed,
            _ => No::Other,
        })?;
        value(&buffer[..len])
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
