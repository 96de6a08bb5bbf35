//! The objects of a segment in a model: a map by name, and a block of memory for each.

use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::collections::BTreeMap;
use std::ptr::NonNull;
use std::sync::Arc;

use super::Segment;
use super::attachment::Attachment;
use super::kinds::{Kind, Remains};
use super::thread::ThreadRecord;
use crate::error::Error;
use crate::layout::segment::{ALIGN, Geometry};
use crate::primitive::modelled;

pub use super::shape::{Item, Mode, Shape, StoredShape, Tag, object_name, tag};

/// The zeroed memory of an object.
#[derive(Debug)]
struct Block {
    base: NonNull<u8>,
    layout: Layout,
}

// SAFETY: what lies in a block is accessed through the model's atomics, whichever thread does it.
unsafe impl Send for Block {}
// SAFETY: as above.
unsafe impl Sync for Block {}

impl Block {
    fn new(len: u64) -> Result<Self, Error> {
        let layout = Layout::from_size_align(len as usize, ALIGN as usize).map_err(|_| Error::NoSpace)?;
        // SAFETY: the caller has seen that it is not empty.
        let base = NonNull::new(unsafe { alloc_zeroed(layout) });
        Ok(Self { base: base.unwrap_or_else(|| handle_alloc_error(layout)), layout })
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        // SAFETY: allocated so in `new`; whoever has a pointer into it has the block too.
        unsafe { dealloc(self.base.as_ptr(), self.layout) }
    }
}

/// A named object.
#[derive(Clone, Debug)]
pub struct Record {
    block: Arc<Block>,
    offset: u64,
    len: u64,
    shape: StoredShape,
}

impl Record {
    /// As recovery sees it.
    pub fn remains(&self) -> Remains<'_> {
        Remains { base: self.block.base, len: self.len, shape: &self.shape }
    }
}

/// The objects, and how much room there is for others.
#[derive(Debug)]
pub struct Directory {
    named: BTreeMap<[u8; 64], Record>,
    /// Objects whose name was removed: who has one open may still need recovery.
    removed: Vec<Record>,
    objects: usize,
    /// Where the next object would start in a real segment, and where that would end.
    next: u64,
    end: u64,
}

impl Directory {
    /// An empty directory.
    pub fn new(geometry: &Geometry) -> Self {
        let (next, end, objects) = (geometry.heap(), geometry.size, geometry.objects as usize);
        Self { named: BTreeMap::new(), removed: Vec::new(), objects, next, end }
    }

    /// Takes an object's name away.
    pub fn remove(&mut self, name: &[u8; 64]) -> Result<(), Error> {
        self.removed.push(self.named.remove(name).ok_or(Error::Missing)?);
        Ok(())
    }

    /// All objects, those without a name included.
    pub fn everything(&self) -> Vec<Record> {
        self.named.values().chain(&self.removed).cloned().collect()
    }

    fn open(
        &mut self,
        name: [u8; 64],
        mode: Mode,
        shape: &Shape,
        init: impl FnOnce(NonNull<u8>),
    ) -> Result<Record, Error> {
        match (self.named.get(&name), mode) {
            (Some(_), Mode::Create) => Err(Error::Exists),
            (None, Mode::Open) => Err(Error::Missing),
            (Some(record), _) => shape.check(&record.shape).map(|()| record.clone()),
            (None, _) => {
                let record = self.make(shape, init)?;
                self.named.insert(name, record.clone());
                Ok(record)
            }
        }
    }

    fn make(&mut self, shape: &Shape, init: impl FnOnce(NonNull<u8>)) -> Result<Record, Error> {
        if shape.bytes == 0 {
            return Err(Error::InvalidArgument("an object of no bytes"));
        }
        if self.named.len() + self.removed.len() == self.objects {
            return Err(Error::DirectoryFull);
        }
        let rounded = shape.bytes.checked_next_multiple_of(ALIGN).ok_or(Error::NoSpace)?;
        if self.end.saturating_sub(self.next) < rounded {
            return Err(Error::NoSpace);
        }
        let block = Block::new(rounded)?;
        // The headers of these kinds are whole words, their elements may be smaller.
        let (small, start) = match shape.kind {
            Kind::Value => (shape.size, 16),
            Kind::Array => (shape.size, 128),
            _ => (0, 0),
        };
        let len = shape.bytes.next_multiple_of(8) as usize;
        // SAFETY: the block is ours alone yet, aligned to 128 and so long.
        unsafe { modelled::furnish(block.base, len, small, start) };
        init(block.base);
        let offset = self.next;
        self.next += rounded;
        Ok(Record { block: Arc::new(block), offset, len: shape.bytes, shape: shape.stored() })
    }
}

/// An open object. Keeps the segment, and with it the memory.
#[derive(Debug)]
pub struct Object {
    attachment: Arc<Attachment>,
    record: Record,
}

impl Object {
    /// Opens or creates the object called `name`, in one step. `init` fills a new object's zeroed memory before anybody
    /// sees it.
    pub fn open(
        segment: &Segment,
        name: &str,
        mode: Mode,
        shape: &Shape,
        init: impl FnOnce(NonNull<u8>),
    ) -> Result<Self, Error> {
        let name = object_name(name)?;
        let attachment = segment.attachment().clone();
        attachment.enter()?;
        let record = attachment.with_directory(|directory| directory.open(name, mode, shape, init))?;
        Ok(Self { attachment, record })
    }

    /// The same object, opened once more.
    pub fn again(&self) -> Result<Self, Error> {
        Ok(Self { attachment: self.attachment.clone(), record: self.record.clone() })
    }

    /// What tells it from every other object of the segment. Models have no ends that would be held by it.
    pub fn mark(&self) -> u64 {
        0
    }

    /// What tells it from every other object that is open.
    pub fn identity(&self) -> (u64, u32) {
        (self.record.block.base.addr().get() as u64, 0)
    }

    /// First byte, aligned to 128.
    pub fn base(&self) -> NonNull<u8> {
        self.record.block.base
    }

    /// Length in bytes.
    pub fn len(&self) -> u64 {
        self.record.len
    }

    /// Where it would start in a real segment.
    pub fn offset(&self) -> u64 {
        self.record.offset
    }

    /// Whether the other object lies in the same segment.
    pub fn is_beside(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.attachment, &other.attachment)
    }

    /// What the directory says it is.
    pub fn shape(&self) -> &StoredShape {
        &self.record.shape
    }

    /// The calling thread as an owner.
    pub fn enter(&self) -> Result<&ThreadRecord, Error> {
        self.attachment.enter()
    }

    /// The calling thread's record, if it has joined the segment.
    pub fn entered_last(&self) -> Option<&ThreadRecord> {
        self.attachment.entered_last()
    }

    /// The same.
    pub fn entered(&self) -> Option<&ThreadRecord> {
        self.attachment.entered()
    }

    /// Who answers which participants are dead.
    pub fn peers(&self) -> &Attachment {
        &self.attachment
    }

    /// See [`Attachment::settle`].
    pub fn settle(&self) {
        self.attachment.settle();
    }
}
