//! A channel with sound locks that commits with two stores: the position, and then the number of messages. A sender
//! killed in between leaves a message that is behind the tail and not counted, and the next one is taken for it.

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use ringfence::layout::mutex::LockWord;
use ringfence::raw::mutex;
use ringfence::sys::nap::Wait;

use crate::board::{Board, Oracle, Role};
use crate::fifos::{Fifo, No, WORDS, message, whole};
use crate::locks::FOREVER;

/// See the module's head.
#[derive(Debug)]
pub struct TwoStores;

/// Board, capacity, role. Words 0 and 8 are the locks, 16 the number of messages, 17 the tail, 18 the head.
type Joined = (&'static Board, u64, Role);

fn slot((board, capacity, _): Joined, position: u64) -> &'static [AtomicU64] {
    &board.arena[32 + (position % capacity) as usize * WORDS..][..WORDS]
}

/// Does it under the lock at `word`, which there is nothing to repair under.
fn locked<R>((board, _, role): Joined, word: usize, act: impl FnOnce() -> R) -> R {
    // SAFETY: the first bytes of the arena's word are a lock word, and zero is a free one.
    let lock: &LockWord = unsafe { &*(&raw const board.arena[word]).cast() };
    let _ = mutex::lock(lock, role.owner(), &Oracle(board), FOREVER);
    let _ = mutex::make_consistent(lock, role.owner());
    let result = act();
    let _ = mutex::unlock(lock, role.owner());
    result
}

impl Fifo for TwoStores {
    type Joined = Joined;

    fn reset(_: &'static Board, _: usize) {}

    fn join(board: &'static Board, capacity: usize, role: Role) -> Joined {
        (board, capacity as u64, role)
    }

    fn push(&mut ring: &mut Joined, value: u64, _: Wait) -> Result<(), No> {
        let [count, tail] = [&ring.0.arena[16], &ring.0.arena[17]];
        locked(ring, 0, || {
            if count.load(Acquire) == ring.1 {
                return Err(No::Full);
            }
            let position = tail.load(Relaxed);
            slot(ring, position).iter().zip(message(value)).for_each(|(word, part)| word.store(part, Relaxed));
            tail.store(position + 1, Release);
            count.fetch_add(1, Release);
            Ok(())
        })
    }

    fn pop(&mut ring: &mut Joined, _: Wait) -> Result<u64, No> {
        let [count, head] = [&ring.0.arena[16], &ring.0.arena[18]];
        locked(ring, 8, || {
            if count.load(Acquire) == 0 {
                return Err(No::Empty);
            }
            let position = head.load(Relaxed);
            let copy = std::array::from_fn(|n| slot(ring, position)[n].load(Relaxed));
            head.store(position + 1, Release);
            count.fetch_sub(1, Release);
            whole(copy)
        })
    }

    fn recover(_: &mut Joined, _: Role) {}

    fn len(ring: &mut Joined) -> usize {
        ring.0.arena[16].load(Relaxed) as usize
    }
}
