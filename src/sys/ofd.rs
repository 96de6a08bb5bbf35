//! Byte-range locks that belong to an open file description (`F_OFD_*`), and what each byte of a segment file means.
//!
//! The locked bytes lie far beyond the end of the file; nothing is ever stored there. A lock lives as long as the
//! description: until its last descriptor is closed *and* its last mapping is gone.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use crate::error::Error;

const BASE: i64 = 1 << 62;

/// A byte of the segment file that stands for something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Byte {
    /// Held exclusively by participant `i` for as long as its address space lives.
    Live(u16),
    /// The door: held shared while joining, exclusively while unlinking.
    Door,
    /// Held shared while recovering, exclusively while the space of removed objects is given back.
    Sweep,
    /// Held shared by each holder of an end of an object, exclusively while it is said that there is none.
    End(u64),
}

impl Byte {
    fn offset(self) -> i64 {
        match self {
            Self::Live(participant) => BASE + i64::from(participant),
            Self::Door => BASE + 0x1_0000,
            Self::Sweep => BASE + 0x1_0001,
            // Entry and generation make 45 bits, the end one more.
            Self::End(mark) => BASE + (1 << 50) + (mark & ((1 << 50) - 1)) as i64,
        }
    }
}

/// How a byte is locked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// With others who do the same.
    Shared,
    /// Alone.
    Exclusive,
}

fn flock(kind: libc::c_int, offset: i64, len: i64) -> libc::flock {
    // SAFETY: flock is a plain C struct for which zero is a valid value of every field.
    let mut lock: libc::flock = unsafe { core::mem::zeroed() };
    lock.l_type = kind as libc::c_short;
    lock.l_whence = libc::SEEK_SET as libc::c_short;
    lock.l_start = offset;
    lock.l_len = len;
    lock
}

fn fcntl(fd: BorrowedFd<'_>, command: libc::c_int, lock: &mut libc::flock) -> Result<(), Error> {
    loop {
        // SAFETY: `lock` is a valid flock for the length of the call; the descriptor is borrowed and open.
        if unsafe { libc::fcntl(fd.as_raw_fd(), command, core::ptr::from_mut(lock)) } == 0 {
            return Ok(());
        }
        let errno = std::io::Error::last_os_error().raw_os_error().unwrap_or(0);
        if errno != libc::EINTR {
            return Err(super::error(errno));
        }
    }
}

/// Locks `byte` through `fd` if nobody else's lock is in the way.
pub fn try_lock(fd: BorrowedFd<'_>, byte: Byte, mode: Mode) -> Result<bool, Error> {
    let kind = match mode {
        Mode::Shared => libc::F_RDLCK,
        Mode::Exclusive => libc::F_WRLCK,
    };
    match fcntl(fd, libc::F_OFD_SETLK, &mut flock(kind, byte.offset(), 1)) {
        Ok(()) => Ok(true),
        Err(Error::Os(libc::EAGAIN | libc::EACCES) | Error::Permission) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Gives `byte` back.
pub fn unlock(fd: BorrowedFd<'_>, byte: Byte) -> Result<(), Error> {
    fcntl(fd, libc::F_OFD_SETLK, &mut flock(libc::F_UNLCK, byte.offset(), 1))
}

/// A byte that is held until this is dropped, also if a child forked meanwhile has inherited the descriptor.
#[derive(Debug)]
pub struct Held<F: AsFd> {
    fd: F,
    byte: Byte,
}

impl<F: AsFd> Held<F> {
    /// Takes charge of `byte`, which `fd` holds.
    pub fn new(fd: F, byte: Byte) -> Self {
        Self { fd, byte }
    }
}

impl<F: AsFd> AsFd for Held<F> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl<F: AsFd> Drop for Held<F> {
    fn drop(&mut self) {
        // Closing would not do: the lock belongs to the description, which the child would keep.
        let _ = unlock(self.fd.as_fd(), self.byte);
    }
}

/// Whether a description other than `fd`'s holds `byte`, in either mode.
pub fn is_held(fd: BorrowedFd<'_>, byte: Byte) -> Result<bool, Error> {
    let mut lock = flock(libc::F_WRLCK, byte.offset(), 1);
    fcntl(fd, libc::F_OFD_GETLK, &mut lock)?;
    Ok(libc::c_int::from(lock.l_type) != libc::F_UNLCK)
}

/// Which participant in `first..=last` has its live byte held by a description other than `fd`'s; the kernel names
/// any one of them.
pub fn any_live(fd: BorrowedFd<'_>, first: u16, last: u16) -> Result<Option<u16>, Error> {
    let start = Byte::Live(first).offset();
    let mut lock = flock(libc::F_WRLCK, start, i64::from(last - first) + 1);
    fcntl(fd, libc::F_OFD_GETLK, &mut lock)?;
    if libc::c_int::from(lock.l_type) == libc::F_UNLCK {
        return Ok(None);
    }
    let found = (lock.l_start - BASE).clamp(i64::from(first), i64::from(last));
    Ok(Some(found as u16))
}

/// How many participants in `first..=last` have their live bytes held.
pub fn count_live(fd: BorrowedFd<'_>, first: u16, last: u16) -> Result<usize, Error> {
    let mut count = 0;
    let mut ranges = vec![(first, last)];
    while let Some((first, last)) = ranges.pop() {
        let Some(found) = any_live(fd, first, last)? else { continue };
        count += 1;
        // Others may lie on both sides: locks are kept by age, not by offset.
        ranges.extend((found > first).then(|| (first, found - 1)));
        ranges.extend((found < last).then(|| (found + 1, last)));
    }
    Ok(count)
}
