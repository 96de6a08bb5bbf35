//! Messages longer than their ring: all of one or nothing, whoever is killed.
//!
//! | name | asleep | the victim |
//! |---|---|---|
//! | sender | a receiver | sends the long message |
//! | receiver | a sender, with the first piece in the ring | receives it |
//! | shuts down | the same | shuts down |
//! | recoverer | the same, behind a receiver that died with the first piece | recovers it |
//! | two | the same | receives it; and after it a second one |
//!
//! After the kill a bystander recovers the dead, once. After a dead sender another one sends a short message, which must
//! arrive; after dead receivers another receiver comes, and the sender must end: what it says it has sent was received, by
//! the last one or by one that is dead.

use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use ringfence::layout::channel::{ChannelHeader, Geometry};
use ringfence::primitive::AtomicU64;
use ringfence::raw::channel::{Channel, RecvFailure, SendFailure};

use crate::board::{Board, Cue, Digest, Oracle, Role};
use crate::locks::FOREVER;
use crate::os::{Child, now_ns};
use crate::report::{Class, Outcome};
use crate::scenario::{Options, Point, Scenario, explore, park, to_sleep};
use crate::step::{Victim, marker};

/// Words of the ring. A piece fills it.
pub const WORDS: usize = 6;
/// Bytes of the long message: three pieces. They fill the ring, so each side waits for the other.
const LONG: usize = 9 * 8;

/// How a channel's pieces are received: the library's, or a control.
pub trait Pieces: 'static {
    /// Receives one message.
    fn recv(
        channel: Channel<'static>,
        role: Role,
        buffer: &mut [u8],
        board: &'static Board,
    ) -> Result<usize, RecvFailure>;
}

/// As shipped.
#[derive(Debug)]
pub struct Shipped;

impl Pieces for Shipped {
    fn recv(
        channel: Channel<'static>,
        role: Role,
        buffer: &mut [u8],
        board: &'static Board,
    ) -> Result<usize, RecvFailure> {
        channel.recv(role.owner(), buffer, &Oracle(board), FOREVER)
    }
}

/// What happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // see the table above
pub enum Case {
    Sender,
    Receiver,
    ShutsDown,
    Recoverer,
    Two,
}

const CASES: [(Case, &str); 5] = [
    (Case::Sender, "sender"),
    (Case::Receiver, "receiver"),
    (Case::ShutsDown, "shuts down"),
    (Case::Recoverer, "recoverer"),
    (Case::Two, "two"),
];

/// All of them, with the cap on and off.
pub fn scenarios() -> Vec<Scenario> {
    let both = |cap: bool| CASES.map(|(case, label)| scenario::<Shipped>("long", case, label, cap));
    [both(true), both(false)].into_iter().flatten().collect()
}

/// One of them.
pub fn scenario<P: Pieces>(name: &str, case: Case, label: &str, cap: bool) -> Scenario {
    let suffix = if cap { "" } else { " cap-off" };
    Scenario::new(format!("{name} {label}{suffix}"), move |options| run::<P>(case, cap, options))
}

fn run<P: Pieces>(case: Case, cap: bool, options: &Options) -> Outcome {
    let board = Board::new();
    board.uncapped.store(u32::from(!cap), Relaxed);
    explore(board, if case == Case::Two { 2 } else { 1 }, options, |point| {
        let geometry = Geometry::new(8 * WORDS as u64).expect("a small ring");
        // SAFETY: the arena is page-aligned, larger than the header, and nobody else is about.
        unsafe { board.arena.as_ptr().cast_mut().cast::<ChannelHeader>().write(ChannelHeader::new(geometry)) };
        match stage::<P>(point, case) {
            Some(staged) => {
                if let Err((class, why)) = judge::<P>(point, case, staged) {
                    point.fail(class, why);
                }
            }
            None => point.skip(),
        }
    })
}

