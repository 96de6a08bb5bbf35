//! What a pool tells in the log. A worker itself tells when it begins a task again.

use std::fmt;

use super::errors::Broken;
use crate::sys::log::{self, LogLevel};
use crate::sys::spawn::signal_name;

/// How a worker ended: by a signal, or by itself.
struct How(Option<i32>);

impl fmt::Display for How {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(signal) => write!(f, "was ended by {} ({signal})", signal_name(signal).unwrap_or("a signal")),
            None => f.write_str("has ended"),
        }
    }
}

/// A worker is gone that had begun this task, which will be tried again or not.
#[cold]
pub(super) fn died_in_task(worker: &str, signal: Option<i32>, task: u64, again: bool) {
    let then = if again { ", which is tried again" } else { "" };
    log::tell(LogLevel::Warning, format_args!("{worker} {} in task {task}{then}", How(signal)));
}

/// A worker is gone though it was not to, and no task hangs on it.
#[cold]
pub(super) fn died_idle(worker: &str, signal: Option<i32>) {
    log::tell(LogLevel::Warning, format_args!("{worker} {}; no task waits for it", How(signal)));
}

/// A task has no attempt left.
#[cold]
pub(super) fn failed(task: u64, worker: &str, signal: Option<i32>) {
    log::tell(LogLevel::Error, format_args!("task {task} has failed: {worker} {} in it", How(signal)));
}

/// A worker was started behind the first ones.
#[cold]
pub(super) fn replaces(worker: &str) {
    log::tell(LogLevel::Info, format_args!("{worker} takes the place of a worker that has ended"));
}

/// All tasks fail.
#[cold]
pub(super) fn broken(why: &Broken) {
    log::tell(LogLevel::Error, format_args!("the pool has given up: {why}"));
}
