//! The condition variable between real processes. Numbers in comments are those of docs/semantics.md.

mod common;

use std::time::{Duration, Instant};

use common::{Name, PATIENCE, Role, fork, hear, reap, role, say, unsafe_copy, until};
use ringfence::{
    Condvar, CondvarError, Error, LockError, LockFailure, Mutex, MutexGuard, ReentrantMutex, Segment, SegmentOptions,
    Woken,
};

/// Long enough for somebody else to do something, if it ever does.
const SHORT: Duration = Duration::from_millis(30);

fn lock(mutex: &Mutex<u64>) -> MutexGuard<'_, u64> {
    mutex.lock().unwrap_or_else(|error| {
        let mut guard = error.into_guard().expect("the mutex");
        assert!(guard.make_consistent());
        guard
    })
}

/// Locks; if the last owner died, notifies one in its place: it may have died of its notification.
fn lock_and_pay<'a>(mutex: &'a Mutex<u64>, condvar: &Condvar) -> MutexGuard<'a, u64> {
    mutex.lock().unwrap_or_else(|error| pay(error.into_guard(), condvar))
}

fn pay<'a>(guard: Option<MutexGuard<'a, u64>>, condvar: &Condvar) -> MutexGuard<'a, u64> {
    let mut guard = guard.expect("the mutex");
    guard.make_consistent();
    condvar.notify_one(&guard).unwrap();
    guard
}

#[test]
fn role_entry() {
    let Some((role, arguments)) = role() else { return };
    let segment = Segment::open(&arguments[0]).unwrap();
    let mutex = Mutex::<u64>::open(&segment, "m").unwrap();
    let condvar = Condvar::open(&segment, arguments.get(1).map_or("c", String::as_str)).unwrap();
    match role.as_str() {
        // One wait; says how it ended.
        "waiter" => {
            let guard = lock(&mutex);
            say(match condvar.wait(guard) {
                Ok(_) => "notified",
                Err(CondvarError::OwnerDied(_, Woken::Notified)) => "notified, and the owner died",
                Err(CondvarError::NotRecoverable) => "given up",
                Err(_) => "something else",
            });
            hear();
        }
        // Dies with the mutex, having notified all or nobody.
        "last-will" => {
            let guard = lock(&mutex);
            if arguments[2] == "notify" {
                condvar.notify_all(&guard).unwrap();
            }
            say("has it");
            hear();
        }
        "gives-up" => {
            mutex.lock().unwrap_or_else(|error| error.into_guard().unwrap()).unlock();
            say("done");
        }
        "reentrant" => {
            let mutex = ReentrantMutex::open(&segment, "r").unwrap();
            let guard = mutex.lock().unwrap();
            condvar.notify_all(&guard).unwrap();
            drop(guard);
            say("had it");
        }
        // Takes tokens, one for each notification.
        "taker" => {
            let taken = Mutex::<u64>::open(&segment, "taken").unwrap();
            loop {
                let mut guard = lock_and_pay(&mutex, &condvar);
                while *guard == 0 {
                    guard = condvar.wait(guard).unwrap_or_else(|error| pay(error.into_guard(), &condvar));
                }
                *guard -= 1;
                guard.commit();
                *lock(&taken) += 1;
            }
        }
        _ => panic!("no role {role}"),
    }
}

struct Scene {
    name: Name,
    segment: Segment,
    mutex: Mutex<u64>,
    condvar: Condvar,
}

impl Scene {
    fn new(what: &str) -> Self {
        let name = Name::new(what);
        let segment = name.create(&SegmentOptions::new());
        let mutex = Mutex::create(&segment, "m", 0).unwrap();
        let condvar = Condvar::create(&segment, "c", 16).unwrap();
        Self { name, segment, mutex, condvar }
    }

    fn waiting(&self, count: usize) {
        until("waiters", || self.condvar.waiting() == count);
    }

    /// One more waiter, that waits.
    fn waiter(&self) -> Role {
        let before = self.condvar.waiting();
        let role = Role::start("waiter", &[&self.name.0]);
        self.waiting(before + 1);
        // It is counted before it has given the mutex back, and is not to be stopped with it.
        drop(lock(&self.mutex));
        role
    }

    fn waiters<const N: usize>(&self) -> [Role; N] {
        std::array::from_fn(|_| self.waiter())
    }

    fn notify(&self, count: usize) -> usize {
        self.condvar.notify(&lock(&self.mutex), count).unwrap()
    }

