//! The ends of a pipe: whoever has one and is killed, the other end is told when nobody has it any more, and not before.
//!
//! | name | at the other end | the victim |
//! |---|---|---|
//! | sends | a receiver, asleep | sends a message |
//! | sends long | the same | sends one that is longer than the ring |
//! | receives | a sender that waits for room | receives a message |
//! | receives long | a sender in the middle of a message that is longer than the ring | receives it |
//! | opens | a receiver, asleep | opens its end |
//! | clones | the same | makes a second handle to its end |
//! | closes | the same | drops its handle |
//! | recoverer | the same, behind a sender that died in the middle | recovers it |
//! | two | somebody who does nothing yet | sends; then a receiver beside that somebody is killed too |
//!
//! Nobody else has the victim's end; or *another* process has a handle to it; or a forked *child* has that of the victim,
//! which has made no call yet. After the kill these go on: what they send must arrive, what is left they receive, and only
//! when they are gone too may the other end be told so, and then must be. At the end of each, an end that is gone cannot be
//! opened; and when all are gone the pipe is removed, and made anew by the same name, with all its room.

use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use ringfence::{End, Segment};

use crate::api::{digest, fresh_segment, join};
use crate::board::{Board, Cue, Role};
use crate::ends::{ApiPipe, Ends, LONG, RING, SHORT, Said};
use crate::os::{Child, Ended, LIMIT, Orphan, now_ns};
use crate::report::{Class, Outcome};
use crate::scenario::{Options, Point, Scenario, explore, park, victim};
use crate::step::{Unit, Victim, marker};

/// What the victim does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // see the table above
pub enum Case {
    Sends,
    SendsLong,
    Receives,
    ReceivesLong,
    Opens,
    Clones,
    Closes,
    Recoverer,
    Two,
}
use Case::{Clones, Closes, Opens, Receives, ReceivesLong, Recoverer, Sends, SendsLong, Two};

/// Who else has the victim's end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Beside {
    /// Nobody.
    Nobody,
    /// Another process, which opened it.
    Another,
    /// A forked child of the victim.
    Child,
}
use Beside::{Another, Nobody};

/// One scenario.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// What the victim does.
    pub case: Case,
    /// Who else has its end.
    pub beside: Beside,
    /// Whether sleeps are capped.
    pub cap: bool,
    /// What k counts.
    pub unit: Unit,
}

impl Row {
    /// With the cap on, after each instruction.
    pub fn new(case: Case, beside: Beside) -> Self {
        Self { case, beside, cap: true, unit: Unit::Instruction }
    }

    fn label(self) -> String {
        let case = match self.case {
            Sends => "sends",
            SendsLong => "sends long",
            Receives => "receives",
            ReceivesLong => "receives long",
            Opens => "opens",
            Clones => "clones",
            Closes => "closes",
            Recoverer => "recoverer",
            Two => "two",
        };
        let beside = match self.beside {
            Nobody => "",
            Another => ", another",
            Beside::Child => ", child",
        };
        let unit = if self.unit == Unit::Instruction { "" } else { " at system calls" };
        let cap = if self.cap { "" } else { " cap-off" };
        format!("{case}{beside}{unit}{cap}")
    }

    /// The victim's end.
    fn end(self) -> End {
        if self.receives() { End::First } else { End::Second }
    }

    fn receives(self) -> bool {
        matches!(self.case, Receives | ReceivesLong)
    }

    fn long(self) -> bool {
        matches!(self.case, SendsLong | ReceivesLong)
    }

    /// Nobody runs beside the victim.
    fn alone(self) -> bool {
        matches!(self.case, Opens | Clones | Closes | Recoverer)
    }
}

