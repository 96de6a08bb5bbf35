//! Models of waiting for the first of several objects: what wakes a sleeper that leaves with something else is handed on,
//! and a sleeper that dies leaves no more than any other.
//!
//! Sleeps are not capped in a model, so whatever only a cap would mend shows as a deadlock.
#![cfg(ringfence_loom)]

mod mortals;

use loom::sync::Arc;
use loom::thread;
use mortals::{FOREVER, Mortals, NOW, a_while, at_every_step, explore, must_fail, owner};
use ringfence::layout::mutex::LockWord;
use ringfence::layout::queue::{Geometry, QueueHeader};
use ringfence::layout::semaphore::{Record, SemaphoreHeader};
use ringfence::primitive::{AtomicU32, AtomicU64, Ordering, death};
use ringfence::raw::ParticipantId;
use ringfence::raw::eventcount::{Announced, Expired};
use ringfence::raw::mutex::{self, Acquired};
use ringfence::raw::queue::Queue;
use ringfence::raw::semaphore::Semaphore;
use ringfence::raw::wait_any::{Awaited, Waitable, wait_any, wake_watchers};
use ringfence::sys::nap::Wait;
use std::sync::atomic::{AtomicUsize as Count, Ordering::SeqCst};

/// A lock that participant 3 holds, a semaphore without free permits, an empty queue.
struct World {
    lock: LockWord,
    header: SemaphoreHeader,
    records: Vec<Record>,
    queue: QueueHeader,
    slots: Vec<AtomicU64>,
    peers: Mortals,
}

type Item<'a> = Awaited<'a, Mortals>;

const MAIN: ParticipantId = 3;

impl World {
    fn new(owned: bool) -> Arc<Self> {
        let geometry = Geometry::new(1, 8).unwrap();
        let world = Self {
            lock: LockWord::new(),
            header: SemaphoreHeader::new(0, 9, owned),
            records: (0..if owned { 4 } else { 0 }).map(|_| Record::new(0)).collect(),
            queue: QueueHeader::new(geometry),
            slots: (0..geometry.words()).map(|_| AtomicU64::new(0)).collect(),
            peers: Mortals::new(),
        };
        assert!(mutex::lock_fast(&world.lock, owner(MAIN)));
        Arc::new(world)
    }

    fn semaphore(&self) -> Semaphore<'_> {
        Semaphore::new(&self.header, &self.records)
    }

    fn queue(&self) -> Queue<'_> {
        Queue::attach(&self.queue, &self.slots).unwrap()
    }

    fn lock(&self, me: ParticipantId) -> Item<'_> {
        Awaited::Lock { word: &self.lock, me: owner(me), peers: &self.peers }
    }

    fn permit(&self, me: ParticipantId) -> Item<'_> {
        Awaited::Permits { semaphore: self.semaphore(), permits: 1, me: owner(me), peers: &self.peers }
    }

    fn message(&self) -> Item<'_> {
        Awaited::Message { queue: self.queue(), peers: &self.peers }
    }

    /// Waits for the lock and a permit, and takes neither.
    fn look(&self, me: ParticipantId, wait: Wait) -> Result<u64, Expired> {
        wait_any(&[self.lock(me), self.permit(me)], wait)
    }

    fn pass(&self, me: ParticipantId) {
        mutex::lock(&self.lock, owner(me), &self.peers, FOREVER).unwrap();
        self.unlock(me);
    }

    fn unlock(&self, me: ParticipantId) {
        mutex::unlock(&self.lock, owner(me)).unwrap();
    }

    fn acquire(&self, me: ParticipantId, wait: Wait) -> bool {
        let semaphore = self.semaphore();
        if semaphore.is_owned() {
            semaphore.acquire(owner(me), 1, &self.peers, wait).is_ok()
        } else {
            semaphore.acquire_signal(1, wait).is_ok()
        }
    }

    fn release(&self, me: ParticipantId) {
        let semaphore = self.semaphore();
        if semaphore.is_owned() {
            semaphore.release(owner(me), 1, &self.peers, FOREVER).unwrap();
        } else {
            semaphore.release_signal(1).unwrap();
        }
    }

    fn recover(&self, dead: ParticipantId) {
        mutex::recover(&self.lock, dead, &self.peers);
        self.semaphore().recover(dead, &self.peers);
    }
}

fn spawn<R: 'static>(world: &Arc<World>, f: impl FnOnce(&World) -> R + 'static) -> thread::JoinHandle<R> {
    let world = world.clone();
    thread::spawn(move || f(&world))
}

fn in_both_modes(model: impl Fn(bool)) {
    [false, true].into_iter().for_each(model);
}

