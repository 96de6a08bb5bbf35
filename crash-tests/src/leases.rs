//! Work that fails, is kept, waited for, and set aside: what a victim had comes back, as often as it was delivered says, and
//! is set aside when it may not be delivered again; whoever waits for the end of all work is told when it comes, and not before.
//!
//! | name | before | the victim |
//! |---|---|---|
//! | fails | two messages | takes one, and fails it |
//! | fails for good | one, which failed once | the same: that makes it a dead letter, and was all the work |
//! | keeps | one | takes it, keeps it, and reports it |
//! | finishes | one | takes it, and reports it |
//! | buries | a dead letter, and a message | takes the dead letter, and reports it |
//! | looks | the same | takes the dead letter, and leaves it one |
//! | joins | somebody has one | waits for the end of all work |
//! | woken joiner | the same | has waited, and that was it |
//! | recovers leases | somebody died with one taken, one kept, and a dead letter | recovers it |
//! | delivered twice | one | takes it; and after it a second one |
//! | fails twice | one | takes it, and fails it; and after it a second one |
//! | fails, finishes | two | takes one, and fails it; a second one takes one, and reports it |
//! | fails, buries | one, which failed once | takes it, and fails it; a second one takes a dead letter, and reports it |
//!
//! Beside them others wait for the end of all work, asleep. Everybody writes down what it is about to do, and what came of it;
//! from that follows how often each message was delivered, within one for each who was killed at a take. Afterwards somebody
//! takes all there is: each message is there once, or was reported done; it says how often it was delivered; those that were
//! as often as they may be are dead letters, and no others; then all sleepers are told, and all the room is there.

use std::collections::HashMap;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use crate::board::{Board, Cue, Role};
use crate::desk::{ApiDesk, CAPACITY, Desk, LIMIT, Raw};
use crate::os::{Child, Ended, LIMIT as PATIENCE, now_ns};
use crate::report::{Class, Outcome};
use crate::scenario::{Options, Point, Scenario, explore, park, to_sleep};
use crate::step::{Stop, marker};

/// What a process does with the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Push(u64),
    Take,
    TakeDead,
    Done,
    Fail,
    Keep,
    TaskDone,
    Join,
    /// The dead holder.
    Recover,
}
use Step::{Done, Fail, Join, Keep, Push, Recover, Take, TakeDead, TaskDone};

/// What is the same whatever else happens.
#[derive(Clone, Copy, Debug)]
struct Plan {
    label: &'static str,
    /// Done before, by somebody who leaves.
    before: &'static [Step],
    /// Done before, by somebody who is dead then, or goes on when told to and reports what it has done.
    holder: &'static [Step],
    /// One of these after the other is killed.
    victims: &'static [&'static [Step]],
}

const NOBODY: &[Step] = &[];

const PLANS: [Plan; 13] = [
    Plan { label: "fails", before: &[Push(1), Push(2)], holder: NOBODY, victims: &[&[Take, Fail]] },
    Plan { label: "fails for good", before: &[Push(1), Take, Fail], holder: NOBODY, victims: &[&[Take, Fail]] },
    Plan { label: "keeps", before: &[Push(1)], holder: NOBODY, victims: &[&[Take, Keep, TaskDone]] },
    Plan { label: "finishes", before: &[Push(1)], holder: NOBODY, victims: &[&[Take, Done]] },
    Plan {
        label: "buries",
        before: &[Push(1), Take, Fail, Take, Fail, Push(2)],
        holder: NOBODY,
        victims: &[&[TakeDead, Done]],
    },
    Plan {
        label: "looks",
        before: &[Push(1), Take, Fail, Take, Fail, Push(2)],
        holder: NOBODY,
        victims: &[&[TakeDead, Fail]],
    },
    Plan { label: "joins", before: &[Push(1)], holder: &[Take], victims: &[&[Join]] },
    Plan { label: "woken joiner", before: &[Push(1)], holder: &[Take], victims: &[&[Join]] },
    Plan {
        label: "recovers leases",
        before: &[Push(3), Take, Fail, Take, Fail, Push(1), Push(2)],
        holder: &[TakeDead, Take, Take, Keep],
        victims: &[&[Recover]],
    },
    Plan { label: "delivered twice", before: &[Push(1)], holder: NOBODY, victims: &[&[Take], &[Take]] },
    Plan { label: "fails twice", before: &[Push(1)], holder: NOBODY, victims: &[&[Take, Fail], &[Take, Fail]] },
    Plan {
        label: "fails, finishes",
        before: &[Push(1), Push(2)],
        holder: NOBODY,
        victims: &[&[Take, Fail], &[Take, Done]],
    },
    Plan {
        label: "fails, buries",
        before: &[Push(1), Take, Fail],
        holder: NOBODY,
        victims: &[&[Take, Fail], &[TakeDead, Done]],
    },
];

