//! Models of the shipped eventcount: no lost wake-up, whoever dies at whatever atomic step.
//!
//! Sleeps are not capped in a model, so a lost wake-up is a deadlock, which loom reports. The last part holds broken
//! variants that these models must catch.
#![cfg(ringfence_loom)]

mod mortals;

use std::sync::atomic::{AtomicUsize as Count, Ordering::SeqCst};

use loom::sync::Arc;
use loom::thread;
use mortals::{FOREVER, Mortals, a_while, at_every_step, explore, must_fail};
use ringfence::layout::eventcount::EventCount;
use ringfence::primitive::{AtomicU32, Ordering, fence};
use ringfence::raw::eventcount::{self, Expired};
use ringfence::raw::{Fate, Peers};
use ringfence::sys::futex;
use ringfence::sys::nap::Wait;

/// Something to wait for: a number of items.
struct World {
    event: EventCount,
    items: AtomicU32,
    peers: Mortals,
}

impl World {
    fn new() -> Arc<Self> {
        Arc::new(Self { event: EventCount::new(), items: AtomicU32::new(0), peers: Mortals::new() })
    }

    fn put(&self) {
        self.items.fetch_add(1, Ordering::Relaxed);
        eventcount::notify(&self.event);
    }

    fn try_take(&self) -> Option<()> {
        let mut items = self.items.load(Ordering::Relaxed);
        while items > 0 {
            match self.items.compare_exchange(items, items - 1, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return Some(()),
                Err(now) => items = now,
            }
        }
        None
    }

    fn take(&self, wait: Wait) -> Result<(), Expired> {
        eventcount::wait_until(&self.event, wait, || self.try_take())
    }

    /// What a bystander does when it hears of a death.
    fn recover(&self) {
        eventcount::recover(&self.event, u32::MAX);
    }
}

#[test]
fn a_waiter_is_woken() {
    explore(3, || {
        let world = World::new();
        let waiter = thread::spawn({
            let world = world.clone();
            move || world.take(FOREVER).unwrap()
        });
        world.put();
        waiter.join().unwrap();
    });
}

#[test]
fn two_waiters_two_notifiers() {
    explore(2, || {
        let world = World::new();
        let threads: Vec<_> = (0..3)
            .map(|n| {
                let world = world.clone();
                thread::spawn(move || if n < 2 { world.take(FOREVER).unwrap() } else { world.put() })
            })
            .collect();
        world.put();
        for thread in threads {
            thread.join().unwrap();
        }
    });
}

/// Two items, each of which wakes one.
#[test]
fn two_waiters_are_woken_one_by_one() {
    explore(2, || {
        let world = World::new();
        let waiters = [(); 2].map(|()| {
            let world = world.clone();
            thread::spawn(move || world.take(FOREVER).unwrap())
        });
        for _ in 0..2 {
            world.items.fetch_add(1, Ordering::Relaxed);
            eventcount::notify_one(&world.event);
        }
        waiters.into_iter().for_each(|waiter| waiter.join().unwrap());
    });
}

#[test]
fn a_deadline_ends_the_wait_or_the_item_does() {
    explore(2, || {
        let world = World::new();
        let waiter = thread::spawn({
            let world = world.clone();
            move || world.take(a_while())
        });
        world.put();
        if waiter.join().unwrap() == Err(Expired::TimedOut) {
            world.take(FOREVER).unwrap();
        }
    });
}

/// A notifier dies anywhere; a bystander recovers once and, if the item never came, goes on in its place.
fn a_notifier_dies(notify: fn(&World), recover: fn(&World)) {
    at_every_step(2, move |step, deaths| {
        let world = World::new();
        let waiters: Vec<_> = (0..2)
            .map(|_| {
                let world = world.clone();
                thread::spawn(move || {
                    while world.items.load(Ordering::Relaxed) == 0 {
                        let there = || (world.items.load(Ordering::Relaxed) > 0).then_some(());
                        eventcount::wait_until(&world.event, FOREVER, there).unwrap();
                    }
                })
            })
            .collect();
        let outcome = world.peers.live(1, step, || {
            world.items.store(1, Ordering::Relaxed);
            notify(&world);
        });
        if outcome.is_none() {
            deaths.fetch_add(1, SeqCst);
            assert_eq!(world.peers.fate(1), Fate::Dead);
            recover(&world);
            if world.items.load(Ordering::Relaxed) == 0 {
                world.put();
            }
        }
        for waiter in waiters {
            waiter.join().unwrap();
        }
    });
}