/// One looks, one wants the lock: whoever the unlock wakes, the lock is had.
#[test]
fn a_lock_passes_one_who_only_looked() {
    explore(3, || {
        let world = World::new(false);
        let looker = spawn(&world, |world| world.look(1, FOREVER).unwrap());
        let patient = spawn(&world, |world| world.pass(2));
        world.unlock(MAIN);
        assert_eq!(looker.join().unwrap(), 1);
        patient.join().unwrap();
    });
}

/// The same where something else is ready too.
#[test]
fn a_lock_passes_one_who_found_something_else() {
    explore(3, || {
        let world = World::new(false);
        let looker = spawn(&world, |world| world.look(1, FOREVER).unwrap());
        let patient = spawn(&world, |world| world.pass(2));
        world.release(MAIN);
        world.unlock(MAIN);
        assert_ne!(looker.join().unwrap(), 0);
        patient.join().unwrap();
    });
}

#[test]
fn a_permit_passes_one_who_only_looked() {
    in_both_modes(|owned| {
        explore(2, move || {
            let world = World::new(owned);
            let looker = spawn(&world, |world| world.look(1, FOREVER).unwrap());
            let patient = spawn(&world, |world| assert!(world.acquire(2, FOREVER)));
            world.release(MAIN);
            // When the permit is taken before the looker looks it waits for the lock.
            patient.join().unwrap();
            world.unlock(MAIN);
            assert_ne!(looker.join().unwrap(), 0);
        });
    });
}

/// Two who look do not keep the wake-up between them.
#[test]
fn two_who_look_and_one_who_waits() {
    explore(1, || {
        let world = World::new(false);
        let lookers = [1, 4].map(|me| spawn(&world, move |world| world.look(me, FOREVER).unwrap()));
        let patient = spawn(&world, |world| world.pass(2));
        world.release(MAIN);
        world.unlock(MAIN);
        patient.join().unwrap();
        lookers.into_iter().for_each(|looker| assert_ne!(looker.join().unwrap(), 0));
    });
}

/// The clearing of a mark comes late, and the lock is held again by somebody else, when the looker leaves.
#[test]
fn a_late_clearing_loses_nobody() {
    explore(2, || {
        const STRAY: u32 = 1;
        let world = World::new(false);
        world.lock.waiters.word.store(STRAY, Ordering::Relaxed);
        let looker = spawn(&world, |world| world.look(1, FOREVER).unwrap());
        let patient = spawn(&world, |world| world.pass(2));
        world.unlock(MAIN);
        let _ = world.lock.waiters.word.compare_exchange(STRAY, 0, Ordering::Relaxed, Ordering::Relaxed);
        if mutex::lock_fast(&world.lock, owner(MAIN)) {
            world.release(MAIN);
            world.unlock(MAIN);
        } else {
            world.release(MAIN);
        }
        assert_ne!(looker.join().unwrap(), 0);
        patient.join().unwrap();
    });
}

/// Time-outs take no wake-up with them.
#[test]
fn a_time_out_loses_nothing() {
    in_both_modes(|owned| {
        explore(2, move || {
            let world = World::new(owned);
            let looker = spawn(&world, |world| world.look(1, a_while()));
            let patient = spawn(&world, |world| assert!(world.acquire(2, FOREVER)));
            world.release(MAIN);
            patient.join().unwrap();
            assert_ne!(looker.join().unwrap(), Ok(0));
        });
    });
}

/// Those who look and then try: nobody is left behind, and one is inside at a time.
#[test]
fn two_try_what_they_found_ready() {
    explore(2, || {
        let world = World::new(false);
        let inside = Arc::new(Count::new(0));
        let take = |me: ParticipantId, inside: Arc<Count>| {
            move |world: &World| {
                while mutex::lock(&world.lock, owner(me), &world.peers, NOW).is_err() {
                    wait_any(&[world.lock(me), world.message()], FOREVER).unwrap();
                }
                assert_eq!(inside.fetch_add(1, SeqCst), 0);
                inside.fetch_sub(1, SeqCst);
                world.unlock(me);
            }
        };
        let threads = [1, 2].map(|me| spawn(&world, take(me, inside.clone())));
        world.unlock(MAIN);
        threads.into_iter().for_each(|thread| thread.join().unwrap());
    });
}

/// A message wakes whoever waits for one among others.
#[test]
fn a_message_is_found() {
    explore(3, || {
        let world = World::new(false);
        let looker = spawn(&world, |world| {
            assert_eq!(wait_any(&[world.lock(1), world.message()], FOREVER), Ok(2));
            world.queue().try_pop(&mut [0; 8], &world.peers).unwrap();
        });
        world.queue().try_push(owner(MAIN), &[7; 8], &world.peers).unwrap();
        looker.join().unwrap();
    });
}

