//! Models of the shipped condition variable: no lost notification, none doubled, death at every atomic step.
//!
//! Sleeps are not capped in a model, so whatever only a cap would mend shows as a deadlock.
#![cfg(ringfence_loom)]

mod mortals;

use std::sync::atomic::{AtomicUsize as Count, Ordering::SeqCst};

use loom::sync::Arc;
use loom::thread;
use mortals::{FOREVER, Mortals, a_while, at_every_step, explore, must_fail, owner};
use ringfence::layout::condvar::{CondvarHeader, Place};
use ringfence::layout::mutex::LockWord;
use ringfence::primitive::{Ordering, death};
use ringfence::raw::ParticipantId;
use ringfence::raw::condvar::{Condvar, Ended, Mutex, Refused};
use ringfence::raw::mutex::{self, Acquired};
use ringfence::sys::nap::Wait;

/// A number of tokens under a mutex, to be waited for.
struct World {
    lock: LockWord,
    header: CondvarHeader,
    places: Vec<Place>,
    peers: Mortals,
    tokens: Count,
    /// Waits that ended with true, and notifications that were given.
    told: Count,
    given: Count,
}

impl World {
    fn new(places: usize) -> Arc<Self> {
        Arc::new(Self {
            lock: LockWord::new(),
            header: CondvarHeader::new(),
            places: (0..places).map(|_| Place::new()).collect(),
            peers: Mortals::new(),
            tokens: Count::new(0),
            told: Count::new(0),
            given: Count::new(0),
        })
    }

    fn raw(&self) -> Condvar<'_> {
        Condvar::new(&self.header, &self.places)
    }

    fn mutex(&self) -> Mutex<'_> {
        Mutex { lock: &self.lock, offset: 128 }
    }

    fn mend(&self, me: ParticipantId, acquired: Acquired) {
        if acquired == Acquired::OwnerDied {
            mutex::make_consistent(&self.lock, owner(me)).unwrap();
        }
    }

    fn locked<R>(&self, me: ParticipantId, act: impl FnOnce() -> R) -> R {
        self.mend(me, mutex::lock(&self.lock, owner(me), &self.peers, FOREVER).unwrap());
        let result = act();
        mutex::unlock(&self.lock, owner(me)).unwrap();
        result
    }

    /// One wait, with the mutex held.
    fn wait(&self, me: ParticipantId, wait: Wait) -> Result<Ended, Refused> {
        let release = || mutex::unlock(&self.lock, owner(me)).unwrap();
        let (ended, acquired) = self.raw().wait(self.mutex(), owner(me), &self.peers, wait, release)?;
        self.mend(me, acquired);
        if ended == Ended::Notified {
            self.told.fetch_add(1, SeqCst);
        }
        Ok(ended)
    }

    /// Takes a token, waiting for one; `false` if the time was up before.
    fn take(&self, me: ParticipantId, wait: Wait) -> bool {
        self.locked(me, || {
            while self.tokens.load(SeqCst) == 0 {
                if self.wait(me, wait).unwrap() == Ended::TimedOut {
                    break;
                }
            }
            let took = self.tokens.load(SeqCst) > 0;
            if took {
                self.tokens.fetch_sub(1, SeqCst);
            }
            took
        })
    }

    /// Puts some tokens and notifies as many.
    fn put(&self, me: ParticipantId, count: u32) {
        self.locked(me, || {
            self.tokens.fetch_add(count as usize, SeqCst);
            let given = self.raw().notify(self.mutex(), count, &self.peers).unwrap();
            self.given.fetch_add(given as usize, SeqCst);
        });
    }

    /// Dies as a waiter, and is notified before anybody can know. There is a token then.
    fn die_notified(&self, me: ParticipantId) {
        let killed = || {
            mutex::unlock(&self.lock, owner(me)).unwrap();
            std::panic::resume_unwind(Box::new(death::Killed))
        };
        self.peers.live_and(
            me,
            usize::MAX,
            || {
                mutex::lock(&self.lock, owner(me), &self.peers, FOREVER).unwrap();
                self.raw().wait(self.mutex(), owner(me), &self.peers, FOREVER, killed)
            },
            || self.put(4, 1),
        );
    }

    /// Frees the places of the dead, and that is all.
    fn forget(&self, dead: ParticipantId) {
        for place in &self.places {
            let seen = place.state.load(Ordering::SeqCst);
            if seen & 0x1fff == u64::from(dead) {
                let _ = place.state.compare_exchange(seen, 0, Ordering::SeqCst, Ordering::SeqCst);
            }
        }
    }

    fn recover(&self, dead: ParticipantId) {
        mutex::recover(&self.lock, dead, &self.peers);
        self.raw().recover(dead, &self.peers);
    }

    fn mourn<R>(&self, victim: ParticipantId, step: usize, deaths: &Count, f: impl FnOnce() -> R) -> Option<R> {
        let outcome = self.peers.live(victim, step, f);
        if outcome.is_none() {
            deaths.fetch_add(1, SeqCst);
            self.recover(victim);
        }
        outcome
    }

    /// Nobody was told without a notification, and nothing is left in the places.
    fn end(&self) {
        assert!(self.told.load(SeqCst) <= self.given.load(SeqCst), "more were told than notified");
        for place in &self.places {
            assert_eq!(place.state.observe(Ordering::SeqCst), 0, "a place is not free");
        }
    }
}

