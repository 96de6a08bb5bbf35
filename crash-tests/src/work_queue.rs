//! The library's work queue in the arena, and by the public API: a pop is a take, a read, and the report that it is done.
//!
//! A process writes down what it has read, and then that it is about to report: until then a message that it had must come
//! back.

use std::mem::size_of;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use ringfence::layout::work_queue::{Geometry, WorkQueueHeader};
use ringfence::raw::work_queue::{PushFailure, TakeFailure, WorkQueue};
use ringfence::sys::nap::{Deadline, Wait};
use ringfence::{Segment, TakeError, WorkPushError, WorkQueueOptions};

use crate::api;
use crate::board::{Board, Digest, Oracle, Role};
use crate::channel::{bytes, value};
use crate::fifos::{Fifo, No, WORDS};

const LONGEST: u64 = 8 * WORDS as u64;

/// The algorithm. `EARLY`, it is broken: it reports before it has read, as a queue without leases does.
#[derive(Debug)]
pub struct Of<const EARLY: bool>;

/// See the module's head.
pub type Shipped = Of<false>;

/// A process of it.
#[derive(Clone, Copy, Debug)]
pub struct Joined {
    queue: WorkQueue<'static>,
    board: &'static Board,
    role: Role,
}

const WORDS_FROM: usize = size_of::<WorkQueueHeader>() / 8;

fn header(board: &'static Board) -> *mut WorkQueueHeader {
    board.arena.as_ptr().cast_mut().cast()
}

fn geometry(capacity: usize) -> Geometry {
    Geometry::new(capacity as u64, LONGEST).expect("a small queue")
}

/// Nothing was read yet.
fn begin(board: &Board) {
    board.pair[1].store(0, Relaxed);
}

/// What was read, and that the next is the report.
fn about_to_report(board: &Board, role: Role, value: u64) {
    board.pair[0].store(value, Relaxed);
    board.pair[1].store(u64::from(role.id()), Release);
}

/// What a process that is dead was about to report, or has.
pub fn reported(board: &Board, role: Role) -> Option<u64> {
    (board.pair[1].load(Acquire) == u64::from(role.id())).then(|| board.pair[0].load(Relaxed))
}

impl<const EARLY: bool> Fifo for Of<EARLY> {
    type Joined = Joined;

    const REDELIVERS: bool = true;

    fn reset(board: &'static Board, capacity: usize) {
        // SAFETY: the arena is page-aligned, larger than the header, and nobody else is about.
        unsafe { header(board).write(WorkQueueHeader::new(geometry(capacity), 0)) };
    }

    fn join(board: &'static Board, capacity: usize, role: Role) -> Joined {
        let words: &[AtomicU64] = &board.arena[WORDS_FROM..][..geometry(capacity).words()];
        // SAFETY: `reset` wrote a header there, which consists of atomics.
        let header = unsafe { &*header(board) };
        Joined { queue: WorkQueue::attach(header, words).expect("the header fits"), board, role }
    }

    fn push(joined: &mut Joined, value: u64, wait: Wait) -> Result<(), No> {
        let pushed = joined.queue.push(joined.role.owner(), &bytes(value), &Oracle(joined.board), wait);
        pushed.map_err(|failure| match failure {
            PushFailure::Full => No::Full,
            PushFailure::Closed => No::Closed,
            _ => No::Other,
        })
    }

