//! Models of the shipped broadcast: every reader gets each record once, whole, in order, or learns how many it missed, whoever
//! dies at whatever atomic step; and all agree on where it ends.
//!
//! Sleeps are not capped in a model, so a lost wake-up is a deadlock, which loom reports. The last part holds broken variants that
//! these models must catch.
#![cfg(ringfence_loom)]

mod mortals;

use std::sync::atomic::Ordering::SeqCst;

use loom::sync::Arc;
use loom::thread;
use mortals::{FOREVER, Mortals, NOW, at_every_step, bound, explore, must_fail, owner};
use ringfence::layout::broadcast::{BroadcastHeader, Cursor, Geometry};
use ringfence::layout::queue::Line;
use ringfence::primitive::{AtomicU64, Ordering};
use ringfence::raw::ParticipantId;
use ringfence::raw::broadcast::role::Refused;
use ringfence::raw::broadcast::{Broadcast, Reader, RecvFailure, SendFailure, Sight, Start, Writer};
use ringfence::raw::eventcount;
use ringfence::sys::nap::Wait;

/// Two words: a torn copy shows.
const SIZE: usize = 16;

struct World {
    header: BroadcastHeader,
    cursors: Vec<Line<Cursor>>,
    slots: Vec<AtomicU64>,
    geometry: Geometry,
    peers: Mortals,
}

impl World {
    /// For so many records; the writer waits for so many readers.
    fn new(capacity: u64, readers: u32) -> Arc<Self> {
        let geometry = Geometry::new(capacity, SIZE as u64, readers, false).unwrap();
        let cursor = || Line(Cursor { owner: AtomicU64::new(0), position: AtomicU64::new(0) });
        Arc::new(Self {
            header: BroadcastHeader::new(geometry),
            cursors: (0..readers).map(|_| cursor()).collect(),
            slots: (0..geometry.words()).map(|_| AtomicU64::new(0)).collect(),
            geometry,
            peers: Mortals::new(),
        })
    }

    fn raw(&self) -> Broadcast<'_> {
        Broadcast::new(&self.header, &self.cursors, &self.slots, self.geometry).unwrap()
    }

    fn writer(&self, me: ParticipantId) -> Writer {
        self.raw().open_writer(owner(me), &self.peers).unwrap()
    }

    fn reader(&self, me: ParticipantId) -> Reader {
        self.raw().open_reader(owner(me), &self.peers, Start::Next).unwrap()
    }

    fn send(&self, writer: &mut Writer, value: u8, wait: Wait) -> Result<(), SendFailure> {
        self.raw().send(writer, &[value; SIZE], &self.peers, wait)
    }

    fn recv(&self, reader: &mut Reader, wait: Wait) -> Result<u8, RecvFailure> {
        let mut record = [0; SIZE];
        self.raw().recv(reader, &mut record, &self.peers, wait)?;
        assert!(record.iter().all(|byte| *byte == record[0]), "torn: {record:?}");
        Ok(record[0])
    }

    /// What a reader gets until it is told of the end: the records, and how many it missed before each.
    fn drain(&self, reader: &mut Reader) -> Vec<(u64, u8)> {
        let (mut found, mut missed) = (Vec::new(), 0);
        loop {
            match self.recv(reader, FOREVER) {
                Ok(value) => found.push((std::mem::take(&mut missed), value)),
                Err(RecvFailure::Missed(records)) => {
                    assert!(records > 0 && missed == 0, "missed twice");
                    missed = records;
                }
                Err(RecvFailure::Closed) => {
                    assert_eq!(missed, 0, "missed, and nothing behind it");
                    return found;
                }
                Err(failure) => panic!("{failure:?} after {found:?}"),
            }
        }
    }

    /// The same where nothing may be missed.
    fn drain_all(&self, reader: &mut Reader) -> Vec<u8> {
        let found = self.drain(reader);
        assert!(found.iter().all(|(missed, _)| *missed == 0), "lost: {found:?}");
        found.into_iter().map(|(_, value)| value).collect()
    }

    fn recover(&self, dead: ParticipantId) {
        self.raw().recover(dead, &self.peers);
    }
}

