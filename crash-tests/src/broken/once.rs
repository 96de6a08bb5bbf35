//! The library's once with a recovery that looks after its lock alone. Whoever is killed when it has done it, and has woken
//! nobody, leaves those asleep who only wait.

use std::ptr::NonNull;

use ringfence::raw::mutex::{self, Acquired};
use ringfence::raw::once::Once;

use crate::board::{Board, Digest, Oracle, Role};
use crate::locks::FOREVER;
use crate::once::{OnceKind, Pair};

/// See the module's head.
#[derive(Debug)]
pub struct LockAlone;

fn once(board: &'static Board) -> Once<'static> {
    let arena = NonNull::from(&board.arena).cast();
    // SAFETY: the arena is longer, aligned to a page, shared for good, and atomics all through.
    unsafe { Once::at(arena, size_of_val(&board.arena) as u64, size_of::<Pair>() as u32) }.expect("the arena has room")
}

fn pair(bytes: [u8; 16]) -> Pair {
    [0, 8].map(|at| u64::from_ne_bytes(bytes[at..at + 8].try_into().expect("8 bytes")))
}

fn read(board: &'static Board) -> Result<Pair, String> {
    let mut bytes = [0; 16];
    if once(board).read(&mut bytes) { Ok(pair(bytes)) } else { Err("no value".into()) }
}

impl OnceKind for LockAlone {
    type Joined = (&'static Board, Role);

    fn join(board: &'static Board, role: Role) -> Self::Joined {
        (board, role)
    }

    fn come(
        &(board, role): &Self::Joined,
        mine: Pair,
        inside: impl FnOnce(bool) -> bool,
    ) -> Result<Option<Pair>, String> {
        let (once, me) = (once(board), role.owner());
        let begun = once.begin(me, &Oracle(board), FOREVER).map_err(|refused| format!("{refused:?}"))?;
        let Some(acquired) = begun else { return read(board).map(Some) };
        if !inside(acquired == Acquired::OwnerDied) {
            return once.abandon(me).map(|()| None).map_err(|_| "not its turn".into());
        }
        let [first, second] = mine.map(u64::to_ne_bytes);
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&first);
        bytes[8..].copy_from_slice(&second);
        once.complete(me, &bytes).map(|()| Some(mine)).map_err(|_| "not its turn".into())
    }

    fn wait(&(board, role): &Self::Joined) -> Result<Pair, String> {
        once(board).wait(role.owner(), &Oracle(board), FOREVER).map_err(|refused| format!("{refused:?}"))?;
        read(board)
    }

    fn recover(&(board, _): &Self::Joined, dead: Role) {
        mutex::recover(once(board).lock(), dead.id(), &Oracle(board));
    }

    fn completed(board: &'static Board) -> bool {
        once(board).is_completed()
    }

    fn sound(&(board, _): &Self::Joined, value: Pair) -> bool {
        read(board) == Ok(value)
    }

    fn digest(board: &'static Board) -> Digest {
        Digest::new().words(&board.arena[..4])
    }
}