#[test]
fn one_waits_for_another() {
    explore(3, || {
        let world = World::new(2);
        let other = world.clone();
        let thread = thread::spawn(move || other.put(1, 1));
        assert!(world.take(2, FOREVER));
        thread.join().unwrap();
        world.end();
    });
}

/// Each notification for one, and all at once: then one wakes the other.
#[test]
fn two_wait() {
    for puts in [[1, 1], [2, 0]] {
        explore(2, move || {
            let world = World::new(2);
            let threads = [1, 2].map(|me| {
                let world = world.clone();
                thread::spawn(move || world.take(me, FOREVER))
            });
            puts.into_iter().filter(|count| *count > 0).for_each(|count| world.put(3, count));
            threads.into_iter().for_each(|thread| assert!(thread.join().unwrap()));
            world.end();
        });
    }
}

/// A waiter whose time is up takes no notification with it.
#[test]
fn a_time_out_loses_nothing() {
    explore(2, || {
        let world = World::new(2);
        let (late, patient) = (world.clone(), world.clone());
        let late = thread::spawn(move || late.take(1, a_while()));
        let patient = thread::spawn(move || patient.take(2, FOREVER));
        world.put(3, 1);
        if late.join().unwrap() {
            world.put(3, 1);
        }
        assert!(patient.join().unwrap());
        world.end();
    });
}

/// There is place for one: the other is refused or waits after it, and nothing is changed by the refusal.
#[test]
fn no_place_is_said() {
    explore(2, || {
        let world = World::new(1);
        let other = world.clone();
        let thread = thread::spawn(move || {
            other.locked(1, || {
                let free = other.tokens.load(SeqCst) == 0 && other.raw().waiting() == 1;
                assert!(!free || other.wait(1, FOREVER) == Err(Refused::Full));
            });
            other.put(1, 1);
        });
        assert!(world.take(2, FOREVER));
        thread.join().unwrap();
        world.end();
    });
}

/// A waiter dies, notified or not: the token that was put for it reaches the other, without another notification.
#[test]
fn a_waiter_dies_at_every_step() {
    at_every_step(1, |step, deaths| {
        let world = World::new(2);
        let (patient, giver) = (world.clone(), world.clone());
        let patient = thread::spawn(move || {
            assert!(patient.take(1, FOREVER));
            // For the victim, if it lives.
            patient.put(1, 1);
        });
        let giver = thread::spawn(move || giver.put(3, 1));
        world.mourn(2, step, deaths, || world.take(2, FOREVER));
        giver.join().unwrap();
        if world.locked(4, || world.tokens.load(SeqCst) == 0) {
            // The victim has taken it.
            world.put(4, 1);
        }
        patient.join().unwrap();
        world.end();
    });
}

/// A notifier dies: whoever was notified goes on, and the rest is there for the next notifier.
#[test]
fn a_notifier_dies_at_every_step() {
    for count in [1, 2] {
        at_every_step(1, move |step, deaths| {
            let world = World::new(2);
            let threads = [1, 2].map(|me| {
                let world = world.clone();
                thread::spawn(move || world.take(me, FOREVER))
            });
            world.mourn(3, step, deaths, || {
                world.locked(3, || {
                    // Each with the tokens for it, as if the death came right after.
                    world.tokens.fetch_add(count as usize, SeqCst);
                    world.raw().notify(world.mutex(), count, &world.peers).unwrap()
                });
            });
            world.put(4, 2);
            threads.into_iter().for_each(|thread| assert!(thread.join().unwrap()));
        });
    }
}

