//! Processes that run a function of this binary, or another program.

mod common;

use std::process::exit;
use std::time::Duration;

use common::{PATIENCE, state_of, until};
use ringfence::process::{self, Process, ProcessError};

/// Where the children of these tests come to.
#[test]
fn child_entry() {
    init();
}

fn init() {
    process::init_test("child_entry");
}

fn square(x: u64) -> u64 {
    x * x
}

fn leave(code: i32) {
    exit(code);
}

fn fails(why: String) -> u64 {
    panic!("it fails: {why}");
}

fn hangs() {
    common::sleep_for_ever();
}

ringfence::register!(square);
ringfence::register!(leave);
ringfence::register!(fails);
ringfence::register!(hangs);

fn started<R: ringfence::Portable>(process: Result<Process<R>, ProcessError>) -> Process<R> {
    let mut process = process.unwrap();
    process.start().unwrap();
    process
}

/// To its end, which comes by itself.
fn ended<R: ringfence::Portable>(process: Result<Process<R>, ProcessError>) -> Process<R> {
    let process = started(process);
    process.join_timeout(PATIENCE).unwrap();
    process
}

#[test]
fn a_function_runs_in_another_process_and_its_result_comes_back() {
    init();
    let mut child = Process::new(square, (7,)).unwrap();
    assert_eq!((child.is_alive().unwrap(), child.exit_code().unwrap(), child.pid()), (false, None, None));
    child.start().unwrap();
    assert_ne!(child.pid().unwrap(), std::process::id());
    child.join().unwrap();
    assert_eq!((child.is_alive().unwrap(), child.exit_code().unwrap()), (false, Some(0)));
    assert_eq!(child.result().unwrap(), 49);
    assert!(matches!(child.result(), Err(ProcessError::ResultTaken)));
}

// semantics 46
#[test]
fn exit_codes() {
    init();
    for code in [0, 1, 3, 255, 256 + 4] {
        let mut child = ended(Process::new(leave, (code,)));
        assert_eq!(child.exit_code().unwrap(), Some(code % 256));
        assert!(matches!(child.result(), Err(ProcessError::Exited { code: left }) if left == code % 256));
    }
    let mut child = ended(Process::new(fails, ("often".to_owned(),)));
    assert_eq!(child.exit_code().unwrap(), Some(1));
    let Err(ProcessError::Panicked(panic)) = child.result() else { panic!("no panic") };
    assert_eq!(panic.message, "it fails: often");
    assert!(panic.location.starts_with(file!()), "{}", panic.location);
    assert!(panic.backtrace.contains("fails"), "{}", panic.backtrace);

    let mut child = started(Process::new(hangs, ()));
    assert_eq!((child.exit_code().unwrap(), child.is_alive().unwrap()), (None, true));
    assert!(matches!(child.result(), Err(ProcessError::StillRunning)));
    assert!(matches!(child.join_timeout(Duration::ZERO), Err(ProcessError::TimedOut)));
    child.terminate().unwrap();
    child.join().unwrap();
    assert_eq!(child.exit_code().unwrap(), Some(-libc::SIGTERM));
    assert!(matches!(child.result(), Err(ProcessError::Died { signal: libc::SIGTERM })));

    let mut child = started(Process::new(hangs, ()));
    child.kill().unwrap();
    child.join().unwrap();
    assert_eq!(child.exit_code().unwrap(), Some(-libc::SIGKILL));
    assert!(matches!(child.result(), Err(ProcessError::Died { signal: libc::SIGKILL })));
    // To whom the number belongs by now.
    child.kill().unwrap();
    child.terminate().unwrap();
    until("it is reaped", || state_of(child.pid().unwrap()).is_none());
}
