//! Models of the shipped work queue: each message is delivered until it is done, whoever dies at whatever atomic step, and
//! the end of all work is seen when it has come and not before.
//!
//! Sleeps are not capped in a model, so a lost wake-up is a deadlock, which loom reports. Every model ends with a fresh
//! consumer, who must find all that is left, and with an exact count of free places. The last part holds broken variants
//! that these models must catch.
#![cfg(ringfence_loom)]

mod mortals;

use std::collections::BTreeMap;
use std::sync::atomic::Ordering::SeqCst;

use loom::sync::Arc;
use loom::thread;
use mortals::{FOREVER, Mortals, NOW, at_every_step, explore, must_fail, owner};
use ringfence::layout::work_queue::{Geometry, WorkQueueHeader};
use ringfence::primitive::{AtomicU64, Ordering};
use ringfence::raw::work_queue::{Lease, LeaseFailure, PushFailure, TakeFailure, WorkQueue};
use ringfence::raw::{Owner, ParticipantId};
use ringfence::sys::nap::Wait;

/// Two words: a torn message shows.
const LONGEST: usize = 9;

struct World {
    header: WorkQueueHeader,
    words: Vec<AtomicU64>,
    peers: Mortals,
}

impl World {
    fn with_limit(places: u64, limit: u32) -> Arc<Self> {
        let geometry = Geometry::new(places, LONGEST as u64).unwrap();
        Arc::new(Self {
            header: WorkQueueHeader::new(geometry, limit),
            words: (0..geometry.words()).map(|_| AtomicU64::new(0)).collect(),
            peers: Mortals::new(),
        })
    }

    fn new(places: u64) -> Arc<Self> {
        Self::with_limit(places, 0)
    }

    /// With messages 10, 11, ...
    fn holding(places: u64, messages: u8) -> Arc<Self> {
        let world = Self::new(places);
        (10..10 + messages).for_each(|value| world.push(4, value, NOW).unwrap());
        world
    }

    fn queue(&self) -> WorkQueue<'_> {
        WorkQueue::attach(&self.header, &self.words).unwrap()
    }

    fn push(&self, me: ParticipantId, value: u8, wait: Wait) -> Result<(), PushFailure> {
        self.queue().push(owner(me), &[value; LONGEST], &self.peers, wait)
    }

    fn take_as(&self, me: Owner, wait: Wait) -> Result<(u8, Lease), TakeFailure> {
        let lease = self.queue().take(me, &self.peers, wait)?;
        let mut message = [0; LONGEST];
        assert_eq!(self.queue().read(lease, &mut message), Ok(LONGEST));
        assert!(message.iter().all(|byte| *byte == message[0]), "torn: {message:?}");
        Ok((message[0], lease))
    }

    fn take(&self, me: ParticipantId, wait: Wait) -> Result<(u8, Lease), TakeFailure> {
        self.take_as(owner(me), wait)
    }

    fn done(&self, lease: Lease) -> Result<(), LeaseFailure> {
        self.queue().done(lease)
    }

    /// Takes one message and reports it done.
    fn work(&self, me: ParticipantId, wait: Wait) -> Result<u8, TakeFailure> {
        let (value, lease) = self.take(me, wait)?;
        self.done(lease).unwrap();
        Ok(value)
    }

    fn join(&self, me: ParticipantId) {
        self.queue().join(owner(me), &self.peers, FOREVER).unwrap();
    }

    fn recover(&self, dead: ParticipantId) {
        self.queue().recover(dead, &self.peers);
    }

    /// What a fresh consumer finds, with how often it was delivered.
    fn drain(&self) -> BTreeMap<u8, u32> {
        let mut found = BTreeMap::new();
        loop {
            match self.take(4, NOW) {
                Ok((value, lease)) => {
                    assert!(found.insert(value, lease.deliveries()).is_none(), "doubled: {value}");
                    self.done(lease).unwrap();
                }
                Err(TakeFailure::Empty | TakeFailure::Closed) => return found,
                Err(other) => panic!("a fresh consumer met {other:?} after {found:?}"),
            }
        }
    }

    /// Ends a model: nothing is left, and there is room for exactly as much as the queue was made for.
    fn settle(&self) {
        assert_eq!(self.drain(), BTreeMap::new(), "left behind");
        assert!(self.queue().is_all_done());
        if !self.queue().is_shut_down() {
            let places = self.queue().geometry().places();
            (0..places).for_each(|_| self.push(4, 99, NOW).unwrap());
            assert_eq!(self.push(4, 99, NOW), Err(PushFailure::Full));
        }
    }
}

