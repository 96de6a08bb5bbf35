//! Models of the shipped work queue in which somebody is killed, at whatever atomic step: what it had is delivered again,
//! nothing is lost or stays behind, and nobody sleeps on. The other models are in `work_queue.rs`.
#![cfg(ringfence_loom)]

mod mortals;
mod works;

use std::sync::atomic::Ordering::SeqCst;

use loom::thread;
use mortals::{FOREVER, NOW, at_every_step, owner};
use ringfence::raw::work_queue::{PushFailure, TakeFailure};
use works::{World, sorted};

/// What is left of a producer that died anywhere does not make a wait for room, or for a message, end for nothing.
#[test]
fn ready_is_what_a_try_would_find() {
    for held in [0, 1] {
        at_every_step(0, move |step, deaths| {
            let world = World::holding(2, held);
            if world.peers.live(1, step, || world.push(1, 20, NOW).unwrap()).is_none() {
                deaths.fetch_add(1, SeqCst);
            }
            world.recover(1);
            loop {
                assert_eq!(world.queue().can_take(&world.peers), !matches!(world.queue().count().waiting, 0));
                let room = world.queue().can_push(&world.peers);
                assert_eq!(room, world.push(3, 30, NOW) != Err(PushFailure::Full));
                if !room {
                    break;
                }
            }
        });
    }
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
    at_every_step(1, |step, deaths| {
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
        let world = World::of_the_dead(2);
        world.recover(1);
        let sleeper = thread::spawn({
            let world = world.clone();
            move || world.work(2, FOREVER).unwrap()
        });
        let taken = world.peers.live(3, step, || world.take(3, NOW).map(|(value, lease)| (value, world.done(lease))));
        let mut got = Vec::new();
        match taken {
            Some(Ok((value, done))) => got.extend(done.map(|()| value)),
            Some(Err(failure)) => panic!("{failure:?}"),
            None => {
                deaths.fetch_add(1, SeqCst);
                world.recover(3);
            }
        }
        got.push(sleeper.join().unwrap());
        got.extend(world.drain().into_keys());
        let got = sorted(got);
        // A death right after it was reported leaves nothing of one.
        assert!(got == [10, 11] || taken.is_none() && got.len() == 1, "{got:?}");
        world.settle();
    });
}

/// Who recovers dies anywhere; another is asleep.
#[test]
fn a_recoverer_dies_at_every_step() {
    at_every_step(2, |step, deaths| {
        let world = World::of_the_dead(1);
        let sleeper = thread::spawn({
            let world = world.clone();
            move || world.take(2, FOREVER).unwrap()
        });
        if world.peers.live(3, step, || world.recover(1)).is_none() {
            deaths.fetch_add(1, SeqCst);
            world.recover(3);
            world.recover(1);
        }
        let (value, lease) = sleeper.join().unwrap();
        assert_eq!((value, lease.deliveries()), (10, 2));
        world.done(lease).unwrap();
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
    at_every_step(1, |step, deaths| {
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
