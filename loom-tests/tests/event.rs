//! Models of the shipped events: whoever is there when one is set goes through, no lost wake-up, death at every step.
//!
//! Sleeps are not capped in a model, so whatever only a cap would mend shows as a deadlock.
#![cfg(ringfence_loom)]

mod mortals;

use std::sync::atomic::{AtomicUsize as Count, Ordering::SeqCst};

use loom::sync::Arc;
use loom::thread;
use mortals::{FOREVER, Mortals, NOW, a_while, at_every_step, explore, must_fail, owner};
use ringfence::layout::event::{EventHeader, Record};
use ringfence::layout::semaphore::SemaphoreHeader;
use ringfence::primitive::{AtomicU32, Ordering};
use ringfence::raw::auto_event::Auto;
use ringfence::raw::event::{Event, Manual};
use ringfence::raw::semaphore::Semaphore;
use ringfence::raw::wait_any::{Awaited, wait_any};
use ringfence::raw::{ParticipantId, mutex};
use ringfence::sys::nap::{Nap, Wait};

const SET: u32 = 1;
const SLEEPERS: u32 = 2;

struct World {
    header: EventHeader,
    records: Vec<Record>,
    peers: Mortals,
    data: [AtomicU32; 2],
}

impl World {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            header: EventHeader::new(true),
            records: (0..4).map(|_| Record::new(0)).collect(),
            peers: Mortals::new(),
            data: [AtomicU32::new(0), AtomicU32::new(0)],
        })
    }

    fn manual(&self) -> Manual<'_> {
        Manual::new(&self.header.word)
    }

    fn auto(&self) -> Auto<'_> {
        Auto::new(&self.header, &self.records)
    }

    fn wait(&self, me: ParticipantId, wait: Wait) -> bool {
        self.auto().wait(owner(me), &self.peers, wait).unwrap()
    }

    fn set(&self, me: ParticipantId) {
        self.auto().set(owner(me), &self.peers).unwrap();
    }

    fn clear(&self, me: ParticipantId) {
        self.auto().clear(owner(me), &self.peers).unwrap();
    }

    fn is_set(&self, me: ParticipantId) -> bool {
        self.auto().is_set(owner(me), &self.peers).unwrap()
    }

    /// How many wait.
    fn waiting(&self) -> u64 {
        self.records.iter().map(|record| record.observe(Ordering::SeqCst)).sum()
    }

    fn until_asleep(&self) {
        while self.header.word.observe(Ordering::SeqCst) & SLEEPERS == 0 {
            thread::yield_now();
        }
    }

    fn until_waiting(&self, count: u64) {
        while self.waiting() < count {
            thread::yield_now();
        }
    }

    /// Waits for an event as one of several things, and takes nothing. (There is but one of them.)
    fn look(&self, event: Event<'_>, wait: Wait) -> bool {
        wait_any(&[Awaited::Occurred { event, since: event.moment(), peers: &self.peers }], wait).is_ok()
    }

    fn look_at_auto(&self) {
        assert!(self.look(Event::Auto(self.auto()), FOREVER));
    }

    /// Sets the event that resets itself, if there is no signal that somebody could have.
    fn set_unless_there(&self, me: ParticipantId) {
        let lock = &self.header.lock;
        if mutex::lock(lock, owner(me), &self.peers, FOREVER).unwrap() == mutex::Acquired::OwnerDied {
            mutex::make_consistent(lock, owner(me)).unwrap();
        }
        let there = self.header.granted.observe(Ordering::Relaxed) > 0 || self.manual().is_set();
        mutex::unlock(lock, owner(me)).unwrap();
        if !there {
            self.set(me);
        }
    }

    /// Runs `f` as a process that dies at `step`, and does what is due then.
    fn mourn(&self, victim: ParticipantId, step: usize, deaths: &Count, f: impl FnOnce()) {
        if self.peers.live(victim, step, f).is_none() {
            deaths.fetch_add(1, SeqCst);
            self.manual().recover();
            self.auto().recover(victim, &self.peers);
        }
    }

    fn wait_by_hand(&self) {
        assert_eq!(self.manual().wait(FOREVER), Ok(true));
    }
}

