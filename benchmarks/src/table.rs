//! Races between contestants, and what their results are measured against.

use std::time::{Duration, Instant};

/// One measurement.
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    /// In the unit of the race.
    pub value: f64,
    /// Least to most served worker, where several compete.
    pub fairness: Option<f64>,
}

impl From<f64> for Sample {
    fn from(value: f64) -> Self {
        Self { value, fairness: None }
    }
}

impl From<crate::crew::Run> for Sample {
    fn from(run: crate::crew::Run) -> Self {
        Self { value: run.mops(), fairness: (run.counts.len() > 1).then(|| run.fairness()) }
    }
}

/// Somebody who is measured.
pub struct Contestant<'a> {
    name: String,
    run: Box<dyn FnMut() -> Sample + 'a>,
    samples: Vec<Sample>,
}

/// What a target demands of the ratio of ours to the peer.
#[derive(Clone, Copy, Debug)]
pub enum Demand {
    /// At least so many times the peer's.
    AtLeast(f64),
    /// At most so many times the peer's.
    AtMost(f64),
    /// Shown, not demanded.
    Shown,
}

impl Demand {
    fn met(self, ratio: f64) -> bool {
        match self {
            Self::AtLeast(bound) => ratio >= bound,
            Self::AtMost(bound) => ratio <= bound,
            Self::Shown => true,
        }
    }

    fn text(self) -> String {
        match self {
            Self::AtLeast(bound) => format!(">= {bound}"),
            Self::AtMost(bound) => format!("<= {bound}"),
            Self::Shown => "shown".into(),
        }
    }

    /// Of a ratio whose true value lies, but for one case in twenty, between `low` and `high`.
    fn verdict(self, ratio: f64, low: f64, high: f64) -> &'static str {
        match self {
            Self::Shown => "",
            _ if self.met(ratio) => "pass",
            _ if self.met(low) || self.met(high) => "undecided",
            _ => "MISS",
        }
    }
}

/// All races of a run, and the verdicts so far.
pub struct Book {
    /// Rounds of each race.
    pub rounds: usize,
    /// Whether runs are kept short.
    pub quick: bool,
    /// How long each race may wait for a quiet machine.
    pub patience: Duration,
    left: Duration,
    verdicts: Vec<String>,
}

/// The share of the cores that others may use without a measurement being made again.
const DISTURBED: f64 = 0.05;

impl Book {
    /// An empty book.
    pub fn new(quick: bool) -> Self {
        Self {
            rounds: if quick { 3 } else { 7 },
            quick,
            patience: Duration::ZERO,
            left: Duration::ZERO,
            verdicts: Vec::new(),
        }
    }

