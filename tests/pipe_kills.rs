//! The pipe under kills at random moments: what was sent arrives, and the end of file comes with the last one who could send.
//! Numbers in comments are those of docs/semantics.md.

mod common;

use common::accounts::{self, Accounts, Torn, or_the_end};
use common::chance::Chance;
use common::{Name, Role, hear, role, say, until};
use ringfence::{Array, End, Error, Pipe, RecvError, Segment, SegmentOptions, SendError};

/// Senders and receivers at a time.
const SIDE: usize = 3;

#[test]
fn role_entry() {
    let Some((role, arguments)) = role() else { return };
    let segment = Segment::open(&arguments[0]).unwrap();
    let open = |end| Pipe::open(&segment, "p", end).unwrap();
    match role.as_str() {
        "producer" => {
            let pipe = open(End::Second);
            accounts::produce(&segment, &arguments[1], |item| pipe.send(&message(item)).unwrap());
        }
        "consumer" => {
            let pipe = open(End::First);
            accounts::consume(&segment, || or_the_end(pipe.recv(), RecvError::EndOfFile, whole));
        }
        // Sends numbers to the end of time, and counts those that are sent.
        "talker" => {
            let (pipe, own) = (open(End::Second), arguments[1].parse::<usize>().unwrap());
            let sent = Array::<u64>::open(&segment, "sent").unwrap();
            say("ready");
            for number in 0.. {
                pipe.send(&(number << 8 | own as u64).to_ne_bytes()).unwrap();
                sent.set(own, number + 1).unwrap();
            }
            hear();
        }
        _ => panic!("no role {role}"),
    }
}

/// Longer than the smallest ring, and shorter than the others.
fn message(item: u64) -> Vec<u8> {
    accounts::message(item, 97)
}

fn whole(bytes: Vec<u8>) -> Result<u64, Torn> {
    accounts::whole(&bytes, message)
}

// semantics 27, 32, 34 and 36
#[test]
fn random_kills_lose_and_double_nothing() {
    let mut chance = Chance::new(10);
    for (ring, one_way) in [(64, false), (300, true), (4096, false)] {
        let mut books = Accounts::new("pipe-kills", SIDE, chance.rounds);
        let make = if one_way { Pipe::one_way } else { Pipe::pair };
        let (first, second) = make(&books.segment, "p", ring).unwrap();
        let receivers = books.kill(&mut chance);
        // The last one who can send: those before were killed.
        assert_eq!(second.end(), End::Second);
        drop(second);
        receivers.into_iter().for_each(Role::finish);
        books.check(&mut chance);
        assert_eq!(first.recv(), Err(RecvError::EndOfFile));
    }
}

// semantics 34, 35 and 36
#[test]
fn the_end_of_file_comes_with_the_last_of_the_killed() {
    let mut chance = Chance::new(12);
    for _ in 0..chance.rounds {
        let name = Name::new("pipe-last");
        let segment = name.create(&SegmentOptions::new());
        let talkers = 1 + chance.index(3);
        let sent = Array::<u64>::create(&segment, "sent", talkers).unwrap();
        let (first, second) = Pipe::pair(&segment, "p", 256).unwrap();
        let mut left: Vec<_> = (0..talkers)
            .map(|own| {
                let mut talker = Role::start("talker", &[&name.0, &own.to_string()]);
                talker.expect("ready");
                (own, talker)
            })
            .collect();
        drop(second);
        let heard = std::thread::scope(|scope| {
            let receiver = scope.spawn(|| {
                let mut heard = vec![0; talkers];
                loop {
                    match first.recv() {
                        Ok(message) => {
                            let number = u64::from_ne_bytes(message.try_into().unwrap());
                            let own = (number & 255) as usize;
                            assert_eq!(number >> 8, heard[own], "of talker {own}: lost, doubled or out of order");
                            heard[own] += 1;
                        }
                        Err(error) => {
                            assert_eq!(error, RecvError::EndOfFile);
                            return heard;
                        }
                    }
                }
            });
            while !left.is_empty() {
                let (own, mut talker) = left.remove(chance.index(left.len()));
                let more = sent.get(own).unwrap() + chance.below(300);
                until("messages", || sent.get(own).unwrap() > more);
                assert!(!receiver.is_finished(), "an end of file, and somebody lives who can send");
                let ended = talker.child.try_wait().unwrap();
                assert!(ended.is_none(), "ended by itself: {}", ended.unwrap());
                talker.kill();
                chance.kills += 1;
            }
            receiver.join().unwrap()
        });
        for (own, heard) in heard.into_iter().enumerate() {
            let returned = sent.get(own).unwrap();
            // One may have been sent without having been counted.
            assert!(heard == returned || heard == returned + 1, "{heard} of {returned} messages of talker {own}");
            chance.checked += heard as usize;
        }
        assert_eq!(first.send(b"x"), Err(SendError::BrokenPipe));
        assert!(matches!(Pipe::open(&segment, "p", End::Second), Err(Error::EndGone)));
        // By the same name anew.
        drop(first);
        segment.remove("p").unwrap();
        let (first, second) = Pipe::pair(&segment, "p", 256).unwrap();
        second.send(b"anew").unwrap();
        assert_eq!(first.recv().unwrap(), b"anew");
    }
}
