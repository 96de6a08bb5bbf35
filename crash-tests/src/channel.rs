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
pub struct Session {
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
    type Session = Session;

    fn reset(board: &'static Board, capacity: usize) {
        let geometry = Geometry::new(8 * ring_words(capacity) as u64).expect("a small ring");
        // SAFETY: the arena is page-aligned, larger than the header, and nobody else is about.
        unsafe { header(board).write(ChannelHeader::new(geometry)) };
    }

    fn session(board: &'static Board, capacity: usize, role: Role) -> Session {
        let ring: &[AtomicU64] = &board.arena[RING..][..ring_words(capacity)];
        // SAFETY: `reset` wrote a header there, which consists of atomics.
        let header = unsafe { &*header(board) };
        Session { channel: Channel::attach(header, ring).expect("the header fits"), board, role }
    }

    fn push(session: &mut Session, value: u64, wait: Wait) -> Result<(), No> {
        let sent = session.channel.send(session.role.owner(), &bytes(value), &Oracle(session.board), wait);
        sent.map_err(|failure| match failure {
            SendFailure::Full => No::Full,
            SendFailure::Closed => No::Closed,
            _ => No::Other,
        })
    }

    fn pop(session: &mut Session, wait: Wait) -> Result<u64, No> {
        let mut buffer = [0; 8 * WORDS + 8];
        let received = session.channel.recv(session.role.owner(), &mut buffer, &Oracle(session.board), wait);
        let len = received.map_err(|failure| match failure {
            RecvFailure::Empty => No::Empty,
            RecvFailure::Closed => No::Closed,
            _ => No::Other,
        })?;
        value(&buffer[..len])
    }

    fn recover(session: &mut Session, dead: Role) {
        session.channel.recover(dead.id(), &Oracle(session.board));
    }

    fn len(session: &mut Session) -> usize {
        session.channel.len()
    }

    fn shutdown(session: &mut Session) -> bool {
        session.channel.shutdown(session.role.owner(), &Oracle(session.board), crate::locks::FOREVER).is_ok()
    }
}