impl Plan {
    /// Who waits for what the holder has.
    fn joins(self) -> bool {
        self.victims[0] == [Join]
    }

    fn woken(self) -> bool {
        self.label == "woken joiner"
    }
}

/// All of them: the algorithm with the cap on sleeps and without, the public API with it.
pub fn scenarios() -> Vec<Scenario> {
    let all = |cap: bool| PLANS.map(|plan| of::<Raw<false>>("work queue", plan, cap));
    let api = PLANS.map(|plan| of::<ApiDesk>("WorkQueue", plan, true));
    [all(true), all(false), api].into_iter().flatten().collect()
}

/// The one of that label.
///
/// # Panics
/// If there is none.
pub fn scenario<D: Desk>(name: &str, label: &str) -> Scenario {
    of::<D>(name, *PLANS.iter().find(|plan| plan.label == label).expect("a label of the table"), true)
}

fn of<D: Desk>(name: &str, plan: Plan, cap: bool) -> Scenario {
    let suffix = if cap { "" } else { " cap-off" };
    Scenario::new(format!("{name} {}{suffix}", plan.label), move |options| run::<D>(plan, cap, options))
}

fn run<D: Desk>(plan: Plan, cap: bool, options: &Options) -> Outcome {
    let board = Board::new();
    board.uncapped.store(u32::from(!cap), Relaxed);
    explore(board, plan.victims.len(), options, |point| {
        D::reset(board);
        match stage::<D>(point, plan, cap) {
            None => point.skip(),
            Some(Ok(())) => {}
            Some(Err((class, why))) => point.fail(class, why),
        }
    })
}

type Verdict = Result<(), (Class, String)>;

/// What is written down: which, in the highest byte; the message, and a number that belongs to it.
mod event {
    /// About to take. Then one of the next three.
    pub const ASKS: u64 = 1;
    /// A message, and its deliveries.
    pub const TOOK: u64 = 2;
    /// A dead letter, and its deliveries.
    pub const SAW: u64 = 3;
    pub const NOTHING: u64 = 4;
    /// About to report a message done.
    pub const FINISHES: u64 = 5;
    /// That has returned, or whatever else was done with it.
    pub const ENDED: u64 = 6;
    pub const JOINED: u64 = 7;
    pub const PUSHED: u64 = 8;
    pub const TORN: u64 = 9;
    pub const REFUSED: u64 = 10;
    /// From here on the judge writes.
    pub const JUDGE: u64 = 11;
    /// It took messages until here; of dead letters the same.
    pub const EMPTY: u64 = 12;
    /// Nothing is unfinished; the number says so.
    pub const ALL_DONE: u64 = 13;
    /// So many could be pushed at the end.
    pub const ROOM: u64 = 14;
}

fn note(board: &Board, event: u64, message: u64, number: u64) {
    board.note(event << 56 | message << 28 | number);
}

