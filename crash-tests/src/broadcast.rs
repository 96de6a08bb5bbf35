//! Broadcasts and blackboards, by the public API: whoever reads gets what was completed, whole, once, in order, and learns of the
//! end, whoever is killed.
//!
//! | name | asleep | the victim is killed |
//! |---|---|---|
//! | free | nobody | in becoming the writer and a reader, in a record sent and received, in leaving |
//! | sends | two readers | in a record |
//! | takes-over | one reader | as the next writer, behind one that died in the middle of a record |
//! | woken-reader | one reader behind the victim | as a reader that has just been woken |
//! | woken-writer | one reader | as a writer that has just been given room |
//! | reads | the writer, which has no room | as the reader that is in its way, while it reads and leaves |
//! | recoverer | the writer, which has no room | while it recovers the dead reader that is in its way |
//! | shutdown | a reader, and with back-pressure a writer | while it shuts down |
//! | two, three | one reader | one after another, as writers in a record |
//!
//! Whether a victim's record counts is read off the object; if it does, a reader that sleeps must come to have it. In the end
//! another writer sends, and shuts down: all readers have read the same, each record whole and once, and learn of the end. Of a
//! blackboard a reader may skip values, and gets none again.
//!
//! Each is played with capped sleeps, and with the cap off: then a bystander recovers once.

use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::time::{Duration, Instant};

use crate::board::{Board, Cue, Role};
use crate::lanes::{ApiBlackboard, ApiBroadcast, Lane, Nothing};
use crate::os::{Child, Ended, now_ns};
use crate::report::{Class, Outcome};
use crate::scenario::{Options, Point, Scenario, explore, to_sleep, victim};
use crate::step::{Stop, Unit, marker};

/// What happens around the victims.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // see the table above
pub enum Case {
    Free,
    Sends,
    TakesOver,
    WokenReader,
    WokenWriter,
    Reads,
    Recoverer,
    Shutdown,
    Two,
    Three,
}

const CASES: [(Case, &str); 10] = [
    (Case::Free, "free"),
    (Case::Sends, "sends"),
    (Case::TakesOver, "takes-over"),
    (Case::WokenReader, "woken-reader"),
    (Case::Shutdown, "shutdown"),
    (Case::Two, "two"),
    (Case::Three, "three"),
    (Case::WokenWriter, "woken-writer"),
    (Case::Reads, "reads"),
    (Case::Recoverer, "recoverer"),
];

/// Those that there are only where the writer waits.
const WAITING: [Case; 3] = [Case::WokenWriter, Case::Reads, Case::Recoverer];

/// All of them, with the cap on and off.
pub fn scenarios() -> Vec<Scenario> {
    let mut all = of_lane::<ApiBroadcast<0>>("Broadcast");
    all.extend(of_lane::<ApiBroadcast<6>>("Broadcast waiting"));
    all.extend(of_lane::<ApiBlackboard>("Blackboard"));
    all
}

fn of_lane<L: Lane>(name: &str) -> Vec<Scenario> {
    let cases = CASES.into_iter().filter(|(case, _)| L::WAITS || !WAITING.contains(case));
    let both = |(case, label)| [true, false].map(|cap| scenario::<L>(name, case, label, cap, true));
    cases.flat_map(both).collect()
}

/// One of them. If nobody `recovers`, and no sleep is capped, what the dead leave is found by nobody: a control.
pub fn scenario<L: Lane>(name: &str, case: Case, label: &str, cap: bool, recovers: bool) -> Scenario {
    let suffix = if cap { "" } else { " cap-off" };
    Scenario::new(format!("{name} {label}{suffix}"), move |options| run::<L>(case, cap, recovers, options))
}

fn victims(case: Case) -> &'static [Role] {
    match case {
        Case::Two => &[Role::Victim, Role::Second],
        Case::Three => &[Role::Victim, Role::Second, Role::Third],
        _ => &[Role::Victim],
    }
}

fn run<L: Lane>(case: Case, cap: bool, recovers: bool, options: &Options) -> Outcome {
    let board = Board::new();
    board.uncapped.store(u32::from(!cap), Relaxed);
    let options = Options { alone: case == Case::Free, ..*options };
    explore(board, victims(case).len(), &options, |point| {
        L::reset(board);
        if staged::<L>(point, case, cap, recovers).is_none() {
            point.skip();
        }
    })
}

/// A victim has come so far.
const OUT: u32 = 9;
/// The number of the record that ends each kill point.
const LAST: u64 = 15;

