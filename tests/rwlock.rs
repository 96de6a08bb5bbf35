//! The reader-writer lock between real processes. Numbers in comments are those of docs/semantics.md.

mod common;

use std::time::Duration;

use common::chance::Chance;
use common::{Name, PATIENCE, Role, fork, hear, reap, role, say, unsafe_copy, until};
use ringfence::{
    Error, LockError, LockFailure, Mutex, RwLock, RwLockReadGuard, RwLockWriteGuard, Segment, SegmentOptions, Value,
};

type Pair = [u64; 2];
type Outcome<G> = Result<G, LockError<G>>;

#[test]
fn role_entry() {
    let Some((role, arguments)) = role() else { return };
    let segment = Segment::open(&arguments[0]).unwrap();
    let lock = RwLock::<Pair>::open(&segment, "l").unwrap();
    match role.as_str() {
        // This one has the lock open and nothing else.
        "bystander" => {
            say("has it");
            hear();
        }
        // These hold the lock until killed or told.
        "reader" => {
            let guard = lock.read().unwrap();
            say("has it");
            hear();
            drop(guard);
        }
        "upgradable" => {
            let guard = lock.upgradable_read().unwrap();
            say("has it");
            hear();
            drop(guard);
        }
        "writer" => {
            let mut guard = lock.write().unwrap();
            guard[0] += 1;
            say("has it");
            hear();
            drop(guard);
        }
        "upgrader" => {
            let guard = lock.upgradable_read().unwrap();
            say("asking");
            let guard = guard.upgrade().unwrap();
            say("has it");
            hear();
            drop(guard);
        }
        // These say what they find when they are in, and stay there.
        "asks-to-read" => {
            say("asking");
            let outcome = lock.read();
            if let Err(LockError::NotRecoverable) = outcome {
                return say("given up");
            }
            let (_guard, told) = told(outcome);
            say(if told { "in after a death" } else { "is in" });
            hear();
        }
        "asks-to-write" => {
            say("asking");
            let (_guard, told) = told(lock.write());
            say(if told { "in after a death" } else { "is in" });
            hear();
        }
        "thread-ends-writing" => {
            std::thread::scope(|scope| {
                scope.spawn(|| std::mem::forget(lock.write().unwrap()));
            });
            say("ended");
            hear();
        }
        // A stream of turns. The count of turns changes under the lock.
        "stream-of-writers" => {
            let turns = Value::<u64>::open(&segment, "turns").unwrap();
            loop {
                let guard = lock.write().unwrap();
                turns.fetch_add(1);
                drop(guard);
            }
        }
        "stream-of-readers" => {
            let turns = Value::<u64>::open(&segment, "turns").unwrap();
            loop {
                let guard = lock.read().unwrap();
                turns.fetch_add(1);
                // The next overlaps with this one, so that there always is a reader.
                std::thread::yield_now();
                drop(guard);
            }
        }
        "single-turns" => {
            let turns = Value::<u64>::open(&segment, "turns").unwrap();
            loop {
                let found = match hear().as_str() {
                    "read" => {
                        let _guard = lock.read().unwrap();
                        turns.get()
                    }
                    _ => {
                        let _guard = lock.write().unwrap();
                        turns.get()
                    }
                };
                println!("\nturns: {found}");
            }
        }
        "worker" => {
            let outside = ["a", "b"].map(|name| Value::<u64>::open(&segment, name).unwrap());
            for turn in 0..arguments[1].parse::<u64>().unwrap() {
                work(&lock, &outside, turn);
            }
        }
        _ => panic!("no role {role}"),
    }
}

/// The guard, and whether a death was told.
fn told<G>(outcome: Outcome<G>) -> (G, bool) {
    match outcome {
        Ok(guard) => (guard, false),
        Err(LockError::OwnerDied(guard)) => (guard, true),
        Err(error) => panic!("{error}"),
    }
}

fn look(inside: Pair, outside: &[Value<u64>; 2], died: bool) {
    assert_eq!(inside[0], inside[1], "torn");
    assert!(died || outside[0].get() == outside[1].get(), "a writer is here too");
}

fn write<'a>(
    mut guard: RwLockWriteGuard<'a, Pair>,
    outside: &[Value<u64>; 2],
    died: bool,
) -> RwLockWriteGuard<'a, Pair> {
    look(*guard, outside, died);
    if died {
        outside[1].set(outside[0].get());
        guard.make_consistent();
    }
    outside[0].fetch_add(1);
    std::thread::yield_now();
    *guard = guard.map(|count| count + 1);
    outside[1].fetch_add(1);
    guard
}