fn sorted(mut values: Vec<u8>) -> Vec<u8> {
    values.sort_unstable();
    values
}

#[test]
fn two_producers_one_consumer() {
    for places in [2, 3] {
        explore(2, move || {
            let world = World::new(places);
            let producers = [20, 21].map(|value| {
                let world = world.clone();
                thread::spawn(move || world.push(ParticipantId::from(value - 19), value, NOW).unwrap())
            });
            let got = [world.work(3, FOREVER).unwrap(), world.work(3, FOREVER).unwrap()];
            producers.into_iter().for_each(|producer| producer.join().unwrap());
            assert_eq!(sorted(got.to_vec()), [20, 21]);
            world.settle();
        });
    }
}

#[test]
fn two_consumers_one_producer() {
    explore(2, || {
        let world = World::holding(2, 1);
        let consumers = [1, 2].map(|me| {
            let world = world.clone();
            thread::spawn(move || world.work(me, FOREVER).unwrap())
        });
        world.push(3, 20, NOW).unwrap();
        let got = sorted(consumers.map(|consumer| consumer.join().unwrap()).to_vec());
        assert_eq!(got, [10, 20]);
        world.settle();
    });
}

#[test]
fn a_blocked_producer_and_a_consumer() {
    for places in [1, 2] {
        explore(2, move || {
            let world = World::holding(places, places as u8);
            let producer = thread::spawn({
                let world = world.clone();
                move || world.push(1, 20, FOREVER).unwrap()
            });
            let mut got: Vec<u8> = (0..=places).map(|_| world.work(2, FOREVER).unwrap()).collect();
            producer.join().unwrap();
            assert_eq!(got.pop(), Some(20));
            assert!(got.into_iter().eq(10..10 + places as u8));
            world.settle();
        });
    }
}

/// A message goes back while others come and sleep.
#[test]
fn a_failed_message_reaches_the_sleeper() {
    explore(2, || {
        let world = World::holding(2, 1);
        let (_, lease) = world.take(1, NOW).unwrap();
        let consumer = thread::spawn({
            let world = world.clone();
            move || world.take(2, FOREVER).unwrap()
        });
        world.queue().fail(lease).unwrap();
        let (value, again) = consumer.join().unwrap();
        assert_eq!((value, again.deliveries()), (10, 2));
        assert_eq!(world.done(lease), Err(LeaseFailure::NotLeased));
        world.done(again).unwrap();
        assert_eq!(world.done(again), Err(LeaseFailure::NotLeased));
        world.settle();
    });
}

/// Two failed messages and two who look for them: one looks on where the other has begun.
#[test]
fn two_look_for_what_came_back() {
    explore(1, || {
        let world = World::holding(2, 2);
        let leases = [world.take(1, NOW).unwrap().1, world.take(1, NOW).unwrap().1];
        let consumers = [2, 3].map(|me| {
            let world = world.clone();
            thread::spawn(move || world.work(me, FOREVER).unwrap())
        });
        leases.into_iter().for_each(|lease| world.queue().fail(lease).unwrap());
        assert_eq!(sorted(consumers.map(|consumer| consumer.join().unwrap()).to_vec()), [10, 11]);
        world.settle();
    });
}

/// A producer dies anywhere; a sleeper, a joiner and another producer go on.
#[test]
fn a_producer_dies_at_every_step() {
    for (places, held) in [(1, 0), (2, 1)] {
        at_every_step(1, move |step, deaths| {
            let world = World::holding(places, held);
            let consumer = thread::spawn({
                let world = world.clone();
                move || world.work(2, FOREVER).unwrap()
            });
            let pushed = world.peers.live(1, step, || world.push(1, 20, NOW).unwrap());
            if pushed.is_none() {
                deaths.fetch_add(1, SeqCst);
                world.recover(1);
                world.push(3, 21, FOREVER).unwrap();
            }
            let first = consumer.join().unwrap();
            let mut all = vec![first];
            all.extend(world.drain().into_keys());
            all.retain(|value| *value != 20);
            let certain: Vec<u8> = (10..10 + held).chain(pushed.is_none().then_some(21)).collect();
            assert_eq!(sorted(all), certain);
            assert!(held == 0 || first == 10, "order");
            world.settle();
        });
    }
}

