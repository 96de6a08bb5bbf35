//! Events and signalling semaphores: whoever waits when one is set goes on, whoever is killed. To set a semaphore is to give
//! a permit, to clear it to take all there are.
//!
//! | name | asleep | the victim |
//! |---|---|---|
//! | free | nobody | sets, clears, sets and waits |
//! | joins | nobody | comes to wait |
//! | contended | one waiter | sets, and clears at once where that is done by hand |
//! | two asleep | two | the same |
//! | woken | one behind the victim | is a waiter that a set has just woken |
//! | barger | one behind the victim, and one that has come since (who would take a semaphore's permit: not there) | the same |
//! | recoverer | one | recovers a setter that died between its set and its wake |
//! | two | one | sets; and a second one after it |
//!
//! Whether there is something for a sleeper is read off the object: if there is, it must go on by itself; if not, another
//! set must reach it. In the end the object must do all it does, and signals are counted.

use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::time::{Duration, Instant};

use ringfence::layout::event::EventHeader;
use ringfence::layout::segment::Geometry;
use ringfence::layout::semaphore::SemaphoreHeader;
use ringfence::{Event, LockError, Reset, Segment, Semaphore, SemaphoreOptions};

use crate::api::{OBJECTS, PARTICIPANTS, digest, fresh_segment, join, name};
use crate::board::{Board, Cue, Digest, Role};
use crate::os::{Child, Ended, now_ns};
use crate::report::{Class, Outcome};
use crate::scenario::{Options, Point, Scenario, explore, to_sleep, victim};
use crate::step::{Stop, Unit, Walk, marker};

