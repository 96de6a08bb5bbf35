//! Lines of docs/semantics.md that belong to no single object: signals, stopping, fork, exec, names, closing.

mod common;

use std::os::unix::fs::FileExt;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use common::{Name, Parts, Role, hear, role, say};
use ringfence::{
    Array, Channel, ElementError, Error, LockError, LockFailure, Mutex, PopError, Queue, Segment, SegmentOptions,
    Unlink, Value,
};

/// Long enough for anything that should happen on the most loaded machine.
const LONG: Duration = Duration::from_secs(10);

#[test]
fn role_entry() {
    let Some((role, arguments)) = role() else { return };
    let segment = Segment::open(&arguments[0]).unwrap();
    match role.as_str() {
        "holder" => {
            let mutex = Mutex::<u64>::open(&segment, "m").unwrap();
            let _guard = mutex.lock().unwrap();
            say("held");
            hear();
        }
        // Turns into another program while it holds the lock; that one echoes what it is told.
        "exec" => {
            let mutex = Mutex::<u64>::open(&segment, "m").unwrap();
            let _guard = mutex.lock().unwrap();
            panic!("{}", Command::new("cat").exec());
        }
        "member" => {
            say("in");
            hear();
        }
        "consumer" => {
            let queue = Queue::<u64>::open(&segment, "q").unwrap();
            loop {
                let _ = queue.pop();
            }
        }
        "taker" => {
            let queue = Queue::<u64>::open(&segment, "q").unwrap();
            say(&format!("took {}", queue.pop().unwrap()));
            hear();
        }
        // Tells over the queue whether it was the one that made the segment.
        "creator" => match Segment::create(&arguments[1], &SegmentOptions::new()) {
            Ok(_) => Queue::<u64>::open(&segment, "makers").unwrap().push(1).unwrap(),
            Err(error) => assert_eq!(error, Error::Exists),
        },
        _ => panic!("no role {role}"),
    }
}

fn setup(what: &str) -> (Name, Segment, Mutex<u64>) {
    let name = Name::new(what);
    let segment = name.create(&SegmentOptions::new());
    let mutex = Mutex::create(&segment, "m", 0).unwrap();
    (name, segment, mutex)
}

extern "C" fn nothing(_: libc::c_int) {}

/// Sends a signal that has a handler to a thread, again and again until it ends.
fn bombard<T>(thread: std::thread::JoinHandle<T>) -> T {
    use std::os::unix::thread::JoinHandleExt;
    // SAFETY: a zeroed sigaction with a handler that does nothing is valid; without SA_RESTART, so that calls return.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = nothing as extern "C" fn(libc::c_int) as usize;
        assert_eq!(libc::sigaction(libc::SIGUSR2, &action, std::ptr::null_mut()), 0);
    }
    while !thread.is_finished() {
        // SAFETY: the handle has not been joined, so the thread's id is valid.
        unsafe { libc::pthread_kill(thread.as_pthread_t(), libc::SIGUSR2) };
        std::thread::sleep(Duration::from_millis(1)); // paces the signals; nothing depends on it
    }
    thread.join().unwrap()
}

// semantics 5 and 6
#[test]
fn signals_move_no_deadline_and_are_reported_on_request() {
    let (_name, segment, mutex) = setup("signals");
    let guard = mutex.lock().unwrap();
    let time = Duration::from_millis(200);
    let open = move || Mutex::<u64>::open(&segment, "m").unwrap();
    let (patient, interruptible) = (open(), open());
    interruptible.set_interruptible(true);
    let waited = bombard(std::thread::spawn(move || {
        let start = Instant::now();
        assert!(matches!(patient.lock_timeout(time), Err(LockError::TimedOut)));
        start.elapsed()
    }));
    assert!(waited >= time && waited < LONG, "{waited:?}");
    bombard(std::thread::spawn(move || assert!(matches!(interruptible.lock(), Err(LockError::Interrupted)))));
    drop(guard);
}

