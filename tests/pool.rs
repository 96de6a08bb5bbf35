//! Pools: Python's interface, line by line, with real workers.

mod common;

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use common::chance::Chance;
use common::{PATIENCE, fork, reap};
use ringfence::pool::{Broken, Callbacks, Pool, PoolError, PoolOptions, TaskError};
use ringfence::{Channel, Event, Segment, WorkQueue, process};

/// Where the workers of these tests come to.
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

fn add(a: i64, b: i64) -> i64 {
    a + b
}

fn fails_at(x: u64, bad: u64) -> u64 {
    assert!(x != bad, "not {bad}");
    x
}

fn worker_of(_: u64) -> (String, u32) {
    (process::current_process().name, std::process::id())
}

/// A value that has no encoding if it is negative.
#[derive(Clone, Debug, PartialEq, serde::Deserialize)]
struct Positive(i64);

impl serde::Serialize for Positive {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.0 < 0 {
            return Err(serde::ser::Error::custom("it is negative"));
        }
        serializer.serialize_newtype_struct("Positive", &self.0)
    }
}

fn negate(x: i64) -> Positive {
    Positive(-x)
}

fn value_of(x: Positive) -> i64 {
    x.0
}

/// Says that it is here, and waits until it may go on.
fn gate(segment: String) -> u64 {
    let segment = Segment::open(&segment).unwrap();
    Event::open(&segment, "here").unwrap().set().unwrap();
    Event::open(&segment, "go").unwrap().wait().unwrap();
    17
}

fn touch(path: String) -> u32 {
    use std::io::Write;
    let mut file = std::fs::OpenOptions::new().append(true).create(true).open(path).unwrap();
    writeln!(file, "{}", std::process::id()).unwrap();
    std::process::id()
}

fn greet(path: String) {
    touch(path);
}

fn bad_start(reason: String) {
    panic!("no: {reason}");
}

fn leave(code: i32) {
    std::process::exit(code);
}

fn reverse(bytes: &[u8]) -> Vec<u8> {
    bytes.iter().rev().copied().collect()
}

ringfence::register!(square);
ringfence::register!(add);
ringfence::register!(fails_at);
ringfence::register!(worker_of);
ringfence::register!(negate);
ringfence::register!(value_of);
ringfence::register!(gate);
ringfence::register!(touch);
ringfence::register!(greet);
ringfence::register!(bad_start);
ringfence::register!(leave);
ringfence::register_bytes!(reverse);

fn not_registered(x: u64) -> u64 {
    x
}

/// A segment with the two events of `gate`.
struct Gate {
    name: common::Name,
    here: Event,
    go: Event,
}

impl Gate {
    fn new() -> Self {
        let name = common::Name::new("gate");
        let segment = name.create(&ringfence::SegmentOptions::new().size(64 << 10).objects(4));
        let open = |what| Event::open_or_create(&segment, what, ringfence::Reset::Manual).unwrap();
        Self { here: open("here"), go: open("go"), name }
    }
}

#[test]
fn a_call_is_made_in_a_worker() {
    init();
    let pool = Pool::new(2).unwrap();
    assert_eq!(pool.apply(square, (7,)), Ok(49));
    assert_eq!(pool.apply(add, (3, -5)), Ok(-2));
    let result = pool.apply_async(worker_of, (1,)).unwrap();
    let (name, pid) = result.get().unwrap();
    let workers = pool.workers().unwrap();
    assert_eq!(workers.len(), 2);
    assert!(workers.iter().any(|worker| worker.name == name && worker.pid == pid), "{name} {workers:?}");
    assert!(name.starts_with("PoolWorker-") && pid != std::process::id());
    assert_eq!(result.successful(), Ok(true));
    assert_eq!(pool.apply_bytes("reverse", b"abc"), Ok(b"cba".to_vec()));
    pool.close().unwrap();
    pool.join().unwrap();
    assert!(pool.workers().unwrap().is_empty());
}

