//! Victims among sleepers: whoever is killed, a sleeper that has something to do must come to do it.
//!
//! | name | asleep | the victim |
//! |---|---|---|
//! | consumer asleep | one consumer of an empty queue | pushes |
//! | two consumers asleep | two | pushes |
//! | producer asleep | one producer of a full queue | pops |
//! | woken consumer | one consumer behind the victim | is a consumer that a push has just woken |
//! | woken producer | one producer behind the victim | is a producer that a pop has just woken |
//! | recoverer | one consumer | recovers a producer that died in mid-push |
//! | shutdown | one consumer | shuts the queue down |
//!
//! Whether the victim's operation counts is read off the object; if it does, a sleeper must be done with it. Then a
//! whole operation is made for every sleeper that is left, and must reach it.

use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::time::{Duration, Instant};

use crate::board::{Board, Cue, Digest, Role};
use crate::fifos::{Fifo, NOW, No};
use crate::locks::FOREVER;
use crate::os::{Child, Ended, now_ns};
use crate::report::{Class, Outcome};
use crate::scenario::{Options, Point, Scenario, explore, to_sleep, victim};
use crate::step::{Stop, Unit, marker};

/// What happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // see the table above
pub enum Case {
    ConsumerAsleep,
    TwoConsumersAsleep,
    ProducerAsleep,
    WokenConsumer,
    WokenProducer,
    Recoverer,
    Shutdown,
}

const CASES: [(Case, &str); 7] = [
    (Case::ConsumerAsleep, "consumer asleep"),
    (Case::TwoConsumersAsleep, "two consumers asleep"),
    (Case::ProducerAsleep, "producer asleep"),
    (Case::WokenConsumer, "woken consumer"),
    (Case::WokenProducer, "woken producer"),
    (Case::Recoverer, "recoverer"),
    (Case::Shutdown, "shutdown"),
];

const CAPACITY: usize = 2;

/// All of them, with the cap on and off.
pub fn scenarios<F: Fifo>(name: &str) -> Vec<Scenario> {
    let mut all = vec![];
    for cap in [true, false] {
        all.extend(CASES.map(|(case, label)| scenario::<F>(name, case, label, cap)));
    }
    all
}

/// One of them.
pub fn scenario<F: Fifo>(name: &str, case: Case, label: &str, cap: bool) -> Scenario {
    let suffix = if cap { "" } else { " cap-off" };
    Scenario::new(format!("{name} {label}{suffix}"), move |options| run::<F>(case, cap, options))
}

/// What a sleeper waits for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wants {
    Message,
    Room,
}

fn run<F: Fifo>(case: Case, cap: bool, options: &Options) -> Outcome {
    let board = Board::new();
    board.uncapped.store(u32::from(!cap), Relaxed);
    explore(board, 1, options, |point| {
        F::reset(board, CAPACITY);
        if staged::<F>(point, case, cap).is_none() {
            point.skip();
        }
    })
}

/// One whole operation of the kind, without waiting, into the cue.
fn operate<F: Fifo>(joined: &mut F::Joined, wants: Wants, role: Role, wait: ringfence::sys::nap::Wait, cue: &Cue) {
    let outcome = match wants {
        Wants::Message => F::pop(joined, wait),
        Wants::Room => F::push(joined, 100 + u64::from(role.id()), wait).map(|()| 0),
    };
    match outcome {
        Ok(value) => {
            cue.value.store(value, Relaxed);
            cue.result.store(1, Relaxed);
        }
        Err(no) => cue.result.store(no.code(), Relaxed),
    }
}

/// Starts somebody who wants something, and waits until it sleeps.
fn sleeper<F: Fifo>(point: &Point<'_>, role: Role, wants: Wants) -> Option<Child> {
    let board = point.board;
    let mut child = point.play(role, |cue| {
        let mut joined = F::join(board, CAPACITY, role);
        cue.asked.store(now_ns(), Relaxed);
        operate::<F>(&mut joined, wants, role, FOREVER, cue);
        cue.got.store(now_ns(), Relaxed);
        cue.done.open();
    });
    child.settles(point.limit).then_some(child)
}

/// Somebody does one thing, and is gone.
fn once<F: Fifo>(point: &mut Point<'_>, body: impl FnOnce(&mut F::Joined)) -> Option<()> {
    let board = point.board;
    let mut child = point.play(Role::Script, |_| body(&mut F::join(board, CAPACITY, Role::Script)));
    (child.wait(point.limit) == Some(Ended::Exit(0))).then_some(())
}

/// Messages, or free places: what `wants` wants.
fn there<F: Fifo>(joined: &mut F::Joined, wants: Wants) -> usize {
    let len = F::len(joined);
    if wants == Wants::Message { len } else { CAPACITY.saturating_sub(len) }
}

