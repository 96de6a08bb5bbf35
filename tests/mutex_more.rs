//! The mutex line by line: signals, time-outs, deaths in a row. Numbers in comments are those of docs/semantics.md.

mod common;

use std::sync::Barrier;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use common::chance::Chance;
use common::{Name, PATIENCE, Role, fork, hear, kill, reap, role, say, state_of, until};
use ringfence::layout::segment::Geometry;
use ringfence::{Array, LockError, Mutex, Segment, SegmentOptions};

fn small() -> SegmentOptions {
    SegmentOptions::new().size(1 << 14).participants(8).objects(8)
}

fn setup(what: &str) -> (Name, Segment, Mutex<u64>) {
    let name = Name::new(what);
    let segment = name.create(&small());
    let mutex = Mutex::create(&segment, "m", 0).unwrap();
    (name, segment, mutex)
}

#[test]
fn role_entry() {
    let Some((role, arguments)) = role() else { return };
    let segment = Segment::open(&arguments[0]).unwrap();
    match role.as_str() {
        "holder" => {
            let mutex = Mutex::<u64>::open(&segment, "m").unwrap();
            let guard = mutex.lock().unwrap();
            say("held");
            hear();
            drop(guard);
            say("given");
            hear();
        }
        // Two numbers that are equal whenever nobody is between the two stores.
        "pair" => {
            let pair = Mutex::<[u64; 2]>::open(&segment, "pair").unwrap();
            say("go");
            loop {
                let mut guard = match pair.lock_timeout(PATIENCE) {
                    Ok(guard) => {
                        assert_eq!(guard[0], guard[1], "two owners");
                        guard
                    }
                    Err(LockError::OwnerDied(mut guard)) => {
                        guard[1] = guard[0];
                        guard.make_consistent();
                        guard
                    }
                    Err(error) => panic!("{error}"),
                };
                guard[0] += 1;
                guard.commit();
                guard[1] += 1;
                guard.unlock();
            }
        }
        "blocked" => {
            let mutex = Mutex::<u64>::open(&segment, "m").unwrap();
            say("go");
            let _ = mutex.lock();
        }
        _ => panic!("no role {role}"),
    }
}

fn told<T: ringfence::Plain>(mutex: &Mutex<T>) -> ringfence::MutexGuard<'_, T> {
    let Err(LockError::OwnerDied(guard)) = mutex.lock_timeout(PATIENCE) else { panic!("not told") };
    guard
}

// semantics 4
#[test]
fn not_waiting_beats_any_time_out() {
    let (name, _segment, mutex) = setup("zero");
    let mut holder = Role::start("holder", &[&name.0]);
    holder.expect("held");
    let start = Instant::now();
    for _ in 0..100 {
        assert!(matches!(mutex.try_lock(), Err(LockError::WouldBlock)));
        assert!(matches!(mutex.lock_timeout(Duration::ZERO), Err(LockError::WouldBlock)));
        assert!(matches!(mutex.lock_deadline(Instant::now()), Err(LockError::TimedOut)));
        assert!(matches!(mutex.lock_deadline(start), Err(LockError::TimedOut)));
    }
    assert!(start.elapsed() < PATIENCE);
    holder.tell("give");
    holder.expect("given");
    // A free lock is had whatever the time-out.
    drop(mutex.lock_timeout(Duration::ZERO).unwrap());
    drop(mutex.lock_deadline(start).unwrap());
    drop(mutex.lock_timeout(Duration::MAX).unwrap());
}

static SIGNALS: AtomicU32 = AtomicU32::new(0);

extern "C" fn count(_signal: i32) {
    SIGNALS.fetch_add(1, Ordering::SeqCst);
}

/// Has `signal` counted; the calls it interrupts are not restarted by the kernel.
fn handle(signal: i32) {
    // SAFETY: zero is a valid value of the rest; the handler only counts.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = count as *const () as usize;
        assert_eq!(libc::sigaction(signal, &action, std::ptr::null_mut()), 0);
    }
}

