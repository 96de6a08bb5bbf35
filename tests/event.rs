//! Events between real processes. Numbers in comments are those of docs/semantics.md.

mod common;

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use common::event::{stop, waits};
use common::{Name, PATIENCE, Parts, Role, fork, hear, reap, role, say, small, until};
use ringfence::{Array, Error, Event, LockFailure, Mutex, Reset, Segment, SegmentOptions};

#[test]
fn role_entry() {
    let Some((role, arguments)) = role() else { return };
    let segment = Segment::open(&arguments[0]).unwrap();
    let event = Event::open(&segment, "e").unwrap();
    match role.as_str() {
        "waiter" => loop {
            // SAFETY: takes nothing, cannot fail.
            say(&format!("asking {}", unsafe { libc::gettid() }));
            event.wait().unwrap();
            say("through");
            hear();
        },
        "impatient" => {
            say(&format!("{}", event.wait_timeout(Duration::from_millis(5)).unwrap()));
            say(&format!("{}", event.wait_timeout(PATIENCE).unwrap()));
            hear();
        }
        // Writes something, sets the event, and again when it was seen.
        "newsman" => {
            let (news, seen) =
                (Array::<u64>::open(&segment, "news").unwrap(), Event::open(&segment, &arguments[1]).unwrap());
            let mine = arguments[2].parse().unwrap();
            for round in 1..=arguments[3].parse().unwrap() {
                news.set(mine, round).unwrap();
                event.set().unwrap();
                seen.wait().unwrap();
            }
        }
        "setter" => (0..arguments[1].parse().unwrap()).for_each(|_| {
            event.set().unwrap();
            Event::open(&segment, "taken").unwrap().wait().unwrap();
        }),
        "member" => {
            say("in");
            hear();
        }
        _ => panic!("no role {role}"),
    }
}

fn setup(what: &str, reset: Reset) -> (Name, Segment, Event) {
    let name = Name::new(what);
    let segment = name.create(&SegmentOptions::new());
    let event = Event::create(&segment, "e", reset).unwrap();
    (name, segment, event)
}

/// Waiters that are waiting.
fn waiters(name: &Name, count: usize) -> Vec<Role> {
    let mut roles: Vec<_> = (0..count).map(|_| Role::start("waiter", &[&name.0])).collect();
    roles.iter_mut().for_each(|role| ask(name, role));
    roles
}

fn ask(name: &Name, role: &mut Role) {
    let thread = role.number("asking ");
    waits(name, role, thread);
}

fn through(mut role: Role) {
    role.expect("through");
    role.kill();
}

// semantics 15
#[test]
fn a_wait_says_whether_it_is_set() {
    let (name, _segment, event) = setup("e-flag", Reset::Manual);
    assert_eq!((event.is_set(), event.try_wait()), (Ok(false), Ok(false)));
    assert_eq!(event.wait_timeout(Duration::from_millis(2)), Ok(false));
    event.clear().unwrap();
    let mut late = Role::start("impatient", &[&name.0]);
    late.expect("false");
    let forever = waiters(&name, 3);
    event.set().unwrap();
    event.set().unwrap();
    late.expect("true");
    forever.into_iter().for_each(through);
    late.kill();
    assert_eq!((event.is_set(), event.try_wait(), event.wait_timeout(Duration::ZERO)), (Ok(true), Ok(true), Ok(true)));
    event.wait().unwrap();
    event.clear().unwrap();
    event.clear().unwrap();
    assert_eq!((event.is_set(), event.try_wait()), (Ok(false), Ok(false)));
}

// semantics 4 and 5
#[test]
fn waits_end_at_their_deadlines() {
    for reset in [Reset::Manual, Reset::Auto] {
        let (_name, _segment, event) = setup("e-deadline", reset);
        let past = Instant::now() - Duration::from_secs(1);
        assert_eq!(event.wait_deadline(past), Ok(false));
        let deadline = Instant::now() + Duration::from_millis(20);
        assert_eq!(event.wait_deadline(deadline), Ok(false));
        assert!(Instant::now() >= deadline, "too early");
        event.set().unwrap();
        assert_eq!(event.wait_deadline(past), Ok(true));
        event.set().unwrap();
        assert_eq!(event.wait_deadline(Instant::now() + PATIENCE), Ok(true));
    }
}

