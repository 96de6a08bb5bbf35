//! The ring of records and bytes, between real processes. Numbers in comments are those of docs/semantics.md.

mod common;

use std::io::{ErrorKind, Read, Write};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

use common::{Name, PATIENCE, Role, fork, hear, reap, role, say, small, unsafe_copy};
use ringfence::{
    ByteConsumer, ByteProducer, ByteRing, Error, RingPopError, RingPushError, Segment, SegmentOptions, WaitAny,
    WaitError,
};

#[test]
fn role_entry() {
    let Some((role, arguments)) = role() else { return };
    let segment = Segment::open(&arguments[0]).unwrap();
    let ring = ByteRing::open(&segment, "r").unwrap();
    match role.as_str() {
        // Pushes records that tell their number by length and content.
        "producer" => {
            let mut producer = ring.producer().unwrap();
            let (from, to) = (arguments[1].parse().unwrap(), arguments[2].parse().unwrap());
            (from..to).for_each(|number| producer.push(&record(number)).unwrap());
            // Reserved and never committed: it is nothing.
            std::mem::forget(producer.try_reserve(3));
            say("pushed");
            hear();
        }
        "consumer" => {
            let mut consumer = ring.consumer().unwrap();
            (0..arguments[1].parse().unwrap()).for_each(|number| assert_eq!(consumer.pop(), Ok(record(number))));
            // Looked at and not released: it stays.
            std::mem::forget(consumer.try_peek());
            say("popped");
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
            say(&format!("{:?}", producer.push(&vec![7; producer.max_record()])));
            hear();
        }
        // Reads so many bytes of the stream.
        "reader" => {
            let mut consumer = ring.consumer().unwrap();
            let mut bytes = vec![0; arguments[1].parse().unwrap()];
            consumer.read_exact(&mut bytes).unwrap();
            say(&format!("sum {}", bytes.iter().map(|byte| i32::from(*byte)).sum::<i32>()));
            hear();
        }
        _ => panic!("no role {role}"),
    }
}

fn record(number: u32) -> Vec<u8> {
    vec![number as u8; number as usize % 23]
}

fn setup(what: &str, bytes: usize) -> (Name, Segment, ByteRing) {
    let name = Name::new(what);
    let segment = name.create(&SegmentOptions::new());
    let ring = ByteRing::create(&segment, "r", bytes).unwrap();
    (name, segment, ring)
}

fn ends(what: &str, bytes: usize) -> (Name, ByteRing, ByteProducer, ByteConsumer) {
    let (name, _, ring) = setup(what, bytes);
    let (producer, consumer) = (ring.producer().unwrap(), ring.consumer().unwrap());
    (name, ring, producer, consumer)
}

// semantics 124
#[test]
fn records_of_every_length_through_rings_of_every_size() {
    for size in [64, 128, 256, 1024] {
        let (_name, ring, mut producer, mut consumer) = ends("bytes-lengths", size);
        assert_eq!((ring.capacity(), ring.max_record()), (size, size / 2 - 8));
        // From everywhere in the ring.
        for turn in 0..4 * size {
            let len = turn * 7 % (ring.max_record() + 1);
            let bytes: Vec<u8> = (0..len).map(|at| (at + turn) as u8).collect();
            producer.try_push(&bytes).unwrap();
            assert!(ring.used() >= len + 8);
            assert_eq!(consumer.try_pop(), Ok(bytes));
            assert!(ring.is_empty(), "{}", ring.used());
            assert_eq!(consumer.try_pop(), Err(RingPopError::Empty));
        }
        // As many as fit, and in order.
        let mut sent = Vec::new();
        for number in 0.. {
            match producer.try_push(&record(number)[..number as usize % 23 % (ring.max_record() + 1)]) {
                Ok(()) => sent.push(record(number)[..number as usize % 23 % (ring.max_record() + 1)].to_vec()),
                Err(error) => {
                    assert_eq!(error, RingPushError::Full(()));
                    break;
                }
            }
        }
        assert_eq!(producer.push_timeout(&[0; 20], Duration::from_millis(1)), Err(RingPushError::TimedOut(())));
        assert!(ring.used() <= size);
        sent.into_iter().for_each(|bytes| assert_eq!(consumer.try_pop(), Ok(bytes)));
        assert_eq!(consumer.pop_timeout(Duration::from_millis(1)), Err(RingPopError::TimedOut));
    }
}

