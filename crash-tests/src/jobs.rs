//! Work shared out to processes: the rig is single-threaded, since it forks.

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use crate::os::{Child, become_worker, share};

/// Calls `play` once with every number below `count`, each in one of `jobs` processes: whoever is free takes the next.
pub fn share_out(jobs: usize, count: usize, play: impl Fn(usize)) {
    // SAFETY: an atomic, for which zero is valid.
    let next = unsafe { share::<AtomicU64>() };
    let worker = |job| {
        become_worker(job);
        loop {
            match next.fetch_add(1, Relaxed) as usize {
                nth if nth < count => play(nth),
                _ => return,
            }
        }
    };
    let mut workers: Vec<Child> = (0..jobs.clamp(1, count.max(1))).map(|job| Child::fork(|| worker(job))).collect();
    for worker in &mut workers {
        while worker.wait(Duration::from_secs(1)).is_none() {}
    }
}

/// As many jobs as there are processors for us.
pub fn default_jobs() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}