fn channel(board: &'static Board) -> Channel<'static> {
    let at = board.arena.as_ptr().cast::<ChannelHeader>();
    let ring: &'static [AtomicU64] = &board.arena[size_of::<ChannelHeader>() / 8..][..WORDS];
    // SAFETY: `run` wrote a header there, which consists of atomics.
    Channel::attach(unsafe { &*at }, ring).expect("the header fits")
}

/// What a call came to, in [`Cue::result`].
mod came_to {
    pub const OK: u64 = 1;
    pub const CLOSED: u64 = 2;
    pub const TORN: u64 = 3;
    pub const OTHER: u64 = 4;
}

/// The call is over.
const OUT: u32 = 2;

fn out(cue: &Cue) -> bool {
    cue.stage.load(Acquire) == OUT
}

fn say(cue: &Cue, result: u64) {
    cue.result.store(result, Relaxed);
    cue.got.store(now_ns(), Relaxed);
    cue.stage.store(OUT, Release);
    cue.done.open();
}

fn send(board: &'static Board, role: Role, message: &[u8]) {
    let sent = channel(board).send_long(role.owner(), message, &Oracle(board), FOREVER);
    say(
        board.cue(role),
        match sent {
            Ok(()) => came_to::OK,
            Err(SendFailure::Closed) => came_to::CLOSED,
            Err(_) => came_to::OTHER,
        },
    );
}

/// Receives one message; its first byte is [`Cue::value`].
fn recv<P: Pieces>(board: &'static Board, role: Role) {
    let cue = board.cue(role);
    let mut buffer = [0; LONG];
    let result = match P::recv(channel(board), role, &mut buffer, board) {
        Ok(len) if buffer[..len].iter().all(|byte| *byte == len as u8) => {
            cue.value.store(len as u64, Relaxed);
            came_to::OK
        }
        Ok(_) => came_to::TORN,
        Err(RecvFailure::Closed) => came_to::CLOSED,
        Err(_) => came_to::OTHER,
    };
    say(cue, result);
}

/// A message that consists of its length.
fn message(len: usize) -> Vec<u8> {
    vec![len as u8; len]
}

/// A process that does one thing.
fn cast(point: &Point<'_>, role: Role, act: impl FnOnce(&'static Board)) -> Child {
    let board = point.board;
    point.play(role, |cue| {
        cue.asked.store(now_ns(), Relaxed);
        act(board);
        park();
    })
}

fn victim(point: &mut Point<'_>, role: Role, act: impl FnOnce(&'static Board)) -> Option<Victim> {
    let board = point.board;
    point.victim(role, move |_| {
        marker();
        act(board);
    })
}

/// What is left after the kill.
struct Staged {
    /// The one who was asleep, and must go on.
    partner: Child,
    killed_at: u64,
    dead: Vec<Role>,
}

fn kill(point: &mut Point<'_>, nth: usize, role: Role, mut victim: Victim) -> u64 {
    let cue = point.board.cue(role);
    point.walk(nth, &mut victim, || out(cue));
    let killed_at = point.bury(role, victim);
    let state = Digest::new().words(&point.board.arena).word(cue.stage.load(Relaxed).into());
    point.outcome.states.insert(state.value());
    killed_at
}

fn stage<P: Pieces>(point: &mut Point<'_>, case: Case) -> Option<Staged> {
    if case == Case::Sender {
        let mut partner = cast(point, Role::Survivor, |board| recv::<P>(board, Role::Survivor));
        partner.settles(point.limit).then_some(())?;
        let sender = victim(point, Role::Victim, |board| send(board, Role::Victim, &message(LONG)))?;
        let killed_at = kill(point, 0, Role::Victim, sender);
        return Some(Staged { partner, killed_at, dead: vec![Role::Victim] });
    }
    let mut partner = cast(point, Role::Survivor, |board| send(board, Role::Survivor, &message(LONG)));
    partner.settles(point.limit).then_some(())?;
    let mut dead = vec![Role::Victim];
    let killed_at = match case {
        Case::ShutsDown => {
            let closer = victim(point, Role::Victim, |board| {
                let shut = channel(board).shutdown(Role::Victim.owner(), &Oracle(board), FOREVER);
                say(board.cue(Role::Victim), if shut.is_ok() { came_to::OK } else { came_to::OTHER });
            })?;
            kill(point, 0, Role::Victim, closer)
        }
        Case::Recoverer => {
            let mut dying = victim(point, Role::Holder, |board| recv::<P>(board, Role::Holder))?;
            // It waits for the next piece, while the sender does not run.
            partner.stop();
            to_sleep(&mut dying, || out(point.board.cue(Role::Holder))).then_some(())?;
            point.bury(Role::Holder, dying);
            dead.push(Role::Holder);
            let recoverer = victim(point, Role::Victim, |board| {
                channel(board).recover(Role::Holder.id(), &Oracle(board));
                say(board.cue(Role::Victim), came_to::OK);
            })?;
            partner.go_on();
            kill(point, 0, Role::Victim, recoverer)
        }
        _ => {
            let receiver = victim(point, Role::Victim, |board| recv::<P>(board, Role::Victim))?;
            let mut killed_at = kill(point, 0, Role::Victim, receiver);
            if case == Case::Two {
                let second = victim(point, Role::Second, |board| recv::<P>(board, Role::Second))?;
                killed_at = kill(point, 1, Role::Second, second);
                dead.push(Role::Second);
            }
            killed_at
        }
    };
    Some(Staged { partner, killed_at, dead })
}

