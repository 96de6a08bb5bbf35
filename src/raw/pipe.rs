//! The pipe: two ends, a channel into each (or into the first only), and the end of file when nobody holds an end any more.
//!
//! ```text
//!      first end                             second end
//!   (any processes)                        (any processes)
//!     recv <----- channel into the first <----- send
//!     send -----> channel into the second ----> recv        not of a one-way pipe
//!
//!   end 0 | end 1    u32 each, and a byte of the file for each: locked shared by each handle, lives as long as a mapping
//! ```
//!
//! | word of an end | state | left by |
//! |---|---|---|
//! | 0 | nobody has come to it yet (all zero: the valid first state) | [`begin`](Pipe::begin) of the first to come |
//! | 1 | somebody has come | `bury`, by whoever finds that nobody holds it |
//! | 2 | gone, for ever | never |
//!
//! Any other word counts as 0: nobody is told that an end is gone which may not be.
//!
//! Invariants:
//! 1. Who holds an end is what the kernel says: a shared lock of the end's byte, which a fork copies together with the
//!    mapping that it hangs on, and which an exit, an exec or a kill ends. There is no count to repair.
//! 2. An end goes from 1 to 2 only while its byte is locked exclusively, so that nobody holds it. Who comes takes the lock
//!    first, and then looks at the word: so it finds 2 there, or its end stays.
//! 3. After 2, both channels are closed: that out of the end, whose receivers drain it and then see the end of file, and
//!    that into it, whose senders are told that nobody will receive. A closed channel is all that the operations look at.
//! 4. Whoever is about to wait for the other end asks whether anybody holds it, after it has announced itself. So the
//!    last holder, who asks after it has let go, or the waiter notices; and where the last holder is killed, the waiter,
//!    when its nap ends or recovery wakes it.
//! 5. Of the two channels, that into the end is closed, or asked to be, before that out of it: whoever has seen the end of file
//!    finds that it cannot send.
//!
//! A death leaves behind:
//! - before the end is set to 2: nothing, since the exclusive lock goes with it. The next one who asks does it again;
//! - after it, with a channel still open: the next one who asks closes it;
//! - as a sender or receiver, what it leaves in a [channel](super::channel).
//!
//! Orderings: the word of an end is set by Release and read by Acquire; what was sent is ordered by the channel.
//!
//! Source: pipe(7) for what the end of file means; the locks are open file description locks, fcntl(2).

use core::ptr::NonNull;

use super::channel::Channel;
use super::{Fate, Owner, ParticipantId, Peers};
use crate::layout::channel::Geometry;
use crate::layout::pipe::{PipeHeader, bytes, channel_at};
use crate::primitive::Ordering;
use crate::sys::nap::{Deadline, Wait};

const NEW: u32 = 0;
const OPEN: u32 = 1;
const GONE: u32 = 2;

/// One of the two ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum End {
    /// Of a one-way pipe the one that receives.
    First = 0,
    /// Of a one-way pipe the one that sends.
    Second = 1,
}

impl End {
    /// The end that this one talks to.
    #[must_use]
    pub fn other(self) -> Self {
        match self {
            Self::First => Self::Second,
            Self::Second => Self::First,
        }
    }
}

/// A pipe in shared memory.
#[derive(Clone, Copy, Debug)]
pub struct Pipe<'a> {
    header: &'a PipeHeader,
    /// By the end that receives.
    into: [Option<Channel<'a>>; 2],
    /// What tells its ends from all others of the segment.
    identity: u64,
}

