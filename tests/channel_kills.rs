//! The channel under kills at random moments, and its ring at every offset. Numbers in comments are those of
//! docs/semantics.md.

mod common;

use std::time::Duration;

use common::{Name, Role, role, say};
use ringfence::{Channel, Error, RecvError, Segment, SegmentOptions, SendError};

#[test]
fn role_entry() {
    let Some((role, arguments)) = role() else { return };
    let segment = Segment::open(&arguments[0]).unwrap();
    let channel = Channel::open(&segment, "c").unwrap();
    say("ready");
    match role.as_str() {
        "receiver" => loop {
            channel.recv().unwrap();
        },
        "sender" => {
            for number in 0.. {
                channel.send(&stamped(9, number)).unwrap();
            }
        }
        _ => panic!("no role {role}"),
    }
}

/// A message whose bytes tell whether it is whole.
fn stamped(own: u8, number: u32) -> Vec<u8> {
    let mut message = vec![own; 5 + number as usize % 61];
    message[1..5].copy_from_slice(&number.to_le_bytes());
    message
}

/// Sender and number of a whole message.
fn read(message: &[u8]) -> (u8, u32) {
    let own = message[0];
    let number = u32::from_le_bytes(message[1..5].try_into().unwrap());
    assert_eq!(message, stamped(own, number), "torn");
    (own, number)
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

// semantics 75
#[test]
fn killed_senders_and_receivers_leave_a_channel_that_works() {
    let (name, segment, channel) = setup("kills", 300);
    for round in 0..30u64 {
        let mut sender = Role::start("sender", &[&name.0]);
        let mut receiver = (round % 2 == 0).then(|| Role::start("receiver", &[&name.0]));
        sender.expect("ready");
        if let Some(receiver) = &mut receiver {
            receiver.expect("ready");
        }
        let mut last = None;
        for _ in 0..round * 7 {
            let (own, number) = read(&channel.recv_timeout(Duration::from_secs(5)).unwrap());
            assert_eq!(own, 9);
            assert!(last < Some(number), "twice or out of order");
            assert!(receiver.is_some() || last.is_none_or(|last| last + 1 == number), "lost");
            last = Some(number);
        }
        sender.kill();
        if let Some(receiver) = receiver {
            receiver.kill();
        }
        segment.recover().unwrap();
        while let Ok(message) = channel.try_recv() {
            read(&message);
        }
        channel.send_timeout(b"after", Duration::from_secs(5)).unwrap();
        assert_eq!(channel.recv_timeout(Duration::from_secs(5)).unwrap(), b"after");
        assert!(channel.is_empty());
    }
}
