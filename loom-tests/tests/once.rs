//! Models of the shipped once: one does it, whoever dies is followed by another who is told, and all go on when it is done.
//!
//! Sleeps are not capped in a model, so whatever only a cap would mend shows as a deadlock.
#![cfg(ringfence_loom)]

mod mortals;

use std::sync::atomic::{AtomicUsize as Count, Ordering::SeqCst};

use loom::cell::UnsafeCell;
use loom::sync::Arc;
use loom::thread;
use mortals::{FOREVER, Mortals, NOW, a_while, at_every_step, explore, must_fail, owner};
use ringfence::layout::once::OnceHeader;
use ringfence::primitive::{AtomicU64, Ordering, death};
use ringfence::raw::mutex::{self, Acquired, NOT_RECOVERABLE, Refused};
use ringfence::raw::once::Once;
use ringfence::raw::{Owner, ParticipantId, eventcount, words};
use ringfence::sys::nap::Wait;

/// Somebody may sleep.
const SLEEPERS: u32 = 1;
/// What the value is made of: the same twice, its maker's number.
type Value = [u8; 16];

fn made_by(me: ParticipantId) -> Value {
    [me as u8; 16]
}

struct World {
    header: OnceHeader,
    value: [AtomicU64; 2],
    peers: Mortals,
    /// What is done beside the value: by one at a time, and seen by all who come after.
    done: UnsafeCell<u32>,
    told: Count,
    died_at_it: Count,
}

impl World {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            header: OnceHeader::new(),
            value: [AtomicU64::new(0), AtomicU64::new(0)],
            peers: Mortals::new(),
            done: UnsafeCell::new(0),
            told: Count::new(0),
            died_at_it: Count::new(0),
        })
    }

    fn once(&self) -> Once<'_> {
        Once::new(&self.header, &self.value)
    }

    /// The value, and what was done beside it.
    fn look(&self) -> Value {
        let mut value = [0; 16];
        assert!(self.once().read(&mut value), "not done");
        assert_eq!(value, [value[0]; 16], "torn");
        assert_ne!(value[0], 0, "torn");
        // SAFETY: it is done, and nobody changes it any more; loom checks exactly that.
        self.done.with(|done| assert_eq!(unsafe { *done }, u32::from(value[0])));
        value
    }

    fn begin(&self, me: ParticipantId, wait: Wait) -> Result<Option<Acquired>, Refused> {
        self.once().begin(owner(me), &self.peers, wait)
    }

    /// Does it, if it is to be done; the value in the end.
    fn call(&self, me: ParticipantId, wait: Wait, complete: impl Fn(&Self, Owner, &Value)) -> Result<Value, Refused> {
        if let Some(acquired) = self.begin(me, wait)? {
            if acquired == Acquired::OwnerDied {
                self.told.fetch_add(1, SeqCst);
            }
            // SAFETY: the turn is ours; loom checks exactly that.
            self.done.with_mut(|done| unsafe { *done = u32::from(me) });
            death::crash_point();
            complete(self, owner(me), &made_by(me));
        }
        Ok(self.look())
    }

    fn serve(&self, me: ParticipantId) -> Value {
        self.call(me, FOREVER, |world, me, value| world.once().complete(me, value).unwrap()).unwrap()
    }

    fn wait(&self, me: ParticipantId) -> Value {
        self.once().wait(owner(me), &self.peers, FOREVER).unwrap();
        self.look()
    }

    /// Begins, and gives up.
    fn abandon(&self, me: ParticipantId) {
        if let Ok(Some(_)) = self.begin(me, FOREVER) {
            self.once().abandon(owner(me)).unwrap();
        }
    }

    /// Runs `f` as `victim`, killed at `step`; then `recover`, once.
    fn mourn<R>(
        &self,
        victim: ParticipantId,
        step: usize,
        deaths: &Count,
        f: impl FnOnce() -> R,
        recover: impl Fn(&Self),
    ) {
        let autopsy = || {
            if self.once().holder() == Some(victim) {
                self.died_at_it.fetch_add(1, SeqCst);
            }
        };
        if self.peers.live_and(victim, step, f, autopsy).is_none() {
            deaths.fetch_add(1, SeqCst);
            recover(self);
        }
    }

    /// Until somebody who would do it sleeps, or is about to.
    fn until_asleep(&self) {
        while self.header.lock.waiters.word.observe(Ordering::SeqCst) & SLEEPERS == 0 {
            thread::yield_now();
        }
    }
}

