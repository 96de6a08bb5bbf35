//! The two ways that a notifier and a sleeper see each other, between processes: the sleeper's barrier on the notifier's
//! processor, and a fence on either side. Sleeps are not capped, so a wake-up that is lost is not made up for.
//!
//! A program of its own (no test harness): it forks, and a fork wants a single thread.

#[path = "../../tests/filter/mod.rs"]
mod filter;

use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicU32, AtomicU64};
use std::time::{Duration, Instant};

use filter::{Rule, errno};
use ringfence::layout::queue::QueueHeader;
use ringfence::raw::eventcount::FENCE;
use ringfence::sys::{membarrier, nap};
use ringfence_crash_tests::board::{Board, Role};
use ringfence_crash_tests::fifos::{Fifo, NOW};
use ringfence_crash_tests::locks::{FOREVER, RawLock, Shipped as Locked};
use ringfence_crash_tests::os::{Child, Ended, share, supervise};
use ringfence_crash_tests::queue::Shipped;
use ringfence_crash_tests::step::{Stop, Victim, marker};

/// How long anything may stand still.
const LIMIT: Duration = Duration::from_secs(60);
const ROUNDS: u64 = 20_000;

fn main() {
    supervise(|| {
        if !cfg!(target_arch = "x86_64") || !able() {
            println!("skipped: no membarrier here, so everybody fences");
            return 0;
        }
        for (name, test) in [
            ("locked_instructions", locked_instructions as fn()),
            ("all_registered", || talk(&[false; 2])),
            ("one_cannot_register", || talk(&[false, true])),
            ("a_lock_between_registered", || pass(&[false; 3])),
            ("a_lock_where_one_cannot_register", || pass(&[false, true, false])),
            ("barrier_stands_in_for_a_fence", barrier_stands_in_for_a_fence),
        ] {
            test();
            println!("test {name} ... ok");
        }
        0
    })
}

/// Whether a child can register; this process stays as it is, since a registration is inherited.
fn able() -> bool {
    Child::fork(|| assert!(membarrier::register())).wait(LIMIT) == Some(Ended::Exit(0))
}

/// Where the queue's consumers sleep, and its producers.
fn events(board: &'static Board) -> [&'static AtomicU32; 2] {
    // SAFETY: the arena begins with the header that `reset` wrote.
    let shared = unsafe { &(*board.arena.as_ptr().cast::<QueueHeader>()).shared.0 };
    [&shared.not_empty.word, &shared.not_full.word]
}

/// Whether somebody slept there who cannot issue the barrier.
fn fenced(word: &AtomicU32) -> bool {
    word.load(Relaxed) & FENCE != 0
}

/// From now on `membarrier` fails in this process, as in a sandbox.
fn forbid() {
    filter::install(&[Rule { call: libc::SYS_membarrier, arguments: &[], answer: errno(libc::EPERM) }]);
    assert!(!membarrier::register() && !membarrier::barrier(), "the filter does not hold");
}

/// A queue of one place.
fn reset(board: &'static Board) {
    board.clear();
    Shipped::reset(board, 1);
}

/// What stops a processor until all its stores are out.
#[derive(Debug, PartialEq)]
struct Costly {
    fences: u64,
    /// Instructions with a `lock` prefix, but for those that are fences.
    locked: u64,
}

