//! Several items by one call: a prefix of them, or all of them or none, whoever is killed.
//!
//! | name | asleep | the victim |
//! |---|---|---|
//! | push | nobody | pushes three, behind one |
//! | push, consumer asleep | one consumer | pushes three |
//! | pop | nobody | pops three of four |
//! | pop, producer asleep | one producer | pops three of four |
//!
//! After the kill a bystander recovers the dead, once. What is there then must have reached the sleeper, or must have made
//! room for it; where nothing came of the call, one whole operation must. Then everything is drained, and all the room must
//! be there.

use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use ringfence::primitive::AtomicU64;
use ringfence::raw::backoff::Backoff;
use ringfence::raw::channel::{Many, RecvFailure, SendFailure};
use ringfence::raw::queue::{PopFailure, PushFailure};
use ringfence::raw::words;
use ringfence::sys::nap::Wait;

use crate::board::{Board, Oracle, Role};
use crate::channel::{self, bytes, value as value_of};
use crate::fifos::{Fifo, NOW, No, WORDS};
use crate::locks::FOREVER;
use crate::os::{Child, Ended, now_ns};
use crate::queue;
use crate::report::{Class, Outcome};
use crate::scenario::{Options, Point, Scenario, explore};
use crate::step::marker;

/// A queue whose calls take several.
pub trait Batches: Fifo {
    /// Whether of a call that is killed all is there, or nothing; else a prefix is.
    const WHOLE: bool;
    /// Appends as many as there is room for.
    fn push_many(joined: &mut Self::Joined, values: &[u64], wait: Wait) -> Result<usize, No>;
    /// Takes as many as there are.
    fn pop_many(joined: &mut Self::Joined, values: &mut [u64], wait: Wait) -> Result<usize, No>;
}

impl Batches for queue::Shipped {
    const WHOLE: bool = false;

    fn push_many(joined: &mut Self::Joined, values: &[u64], wait: Wait) -> Result<usize, No> {
        let (queue, me, oracle) = (joined.queue, joined.role.owner(), Oracle(joined.board));
        let write = |nth: usize, data: &[AtomicU64]| words::store(data, &bytes(values[nth]));
        queue.push_many(me, values.len(), &oracle, wait, |_| Backoff::new(), write).map_err(|failure| match failure {
            PushFailure::Full => No::Full,
            _ => No::Other,
        })
    }

    fn pop_many(joined: &mut Self::Joined, values: &mut [u64], wait: Wait) -> Result<usize, No> {
        let (queue, oracle, most) = (joined.queue, Oracle(joined.board), values.len());
        let (mut item, mut torn) = ([0; 8 * WORDS], false);
        let accept = |nth: usize, item: &[u8]| match value_of(item) {
            Ok(value) => values[nth] = value,
            Err(_) => torn = true,
        };
        let popped = queue.pop_many(most, &mut item, &oracle, wait, |_| Backoff::new(), accept);
        match popped {
            Ok(_) if torn => Err(No::Torn),
            Ok(count) => Ok(count),
            Err(PopFailure::Empty) => Err(No::Empty),
            Err(PopFailure::Busy) => Err(No::Busy),
            Err(_) => Err(No::Other),
        }
    }
}

impl Batches for channel::Shipped {
    const WHOLE: bool = true;

    fn push_many(joined: &mut Self::Joined, values: &[u64], wait: Wait) -> Result<usize, No> {
        let messages: [_; MANY] = std::array::from_fn(|nth| bytes(values[nth]));
        let (me, oracle) = (joined.role.owner(), Oracle(joined.board));
        joined.channel.send_many(me, values.len(), |nth| &messages[nth], &oracle, wait).map_err(|failure| match failure
        {
            SendFailure::Full => No::Full,
            _ => No::Other,
        })
    }

    fn pop_many(joined: &mut Self::Joined, values: &mut [u64], wait: Wait) -> Result<usize, No> {
        let (me, oracle, most) = (joined.role.owner(), Oracle(joined.board), values.len());
        let mut torn = false;
        let received = joined.channel.recv_many(me, most, &oracle, wait, |nth, parts| {
            let mut buffer = [0; 8 * WORDS];
            parts.load_at(0, &mut buffer);
            match value_of(&buffer[..parts.bytes().min(8 * WORDS)]) {
                Ok(value) => values[nth] = value,
                Err(_) => torn = true,
            }
            true
        });
        match received {
            Ok(_) if torn => Err(No::Torn),
            Ok(Many::Received(count)) => Ok(count),
            Err(RecvFailure::Empty) => Err(No::Empty),
            Ok(Many::Long(_)) | Err(_) => Err(No::Other),
        }
    }
}