/// An event under test.
pub trait Bell: 'static {
    /// What a process needs to use it.
    type Joined;
    /// Whether a set lets one through only.
    const AUTO: bool;
    /// Whether each set counts.
    const COUNTS: bool = false;
    /// A fresh one.
    fn reset(board: &'static Board);
    /// Joins.
    fn join(board: &'static Board) -> Self::Joined;
    /// Waits until it is set, or only looks.
    fn wait(joined: &Self::Joined, now: bool) -> Result<bool, String>;
    /// Sets it.
    fn set(joined: &Self::Joined);
    /// Clears it.
    fn clear(joined: &Self::Joined);
    /// What a participant does for the dead.
    fn recover(joined: &Self::Joined);
    /// Whether there is something for those who sleep since the beginning.
    fn there(board: &'static Board) -> bool;
    /// The state after a kill.
    fn digest(board: &'static Board) -> Digest;
}

/// The library's event, cleared by hand.
#[derive(Debug)]
pub struct Manual;
/// The library's event that resets itself.
#[derive(Debug)]
pub struct Auto;

/// The library's semaphore, signalling, up to what any semaphore can have: a release adds first.
#[derive(Debug)]
pub struct Permits;
/// The same, up to a maximum of its own.
#[derive(Debug)]
pub struct Bounded;

/// The header of the object, which is the first of the segment.
///
/// # Safety
/// Every value of as many bytes is a header.
unsafe fn header<H>(board: &'static Board) -> H {
    use std::os::unix::fs::FileExt;
    let file = std::fs::File::open(format!("/dev/shm/ringfence.{}", name(board))).expect("the segment");
    let size = file.metadata().expect("its size").len();
    let heap = Geometry::new(PARTICIPANTS.into(), OBJECTS, size).expect("its geometry").heap();
    let mut bytes = vec![0; size_of::<H>()];
    file.read_exact_at(&mut bytes, heap).expect("the object");
    // SAFETY: as many bytes; the rest is the caller's promise.
    unsafe { bytes.as_ptr().cast::<H>().read_unaligned() }
}

macro_rules! bell {
    ($name:ident, $auto:literal, $reset:expr, $there:expr) => {
        impl Bell for $name {
            type Joined = (Segment, Event);

            const AUTO: bool = $auto;

            fn reset(board: &'static Board) {
                fresh_segment(board, |segment| {
                    let _ = Event::create(segment, "event", $reset).expect("room for an event");
                    let _ = Event::create(segment, "warm", Reset::Auto).expect("room for an event");
                });
            }

            fn join(board: &'static Board) -> Self::Joined {
                let segment = join(board);
                // The thread's registration is a scenario of its own.
                let _ = Event::open(&segment, "warm").expect("it is there").try_wait();
                let event = Event::open(&segment, "event").expect("it is there");
                (segment, event)
            }

            fn wait((_, event): &Self::Joined, now: bool) -> Result<bool, String> {
                let outcome = if now { event.try_wait() } else { event.wait().map(|()| true) };
                outcome.map_err(|error| error.to_string())
            }

            fn set((_, event): &Self::Joined) {
                event.set().expect("it can be set");
            }

            fn clear((_, event): &Self::Joined) {
                event.clear().expect("it can be cleared");
            }

            fn recover((segment, _): &Self::Joined) {
                segment.recover().expect("recovery is possible");
            }

            fn there(board: &'static Board) -> bool {
                // SAFETY: it consists of integers.
                $there(&unsafe { header(board) })
            }

            fn digest(board: &'static Board) -> Digest {
                digest(board)
            }
        }
    };
}

// By hand: an epoch has begun.
bell!(Manual, false, Reset::Manual, |header: &EventHeader| header.word.load(Relaxed) >> 2 != 0);
bell!(Auto, true, Reset::Auto, |header: &EventHeader| header.granted.load(Relaxed) | header.word.load(Relaxed) & 1
    != 0);

macro_rules! permits {
    ($name:ident, $options:expr) => {
        impl Bell for $name {
            type Joined = (Segment, Semaphore);

            const AUTO: bool = true;
            const COUNTS: bool = true;

            fn reset(board: &'static Board) {
                fresh_segment(board, |segment| {
                    let options = $options.signalling();
                    let _ = Semaphore::create(segment, "permits", &options).expect("room for a semaphore");
                    let _ = Event::create(segment, "warm", Reset::Auto).expect("room for an event");
                });
            }

            fn join(board: &'static Board) -> Self::Joined {
                let segment = join(board);
                // The thread's registration is a scenario of its own.
                let _ = Event::open(&segment, "warm").expect("it is there").try_wait();
                let semaphore = Semaphore::open(&segment, "permits").expect("it is there");
                (segment, semaphore)
            }

            fn wait((_, semaphore): &Self::Joined, now: bool) -> Result<bool, String> {
                let outcome = if now { semaphore.try_acquire(1) } else { semaphore.acquire(1) };
                match outcome {
                    Ok(permit) => {
                        permit.forget();
                        Ok(true)
                    }
                    Err(LockError::WouldBlock) => Ok(false),
                    Err(error) => Err(error.to_string()),
                }
            }

            fn set((_, semaphore): &Self::Joined) {
                semaphore.release(1).expect("there may be more");
            }

            fn clear(joined: &Self::Joined) {
                while Self::wait(joined, true) == Ok(true) {}
            }

            fn recover((segment, _): &Self::Joined) {
                segment.recover().expect("recovery is possible");
            }

            fn there(board: &'static Board) -> bool {
                // SAFETY: it consists of integers.
                let header: SemaphoreHeader = unsafe { header(board) };
                header.word.load(Relaxed) << 2 != 0
            }

            fn digest(board: &'static Board) -> Digest {
                digest(board)
            }
        }
    };
}

permits!(Permits, SemaphoreOptions::new(0));
permits!(Bounded, SemaphoreOptions::new(0).maximum(9));

/// What happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // see the table above
pub enum Case {
    Free,
    Joins,
    Contended,
    TwoAsleep,
    Woken,
    Barger,
    Recoverer,
    Two,
}

const CASES: [(Case, &str); 8] = [
    (Case::Free, "free"),
    (Case::Joins, "joins"),
    (Case::Contended, "contended"),
    (Case::TwoAsleep, "two asleep"),
    (Case::Woken, "woken"),
    (Case::Barger, "barger"),
    (Case::Recoverer, "recoverer"),
    (Case::Two, "two"),
];

/// All scenarios of all, with the cap on and off.
pub fn scenarios() -> Vec<Scenario> {
    let mut all = vec![];
    for cap in [true, false] {
        all.extend(CASES.map(|(case, label)| scenario::<Manual>("Event", case, label, cap)));
        all.extend(CASES.map(|(case, label)| scenario::<Auto>("Event auto", case, label, cap)));
        for (case, label) in CASES.into_iter().filter(|(case, _)| *case != Case::Barger) {
            all.push(scenario::<Permits>("Semaphore signalling", case, label, cap));
            all.push(scenario::<Bounded>("Semaphore bounded", case, label, cap));
        }
    }
    all
}

/// One of them.
pub fn scenario<B: Bell>(name: &str, case: Case, label: &str, cap: bool) -> Scenario {
    let suffix = if cap { "" } else { " cap-off" };
    Scenario::new(format!("{name} {label}{suffix}"), move |options| run::<B>(case, cap, options))
}

fn run<B: Bell>(case: Case, cap: bool, options: &Options) -> Outcome {
    let board = Board::new();
    board.uncapped.store(u32::from(!cap), Relaxed);
    let options = Options { alone: matches!(case, Case::Free | Case::Joins), ..*options };
    explore(board, if case == Case::Two { 2 } else { 1 }, &options, |point| {
        B::reset(board);
        if staged::<B>(point, case, cap).is_none() {
            point.skip();
        }
    })
}

/// What a victim says: it has come so far.
const OUT: u32 = 9;

fn perform<B: Bell>(joined: &B::Joined, case: Case, cue: &Cue) {
    let wait = || {
        let through = B::wait(joined, false);
        cue.value.store(u64::from(through == Ok(true)), Relaxed);
    };
    match case {
        Case::Free => {
            B::set(joined);
            B::clear(joined);
            B::set(joined);
            wait();
        }
        Case::Joins | Case::Woken | Case::Barger => wait(),
        Case::Recoverer => B::recover(joined),
        Case::Contended | Case::TwoAsleep | Case::Two => {
            B::set(joined);
            cue.value.store(1, Relaxed);
            if !B::AUTO {
                B::clear(joined);
            }
        }
    }
    cue.stage.store(OUT, Release);
}

/// Somebody who waits, asleep.
fn sleeper<B: Bell>(point: &Point<'_>, role: Role) -> Option<(Role, Child)> {
    let board = point.board;
    let mut child = point.play(role, |cue| {
        let joined = B::join(board);
        cue.asked.store(now_ns(), Relaxed);
        let through = B::wait(&joined, false);
        cue.got.store(now_ns(), Relaxed);
        cue.result.store(if through == Ok(true) { 1 } else { 2 }, Relaxed);
        cue.done.open();
    });
    child.settles(point.limit).then_some((role, child))
}

/// Somebody does one thing, and is gone.
fn once<B: Bell>(point: &mut Point<'_>, body: impl FnOnce(&B::Joined)) -> Option<()> {
    let board = point.board;
    let mut child = point.play(Role::Script, |_| body(&B::join(board)));
    (child.wait(point.limit) == Some(Ended::Exit(0))).then_some(())
}

fn staged<B: Bell>(point: &mut Point<'_>, case: Case, cap: bool) -> Option<()> {
    let board = point.board;
    let mut sleepers = vec![];
    let mut killed_at = 0;
    let woken = matches!(case, Case::Woken | Case::Barger);
    if !woken && !matches!(case, Case::Free | Case::Joins) {
        sleepers.push(sleeper::<B>(point, Role::Survivor)?);
    }
    if case == Case::TwoAsleep {
        sleepers.push(sleeper::<B>(point, Role::Fresh)?);
    }
    if case == Case::Recoverer {
        half_set::<B>(point)?;
    }
    let roles = if case == Case::Two { &[Role::Victim, Role::Second][..] } else { &[Role::Victim] };
    for (nth, &role) in roles.iter().enumerate() {
        let cue = board.cue(role);
        let mut victim = point.victim(role, |cue| {
            let joined = B::join(board);
            marker();
            perform::<B>(&joined, case, cue);
        })?;
        let done = || cue.stage.load(Acquire) == OUT;
        if woken {
            to_sleep(&mut victim, done).then_some(())?;
            sleepers.push(sleeper::<B>(point, Role::Survivor)?);
            once::<B>(point, |joined| {
                B::set(joined);
                if !B::AUTO {
                    B::clear(joined);
                }
            })?;
            // The kernel wakes the oldest sleeper, unless a capped survivor was just about.
            if victim.awaken() != Stop::Trapped {
                return None;
            }
            if case == Case::Barger {
                sleepers.push(sleeper::<B>(point, Role::Barger)?);
            }
        }
        point.walk(nth, &mut victim, done);
        killed_at = point.bury(role, victim);
        let state = Digest::new().word(B::digest(board).value()).word(cue.value.load(Relaxed));
        point.outcome.states.insert(state.value());
    }
    if !cap {
        let mut bystander = point.play(Role::Bystander, |_| B::recover(&B::join(board)));
        if bystander.wait(point.limit) != Some(Ended::Exit(0)) {
            point.fail(Class::Stuck, "the bystander's recovery failed");
        }
    }
    judge::<B>(point, case, killed_at, sleepers);
    Some(())
}

/// A setter that dies when it has set the event and woken nobody.
fn half_set<B: Bell>(point: &Point<'_>) -> Option<()> {
    let board = point.board;
    let mut holder = victim(board, Role::Holder, |cue| {
        let joined = B::join(board);
        marker();
        B::set(&joined);
        cue.stage.store(OUT, Release);
    })
    .ok()?;
    let walk = holder.walk(Unit::Instruction, 100_000, || B::there(board));
    let early = walk == Walk::Finished && board.cue(Role::Holder).stage.load(Acquire) != OUT;
    holder.kill();
    board.bury(Role::Holder);
    early.then_some(())
}

fn judge<B: Bell>(point: &mut Point<'_>, case: Case, killed_at: u64, mut sleepers: Vec<(Role, Child)>) {
    let board = point.board;
    let said = |role| board.cue(role).value.load(Relaxed);
    let waited = sleepers.len() as u64;
    let mut served = 0;
    let end = Instant::now() + point.limit;
    while !sleepers.is_empty() {
        if let Some(place) = sleepers.iter().position(|(role, _)| board.cue(*role).done.is_open()) {
            let (role, _child) = sleepers.remove(place);
            let cue = board.cue(role);
            point.delay(killed_at, cue);
            if cue.result.load(Relaxed) != 1 {
                point.fail(Class::Stuck, format!("a sleeper was refused, {case:?}"));
            }
            continue;
        }
        if Instant::now() > end {
            return point.fail(Class::Stuck, format!("{} asleep, served {served}", sleepers.len()));
        }
        if B::there(board) && (B::AUTO || case != Case::Barger || served > 0) {
            board.cue(sleepers[0].0).done.pass(Duration::from_millis(1));
            continue;
        }
        // It may have been about to say that it went through.
        if sleepers.iter().any(|(role, _)| board.cue(*role).done.pass(Duration::from_millis(3))) {
            continue;
        }
        if once::<B>(point, |joined| B::set(joined)).is_none() {
            return point.fail(Class::Leaked, "a set beside the sleeper failed");
        }
        served += 1;
    }
    // What is left, and whether it still does what it should.
    let mut child = point.play(Role::Script, |cue| {
        let joined = B::join(board);
        let look = || B::wait(&joined, true) == Ok(true);
        // Never more than this, if it is what it should be.
        let left = (0..if B::AUTO { 9 } else { 1 }).take_while(|_| look()).count() as u64;
        B::clear(&joined);
        let mut sound = !look();
        B::set(&joined);
        sound &= look() && look() != B::AUTO;
        B::clear(&joined);
        sound &= !look();
        cue.value.store(left, Relaxed);
        cue.result.store(u64::from(sound), Relaxed);
    });
    let ended = child.wait(point.limit);
    if ended != Some(Ended::Exit(0)) || board.cue(Role::Script).result.load(Relaxed) != 1 {
        return point.fail(Class::Stuck, format!("in the end it is not what it was: {ended:?}"));
    }
    if !B::AUTO {
        return;
    }
    let left = said(Role::Script);
    // Sets that were begun, and signals that somebody has or that are left.
    let (begun, used, whole) = match case {
        Case::Free => (2, said(Role::Victim), false),
        Case::Joins => (0, 0, false),
        Case::Contended | Case::TwoAsleep => (1, 0, said(Role::Victim) == 1),
        Case::Woken | Case::Barger => (1, said(Role::Victim), false),
        Case::Recoverer => (1, 0, true),
        Case::Two => (2, 0, said(Role::Victim) == 1 && said(Role::Second) == 1),
    };
    if waited + used + left > begun + served {
        point.fail(Class::Duplicated, format!("{waited} + {used} went through, {left} left, {begun} + {served} set"));
    }
    // Nobody who died could have used one.
    if whole && waited + left < begun + served && (B::COUNTS || waited > 0 && served > 0) {
        point.fail(Class::Lost, format!("{waited} went through, {left} left, {begun} + {served} set"));
    }
}
