//! The semaphore between real processes. Numbers in comments are those of docs/semantics.md.

mod common;

use std::time::Duration;

use common::{Name, PATIENCE, Role, fork, hear, reap, role, say, unsafe_copy};
use ringfence::{Error, LockError, LockFailure, Permits, Segment, SegmentOptions, Semaphore, SemaphoreOptions, Value};

fn options(initial: u32) -> SemaphoreOptions {
    SemaphoreOptions::new(initial)
}

#[test]
fn role_entry() {
    let Some((role, arguments)) = role() else { return };
    let segment = Segment::open(&arguments[0]).unwrap();
    let semaphore = Semaphore::open(&segment, "s").unwrap();
    let number = |index: usize| arguments[index].parse::<u32>().unwrap();
    match role.as_str() {
        "taker" => {
            // Told of a death or not.
            let permits = semaphore.acquire(number(1)).or_else(|error| error.into_guard().ok_or("no permits"));
            permits.unwrap().forget();
            say("taken");
            hear();
        }
        "blocked" => {
            say("asking");
            semaphore.acquire(number(1)).unwrap().forget();
            say("taken");
            hear();
        }
        // Never more than three inside, counted by each on its way in.
        "worker" => {
            let inside = Value::<u32>::open(&segment, "inside").unwrap();
            let most = Value::<u32>::open(&segment, "most").unwrap();
            for _ in 0..number(1) {
                let permit = semaphore.acquire(1).unwrap();
                let now = inside.fetch_add(1) + 1;
                assert!(now <= 3, "{now} are inside");
                let mut seen = most.lock().unwrap();
                seen.update(|most| most.max(now));
                drop(seen);
                std::thread::yield_now();
                inside.fetch_sub(1);
                drop(permit);
            }
        }
        "giver" => (0..number(1)).for_each(|_| semaphore.release(1).unwrap()),
        "receiver" => (0..number(1)).for_each(|_| semaphore.acquire(1).unwrap().forget()),
        _ => panic!("no role {role}"),
    }
}

fn setup(what: &str, options: &SemaphoreOptions) -> (Name, Segment, Semaphore) {
    let name = Name::new(what);
    let segment = name.create(&SegmentOptions::new());
    let semaphore = Semaphore::create(&segment, "s", options).unwrap();
    (name, segment, semaphore)
}

fn blocks(result: Result<Permits<'_>, LockError<Permits<'_>>>) {
    assert!(matches!(result, Err(LockError::WouldBlock)), "{result:?}");
}

// semantics 7
#[test]
fn the_value_may_rise_but_not_above_the_maximum() {
    for free in [options(1), options(1).signalling()] {
        let (_name, segment, semaphore) = setup("s-rise", &free);
        semaphore.release(2).unwrap();
        assert_eq!(semaphore.value(), Ok(3));
        let bounded = Semaphore::create(&segment, "bounded", &free.maximum(2)).unwrap();
        bounded.release(1).unwrap();
        assert_eq!(bounded.release(1), Err(LockFailure::MaximumReached));
        assert_eq!(bounded.value(), Ok(2));
        let permit = bounded.acquire(1).unwrap();
        assert_eq!(bounded.release(2), Err(LockFailure::MaximumReached));
        assert_eq!(bounded.value(), Ok(1));
        drop(permit);
        assert_eq!(bounded.value(), Ok(2));
        assert!(matches!(bounded.try_acquire(3), Err(LockError::MaximumReached)));
        assert!(matches!(semaphore.release(u32::MAX), Err(LockFailure::MaximumReached)));
        // With as many as any semaphore can have.
        let most = semaphore.maximum();
        semaphore.release(most - 3).unwrap();
        for more in [1, 3, 1024, 1025, most, u32::MAX] {
            assert_eq!((semaphore.release(more), semaphore.value()), (Err(LockFailure::MaximumReached), Ok(most)));
        }
    }
}

