//! What is printed.

use std::fmt::Write as _;
use std::io::{self, Write};
use std::time::Duration;

use crate::check::Difference;
use crate::files::{Found, Range, Source};
use crate::job::{Kill, Outcome};

/// Every word and its count, bytes as they are. A reader that has had enough is no error.
pub fn all(counts: &[(Vec<u8>, u64)], out: &mut impl Write) -> io::Result<()> {
    let mut write = || {
        for (word, times) in counts {
            out.write_all(word)?;
            writeln!(out, "\t{times}")?;
        }
        out.flush()
    };
    match write() {
        Err(e) if e.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other,
    }
}

/// The twenty most frequent words; equally frequent ones in bytewise order.
pub fn top(counts: &[(Vec<u8>, u64)]) -> String {
    let mut words: Vec<_> = counts.iter().collect();
    words.sort_by_key(|(_, times)| std::cmp::Reverse(*times));
    let mut text = String::from("     count  word\n");
    for (word, times) in words.into_iter().take(20) {
        let _ = writeln!(text, "{times:>10}  {}", printable(word));
    }
    text
}

/// A word for a terminal: nothing in it may move the cursor, and a long one is cut.
fn printable(word: &[u8]) -> String {
    let text = String::from_utf8_lossy(word);
    let mut shown = String::new();
    for letter in text.chars().take(60) {
        if letter.is_control() {
            shown.extend(letter.escape_unicode());
        } else {
            shown.push(letter);
        }
    }
    if text.chars().nth(60).is_some() {
        shown.push_str("...");
    }
    shown
}

/// What was skipped, a line each; names quoted, whatever they hold.
pub fn skipped(found: &Found) {
    for (path, reason) in &found.skipped {
        eprintln!("wordcount: {path:?} is skipped: {reason}");
    }
}

/// How it went.
pub fn summary(sources: &[Source], ranges: &[Range], outcome: &Outcome) -> String {
    let bytes: u64 = ranges.iter().map(|range| range.to - range.from).sum();
    let words: u64 = outcome.counts.iter().map(|(_, times)| times).sum();
    let mut text = format!(
        "input: {} files, {}, {} tasks; {words} words, {} different ones\n",
        sources.len(),
        size(bytes),
        ranges.len(),
        outcome.counts.len()
    );
    let shares = outcome.workers.iter();
    let team: Vec<_> = shares.map(|w| format!("{} {} tasks, {}", w.name, w.tasks, size(w.bytes))).collect();
    let _ = writeln!(text, "workers: {}", team.join("; "));
    let _ =
        writeln!(text, "throughput: {}, {} in {}", rate(bytes, outcome.elapsed), size(bytes), time(outcome.elapsed));
    if let Some(Kill { worker, pid, done, in_a_task }) = &outcome.kill {
        let at = if *in_a_task { "in the middle of another, which was done again" } else { "while it had none" };
        let tasks = ranges.len();
        let _ =
            writeln!(text, "killed: worker {worker} (process {pid}) with SIGKILL, after {done} of {tasks} tasks, {at}");
    }
    text
}

/// What the check found, on one line, and the first differences.
pub fn check(found: &[Difference], bytes: u64, elapsed: Duration) -> String {
    let single = format!("one process alone: {} in {}", rate(bytes, elapsed), time(elapsed));
    if found.is_empty() {
        return format!("check: equal to the count by a single process ({single})\n");
    }
    let mut text = format!("check: DIFFERENT in {} words ({single})\n", found.len());
    for difference in found.iter().take(10) {
        let word = printable(&difference.word);
        let _ = writeln!(text, "  {word}: {} here, {} by one process", difference.shared, difference.single);
    }
    text
}

fn size(bytes: u64) -> String {
    match bytes {
        0..10_000 => format!("{bytes} B"),
        10_000..10_000_000 => format!("{:.0} kB", bytes as f64 / 1e3),
        _ => format!("{:.0} MB", bytes as f64 / 1e6),
    }
}

fn rate(bytes: u64, elapsed: Duration) -> String {
    format!("{:.1} MB/s", bytes as f64 / 1e6 / elapsed.as_secs_f64().max(1e-9))
}

fn time(elapsed: Duration) -> String {
    if elapsed < Duration::from_secs(1) {
        format!("{:.1} ms", elapsed.as_secs_f64() * 1e3)
    } else {
        format!("{:.2} s", elapsed.as_secs_f64())
    }
}
