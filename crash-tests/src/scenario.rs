//! A scenario: a staging that is played once per kill point, and the driver that plays it for every k.

use std::collections::VecDeque;
use std::rc::Rc;
use std::time::{Duration, Instant};

use crate::board::{Board, Cue, Role};
use crate::os::{Child, LIMIT, now_ns};
use crate::report::{Class, Outcome};
use crate::step::{Path, Stop, Unit, Victim, Walk};

/// How densely to look, and how long to wait.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Every how many instructions to kill.
    pub stride: u64,
    /// The first k.
    pub offset: u64,
    /// At most about this many kill points in one scenario; the stride grows to fit.
    pub budget: Option<u64>,
    /// How long a survivor may take.
    pub limit: Duration,
    /// After so many failures a scenario is over.
    pub enough: u64,
    /// Or after the first of this class.
    pub seek: Option<Class>,
    /// What k counts.
    pub unit: Unit,
    /// Nobody runs beside the victim, so that it goes the same way each time.
    pub alone: bool,
}

impl Options {
    /// Every kill point; of an operation of more than 1000 instructions beside which others run, only the beginning and
    /// the end are dense.
    pub fn full() -> Self {
        Self {
            stride: 1,
            offset: 0,
            budget: None,
            limit: LIMIT,
            enough: 10,
            seek: None,
            unit: Unit::Instruction,
            alone: false,
        }
    }

    /// Whether a scenario with this outcome is over.
    pub fn satisfied(&self, outcome: &Outcome) -> bool {
        outcome.failed() >= self.enough || self.seek.is_some_and(|class| outcome.failures[class as usize] > 0)
    }

    /// About `budget` kill points a scenario.
    pub fn sample(budget: u64) -> Self {
        Self { budget: Some(budget), ..Self::full() }
    }
}

/// A named scenario.
pub struct Scenario {
    /// What `--only` matches and the table shows.
    pub name: String,
    /// A broken algorithm that must fail, and how it is expected to.
    pub control: Option<Class>,
    play: Box<dyn Fn(&Options) -> Outcome>,
}

impl std::fmt::Debug for Scenario {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Scenario").field("name", &self.name).field("control", &self.control).finish()
    }
}

impl Scenario {
    /// A scenario that must not fail.
    pub fn new(name: impl Into<String>, play: impl Fn(&Options) -> Outcome + 'static) -> Self {
        Self { name: name.into(), control: None, play: Box::new(play) }
    }

    /// The same as a negative control: it must fail in this class.
    pub fn must_fail(mut self, class: Class) -> Self {
        self.control = Some(class);
        self
    }

    /// Whether its sleeps are not capped.
    pub fn uncapped(&self) -> bool {
        self.name.ends_with("cap-off")
    }

    /// Plays it.
    pub fn run(&self, options: &Options) -> Outcome {
        let begun = Instant::now();
        let mut outcome = (self.play)(options);
        outcome.took = begun.elapsed();
        outcome
    }
}

/// One kill point being played.
#[derive(Debug)]
pub struct Point<'a> {
    /// What the processes share.
    pub board: &'static Board,
    /// The findings so far.
    pub outcome: &'a mut Outcome,
    /// The patience with survivors.
    pub limit: Duration,
    unit: Unit,
    at: Vec<u64>,
    walked: Vec<u64>,
    finished: Vec<bool>,
    way: Way,
}

/// How the first victim goes.
#[derive(Debug)]
enum Way {
    Walk,
    /// Walks, and remembers the path.
    Record(Option<Path>),
    Along(Rc<Path>),
    /// Was to go along a path, and left it.
    Astray,
}