/// Sets and clears at once when somebody sleeps, who must go through all the same.
/// semantics 16
fn set_and_clear(wait: impl Fn(&World) + Send + Sync + Copy + 'static) {
    explore(3, move || {
        let world = World::new();
        let other = world.clone();
        let thread = thread::spawn(move || wait(&other));
        world.until_asleep();
        world.manual().set();
        world.manual().clear();
        thread.join().unwrap();
        assert!(!world.manual().is_set());
    });
}

#[test]
fn who_is_there_goes_through() {
    set_and_clear(|world| world.wait_by_hand());
}

#[test]
fn all_go_through() {
    explore(3, || {
        let world = World::new();
        let threads = [(); 2].map(|()| {
            let world = world.clone();
            thread::spawn(move || world.wait_by_hand())
        });
        world.manual().set();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
    });
}

/// What the models must catch: a waiter that looks at the flag only.
#[test]
#[ignore = "fails on purpose"]
fn looks_at_the_flag_only() {
    set_and_clear(|world| {
        let (word, mut nap) = (&world.header.word, Nap::new());
        loop {
            let seen = word.load(Ordering::Acquire);
            if seen & SET != 0 {
                return;
            }
            let waiting = seen | SLEEPERS;
            if word.compare_exchange(seen, waiting, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
                nap.sleep(word, waiting, FOREVER);
            }
        }
    });
}

#[test]
fn a_look_at_the_flag_only_is_caught() {
    must_fail("looks_at_the_flag_only", "deadlock");
}

/// Two set, perhaps as one; who waits, clears and looks has seen what both did in the end.
fn two_have_news(set: impl Fn(&World) + Send + Sync + Copy + 'static) {
    explore(2, move || {
        let world = World::new();
        let threads = [0, 1].map(|me| {
            let world = world.clone();
            thread::spawn(move || {
                world.data[me].store(1, Ordering::Relaxed);
                set(&world);
            })
        });
        let mut news = 0;
        while news != 3 {
            world.wait_by_hand();
            world.manual().clear();
            for (me, data) in world.data.iter().enumerate() {
                news |= data.load(Ordering::Relaxed) << me;
            }
        }
        threads.into_iter().for_each(|thread| thread.join().unwrap());
    });
}

#[test]
fn a_set_that_changes_nothing_says_what_came_before() {
    two_have_news(|world| world.manual().set());
}

/// What the models must catch: a set that finds the flag set and only looks.
#[test]
#[ignore = "fails on purpose"]
fn only_looks() {
    two_have_news(|world| {
        if world.header.word.load(Ordering::Relaxed) & SET == 0 {
            world.manual().set();
        }
    });
}

#[test]
fn a_mere_look_is_caught() {
    must_fail("only_looks", "deadlock");
}

#[test]
fn a_setter_dies_at_every_step() {
    at_every_step(2, |step, deaths| {
        let world = World::new();
        let other = world.clone();
        let thread = thread::spawn(move || other.wait_by_hand());
        world.until_asleep();
        world.mourn(2, step, deaths, || {
            world.manual().set();
            world.manual().clear();
        });
        // If it had set it, that was enough.
        if world.header.word.observe(Ordering::SeqCst) <= SLEEPERS {
            world.manual().set();
        }
        thread.join().unwrap();
    });
}

#[test]
fn a_waiter_dies_at_every_step() {
    at_every_step(2, |step, deaths| {
        let world = World::new();
        let (other, setter) = (world.clone(), world.clone());
        let other = thread::spawn(move || other.wait_by_hand());
        let setter = thread::spawn(move || setter.manual().set());
        world.mourn(2, step, deaths, || world.wait_by_hand());
        setter.join().unwrap();
        other.join().unwrap();
    });
}

#[test]
fn a_time_out_takes_nothing_from_others() {
    explore(2, || {
        let world = World::new();
        let (late, patient) = (world.clone(), world.clone());
        let late = thread::spawn(move || late.manual().wait(a_while()).unwrap());
        let patient = thread::spawn(move || patient.wait_by_hand());
        world.manual().set();
        late.join().unwrap();
        patient.join().unwrap();
    });
}

