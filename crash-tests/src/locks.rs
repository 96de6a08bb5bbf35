//! Scenarios on locks.
//!
//! | name | the victim is killed |
//! |---|---|
//! | free | anywhere in lock, work, unlock of a free lock |
//! | contended | from the acquisition on, with a survivor asleep on the lock |
//! | long-sleeper | a few times while the survivor has slept for so long that its naps are at the cap |
//! | woken | as a waiter that the holder's unlock has just woken, with a survivor asleep behind it |
//! | barger | the same, while somebody else has taken the lock before the woken waiter could |
//! | barger-dies | and that one is killed too |
//! | holder-dies | as a waiter woken by the holder's death, with a survivor asleep behind it |
//! | recoverer | while it recovers a dead holder, with a survivor asleep |
//! | two, three | one after another, with a survivor asleep from the first on |
//!
//! Each is played with capped sleeps, and with the cap off: then a bystander recovers each of the dead once, and
//! whoever still sleeps lost its wake-up to the protocol.

use std::marker::PhantomData;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::time::Duration;

use ringfence::layout::mutex::LockWord;
use ringfence::raw::mutex::{self, Acquired};
use ringfence::sys::nap::{Deadline, Wait};

use crate::board::{Board, Cue, Digest, Oracle, Role};
use crate::os::{Child, now_ns};
use crate::report::Class;
use crate::scenario::{Options, Point, Scenario, explore, park, to_sleep};
use crate::step::{Stop, Unit, Victim, Walk, marker};

/// Waits for ever.
pub const FOREVER: Wait = Wait { deadline: Deadline::Forever, interruptible: false };

/// Stages of a critical section, in [`Cue::stage`].
pub mod stage {
    /// Asked for the lock.
    pub const ASKED: u32 = 1;
    /// Has it.
    pub const INSIDE: u32 = 2;
    /// Gives it back.
    pub const LEAVING: u32 = 3;
    /// Has given it back.
    pub const OUT: u32 = 4;
    /// Has recovered the dead.
    pub const RECOVERED: u32 = 5;
    /// Has looked, and taken nothing.
    pub const LOOKED: u32 = 6;
}

/// How somebody got into a critical section.
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    /// Told that the last owner died.
    pub died: bool,
    /// The data, as found.
    pub found: [u64; 2],
}

