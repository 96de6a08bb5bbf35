//! Values and arrays. As locks they go through the scenarios of [`locks`](crate::locks); here is what they add.
//!
//! | name | the victim is killed |
//! |---|---|
//! | write | while it replaces elements, which locks by itself |
//! | contended write | from the moment it has that lock, with a survivor asleep on it |
//! | takeover | while it does so after the death of a holder, with a survivor asleep: the news is the survivor's |
//! | atomics | in a row of operations on single words |
//!
//! Elements that are no single words are made of equal words, so that half an element shows.

use std::marker::PhantomData;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use ringfence::{Array, LockError, Segment, Value};

use crate::api::{digest, fresh_segment, join};
use crate::board::{Board, Cue, Digest, Role};
use crate::locks::{self, Entry, LockKind, stage};
use crate::os::{Child, Ended, LIMIT, now_ns};
use crate::report::{Class, Outcome};
use crate::scenario::{Options, Point, Scenario, explore, park};
use crate::step::{Unit, Walk, marker};

/// A value or an array whose elements are no single words.
pub trait Elements: Sized + 'static {
    /// Makes it, all zeros.
    fn create(segment: &Segment, name: &str);
    /// Opens it.
    fn open(segment: &Segment, name: &str) -> Self;
    /// Replaces the elements under test, all words by `word`.
    fn write(&self, word: u64);
    /// What the first and the last of them consist of, read without the lock; `None` if one is torn or another element has changed.
    fn read(&self) -> Option<[u64; 2]>;
    /// Runs `inside` with the lock; whether the last owner died.
    fn locked<R>(&self, inside: impl FnOnce(bool) -> R) -> Result<R, String>;
    /// Whether somebody holds the lock.
    fn held(&self) -> bool;
}

/// The most deaths in a row that a scenario has.
const MOST_VICTIMS: u64 = 3;

fn all_equal<const N: usize>(element: [u64; N]) -> Option<u64> {
    element.iter().all(|&word| word == element[0]).then_some(element[0])
}

macro_rules! locked {
    ($self:ident, $inside:ident) => {
        match $self.lock() {
            Ok(_guard) => Ok($inside(false)),
            Err(LockError::OwnerDied(_guard)) => Ok($inside(true)),
            Err(error) => Err(error.to_string()),
        }
    };
}

impl Elements for Value<[u64; 5]> {
    fn create(segment: &Segment, name: &str) {
        let _ = Self::create(segment, name, [0; 5]).expect("room for a value");
    }

    fn open(segment: &Segment, name: &str) -> Self {
        Self::open(segment, name).expect("it is there")
    }

    fn write(&self, word: u64) {
        self.write([word; 5]).expect("the lock can be had");
    }

    #[inline(always)]
    fn read(&self) -> Option<[u64; 2]> {
        all_equal(self.read().ok()?).map(|word| [word; 2])
    }

    fn locked<R>(&self, inside: impl FnOnce(bool) -> R) -> Result<R, String> {
        locked!(self, inside)
    }

    fn held(&self) -> bool {
        self.holder().is_some()
    }
}

/// Elements 1 and 2 of an array of 4.
impl Elements for Array<[u64; 3]> {
    fn create(segment: &Segment, name: &str) {
        let _ = Self::create(segment, name, 4).expect("room for an array");
    }

    fn open(segment: &Segment, name: &str) -> Self {
        Self::open(segment, name).expect("it is there")
    }

    fn write(&self, word: u64) {
        self.write(1, &[[word; 3]; 2]).expect("the lock can be had");
    }

    #[inline(always)]
    fn read(&self) -> Option<[u64; 2]> {
        let mut all = [[1; 3]; 4];
        self.read(0, &mut all).ok()?;
        let [before, first, last, behind] = all;
        (before == [0; 3] && behind == [0; 3]).then_some([all_equal(first)?, all_equal(last)?])
    }

    fn locked<R>(&self, inside: impl FnOnce(bool) -> R) -> Result<R, String> {
        locked!(self, inside)
    }

    fn held(&self) -> bool {
        self.holder().is_some()
    }
}

/// Elements as a lock with data: read, changed and written under the lock, which the writing locks once more.
#[derive(Debug)]
pub struct Locked<E>(PhantomData<E>);

