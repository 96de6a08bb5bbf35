//! The life of a segment and its objects: the victim is killed anywhere in an operation of the segment itself.
//!
//! | name | the victim | afterwards |
//! |---|---|---|
//! | create | creates a segment | the name is absent or complete, its memory reserved; a sweep leaves nothing private |
//! | open | joins, makes its first call, leaves | its place is free again |
//! | leave with last | is the last to leave a segment to be unlinked with it | the name is gone, at the latest after a sweep |
//! | unlink | unlinks | the name is gone or whole |
//! | recover | recovers one who died holding a mutex | all is free, and the next owner is told |
//! | open recovers | joins beside one who died so, which recovers it | the same |
//! | make object | creates a queue that fills the segment | absent or complete, and its space is not lost |
//! | remove object | removes it | the same |
//! | first lock | locks and unlocks for the first time, which registers its thread | as for any lock |
//!
//! These operations are up to tens of thousands of instructions long. The full run kills at every one of them. What they
//! do to names and locks is done by system calls, so each is also killed before and after every one of those, and of that
//! a small sample misses little.

use std::os::unix::fs::MetadataExt;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use ringfence::sys::shm;
use ringfence::{Error, LockError, Mutex, Queue, Segment, Unlink};

use crate::api::{PARTICIPANTS, digest, fresh_name, fresh_segment, join, name, options, orphaned_segment};
use crate::board::{Board, Role};
use crate::os::{Child, Ended, Gate, LIMIT, now_ns, shm_names};
use crate::report::{Class, Outcome};
use crate::scenario::{Options, Point, Scenario, explore, park};
use crate::step::{Unit, marker};

/// What the victim does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // see the table above
pub enum Case {
    Create,
    Open,
    LeaveWithLast,
    Unlink,
    Recover,
    OpenRecovers,
    MakeObject,
    RemoveObject,
    FirstLock,
}

const CASES: [(Case, &str); 9] = [
    (Case::Create, "create"),
    (Case::Open, "open"),
    (Case::LeaveWithLast, "leave with last"),
    (Case::Unlink, "unlink"),
    (Case::Recover, "recover"),
    (Case::OpenRecovers, "open recovers"),
    (Case::MakeObject, "make object"),
    (Case::RemoveObject, "remove object"),
    (Case::FirstLock, "first lock"),
];

/// A queue of this many items of 8 bytes takes more than half of the segment.
pub const LARGE: usize = 600;

/// All of them, and the death of a whole process group.
pub fn scenarios() -> Vec<Scenario> {
    let mut all = vec![];
    for (case, label) in CASES {
        for (unit, suffix) in [(Unit::Instruction, ""), (Unit::SystemCall, " at system calls")] {
            all.push(scenario(&format!("segment {label}{suffix}"), case, unit, operate));
        }
    }
    all.push(Scenario::new("segment process group", process_group));
    all
}

