//! Victims one after another on a queue, then fresh survivors: every combination of kill points.
//!
//! A script mixes whole operations with killed ones. Each killed operation is killed at every k; the states it leaves
//! behind are few, so the script goes on once from each distinct state. At the end a fresh consumer drains the queue
//! before and after recovery, a fresh producer fills it to the last place, and it is drained again.
//!
//! Nothing runs at the same time, so the sequence that comes out is known, but for what the dead had under way: a
//! message of a killed push may be there; the first message may be gone with a killed pop.

use std::collections::HashSet;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use crate::board::{Board, Role};
use crate::fifos::{Fifo, NOW, No};
use crate::os::{Child, Gate};
use crate::report::{Class, Outcome};
use crate::scenario::{Options, Scenario, park, play};
use crate::step::{Path, Unit, Victim, Walk, marker};

/// A line of a script.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// A whole push.
    Push,
    /// A whole pop.
    Pop,
    /// Somebody recovers all who are dead.
    Recover,
    /// A push that is killed.
    KillPush,
    /// A pop that is killed.
    KillPop,
    /// A recovery that is killed.
    KillRecover,
    /// A shutdown that is killed, and then done by somebody else.
    KillShutdown,
}

use Act::{KillPop, KillPush, KillRecover, KillShutdown, Pop, Push, Recover};

/// The scripts that every queue goes through, with `rotations` whole rounds and `filled` messages before.
const SCRIPTS: [(&str, &[Act]); 10] = [
    ("push", &[KillPush]),
    ("pop", &[KillPop]),
    ("push push", &[KillPush, KillPush]),
    ("pop pop", &[KillPop, KillPop]),
    ("push pop", &[KillPush, KillPop]),
    ("pop push sweep", &[KillPop, KillPush, Recover]),
    ("push recover", &[KillPush, KillRecover]),
    ("push recover pop", &[KillPush, KillRecover, KillPop]),
    ("lap twice", &[KillPush, Recover, Push, Push, Pop, Push, KillPush, Recover]),
    ("shutdown", &[KillPush, KillShutdown]),
];

/// The capacities: the smallest, and both sides of a power of two.
const CAPACITIES: [usize; 5] = [1, 2, 3, 64, 65];

/// All chain scenarios of a queue.
pub fn scenarios<F: Fifo>(name: &str) -> Vec<Scenario> {
    let mut all = vec![];
    for capacity in CAPACITIES {
        for (label, script) in SCRIPTS {
            all.push(scenario::<F>(name, capacity, label, script));
        }
    }
    all
}

