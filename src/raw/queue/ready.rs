//! Whether a queue would make its caller wait; nothing is pushed or popped.

use super::word::{EMPTY, FULL, word};
use super::{Missed, PopFailure, PushFailure, Queue};
use crate::layout::eventcount::EventCount;
use crate::primitive::Ordering;
use crate::raw::Peers;

impl<'a> Queue<'a> {
    /// Whether a pop would end at once: with a message, at the end, or with an error. A position whose producer is dead
    /// is voided on the way, as a pop would do it.
    pub fn can_pop(&self, peers: &impl Peers) -> bool {
        let mut position = self.header.head.0.load(Ordering::Acquire);
        for _ in 0..self.patience() {
            let Some(slot) = self.slot(position, 0) else { return true };
            let seen = slot.word.load(Ordering::Acquire);
            if seen == word(slot.lap, FULL) {
                return true;
            }
            match self.pass_to_pop(Missed { position, seen }, peers) {
                Ok(next) => position = next,
                Err(PopFailure::Empty | PopFailure::Busy) => return false,
                Err(_) => return true,
            }
        }
        true
    }

    /// Whether a push would end at once, in the same way.
    pub fn can_push(&self, peers: &impl Peers) -> bool {
        let mut position = self.header.tail.0.load(Ordering::Acquire);
        if self.is_shut_down() {
            return true;
        }
        for _ in 0..self.patience() {
            let Some(slot) = self.slot(position, 0) else { return true };
            let seen = slot.word.load(Ordering::Acquire);
            if seen == word(slot.lap, EMPTY) {
                return true;
            }
            match self.pass_to_push(Missed { position, seen }, peers) {
                Ok(next) => position = next,
                Err(PushFailure::Full) => return false,
                Err(_) => return true,
            }
        }
        true
    }

    /// Where those sleep who want to pop.
    pub fn not_empty(&self) -> &'a EventCount {
        &self.shared().not_empty
    }

    /// Where those sleep who want to push.
    pub fn not_full(&self) -> &'a EventCount {
        &self.shared().not_full
    }
}
