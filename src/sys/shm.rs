//! Files in shared memory: named ones in `/dev/shm`, and memory without a name.

use core::ptr::NonNull;
use std::ffi::OsStr;
use std::hash::{BuildHasher, RandomState};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{self, AtFlags, CWD, MemfdFlags, Mode, OFlags, SealFlags};
use rustix::io::Errno;
use rustix::mm::{Advice, MapFlags, ProtFlags};

use super::ofd;
use crate::error::Error;

/// Where named segments lie.
pub const DIRECTORY: &str = "/dev/shm";
/// What the file name of a segment starts with.
pub const PREFIX: &str = "ringfence.";
/// What the name of a file that is still being built starts with, where files without a name are not supported.
pub const PRIVATE_PREFIX: &str = ".ringfence-tmp.";

/// Which file a descriptor is open on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Inode {
    device: u64,
    number: u64,
}

/// What is known of an open file.
#[derive(Clone, Copy, Debug)]
pub struct Stat {
    /// Which file it is.
    pub inode: Inode,
    /// Its length in bytes.
    pub size: u64,
    /// Its owner.
    pub owner: u32,
    /// Whether it is a regular file.
    pub regular: bool,
}

impl From<fs::Stat> for Stat {
    fn from(stat: fs::Stat) -> Self {
        Self {
            inode: Inode { device: stat.st_dev, number: stat.st_ino },
            size: u64::try_from(stat.st_size).unwrap_or(0),
            owner: stat.st_uid,
            regular: fs::FileType::from_raw_mode(stat.st_mode).is_file(),
        }
    }
}

/// The path of the segment called `name`.
pub fn path_of(name: &str) -> PathBuf {
    [DIRECTORY, "/", PREFIX, name].concat().into()
}

/// What an open descriptor refers to.
pub fn stat(fd: BorrowedFd<'_>) -> Result<Stat, Error> {
    Ok(fs::fstat(fd)?.into())
}

/// What a path refers to; a symbolic link is not followed.
pub fn stat_path(path: &Path) -> Result<Stat, Error> {
    Ok(fs::lstat(path)?.into())
}

/// A number that nobody guesses and no two calls share.
pub fn random() -> u64 {
    RandomState::new().hash_one((super::process::pid(), std::time::SystemTime::now()))
}

/// A new file that has no name yet, or a private one.
#[derive(Debug)]
pub struct Unlinked {
    /// The open file.
    pub fd: OwnedFd,
    /// Its private name, where the file system cannot make files without one. Its door is locked by us.
    private: Option<PathBuf>,
}

impl Unlinked {
    /// Creates a file of exactly this mode (the umask is not applied), without content.
    pub fn create(mode: u32) -> Result<Self, Error> {
        let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
        let unlinked = match fs::open(DIRECTORY, flags, Mode::from_raw_mode(0o600)) {
            Ok(fd) => Self { fd, private: None },
            Err(Errno::OPNOTSUPP | Errno::ISDIR | Errno::NOENT | Errno::INVAL) => Self::create_private()?,
            Err(errno) => return Err(errno.into()),
        };
        fs::fchmod(&unlinked.fd, Mode::from_raw_mode(mode))?;
        Ok(unlinked)
    }

    fn create_private() -> Result<Self, Error> {
        let flags = OFlags::CREATE | OFlags::EXCL | OFlags::RDWR | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        for _ in 0..64 {
            let path = Path::new(DIRECTORY).join(format!("{PRIVATE_PREFIX}{:016x}", random()));
            let fd = match fs::open(&path, flags, Mode::from_raw_mode(0o600)) {
                Ok(fd) => fd,
                Err(Errno::EXIST) => continue,
                Err(errno) => return Err(errno.into()),
            };
            // A sweep may come between the open and the lock, and take the file for an abandoned one.
            if ofd::try_lock(fd.as_fd(), ofd::Byte::Door, ofd::Mode::Exclusive)? && fs::fstat(&fd)?.st_nlink > 0 {
                return Ok(Self { fd, private: Some(path) });
            }
        }
        Err(Error::Busy)
    }

