//! The children of this process, and what becomes of them at its end.
//!
//! A forked child has its parent's memory, locks included, and none of its children. So each process has a book of its own,
//! found by its fork generation, and nobody touches another's.

use std::fmt;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::error::Error;
use crate::primitive::{AtomicPtr, AtomicU32, AtomicU64, Ordering};
use crate::sys::fork;
use crate::sys::log::{self, LogLevel};
use crate::sys::nap::Deadline;
use crate::sys::process::Identity;
use crate::sys::spawn::{self, Exit, Spawned, signal_name};

/// How long a daemon that was asked to end has before it is killed.
pub(super) const GRACE: Duration = Duration::from_secs(5);

/// How a child ended, as far as it can be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    Known(Exit),
    /// Somebody else has reaped it.
    Lost,
}

/// A child that was started.
#[derive(Debug)]
pub(super) struct Child {
    pub name: String,
    pub pid: u32,
    pub daemon: bool,
    pidfd: OwnedFd,
    /// Nobody reaps but under this lock, so once.
    end: Mutex<Option<End>>,
}

impl Child {
    /// How it ended, if it has. Reaps it.
    pub fn end(&self) -> Result<Option<End>, Error> {
        let mut end = self.end.lock().unwrap_or_else(PoisonError::into_inner);
        if end.is_none() {
            *end = match spawn::reap(self.pid) {
                Ok(exit) => exit.map(End::Known),
                Err(error) if spawn::was_reaped_by_another(&error) => Some(End::Lost),
                Err(error) => return Err(error),
            };
            if let Some(end) = *end {
                self.tell(end);
            }
        }
        Ok(*end)
    }

    fn tell(&self, end: End) {
        let Self { name, pid, .. } = self;
        match end {
            End::Known(Exit::Code(code)) => {
                log::tell(LogLevel::Info, format_args!("{name}, process {pid}, has ended with exit code {code}"));
            }
            End::Known(Exit::Signal(signal)) => {
                let by = signal_name(signal).unwrap_or("a signal");
                log::tell(LogLevel::Warning, format_args!("{name}, process {pid}, was ended by {by} ({signal})"));
            }
            End::Lost => log::tell(LogLevel::Info, format_args!("{name}, process {pid}, was reaped by somebody else")),
        }
    }

    /// Waits for its end.
    pub fn wait(&self, deadline: Deadline) -> Result<Option<End>, Error> {
        loop {
            if let Some(end) = self.end()? {
                return Ok(Some(end));
            }
            if !spawn::readable(self.pidfd.as_fd(), deadline)? {
                return self.end();
            }
        }
    }

    /// Asks it to end.
    pub fn terminate(&self) -> Result<(), Error> {
        spawn::terminate(self.pidfd.as_fd())
    }

    /// Ends it.
    pub fn kill(&self) -> Result<(), Error> {
        spawn::kill(self.pidfd.as_fd())
    }
}

impl AsFd for Child {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.pidfd.as_fd()
    }
}

/// The children of one process.
pub(super) struct Book {
    generation: u64,
    /// Who this process is.
    pub identity: Identity,
    /// How many default names were given out.
    names: AtomicU64,
    living: Mutex<Vec<Arc<Child>>>,
}

impl fmt::Debug for Book {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Book").field("generation", &self.generation).finish_non_exhaustive()
    }
}

/// The book of this process, or of one that it was forked from.
static BOOK: AtomicPtr<Book> = AtomicPtr::new(core::ptr::null_mut());

/// The book that there is, if it is this process's.
fn existing(generation: u64) -> Option<&'static Book> {
    // Acquire: pairs with the exchange in `book`.
    let book = BOOK.load(Ordering::Acquire);
    // SAFETY: null or a book, and books are never freed.
    unsafe { book.as_ref() }.filter(|book| book.generation == generation)
}

/// The book of this process.
pub(super) fn book() -> Result<&'static Book, Error> {
    let generation = fork::generation()?;
    if let Some(book) = existing(generation) {
        return Ok(book);
    }
    let identity = Identity::me()?;
    let new = Book { generation, identity, names: AtomicU64::new(0), living: Mutex::new(Vec::new()) };
    let old = BOOK.load(Ordering::Acquire);
    let new = Box::into_raw(Box::new(new));
    // Whoever comes first; a parent's book stays where it is, since threads of nobody may have it locked.
    if BOOK.compare_exchange(old, new, Ordering::AcqRel, Ordering::Acquire).is_err() {
        // SAFETY: made above, and known to nobody else.
        drop(unsafe { Box::from_raw(new) });
    }
    existing(generation).ok_or(Error::Busy)
}

impl Book {
    fn living(&self) -> MutexGuard<'_, Vec<Arc<Child>>> {
        self.living.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A number for the next default name.
    pub fn number(&self) -> u64 {
        // Relaxed: only has to be another one each time.
        self.names.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Takes up a child that has just been started.
    pub fn add(&self, spawned: Spawned, name: String, daemon: bool) -> Arc<Child> {
        let Spawned { pid, pidfd } = spawned;
        let child = Arc::new(Child { name, pid, daemon, pidfd, end: Mutex::new(None) });
        self.living().push(child.clone());
        child
    }

    /// Those that have not ended. Reaps those that have.
    pub fn active(&self) -> Vec<Arc<Child>> {
        let mut living = self.living();
        living.retain(|child| !matches!(child.end(), Ok(Some(_))));
        living.clone()
    }
}

/// Makes sure that the children are seen to at the end of this process.
pub(super) fn watch_over_the_end() -> Result<(), Error> {
    static DONE: AtomicU32 = AtomicU32::new(0);
    // Relaxed: nothing else hangs on it.
    if DONE.swap(1, Ordering::Relaxed) == 0 {
        spawn::at_exit(at_exit).inspect_err(|_| DONE.store(0, Ordering::Relaxed))?;
    }
    Ok(())
}

/// Asks the daemons to end, and waits for all children.
extern "C" fn at_exit() {
    let Some(book) = fork::generation().ok().and_then(existing) else { return };
    let children = book.active();
    let daemons = || children.iter().filter(|child| child.daemon);
    daemons().for_each(|child| drop(child.terminate()));
    // They had their time, all together.
    let deadline = Deadline::At(Instant::now() + GRACE);
    for child in daemons() {
        if !matches!(child.wait(deadline), Ok(Some(_))) {
            let _ = child.kill();
        }
    }
    children.iter().for_each(|child| drop(child.wait(Deadline::Forever)));
}
