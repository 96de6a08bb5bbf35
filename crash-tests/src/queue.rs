//! The library's queue algorithm in the arena.

use std::mem::size_of;
use std::sync::atomic::AtomicU64;

use ringfence::layout::queue::{Geometry, QueueHeader};
use ringfence::raw::queue::{PopFailure, PushFailure, Queue};
use ringfence::sys::nap::Wait;

use crate::board::{Board, Oracle, Role};
use crate::fifos::{Fifo, No, WORDS, message, whole};

/// See the module's head.
#[derive(Debug)]
pub struct Shipped;

/// A process of it.
#[derive(Clone, Copy, Debug)]
pub struct Joined {
    /// The queue.
    pub queue: Queue<'static>,
    /// What it shares.
    pub board: &'static Board,
    /// Who it is.
    pub role: Role,
}

/// Where the slots lie.
pub const SLOTS: usize = size_of::<QueueHeader>() / 8;

/// Where the header lies.
pub fn header(board: &'static Board) -> *mut QueueHeader {
    board.arena.as_ptr().cast_mut().cast()
}

impl Fifo for Shipped {
    type Joined = Joined;

    fn reset(board: &'static Board, capacity: usize) {
        let geometry = Geometry::new(capacity as u64, 8 * WORDS as u64).expect("a small queue");
        // SAFETY: the arena is page-aligned, larger than the header, and nobody else is about.
        unsafe { header(board).write(QueueHeader::new(geometry)) };
    }

    fn join(board: &'static Board, capacity: usize, role: Role) -> Joined {
        let slots: &[AtomicU64] = &board.arena[SLOTS..][..capacity * (1 + WORDS)];
        // SAFETY: `reset` wrote a header there, which consists of atomics.
        let header = unsafe { &*header(board) };
        Joined { queue: Queue::attach(header, slots).expect("the header fits"), board, role }
    }

    fn push(joined: &mut Joined, value: u64, wait: Wait) -> Result<(), No> {
        let mut item = [0; 8 * WORDS];
        for (bytes, word) in item.chunks_exact_mut(8).zip(message(value)) {
            bytes.copy_from_slice(&word.to_ne_bytes());
        }
        joined.queue.push(joined.role.owner(), &item, &Oracle(joined.board), wait).map_err(|failure| match failure {
            PushFailure::Full => No::Full,
            PushFailure::Closed => No::Closed,
            _ => No::Other,
        })
    }

    fn pop(joined: &mut Joined, wait: Wait) -> Result<u64, No> {
        let mut item = [0; 8 * WORDS];
        joined.queue.pop(&mut item, &Oracle(joined.board), wait).map_err(|failure| match failure {
            PopFailure::Empty => No::Empty,
            PopFailure::Busy => No::Busy,
            PopFailure::Closed => No::Closed,
            _ => No::Other,
        })?;
        whole(std::array::from_fn(|n| u64::from_ne_bytes(item[8 * n..][..8].try_into().unwrap_or_default())))
    }

    fn recover(joined: &mut Joined, dead: Role) {
        joined.queue.recover(dead.id(), &Oracle(joined.board));
    }

    fn len(joined: &mut Joined) -> usize {
        joined.queue.len() as usize
    }

    fn shutdown(joined: &mut Joined) -> bool {
        joined.queue.shutdown();
        true
    }
}