/// Who tidies up after a dead waiter dies, too.
#[test]
fn a_recoverer_dies_at_every_step() {
    at_every_step(1, |step, deaths| {
        let world = World::new(2);
        let patient = world.clone();
        let patient = thread::spawn(move || patient.take(1, FOREVER));
        world.die_notified(2);
        world.mourn(3, step, deaths, || world.recover(2));
        world.recover(2);
        assert!(patient.join().unwrap());
        world.end();
    });
}

/// A recoverer of a dead waiter is overtaken: another has tidied up, and the dead one's successor waits by the time the
/// first goes on.
fn overtaken(recover: fn(&World)) {
    explore(2, move || {
        let world = World::new(1);
        let killed = || {
            mutex::unlock(&world.lock, owner(1)).unwrap();
            std::panic::resume_unwind(Box::new(death::Killed))
        };
        world.peers.live(1, usize::MAX, || {
            mutex::lock(&world.lock, owner(1), &world.peers, FOREVER).unwrap();
            world.raw().wait(world.mutex(), owner(1), &world.peers, FOREVER, killed)
        });
        let (slow, next) = (world.clone(), world.clone());
        let slow = thread::spawn(move || recover(&slow));
        world.recover(1);
        let me = world.peers.successor(1);
        let next = thread::spawn(move || {
            mutex::lock(&next.lock, me, &next.peers, FOREVER).unwrap();
            while next.tokens.load(SeqCst) == 0 {
                let release = || mutex::unlock(&next.lock, me).unwrap();
                let ended = next.raw().wait(next.mutex(), me, &next.peers, FOREVER, release);
                assert_eq!(ended, Ok((Ended::Notified, Acquired::Clean)), "its place was touched");
            }
            mutex::unlock(&next.lock, me).unwrap();
        });
        world.put(3, 1);
        slow.join().unwrap();
        next.join().unwrap();
        world.end();
    });
}

#[test]
fn a_recoverer_that_is_overtaken_changes_nothing() {
    overtaken(|world| world.recover(1));
}

/// What the models must catch: a recoverer that goes by the number alone.
#[test]
#[ignore = "fails on purpose"]
fn a_number_is_taken_for_a_life() {
    overtaken(|world| world.forget(1));
}

#[test]
fn a_number_that_is_taken_for_a_life_is_caught() {
    must_fail("a_number_is_taken_for_a_life", "its place was touched");
}

/// What the models must catch: a recovery that frees the places of the dead, and what they were notified of with them.
#[test]
#[ignore = "fails on purpose"]
fn notifications_die_with_the_dead() {
    explore(2, || {
        let world = World::new(2);
        let patient = world.clone();
        let patient = thread::spawn(move || patient.take(1, FOREVER));
        world.die_notified(2);
        world.forget(2);
        world.recover(2);
        assert!(patient.join().unwrap());
    });
}

#[test]
fn a_notification_that_dies_is_caught() {
    must_fail("notifications_die_with_the_dead", "deadlock");
}

/// What the models must catch: one of two who were notified at once dies, and nobody wakes the other in its place.
#[test]
#[ignore = "fails on purpose"]
fn nobody_wakes_the_next() {
    at_every_step(1, |step, deaths| {
        let world = World::new(2);
        let (patient, giver) = (world.clone(), world.clone());
        let patient = thread::spawn(move || patient.take(1, FOREVER));
        let giver = thread::spawn(move || giver.put(3, 2));
        if world.peers.live(2, step, || world.take(2, FOREVER)).is_none() {
            deaths.fetch_add(1, SeqCst);
            mutex::recover(&world.lock, 2, &world.peers);
            world.forget(2);
        }
        giver.join().unwrap();
        assert!(patient.join().unwrap());
    });
}

#[test]
fn a_sleeper_whom_nobody_wakes_is_caught() {
    must_fail("nobody_wakes_the_next", "deadlock");
}
