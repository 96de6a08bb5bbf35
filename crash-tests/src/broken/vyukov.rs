//! D. Vyukov's bounded queue (2010): sound among the living. A producer takes a position by moving the tail, and
//! publishes later; if it dies in between, nobody can tell, and every consumer waits behind that position for ever.

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use ringfence::sys::nap::Wait;

use crate::board::{Board, Role};
use crate::fifos::{Fifo, No, WORDS, message, whole};

/// See the module's head.
#[derive(Debug)]
pub struct Vyukov;

/// Arena and capacity. Word 0 is the tail, 16 the head; cells of {sequence, data} from 32 on.
type Joined = (&'static [AtomicU64], u64);

fn cell((arena, capacity): Joined, position: u64) -> (&'static AtomicU64, &'static [AtomicU64]) {
    let at = 32 + (position % capacity) as usize * (WORDS + 1);
    (&arena[at], &arena[at + 1..at + 1 + WORDS])
}

impl Fifo for Vyukov {
    type Joined = Joined;

    fn reset(board: &'static Board, capacity: usize) {
        for position in 0..capacity as u64 {
            cell((&board.arena, capacity as u64), position).0.store(position, Relaxed);
        }
    }

    fn join(board: &'static Board, capacity: usize, _: Role) -> Joined {
        (&board.arena, capacity as u64)
    }

    fn push(&mut queue: &mut Joined, value: u64, _: Wait) -> Result<(), No> {
        let tail = &queue.0[0];
        loop {
            let position = tail.load(Relaxed);
            let (sequence, data) = cell(queue, position);
            match sequence.load(Acquire).wrapping_sub(position).cast_signed() {
                0 if tail.compare_exchange(position, position + 1, Relaxed, Relaxed).is_ok() => {
                    data.iter().zip(message(value)).for_each(|(word, part)| word.store(part, Relaxed));
                    sequence.store(position + 1, Release);
                    return Ok(());
                }
                ..0 => return Err(No::Full),
                _ => {}
            }
        }
    }

    fn pop(&mut queue: &mut Joined, _: Wait) -> Result<u64, No> {
        let head = &queue.0[16];
        loop {
            let position = head.load(Relaxed);
            let (sequence, data) = cell(queue, position);
            match sequence.load(Acquire).wrapping_sub(position + 1).cast_signed() {
                0 if head.compare_exchange(position, position + 1, Relaxed, Relaxed).is_ok() => {
                    let copy = std::array::from_fn(|n| data[n].load(Relaxed));
                    sequence.store(position + queue.1, Release);
                    return whole(copy);
                }
                ..0 => return Err(No::Empty),
                _ => {}
            }
        }
    }

    fn recover(_: &mut Joined, _: Role) {}

    fn len(queue: &mut Joined) -> usize {
        queue.0[0].load(Relaxed).saturating_sub(queue.0[16].load(Relaxed)) as usize
    }
}
