//! Batches of a channel, and messages in place. Numbers in comments are those of docs/semantics.md.

mod common;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use common::accounts::{self, Accounts, Torn, or_the_end};
use common::chance::Chance;
use common::{Name, PATIENCE, Role, fork, hear, reap, role, say};
use ringfence::{Channel, Error, MessageMut, MessageRef, RecvError, Segment, SegmentOptions, SendError};

/// Senders and receivers at a time, messages of a call, and bytes of a message.
const SIDE: usize = 2;
const BATCH: usize = 4;
const LONGEST: usize = 57;

#[test]
fn role_entry() {
    let Some((role, arguments)) = role() else { return };
    let segment = Segment::open(&arguments[0]).unwrap();
    let channel = Channel::open(&segment, "c").unwrap();
    let in_place = arguments.get(2).is_some();
    match role.as_str() {
        // Of the books: even ones in batches, odd ones in place.
        "producer" if arguments[1].parse::<usize>().unwrap() % 2 == 0 => {
            accounts::produce_many(&segment, &arguments[1], BATCH, |items| {
                let messages: Vec<_> = items.iter().map(|item| accounts::message(*item, LONGEST)).collect();
                let messages: Vec<_> = messages.iter().map(Vec::as_slice).collect();
                channel.send_many(&messages).unwrap()
            });
        }
        "producer" => accounts::produce(&segment, &arguments[1], |item| {
            let message = accounts::message(item, LONGEST);
            channel.send_with(message.len(), |room| room.write_at(0, &message)).unwrap();
        }),
        "consumer" => accounts::consume_many(&segment, || {
            // A batch, then one in place.
            let batch = match channel.recv_many(BATCH - 1) {
                Ok(batch) => batch,
                Err(error) => {
                    assert_eq!(error, RecvError::Closed);
                    return None;
                }
            };
            let one = channel.try_recv_with(|message| message.to_vec()).ok();
            Some(batch.into_iter().chain(one).map(whole).collect())
        }),
        "send-with" => {
            let sent = channel.send_with(16, |message| {
                message.write_at(0, &[7; 16]);
                say("within");
                hear();
            });
            say(&format!("{sent:?}"));
            hear();
        }
        "recv-with" => {
            let received = channel.recv_with(|message| {
                say("within");
                hear();
                message.to_vec()
            });
            say(&format!("{received:?}"));
            hear();
        }
        "blocked" => {
            say("ready");
            let received = if in_place {
                channel.recv_with(|message| message.to_vec()).map(|one| vec![one])
            } else {
                channel.recv_many(3)
            };
            say(&format!("{received:?}"));
            hear();
        }
        _ => panic!("no role {role}"),
    }
}

fn whole(bytes: Vec<u8>) -> Result<u64, Torn> {
    accounts::whole(&bytes, |item| accounts::message(item, LONGEST))
}

fn setup(what: &str, ring: usize) -> (Name, Segment, Channel) {
    let name = Name::new(what);
    let segment = name.create(&SegmentOptions::new());
    let channel = Channel::create(&segment, "c", ring).unwrap();
    (name, segment, channel)
}

/// A message of `len` bytes, none of which is like its neighbour.
fn message(len: usize) -> Vec<u8> {
    (0..len).map(|at| (at * 7 + len) as u8).collect()
}

/// Writes it through the slices.
fn fill(message: &mut MessageMut<'_>) {
    let len = message.len();
    // SAFETY: every process that has this segment is this very program.
    let (first, rest) = unsafe { message.as_mut_slices() };
    first.iter_mut().chain(rest).zip(self::message(len)).for_each(|(to, from)| *to = from);
}

/// Reads it through the slices.
fn read(message: &MessageRef<'_>) -> Vec<u8> {
    // SAFETY: as in `fill`.
    let (first, rest) = unsafe { message.as_slices() };
    [first, rest].concat()
}

