//! Models of the shipped ring of records: nothing lost, doubled or torn, whoever dies at whatever atomic step, and whoever comes
//! next at that end, in the middle of a stream too; across the end of the ring, behind a pad.
//!
//! Sleeps are not capped in a model, so a lost wake-up is a deadlock, which loom reports. Every model ends with fresh ends that
//! find all that is left, and an empty ring that takes its longest record. The last part holds broken variants that these models
//! must catch. How roles and the end are told is the same code as [`spsc`](../spsc.rs)'s, which models it more closely.
#![cfg(ringfence_loom)]

mod mortals;

use std::cell::Cell;
use std::sync::atomic::Ordering::SeqCst;

use loom::sync::Arc;
use loom::thread;
use mortals::{FOREVER, Mortals, NOW, at_every_step, explore, must_fail, owner};
use ringfence::layout::ring::{Bytes, RingHeader};
use ringfence::primitive::{AtomicU64, Ordering};
use ringfence::raw::backoff::Backoff;
use ringfence::raw::byte_ring::{ByteRing, Head, Tail};
use ringfence::raw::ring::{self, PopFailure, PushFailure};
use ringfence::raw::words;
use ringfence::sys::nap::Wait;

/// A record of three words: a torn copy shows. The ring has eight, so each second one goes round its end.
const LEN: usize = 9;

struct World {
    header: RingHeader,
    words: Vec<AtomicU64>,
    size: Bytes,
    peers: Mortals,
}

impl World {
    fn new() -> Arc<Self> {
        let size = Bytes::new(64).unwrap();
        Arc::new(Self {
            header: RingHeader::new(size.capacity(), 0),
            words: (0..size.words()).map(|_| AtomicU64::new(0)).collect(),
            size,
            peers: Mortals::new(),
        })
    }

    /// With so many records, 10, 11 .., after some that were taken.
    fn holding(taken: u8, records: u8) -> Arc<Self> {
        let world = Self::new();
        let (mut tail, mut head) = (world.produce(4), world.consume(4));
        for value in 0..taken {
            world.push(&mut tail, value, NOW).unwrap();
            world.pop(&mut head, NOW).unwrap();
        }
        for value in 10..10 + records {
            world.push(&mut tail, value, NOW).unwrap();
        }
        world.ring().leave_producer(owner(4));
        world.ring().leave_consumer(owner(4));
        world
    }

    fn ring(&self) -> ByteRing<'_> {
        ByteRing::new(&self.header, &self.words, self.size).unwrap()
    }

    fn produce(&self, me: u16) -> Tail {
        self.ring().produce(owner(me), &self.peers).unwrap()
    }

    fn consume(&self, me: u16) -> Head {
        self.ring().consume(owner(me), &self.peers).unwrap()
    }

    fn push(&self, tail: &mut Tail, value: u8, wait: Wait) -> Result<(), PushFailure> {
        let (ring, peers): (_, Option<&Mortals>) = (self.ring(), None);
        let room = ring::push_slow(ring.header(), wait, Backoff::new(), peers, || ring.try_reserve(tail, LEN))?;
        words::store(ring.payload(room), &[value; LEN]);
        ring.commit(tail, room, LEN)
    }

    fn pop(&self, head: &mut Head, wait: Wait) -> Result<u8, PopFailure> {
        let (ring, peers): (_, Option<&Mortals>) = (self.ring(), None);
        let found = ring::pop_slow(ring.header(), wait, Backoff::new(), peers, || ring.try_peek(head))?;
        let mut record = vec![0; found.bytes()];
        words::load_at(&mut record, ring.payload_of(found), found.first());
        ring.take(head, found, found.bytes());
        assert!(record.iter().all(|byte| *byte == record[0]), "torn: {record:?}");
        Ok(record[0])
    }

    fn recover(&self, dead: u16) {
        ring::recover(&self.header, dead, &self.peers);
    }

    /// Ends a model, when nobody is at an end: `got` so far and what is left are `sent`, but for `maybe`, which may be missing.
    fn settle(&self, mut got: Vec<u8>, sent: &[u8], maybe: Option<u8>) {
        let mut head = self.consume(4);
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
        assert_eq!(self.ring().used(), 0);
        if !self.ring().is_shut_down() {
            let (ring, mut tail) = (self.ring(), self.produce(3));
            let room = ring.try_reserve(&mut tail, self.size.max_record()).unwrap();
            ring.commit(&mut tail, room, room.bytes()).unwrap();
            assert_eq!(ring.try_peek(&mut head).unwrap().bytes(), self.size.max_record());
        }
    }
}