fn recover(world: &World) {
    world.once().recover(1, &world.peers);
}

/// Of three who come one does it, once; all see the value and what was done beside it.
fn three_come(complete: impl Fn(&World, Owner, &Value) + Send + Sync + Copy + 'static) {
    explore(3, move || {
        let world = World::new();
        let threads = [1, 2].map(|me| {
            let world = world.clone();
            thread::spawn(move || world.call(me, FOREVER, complete).unwrap())
        });
        let mine = world.call(3, FOREVER, complete).unwrap();
        for thread in threads {
            assert_eq!(thread.join().unwrap(), mine, "two values");
        }
        assert_eq!(world.told.load(SeqCst), 0);
    });
}

#[test]
fn one_of_three_does_it_and_all_see_it() {
    three_come(|world, me, value| world.once().complete(me, value).unwrap());
}

/// What the models must catch: it is said to be done before the value is there.
#[test]
#[ignore = "fails on purpose"]
fn completes_first() {
    three_come(|world, me, value| {
        mutex::give_up(&world.header.lock, me).unwrap();
        words::store(&world.value, value);
        eventcount::notify(&world.header.waiting);
    });
}

#[test]
fn a_completion_before_the_value_is_caught() {
    must_fail("completes_first", "torn");
}

/// What the models must catch: an end that wakes one, as an unlock does.
#[test]
#[ignore = "fails on purpose"]
fn wakes_one() {
    three_come(|world, _, value| {
        words::store(&world.value, value);
        world.header.lock.owner.store(NOT_RECOVERABLE, Ordering::Release);
        eventcount::notify_one(&world.header.lock.waiters);
        eventcount::notify(&world.header.waiting);
    });
}

#[test]
fn a_completion_that_wakes_one_is_caught() {
    must_fail("wakes_one", "deadlock");
}

/// One does it or dies at it, one more would do it, and one only waits.
fn dies_at_every_step(recover: impl Fn(&World) + Send + Sync + Copy + 'static) {
    at_every_step(2, move |step, deaths| {
        let world = World::new();
        let threads = [World::serve as fn(&World, ParticipantId) -> Value, World::wait];
        let threads = [2, 3].map(|me| {
            let world = world.clone();
            thread::spawn(move || threads[usize::from(me) - 2](&world, me))
        });
        world.mourn(1, step, deaths, || world.serve(1), recover);
        let values = threads.map(|thread| thread.join().unwrap());
        assert_eq!(values[0], values[1], "two values");
        // Whoever had the turn when it died is followed by one who is told, and nobody else is.
        assert_eq!(world.told.load(SeqCst), world.died_at_it.load(SeqCst), "told");
    });
}

#[test]
fn a_death_at_any_step_stops_nobody() {
    dies_at_every_step(recover);
}

/// What the models must catch: a recovery of the lock alone leaves those asleep who only wait.
#[test]
#[ignore = "fails on purpose"]
fn recovers_the_lock_alone() {
    dies_at_every_step(|world| {
        mutex::recover(&world.header.lock, 1, &world.peers);
    });
}

#[test]
fn a_recovery_of_the_lock_alone_is_caught() {
    must_fail("recovers_the_lock_alone", "deadlock");
}

/// What the models must catch: those who wait and those who would do it sleep at one word, and a turn that is given back
/// wakes one, who may be of the wrong kind.
#[test]
#[ignore = "fails on purpose"]
fn all_sleep_at_the_lock() {
    gives_up_before(|world, _| {
        let done = || world.once().is_completed().then_some(());
        let _ = eventcount::wait_until(&world.header.lock.waiters, FOREVER, done);
        world.look()
    });
}

#[test]
fn one_word_for_all_sleepers_is_caught() {
    must_fail("all_sleep_at_the_lock", "deadlock");
}