#[test]
fn a_reader_gets_each_record_or_learns_how_many_it_missed() {
    for capacity in [1, 2] {
        explore(2, move || {
            let world = World::new(capacity, 0);
            let mut reader = world.reader(2);
            let writer = thread::spawn({
                let world = world.clone();
                move || {
                    let mut writer = world.writer(1);
                    for value in 10..13 {
                        world.send(&mut writer, value, NOW).unwrap();
                    }
                    world.raw().shutdown();
                }
            });
            let mut next = 10;
            for (missed, value) in world.drain(&mut reader) {
                next += missed as u8;
                assert_eq!(value, next);
                next += 1;
            }
            assert_eq!(next, 13, "the end came early");
            writer.join().unwrap();
        });
    }
}

/// Whoever is at most the capacity behind misses nothing.
#[test]
fn the_newest_records_can_always_be_read() {
    explore(3, || {
        let world = World::new(2, 0);
        let mut writer = world.writer(1);
        let mut reader = world.reader(2);
        for value in 10..12 {
            world.send(&mut writer, value, NOW).unwrap();
        }
        let begun = thread::spawn({
            let world = world.clone();
            // Dies in the middle, so that the next one is never complete.
            move || world.peers.live(1, 3, || world.send(&mut writer, 12, NOW))
        });
        assert_eq!((world.recv(&mut reader, NOW), world.recv(&mut reader, NOW)), (Ok(10), Ok(11)));
        assert!(begun.join().unwrap().is_none());
    });
}

#[test]
fn with_back_pressure_nothing_is_lost() {
    all_is_read(2, [2]);
    all_is_read(bound(0, 1), [2, 3]);
}

fn all_is_read<const READERS: usize>(preemptions: usize, readers: [ParticipantId; READERS]) {
    explore(preemptions, move || {
        let world = World::new(1, READERS as u32);
        let readers = readers.map(|me| {
            let (world, mut reader) = (world.clone(), world.reader(me));
            thread::spawn(move || world.drain_all(&mut reader))
        });
        let mut writer = world.writer(1);
        for value in 10..12 {
            world.send(&mut writer, value, FOREVER).unwrap();
        }
        world.raw().shutdown();
        for reader in readers {
            assert_eq!(reader.join().unwrap(), [10, 11]);
        }
    });
}

/// Two readers are in the writer's way and go on at the same time: at least one of them sees that nobody is any more, and wakes it.
#[test]
fn the_last_of_those_in_its_way_wakes_the_writer() {
    explore(3, || {
        let world = World::new(1, 2);
        let readers = [2, 3].map(|me| world.reader(me));
        let mut writer = world.writer(1);
        world.send(&mut writer, 10, NOW).unwrap();
        let readers = readers.map(|mut reader| {
            let world = world.clone();
            thread::spawn(move || world.recv(&mut reader, NOW))
        });
        world.send(&mut writer, 11, FOREVER).unwrap();
        for reader in readers {
            assert_eq!(reader.join().unwrap(), Ok(10));
        }
    });
}

/// The writer dies anywhere in its second record; another one goes on.
fn a_writer_dies(readers: u32) {
    at_every_step(bound(1, 2), move |step, deaths| {
        let world = World::new(1, readers);
        let mut reader = world.reader(3);
        let mut writer = world.writer(1);
        world.send(&mut writer, 10, NOW).unwrap();
        let reading = thread::spawn({
            let world = world.clone();
            move || world.drain(&mut reader)
        });
        let sent = world.peers.live(1, step, || {
            world.send(&mut writer, 11, FOREVER).unwrap();
            world.raw().close_writer(writer);
        });
        if sent.is_none() {
            deaths.fetch_add(1, SeqCst);
            world.recover(1);
        }
        let mut writer = world.writer(2);
        world.send(&mut writer, 12, FOREVER).unwrap();
        world.raw().shutdown();
        let (mut got, mut missed) = (Vec::new(), 0);
        for (before, value) in reading.join().unwrap() {
            missed += before;
            got.push(value);
        }
        let total = got.len() as u64 + missed;
        assert!(readers == 0 || missed == 0, "lost: {got:?}");
        assert!(got.is_sorted() && got.ends_with(&[12]), "order: {got:?}");
        assert!(total == 3 || sent.is_none() && total == 2 && !got.contains(&11), "{got:?}, {missed} missed");
    });
}