// semantics 74 and 124
#[test]
fn what_does_not_fit_is_said_at_once() {
    let (_name, ring, mut producer, mut consumer) = ends("bytes-long", 100);
    assert_eq!((ring.capacity(), ring.max_record()), (128, 56));
    let too_long = RingPushError::TooLong { item: (), len: 57, max: 56 };
    assert_eq!(producer.push(&[0; 57]), Err(too_long.clone()));
    assert_eq!(producer.reserve(57).unwrap_err(), too_long);
    producer.push(&[1; 56]).unwrap();
    assert_eq!(consumer.try_pop_into(&mut [0; 55]), Err(RingPopError::BufferTooShort { needed: 56 }));
    let mut buffer = [9; 60];
    assert_eq!(consumer.try_pop_into(&mut buffer), Ok(56));
    assert_eq!((buffer[55], buffer[56]), (1, 9));
    let segment = Segment::anonymous(&small()).unwrap();
    assert!(matches!(ByteRing::create(&segment, "r", 0), Err(Error::InvalidArgument(_))));
    assert!(matches!(ByteRing::create(&segment, "r", usize::MAX), Err(Error::InvalidArgument(_))));
    assert_eq!(ByteRing::open(&segment, "r").unwrap_err(), Error::Missing);
    let _ring = ByteRing::create(&segment, "r", 100).unwrap();
    assert!(ByteRing::open_or_create(&segment, "r", 128).is_ok());
    assert!(matches!(ByteRing::open_or_create(&segment, "r", 129), Err(Error::WrongShape { .. })));
    assert!(matches!(ringfence::Channel::open(&segment, "r"), Err(Error::WrongKind { .. })));
}

// semantics 125
#[test]
fn a_reservation_is_a_record_when_it_is_committed_and_as_long_as_it_says() {
    let (_name, ring, mut producer, mut consumer) = ends("bytes-reserve", 256);
    for turn in 0..200_usize {
        // Dropped, it is nothing.
        drop(producer.try_reserve(100).unwrap());
        assert!(ring.is_empty());
        let mut room = producer.try_reserve(120).unwrap();
        assert_eq!(room.len(), 120);
        let len = turn % 121;
        let bytes: Vec<u8> = (0..len).map(|at| (at * 3 + turn) as u8).collect();
        // In pieces that begin and end anywhere in a word.
        let cut = turn % 13 % (len + 1);
        room.write_at(cut, &bytes[cut..]);
        room.write_at(0, &bytes[..cut]);
        assert!(ring.is_empty());
        room.commit(len).unwrap();
        let record = consumer.try_peek().unwrap();
        assert_eq!((record.len(), record.to_vec()), (len, bytes.clone()));
        let mut part = vec![0; len - cut];
        record.read_at(cut, &mut part);
        assert_eq!(part, bytes[cut..]);
        // Dropped, it stays.
        drop(record);
        let record = consumer.try_peek().unwrap();
        assert_eq!(record.as_ptr().addr() % 8, 0);
        // SAFETY: this process alone has the segment.
        assert_eq!(unsafe { record.as_slice() }, bytes);
        record.release();
        assert_eq!(consumer.try_peek().unwrap_err(), RingPopError::Empty);
    }
    let mut room = producer.reserve(8).unwrap();
    // SAFETY: this process alone has the segment.
    unsafe { room.as_mut_slice() }.copy_from_slice(b"in place");
    room.commit(8).unwrap();
    assert_eq!(consumer.pop().unwrap(), b"in place");
    // Others are not disturbed by what is written beyond what is committed.
    producer.push(b"first").unwrap();
    let mut room = producer.reserve(90).unwrap();
    room.write_at(0, &[0xff; 90]);
    room.commit(1).unwrap();
    producer.push(b"third").unwrap();
    for expected in [&b"first"[..], &[0xff], b"third"] {
        assert_eq!(consumer.try_pop().unwrap(), expected);
    }
}