/// One turn of one kind: what lies outside is counted up by each writer in two steps, and is whole whenever the lock says.
fn work(lock: &RwLock<Pair>, outside: &[Value<u64>; 2], turn: u64) {
    let look = |inside: Pair, died| look(inside, outside, died);
    match turn % 5 {
        0 => {
            let (guard, died) = told(lock.write());
            drop(write(guard, outside, died));
        }
        1 => {
            let (guard, died) = told(lock.upgradable_read());
            look(*guard, died);
            drop(write(guard.upgrade().unwrap(), outside, died));
        }
        2 => {
            let (guard, died) = told(lock.write());
            let guard = write(guard, outside, died).downgrade().unwrap();
            look(*guard, false);
        }
        _ => {
            let (guard, died) = told(lock.read());
            look(*guard, died);
            std::thread::yield_now();
            look(*guard, died);
        }
    }
}

fn setup(what: &str) -> (Name, Segment, RwLock<Pair>) {
    let name = Name::new(what);
    let segment = name.create(&SegmentOptions::new());
    let lock = RwLock::create(&segment, "l", [0; 2]).unwrap();
    (name, segment, lock)
}

fn started(role: &str, name: &Name) -> Role {
    let mut role = Role::start(role, &[&name.0]);
    role.expect("has it");
    role
}

fn busy<G>(outcome: Outcome<G>) {
    let error = outcome.map(drop).map_err(|error| error.to_string());
    assert_eq!(error, Err(LockFailure::WouldBlock.to_string()));
}

/// Lets it give back what it holds.
fn end(mut role: Role) {
    role.tell("go on");
    role.finish();
}

// semantics 4 and 95
#[test]
fn readers_share_and_a_writer_is_alone() {
    let (name, _segment, lock) = setup("rw-share");
    let other = started("reader", &name);
    let guards = [lock.read().unwrap(), lock.try_read().unwrap(), lock.read_timeout(PATIENCE).unwrap()];
    assert_eq!(guards.each_ref().map(|guard| **guard), [[0; 2]; 3]);
    busy(lock.try_write());
    busy(lock.write_timeout(Duration::ZERO));
    assert!(matches!(lock.write_timeout(Duration::from_millis(20)), Err(LockError::TimedOut)));
    // Who gave up stands in nobody's way.
    drop(lock.try_read().unwrap());
    drop(guards);
    busy(lock.try_write());
    end(other);

    let mut guard = lock.try_write().unwrap();
    *guard = [7; 2];
    assert_eq!(lock.holder(), Some(std::process::id()));
    drop(guard);
    let other = started("writer", &name);
    busy(lock.try_read());
    busy(lock.try_write());
    busy(lock.try_upgradable_read());
    assert!(matches!(lock.read_timeout(Duration::from_millis(20)), Err(LockError::TimedOut)));
    assert!(matches!(lock.upgradable_read_timeout(Duration::from_millis(20)), Err(LockError::TimedOut)));
    assert_eq!(lock.holder(), Some(other.pid() as u32));
    end(other);
    assert_eq!((*lock.read().unwrap(), lock.holder()), ([8, 7], None));
}

// semantics 98
#[test]
fn one_reader_can_become_the_writer_and_go_back() {
    let (name, _segment, lock) = setup("rw-upgrade");
    let guard = lock.upgradable_read().unwrap();
    let reader = started("reader", &name);
    std::thread::scope(|scope| {
        let elsewhere = || {
            busy(lock.try_upgradable_read());
            busy(lock.try_write());
            drop(lock.try_read().unwrap());
        };
        scope.spawn(elsewhere).join().unwrap();
    });
    // The other reader is in the way, and after a failure all is as before.
    let refused = guard.try_upgrade().unwrap_err();
    assert_eq!(refused.why(), &LockFailure::WouldBlock);
    let refused = refused.into_guard().upgrade_timeout(Duration::from_millis(20)).unwrap_err();
    assert_eq!(refused.why(), &LockFailure::TimedOut);
    drop(lock.try_read().unwrap());
    end(reader);
    let mut guard = refused.into_guard().upgrade().unwrap();
    busy(std::thread::scope(|scope| {
        scope.spawn(|| lock.try_read().map(drop).map_err(|_| LockError::WouldBlock)).join().unwrap()
    }));
    *guard = [5; 2];

    let guard = guard.downgrade_to_upgradable().unwrap();
    assert_eq!((*guard, *lock.read().unwrap()), ([5; 2], [5; 2]));
    std::thread::scope(|scope| scope.spawn(|| busy(lock.try_write())).join().unwrap());
    let mut guard = guard.try_upgrade().unwrap();
    guard[0] = 6;
    let guard = guard.downgrade().unwrap();
    assert_eq!((*guard, *lock.read().unwrap()), ([6, 5], [6, 5]));
    drop(lock.upgradable_read().unwrap().downgrade().unwrap());
    busy(lock.try_write());
    drop(guard);
    drop(lock.try_write().unwrap());
}

