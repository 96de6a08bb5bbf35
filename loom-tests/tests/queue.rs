//! Models of the shipped queue: nothing lost, doubled, torn or hidden, whoever dies at whatever atomic step.
//!
//! Sleeps are not capped in a model, so a lost wake-up is a deadlock, which loom reports. Every model ends with a fresh
//! consumer, who must find all that is left, and with an exact count of free slots. The last part holds broken variants
//! that these models must catch.
#![cfg(ringfence_loom)]

mod mortals;

use std::cell::Cell;
use std::sync::atomic::Ordering::SeqCst;

use loom::sync::Arc;
use loom::thread;
use mortals::{FOREVER, Mortals, NOW, at_every_step, explore, must_fail, owner};
use ringfence::layout::queue::{Geometry, QueueHeader};
use ringfence::primitive::{AtomicU64, Ordering};
use ringfence::raw::backoff::Backoff;
use ringfence::raw::queue::{PopFailure, PushFailure, Queue};
use ringfence::raw::{ParticipantId, words};
use ringfence::sys::nap::Wait;

/// Two words and a bit: a torn copy shows.
const ITEM: usize = 17;

struct World {
    header: QueueHeader,
    slots: Vec<AtomicU64>,
    peers: Mortals,
}

impl World {
    fn new(capacity: u64) -> Arc<Self> {
        let geometry = Geometry::new(capacity, ITEM as u64).unwrap();
        Arc::new(Self {
            header: QueueHeader::new(geometry),
            slots: (0..geometry.words()).map(|_| AtomicU64::new(0)).collect(),
            peers: Mortals::new(),
        })
    }

    /// With messages 10, 11, ...
    fn holding(capacity: u64, messages: u8) -> Arc<Self> {
        let world = Self::new(capacity);
        for value in 10..10 + messages {
            world.push(4, value, NOW).unwrap();
        }
        world
    }

    fn queue(&self) -> Queue<'_> {
        Queue::attach(&self.header, &self.slots).unwrap()
    }

    fn push(&self, me: ParticipantId, value: u8, wait: Wait) -> Result<(), PushFailure> {
        self.queue().push(owner(me), &[value; ITEM], &self.peers, wait)
    }

    fn push_many(&self, me: ParticipantId, values: &[u8], wait: Wait) -> Result<usize, PushFailure> {
        let write = |nth: usize, data: &[AtomicU64]| words::store(data, &[values[nth]; ITEM]);
        self.queue().push_many(owner(me), values.len(), &self.peers, wait, |_| Backoff::new(), write)
    }

    /// Pops up to `most` messages into `got`, one by one.
    fn pop_many(&self, most: usize, got: &mut Vec<u8>, wait: Wait) -> Result<usize, PopFailure> {
        let mut item = [0; ITEM];
        self.queue().pop_many(
            most,
            &mut item,
            &self.peers,
            wait,
            |_| Backoff::new(),
            |nth, item| {
                assert!(item.iter().all(|byte| *byte == item[0]), "torn: {item:?}");
                assert!(nth < most);
                got.push(item[0]);
            },
        )
    }

    fn pop(&self, wait: Wait) -> Result<u8, PopFailure> {
        let mut item = [0; ITEM];
        self.queue().pop(&mut item, &self.peers, wait)?;
        assert!(item.iter().all(|byte| *byte == item[0]), "torn: {item:?}");
        Ok(item[0])
    }

    fn recover(&self, dead: ParticipantId) {
        self.queue().recover(dead, &self.peers);
    }

    /// What a fresh consumer finds.
    fn drain(&self, pop: impl Fn(&Self) -> Result<u8, PopFailure>) -> Vec<u8> {
        let mut found = Vec::new();
        loop {
            match pop(self) {
                Ok(value) => found.push(value),
                Err(PopFailure::Empty | PopFailure::Closed) => return found,
                Err(other) => panic!("a fresh consumer met {other:?} after {found:?}"),
            }
        }
    }

    /// Ends a model: `got` so far and what is left must be `sent` in this order, but for `maybe`, which may be missing.
    fn settle(&self, mut got: Vec<u8>, sent: &[u8], maybe: Option<u8>) {
        got.extend(self.drain(|world| world.pop(NOW)));
        let certain = |value: &&u8| Some(**value) != maybe;
        assert!(got.iter().filter(certain).eq(sent.iter().filter(certain)), "got {got:?}, sent {sent:?}");
        assert!(got.iter().filter(|value| Some(**value) == maybe).count() <= 1, "doubled: {got:?}");
        if !self.queue().is_shut_down() {
            assert_eq!(self.queue().len(), 0);
            let capacity = self.queue().geometry().capacity();
            for _ in 0..capacity {
                self.push(4, 99, NOW).unwrap();
            }
            assert_eq!(self.push(4, 99, NOW), Err(PushFailure::Full));
            assert_eq!(self.queue().len(), capacity);
        }
    }
}

