//! The reentrant mutex between real processes. Numbers in comments are those of docs/semantics.md.

mod common;

use std::time::Duration;

use common::{Name, PATIENCE, Role, fork, hear, reap, role, say};
use ringfence::{Error, LockError, LockFailure, Mutex, ReentrantMutex, Segment, SegmentOptions, Value};

#[test]
fn role_entry() {
    let Some((role, arguments)) = role() else { return };
    let segment = Segment::open(&arguments[0]).unwrap();
    let mutex = ReentrantMutex::open(&segment, "r").unwrap();
    match role.as_str() {
        "holder" => {
            let _guards = [mutex.lock().unwrap(), mutex.lock().unwrap(), mutex.lock().unwrap()];
            say("held");
            hear();
        }
        "adder" => {
            let total = Value::<u64>::open(&segment, "total").unwrap();
            for _ in 0..arguments[1].parse::<u64>().unwrap() {
                let _outer = mutex.lock().unwrap();
                let seen = total.get();
                {
                    let _inner = mutex.lock().unwrap();
                    assert_eq!(mutex.count(), 2);
                }
                total.set(seen + 1);
            }
        }
        "thread-ends" => {
            std::thread::scope(|scope| {
                scope.spawn(|| (0..3).for_each(|_| std::mem::forget(mutex.lock().unwrap())));
            });
            say("ended");
            hear();
        }
        _ => panic!("no role {role}"),
    }
}

fn setup(what: &str) -> (Name, Segment, ReentrantMutex) {
    let name = Name::new(what);
    let segment = name.create(&SegmentOptions::new());
    let mutex = ReentrantMutex::create(&segment, "r").unwrap();
    (name, segment, mutex)
}

// semantics 3
#[test]
fn levels_are_counted_for_the_thread() {
    let (_name, _segment, mutex) = setup("r-levels");
    assert_eq!(mutex.count(), 0);
    assert_eq!(mutex.unlock(), Err(LockFailure::NotOwner));
    let (outer, inner) = (mutex.lock().unwrap(), mutex.try_lock().unwrap());
    assert_eq!((mutex.count(), mutex.holder()), (2, Some(std::process::id())));
    let elsewhere = || {
        assert_eq!(mutex.count(), 0);
        assert!(matches!(mutex.try_lock(), Err(LockError::WouldBlock)));
        assert!(matches!(mutex.lock_timeout(Duration::from_millis(5)), Err(LockError::TimedOut)));
        assert_eq!(mutex.unlock(), Err(LockFailure::NotOwner));
    };
    std::thread::scope(|scope| scope.spawn(elsewhere).join().unwrap());
    // Guards end in any order; the lock is free with the last.
    drop(outer);
    assert_eq!(mutex.count(), 1);
    std::thread::scope(|scope| scope.spawn(elsewhere).join().unwrap());
    inner.unlock();
    assert_eq!((mutex.count(), mutex.holder()), (0, None));
    std::thread::scope(|scope| scope.spawn(|| drop(mutex.try_lock().unwrap())).join().unwrap());
    // A guard that was forgotten is unlocked by hand, and no more often than it was locked.
    std::mem::forget(mutex.lock().unwrap());
    assert_eq!(mutex.unlock(), Ok(()));
    assert_eq!(mutex.unlock(), Err(LockFailure::NotOwner));
}

// semantics 3 and 81
#[test]
fn a_forked_child_owns_nothing() {
    let (_name, _segment, mutex) = setup("r-fork");
    let guards = [mutex.lock().unwrap(), mutex.lock().unwrap()];
    let child = fork(|| {
        assert_eq!(mutex.count(), 0);
        assert!(matches!(mutex.try_lock(), Err(LockError::WouldBlock)));
        drop(common::unsafe_copy(&guards));
        assert!(matches!(mutex.try_lock(), Err(LockError::WouldBlock)));
    });
    assert_eq!(reap(child), 0);
    assert_eq!(mutex.count(), 2);
}

#[test]
fn counts_by_many_processes_add_up() {
    let (name, segment, _mutex) = setup("r-count");
    let total = Value::<u64>::create(&segment, "total", 0).unwrap();
    let roles: Vec<_> = (0..3).map(|_| Role::start("adder", &[&name.0, "10000"])).collect();
    roles.into_iter().for_each(Role::finish);
    assert_eq!(total.get(), 30000);
}

// semantics 8, 62, 63 and 66
#[test]
fn the_death_of_an_owner_is_told_until_it_is_made_good_or_given_up() {
    let (name, segment, mutex) = setup("r-killed");
    let mut holder = Role::start("holder", &[&name.0]);
    holder.expect("held");
    assert!(matches!(mutex.try_lock(), Err(LockError::WouldBlock)));
    holder.kill();
    let Err(LockError::OwnerDied(guard)) = mutex.lock_timeout(PATIENCE) else { panic!("not told") };
    // Held once, whatever the dead had; what comes on top of it is no news.
    assert_eq!((mutex.count(), segment.participants().len()), (1, 1));
    drop(mutex.lock().unwrap());
    drop(guard);
    let Err(LockError::OwnerDied(mut guard)) = mutex.lock() else { panic!("not told again") };
    assert!(guard.make_consistent());
    assert!(!guard.make_consistent());
    drop(guard);
    drop(mutex.lock().unwrap());

    let mut holder = Role::start("holder", &[&name.0]);
    holder.expect("held");
    holder.kill();
    let Err(LockError::OwnerDied(guard)) = mutex.lock() else { panic!("not told") };
    // Only the last unlock gives it up.
    mutex.lock().unwrap().unlock();
    assert_eq!(mutex.count(), 1);
    guard.unlock();
    assert!(matches!(mutex.lock(), Err(LockError::NotRecoverable)));
    assert!(mutex.reset());
    assert!(!mutex.reset());
    drop(mutex.lock().unwrap());
}

// semantics 64
#[test]
fn a_thread_that_ends_while_holding_is_told() {
    let (name, _segment, mutex) = setup("r-thread");
    let mut ender = Role::start("thread-ends", &[&name.0]);
    ender.expect("ended");
    assert!(matches!(mutex.lock_timeout(PATIENCE), Err(LockError::OwnerDied(_))));
    ender.finish();
}

// semantics 76 and 78
#[test]
fn it_is_a_kind_of_its_own() {
    let (_name, segment, _mutex) = setup("r-kind");
    assert!(matches!(Mutex::<()>::open(&segment, "r"), Err(Error::WrongKind { .. })));
    assert!(matches!(ReentrantMutex::create(&segment, "r"), Err(Error::Exists)));
    assert!(matches!(ReentrantMutex::open(&segment, "other"), Err(Error::Missing)));
    let again = ReentrantMutex::open_or_create(&segment, "r").unwrap();
    drop(again.lock().unwrap());
    assert_eq!(segment.objects().unwrap()[0].kind, "reentrant mutex");
}
