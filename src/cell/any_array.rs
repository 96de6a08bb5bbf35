//! An array object whose element type is known by code and size alone.

use std::ptr::NonNull;

#[cfg(feature = "capi")]
use super::any_value::IntegerType;
use super::any_value::Type;
#[cfg(feature = "capi")]
use super::array::ElementError;
use super::array::OutOfRange;
use super::lock::Lockable;
#[cfg(feature = "capi")]
use super::slot::Change;
use super::slot::{Slot, is_atomic, stride};
use crate::error::Error;
use crate::segment::Segment;
use crate::segment::directory::{Mode, Object};
use crate::segment::kinds::Kind;
use crate::sync::LockFailure;

/// Bytes before the first element: the lock, and padding for vector instructions.
const START: u64 = 128;

/// An open array.
#[derive(Debug)]
pub struct AnyArray {
    /// The object: lock and elements.
    pub object: Lockable,
    size: u32,
    len: usize,
}

impl AnyArray {
    /// Opens or creates the array called `name`; a new one is zero. Opening with length 0 takes whatever it has.
    pub fn open(segment: &Segment, name: &str, mode: Mode, element: Type, len: usize) -> Result<Self, Error> {
        if len == 0 && mode != Mode::Open {
            return Err(Error::InvalidArgument("an array has at least one element"));
        }
        let shape = element.shape(Kind::Array, len as u64, START)?;
        let object = Object::open(segment, name, mode, &shape, |_| {})?;
        let found = element.shape(Kind::Array, object.shape().capacity, START);
        let capacity = object.shape().capacity;
        if capacity > 0 && found.is_ok_and(|found| found.bytes <= object.len()) {
            let len = capacity as usize;
            Ok(Self { object: Lockable::new(object)?, size: shape.size, len })
        } else {
            Err(Error::Corrupted("an array is shorter than its elements"))
        }
    }

    /// Number of elements.
    pub fn len(&self) -> usize {
        self.len
    }

    /// The first element's address. Elements of 1, 2, 4 or 8 bytes lie next to each other, aligned to their size.
    pub fn as_ptr(&self) -> NonNull<u8> {
        // SAFETY: the object is at least START bytes long.
        unsafe { self.object.base().add(START as usize) }
    }

    /// An element.
    #[inline]
    pub fn slot(&self, index: usize) -> Option<Slot> {
        if index >= self.len {
            return None;
        }
        // SAFETY: element `index` lies inside the object (checked in `open`), which is mapped as long as `self`; the
        // first is aligned to 128, and strides keep atomic sizes and cells aligned.
        Some(unsafe { Slot::new(self.as_ptr().add(index * stride(self.size) as usize), self.size) })
    }

    /// An element that must be there.
    #[inline]
    pub fn checked(&self, index: usize) -> Result<Slot, OutOfRange> {
        self.slot(index).ok_or(OutOfRange { index, len: self.len })
    }

    /// `count` elements from `first` on.
    pub fn slots(&self, first: usize, count: usize) -> Result<impl Iterator<Item = Slot>, OutOfRange> {
        let end = first.checked_add(count).filter(|end| *end <= self.len);
        let index = first.saturating_add(count) - usize::from(count > 0);
        let end = end.ok_or(OutOfRange { index, len: self.len })?;
        Ok((first..end).filter_map(|index| self.slot(index)))
    }

    /// Reads an element; takes the lock if writers are faster time after time.
    #[inline]
    pub fn read_slot(&self, slot: Slot, value: &mut [u8]) -> Result<(), LockFailure> {
        if slot.read(value) {
            return Ok(());
        }
        self.object.with_lock(|| slot.read_locked(value))
    }

    /// Runs `write`, which writes elements; under the lock if they are larger than an atomic word.
    pub fn writing(&self, write: impl FnOnce()) -> Result<(), LockFailure> {
        if is_atomic(self.size) {
            write();
            return Ok(());
        }
        self.object.with_lock(write)
    }

    /// Writes one element to all places; takes the lock for an element larger than an atomic word, once.
    pub fn fill_bytes(&self, element: &[u8]) -> Result<(), LockFailure> {
        let slots = (0..self.len).filter_map(|index| self.slot(index));
        self.writing(|| slots.for_each(|slot| slot.write_locked(element)))
    }
}

/// Elements whose type only the caller knows, as bytes.
#[cfg(feature = "capi")]
impl AnyArray {
    /// Reads whole elements from `first` on. Each is whole; together they are one moment's only under the lock.
    pub fn read_bytes(&self, first: usize, out: &mut [u8]) -> Result<(), ElementError> {
        let size = self.size as usize;
        let mut slots = self.slots(first, out.len() / size)?.zip(out.chunks_exact_mut(size));
        Ok(slots.try_for_each(|(slot, value)| self.read_slot(slot, value))?)
    }

    /// Writes whole elements from `first` on; takes the lock for elements larger than an atomic word.
    pub fn write_bytes(&self, first: usize, elements: &[u8]) -> Result<(), ElementError> {
        let size = self.size as usize;
        let slots = self.slots(first, elements.len() / size)?.zip(elements.chunks_exact(size));
        Ok(self.writing(|| slots.for_each(|(slot, value)| slot.write_locked(value)))?)
    }
}

/// Integers whose type only the directory knows. `None`: they are no integers.
#[cfg(feature = "capi")]
impl AnyArray {
    /// Changes an integer; returns what it was.
    pub fn change(&self, index: usize, change: Change, operand: i64) -> Option<Result<i64, OutOfRange>> {
        let integer = IntegerType::of(&self.object)?;
        Some(self.checked(index).map(|slot| integer.signed(slot.change(change, operand.cast_unsigned()))))
    }

    /// Replaces an integer if it is `expected`; what it was either way.
    pub fn compare_exchange(
        &self,
        index: usize,
        expected: i64,
        new: i64,
    ) -> Option<Result<Result<i64, i64>, OutOfRange>> {
        let integer = IntegerType::of(&self.object)?;
        Some(self.checked(index).map(|slot| {
            let found = slot.compare_exchange(expected.cast_unsigned(), new.cast_unsigned());
            found.map(|bits| integer.signed(bits)).map_err(|bits| integer.signed(bits))
        }))
    }
}
