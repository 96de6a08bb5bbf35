//! Scenarios on condition variables, by the public API.
//!
//! | name | the victim is killed |
//! |---|---|
//! | enters | anywhere on its way into its sleep, with a survivor asleep before it |
//! | gives-up | the same for a wait of no time, and on its way out |
//! | woken | as a waiter that has just been notified, with a survivor asleep behind it |
//! | barger | the same, while the notifier holds the mutex |
//! | next | as the first of two who were notified at once, who has to wake the other; that is the survivor |
//! | notifier, notifies-all | anywhere in lock, notify, unlock, with two survivors asleep |
//! | recoverer | while it recovers a waiter that died with its notification, with a survivor asleep |
//! | two | one after another, as the two oldest waiters, with a survivor asleep behind them |
//!
//! The judge counts. A notification that was given is used up by a waiter that returned from its wait, or died with the
//! mutex, of which the next owner is told; or it has reached a survivor. Never does it reach two. In the end all places
//! are free.
//!
//! Each is played with capped sleeps, and with the cap off: then the attendant recovers once for each death.

use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::time::Duration;

use ringfence::{Condvar, CondvarError, LockError, Mutex, MutexGuard, Segment, Woken};

use crate::api::{digest, fresh_segment, join};
use crate::board::{Board, Cue, Role};
use crate::os::{Child, LIMIT, now_ns};
use crate::report::{Class, Outcome};
use crate::scenario::{Options, Point, Scenario, explore, park, to_sleep};
use crate::step::{Stop, Victim, marker};

/// So many can wait.
const PLACES: usize = 4;

/// Stages of a waiter and of a notifier, in [`Cue::stage`].
mod stage {
    /// Asked for the mutex.
    pub const ASKED: u32 = 1;
    /// Has it.
    pub const INSIDE: u32 = 2;
    /// Has returned from its wait, or has notified.
    pub const TOLD: u32 = 3;
    /// Has given the mutex back.
    pub const OUT: u32 = 4;
}

/// What a survivor may say in [`Cue::result`].
mod said {
    /// It was told of a dead owner.
    pub const DIED: u64 = 1;
    /// Its wait ended without a notification.
    pub const NOT_NOTIFIED: u64 = 2;
}

/// What happens around the victim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // see the table above
pub enum Case {
    Enters,
    GivesUp,
    Woken,
    Barger,
    Next,
    Notifier,
    NotifiesAll,
    Recoverer,
    Two,
}

const CASES: [(Case, &str); 9] = [
    (Case::Enters, "enters"),
    (Case::GivesUp, "gives-up"),
    (Case::Woken, "woken"),
    (Case::Barger, "barger"),
    (Case::Next, "next"),
    (Case::Notifier, "notifier"),
    (Case::NotifiesAll, "notifies-all"),
    (Case::Recoverer, "recoverer"),
    (Case::Two, "two"),
];

/// All of them, with the cap on and off.
pub fn scenarios() -> Vec<Scenario> {
    let both = |cap: bool| CASES.map(|(case, label)| scenario("Condvar", case, label, cap, true));
    [both(true), both(false)].into_iter().flatten().collect()
}

/// One of them. If nobody `recovers`, and no sleep is capped, what the dead leave is found by nobody: a control.
pub fn scenario(name: &str, case: Case, label: &str, cap: bool, recovers: bool) -> Scenario {
    let suffix = if cap { "" } else { " cap-off" };
    Scenario::new(format!("{name} {label}{suffix}"), move |options| run(case, cap, recovers, options))
}

