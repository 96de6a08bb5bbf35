//! What the [lease scenarios](crate::leases) ask of a work queue: the library's in the arena and by the public API, or a
//! control.

use std::mem::size_of;
use std::sync::atomic::AtomicU64;

use ringfence::layout::work_queue::{Geometry, WorkQueueHeader};
use ringfence::raw::work_queue::{self as raw, WorkQueue};
use ringfence::{Segment, WorkQueueOptions};

use crate::api;
use crate::board::{Board, Digest, Oracle, Role};
use crate::channel::{bytes, value};
use crate::fifos::{NOW, WORDS, whole};
use crate::locks::FOREVER;

/// Messages that there is room for.
pub const CAPACITY: u64 = 3;
/// Deliveries after which a message is set aside.
pub const LIMIT: u32 = 2;
const LONGEST: usize = 8 * WORDS;

/// A work queue.
pub trait Desk: 'static {
    /// What a process needs to use it.
    type Joined;
    /// A message taken.
    type Lease<'a>;
    /// A fresh one. The board is cleared.
    fn reset(board: &'static Board);
    /// Joins.
    fn join(board: &'static Board, role: Role) -> Self::Joined;
    /// Whether there was room.
    fn push(joined: &Self::Joined, value: u64) -> bool;
    /// Takes a message if there is one.
    fn take(joined: &Self::Joined) -> Option<Self::Lease<'_>>;
    /// Takes a dead letter if there is one.
    fn take_dead(joined: &Self::Joined) -> Option<Self::Lease<'_>>;
    /// What a message consists of (`None` if it is torn), and how often it was delivered.
    fn read(joined: &Self::Joined, lease: &Self::Lease<'_>) -> (Option<u64>, u32);
    /// The work is done.
    fn done(joined: &Self::Joined, lease: Self::Lease<'_>) -> bool;
    /// It is not.
    fn fail(joined: &Self::Joined, lease: Self::Lease<'_>) -> bool;
    /// It is for [`task_done`](Self::task_done) to say.
    fn keep(joined: &Self::Joined, lease: Self::Lease<'_>) -> bool;
    /// One of the kept ones is done.
    fn task_done(joined: &Self::Joined) -> bool;
    /// Whether nothing is unfinished; if told to, waits for that.
    fn join_all(joined: &Self::Joined, wait: bool) -> bool;
    /// What a participant does for the dead.
    fn recover(joined: &Self::Joined, dead: &[Role]);
    /// The state after a kill.
    fn digest(board: &'static Board) -> Digest;
}

/// The algorithm. `LATE`, it is broken: what fails is done, and then pushed again.
#[derive(Debug)]
pub struct Raw<const LATE: bool>;

/// A process of it.
#[derive(Clone, Copy, Debug)]
pub struct Joined {
    queue: WorkQueue<'static>,
    board: &'static Board,
    role: Role,
}

fn header(board: &'static Board) -> *mut WorkQueueHeader {
    board.arena.as_ptr().cast_mut().cast()
}

fn geometry() -> Geometry {
    Geometry::new(CAPACITY, LONGEST as u64).expect("a small queue")
}

impl<const LATE: bool> Desk for Raw<LATE> {
    type Joined = Joined;
    type Lease<'a> = raw::Lease;

    fn reset(board: &'static Board) {
        // SAFETY: the arena is page-aligned, larger than the header, and nobody else is about.
        unsafe { header(board).write(WorkQueueHeader::new(geometry(), LIMIT)) };
    }

    fn join(board: &'static Board, role: Role) -> Joined {
        let words: &[AtomicU64] = &board.arena[size_of::<WorkQueueHeader>() / 8..][..geometry().words()];
        // SAFETY: `reset` wrote a header there, which consists of atomics.
        let header = unsafe { &*header(board) };
        Joined { queue: WorkQueue::attach(header, words).expect("the header fits"), board, role }
    }

    fn push(joined: &Joined, value: u64) -> bool {
        joined.queue.push(joined.role.owner(), &bytes(value), &Oracle(joined.board), NOW).is_ok()
    }

    fn take(joined: &Joined) -> Option<raw::Lease> {
        joined.queue.take(joined.role.owner(), &Oracle(joined.board), NOW).ok()
    }

    fn take_dead(joined: &Joined) -> Option<raw::Lease> {
        joined.queue.take_dead(joined.role.owner(), &Oracle(joined.board)).ok()
    }

    fn read(joined: &Joined, lease: &raw::Lease) -> (Option<u64>, u32) {
        let mut message = [0; LONGEST];
        let read = joined.queue.read(*lease, &mut message).ok();
        (read.and_then(|len| value(&message[..len]).ok()), lease.deliveries())
    }

    fn done(joined: &Joined, lease: raw::Lease) -> bool {
        joined.queue.done(lease).is_ok()
    }

    fn fail(joined: &Joined, lease: raw::Lease) -> bool {
        if LATE {
            let (message, _) = Self::read(joined, &lease);
            return Self::done(joined, lease) && message.is_some_and(|message| Self::push(joined, message));
        }
        joined.queue.fail(lease).is_ok()
    }

    fn keep(joined: &Joined, lease: raw::Lease) -> bool {
        joined.queue.keep(lease).is_ok()
    }

    fn task_done(joined: &Joined) -> bool {
        joined.queue.done_any(joined.role.owner(), 0).is_ok()
    }

    fn join_all(joined: &Joined, wait: bool) -> bool {
        joined.queue.join(joined.role.owner(), &Oracle(joined.board), if wait { FOREVER } else { NOW }).is_ok()
    }

    fn recover(joined: &Joined, dead: &[Role]) {
        for dead in dead {
            joined.queue.recover(dead.id(), &Oracle(joined.board));
        }
    }

    fn digest(board: &'static Board) -> Digest {
        Digest::new().words(&board.arena)
    }
}

/// `WorkQueue`.
#[derive(Debug)]
pub struct ApiDesk;

impl Desk for ApiDesk {
    type Joined = (Segment, ringfence::WorkQueue);
    type Lease<'a> = ringfence::Lease<'a>;

    fn reset(board: &'static Board) {
        api::fresh_segment(board, |segment| {
            let options = WorkQueueOptions::new(CAPACITY as usize, LONGEST).max_deliveries(LIMIT);
            let _ = ringfence::WorkQueue::create(segment, "work", &options).expect("room for a work queue");
        });
    }

    fn join(board: &'static Board, _: Role) -> Self::Joined {
        let segment = api::join(board);
        let queue = ringfence::WorkQueue::open(&segment, "work").expect("it is there");
        // The thread's registration is a scenario of its own.
        let _ = segment.objects();
        (segment, queue)
    }

    fn push((_, queue): &Self::Joined, value: u64) -> bool {
        queue.try_push(&bytes(value)).is_ok()
    }

    fn take((_, queue): &Self::Joined) -> Option<ringfence::Lease<'_>> {
        queue.try_take().ok()
    }

    fn take_dead((_, queue): &Self::Joined) -> Option<ringfence::Lease<'_>> {
        queue.take_dead_letter().ok()
    }

    fn read(_: &Self::Joined, lease: &ringfence::Lease<'_>) -> (Option<u64>, u32) {
        (lease.get().ok().and_then(|message| whole(message).ok()), lease.deliveries())
    }

    fn done(_: &Self::Joined, lease: ringfence::Lease<'_>) -> bool {
        lease.done().is_ok()
    }

    fn fail(_: &Self::Joined, lease: ringfence::Lease<'_>) -> bool {
        lease.fail().is_ok()
    }

    fn keep(_: &Self::Joined, lease: ringfence::Lease<'_>) -> bool {
        lease.keep().is_ok()
    }

    fn task_done((_, queue): &Self::Joined) -> bool {
        queue.task_done().is_ok()
    }

    fn join_all((_, queue): &Self::Joined, wait: bool) -> bool {
        if wait { queue.join().is_ok() } else { queue.try_join().is_ok() }
    }

    fn recover((segment, _): &Self::Joined, _: &[Role]) {
        segment.recover().expect("recovery is possible");
    }

    fn digest(board: &'static Board) -> Digest {
        api::digest(board)
    }
}
