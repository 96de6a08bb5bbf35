//! Things that are done once, between real processes. Numbers in comments are those of docs/semantics.md.

mod common;

use std::convert::Infallible;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use common::chance::Chance;
use common::{Name, PATIENCE, Role, fork, hear, kill, reap, role, say, until};
use ringfence::{
    Array, CChar, Error, InitError, LockFailure, Mutex, Once, OnceValue, Segment, SegmentOptions, SetError, WaitAny,
    WaitError,
};

type Wide = [u64; 256];

#[test]
fn role_entry() {
    let Some((role, arguments)) = role() else { return };
    let segment = Segment::open(&arguments[0]).unwrap();
    let once = || Once::open(&segment, &arguments[1]).unwrap();
    match role.as_str() {
        // Has a turn, and says what came of it when it is told to end it.
        "turn" => {
            let once = once();
            let turn = once.begin_timeout(PATIENCE).unwrap().expect("a turn");
            say(&format!("retry {}", u8::from(turn.state().is_retry())));
            match hear().as_str() {
                "complete" => turn.complete().unwrap(),
                "drop" => drop(turn),
                "panic" => {
                    assert!(catch_unwind(AssertUnwindSafe(|| once_panics(&segment, &arguments[1], turn))).is_err());
                }
                "forget" => std::mem::forget(turn),
                other => panic!("{other}"),
            }
            say("ended");
            hear();
        }
        // A thread of it has a turn, and ends.
        "thread" => {
            std::thread::scope(|scope| {
                scope.spawn(|| std::mem::forget(once().begin().unwrap().expect("a turn"))).join().unwrap();
            });
            say("ended");
            hear();
        }
        "waiter" => {
            say("waits");
            once().wait().unwrap();
            say("through");
            hear();
        }
        // Does everything there is to do, if it is the first.
        "racer" => {
            let done = Array::<u64>::open(&segment, "done").unwrap();
            let onces = (0..done.len()).map(|nth| Once::open(&segment, &nth.to_string()).unwrap()).collect::<Vec<_>>();
            say("ready");
            hear();
            let mut mine = 0;
            for (nth, once) in onces.iter().enumerate() {
                // Not in one step: two at once would be seen.
                once.call_once(|state| {
                    assert!(!state.is_retry());
                    let before = done.get(nth).unwrap();
                    std::thread::yield_now();
                    done.set(nth, before + 1).unwrap();
                    mine += 1;
                })
                .unwrap();
                assert_eq!((once.is_completed(), done.get(nth).unwrap()), (true, 1));
            }
            say(&format!("did {mine}"));
        }
        _ => panic!("no role {role}"),
    }
}

fn once_panics(segment: &Segment, name: &str, turn: ringfence::OnceGuard<'_>) {
    drop(turn);
    Once::open(segment, name).unwrap().call_once(|state| panic!("on purpose, retry: {}", state.is_retry())).unwrap();
}

fn setup(what: &str) -> (Name, Segment, Once) {
    let name = Name::new(what);
    let segment = name.create(&SegmentOptions::new());
    let once = Once::create(&segment, "once").unwrap();
    (name, segment, once)
}

fn start(role: &str, name: &Name) -> Role {
    Role::start(role, &[&name.0, "once"])
}

/// Somebody with the turn, who is the first or was told that it is not.
fn at_it(name: &Name, retry: bool) -> Role {
    let mut role = start("turn", name);
    has_turn(&mut role, retry);
    role
}

fn has_turn(role: &mut Role, retry: bool) {
    assert_eq!(role.number("retry "), retry.into());
}

// semantics 106
#[test]
fn of_many_one_does_it_and_all_see_it() {
    const ONCES: usize = 200;
    const RACERS: usize = 6;
    let name = Name::new("o-race");
    let segment = name.create(&SegmentOptions::new().objects(ONCES as u32 + 1));
    let done = Array::<u64>::create(&segment, "done", ONCES).unwrap();
    (0..ONCES).for_each(|nth| drop(Once::create(&segment, &nth.to_string()).unwrap()));
    let mut racers: Vec<_> = (0..RACERS).map(|_| Role::start("racer", &[&name.0])).collect();
    racers.iter_mut().for_each(|racer| racer.expect("ready"));
    racers.iter_mut().for_each(|racer| racer.tell("go"));
    let did: i32 = racers.iter_mut().map(|racer| racer.number("did ")).sum();
    assert_eq!(did, ONCES as i32);
    assert_eq!(done.to_vec().unwrap(), [1; ONCES]);
    racers.into_iter().for_each(Role::finish);
}

