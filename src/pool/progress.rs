//! How far a pool is, and what each of its workers has done. Workers come and go, and the report must not grow with them: of those
//! that have ended only the last [`ENDED`] are listed, and of those of other programs, whose ends nobody tells, the last [`OTHERS`].

use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// Ended workers that are listed.
const ENDED: usize = 64;
/// Workers of other programs that are listed.
const OTHERS: usize = 1024;

/// How far a pool is, at one moment: [`Pool::progress`](super::Pool::progress).
///
/// What is counted are *tasks*: a call by `apply` is one, and so is a chunk of a `map`, however many calls it makes.
///
/// ```no_run
/// # fn square(x: u64) -> u64 { x * x }
/// # ringfence::register!(square);
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # ringfence::process::init();
/// # let pool = ringfence::pool::Pool::new(2)?;
/// let squares = pool.map_async(square, 0..1_000_000)?;
/// while !squares.wait_timeout(std::time::Duration::from_millis(100)) {
///     let progress = pool.progress()?;
///     eprintln!("{} of {} tasks", progress.done, progress.total);
///     for worker in progress.workers.iter().filter(|worker| worker.alive) {
///         eprintln!("  {}: {}", worker.name, worker.done);
///     }
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Progress {
    /// Tasks that are answered: by a worker, or by an error because there is no answer of a worker.
    pub done: u64,
    /// Tasks that were given to the pool so far.
    pub total: u64,
    /// The workers: the last 64 that have ended, then those that there are, each in the order in which they came.
    pub workers: Vec<WorkerProgress>,
    /// Tasks that were done by workers that are not listed any more.
    pub done_by_others: u64,
}

/// What a worker of a pool has done.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct WorkerProgress {
    /// Its name: `PoolWorker-N`. One of another program has none, and is called `#N` by the number that it took at the pool; it is
    /// listed from its first answer on.
    pub name: String,
    /// Its pid; `None` for one of another program.
    pub pid: Option<u32>,
    /// That it is not known to have ended. Nobody tells the pool of the end of one of another program.
    pub alive: bool,
    /// Tasks that it has answered: by a result, or by an error, as a panic. A task in which it died is no answer of anybody's.
    pub done: u64,
}

/// A worker of a pool.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct WorkerInfo {
    /// Its name: `PoolWorker-N`.
    pub name: String,
    /// Its pid.
    pub pid: u32,
}

/// What is counted for each worker.
#[derive(Debug, Default)]
pub(super) struct Counts {
    /// By the numbers of the workers. Those whose ends were not judged yet are among them.
    workers: BTreeMap<u32, WorkerProgress>,
    /// Those of other programs, by the order of their numbers.
    others: BTreeSet<u32>,
    ended: VecDeque<WorkerProgress>,
    folded: u64,
}

impl Counts {
    /// A worker of the pool's own is about to be started.
    pub(super) fn hire(&mut self, number: u32, name: String) {
        self.remove(number); // numbers come again after a million
        self.workers.insert(number, WorkerProgress { name, pid: None, alive: true, done: 0 });
    }

    /// It was started.
    pub(super) fn started(&mut self, number: u32, pid: Option<u32>) {
        if let Some(worker) = self.workers.get_mut(&number) {
            worker.pid = pid;
        }
    }

    /// It was not started after all.
    pub(super) fn dismiss(&mut self, number: u32) {
        self.workers.remove(&number);
    }

    /// It has ended, and what it had sent may not be received yet.
    pub(super) fn died(&mut self, number: u32) {
        if let Some(worker) = self.workers.get_mut(&number) {
            worker.alive = false;
        }
    }

    /// It has ended, and all that it had sent is received; its name.
    pub(super) fn ended(&mut self, number: u32) -> String {
        let Some(worker) = self.workers.remove(&number) else { return format!("#{number}") };
        let name = worker.name.clone();
        self.ended.push_back(worker);
        if self.ended.len() > ENDED
            && let Some(first) = self.ended.pop_front()
        {
            self.folded += first.done;
        }
        name
    }

    /// A task was answered by the worker of that number.
    pub(super) fn answered(&mut self, number: u32) {
        match self.workers.get_mut(&number) {
            Some(worker) => worker.done += 1,
            None => self.join(number),
        }
    }

    /// One of another program has answered for the first time.
    #[cold]
    fn join(&mut self, number: u32) {
        if self.others.len() >= OTHERS
            && let Some(first) = self.others.first().copied()
        {
            self.remove(first);
        }
        self.others.insert(number);
        self.workers.insert(number, WorkerProgress { name: format!("#{number}"), pid: None, alive: true, done: 1 });
    }

    fn remove(&mut self, number: u32) {
        if let Some(worker) = self.workers.remove(&number) {
            self.others.remove(&number);
            self.folded += worker.done;
        }
    }

    /// The workers of the pool's own that run.
    pub(super) fn running(&self) -> Vec<WorkerInfo> {
        let running = self.workers.values().filter(|worker| worker.alive);
        running.filter_map(|worker| Some(WorkerInfo { name: worker.name.clone(), pid: worker.pid? })).collect()
    }

    /// The report.
    pub(super) fn report(&self, done: u64, total: u64) -> Progress {
        let workers = self.ended.iter().chain(self.workers.values()).cloned().collect();
        Progress { done, total, workers, done_by_others: self.folded }
    }
}

// Inside, since a hundred thousand workers would take a test minutes.
#[cfg(test)]
mod tests {
    use super::*;

    fn sum(report: &Progress) -> u64 {
        report.workers.iter().map(|worker| worker.done).sum::<u64>() + report.done_by_others
    }

    #[test]
    fn a_report_does_not_grow_with_the_workers_that_there_were() {
        let mut counts = Counts::default();
        for number in 1..=100_000 {
            counts.hire(number, format!("PoolWorker-{number}"));
            counts.started(number, Some(number));
            (0..3).for_each(|_| counts.answered(number));
            counts.died(number);
            counts.ended(number);
            // One of another program beside it, which is never said to have ended.
            counts.answered(200_000 + number);
        }
        let report = counts.report(400_000, 400_000);
        assert_eq!((report.workers.len(), sum(&report)), (ENDED + OTHERS, 400_000));
        assert_eq!(report.workers[0].name, format!("PoolWorker-{}", 100_001 - ENDED));
        assert_eq!(report.workers[ENDED].name, format!("#{}", 300_001 - OTHERS));
        assert!(report.workers[..ENDED].iter().all(|worker| !worker.alive && worker.done == 3));
        assert!(counts.ended.capacity() < 4 * ENDED && counts.workers.len() == OTHERS);
    }

    #[test]
    fn a_number_that_comes_again_is_another_worker() {
        let mut counts = Counts::default();
        counts.answered(7);
        counts.hire(7, "PoolWorker-1".to_owned());
        counts.answered(7);
        counts.hire(8, "PoolWorker-2".to_owned());
        counts.dismiss(8);
        let report = counts.report(2, 3);
        let listed: Vec<_> = report.workers.iter().map(|worker| (worker.name.as_str(), worker.done)).collect();
        assert_eq!((listed, counts.others.len(), sum(&report)), (vec![("PoolWorker-1", 1)], 0, 2));
    }
}
