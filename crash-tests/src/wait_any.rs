//! Waits for one of several, by victims: they acquire a lock that they wait for among other things ([`ApiWaitAny`], in
//! all scenarios of [`locks`](crate::locks), with survivors that wait for the lock alone), and they look and leave:
//!
//! | name | the victim |
//! |---|---|
//! | leaves | is woken by the holder's unlock, with a survivor asleep behind it; takes nothing; is killed on its way out, or not at all |
//!
//! If it is not killed, nobody recovers anybody: the survivor has the lock because the wake-up was handed on to it.

use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use ringfence::layout::mutex::LockWord;
use ringfence::raw::eventcount::Announced;
use ringfence::raw::wait_any::{Awaited, Waitable, wait_any};
use ringfence::{LockError, Mutex, MutexGuard, Queue, Segment, WaitAny};

use crate::api::{digest, fresh_segment, in_mutex, join, place};
use crate::board::{Board, Cue, Digest, Oracle, Role};
use crate::locks::{Entry, FOREVER, LockKind, Raw, Shipped, Staged, end_state, holder, judge, sleeper, stage};
use crate::report::{Class, Outcome};
use crate::scenario::{Options, Point, Scenario, explore, to_sleep};
use crate::step::{Stop, Walk, marker};

/// `Mutex<[u64; 2]>`: who is killed waits for it or for a queue, and then tries; whoever judges just locks.
#[derive(Debug)]
pub struct ApiWaitAny;

/// What a process needs for that.
#[derive(Debug)]
pub struct Joined {
    segment: Segment,
    mutex: Mutex<[u64; 2]>,
    queue: Queue<u64>,
    role: Role,
}

impl Joined {
    fn wait(&self) -> Result<u64, String> {
        let wait = WaitAny::new([self.mutex.unlocked(), self.queue.readable()]).map_err(|error| error.to_string())?;
        wait.wait().map(|ready| ready.bits()).map_err(|error| error.to_string())
    }

    fn lock(&self) -> Result<MutexGuard<'_, [u64; 2]>, LockError<MutexGuard<'_, [u64; 2]>>> {
        if !matches!(self.role, Role::Victim | Role::Second | Role::Third | Role::Barger) {
            return self.mutex.lock();
        }
        loop {
            match self.mutex.try_lock() {
                Err(LockError::WouldBlock) if self.wait().is_ok() => {}
                tried => return tried,
            }
        }
    }
}

impl LockKind for ApiWaitAny {
    type Joined = Joined;

    const NEVER_TORN: bool = true;

    fn reset(board: &'static Board) {
        fresh_segment(board, |segment| {
            let _ = Mutex::create(segment, "warm", 0_u64).expect("room for a mutex");
            let _ = Mutex::create(segment, "pair", [0_u64; 2]).expect("room for a mutex");
            let _ = Queue::<u64>::create(segment, "queue", 1).expect("room for a queue");
        });
    }

    fn join(board: &'static Board, role: Role) -> Joined {
        let segment = join(board);
        // The thread's registration is a scenario of its own.
        drop(Mutex::<u64>::open(&segment, "warm").expect("it is there").lock());
        let mutex = Mutex::open(&segment, "pair").expect("it is there");
        let queue = Queue::open(&segment, "queue").expect("it is there");
        Joined { segment, mutex, queue, role }
    }

    fn critical(joined: &mut Joined, cue: &Cue, inside: impl FnOnce(Entry)) -> Result<u64, String> {
        in_mutex(cue, inside, || joined.lock())
    }

    fn recover(joined: &mut Joined, _: Role) {
        joined.segment.recover().expect("recovery is possible");
    }

    fn place(joined: &Joined, pid: i32) -> Option<u64> {
        place(&joined.segment, pid)
    }

    fn digest(board: &'static Board) -> Digest {
        digest(board)
    }
}

/// A lock that can be looked at.
pub trait Looks: LockKind {
    /// Waits until it is free, or something else is, and takes nothing.
    fn look(joined: &mut Self::Joined);
}

impl Looks for ApiWaitAny {
    fn look(joined: &mut Joined) {
        joined.wait().expect("it can be waited for");
    }
}

/// The library's lock word, and another that is never free; with `KEEPS` the flaw: a wake-up is not handed on.
#[derive(Debug)]
pub struct RawLooks<const KEEPS: bool>;