/// What the victim does; its record is `number`.
fn perform<L: Lane>(joined: &L::Joined, case: Case, number: u64, reader: Option<L::Reader>, cue: &Cue) {
    match case {
        Case::Free => {
            let (mut writer, mut reader) =
                (L::writer(joined).expect("nobody is"), L::reader(joined, false).expect("room"));
            let _ = (L::send(&mut writer, number), L::recv(&mut reader, false));
            drop(reader);
            drop(writer);
        }
        Case::Sends | Case::TakesOver | Case::Two | Case::Three => {
            let mut writer = L::writer(joined).expect("nobody is");
            if L::send(&mut writer, number) {
                cue.value.store(1, Relaxed);
            }
        }
        Case::WokenReader => {
            let _ = L::recv(&mut reader.expect("opened before"), true);
        }
        Case::WokenWriter => {
            let mut writer = L::writer(joined).expect("nobody is");
            assert!(L::send(&mut writer, number));
            // There is no room.
            if L::send(&mut writer, number + 1) {
                cue.value.store(2, Relaxed);
            }
        }
        Case::Reads => {
            let mut reader = reader.expect("opened before");
            let _ = L::recv(&mut reader, false);
        }
        Case::Recoverer => L::recover(joined, Role::Holder),
        Case::Shutdown => {
            let _ = L::shutdown(joined);
        }
    }
    cue.stage.store(OUT, Release);
}

/// A reader that reads to the end: how many in `stage`, which in `value`, 4 bits each, and the end in `result`.
fn listener<L: Lane>(point: &Point<'_>, role: Role) -> Option<(Role, Child)> {
    let board = point.board;
    let mut child = point.play(role, |cue| {
        let joined = L::join(board, role);
        let mut reader = L::reader(&joined, false).expect("room for a reader");
        cue.asked.store(now_ns(), Relaxed);
        cue.ready.open();
        if board.cue(Role::Barger).stage.load(Acquire) == 1 {
            // It is in the writer's way until it is told to read.
            cue.go.pass(Duration::from_secs(60));
        }
        let end = loop {
            match L::recv(&mut reader, true) {
                Ok(number) => {
                    cue.value.store(cue.value.load(Relaxed) << 4 | number, Relaxed);
                    cue.got.store(now_ns(), Relaxed);
                    cue.stage.fetch_add(1, Release);
                }
                Err(end) => break end,
            }
        };
        cue.result.store(end as u64 + 1, Relaxed);
        cue.done.open();
    });
    (board.cue(role).ready.pass(point.limit) && child.settles(point.limit)).then_some((role, child))
}

/// A writer that has no room for its second record, and sends a third behind it.
fn blocked_writer<L: Lane>(point: &Point<'_>) -> Option<Child> {
    let board = point.board;
    let mut child = point.play(Role::Survivor, |cue| {
        let joined = L::join(board, Role::Survivor);
        let mut writer = L::writer(&joined).expect("nobody is");
        cue.asked.store(now_ns(), Relaxed);
        for number in 1..=3 {
            if !L::send(&mut writer, number) {
                break;
            }
            cue.got.store(now_ns(), Relaxed);
            cue.stage.fetch_add(1, Release);
        }
        cue.done.open();
    });
    let mut settled = child.settles(point.limit);
    // Not one of the sleeps on its way.
    while settled && board.cue(Role::Survivor).stage.load(Acquire) < 1 {
        settled = child.settles(point.limit);
    }
    settled.then_some(child)
}

/// Somebody does one thing, and is gone.
fn once<L: Lane>(point: &Point<'_>, body: impl FnOnce(&L::Joined, &Cue)) -> Option<()> {
    let board = point.board;
    let mut child = point.play(Role::Script, |cue| body(&L::join(board, Role::Script), cue));
    (child.wait(point.limit) == Some(Ended::Exit(0))).then_some(())
}

/// A writer dies in the middle of a record, as far as one can tell from outside: half way.
fn half_sent<L: Lane>(point: &Point<'_>) -> Option<()> {
    let board = point.board;
    let body = || {
        victim(board, Role::Holder, |cue| {
            let joined = L::join(board, Role::Holder);
            let mut writer = L::writer(&joined).expect("nobody is");
            marker();
            L::send(&mut writer, 7);
            cue.stage.store(OUT, Release);
        })
        .ok()
    };
    let mut whole = body()?;
    whole.walk(Unit::Instruction, 1_000_000, || board.cue(Role::Holder).stage.load(Acquire) == OUT);
    let steps = whole.steps();
    whole.kill();
    board.clear_cast();
    board.dead.iter().for_each(|dead| dead.store(0, Relaxed));
    L::reset(board);
    let mut half = body()?;
    half.walk(Unit::Instruction, steps / 2, || false);
    half.kill();
    board.bury(Role::Holder);
    Some(())
}

