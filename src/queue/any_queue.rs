//! A queue object whose item type is known by size alone: what [`Queue`](super::Queue) and the C ABI are made of.

use crate::error::Error;
use crate::layout::queue::{Geometry, QueueHeader};
use crate::primitive::{AtomicU32, Ordering};
use crate::raw::queue::{PopFailure, PushFailure, Queue};
use crate::segment::Segment;
use crate::segment::directory::{Mode, Object, Shape, Tag};
use crate::segment::kinds::Kind;
use crate::sys::membarrier;
use crate::sys::nap::{Deadline, Wait};

/// The size, alignment and tag of a queue's items.
#[derive(Clone, Copy, Debug)]
pub struct Item {
    /// Bytes.
    pub size: usize,
    /// Alignment in the languages' own memory; items in the queue are copied, not referred to.
    pub align: usize,
    /// Type tag.
    pub tag: Tag,
}

/// An open queue.
#[derive(Debug)]
pub struct AnyQueue {
    object: Object,
    geometry: Geometry,
    interruptible: AtomicU32,
}

/// A failure of the queue, or of joining the segment.
pub type Failure<F> = Result<F, Error>;

impl AnyQueue {
    /// Opens or creates the queue called `name`. Opening with capacity 0 takes whatever it has.
    pub fn open(segment: &Segment, name: &str, mode: Mode, item: Item, capacity: usize) -> Result<Self, Error> {
        let size = u32::try_from(item.size).map_err(|_| Error::InvalidArgument("an item is larger than 4 GiB"))?;
        let align = u32::try_from(item.align).ok().filter(|align| align.is_power_of_two());
        let align = align.ok_or(Error::InvalidArgument("an alignment is a power of two"))?;
        let wanted = Geometry::new(capacity as u64, size.into());
        if wanted.is_none() && (mode != Mode::Open || capacity != 0) {
            return Err(Error::InvalidArgument(
                "a queue's capacity is at least 1, and its bytes fit the address space",
            ));
        }
        let shape = Shape {
            kind: Kind::Queue,
            element: 0,
            size,
            align,
            tag: item.tag,
            capacity: capacity as u64,
            bytes: wanted.map_or(0, |geometry| geometry.bytes() as u64),
        };
        // Once per process: from then on whoever sleeps here pays for the fence, not whoever notifies.
        membarrier::register();
        let object = Object::open(segment, name, mode, &shape, |base| {
            if let Some(geometry) = wanted {
                // SAFETY: `bytes` covers the header, the memory is aligned to 128, and nobody else sees it yet.
                unsafe { base.cast::<QueueHeader>().write(QueueHeader::new(geometry)) };
            }
        })?;
        let geometry = Geometry::new(object.shape().capacity, object.shape().element_size.into())
            .filter(|geometry| geometry.bytes() as u64 <= object.len())
            .ok_or(Error::Corrupted("a queue does not fit its entry"))?;
        Ok(Self { object, geometry, interruptible: AtomicU32::new(0) })
    }

    #[inline]
    fn raw(&self) -> Result<Queue<'_>, Error> {
        // SAFETY: the object is mapped as long as `self`, and at least `bytes()` long (checked in `open`).
        unsafe { Queue::at(self.object.base(), self.geometry) }.ok_or(Error::Corrupted("a queue's sizes changed"))
    }

    /// Appends an item of exactly the item size. The outer error is one of joining the segment.
    #[inline]
    pub fn push(&self, item: &[u8], deadline: Deadline) -> Failure<Result<(), PushFailure>> {
        let owner = self.object.enter()?.owner();
        let result = self.raw()?.push(owner, item, self.object.peers(), self.wait(deadline));
        if result.is_err() {
            self.object.settle();
        }
        Ok(result)
    }

    /// Takes the first item into `item`, of exactly the item size; if there is none its bytes are arbitrary. The outer
    /// error is one of joining the segment.
    #[inline]
    pub fn pop(&self, item: &mut [u8], deadline: Deadline) -> Failure<Result<(), PopFailure>> {
        // Entering makes a forked child a participant before it waits for anybody.
        self.object.enter()?;
        let result = self.raw()?.pop(item, self.object.peers(), self.wait(deadline));
        if result.is_err() {
            self.object.settle();
        }
        Ok(result)
    }

    #[inline]
    fn wait(&self, deadline: Deadline) -> Wait {
        Wait { deadline, interruptible: self.interruptible.load(Ordering::Relaxed) != 0 }
    }

    /// Bytes of an item.
    #[cfg(feature = "capi")]
    pub fn item_size(&self) -> usize {
        self.geometry.item_size()
    }

    /// Number of slots.
    pub fn capacity(&self) -> usize {
        self.geometry.capacity() as usize
    }

    /// Number of messages; a snapshot.
    pub fn len(&self) -> usize {
        self.raw().map_or(0, |queue| queue.len() as usize)
    }

    /// Pushes fail from now on; pops drain what is there and then fail.
    pub fn shutdown(&self) -> Result<(), Error> {
        self.raw()?.shutdown();
        Ok(())
    }

    /// Whether it is shut down.
    pub fn is_shut_down(&self) -> bool {
        self.raw().is_ok_and(|queue| queue.is_shut_down())
    }

    /// Whether a signal handler that ran ends a blocked call.
    pub fn set_interruptible(&self, interruptible: bool) {
        self.interruptible.store(interruptible.into(), Ordering::Relaxed);
    }
}
