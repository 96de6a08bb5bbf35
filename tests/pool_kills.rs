//! Pools whose workers are killed: every task is answered exactly once, and everything else goes on.

mod common;

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use common::chance::Chance;
use common::{PATIENCE, Role, role, until, until_it_stands_still};
use ringfence::pool::{Callbacks, Pool, PoolOptions, TaskError};
use ringfence::{Array, Channel, Event, Reset, Segment, SegmentOptions, WorkQueue, process};

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

/// The same, and it takes a while.
fn slowly(x: u64) -> u64 {
    (0..20_000_u64).fold(x, |sum, i| std::hint::black_box(sum ^ i));
    square(x)
}

/// Says who works on it, and waits to be killed; the last time it goes through.
fn dies(segment: String, item: usize, times: u64) -> u64 {
    let segment = Segment::open(&segment).unwrap();
    let begun = Array::<u64>::open(&segment, "begun").unwrap();
    let pids = Array::<u64>::open(&segment, "pids").unwrap();
    let before = begun.fetch_add(item, 1).unwrap();
    if before < times {
        pids.set(item, std::process::id().into()).unwrap();
        Event::open(&segment, "never").unwrap().wait().unwrap();
    }
    before
}

/// Kills itself.
fn kills_itself(signal: i32) {
    // SAFETY: touches no memory.
    unsafe { libc::kill(libc::getpid(), signal) };
    common::sleep_for_ever();
}

fn exits(code: i32) {
    std::process::exit(code);
}

/// Counts that it was run.
fn counts(segment: String, item: usize) -> usize {
    let segment = Segment::open(&segment).unwrap();
    Array::<u64>::open(&segment, "begun").unwrap().fetch_add(item, 1).unwrap();
    item
}

/// A result that takes its time to be sent: many pieces.
fn long(len: usize) -> String {
    "x".repeat(len)
}

ringfence::register!(square);
ringfence::register!(slowly);
ringfence::register!(dies);
ringfence::register!(kills_itself);
ringfence::register!(exits);
ringfence::register!(counts);
ringfence::register!(long);

/// What `dies` uses.
struct Stage {
    name: common::Name,
    pids: Array<u64>,
    begun: Array<u64>,
    never: Event,
}

impl Stage {
    fn new(items: usize) -> Self {
        let name = common::Name::new("stage");
        let segment = name.create(&SegmentOptions::new().size((64 << 10) + 16 * items).objects(8).participants(200));
        let never = Event::create(&segment, "never", Reset::Manual).unwrap();
        let (pids, begun) =
            (Array::create(&segment, "pids", items).unwrap(), Array::create(&segment, "begun", items).unwrap());
        Self { name, pids, begun, never }
    }

    fn name(&self) -> String {
        self.name.0.clone()
    }

    /// Kills the worker that has said that it works on the item.
    fn kill(&self, item: usize) {
        until("a worker begins the item", || self.pids.get(item) != Some(0));
        let pid = self.pids.get(item).unwrap() as i32;
        self.pids.set(item, 0).unwrap();
        common::kill(pid);
    }
}

fn pids(pool: &Pool) -> Vec<u32> {
    pool.workers().unwrap().iter().map(|worker| worker.pid).collect()
}

// semantics 56
#[test]
fn a_task_whose_worker_is_killed_fails_and_everything_else_goes_on() {
    init();
    let stage = Stage::new(1);
    let pool = Pool::new(2).unwrap();
    let before = pool.workers().unwrap();
    let victim = pool.apply_async(dies, (stage.name(), 0, 1)).unwrap();
    let others = pool.map_async(square, 0..500).unwrap();
    stage.kill(0);
    assert_eq!(victim.get_timeout(PATIENCE), Err(TaskError::WorkerDied { signal: Some(libc::SIGKILL) }));
    assert_eq!(others.get(), Ok((0..500).map(square).collect()));
    // Another worker has come, with a name of its own, and the task was begun once.
    until("the successor", || pool.workers().unwrap().len() == 2);
    let after = pool.workers().unwrap();
    assert_eq!(after.iter().filter(|worker| before.contains(worker)).count(), 1);
    assert!(after.iter().any(|worker| worker.name == "PoolWorker-3"), "{after:?}");
    assert_eq!(stage.begun.get(0), Some(1));
    assert_eq!(pool.apply(square, (4,)), Ok(16));
    assert_eq!(pool.tally().unwrap().deaths, 1);
}