    /// Nobody is notified for a while.
    fn nothing_comes(&self) {
        let result = self.condvar.wait_timeout(lock(&self.mutex), SHORT);
        assert!(matches!(result, Err(CondvarError::TimedOut(_))), "{result:?}");
    }
}

/// Tells it to end, which it does only if it is not in the middle of something.
fn end(mut role: Role) {
    role.tell("end");
    role.finish();
}

// semantics 9
#[test]
fn a_forked_child_has_not_the_mutex() {
    let scene = Scene::new("c-fork");
    let guard = scene.mutex.lock().unwrap();
    let child = fork(|| {
        let copy = unsafe_copy(&guard);
        assert_eq!(scene.condvar.notify_all(&copy), Err(LockFailure::NotOwner));
        let Err(CondvarError::NotOwner(copy)) = scene.condvar.wait(copy) else { panic!("waited without the mutex") };
        drop(copy);
    });
    assert_eq!(reap(child), 0);
    assert_eq!(scene.condvar.notify_all(&guard), Ok(0));
}

// semantics 9
#[test]
fn several_share_one_mutex() {
    let scene = Scene::new("c-several");
    let other = Condvar::create(&scene.segment, "other", 1).unwrap();
    let mut first = scene.waiter();
    let mut second = Role::start("waiter", &[&scene.name.0, "other"]);
    until("the other", || other.waiting() == 1);
    assert_eq!(other.notify_all(&lock(&scene.mutex)), Ok(1));
    second.expect("notified");
    assert_eq!(scene.condvar.waiting(), 1);
    assert_eq!(scene.notify(1), 1);
    first.expect("notified");
    [first, second].into_iter().for_each(end);
}

// semantics 102
#[test]
fn another_mutex_is_refused_while_anybody_waits() {
    let scene = Scene::new("c-other");
    let other = Mutex::<u64>::create(&scene.segment, "m2", 0).unwrap();
    let elsewhere = Segment::anonymous(&SegmentOptions::new()).unwrap();
    let strange = Mutex::<u64>::create(&elsewhere, "m", 0).unwrap();
    let guard = strange.lock().unwrap();
    assert_eq!(scene.condvar.notify_one(&guard), Err(LockFailure::OtherMutex));
    assert!(matches!(scene.condvar.wait(guard), Err(CondvarError::OtherMutex(_))));
    let mut waiter = scene.waiter();
    assert_eq!(scene.condvar.notify_all(&lock(&other)), Err(LockFailure::OtherMutex));
    // The guard is as before: with its change, and with the mutex.
    let mut guard = lock(&other);
    *guard = 7;
    let Err(CondvarError::OtherMutex(guard)) = scene.condvar.wait(guard) else { panic!("waited") };
    assert_eq!(*guard, 7);
    drop(guard);
    assert_eq!(scene.notify(1), 1);
    waiter.expect("notified");
    let result = scene.condvar.wait_timeout(lock(&other), SHORT);
    assert!(matches!(result, Err(CondvarError::TimedOut(_))));
    drop(result);
    // One that is dead is nobody.
    scene.waiter().kill();
    let result = scene.condvar.wait_timeout(lock(&other), SHORT);
    assert!(matches!(result, Err(CondvarError::TimedOut(_))));
    drop(result);
    end(waiter);
}

// semantics 102
#[test]
fn there_is_place_for_so_many() {
    let scene = Scene::new("c-full");
    let one = Condvar::create(&scene.segment, "one", 1).unwrap();
    let waiter = Role::start("waiter", &[&scene.name.0, "one"]);
    until("the waiter", || one.waiting() == 1);
    let full = one.wait_timeout(lock(&scene.mutex), SHORT);
    assert!(matches!(full, Err(CondvarError::TooManyWaiters(_))), "{full:?}");
    drop(full);
    // The place of the dead is free at once.
    waiter.kill();
    assert!(matches!(one.wait_timeout(lock(&scene.mutex), SHORT), Err(CondvarError::TimedOut(_))));
    for wrong in [0, 65_536, usize::MAX] {
        assert!(matches!(Condvar::create(&scene.segment, "x", wrong), Err(Error::InvalidArgument(_))));
    }
    assert!(matches!(Condvar::open_or_create(&scene.segment, "one", 2), Err(Error::WrongShape { .. })));
    assert!(matches!(Condvar::open(&scene.segment, "m"), Err(Error::WrongKind { .. })));
    assert_eq!(Condvar::open(&scene.segment, "one").unwrap().capacity(), 1);
}

