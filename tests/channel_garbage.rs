//! A peer that writes garbage into a channel: every call returns, and none touches what is not the channel's.

use std::time::Instant;

use ringfence::layout::channel::{ChannelHeader, Geometry};
use ringfence::primitive::{AtomicU64, Ordering};
use ringfence::raw::channel::{Channel, Many, Peeked, RecvFailure, SendFailure};
use ringfence::raw::{Fate, Owner, ParticipantId, Peers};
use ringfence::sys::nap::{Deadline, Wait};

struct Nobody;

impl Peers for Nobody {
    fn fate(&self, _: ParticipantId) -> Fate {
        Fate::Invalid
    }
}

const NOW: Wait = Wait { deadline: Deadline::Now, interruptible: false };
const GUARD: u64 = 0x5a5a_5a5a_5a5a_5a5a;

/// xorshift64: the same garbage every time.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    /// Often small, often a flipped bit of something real, sometimes anything.
    fn garbage(&mut self, real: u64) -> u64 {
        match self.next() % 4 {
            0 => real ^ (1 << (self.next() % 64)),
            1 => (self.next() % 16) | ((self.next() % 2) << 31) | ((self.next() % 16) << 32),
            2 => ((self.next() % 2) << 63) | (self.next() % 100),
            _ => self.next(),
        }
    }
}

/// Alone, in place, or several.
fn send(random: &mut Random, channel: Channel<'_>, me: Owner, message: &[u8]) -> Result<(), SendFailure> {
    match random.below(3) {
        0 => channel.send(me, message, &Nobody, NOW),
        1 => {
            let room = channel.reserve(me, message.len(), &Nobody, NOW)?;
            channel.room_parts(room).store_at(0, message);
            channel.commit(me, room, message.len());
            Ok(())
        }
        _ => {
            let sent = channel.send_many(me, 3, |nth| &message[..message.len() >> nth], &Nobody, NOW)?;
            assert!((1..=3).contains(&sent));
            Ok(())
        }
    }
}

/// The same. The length of the first message.
fn recv(random: &mut Random, channel: Channel<'_>, me: Owner, buffer: &mut [u8]) -> Result<usize, RecvFailure> {
    match random.below(3) {
        0 => channel.recv(me, buffer, &Nobody, NOW),
        1 => match channel.peek(me, &Nobody, NOW)? {
            Peeked::Message(found) => {
                let parts = channel.found_parts(found);
                assert!(parts.bytes() <= 48 && parts.first_bytes() <= parts.bytes());
                parts.load_at(0, buffer);
                channel.release(me, found);
                Ok(parts.bytes())
            }
            Peeked::Long(_) => channel.recv(me, buffer, &Nobody, NOW),
        },
        _ => {
            let mut first = None;
            let many = channel.recv_many(me, 3, &Nobody, NOW, |nth, parts| {
                assert!(nth < 3 && parts.bytes() <= 48);
                parts.load_at(0, buffer);
                first.get_or_insert(parts.bytes());
                true
            })?;
            match many {
                Many::Received(count) => assert!((1..=3).contains(&count)),
                Many::Long(_) => return channel.recv(me, buffer, &Nobody, NOW),
            }
            Ok(first.unwrap())
        }
    }
}

#[test]
fn garbage_is_an_error_or_a_message() {
    let mut random = Random(88172645463325252);
    let me = Owner::new(1, 1).unwrap();
    let geometry = Geometry::new(7 * 8).unwrap();
    let (mut corrupted, mut received) = (0, 0);
    for _ in 0..200_000 {
        let header = ChannelHeader::new(geometry);
        // The ring stands between guards that nobody may touch.
        let words: Vec<AtomicU64> = (0..7 + 16).map(|_| AtomicU64::new(GUARD)).collect();
        let ring = &words[8..15];
        ring.iter().for_each(|word| word.store(0, Ordering::Relaxed));
        let channel = Channel::attach(&header, ring).unwrap();
        channel.send(me, b"0123456789", &Nobody, NOW).unwrap();
        for _ in 0..1 + random.next() % 3 {
            let victims = [&header.head.0, &header.tail.0, &header.senders.0.other, &header.receivers.0.other];
            let victim = match random.next() % 8 {
                victim @ 0..4 => victims[victim as usize],
                _ => &ring[(random.next() % 7) as usize],
            };
            victim.store(random.garbage(victim.load(Ordering::Relaxed)), Ordering::Relaxed);
        }
        if random.next().is_multiple_of(16) {
            header.shared.0.closing.store(random.next() as u32, Ordering::Relaxed);
        }
        for _ in 0..3 {
            let message = [7; 40];
            let message = &message[..(random.next() % 41) as usize];
            match send(&mut random, channel, me, message) {
                Ok(()) | Err(SendFailure::Full | SendFailure::Closed) => {}
                Err(SendFailure::Corrupted) => corrupted += 1,
                Err(other) => panic!("{other:?}"),
            }
            let mut buffer = [0; 30];
            match recv(&mut random, channel, me, &mut buffer) {
                Ok(length) => received += usize::from(length <= buffer.len()),
                Err(RecvFailure::TooShort { needed }) => assert!(needed > 30 && needed <= geometry.max_message()),
                Err(RecvFailure::Empty | RecvFailure::Closed) => {}
                Err(RecvFailure::Corrupted) => corrupted += 1,
                Err(other) => panic!("{other:?}"),
            }
            assert!(channel.len() <= 7);
        }
        let guards = words[..8].iter().chain(&words[15..]);
        assert!(guards.into_iter().all(|word| word.load(Ordering::Relaxed) == GUARD));
    }
    assert!(corrupted > 1000 && received > 1000, "{corrupted} corrupted, {received} received");
}