// semantics 106 and 108
#[test]
fn it_stays_done() {
    let (_name, segment, once) = setup("o-stays");
    assert!(!once.is_completed());
    let mut calls = 0;
    for _ in 0..3 {
        once.call_once(|state| {
            assert!(!state.is_retry());
            calls += 1;
        })
        .unwrap();
    }
    assert_eq!((calls, once.is_completed(), once.holder()), (1, true, None));
    assert!(once.begin().unwrap().is_none() && once.try_begin().unwrap().is_none());
    assert_eq!((once.wait(), once.wait_timeout(Duration::ZERO)), (Ok(()), Ok(())));
    let again = Once::open_or_create(&segment, "once").unwrap();
    assert!(again.is_completed());
}

/// Whoever had the turn and did not do it: the next one has it, and is told; the one after that is not.
// semantics 107
#[test]
fn a_turn_that_came_to_nothing_is_the_next_ones() {
    for end in ["kill", "drop", "panic", "thread", "exit"] {
        let (name, _segment, once) = setup("o-dead");
        if end == "thread" {
            let mut role = start("thread", &name);
            role.expect("ended");
            let turn = once.begin_timeout(PATIENCE).unwrap().expect("a turn");
            assert!(turn.state().is_retry());
            drop(turn);
            role.finish();
        } else {
            let mut role = at_it(&name, false);
            assert_eq!(once.try_begin().unwrap_err(), LockFailure::WouldBlock);
            assert_eq!(once.holder(), Some(role.pid() as u32));
            match end {
                "kill" => role.kill(),
                "exit" => {
                    role.tell("forget");
                    role.finish();
                }
                _ => {
                    role.tell(end);
                    role.expect("ended");
                    role.finish();
                }
            }
        }
        // Another one dies at it, who was told.
        at_it(&name, true).kill();
        assert!(!once.is_completed());
        let mut calls = 0;
        once.call_once_timeout(PATIENCE, |state| {
            assert!(state.is_retry(), "{end}");
            calls += 1;
        })
        .unwrap();
        once.call_once(|_| calls += 1).unwrap();
        assert_eq!(calls, 1);
    }
}

/// Of those who sleep, one goes on after a death; all when it is done.
// semantics 106 and 107
#[test]
fn who_sleeps_goes_on() {
    for _ in 0..3 {
        let (name, segment, once) = setup("o-sleepers");
        let holder = at_it(&name, false);
        let mut turns: Vec<_> = (0..2).map(|_| start("turn", &name)).collect();
        let mut waiters: Vec<_> = (0..2).map(|_| start("waiter", &name)).collect();
        turns.iter().for_each(Role::falls_asleep);
        waiters.iter_mut().for_each(|role| {
            role.expect("waits");
            role.falls_asleep();
        });
        holder.kill();
        // One of the two has the turn, told; it is killed too, and then the other has it.
        until("somebody has the turn", || {
            once.holder().is_some_and(|pid| turns.iter().any(|role| role.pid() as u32 == pid))
        });
        let pid = once.holder().unwrap() as i32;
        let place = turns.iter().position(|role| role.pid() == pid).unwrap();
        let mut second = turns.remove(place);
        has_turn(&mut second, true);
        assert!(!once.is_completed());
        second.kill();
        let mut third = turns.remove(0);
        has_turn(&mut third, true);
        // Those who only wait sleep on, whoever died.
        waiters.iter().for_each(Role::falls_asleep);
        third.tell("complete");
        third.expect("ended");
        waiters.iter_mut().for_each(|role| role.expect("through"));
        waiters.into_iter().for_each(Role::finish);
        third.finish();
        segment.recover().unwrap();
        assert_eq!(segment.participants().len(), 1);
    }
}

