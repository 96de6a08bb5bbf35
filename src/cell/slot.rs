//! One element in shared memory, by its size alone.

use std::ptr::NonNull;

use crate::primitive::{AtomicU8, AtomicU16, AtomicU32, AtomicU64, Ordering};
use crate::raw::cell::{Cell, cell_words};

/// Bytes from one element to the next.
pub const fn stride(size: u32) -> u64 {
    if is_atomic(size) { size as u64 } else { 8 * cell_words(size as usize) as u64 }
}

/// Whether elements of this size are single atomic words.
pub const fn is_atomic(size: u32) -> bool {
    matches!(size, 1 | 2 | 4 | 8)
}

/// An element of `size` bytes.
#[derive(Clone, Copy, Debug)]
pub struct Slot {
    at: NonNull<u8>,
    size: u32,
}

macro_rules! on_word {
    ($slot:expr, $atomic:ident => $body:expr) => {{
        // SAFETY: an atomic element is mapped and aligned to its size (`Slot::new`), and accessed atomically only.
        match $slot.size {
            1 => on_word!(@ $slot, AtomicU8, u8, $atomic, $body),
            2 => on_word!(@ $slot, AtomicU16, u16, $atomic, $body),
            4 => on_word!(@ $slot, AtomicU32, u32, $atomic, $body),
            _ => on_word!(@ $slot, AtomicU64, u64, $atomic, $body),
        }
    }};
    (@ $slot:expr, $type:ident, $int:ident, $atomic:ident, $body:expr) => {{
        // SAFETY: as above.
        let $atomic = unsafe { $slot.at.cast::<$type>().as_ref() };
        #[allow(dead_code)]
        type Word = $int;
        $body
    }};
}

/// A change of an atomic element; wraps at its width.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Adds.
    Add,
    /// Subtracts.
    Sub,
    /// Bitwise and.
    And,
    /// Bitwise or.
    Or,
    /// Bitwise exclusive or.
    Xor,
    /// Replaces.
    Swap,
}

#[allow(clippy::useless_conversion)] // one of the four widths is u64
impl Slot {
    /// The element at `at`.
    ///
    /// # Safety
    /// `stride(size)` bytes from `at` on are mapped as long as the slot is used, aligned to `size` if that
    /// [is atomic](is_atomic) and to 8 if not, and accessed through slots of this size or as atomics only.
    #[inline]
    pub unsafe fn new(at: NonNull<u8>, size: u32) -> Self {
        Self { at, size }
    }

    /// The bits of an atomic element, zero-extended. Acquire: who sees a value sees what was done before it was set.
    #[inline]
    pub fn load(self) -> u64 {
        on_word!(self, word => word.load(Ordering::Acquire).into())
    }

    /// Sets an atomic element. Release: pairs with [`load`](Self::load).
    #[inline]
    pub fn store(self, bits: u64) {
        on_word!(self, word => word.store(bits as Word, Ordering::Release));
    }

    /// Changes an atomic element; returns its previous bits. SeqCst: counters and flags of different objects are seen in
    /// one order.
    #[inline]
    pub fn change(self, change: Change, operand: u64) -> u64 {
        on_word!(self, word => match change {
            Change::Add => word.fetch_add(operand as Word, Ordering::SeqCst),
            Change::Sub => word.fetch_sub(operand as Word, Ordering::SeqCst),
            Change::And => word.fetch_and(operand as Word, Ordering::SeqCst),
            Change::Or => word.fetch_or(operand as Word, Ordering::SeqCst),
            Change::Xor => word.fetch_xor(operand as Word, Ordering::SeqCst),
            Change::Swap => word.swap(operand as Word, Ordering::SeqCst),
        }.into())
    }

    /// Replaces an atomic element if it is `expected`; the previous bits either way.
    #[inline]
    pub fn compare_exchange(self, expected: u64, new: u64) -> Result<u64, u64> {
        on_word!(self, word => word
            .compare_exchange(expected as Word, new as Word, Ordering::SeqCst, Ordering::SeqCst)
            .map(u64::from)
            .map_err(u64::from))
    }

    /// The two copies of an element that is not atomic.
    fn cell<'a>(self) -> Option<Cell<'a>> {
        let words = cell_words(self.size as usize);
        // SAFETY: mapped, aligned and accessed as `new` demands; the caller does not outlive the mapping.
        let words = unsafe { NonNull::slice_from_raw_parts(self.at.cast::<AtomicU64>(), words).as_ref() };
        Cell::new(words, self.size as usize)
    }

    /// Reads an element of any size without a lock. `false`: writers were faster each time; take the lock.
    #[inline]
    pub fn read(self, value: &mut [u8]) -> bool {
        if is_atomic(self.size) {
            value.copy_from_slice(&self.load().to_le_bytes()[..self.size as usize]);
            return true;
        }
        self.cell().is_some_and(|cell| cell.read(value))
    }

    /// Reads an element of any size under the object's lock.
    pub fn read_locked(self, value: &mut [u8]) {
        if is_atomic(self.size) {
            self.read(value);
        } else if let Some(cell) = self.cell() {
            cell.read_locked(value);
        }
    }

    /// Writes an element of any size; under the object's lock unless it is atomic.
    #[inline]
    pub fn write_locked(self, value: &[u8]) {
        if is_atomic(self.size) {
            let mut bits = [0; 8];
            bits[..self.size as usize].copy_from_slice(value);
            self.store(u64::from_le_bytes(bits));
        } else if let Some(cell) = self.cell() {
            cell.write_locked(value);
        }
    }
}