fn sorted(mut values: Vec<u8>) -> Vec<u8> {
    values.sort_unstable();
    values
}

#[test]
fn two_producers_one_consumer() {
    for capacity in [2, 3] {
        explore(2, move || {
            let world = World::new(capacity);
            let producers = [20, 21].map(|value| {
                let world = world.clone();
                thread::spawn(move || world.push(ParticipantId::from(value - 19), value, NOW).unwrap())
            });
            let got = vec![world.pop(FOREVER).unwrap()];
            for producer in producers {
                producer.join().unwrap();
            }
            let got = sorted(got.into_iter().chain(world.drain(|world| world.pop(NOW))).collect());
            world.settle(got, &[20, 21], None);
        });
    }
}

#[test]
fn a_blocked_producer_and_a_consumer() {
    for capacity in [1, 2] {
        explore(3, move || {
            let world = World::holding(capacity, capacity as u8);
            let producer = thread::spawn({
                let world = world.clone();
                move || world.push(1, 20, FOREVER).unwrap()
            });
            let got = vec![world.pop(FOREVER).unwrap()];
            producer.join().unwrap();
            let sent: Vec<u8> = (10..10 + capacity as u8).chain([20]).collect();
            world.settle(got, &sent, None);
        });
    }
}

#[test]
fn two_consumers_one_producer() {
    explore(2, || {
        let world = World::holding(2, 1);
        let consumers = [(); 2].map(|()| {
            let world = world.clone();
            thread::spawn(move || world.pop(FOREVER).unwrap())
        });
        world.push(1, 20, NOW).unwrap();
        let got = sorted(consumers.map(|consumer| consumer.join().unwrap()).to_vec());
        world.settle(got, &[10, 20], None);
    });
}

/// Pop x push x recover: a producer dies anywhere, a bystander recovers, another producer and a consumer go on.
#[test]
fn a_producer_dies_at_every_step() {
    for (capacity, held) in [(1, 0), (2, 1), (3, 1)] {
        at_every_step(2, move |step, deaths| {
            let world = World::holding(capacity, held);
            let victim = thread::spawn({
                let world = world.clone();
                move || {
                    let outcome = world.peers.live(1, step, || world.push(1, 20, NOW));
                    if outcome.is_none() {
                        world.recover(1);
                    }
                    outcome
                }
            });
            let producer = thread::spawn({
                let world = world.clone();
                move || world.push(2, 21, NOW)
            });
            let first = world.pop(NOW);
            let victim = victim.join().unwrap();
            let second = producer.join().unwrap();
            let mut got = Vec::new();
            match first {
                Ok(value) => got.push(value),
                Err(failure) => assert!(matches!(failure, PopFailure::Empty | PopFailure::Busy), "{failure:?}"),
            }
            if victim.is_none() {
                deaths.fetch_add(1, SeqCst);
            }
            got.extend(world.drain(|world| world.pop(NOW)));
            let mut sent: Vec<u8> = (10..10 + held).collect();
            assert!(got.starts_with(&sent), "order: {got:?}");
            if victim == Some(Ok(())) || victim.is_none() && got.contains(&20) {
                sent.push(20);
            }
            if second.is_ok() {
                sent.push(21);
            }
            world.settle(sorted(got), &sent, None);
        });
    }
}

