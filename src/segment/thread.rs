//! A thread as an owner: the tag it drew in each segment, and the locks it holds.
//!
//! A record lies in memory that a fork wipes, so a child that finds its parent's record finds zeros and becomes a
//! participant of its own. A wiped record is never handed out again: the child's other threads might get it while a
//! stale pointer to it still stands in the thread-local of the forking thread.
//!
//! The held list is written before the acquiring compare-and-swap and cleared after the releasing one. When a thread
//! ends, each word on its list that still names it is given back as owner-died; superfluous entries do no harm.

use core::cell::{Cell, RefCell, UnsafeCell};
use core::ptr::{self, NonNull};

use super::registry;
use crate::error::Error;
use crate::layout::mutex::LockWord;
use crate::primitive::{AtomicU32, Ordering};
use crate::raw::{Owner, mutex};
use crate::sys::fork;

/// How many held locks a record has room for before it allocates.
const INLINE: usize = 10;

/// One thread in one segment. All zero: unused, or wiped by a fork.
#[repr(C, align(128))]
pub struct ThreadRecord {
    /// Which attachment; 0 is none.
    serial: Cell<u64>,
    owner: Cell<Option<Owner>>, // None is zero: Owner is a NonZeroU32
    /// Locks on the list. Written by the thread alone; read by whoever closes the segment.
    held: AtomicU32,
    inline: [Cell<*const LockWord>; INLINE],
    overflow: UnsafeCell<*mut Vec<*const LockWord>>,
}

const _: () = assert!(size_of::<ThreadRecord>() == 128);

impl ThreadRecord {
    /// Who the calling thread is in this segment.
    #[inline]
    pub fn owner(&self) -> Owner {
        match self.owner.get() {
            Some(owner) => owner,
            None => unreachable!("a record in use has an owner"),
        }
    }

    /// Whether the calling thread is `owner` in this segment.
    #[inline]
    pub fn is(&self, owner: Owner) -> bool {
        self.owner.get() == Some(owner)
    }

    /// Puts `word` on the held list: before the acquiring compare-and-swap.
    #[inline]
    pub fn hold(&self, word: &LockWord) {
        // Relaxed: only this thread writes it; the closer's read is ordered by what makes the handle its last one.
        let count = self.held.load(Ordering::Relaxed) as usize;
        if let Some(entry) = self.inline.get(count) {
            entry.set(word);
        } else {
            self.hold_overflow(word);
        }
        self.held.store(count as u32 + 1, Ordering::Relaxed);
    }

    /// Takes `word` off the held list: after the releasing compare-and-swap.
    #[inline]
    pub fn unhold(&self, word: &LockWord) {
        let count = self.held.load(Ordering::Relaxed) as usize;
        if (1..=INLINE).contains(&count) && ptr::eq(self.inline[count - 1].get(), word) {
            self.held.store(count as u32 - 1, Ordering::Relaxed);
        } else {
            self.unhold_slow(word);
        }
    }

    #[cold]
    fn hold_overflow(&self, word: &LockWord) {
        self.with_overflow(|list| list.push(word));
    }

    /// Releases in another order than last in, first out.
    #[cold]
    fn unhold_slow(&self, word: &LockWord) {
        let mut all = self.held_words();
        if let Some(at) = all.iter().rposition(|held| ptr::eq(*held, word)) {
            all.remove(at);
        }
        let (inline, rest) = all.split_at(all.len().min(INLINE));
        for (entry, word) in self.inline.iter().zip(inline) {
            entry.set(*word);
        }
        if !rest.is_empty() || self.held.load(Ordering::Relaxed) as usize > INLINE {
            self.with_overflow(|list| {
                list.clear();
                list.extend_from_slice(rest);
            });
        }
        self.held.store(all.len() as u32, Ordering::Relaxed);
    }

    fn with_overflow<R>(&self, change: impl FnOnce(&mut Vec<*const LockWord>) -> R) -> R {
        let slot = self.overflow.get();
        // SAFETY: only the thread that owns the record (or its destructor) touches `overflow`, never re-entrantly; a
        // non-null pointer came from Box::into_raw below.
        unsafe {
            if (*slot).is_null() {
                *slot = Box::into_raw(Box::default());
            }
            change(&mut **slot)
        }
    }

    fn held_words(&self) -> Vec<*const LockWord> {
        let count = self.held.load(Ordering::Relaxed) as usize;
        let mut words: Vec<_> = self.inline.iter().take(count).map(Cell::get).collect();
        if count > INLINE {
            self.with_overflow(|list| words.extend_from_slice(list));
        }
        words
    }

    /// Whether the thread holds anything.
    pub fn holds_any(&self) -> bool {
        self.held.load(Ordering::Relaxed) != 0
    }

    /// Gives everything on the held list back as owner-died.
    ///
    /// # Safety
    /// The mapping of the words on the list is still there.
    unsafe fn give_back_all(&self) {
        for word in self.held_words() {
            // SAFETY: mapped, as the caller promises; a word on the list lay in the segment when it was put there.
            let _ = mutex::give_back(unsafe { &*word }, self.owner());
        }
        self.held.store(0, Ordering::Relaxed);
    }

