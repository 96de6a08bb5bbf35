//! Models of the shipped robust mutex: exclusion, no lost wake-up, death at every atomic step.
//!
//! Sleeps are not capped in a model, so whatever only a cap would mend shows as a deadlock. The last part holds broken
//! variants that these models must catch.
#![cfg(ringfence_loom)]

mod mortals;

use std::sync::atomic::{AtomicUsize as Count, Ordering::SeqCst};

use loom::cell::UnsafeCell;
use loom::sync::Arc;
use loom::thread;
use mortals::{FOREVER, Mortals, NOW, a_while, at_every_step, explore, owner};
use ringfence::layout::mutex::LockWord;
use ringfence::primitive::{Ordering, death};
use ringfence::raw::ParticipantId;
use ringfence::raw::mutex::{self, Acquired, Refused};
use ringfence::sys::nap::Wait;

/// A stray "somebody may sleep": what a waiter killed before its sleep leaves at a free lock.
const STRAY: u32 = 1;

/// A lock and two halves of a datum that are equal whenever the lock is free and nobody died.
struct World {
    word: LockWord,
    peers: Mortals,
    data: UnsafeCell<(u32, u32)>,
    told: Count,
    died_holding: Count,
}

impl World {
    fn new() -> Arc<Self> {
        Self::with(0, 0)
    }

    fn with(owner: u32, waiters: u32) -> Arc<Self> {
        let lock = LockWord::new();
        lock.owner.store(owner, Ordering::Relaxed);
        lock.waiters.word.store(waiters, Ordering::Relaxed);
        Arc::new(Self {
            word: lock,
            peers: Mortals::new(),
            data: UnsafeCell::new((0, 0)),
            told: Count::new(0),
            died_holding: Count::new(0),
        })
    }

    fn lock(&self, me: ParticipantId, wait: Wait) -> Result<Acquired, Refused> {
        mutex::lock(&self.word, owner(me), &self.peers, wait)
    }

    fn unlock(&self, me: ParticipantId) {
        mutex::unlock(&self.word, owner(me)).unwrap();
    }

    /// Changes the datum half by half; may die between the halves. Repairs it first if told of a death.
    fn work(&self, me: ParticipantId, how: Acquired) {
        if how == Acquired::OwnerDied {
            self.told.fetch_add(1, SeqCst);
            // SAFETY: the lock is held; loom checks exactly that.
            self.data.with_mut(|data| unsafe { (*data).1 = (*data).0 });
            assert_eq!(mutex::make_consistent(&self.word, owner(me)), Ok(true));
        }
        self.data.with_mut(|data| {
            // SAFETY: as above.
            let data = unsafe { &mut *data };
            assert_eq!(data.0, data.1, "torn: a death that nobody was told of");
            data.0 += 1;
        });
        death::crash_point();
        // SAFETY: as above.
        self.data.with_mut(|data| unsafe { (*data).1 += 1 });
    }

    fn critical(&self, me: ParticipantId, wait: Wait) -> Result<Acquired, Refused> {
        let how = self.lock(me, wait)?;
        self.work(me, how);
        self.unlock(me);
        Ok(how)
    }

    /// [`critical`](Self::critical), whatever happened before.
    fn serve(&self, me: ParticipantId) {
        self.critical(me, FOREVER).unwrap();
    }

    /// Locks and unlocks, leaving the datum alone (a smaller model).
    fn pass(&self, me: ParticipantId) {
        if self.lock(me, FOREVER).unwrap() == Acquired::OwnerDied {
            mutex::make_consistent(&self.word, owner(me)).unwrap();
        }
        self.unlock(me);
    }

    /// The last step of an unlock that began long ago, woke nobody, and was then held up.
    fn clear_late(&self) {
        let _ = self.word.waiters.word.compare_exchange(STRAY, 0, Ordering::Relaxed, Ordering::Relaxed);
    }

    /// Participant `id` dies between two operations, whatever it holds.
    fn kill(&self, id: ParticipantId) {
        assert!(self.peers.live(id, 0, death::crash_point).is_none());
    }

