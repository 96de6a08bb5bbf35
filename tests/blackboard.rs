//! The blackboard between real processes. Numbers in comments are those of docs/semantics.md.

mod common;

use std::time::{Duration, Instant};

use common::chance::Chance;
use common::{Name, PATIENCE, Role, fork, reap, role, say, sleep_for_ever, unsafe_copy, until};
use ringfence::{
    Blackboard, BlackboardReadError, BlackboardWriteError, Error, Segment, SegmentOptions, Value, WaitAny, WriterError,
};

/// Long enough for somebody else to do something, if it ever does.
const SHORT: Duration = Duration::from_millis(30);

/// A value whose words all tell which it is; long enough to be torn.
type Wide = [u64; 64];

fn wide(number: u64) -> Wide {
    std::array::from_fn(|place| number.wrapping_mul(place as u64 + 1))
}

/// The number of a value that is whole.
fn whole((number, value): (u64, Wide)) -> u64 {
    assert_eq!(value, wide(value[0]), "torn");
    assert_eq!(value[0], number, "another's number");
    number
}

struct Scene {
    name: Name,
    segment: Segment,
    board: Blackboard<Wide>,
}

impl Scene {
    fn new(what: &str) -> Self {
        let name = Name::new(what);
        let segment = name.create(&SegmentOptions::new());
        let board = Blackboard::create(&segment, "b").unwrap();
        Self { name, segment, board }
    }

    fn start(&self, role: &str) -> Role {
        let mut started = Role::start(role, &[&self.name.0]);
        started.expect("ready");
        started
    }
}

#[test]
fn role_entry() {
    let Some((role, arguments)) = role() else { return };
    let segment = Segment::open(&arguments[0]).unwrap();
    let board = Blackboard::<Wide>::open(&segment, "b").unwrap();
    match role.as_str() {
        "holder" => {
            let _writer = board.writer().unwrap();
            say("ready");
            sleep_for_ever();
        }
        // Writes number after number, and counts those that have returned.
        "writer" => {
            let written = Value::<u64>::open(&segment, "written").unwrap();
            let writer = board.writer().unwrap();
            say("ready");
            let mut last = board.read().map_or(0, whole);
            loop {
                last += 1;
                assert_eq!(writer.write(wide(last)), Ok(last), "its numbers go on");
                written.set(last);
            }
        }
        // Reads for ever.
        "reader" => {
            let read = Value::<u64>::open(&segment, "read").unwrap();
            say("ready");
            let mut last = 0;
            loop {
                let number = board.wait_newer(last).map(whole);
                match number {
                    Ok(number) => assert!(number > last),
                    Err(BlackboardReadError::Closed) => return,
                    Err(error) => panic!("{error}"),
                }
                last = number.unwrap();
                read.fetch_add(1);
            }
        }
        _ => panic!("no role {role}"),
    }
}

// semantics 137
#[test]
fn a_reader_gets_the_newest_value_and_its_number() {
    let scene = Scene::new("newest");
    assert_eq!(scene.board.read(), Err(BlackboardReadError::Empty));
    let writer = scene.board.writer().unwrap();
    for number in 1..=20 {
        assert_eq!(writer.write(wide(number)), Ok(number));
        assert_eq!(scene.board.read().map(whole), Ok(number));
        assert_eq!(scene.board.try_newer(number - 1).map(whole), Ok(number));
        assert_eq!(scene.board.try_newer(number), Err(BlackboardReadError::Empty));
    }
    assert_eq!(scene.board.wait_newer(3).map(whole), Ok(20));
    assert_eq!(scene.board.try_newer(u64::MAX), Err(BlackboardReadError::Empty));
    assert!(matches!(Blackboard::<u64>::open(&scene.segment, "b"), Err(Error::WrongShape { .. })));
}

