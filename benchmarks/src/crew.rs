//! Workers: forked processes or threads, pinned round-robin to the cores, started together and timed together.

use std::ops::Deref;
use std::ptr::NonNull;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// No benchmark has more workers than this.
pub const MAX_WORKERS: usize = 64;

/// A worker that hangs is killed by its own alarm after this many seconds.
const HANG_SECONDS: u32 = 120;

/// A value in a `MAP_SHARED` mapping of its own, so that forked workers see the same one.
pub struct Shared<T: ?Sized> {
    value: NonNull<T>,
    bytes: usize,
}

// SAFETY: it is a reference to a `T` that lives as long as the mapping.
unsafe impl<T: ?Sized + Sync> Sync for Shared<T> {}

impl<T: Sync> Shared<T> {
    /// Moves `value` into a new mapping.
    pub fn new(value: T) -> Self {
        let memory = map(size_of::<T>()).cast::<T>();
        // SAFETY: fresh, large enough, page-aligned and ours.
        unsafe { memory.write(value) };
        Self { value: memory, bytes: size_of::<T>() }
    }
}

impl Shared<[AtomicU64]> {
    /// `len` words of zero.
    pub fn words(len: usize) -> Self {
        let memory = map(len * 8).cast::<AtomicU64>();
        Self { value: NonNull::slice_from_raw_parts(memory, len), bytes: len * 8 }
    }
}

fn map(bytes: usize) -> NonNull<u8> {
    // SAFETY: a new anonymous mapping touches nothing that exists.
    let memory = unsafe {
        libc::mmap(
            std::ptr::null_mut(),
            bytes.max(1),
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_SHARED | libc::MAP_ANONYMOUS | libc::MAP_POPULATE,
            -1,
            0,
        )
    };
    assert!(memory != libc::MAP_FAILED, "no memory for a benchmark: {}", std::io::Error::last_os_error());
    NonNull::new(memory.cast()).expect("mmap never returns null")
}

impl<T: ?Sized> Deref for Shared<T> {
    type Target = T;
    fn deref(&self) -> &T {
        // SAFETY: initialised in the constructor, mapped until drop.
        unsafe { self.value.as_ref() }
    }
}

impl<T: ?Sized> Drop for Shared<T> {
    fn drop(&mut self) {
        // SAFETY: our own value and mapping, and no reference outlives `self`. Forked workers never get here.
        unsafe {
            self.value.drop_in_place();
            libc::munmap(self.value.as_ptr().cast(), self.bytes.max(1));
        }
    }
}

/// Keeps a value in cache lines of its own (two of them: the prefetcher fetches pairs).
#[repr(align(128))]
#[derive(Default)]
pub struct Padded<T>(pub T);

/// The signals between the benchmark and its workers.
pub struct Gate {
    ready: Padded<AtomicU32>,
    go: Padded<AtomicU32>,
    stop: Padded<AtomicU32>,
    ended: Padded<AtomicU32>,
    results: [Padded<[AtomicU64; 2]>; MAX_WORKERS],
}

impl Gate {
    fn new() -> Self {
        Self {
            ready: Padded::default(),
            go: Padded::default(),
            stop: Padded::default(),
            ended: Padded::default(),
            results: [const { Padded([AtomicU64::new(0), AtomicU64::new(0)]) }; MAX_WORKERS],
        }
    }

    /// A worker has made its preparations: waits for the start.
    pub fn start(&self) {
        self.ready.0.fetch_add(1, Ordering::SeqCst);
        while self.go.0.load(Ordering::Acquire) == 0 {
            std::thread::yield_now();
        }
    }

    /// This worker is at its end, and its time is up: waits until all are, so that nobody takes away what others still use. What
    /// is closed behind it counts for nobody.
    pub fn meet_at_the_end(&self, index: usize, workers: usize) {
        self.results[index].0[1].store(nanoseconds(), Ordering::SeqCst);
        self.ended.0.fetch_add(1, Ordering::SeqCst);
        while (self.ended.0.load(Ordering::SeqCst) as usize) < workers {
            std::thread::yield_now();
        }
    }

    /// Whether the time is up.
    #[inline]
    pub fn stopped(&self) -> bool {
        self.stop.0.load(Ordering::Relaxed) != 0
    }
}

/// How workers exist.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum As {
    /// Forked, each with its own address space.
    Processes,
    /// In this process: for peers that cannot do more.
    Threads,
}

/// What a run came to.
#[derive(Debug)]
pub struct Run {
    /// What each worker returned.
    pub counts: Vec<u64>,
    /// From the start to the end of the time, or of the last worker if there was no time.
    pub elapsed: Duration,
}

impl Run {
    /// Millions of operations a second over all workers.
    pub fn mops(&self) -> f64 {
        self.counts.iter().sum::<u64>() as f64 / self.elapsed.as_secs_f64() / 1e6
    }

    /// The least served worker's share of the most served one's.
    pub fn fairness(&self) -> f64 {
        let most = *self.counts.iter().max().expect("at least one worker");
        let least = *self.counts.iter().min().expect("at least one worker");
        least as f64 / most.max(1) as f64
    }
}

