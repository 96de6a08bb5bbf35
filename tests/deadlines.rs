//! Whatever takes a deadline, with one that has passed and with one to come.

mod common;

use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use common::PATIENCE;
use ringfence::{
    Array, Channel, LockError, Mutex, PopError, PushError, Queue, RecvError, RwLock, Segment, SegmentOptions,
    SendError, Value,
};

/// A call with a deadline: whether it succeeded; any failure but a time-out panics.
type Call<'a> = &'a dyn Fn(Instant) -> bool;

fn past() -> Instant {
    Instant::now() - Duration::from_secs(1)
}

/// Times out: at once, or not before the deadline.
fn must_wait(what: &str, call: Call) {
    assert!(!call(past()), "{what}");
    let deadline = Instant::now() + Duration::from_millis(20);
    assert!(!call(deadline), "{what}");
    assert!(Instant::now() >= deadline, "{what}: too early");
}

/// Succeeds at once, twice.
fn need_not_wait(what: &str, call: Call) {
    assert!(call(past()), "{what}");
    let deadline = Instant::now() + PATIENCE;
    assert!(call(deadline), "{what}");
    assert!(Instant::now() < deadline, "{what}: waited");
}

fn locked<G>(outcome: Result<G, LockError<G>>) -> bool {
    match outcome {
        Ok(_) => true,
        Err(LockError::TimedOut) => false,
        Err(_) => panic!("neither locked nor timed out"),
    }
}

#[test]
fn pushes_and_pops_wait_until_the_deadline_if_they_must() {
    let segment = Segment::anonymous(&SegmentOptions::new()).unwrap();
    let queue = Queue::<u64>::create(&segment, "queue", 2).unwrap();
    let ring = Channel::create(&segment, "channel", 16).unwrap(); // two messages of no bytes
    let push = |deadline| match queue.push_deadline(7, deadline) {
        Ok(()) => true,
        Err(PushError::TimedOut(7)) => false,
        Err(error) => panic!("{error}"),
    };
    let pop = |deadline| match queue.pop_deadline(deadline) {
        Ok(item) => item == 7,
        Err(PopError::TimedOut) => false,
        Err(error) => panic!("{error}"),
    };
    let send = |deadline| match ring.send_deadline(b"", deadline) {
        Ok(()) => true,
        Err(SendError::TimedOut) => false,
        Err(error) => panic!("{error}"),
    };
    let recv = |deadline| match ring.recv_deadline(deadline) {
        Ok(message) => message.is_empty(),
        Err(RecvError::TimedOut) => false,
        Err(error) => panic!("{error}"),
    };
    let table: [(&str, Call, &str, Call); 2] = [("push", &push, "pop", &pop), ("send", &send, "recv", &recv)];
    for (fill, fills, drain, drains) in table {
        must_wait(drain, drains);
        need_not_wait(fill, fills);
        must_wait(fill, fills);
        need_not_wait(drain, drains);
    }
}

#[test]
fn locks_wait_until_the_deadline_if_they_must() {
    let segment = Segment::anonymous(&SegmentOptions::new()).unwrap();
    let value = Value::<u64>::create(&segment, "value", 0).unwrap();
    let array = Array::<u64>::create(&segment, "array", 2).unwrap();
    let mutex = Mutex::<u64>::create(&segment, "mutex", 0).unwrap();
    let rwlock = RwLock::<u64>::create(&segment, "rwlock", 0).unwrap();
    let table: [(&str, Call); 6] = [
        ("value", &|deadline| locked(value.lock_deadline(deadline))),
        ("array", &|deadline| locked(array.lock_deadline(deadline))),
        ("mutex", &|deadline| locked(mutex.lock_deadline(deadline))),
        ("rwlock, read", &|deadline| locked(rwlock.read_deadline(deadline))),
        ("rwlock, upgradable", &|deadline| locked(rwlock.upgradable_read_deadline(deadline))),
        ("rwlock, write", &|deadline| locked(rwlock.write_deadline(deadline))),
    ];
    table.iter().for_each(|(what, lock)| need_not_wait(what, *lock));
    std::thread::scope(|scope| {
        // Made in here: a failure drops its end, and the holder goes.
        let ((held, holding), (done, waiting)) = (channel(), channel::<()>());
        let objects = (&value, &array, &mutex, &rwlock);
        scope.spawn(move || {
            let (value, array, mutex, rwlock) = objects;
            let _guards =
                (value.lock().unwrap(), array.lock().unwrap(), mutex.lock().unwrap(), rwlock.write().unwrap());
            held.send(()).unwrap();
            let _ = waiting.recv();
        });
        holding.recv().unwrap();
        table.iter().for_each(|(what, lock)| must_wait(what, *lock));
        drop(done);
    });
    table.iter().for_each(|(what, lock)| need_not_wait(what, *lock));
}