/// Has SIGUSR1 run a handler that does nothing.
fn handle_signals() {
    extern "C" fn nothing(_: i32) {}
    // SAFETY: the handler does nothing; without SA_RESTART it interrupts.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = nothing as extern "C" fn(i32) as libc::sighandler_t;
        assert_eq!(libc::sigaction(libc::SIGUSR1, &action, std::ptr::null_mut()), 0);
    }
}

/// Sends SIGUSR1 to a thread until it ends.
fn interrupt<R>(thread: &std::thread::JoinHandle<R>) {
    // Again and again, since the first may come before the wait.
    until("it was interrupted", || {
        // SAFETY: the thread is not joined yet.
        unsafe { libc::pthread_kill(std::os::unix::thread::JoinHandleExt::as_pthread_t(thread), libc::SIGUSR1) };
        thread.is_finished()
    });
}

// semantics 6
#[test]
fn a_handle_that_asked_is_told_of_signals() {
    handle_signals();
    for reset in [Reset::Manual, Reset::Auto] {
        let (_name, segment, event) = setup("e-signal", reset);
        event.set_interruptible(true);
        let thread = std::thread::spawn(move || {
            assert_eq!(event.wait(), Err(LockFailure::Interrupted));
            event
        });
        interrupt(&thread);
        let event = thread.join().unwrap();
        // Nobody is counted as waiting any more: this is kept.
        event.set().unwrap();
        assert_eq!(Event::open(&segment, "e").unwrap().try_wait(), Ok(true));
    }
}

/// Also where somebody is stopped inside the lock of an event that resets itself: whether the waiter sleeps on the event
/// when the signal comes, or has got as far as that lock.
// semantics 6
#[test]
fn a_signal_ends_a_wait_beside_one_who_is_stopped_inside() {
    use std::os::fd::AsRawFd;
    use std::os::unix::fs::FileExt;
    handle_signals();
    let name = Name::new("e-inside");
    let segment = name.create(&small());
    let event = Event::create(&segment, "e", Reset::Auto).unwrap();
    let mut member = Role::start("member", &[&name.0]);
    member.expect("in");
    let inside = segment.participants().into_iter().find(|info| info.pid == member.pid() as u32).unwrap().id;
    // The event is the first object, and begins with its lock: 13 bits of participant, then a number of a thread.
    let file = std::fs::File::options().read(true).write(true).open(name.path()).unwrap();
    let at = Parts::of(4, 2).heap;
    // SAFETY: the whole file, mapped as long as the process; whatever is read of it here is one atomic word inside of it.
    let lock: &AtomicU32 = unsafe {
        let len = file.metadata().unwrap().len() as usize;
        let access = libc::PROT_READ | libc::PROT_WRITE;
        let base = libc::mmap(std::ptr::null_mut(), len, access, libc::MAP_SHARED, file.as_raw_fd(), 0);
        assert_ne!(base, libc::MAP_FAILED);
        &*base.add(at as usize).cast()
    };
    let owner = u32::from(inside) | 1 << 29;
    // A waiter that looks between two naps has it for a moment.
    let free = || lock.compare_exchange(0, owner, Ordering::SeqCst, Ordering::SeqCst).is_ok();
    event.set_interruptible(true);
    for at_once in [true, false] {
        let (told, tid) = std::sync::mpsc::channel();
        let other = Event::open(&segment, "e").unwrap();
        other.set_interruptible(true);
        let thread = std::thread::spawn(move || {
            // SAFETY: takes nothing, cannot fail.
            told.send(unsafe { libc::gettid() }).unwrap();
            other.wait()
        });
        let wchan = format!("/proc/self/task/{}/wchan", tid.recv().unwrap());
        let asleep = || std::fs::read_to_string(&wchan).unwrap().contains("futex");
        until("its sleep", asleep);
        until("the lock is free, and taken", free);
        if !at_once {
            // Its nap ends, and it sleeps at the lock, behind the word that says so.
            until("its sleep", || {
                let mut word = [0; 4];
                file.read_exact_at(&mut word, at + 4).unwrap();
                word[0] & 1 != 0 && asleep()
            });
        }
        interrupt(&thread);
        lock.store(0, Ordering::SeqCst);
        assert_eq!(thread.join().unwrap(), Err(LockFailure::Interrupted));
        // Nobody is counted as waiting any more: this is kept.
        event.set().unwrap();
        assert_eq!(event.try_wait(), Ok(true));
    }
    member.kill();
}

