//! `cargo run --example lock`: ten processes print two lines each, and nobody's lines are torn apart.

mod common;

use ringfence::ReentrantMutex;

fn main() -> common::Outcome {
    let (crew, worker) = common::join("lock")?;
    let lock = ReentrantMutex::open_or_create(&crew.segment, "lock")?;
    let Some(worker) = worker else { return crew.run(10) };
    let _held = lock.lock().map_err(|error| error.to_string())?;
    println!("worker {worker} has the lock");
    println!("worker {worker} gives it back");
    Ok(())
}
