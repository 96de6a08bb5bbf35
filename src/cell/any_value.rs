//! A value object whose type is known by code and size alone: what [`Value`](super::Value) and the C ABI are made of.

use super::lock::Lockable;
#[cfg(feature = "capi")]
use super::slot::Change;
use super::slot::{Slot, is_atomic, stride};
use crate::error::Error;
#[cfg(feature = "capi")]
use crate::plain::Element;
use crate::segment::Segment;
use crate::segment::directory::{Mode, Object, Shape, Tag};
use crate::segment::kinds::Kind;
use crate::sync::{LOCK_BYTES, LockFailure};

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
    /// The object: lock and element.
    pub object: Lockable,
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
        Ok(Self { object: Lockable::new(object)?, size: shape.size })
    }

    /// The element.
    #[inline]
    pub fn slot(&self) -> Slot {
        // SAFETY: the object is long enough (checked in `open`), mapped as long as `self`, and 8 bytes behind its start,
        // which is aligned to 128, every atomic size and the words of a cell are aligned.
        unsafe { Slot::new(self.object.base().add(LOCK_BYTES as usize), self.size) }
    }

    /// Reads the value into as many bytes as it has; takes the lock if writers are faster time after time.
    pub fn get_bytes(&self, value: &mut [u8]) -> Result<(), LockFailure> {
        if self.slot().read(value) {
            return Ok(());
        }
        self.object.with_lock(|| self.slot().read_locked(value))
    }

    /// Replaces the value by as many bytes as it has; takes the lock if it is larger than an atomic word.
    pub fn set_bytes(&self, value: &[u8]) -> Result<(), LockFailure> {
        if is_atomic(self.size) {
            self.slot().write_locked(value);
            return Ok(());
        }
        self.object.with_lock(|| self.slot().write_locked(value))
    }
}

/// Integers whose type only the directory knows. `None`: it is no integer.
#[cfg(feature = "capi")]
impl AnyValue {
    /// Changes the integer; returns what it was.
    pub fn change(&self, change: Change, operand: i64) -> Option<i64> {
        let integer = IntegerType::of(&self.object)?;
        Some(integer.signed(self.slot().change(change, operand.cast_unsigned())))
    }

    /// Replaces the integer if it is `expected`; what it was either way.
    pub fn compare_exchange(&self, expected: i64, new: i64) -> Option<Result<i64, i64>> {
        let integer = IntegerType::of(&self.object)?;
        let found = self.slot().compare_exchange(expected.cast_unsigned(), new.cast_unsigned());
        Some(found.map(|bits| integer.signed(bits)).map_err(|bits| integer.signed(bits)))
    }
}

/// An element type with arithmetic: that of [`Integer`](super::Integer), which text is not.
#[cfg(feature = "capi")]
#[derive(Clone, Copy, Debug)]
pub struct IntegerType(Element);

#[cfg(feature = "capi")]
impl IntegerType {
    /// The type of an object's elements; `None`: they are no integers.
    pub fn of(object: &Lockable) -> Option<Self> {
        let element = Element::from_code(object.shape().element)?;
        let others = [Element::Struct, Element::F32, Element::F64, Element::Bool, Element::Char];
        (!others.contains(&element)).then_some(Self(element))
    }

    /// The bits of an integer as a signed number, as C converts them.
    pub fn signed(self, bits: u64) -> i64 {
        match self.0 {
            Element::I8 => (bits as i8).into(),
            Element::I16 => (bits as i16).into(),
            Element::I32 => (bits as i32).into(),
            Element::U8 => (bits as u8).into(),
            Element::U16 => (bits as u16).into(),
            Element::U32 => (bits as u32).into(),
            _ => bits.cast_signed(),
        }
    }
}
