//! `RwLock` in the scenarios of locks: around the board's pair, which a reader finds whole and a writer changes.
//!
//! | kind | a critical section |
//! |---|---|
//! | [`ApiRwLock`] | writes, and goes on as a reader |
//! | [`ApiUpgrade`] | reads as the upgradable reader, becomes the writer, goes back |
//! | [`ApiReader`] | of a victim: reads; of the others: writes |
//! | [`ApiGate`] | of who is judged: reads, and writes afterwards; of the others: writes. So it sleeps at the gate |
//!
//! The judge enters twice as a writer at the end: as long as anything counts as a reader or a writer, that hangs.

use std::sync::atomic::Ordering::{Relaxed, Release};

use ringfence::{LockError, RwLock, RwLockWriteGuard, Segment};

use crate::api::{digest, fresh_segment, join};
use crate::board::{Board, Cue, Digest, Role};
use crate::locks::{Entry, LockKind, stage};

/// What a process of the scenarios has.
#[derive(Debug)]
pub struct Joined {
    segment: Segment,
    lock: RwLock<()>,
    board: &'static Board,
    role: Role,
}

fn reset(board: &'static Board) {
    fresh_segment(board, |segment| {
        let _ = RwLock::create(segment, "warm", ()).expect("room for a lock");
        let _ = RwLock::create(segment, "lock", ()).expect("room for a lock");
    });
}

fn joined(board: &'static Board, role: Role) -> Joined {
    let segment = join(board);
    // The thread's registration is a scenario of its own.
    drop(RwLock::<()>::open(&segment, "warm").expect("it is there").read());
    let lock = RwLock::open(&segment, "lock").expect("it is there");
    Joined { segment, lock, board, role }
}

/// The guard, and whether a death was told.
fn told<G>(outcome: Result<G, LockError<G>>) -> Result<(G, bool), String> {
    match outcome {
        Ok(guard) => Ok((guard, false)),
        Err(LockError::OwnerDied(guard)) => Ok((guard, true)),
        Err(error) => Err(error.to_string()),
    }
}

impl Joined {
    fn pair(&self) -> [u64; 2] {
        self.board.pair.each_ref().map(|word| word.load(Relaxed))
    }

    /// What a reader sees.
    fn look(&self, died: bool) -> Result<(), String> {
        let [first, second] = self.pair();
        if died || first == second { Ok(()) } else { Err("a reader beside a writer, or not told".into()) }
    }

    /// What a writer does.
    fn change(&self, guard: &mut RwLockWriteGuard<'_, ()>, died: bool, cue: &Cue, inside: impl FnOnce(Entry)) -> u64 {
        let [first, second] = &self.board.pair;
        cue.stage.store(stage::INSIDE, Release);
        inside(Entry { died, found: self.pair() });
        if died {
            second.store(first.load(Relaxed), Relaxed);
        }
        let count = first.load(Relaxed) + 1;
        first.store(count, Relaxed);
        if died {
            guard.make_consistent();
        }
        second.store(count, Relaxed);
        cue.stage.store(stage::LEAVING, Release);
        count
    }

    fn write(&self, cue: &Cue, inside: impl FnOnce(Entry)) -> Result<u64, String> {
        cue.stage.store(stage::ASKED, Release);
        self.write_after(cue, inside)
    }

    /// The same by one who has asked already.
    fn write_after(&self, cue: &Cue, inside: impl FnOnce(Entry)) -> Result<u64, String> {
        let (mut guard, died) = told(self.lock.write())?;
        let count = self.change(&mut guard, died, cue, inside);
        let guard = guard.downgrade().map_err(|error| error.to_string())?;
        self.look(false)?;
        drop(guard);
        cue.stage.store(stage::OUT, Release);
        Ok(count)
    }
}

/// Writes, and becomes a reader.
#[derive(Debug)]
pub struct ApiRwLock;

impl LockKind for ApiRwLock {
    type Joined = Joined;

    fn reset(board: &'static Board) {
        reset(board);
    }

    fn join(board: &'static Board, role: Role) -> Joined {
        joined(board, role)
    }

