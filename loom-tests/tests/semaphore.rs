//! Models of the shipped semaphore, in both modes: never too many inside, no lost wake-up, death at every atomic step.
//!
//! Sleeps are not capped in a model, so whatever only a cap would mend shows as a deadlock.
#![cfg(ringfence_loom)]

mod mortals;

use std::sync::atomic::{AtomicUsize as Count, Ordering::SeqCst};

use loom::sync::Arc;
use loom::thread;
use mortals::{FOREVER, Mortals, NOW, a_while, at_every_step, explore, must_fail, owner};
use ringfence::layout::semaphore::{MAX_PERMITS, Record, SemaphoreHeader};
use ringfence::primitive::{Ordering, death};
use ringfence::raw::ParticipantId;
use ringfence::raw::semaphore::{Refused, Semaphore, Taken};
use ringfence::sys::nap::Wait;

/// The word's bit for a sleeper that wants more than one.
const MANY: u32 = 1 << 30;

#[derive(Clone, Copy, PartialEq)]
enum Mode {
    Owned,
    /// Up to a maximum of its own.
    Signalling,
    /// Up to what any semaphore can have: a release adds first.
    Unlimited,
}

use Mode::{Owned, Signalling, Unlimited};

struct World {
    header: SemaphoreHeader,
    records: Vec<Record>,
    peers: Mortals,
    inside: Count,
    most: usize,
}

impl World {
    fn new(value: u32, maximum: u32, mode: Mode) -> Arc<Self> {
        let owned = mode == Owned;
        let maximum = if mode == Unlimited { MAX_PERMITS } else { maximum };
        Arc::new(Self {
            header: SemaphoreHeader::new(value, maximum, owned),
            records: (0..if owned { 4 } else { 0 }).map(|_| Record::new(0)).collect(),
            peers: Mortals::new(),
            inside: Count::new(0),
            most: value as usize,
        })
    }

    fn raw(&self) -> Semaphore<'_> {
        Semaphore::new(&self.header, &self.records)
    }

    fn acquire(&self, me: ParticipantId, permits: u32, wait: Wait) -> Result<Taken, Refused> {
        let raw = self.raw();
        if raw.is_owned() {
            raw.acquire(owner(me), permits, &self.peers, wait)
        } else {
            raw.acquire_fast(permits).map_or_else(|| raw.acquire_signal(permits, wait), Ok)
        }
    }

    fn release(&self, me: ParticipantId, permits: u32) {
        let raw = self.raw();
        if raw.is_owned() {
            raw.release(owner(me), permits, &self.peers, FOREVER).unwrap();
        } else {
            let fast = raw.release_fast(permits, raw.maximum());
            fast.unwrap_or_else(|| raw.release_signal(permits)).unwrap();
        }
    }

    /// Takes permits, is inside, gives them back.
    fn pass(&self, me: ParticipantId, permits: u32) {
        self.acquire(me, permits, FOREVER).unwrap();
        let inside = self.inside.fetch_add(permits as usize, SeqCst) + permits as usize;
        assert!(inside <= self.most, "{inside} inside");
        self.inside.fetch_sub(permits as usize, SeqCst);
        self.release(me, permits);
    }

    fn mourn(&self, victim: ParticipantId, step: usize, deaths: &Count, f: impl FnOnce()) {
        if self.peers.live(victim, step, f).is_none() {
            deaths.fetch_add(1, SeqCst);
            self.raw().recover(victim, &self.peers);
        }
    }
}

fn in_each_mode(model: impl Fn(Mode)) {
    [Owned, Signalling, Unlimited].into_iter().for_each(model);
}

#[test]
fn two_share_one_permit() {
    in_each_mode(|mode| {
        explore(3, move || {
            let world = World::new(1, 1, mode);
            let other = world.clone();
            let thread = thread::spawn(move || other.pass(1, 1));
            world.pass(2, 1);
            thread.join().unwrap();
            assert_eq!(world.raw().value(), 1);
        });
    });
}