/// A consumer waits, for ever, while a producer dies anywhere; another producer comes after the recovery.
#[test]
fn a_blocked_consumer_outlives_a_producer() {
    for capacity in [1, 2] {
        at_every_step(2, move |step, deaths| {
            let world = World::new(capacity);
            let consumer = thread::spawn({
                let world = world.clone();
                move || world.pop(FOREVER).unwrap()
            });
            let mut sent = vec![20];
            if world.peers.live(1, step, || world.push(1, 20, NOW).unwrap()).is_none() {
                deaths.fetch_add(1, SeqCst);
                world.recover(1);
                world.push(2, 21, FOREVER).unwrap();
                sent.push(21);
            }
            let got = vec![consumer.join().unwrap()];
            world.settle(got, &sent, (sent.len() == 2).then_some(20));
        });
    }
}

/// As before with the message published and nobody to come: what the victim completed must reach the sleeper.
#[test]
fn a_published_message_reaches_the_sleeper() {
    reaches_the_sleeper(1, |world| world.push(1, 20, NOW).unwrap());
}

/// Message 20, which producer 1 pushes, perhaps with others, into a queue of this capacity.
fn reaches_the_sleeper(capacity: u64, push: fn(&World)) {
    at_every_step(2, move |step, deaths| {
        let world = World::new(capacity);
        let consumer = thread::spawn({
            let world = world.clone();
            move || world.pop(FOREVER).unwrap()
        });
        // Full, or already of the next lap: nobody voids the slot before the death is known.
        let published = Cell::new(true);
        let autopsy = || published.set(world.slots[0].observe(Ordering::SeqCst) >= 2 << 13);
        if world.peers.live_and(1, step, || push(&world), autopsy).is_none() {
            deaths.fetch_add(1, SeqCst);
            world.recover(1);
        }
        if !published.get() {
            world.push(2, 20, FOREVER).unwrap();
        }
        assert_eq!(consumer.join().unwrap(), 20);
    });
}

/// A producer waits, for ever, for a slot of a full queue, while a consumer dies anywhere.
#[test]
fn a_blocked_producer_outlives_a_consumer() {
    for capacity in [1, 2] {
        at_every_step(2, move |step, deaths| {
            let world = World::holding(capacity, capacity as u8);
            let producer = thread::spawn({
                let world = world.clone();
                move || world.push(1, 20, FOREVER).unwrap()
            });
            let mut got = Vec::new();
            match world.peers.live(2, step, || world.pop(FOREVER).unwrap()) {
                Some(value) => got.push(value),
                None => {
                    deaths.fetch_add(1, SeqCst);
                    world.recover(2);
                }
            }
            let died = got.is_empty();
            while got.last() != Some(&20) {
                got.push(world.pop(FOREVER).unwrap());
            }
            producer.join().unwrap();
            let sent: Vec<u8> = (10..10 + capacity as u8).chain([20]).collect();
            world.settle(got, &sent, died.then_some(10));
        });
    }
}

/// A recoverer dies anywhere in its work; another one finishes it.
#[test]
fn a_recoverer_dies_at_every_step() {
    for claim in [3, 4, 6] {
        at_every_step(2, move |step, deaths| {
            let world = World::new(2);
            assert!(world.peers.live(1, claim, || world.push(1, 20, NOW)).is_none());
            let consumer = thread::spawn({
                let world = world.clone();
                move || world.pop(FOREVER).unwrap()
            });
            world.push(2, 21, NOW).unwrap();
            if world.peers.live(3, step, || world.recover(1)).is_none() {
                deaths.fetch_add(1, SeqCst);
                world.recover(3);
                world.recover(1);
            }
            let got = vec![consumer.join().unwrap()];
            world.settle(got, &[21], None);
        });
    }
}

/// Two bystanders recover at once while another producer comes round to the dead one's slot.
#[test]
fn two_recoverers_at_once() {
    for claim in [3, 5] {
        explore(2, move || {
            let world = World::new(1);
            assert!(world.peers.live(1, claim, || world.push(1, 20, NOW)).is_none());
            let recoverers = [(); 2].map(|()| {
                let world = world.clone();
                thread::spawn(move || world.queue().recover(1, &world.peers))
            });
            world.push(2, 21, FOREVER).unwrap();
            let voided: u64 = recoverers.map(|recoverer| recoverer.join().unwrap()).iter().sum();
            assert!(voided <= 1, "voided twice");
            world.settle(vec![], &[21], None);
        });
    }
}

