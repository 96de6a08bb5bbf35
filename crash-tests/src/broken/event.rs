//! An event whose setter clears the sleepers' bit together with its set, and then wakes. Killed in between, it leaves
//! sleepers behind a word that tells nobody of them, recovery neither.

use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};

use ringfence::sys::futex;
use ringfence::sys::nap::Nap;

use crate::board::{Board, Digest};
use crate::events::Bell;
use crate::locks::FOREVER;

const SET: u32 = 1;
const SLEEPERS: u32 = 2;
const EPOCH: u32 = 4;

/// See the module's head.
#[derive(Debug)]
pub struct ClearsFirst;

fn word(board: &'static Board) -> &'static AtomicU32 {
    // SAFETY: the first bytes of the arena are the word.
    unsafe { &*board.arena.as_ptr().cast() }
}

impl Bell for ClearsFirst {
    type Joined = &'static AtomicU32;

    const AUTO: bool = false;

    fn reset(_: &'static Board) {}

    fn join(board: &'static Board) -> Self::Joined {
        word(board)
    }

    fn wait(word: &Self::Joined, now: bool) -> Result<bool, String> {
        let came = word.load(Acquire);
        let mut nap = Nap::new();
        loop {
            let seen = word.load(Acquire);
            if seen & SET != 0 || seen / EPOCH != came / EPOCH || now {
                return Ok(!now || seen & SET != 0);
            }
            if word.compare_exchange(seen, seen | SLEEPERS, Relaxed, Relaxed).is_ok() {
                nap.sleep(word, seen | SLEEPERS, FOREVER);
            }
        }
    }

    fn set(word: &Self::Joined) {
        let seen = word.load(Relaxed);
        if seen & SET == 0
            && word.compare_exchange(seen, (seen + EPOCH) & !SLEEPERS | SET, Release, Relaxed).is_ok()
            && seen & SLEEPERS != 0
        {
            futex::wake(word, u32::MAX);
        }
    }

    fn clear(word: &Self::Joined) {
        word.fetch_and(!SET, AcqRel);
    }

    fn recover(word: &Self::Joined) {
        if word.load(Relaxed) & SLEEPERS != 0 {
            futex::wake(word, u32::MAX);
        }
    }

    fn there(board: &'static Board) -> bool {
        word(board).load(Relaxed) / EPOCH != 0
    }

    fn digest(board: &'static Board) -> Digest {
        Digest::new().words(&board.arena[..1])
    }
}