/// A consumer dies anywhere between taking and having reported; what it had reaches one who sleeps.
#[test]
fn a_consumer_dies_at_every_step() {
    at_every_step(1, |step, deaths| {
        let world = World::holding(1, 1);
        let joiner = thread::spawn({
            let world = world.clone();
            move || world.join(3)
        });
        let outcome = world.peers.live(1, step, || world.work(1, NOW));
        if outcome.is_none() {
            deaths.fetch_add(1, SeqCst);
            world.recover(1);
        }
        // It came back, or it was done.
        let found = world.drain();
        match outcome {
            Some(done) => assert_eq!((done, found.len()), (Ok(10), 0)),
            None => assert!(found.is_empty() || found.get(&10).is_some_and(|deliveries| *deliveries <= 2)),
        }
        joiner.join().unwrap();
        world.settle();
    });
}

/// The same, found by a sleeper that was asleep before.
#[test]
fn a_sleeper_outlives_a_consumer() {
    at_every_step(2, |step, deaths| {
        let world = World::holding(2, 1);
        let sleeper = thread::spawn({
            let world = world.clone();
            move || world.work(2, FOREVER).unwrap()
        });
        let outcome = world.peers.live(1, step, || world.work(1, NOW));
        let mut expected = vec![10];
        match outcome {
            None => {
                deaths.fetch_add(1, SeqCst);
                world.recover(1);
            }
            Some(Ok(value)) => assert_eq!(value, 10),
            Some(Err(failure)) => assert_eq!(failure, TakeFailure::Empty),
        }
        // The sleeper has it, or gets this.
        world.push(3, 20, NOW).unwrap();
        expected.push(20);
        let mut got = vec![sleeper.join().unwrap()];
        got.extend(world.drain().into_keys());
        got.extend(outcome.and_then(Result::ok));
        let got = sorted(got);
        // A death right after it was reported leaves nothing of it.
        assert!(got == expected || outcome.is_none() && got == [20], "{got:?}");
        world.settle();
    });
}

/// A consumer dies while it gives a message back; nobody but the recoverer and a sleeper is there.
#[test]
fn one_who_fails_dies_at_every_step() {
    at_every_step(2, |step, deaths| {
        let world = World::holding(2, 1);
        let (_, lease) = world.take(1, NOW).unwrap();
        let sleeper = thread::spawn({
            let world = world.clone();
            move || world.take(2, FOREVER).unwrap()
        });
        if world.peers.live(1, step, || world.queue().fail(lease).unwrap()).is_none() {
            deaths.fetch_add(1, SeqCst);
            world.recover(1);
        }
        let (value, lease) = sleeper.join().unwrap();
        assert_eq!((value, lease.deliveries()), (10, 2));
        world.done(lease).unwrap();
        world.settle();
    });
}

/// Who looks for what came back dies anywhere; another is asleep, and there are two to be had.
#[test]
fn one_who_looks_dies_at_every_step() {
    at_every_step(1, |step, deaths| {
        let world = World::holding(2, 2);
        for _ in 0..2 {
            let (_, lease) = world.take(1, NOW).unwrap();
            assert!(lease.deliveries() == 1);
            let _ = lease;
        }
        let sleeper = thread::spawn({
            let world = world.clone();
            move || world.work(2, FOREVER).unwrap()
        });
        // The first of the dead.
        world.peers.live(1, 0, || world.queue().is_shut_down());
        let taken = world.peers.live(3, step, || {
            world.recover(1);
            world.take(3, NOW).map(|(value, _)| value)
        });
        if taken.is_none() {
            deaths.fetch_add(1, SeqCst);
        } else {
            world.peers.live(3, 0, || world.queue().is_shut_down());
        }
        world.recover(3);
        world.recover(1);
        let mut got = vec![sleeper.join().unwrap()];
        got.extend(world.drain().into_keys());
        assert_eq!(sorted(got), [10, 11]);
        world.settle();
    });
}