    /// Whether it has a private name, and so its door locked.
    pub fn is_private(&self) -> bool {
        self.private.is_some()
    }

    /// Gives the file its name, if that is free.
    pub fn link(mut self, path: &Path) -> Result<(), Error> {
        match &self.private {
            None => fs::linkat(CWD, proc_path(self.fd.as_fd()), CWD, path, AtFlags::SYMLINK_FOLLOW)?,
            Some(private) => fs::linkat(CWD, private, CWD, path, AtFlags::empty())?,
        }
        if let Some(private) = self.private.take() {
            let _ = fs::unlink(&private);
            let _ = ofd::unlock(self.fd.as_fd(), ofd::Byte::Door);
        }
        Ok(())
    }
}

impl Drop for Unlinked {
    fn drop(&mut self) {
        if let Some(private) = &self.private {
            let _ = fs::unlink(private);
            // The participant that was to live in it has a copy of the descriptor, and leaves after us.
            let _ = ofd::unlock(self.fd.as_fd(), ofd::Byte::Door);
        }
    }
}

/// Opens the file at `path` for reading and writing. Symbolic links are refused; a FIFO or device does not block.
pub fn open(path: &Path) -> Result<OwnedFd, Error> {
    let flags = OFlags::RDWR | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY;
    match fs::open(path, flags, Mode::empty()) {
        Ok(fd) => Ok(fd),
        Err(Errno::LOOP) => Err(Error::Corrupted("the name is a symbolic link")),
        Err(Errno::ISDIR | Errno::NXIO | Errno::NODEV) => Err(Error::Corrupted("the name is not a regular file")),
        Err(errno) => Err(errno.into()),
    }
}

/// A new open file description on the file that `fd` is open on. `path`, if any, is tried where /proc is not mounted.
pub fn reopen(fd: BorrowedFd<'_>, path: Option<&Path>) -> Result<OwnedFd, Error> {
    let flags = OFlags::RDWR | OFlags::CLOEXEC;
    match (fs::open(proc_path(fd), flags, Mode::empty()), path) {
        (Ok(fd), _) => Ok(fd),
        (Err(Errno::NOENT), Some(path)) => open_same(path, stat(fd)?.inode),
        (Err(errno), _) => Err(errno.into()),
    }
}

/// Another descriptor of the same open file description.
pub fn duplicate(fd: BorrowedFd<'_>) -> Result<OwnedFd, Error> {
    Ok(rustix::io::fcntl_dupfd_cloexec(fd, 3)?)
}

/// Opens the file at `path` if it is this one.
pub fn open_same(path: &Path, inode: Inode) -> Result<OwnedFd, Error> {
    let fd = open(path)?;
    if stat(fd.as_fd())?.inode == inode { Ok(fd) } else { Err(Error::Missing) }
}

fn proc_path(fd: BorrowedFd<'_>) -> PathBuf {
    format!("/proc/self/fd/{}", fd.as_raw_fd()).into()
}

