//! The door of a segment file: it orders the death of a name against those who are joining.
//!
//! The lock belongs to the description behind a descriptor, and a child forked meanwhile would inherit that: were this
//! process then killed, the child would keep the door for as long as it lives. So [no fork](NoFork) goes ahead while a
//! door is held, as while a [`Permit`](super::recovery) is.

use std::os::fd::{AsFd, BorrowedFd};

use super::recovery::patiently;
use super::registry::NoFork;
use crate::error::Error;
use crate::sys::ofd::{self, Byte, Held, Mode};

/// A door that is held until this is dropped.
#[derive(Debug)]
pub struct Door<F: AsFd> {
    // In this order: forks go on when the byte is free.
    held: Held<F>,
    _no_fork: NoFork,
}

impl<F: AsFd> Door<F> {
    /// Waits until `fd` holds the door as `mode` says.
    pub fn take(fd: F, mode: Mode) -> Result<Self, Error> {
        let no_fork = patiently(|| lock(fd.as_fd(), mode))?;
        Ok(Self { held: Held::new(fd, Byte::Door), _no_fork: no_fork })
    }

    /// Holds the door exclusively if nobody else has it.
    pub fn try_take(fd: F) -> Result<Option<Self>, Error> {
        let no_fork = lock(fd.as_fd(), Mode::Exclusive)?;
        Ok(no_fork.map(|no_fork| Self { held: Held::new(fd, Byte::Door), _no_fork: no_fork }))
    }
}

fn lock(fd: BorrowedFd<'_>, mode: Mode) -> Result<Option<NoFork>, Error> {
    let no_fork = NoFork::enter()?;
    Ok(ofd::try_lock(fd, Byte::Door, mode)?.then_some(no_fork))
}

impl<F: AsFd> AsFd for Door<F> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.held.as_fd()
    }
}