    /// Runs `f` as `victim`, killed at `step`; then a bystander recovers it, once.
    fn mourn(&self, victim: ParticipantId, step: usize, deaths: &Count, f: impl FnOnce()) {
        let autopsy = || {
            if mutex::holder(&self.word) == Some(victim) {
                self.died_holding.fetch_add(1, SeqCst);
            }
        };
        if self.peers.live_and(victim, step, f, autopsy).is_none() {
            deaths.fetch_add(1, SeqCst);
            mutex::recover(&self.word, victim, &self.peers);
        }
    }

    /// Somebody is told of every death while holding, and nobody of any other.
    fn check_told(&self) {
        let told = self.told.load(SeqCst);
        let died = self.died_holding.load(SeqCst);
        // Nobody may have come after the last death: then the word still tells.
        let pending = usize::from(self.lock(4, NOW) == Ok(Acquired::OwnerDied));
        assert_eq!(told + pending, died, "told {told} + {pending}, died holding {died}");
    }
}

#[test]
fn two_exclude_each_other() {
    explore(4, || {
        let world = World::new();
        let other = world.clone();
        let thread =
            thread::spawn(move || (0..2).for_each(|_| assert_eq!(other.critical(1, FOREVER), Ok(Acquired::Clean))));
        (0..2).for_each(|_| assert_eq!(world.critical(2, FOREVER), Ok(Acquired::Clean)));
        thread.join().unwrap();
        world.check_told();
    });
}

#[test]
fn three_exclude_each_other_and_all_proceed() {
    explore(3, || {
        let world = World::new();
        let threads = [1, 2].map(|me| {
            let world = world.clone();
            thread::spawn(move || assert_eq!(world.critical(me, FOREVER), Ok(Acquired::Clean)))
        });
        assert_eq!(world.critical(3, FOREVER), Ok(Acquired::Clean));
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        world.check_told();
    });
}

/// A late clearing (the last step of an unlock that woke nobody) meets sleepers that came since.
#[test]
fn late_clearing_loses_no_sleeper() {
    explore(2, || {
        let world = World::with(0, STRAY);
        world.lock(3, FOREVER).unwrap();
        let threads = [1, 2].map(|me| {
            let world = world.clone();
            thread::spawn(move || world.pass(me))
        });
        world.unlock(3);
        world.clear_late();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
    });
}

/// Holder, waiter, woken waiter: whatever the victim is when it dies, both survivors proceed.
#[test]
fn a_death_at_any_step_stops_nobody() {
    at_every_step(2, |step, deaths| {
        let world = World::new();
        let other = world.clone();
        let survivor = thread::spawn(move || other.serve(2));
        let other = world.clone();
        let another = thread::spawn(move || other.serve(3));
        world.mourn(1, step, deaths, || world.serve(1));
        survivor.join().unwrap();
        another.join().unwrap();
        world.check_told();
    });
}

/// The victim may be woken by an unlock whose lock a barger (the same process, coming back) takes first.
#[test]
fn a_woken_waiter_that_dies_while_a_barger_holds_stops_nobody() {
    at_every_step(1, |step, deaths| {
        let world = World::new();
        world.lock(2, FOREVER).unwrap();
        let other = world.clone();
        let sleeper = thread::spawn(move || other.pass(3));
        let other = world.clone();
        let barger = thread::spawn(move || {
            other.unlock(2);
            other.pass(2);
        });
        world.mourn(1, step, deaths, || world.pass(1));
        sleeper.join().unwrap();
        barger.join().unwrap();
    });
}

/// Whoever dies with a wake-up, the next lock and unlock by anybody does for the others, even if nobody recovers it.
#[test]
fn a_later_unlock_makes_up_for_a_wake_up_that_died() {
    at_every_step(2, |step, deaths| {
        let world = World::new();
        world.lock(2, FOREVER).unwrap();
        let other = world.clone();
        let sleeper = thread::spawn(move || other.serve(3));
        let other = world.clone();
        let victim = thread::spawn(move || {
            let lived = other.peers.live(1, step, || other.lock(1, FOREVER).unwrap());
            lived.map(|_| other.unlock(1)).is_none()
        });
        world.unlock(2);
        deaths.fetch_add(usize::from(victim.join().unwrap()), SeqCst);
        world.serve(2);
        sleeper.join().unwrap();
    });
}