#[test]
fn a_notifier_dies_at_every_step() {
    a_notifier_dies(|world| eventcount::notify(&world.event), World::recover);
}

/// One of two waiters dies anywhere, in its sleep or woken included; the other gets the item.
#[test]
fn a_waiter_dies_at_every_step() {
    at_every_step(2, |step, deaths| {
        let world = World::new();
        let dead = std::sync::Arc::new(Count::new(0));
        let victim = thread::spawn({
            let (world, dead) = (world.clone(), dead.clone());
            move || {
                let outcome = world.peers.live(1, step, || world.take(FOREVER).unwrap());
                if outcome.is_none() {
                    dead.fetch_add(1, SeqCst);
                    world.recover();
                }
            }
        });
        let survivor = thread::spawn({
            let world = world.clone();
            move || world.take(FOREVER).unwrap()
        });
        world.put();
        world.put();
        victim.join().unwrap();
        survivor.join().unwrap();
        deaths.fetch_add(dead.load(SeqCst), SeqCst);
    });
}

/// Broken on purpose: the models above must find each of these.
mod negative {
    use super::*;

    #[test]
    fn they_are_found() {
        for name in [
            "clearing_before_waking_loses_sleepers",
            "without_recovery_the_dead_notifier_is_missed",
            "without_the_fence_a_sleeper_is_missed",
            "a_waiter_that_does_not_bump_is_forgotten",
        ] {
            must_fail(&format!("negative::{name}"), "deadlock");
        }
    }

    /// Clears the sleepers' bit before it wakes them: dying in between, it leaves sleepers whom nobody looks for.
    fn clear_then_wake(world: &World) {
        fence(Ordering::SeqCst);
        let seen = world.event.word.load(Ordering::Relaxed);
        if seen & 1 != 0
            && world
                .event
                .word
                .compare_exchange(seen, seen.wrapping_add(4) & !1, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok()
        {
            futex::wake(&world.event.word, u32::MAX);
        }
    }

    #[test]
    #[ignore = "fails on purpose"]
    fn clearing_before_waking_loses_sleepers() {
        a_notifier_dies(clear_then_wake, World::recover);
    }

    #[test]
    #[ignore = "fails on purpose"]
    fn without_recovery_the_dead_notifier_is_missed() {
        a_notifier_dies(|world| eventcount::notify(&world.event), |_| ());
    }

    /// A notifier without its fence, where no barrier replaces it.
    #[test]
    #[ignore = "fails on purpose"]
    fn without_the_fence_a_sleeper_is_missed() {
        explore(3, || {
            let world = World::new();
            let waiter = thread::spawn({
                let world = world.clone();
                move || world.take(FOREVER).unwrap()
            });
            world.items.store(1, Ordering::Relaxed);
            if world.event.word.load(Ordering::Relaxed) & 1 != 0 {
                eventcount::recover(&world.event, u32::MAX);
            }
            waiter.join().unwrap();
        });
    }

    /// A waiter that leaves the word alone where the bit is set already: a notifier clears the bit under it.
    #[test]
    #[ignore = "fails on purpose"]
    fn a_waiter_that_does_not_bump_is_forgotten() {
        explore(3, || {
            let world = World::new();
            let taker = |world: Arc<World>| {
                move || {
                    while world.try_take().is_none() {
                        let seen = world.event.word.fetch_or(1, Ordering::Relaxed) | 1;
                        fence(Ordering::SeqCst);
                        if world.try_take().is_some() {
                            break;
                        }
                        futex::wait(&world.event.word, seen, None);
                    }
                }
            };
            let waiters = [thread::spawn(taker(world.clone())), thread::spawn(taker(world.clone()))];
            world.put();
            world.put();
            for waiter in waiters {
                waiter.join().unwrap();
            }
        });
    }
}
