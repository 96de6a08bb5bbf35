//! A queue whose notifier clears the sleepers' bit before it wakes them. Killed in between, it leaves sleepers behind a
//! word that tells nobody of them, recovery neither.

use std::sync::atomic::Ordering::{Relaxed, SeqCst};

use ringfence::layout::eventcount::EventCount;
use ringfence::raw::eventcount::{prepare, recover, sleep};
use ringfence::sys::futex;
use ringfence::sys::nap::{Deadline, Nap, Wait};

use crate::board::{ARENA, Board, Role};
use crate::fifos::{Fifo, NOW, No};
use crate::queue::{Joined, Shipped};

/// The library's queue, which nobody waits at, beside an eventcount of its own.
#[derive(Debug)]
pub struct ClearFirst;

const SLEEPERS: u32 = 1;
const EPOCH: u32 = 4;

/// The eventcount, at the end of the arena.
fn event(board: &'static Board) -> &'static EventCount {
    // SAFETY: an eventcount is an aligned atomic, and zero is a valid one; the queue ends long before it.
    unsafe { &*(&raw const board.arena[ARENA - 32]).cast() }
}

/// The flaw: clears, then wakes.
fn notify(event: &EventCount) {
    std::sync::atomic::fence(SeqCst);
    let seen = event.word.load(Relaxed);
    if seen & SLEEPERS != 0 && event.word.compare_exchange(seen, (seen + EPOCH) & !SLEEPERS, Relaxed, Relaxed).is_ok() {
        futex::wake(&event.word, u32::MAX);
    }
}

impl Fifo for ClearFirst {
    type Joined = (&'static Board, Joined);

    fn reset(board: &'static Board, capacity: usize) {
        Shipped::reset(board, capacity);
    }

    fn join(board: &'static Board, capacity: usize, role: Role) -> Self::Joined {
        (board, Shipped::join(board, capacity, role))
    }

    fn push((board, queue): &mut Self::Joined, value: u64, _: Wait) -> Result<(), No> {
        Shipped::push(queue, value, NOW)?;
        notify(event(board));
        Ok(())
    }

    fn pop((board, queue): &mut Self::Joined, wait: Wait) -> Result<u64, No> {
        let event = event(board);
        let mut nap = Nap::new();
        loop {
            let ticket = prepare(event);
            match Shipped::pop(queue, NOW) {
                Err(No::Empty) if wait.deadline != Deadline::Now => {
                    sleep(event, ticket, &mut nap, wait);
                }
                popped => return popped,
            }
        }
    }

    fn recover((board, queue): &mut Self::Joined, dead: Role) {
        Shipped::recover(queue, dead);
        recover(event(board), u32::MAX);
    }

    fn len((_, queue): &mut Self::Joined) -> usize {
        Shipped::len(queue)
    }
}
