//! The ring for one producer and one consumer, between real processes. Numbers in comments are those of docs/semantics.md.

mod common;

use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

use common::{Name, PATIENCE, Role, fork, hear, reap, role, say, small, unsafe_copy, until};
use ringfence::{Consumer, Error, Producer, RingPopError, RingPushError, Segment, SegmentOptions, Spsc};

#[test]
fn role_entry() {
    let Some((role, arguments)) = role() else { return };
    let segment = Segment::open(&arguments[0]).unwrap();
    let ring = Spsc::<u64>::open(&segment, "r").unwrap();
    match role.as_str() {
        "producer" => {
            let mut producer = ring.producer().unwrap();
            let (from, to) = (arguments[1].parse::<u64>().unwrap(), arguments[2].parse::<u64>().unwrap());
            (from..to).for_each(|item| producer.push(item).unwrap());
            say("pushed");
            hear();
        }
        "blocked consumer" => {
            let mut consumer = ring.consumer().unwrap();
            say("ready");
            say(&format!("{:?}", consumer.pop()));
            hear();
        }
        "blocked producer" => {
            let mut producer = ring.producer().unwrap();
            say("ready");
            say(&format!("{:?}", producer.push(77)));
            hear();
        }
        // Takes so many, then says so and keeps the end.
        "consumer" => {
            let mut consumer = ring.consumer().unwrap();
            for expected in 0..arguments[1].parse::<u64>().unwrap() {
                assert_eq!(consumer.pop(), Ok(expected));
            }
            say("popped");
            hear();
        }
        _ => panic!("no role {role}"),
    }
}

fn setup(what: &str, capacity: usize) -> (Name, Segment, Spsc<u64>) {
    let name = Name::new(what);
    let segment = name.create(&SegmentOptions::new());
    let ring = Spsc::create(&segment, "r", capacity).unwrap();
    (name, segment, ring)
}

fn ends(what: &str, capacity: usize) -> (Name, Spsc<u64>, Producer<u64>, Consumer<u64>) {
    let (name, _, ring) = setup(what, capacity);
    let (producer, consumer) = (ring.producer().unwrap(), ring.consumer().unwrap());
    (name, ring, producer, consumer)
}

// semantics 119
#[test]
fn capacity_is_exact_for_every_number() {
    for capacity in [1, 2, 3, 63, 64, 65, 1000] {
        let (_name, ring, mut producer, mut consumer) = ends("spsc-capacity", capacity);
        assert_eq!((ring.capacity(), producer.capacity(), consumer.capacity()), (capacity, capacity, capacity));
        for round in 0..3 {
            for item in 0..capacity as u64 {
                producer.try_push(round * 10_000 + item).unwrap();
                assert_eq!(ring.len() as u64, item + 1);
            }
            assert_eq!(producer.try_push(1), Err(RingPushError::Full(1)));
            assert_eq!(producer.push_timeout(2, Duration::from_millis(2)), Err(RingPushError::TimedOut(2)));
            for item in 0..capacity as u64 {
                assert_eq!(consumer.try_pop(), Ok(round * 10_000 + item));
                assert_eq!(consumer.len() as u64, capacity as u64 - item - 1);
            }
            assert_eq!(consumer.try_pop(), Err(RingPopError::Empty));
            assert_eq!(consumer.pop_timeout(Duration::from_millis(2)), Err(RingPopError::TimedOut));
            assert!(ring.is_empty());
        }
    }
}

