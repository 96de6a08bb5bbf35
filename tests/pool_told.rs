//! What a pool tells of itself: how far it is, and who has done what.

mod common;

use common::until;
use ringfence::pool::{Pool, PoolError, PoolOptions, Progress, TaskError};
use ringfence::{Array, Event, Reset, Segment, SegmentOptions, process};

#[test]
fn worker_entry() {
    init();
}

fn init() {
    process::init_test("worker_entry");
}

fn square(x: u64) -> u64 {
    x * x
}

fn fails(x: u64) -> u64 {
    panic!("no {x}");
}

/// Says that it is here, and waits until it may go on.
fn gate(segment: String) -> u32 {
    let segment = Segment::open(&segment).unwrap();
    Array::<u64>::open(&segment, "begun").unwrap().fetch_add(0, 1).unwrap();
    Event::open(&segment, "go").unwrap().wait().unwrap();
    std::process::id()
}

ringfence::register!(square);
ringfence::register!(fails);
ringfence::register!(gate);

/// A segment with what `gate` uses.
struct Gate {
    name: common::Name,
    begun: Array<u64>,
    go: Event,
}

impl Gate {
    fn new() -> Self {
        let name = common::Name::new("told");
        let segment = name.create(&SegmentOptions::new().size(64 << 10).objects(4).participants(64));
        let begun = Array::create(&segment, "begun", 1).unwrap();
        Self { begun, go: Event::create(&segment, "go", Reset::Manual).unwrap(), name }
    }

    /// Waits until so many have come, all together.
    fn came(&self, count: u64) {
        until("they come to the gate", || self.begun.get(0) == Some(count));
    }
}

/// Done, total, and done by workers, listed or not.
fn figures(progress: &Progress) -> (u64, u64, u64) {
    let by_workers = progress.workers.iter().map(|worker| worker.done).sum::<u64>();
    (progress.done, progress.total, by_workers + progress.done_by_others)
}

// semantics 206 and 207
#[test]
fn progress_is_told() {
    init();
    let gate_ = Gate::new();
    let pool = Pool::new(2).unwrap();
    let progress = pool.progress().unwrap();
    assert_eq!(figures(&progress), (0, 0, 0));
    let listed: Vec<_> = progress.workers.iter().map(|worker| (worker.name.clone(), worker.pid)).collect();
    let workers: Vec<_> = pool.workers().unwrap().into_iter().map(|worker| (worker.name, Some(worker.pid))).collect();
    assert_eq!(listed, workers);
    // A chunk is a task, whatever becomes of its calls.
    pool.map_chunked(square, 0..100, 10).unwrap();
    assert!(pool.map_chunked(fails, 0..4, 2).is_err());
    assert_eq!(figures(&pool.progress().unwrap()), (12, 12, 12));
    let held = pool.apply_async(gate, (gate_.name.0.clone(),)).unwrap();
    gate_.came(1);
    assert_eq!(figures(&pool.progress().unwrap()), (12, 13, 12));
    gate_.go.set().unwrap();
    let pid = held.get().unwrap();
    let progress = pool.progress().unwrap();
    assert_eq!(figures(&progress), (13, 13, 13));
    let before = progress.workers.iter().find(|worker| worker.pid == Some(pid)).unwrap().clone();
    assert!(before.done > 0 && before.alive);

    // One that dies in a task has not done that; what it did before stays.
    gate_.go.clear().unwrap();
    let victims = [0, 1].map(|_| pool.apply_async(gate, (gate_.name.0.clone(),)).unwrap());
    gate_.came(3);
    common::kill(pid as i32);
    until("one task fails", || victims.iter().any(|victim| victim.ready()));
    gate_.go.set().unwrap();
    let failed = victims.iter().filter(|victim| victim.get() == Err(TaskError::WorkerDied { signal: Some(9) })).count();
    assert_eq!(failed, 1);
    until("the successor", || pool.workers().unwrap().len() == 2);
    let progress = pool.progress().unwrap();
    assert_eq!(figures(&progress), (15, 15, 14));
    let dead = &progress.workers[0];
    assert_eq!((dead.pid, dead.done, dead.alive), (Some(pid), before.done, false));
    assert!(progress.workers[1..].iter().all(|worker| worker.alive));
    assert_eq!(progress.workers[2].name, "PoolWorker-3");

    let child = common::fork(|| {
        let pool = common::unsafe_copy(&pool);
        assert_eq!(pool.progress(), Err(PoolError::OtherProcess));
    });
    assert_eq!(common::reap(child), 0);
    pool.close().unwrap();
    pool.join().unwrap();
    assert!(pool.progress().unwrap().workers.iter().all(|worker| !worker.alive));
}

// semantics 207
#[test]
fn only_so_many_workers_that_have_ended_are_listed() {
    init();
    let pool = PoolOptions::new().workers(2).max_tasks_per_child(1).create().unwrap();
    pool.map_chunked(square, 0..80, 1).unwrap();
    pool.close().unwrap();
    pool.join().unwrap();
    let progress = pool.progress().unwrap();
    assert_eq!(figures(&progress), (80, 80, 80));
    assert!(progress.workers.len() <= 64 + 2 && progress.done_by_others >= 80 - 66, "{progress:?}");
}
