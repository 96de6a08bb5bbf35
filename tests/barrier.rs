//! The barrier between real processes. Numbers in comments are those of docs/semantics.md.

mod common;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use common::chance::Chance;
use common::{Name, PATIENCE, Role, fork, hear, reap, role, say, sleep_for_ever, unsafe_copy, until};
use ringfence::{Array, Arrived, Barrier, BarrierError, Error, Passed, Segment, SegmentOptions, Value};

/// Long enough for somebody else to do something, if it ever does.
const SHORT: Duration = Duration::from_millis(30);

fn tell(result: &Result<Passed, BarrierError>) -> String {
    match result {
        Ok(passed) => format!("number {}", passed.index()),
        Err(error) => format!("{error:?}"),
    }
}

#[test]
fn role_entry() {
    let Some((role, arguments)) = role() else { return };
    let segment = Segment::open(&arguments[0]).unwrap();
    let barrier = Barrier::open(&segment, "b").unwrap();
    match role.as_str() {
        // Does what it is told, and says what came of it.
        "party" => {
            let _registered = (arguments.len() > 1).then(|| barrier.register().unwrap());
            say("ready");
            loop {
                let result = match hear().as_str() {
                    "wait" => barrier.wait(),
                    "wait a little" => barrier.wait_timeout(Duration::from_millis(5)),
                    "try" => barrier.try_wait(),
                    "act for ever" => barrier.wait_with(|| {
                        say("acting");
                        sleep_for_ever();
                    }),
                    other => panic!("{other}?"),
                };
                say(&tell(&result));
            }
        }
        "rounds" => {
            let (done, acted) =
                (Array::<u64>::open(&segment, "done").unwrap(), Value::<u64>::open(&segment, "acted").unwrap());
            many_rounds(&barrier, &done, &acted, arguments[1].parse().unwrap(), arguments[2].parse().unwrap());
        }
        // Round after round; says nothing.
        "worker" => {
            let _registered = barrier.register().unwrap();
            say("ready");
            loop {
                match barrier.wait() {
                    Ok(_) => {}
                    // Somebody resets it.
                    Err(BarrierError::PartyDied) => until("the reset", || !barrier.is_broken()),
                    Err(error) => panic!("{error}"),
                }
            }
        }
        _ => panic!("no role {role}"),
    }
}

struct Scene {
    name: Name,
    segment: Segment,
    barrier: Barrier,
}

impl Scene {
    fn new(what: &str, parties: usize) -> Self {
        let name = Name::new(what);
        let segment = name.create(&SegmentOptions::new());
        let barrier = Barrier::create(&segment, "b", parties).unwrap();
        Self { name, segment, barrier }
    }

    fn party(&self) -> Role {
        let mut role = Role::start("party", &[&self.name.0]);
        role.expect("ready");
        role
    }

    fn registered(&self) -> Role {
        let mut role = Role::start("party", &[&self.name.0, "registered"]);
        role.expect("ready");
        role
    }

    /// Has one more arrive, which waits.
    fn arrives(&self, role: &mut Role) {
        let before = self.barrier.waiting();
        role.tell("wait");
        self.waiting(before + 1);
    }

    fn waiting(&self, count: usize) {
        until("parties", || self.barrier.waiting() == count);
    }

    /// A new party that waits.
    fn waiter(&self) -> Role {
        let mut role = self.party();
        self.arrives(&mut role);
        role
    }

    fn wait(&self) -> Result<usize, BarrierError> {
        self.barrier.wait_timeout(PATIENCE).map(|passed| passed.index())
    }
}

// semantics 17
#[test]
fn each_gets_its_number_in_order_of_arrival() {
    let scene = Scene::new("b-order", 4);
    assert_eq!((scene.barrier.parties(), scene.barrier.waiting()), (4, 0));
    let mut parties = [(); 3].map(|()| scene.party());
    for round in 0..6 {
        parties.rotate_left(1);
        parties.iter_mut().for_each(|party| scene.arrives(party));
        // Others' handles see it, too.
        assert_eq!(Barrier::open(&scene.segment, "b").unwrap().waiting(), 3);
        let passed = scene.barrier.wait().unwrap();
        assert_eq!((passed.index(), passed.is_last()), (3, true), "round {round}");
        assert_eq!(scene.barrier.waiting(), 0);
        for (number, party) in parties.iter_mut().enumerate() {
            party.expect(&format!("number {number}"));
        }
    }
}

