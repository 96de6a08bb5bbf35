//! What the integration tests share: names that vanish, and children of the test's own binary.
#![allow(dead_code)] // each test binary uses its part

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use ringfence::{Segment, SegmentOptions};

/// A segment name of this test alone, unlinked when dropped, also when the test fails.
pub struct Name(pub String);

impl Name {
    pub fn new(what: &str) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        Self(format!("test-{what}-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed)))
    }

    pub fn create(&self, options: &SegmentOptions) -> Segment {
        Segment::create(&self.0, options).unwrap()
    }

    pub fn path(&self) -> std::path::PathBuf {
        format!("/dev/shm/ringfence.{}", self.0).into()
    }
}

impl Drop for Name {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(self.path());
    }
}

/// A child process that runs one role of this test binary. Killed and reaped when dropped.
pub struct Role {
    pub child: Child,
    output: BufReader<std::process::ChildStdout>,
}

/// The role this process was started for, with its arguments.
pub fn role() -> Option<(String, Vec<String>)> {
    let text = std::env::var("RINGFENCE_TEST_ROLE").ok()?;
    let mut parts = text.split('\u{1f}').map(str::to_owned);
    Some((parts.next()?, parts.collect()))
}

impl Role {
    /// Starts `role` with `arguments` in a new process. The binary must have a test called `role_entry`.
    pub fn start(role: &str, arguments: &[&str]) -> Self {
        let mut text = vec![role];
        text.extend(arguments);
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "role_entry", "--nocapture", "--test-threads=1"])
            .env("RINGFENCE_TEST_ROLE", text.join("\u{1f}"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        Self { child, output }
    }

    pub fn pid(&self) -> i32 {
        self.child.id() as i32
    }

    /// Waits for a line that ends with `word` (the test harness may have written before it on the same line).
    pub fn expect(&mut self, word: &str) {
        let mut seen = String::new();
        loop {
            let mut line = String::new();
            assert!(self.output.read_line(&mut line).unwrap() > 0, "the child ended before it said {word:?}: {seen}");
            if line.trim_end().ends_with(word) {
                return;
            }
            seen.push_str(&line);
        }
    }

    /// Says a line to the child.
    pub fn tell(&mut self, word: &str) {
        writeln!(self.child.stdin.as_mut().unwrap(), "{word}").unwrap();
    }

    /// Sends a signal.
    pub fn signal(&self, signal: i32) {
        // SAFETY: kill of a child that has not been reaped touches nobody else.
        assert_eq!(unsafe { libc::kill(self.pid(), signal) }, 0);
    }

    /// Kills and reaps it.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Waits for a peaceful end.
    pub fn finish(mut self) {
        drop(self.child.stdin.take());
        let mut rest = String::new();
        self.output.read_to_string(&mut rest).unwrap();
        assert!(self.child.wait().unwrap().success(), "the child failed: {rest}");
    }
}

impl Drop for Role {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// In a child: says `word` to the parent.
pub fn say(word: &str) {
    println!("{word}");
    std::io::stdout().flush().unwrap();
}

/// In a child: waits for the parent to say something; the end of its input ends the child.
pub fn hear() -> String {
    let mut line = String::new();
    if std::io::stdin().read_line(&mut line).unwrap() == 0 {
        std::process::exit(0);
    }
    line.trim_end().to_owned()
}