// semantics 191
#[test]
fn however_a_worker_ends_in_a_task_it_is_told() {
    init();
    let pool = Pool::new(1).unwrap();
    for signal in [libc::SIGKILL, libc::SIGABRT, libc::SIGTERM] {
        let error = TaskError::WorkerDied { signal: Some(signal) };
        assert_eq!(pool.apply(kills_itself, (signal,)), Err(error));
    }
    for code in [0, 3] {
        assert_eq!(pool.apply(exits, (code,)), Err(TaskError::WorkerDied { signal: None }));
    }
    assert_eq!(pool.apply(square, (4,)), Ok(16));
}

// semantics 190
#[test]
fn a_task_is_tried_again_as_often_as_it_may_be() {
    init();
    let stage = Stage::new(3);
    let pool = PoolOptions::new().workers(1).retries(2).create().unwrap();
    for (item, kills) in [(0, 1), (1, 2), (2, 3)] {
        let result = pool.apply_async(dies, (stage.name(), item, kills)).unwrap();
        (0..kills).for_each(|_| stage.kill(item));
        match kills {
            3 => assert_eq!(result.get(), Err(TaskError::WorkerDied { signal: Some(libc::SIGKILL) })),
            _ => assert_eq!(result.get(), Ok(kills)),
        }
        assert_eq!(stage.begun.get(item), Some(kills + u64::from(kills < 3)));
    }
    let tally = pool.tally().unwrap();
    assert_eq!((tally.deaths, tally.answered), (6, 3));
}

// semantics 189
#[test]
fn two_workers_are_killed_at_once() {
    init();
    let stage = Stage::new(2);
    let pool = Pool::new(2).unwrap();
    let results: Vec<_> = (0..2).map(|item| pool.apply_async(dies, (stage.name(), item, 1)).unwrap()).collect();
    let waiting = pool.map_async(square, 0..100).unwrap();
    for item in 0..2 {
        until("both work", || stage.pids.get(item) != Some(0));
    }
    (0..2).for_each(|item| stage.kill(item));
    for result in results {
        assert_eq!(result.get(), Err(TaskError::WorkerDied { signal: Some(libc::SIGKILL) }));
    }
    assert_eq!(waiting.get(), Ok((0..100).map(square).collect()));
}

/// Idle workers cost nothing: no task fails.
// semantics 190
#[test]
fn idle_workers_are_killed() {
    init();
    let pool = Pool::new(2).unwrap();
    for round in 0..5_u64 {
        assert_eq!(pool.apply(square, (round,)), Ok(round * round));
        let dead = pids(&pool);
        dead.iter().for_each(|pid| common::kill(*pid as i32));
        assert_eq!(pool.apply(square, (round,)), Ok(round * round));
        until("two new ones", || pids(&pool).len() == 2 && pids(&pool).iter().all(|pid| !dead.contains(pid)));
    }
    assert_eq!(pool.tally().unwrap().deaths, 10);
}

/// A worker that is killed while it sends has answered, or not: a result is whole, or the task failed.
#[test]
fn workers_are_killed_while_they_answer() {
    init();
    let pool = PoolOptions::new().workers(2).results(4096).create().unwrap();
    let mut chance = Chance::new(20);
    for _ in 0..chance.rounds {
        let results: Vec<_> = (0..4).map(|_| pool.apply_async(long, (1 << 20,)).unwrap()).collect();
        chance.pause(Duration::from_millis(3));
        for pid in pids(&pool) {
            common::kill(pid as i32);
            chance.kills += 1;
        }
        for result in results {
            match result.get_timeout(PATIENCE) {
                Ok(text) => assert_eq!(text.len(), 1 << 20),
                Err(error) => assert_eq!(error, TaskError::WorkerDied { signal: Some(libc::SIGKILL) }),
            }
        }
    }
    assert_eq!(pool.apply(square, (4,)), Ok(16));
}