// semantics 4
#[test]
fn all_or_none_and_in_time() {
    for mode in [options(3), options(3).signalling()] {
        let (_name, _segment, semaphore) = setup("s-all", &mode);
        let two = semaphore.acquire(2).unwrap();
        assert_eq!(two.count(), 2);
        blocks(semaphore.try_acquire(2));
        blocks(semaphore.acquire_timeout(2, Duration::ZERO));
        assert!(matches!(semaphore.acquire_timeout(2, Duration::from_millis(20)), Err(LockError::TimedOut)));
        assert_eq!(semaphore.value(), Ok(1));
        assert_eq!(semaphore.taken(), Ok(if semaphore.is_owned() { 2 } else { 0 }));
        drop(semaphore.try_acquire(1).unwrap());
        drop(semaphore.try_acquire(0).unwrap());
        drop(two);
        assert_eq!(semaphore.value(), Ok(3));
    }
}

// semantics 1 and 2
#[test]
fn a_lock_has_no_owner_and_is_not_free_twice() {
    let (name, _segment, lock) = setup("s-lock", &options(1).maximum(1));
    assert_eq!(lock.release(1), Err(LockFailure::MaximumReached));
    let mut taker = Role::start("taker", &[&name.0, "1"]);
    taker.expect("taken");
    blocks(lock.try_acquire(1));
    // Another process releases it; from then on the first has nothing that could come back.
    lock.release(1).unwrap();
    let permit = lock.try_acquire(1).unwrap();
    taker.kill();
    blocks(lock.try_acquire(1));
    drop(permit);
    assert_eq!(lock.value(), Ok(1));
    drop(lock.try_acquire(1).unwrap());
}

// semantics 8
#[test]
fn what_the_dead_had_comes_back_and_is_told_once() {
    let (name, segment, semaphore) = setup("s-dead", &options(5).maximum(5));
    let mut roles: Vec<_> = ["1", "2"].iter().map(|n| Role::start("taker", &[&name.0, n])).collect();
    roles.iter_mut().for_each(|role| role.expect("taken"));
    assert_eq!(semaphore.value(), Ok(2));
    roles.into_iter().for_each(Role::kill);
    let Err(LockError::OwnerDied(all)) = semaphore.acquire_timeout(5, PATIENCE) else { panic!("not told") };
    drop(all);
    drop(semaphore.try_acquire(5).unwrap());
    segment.recover().unwrap();
    assert_eq!((semaphore.value(), segment.participants().len()), (Ok(5), 1));
}

/// The place of the dead is used again at once, by somebody who has nothing.
#[test]
fn a_place_used_again_has_no_permits() {
    let name = Name::new("s-place");
    let segment = name.create(&SegmentOptions::new().participants(2));
    let semaphore = Semaphore::create(&segment, "s", &options(3).maximum(3)).unwrap();
    for _ in 0..20 {
        let mut taker = Role::start("taker", &[&name.0, "2"]);
        taker.expect("taken");
        taker.kill();
        let mut taker = Role::start("taker", &[&name.0, "1"]);
        taker.expect("taken");
        assert_eq!((semaphore.value(), semaphore.taken()), (Ok(2), Ok(0)));
        taker.kill();
        assert_eq!(semaphore.value(), Ok(3));
    }
}

#[test]
fn a_peaceful_end_gives_back_too() {
    let (name, _segment, semaphore) = setup("s-peace", &options(2).maximum(2));
    let mut taker = Role::start("taker", &[&name.0, "2"]);
    taker.expect("taken");
    taker.tell("go");
    taker.finish();
    assert_eq!(semaphore.value(), Ok(2));
}

#[test]
fn a_signal_that_was_taken_by_the_dead_is_gone() {
    let (name, _segment, semaphore) = setup("s-signal", &options(2).signalling());
    let mut taker = Role::start("taker", &[&name.0, "2"]);
    taker.expect("taken");
    taker.kill();
    blocks(semaphore.try_acquire(1));
    semaphore.release(1).unwrap();
    semaphore.try_acquire(1).unwrap().forget();
}

/// Who wants many and who wants one both get what they want, whichever sleeps in front.
#[test]
fn the_blocked_are_woken_whatever_they_want() {
    for mode in [options(0), options(0).signalling()] {
        let (name, _segment, semaphore) = setup("s-many", &mode);
        let mut many = Role::start("blocked", &[&name.0, "3"]);
        many.expect("asking");
        many.falls_asleep();
        let mut one = Role::start("blocked", &[&name.0, "1"]);
        one.expect("asking");
        one.falls_asleep();
        semaphore.release(1).unwrap();
        one.expect("taken");
        semaphore.release(3).unwrap();
        many.expect("taken");
        assert_eq!(semaphore.value(), Ok(0));
        many.kill();
        one.kill();
    }
}

