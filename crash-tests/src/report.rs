//! What a scenario found, and the table of all.

use std::collections::HashSet;
use std::fmt;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

/// What can go wrong for the survivors of a kill.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    /// A survivor waits for ever, or is refused what is there.
    Stuck,
    /// A completed message or update is gone.
    Lost,
    /// A message came twice.
    Duplicated,
    /// Half of one and half of another.
    Torn,
    /// Room, a lock, a file or a slot is gone for good.
    Leaked,
    /// A death while holding that the next owner was not told of.
    Unreported,
}

/// All classes, as the table orders them.
pub const CLASSES: [Class; 6] =
    [Class::Stuck, Class::Lost, Class::Duplicated, Class::Torn, Class::Leaked, Class::Unreported];

/// The findings of one scenario.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Kill points tried.
    pub points: u64,
    /// Instructions that victims made.
    pub steps: u64,
    /// Distinct states of shared memory and victim right after the kill.
    pub states: HashSet<u64>,
    /// Failures by class.
    pub failures: [u64; 6],
    /// The first few, in words.
    pub examples: Vec<String>,
    /// How long after the kill (or after it asked, if later) a survivor got on, in ns.
    pub delays: Vec<u64>,
    /// Points at which the scenario could not be staged, e.g. another process was faster than the victim.
    pub skipped: u64,
    /// How long it took.
    pub took: Duration,
}

impl Outcome {
    /// All failures.
    pub fn failed(&self) -> u64 {
        self.failures.iter().sum()
    }

    /// Notes a failure.
    pub fn fail(&mut self, class: Class, why: String) {
        self.failures[class as usize] += 1;
        if self.examples.len() < 4 {
            self.examples.push(format!("{class:?}: {why}"));
        }
    }
}

/// The table's row of one scenario.
#[derive(Debug)]
pub struct Row<'a>(pub &'a str, pub &'a Outcome);

/// The table's head.
pub fn head() -> String {
    format!(
        "{:<44} {:>7} {:>7} {:>6} {:>5} {:>5} {:>5} {:>5} {:>6} {:>30} {:>7}",
        "scenario",
        "points",
        "states",
        "stuck",
        "lost",
        "dup",
        "torn",
        "leak",
        "unrep",
        "delay ms min/med/p99/max",
        "s"
    )
}

impl fmt::Display for Row<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(name, outcome) = self;
        write!(f, "{name:<44} {:>7} {:>7}", outcome.points, outcome.states.len())?;
        for (class, width) in CLASSES.iter().zip([6, 5, 5, 5, 5, 6]) {
            write!(f, " {:>width$}", outcome.failures[*class as usize])?;
        }
        write!(f, " {:>30} {:>7.1}", delays(&outcome.delays), outcome.took.as_secs_f64())?;
        if outcome.skipped > 0 {
            write!(f, "  ({} not staged)", outcome.skipped)?;
        }
        for example in &outcome.examples {
            write!(f, "\n      {example}")?;
        }
        Ok(())
    }
}

/// The sums of all scenarios, in memory that the jobs share: with the cap on sleeps, and without.
#[repr(C)]
#[derive(Debug)]
pub struct Total {
    /// Scenarios that were as they must be.
    pub passed: AtomicU64,
    sums: [Sum; 2],
}

#[repr(C)]
#[derive(Debug)]
struct Sum {
    points: AtomicU64,
    states: AtomicU64,
    steps: AtomicU64,
    skipped: AtomicU64,
    failures: [AtomicU64; 6],
    longest: AtomicU64,
    /// How many delays there are of each length: eight steps to every power of two (ns).
    delays: [AtomicU64; 64 * 8],
}

impl Total {
    /// Adds the findings of a scenario.
    pub fn add(&self, outcome: &Outcome, uncapped: bool) {
        let sum = &self.sums[usize::from(uncapped)];
        sum.points.fetch_add(outcome.points, Relaxed);
        sum.states.fetch_add(outcome.states.len() as u64, Relaxed);
        sum.steps.fetch_add(outcome.steps, Relaxed);
        sum.skipped.fetch_add(outcome.skipped, Relaxed);
        for (total, count) in sum.failures.iter().zip(outcome.failures) {
            total.fetch_add(count, Relaxed);
        }
        for &delay in &outcome.delays {
            sum.delays[bucket(delay)].fetch_add(1, Relaxed);
            sum.longest.fetch_max(delay, Relaxed);
        }
    }

    /// Notes whether a scenario was as it must be.
    pub fn note(&self, good: bool) {
        self.passed.fetch_add(good.into(), Relaxed);
    }
}

fn bucket(delay: u64) -> usize {
    let power = delay.max(8).ilog2();
    power as usize * 8 + (delay.max(8) >> (power - 3)) as usize % 8
}

impl Sum {
    /// The delay that a share of all do not exceed, in ms, to an eighth.
    fn quantile(&self, share: f64) -> f64 {
        let all: u64 = self.delays.iter().map(|count| count.load(Relaxed)).sum();
        let mut left = (all as f64 * share) as u64;
        let place = self.delays.iter().position(|count| {
            let count = count.load(Relaxed);
            let here = left < count;
            left = left.saturating_sub(count);
            here
        });
        let bound = place.map_or(u64::MAX, |place| (place as u64 % 8 + 9) << (place / 8).saturating_sub(3));
        bound.min(self.longest.load(Relaxed)) as f64 / 1e6
    }
}

impl fmt::Display for Sum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = |word: &AtomicU64| word.load(Relaxed);
        // A point that was not staged killed nobody.
        let staged = count(&self.points).saturating_sub(count(&self.skipped));
        write!(f, "{staged} kill points, {} distinct end states:", count(&self.states))?;
        for (class, failures) in CLASSES.iter().zip(&self.failures) {
            write!(f, " {} {}", count(failures), format!("{class:?}").to_lowercase())?;
        }
        write!(f, "; {} not staged, {} instructions", count(&self.skipped), count(&self.steps))?;
        let (median, late, longest) = (self.quantile(0.5), self.quantile(0.99), self.quantile(1.0));
        write!(f, "; survivors went on after (ms) {median:.3} median, {late:.1} p99, {longest:.1} at most")
    }
}

impl fmt::Display for Total {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [capped, uncapped] = &self.sums;
        write!(f, "sleeps capped: {capped}\ncap off: {uncapped}")
    }
}

/// Minimum, median, 99th percentile and maximum.
pub fn delays(delays: &[u64]) -> String {
    if delays.is_empty() {
        return "-".into();
    }
    let mut sorted = delays.to_vec();
    sorted.sort_unstable();
    let at = |share: f64| sorted[((sorted.len() - 1) as f64 * share) as usize] as f64 / 1e6;
    format!("{:.3}/{:.2}/{:.2}/{:.2}", at(0.0), at(0.5), at(0.99), at(1.0))
}
