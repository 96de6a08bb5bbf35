//! An array object whose element type is known by code and size alone.

use std::ptr::NonNull;

use super::any_value::Type;
use super::lock::{self, Held, ValueFailure};
use super::slot::{Slot, is_atomic, stride};
use crate::error::Error;
use crate::raw::mutex::Acquired;
use crate::segment::Segment;
use crate::segment::directory::{Mode, Object};
use crate::segment::kinds::Kind;
use crate::sync::LockFailure;
use crate::sys::nap::{Deadline, Wait};

/// Bytes before the first element: the lock, and padding for vector instructions.
const START: u64 = 128;

/// An open array.
#[derive(Debug)]
pub struct AnyArray {
    object: Object,
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
        if found.is_ok_and(|found| found.bytes <= object.len()) {
            let len = object.shape().capacity as usize;
            Ok(Self { object, size: shape.size, len })
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

    #[allow(dead_code)] // for the C ABI
    /// The slots for `bytes` bytes from element `first` on, each with its index into the bytes.
    fn range(&self, first: usize, bytes: usize) -> Result<impl Iterator<Item = Slot>, ValueFailure> {
        let size = self.size as usize;
        let count = bytes.checked_div(size).unwrap_or(0);
        if count * size != bytes || first.checked_add(count).is_none_or(|end| end > self.len) {
            return Err(ValueFailure::OutOfRange);
        }
        Ok((first..first + count).filter_map(|index| self.slot(index)))
    }

    /// Reads an element; takes the lock if writers are faster time after time.
    #[inline]
    pub fn read_slot(&self, slot: Slot, value: &mut [u8]) -> Result<(), LockFailure> {
        if slot.read(value) {
            return Ok(());
        }
        lock::with_lock(&self.object, Wait::until(Deadline::Forever), || slot.read_locked(value))
    }

    /// Runs `write`, which writes elements; under the lock if they are larger than an atomic word.
    pub fn writing(&self, write: impl FnOnce()) -> Result<(), LockFailure> {
        if is_atomic(self.size) {
            write();
            return Ok(());
        }
        lock::with_lock(&self.object, Wait::until(Deadline::Forever), write)
    }

    /// Reads whole elements from `first` on. Each is whole; together they are one moment's only under the lock.
    #[allow(dead_code)] // for the C ABI
    pub fn read_bytes(&self, first: usize, out: &mut [u8]) -> Result<(), ValueFailure> {
        for (slot, value) in self.range(first, out.len())?.zip(out.chunks_exact_mut(self.size.max(1) as usize)) {
            self.read_slot(slot, value)?;
        }
        Ok(())
    }

    /// Writes whole elements from `first` on; takes the lock for elements larger than an atomic word.
    #[allow(dead_code)] // for the C ABI
    pub fn write_bytes(&self, first: usize, elements: &[u8]) -> Result<(), ValueFailure> {
        let slots = self.range(first, elements.len())?.zip(elements.chunks_exact(self.size.max(1) as usize));
        Ok(self.writing(|| slots.for_each(|(slot, value)| slot.write_locked(value)))?)
    }

    /// Locks; a thread that holds the lock already locks it once more.
    #[allow(dead_code)] // for the C ABI
    pub fn lock(&self, wait: Wait) -> Result<Acquired, LockFailure> {
        lock::lock(&self.object, wait)
    }

    /// Locks until the result is dropped.
    pub fn held(&self, deadline: Deadline) -> Result<(Held<'_>, Acquired), LockFailure> {
        Held::new(&self.object, deadline)
    }

    /// Unlocks once.
    #[allow(dead_code)] // for the C ABI
    pub fn unlock(&self) -> Result<(), LockFailure> {
        lock::unlock(&self.object)
    }

    /// The pid of the process that holds the lock now, if any.
    pub fn holder(&self) -> Option<u32> {
        lock::holder(&self.object)
    }
}
