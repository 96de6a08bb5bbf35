//! What is done once: it is done, by one, and all go on, whoever is killed.
//!
//! | name | asleep | the victim |
//! |---|---|---|
//! | free | nobody | comes and does it |
//! | comes | one who would do it | comes while somebody is at it |
//! | waits | the same | comes to wait, and would not do it |
//! | contended | one who would do it, one who waits | has the turn, and ends it |
//! | woken | the same | has slept, and is woken since a turn was given up |
//! | barger | the same | the same, while somebody else has the turn by then |
//! | all woken | the same | has slept, and is woken since it was done |
//! | recoverer | the same | recovers one who died in its turn |
//! | half done | the same | recovers one who died when it had done it and woken nobody |
//! | two | the same | has the turn, and ends it; and after it a second one |
//!
//! Who sleeps must go on by itself. All read one value, whole; one made it; and if that was not the one who had the turn when
//! it was killed, it was told.

use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use ringfence::layout::once::OnceHeader;
use ringfence::layout::segment::Geometry;
use ringfence::raw::mutex::NOT_RECOVERABLE;
use ringfence::{InitError, OnceValue, Segment, SetError};

use crate::api::{OBJECTS, PARTICIPANTS, digest, fresh_segment, join, name};
use crate::board::{Board, Cue, Digest, Role};
use crate::os::{Child, Ended, LIMIT, now_ns};
use crate::report::{Class, Outcome};
use crate::scenario::{Options, Point, Scenario, explore, park, to_sleep};
use crate::step::{Stop, Unit, Victim, Walk, marker};

/// The value: its maker's number, twice.
pub type Pair = [u64; 2];

