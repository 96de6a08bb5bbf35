//! Models of the shipped work queue: each message is delivered until it is done, and the end of all work is seen when it
//! has come and not before. `work_queue_deaths.rs` has the models in which somebody is killed at every step.
//!
//! Sleeps are not capped in a model, so a lost wake-up is a deadlock, which loom reports. Every model ends with a fresh
//! consumer, who must find all that is left, and with an exact count of free places. The last part holds broken variants
//! that these models must catch.
#![cfg(ringfence_loom)]

mod mortals;
mod works;

use loom::thread;
use mortals::{FOREVER, NOW, explore, must_fail, owner};
use ringfence::primitive::Ordering;
use ringfence::raw::ParticipantId;
use ringfence::raw::work_queue::{LeaseFailure, PushFailure, TakeFailure};
use works::{World, sorted};

#[test]
fn two_producers_one_consumer() {
    for places in [2, 3] {
        explore(1, move || {
            let world = World::new(places);
            let producers = [20, 21].map(|value| {
                let world = world.clone();
                thread::spawn(move || world.push(ParticipantId::from(value - 19), value, NOW).unwrap())
            });
            let mut got = vec![world.work(3, FOREVER).unwrap()];
            producers.into_iter().for_each(|producer| producer.join().unwrap());
            got.extend(world.drain().into_keys());
            assert_eq!(sorted(got), [20, 21]);
            world.settle();
        });
    }
}

#[test]
fn two_consumers_one_producer() {
    explore(1, || {
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
            assert_eq!(world.work(2, FOREVER), Ok(10));
            producer.join().unwrap();
            let left: Vec<u8> = world.drain().into_keys().collect();
            assert!(left.into_iter().eq((11..10 + places as u8).chain([20])));
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

/// Two messages that came back and two who look for them: one looks on where the other has begun.
#[test]
fn two_look_for_what_came_back() {
    explore(2, || {
        let world = World::holding(2, 2);
        let leases = [world.take(1, NOW).unwrap().1, world.take(1, NOW).unwrap().1];
        leases.into_iter().for_each(|lease| world.queue().fail(lease).unwrap());
        let other = thread::spawn({
            let world = world.clone();
            move || world.work(2, FOREVER).unwrap()
        });
        let mine = world.work(3, FOREVER).unwrap();
        assert_eq!(sorted(vec![mine, other.join().unwrap()]), [10, 11]);
        world.settle();
    });
}

/// One message that came back and two who look for it.
#[test]
fn one_of_two_gets_what_came_back() {
    explore(3, || {
        let world = World::holding(1, 1);
        let (_, lease) = world.take(1, NOW).unwrap();
        world.queue().fail(lease).unwrap();
        let other = thread::spawn({
            let world = world.clone();
            move || world.take(2, NOW)
        });
        let mine = world.take(3, NOW);
        let got: Vec<_> = [mine, other.join().unwrap()].into_iter().flatten().collect();
        assert_eq!(got.len(), 1, "taken by both, or by nobody");
        assert_eq!(world.done(got[0].1), Ok(()));
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
        let [mine, other] = [1, 2].map(|me| world.take(me, NOW).unwrap().1);
        let joiner = thread::spawn({
            let world = world.clone();
            move || world.join(3)
        });
        let finisher = thread::spawn({
            let world = world.clone();
            move || world.done(other).unwrap()
        });
        world.done(mine).unwrap();
        finisher.join().unwrap();
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
                        word.store(((lease.word & !0xffff) + (1 << 32)) | (2 << 13), Ordering::Release);
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
