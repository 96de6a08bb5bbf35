//! Waiting a little before sleeping.
//!
//! A look at a contended word takes its cache line from whoever works on it, who needs it back at once: whoever looks all
//! the time slows down everybody. So the pauses between looks grow, up to about 1 us, and all looks together last about
//! half as long as a wake-up across cores.

use crate::primitive::{SPIN, spin_loop};

/// Pauses of all looks of one wait, but for its last one.
const PATIENCE: u32 = 1144;
/// Looks where each is paid for by letting others run.
const CROWDED_LOOKS: u32 = 10;
/// Pauses before the first look.
const FIRST_PAUSES: u32 = 8;
/// The same in a stream: what the other side does meanwhile, it does undisturbed and in one go.
const STREAM_PAUSES: u32 = 64;
/// Pauses between two looks at the most: what a waiter may oversleep by.
const MAX_PAUSES: u32 = 64;

/// The looks of one waiting call, about 20 us in all. None in a model, where they would hide the sleep behind them.
#[derive(Debug)]
pub struct Backoff {
    left: u32,
    pauses: u32,
    growth: Growth,
}

/// How the pauses between looks grow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Growth {
    /// To twice as many: others look too, and each look hurts.
    Double,
    /// To a sixteenth of all so far: nobody else looks, and a look at what has not changed costs nobody anything.
    Slow,
}

impl Backoff {
    /// From the beginning.
    pub fn new() -> Self {
        Self { left: PATIENCE, pauses: FIRST_PAUSES, growth: Growth::Double }
    }

    /// For one who has caught up with the other end of a stream: a look too soon costs both more than a late one.
    pub fn in_stream() -> Self {
        Self { pauses: STREAM_PAUSES, ..Self::new() }
    }

    /// After a miss, `further` on than the one before: after a single item the next may come at once, and is wanted at once;
    /// where it is more than `one` further on, it is a stream, and more will come together.
    pub fn after(further: u64, one: u64) -> Self {
        if further > one { Self::in_stream() } else { Self::new() }
    }

    /// For the only one who waits for that: it looks all the time, but when it has caught up with a stream.
    pub fn alone(in_stream: bool) -> Self {
        let pauses = if in_stream { STREAM_PAUSES } else { 1 };
        Self { left: PATIENCE, pauses, growth: Growth::Slow }
    }

    /// For one who waits for more than there are processors: to spin would keep them from coming, so it lets others run.
    pub fn in_crowd() -> Self {
        Self { left: CROWDED_LOOKS, pauses: 0, growth: Growth::Double }
    }

    /// Whether all its looks were in vain.
    pub fn is_spent(&self) -> bool {
        self.left == 0
    }

    /// Pauses before another look. `false`: that is enough of it, sleep.
    pub fn pause(&mut self) -> bool {
        if !SPIN || self.left == 0 {
            return false;
        }
        if self.pauses == 0 {
            self.left -= 1;
            std::thread::yield_now();
            return true;
        }
        for _ in 0..self.pauses {
            spin_loop();
        }
        self.left = self.left.saturating_sub(self.pauses);
        let next = match self.growth {
            Growth::Double => self.pauses * 2,
            Growth::Slow => (PATIENCE - self.left) / 16,
        };
        self.pauses = next.clamp(1, MAX_PAUSES);
        true
    }
}