#[test]
fn three_share_one_permit() {
    in_each_mode(|mode| {
        explore(2, move || {
            let world = World::new(1, 1, mode);
            let threads = [1, 2].map(|me| {
                let world = world.clone();
                thread::spawn(move || world.pass(me, 1))
            });
            world.pass(3, 1);
            threads.into_iter().for_each(|thread| thread.join().unwrap());
        });
    });
}

/// One wants both permits, another one of them: whichever sleeps in front, both get what they want.
#[test]
fn many_and_one() {
    in_each_mode(|mode| {
        explore(2, move || {
            let world = World::new(0, 9, mode);
            let threads = [(1, 2), (2, 1)].map(|(me, permits)| {
                let world = world.clone();
                thread::spawn(move || world.acquire(me, permits, FOREVER).unwrap())
            });
            world.release(3, 1);
            world.release(3, 2);
            for thread in threads {
                assert_eq!(thread.join().unwrap(), Taken::Clean);
            }
            assert_eq!(world.raw().value(), 0);
        });
    });
}

/// The one who wants one gets it though the other, who wants more than there is, may sleep in front.
#[test]
fn one_behind_many() {
    in_each_mode(|mode| {
        explore(2, move || {
            let world = World::new(0, 9, mode);
            let [many, one] = [(1, 2), (2, 1)].map(|(me, permits)| {
                let world = world.clone();
                thread::spawn(move || world.acquire(me, permits, FOREVER).unwrap())
            });
            world.release(3, 1);
            one.join().unwrap();
            world.release(3, 2);
            many.join().unwrap();
        });
    });
}

/// A waiter whose time is up takes no wake-up with it.
#[test]
fn a_time_out_loses_nothing() {
    in_each_mode(|mode| {
        explore(2, move || {
            let world = World::new(0, 9, mode);
            let (late, patient) = (world.clone(), world.clone());
            let late = thread::spawn(move || late.acquire(1, 1, a_while()).is_ok());
            let patient = thread::spawn(move || patient.acquire(2, 1, FOREVER).unwrap());
            world.release(3, 1);
            if late.join().unwrap() {
                world.release(3, 1);
            }
            patient.join().unwrap();
        });
    });
}

/// The same where its time is up when it has been woken, and somebody else is inside the lock.
#[test]
fn a_time_out_at_the_lock_inside_loses_nothing() {
    explore(2, || {
        let world = World::new(0, 9, Owned);
        // Each who goes to sleep counts there.
        let asleep = |count| {
            while world.header.turn.observe(SeqCst) & (MANY - 1) < count {
                thread::yield_now();
            }
        };
        let (late, patient) = (world.clone(), world.clone());
        let late = thread::spawn(move || late.acquire(1, 1, a_while()).is_ok());
        asleep(1);
        let patient = thread::spawn(move || patient.acquire(2, 1, FOREVER).unwrap());
        asleep(2);
        world.release(3, 1);
        world.raw().free(owner(3), &world.peers, FOREVER).unwrap();
        if late.join().unwrap() {
            world.release(3, 1);
        }
        patient.join().unwrap();
    });
}

/// Whoever dies with a permit, or on the way to or from it, blocks nobody: in owned mode it comes back.
#[test]
fn an_owner_dies_at_every_step() {
    at_every_step(2, |step, deaths| {
        let world = World::new(1, 1, Owned);
        let other = world.clone();
        let thread = thread::spawn(move || {
            other.acquire(1, 1, FOREVER).unwrap();
            other.release(1, 1);
        });
        world.mourn(2, step, deaths, || {
            world.acquire(2, 1, FOREVER).unwrap();
            death::crash_point();
            world.release(2, 1);
        });
        thread.join().unwrap();
        assert_eq!(world.raw().free(owner(3), &world.peers, FOREVER), Ok(1));
        assert!(world.acquire(3, 1, NOW).is_ok());
        assert_eq!(world.acquire(3, 1, NOW), Err(Refused::WouldBlock));
    });
}

