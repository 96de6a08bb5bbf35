//! A thread as an owner: the tag it drew in each segment, and the locks it holds.
//!
//! A record lies in memory that a fork wipes, so a child that finds its parent's record finds zeros and becomes a
//! participant of its own. A wiped record is never handed out again: the child's other threads might get it while a
//! stale pointer to it still stands in the thread-local of the forking thread.
//!
//! The held list is written before the acquiring compare-and-swap, and left alone afterwards: an entry says that the
//! thread may hold the lock, the lock's word whether it does. When a thread ends, each word on its list that still names
//! it is given back as owner-died. Not clearing saves two stores a lock, 3 to 4 ns of 24: a locked instruction waits for
//! all stores before it. So that no entry outlives its lock, closing an object takes what is not held off every list.

use core::cell::{Cell, RefCell};
use core::ops::Range;
use core::ptr::{self, NonNull};

use super::registry;
use crate::error::Error;
use crate::layout::mutex::LockWord;
use crate::primitive::{AtomicPtr, Ordering};
use crate::raw::{Owner, ParticipantId, mutex};
use crate::sys::{fork, shm};

/// How many locks a record has room for before it allocates.
const PLACES: usize = 13;

/// A lock that the thread may hold, or null. Stored by the thread; taken out by whoever closes the lock's object.
type Place = AtomicPtr<LockWord>;

/// One thread in one segment. All zero: unused, or wiped by a fork.
#[repr(C, align(128))]
pub struct ThreadRecord {
    /// Which attachment; 0 is none.
    serial: Cell<u64>,
    owner: Cell<Option<Owner>>, // None is zero: Owner is a NonZeroU32
    /// Which of the lives that had the participant's number is this process's.
    life: Cell<u32>,
    /// The held list, in no order.
    held: [Place; PLACES],
    /// More of it. Freed under the registry's lock, under which alone other threads look.
    more: AtomicPtr<More>,
}

/// Places of a thread that holds many locks at once.
#[derive(Default)]
struct More {
    held: [Place; 31],
    next: AtomicPtr<More>,
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

    /// The process in this segment: its number, and which of the lives that had it.
    #[inline]
    pub fn participant(&self) -> (ParticipantId, u32) {
        (self.owner().participant(), self.life.get())
    }

    /// Whether the calling thread is `owner` in this segment.
    #[inline]
    pub fn is(&self, owner: Owner) -> bool {
        self.owner.get() == Some(owner)
    }

    /// Puts `word` on the held list: before the acquiring compare-and-swap.
    #[inline(always)]
    pub fn hold(&self, word: &LockWord) {
        // Relaxed, here and below: the registry's lock orders what other threads do to the list.
        if !ptr::eq(self.held[0].load(Ordering::Relaxed), word) {
            self.hold_slow(word);
        }
    }

    #[inline(never)]
    fn hold_slow(&self, word: &LockWord) {
        let mut free = None;
        for place in self.places() {
            let held = place.load(Ordering::Relaxed);
            if ptr::eq(held, word) {
                return;
            }
            if held.is_null() && free.is_none() {
                free = Some(place);
            }
        }
        let free = free.or_else(|| self.places().find(|place| !self.owns(place))).unwrap_or_else(|| self.extend());
        free.store(ptr::from_ref(word).cast_mut(), Ordering::Relaxed);
    }

    fn places(&self) -> impl Iterator<Item = &Place> {
        let mut more = &self.more;
        // Acquire: pairs with the Release in `extend`.
        let chunks = core::iter::from_fn(move || {
            // SAFETY: a chunk is complete when it is linked, and freed by `clear` alone, when nobody looks any more.
            let chunk = unsafe { more.load(Ordering::Acquire).as_ref() }?;
            more = &chunk.next;
            Some(&chunk.held)
        });
        self.held.iter().chain(chunks.flatten())
    }

    /// Makes room for more locks at once.
    #[cold]
    fn extend(&self) -> &Place {
        let chunk = Box::into_raw(Box::new(More {
            next: AtomicPtr::new(self.more.load(Ordering::Relaxed)),
            ..More::default()
        }));
        self.more.store(chunk, Ordering::Release);
        // SAFETY: just made; see `places`.
        unsafe { &(*chunk).held[0] }
    }