/// All of them.
pub fn scenarios() -> Vec<Scenario> {
    use Beside::Child;
    let mut rows = vec![];
    // A child that ends before its first call tells nobody: those who wait for its end need their naps.
    for case in [Sends, SendsLong, Receives, ReceivesLong, Clones, Closes] {
        rows.extend([Nobody, Another, Child].map(|beside| Row::new(case, beside)));
    }
    rows.extend([Nobody, Another].map(|beside| Row::new(Opens, beside)));
    rows.push(Row::new(Recoverer, Nobody));
    rows.extend([Nobody, Another].map(|beside| Row::new(Two, beside)));
    for case in [Sends, SendsLong, Receives, ReceivesLong, Closes, Recoverer] {
        rows.push(Row { cap: false, ..Row::new(case, Nobody) });
    }
    for case in [Opens, Clones, Closes, Recoverer] {
        rows.push(Row { unit: Unit::SystemCall, ..Row::new(case, Nobody) });
    }
    let mut all: Vec<_> = rows.into_iter().map(|row| scenario::<ApiPipe<true>>("Pipe", row)).collect();
    for case in [Sends, SendsLong, Receives, ReceivesLong, Closes, Two] {
        all.push(scenario::<ApiPipe<false>>("Pipe one-way", Row::new(case, Nobody)));
    }
    all
}

/// One of them.
pub fn scenario<E: Ends>(name: &str, row: Row) -> Scenario {
    Scenario::new(format!("{name} {}", row.label()), move |options| run::<E>(row, options))
}

fn run<E: Ends>(row: Row, options: &Options) -> Outcome {
    let board = Board::new();
    board.uncapped.store(u32::from(!row.cap), Relaxed);
    let options = Options { unit: row.unit, alone: row.alone(), ..*options };
    // Of the send that the recoverer's dead was killed in.
    let half = if row.case == Recoverer { half_a_send::<E>(board) } else { 0 };
    explore(board, if row.case == Two { 2 } else { 1 }, &options, |point| match stage::<E>(point, row, half) {
        None => point.skip(),
        Some(Ok(())) => {}
        Some(Err((class, why))) => point.fail(class, why),
    })
}

type Verdict = Result<(), (Class, String)>;

/// The call is over.
const OUT: u32 = 2;
/// Of who was beside the victim.
const LAST: u64 = 9;
/// Of who opened the end by its name afterwards.
const NEXT: u64 = 8;
/// So many messages there are where the victim receives.
const ALL: u64 = 6;

/// A message that consists of its number.
fn message(number: u64, long: bool) -> Vec<u8> {
    vec![number as u8; if long { LONG } else { SHORT }]
}

/// Its number, if it is whole. `long`: the first one is.
fn number(message: &[u8], long: bool) -> Option<u64> {
    let number = u64::from(*message.first()?);
    let len = if long && number == 1 { LONG } else { SHORT };
    (message.len() == len && message.iter().all(|byte| u64::from(*byte) == number)).then_some(number)
}

/// Receives one message, whose number is one more digit of the cue's value.
fn receive<E: Ends>(handle: &E::Handle, long: bool, cue: &Cue) -> Said {
    let mut buffer = [0; LONG];
    match E::recv(handle, &mut buffer).map(|len| number(&buffer[..len], long)) {
        Ok(Some(number)) => {
            cue.value.store(cue.value.load(Relaxed) << 4 | number, Relaxed);
            Said::Done
        }
        Ok(None) => Said::Torn,
        Err(said) => said,
    }
}

/// Until the end.
fn receive_all<E: Ends>(handle: &E::Handle, long: bool, cue: &Cue) -> Said {
    loop {
        let said = receive::<E>(handle, long, cue);
        if said != Said::Done {
            return said;
        }
    }
}

/// One after the other, until refused.
fn send_all<E: Ends>(handle: &E::Handle, long: bool) -> Said {
    let mut sent = (1..=ALL).map(|number| E::send(handle, &message(number, long && number == 1)));
    sent.find(|said| *said != Said::Done).unwrap_or(Said::Done)
}

