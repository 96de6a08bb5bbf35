//! A recoverer that is stopped, not killed: what it decided on is old when it goes on.
//!
//! 1. A holder dies in the middle of an operation.
//! 2. The victim recovers it, and is stopped after k instructions.
//! 3. A bystander recovers the same dead, whose place is free then.
//! 4. A newcomer takes the place, does a whole operation, and is stopped in the middle of another: it owns something.
//! 5. The victim goes on to its end. Nothing of the newcomer's may change.
//! 6. A contender waits for what the newcomer owns, the newcomer ends its operation, and the contender gets it.
//!
//! Where the middle of an operation is, the bytes say: behind the first instruction that changes any; of a lock, who is inside.

use std::marker::PhantomData;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use crate::api::{ApiChannel, ApiMutex, ApiQueue, ApiReentrant, ApiSemaphore};
use crate::board::{Board, Cue, Digest, Role};
use crate::fifos::{Fifo, NOW};
use crate::locks::{FOREVER, LockKind, Raw, stage};
use crate::os::LIMIT;
use crate::report::Class;
use crate::rwlock::{ApiRwLock, ApiUpgrade};
use crate::scenario::{Options, Point, Scenario, explore, park};
use crate::step::{Stop, Victim, marker};
use crate::{channel, locks, queue, work_queue};

