//! The directory of named objects, and the heap they lie in.
//!
//! There is no allocator to repair: an object's extent stands in its directory entry alone, free space is whatever no
//! entry covers, and one store to the entry's state word creates or removes it. So a death at any step under the
//! directory lock leaves the directory as it was or as it should be.
//!
//! | state | meaning | left by |
//! |---|---|---|
//! | free | the rest of the entry means nothing | creation: fill in everything, then store *ready* (Release) |
//! | ready | a named object | `remove`: store *removed* |
//! | removed | no name; space kept while a living participant has its open bit set | the next creation that needs room |

use std::ptr::NonNull;
use std::sync::Arc;
use std::time::Duration;

use super::Segment;
use super::attachment::{Attachment, SharedPtr};
use super::kinds::{self, Remains};
use super::thread::ThreadRecord;
use super::view::{Record, StoredShape};
use crate::error::Error;
use crate::layout::segment::{ALIGN, ENTRY_FREE, ENTRY_READY, ENTRY_REMOVED};
use crate::primitive::{AtomicU64, Ordering};
use crate::raw::mutex::{self, Acquired, Refused};
use crate::raw::{Fate, Peers};
use crate::sys::membarrier;
use crate::sys::nap::{Deadline, Wait};

pub use super::shape::{Item, Mode, Shape, Tag, object_name, tag};

/// How long a call waits for the directory lock. Its holder only copies bytes; but it may be stopped.
const PATIENCE: Duration = Duration::from_secs(10);

/// An open object. Keeps the mapping; as long as it lives the object's space is not given away.
#[derive(Debug)]
pub struct Object {
    attachment: Arc<Attachment>,
    entry: u32,
    base: SharedPtr,
    len: u64,
    shape: StoredShape,
    /// How often its entry had been used before.
    generation: u32,
}

impl Object {
    /// Opens or creates the object called `name`. `init` fills a new object's zeroed memory before anybody sees it.
    pub fn open(
        segment: &Segment,
        name: &str,
        mode: Mode,
        shape: &Shape,
        init: impl FnOnce(NonNull<u8>),
    ) -> Result<Self, Error> {
        let name = object_name(name)?;
        // Once per process: from then on whoever sleeps pays for the fence, not whoever wakes.
        membarrier::register();
        let attachment = segment.attachment();
        let directory = Directory::lock(attachment)?;
        let record = match (directory.find(&name)?, mode) {
            (Some(_), Mode::Create) => return Err(Error::Exists),
            (None, Mode::Open) => return Err(Error::Missing),
            (Some(record), _) => {
                shape.check(&record.shape)?;
                record
            }
            (None, _) => directory.create(&name, shape, init)?,
        };
        attachment.note_open(record.number, record.state)?;
        let base = SharedPtr(attachment.view().object(&record));
        let (entry, len, generation) = (record.number, record.len, record.state >> 2);
        Ok(Self { attachment: attachment.clone(), entry, base, len, shape: record.shape, generation })
    }

    /// The same object, opened once more.
    pub fn again(&self) -> Result<Self, Error> {
        self.attachment.enter()?;
        self.attachment.note_open_again(self.entry)?;
        let (attachment, shape) = (self.attachment.clone(), self.shape.clone());
        let &Self { entry, base, len, generation, .. } = self;
        Ok(Self { attachment, entry, base, len, shape, generation })
    }

    /// What tells it from every other object that the segment has or had: at most 45 bits, the same in each process.
    pub fn mark(&self) -> u64 {
        u64::from(self.generation) << 15 | u64::from(self.entry)
    }

    /// First byte, aligned to 128.
    #[inline]
    pub fn base(&self) -> NonNull<u8> {
        self.base.0
    }

    /// Length in bytes.
    #[inline]
    pub fn len(&self) -> u64 {
        self.len
    }

    /// What tells it from every other object that this process has open or had open.
    pub fn identity(&self) -> (u64, u32) {
        (self.attachment.serial(), self.entry)
    }

    /// Where it starts in the segment.
    pub fn offset(&self) -> u64 {
        (self.base.0.addr().get() - self.attachment.view().base().addr().get()) as u64
    }