// semantics 5, 6
#[test]
fn signals_run_and_are_reported_on_request() {
    let (name, _segment, mutex) = setup("signals");
    handle(libc::SIGUSR2);
    let mut holder = Role::start("holder", &[&name.0]);
    holder.expect("held");
    // How long who is not interrupted waits: longer if that was too short for some signals to come.
    let mut short = Duration::from_millis(500);
    let mut interruptible = true;
    loop {
        mutex.set_interruptible(interruptible);
        let (send, receive) = std::sync::mpsc::channel();
        let signals = std::thread::scope(|scope| {
            let waiter = scope.spawn(|| {
                // SAFETY: takes nothing.
                send.send(unsafe { (libc::pthread_self(), libc::gettid()) }).unwrap();
                let timeout = if interruptible { PATIENCE } else { short };
                let (start, before) = (Instant::now(), SIGNALS.load(Ordering::SeqCst));
                let result = mutex.lock_timeout(timeout).map(drop).map_err(|error| match error {
                    LockError::Interrupted => "interrupted",
                    LockError::TimedOut => "timed out",
                    _ => "other",
                });
                (result, start.elapsed(), SIGNALS.load(Ordering::SeqCst) - before)
            });
            let (thread, id) = receive.recv().unwrap();
            until("it sleeps", || waiter.is_finished() || state_of(format!("self/task/{id}")) == Some('S'));
            // Again and again, since the first may come between two naps.
            while !waiter.is_finished() {
                // SAFETY: the thread has not been joined.
                unsafe { libc::pthread_kill(thread, libc::SIGUSR2) };
                std::thread::sleep(Duration::from_millis(3));
            }
            let (result, took, signals) = waiter.join().unwrap();
            if interruptible {
                assert_eq!(result, Err("interrupted"));
                assert!(signals > 0 && took < PATIENCE);
            } else {
                // The deadline stands however many signals there were.
                assert_eq!(result, Err("timed out"));
                assert!(took >= short && took < PATIENCE, "{took:?}");
            }
            signals
        });
        if !std::mem::take(&mut interruptible) {
            if signals > 5 {
                break;
            }
            short *= 2;
            assert!(short < PATIENCE / 3, "{signals} signals came");
        }
    }
    holder.tell("give");
    holder.expect("given");
    // Nothing is left of those who gave up.
    drop(mutex.try_lock().unwrap());
}

// semantics 60, 61, 3
#[test]
fn owners_are_threads() {
    let (name, _segment, mutex) = setup("threads");
    let guard = mutex.lock().unwrap();
    assert!(matches!(mutex.try_lock(), Err(LockError::WouldDeadlock)));
    assert!(matches!(mutex.lock_timeout(PATIENCE), Err(LockError::WouldDeadlock)));
    std::thread::scope(|scope| {
        let other = scope.spawn(|| drop(mutex.lock_timeout(PATIENCE).unwrap()));
        until("the other thread waits", || !other.is_finished());
        drop(guard);
        other.join().unwrap();
    });
    // A child's copy of a guard writes and unlocks nothing.
    let file = std::fs::File::open(name.path()).unwrap();
    let sequence = || {
        let mut word = [0; 8];
        std::os::unix::fs::FileExt::read_exact_at(&file, &mut word, common::Parts::of(8, 8).heap + 8).unwrap();
        u64::from_ne_bytes(word)
    };
    let mut guard = mutex.lock().unwrap();
    let before = sequence();
    *guard = 9;
    let child = fork(|| {
        // SAFETY: the child leaves through _exit: the copy alone is dropped.
        let copy = unsafe { std::ptr::read(&guard) };
        copy.unlock();
        assert!(matches!(mutex.try_lock(), Err(LockError::WouldBlock)));
    });
    assert_eq!(reap(child), 0);
    assert_eq!((mutex.holder(), sequence()), (Some(std::process::id()), before));
    drop(guard);
    assert_eq!((mutex.holder(), sequence()), (None, before + 1));
}

