//! A process that is stopped, not killed, on its way into or out of a segment, while another comes or goes.
//!
//! | name | the victim, stopped after k steps | the other, meanwhile |
//! |---|---|---|
//! | join, recovery | joins | recovers the dead |
//! | join, join | joins | joins |
//! | join, last leaves | joins | leaves as the last, and the name goes with it |
//! | last leaves, join | leaves as the last | joins, or makes a new segment |
//!
//! The victim goes on when the other has finished or waits for it. Both come to an end; and whoever is in the segment of
//! that name then is met there, in a place of its own, by whoever opens the name afterwards.

use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use ringfence::{Error, Segment, Unlink};

use crate::api::{digest, fresh_name, fresh_segment, join, name, options, orphaned_segment, place};
use crate::board::{Board, Role};
use crate::os::{LIMIT, sleeps_in};
use crate::report::Class;
use crate::scenario::{Options, Point, Scenario, explore, park};
use crate::step::{Unit, marker};

/// What the two do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // see the table above
pub enum Case {
    JoinRecovery,
    JoinJoin,
    JoinLastLeaves,
    LastLeavesJoin,
}

const CASES: [(Case, &str); 4] = [
    (Case::JoinRecovery, "join, recovery"),
    (Case::JoinJoin, "join, join"),
    (Case::JoinLastLeaves, "join, last leaves"),
    (Case::LastLeavesJoin, "last leaves, join"),
];

/// What an operation came to, as a cue tells it.
mod result {
    /// It is in the segment of that name.
    pub const IN: u64 = 1;
    /// It is in none.
    pub const OUT: u64 = 2;
    /// It was refused what is there.
    pub const REFUSED: u64 = 3;
}

/// All of them.
pub fn scenarios() -> Vec<Scenario> {
    let mut all = vec![];
    for (case, label) in CASES {
        for (unit, suffix) in [(Unit::Instruction, ""), (Unit::SystemCall, " at system calls")] {
            all.push(scenario(&format!("overtaken: {label}{suffix}"), case, unit, operate));
        }
    }
    all
}

/// One of them, in which the victim does `operate`: whether it is in, and what keeps it there.
pub fn scenario<K: 'static>(
    name: &str,
    case: Case,
    unit: Unit,
    operate: fn(&'static Board, Case) -> Result<Option<K>, Error>,
) -> Scenario {
    Scenario::new(name, move |options| {
        let mut options = Options { unit, alone: true, ..*options };
        // There are few system calls, and what matters to others is between two of them: no sample leaves one out.
        options.budget = match unit {
            Unit::Instruction => options.budget.map(|budget| (budget / 2).max(4)),
            Unit::SystemCall => None,
        };
        let board = Board::new();
        explore(board, 1, &options, |point| {
            if let Err((class, why)) = play(point, case, operate) {
                point.fail(class, why);
            }
        })
    })
}

fn with_last() -> ringfence::SegmentOptions {
    options().unlink(Unlink::WithLast)
}

/// What the victim does.
fn operate(board: &'static Board, case: Case) -> Result<Option<Segment>, Error> {
    let at = name(board);
    match case {
        Case::JoinRecovery | Case::JoinJoin | Case::JoinLastLeaves => {
            marker();
            Segment::open(&at).map(Some)
        }
        Case::LastLeavesJoin => {
            let segment = Segment::open_or_create(&at, &with_last())?;
            marker();
            drop(segment);
            Ok(None)
        }
    }
}

/// What the other does, which has `before` from the beginning.
fn overtake(board: &'static Board, case: Case, before: Option<Segment>) -> Result<Option<Segment>, Error> {
    let at = name(board);
    match case {
        Case::JoinRecovery => {
            if let Some(segment) = &before {
                segment.recover()?;
            }
            Ok(before)
        }
        Case::JoinJoin => Segment::open(&at).map(Some),
        Case::JoinLastLeaves => Ok(None),
        Case::LastLeavesJoin => Segment::open_or_create(&at, &with_last()).map(Some),
    }
}