#[test]
fn threads_of_a_process_are_parties_of_their_own() {
    let scene = Scene::new("b-threads", 5);
    let other = std::cell::RefCell::new(scene.party());
    for _ in 0..10 {
        other.borrow_mut().tell("wait");
        let mut numbers = std::thread::scope(|scope| {
            let threads = [(); 4].map(|()| scope.spawn(|| scene.wait().unwrap()));
            threads.map(|thread| thread.join().unwrap()).to_vec()
        });
        numbers.push(other.borrow_mut().number("number ") as usize);
        numbers.sort_unstable();
        assert_eq!(numbers, [0, 1, 2, 3, 4]);
    }
    let alone = Barrier::create(&scene.segment, "alone", 1).unwrap();
    assert!((0..3).all(|_| alone.try_wait().unwrap().is_last()));
}

/// Says in which round it is, waits, and sees where the others are.
fn many_rounds(barrier: &Barrier, done: &Array<u64>, acted: &Value<u64>, me: usize, rounds: u64) {
    for round in 1..=rounds {
        done.set(me, round).unwrap();
        let act = || {
            assert!(
                (0..done.len()).all(|place| done.get(place).unwrap() == round),
                "somebody has gone on, or not come"
            );
            assert_eq!(acted.fetch_add(1), round - 1);
        };
        barrier.wait_with(act).unwrap();
        assert!(acted.get() == round || acted.get() == round + 1, "the action ran late, or twice");
        for place in 0..done.len() {
            let there = done.get(place).unwrap();
            assert!(there == round || there == round + 1, "round {round}, and another is in {there}");
        }
    }
}

// semantics 18 and 21
#[test]
fn nobody_overtakes_in_ten_thousand_rounds() {
    const ROUNDS: u64 = 10_000;
    let scene = Scene::new("b-rounds", 4);
    let done = Array::<u64>::create(&scene.segment, "done", 4).unwrap();
    let acted = Value::<u64>::create(&scene.segment, "acted", 0).unwrap();
    let start = |me: usize| Role::start("rounds", &[&scene.name.0, &me.to_string(), &ROUNDS.to_string()]);
    let others = [1, 2, 3].map(start);
    many_rounds(&scene.barrier, &done, &acted, 0, ROUNDS);
    others.into_iter().for_each(Role::finish);
    assert_eq!((acted.get(), scene.barrier.waiting()), (ROUNDS, 0));
}

// semantics 21
#[test]
fn no_round_ends_before_the_last_one_has_drained() {
    let scene = Scene::new("b-drain", 2);
    let (mut slow, mut next) = (scene.waiter(), scene.party());
    slow.stop();
    // It is let through, and cannot leave.
    assert_eq!(scene.wait(), Ok(1));
    scene.arrives(&mut next);
    std::thread::scope(|scope| {
        let last = scope.spawn(|| scene.wait());
        std::thread::sleep(SHORT);
        assert!(!last.is_finished(), "it went through before one had left");
        slow.go_on();
        assert_eq!(last.join().unwrap(), Ok(1));
    });
    slow.expect("number 0");
    next.expect("number 0");
}

// semantics 18
#[test]
fn an_action_that_fails_breaks_the_barrier_for_all() {
    let scene = Scene::new("b-fails", 3);
    let mut waiters = [scene.waiter(), scene.waiter()];
    let outcome = catch_unwind(AssertUnwindSafe(|| scene.barrier.wait_with(|| panic!("the action fails"))));
    assert!(outcome.is_err());
    waiters.iter_mut().for_each(|waiter| waiter.expect("Broken"));
    assert!(scene.barrier.is_broken());
    assert_eq!(scene.wait(), Err(BarrierError::Broken));
    // The same in two steps, for an action that says that it failed.
    scene.barrier.reset().unwrap();
    waiters.iter_mut().for_each(|waiter| scene.arrives(waiter));
    let Ok(Arrived::Last(leader)) = scene.barrier.arrive() else { panic!("it is the last") };
    assert_eq!((leader.index(), scene.barrier.waiting()), (2, 0));
    drop(leader);
    waiters.iter_mut().for_each(|waiter| waiter.expect("Broken"));
    // And one that goes well.
    scene.barrier.reset().unwrap();
    waiters.iter_mut().for_each(|waiter| scene.arrives(waiter));
    let Ok(Arrived::Last(leader)) = scene.barrier.arrive_timeout(PATIENCE) else { panic!("it is the last") };
    assert_eq!(leader.release().map(|passed| passed.is_last()), Ok(true));
    waiters[0].expect("number 0");
    waiters[1].expect("number 1");
}