// semantics 8, 62, 66
#[test]
fn a_lock_that_is_given_up_says_so_to_those_who_wait() {
    let (name, _segment, mutex) = setup("given-up");
    let mut holder = Role::start("holder", &[&name.0]);
    holder.expect("held");
    holder.kill();
    let guard = told(&mutex);
    std::thread::scope(|scope| {
        let waiters: Vec<_> =
            (0..3).map(|_| scope.spawn(|| matches!(mutex.lock(), Err(LockError::NotRecoverable)))).collect();
        until("the lock is wanted", || waiters.iter().all(|waiter| !waiter.is_finished()));
        guard.unlock();
        assert!(waiters.into_iter().all(|waiter| waiter.join().unwrap()));
    });
    assert!(matches!(mutex.try_lock(), Err(LockError::NotRecoverable)));
    assert_eq!(mutex.holder(), None);
    assert!(mutex.reset());
    *mutex.lock().unwrap() = 3;
    assert!(!mutex.reset());
}

// semantics 63
#[test]
fn unwinding_gives_the_lock_back_and_the_next_is_told_again() {
    let (name, _segment, mutex) = setup("unwind");
    let mut holder = Role::start("holder", &[&name.0]);
    holder.expect("held");
    holder.kill();
    for _ in 0..3 {
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let _guard = told(&mutex);
            std::panic::resume_unwind(Box::new(()));
        }));
        assert!(result.is_err());
    }
    let mut guard = told(&mutex);
    assert!(guard.make_consistent());
    assert!(!guard.make_consistent());
    drop(guard);
    drop(mutex.lock().unwrap());
}

// semantics 64
#[test]
fn a_thread_that_ends_gives_back_everything_it_held() {
    let name = Name::new("many");
    let segment = name.create(&SegmentOptions::new().participants(4).objects(64));
    // More than the held list has room for without allocating, given back in several orders.
    let mutexes: Vec<_> = (0..40).map(|i| Mutex::create(&segment, &i.to_string(), 0_u64).unwrap()).collect();
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            let mut guards: Vec<_> = mutexes.iter().map(|mutex| mutex.lock().unwrap()).collect();
            drop(guards.remove(3));
            drop(guards.remove(20));
            drop(guards.pop());
            drop(guards.remove(0));
            guards.into_iter().for_each(std::mem::forget);
        });
        // The end of a scope waits for the closure, a join for the thread's destructors too.
        thread.join().unwrap();
    });
    let told: Vec<_> = mutexes.iter().map(|mutex| matches!(mutex.try_lock(), Err(LockError::OwnerDied(_)))).collect();
    let clean: Vec<_> = (0..40).filter(|i| !told[*i]).collect();
    assert_eq!(clean, [0, 3, 21, 39]);
}

// semantics 64
#[test]
fn what_a_thread_once_locked_is_left_alone_when_it_is_something_else() {
    for leak in [false, true] {
        reuse(leak);
    }
}

/// A thread locks an object, which is removed and its space used again; then the thread ends, having given the lock back
/// or not.
fn reuse(leak: bool) {
    let name = Name::new("reused");
    let segment = name.create(&small());
    let [first, mutex] = ["first", "m"].map(|object| Mutex::create(&segment, object, 0_u64).unwrap());
    let heap = Geometry::new(8, 8, u64::MAX).unwrap().heap();
    let (ready, go) = (Barrier::new(2), Barrier::new(2));
    let owner = AtomicU32::new(0);
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            let guard = mutex.lock().unwrap();
            let bytes = std::fs::read(name.path()).unwrap();
            // The second object's lock word.
            let word = bytes[heap as usize + 128..].first_chunk().unwrap();
            owner.store(u32::from_ne_bytes(*word), Ordering::Relaxed);
            if leak {
                std::mem::forget(guard);
            } else {
                drop(guard);
            }
            drop(mutex);
            ready.wait();
            go.wait();
        });
        ready.wait();
        drop(first);
        segment.remove("first").unwrap();
        segment.remove("m").unwrap();
        // Where the lock was there is now data that looks as if the thread held it.
        let held = u64::from(owner.load(Ordering::Relaxed));
        assert_ne!(held, 0);
        let array = Array::<u64>::create(&segment, "array", 64).unwrap();
        (0..64).for_each(|i| array.set(i, held | held << 32).unwrap());
        go.wait();
        thread.join().unwrap();
        assert!((0..64).all(|i| array.get(i).unwrap() == held | held << 32));
    });
}

