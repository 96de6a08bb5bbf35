//! Reader-writer locks: what a read costs alone, and beside another reader.

use std::cell::UnsafeCell;
use std::hint::black_box;
use std::mem::MaybeUninit;

use ringfence::RwLock;

use crate::crew::{As, Shared, nanoseconds, run};
use crate::limits::slice;
use crate::ours::Scene;
use crate::table::{Book, Contestant, Demand, contestant};

/// A lock around nothing.
trait Both: Sync + Sized {
    fn new() -> Self;
    /// What a worker needs to use the lock.
    type Me;
    fn me(&self) -> Self::Me;
    fn read(&self, me: &Self::Me);
    fn write(&self, me: &Self::Me);
}

/// The library's lock without data, as C uses it.
struct Ours {
    scene: Scene,
}

impl Both for Ours {
    fn new() -> Self {
        let scene = Scene::new(64 << 10);
        let _ = RwLock::create(&scene.segment, "lock", ()).expect("a new lock");
        Self { scene }
    }
    type Me = RwLock<()>;
    fn me(&self) -> RwLock<()> {
        RwLock::open(&self.scene.open(), "lock").expect("the lock just made")
    }
    #[inline(always)]
    fn read(&self, me: &RwLock<()>) {
        drop(black_box(me.read().expect("nobody dies")));
    }
    #[inline(always)]
    fn write(&self, me: &RwLock<()>) {
        drop(black_box(me.write().expect("nobody dies")));
    }
}

/// The same with a number inside, which each guard has a copy of.
struct Data {
    scene: Scene,
}

impl Both for Data {
    fn new() -> Self {
        let scene = Scene::new(64 << 10);
        let _ = RwLock::create(&scene.segment, "lock", 7_u64).expect("a new lock");
        Self { scene }
    }
    type Me = RwLock<u64>;
    fn me(&self) -> RwLock<u64> {
        RwLock::open(&self.scene.open(), "lock").expect("the lock just made")
    }
    #[inline(always)]
    fn read(&self, me: &RwLock<u64>) {
        black_box(*me.read().expect("nobody dies"));
    }
    #[inline(always)]
    fn write(&self, me: &RwLock<u64>) {
        *me.write().expect("nobody dies") += 1;
    }
}

#[repr(C, align(128))]
struct Pthread {
    lock: UnsafeCell<MaybeUninit<libc::pthread_rwlock_t>>,
}

// SAFETY: a process-shared lock is made to be shared.
unsafe impl Sync for Pthread {}

impl Both for Pthread {
    fn new() -> Self {
        let this = Self { lock: UnsafeCell::new(MaybeUninit::zeroed()) };
        let mut attributes = MaybeUninit::<libc::pthread_rwlockattr_t>::uninit();
        // SAFETY: initialises a lock that nobody uses. On Linux a fresh one may still be moved.
        unsafe {
            assert_eq!(libc::pthread_rwlockattr_init(attributes.as_mut_ptr()), 0);
            let shared = libc::PTHREAD_PROCESS_SHARED;
            assert_eq!(libc::pthread_rwlockattr_setpshared(attributes.as_mut_ptr(), shared), 0);
            assert_eq!(libc::pthread_rwlock_init(this.lock.get().cast(), attributes.as_ptr()), 0);
        }
        this
    }
    type Me = ();
    fn me(&self) {}
    #[inline(always)]
    fn read(&self, (): &()) {
        // SAFETY: an initialised lock.
        unsafe {
            assert_eq!(libc::pthread_rwlock_rdlock(self.lock.get().cast()), 0);
            libc::pthread_rwlock_unlock(self.lock.get().cast());
        }
    }
    #[inline(always)]
    fn write(&self, (): &()) {
        // SAFETY: an initialised lock.
        unsafe {
            assert_eq!(libc::pthread_rwlock_wrlock(self.lock.get().cast()), 0);
            libc::pthread_rwlock_unlock(self.lock.get().cast());
        }
    }
}

fn alone<L: Both>(name: &'static str, turn: impl Fn(&L, &L::Me) + Sync + 'static) -> Contestant<'static> {
    const TIMES: u64 = 2_000_000;
    contestant(name, move || {
        let lock = Shared::new(L::new());
        let lock: &L = &lock;
        let run = run(As::Processes, 1, None, |_, gate| {
            let me = lock.me();
            gate.start();
            let begin = nanoseconds();
            for _ in 0..TIMES {
                turn(lock, &me);
            }
            nanoseconds() - begin
        });
        run.counts[0] as f64 / TIMES as f64
    })
}

fn together<L: Both>(book: &Book, name: &'static str, kind: As, workers: usize) -> Contestant<'static> {
    let time = slice(book);
    contestant(name, move || {
        let lock = Shared::new(L::new());
        let lock: &L = &lock;
        run(kind, workers, Some(time), |_, gate| {
            let me = lock.me();
            let mut count = 0;
            gate.start();
            while !gate.stopped() {
                lock.read(&me);
                count += 1;
            }
            count
        })
    })
}

const OURS: &str = "ringfence RwLock (processes)";
const DATA: &str = "ringfence RwLock<u64> (processes)";
const THREADS: &str = "ringfence RwLock (threads)";
const PTHREAD: &str = "pthread process-shared rwlock (processes)";
const PTHREAD_THREADS: &str = "pthread process-shared rwlock (threads)";

/// Runs the races.
pub fn measure(book: &mut Book) {
    book.race(
        "read + unlock, uncontended",
        "ns",
        vec![
            alone::<Ours>(OURS, |lock, me| lock.read(me)),
            alone::<Data>(DATA, |lock, me| lock.read(me)),
            alone::<Pthread>(PTHREAD, |lock, me| lock.read(me)),
        ],
    )
    .against(OURS, &[PTHREAD], Demand::AtMost(1.2))
    .against(DATA, &[PTHREAD], Demand::Shown);
    book.race(
        "write + unlock, uncontended",
        "ns",
        vec![
            alone::<Ours>(OURS, |lock, me| lock.write(me)),
            alone::<Data>(DATA, |lock, me| lock.write(me)),
            alone::<Pthread>(PTHREAD, |lock, me| lock.write(me)),
        ],
    )
    .against(OURS, &[PTHREAD], Demand::Shown);
    let contestants = vec![
        together::<Ours>(book, OURS, As::Processes, 2),
        together::<Pthread>(book, PTHREAD, As::Processes, 2),
        together::<Ours>(book, THREADS, As::Threads, 2),
        together::<Pthread>(book, PTHREAD_THREADS, As::Threads, 2),
    ];
    book.race("read + unlock, 2 readers", "M/s", contestants).against(OURS, &[PTHREAD], Demand::AtLeast(1.0)).against(
        THREADS,
        &[PTHREAD_THREADS],
        Demand::Shown,
    );
}
