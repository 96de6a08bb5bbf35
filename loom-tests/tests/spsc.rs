//! Models of the shipped ring: nothing lost, doubled or torn, whoever dies at whatever atomic step, and whoever comes next
//! at that end; and an end that is exact.
//!
//! Sleeps are not capped in a model, so a lost wake-up is a deadlock, which loom reports. Every model ends with fresh ends
//! that find all that is left, and exactly so much room as there is. `broken/spsc.rs` has variants that these models
//! must catch.
#![cfg(ringfence_loom)]

mod mortals;

use std::cell::Cell;
use std::sync::atomic::Ordering::SeqCst;

use loom::sync::Arc;
use loom::thread;
use mortals::{FOREVER, Mortals, NOW, at_every_step, explore, must_fail, owner};
use ringfence::layout::ring::{Geometry, RingHeader};
use ringfence::primitive::{AtomicU64, Ordering};
use ringfence::raw::backoff::Backoff;
use ringfence::raw::ring::{self, PopFailure, PushFailure, Refused};
use ringfence::raw::spsc::{Head, Spsc, Tail};
use ringfence::raw::{ParticipantId, words};
use ringfence::sys::nap::Wait;

/// A word and a bit: a torn copy shows.
const ITEM: usize = 9;

struct World {
    header: RingHeader,
    slots: Vec<AtomicU64>,
    geometry: Geometry,
    peers: Mortals,
}

impl World {
    fn new(capacity: u64) -> Arc<Self> {
        let geometry = Geometry::new(capacity, ITEM as u64).unwrap();
        Arc::new(Self {
            header: RingHeader::new(capacity, ITEM as u64),
            slots: (0..geometry.words()).map(|_| AtomicU64::new(0)).collect(),
            geometry,
            peers: Mortals::new(),
        })
    }

    /// With items 10, 11, ... of a producer that has left.
    fn holding(capacity: u64, items: u8) -> Arc<Self> {
        let world = Self::new(capacity);
        let mut tail = world.produce(4).unwrap();
        for value in 10..10 + items {
            world.push(&mut tail, value, NOW).unwrap();
        }
        world.ring().leave_producer(owner(4));
        world
    }

    fn ring(&self) -> Spsc<'_> {
        Spsc::new(&self.header, &self.slots, &self.geometry).unwrap()
    }

    fn produce(&self, me: ParticipantId) -> Result<Tail, Refused> {
        self.ring().produce(owner(me), &self.peers)
    }

    fn consume(&self, me: ParticipantId) -> Result<Head, Refused> {
        self.ring().consume(owner(me), &self.peers)
    }

    fn push(&self, tail: &mut Tail, value: u8, wait: Wait) -> Result<(), PushFailure> {
        let ring = self.ring();
        let peers: Option<&Mortals> = None;
        ring::push_slow(ring.header(), wait, Backoff::new(), peers, || ring.try_push(tail, &[value; ITEM]))
    }

    fn push_two(&self, tail: &mut Tail, value: u8, wait: Wait) -> Result<u64, PushFailure> {
        let ring = self.ring();
        let peers: Option<&Mortals> = None;
        ring::push_slow(ring.header(), wait, Backoff::new(), peers, || {
            ring.try_push_many(tail, 2, |nth, data| words::store(data, &[value + nth as u8; ITEM]))
        })
    }

    fn pop(&self, head: &mut Head, wait: Wait) -> Result<u8, PopFailure> {
        let (ring, mut item) = (self.ring(), [0; ITEM]);
        let peers: Option<&Mortals> = None;
        ring::pop_slow(ring.header(), wait, Backoff::new(), peers, || ring.try_pop(head, &mut item))?;
        assert!(item.iter().all(|byte| *byte == item[0]), "torn: {item:?}");
        Ok(item[0])
    }

    fn recover(&self, dead: ParticipantId) {
        ring::recover(&self.header, dead, &self.peers);
    }

    /// Ends a model, when nobody is at an end: `got` so far and what is left must be `sent`, but for `maybe`, which may be
    /// missing.
    fn settle(&self, mut got: Vec<u8>, sent: &[u8], maybe: Option<u8>) {
        let mut head = self.consume(4).unwrap();
        loop {
            match self.pop(&mut head, NOW) {
                Ok(value) => got.push(value),
                Err(PopFailure::Empty | PopFailure::Closed) => break,
                Err(other) => panic!("a fresh consumer met {other:?} after {got:?}"),
            }
        }
        let certain = |value: &&u8| Some(**value) != maybe;
        assert!(got.iter().filter(certain).eq(sent.iter().filter(certain)), "got {got:?}, sent {sent:?}");
        assert!(got.iter().filter(|value| Some(**value) == maybe).count() <= 1, "doubled: {got:?}");
        assert_eq!(self.ring().len(), 0);
        if !self.ring().is_shut_down() {
            let mut tail = self.produce(3).unwrap();
            for _ in 0..self.geometry.capacity() {
                self.push(&mut tail, 99, NOW).unwrap();
            }
            assert_eq!(self.push(&mut tail, 99, NOW), Err(PushFailure::Full));
            assert_eq!(self.ring().len(), self.geometry.capacity());
        }
    }
}

