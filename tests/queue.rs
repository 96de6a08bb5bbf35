//! The queue between real processes. Numbers in comments are those of docs/semantics.md.

mod common;

use std::time::Duration;

use common::{Name, Role, hear, role, say};
use ringfence::{PopError, PushError, Queue, Segment, SegmentOptions};

#[test]
fn role_entry() {
    let Some((role, arguments)) = role() else { return };
    let segment = Segment::open(&arguments[0]).unwrap();
    let queue = Queue::<u64>::open(&segment, "q").unwrap();
    match role.as_str() {
        // Pushes `count` items that carry its own number in the upper half.
        "producer" => {
            let (own, count) = (arguments[1].parse::<u64>().unwrap(), arguments[2].parse::<u64>().unwrap());
            (0..count).for_each(|item| queue.push(own << 32 | item).unwrap());
        }
        "blocked-consumer" => {
            say("ready");
            let popped = queue.pop();
            say(&format!("{popped:?}"));
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

// semantics 27
#[test]
fn items_of_each_producer_arrive_whole_and_in_order() {
    let (name, _segment, queue) = setup("order", 7);
    let roles: Vec<_> = ["0", "1", "2"].map(|own| Role::start("producer", &[&name.0, own, "5000"])).into();
    let mut next = [0; 3];
    for _ in 0..15000 {
        let item = queue.pop().unwrap();
        let own = (item >> 32) as usize;
        assert_eq!(item & 0xffff_ffff, next[own]);
        next[own] += 1;
    }
    assert_eq!(next, [5000; 3]);
    assert!(queue.is_empty());
    roles.into_iter().for_each(Role::finish);
}

// semantics 22, 23, 24, 71
#[test]
fn capacity_is_exact_for_every_number() {
    for capacity in [1, 2, 3, 63, 64, 65, 1000] {
        let (_name, _segment, queue) = setup("capacity", capacity);
        assert_eq!(queue.capacity(), capacity);
        for round in 0..3 {
            for item in 0..capacity as u64 {
                queue.try_push(round * 10000 + item).unwrap();
                assert_eq!(queue.len() as u64, item + 1);
            }
            assert_eq!(queue.try_push(1), Err(PushError::Full(1)));
            assert_eq!(queue.push_timeout(2, Duration::from_millis(5)), Err(PushError::TimedOut(2)));
            for item in 0..capacity as u64 {
                assert_eq!(queue.try_pop(), Ok(round * 10000 + item));
            }
            assert_eq!(queue.try_pop(), Err(PopError::Empty));
            assert_eq!(queue.pop_timeout(Duration::from_millis(5)), Err(PopError::TimedOut));
        }
    }
}

// semantics 22 and 28
#[test]
fn shutdown_drains_and_wakes() {
    let (name, _segment, queue) = setup("shutdown", 4);
    queue.push(1).unwrap();
    queue.shutdown().unwrap();
    assert_eq!(queue.push(2), Err(PushError::Closed(2)));
    assert_eq!(queue.pop(), Ok(1));
    assert_eq!(queue.pop(), Err(PopError::Closed));
    let (name2, _segment2, queue2) = setup("shutdown-blocked", 4);
    let mut consumer = Role::start("blocked-consumer", &[&name2.0]);
    consumer.expect("ready");
    queue2.shutdown().unwrap();
    consumer.expect("Err(Closed)");
    consumer.finish();
    drop((name, queue));
}

#[test]
fn a_blocked_consumer_gets_the_item() {
    let (name, _segment, queue) = setup("wake", 4);
    let mut consumer = Role::start("blocked-consumer", &[&name.0]);
    consumer.expect("ready");
    queue.push(42).unwrap();
    consumer.expect("Ok(42)");
    consumer.finish();
}