// semantics 95
#[test]
fn a_thread_that_would_wait_for_itself_is_told_where_it_can_be_seen() {
    let (_name, _segment, lock) = setup("rw-self");
    let guard = lock.write().unwrap();
    assert!(matches!(lock.write(), Err(LockError::WouldDeadlock)));
    assert!(matches!(lock.read(), Err(LockError::WouldDeadlock)));
    assert!(matches!(lock.upgradable_read(), Err(LockError::WouldDeadlock)));
    drop(guard);
    let guard = lock.upgradable_read().unwrap();
    assert!(matches!(lock.write(), Err(LockError::WouldDeadlock)));
    assert!(matches!(lock.try_upgradable_read(), Err(LockError::WouldDeadlock)));
    drop((lock.read().unwrap(), guard));
    // Here it cannot: another thread might read.
    let guard = lock.read().unwrap();
    assert!(matches!(lock.write_timeout(Duration::from_millis(20)), Err(LockError::TimedOut)));
    drop(guard);
    drop(lock.try_write().unwrap());
}

// semantics 95
#[test]
fn a_process_reads_so_often_and_no_more() {
    let (_name, _segment, lock) = setup("rw-often");
    let mut guards: Vec<RwLockReadGuard<'_, Pair>> = (0..16_383).map(|_| lock.try_read().unwrap()).collect();
    assert!(matches!(lock.read(), Err(LockError::TooOften)));
    guards.pop();
    let last = lock.read().unwrap();
    std::thread::scope(|scope| scope.spawn(|| busy(lock.try_write())).join().unwrap());
    drop((guards, last));
    let refused = lock.write().unwrap();
    drop(refused.downgrade().unwrap());
    drop(lock.try_write().unwrap());
}

// semantics 97
#[test]
fn a_dead_reader_is_subtracted_wherever_it_stood() {
    let (name, segment, lock) = setup("rw-reader");
    // Inside, beside a living one.
    let dead = started("reader", &name);
    let alive = started("reader", &name);
    let mut writer = Role::start("asks-to-write", &[&name.0]);
    writer.expect("asking");
    until("the writer", || lock.try_read().is_err());
    dead.kill();
    end(alive);
    // Nobody wrote: nothing to tell.
    writer.expect("is in");
    // Asleep before a writer.
    let mut waiting = Role::start("asks-to-read", &[&name.0]);
    waiting.expect("asking");
    waiting.falls_asleep();
    waiting.kill();
    end(writer);
    drop(lock.write_timeout(PATIENCE).unwrap());
    segment.recover().unwrap();
    assert_eq!(segment.participants().len(), 1);
}

// semantics 97
#[test]
fn a_place_used_again_reads_nothing() {
    let name = Name::new("rw-place");
    let segment = name.create(&SegmentOptions::new().participants(2));
    let lock = RwLock::<Pair>::create(&segment, "l", [0; 2]).unwrap();
    for turn in 0..20 {
        started("reader", &name).kill();
        // The next in this place lives, and reads, or does not.
        let next = started(if turn % 2 == 0 { "reader" } else { "bystander" }, &name);
        assert_eq!(lock.try_write().is_err(), turn % 2 == 0);
        end(next);
        drop(lock.try_write().unwrap());
    }
}

// semantics 8, 65 and 97
#[test]
fn a_dead_writer_is_told_to_readers_and_writers_until_a_writer_makes_it_good() {
    let (name, segment, lock) = setup("rw-writer");
    let writer = started("writer", &name);
    let mut readers = [0; 2].map(|_| Role::start("asks-to-read", &[&name.0]));
    readers.iter_mut().for_each(|reader| reader.expect("asking"));
    readers.iter().for_each(Role::falls_asleep);
    writer.kill();
    // The sleepers and those who come later; what was not committed is gone.
    readers.iter_mut().for_each(|reader| reader.expect("in after a death"));
    for _ in 0..2 {
        let Err(LockError::OwnerDied(guard)) = lock.read() else { panic!("a reader was not told") };
        assert_eq!(*guard, [0; 2]);
    }
    readers.into_iter().for_each(end);
    assert_eq!(segment.participants().len(), 1);
    let Err(LockError::OwnerDied(guard)) = lock.write() else { panic!("a writer was not told") };
    // Dropped: told again.
    drop(guard);
    let Err(LockError::OwnerDied(guard)) = lock.upgradable_read() else { panic!("not told again") };
    let mut guard = guard.upgrade().unwrap();
    assert!(guard.make_consistent());
    assert!(!guard.make_consistent());
    drop(guard);
    drop((lock.read().unwrap(), lock.read().unwrap()));
    drop(lock.write().unwrap());
}