/// Goes through the steps.
fn perform<D: Desk>(joined: &D::Joined, steps: &[Step], board: &'static Board) {
    let mut held: Option<(D::Lease<'_>, u64)> = None;
    let mut kept = 0;
    for step in steps {
        match step {
            Push(value) => note(board, if D::push(joined, *value) { event::PUSHED } else { event::REFUSED }, *value, 0),
            Take | TakeDead => {
                let dead = *step == TakeDead;
                note(board, event::ASKS, 0, u64::from(dead));
                match if dead { D::take_dead(joined) } else { D::take(joined) } {
                    Some(lease) => {
                        let (value, deliveries) = D::read(joined, &lease);
                        let what = if dead { event::SAW } else { event::TOOK };
                        note(
                            board,
                            if value.is_some() { what } else { event::TORN },
                            value.unwrap_or(0),
                            deliveries.into(),
                        );
                        // What it had before it has still.
                        std::mem::forget(held.replace((lease, value.unwrap_or(0))));
                    }
                    None => note(board, event::NOTHING, 0, 0),
                }
            }
            Done | Fail | Keep => {
                let Some((lease, value)) = held.take() else { continue };
                if *step == Done {
                    note(board, event::FINISHES, value, 0);
                }
                kept = value;
                let ended = match step {
                    Done => D::done(joined, lease),
                    Fail => D::fail(joined, lease),
                    _ => D::keep(joined, lease),
                };
                note(board, if ended { event::ENDED } else { event::REFUSED }, value, u64::from(*step == Done));
            }
            TaskDone if kept == 0 => {}
            TaskDone => {
                note(board, event::FINISHES, kept, 0);
                let ended = D::task_done(joined);
                note(board, if ended { event::ENDED } else { event::REFUSED }, kept, 1);
            }
            Join => {
                let joined = D::join_all(joined, true);
                note(board, if joined { event::JOINED } else { event::REFUSED }, 0, 0);
            }
            Recover => D::recover(joined, &[Role::Holder]),
        }
    }
    std::mem::forget(held);
}

/// Somebody does one thing, and is gone.
fn once<D: Desk>(point: &Point<'_>, role: Role, body: impl FnOnce(&D::Joined, &'static Board)) -> Verdict {
    let board = point.board;
    let mut child = point.play(role, |_| body(&D::join(board, role), board));
    match child.wait(point.limit) {
        Some(Ended::Exit(0)) => Ok(()),
        ended => Err((Class::Stuck, format!("{role:?} beside the dead: {ended:?}"))),
    }
}

/// Somebody who waits for the end of all work, asleep.
fn joiner<D: Desk>(point: &Point<'_>, role: Role) -> Option<Child> {
    let board = point.board;
    let mut child = point.play(role, |cue| {
        let joined = D::join(board, role);
        cue.asked.store(now_ns(), Relaxed);
        cue.result.store(D::join_all(&joined, true).into(), Relaxed);
        cue.got.store(now_ns(), Relaxed);
        cue.done.open();
        park();
    });
    child.settles(point.limit).then_some(child)
}

fn holder<D: Desk>(point: &Point<'_>, plan: Plan) -> Option<Child> {
    let board = point.board;
    let child = point.play(Role::Holder, |cue| {
        let joined = D::join(board, Role::Holder);
        let steps = plan.holder;
        if !plan.joins() {
            perform::<D>(&joined, steps, board);
            cue.ready.open();
            park();
        }
        // It reports what it took last.
        note(board, event::ASKS, 0, 0);
        let lease = D::take(&joined).expect("there is one");
        let (value, deliveries) = D::read(&joined, &lease);
        note(board, event::TOOK, value.unwrap_or(0), deliveries.into());
        cue.ready.open();
        cue.go.pass(PATIENCE);
        note(board, event::FINISHES, value.unwrap_or(0), 0);
        D::done(&joined, lease);
        note(board, event::ENDED, value.unwrap_or(0), 1);
        cue.done.open();
        park();
    });
    board.cue(Role::Holder).ready.pass(point.limit).then_some(child)
}

const VICTIMS: [Role; 2] = [Role::Victim, Role::Second];
const SLEEPERS: [Role; 2] = [Role::Survivor, Role::Barger];

