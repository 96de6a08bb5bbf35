//! Messages that are longer than their ring, between real processes. Numbers in comments are those of docs/semantics.md.

mod common;

use std::time::Duration;

use common::accounts::{self, Accounts, Torn, or_the_end};
use common::chance::Chance;
use common::{Name, Role, hear, role, say, until};
use ringfence::{Channel, RecvError, Segment, SegmentOptions, SendError, Value};

/// Longer than any wait that ends well; a failure ends here.
const PATIENCE: Duration = Duration::from_secs(60);
const RING: usize = 300;

#[test]
fn role_entry() {
    let Some((role, arguments)) = role() else { return };
    let segment = Segment::open(&arguments[0]).unwrap();
    let channel = Channel::open(&segment, "c").unwrap();
    match role.as_str() {
        "large" => channel.send_long(&large(arguments[1].parse().unwrap())).unwrap(),
        "sender" => {
            say("sending");
            channel.send_long(&large(RING * 100)).unwrap();
        }
        // Has the first pieces, by what the sender has done since.
        "receiver" => {
            say("receiving");
            let _ = channel.recv();
        }
        "producer" => accounts::produce(&segment, &arguments[1], |item| channel.send_long(&message(item)).unwrap()),
        "consumer" => accounts::consume(&segment, || or_the_end(channel.recv(), RecvError::Closed, whole)),
        _ => panic!("no role {role}"),
    }
    hear();
}

fn large(len: usize) -> Vec<u8> {
    (0..len).map(|n| (n % 251) as u8).collect()
}

/// A message's item.
fn whole(bytes: Vec<u8>) -> Result<u64, Torn> {
    accounts::whole(&bytes, message)
}

fn message(item: u64) -> Vec<u8> {
    accounts::message(item, 1499)
}

fn setup(what: &str, ring: usize) -> (Name, Segment, Channel) {
    let name = Name::new(what);
    let segment = name.create(&SegmentOptions::new());
    let channel = Channel::create(&segment, "c", ring).unwrap();
    (name, segment, channel)
}

// semantics 33 and 114
#[test]
fn sixteen_megabytes_go_through_a_small_ring() {
    let (name, _segment, channel) = setup("large", 64 << 10);
    let len = 16 << 20;
    let sender = Role::start("large", &[&name.0, &len.to_string()]);
    assert!(channel.recv_timeout(PATIENCE).unwrap() == large(len));
    sender.finish();
    assert!(channel.is_empty());
}

/// Rings of every small size, and lengths around each border.
// semantics 114
#[test]
fn every_length_goes_through_every_ring() {
    let (_name, segment, _) = setup("sizes", 8);
    for words in [4, 5, 6, 7, 63, 64, 65] {
        let channel = Channel::create(&segment, &format!("c{words}"), words * 8).unwrap();
        std::thread::scope(|scope| {
            let lengths =
                || (0..8).chain(words * 8 - 20..words * 8 + 20).chain([words * 24 - 1, words * 24, words * 80 + 3]);
            let (sizes, channel) = (lengths(), &channel);
            scope.spawn(move || sizes.into_iter().for_each(|len| channel.send_long(&large(len)).unwrap()));
            lengths().for_each(|len| assert!(channel.recv_timeout(PATIENCE).unwrap() == large(len), "{words} {len}"));
        });
    }
    let tiny = Channel::create(&segment, "tiny", 24).unwrap();
    assert_eq!(tiny.send_long(&[0; 17]), Err(SendError::TooLong { len: 17, max: 16 }));
}

// semantics 115
#[test]
fn what_nobody_takes_is_not_sent() {
    let (_name, _segment, channel) = setup("late", RING);
    let long = large(RING * 4);
    assert_eq!(channel.try_send_long(&long), Err(SendError::Full));
    assert_eq!(channel.send_long_timeout(&long, Duration::from_millis(30)), Err(SendError::TimedOut));
    // What is left of it is in nobody's way.
    assert_eq!(channel.try_recv(), Err(RecvError::Empty));
    assert!(channel.is_empty());
    assert_eq!(channel.send_long_timeout(&long, Duration::from_millis(30)), Err(SendError::TimedOut));
    // As much as there is room for; then the receiver makes room by throwing it away.
    std::thread::scope(|scope| {
        scope.spawn(|| channel.send_timeout(&large(channel.max_message()), PATIENCE).unwrap());
        assert!(channel.recv_timeout(PATIENCE).unwrap() == large(channel.max_message()));
    });
}