fn code<K>(result: &Result<Option<K>, Error>) -> u64 {
    match result {
        Ok(Some(_)) => result::IN,
        Ok(None) | Err(Error::Missing) => result::OUT,
        Err(error) => {
            eprintln!("refused: {error}");
            result::REFUSED
        }
    }
}

fn play<K>(
    point: &mut Point<'_>,
    case: Case,
    operate: fn(&'static Board, Case) -> Result<Option<K>, Error>,
) -> Result<(), (Class, String)> {
    let (board, limit) = (point.board, point.limit);
    let stuck = |what: &str| (Class::Stuck, what.to_string());
    match case {
        Case::JoinLastLeaves => fresh_name(board),
        Case::LastLeavesJoin => orphaned_segment(board),
        _ => fresh_segment(board, |_| {}),
    }
    let other = board.cue(Role::Bystander);
    let mut bystander = point.play(Role::Bystander, |cue| {
        let before = match case {
            Case::JoinRecovery => Some(join(board)),
            Case::JoinLastLeaves => Some(Segment::create(&name(board), &with_last()).expect("a segment")),
            _ => None,
        };
        cue.ready.open();
        cue.go.pass(LIMIT);
        let kept = overtake(board, case, before);
        cue.result.store(code(&kept), Relaxed);
        cue.done.open();
        park();
    });
    other.ready.pass(limit).then_some(()).ok_or(stuck("a preparation"))?;
    let mine = board.cue(Role::Victim);
    let begun = point.victim(Role::Victim, |cue| {
        let kept = operate(board, case);
        cue.result.store(code(&kept), Relaxed);
        cue.stage.store(1, Release);
        cue.done.open();
        park();
    });
    let mut victim = begun.ok_or(stuck("no victim"))?;
    point.walk(0, &mut victim, || mine.stage.load(Acquire) == 1);
    point.outcome.states.insert(digest(board).word(mine.stage.load(Relaxed).into()).value());

    other.go.open();
    // Whoever waits for a door, or for recovery, naps.
    while !other.done.is_open() && !sleeps_in(bystander.pid(), libc::SYS_clock_nanosleep) {
        if bystander.ended().is_some() {
            return Err(stuck("the other ended"));
        }
        std::thread::yield_now();
    }
    victim.release();
    mine.done.pass(limit).then_some(()).ok_or(stuck("the victim, when it goes on"))?;
    other.done.pass(limit).then_some(()).ok_or(stuck("the other"))?;

    let judge = board.cue(Role::Survivor);
    let cast = [(mine, victim.pid()), (other, bystander.pid())];
    let inside = cast.map(|(cue, pid)| (cue.result.load(Relaxed) == result::IN).then_some(pid));
    if cast.iter().any(|(cue, _)| cue.result.load(Relaxed) == result::REFUSED) {
        return Err(stuck("refused what is there"));
    }
    let _judge = point.play(Role::Survivor, |cue| {
        let segment = Segment::open(&name(board));
        let met = |pid| segment.as_ref().ok().and_then(|segment| place(segment, pid)).unwrap_or(0);
        for pid in inside {
            board.note(pid.map_or(0, met));
        }
        board.note(segment.as_ref().map_or(0, |segment| segment.participants().len() as u64));
        cue.done.open();
        park();
    });
    judge.done.pass(limit).then_some(()).ok_or(stuck("whoever opens it afterwards"))?;
    let [first, second, all] = [0, 1, 2].map(|nth| board.log[nth].load(Relaxed));
    let claims = inside.map(|pid| pid.is_some());
    if claims != [first > 0, second > 0] || claims == [true; 2] && first == second {
        return Err((Class::Lost, format!("in it are {claims:?}, met in places {first} and {second} of {all}")));
    }
    // The judge is one more, where there is a segment.
    let expected = claims.iter().filter(|claim| **claim).count() as u64;
    if all > 0 && all != expected + 1 {
        return Err((Class::Leaked, format!("{all} participants, expected {expected} and one more")));
    }
    Ok(())
}
