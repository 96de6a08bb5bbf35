//! Batches of a queue. Numbers in comments are those of docs/semantics.md.

mod common;

use std::time::{Duration, Instant};

use common::accounts::{self, Accounts, or_the_end};
use common::chance::Chance;
use common::{Name, Role, hear, role, say};
use ringfence::{PopError, PushError, Queue, Segment, SegmentOptions};

/// Producers and consumers at a time, and items of a call.
const SIDE: usize = 2;
const BATCH: usize = 5;

#[test]
fn role_entry() {
    let Some((role, arguments)) = role() else { return };
    let segment = Segment::open(&arguments[0]).unwrap();
    let queue = Queue::<u64>::open(&segment, "q").unwrap();
    match role.as_str() {
        "producer" => accounts::produce_many(&segment, &arguments[1], BATCH, |items| queue.push_slice(items).unwrap()),
        "consumer" => accounts::consume_many(&segment, || {
            let mut items = [0; BATCH];
            or_the_end(queue.pop_slice(&mut items), PopError::Closed, |count| Ok(count as u64)).map(|count| {
                let count = count.ok().unwrap() as usize;
                items[..count].iter().map(|item| Ok(*item)).collect()
            })
        }),
        // One call, and what came of it.
        "pop-one" => {
            let mut items = [0];
            say("ready");
            let popped = queue.pop_slice(&mut items);
            say(&format!("{popped:?} {items:?}"));
            hear();
        }
        "push-slice" => {
            say("ready");
            say(&format!("{:?}", queue.push_slice(&[7, 8, 9])));
            hear();
        }
        _ => panic!("no role {role}"),
    }
}

fn setup(what: &str, capacity: usize) -> (Name, Segment, Queue<u64>) {
    let name = Name::new(what);
    let segment = name.create(&SegmentOptions::new());
    let queue = Queue::create(&segment, "q", capacity).unwrap();
    (name, segment, queue)
}

// semantics 165 and 166
#[test]
fn as_many_as_there_is_room_for_and_as_there_are() {
    for capacity in [1, 2, 3, 64, 65] {
        let (_name, _segment, queue) = setup("room", capacity);
        let items: Vec<u64> = (0..2 * capacity as u64).collect();
        let mut found = vec![99; 3 * capacity];
        // At every offset.
        for offset in 0..capacity {
            assert_eq!(queue.push_slice(&items), Ok(capacity));
            assert_eq!(queue.try_push_slice(&items), Err(PushError::Full(())));
            assert_eq!(queue.len(), capacity);
            assert_eq!(queue.pop_slice(&mut found), Ok(capacity));
            assert_eq!((&found[..capacity], found[capacity]), (&items[..capacity], 99));
            assert_eq!(queue.try_pop_slice(&mut found), Err(PopError::Empty));
            let part = capacity.div_ceil(2);
            assert_eq!(queue.push_slice(&items[..part]), Ok(part));
            assert_eq!(queue.try_push_slice(&items).ok(), Some(capacity - part).filter(|more| *more > 0));
            for _ in 0..offset {
                queue.pop().unwrap();
                queue.try_push(1).unwrap();
            }
            let mut left = capacity;
            while left > 0 {
                let taken = queue.pop_slice(&mut found[..2]).unwrap();
                assert!(taken == 2.min(left));
                left -= taken;
            }
            queue.push(5).unwrap(); // one further
            assert_eq!(queue.pop(), Ok(5));
        }
    }
}

