//! What the machine allows in this run: only runs whose limits agree can be compared.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::crew::{As, Padded, Shared, nanoseconds, per_op, run};
use crate::table::{Book, contestant};

/// Prints the physical limits.
pub fn measure(book: &mut Book) {
    book.race("limit: cache line from core to core, one way", "ns", vec![contestant("ping-pong", ping_pong)]);
    book.race(
        "limit: one core",
        "ns",
        vec![contestant("CAS + release store", cas_store), contestant("CAS + CAS", cas_cas)],
    );
    book.race("limit: memcpy of 64 KiB", "GiB/s", vec![contestant("memcpy", memcpy)]);
}

/// Nanoseconds a line needs from one core to the other.
fn ping_pong() -> f64 {
    const TURNS: u64 = 100_000;
    let ball = Shared::new(Padded(AtomicU64::new(0)));
    let ball = &ball.0;
    let result = run(As::Processes, 2, None, |index, gate| {
        gate.start();
        let begin = nanoseconds();
        for turn in 0..TURNS {
            let mine = turn * 2 + index as u64;
            while ball.load(Ordering::Acquire) != mine {
                std::hint::spin_loop();
            }
            ball.store(mine + 1, Ordering::Release);
        }
        nanoseconds() - begin
    });
    result.counts[0] as f64 / (TURNS * 2) as f64
}

fn cas_store() -> f64 {
    let word = Padded(AtomicU64::new(0));
    per_op(2_000_000, || {
        let _ = std::hint::black_box(word.0.compare_exchange(0, 1, Ordering::Acquire, Ordering::Relaxed));
        word.0.store(0, Ordering::Release);
    })
}

fn cas_cas() -> f64 {
    let word = Padded(AtomicU64::new(0));
    per_op(2_000_000, || {
        let _ = std::hint::black_box(word.0.compare_exchange(0, 1, Ordering::Acquire, Ordering::Relaxed));
        let _ = std::hint::black_box(word.0.compare_exchange(1, 0, Ordering::Release, Ordering::Relaxed));
    })
}

fn memcpy() -> f64 {
    let from = vec![1_u8; 64 << 10];
    let mut to = vec![0_u8; 64 << 10];
    let ns = per_op(20_000, || {
        to.copy_from_slice(std::hint::black_box(&from));
        std::hint::black_box(&to);
    });
    from.len() as f64 / ns * 1e9 / f64::from(1 << 30)
}

/// One pause instruction.
pub fn pause() -> f64 {
    per_op(1_000_000, std::hint::spin_loop)
}

/// The time a contended run lasts.
pub fn slice(book: &Book) -> Duration {
    Duration::from_millis(if book.quick { 100 } else { 300 })
}