// semantics 120
#[test]
fn slices_of_any_length_go_through_a_ring_of_any() {
    for capacity in [1, 2, 3, 7, 64] {
        let (_name, _ring, mut producer, mut consumer) = ends("spsc-slices", capacity);
        assert_eq!((producer.push_slice(&[]), consumer.pop_slice(&mut [])), (Ok(0), Ok(0)));
        assert_eq!(consumer.try_pop_slice(&mut [0; 3]), Err(RingPopError::Empty));
        let all: Vec<u64> = (0..1000).collect();
        let (mut pushed, mut found) = (0, Vec::<u64>::new());
        let mut step = 0;
        while found.len() < all.len() {
            step = step % 11 + 1;
            match producer.try_push_slice(&all[pushed..all.len().min(pushed + step)]) {
                Ok(count) => pushed += count,
                Err(error) => assert!(error == RingPushError::Full(()) && pushed - found.len() == capacity),
            }
            let mut room = [0; 5];
            let room = &mut room[..step % 5 + 1];
            let count = consumer.pop_slice_timeout(room, PATIENCE).unwrap();
            assert!((1..=room.len()).contains(&count));
            found.extend(&room[..count]);
        }
        assert_eq!(found, all);
        assert_eq!(consumer.pop_slice_timeout(&mut [0], Duration::from_millis(1)), Err(RingPopError::TimedOut));
        while producer.try_push_slice(&[1, 2, 3]).is_ok() {}
        assert_eq!(producer.push_slice_timeout(&[1], Duration::from_millis(1)), Err(RingPushError::TimedOut(())));
    }
}

/// Items of all sizes, with an odd rest, come out as they went in.
#[test]
fn items_of_every_size() {
    fn of<const N: usize>(segment: &Segment)
    where
        [u8; N]: ringfence::Plain,
    {
        let ring = Spsc::<[u8; N]>::create(segment, &format!("of {N}"), 3).unwrap();
        let (mut producer, mut consumer) = (ring.producer().unwrap(), ring.consumer().unwrap());
        for round in 0..7_u8 {
            let item = std::array::from_fn(|at| round.wrapping_mul(31).wrapping_add(at as u8));
            producer.push(item).unwrap();
            assert_eq!(consumer.pop(), Ok(item));
        }
    }
    let segment = Segment::anonymous(&SegmentOptions::new()).unwrap();
    of::<0>(&segment);
    of::<1>(&segment);
    of::<7>(&segment);
    of::<8>(&segment);
    of::<9>(&segment);
    of::<31>(&segment);
    of::<256>(&segment);
}

// semantics 117
#[test]
fn a_second_living_one_is_refused() {
    let (name, _segment, ring) = setup("spsc-second", 4);
    assert!(!ring.has_producer() && !ring.has_consumer());
    let first = ring.producer().unwrap();
    let own = std::process::id();
    assert_eq!(ring.producer().unwrap_err(), Error::RoleTaken { role: "producer", pid: Some(own) });
    assert!(ring.has_producer() && !ring.has_consumer());
    drop(first);
    assert!(!ring.has_producer());
    let mut other = Role::start("producer", &[&name.0, "0", "3"]);
    other.expect("pushed");
    let error = ring.producer().unwrap_err();
    assert_eq!(error, Error::RoleTaken { role: "producer", pid: Some(other.pid() as u32) });
    assert!(error.to_string().contains("has a producer already"), "{error}");
    // Stopped is not dead.
    other.signal(libc::SIGSTOP);
    assert!(matches!(ring.producer(), Err(Error::RoleTaken { .. })));
    other.kill();
    let mut next = ring.producer().unwrap();
    next.push(3).unwrap();
    let mut consumer = ring.consumer().unwrap();
    for expected in 0..4 {
        assert_eq!(consumer.pop(), Ok(expected));
    }
    assert!(matches!(ring.consumer(), Err(Error::RoleTaken { role: "consumer", .. })));
}

// semantics 118
#[test]
fn a_successor_goes_on_where_the_last_one_stopped() {
    for capacity in [1, 2, 3, 8] {
        let (name, _segment, ring) = setup("spsc-successor", capacity);
        let (mut first, mut next) = (0, 0);
        for round in 0..8_u64 {
            let count = round % (capacity as u64 + 1);
            let mut producer = Role::start("producer", &[&name.0, &first.to_string(), &(first + count).to_string()]);
            producer.expect("pushed");
            first += count;
            // Half of them leave in peace.
            if round % 2 == 0 {
                producer.kill()
            } else {
                producer.finish()
            }
            let mut consumer = ring.consumer().unwrap();
            while next < first {
                assert_eq!(consumer.try_pop(), Ok(next));
                next += 1;
            }
            assert_eq!(consumer.try_pop(), Err(RingPopError::Empty));
        }
        let mut producer = ring.producer().unwrap();
        (0..capacity as u64).for_each(|item| producer.try_push(item).unwrap());
        assert_eq!(producer.try_push(9), Err(RingPushError::Full(9)));
        let mut consumer = Role::start("consumer", &[&name.0, "1"]);
        consumer.expect("popped");
        consumer.kill();
        producer.try_push(capacity as u64).unwrap();
        let mut consumer = ring.consumer().unwrap();
        for expected in 1..=capacity as u64 {
            assert_eq!(consumer.try_pop(), Ok(expected));
        }
    }
}