/// An operation, and what it is made on.
struct Operation {
    reset: fn(&'static Board),
    /// Where others may sleep.
    events: fn(&'static Board) -> [&'static AtomicU32; 2],
    act: fn(&'static Board),
}

/// How many of those an operation executes, told by its instructions.
fn costly(registered: bool, fence: bool, &Operation { reset, events, act }: &Operation) -> Costly {
    let board = Board::new();
    reset(board);
    if fence {
        events(board).into_iter().for_each(|word| word.store(FENCE, Relaxed));
    }
    let mut victim = Victim::fork(|| {
        assert!(!registered || membarrier::register());
        marker();
        act(board);
        board.cue(Role::Victim).done.open();
    })
    .expect("a victim");
    let mut found = Costly { fences: 0, locked: 0 };
    while !board.cue(Role::Victim).done.is_open() {
        // `mfence`, or what a compiler may prefer: `lock or dword [rsp + any], 0`.
        let code = victim.code();
        if code & 0xff_ffff == 0xf0_ae0f || code & 0xff00_ffff_ffff == 0x244c_83f0 {
            found.fences += 1;
        } else if code & 0xff == 0xf0 {
            found.locked += 1;
        }
        assert_eq!(victim.step(), Stop::Trapped);
    }
    victim.kill();
    found
}

/// Nobody waits: a push claims a place with one locked instruction, a lock and an unlock together are one. The rest is a
/// fence, where a barrier does not stand in for it.
fn locked_instructions() {
    let push = Operation {
        reset,
        events,
        act: |board| {
            let mut queue = Shipped::join(board, 1, Role::Victim);
            assert!(Shipped::push(&mut queue, 1, NOW).is_ok());
        },
    };
    let lock = Operation {
        reset: Board::clear,
        events: |board| [&Locked::word(board).waiters.word; 2],
        act: |board| {
            assert_eq!(Locked::lock(board, Role::Victim), Ok(false));
            Locked::unlock(board, Role::Victim);
        },
    };
    for (name, operation) in [("push", push), ("lock and unlock", lock)] {
        let with = |fences| Costly { fences, locked: 1 };
        assert_eq!(costly(true, false, &operation), with(0), "{name}: registered, and all can be: no fence");
        assert_eq!(costly(true, true, &operation), with(1), "{name}: somebody cannot issue the barrier: a fence");
        assert_eq!(costly(false, false, &operation), with(1), "{name}: not registered: a fence");
    }
}

/// Waits for the end of all sides, as long as `progress` changes: a loaded machine may take its time.
fn ends(sides: &mut [Child], progress: &AtomicU64) {
    for side in sides {
        let (mut since, mut before) = (Instant::now(), progress.load(Relaxed));
        let ended = loop {
            if let Some(ended) = side.wait(LIMIT / 60) {
                break ended;
            }
            let now = progress.load(Relaxed);
            if now != before {
                (since, before) = (Instant::now(), now);
            }
            assert!(since.elapsed() < LIMIT, "a wake-up was lost");
        };
        assert_eq!(ended, Ended::Exit(0));
    }
}

/// Three processes change a counter under one lock, which each holds so long that the others go to sleep.
fn pass(forbidden: &[bool; 3]) {
    let board = Board::new();
    board.clear();
    let counter = &board.pair[0];
    let meet = |cap: bool, rounds: u64| {
        let mut sides = [0, 1, 2].map(|me| {
            let forbidden = forbidden[me];
            Child::fork(move || {
                if forbidden {
                    forbid();
                } else {
                    assert!(membarrier::register());
                }
                nap::set_cap_enabled(cap);
                let role = [Role::Victim, Role::Second, Role::Survivor][me];
                for round in 0..rounds {
                    assert_eq!(Locked::lock(board, role), Ok(false));
                    let count = counter.load(Relaxed);
                    if round % 4 == 0 {
                        std::thread::yield_now();
                    }
                    counter.store(count + 1, Relaxed);
                    Locked::unlock(board, role);
                }
            })
        });
        ends(&mut sides, counter);
    };
    // As in `talk`: whoever sleeps first and cannot issue the barrier may be missed once.
    let waiters = &Locked::word(board).waiters.word;
    let mut before = 0;
    while !(waiters.load(Relaxed) > FENCE && (fenced(waiters) || forbidden.iter().all(|forbidden| !forbidden))) {
        meet(true, 100);
        before += 300;
    }
    meet(false, ROUNDS);
    assert_eq!(counter.load(Relaxed), before + 3 * ROUNDS);
    assert_eq!(fenced(waiters), forbidden.contains(&true), "whether somebody could not issue the barrier");
}

/// Two processes hand a message to and fro through two queues of one place, and sleep whenever the other is slower.
fn talk(forbidden: &[bool; 2]) {
    let boards = [Board::new(), Board::new()];
    boards.into_iter().for_each(reset);
    let side = |me: usize, forbidden: bool, cap: bool, rounds: u64| {
        Child::fork(move || {
            if forbidden {
                forbid();
            } else {
                assert!(membarrier::register());
            }
            nap::set_cap_enabled(cap);
            let role = [Role::Victim, Role::Second][me];
            let mut queues = boards.map(|board| Shipped::join(board, 1, role));
            for round in 0..rounds {
                if me == 0 {
                    Shipped::push(&mut queues[0], round, FOREVER).expect("room");
                    assert_eq!(Shipped::pop(&mut queues[1], FOREVER), Ok(round));
                    boards[0].pair[0].fetch_add(1, Relaxed);
                } else {
                    assert_eq!(Shipped::pop(&mut queues[0], FOREVER), Ok(round));
                    Shipped::push(&mut queues[1], round, FOREVER).expect("room");
                }
            }
        })
    };
    let meet = |cap: bool, rounds: u64| {
        let mut second = side(1, forbidden[1], cap, rounds);
        assert!(second.settles(LIMIT), "there is nothing for it, and it does not sleep");
        ends(&mut [side(0, forbidden[0], cap, rounds), second], &boards[0].pair[0]);
    };
    // The first sleeper that cannot issue the barrier may be missed once, and its cap covers that: not counted here.
    meet(true, 100);
    // The second has slept at the first queue.
    let flags = || boards.map(|board| events(board).map(fenced));
    let slept = [[forbidden[1], false], [forbidden[0], false]];
    assert_eq!(flags(), slept, "whether somebody could not issue the barrier");
    meet(false, ROUNDS);
    assert_eq!(flags(), slept);
}

/// Store, then load, on two processors: without a full fence on either side both may read the old value. The barrier of
/// one stands in for the fence of the other, if that is registered; if not, both do read it (the negative control).
fn barrier_stands_in_for_a_fence() {
    assert_eq!(misses(true, 30_000), 0, "the barrier did not reach the other process");
    if std::thread::available_parallelism().is_ok_and(|cores| cores.get() > 1) {
        assert!(misses(false, 5_000_000) > 0, "the control: without a barrier nobody was ever missed");
    }
}

fn misses(barrier: bool, rounds: u64) -> u64 {
    /// No more rounds: nobody waits for the other any more.
    const OVER: u64 = u64::MAX / 2;
    #[repr(C)]
    struct Line(AtomicU64, [u64; 15]);
    // SAFETY: zeroed atomics, and padding that nobody reads.
    let lines = unsafe { share::<[Line; 6]>() };
    let [x, y, saw_x, saw_y, turn, found] = lines.each_ref().map(|line| &line.0);
    let meet = |round: u64, first: bool| {
        turn.fetch_add(1, Release);
        let end = std::time::Instant::now() + LIMIT;
        for look in 1_u64.. {
            if turn.load(Acquire) >= 2 * round {
                break;
            }
            assert!(look % 512 != 0 || std::time::Instant::now() < end, "side {first} is alone");
            if look % 512 == 0 {
                std::thread::yield_now();
            }
        }
    };
    let mut notifier = Child::fork(|| {
        assert!(membarrier::register());
        before_others();
        for round in 1..=rounds {
            meet(2 * round - 1, true);
            if turn.load(Relaxed) >= OVER {
                return;
            }
            x.store(round, Relaxed);
            std::sync::atomic::compiler_fence(std::sync::atomic::Ordering::SeqCst);
            saw_y.store(y.load(Relaxed), Relaxed);
            meet(2 * round, true);
        }
    });
    let mut sleeper = Child::fork(|| {
        before_others();
        // Where others use the processors too, as many rounds as there is time for.
        let end = std::time::Instant::now() + LIMIT / 2;
        for round in 1..=rounds {
            if round % 64 == 0 && std::time::Instant::now() > end {
                return turn.store(OVER, Release);
            }
            meet(2 * round - 1, false);
            y.store(round, Relaxed);
            std::sync::atomic::compiler_fence(std::sync::atomic::Ordering::SeqCst);
            if barrier {
                assert!(membarrier::barrier());
            }
            saw_x.store(x.load(Relaxed), Relaxed);
            meet(2 * round, false);
            found.fetch_add(u64::from(saw_x.load(Relaxed) < round && saw_y.load(Relaxed) < round), Relaxed);
            if !barrier && found.load(Relaxed) > 0 {
                return turn.store(OVER, Release);
            }
        }
    });
    assert_eq!(sleeper.wait(LIMIT), Some(Ended::Exit(0)));
    assert_eq!(notifier.wait(LIMIT), Some(Ended::Exit(0)));
    found.load(Relaxed)
}

/// Has both sides run at the same time where others want the processors too. Only root may ask for it.
fn before_others() {
    // SAFETY: `param` is valid for the call.
    unsafe { libc::sched_setscheduler(0, libc::SCHED_RR, &libc::sched_param { sched_priority: 1 }) };
}