/// One of them, in which the victim does `operate`.
pub fn scenario(name: &str, case: Case, unit: Unit, operate: fn(&'static Board, Case)) -> Scenario {
    Scenario::new(name, move |options| {
        let mut options = Options { unit, alone: true, ..*options };
        if unit == Unit::Instruction {
            options.budget = options.budget.map(|budget| (budget / 2).max(4));
        }
        let board = Board::new();
        explore(board, 1, &options, |point| play(point, case, operate))
    })
}

fn prepare(board: &'static Board, case: Case) -> Option<Child> {
    match case {
        Case::Create => fresh_name(board),
        // It is the victim's leaving that counts.
        Case::LeaveWithLast => orphaned_segment(board),
        Case::RemoveObject => fresh_segment(board, |segment| {
            let _ = Queue::<u64>::create(segment, "large", LARGE).expect("room");
        }),
        _ => fresh_segment(board, |segment| {
            let _ = Mutex::create(segment, "mutex", 1_u64).expect("room");
            let _ = Queue::<u64>::create(segment, "queue", 4).expect("room");
        }),
    }
    if !matches!(case, Case::Recover | Case::OpenRecovers) {
        return None;
    }
    // One who holds the mutex, and has the objects open, until it is killed.
    let holder = Child::fork(|| {
        let segment = join(board);
        let (mutex, queue) = (Mutex::<u64>::open(&segment, "mutex"), Queue::<u64>::open(&segment, "queue"));
        let guard = mutex.as_ref().map(Mutex::lock);
        board.cue(Role::Holder).ready.open();
        let _kept = (guard, queue);
        park();
    });
    assert!(board.cue(Role::Holder).ready.pass(LIMIT), "a preparation failed");
    Some(holder)
}

fn operate(board: &'static Board, case: Case) {
    let at = name(board);
    match case {
        Case::Create => {
            marker();
            std::mem::forget(Segment::create(&at, &options()));
        }
        Case::Open | Case::OpenRecovers => {
            marker();
            let segment = Segment::open(&at);
            if let Ok(segment) = &segment {
                let _ = segment.objects();
            }
            drop(segment);
        }
        Case::LeaveWithLast => {
            // The maker died, so the first to open recovers nothing it needs; take the place beside it.
            let segment = Segment::open_or_create(&at, &options().unlink(Unlink::WithLast));
            marker();
            drop(segment);
        }
        Case::Unlink => {
            marker();
            let _ = Segment::unlink(&at);
        }
        Case::Recover => {
            let segment = join(board);
            marker();
            let _ = segment.recover();
            std::mem::forget(segment);
        }
        Case::MakeObject => {
            let segment = join(board);
            let _ = segment.objects();
            marker();
            std::mem::forget(Queue::<u64>::create(&segment, "large", LARGE));
        }
        Case::RemoveObject => {
            let segment = join(board);
            let _ = segment.objects();
            marker();
            let _ = segment.remove("large");
        }
        Case::FirstLock => {
            let segment = join(board);
            let mutex = Mutex::<u64>::open(&segment, "mutex").expect("it is there");
            marker();
            drop(mutex.lock());
            std::mem::forget((segment, mutex));
        }
    }
}

fn play(point: &mut Point<'_>, case: Case, operate: fn(&'static Board, Case)) {
    let board = point.board;
    let mut holder = prepare(board, case);
    if case == Case::OpenRecovers {
        holder.iter_mut().for_each(Child::kill);
    }
    let Some(mut victim) = point.victim(Role::Victim, |cue| {
        operate(board, case);
        cue.stage.store(1, Release);
    }) else {
        return point.skip();
    };
    // Only now, since joining recovers the dead.
    holder.iter_mut().for_each(Child::kill);
    let cue = board.cue(Role::Victim);
    point.walk(0, &mut victim, || cue.stage.load(Acquire) == 1);
    let returned = cue.stage.load(Acquire) == 1;
    victim.kill();
    let present = shm_names().any(|file| file == format!("ringfence.{}", name(board)));
    let state = digest(board).word(present.into()).word(returned.into());
    let new = point.outcome.states.insert(state.value());

    // The judge is a fresh process; what it finds wrong, it says in its cue: a class, and which check.
    let judge = Role::Survivor;
    let mut child = point.play(judge, |cue| {
        if let Err((class, why)) = examine(board, case, returned, present, new) {
            cue.result.store(1 + class as u64, Relaxed);
            for bytes in why.as_bytes().chunks(8) {
                let mut word = [0; 8];
                word[..bytes.len()].copy_from_slice(bytes);
                board.note(u64::from_ne_bytes(word));
            }
        }
        cue.done.open();
    });
    let cue = board.cue(judge);
    if !finished(&cue.done, &mut child) {
        point.fail(Class::Stuck, format!("the survivor: {:?}, returned {returned}, present {present}", child.ended()));
        return;
    }
    let code = cue.result.load(Relaxed) as usize;
    if code > 0 {
        let words = board.log.iter().take(board.logged.load(Relaxed) as usize);
        let bytes: Vec<u8> = words.flat_map(|word| word.load(Relaxed).to_ne_bytes()).collect();
        let why = String::from_utf8_lossy(&bytes).trim_end_matches('\0').to_string();
        point.fail(crate::report::CLASSES[code - 1], format!("{why} (returned {returned}, present {present})"));
    }
}

fn finished(gate: &Gate, child: &mut Child) -> bool {
    (0..80).any(|_| gate.pass(std::time::Duration::from_millis(50)) || child.ended().is_some()) && gate.is_open()
}

type Verdict = Result<(), (Class, String)>;

fn stuck(what: &'static str) -> impl Fn(Error) -> (Class, String) {
    move |error| (Class::Stuck, format!("{what}: {error}"))
}

fn ensure(holds: bool, class: Class, why: &str) -> Verdict {
    if holds { Ok(()) } else { Err((class, why.into())) }
}