// semantics 167 and 168
#[test]
fn as_many_as_fit_and_as_there_are() {
    let (_name, _segment, channel) = setup("fit", 80);
    // At every offset. A message of 9 bytes has three words of ten.
    for _ in 0..10 {
        let messages = [9, 0, 8, 9, 1].map(message);
        let messages = messages.each_ref().map(Vec::as_slice);
        assert_eq!(channel.send_many(&messages), Ok(4));
        assert_eq!(channel.try_send_many(&messages[4..]), Err(SendError::Full));
        assert_eq!(channel.len(), 4);
        assert_eq!(channel.recv_many(3).unwrap(), messages[..3]);
        assert_eq!(channel.recv_many(3).unwrap(), messages[3..4]);
        assert_eq!(channel.try_recv_many(3), Err(RecvError::Empty));
        assert_eq!(channel.send_many(&[b"", b""]), Ok(2)); // one word further than before
        assert_eq!(channel.try_recv_many(usize::MAX).unwrap(), [b"", b""]);
    }
    let (short, long) = (message(3), message(73));
    assert_eq!(channel.send_many(&[&short, &long, &short]), Ok(1));
    assert_eq!(channel.send_many(&[&long, &short]), Err(SendError::TooLong { len: 73, max: 72 }));
    assert_eq!(channel.recv_many(9).unwrap(), [short]);
}

// semantics 172
#[test]
fn an_empty_batch_waits_for_nothing_and_a_wait_ends_by_its_time() {
    let (_name, _segment, channel) = setup("empty", 16);
    assert_eq!(channel.recv_many(0), Ok(vec![]));
    let short = Duration::from_millis(5);
    assert_eq!(channel.recv_many_timeout(3, short), Err(RecvError::TimedOut));
    assert_eq!(channel.recv_many_deadline(3, Instant::now() + short), Err(RecvError::TimedOut));
    assert_eq!(channel.recv_with_timeout(short, |_| ()), Err(RecvError::TimedOut));
    assert_eq!(channel.recv_with_deadline(Instant::now() + short, |_| ()), Err(RecvError::TimedOut));
    assert_eq!(channel.try_recv_with(|_| ()), Err(RecvError::Empty));
    channel.send(&message(8)).unwrap();
    assert_eq!(channel.send_many(&[]), Ok(0));
    assert_eq!(channel.send_many_timeout(&[b"x"], short), Err(SendError::TimedOut));
    assert_eq!(channel.send_many_deadline(&[b"x"], Instant::now() + short), Err(SendError::TimedOut));
    assert_eq!(channel.try_send_with(1, |_| ()), Err(SendError::Full));
    assert_eq!(channel.send_with_timeout(1, short, |_| ()), Err(SendError::TimedOut));
    assert_eq!(channel.send_with_deadline(1, Instant::now() + short, |_| ()), Err(SendError::TimedOut));
    assert_eq!(channel.send_with(9, |_| ()), Err(SendError::TooLong { len: 9, max: 8 }));
    channel.shutdown().unwrap();
    assert_eq!(channel.send_many(&[]), Ok(0));
    assert_eq!(channel.send_many(&[b""]), Err(SendError::Closed));
    assert_eq!(channel.send_with(0, |_| ()), Err(SendError::Closed));
    assert_eq!(channel.recv_many(2).unwrap(), [message(8)]);
    assert_eq!(channel.recv_many(2), Err(RecvError::Closed));
    assert_eq!(channel.recv_with(|_| ()), Err(RecvError::Closed));
}

// semantics 169 and 170
#[test]
fn in_place_at_every_offset() {
    for words in [1, 2, 3, 5, 8] {
        let (_name, _segment, channel) = setup("offsets", words * 8);
        for _ in 0..words {
            for len in 0..=channel.max_message() {
                channel.send_with(len, fill).unwrap();
                assert_eq!(channel.recv_with(read).unwrap(), message(len));
                // Written by pieces, received by a copy.
                channel
                    .send_with(len, |room| {
                        let bytes = message(len);
                        for (n, bytes) in bytes.chunks(3).enumerate().rev() {
                            room.write_at(3 * n, bytes);
                        }
                    })
                    .unwrap();
                assert_eq!(channel.recv().unwrap(), message(len));
                // Sent by a copy, read by pieces.
                channel.send(&message(len)).unwrap();
                let received = channel.recv_with(|message| {
                    let mut bytes = vec![0; message.len()];
                    for (n, bytes) in bytes.chunks_mut(3).enumerate() {
                        message.read_at(3 * n, bytes);
                    }
                    bytes
                });
                assert_eq!(received.unwrap(), message(len));
            }
            channel.send(b"").unwrap(); // one word further
            assert_eq!(channel.recv().unwrap(), b"");
        }
        assert_eq!(channel.len(), 0);
    }
}