#[test]
fn one_goes_through_and_it_is_clear_again() {
    explore(3, || {
        let world = World::new();
        let other = world.clone();
        let thread = thread::spawn(move || assert!(other.wait(1, FOREVER)));
        world.set(2);
        thread.join().unwrap();
        assert!(!world.is_set(2));
    });
}

/// Two wait, and each of two sets is one's.
fn two_wait(
    wait: impl Fn(&World, ParticipantId) + Send + Sync + Copy + 'static,
    set: impl Fn(&World) + Send + Sync + Copy + 'static,
) {
    explore(2, move || {
        let world = World::new();
        let threads = [1, 2].map(|me| {
            let world = world.clone();
            thread::spawn(move || wait(&world, me))
        });
        world.until_waiting(2);
        set(&world);
        set(&world);
        threads.into_iter().for_each(|thread| thread.join().unwrap());
    });
}

#[test]
fn two_sets_let_two_through() {
    two_wait(|world, me| assert!(world.wait(me, FOREVER)), |world| world.set(3));
}

/// What the models must catch: one flag, a semaphore with a maximum of 1. The second set is lost while the first is on
/// its way.
#[test]
#[ignore = "fails on purpose"]
fn one_flag() {
    explore(2, || {
        let header = Arc::new(SemaphoreHeader::new(0, 1, false));
        let world = World::new();
        let threads = [0, 1].map(|me| {
            let (world, header) = (world.clone(), header.clone());
            thread::spawn(move || {
                world.records[me].store(1, Ordering::SeqCst);
                Semaphore::new(&header, &[]).acquire_signal(1, FOREVER).unwrap();
            })
        });
        world.until_waiting(2);
        for _ in 0..2 {
            // Too many, and so nothing: it is set already.
            let _ = Semaphore::new(&header, &[]).release_signal(1);
        }
        threads.into_iter().for_each(|thread| thread.join().unwrap());
    });
}

#[test]
fn one_flag_is_caught() {
    must_fail("one_flag", "deadlock");
}

/// semantics 16
#[test]
fn a_clear_takes_nothing_from_who_is_there() {
    explore(3, || {
        let world = World::new();
        let other = world.clone();
        let thread = thread::spawn(move || assert!(other.wait(1, FOREVER)));
        world.until_waiting(1);
        world.set(2);
        world.clear(2);
        thread.join().unwrap();
        assert!(!world.is_set(2));
    });
}

#[test]
fn a_signal_is_kept_once() {
    explore(3, || {
        let world = World::new();
        let other = world.clone();
        let thread = thread::spawn(move || other.set(1));
        world.set(2);
        thread.join().unwrap();
        assert!(world.is_set(2) && world.wait(2, NOW));
        assert!(!world.wait(2, NOW));
    });
}

/// A waiter whose time is up takes no signal with it but its own.
#[test]
fn a_time_out_takes_no_signal_along() {
    explore(2, || {
        let world = World::new();
        let (late, patient) = (world.clone(), world.clone());
        let late = thread::spawn(move || late.wait(1, a_while()));
        let patient = thread::spawn(move || assert!(patient.wait(2, FOREVER)));
        world.set(3);
        if late.join().unwrap() {
            world.set(3);
        }
        patient.join().unwrap();
        assert!(!world.is_set(3));
    });
}

/// A waiter dies: it has taken the signal, which is used then, or the other gets it.
fn of_two_waiters_one_dies(mourns: bool) {
    at_every_step(1, move |step, deaths| {
        let world = World::new();
        let (other, setter) = (world.clone(), world.clone());
        let other = thread::spawn(move || {
            assert!(other.wait(1, FOREVER));
            // For the victim, if it lives.
            other.set(1);
        });
        let setter = thread::spawn(move || setter.set(3));
        if mourns {
            world.mourn(2, step, deaths, || assert!(world.wait(2, FOREVER)));
        } else if world.peers.live(2, step, || assert!(world.wait(2, FOREVER))).is_none() {
            deaths.fetch_add(1, SeqCst);
        }
        setter.join().unwrap();
        world.set_unless_there(3);
        other.join().unwrap();
        // That of the dead, or none.
        assert!(!(world.wait(3, NOW) && world.wait(3, NOW)));
    });
}

