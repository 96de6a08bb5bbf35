//! The C and C++ programs under valgrind, without a finding. Slow, and valgrind may be absent: run with `--ignored`.

// What the word count's worker in C does, in Rust.
#[allow(dead_code)]
#[path = "../../examples/wordcount/count.rs"]
mod count;
#[allow(dead_code)]
#[path = "../../examples/wordcount/files.rs"]
mod files;
#[allow(dead_code)]
#[path = "../../examples/wordcount/text.rs"]
mod text;

use std::collections::BTreeMap;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use ringfence::pool::PoolOptions;
use ringfence_ffi_tests::lab::{self, Lab, Linking, run};
use serde_bytes::ByteBuf;

use count::Meeting;

/// How long the worker under valgrind may take.
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

/// All counts, in one map.
fn unpacked<'a>(packed: impl IntoIterator<Item = &'a ByteBuf>) -> BTreeMap<Vec<u8>, u64> {
    let mut counts = BTreeMap::new();
    for mut rest in packed.into_iter().map(|packed| packed.as_slice()) {
        while !rest.is_empty() {
            let (word, times) = count::take(&mut rest).expect("counts");
            *counts.entry(word.to_vec()).or_default() += times;
        }
    }
    counts
}

#[test]
#[ignore = "slow: part of the long run"]
fn valgrind_finds_nothing_in_the_worker_in_c() {
    if !has_valgrind() {
        return;
    }
    let lab = Lab::new("valgrind-worker");
    let worker = lab.compile("../examples/wordcount/c_worker.c", Linking::Plain);
    // A table that grows; words across the ends of reads; a gap; nothing; no file.
    let mut many = Vec::new();
    (0..3000_u32).for_each(|n| many.extend(format!("W{}\u{e4} ", char::from_u32(0x4e00 + n).unwrap()).bytes()));
    let long = [&b"Short "[..], &vec![b'x'; 300_000], b" short"].concat();
    let files: [(&str, &[u8]); 4] = [("many", &many), ("long", &long), ("gap", b"1 2 3\0"), ("empty", b"")];
    for (name, bytes) in files {
        std::fs::write(lab.folder().join(name), bytes).unwrap();
    }
    let tasks: Vec<count::Task> = files
        .iter()
        .chain([&("missing", &b"nothing"[..])])
        .map(|(name, bytes)| {
            let path = ByteBuf::from(lab.folder().join(name).as_os_str().as_bytes());
            (path, 0, bytes.len() as u64, 5, true)
        })
        .collect();

    let pool = PoolOptions::new().workers(0).segment_name(lab.segment()).create().expect("a pool");
    Meeting::open(lab.segment()).and_then(|meeting| meeting.start.set().map_err(|_| ringfence::Error::Busy)).unwrap();
    let (output, counted, summed, refused) = std::thread::scope(|scope| {
        let worker = scope.spawn(|| run(valgrind(&worker).arg(lab.segment())));
        let counted = pool.map_async(count::count, tasks.clone()).unwrap().get_timeout(PATIENCE);
        let mut parts: BTreeMap<u32, Vec<ByteBuf>> = BTreeMap::new();
        for (part, packed) in counted.iter().flatten().flatten() {
            parts.entry(*part).or_default().push(packed.clone());
        }
        let summed = pool.starmap_async(count::sum, parts).unwrap().get_timeout(PATIENCE);
        let garbage = (1, vec![ByteBuf::from([1, 2, b'a'])]);
        let refused = pool.apply_async(count::sum, garbage).unwrap().get_timeout(PATIENCE);
        // However it went, the worker goes home.
        let closed = if refused.is_ok() { pool.close() } else { pool.terminate() };
        closed.expect("a pool of this process");
        (worker.join().expect("the worker ends"), counted, summed, refused)
    });
    if let Some(text) = findings(&output) {
        panic!("{text}");
    }
    assert_eq!(refused, Ok(None));
    for (theirs, task) in counted.unwrap().into_iter().zip(tasks) {
        let words = |parts: Vec<(u32, ByteBuf)>| {
            unpacked(parts.iter().filter(|(part, _)| *part < count::PARTS).map(|(_, packed)| packed))
        };
        assert_eq!(words(theirs), words(count::count(task)));
    }
    let summed: Vec<_> = summed.unwrap().into_iter().map(|part| part.expect("counts")).collect();
    let counters = summed.iter().filter(|(part, _)| *part == count::PARTS).map(|(_, packed)| packed);
    let total = files.iter().map(|(_, bytes)| bytes.len() as u64).sum::<u64>() + 7;
    let expected = [("tasks C", 5), ("bytes C", total), (&format!("unread 5 {}", libc::ENOENT), 1)];
    assert_eq!(unpacked(counters), expected.map(|(name, times)| (name.as_bytes().to_vec(), times)).into());
    let sums = unpacked(summed.iter().filter(|(part, _)| *part < count::PARTS).map(|(_, packed)| packed));
    assert_eq!((sums.len(), sums[&b"short"[..]], sums.values().sum::<u64>()), (3002, 2, 3003));
}