    /// Whether the other object lies in the same segment, as this process has joined it.
    pub fn is_beside(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.attachment, &other.attachment)
    }

    /// What the directory says it is.
    pub fn shape(&self) -> &StoredShape {
        &self.shape
    }

    /// The calling thread as an owner.
    #[inline]
    pub fn enter(&self) -> Result<&ThreadRecord, Error> {
        self.attachment.enter()
    }

    /// The calling thread's record, if this is the segment it used last.
    #[inline]
    pub fn entered_last(&self) -> Option<&ThreadRecord> {
        self.attachment.entered_last()
    }

    /// The calling thread's record, if it has one; never registers.
    #[inline]
    pub fn entered(&self) -> Option<&ThreadRecord> {
        self.attachment.entered()
    }

    /// Who answers which participants are dead.
    pub fn peers(&self) -> &Attachment {
        &self.attachment
    }

    /// Recovers the dead that a slow path has met. To be called at the end of slow paths.
    #[cold]
    pub fn settle(&self) {
        self.attachment.settle();
    }
}

impl Drop for Object {
    fn drop(&mut self) {
        let start = self.base.0.addr().get();
        let remains = Remains { base: self.base.0, len: self.len, shape: &self.shape };
        // SAFETY: mapped, and the object's until the attachment has noted that it is closed.
        let give_back = |me| unsafe { kinds::give_back(&remains, me) };
        self.attachment.note_closed(self.entry, start..start + self.len as usize, give_back);
    }
}

/// The locked directory.
pub struct Directory<'a> {
    attachment: &'a Attachment,
    thread: &'a ThreadRecord,
}

impl<'a> Directory<'a> {
    /// Locks the directory. A holder that died left it whole.
    pub fn lock(attachment: &'a Attachment) -> Result<Self, Error> {
        let thread = attachment.enter()?;
        let word = attachment.view().directory_lock();
        // Before the clock is asked for a deadline.
        if mutex::lock_fast(word, thread.owner()) {
            return Ok(Self { attachment, thread });
        }
        match mutex::lock(word, thread.owner(), attachment, Wait::until(Deadline::after(PATIENCE))) {
            Ok(Acquired::Clean) => {}
            Ok(Acquired::OwnerDied) => {
                let _ = mutex::make_consistent(word, thread.owner());
            }
            Err(Refused::TimedOut | Refused::WouldBlock | Refused::Interrupted) => return Err(Error::Busy),
            Err(Refused::WouldDeadlock | Refused::NotRecoverable | Refused::Corrupted) => {
                return Err(Error::Corrupted("the directory lock"));
            }
        }
        Ok(Self { attachment, thread })
    }

    /// The object of this name.
    pub fn find(&self, name: &[u8; 64]) -> Result<Option<Record>, Error> {
        let view = self.attachment.view();
        // Under the lock that orders it. A peer that lowers the mark hides names, but whoever needs room looks at all.
        let used = view.header().entries_used.load(Ordering::Relaxed).min(view.geometry().objects);
        for number in 0..used {
            if let Some(record) = view.record(number)?.filter(|record| !record.removed && record.name == *name) {
                return Ok(Some(record));
            }
        }
        Ok(None)
    }

    /// All named objects.
    pub fn records(&self) -> Result<Vec<Record>, Error> {
        let mut records = self.attachment.view().entries().collect::<Result<Vec<_>, _>>()?;
        records.retain(|record| !record.removed);
        Ok(records)
    }

    /// Takes the name of an object away.
    pub fn remove(&self, name: &[u8; 64]) -> Result<(), Error> {
        let record = self.find(name)?.ok_or(Error::Missing)?;
        let state = record.state & !3 | ENTRY_REMOVED;
        self.attachment.view().entry(record.number).state.store(state, Ordering::Release);
        // The name is gone; if its space cannot be given back now, the next creation will.
        let _ = self.reclaim();
        Ok(())
    }

