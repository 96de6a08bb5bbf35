//! What a word is, and counting them.
//!
//! A word is a maximal run of bytes that are ASCII letters or at least 0x80; ASCII letters count as their lower case.
//! The rule needs no locale and no table of characters, so it is the same in every language a worker is written in,
//! and the letters of any text in UTF-8 stay together.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

/// How often each word occurs.
type Counts<Word> = HashMap<Word, u64, BuildHasherDefault<WordHasher>>;

/// A word of at most 16 bytes, with zeros behind it, which no word has.
type Short = (u64, u64);

/// Whether a byte belongs to a word.
pub const fn is_word_byte(byte: u8) -> bool {
    byte.is_ascii_alphabetic() || byte >= 0x80
}

/// What a byte counts as: itself, its lower case, or [`GAP`].
static FOLD: [u8; 256] = {
    let mut table = [GAP; 256];
    let mut byte = 0;
    while byte < 256 {
        if is_word_byte(byte as u8) {
            table[byte] = (byte as u8).to_ascii_lowercase();
        }
        byte += 1;
    }
    table
};

/// What a byte between words folds to. No word byte does.
const GAP: u8 = 0;

/// Counts the words of a text that arrives in chunks, cut anywhere.
#[derive(Default)]
pub struct Counter {
    /// In the table itself, which then fits into the cache of a core: nearly all words.
    short: Counts<Short>,
    long: Counts<Box<[u8]>>,
    /// The beginning of a word that the next chunk may go on with.
    open: Vec<u8>,
}

impl Counter {
    /// Counts the next chunk, folding it in place.
    pub fn add(&mut self, chunk: &mut [u8]) {
        for byte in &mut *chunk {
            *byte = FOLD[usize::from(*byte)];
        }
        let mut rest: &[u8] = chunk;
        if !self.open.is_empty() {
            let (tail, after) = split_at_gap(rest);
            self.open.extend_from_slice(tail);
            let Some(after) = after else { return };
            self.close();
            rest = after;
        }
        while let (word, Some(after)) = split_at_gap(rest) {
            if !word.is_empty() {
                self.count(word);
            }
            rest = after;
        }
        self.open.extend_from_slice(rest);
    }

    /// Ends the text, and gives out what was counted. The words stay for the next text, which has most of them again: to
    /// find one is quicker than to take it in.
    pub fn drain(&mut self, mut each: impl FnMut(&[u8], u64)) {
        self.close();
        let few = self.short.len() + self.long.len() <= MOST_KEPT;
        self.short.retain(|(one, two), times| {
            if *times > 0 {
                let mut padded = [0; 16];
                padded[..8].copy_from_slice(&one.to_le_bytes());
                padded[8..].copy_from_slice(&two.to_le_bytes());
                each(split_at_gap(&padded).0, std::mem::take(times));
            }
            few
        });
        self.long.retain(|word, times| {
            if *times > 0 {
                each(word, std::mem::take(times));
            }
            few && word.len() <= LONGEST_KEPT
        });
    }

    fn close(&mut self) {
        if !self.open.is_empty() {
            let word = std::mem::take(&mut self.open);
            self.count(&word);
            self.open = word;
            self.open.clear();
        }
    }

    fn count(&mut self, word: &[u8]) {
        let mut padded = [0; 16];
        if let Some(start) = padded.get_mut(..word.len()) {
            start.copy_from_slice(word);
            let half = |at: usize| u64::from_le_bytes(std::array::from_fn(|nth| padded[at + nth]));
            *self.short.entry((half(0), half(8))).or_default() += 1;
        } else if let Some(times) = self.long.get_mut(word) {
            *times += 1;
        } else {
            self.long.insert(word.into(), 1);
        }
    }
}

/// Words that are kept for the next text: so many, and no longer ones.
const MOST_KEPT: usize = 1 << 18;
const LONGEST_KEPT: usize = 64;

/// The bytes before the first gap, and those behind it; without one all of them.
fn split_at_gap(text: &[u8]) -> (&[u8], Option<&[u8]>) {
    match text.iter().position(|byte| *byte == GAP) {
        Some(at) => (&text[..at], Some(&text[at + 1..])),
        None => (text, None),
    }
}

/// A quick hash for short words: eight bytes a step, multiplied and rotated. Not meant to withstand words that were
/// chosen to collide; those only make the count slower.
#[derive(Default)]
pub struct WordHasher(u64);

impl WordHasher {
    fn mix(&mut self, value: u64) {
        self.0 = (self.0.rotate_left(5) ^ value).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }
}

impl Hasher for WordHasher {
    fn write(&mut self, bytes: &[u8]) {
        let mut eights = bytes.chunks_exact(8);
        for eight in &mut eights {
            self.mix(u64::from_le_bytes(eight.try_into().expect("eight bytes")));
        }
        let rest = eights.remainder();
        if !rest.is_empty() {
            let mut last = [0; 8];
            last[..rest.len()].copy_from_slice(rest);
            self.mix(u64::from_le_bytes(last));
        }
    }

    fn write_usize(&mut self, value: usize) {
        self.mix(value as u64);
    }

    fn finish(&self) -> u64 {
        self.0 ^ (self.0 >> 29)
    }
}