fn run(case: Case, cap: bool, recovers: bool, options: &Options) -> Outcome {
    let board = Board::new();
    board.uncapped.store(u32::from(!cap), Relaxed);
    let victims = if case == Case::Two { 2 } else { 1 };
    explore(board, victims, options, |point| {
        fresh_segment(board, |segment| {
            let _ = Mutex::create(segment, "warm", 0_u64).expect("room for a mutex");
            let _ = Mutex::create(segment, "mutex", 0_u64).expect("room for a mutex");
            let _ = Condvar::create(segment, "condvar", PLACES).expect("room for a condition variable");
        });
        let attendant = Attendant::start(point);
        match stage(point, case, cap, &attendant) {
            Some(staged) => {
                if let Err((class, why)) = judge(point, staged, recovers && !cap, &attendant) {
                    point.fail(class, why);
                }
            }
            None => point.skip(),
        }
    })
}

struct Joined {
    segment: Segment,
    mutex: Mutex<u64>,
    condvar: Condvar,
}

impl Joined {
    fn new(board: &Board) -> Self {
        let segment = join(board);
        // The thread's registration is a scenario of its own.
        drop(Mutex::<u64>::open(&segment, "warm").expect("it is there").lock());
        let mutex = Mutex::open(&segment, "mutex").expect("it is there");
        let condvar = Condvar::open(&segment, "condvar").expect("it is there");
        Self { segment, mutex, condvar }
    }

    /// The mutex, and whether a death was told.
    fn lock(&self) -> (MutexGuard<'_, u64>, bool) {
        match self.mutex.lock() {
            Ok(guard) => (guard, false),
            Err(LockError::OwnerDied(mut guard)) => {
                guard.make_consistent();
                (guard, true)
            }
            Err(error) => panic!("{error}"),
        }
    }

    /// One wait; what there is to say.
    fn wait(&self, cue: &Cue, timeout: Option<Duration>) {
        cue.stage.store(stage::ASKED, Release);
        let (guard, told) = self.lock();
        cue.stage.store(stage::INSIDE, Release);
        let result = match timeout {
            Some(timeout) => self.condvar.wait_timeout(guard, timeout),
            None => self.condvar.wait(guard),
        };
        let (mut guard, why) = match result {
            Ok(guard) => (guard, 0),
            Err(CondvarError::OwnerDied(mut guard, woken)) => {
                guard.make_consistent();
                (guard, if woken == Woken::Notified { said::DIED } else { said::DIED | said::NOT_NOTIFIED })
            }
            Err(CondvarError::TimedOut(guard)) => (guard, said::NOT_NOTIFIED),
            Err(error) => panic!("{error}"),
        };
        cue.got.store(now_ns(), Relaxed);
        cue.result.store(why | u64::from(told), Relaxed);
        cue.stage.store(stage::TOLD, Release);
        *guard += 1;
        drop(guard);
        cue.stage.store(stage::OUT, Release);
    }

    fn notify(&self, cue: &Cue, count: usize) {
        cue.stage.store(stage::ASKED, Release);
        let (guard, _) = self.lock();
        cue.stage.store(stage::INSIDE, Release);
        cue.value.store(self.condvar.notify(&guard, count).expect("the mutex is held") as u64, Relaxed);
        cue.stage.store(stage::TOLD, Release);
        drop(guard);
        cue.stage.store(stage::OUT, Release);
    }

    /// As many wait at once as there are places, and all are notified.
    fn fill(&self) -> u64 {
        std::thread::scope(|scope| {
            for _ in 0..PLACES {
                scope.spawn(|| {
                    let (guard, _) = self.lock();
                    drop(self.condvar.wait_timeout(guard, LIMIT));
                });
            }
            let begun = now_ns();
            while self.condvar.waiting() < PLACES && now_ns() - begun < LIMIT.as_nanos() as u64 / 2 {
                std::thread::yield_now();
            }
            self.condvar.notify_all(&self.lock().0).expect("the mutex is held") as u64
        })
    }
}

/// What the attendant does when it is told to.
#[derive(Clone, Copy)]
enum Order {
    /// Locks; whether it was told of a death.
    Lock = 1,
    Unlock,
    /// Notifies so many, with the mutex that it has or for a moment; how many it were.
    One,
    All,
    /// The pid of the mutex's owner.
    Holder,
    Recover,
    Fill,
}

