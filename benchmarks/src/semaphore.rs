//! Semaphores: uncontended cost.

use std::cell::UnsafeCell;
use std::mem::MaybeUninit;

use ringfence::{Semaphore, SemaphoreOptions};

use crate::crew::As;
use crate::lock::{Counter, Lock, alone};
use crate::ours::Scene;
use crate::table::{Book, Demand};

/// One permit, taken and given without a guard, as C uses it; of at most so many, or with no maximum of its own (0).
struct Ours<const OWNED: bool, const MAXIMUM: u32> {
    scene: Scene,
    counter: Counter,
}

impl<const OWNED: bool, const MAXIMUM: u32> Lock for Ours<OWNED, MAXIMUM> {
    const AS: As = As::Processes;
    fn new() -> Self {
        let scene = Scene::new(64 << 10);
        let options = SemaphoreOptions::new(1);
        let options = if MAXIMUM > 0 { options.maximum(MAXIMUM) } else { options };
        let options = if OWNED { options } else { options.signalling() };
        let _ = Semaphore::create(&scene.segment, "semaphore", &options).expect("a new semaphore");
        Self { scene, counter: Counter::default() }
    }
    type Me = Semaphore;
    fn me(&self, _: usize) -> Semaphore {
        Semaphore::open(&self.scene.open(), "semaphore").expect("the semaphore just made")
    }
    #[inline(always)]
    fn add(&self, me: &Semaphore) {
        me.acquire(1).expect("nobody dies").forget();
        self.counter.add();
        me.release(1).expect("one was taken");
    }
    fn total(&self) -> u64 {
        self.counter.get()
    }
}

#[repr(C, align(128))]
struct Posix {
    semaphore: UnsafeCell<MaybeUninit<libc::sem_t>>,
    counter: Counter,
}

// SAFETY: a process-shared semaphore is made to be shared.
unsafe impl Sync for Posix {}

impl Lock for Posix {
    const AS: As = As::Processes;
    fn new() -> Self {
        let this = Self { semaphore: UnsafeCell::new(MaybeUninit::zeroed()), counter: Counter::default() };
        // SAFETY: initialises a semaphore that nobody uses. On Linux a fresh one may still be moved.
        assert_eq!(unsafe { libc::sem_init(this.semaphore.get().cast(), 1, 1) }, 0);
        this
    }
    type Me = ();
    fn me(&self, _: usize) {}
    #[inline(always)]
    fn add(&self, _: &()) {
        // SAFETY: an initialised semaphore.
        unsafe {
            assert_eq!(libc::sem_wait(self.semaphore.get().cast()), 0);
            self.counter.add();
            libc::sem_post(self.semaphore.get().cast());
        }
    }
    fn total(&self) -> u64 {
        self.counter.get()
    }
}

const SIGNALLING: &str = "ringfence Semaphore, signalling (processes)";
const ONE: &str = "ringfence Semaphore, signalling, at most 1 (processes)";
const THREE: &str = "ringfence Semaphore, signalling, at most 3 (processes)";
const OWNED: &str = "ringfence Semaphore, owned (processes)";
const POSIX: &str = "sem_t process-shared (processes)";

/// Runs the race.
pub fn measure(book: &mut Book) {
    book.race(
        "acquire + release, uncontended",
        "ns",
        vec![
            alone::<Ours<false, 0>>(SIGNALLING),
            alone::<Ours<false, 1>>(ONE),
            alone::<Ours<false, 3>>(THREE),
            alone::<Ours<true, 1>>(OWNED),
            alone::<Posix>(POSIX),
        ],
    )
    .against(SIGNALLING, &[POSIX], Demand::AtMost(1.0))
    .against(ONE, &[POSIX], Demand::AtMost(1.0))
    .against(THREE, &[POSIX], Demand::AtMost(1.0))
    .against(OWNED, &[POSIX], Demand::AtMost(2.0));
}
