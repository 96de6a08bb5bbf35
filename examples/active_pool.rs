//! `cargo run --example active_pool`: ten workers share a pool of three. An observer prints who is active, from an array of
//! names under its lock; there are never more than three.

mod common;

use std::thread::sleep;
use std::time::Duration;

use ringfence::{Array, Semaphore, SemaphoreOptions, Value};

const WORKERS: usize = 10;
const POOL: u32 = 3;
type Name = [u8; 16];

fn main() -> common::Outcome {
    let (crew, worker) = common::join("active-pool")?;
    let pool = Semaphore::open_or_create(&crew.segment, "pool", &SemaphoreOptions::new(POOL).maximum(POOL))?;
    let names = Array::<Name>::open_or_create(&crew.segment, "active", WORKERS)?;
    let looks = Value::<u64>::open_or_create(&crew.segment, "looks", 0)?;
    if let Some(worker) = worker {
        // Killed while it is active, its permit comes back to the pool.
        let _place = pool.acquire(1).map_err(|error| error.to_string())?;
        let mut name = Name::default();
        let text = format!("worker-{worker}");
        name[..text.len()].copy_from_slice(text.as_bytes());
        names.write(worker, &[name])?;
        // Active until it was seen: the second look from now on began after the name was there.
        let first = looks.get();
        while looks.get() < first + 2 {
            sleep(Duration::from_millis(1));
        }
        names.write(worker, &[Name::default()])?;
        return Ok(());
    }
    let mut workers = (0..WORKERS).map(|number| crew.start(number)).collect::<Result<Vec<_>, _>>()?;
    let mut last = Vec::new();
    let mut all_ended = false;
    while !all_ended {
        let mut all = [Name::default(); WORKERS];
        {
            let _held = names.lock().map_err(|error| error.to_string())?;
            names.read(0, &mut all)?;
        }
        let active: Vec<_> =
            all.iter().map(|name| String::from_utf8_lossy(name)).map(|name| name.replace('\0', "")).collect();
        let active: Vec<_> = active.into_iter().filter(|name| !name.is_empty()).collect();
        if active != last && !active.is_empty() {
            println!("active: {}", active.join(" "));
        }
        last = active;
        looks.fetch_add(1);
        let ended: Result<Vec<_>, _> = workers.iter_mut().map(|worker| worker.try_wait()).collect();
        all_ended = ended?.iter().all(Option::is_some);
        sleep(Duration::from_millis(1));
    }
    for mut worker in workers {
        common::ended_well(worker.wait()?)?;
    }
    Ok(())
}