    /// Measures the contestants in turn, several rounds, and prints the medians.
    pub fn race<'a>(&mut self, title: &str, unit: &'static str, contestants: Vec<Contestant<'a>>) -> Results<'_, 'a> {
        let rounds = self.rounds;
        self.race_of(title, unit, rounds, contestants)
    }

    /// The same with three times the rounds, where the contestants are close and the rounds differ more than they do.
    pub fn close_race<'a>(
        &mut self,
        title: &str,
        unit: &'static str,
        contestants: Vec<Contestant<'a>>,
    ) -> Results<'_, 'a> {
        let rounds = 3 * self.rounds;
        self.race_of(title, unit, rounds, contestants)
    }

    /// The same with a number of rounds of its own, for slow races.
    pub fn race_of<'a>(
        &mut self,
        title: &str,
        unit: &'static str,
        rounds: usize,
        mut contestants: Vec<Contestant<'a>>,
    ) -> Results<'_, 'a> {
        let mut shares = Vec::new();
        self.left = self.patience;
        for round in 0..rounds {
            let count = contestants.len();
            for turn in 0..count {
                // Each round starts with another: whoever follows a slow one has no standing disadvantage.
                let contestant = &mut contestants[(turn + round) % count];
                let (sample, share) = self.undisturbed(&mut contestant.run);
                shares.push(share);
                contestant.samples.push(sample);
            }
        }
        // Samples were pushed once a round, so index r is round r for everybody.
        println!("\n{title} [{unit}], median of {rounds} rounds{}", disturbance(&shares));
        for contestant in &contestants {
            let values = contestant.samples.iter().map(|s| s.value);
            let (least, middle, most) = spread(values);
            let fairness = contestant.samples.iter().filter_map(|s| s.fairness).collect::<Vec<_>>();
            let fairness = match fairness.is_empty() {
                true => String::new(),
                false => format!("  fairness {:.2}", spread(fairness.into_iter()).1),
            };
            println!("  {:<42} {middle:>9.3}  ({least:.3} .. {most:.3}){fairness}", contestant.name);
        }
        Results { book: self, title: title.to_string(), is_rate: unit.ends_with("/s"), contestants }
    }

    /// Measures once; if others used the cores meanwhile, and there is patience left, once more when they are gone.
    fn undisturbed(&mut self, run: &mut dyn FnMut() -> Sample) -> (Sample, f64) {
        loop {
            let noise = Noise::start();
            let sample = run();
            let share = noise.share();
            if share < DISTURBED || self.left.is_zero() {
                return (sample, share);
            }
            let again = Instant::now();
            while Noise::watch(Duration::from_millis(100)).share() >= DISTURBED && again.elapsed() < self.left {}
            self.left = self.left.saturating_sub(noise.began.elapsed());
        }
    }

    /// Judges a number that is not a ratio to a peer.
    pub fn judge(&mut self, what: &str, value: f64, unit: &str, demand: Demand) {
        let line =
            format!("{what}: {value:.3} {unit} (target {})  {}", demand.text(), demand.verdict(value, value, value));
        println!("    -> {}", line.trim_end());
        if !matches!(demand, Demand::Shown) {
            self.verdicts.push(line);
        }
    }

    /// Notes something that could not be measured.
    pub fn note(&mut self, text: &str) {
        println!("    -- {text}");
        self.verdicts.push(text.to_string());
    }

    /// All verdicts once more.
    pub fn summary(&self) {
        println!("\nTargets");
        for line in &self.verdicts {
            println!("  {}", line.trim_end());
        }
        let missed = self.verdicts.iter().filter(|line| line.ends_with("MISS")).count();
        let passed = self.verdicts.iter().filter(|line| line.ends_with("pass")).count();
        let undecided = self.verdicts.iter().filter(|line| line.ends_with("undecided")).count();
        println!("  {passed} passed, {undecided} undecided, {missed} missed");
    }
}

/// A race that was run.
pub struct Results<'b, 'a> {
    book: &'b mut Book,
    title: String,
    /// Whether more is better: it is counted by the second. Else it is a time.
    is_rate: bool,
    contestants: Vec<Contestant<'a>>,
}

impl Results<'_, '_> {
    fn find(&self, name: &str) -> &Contestant<'_> {
        self.contestants.iter().find(|c| c.name == name).unwrap_or_else(|| panic!("no contestant {name}"))
    }

    /// The median of one contestant.
    pub fn median(&self, name: &str) -> f64 {
        spread(self.find(name).samples.iter().map(|s| s.value)).1
    }

    /// Whoever of them has the best median.
    fn best<'n>(&self, names: &[&'n str]) -> &'n str {
        let by_median = |a: &&'n str, b: &&'n str| {
            let order = self.median(a).total_cmp(&self.median(b));
            if self.is_rate { order } else { order.reverse() }
        };
        names.iter().copied().max_by(by_median).expect("at least one")
    }

    /// Holds the best of `ours`, where any of them would do, against the best of `peers`.
    pub fn best_against(&mut self, ours: &[&str], peers: &[&str], demand: Demand) -> &mut Self {
        let best = self.best(ours);
        self.against(best, peers, demand)
    }

    /// Holds `ours` against the best of `peers`: the median over the rounds of the ratio within the round. It is undecided
    /// where the bound lies on the other side of the median, but within the median's 95 % interval.
    pub fn against(&mut self, ours: &str, peers: &[&str], demand: Demand) -> &mut Self {
        let best = self.best(peers);
        let pairs = self.find(ours).samples.iter().zip(&self.find(best).samples);
        let ratios: Vec<_> = pairs.map(|(a, b)| a.value / b.value).collect();
        let (least, ratio, most) = spread(ratios.iter().copied());
        let (low, high) = interval(ratios);
        let line = format!(
            "{}: {ours} / {best} = {ratio:.2} ({least:.2} .. {most:.2}; target {})  {}",
            self.title,
            demand.text(),
            demand.verdict(ratio, low, high)
        );
        println!("    -> {}", line.trim_end());
        if !matches!(demand, Demand::Shown) {
            self.book.verdicts.push(line);
        }
        self
    }

    /// Holds the fairness of `ours` against a bound.
    pub fn fairness(&mut self, ours: &str, demand: Demand) -> &mut Self {
        let fairness = spread(self.find(ours).samples.iter().filter_map(|s| s.fairness)).1;
        let what = format!("{}: fairness of {ours}", self.title);
        self.book.judge(&what, fairness, "least/most", demand);
        self
    }
}

