//! A mapped segment as its parts: every offset is computed from checked counts, every reference lies inside.

use core::ptr::NonNull;

use crate::error::Error;
use crate::layout::mutex::LockWord;
use crate::layout::segment::{Birth, ENTRY_FREE, ENTRY_READY, ENTRY_REMOVED, Entry, Geometry, Header, Slot};
use crate::primitive::{AtomicU64, Ordering};
use crate::raw::{ParticipantId, wait_any};

pub use super::shape::StoredShape;

/// The mapped bytes of a segment whose header has been validated against the mapping.
#[derive(Clone, Copy, Debug)]
pub struct View {
    base: NonNull<u8>,
    birth: Birth,
    geometry: Geometry,
}

// SAFETY: a View hands out references to atomics only; see the SAFETY comments in `at`.
unsafe impl Send for View {}
// SAFETY: as above.
unsafe impl Sync for View {}

impl View {
    /// Reads and checks the header of `len` mapped bytes.
    ///
    /// # Safety
    /// `base..base + len` is mapped readable and writable for as long as the view or a copy of it is used, is aligned
    /// to 128 bytes, and is accessed atomically only.
    pub unsafe fn new(base: NonNull<u8>, len: usize) -> Result<Self, Error> {
        if len < size_of::<Header>() {
            return Err(Error::Corrupted("shorter than a header"));
        }
        // Copied once, word by word: a faulty peer may write to it meanwhile.
        let mut words = [0_u64; size_of::<Birth>() / 8];
        for (index, word) in words.iter_mut().enumerate() {
            // SAFETY: inside the mapping (checked above) and aligned; atomics are the only kind of access.
            *word = unsafe { base.cast::<AtomicU64>().add(index).as_ref() }.load(Ordering::Relaxed);
        }
        let birth: Birth = bytemuck::cast(words);
        let geometry = birth.validate(len as u64)?;
        Ok(Self { base, birth, geometry })
    }

    /// What the header says that never changes.
    pub fn birth(&self) -> &Birth {
        &self.birth
    }

    /// The counts and the size.
    pub fn geometry(&self) -> &Geometry {
        &self.geometry
    }

    /// The first byte.
    pub fn base(&self) -> NonNull<u8> {
        self.base
    }

    fn at<T>(&self, offset: u64) -> &T {
        debug_assert!(offset + size_of::<T>() as u64 <= self.geometry.size);
        // SAFETY: offsets come from Geometry alone, whose parts all lie inside `size` bytes, which are mapped (`new`);
        // they are multiples of the parts' alignment. The parts consist of atomics and of words nobody writes.
        unsafe { self.base.add(offset as usize).cast().as_ref() }
    }

    /// The header.
    pub fn header(&self) -> &Header {
        self.at(0)
    }

    /// The numbers of all participants there can be.
    pub fn participants(&self) -> core::ops::RangeInclusive<ParticipantId> {
        1..=self.geometry.participants
    }

    /// The slot of a participant. The number must be in [`participants`](Self::participants).
    pub fn slot(&self, participant: ParticipantId) -> &Slot {
        assert!(self.participants().contains(&participant));
        self.at(self.geometry.slot(participant))
    }

    /// The number of the life that has a participant's place, or had it last.
    pub fn life(&self, participant: ParticipantId) -> u32 {
        // The state is generation << 1 | used. Relaxed: a living participant's does not change, and that a place has a
        // new one is no secret.
        let known = self.participants().contains(&participant);
        if known { self.slot(participant).state.load(Ordering::Relaxed) >> 1 } else { 0 }
    }

    /// Gives a participant's place back, if its state is still this one; whether this call did it. Tells whoever waits for
    /// its end.
    pub fn free_slot(&self, participant: ParticipantId, state: u32) -> bool {
        let slot = self.slot(participant);
        // Release: whoever claims the slot next sees what was done here. Acquire: and what is seen here comes after.
        let freed =
            slot.state.compare_exchange(state, state.wrapping_add(1), Ordering::AcqRel, Ordering::Relaxed).is_ok();
        if freed {
            wait_any::wake_watchers(&slot.state, &slot.watched);
        }
        freed
    }