/// Anonymous memory that can be passed by descriptor, with `size` bytes reserved and its size sealed.
pub fn memfd(name: &str, size: u64) -> Result<OwnedFd, Error> {
    let fd = fs::memfd_create(name, MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?;
    reserve(fd.as_fd(), size)?;
    fs::fcntl_add_seals(&fd, SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL)?;
    Ok(fd)
}

/// Makes the file `size` bytes long and reserves the memory for all of it: no room is an error here, never a SIGBUS
/// later.
pub fn reserve(fd: BorrowedFd<'_>, size: u64) -> Result<(), Error> {
    // memfd has no limit of its own and tmpfs may have one beyond the memory of the machine: there the kernel would not
    // refuse, but kill processes until it fits.
    if i64::try_from(size).is_err() || size > available_memory() {
        return Err(Error::NoSpace);
    }
    // At once, so that too much is refused before any is taken. But before Linux 6.10 a signal undoes the call: there a
    // process with a fast timer needs small steps.
    const STEP: u64 = 4 << 20;
    let (mut done, mut step) = (0, size);
    while done < size {
        let len = step.min(size - done);
        match fs::fallocate(fd, fs::FallocateFlags::empty(), done, len) {
            Ok(()) => done += len,
            Err(Errno::INTR) => step = (step / 2).clamp(4096, STEP),
            Err(errno) => return Err(errno.into()),
        }
    }
    Ok(())
}

/// The bytes of memory and swap that can be had without hurting anybody, as far as the kernel tells. The limit of a
/// control group is not looked at.
fn available_memory() -> u64 {
    let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let kilobytes = |name| {
        let line = text.lines().find_map(|line| line.strip_prefix(name))?;
        line.split_ascii_whitespace().next()?.parse::<u64>().ok()
    };
    if let Some(available) = kilobytes("MemAvailable:") {
        return available.saturating_add(kilobytes("SwapFree:").unwrap_or(0)).saturating_mul(1024);
    }
    // SAFETY: zero is a valid value of every field of sysinfo, and the pointer is valid for the call.
    let info = unsafe {
        let mut info: libc::sysinfo = core::mem::zeroed();
        if libc::sysinfo(&mut info) != 0 {
            return u64::MAX;
        }
        info
    };
    info.totalram.saturating_add(info.totalswap).saturating_mul(info.mem_unit.into())
}

/// Fills `bytes` from byte `offset` of the file on.
pub fn read_at(fd: BorrowedFd<'_>, bytes: &mut [u8], offset: u64) -> Result<(), Error> {
    if rustix::io::pread(fd, &mut *bytes, offset)? == bytes.len() {
        Ok(())
    } else {
        Err(Error::Corrupted("the file is shorter than a header"))
    }
}

/// Writes `bytes` over what the file has from byte `offset` on.
pub fn write_at(fd: BorrowedFd<'_>, bytes: &[u8], offset: u64) -> Result<(), Error> {
    rustix::io::pwrite(fd, bytes, offset)?;
    Ok(())
}

/// Removes a name.
pub fn unlink(path: &Path) -> Result<(), Error> {
    Ok(fs::unlink(path)?)
}

/// The file names in the directory of named segments.
pub fn file_names() -> Result<Vec<std::ffi::OsString>, Error> {
    let entries = std::fs::read_dir(DIRECTORY).map_err(|e| super::error(e.raw_os_error().unwrap_or(0)))?;
    Ok(entries.filter_map(|entry| Some(entry.ok()?.file_name())).collect())
}

/// The path of a file in the directory of named segments.
pub fn path_of_file(file_name: &OsStr) -> PathBuf {
    Path::new(DIRECTORY).join(file_name)
}

/// A shared mapping, unmapped when dropped.
#[derive(Debug)]
pub struct Mapping {
    base: NonNull<u8>,
    len: usize,
}

// SAFETY: a mapping is an address range; what is done to the memory behind it is up to its users.
unsafe impl Send for Mapping {}
// SAFETY: as above.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// Maps the first `len` bytes of `fd`, readable and writable.
    pub fn new(fd: BorrowedFd<'_>, len: usize) -> Result<Self, Error> {
        // SAFETY: a fresh shared mapping at an address of the kernel's choice aliases nothing.
        let base = unsafe {
            rustix::mm::mmap(core::ptr::null_mut(), len, ProtFlags::READ | ProtFlags::WRITE, MapFlags::SHARED, fd, 0)?
        };
        Ok(Self { base: NonNull::new(base.cast()).ok_or(Error::NoMemory)?, len })
    }

    /// Has the pages of the first `len` bytes ready: a fault for each, or one that brings fifteen others along, takes
    /// longer. Says whether it did: the kernel may be too old (5.14), or the file shorter by now.
    pub fn populate(&self, len: usize) -> bool {
        // SAFETY: inside our own mapping, and nothing changes but the page table.
        let ready = || unsafe { rustix::mm::madvise(self.base.as_ptr().cast(), len, Advice::LinuxPopulateWrite) };
        len <= self.len && ready().is_ok()
    }

    /// Its length in bytes.
    pub fn size(&self) -> usize {
        self.len
    }

    /// Where it starts.
    pub fn base(&self) -> NonNull<u8> {
        self.base
    }
}

