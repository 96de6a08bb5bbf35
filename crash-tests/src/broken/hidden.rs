//! A queue of per-slot laps whose consumers believe too much.
//!
//! A slot that a consumer finds L laps ahead proves to a *producer* that all positions before it are claimed. Here the
//! consumer concludes the same for itself, and jumps to the seen lap's predecessor. But a dead producer's position is
//! voided out of order: it is finished while positions before it still hold messages, which are hidden from then on.
//! Two deaths show it: a consumer before it moves the head hint, and then the producer that reused the slot.
//!
//! [`Stores`] is the same queue, which where it has room for one has nothing to hide, with another flaw: what voids the
//! slot of a dead producer is a store, and not a compare-and-swap of the word that named the dead.

use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicU32, AtomicU64};

use ringfence::raw::{Fate, Peers};
use ringfence::sys::nap::{Deadline, Nap, Wait};

use crate::board::{Board, Oracle, Role};
use crate::fifos::{Fifo, No, WORDS, message, whole};

/// See the module's head.
pub type Hidden = Laps<false>;

/// See the module's head.
pub type Stores = Laps<true>;

/// See the module's head.
#[derive(Debug)]
pub struct Laps<const STORES: bool>;

/// A process of it.
#[derive(Clone, Copy, Debug)]
pub struct Joined {
    board: &'static Board,
    capacity: u64,
    me: u64,
    stores: bool,
}

const EMPTY: u64 = 0;
const WRITING: u64 = 1 << 8;
const FULL: u64 = 2 << 8;

fn word(lap: u64, state: u64) -> u64 {
    lap << 16 | state
}

impl Joined {
    fn tail(&self) -> &'static AtomicU64 {
        &self.board.arena[0]
    }

    fn head(&self) -> &'static AtomicU64 {
        &self.board.arena[16]
    }

    fn slot(&self, position: u64) -> &'static [AtomicU64] {
        let at = 32 + (position % self.capacity) as usize * (WORDS + 1);
        &self.board.arena[at..=at + WORDS]
    }

    /// Whether the writer named in the word is dead; then the word is voided.
    fn voided(&self, at: &AtomicU64, seen: u64) -> bool {
        let dead = Oracle(self.board).fate((seen & 0xff) as u16) == Fate::Dead;
        if dead && self.stores {
            at.store(word((seen >> 16) + 1, EMPTY), Release);
            return true;
        }
        dead && at.compare_exchange(seen, word((seen >> 16) + 1, EMPTY), AcqRel, Relaxed).is_ok()
    }
}

impl<const STORES: bool> Fifo for Laps<STORES> {
    type Joined = Joined;

    fn reset(_: &'static Board, _: usize) {}

    fn join(board: &'static Board, capacity: usize, role: Role) -> Joined {
        Joined { board, capacity: capacity as u64, me: u64::from(role.id()), stores: STORES }
    }

    fn push(queue: &mut Joined, value: u64, _: Wait) -> Result<(), No> {
        let mut position = queue.tail().load(Acquire);
        loop {
            let (slot, lap) = (queue.slot(position), position / queue.capacity);
            match slot[0].compare_exchange(word(lap, EMPTY), word(lap, WRITING | queue.me), AcqRel, Acquire) {
                Ok(_) => {
                    queue.tail().store(position + 1, Release);
                    slot[1..].iter().zip(message(value)).for_each(|(word, part)| word.store(part, Relaxed));
                    slot[0].store(word(lap, FULL), Release);
                    return Ok(());
                }
                Err(seen) if seen >> 16 >= lap => position += 1,
                Err(seen) if seen & WRITING != 0 && queue.voided(&slot[0], seen) => {}
                Err(_) => return Err(No::Full),
            }
        }
    }

    fn pop(queue: &mut Joined, wait: Wait) -> Result<u64, No> {
        let mut nap = Nap::new();
        loop {
            match Self::try_pop(queue) {
                // Nobody wakes it: it looks again.
                Err(_) if wait.deadline != Deadline::Now => drop(nap.sleep(&AtomicU32::new(0), 0, wait)),
                popped => return popped,
            }
        }
    }

    fn recover(queue: &mut Joined, dead: Role) {
        for position in 0..queue.capacity {
            let slot = queue.slot(position);
            let seen = slot[0].load(Acquire);
            if seen & 0xffff == WRITING | u64::from(dead.id()) {
                queue.voided(&slot[0], seen);
            }
        }
    }

    fn len(queue: &mut Joined) -> usize {
        queue.tail().load(Relaxed).saturating_sub(queue.head().load(Relaxed)) as usize
    }
}

impl<const STORES: bool> Laps<STORES> {
    fn try_pop(queue: &mut Joined) -> Result<u64, No> {
        let mut position = queue.head().load(Acquire);
        loop {
            let (slot, lap) = (queue.slot(position), position / queue.capacity);
            let seen = slot[0].load(Acquire);
            if seen >> 16 > lap {
                // The flaw: what holds for a producer.
                let claimed = ((seen >> 16) - 1) * queue.capacity + position % queue.capacity;
                position = claimed.max(position + 1);
            } else if seen == word(lap, FULL) {
                let copy = std::array::from_fn(|n| slot[1 + n].load(Relaxed));
                if slot[0].compare_exchange(seen, word(lap + 1, EMPTY), AcqRel, Relaxed).is_ok() {
                    queue.head().store(position + 1, Release);
                    return whole(copy);
                }
            } else if seen & WRITING == 0 {
                return Err(No::Empty);
            } else if !queue.voided(&slot[0], seen) {
                return Err(No::Busy);
            }
        }
    }
}
