//! The mutex between real processes. Numbers in names and comments are those of docs/semantics.md.

mod common;

use std::time::Duration;

use common::{Name, PATIENCE, Role, hear, role, say};
use ringfence::{LockError, Mutex, Segment, SegmentOptions};

#[test]
fn role_entry() {
    let Some((role, arguments)) = role() else { return };
    let segment = Segment::open(&arguments[0]).unwrap();
    let mutex = Mutex::<u64>::open(&segment, "m").unwrap();
    match role.as_str() {
        // Holds the lock until killed or told.
        "holder" => {
            let mut guard = mutex.lock().unwrap();
            *guard += 1;
            say("held");
            hear();
            drop(guard);
        }
        "adder" => {
            for _ in 0..arguments[1].parse::<u64>().unwrap() {
                *mutex.lock().unwrap() += 1;
            }
        }
        "thread-ends" => {
            std::thread::scope(|scope| {
                scope.spawn(|| std::mem::forget(mutex.lock().unwrap()));
            });
            say("ended");
            hear();
        }
        _ => panic!("no role {role}"),
    }
}

fn setup(what: &str) -> (Name, Segment, Mutex<u64>) {
    let name = Name::new(what);
    let segment = name.create(&SegmentOptions::new());
    let mutex = Mutex::create(&segment, "m", 0).unwrap();
    (name, segment, mutex)
}

#[test]
fn counts_by_many_processes_add_up() {
    let (name, _segment, mutex) = setup("count");
    let roles: Vec<_> = (0..3).map(|_| Role::start("adder", &[&name.0, "20000"])).collect();
    roles.into_iter().for_each(Role::finish);
    assert_eq!(*mutex.lock().unwrap(), 60000);
}

// semantics 8 and 65
#[test]
fn a_killed_holder_is_told_to_the_next_owner_and_its_uncommitted_change_is_gone() {
    let (name, segment, mutex) = setup("killed");
    let mut holder = Role::start("holder", &[&name.0]);
    holder.expect("held");
    assert!(matches!(mutex.try_lock(), Err(LockError::WouldBlock)));
    assert_eq!(mutex.holder(), Some(holder.pid() as u32));
    holder.kill();
    match mutex.lock_timeout(PATIENCE) {
        Err(LockError::OwnerDied(mut guard)) => {
            assert_eq!(*guard, 0);
            *guard = 7;
            assert!(guard.make_consistent());
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(*mutex.lock().unwrap(), 7);
    // The slow path that met the death has recovered the dead participant.
    assert_eq!(segment.participants().len(), 1);
}

// semantics 62, 63 and 66
#[test]
fn given_up_unless_made_consistent() {
    let (name, _segment, mutex) = setup("give-up");
    let mut holder = Role::start("holder", &[&name.0]);
    holder.expect("held");
    holder.kill();
    let Err(LockError::OwnerDied(guard)) = mutex.lock() else { panic!("not told") };
    drop(guard);
    let Err(LockError::OwnerDied(guard)) = mutex.lock() else { panic!("not told again") };
    guard.unlock();
    assert!(matches!(mutex.lock(), Err(LockError::NotRecoverable)));
    assert!(mutex.reset());
    assert!(!mutex.reset());
    drop(mutex.lock().unwrap());
}

// semantics 64
#[test]
fn a_thread_that_ends_while_holding_is_told() {
    let (name, _segment, mutex) = setup("thread-ends");
    let mut ender = Role::start("thread-ends", &[&name.0]);
    ender.expect("ended");
    assert!(matches!(mutex.lock_timeout(PATIENCE), Err(LockError::OwnerDied(_))));
    ender.finish();
}

// semantics 60
#[test]
fn relocking_is_an_error_and_another_thread_waits() {
    let (_name, _segment, mutex) = setup("relock");
    let guard = mutex.lock().unwrap();
    assert!(matches!(mutex.lock(), Err(LockError::WouldDeadlock)));
    std::thread::scope(|scope| {
        scope
            .spawn(|| {
                assert!(matches!(mutex.try_lock(), Err(LockError::WouldBlock)));
                assert!(matches!(mutex.lock_timeout(Duration::from_millis(20)), Err(LockError::TimedOut)));
            })
            .join()
            .unwrap();
    });
    drop(guard);
    drop(mutex.lock().unwrap());
}

#[test]
fn a_panic_discards_what_was_not_committed() {
    let (_name, _segment, mutex) = setup("panic");
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        let mut guard = mutex.lock().unwrap();
        *guard = 1;
        guard.commit();
        *guard = 2;
        panic!("on purpose");
    }));
    assert!(panicked.is_err());
    assert_eq!(*mutex.lock().unwrap(), 1);
}
