//! A segment without the library: its file, and what lies in it.

use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;

use ringfence::Error;
use ringfence::layout::segment::{ENTRY_READY, Entry, Geometry, Header, Slot};
use ringfence::sys::shm;

use crate::api::{OBJECTS, PARTICIPANTS, name};
use crate::board::Board;

/// The kill point's segment.
#[derive(Debug)]
pub struct Bare {
    /// Its name.
    pub path: PathBuf,
    /// Its file.
    pub fd: OwnedFd,
    geometry: Geometry,
    mapping: shm::Mapping,
}

impl Bare {
    /// Opens and maps it.
    pub fn open(board: &Board) -> Self {
        let path = shm::path_of(&name(board));
        let fd = shm::open(&path).expect("the segment is there");
        let size = shm::stat(fd.as_fd()).expect("it is open").size;
        let geometry = Geometry::new(PARTICIPANTS.into(), OBJECTS, size).expect("the rig's options");
        let mapping = shm::Mapping::new(fd.as_fd(), size as usize).expect("memory");
        Self { path, fd, geometry, mapping }
    }

    /// Whether its name still leads to it.
    pub fn has_its_name(&self) -> Result<bool, Error> {
        Ok(shm::stat_path(&self.path)?.inode == shm::stat(self.fd.as_fd())?.inode)
    }

    /// Its header.
    pub fn header(&self) -> &Header {
        // SAFETY: what of it changes is atomic.
        unsafe { self.at(0) }
    }

    /// A participant's slot.
    pub fn slot(&self, participant: u16) -> &Slot {
        // SAFETY: a slot consists of atomics, and of padding that nobody touches.
        unsafe { self.at(self.geometry.slot(participant)) }
    }

    /// The entry of an object.
    pub fn entry(&self, name: &str) -> &Entry {
        use std::sync::atomic::Ordering::Acquire;
        let mut bytes = [0; 64];
        bytes[..name.len()].copy_from_slice(name.as_bytes());
        let words: [u64; 8] = ringfence::bytemuck::cast(bytes);
        // SAFETY: as for a slot.
        let mut entries = (0..OBJECTS).map(|number| unsafe { self.at::<Entry>(self.geometry.entry(number)) });
        let named = |entry: &&Entry| {
            let name = entry.name.each_ref().map(|word| word.load(Acquire));
            entry.state.load(Acquire) & 3 == ENTRY_READY && name == words
        };
        entries.find(named).expect("the object is there")
    }

    /// What lies at this offset.
    ///
    /// # Safety
    /// It is a `T`, aligned and inside the segment, and what of it changes is accessed atomically only.
    pub unsafe fn at<T>(&self, offset: u64) -> &T {
        assert!(offset as usize + size_of::<T>() <= self.mapping.size());
        // SAFETY: inside the mapping; the rest the caller promises.
        unsafe { self.mapping.base().add(offset as usize).cast().as_ref() }
    }
}
