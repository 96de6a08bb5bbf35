//! Models of the shipped channel: whole messages, none lost, none twice, death at every atomic step.
#![cfg(ringfence_loom)]

mod mortals;

use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::SeqCst;

use loom::sync::Arc;
use loom::thread;
use mortals::{FOREVER, Mortals, NOW, a_while, at_every_step, explore, must_fail, owner};
use ringfence::layout::channel::{ChannelHeader, Geometry};
use ringfence::primitive::{AtomicU64, Ordering};
use ringfence::raw::channel::{Channel, Many, Peeked, RecvFailure, SendFailure};
use ringfence::raw::{ParticipantId, mutex};
use ringfence::sys::nap::Wait;

struct World {
    header: ChannelHeader,
    ring: Vec<AtomicU64>,
    peers: Mortals,
}

/// A message that tells whether it is whole: `length` times the same byte.
fn message(byte: u8, length: usize) -> Vec<u8> {
    vec![byte; length]
}

impl World {
    fn new(words: usize) -> Arc<Self> {
        let geometry = Geometry::new(words as u64 * 8).unwrap();
        let ring = (0..words).map(|_| AtomicU64::new(0)).collect();
        Arc::new(Self { header: ChannelHeader::new(geometry), ring, peers: Mortals::new() })
    }

    fn channel(&self) -> Channel<'_> {
        // The ring's length is the geometry's; validate() would be one more atomic step of every operation.
        Channel::with_geometry(&self.header, &self.ring, Geometry::new(self.ring.len() as u64 * 8).unwrap()).unwrap()
    }

    fn send(&self, me: ParticipantId, byte: u8, length: usize, wait: Wait) -> Result<(), SendFailure> {
        self.channel().send(owner(me), &message(byte, length), &self.peers, wait)
    }

    /// Receives a message, checks that it is whole, and returns its byte.
    fn recv(&self, me: ParticipantId, wait: Wait) -> Result<u8, RecvFailure> {
        let mut buffer = [0; LONG];
        let length = self.channel().recv(owner(me), &mut buffer, &self.peers, wait)?;
        assert!(buffer[..length].iter().all(|byte| *byte == buffer[0]), "torn: {:?}", &buffer[..length]);
        Ok(buffer[0])
    }

    /// Receives until the channel is closed and empty.
    fn drain(&self, me: ParticipantId) -> Vec<u8> {
        let mut received = Vec::new();
        loop {
            match self.recv(me, FOREVER) {
                Ok(byte) => received.push(byte),
                Err(RecvFailure::Closed) => return received,
                Err(other) => panic!("{other:?}"),
            }
        }
    }

    /// Sends a message of `length` bytes, longer than the ring.
    fn send_long(&self, me: ParticipantId, byte: u8, length: usize, wait: Wait) -> Result<(), SendFailure> {
        self.channel().send_long(owner(me), &message(byte, length), &self.peers, wait)
    }

    /// Sends messages of 8 bytes by one call.
    fn send_many(&self, me: ParticipantId, bytes: &[u8], wait: Wait) -> Result<usize, SendFailure> {
        let messages: Vec<_> = bytes.iter().map(|byte| message(*byte, 8)).collect();
        self.channel().send_many(owner(me), messages.len(), |nth| &messages[nth], &self.peers, wait)
    }

    /// Receives by one call.
    fn recv_many(&self, me: ParticipantId, most: usize, wait: Wait) -> Result<Vec<u8>, RecvFailure> {
        let mut received = Vec::new();
        let many = self.channel().recv_many(owner(me), most, &self.peers, wait, |nth, parts| {
            assert_eq!(nth, received.len());
            let mut buffer = vec![0; parts.bytes()];
            parts.load_at(0, &mut buffer);
            assert!(buffer.iter().all(|byte| *byte == buffer[0]), "torn: {buffer:?}");
            received.push(buffer[0]);
            true
        })?;
        assert_eq!(many, Many::Received(received.len()));
        Ok(received)
    }

    /// Sends a message that is written in place.
    fn send_with(&self, me: ParticipantId, byte: u8, length: usize, wait: Wait) -> Result<(), SendFailure> {
        let channel = self.channel();
        let room = channel.reserve(owner(me), length, &self.peers, wait)?;
        channel.room_parts(room).store_at(0, &message(byte, length));
        channel.commit(owner(me), room, length);
        Ok(())
    }

    /// Receives a message that is read in place, before it is given back.
    fn recv_with(&self, me: ParticipantId, wait: Wait) -> Result<u8, RecvFailure> {
        let channel = self.channel();
        let Peeked::Message(found) = channel.peek(owner(me), &self.peers, wait)? else { panic!("in pieces") };
        let mut buffer = vec![0; found.bytes()];
        channel.found_parts(found).load_at(0, &mut buffer);
        channel.release(owner(me), found);
        assert!(buffer.iter().all(|byte| *byte == buffer[0]), "torn: {buffer:?}");
        Ok(buffer[0])
    }

    fn shutdown(&self, me: ParticipantId) {
        self.channel().shutdown(owner(me), &self.peers, FOREVER).unwrap();
    }

    /// Runs `f` as `victim`, killed at `step`; then a bystander recovers it, once. Whether it was killed.
    fn mourn(&self, victim: ParticipantId, step: usize, f: impl FnOnce()) -> bool {
        let killed = self.peers.live(victim, step, f).is_none();
        if killed {
            self.channel().recover(victim, &self.peers);
        }
        killed
    }
}