/// A verdict comes behind what the dead had sent, however late that is received: here a callback that takes long delays it.
// semantics 190 and 195
#[test]
fn what_a_worker_had_answered_counts_though_it_died() {
    init();
    let stage = Stage::new(1);
    let pool = Pool::new(1).unwrap();
    let (held, hold) = mpsc::channel();
    let (go_on, wait) = mpsc::channel();
    // The collector receives nothing for a while.
    let holds = Callbacks::new().success(move |_: u64| {
        held.send(()).unwrap();
        wait.recv().unwrap();
    });
    let first = pool.apply_async_with(square, (1,), holds).unwrap();
    hold.recv_timeout(PATIENCE).unwrap();
    let answered = pool.apply_async(square, (2,)).unwrap();
    let begun = pool.apply_async(dies, (stage.name(), 0, 1)).unwrap();
    let before = pids(&pool);
    stage.kill(0); // it has begun, so the one before it is answered
    until("the successor", || pids(&pool).len() == 1 && pids(&pool) != before);
    assert!(!answered.ready() && !begun.ready());
    go_on.send(()).unwrap();
    assert_eq!((first.get(), answered.get()), (Ok(1), Ok(4)));
    assert_eq!(begun.get(), Err(TaskError::WorkerDied { signal: Some(libc::SIGKILL) }));
}

/// The work of a closed pool is done though its workers die.
// semantics 192
#[test]
fn workers_of_a_closed_pool_are_replaced_while_there_is_work() {
    init();
    let stage = Stage::new(1);
    let pool = PoolOptions::new().workers(1).retries(1).create().unwrap();
    let result = pool.apply_async(dies, (stage.name(), 0, 1)).unwrap();
    let rest = pool.map_async(square, 0..100).unwrap();
    until("a worker begins", || stage.pids.get(0) != Some(0));
    pool.close().unwrap();
    stage.kill(0);
    pool.join().unwrap();
    assert_eq!((result.get(), rest.get()), (Ok(1), Ok((0..100).map(square).collect())));
}

/// Kills at random, once in each round, while a hundred tasks for each round are run: each is answered exactly once, and nobody
/// waits for ever. A thousand rounds are a thousand kills in a hundred thousand tasks.
fn random_kills(retries: u32, chunk: usize) {
    let mut chance = Chance::new(40);
    let kills = chance.rounds as u64;
    let tasks = 100 * kills * chunk as u64;
    let pool = PoolOptions::new().workers(3).retries(retries).create().unwrap();
    let answers = Arc::new(AtomicU64::new(0));
    let mut results = Vec::new();
    for first in (0..tasks).step_by(chunk) {
        let count = answers.clone();
        let again = answers.clone();
        let callbacks = Callbacks::new()
            .success(move |_| _ = count.fetch_add(1, Ordering::Relaxed))
            .error(move |_| _ = again.fetch_add(1, Ordering::Relaxed));
        let items = first..(first + chunk as u64).min(tasks);
        results.push(pool.map_async_with(slowly, items, Some(chunk), callbacks).unwrap());
    }
    let total = results.len() as u64;
    let (mut killed, mut last) = (0_u64, 0);
    // Spread over the work: who kills faster than workers can start does not let any begin.
    until_it_stands_still("all tasks are answered", || {
        let done = answers.load(Ordering::Relaxed);
        if killed < kills && done * kills > killed * total && done > last {
            let workers = pids(&pool);
            if !workers.is_empty() {
                let nth = chance.below(workers.len() as u64) as usize;
                common::kill(workers[nth] as i32);
                (killed, last) = (killed + 1, done);
                chance.kills += 1;
            }
        }
        (done == total, (done, killed))
    });
    let mut died = HashMap::new();
    for (nth, result) in results.iter().enumerate() {
        let first = nth as u64 * chunk as u64;
        match result.get_timeout(PATIENCE) {
            Ok(squares) => {
                assert_eq!(squares, (first..(first + chunk as u64).min(tasks)).map(square).collect::<Vec<_>>());
            }
            Err(error) => *died.entry(format!("{error}")).or_insert(0) += 1,
        }
    }
    let lost: u64 = died.values().sum();
    assert!(lost <= killed && (retries == 0 || lost == 0), "{died:?}");
    let tally = pool.tally().unwrap();
    assert_eq!((tally.submitted, tally.answered, tally.garbage), (total, total, 0));
    // A task that is begun once has one result, or died: a verdict never comes before what the dead had sent.
    assert!(retries > 0 || tally.repeated == 0, "{tally:?}");
    assert!(died.keys().all(|error| error.contains("signal 9")), "{died:?}");
    pool.close().unwrap();
    pool.join().unwrap();
    assert_eq!(answers.load(Ordering::Relaxed), total);
    chance.checked = total as usize;
    println!("{total} tasks, {killed} kills, {} deaths, {lost} lost, {} repeated", tally.deaths, tally.repeated);
}