impl<'a> Pipe<'a> {
    /// The pipe of these parts; `into` the second end there is no channel if it goes one way.
    pub fn new(header: &'a PipeHeader, into: [Option<Channel<'a>>; 2], identity: u64) -> Self {
        Self { header, into, identity }
    }

    /// The pipe that starts at `base`, of so many directions.
    ///
    /// # Safety
    /// `bytes(geometry, directions)` bytes from `base` on, which is aligned to 128, are mapped during `'a` and accessed
    /// atomically only.
    #[inline]
    pub unsafe fn at(base: NonNull<u8>, geometry: Geometry, directions: u32, identity: u64) -> Self {
        // SAFETY: as the caller promises.
        let channel = |end| unsafe { Channel::at(base.add(channel_at(geometry, end)), geometry) };
        let into = [channel(0), if directions > 1 { channel(1) } else { None }];
        // SAFETY: as above.
        Self::new(unsafe { base.cast().as_ref() }, into, identity)
    }

    /// How many directions a pipe at `base` of `len` bytes has; `None` if it does not fit, or says something else.
    ///
    /// # Safety
    /// `len` bytes from `base` on, which is aligned to 128, are mapped and accessed atomically only.
    pub unsafe fn directions(base: NonNull<u8>, len: u64, geometry: Geometry) -> Option<u32> {
        if len < bytes(geometry, 1) as u64 {
            return None;
        }
        // SAFETY: long enough; the rest is the caller's promise.
        let header: &PipeHeader = unsafe { base.cast().as_ref() };
        // Relaxed: written before the pipe became visible.
        let directions = header.directions.load(Ordering::Relaxed);
        (matches!(directions, 1 | 2) && len >= bytes(geometry, directions) as u64).then_some(directions)
    }

    /// The channel that `end` receives from.
    #[inline]
    pub fn inbox(&self, end: End) -> Option<Channel<'a>> {
        self.into[end as usize]
    }

    /// The channel that `end` sends to.
    #[inline]
    pub fn outbox(&self, end: End) -> Option<Channel<'a>> {
        self.inbox(end.other())
    }

    /// What tells an end from all others of the segment: the byte that its holders have locked.
    pub fn mark(&self, end: End) -> u64 {
        self.identity << 1 | end as u64
    }

    /// For one who holds `end` by now: whether it stays. If not, it is gone for ever.
    pub fn begin(&self, end: End) -> bool {
        let word = &self.header.ends[end as usize];
        // Acquire: pairs with the Release in `is_over`. Invariant 2: while it is held nobody sets it to gone.
        match word.compare_exchange(NEW, OPEN, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) => true,
            Err(seen) => seen != GONE,
        }
    }

    /// Whether somebody has come to `end`, ever.
    pub fn has_begun(&self, end: End) -> bool {
        matches!(self.header.ends[end as usize].load(Ordering::Acquire), OPEN | GONE)
    }

    /// Whether it is known that nobody holds `end` any more.
    pub fn is_gone(&self, end: End) -> bool {
        self.header.ends[end as usize].load(Ordering::Acquire) == GONE
    }

    /// Whether nobody holds `end` any more, as seen by a process that holds the other one or has just let go of this one.
    /// What follows from it is done: invariant 3.
    pub fn is_over(&self, end: End, me: Owner, peers: &impl Peers) -> bool {
        let word = &self.header.ends[end as usize];
        match word.load(Ordering::Acquire) {
            OPEN => {
                let mark = self.mark(end);
                // The first question costs one system call, the second several.
                let bury = &mut || word.store(GONE, Ordering::Release);
                if peers.is_held(mark) || !peers.while_unheld(mark, bury) {
                    return false;
                }
            }
            GONE => {}
            _ => return false,
        }
        // Invariant 5: that into the end first.
        let channels = [self.inbox(end), self.outbox(end)];
        for channel in channels.iter().flatten().filter(|channel| !channel.is_shut_down()) {
            // Somebody in the middle of a send does it instead, or whoever asks next.
            let _ = channel.shutdown(me, peers, Wait::until(Deadline::Now));
        }
        true
    }

    /// As [`is_over`](Self::is_over) of the other end, for the operations of `end` on its channels.
    pub fn company<'p, P: Peers>(&self, end: End, me: Owner, peers: &'p P) -> Company<'a, 'p, P> {
        Company { pipe: *self, other: end.other(), me, peers }
    }

    /// Ends both directions for everybody.
    pub fn shutdown(&self, me: Owner, peers: &impl Peers, wait: Wait) -> Result<(), super::channel::SendFailure> {
        self.into.iter().flatten().try_for_each(|channel| channel.shutdown(me, peers, wait))
    }

    /// Frees what `dead` held, and wakes who waits for it: they ask who holds the other end.
    pub fn recover(&self, dead: ParticipantId, peers: &impl Peers) {
        self.into.iter().flatten().for_each(|channel| channel.recover(dead, peers));
    }
}

/// The peers of one who uses an end, as its channels see them: they tell when the other end is gone.
#[derive(Debug)]
pub struct Company<'a, 'p, P> {
    pipe: Pipe<'a>,
    other: End,
    me: Owner,
    peers: &'p P,
}

// Whatever P is.
impl<P> Clone for Company<'_, '_, P> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<P> Copy for Company<'_, '_, P> {}

impl<P: Peers> Peers for Company<'_, '_, P> {
    fn fate(&self, participant: ParticipantId) -> Fate {
        self.peers.fate(participant)
    }

    fn life(&self, participant: ParticipantId) -> u32 {
        self.peers.life(participant)
    }

    #[cold]
    fn left_alone(&self) -> bool {
        self.pipe.is_over(self.other, self.me, self.peers)
    }
}
