//! Broken locks.
//!
//! - [`SwapUnlock`]: a robust lock whose unlock swaps the word to 0 and then wakes one. In the window without the
//!   waiters bit a barger takes the lock; if the woken waiter is killed now, the others sleep behind a word that
//!   tells nobody of them.
//! - [`Stores`]: the library's lock with a recovery that asks first and then stores, whatever is there by then.
//! - [`Once`]: the library's lock with a recovery that does nothing while another does, and one that died never stops.
//! - [`ClearsFirst`]: the library's lock with an unlock that takes the sleepers' mark out before it wakes one. Killed in
//!   between, it leaves a sleeper whom no unlock and no recovery looks for.
//! - [`Unrecovered`]: the library's rwlock, written, with a recovery that does nothing. (By the public API whoever comes
//!   recovers the dead, so that nothing can be left out there.)
//! - [`NotRobust`]: the three-state futex mutex, which has no idea who holds it.

use std::ptr::NonNull;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release, SeqCst};
use std::sync::atomic::{AtomicU32, fence};

use ringfence::raw::mutex::Acquired;
use ringfence::raw::rwlock::RwLock;
use ringfence::raw::{Fate, Peers, eventcount};
use ringfence::sys::futex;
use ringfence::sys::nap::Nap;

use crate::board::{Board, Oracle, Role};
use crate::locks::{FOREVER, RawLock, Shipped};

