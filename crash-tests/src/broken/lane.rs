//! Broadcasts with a flaw in how a record comes to be.

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use ringfence::layout::eventcount::EventCount;
use ringfence::raw::eventcount;

use crate::board::{Board, Digest, Role};
use crate::fifos::{WORDS, message, whole};
use crate::lanes::{Lane, Nothing};
use crate::locks::FOREVER;

/// A writer that says that a record is there, and then copies it. Killed in between, it leaves a torn one.
pub const STAMPS_FIRST: u8 = 0;
/// A writer that goes on behind what a dead one has claimed. Readers wait for what never comes.
pub const NEVER_BACK: u8 = 1;

/// One of them, which overwrites.
#[derive(Debug)]
pub struct Flawed<const FLAW: u8>;

const SLOTS: u64 = 16;

/// Word 0 is the tail, 1 the end, 2 the eventcount.
fn word(board: &'static Board, at: usize) -> &'static AtomicU64 {
    &board.arena[at]
}

fn event(board: &'static Board) -> &'static EventCount {
    // SAFETY: the first bytes of the arena's word are an eventcount, and zero is one that nobody sleeps on.
    unsafe { &*(&raw const board.arena[2]).cast() }
}

fn slot(board: &'static Board, position: u64) -> &'static [AtomicU64] {
    &board.arena[32 + (position % SLOTS) as usize * (1 + WORDS)..][..1 + WORDS]
}

impl<const FLAW: u8> Lane for Flawed<FLAW> {
    type Joined = &'static Board;
    type Writer = &'static Board;
    type Reader = (&'static Board, u64);

    fn reset(_: &'static Board) {}

    fn join(board: &'static Board, _: Role) -> Self::Joined {
        board
    }

    fn writer(&board: &Self::Joined) -> Option<Self::Writer> {
        Some(board)
    }

    fn reader(&board: &Self::Joined, old: bool) -> Option<Self::Reader> {
        Some((board, if old { 0 } else { word(board, 0).load(Acquire) }))
    }

    fn send(&mut board: &mut Self::Writer, number: u64) -> bool {
        if word(board, 1).load(Acquire) != 0 {
            return false;
        }
        let position = word(board, 0).fetch_add(1, Relaxed);
        let [stamp, data @ ..] = slot(board, position) else { return false };
        if FLAW == STAMPS_FIRST {
            stamp.store(position + 1, Release);
        }
        data.iter().zip(message(number)).for_each(|(word, part)| word.store(part, Release));
        stamp.store(position + 1, Release);
        eventcount::notify(event(board));
        true
    }

    fn recv((board, position): &mut Self::Reader, wait: bool) -> Result<u64, Nothing> {
        let board = *board;
        let attempt = || {
            let slot = slot(board, *position);
            if slot[0].load(Acquire) == *position + 1 {
                let copy = std::array::from_fn(|nth| slot[1 + nth].load(Relaxed));
                return Some(whole(copy).map_err(|_| Nothing::Torn));
            }
            (word(board, 1).load(Acquire) != 0 && word(board, 0).load(Acquire) == *position)
                .then_some(Err(Nothing::Ever))
        };
        let got = match wait {
            true => eventcount::wait_until(event(board), FOREVER, attempt).unwrap_or(Err(Nothing::Other)),
            false => attempt().unwrap_or(Err(Nothing::Yet)),
        };
        *position += u64::from(got.is_ok());
        got
    }

    fn shutdown(&board: &Self::Joined) -> bool {
        word(board, 1).store(1, Release);
        eventcount::notify(event(board));
        true
    }

    fn recover(&board: &Self::Joined, _: Role) {
        eventcount::recover(event(board), u32::MAX);
    }

    fn digest(board: &'static Board) -> Digest {
        Digest::new().words(&board.arena)
    }
}