/// Pieces of long messages, and the word that decides on them, of anything.
#[test]
fn garbage_in_pieces_is_an_error_or_a_message() {
    let mut random = Random(88172645463325252);
    let me = Owner::new(1, 1).unwrap();
    let geometry = Geometry::new(7 * 8).unwrap();
    let at_once = || Wait { deadline: Deadline::At(Instant::now()), interruptible: false };
    let (mut corrupted, mut received, mut late) = (0, 0, 0);
    for _ in 0..100_000 {
        let header = ChannelHeader::new(geometry);
        let words: Vec<AtomicU64> = (0..7 + 16).map(|_| AtomicU64::new(GUARD)).collect();
        let ring = &words[8..15];
        ring.iter().for_each(|word| word.store(random.below(4), Ordering::Relaxed));
        let first = random.below(7);
        let used = random.below(8 - first);
        header.head.0.store(first, Ordering::Relaxed);
        header.receivers.0.other.store(first, Ordering::Relaxed);
        header.senders.0.other.store(first, Ordering::Relaxed);
        header.tail.0.store((used.min(1) + random.below(2)).min(used) << 32 | (first + used), Ordering::Relaxed);
        for at in first..first + used {
            let marked = [6 << 61, 7 << 61, 1 << 63][random.below(3) as usize] | random.below(33);
            let value = if random.below(2) == 0 { marked } else { random.garbage(marked) };
            if random.below(3) > 0 {
                ring[at as usize].store(value, Ordering::Relaxed);
            }
        }
        header.shared.0.transfer.store(random.below(16), Ordering::Relaxed);
        header.shared.0.closing.store(random.below(9).saturating_sub(5) as u32, Ordering::Relaxed);
        let channel = Channel::attach(&header, ring).unwrap();
        for _ in 0..3 {
            match channel.recv(me, &mut [0; 30], &Nobody, at_once()) {
                Ok(_) => received += 1,
                Err(RecvFailure::Corrupted) => corrupted += 1,
                Err(RecvFailure::TimedOut) => late += 1,
                Err(RecvFailure::TooShort { .. } | RecvFailure::Closed) => {}
                Err(other) => panic!("{other:?}"),
            }
            match channel.send_long(me, &[7; 100], &Nobody, at_once()) {
                Err(SendFailure::TimedOut | SendFailure::Closed) => {}
                Err(SendFailure::Corrupted) => corrupted += 1,
                other => panic!("{other:?}"),
            }
        }
        let guards = words[..8].iter().chain(&words[15..]);
        assert!(guards.into_iter().all(|word| word.load(Ordering::Relaxed) == GUARD));
    }
    assert!(corrupted > 1000 && received > 1000 && late > 1000, "{corrupted} {received} {late}");
}

#[test]
fn sizes_that_do_not_fit_are_no_channel() {
    let header = ChannelHeader::new(Geometry::new(64).unwrap());
    let words: Vec<AtomicU64> = (0..8).map(|_| AtomicU64::new(0)).collect();
    assert!(Channel::attach(&header, &words).is_some());
    assert!(Channel::attach(&header, &words[..7]).is_none());
    for forged in [0, 7, 9, 1 << 31, u64::MAX] {
        header.shared.0.words.store(forged, Ordering::Relaxed);
        assert!(Channel::attach(&header, &words).is_none());
    }
    assert!(Geometry::new(0).is_none() && Geometry::new(16 << 30).is_none() && Geometry::new(1).is_some());
}