/// What there is to work with.
pub trait Work: 'static {
    /// What a process needs.
    type Joined;
    /// A fresh one.
    fn reset(board: &'static Board);
    /// Joins.
    fn join(board: &'static Board, role: Role) -> Self::Joined;
    /// An operation from its beginning to its end.
    fn whole(joined: &mut Self::Joined, cue: &Cue);
    /// The operation that somebody is stopped or dies in; says into the cue how it went.
    fn operate(joined: &mut Self::Joined, cue: &Cue);
    /// Waits for what `operate` holds; says into the cue how it went.
    fn contend(joined: &mut Self::Joined, cue: &Cue);
    /// What a participant does for the dead.
    fn recover(joined: &mut Self::Joined, dead: Role);
    /// The place of a process, or of everybody where there are none.
    fn place(joined: &Self::Joined, pid: i32) -> Option<u64>;
    /// The state.
    fn digest(board: &'static Board) -> Digest;
    /// Whether somebody is in the middle of its operation, before which the state was that.
    fn amid(board: &'static Board, _role: Role, before: u64) -> bool {
        Self::digest(board).value() != before
    }
    /// Whether what newcomer and contender said is right.
    fn verdict(newcomer: &Cue, contender: &Cue) -> Result<(), (Class, String)>;
}

/// A lock to work with.
#[derive(Debug)]
pub struct OfLock<K>(PhantomData<K>);

/// A critical section; a digit more of the cue's result says 3 if a death was told, else 2.
fn enter<K: LockKind>(joined: &mut K::Joined, cue: &Cue) {
    let mut told = 0;
    let count = K::critical(joined, cue, |entry| told = u64::from(entry.died)).expect("the lock can be had");
    cue.value.store(count, Relaxed);
    cue.result.store(cue.result.load(Relaxed) << 4 | 2 | told, Relaxed);
}

impl<K: LockKind> Work for OfLock<K> {
    type Joined = K::Joined;

    fn reset(board: &'static Board) {
        K::reset(board);
    }

    fn join(board: &'static Board, role: Role) -> K::Joined {
        K::join(board, role)
    }

    fn whole(joined: &mut K::Joined, cue: &Cue) {
        enter::<K>(joined, cue);
    }

    fn operate(joined: &mut K::Joined, cue: &Cue) {
        enter::<K>(joined, cue);
    }

    fn contend(joined: &mut K::Joined, cue: &Cue) {
        enter::<K>(joined, cue);
    }

    fn recover(joined: &mut K::Joined, dead: Role) {
        K::recover(joined, dead);
    }

    fn place(joined: &K::Joined, pid: i32) -> Option<u64> {
        K::place(joined, pid)
    }

    fn digest(board: &'static Board) -> Digest {
        K::digest(board)
    }

    fn amid(board: &'static Board, role: Role, _: u64) -> bool {
        board.cue(role).stage.load(Acquire) == stage::INSIDE
    }

    fn verdict(newcomer: &Cue, contender: &Cue) -> Result<(), (Class, String)> {
        let told = (newcomer.result.load(Relaxed), contender.result.load(Relaxed));
        let count = contender.value.load(Relaxed);
        match told {
            (0x32, 2) if count == 3 => Ok(()),
            (0x32, 2) => Err((Class::Lost, format!("{count} updates of 3"))),
            _ => Err((Class::Unreported, format!("newcomer and contender were told {told:x?}"))),
        }
    }
}

/// A queue to work with. With room for one message the newcomer is in the middle of a push into the dead one's slot; with
/// room for two, a message of its own lies there.
#[derive(Debug)]
pub struct OfFifo<F, const CAPACITY: usize>(PhantomData<F>);

impl<F: Fifo, const CAPACITY: usize> Work for OfFifo<F, CAPACITY> {
    type Joined = F::Joined;

    fn reset(board: &'static Board) {
        F::reset(board, CAPACITY);
    }

    fn join(board: &'static Board, role: Role) -> F::Joined {
        F::join(board, CAPACITY, role)
    }

    fn whole(joined: &mut F::Joined, _: &Cue) {
        assert_eq!((F::push(joined, 6, NOW), F::pop(joined, NOW)), (Ok(()), Ok(6)));
        assert!((1..CAPACITY).all(|_| F::push(joined, 7, NOW).is_ok()));
    }

    fn operate(joined: &mut F::Joined, cue: &Cue) {
        cue.result.store(F::push(joined, 8, NOW).map_or_else(|no| no.code(), |()| 1), Relaxed);
    }

    fn contend(joined: &mut F::Joined, cue: &Cue) {
        // Refused, or it comes out too early.
        let _ = F::push(joined, 9, NOW);
        let messages = (0..CAPACITY).map(|_| F::pop(joined, FOREVER).unwrap_or_else(|no| no.code()));
        cue.value.store(messages.fold(0, |all, message| all << 8 | message), Relaxed);
        let filled = (0..CAPACITY).all(|_| F::push(joined, 9, NOW).is_ok());
        let drained = (0..CAPACITY).all(|_| F::pop(joined, NOW) == Ok(9));
        cue.result.store(u64::from(filled && drained && F::pop(joined, NOW).is_err()), Relaxed);
    }

    fn recover(joined: &mut F::Joined, dead: Role) {
        F::recover(joined, dead);
    }

    fn place(joined: &F::Joined, pid: i32) -> Option<u64> {
        F::place(joined, pid)
    }

    fn digest(board: &'static Board) -> Digest {
        F::digest(board)
    }

    fn verdict(newcomer: &Cue, contender: &Cue) -> Result<(), (Class, String)> {
        let (pushed, popped) = (newcomer.result.load(Relaxed), contender.value.load(Relaxed));
        let expected = (1..CAPACITY).fold(0, |all, _| all << 8 | 7) << 8 | 8;
        if (pushed, popped) != (1, expected) {
            return Err((Class::Lost, format!("the push gave {pushed}, the pops {popped:#x}")));
        }
        if contender.result.load(Relaxed) == 1 { Ok(()) } else { Err((Class::Leaked, "room".into())) }
    }
}

/// All of them.
pub fn scenarios() -> Vec<Scenario> {
    vec![
        scenario::<OfLock<Raw<locks::Shipped>>>("lock"),
        scenario::<OfFifo<queue::Shipped, 1>>("queue[1]"),
        scenario::<OfFifo<queue::Shipped, 2>>("queue[2]"),
        scenario::<OfFifo<channel::Shipped, 1>>("channel[1]"),
        scenario::<OfFifo<channel::Shipped, 2>>("channel[2]"),
        scenario::<OfFifo<work_queue::Shipped, 1>>("work queue[1]"),
        scenario::<OfFifo<work_queue::Shipped, 2>>("work queue[2]"),
        scenario::<OfLock<ApiMutex>>("Mutex"),
        scenario::<OfLock<ApiReentrant>>("ReentrantMutex"),
        scenario::<OfLock<ApiSemaphore>>("Semaphore"),
        scenario::<OfLock<ApiRwLock>>("RwLock"),
        scenario::<OfLock<ApiUpgrade>>("RwLock upgrade"),
        scenario::<OfFifo<ApiQueue, 2>>("Queue[2]"),
        scenario::<OfFifo<ApiChannel, 2>>("Channel[2]"),
        scenario::<OfFifo<work_queue::ApiWorkQueue, 2>>("WorkQueue[2]"),
    ]
}

/// One of them.
pub fn scenario<W: Work>(name: &str) -> Scenario {
    Scenario::new(format!("{name} stopped recoverer"), |options| {
        let board = Board::new();
        explore(board, 1, &Options { alone: true, ..*options }, |point| {
            W::reset(board);
            if let Err((class, why)) = staged::<W>(point) {
                point.fail(class, why);
            }
        })
    })
}

/// Starts somebody who works, and stops it in the middle.
fn midway<W: Work>(point: &mut Point<'_>, role: Role, whole: bool) -> Result<Victim, (Class, String)> {
    let board = point.board;
    let begun = point.victim(role, |cue| {
        let mut joined = W::join(board, role);
        if whole {
            W::whole(&mut joined, cue);
            cue.stage.store(0, Release);
        }
        marker();
        W::operate(&mut joined, cue);
        cue.done.open();
        park();
    });
    let mut worker = begun.ok_or((Class::Stuck, format!("the {role:?} cannot work")))?;
    let before = W::digest(board).value();
    while !W::amid(board, role, before) {
        match worker.step() {
            Stop::Trapped if worker.steps() < 5000 => {}
            stop => return Err((Class::Stuck, format!("the {role:?} in the middle: {stop:?}"))),
        }
    }
    Ok(worker)
}

fn staged<W: Work>(point: &mut Point<'_>) -> Result<(), (Class, String)> {
    let (board, limit) = (point.board, point.limit);
    let stuck = |what: &str| (Class::Stuck, what.to_string());
    let holder = midway::<W>(point, Role::Holder, false)?;
    let begun = point.victim(Role::Victim, |cue| {
        let mut joined = W::join(board, Role::Victim);
        marker();
        W::recover(&mut joined, Role::Holder);
        cue.stage.store(1, Release);
        cue.done.open();
        park();
    });
    let mut victim = begun.ok_or(stuck("no victim"))?;
    let cue = board.cue(Role::Bystander);
    let _bystander = point.play(Role::Bystander, |cue| {
        let mut joined = W::join(board, Role::Bystander);
        cue.value.store(W::place(&joined, holder.pid()).unwrap_or(0), Relaxed);
        cue.ready.open();
        cue.go.pass(LIMIT);
        W::recover(&mut joined, Role::Holder);
        cue.done.open();
        park();
    });
    cue.ready.pass(limit).then_some(()).ok_or(stuck("no bystander"))?;
    point.bury(Role::Holder, holder);

    point.walk(0, &mut victim, || board.cue(Role::Victim).stage.load(Acquire) == 1);
    point.outcome.states.insert(W::digest(board).value());
    cue.go.open();
    cue.done.pass(limit).then_some(()).ok_or(stuck("a recovery beside one that is stopped"))?;
    board.revive(Role::Holder);
    let newcomer = midway::<W>(point, Role::Newcomer, true)?;

    victim.release();
    board.cue(Role::Victim).done.pass(limit).then_some(()).ok_or(stuck("the recovery that was stopped"))?;
    let mut contender = point.play(Role::Survivor, |cue| {
        let mut joined = W::join(board, Role::Survivor);
        let places = [newcomer.pid(), victim.pid()].map(|pid| W::place(&joined, pid));
        board.note(u64::from(places[1].is_some()) << 32 | places[0].unwrap_or(u64::MAX >> 40));
        W::contend(&mut joined, cue);
        cue.done.open();
        park();
    });
    if !contender.settles(limit) {
        return Err((Class::Torn, "somebody else has what the newcomer holds".into()));
    }
    newcomer.release();
    for role in [Role::Newcomer, Role::Survivor] {
        board.cue(role).done.pass(limit).then_some(()).ok_or((Class::Stuck, format!("the {role:?} at the end")))?;
    }
    let place = 1 << 32 | cue.value.load(Relaxed);
    if board.log[0].load(Relaxed) != place {
        return Err((Class::Leaked, format!("places {:#x}, expected {place:#x}", board.log[0].load(Relaxed))));
    }
    W::verdict(board.cue(Role::Newcomer), board.cue(Role::Survivor))
}