/// Makes a contestant.
pub fn contestant<'a, S: Into<Sample>>(name: impl Into<String>, mut run: impl FnMut() -> S + 'a) -> Contestant<'a> {
    Contestant { name: name.into(), run: Box::new(move || run().into()), samples: Vec::new() }
}

/// Least, median, most.
fn spread(values: impl Iterator<Item = f64>) -> (f64, f64, f64) {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    match values.len() {
        0 => (f64::NAN, f64::NAN, f64::NAN),
        n if n % 2 == 1 => (values[0], values[n / 2], values[n - 1]),
        n => (values[0], (values[n / 2 - 1] + values[n / 2]) / 2.0, values[n - 1]),
    }
}

/// Between which values the median of what was sampled lies with 95 %, whatever the distribution: by the binomial one of
/// how many samples lie below it.
fn interval(mut values: Vec<f64>) -> (f64, f64) {
    values.sort_by(f64::total_cmp);
    let count = values.len();
    let below = (((count as f64) - 1.96 * (count as f64).sqrt()) / 2.0).max(0.0) as usize;
    match (values.get(below), count.checked_sub(1 + below).and_then(|above| values.get(above))) {
        (Some(low), Some(high)) => (*low, *high),
        _ => (f64::NAN, f64::NAN),
    }
}

fn disturbance(shares: &[f64]) -> String {
    let disturbed = shares.iter().filter(|&&share| share >= DISTURBED).count();
    match disturbed {
        0 => String::new(),
        _ => format!("; DISTURBED: others used the cores during {disturbed} of {} measurements", shares.len()),
    }
}

/// How much of the machine others used meanwhile: a race that was disturbed says so.
struct Noise {
    began: Instant,
    busy: f64,
    own: f64,
}

impl Noise {
    fn start() -> Self {
        Self { began: Instant::now(), busy: busy_seconds(), own: own_seconds() }
    }

    /// What others do while we do nothing.
    fn watch(time: Duration) -> Self {
        let noise = Self::start();
        std::thread::sleep(time);
        noise
    }

    /// The share of all cores that others used since the start.
    fn share(&self) -> f64 {
        let cores = std::thread::available_parallelism().map_or(1, usize::from) as f64;
        let others = (busy_seconds() - self.busy) - (own_seconds() - self.own);
        (others / (self.began.elapsed().as_secs_f64() * cores)).max(0.0)
    }
}

/// Seconds all cores together were busy since boot (stolen time included).
fn busy_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/stat").unwrap_or_default();
    let fields: Vec<f64> =
        stat.lines().next().unwrap_or("").split_whitespace().skip(1).filter_map(|f| f.parse().ok()).collect();
    // user nice system idle iowait irq softirq steal
    let busy: f64 = [0, 1, 2, 5, 6, 7].iter().filter_map(|&i| fields.get(i)).sum();
    busy / 100.0
}

/// Processor seconds of this process and of its children that have ended.
fn own_seconds() -> f64 {
    [libc::RUSAGE_SELF, libc::RUSAGE_CHILDREN]
        .into_iter()
        .map(|who| {
            // SAFETY: a zeroed rusage is valid and the call fills it.
            let usage = unsafe {
                let mut usage: libc::rusage = std::mem::zeroed();
                libc::getrusage(who, &mut usage);
                usage
            };
            let seconds = |t: libc::timeval| t.tv_sec as f64 + t.tv_usec as f64 / 1e6;
            seconds(usage.ru_utime) + seconds(usage.ru_stime)
        })
        .sum()
}