/// What is left after the kill works. Of each state the first is looked at most closely.
fn examine(board: &'static Board, case: Case, returned: bool, present: bool, new: bool) -> Verdict {
    let at = name(board);
    if case == Case::Create && present {
        let file = std::fs::metadata(shm::path_of(&at));
        let reserved = file.is_ok_and(|file| file.blocks() * 512 >= file.len());
        ensure(reserved, Class::Torn, "it has its name, but not its memory")?;
    }
    let segment = match (case, Segment::open(&at)) {
        (Case::Create, Err(Error::Missing)) if !returned && !present => {
            Segment::create(&at, &options()).map_err(stuck("creating it after all"))?
        }
        (Case::Unlink, Err(Error::Missing)) => {
            let files = shm_names().any(|file| file == format!("ringfence.{at}"));
            ensure(!files, Class::Leaked, "missing, but its file is there")?;
            Segment::create(&at, &options()).map_err(stuck("creating it again"))?
        }
        (Case::LeaveWithLast, found) => {
            ensure(matches!(found, Err(Error::Missing)), Class::Leaked, "a dead segment to be unlinked was opened")?;
            Segment::sweep().map_err(stuck("sweep"))?;
            let files = shm_names().any(|file| file == format!("ringfence.{at}"));
            ensure(!files, Class::Leaked, "the sweep left it")?;
            return Ok(());
        }
        (Case::Unlink, Ok(_)) if returned => return Err((Class::Leaked, "unlinked, but there".into())),
        (_, found) => found.map_err(stuck("open"))?,
    };
    if case == Case::Create {
        // Whatever the maker had under way is not in the way, and a sweep leaves nothing of it.
        Segment::sweep().map_err(stuck("sweep"))?;
        let private = shm_names().any(|file| file.starts_with(".ringfence-tmp."));
        ensure(!private, Class::Leaked, "a private file is left")?;
    }
    segment.recover().map_err(stuck("recover"))?;
    let alone = segment.participants().len() == 1;
    ensure(alone, Class::Leaked, "a dead participant still has its place")?;
    match case {
        Case::MakeObject | Case::RemoveObject => objects(&segment)?,
        Case::Recover | Case::OpenRecovers => mutex(&segment, true)?,
        Case::FirstLock | Case::Open => mutex(&segment, false)?,
        _ => {}
    }
    let probe = Mutex::open_or_create(&segment, "probe", 5_u64).map_err(stuck("a new mutex"))?;
    ensure(probe.lock().is_ok_and(|guard| *guard == 5), Class::Torn, "a new mutex")?;
    if new { every_place(board) } else { Ok(()) }
}

/// The large queue is there whole or not at all, and its space is free once it is removed.
fn objects(segment: &Segment) -> Verdict {
    for turn in ["large", "another"] {
        let queue = Queue::<u64>::open_or_create(segment, turn, LARGE).map_err(stuck("open or create the queue"))?;
        ensure(queue.capacity() == LARGE, Class::Torn, "the queue has another capacity")?;
        for n in 0..LARGE as u64 {
            ensure(queue.try_push(n).is_ok(), Class::Leaked, "the queue is full too early")?;
        }
        for n in 0..LARGE as u64 {
            ensure(queue.try_pop() == Ok(n), Class::Lost, "the queue lost an item")?;
        }
        drop(queue);
        segment.remove(turn).map_err(stuck("remove the queue"))?;
    }
    Ok(())
}

/// The mutex can be had; its holder's death is told if there was one.
fn mutex(segment: &Segment, died: bool) -> Verdict {
    let mutex = Mutex::<u64>::open(segment, "mutex").map_err(stuck("open the mutex"))?;
    match mutex.lock() {
        Ok(guard) => {
            ensure(!died, Class::Unreported, "the holder's death was not told")?;
            ensure(*guard == 1, Class::Torn, "the mutex holds another value")
        }
        Err(LockError::OwnerDied(mut guard)) => {
            guard.make_consistent();
            ensure(*guard == 1, Class::Torn, "the mutex holds another value")
        }
        Err(error) => Err((Class::Stuck, error.to_string())),
    }
}

