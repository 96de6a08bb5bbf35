//! Waiting for the first of several objects, between real processes. Numbers in comments are those of docs/semantics.md.

mod common;
mod filter;

use std::time::{Duration, Instant};

use common::event::{stop, waits};
use common::{Name, PATIENCE, Role, fork, hear, hold, reap, role, say, small, until};
use filter::{Rule, errno, install};
use ringfence::{
    Channel, Error, Event, LockError, Mutex, ParticipantInfo, Queue, ReentrantMutex, Reset, Segment, SegmentOptions,
    Semaphore, SemaphoreOptions, WaitAny, WaitError, Waitable,
};

#[test]
fn role_entry() {
    let Some((role, arguments)) = role() else { return };
    let world = World::open(&arguments[0]);
    match role.as_str() {
        "holder" => {
            hold(&world.mutex);
            std::mem::forget(world.reentrant.lock().unwrap());
            world.owned.acquire(1).unwrap().forget();
            say("has it");
            hear();
            // Peacefully, and the locks are still held.
        }
        "idler" => {
            say("there");
            hear();
            drop(world);
            say("left");
            hear();
        }
        // Looks, says what it found, and takes nothing.
        "looker" => {
            let wait =
                WaitAny::new([world.mutex.unlocked(), world.queue.readable(), world.owned.available(1)]).unwrap();
            say("asking");
            say(&format!("found {}", wait.wait().unwrap().bits()));
            hear();
        }
        "listener" => {
            // SAFETY: takes nothing, cannot fail.
            say(&format!("asking {}", unsafe { libc::gettid() }));
            world.bell.wait().unwrap();
        }
        "locker" => {
            say("asking");
            drop(world.mutex.lock().unwrap());
            say("locked");
            hear();
        }
        "refused" => {
            install(&[Rule { call: libc::SYS_futex_waitv, arguments: &[], answer: errno(number(&arguments[1])) }]);
            let wait =
                WaitAny::new([world.mutex.unlocked(), world.queue.readable(), world.signal.available(1)]).unwrap();
            say("asking");
            let ready = wait.wait().unwrap();
            assert_eq!(ready.first(), number(&arguments[2]) as usize);
            say("found");
            hear();
        }
        "worker" => world.work(number(&arguments[1])),
        _ => panic!("no role {role}"),
    }
}

fn number(text: &str) -> i32 {
    text.parse().unwrap()
}

struct World {
    segment: Segment,
    mutex: Mutex<u64>,
    reentrant: ReentrantMutex,
    owned: Semaphore,
    signal: Semaphore,
    flag: Event,
    bell: Event,
    queue: Queue<u64>,
    full: Queue<u64>,
    channel: Channel,
}

impl World {
    fn create(what: &str) -> (Name, Self) {
        let name = Name::new(what);
        let segment = name.create(&SegmentOptions::new());
        // The first: its words are looked at.
        drop(Event::create(&segment, "bell", Reset::Auto).unwrap());
        drop(Mutex::create(&segment, "mutex", 0_u64).unwrap());
        drop(ReentrantMutex::create(&segment, "reentrant").unwrap());
        drop(Semaphore::create(&segment, "owned", &SemaphoreOptions::new(1).maximum(1)).unwrap());
        drop(Semaphore::create(&segment, "signal", &SemaphoreOptions::new(0).signalling()).unwrap());
        drop(Event::create(&segment, "flag", Reset::Manual).unwrap());
        drop(Queue::<u64>::create(&segment, "queue", 4).unwrap());
        Queue::<u64>::create(&segment, "full", 1).unwrap().push(7).unwrap();
        Channel::create(&segment, "channel", 64).unwrap().send(&[7; 40]).unwrap();
        let world = Self::open(&name.0);
        (name, world)
    }

    fn open(name: &str) -> Self {
        let segment = Segment::open(name).unwrap();
        Self {
            mutex: Mutex::open(&segment, "mutex").unwrap(),
            reentrant: ReentrantMutex::open(&segment, "reentrant").unwrap(),
            owned: Semaphore::open(&segment, "owned").unwrap(),
            signal: Semaphore::open(&segment, "signal").unwrap(),
            flag: Event::open(&segment, "flag").unwrap(),
            bell: Event::open(&segment, "bell").unwrap(),
            queue: Queue::open(&segment, "queue").unwrap(),
            full: Queue::open(&segment, "full").unwrap(),
            channel: Channel::open(&segment, "channel").unwrap(),
            segment,
        }
    }

