//! Barriers: round after round, by as many processes as there are parties.

use std::cell::UnsafeCell;
use std::mem::MaybeUninit;
use std::time::Duration;

use ringfence::Barrier;

use crate::crew::{As, Shared, run};
use crate::ours::Scene;
use crate::table::{Book, Contestant, Demand, contestant};

/// A barrier for so many parties.
trait Rounds: Sync + Sized {
    fn new(parties: usize) -> Self;
    type Me;
    fn me(&self) -> Self::Me;
    /// Waits for the others.
    fn wait(&self, me: &Self::Me);
}

struct Ours {
    scene: Scene,
}

impl Rounds for Ours {
    fn new(parties: usize) -> Self {
        let scene = Scene::new(64 << 10);
        let _ = Barrier::create(&scene.segment, "barrier", parties).expect("a new barrier");
        Self { scene }
    }
    type Me = Barrier;
    fn me(&self) -> Self::Me {
        Barrier::open(&self.scene.open(), "barrier").expect("the barrier just made")
    }
    #[inline(always)]
    fn wait(&self, me: &Self::Me) {
        me.wait().expect("nobody dies");
    }
}

#[repr(C, align(128))]
struct Pthread(UnsafeCell<MaybeUninit<libc::pthread_barrier_t>>);

// SAFETY: a process-shared barrier is made to be shared.
unsafe impl Sync for Pthread {}

impl Rounds for Pthread {
    fn new(parties: usize) -> Self {
        let this = Self(UnsafeCell::new(MaybeUninit::zeroed()));
        // SAFETY: initialises what nobody uses. On Linux a fresh one may still be moved.
        unsafe {
            let mut attributes = MaybeUninit::uninit();
            libc::pthread_barrierattr_init(attributes.as_mut_ptr());
            libc::pthread_barrierattr_setpshared(attributes.as_mut_ptr(), libc::PTHREAD_PROCESS_SHARED);
            let initialised = libc::pthread_barrier_init(this.0.get().cast(), attributes.as_ptr(), parties as u32);
            assert_eq!(initialised, 0);
        }
        this
    }
    type Me = ();
    fn me(&self) {}
    #[inline(always)]
    fn wait(&self, (): &()) {
        // SAFETY: initialised.
        let waited = unsafe { libc::pthread_barrier_wait(self.0.get().cast()) };
        assert!(waited == 0 || waited == libc::PTHREAD_BARRIER_SERIAL_THREAD);
    }
}

/// Microseconds of a round. With `late` the first party comes so much later, and the others have gone to sleep.
fn rounds<R: Rounds + 'static>(name: &str, parties: usize, rounds: u64, late: Duration) -> Contestant<'static> {
    contestant(name, move || {
        let barrier = Shared::new(R::new(parties));
        let run = run(As::Processes, parties, None, |index, gate| {
            let me = barrier.me();
            gate.start();
            for _ in 0..rounds {
                if index == 0 && !late.is_zero() {
                    std::thread::sleep(late);
                }
                barrier.wait(&me);
            }
            rounds
        });
        crate::table::Sample::from((run.elapsed.as_secs_f64() * 1e6) / rounds as f64 - late.as_secs_f64() * 1e6)
    })
}

const OURS: &str = "ringfence Barrier (processes)";
const PTHREAD: &str = "pthread_barrier_t process-shared (processes)";

/// Runs the races.
pub fn measure(book: &mut Book) {
    for parties in [2, 4] {
        let many = if book.quick { 5_000 } else { 20_000 };
        for (what, count, late) in [("", many, Duration::ZERO), (", one late", 500, Duration::from_micros(500))] {
            let contestants =
                vec![rounds::<Ours>(OURS, parties, count, late), rounds::<Pthread>(PTHREAD, parties, count, late)];
            let title = format!("barrier, {parties} parties{what}");
            let demand = if late.is_zero() { Demand::AtMost(1.1) } else { Demand::Shown };
            book.race(&title, "us", contestants).against(OURS, &[PTHREAD], demand);
        }
    }
}