// semantics 169
#[test]
fn what_is_discarded_or_panics_is_not_sent() {
    let (_name, _segment, channel) = setup("discarded", 64);
    assert_eq!(
        channel.send_with(20, |message| {
            fill(message);
            message.discard();
            5
        }),
        Ok(5)
    );
    assert_eq!(channel.try_recv(), Err(RecvError::Empty));
    let panicked = catch_unwind(AssertUnwindSafe(|| channel.send_with(20, |_| panic!("on purpose"))));
    assert!(panicked.is_err());
    assert_eq!(channel.try_recv(), Err(RecvError::Empty));
    assert!(catch_unwind(AssertUnwindSafe(|| channel.send_with(2, |message| message.write_at(1, &[1, 2])))).is_err());
    // It may become shorter, and all the room is still there.
    channel
        .send_with(56, |message| {
            message.write_at(0, &[9; 56]);
            message.truncate(3);
            message.truncate(4)
        })
        .unwrap();
    assert_eq!(channel.try_send_with(40, fill), Ok(()));
    assert_eq!(channel.try_send(b""), Err(SendError::Full));
    assert_eq!(channel.recv_many(3).unwrap(), [vec![9; 3], message(40)]);
}

// semantics 170
#[test]
fn a_reader_that_panics_leaves_the_message() {
    let (_name, _segment, channel) = setup("panics", 64);
    channel.send(&message(20)).unwrap();
    assert!(catch_unwind(AssertUnwindSafe(|| channel.recv_with(|_| panic!("on purpose")))).is_err());
    assert_eq!(channel.len(), 1);
    assert!(catch_unwind(AssertUnwindSafe(|| channel.recv_with(|message| message.read_at(15, &mut [0; 6])))).is_err());
    assert_eq!(channel.try_recv_with(read).unwrap(), message(20));
    assert!(channel.is_empty());
}

// semantics 167, 168, 170
#[test]
fn a_message_in_pieces_comes_whole() {
    let (_name, _segment, channel) = setup("pieces", 64);
    let long = message(1000);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for _ in 0..2 {
                channel.send(b"before").unwrap();
                channel.send_long(&long).unwrap();
            }
        });
        assert_eq!(channel.recv_with(read).unwrap(), b"before");
        assert_eq!(channel.recv_with(read).unwrap(), long);
        assert_eq!(channel.recv_many(9).unwrap(), [b"before"]);
        assert_eq!(channel.recv_many(9).unwrap(), [&long[..]]);
    });
    assert_eq!(channel.try_recv_with(read), Err(RecvError::Empty));
}

// semantics 171
#[test]
fn within_a_message_of_the_same_channel_nothing_waits_for_itself() {
    let (_name, _segment, channel) = setup("within", 64);
    let within = channel.send_with(8, |message| {
        message.write_at(0, &[1; 8]);
        assert_eq!(channel.send(b"x"), Err(SendError::WouldDeadlock));
        assert_eq!(channel.try_send_many(&[b"x"]), Err(SendError::WouldDeadlock));
        assert_eq!(channel.send_with(1, |_| ()), Err(SendError::WouldDeadlock));
        // The other side is another lock.
        assert_eq!(channel.try_recv(), Err(RecvError::Empty));
    });
    assert_eq!(within, Ok(()));
    let received = channel.recv_with(|message| {
        assert_eq!(channel.recv(), Err(RecvError::WouldDeadlock));
        assert_eq!(channel.recv_many(1), Err(RecvError::WouldDeadlock));
        assert_eq!(channel.recv_with(|_| ()), Err(RecvError::WouldDeadlock));
        channel.send(b"reply").unwrap();
        message.to_vec()
    });
    assert_eq!(received.unwrap(), [1; 8]);
    assert_eq!(channel.recv().unwrap(), b"reply");
    assert_eq!(channel.send_with(1, |_| channel.shutdown()), Ok(Err(Error::Busy)));
    // The next sender does it.
    assert_eq!(channel.send(b"late"), Err(SendError::Closed));
    assert!(channel.is_shut_down());
    assert_eq!(channel.recv().map(|message| message.len()), Ok(1));
    assert_eq!(channel.recv(), Err(RecvError::Closed));
}

