//! Barriers, by the public API: whoever waits learns how its round ended, whoever is killed.
//!
//! | name | parties | asleep | the victim is killed |
//! |---|---|---|---|
//! | free | 1 | nobody | in two rounds, one of them led, an abort and a reset, registered |
//! | arrives | 3 | one | on its way into its sleep |
//! | last | 3 | two | as the last, anywhere until it has left |
//! | leads | 3 | two | the same with an action |
//! | woken | 3 | one behind the victim | as one that has just been let through |
//! | gives-up | 3 | one | in a try, which breaks the barrier |
//! | resets | 3 | two | while it sends them away |
//! | recoverer | 3 | one | while it recovers a party that died when it had arrived |
//! | two | 3 | one | one after another, as the second party and as another |
//!
//! What is due to those who sleep is read off the object: if the round fills and nobody dead is counted, others come and fill it;
//! otherwise all must wake up by themselves. All are told the same, and of a death if there was one. In the end the barrier
//! is mended and works.
//!
//! Each is played with capped sleeps, and with the cap off: then a bystander recovers once.

use std::os::unix::fs::FileExt;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::time::{Duration, Instant};

use ringfence::layout::segment::Geometry;
use ringfence::{Barrier, BarrierError, Segment};

use crate::api::{OBJECTS, PARTICIPANTS, digest, fresh_segment, join, name};
use crate::board::{Board, Cue, Role};
use crate::os::{Child, Ended, now_ns};
use crate::report::{Class, Outcome};
use crate::scenario::{Options, Point, Scenario, explore, to_sleep};
use crate::step::{Stop, marker};

/// What happens around the victim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // see the table above
pub enum Case {
    Free,
    Arrives,
    Last,
    Leads,
    Woken,
    GivesUp,
    Resets,
    Recoverer,
    Two,
}

const CASES: [(Case, &str); 9] = [
    (Case::Free, "free"),
    (Case::Arrives, "arrives"),
    (Case::Last, "last"),
    (Case::Leads, "leads"),
    (Case::Woken, "woken"),
    (Case::GivesUp, "gives-up"),
    (Case::Resets, "resets"),
    (Case::Recoverer, "recoverer"),
    (Case::Two, "two"),
];

/// All of them, with the cap on and off.
pub fn scenarios() -> Vec<Scenario> {
    let both = |cap: bool| CASES.map(|(case, label)| scenario("Barrier", case, label, cap, true));
    [both(true), both(false)].into_iter().flatten().collect()
}

/// One of them. If nobody `recovers`, and no sleep is capped, what the dead leave is found by nobody: a control.
pub fn scenario(name: &str, case: Case, label: &str, cap: bool, recovers: bool) -> Scenario {
    let suffix = if cap { "" } else { " cap-off" };
    Scenario::new(format!("{name} {label}{suffix}"), move |options| run(case, cap, recovers, options))
}

fn parties(case: Case) -> usize {
    if case == Case::Free { 1 } else { 3 }
}

fn run(case: Case, cap: bool, recovers: bool, options: &Options) -> Outcome {
    let board = Board::new();
    board.uncapped.store(u32::from(!cap), Relaxed);
    let options = Options { alone: case == Case::Free, ..*options };
    explore(board, if case == Case::Two { 2 } else { 1 }, &options, |point| {
        fresh_segment(board, |segment| {
            let _ = Barrier::create(segment, "barrier", parties(case)).expect("room for a barrier");
            let _ = Barrier::create(segment, "warm", 1).expect("room for a barrier");
        });
        if staged(point, case, cap, recovers).is_none() {
            point.skip();
        }
    })
}

/// What a party came to, in [`Cue::result`]; 0 is nothing yet.
mod came_to {
    pub const PASSED: u64 = 1;
    pub const BROKEN: u64 = 2;
    pub const PARTY_DIED: u64 = 3;
    pub const OTHER: u64 = 4;
}

fn result<T>(result: Result<T, BarrierError>) -> u64 {
    match result {
        Ok(_) => came_to::PASSED,
        Err(BarrierError::Broken | BarrierError::TimedOut) => came_to::BROKEN,
        Err(BarrierError::PartyDied) => came_to::PARTY_DIED,
        Err(_) => came_to::OTHER,
    }
}

struct Joined {
    segment: Segment,
    barrier: Barrier,
}

impl Joined {
    fn new(board: &Board) -> Self {
        let segment = join(board);
        // The thread's registration is a scenario of its own.
        let _ = Barrier::open(&segment, "warm").expect("it is there").try_wait();
        let barrier = Barrier::open(&segment, "barrier").expect("it is there");
        Self { segment, barrier }
    }
}

