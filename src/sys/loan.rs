//! Bytes that a process lends to others of its user: in a memory file of its own, whose size is sealed, so that nobody who
//! reads them can fault. It is found as `/proc/<pid>/fd/<number>`, and gone with its lender and the last who reads it.

use core::ptr::NonNull;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use rustix::fs::{self, Mode, OFlags, SealFlags};
use rustix::mm::{MapFlags, ProtFlags};

use super::shm::{self, Mapping};
use crate::error::Error;

/// Memory to lend.
#[derive(Debug)]
pub struct Buffer {
    fd: OwnedFd,
    mapping: Mapping,
    inode: u64,
}

impl Buffer {
    /// Room for `len` bytes, not 0.
    pub fn new(len: usize) -> Result<Self, Error> {
        let fd = shm::memfd("ringfence-loan", len as u64)?;
        let inode = fs::fstat(&fd)?.st_ino;
        let mapping = Mapping::new(fd.as_fd(), len)?;
        Ok(Self { fd, mapping, inode })
    }

    /// How much it has room for.
    pub fn capacity(&self) -> usize {
        self.mapping.size()
    }

    /// Writes `bytes` to its beginning. Whether there was room. Nobody may be reading what it had before.
    #[must_use]
    pub fn fill(&mut self, bytes: &[u8]) -> bool {
        if bytes.len() > self.capacity() {
            return false;
        }
        // SAFETY: our own mapping, long enough; no reference to it exists in this process, so the source lies elsewhere.
        unsafe { self.mapping.base().as_ptr().copy_from_nonoverlapping(bytes.as_ptr(), bytes.len()) };
        true
    }

    /// The number of the descriptor, by which others find it.
    pub fn number(&self) -> u32 {
        self.fd.as_raw_fd().unsigned_abs()
    }

    /// The inode, by which others know that it is this.
    pub fn inode(&self) -> u64 {
        self.inode
    }
}

/// Memory that another process lends.
#[derive(Debug)]
pub struct Borrowed {
    base: NonNull<u8>,
    len: usize,
    inode: u64,
}

// SAFETY: an address range that is only read.
unsafe impl Send for Borrowed {}

impl Borrowed {
    /// Maps what process `pid` has as descriptor `number`, if that is the file `inode`, and cannot shrink.
    pub fn open(pid: u32, number: u32, inode: u64) -> Result<Self, Error> {
        let path = format!("/proc/{pid}/fd/{number}");
        let fd = fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY, Mode::empty())?;
        let stat = fs::fstat(&fd)?;
        if stat.st_ino != inode || !fs::FileType::from_raw_mode(stat.st_mode).is_file() {
            return Err(Error::Missing);
        }
        // Any other file may shrink while it is read.
        if !fs::fcntl_get_seals(&fd).is_ok_and(|seals| seals.contains(SealFlags::SHRINK)) {
            return Err(Error::Corrupted("what was lent is not sealed"));
        }
        let len = usize::try_from(stat.st_size).ok().filter(|len| *len > 0);
        let len = len.ok_or(Error::Corrupted("what was lent has no length"))?;
        // SAFETY: a fresh mapping at an address of the kernel's choice aliases nothing.
        let base = unsafe {
            let flags = MapFlags::SHARED | MapFlags::POPULATE;
            rustix::mm::mmap(core::ptr::null_mut(), len, ProtFlags::READ, flags, &fd, 0)?
        };
        Ok(Self { base: NonNull::new(base.cast()).ok_or(Error::NoMemory)?, len, inode })
    }

    /// Which file it is.
    pub fn inode(&self) -> u64 {
        self.inode
    }

    /// The first `len` bytes, if it has so many.
    ///
    /// # Safety
    /// The lender does not write them while they are borrowed.
    pub unsafe fn bytes(&self, len: u64) -> Option<&[u8]> {
        let len = usize::try_from(len).ok().filter(|len| *len <= self.len)?;
        // SAFETY: mapped as long as `self`, readable, cannot shrink, and not written, as the caller promises.
        Some(unsafe { core::slice::from_raw_parts(self.base.as_ptr(), len) })
    }
}

impl Drop for Borrowed {
    fn drop(&mut self) {
        // SAFETY: the range is ours since `open`; its last user is gone.
        let _ = unsafe { rustix::mm::munmap(self.base.as_ptr().cast(), self.len) };
    }
}