#[test]
fn a_barrier_can_be_broken_while_the_last_one_acts() {
    let scene = Scene::new("b-acting", 2);
    let mut waiter = scene.party();
    for end in [Barrier::abort, Barrier::reset] {
        scene.arrives(&mut waiter);
        let Ok(Arrived::Last(leader)) = scene.barrier.arrive() else { panic!("it is the last") };
        std::thread::scope(|scope| scope.spawn(|| end(&scene.barrier).unwrap()).join().unwrap());
        waiter.expect("Broken");
        assert_eq!(leader.release(), Err(BarrierError::Broken));
        scene.barrier.reset().unwrap();
    }
    // Whoever comes meanwhile and gives up breaks the next round, not this one.
    scene.arrives(&mut waiter);
    let Ok(Arrived::Last(leader)) = scene.barrier.arrive() else { panic!("it is the last") };
    let mut impatient = scene.party();
    impatient.tell("wait a little");
    impatient.expect("TimedOut");
    assert!(leader.release().is_ok());
    waiter.expect("number 0");
    assert_eq!(scene.wait(), Err(BarrierError::Broken));
    scene.barrier.reset().unwrap();
    scene.arrives(&mut waiter);
    assert_eq!(scene.wait(), Ok(1));
}

// semantics 19
#[test]
fn one_time_out_breaks_it_for_all_until_it_is_reset() {
    let scene = Scene::new("b-late", 4);
    let mut waiters = [scene.waiter(), scene.waiter()];
    let mut impatient = scene.party();
    impatient.tell("wait a little");
    impatient.expect("TimedOut");
    waiters.iter_mut().for_each(|waiter| waiter.expect("Broken"));
    assert!(scene.barrier.is_broken());
    assert_eq!(scene.barrier.try_wait().map(drop), Err(BarrierError::Broken));
    impatient.tell("wait");
    impatient.expect("Broken");
    scene.barrier.reset().unwrap();
    assert!(!scene.barrier.is_broken());
    // Not waiting at all breaks it at once, unless one is the last.
    waiters.iter_mut().for_each(|waiter| scene.arrives(waiter));
    assert_eq!(scene.barrier.try_wait().map(drop), Err(BarrierError::TimedOut));
    waiters.iter_mut().for_each(|waiter| waiter.expect("Broken"));
    scene.barrier.reset().unwrap();
    waiters.iter_mut().for_each(|waiter| scene.arrives(waiter));
    scene.arrives(&mut impatient);
    assert_eq!(scene.barrier.try_wait().map(|passed| passed.index()), Ok(3));
    impatient.expect("number 2");
}

// semantics 4 and 5
#[test]
fn waits_end_at_their_deadlines() {
    let scene = Scene::new("b-deadline", 2);
    for wait in [Duration::ZERO, Duration::from_millis(20)] {
        let deadline = Instant::now() + wait;
        assert_eq!(scene.barrier.wait_deadline(deadline).map(drop), Err(BarrierError::TimedOut));
        assert!(Instant::now() >= deadline, "too early");
        scene.barrier.reset().unwrap();
        assert!(matches!(scene.barrier.arrive_deadline(deadline), Err(BarrierError::TimedOut)));
        scene.barrier.reset().unwrap();
        let started = Instant::now();
        assert_eq!(scene.barrier.wait_with_timeout(wait, || ()), Err(BarrierError::TimedOut));
        assert!(started.elapsed() >= wait, "too early");
        scene.barrier.reset().unwrap();
    }
}

// semantics 20
#[test]
fn a_reset_sends_away_who_waits_and_newcomers_wait_for_that() {
    let scene = Scene::new("b-reset", 3);
    let (mut slow, mut quick, mut new) = (scene.waiter(), scene.waiter(), scene.party());
    slow.stop();
    scene.barrier.reset().unwrap();
    quick.expect("Broken");
    assert!(!scene.barrier.is_broken());
    for newcomer in [&mut new, &mut quick] {
        newcomer.tell("wait");
    }
    std::thread::sleep(SHORT);
    assert_eq!(scene.barrier.waiting(), 0, "one is still on its way out");
    slow.go_on();
    slow.expect("Broken");
    scene.waiting(2);
    assert_eq!(scene.wait(), Ok(2));
    // A whole empty one stays as it is, a broken empty one is mended.
    scene.barrier.reset().unwrap();
    scene.barrier.abort().unwrap();
    scene.barrier.abort().unwrap();
    assert!(scene.barrier.is_broken());
    assert_eq!(scene.wait(), Err(BarrierError::Broken));
    slow.tell("wait");
    slow.expect("Broken");
    scene.barrier.reset().unwrap();
    quick.number("number ");
    new.number("number ");
    [&mut slow, &mut quick].into_iter().for_each(|party| scene.arrives(party));
    assert_eq!(scene.wait(), Ok(2));
}

