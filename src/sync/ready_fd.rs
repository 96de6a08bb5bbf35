//! A descriptor that becomes readable when something is ready.
//!
//! ```text
//!   the user                        the bridge: a thread of this process
//!   poll, epoll, AsyncFd  <------   raises the eventfd      <-- something is ready
//!   arm: lowers it, next turn ----> waits for the objects and for the turn to change
//! ```
//!
//! | turn | the bridge |
//! |---|---|
//! | n, ARMED | waits for the objects |
//! | n | has raised the descriptor for turn n, and sleeps |
//! | STOP | ends |
//!
//! The bridge raises the descriptor and then takes ARMED out of the very turn it has waited in: whoever arms in between
//! has begun another turn, for which it looks again. What it raises too late for the turn that it was for is one hint too
//! many, and no hint is ever missing.

use std::fmt;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::sync::Arc;
use std::thread::JoinHandle;

use super::wait_any::{WaitAny, Waitable};
use crate::error::Error;
use crate::primitive::{AtomicU32, Ordering};
use crate::raw::wait_any::{self, Awaited, MOST};
use crate::segment;
use crate::sys::bridge::{self, EventFd};
use crate::sys::futex;
use crate::sys::nap::{Deadline, Wait};

const ARMED: u32 = 1;
const STOP: u32 = 2;
const TURN: u32 = 4;

/// A descriptor that becomes readable when an object is ready, for `poll`, `epoll`, tokio's `AsyncFd` and the like.
///
/// Made by [`Waitable::as_fd`] for one object, by [`WaitAny::as_fd`] for the first of several. *Readable* means that
/// something was ready since the descriptor was last armed. It stays readable until it is [armed](Self::arm) again, ready
/// or not. It is made armed. Nobody reads or writes it but [`arm`](Self::arm).
///
/// So: **try; if there is nothing, arm, wait until it is readable, and try again.** An object that is ready when the
/// descriptor is armed makes it readable at once, so nothing is missed between a try and the arming; it may also be
/// readable though there is nothing (any more). An event that is set, and cleared again before the bridge looks, may be
/// missed.
///
/// **Cost**: a thread of this process, the bridge, which waits as [`WaitAny::wait`] does while the descriptor is armed,
/// sleeps without waking up while it is not, and ends when this is dropped. Nobody else pays anything. No signal handler
/// runs in it. For locks it is a thread like any other: one that the caller holds is not free. It keeps the objects
/// open, whatever happens to the handles.
///
/// **fork**: the bridge stays with the parent. In the child [`arm`](Self::arm) is an error; a child makes a descriptor of
/// its own. It must not poll the one that it inherited, which goes on telling what the *parent's* bridge sees.
///
/// ```
/// use ringfence::{Queue, Segment, SegmentOptions};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let segment = Segment::anonymous(&SegmentOptions::new())?;
/// let tasks = Queue::<u32>::create(&segment, "tasks", 8)?;
/// let ready = tasks.readable().as_fd()?;
/// tasks.push(7)?;
/// // Here: poll(&ready), epoll, AsyncFd::new(ready) ...
/// # let mut poll = libc::pollfd { fd: std::os::fd::AsRawFd::as_raw_fd(&ready), events: libc::POLLIN, revents: 0 };
/// # assert_eq!(unsafe { libc::poll(&mut poll, 1, 10_000) }, 1);
/// assert_eq!(tasks.try_pop()?, 7);
/// ready.arm()?; // before it is waited for again
/// # Ok(())
/// # }
/// ```
#[must_use]
pub struct ReadyFd {
    bridge: Arc<Bridge>,
    thread: Option<JoinHandle<()>>,
    /// The process that the thread is of.
    generation: u64,
}

/// What the thread has.
struct Bridge {
    items: Vec<Waitable<'static>>,
    event: EventFd,
    turn: AtomicU32,
}

impl Waitable<'_> {
    /// A descriptor that becomes readable when this is ready.
    ///
    /// # Errors
    /// [`Error::NoDescriptors`], [`Error::Os`] if no thread can be made, and those of a forked child that joins the
    /// segment.
    pub fn as_fd(&self) -> Result<ReadyFd, Error> {
        ReadyFd::new([self])
    }
}

