//! Random numbers of tests that kill, and the count of what such a test did.

use std::time::Duration;

/// Random numbers, the same in each run unless `RINGFENCE_SEED` says otherwise, and how many rounds to go, which
/// `RINGFENCE_ROUNDS` may set. What the scheduler makes of them is its own. When dropped it prints how to have them
/// again, if the test fails, or what was done, which `scripts/steps/stress` adds up.
pub struct Chance {
    seed: u64,
    state: u64,
    pub rounds: usize,
    /// Processes killed.
    pub kills: usize,
    /// Messages, objects, values: whatever the test has looked at.
    pub checked: usize,
}

const SEED: u64 = 0x9e37_79b9_7f4a_7c15;

impl Chance {
    /// That many rounds, if the environment does not say.
    pub fn new(rounds: usize) -> Self {
        let seed = from_environment("RINGFENCE_SEED").unwrap_or(SEED);
        let rounds = from_environment("RINGFENCE_ROUNDS").map_or(rounds, |n| usize::try_from(n).unwrap());
        assert!(rounds > 0, "no rounds prove nothing");
        Self { seed, state: seed, rounds, kills: 0, checked: 0 }
    }

    /// A number below `limit`.
    pub fn below(&mut self, limit: u64) -> u64 {
        self.state = self.state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.state >> 33) % limit
    }

    /// The same for an index.
    pub fn index(&mut self, len: usize) -> usize {
        self.below(len as u64) as usize
    }

    /// Not to synchronise: what comes next comes at a random moment.
    pub fn pause(&mut self, below: Duration) {
        std::thread::sleep(Duration::from_nanos(self.below(below.as_nanos() as u64)));
    }
}

impl Drop for Chance {
    fn drop(&mut self) {
        let Self { seed, rounds, kills, checked, .. } = self;
        if std::thread::panicking() {
            eprintln!("the same numbers again: RINGFENCE_SEED={seed} RINGFENCE_ROUNDS={rounds}");
        } else {
            // The harness may have written before it on the same line.
            println!("\ntally: rounds {rounds} kills {kills} checked {checked}");
        }
    }
}

fn from_environment(name: &str) -> Option<u64> {
    let text = std::env::var_os(name)?;
    let number = text.to_str().and_then(|text| text.parse().ok());
    Some(number.unwrap_or_else(|| panic!("{name} is {text:?}, not a number")))
}