// semantics 189
#[test]
fn random_kills_fail_at_most_the_tasks_they_hit() {
    init();
    random_kills(0, 1);
}

#[test]
fn random_kills_fail_no_task_that_may_be_tried_again() {
    init();
    random_kills(100, 1);
    random_kills(100, 10);
}

/// A pool whose process is killed: its workers end, and its name goes.
fn parent(name: String) {
    // For Ctrl-C: a group of its own, which the test can signal.
    // SAFETY: touches no memory.
    assert_eq!(unsafe { libc::setpgid(0, 0) }, 0);
    let stage = Stage::new(2);
    let pool = PoolOptions::new().workers(2).segment_name(name).create().unwrap();
    // One works, the other is idle.
    let _busy = pool.apply_async(dies, (stage.name(), 0, 1)).unwrap();
    until("one works", || stage.pids.get(0) != Some(0));
    let workers: Vec<String> = pids(&pool).iter().map(u32::to_string).collect();
    common::say(&format!("stage {}", stage.name()));
    common::say(&format!("workers {}", workers.join(" ")));
    common::sleep_for_ever();
}

#[test]
fn role_entry() {
    process::init_test("worker_entry");
    if let Some((role, arguments)) = role() {
        match role.as_str() {
            "parent" => parent(arguments[0].clone()),
            "starting" => starting(&arguments[0]),
            "handles" => handles(),
            other => panic!("{other}"),
        }
    }
}

// semantics 197
#[test]
fn the_workers_of_a_killed_process_end_and_leave_nothing() {
    init();
    let name = common::Name::new("pool-of-the-dead");
    let mut parent = Role::start("parent", &[&name.0]);
    let stage = common::Name(parent.said("stage "));
    let workers: Vec<u32> = parent.said("workers ").split(' ').map(|pid| pid.parse().unwrap()).collect();
    assert_eq!(workers.len(), 2);
    assert_eq!(common::listed(&name.0).len(), 1);
    parent.kill();
    for worker in workers {
        until("the worker ends", || common::state_of(worker).is_none_or(|state| state == 'Z'));
    }
    // They have taken the name away before they ended.
    assert!(common::listed(&name.0).is_empty());
    drop(stage);
}

/// Looks at its argument, which has the name of a stage in front of one byte over and over, waits, and looks again. It says who it is in
/// `pids`, and counts in `begun`: lookers, those that have seen the same again, and those that have not.
fn looks_twice(bytes: &[u8]) -> Vec<u8> {
    let name = std::str::from_utf8(&bytes[..64]).unwrap().trim_end().to_owned();
    let segment = Segment::open(&name).unwrap();
    let fill = bytes[64];
    let whole = || bytes[64..].iter().all(|byte| *byte == fill);
    assert!(whole());
    let begun = Array::<u64>::open(&segment, "begun").unwrap();
    let nth = begun.fetch_add(0, 1).unwrap();
    let pids = Array::<u64>::open(&segment, "pids").unwrap();
    pids.set(nth as usize, std::process::id().into()).unwrap();
    Event::open(&segment, "never").unwrap().wait().unwrap();
    begun.fetch_add(if whole() { 1 } else { 2 }, 1).unwrap();
    Vec::new()
}