    fn participant(&self, pid: i32) -> ParticipantInfo {
        self.segment.participants().into_iter().find(|info| info.pid as i32 == pid).unwrap()
    }

    /// Takes whatever comes, until the queue is shut down: numbers, and the lock, which it holds for a moment.
    fn work(&self, rounds: i32) {
        let wait = WaitAny::new([self.mutex.unlocked(), self.queue.readable(), self.signal.available(1)]).unwrap();
        let (mut locked, mut signals) = (0, 0);
        while locked < rounds {
            let ready = wait.wait_timeout(PATIENCE).unwrap();
            assert_ne!(ready.bits(), 0);
            if ready.contains(2) && self.signal.try_acquire(1).map(ringfence::Permits::forget).is_ok() {
                signals += 1;
            }
            if ready.contains(0)
                && let Ok(mut guard) = self.mutex.try_lock()
            {
                *guard += 1;
                locked += 1;
            }
        }
        println!("{signals} signals");
    }
}

/// What one of them says on its own.
fn state(waitable: Waitable<'_>) -> Result<(), WaitError> {
    let ready = WaitAny::new([waitable]).unwrap().try_wait()?;
    assert_eq!((ready.first(), ready.bits(), ready.contains(0), ready.contains(1)), (0, 1, true, false));
    Ok(())
}

const NOT: Result<(), WaitError> = Err(WaitError::NotReady);

// semantics 90
#[test]
fn ready_is_what_a_try_would_not_wait_for() {
    let (name, world) = World::create("wa-ready");
    let mut holder = Role::start("holder", &[&name.0]);
    holder.expect("has it");
    for waitable in [
        world.mutex.unlocked(),
        world.reentrant.unlocked(),
        world.owned.available(1),
        world.signal.available(1),
        world.flag.occurred(),
        world.bell.occurred(),
        world.queue.readable(),
        world.full.writable(),
        world.channel.writable(17),
        Waitable::gone(&world.segment, &world.participant(holder.pid())),
    ] {
        let text = format!("{waitable:?}");
        assert_eq!(state(waitable), NOT, "{text}");
    }
    for waitable in [
        // There can never be so many.
        world.owned.available(2),
        world.owned.available(0),
        world.full.readable(),
        world.queue.writable(),
        world.channel.readable(),
        world.channel.writable(8),
        // Too long for ever.
        world.channel.writable(1000),
    ] {
        let text = format!("{waitable:?}");
        assert_eq!(state(waitable), Ok(()), "{text}");
    }
    // What the dead held can be had.
    let gone = world.participant(holder.pid());
    holder.kill();
    assert_eq!(state(world.mutex.unlocked()), Ok(()));
    assert_eq!(state(world.reentrant.unlocked()), Ok(()));
    assert_eq!(state(world.owned.available(1)), Ok(()));
    assert_eq!(state(Waitable::gone(&world.segment, &gone)), Ok(()));
    assert!(matches!(world.mutex.try_lock(), Err(LockError::OwnerDied(_))));

    for event in [&world.flag, &world.bell] {
        event.set().unwrap();
        assert_eq!((state(event.occurred()), state(event.occurred())), (Ok(()), Ok(())));
        assert_eq!(event.try_wait(), Ok(true));
        event.clear().unwrap();
        assert_eq!(state(event.occurred()), NOT);
    }

    // Nothing was taken.
    assert_eq!((world.full.len(), world.channel.len(), world.queue.len()), (1, 1, 0));
    world.signal.release(3).unwrap();
    assert_eq!(state(world.signal.available(3)), Ok(()));
    assert_eq!(state(world.signal.available(4)), NOT);
    assert_eq!(world.signal.value(), Ok(3));
    // The end of something is something to be told.
    for queue in [&world.queue, &world.full] {
        queue.shutdown().unwrap();
        assert_eq!((state(queue.readable()), state(queue.writable())), (Ok(()), Ok(())));
    }
    world.channel.shutdown().unwrap();
    assert_eq!((state(world.channel.readable()), state(world.channel.writable(17))), (Ok(()), Ok(())));
}