#[test]
fn a_waiter_that_dies_passes_the_signal_on() {
    of_two_waiters_one_dies(true);
}

/// What the models must catch: nobody wakes those who sleep beside what the dead was woken for.
#[test]
#[ignore = "fails on purpose"]
fn nobody_recovers() {
    of_two_waiters_one_dies(false);
}

#[test]
fn a_lost_signal_is_caught() {
    must_fail("nobody_recovers", "deadlock");
}

/// The place of a waiter that died is used again: what it was given, and did not take, is its successor's or anybody's.
#[test]
fn the_place_of_a_dead_waiter_is_used_again() {
    at_every_step(2, |step, deaths| {
        let world = World::new();
        let other = world.clone();
        let setter = thread::spawn(move || other.set(1));
        world.mourn(2, step, deaths, || assert!(world.wait(2, FOREVER)));
        let me = world.peers.successor(2);
        setter.join().unwrap();
        world.set_unless_there(3);
        assert_eq!(world.auto().wait(me, &world.peers, NOW), Ok(true));
        assert_eq!(world.auto().wait(me, &world.peers, NOW), Ok(false));
        // Nobody counts as waiting.
        world.set(3);
        assert!(world.is_set(3));
    });
}

#[test]
fn a_setter_of_one_dies_at_every_step() {
    at_every_step(2, |step, deaths| {
        let world = World::new();
        let other = world.clone();
        let thread = thread::spawn(move || assert!(other.wait(1, FOREVER)));
        world.mourn(2, step, deaths, || world.set(2));
        // If it had set it, that was enough.
        world.set_unless_there(3);
        thread.join().unwrap();
    });
}

/// What a lone waiter leaves is kept for the next to come, as one signal with what is set meanwhile.
#[test]
fn what_the_dead_left_is_kept_once() {
    at_every_step(2, |step, deaths| {
        let world = World::new();
        let other = world.clone();
        let thread = thread::spawn(move || other.set(1));
        world.mourn(2, step, deaths, || assert!(world.wait(2, FOREVER)));
        thread.join().unwrap();
        world.set(3);
        assert!(world.is_set(3) && world.wait(3, NOW));
        assert!(!world.wait(3, NOW));
    });
}

/// Who waits for it among other things goes on as well, though it is cleared at once.
/// semantics 16
#[test]
fn who_only_looks_goes_on() {
    set_and_clear(|world| assert!(world.look(Event::Manual(world.manual()), FOREVER)));
}

/// A signal is for who waits. What is kept wakes who only looks, who leaves it there.
#[test]
fn who_only_looks_takes_no_signal() {
    explore(2, || {
        let world = World::new();
        let (waiter, looker) = (world.clone(), world.clone());
        let waiter = thread::spawn(move || assert!(waiter.wait(1, FOREVER)));
        let looker = thread::spawn(move || looker.look_at_auto());
        world.until_waiting(1);
        world.set(3);
        world.set(3);
        looker.join().unwrap();
        waiter.join().unwrap();
        assert!(world.look(Event::Auto(world.auto()), NOW));
        assert!(world.wait(3, NOW) && !world.look(Event::Auto(world.auto()), NOW));
    });
}

/// A setter dies beside one who looks.
#[test]
fn a_setter_dies_beside_a_looker() {
    at_every_step(2, |step, deaths| {
        let world = World::new();
        let looker = world.clone();
        let looker = thread::spawn(move || looker.look_at_auto());
        world.mourn(2, step, deaths, || world.set(2));
        world.set_unless_there(3);
        looker.join().unwrap();
        assert!(world.wait(3, NOW));
    });
}

/// A waiter dies beside one who looks: what it was given and did not take is kept, and found.
#[test]
fn a_waiter_dies_beside_a_looker() {
    at_every_step(1, |step, deaths| {
        let world = World::new();
        let (looker, setter) = (world.clone(), world.clone());
        let looker = thread::spawn(move || looker.look_at_auto());
        let setter = thread::spawn(move || setter.set(3));
        world.mourn(2, step, deaths, || assert!(world.wait(2, FOREVER)));
        setter.join().unwrap();
        world.set_unless_there(3);
        looker.join().unwrap();
        assert!(world.wait(3, NOW));
    });
}
