//! Random kills of producers and consumers of a queue under load: what was pushed arrives, once, in order. Numbers in
//! comments are those of docs/semantics.md.

mod common;

use common::accounts::{self, Accounts, or_the_end};
use common::chance::Chance;
use common::{Role, role};
use ringfence::{PopError, PushError, Queue, Segment};

/// Producers and consumers at a time.
const SIDE: usize = 2;

#[test]
fn role_entry() {
    let Some((role, arguments)) = role() else { return };
    let segment = Segment::open(&arguments[0]).unwrap();
    let queue = Queue::<u64>::open(&segment, "q").unwrap();
    match role.as_str() {
        "producer" => accounts::produce(&segment, &arguments[1], |item| queue.push(item).unwrap()),
        "consumer" => accounts::consume(&segment, || or_the_end(queue.pop(), PopError::Closed, Ok)),
        _ => panic!("no role {role}"),
    }
}

// semantics 27, 32
#[test]
fn random_kills_lose_and_double_nothing() {
    let mut chance = Chance::new(20);
    let mut books = Accounts::new("kills", SIDE, chance.rounds);
    let queue = Queue::<u64>::create(&books.segment, "q", 7).unwrap();
    let consumers = books.kill(&mut chance);
    queue.shutdown().unwrap();
    consumers.into_iter().for_each(Role::finish);
    books.check(&mut chance);
}

// semantics 23, 27 and 32
#[test]
fn capacity_stays_exact_under_kills() {
    let mut chance = Chance::new(3);
    for capacity in [1, 2, 3, 63, 64, 65, 1000] {
        let mut books = Accounts::new("exact", SIDE, chance.rounds);
        let queue = Queue::<u64>::create(&books.segment, "q", capacity).unwrap();
        let consumers = books.kill(&mut chance);
        books.kill_all(consumers, &mut chance);
        books.drain(|| or_the_end(queue.try_pop(), PopError::Empty, Ok));
        books.check(&mut chance);
        (0..capacity as u64).for_each(|item| queue.try_push(item).unwrap());
        assert_eq!(queue.try_push(0), Err(PushError::Full(0)), "of {capacity}");
        (0..capacity as u64).for_each(|item| assert_eq!(queue.try_pop(), Ok(item)));
        assert_eq!(queue.try_pop(), Err(PopError::Empty));
    }
}