/// One's own lock is not waited for: locking it would end at once, by nesting or by an error.
#[test]
fn what_the_caller_holds_is_ready() {
    let (_name, world) = World::create("wa-own");
    let (_mutex, _reentrant) = (world.mutex.lock().unwrap(), world.reentrant.lock().unwrap());
    assert_eq!((state(world.mutex.unlocked()), state(world.reentrant.unlocked())), (Ok(()), Ok(())));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            assert_eq!((state(world.mutex.unlocked()), state(world.reentrant.unlocked())), (NOT, NOT));
        });
    });
}

#[test]
fn a_wait_is_for_one_to_sixty_four() {
    let (_name, world) = World::create("wa-many");
    let many = |count: usize| WaitAny::new((0..count).map(|_| world.queue.readable()));
    assert!(matches!(many(0), Err(Error::InvalidArgument(_))));
    assert!(matches!(many(65), Err(Error::InvalidArgument(_))));
    let all = many(64).unwrap();
    assert_eq!(all.try_wait(), Err(WaitError::NotReady));
    let ready = while_asleep(|| all.wait_timeout(PATIENCE).unwrap(), || world.queue.push(1).unwrap());
    assert_eq!(ready.bits(), u64::MAX);
    let ready = WaitAny::new([world.queue.readable(), world.mutex.unlocked()]).unwrap().wait().unwrap();
    assert_eq!(ready.iter().collect::<Vec<_>>(), [0, 1]);
}

// semantics 4 and 6
#[test]
fn time_outs_and_deadlines() {
    let (_name, world) = World::create("wa-time");
    let wait = WaitAny::new([world.queue.readable(), world.full.writable()]).unwrap();
    assert_eq!(wait.wait_timeout(Duration::ZERO), Err(WaitError::NotReady));
    let begun = Instant::now();
    assert_eq!(wait.wait_timeout(Duration::from_millis(30)), Err(WaitError::TimedOut));
    assert!(begun.elapsed() >= Duration::from_millis(30));
    assert_eq!(wait.wait_deadline(begun), Err(WaitError::TimedOut));
    world.queue.push(1).unwrap();
    assert_eq!(wait.wait_deadline(begun).unwrap().first(), 0);
}

/// What `wait` finds, in a thread that sleeps when `act` begins.
fn while_asleep<R: Send>(wait: impl FnOnce() -> R + Send, act: impl FnOnce()) -> R {
    std::thread::scope(|scope| {
        let (tell, told) = std::sync::mpsc::channel();
        let waiter = scope.spawn(move || {
            // SAFETY: takes nothing.
            tell.send(unsafe { libc::gettid() }).unwrap();
            wait()
        });
        let wchan = format!("/proc/self/task/{}/wchan", told.recv().unwrap());
        until("its sleep", || std::fs::read_to_string(&wchan).is_ok_and(|wchan| wchan.contains("futex")));
        act();
        waiter.join().unwrap()
    })
}

/// A forked child waits in the kernel.
fn asleep(child: i32) {
    let wchan = format!("/proc/{child}/wchan");
    until("its sleep", || std::fs::read_to_string(&wchan).is_ok_and(|wchan| wchan.contains("futex")));
}