/// Waits for a process to be done; the kinds of its end.
fn ended(point: &Point<'_>, role: Role) -> Result<u64, (Class, String)> {
    let cue = point.board.cue(role);
    if !cue.done.pass(point.limit) {
        return Err((Class::Stuck, format!("{role:?} does not go on")));
    }
    match cue.result.load(Relaxed) {
        came_to::TORN => Err((Class::Torn, format!("{role:?} received half a message"))),
        came_to::OTHER => Err((Class::Unreported, format!("{role:?} was told something else"))),
        result => Ok(result),
    }
}

fn judge<P: Pieces>(point: &mut Point<'_>, case: Case, staged: Staged) -> Result<(), (Class, String)> {
    let board = point.board;
    let Staged { partner: _partner, killed_at, dead } = staged;
    let _bystander = cast(point, Role::Bystander, |board| {
        dead.iter().for_each(|dead| channel(board).recover(dead.id(), &Oracle(board)));
        say(board.cue(Role::Bystander), came_to::OK);
    });
    ended(point, Role::Bystander)?;
    let received = |role| (board.cue(role).result.load(Relaxed), board.cue(role).value.load(Relaxed) as usize);
    if case == Case::Sender {
        let _next = cast(point, Role::Fresh, |board| send(board, Role::Fresh, &message(8)));
        ended(point, Role::Fresh)?;
        ended(point, Role::Survivor)?;
        point.delay(killed_at, board.cue(Role::Survivor));
        let returned = board.cue(Role::Victim).result.load(Relaxed) == came_to::OK;
        let (_, first) = received(Role::Survivor);
        if first == LONG {
            let _rest = cast(point, Role::Third, |board| recv::<P>(board, Role::Third));
            ended(point, Role::Third)?;
            let (_, second) = received(Role::Third);
            return if second == 8 { Ok(()) } else { Err((Class::Duplicated, format!("then {second} bytes"))) };
        }
        return match (first, returned) {
            (8, false) => Ok(()),
            (8, true) => Err((Class::Lost, "it was sent, and nobody has it".into())),
            (other, _) => Err((Class::Torn, format!("{other} bytes"))),
        };
    }
    let _last = cast(point, Role::Fresh, |board| recv::<P>(board, Role::Fresh));
    let _end = cast(point, Role::Third, |board| {
        // When the sender is done: so that a receiver for whom nothing is left ends too.
        board.cue(Role::Survivor).done.pass(crate::os::LIMIT);
        let shut = channel(board).shutdown(Role::Third.owner(), &Oracle(board), FOREVER);
        say(board.cue(Role::Third), if shut.is_ok() { came_to::OK } else { came_to::OTHER });
    });
    let sent = ended(point, Role::Survivor)? == came_to::OK;
    point.delay(killed_at, board.cue(Role::Survivor));
    let last = ended(point, Role::Fresh)? == came_to::OK;
    // Who died may have received it all, and taken it along.
    let took =
        |role: Role| matches!(role, Role::Victim | Role::Second) && case != Case::ShutsDown && case != Case::Recoverer;
    let perhaps = dead.iter().any(|role| took(*role));
    let returned = dead.iter().filter(|role| took(**role) && received(**role).0 == came_to::OK).count();
    match (sent, usize::from(last) + returned) {
        (true, 1) | (false, 0) => Ok(()),
        (true, 0) if perhaps => Ok(()),
        (true, 0) => Err((Class::Lost, "it was sent, and nobody has it".into())),
        (_, received) => Err((Class::Duplicated, format!("sent: {sent}, received: {received}"))),
    }
}