/// Who is at the other end, and stays there.
fn partner<E: Ends>(point: &Point<'_>, row: Row) -> Option<Child> {
    let board = point.board;
    let mut child = point.play(Role::Survivor, |cue| {
        let segment = join(board);
        let handle = E::open(&segment, board, row.end().other()).expect("the first to come");
        cue.ready.open();
        if row.case == Two {
            cue.go.pass(LIMIT);
        }
        cue.asked.store(now_ns(), Relaxed);
        let mut said = if row.receives() {
            send_all::<E>(&handle, row.long())
        } else {
            receive_all::<E>(&handle, row.long(), cue)
        };
        cue.got.store(now_ns(), Relaxed);
        if said == Said::Over && E::BOTH_WAYS && E::send(&handle, &message(1, false)) != Said::Over {
            said = Said::Other;
        }
        cue.result.store(said as u64, Relaxed);
        let _stays = (said == Said::Over).then_some(handle);
        cue.done.open();
        park();
    });
    point.board.cue(Role::Survivor).ready.pass(point.limit).then_some(())?;
    (row.case == Two || child.settles(point.limit)).then_some(child)
}

/// What another holder of the victim's end does when it is its turn.
fn take_turn<E: Ends>(handle: &E::Handle, row: Row, cue: &Cue) {
    cue.ready.open();
    cue.go.pass(LIMIT);
    let said = match row.receives() {
        true => receive_all::<E>(handle, row.long(), cue),
        false => E::send(handle, &message(LAST, false)),
    };
    cue.result.store(said as u64, Relaxed);
}

fn operate<E: Ends>(segment: &Segment, board: &'static Board, row: Row, handle: Option<E::Handle>, cue: &Cue) {
    let (case, held) = (row.case, || handle.as_ref().expect("it was opened"));
    let said = match case {
        Sends | SendsLong | Two => E::send(held(), &message(1, row.long())),
        Receives | ReceivesLong => receive::<E>(held(), row.long(), cue),
        Opens => match E::open(segment, board, row.end()) {
            Ok(handle) => {
                std::mem::forget(handle);
                Said::Done
            }
            Err(said) => said,
        },
        Clones => {
            std::mem::forget(E::again(held()));
            Said::Done
        }
        Closes => {
            drop(handle);
            cue.result.store(Said::Done as u64, Relaxed);
            return cue.stage.store(OUT, Release);
        }
        Recoverer => segment.recover().map_or(Said::Other, |_| Said::Done),
    };
    cue.result.store(said as u64, Relaxed);
    cue.stage.store(OUT, Release);
    std::mem::forget(handle);
}

fn out(cue: &Cue) -> bool {
    cue.stage.load(Acquire) == OUT
}

/// The victim before its operation, and the child that it has forked.
fn begin<E: Ends>(point: &mut Point<'_>, row: Row) -> Option<(Victim, Option<Orphan>)> {
    let board = point.board;
    let begun = point.victim(Role::Victim, |cue| {
        let segment = join(board);
        // The thread's registration is a scenario of its own.
        let _ = segment.objects();
        let has_one = !matches!(row.case, Opens | Recoverer);
        let handle = has_one.then(|| E::open(&segment, board, row.end()).expect("it can be opened"));
        if row.beside == Beside::Child {
            let holder = board.cue(Role::Holder);
            let child = Orphan::fork(|| {
                board.apply_cap();
                take_turn::<E>(handle.as_ref().expect("it was opened"), row, holder);
                holder.done.open();
            });
            holder.asked.store(child as u64, Relaxed);
        }
        marker();
        operate::<E>(&segment, board, row, handle, cue);
        std::mem::forget(segment);
    })?;
    let holder = point.board.cue(Role::Holder);
    let orphan = (row.beside == Beside::Child).then(|| Orphan::of(holder.asked.load(Relaxed) as i32));
    Some((begun, orphan))
}

