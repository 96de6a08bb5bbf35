//! What an object is: how a caller asks for it, and how the directory records it.

use super::kinds::Kind;
use crate::error::Error;
use crate::layout::segment::OBJECT_NAME_MAX;
use crate::plain::Plain;

/// Whether an object may, or must, be there already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// It must not.
    Create,
    /// It must.
    Open,
    /// Either.
    OpenOrCreate,
}

/// A type tag: at most 31 bytes, NUL-padded.
pub type Tag = [u8; 32];

/// Checks a type tag.
pub fn tag(text: &str) -> Result<Tag, Error> {
    let mut tag = [0; 32];
    if text.len() >= tag.len() || text.bytes().any(|byte| byte == 0) {
        return Err(Error::InvalidArgument("a type tag has at most 31 bytes, none of them NUL"));
    }
    tag[..text.len()].copy_from_slice(text.as_bytes());
    Ok(tag)
}

/// The size, alignment and tag of an object's items.
#[derive(Clone, Copy, Debug)]
pub struct Item {
    /// Bytes.
    pub size: usize,
    /// Alignment in the languages' own memory; items in the object are copied, not referred to.
    pub align: usize,
    /// Type tag.
    pub tag: Tag,
}

impl Item {
    /// Items of this type.
    pub fn of<T: Plain>() -> Result<Self, Error> {
        Ok(Self { size: size_of::<T::Bits>(), align: align_of::<T::Bits>(), tag: tag(T::TAG)? })
    }

    /// The shape of so many of them, of a length that the caller fills in.
    pub fn shape(self, kind: Kind, capacity: usize) -> Result<Shape, Error> {
        let size = u32::try_from(self.size).map_err(|_| Error::InvalidArgument("an item is larger than 4 GiB"))?;
        let align = u32::try_from(self.align).ok().filter(|align| align.is_power_of_two());
        let align = align.ok_or(Error::InvalidArgument("an alignment is a power of two"))?;
        Ok(Shape { kind, element: 0, size, align, tag: self.tag, capacity: capacity as u64, bytes: 0 })
    }
}

/// What the caller of [`Object::open`] expects or wants to make.
#[derive(Clone, Debug)]
pub struct Shape {
    /// Kind of object.
    pub kind: Kind,
    /// Element code, or 0.
    pub element: u32,
    /// Element size in bytes.
    pub size: u32,
    /// Element alignment in bytes.
    pub align: u32,
    /// Type tag.
    pub tag: Tag,
    /// Capacity; 0 when opening means: whatever it has.
    pub capacity: u64,
    /// Length in the segment, for creation.
    pub bytes: u64,
}

impl Shape {
    /// As the directory records it.
    pub fn stored(&self) -> StoredShape {
        StoredShape {
            kind: self.kind as u32,
            element: self.element,
            element_size: self.size,
            element_align: self.align,
            capacity: self.capacity,
            tag: self.tag,
        }
    }

    /// Whether what was `found` is what was wanted.
    pub fn check(&self, found: &StoredShape) -> Result<(), Error> {
        if found.kind != self.kind as u32 {
            let found = Kind::from_code(found.kind).map_or("object of unknown kind", Kind::name);
            return Err(Error::WrongKind { expected: self.kind.name(), found });
        }
        let mut expected = self.stored();
        if expected.capacity == 0 {
            expected.capacity = found.capacity;
        }
        if expected == *found {
            return Ok(());
        }
        Err(Error::WrongShape { expected: expected.to_string(), found: found.to_string() })
    }
}

/// Kind and shape of an object as the directory has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredShape {
    /// Kind code.
    pub kind: u32,
    /// Element code.
    pub element: u32,
    /// Element size.
    pub element_size: u32,
    /// Element alignment.
    pub element_align: u32,
    /// Capacity.
    pub capacity: u64,
    /// Type tag, NUL-padded.
    pub tag: [u8; 32],
}

impl std::fmt::Display for StoredShape {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let kind = Kind::from_code(self.kind).map_or("object", Kind::name);
        let tag = self.tag.iter().take_while(|byte| **byte != 0).copied().collect::<Vec<_>>();
        let Self { element, element_size, element_align, capacity, .. } = self;
        write!(f, "a {kind} of capacity {capacity} with elements of {element_size} bytes aligned to {element_align}")?;
        write!(f, ", element code {element}, tag \"{}\"", String::from_utf8_lossy(&tag))
    }
}

/// Checks an object name.
pub fn object_name(name: &str) -> Result<[u8; 64], Error> {
    let mut bytes = [0; 64];
    if name.is_empty() {
        return Err(Error::Name("it is empty"));
    }
    if name.len() > OBJECT_NAME_MAX {
        return Err(Error::Name("it is longer than 63 bytes"));
    }
    if name.bytes().any(|byte| byte == 0) {
        return Err(Error::Name("it has a NUL byte"));
    }
    bytes[..name.len()].copy_from_slice(name.as_bytes());
    Ok(bytes)
}