#[test]
fn each_waits_for_the_other() {
    for capacity in [1, 2] {
        explore(3, move || {
            let world = World::new(capacity);
            let producer = thread::spawn({
                let world = world.clone();
                move || {
                    let mut tail = world.produce(1).unwrap();
                    for value in 20..23 {
                        world.push(&mut tail, value, FOREVER).unwrap();
                    }
                    world.ring().leave_producer(owner(1));
                }
            });
            let mut head = world.consume(2).unwrap();
            let got = (0..3).map(|_| world.pop(&mut head, FOREVER).unwrap()).collect();
            producer.join().unwrap();
            world.ring().leave_consumer(owner(2));
            world.settle(got, &[20, 21, 22], None);
        });
    }
}

#[test]
fn many_at_once() {
    for capacity in [1, 2, 3] {
        explore(2, move || {
            let world = World::new(capacity);
            let producer = thread::spawn({
                let world = world.clone();
                move || {
                    let (mut tail, mut pushed) = (world.produce(1).unwrap(), 0);
                    while pushed < 2 {
                        pushed += world.push_two(&mut tail, 20 + pushed as u8, FOREVER).unwrap();
                    }
                    world.ring().leave_producer(owner(1));
                    pushed as u8
                }
            });
            let (ring, mut head, mut got) = (world.ring(), world.consume(2).unwrap(), vec![]);
            let peers: Option<&Mortals> = None;
            ring::pop_slow(ring.header(), FOREVER, Backoff::new(), peers, || {
                ring.try_pop_many(&mut head, 3, |_, data| {
                    let mut item = [0; ITEM];
                    words::load(&mut item, data);
                    assert!(item.iter().all(|byte| *byte == item[0]), "torn: {item:?}");
                    got.push(item[0]);
                })
            })
            .unwrap();
            while got.len() < 2 {
                got.push(world.pop(&mut head, FOREVER).unwrap());
            }
            world.ring().leave_consumer(owner(2));
            let pushed = producer.join().unwrap();
            world.settle(got, &(20..20 + pushed).collect::<Vec<_>>(), None);
        });
    }
}

/// A producer dies anywhere, from its claim to its second push. Its successor comes, before a recovery or after it.
fn a_producer_dies(successor: fn(&World) -> Result<(), PushFailure>) {
    for (capacity, held) in [(1, 0), (2, 1), (3, 0)] {
        at_every_step(2, move |step, deaths| {
            let world = World::holding(capacity, held);
            let victim = thread::spawn({
                let world = world.clone();
                move || {
                    // As many as there are stamps have been pushed, whether it knew it or not.
                    let stamped = Cell::new(0);
                    let stamps =
                        || world.slots.chunks(world.geometry.stride()).map(|slot| slot[0].observe(SeqCst)).sum();
                    let pushes = || {
                        let mut tail = world.produce(1).unwrap();
                        let first = world.push(&mut tail, 20, NOW);
                        let second = world.push(&mut tail, 21, NOW);
                        world.ring().leave_producer(owner(1));
                        [first, second]
                    };
                    let outcome = world.peers.live_and(1, step, pushes, || stamped.set(stamps()));
                    // Half the time it is the successor that takes the role from the dead.
                    if outcome.is_none() && step % 2 == 0 {
                        world.recover(1);
                    }
                    let last = successor(&world);
                    world.ring().leave_producer(owner(2));
                    (outcome, stamped.get() as usize, last)
                }
            });
            let mut head = world.consume(3).unwrap();
            let mut got: Vec<u8> = world.pop(&mut head, NOW).into_iter().collect();
            let (outcome, stamped, last) = victim.join().unwrap();
            while let Ok(value) = world.pop(&mut head, NOW) {
                got.push(value);
            }
            world.ring().leave_consumer(owner(3));
            let mut sent: Vec<u8> = (10..10 + held).collect();
            match outcome {
                Some(pushed) => {
                    sent.extend([20, 21].iter().zip(pushed).filter(|(_, pushed)| pushed.is_ok()).map(|(n, _)| n))
                }
                None => {
                    deaths.fetch_add(1, SeqCst);
                    sent.extend(&[20, 21][..stamped - usize::from(held)]);
                }
            }
            sent.extend(last.ok().map(|()| 22));
            world.settle(got, &sent, None);
        });
    }
}

