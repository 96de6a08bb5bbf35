//! The channel between real processes. Numbers in comments are those of docs/semantics.md.

mod common;

use std::time::Duration;

use common::{Name, PATIENCE, Role, hear, role, say};
use ringfence::{Channel, RecvError, Segment, SegmentOptions, SendError};

#[test]
fn role_entry() {
    let Some((role, arguments)) = role() else { return };
    let segment = Segment::open(&arguments[0]).unwrap();
    let channel = Channel::open(&segment, "c").unwrap();
    match role.as_str() {
        // Sends messages of many lengths; each says who sent it, its number, and is filled with its number.
        "sender" => (0..arguments[2].parse().unwrap()).for_each(|n| {
            channel.send(&message(arguments[1].parse().unwrap(), n)).unwrap();
        }),
        "send-for-ever" => {
            say("sending");
            for n in 0.. {
                channel.send(&message(9, n)).unwrap();
            }
        }
        "blocked-receiver" => {
            say("ready");
            say(&format!("{:?}", channel.recv()));
            hear();
        }
        _ => panic!("no role {role}"),
    }
}

fn message(own: u8, n: u32) -> Vec<u8> {
    let mut message = vec![own];
    message.extend(n.to_le_bytes());
    message.resize(5 + (n * 7 % 200) as usize, n as u8);
    message
}

fn number(message: &[u8]) -> (u8, u32) {
    let n = u32::from_le_bytes(message[1..5].try_into().unwrap());
    assert_eq!(message, self::message(message[0], n), "a message is whole");
    (message[0], n)
}

fn setup(what: &str, ring: usize) -> (Name, Segment, Channel) {
    let name = Name::new(what);
    let segment = name.create(&SegmentOptions::new());
    let channel = Channel::create(&segment, "c", ring).unwrap();
    (name, segment, channel)
}

#[test]
fn messages_of_each_sender_arrive_whole_and_in_order() {
    let (name, _segment, channel) = setup("order", 700);
    let roles: Vec<_> = ["0", "1", "2"].map(|own| Role::start("sender", &[&name.0, own, "3000"])).into();
    let mut next = [0; 3];
    for _ in 0..9000 {
        let (own, n) = number(&channel.recv().unwrap());
        assert_eq!(n, next[own as usize]);
        next[own as usize] += 1;
    }
    assert!(channel.is_empty());
    roles.into_iter().for_each(Role::finish);
}

#[test]
fn a_killed_sender_leaves_whole_messages_in_order_and_no_lock() {
    let (name, _segment, channel) = setup("killed", 500);
    for _ in 0..20 {
        let mut sender = Role::start("send-for-ever", &[&name.0]);
        sender.expect("sending");
        for n in 0..500 {
            assert_eq!(number(&channel.recv().unwrap()), (9, n));
        }
        sender.kill();
        // What it has sent, up to what is sent after its death.
        std::thread::scope(|scope| {
            scope.spawn(|| channel.send_timeout(b"after", PATIENCE).unwrap());
            for n in 500.. {
                let message = channel.recv_timeout(PATIENCE).unwrap();
                if message == b"after" {
                    break;
                }
                assert_eq!(number(&message), (9, n));
            }
        });
        assert!(channel.is_empty());
    }
}

#[test]
fn lengths_are_checked_and_nothing_is_lost() {
    let (_name, _segment, channel) = setup("lengths", 100);
    assert_eq!((channel.capacity(), channel.max_message()), (104, 96));
    assert_eq!(channel.send(&[1; 97]), Err(SendError::TooLong { len: 97, max: 96 }));
    channel.send(&[1; 96]).unwrap();
    assert_eq!(channel.try_send(b""), Err(SendError::Full));
    assert_eq!(channel.send_timeout(b"", Duration::from_millis(5)), Err(SendError::TimedOut));
    let mut short = [0; 95];
    assert_eq!(channel.recv_into(&mut short), Err(RecvError::BufferTooShort { needed: 96 }));
    assert_eq!(channel.len(), 1);
    assert_eq!(channel.recv().unwrap(), [1; 96]);
    channel.send(b"").unwrap();
    assert_eq!(channel.recv().unwrap(), b"");
    assert_eq!(channel.try_recv(), Err(RecvError::Empty));
    assert_eq!(channel.recv_timeout(Duration::from_millis(5)), Err(RecvError::TimedOut));
}

#[test]
fn shutdown_drains_and_wakes() {
    let (name, _segment, channel) = setup("shutdown", 100);
    channel.send(b"last").unwrap();
    channel.shutdown().unwrap();
    channel.shutdown().unwrap();
    assert_eq!(channel.send(b"late"), Err(SendError::Closed));
    assert_eq!(channel.recv().unwrap(), b"last");
    assert_eq!(channel.recv(), Err(RecvError::Closed));
    let (name2, _segment2, channel2) = setup("shutdown-blocked", 100);
    let mut receiver = Role::start("blocked-receiver", &[&name2.0]);
    receiver.expect("ready");
    channel2.shutdown().unwrap();
    receiver.expect("Err(Closed)");
    receiver.finish();
    drop(name);
}

#[test]
fn a_blocked_receiver_gets_the_message() {
    let (name, _segment, channel) = setup("wake", 100);
    let mut receiver = Role::start("blocked-receiver", &[&name.0]);
    receiver.expect("ready");
    channel.send(&[7, 8]).unwrap();
    receiver.expect("Ok([7, 8])");
    receiver.finish();
}
