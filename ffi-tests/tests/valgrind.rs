//! The C and C++ programs under valgrind, without a finding. Slow, and valgrind may be absent: run with `--ignored`.

// The parts of the word count that its parent is made of.
#[allow(dead_code)]
#[path = "../../examples/wordcount/ledger.rs"]
mod ledger;
#[allow(dead_code)]
#[path = "../../examples/wordcount/shared.rs"]
mod shared;
#[allow(dead_code)]
#[path = "../../examples/wordcount/text.rs"]
mod text;
#[allow(dead_code)]
#[path = "../../examples/wordcount/wire.rs"]
mod wire;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use ringfence_ffi_tests::lab::{self, Lab, Linking, run};

use ledger::{Arrival, Ledger};
use shared::{Holding, Shared, Task};
use wire::Part;

/// How long the worker under valgrind may take for one step.
const PATIENCE: Duration = Duration::from_secs(60);

fn has_valgrind() -> bool {
    let found = Command::new("valgrind").arg("--version").output().is_ok();
    if !found {
        println!("skipped: valgrind is not installed (apt-get install valgrind)");
    }
    found
}

fn valgrind(program: &Path) -> Command {
    let mut valgrind = Command::new("valgrind");
    valgrind.args(["--error-exitcode=99", "--leak-check=full", "--show-leak-kinds=definite,indirect", "-q"]);
    // A child has copies of what the parent's other threads own, and nobody to free them: only its bad accesses count.
    valgrind.args(["--child-silent-after-fork=yes", "--errors-for-leak-kinds=none"]);
    valgrind.arg(program);
    valgrind
}

/// What was found, if anything. Between `--` it says what it cannot do itself: not every valgrind knows `futex_waitv`,
/// without which a wait for several goes on in another way.
fn findings(output: &Output) -> Option<String> {
    let text = lab::text(&output.stderr);
    let clean = output.status.success() && text.lines().all(|line| line.starts_with("--"));
    (!clean).then(|| format!("{}\n{text}", output.status))
}

