//! What a scenario found, and the table of all.

use std::collections::HashSet;
use std::fmt;
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
