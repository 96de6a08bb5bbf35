//! Who is dead, and tidying up after them.
//!
//! Recovery of participant `i`:
//! 1. read the state word of slot `i`; ask whether `i` is dead;
//! 2. sweep: for the directory lock and for every object, free what `i` held and wake one sleeper;
//! 3. compare-and-swap the exact state word to free, generation + 1.
//!
//! Any number of processes may do this at once, be stopped or be killed at it:
//! - each change of a word is a compare-and-swap of the exact value that was loaded *before* the question whether its
//!   owner is dead, and an owner's tag (a queue slot's lap) never comes back, so a late one misses;
//! - while slot `i` is not free nobody becomes `i`, so a sweep that began after the death misses nothing;
//! - a sweeper holds the `Sweep` byte shared; the space of removed objects is given back only under the exclusive lock,
//!   so a sweeper never meets another object where it saw one. A stopped sweeper delays just that.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::time::{Duration, Instant};

use super::kinds::{self, Remains};
use super::registry::NoFork;
use super::view::View;
use crate::error::Error;
use crate::primitive::Ordering;
use crate::raw::{Fate, ParticipantId, Peers, mutex};
use crate::sys::log::{self, LogLevel};
use crate::sys::ofd::{self, Byte, Held, Mode};
use crate::sys::process::Identity;
use crate::sys::shm;

/// How long a call waits for somebody who is in the middle of joining, leaving or tidying up.
pub const PATIENCE: Duration = Duration::from_secs(5);

/// Tries until `attempt` gives something, for at most [`PATIENCE`]; then the answer is [`Error::Busy`].
pub fn patiently<R>(attempt: impl FnMut() -> Result<Option<R>, Error>) -> Result<R, Error> {
    within(PATIENCE, attempt)
}

fn within<R>(patience: Duration, mut attempt: impl FnMut() -> Result<Option<R>, Error>) -> Result<R, Error> {
    // The first attempt comes before the clock: nearly always it is the only one.
    let mut start = None;
    loop {
        if let Some(result) = attempt()? {
            return Ok(result);
        }
        if start.get_or_insert_with(Instant::now).elapsed() >= patience {
            return Err(Error::Busy);
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// How the participants of a segment prove that they live.
#[derive(Clone, Copy, Debug)]
pub enum Witness<'a> {
    /// By byte locks of the file that this descriptor, which itself holds none, is open on.
    File(BorrowedFd<'a>, Option<&'a Path>),
    /// By pid and start time in their slots.
    Claims,
}

/// Answers whether a participant is dead.
#[derive(Clone, Copy, Debug)]
pub struct Probe<'a> {
    /// The segment.
    pub view: View,
    /// Where to look.
    pub witness: Witness<'a>,
}

impl Peers for Probe<'_> {
    fn fate(&self, participant: ParticipantId) -> Fate {
        if !self.view.participants().contains(&participant) {
            return Fate::Invalid;
        }
        let dead = match self.witness {
            Witness::File(fd, _) => ofd::any_live(fd, participant, participant) == Ok(None),
            Witness::Claims => match self.view.slot(participant).claim.load(Ordering::Acquire) {
                0 => true,
                claim => !Identity(claim).is_alive(),
            },
        };
        if dead { Fate::Dead } else { Fate::Alive }
    }

    fn life(&self, participant: ParticipantId) -> u32 {
        self.view.life(participant)
    }
}

/// The right to sweep: nobody gives space back meanwhile.
#[derive(Debug)]
enum Permit<'a> {
    /// A lock of the sweep byte. In this order: forks go on when it is free.
    File { _lock: Held<OwnedFd>, _no_fork: NoFork },
    /// The sweeper word.
    Claim(&'a Probe<'a>, Identity),
}