/// The ring has room for one message of two words, so the sender waits for the receiver and the receiver for it, and
/// messages wrap.
#[test]
fn one_sender_one_receiver() {
    explore(2, || {
        let world = World::new(3);
        let other = world.clone();
        let sender = thread::spawn(move || {
            for byte in 1..=3 {
                other.send(1, byte, 8, FOREVER).unwrap();
            }
        });
        for byte in 1..=3 {
            assert_eq!(world.recv(2, FOREVER), Ok(byte));
        }
        sender.join().unwrap();
        assert_eq!(world.channel().len(), 0);
    });
}

#[test]
fn two_senders_one_receiver() {
    explore(2, || {
        let world = World::new(3);
        let senders = [1, 2].map(|me| {
            let world = world.clone();
            thread::spawn(move || world.send(me, me as u8, 9, FOREVER).unwrap())
        });
        let mut received = [world.recv(3, FOREVER).unwrap(), world.recv(3, FOREVER).unwrap()];
        received.sort_unstable();
        assert_eq!(received, [1, 2]);
        senders.into_iter().for_each(|sender| sender.join().unwrap());
        assert_eq!(world.recv(3, NOW), Err(RecvFailure::Empty));
    });
}

#[test]
fn two_receivers_share_what_is_there_and_then_end() {
    explore(2, || {
        let world = World::new(4);
        let receivers = [1, 2].map(|me| {
            let world = world.clone();
            thread::spawn(move || world.drain(me))
        });
        world.send(3, 1, 8, FOREVER).unwrap();
        world.send(3, 2, 8, FOREVER).unwrap();
        world.shutdown(3);
        assert_eq!(world.send(3, 3, 0, FOREVER), Err(SendFailure::Closed));
        let mut received: Vec<u8> = receivers.into_iter().flat_map(|receiver| receiver.join().unwrap()).collect();
        received.sort_unstable();
        assert_eq!(received, [1, 2]);
    });
}

/// A send that returned before or while somebody shuts down is received; one that did not is not.
#[test]
fn shutdown_has_one_moment() {
    explore(3, || {
        let world = World::new(4);
        let other = world.clone();
        let sender = thread::spawn(move || other.send(1, 1, 8, FOREVER).is_ok());
        let other = world.clone();
        let receiver = thread::spawn(move || other.drain(2));
        world.shutdown(3);
        let sent = sender.join().unwrap();
        assert_eq!(receiver.join().unwrap(), if sent { vec![1] } else { vec![] });
    });
}

