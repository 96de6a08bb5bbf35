//! The channel between real processes. Numbers in comments are those of docs/semantics.md.

mod common;

use std::time::{Duration, Instant};

use common::{Name, Role, hear, role, say};
use ringfence::{Channel, Error, RecvError, Segment, SegmentOptions, SendError};

#[test]
fn role_entry() {
    let Some((role, arguments)) = role() else { return };
    let segment = Segment::open(&arguments[0]).unwrap();
    let channel = Channel::open(&segment, "c").unwrap();
    match role.as_str() {
        // Sends messages of all lengths that name their sender and number.
        "sender" => {
            let (own, count) = (arguments[1].parse::<u8>().unwrap(), arguments[2].parse::<u32>().unwrap());
            (0..count).for_each(|number| channel.send(&stamped(own, number)).unwrap());
        }
        "receiver-for-ever" => {
            say("ready");
            loop {
                channel.recv().unwrap();
            }
        }
        "sender-for-ever" => {
            say("ready");
            (0..).for_each(|number| channel.send(&stamped(9, number)).unwrap());
        }
        "blocked-receiver" => {
            say("ready");
            say(&format!("{:?}", channel.recv()));
            hear();
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

#[test]
fn outcomes_are_distinct() {
    let (_name, segment, channel) = setup("outcomes", 64);
    assert!(matches!(Channel::create(&segment, "d", 0), Err(Error::InvalidArgument(_))));
    assert_eq!(channel.recv_timeout(Duration::from_millis(5)), Err(RecvError::TimedOut));
    assert_eq!(channel.recv_deadline(Instant::now()), Err(RecvError::TimedOut));
    channel.send(&[7; 40]).unwrap();
    assert_eq!(channel.send_timeout(&[8; 24], Duration::from_millis(5)), Err(SendError::TimedOut));
    let mut buffer = [0; 39];
    assert_eq!(channel.try_recv_into(&mut buffer), Err(RecvError::BufferTooShort { needed: 40 }));
    assert_eq!((buffer, channel.len()), ([0; 39], 1));
    channel.shutdown().unwrap();
    channel.shutdown().unwrap();
    assert!(channel.is_shut_down());
    assert_eq!(channel.send(b""), Err(SendError::Closed));
    assert_eq!(channel.recv().unwrap(), [7; 40]);
    assert_eq!(channel.recv(), Err(RecvError::Closed));
    assert_eq!(channel.try_recv(), Err(RecvError::Closed));
}

#[test]
fn messages_of_each_sender_arrive_whole_and_in_order() {
    let (name, _segment, channel) = setup("order", 250);
    let roles: Vec<_> = ["0", "1", "2"].map(|own| Role::start("sender", &[&name.0, own, "4000"])).into();
    let mut next = [0; 3];
    for _ in 0..12000 {
        let (own, number) = read(&channel.recv().unwrap());
        assert_eq!(number, next[usize::from(own)]);
        next[usize::from(own)] += 1;
    }
    assert_eq!(next, [4000; 3]);
    assert!(channel.is_empty());
    roles.into_iter().for_each(Role::finish);
}

#[test]
fn shutdown_wakes_a_sleeper() {
    let (name, _segment, channel) = setup("wake", 64);
    let mut blocked = Role::start("blocked-receiver", &[&name.0]);
    assert_eq!(blocked.hear(), "ready");
    channel.shutdown().unwrap();
    assert_eq!(blocked.hear(), "Err(Closed)");
    blocked.child.kill().unwrap();
}

// semantics 75
#[test]
fn killed_senders_and_receivers_leave_a_channel_that_works() {
    let (name, segment, channel) = setup("kills", 300);
    for round in 0..30u64 {
        let mut sender = Role::start("sender-for-ever", &[&name.0]);
        let mut receiver = (round % 2 == 0).then(|| Role::start("receiver-for-ever", &[&name.0]));
        assert_eq!(sender.hear(), "ready");
        if let Some(receiver) = &mut receiver {
            assert_eq!(receiver.hear(), "ready");
        }
        let mut last = None;
        for _ in 0..round * 7 {
            let (own, number) = read(&channel.recv_timeout(Duration::from_secs(5)).unwrap());
            assert_eq!(own, 9);
            assert!(last < Some(number), "twice or out of order");
            assert!(receiver.is_some() || last.is_none_or(|last| last + 1 == number), "lost");
            last = Some(number);
        }
        sender.child.kill().unwrap();
        sender.child.wait().unwrap();
        if let Some(receiver) = &mut receiver {
            receiver.child.kill().unwrap();
            receiver.child.wait().unwrap();
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
