//! Condition variables: to and fro between two processes, and one who wakes many.

use std::cell::UnsafeCell;
use std::mem::MaybeUninit;
use std::time::Duration;

use ringfence::{Condvar, Mutex};

use crate::crew::{As, Shared, run};
use crate::ours::Scene;
use crate::table::{Book, Contestant, Demand, contestant};

/// What the mutex protects: two numbers.
type State = [u64; 2];

/// Who is to be notified after a step.
enum Notify {
    Nobody,
    One(usize),
    All(usize),
}

/// A state under a mutex with two condition variables.
trait Monitor: Sync + Sized {
    fn new() -> Self;
    type Me;
    fn me(&self) -> Self::Me;
    /// Locks, waits at `condvar` until `ready`, acts, notifies and unlocks.
    fn step(
        &self,
        me: &Self::Me,
        condvar: usize,
        ready: impl Fn(&State) -> bool,
        act: impl FnOnce(&mut State) -> Notify,
    );
}

struct Ours {
    scene: Scene,
}

const NAMES: [&str; 2] = ["first", "second"];

impl Monitor for Ours {
    fn new() -> Self {
        let scene = Scene::new(64 << 10);
        let _ = Mutex::create(&scene.segment, "mutex", [0_u64; 2]).expect("a new mutex");
        for name in NAMES {
            let _ = Condvar::create(&scene.segment, name, Condvar::WAITERS).expect("a new condition variable");
        }
        Self { scene }
    }
    type Me = (Mutex<State>, [Condvar; 2]);
    fn me(&self) -> Self::Me {
        let segment = self.scene.open();
        let condvars = NAMES.map(|name| Condvar::open(&segment, name).expect("the one just made"));
        (Mutex::open(&segment, "mutex").expect("the mutex just made"), condvars)
    }
    #[inline(always)]
    fn step(
        &self,
        (mutex, condvars): &Self::Me,
        condvar: usize,
        ready: impl Fn(&State) -> bool,
        act: impl FnOnce(&mut State) -> Notify,
    ) {
        let mut guard = mutex.lock().expect("nobody dies");
        while !ready(&guard) {
            guard = condvars[condvar].wait(guard).expect("nobody dies");
        }
        match act(&mut guard) {
            Notify::Nobody => {}
            Notify::One(condvar) => drop(condvars[condvar].notify_one(&guard).expect("the guard holds it")),
            Notify::All(condvar) => drop(condvars[condvar].notify_all(&guard).expect("the guard holds it")),
        }
    }
}

#[repr(C, align(128))]
struct Pthread {
    mutex: UnsafeCell<MaybeUninit<libc::pthread_mutex_t>>,
    condvars: [UnsafeCell<MaybeUninit<libc::pthread_cond_t>>; 2],
    state: UnsafeCell<State>,
}

// SAFETY: process-shared objects are made to be shared, and the state is touched only under the mutex.
unsafe impl Sync for Pthread {}

impl Monitor for Pthread {
    fn new() -> Self {
        let this = Self {
            mutex: UnsafeCell::new(MaybeUninit::zeroed()),
            condvars: [const { UnsafeCell::new(MaybeUninit::zeroed()) }; 2],
            state: UnsafeCell::new([0; 2]),
        };
        // SAFETY: initialises objects that nobody uses. On Linux fresh ones may still be moved.
        unsafe {
            let mut attributes = MaybeUninit::uninit();
            libc::pthread_mutexattr_init(attributes.as_mut_ptr());
            libc::pthread_mutexattr_setpshared(attributes.as_mut_ptr(), libc::PTHREAD_PROCESS_SHARED);
            libc::pthread_mutex_init(this.mutex.get().cast(), attributes.as_ptr());
            let mut attributes = MaybeUninit::uninit();
            libc::pthread_condattr_init(attributes.as_mut_ptr());
            libc::pthread_condattr_setpshared(attributes.as_mut_ptr(), libc::PTHREAD_PROCESS_SHARED);
            for condvar in &this.condvars {
                libc::pthread_cond_init(condvar.get().cast(), attributes.as_ptr());
            }
        }
        this
    }
    type Me = ();
    fn me(&self) {}
    #[inline(always)]
    fn step(&self, (): &(), condvar: usize, ready: impl Fn(&State) -> bool, act: impl FnOnce(&mut State) -> Notify) {
        // SAFETY: initialised; the state is touched while the mutex is held.
        unsafe {
            assert_eq!(libc::pthread_mutex_lock(self.mutex.get().cast()), 0);
            while !ready(&*self.state.get()) {
                libc::pthread_cond_wait(self.condvars[condvar].get().cast(), self.mutex.get().cast());
            }
            match act(&mut *self.state.get()) {
                Notify::Nobody => 0,
                Notify::One(condvar) => libc::pthread_cond_signal(self.condvars[condvar].get().cast()),
                Notify::All(condvar) => libc::pthread_cond_broadcast(self.condvars[condvar].get().cast()),
            };
            libc::pthread_mutex_unlock(self.mutex.get().cast());
        }
    }
}