#[test]
fn time_outs_take_nothing_with_them() {
    explore(2, || {
        let world = World::new(2);
        let other = world.clone();
        let hasty = thread::spawn(move || other.recv(1, a_while()));
        let other = world.clone();
        let sender = thread::spawn(move || {
            let sent = other.send(2, 1, 8, FOREVER).is_ok();
            other.shutdown(2);
            sent
        });
        let mut received = world.drain(3);
        assert!(sender.join().unwrap());
        match hasty.join().unwrap() {
            Ok(byte) => received.push(byte),
            Err(RecvFailure::TimedOut | RecvFailure::Closed) => {}
            Err(other) => panic!("{other:?}"),
        }
        assert_eq!(received, [1]);
    });
}

/// Message 2 was received, and before it, if its sender lives, message 1.
fn judge(killed: bool, received: &[u8], deaths: &AtomicUsize) {
    if killed {
        deaths.fetch_add(1, SeqCst);
        assert!(received == [2] || received == [1, 2], "{received:?}");
    } else {
        assert_eq!(received, [1, 2], "a message was lost");
    }
}

/// The victim and a survivor send, the ring has room for one: the survivor and the receiver go on.
#[test]
fn a_sender_dies_at_any_step() {
    at_every_step(1, |step, deaths| {
        let world = World::new(2);
        let other = world.clone();
        let survivor = thread::spawn(move || {
            other.send(2, 2, 8, FOREVER).unwrap();
        });
        let other = world.clone();
        let victim = thread::spawn(move || other.mourn(1, step, || other.send(1, 1, 8, FOREVER).unwrap()));
        let mut received = Vec::new();
        while !received.contains(&2) {
            received.push(world.recv(3, FOREVER).unwrap());
        }
        survivor.join().unwrap();
        let killed = victim.join().unwrap();
        received.extend(world.recv(3, NOW));
        assert_eq!(world.recv(3, NOW), Err(RecvFailure::Empty));
        received.sort_unstable();
        judge(killed, &received, deaths);
    });
}

/// The victim and a survivor receive two messages; the sender has room for one and waits in between.
#[test]
fn a_receiver_dies_at_any_step() {
    at_every_step(1, |step, deaths| {
        let world = World::new(2);
        world.send(3, 1, 8, NOW).unwrap();
        let other = world.clone();
        let sender = thread::spawn(move || other.send(3, 2, 8, FOREVER).unwrap());
        let other = world.clone();
        let victim = thread::spawn(move || {
            let mut received = None;
            let killed = other.mourn(1, step, || received = other.recv(1, FOREVER).ok());
            (killed, received)
        });
        let mut received = vec![world.recv(2, FOREVER).unwrap()];
        sender.join().unwrap();
        let (killed, last) = victim.join().unwrap();
        received.extend(world.recv(2, NOW));
        assert!(received.is_sorted());
        received.extend(last);
        received.sort_unstable();
        if killed {
            deaths.fetch_add(1, SeqCst);
            // The one it took with it is the only one that may be missing.
            assert!([&[1, 2][..], &[1], &[2]].contains(&&received[..]), "{received:?}");
        } else {
            assert_eq!(received, [1, 2]);
        }
    });
}

/// A receiver waits for the end; whoever shuts down dies: then somebody else can.
#[test]
fn whoever_shuts_down_dies_at_any_step() {
    at_every_step(2, |step, deaths| {
        let world = World::new(2);
        let other = world.clone();
        let receiver = thread::spawn(move || other.drain(2));
        if world.mourn(1, step, || world.shutdown(1)) {
            deaths.fetch_add(1, SeqCst);
            if !world.channel().is_shut_down() {
                // Unless it has asked for it: then the next sender does it.
                let sent = world.send(3, 1, 8, FOREVER);
                assert!(sent.is_ok() || sent == Err(SendFailure::Closed));
                world.shutdown(3);
                assert_eq!(receiver.join().unwrap(), vec![1; sent.is_ok().into()]);
                return;
            }
        }
        assert_eq!(receiver.join().unwrap(), []);
    });
}

