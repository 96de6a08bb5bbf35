//! Opening a segment and an object in it, against mapping the same memory with nothing in it.

use std::ffi::CString;
use std::sync::atomic::{AtomicU32, Ordering};

use ringfence::{Queue, Segment, SegmentOptions};

use crate::crew::{As, Child, Shared, per_op, run};
use crate::table::{Book, Demand, contestant};

const SIZE: usize = 16 << 20;
const TIMES: u64 = 2_000;

const OURS: &str = "ringfence: open a segment and a queue";
const BARE: &str = "shm_open + mmap of the same size";
const TOUCHED: &str = "  the same, and its first page read";

/// Bare shared memory, unlinked with its value.
struct Bare(CString);

impl Bare {
    fn new() -> Self {
        let name = CString::new(format!("/ringfence-bench-bare-{}", std::process::id())).expect("no NUL");
        // SAFETY: makes a file of our own; all results are checked.
        unsafe {
            let fd = libc::shm_open(name.as_ptr(), libc::O_CREAT | libc::O_EXCL | libc::O_RDWR, 0o600);
            assert!(fd >= 0, "shm_open: {}", std::io::Error::last_os_error());
            assert_eq!(libc::posix_fallocate(fd, 0, SIZE as libc::off_t), 0);
            libc::close(fd);
        }
        Self(name)
    }

    fn attach(&self, touch: bool) {
        // SAFETY: maps and unmaps a file of our own; the read is inside.
        unsafe {
            let fd = libc::shm_open(self.0.as_ptr(), libc::O_RDWR, 0);
            let protection = libc::PROT_READ | libc::PROT_WRITE;
            let memory = libc::mmap(std::ptr::null_mut(), SIZE, protection, libc::MAP_SHARED, fd, 0);
            assert!(memory != libc::MAP_FAILED);
            libc::close(fd);
            if touch {
                std::hint::black_box(memory.cast::<u8>().read_volatile());
            }
            libc::munmap(memory, SIZE);
        }
    }
}

impl Drop for Bare {
    fn drop(&mut self) {
        // SAFETY: a valid name.
        unsafe { libc::shm_unlink(self.0.as_ptr()) };
    }
}

/// A segment with a queue in it that another process has open, and this one and its other children have not: a process
/// that is in the segment already would open it a second time for nothing.
struct Held {
    name: String,
    holder: Option<Child>,
}

impl Held {
    fn new() -> Self {
        let name = format!("bench-{}-attach", std::process::id());
        let ready = Shared::new(AtomicU32::new(0));
        let holder = Child::fork(|| {
            let options = SegmentOptions::new().size(SIZE);
            let segment = Segment::create(&name, &options).expect("a new segment");
            let _queue = Queue::<u64>::create(&segment, "queue", 1024).expect("a new queue");
            ready.store(1, Ordering::Release);
            loop {
                std::thread::park();
            }
        });
        while ready.load(Ordering::Acquire) == 0 {
            std::thread::yield_now();
        }
        Self { name, holder: Some(holder) }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if let Some(holder) = self.holder.take() {
            holder.kill();
        }
        let _ = Segment::unlink(&self.name);
    }
}

/// Runs the race.
pub fn measure(book: &mut Book) {
    let held = Held::new();
    let bare = Bare::new();
    let alone = |attach: &(dyn Fn() + Sync)| {
        let run = run(As::Processes, 1, None, |_, gate| {
            attach();
            gate.start();
            (per_op(TIMES, attach) * 1e3) as u64
        });
        run.counts[0] as f64 / 1e6
    };
    let ours = || {
        let segment = Segment::open(&held.name).expect("it is there");
        drop(Queue::<u64>::open(&segment, "queue").expect("it is there"));
    };
    let contestants = vec![
        contestant(OURS, || alone(&ours)),
        contestant(BARE, || alone(&|| bare.attach(false))),
        contestant(TOUCHED, || alone(&|| bare.attach(true))),
    ];
    book.race("attach and detach, 16 MiB", "us", contestants).against(OURS, &[BARE], Demand::AtMost(5.0)).against(
        OURS,
        &[TOUCHED],
        Demand::Shown,
    );
}
