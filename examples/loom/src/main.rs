//! The board for real: the parent posts jobs, two processes take them, and one of those is killed on the way.
//!
//! `cargo run -p ringfence-example-loom`

use std::process::{Child, Command};

use ringfence::{Queue, Segment, SegmentOptions, Unlink};
use ringfence_example_loom::{Board, Job, Outcome};

const JOBS: u64 = 100;

/// A worker: takes jobs until there are no more, and reports each.
fn work(name: &str) -> Outcome<()> {
    let segment = Segment::open(name)?;
    let (board, done) = (Board::open(&segment)?, Queue::<u64>::open(&segment, "done")?);
    while let Some(job) = board.take()? {
        assert!(job.is_whole(), "a torn job");
        done.push(job.number)?;
    }
    Ok(())
}

fn start(name: &str) -> Outcome<Child> {
    Ok(Command::new(std::env::current_exe()?).arg(name).spawn()?)
}

fn main() -> Outcome<()> {
    if let Some(name) = std::env::args().nth(1) {
        return work(&name);
    }
    let name = format!("loom-example-{}", std::process::id());
    let segment = Segment::create(&name, &SegmentOptions::new().unlink(Unlink::WithLast))?;
    let (board, done) = (Board::open(&segment)?, Queue::<u64>::create(&segment, "done", JOBS as usize)?);
    let (mut victim, mut worker) = (start(&name)?, start(&name)?);
    for number in 1..=JOBS {
        while !board.post(Job::new(number))? {
            std::thread::yield_now();
        }
        if number == JOBS / 2 {
            victim.kill()?;
            victim.wait()?;
        }
    }
    board.close()?;
    assert!(worker.wait()?.success(), "the worker failed");
    let mut numbers = std::iter::from_fn(|| done.try_pop().ok()).collect::<Vec<_>>();
    numbers.sort_unstable();
    let reports = numbers.len() as u64;
    numbers.dedup();
    assert_eq!(numbers.len() as u64, reports, "a job was done twice");
    // The one that the victim had taken, or was about to report, died with it.
    assert!((JOBS - 1..=JOBS).contains(&reports), "{reports} of {JOBS} jobs were done");
    println!("one of two workers was killed, and the jobs are done, but perhaps one that it had taken");
    Ok(())
}