/// What is pushed before the end is popped before the end, and everybody learns of the end.
#[test]
fn shutdown_races_push_and_pop() {
    for capacity in [1, 2] {
        explore(2, move || {
            let world = World::new(capacity);
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
                match world.pop(FOREVER) {
                    Ok(value) => got.push(value),
                    Err(failure) => break failure,
                }
            };
            assert_eq!(end, PopFailure::Closed);
            closer.join().unwrap();
            match producer.join().unwrap() {
                Ok(()) => assert_eq!(got, [20]),
                Err(failure) => {
                    assert_eq!(failure, PushFailure::Closed);
                    assert_eq!(got, []);
                }
            }
            assert_eq!(world.push(1, 21, NOW), Err(PushFailure::Closed));
            assert_eq!(world.pop(NOW), Err(PopFailure::Closed));
        });
    }
}

/// Producers blocked by a full queue learn of the end; the closer dies anywhere.
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
        assert_eq!(world.drain(|world| world.pop(NOW)), [10]);
    });
}

/// A consumer dies before its hint is written, then a producer a lap later: its void hides nothing.
fn two_die_in_a_row(pop: fn(&World) -> Result<u8, PopFailure>) {
    for claim in 0..9 {
        at_every_step(2, move |step, deaths| {
            let world = World::holding(2, 2);
            let taken = world.peers.live(2, step, || world.pop(NOW).unwrap());
            if taken.is_none() {
                deaths.fetch_add(1, SeqCst);
            }
            let _ = world.peers.live(1, claim, || world.push(1, 20, NOW));
            world.recover(2);
            world.recover(1);
            let mut got: Vec<u8> = taken.into_iter().collect();
            got.extend(world.drain(pop));
            got.retain(|value| *value != 20);
            assert!(got == [10, 11] || taken.is_none() && got == [11], "hidden: {got:?}");
        });
    }
}

#[test]
fn two_deaths_in_a_row_hide_nothing() {
    two_die_in_a_row(|world| world.pop(NOW));
}

/// A batch beside single items: each producer's are in order, whoever's lie between.
#[test]
fn a_batch_beside_a_producer_and_a_consumer() {
    for capacity in [1, 2] {
        explore(2, move || {
            let world = World::new(capacity);
            let single = thread::spawn({
                let world = world.clone();
                move || world.push(2, 30, FOREVER).unwrap()
            });
            let batch = thread::spawn({
                let world = world.clone();
                move || world.push_many(1, &[20, 21], FOREVER).unwrap()
            });
            let mut got = Vec::new();
            while got.len() < 2 {
                let count = world.pop_many(2, &mut got, FOREVER).unwrap();
                assert!(count > 0);
            }
            single.join().unwrap();
            let pushed = batch.join().unwrap();
            assert!(pushed == 2 || pushed == 1, "{pushed}");
            let _ = world.pop_many(2, &mut got, NOW);
            let of_batch: Vec<u8> = got.iter().copied().filter(|value| *value < 30).collect();
            assert_eq!(of_batch, &[20, 21][..pushed]);
            got.sort_unstable();
            world.settle(got, &[&[20, 21][..pushed], &[30]].concat(), None);
        });
    }
}

/// The producer of a batch dies anywhere: of its items a prefix is there, and a sleeper gets what there is.
#[test]
fn a_producer_of_a_batch_dies_at_every_step() {
    for capacity in [2, 3] {
        at_every_step(2, move |step, deaths| {
            let world = World::new(capacity);
            let consumer = thread::spawn({
                let world = world.clone();
                move || {
                    let mut got = Vec::new();
                    world.pop_many(2, &mut got, FOREVER).unwrap();
                    got
                }
            });
            let died = world.peers.live(1, step, || assert_eq!(world.push_many(1, &[20, 21], NOW), Ok(2))).is_none();
            let mut sent = vec![20, 21];
            if died {
                deaths.fetch_add(1, SeqCst);
                world.recover(1);
                // For a consumer who has nothing yet: the items of the dead come before it.
                world.push(2, 22, FOREVER).unwrap();
                sent.push(22);
            }
            let mut got = consumer.join().unwrap();
            got.extend(world.drain(|world| world.pop(NOW)));
            match died {
                true => assert!([&[22][..], &[20, 22], &[20, 21, 22]].contains(&&got[..]), "no prefix: {got:?}"),
                false => assert_eq!(got, sent),
            }
            let sent = got.clone();
            world.settle(got, &sent, None);
        });
    }
}

