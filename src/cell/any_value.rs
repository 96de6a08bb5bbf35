//! A value object whose type is known by code and size alone: what [`Value`](super::Value) and the C ABI are made of.

use super::lock::{self, Held, LOCK_BYTES, ValueFailure};
use super::scalar::as_i64;
use super::slot::{Change, Slot, is_atomic, stride};
use crate::error::Error;
use crate::raw::mutex::Acquired;
use crate::segment::Segment;
use crate::segment::directory::{Mode, Object, Shape, Tag};
use crate::segment::kinds::Kind;
use crate::sync::LockFailure;
use crate::sys::nap::{Deadline, Wait};

/// The type of an element as the directory records it.
#[derive(Clone, Copy, Debug)]
pub struct Type {
    /// Element code.
    pub element: u32,
    /// Bytes.
    pub size: usize,
    /// Alignment.
    pub align: usize,
    /// Type tag.
    pub tag: Tag,
}

impl Type {
    /// The shape of an object of `kind` with `count` such elements from byte `start` on.
    pub fn shape(self, kind: Kind, count: u64, start: u64) -> Result<Shape, Error> {
        let size = u32::try_from(self.size).map_err(|_| Error::InvalidArgument("an element is larger than 4 GiB"))?;
        let align = u32::try_from(self.align).ok().filter(|align| align.is_power_of_two());
        let bytes = stride(size).checked_mul(count).and_then(|bytes| bytes.checked_add(start)).ok_or(Error::NoSpace)?;
        Ok(Shape {
            kind,
            element: self.element,
            size,
            align: align.ok_or(Error::InvalidArgument("an alignment is a power of two"))?,
            tag: self.tag,
            capacity: count,
            bytes: bytes.next_multiple_of(8),
        })
    }
}

/// An open value.
#[derive(Debug)]
pub struct AnyValue {
    object: Object,
    size: u32,
}

impl AnyValue {
    /// Opens or creates the value called `name`; a new one is `initial`, or zero.
    pub fn open(
        segment: &Segment,
        name: &str,
        mode: Mode,
        element: Type,
        initial: Option<&[u8]>,
    ) -> Result<Self, Error> {
        let shape = element.shape(Kind::Value, 1, LOCK_BYTES)?;
        let object = Object::open(segment, name, mode, &shape, |base| {
            if let Some(initial) = initial {
                // SAFETY: the object is `shape.bytes` long: lock and element. Nobody else sees it yet.
                unsafe { Slot::new(base.add(LOCK_BYTES as usize), shape.size) }.write_locked(initial);
            }
        })?;
        if object.len() < shape.bytes {
            return Err(Error::Corrupted("a value is shorter than its data"));
        }
        Ok(Self { object, size: shape.size })
    }

    /// The element.
    #[inline]
    pub fn slot(&self) -> Slot {
        // SAFETY: the object is long enough (checked in `open`), mapped as long as `self`, and 8 bytes behind its start,
        // which is aligned to 128, every atomic size and the words of a cell are aligned.
        unsafe { Slot::new(self.object.base().add(LOCK_BYTES as usize), self.size) }
    }

    /// Reads the value, of exactly its size.
    pub fn get_bytes(&self, value: &mut [u8]) -> Result<(), ValueFailure> {
        if value.len() != self.size as usize {
            return Err(ValueFailure::OutOfRange);
        }
        if !self.slot().read(value) {
            lock::with_lock(&self.object, Wait::until(Deadline::Forever), || self.slot().read_locked(value))?;
        }
        Ok(())
    }

    /// Replaces the value; takes the lock if it is larger than an atomic word.
    pub fn set_bytes(&self, value: &[u8], interruptible: bool) -> Result<(), ValueFailure> {
        if value.len() != self.size as usize {
            return Err(ValueFailure::OutOfRange);
        }
        if is_atomic(self.size) {
            self.slot().write_locked(value);
            return Ok(());
        }
        let wait = Wait { deadline: Deadline::Forever, interruptible };
        Ok(lock::with_lock(&self.object, wait, || self.slot().write_locked(value))?)
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

    /// Changes an integer; returns what it was.
    #[allow(dead_code)] // for the C ABI
    pub fn change(&self, change: Change, operand: i64) -> Result<i64, ValueFailure> {
        self.integer(0)?;
        self.integer(self.slot().change(change, operand.cast_unsigned()))
    }

    /// Replaces an integer if it is `expected`; what it was either way.
    #[allow(dead_code)] // for the C ABI
    pub fn compare_exchange(&self, expected: i64, new: i64) -> Result<Result<i64, i64>, ValueFailure> {
        self.integer(0)?;
        match self.slot().compare_exchange(expected.cast_unsigned(), new.cast_unsigned()) {
            Ok(found) => Ok(Ok(self.integer(found)?)),
            Err(found) => Ok(Err(self.integer(found)?)),
        }
    }

    fn integer(&self, bits: u64) -> Result<i64, ValueFailure> {
        as_i64(self.object.shape().element, bits).ok_or(ValueFailure::NotSupported("arithmetic on what is no integer"))
    }
}