// semantics 91
#[test]
fn each_kind_wakes() {
    let (name, world) = World::create("wa-wakes");
    let mut holder = Role::start("holder", &[&name.0]);
    holder.expect("has it");
    let idler = || {
        let mut idler = Role::start("idler", &[&name.0]);
        idler.expect("there");
        let info = world.participant(idler.pid());
        (idler, info)
    };
    let (mut leaves, leaver) = idler();
    let (dies, victim) = idler();
    let items = || {
        [
            world.reentrant.unlocked(),
            world.signal.available(2),
            world.queue.readable(),
            world.full.writable(),
            world.channel.writable(40),
            Waitable::gone(&world.segment, &leaver),
            Waitable::gone(&world.segment, &victim),
            world.owned.available(1),
            world.mutex.unlocked(),
            world.flag.occurred(),
            world.bell.occurred(),
        ]
    };
    let wakes = |place: usize, act: &mut dyn FnMut()| {
        let ready = while_asleep(|| WaitAny::new(items()).unwrap().wait_timeout(PATIENCE).unwrap(), act);
        assert_eq!(ready.bits(), 1 << place);
    };
    wakes(1, &mut || world.signal.release(2).unwrap());
    world.signal.acquire(2).unwrap().forget();
    wakes(2, &mut || world.queue.push(1).unwrap());
    world.queue.pop().unwrap();
    wakes(3, &mut || assert_eq!(world.full.pop(), Ok(7)));
    world.full.push(7).unwrap();
    wakes(4, &mut || assert_eq!(world.channel.recv().unwrap(), [7; 40]));
    world.channel.send(&[7; 40]).unwrap();
    // semantics 16
    wakes(9, &mut || {
        world.flag.set().unwrap();
        world.flag.clear().unwrap();
    });
    wakes(10, &mut || world.bell.set().unwrap());
    assert_eq!(world.bell.try_wait(), Ok(true));
    wakes(5, &mut || {
        leaves.tell("leave");
        leaves.expect("left");
    });
    // Without the one that has left, which is gone for ever.
    let wait = WaitAny::new([Waitable::gone(&world.segment, &victim), world.queue.readable()]).unwrap();
    assert_eq!(while_asleep(|| wait.wait_timeout(PATIENCE).unwrap(), || dies.kill()).bits(), 1);
    // A place used again is another participant's.
    let (_again, successor) = idler();
    assert_eq!(state(Waitable::gone(&world.segment, &successor)), NOT);
    assert_eq!(state(Waitable::gone(&world.segment, &victim)), Ok(()));
    let mut nobody = successor.clone();
    nobody.id = u16::MAX;
    assert_eq!(state(Waitable::gone(&world.segment, &nobody)), Ok(()));

    let held = WaitAny::new([world.mutex.unlocked(), world.queue.readable()]).unwrap();
    assert_eq!(while_asleep(|| held.wait_timeout(PATIENCE).unwrap(), || holder.kill()).bits(), 1);
}

#[test]
fn objects_of_several_segments_and_of_adopted_memory() {
    let (_name, world) = World::create("wa-one");
    let (_other_name, other) = World::create("wa-two");
    let memory = common::Memory::new(1 << 16);
    // SAFETY: the mapping outlives the handles, and is used as a segment only.
    let third = unsafe { Segment::format_at(memory.base, memory.len, &small()) }.unwrap();
    let queue = Queue::<u64>::create(&third, "queue", 1).unwrap();
    let me = &third.participants()[0];
    let wait =
        WaitAny::new([world.queue.readable(), other.queue.readable(), queue.readable(), Waitable::gone(&third, me)])
            .unwrap();
    assert_eq!(wait.try_wait(), Err(WaitError::NotReady));
    for (queue, bits) in [(&other.queue, 2), (&queue, 4), (&world.queue, 1)] {
        let ready = while_asleep(|| wait.wait_timeout(PATIENCE).unwrap(), || queue.push(1).unwrap());
        assert_eq!(ready.bits(), bits);
        queue.pop().unwrap();
    }
}

/// The first to be woken only looks: the lock goes to who waits for it, though nobody's nap ends. (What the models and the
/// rig show without naps; here it is the public objects.)
#[test]
fn who_only_looks_is_not_in_the_way() {
    for found in [1, 2] {
        let (name, world) = World::create("wa-passes");
        let mut guard = Some(world.mutex.lock().unwrap());
        let permit = world.owned.acquire(1).unwrap();
        let mut looker = Role::start("looker", &[&name.0]);
        looker.expect("asking");
        looker.falls_asleep();
        let mut locker = Role::start("locker", &[&name.0]);
        locker.expect("asking");
        locker.falls_asleep();
        if found == 2 {
            world.queue.push(1).unwrap();
        } else {
            guard.take();
        }
        looker.expect(&format!("found {found}"));
        drop(guard);
        locker.expect("locked");
        assert_eq!(world.owned.value(), Ok(0));
        drop(permit);
    }
}

// semantics 92
#[test]
fn a_killed_waiter_leaves_nothing() {
    let (name, world) = World::create("wa-killed");
    let guard = world.mutex.lock().unwrap();
    let permit = world.owned.acquire(1).unwrap();
    for _ in 0..10 {
        let mut looker = Role::start("looker", &[&name.0]);
        looker.expect("asking");
        looker.falls_asleep();
        looker.kill();
    }
    drop((guard, permit));
    drop(world.mutex.try_lock().unwrap());
    drop(world.owned.try_acquire(1).unwrap());
    world.segment.recover().unwrap();
    assert_eq!(world.segment.participants().len(), 1);
}