/// What a dead producer of a batch published reaches who slept since before it, though the dead woke nobody.
#[test]
fn a_batch_cut_short_reaches_the_sleeper() {
    reaches_the_sleeper(2, |world| {
        world.push_many(1, &[20, 21], NOW).unwrap();
    });
}

/// The consumer of a batch dies anywhere: what it took is gone, the rest is there, and a producer gets the room.
#[test]
fn a_consumer_of_a_batch_dies_at_every_step() {
    for capacity in [2, 3] {
        at_every_step(2, move |step, deaths| {
            let world = World::holding(capacity, capacity as u8);
            let producer = thread::spawn({
                let world = world.clone();
                move || world.push(1, 20, FOREVER).unwrap()
            });
            let mut taken = Vec::new();
            let died = world.peers.live(2, step, || assert_eq!(world.pop_many(2, &mut taken, NOW), Ok(2))).is_none();
            let mut sent: Vec<u8> = (10..10 + capacity as u8).chain([20]).collect();
            let mut got = Vec::new();
            if died {
                deaths.fetch_add(1, SeqCst);
                world.recover(2);
                // Where it took nothing, there is no room until somebody else does.
                while got.last() != Some(&20) {
                    got.push(world.pop(FOREVER).unwrap());
                }
                let lost = sent.len() - got.len();
                assert!(lost <= 2 && lost >= taken.len(), "lost {lost}, took {taken:?}");
                sent.drain(..lost);
            } else {
                assert_eq!(taken, [10, 11]);
                got = taken;
            }
            producer.join().unwrap();
            world.settle(got, &sent, None);
        });
    }
}

/// Two consumers, one with a batch, and a shutdown: each item once, and both learn of the end.
#[test]
fn two_batches_of_consumers_and_the_end() {
    explore(2, || {
        let world = World::holding(3, 2);
        let consumers = [(); 2].map(|()| {
            let world = world.clone();
            thread::spawn(move || {
                let mut got = Vec::new();
                while world.pop_many(2, &mut got, FOREVER).is_ok() {}
                assert!(got.is_sorted());
                got
            })
        });
        world.queue().shutdown();
        assert_eq!(world.push_many(1, &[20, 21], FOREVER), Err(PushFailure::Closed));
        let got = sorted(consumers.into_iter().flat_map(|consumer| consumer.join().unwrap()).collect());
        assert_eq!(got, [10, 11]);
    });
}

/// Broken on purpose: the models above must find it.
mod negative {
    use super::*;

    #[test]
    fn they_are_found() {
        must_fail("negative::a_void_taken_for_the_end_of_a_lap", "hidden");
    }

    /// Believes that a lap ahead means that everything before it is finished: true of claims, not of pops.
    fn credulous_pop(world: &World) -> Result<u8, PopFailure> {
        let (stride, mut position) = (world.queue().geometry().stride(), world.header.head.0.load(Ordering::Acquire));
        for _ in 0..100 {
            let (index, lap) = ((position & 1) as usize, position >> 1);
            let seen = world.slots[index * stride].load(Ordering::Acquire);
            if seen == lap << 16 | 2 << 13 {
                return world.pop(NOW);
            }
            if seen >> 16 <= lap {
                return Err(PopFailure::Empty);
            }
            position = (position + 1).max((((seen >> 16) - 1) << 1) + index as u64);
            world.header.head.0.store(position, Ordering::Release);
        }
        Err(PopFailure::Corrupted)
    }

    #[test]
    #[ignore = "fails on purpose"]
    fn a_void_taken_for_the_end_of_a_lap() {
        two_die_in_a_row(credulous_pop);
    }
}
