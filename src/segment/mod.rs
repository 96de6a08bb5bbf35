//! Segments: shared memory with a name, participants, and a directory of objects.
//!
//! | module | what it is |
//! |---|---|
//! | [`options`] | what a segment is created with |
//! | [`named`] | birth, opening, unlinking, listing, sweeping |
//! | [`door`] | the lock that orders the death of a name |
//! | [`peek`] | a segment file looked at without mapping it |
//! | [`view`] | a mapped segment as its parts |
//! | [`attachment`], [`place`] | this process as one participant; how it becomes one |
//! | [`registry`], [`thread`] | what the process and its threads know of the segments they have joined |
//! | [`recovery`], [`kinds`] | who is dead, and tidying up after them |
//! | [`directory`] | named objects and the heap |
//! | [`shape`], [`info`] | what an object is; what people are told of objects and participants |
//!
//! In models `modelled` stands in for all of it but [`options`], [`kinds`], [`shape`] and [`info`].

pub(crate) mod attachment;
pub(crate) mod directory;
mod door;
mod info;
pub(crate) mod kinds;
mod named;
mod options;
mod peek;
mod place;
mod recovery;
mod registry;
mod shape;
pub(crate) mod thread;
pub(crate) mod view;

use std::fmt;
use std::os::fd::OwnedFd;
use std::ptr::NonNull;
use std::sync::Arc;

use crate::error::Error;
use crate::layout::segment::ALIGN;
use crate::plain::Element;
use crate::primitive::{AtomicU64, Ordering};
use crate::raw::Peers;
use attachment::{Attachment, Backing};
use directory::{Directory, object_name};
use kinds::Kind;
use view::View;

pub use info::{ObjectInfo, ParticipantInfo};
pub use named::{SegmentInfo, SweepReport};
pub use options::{SegmentOptions, Unlink};

/// Shared memory that processes join by name, by descriptor or by address, with named objects in it.
///
/// A handle: clones, and further opens of the same segment in one process, share one mapping and one place in the
/// participant table. Dropping the last handle, and the last object opened through it, leaves the segment; it never
/// unlinks the name, except under [`Unlink::WithLast`] when nobody else is left.
///
/// **Threads and processes**: any thread may use a handle. A forked child may go on using inherited handles; its first
/// call makes it a participant of its own, and nothing that the parent holds is the child's. A child made by a raw
/// `clone` system call, which runs no fork handlers, may do the same if no other thread was inside the library then.
///
/// **Crash behaviour**: a process may be killed at any instruction. Whoever meets what it held takes it over and is
/// told; the dead process's place is given back by the next process that joins or calls [`recover`](Self::recover).
///
/// ```
/// use ringfence::{Segment, SegmentOptions};
/// # fn main() -> Result<(), ringfence::Error> {
/// # let name = format!("doc-{}", std::process::id());
/// let segment = Segment::open_or_create(&name, &SegmentOptions::new().size(1 << 20))?;
/// assert_eq!(segment.name(), Some(name.as_str()));
/// Segment::unlink(&name)?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
#[must_use]
pub struct Segment {
    attachment: Arc<Attachment>,
}

/// The segment could not be closed; here it is back.
#[derive(Debug)]
pub struct CloseError {
    /// The handle.
    pub segment: Segment,
    /// Why: [`Error::Busy`] if a thread of this process holds a lock in it.
    pub error: Error,
}

impl fmt::Display for CloseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the segment was not closed: {}", self.error)
    }
}

impl std::error::Error for CloseError {}

impl Segment {
    fn from(attachment: Arc<Attachment>) -> Self {
        Self { attachment }
    }

    /// Creates a segment under a name that must be free.
    ///
    /// All memory is reserved here. The name appears only once the segment is complete, so a creator that is killed
    /// leaves nothing.
    ///
    /// # Errors
    /// [`Error::Name`], [`Error::InvalidArgument`] for impossible options, [`Error::Exists`], [`Error::NoSpace`],
    /// [`Error::NoMemory`], [`Error::NoDescriptors`], [`Error::Permission`].
    pub fn create(name: &str, options: &SegmentOptions) -> Result<Self, Error> {
        named::create(&named::path_of(name)?, options).map(Self::from)
    }

    /// Opens the segment of this name. If none of its participants lives, it is recovered first.
    ///
    /// # Errors
    /// [`Error::Missing`] (also for a dead segment that was to be unlinked with its last participant),
    /// [`Error::Corrupted`], [`Error::Version`], [`Error::Permission`], [`Error::TooManyParticipants`],
    /// [`Error::Busy`] if somebody stopped in the middle of unlinking it, and what [`create`](Self::create) may give.
    pub fn open(name: &str) -> Result<Self, Error> {
        Self::open_with(name, &SegmentOptions::new())
    }

