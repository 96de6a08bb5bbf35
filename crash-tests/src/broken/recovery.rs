//! A recovery that frees the slot of the dead before it has freed what the dead held. Whoever takes the slot in between
//! has the dead one's number, and what bears it is held by the living.

use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed};

use ringfence::layout::mutex::LockWord;
use ringfence::raw::{Fate, ParticipantId, Peers, mutex};
use ringfence::sys::ofd;

use crate::api::{ApiMutex, PARTICIPANTS};
use crate::board::{Board, Cue, Digest, Role};
use crate::broken::bare::Bare;
use crate::locks::{Entry, LockKind};

/// `Mutex<[u64; 2]>`, recovered so.
#[derive(Debug)]
pub struct FreesFirst;

/// The byte locks of this file.
struct Witness<'a>(BorrowedFd<'a>);

impl Peers for Witness<'_> {
    fn fate(&self, participant: ParticipantId) -> Fate {
        match ofd::any_live(self.0, participant, participant) {
            Ok(None) => Fate::Dead,
            _ => Fate::Alive,
        }
    }
}

impl LockKind for FreesFirst {
    type Joined = (<ApiMutex as LockKind>::Joined, Bare);

    const NEVER_TORN: bool = true;

    fn reset(board: &'static Board) {
        ApiMutex::reset(board);
    }

    fn join(board: &'static Board, role: Role) -> Self::Joined {
        (ApiMutex::join(board, role), Bare::open(board))
    }

    fn critical((joined, _): &mut Self::Joined, cue: &Cue, inside: impl FnOnce(Entry)) -> Result<u64, String> {
        ApiMutex::critical(joined, cue, inside)
    }

    fn recover((_, bare): &mut Self::Joined, _: Role) {
        let peers = Witness(bare.fd.as_fd());
        // SAFETY: a mutex begins with its lock word.
        let word: &LockWord = unsafe { bare.at(bare.entry("pair").offset.load(Relaxed)) };
        for participant in 1..=PARTICIPANTS {
            let state = &bare.slot(participant).state;
            let seen = state.load(Acquire);
            if seen & 1 != 0 && peers.fate(participant) == Fate::Dead {
                let _ = state.compare_exchange(seen, seen.wrapping_add(1), AcqRel, Relaxed);
                mutex::recover(word, participant, &peers);
            }
        }
    }

    fn place((joined, _): &Self::Joined, pid: i32) -> Option<u64> {
        ApiMutex::place(joined, pid)
    }

    fn digest(board: &'static Board) -> Digest {
        ApiMutex::digest(board)
    }
}
