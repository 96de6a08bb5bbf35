//! The queue's algorithm with real threads, and with garbage for memory.
#![cfg(not(ringfence_loom))]

use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::{Duration, Instant};

use ringfence::layout::queue::{Geometry, MAX_CAPACITY, QueueHeader};
use ringfence::raw::queue::{PopFailure, PushFailure, Queue};
use ringfence::raw::{Fate, Owner, ParticipantId, Peers};
use ringfence::sys::membarrier;
use ringfence::sys::nap::{Deadline, Wait};

struct Everybody(Fate);

impl Peers for Everybody {
    fn fate(&self, _: ParticipantId) -> Fate {
        self.0
    }
}

const ALIVE: Everybody = Everybody(Fate::Alive);
const FOREVER: Wait = Wait { deadline: Deadline::Forever, interruptible: false };
const NOW: Wait = Wait { deadline: Deadline::Now, interruptible: false };

struct Memory {
    header: QueueHeader,
    slots: Vec<AtomicU64>,
}

impl Memory {
    fn new(capacity: u64, item_size: u64) -> Self {
        let geometry = Geometry::new(capacity, item_size).unwrap();
        let slots = (0..geometry.words()).map(|_| AtomicU64::new(0)).collect();
        Self { header: QueueHeader::new(geometry), slots }
    }

    fn queue(&self) -> Queue<'_> {
        Queue::attach(&self.header, &self.slots).unwrap()
    }
}

fn me() -> Owner {
    Owner::new(1, 1).unwrap()
}

/// Two producers and two consumers that sleep: every message once, in each producer's order, whole, for odd sizes.
#[test]
fn threads_that_sleep() {
    const EACH: u64 = 20_000;
    membarrier::register();
    for (capacity, item_size) in [(1, 8), (2, 13), (7, 64), (64, 100)] {
        let memory = Memory::new(capacity, item_size);
        let size = item_size as usize;
        let mut got = std::thread::scope(|scope| {
            for producer in 0..2 {
                let queue = memory.queue();
                scope.spawn(move || {
                    for number in 0..EACH {
                        let mut item = vec![number as u8; size];
                        item[..8].copy_from_slice(&(producer * EACH + number).to_ne_bytes());
                        queue.push(me(), &item, &ALIVE, FOREVER).unwrap();
                    }
                });
            }
            let consumers = [(); 2].map(|()| {
                let queue = memory.queue();
                scope.spawn(move || {
                    let mut got = Vec::new();
                    for _ in 0..EACH {
                        let mut item = vec![0; size];
                        queue.pop(&mut item, &ALIVE, FOREVER).unwrap();
                        let value = u64::from_ne_bytes(item[..8].try_into().unwrap());
                        assert!(item[8..].iter().all(|byte| *byte == (value % EACH) as u8), "torn");
                        got.push(value);
                    }
                    for producer in 0..2 {
                        assert!(got.iter().filter(|value| **value / EACH == producer).is_sorted(), "order");
                    }
                    got
                })
            });
            consumers.map(|consumer| consumer.join().unwrap()).concat()
        });
        got.sort_unstable();
        assert!(got.into_iter().eq(0..2 * EACH));
        assert!(memory.queue().is_empty());
    }
}

#[test]
fn the_end_of_waiting() {
    let memory = Memory::new(2, 8);
    let queue = memory.queue();
    let mut item = [0; 8];
    let soon = || Wait::until(Deadline::after(Duration::from_millis(30)));
    let start = Instant::now();
    assert_eq!(queue.pop(&mut item, &ALIVE, soon()), Err(PopFailure::TimedOut));
    assert!(start.elapsed() >= Duration::from_millis(30));
    assert_eq!(queue.pop(&mut item, &ALIVE, NOW), Err(PopFailure::Empty));
    queue.push(me(), &[1; 8], &ALIVE, NOW).unwrap();
    queue.push(me(), &[2; 8], &ALIVE, NOW).unwrap();
    assert_eq!(queue.push(me(), &[3; 8], &ALIVE, NOW), Err(PushFailure::Full));
    assert_eq!(queue.push(me(), &[3; 8], &ALIVE, soon()), Err(PushFailure::TimedOut));
    assert_eq!(queue.len(), 2);
    queue.shutdown();
    assert_eq!(queue.push(me(), &[3; 8], &ALIVE, FOREVER), Err(PushFailure::Closed));
    queue.pop(&mut item, &ALIVE, FOREVER).unwrap();
    queue.pop(&mut item, &ALIVE, FOREVER).unwrap();
    assert_eq!(item, [2; 8]);
    assert_eq!(queue.pop(&mut item, &ALIVE, FOREVER), Err(PopFailure::Closed));
    assert!(queue.is_shut_down() && queue.is_empty());
}