/// The place of one who died, anywhere, is used again: its permit is not its successor's, and there to be had.
#[test]
fn the_place_of_a_dead_owner_is_used_again() {
    at_every_step(1, |step, deaths| {
        let world = World::new(1, 1, Owned);
        let other = world.clone();
        let thread = thread::spawn(move || other.pass(1, 1));
        world.mourn(2, step, deaths, || {
            world.acquire(2, 1, FOREVER).unwrap();
            death::crash_point();
            world.release(2, 1);
        });
        let (me, raw) = (world.peers.successor(2), world.raw());
        raw.acquire(me, 1, &world.peers, FOREVER).unwrap();
        assert_eq!((raw.taken_by(2), world.acquire(3, 1, NOW)), (1, Err(Refused::WouldBlock)));
        raw.release(me, 1, &world.peers, FOREVER).unwrap();
        thread.join().unwrap();
        assert_eq!(raw.free(owner(3), &world.peers, FOREVER), Ok(1));
    });
}

/// A giver dies: its permit is there or not, and if it is, the sleeper gets it.
#[test]
fn a_giver_dies_at_every_step() {
    in_each_mode(|mode| {
        at_every_step(2, move |step, deaths| {
            let world = World::new(0, 9, mode);
            let other = world.clone();
            let thread = thread::spawn(move || other.acquire(1, 1, FOREVER).unwrap());
            world.mourn(2, step, deaths, || world.release(2, 1));
            // One more, so that the sleeper gets one in any case.
            world.release(3, 1);
            thread.join().unwrap();
            assert!(world.raw().free(owner(3), &world.peers, FOREVER).unwrap() <= 1);
        });
    });
}

/// A woken waiter dies while another sleeps.
#[test]
fn a_woken_waiter_dies_at_every_step() {
    in_each_mode(|mode| {
        at_every_step(1, move |step, deaths| {
            let world = World::new(0, 9, mode);
            let (first, second) = (world.clone(), world.clone());
            let first = thread::spawn(move || first.acquire(1, 1, FOREVER).unwrap());
            // One for each: what the victim dies with may come back, but the first must not need that.
            let second = thread::spawn(move || (0..2).for_each(|_| second.release(3, 1)));
            world.mourn(2, step, deaths, || {
                world.acquire(2, 1, FOREVER).unwrap();
            });
            second.join().unwrap();
            first.join().unwrap();
        });
    });
}

/// One release too many, beside one who takes: refused, or wanted; never more than there may be in the end.
#[test]
fn a_release_too_many_is_taken_back() {
    explore(3, || {
        let world = World::new(MAX_PERMITS, MAX_PERMITS, Unlimited);
        let (other, third) = (world.clone(), world.clone());
        let taker = thread::spawn(move || other.acquire(1, 2, FOREVER).unwrap());
        let release = |world: &World| world.raw().release_fast(2, MAX_PERMITS).unwrap();
        let releaser = thread::spawn(move || release(&third));
        let results = [release(&world), releaser.join().unwrap()];
        taker.join().unwrap();
        let given = results.iter().filter(|result| result.is_ok()).count() as u32;
        assert!(given <= 1 && results.iter().all(|result| result.is_ok() || *result == Err(Refused::Maximum)));
        assert_eq!(world.raw().value(), MAX_PERMITS - 2 + 2 * given);
    });
}

/// What the models must catch: a release that wakes one although a sleeper may want more than there is.
#[test]
#[ignore = "fails on purpose"]
fn one_is_woken_for_all() {
    explore(2, || {
        let world = World::new(0, 9, Signalling);
        let threads = [(1, 2), (2, 1)].map(|(me, permits)| {
            let world = world.clone();
            thread::spawn(move || world.acquire(me, permits, FOREVER).unwrap())
        });
        // As if nobody had said so.
        world.header.word.fetch_and(!MANY, Ordering::Relaxed);
        world.release(3, 1);
        let [many, one] = threads;
        one.join().unwrap();
        world.release(3, 2);
        many.join().unwrap();
    });
}

#[test]
fn a_single_wake_is_caught() {
    must_fail("one_is_woken_for_all", "deadlock");
}