    /// The word and bit of the open bitmap that say whether `participant` has `entry` open.
    pub fn open_bit(&self, participant: ParticipantId, entry: u32) -> (&AtomicU64, u64) {
        assert!(self.participants().contains(&participant) && entry < self.geometry.objects);
        (self.at(self.geometry.bitmap(participant, u64::from(entry / 64))), 1 << (entry % 64))
    }

    /// Clears the open bitmap of a participant.
    pub fn clear_open_bits(&self, participant: ParticipantId) {
        for entry in (0..self.geometry.objects).step_by(64) {
            self.open_bit(participant, entry).0.store(0, Ordering::Relaxed);
        }
    }

    /// A directory entry.
    pub fn entry(&self, entry: u32) -> &Entry {
        assert!(entry < self.geometry.objects);
        self.at(self.geometry.entry(entry))
    }

    /// The lock of directory and heap.
    pub fn directory_lock(&self) -> &LockWord {
        &self.header().directory_lock
    }

    /// The entries that are not free, as they stand now, with their numbers; unsound ones are an error.
    pub fn entries(&self) -> impl Iterator<Item = Result<Record, Error>> {
        (0..self.geometry.objects).filter_map(|number| self.record(number).transpose())
    }

    /// A checked copy of an entry, `None` if it is free.
    pub fn record(&self, number: u32) -> Result<Option<Record>, Error> {
        let entry = self.entry(number);
        // Acquire: pairs with the Release that committed the entry, so the other fields and the object are complete.
        let state = entry.state.load(Ordering::Acquire);
        let removed = match state & 3 {
            ENTRY_FREE => return Ok(None),
            ENTRY_READY => false,
            ENTRY_REMOVED => true,
            _ => return Err(Error::Corrupted("a directory entry has an unknown state")),
        };
        let load = |word: &AtomicU64| word.load(Ordering::Relaxed);
        let record = Record {
            number,
            state,
            removed,
            offset: load(&entry.offset),
            len: load(&entry.len),
            shape: StoredShape {
                kind: entry.kind.load(Ordering::Relaxed),
                element: entry.element.load(Ordering::Relaxed),
                element_size: entry.element_size.load(Ordering::Relaxed),
                element_align: entry.element_align.load(Ordering::Relaxed),
                capacity: load(&entry.capacity),
                tag: bytemuck::cast(entry.tag.each_ref().map(load)),
            },
            name: bytemuck::cast(entry.name.each_ref().map(load)),
        };
        let end = record.offset.checked_add(record.len);
        let inside = record.offset >= self.geometry.heap() && end.is_some_and(|end| end <= self.geometry.size);
        if !inside || record.len == 0 || !record.offset.is_multiple_of(crate::layout::segment::ALIGN) {
            return Err(Error::Corrupted("a directory entry lies outside the heap"));
        }
        Ok(Some(record))
    }

    /// The first byte of an object.
    pub fn object(&self, record: &Record) -> NonNull<u8> {
        // SAFETY: `record` was checked to lie inside the segment.
        unsafe { self.base.add(record.offset as usize) }
    }
}

/// A checked copy of a directory entry.
#[derive(Clone, Debug)]
pub struct Record {
    /// Which entry.
    pub number: u32,
    /// Its state word, generation included.
    pub state: u32,
    /// Whether its name is gone.
    pub removed: bool,
    /// Where the object starts.
    pub offset: u64,
    /// Its length.
    pub len: u64,
    /// What it is.
    pub shape: StoredShape,
    /// Its name, NUL-padded.
    pub name: [u8; 64],
}

impl Record {
    /// The name as text, for people.
    pub fn name_lossy(&self) -> String {
        let end = self.name.iter().position(|byte| *byte == 0).unwrap_or(self.name.len());
        String::from_utf8_lossy(&self.name[..end]).into_owned()
    }
}