/// One script at one capacity, from an empty, a partly filled and a full queue.
pub fn scenario<F: Fifo>(name: &str, capacity: usize, label: &str, script: &'static [Act]) -> Scenario {
    Scenario::new(format!("{name}[{capacity}] {label}"), move |options| {
        let board = Board::new();
        let mut fillings = vec![0, 1, capacity / 2, capacity - 1, capacity];
        fillings.sort_unstable();
        fillings.dedup();
        let mut outcome = Outcome::default();
        for filled in fillings {
            let mut chain = Chain::<F> {
                board,
                capacity,
                script,
                options,
                filled,
                kills: vec![],
                outcome: &mut outcome,
                fifo: std::marker::PhantomData,
            };
            if !chain.begin() {
                continue;
            }
            let mut model = Model { redelivers: F::REDELIVERS, ..Model::default() };
            model.messages.extend((0..filled as u64).map(|value| (100 + value, Sure)));
            chain.go_on(0, model);
        }
        outcome
    })
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Certainty {
    Sure,
    /// Its push was killed.
    PerhapsPushed,
    /// A pop was killed that may have taken it.
    PerhapsPopped,
    /// A pop was killed that had it and cannot have reported it: it comes, some time.
    ComesBack,
}
use Certainty::{ComesBack, PerhapsPopped, PerhapsPushed, Sure};

/// What must come out.
#[derive(Clone, Debug, Default)]
struct Model {
    messages: Vec<(u64, Certainty)>,
    dead: Vec<Role>,
    /// Positions that a dead producer may have used up.
    voids: usize,
    pushes: u64,
    closed: bool,
    /// [`Fifo::REDELIVERS`].
    redelivers: bool,
}

impl Model {
    /// A whole pop brought `value`: what came before it must have been uncertain.
    fn popped(&mut self, value: u64) -> Result<(), (Class, String)> {
        let Some(place) = self.messages.iter().position(|&(v, _)| v == value) else {
            return Err((Class::Duplicated, format!("{value} came again or from nowhere")));
        };
        let mut skipped: Vec<_> = self.messages.drain(..=place).take(place).collect();
        if self.redelivers {
            // What may come back stays.
            let front = skipped.iter().copied().filter(|(_, certainty)| *certainty != Sure);
            self.messages.splice(..0, front.collect::<Vec<_>>());
            skipped.retain(|(_, certainty)| *certainty == Sure);
        }
        match skipped.iter().find(|(_, certainty)| *certainty == Sure) {
            Some((lost, _)) => Err((Class::Lost, format!("{value} came before {lost}"))),
            None => Ok(()),
        }
    }

    /// A pop found nothing.
    fn nothing(&self, no: No) -> Result<(), (Class, String)> {
        let expected = if self.closed { No::Closed } else { No::Empty };
        if no == No::Torn {
            return Err((Class::Torn, "a torn message".into()));
        }
        if let Some((value, _)) = self.messages.iter().find(|(_, certainty)| matches!(certainty, Sure | ComesBack)) {
            return Err((Class::Stuck, format!("{no:?}, but {value} is there")));
        }
        // A killed shutdown may or may not have happened.
        if no == expected || no == No::Closed { Ok(()) } else { Err((Class::Stuck, format!("{no:?}"))) }
    }
}

struct Chain<'a, F> {
    board: &'static Board,
    capacity: usize,
    script: &'static [Act],
    options: &'a Options,
    filled: usize,
    kills: Vec<u64>,
    outcome: &'a mut Outcome,
    fifo: std::marker::PhantomData<F>,
}

const VICTIMS: [Role; 3] = [Role::Victim, Role::Second, Role::Third];