// semantics 10
#[test]
fn every_level_is_given_away_and_restored() {
    let scene = Scene::new("c-levels");
    let mutex = ReentrantMutex::create(&scene.segment, "r").unwrap();
    let outer = [mutex.lock().unwrap(), mutex.lock().unwrap()];
    let guard = mutex.lock().unwrap();
    // Notified by somebody who had the mutex.
    let helper = Role::start("reentrant", &[&scene.name.0]);
    let guard = scene.condvar.wait(guard).unwrap();
    assert_eq!(mutex.count(), 3);
    helper.finish();
    // And after a time-out, during which somebody had it.
    let mut helper = Role::start("reentrant", &[&scene.name.0, "c"]);
    let mut guard = Some(guard);
    until("somebody else had it", || {
        let result = scene.condvar.wait_timeout(guard.take().unwrap(), Duration::from_millis(1));
        assert_eq!(mutex.count(), 3);
        let timed_out = matches!(result, Err(CondvarError::TimedOut(_)));
        guard = result.map_or_else(CondvarError::into_guard, Some);
        !timed_out
    });
    helper.expect("had it");
    // An error without a wait changes nothing.
    let full = Condvar::create(&scene.segment, "one", 1).unwrap();
    let waiter = Role::start("waiter", &[&scene.name.0, "one"]);
    until("the waiter", || full.waiting() == 1);
    let Err(CondvarError::TooManyWaiters(guard)) = full.wait(guard.unwrap()) else { panic!("waited") };
    assert_eq!(mutex.count(), 3);
    drop(guard);
    drop(outer);
    assert_eq!(mutex.count(), 0);
    helper.finish();
    waiter.kill();
}

// semantics 11
#[test]
fn a_wait_says_why_it_ended_and_a_predicate_is_asked_once_more() {
    let scene = Scene::new("c-why");
    let Scene { mutex, condvar, .. } = &scene;
    let begun = Instant::now();
    assert!(matches!(condvar.wait_timeout(lock(mutex), SHORT), Err(CondvarError::TimedOut(_))));
    assert!(begun.elapsed() >= SHORT);
    assert!(matches!(condvar.wait_timeout(lock(mutex), Duration::ZERO), Err(CondvarError::TimedOut(_))));
    assert!(matches!(condvar.wait_deadline(lock(mutex), begun), Err(CondvarError::TimedOut(_))));
    // Asked twice: at first and when the time is up.
    for becomes_true in [true, false] {
        let mut asked = 0;
        let mut predicate = |_: &mut MutexGuard<'_, u64>| {
            asked += 1;
            asked == 2 && becomes_true
        };
        let result = condvar.wait_for_timeout(lock(mutex), SHORT, &mut predicate);
        assert_eq!(result.is_ok(), becomes_true, "{result:?}");
        drop(result);
        assert_eq!(asked, 2);
    }
    let forever = [
        condvar.wait_while(lock(mutex), |count| **count > 0).map(drop),
        condvar.wait_for(lock(mutex), |count| **count == 0).map(drop),
        condvar.wait_while_timeout(lock(mutex), SHORT, |count| **count > 0).map(drop),
        condvar.wait_while_deadline(lock(mutex), Instant::now() + SHORT, |count| **count > 0).map(drop),
        condvar.wait_for_deadline(lock(mutex), Instant::now() + SHORT, |count| **count == 0).map(drop),
    ];
    assert!(forever.iter().all(Result::is_ok), "what is so needs no waiting");
}

// semantics 103
#[test]
fn a_guard_commits_before_and_is_fresh_after() {
    let scene = Scene::new("c-fresh");
    std::thread::scope(|scope| {
        let mut guard = scene.mutex.lock().unwrap();
        *guard = 5;
        scope.spawn(|| {
            scene.waiting(1);
            let mut guard = scene.mutex.lock().unwrap();
            assert_eq!(*guard, 5);
            *guard = 6;
            scene.condvar.notify_one(&guard).unwrap();
        });
        let guard = scene.condvar.wait(guard).unwrap();
        assert_eq!(*guard, 6);
    });
    // What was not changed since is not written back.
    assert_eq!(*scene.mutex.lock().unwrap(), 6);
}

// semantics 12
#[test]
fn more_than_there_are_wakes_those_there_are() {
    let scene = Scene::new("c-more");
    assert_eq!(scene.notify(usize::MAX), 0);
    let mut waiters = scene.waiters::<3>();
    assert_eq!(scene.notify(0), 0);
    assert_eq!(scene.condvar.waiting(), 3);
    assert_eq!(scene.notify(5), 3);
    waiters.iter_mut().for_each(|waiter| waiter.expect("notified"));
    scene.nothing_comes();
    waiters.into_iter().for_each(end);
}

