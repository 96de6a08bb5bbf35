//! `cargo run --example condition`: two processes of stage 2 wait until stage 1 is done and notifies all.

mod common;

use ringfence::{Condvar, Mutex};

fn main() -> common::Outcome {
    let (crew, worker) = common::join("condition")?;
    let done = Mutex::<u32>::open_or_create(&crew.segment, "stage 1 is done", 0)?;
    let changed = Condvar::open_or_create(&crew.segment, "changed", Condvar::WAITERS)?;
    let mut guard = done.lock().map_err(|error| error.to_string())?;
    if let Some(worker) = worker {
        drop(changed.wait_while(guard, |done| **done == 0).map_err(|error| error.to_string())?);
        println!("stage 2, worker {worker}");
        return Ok(());
    }
    let workers = [crew.start(0)?, crew.start(1)?];
    println!("stage 1");
    *guard = 1;
    changed.notify_all(&guard)?;
    drop(guard);
    for mut worker in workers {
        common::ended_well(worker.wait()?)?;
    }
    Ok(())
}
