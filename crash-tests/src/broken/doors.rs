//! Broken ways into and out of a segment.
//!
//! - [`claims_first`]: a joiner takes its slot, and then the lock that proves that it lives. Stopped in between it is
//!   dead to all others, who free the slot; when it goes on, it lives where nobody is.
//! - [`joins_without_door`]: it looks at the name and takes a place, but the last to leave may take the name away in
//!   between, and finds nobody.
//! - [`leaves_without_door`]: it finds nobody else and removes the name, but somebody may have joined in between.

use std::os::fd::AsFd;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed};

use ringfence::Error;
use ringfence::sys::ofd::{self, Byte};
use ringfence::sys::process;
use ringfence::sys::shm::{self, LivePage};

use crate::api::PARTICIPANTS;
use crate::board::Board;
use crate::broken::bare::Bare;
use crate::overtaken::Case;
use crate::step::marker;

/// Takes a place. As the library does it, unless it `claims_first`.
fn take_place(bare: &Bare, claims_first: bool) -> Result<LivePage, Error> {
    let own = shm::reopen(bare.fd.as_fd(), None)?;
    let lock = |participant| ofd::try_lock(own.as_fd(), Byte::Live(participant), ofd::Mode::Exclusive);
    for participant in 1..=PARTICIPANTS {
        let slot = bare.slot(participant);
        let state = slot.state.load(Acquire);
        let claim = || slot.state.compare_exchange(state, state | 1, AcqRel, Relaxed).is_ok();
        let taken = match claims_first {
            _ if state & 1 != 0 => false,
            true => claim() && lock(participant)?,
            false => lock(participant)? && claim(),
        };
        if taken {
            bare.header().participants_used.fetch_max(participant.into(), Relaxed);
            slot.pid.store(process::pid().into(), Relaxed);
            return LivePage::pin(own, None);
        }
    }
    Err(Error::TooManyParticipants)
}

/// See the module's head.
pub fn claims_first(board: &'static Board, _: Case) -> Result<Option<LivePage>, Error> {
    let bare = Bare::open(board);
    marker();
    take_place(&bare, true).map(Some)
}

/// See the module's head.
pub fn joins_without_door(board: &'static Board, _: Case) -> Result<Option<LivePage>, Error> {
    let bare = Bare::open(board);
    marker();
    if !bare.has_its_name()? {
        return Err(Error::Missing);
    }
    take_place(&bare, false).map(Some)
}

/// See the module's head.
pub fn leaves_without_door(board: &'static Board, _: Case) -> Result<Option<LivePage>, Error> {
    let bare = Bare::open(board);
    let live = take_place(&bare, false)?;
    marker();
    drop(live);
    if ofd::any_live(bare.fd.as_fd(), 1, PARTICIPANTS)?.is_none() && bare.has_its_name()? {
        shm::unlink(&bare.path)?;
    }
    Ok(None)
}