fn stage<D: Desk>(point: &mut Point<'_>, plan: Plan, cap: bool) -> Option<Verdict> {
    let board = point.board;
    once::<D>(point, Role::Script, |joined, board| perform::<D>(joined, plan.before, board)).ok()?;
    let mut held_by = match plan.holder {
        NOBODY => None,
        _ => Some(holder::<D>(point, plan)?),
    };
    let (mut sleepers, mut dead, mut killed_at) = (vec![], vec![], 0);
    for (nth, (steps, role)) in plan.victims.iter().zip(VICTIMS).enumerate() {
        let cue = board.cue(role);
        let mut victim = point.victim(role, |cue| {
            let joined = D::join(board, role);
            marker();
            perform::<D>(&joined, steps, board);
            cue.stage.store(1, Release);
            std::mem::forget(joined);
        })?;
        let done = || cue.stage.load(Acquire) == 1;
        if plan.woken() {
            to_sleep(&mut victim, done).then_some(())?;
        }
        if nth == 0 {
            for role in SLEEPERS {
                sleepers.push((role, joiner::<D>(point, role)?));
            }
        }
        if plan.woken() {
            release(point)?;
            (victim.awaken() == Stop::Trapped).then_some(())?;
        }
        if steps[..] == [Recover] {
            if cap {
                // They would be faster.
                sleepers.iter().for_each(|(_, sleeper)| sleeper.stop());
            }
            held_by.take()?.kill();
            board.bury(Role::Holder);
            dead.push(Role::Holder);
        }
        point.walk(nth, &mut victim, done);
        killed_at = point.bury(role, victim);
        dead.push(role);
        let state = D::digest(board).word(cue.stage.load(Relaxed).into()).word(board.logged.load(Relaxed));
        point.outcome.states.insert(state.value());
    }
    // Whoever has been told by now was told before anything else was done.
    let told = sleepers.iter().any(|(role, _)| board.cue(*role).done.is_open());
    sleepers.iter().for_each(|(_, sleeper)| sleeper.go_on());
    Some(judge::<D>(point, plan, cap, told, &dead, killed_at))
}

/// Has the holder report.
fn release(point: &Point<'_>) -> Option<()> {
    let cue: &Cue = point.board.cue(Role::Holder);
    cue.go.open();
    cue.done.pass(point.limit).then_some(())
}

fn judge<D: Desk>(point: &mut Point<'_>, plan: Plan, cap: bool, told: bool, dead: &[Role], killed_at: u64) -> Verdict {
    let board = point.board;
    if !cap {
        once::<D>(point, Role::Bystander, |joined, _| D::recover(joined, dead))?;
    }
    let mut early = false;
    if plan.joins() && !plan.woken() {
        early = told || events(board).iter().any(|(event, ..)| *event == event::JOINED);
        release(point).ok_or((Class::Stuck, "who has the message cannot report it".to_owned()))?;
    }
    once::<D>(point, Role::Fresh, |joined, board| {
        note(board, event::JUDGE, 0, 0);
        take_all::<D>(joined, board, false);
        take_all::<D>(joined, board, true);
        note(board, event::ALL_DONE, 0, D::join_all(joined, false).into());
        note(board, event::ROOM, 0, (0..CAPACITY + 2).take_while(|_| D::push(joined, 7)).count() as u64);
        while let Some(lease) = D::take(joined) {
            assert!(D::done(joined, lease), "what was pushed at the end");
        }
    })?;
    let found = weigh(&events(board))?;
    // What was there at the end was unfinished all the time.
    if early || told && found {
        return Err((Class::Lost, "the end of all work was told, and a message was unfinished".to_owned()));
    }
    for role in SLEEPERS {
        let cue = board.cue(role);
        if !cue.done.pass(point.limit) {
            return Err((Class::Stuck, format!("{role:?} waits, and all work is done")));
        }
        if cue.result.load(Relaxed) != 1 {
            return Err((Class::Stuck, format!("{role:?} was refused")));
        }
        point.delay(killed_at, cue);
    }
    Ok(())
}

/// Takes all, writes it down, and reports it done.
fn take_all<D: Desk>(joined: &D::Joined, board: &'static Board, dead: bool) {
    let next = || if dead { D::take_dead(joined) } else { D::take(joined) };
    for lease in std::iter::from_fn(next).take(4 * CAPACITY as usize) {
        let (value, deliveries) = D::read(joined, &lease);
        let what = if dead { event::SAW } else { event::TOOK };
        note(board, if value.is_some() { what } else { event::TORN }, value.unwrap_or(0), deliveries.into());
        assert!(D::done(joined, lease), "what was taken at the end");
    }
    note(board, event::EMPTY, 0, 0);
}