/// Two recover at once, while a successor of the dead takes the message.
#[test]
fn two_recoverers_and_a_successor() {
    explore(3, || {
        let world = World::holding(1, 1);
        let (_, lease) = world.take(1, NOW).unwrap();
        world.peers.live(1, 0, || world.queue().is_shut_down());
        let slow = thread::spawn({
            let world = world.clone();
            move || world.queue().recover(1, &world.peers)
        });
        let mut returned = world.queue().recover(1, &world.peers);
        let me = world.peers.successor(1);
        let taken = world.take_as(me, NOW);
        returned += slow.join().unwrap();
        assert_eq!(returned, 1, "given back twice");
        assert_eq!(world.done(lease), Err(LeaseFailure::NotLeased));
        let (value, again) = taken.unwrap();
        assert_eq!((value, again.deliveries()), (10, 2));
        assert_eq!(world.done(again), Ok(()), "the slow recoverer took it from a living one");
        world.settle();
    });
}

/// A message that makes another before it is done: there is no moment without work.
fn work_makes_work(is_all_done: fn(&World) -> bool) {
    explore(3, move || {
        // In the second place: the next goes to the first, which whoever looks has passed by then.
        let world = World::holding(2, 1);
        world.work(4, NOW).unwrap();
        world.push(4, 11, NOW).unwrap();
        let (_, lease) = world.take(1, NOW).unwrap();
        assert_eq!(lease.place, 1);
        let worker = thread::spawn({
            let world = world.clone();
            move || {
                world.push(1, 20, NOW).unwrap();
                world.done(lease).unwrap();
            }
        });
        assert!(!is_all_done(&world), "fooled");
        worker.join().unwrap();
        assert_eq!(world.drain().into_keys().collect::<Vec<_>>(), [20]);
        world.settle();
    });
}

#[test]
fn join_is_not_fooled() {
    work_makes_work(|world| world.queue().is_all_done());
}

/// Two finish at once: one of them wakes the joiner.
#[test]
fn two_finish_at_once() {
    explore(2, || {
        let world = World::holding(2, 2);
        let leases = [world.take(1, NOW).unwrap().1, world.take(2, NOW).unwrap().1];
        let joiner = thread::spawn({
            let world = world.clone();
            move || world.join(3)
        });
        let finishers = leases.map(|lease| {
            let world = world.clone();
            thread::spawn(move || world.done(lease).unwrap())
        });
        finishers.into_iter().for_each(|finisher| finisher.join().unwrap());
        joiner.join().unwrap();
    });
}

/// What is pushed before the end is delivered before the end, and everybody learns of the end.
#[test]
fn shutdown_races_push_and_take() {
    explore(2, || {
        let world = World::new(1);
        let producer = thread::spawn({
            let world = world.clone();
            move || world.push(1, 20, FOREVER)
        });
        let closer = thread::spawn({
            let world = world.clone();
            move || world.queue().shutdown()
        });
        let mut got = Vec::new();
        let end = loop {
            match world.work(3, FOREVER) {
                Ok(value) => got.push(value),
                Err(failure) => break failure,
            }
        };
        assert_eq!(end, TakeFailure::Closed);
        closer.join().unwrap();
        match producer.join().unwrap() {
            Ok(()) => assert_eq!(got, [20]),
            Err(failure) => assert_eq!((failure, got.len()), (PushFailure::Closed, 0)),
        }
        assert_eq!(world.push(1, 21, NOW), Err(PushFailure::Closed));
        world.settle();
    });
}

/// At the end of a queue that is shut down a consumer waits for what another has, who dies anywhere.
#[test]
fn the_end_waits_for_the_last_lease() {
    for limit in [0, 1] {
        at_every_step(2, move |step, deaths| {
            let world = World::with_limit(1, limit);
            world.push(4, 10, NOW).unwrap();
            let (_, lease) = world.take(1, NOW).unwrap();
            world.queue().shutdown();
            let waiter = thread::spawn({
                let world = world.clone();
                move || world.work(2, FOREVER)
            });
            if world.peers.live(1, step, || world.done(lease).unwrap()).is_none() {
                deaths.fetch_add(1, SeqCst);
                world.recover(1);
                let end = waiter.join().unwrap();
                // Done, or back, or a dead letter.
                assert!(end == Err(TakeFailure::Closed) || limit == 0 && end == Ok(10), "{end:?}");
            } else {
                assert_eq!(waiter.join().unwrap(), Err(TakeFailure::Closed));
            }
            assert!(world.queue().is_all_done());
        });
    }
}