#[test]
#[ignore = "slow: part of the long run"]
fn valgrind_finds_nothing() {
    if !has_valgrind() {
        return;
    }
    let programs = [
        "../examples/c/hello.c",
        "c/segment.c",
        "c/mutex.c",
        "c/reentrant_mutex.c",
        "c/rwlock.c",
        "c/semaphore.c",
        "c/event.c",
        "c/condvar.c",
        "c/barrier.c",
        "c/once.c",
        "c/wait_any.c",
        "c/ready_fd.c",
        "c/log.c",
        "c/cell.c",
        "c/queue.c",
        "c/channel.c",
        "c/pipe.c",
        "c/spsc.c",
        "c/byte_ring.c",
        "c/broadcast.c",
        "c/blackboard.c",
        "c/work_queue.c",
        "c/signal.c",
        "c/bad.c",
        "c/bad_null.c",
        "cpp/tour.cpp",
    ];
    let mut found = Vec::new();
    for source in programs {
        let lab = Lab::new(&format!("valgrind-{}", source.replace('/', "-")));
        let program = lab.compile(source, Linking::Plain);
        match findings(&run(valgrind(&program).arg(lab.segment()))) {
            Some(text) => found.push(format!("{source}: {text}")),
            None => println!("{source}: clean"),
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

/// However a test goes, the worker goes home.
struct Home<'a>(&'a Shared);

impl Drop for Home<'_> {
    fn drop(&mut self) {
        let _ = (self.0.gate.shutdown(), self.0.tasks.shutdown(), self.0.counts.shutdown());
    }
}

/// The word count's worker in C, as its number 0, while `parent` does what its parent would.
fn with_worker(what: &str, parent: impl FnOnce(&Lab, &Shared)) {
    if !has_valgrind() {
        return;
    }
    let lab = Lab::new(what);
    let worker = lab.compile("../examples/wordcount/c_worker.c", Linking::Plain);
    let shared = Shared::create(lab.segment(), 1).expect("a segment");
    let output = std::thread::scope(|scope| {
        let _home = Home(&shared);
        // Messages of 50 bytes, everything twice.
        let worker = scope.spawn(|| run(valgrind(&worker).args([lab.segment(), "0", "50", "1"])));
        parent(&lab, &shared);
        worker.join().expect("the worker ends")
    });
    if let Some(text) = findings(&output) {
        panic!("{text}");
    }
}

fn until(what: &str, mut happened: impl FnMut() -> bool) {
    let start = Instant::now();
    while !happened() {
        assert!(start.elapsed() < PATIENCE, "waited too long: {what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn counted(bytes: &[u8]) -> BTreeMap<Vec<u8>, u64> {
    let mut counter = text::Counter::new();
    counter.add(&mut bytes.to_vec());
    counter.finish().0.iter().map(|(word, times)| (word.to_vec(), *times)).collect()
}

#[test]
#[ignore = "slow: part of the long run"]
fn valgrind_finds_nothing_in_the_worker_in_c() {
    // A table that grows; words across the ends of reads, and of messages; a gap; nothing.
    let mut many = Vec::new();
    (0..3000_u32).for_each(|n| many.extend(format!("W{}\u{e4} ", char::from_u32(0x4e00 + n).unwrap()).bytes()));
    let long = [&b"Short "[..], &vec![b'x'; 300_000], b" short"].concat();
    let files: [(&str, &[u8]); 4] = [("many", &many), ("long", &long), ("gap", b"1 2 3\0"), ("empty", b"")];
    with_worker("valgrind-worker", |lab, shared| {
        let task = |id: usize, ambush| {
            let (name, bytes) = files.get(id).copied().unwrap_or(("missing", b"nothing"));
            if id < files.len() {
                std::fs::write(lab.folder().join(name), bytes).unwrap();
            }
            Task::new(id, &lab.folder().join(name), (0, bytes.len() as u64), ambush).unwrap()
        };
        // What is meant for another is handed on.
        shared.tasks.push(task(9, true).message()).unwrap();
        let mut handed_on = None;
        until("the task is handed on", || {
            handed_on = shared.tasks.try_take().ok().filter(|lease| lease.deliveries() > 1);
            handed_on.is_some()
        });
        let handed_on = handed_on.unwrap();
        assert_eq!(Task::read(&handed_on.read().unwrap()).unwrap().id, 9);
        shared.tasks.push(task(0, false).message()).unwrap();
        until("it has a task", || shared.held.get(0) == Some(Holding::Task(0).to_word()));
        handed_on.done().unwrap();
        shared.gate.shutdown().unwrap();
        (1..=files.len()).for_each(|id| shared.tasks.push_timeout(task(id, false).message(), PATIENCE).unwrap());
        let mut ledger = Ledger::new(files.len() + 1);
        while ledger.left() > 0 || ledger.twice <= files.len() as u64 {
            let message = shared.counts.recv_timeout(PATIENCE).unwrap();
            let (part, body) = Part::read(&message).unwrap();
            if let Arrival::Whole(id, stream) = ledger.arrived(&part, body).unwrap() {
                let words = wire::decode(&stream).map(|entry| entry.unwrap());
                let words: BTreeMap<_, _> = words.map(|(word, times)| (word.to_vec(), times)).collect();
                assert_eq!(part.errno, if id == files.len() { libc::ENOENT as u32 } else { 0 });
                assert_eq!(words, counted(files.get(id).map_or(b"", |(_, bytes)| bytes)), "task {id}");
            }
        }
        until("it has nothing", || shared.held.get(0) == Some(Holding::Nothing.to_word()));
        let total: usize = files.iter().map(|(_, bytes)| bytes.len()).sum();
        assert_eq!(shared.progress.get(), (total + b"nothing".len()) as u64);
        shared.tasks.shutdown().unwrap();
    });
}

/// A task was given out twice, and all is done: nobody waits for the result.
#[test]
#[ignore = "slow: part of the long run"]
fn valgrind_finds_nothing_in_a_worker_in_c_whose_result_nobody_wants() {
    with_worker("valgrind-unwanted", |lab, shared| {
        let path = lab.folder().join("file");
        std::fs::write(&path, b"some words").unwrap();
        shared.counts.shutdown().unwrap();
        shared.gate.shutdown().unwrap();
        shared.tasks.push(Task::new(0, &path, (0, 10), false).unwrap().message()).unwrap();
        until("it has the task", || shared.tasks.is_empty());
    });
}