    fn free_overflow(&self) {
        let list = self.overflow.get();
        // SAFETY: only this thread touches it, and a non-null pointer came from Box::into_raw.
        unsafe {
            if !(*list).is_null() {
                drop(Box::from_raw(*list));
                *list = ptr::null_mut();
            }
        }
    }
}

/// A pointer to a record, for the tables of the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordPtr(NonNull<ThreadRecord>);

// SAFETY: records are never unmapped; other threads only read `held`, which is atomic.
unsafe impl Send for RecordPtr {}

impl RecordPtr {
    /// The record. Threads other than its own may only ask [`ThreadRecord::holds_any`].
    pub fn get(&self) -> &ThreadRecord {
        // SAFETY: records are never unmapped.
        unsafe { self.0.as_ref() }
    }
}

/// Where records come from.
#[derive(Debug, Default)]
pub struct Arena {
    free: Vec<RecordPtr>,
}

impl Arena {
    /// An arena without records.
    pub const fn new() -> Self {
        Self { free: Vec::new() }
    }

    /// Hands out an unused record.
    pub fn take(&mut self) -> Result<RecordPtr, Error> {
        if self.free.is_empty() {
            const CHUNK: usize = 64;
            let chunk = fork::wiped_pages(CHUNK * size_of::<ThreadRecord>())?.cast::<ThreadRecord>();
            // SAFETY: inside the chunk; zero is a valid record.
            self.free.extend((0..CHUNK).map(|index| RecordPtr(unsafe { chunk.add(index) })));
        }
        self.free.pop().ok_or(Error::NoMemory)
    }

    /// Takes a record back.
    pub fn put(&mut self, record: RecordPtr) {
        record.get().serial.set(0);
        record.get().owner.set(None);
        // Locks of a segment that is gone may still stand on the list.
        record.get().held.store(0, Ordering::Relaxed);
        self.free.push(record);
    }

    /// Abandons every record, in a child.
    pub fn abandon(&mut self) {
        self.free = Vec::new();
    }
}

/// The records of one thread.
struct OwnRecords {
    /// The fork generation they belong to.
    generation: Cell<u64>,
    records: RefCell<Vec<RecordPtr>>,
}

impl Drop for OwnRecords {
    fn drop(&mut self) {
        let _ = CURRENT.try_with(|current| current.set(ptr::null()));
        registry::thread_ends(self.generation.get(), self.records.get_mut());
    }
}

thread_local! {
    static CURRENT: Cell<*const ThreadRecord> = const { Cell::new(ptr::null()) };
    static OWN: OwnRecords = const { OwnRecords { generation: Cell::new(0), records: RefCell::new(Vec::new()) } };
}

/// The calling thread's record in the attachment `serial`, if it is the one it used last.
#[inline]
pub fn current(serial: u64) -> Option<NonNull<ThreadRecord>> {
    let record = NonNull::new(CURRENT.get().cast_mut())?;
    // SAFETY: records are never unmapped, and only this thread writes `serial` of a record in its CURRENT.
    (unsafe { record.as_ref() }.serial.get() == serial).then_some(record)
}

/// The calling thread's record in the attachment `serial`, if it has one in this process.
#[inline]
pub fn find(serial: u64) -> Option<NonNull<ThreadRecord>> {
    current(serial).or_else(|| find_slow(serial))
}

#[cold]
fn find_slow(serial: u64) -> Option<NonNull<ThreadRecord>> {
    let found = OWN
        .try_with(|own| own.records.borrow().iter().copied().find(|record| record.get().serial.get() == serial))
        .ok()??;
    CURRENT.set(found.0.as_ptr());
    Some(found.0)
}

/// Makes a record for the calling thread, with the registry locked.
pub fn add(
    arena: &mut Arena,
    generation: u64,
    serial: u64,
    owner: Owner,
    mut is_open: impl FnMut(u64) -> bool,
) -> Result<RecordPtr, Error> {
    let record = arena.take()?;
    let added = OWN.try_with(|own| {
        let mut records = own.records.borrow_mut();
        if own.generation.replace(generation) != generation {
            // Inherited from the parent: wiped, and not to be used again.
            records.clear();
        }
        records.retain(|record| {
            let keep = is_open(record.get().serial.get());
            if !keep {
                record.get().free_overflow();
                arena.put(*record);
            }
            keep
        });
        records.push(record);
    });
    if added.is_err() {
        arena.put(record);
        return Err(Error::NotSupported("the thread is ending"));
    }
    record.get().serial.set(serial);
    record.get().owner.set(Some(owner));
    CURRENT.set(record.0.as_ptr());
    Ok(record)
}

/// Ends one record of an ending thread: whatever it holds is given back as owner-died.
///
/// # Safety
/// If `mapped`, the mapping of the segment is still there.
pub unsafe fn end(arena: &mut Arena, record: RecordPtr, mapped: bool) {
    if mapped {
        // SAFETY: as the caller promises.
        unsafe { record.get().give_back_all() };
    }
    record.get().held.store(0, Ordering::Relaxed);
    record.get().free_overflow();
    arena.put(record);
}

impl RecordPtr {
    /// Which attachment the record belongs to, and its owner.
    pub fn identity(&self) -> (u64, Option<Owner>) {
        (self.get().serial.get(), self.get().owner.get())
    }
}