// semantics 6
#[test]
fn waits_for_the_lock_of_a_value_or_array_can_be_interrupted() {
    type Large = [u64; 3];
    let segment = Segment::anonymous(&SegmentOptions::new()).unwrap();
    let value = Value::<Large>::create(&segment, "v", [1; 3]).unwrap();
    let array = Array::<Large>::create(&segment, "a", 2).unwrap();
    let guards = (value.lock().unwrap(), array.lock().unwrap());
    let (value, array) = (Value::<Large>::open(&segment, "v").unwrap(), Array::<Large>::open(&segment, "a").unwrap());
    value.set_interruptible(true);
    array.set_interruptible(true);
    let (value, array) = bombard(std::thread::spawn(move || {
        assert!(matches!(value.lock(), Err(LockError::Interrupted)));
        assert!(matches!(array.lock(), Err(LockError::Interrupted)));
        assert_eq!(value.write([2; 3]), Err(LockFailure::Interrupted));
        assert_eq!(array.write(0, &[[2; 3], [2; 3]]), Err(ElementError::Lock(LockFailure::Interrupted)));
        assert_eq!(array.fill([2; 3]), Err(LockFailure::Interrupted));
        (value, array)
    }));
    drop(guards);
    assert_eq!((value.read(), array.to_vec()), (Ok([1; 3]), Ok(vec![[0; 3]; 2])));
}

// semantics 6
#[test]
fn a_shutdown_that_waits_for_a_sender_can_be_interrupted() {
    let segment = Segment::anonymous(&SegmentOptions::new().participants(4).objects(4)).unwrap();
    let channel = Channel::create(&segment, "c", 64).unwrap();
    channel.set_interruptible(true);
    // As a thread of this process would leave it that is stopped in the middle of a send; the tag is any other.
    let owner: u32 = 1 << 29 | u32::from(segment.participants()[0].id);
    let lock = Parts::of(4, 4).heap + 128;
    let file = std::fs::File::from(segment.try_clone_fd().unwrap());
    file.write_all_at(&owner.to_ne_bytes(), lock).unwrap();
    let channel = bombard(std::thread::spawn(move || {
        assert_eq!(channel.shutdown(), Err(Error::Interrupted));
        channel
    }));
    assert!(!channel.is_shut_down());
    file.write_all_at(&[0; 4], lock).unwrap();
    channel.shutdown().unwrap();
    assert!(channel.is_shut_down());
}

// semantics 4
#[test]
fn no_time_means_one_try() {
    let (_name, segment, mutex) = setup("try");
    let queue = Queue::<u64>::create(&segment, "q", 1).unwrap();
    let _guard = mutex.lock().unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| assert!(matches!(mutex.lock_timeout(Duration::ZERO), Err(LockError::WouldBlock))));
    });
    assert_eq!(queue.pop_timeout(Duration::ZERO), Err(PopError::Empty));
    queue.push_timeout(1, Duration::ZERO).unwrap();
    assert_eq!(queue.pop_timeout(Duration::ZERO), Ok(1));
}

// semantics 48 and 80
#[test]
fn a_stopped_holder_is_alive_and_keeps_its_lock() {
    let (name, segment, mutex) = setup("stopped");
    let mut holder = Role::start("holder", &[&name.0]);
    holder.expect("held");
    holder.signal(libc::SIGSTOP);
    assert!(matches!(mutex.lock_timeout(Duration::from_secs(2)), Err(LockError::TimedOut)));
    assert_eq!(segment.recover().unwrap(), 0);
    assert!(segment.participants().iter().all(|participant| participant.alive));
    holder.kill();
    assert!(matches!(mutex.lock_timeout(LONG), Err(LockError::OwnerDied(_))));
}

// semantics 83
#[test]
fn an_exec_gives_up_what_was_held() {
    let (name, _segment, mutex) = setup("exec");
    let mut other = Role::start("exec", &[&name.0]);
    other.tell("hello");
    other.expect("hello"); // said by the other program
    assert!(matches!(mutex.lock_timeout(LONG), Err(LockError::OwnerDied(_))));
    other.tell("still here");
    other.expect("still here");
}