fn staged<L: Lane>(point: &mut Point<'_>, case: Case, cap: bool, recovers: bool) -> Option<()> {
    let board = point.board;
    if case == Case::TakesOver {
        half_sent::<L>(point)?;
    }
    let (mut readers, mut writer, mut in_the_way) = (vec![], None, None);
    match case {
        Case::Sends => {
            readers.push(listener::<L>(point, Role::Survivor)?);
            readers.push(listener::<L>(point, Role::Fresh)?);
        }
        Case::TakesOver | Case::Two | Case::Three => readers.push(listener::<L>(point, Role::Survivor)?),
        Case::WokenWriter => {
            board.cue(Role::Barger).stage.store(1, Release);
            readers.push(listener::<L>(point, Role::Survivor)?);
        }
        Case::Recoverer => {
            let holder = point.play(Role::Holder, |cue| {
                let joined = L::join(board, Role::Holder);
                let _in_the_way = L::reader(&joined, false).expect("room for a reader");
                cue.ready.open();
                crate::scenario::park();
            });
            board.cue(Role::Holder).ready.pass(point.limit).then_some(())?;
            in_the_way = Some(holder);
        }
        Case::Shutdown if L::WAITS => {
            readers.push(listener::<L>(point, Role::Fresh)?);
            let holder = point.play(Role::Holder, |cue| {
                let joined = L::join(board, Role::Holder);
                let _in_the_way = L::reader(&joined, false).expect("room for a reader");
                cue.ready.open();
                crate::scenario::park();
            });
            board.cue(Role::Holder).ready.pass(point.limit).then_some(())?;
            in_the_way = Some(holder);
            writer = Some(blocked_writer::<L>(point)?);
        }
        Case::Shutdown => readers.push(listener::<L>(point, Role::Fresh)?),
        Case::Free | Case::WokenReader | Case::Reads => {}
    }
    let (mut killed_at, mut sure) = (0, 0_u64);
    for (nth, &role) in victims(case).iter().enumerate() {
        let (cue, number) = (board.cue(role), nth as u64 + 1);
        let mut victim = point.victim(role, |cue| {
            let joined = L::join(board, role);
            let reads = matches!(case, Case::WokenReader | Case::Reads);
            let reader = reads.then(|| L::reader(&joined, false).expect("room for a reader"));
            marker();
            perform::<L>(&joined, case, number, reader, cue);
        })?;
        let done = || cue.stage.load(Acquire) == OUT;
        match case {
            Case::WokenReader => {
                to_sleep(&mut victim, done).then_some(())?;
                readers.push(listener::<L>(point, Role::Survivor)?);
                once::<L>(point, |joined, _| {
                    assert!(L::send(&mut L::writer(joined).expect("nobody is"), number));
                })?;
                (victim.awaken() == Stop::Trapped).then_some(())?;
                sure |= 1 << number;
            }
            Case::WokenWriter => {
                to_sleep(&mut victim, done).then_some(())?;
                board.cue(Role::Survivor).go.open();
                (victim.awaken() == Stop::Trapped).then_some(())?;
                sure |= 1 << number;
            }
            Case::Reads => writer = Some(blocked_writer::<L>(point)?),
            Case::Recoverer => {
                let blocked = blocked_writer::<L>(point)?;
                if cap {
                    // It would be faster.
                    blocked.stop();
                }
                in_the_way.take()?.kill();
                board.bury(Role::Holder);
                writer = Some(blocked);
            }
            _ => {}
        }
        point.walk(nth, &mut victim, done);
        killed_at = point.bury(role, victim);
        let sent = cue.value.load(Relaxed);
        if sent > 0 {
            sure |= 1 << (number + sent - 1);
        }
        point.outcome.states.insert(L::digest(board).word(cue.stage.load(Relaxed).into()).value());
    }
    if case == Case::Recoverer && cap {
        writer.as_ref()?.go_on();
    }
    if !cap && recovers {
        let mut bystander = point.play(Role::Bystander, |_| {
            let joined = L::join(board, Role::Bystander);
            if case == Case::Recoverer {
                L::recover(&joined, Role::Holder);
            }
            victims(case).iter().for_each(|&dead| L::recover(&joined, dead));
        });
        if bystander.wait(point.limit) != Some(Ended::Exit(0)) {
            point.fail(Class::Stuck, "the bystander's recovery failed");
        }
    }
    if let Err((class, why)) = judge::<L>(point, case, killed_at, sure, &readers, writer) {
        point.fail(class, why);
    }
    drop(in_the_way);
    Some(())
}

type Verdict = Result<(), (Class, String)>;