#[test]
fn another_writer_goes_on_where_a_dead_one_stopped() {
    a_writer_dies(0);
}

#[test]
fn another_writer_goes_on_before_readers_that_are_waited_for() {
    a_writer_dies(1);
}

/// The writer dies anywhere, and there is no other: readers learn of the end, and agree on it.
#[test]
fn a_dead_writers_last_record_is_there_for_all_or_for_nobody() {
    at_every_step(2, |step, deaths| {
        let world = World::new(2, 0);
        let readers = [3, 4].map(|me| (me, world.reader(me)));
        let mut writer = world.writer(1);
        let sent = world.peers.live(1, step, || world.send(&mut writer, 10, NOW));
        if sent.is_none() {
            deaths.fetch_add(1, SeqCst);
        }
        let [first, second] = readers.map(|(_, mut reader)| {
            let world = world.clone();
            thread::spawn(move || world.drain_all(&mut reader))
        });
        world.raw().shutdown();
        // Nobody recovers: who waits finds out alone.
        let (first, second) = (first.join().unwrap(), second.join().unwrap());
        assert_eq!(first, second, "they disagree");
        assert!(first == [10] || sent.is_none() && first.is_empty());
    });
}

/// A reader that is behind is overtaken by a record in which the writer dies anywhere: the newest that is complete is not lost with
/// it, neither for that reader nor for one who comes late.
#[test]
fn a_dead_writers_last_record_takes_no_other_along() {
    at_every_step(2, |step, deaths| {
        let world = World::new(1, 0);
        let mut reader = world.reader(2);
        let mut writer = world.writer(1);
        for value in 10..12 {
            world.send(&mut writer, value, NOW).unwrap();
        }
        let reading = thread::spawn({
            let world = world.clone();
            move || world.drain(&mut reader)
        });
        let sent = world.peers.live(1, step, || world.send(&mut writer, 12, NOW));
        if sent.is_none() {
            deaths.fetch_add(1, SeqCst);
        }
        world.raw().shutdown();
        let mut next = 10;
        for (missed, value) in reading.join().unwrap() {
            next += missed as u8;
            assert_eq!(value, next);
            next += 1;
        }
        let complete = world.raw().look(2, &world.peers) == Sight::Record;
        assert!(complete || sent.is_none());
        let newest = if complete { 12 } else { 11 };
        assert_eq!(next, newest + 1, "the newest is lost");
        let mut late = world.raw().open_reader(owner(3), &world.peers, Start::Oldest).unwrap();
        assert_eq!(world.drain_all(&mut late), [newest]);
    });
}

#[test]
fn what_is_sent_before_the_end_is_read_before_the_end() {
    for readers in [0, 1] {
        explore(bound(2, 3), move || {
            let world = World::new(1, readers);
            let mut reader = world.reader(3);
            let sending = thread::spawn({
                let world = world.clone();
                move || {
                    let mut writer = world.writer(1);
                    world.send(&mut writer, 10, FOREVER)
                }
            });
            let closing = thread::spawn({
                let world = world.clone();
                move || world.raw().shutdown()
            });
            let got = world.drain_all(&mut reader);
            match sending.join().unwrap() {
                Ok(()) => assert_eq!(got, [10], "lost at the end"),
                Err(failure) => assert_eq!((failure, got), (SendFailure::Closed, vec![])),
            }
            closing.join().unwrap();
        });
    }
}

/// Somebody who shuts it down dies anywhere, while a writer waits for a reader and a reader for a record.
#[test]
fn a_closer_dies_at_every_step() {
    at_every_step(2, |step, deaths| {
        let world = World::new(1, 2);
        let (_slow, mut fast) = (world.reader(3), world.reader(4));
        let mut writer = world.writer(1);
        world.send(&mut writer, 10, NOW).unwrap();
        let sending = thread::spawn({
            let world = world.clone();
            move || world.send(&mut writer, 11, FOREVER)
        });
        let reading = thread::spawn({
            let world = world.clone();
            move || world.drain_all(&mut fast)
        });
        if world.peers.live(2, step, || world.raw().shutdown()).is_none() {
            deaths.fetch_add(1, SeqCst);
            world.recover(2);
            if !world.raw().is_shut_down() {
                world.raw().shutdown();
            }
        }
        assert_eq!(sending.join().unwrap(), Err(SendFailure::Closed));
        assert_eq!(reading.join().unwrap(), [10]);
    });
}