impl<E: Elements> LockKind for Locked<E> {
    type Joined = (Segment, E);

    const NEVER_TORN: bool = true;

    fn reset(board: &'static Board) {
        fresh::<E>(board);
    }

    fn join(board: &'static Board, _: Role) -> Self::Joined {
        enter(board)
    }

    fn critical((_, elements): &mut Self::Joined, cue: &Cue, inside: impl FnOnce(Entry)) -> Result<u64, String> {
        cue.stage.store(stage::ASKED, Release);
        let count = elements.locked(|died| {
            cue.stage.store(stage::INSIDE, Release);
            let found = elements.read();
            // Elements are written in order, and each is whole: a death leaves the later ones one behind, and each
            // further death in a row one more.
            let count = found.map_or(0, |[first, _]| first);
            let behind = if died { MOST_VICTIMS } else { 0 };
            let whole = found.is_some_and(|[_, last]| count.checked_sub(last).is_some_and(|lag| lag <= behind));
            inside(Entry { died, found: [count, if whole { count } else { !count }] });
            elements.write(count + 1);
            cue.stage.store(stage::LEAVING, Release);
            count + 1
        })?;
        cue.stage.store(stage::OUT, Release);
        Ok(count)
    }

    fn recover((segment, _): &mut Self::Joined, _: Role) {
        segment.recover().expect("recovery is possible");
    }

    fn digest(board: &'static Board) -> Digest {
        digest(board)
    }
}

fn fresh<E: Elements>(board: &'static Board) {
    fresh_segment(board, |segment| {
        let _ = Value::create(segment, "warm", [0_u64; 2]).expect("room for a value");
        E::create(segment, "elements");
    });
}

fn enter<E: Elements>(board: &'static Board) -> (Segment, E) {
    let segment = join(board);
    // The thread's registration is a scenario of its own.
    drop(Value::<[u64; 2]>::open(&segment, "warm").expect("it is there").lock());
    let elements = E::open(&segment, "elements");
    (segment, elements)
}

/// How a victim replaces elements.
pub trait Writer<E>: 'static {
    /// By `word`.
    fn write(elements: &E, word: u64);
}

/// As the library does.
#[derive(Debug)]
pub struct Shipped;

impl<E: Elements> Writer<E> for Shipped {
    fn write(elements: &E, word: u64) {
        elements.write(word);
    }
}

/// What happens around the write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // see the table above
pub enum Case {
    Write,
    Contended,
    Takeover,
}

const CASES: [(Case, &str); 3] =
    [(Case::Write, "write"), (Case::Contended, "contended write"), (Case::Takeover, "takeover")];

/// All scenarios of values and arrays.
pub fn scenarios() -> Vec<Scenario> {
    let mut all = locks::scenarios::<Locked<Value<[u64; 5]>>>("Value");
    all.extend(writes::<Value<[u64; 5]>>("Value"));
    all.extend(locks::scenarios::<Locked<Array<[u64; 3]>>>("Array"));
    all.extend(writes::<Array<[u64; 3]>>("Array"));
    all.push(Scenario::new("Value, Array atomics", |options| {
        let board = Board::new();
        explore(board, 1, &Options { alone: true, ..*options }, atomics)
    }));
    all
}

fn writes<E: Elements>(name: &str) -> Vec<Scenario> {
    let both = |cap: bool| CASES.map(|(case, label)| scenario::<E, Shipped>(name, case, label, cap));
    [both(true), both(false)].into_iter().flatten().collect()
}

/// One scenario of a write.
pub fn scenario<E: Elements, W: Writer<E>>(name: &str, case: Case, label: &str, cap: bool) -> Scenario {
    let suffix = if cap { "" } else { " cap-off" };
    Scenario::new(format!("{name} {label}{suffix}"), move |options| run::<E, W>(case, cap, options))
}

fn run<E: Elements, W: Writer<E>>(case: Case, cap: bool, options: &Options) -> Outcome {
    let board = Board::new();
    board.uncapped.store(u32::from(!cap), Relaxed);
    let options = Options { alone: case == Case::Write || !cap, ..*options };
    explore(board, 1, &options, |point| {
        fresh::<E>(board);
        if staged::<E, W>(point, case, cap).is_none() {
            point.skip();
        }
    })
}

/// What the victim writes, and then the survivor.
const NEW: u64 = 5;
const LAST: u64 = 9;

