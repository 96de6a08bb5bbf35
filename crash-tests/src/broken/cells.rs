//! Broken ways to change a value.
//!
//! - [`InPlace`]: data changed where it lies, under a sound lock, and said to be never torn.
//! - [`Consumes`]: a write that takes the lock from a dead owner, and keeps the news to itself.

use crate::board::{Board, Cue, Digest, Role};
use crate::cells::{Elements, Writer};
use crate::locks::{Entry, LockKind, Raw, Shipped};

/// See the module's head.
#[derive(Debug)]
pub struct InPlace;

impl LockKind for InPlace {
    type Joined = <Raw<Shipped> as LockKind>::Joined;

    const NEVER_TORN: bool = true;

    fn join(board: &'static Board, role: Role) -> Self::Joined {
        Raw::<Shipped>::join(board, role)
    }

    fn critical(joined: &mut Self::Joined, cue: &Cue, inside: impl FnOnce(Entry)) -> Result<u64, String> {
        Raw::<Shipped>::critical(joined, cue, inside)
    }

    fn recover(joined: &mut Self::Joined, dead: Role) {
        Raw::<Shipped>::recover(joined, dead);
    }

    fn digest(board: &'static Board) -> Digest {
        Raw::<Shipped>::digest(board)
    }
}

/// See the module's head.
#[derive(Debug)]
pub struct Consumes;

impl<E: Elements> Writer<E> for Consumes {
    fn write(elements: &E, word: u64) {
        elements.locked(|_| elements.write(word)).expect("the lock can be had");
    }
}