/// Something under test that is done once, with a value.
pub trait OnceKind: 'static {
    /// What a process needs to use it.
    type Joined;
    /// A fresh one. The board is cleared.
    fn reset(_board: &'static Board) {}
    /// Joins.
    fn join(board: &'static Board, role: Role) -> Self::Joined;
    /// The value. In its turn `inside`, which is told whether it is not the first, says whether to set `mine` or to give up:
    /// then there is none.
    fn come(joined: &Self::Joined, mine: Pair, inside: impl FnOnce(bool) -> bool) -> Result<Option<Pair>, String>;
    /// Waits for the value.
    fn wait(joined: &Self::Joined) -> Result<Pair, String>;
    /// What a participant does for the dead.
    fn recover(joined: &Self::Joined, dead: Role);
    /// Whether it is done, as the word says.
    fn completed(board: &'static Board) -> bool;
    /// Whether it is in the end what it should be.
    fn sound(joined: &Self::Joined, value: Pair) -> bool;
    /// The state after a kill.
    fn digest(board: &'static Board) -> Digest;
}

/// The library's value that is set once.
#[derive(Debug)]
pub struct Shipped;

impl OnceKind for Shipped {
    type Joined = (Segment, OnceValue<Pair>);

    fn reset(board: &'static Board) {
        fresh_segment(board, |segment| {
            let _ = OnceValue::<Pair>::create(segment, "once").expect("room for a once");
            let _ = OnceValue::<Pair>::create(segment, "warm").expect("room for a once");
        });
    }

    fn join(board: &'static Board, _: Role) -> Self::Joined {
        let segment = join(board);
        // The thread's registration is a scenario of its own.
        let warm = OnceValue::<Pair>::open(&segment, "warm").expect("it is there");
        let _ = warm.get_or_try_init(|_| Err(()));
        let once = OnceValue::open(&segment, "once").expect("it is there");
        (segment, once)
    }

    fn come((_, once): &Self::Joined, mine: Pair, inside: impl FnOnce(bool) -> bool) -> Result<Option<Pair>, String> {
        let made = once.get_or_try_init(|state| if inside(state.is_retry()) { Ok(mine) } else { Err(()) });
        match made {
            Ok(value) => Ok(Some(value)),
            Err(InitError::Failed(())) => Ok(None),
            Err(error) => Err(format!("{error:?}")),
        }
    }

    fn wait((_, once): &Self::Joined) -> Result<Pair, String> {
        once.wait().map_err(|error| error.to_string())
    }

    fn recover((segment, _): &Self::Joined, _: Role) {
        segment.recover().expect("recovery is possible");
    }

    /// The header of the first object of the segment.
    fn completed(board: &'static Board) -> bool {
        use std::os::unix::fs::FileExt;
        let file = std::fs::File::open(format!("/dev/shm/ringfence.{}", name(board))).expect("the segment");
        let size = file.metadata().expect("its size").len();
        let heap = Geometry::new(PARTICIPANTS.into(), OBJECTS, size).expect("its geometry").heap();
        let mut owner = [0; 4];
        file.read_exact_at(&mut owner, heap + std::mem::offset_of!(OnceHeader, lock) as u64).expect("the once");
        u32::from_ne_bytes(owner) == NOT_RECOVERABLE
    }

    fn sound((_, once): &Self::Joined, value: Pair) -> bool {
        once.get() == Some(value) && once.wait() == Ok(value) && once.set([0; 2]) == Err(SetError::Completed([0; 2]))
    }

    fn digest(board: &'static Board) -> Digest {
        digest(board)
    }
}

/// What happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // see the table above
pub enum Case {
    Free,
    Comes,
    Waits,
    Contended,
    Woken,
    Barger,
    AllWoken,
    Recoverer,
    HalfDone,
    Two,
}

const CASES: [(Case, &str); 10] = [
    (Case::Free, "free"),
    (Case::Comes, "comes"),
    (Case::Waits, "waits"),
    (Case::Contended, "contended"),
    (Case::Woken, "woken"),
    (Case::Barger, "barger"),
    (Case::AllWoken, "all woken"),
    (Case::Recoverer, "recoverer"),
    (Case::HalfDone, "half done"),
    (Case::Two, "two"),
];

/// All of them, with the cap on and off.
pub fn scenarios() -> Vec<Scenario> {
    let both = |cap: bool| CASES.map(|(case, label)| scenario::<Shipped>("OnceValue", case, label, cap));
    [both(true), both(false)].into_iter().flatten().collect()
}

/// One of them.
pub fn scenario<K: OnceKind>(name: &str, case: Case, label: &str, cap: bool) -> Scenario {
    let suffix = if cap { "" } else { " cap-off" };
    Scenario::new(format!("{name} {label}{suffix}"), move |options| run::<K>(case, cap, options))
}

fn run<K: OnceKind>(case: Case, cap: bool, options: &Options) -> Outcome {
    let board = Board::new();
    board.uncapped.store(u32::from(!cap), Relaxed);
    let options = Options { alone: case == Case::Free, ..*options };
    explore(board, if case == Case::Two { 2 } else { 1 }, &options, |point| {
        K::reset(board);
        match stage::<K>(point, case, cap) {
            Some(staged) => {
                if let Err((class, why)) = judge::<K>(point, staged, cap) {
                    point.fail(class, why);
                }
            }
            None => point.skip(),
        }
    })
}

/// Asked.
const ASKED: u32 = 1;
/// Has the turn.
const INSIDE: u32 = 2;
/// Has finished.
const OUT: u32 = 4;

/// What somebody says in [`Cue::result`].
mod said {
    /// It was told that it is not the first.
    pub const TOLD: u64 = 1;
    /// It has made the value.
    pub const MADE: u64 = 2;
    /// It was refused, or read half a value.
    pub const WRONG: u64 = 4;
}

/// Comes, and does it if it may; `ends` says at the end of the turn whether it is done or given up.
fn come<K: OnceKind>(joined: &K::Joined, role: Role, cue: &Cue, ends: impl FnOnce() -> bool) {
    let mut result = 0;
    cue.stage.store(ASKED, Release);
    let seen = K::come(joined, [role as u64; 2], |told| {
        result |= u64::from(told) * said::TOLD;
        cue.stage.store(INSIDE, Release);
        ends()
    });
    let made = cue.stage.load(Relaxed) == INSIDE && matches!(seen, Ok(Some(_)));
    result |= u64::from(made) * said::MADE;
    say(cue, result, seen.map(Option::unwrap_or_default));
}

fn wait<K: OnceKind>(joined: &K::Joined, cue: &Cue) {
    say(cue, 0, K::wait(joined));
}

fn say(cue: &Cue, mut result: u64, seen: Result<Pair, String>) {
    match seen {
        Ok([first, second]) if first == second => cue.value.store(first, Relaxed),
        wrong => {
            eprintln!("{wrong:?}");
            result |= said::WRONG;
        }
    }
    cue.result.store(result, Relaxed);
    cue.stage.store(OUT, Release);
}

fn out(cue: &Cue) -> bool {
    cue.stage.load(Acquire) == OUT
}

/// Somebody who has the turn, and ends it so when told to go on.
fn holder<K: OnceKind>(point: &Point<'_>, role: Role, completes: bool) -> Option<Child> {
    let board = point.board;
    let child = point.play(role, |cue| {
        let joined = K::join(board, role);
        come::<K>(&joined, role, cue, || {
            cue.ready.open();
            cue.go.pass(LIMIT);
            completes
        });
        cue.done.open();
        park();
    });
    board.cue(role).ready.pass(point.limit).then_some(child)
}

/// A survivor.
fn survivor<K: OnceKind>(point: &Point<'_>, role: Role, comes: bool) -> Child {
    let board = point.board;
    point.play(role, |cue| {
        let joined = K::join(board, role);
        cue.asked.store(now_ns(), Relaxed);
        if comes {
            come::<K>(&joined, role, cue, || true);
        } else {
            wait::<K>(&joined, cue);
        }
        cue.got.store(now_ns(), Relaxed);
        cue.done.open();
        park();
    })
}

/// Survivors that sleep: one who would do it, and one who would not.
fn sleepers<K: OnceKind>(point: &Point<'_>) -> Option<Vec<(Role, Child)>> {
    let mut all = vec![];
    for (role, comes) in [(Role::Survivor, true), (Role::Fresh, false)] {
        let mut child = survivor::<K>(point, role, comes);
        child.settles(point.limit).then_some(())?;
        all.push((role, child));
    }
    Some(all)
}

/// A victim that comes, stopped before it does.
fn comer<K: OnceKind>(point: &mut Point<'_>, role: Role) -> Option<Victim> {
    let board = point.board;
    point.victim(role, move |cue| {
        let joined = K::join(board, role);
        marker();
        come::<K>(&joined, role, cue, || true);
    })
}

/// The same, walked into its turn.
fn in_its_turn<K: OnceKind>(point: &mut Point<'_>, role: Role) -> Option<Victim> {
    let cue = point.board.cue(role);
    let mut victim = comer::<K>(point, role)?;
    let walk = victim.walk(Unit::Instruction, 100_000, || cue.stage.load(Acquire) >= INSIDE);
    (walk == Walk::Finished).then_some(victim)
}

/// What is left after the kill.
struct Staged {
    sleepers: Vec<(Role, Child)>,
    killed_at: u64,
    /// For the bystander, in order.
    dead: Vec<Role>,
    /// Others to keep until the end.
    cast: Vec<Child>,
}

fn stage<K: OnceKind>(point: &mut Point<'_>, case: Case, cap: bool) -> Option<Staged> {
    match case {
        Case::Free | Case::Contended | Case::Two => has_the_turn::<K>(point, case),
        Case::Comes | Case::Waits => comes::<K>(point, case),
        Case::Woken | Case::Barger | Case::AllWoken => woken::<K>(point, case),
        Case::Recoverer | Case::HalfDone => recovers::<K>(point, case, cap),
    }
}

/// Walks a victim to its kill point, and buries it.
fn kill<K: OnceKind>(point: &mut Point<'_>, nth: usize, role: Role, mut victim: Victim) -> u64 {
    let cue = point.board.cue(role);
    point.walk(nth, &mut victim, || out(cue));
    let killed_at = point.bury(role, victim);
    let state = K::digest(point.board).word(cue.stage.load(Relaxed).into());
    point.outcome.states.insert(state.value());
    killed_at
}

fn has_the_turn<K: OnceKind>(point: &mut Point<'_>, case: Case) -> Option<Staged> {
    if case == Case::Free {
        let victim = comer::<K>(point, Role::Victim)?;
        let killed_at = kill::<K>(point, 0, Role::Victim, victim);
        return Some(Staged { sleepers: vec![], killed_at, dead: vec![Role::Victim], cast: vec![] });
    }
    let first = in_its_turn::<K>(point, Role::Victim)?;
    let sleepers = sleepers::<K>(point)?;
    let mut killed_at = kill::<K>(point, 0, Role::Victim, first);
    let mut dead = vec![Role::Victim];
    if case == Case::Two {
        let second = comer::<K>(point, Role::Second)?;
        killed_at = kill::<K>(point, 1, Role::Second, second);
        dead.push(Role::Second);
    }
    Some(Staged { sleepers, killed_at, dead, cast: vec![] })
}

fn comes<K: OnceKind>(point: &mut Point<'_>, case: Case) -> Option<Staged> {
    let board = point.board;
    let cast = vec![holder::<K>(point, Role::Holder, true)?];
    let sleepers = sleepers::<K>(point)?;
    let victim = match case {
        Case::Comes => comer::<K>(point, Role::Victim)?,
        _ => point.victim(Role::Victim, move |cue| {
            let joined = K::join(board, Role::Victim);
            marker();
            cue.stage.store(ASKED, Release);
            wait::<K>(&joined, cue);
        })?,
    };
    kill::<K>(point, 0, Role::Victim, victim);
    board.cue(Role::Holder).go.open();
    Some(Staged { sleepers, killed_at: now_ns(), dead: vec![Role::Victim], cast })
}

fn woken<K: OnceKind>(point: &mut Point<'_>, case: Case) -> Option<Staged> {
    let board = point.board;
    let cue = board.cue(Role::Victim);
    let mut cast = vec![holder::<K>(point, Role::Holder, case == Case::AllWoken)?];
    let mut victim = comer::<K>(point, Role::Victim)?;
    to_sleep(&mut victim, || out(cue)).then_some(())?;
    let sleepers = sleepers::<K>(point)?;
    board.cue(Role::Holder).go.open();
    board.cue(Role::Holder).done.pass(point.limit).then_some(())?;
    // The kernel wakes the oldest sleeper, and that is the victim, unless a capped survivor was just about.
    if victim.awaken() != Stop::Trapped {
        return None;
    }
    if case == Case::Barger {
        cast.push(holder::<K>(point, Role::Barger, true)?);
    }
    let mut killed_at = kill::<K>(point, 0, Role::Victim, victim);
    if case == Case::Barger {
        killed_at = now_ns();
        board.cue(Role::Barger).go.open();
    }
    Some(Staged { sleepers, killed_at, dead: vec![Role::Victim], cast })
}

/// With the cap, the survivors would repair first: they are stopped until the recoverer is dead. Without, their sleep is
/// not touched, since a sleeper that goes on looks again.
fn recovers<K: OnceKind>(point: &mut Point<'_>, case: Case, cap: bool) -> Option<Staged> {
    let board = point.board;
    let mut dying = in_its_turn::<K>(point, Role::Holder)?;
    let victim = point.victim(Role::Victim, move |cue| {
        let joined = K::join(board, Role::Victim);
        marker();
        K::recover(&joined, Role::Holder);
        cue.stage.store(OUT, Release);
    })?;
    let sleepers = sleepers::<K>(point)?;
    if cap {
        sleepers.iter().for_each(|(_, child)| child.stop());
    }
    if case == Case::HalfDone {
        let walk = dying.walk(Unit::Instruction, 100_000, || K::completed(board));
        // Not so far that it has woken them.
        (walk == Walk::Finished && !out(board.cue(Role::Holder))).then_some(())?;
    }
    dying.kill();
    board.bury(Role::Holder);
    let killed_at = kill::<K>(point, 0, Role::Victim, victim);
    sleepers.iter().for_each(|(_, child)| child.go_on());
    Some(Staged { sleepers, killed_at, dead: vec![Role::Holder, Role::Victim], cast: vec![] })
}

fn judge<K: OnceKind>(point: &mut Point<'_>, mut staged: Staged, cap: bool) -> Result<(), (Class, String)> {
    let board = point.board;
    if !cap {
        let dead = staged.dead.clone();
        let mut bystander = point.play(Role::Bystander, move |_| {
            let joined = K::join(board, Role::Bystander);
            dead.into_iter().for_each(|role| K::recover(&joined, role));
        });
        if bystander.wait(point.limit) != Some(Ended::Exit(0)) {
            return Err((Class::Stuck, "the bystander's recovery failed".into()));
        }
    }
    let slept = !staged.sleepers.is_empty();
    if !slept {
        staged.sleepers.push((Role::Survivor, survivor::<K>(point, Role::Survivor, true)));
    }
    for (role, _) in &staged.sleepers {
        let cue = board.cue(*role);
        if !cue.done.pass(point.limit) {
            let done = K::completed(board);
            return Err((Class::Stuck, format!("{role:?} sleeps on, done: {done}")));
        }
        point.delay(staged.killed_at, cue);
    }
    let said = |role: Role| board.cue(role).result.load(Relaxed);
    let all = [Role::Victim, Role::Second, Role::Holder, Role::Barger, Role::Survivor, Role::Fresh];
    if all.iter().any(|role| said(*role) & said::WRONG != 0) {
        return Err((Class::Torn, "somebody read half a value, or was refused".into()));
    }
    let value = board.cue(Role::Survivor).value.load(Relaxed);
    let finished = |role: &Role| out(board.cue(*role)) && *role as u64 != value;
    let other = all.iter().find(|role| finished(role) && ![0, value].contains(&board.cue(**role).value.load(Relaxed)));
    if let Some(other) = other {
        return Err((Class::Duplicated, format!("{other:?} has another value than {value}")));
    }
    let Some(maker) = all.into_iter().find(|role| *role as u64 == value) else {
        return Err((Class::Torn, format!("{value} made it")));
    };
    if let Some(second) = all.into_iter().find(|role| *role != maker && said(*role) & said::MADE != 0) {
        return Err((Class::Duplicated, format!("{second:?} made it too")));
    }
    let at_it = |role: &Role| *role != maker && board.cue(*role).stage.load(Relaxed) == INSIDE;
    if staged.dead.iter().any(at_it) && said(maker) & said::TOLD == 0 {
        return Err((Class::Unreported, format!("{maker:?} was not told")));
    }
    let mut script = point.play(Role::Script, |cue| {
        cue.result.store(u64::from(K::sound(&K::join(board, Role::Script), [value; 2])), Relaxed);
    });
    if script.wait(point.limit) != Some(Ended::Exit(0)) || said(Role::Script) != 1 {
        return Err((Class::Lost, "in the end it is not what it was".into()));
    }
    drop(staged.cast);
    Ok(())
}