/// The object as it is.
struct Look {
    word: u64,
    /// How many are counted inside of the round that the word is at.
    inside: u64,
}

impl Look {
    fn at(board: &Board) -> Self {
        let file = std::fs::File::open(format!("/dev/shm/ringfence.{}", name(board))).expect("the segment");
        let size = file.metadata().expect("its size").len();
        let heap = Geometry::new(PARTICIPANTS.into(), OBJECTS, size).expect("its geometry").heap();
        let read = |at: u64| {
            let mut bytes = [0; 8];
            file.read_exact_at(&mut bytes, heap + at).expect("the barrier");
            u64::from_ne_bytes(bytes)
        };
        let word = read(0);
        let shift = if word >> 39 & 1 == 0 { 0 } else { 14 };
        let inside = (0..u64::from(PARTICIPANTS)).map(|nth| read(128 + 64 * nth) >> shift & 0x3fff).sum();
        Self { word, inside }
    }

    fn fills(&self) -> bool {
        self.word >> 34 & 7 == 0
    }

    fn is_led(&self) -> bool {
        self.word >> 34 & 7 == 1
    }

    fn arrivals(&self) -> u64 {
        self.word & 0xffff_ffff
    }
}

/// A victim has come so far.
const OUT: u32 = 9;

fn perform(joined: &Joined, case: Case, cue: &Cue) {
    let barrier = &joined.barrier;
    match case {
        Case::Free => {
            let registered = barrier.register();
            let _ = (barrier.wait(), barrier.wait_with(|| ()));
            let _ = (barrier.abort(), barrier.reset());
            drop(registered);
        }
        Case::Arrives | Case::Last | Case::Woken | Case::Two => drop(barrier.wait()),
        Case::Leads => drop(barrier.wait_with(|| cue.value.store(1, Relaxed))),
        Case::GivesUp => drop(barrier.try_wait()),
        Case::Resets => drop(barrier.reset()),
        Case::Recoverer => drop(joined.segment.recover()),
    }
    cue.stage.store(OUT, Release);
}

/// A party that waits.
fn party(point: &Point<'_>, role: Role) -> Child {
    let board = point.board;
    point.play(role, |cue| {
        let joined = Joined::new(board);
        cue.asked.store(now_ns(), Relaxed);
        let came_to = result(joined.barrier.wait());
        cue.got.store(now_ns(), Relaxed);
        cue.result.store(came_to, Relaxed);
        cue.done.open();
    })
}

/// The same, asleep.
fn sleeper(point: &Point<'_>, role: Role) -> Option<(Role, Child)> {
    let mut child = party(point, role);
    child.settles(point.limit).then_some((role, child))
}

/// Somebody does one thing, and is gone.
fn once(point: &Point<'_>, body: impl FnOnce(&Joined)) -> Option<()> {
    let board = point.board;
    let mut child = point.play(Role::Script, |_| body(&Joined::new(board)));
    (child.wait(point.limit) == Some(Ended::Exit(0))).then_some(())
}

fn staged(point: &mut Point<'_>, case: Case, cap: bool, recovers: bool) -> Option<()> {
    let board = point.board;
    let mut sleepers = vec![];
    if !matches!(case, Case::Free | Case::Woken) {
        sleepers.push(sleeper(point, Role::Survivor)?);
    }
    if matches!(case, Case::Last | Case::Leads | Case::Resets) {
        sleepers.push(sleeper(point, Role::Fresh)?);
    }
    if case == Case::Recoverer {
        let (_, mut arrived) = sleeper(point, Role::Holder)?;
        if cap {
            // The survivor would be faster.
            sleepers[0].1.stop();
        }
        arrived.kill();
        board.bury(Role::Holder);
    }
    let roles = if case == Case::Two { &[Role::Victim, Role::Second][..] } else { &[Role::Victim] };
    let (mut killed_at, mut due) = (0, None);
    for (nth, &role) in roles.iter().enumerate() {
        let cue = board.cue(role);
        let mut victim = point.victim(role, |cue| {
            let joined = Joined::new(board);
            marker();
            perform(&joined, case, cue);
        })?;
        let done = || cue.stage.load(Acquire) == OUT;
        if case == Case::Woken {
            to_sleep(&mut victim, done).then_some(())?;
            sleepers.push(sleeper(point, Role::Survivor)?);
            // The last one, which lets them through.
            once(point, |joined| assert!(joined.barrier.wait().is_ok()))?;
            (victim.awaken() == Stop::Trapped).then_some(())?;
        }
        point.walk(nth, &mut victim, done);
        killed_at = point.bury(role, victim);
        point.outcome.states.insert(digest(board).word(cue.stage.load(Relaxed).into()).value());
        if !cap {
            // Nobody has found out yet.
            let look = Look::at(board);
            let living = sleepers.len() as u64;
            if due.is_none() && (look.fills() || look.is_led()) && look.inside > living {
                due = Some(came_to::PARTY_DIED);
            }
        }
    }
    if case == Case::Recoverer {
        sleepers[0].1.go_on();
    }
    if !cap && recovers {
        let mut bystander = point.play(Role::Bystander, |_| drop(Joined::new(board).segment.recover()));
        if bystander.wait(point.limit) != Some(Ended::Exit(0)) {
            point.fail(Class::Stuck, "the bystander's recovery failed");
        }
    }
    if let Err((class, why)) = judge(point, case, killed_at, due, sleepers) {
        point.fail(class, why);
    }
    Some(())
}