// semantics 62, 63, 66 and 97
#[test]
fn given_up_unless_made_consistent() {
    let (name, _segment, lock) = setup("rw-give-up");
    started("writer", &name).kill();
    let Err(LockError::OwnerDied(guard)) = lock.write() else { panic!("not told") };
    let mut waiting = Role::start("asks-to-read", &[&name.0]);
    waiting.expect("asking");
    waiting.falls_asleep();
    guard.unlock();
    assert!(matches!(lock.read(), Err(LockError::NotRecoverable)));
    assert!(matches!(lock.write(), Err(LockError::NotRecoverable)));
    assert!(matches!(lock.try_upgradable_read(), Err(LockError::NotRecoverable)));
    // The one who slept has failed too.
    waiting.expect("given up");
    assert!(lock.reset());
    assert!(!lock.reset());
    drop(lock.read().unwrap());
    lock.write().unwrap().unlock();
}

// semantics 97
#[test]
fn who_only_waited_to_write_or_could_have_leaves_nothing_to_tell() {
    let (name, _segment, lock) = setup("rw-intent");
    for role in ["asks-to-write", "upgrader"] {
        let reader = started("reader", &name);
        let mut waiting = Role::start(role, &[&name.0]);
        waiting.expect("asking");
        until("the writer", || lock.try_read().is_err());
        waiting.kill();
        drop(lock.read_timeout(PATIENCE).unwrap());
        end(reader);
        drop(lock.write_timeout(PATIENCE).unwrap());
    }
    started("upgradable", &name).kill();
    drop(lock.write_timeout(PATIENCE).unwrap());
}

// semantics 64
#[test]
fn a_thread_that_ends_while_writing_is_told() {
    let (name, _segment, lock) = setup("rw-thread");
    let mut ender = Role::start("thread-ends-writing", &[&name.0]);
    ender.expect("ended");
    let Err(LockError::OwnerDied(_)) = lock.read_timeout(PATIENCE) else { panic!("not told") };
    let Err(LockError::OwnerDied(mut guard)) = lock.write_timeout(PATIENCE) else { panic!("not told") };
    guard.make_consistent();
    drop(guard);
    end(ender);
}

/// By turns: whoever waits to read while somebody writes is in before anybody writes again, however many want to.
// semantics 96
#[test]
fn a_stream_of_writers_passes_no_reader_over() {
    let (name, segment, lock) = setup("rw-writers");
    let turns = Value::<u64>::create(&segment, "turns", 0).unwrap();
    let streams = [0; 2].map(|_| Role::start("stream-of-writers", &[&name.0]));
    let mut reader = Role::start("single-turns", &[&name.0]);
    for _ in 0..20 {
        let guard = lock.write().unwrap();
        let before = turns.get();
        reader.tell("read");
        reader.falls_asleep();
        drop(guard);
        assert_eq!(reader.number("turns: ") as u64, before, "writers were let in first");
    }
    assert!(turns.get() > 20, "there was no stream");
    streams.into_iter().for_each(Role::kill);
}

/// By turns: from the moment that a writer waits for the readers inside, nobody else gets in before it.
// semantics 96
#[test]
fn a_stream_of_readers_keeps_no_writer_out() {
    let (name, segment, lock) = setup("rw-readers");
    let turns = Value::<u64>::create(&segment, "turns", 0).unwrap();
    let streams = [0; 2].map(|_| Role::start("stream-of-readers", &[&name.0]));
    let mut writer = Role::start("single-turns", &[&name.0]);
    for _ in 0..20 {
        let guard = lock.read().unwrap();
        writer.tell("write");
        until("the writer", || lock.try_read().is_err());
        streams.iter().for_each(Role::falls_asleep);
        let before = turns.get();
        drop(guard);
        assert_eq!(writer.number("turns: ") as u64, before, "readers were let in first");
    }
    assert!(turns.get() > 20, "there was no stream");
    streams.into_iter().for_each(Role::kill);
}

fn outside(segment: &Segment) -> [Value<u64>; 2] {
    ["a", "b"].map(|name| Value::create(segment, name, 0).unwrap())
}

