//! Events: what it takes to wake somebody.

use std::cell::UnsafeCell;
use std::mem::MaybeUninit;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use ringfence::{Event, Reset};

use crate::crew::{As, Shared, nanoseconds, run};
use crate::ours::Scene;
use crate::table::{Book, Contestant, Demand, contestant};

/// Two events, which two workers set for each other in turn.
trait Pair: Sync + Sized {
    fn new() -> Self;
    /// What a worker needs.
    type Me;
    fn me(&self) -> Self::Me;
    fn set(&self, me: &Self::Me, which: usize);
    /// Waits until it is set, and clears it.
    fn take(&self, me: &Self::Me, which: usize);
}

/// The library's.
struct Ours<const AUTO: bool> {
    scene: Scene,
}

impl<const AUTO: bool> Pair for Ours<AUTO> {
    fn new() -> Self {
        let scene = Scene::new(64 << 10);
        let reset = if AUTO { Reset::Auto } else { Reset::Manual };
        for name in ["0", "1"] {
            let _ = Event::create(&scene.segment, name, reset).expect("a new event");
        }
        Self { scene }
    }
    type Me = [Event; 2];
    fn me(&self) -> Self::Me {
        ["0", "1"].map(|name| Event::open(&self.scene.open(), name).expect("the event just made"))
    }
    fn set(&self, me: &Self::Me, which: usize) {
        me[which].set().expect("it can be set");
    }
    fn take(&self, me: &Self::Me, which: usize) {
        me[which].wait().expect("nobody interrupts");
        if !AUTO {
            me[which].clear().expect("it can be cleared");
        }
    }
}

/// A process-shared condition variable with its mutex, and a flag.
#[repr(C, align(128))]
struct Flag {
    mutex: UnsafeCell<MaybeUninit<libc::pthread_mutex_t>>,
    condition: UnsafeCell<MaybeUninit<libc::pthread_cond_t>>,
    set: UnsafeCell<bool>,
}

struct Posix([Flag; 2]);

// SAFETY: both are made to be shared, and the flag is used under the mutex.
unsafe impl Sync for Posix {}

impl Flag {
    fn new() -> Self {
        let this = Self {
            mutex: UnsafeCell::new(MaybeUninit::zeroed()),
            condition: UnsafeCell::new(MaybeUninit::zeroed()),
            set: UnsafeCell::new(false),
        };
        // SAFETY: initialises what nobody uses. On Linux fresh ones may still be moved.
        unsafe {
            let mut attributes = MaybeUninit::uninit();
            libc::pthread_mutexattr_init(attributes.as_mut_ptr());
            libc::pthread_mutexattr_setpshared(attributes.as_mut_ptr(), libc::PTHREAD_PROCESS_SHARED);
            libc::pthread_mutex_init(this.mutex.get().cast(), attributes.as_ptr());
            let mut attributes = MaybeUninit::uninit();
            libc::pthread_condattr_init(attributes.as_mut_ptr());
            libc::pthread_condattr_setpshared(attributes.as_mut_ptr(), libc::PTHREAD_PROCESS_SHARED);
            libc::pthread_cond_init(this.condition.get().cast(), attributes.as_ptr());
        }
        this
    }
}

impl Pair for Posix {
    fn new() -> Self {
        Self([Flag::new(), Flag::new()])
    }
    type Me = ();
    fn me(&self) {}
    fn set(&self, _: &(), which: usize) {
        let flag = &self.0[which];
        // SAFETY: initialised, locked and unlocked by the same thread; the flag is used under the mutex.
        unsafe {
            libc::pthread_mutex_lock(flag.mutex.get().cast());
            *flag.set.get() = true;
            libc::pthread_cond_broadcast(flag.condition.get().cast());
            libc::pthread_mutex_unlock(flag.mutex.get().cast());
        }
    }
    fn take(&self, _: &(), which: usize) {
        let flag = &self.0[which];
        // SAFETY: as above.
        unsafe {
            libc::pthread_mutex_lock(flag.mutex.get().cast());
            while !flag.set.get().read_volatile() {
                libc::pthread_cond_wait(flag.condition.get().cast(), flag.mutex.get().cast());
            }
            *flag.set.get() = false;
            libc::pthread_mutex_unlock(flag.mutex.get().cast());
        }
    }
}

/// Both workers run all the time: microseconds of a round trip, two wake-ups.
fn to_and_fro<P: Pair>(name: &str) -> Contestant<'static> {
    const ROUNDS: u64 = 20_000;
    contestant(name, || {
        let pair = Shared::new(P::new());
        let pair: &P = &pair;
        let run = run(As::Processes, 2, None, |index, gate| {
            let me = pair.me();
            gate.start();
            for _ in 0..ROUNDS {
                if index == 0 {
                    pair.set(&me, 0);
                    pair.take(&me, 1);
                } else {
                    pair.take(&me, 0);
                    pair.set(&me, 1);
                }
            }
            ROUNDS
        });
        run.elapsed.as_secs_f64() * 1e6 / ROUNDS as f64
    })
}

/// The waiter has been asleep for a while: microseconds from before the set until it is through.
fn asleep<P: Pair>(name: &str) -> Contestant<'static> {
    const ROUNDS: u64 = 2_000;
    contestant(name, || {
        let shared = Shared::new((P::new(), AtomicU64::new(0)));
        let (pair, sent): &(P, AtomicU64) = &shared;
        let run = run(As::Processes, 2, None, |index, gate| {
            let me = pair.me();
            gate.start();
            let mut took = 0;
            for _ in 0..ROUNDS {
                if index == 0 {
                    // Longer than anybody spins.
                    std::thread::sleep(Duration::from_micros(150));
                    sent.store(nanoseconds(), Ordering::Relaxed);
                    pair.set(&me, 0);
                    pair.take(&me, 1);
                } else {
                    pair.take(&me, 0);
                    took += nanoseconds() - sent.load(Ordering::Relaxed);
                    pair.set(&me, 1);
                }
            }
            took
        });
        run.counts[1] as f64 / 1e3 / ROUNDS as f64
    })
}

const MANUAL: &str = "ringfence Event, manual reset (processes)";
const AUTO: &str = "ringfence Event, auto reset (processes)";
const POSIX: &str = "pthread condvar as an event (processes)";

/// Runs the races.
pub fn measure(book: &mut Book) {
    let awake = vec![to_and_fro::<Ours<false>>(MANUAL), to_and_fro::<Ours<true>>(AUTO), to_and_fro::<Posix>(POSIX)];
    let asleep = vec![asleep::<Ours<false>>(MANUAL), asleep::<Ours<true>>(AUTO), asleep::<Posix>(POSIX)];
    for (title, contestants) in [("event, to and fro", awake), ("event, wake-up of a sleeper", asleep)] {
        book.race(title, "us", contestants).against(MANUAL, &[POSIX], Demand::AtMost(1.1)).against(
            AUTO,
            &[POSIX],
            Demand::AtMost(1.1),
        );
    }
}
