//! Random kills of the two ends of a ring under load: what was pushed arrives, once, in order. Numbers in comments are those
//! of docs/semantics.md.

mod common;

use common::accounts::{self, Accounts, Torn, or_the_end};
use common::chance::Chance;
use common::{Role, role};
use ringfence::{RingPopError, Segment, Spsc};

#[test]
fn role_entry() {
    let Some((role, arguments)) = role() else { return };
    let segment = Segment::open(&arguments[0]).unwrap();
    // Three equal words: a torn item shows.
    let ring = Spsc::<[u64; 3]>::open(&segment, "r").unwrap();
    match role.as_str() {
        "producer" => {
            let mut producer = ring.producer().unwrap();
            accounts::produce(&segment, &arguments[1], |item| producer.push([item; 3]).unwrap());
        }
        "consumer" => {
            let mut consumer = ring.consumer().unwrap();
            accounts::consume(&segment, || or_the_end(consumer.pop(), RingPopError::Closed, whole));
        }
        _ => panic!("no role {role}"),
    }
}

fn whole(item: [u64; 3]) -> Result<u64, Torn> {
    if item == [item[0]; 3] { Ok(item[0]) } else { Err(Torn) }
}

// semantics 117, 118
#[test]
fn random_kills_lose_and_double_nothing() {
    let mut chance = Chance::new(20);
    let mut books = Accounts::new("spsc-kills", 1, chance.rounds);
    let ring = Spsc::<[u64; 3]>::create(&books.segment, "r", 7).unwrap();
    let consumers = books.kill(&mut chance);
    ring.shutdown();
    consumers.into_iter().for_each(Role::finish);
    books.check(&mut chance);
}

// semantics 118 and 119
#[test]
fn capacity_stays_exact_under_kills() {
    let mut chance = Chance::new(3);
    for capacity in [1, 2, 3, 64, 65] {
        let mut books = Accounts::new("spsc-exact", 1, chance.rounds);
        let ring = Spsc::<[u64; 3]>::create(&books.segment, "r", capacity).unwrap();
        let consumers = books.kill(&mut chance);
        books.kill_all(consumers, &mut chance);
        let mut consumer = ring.consumer().unwrap();
        books.drain(|| or_the_end(consumer.try_pop(), RingPopError::Empty, whole));
        books.check(&mut chance);
        let mut producer = ring.producer().unwrap();
        for item in 0..capacity as u64 {
            producer.try_push([item; 3]).unwrap();
        }
        assert!(producer.try_push([0; 3]).is_err());
        for item in 0..capacity as u64 {
            assert_eq!(consumer.try_pop(), Ok([item; 3]));
        }
        assert!(ring.is_empty());
    }
}