/// What the victim does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // see the table above
pub enum Case {
    Push,
    Pop,
}

/// Items of a call, and places.
const MANY: usize = 3;
const CAPACITY: usize = 4;
/// The first item of the victim's, of what is there before; the sleeper's, and the helper's.
const VICTIMS: u64 = 50;
const THERE: u64 = 100;
const SLEEPERS: u64 = 70;
const HELPERS: u64 = 60;

/// All of them.
pub fn scenarios() -> Vec<Scenario> {
    let mut all = vec![];
    for (case, label) in [(Case::Push, "push"), (Case::Pop, "pop")] {
        all.push(scenario::<queue::Shipped>("queue batch", case, label, false, true));
        all.push(scenario::<channel::Shipped>("channel batch", case, label, false, true));
    }
    for cap in [true, false] {
        for (case, label) in [(Case::Push, "push, consumer asleep"), (Case::Pop, "pop, producer asleep")] {
            all.push(scenario::<queue::Shipped>("queue batch", case, label, true, cap));
            all.push(scenario::<channel::Shipped>("channel batch", case, label, true, cap));
        }
    }
    all
}

/// One of them.
pub fn scenario<B: Batches>(name: &str, case: Case, label: &str, asleep: bool, cap: bool) -> Scenario {
    let suffix = if cap { "" } else { " cap-off" };
    Scenario::new(format!("{name} {label}{suffix}"), move |options| run::<B>(case, asleep, cap, options))
}

fn run<B: Batches>(case: Case, asleep: bool, cap: bool, options: &Options) -> Outcome {
    let board = Board::new();
    board.uncapped.store(u32::from(!cap), Relaxed);
    explore(board, 1, options, |point| {
        B::reset(board, CAPACITY);
        match staged::<B>(point, case, asleep) {
            Some(Ok(())) => {}
            Some(Err((class, why))) => point.fail(class, why),
            None => point.skip(),
        }
    })
}

/// Runs `body` in a process that must end well.
fn once<B: Batches>(point: &Point<'_>, role: Role, body: impl FnOnce(&mut B::Joined)) -> Option<()> {
    let board = point.board;
    let mut child = point.play(role, |_| body(&mut B::join(board, CAPACITY, role)));
    (child.wait(point.limit) == Some(Ended::Exit(0))).then_some(())
}

/// What is there before the victim comes.
fn there(case: Case, asleep: bool) -> Vec<u64> {
    let count = match (case, asleep) {
        (Case::Push, true) => 0,
        (Case::Push, false) => 1,
        (Case::Pop, _) => CAPACITY as u64,
    };
    (0..count).map(|nth| THERE + nth).collect()
}

fn sleeper<B: Batches>(point: &Point<'_>, case: Case) -> Option<Child> {
    let board = point.board;
    let mut child = point.play(Role::Survivor, |cue| {
        let mut joined = B::join(board, CAPACITY, Role::Survivor);
        cue.asked.store(now_ns(), Relaxed);
        let outcome = match case {
            Case::Push => B::pop(&mut joined, FOREVER),
            Case::Pop => B::push(&mut joined, SLEEPERS, FOREVER).map(|()| 0),
        };
        cue.got.store(now_ns(), Relaxed);
        cue.result.store(outcome.map_or_else(No::code, |_| 1), Relaxed);
        cue.value.store(outcome.unwrap_or(0), Relaxed);
        cue.done.open();
    });
    child.settles(point.limit).then_some(child)
}

