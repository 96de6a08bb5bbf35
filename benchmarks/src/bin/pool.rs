//! A pool of processes against threads, Python and, with `--features procspawn`, procspawn: ratios within each round, since what
//! slows down both does not count.
//!
//! ```sh
//! cargo run --release -p ringfence-benchmarks --features pool --bin pool [-- [--quick] [words]]
//! ```

// How the example counts words.
#[allow(dead_code)]
#[path = "../../../examples/wordcount/count.rs"]
mod count;
#[allow(dead_code)]
#[path = "../../../examples/wordcount/files.rs"]
mod files;
#[allow(dead_code)]
#[path = "../../../examples/wordcount/job.rs"]
mod job;
#[allow(dead_code)]
#[path = "../../../examples/wordcount/text.rs"]
mod text;
#[path = "../word_count.rs"]
mod word_count;

use std::hint::black_box;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use ringfence::pool::Pool;
use ringfence::process;

/// Tasks of one call.
const TASKS: u64 = 10_000;
const WORKERS: usize = 2;
const INTEGERS: u64 = 1_000_000;
const BYTES: usize = 64 << 20;

fn next(x: u64) -> u64 {
    x + 1
}

/// About four microseconds of work for each integer.
fn mix(x: u64) -> u64 {
    (0..2000).fold(x, |x, _| x.wrapping_mul(6_364_136_223_846_793_005).rotate_left(17) ^ 0x9e37_79b9)
}

fn length(bytes: &[u8]) -> Vec<u8> {
    let ends = u64::from(bytes[0]) + u64::from(bytes[bytes.len() - 1]);
    (bytes.len() as u64 + ends).to_le_bytes().to_vec()
}

ringfence::register!(next);
ringfence::register!(mix);
ringfence::register_bytes!(length);

/// Seconds that it takes.
fn seconds(run: impl FnOnce()) -> f64 {
    let start = Instant::now();
    run();
    start.elapsed().as_secs_f64()
}

/// One-item tasks.
fn tasks(pool: &Pool) -> f64 {
    seconds(|| {
        let results = pool.map_chunked(next, 0..TASKS, 1).expect("a pool that works");
        assert!(results.iter().zip(1..).all(|(found, expected)| *found == expected));
    })
}

/// The same in the process.
fn rayon(threads: &rayon_core::ThreadPool) -> f64 {
    seconds(|| {
        let results: Arc<Vec<AtomicU64>> = Arc::new((0..TASKS).map(|_| AtomicU64::new(0)).collect());
        let left = Arc::new(AtomicU64::new(TASKS));
        let (done, all) = std::sync::mpsc::channel();
        for task in 0..TASKS {
            let (results, left, done) = (results.clone(), left.clone(), done.clone());
            threads.spawn(move || {
                results[task as usize].store(next(task), Ordering::Relaxed);
                if left.fetch_sub(1, Ordering::AcqRel) == 1 {
                    done.send(()).expect("somebody waits");
                }
            });
        }
        all.recv().expect("all tasks");
        assert!(results.iter().zip(1..).all(|(found, expected)| found.load(Ordering::Relaxed) == expected));
    })
}

/// Python's pool of as many workers: its own time, without the start.
fn python() -> Option<f64> {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/peers/mp_pool.py");
    let output = Command::new("python3").args([script, &TASKS.to_string(), &WORKERS.to_string()]).output().ok()?;
    String::from_utf8_lossy(&output.stdout).trim().parse().ok()
}

/// A million integers in the default chunks, by processes.
fn integers(pool: &Pool) -> f64 {
    seconds(|| {
        let results = pool.map(mix, 0..INTEGERS).expect("a pool that works");
        assert_eq!((results.len() as u64, results[7]), (INTEGERS, mix(7)));
    })
}

/// The same chunks on threads.
fn on_threads() -> f64 {
    seconds(|| {
        let items: Vec<u64> = (0..INTEGERS).collect();
        let chunks: Vec<&[u64]> = items.chunks(items.len().div_ceil(4 * WORKERS)).collect();
        let turn = AtomicU64::new(0);
        let mut parts: Vec<(usize, Vec<u64>)> = std::thread::scope(|scope| {
            let work = || {
                let mut done = Vec::new();
                loop {
                    let nth = turn.fetch_add(1, Ordering::Relaxed) as usize;
                    let Some(chunk) = chunks.get(nth) else { return done };
                    done.push((nth, chunk.iter().map(|x| mix(*x)).collect()));
                }
            };
            let threads: Vec<_> = (0..WORKERS).map(|_| scope.spawn(work)).collect();
            threads.into_iter().flat_map(|thread| thread.join().expect("a thread")).collect()
        });
        parts.sort_unstable_by_key(|(nth, _)| *nth);
        let results: Vec<u64> = parts.into_iter().flat_map(|(_, part)| part).collect();
        assert_eq!((results.len() as u64, results[7]), (INTEGERS, mix(7)));
    })
}

