//! What the workers do: the count of a task, and the sum of several. `c_worker.c` does the same in C.
//!
//! Tens of thousands of words come out of a task: a message for each would cost more than to count it. So the words are
//! dealt out to [`PARTS`] parts, by their bytes, and the counts of a part are packed into one string of bytes; all that is
//! counted of one part is summed by one call.
//!
//! ```text
//!  task --count--> (0, counts) (1, counts) .. (PARTS, counters)      for each task
//!                  (0, [counts, counts, ..]) --sum--> counts         for each part
//!
//!  counts: times (LEB128), length (LEB128), word; one after another
//! ```
//!
//! The last part is of counters: names that are no words, since they have a blank, of what else is to be summed up.

use std::cell::RefCell;
use std::collections::HashMap;
use std::ffi::OsStr;
use std::hash::BuildHasherDefault;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use ringfence::{Error, Event, Reset, Segment, Value, process};
use serde_bytes::ByteBuf;

use crate::files;
use crate::text::{Counter, WordHasher};

/// Path, from, to; the number of the file; whether a worker that meets it may wait there to be killed.
pub type Task = (ByteBuf, u64, u64, u32, bool);

/// The parts that words are dealt out to. One more has the counters.
pub const PARTS: u32 = 16;

ringfence::register!(count as "wordcount.count");
ringfence::register!(sum as "wordcount.sum");
ringfence::register!(join as "wordcount.join");

/// Counts a task: each part that it has something for.
pub fn count((path, from, to, file, ambush): Task) -> Vec<(u32, ByteBuf)> {
    thread_local!(static COUNTER: RefCell<Counter> = RefCell::default());
    let meeting = MEETING.get();
    meeting.inspect(|meeting| meeting.come());
    let mut counter = COUNTER.take();
    let half = from + (to - from) / 2;
    let read = files::open(Path::new(OsStr::from_bytes(&path))).and_then(|file| {
        files::read_range(&file, from, half, |chunk| counter.add(chunk))?;
        meeting.filter(|_| ambush).inspect(|meeting| meeting.wait_for_death());
        files::read_range(&file, half, to, |chunk| counter.add(chunk))
    });
    let mut parts = vec![Vec::new(); PARTS as usize + 1];
    counter.drain(|word, times| push(&mut parts[part_of(word) as usize], word, times));
    COUNTER.set(counter);

    let mut note = |counter: String, times| push(&mut parts[PARTS as usize], counter.as_bytes(), times);
    let me = process::current_process().name;
    note(format!("tasks {me}"), 1);
    note(format!("bytes {me}"), to - from);
    if let Err(error) = read {
        note(format!("unread {file} {}", error.raw_os_error().unwrap_or(libc::EIO)), 1);
    }
    let numbered = (0..).zip(parts.into_iter().map(ByteBuf::from));
    numbered.filter(|(_, packed)| !packed.is_empty()).collect()
}

/// Sums what was counted of a part, in bytewise order. `None` if that is not counts.
pub fn sum(part: u32, packed: Vec<ByteBuf>) -> Option<(u32, ByteBuf)> {
    let longest = packed.iter().map(|packed| packed.len()).max().unwrap_or(0);
    // A count takes about eight bytes, and most words are in each.
    let mut sums: HashMap<&[u8], u64, BuildHasherDefault<WordHasher>> =
        HashMap::with_capacity_and_hasher(longest / 8, BuildHasherDefault::default());
    for mut rest in packed.iter().map(|packed| packed.as_slice()) {
        while !rest.is_empty() {
            let (word, times) = take(&mut rest)?;
            *sums.entry(word).or_default() += times;
        }
    }
    let mut sorted: Vec<_> = sums.into_iter().collect();
    sorted.sort_unstable();
    let mut packed = Vec::new();
    sorted.into_iter().for_each(|(word, times)| push(&mut packed, word, times));
    Some((part, packed.into()))
}

/// Which part has a word: the same in every language.
fn part_of(word: &[u8]) -> u32 {
    word.iter().map(|byte| u32::from(*byte)).fold(0, u32::wrapping_add) % PARTS
}

/// Packs a count.
fn push(packed: &mut Vec<u8>, word: &[u8], times: u64) {
    for mut number in [times, word.len() as u64] {
        while number >= 0x80 {
            packed.push(number as u8 | 0x80);
            number >>= 7;
        }
        packed.push(number as u8);
    }
    packed.extend_from_slice(word);
}

/// Takes a count off the beginning of what is packed; `None` if there is none.
pub fn take<'a>(rest: &mut &'a [u8]) -> Option<(&'a [u8], u64)> {
    let mut number = || {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let (byte, behind) = rest.split_first()?;
            *rest = behind;
            number |= u64::from(byte & 0x7f) << shift;
            if *byte < 0x80 {
                return Some(number);
            }
        }
        None
    };
    let (times, len) = (number()?, number()?);
    let (word, behind) = rest.split_at_checked(usize::try_from(len).ok()?)?;
    *rest = behind;
    Some((word, times))
}

/// Where workers and parent meet, in the pool's segment.
pub struct Meeting {
    /// How many workers have come with their first task,
    pub here: Value<u64>,
    /// and that all begin.
    pub start: Event,
    /// The process that waits to be killed; 0 for nobody, [`NOBODY`] when that is over.
    pub victim: Value<u64>,
}

/// Nobody is to be killed any more.
pub const NOBODY: u64 = u64::MAX;

static MEETING: OnceLock<Meeting> = OnceLock::new();

/// What each worker in Rust does first.
pub fn join(segment: String) {
    let meeting = Meeting::open(&segment).expect("the pool's own segment");
    MEETING.get_or_init(|| meeting);
}

impl Meeting {
    /// Whoever is first makes it.
    pub fn open(segment: &str) -> Result<Self, Error> {
        let segment = Segment::open(segment)?;
        Ok(Self {
            here: Value::open_or_create(&segment, "here", 0)?,
            start: Event::open_or_create(&segment, "start", Reset::Manual)?,
            victim: Value::open_or_create(&segment, "victim", 0)?,
        })
    }

    /// Waits, with the first task in hand, until every worker has one: so all take part, however little there is to do.
    fn come(&self) {
        static CAME: AtomicBool = AtomicBool::new(false);
        if !CAME.swap(true, Ordering::Relaxed) {
            self.here.fetch_add(1);
            // Not for ever, should somebody not come. Whatever goes wrong, to begin is right.
            let _ = self.start.wait_timeout(Duration::from_secs(10));
        }
    }

    /// Goes no further, in the middle of a task, if nobody has come here before: the parent kills us. Whoever has the task
    /// then does it.
    fn wait_for_death(&self) {
        let me = u64::from(std::process::id());
        if self.victim.compare_exchange(0, me).is_ok() {
            while self.victim.get() == me {
                std::thread::park_timeout(Duration::from_millis(10));
            }
        }
    }
}
