//! Models of the shipped blackboard: always the newest complete value, whoever dies at whatever atomic step.
#![cfg(ringfence_loom)]

mod mortals;

use std::sync::atomic::Ordering::SeqCst;

use loom::sync::Arc;
use loom::thread;
use mortals::{FOREVER, Mortals, NOW, at_every_step, explore, owner};
use ringfence::layout::broadcast::{BroadcastHeader, Geometry};
use ringfence::primitive::AtomicU64;
use ringfence::raw::ParticipantId;
use ringfence::raw::blackboard::{Blackboard, ReadFailure};
use ringfence::raw::broadcast::{Broadcast, Writer};
use ringfence::sys::nap::Wait;

const SIZE: usize = 16;

struct World {
    header: BroadcastHeader,
    slots: Vec<AtomicU64>,
    geometry: Geometry,
    peers: Mortals,
}

impl World {
    /// With fewer slots than shipped, so that writers catch readers up within a few steps.
    fn new(capacity: u64) -> Arc<Self> {
        let geometry = Geometry::new(capacity, SIZE as u64, 0, false).unwrap();
        let slots = (0..geometry.words()).map(|_| AtomicU64::new(0)).collect();
        Arc::new(Self { header: BroadcastHeader::new(geometry), slots, geometry, peers: Mortals::new() })
    }

    fn raw(&self) -> Blackboard<'_> {
        Blackboard::new(Broadcast::new(&self.header, &[], &self.slots, self.geometry).unwrap()).unwrap()
    }

    fn writer(&self, me: ParticipantId) -> Writer {
        self.raw().values().open_writer(owner(me), &self.peers).unwrap()
    }

    /// The value of number n is n everywhere.
    fn write(&self, writer: &mut Writer) -> u64 {
        let number = writer.position() + 1;
        self.raw().values().send_once(writer, &[number as u8; SIZE]).unwrap();
        number
    }

    fn checked(&self, number: u64, value: [u8; SIZE]) -> u64 {
        assert!(number == 0 || value == [number as u8; SIZE], "torn, or another: {number}, {value:?}");
        number
    }

    fn read(&self) -> u64 {
        let mut value = [0; SIZE];
        let number = self.raw().read(&mut value).unwrap();
        self.checked(number, value)
    }

    fn newer(&self, than: u64, wait: Wait) -> Result<u64, ReadFailure> {
        let mut value = [0; SIZE];
        let number = self.raw().read_newer(than, &mut value, &self.peers, wait)?;
        Ok(self.checked(number, value))
    }
}

#[test]
fn a_reader_sees_whole_values_and_never_an_older_one_again() {
    for capacity in [1, 2] {
        explore(2, move || {
            let world = World::new(capacity);
            let mut writer = world.writer(1);
            world.write(&mut writer);
            let writing = thread::spawn({
                let world = world.clone();
                move || (0..2).map(|_| world.write(&mut writer)).last()
            });
            let first = world.read();
            let second = world.read();
            assert!(1 <= first && first <= second && second <= 3);
            writing.join().unwrap();
            assert_eq!(world.read(), 3);
        });
    }
}

#[test]
fn who_waits_for_a_newer_value_gets_it() {
    explore(3, || {
        let world = World::new(2);
        let mut writer = world.writer(1);
        let waiting = thread::spawn({
            let world = world.clone();
            move || {
                let first = world.newer(0, FOREVER).unwrap();
                (first, if first == 1 { world.newer(1, FOREVER).unwrap() } else { first })
            }
        });
        for _ in 0..2 {
            world.write(&mut writer);
        }
        let (first, second) = waiting.join().unwrap();
        assert!((1..=2).contains(&first) && second == 2);
    });
}

#[test]
fn a_writer_dies_at_every_step() {
    at_every_step(2, |step, deaths| {
        let world = World::new(1);
        let mut writer = world.writer(1);
        world.write(&mut writer);
        let reading = thread::spawn({
            let world = world.clone();
            move || [world.read(), world.read()]
        });
        let written = world.peers.live(1, step, || {
            world.write(&mut writer);
            world.raw().values().close_writer(writer);
        });
        if written.is_none() {
            deaths.fetch_add(1, SeqCst);
        }
        let [first, second] = reading.join().unwrap();
        assert!(1 <= first && first <= second && second <= 2);
        let left = world.read();
        assert!(left == 2 || written.is_none() && left == 1 && second == 1);
        // The next one's numbers go on.
        let mut writer = world.writer(2);
        assert_eq!(world.write(&mut writer), left + 1);
        assert_eq!(world.read(), left + 1);
    });
}

#[test]
fn who_waits_learns_of_the_end() {
    at_every_step(2, |step, deaths| {
        let world = World::new(1);
        let mut writer = world.writer(1);
        let waiting = thread::spawn({
            let world = world.clone();
            move || world.newer(0, FOREVER)
        });
        if world.peers.live(1, step, || world.write(&mut writer)).is_none() {
            deaths.fetch_add(1, SeqCst);
        }
        world.raw().values().shutdown();
        let written = world.read();
        match waiting.join().unwrap() {
            Ok(number) => assert_eq!((number, written), (1, 1)),
            Err(failure) => assert_eq!((failure, written), (ReadFailure::Closed, 0)),
        }
        assert_eq!(world.newer(written, NOW), Err(ReadFailure::Closed));
    });
}