/// No `futex_waitv`: before Linux 5.16, or where a filter forbids it.
#[test]
fn without_the_call_it_works_too() {
    for refusal in [libc::ENOSYS, libc::EPERM] {
        for place in [0, 1, 2] {
            let (name, world) = World::create("wa-refused");
            let guard = world.mutex.lock().unwrap();
            let mut waiter = Role::start("refused", &[&name.0, &refusal.to_string(), &place.to_string()]);
            waiter.expect("asking");
            waiter.falls_asleep();
            match place {
                0 => drop(guard),
                1 => world.queue.push(1).unwrap(),
                _ => world.signal.release(1).unwrap(),
            }
            waiter.expect("found");
            waiter.kill();
        }
    }
}

#[test]
fn many_wait_for_many() {
    let (name, world) = World::create("wa-crowd");
    let workers: Vec<_> = (0..4).map(|_| Role::start("worker", &[&name.0, "500"])).collect();
    for _ in 0..200 {
        world.signal.release(1).unwrap();
        *world.mutex.lock().unwrap() += 1;
    }
    workers.into_iter().for_each(Role::finish);
    assert_eq!(*world.mutex.lock().unwrap(), 4 * 500 + 200);
}

// semantics 81
#[test]
fn a_forked_child_waits_as_itself() {
    let (_name, world) = World::create("wa-fork");
    let _guard = world.mutex.lock().unwrap();
    let wait = WaitAny::new([world.mutex.unlocked(), world.queue.readable()]).unwrap();
    assert_eq!(wait.try_wait().unwrap().bits(), 1);
    let child = fork(|| {
        assert_eq!(wait.try_wait(), Err(WaitError::NotReady));
        world.signal.release(1).unwrap();
        assert_eq!(wait.wait_timeout(PATIENCE).unwrap().bits(), 2);
        assert_eq!(world.queue.try_pop(), Ok(1));
    });
    world.signal.acquire(1).unwrap().forget();
    world.queue.push(1).unwrap();
    assert_eq!(reap(child), 0);
}

// semantics 6
#[test]
fn a_signal_ends_it_on_request() {
    extern "C" fn nothing(_: libc::c_int) {}
    let (_name, world) = World::create("wa-signal");
    let wait = WaitAny::new([world.queue.readable(), world.full.writable()]).unwrap();
    for interruptible in [true, false] {
        wait.set_interruptible(interruptible);
        let child = fork(|| {
            // SAFETY: a handler that does nothing.
            unsafe {
                let mut action: libc::sigaction = std::mem::zeroed();
                action.sa_sigaction = nothing as extern "C" fn(libc::c_int) as usize;
                assert_eq!(libc::sigaction(libc::SIGUSR1, &action, std::ptr::null_mut()), 0);
            }
            world.signal.release(1).unwrap();
            let outcome = wait.wait_timeout(PATIENCE);
            assert_eq!(outcome.is_err(), interruptible, "{outcome:?}");
            assert!(!interruptible || outcome == Err(WaitError::Interrupted));
        });
        world.signal.acquire(1).unwrap().forget();
        asleep(child);
        let signal = || {
            // SAFETY: our child, which has a handler and is not reaped yet.
            assert_eq!(unsafe { libc::kill(child, libc::SIGUSR1) }, 0);
        };
        if interruptible {
            // Again and again, since one may come while it looks, between two naps.
            until("it was interrupted", || {
                signal();
                common::state_of(child) == Some('Z')
            });
        } else {
            signal();
            world.queue.push(1).unwrap();
        }
        assert_eq!(reap(child), 0);
    }
}

/// What an event that resets itself gave to a waiter that died before it took it is kept, and ready.
// semantics 90 and 101
#[test]
fn a_signal_that_the_dead_did_not_take_is_ready() {
    let (name, world) = World::create("wa-bell");
    let mut waiter = Role::start("listener", &[&name.0]);
    let thread = waiter.number("asking ");
    waits(&name, &waiter, thread);
    stop(&name, &waiter);
    world.bell.set().unwrap();
    assert_eq!(state(world.bell.occurred()), NOT);
    let wait = WaitAny::new([world.bell.occurred(), world.queue.readable()]).unwrap();
    assert_eq!(while_asleep(|| wait.wait_timeout(PATIENCE).unwrap(), || waiter.kill()).bits(), 1);
    assert_eq!((world.bell.try_wait(), world.bell.try_wait()), (Ok(true), Ok(false)));
}