/// A recoverer dies at any step; a bystander recovers the recoverer and the dead sender.
#[test]
fn a_recoverer_dies_at_any_step() {
    at_every_step(1, |step, deaths| {
        let world = World::new(4);
        // The sender dies holding the lock, right before the store that commits: its operations are 0 lock, 1 closing,
        // 2 tail, 3 remembered head, 4 header word, 5 payload, 6 tail.
        assert!(world.peers.live(1, 6, || world.send(1, 1, 8, FOREVER)).is_none());
        let other = world.clone();
        let survivor = thread::spawn(move || other.send(2, 2, 8, FOREVER).unwrap());
        let other = world.clone();
        let receiver = thread::spawn(move || other.recv(3, FOREVER).unwrap());
        if world.peers.live(4, step, || world.channel().recover(1, &world.peers)).is_none() {
            deaths.fetch_add(1, SeqCst);
            world.channel().recover(4, &world.peers);
            world.channel().recover(1, &world.peers);
        }
        survivor.join().unwrap();
        assert_eq!(receiver.join().unwrap(), 2);
        assert_eq!(world.channel().len(), 0);
    });
}

/// In a ring of six words a piece fills the ring, so each waits for the one before to be taken. There are two.
const LONG_RING: usize = 6;
const LONG: usize = 48;

#[test]
fn a_long_message_is_whole() {
    explore(2, || {
        let world = World::new(LONG_RING);
        let other = world.clone();
        let sender = thread::spawn(move || {
            other.send_long(1, 1, LONG, FOREVER).unwrap();
            other.send(1, 2, 8, FOREVER).unwrap();
        });
        assert_eq!(world.recv(2, FOREVER), Ok(1));
        assert_eq!(world.recv(2, FOREVER), Ok(2));
        sender.join().unwrap();
        assert_eq!(world.channel().len(), 0);
    });
}

/// The sender of a long message dies; then another sends.
#[test]
fn a_sender_of_a_long_message_dies_at_any_step() {
    at_every_step(1, |step, deaths| {
        let world = World::new(LONG_RING);
        let other = world.clone();
        let receiver = thread::spawn(move || {
            let mut received = Vec::new();
            while !received.contains(&2) {
                received.push(other.recv(2, FOREVER).unwrap());
            }
            received
        });
        let killed = world.mourn(1, step, || world.send_long(1, 1, LONG, FOREVER).unwrap());
        world.send(3, 2, 8, FOREVER).unwrap();
        let received = receiver.join().unwrap();
        judge(killed, &received, deaths);
    });
}

/// The receiver of a long message dies: it has all of it, or the next one gets it.
#[test]
fn a_receiver_of_a_long_message_dies_at_any_step() {
    at_every_step(1, |step, deaths| {
        let world = World::new(LONG_RING);
        let other = world.clone();
        let sender = thread::spawn(move || {
            other.send_long(1, 1, LONG, FOREVER).unwrap();
            other.shutdown(1);
        });
        let mut first = None;
        if world.mourn(2, step, || first = world.recv(2, FOREVER).ok()) {
            deaths.fetch_add(1, SeqCst);
            // What the dead has received is gone with it.
            let received = world.drain(3);
            assert!(received.is_empty() || received == [1], "{received:?}");
        } else {
            assert_eq!(first, Some(1));
            assert_eq!(world.drain(3), []);
        }
        sender.join().unwrap();
    });
}

/// Either side may give up: then nobody has it, or both say that it went.
#[test]
fn both_sides_of_a_long_message_agree() {
    explore(2, || {
        let world = World::new(LONG_RING);
        let other = world.clone();
        let sender = thread::spawn(move || {
            let sent = other.send_long(1, 1, LONG, a_while());
            other.shutdown(1);
            sent
        });
        let first = world.recv(2, a_while());
        let rest = world.drain(3);
        let received = first.is_ok() as usize + rest.len();
        match sender.join().unwrap() {
            Ok(()) => assert_eq!(received, 1, "{first:?} {rest:?}"),
            Err(SendFailure::TimedOut) => assert_eq!(received, 0, "{first:?} {rest:?}"),
            Err(other) => panic!("{other:?}"),
        }
    });
}

