//! Words of 256 MB of text counted by the example's way, with and without a worker killed in a task, against the same count in a
//! single process.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::PathBuf;
use std::time::Instant;

use ringfence_benchmarks::table::{Book, Demand, contestant};

use crate::files::{self, Found, Source, Taste};
use crate::job::{self, Job};
use crate::text::Counter;

const WORKERS: usize = 2;
const FILES: usize = 8;
const FILE_BYTES: usize = 32_000_000;
const VOCABULARY: usize = 50_000;

const IDEAL: &str = "twice a single process";
const THREADS: &str = "two threads, half of the files each";
const POOL: &str = "pool of 2, map_reduce";
const KILLED: &str = "the same, a worker killed";

type Counts = Vec<(Vec<u8>, u64)>;

/// Numbers from a fixed seed (xorshift64*).
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 16
    }

    fn below(&mut self, bound: usize) -> usize {
        self.next() as usize % bound
    }
}

/// A folder of text, gone afterwards.
struct Text(PathBuf);

impl Drop for Text {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

impl Text {
    /// Sentences of made-up words, the one of rank r about 1/r as frequent as the first: Zipf's law.
    fn write() -> io::Result<Self> {
        let text = Self(std::env::temp_dir().join(format!("ringfence-bench-words-{}", std::process::id())));
        fs::create_dir(&text.0)?;
        let mut numbers = Numbers(0x5eed_0123_4567_89ab);
        let syllables: Vec<String> = (0..400)
            .map(|n| {
                format!(
                    "{}{}",
                    ["b", "d", "k", "l", "m", "n", "r", "s", "t", "st"][n % 10],
                    ["a", "e", "i", "o", "u", "an", "er", "\u{e4}"][n / 10 % 8]
                )
            })
            .collect();
        // Frequent words are short.
        let word = |rank: usize, numbers: &mut Numbers| {
            let most = 1 + (rank + 1).ilog10() as usize;
            (0..1 + numbers.below(most)).map(|_| syllables[numbers.below(400)].as_str()).collect::<String>()
                + &format!("{}", char::from(b'a' + (rank % 26) as u8))
        };
        let words: Vec<String> = (0..VOCABULARY).map(|rank| word(rank, &mut numbers)).collect();
        // Equally likely places, of which each word has its share.
        let weights = (1..=VOCABULARY).map(|rank| 1.0 / rank as f64);
        let total: f64 = weights.clone().sum();
        let (mut places, mut sum) = (Vec::new(), 0.0);
        for (rank, weight) in weights.enumerate() {
            sum += weight;
            places.resize((sum / total * f64::from(1 << 22)).round() as usize, rank as u32);
        }
        for nth in 0..FILES {
            let mut out = BufWriter::with_capacity(1 << 20, File::create(text.0.join(format!("{nth}.txt")))?);
            let mut written = 0;
            while written < FILE_BYTES {
                let mut sentence = String::new();
                for _ in 0..5 + numbers.below(20) {
                    sentence.push_str(&words[places[numbers.below(places.len())] as usize]);
                    sentence.push(' ');
                }
                sentence.pop();
                sentence[..1].make_ascii_uppercase();
                sentence.push_str([".\n", ". ", "? ", ";\n"][numbers.below(4)]);
                out.write_all(sentence.as_bytes())?;
                written += sentence.len();
            }
            out.into_inner()?;
        }
        Ok(text)
    }
}

/// All in this process, on this thread.
fn single(sources: &[Source]) -> Counts {
    let mut counter = Counter::default();
    for source in sources {
        let file = files::open(&source.path).expect("our own file");
        files::read_range(&file, 0, source.len, |chunk| counter.add(chunk)).expect("our own file");
        counter.add(&mut [b' ']);
    }
    let mut counts = Counts::new();
    counter.drain(|word, times| counts.push((word.to_vec(), times)));
    counts.sort();
    counts
}

/// What two cores can do here: nothing is shared until both are done.
fn threads(sources: &[Source]) -> Counts {
    let (one, other) = sources.split_at(sources.len() / 2);
    let (one, other) = std::thread::scope(|scope| {
        let other = scope.spawn(|| single(other));
        (single(one), other.join().expect("a thread"))
    });
    let mut counts = [one, other].concat();
    counts.sort();
    counts.dedup_by(|next, kept| {
        let same = next.0 == kept.0;
        kept.1 += if same { next.1 } else { 0 };
        same
    });
    counts
}

/// From before the pool is made until the sorted counts are there.
fn pooled(found: &mut Found, kill: bool) -> (Counts, f64) {
    let total = found.sources.iter().map(|source| source.len).sum();
    let ranges = files::cut_all(found, job::task_bytes(total, WORKERS));
    let job = Job { sources: &found.sources, ranges: &ranges, workers: WORKERS, kill };
    let outcome = job::run(job, |_| None, |_| true).expect("a pool that works");
    assert!(outcome.unread.is_empty());
    assert_eq!(outcome.kill.map(|kill| kill.in_a_task), kill.then_some(true));
    (outcome.counts, outcome.whole.as_secs_f64())
}

/// The race.
pub fn measure(quick: bool) {
    let text = Text::write().expect("room for 256 MB in the temporary folder");
    let mut found = files::walk(std::slice::from_ref(&text.0), Taste::Everything);
    let bytes: u64 = found.sources.iter().map(|source| source.len).sum();
    let expected = single(&found.sources);
    let words: u64 = expected.iter().map(|(_, times)| times).sum();
    println!("\n{} MB, {words} words, {} different ones", bytes / 1_000_000, expected.len());
    let found = std::cell::RefCell::new(&mut found);
    let rate = |(counts, seconds): (Counts, f64)| {
        assert!(counts == expected, "another count");
        bytes as f64 / 1e6 / seconds
    };
    let timed = |run: &dyn Fn() -> Counts| {
        let start = Instant::now();
        let counts = run();
        (counts, start.elapsed().as_secs_f64())
    };
    let mut book = Book::new(quick);
    let contestants = vec![
        contestant(IDEAL, || WORKERS as f64 * rate(timed(&|| single(&found.borrow().sources)))),
        contestant(THREADS, || rate(timed(&|| threads(&found.borrow().sources)))),
        contestant(POOL, || rate(pooled(&mut found.borrow_mut(), false))),
        contestant(KILLED, || rate(pooled(&mut found.borrow_mut(), true))),
    ];
    let rounds = if quick { 3 } else { 9 };
    let mut race = book.race_of("word count, 256 MB", "MB/s", rounds, contestants);
    race.against(POOL, &[IDEAL], Demand::AtLeast(0.9));
    race.against(THREADS, &[IDEAL], Demand::Shown);
    race.against(POOL, &[THREADS], Demand::Shown);
    // A kill makes it take 10 % more at most.
    race.against(KILLED, &[POOL], Demand::AtLeast(0.91));
}