/// Plays it; `None` if it cannot be staged.
fn staged<B: Batches>(point: &mut Point<'_>, case: Case, asleep: bool) -> Option<Result<(), (Class, String)>> {
    let board = point.board;
    let before = there(case, asleep);
    once::<B>(point, Role::Script, |joined| {
        // So that the call wraps.
        for _ in 0..2 {
            assert_eq!(B::push(joined, 1, NOW), Ok(()));
            assert_eq!(B::pop(joined, NOW), Ok(1));
        }
        before.iter().for_each(|value| assert_eq!(B::push(joined, *value, NOW), Ok(())));
    })?;
    let sleeper = if asleep { Some(sleeper::<B>(point, case)?) } else { None };
    let mut victim = point.victim(Role::Victim, |cue| {
        let mut joined = B::join(board, CAPACITY, Role::Victim);
        let mut values: [u64; MANY] = std::array::from_fn(|nth| VICTIMS + nth as u64);
        marker();
        let outcome = match case {
            Case::Push => B::push_many(&mut joined, &values, NOW),
            Case::Pop => B::pop_many(&mut joined, &mut values, NOW),
        };
        let right = case == Case::Push || values == std::array::from_fn(|nth| THERE + nth as u64);
        let outcome = if right { outcome } else { Err(No::Torn) };
        cue.result.store(outcome.map_or_else(No::code, |_| 1), Relaxed);
        cue.value.store(outcome.unwrap_or(0) as u64, Relaxed);
        cue.stage.store(1, Release);
    })?;
    let cue = board.cue(Role::Victim);
    point.walk(0, &mut victim, || cue.stage.load(Acquire) == 1);
    let killed_at = point.bury(Role::Victim, victim);
    let returned = cue.stage.load(Acquire) == 1;
    point.outcome.states.insert(B::digest(board).word(returned.into()).value());
    if returned && (cue.result.load(Relaxed) != 1 || cue.value.load(Relaxed) != MANY as u64) {
        let no = No::of(cue.result.load(Relaxed));
        return Some(Err((Class::Unreported, format!("{no:?}, {} of {MANY}", cue.value.load(Relaxed)))));
    }
    Some(judged::<B>(point, case, before, returned, sleeper, killed_at))
}

fn judged<B: Batches>(
    point: &mut Point<'_>,
    case: Case,
    before: Vec<u64>,
    returned: bool,
    sleeper: Option<Child>,
    killed_at: u64,
) -> Result<(), (Class, String)> {
    let board = point.board;
    let stuck = |what: &str| (Class::Stuck, what.to_owned());
    once::<B>(point, Role::Bystander, |joined| B::recover(joined, Role::Victim)).ok_or(stuck("a recoverer"))?;
    let mut joined = B::join(board, CAPACITY, Role::Fresh);
    let mut got = vec![];
    let mut helped = false;
    if sleeper.is_some() {
        let cue = board.cue(Role::Survivor);
        let nothing_came = match case {
            Case::Push => B::len(&mut joined) == 0,
            Case::Pop => B::len(&mut joined) == CAPACITY,
        };
        // Or it has been and gone: then the sleeper is done, and this is one more.
        helped = nothing_came && !cue.done.is_open();
        let mut first = None;
        if helped {
            match case {
                Case::Push => B::push(&mut joined, HELPERS, NOW).map_err(|no| (Class::Leaked, format!("{no:?}")))?,
                Case::Pop => first = Some(B::pop(&mut joined, NOW).map_err(|no| (Class::Lost, format!("{no:?}")))?),
            }
        }
        if !cue.done.pass(point.limit) || cue.result.load(Relaxed) != 1 {
            return Err(stuck("the sleeper does not get on"));
        }
        point.delay(killed_at, cue);
        got.extend(first);
        got.extend((case == Case::Push).then(|| cue.value.load(Relaxed)));
    }
    let drain = |joined: &mut B::Joined, got: &mut Vec<u64>| {
        loop {
            match B::pop(joined, NOW) {
                Ok(value) if got.len() < 64 => got.push(value),
                Err(No::Empty) => return Ok(()),
                other => return Err((Class::Torn, format!("{other:?} after {got:?}"))),
            }
        }
    };
    drain(&mut joined, &mut got)?;
    // What must have come, for each part of the call that may have happened.
    let batch: Vec<u64> = (0..MANY as u64).map(|nth| VICTIMS + nth).collect();
    let parts: Vec<usize> = if returned { vec![MANY] } else { (0..=MANY).collect() };
    let expected = |part: usize| match case {
        Case::Push => [&before[..], &batch[..part], if helped { &[HELPERS] } else { &[] }].concat(),
        Case::Pop => [&before[part..], if sleeper.is_some() { &[SLEEPERS] } else { &[] }].concat(),
    };
    match parts.into_iter().find(|part| expected(*part) == got) {
        None => return Err((Class::Lost, format!("no prefix: {got:?}, returned: {returned}"))),
        Some(part) if B::WHOLE && part % MANY != 0 => return Err((Class::Torn, format!("{part} of {MANY}: {got:?}"))),
        Some(_) => {}
    }
    let mut room = 0;
    while room < 2 * CAPACITY && B::push(&mut joined, room as u64, NOW).is_ok() {
        room += 1;
    }
    if room != CAPACITY {
        return Err((Class::Leaked, format!("room for {room}")));
    }
    let mut again = vec![];
    drain(&mut joined, &mut again)?;
    if again.len() != CAPACITY {
        return Err((Class::Lost, format!("{again:?} of a refill")));
    }
    Ok(())
}