#[test]
fn each_waits_for_the_other() {
    explore(2, || {
        let world = World::new();
        let producer = thread::spawn({
            let world = world.clone();
            move || {
                let mut tail = world.produce(1);
                (20..24).for_each(|value| world.push(&mut tail, value, FOREVER).unwrap());
                world.ring().leave_producer(owner(1));
            }
        });
        let mut head = world.consume(2);
        let got = (0..4).map(|_| world.pop(&mut head, FOREVER).unwrap()).collect();
        producer.join().unwrap();
        world.ring().leave_consumer(owner(2));
        world.settle(got, &[20, 21, 22, 23], None);
    });
}

/// A producer dies anywhere, from its claim to its second commit, before and behind the ring's end. As many records as it has
/// published are there; its successor comes before a recovery or after it.
fn a_producer_dies(push: fn(&World, &mut Tail, u8) -> Result<(), PushFailure>) {
    for taken in [0, 1, 2] {
        at_every_step(2, move |step, deaths| {
            let world = World::holding(taken, 0);
            let victim = thread::spawn({
                let world = world.clone();
                move || {
                    let published = Cell::new(0);
                    let pushes = || {
                        let mut tail = world.produce(1);
                        let pushed = [push(&world, &mut tail, 20), push(&world, &mut tail, 21)];
                        world.ring().leave_producer(owner(1));
                        pushed
                    };
                    // Each is there if its header is, or that of the pad in front of it.
                    let places = [[0, 3], [3, 6], [6, 3]][usize::from(taken)];
                    let autopsy = || {
                        let is_there = |place: &&usize| world.words[**place].observe(SeqCst) != 0;
                        published.set(places.iter().take_while(is_there).count());
                    };
                    let outcome = world.peers.live_and(1, step, pushes, autopsy);
                    if outcome.is_none() && step % 2 == 0 {
                        world.recover(1);
                    }
                    let mut tail = world.produce(2);
                    let last = world.push(&mut tail, 22, NOW);
                    world.ring().leave_producer(owner(2));
                    (outcome, published.get(), last)
                }
            });
            let mut head = world.consume(3);
            // Nothing yet is all that may be met beside a record.
            let found = |head: &mut Head| match world.pop(head, NOW) {
                Ok(value) => Some(value),
                Err(failure) => {
                    assert_eq!(failure, PopFailure::Empty);
                    None
                }
            };
            let mut got: Vec<u8> = found(&mut head).into_iter().collect();
            let (outcome, published, last) = victim.join().unwrap();
            while let Some(value) = found(&mut head) {
                got.push(value);
            }
            world.ring().leave_consumer(owner(3));
            let mut sent = Vec::new();
            match outcome {
                Some(pushed) => {
                    sent.extend([20, 21].iter().zip(pushed).filter(|(_, pushed)| pushed.is_ok()).map(|(n, _)| *n));
                }
                None => {
                    deaths.fetch_add(1, SeqCst);
                    sent.extend(&[20, 21][..published]);
                }
            }
            sent.extend(last.ok().map(|()| 22));
            world.settle(got, &sent, None);
        });
    }
}

