//! What the small examples share: workers that are this program again, in a segment of this run.

use std::path::PathBuf;
use std::process::{Child, Command};

use ringfence::{Segment, SegmentOptions, Unlink};

/// What `main` returns.
pub type Outcome = Result<(), Box<dyn std::error::Error>>;

/// A run of the example: its segment, and which of its processes this is.
pub struct Crew {
    /// Goes with the last process that has it open.
    pub segment: Segment,
    name: String,
}

/// Joins the run that this process was started for, with the worker's number; begins one, without a number, if a person
/// started it.
pub fn join(example: &str) -> Result<(Crew, Option<usize>), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    if let (Some(name), Some(number)) = (arguments.next(), arguments.next()) {
        return Ok((Crew { segment: Segment::open(&name)?, name }, Some(number.parse()?)));
    }
    let name = format!("example-{example}-{}", std::process::id());
    let segment = Segment::create(&name, &SegmentOptions::new().unlink(Unlink::WithLast))?;
    Ok((Crew { segment, name }, None))
}

impl Crew {
    /// Starts worker `number`.
    pub fn start(&self, number: usize) -> std::io::Result<Child> {
        Command::new(std::env::current_exe()?).args([&self.name, &number.to_string()]).spawn()
    }

    /// Starts `workers` workers, and waits for their end.
    #[allow(dead_code)] // not every example leaves it at that
    pub fn run(&self, workers: usize) -> Outcome {
        let started: Result<Vec<_>, _> = (0..workers).map(|number| self.start(number)).collect();
        for mut worker in started? {
            ended_well(worker.wait()?)?;
        }
        Ok(())
    }

    /// A file of this run.
    #[allow(dead_code)] // one example has one
    pub fn file(&self) -> PathBuf {
        std::env::temp_dir().join(&self.name)
    }
}

/// Passes a worker's failure on.
pub fn ended_well(status: std::process::ExitStatus) -> Outcome {
    if status.success() { Ok(()) } else { Err(format!("a worker failed: {status}").into()) }
}
