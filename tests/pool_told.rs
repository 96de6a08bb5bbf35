//! What a pool tells of itself: how far it is, who has done what, and in the log what happens to workers and tasks.

mod common;

use std::process::{Command, Stdio};

use common::{role, until};
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

fn kills_itself() {
    common::kill(std::process::id() as i32);
}

fn bad_start() {
    panic!("no start");
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
ringfence::register!(kills_itself);
ringfence::register!(bad_start);

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

/// A pool whose workers die in a task and without one, and one that cannot start.
#[test]
fn role_entry() {
    if role().is_none() {
        return;
    }
    init();
    let pool = PoolOptions::new().workers(1).retries(1).create().unwrap();
    assert_eq!(pool.apply(square, (3,)), Ok(9));
    assert_eq!(pool.apply(kills_itself, ()), Err(TaskError::WorkerDied { signal: Some(9) }));
    assert_eq!(pool.apply(square, (3,)), Ok(9));
    let idle = pool.workers().unwrap()[0].pid;
    common::kill(idle as i32);
    until("a successor", || pool.workers().unwrap().iter().any(|worker| worker.pid != idle));
    assert_eq!(pool.apply(square, (3,)), Ok(9));
    pool.close().unwrap();
    pool.join().unwrap();
    let pool = PoolOptions::new().workers(1).initializer(bad_start, ()).worker_name("Other").create().unwrap();
    assert!(matches!(pool.apply(square, (3,)), Err(TaskError::Broken(_))));
}

/// The lines of the log of that process which are the pools'.
fn told(level: &str) -> Vec<String> {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "role_entry", "--nocapture", "--test-threads=1"])
        .env("RINGFENCE_TEST_ROLE", "parent")
        .env("RINGFENCE_LOG", level)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let lines = String::from_utf8(output.stderr).unwrap();
    let of_pools = ["task", "takes the place", "given up"];
    let lines = lines.lines().filter(|line| line.starts_with('[') && of_pools.iter().any(|text| line.contains(text)));
    // What the queue tells of its messages is another matter, and before the second pool gives up it may try others.
    lines.filter(|line| !line.contains("pool.tasks") && !line.contains("Other-")).map(str::to_owned).collect()
}

// semantics 208
#[test]
fn deaths_and_what_is_done_about_them_are_told() {
    let errors = [
        "[ERROR/MainProcess] task 2 has failed: PoolWorker-2 was ended by SIGKILL (9) in it",
        "[ERROR/MainProcess] the pool has given up: the pool has no workers: the initializer \"bad_start\" failed: the task panicked at ",
    ];
    let warnings = [
        "[WARNING/PoolWorker-2] begins task 2 again: attempt 2 of 2",
        "[WARNING/MainProcess] PoolWorker-2 was ended by SIGKILL (9) in task 2",
        "[WARNING/MainProcess] PoolWorker-3 was ended by SIGKILL (9); no task waits for it",
    ];
    let replaced = |n: u32| format!("[INFO/MainProcess] PoolWorker-{n} takes the place of a worker that has ended");
    // The task may be begun again before its first worker's death is judged; then nothing waits for that one.
    let first = "[WARNING/MainProcess] PoolWorker-1 was ended by SIGKILL (9)";
    let either = [" in task 2, which is tried again", "; no task waits for it"];

    let log = told("info");
    for expected in errors.iter().chain(&warnings).map(|line| (*line).to_owned()).chain((2..5).map(replaced)) {
        assert_eq!(log.iter().filter(|line| line.starts_with(&expected)).count(), 1, "{expected} in {log:#?}");
    }
    assert!(log.iter().any(|line| either.iter().any(|end| *line == format!("{first}{end}"))), "{log:#?}");
    assert_eq!(log.len(), 9, "{log:#?}");
    let log = told("error");
    assert!(log.len() == 2 && log.iter().zip(errors).all(|(line, error)| line.starts_with(error)), "{log:#?}");
    assert_eq!(told("off"), Vec::<String>::new());
}
