//! Bytes in and out of shared words, so that a racing peer makes the bytes wrong but never the program unsound.
//!
//! All accesses are relaxed: whoever uses these functions publishes, or checks, by another word.

use crate::primitive::{AtomicU64, Ordering};

/// How many words hold this many bytes.
#[inline]
pub const fn words_for(bytes: usize) -> usize {
    bytes.div_ceil(8)
}

/// Copies bytes into shared words; the unused bytes of the last word become zero. Stops at the shorter of the two.
#[inline(always)]
pub fn store(to: &[AtomicU64], from: &[u8]) {
    let chunks = from.chunks_exact(8);
    let rest = chunks.remainder();
    for (word, bytes) in to.iter().zip(chunks) {
        word.store(u64::from_ne_bytes(bytes.try_into().unwrap_or_default()), Ordering::Relaxed);
    }
    if !rest.is_empty()
        && let Some(word) = to.get(from.len() / 8)
    {
        let mut last = [0; 8];
        last[..rest.len()].copy_from_slice(rest);
        word.store(u64::from_ne_bytes(last), Ordering::Relaxed);
    }
}

/// Copies shared words into bytes. Stops at the shorter of the two.
#[inline(always)]
pub fn load(to: &mut [u8], from: &[AtomicU64]) {
    let length = to.len();
    let mut chunks = to.chunks_exact_mut(8);
    for (bytes, word) in (&mut chunks).zip(from) {
        bytes.copy_from_slice(&word.load(Ordering::Relaxed).to_ne_bytes());
    }
    let rest = chunks.into_remainder();
    if !rest.is_empty()
        && let Some(word) = from.get(length / 8)
    {
        rest.copy_from_slice(&word.load(Ordering::Relaxed).to_ne_bytes()[..rest.len()]);
    }
}

/// Copies bytes into shared words from byte `at` on; the other bytes of a word keep their value, so nobody else may write
/// there. Stops where the words end.
pub fn store_at(to: &[AtomicU64], at: usize, from: &[u8]) {
    let (mut at, mut from) = (at, from);
    while !from.is_empty() {
        let (inside, count) = (at % 8, from.len().min(8 - at % 8));
        let Some(word) = to.get(at / 8) else { return };
        if count == 8 {
            let whole = from.len() / 8 * 8;
            store(&to[at / 8..], &from[..whole]);
            (at, from) = (at + whole, &from[whole..]);
            continue;
        }
        let mut bytes = word.load(Ordering::Relaxed).to_ne_bytes();
        bytes[inside..inside + count].copy_from_slice(&from[..count]);
        word.store(u64::from_ne_bytes(bytes), Ordering::Relaxed);
        (at, from) = (at + count, &from[count..]);
    }
}

/// Copies shared words into bytes, from byte `at` on. Stops where the words end.
pub fn load_at(to: &mut [u8], from: &[AtomicU64], at: usize) {
    let inside = at % 8;
    let Some(from) = from.get(at / 8..) else { return };
    let count = if inside == 0 { 0 } else { to.len().min(8 - inside) };
    let (first, rest) = to.split_at_mut(count);
    if let (1.., Some(word)) = (count, from.first()) {
        first.copy_from_slice(&word.load(Ordering::Relaxed).to_ne_bytes()[inside..inside + count]);
    }
    load(rest, &from[usize::from(inside != 0).min(from.len())..]);
}