// semantics 50
#[test]
fn map_keeps_the_order_and_runs_everything_before_it_fails() {
    init();
    let pool = Pool::new(2).unwrap();
    assert_eq!(pool.map(square, Vec::new()), Ok(vec![]));
    for chunk in [1, 2, 7, 100, 1000] {
        let squares: Vec<u64> = (0..100).map(square).collect();
        assert_eq!(pool.map_chunked(square, 0..100, chunk), Ok(squares), "chunks of {chunk}");
    }
    // More tasks than the queue has places, and more results than the ring takes.
    assert_eq!(pool.map_chunked(square, 0..3000, 1), Ok((0..3000).map(square).collect()));
    assert_eq!(pool.starmap(add, (0..50).map(|i| (i, 2 * i))), Ok((0..50).map(|i| 3 * i).collect()));
    assert_eq!(pool.map_chunked(square, [1], 0), Err(TaskError::ChunkSize));
    assert!(matches!(pool.imap_chunked(square, [1_u64], 0), Err(TaskError::ChunkSize)));

    let file = std::env::temp_dir().join(format!("ringfence-pool-{}", std::process::id()));
    let _ = std::fs::remove_file(&file);
    let path = file.to_str().unwrap().to_owned();
    // The first fails; all others are run, also those of its chunk.
    let mut paths = vec!["/nowhere/at/all".to_owned()];
    paths.extend(std::iter::repeat_n(path, 9));
    for chunk in [1, 5, 10] {
        match pool.map_chunked(touch, paths.clone(), chunk) {
            Err(TaskError::Panicked(panic)) => assert!(panic.message.contains("NotFound"), "{panic}"),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(std::fs::read_to_string(&file).unwrap().lines().count(), 27);
    std::fs::remove_file(&file).unwrap();
}

// semantics 50: the default chunk is about items / (4 * workers)
#[test]
fn the_default_chunk_is_a_quarter_of_a_workers_share() {
    init();
    let pool = Pool::new(3).unwrap();
    pool.map(square, 0..1200).unwrap();
    assert_eq!(pool.tally().unwrap().submitted, 12);
    pool.map(square, 0..1201).unwrap();
    assert_eq!(pool.tally().unwrap().submitted, 24);
}

// semantics 51
#[test]
fn a_failed_call_says_why_and_leaves_the_pool_working() {
    init();
    let pool = Pool::new(2).unwrap();
    match pool.apply(fails_at, (3, 3)) {
        Err(TaskError::Panicked(panic)) => {
            assert_eq!(panic.message, "not 3");
            assert!(panic.location.starts_with(file!()), "{}", panic.location);
            assert!(panic.backtrace.contains("fails_at"), "{}", panic.backtrace);
        }
        other => panic!("{other:?}"),
    }
    // A result that cannot be encoded, and an argument.
    match pool.apply(negate, (3,)) {
        Err(TaskError::Result { reason }) => assert!(reason.contains("it is negative"), "{reason}"),
        other => panic!("{other:?}"),
    }
    match pool.apply(value_of, (Positive(-3),)) {
        Err(TaskError::Arguments { reason }) => assert!(reason.contains("it is negative"), "{reason}"),
        other => panic!("{other:?}"),
    }
    // Of a chunk only that call fails.
    let values: Vec<_> = pool.imap_chunked(value_of, [1, -2, 3].map(Positive), 3).unwrap().collect();
    assert!(matches!(values[..], [Ok(1), Err(TaskError::Arguments { .. }), Ok(3)]), "{values:?}");
    let values: Vec<_> = pool.imap_chunked(negate, [-1, 2, -3], 3).unwrap().collect();
    assert!(matches!(&values[..], [Ok(Positive(1)), Err(TaskError::Result { .. }), Ok(Positive(3))]), "{values:?}");
    assert!(matches!(pool.apply(not_registered, (1,)), Err(TaskError::Registry(_))));
    match pool.apply_bytes("nothing of that name", b"") {
        Err(TaskError::NoFunction { reason }) => assert!(reason.contains("nothing of that name"), "{reason}"),
        other => panic!("{other:?}"),
    }
    assert!(matches!(pool.apply_bytes("square", b""), Err(TaskError::NoFunction { .. })));
    assert_eq!(pool.apply(square, (5,)), Ok(25));
    assert_eq!(pool.tally().unwrap().deaths, 0);
}

// semantics 52
#[test]
fn a_result_that_is_not_there_may_be_asked_for_again() {
    init();
    let gate_ = Gate::new();
    let pool = Pool::new(1).unwrap();
    let result = pool.apply_async(gate, (gate_.name.0.clone(),)).unwrap();
    gate_.here.wait().unwrap();
    assert_eq!((result.ready(), result.successful()), (false, Err(TaskError::NotReady)));
    assert_eq!(result.get_timeout(Duration::from_millis(1)), Err(TaskError::TimedOut));
    assert_eq!(result.get_timeout(Duration::ZERO), Err(TaskError::TimedOut));
    assert!(!result.wait_timeout(Duration::from_millis(1)));
    gate_.go.set().unwrap();
    result.wait();
    assert_eq!((result.ready(), result.successful()), (true, Ok(true)));
    assert_eq!((result.get(), result.get()), (Ok(17), Ok(17)));

    gate_.go.clear().unwrap();
    gate_.here.clear().unwrap();
    let mut results = pool.imap(gate, [gate_.name.0.clone()]).unwrap();
    gate_.here.wait().unwrap();
    assert_eq!(results.next_timeout(Duration::from_millis(1)), Some(Err(TaskError::TimedOut)));
    gate_.go.set().unwrap();
    assert_eq!(results.next_timeout(PATIENCE), Some(Ok(17)));
    assert_eq!(results.next(), None);
    let failed = pool.apply_async(fails_at, (1, 1)).unwrap();
    failed.wait();
    assert_eq!(failed.successful(), Ok(false));
}

// semantics 53
#[test]
fn imap_gives_results_as_they_come() {
    init();
    let pool = Pool::new(2).unwrap();
    for chunk in [1, 3, 50] {
        let squares: Vec<u64> = pool.imap_chunked(square, 0..50, chunk).unwrap().map(Result::unwrap).collect();
        assert_eq!(squares, (0..50).map(square).collect::<Vec<_>>());
        let unordered = pool.imap_unordered_chunked(square, 0..50, chunk).unwrap();
        let mut squares: Vec<u64> = unordered.map(Result::unwrap).collect();
        squares.sort_unstable();
        assert_eq!(squares, (0..50).map(square).collect::<Vec<_>>());
    }
    // An error stands where its call does, and those behind it come.
    let results: Vec<_> = pool.imap(FailsAtThree::call, 0..6).unwrap().collect();
    assert!(matches!(results[3], Err(TaskError::Panicked(_))));
    assert_eq!(results.iter().filter_map(|result| result.as_ref().ok()).collect::<Vec<_>>(), [&0, &1, &2, &4, &5]);
    // However long the iterator is, only so many of its items are taken ahead.
    let taken = Arc::new(AtomicU32::new(0));
    let counted = taken.clone();
    let endless = (0..).inspect(move |_| {
        counted.fetch_add(1, Ordering::Relaxed);
    });
    let some: Vec<u64> = pool.imap(square, endless).unwrap().take(100).map(Result::unwrap).collect();
    assert_eq!(some.len(), 100);
    assert!(taken.load(Ordering::Relaxed) < 1000);
    let empty: [u64; 0] = [];
    assert_eq!(pool.imap(square, empty).unwrap().next(), None);
}

struct FailsAtThree;
impl FailsAtThree {
    fn call(x: u64) -> u64 {
        fails_at(x, 3)
    }
}
ringfence::register!(FailsAtThree::call as "fails at three");

// semantics 54
#[test]
fn a_closed_pool_does_what_it_has_and_takes_no_more() {
    init();
    let gate_ = Gate::new();
    let pool = Pool::new(1).unwrap();
    assert_eq!(pool.join(), Err(PoolError::NotClosed));
    let first = pool.apply_async(gate, (gate_.name.0.clone(),)).unwrap();
    // More than the queue takes: what waits outside of it is done, too.
    let rest = pool.map_async_with(square, 0..2000, Some(1), Callbacks::new()).unwrap();
    gate_.here.wait().unwrap();
    pool.close().unwrap();
    pool.close().unwrap();
    assert_eq!(pool.apply(square, (1,)), Err(TaskError::Closed));
    assert!(matches!(pool.imap(square, [1_u64]), Err(TaskError::Closed)));
    assert!(!first.ready() && !rest.ready());
    gate_.go.set().unwrap();
    pool.join().unwrap();
    assert!(first.ready() && rest.ready());
    assert_eq!((first.get(), rest.get()), (Ok(17), Ok((0..2000).map(square).collect())));
    pool.join().unwrap();
}

// semantics 54
#[test]
fn a_terminated_pool_drops_what_it_has() {
    init();
    let gate_ = Gate::new();
    let pool = Pool::new(2).unwrap();
    let called = Arc::new(AtomicU32::new(0));
    let count = called.clone();
    let running = pool.apply_async(gate, (gate_.name.0.clone(),)).unwrap();
    let callbacks = Callbacks::new().error(move |error| {
        assert_eq!(error, TaskError::Terminated);
        count.fetch_add(1, Ordering::Relaxed);
    });
    let waiting =
        pool.map_async_with(gate, std::iter::repeat_n(gate_.name.0.clone(), 700), Some(1), callbacks).unwrap();
    gate_.here.wait().unwrap();
    let workers = pool.workers().unwrap();
    pool.terminate().unwrap();
    assert_eq!(pool.apply(square, (1,)), Err(TaskError::Terminated));
    pool.join().unwrap();
    assert_eq!(running.get(), Err(TaskError::Terminated));
    assert_eq!(waiting.get(), Err(TaskError::Terminated));
    assert_eq!(called.load(Ordering::Relaxed), 1);
    for worker in workers {
        assert_eq!(common::state_of(worker.pid), None, "{worker:?}");
    }
}

// semantics 54: leaving the scope ends with terminate, not with close
#[test]
fn a_dropped_pool_is_terminated() {
    init();
    let gate_ = Gate::new();
    let (result, workers) = {
        let pool = Pool::new(1).unwrap();
        let result = pool.apply_async(gate, (gate_.name.0.clone(),)).unwrap();
        gate_.here.wait().unwrap();
        (result, pool.workers().unwrap())
    };
    assert_eq!(result.get(), Err(TaskError::Terminated));
    assert_eq!(common::state_of(workers[0].pid), None);
}

// semantics 55
#[test]
fn a_worker_ends_after_so_many_chunks_and_its_successor_is_initialized() {
    init();
    let file = std::env::temp_dir().join(format!("ringfence-pool-init-{}", std::process::id()));
    let _ = std::fs::remove_file(&file);
    let path = file.to_str().unwrap().to_owned();
    let invalid = PoolOptions::new().max_tasks_per_child(0).create();
    assert!(matches!(invalid, Err(PoolError::InvalidArgument(_))));
    let pool = PoolOptions::new().workers(1).max_tasks_per_child(2).initializer(greet, (path,)).create().unwrap();
    let mut workers: Vec<_> = pool.map_chunked(worker_of, 0..20, 5).unwrap();
    assert!(workers.windows(5).step_by(5).all(|chunk| chunk.iter().all(|worker| *worker == chunk[0])));
    workers.dedup();
    // Four chunks of five, two for each.
    let names: Vec<_> = workers.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["PoolWorker-1", "PoolWorker-2"]);
    let started: Vec<u32> = std::fs::read_to_string(&file).unwrap().lines().map(|line| line.parse().unwrap()).collect();
    assert_eq!(started[..2], [workers[0].1, workers[1].1]);
    assert_eq!(pool.tally().unwrap().deaths, 0);
    pool.close().unwrap();
    pool.join().unwrap();
    std::fs::remove_file(&file).unwrap();
}

// semantics 193
#[test]
fn a_failing_initializer_fails_every_task_and_is_not_tried_for_ever() {
    init();
    let pool = PoolOptions::new().workers(2).initializer(bad_start, ("x".to_owned(),)).create().unwrap();
    let failed = |result: Result<u64, TaskError>| match result {
        Err(TaskError::Broken(Broken::Initializer { function, error })) => {
            assert_eq!(function, "bad_start");
            assert!(matches!(*error, TaskError::Panicked(panic) if panic.message == "no: x"));
        }
        other => panic!("{other:?}"),
    };
    failed(pool.apply(square, (1,)));
    failed(pool.apply(square, (1,)));
    pool.join().unwrap();

    // One that ends its process says nothing, and is not tried for ever either.
    let pool = PoolOptions::new().workers(2).initializer(leave, (3,)).create().unwrap();
    match pool.apply(square, (1,)) {
        Err(TaskError::Broken(Broken::WorkersDie { workers, signal: None })) => assert!(workers > 2),
        other => panic!("{other:?}"),
    }
    assert!(matches!(
        PoolOptions::new().initializer(not_registered, (1,)).create(),
        Err(PoolError::Initializer(TaskError::Registry(_)))
    ));
}

// semantics 195
#[test]
fn callbacks_run_once_on_the_collector() {
    init();
    let pool = Arc::new(Pool::new(2).unwrap());
    let (say, hear) = mpsc::channel();
    let (ok, failed) = (say.clone(), say.clone());
    let callbacks = move || {
        let (ok, failed) = (ok.clone(), failed.clone());
        let ok = move |value: u64| ok.send((std::thread::current().id(), Ok(value))).unwrap();
        Callbacks::new().success(ok).error(move |error| failed.send((std::thread::current().id(), Err(error))).unwrap())
    };
    pool.apply_async_with(square, (6,), callbacks()).unwrap().wait();
    pool.apply_async_with(fails_at, (6, 6), callbacks()).unwrap().wait();
    let (first, value) = hear.recv_timeout(PATIENCE).unwrap();
    let (second, error) = hear.recv_timeout(PATIENCE).unwrap();
    assert_eq!((value, first), (Ok(36), second));
    assert!(matches!(error, Err(TaskError::Panicked(_))) && first != std::thread::current().id());

    // A callback that panics is nobody's misfortune, and one that waits for the pool is told.
    let panics = Callbacks::new().success(|_: u64| panic!("in a callback"));
    assert_eq!(pool.apply_async_with(square, (2,), panics).unwrap().get(), Ok(4));
    let (tell, told) = mpsc::channel();
    let inner = pool.clone();
    let waits = Callbacks::new().success(move |_: u64| {
        tell.send((inner.apply(square, (3,)), inner.join())).unwrap();
    });
    pool.apply_async_with(square, (2,), waits).unwrap().wait();
    assert_eq!(told.recv_timeout(PATIENCE).unwrap(), (Err(TaskError::WouldDeadlock), Err(PoolError::WouldDeadlock)));
    let (say, hear) = mpsc::channel();
    let all = Callbacks::new().success(move |all: Vec<u64>| say.send(all).unwrap());
    pool.map_async_with(square, Vec::new(), None, all).unwrap().wait();
    assert_eq!(hear.recv_timeout(PATIENCE).unwrap(), []);
    assert!(hear.recv().is_err());
}

// semantics 196
#[test]
fn a_pool_belongs_to_its_process() {
    init();
    let pool = Pool::new(1).unwrap();
    let child = fork(|| {
        let pool = common::unsafe_copy(&pool);
        assert_eq!(pool.apply(square, (2,)), Err(TaskError::OtherProcess));
        assert_eq!(pool.map(square, 0..3), Err(TaskError::OtherProcess));
        assert!(matches!(pool.imap(square, [1_u64]), Err(TaskError::OtherProcess)));
        assert_eq!(pool.apply_bytes("reverse", b"ab"), Err(TaskError::OtherProcess));
        assert_eq!(pool.tally(), Err(PoolError::OtherProcess));
        assert_eq!(pool.close(), Err(PoolError::OtherProcess));
        assert_eq!(pool.terminate(), Err(PoolError::OtherProcess));
        assert_eq!(pool.join(), Err(PoolError::OtherProcess));
        assert_eq!(pool.workers(), Err(PoolError::OtherProcess));
        drop(pool);
    });
    assert_eq!(reap(child), 0);
    assert_eq!(pool.apply(square, (2,)), Ok(4));
}

#[test]
fn a_pool_may_be_used_by_many_threads() {
    init();
    let pool = Pool::new(2).unwrap();
    std::thread::scope(|scope| {
        for thread in 0..4_u64 {
            let pool = &pool;
            scope.spawn(move || {
                for i in 0..50 {
                    assert_eq!(pool.apply(square, (thread * 100 + i,)), Ok(square(thread * 100 + i)));
                }
                assert_eq!(pool.map(square, 0..thread * 100), Ok((0..thread * 100).map(square).collect()));
            });
        }
    });
    let tally = pool.tally().unwrap();
    assert_eq!((tally.submitted, tally.repeated, tally.garbage), (tally.answered, 0, 0));
}

// semantics 194
#[test]
fn what_is_longer_than_a_place_goes_through_memory_of_its_own() {
    init();
    let pool = Pool::new(2).unwrap();
    for len in [1, 1_900, 2_048, 4_096, 100_000, 5 << 20] {
        let bytes: Vec<u8> = (0..len).map(|i| (i % 251) as u8).collect();
        let reversed: Vec<u8> = bytes.iter().rev().copied().collect();
        assert!(pool.apply_bytes("reverse", &bytes) == Ok(reversed), "{len} bytes");
    }
    // More of them than are kept, at once and out of order.
    let many: Vec<_> = (0..100_u64)
        .map(|i| pool.apply_bytes_async("reverse", &vec![i as u8; 3000 + 1000 * (i as usize * 37 % 100)]).unwrap())
        .collect();
    for (i, result) in many.iter().enumerate() {
        let bytes = result.get().unwrap();
        assert!(bytes.len() == 3000 + 1000 * (i * 37 % 100) && bytes.iter().all(|byte| *byte == i as u8));
    }
    let texts: Vec<String> = (0..20).map(|i| i.to_string().repeat(10_000)).collect();
    assert_eq!(pool.map(length_of, texts.clone()).unwrap(), texts.iter().map(String::len).collect::<Vec<_>>());
}

fn length_of(text: String) -> usize {
    text.len()
}
ringfence::register!(length_of);

#[test]
fn a_named_pool_leaves_no_name() {
    init();
    let name = common::Name::new("pool");
    let pool = PoolOptions::new().workers(1).segment_name(&name.0).create().unwrap();
    assert_eq!(pool.segment_name(), Some(name.0.as_str()));
    assert_eq!(common::listed(&name.0), [name.0.as_str()]);
    assert_eq!(pool.apply(square, (2,)), Ok(4));
    drop(pool);
    assert!(common::listed(&name.0).is_empty());
    assert!(matches!(PoolOptions::new().workers(0).create(), Err(PoolError::InvalidArgument(_))));
}

// semantics 199
#[test]
fn garbage_is_passed_over_and_counted() {
    init();
    let name = common::Name::new("garbage");
    let pool = PoolOptions::new().workers(2).segment_name(&name.0).create().unwrap();
    let segment = Segment::open(&name.0).unwrap();
    let tasks = WorkQueue::open(&segment, "pool.tasks").unwrap();
    let results = Channel::open(&segment, "pool.results").unwrap();
    let mut chance = Chance::new(300);
    // A genuine answer of the past, for bytes that nearly are one: task 1 in slot 0.
    assert_eq!(pool.apply(square, (3,)), Ok(9));
    let mut answer = b"\x01\0\x01\0\0\0\0\0\x02\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0".to_vec();
    let mut sent = 0;
    for round in 0..chance.rounds as u64 {
        let bytes: Vec<u8> = (0..chance.below(200)).map(|_| chance.below(256) as u8).collect();
        if tasks.try_push(&bytes).is_ok() {
            sent += 1;
        }
        results.send(&bytes).unwrap();
        let at = chance.index(answer.len());
        // Not its number: that could be the one of a task under way.
        if !(8..16).contains(&at) {
            answer[at] = chance.below(256) as u8;
        }
        // Nor a worker of the pool's: its initializer may fail.
        answer[8..20].copy_from_slice(b"\0\0\0\0\0\x01\0\0\xff\xff\xff\xff");
        results.send(&answer).unwrap();
        assert_eq!(pool.apply(square, (round,)), Ok(round * round));
        chance.checked += 1;
    }
    // What was pushed before it is passed over before it is done.
    assert_eq!(pool.map(square, 0..100), Ok((0..100).map(square).collect()));
    let tally = pool.tally().unwrap();
    assert!(tally.garbage > sent && tally.answered == tally.submitted, "{tally:?}");
    assert_eq!(pool.workers().unwrap().len(), 2);
    assert_eq!(tally.deaths, 0);
}

/// The second answer to a task, as its worker's death may bring it, is not taken for that of the next in its slot.
// semantics 189
#[test]
fn an_answer_to_another_task_is_passed_over() {
    init();
    let name = common::Name::new("second-answer");
    let gate_ = Gate::new();
    let pool = PoolOptions::new().workers(1).queue(1, 256).segment_name(&name.0).create().unwrap();
    assert_eq!(pool.apply(square, (3,)), Ok(9));
    let result = pool.apply_async(gate, (gate_.name.0.clone(),)).unwrap();
    gate_.here.wait().unwrap();
    let results = Channel::open(&Segment::open(&name.0).unwrap(), "pool.results").unwrap();
    // By docs/layout.md, 12.3: task 1, in slot 0, is done, and one call has the result 9.
    let head = b"\x01\0\x01\0\0\0\0\0\x01\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0\x06\0\0\0\0\0\0\0";
    let again = [&head[..], b"\0\x01\0\0\0\x09"].concat();
    results.send(&again).unwrap();
    common::until("it is received", || pool.tally().unwrap().repeated == 1 || result.ready());
    assert!(!result.ready());
    gate_.go.set().unwrap();
    assert_eq!(result.get(), Ok(17));
}

#[test]
fn the_example() {
    common::run_example("pool", common::examples::pool);
}