// semantics 16
#[test]
fn who_is_there_goes_through_although_it_is_cleared_at_once() {
    let (name, _segment, event) = setup("e-there", Reset::Manual);
    let mut roles = waiters(&name, 3);
    for round in 0..20 {
        // Stopped, they see the flag only when it is gone.
        if round % 2 == 0 {
            roles.iter().for_each(|role| stop(&name, role));
        }
        event.set().unwrap();
        event.clear().unwrap();
        roles.iter().for_each(Role::go_on);
        for role in &mut roles {
            role.expect("through");
            role.tell("again");
        }
        assert_eq!(event.is_set(), Ok(false));
        roles.iter_mut().for_each(|role| ask(&name, role));
    }
}

/// Each of two writes and sets, perhaps while the flag is set already; whoever clears sees what was written before.
// semantics 100
#[test]
fn no_news_is_lost() {
    const ROUNDS: u64 = 20_000;
    for reset in [Reset::Manual, Reset::Auto] {
        let (name, segment, event) = setup("e-news", reset);
        let news = Array::<u64>::create(&segment, "news", 2).unwrap();
        let seen = ["a", "b"].map(|name| Event::create(&segment, name, Reset::Auto).unwrap());
        let roles = [("a", "0"), ("b", "1")]
            .map(|(seen, mine)| Role::start("newsman", &[&name.0, seen, mine, &ROUNDS.to_string()]));
        let mut rounds = [0; 2];
        while rounds != [ROUNDS; 2] {
            assert!(event.wait_timeout(PATIENCE).unwrap(), "nothing new after {rounds:?}");
            event.clear().unwrap();
            for (mine, round) in rounds.iter_mut().enumerate() {
                let now = news.get(mine).unwrap();
                if now > *round {
                    *round = now;
                    seen[mine].set().unwrap();
                }
            }
        }
        roles.into_iter().for_each(Role::finish);
    }
}

// semantics 99
#[test]
fn each_set_lets_one_through() {
    let (name, _segment, event) = setup("e-one", Reset::Auto);
    let roles = waiters(&name, 3);
    // They are stopped: none is on its way before the last set.
    roles.iter().for_each(|role| stop(&name, role));
    (0..3).for_each(|_| event.set().unwrap());
    assert_eq!((event.is_set(), event.try_wait()), (Ok(false), Ok(false)));
    roles.iter().for_each(Role::go_on);
    roles.into_iter().for_each(through);
    assert_eq!(event.try_wait(), Ok(false));

    // One after the other, whoever is first.
    let mut roles = waiters(&name, 2);
    let first = &mut roles[0];
    event.set().unwrap();
    event.set().unwrap();
    first.expect("through");
    first.tell("again");
    ask(&name, first);
    roles[1].expect("through");
    assert_eq!(event.try_wait(), Ok(false));
    event.set().unwrap();
    roles[0].expect("through");
    assert_eq!(event.try_wait(), Ok(false));
}

// semantics 99
#[test]
fn what_nobody_waits_for_is_kept_once_until_it_is_cleared() {
    let (name, _segment, event) = setup("e-kept", Reset::Auto);
    event.set().unwrap();
    event.set().unwrap();
    assert_eq!((event.is_set(), event.try_wait(), event.try_wait()), (Ok(true), Ok(true), Ok(false)));
    event.set().unwrap();
    event.clear().unwrap();
    assert_eq!((event.is_set(), event.try_wait()), (Ok(false), Ok(false)));
    // What was given to somebody is not taken back.
    let roles = waiters(&name, 1);
    stop(&name, &roles[0]);
    event.set().unwrap();
    event.clear().unwrap();
    roles[0].go_on();
    roles.into_iter().for_each(through);
    assert_eq!(event.is_set(), Ok(false));
}

// semantics 101
#[test]
fn what_the_dead_did_not_take_is_another_ones() {
    let (name, segment, event) = setup("e-dead", Reset::Auto);
    for _ in 0..5 {
        let mut roles = waiters(&name, 2);
        roles.iter().for_each(|role| stop(&name, role));
        event.set().unwrap();
        // Woken, and nothing else yet.
        roles.remove(0).kill();
        roles[0].go_on();
        roles.into_iter().for_each(through);
        assert_eq!(event.is_set(), Ok(false));

        // With nobody there it is kept, once, whatever was set meanwhile.
        let role = waiters(&name, 1).remove(0);
        stop(&name, &role);
        event.set().unwrap();
        assert_eq!(event.is_set(), Ok(false));
        role.kill();
        event.set().unwrap();
        assert_eq!((event.is_set(), event.try_wait(), event.try_wait()), (Ok(true), Ok(true), Ok(false)));

        // One that was taken is used.
        let mut role = waiters(&name, 1).remove(0);
        event.set().unwrap();
        role.expect("through");
        role.kill();
        assert_eq!((event.is_set(), event.try_wait()), (Ok(false), Ok(false)));

        // Cleared, although a dead one could have had it.
        let role = waiters(&name, 1).remove(0);
        stop(&name, &role);
        event.set().unwrap();
        role.kill();
        event.clear().unwrap();
        assert_eq!(event.is_set(), Ok(false));
    }
    segment.recover().unwrap();
    assert_eq!(segment.participants().len(), 1);
}

