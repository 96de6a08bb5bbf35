//! Locks: uncontended cost, contended throughput and fairness.

use std::cell::UnsafeCell;
use std::mem::MaybeUninit;
use std::sync::atomic::{AtomicU32, Ordering};

use ringfence::layout::mutex::LockWord;
use ringfence::raw::{Owner, mutex};
use ringfence::sys::nap::{Deadline, Wait};
use ringfence::{Mutex, ReentrantMutex};

use crate::crew::{As, Shared, nanoseconds, run};
use crate::limits::slice;
use crate::ours::Scene;
use crate::queue::{Immortals, register};
use crate::table::{Book, Contestant, Demand, contestant};

/// A lock with a counter in its cache line.
pub(crate) trait Lock: Sync + Sized {
    const AS: As;
    fn new() -> Self;
    /// What a worker needs to use the lock.
    type Me;
    fn me(&self, index: usize) -> Self::Me;
    /// Adds one to the counter under the lock.
    fn add(&self, me: &Self::Me);
    fn total(&self) -> u64;
}

/// The counter of the locks that do not hold data themselves.
#[derive(Default)]
pub(crate) struct Counter(UnsafeCell<u64>);

// SAFETY: touched only under the lock beside it.
unsafe impl Sync for Counter {}

impl Counter {
    #[inline(always)]
    pub(crate) fn add(&self) {
        // SAFETY: the caller holds the lock beside it. Volatile: a compiler must not see through the lock.
        unsafe { self.0.get().write_volatile(self.0.get().read_volatile() + 1) };
    }

    pub(crate) fn get(&self) -> u64 {
        // SAFETY: asked when all workers have ended.
        unsafe { self.0.get().read_volatile() }
    }
}

#[repr(C, align(128))]
struct Raw {
    word: LockWord,
    counter: Counter,
}

impl Lock for Raw {
    const AS: As = As::Processes;
    fn new() -> Self {
        Self { word: LockWord::new(), counter: Counter::default() }
    }
    type Me = Owner;
    fn me(&self, index: usize) -> Owner {
        register(index)
    }
    #[inline(always)]
    fn add(&self, &me: &Owner) {
        mutex::lock(&self.word, me, &Immortals, Wait::until(Deadline::Forever)).expect("nobody dies");
        self.counter.add();
        mutex::unlock(&self.word, me).expect("we hold it");
    }
    fn total(&self) -> u64 {
        self.counter.get()
    }
}

/// The library's mutex with the counter inside, as Rust uses it.
struct Full {
    scene: Scene,
    mutex: Mutex<u64>,
}

impl Lock for Full {
    const AS: As = As::Processes;
    fn new() -> Self {
        let scene = Scene::new(64 << 10);
        let mutex = Mutex::create(&scene.segment, "lock", 0).expect("a new mutex");
        Self { scene, mutex }
    }
    type Me = Mutex<u64>;
    fn me(&self, _: usize) -> Mutex<u64> {
        Mutex::open(&self.scene.open(), "lock").expect("the mutex just made")
    }
    #[inline(always)]
    fn add(&self, me: &Mutex<u64>) {
        *me.lock().expect("nobody dies") += 1;
    }
    fn total(&self) -> u64 {
        *self.mutex.lock().expect("nobody dies")
    }
}

/// The same lock around data elsewhere, as C uses it.
struct Around {
    full: Full,
    counter: Counter,
}

impl Lock for Around {
    const AS: As = As::Processes;
    fn new() -> Self {
        Self { full: Full::new(), counter: Counter::default() }
    }
    type Me = Mutex<u64>;
    fn me(&self, index: usize) -> Mutex<u64> {
        self.full.me(index)
    }
    #[inline(always)]
    fn add(&self, me: &Mutex<u64>) {
        let guard = me.lock().expect("nobody dies");
        self.counter.add();
        guard.unlock();
    }
    fn total(&self) -> u64 {
        self.counter.get()
    }
}

/// The library's reentrant mutex around data elsewhere; `LEVELS` times a turn.
struct Reentrant<const LEVELS: usize> {
    scene: Scene,
    counter: Counter,
}