// semantics 3 and 81
#[test]
fn a_forked_child_owns_nothing() {
    let (_name, segment, mutex) = setup("fork");
    let value = Value::<u64>::create(&segment, "v", 0).unwrap();
    let nested = (value.lock().unwrap(), value.lock().unwrap());
    let mut guard = Some(mutex.lock().unwrap());
    // SAFETY: the child uses only what a forked child may (the library says so) and ends with _exit.
    let child = unsafe { libc::fork() };
    if child == 0 {
        let mut wrong = 0;
        wrong |= i32::from(!matches!(mutex.try_lock(), Err(LockError::WouldBlock)));
        if let Some(copy) = &mut guard {
            **copy = 99;
        }
        drop(guard.take());
        wrong |= i32::from(!matches!(mutex.try_lock(), Err(LockError::WouldBlock))) << 1;
        wrong |= i32::from(segment.participants().len() != 2) << 2;
        wrong |= i32::from(!matches!(value.try_lock(), Err(LockError::WouldBlock))) << 3;
        // SAFETY: ends the child at once.
        unsafe { libc::_exit(wrong) }
    }
    let mut status = 0;
    // SAFETY: our own child.
    assert_eq!(unsafe { libc::waitpid(child, &mut status, 0) }, child);
    assert_eq!(status, 0, "what went wrong in the child, as bits");
    assert!(matches!(mutex.lock(), Err(LockError::WouldDeadlock)), "the child has released its parent's lock");
    drop((guard, nested));
    assert_eq!(*mutex.lock().unwrap(), 0);
}

// semantics 76
#[test]
fn create_open_and_both() {
    let name = Name::new("names");
    let options = SegmentOptions::new();
    assert!(matches!(Segment::open(&name.0), Err(Error::Missing)));
    let segment = Segment::open_or_create(&name.0, &options).unwrap();
    assert!(matches!(Segment::create(&name.0, &options), Err(Error::Exists)));
    assert!(matches!(Mutex::<u64>::open(&segment, "m"), Err(Error::Missing)));
    let mutex = Mutex::<u64>::open_or_create(&segment, "m", 5).unwrap();
    assert!(matches!(Mutex::<u64>::create(&segment, "m", 6), Err(Error::Exists)));
    let again = Mutex::<u64>::open_or_create(&segment, "m", 7).unwrap();
    assert_eq!(*again.lock().unwrap(), 5);
    drop(mutex);

    // Many at once: one makes it.
    let raced = Name::new("raced");
    let makers = Queue::<u64>::create(&segment, "makers", 4).unwrap();
    let creators: Vec<_> = (0..4).map(|_| Role::start("creator", &[&name.0, &raced.0])).collect();
    creators.into_iter().for_each(Role::finish);
    assert_eq!(makers.len(), 1);
    assert!(Segment::open(&raced.0).is_ok());
}

// semantics 77
#[test]
fn a_name_goes_once_and_the_memory_stays() {
    let (name, segment, mutex) = setup("unlink");
    Segment::unlink(&name.0).unwrap();
    assert!(matches!(Segment::unlink(&name.0), Err(Error::Missing)));
    assert!(matches!(Segment::open(&name.0), Err(Error::Missing)));
    *mutex.lock().unwrap() = 3;
    assert_eq!(*Mutex::<u64>::open(&segment, "m").unwrap().lock().unwrap(), 3);
    segment.remove("m").unwrap();
    assert!(matches!(segment.remove("m"), Err(Error::Missing)));
    assert_eq!(*mutex.lock().unwrap(), 3);
}

// semantics 78
#[test]
fn another_shape_is_refused_with_both_sides() {
    let (_name, segment, _mutex) = setup("shape");
    let text = |error: Error| error.to_string();
    let error = Queue::<u64>::open(&segment, "m").map(drop).unwrap_err();
    assert!(matches!(error, Error::WrongKind { .. }));
    assert!(text(error.clone()).contains("mutex") && text(error).contains("queue"));
    let error = Mutex::<u32>::open(&segment, "m").map(drop).unwrap_err();
    assert!(matches!(error, Error::WrongShape { .. }));
    assert!(text(error.clone()).contains("8 bytes") && text(error).contains("4 bytes"));
    let _queue = Queue::<u64>::create(&segment, "q", 3).unwrap();
    assert!(matches!(Queue::<u64>::open_or_create(&segment, "q", 4), Err(Error::WrongShape { .. })));
    assert_eq!(Queue::<u64>::open(&segment, "q").unwrap().capacity(), 3);
}

