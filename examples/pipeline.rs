//! `cargo run --example pipeline`: one process makes ten tasks, three take them, work, and send results over a second queue.
//! A task that fails is delivered again; one that is done is reported, so the first process can join the work; it shuts the queue
//! down, and the workers end: no message has to tell them.

mod common;

use ringfence::{Queue, TakeError, WorkQueue, WorkQueueOptions};

const WORKERS: usize = 3;
const TASKS: u64 = 10;

fn main() -> common::Outcome {
    let (crew, worker) = common::join("pipeline")?;
    let tasks = WorkQueue::open_or_create(&crew.segment, "tasks", &WorkQueueOptions::new(4, 8))?;
    let results = Queue::<[u64; 2]>::open_or_create(&crew.segment, "results", TASKS as usize)?;
    if worker.is_some() {
        loop {
            // Killed with a task in hand, another worker gets it.
            let task = match tasks.take() {
                Ok(task) => task,
                Err(TakeError::Closed) => return Ok(()),
                Err(error) => return Err(error.into()),
            };
            let number: u64 = task.get()?;
            if number % 4 == 3 && task.deliveries() == 1 {
                task.fail()?; // back into the queue, for anybody
                continue;
            }
            results.push([number, number * number])?;
            task.done()?;
        }
    }
    let workers = (0..WORKERS).map(|number| crew.start(number)).collect::<Result<Vec<_>, _>>()?;
    for number in 0..TASKS {
        tasks.push(&number.to_ne_bytes())?; // waits for room
    }
    tasks.shutdown()?;
    tasks.join()?;
    let mut all = (0..TASKS).map(|_| results.pop()).collect::<Result<Vec<_>, _>>()?;
    all.sort_unstable();
    for [number, square] in all {
        println!("{number} * {number} = {square}");
    }
    for mut worker in workers {
        common::ended_well(worker.wait()?)?;
    }
    Ok(())
}