    fn create(&self, name: &[u8; 64], shape: &Shape, init: impl FnOnce(NonNull<u8>)) -> Result<Record, Error> {
        if shape.bytes == 0 {
            return Err(Error::InvalidArgument("an object of no bytes"));
        }
        let (number, offset) = match self.room(shape.bytes) {
            Err(Error::DirectoryFull | Error::NoSpace) => {
                self.reclaim()?;
                self.room(shape.bytes)?
            }
            room => room?,
        };
        let view = self.attachment.view();
        let entry = view.entry(number);
        let stored = shape.stored();
        entry.kind.store(stored.kind, Ordering::Relaxed);
        entry.element.store(stored.element, Ordering::Relaxed);
        entry.element_size.store(stored.element_size, Ordering::Relaxed);
        entry.element_align.store(stored.element_align, Ordering::Relaxed);
        entry.capacity.store(stored.capacity, Ordering::Relaxed);
        entry.offset.store(offset, Ordering::Relaxed);
        entry.len.store(shape.bytes, Ordering::Relaxed);
        store_bytes(&entry.tag, &stored.tag);
        store_bytes(&entry.name, name);
        // SAFETY: `room` found the range free, inside the heap.
        let base = unsafe { view.base().add(offset as usize) };
        self.zero(base, shape.bytes);
        init(base);
        // Before the entry can be seen: a death in between leaves a mark that is too high, which costs a look.
        view.header().entries_used.fetch_max(number + 1, Ordering::Relaxed);
        // The generation goes on when an entry is freed. Release: the entry and the object are complete.
        let state = entry.state.load(Ordering::Relaxed) & !3 | ENTRY_READY;
        entry.state.store(state, Ordering::Release);
        view.record(number)?.ok_or(Error::Corrupted("a directory entry changed under its lock"))
    }

    /// Zeroes unpublished memory, without dirtying what is zero already.
    fn zero(&self, base: NonNull<u8>, len: u64) {
        for index in 0..len.div_ceil(8) as usize {
            // SAFETY: extents are rounded up to ALIGN by `room`, so the last word lies inside.
            let word = unsafe { base.cast::<AtomicU64>().add(index).as_ref() };
            if word.load(Ordering::Relaxed) != 0 {
                word.store(0, Ordering::Relaxed);
            }
        }
    }

    /// A free entry, and the first gap of `len` bytes.
    fn room(&self, len: u64) -> Result<(u32, u64), Error> {
        let view = self.attachment.view();
        let mut free = None;
        let mut extents = Vec::new();
        for number in 0..view.geometry().objects {
            match view.record(number)? {
                None => free = free.or(Some(number)),
                Some(record) => extents.push((record.offset, record.len)),
            }
        }
        let free = free.ok_or(Error::DirectoryFull)?;
        extents.sort_unstable();
        let len = len.checked_next_multiple_of(ALIGN).ok_or(Error::NoSpace)?;
        let mut start = view.geometry().heap();
        for (offset, used) in extents {
            if offset.saturating_sub(start) >= len {
                break;
            }
            start = start.max((offset + used).next_multiple_of(ALIGN));
        }
        if start.checked_add(len).is_none_or(|end| end > view.geometry().size) {
            return Err(Error::NoSpace);
        }
        Ok((free, start))
    }

    /// Gives back the space of removed objects that no living participant has open, unless somebody sweeps.
    fn reclaim(&self) -> Result<bool, Error> {
        let view = self.attachment.view();
        self.attachment.while_nobody_sweeps(|| {
            for record in view.entries().flatten().filter(|record| record.removed) {
                let open = view.participants().any(|participant| {
                    let (word, bit) = view.open_bit(participant, record.number);
                    word.load(Ordering::Acquire) & bit != 0
                        && view.slot(participant).state.load(Ordering::Acquire) & 1 != 0
                        && self.attachment.fate(participant) == Fate::Alive
                });
                if !open {
                    let state = (record.state & !3).wrapping_add(4) | ENTRY_FREE;
                    view.entry(record.number).state.store(state, Ordering::Release);
                }
            }
            Ok(())
        })
    }
}

impl Drop for Directory<'_> {
    fn drop(&mut self) {
        let _ = mutex::unlock(self.attachment.view().directory_lock(), self.thread.owner());
    }
}

fn store_bytes<const WORDS: usize>(words: &[AtomicU64; WORDS], bytes: &[u8]) {
    for (word, bytes) in words.iter().zip(bytes.chunks_exact(8)) {
        word.store(u64::from_ne_bytes(bytes.try_into().unwrap_or_default()), Ordering::Relaxed);
    }
}