#[test]
fn a_producer_dies_at_every_step() {
    a_producer_dies(|world| {
        let mut tail = world.produce(2).unwrap();
        world.push(&mut tail, 22, NOW)
    });
}

/// A consumer dies anywhere, from its claim to its second pop. Its successor goes on.
#[test]
fn a_consumer_dies_at_every_step() {
    for capacity in [1, 2] {
        at_every_step(2, move |step, deaths| {
            let world = World::holding(capacity, capacity as u8);
            let producer = thread::spawn({
                let world = world.clone();
                move || {
                    let mut tail = world.produce(1).unwrap();
                    for value in 20..22 {
                        world.push(&mut tail, value, FOREVER).unwrap();
                    }
                    world.ring().leave_producer(owner(1));
                }
            });
            let outcome = world.peers.live(2, step, || {
                let mut head = world.consume(2).unwrap();
                let got = [world.pop(&mut head, FOREVER).unwrap(), world.pop(&mut head, FOREVER).unwrap()];
                world.ring().leave_consumer(owner(2));
                got
            });
            let sent: Vec<u8> = (10..10 + capacity as u8).chain([20, 21]).collect();
            // Those that a dead one has taken are gone with it: of the first two, the first or both.
            let mut got = match outcome {
                Some(got) => got.to_vec(),
                None => {
                    deaths.fetch_add(1, SeqCst);
                    vec![]
                }
            };
            if outcome.is_none() {
                world.recover(2);
            }
            let mut head = world.consume(3).unwrap();
            while got.last() != Some(&21) {
                got.push(world.pop(&mut head, FOREVER).unwrap());
            }
            world.ring().leave_consumer(owner(3));
            producer.join().unwrap();
            assert!(sent.ends_with(&got) && got.len() + 2 >= sent.len(), "got {got:?}");
            let tail = sent[sent.len() - got.len()..].to_vec();
            world.settle(got, &tail, None);
        });
    }
}

/// A consumer waits for ever while a producer dies anywhere; what that completed, or a recovery and a successor, ends it.
#[test]
fn a_blocked_consumer_outlives_a_producer() {
    at_every_step(2, |step, deaths| {
        let world = World::new(1);
        let consumer = thread::spawn({
            let world = world.clone();
            move || {
                let mut head = world.consume(3).unwrap();
                let value = world.pop(&mut head, FOREVER).unwrap();
                world.ring().leave_consumer(owner(3));
                value
            }
        });
        let mut sent = vec![20];
        let lived = world.peers.live(1, step, || {
            let mut tail = world.produce(1).unwrap();
            world.push(&mut tail, 20, NOW).unwrap();
            world.ring().leave_producer(owner(1));
        });
        if lived.is_none() {
            deaths.fetch_add(1, SeqCst);
            world.recover(1);
            // Its item reaches the sleeper without a successor.
            if world.slots[0].observe(Ordering::SeqCst) == 0 {
                let mut tail = world.produce(2).unwrap();
                world.push(&mut tail, 20, FOREVER).unwrap();
                world.ring().leave_producer(owner(2));
            }
        }
        let got = vec![consumer.join().unwrap()];
        sent.truncate(1);
        world.settle(got, &sent, None);
    });
}