/// Somebody gives up, while one would do it and one only waits.
fn gives_up_before(wait: impl Fn(&World, ParticipantId) -> Value + Send + Sync + Copy + 'static) {
    explore(2, move || {
        let world = World::new();
        assert_eq!(world.begin(1, NOW), Ok(Some(Acquired::Clean)));
        let (doer, waiter) = (world.clone(), world.clone());
        let doer = thread::spawn(move || doer.serve(2));
        let waiter = thread::spawn(move || wait(&waiter, 3));
        world.once().abandon(owner(1)).unwrap();
        assert_eq!(doer.join().unwrap(), waiter.join().unwrap());
        assert_eq!(world.told.load(SeqCst), 1);
    });
}

#[test]
fn a_turn_given_up_is_the_next_ones() {
    gives_up_before(World::wait);
}

/// The same, by one who may die at it.
#[test]
fn who_gives_up_dies_at_every_step() {
    at_every_step(2, |step, deaths| {
        let world = World::new();
        let (doer, waiter) = (world.clone(), world.clone());
        let doer = thread::spawn(move || doer.serve(2));
        let waiter = thread::spawn(move || waiter.wait(3));
        world.mourn(1, step, deaths, || world.abandon(1), recover);
        assert_eq!(doer.join().unwrap(), waiter.join().unwrap());
    });
}

/// Whoever sleeps until a turn is given back, and is woken, and dies, is followed by the other who sleeps.
#[test]
fn a_woken_one_dies_at_every_step() {
    at_every_step(1, |step, deaths| {
        let world = World::new();
        world.begin(3, NOW).unwrap();
        let (other, holder) = (world.clone(), world.clone());
        let other = thread::spawn(move || other.serve(2));
        let holder = thread::spawn(move || {
            holder.until_asleep();
            holder.once().abandon(owner(3)).unwrap();
        });
        world.mourn(1, step, deaths, || world.serve(1), recover);
        holder.join().unwrap();
        other.join().unwrap();
    });
}

/// A recoverer dies, and another one, who knows of both, recovers both.
#[test]
fn a_recoverer_dies_at_every_step() {
    at_every_step(2, |step, deaths| {
        let world = World::new();
        let sleeper = world.clone();
        world.begin(4, NOW).unwrap();
        let sleeper = thread::spawn(move || sleeper.serve(2));
        assert!(world.peers.live(4, 0, death::crash_point).is_none());
        let both = |world: &World| {
            world.once().recover(4, &world.peers);
            world.once().recover(1, &world.peers);
        };
        world.mourn(1, step, deaths, || world.once().recover(4, &world.peers), both);
        sleeper.join().unwrap();
        assert_eq!(world.told.load(SeqCst), 1);
    });
}

#[test]
fn a_time_out_takes_nothing_from_others() {
    explore(2, || {
        let world = World::new();
        world.begin(3, NOW).unwrap();
        let (late, patient) = (world.clone(), world.clone());
        let late = thread::spawn(move || {
            late.call(1, a_while(), |world, me, value| world.once().complete(me, value).unwrap())
        });
        let patient = thread::spawn(move || patient.serve(2));
        world.once().abandon(owner(3)).unwrap();
        let value = patient.join().unwrap();
        match late.join().unwrap() {
            Ok(mine) => assert_eq!(mine, value),
            Err(refused) => assert_eq!(refused, Refused::TimedOut),
        }
    });
}

/// Who has not the turn changes nothing: not the value, not the end.
#[test]
fn only_whose_turn_it_is_ends_it() {
    explore(2, || {
        let world = World::new();
        assert!(world.once().complete(owner(2), &made_by(2)).is_err() && world.once().abandon(owner(2)).is_err());
        world.begin(1, NOW).unwrap();
        assert!(world.once().complete(owner(2), &made_by(2)).is_err() && world.once().abandon(owner(2)).is_err());
        assert_eq!(world.begin(1, NOW), Err(Refused::WouldDeadlock));
        assert_eq!(world.once().wait(owner(1), &world.peers, FOREVER), Err(Refused::WouldDeadlock));
        assert_eq!(world.begin(2, NOW), Err(Refused::WouldBlock));
        world.done.with_mut(|done| {
            // SAFETY: the turn is ours.
            unsafe { *done = 1 }
        });
        world.once().complete(owner(1), &made_by(1)).unwrap();
        assert!(world.once().complete(owner(1), &made_by(2)).is_err() && world.once().abandon(owner(1)).is_err());
        assert_eq!((world.begin(2, NOW), world.look()), (Ok(None), made_by(1)));
    });
}