#[test]
#[should_panic = "beyond what was reserved"]
fn writing_beyond_a_reservation_is_a_panic() {
    let (_name, _ring, mut producer, _consumer) = ends("bytes-beyond", 256);
    producer.reserve(10).unwrap().write_at(8, &[0; 3]);
}

// semantics 126
#[test]
fn a_stream_has_no_borders() {
    for size in [64, 256, 4096] {
        let (_name, ring, mut producer, mut consumer) = ends("bytes-stream", size);
        let all: Vec<u8> = (0..40_000_u32).map(|at| ((at * at) >> 3) as u8).collect();
        thread::scope(|scope| {
            let written = &all;
            scope.spawn(move || {
                let mut rest = &written[..];
                for step in (1..).map(|turn| turn * 37 % 501) {
                    let count = step.min(rest.len());
                    producer.write_all(&rest[..count]).unwrap();
                    rest = &rest[count..];
                    if rest.is_empty() {
                        break;
                    }
                }
                assert_eq!(producer.write(&[]).unwrap(), 0);
                producer.flush().unwrap();
                producer.shutdown();
                assert_eq!(producer.write(&[1]).unwrap_err().kind(), ErrorKind::BrokenPipe);
            });
            let (mut found, mut step) = (Vec::<u8>::new(), 1);
            loop {
                let mut piece = vec![0; step];
                step = step * 31 % 257 + 1;
                match consumer.read(&mut piece).unwrap() {
                    0 => break,
                    count => found.extend(&piece[..count]),
                }
            }
            assert!(found == all);
            assert_eq!(consumer.read(&mut [0]).unwrap(), 0);
        });
        assert!(ring.is_empty());
    }
    let (_name, _ring, mut producer, mut consumer) = ends("bytes-mixed", 256);
    assert_eq!(consumer.try_read_some(&mut [0]), Err(RingPopError::Empty));
    assert_eq!((consumer.read_some(&mut []), producer.write_some(&[])), (Ok(0), Ok(0)));
    // Records and parts of them.
    producer.push(b"").unwrap();
    producer.push(b"abcdef").unwrap();
    let mut two = [0; 2];
    assert_eq!((consumer.try_read_some(&mut two), &two), (Ok(2), b"ab"));
    assert_eq!(consumer.try_peek().unwrap().to_vec(), b"cdef");
    assert_eq!((consumer.try_read_some(&mut two), &two), (Ok(2), b"cd"));
    assert_eq!(consumer.try_pop().unwrap(), b"ef");
    while producer.try_write_some(&[7; 100]).is_ok() {}
    assert_eq!(producer.try_write_some(&[1]), Err(RingPushError::Full(())));
    assert_eq!(producer.write_some_timeout(&[1], Duration::from_millis(1)), Err(RingPushError::TimedOut(())));
}

// semantics 117, 118, 124 and 125
#[test]
fn a_successor_goes_on_where_the_last_one_stopped() {
    let (name, _segment, ring) = setup("bytes-successor", 256);
    let (mut first, mut next) = (0, 0);
    for round in 0..10 {
        let count = round % 5;
        let mut producer = Role::start("producer", &[&name.0, &first.to_string(), &(first + count).to_string()]);
        producer.expect("pushed");
        assert!(matches!(ring.producer(), Err(Error::RoleTaken { role: "producer", .. })));
        first += count;
        if round % 2 == 0 {
            producer.kill()
        } else {
            producer.finish()
        }
        let mut consumer = ring.consumer().unwrap();
        while next < first {
            assert_eq!(consumer.try_pop(), Ok(record(next)));
            next += 1;
        }
        assert_eq!(consumer.try_pop(), Err(RingPopError::Empty));
    }
    let (name, _segment, ring) = setup("bytes-successor-of-consumer", 256);
    let mut producer = ring.producer().unwrap();
    (0..6).for_each(|number| producer.try_push(&record(number)).unwrap());
    let mut consumer = Role::start("consumer", &[&name.0, "3"]);
    consumer.expect("popped");
    consumer.kill();
    let mut consumer = ring.consumer().unwrap();
    (3..6).for_each(|number| assert_eq!(consumer.try_pop(), Ok(record(number))));
    assert!(ring.is_empty());
}