// semantics 114
#[test]
fn a_short_buffer_leaves_it_there() {
    let (name, _segment, channel) = setup("short", RING);
    let sender = Role::start("sender", &[&name.0]);
    let mut buffer = vec![0; RING];
    let needed = RING * 100;
    assert_eq!(channel.recv_into_timeout(&mut buffer, PATIENCE), Err(RecvError::BufferTooShort { needed }));
    buffer.resize(needed, 0);
    assert_eq!(channel.recv_into_timeout(&mut buffer, PATIENCE), Ok(needed));
    assert!(buffer == large(needed));
    sender.finish();
}

// semantics 115
#[test]
fn half_of_a_message_is_never_seen() {
    let (name, _segment, channel) = setup("half", RING);
    let mut sender = Role::start("sender", &[&name.0]);
    sender.expect("sending");
    until("a piece", || !channel.is_empty());
    std::thread::scope(|scope| {
        let receiver = scope.spawn(|| channel.recv_timeout(PATIENCE));
        // At whatever piece it is.
        sender.kill();
        channel.send_timeout(b"next", PATIENCE).unwrap();
        let first = receiver.join().unwrap().unwrap();
        // It may have been done by then.
        if first == large(RING * 100) {
            assert_eq!(channel.recv_timeout(PATIENCE).unwrap(), b"next");
        } else {
            assert_eq!(first, b"next");
        }
    });
    assert_eq!(channel.try_recv(), Err(RecvError::Empty));
}

// semantics 115
#[test]
fn a_dead_receivers_message_goes_to_the_next() {
    let (name, segment, channel) = setup("again", RING);
    let sent = Value::<u32>::create(&segment, "sent", 0).unwrap();
    std::thread::scope(|scope| {
        let sender = scope.spawn(|| {
            for n in 0..20 {
                channel.send_long(&large(RING * 1000 + n)).unwrap();
                sent.fetch_add(1);
            }
            channel.shutdown().unwrap();
        });
        let mut received = 0;
        for _ in 0..10 {
            let mut receiver = Role::start("receiver", &[&name.0]);
            receiver.expect("receiving");
            receiver.kill();
        }
        // The one that each had just got, if it had, is gone with it.
        while let Ok(message) = channel.recv_timeout(PATIENCE) {
            let n = message.len() - RING * 1000;
            assert!(message == large(RING * 1000 + n));
            received += 1;
        }
        sender.join().unwrap();
        assert_eq!(sent.get(), 20);
        assert!((10..=20).contains(&received), "{received}");
    });
}

// semantics 116
#[test]
fn a_shutdown_does_not_wait_for_it() {
    let (_name, _segment, channel) = setup("end", RING);
    std::thread::scope(|scope| {
        let sender = scope.spawn(|| channel.send_long(&large(RING * 4)));
        until("a piece", || !channel.is_empty());
        channel.shutdown().unwrap();
        assert_eq!(sender.join().unwrap(), Err(SendError::Closed));
    });
    assert_eq!(channel.recv(), Err(RecvError::Closed));
}

// semantics 114 and 115
#[test]
fn random_kills_lose_and_double_nothing() {
    let mut chance = Chance::new(20);
    let mut books = Accounts::new("longkills", 3, chance.rounds);
    let channel = Channel::create(&books.segment, "c", RING).unwrap();
    let receivers = books.kill(&mut chance);
    channel.shutdown().unwrap();
    receivers.into_iter().for_each(Role::finish);
    books.check(&mut chance);
}

// semantics 115
#[test]
fn what_the_dead_leave_is_whole() {
    let mut chance = Chance::new(3);
    for ring_bytes in [32, 48, 104, 1000] {
        let mut books = Accounts::new("longrest", 3, chance.rounds);
        let channel = Channel::create(&books.segment, "c", ring_bytes).unwrap();
        let receivers = books.kill(&mut chance);
        books.kill_all(receivers, &mut chance);
        books.drain(|| or_the_end(channel.try_recv(), RecvError::Empty, whole));
        books.check(&mut chance);
        assert!(channel.is_empty());
        channel.try_send(&vec![1; channel.max_message()]).unwrap();
    }
}