#[test]
fn who_is_through_goes_on_whatever_happens_then() {
    let scene = Scene::new("b-through", 2);
    let mut slow = scene.party();
    for reset in [false, true] {
        scene.arrives(&mut slow);
        slow.stop();
        assert_eq!(scene.wait(), Ok(1));
        scene.barrier.abort().unwrap();
        assert_eq!(scene.wait(), Err(BarrierError::Broken));
        if reset {
            scene.barrier.reset().unwrap();
        }
        slow.go_on();
        slow.expect("number 0");
        scene.barrier.reset().unwrap();
    }
    scene.arrives(&mut slow);
    assert_eq!(scene.wait(), Ok(1));
}

// semantics 111
#[test]
fn the_death_of_a_party_that_has_arrived_breaks_the_round() {
    let scene = Scene::new("b-dead", 4);
    let mut survivors = [scene.waiter(), scene.party()];
    let victim = scene.waiter();
    scene.arrives(&mut survivors[1]);
    victim.kill();
    // They find out by themselves.
    survivors.iter_mut().for_each(|survivor| survivor.expect("PartyDied"));
    assert!(scene.barrier.is_broken());
    assert_eq!(scene.wait(), Err(BarrierError::PartyDied));
    scene.barrier.reset().unwrap();
    survivors.iter_mut().for_each(|survivor| scene.arrives(survivor));
    let _third = scene.waiter();
    assert_eq!(scene.wait(), Ok(3));
}

// semantics 111
#[test]
fn the_death_of_the_last_one_while_it_acts_breaks_the_round() {
    let scene = Scene::new("b-leader", 2);
    let (mut waiter, mut leader) = (scene.waiter(), scene.party());
    leader.tell("act for ever");
    leader.expect("acting");
    leader.kill();
    waiter.expect("PartyDied");
    assert_eq!(scene.wait(), Err(BarrierError::PartyDied));
}

// semantics 111
#[test]
fn who_has_not_arrived_and_dies_is_replaced() {
    let scene = Scene::new("b-absent", 2);
    let (mut waiter, absent) = (scene.waiter(), scene.party());
    absent.kill();
    scene.segment.recover().unwrap();
    assert_eq!((scene.barrier.is_broken(), scene.wait()), (false, Ok(1)));
    waiter.expect("number 0");
    // So is one that was through and had not left.
    scene.arrives(&mut waiter);
    waiter.stop();
    assert_eq!(scene.wait(), Ok(1));
    waiter.kill();
    let mut next = scene.waiter();
    assert_eq!(scene.wait(), Ok(1));
    next.expect("number 0");
}

// semantics 112
#[test]
fn the_death_of_a_registered_party_breaks_the_barrier_at_any_time() {
    let scene = Scene::new("b-registered", 3);
    let mut waiter = scene.party();
    // Before it has arrived, with somebody there.
    scene.arrives(&mut waiter);
    let victim = scene.registered();
    victim.kill();
    waiter.expect("PartyDied");
    scene.barrier.reset().unwrap();
    // With nobody there: whoever comes finds out.
    scene.registered().kill();
    assert_eq!(scene.wait(), Err(BarrierError::PartyDied));
    scene.barrier.reset().unwrap();
    // Taken back, it is like any other; and so is one of a forked child.
    let registration = scene.barrier.register().unwrap();
    let child = fork(|| drop(unsafe_copy(&registration)));
    assert_eq!(reap(child), 0);
    drop(registration);
    let child = fork(|| drop(scene.barrier.register().unwrap()));
    assert_eq!(reap(child), 0);
    scene.segment.recover().unwrap();
    assert!(!scene.barrier.is_broken());
    // It was let through, and then it dies: this round is over, the next one is broken.
    let (mut late, other) = (scene.registered(), scene.waiter());
    scene.arrives(&mut late);
    late.stop();
    assert_eq!(scene.wait(), Ok(2));
    late.kill();
    scene.segment.recover().unwrap();
    assert!(scene.barrier.is_broken());
    assert_eq!(scene.wait(), Err(BarrierError::PartyDied));
    drop(other);
    // It leaves in peace, but registered, as if it had died.
    scene.barrier.reset().unwrap();
    let child = fork(|| std::mem::forget(scene.barrier.register().unwrap()));
    assert_eq!(reap(child), 0);
    assert_eq!(scene.wait(), Err(BarrierError::PartyDied));
}

