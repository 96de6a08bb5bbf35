//! How a process becomes a participant: a free slot that is made its own, and the proof of its life.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use super::attachment::Backing;
use super::recovery::{PATIENCE, Probe, Witness, patiently};
use super::registry::{self, InMotion};
use super::view::View;
use crate::error::Error;
use crate::primitive::Ordering;
use crate::raw::ParticipantId;
use crate::sys::ofd::{self, Byte, Mode};
use crate::sys::process::{self, Me};
use crate::sys::shm::{self, LivePage};

/// This process's place in the participant table.
#[derive(Debug)]
pub struct Place {
    /// Its number.
    pub participant: ParticipantId,
    /// The state of its slot.
    pub slot_state: u32,
    /// The proof of life, if it is a lock of the file.
    pub live: Option<LivePage>,
}

/// Takes a place (see [`take_once`]); where every one is taken, waits for those that threads of this process have for a
/// moment only: of several that join at the same time one stays, and one may be leaving.
pub fn take(
    view: View,
    query: Option<BorrowedFd<'_>>,
    backing: &Backing,
    named: bool,
) -> Result<(Place, InMotion), Error> {
    let taken = patiently(|| match take_once(view, query, backing, named) {
        Err(Error::TooManyParticipants) if InMotion::is_any(&*registry::lock()?) => Ok(None),
        taken => taken.map(Some),
    });
    taken.map_err(|error| if error == Error::Busy { Error::TooManyParticipants } else { error })
}

/// Finds a free slot and makes it ours; recovers the dead first. The proof of life is opened through the name if that
/// must still lead to the file (`named`), else through the descriptor.
fn take_once(
    view: View,
    query: Option<BorrowedFd<'_>>,
    backing: &Backing,
    named: bool,
) -> Result<(Place, InMotion), Error> {
    let path = backing.path();
    let witness = query.map_or(Witness::Claims, |fd| Witness::File(fd, path));
    let probe = Probe { view, witness };
    // Somebody who is stopped while giving space back is in the way of recovery, but only a full table makes us wait.
    for patience in [Duration::ZERO, PATIENCE] {
        match probe.recover_all(patience) {
            Ok(_) | Err(Error::Busy) => {}
            Err(error) => return Err(error),
        }
        // Locked: a fork by another thread must not inherit the description before it is pinned, or the child would keep
        // our proof of life when we are dead.
        let mut registry = registry::lock()?;
        let me = registry.me();
        let place = match witness {
            Witness::File(fd, path) => {
                let own = match backing {
                    Backing::File { path: Some(name), inode, .. } if named => shm::open_same(name, *inode)?,
                    _ => shm::reopen(fd, path)?,
                };
                take_in_file(&view, own, &me)
            }
            Witness::Claims => take_by_claim(&view, &me),
        };
        if !matches!(place, Err(Error::TooManyParticipants)) {
            return place.map(|place| (place, InMotion::begin(&mut registry)));
        }
    }
    Err(Error::TooManyParticipants)
}

fn take_in_file(view: &View, own: OwnedFd, me: &Me) -> Result<Place, Error> {
    for participant in view.participants() {
        let slot = view.slot(participant);
        let state = slot.state.load(Ordering::Acquire);
        if state & 1 != 0 || !ofd::try_lock(own.as_fd(), Byte::Live(participant), Mode::Exclusive)? {
            continue;
        }
        view.header().participants_used.fetch_max(participant.into(), Ordering::Relaxed);
        // Killed from here on, the lock is gone and the slot is free, or used and recovered.
        if slot.state.compare_exchange(state, state | 1, Ordering::AcqRel, Ordering::Relaxed).is_err() {
            ofd::unlock(own.as_fd(), Byte::Live(participant))?;
            continue;
        }
        let live = match LivePage::pin(own, Some(view.base())) {
            Ok(live) => live,
            Err(error) => {
                // The descriptor is closed, and with it the lock is gone.
                view.free_slot(participant, state | 1);
                return Err(error);
            }
        };
        describe(view, participant, me);
        return Ok(Place { participant, slot_state: state | 1, live: Some(live) });
    }
    Err(Error::TooManyParticipants)
}

fn take_by_claim(view: &View, me: &Me) -> Result<Place, Error> {
    if view.birth().pid_namespace != process::pid_namespace() {
        return Err(Error::NotSupported("participants of adopted memory must share one PID namespace"));
    }
    let claim = me.identity.clone()?.0;
    for participant in view.participants() {
        let slot = view.slot(participant);
        let state = slot.state.load(Ordering::Acquire);
        view.header().participants_used.fetch_max(participant.into(), Ordering::Relaxed);
        if state & 1 != 0 || slot.claim.compare_exchange(0, claim, Ordering::AcqRel, Ordering::Relaxed).is_err() {
            continue;
        }
        if slot.state.compare_exchange(state, state | 1, Ordering::AcqRel, Ordering::Relaxed).is_ok() {
            describe(view, participant, me);
            return Ok(Place { participant, slot_state: state | 1, live: None });
        }
        slot.claim.store(0, Ordering::Release);
    }
    Err(Error::TooManyParticipants)
}

/// Fills in what people want to know of a participant.
fn describe(view: &View, participant: ParticipantId, me: &Me) {
    view.clear_open_bits(participant);
    let slot = view.slot(participant);
    slot.pid.store(me.pid.into(), Ordering::Relaxed);
    slot.start_time.store(me.identity.as_ref().map_or(0, |me| me.start_time()), Ordering::Relaxed);
    let name: [u64; 2] = bytemuck::cast(me.name);
    for (word, part) in slot.name.iter().zip(name) {
        word.store(part, Ordering::Relaxed);
    }
}