fn judge(
    point: &mut Point<'_>,
    case: Case,
    killed_at: u64,
    due: Option<u64>,
    sleepers: Vec<(Role, Child)>,
) -> Result<(), (Class, String)> {
    let board = point.board;
    let end = Instant::now() + point.limit;
    let mut fillers = vec![];
    let is_done = |role: Role| board.cue(role).done.is_open();
    while let Some((late, _)) = sleepers.iter().find(|(role, _)| !is_done(*role)) {
        let look = Look::at(board);
        let asleep = sleepers.iter().filter(|(role, _)| !is_done(*role)).count() as u64;
        // Others come when none of the dead is counted: each by itself, since who comes is counted too.
        let missing = (parties(case) as u64).saturating_sub(look.arrivals());
        if look.fills() && fillers.is_empty() && look.inside == asleep && look.arrivals() == asleep {
            let roles = [Role::Barger, Role::Third];
            fillers = roles.into_iter().take(missing as usize).map(|role| (role, party(point, role))).collect();
        }
        if Instant::now() > end {
            let why = format!("{asleep} asleep at {:x}, {} inside", look.word, look.inside);
            return Err((Class::Stuck, why));
        }
        board.cue(*late).done.pass(Duration::from_millis(1));
    }
    let mut ends = vec![];
    for (role, _) in &sleepers {
        let cue = board.cue(*role);
        ends.push(cue.result.load(Relaxed));
        if fillers.is_empty() {
            point.delay(killed_at, cue);
        }
    }
    if ends.iter().any(|end| *end != ends[0] || *end == came_to::OTHER) {
        return Err((Class::Torn, format!("they came to {ends:?}")));
    }
    if let (Some(due), Some(end)) = (due, ends.first())
        && due != *end
    {
        return Err((Class::Unreported, format!("a death was due, and they came to {ends:?}")));
    }
    if !fillers.is_empty() && ends[0] != came_to::PASSED {
        return Err((Class::Leaked, format!("a full round came to {ends:?}")));
    }
    for (role, mut child) in fillers {
        if child.wait(point.limit) != Some(Ended::Exit(0)) || board.cue(role).result.load(Relaxed) != came_to::PASSED {
            return Err((Class::Stuck, "one that came to fill the round did not get through".into()));
        }
    }
    works(point, case)
}

/// Mended, it works, twice.
fn works(point: &Point<'_>, case: Case) -> Result<(), (Class, String)> {
    let (board, stuck) = (point.board, |what: &str| Err((Class::Stuck, format!("in the end: {what}"))));
    board.clear_cast();
    if once(point, |joined| joined.barrier.reset().expect("it can be reset")).is_none() {
        return stuck("the reset");
    }
    let turn = |role| {
        point.play(role, |cue| {
            let joined = Joined::new(board);
            let both = [joined.barrier.wait(), joined.barrier.wait()];
            let bit = |nth: usize| both[nth].as_ref().map_or(0, |passed| 1_u64 << passed.index());
            cue.value.store(bit(0) | bit(1) << 8, Relaxed);
        })
    };
    let roles = [Role::Survivor, Role::Fresh, Role::Barger];
    let children: Vec<_> = roles.into_iter().take(parties(case)).map(|role| (role, turn(role))).collect();
    let mut numbers = 0;
    for (role, mut child) in children {
        if child.wait(point.limit) != Some(Ended::Exit(0)) {
            return stuck("a round");
        }
        numbers |= board.cue(role).value.load(Relaxed);
    }
    let all = (1 << parties(case)) - 1;
    if numbers == all | all << 8 { Ok(()) } else { Err((Class::Torn, format!("numbers {numbers:x} in the end"))) }
}
