//! Random runs of the queue with everything that a kill leaves behind, one process at a time: hints that lag, producers
//! dead between claim and publication, recoveries at odd times. Nothing may be hidden, lost, doubled or reordered, and
//! the capacity is exact.
//!
//! The interleavings within an operation are the models' part (`loom-tests`); here are many laps and odd capacities.
#![cfg(not(ringfence_loom))]

use std::cell::RefCell;
use std::collections::{HashSet, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

use ringfence::layout::queue::{Geometry, QueueHeader};
use ringfence::raw::queue::{PopFailure, PushFailure, Queue};
use ringfence::raw::{Fate, Owner, ParticipantId, Peers};

const ITEM: usize = 12;
const WRITING: u64 = 1 << 13;
const FULL: u64 = 2 << 13;

/// A small generator, so that a seed tells a run: splitmix64.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % sides
    }
}

#[derive(Default)]
struct Dead(RefCell<HashSet<ParticipantId>>);

impl Peers for Dead {
    fn fate(&self, participant: ParticipantId) -> Fate {
        if self.0.borrow().contains(&participant) { Fate::Dead } else { Fate::Alive }
    }
}

/// A queue beside what it should hold.
struct World {
    header: QueueHeader,
    slots: Vec<AtomicU64>,
    geometry: Geometry,
    dead: Dead,
    dice: Dice,
    /// Messages and claims, oldest first; `None` is a position whose producer died in it.
    expected: VecDeque<Option<u64>>,
    /// Hints as they were at some time: what a late plain store may bring back.
    old_heads: Vec<u64>,
    old_tails: Vec<u64>,
    pushed: u64,
    deaths: ParticipantId,
}

type Pop = fn(&World) -> Result<u64, PopFailure>;

impl World {
    fn new(capacity: u64, seed: u64) -> Self {
        let geometry = Geometry::new(capacity, ITEM as u64).unwrap();
        Self {
            header: QueueHeader::new(geometry),
            slots: (0..geometry.words()).map(|_| AtomicU64::new(0)).collect(),
            geometry,
            dead: Dead::default(),
            dice: Dice(seed),
            expected: VecDeque::new(),
            old_heads: vec![0],
            old_tails: vec![0],
            pushed: 0,
            deaths: 0,
        }
    }

    fn queue(&self) -> Queue<'_> {
        Queue::attach(&self.header, &self.slots).unwrap()
    }

    /// Pushes, as a participant that dies between claim and publication if it `dies`.
    fn push(&mut self, dies: bool) {
        let mut item = [0x5a; ITEM];
        item[..8].copy_from_slice(&self.pushed.to_ne_bytes());
        let before = (self.words(), self.header.tail.0.load(SeqCst));
        let outcome = self.queue().try_push(Owner::new(8000, 1).unwrap(), &item, &self.dead);
        // The oldest position is in the way only if it holds a message: a dead producer's is finished by the push.
        while self.expected.len() as u64 == self.geometry.capacity() && self.expected[0].is_none() {
            self.expected.pop_front();
        }
        if self.expected.len() as u64 == self.geometry.capacity() {
            assert_eq!(outcome, Err(PushFailure::Full), "beyond the capacity");
            return;
        }
        assert_eq!(outcome, Ok(()), "refused with room");
        if !dies {
            self.expected.push_back(Some(self.pushed));
            self.pushed += 1;
            return;
        }
        // Take back what it did after the claim.
        let published = |(was, is): &(u64, u64)| is & 0xffff == FULL && was != is;
        let index = before.0.into_iter().zip(self.words()).position(|words| published(&words)).unwrap();
        let word = &self.slots[index * self.geometry.stride()];
        word.store(word.load(SeqCst) & !0xffff | WRITING | u64::from(self.deaths + 1), SeqCst);
        if self.dice.roll(2) == 0 {
            self.header.tail.0.store(before.1, SeqCst);
        }
        self.deaths += 1;
        self.dead.0.borrow_mut().insert(self.deaths);
        self.expected.push_back(None);
    }

    fn words(&self) -> Vec<u64> {
        self.slots.iter().step_by(self.geometry.stride()).map(|word| word.load(SeqCst)).collect()
    }

    fn pop(&mut self, pop: Pop) {
        while self.expected.front() == Some(&None) {
            self.expected.pop_front();
        }
        match self.expected.pop_front() {
            Some(message) => assert_eq!(pop(self), Ok(message.unwrap()), "hidden, lost or reordered"),
            None => assert_eq!(pop(self), Err(PopFailure::Empty)),
        }
    }

    fn step(&mut self, pop: Pop) {
        match self.dice.roll(100) {
            0..40 => self.push(false),
            40..76 => self.pop(pop),
            76..80 => self.push(true),
            80..86 => {
                let dead = self.dice.roll(u64::from(self.deaths) + 1) as ParticipantId;
                self.queue().recover(dead, &self.dead);
            }
            86..90 => {
                self.old_heads.push(self.header.head.0.load(SeqCst));
                self.old_tails.push(self.header.tail.0.load(SeqCst));
            }
            90..95 => {
                let old = self.old_heads[self.dice.roll(self.old_heads.len() as u64) as usize];
                self.header.head.0.store(old, SeqCst);
            }
            _ => {
                let old = self.old_tails[self.dice.roll(self.old_tails.len() as u64) as usize];
                self.header.tail.0.store(old, SeqCst);
            }
        }
        let messages = self.expected.iter().flatten().count() as u64;
        assert!((messages..=self.geometry.capacity()).contains(&self.queue().len()));
    }
}