/// Those who have waited longest, first.
#[test]
fn the_oldest_are_notified_first() {
    let scene = Scene::new("c-order");
    let mut waiters = scene.waiters::<4>();
    for (count, chosen) in [(1, 0..1), (2, 1..3), (1, 3..4)] {
        assert_eq!(scene.notify(count), count);
        waiters[chosen].iter_mut().for_each(|waiter| waiter.expect("notified"));
    }
    waiters.into_iter().for_each(end);
}

// semantics 13 and 105
#[test]
fn who_gave_up_or_died_uses_up_no_notification() {
    let scene = Scene::new("c-died");
    // Gave up.
    scene.nothing_comes();
    assert_eq!(scene.notify(1), 0);
    // Died in its sleep, as the oldest.
    let [oldest, mut next] = scene.waiters();
    oldest.kill();
    assert_eq!(scene.notify(1), 1);
    next.expect("notified");
    // Died when it had been notified, and had not got to it: stopped, so that it cannot.
    let [oldest, mut second, mut third] = scene.waiters();
    oldest.stop();
    assert_eq!(scene.notify(1), 1);
    assert_eq!(scene.condvar.waiting(), 2);
    oldest.kill();
    // One of the two, whichever looks first.
    until("one of them", || scene.condvar.waiting() == 1);
    scene.nothing_comes();
    assert_eq!(scene.condvar.waiting(), 1);
    assert_eq!(scene.notify(usize::MAX), 1);
    second.expect("notified");
    third.expect("notified");
    [next, second, third].into_iter().for_each(end);
}

/// A notification that nobody is left for is gone.
// semantics 12, 13 and 105
#[test]
fn what_the_dead_leave_is_not_for_those_who_come_later() {
    let scene = Scene::new("c-later");
    for recovered in [true, false] {
        let only = scene.waiter();
        only.stop();
        assert_eq!(scene.notify(1), 1);
        only.kill();
        if recovered {
            scene.segment.recover().unwrap();
        }
        scene.nothing_comes();
    }
}

// semantics 14
#[test]
fn notifying_waits_for_nobody() {
    let scene = Scene::new("c-stopped");
    let [mut stopped, mut other] = scene.waiters();
    stopped.stop();
    assert_eq!(scene.notify(2), 2);
    other.expect("notified");
    // It has its notification when it goes on.
    stopped.go_on();
    stopped.expect("notified");
    [stopped, other].into_iter().for_each(end);
}

// semantics 8 and 104
#[test]
fn a_waiter_is_told_of_a_dead_owner() {
    let scene = Scene::new("c-told");
    let mut waiter = scene.waiter();
    let mut dying = Role::start("last-will", &[&scene.name.0, "c", "notify"]);
    dying.expect("has it");
    dying.kill();
    waiter.expect("notified, and the owner died");
    end(waiter);
    // The waiter did not make it consistent: its guard passed the news on.
    let guard = scene.mutex.lock_timeout(PATIENCE);
    let Err(LockError::OwnerDied(guard)) = guard else { panic!("{guard:?}") };
    // So does a wait.
    let result = scene.condvar.wait_timeout(guard, SHORT);
    let Err(CondvarError::OwnerDied(mut guard, Woken::TimedOut)) = result else { panic!("{result:?}") };
    assert!(guard.make_consistent());
    let result = scene.condvar.wait_timeout(guard, SHORT);
    assert!(matches!(result, Err(CondvarError::TimedOut(_))), "{result:?}");
}

// semantics 104
#[test]
fn a_mutex_that_is_given_up_ends_every_wait() {
    let scene = Scene::new("c-given-up");
    let mut waiters = scene.waiters::<2>();
    let mut dying = Role::start("last-will", &[&scene.name.0, "c", "silent"]);
    dying.expect("has it");
    dying.kill();
    Role::start("gives-up", &[&scene.name.0]).finish();
    waiters.iter_mut().for_each(|waiter| waiter.expect("given up"));
    assert!(matches!(scene.mutex.lock(), Err(LockError::NotRecoverable)));
    assert!(scene.mutex.reset());
    assert_eq!(scene.notify(usize::MAX), 0);
    scene.nothing_comes();
    waiters.into_iter().for_each(end);
}