// semantics 138
#[test]
fn who_waits_for_a_newer_value_gets_it_in_time() {
    let scene = Scene::new("newer");
    let begun = Instant::now();
    assert_eq!(scene.board.wait_newer_timeout(0, SHORT), Err(BlackboardReadError::TimedOut));
    assert!(begun.elapsed() >= SHORT);
    assert_eq!(scene.board.wait_newer_deadline(0, begun), Err(BlackboardReadError::TimedOut));
    assert_eq!(scene.board.wait_newer_timeout(0, Duration::ZERO), Err(BlackboardReadError::Empty));
    let writer = scene.board.writer().unwrap();
    let wait = WaitAny::new([scene.board.newer(0), scene.board.newer(1)]).unwrap();
    assert!(wait.try_wait().is_err());
    std::thread::scope(|scope| {
        let blocked = scope.spawn(|| scene.board.wait_newer(0).map(whole));
        let any = scope.spawn(|| wait.wait_timeout(PATIENCE).map(|ready| ready.first()));
        writer.write(wide(1)).unwrap();
        assert_eq!(blocked.join().unwrap(), Ok(1));
        assert_eq!(any.join().unwrap(), Ok(0));
    });
}

// semantics 139
#[test]
fn there_is_one_writer_and_the_numbers_of_the_next_go_on() {
    let scene = Scene::new("writers");
    let writer = scene.board.writer().unwrap();
    let taken = Err(WriterError::Taken { pid: Some(std::process::id()) });
    assert_eq!(scene.board.writer().map(drop), taken);
    writer.write(wide(1)).unwrap();
    let child = fork(|| {
        assert_eq!(writer.write(wide(2)), Err(BlackboardWriteError::NotOwner));
        drop(unsafe_copy(&writer));
        assert_eq!(scene.board.read().map(whole), Ok(1));
        assert!(matches!(scene.board.writer(), Err(WriterError::Taken { .. })));
    });
    assert_eq!(reap(child), 0);
    assert_eq!(writer.write(wide(2)), Ok(2));
    drop(writer);
    let holder = scene.start("holder");
    let taken = Err(WriterError::Taken { pid: Some(holder.pid() as u32) });
    assert_eq!(scene.board.writer().map(drop), taken);
    holder.kill();
    assert_eq!(scene.board.writer().unwrap().write(wide(3)), Ok(3));
}

// semantics 140
#[test]
fn after_a_shutdown_the_newest_value_stays() {
    let scene = Scene::new("end");
    let writer = scene.board.writer().unwrap();
    writer.write(wide(1)).unwrap();
    std::thread::scope(|scope| {
        let blocked = scope.spawn(|| scene.board.wait_newer(1));
        scene.board.shutdown().unwrap();
        assert_eq!(blocked.join().unwrap(), Err(BlackboardReadError::Closed));
    });
    assert!(scene.board.is_shut_down());
    assert_eq!(writer.write(wide(2)), Err(BlackboardWriteError::Closed));
    assert_eq!(scene.board.read().map(whole), Ok(1));
    assert_eq!(scene.board.wait_newer(0).map(whole), Ok(1));
    assert_eq!(scene.board.wait_newer(1), Err(BlackboardReadError::Closed));
}

// semantics 139
#[test]
fn random_kills_tear_nothing_and_lose_no_written_value() {
    let mut chance = Chance::new(30);
    let scene = Scene::new("kills");
    let written = Value::<u64>::create(&scene.segment, "written", 0).unwrap();
    let read = Value::<u64>::create(&scene.segment, "read", 0).unwrap();
    let mut writer = scene.start("writer");
    let mut reader = scene.start("reader");
    for _ in 0..chance.rounds {
        let (before, seen) = (written.get(), read.get());
        let more = 1 + chance.below(1000);
        until("values", || {
            whole(scene.board.read().unwrap_or((0, wide(0))));
            written.get() >= before + more
        });
        if chance.below(2) == 0 {
            assert!(reader.child.try_wait().unwrap().is_none(), "the reader found something");
            until("a value read", || read.get() > seen);
            reader.kill();
            reader = scene.start("reader");
        } else {
            assert!(writer.child.try_wait().unwrap().is_none(), "the writer found something");
            writer.kill();
            let last = written.get();
            let left = scene.board.read().map(whole).unwrap();
            assert!(left == last || left == last + 1, "written {last}, there is {left}");
            writer = scene.start("writer");
        }
        chance.kills += 1;
    }
    writer.kill();
    scene.board.shutdown().unwrap();
    reader.finish();
    chance.checked += read.get() as usize;
}
