//! What a thread that stands in for the kernel needs: an eventfd to raise, and no signal handler in its way.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use rustix::io::Errno;

use super::nap::Deadline;
use crate::error::Error;

/// A descriptor that polls as readable while it is raised.
#[derive(Debug)]
pub struct EventFd(OwnedFd);

impl EventFd {
    /// One that is not raised, not inherited over exec, and that never blocks.
    pub fn new() -> Result<Self, Error> {
        Ok(Self(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?))
    }

    /// Raises it; again, if it is raised already, so that who waits for edges sees one.
    pub fn raise(&self) {
        // EAGAIN: raised 2^64 - 2 times since it was lowered last.
        while rustix::io::write(&self.0, &1_u64.to_ne_bytes()) == Err(Errno::INTR) {}
    }

    /// Lowers it.
    pub fn lower(&self) {
        // EAGAIN: it is not raised.
        while rustix::io::read(&self.0, &mut [0; 8]) == Err(Errno::INTR) {}
    }
}

impl AsFd for EventFd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Waits until one of the descriptors can be read from; whether one can.
pub fn any_readable(fds: &[BorrowedFd<'_>], deadline: Deadline) -> Result<bool, Error> {
    let mut polled: Vec<_> = fds.iter().map(|fd| PollFd::from_borrowed_fd(*fd, PollFlags::IN)).collect();
    loop {
        let left = deadline.left().and_then(|left| Timespec::try_from(left).ok());
        match poll(&mut polled, left.as_ref()) {
            Ok(ready) => return Ok(ready > 0),
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
}

/// Starts a thread in which no signal handler runs, whatever signals are blocked in the caller.
pub fn spawn<R: Send + 'static>(
    name: &str,
    body: impl FnOnce() -> R + Send + 'static,
) -> Result<std::thread::JoinHandle<R>, Error> {
    // SAFETY: plain C structs for which zero is valid; the calls fill and read them, and change the calling thread only. A
    // new thread has the mask of its maker.
    let old = unsafe {
        let (mut all, mut old): (libc::sigset_t, libc::sigset_t) = (core::mem::zeroed(), core::mem::zeroed());
        libc::sigfillset(&mut all);
        libc::pthread_sigmask(libc::SIG_SETMASK, &all, &mut old);
        old
    };
    let spawned = std::thread::Builder::new().name(name.to_owned()).spawn(body);
    // SAFETY: as above.
    unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &old, core::ptr::null_mut()) };
    spawned.map_err(|error| super::error(error.raw_os_error().unwrap_or(libc::EAGAIN)))
}