/// A lock under test.
pub trait LockKind: 'static {
    /// What a process needs to use it.
    type Joined;
    /// A fresh lock. The board is cleared. Called in the rig's own process.
    fn reset(_board: &'static Board) {}
    /// Joins.
    fn join(board: &'static Board, role: Role) -> Self::Joined;
    /// Lock; `inside`, which marks the stages; repair if somebody died; add one to both; unlock.
    fn critical(joined: &mut Self::Joined, cue: &Cue, inside: impl FnOnce(Entry)) -> Result<u64, String>;
    /// What a participant does for the dead.
    fn recover(joined: &mut Self::Joined, dead: Role);
    /// The place of a process, if it has one; 0 where there are no places.
    fn place(_joined: &Self::Joined, _pid: i32) -> Option<u64> {
        Some(0)
    }
    /// The state after a kill.
    fn digest(board: &'static Board) -> Digest;
    /// Whether the data is whole even when its owner died.
    const NEVER_TORN: bool = false;
    /// Whether somebody may take the lock before a waiter that was woken.
    const BARGERS: bool = true;
    /// Whether whoever plays that role changes the data, and is told of when it dies; else it looks only.
    fn changes(_role: Role) -> bool {
        true
    }
}

/// A lock that is a few words of the arena.
pub trait RawLock: 'static {
    /// Acquires; whether the last owner died.
    fn lock(board: &'static Board, role: Role) -> Result<bool, String>;
    /// Releases.
    fn unlock(board: &'static Board, role: Role);
    /// After `lock` told of a death.
    fn make_consistent(board: &'static Board, role: Role);
    /// Participant `dead` is dead.
    fn recover(board: &'static Board, role: Role, dead: Role);
}

/// [`LockKind`] for a [`RawLock`], which protects the board's pair.
#[derive(Debug)]
pub struct Raw<L>(PhantomData<L>);

impl<L: RawLock> LockKind for Raw<L> {
    type Joined = (&'static Board, Role);

    fn join(board: &'static Board, role: Role) -> Self::Joined {
        (board, role)
    }

    fn critical(&mut (board, role): &mut Self::Joined, cue: &Cue, inside: impl FnOnce(Entry)) -> Result<u64, String> {
        let [first, second] = &board.pair;
        cue.stage.store(stage::ASKED, Release);
        let died = L::lock(board, role)?;
        cue.stage.store(stage::INSIDE, Release);
        let found = [first.load(Relaxed), second.load(Relaxed)];
        inside(Entry { died, found });
        if died {
            second.store(first.load(Relaxed), Relaxed);
            L::make_consistent(board, role);
        }
        let count = first.load(Relaxed) + 1;
        first.store(count, Relaxed);
        second.store(count, Relaxed);
        cue.stage.store(stage::LEAVING, Release);
        L::unlock(board, role);
        cue.stage.store(stage::OUT, Release);
        Ok(count)
    }

    fn recover(&mut (board, role): &mut Self::Joined, dead: Role) {
        L::recover(board, role, dead);
    }

    fn digest(board: &'static Board) -> Digest {
        Digest::new().words(&board.arena[..8]).words(&board.pair)
    }
}

/// The library's lock word.
#[derive(Debug)]
pub struct Shipped;

impl Shipped {
    /// The lock.
    pub fn word(board: &'static Board) -> &'static LockWord {
        // SAFETY: the first bytes of the arena are a lock word, and zero is a free one.
        unsafe { &*board.arena.as_ptr().cast() }
    }
}

impl RawLock for Shipped {
    fn lock(board: &'static Board, role: Role) -> Result<bool, String> {
        mutex::lock(Self::word(board), role.owner(), &Oracle(board), FOREVER)
            .map(|acquired| acquired == Acquired::OwnerDied)
            .map_err(|refused| format!("{refused:?}"))
    }

    fn unlock(board: &'static Board, role: Role) {
        mutex::unlock(Self::word(board), role.owner()).expect("the owner unlocks");
    }

    fn make_consistent(board: &'static Board, role: Role) {
        mutex::make_consistent(Self::word(board), role.owner()).expect("the owner repairs");
    }

    fn recover(board: &'static Board, _: Role, dead: Role) {
        mutex::recover(Self::word(board), dead.id(), &Oracle(board));
    }
}

/// What happens around the victim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // see the table above
pub enum Case {
    Free,
    Contended,
    LongSleeper,
    Woken,
    Barger,
    BargerDies,
    HolderDies,
    Recoverer,
    Two,
    Three,
}

/// All cases with their names.
pub const CASES: [(Case, &str); 10] = [
    (Case::Free, "free"),
    (Case::Contended, "contended"),
    (Case::LongSleeper, "long-sleeper"),
    (Case::Woken, "woken"),
    (Case::Barger, "barger"),
    (Case::BargerDies, "barger-dies"),
    (Case::HolderDies, "holder-dies"),
    (Case::Recoverer, "recoverer"),
    (Case::Two, "two"),
    (Case::Three, "three"),
];

/// All scenarios of a lock, with the cap on and off.
pub fn scenarios<K: LockKind>(name: &'static str) -> Vec<Scenario> {
    let played = |case: Case| K::BARGERS || !matches!(case, Case::Barger | Case::BargerDies);
    let with = |cap: bool| {
        CASES
            .into_iter()
            .filter(move |(case, _)| played(*case))
            .map(move |(case, label)| scenario::<K>(name, case, label, cap))
    };
    with(true).chain(with(false)).collect()
}

/// One scenario of a lock.
pub fn scenario<K: LockKind>(name: &str, case: Case, label: &str, cap: bool) -> Scenario {
    let suffix = if cap { "" } else { " cap-off" };
    Scenario::new(format!("{name} {label}{suffix}"), move |options| run::<K>(case, cap, options))
}

fn run<K: LockKind>(case: Case, cap: bool, options: &Options) -> crate::report::Outcome {
    let board = Board::new();
    board.uncapped.store(u32::from(!cap), Relaxed);
    let victims = match case {
        Case::Two => 2,
        Case::Three => 3,
        _ => 1,
    };
    let mut options = Options { alone: matches!(case, Case::Free | Case::Recoverer), ..*options };
    if case == Case::LongSleeper {
        // What it costs is time: the delay of a survivor whose naps have grown.
        options.budget = Some(options.budget.map_or(40, |budget| (budget / 6).max(2)));
    }
    explore(board, victims, &options, |point| {
        K::reset(board);
        let staged = match case {
            Case::Free => free::<K>(point),
            Case::Contended | Case::LongSleeper | Case::Two | Case::Three => contended::<K>(point, case, victims),
            Case::Recoverer => recoverer::<K>(point, cap),
            _ => woken::<K>(point, case),
        };
        match staged {
            Some(staged) => judge::<K>(point, staged, cap),
            None => point.skip(),
        }
    })
}

/// What is left after the kill.
pub(crate) struct Staged {
    pub(crate) survivor: Option<Child>,
    /// The survivor had the lock before the (last) kill, so another one is judged.
    pub(crate) before: bool,
    pub(crate) killed_at: u64,
    /// For the bystander, in order.
    pub(crate) dead: Vec<Role>,
    /// The next to lock must be told.
    pub(crate) must_tell: bool,
    /// Others to let go or to keep until the end.
    pub(crate) cast: Vec<Child>,
}

fn section<K: LockKind>(board: &'static Board, role: Role) -> impl FnOnce(&'static Cue) {
    move |cue| {
        let mut joined = K::join(board, role);
        marker();
        let _ = K::critical(&mut joined, cue, |_| {});
    }
}

fn out(cue: &Cue) -> bool {
    cue.stage.load(Acquire) == stage::OUT
}

/// A process that enters and says how it went, and once more when it is told to go on.
fn survivor<K: LockKind>(point: &Point<'_>, role: Role) -> Child {
    let board = point.board;
    point.play(role, |cue| {
        let mut joined = K::join(board, role);
        cue.asked.store(now_ns(), Relaxed);
        let mut told = 0;
        for turn in 0..2 {
            let outcome = K::critical(&mut joined, cue, |entry| {
                if turn == 0 {
                    cue.got.store(now_ns(), Relaxed);
                }
                let torn = entry.found[0] != entry.found[1] && (!entry.died || K::NEVER_TORN);
                told |= u64::from(entry.died) << turn | u64::from(torn) << 4;
            });
            match outcome {
                Ok(count) => cue.value.store(count, Relaxed),
                Err(why) => {
                    eprintln!("refused: {why}");
                    told |= 1 << 8;
                }
            }
            cue.result.store(told, Relaxed);
            if turn == 0 {
                // Not by itself: a turn before the kill must not be taken for one after it.
                cue.done.open();
                cue.go.pass(crate::os::LIMIT);
            }
        }
        cue.ready.open();
    })
}

/// Starts the survivor and waits until it sleeps on the lock.
pub(crate) fn sleeper<K: LockKind>(point: &Point<'_>) -> Option<Child> {
    let mut child = survivor::<K>(point, Role::Survivor);
    child.settles(point.limit).then_some(child)
}

pub(crate) fn holder<K: LockKind>(point: &Point<'_>, role: Role) -> Child {
    let (board, limit) = (point.board, crate::os::LIMIT);
    point.play(role, move |cue| {
        let mut joined = K::join(board, role);
        let _ = K::critical(&mut joined, cue, |_| {
            cue.ready.open();
            cue.go.pass(limit);
        });
        cue.done.open();
        park();
    })
}

fn inside(cue: &Cue) -> bool {
    cue.stage.load(Acquire) >= stage::INSIDE
}

pub(crate) fn end_state<K: LockKind>(point: &mut Point<'_>) {
    let stages = point.board.cues[1..4]
        .iter()
        .fold(K::digest(point.board), |digest, cue| digest.word(cue.stage.load(Relaxed).into()));
    point.outcome.states.insert(stages.value());
}

fn free<K: LockKind>(point: &mut Point<'_>) -> Option<Staged> {
    let board = point.board;
    let cue = board.cue(Role::Victim);
    let mut victim = point.victim(Role::Victim, section::<K>(board, Role::Victim))?;
    point.walk(0, &mut victim, || out(cue));
    let must_tell = cue.stage.load(Acquire) == stage::INSIDE && K::changes(Role::Victim);
    let killed_at = point.bury(Role::Victim, victim);
    end_state::<K>(point);
    Some(Staged { survivor: None, before: false, killed_at, dead: vec![Role::Victim], must_tell, cast: vec![] })
}

/// Steps a victim up to its acquisition.
fn acquire<K: LockKind>(point: &mut Point<'_>) -> Option<Victim> {
    let board = point.board;
    let cue = board.cue(Role::Victim);
    let mut victim = point.victim(Role::Victim, section::<K>(board, Role::Victim))?;
    (victim.walk(Unit::Instruction, 100_000, || inside(cue)) == Walk::Finished).then_some(victim)
}

fn contended<K: LockKind>(point: &mut Point<'_>, case: Case, victims: usize) -> Option<Staged> {
    let board = point.board;
    let mut first = Some(acquire::<K>(point)?);
    let survivor = sleeper::<K>(point)?;
    if case == Case::LongSleeper {
        // Naps of 1, 2, 4 .. 64 ms are over, and then some: kills fall anywhere into the long ones.
        std::thread::sleep(Duration::from_millis(200 + point.outcome.points * 37 % 100));
    }
    let mut dead = vec![];
    let mut killed_at = 0;
    let mut before = false;
    let mut must_tell = false;
    for (nth, role) in [Role::Victim, Role::Second, Role::Third].into_iter().take(victims).enumerate() {
        let mut victim = match first.take() {
            Some(victim) => victim,
            None => point.victim(role, section::<K>(board, role))?,
        };
        let cue = board.cue(role);
        point.walk(nth, &mut victim, || out(cue));
        before = inside(board.cue(Role::Survivor));
        killed_at = point.bury(role, victim);
        dead.push(role);
        match cue.stage.load(Acquire) {
            stage::INSIDE if K::changes(role) => must_tell = true,
            // It may have taken the lock and not known it yet, or the survivor was told in its place.
            stage::ASKED if !before => {}
            _ => must_tell = false,
        }
        end_state::<K>(point);
    }
    Some(Staged { survivor: Some(survivor), before, killed_at, dead, must_tell, cast: vec![] })
}

fn woken<K: LockKind>(point: &mut Point<'_>, case: Case) -> Option<Staged> {
    let board = point.board;
    let cue = board.cue(Role::Victim);
    let mut holder_child = holder::<K>(point, Role::Holder);
    let holder_cue = board.cue(Role::Holder);
    holder_cue.ready.pass(point.limit).then_some(())?;
    let mut victim = point.victim(Role::Victim, section::<K>(board, Role::Victim))?;
    to_sleep(&mut victim, || out(cue)).then_some(())?;
    let survivor = sleeper::<K>(point)?;
    let mut dead = vec![];
    if case == Case::HolderDies {
        holder_child.kill();
        board.bury(Role::Holder);
        dead.push(Role::Holder);
        // Its death wakes nobody: somebody sees it. Here the bystander, once; it wakes the victim, who sleeps longest.
        bystander::<K>(point, &[Role::Holder]);
    } else {
        holder_cue.go.open();
        holder_cue.done.pass(point.limit).then_some(())?;
    }
    // The kernel wakes the oldest sleeper, and that is the victim, unless a capped survivor was just about.
    if victim.awaken() != Stop::Trapped {
        return None;
    }
    let mut cast = vec![holder_child];
    if matches!(case, Case::Barger | Case::BargerDies) {
        cast.push(holder::<K>(point, Role::Barger));
        board.cue(Role::Barger).ready.pass(point.limit).then_some(())?;
    }
    point.walk(0, &mut victim, || out(cue));
    let before = inside(board.cue(Role::Survivor));
    let mut killed_at = point.bury(Role::Victim, victim);
    dead.push(Role::Victim);
    end_state::<K>(point);
    let at = cue.stage.load(Acquire);
    let changes = K::changes(Role::Victim);
    // Who only looks leaves the holder's death to be told of again.
    let untold = case == Case::HolderDies && !before && (at < stage::INSIDE || !changes);
    let mut must_tell = at == stage::INSIDE && changes || untold;
    match case {
        Case::Barger => {
            killed_at = now_ns();
            board.cue(Role::Barger).go.open();
        }
        Case::BargerDies => {
            killed_at = now_ns();
            cast[1].kill();
            board.bury(Role::Barger);
            dead.push(Role::Barger);
            must_tell = true;
        }
        _ => {}
    }
    Some(Staged { survivor: Some(survivor), before, killed_at, dead, must_tell, cast })
}

/// With the cap, the survivor would repair first: it is stopped until the recoverer is dead. Without, its sleep is not
/// touched, since a sleeper that goes on looks again.
fn recoverer<K: LockKind>(point: &mut Point<'_>, cap: bool) -> Option<Staged> {
    let board = point.board;
    let mut holder_child = holder::<K>(point, Role::Holder);
    board.cue(Role::Holder).ready.pass(point.limit).then_some(())?;
    let mut victim = point.victim(Role::Victim, move |cue| {
        let mut joined = K::join(board, Role::Victim);
        marker();
        K::recover(&mut joined, Role::Holder);
        cue.stage.store(stage::RECOVERED, Release);
    })?;
    let survivor = sleeper::<K>(point)?;
    if cap {
        survivor.stop();
    }
    holder_child.kill();
    board.bury(Role::Holder);
    let cue = board.cue(Role::Victim);
    point.walk(0, &mut victim, || cue.stage.load(Acquire) == stage::RECOVERED);
    let before = inside(board.cue(Role::Survivor));
    let killed_at = point.bury(Role::Victim, victim);
    end_state::<K>(point);
    survivor.go_on();
    let dead = vec![Role::Holder, Role::Victim];
    Some(Staged { survivor: Some(survivor), before, killed_at, dead, must_tell: !before, cast: vec![holder_child] })
}

/// Somebody who happens to be there, and recovers each of the dead once.
fn bystander<K: LockKind>(point: &mut Point<'_>, dead: &[Role]) {
    let board = point.board;
    let mut child = point.play(Role::Bystander, |_| {
        let mut joined = K::join(board, Role::Bystander);
        for &role in dead {
            K::recover(&mut joined, role);
        }
    });
    if child.wait(point.limit) != Some(crate::os::Ended::Exit(0)) {
        point.fail(Class::Stuck, "the bystander's recovery failed");
    }
}

pub(crate) fn judge<K: LockKind>(point: &mut Point<'_>, mut staged: Staged, cap: bool) {
    let board = point.board;
    if !cap {
        bystander::<K>(point, &staged.dead);
    }
    let mut role = Role::Survivor;
    let mut child = match staged.survivor.take() {
        Some(child) => child,
        None => survivor::<K>(point, role),
    };
    if staged.before {
        // It was through before the kill, which proves nothing about afterwards.
        if !board.cue(role).done.pass(point.limit) {
            point.fail(Class::Stuck, "the survivor that was inside before the kill");
        }
        role = Role::Fresh;
        child = survivor::<K>(point, role);
    }
    let cue = board.cue(role);
    if !cue.done.pass(point.limit) {
        let stages: Vec<u32> = board.cues[1..4].iter().map(|cue| cue.stage.load(Relaxed)).collect();
        let word = board.arena[0].load(Relaxed);
        let ended = child.ended();
        point.fail(Class::Stuck, format!("word {word:#x}, victims' stages {stages:?}, survivor {ended:?}"));
        return;
    }
    point.delay(staged.killed_at, cue);
    cue.go.open();
    if !cue.ready.pass(point.limit) {
        return point.fail(Class::Stuck, "the survivor's second turn");
    }
    let told = cue.result.load(Relaxed);
    let stage = board.cue(Role::Victim).stage.load(Relaxed);
    if told & 1 << 8 != 0 {
        point.fail(Class::Stuck, format!("the survivor was refused, stage {stage}"));
    }
    if told >> 4 & 1 != 0 {
        point.fail(Class::Torn, format!("the survivor found torn data, stage {stage}"));
    }
    if staged.must_tell && told & 1 == 0 {
        point.fail(Class::Unreported, format!("the survivor was not told, stage {stage}"));
    }
    if told & 2 != 0 {
        point.fail(Class::Leaked, "told of a death once more after make_consistent");
    }
    let finished = board.cues.iter().filter(|cue| out(cue)).count() as u64;
    let lookers = [Role::Victim, Role::Second, Role::Third].into_iter().filter(|role| !K::changes(*role));
    let finished = finished - lookers.filter(|role| out(board.cue(*role))).count() as u64;
    // Who judges enters twice.
    let least = finished + 1;
    if cue.value.load(Relaxed) < least {
        point.fail(Class::Lost, format!("{} updates of at least {least}", cue.value.load(Relaxed)));
    }
    drop(staged.cast);
    drop(child);
}