#[test]
fn a_producer_dies_at_every_step() {
    a_producer_dies(|world, tail, value| world.push(tail, value, NOW));
}

/// A consumer dies anywhere, from its claim to giving its end back; behind a pad too, and while the producer waits for the room.
/// Its successor goes on.
#[test]
fn a_consumer_dies_at_every_step() {
    for taken in [1, 2] {
        at_every_step(2, move |step, deaths| {
            let world = World::holding(taken, 1);
            let producer = thread::spawn({
                let world = world.clone();
                move || {
                    let mut tail = world.produce(1);
                    world.push(&mut tail, 20, FOREVER).unwrap();
                    world.ring().leave_producer(owner(1));
                }
            });
            let outcome = world.peers.live(2, step, || {
                let mut head = world.consume(2);
                let got = world.pop(&mut head, FOREVER).unwrap();
                world.ring().leave_consumer(owner(2));
                got
            });
            let mut got: Vec<u8> = outcome.into_iter().collect();
            if outcome.is_none() {
                deaths.fetch_add(1, SeqCst);
                world.recover(2);
            }
            let mut head = world.consume(3);
            while got.last() != Some(&20) {
                got.push(world.pop(&mut head, FOREVER).unwrap());
            }
            world.ring().leave_consumer(owner(3));
            producer.join().unwrap();
            assert!(got == [10, 20] || outcome.is_none() && got == [20], "got {got:?}");
            world.settle(got.clone(), &got, None);
        });
    }
}

/// A reader of a stream dies anywhere: of each byte it has taken all before, and its successor gets all behind.
#[test]
fn a_reader_dies_in_the_middle_of_a_piece() {
    at_every_step(2, |step, deaths| {
        let world = World::new();
        let (ring, mut tail) = (world.ring(), world.produce(1));
        let room = ring.try_reserve(&mut tail, 12).unwrap();
        words::store(ring.payload(room), &std::array::from_fn::<u8, 12, _>(|at| at as u8));
        ring.commit(&mut tail, room, 12).unwrap();
        let read = |head: &mut Head, count: usize| {
            let found = ring.try_peek(head).unwrap();
            let mut bytes = vec![0; count.min(found.bytes())];
            words::load_at(&mut bytes, ring.payload_of(found), found.first());
            ring.take(head, found, bytes.len());
            bytes
        };
        let taken = Cell::new(0);
        let position = || {
            let word = world.header.consumer.0.position.observe(SeqCst);
            if word >> 32 == 0 { word as usize } else { 12 }
        };
        let outcome = world.peers.live_and(
            2,
            step,
            || {
                let mut head = world.consume(2);
                assert_eq!(read(&mut head, 5), [0, 1, 2, 3, 4]);
                assert_eq!(read(&mut head, 6), [5, 6, 7, 8, 9, 10]);
                world.ring().leave_consumer(owner(2));
            },
            || taken.set(position()),
        );
        match outcome {
            Some(()) => taken.set(11),
            None => drop(deaths.fetch_add(1, SeqCst)),
        }
        let mut head = world.consume(3);
        let left: Vec<u8> = (taken.get() as u8..12).collect();
        assert!([0, 5, 11].contains(&taken.get()));
        assert_eq!(read(&mut head, 12), left);
        ring.leave_consumer(owner(3));
        ring.leave_producer(owner(1));
        world.settle(vec![], &[], None);
    });
}

