//! Models of the cell: a writer dies at any step, readers with and without the lock see the old or the new value.
#![cfg(ringfence_loom)]

mod mortals;

use std::sync::atomic::Ordering::SeqCst;

use loom::sync::Arc;
use loom::thread;
use mortals::{FOREVER, Mortals, at_every_step, explore, must_fail, owner};
use ringfence::layout::mutex::LockWord;
use ringfence::primitive::{AtomicU64, Ordering};
use ringfence::raw::cell::{Cell, cell_words};
use ringfence::raw::{ParticipantId, mutex, words};

/// Two words whose bytes are all the same whenever the value is whole.
const SIZE: usize = 16;

struct World {
    lock: LockWord,
    words: Vec<AtomicU64>,
    peers: Mortals,
}

impl World {
    fn new() -> Arc<Self> {
        let words = (0..cell_words(SIZE)).map(|_| AtomicU64::new(0)).collect();
        Arc::new(Self { lock: LockWord::new(), words, peers: Mortals::new() })
    }

    fn cell(&self) -> Cell<'_> {
        Cell::new(&self.words, SIZE).unwrap()
    }

    fn locked<R>(&self, me: ParticipantId, f: impl FnOnce() -> R) -> R {
        if mutex::lock(&self.lock, owner(me), &self.peers, FOREVER).unwrap() == mutex::Acquired::OwnerDied {
            mutex::make_consistent(&self.lock, owner(me)).unwrap();
        }
        let result = f();
        mutex::unlock(&self.lock, owner(me)).unwrap();
        result
    }

    fn write(&self, me: ParticipantId, byte: u8) {
        self.locked(me, || self.cell().write_locked(&[byte; SIZE]));
    }
}

fn whole(value: [u8; SIZE]) -> u8 {
    assert!(value.iter().all(|byte| *byte == value[0]), "torn: {value:?}");
    value[0]
}

#[test]
fn a_reader_without_the_lock_sees_whole_values_in_order() {
    explore(2, || {
        let world = World::new();
        let other = world.clone();
        let writer = thread::spawn(move || (1..=2).for_each(|byte| other.write(1, byte)));
        let mut last = 0;
        for _ in 0..2 {
            let mut value = [0; SIZE];
            if world.cell().read(&mut value) {
                assert!(whole(value) >= last, "went back");
                last = whole(value);
            }
        }
        writer.join().unwrap();
        let mut value = [0; SIZE];
        assert!(world.cell().read(&mut value));
        assert_eq!(whole(value), 2);
    });
}

/// Old or new, for readers of both sorts, and the next writer finds nothing to repair.
#[test]
fn a_writer_dies_at_any_step() {
    at_every_step(2, |step, deaths| {
        let world = World::new();
        world.write(4, 1);
        let other = world.clone();
        let reader = thread::spawn(move || {
            let mut value = [0; SIZE];
            if other.cell().read(&mut value) {
                assert!([1, 2, 3].contains(&whole(value)));
            }
        });
        let other = world.clone();
        let survivor = thread::spawn(move || {
            let mut value = [0; SIZE];
            other.locked(2, || {
                other.cell().read_locked(&mut value);
                assert!([1, 3].contains(&whole(value)));
                other.cell().write_locked(&[2; SIZE]);
                other.cell().read_locked(&mut value);
                assert_eq!(whole(value), 2);
            });
        });
        if world.peers.live(1, step, || world.write(1, 3)).is_none() {
            deaths.fetch_add(1, SeqCst);
            mutex::recover(&world.lock, 1, &world.peers);
        }
        reader.join().unwrap();
        survivor.join().unwrap();
        let mut value = [0; SIZE];
        assert!(world.cell().read(&mut value));
        assert!([2, 3].contains(&whole(value)));
    });
}

/// Broken on purpose: one copy, written in place.
#[test]
#[ignore = "must fail: run by a_single_copy_is_caught"]
fn single_copy() {
    at_every_step(2, |step, deaths| {
        let world = World::new();
        let write = || world.locked(1, || words::store(&world.words[1..3], &[3; SIZE]));
        if world.peers.live(1, step, write).is_none() {
            deaths.fetch_add(1, SeqCst);
        }
        let mut value = [0; SIZE];
        world.cell().read_locked(&mut value);
        whole(value);
    });
}

#[test]
fn a_single_copy_is_caught() {
    must_fail("single_copy", "torn");
}

/// Broken on purpose: a writer without the fence before the copy it overwrites.
#[test]
#[ignore = "must fail: run by a_missing_fence_is_caught"]
fn without_fence() {
    explore(3, || {
        let world = World::new();
        let other = world.clone();
        let writer = thread::spawn(move || {
            for byte in 1..=2_u8 {
                let next = other.words[0].load(Ordering::Relaxed) + 1;
                let copy = 1 + 2 * (next & 1) as usize;
                words::store(&other.words[copy..copy + 2], &[byte; SIZE]);
                other.words[0].store(next, Ordering::Release);
            }
        });
        let mut value = [0; SIZE];
        if world.cell().read(&mut value) {
            whole(value);
        }
        writer.join().unwrap();
    });
}

#[test]
fn a_missing_fence_is_caught() {
    must_fail("without_fence", "torn");
}