/// A sender that has made so many steps of its send.
fn sender<E: Ends>(board: &'static Board, steps: u64) -> Option<Victim> {
    let begun = victim(board, Role::Holder, |cue| {
        let segment = join(board);
        let _ = segment.objects();
        let handle = E::open(&segment, board, End::Second).expect("it can be opened");
        marker();
        let said = E::send(&handle, &message(1, false));
        cue.result.store(said as u64, Relaxed);
        cue.stage.store(OUT, Release);
        std::mem::forget((handle, segment));
    });
    let mut sender = begun.ok()?;
    sender.walk(Unit::Instruction, steps, || out(board.cue(Role::Holder)));
    Some(sender)
}

/// Half the length of a send.
fn half_a_send<E: Ends>(board: &'static Board) -> u64 {
    board.clear();
    fresh_segment(board, |_| {});
    sender::<E>(board, 1_000_000).map_or(0, |sender| sender.steps() / 2)
}

/// Somebody does one thing, and is gone.
fn once(point: &mut Point<'_>, role: Role, body: impl FnOnce(&Segment, &'static Board, &Cue)) -> Verdict {
    let board = point.board;
    let mut child = point.play(role, |cue| body(&join(board), board, cue));
    match child.wait(point.limit) {
        Some(Ended::Exit(0)) => Ok(()),
        ended => Err((Class::Stuck, format!("{role:?} beside the dead: {ended:?}"))),
    }
}

fn stage<E: Ends>(point: &mut Point<'_>, row: Row, half: u64) -> Option<Verdict> {
    let board = point.board;
    fresh_segment(board, |_| {});
    let partner = partner::<E>(point, row)?;
    let mut dying = match row.case {
        Recoverer => Some(sender::<E>(board, half)?),
        _ => None,
    };
    let another = (row.beside == Another).then(|| {
        point.play(Role::Holder, |cue| {
            let segment = join(board);
            let handle = E::open(&segment, board, row.end()).expect("it can be opened");
            take_turn::<E>(&handle, row, cue);
            drop(handle);
            cue.done.open();
        })
    });
    let beside = board.cue(Role::Holder);
    (another.is_none() || beside.ready.pass(point.limit)).then_some(())?;
    let (mut victim, orphan) = begin::<E>(point, row)?;
    (orphan.is_none() || beside.ready.pass(point.limit)).then_some(())?;
    if row.alone() {
        partner.stop();
    }
    // Only now, since joining recovers the dead.
    if let Some(dying) = dying.take() {
        dying.kill();
    }
    let cue = board.cue(Role::Victim);
    point.walk(0, &mut victim, || out(cue));
    let mut killed_at = point.bury(Role::Victim, victim);
    if row.case == Two {
        let mut second = point.victim(Role::Second, |cue| {
            let segment = join(board);
            let _ = segment.objects();
            let handle = E::open(&segment, board, End::First).expect("somebody has it");
            marker();
            let said = receive::<E>(&handle, false, cue);
            cue.result.store(said as u64, Relaxed);
            cue.stage.store(OUT, Release);
            std::mem::forget((handle, segment));
        })?;
        point.walk(1, &mut second, || out(board.cue(Role::Second)));
        killed_at = point.bury(Role::Second, second);
    }
    let state = digest(board).word(cue.stage.load(Relaxed).into()).word(cue.result.load(Relaxed));
    point.outcome.states.insert(state.value());
    if row.alone() {
        partner.go_on();
    }
    let verdict = judge::<E>(point, row, killed_at);
    drop((partner, another, orphan));
    Some(verdict.and_then(|()| anew::<E>(point)))
}