/// The same with a clearing on its way.
#[test]
fn a_woken_waiter_that_dies_after_a_late_clearing_stops_nobody() {
    at_every_step(1, |step, deaths| {
        let world = World::with(0, STRAY);
        world.lock(2, FOREVER).unwrap();
        let other = world.clone();
        let sleeper = thread::spawn(move || other.pass(3));
        let other = world.clone();
        let unlocker = thread::spawn(move || {
            other.unlock(2);
            other.clear_late();
        });
        world.mourn(1, step, deaths, || world.pass(1));
        sleeper.join().unwrap();
        unlocker.join().unwrap();
    });
}

/// A recoverer dies at any step of recovering a dead holder; a bystander then recovers both.
#[test]
fn a_recoverer_that_dies_stops_nobody() {
    at_every_step(1, |step, deaths| {
        let world = World::new();
        world.lock(1, FOREVER).unwrap();
        // They come before the death is known, so some sleep behind the living holder.
        let threads = [3, 4].map(|me| {
            let world = world.clone();
            thread::spawn(move || world.pass(me))
        });
        world.kill(1);
        let recoverer = world.peers.live(2, step, || mutex::recover(&world.word, 1, &world.peers));
        deaths.fetch_add(usize::from(recoverer.is_none()), SeqCst);
        mutex::recover(&world.word, 2, &world.peers);
        mutex::recover(&world.word, 1, &world.peers);
        threads.into_iter().for_each(|thread| thread.join().unwrap());
    });
}

/// Two die in a row: the second is whoever takes the lock from the first.
#[test]
fn a_second_death_is_told_too() {
    at_every_step(2, |step, deaths| {
        let world = World::new();
        world.lock(1, FOREVER).unwrap();
        let other = world.clone();
        let survivor = thread::spawn(move || other.serve(3));
        world.kill(1);
        world.mourn(2, step, deaths, || world.serve(2));
        mutex::recover(&world.word, 1, &world.peers);
        survivor.join().unwrap();
        // The datum was whole when 1 died; 2, had it died halfway, was told of by the word, or work() would have seen it.
        let told = world.told.load(SeqCst) + usize::from(world.lock(4, NOW) == Ok(Acquired::OwnerDied));
        assert!(told >= 1);
    });
}

/// Giving up wakes all, even when whoever gives up dies before it has woken them.
#[test]
fn not_recoverable_reaches_every_sleeper() {
    at_every_step(2, |step, deaths| {
        let world = World::new();
        world.lock(1, FOREVER).unwrap();
        world.kill(1);
        let threads = [3, 4].map(|me| {
            let world = world.clone();
            thread::spawn(move || match world.lock(me, FOREVER) {
                Ok(Acquired::OwnerDied) => {
                    // It came first, or 2 died: told, it makes it consistent.
                    assert_eq!(mutex::make_consistent(&world.word, owner(me)), Ok(true));
                    world.unlock(me);
                }
                Ok(Acquired::Clean) | Err(Refused::NotRecoverable) => {
                    let _ = mutex::unlock(&world.word, owner(me));
                }
                Err(other) => panic!("{other:?}"),
            })
        });
        world.mourn(2, step, deaths, || {
            // Told of the death and does not make it consistent: the unlock gives the lock up.
            if world.lock(2, FOREVER).is_ok() {
                world.unlock(2);
            }
        });
        threads.into_iter().for_each(|thread| thread.join().unwrap());
    });
}

#[test]
fn a_lock_that_was_given_up_stays_so_until_reset() {
    explore(2, || {
        let world = World::new();
        world.lock(1, FOREVER).unwrap();
        world.kill(1);
        assert_eq!(world.lock(2, NOW), Ok(Acquired::OwnerDied));
        world.unlock(2);
        assert_eq!(world.lock(2, FOREVER), Err(Refused::NotRecoverable));
        assert!(!mutex::recover(&world.word, 1, &world.peers));
        assert!(mutex::reset(&world.word));
        assert!(!mutex::reset(&world.word));
        assert_eq!(world.lock(2, NOW), Ok(Acquired::Clean));
        assert_eq!(world.lock(2, FOREVER), Err(Refused::WouldDeadlock));
        assert_eq!(world.lock(3, NOW), Err(Refused::WouldBlock));
        assert_eq!(mutex::make_consistent(&world.word, owner(2)), Ok(false));
        assert_eq!(mutex::make_consistent(&world.word, owner(3)), Err(mutex::NotOwner));
        assert_eq!(mutex::unlock(&world.word, owner(3)), Err(mutex::NotOwner));
        world.unlock(2);
    });
}