// semantics 126
#[test]
fn a_successor_goes_on_in_the_middle_of_a_piece() {
    let (name, _segment, ring) = setup("bytes-middle", 256);
    let mut producer = ring.producer().unwrap();
    producer.write_all(&(0..100).collect::<Vec<u8>>()).unwrap();
    let mut reader = Role::start("reader", &[&name.0, "13"]);
    assert_eq!(reader.number("sum "), (0..13).sum());
    reader.kill();
    let mut rest = [0; 87];
    ring.consumer().unwrap().read_exact(&mut rest).unwrap();
    assert_eq!(rest[..], (13..100).collect::<Vec<u8>>());
}

#[test]
fn blocked_ends_are_woken_and_learn_of_the_end() {
    let (name, _segment, ring) = setup("bytes-blocked", 64);
    let mut producer = ring.producer().unwrap();
    let mut blocked = Role::start("blocked consumer", &[&name.0]);
    blocked.expect("ready");
    producer.push(&[7]).unwrap();
    blocked.expect("Ok([7])");
    blocked.finish();
    (0..2).for_each(|_| producer.push(&[8; 16]).unwrap());
    drop(producer);
    let mut blocked = Role::start("blocked producer", &[&name.0]);
    blocked.expect("ready");
    let mut consumer = ring.consumer().unwrap();
    (0..2).for_each(|_| assert_eq!(consumer.pop(), Ok(vec![8; 16])));
    blocked.expect("Ok(())");
    assert_eq!(consumer.pop(), Ok(vec![7; 24]));
    blocked.finish();
    drop(consumer);
    let mut blocked = Role::start("blocked consumer", &[&name.0]);
    blocked.expect("ready");
    ring.shutdown();
    blocked.expect("Err(Closed)");
    blocked.finish();
    assert_eq!(ring.producer().unwrap().push(&[1]), Err(RingPushError::Closed(())));
    assert_eq!(ring.consumer().unwrap().pop(), Err(RingPopError::Closed));
}

