//! A value kept twice, so that no death tears it.
//!
//! ```text
//! sequence: u64 | copy 0: n words | copy 1: n words          the value is copy (sequence & 1)
//! ```
//!
//! A writer, alone under the lock of the object the cell is part of, fills the other copy and then stores
//! `sequence + 1`: that one store is the change. Zeroed memory is a cell of zero bytes.
//!
//! Invariants:
//! 1. The copy that `sequence` points to is never written.
//! 2. Whoever wants to overwrite a copy has seen `sequence` move on from it (it holds the lock), and says so with a
//!    Release fence before the first word: a reader that meets a new word, and then fences, sees the new sequence.
//!
//! A death before the store leaves the old value, after it the new one.
//!
//! Orderings: the store of `sequence` is Release and pairs with the Acquire load of a reader; the fences pair as in
//! H.-J. Boehm, "Can Seqlocks Get Along With Programming Language Memory Models?" (2012), of which this is the variant
//! with two copies.

use super::words;
use crate::primitive::{AtomicU64, Ordering, fence};

/// Tries of a reader without the lock, before it gives way to writers.
const TRIES: usize = 16;

/// A cell of `size` bytes over shared words.
#[derive(Clone, Copy, Debug)]
pub struct Cell<'a> {
    sequence: &'a AtomicU64,
    copies: &'a [AtomicU64],
    size: usize,
}

/// Words that a cell of `size` bytes occupies.
pub const fn cell_words(size: usize) -> usize {
    1 + 2 * words::words_for(size)
}

impl<'a> Cell<'a> {
    /// The cell of `size` bytes in the first words of a slice; `None` if that is too short.
    #[inline]
    pub fn new(words: &'a [AtomicU64], size: usize) -> Option<Self> {
        let words = words.get(..cell_words(size))?;
        let (sequence, copies) = words.split_first()?;
        Some(Self { sequence, copies, size })
    }

    /// The copy that is the value at `sequence`.
    #[inline(always)]
    fn copy(&self, sequence: u64) -> &'a [AtomicU64] {
        let (first, second) = self.copies.split_at(self.copies.len() / 2);
        if sequence & 1 == 0 { first } else { second }
    }

    /// Reads the value without the lock. `false`: writers were faster each time; take the lock.
    #[inline]
    pub fn read(&self, value: &mut [u8]) -> bool {
        for _ in 0..TRIES {
            let sequence = self.sequence.load(Ordering::Acquire);
            words::load(&mut value[..self.size], self.copy(sequence));
            fence(Ordering::Acquire); // invariant 2
            if self.sequence.load(Ordering::Relaxed) == sequence {
                return true;
            }
        }
        false
    }

    /// Reads the value under the lock.
    #[inline]
    pub fn read_locked(&self, value: &mut [u8]) {
        let sequence = self.sequence.load(Ordering::Relaxed);
        words::load(&mut value[..self.size], self.copy(sequence));
    }

    /// Replaces the value under the lock.
    #[inline]
    pub fn write_locked(&self, value: &[u8]) {
        let next = self.sequence.load(Ordering::Relaxed).wrapping_add(1);
        fence(Ordering::Release); // invariant 2
        words::store(self.copy(next), &value[..self.size]);
        self.sequence.store(next, Ordering::Release);
    }
}