// semantics 165 and 166
#[test]
fn batches_and_single_items_keep_their_order() {
    let (_name, _segment, queue) = setup("mixed", 8);
    queue.push(1).unwrap();
    assert_eq!(queue.push_slice(&[2, 3, 4]), Ok(3));
    queue.push(5).unwrap();
    let mut found = [0; 3];
    assert_eq!(queue.pop(), Ok(1));
    assert_eq!(queue.pop_slice(&mut found), Ok(3));
    assert_eq!(found, [2, 3, 4]);
    assert_eq!(queue.pop(), Ok(5));
    // Items without bytes only count.
    let segment = Segment::anonymous(&SegmentOptions::new()).unwrap();
    let counts = Queue::<[u8; 0]>::create(&segment, "counts", 3).unwrap();
    assert_eq!(counts.push_slice(&[[]; 5]), Ok(3));
    assert_eq!(counts.pop_slice(&mut [[]; 5]), Ok(3));
    // And long ones are whole.
    let long = Queue::<[u64; 128]>::create(&segment, "long", 3).unwrap();
    assert_eq!(long.push_slice(&[[1; 128], [2; 128]]), Ok(2));
    let mut found = [[0; 128]; 3];
    assert_eq!(long.pop_slice(&mut found), Ok(2));
    assert_eq!(found, [[1; 128], [2; 128], [0; 128]]);
}

// semantics 172
#[test]
fn an_empty_batch_waits_for_nothing_and_a_wait_ends_by_its_time() {
    let (_name, _segment, queue) = setup("empty", 1);
    assert_eq!(queue.pop_slice(&mut []), Ok(0));
    assert_eq!(queue.try_pop_slice(&mut []), Ok(0));
    let (short, mut found) = (Duration::from_millis(5), [0; 2]);
    assert_eq!(queue.pop_slice_timeout(&mut found, short), Err(PopError::TimedOut));
    assert_eq!(queue.pop_slice_deadline(&mut found, Instant::now() + short), Err(PopError::TimedOut));
    queue.push(1).unwrap();
    assert_eq!(queue.push_slice(&[]), Ok(0));
    assert_eq!(queue.push_slice_timeout(&[2, 3], short), Err(PushError::TimedOut(())));
    assert_eq!(queue.push_slice_deadline(&[2, 3], Instant::now() + short), Err(PushError::TimedOut(())));
    assert_eq!(queue.len(), 1);
    queue.shutdown().unwrap();
    assert_eq!(queue.push_slice(&[]), Ok(0));
    assert_eq!(queue.push_slice(&[2]), Err(PushError::Closed(())));
    assert_eq!(queue.pop_slice(&mut found), Ok(1));
    assert_eq!(queue.pop_slice(&mut found), Err(PopError::Closed));
}

// semantics 165 and 166
#[test]
fn a_batch_wakes_everybody_who_waits() {
    let (name, _segment, queue) = setup("wake", 4);
    let mut sleepers = [(); 3].map(|()| Role::start("pop-one", &[&name.0]));
    sleepers.iter_mut().for_each(|sleeper| sleeper.expect("ready"));
    assert_eq!(queue.push_slice(&[5, 5, 5]), Ok(3));
    sleepers.iter_mut().for_each(|sleeper| sleeper.expect("Ok(1) [5]"));
    sleepers.into_iter().for_each(Role::finish);
    let (name, _segment, queue) = setup("wake", 4);
    queue.push_slice(&[1, 2, 3, 4]).unwrap();
    let mut sleeper = Role::start("push-slice", &[&name.0]);
    sleeper.expect("ready");
    let mut found = [0; 4];
    assert_eq!(queue.pop_slice(&mut found), Ok(4));
    sleeper.expect("Ok(3)");
    assert_eq!(queue.pop_slice(&mut found), Ok(3));
    assert_eq!(found[..3], [7, 8, 9]);
    sleeper.finish();
}

// semantics 27, 32, 165 and 166
#[test]
fn random_kills_lose_no_more_than_a_batch() {
    let mut chance = Chance::new(10);
    for capacity in [1, 3, 64] {
        let mut books = Accounts::new("batches", SIDE, chance.rounds);
        books.batch = BATCH;
        let queue = Queue::<u64>::create(&books.segment, "q", capacity).unwrap();
        let consumers = books.kill(&mut chance);
        books.kill_all(consumers, &mut chance);
        books.drain(|| or_the_end(queue.try_pop(), PopError::Empty, Ok));
        books.check(&mut chance);
        // All the room is there.
        let items = vec![1; 2 * capacity];
        assert_eq!(queue.try_push_slice(&items), Ok(capacity));
        let mut found = vec![0; 2 * capacity];
        assert_eq!(queue.try_pop_slice(&mut found), Ok(capacity));
    }
}