fn judge<L: Lane>(
    point: &mut Point<'_>,
    case: Case,
    killed_at: u64,
    sure: u64,
    readers: &[(Role, Child)],
    writer: Option<Child>,
) -> Verdict {
    let board = point.board;
    let stuck = |why: &str| Err((Class::Stuck, why.to_owned()));
    if case == Case::Shutdown && once::<L>(point, |joined, _| assert!(L::shutdown(joined))).is_none() {
        return stuck("the second shutdown failed");
    }
    if let Some(mut writer) = writer {
        let cue = board.cue(Role::Survivor);
        if !cue.done.pass(point.limit) {
            return stuck("the writer waits for room");
        }
        if case != Case::Shutdown {
            point.delay(killed_at, cue);
            if cue.stage.load(Acquire) != 3 {
                return Err((Class::Lost, "the writer was refused".to_owned()));
            }
        }
        if writer.wait(point.limit) != Some(Ended::Exit(0)) {
            return stuck("the writer does not leave");
        }
    }
    // What is there reaches who sleeps, before anybody else comes.
    if case != Case::Shutdown && !readers.is_empty() {
        there::<L>(point, readers)?;
    }
    if case != Case::Shutdown && !finished::<L>(point, readers.is_empty()) {
        return stuck("another writer, or a reader, does not get on");
    }
    let mut first = None;
    for (role, _) in readers {
        let cue = board.cue(*role);
        if !cue.done.pass(point.limit) {
            return stuck("a reader is not told of the end");
        }
        if case != Case::Shutdown {
            point.delay(killed_at, cue);
        }
        let got = cue.value.load(Relaxed);
        match cue.result.load(Relaxed) {
            end if end == Nothing::Ever as u64 + 1 => {}
            end if end == Nothing::Torn as u64 + 1 => return Err((Class::Torn, format!("{got:x}, then a torn one"))),
            _ => return Err((Class::Lost, format!("{got:x}, then refused"))),
        }
        in_order::<L>(got, sure, case != Case::Shutdown)?;
        if !L::SKIPS && *first.get_or_insert(got) != got {
            return Err((Class::Lost, format!("one has read {:x}, another {got:x}", first.unwrap_or(0))));
        }
    }
    Ok(())
}

/// As many as there are in the lane, each reader comes to have.
fn there<L: Lane>(point: &Point<'_>, readers: &[(Role, Child)]) -> Verdict {
    let board = point.board;
    board.cue(Role::Script).value.store(0, Relaxed);
    let look = |joined: &L::Joined, cue: &Cue| {
        let mut reader = L::reader(joined, true).expect("room for a reader");
        while let Ok(number) = L::recv(&mut reader, false) {
            cue.value.store(number, Relaxed);
        }
    };
    if once::<L>(point, look).is_none() {
        return Err((Class::Stuck, "nobody can look".to_owned()));
    }
    let newest = board.cue(Role::Script).value.load(Relaxed);
    let end = Instant::now() + point.limit;
    for (role, _) in readers {
        let cue = board.cue(*role);
        while newest != 0 && cue.value.load(Relaxed) & 15 != newest {
            if Instant::now() > end {
                return Err((Class::Stuck, format!("a reader sleeps, and {newest} is there")));
            }
            cue.done.pass(Duration::from_millis(1));
        }
    }
    Ok(())
}

/// Another writer, and if there is no reader another one, go on to the end.
fn finished<L: Lane>(point: &Point<'_>, alone: bool) -> bool {
    once::<L>(point, |joined, _| {
        let mut reader = alone.then(|| L::reader(joined, false).expect("room for a reader"));
        let mut writer = L::writer(joined).expect("nobody is");
        if let Some(reader) = &mut reader {
            for number in 1..9 {
                assert!(L::send(&mut writer, number));
                assert_eq!(L::recv(reader, false), Ok(number));
            }
        }
        assert!(L::send(&mut writer, LAST) && L::shutdown(joined));
        if let Some(reader) = &mut reader {
            assert_eq!((L::recv(reader, true), L::recv(reader, true)), (Ok(LAST), Err(Nothing::Ever)));
        }
    })
    .is_some()
}

/// Each once, in order, and none missing that was surely sent.
fn in_order<L: Lane>(got: u64, sure: u64, to_the_last: bool) -> Verdict {
    let numbers: Vec<u64> = (0..16).rev().map(|nth| got >> (4 * nth) & 15).skip_while(|number| *number == 0).collect();
    if !numbers.is_sorted_by(|one, next| one < next) {
        return Err((Class::Duplicated, format!("{got:x} is no order")));
    }
    if to_the_last && numbers.last() != Some(&LAST) {
        return Err((Class::Lost, format!("{got:x} without the last")));
    }
    let missing = (1..LAST).find(|number| sure >> number & 1 == 1 && !numbers.contains(number));
    match missing {
        Some(number) if !L::SKIPS => Err((Class::Lost, format!("{got:x} without {number}"))),
        _ => Ok(()),
    }
}