#[test]
fn blocked_ends_are_woken() {
    let (name, _segment, ring) = setup("spsc-blocked", 1);
    let mut producer = ring.producer().unwrap();
    let mut blocked = Role::start("blocked consumer", &[&name.0]);
    blocked.expect("ready");
    producer.push(7).unwrap();
    blocked.expect("Ok(7)");
    blocked.finish();
    producer.push(8).unwrap();
    drop(producer);
    let mut blocked = Role::start("blocked producer", &[&name.0]);
    blocked.expect("ready");
    let mut consumer = ring.consumer().unwrap();
    assert_eq!(consumer.pop(), Ok(8));
    blocked.expect("Ok(())");
    assert_eq!(consumer.pop(), Ok(77));
    blocked.finish();
}

// semantics 22 and 121
#[test]
fn shutdown_drains_and_wakes() {
    let (_name, ring, mut producer, mut consumer) = ends("spsc-shutdown", 4);
    producer.push(1).unwrap();
    assert!(!ring.is_shut_down());
    ring.shutdown();
    assert!(producer.is_shut_down() && consumer.is_shut_down());
    assert_eq!(producer.push(2), Err(RingPushError::Closed(2)));
    assert_eq!(producer.push_slice(&[2]), Err(RingPushError::Closed(())));
    assert_eq!(consumer.pop(), Ok(1));
    for _ in 0..2 {
        assert_eq!(consumer.pop(), Err(RingPopError::Closed));
        assert_eq!(consumer.pop_slice(&mut [0]), Err(RingPopError::Closed));
    }
    drop(consumer);
    assert_eq!(ring.consumer().unwrap().pop(), Err(RingPopError::Closed));
    for who in ["blocked consumer", "blocked producer"] {
        let (name, _segment, ring) = setup("spsc-shutdown-blocked", 1);
        let mut own = ring.producer().unwrap();
        if who == "blocked producer" {
            own.push(1).unwrap();
        }
        drop(own);
        let mut blocked = Role::start(who, &[&name.0]);
        blocked.expect("ready");
        ring.shutdown();
        blocked.expect(if who == "blocked consumer" { "Err(Closed)" } else { "Err(Closed(77))" });
        blocked.finish();
    }
}

/// What was accepted is delivered, what was refused is not, wherever the shutdown comes between.
// semantics 121
#[test]
fn shutdown_is_exact() {
    for round in 0..400_u32 {
        let (_name, ring, mut producer, mut consumer) = ends("spsc-exact", [1, 2, 3, 64][round as usize % 4]);
        let begun = AtomicU32::new(0);
        let (pushed, popped) = thread::scope(|scope| {
            let producing = scope.spawn(|| {
                let mut next = 0;
                loop {
                    begun.fetch_add(1, Ordering::Relaxed);
                    let pushed = if round % 2 == 0 {
                        producer.push(next).map(|()| 1).map_err(RingPushError::into_inner)
                    } else {
                        let items = [next, next + 1, next + 2, next + 3, next + 4];
                        producer.push_slice(&items).map_err(|error| {
                            assert_eq!(error, RingPushError::Closed(()));
                            next
                        })
                    };
                    match pushed {
                        Ok(count) => next += count as u64,
                        Err(back) => {
                            assert_eq!(back, next);
                            return next;
                        }
                    }
                }
            });
            let consuming = scope.spawn(|| {
                let mut next = 0;
                loop {
                    match consumer.pop() {
                        Ok(item) => assert_eq!(item, next),
                        Err(error) => {
                            assert_eq!(error, RingPopError::Closed);
                            assert_eq!(consumer.pop(), Err(RingPopError::Closed));
                            return next;
                        }
                    }
                    next += 1;
                }
            });
            while begun.load(Ordering::Relaxed) < round % 50 {
                std::hint::spin_loop();
            }
            ring.shutdown();
            (producing.join().unwrap(), consuming.join().unwrap())
        });
        assert_eq!(pushed, popped, "round {round}");
        drop(consumer);
        assert_eq!(ring.consumer().unwrap().try_pop(), Err(RingPopError::Closed));
        assert_eq!(ring.len(), 0);
    }
}

