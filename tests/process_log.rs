//! What is told of processes that start and end.

mod common;

use std::process::{Command, Stdio};

use common::role;
use ringfence::process::{self, Process};

#[test]
fn child_entry() {
    process::init_test("child_entry");
}

fn idle() {}

fn fails() {
    panic!("it fails");
}

fn hangs() {
    common::sleep_for_ever();
}

ringfence::register!(idle);
ringfence::register!(fails);
ringfence::register!(hangs);

/// Starts three children, of whom one is killed.
#[test]
fn role_entry() {
    if role().is_none() {
        return;
    }
    process::init_test("child_entry");
    for child in [Process::new(idle, ()), Process::new(fails, ()), Process::new(hangs, ())] {
        let mut child = child.unwrap();
        child.start().unwrap();
        if child.name() == "Process-3" {
            child.kill().unwrap();
        }
        child.join().unwrap();
        println!("pid {}", child.pid().unwrap());
    }
}

/// What the process with three children printed, in a log of that level: the pids, and the lines of the log.
fn told(level: &str) -> (Vec<String>, Vec<String>) {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "role_entry", "--nocapture", "--test-threads=1"])
        .env("RINGFENCE_TEST_ROLE", "parent")
        .env("RINGFENCE_LOG", level)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let lines =
        |bytes: Vec<u8>| -> Vec<String> { String::from_utf8(bytes).unwrap().lines().map(str::to_owned).collect() };
    // The harness has written before the first one, on the same line.
    let pids = lines(output.stdout).iter().filter_map(|line| Some(line.split_once("pid ")?.1.to_owned())).collect();
    let mut log = lines(output.stderr);
    log.retain(|line| line.starts_with('['));
    (pids, log)
}

/// semantics 202
#[test]
fn starts_and_ends_are_told() {
    let (pids, log) = told("info");
    let [idle, failed, killed] = &pids[..] else { panic!("{pids:?}") };
    let parents = [
        format!("Process-1 is started: process {idle}"),
        format!("Process-1, process {idle}, has ended with exit code 0"),
        format!("Process-2 is started: process {failed}"),
        format!("Process-2, process {failed}, has ended with exit code 1"),
        format!("Process-3 is started: process {killed}"),
    ]
    .map(|text| format!("[INFO/MainProcess] {text}"));
    let by_signal = format!("[WARNING/MainProcess] Process-3, process {killed}, was ended by SIGKILL (9)");
    let of_parent: Vec<_> = log.iter().filter(|line| line.contains("/MainProcess]")).collect();
    assert_eq!(of_parent, parents.iter().chain([&by_signal]).collect::<Vec<_>>());
    let of = |name: &str| log.iter().filter(|line| line.contains(name)).map(String::as_str).collect::<Vec<_>>();
    assert_eq!(of("/Process-1]"), ["[INFO/Process-1] runs idle", "[INFO/Process-1] ends with exit code 0"]);
    assert_eq!(of("/Process-2]"), ["[INFO/Process-2] runs fails", "[INFO/Process-2] ends with exit code 1"]);
    // Killed at its start or later, the third says that it runs, or nothing.
    assert!(of("/Process-3]").iter().all(|line| *line == "[INFO/Process-3] runs hangs"), "{log:?}");

    let (pids, log) = told("warning");
    assert_eq!(log, [format!("[WARNING/MainProcess] Process-3, process {}, was ended by SIGKILL (9)", pids[2])]);
    assert_eq!(told("off").1, Vec::<String>::new());
}