// semantics 121
#[test]
fn shutdown_is_exact() {
    for round in 0..300_u32 {
        let (_name, ring, mut producer, mut consumer) = ends("bytes-exact", [64, 256, 4096][round as usize % 3]);
        let begun = AtomicU32::new(0);
        let (pushed, popped) = thread::scope(|scope| {
            let producing = scope.spawn(|| {
                for number in 0.. {
                    begun.fetch_add(1, Ordering::Relaxed);
                    match producer.push(&record(number)) {
                        Ok(()) => {}
                        Err(error) => {
                            assert_eq!(error, RingPushError::Closed(()));
                            return number;
                        }
                    }
                }
                unreachable!("it is shut down before");
            });
            let consuming = scope.spawn(|| {
                for number in 0.. {
                    match consumer.pop() {
                        Ok(bytes) => assert_eq!(bytes, record(number)),
                        Err(error) => {
                            assert_eq!((error, consumer.pop()), (RingPopError::Closed, Err(RingPopError::Closed)));
                            return number;
                        }
                    }
                }
                unreachable!("it is shut down before");
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
        assert!(ring.is_empty());
    }
    // A reservation does not hold it up.
    let (_name, ring, mut producer, mut consumer) = ends("bytes-reserved", 256);
    let room = producer.reserve(8).unwrap();
    ring.shutdown();
    assert_eq!(consumer.pop(), Err(RingPopError::Closed));
    assert_eq!(room.commit(8), Err(RingPushError::Closed(())));
    assert_eq!(consumer.pop(), Err(RingPopError::Closed));
}

// semantics 122
#[test]
fn who_asks_is_told_that_nobody_is_there() {
    let (_name, ring, mut producer, mut consumer) = ends("bytes-alone", 64);
    producer.push(&[1]).unwrap();
    assert!(consumer.has_producer() && producer.has_consumer());
    drop(producer);
    consumer.set_tell_if_alone(true);
    assert_eq!(consumer.pop(), Ok(vec![1]));
    assert_eq!(consumer.pop(), Err(RingPopError::NoProducer));
    assert_eq!(consumer.peek().unwrap_err(), RingPopError::NoProducer);
    // In a stream that is its end.
    assert_eq!(consumer.read(&mut [0]).unwrap(), 0);
    drop(consumer);
    let mut producer = ring.producer().unwrap();
    producer.set_tell_if_alone(true);
    while producer.try_push(&[2; 24]).is_ok() {}
    while producer.try_write_some(&[2; 24]).is_ok() {}
    assert_eq!(producer.push(&[2; 24]), Err(RingPushError::NoConsumer(())));
    assert_eq!(producer.write(&[3; 24]).unwrap_err().kind(), ErrorKind::BrokenPipe);
}

// semantics 123
#[test]
fn a_forked_child_has_neither_end() {
    let (_name, ring, mut producer, mut consumer) = ends("bytes-fork", 256);
    producer.push(b"one").unwrap();
    let room = producer.reserve(8).unwrap();
    let child = fork(|| {
        assert_eq!(room.commit(8), Err(RingPushError::NotOwner(())));
        let record = consumer.peek();
        assert_eq!(record.unwrap_err(), RingPopError::NotOwner);
        assert!(matches!(ring.producer(), Err(Error::RoleTaken { .. })));
    });
    assert_eq!(reap(child), 0);
    let child = fork(|| {
        assert_eq!(producer.push(b"no"), Err(RingPushError::NotOwner(())));
        assert_eq!(producer.reserve(1).unwrap_err(), RingPushError::NotOwner(()));
        assert_eq!(producer.write_some(b"no"), Err(RingPushError::NotOwner(())));
        assert_eq!(consumer.pop(), Err(RingPopError::NotOwner));
        assert_eq!(consumer.read_some(&mut [0]), Err(RingPopError::NotOwner));
        drop((unsafe_copy(&producer), unsafe_copy(&consumer)));
    });
    assert_eq!(reap(child), 0);
    // Looked at before the fork, released after it: that is the parent's affair.
    let record = consumer.peek().unwrap();
    let child = fork(|| record.release());
    assert_eq!(reap(child), 0);
    assert!(ring.has_producer() && ring.has_consumer());
    producer.push(b"two").unwrap();
    assert_eq!((consumer.pop().unwrap(), consumer.pop().unwrap()), (b"one".to_vec(), b"two".to_vec()));
}

#[test]
fn waits_for_one_of_several() {
    let (_name, ring, mut producer, mut consumer) = ends("bytes-any", 64);
    let (readable, writable) = (WaitAny::new([ring.readable()]).unwrap(), WaitAny::new([ring.writable(24)]).unwrap());
    for _ in 0..5 {
        assert_eq!(readable.try_wait().unwrap_err(), WaitError::NotReady);
        assert!(writable.try_wait().is_ok());
        thread::scope(|scope| {
            let waiting = scope.spawn(|| readable.wait_timeout(PATIENCE).unwrap());
            producer.push(&[1; 24]).unwrap();
            assert_eq!(waiting.join().unwrap().first(), 0);
            assert_eq!(writable.try_wait().unwrap_err(), WaitError::NotReady);
            let waiting = scope.spawn(|| writable.wait_timeout(PATIENCE).unwrap());
            assert_eq!(consumer.pop(), Ok(vec![1; 24]));
            assert_eq!(waiting.join().unwrap().first(), 0);
        });
    }
    assert!(WaitAny::new([ring.writable(25)]).unwrap().try_wait().is_ok(), "it never will be");
    ring.shutdown();
    assert!(readable.try_wait().is_ok() && writable.try_wait().is_ok());
}