impl WaitAny<'_> {
    /// A descriptor that becomes readable when the first of them is ready; at most 63 of them. Which it is
    /// [`try_wait`](Self::try_wait) says, or trying each.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] for 64, and those of [`Waitable::as_fd`].
    pub fn as_fd(&self) -> Result<ReadyFd, Error> {
        ReadyFd::new(self.items())
    }
}

impl ReadyFd {
    fn new<'a, 'o: 'a>(items: impl IntoIterator<Item = &'a Waitable<'o>>) -> Result<Self, Error> {
        let items = items.into_iter().map(Waitable::kept).collect::<Result<Vec<_>, _>>()?;
        if items.len() >= MOST {
            return Err(Error::InvalidArgument("a descriptor is for at most 63 objects"));
        }
        let generation = segment::fork_generation()?;
        let bridge = Arc::new(Bridge { items, event: EventFd::new()?, turn: AtomicU32::new(ARMED) });
        let served = bridge.clone();
        let thread = bridge::spawn("ringfence-fd", move || served.serve())?;
        Ok(Self { bridge, thread: Some(thread), generation })
    }

    /// Makes it unreadable, until something is ready: at once, if something is ready now.
    ///
    /// # Errors
    /// [`Error::NotSupported`] in a forked child: the bridge is the parent's.
    pub fn arm(&self) -> Result<(), Error> {
        if segment::fork_generation()? != self.generation {
            return Err(Error::NotSupported("a forked child makes descriptors of its own: this one is the parent's"));
        }
        self.bridge.event.lower();
        let turn = &self.bridge.turn;
        let mut seen = turn.load(Ordering::Relaxed);
        // Release: pairs with the bridge's Acquire. What the caller did before is done when the bridge looks.
        while let Err(now) =
            turn.compare_exchange(seen, seen.wrapping_add(TURN) | ARMED, Ordering::Release, Ordering::Relaxed)
        {
            seen = now;
        }
        futex::wake(turn, 1);
        Ok(())
    }
}

impl Bridge {
    fn serve(&self) {
        loop {
            let turn = self.turn.load(Ordering::Acquire);
            if turn & STOP != 0 {
                return;
            }
            if turn & ARMED == 0 {
                // Not capped: whoever wakes us is of this process, and dies with us.
                futex::wait(&self.turn, turn, None);
                continue;
            }
            // An error is for the user to meet, at the next try.
            if self.wait(turn).unwrap_or(true) {
                self.event.raise();
                let _ = self.turn.compare_exchange(turn, turn & !ARMED, Ordering::Relaxed, Ordering::Relaxed);
            }
        }
    }

    /// Whether something is ready; not, if the turn is over.
    fn wait(&self, turn: u32) -> Result<bool, Error> {
        // The first of them: where one cannot sleep on several, it is this one that wakes.
        let mut items = vec![Awaited::Changed { word: &self.turn, value: turn }];
        for item in &self.items {
            items.push(item.awaited()?);
        }
        let ready = wait_any::wait_any(&items, Wait::until(Deadline::Forever));
        self.items.iter().for_each(Waitable::settle);
        Ok(ready.is_ok_and(|ready| ready & 1 == 0))
    }
}

impl AsFd for ReadyFd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.bridge.event.as_fd()
    }
}

impl AsRawFd for ReadyFd {
    fn as_raw_fd(&self) -> RawFd {
        self.as_fd().as_raw_fd()
    }
}

impl Drop for ReadyFd {
    fn drop(&mut self) {
        let Some(thread) = self.thread.take() else { return };
        if segment::fork_generation() == Ok(self.generation) {
            self.bridge.turn.fetch_or(STOP, Ordering::Relaxed);
            futex::wake(&self.bridge.turn, 1);
            // It does not panic; if it did, it is gone too.
            let _ = thread.join();
        } else {
            // There is no such thread in this process to be joined or detached.
            core::mem::forget(thread);
            if Arc::strong_count(&self.bridge) == 2 {
                // SAFETY: the other count is the thread's, which lived in the parent at the fork (it ends when this is
                // dropped there) and does not exist here: nobody else will give it back, or use what it stands for.
                unsafe { Arc::decrement_strong_count(Arc::as_ptr(&self.bridge)) };
            }
        }
    }
}

impl fmt::Debug for ReadyFd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReadyFd").field("fd", &self.as_raw_fd()).field("items", &self.bridge.items).finish()
    }
}
