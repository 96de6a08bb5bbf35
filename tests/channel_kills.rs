//! The channel under kills at random moments, and its ring at every offset. Numbers in comments are those of
//! docs/semantics.md.

mod common;

use common::accounts::{self, Accounts, Torn, or_the_end};
use common::chance::Chance;
use common::{Name, Role, role};
use ringfence::{Channel, Error, RecvError, Segment, SegmentOptions, SendError};

/// Senders and receivers at a time.
const SIDE: usize = 3;

#[test]
fn role_entry() {
    let Some((role, arguments)) = role() else { return };
    let segment = Segment::open(&arguments[0]).unwrap();
    let channel = Channel::open(&segment, "c").unwrap();
    let most = channel.max_message();
    match role.as_str() {
        "producer" => accounts::produce(&segment, &arguments[1], |item| channel.send(&message(item, most)).unwrap()),
        "consumer" => {
            accounts::consume(&segment, || or_the_end(channel.recv(), RecvError::Closed, |bytes| whole(bytes, most)))
        }
        _ => panic!("no role {role}"),
    }
}

/// A message's item.
fn whole(bytes: Vec<u8>, most: usize) -> Result<u64, Torn> {
    accounts::whole(&bytes, |item| message(item, most))
}

/// Not over `most` bytes.
fn message(item: u64, most: usize) -> Vec<u8> {
    accounts::message(item, most.min(97))
}

fn setup(what: &str, ring_bytes: usize) -> (Name, Segment, Channel) {
    let name = Name::new(what);
    let segment = name.create(&SegmentOptions::new());
    let channel = Channel::create(&segment, "c", ring_bytes).unwrap();
    (name, segment, channel)
}

// semantics 72 and 73
#[test]
fn capacity_is_exact_at_every_offset() {
    for words in [1, 2, 3, 5, 8, 13] {
        let (_name, segment, channel) = setup("bytes", words * 8);
        assert_eq!((channel.capacity(), channel.max_message()), (words * 8, words * 8 - 8));
        for round in 0..words * 2 {
            // Every length that fits alone, at every offset.
            for length in 0..=channel.max_message() {
                let message: Vec<u8> = (0..length).map(|at| (at + round) as u8).collect();
                channel.try_send(&message).unwrap();
                let left = words - 1 - length.div_ceil(8);
                if left > 0 {
                    assert_eq!(channel.try_send(&vec![0; left * 8 - 7]), Err(SendError::Full));
                    channel.try_send(&vec![1; left * 8 - 8]).unwrap();
                }
                assert_eq!(channel.try_send(b""), Err(SendError::Full));
                assert_eq!(channel.len(), 1 + usize::from(left > 0));
                assert_eq!(channel.try_recv().unwrap(), message);
                if left > 0 {
                    assert_eq!(channel.try_recv().unwrap(), vec![1; left * 8 - 8]);
                }
                assert_eq!(channel.try_recv(), Err(RecvError::Empty));
            }
            channel.try_send(b"").unwrap(); // one word further
            assert_eq!(channel.try_recv().unwrap(), b"");
        }
        let (len, max) = (words * 8 - 7, words * 8 - 8);
        assert_eq!(channel.send(&vec![0; len]), Err(SendError::TooLong { len, max }));
        assert!(matches!(Channel::open_or_create(&segment, "c", words * 8 + 1), Err(Error::WrongShape { .. })));
        assert_eq!(Channel::open(&segment, "c").unwrap().capacity(), words * 8);
    }
}

// semantics 27, 32 and 75
#[test]
fn random_kills_lose_and_double_nothing() {
    let mut chance = Chance::new(20);
    let mut books = Accounts::new("kills", SIDE, chance.rounds);
    let channel = Channel::create(&books.segment, "c", 300).unwrap();
    let receivers = books.kill(&mut chance);
    channel.shutdown().unwrap();
    receivers.into_iter().for_each(Role::finish);
    books.check(&mut chance);
}

/// From a ring that holds one message at a time to one with room for hundreds: what nobody lives to receive is there,
/// and afterwards so is all the room.
// semantics 27, 32 and 75
#[test]
fn what_the_dead_leave_is_whole_in_a_ring_of_any_size() {
    let mut chance = Chance::new(3);
    for ring_bytes in [16, 24, 96, 104, 1000, 20_000] {
        let mut books = Accounts::new("rest", SIDE, chance.rounds);
        let channel = Channel::create(&books.segment, "c", ring_bytes).unwrap();
        let most = channel.max_message();
        let receivers = books.kill(&mut chance);
        books.kill_all(receivers, &mut chance);
        books.drain(|| or_the_end(channel.try_recv(), RecvError::Empty, |bytes| whole(bytes, most)));
        books.check(&mut chance);
        channel.try_send(&vec![1; most]).unwrap();
        assert_eq!(channel.try_send(b""), Err(SendError::Full));
        assert_eq!(channel.try_recv().unwrap(), vec![1; most]);
        assert!(channel.is_empty());
    }
}