/// What the survivor says of what it found.
mod said {
    pub const TOLD: u64 = 1;
    pub const TOLD_AGAIN: u64 = 2;
    pub const TORN: u64 = 4;
    pub const OLD: u64 = 8;
    pub const HELD: u64 = 16;
    pub const REFUSED: u64 = 32;
    pub const LOST: u64 = 64;
}

/// Locks, looks, writes, looks, locks again.
fn survive<E: Elements>(elements: &E, cue: &Cue) {
    let mut said = if elements.held() { said::HELD } else { 0 };
    let mut look = || match elements.read() {
        Some(words) if words.iter().all(|word| [0, NEW].contains(word)) => {
            said |= if words.contains(&0) { said::OLD } else { 0 };
        }
        _ => said |= said::TORN,
    };
    if cue.go.is_open() {
        look(); // nobody is about, so what is there now stays
    }
    let first = elements.locked(|died| {
        cue.got.store(now_ns(), Relaxed);
        look();
        elements.write(LAST);
        died
    });
    said |= if elements.read().is_some_and(|words| words.iter().all(|&word| word == LAST)) { 0 } else { said::LOST };
    let second = elements.locked(|died| died);
    for (told, flag) in [(first, said::TOLD), (second, said::TOLD_AGAIN)] {
        said |= told.map_or(said::REFUSED, |told| if told { flag } else { 0 });
    }
    cue.result.store(said, Relaxed);
    cue.done.open();
}

/// Starts a survivor; the one of [`Case::Write`] waits for the kill before it does anything.
fn survivor<E: Elements>(point: &Point<'_>, waits: bool) -> Child {
    let board = point.board;
    point.play(Role::Survivor, move |cue| {
        let (_segment, elements) = enter::<E>(board);
        cue.asked.store(now_ns(), Relaxed);
        cue.ready.open();
        if waits {
            cue.go.pass(LIMIT);
        }
        survive(&elements, cue);
    })
}

fn staged<E: Elements, W: Writer<E>>(point: &mut Point<'_>, case: Case, cap: bool) -> Option<()> {
    let board = point.board;
    let cue = board.cue(Role::Survivor);
    let mut dead = vec![Role::Victim];
    let holder = (case == Case::Takeover).then(|| {
        point.play(Role::Holder, |cue| {
            let (_segment, elements) = enter::<E>(board);
            let _ = elements.locked(|_| {
                cue.ready.open();
                park();
            });
        })
    });
    if holder.is_some() {
        board.cue(Role::Holder).ready.pass(point.limit).then_some(())?;
        dead.insert(0, Role::Holder);
    }
    let mut victim = point.victim(Role::Victim, |cue| {
        let (_segment, elements) = enter::<E>(board);
        marker();
        W::write(&elements, NEW);
        cue.stage.store(1, Release);
    })?;
    let done = || board.cue(Role::Victim).stage.load(Acquire) == 1;
    if case == Case::Contended {
        // Read off in this process, which leaves before anybody else comes.
        let (_segment, elements) = enter::<E>(board);
        let held = || elements.held();
        (victim.walk(Unit::Instruction, 10_000, held) == Walk::Finished).then_some(())?;
    }
    let mut child = survivor::<E>(point, case == Case::Write);
    if case == Case::Write {
        cue.ready.pass(point.limit).then_some(())?;
    } else {
        child.settles(point.limit).then_some(())?;
    }
    drop(holder); // dies
    point.walk(0, &mut victim, done);
    let returned = done();
    let killed_at = point.bury(Role::Victim, victim);
    point.outcome.states.insert(digest(board).word(returned.into()).value());
    if !cap && case != Case::Write {
        let mut bystander =
            point.play(Role::Bystander, |_| join(board).recover().map_or_else(|why| panic!("{why}"), drop));
        if bystander.wait(point.limit) != Some(Ended::Exit(0)) {
            point.fail(Class::Stuck, "the bystander's recovery failed");
        }
    }
    cue.go.open();
    if !cue.done.pass(point.limit) {
        point.fail(Class::Stuck, format!("the survivor {:?}, returned {returned}", child.ended()));
        return Some(());
    }
    point.delay(killed_at, cue);
    judge(point, case, cap, returned, cue.result.load(Relaxed));
    Some(())
}