/// What is accepted is popped before the end, what is refused never, also behind a pad.
#[test]
fn shutdown_is_exact() {
    for taken in [0, 1] {
        explore(2, move || {
            let world = World::holding(taken, 0);
            let producer = thread::spawn({
                let world = world.clone();
                move || {
                    let mut tail = world.produce(1);
                    let mut pushed = vec![];
                    for value in 20..22 {
                        match world.push(&mut tail, value, FOREVER) {
                            Ok(()) => pushed.push(value),
                            Err(failure) => assert_eq!(failure, PushFailure::Closed),
                        }
                    }
                    world.ring().leave_producer(owner(1));
                    pushed
                }
            });
            let closer = thread::spawn({
                let world = world.clone();
                move || world.ring().shutdown()
            });
            let (mut head, mut got) = (world.consume(2), Vec::new());
            let end = loop {
                match world.pop(&mut head, FOREVER) {
                    Ok(value) => got.push(value),
                    Err(failure) => break failure,
                }
            };
            assert_eq!(end, PopFailure::Closed);
            world.ring().leave_consumer(owner(2));
            closer.join().unwrap();
            assert_eq!(got, producer.join().unwrap(), "not exact");
            world.settle(got.clone(), &got, None);
        });
    }
}

/// Broken on purpose: the models above must find it.
mod negative {
    use super::*;

    #[test]
    fn they_are_found() {
        must_fail("negative::a_header_before_the_payload", "torn");
        must_fail("negative::what_lies_behind_is_not_cleared", "");
        must_fail("negative::a_pad_before_its_record", "");
        must_fail("negative::a_release_before_the_copy", "torn");
    }

    #[test]
    #[ignore = "fails on purpose"]
    fn a_header_before_the_payload() {
        explore(2, || {
            let world = World::new();
            let producer = thread::spawn({
                let world = world.clone();
                move || {
                    world.words[0].store(1 << 32 | LEN as u64, Ordering::Release);
                    words::store(&world.words[1..], &[20; LEN]);
                }
            });
            let mut head = world.consume(2);
            let _ = world.pop(&mut head, NOW);
            producer.join().unwrap();
        });
    }

    /// Publishes without the zero behind it (invariant 2): what lay there is taken for a record.
    fn push_uncleared(world: &World, tail: &mut Tail, value: u8) -> Result<(), PushFailure> {
        let (ring, at) = (world.ring(), tail.position());
        let room = ring.try_reserve(tail, LEN)?;
        let next = if at % 8 + 3 > 8 { 3 } else { (at as usize + 3) % 8 };
        let before = world.words[next].load(Ordering::Relaxed);
        words::store(ring.payload(room), &[value; LEN]);
        let committed = ring.commit(tail, room, LEN);
        world.words[next].store(before, Ordering::Relaxed);
        committed
    }

    #[test]
    #[ignore = "fails on purpose"]
    fn what_lies_behind_is_not_cleared() {
        a_producer_dies(push_uncleared);
    }

    /// Publishes the pad, then the record behind it.
    fn push_pad_first(world: &World, tail: &mut Tail, value: u8) -> Result<(), PushFailure> {
        let at = tail.position();
        if at % 8 + 3 > 8 {
            let rest = u64::from(8 - at % 8);
            world.words[at as usize % 8].store((2 << 32) | ((rest - 1) * 8), Ordering::Release);
        }
        world.push(tail, value, NOW)
    }

    #[test]
    #[ignore = "fails on purpose"]
    fn a_pad_before_its_record() {
        a_producer_dies(push_pad_first);
    }

    #[test]
    #[ignore = "fails on purpose"]
    fn a_release_before_the_copy() {
        explore(2, || {
            let world = World::holding(0, 2);
            let producer = thread::spawn({
                let world = world.clone();
                move || {
                    let mut tail = world.produce(1);
                    let _ = world.push(&mut tail, 20, NOW);
                }
            });
            let (ring, mut head) = (world.ring(), world.consume(2));
            let found = ring.try_peek(&mut head).unwrap();
            ring.take(&mut head, found, LEN);
            // Then there is room in front.
            let second = ring.try_peek(&mut head).unwrap();
            ring.take(&mut head, second, LEN);
            let mut record = [0; LEN];
            words::load(&mut record, ring.payload_of(found));
            assert!(record.iter().all(|byte| *byte == record[0]), "torn: {record:?}");
            producer.join().unwrap();
        });
    }
}