impl<'a> Permit<'a> {
    fn take(probe: &'a Probe<'_>, mode: Mode) -> Result<Option<Self>, Error> {
        match probe.witness {
            Witness::File(fd, path) => {
                // A child would inherit the lock, and keep it after our death.
                let no_fork = NoFork::enter()?;
                let lock = shm::reopen(fd, path)?;
                let taken = ofd::try_lock(lock.as_fd(), Byte::Sweep, mode)?;
                Ok(taken.then(|| Self::File { _lock: Held::new(lock, Byte::Sweep), _no_fork: no_fork }))
            }
            Witness::Claims => {
                let word = &probe.view.header().sweeper;
                let me = Identity::me()?;
                // Acquire and Release: whoever takes the word sees what the last sweeper did.
                let seen = word.load(Ordering::Acquire);
                if seen != 0 && (seen == me.0 || Identity(seen).is_alive()) {
                    return Ok(None);
                }
                let taken = word.compare_exchange(seen, me.0, Ordering::AcqRel, Ordering::Relaxed).is_ok();
                Ok(taken.then_some(Self::Claim(probe, me)))
            }
        }
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        if let Self::Claim(probe, me) = self {
            let word = &probe.view.header().sweeper;
            let _ = word.compare_exchange(me.0, 0, Ordering::Release, Ordering::Relaxed);
        }
    }
}

impl Probe<'_> {
    /// Recovers every dead participant; returns how many this call freed. `Busy` if somebody gives space back for
    /// longer than `patience`. Without patience, only those below the mark: all of them, unless a faulty peer lowered it.
    pub fn recover_all(&self, patience: Duration) -> Result<usize, Error> {
        let all = self.view.participants();
        // Relaxed: whoever is dead raised it before its death was proven.
        let used = self.view.header().participants_used.load(Ordering::Relaxed);
        let last = if patience.is_zero() { used.min((*all.end()).into()) as ParticipantId } else { *all.end() };
        let mut recovered = 0;
        for participant in 1..=last {
            let slot = self.view.slot(participant);
            self.drop_dead_claim(participant);
            // Acquire: pairs with the claim, so that a state seen as used is that of a participant that has its lock.
            let state = slot.state.load(Ordering::Acquire);
            if state & 1 == 0 || self.fate(participant) != Fate::Dead {
                continue;
            }
            self.sweep(participant, patience)?;
            // Release: whoever claims the slot next finds it swept.
            if self.view.free_slot(participant, state) {
                recovered += 1;
                let pid = slot.pid.load(Ordering::Relaxed);
                #[cfg(feature = "tracing")]
                tracing::info!(participant, pid, "recovered a dead participant");
                let text =
                    format_args!("process {pid} is dead: what it held as participant {participant} is free again");
                log::tell_here(LogLevel::Warning, text);
            }
            self.drop_dead_claim(participant);
        }
        Ok(recovered)
    }

    /// Takes the claim of a dead process off a slot that is free.
    fn drop_dead_claim(&self, participant: ParticipantId) {
        if let Witness::Claims = self.witness {
            let slot = self.view.slot(participant);
            let claim = slot.claim.load(Ordering::Acquire);
            if claim != 0 && !Identity(claim).is_alive() && slot.state.load(Ordering::Acquire) & 1 == 0 {
                let _ = slot.claim.compare_exchange(claim, 0, Ordering::AcqRel, Ordering::Relaxed);
            }
        }
    }

    /// Frees what `dead` held, everywhere.
    fn sweep(&self, dead: ParticipantId, patience: Duration) -> Result<(), Error> {
        let _permit = within(patience, || Permit::take(self, Mode::Shared))?;
        mutex::recover(self.view.directory_lock(), dead, self);
        for record in self.view.entries().flatten() {
            let remains = Remains { base: self.view.object(&record), len: record.len, shape: &record.shape };
            // SAFETY: the record was checked to lie inside the mapping, and the permit keeps its space from being
            // given to another object.
            unsafe { kinds::recover(&remains, dead, self) };
        }
        Ok(())
    }

    /// Runs `act` while no space of removed objects is given back.
    pub fn while_nothing_is_given_back<R>(&self, act: impl FnOnce() -> Result<R, Error>) -> Result<R, Error> {
        let _permit = patiently(|| Permit::take(self, Mode::Shared))?;
        act()
    }

    /// Runs `reclaim` if nobody sweeps now; says whether it ran.
    pub fn while_nobody_sweeps(&self, reclaim: impl FnOnce() -> Result<(), Error>) -> Result<bool, Error> {
        match Permit::take(self, Mode::Exclusive)? {
            Some(_permit) => reclaim().map(|()| true),
            None => Ok(false),
        }
    }
}