/// The same the other way round: room that a dead consumer made reaches the sleeping producer.
#[test]
fn a_blocked_producer_outlives_a_consumer() {
    at_every_step(2, |step, deaths| {
        let world = World::holding(1, 1);
        let producer = thread::spawn({
            let world = world.clone();
            move || {
                let mut tail = world.produce(1).unwrap();
                world.push(&mut tail, 20, FOREVER).unwrap();
                world.ring().leave_producer(owner(1));
            }
        });
        let lived = world.peers.live(2, step, || {
            let mut head = world.consume(2).unwrap();
            let value = world.pop(&mut head, NOW).unwrap();
            world.ring().leave_consumer(owner(2));
            value
        });
        let mut got: Vec<u8> = lived.into_iter().collect();
        if lived.is_none() {
            deaths.fetch_add(1, SeqCst);
            world.recover(2);
            if world.header.consumer.0.position.observe(Ordering::SeqCst) == 0 {
                let mut head = world.consume(3).unwrap();
                got.push(world.pop(&mut head, FOREVER).unwrap());
                world.ring().leave_consumer(owner(3));
            }
        }
        producer.join().unwrap();
        world.settle(got, &[10, 20], Some(10));
    });
}

/// Of two who recover, and one who takes the role itself, nobody takes it from the successor.
#[test]
fn recoverers_leave_the_successor_alone() {
    explore(2, || {
        let world = World::new(1);
        assert!(world.peers.live(1, 2, || world.produce(1).map(|_| ())).is_none());
        let recoverers = [(); 2].map(|()| {
            let world = world.clone();
            thread::spawn(move || world.recover(1))
        });
        let mut tail = world.produce(2).unwrap();
        world.push(&mut tail, 20, NOW).unwrap();
        for recoverer in recoverers {
            recoverer.join().unwrap();
        }
        assert!(ring::has(world.ring().producer(), owner(2)));
        assert_eq!(world.produce(3).unwrap_err(), Refused::Taken(2));
        world.ring().leave_producer(owner(2));
        world.settle(vec![], &[20], None);
    });
}

/// Two processes want the same end of the dead: one has it.
#[test]
fn one_of_two_has_the_end() {
    explore(3, || {
        let world = World::holding(1, 1);
        assert!(world.peers.live(1, 2, || world.consume(1).map(|_| ())).is_none());
        let other = thread::spawn({
            let world = world.clone();
            move || world.consume(2).ok()
        });
        let mine = world.consume(3).ok();
        let theirs = other.join().unwrap();
        let mut head = match (mine, theirs) {
            (Some(head), None) | (None, Some(head)) => head,
            both => panic!("{both:?}"),
        };
        assert_eq!(world.pop(&mut head, NOW), Ok(10));
    });
}

/// What is accepted is popped before the end, what is refused never, and everybody learns of the end.
fn shutdown_races(pop: fn(&World, &mut Head) -> Result<u8, PopFailure>) {
    for (capacity, many) in [(1, false), (2, false), (2, true)] {
        explore(2, move || {
            let world = World::new(capacity);
            let producer = thread::spawn({
                let world = world.clone();
                move || {
                    let mut tail = world.produce(1).unwrap();
                    let pushed = if many {
                        world.push_two(&mut tail, 20, FOREVER)
                    } else {
                        world.push(&mut tail, 20, FOREVER).map(|()| 1)
                    };
                    world.ring().leave_producer(owner(1));
                    pushed
                }
            });
            let closer = thread::spawn({
                let world = world.clone();
                move || world.ring().shutdown()
            });
            let (mut head, mut got) = (world.consume(2).unwrap(), Vec::new());
            let end = loop {
                match pop(&world, &mut head) {
                    Ok(value) => got.push(value),
                    Err(failure) => break failure,
                }
            };
            assert_eq!(end, PopFailure::Closed);
            world.ring().leave_consumer(owner(2));
            closer.join().unwrap();
            let pushed = match producer.join().unwrap() {
                Ok(pushed) => pushed as u8,
                Err(failure) => {
                    assert_eq!(failure, PushFailure::Closed);
                    0
                }
            };
            assert_eq!(got, (20..20 + pushed).collect::<Vec<_>>(), "not exact");
            let mut tail = world.produce(1).unwrap();
            assert_eq!(world.push(&mut tail, 30, NOW), Err(PushFailure::Closed));
            world.settle(got.clone(), &got, None);
        });
    }
}

#[test]
fn shutdown_is_exact() {
    shutdown_races(|world, head| world.pop(head, FOREVER));
}

