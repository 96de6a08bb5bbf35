//! Waiting a little before sleeping.
//!
//! A look at a contended word takes its cache line from whoever works on it, who needs it back at once: whoever looks all
//! the time slows down everybody. So the pauses between looks grow, up to about 1 us, and all looks together last about
//! half as long as a wake-up across cores.

use crate::primitive::{SPIN, spin_loop};

const LOOKS: u32 = 20;
/// The same where each look is paid for by letting others run.
const CROWDED_LOOKS: u32 = 10;
/// Pauses after the first look.
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
}

impl Backoff {
    /// From the beginning.
    pub fn new() -> Self {
        Self { left: LOOKS, pauses: FIRST_PAUSES }
    }

    /// For one who has caught up with the other end of a stream: a look too soon costs both more than a late one.
    pub fn in_stream() -> Self {
        Self { left: LOOKS, pauses: STREAM_PAUSES }
    }

    /// After a miss, `further` on than the one before: after a single item the next may come at once, and is wanted at once;
    /// where it is more than `one` further on, it is a stream, and more will come together.
    pub fn after(further: u64, one: u64) -> Self {
        if further > one { Self::in_stream() } else { Self::new() }
    }

    /// For one who waits for more than there are processors: to spin would keep them from coming, so it lets others run.
    pub fn in_crowd() -> Self {
        Self { left: CROWDED_LOOKS, pauses: 0 }
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
        self.left -= 1;
        if self.pauses == 0 {
            std::thread::yield_now();
            return true;
        }
        for _ in 0..self.pauses {
            spin_loop();
        }
        self.pauses = (self.pauses * 2).min(MAX_PAUSES);
        true
    }
}
