//! Random kills of the two ends of a ring of records under load: what was committed arrives, once, in order. Numbers in comments
//! are those of docs/semantics.md.

mod common;

use common::accounts::{self, Accounts, Torn, or_the_end};
use common::chance::Chance;
use common::{Role, role};
use ringfence::{ByteRing, RingPopError, Segment};

#[test]
fn role_entry() {
    let Some((role, arguments)) = role() else { return };
    let segment = Segment::open(&arguments[0]).unwrap();
    let ring = ByteRing::open(&segment, "r").unwrap();
    match role.as_str() {
        "producer" => {
            let mut producer = ring.producer().unwrap();
            accounts::produce(&segment, &arguments[1], |item| {
                let bytes = record(item);
                if item % 2 == 0 {
                    producer.push(&bytes).unwrap();
                } else {
                    // More than is needed, and in two pieces.
                    let mut room = producer.reserve(bytes.len() + 5).unwrap();
                    room.write_at(8, &bytes[8..]);
                    room.write_at(0, &bytes[..8]);
                    room.commit(bytes.len()).unwrap();
                }
            });
        }
        "consumer" => {
            let mut consumer = ring.consumer().unwrap();
            accounts::consume(&segment, || or_the_end(consumer.pop(), RingPopError::Closed, whole));
        }
        _ => panic!("no role {role}"),
    }
}

/// Its number, and then as many bytes as the number says.
fn record(item: u64) -> Vec<u8> {
    let mut bytes = item.to_ne_bytes().to_vec();
    bytes.resize(8 + (item * 7 % 41) as usize, item as u8);
    bytes
}

fn whole(bytes: Vec<u8>) -> Result<u64, Torn> {
    accounts::whole(&bytes, record)
}

// semantics 118, 124 and 125
#[test]
fn random_kills_lose_and_double_nothing() {
    let mut chance = Chance::new(20);
    let mut books = Accounts::new("byte-ring-kills", 1, chance.rounds);
    let ring = ByteRing::create(&books.segment, "r", 256).unwrap();
    let consumers = books.kill(&mut chance);
    ring.shutdown();
    consumers.into_iter().for_each(Role::finish);
    books.check(&mut chance);
}

// semantics 124
#[test]
fn what_the_dead_leave_is_whole_in_a_ring_of_any_size() {
    let mut chance = Chance::new(3);
    for size in [128, 512, 4096] {
        let mut books = Accounts::new("byte-ring-sizes", 1, chance.rounds);
        let ring = ByteRing::create(&books.segment, "r", size).unwrap();
        let consumers = books.kill(&mut chance);
        books.kill_all(consumers, &mut chance);
        let mut consumer = ring.consumer().unwrap();
        books.drain(|| or_the_end(consumer.try_pop(), RingPopError::Empty, whole));
        books.check(&mut chance);
        assert!(ring.is_empty());
        // All of it is there to be used.
        let mut producer = ring.producer().unwrap();
        producer.try_push(&vec![1; ring.max_record()]).unwrap();
        assert_eq!(consumer.try_pop(), Ok(vec![1; ring.max_record()]));
    }
}