/// A guard dropped without having been made consistent: the next owner is told again, wherever the giver dies.
#[test]
fn giving_back_tells_the_next_owner() {
    at_every_step(2, |step, deaths| {
        let world = World::new();
        let threads = [3, 4].map(|me| {
            let world = world.clone();
            thread::spawn(move || world.serve(me))
        });
        world.mourn(1, step, deaths, || {
            world.lock(1, FOREVER).unwrap();
            world.died_holding.fetch_add(1, SeqCst); // given back counts as a death that must be told
            mutex::give_back(&world.word, owner(1)).unwrap();
            world.died_holding.fetch_sub(1, SeqCst);
        });
        threads.into_iter().for_each(|thread| thread.join().unwrap());
    });
}

/// A wait that times out leaves nothing behind that stops others, and takes no wake-up with it.
#[test]
fn a_time_out_takes_no_wake_up_with_it() {
    explore(3, || {
        let world = World::new();
        let other = world.clone();
        let timed = thread::spawn(move || match other.critical(1, a_while()) {
            Ok(Acquired::Clean) | Err(Refused::TimedOut) => {}
            other => panic!("{other:?}"),
        });
        let other = world.clone();
        let patient = thread::spawn(move || assert_eq!(other.critical(2, FOREVER), Ok(Acquired::Clean)));
        assert_eq!(world.critical(3, FOREVER), Ok(Acquired::Clean));
        timed.join().unwrap();
        patient.join().unwrap();
    });
}

/// A word that no participant writes is an error, not an endless loop.
#[test]
fn a_forged_word_is_corrupted() {
    explore(2, || {
        for forged in [1 << 13, 0x1f00, 0x3fff_0000, 0x1fff | 1 << 31] {
            let world = World::with(forged, STRAY);
            assert_eq!(world.lock(1, FOREVER), Err(Refused::Corrupted));
            assert!(!mutex::recover(&world.word, 1, &world.peers));
            assert_eq!(mutex::unlock(&world.word, owner(1)), Err(mutex::NotOwner));
        }
    });
}

/// Broken on purpose: the models above must be able to see what each rule is for.
mod controls {
    use super::{Arc, SeqCst, at_every_step, explore, thread};
    use super::{Count, FOREVER, LockWord, Mortals, Ordering, ParticipantId, owner};
    use crate::mortals::must_fail;
    use ringfence::primitive::fence;
    use ringfence::sys::futex;
    use ringfence::sys::nap::Nap;

    const SLEEPERS: u32 = 1;
    const EPOCH: u32 = 4;

    #[derive(Clone, Copy)]
    struct Rules {
        /// A fence between freeing the lock and looking for sleepers.
        fence: bool,
        /// A waiter looks at the lock again when it has announced itself.
        look_again: bool,
        /// A waiter always changes the word it announces itself in.
        change: bool,
        /// An unlock wakes first and clears then, if there was nobody.
        wake_first: bool,
    }

    const SHIPPED: Rules = Rules { fence: true, look_again: true, change: true, wake_first: true };

    struct Lock {
        lock: LockWord,
        peers: Mortals,
        rules: Rules,
    }

    impl Lock {
        fn new(rules: Rules, waiters: u32) -> Arc<Self> {
            let lock = Arc::new(Self { lock: LockWord::new(), peers: Mortals::new(), rules });
            lock.lock.waiters.word.store(waiters, Ordering::Relaxed);
            lock
        }