/// A producer that is stopped, not dead, between claim and publication: the others are told, or wait, but never pass
/// it.
#[test]
fn a_stopped_producer_is_waited_for() {
    let memory = Memory::new(2, 8);
    let queue = memory.queue();
    memory.slots[0].store(1 << 13 | 7, SeqCst);
    let mut item = [0; 8];
    queue.try_push(me(), &[2; 8], &ALIVE).unwrap();
    assert_eq!(queue.try_pop(&mut item, &ALIVE), Err(PopFailure::Busy));
    assert_eq!(queue.try_push(me(), &[3; 8], &ALIVE), Err(PushFailure::Full));
    assert_eq!(queue.recover(7, &ALIVE), 0);
    assert_eq!(queue.try_pop(&mut item, &Everybody(Fate::Invalid)), Err(PopFailure::Corrupted));
    assert_eq!(queue.recover(7, &Everybody(Fate::Dead)), 1);
    queue.try_pop(&mut item, &ALIVE).unwrap();
    assert_eq!(item, [2; 8]);
}

/// Laps are 48 bits wide: at their end a queue of one slot goes on.
#[test]
fn laps_wrap() {
    let memory = Memory::new(1, 8);
    let last = (1u64 << 48) - 1;
    memory.slots[0].store((last - 1) << 16, SeqCst);
    memory.header.head.0.store(last - 1, SeqCst);
    memory.header.tail.0.store(last - 1, SeqCst);
    for round in 0..4 {
        let mut item = [0; 8];
        memory.queue().try_push(me(), &[round; 8], &ALIVE).unwrap();
        assert_eq!(memory.queue().try_push(me(), &[9; 8], &ALIVE), Err(PushFailure::Full));
        assert_eq!(memory.queue().len(), 1);
        if round == 1 {
            memory.header.head.0.store(last - 1, SeqCst);
        }
        memory.queue().try_pop(&mut item, &ALIVE).unwrap();
        assert_eq!(item, [round; 8]);
        assert_eq!(memory.queue().try_pop(&mut item, &ALIVE), Err(PopFailure::Empty));
    }
}

#[test]
fn shapes() {
    for (capacity, item_size) in [(0, 8), (MAX_CAPACITY + 1, 8), (1, u64::MAX), (MAX_CAPACITY, 1 << 40)] {
        assert_eq!(Geometry::new(capacity, item_size), None);
    }
    let memory = Memory::new(3, 9);
    assert_eq!(memory.queue().geometry().stride(), 3);
    assert!(Queue::attach(&memory.header, &memory.slots[1..]).is_none());
    memory.header.shared.0.capacity.store(4, SeqCst);
    assert!(Queue::attach(&memory.header, &memory.slots).is_none());
}

/// Whatever bytes lie there, every call ends, inside the memory.
#[test]
fn garbage() {
    let mut state = 1u64;
    let mut random = move || {
        state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
        state ^ state >> 31
    };
    let mut corrupted = 0;
    for run in 0..20_000u64 {
        let memory = Memory::new(1 + run % 5, 12);
        let queue = memory.queue();
        // From wild words to ones that are nearly right.
        let wild = [u64::MAX, 0x3_ffff, 0x1_e007, 0xf_6001][(run / 5 % 4) as usize];
        for _ in 0..1 + random() % 6 {
            let at = random() as usize % memory.slots.len();
            memory.slots[at].store(random() & wild, SeqCst);
        }
        match random() % 4 {
            0 => memory.header.head.0.store(random() & (wild | 7), SeqCst),
            1 => memory.header.tail.0.store(random() & (wild | 7), SeqCst),
            _ => {}
        }
        let peers = Everybody([Fate::Alive, Fate::Dead, Fate::Invalid][(random() % 3) as usize]);
        for _ in 0..8 {
            let mut item = [0; 12];
            corrupted += u32::from(queue.try_pop(&mut item, &peers) == Err(PopFailure::Corrupted));
            corrupted += u32::from(queue.try_push(me(), &item, &peers) == Err(PushFailure::Corrupted));
            assert!(queue.len() <= queue.geometry().capacity());
            queue.recover(7, &peers);
        }
    }
    assert!(corrupted > 0);
}