/// A process that has joined before anybody is killed, and does what a scenario wants done.
struct Attendant {
    _child: Child,
    board: &'static Board,
    limit: Duration,
}

const ORDERED: usize = 1;
const ANSWERED: usize = 2;
const ANSWER: usize = 3;

impl Attendant {
    fn start(point: &Point<'_>) -> Self {
        let board = point.board;
        let child = point.play(Role::Bystander, |cue| {
            let joined = Joined::new(board);
            cue.ready.open();
            let mut held = None;
            for nth in 1.. {
                while board.arena[ORDERED].load(Acquire) >> 8 != nth {
                    std::thread::sleep(Duration::from_micros(20));
                }
                let order = board.arena[ORDERED].load(Acquire) & 0xff;
                let answer = match order {
                    _ if order == Order::Lock as u64 => {
                        let (guard, told) = joined.lock();
                        held = Some(guard);
                        u64::from(told)
                    }
                    _ if order == Order::Unlock as u64 => {
                        drop(held.take());
                        0
                    }
                    _ if order == Order::One as u64 || order == Order::All as u64 => {
                        let guard = held.as_ref().expect("the mutex is held");
                        let count = if order == Order::One as u64 { 1 } else { usize::MAX };
                        joined.condvar.notify(guard, count).expect("the mutex is held") as u64
                    }
                    _ if order == Order::Holder as u64 => joined.mutex.holder().unwrap_or(0).into(),
                    _ if order == Order::Fill as u64 => joined.fill(),
                    _ => joined.segment.recover().expect("recovery is possible") as u64,
                };
                board.arena[ANSWER].store(answer, Relaxed);
                board.arena[ANSWERED].store(nth, Release);
            }
        });
        board.cue(Role::Bystander).ready.pass(LIMIT);
        Self { _child: child, board, limit: point.limit }
    }

    /// Has it do something. `None` if that takes too long.
    fn does(&self, order: Order) -> Option<u64> {
        let arena = &self.board.arena;
        let nth = arena[ANSWERED].load(Acquire) + 1;
        arena[ORDERED].store(nth << 8 | order as u64, Release);
        let begun = now_ns();
        while arena[ANSWERED].load(Acquire) != nth {
            if now_ns() - begun > self.limit.as_nanos() as u64 {
                return None;
            }
            std::thread::sleep(Duration::from_micros(20));
        }
        Some(arena[ANSWER].load(Relaxed))
    }

    /// Notifies as one who has the mutex for that.
    fn notifies(&self, order: Order) -> Option<u64> {
        self.does(Order::Lock)?;
        let count = self.does(order)?;
        self.does(Order::Unlock)?;
        Some(count)
    }

    fn has(&self, victim: &Victim) -> bool {
        self.does(Order::Holder) == Some(victim.pid() as u64)
    }
}

/// What is left after the kill.
#[derive(Default)]
struct Staged {
    /// Waiters that still live.
    survivors: Vec<(Role, Child)>,
    /// How many notifications were given, at least and at most.
    given: (u64, u64),
    /// How many of them are used up by the dead, at least and at most.
    used: (u64, u64),
    /// Somebody died with the mutex.
    must_tell: bool,
    killed_at: u64,
    /// The deaths that the attendant has not recovered.
    unrecovered: bool,
}

impl Staged {
    /// A victim, stopped where it will be killed; its place among the waiters was at `cue`.
    fn kill(&mut self, point: &mut Point<'_>, role: Role, victim: Victim, waited: bool, attendant: &Attendant) {
        let had_it = attendant.has(&victim);
        let stage = point.board.cue(role).stage.load(Acquire);
        self.must_tell |= had_it;
        if waited && stage >= stage::TOLD {
            self.used = (self.used.0 + 1, self.used.1 + 1);
        } else if waited && had_it {
            self.used.1 += 1;
        }
        self.killed_at = point.bury(role, victim);
        self.unrecovered = true;
        point.outcome.states.insert(digest(point.board).word(stage.into()).value());
    }
}