// semantics 109
#[test]
fn who_only_waits_is_given_no_turn() {
    let (name, _segment, once) = setup("o-wait");
    assert_eq!(once.wait_timeout(Duration::ZERO), Err(LockFailure::WouldBlock));
    assert_eq!(once.wait_timeout(Duration::from_millis(2)), Err(LockFailure::TimedOut));
    let mut waiter = start("waiter", &name);
    waiter.expect("waits");
    waiter.falls_asleep();
    // Begun, given up, and begun by one who dies.
    drop(once.begin().unwrap().expect("a turn"));
    at_it(&name, true).kill();
    once.call_once(|state| assert!(state.is_retry())).unwrap();
    waiter.expect("through");
    waiter.finish();
}

// semantics 4 and 5
#[test]
fn waits_end_at_their_deadlines() {
    let (name, segment, once) = setup("o-deadline");
    let value = OnceValue::<u64>::create(&segment, "value").unwrap();
    let its = Once::open(&segment, "once").unwrap();
    let role = at_it(&name, false);
    let no = |_| panic!("not its turn");
    let past = Instant::now() - Duration::from_secs(1);
    for (timeout, failure) in [(0, LockFailure::WouldBlock), (3, LockFailure::TimedOut)] {
        let timeout = Duration::from_millis(timeout);
        assert_eq!(once.call_once_timeout(timeout, no), Err(failure.clone()));
        assert_eq!(once.begin_timeout(timeout).unwrap_err(), failure);
        assert_eq!(once.wait_timeout(timeout), Err(failure.clone()));
        assert_eq!(value.wait_timeout(timeout), Err(failure));
    }
    assert_eq!(once.call_once_deadline(past, no), Err(LockFailure::TimedOut));
    assert_eq!(once.wait_deadline(past), Err(LockFailure::TimedOut));
    assert_eq!(value.wait_deadline(past), Err(LockFailure::TimedOut));
    for wait in [&|at| once.begin_deadline(at).map(drop), &|at| its.wait_deadline(at)] as [&dyn Fn(_) -> _; 2] {
        let deadline = Instant::now() + Duration::from_millis(20);
        assert_eq!(wait(deadline), Err(LockFailure::TimedOut));
        assert!(Instant::now() >= deadline, "too early");
    }
    role.kill();
    assert_eq!(once.call_once_timeout(PATIENCE, |state| assert!(state.is_retry())), Ok(()));
    // A value that somebody makes, in another thread.
    std::thread::scope(|scope| {
        let (begun, is_begun) = std::sync::mpsc::channel();
        let (end, ends) = std::sync::mpsc::channel::<()>();
        let maker = scope.spawn(|| {
            value.get_or_init(move |_| {
                begun.send(()).unwrap();
                ends.recv().unwrap();
                7
            })
        });
        is_begun.recv().unwrap();
        let (zero, short) = (Duration::ZERO, Duration::from_millis(3));
        assert_eq!(value.get_or_init_timeout(zero, |_| 8), Err(LockFailure::WouldBlock));
        assert_eq!(value.get_or_init_timeout(short, |_| 8), Err(LockFailure::TimedOut));
        assert_eq!(value.get_or_init_deadline(past, |_| 8), Err(LockFailure::TimedOut));
        let refused = |failure| Err(InitError::Refused(failure));
        assert_eq!(value.get_or_try_init_timeout(zero, |_| Err(())), refused(LockFailure::WouldBlock));
        assert_eq!(value.get_or_try_init_deadline(past, |_| Err(())), refused(LockFailure::TimedOut));
        assert_eq!(value.set_timeout(9, zero), Err(SetError::Refused(9, LockFailure::WouldBlock)));
        assert_eq!(value.set_timeout(9, short), Err(SetError::Refused(9, LockFailure::TimedOut)));
        assert_eq!(value.set_deadline(9, past), Err(SetError::Refused(9, LockFailure::TimedOut)));
        assert_eq!((value.get(), value.holder()), (None, Some(std::process::id())));
        end.send(()).unwrap();
        assert_eq!(value.wait_timeout(PATIENCE), Ok(7));
        assert_eq!(maker.join().unwrap(), Ok(7));
    });
    assert_eq!(value.get_or_init_deadline(past, |_| 8), Ok(7));
}

