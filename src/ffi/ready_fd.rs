//! # Descriptors that tell that something is ready
//!
//! For programs that wait in `poll`, `epoll` or an event loop: a descriptor that becomes readable when the first of several
//! things (see `rf_wait_any`) is ready. *Readable* means that something was ready since the descriptor was last armed. It
//! stays readable until it is armed again; it is made armed. Nobody reads or writes it.
//!
//! So: try; if there is nothing, arm, wait until it is readable, and try again. What is ready at the arming makes it
//! readable at once, so nothing is missed in between; it may also be readable though there is nothing (any more).
//!
//! ```c
//! rf_awaited tasks_there = {.what = RF_AWAIT_READABLE_QUEUE, .handle = tasks};
//! rf_ready_fd *ready; int fd;
//! if (rf_ready_fd_open(&tasks_there, 1, &ready) < 0 || rf_ready_fd_number(ready, &fd) < 0) return 1;
//! epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &(struct epoll_event){.events = EPOLLIN});
//! for (;;) {
//!     while (rf_queue_pop(tasks, &task, 0) == RF_OK) work(&task);
//!     rf_ready_fd_arm(ready);
//!     epoll_wait(epoll, &event, 1, -1);
//! }
//! ```
//!
//! Each costs its process a thread, in which no signal handler runs, and nobody else anything. It counts as a thread like
//! any other: a lock that the caller holds is not free for it.
//!
//! After a fork the thread stays with the parent. The child makes descriptors of its own: arming the parent's is an error,
//! and what the child sees on it is what the parent's thread tells the parent.

use core::ffi::c_int;
use std::os::fd::AsRawFd;

use super::argument::{self, Out, reference};
use super::boundary::boundary;
use super::status::rf_status::*;
use super::wait_any::{rf_awaited, wait_for};
use crate::sync::ReadyFd;

/// A descriptor and the thread that serves it.
pub struct rf_ready_fd {
    core: ReadyFd,
}

/// Makes a descriptor for the first of several things, armed. Their handles may be closed before it is.
///
/// @param items  what to wait for
/// @param count  how many, 1 to 63
/// @param out    the handle; `rf_ready_fd_close` gives it back
/// @return RF_OK, RF_E_INVALID, RF_E_NO_DESCRIPTORS, RF_E_NO_MEMORY, RF_E_SYSTEM (no thread can be made),
/// RF_E_CORRUPTED
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_ready_fd_open(items: *const rf_awaited, count: usize, out: *mut *mut rf_ready_fd) -> c_int {
    boundary(|| {
        // SAFETY: the caller's promise.
        let (out, wait) = unsafe { (Out::required(out, "out")?, wait_for(items, count, false)?) };
        out.write_handle(rf_ready_fd { core: wait.as_fd()? });
        Ok(RF_OK)
    })
}

/// The descriptor. It belongs to the handle and is closed with it.
///
/// @param ready  the handle
/// @param fd     the descriptor
/// @return RF_OK, RF_E_INVALID
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_ready_fd_number(ready: *const rf_ready_fd, fd: *mut c_int) -> c_int {
    // SAFETY: the caller's promise.
    boundary(|| unsafe { argument::tell(ready, "ready", fd, "fd", |ready| Ok(ready.core.as_raw_fd())) })
}

/// Makes the descriptor unreadable until something is ready: at once, if something is ready now.
///
/// @param ready  the handle
/// @return RF_OK, RF_E_NOT_SUPPORTED (in a forked child: it is the parent's), RF_E_INVALID
///
/// Threads: any. Not a wait.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_ready_fd_arm(ready: *const rf_ready_fd) -> c_int {
    boundary(|| {
        // SAFETY: the caller's promise.
        unsafe { reference(ready, "ready")? }.core.arm()?;
        Ok(RF_OK)
    })
}

/// Ends the thread, closes the descriptor, gives the handle back. In a forked child it touches nothing of the parent's.
///
/// @param ready  the handle, or NULL
/// @return RF_OK
///
/// Threads: no other may be using this handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_ready_fd_close(ready: *mut rf_ready_fd) -> c_int {
    // SAFETY: the caller's promise.
    boundary(|| unsafe { argument::close(ready) })
}