    fn critical(joined: &mut Joined, cue: &Cue, inside: impl FnOnce(Entry)) -> Result<u64, String> {
        joined.write(cue, inside)
    }

    fn recover(joined: &mut Joined, _: Role) {
        joined.segment.recover().expect("recovery is possible");
    }

    fn digest(board: &'static Board) -> Digest {
        digest(board)
    }
}

/// Upgrades.
#[derive(Debug)]
pub struct ApiUpgrade;

impl LockKind for ApiUpgrade {
    type Joined = Joined;

    fn reset(board: &'static Board) {
        reset(board);
    }

    fn join(board: &'static Board, role: Role) -> Joined {
        joined(board, role)
    }

    fn critical(joined: &mut Joined, cue: &Cue, inside: impl FnOnce(Entry)) -> Result<u64, String> {
        cue.stage.store(stage::ASKED, Release);
        let (guard, died) = told(joined.lock.upgradable_read())?;
        joined.look(died)?;
        let mut guard = guard.upgrade().map_err(|error| error.to_string())?;
        let count = joined.change(&mut guard, died, cue, inside);
        let guard = guard.downgrade_to_upgradable().map_err(|error| error.to_string())?;
        joined.look(false)?;
        drop(guard);
        cue.stage.store(stage::OUT, Release);
        Ok(count)
    }

    fn recover(joined: &mut Joined, _: Role) {
        joined.segment.recover().expect("recovery is possible");
    }

    fn digest(board: &'static Board) -> Digest {
        digest(board)
    }
}

/// Victims read.
#[derive(Debug)]
pub struct ApiReader;

impl LockKind for ApiReader {
    type Joined = Joined;

    fn reset(board: &'static Board) {
        reset(board);
    }

    fn join(board: &'static Board, role: Role) -> Joined {
        joined(board, role)
    }

    /// Nobody gets in before a reader that has been woken.
    const BARGERS: bool = false;

    fn changes(role: Role) -> bool {
        !matches!(role, Role::Victim | Role::Second | Role::Third)
    }

    fn critical(joined: &mut Joined, cue: &Cue, inside: impl FnOnce(Entry)) -> Result<u64, String> {
        if Self::changes(joined.role) {
            return joined.write(cue, inside);
        }
        cue.stage.store(stage::ASKED, Release);
        let (guard, died) = told(joined.lock.read())?;
        cue.stage.store(stage::INSIDE, Release);
        inside(Entry { died, found: joined.pair() });
        joined.look(died)?;
        cue.stage.store(stage::LEAVING, Release);
        drop(guard);
        cue.stage.store(stage::OUT, Release);
        Ok(0)
    }

    fn recover(joined: &mut Joined, _: Role) {
        joined.segment.recover().expect("recovery is possible");
    }

    fn digest(board: &'static Board) -> Digest {
        digest(board)
    }
}

/// Who is judged reads first.
#[derive(Debug)]
pub struct ApiGate;

impl LockKind for ApiGate {
    type Joined = Joined;

    fn reset(board: &'static Board) {
        reset(board);
    }

    fn join(board: &'static Board, role: Role) -> Joined {
        joined(board, role)
    }

    /// Nobody gets in before a reader that waits.
    const BARGERS: bool = false;

    fn critical(joined: &mut Joined, cue: &Cue, inside: impl FnOnce(Entry)) -> Result<u64, String> {
        if !matches!(joined.role, Role::Survivor | Role::Fresh) {
            return joined.write(cue, inside);
        }
        cue.stage.store(stage::ASKED, Release);
        let (guard, died) = told(joined.lock.read())?;
        joined.look(died)?;
        drop(guard);
        // A reader cannot make it consistent: it is told once more, as the writer that can. It may be of another death.
        joined.write_after(cue, |entry| inside(Entry { died: died || entry.died, ..entry }))
    }

    fn recover(joined: &mut Joined, _: Role) {
        joined.segment.recover().expect("recovery is possible");
    }

    fn digest(board: &'static Board) -> Digest {
        digest(board)
    }
}
