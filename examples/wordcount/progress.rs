//! A progress bar, for a terminal only.

use std::io::Write;
use std::time::{Duration, Instant};

const WIDTH: usize = 40;

/// A line on stderr that is written over and over.
pub struct Bar {
    start: Instant,
    drawn: Option<Instant>,
}

impl Bar {
    /// A bar that has not been drawn.
    pub fn new() -> Self {
        Self { start: Instant::now(), drawn: None }
    }

    /// Draws it, ten times a second at most.
    pub fn draw(&mut self, done: u64, total: u64) {
        if self.drawn.is_some_and(|drawn| drawn.elapsed() < Duration::from_millis(100)) {
            return;
        }
        self.drawn = Some(Instant::now());
        let part = (done as f64 / total.max(1) as f64).min(1.0);
        let full = (part * WIDTH as f64) as usize;
        let rate = done as f64 / 1e6 / self.start.elapsed().as_secs_f64().max(1e-3);
        let line =
            format!("\r[{}{}] {:3.0} %  {rate:.0} MB/s ", "#".repeat(full), ".".repeat(WIDTH - full), part * 100.0);
        // A terminal that does not take it is not worth an error.
        let _ = std::io::stderr().write_all(line.as_bytes());
    }

    /// Takes the line away.
    pub fn clear(&mut self) {
        if self.drawn.take().is_some() {
            let _ = std::io::stderr().write_all(b"\r\x1b[K");
        }
    }
}