/// The word of the locks of this file, as the library's own atomic (a futex needs one).
fn word(board: &'static Board) -> &'static AtomicU32 {
    // SAFETY: the first bytes of the arena are an aligned atomic.
    unsafe { &*board.arena.as_ptr().cast() }
}

const WAITERS: u32 = 1 << 31;
const DIED: u32 = 1 << 30;
const OWNER: u32 = DIED - 1;

/// See the module's head.
#[derive(Debug)]
pub struct SwapUnlock;

impl RawLock for SwapUnlock {
    fn lock(board: &'static Board, role: Role) -> Result<bool, String> {
        let (word, me) = (word(board), role.owner());
        let mut nap = Nap::new();
        loop {
            let seen = word.load(Relaxed);
            let owner = seen & OWNER;
            let dead = owner != 0 && Oracle(board).fate((owner & 0x1fff) as u16) == Fate::Dead;
            if owner == 0 || dead {
                let died = if dead { DIED } else { seen & DIED };
                let taken = me.bits() | died | seen & WAITERS;
                if word.compare_exchange(seen, taken, Acquire, Relaxed).is_ok() {
                    return Ok(died != 0);
                }
            } else if seen & WAITERS != 0 || word.compare_exchange(seen, seen | WAITERS, Relaxed, Relaxed).is_ok() {
                nap.sleep(word, seen | WAITERS, FOREVER);
            }
        }
    }

    fn unlock(board: &'static Board, _: Role) {
        if word(board).swap(0, Release) & WAITERS != 0 {
            futex::wake(word(board), 1);
        }
    }

    fn make_consistent(board: &'static Board, _: Role) {
        word(board).fetch_and(!DIED, Relaxed);
    }

    fn recover(board: &'static Board, _: Role, dead: Role) {
        let word = word(board);
        let seen = word.load(Relaxed);
        if (seen & OWNER) & 0x1fff == u32::from(dead.id()) {
            let _ = word.compare_exchange(seen, DIED | seen & WAITERS, AcqRel, Relaxed);
        }
        if seen & WAITERS != 0 {
            futex::wake(word, 1);
        }
    }
}

/// See the module's head.
#[derive(Debug)]
pub struct NotRobust;

impl RawLock for NotRobust {
    fn lock(board: &'static Board, _: Role) -> Result<bool, String> {
        let word = word(board);
        if word.compare_exchange(0, 1, Acquire, Relaxed).is_err() {
            let mut nap = Nap::new();
            while word.swap(2, Acquire) != 0 {
                nap.sleep(word, 2, FOREVER);
            }
        }
        Ok(false)
    }

    fn unlock(board: &'static Board, _: Role) {
        if word(board).swap(0, Release) == 2 {
            futex::wake(word(board), 1);
        }
    }

    fn make_consistent(_: &'static Board, _: Role) {}

    fn recover(_: &'static Board, _: Role, _: Role) {}
}

/// The library's lock with another recovery.
macro_rules! shipped_but_for_recovery {
    ($name:ty, $recover:expr) => {
        impl RawLock for $name {
            fn lock(board: &'static Board, role: Role) -> Result<bool, String> {
                Shipped::lock(board, role)
            }

            fn unlock(board: &'static Board, role: Role) {
                Shipped::unlock(board, role);
            }

            fn make_consistent(board: &'static Board, role: Role) {
                Shipped::make_consistent(board, role);
            }

            fn recover(board: &'static Board, role: Role, dead: Role) {
                $recover(board, role, dead);
            }
        }
    };
}

/// See the module's head.
#[derive(Debug)]
pub struct Stores;

shipped_but_for_recovery!(Stores, |board, _, dead: Role| {
    let lock = Shipped::word(board);
    let seen = lock.owner.load(Relaxed);
    if seen & OWNER & 0x1fff == u32::from(dead.id()) && Oracle(board).fate(dead.id()) == Fate::Dead {
        lock.owner.store(DIED, Release);
    }
    eventcount::recover(&lock.waiters, 1);
});

/// See the module's head.
#[derive(Debug)]
pub struct Once;

shipped_but_for_recovery!(Once, |board: &'static Board, role, dead: Role| {
    let begun = &board.arena[4];
    if begun.swap(1, AcqRel) == 0 {
        Shipped::recover(board, role, dead);
        begun.store(0, Release);
    }
});

/// See the module's head.
#[derive(Debug)]
pub struct ClearsFirst;

impl RawLock for ClearsFirst {
    fn lock(board: &'static Board, role: Role) -> Result<bool, String> {
        Shipped::lock(board, role)
    }

    fn unlock(board: &'static Board, _: Role) {
        let lock = Shipped::word(board);
        lock.owner.store(0, Release);
        fence(SeqCst);
        let (word, seen) = (&lock.waiters.word, lock.waiters.word.load(Relaxed));
        if seen & 1 != 0 && word.compare_exchange(seen, seen.wrapping_add(4) & !1, Relaxed, Relaxed).is_ok() {
            futex::wake(word, 1);
        }
    }

    fn make_consistent(board: &'static Board, role: Role) {
        Shipped::make_consistent(board, role);
    }

    fn recover(board: &'static Board, role: Role, dead: Role) {
        Shipped::recover(board, role, dead);
    }
}

/// See the module's head.
#[derive(Debug)]
pub struct Unrecovered;

impl Unrecovered {
    fn of(board: &'static Board) -> RwLock<'static> {
        let arena = &board.arena;
        // SAFETY: the arena is mapped for good, aligned, and of atomics; zero is a free lock.
        let lock = unsafe { RwLock::at(NonNull::from(arena).cast(), size_of_val(arena) as u64, 12) };
        lock.expect("it fits")
    }
}

impl RawLock for Unrecovered {
    fn lock(board: &'static Board, role: Role) -> Result<bool, String> {
        let written = Self::of(board).write(role.owner(), &Oracle(board), FOREVER);
        written.map(|acquired| acquired == Acquired::OwnerDied).map_err(|refused| format!("{refused:?}"))
    }

    fn unlock(board: &'static Board, role: Role) {
        Self::of(board).unlock_write(role.owner(), false).expect("the owner unlocks");
    }

    fn make_consistent(board: &'static Board, role: Role) {
        Self::of(board).make_consistent(role.owner()).expect("the owner repairs");
    }

    fn recover(_: &'static Board, _: Role, _: Role) {}
}