/// A reader that the writer waits for dies anywhere, from its first step to its last.
#[test]
fn a_dead_reader_holds_nobody_up() {
    at_every_step(2, |step, deaths| {
        let world = World::new(1, 1);
        let mut writer = world.writer(1);
        let victim = thread::spawn({
            let world = world.clone();
            move || {
                let read = world.peers.live(2, step, || {
                    let mut reader = world.reader(2);
                    let read = world.recv(&mut reader, NOW);
                    world.raw().close_reader(reader);
                    read
                });
                if read.is_none() {
                    world.recover(2);
                }
                read
            }
        });
        for value in 10..13 {
            world.send(&mut writer, value, FOREVER).unwrap();
        }
        match victim.join().unwrap() {
            None => {
                deaths.fetch_add(1, SeqCst);
            }
            Some(Ok(value)) => assert!((10..13).contains(&value)),
            Some(Err(failure)) => assert_eq!(failure, RecvFailure::Empty),
        }
        // Its cursor is free.
        world.reader(3);
    });
}

/// The writer finds a dead reader in its way without help, by a try.
#[test]
fn the_writer_leaves_a_dead_reader_behind() {
    explore(3, || {
        let world = World::new(1, 1);
        let mut writer = world.writer(1);
        let read = world.peers.live(2, 40, || {
            let mut reader = world.reader(2);
            for _ in 0..50 {
                let _ = world.recv(&mut reader, NOW);
            }
        });
        assert!(read.is_none());
        for value in 10..14 {
            world.send(&mut writer, value, NOW).unwrap();
        }
    });
}

/// A reader comes while the writer sends, and gets everything from there on.
#[test]
fn a_new_reader_misses_nothing_from_there_on() {
    explore(2, move || {
        let world = World::new(1, 1);
        let mut writer = world.writer(1);
        let reading = thread::spawn({
            let world = world.clone();
            move || {
                let mut reader = world.reader(2);
                world.drain_all(&mut reader)
            }
        });
        for value in 10..13 {
            world.send(&mut writer, value, FOREVER).unwrap();
        }
        world.raw().shutdown();
        let got = reading.join().unwrap();
        assert!([10, 11, 12].ends_with(&got), "a gap: {got:?}");
    });
}

#[test]
fn one_of_two_becomes_the_writer() {
    explore(3, || {
        let world = World::new(1, 0);
        // Somebody died as the writer, in the middle of a record.
        assert!(world.peers.live(1, 5, || world.send(&mut world.writer(1), 10, NOW)).is_none());
        let open = |me| {
            let world = world.clone();
            thread::spawn(move || match world.raw().open_writer(owner(me), &world.peers) {
                Ok(mut writer) => {
                    world.send(&mut writer, 20, NOW).unwrap();
                    true
                }
                Err(Refused::Taken(holder)) => {
                    assert!(holder == 2 || holder == 3);
                    false
                }
                Err(Refused::Corrupted) => panic!("corrupted"),
            })
        };
        let (first, second) = (open(2), open(3));
        world.recover(1);
        assert_eq!([first.join().unwrap(), second.join().unwrap()].iter().filter(|won| **won).count(), 1);
        // The place of the dead writer's record was given to the other's.
        let mut reader = world.raw().open_reader(owner(4), &world.peers, Start::Oldest).unwrap();
        assert_eq!((world.recv(&mut reader, NOW), world.recv(&mut reader, NOW)), (Ok(20), Err(RecvFailure::Empty)));
    });
}

