//! A Python program, plain ctypes, as a peer of this Rust one.

use std::io::{BufRead, BufReader, Read};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use ringfence::{Channel, PopError, Queue, Segment, SegmentOptions, Unlink, Value};
use ringfence_ffi_tests::lab::{Lab, root, run_well};

/// Nobody waits for ever for a peer that failed.
const LIMIT: Duration = Duration::from_secs(60);

#[test]
fn python_joins_by_name() {
    let lab = Lab::new("python");
    let options = SegmentOptions::new().unlink(Unlink::WithLast);
    let segment = Segment::create(lab.segment(), &options).expect("a segment");
    let pi = Value::<f64>::create(&segment, "pi", 3.25).expect("a value");
    let count = Value::<u64>::create(&segment, "count", 37).expect("a value");
    let numbers = Queue::<u64>::create(&segment, "numbers", 4).expect("a queue");
    let squares = Queue::<u64>::create(&segment, "squares", 4).expect("a queue");
    let inbox = Channel::create(&segment, "inbox", 4096).expect("a channel");
    let outbox = Channel::create(&segment, "outbox", 4096).expect("a channel");

    let mut python = Command::new("python3");
    python.arg(root().join("ffi-tests/python/peer.py")).arg(lab.library("libringfence.so")).arg(lab.segment());
    thread::scope(|scope| {
        let peer = scope.spawn(|| run_well(&mut python));
        scope.spawn(|| {
            for number in 1..=100 {
                numbers.push_timeout(number, LIMIT).expect("room");
            }
            numbers.shutdown().expect("a sound queue");
            for message in ["spam", "", "eggs and ham"] {
                inbox.send_timeout(message.as_bytes(), LIMIT).expect("room");
            }
            inbox.shutdown().expect("a sound channel");
        });
        let mut sum = 0;
        loop {
            match squares.pop_timeout(LIMIT) {
                Ok(square) => sum += square,
                Err(end) => break assert_eq!(end, PopError::Closed),
            }
        }
        assert_eq!(sum, (1..=100).map(|n| n * n).sum::<u64>());
        for answer in ["SPAM", "", "EGGS AND HAM"] {
            assert_eq!(outbox.recv_timeout(LIMIT).expect("an answer"), answer.as_bytes());
        }
        let printed = peer.join().expect("the peer");
        let wanted = "pi is 3.25\ncount was 37\ncount as a double: ";
        assert!(printed.starts_with(wanted), "{printed}");
        assert!(printed.ends_with("while it lives: busy\nowner died: True\npeer: ok\n"), "{printed}");
    });
    assert_eq!(pi.get(), 6.5);
    assert_eq!(count.get(), 42);
}

/// `multiprocessing.connection.wait` takes the descriptors beside a pipe of Python's own.
/// semantics 93
#[test]
fn python_waits_for_descriptors() {
    let lab = Lab::new("python-wait");
    let options = SegmentOptions::new().unlink(Unlink::WithLast);
    let segment = Segment::create(lab.segment(), &options).expect("a segment");
    let numbers = Queue::<u64>::create(&segment, "numbers", 4).expect("a queue");
    let lines = Channel::create(&segment, "lines", 256).expect("a channel");
    let mut python = Command::new("python3");
    python.arg(root().join("ffi-tests/python/wait.py")).arg(lab.library("libringfence.so")).arg(lab.segment());
    // Killed with us, also when an assertion fails.
    let mut child = Ends(python.stdout(Stdio::piped()).spawn().expect("python3"));
    let mut output = BufReader::new(child.0.stdout.take().expect("its output"));
    let mut line = String::new();
    output.read_line(&mut line).expect("a line");
    assert_eq!(line, "waiting\n");
    for number in 1..=1000 {
        numbers.push_timeout(number, LIMIT).expect("room");
        if number % 100 == 0 {
            lines.send_timeout(format!("{number}").as_bytes(), LIMIT).expect("room");
        }
    }
    numbers.shutdown().expect("a sound queue");
    lines.shutdown().expect("a sound channel");
    let mut rest = String::new();
    output.read_to_string(&mut rest).expect("text");
    assert_eq!(rest, "total 500500, 100 200 300 400 500 600 700 800 900 1000\n");
    assert!(child.0.wait().expect("our child").success());
}

struct Ends(std::process::Child);

impl Drop for Ends {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