// semantics 95 and 98
#[test]
fn many_processes_and_threads_exclude_each_other() {
    let (name, segment, lock) = setup("rw-many");
    let outside = outside(&segment);
    let roles = (0..3).map(|_| Role::start("worker", &[&name.0, "1000"])).collect::<Vec<_>>();
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| (0..1000).for_each(|turn| work(&lock, &outside, turn)));
        }
    });
    roles.into_iter().for_each(Role::finish);
    assert_eq!(*lock.write().unwrap(), [3000; 2]);
    assert_eq!(outside.map(|value| value.get()), [3000; 2]);
}

// semantics 97
#[test]
fn random_kills_stop_nobody_and_are_told() {
    let mut chance = Chance::new(25);
    let (name, segment, lock) = setup("rw-kills");
    let outside = outside(&segment);
    let start = || Role::start("worker", &[&name.0, "1000000000"]);
    let mut roles = vec![start(), start(), start()];
    for turn in 0..chance.rounds as u64 {
        chance.pause(Duration::from_millis(4));
        let victim = chance.index(roles.len());
        std::mem::replace(&mut roles[victim], start()).kill();
        chance.kills += 1;
        // Checks what it finds.
        (0..5).for_each(|kind| work(&lock, &outside, turn + kind));
        chance.checked += 5;
    }
    roles.into_iter().for_each(Role::kill);
    let (mut guard, died) = told(lock.write_timeout(PATIENCE));
    assert_eq!(guard.make_consistent(), died);
    assert!(died || outside[0].get() == outside[1].get());
    drop(guard);
    drop(lock.read().unwrap());
    segment.recover().unwrap();
    assert_eq!(segment.participants().len(), 1);
}

// semantics 81
#[test]
fn a_forked_child_has_nothing() {
    let (_name, _segment, lock) = setup("rw-fork");
    let guard = lock.write().unwrap();
    let child = fork(|| {
        let copy = unsafe_copy(&guard);
        assert_eq!(copy.downgrade().unwrap_err().why(), &LockFailure::NotOwner);
        busy(lock.try_read());
    });
    assert_eq!(reap(child), 0);
    let guard = guard.downgrade().unwrap();
    let child = fork(|| {
        drop(unsafe_copy(&guard));
        // The child reads on its own, and the parent still does.
        drop(lock.read().unwrap());
        busy(lock.try_write());
    });
    assert_eq!(reap(child), 0);
    std::thread::scope(|scope| scope.spawn(|| busy(lock.try_write())).join().unwrap());
    drop(guard);
    let guard = lock.upgradable_read().unwrap();
    let child = fork(|| {
        drop(unsafe_copy(&guard));
        busy(lock.try_upgradable_read());
    });
    assert_eq!(reap(child), 0);
    drop(guard.try_upgrade().unwrap());
}

// semantics 82
#[test]
fn a_segment_is_not_closed_while_somebody_writes() {
    let (_name, segment, lock) = setup("rw-close");
    let guard = lock.write().unwrap();
    assert!(segment.close().is_err());
    drop(guard);
}

/// What a panic left half done is dropped.
#[test]
fn a_panic_commits_nothing() {
    let (_name, _segment, lock) = setup("rw-panic");
    let panic = || {
        let mut guard = lock.write().unwrap();
        *guard = [1; 2];
        guard.commit();
        *guard = [2; 2];
        panic!("on purpose");
    };
    assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(panic)).is_err());
    assert_eq!(*lock.read().unwrap(), [1; 2]);
    let mut guard = lock.write().unwrap();
    *guard = [3; 2];
    guard.unlock();
    assert_eq!(*lock.read().unwrap(), [3; 2]);
}

// semantics 76 and 78
#[test]
fn it_is_a_kind_of_its_own() {
    let (_name, segment, _lock) = setup("rw-kind");
    assert!(matches!(Mutex::<Pair>::open(&segment, "l"), Err(Error::WrongKind { .. })));
    assert!(matches!(RwLock::<u64>::open(&segment, "l"), Err(Error::WrongShape { .. })));
    assert!(matches!(RwLock::<()>::open_or_create(&segment, "l", ()), Err(Error::WrongShape { .. })));
    assert!(matches!(RwLock::create(&segment, "l", [0_u64; 2]), Err(Error::Exists)));
    assert!(matches!(RwLock::<Pair>::open(&segment, "other"), Err(Error::Missing)));
    let again = RwLock::open_or_create(&segment, "l", [9_u64; 2]).unwrap();
    assert_eq!(*again.read().unwrap(), [0; 2]);
    assert_eq!(segment.objects().unwrap()[0].kind, "rwlock");
}