/// Waits for a process to be done; what it said.
fn said(point: &Point<'_>, role: Role, what: &str) -> Result<Said, (Class, String)> {
    let cue = point.board.cue(role);
    if !cue.done.pass(point.limit) {
        return Err((Class::Stuck, format!("{what}: {role:?} does not end")));
    }
    match Said::of(cue.result.load(Relaxed)) {
        Some(Said::Torn) => Err((Class::Torn, format!("{role:?} received half a message"))),
        Some(said) => Ok(said),
        None => Err((Class::Stuck, format!("{what}: {role:?} crashed"))),
    }
}

fn ensure(holds: bool, class: Class, why: &str) -> Verdict {
    if holds { Ok(()) } else { Err((class, why.to_owned())) }
}

fn digits(value: u64) -> Vec<u64> {
    (0..16).rev().map(|nth| value >> (4 * nth) & 15).skip_while(|digit| *digit == 0).collect()
}

fn judge<E: Ends>(point: &mut Point<'_>, row: Row, killed_at: u64) -> Verdict {
    let board = point.board;
    let (victim, partner) = (board.cue(Role::Victim), board.cue(Role::Survivor));
    if !row.cap {
        once(point, Role::Bystander, |segment, _, _| assert!(segment.recover().is_ok()))?;
    }
    // Who comes to the other end asks, and then to this one: it is there as long as somebody has it.
    if row.beside != Nobody {
        once(point, Role::Script, |segment, board, cue| {
            E::open(segment, board, row.end().other()).iter().for_each(E::ask);
            cue.result.store(E::open(segment, board, row.end()).is_ok().into(), Relaxed);
        })?;
        let held = board.cue(Role::Script).result.load(Relaxed) == 1;
        ensure(held, Class::Lost, "an end is gone that somebody has")?;
    }
    // A third one, which comes by name.
    let mut next = false;
    if matches!(row.case, Opens | Two) {
        once(point, Role::Fresh, |segment, board, cue| {
            let other = E::open(segment, board, row.end().other()).expect("somebody has it");
            cue.value.store(E::met(&other).into(), Relaxed);
            let opened = E::open(segment, board, row.end());
            let said = opened.map_or_else(|said| said, |handle| E::send(&handle, &message(NEXT, false)));
            cue.result.store(said as u64, Relaxed);
            cue.done.open();
        })?;
        let met = board.cue(Role::Fresh).value.load(Relaxed) == 1;
        next = match said(point, Role::Fresh, "the third")? {
            Said::Done => true,
            Said::Over if row.beside == Nobody && met => false,
            other => return Err((Class::Lost, format!("the third was told {other:?}, met: {met}"))),
        };
        ensure(met || !out(victim), Class::Lost, "who opened an end was not noticed")?;
    }
    partner.go.open();
    let mut turn = None;
    if row.beside != Nobody {
        board.cue(Role::Holder).go.open();
        turn = Some(said(point, Role::Holder, "who was beside the victim")?);
    }
    let end = said(point, Role::Survivor, "the end")?;
    if row.beside == Nobody {
        point.delay(killed_at, partner);
    }
    if row.receives() {
        received(row, board, end, turn)?;
    } else {
        ensure(end == Said::Over, Class::Lost, &format!("the receiver was told {end:?}"))?;
        ensure(turn.is_none_or(|said| said == Said::Done), Class::Lost, "who was beside the victim could not send")?;
        sent(row, board, next, turn.is_some())?;
    }
    // All is said, so it is gone; where the partner went first, both are.
    if end == Said::Over {
        once(point, Role::Script, |segment, board, cue| {
            let opened = E::open(segment, board, row.end());
            cue.result.store(opened.map_or_else(|said| said, |_| Said::Done) as u64, Relaxed);
        })?;
        let gone = board.cue(Role::Script).result.load(Relaxed) == Said::Over as u64;
        ensure(gone, Class::Duplicated, "an end was told to be gone, and came again")?;
    }
    Ok(())
}