fn staged<F: Fifo>(point: &mut Point<'_>, case: Case, cap: bool) -> Option<()> {
    let board = point.board;
    let cue = board.cue(Role::Victim);
    let wants = match case {
        Case::ProducerAsleep | Case::WokenProducer => Wants::Room,
        _ => Wants::Message,
    };
    if wants == Wants::Room {
        once::<F>(point, |joined| (0..CAPACITY as u64).for_each(|n| assert!(F::push(joined, n, NOW).is_ok())))?;
    }
    let woken = matches!(case, Case::WokenConsumer | Case::WokenProducer);
    let mut dead = vec![Role::Victim];
    if case == Case::Recoverer {
        half_push::<F>(point)?;
        dead.insert(0, Role::Holder);
    }
    let half = (case == Case::Recoverer).then_some(Role::Holder);
    let mut victim = point.victim(Role::Victim, |cue| {
        let mut joined = F::join(board, CAPACITY, Role::Victim);
        marker();
        match case {
            _ if woken => operate::<F>(&mut joined, wants, Role::Victim, FOREVER, cue),
            Case::Shutdown => drop(F::shutdown(&mut joined)),
            Case::Recoverer => half.iter().for_each(|&dead| F::recover(&mut joined, dead)),
            Case::ProducerAsleep => operate::<F>(&mut joined, Wants::Message, Role::Victim, NOW, cue),
            _ => operate::<F>(&mut joined, Wants::Room, Role::Victim, NOW, cue),
        }
        cue.stage.store(1, Release);
    })?;
    let done = || cue.stage.load(Acquire) == 1;
    if woken && !to_sleep(&mut victim, done) {
        return None;
    }
    let mut sleepers = vec![(Role::Survivor, sleeper::<F>(point, Role::Survivor, wants)?)];
    if case == Case::TwoConsumersAsleep {
        sleepers.push((Role::Fresh, sleeper::<F>(point, Role::Fresh, wants)?));
    }
    if case == Case::Recoverer {
        board.bury(Role::Holder); // only now: nobody else has seen it dead
    }
    if woken {
        // Both wake up and the other is faster, so there is something for two.
        once::<F>(point, |joined| (0..2).for_each(|_| serve::<F>(joined, wants)))?;
        if victim.awaken() != Stop::Trapped {
            return None;
        }
    }
    point.walk(0, &mut victim, done);
    let killed_at = point.bury(Role::Victim, victim);
    let state = Digest::new().word(F::digest(board).value()).word(cue.result.load(Relaxed));
    point.outcome.states.insert(state.value());
    if !cap {
        let mut bystander = point.play(Role::Bystander, |_| {
            let mut joined = F::join(board, CAPACITY, Role::Bystander);
            dead.iter().for_each(|&dead| F::recover(&mut joined, dead));
        });
        if bystander.wait(point.limit) != Some(Ended::Exit(0)) {
            point.fail(Class::Stuck, "the bystander's recovery failed");
        }
    }
    judge::<F>(point, case, wants, killed_at, sleepers);
    Some(())
}

/// A producer that dies between its claim and its publication, as far as one can tell from outside: half way.
fn half_push<F: Fifo>(point: &Point<'_>) -> Option<()> {
    let board = point.board;
    let body = || {
        victim(board, Role::Holder, |cue| {
            let mut joined = F::join(board, CAPACITY, Role::Holder);
            marker();
            operate::<F>(&mut joined, Wants::Room, Role::Holder, NOW, cue);
            cue.stage.store(1, Release);
        })
        .ok()
    };
    let mut whole = body()?;
    whole.walk(Unit::Instruction, 1_000_000, || board.cue(Role::Holder).stage.load(Acquire) == 1);
    let steps = whole.steps();
    whole.kill();
    board.clear();
    F::reset(board, CAPACITY);
    let mut half = body()?;
    half.walk(Unit::Instruction, steps / 2, || false);
    half.kill();
    Some(())
}

/// Makes `wants` come true for one.
fn serve<F: Fifo>(joined: &mut F::Joined, wants: Wants) {
    match wants {
        Wants::Message => assert!(F::push(joined, 77, NOW).is_ok(), "no room for the sleeper's message"),
        Wants::Room => assert!(F::pop(joined, NOW).is_ok(), "no message to make room for the sleeper"),
    }
}

fn judge<F: Fifo>(point: &mut Point<'_>, case: Case, wants: Wants, killed_at: u64, mut sleepers: Vec<(Role, Child)>) {
    let board = point.board;
    // Read off in this process, which is nobody: reading changes nothing.
    let mut joined = F::join(board, CAPACITY, Role::Script);
    if case == Case::Shutdown && once::<F>(point, |joined| assert!(F::shutdown(joined))).is_none() {
        point.fail(Class::Stuck, "the second shutdown failed");
    }
    let end = Instant::now() + point.limit;
    while !sleepers.is_empty() {
        let wanted = there::<F>(&mut joined, wants) > 0 || case == Case::Shutdown;
        let place = sleepers.iter().position(|(role, _)| board.cue(*role).done.is_open());
        match place {
            Some(place) => {
                let (role, _) = sleepers.remove(place);
                let cue = board.cue(role);
                point.delay(killed_at, cue);
                match cue.result.load(Relaxed) {
                    1 => {}
                    code if case == Case::Shutdown && No::of(code) == No::Closed => {}
                    code => {
                        let class = if No::of(code) == No::Torn { Class::Torn } else { Class::Stuck };
                        point.fail(class, format!("a sleeper was refused: {:?}", No::of(code)));
                    }
                }
            }
            None if Instant::now() > end => {
                let left = there::<F>(&mut joined, wants);
                point.fail(Class::Stuck, format!("{} asleep with {left} there", sleepers.len()));
                return;
            }
            None if wanted => {
                board.cue(sleepers[0].0).done.pass(Duration::from_millis(1));
            }
            // There is nothing for this sleeper. Serve it, which must reach it.
            None => {
                // It may have been about to say that it got the last.
                if sleepers.iter().any(|(role, _)| board.cue(*role).done.pass(Duration::from_millis(3))) {
                    continue;
                }
                if once::<F>(point, |joined| serve::<F>(joined, wants)).is_none() {
                    point.fail(Class::Leaked, "a whole operation beside the sleeper failed");
                    return;
                }
            }
        }
    }
}