/// The same when the consumer dies at it: whoever comes next says no more and no less. And when the producer does: its item
/// is there or it is not, for all.
#[test]
fn shutdown_is_exact_whoever_dies() {
    for producer_dies in [false, true] {
        at_every_step(2, move |step, deaths| {
            let world = World::new(1);
            let producer = thread::spawn({
                let world = world.clone();
                move || {
                    let step = if producer_dies { step } else { usize::MAX };
                    let pushed = world.peers.live(1, step, || {
                        let mut tail = world.produce(1).unwrap();
                        let pushed = world.push(&mut tail, 20, NOW);
                        world.ring().leave_producer(owner(1));
                        pushed
                    });
                    if pushed.is_none() {
                        world.recover(1);
                    }
                    pushed
                }
            });
            world.ring().shutdown();
            let step = if producer_dies { usize::MAX } else { step };
            let first = world.peers.live(2, step, || {
                let mut head = world.consume(2).unwrap();
                let found = [world.pop(&mut head, NOW), world.pop(&mut head, NOW)];
                world.ring().leave_consumer(owner(2));
                found
            });
            if first.is_none() {
                world.recover(2);
            }
            let mut head = world.consume(3).unwrap();
            let then = [world.pop(&mut head, FOREVER), world.pop(&mut head, FOREVER)];
            assert_eq!(then[1], Err(PopFailure::Closed));
            world.ring().leave_consumer(owner(3));
            let pushed = producer.join().unwrap();
            if first.is_none() || pushed.is_none() {
                deaths.fetch_add(1, SeqCst);
            }
            let got = first.is_some_and(|found| found[0] == Ok(20)) || then[0] == Ok(20);
            if let Some(found) = first {
                assert_eq!(found[1], Err(PopFailure::Closed));
                assert_eq!(then[0], Err(PopFailure::Closed), "something came after the end");
            }
            match pushed {
                Some(Ok(())) => assert!(got || first.is_none(), "accepted and lost"),
                Some(Err(failure)) => assert!(!got && failure == PushFailure::Closed, "refused and delivered"),
                None => {}
            }
        });
    }
}

/// Both ends asleep learn of the end; the closer dies anywhere.
#[test]
fn a_closer_dies_at_every_step() {
    for full in [false, true] {
        at_every_step(2, move |step, deaths| {
            let world = World::holding(1, full.into());
            let sleeper = thread::spawn({
                let world = world.clone();
                move || {
                    if full {
                        let mut tail = world.produce(1).unwrap();
                        assert_eq!(world.push(&mut tail, 20, FOREVER), Err(PushFailure::Closed));
                        world.ring().leave_producer(owner(1));
                    } else {
                        let mut head = world.consume(1).unwrap();
                        assert_eq!(world.pop(&mut head, FOREVER), Err(PopFailure::Closed));
                        world.ring().leave_consumer(owner(1));
                    }
                }
            });
            if world.peers.live(2, step, || world.ring().shutdown()).is_none() {
                deaths.fetch_add(1, SeqCst);
                world.recover(2);
                if !world.ring().is_shut_down() {
                    world.ring().shutdown();
                }
            }
            sleeper.join().unwrap();
            world.settle(vec![], &vec![10; full.into()], None);
        });
    }
}

/// Who asked to be told goes home when the other end is left, or dies; not before it has what was pushed.
#[test]
fn who_is_alone_is_told() {
    at_every_step(2, |step, deaths| {
        let world = World::new(1);
        let mut tail = world.produce(1).unwrap();
        let consumer = thread::spawn({
            let world = world.clone();
            move || {
                let (ring, mut head, mut item) = (world.ring(), world.consume(2).unwrap(), [0; ITEM]);
                let first = ring::pop_slow(ring.header(), FOREVER, Backoff::new(), Some(&world.peers), || {
                    ring.try_pop(&mut head, &mut item)
                });
                let second = ring::pop_slow(ring.header(), FOREVER, Backoff::new(), Some(&world.peers), || {
                    ring.try_pop(&mut head, &mut item)
                });
                world.ring().leave_consumer(owner(2));
                (first, second)
            }
        });
        let lived = world.peers.live(1, step, || {
            world.push(&mut tail, 20, NOW).unwrap();
            world.ring().leave_producer(owner(1));
        });
        if lived.is_none() {
            deaths.fetch_add(1, SeqCst);
            world.recover(1);
        }
        let (first, second) = consumer.join().unwrap();
        assert_eq!(second, Err(PopFailure::Alone));
        assert!(first == Ok(()) || lived.is_none() && first == Err(PopFailure::Alone), "{first:?}");
    });
}

#[path = "broken/spsc.rs"]
mod negative;