/// A waiter, asleep in its wait.
fn sleeper(point: &Point<'_>, role: Role) -> Option<(Role, Child)> {
    let board = point.board;
    let mut child = point.play(role, |cue| {
        let joined = Joined::new(board);
        cue.asked.store(now_ns(), Relaxed);
        joined.wait(cue, None);
        cue.done.open();
        park();
    });
    child.settles(point.limit).then_some((role, child))
}

/// A victim that will wait.
fn waiter(point: &mut Point<'_>, role: Role, timeout: Option<Duration>) -> Option<Victim> {
    let board = point.board;
    point.victim(role, move |cue| {
        let joined = Joined::new(board);
        marker();
        joined.wait(cue, timeout);
    })
}

/// A victim asleep in its wait.
fn sleeping_victim(point: &mut Point<'_>, role: Role) -> Option<Victim> {
    let cue = point.board.cue(role);
    let mut victim = waiter(point, role, None)?;
    to_sleep(&mut victim, || out(cue)).then_some(victim)
}

fn out(cue: &Cue) -> bool {
    cue.stage.load(Acquire) == stage::OUT
}

fn awaken(victim: &mut Victim) -> Option<()> {
    (victim.awaken() == Stop::Trapped).then_some(())
}

fn stage(point: &mut Point<'_>, case: Case, cap: bool, attendant: &Attendant) -> Option<Staged> {
    let (board, mut staged) = (point.board, Staged::default());
    let cue = board.cue(Role::Victim);
    match case {
        Case::Enters | Case::GivesUp => {
            staged.survivors.push(sleeper(point, Role::Survivor)?);
            let timeout = (case == Case::GivesUp).then_some(Duration::ZERO);
            let mut victim = waiter(point, Role::Victim, timeout)?;
            point.walk(0, &mut victim, || out(cue));
            staged.kill(point, Role::Victim, victim, false, attendant);
        }
        Case::Woken | Case::Barger | Case::Next => {
            let mut victim = sleeping_victim(point, Role::Victim)?;
            staged.survivors.push(sleeper(point, Role::Survivor)?);
            attendant.does(Order::Lock)?;
            let given = attendant.does(if case == Case::Next { Order::All } else { Order::One })?;
            staged.given = (given, given);
            if case != Case::Barger {
                attendant.does(Order::Unlock)?;
            }
            awaken(&mut victim)?;
            point.walk(0, &mut victim, || out(cue));
            staged.kill(point, Role::Victim, victim, true, attendant);
            if case == Case::Barger {
                staged.killed_at = now_ns();
                attendant.does(Order::Unlock)?;
            }
        }
        Case::Notifier | Case::NotifiesAll => {
            staged.survivors = vec![sleeper(point, Role::Survivor)?, sleeper(point, Role::Fresh)?];
            let count = if case == Case::Notifier { 1 } else { 2 };
            let mut victim = point.victim(Role::Victim, move |cue| {
                let joined = Joined::new(board);
                marker();
                joined.notify(cue, count);
            })?;
            point.walk(0, &mut victim, || out(cue));
            let known = cue.stage.load(Acquire) >= stage::TOLD;
            let told = cue.value.load(Relaxed);
            staged.given = if known { (told, told) } else { (0, count as u64) };
            staged.kill(point, Role::Victim, victim, false, attendant);
        }
        Case::Recoverer => {
            let (_, mut notified) = sleeper(point, Role::Holder)?;
            staged.survivors.push(sleeper(point, Role::Survivor)?);
            let mut victim = point.victim(Role::Victim, move |cue| {
                let joined = Joined::new(board);
                marker();
                joined.segment.recover().expect("recovery is possible");
                cue.stage.store(stage::OUT, Release);
            })?;
            // It dies of its notification before it can do anything about it.
            notified.stop();
            let given = attendant.notifies(Order::One)?;
            staged.given = (given, given);
            if cap {
                // The survivor would be faster.
                staged.survivors[0].1.stop();
            }
            notified.kill();
            board.bury(Role::Holder);
            point.walk(0, &mut victim, || out(cue));
            staged.kill(point, Role::Victim, victim, false, attendant);
            staged.survivors[0].1.go_on();
        }
        Case::Two => {
            let mut first = sleeping_victim(point, Role::Victim)?;
            let mut second = sleeping_victim(point, Role::Second)?;
            staged.survivors.push(sleeper(point, Role::Survivor)?);
            let given = attendant.notifies(Order::One)?;
            staged.given = (given, given);
            awaken(&mut first)?;
            point.walk(0, &mut first, || out(cue));
            staged.kill(point, Role::Victim, first, true, attendant);
            // Rouses the second, whose sleep is never capped.
            attendant.does(Order::Recover)?;
            awaken(&mut second)?;
            point.walk(1, &mut second, || out(board.cue(Role::Second)));
            staged.kill(point, Role::Second, second, true, attendant);
        }
    }
    Some(staged)
}