// semantics 122
#[test]
fn who_asks_is_told_that_nobody_is_there() {
    let (name, _segment, ring) = setup("spsc-alone", 2);
    let mut consumer = ring.consumer().unwrap();
    let mut other = Role::start("producer", &[&name.0, "0", "2"]);
    other.expect("pushed");
    assert_eq!((consumer.pop(), consumer.has_producer()), (Ok(0), true));
    // Without asking, a wait goes on.
    other.kill();
    assert!(!consumer.has_producer());
    assert_eq!(consumer.pop(), Ok(1));
    assert_eq!(consumer.pop_timeout(Duration::from_millis(20)), Err(RingPopError::TimedOut));
    consumer.set_tell_if_alone(true);
    assert_eq!(consumer.pop(), Err(RingPopError::NoProducer));
    assert_eq!(consumer.try_pop(), Err(RingPopError::Empty));
    assert_eq!(consumer.pop_slice(&mut [0]), Err(RingPopError::NoProducer));
    // A death during the wait, and a leave.
    for end in [Role::kill, Role::finish] {
        let mut other = Role::start("producer", &[&name.0, "0", "0"]);
        other.expect("pushed");
        let waiting = thread::spawn(move || {
            let told = consumer.pop();
            (consumer, told)
        });
        end(other);
        let (back, told) = waiting.join().unwrap();
        assert_eq!(told, Err(RingPopError::NoProducer));
        consumer = back;
    }
    drop(consumer);
    let mut producer = ring.producer().unwrap();
    producer.set_tell_if_alone(true);
    assert_eq!(producer.push_slice(&[1, 2, 3]), Ok(2));
    assert_eq!(producer.push(3), Err(RingPushError::NoConsumer(3)));
    assert_eq!(producer.try_push(3), Err(RingPushError::Full(3)));
    let consumer = ring.consumer().unwrap();
    assert!(producer.has_consumer());
    assert_eq!(producer.push_timeout(3, Duration::from_millis(5)), Err(RingPushError::TimedOut(3)));
    drop(consumer);
}

// semantics 123
#[test]
fn a_forked_child_has_neither_end() {
    let (_name, ring, mut producer, mut consumer) = ends("spsc-fork", 4);
    producer.push(1).unwrap();
    let child = fork(|| {
        assert_eq!(producer.push(2), Err(RingPushError::NotOwner(2)));
        assert_eq!(producer.push_slice(&[2]), Err(RingPushError::NotOwner(())));
        assert_eq!(consumer.pop(), Err(RingPopError::NotOwner));
        assert_eq!(consumer.pop_slice(&mut [0]), Err(RingPopError::NotOwner));
        drop((unsafe_copy(&producer), unsafe_copy(&consumer)));
        // The handle of the ring is as good as any.
        assert!(ring.has_producer() && ring.len() == 1);
        assert!(matches!(ring.producer(), Err(Error::RoleTaken { .. })));
    });
    assert_eq!(reap(child), 0);
    assert!(ring.has_producer() && ring.has_consumer());
    // And if the drop is the child's first call.
    let child = fork(|| drop((unsafe_copy(&producer), unsafe_copy(&consumer))));
    assert_eq!(reap(child), 0);
    assert!(ring.has_producer() && ring.has_consumer());
    producer.push(2).unwrap();
    assert_eq!((consumer.pop(), consumer.pop()), (Ok(1), Ok(2)));
    // A child takes an end that is free, though it has a copy of the handle that had it.
    let copy = unsafe_copy(&producer);
    drop(producer);
    let child = fork(|| {
        let mut own = ring.producer().unwrap();
        own.push(5).unwrap();
        std::mem::forget(own);
    });
    assert_eq!(reap(child), 0);
    std::mem::forget(copy);
    assert_eq!(consumer.pop(), Ok(5));
    until("the child is dead", || !ring.has_producer());
}

