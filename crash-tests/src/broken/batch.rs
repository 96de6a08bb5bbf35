//! Batches that are none: one that claims its first place, and publishes it behind the others, so that a kill leaves the
//! others alone; and one that sends its messages one by one where all of them or none must be there.

use std::sync::atomic::Ordering::{AcqRel, Acquire, Release};

use ringfence::raw::words;
use ringfence::sys::nap::Wait;

use crate::batches::Batches;
use crate::board::{Board, Role};
use crate::channel::bytes;
use crate::fifos::{Fifo, No, WORDS};
use crate::{channel, queue};

/// Everything as the library does, but for the batches.
#[derive(Debug)]
pub struct Over<F>(std::marker::PhantomData<F>);

impl<F: Fifo> Fifo for Over<F> {
    type Joined = F::Joined;

    fn reset(board: &'static Board, capacity: usize) {
        F::reset(board, capacity);
    }

    fn join(board: &'static Board, capacity: usize, role: Role) -> F::Joined {
        F::join(board, capacity, role)
    }

    fn push(joined: &mut F::Joined, value: u64, wait: Wait) -> Result<(), No> {
        F::push(joined, value, wait)
    }

    fn pop(joined: &mut F::Joined, wait: Wait) -> Result<u64, No> {
        F::pop(joined, wait)
    }

    fn recover(joined: &mut F::Joined, dead: Role) {
        F::recover(joined, dead);
    }

    fn len(joined: &mut F::Joined) -> usize {
        F::len(joined)
    }
}

impl Batches for Over<queue::Shipped> {
    const WHOLE: bool = false;

    fn push_many(joined: &mut Self::Joined, values: &[u64], wait: Wait) -> Result<usize, No> {
        const WRITING: u64 = 1 << 13;
        const FULL: u64 = 2 << 13;
        // SAFETY: `reset` wrote a header there, which consists of atomics.
        let header = unsafe { &*queue::header(joined.board) };
        let position = header.tail.0.load(Acquire);
        let (index, lap) = ((position & 3) as usize, position >> 2 << 16);
        let slot = &joined.board.arena[queue::SLOTS + index * (1 + WORDS)..][..1 + WORDS];
        let mine = lap | WRITING | u64::from(joined.role.id());
        slot[0].compare_exchange(lap, mine, AcqRel, Acquire).map_err(|_| No::Other)?;
        values[1..].iter().try_for_each(|value| Self::push(joined, *value, wait))?;
        words::store(&slot[1..], &bytes(values[0]));
        slot[0].store(lap | FULL, Release);
        Ok(values.len())
    }

    fn pop_many(joined: &mut Self::Joined, values: &mut [u64], wait: Wait) -> Result<usize, No> {
        queue::Shipped::pop_many(joined, values, wait)
    }
}

impl Batches for Over<channel::Shipped> {
    const WHOLE: bool = true;

    fn push_many(joined: &mut Self::Joined, values: &[u64], wait: Wait) -> Result<usize, No> {
        values.iter().try_for_each(|value| Self::push(joined, *value, wait)).map(|()| values.len())
    }

    fn pop_many(joined: &mut Self::Joined, values: &mut [u64], wait: Wait) -> Result<usize, No> {
        let most = values.len();
        values.iter_mut().try_for_each(|value| Self::pop(joined, wait).map(|popped| *value = popped)).map(|()| most)
    }
}