/// Who has the place of a dead waiter does not wait.
#[test]
fn a_place_used_again_waits_for_nothing() {
    let name = Name::new("e-place");
    let segment = name.create(&SegmentOptions::new().participants(2));
    let event = Event::create(&segment, "e", Reset::Auto).unwrap();
    for _ in 0..10 {
        let role = waiters(&name, 1).remove(0);
        role.kill();
        let mut member = Role::start("member", &[&name.0]);
        member.expect("in");
        event.set().unwrap();
        assert_eq!((event.is_set(), event.try_wait(), event.try_wait()), (Ok(true), Ok(true), Ok(false)));
        member.kill();
        // And a waiter in the place of a dead one counts once.
        let role = waiters(&name, 1).remove(0);
        stop(&name, &role);
        event.set().unwrap();
        event.set().unwrap();
        assert_eq!(event.try_wait(), Ok(true));
        role.go_on();
        through(role);
        assert_eq!(event.try_wait(), Ok(false));
    }
}

/// One gives and one takes, many times; each of them waits for the other.
#[test]
fn to_and_fro() {
    let (name, segment, event) = setup("e-fro", Reset::Auto);
    let taken = Event::create(&segment, "taken", Reset::Auto).unwrap();
    let setter = Role::start("setter", &[&name.0, "2000"]);
    for _ in 0..2000 {
        assert_eq!(event.wait_timeout(PATIENCE), Ok(true));
        taken.set().unwrap();
    }
    setter.finish();
    assert_eq!((event.try_wait(), taken.try_wait()), (Ok(false), Ok(false)));
}

// semantics 81
#[test]
fn a_forked_child_waits_and_sets_for_itself() {
    for reset in [Reset::Manual, Reset::Auto] {
        let (_name, segment, event) = setup("e-fork", reset);
        let answer = Event::create(&segment, "answer", reset).unwrap();
        let child = fork(|| {
            event.wait().unwrap();
            answer.set().unwrap();
        });
        event.set().unwrap();
        assert_eq!(answer.wait_timeout(PATIENCE), Ok(true));
        assert_eq!(reap(child), 0);
        assert_eq!(event.is_set(), Ok(reset == Reset::Manual));
    }
}

/// A waiting process does not hold up anybody when it is stopped.
// semantics 48
#[test]
fn a_stopped_waiter_is_in_nobodys_way() {
    for reset in [Reset::Manual, Reset::Auto] {
        let (name, _segment, event) = setup("e-stopped", reset);
        let roles = waiters(&name, 2);
        stop(&name, &roles[0]);
        event.set().unwrap();
        event.set().unwrap();
        let [stopped, free] = roles.try_into().unwrap_or_else(|_| unreachable!());
        through(free);
        assert_eq!(event.is_set(), Ok(reset == Reset::Manual));
        stopped.go_on();
        through(stopped);
    }
}

// semantics 76 and 78
#[test]
fn how_it_is_reset_is_part_of_the_shape() {
    let (_name, segment, event) = setup("e-shape", Reset::Manual);
    event.set().unwrap();
    let error = Event::open_or_create(&segment, "e", Reset::Auto).map(drop).unwrap_err();
    assert!(matches!(&error, Error::WrongShape { .. }));
    assert!(error.to_string().contains("by hand") && error.to_string().contains("itself"), "{error}");
    let again = Event::open_or_create(&segment, "e", Reset::Manual).unwrap();
    assert_eq!((again.is_set(), again.is_auto()), (Ok(true), false));
    let _auto = Event::create(&segment, "auto", Reset::Auto).unwrap();
    assert!(Event::open(&segment, "auto").unwrap().is_auto());
    assert!(matches!(Event::create(&segment, "e", Reset::Manual), Err(Error::Exists)));
    assert!(matches!(Event::open(&segment, "none"), Err(Error::Missing)));
    assert!(matches!(Mutex::<u64>::open(&segment, "e"), Err(Error::WrongKind { .. })));
}