/// The guard of one whose mutex was given up holds nothing, with all its levels.
#[test]
fn a_reentrant_mutex_that_is_given_up_is_not_held() {
    let scene = Scene::new("c-levels-up");
    let mutex = ReentrantMutex::create(&scene.segment, "r").unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let outer = mutex.lock().unwrap();
            let guard = mutex.lock().unwrap();
            assert!(matches!(scene.condvar.wait(guard), Err(CondvarError::NotRecoverable)));
            assert_eq!(mutex.count(), 0);
            drop(outer);
            assert!(matches!(mutex.lock(), Err(LockError::NotRecoverable)));
        });
        scene.waiting(1);
        scope.spawn(|| std::mem::forget(mutex.lock().unwrap())).join().unwrap();
        let Err(LockError::OwnerDied(guard)) = mutex.lock_timeout(PATIENCE) else { panic!("not told") };
        guard.unlock();
    });
}

// semantics 6
#[test]
fn a_wait_can_be_interrupted() {
    extern "C" fn nothing(_: libc::c_int) {}
    // SAFETY: a handler that does nothing, for a signal that nobody else here uses.
    unsafe {
        let action = libc::sigaction { sa_sigaction: nothing as *const () as usize, ..std::mem::zeroed() };
        assert_eq!(libc::sigaction(libc::SIGUSR2, &action, std::ptr::null_mut()), 0);
    }
    let scene = Scene::new("c-signal");
    let reentrant = ReentrantMutex::create(&scene.segment, "r").unwrap();
    let interruptible = Condvar::open(&scene.segment, "c").unwrap();
    interruptible.set_interruptible(true);
    // Signalled again and again while it waits, since one may come between two naps.
    let bombard = |wait: &(dyn Fn() + Sync), enough: &dyn Fn(u32) -> bool| {
        let (send, receive) = std::sync::mpsc::channel();
        std::thread::scope(|scope| {
            let thread = scope.spawn(|| {
                // SAFETY: takes nothing.
                send.send(unsafe { libc::pthread_self() }).unwrap();
                wait();
            });
            let waiter = receive.recv().unwrap();
            scene.waiting(1);
            let mut count = 0;
            while !thread.is_finished() && !enough(count) {
                // SAFETY: the thread has not been joined.
                unsafe { libc::pthread_kill(waiter, libc::SIGUSR2) };
                count += 1;
                std::thread::sleep(Duration::from_millis(1));
            }
            thread.join().unwrap();
        });
    };
    bombard(&|| assert!(matches!(interruptible.wait(lock(&scene.mutex)), Err(CondvarError::Interrupted(_)))), &|_| {
        false
    });
    let with_levels = || {
        let _outer = reentrant.lock().unwrap();
        let result = interruptible.wait(reentrant.lock().unwrap());
        assert!(matches!(result, Err(CondvarError::Interrupted(_))));
        assert_eq!(reentrant.count(), 2);
    };
    bombard(&with_levels, &|_| false);
    // One that did not ask for it goes on until it is notified.
    bombard(&|| drop(scene.condvar.wait(lock(&scene.mutex)).unwrap()), &|count| count == 20 && scene.notify(1) == 1);
}

/// Takers are killed at any moment; for each token there is one notification, and each is taken.
#[test]
fn every_token_is_taken_however_many_die() {
    let scene = Scene::new("c-kills");
    let taken = Mutex::<u64>::create(&scene.segment, "taken", 0).unwrap();
    let mut chance = common::chance::Chance::new(40);
    let taker = || Role::start("taker", &[&scene.name.0]);
    let mut takers = std::array::from_fn::<_, 3, _>(|_| taker());
    for _ in 0..chance.rounds {
        for _ in 0..20 {
            let mut guard = lock_and_pay(&scene.mutex, &scene.condvar);
            *guard += 1;
            scene.condvar.notify_one(&guard).unwrap();
            drop(guard);
            chance.checked += 1;
        }
        chance.pause(Duration::from_millis(2));
        let victim = chance.index(takers.len());
        std::mem::replace(&mut takers[victim], taker()).kill();
        chance.kills += 1;
        until("the last token is taken", || *lock_and_pay(&scene.mutex, &scene.condvar) == 0);
    }
    // A taker that died between its two counts has taken one that is not counted.
    let (put, taken) = ((20 * chance.rounds) as u64, *lock(&taken));
    assert!(taken <= put && taken + chance.kills as u64 >= put, "{taken} of {put}");
}