fn judge(point: &mut Point<'_>, staged: Staged, recovers: bool, attendant: &Attendant) -> Result<(), (Class, String)> {
    let board = point.board;
    let living = staged.survivors.len() as u64;
    let least = staged.given.0.saturating_sub(staged.used.1).min(living);
    let most = staged.given.1.saturating_sub(staged.used.0).min(living);
    let stuck = |what: &str| (Class::Stuck, format!("{what}; given {:?}, used {:?}", staged.given, staged.used));
    if recovers && staged.unrecovered {
        attendant.does(Order::Recover).ok_or_else(|| stuck("the attendant's recovery"))?;
    }
    // What is due reaches somebody by itself.
    let done = || staged.survivors.iter().filter(|(role, _)| board.cue(*role).done.is_open()).count() as u64;
    let begun = now_ns();
    while done() < least {
        if now_ns() - begun > point.limit.as_nanos() as u64 {
            return Err((Class::Lost, format!("{} of {least} notifications reached a survivor", done())));
        }
        std::thread::sleep(Duration::from_micros(20));
    }
    // The rest is given now: those whom it reaches were not reached before.
    let told_first = attendant.does(Order::Lock).ok_or_else(|| stuck("the mutex"))?;
    let rest = attendant.does(Order::All).ok_or_else(|| stuck("to notify"))?;
    attendant.does(Order::Unlock).ok_or_else(|| stuck("to unlock"))?;
    let reached = living.saturating_sub(rest);
    if reached > most {
        return Err((Class::Duplicated, format!("{reached} were notified of at most {most}")));
    }
    let mut told = told_first;
    for (role, _) in &staged.survivors {
        let cue = board.cue(*role);
        if !cue.done.pass(point.limit) {
            return Err(stuck("a survivor, when all were notified"));
        }
        let said = cue.result.load(Relaxed);
        if said & said::NOT_NOTIFIED != 0 {
            return Err((Class::Lost, "a wait ended without a notification".into()));
        }
        told |= said & said::DIED;
    }
    if least > 0 {
        let first = staged.survivors.iter().map(|(role, _)| board.cue(*role).got.load(Relaxed)).min();
        point.outcome.delays.push(first.unwrap_or(0).saturating_sub(staged.killed_at));
    }
    match (staged.must_tell, told != 0) {
        (true, false) => return Err((Class::Unreported, "nobody was told that the mutex's owner died".into())),
        (false, true) => return Err((Class::Leaked, "told of a death of somebody who had not the mutex".into())),
        _ => {}
    }
    match attendant.does(Order::Fill) {
        Some(filled) if filled == PLACES as u64 => Ok(()),
        Some(filled) => Err((Class::Leaked, format!("{filled} of {PLACES} places are left"))),
        None => Err(stuck("to use all places")),
    }
}
