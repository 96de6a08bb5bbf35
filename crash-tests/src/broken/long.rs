//! A receiver of a message in pieces that gives back the room of the last piece before it says that it has all of them. If
//! it dies in between, nothing tells the sender to send again, and it waits for ever.

use ringfence::layout::channel::ChannelHeader;
use ringfence::primitive::Ordering::{AcqRel, Acquire, Relaxed, Release};
use ringfence::raw::channel::{Channel, RecvFailure};
use ringfence::raw::{eventcount, mutex};

use crate::board::{Board, Oracle, Role};
use crate::locks::FOREVER;
use crate::long::{Pieces, WORDS};

const FIRST: u64 = 7 << 61;
const TAKEN: u64 = 1;
const BROKEN: u64 = 3;

/// See the module's head.
#[derive(Debug)]
pub struct GivesBackFirst;

impl Pieces for GivesBackFirst {
    fn recv(_: Channel<'static>, role: Role, buffer: &mut [u8], board: &'static Board) -> Result<usize, RecvFailure> {
        // SAFETY: the arena holds a header, which consists of atomics.
        let header = unsafe { &*board.arena.as_ptr().cast::<ChannelHeader>() };
        let ring = &board.arena[size_of::<ChannelHeader>() / 8..][..WORDS];
        let shared = &header.shared.0;
        let lock = &header.receivers.0.lock;
        if mutex::lock(lock, role.owner(), &Oracle(board), FOREVER) == Ok(mutex::Acquired::OwnerDied) {
            let _ = mutex::make_consistent(lock, role.owner());
        }
        let mut filled = None;
        let mut total = 0;
        let received = loop {
            let nothing = || header.head.0.load(Relaxed) == header.tail.0.load(Acquire);
            let _ = eventcount::wait_until(&shared.not_empty, FOREVER, || {
                (!nothing() || shared.closing.load(Acquire) == 1).then_some(())
            });
            if nothing() {
                break Err(RecvFailure::Closed);
            }
            let head = header.head.0.load(Relaxed);
            let word = |n: u64| ring[((head & 0x7fff_ffff) + n) as usize % WORDS].load(Relaxed);
            let heading = if word(0) & FIRST == FIRST { 3 } else { 2 };
            let len = word(0) & !FIRST;
            if word(0) & FIRST == FIRST {
                (filled, total) = (Some(0), word(2) as usize);
            }
            if let Some(filled) = &mut filled {
                for n in 0..len.div_ceil(8) {
                    buffer[*filled..][..8].copy_from_slice(&word(heading + n).to_ne_bytes());
                    *filled += 8;
                }
            }
            let number = word(1) << 2;
            let index = (head & 0x7fff_ffff) + heading + len.div_ceil(8);
            let next =
                if index < WORDS as u64 { head & 1 << 31 | index } else { !head & 1 << 31 | (index - WORDS as u64) };
            header.head.0.store(((head >> 32) + 1) << 32 | next, Release);
            eventcount::notify(&shared.not_full);
            let verdict = match filled {
                None => BROKEN,
                Some(filled) if filled == total => TAKEN,
                Some(_) => continue,
            };
            // Too late.
            let decided = shared.transfer.compare_exchange(number, number | verdict, AcqRel, Relaxed).is_ok();
            eventcount::notify(&shared.not_full);
            if verdict == TAKEN && decided {
                break Ok(total);
            }
            filled = None;
        };
        let _ = mutex::unlock(lock, role.owner());
        received
    }
}