#[test]
fn never_more_than_three_are_active() {
    for mode in [options(3).maximum(3), options(3).signalling()] {
        let (name, segment, semaphore) = setup("s-pool", &mode);
        let inside = Value::<u32>::create(&segment, "inside", 0).unwrap();
        let most = Value::<u32>::create(&segment, "most", 0).unwrap();
        let roles = (0..10).map(|_| Role::start("worker", &[&name.0, "200"]));
        roles.collect::<Vec<_>>().into_iter().for_each(Role::finish);
        assert_eq!((semaphore.value(), inside.get()), (Ok(3), 0));
        assert!((1..=3).contains(&most.get()));
    }
}

#[test]
fn signals_are_counted_across_processes() {
    let (name, _segment, semaphore) = setup("s-count", &options(0).signalling());
    let roles = ["giver", "receiver", "giver", "receiver"].map(|role| Role::start(role, &[&name.0, "20000"]));
    roles.into_iter().for_each(Role::finish);
    assert_eq!(semaphore.value(), Ok(0));
}

// semantics 81
#[test]
fn a_forked_child_has_no_permits() {
    for mode in [options(2).maximum(2), options(2).signalling()] {
        let (_name, _segment, semaphore) = setup("s-fork", &mode);
        let permits = semaphore.acquire(2).unwrap();
        let child = fork(|| {
            // Before its first call, and after.
            drop(unsafe_copy(&permits));
            assert_eq!(semaphore.taken(), Ok(0));
            drop(unsafe_copy(&permits));
            blocks(semaphore.try_acquire(1));
        });
        assert_eq!(reap(child), 0);
        assert_eq!(semaphore.value(), Ok(0));
    }
}

// semantics 81
#[test]
fn what_a_forked_child_takes_is_its_own_from_its_first_call_on() {
    for mode in [options(2).maximum(2), options(2).signalling()] {
        let (_name, segment, semaphore) = setup("s-fork-first", &mode);
        let mutex = ringfence::Mutex::create(&segment, "m", 0_u64).unwrap();
        let child = fork(|| {
            // In signalling mode this needs no place in the segment; what follows does.
            let permits = semaphore.acquire(2).unwrap();
            *mutex.lock().unwrap() += 1;
            drop(permits);
            assert_eq!(semaphore.value(), Ok(2));
        });
        assert_eq!(reap(child), 0);
        assert_eq!(semaphore.value(), Ok(2));
    }
}

#[test]
fn permits_may_move_to_another_thread() {
    let (_name, _segment, semaphore) = setup("s-thread", &options(1));
    let permit = semaphore.acquire(1).unwrap();
    std::thread::scope(|scope| scope.spawn(|| drop(permit)).join().unwrap());
    assert_eq!(semaphore.value(), Ok(1));
}

// semantics 76 and 78
#[test]
fn maximum_and_mode_are_part_of_the_shape() {
    let (_name, segment, _semaphore) = setup("s-shape", &options(1).maximum(4));
    for other in [options(1), options(1).maximum(5), options(1).maximum(4).signalling()] {
        assert!(matches!(Semaphore::open_or_create(&segment, "s", &other), Err(Error::WrongShape { .. })));
    }
    // One that is there keeps its value.
    let again = Semaphore::open_or_create(&segment, "s", &options(3).maximum(4)).unwrap();
    assert_eq!((again.value(), again.maximum()), (Ok(1), 4));
    assert!(matches!(Semaphore::create(&segment, "s", &options(1)), Err(Error::Exists)));
    assert!(matches!(Semaphore::create(&segment, "t", &options(2).maximum(1)), Err(Error::InvalidArgument(_))));
    assert!(matches!(Semaphore::create(&segment, "t", &options(0).maximum(0)), Err(Error::InvalidArgument(_))));
    assert!(matches!(Semaphore::open(&segment, "t"), Err(Error::Missing)));
}