// semantics 65
#[test]
fn the_data_is_as_the_last_commit_left_it() {
    let name = Name::new("commit");
    let segment = name.create(&small());
    let mutex = Mutex::create(&segment, "m", [1_u64; 64]).unwrap();
    let child = fork(|| {
        let mut guard = mutex.lock().unwrap();
        *guard = [2; 64];
        guard.commit();
        *guard = [3; 64];
        kill(std::process::id() as i32);
    });
    assert_eq!(reap(child), -libc::SIGKILL);
    assert_eq!(*told(&mutex), [2; 64]);
}

/// Sleepers behind a killed holder, themselves killed one after another: the last one alive gets the lock in time.
#[test]
fn several_deaths_in_a_row() {
    let (name, segment, mutex) = setup("row");
    for round in 0..5 {
        let mut holder = Role::start("holder", &[&name.0]);
        holder.expect("held");
        let mut waiters: Vec<_> = (0..3).map(|_| Role::start("blocked", &[&name.0])).collect();
        for waiter in &mut waiters {
            waiter.expect("go");
            until("it sleeps", || state_of(waiter.pid()) == Some('S'));
        }
        std::thread::scope(|scope| {
            let survivor = scope.spawn(|| {
                let start = Instant::now();
                assert!(told(&mutex).make_consistent());
                start.elapsed()
            });
            // Killed in one order or the other, some while they take the lock over.
            if round % 2 == 0 {
                holder.kill();
                drop(waiters);
            } else {
                drop(waiters);
                holder.kill();
            }
            assert!(survivor.join().unwrap() < PATIENCE);
        });
        segment.recover().unwrap();
        assert_eq!(segment.participants().len(), 1);
    }
}

/// Owners die all the time in a table with few places, which others take at once: nobody ever shares the lock.
#[test]
fn places_are_reused_under_the_eyes_of_slow_recoverers() {
    let mut chance = Chance::new(40);
    let name = Name::new("reuse");
    let segment = name.create(&small().participants(4));
    drop(Mutex::create(&segment, "pair", [0_u64; 2]).unwrap());
    let mut roles: Vec<_> = (0..3).map(|_| Role::start("pair", &[&name.0])).collect();
    roles.iter_mut().for_each(|role| role.expect("go"));
    let all_live = |roles: &[Role]| roles.iter().all(|role| state_of(role.pid()) != Some('Z'));
    for _ in 0..chance.rounds {
        // One is stopped in the middle of whatever it does, another dies, its place is taken, and the first goes on.
        let slow = chance.index(3);
        let victim = (slow + 1 + chance.index(2)) % 3;
        chance.pause(Duration::from_micros(500));
        assert!(all_live(&roles), "two owners, or a hang");
        roles[slow].signal(libc::SIGSTOP);
        chance.pause(Duration::from_micros(500));
        roles[victim].child.kill().unwrap();
        roles[victim].child.wait().unwrap();
        roles[victim] = Role::start("pair", &[&name.0]);
        if chance.below(2) == 0 {
            roles[victim].expect("go");
            roles[slow].signal(libc::SIGCONT);
        } else {
            roles[slow].signal(libc::SIGCONT);
            roles[victim].expect("go");
        }
    }
    let pair = Mutex::<[u64; 2]>::open(&segment, "pair").unwrap();
    assert!(all_live(&roles));
    chance.kills += chance.rounds + roles.len();
    roles.into_iter().for_each(Role::kill);
    let guard = pair.lock_timeout(PATIENCE).or_else(|error| error.into_guard().ok_or("refused")).unwrap();
    assert!(guard[0] > 0 && guard[0] - guard[1] <= 1);
    chance.checked += guard[0] as usize;
}
