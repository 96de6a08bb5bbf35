//! A blackboard whose value type is known by size alone: what [`Blackboard`](super::Blackboard) and the C ABI are made of.

use core::cell::Cell;

use super::any_broadcast::{geometry_of, initialise, open_writer, raw};
use super::broadcast_errors::{BlackboardReadError, BlackboardWriteError, WriterError};
use crate::error::Error;
use crate::layout::broadcast::Geometry;
use crate::raw::blackboard::{self, CAPACITY};
use crate::raw::broadcast::{Unsent, Writer};
use crate::segment::Segment;
use crate::segment::directory::{Mode, Object, Shape, Tag};
use crate::segment::kinds::Kind;
use crate::sync::Waitable;
use crate::sys::fork::Mark;
use crate::sys::nap::{Deadline, Interruptible};

/// An open blackboard.
#[derive(Debug)]
pub struct AnyBlackboard {
    object: Object,
    geometry: Geometry,
    interruptible: Interruptible,
}

impl AnyBlackboard {
    /// Opens the blackboard called `name`, or creates it, for a value of `size` bytes.
    pub fn open(segment: &Segment, name: &str, mode: Mode, size: usize, align: usize, tag: Tag) -> Result<Self, Error> {
        let wanted = Geometry::new(CAPACITY, size as u64, 0, false);
        let wanted = wanted.ok_or(Error::InvalidArgument("a blackboard's bytes fit the address space"))?;
        let size = u32::try_from(size).map_err(|_| Error::InvalidArgument("a value is larger than 4 GiB"))?;
        let align = u32::try_from(align).ok().filter(|align| align.is_power_of_two());
        let align = align.ok_or(Error::InvalidArgument("an alignment is a power of two"))?;
        let bytes = wanted.bytes() as u64;
        let shape = Shape { kind: Kind::Blackboard, element: 0, size, align, tag, capacity: 1, bytes };
        let object = Object::open(segment, name, mode, &shape, |base| initialise(base, wanted))?;
        // Its shape is the same, so its sizes are.
        if geometry_of(&object) != Some(wanted) {
            return Err(Error::Corrupted("a blackboard does not fit its entry"));
        }
        Ok(Self { object, geometry: wanted, interruptible: Interruptible::new() })
    }

    #[inline(always)]
    fn raw(&self) -> blackboard::Blackboard<'_> {
        match blackboard::Blackboard::new(raw(&self.object, self.geometry)) {
            Some(blackboard) => blackboard,
            None => unreachable!("made so in `open`, and private since"),
        }
    }

    /// Becomes the writer.
    pub fn writer(&self) -> Result<AnyBlackboardWriter, WriterError> {
        let (object, writer) = open_writer(&self.object, self.geometry)?;
        Ok(AnyBlackboardWriter {
            object,
            geometry: self.geometry,
            writer,
            of: Mark::get().generation(),
            mark: Mark::get(),
        })
    }

    /// Copies the newest value into `value`, of exactly its size; its number, at least 1. On failure the bytes are arbitrary.
    #[inline]
    pub fn read(&self, value: &mut [u8]) -> Result<u64, BlackboardReadError> {
        if self.object.entered_last().is_none() {
            self.object.enter().map_err(BlackboardReadError::Segment)?;
        }
        match self.raw().read(value)? {
            0 => Err(BlackboardReadError::Empty),
            number => Ok(number),
        }
    }

    /// The same if its number is greater than `than`, waiting for one until `deadline`.
    pub fn read_newer(&self, than: u64, value: &mut [u8], deadline: Deadline) -> Result<u64, BlackboardReadError> {
        self.object.enter().map_err(BlackboardReadError::Segment)?;
        let wait = self.interruptible.wait(deadline);
        let read = self.raw().read_newer(than, value, self.object.peers(), wait);
        self.object.settle();
        Ok(read?)
    }

    /// That there is a newer value, or will be none.
    pub fn newer(&self, than: u64) -> Waitable<'_> {
        Waitable::newer(&self.object, self.geometry, than)
    }

    /// Bytes of the value.
    #[cfg(feature = "capi")]
    pub fn size(&self) -> usize {
        self.geometry.record_size()
    }

    /// Writes fail from now on; the newest value stays.
    pub fn shutdown(&self) -> Result<(), Error> {
        self.object.enter()?;
        self.raw().values().shutdown();
        Ok(())
    }

    /// Whether it is shut down.
    pub fn is_shut_down(&self) -> bool {
        self.raw().values().is_shut_down()
    }

    /// Whether a signal handler that ran ends a blocked call.
    pub fn set_interruptible(&self, interruptible: bool) {
        self.interruptible.set(interruptible);
    }
}

/// The writer of a blackboard.
#[derive(Debug)]
pub struct AnyBlackboardWriter {
    object: Object,
    geometry: Geometry,
    writer: Cell<Writer>,
    /// The process whose place it is.
    of: u64,
    /// Where that is told.
    mark: Mark,
}

impl AnyBlackboardWriter {
    /// Writes a value of exactly the size; its number.
    #[inline(always)]
    pub fn write(&self, value: &[u8]) -> Result<u64, BlackboardWriteError> {
        if self.of != self.mark.generation() {
            return Err(BlackboardWriteError::NotOwner);
        }
        let mut writer = self.writer.get();
        match raw(&self.object, self.geometry).send_once(&mut writer, value) {
            Ok(()) => {
                self.writer.set(writer);
                Ok(writer.position())
            }
            Err(unsent) => Err(self.why(unsent)),
        }
    }

    #[cold]
    fn why(&self, unsent: Unsent) -> BlackboardWriteError {
        let closed = raw(&self.object, self.geometry).is_shut_down();
        match unsent {
            Unsent::TailChanged if closed => BlackboardWriteError::Closed,
            _ => BlackboardWriteError::Corrupted,
        }
    }

    /// Bytes of the value.
    #[cfg(feature = "capi")]
    pub fn size(&self) -> usize {
        self.geometry.record_size()
    }
}

impl Drop for AnyBlackboardWriter {
    fn drop(&mut self) {
        // In a forked child the place is the parent's.
        if self.of == self.mark.generation() {
            raw(&self.object, self.geometry).close_writer(self.writer.get());
        }
    }
}