        fn lock(&self, me: ParticipantId) {
            let LockWord { owner: word, waiters } = &self.lock;
            loop {
                let seen = word.load(Ordering::Relaxed);
                if seen == 0 {
                    if word.compare_exchange(0, owner(me).bits(), Ordering::Acquire, Ordering::Relaxed).is_ok() {
                        return;
                    }
                    continue;
                }
                let mut now = waiters.word.load(Ordering::Relaxed);
                let ticket = loop {
                    let next = now.wrapping_add(if self.rules.change { EPOCH } else { 0 }) | SLEEPERS;
                    match waiters.word.compare_exchange(now, next, Ordering::Relaxed, Ordering::Relaxed) {
                        Ok(_) => break next,
                        Err(other) => now = other,
                    }
                };
                fence(Ordering::SeqCst);
                if self.rules.look_again && word.load(Ordering::Relaxed) != seen {
                    continue;
                }
                Nap::new().sleep(&waiters.word, ticket, FOREVER);
            }
        }

        fn unlock(&self) {
            let LockWord { owner: word, waiters } = &self.lock;
            word.store(0, Ordering::Release);
            if self.rules.fence {
                fence(Ordering::SeqCst);
            }
            let seen = waiters.word.load(Ordering::Relaxed);
            if seen & SLEEPERS == 0 {
                return;
            }
            let bump = if self.rules.change { EPOCH } else { 0 };
            let bumped = waiters.word.fetch_add(bump, Ordering::Relaxed).wrapping_add(bump);
            let clear = || {
                let _ = waiters.word.compare_exchange(bumped, bumped & !SLEEPERS, Ordering::Relaxed, Ordering::Relaxed);
            };
            if !self.rules.wake_first {
                clear();
                futex::wake(&waiters.word, 1);
            } else if futex::wake(&waiters.word, 1) == 0 {
                clear();
            }
        }

        fn critical(&self, me: ParticipantId) {
            self.lock(me);
            self.unlock();
        }
    }

    /// No kill at all: two want a lock that is held, and the last step of an unlock of long ago is still to come.
    fn no_death(rules: Rules) {
        explore(2, move || {
            let lock = Lock::new(rules, SLEEPERS);
            lock.lock(3);
            let threads = [1, 2].map(|me| {
                let lock = lock.clone();
                thread::spawn(move || lock.critical(me))
            });
            lock.unlock();
            let late = &lock.lock.waiters.word;
            let _ = late.compare_exchange(SLEEPERS, 0, Ordering::Relaxed, Ordering::Relaxed);
            threads.into_iter().for_each(|thread| thread.join().unwrap());
        });
    }

    /// A woken waiter dies; nobody recovers it, but somebody locks and unlocks afterwards: that must do.
    fn woken_dies(bound: usize, rules: Rules) {
        at_every_step(bound, move |step, deaths: &Count| {
            let lock = Lock::new(rules, 0);
            lock.lock(2);
            let other = lock.clone();
            let sleeper = thread::spawn(move || other.critical(3));
            let other = lock.clone();
            let victim = thread::spawn(move || {
                // It dies before it has the lock, if it dies: these locks are not robust.
                let lived = other.peers.live(1, step, || other.lock(1));
                if lived.is_some() || other.lock.owner.load(Ordering::Relaxed) == owner(1).bits() {
                    other.unlock();
                }
                lived.is_none()
            });
            lock.unlock();
            deaths.fetch_add(usize::from(victim.join().unwrap()), SeqCst);
            lock.critical(2);
            sleeper.join().unwrap();
        });
    }

    #[test]
    fn the_rules_as_shipped_lose_nobody() {
        no_death(SHIPPED);
        woken_dies(1, SHIPPED);
    }

    #[test]
    #[ignore = "fails on purpose"]
    fn without_the_fence() {
        no_death(Rules { fence: false, ..SHIPPED });
    }

    #[test]
    #[ignore = "fails on purpose"]
    fn without_a_second_look() {
        no_death(Rules { look_again: false, ..SHIPPED });
    }

    #[test]
    #[ignore = "fails on purpose"]
    fn without_a_change() {
        no_death(Rules { change: false, ..SHIPPED });
    }

    #[test]
    #[ignore = "fails on purpose"]
    fn clearing_first() {
        woken_dies(2, Rules { wake_first: false, ..SHIPPED });
    }

    #[test]
    fn each_rule_is_needed() {
        for name in ["without_the_fence", "without_a_second_look", "without_a_change", "clearing_first"] {
            must_fail(&format!("controls::{name}"), "deadlock");
        }
    }
}