// semantics 6
#[test]
fn a_handle_that_asked_is_told_of_signals() {
    extern "C" fn nothing(_: i32) {}
    // SAFETY: the handler does nothing; without SA_RESTART it interrupts.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = nothing as extern "C" fn(i32) as libc::sighandler_t;
        assert_eq!(libc::sigaction(libc::SIGUSR1, &action, std::ptr::null_mut()), 0);
    }
    let (_name, segment, once) = setup("o-signal");
    let turn = once.begin().unwrap().expect("a turn");
    for waits in [false, true] {
        let once = Once::open(&segment, "once").unwrap();
        once.set_interruptible(true);
        let thread = std::thread::spawn(move || {
            let ended = if waits { once.wait() } else { once.call_once(|_| panic!("not its turn")) };
            assert_eq!(ended, Err(LockFailure::Interrupted));
        });
        // Again and again, since the first may come before the wait.
        until("it was interrupted", || {
            // SAFETY: the thread is not joined yet.
            unsafe { libc::pthread_kill(std::os::unix::thread::JoinHandleExt::as_pthread_t(&thread), libc::SIGUSR1) };
            thread.is_finished()
        });
        thread.join().unwrap();
    }
    turn.complete().unwrap();
}

// semantics 108
#[test]
fn who_would_wait_for_itself_is_told() {
    let (_name, segment, once) = setup("o-self");
    let value = OnceValue::<u64>::create(&segment, "value").unwrap();
    let deadlock = LockFailure::WouldDeadlock;
    once.call_once(|_| {
        assert_eq!(once.call_once(|_| panic!("twice")), Err(deadlock.clone()));
        assert_eq!(once.try_begin().unwrap_err(), deadlock);
        assert_eq!(Once::open(&segment, "once").unwrap().begin_timeout(PATIENCE).unwrap_err(), deadlock);
        for timeout in [Duration::ZERO, PATIENCE] {
            assert_eq!(once.wait_timeout(timeout), Err(deadlock.clone()));
        }
        // Another thread just waits.
        std::thread::scope(|scope| {
            scope.spawn(|| {
                assert_eq!(once.begin_timeout(Duration::from_millis(2)).unwrap_err(), LockFailure::TimedOut);
                assert_eq!(once.wait_timeout(Duration::from_millis(2)), Err(LockFailure::TimedOut));
            });
        });
    })
    .unwrap();
    assert!(once.is_completed());
    let made = value.get_or_init(|_| {
        assert_eq!(value.get_or_init(|_| 1), Err(deadlock.clone()));
        assert_eq!(value.set(2), Err(SetError::Refused(2, deadlock.clone())));
        assert_eq!((value.wait(), value.get()), (Err(deadlock.clone()), None));
        3
    });
    assert_eq!((made, value.get()), (Ok(3), Some(3)));
}

// semantics 81 and 108
#[test]
fn a_forked_child_has_no_turn() {
    let (_name, segment, once) = setup("o-fork");
    let value = OnceValue::<u64>::create(&segment, "value").unwrap();
    let turn = once.begin().unwrap().expect("a turn");
    // What it ends, and what it drops, is nothing.
    let ends = fork(|| {
        let copy = common::unsafe_copy(&turn);
        assert_eq!(copy.complete(), Err(LockFailure::NotOwner));
        assert_eq!(once.try_begin().unwrap_err(), LockFailure::WouldBlock);
    });
    assert_eq!(reap(ends), 0);
    let drops = fork(|| drop(common::unsafe_copy(&turn)));
    assert_eq!(reap(drops), 0);
    assert!(!once.is_completed());
    // It waits as anybody does.
    let waits = fork(|| once.wait().unwrap());
    turn.complete().unwrap();
    assert_eq!(reap(waits), 0);
    // Its own is not ended by what it drops.
    let other = Once::create(&segment, "other").unwrap();
    let turn = other.begin().unwrap().expect("a turn");
    let both = fork(|| {
        let inherited = common::unsafe_copy(&turn);
        let own = other.begin().unwrap().expect("a turn");
        drop(inherited);
        own.complete().unwrap();
    });
    drop(turn);
    assert_eq!(reap(both), 0);
    // One that is forked by whoever makes a value makes none.
    let mut child = 0;
    let made = value.get_or_init(|_| {
        child = fork(|| {
            assert_eq!(value.get_or_init_timeout(Duration::from_millis(2), |_| 8), Err(LockFailure::TimedOut));
        });
        assert_eq!(reap(child), 0);
        7
    });
    assert_eq!(made, Ok(7));
}