/// Microseconds from one to the other. They work for `pauses` in their turn: long ones, and the other has gone to sleep.
fn ping_pong<M: Monitor + 'static>(name: &str, turns: u64, pauses: u32) -> Contestant<'static> {
    contestant(name, move || {
        let monitor = Shared::new(M::new());
        let run = run(As::Processes, 2, None, |index, gate| {
            let (me, index) = (monitor.me(), index as u64);
            gate.start();
            for turn in 0..turns {
                let ready = |state: &State| state[0] == 2 * turn + index;
                monitor.step(&me, 0, ready, |_| Notify::Nobody);
                (0..pauses).for_each(|_| std::hint::spin_loop());
                monitor.step(&me, 0, ready, |state| {
                    state[0] += 1;
                    Notify::One(0)
                });
            }
            turns
        });
        let took = run.elapsed.as_secs_f64() * 1e6 / (2 * turns) as f64;
        crate::table::Sample::from(took)
    })
}

/// Microseconds of a round in which one notifies all others, and waits for each of them.
fn herd<M: Monitor + 'static>(name: &str, others: u64, rounds: u64) -> Contestant<'static> {
    contestant(name, move || {
        let monitor = Shared::new(M::new());
        let run = run(As::Processes, others as usize + 1, None, |index, gate| {
            let me = monitor.me();
            gate.start();
            for round in 1..=rounds {
                if index > 0 {
                    monitor.step(
                        &me,
                        0,
                        |state| state[0] == round,
                        |state| {
                            state[1] += 1;
                            if state[1] == round * others { Notify::One(1) } else { Notify::Nobody }
                        },
                    );
                } else {
                    monitor.step(
                        &me,
                        1,
                        |state| state[1] == (round - 1) * others,
                        |state| {
                            state[0] = round;
                            Notify::All(0)
                        },
                    );
                    monitor.step(&me, 1, |state| state[1] == round * others, |_| Notify::Nobody);
                    // So that they sleep again.
                    std::thread::sleep(Duration::from_micros(500));
                }
            }
            rounds
        });
        let took = run.elapsed.as_secs_f64() * 1e6 / rounds as f64 - 500.0;
        crate::table::Sample::from(took)
    })
}

const OURS: &str = "ringfence Condvar (processes)";
const PTHREAD: &str = "pthread_cond_t process-shared (processes)";

/// Runs the races.
pub fn measure(book: &mut Book) {
    let turns = if book.quick { 5_000 } else { 20_000 };
    for (title, turns, pauses) in
        [("condvar, ping-pong", turns, 0), ("condvar, ping-pong, the other asleep", turns / 4, 4000)]
    {
        let contestants = vec![ping_pong::<Ours>(OURS, turns, pauses), ping_pong::<Pthread>(PTHREAD, turns, pauses)];
        book.race(title, "us", contestants).against(OURS, &[PTHREAD], Demand::AtMost(1.1));
    }
    let contestants = vec![herd::<Ours>(OURS, 16, 200), herd::<Pthread>(PTHREAD, 16, 200)];
    book.race("condvar, 1 notifies 16", "us", contestants).against(OURS, &[PTHREAD], Demand::Shown);
}