impl<F: Fifo> Chain<'_, F> {
    fn fail(&mut self, class: Class, why: String) {
        let text = format!("k={:?} capacity {}: {why}", self.kills, self.capacity);
        self.outcome.fail(class, text);
    }

    /// A fresh queue with `filled` messages.
    fn begin(&mut self) -> bool {
        let (board, capacity, filled) = (self.board, self.capacity, self.filled);
        // Some rounds first, so that the positions wrap within the script.
        let rounds = if filled % 2 == 0 { 0 } else { capacity + capacity / 2 };
        board.clear();
        F::reset(board, capacity);
        let begun = self.act(|joined, cue| {
            let round = |joined: &mut F::Joined| F::push(joined, 1, NOW).is_ok() && F::pop(joined, NOW) == Ok(1);
            let done = (0..rounds).all(|_| round(joined))
                && (0..filled as u64).all(|value| F::push(joined, 100 + value, NOW).is_ok());
            cue.result.store(u64::from(done), Relaxed);
        });
        let begun = begun && board.cue(Role::Script).result.load(Relaxed) == 1;
        if !begun {
            self.fail(Class::Stuck, format!("cannot be filled with {filled}"));
        }
        begun
    }

    fn enough(&self) -> bool {
        self.options.satisfied(self.outcome)
    }

    /// A whole operation in a process of its own; `false` (a failure) if it does not end.
    fn act(&mut self, body: impl FnOnce(&mut F::Joined, &crate::board::Cue)) -> bool {
        self.board.clear_cast();
        let (board, capacity) = (self.board, self.capacity);
        let mut child = play(board, Role::Script, |cue| {
            let mut joined = F::join(board, capacity, Role::Script);
            body(&mut joined, cue);
            cue.done.open();
        });
        let done = self.done(&board.cue(Role::Script).done, &mut child);
        if !done {
            self.fail(Class::Stuck, format!("an operation between the kills never ended: {:?}", child.ended()));
        }
        done
    }

    fn done(&self, gate: &Gate, child: &mut Child) -> bool {
        // A crash need not be waited for.
        let slices = (self.options.limit.as_millis() / 50) as u32;
        (0..slices).any(|_| gate.pass(std::time::Duration::from_millis(50)) || child.ended().is_some())
            && gate.is_open()
    }

    fn go_on(&mut self, line: usize, mut model: Model) {
        let Some(&act) = self.script.get(line) else {
            return self.judge(model);
        };
        let dead = model.dead.clone();
        match act {
            Push => {
                let value = 500 + model.pushes;
                model.pushes += 1;
                if !self.act(|joined, cue| {
                    let no = F::push(joined, value, NOW).map_or_else(No::code, |()| 1);
                    cue.result.store(no, Relaxed);
                }) {
                    return;
                }
                match self.board.cue(Role::Script).result.load(Relaxed) {
                    1 => model.messages.push((value, Sure)),
                    code if model.messages.len() + model.voids < self.capacity => {
                        return self.fail(Class::Leaked, format!("{:?} with room left", No::of(code)));
                    }
                    _ => {}
                }
            }
            Pop => {
                if !self.act(|joined, cue| pop::<F>(joined, cue)) {
                    return;
                }
                if let Err((class, why)) = self.popped(&mut model, Role::Script) {
                    return self.fail(class, why);
                }
            }
            Recover => {
                if !self.act(|joined, _| dead.iter().for_each(|&dead| F::recover(joined, dead))) {
                    return;
                }
            }
            kill => return self.kill(kill, line, &model),
        }
        self.go_on(line + 1, model);
    }

    fn popped(&self, model: &mut Model, role: Role) -> Result<(), (Class, String)> {
        let cue = self.board.cue(role);
        match cue.result.load(Relaxed) {
            1 => model.popped(cue.value.load(Relaxed)),
            code => model.nothing(No::of(code)),
        }
    }

    /// Kills one operation at every k, and goes on from every distinct state that this leaves.
    fn kill(&mut self, act: Act, line: usize, model: &Model) {
        let board = self.board;
        let role = VICTIMS[self.kills.len()];
        let saved: Vec<u64> = board.arena.iter().map(|word| word.load(Relaxed)).collect();
        let dead: Vec<u8> = board.dead.iter().map(|dead| dead.load(Relaxed)).collect();
        assert!(F::IN_ARENA || line == 0, "what is not in the arena can be begun anew, and no more");
        let mut seen = HashSet::new();
        let mut stride = self.options.stride;
        let mut k = 1_000_000; // the first one runs to its end: how long is it?
        let mut measured = false;
        let mut path: Option<Path> = None;
        let mut astray = false;
        loop {
            if F::IN_ARENA {
                board.arena.iter().zip(&saved).for_each(|(word, &value)| word.store(value, Relaxed));
            } else if !self.begin() {
                return;
            }
            board.clear_cast();
            board.dead.iter().zip(&dead).for_each(|(entry, &value)| entry.store(value, Relaxed));
            self.kills.push(k);
            let way = path.as_ref().filter(|_| !astray);
            let Some((steps, walk, walked)) = self.victim(act, role, model, k, way, measured) else {
                self.kills.pop();
                return;
            };
            astray = walk == Walk::Astray;
            if astray {
                self.kills.pop();
                continue; // again, step by step
            }
            path = path.or(walked);
            *self.kills.last_mut().expect("just pushed") = steps;
            self.outcome.points += 1;
            let cue = board.cue(role);
            let returned = cue.stage.load(Acquire) == 1;
            let state = F::digest(board).word(u64::from(returned)).word(cue.result.load(Relaxed));
            if seen.insert(state.value()) {
                self.outcome.states.insert(state.word(self.kills.len() as u64).value());
                let mut after = model.clone();
                after.dead.push(role);
                match self.apply(act, role, returned, &mut after) {
                    Ok(()) => {
                        // The rest of the script is played by others.
                        board.bury(role);
                        if act != KillShutdown || self.act(|joined, _| assert!(F::shutdown(joined))) {
                            self.go_on(line + 1, after);
                        }
                    }
                    Err((class, why)) => self.fail(class, why),
                }
            }
            self.kills.pop();
            if self.enough() || measured && walk != Walk::Reached {
                return;
            }
            if measured {
                k += stride;
            } else {
                measured = true;
                let budget = self.options.budget.map_or(u64::MAX, |budget| (budget / 4).max(4));
                stride = stride.max(steps.div_ceil(budget));
                k = self.options.offset;
            }
        }
    }

    /// Runs the victim to its end or its kill point, along a path if it is known. The first one makes it known.
    fn victim(
        &mut self,
        act: Act,
        role: Role,
        model: &Model,
        k: u64,
        way: Option<&Path>,
        measured: bool,
    ) -> Option<(u64, Walk, Option<Path>)> {
        let (board, capacity, dead) = (self.board, self.capacity, model.dead.clone());
        let value = 900 + u64::from(role.id());
        let begun = Victim::fork(|| {
            let cue = board.cue(role);
            let mut joined = F::join(board, capacity, role);
            marker();
            match act {
                KillPush => cue.result.store(F::push(&mut joined, value, NOW).map_or_else(No::code, |()| 1), Relaxed),
                KillPop => pop::<F>(&mut joined, cue),
                KillShutdown => drop(F::shutdown(&mut joined)),
                _ => dead.iter().for_each(|&dead| F::recover(&mut joined, dead)),
            }
            cue.stage.store(1, Release);
            park();
        });
        let mut victim = match begun {
            Ok(victim) => victim,
            Err(stop) => {
                self.fail(Class::Stuck, format!("the victim never began: {stop:?}"));
                return None;
            }
        };
        if !measured {
            victim.record();
        }
        let walk = match way.filter(|way| k < way.len()) {
            Some(way) if victim.jump(way, k) => Walk::Reached,
            Some(_) => Walk::Astray,
            None => victim.walk(Unit::Instruction, k, || board.cue(role).stage.load(Acquire) == 1),
        };
        let (steps, path) = (victim.steps(), victim.path());
        victim.kill();
        self.outcome.steps += steps;
        if let Walk::Lost(_) | Walk::Blocked = walk {
            self.fail(Class::Stuck, format!("the victim: {walk:?}"));
            return None;
        }
        Some((steps, walk, path))
    }

    fn apply(&self, act: Act, role: Role, returned: bool, model: &mut Model) -> Result<(), (Class, String)> {
        let code = self.board.cue(role).result.load(Relaxed);
        match act {
            KillPush => {
                model.voids += 1;
                let value = 900 + u64::from(role.id());
                match (returned, code) {
                    (true, 1) => model.messages.push((value, Sure)),
                    // A returned refusal: nothing was pushed. Room may be taken by what the dead left.
                    (true, code) if model.messages.len() + model.voids - 1 < self.capacity => {
                        return Err((Class::Leaked, format!("{:?} with room left", No::of(code))));
                    }
                    (true, _) => {}
                    (false, _) => model.messages.push((value, PerhapsPushed)),
                }
            }
            KillPop if returned => self.popped(model, role)?,
            KillPop if F::REDELIVERS => {
                let had = crate::work_queue::reported(self.board, role);
                let place = |of: &dyn Fn(u64, Certainty) -> bool| {
                    model.messages.iter().position(|&(value, certainty)| of(value, certainty))
                };
                match had {
                    // About to report it, or it has.
                    Some(value) => {
                        let place = place(&|v, _| v == value);
                        let place = place.ok_or((Class::Duplicated, format!("{value} came again or from nowhere")))?;
                        model.messages[place].1 = PerhapsPopped;
                    }
                    None => {
                        if let Some(place) = place(&|_, certainty| certainty == Sure) {
                            model.messages[place].1 = ComesBack;
                        }
                    }
                }
            }
            KillPop => {
                if let Some((_, certainty)) = model.messages.iter_mut().find(|(_, certainty)| *certainty == Sure) {
                    *certainty = PerhapsPopped;
                }
            }
            KillShutdown => model.closed = true,
            _ => {}
        }
        Ok(())
    }

    fn judge(&mut self, mut model: Model) {
        let (board, capacity) = (self.board, self.capacity);
        let dead = model.dead.clone();
        let closed = model.closed;
        let judged = self.act(|joined, _| {
            drain::<F>(board, joined, capacity);
            dead.iter().for_each(|&dead| F::recover(joined, dead));
            drain::<F>(board, joined, capacity);
            if closed {
                board.note(u64::from(F::push(joined, 7, NOW) != Err(No::Closed)));
                return;
            }
            let mut pushed = 0;
            while pushed < 2 * capacity as u64 + 8 && F::push(joined, 10_000 + pushed, NOW).is_ok() {
                pushed += 1;
            }
            board.note(pushed);
            drain::<F>(board, joined, capacity);
        });
        if !judged {
            return;
        }
        let log: Vec<u64> = board.log.iter().map(|word| word.load(Relaxed)).collect();
        let mut log = log.into_iter();
        // Each drain: the messages, then why it ended.
        let mut drained = || {
            let mut values = vec![];
            loop {
                match log.next() {
                    Some(entry) if entry & END != 0 => return (values, No::of(entry & !END)),
                    Some(value) => values.push(value),
                    None => return (values, No::Other),
                }
            }
        };
        let (first, end) = drained();
        let (late, _) = drained();
        let mut uncertain_came = false;
        for &value in &first {
            // What a killed pop took, it took from the front.
            let gone_behind = model.messages.iter().position(|&(v, _)| v == value).is_some_and(|place| {
                !F::REDELIVERS
                    && uncertain_came
                    && model.messages[..place].iter().any(|(_, certainty)| *certainty == PerhapsPopped)
            });
            uncertain_came |= model.messages.contains(&(value, PerhapsPopped));
            if gone_behind {
                return self.fail(Class::Lost, format!("a message before {value}, got {first:?}"));
            }
            if let Err((class, why)) = model.popped(value) {
                return self.fail(class, format!("{why}; got {first:?}, late {late:?}"));
            }
        }
        if !late.is_empty() {
            return self.fail(Class::Stuck, format!("{late:?} came only after recovery, got {first:?}"));
        }
        if let Err((class, why)) = model.nothing(end) {
            return self.fail(class, format!("{why}; got {first:?}"));
        }
        if closed {
            if log.next() != Some(0) {
                self.fail(Class::Stuck, "a push after shutdown was not refused".into());
            }
            return;
        }
        let filled = log.next().unwrap_or(0);
        if filled != capacity as u64 {
            return self.fail(Class::Leaked, format!("room for {filled}"));
        }
        let refilled: Vec<u64> = log.take_while(|entry| entry & END == 0).collect();
        if !refilled.iter().copied().eq((0..filled).map(|n| 10_000 + n)) {
            self.fail(Class::Lost, format!("{} of {filled} came back from the refill", refilled.len()));
        }
    }
}

const END: u64 = 1 << 63;

fn pop<F: Fifo>(joined: &mut F::Joined, cue: &crate::board::Cue) {
    match F::pop(joined, NOW) {
        Ok(value) => {
            cue.value.store(value, Relaxed);
            cue.result.store(1, Relaxed);
        }
        Err(no) => cue.result.store(no.code(), Relaxed),
    }
}

/// Pops until there is nothing, and logs all of it.
fn drain<F: Fifo>(board: &Board, joined: &mut F::Joined, capacity: usize) {
    for _ in 0..4 * capacity + 8 {
        match F::pop(joined, NOW) {
            Ok(value) => board.note(value),
            Err(no) => return board.note(END | no.code()),
        }
    }
    board.note(END);
}