fn last_byte(bytes: &[u8]) -> Vec<u8> {
    vec![bytes[bytes.len() - 1]]
}

ringfence::register_bytes!(looks_twice);
ringfence::register_bytes!(last_byte);

/// The number and the inode of what a pool of this process lends; no other test here has one that does.
fn lent() -> (u32, u64) {
    use std::os::unix::fs::MetadataExt;
    let numbers = std::fs::read_dir("/proc/self/fd").unwrap().map(|entry| entry.unwrap().path());
    let loan = |path: &std::path::Path| {
        std::fs::read_link(path).is_ok_and(|target| target.to_string_lossy().contains("ringfence-loan"))
    };
    let path = numbers.into_iter().find(|path| loan(path)).expect("something lent");
    (path.file_name().unwrap().to_str().unwrap().parse().unwrap(), path.metadata().unwrap().ino())
}

/// A worker is stopped while it reads what was lent. Then its task is answered: by what another had sent that died before it could
/// report the task done, or by another to which it was delivered meanwhile. The messages of those are made here, by docs/layout.md, 12.
// semantics 194
#[test]
fn memory_that_a_worker_may_still_read_is_not_written_again() {
    init();
    for begun_twice in [false, true] {
        let (stage, name) = (Stage::new(3), common::Name::new("lent"));
        let pool = PoolOptions::new().workers(2).retries(1).queue(1, 256).segment_name(&name.0).create().unwrap();
        let segment = Segment::open(&name.0).unwrap();
        let argument = |byte: char| format!("{:<64}{}", stage.name(), byte.to_string().repeat(1 << 20)).into_bytes();
        let first = pool.apply_bytes_async("looks_twice", &argument('a')).unwrap();
        until("a worker looks", || stage.pids.get(0) != Some(0));
        let reader = stage.pids.get(0).unwrap() as i32;
        // SAFETY: touches no memory.
        unsafe { libc::kill(reader, libc::SIGSTOP) };
        until("it stands", || common::state_of(reader) == Some('T'));
        if begun_twice {
            let (number, inode) = lent();
            let mut task = b"\x01\0\x02\0\0\0\0\0\x01\0\0\0\0\0\0\0\x01\0\0\0\x0b\0\x05\0".to_vec();
            task.extend((64 + (1_u64 << 20)).to_le_bytes());
            task.extend(number.to_le_bytes());
            task.extend(0_u32.to_le_bytes());
            task.extend(inode.to_le_bytes());
            task.extend(b"looks_twicebytes");
            WorkQueue::open(&segment, "pool.tasks").unwrap().try_push(&task).unwrap();
            until("the other looks", || stage.pids.get(1) != Some(0));
            stage.never.set().unwrap();
        } else {
            let answer = b"\x01\0\x01\0\0\0\0\0\x01\0\0\0\0\0\0\0\xff\xff\x0f\0\0\0\0\0\0\0\0\0\0\0\0\0";
            Channel::open(&segment, "pool.results").unwrap().send(answer).unwrap();
            stage.never.set().unwrap();
        }
        assert_eq!(first.get_timeout(PATIENCE), Ok(Vec::new()));
        assert_eq!(pool.apply_bytes("last_byte", &argument('b')), Ok(b"b".to_vec()));
        // SAFETY: touches no memory.
        unsafe { libc::kill(reader, libc::SIGCONT) };
        let readers = 1 + u64::from(begun_twice);
        until("it has looked again", || stage.begun.get(1).unwrap() + stage.begun.get(2).unwrap() == readers);
        assert_eq!(stage.begun.get(2), Some(0), "what it read has changed, begun twice: {begun_twice}");
    }
}

fn interrupt(group: i32) {
    // SAFETY: the group of a child of ours that has not been reaped, or our own.
    assert_eq!(unsafe { libc::kill(-group, libc::SIGINT) }, 0);
}

/// A pool whose workers are being started.
fn starting(name: &str) {
    // SAFETY: touches no memory.
    assert_eq!(unsafe { libc::setpgid(0, 0) }, 0);
    let pool = PoolOptions::new().workers(3).segment_name(name).create().unwrap();
    common::say(&format!("workers {}", pids(&pool).iter().map(u32::to_string).collect::<Vec<_>>().join(" ")));
    common::sleep_for_ever();
}

