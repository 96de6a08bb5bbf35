//! Processes that die: what the models of one algorithm share.
//!
//! A modelled process is a piece of a loom thread run under [`World::live`]; it is killed right before the atomic
//! operation that the model's fuse names. Its death becomes known (as the kernel would tell it) through a loom
//! `AtomicBool`, so others may learn of it late, as they may in reality.
#![allow(dead_code)] // each test file uses its own part

use std::sync::Arc;
use std::sync::atomic::{AtomicU32 as Number, AtomicUsize as Count, Ordering::SeqCst};

use loom::sync::atomic::AtomicBool;
use ringfence::primitive::death;
use ringfence::raw::{Fate, Owner, ParticipantId, Peers};
use ringfence::sys::nap::{Deadline, Wait};

/// Waits for ever: with the cap off, a lost wake-up is a deadlock, which loom reports.
pub const FOREVER: Wait = Wait { deadline: Deadline::Forever, interruptible: false };
/// Does not wait.
pub const NOW: Wait = Wait { deadline: Deadline::Now, interruptible: false };

/// Waits with a time-out that a model lets fire at any moment.
pub fn a_while() -> Wait {
    Wait::until(Deadline::after(std::time::Duration::from_secs(3600)))
}

/// The only thread of participant `id`.
pub fn owner(id: ParticipantId) -> Owner {
    Owner::new(id, 7).unwrap()
}

/// Who lives: the oracle the algorithms ask.
pub struct Mortals {
    dead: [AtomicBool; 5],
    /// Not loom's: no step of a process.
    lives: [Number; 5],
}

impl Mortals {
    pub fn new() -> Self {
        Self { dead: std::array::from_fn(|_| AtomicBool::new(false)), lives: Default::default() }
    }

    /// The place of `id`, whose death has been recovered, is another process's from now on: as `owner`, of the life
    /// [`life`](Peers::life).
    pub fn successor(&self, id: ParticipantId) -> Owner {
        let life = self.lives[usize::from(id)].fetch_add(1, SeqCst) + 1;
        self.dead[usize::from(id)].store(false, loom::sync::atomic::Ordering::SeqCst);
        Owner::new(id, 7 + life).unwrap()
    }

    /// Runs `f` as participant `id`, which is killed before its atomic operation number `step`.
    pub fn live<R>(&self, id: ParticipantId, step: usize, f: impl FnOnce() -> R) -> Option<R> {
        self.live_and(id, step, f, || ())
    }

    /// As [`live`](Self::live); `autopsy` runs between the death and the moment it becomes known.
    pub fn live_and<R>(
        &self,
        id: ParticipantId,
        step: usize,
        f: impl FnOnce() -> R,
        autopsy: impl FnOnce(),
    ) -> Option<R> {
        let outcome = death::run_until(step, f);
        if outcome.is_none() {
            autopsy();
            self.dead[usize::from(id)].store(true, loom::sync::atomic::Ordering::SeqCst);
        }
        outcome
    }
}

impl Peers for Mortals {
    fn fate(&self, participant: ParticipantId) -> Fate {
        match self.dead.get(usize::from(participant)) {
            None => Fate::Invalid,
            _ if participant == 0 => Fate::Invalid,
            Some(dead) if dead.load(loom::sync::atomic::Ordering::SeqCst) => Fate::Dead,
            Some(_) => Fate::Alive,
        }
    }

    fn life(&self, participant: ParticipantId) -> u32 {
        self.lives.get(usize::from(participant)).map_or(0, |life| life.load(SeqCst))
    }
}

/// Explores `model` with at most `bound` preemptions an execution.
pub fn explore(bound: usize, model: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(bound);
    builder.max_branches = builder.max_branches.max(20_000); // a look through all places is many
    builder.check(model);
}

/// How many preemptions: `quick`, or `deep` if `RINGFENCE_LOOM_DEEP` is set, where that takes minutes.
pub fn bound(quick: usize, deep: usize) -> usize {
    if std::env::var_os("RINGFENCE_LOOM_DEEP").is_some() { deep } else { quick }
}

/// Explores `model(step)` for every step at which its victim can die. The model returns, through the counter it is
/// handed, how often the victim was killed; the first step that kills nobody ends the loop.
pub fn at_every_step(bound: usize, model: impl Fn(usize, &Count) + Send + Sync + 'static) {
    let model = Arc::new(model);
    for step in 0.. {
        let deaths = Arc::new(Count::new(0));
        let (model, seen) = (model.clone(), deaths.clone());
        explore(bound, move || model(step, &seen));
        if deaths.load(SeqCst) == 0 {
            assert!(step > 0, "the victim was never killed");
            return;
        }
    }
}

/// Runs the ignored test `name` of this binary in a process of its own and checks that it fails, saying `what`. (loom
/// cannot clean up after a deadlock: the process aborts.)
pub fn must_fail(name: &str, what: &str) {
    let output = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", name, "--ignored", "--nocapture"])
        .env("RUST_BACKTRACE", "0")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr) + String::from_utf8_lossy(&output.stdout);
    assert!(!output.status.success(), "{name} passed: the models do not see what they should");
    assert!(said.contains(what), "{name} failed for another reason:\n{said}");
}