// semantics 171
#[test]
fn a_forked_child_leaves_its_parents_message_alone() {
    let (_name, _segment, channel) = setup("forked", 64);
    let mut child = None;
    let sent = channel.send_with(8, |message| {
        message.write_at(0, &[1; 8]);
        // SAFETY: the child is this thread alone, and leaves through _exit below.
        child = Some(unsafe { libc::fork() });
    });
    if child == Some(0) {
        // SAFETY: ends the child.
        unsafe { libc::_exit(if sent == Err(SendError::NotOwner) { 0 } else { 1 }) };
    }
    assert_eq!(reap(child.unwrap()), 0);
    assert_eq!(sent, Ok(()));
    assert_eq!(channel.len(), 1);
    let received = channel.recv_with(|_| {
        // SAFETY: as above.
        child = Some(unsafe { libc::fork() });
    });
    if child == Some(0) {
        // SAFETY: ends the child.
        unsafe { libc::_exit(if received == Err(RecvError::NotOwner) { 0 } else { 1 }) };
    }
    assert_eq!(reap(child.unwrap()), 0);
    assert_eq!(received, Ok(()));
    assert_eq!(channel.try_recv(), Err(RecvError::Empty));
    // A child of its own accord is another participant.
    assert_eq!(reap(fork(|| channel.send_with(3, |message| message.write_at(0, b"abc")).unwrap())), 0);
    assert_eq!(channel.recv_with(read).unwrap(), b"abc");
}

// semantics 169
#[test]
fn a_sender_that_is_killed_within_its_message_has_sent_nothing() {
    let (name, _segment, channel) = setup("dead-sender", 64);
    let mut sender = Role::start("send-with", &[&name.0]);
    sender.expect("within");
    assert_eq!(channel.try_recv(), Err(RecvError::Empty));
    assert_eq!(channel.try_send(b"x"), Err(SendError::Full));
    sender.kill();
    channel.send_timeout(&message(56), PATIENCE).unwrap();
    assert_eq!(channel.recv().unwrap(), message(56));
    let mut sender = Role::start("send-with", &[&name.0]);
    sender.expect("within");
    sender.tell("go on");
    sender.expect("Ok(())");
    assert_eq!(channel.recv().unwrap(), [7; 16]);
    sender.finish();
}

// semantics 170
#[test]
fn a_receiver_that_is_killed_within_a_message_leaves_it() {
    let (name, _segment, channel) = setup("dead-receiver", 64);
    channel.send(&message(20)).unwrap();
    let mut receiver = Role::start("recv-with", &[&name.0]);
    receiver.expect("within");
    assert_eq!(channel.try_recv(), Err(RecvError::Empty));
    channel.send(b"second").unwrap();
    receiver.kill();
    assert_eq!(channel.recv_with_timeout(PATIENCE, read).unwrap(), message(20));
    assert_eq!(channel.recv_with(read).unwrap(), b"second");
}

// semantics 167, 168, 169 and 170
#[test]
fn sleepers_are_woken() {
    for place in ["", "in place"] {
        let (name, _segment, channel) = setup("sleepers", 64);
        let arguments: Vec<&str> = [&name.0[..], "-", place].into_iter().filter(|text| !text.is_empty()).collect();
        let mut sleeper = Role::start("blocked", &arguments);
        sleeper.expect("ready");
        if place.is_empty() {
            channel.send_with(2, |message| message.write_at(0, &[7, 8])).unwrap();
        } else {
            assert_eq!(channel.send_many(&[&[7, 8]]), Ok(1));
        }
        sleeper.expect("Ok([[7, 8]])");
        sleeper.finish();
    }
}

// semantics 27, 32, 167, 168, 169 and 170
#[test]
fn random_kills_lose_no_more_than_a_batch() {
    let mut chance = Chance::new(10);
    for ring_bytes in [80, 300, 20_000] {
        let mut books = Accounts::new("batches", SIDE, chance.rounds);
        books.batch = BATCH;
        let channel = Channel::create(&books.segment, "c", ring_bytes).unwrap();
        let receivers = books.kill(&mut chance);
        books.kill_all(receivers, &mut chance);
        books.drain(|| or_the_end(channel.try_recv(), RecvError::Empty, whole));
        books.check(&mut chance);
        let most = channel.max_message();
        channel.try_send_with(most, fill).unwrap();
        assert_eq!(channel.try_send(b""), Err(SendError::Full));
        assert_eq!(channel.try_recv_with(read).unwrap(), message(most));
    }
}