/// Nobody sweeps here.
fn ends_by_ctrl_c(role: &str, name: &str) {
    use std::os::unix::process::ExitStatusExt;
    let mut parent = Role::start(role, &[name]);
    let stage = (role == "parent").then(|| common::Name(parent.said("stage ")));
    let workers: Vec<u32> = parent.said("workers ").split(' ').map(|pid| pid.parse().unwrap()).collect();
    interrupt(parent.pid());
    assert_eq!(parent.child.wait().unwrap().signal(), Some(libc::SIGINT));
    for worker in workers {
        until("the worker ends", || common::state_of(worker).is_none_or(|state| state == 'Z'));
    }
    assert!(common::listed(name).is_empty());
    drop(stage);
}

// semantics 209
#[test]
fn ctrl_c_ends_a_pool_and_leaves_nothing() {
    init();
    let name = common::Name::new("pool-interrupted");
    // One worker in a task, one idle; and such as have not come so far.
    for role in ["parent", "starting", "starting", "starting"] {
        ends_by_ctrl_c(role, &name.0);
    }
}

/// How SIGINT does to a program that a task starts.
fn starts_a_program() -> Option<i32> {
    use std::os::unix::process::ExitStatusExt;
    std::process::Command::new("sh").args(["-c", "kill -INT $$; exit 3"]).status().unwrap().signal()
}

ringfence::register!(starts_a_program);

extern "C" fn nothing(_: libc::c_int) {}

/// A process that handles Ctrl-C itself goes on with its pool.
fn handles() {
    init();
    // SAFETY: touches no memory; the handler does nothing.
    unsafe {
        assert_eq!(libc::setpgid(0, 0), 0);
        libc::signal(libc::SIGINT, nothing as extern "C" fn(libc::c_int) as usize);
    }
    let stage = Stage::new(1);
    let pool = Pool::new(2).unwrap();
    interrupt(std::process::id() as i32); // while they start
    assert_eq!(pool.apply(starts_a_program, ()), Ok(Some(libc::SIGINT)));
    let busy = pool.apply_async(dies, (stage.name(), 0, 1)).unwrap();
    until("one works", || stage.pids.get(0) != Some(0));
    for _ in 0..10 {
        interrupt(std::process::id() as i32);
        assert_eq!(pool.map(square, 0..20), Ok((0..20).map(square).collect()));
    }
    assert_eq!(busy.get_timeout(Duration::ZERO), Err(TaskError::TimedOut));
    stage.never.set().unwrap();
    assert_eq!(busy.get_timeout(PATIENCE), Ok(0));
    assert_eq!(pool.tally().unwrap().deaths, 0);
}

// semantics 209
#[test]
fn who_handles_ctrl_c_goes_on_with_the_pool() {
    let mut parent = Role::start("handles", &[]);
    assert!(parent.child.wait().unwrap().success());
}

/// A stopped worker is no dead one: its task waits for it, and others go on.
// semantics 191
#[test]
fn a_stopped_worker_is_waited_for() {
    init();
    let stage = Stage::new(1);
    let pool = Pool::new(2).unwrap();
    let held = pool.apply_async(dies, (stage.name(), 0, 1)).unwrap();
    until("one works", || stage.pids.get(0) != Some(0));
    let pid = stage.pids.get(0).unwrap() as i32;
    // SAFETY: touches no memory.
    unsafe { libc::kill(pid, libc::SIGSTOP) };
    until("it stands", || common::state_of(pid) == Some('T'));
    assert_eq!(pool.map(square, 0..200), Ok((0..200).map(square).collect()));
    assert_eq!(held.get_timeout(Duration::ZERO), Err(TaskError::TimedOut));
    // Terminating ends it though it does not hear SIGTERM.
    pool.terminate().unwrap();
    assert_eq!(held.get_timeout(PATIENCE), Err(TaskError::Terminated));
    pool.join().unwrap();
    assert_eq!(common::state_of(pid), None);
}
