//! Rings with a flaw each: a producer that publishes before it writes, and one that goes on where its predecessor's position
//! says, though that is stored after the item and may be behind.

use std::sync::atomic::Ordering::{Relaxed, Release};

use ringfence::raw::words;
use ringfence::sys::nap::Wait;

use crate::board::{Board, Role};
use crate::channel::bytes;
use crate::fifos::{Fifo, No};
use crate::spsc::{Joined, Shipped};

/// Pushes by hand, at the position that the header says.
fn push_at_position(joined: &mut Joined, value: u64, stamp_first: bool) -> Result<(), No> {
    joined.produce()?;
    let (ring, geometry) = (joined.ring, joined.ring.geometry());
    let side = ring.producer();
    let position = side.position.load(Relaxed);
    let pushed = if ring.can_push() {
        let (index, lap) = (position & geometry.mask(), position >> geometry.shift());
        let start = size_of_val(ring.header()) / 8 + index as usize * geometry.stride();
        let slot = &joined.board.arena[start..][..geometry.stride()];
        if stamp_first {
            slot[0].store(lap + 1, Release);
            words::store(&slot[1..], &bytes(value));
        } else {
            words::store(&slot[1..], &bytes(value));
            slot[0].store(lap + 1, Release);
        }
        let last = index + 1 == geometry.capacity();
        let next = if last { (lap + 1) << geometry.shift() } else { position + 1 };
        side.position.store(next, Relaxed);
        Ok(())
    } else {
        Err(No::Full)
    };
    ring.leave_producer(joined.role.owner());
    pushed
}

macro_rules! broken {
    ($name:ident, $stamp_first:expr, $says:literal) => {
        #[doc = $says]
        #[derive(Debug)]
        pub struct $name;

        impl Fifo for $name {
            type Joined = Joined;

            fn reset(board: &'static Board, capacity: usize) {
                Shipped::reset(board, capacity);
            }

            fn join(board: &'static Board, capacity: usize, role: Role) -> Joined {
                Shipped::join(board, capacity, role)
            }

            fn push(joined: &mut Joined, value: u64, _: Wait) -> Result<(), No> {
                push_at_position(joined, value, $stamp_first)
            }

            fn pop(joined: &mut Joined, wait: Wait) -> Result<u64, No> {
                Shipped::pop(joined, wait)
            }

            fn recover(joined: &mut Joined, dead: Role) {
                Shipped::recover(joined, dead);
            }

            fn len(joined: &mut Joined) -> usize {
                Shipped::len(joined)
            }
        }
    };
}

broken!(StampsFirst, true, "Publishes before it writes.");
broken!(TrustsPosition, false, "Goes on where the position says.");
