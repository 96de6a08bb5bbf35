//! A channel whose lock is held by somebody who does not go on: made by hand in its words.

use std::time::{Duration, Instant};

use ringfence::layout::channel::{ChannelHeader, Geometry};
use ringfence::primitive::AtomicU64;
use ringfence::raw::channel::{Channel, RecvFailure, SendFailure};
use ringfence::raw::{Fate, Owner, ParticipantId, Peers, mutex};
use ringfence::sys::nap::{Deadline, Wait};

struct Alive;

impl Peers for Alive {
    fn fate(&self, _: ParticipantId) -> Fate {
        Fate::Alive
    }
}

// semantics 31
#[test]
fn one_deadline_covers_the_lock_and_the_message() {
    let geometry = Geometry::new(64).unwrap();
    let header = ChannelHeader::new(geometry);
    let ring: Vec<AtomicU64> = (0..geometry.words()).map(|_| AtomicU64::new(0)).collect();
    let channel = Channel::attach(&header, &ring).unwrap();
    let me = Owner::new(1, 1).unwrap();
    let time = Duration::from_millis(150);
    let timed = |call: &dyn Fn(Wait)| {
        let start = Instant::now();
        call(Wait::until(Deadline::after(time)));
        let took = start.elapsed();
        assert!(took >= time && took < Duration::from_secs(60), "{took:?}");
    };
    let send = |wait| assert_eq!(channel.send(me, b"x", &Alive, wait), Err(SendFailure::TimedOut));
    let recv = |wait| assert_eq!(channel.recv(me, &mut [0; 8], &Alive, wait), Err(RecvFailure::TimedOut));

    timed(&recv); // nothing there
    let other = Owner::new(2, 1).unwrap();
    assert!(mutex::lock_fast(&header.receivers.0.lock, other) && mutex::lock_fast(&header.senders.0.lock, other));
    timed(&recv); // the lock is held
    timed(&send);
    mutex::unlock(&header.senders.0.lock, other).unwrap();
    while channel.send(me, b"x", &Alive, Wait::until(Deadline::Now)).is_ok() {}
    timed(&send); // no room
}