/// Whoever shuts down does not wait for a message that nobody receives.
#[test]
fn a_shutdown_ends_a_long_message() {
    explore(2, || {
        let world = World::new(LONG_RING);
        let other = world.clone();
        let sender = thread::spawn(move || other.send_long(1, 1, LONG, FOREVER));
        world.shutdown(2);
        assert_eq!(sender.join().unwrap(), Err(SendFailure::Closed));
        assert_eq!(world.drain(3), []);
    });
}

/// A batch, single messages beside it, and a receiver that takes what there is: the batch lies together.
#[test]
fn a_batch_beside_a_sender() {
    explore(2, || {
        let world = World::new(5);
        let other = world.clone();
        let batch = thread::spawn(move || other.send_many(1, &[1, 2], FOREVER).unwrap());
        let other = world.clone();
        let single = thread::spawn(move || other.send(2, 3, 8, FOREVER).unwrap());
        let mut received = Vec::new();
        while received.len() < 2 {
            received.extend(world.recv_many(3, 2, FOREVER).unwrap());
        }
        single.join().unwrap();
        let sent = batch.join().unwrap();
        received.extend(world.recv_many(3, 3, NOW).unwrap_or_default());
        match sent {
            2 => assert!(received == [1, 2, 3] || received == [3, 1, 2], "{received:?}"),
            _ => assert!(received == [1, 3] || received == [3, 1], "{received:?}"),
        }
        assert_eq!(world.channel().len(), 0);
    });
}

/// The sender of a batch dies: all of it is there, or nothing; who waits gets it, or what another sends.
#[test]
fn a_sender_of_a_batch_dies_at_any_step() {
    at_every_step(1, |step, deaths| {
        let world = World::new(6);
        let other = world.clone();
        let receiver = thread::spawn(move || {
            let mut received = Vec::new();
            while !received.contains(&3) {
                received.extend(other.recv_many(2, 3, FOREVER).unwrap());
            }
            received
        });
        let killed = world.mourn(1, step, || assert_eq!(world.send_many(1, &[1, 2], FOREVER), Ok(2)));
        world.send(3, 3, 8, FOREVER).unwrap();
        let received = receiver.join().unwrap();
        if killed {
            deaths.fetch_add(1, SeqCst);
            assert!(received == [3] || received == [1, 2, 3], "a part: {received:?}");
        } else {
            assert_eq!(received, [1, 2, 3]);
        }
    });
}

/// The receiver of a batch dies: all of it is there, or gone; a sender gets the room.
#[test]
fn a_receiver_of_a_batch_dies_at_any_step() {
    at_every_step(1, |step, deaths| {
        let world = World::new(4);
        assert_eq!(world.send_many(3, &[1, 2, 3], NOW), Ok(2));
        let other = world.clone();
        let sender = thread::spawn(move || other.send(3, 3, 8, FOREVER).unwrap());
        let mut received = Vec::new();
        let killed = world.mourn(1, step, || received = world.recv_many(1, 2, FOREVER).unwrap());
        while received.last() != Some(&3) {
            received.extend(world.recv_many(2, 2, FOREVER).unwrap());
        }
        sender.join().unwrap();
        if killed {
            deaths.fetch_add(1, SeqCst);
            assert!(received == [3] || received == [1, 2, 3], "a part: {received:?}");
        } else {
            assert_eq!(received, [1, 2, 3]);
        }
        assert_eq!(world.recv(2, NOW), Err(RecvFailure::Empty));
    });
}

