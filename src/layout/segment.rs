//! The fixed parts of a segment: header, participant slots, open bitmaps, directory.
//!
//! ```text
//! | header | slot 1 | entry 0 | slot 2 | entry 1 | ...  more of the longer table | heap: objects, aligned to 128 |
//!    256                256
//!
//! slot = Slot (64 bytes) | open bitmap: ceil(objects / 64) words, bit e = entry e is open there   rounded up to 128
//! ```
//!
//! Slots and entries alternate so that whoever joins and opens a first object finds all it needs in one page: to map a
//! page takes longer than the calls for it. Offsets follow from two counts ([`Geometry`]), so none is stored and none can
//! be wrong.

use super::MAX_PARTICIPANTS;
use super::mutex::LockWord;
use crate::error::Error;
use crate::primitive::{AtomicU32, AtomicU64};

/// What every segment starts with.
pub const MAGIC: [u8; 8] = *b"RNGFENCE";
/// The version of everything that `docs/layout.md` describes. Any change of it makes a new version.
pub const LAYOUT_VERSION: u32 = 6;
/// Reads differently on a machine of the other byte order.
pub const BYTE_ORDER: u32 = 0x0102_0304;
/// Objects, and the parts of a segment, are aligned to this: two cache lines, since processors fetch lines in pairs.
pub const ALIGN: u64 = 128;
/// The longest object name in bytes.
pub const OBJECT_NAME_MAX: usize = 63;
/// The most objects a directory can have.
pub const MAX_OBJECTS: u32 = 65536;

/// The part of the header that never changes, under a checksum.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, bytemuck::Pod, bytemuck::Zeroable)]
pub struct Birth {
    /// [`MAGIC`].
    pub magic: [u8; 8],
    /// [`LAYOUT_VERSION`].
    pub layout_version: u32,
    /// [`BYTE_ORDER`].
    pub byte_order: u32,
    /// Length of the segment in bytes, all parts included.
    pub size: u64,
    /// Number of participant slots.
    pub participants: u32,
    /// Number of directory entries.
    pub objects: u32,
    /// 0 = keep the name, 1 = unlink it with the last participant.
    pub unlink: u32,
    /// 0 = participants prove their lives by byte locks of the file, 1 = by pid and start time.
    pub liveness: u32,
    /// A random number, to tell two segments of one name apart.
    pub id: u64,
    /// PID namespace of the maker, for segments whose participants are known by pid; else 0.
    pub pid_namespace: u64,
    /// Zero.
    pub reserved: [u64; 8],
    /// FNV-1a over everything before it.
    pub checksum: u64,
}

/// The header.
#[repr(C)]
#[derive(Debug)]
pub struct Header {
    /// Written before the segment gets its name, never changed.
    pub birth: Birth,
    /// 1 once the name is gone for good: whoever opened it too late looks again.
    pub retired: AtomicU32,
    /// Zero.
    pub padding: u32,
    /// For segments without a file: the process that sweeps (see [`Identity`](crate::sys::process::Identity)), or 0.
    pub sweeper: AtomicU64,
    /// Every entry that ever was in use has a lower number: who looks for a name need not look further.
    pub entries_used: AtomicU32,
    /// No participant ever had a higher number: who joins need not look for the dead further.
    pub participants_used: AtomicU32,
    /// The robust lock of directory and heap.
    pub directory_lock: LockWord,
    /// Zero.
    pub reserved: [u64; 12],
}

/// A participant. The words before `tags` are exact-value CASed; the rest is written by the participant alone.
#[repr(C)]
#[derive(Debug)]
pub struct Slot {
    /// `generation:31 | used:1`.
    pub state: AtomicU32,
    /// The tag that the next thread draws (its low 17 bits count). Survives the slot's reuse.
    pub tags: AtomicU32,
    /// For segments without a file: who claimed the slot, or 0.
    pub claim: AtomicU64,
    /// Pid, for people.
    pub pid: AtomicU64,
    /// Start of the process in clock ticks since boot or 0, for people.
    pub start_time: AtomicU64,
    /// Short name of the process, for people.
    pub name: [AtomicU64; 2],
    /// 1 once anybody has waited for the end of a participant here: whoever gives the place back wakes.
    pub watched: AtomicU32,
    /// Zero.
    pub padding: u32,
    /// Zero.
    pub reserved: u64,
}

/// A named object.
#[repr(C)]
#[derive(Debug)]
pub struct Entry {
    /// `generation:30 | state:2` with [`ENTRY_FREE`], [`ENTRY_READY`], [`ENTRY_REMOVED`]. One store to it commits.
    pub state: AtomicU32,
    /// What kind of object it is: see `docs/layout.md`.
    pub kind: AtomicU32,
    /// Element code, for kinds that have one.
    pub element: AtomicU32,
    /// Size of an element in bytes.
    pub element_size: AtomicU32,
    /// Alignment of an element in bytes.
    pub element_align: AtomicU32,
    /// Zero.
    pub reserved: AtomicU32,
    /// Number of elements, slots or bytes, as the kind says.
    pub capacity: AtomicU64,
    /// Where the object starts, from the start of the segment.
    pub offset: AtomicU64,
    /// Its length in bytes.
    pub len: AtomicU64,
    /// The user's type tag, NUL-padded.
    pub tag: [AtomicU64; 4],
    /// The name, NUL-padded.
    pub name: [AtomicU64; 8],
    /// Zero.
    pub reserved_end: [u64; 14],
}