impl<const LEVELS: usize> Lock for Reentrant<LEVELS> {
    const AS: As = As::Processes;
    fn new() -> Self {
        let scene = Scene::new(64 << 10);
        let _ = ReentrantMutex::create(&scene.segment, "lock").expect("a new mutex");
        Self { scene, counter: Counter::default() }
    }
    type Me = ReentrantMutex;
    fn me(&self, _: usize) -> ReentrantMutex {
        ReentrantMutex::open(&self.scene.open(), "lock").expect("the mutex just made")
    }
    #[inline(always)]
    fn add(&self, me: &ReentrantMutex) {
        let guards: [_; LEVELS] = std::array::from_fn(|_| me.lock().expect("nobody dies"));
        self.counter.add();
        drop(guards);
    }
    fn total(&self) -> u64 {
        self.counter.get()
    }
}

#[repr(C, align(128))]
struct Pthread<const ROBUST: bool> {
    mutex: UnsafeCell<MaybeUninit<libc::pthread_mutex_t>>,
    counter: Counter,
}

// SAFETY: a process-shared mutex is made to be shared.
unsafe impl<const ROBUST: bool> Sync for Pthread<ROBUST> {}

impl<const ROBUST: bool> Lock for Pthread<ROBUST> {
    const AS: As = As::Processes;
    fn new() -> Self {
        let this = Self { mutex: UnsafeCell::new(MaybeUninit::zeroed()), counter: Counter::default() };
        // SAFETY: initialises a mutex that nobody uses. On Linux a fresh one may still be moved.
        unsafe {
            let mut attributes = MaybeUninit::uninit();
            libc::pthread_mutexattr_init(attributes.as_mut_ptr());
            libc::pthread_mutexattr_setpshared(attributes.as_mut_ptr(), libc::PTHREAD_PROCESS_SHARED);
            if ROBUST {
                libc::pthread_mutexattr_setrobust(attributes.as_mut_ptr(), libc::PTHREAD_MUTEX_ROBUST);
            }
            libc::pthread_mutex_init(this.mutex.get().cast(), attributes.as_ptr());
        }
        this
    }
    type Me = ();
    fn me(&self, _: usize) {}
    #[inline(always)]
    fn add(&self, _: &()) {
        // SAFETY: an initialised mutex, locked and unlocked by the same thread.
        unsafe {
            assert_eq!(libc::pthread_mutex_lock(self.mutex.get().cast()), 0);
            self.counter.add();
            libc::pthread_mutex_unlock(self.mutex.get().cast());
        }
    }
    fn total(&self) -> u64 {
        self.counter.get()
    }
}

#[repr(align(128))]
struct Std(std::sync::Mutex<u64>);

impl Lock for Std {
    const AS: As = As::Threads;
    fn new() -> Self {
        Self(std::sync::Mutex::new(0))
    }
    type Me = ();
    fn me(&self, _: usize) {}
    #[inline(always)]
    fn add(&self, _: &()) {
        let mut guard = self.0.lock().expect("no panic");
        *guard = std::hint::black_box(*guard + 1);
    }
    fn total(&self) -> u64 {
        *self.0.lock().expect("no panic")
    }
}

#[repr(align(128))]
struct ParkingLot(parking_lot::Mutex<u64>);

impl Lock for ParkingLot {
    const AS: As = As::Threads;
    fn new() -> Self {
        Self(parking_lot::Mutex::new(0))
    }
    type Me = ();
    fn me(&self, _: usize) {}
    #[inline(always)]
    fn add(&self, _: &()) {
        let mut guard = self.0.lock();
        *guard = std::hint::black_box(*guard + 1);
    }
    fn total(&self) -> u64 {
        *self.0.lock()
    }
}

/// The least a lock can cost; it only spins, so it does not compete.
#[repr(C, align(128))]
struct Bare {
    word: AtomicU32,
    counter: Counter,
}

impl Lock for Bare {
    const AS: As = As::Processes;
    fn new() -> Self {
        Self { word: AtomicU32::new(0), counter: Counter::default() }
    }
    type Me = ();
    fn me(&self, _: usize) {}
    #[inline(always)]
    fn add(&self, _: &()) {
        while self.word.compare_exchange(0, 1, Ordering::Acquire, Ordering::Relaxed).is_err() {
            std::hint::spin_loop();
        }
        self.counter.add();
        self.word.store(0, Ordering::Release);
    }
    fn total(&self) -> u64 {
        self.counter.get()
    }
}

/// No lock: each worker has a counter of its own.
struct Free([Slot; 4]);

#[derive(Default)]
#[repr(align(128))]
struct Slot(Counter);

