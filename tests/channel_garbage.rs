//! A peer that writes garbage into a channel: every call returns, and none touches what is not the channel's.

use ringfence::layout::channel::{ChannelHeader, Geometry};
use ringfence::primitive::{AtomicU64, Ordering};
use ringfence::raw::channel::{Channel, RecvFailure, SendFailure};
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
            match channel.send(me, message, &Nobody, NOW) {
                Ok(()) | Err(SendFailure::Full | SendFailure::Closed) => {}
                Err(SendFailure::Corrupted) => corrupted += 1,
                Err(other) => panic!("{other:?}"),
            }
            let mut buffer = [0; 30];
            match channel.recv(me, &mut buffer, &Nobody, NOW) {
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
