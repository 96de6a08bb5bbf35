//! A progress bar: a line on the standard error that is written over and over, if that is a terminal.

use std::io::{IsTerminal, Write, stderr};
use std::time::{Duration, Instant};

const WIDTH: usize = 40;
const PAUSE: Duration = Duration::from_millis(100);

/// The bar.
pub struct Bar {
    terminal: bool,
    last: Instant,
    drawn: bool,
}

impl Bar {
    /// One that has not been drawn yet, and will not be within the next moment: what is over by then needs none.
    pub fn new() -> Self {
        Self { terminal: stderr().is_terminal(), last: Instant::now(), drawn: false }
    }

    /// Draws it with `note` behind it, ten times a second at most.
    pub fn draw(&mut self, done: u64, total: u64, note: &str) {
        if !self.terminal || self.last.elapsed() < PAUSE {
            return;
        }
        (self.last, self.drawn) = (Instant::now(), true);
        let part = (done as f64 / total.max(1) as f64).min(1.0);
        let full = (part * WIDTH as f64) as usize;
        let (full, rest) = ("#".repeat(full), ".".repeat(WIDTH - full));
        // A terminal that does not take it is not worth an error.
        let _ = stderr().write_all(format!("\r[{full}{rest}] {:3.0} %  {note}\x1b[K", part * 100.0).as_bytes());
    }

    /// Takes the line away.
    pub fn clear(&mut self) {
        if std::mem::take(&mut self.drawn) {
            let _ = stderr().write_all(b"\r\x1b[K");
        }
    }
}