/// Every place but ours can be had.
fn every_place(board: &'static Board) -> Verdict {
    let places = u64::from(PARTICIPANTS) - 1;
    let at = name(board);
    let mut children: Vec<Child> = (0..places)
        .map(|_| {
            Child::fork(|| {
                let Ok(segment) = Segment::open(&at) else { return };
                if segment.objects().is_ok() {
                    board.cue(Role::Fresh).value.fetch_add(1, Relaxed);
                }
                board.cue(Role::Fresh).go.pass(LIMIT);
            })
        })
        .collect();
    let begun = now_ns();
    while board.cue(Role::Fresh).value.load(Relaxed) < places && now_ns() - begun < 2_000_000_000 {
        std::thread::yield_now();
    }
    board.cue(Role::Fresh).go.open();
    for child in &mut children {
        child.wait(LIMIT);
    }
    ensure(board.cue(Role::Fresh).value.load(Relaxed) == places, Class::Leaked, "a place is lost")
}

/// A whole group of processes at work dies at once, at a random time, creator and all; the next run goes on.
fn process_group(options: &Options) -> Outcome {
    let board = Board::new();
    let mut outcome = Outcome::default();
    let rounds = options.budget.map_or(200, |budget| budget.min(20));
    for round in 0..rounds {
        board.clear();
        fresh_name(board);
        let policy = if round % 2 == 0 { Unlink::Keep } else { Unlink::WithLast };
        let mut leader = Child::fork(|| {
            // SAFETY: makes a group of this process; its children inherit it.
            unsafe { libc::setpgid(0, 0) };
            let _workers: Vec<Child> = (0..3).map(|_| Child::fork(|| work(board, policy))).collect();
            work(board, policy);
        });
        // SAFETY: as above, from this side too, since either may come first.
        unsafe { libc::setpgid(leader.pid(), leader.pid()) };
        // Anything from the first instructions to work in full swing. Its length is the point, not what it waits for.
        std::thread::sleep(std::time::Duration::from_micros(round * 7919 % 6000));
        // SAFETY: a group of our own child, which is not reaped yet.
        unsafe { libc::kill(-leader.pid(), libc::SIGKILL) };
        let group = leader.pid();
        leader.kill();
        // The orphans are ours now, and gone when they are reaped.
        // SAFETY: waits for children of this process only.
        while unsafe { libc::waitpid(-group, std::ptr::null_mut(), libc::__WALL) } > 0 || interrupted() {}
        outcome.points += 1;
        let mut child = Child::fork(|| after_group(board, policy).unwrap_or_else(|why| panic!("{why:?}")));
        match child.wait(LIMIT) {
            Some(Ended::Exit(0)) => {}
            ended => outcome.fail(Class::Stuck, format!("round {round}, {policy:?}: {ended:?}")),
        }
    }
    outcome
}

fn interrupted() -> bool {
    std::io::Error::last_os_error().kind() == std::io::ErrorKind::Interrupted
}

fn work(board: &'static Board, policy: Unlink) {
    let Ok(segment) = Segment::open_or_create(&name(board), &options().unlink(policy)) else { return };
    let (Ok(mutex), Ok(queue)) =
        (Mutex::open_or_create(&segment, "mutex", 1_u64), Queue::<u64>::open_or_create(&segment, "queue", 4))
    else {
        return;
    };
    for n in 0.. {
        match mutex.lock() {
            Ok(guard) => drop(guard),
            Err(LockError::OwnerDied(mut guard)) => drop(guard.make_consistent()),
            Err(_) => return,
        }
        let _ = queue.try_push(n);
        let _ = queue.try_pop();
    }
}

fn after_group(board: &'static Board, policy: Unlink) -> Verdict {
    let at = name(board);
    if policy == Unlink::WithLast {
        Segment::sweep().map_err(stuck("sweep"))?;
        return ensure(!shm_names().any(|file| file == format!("ringfence.{at}")), Class::Leaked, "the sweep left it");
    }
    let segment = Segment::open_or_create(&at, &options()).map_err(stuck("open or create"))?;
    segment.recover().map_err(stuck("recover"))?;
    ensure(segment.participants().len() == 1, Class::Leaked, "a dead participant still has its place")?;
    let mutex = Mutex::open_or_create(&segment, "mutex", 1_u64).map_err(stuck("the mutex"))?;
    match mutex.lock() {
        Ok(guard) => drop(guard),
        Err(LockError::OwnerDied(mut guard)) => drop(guard.make_consistent()),
        Err(error) => return Err((Class::Stuck, error.to_string())),
    }
    let queue = Queue::<u64>::open_or_create(&segment, "queue", 4).map_err(stuck("the queue"))?;
    while queue.try_pop().is_ok() {}
    let pushed = (0..9).take_while(|&n| queue.try_push(n).is_ok()).count();
    ensure(pushed == 4, Class::Leaked, "the queue lost room")
}
