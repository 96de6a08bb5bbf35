//! Noticing that this process is a fork, however it was made.
//!
//! A page marked `MADV_WIPEONFORK` reads as zero in every child, also in one made by a raw `clone` that runs no
//! `pthread_atfork` handler. Everything that must not be believed in a child lies in such pages ([`wiped_pages`]).

use core::ptr::NonNull;

use rustix::mm::{Advice, MapFlags, ProtFlags};

use crate::error::Error;
use crate::primitive::{AtomicPtr, AtomicU64, Ordering};

/// Zeroed private memory that is zero again in a child. Never freed. It lies at `wish`, if that is free.
pub fn wiped_pages(len: usize, wish: *mut u8) -> Result<NonNull<u8>, Error> {
    // SAFETY: a fresh private mapping at an address that the kernel knows to be free aliases nothing.
    unsafe {
        let page = rustix::mm::mmap_anonymous(wish.cast(), len, ProtFlags::READ | ProtFlags::WRITE, MapFlags::PRIVATE)?;
        if let Err(errno) = rustix::mm::madvise(page, len, Advice::LinuxWipeOnFork) {
            let _ = rustix::mm::munmap(page, len);
            return Err(errno.into());
        }
        NonNull::new(page.cast()).ok_or(Error::NoMemory)
    }
}

/// Stands in for the mark before the first user of the library. Never written to.
static NO_MARK: AtomicU64 = AtomicU64::new(0);

/// The generation of this process, in a wiped page.
static MARK: AtomicPtr<AtomicU64> = AtomicPtr::new((&raw const NO_MARK).cast_mut());

/// Where a process's generation stands: at one place in all forks, so a handle keeps it.
#[derive(Clone, Copy, Debug)]
pub struct Mark(&'static AtomicU64);

impl Mark {
    /// That of this process, if the library is in use.
    pub fn get() -> Self {
        // Acquire: pairs with the Release in `generation`.
        // SAFETY: a mark, which is never freed and only accessed atomically.
        Self(unsafe { &*MARK.load(Ordering::Acquire) })
    }

    /// A number that a process does not share with its parent or children: what was noted under another one was
    /// inherited. 0 in a child that has not used the library yet.
    #[inline(always)]
    pub fn generation(self) -> u64 {
        // Relaxed: what it is compared with was read in the same process, or is what a child has copied.
        self.0.load(Ordering::Relaxed)
    }
}

/// The greatest generation that this process, or one that it is a fork of, has given out.
static LAST: AtomicU64 = AtomicU64::new(0);

/// The generation of this process: greater than those of all that it is a fork of. Takes no lock, since a fork copies locks as
/// they are.
pub fn generation() -> Result<u64, Error> {
    // Acquire: pairs with the Release of the exchange below.
    let mut mark = MARK.load(Ordering::Acquire);
    if core::ptr::eq(mark, &raw const NO_MARK) {
        let page = wiped_pages(4096, core::ptr::null_mut())?.cast::<AtomicU64>().as_ptr();
        mark = match MARK.compare_exchange(mark, page, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) => page,
            Err(theirs) => {
                // SAFETY: mapped above, and known to nobody else.
                let _ = unsafe { rustix::mm::munmap(page.cast(), 4096) };
                theirs
            }
        };
    }
    // SAFETY: `wiped_pages` memory that became the mark is never freed, aligned to a page, and zero is a valid AtomicU64.
    let mark = unsafe { &*mark };
    // Relaxed: a number alone; only a fork changes it behind our back, and in its child there is one thread.
    if mark.load(Ordering::Relaxed) == 0 {
        let next = LAST.fetch_add(1, Ordering::Relaxed) + 1;
        // Another thread's may have come first.
        let _ = mark.compare_exchange(0, next, Ordering::Relaxed, Ordering::Relaxed);
    }
    Ok(mark.load(Ordering::Relaxed))
}

/// Has `prepare` run before each `fork(2)` of the C library, and `parent` and `child` after it.
pub fn at_fork(prepare: extern "C" fn(), parent: extern "C" fn(), child: extern "C" fn()) -> Result<(), Error> {
    // SAFETY: the three functions are `extern "C"`, take nothing, and live as long as the program.
    let errno = unsafe { libc::pthread_atfork(Some(prepare), Some(parent), Some(child)) };
    if errno == 0 { Ok(()) } else { Err(super::error(errno)) }
}