/// The same object twice: what the second announcement changes does not keep the first from sleeping, or from waking.
#[test]
fn one_word_is_waited_for_twice() {
    in_both_modes(|owned| {
        explore(2, move || {
            let world = World::new(owned);
            let looker = spawn(&world, |world| {
                let permits = |permits| Awaited::Permits {
                    semaphore: world.semaphore(),
                    permits,
                    me: owner(1),
                    peers: &world.peers,
                };
                wait_any(&[permits(2), permits(1), permits(3), world.message(), world.message()], FOREVER)
            });
            world.release(MAIN);
            assert_eq!(looker.join().unwrap(), Ok(2));
        });
    });
}

/// One who looks dies anywhere: the others get what there is.
#[test]
fn a_looker_dies_at_every_step() {
    in_both_modes(|owned| {
        at_every_step(1, move |step, deaths| {
            let world = World::new(owned);
            let other = spawn(&world, |world| {
                world.pass(2);
                assert!(world.acquire(2, FOREVER));
            });
            let giver = spawn(&world, |world| {
                world.unlock(MAIN);
                world.release(MAIN);
            });
            if world.peers.live(1, step, || world.look(1, FOREVER).unwrap()).is_none() {
                deaths.fetch_add(1, SeqCst);
                world.recover(1);
            }
            giver.join().unwrap();
            other.join().unwrap();
        });
    });
}

/// The owner of a lock dies: whoever waits for it among others is woken, and the lock can be had.
#[test]
fn an_owner_dies_at_every_step() {
    at_every_step(2, |step, deaths| {
        let world = World::new(false);
        world.unlock(MAIN);
        let looker = spawn(&world, |world| {
            let ready = wait_any(&[world.permit(1), world.lock(1)], FOREVER).unwrap();
            assert_eq!(ready, 2);
        });
        let lived = world.peers.live(2, step, || {
            world.pass(2);
            // A death behind the unlock too.
            death::crash_point();
        });
        if lived.is_none() {
            deaths.fetch_add(1, SeqCst);
            world.recover(2);
        }
        looker.join().unwrap();
        let had = mutex::lock(&world.lock, owner(4), &world.peers, NOW).unwrap();
        assert!(had == Acquired::Clean || lived.is_none());
    });
}

/// A life that ends, with the word that says so; and a death that nobody has tidied up yet.
#[test]
fn the_end_of_a_life_is_found() {
    explore(2, || {
        let world = World::new(false);
        let state = Arc::new(AtomicU32::new(5));
        let watched = Arc::new(AtomicU32::new(0));
        let (word, mark) = (state.clone(), watched.clone());
        let looker = spawn(&world, move |world| {
            let gone = Awaited::Gone { participant: 2, state: &word, value: 5, watched: &mark, peers: &world.peers };
            assert_eq!(wait_any(&[world.lock(1), gone], FOREVER), Ok(2));
        });
        state.swap(6, Ordering::Release);
        wake_watchers(&state, &watched);
        looker.join().unwrap();
    });
    explore(2, || {
        let world = World::new(false);
        let (state, watched) = (AtomicU32::new(5), AtomicU32::new(0));
        let gone = Awaited::Gone { participant: 2, state: &state, value: 5, watched: &watched, peers: &world.peers };
        assert_eq!(wait_any(&[&world.lock(1), &gone], NOW), Err(Expired::TimedOut));
        assert!(world.peers.live(2, 0, death::crash_point).is_none());
        assert_eq!(wait_any(&[&world.lock(1), &gone], NOW), Ok(2));
        assert_eq!(wait_any(&[&world.lock(1), &gone], FOREVER), Ok(2));
    });
}

/// What the models must catch: one who leaves as if nobody had woken it.
struct Keeps<'a>(Item<'a>);

impl Waitable for Keeps<'_> {
    fn seems_ready(&self) -> bool {
        self.0.seems_ready()
    }

    fn is_ready(&self) -> bool {
        self.0.is_ready()
    }

    fn announce(&self) -> Option<Announced<'_>> {
        self.0.announce()
    }
}

fn keeps(world: &World) -> u64 {
    wait_any(&[world.lock(1), world.permit(1)].map(Keeps), FOREVER).unwrap()
}

#[test]
#[ignore = "fails on purpose"]
fn the_wake_up_is_kept() {
    explore(2, || {
        let world = World::new(false);
        let looker = spawn(&world, keeps);
        let patient = spawn(&world, |world| world.pass(2));
        world.unlock(MAIN);
        looker.join().unwrap();
        patient.join().unwrap();
    });
}

#[test]
#[ignore = "fails on purpose"]
fn the_permits_wake_up_is_kept() {
    explore(2, || {
        let world = World::new(false);
        let looker = spawn(&world, keeps);
        let patient = spawn(&world, |world| assert!(world.acquire(2, FOREVER)));
        world.release(MAIN);
        patient.join().unwrap();
        world.unlock(MAIN);
        looker.join().unwrap();
    });
}

#[test]
fn a_wake_up_that_is_kept_is_caught() {
    must_fail("the_wake_up_is_kept", "deadlock");
    must_fail("the_permits_wake_up_is_kept", "deadlock");
}