/// The closer dies anywhere; a blocked producer learns of the end.
#[test]
fn a_closer_dies_at_every_step() {
    at_every_step(2, |step, deaths| {
        let world = World::holding(1, 1);
        let producer = thread::spawn({
            let world = world.clone();
            move || world.push(1, 20, FOREVER)
        });
        if world.peers.live(2, step, || world.queue().shutdown()).is_none() {
            deaths.fetch_add(1, SeqCst);
            world.recover(2);
            if !world.queue().is_shut_down() {
                world.queue().shutdown();
            }
        }
        assert_eq!(producer.join().unwrap(), Err(PushFailure::Closed));
        assert_eq!(world.drain().into_keys().collect::<Vec<_>>(), [10]);
        world.settle();
    });
}

/// A message that was delivered as often as it may be is set aside: for a joiner that is an end.
#[test]
fn a_dead_letter_ends_the_work() {
    at_every_step(2, |step, deaths| {
        let world = World::with_limit(1, 1);
        world.push(4, 10, NOW).unwrap();
        let joiner = thread::spawn({
            let world = world.clone();
            move || world.join(3)
        });
        let outcome = world.peers.live(1, step, || {
            let (_, lease) = world.take(1, NOW).unwrap();
            world.queue().fail(lease).unwrap();
        });
        if outcome.is_none() {
            deaths.fetch_add(1, SeqCst);
            world.recover(1);
        }
        // Killed before it took it.
        if world.drain().is_empty() {
            assert_eq!(world.push(4, 20, NOW), Err(PushFailure::DeadLetters));
            let letter = world.queue().take_dead(owner(2), &world.peers).unwrap();
            world.queue().fail(letter).unwrap();
            let letter = world.queue().take_dead(owner(2), &world.peers).unwrap();
            world.done(letter).unwrap();
        }
        joiner.join().unwrap();
        world.settle();
    });
}

/// What a process keeps it finishes once, whichever of its threads say so.
#[test]
fn what_is_kept_is_finished_once() {
    explore(2, || {
        let world = World::holding(2, 2);
        for _ in 0..2 {
            let (_, lease) = world.take(1, NOW).unwrap();
            world.queue().keep(lease).unwrap();
            assert_eq!(world.done(lease), Err(LeaseFailure::NotLeased));
        }
        let others = [(); 2].map(|()| {
            let world = world.clone();
            thread::spawn(move || world.queue().done_any(owner(1), 1).is_ok())
        });
        let mine = world.queue().done_any(owner(1), 0).is_ok();
        let done = others.map(|other| other.join().unwrap()).into_iter().chain([mine]).filter(|done| *done).count();
        assert_eq!(done, 2);
        world.settle();
    });
}

/// Broken on purpose: the models above must find it.
mod negative {
    use super::*;

    #[test]
    fn they_are_found() {
        must_fail("negative::one_look_for_the_end", "fooled");
        must_fail("negative::a_recovery_that_stores", "from a living one");
    }

    #[test]
    #[ignore = "fails on purpose"]
    fn one_look_for_the_end() {
        work_makes_work(|world| {
            let count = world.queue().count();
            count.waiting + count.leased == 0
        });
    }

    /// Gives back by a store what it saw leased by the dead.
    #[test]
    #[ignore = "fails on purpose"]
    fn a_recovery_that_stores() {
        explore(3, || {
            let world = World::holding(1, 1);
            let (_, lease) = world.take(1, NOW).unwrap();
            world.peers.live(1, 0, || world.queue().is_shut_down());
            let slow = thread::spawn({
                let world = world.clone();
                move || {
                    let word = &world.words[1];
                    if word.load(Ordering::Acquire) == lease.word {
                        // Ready, delivered once, of the next generation.
                        word.store((lease.word & !0xffff) + (1 << 32) | 2 << 13, Ordering::Release);
                    }
                }
            });
            world.recover(1);
            let me = world.peers.successor(1);
            let taken = world.take_as(me, NOW);
            slow.join().unwrap();
            if let Ok((_, again)) = taken {
                assert_eq!(world.done(again), Ok(()), "taken from a living one");
            }
        });
    }
}