fn events(board: &Board) -> Vec<(u64, u64, u64)> {
    let logged = board.logged.load(Acquire) as usize;
    let low = (1 << 28) - 1;
    let word = |word: u64| (word >> 56, word >> 28 & low, word & low);
    board.log[..logged.min(board.log.len())].iter().map(|entry| word(entry.load(Relaxed))).collect()
}

/// What is known of a message.
#[derive(Clone, Copy, Debug, Default)]
struct Known {
    deliveries: u64,
    /// Somebody was about to report it, and perhaps has; or surely.
    perhaps_done: bool,
    done: bool,
    found: u32,
}

/// Whether all that was written down fits; then, whether the judge found a message that was no dead letter.
fn weigh(events: &[(u64, u64, u64)]) -> Result<bool, (Class, String)> {
    let mut all: HashMap<u64, Known> = HashMap::new();
    let end = events.iter().position(|(event, ..)| *event == event::JUDGE).unwrap_or(events.len());
    let (before, after) = events.split_at(end);
    let limit = u64::from(LIMIT);
    // Takes that were killed: each may have delivered one message once more than is known.
    let (mut spare, mut asking) = (0_i64, None);
    for &(event, message, number) in before {
        let nowhere = || (Class::Duplicated, format!("message {message} from nowhere"));
        match event {
            event::PUSHED => drop(all.insert(message, Known::default())),
            event::ASKS => spare += i64::from(asking.replace(number) == Some(0)),
            event::NOTHING => asking = None,
            event::TOOK | event::SAW => {
                asking = None;
                let known = all.get_mut(&message).ok_or_else(nowhere)?;
                let least = known.deliveries + u64::from(event == event::TOOK);
                if number < least || number > limit || event == event::SAW && number != limit || known.done {
                    let why = format!("message {message}: {number} deliveries, and {known:?} are known");
                    return Err((Class::Duplicated, why));
                }
                known.deliveries = number;
                spare -= (number - least) as i64;
            }
            event::FINISHES => all.get_mut(&message).ok_or_else(nowhere)?.perhaps_done = true,
            event::ENDED if number == 1 => all.get_mut(&message).ok_or_else(nowhere)?.done = true,
            event::ENDED | event::JOINED => {}
            event::TORN => return Err((Class::Torn, "a torn message".to_owned())),
            _ => return Err((Class::Stuck, format!("message {message} was refused ({event})"))),
        }
    }
    spare += i64::from(asking == Some(0));
    let mut found = false;
    let mut letters = false;
    for &(event, message, number) in after {
        match event {
            event::TOOK | event::SAW => {
                let nowhere = (Class::Duplicated, format!("message {message} from nowhere"));
                let known = all.get_mut(&message).ok_or(nowhere)?;
                known.found += 1;
                found |= event == event::TOOK;
                let before = number - u64::from(event == event::TOOK);
                if letters != (event == event::SAW) || before < known.deliveries || number > limit {
                    let why = format!("message {message}: {number} deliveries, and {known:?}");
                    return Err((Class::Unreported, why));
                }
                if event == event::SAW && number != limit {
                    return Err((Class::Lost, format!("message {message} set aside after {number} deliveries")));
                }
                spare -= (before - known.deliveries) as i64;
            }
            event::EMPTY => letters = true,
            event::ALL_DONE if number == 0 => {
                return Err((Class::Stuck, "something is unfinished for ever".to_owned()));
            }
            event::ROOM if number != CAPACITY => return Err((Class::Leaked, format!("room for {number}"))),
            event::TORN => return Err((Class::Torn, "a torn message".to_owned())),
            _ => {}
        }
    }
    for (message, known) in &all {
        match (known.found, known.done, known.perhaps_done) {
            (1, false, _) | (0, true, _) | (0, _, true) => {}
            (0, ..) => return Err((Class::Lost, format!("message {message}: {known:?}"))),
            _ => return Err((Class::Duplicated, format!("message {message}: {known:?}"))),
        }
    }
    if spare < 0 {
        return Err((Class::Unreported, "more deliveries than anybody asked for".to_owned()));
    }
    Ok(found)
}