fn judge(point: &mut Point<'_>, case: Case, cap: bool, returned: bool, said: u64) {
    let has = |flag| said & flag != 0;
    let told = has(said::TOLD);
    let must_tell = match case {
        Case::Write => has(said::HELD),
        // The victim had the lock before the survivor asked, and changes before it unlocks.
        Case::Contended => has(said::OLD),
        Case::Takeover => true,
    };
    let mut fail = |holds: bool, class: Class, why: &str| {
        if holds {
            point.fail(class, format!("{why} (returned {returned}, said {said:#x})"));
        }
    };
    fail(has(said::REFUSED), Class::Stuck, "the survivor was refused");
    fail(has(said::TORN), Class::Torn, "half an element, or another's");
    fail(has(said::LOST), Class::Lost, "the survivor's own write");
    fail(must_tell && !told, Class::Unreported, "the survivor was not told");
    fail(case == Case::Write && told && !must_tell, Class::Leaked, "told of a death that held nothing");
    // With naps, the survivor may have been in before the victim took over.
    let alone = case != Case::Takeover || !cap;
    fail(alone && returned && has(said::OLD), Class::Lost, "a write that returned");
    fail(alone && has(said::TOLD_AGAIN), Class::Leaked, "told of a death once more");
}

/// The value and the array's element after so many of the operations.
const ROW: [(u64, u32); 8] = [(10, 0), (11, 0), (7, 0), (8, 0), (8, 5), (8, 50), (8, 51), (u64::MAX, 51)];

fn atomics(point: &mut Point<'_>) {
    let board = point.board;
    fresh_segment(board, |segment| {
        let _ = Value::create(segment, "value", ROW[0].0).expect("room for a value");
        let _ = Array::<u32>::create(segment, "array", 3).expect("room for an array");
    });
    let both = move || {
        let segment = join(board);
        let objects = (Value::<u64>::open(&segment, "value"), Array::<u32>::open(&segment, "array"));
        (segment, objects.0.expect("it is there"), objects.1.expect("it is there"))
    };
    let Some(mut victim) = point.victim(Role::Victim, |cue| {
        let (_segment, value, array) = both();
        marker();
        let did = |n: u32, right: bool| cue.stage.store(if right { n } else { 100 }, Release);
        did(1, value.fetch_add(1) == 10);
        did(2, value.swap(7) == 11);
        did(3, value.compare_exchange(7, 8) == Ok(7));
        did(4, array.fetch_add(1, 5) == Ok(0));
        did(5, array.set(1, 50).is_ok());
        did(6, array.compare_exchange(1, 50, 51) == Ok(Ok(50)));
        value.set(u64::MAX);
        did(7, array.get(1) == Some(51));
    }) else {
        return point.skip();
    };
    let stage = || board.cue(Role::Victim).stage.load(Acquire) as usize;
    point.walk(0, &mut victim, || stage() >= 7);
    let killed_at = point.bury(Role::Victim, victim);
    let stage = stage();
    point.outcome.states.insert(digest(board).word(stage as u64).value());
    let mut child = point.play(Role::Survivor, |cue| {
        let (_segment, value, array) = both();
        let found = (value.get(), array.get(1).unwrap_or(0));
        let whole = ROW.iter().skip(stage).take(2).any(|&state| state == found);
        let alone = array.get(0) == Some(0) && array.get(2) == Some(0);
        let free = value.try_lock().is_ok() && array.try_lock().is_ok();
        let on = value.fetch_add(1) == found.0 && array.fetch_add(1, 1) == Ok(found.1);
        cue.got.store(now_ns(), Relaxed);
        let checks = [whole && alone, free, on && value.get() == found.0.wrapping_add(1)];
        cue.result.store(checks.into_iter().fold(1, |code, holds| code << 1 | u64::from(holds)), Relaxed);
    });
    let ended = child.wait(point.limit);
    let cue = board.cue(Role::Survivor);
    point.delay(killed_at, cue);
    let code = cue.result.load(Relaxed);
    for (bit, class) in [(4, Class::Torn), (2, Class::Leaked), (1, Class::Lost)] {
        if ended != Some(Ended::Exit(0)) || code & bit == 0 {
            point.fail(class, format!("checks {code:#b}, survivor {ended:?}, stage {stage}"));
        }
    }
}