// semantics 82
#[test]
fn a_segment_is_not_closed_in_the_middle_of_a_turn() {
    let (_name, segment, once) = setup("o-close");
    std::mem::forget(once.begin().unwrap().expect("a turn"));
    drop(once);
    let error = segment.close().unwrap_err();
    assert_eq!(error.error, Error::Busy);
    let once = Once::open(&error.segment, "once").unwrap();
    assert_eq!(once.begin().unwrap_err(), LockFailure::WouldDeadlock);
}

// semantics 110
#[test]
fn a_value_is_set_once_and_stays() {
    let (_name, segment, _once) = setup("o-value");
    let value = OnceValue::<Wide>::create(&segment, "value").unwrap();
    assert_eq!(value.get(), None);
    assert_eq!(value.get_or_try_init(|_| Err("no")), Err(InitError::Failed("no")));
    assert_eq!(value.get(), None);
    let panics = || value.get_or_init(|state| panic!("on purpose, retry: {}", state.is_retry()));
    assert!(catch_unwind(AssertUnwindSafe(panics)).is_err());
    let made = value.get_or_try_init(|state| {
        assert!(state.is_retry());
        Ok::<_, Infallible>([7; 256])
    });
    assert_eq!(made, Ok([7; 256]));
    assert_eq!(value.set([8; 256]), Err(SetError::Completed([8; 256])));
    assert_eq!(value.set([9; 256]).unwrap_err().into_inner(), [9; 256]);
    assert_eq!(value.get_or_init(|_| panic!("there is one")), Ok([7; 256]));
    assert_eq!((value.get(), value.wait()), (Some([7; 256]), Ok([7; 256])));

    let small = OnceValue::<bool>::open_or_create(&segment, "small").unwrap();
    assert_eq!((small.set(true), small.get()), (Ok(()), Some(true)));
    let text = OnceValue::<[CChar; 5]>::create(&segment, "text").unwrap();
    text.set(b"hello".map(CChar)).unwrap();
    assert_eq!(text.get(), Some(b"hello".map(CChar)));
    let nothing = OnceValue::<()>::create(&segment, "nothing").unwrap();
    assert_eq!((nothing.get(), nothing.set(()), nothing.get()), (None, Ok(()), Some(())));
    assert_eq!(format!("{small:?} {_once:?}"), "OnceValue(Some(true)) Once { completed: false, .. }");
}

/// Whoever is killed while many make the same value, which is as large as its maker is slow: there is one in the end, whole,
/// the same for all.
// semantics 106, 107 and 110
#[test]
fn a_value_is_whole_whoever_dies() {
    let mut chance = Chance::new(40);
    let name = Name::new("o-kills");
    let segment = name.create(&SegmentOptions::new());
    for _ in 0..chance.rounds {
        let value = OnceValue::<Wide>::create(&segment, "value").unwrap();
        let children = [(); 5].map(|()| {
            fork(|| {
                let whole = value.get_or_init(|_| {
                    let mut made: Wide = [0; 256];
                    for word in &mut made {
                        *word = std::process::id().into();
                        std::hint::black_box(&word);
                    }
                    made
                });
                let whole = whole.unwrap();
                assert_eq!((whole, value.get()), ([whole[0]; 256], Some(whole)));
            })
        });
        let (die, live) = children.split_at(3);
        for child in die {
            chance.pause(Duration::from_micros(300));
            kill(*child);
            chance.kills += 1;
        }
        die.iter().for_each(|child| assert!([0, -libc::SIGKILL].contains(&reap(*child))));
        live.iter().for_each(|child| assert_eq!(reap(*child), 0));
        let whole = value.get().expect("two lived");
        assert_eq!(whole, [whole[0]; 256]);
        assert!(children.contains(&(whole[0] as i32)), "{} made it", whole[0]);
        chance.checked += 1;
        drop(value);
        segment.remove("value").unwrap();
    }
    segment.recover().unwrap();
    assert_eq!(segment.participants().len(), 1);
}