    fn pop(joined: &mut Joined, wait: Wait) -> Result<u64, No> {
        let queue = &joined.queue;
        begin(joined.board);
        let lease = queue.take(joined.role.owner(), &Oracle(joined.board), wait).map_err(|failure| match failure {
            TakeFailure::Empty => No::Empty,
            TakeFailure::Busy => No::Busy,
            TakeFailure::Closed => No::Closed,
            _ => No::Other,
        })?;
        let mut message = [0; LONGEST as usize];
        if EARLY {
            queue.done(lease).map_err(|_| No::Other)?;
            let mut read = [0; LONGEST as usize];
            let place = &joined.board.arena[WORDS_FROM + geometry_words(queue, lease.place)..][..WORDS];
            read.chunks_exact_mut(8)
                .zip(place)
                .for_each(|(to, from)| to.copy_from_slice(&from.load(Relaxed).to_ne_bytes()));
            let value = value(&read)?;
            about_to_report(joined.board, joined.role, value);
            return Ok(value);
        }
        let length = queue.read(lease, &mut message).map_err(|_| No::Torn)?;
        let value = value(&message[..length])?;
        about_to_report(joined.board, joined.role, value);
        queue.done(lease).map_err(|_| No::Other)?;
        Ok(value)
    }

    fn recover(joined: &mut Joined, dead: Role) {
        joined.queue.recover(dead.id(), &Oracle(joined.board));
    }

    fn len(joined: &mut Joined) -> usize {
        let count = joined.queue.count();
        count.waiting + count.leased
    }

    fn shutdown(joined: &mut Joined) -> bool {
        joined.queue.shutdown();
        true
    }
}

/// Where the message of a place begins, behind the header.
fn geometry_words(queue: &WorkQueue<'_>, place: u32) -> usize {
    let geometry = queue.geometry();
    2 * geometry.places() + place as usize * geometry.stride() + 1
}

/// `WorkQueue`.
#[derive(Debug)]
pub struct ApiWorkQueue;

impl Fifo for ApiWorkQueue {
    type Joined = (Segment, ringfence::WorkQueue, &'static Board, Role);

    const IN_ARENA: bool = false;
    const REDELIVERS: bool = true;

    fn reset(board: &'static Board, capacity: usize) {
        api::fresh_segment(board, |segment| {
            let options = WorkQueueOptions::new(capacity, LONGEST as usize);
            let _ = ringfence::WorkQueue::create(segment, "work", &options).expect("room for a work queue");
        });
    }

    fn join(board: &'static Board, _: usize, role: Role) -> Self::Joined {
        let segment = api::join(board);
        let queue = ringfence::WorkQueue::open(&segment, "work").expect("it is there");
        // The thread's registration is a scenario of its own.
        let _ = segment.objects();
        (segment, queue, board, role)
    }

    fn push((_, queue, ..): &mut Self::Joined, value: u64, wait: Wait) -> Result<(), No> {
        let message = bytes(value);
        let pushed = if wait.deadline == Deadline::Now { queue.try_push(&message) } else { queue.push(&message) };
        pushed.map_err(|error| match error {
            WorkPushError::Full => No::Full,
            WorkPushError::Closed => No::Closed,
            _ => No::Other,
        })
    }

    fn pop((_, queue, board, role): &mut Self::Joined, wait: Wait) -> Result<u64, No> {
        begin(board);
        let taken = if wait.deadline == Deadline::Now { queue.try_take() } else { queue.take() };
        let lease = taken.map_err(|error| match error {
            TakeError::Empty => No::Empty,
            TakeError::Busy => No::Busy,
            TakeError::Closed => No::Closed,
            _ => No::Other,
        })?;
        let value = crate::fifos::whole(lease.get().map_err(|_| No::Torn)?)?;
        about_to_report(board, *role, value);
        lease.done().map_err(|_| No::Other)?;
        Ok(value)
    }

    fn recover((segment, ..): &mut Self::Joined, _: Role) {
        segment.recover().expect("recovery is possible");
    }

    fn place((segment, ..): &Self::Joined, pid: i32) -> Option<u64> {
        api::place(segment, pid)
    }

    fn len((_, queue, ..): &mut Self::Joined) -> usize {
        queue.unfinished()
    }

    fn shutdown((_, queue, ..): &mut Self::Joined) -> bool {
        queue.shutdown().is_ok()
    }

    fn digest(board: &'static Board) -> Digest {
        api::digest(board)
    }
}