    /// Whether the thread holds the lock in `place` now.
    fn owns(&self, place: &Place) -> bool {
        // SAFETY: a word on the list lies in an object that is still mapped: whoever closes it takes its words off the
        // list (`forget`) unless they are held, and what is held keeps the mapping.
        let word = unsafe { place.load(Ordering::Relaxed).as_ref() };
        word.zip(self.owner.get()).is_some_and(|(word, owner)| mutex::is_owner(word, owner))
    }

    /// Whether the thread holds anything. Under the registry's lock if asked by another thread.
    pub fn holds_any(&self) -> bool {
        self.places().any(|place| self.owns(place))
    }

    /// Takes the locks in a range of addresses off the list, but those that the thread holds; says whether it holds none.
    /// Under the registry's lock, when the process has no handle left through which the thread could lock them.
    pub fn forget(&self, addresses: &Range<usize>) -> bool {
        let mut all = true;
        for place in self.places() {
            let word = place.load(Ordering::Relaxed);
            if !addresses.contains(&word.addr()) {
                continue;
            }
            if self.owns(place) {
                all = false;
            } else {
                // An exchange: the thread may have put another lock there meanwhile.
                let _ = place.compare_exchange(word, ptr::null_mut(), Ordering::Relaxed, Ordering::Relaxed);
            }
        }
        all
    }

    /// Takes everything off the list, under the registry's lock, when the thread does not use the record any more.
    fn clear(&self) {
        for place in &self.held {
            place.store(ptr::null_mut(), Ordering::Relaxed);
        }
        let mut more = self.more.swap(ptr::null_mut(), Ordering::Relaxed);
        while !more.is_null() {
            // SAFETY: made by `extend`, and unlinked: nobody else looks at it.
            more = unsafe { Box::from_raw(more) }.next.load(Ordering::Relaxed);
        }
    }

    /// Gives everything on the held list back as owner-died.
    ///
    /// # Safety
    /// The mapping of the words on the list is still there.
    unsafe fn give_back_all(&self) {
        for place in self.places() {
            // SAFETY: mapped, as the caller promises; see `owns`.
            if let Some(word) = unsafe { place.load(Ordering::Relaxed).as_ref() } {
                let _ = mutex::give_back(word, self.owner());
            }
        }
    }
}

/// A pointer to a record, for the tables of the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordPtr(NonNull<ThreadRecord>);

// SAFETY: records are never unmapped; what other threads do with one, they do under the registry's lock, to atomics and to the
// owner, which changes under that lock only.
unsafe impl Send for RecordPtr {}

impl RecordPtr {
    /// The record. Threads other than its own may only call [`ThreadRecord::holds_any`] and [`ThreadRecord::forget`].
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

    /// Hands out an unused record. New ones lie below the segment mapped at `near`, if there is room: so they keep the page
    /// table that its header needs, and to map the next segment there costs 2 to 3 us less.
    pub fn take(&mut self, near: NonNull<u8>) -> Result<RecordPtr, Error> {
        if self.free.is_empty() {
            const CHUNK: usize = 64;
            const LEN: usize = CHUNK * size_of::<ThreadRecord>();
            let chunk = fork::wiped_pages(LEN, shm::wish(near, shm::PAGE + LEN))?.cast::<ThreadRecord>();
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
        record.get().clear();
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

/// Makes a record for the calling thread in the segment mapped at `near`, with the registry locked.
pub fn add(
    arena: &mut Arena,
    near: NonNull<u8>,
    generation: u64,
    serial: u64,
    owner: Owner,
    life: u32,
    mut is_open: impl FnMut(u64) -> bool,
) -> Result<RecordPtr, Error> {
    let record = arena.take(near)?;
    let added = OWN.try_with(|own| {
        let mut records = own.records.borrow_mut();
        if own.generation.replace(generation) != generation {
            // Inherited from the parent: wiped, and not to be used again.
            records.clear();
        }
        records.retain(|record| {
            let keep = is_open(record.get().serial.get());
            if !keep {
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
    record.get().life.set(life);
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
    arena.put(record);
}

impl RecordPtr {
    /// Which attachment the record belongs to, and its owner.
    pub fn identity(&self) -> (u64, Option<Owner>) {
        (self.get().serial.get(), self.get().owner.get())
    }
}