/// Who recovers a dead writer and a dead reader dies anywhere in that; another finishes it.
#[test]
fn a_recoverer_dies_at_every_step() {
    for claim in [4, 6, 8] {
        at_every_step(1, move |step, deaths| {
            let world = World::new(1, 2);
            let mut reader = world.reader(2);
            let died = world.peers.live(1, claim, || {
                let _lost = world.reader(1);
                let mut writer = world.writer(1);
                world.send(&mut writer, 10, NOW)
            });
            assert!(died.is_none());
            let reading = thread::spawn({
                let world = world.clone();
                move || world.drain_all(&mut reader)
            });
            if world.peers.live(3, step, || world.recover(1)).is_none() {
                deaths.fetch_add(1, SeqCst);
                world.recover(3);
                world.recover(1);
            }
            let mut writer = world.writer(4);
            for value in 20..22 {
                world.send(&mut writer, value, FOREVER).unwrap();
            }
            world.raw().shutdown();
            assert_eq!(reading.join().unwrap(), [20, 21]);
            // The dead reader's cursor is free.
            world.reader(4);
        });
    }
}

/// Broken on purpose: the models above must find it.
mod negative {
    use super::*;

    #[test]
    fn they_are_found() {
        must_fail("negative::a_reader_that_looks_before_it_is_seen", "a gap");
        must_fail("negative::a_copy_that_is_not_looked_at_again", "torn");
        must_fail("negative::readers_that_look_at_each_other_before_they_go_on", "deadlock");
    }

    /// Each looks whether the other is in the writer's way, and only then leaves it itself: each leaves the waking to the other.
    #[test]
    #[ignore = "fails on purpose"]
    fn readers_that_look_at_each_other_before_they_go_on() {
        explore(2, || {
            let world = World::new(1, 2);
            let _readers = [2, 3].map(|me| world.reader(me));
            let mut writer = world.writer(1);
            world.send(&mut writer, 10, NOW).unwrap();
            let readers = [0, 1].map(|me| {
                let world = world.clone();
                thread::spawn(move || {
                    let other = world.cursors[1 - me].0.position.load(Ordering::Acquire);
                    world.cursors[me].0.position.store(1, Ordering::Release);
                    eventcount::notify_if(&world.header.shared.0.not_full, || other == 1);
                })
            });
            world.send(&mut writer, 11, FOREVER).unwrap();
            for reader in readers {
                reader.join().unwrap();
            }
        });
    }

    /// Looks where the tail is, and only then takes a cursor: the writer may be a lap further by then.
    #[test]
    #[ignore = "fails on purpose"]
    fn a_reader_that_looks_before_it_is_seen() {
        explore(2, || {
            let world = World::new(1, 1);
            let mut writer = world.writer(1);
            let reading = thread::spawn({
                let world = world.clone();
                move || {
                    let unseen = Geometry::new(1, SIZE as u64, 0, false).unwrap();
                    let unseen = Broadcast::new(&world.header, &[], &world.slots, unseen).unwrap();
                    let mut reader = unseen.open_reader(owner(2), &world.peers, Start::Next).unwrap();
                    let _seen = world.reader(2);
                    loop {
                        world.cursors[0].0.position.store(reader.position(), Ordering::Release);
                        eventcount::notify(&world.header.shared.0.not_full);
                        match world.recv(&mut reader, FOREVER) {
                            Ok(_) => {}
                            Err(RecvFailure::Closed) => return,
                            Err(failure) => panic!("a gap: {failure:?}"),
                        }
                    }
                }
            });
            for value in 10..14 {
                world.send(&mut writer, value, FOREVER).unwrap();
            }
            world.raw().shutdown();
            reading.join().unwrap();
        });
    }

    #[test]
    #[ignore = "fails on purpose"]
    fn a_copy_that_is_not_looked_at_again() {
        explore(2, || {
            let world = World::new(1, 0);
            let mut writer = world.writer(1);
            world.send(&mut writer, 10, NOW).unwrap();
            let sending = thread::spawn({
                let world = world.clone();
                move || (11..13).for_each(|value| world.send(&mut writer, value, NOW).unwrap())
            });
            let [stamp, data @ ..] = &world.slots[..3] else { panic!("three words") };
            if stamp.load(Ordering::Acquire) == 2 {
                let words: Vec<_> = data.iter().map(|word| word.load(Ordering::Relaxed)).collect();
                assert_eq!(words[0], words[1], "torn");
            }
            sending.join().unwrap();
        });
    }
}