    /// Opens the segment of this name; of the options only
    /// [`allow_foreign_owner`](SegmentOptions::allow_foreign_owner) counts.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_with(name: &str, options: &SegmentOptions) -> Result<Self, Error> {
        named::open(&named::path_of(name)?, options).map(Self::from)
    }

    /// Opens the segment of this name, or creates it. An existing one keeps its own options.
    ///
    /// # Errors
    /// [`Error::WrongShape`] if an existing one has less room for objects than asked for, and what
    /// [`open`](Self::open) and [`create`](Self::create) may give.
    pub fn open_or_create(name: &str, options: &SegmentOptions) -> Result<Self, Error> {
        named::open_or_create(&named::path_of(name)?, options).map(Self::from)
    }

    /// Creates a segment without a name. Others join through its [descriptor](Self::try_clone_fd) or by fork.
    ///
    /// # Errors
    /// As [`create`](Self::create).
    pub fn anonymous(options: &SegmentOptions) -> Result<Self, Error> {
        named::anonymous(options).map(Self::from)
    }

    /// Joins the segment behind a descriptor, as received over a socket or inherited.
    ///
    /// # Errors
    /// As [`open`](Self::open); [`Error::NotSupported`] for memory that was [formatted in place](Self::format_at), whose
    /// participants a descriptor cannot tell from the dead.
    pub fn from_fd(fd: OwnedFd) -> Result<Self, Error> {
        named::from_descriptor(fd).map(Self::from)
    }

    /// Takes the name away if it is that of the segment behind this descriptor. Whether it was.
    #[cfg_attr(not(any(feature = "process", feature = "capi")), allow(dead_code))]
    pub(crate) fn unlink_if(name: &str, fd: &OwnedFd) -> Result<bool, Error> {
        let inode = crate::sys::shm::stat(std::os::fd::AsFd::as_fd(fd))?.inode;
        named::unlink_if(&named::path_of(name)?, inode)
    }

    /// A descriptor of the segment, to be passed to another process.
    ///
    /// # Errors
    /// [`Error::NotSupported`] for adopted memory, [`Error::NoDescriptors`].
    pub fn try_clone_fd(&self) -> Result<OwnedFd, Error> {
        self.attachment.descriptor()
    }

    /// Makes a segment of memory that the caller has mapped; everything in it is lost.
    ///
    /// Participants are told apart by pid and start time, so they must share a PID namespace, and a participant that
    /// execs another program counts as alive until that ends. The memory's own room limits the size: the options' size
    /// is ignored.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] if the memory is not aligned to 128 bytes or too small for the options' counts,
    /// [`Error::NotSupported`] without /proc.
    ///
    /// # Safety
    /// `base..base + len` is mapped shared, readable and writable, stays so until the last handle and object of this
    /// segment is dropped in this process, and nobody else uses it meanwhile but as a segment.
    pub unsafe fn format_at(base: NonNull<u8>, len: usize, options: &SegmentOptions) -> Result<Self, Error> {
        let size = checked_memory(base, len)?;
        let geometry = crate::layout::segment::Geometry::new(options.participants.into(), options.objects, size)?;
        for index in 0..(geometry.heap() / 8) as usize {
            // SAFETY: inside the memory, whose length the geometry was checked against; aligned.
            unsafe { base.cast::<AtomicU64>().add(index).as_ref() }.store(0, Ordering::Relaxed);
        }
        // SAFETY: the memory is ours, as the caller promises, and long enough for a header.
        unsafe { named::write_birth(base, &named::birth(options, size, true)) };
        // SAFETY: as the caller promises.
        unsafe { Self::attach_at(base, len) }
    }

    /// Joins a segment in memory that the caller has mapped and somebody has [formatted](Self::format_at).
    ///
    /// # Errors
    /// As [`open`](Self::open) and [`format_at`](Self::format_at).
    ///
    /// # Safety
    /// As for [`format_at`](Self::format_at).
    pub unsafe fn attach_at(base: NonNull<u8>, len: usize) -> Result<Self, Error> {
        checked_memory(base, len)?;
        // SAFETY: as the caller promises.
        let view = unsafe { View::new(base, len) }?;
        if view.birth().liveness != 1 {
            return Err(Error::NotSupported("this memory is a segment with a file: join it by name or descriptor"));
        }
        Attachment::join(view, Backing::Adopted, None, false).map(Self::from)
    }

    /// Removes a name. Those who have the segment open go on; the memory goes with the last of them.
    ///
    /// # Errors
    /// [`Error::Name`], [`Error::Missing`], [`Error::Permission`], [`Error::Busy`].
    pub fn unlink(name: &str) -> Result<(), Error> {
        named::unlink(&named::path_of(name)?, &SegmentOptions::new())
    }

    /// The named segments that this user may open, sorted by name.
    ///
    /// # Errors
    /// Those of reading the directory; [`Error::NoDescriptors`] or [`Error::NoMemory`] if there is none to look with.
    pub fn list() -> Result<Vec<SegmentInfo>, Error> {
        named::list()
    }

    /// Removes what the dead left, of this user's: the name of a segment in which nobody lives, if it is to be [unlinked
    /// with the last](Unlink::WithLast) participant or an [`unlink`](Self::unlink) was killed in the middle; and
    /// unfinished files of creators that were killed.
    ///
    /// What stays: a segment with a living participant; one to be [kept](Unlink::Keep), the default, dead or alive,
    /// until it is unlinked; what belongs to another user; a file that is no sound segment of this layout version.
    ///
    /// # Errors
    /// Those of reading the directory; [`Error::NoDescriptors`] or [`Error::NoMemory`] if there is none to look with.
    pub fn sweep() -> Result<SweepReport, Error> {
        named::sweep()
    }

    /// Recovers every dead participant: frees what it held, wakes those who wait for it, gives its place back. Returns
    /// how many this call recovered. Nobody has to call this: waiters notice a death themselves within 100 ms.
    ///
    /// # Errors
    /// [`Error::NoDescriptors`]; [`Error::Busy`] if somebody stopped in the middle of giving space back.
    pub fn recover(&self) -> Result<usize, Error> {
        self.attachment.enter()?;
        self.attachment.recover()
    }

    /// The name it was joined by.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.attachment.path()?.file_name()?.to_str()?.strip_prefix(crate::sys::shm::PREFIX)
    }

    /// Length of the whole segment in bytes.
    #[must_use]
    pub fn size(&self) -> usize {
        self.attachment.view().geometry().size as usize
    }

    /// The processes that have it open.
    #[must_use]
    pub fn participants(&self) -> Vec<ParticipantInfo> {
        let view = self.attachment.view();
        let lives = view.participants().map(|id| (id, view.slot(id).state.load(Ordering::Acquire)));
        let used = lives.filter(|(_, state)| state & 1 != 0);
        used.map(|(id, state)| {
            let slot = view.slot(id);
            let name: [u8; 16] = bytemuck::cast(slot.name.each_ref().map(|word| word.load(Ordering::Relaxed)));
            ParticipantInfo {
                id,
                pid: slot.pid.load(Ordering::Relaxed) as u32,
                name: text(&name),
                alive: self.attachment.fate(id) == crate::raw::Fate::Alive,
                life: state >> 1,
            }
        })
        .collect()
    }

    /// The objects in it.
    ///
    /// # Errors
    /// [`Error::Corrupted`]; [`Error::Busy`] if somebody stopped while holding the directory.
    pub fn objects(&self) -> Result<Vec<ObjectInfo>, Error> {
        let records = Directory::lock(&self.attachment)?.records()?;
        Ok(records
            .iter()
            .map(|record| ObjectInfo {
                name: record.name_lossy(),
                kind: Kind::from_code(record.shape.kind).map_or("unknown", Kind::name),
                capacity: record.shape.capacity,
                element: Element::from_code(record.shape.element),
                element_size: record.shape.element_size,
                element_align: record.shape.element_align,
                tag: text(&record.shape.tag),
                bytes: record.len,
            })
            .collect())
    }

    /// Removes an object's name. Whoever has the object open goes on; its space is used again once no living
    /// participant has it open.
    ///
    /// # Errors
    /// [`Error::Name`], [`Error::Missing`], [`Error::Busy`], [`Error::Corrupted`].
    pub fn remove(&self, object: &str) -> Result<(), Error> {
        let name = object_name(object)?;
        Directory::lock(&self.attachment)?.remove(&name)
    }

    /// Closes this handle.
    ///
    /// # Errors
    /// [`Error::Busy`], with the handle, if a thread of this process holds a lock in the segment.
    pub fn close(self) -> Result<(), CloseError> {
        match self.attachment.holds_any() {
            Ok(false) => Ok(()),
            Ok(true) => Err(CloseError { segment: self, error: Error::Busy }),
            Err(error) => Err(CloseError { segment: self, error }),
        }
    }

    pub(crate) fn attachment(&self) -> &Arc<Attachment> {
        &self.attachment
    }
}

/// Which process this is, counted by the forks on the way here from the first user of the library.
pub(crate) fn fork_generation() -> Result<u64, Error> {
    Ok(registry::lock()?.generation())
}

/// What is NUL-padded, as text for people.
fn text(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(&bytes[..end]).into_owned()
}

fn checked_memory(base: NonNull<u8>, len: usize) -> Result<u64, Error> {
    if !(base.addr().get() as u64).is_multiple_of(ALIGN) || isize::try_from(len).is_err() {
        return Err(Error::InvalidArgument(
            "the memory must be aligned to 128 bytes and shorter than half the address space",
        ));
    }
    Ok(len as u64)
}

impl fmt::Debug for Segment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Segment").field("name", &self.name()).field("size", &self.size()).finish_non_exhaustive()
    }
}