/// Runs `body(index, gate)` in `workers` workers. It prepares, calls [`Gate::start`], works (until [`Gate::stopped`]
/// where there is a `time`) and returns a count.
pub fn run(kind: As, workers: usize, time: Option<Duration>, body: impl Fn(usize, &Gate) -> u64 + Sync) -> Run {
    assert!(workers <= MAX_WORKERS);
    cores(); // asked before anybody is pinned
    let gate = Shared::new(Gate::new());
    let gate: &Gate = &gate;
    let work = |index: usize| {
        pin(index);
        let count = body(index, gate);
        let [result, end] = &gate.results[index].0;
        result.store(count, Ordering::Relaxed);
        if end.load(Ordering::SeqCst) == 0 {
            end.store(nanoseconds(), Ordering::SeqCst);
        }
    };
    let conduct = || {
        let patience = Instant::now() + Duration::from_secs(HANG_SECONDS.into());
        while (gate.ready.0.load(Ordering::SeqCst) as usize) < workers {
            assert!(Instant::now() < patience, "a worker never got ready");
            std::thread::sleep(Duration::from_micros(200));
        }
        let begin = nanoseconds();
        gate.go.0.store(1, Ordering::Release);
        if let Some(time) = time {
            std::thread::sleep(time);
        }
        let end = nanoseconds();
        gate.stop.0.store(1, Ordering::SeqCst);
        (begin, end)
    };
    let (begin, mut end) = match kind {
        As::Threads => std::thread::scope(|scope| {
            let work = &work;
            for index in 0..workers {
                scope.spawn(move || work(index));
            }
            conduct()
        }),
        As::Processes => {
            let children: Vec<Child> = (0..workers).map(|index| Child::fork(|| work(index))).collect();
            let times = conduct();
            children.into_iter().for_each(Child::join);
            times
        }
    };
    if time.is_none() {
        end = gate.results[..workers].iter().map(|r| r.0[1].load(Ordering::SeqCst)).max().unwrap_or(end);
    }
    let counts = gate.results[..workers].iter().map(|r| r.0[0].load(Ordering::SeqCst)).collect();
    Run { counts, elapsed: Duration::from_nanos(end.saturating_sub(begin).max(1)) }
}

/// A forked child of this benchmark. It dies with its parent, and by its own alarm if it hangs.
pub struct Child {
    pid: libc::pid_t,
}

impl Child {
    /// Forks a child that runs `body` and exits.
    pub fn fork(body: impl FnOnce()) -> Self {
        // SAFETY: the benchmark is single-threaded whenever it forks.
        let pid = unsafe { libc::fork() };
        assert!(pid >= 0, "fork: {}", std::io::Error::last_os_error());
        if pid == 0 {
            // SAFETY: plain system calls.
            unsafe {
                libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
                libc::alarm(HANG_SECONDS);
            }
            let failed = std::panic::catch_unwind(std::panic::AssertUnwindSafe(body)).is_err();
            // SAFETY: ends the child without running the parent's destructors a second time.
            unsafe { libc::_exit(i32::from(failed)) };
        }
        Self { pid }
    }

    /// Its process id.
    pub fn pid(&self) -> i32 {
        self.pid
    }

    /// Kills it.
    pub fn kill(self) {
        let mut status = 0;
        // SAFETY: our own child, not yet waited for.
        unsafe {
            libc::kill(self.pid, libc::SIGKILL);
            libc::waitpid(self.pid, &mut status, 0);
        }
    }

    /// Waits for its end, which must be a good one.
    pub fn join(self) {
        let mut status = 0;
        // SAFETY: our own child, not yet waited for.
        let waited = unsafe { libc::waitpid(self.pid, &mut status, 0) };
        assert!(waited == self.pid && status == 0, "a worker failed or hung (status {status:#x})");
    }
}

/// The cores this benchmark may use.
fn cores() -> &'static [usize] {
    static CORES: OnceLock<Vec<usize>> = OnceLock::new();
    CORES.get_or_init(|| {
        // SAFETY: a zeroed set is an empty set, which the call fills.
        let set: libc::cpu_set_t = unsafe {
            let mut set = std::mem::zeroed();
            libc::sched_getaffinity(0, size_of::<libc::cpu_set_t>(), &mut set);
            set
        };
        // SAFETY: reads bits of the set above.
        (0..libc::CPU_SETSIZE as usize).filter(|&core| unsafe { libc::CPU_ISSET(core, &set) }).collect()
    })
}

/// Pins the calling thread to a core, round-robin.
pub fn pin(index: usize) {
    let cores = cores();
    // SAFETY: a zeroed set is an empty set; the calls touch nothing else.
    unsafe {
        let mut set = std::mem::zeroed();
        libc::CPU_SET(cores[index % cores.len()], &mut set);
        libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &set);
    }
}

/// Nanoseconds of the monotonic clock, the same in every process.
pub fn nanoseconds() -> u64 {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: writes one timespec.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &mut now) };
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}

/// Runs `body` `times` times and returns the nanoseconds of one.
pub fn per_op(times: u64, mut body: impl FnMut()) -> f64 {
    let begin = Instant::now();
    for _ in 0..times {
        body();
    }
    begin.elapsed().as_secs_f64() * 1e9 / times as f64
}