impl Point<'_> {
    /// Starts an untraced process that lives until its [`Child`] is dropped.
    pub fn play(&self, role: Role, body: impl FnOnce(&'static Cue)) -> Child {
        play(self.board, role, body)
    }

    /// Starts a traced process, stopped at its marker. Its own sleeps are never capped: a time-out of the victim
    /// would only move it within the kernel's queue. `None` (and the point is skipped) if it cannot be had.
    pub fn victim(&mut self, role: Role, body: impl FnOnce(&'static Cue)) -> Option<Victim> {
        let begun = victim(self.board, role, body);
        if let Err(stop) = &begun {
            self.fail(Class::Stuck, format!("the victim never began: {stop:?}"));
        }
        begun.ok()
    }

    /// Steps the `nth` victim to its kill point. What became of it is noted; a crash of its own is a failure.
    pub fn walk(&mut self, nth: usize, victim: &mut Victim, done: impl Fn() -> bool) -> Walk {
        let before = victim.steps();
        let k = self.at[nth];
        let walk = match &mut self.way {
            Way::Along(path) if nth == 0 && k < path.len() => {
                if victim.jump(path, k) {
                    Walk::Reached
                } else {
                    Walk::Astray
                }
            }
            Way::Record(path) if nth == 0 => {
                victim.record();
                let walk = victim.walk(self.unit, k, done);
                *path = victim.path();
                walk
            }
            _ => victim.walk(self.unit, k, done),
        };
        if walk == Walk::Astray {
            self.way = Way::Astray;
        }
        self.walked[nth] = victim.steps() - before;
        self.outcome.steps += self.walked[nth];
        if !matches!(walk, Walk::Reached | Walk::Astray) {
            self.finished[nth] = true;
        }
        if let Walk::Lost(stop) = walk {
            self.fail(Class::Stuck, format!("the victim crashed: {stop:?}"));
        }
        walk
    }

    /// The point cannot be staged: nothing is concluded from it.
    pub fn skip(&mut self) {
        self.outcome.skipped += 1;
        self.finished.iter_mut().for_each(|finished| *finished = true);
    }

    /// Notes a failure.
    pub fn fail(&mut self, class: Class, why: impl AsRef<str>) {
        let at: Vec<String> = self.at.iter().zip(&self.walked).map(|(k, n)| k.min(n).to_string()).collect();
        self.outcome.fail(class, format!("k={} {}", at.join(","), why.as_ref()));
    }

    /// Notes when a survivor got on: after the kill, or after it asked, whichever was later.
    pub fn delay(&mut self, killed_at: u64, cue: &Cue) {
        use std::sync::atomic::Ordering::Relaxed;
        let (asked, got) = (cue.asked.load(Relaxed), cue.got.load(Relaxed));
        self.outcome.delays.push(got.saturating_sub(asked.max(killed_at)));
    }

    /// Kills a victim and makes its death known. Returns when (ns).
    pub fn bury(&mut self, role: Role, victim: Victim) -> u64 {
        let at = now_ns();
        victim.kill();
        self.board.bury(role);
        at
    }
}

/// Forks a traced process, stopped at its marker.
pub fn victim(board: &'static Board, role: Role, body: impl FnOnce(&'static Cue)) -> Result<Victim, Stop> {
    Victim::fork(|| {
        ringfence::sys::nap::set_cap_enabled(false);
        body(board.cue(role));
        park();
    })
}

/// Forks a process with the board's cap setting.
pub fn play(board: &'static Board, role: Role, body: impl FnOnce(&'static Cue)) -> Child {
    Child::fork(|| {
        board.apply_cap();
        body(board.cue(role));
    })
}

/// Sleeps until killed.
pub fn park() -> ! {
    loop {
        // SAFETY: no preconditions.
        unsafe { libc::pause() };
    }
}

/// Runs a victim until it sleeps in a system call; `false` if it finishes or crashes first.
pub fn to_sleep(victim: &mut Victim, done: impl Fn() -> bool) -> bool {
    loop {
        match victim.to_syscall() {
            Stop::Trapped if !done() => {}
            Stop::Blocked => return !done(),
            _ => return false,
        }
    }
}