/// What the receiver got: what the victims perhaps sent or took, then the rest in order.
fn sent(row: Row, board: &'static Board, next: bool, turn: bool) -> Verdict {
    let (victim, second) = (board.cue(Role::Victim), board.cue(Role::Second));
    let mut got = digits(board.cue(Role::Survivor).value.load(Relaxed));
    let all = format!("{got:?}");
    let first = got.first() == Some(&1);
    if first {
        got.remove(0);
    }
    let rest: Vec<u64> =
        [(next, NEXT), (turn, LAST)].into_iter().filter_map(|(came, number)| came.then_some(number)).collect();
    ensure(got == rest, Class::Lost, &format!("{all} instead of {rest:?}"))?;
    let sends = matches!(row.case, Sends | SendsLong | Two);
    ensure(!first || sends || row.case == Recoverer, Class::Duplicated, &format!("{all} from nowhere"))?;
    let returned = sends && out(victim) && victim.result.load(Relaxed) == Said::Done as u64;
    // A second victim that has not returned may have taken it.
    let took = out(second) && second.value.load(Relaxed) == 1;
    let perhaps = row.case == Two && (took || !out(second));
    ensure(first || !returned || perhaps, Class::Lost, &format!("{all}: the victim's message is gone"))?;
    ensure(!(first && took), Class::Duplicated, &format!("{all}: the first one came twice"))
}

/// What the sender was told, and who goes on for the victim got.
fn received(row: Row, board: &'static Board, end: Said, turn: Option<Said>) -> Verdict {
    let victim = board.cue(Role::Victim);
    let Some(turn) = turn else {
        return ensure(end == Said::Over, Class::Stuck, &format!("the sender was told {end:?}, and nobody received"));
    };
    ensure(end == Said::Done, Class::Lost, &format!("the sender was told {end:?}, and somebody received"))?;
    ensure(turn == Said::Over, Class::Stuck, &format!("who went on was told {turn:?}"))?;
    let mut got = digits(board.cue(Role::Holder).value.load(Relaxed));
    let (all, took) = (format!("{got:?}"), victim.value.load(Relaxed) == 1);
    let first = got.first() == Some(&1);
    if first {
        got.remove(0);
    }
    ensure(got.into_iter().eq(2..=ALL), Class::Lost, &format!("{} {all}", row.label()))?;
    ensure(!(first && took && out(victim)), Class::Duplicated, &format!("{all}: the first one came twice"))?;
    // It came to the victim if anywhere.
    ensure(first || took || !out(victim), Class::Lost, &format!("{all}: the first one is gone"))
}

/// All are gone: nothing of them is left, and a pipe of the same name can be made anew, with all its room.
fn anew<E: Ends>(point: &mut Point<'_>) -> Verdict {
    once(point, Role::Script, |segment, board, cue| {
        cue.result.store(1, Relaxed);
        segment.recover().expect("recovery is possible");
        if segment.participants().len() != 1 {
            return;
        }
        cue.result.store(2, Relaxed);
        segment.remove("pipe").expect("nobody has it");
        let (first, second) = (E::open(segment, board, End::First), E::open(segment, board, End::Second));
        let (Ok(first), Ok(second)) = (first, second) else { return };
        cue.result.store(3, Relaxed);
        let room = RING / (SHORT + 8);
        let sent = (1..=room as u64 + 1).take_while(|number| E::try_send(&second, &message(*number, false))).count();
        cue.value.store(0, Relaxed);
        drop(second);
        let end = receive_all::<E>(&first, false, cue);
        if sent == room && end == Said::Over && digits(cue.value.load(Relaxed)).into_iter().eq(1..=room as u64) {
            cue.result.store(0, Relaxed);
        }
    })?;
    match point.board.cue(Role::Script).result.load(Relaxed) {
        0 => Ok(()),
        1 => Err((Class::Leaked, "a participant".to_owned())),
        2 => Err((Class::Stuck, "the ends cannot be opened anew".to_owned())),
        _ => Err((Class::Leaked, "the new pipe's room".to_owned())),
    }
}
