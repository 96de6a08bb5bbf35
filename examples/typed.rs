//! `cargo run --example typed --features serde`: values of any type between processes. One process pushes jobs with strings and
//! vectors into a work queue, two take them, and send back reports with maps and options through a channel whose ring is shorter
//! than some of them.

mod common;

use std::collections::{BTreeMap, HashMap};

use ringfence::{TakeError, TypedChannel, TypedWorkQueue, WorkQueueOptions};
use serde::{Deserialize, Serialize};

const WORKERS: usize = 2;

#[derive(Debug, Serialize, Deserialize)]
enum Job {
    Count { title: String, lines: Vec<String> },
    Longest(Vec<String>),
}

#[derive(Debug, Serialize, Deserialize)]
enum Report {
    Counted { title: String, words: HashMap<String, u64> },
    Longest(Option<String>),
}

fn work(job: Job) -> Report {
    match job {
        Job::Count { title, lines } => {
            let mut words = HashMap::new();
            for word in lines.iter().flat_map(|line| line.split(' ')) {
                *words.entry(word.to_owned()).or_default() += 1;
            }
            Report::Counted { title, words }
        }
        Job::Longest(words) => Report::Longest(words.into_iter().max_by_key(String::len)),
    }
}

fn main() -> common::Outcome {
    let (crew, worker) = common::join("typed")?;
    let jobs = TypedWorkQueue::<Job>::open_or_create(&crew.segment, "jobs", &WorkQueueOptions::new(4, 1 << 16))?;
    let reports = TypedChannel::<Report>::open_or_create(&crew.segment, "reports", 256)?;
    if worker.is_some() {
        loop {
            let lease = match jobs.take() {
                Ok(lease) => lease,
                Err(TakeError::Closed) => return Ok(()),
                Err(error) => return Err(error.into()),
            };
            reports.send(&work(lease.get()?))?;
            lease.done()?;
        }
    }
    let workers = (0..WORKERS).map(|number| crew.start(number)).collect::<Result<Vec<_>, _>>()?;
    let many = (0..1000).map(|n| format!("word {}", n % 100)).collect();
    let all = [
        Job::Count { title: "short".to_owned(), lines: vec!["a fence and a ring".to_owned(), "a queue".to_owned()] },
        Job::Count { title: "long".to_owned(), lines: many },
        Job::Longest(["ring", "fence", "semaphore"].map(str::to_owned).to_vec()),
        Job::Longest(vec![]),
    ];
    for job in &all {
        jobs.push(job)?;
    }
    jobs.shutdown()?;
    let mut lines = Vec::new();
    for _ in &all {
        lines.push(match reports.recv()? {
            Report::Counted { title, words } => {
                let most: BTreeMap<_, _> = words.iter().map(|(word, count)| (count, word)).collect();
                format!("{title}: {} words, mostly {:?}", words.len(), most.last_key_value().map(|(_, word)| word))
            }
            Report::Longest(word) => format!("the longest word: {word:?}"),
        });
    }
    lines.sort_unstable();
    lines.iter().for_each(|line| println!("{line}"));
    for mut worker in workers {
        common::ended_well(worker.wait()?)?;
    }
    Ok(())
}