impl Lock for Free {
    const AS: As = As::Processes;
    fn new() -> Self {
        Self(Default::default())
    }
    type Me = usize;
    fn me(&self, index: usize) -> usize {
        index
    }
    #[inline(always)]
    fn add(&self, me: &usize) {
        self.0[*me].0.add();
    }
    fn total(&self) -> u64 {
        self.0.iter().map(|slot| slot.0.get()).sum()
    }
}

pub(crate) fn alone<L: Lock>(name: &str) -> Contestant<'static> {
    const TIMES: u64 = 2_000_000;
    contestant(name, || {
        let lock = Shared::new(L::new());
        let lock: &L = &lock;
        let run = run(L::AS, 1, None, |index, gate| {
            let me = lock.me(index);
            gate.start();
            let begin = nanoseconds();
            for _ in 0..TIMES {
                lock.add(&me);
            }
            nanoseconds() - begin
        });
        assert_eq!(lock.total(), TIMES);
        run.counts[0] as f64 / TIMES as f64
    })
}

fn contended<L: Lock>(book: &Book, name: &str, workers: usize, pauses: u32) -> Contestant<'static> {
    let time = slice(book) / 3;
    contestant(name, move || {
        let lock = Shared::new(L::new());
        let lock: &L = &lock;
        let run = run(L::AS, workers, Some(time), |index, gate| {
            let me = lock.me(index);
            let mut count = 0;
            gate.start();
            while !gate.stopped() {
                lock.add(&me);
                count += 1;
                for _ in 0..pauses {
                    std::hint::spin_loop();
                }
            }
            count
        });
        assert_eq!(
            lock.total(),
            run.counts.iter().sum::<u64>(),
            "{name}: increments lost",
            name = std::any::type_name::<L>()
        );
        run
    })
}

const FULL: &str = "ringfence Mutex<u64> += 1 (processes)";
const AROUND: &str = "ringfence Mutex, data elsewhere (processes)";
const REENTRANT: &str = "ringfence ReentrantMutex, data elsewhere (processes)";
const TWICE: &str = "  locked twice a turn (processes)";
const RAW: &str = "  its raw lock alone (processes)";
const PTHREAD: &str = "pthread process-shared (processes)";
const ROBUST: &str = "pthread process-shared robust (processes)";
const STD: &str = "std Mutex (threads)";
const PARKING: &str = "parking_lot (threads)";

/// Runs all lock races.
pub fn measure(book: &mut Book) {
    book.race(
        "lock + unlock, uncontended",
        "ns",
        vec![
            alone::<Around>(AROUND),
            alone::<Full>(FULL),
            alone::<Reentrant<1>>(REENTRANT),
            alone::<Reentrant<2>>(TWICE),
            alone::<Raw>(RAW),
            alone::<Pthread<false>>(PTHREAD),
            alone::<Pthread<true>>(ROBUST),
            alone::<Std>(STD),
            alone::<ParkingLot>(PARKING),
            alone::<Bare>("limit: CAS + store"),
        ],
    )
    .against(AROUND, &[ROBUST], Demand::AtMost(0.85))
    .against(AROUND, &[STD], Demand::AtMost(1.2))
    .against(REENTRANT, &[AROUND], Demand::AtMost(1.3))
    .against(FULL, &[STD], Demand::Shown)
    .against(RAW, &[STD], Demand::Shown);
    for pauses in [0, 100] {
        for workers in [2, 4] {
            let title = format!("lock, {workers} workers, {pauses} pauses outside");
            let mut contestants = vec![
                contended::<Full>(book, FULL, workers, pauses),
                contended::<Around>(book, AROUND, workers, pauses),
                contended::<Raw>(book, RAW, workers, pauses),
                contended::<Pthread<false>>(book, PTHREAD, workers, pauses),
                contended::<Pthread<true>>(book, ROBUST, workers, pauses),
                contended::<Std>(book, STD, workers, pauses),
                contended::<ParkingLot>(book, PARKING, workers, pauses),
            ];
            if pauses > 0 {
                contestants.push(contended::<Free>(book, "limit: the pauses, and no lock", workers, pauses));
            }
            book.close_race(&title, "M/s", contestants)
                .against(FULL, &[PTHREAD, ROBUST], Demand::AtLeast(1.0))
                .against(AROUND, &[PTHREAD, ROBUST], Demand::Shown)
                .against(FULL, &[PARKING], Demand::Shown)
                .fairness(FULL, Demand::AtLeast(0.5));
        }
    }
}
