//! The blackboard: the newest complete value of one writer, for any number of readers.
//!
//! It is a [broadcast](super::broadcast) of a few slots in overwrite mode that is read from its end:
//!
//! ```text
//!                    tail = 7: values 1 to 7 were begun
//!                     v
//!  slot   0     1     2     3          number of a value = its position + 1; 0 is none
//!       | C5  | C6  | W7  | C4  |      the newest complete one is 6
//! ```
//!
//! Invariants, beyond the broadcast's:
//! 1. Only the last claimed value can be incomplete, so the newest complete one is the last or the one before it.
//! 2. While a reader copies a value, the writer has to write as many others as there are slots, less one, to disturb it. A copy that
//!    was disturbed does not count, and the reader looks for the newest again.
//!
//! A death leaves behind what it leaves of a broadcast: the value before the one that was being written.
//!
//! Bounds: the writer is wait-free, whatever readers do. A reader gives up after [`ATTEMPTS`] copies that were all disturbed.
//!
//! Source: the broadcast.

use super::Peers;
use super::backoff::Backoff;
use super::broadcast::{Broadcast, Sight, Unread};
use super::eventcount::{self, Expired};
use crate::primitive::{Ordering, fence};
use crate::sys::nap::{Deadline, Wait};

/// Values that stay whole while another is being written.
pub const CAPACITY: u64 = 3;
/// Copies that a reader makes before it gives up.
pub const ATTEMPTS: u32 = 1000;

/// Why there is no value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadFailure {
    /// None newer than asked for (only when not waiting at all).
    NotNewer,
    /// The deadline passed.
    TimedOut,
    /// A signal handler ran.
    Interrupted,
    /// It is shut down, and there is none newer than asked for.
    Closed,
    /// The writer was faster, time after time.
    Busy,
    /// The blackboard holds something that no participant writes.
    Corrupted,
}

/// A blackboard.
#[derive(Clone, Copy, Debug)]
pub struct Blackboard<'a>(Broadcast<'a>);

impl<'a> Blackboard<'a> {
    /// The broadcast that it is, if that keeps values of one size and waits for nobody.
    #[inline]
    pub fn new(values: Broadcast<'a>) -> Option<Self> {
        let geometry = values.geometry();
        (geometry.readers() == 0 && !geometry.is_bytes()).then_some(Self(values))
    }

    /// The broadcast that it is: through this it is written, and shut down.
    pub fn values(&self) -> &Broadcast<'a> {
        &self.0
    }

    /// Copies the newest value into `value`, of exactly its size: its number. 0 is none. On failure the bytes are arbitrary.
    #[inline]
    pub fn read(&self, value: &mut [u8]) -> Result<u64, ReadFailure> {
        for _ in 0..ATTEMPTS {
            let next = self.0.next_position();
            for back in [1, 2] {
                let Some(last) = next.checked_sub(back) else {
                    // Before the first, unless that was overwritten meanwhile: who sees the mark sees the claim. The fence: the
                    // mark may be what the second look of the copy saw.
                    fence(Ordering::Acquire);
                    if self.0.next_position() == next {
                        return Ok(0);
                    }
                    break;
                };
                match self.0.copy(last, last % self.0.geometry().slots(), value) {
                    Ok(_) => return Ok(last + 1),
                    Err(Unread::Elsewhere) => {}
                    Err(Unread::TooShort(_) | Unread::Corrupted) => return Err(ReadFailure::Corrupted),
                }
            }
        }
        Err(ReadFailure::Busy)
    }

    /// Copies the newest value if its number is greater than `than`, waiting for one as `wait` says: its number.
    pub fn read_newer(&self, than: u64, value: &mut [u8], peers: &impl Peers, wait: Wait) -> Result<u64, ReadFailure> {
        let mut attempt = || match self.look(than, peers) {
            Sight::Record | Sight::Lapped(_) => Some(match self.read(value) {
                // It was there: a number that goes down is no participant's doing.
                Ok(number) if number <= than => Err(ReadFailure::Corrupted),
                done => done,
            }),
            Sight::Nothing => None,
            Sight::End => Some(Err(ReadFailure::Closed)),
            Sight::Corrupted => Some(Err(ReadFailure::Corrupted)),
        };
        if let Some(done) = attempt() {
            return done;
        }
        if wait.deadline == Deadline::Now {
            return Err(ReadFailure::NotNewer);
        }
        let mut backoff = Backoff::new();
        while backoff.pause() {
            if let Some(done) = attempt() {
                return done;
            }
        }
        eventcount::wait_until(self.0.not_empty(), wait, attempt).unwrap_or_else(|expired| {
            Err(match expired {
                Expired::TimedOut => ReadFailure::TimedOut,
                Expired::Interrupted => ReadFailure::Interrupted,
            })
        })
    }

    /// What there is behind the value of this number.
    pub fn look(&self, than: u64, peers: &impl Peers) -> Sight {
        // No number is as large: the stamp of a position has a bit less.
        self.0.look(than.min(1 << 62), peers)
    }
}
