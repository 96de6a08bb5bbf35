//! The library's ring of records in the arena. As in [`spsc`](crate::spsc), each operation takes its end and gives it back.
//!
//! A record takes five words of a ring that has a power of two of them, so in most laps one lies behind a pad. How many fit
//! depends on that; the scenarios ask for an exact number, so whoever pushes first looks how many there are.

use std::mem::size_of;
use std::sync::atomic::AtomicU64;

use ringfence::layout::ring::{Bytes, RingHeader};
use ringfence::raw::backoff::Backoff;
use ringfence::raw::byte_ring::ByteRing;
use ringfence::raw::ring::{self, PopFailure, PushFailure};
use ringfence::raw::words;
use ringfence::sys::nap::Wait;

use crate::asleep::{self, Case};
use crate::board::{Board, Oracle, Role};
use crate::chain;
use crate::channel::{bytes, value as value_of};
use crate::fifos::{Fifo, No, WORDS};
use crate::scenario::Scenario;

/// See the module's head.
#[derive(Debug)]
pub struct Shipped;

/// A process of it.
#[derive(Clone, Copy, Debug)]
pub struct Joined {
    ring: ByteRing<'static>,
    capacity: usize,
    board: &'static Board,
    role: Role,
}

const RING: usize = size_of::<RingHeader>() / 8;
const LEN: usize = 8 * WORDS + 1;
const RECORD: usize = 2 + WORDS;

/// A ring with room for so many and a pad, wherever it stands.
fn size(capacity: usize) -> Bytes {
    Bytes::new(8 * ((capacity + 1) * RECORD + 1) as u64).expect("a small ring")
}

impl Joined {
    /// How many there are. A pad is shorter than a record, and there is one at the most.
    fn records(&self) -> usize {
        self.ring.used() as usize / (8 * RECORD)
    }
}

fn header(board: &'static Board) -> *mut RingHeader {
    board.arena.as_ptr().cast_mut().cast()
}

impl Fifo for Shipped {
    type Joined = Joined;

    fn reset(board: &'static Board, capacity: usize) {
        // SAFETY: the arena is page-aligned, larger than the header, and nobody else is about.
        unsafe { header(board).write(RingHeader::new(size(capacity).capacity(), 0)) };
    }

    fn join(board: &'static Board, capacity: usize, role: Role) -> Joined {
        let size = size(capacity);
        let words: &[AtomicU64] = &board.arena[RING..][..size.words() as usize];
        // SAFETY: `reset` wrote a header there, which consists of atomics.
        let header = unsafe { &*header(board) };
        Joined { ring: ByteRing::new(header, words, size).expect("the words fit"), capacity, board, role }
    }

    fn push(joined: &mut Joined, value: u64, wait: Wait) -> Result<(), No> {
        let (ring, me) = (joined.ring, joined.role.owner());
        let mut tail = ring.produce(me, &Oracle(joined.board)).map_err(|_| No::Other)?;
        let peers: Option<&Oracle> = None;
        let room = ring::push_slow(ring.header(), wait, Backoff::new(), peers, || {
            let full = !ring.is_shut_down() && joined.records() >= joined.capacity;
            if full { Err(PushFailure::Full) } else { ring.try_reserve(&mut tail, LEN) }
        });
        let pushed = room.and_then(|room| {
            words::store(ring.payload(room), &[&bytes(value)[..], &[7]].concat());
            ring.commit(&mut tail, room, LEN)
        });
        ring.leave_producer(me);
        pushed.map_err(|failure| match failure {
            PushFailure::Full => No::Full,
            PushFailure::Closed => No::Closed,
            _ => No::Other,
        })
    }

    fn pop(joined: &mut Joined, wait: Wait) -> Result<u64, No> {
        let (ring, me) = (joined.ring, joined.role.owner());
        let mut head = ring.consume(me, &Oracle(joined.board)).map_err(|_| No::Other)?;
        let (mut record, peers): (_, Option<&Oracle>) = ([0; LEN], None);
        let popped = ring::pop_slow(ring.header(), wait, Backoff::new(), peers, || ring.try_peek(&mut head));
        let popped = popped.map(|found| {
            words::load(&mut record, ring.payload_of(found));
            ring.take(&mut head, found, found.bytes());
            if found.bytes() == LEN && record[LEN - 1] == 7 { value_of(&record[..LEN - 1]) } else { Err(No::Torn) }
        });
        ring.leave_consumer(me);
        popped.map_err(|failure| match failure {
            PopFailure::Empty => No::Empty,
            PopFailure::Closed => No::Closed,
            _ => No::Other,
        })?
    }

    fn recover(joined: &mut Joined, dead: Role) {
        ring::recover(joined.ring.header(), dead.id(), &Oracle(joined.board));
    }

    fn len(joined: &mut Joined) -> usize {
        joined.records()
    }

    fn shutdown(joined: &mut Joined) -> bool {
        joined.ring.shutdown();
        true
    }
}

/// All of them.
pub fn scenarios() -> Vec<Scenario> {
    let mut all = chain::scenarios::<Shipped>("byte ring");
    for cap in [true, false] {
        for (case, label) in [
            (Case::ConsumerAsleep, "consumer asleep"),
            (Case::ProducerAsleep, "producer asleep"),
            (Case::Recoverer, "recoverer"),
            (Case::Shutdown, "shutdown"),
        ] {
            all.push(asleep::scenario::<Shipped>("byte ring", case, label, cap));
        }
    }
    all
}
