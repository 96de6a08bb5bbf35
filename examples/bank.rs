//! `cargo run --example bank`: four processes change one balance 100,000 times in all, under a lock; it ends where it
//! began.

mod common;

use ringfence::{Semaphore, SemaphoreOptions, Value};

const WORKERS: usize = 4;
const CHANGES: usize = 100_000;

fn main() -> common::Outcome {
    let (crew, worker) = common::join("bank")?;
    let balance = Value::<i64>::open_or_create(&crew.segment, "balance", 200)?;
    // One permit, which belongs to the process that took it: what Python calls a Lock.
    let lock = Semaphore::open_or_create(&crew.segment, "lock", &SemaphoreOptions::new(1).maximum(1))?;
    let Some(worker) = worker else {
        println!("{} before", balance.get());
        crew.run(WORKERS)?;
        println!("{} after {CHANGES} changes", balance.get());
        return Ok(());
    };
    let amount = if worker % 2 == 0 { 1 } else { -1 };
    for change in 0..CHANGES / WORKERS {
        // Given back at the end of the block, or explicitly.
        let held = lock.acquire(1).map_err(|error| error.to_string())?;
        balance.set(balance.get() + amount);
        if change % 2 == 0 {
            held.forget();
            lock.release(1)?;
        }
    }
    Ok(())
}