/// The writer of a message in place dies, and so does, in another run, its reader: the message is there as it was written,
/// or not at all; it stays, or is gone with its reader.
#[test]
fn a_writer_in_place_dies_at_any_step() {
    at_every_step(1, |step, deaths| {
        let world = World::new(3);
        let other = world.clone();
        let survivor = thread::spawn(move || other.send_with(2, 2, 9, FOREVER).unwrap());
        let other = world.clone();
        let victim = thread::spawn(move || other.mourn(1, step, || other.send_with(1, 1, 9, FOREVER).unwrap()));
        let mut received = Vec::new();
        while !received.contains(&2) {
            received.push(world.recv_with(3, FOREVER).unwrap());
        }
        survivor.join().unwrap();
        let killed = victim.join().unwrap();
        received.extend(world.recv_with(3, NOW));
        received.sort_unstable();
        judge(killed, &received, deaths);
    });
}

#[test]
fn a_reader_in_place_dies_at_any_step() {
    at_every_step(1, |step, deaths| {
        let world = World::new(2);
        world.send(3, 1, 8, NOW).unwrap();
        let other = world.clone();
        let sender = thread::spawn(move || other.send_with(3, 2, 8, FOREVER).unwrap());
        let mut received = Vec::new();
        let killed = world.mourn(1, step, || received.push(world.recv_with(1, FOREVER).unwrap()));
        while received.last() != Some(&2) {
            received.push(world.recv_with(2, FOREVER).unwrap());
        }
        sender.join().unwrap();
        judge(killed, &received, deaths);
    });
}

#[test]
fn a_message_is_read_in_place_before_its_room_is_given_back() {
    the_next_message_waits(|world| world.recv_with(2, FOREVER));
    the_next_message_waits(|world| world.recv_many(2, 2, FOREVER).map(|received| received[0]));
}

/// There is room for one message, and another is sent as soon as there is room again.
fn the_next_message_waits(recv: fn(&World) -> Result<u8, RecvFailure>) {
    explore(2, move || {
        let world = World::new(2);
        world.send(1, 1, 8, NOW).unwrap();
        let other = world.clone();
        let sender = thread::spawn(move || other.send(1, 2, 8, NOW));
        assert_eq!(recv(&world), Ok(1), "overwritten");
        let next = if sender.join().unwrap().is_ok() { Ok(2) } else { Err(RecvFailure::Empty) };
        assert_eq!(world.recv(2, NOW), next);
    });
}

#[test]
fn a_message_is_read_before_its_room_is_given_back() {
    the_next_message_waits(|world| world.recv(2, FOREVER));
}

/// Broken on purpose: the models above must find it.
mod negative {
    use super::*;

    #[test]
    fn it_is_found() {
        must_fail("negative::room_given_back_before_the_message_is_read", "overwritten");
        must_fail("negative::released_before_it_is_read_in_place", "overwritten");
    }

    /// Keeps looking at what it has given back.
    fn late_read(world: &World) -> Result<u8, RecvFailure> {
        let channel = world.channel();
        let Peeked::Message(found) = channel.peek(owner(2), &world.peers, FOREVER)? else { panic!("in pieces") };
        channel.release(owner(2), found);
        let mut byte = [0];
        channel.found_parts(found).load_at(0, &mut byte);
        Ok(byte[0])
    }

    #[test]
    #[ignore = "fails on purpose"]
    fn released_before_it_is_read_in_place() {
        the_next_message_waits(late_read);
    }

    /// Commits, and then copies. There is one message, and it fills the ring.
    fn hasty_recv(world: &World) -> Result<u8, RecvFailure> {
        let side = &world.header.receivers.0;
        mutex::lock(&side.lock, owner(2), &world.peers, FOREVER).unwrap();
        let tail = world.header.tail.0.load(Ordering::Acquire);
        side.other.store(tail, Ordering::Relaxed);
        world.header.head.0.store(tail, Ordering::Release);
        let byte = world.ring[1].load(Ordering::Relaxed) as u8;
        mutex::unlock(&side.lock, owner(2)).unwrap();
        Ok(byte)
    }

    #[test]
    #[ignore = "fails on purpose"]
    fn room_given_back_before_the_message_is_read() {
        the_next_message_waits(hasty_recv);
    }
}