/// 64 MiB as a borrowed argument.
fn argument(pool: &Pool, bytes: &[u8]) -> f64 {
    seconds(|| {
        let result = pool.apply_bytes("length", bytes).expect("a pool that works");
        assert_eq!(result, length(bytes));
    })
}

fn copy(from: &[u8], to: &mut [u8]) -> f64 {
    seconds(|| black_box(to).copy_from_slice(black_box(from)))
}

#[cfg(feature = "procspawn")]
fn procspawn() -> f64 {
    let pool = procspawn::Pool::new(WORKERS).expect("procspawn's pool");
    (0..10).for_each(|_| _ = pool.spawn(0_u64, |x| x + 1).join());
    seconds(|| {
        // Each task that is under way has descriptors.
        for first in (0..TASKS).step_by(100) {
            let all: Vec<_> = (first..first + 100).map(|x| pool.spawn(x, |x| x + 1)).collect();
            for (x, one) in (first..).zip(all) {
                assert_eq!(one.join().expect("a result"), x + 1);
            }
        }
    })
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Rounds of both in turn; prints the median of the ratios: how many times as fast the first is.
fn race(what: &str, target: f64, rounds: usize, mut ours: impl FnMut() -> f64, mut peer: impl FnMut() -> f64) {
    let (mut mine, mut theirs, mut ratios) = (vec![], vec![], vec![]);
    for round in 0..rounds {
        let (a, b) = if round % 2 == 0 {
            let a = ours();
            (a, peer())
        } else {
            let b = peer();
            (ours(), b)
        };
        mine.push(a);
        theirs.push(b);
        ratios.push(b / a);
    }
    let ratio = median(&mut ratios);
    let (least, most) = (ratios[0], ratios[ratios.len() - 1]);
    let verdict = if ratio >= target { "pass" } else { "MISS" };
    println!(
        "{what:<44} {:>9.3} ms {:>9.3} ms  -> {ratio:.2} ({least:.2} {most:.2})  target {target:.2}  {verdict}",
        median(&mut mine) * 1e3,
        median(&mut theirs) * 1e3
    );
}

fn main() {
    process::init();
    #[cfg(feature = "procspawn")]
    procspawn::init();
    let told = |what: &str| std::env::args().any(|arg| arg == what);
    let rounds = if told("--quick") { 3 } else { 9 };
    if told("words") {
        return word_count::measure(told("--quick"));
    }
    let pool = Pool::new(WORKERS).expect("a pool");
    let threads = rayon_core::ThreadPoolBuilder::new().num_threads(WORKERS).build().expect("threads");
    (0..3).for_each(|_| _ = (tasks(&pool), rayon(&threads)));
    println!("{:<44} {:>12} {:>12}", "", "ringfence", "peer");
    race("10,000 tasks, 2 workers, rayon's spawn", 0.2, rounds, || tasks(&pool), || rayon(&threads));
    if python().is_some() {
        let peer = || python().expect("python3");
        race("10,000 tasks, 2 workers, Python's chunksize=1", 20.0, rounds.min(5), || tasks(&pool), peer);
    } else {
        println!("no python3");
    }
    #[cfg(feature = "procspawn")]
    race("10,000 tasks, 2 workers, procspawn", 5.0, rounds.min(5), || tasks(&pool), procspawn);
    race("1,000,000 integers in 8 chunks, threads", 0.9, rounds.min(5), || integers(&pool), on_threads);
    let (bytes, mut other) = (vec![1; BYTES], vec![2; BYTES]);
    (0..3).for_each(|_| _ = (argument(&pool, &bytes), copy(&bytes, &mut other)));
    let memcpy = || copy(&bytes, &mut other);
    race("64 MiB argument, memcpy", 1.0 / 1.5, 3 * rounds, || argument(&pool, &bytes), memcpy);
    drop(pool);
    word_count::measure(told("--quick"));
}