/// One whose maker is stopped is not made by another.
// semantics 48 and 80
#[test]
fn a_stopped_process_keeps_its_turn() {
    let (name, _segment, once) = setup("o-stopped");
    let mut role = at_it(&name, false);
    role.stop();
    assert_eq!(once.begin_timeout(Duration::from_millis(30)).unwrap_err(), LockFailure::TimedOut);
    role.go_on();
    role.tell("complete");
    role.expect("ended");
    assert!(once.begin().unwrap().is_none());
}

// semantics 90 and 91
#[test]
fn one_can_wait_for_it_among_others() {
    let (name, segment, once) = setup("o-any");
    let value = OnceValue::<u64>::create(&segment, "value").unwrap();
    let wait = WaitAny::new([value.completed(), once.completed()]).unwrap();
    assert_eq!(wait.try_wait(), Err(WaitError::NotReady));
    // Begun is not done, and neither is what a dead one left.
    let mut role = at_it(&name, false);
    assert_eq!(wait.wait_timeout(Duration::from_millis(2)), Err(WaitError::TimedOut));
    role.tell("complete");
    let ready = wait.wait_timeout(PATIENCE).unwrap();
    assert!(ready.contains(1) && !ready.contains(0));
    value.set(1).unwrap();
    assert_eq!(wait.try_wait().unwrap().bits(), 3);
}

/// And is woken there, its naps being as long as they may.
#[test]
fn who_waits_for_it_among_others_is_woken() {
    let (_name, segment, once) = setup("o-any-woken");
    let other = Once::create(&segment, "other").unwrap();
    let child = fork(|| {
        let wait = WaitAny::new([other.completed(), once.completed()]).unwrap();
        assert_eq!(wait.wait().unwrap().first(), 1);
    });
    until("its sleep", || {
        std::fs::read_to_string(format!("/proc/{child}/wchan")).is_ok_and(|wchan| wchan.contains("futex"))
    });
    once.call_once(|_| ()).unwrap();
    assert_eq!(reap(child), 0);
}

// semantics 76 and 78
#[test]
fn the_value_is_part_of_the_shape() {
    let (_name, segment, _once) = setup("o-shape");
    let _value = OnceValue::<u32>::create(&segment, "value").unwrap();
    let wrong = |error| assert!(matches!(error, Error::WrongShape { .. }), "{error}");
    wrong(OnceValue::<u32>::open(&segment, "once").map(drop).unwrap_err());
    wrong(Once::open(&segment, "value").map(drop).unwrap_err());
    wrong(OnceValue::<i32>::open_or_create(&segment, "value").map(drop).unwrap_err());
    wrong(OnceValue::<[u32; 2]>::open(&segment, "value").map(drop).unwrap_err());
    assert!(matches!(Once::create(&segment, "once"), Err(Error::Exists)));
    assert!(matches!(OnceValue::<u32>::create(&segment, "value"), Err(Error::Exists)));
    assert!(matches!(Once::open(&segment, "none"), Err(Error::Missing)));
    assert!(matches!(Mutex::<()>::open(&segment, "once"), Err(Error::WrongKind { .. })));
    let objects = segment.objects().unwrap();
    assert!(objects.iter().all(|object| object.kind == "once" && object.bytes == 128), "{objects:?}");
}

#[test]
fn a_killed_waiter_is_in_nobodys_way() {
    let (name, _segment, once) = setup("o-killed");
    let holder = at_it(&name, false);
    for role in ["waiter", "turn"] {
        let role = start(role, &name);
        role.falls_asleep();
        role.kill();
    }
    holder.kill();
    once.call_once(|state| assert!(state.is_retry())).unwrap();
}