// semantics 79
#[test]
fn names_outlive_handles_unless_asked_otherwise() {
    let kept = Name::new("kept");
    drop(kept.create(&SegmentOptions::new()));
    assert!(kept.path().exists());

    let gone = Name::new("gone");
    let options = SegmentOptions::new().unlink(Unlink::WithLast);
    let segment = gone.create(&options);
    let mut member = Role::start("member", &[&gone.0]);
    member.expect("in");
    drop(segment);
    assert!(gone.path().exists(), "somebody else is in it");
    member.tell("leave");
    member.finish();
    assert!(!gone.path().exists());

    // Killed all at once: the next to come starts afresh.
    let segment = gone.create(&options);
    Mutex::<u64>::create(&segment, "m", 0).map(drop).unwrap();
    let mut member = Role::start("member", &[&gone.0]);
    member.expect("in");
    drop(segment);
    member.kill();
    assert!(matches!(Segment::open(&gone.0), Err(Error::Missing)));
    let segment = Segment::open_or_create(&gone.0, &options).unwrap();
    assert!(matches!(Mutex::<u64>::open(&segment, "m"), Err(Error::Missing)));
}

// semantics 82
#[test]
fn closing_while_holding_is_busy() {
    let (_name, segment, mutex) = setup("close");
    let guard = mutex.lock().unwrap();
    let error = segment.close().unwrap_err();
    assert_eq!(error.error, Error::Busy);
    drop(guard);
    error.segment.close().unwrap();
}

// semantics 84
#[test]
fn what_does_not_fit_is_an_error_at_creation() {
    let name = Name::new("huge");
    let huge = SegmentOptions::new().size(1 << 46);
    assert!(matches!(Segment::create(&name.0, &huge), Err(Error::NoSpace | Error::NoMemory)));
    assert!(!name.path().exists());
    let segment = name.create(&SegmentOptions::new());
    assert!(matches!(Queue::<u64>::create(&segment, "q", 1 << 20), Err(Error::NoSpace)));
    assert!(segment.objects().unwrap().is_empty());
}

// semantics 26 and 29
#[test]
fn a_push_copies_and_is_there_when_it_returns() {
    let (name, segment, _mutex) = setup("copied");
    let queue = Queue::<[u64; 4]>::create(&segment, "copies", 4).unwrap();
    let mut item = [1; 4];
    queue.push(item).unwrap();
    item.fill(2);
    assert_eq!(queue.pop(), Ok([1; 4]));
    queue.push(item).unwrap();
    drop((queue, segment));
    let segment = Segment::open(&name.0).unwrap();
    assert_eq!(Queue::<[u64; 4]>::open(&segment, "copies").unwrap().try_pop(), Ok([2; 4]));
}

// semantics 32
#[test]
fn killed_consumers_leave_the_queue_usable() {
    let (name, segment, _mutex) = setup("consumers");
    let queue = Queue::<u64>::create(&segment, "q", 3).unwrap();
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                let _ = queue.push_timeout(7, Duration::from_millis(1));
            }
        });
        for _ in 0..5 {
            let mut taker = Role::start("taker", &[&name.0]);
            taker.expect("took 7");
            let consumer = Role::start("consumer", &[&name.0]);
            taker.kill();
            consumer.kill();
        }
        stop.store(true, Ordering::Relaxed);
    });
    while queue.try_pop().is_ok() {}
    queue.push(8).unwrap();
    assert_eq!(queue.pop(), Ok(8));
}

// semantics 70
#[test]
fn a_popped_item_dies_with_its_consumer() {
    let (name, segment, _mutex) = setup("at-most-once");
    let queue = Queue::<u64>::create(&segment, "q", 3).unwrap();
    queue.push(1).unwrap();
    queue.push(2).unwrap();
    let mut taker = Role::start("taker", &[&name.0]);
    taker.expect("took 1");
    taker.kill();
    assert_eq!(queue.pop(), Ok(2));
    assert_eq!(queue.try_pop(), Err(PopError::Empty));
}