/// The smallest page. Where pages are larger, lengths are rounded up by the kernel.
pub const PAGE: usize = 4096;

/// The address of `len` bytes right below `mapped`, as a wish to the kernel, which takes another where it is not free.
pub fn wish(mapped: NonNull<u8>, len: usize) -> *mut u8 {
    mapped.as_ptr().wrapping_sub(len)
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: the range is ours since `new`; its last user is gone.
        let _ = unsafe { rustix::mm::munmap(self.base.as_ptr().cast(), self.len) };
    }
}

/// A byte lock that lives exactly as long as a mapping of one page, as the proof of life of a participant does with its
/// address space.
///
/// The lock belongs to an open file description whose only reference is that mapping, which no child inherits unless it
/// is to. So it survives closefrom(3) and SIGSTOP, and is gone after exec, exit or a kill.
#[derive(Debug)]
pub struct LivePage {
    page: NonNull<u8>,
}

// SAFETY: the page is never accessed (it has no permissions); it only pins a file description.
unsafe impl Send for LivePage {}
// SAFETY: as above.
unsafe impl Sync for LivePage {}

impl LivePage {
    /// Pins the locks of `own`, a description that nothing else refers to, until the page is dropped or this address
    /// space ends; then closes the descriptor. The page is the one [below](wish) `mapped`, if that is free: see
    /// [`end_with`](Self::end_with).
    pub fn pin(own: OwnedFd, mapped: Option<NonNull<u8>>) -> Result<Self, Error> {
        let wish = mapped.map_or(core::ptr::null_mut(), |mapped| wish(mapped, PAGE));
        let live = Self::map(wish, own)?;
        // SAFETY: the page is ours and nobody accesses it.
        unsafe { rustix::mm::madvise(live.page.as_ptr().cast(), PAGE, Advice::LinuxDontFork)? };
        Ok(live)
    }

    /// As [`pin`](Self::pin), but a forked child inherits the page, and holds the locks too.
    pub fn pin_for_children(own: OwnedFd) -> Result<Self, Error> {
        Self::map(core::ptr::null_mut(), own)
    }

    fn map(wish: *mut u8, own: OwnedFd) -> Result<Self, Error> {
        // SAFETY: a fresh shared mapping without permissions, at an address that the kernel knows to be free.
        let page = unsafe { rustix::mm::mmap(wish.cast(), PAGE, ProtFlags::empty(), MapFlags::SHARED, &own, 0)? };
        Ok(Self { page: NonNull::new(page.cast()).ok_or(Error::NoMemory)? })
    }

    /// Forgets the page in a forked child, which did not inherit it.
    pub fn forget(self) {
        core::mem::forget(self);
    }

    /// Ends the proof of life and unmaps the segment, by one call where they lie side by side: each costs 1 us.
    pub fn end_with(self, mapping: Mapping) {
        // SAFETY: both ranges are ours, whole mappings, and their last user is gone.
        let both = |len| unsafe { rustix::mm::munmap(self.page.as_ptr().cast(), len) };
        if self.page.addr().get() + PAGE == mapping.base.addr().get() && both(PAGE + mapping.len).is_ok() {
            self.forget();
            core::mem::forget(mapping);
        }
    }
}

impl Drop for LivePage {
    fn drop(&mut self) {
        // SAFETY: the page is ours since `pin`.
        let _ = unsafe { rustix::mm::munmap(self.page.as_ptr().cast(), PAGE) };
    }
}
