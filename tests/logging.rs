//! What is said of the dead and of what they had, to people.

mod common;

use std::process::{Command, Stdio};
use std::sync::Mutex;

use common::{Name, Role, hear, role, say};
use ringfence::{LogLevel, Segment, SegmentOptions, WorkQueue, WorkQueueOptions, log_off, log_to_stderr, set_log};

#[test]
fn role_entry() {
    let Some((role, arguments)) = role() else { return };
    // Before it joins: that is when it meets the dead.
    match arguments.get(1).map(String::as_str) {
        Some("printing") => log_to_stderr(LogLevel::Warning),
        Some("off") => log_off(),
        _ => {}
    }
    let segment = Segment::open(&arguments[0]).unwrap();
    let queue = WorkQueue::open(&segment, "queue").unwrap();
    match role.as_str() {
        "consumer" => {
            let _lease = queue.take().unwrap();
            say("taken");
            hear();
        }
        "heir" => assert_eq!(queue.take().unwrap().deliveries(), 2),
        other => panic!("{other}"),
    }
}

/// A message whose first consumer was killed, in a queue of that name.
fn lost(name: &Name) -> (Segment, WorkQueue, i32) {
    let segment = name.create(&SegmentOptions::new().size(1 << 16));
    let queue = WorkQueue::create(&segment, "queue", &WorkQueueOptions::new(4, 16)).unwrap();
    queue.push(b"message").unwrap();
    let mut consumer = Role::start("consumer", &[&name.0]);
    consumer.expect("taken");
    let pid = consumer.pid();
    consumer.kill();
    (segment, queue, pid)
}

/// What a process prints to its standard error that takes the message of a dead one; and the pid of that.
fn told(how: &str, variable: Option<&str>) -> (String, i32) {
    let name = Name::new("logging");
    let (_segment, _queue, pid) = lost(&name);
    let mut heir = Command::new(std::env::current_exe().unwrap());
    heir.args(["--exact", "role_entry", "--nocapture", "--test-threads=1"])
        .env("RINGFENCE_TEST_ROLE", ["heir", &name.0, how].join("\u{1f}"))
        .stdin(Stdio::null())
        .env_remove("RINGFENCE_LOG");
    if let Some(value) = variable {
        heir.env("RINGFENCE_LOG", value);
    }
    let output = heir.output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{said}");
    (said, pid)
}

fn judge((said, pid): (String, i32)) {
    let dead = format!("process {pid} is dead: ");
    let lines: Vec<_> = said.lines().collect();
    assert!(lines.iter().all(|line| line.starts_with("[WARNING/MainProcess] ")), "{said}");
    assert!(lines.iter().any(|line| line.contains(&dead)), "{said}");
    assert!(lines.contains(&"[WARNING/MainProcess] a message is delivered for the 2. time"), "{said}");
}

/// semantics 200
#[test]
fn who_asks_is_told_and_nobody_else() {
    judge(told("printing", None));
    judge(told("", Some("warning")));
    judge(told("", Some("Info")));
    for (how, variable) in [("", None), ("", Some("off")), ("", Some("error")), ("off", Some("debug"))] {
        assert_eq!(told(how, variable).0, "", "{how:?} {variable:?}");
    }
    assert_eq!(told("", Some("loud")).0, "ringfence: RINGFENCE_LOG is off, error, warning, info or debug\n");
}

static KEPT: Mutex<Vec<(LogLevel, String)>> = Mutex::new(Vec::new());

fn keep(level: LogLevel, text: &str) {
    KEPT.lock().unwrap().push((level, text.to_owned()));
}

/// semantics 201
#[test]
fn a_function_is_told() {
    let name = Name::new("logging");
    let (_segment, queue, pid) = lost(&name);
    set_log(LogLevel::Warning, keep);
    queue.take().unwrap().done().unwrap();
    log_off();
    let kept = KEPT.lock().unwrap();
    assert!(kept.iter().all(|(level, _)| *level == LogLevel::Warning), "{kept:?}");
    assert!(kept.iter().any(|(_, text)| text.starts_with(&format!("process {pid} is dead: "))), "{kept:?}");
    assert!(kept.iter().any(|(_, text)| text == "a message is delivered for the 2. time"), "{kept:?}");
}