/// An end is the process's: it goes from thread to thread, and a thread that ends keeps nothing of it.
#[test]
fn an_end_goes_from_thread_to_thread() {
    let (_name, ring, mut producer, consumer) = ends("spsc-threads", 4);
    drop(consumer);
    for item in 0..20 {
        producer = thread::spawn(move || {
            producer.push(item).unwrap();
            producer
        })
        .join()
        .unwrap();
        let consumer = thread::scope(|scope| {
            scope
                .spawn(|| {
                    let mut consumer = ring.consumer().unwrap();
                    assert_eq!(consumer.pop(), Ok(item));
                    consumer
                })
                .join()
                .unwrap()
        });
        drop(consumer);
    }
    // Dropped by a thread that ends, out of its thread-local storage.
    std::thread_local! {
        static KEPT: std::cell::RefCell<Option<Producer<u64>>> = const { std::cell::RefCell::new(None) };
    }
    thread::spawn(move || KEPT.with(|kept| *kept.borrow_mut() = Some(producer))).join().unwrap();
    assert!(!ring.has_producer());
}

#[test]
fn wrong_openings() {
    let segment = Segment::anonymous(&small()).unwrap();
    assert_eq!(Spsc::<u64>::open(&segment, "r").unwrap_err(), Error::Missing);
    assert!(matches!(Spsc::<u64>::create(&segment, "r", 0), Err(Error::InvalidArgument(_))));
    let _ring = Spsc::<u64>::create(&segment, "r", 2).unwrap();
    assert_eq!(Spsc::<u64>::create(&segment, "r", 2).unwrap_err(), Error::Exists);
    assert!(matches!(Spsc::<u64>::open_or_create(&segment, "r", 3), Err(Error::WrongShape { .. })));
    assert!(matches!(Spsc::<u32>::open(&segment, "r"), Err(Error::WrongShape { .. })));
    assert!(matches!(ringfence::Queue::<u64>::open(&segment, "r"), Err(Error::WrongKind { .. })));
}

/// A wait for one of several ends for an item, for room, and for the end; and a ring that has neither is not ready.
#[test]
fn waits_for_one_of_several() {
    use ringfence::{WaitAny, WaitError};
    let (_name, ring, mut producer, mut consumer) = ends("spsc-any", 1);
    let (readable, writable) = (WaitAny::new([ring.readable()]).unwrap(), WaitAny::new([ring.writable()]).unwrap());
    for item in 0..5 {
        assert_eq!(readable.try_wait().unwrap_err(), WaitError::NotReady);
        assert!(writable.try_wait().is_ok());
        thread::scope(|scope| {
            let waiting = scope.spawn(|| readable.wait_timeout(PATIENCE).unwrap());
            producer.push(item).unwrap();
            assert_eq!(waiting.join().unwrap().first(), 0);
            assert_eq!(writable.try_wait().unwrap_err(), WaitError::NotReady);
            let waiting = scope.spawn(|| writable.wait_timeout(PATIENCE).unwrap());
            assert_eq!(consumer.pop(), Ok(item));
            assert_eq!(waiting.join().unwrap().first(), 0);
        });
    }
    let both = WaitAny::new([ring.writable(), ring.readable()]).unwrap();
    assert_eq!(both.try_wait().unwrap().bits(), 1);
    thread::scope(|scope| {
        let waiting = scope.spawn(|| readable.wait_timeout(PATIENCE).unwrap());
        ring.shutdown();
        assert_eq!(waiting.join().unwrap().first(), 0);
    });
    assert_eq!(both.try_wait().unwrap().bits(), 3);
}
