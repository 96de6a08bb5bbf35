//! A pool of worker processes: calls, maps, iterators, callbacks, errors, and a worker that is killed.
//!
//! ```sh
//! cargo run --features process --example pool
//! ```

use std::error::Error;
use std::sync::mpsc;
use std::time::Duration;

use ringfence::pool::{Callbacks, Pool, PoolOptions, TaskError};
use ringfence::process;

/// In each worker, before its first task: a panic is told by the result, and need not be printed.
fn be_quiet() {
    std::panic::set_hook(Box::new(|_| ()));
}

fn square(x: i64) -> i64 {
    x * x
}

fn multiply(a: i64, b: i64) -> i64 {
    a * b
}

fn invert(x: i64) -> i64 {
    720 / x
}

fn sleep(milliseconds: u64) -> u64 {
    std::thread::sleep(Duration::from_millis(milliseconds));
    milliseconds
}

fn whoami(_: u64) -> String {
    process::current_process().name
}

fn kill_me(signal: i32) {
    // SAFETY: touches no memory.
    unsafe { libc::kill(libc::getpid(), signal) };
}

ringfence::register!(be_quiet);
ringfence::register!(square);
ringfence::register!(multiply);
ringfence::register!(invert);
ringfence::register!(sleep);
ringfence::register!(whoami);
ringfence::register!(kill_me);

fn main() -> Result<(), Box<dyn Error>> {
    process::init(); // first: in a worker it serves the pool, and does not return

    {
        let pool = PoolOptions::new().workers(4).initializer(be_quiet, ()).create()?;
        println!("apply: {}", pool.apply(square, (10,))?);
        let result = pool.apply_async(square, (20,))?;
        println!("apply_async: {}", result.get_timeout(Duration::from_secs(60))?);
        println!("map: {:?}", pool.map(square, 0..10)?);
        println!("starmap: {:?}", pool.starmap(multiply, (0..5).map(|i| (i, 7)))?);
        println!("imap: {:?}", pool.imap(square, 0..10)?.collect::<Result<Vec<_>, _>>()?);
        let mut unordered = pool.imap_unordered(square, 0..10)?.collect::<Result<Vec<_>, _>>()?;
        unordered.sort_unstable();
        println!("imap_unordered, sorted: {unordered:?}");

        let (say, hear) = mpsc::channel();
        let failed = say.clone();
        let callbacks = || {
            let (say, failed) = (say.clone(), failed.clone());
            Callbacks::new()
                .success(move |value: i64| _ = say.send(format!("callback: {value}")))
                .error(move |error| _ = failed.send(format!("error callback: {error}")))
        };
        pool.apply_async_with(invert, (6,), callbacks())?.wait();
        println!("{}", hear.recv()?);
        pool.apply_async_with(invert, (0,), callbacks())?.wait();
        let failed = hear.recv()?;
        println!("error callback: {}", failed.rsplit(": ").next().unwrap_or_default());

        // Errors: of a call, of a map behind all of its calls, in the middle of an iterator.
        println!("killed: {}", pool.apply(kill_me, (libc::SIGKILL,)).unwrap_err());
        match pool.apply(invert, (0,)) {
            Err(TaskError::Panicked(panic)) => println!("apply: {}", panic.message),
            other => println!("apply: {other:?}"),
        }
        match pool.map(invert, -2..3) {
            Err(TaskError::Panicked(panic)) => println!("map: {}", panic.message),
            other => println!("map: {other:?}"),
        }
        for result in pool.imap(invert, [2, 1, 0, -1])? {
            match result {
                Ok(value) => println!("imap: {value}"),
                Err(TaskError::Panicked(panic)) => println!("imap: {}", panic.message),
                Err(error) => println!("imap: {error}"),
            }
        }

        // Time-outs: the result may be asked for again.
        let result = pool.apply_async(sleep, (200,))?;
        println!("too early: {}", result.get_timeout(Duration::from_millis(1)).unwrap_err());
        println!("ready: {}, successful: {}", result.ready(), result.successful().unwrap_err());
        println!("later: {}", result.get()?);
        println!("ready: {}, successful: {}", result.ready(), result.successful()?);

        pool.close()?;
        println!("closed: {}", pool.apply(square, (1,)).unwrap_err());
        pool.join()?;
    }
    {
        // A worker for each two tasks, under a name of our own.
        let pool = PoolOptions::new().workers(1).max_tasks_per_child(2).worker_name("Clerk").create()?;
        println!("max_tasks_per_child: {}", pool.map_chunked(whoami, 0..6, 1)?.join(" "));
    }
    let unfinished = {
        let pool = Pool::new(2)?;
        pool.apply_async(sleep, (3_600_000,))?
    };
    println!("dropped: {}", unfinished.get().unwrap_err());
    Ok(())
}