/// Plays `stage` for every k (for every pair or triple of k with several victims), until the victims finish.
pub fn explore(
    board: &'static Board,
    victims: usize,
    options: &Options,
    mut stage: impl FnMut(&mut Point<'_>),
) -> Outcome {
    let mut outcome = Outcome::default();
    let mut play = |at: Vec<u64>, way: Way, outcome: &mut Outcome| {
        let mut point = Point {
            board,
            outcome,
            limit: options.limit,
            unit: options.unit,
            walked: vec![0; victims],
            finished: vec![false; victims],
            at,
            way,
        };
        board.clear();
        stage(&mut point);
        let result = (point.walked, point.finished, point.way);
        outcome.points += 1;
        result
    };
    // How long are the operations? Each is measured behind predecessors that died half way.
    let mut lengths = vec![1_000_000; victims];
    let alone = options.alone && victims == 1 && options.unit == Unit::Instruction;
    let mut paths = VecDeque::new();
    for nth in 0..victims {
        let ks = lengths.iter().enumerate().map(|(n, k)| if n < nth { k / 2 } else { *k }).collect();
        let (walked, _, way) = play(ks, if alone { Way::Record(None) } else { Way::Walk }, &mut outcome);
        if let Way::Record(way) = way {
            paths.extend(way.map(Rc::new));
        }
        let length = &mut lengths[nth];
        *length = walked[nth];
    }
    // Several victims in a row: a grid, of which even the full run takes a part.
    let budget = match (victims, options.budget) {
        (1, budget) => budget,
        (_, budget) => Some(budget.map_or(2000, |budget| budget * 2)),
    };
    let per_victim = budget.map(|budget| (budget as f64).powf(1.0 / victims as f64).max(2.0) as u64);
    let strides: Vec<u64> = lengths
        .iter()
        .map(|length| per_victim.map_or(1, |points| length.div_ceil(points).max(1)).max(options.stride))
        .collect();
    let mut at = vec![options.offset; victims];
    loop {
        // To leave the path is a kill point too, but not this one. Numbers that the kernel tells have more or fewer
        // digits, this time or from now on.
        let mut finished = vec![];
        let known = paths.len();
        for attempt in 0..=known + 1 {
            if attempt == known
                && alone
                && let (.., Way::Record(Some(anew))) = play(vec![1_000_000], Way::Record(None), &mut outcome)
            {
                paths.push_back(Rc::new(anew));
            }
            let way = paths.get(attempt).cloned().map_or(Way::Walk, Way::Along);
            let (_, ended, way) = play(at.clone(), way, &mut outcome);
            finished = ended;
            if !matches!(way, Way::Astray) {
                // The one that was right is tried first the next time.
                if let Some(right) = paths.remove(attempt) {
                    paths.push_front(right);
                }
                break;
            }
        }
        paths.truncate(PATHS);
        if options.satisfied(&outcome) || outcome.skipped >= 200 {
            outcome.examples.push("stopped here".into());
            break;
        }
        // The odometer: the last victim moves fastest.
        let mut wheel = victims;
        loop {
            if wheel == 0 {
                return outcome;
            }
            wheel -= 1;
            if !finished[wheel] && at[wheel] < lengths[wheel] * 8 + 10_000 {
                at[wheel] += match per_victim {
                    None if options.stride == 1 && !alone => full_stride(at[wheel], lengths[wheel]),
                    // Behind a victim that finished, a later one is short; behind one that died, it first spins.
                    Some(points) if wheel > 0 && at[wheel] < SHORT => strides[wheel].min(SHORT.div_ceil(points)),
                    _ => strides[wheel],
                };
                break;
            }
            at[wheel] = options.offset % strides[wheel];
        }
    }
    outcome
}

/// So many paths a scenario remembers.
const PATHS: usize = 4;

/// About as long is an operation that meets nobody.
const SHORT: u64 = 48;

/// A long operation beside which others run spins or waits in its middle: there not every instruction counts.
fn full_stride(k: u64, length: u64) -> u64 {
    const DENSE: u64 = 250;
    if length <= 4 * DENSE || k < DENSE || k + DENSE >= length {
        return 1;
    }
    // Not beyond the border of the dense tail.
    (length - 2 * DENSE).div_ceil(2 * DENSE).min(length - DENSE - k).max(1)
}
