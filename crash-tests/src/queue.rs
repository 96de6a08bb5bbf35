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
pub struct Session {
    queue: Queue<'static>,
    board: &'static Board,
    role: Role,
}

const SLOTS: usize = size_of::<QueueHeader>() / 8;

/// Where the header lies.
fn header(board: &'static Board) -> *mut QueueHeader {
    board.arena.as_ptr().cast_mut().cast()
}

impl Fifo for Shipped {
    type Session = Session;

    fn reset(board: &'static Board, capacity: usize) {
        let geometry = Geometry::new(capacity as u64, 8 * WORDS as u64).expect("a small queue");
        // SAFETY: the arena is page-aligned, larger than the header, and nobody else is about.
        unsafe { header(board).write(QueueHeader::new(geometry)) };
    }

    fn session(board: &'static Board, capacity: usize, role: Role) -> Session {
        let slots: &[AtomicU64] = &board.arena[SLOTS..][..capacity * (1 + WORDS)];
        // SAFETY: `reset` wrote a header there, which consists of atomics.
        let header = unsafe { &*header(board) };
        Session { queue: Queue::attach(header, slots).expect("the header fits"), board, role }
    }

    fn push(session: &mut Session, value: u64, wait: Wait) -> Result<(), No> {
        let mut item = [0; 8 * WORDS];
        for (bytes, word) in item.chunks_exact_mut(8).zip(message(value)) {
            bytes.copy_from_slice(&word.to_ne_bytes());
        }
        session.queue.push(session.role.owner(), &item, &Oracle(session.board), wait).map_err(|failure| match failure {
            PushFailure::Full => No::Full,
            PushFailure::Closed => No::Closed,
            _ => No::Other,
        })
    }

    fn pop(session: &mut Session, wait: Wait) -> Result<u64, No> {
        let mut item = [0; 8 * WORDS];
        session.queue.pop(&mut item, &Oracle(session.board), wait).map_err(|failure| match failure {
            PopFailure::Empty => No::Empty,
            PopFailure::Busy => No::Busy,
            PopFailure::Closed => No::Closed,
            _ => No::Other,
        })?;
        whole(std::array::from_fn(|n| u64::from_ne_bytes(item[8 * n..][..8].try_into().unwrap_or_default())))
    }

    fn recover(session: &mut Session, dead: Role) {
        session.queue.recover(dead.id(), &Oracle(session.board));
    }

    fn len(session: &mut Session) -> usize {
        session.queue.len() as usize
    }

    fn shutdown(session: &mut Session) -> bool {
        session.queue.shutdown();
        true
    }
}