impl<const KEEPS: bool> LockKind for RawLooks<KEEPS> {
    type Joined = (&'static Board, Role);

    fn join(board: &'static Board, role: Role) -> Self::Joined {
        board.arena[1].store(Role::Script.owner().bits().into(), Relaxed);
        (board, role)
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

struct Keeps<'a>(Awaited<'a, Oracle>);

impl Waitable for Keeps<'_> {
    fn seems_ready(&self) -> bool {
        self.0.seems_ready()
    }

    fn is_ready(&self) -> bool {
        self.0.is_ready()
    }

    fn announce(&self) -> Option<Announced<'_>> {
        self.0.announce()
    }
}

impl<const KEEPS: bool> Looks for RawLooks<KEEPS> {
    fn look(&mut (board, role): &mut Self::Joined) {
        let peers = Oracle(board);
        let lock = |at: usize| {
            // SAFETY: a word of the arena, which is atomics all through.
            let word: &LockWord = unsafe { &*(&raw const board.arena[at]).cast() };
            Awaited::Lock { word, me: role.owner(), peers: &peers }
        };
        let found = if KEEPS {
            wait_any(&[lock(0), lock(1)].map(Keeps), FOREVER)
        } else {
            wait_any(&[lock(0), lock(1)], FOREVER)
        };
        assert_eq!(found, Ok(1), "the other lock is never free");
    }
}

/// All of them.
pub fn scenarios() -> Vec<Scenario> {
    let mut all = crate::locks::scenarios::<ApiWaitAny>("WaitAny");
    for cap in [true, false] {
        all.push(leaves::<RawLooks<false>>("wait any", cap));
        all.push(leaves::<ApiWaitAny>("WaitAny", cap));
    }
    all
}

/// The control: it must fail.
pub fn control() -> Scenario {
    leaves::<RawLooks<true>>("broken: keeps its wake-up", false).must_fail(Class::Stuck)
}

fn leaves<K: Looks>(name: &str, cap: bool) -> Scenario {
    let suffix = if cap { "" } else { " cap-off" };
    Scenario::new(format!("{name} leaves{suffix}"), move |options| run::<K>(cap, options))
}

fn run<K: Looks>(cap: bool, options: &Options) -> Outcome {
    let board = Board::new();
    board.uncapped.store(u32::from(!cap), Relaxed);
    explore(board, 1, options, |point| {
        K::reset(board);
        if staged::<K>(point, cap).is_none() {
            point.skip();
        }
    })
}

fn staged<K: Looks>(point: &mut Point<'_>, cap: bool) -> Option<()> {
    let board = point.board;
    let holds = holder::<K>(point, Role::Holder);
    let holder_cue = board.cue(Role::Holder);
    holder_cue.ready.pass(point.limit).then_some(())?;
    let cue = board.cue(Role::Victim);
    let has_left = || cue.stage.load(Acquire) == stage::LOOKED;
    let mut victim = point.victim(Role::Victim, move |cue| {
        let mut joined = K::join(board, Role::Victim);
        marker();
        K::look(&mut joined);
        cue.stage.store(stage::LOOKED, Release);
    })?;
    to_sleep(&mut victim, has_left).then_some(())?;
    let survivor = sleeper::<K>(point)?;
    holder_cue.go.open();
    holder_cue.done.pass(point.limit).then_some(())?;
    // The kernel wakes the oldest sleeper, and that is the victim, unless a capped survivor was just about.
    if victim.awaken() != Stop::Trapped {
        return None;
    }
    let mut staged = Staged {
        survivor: Some(survivor),
        before: false,
        killed_at: crate::os::now_ns(),
        dead: vec![],
        must_tell: false,
        cast: vec![holds],
    };
    if point.walk(0, &mut victim, has_left) == Walk::Finished {
        // It lives on, and does nothing any more.
        end_state::<K>(point);
        judge::<K>(point, staged, cap);
        drop(victim);
        return Some(());
    }
    staged.before = board.cue(Role::Survivor).stage.load(Acquire) >= stage::INSIDE;
    staged.killed_at = point.bury(Role::Victim, victim);
    staged.dead = vec![Role::Victim];
    end_state::<K>(point);
    judge::<K>(point, staged, cap);
    Some(())
}