fn pop(world: &World) -> Result<u64, PopFailure> {
    let mut item = [0; ITEM];
    world.queue().try_pop(&mut item, &world.dead)?;
    assert_eq!(item[8..], [0x5a; 4]);
    Ok(u64::from_ne_bytes(item[..8].try_into().unwrap()))
}

fn run(capacity: u64, seed: u64, steps: u64, pop: Pop) {
    let mut world = World::new(capacity, seed);
    for _ in 0..steps {
        world.step(pop);
    }
    // A fresh consumer finds all that is left, and the queue is whole.
    while !world.expected.is_empty() {
        world.pop(pop);
    }
    for _ in 0..=capacity {
        world.push(false);
    }
}

// semantics 67 and 69
#[test]
fn random_runs() {
    for (capacity, runs, steps) in
        [(1, 500, 300), (2, 500, 300), (3, 500, 300), (63, 20, 2000), (64, 20, 2000), (65, 20, 2000), (1000, 3, 12000)]
    {
        for seed in 0..runs {
            run(capacity, seed << 16 | capacity, steps, pop);
        }
    }
}

/// Broken on purpose: lap L at an index taken as proof that all positions before (L - 1, index) are popped.
fn credulous_pop(world: &World) -> Result<u64, PopFailure> {
    let (geometry, mask) = (world.geometry, (1 << world.geometry.shift()) - 1);
    let mut position = world.header.head.0.load(SeqCst);
    for _ in 0..10_000 {
        let (index, lap) = (position & mask, position >> geometry.shift());
        let seen = world.slots[index as usize * geometry.stride()].load(SeqCst);
        if seen >> 16 <= lap {
            break;
        }
        let next = if index + 1 == geometry.capacity() { (lap + 1) << geometry.shift() } else { position + 1 };
        position = next.max(((seen >> 16) - 1) << geometry.shift() | index);
    }
    world.header.head.0.store(position, SeqCst);
    pop(world)
}

#[test]
fn the_simulation_finds_a_credulous_pop() {
    let found = (0..200).any(|seed| {
        std::panic::catch_unwind(|| run(3, seed, 300, credulous_pop))
            .is_err_and(|why| why.downcast_ref::<String>().is_some_and(|why| why.contains("hidden")))
    });
    assert!(found);
}