/// The entry holds nothing; its other fields mean nothing.
pub const ENTRY_FREE: u32 = 0;
/// The entry names an object.
pub const ENTRY_READY: u32 = 1;
/// The name is gone; the space is not, as long as a living participant has the object open.
pub const ENTRY_REMOVED: u32 = 2;

const _: () = {
    assert!(size_of::<Birth>() == 128);
    assert!(size_of::<Header>() == 256);
    assert!(core::mem::offset_of!(Header, retired) == 128);
    assert!(core::mem::offset_of!(Header, entries_used) == 144 && core::mem::offset_of!(Header, directory_lock) == 152);
    assert!(size_of::<Slot>() == 64 && core::mem::offset_of!(Slot, watched) == 48);
    assert!(size_of::<Entry>() == 256);
};

/// The sizes from which every offset follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Geometry {
    /// Number of participant slots.
    pub participants: u16,
    /// Number of directory entries.
    pub objects: u32,
    /// Length of the segment.
    pub size: u64,
}

impl Geometry {
    /// Checks the counts, and that the heap of a segment of `size` bytes is not empty.
    pub fn new(participants: u32, objects: u32, size: u64) -> Result<Self, Error> {
        let participants = u16::try_from(participants)
            .ok()
            .filter(|n| (1..=MAX_PARTICIPANTS).contains(n))
            .ok_or(Error::InvalidArgument("participants must be 1..=8191"))?;
        if !(1..=MAX_OBJECTS).contains(&objects) {
            return Err(Error::InvalidArgument("objects must be 1..=65536"));
        }
        let geometry = Self { participants, objects, size };
        if geometry.heap() >= size {
            return Err(Error::InvalidArgument("size leaves no room for objects"));
        }
        Ok(geometry)
    }

    /// The whole length of a segment with room for `heap` bytes of objects, rounded up to pages.
    pub fn size_for(participants: u32, objects: u32, heap: usize) -> Result<u64, Error> {
        if heap == 0 {
            return Err(Error::InvalidArgument("size must not be zero"));
        }
        let fixed = Self::new(participants, objects, u64::MAX)?.heap();
        let size = fixed.checked_add(heap as u64).and_then(|size| size.checked_next_multiple_of(4096));
        size.filter(|size| isize::try_from(*size).is_ok()).ok_or(Error::NoSpace)
    }

    /// Bytes of a slot with its open bitmap.
    fn slot_bytes(&self) -> u64 {
        (size_of::<Slot>() as u64 + self.bitmap_words() * 8).next_multiple_of(ALIGN)
    }

    /// Offset of pair number `index`, a slot and an entry; behind the last pair, of what is left of the longer table.
    fn pair(&self, index: u64) -> u64 {
        let (slots, entries) = (u64::from(self.participants), u64::from(self.objects));
        size_of::<Header>() as u64
            + index.min(slots) * self.slot_bytes()
            + index.min(entries) * size_of::<Entry>() as u64
    }

    /// Offset of slot number `participant` (1-based).
    pub fn slot(&self, participant: u16) -> u64 {
        self.pair(u64::from(participant - 1))
    }

    /// Words in one open bitmap.
    pub fn bitmap_words(&self) -> u64 {
        u64::from(self.objects).div_ceil(64)
    }

    /// Offset of word `word` of the open bitmap of slot number `participant`.
    pub fn bitmap(&self, participant: u16, word: u64) -> u64 {
        self.slot(participant) + size_of::<Slot>() as u64 + word * 8
    }

    /// Offset of directory entry `entry`.
    pub fn entry(&self, entry: u32) -> u64 {
        let slot = if entry < self.participants.into() { self.slot_bytes() } else { 0 };
        self.pair(entry.into()) + slot
    }

    /// Offset of the heap.
    pub fn heap(&self) -> u64 {
        self.pair(u64::MAX)
    }
}

impl Birth {
    /// Fills in the checksum.
    pub fn sealed(mut self) -> Self {
        self.checksum = self.sum();
        self
    }

    fn sum(&self) -> u64 {
        let bytes = bytemuck::bytes_of(self);
        bytes[..core::mem::offset_of!(Self, checksum)]
            .iter()
            .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
    }

    /// Checks everything that the header says against itself and against the `len` bytes that are really there.
    pub fn validate(&self, len: u64) -> Result<Geometry, Error> {
        if self.magic != MAGIC {
            return Err(Error::Corrupted("no segment starts like this"));
        }
        if self.byte_order != BYTE_ORDER {
            return Err(Error::Corrupted("written by a machine of the other byte order"));
        }
        // Before the checksum: another version may sum up other bytes.
        if self.layout_version != LAYOUT_VERSION {
            return Err(Error::Version { expected: LAYOUT_VERSION, found: self.layout_version });
        }
        if self.checksum != self.sum() {
            return Err(Error::Corrupted("the header's checksum is wrong"));
        }
        if self.size > len || isize::try_from(self.size).is_err() {
            return Err(Error::Corrupted("the memory is shorter than the header says"));
        }
        if self.unlink > 1 || self.liveness > 1 || self.reserved != [0; 8] {
            return Err(Error::Corrupted("the header has unknown options"));
        }
        Geometry::new(self.participants, self.objects, self.size)
            .map_err(|_| Error::Corrupted("the header's counts are out of range"))
    }
}