// semantics 81
#[test]
fn a_forked_child_is_not_the_last_one() {
    let scene = Scene::new("b-fork", 2);
    let mut waiter = scene.waiter();
    let Ok(Arrived::Last(leader)) = scene.barrier.arrive() else { panic!("it is the last") };
    let child = fork(|| {
        drop(unsafe_copy(&leader));
        assert_eq!(unsafe_copy(&leader).release(), Err(BarrierError::NotOwner));
    });
    assert_eq!(reap(child), 0);
    assert!(leader.release().is_ok());
    waiter.expect("number 0");
}

// semantics 6 and 113
#[test]
fn an_interrupted_party_has_arrived_and_goes_on() {
    extern "C" fn nothing(_: i32) {}
    // SAFETY: the handler does nothing; without SA_RESTART it interrupts.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = nothing as extern "C" fn(i32) as libc::sighandler_t;
        assert_eq!(libc::sigaction(libc::SIGUSR1, &action, std::ptr::null_mut()), 0);
    }
    let scene = Scene::new("b-signal", 3);
    for end in ["again", "abort", "drop"] {
        let mut other = scene.waiter();
        let handle = Barrier::open(&scene.segment, "b").unwrap();
        handle.set_interruptible(true);
        let (say, heard) = std::sync::mpsc::channel();
        let thread = std::thread::spawn(move || {
            assert_eq!(handle.wait(), Err(BarrierError::Interrupted));
            say.send(()).unwrap();
            match end {
                "again" => {
                    handle.set_interruptible(false);
                    assert_eq!(handle.wait().map(|passed| passed.index()), Ok(1));
                }
                "abort" => handle.abort().unwrap(),
                _ => drop(handle),
            }
        });
        scene.waiting(2);
        // Again and again, since the first may come before the wait.
        until("it was interrupted", || {
            // SAFETY: the thread is not joined yet.
            unsafe { libc::pthread_kill(std::os::unix::thread::JoinHandleExt::as_pthread_t(&thread), libc::SIGUSR1) };
            heard.try_recv().is_ok()
        });
        if end == "again" {
            assert_eq!((scene.barrier.waiting(), scene.wait()), (2, Ok(2)));
            other.expect("number 0");
        } else {
            other.expect("Broken");
        }
        thread.join().unwrap();
        scene.barrier.reset().unwrap();
    }
    // All have left.
    let _others = [scene.waiter(), scene.waiter()];
    assert_eq!(scene.wait(), Ok(2));
}

// semantics 111 and 112
#[test]
fn random_kills_are_told_and_stop_nobody() {
    let mut chance = Chance::new(25);
    let scene = Scene::new("b-kills", 4);
    let start = || {
        let mut role = Role::start("worker", &[&scene.name.0]);
        role.expect("ready");
        role
    };
    let mut roles = [(); 3].map(|()| start());
    for _ in 0..chance.rounds {
        for _ in 0..chance.below(20) {
            scene.wait().unwrap();
            chance.checked += 1;
        }
        chance.pause(Duration::from_micros(200));
        let victim = chance.index(roles.len());
        // In the middle of a round, or when it has come and waits for us.
        let mut next = || {
            std::thread::scope(|scope| {
                let waits = scope.spawn(|| scene.wait());
                chance.pause(Duration::from_micros(100));
                roles[victim].signal(libc::SIGKILL);
                waits.join().unwrap()
            })
        };
        // It may have come before it died, even twice.
        let mut result = next();
        roles[victim].child.wait().unwrap();
        for _ in 0..2 {
            result = result.and_then(|_| scene.wait());
        }
        assert_eq!(result, Err(BarrierError::PartyDied));
        chance.kills += 1;
        drop(std::mem::replace(&mut roles[victim], start()));
        scene.barrier.reset().unwrap();
    }
    roles.into_iter().for_each(Role::kill);
    scene.segment.recover().unwrap();
    assert_eq!((scene.segment.participants().len(), scene.barrier.is_broken()), (1, true));
}

// semantics 78
#[test]
fn a_barrier_has_the_number_of_parties_it_was_made_for() {
    let scene = Scene::new("b-shape", 2);
    let open = |parties| Barrier::open_or_create(&scene.segment, "b", parties).map(|barrier| barrier.parties());
    assert_eq!(open(2), Ok(2));
    assert!(matches!(open(3), Err(Error::WrongShape { .. })));
    assert_eq!(Barrier::open(&scene.segment, "b").unwrap().parties(), 2);
    for parties in [0, 65_536, usize::MAX] {
        assert!(matches!(Barrier::create(&scene.segment, "c", parties), Err(Error::InvalidArgument(_))));
    }
    assert!(matches!(Barrier::create(&scene.segment, "b", 2), Err(Error::Exists)));
    assert!(matches!(Barrier::open(&scene.segment, "c"), Err(Error::Missing)));
}
